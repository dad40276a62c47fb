/* inspect.c: what a module is, as JSON: for `nexus inspect`, deploy and people who ask why it does not run. */
#include "nx/json.h"
#include "nx/rt_artifact.h"
#include "rt_internal.h"
#include "wasi/table.h"

#define ARENA_BYTES (64u << 20)

static void write_type(const nx_rt_functype *t, nx_jw *w)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(4096);
    if (t && t->is_known && nx_rt_functype_text(t, &text) == NX_OK) {
        nx_jw_key(w, "type");
        nx_jw_str(w, nx_buf_view(&text));
    }
}

static bool imports_call(const nx_rt_facts *f, const char *module, const char *name)
{
    for (uint32_t i = 0; i < f->n_imports; i++)
        if (nx_slice_eq_cstr(f->imports[i].module, module) && nx_slice_eq_cstr(f->imports[i].name, name)) return true;
    return false;
}

static void write_imports(const nx_rt_facts *f, nx_jw *w)
{
    nx_jw_key(w, "imports");
    nx_jw_array(w);
    for (uint32_t i = 0; i < f->n_imports; i++) {
        const nx_rt_import *im = &f->imports[i];
        nx_jw_object(w);
        nx_jw_kstr(w, "module", im->module);
        nx_jw_kstr(w, "name", im->name);
        nx_jw_kcstr(w, "kind", nx_rt_extern_kind_name(im->kind));
        if (im->kind == NX_RT_FUNC) write_type(im->type < f->n_types ? &f->types[im->type] : NULL, w);
        nx_jw_object_end(w);
    }
    nx_jw_array_end(w);
}

/* Keys of nexus.yaml without which some of its host calls are denied, each with those calls. */
static void write_grants(const nx_rt_facts *f, nx_jw *w)
{
    nx_jw_key(w, "grants");
    nx_jw_array(w);
    for (unsigned k = 0; k < nx_rt_wasi_n_fns; k++) {
        const char *grant = nx_rt_wasi_fns[k].grant;
        bool is_first = grant && (k == 0 || !nx_rt_wasi_fns[k - 1].grant || strcmp(nx_rt_wasi_fns[k - 1].grant, grant) != 0);
        bool is_open = false;
        for (unsigned i = k; is_first && i < nx_rt_wasi_n_fns; i++) { /* calls of one grant stand together in the table */
            const nx_rt_wasi_fn *fn = &nx_rt_wasi_fns[i];
            if (!fn->grant || strcmp(fn->grant, grant) != 0) break;
            if (!imports_call(f, fn->module, fn->name)) continue;
            if (!is_open) {
                nx_jw_object(w);
                nx_jw_kcstr(w, "key", grant);
                nx_jw_key(w, "calls");
                nx_jw_array(w);
                is_open = true;
            }
            nx_jw_cstr(w, fn->name);
        }
        if (!is_open) continue;
        nx_jw_array_end(w);
        nx_jw_object_end(w);
    }
    nx_jw_array_end(w);
}

static void write_exports(const nx_rt_facts *f, nx_jw *w)
{
    nx_jw_key(w, "exports");
    nx_jw_array(w);
    for (uint32_t i = 0; i < f->n_exports; i++) {
        const nx_rt_export *e = &f->exports[i];
        nx_jw_object(w);
        nx_jw_kstr(w, "name", e->name);
        nx_jw_kcstr(w, "kind", nx_rt_extern_kind_name(e->kind));
        if (e->kind == NX_RT_FUNC && e->index < f->n_funcs && f->func_types[e->index] < f->n_types)
            write_type(&f->types[f->func_types[e->index]], w);
        nx_jw_object_end(w);
    }
    nx_jw_array_end(w);
}

static void write_memory(const nx_rt_facts *f, nx_jw *w)
{
    const nx_rt_memory_facts *m = &f->memory;
    nx_jw_key(w, "memory");
    if (f->n_memories == 0) {
        nx_jw_null(w);
        return;
    }
    bool has_pages = !m->has_custom_page && m->min_pages <= UINT64_MAX / NX_RT_PAGE_BYTES;
    nx_jw_object(w);
    nx_jw_ku64(w, "min_bytes", has_pages ? m->min_pages * NX_RT_PAGE_BYTES : 0);
    nx_jw_key(w, "max_bytes");
    if (m->max_pages <= UINT64_MAX / NX_RT_PAGE_BYTES) nx_jw_u64(w, m->max_pages * NX_RT_PAGE_BYTES);
    else nx_jw_null(w);
    nx_jw_kbool(w, "is_shared", m->is_shared);
    nx_jw_object_end(w);
}

static nx_err write_file(void *self, const nx_rt_tree_item *item)
{
    static const char *const kinds[] = {"file", "folder", "link"};
    nx_jw *w = self;
    if (item->kind == NX_RT_NODE_DIR) return NX_OK;
    nx_jw_object(w);
    nx_jw_kstr(w, "path", item->path);
    nx_jw_kcstr(w, "kind", kinds[item->kind]);
    nx_jw_ku64(w, "size_bytes", item->bytes.n);
    nx_jw_object_end(w);
    return NX_OK;
}

/* What the artifact brings besides the module. */
static void write_files(const nx_rt_tree *files, nx_jw *w)
{
    nx_jw_key(w, "files");
    nx_jw_array(w);
    if (files) (void)nx_rt_tree_each(files, write_file, w);
    nx_jw_array_end(w);
}

