/* check.c: why a module can't run here, by name, and what to do about it.
 * The advice is for people whose module was built for something else: a browser, emscripten, preview 2, threads. */
#include "module.h"

#include <inttypes.h>
#include <stdio.h>

#include "nx/clock.h"
#include "nx/rt.h"
#include "wasi/table.h"

static void add(nx_rt_problems *p, const char *code, nx_slice subject, const char *message, const char *advice)
{
    if (p->n == NX_RT_PROBLEMS_MAX) {
        p->n_more++;
        return;
    }
    nx_rt_problem *v = &p->v[p->n++];
    v->code = code;
    v->subject = subject;
    v->message = nx_arena_dup(p->arena, nx_slice_cstr(message));
    v->advice = nx_slice_cstr(advice);
}

static const char advice_wasip1[] = "build it for WASI preview 1: cargo build --target wasm32-wasip1";

/* What an import that we do not have says about where the module was meant to run. */
static const struct {
    const char *module, *name_prefix, *advice;
} origins[] = {
    {"env", "emscripten_", "built with emscripten for a browser: build with wasi-sdk (clang --target=wasm32-wasip1), or emcc -sSTANDALONE_WASM"},
    {"env", "invoke_", "built with emscripten's exceptions or longjmp: build with wasi-sdk (clang --target=wasm32-wasip1)"},
    {"env", "abort", "an AssemblyScript module for a browser: add @assemblyscript/wasi-shim to asconfig.json"},
    {"env", "__linear_memory", "an object file or a shared library: link it to a program (clang without -c, without -shared)"},
    {"env", "", "the linker left this symbol open: link what defines it, or remove the extern declaration (no --allow-undefined)"},
    {"wbg", "", "built with wasm-bindgen for a browser: build it for WASI preview 1: cargo build --target wasm32-wasip1"},
    {"__wbindgen", "", "built with wasm-bindgen for a browser: build it for WASI preview 1: cargo build --target wasm32-wasip1"},
    {"wasi_unstable", "", "WASI preview 0: rebuild with a current toolchain for wasm32-wasip1"},
    {"wasi_snapshot_preview2", "", advice_wasip1},
    {"wasi:", "", "a part of a preview 2 component: build it for WASI preview 1 (wasm32-wasip1)"},
    {"wasi", "thread-spawn", "uses threads, which functions have not: build for wasm32-wasip1 instead of wasm32-wasip1-threads"},
    {"gojs", "", "built for a browser: GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared"},
    {"go", "", "built for a browser: GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared"},
};

static const char *import_advice(const nx_rt_import *im)
{
    for (size_t i = 0; i < NX_ARRAY_LEN(origins); i++)
        if (nx_slice_starts(im->module, nx_slice_cstr(origins[i].module)) && nx_slice_starts(im->name, nx_slice_cstr(origins[i].name_prefix)))
            return origins[i].advice;
    return "functions may import from wasi_snapshot_preview1 and nexus only";
}

static bool types_match(const nx_rt_functype *t, const nx_rt_wasi_fn *fn)
{
    size_t n = strlen(fn->params);
    if (t->params.n != n || t->results.n != (fn->has_result ? 1u : 0u)) return false;
    for (size_t i = 0; i < n; i++)
        if ((uint8_t)t->params.p[i] != (fn->params[i] == 'l' ? 0x7e : 0x7f)) return false;
    return !fn->has_result || (uint8_t)t->results.p[0] == 0x7f;
}

/* Of the modules that are ours. */
static void check_our_import(const nx_rt_facts *f, const nx_rt_import *im, nx_slice subject, nx_rt_problems *p)
{
    bool is_wasi = nx_slice_eq_cstr(im->module, NX_RT_WASI_MODULE);
    const nx_rt_wasi_fn *fn = nx_rt_wasi_find(im->module, im->name);
    if (!fn) {
        if (is_wasi) add(p, "unknown_import", subject, "WASI preview 1 has no such function", "rebuild with a current toolchain for wasm32-wasip1");
        else add(p, "unknown_import", subject, "this node has no such host call", "docs/EFFECTS.md lists them; a newer one wants a newer node");
        return;
    }
    const nx_rt_functype *t = im->type < f->n_types ? &f->types[im->type] : NULL;
    if (t && t->is_known && !types_match(t, fn)) {
        NX_CLEANUP(nx_buf_done)
        nx_buf text = NX_BUF_INIT(1024);
        (void)nx_buf_printf(&text, "imported with another type than %s gives it: ", is_wasi ? "WASI preview 1" : "docs/EFFECTS.md");
        (void)nx_rt_functype_text(t, &text);
        const char *message = nx_buf_cstr(&text);
        add(p, "import_type", subject, message ? message : "imported with another type", "correct the declaration in the source");
    }
}

static void check_imports(const nx_rt_facts *f, nx_rt_problems *p)
{
    for (uint32_t i = 0; i < f->n_imports; i++) {
        const nx_rt_import *im = &f->imports[i];
        char *name = nx_arena_printf(p->arena, "%.*s.%.*s", NX_SLICE_FMT(im->module), NX_SLICE_FMT(im->name));
        nx_slice subject = nx_slice_cstr(name ? name : "import");
        if (im->kind == NX_RT_MEMORY) {
            add(p, "imported_memory", subject, "the memory is imported", "link without --import-memory, so that the module brings its own");
        } else if (im->kind != NX_RT_FUNC) {
            char message[64];
            (void)snprintf(message, sizeof message, "a %s is imported", nx_rt_extern_kind_name(im->kind));
            add(p, "unknown_import", subject, message, import_advice(im));
        } else if (nx_slice_eq_cstr(im->module, NX_RT_WASI_MODULE) || nx_slice_eq_cstr(im->module, NX_RT_NEXUS_MODULE)) {
            check_our_import(f, im, subject, p);
        } else {
            add(p, "unknown_import", subject, "no such function here", import_advice(im));
        }
    }
}