static void write_problems(const nx_rt_problems *p, nx_jw *w)
{
    nx_jw_key(w, "problems");
    nx_jw_array(w);
    for (unsigned i = 0; i < p->n; i++) {
        nx_jw_object(w);
        nx_jw_kcstr(w, "code", p->v[i].code);
        nx_jw_kstr(w, "subject", p->v[i].subject);
        nx_jw_kstr(w, "message", p->v[i].message);
        nx_jw_kstr(w, "advice", p->v[i].advice);
        nx_jw_object_end(w);
    }
    nx_jw_array_end(w);
}

/* Rust and C keep what is written to stdout until a newline or a full buffer, and nothing empties it behind handle_event. */
static bool may_hold_back_output(const nx_rt_facts *f)
{
    static const char *const languages[] = {"\4Rust", "\3C", "C_plus_plus"}; /* with the length before it, as in "producers" */
    bool has_stdout = false, is_buffered = false;
    for (uint32_t i = 0; i < f->n_exports; i++)
        if (nx_slice_eq_cstr(f->exports[i].name, NX_RT_FLUSH_EXPORT)) return false;
    for (uint32_t i = 0; i < f->n_imports; i++) has_stdout |= nx_slice_eq_cstr(f->imports[i].name, "fd_write");
    for (size_t i = 0; i < NX_ARRAY_LEN(languages); i++)
        is_buffered |= f->producers.n > 0 && memmem(f->producers.p, f->producers.n, languages[i], strlen(languages[i]));
    return has_stdout && is_buffered && nx_rt_facts_entry(f) == NX_RT_ENTRY_HANDLE_EVENT;
}

static void write_facts(nx_slice bytes, const nx_rt_facts *f, const nx_rt_artifact *parts, const nx_sha256 *derived, const nx_rt_tree *files, const nx_rt_problems *p, nx_jw *w)
{
    static const char *const entries[] = {NULL, "handle_event", "_start"};
    char hex[NX_SHA256_HEX + 1];
    nx_sha256 digest = nx_sha256_of(bytes);
    nx_sha256_hex(&digest, hex);
    nx_jw_object(w);
    nx_jw_kcstr(w, "sha256", hex);
    nx_jw_ku64(w, "size_bytes", bytes.n);
    nx_jw_kcstr(w, "kind", f->is_component ? "component" : "module");
    nx_jw_kcstr(w, "entry", entries[nx_rt_facts_entry(f)]);
    write_memory(f, w);
    nx_jw_ku64(w, "functions", f->n_funcs > f->n_imported_funcs ? f->n_funcs - f->n_imported_funcs : 0);
    nx_jw_kbool(w, "has_start", f->has_start);
    nx_jw_kbool(w, "has_names", f->has_names);
    nx_jw_kbool(w, "has_debug_info", f->has_dwarf || nx_slice_starts(f->source_map_url, NX_SLICE("data:")));
    nx_jw_kbool(w, "may_hold_back_output", may_hold_back_output(f));
    write_imports(f, w);
    write_grants(f, w);
    write_exports(f, w);
    nx_jw_kstr(w, "init", parts->init);
    if (derived) {
        nx_sha256_hex(derived, hex);
        nx_jw_kcstr(w, "derived", hex);
    }
    write_files(files, w);
    write_problems(p, w);
    nx_jw_kbool(w, "can_run", p->n == 0);
    nx_jw_object_end(w);
}

/* The engine's own validation of the bodies, which the reader of sections leaves alone. */
static nx_err validate(nx_slice bytes, nx_rt_problems *p, nx_error *reterr)
{
    wasm_config_t *config = nx_rt_engine_config();
    wasm_engine_t *engine = config ? wasm_engine_new_with_config(config) : NULL;
    if (!engine) return nx_error_set(reterr, NX_ENOMEM, "out of memory for the engine");
    wasmtime_error_t *error = wasmtime_module_validate(engine, (const uint8_t *)bytes.p, bytes.n);
    if (error && p->n < NX_RT_PROBLEMS_MAX) {
        nx_error said = NX_ERROR_INIT;
        (void)nx_rt_engine_error(&said, NX_EMODULE, "the engine refuses it", error);
        p->v[p->n++] = (nx_rt_problem){.code = "invalid",
                                       .message = nx_arena_dup(p->arena, nx_slice_cstr(said.msg)),
                                       .advice = NX_SLICE("build it for wasm32-wasip1 without further WebAssembly proposals")};
    } else if (error) {
        wasmtime_error_delete(error);
    }
    wasm_engine_delete(engine);
    return NX_OK;
}

nx_err nx_rt_inspect(nx_slice bytes, const nx_sha256 *derived, nx_jw *w, nx_error *reterr)
{
    nx_arena arena = NX_ARENA_INIT(ARENA_BYTES);
    nx_rt_facts facts;
    nx_rt_problems problems = {.arena = &arena};
    nx_rt_artifact parts;
    nx_rt_tree *files = NULL;
    nx_err err = nx_rt_artifact_split(bytes, &parts, reterr);
    if (!err) err = nx_rt_facts_read(parts.module, &arena, &facts, reterr);
    if (!err && parts.files.n) err = nx_rt_artifact_files(parts.files, &files, reterr);
    if (!err) {
        nx_rt_facts_check(&facts, 0, &problems);
        if (!facts.is_component) err = validate(bytes, &problems, reterr);
    }
    if (!err) {
        write_facts(bytes, &facts, &parts, derived, files, &problems, w);
        err = nx_jw_err(w) ? nx_error_set(reterr, nx_jw_err(w), "the description of the module is too large") : NX_OK;
    }
    nx_rt_tree_free(files);
    nx_arena_done(&arena);
    return err;
}