nx_rt_entry nx_rt_facts_entry(const nx_rt_facts *f)
{
    const nx_rt_export *e = nx_rt_facts_export(f, "handle_event");
    if (e && e->kind == NX_RT_FUNC) return NX_RT_ENTRY_HANDLE_EVENT;
    e = nx_rt_facts_export(f, "_start");
    return e && e->kind == NX_RT_FUNC ? NX_RT_ENTRY_START : NX_RT_ENTRY_NONE;
}

static void check_entry_type(const nx_rt_facts *f, const char *name, bool may_return_i32, nx_rt_problems *p)
{
    const nx_rt_functype *t = nx_rt_facts_export_type(f, name);
    if (!t) return;
    bool is_ok = t->params.n == 0 && (t->results.n == 0 || (may_return_i32 && t->results.n == 1 && (uint8_t)t->results.p[0] == 0x7f));
    if (is_ok) return;
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(1024);
    (void)nx_buf_append_cstr(&text, "exported with the type ");
    (void)nx_rt_functype_text(t, &text);
    const char *message = nx_buf_cstr(&text);
    add(p, "entry_type", nx_slice_cstr(name), message ? message : "exported with another type",
        "it takes no parameters: the event comes on stdin, the answer goes to stdout");
}

static void check_entry(const nx_rt_facts *f, nx_rt_problems *p)
{
    switch (nx_rt_facts_entry(f)) {
    case NX_RT_ENTRY_HANDLE_EVENT:
        check_entry_type(f, "handle_event", true, p);
        check_entry_type(f, "_initialize", false, p);
        check_entry_type(f, NX_RT_FLUSH_EXPORT, false, p);
        break;
    case NX_RT_ENTRY_START: check_entry_type(f, "_start", false, p); break;
    case NX_RT_ENTRY_NONE:
        add(p, "no_entry", NX_SLICE("handle_event"), "the module exports neither `handle_event` nor `_start`",
            "Rust: #[no_mangle] pub extern \"C\" fn handle_event() in a cdylib, or a binary with main(); C: "
            "__attribute__((export_name(\"handle_event\")))");
        break;
    }
}

static void check_memory(const nx_rt_facts *f, uint64_t memory_bytes, nx_rt_problems *p)
{
    const nx_rt_memory_facts *m = &f->memory;
    if (f->n_memories == 0) return;
    if (m->is_shared)
        add(p, "shared_memory", NX_SLICE("memory"), "the memory is shared between threads, which functions have not",
            "build for wasm32-wasip1 instead of wasm32-wasip1-threads");
    if (m->is_64) add(p, "memory64", NX_SLICE("memory"), "the memory has 64-bit addresses", "build for wasm32");
    if (f->n_memories > 1) add(p, "multi_memory", NX_SLICE("memory"), "the module has several memories", "link it with one memory");
    uint64_t limit = memory_bytes ? memory_bytes : nx_rt_memory_max();
    if (!m->is_64 && !m->has_custom_page && m->min_pages > limit / NX_RT_PAGE_BYTES) {
        char message[160], have[32], want[32];
        (void)nx_size_format(limit, have);
        (void)nx_size_format(m->min_pages * NX_RT_PAGE_BYTES, want);
        (void)snprintf(message, sizeof message, "it begins with %s of memory, and the limit is %s", want, have);
        add(p, "memory_minimum", NX_SLICE("memory"), message, "raise `memory:` in nexus.yaml, or link with a smaller --initial-memory");
    }
    const nx_rt_export *e = nx_rt_facts_export(f, "memory");
    if (f->n_imported_funcs && (!e || e->kind != NX_RT_MEMORY))
        add(p, "no_memory_export", NX_SLICE("memory"), "the memory is not exported as `memory`, so host calls can't reach it",
            "link without --no-export-memory");
}

void nx_rt_facts_check(const nx_rt_facts *f, uint64_t memory_bytes, nx_rt_problems *p)
{
    if (f->is_component) {
        add(p, "component", NX_SLICE_NULL, "this is a component (WASI preview 2), not a module", advice_wasip1);
        return;
    }
    check_imports(f, p);
    check_entry(f, p);
    check_memory(f, memory_bytes, p);
}

nx_err nx_rt_problems_error(const nx_rt_problems *p, nx_error *reterr)
{
    if (p->n == 0) return NX_OK;
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(64u << 10);
    const char *last_advice = NULL;
    for (unsigned i = 0; i < p->n; i++) {
        const nx_rt_problem *v = &p->v[i];
        if (i) (void)nx_buf_append_cstr(&text, "; ");
        if (v->subject.n) (void)nx_buf_printf(&text, "%.*s: ", NX_SLICE_FMT(v->subject));
        (void)nx_buf_append_slice(&text, v->message);
        /* Forty imports of one origin need its advice once. */
        bool is_last_of_advice = i + 1 == p->n || p->v[i + 1].advice.p != v->advice.p;
        if (is_last_of_advice && v->advice.p != last_advice) (void)nx_buf_printf(&text, " (%.*s)", NX_SLICE_FMT(v->advice));
        last_advice = v->advice.p;
    }
    if (p->n_more) (void)nx_buf_printf(&text, "; and %u more", p->n_more);
    const char *s = nx_buf_cstr(&text);
    return nx_error_set(reterr, NX_EMODULE, "%s", s ? s : "the module can't run here");
}
