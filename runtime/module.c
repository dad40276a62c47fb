/* module.c: reads the sections of a WebAssembly binary that say what it needs and offers.
 * Every length is checked against the bytes that are there; function bodies are left to the engine. */
#include "module.h"

#include <inttypes.h>

#include "bytes.h"

static size_t offset_of(nx_slice module, const nx_rt_bytes *b) { return (size_t)(b->p - (const uint8_t *)module.p); }

static void read_limits(nx_rt_bytes *r, nx_rt_memory_facts *m)
{
    uint8_t flags = nx_rt_take_byte(r);
    m->is_shared = (flags & 2u) != 0;
    m->is_64 = (flags & 4u) != 0;
    m->has_custom_page = (flags & 8u) != 0;
    m->min_pages = nx_rt_take_uleb_of(r, 64);
    m->max_pages = flags & 1u ? nx_rt_take_uleb_of(r, 64) : UINT64_MAX;
    if (m->has_custom_page) (void)nx_rt_take_u32(r);
    if (flags > 15) nx_rt_bytes_fail(r);
}

/* A reference or value type: one byte, or 0x63/0x64 and a heap type (typed function references). */
static void skip_valtype(nx_rt_bytes *r)
{
    uint8_t b = nx_rt_take_byte(r);
    if (b == 0x63 || b == 0x64) (void)nx_rt_take_uleb_of(r, 33);
}

static void skip_table_type(nx_rt_bytes *r)
{
    nx_rt_memory_facts unused;
    skip_valtype(r);
    read_limits(r, &unused);
}

static void note_memory(nx_rt_facts *f, nx_rt_memory_facts m)
{
    if (f->n_memories++ == 0) f->memory = m;
}

/* Types as bytes; false: one of them takes more than a byte, and what follows can't be told apart any more. */
static bool read_valtypes(nx_rt_bytes *r, nx_slice *ret)
{
    *ret = nx_rt_take(r, nx_rt_take_count(r));
    return r->is_bad || (!memchr(ret->p, 0x63, ret->n) && !memchr(ret->p, 0x64, ret->n));
}

static nx_err read_types(nx_rt_bytes *r, nx_arena *a, nx_rt_facts *f)
{
    uint32_t n = nx_rt_take_count(r);
    f->types = nx_arena_calloc(a, n ? n : 1, sizeof *f->types);
    if (!f->types) return NX_ENOMEM;
    f->n_types = n;
    for (uint32_t i = 0; i < n && !r->is_bad; i++) {
        nx_rt_functype *t = &f->types[i];
        /* A recursion group, a GC type or a typed reference: this and the later indices stay unknown. */
        if (nx_rt_take_byte(r) != 0x60 || !read_valtypes(r, &t->params) || !read_valtypes(r, &t->results)) break;
        t->is_known = !r->is_bad;
    }
    return NX_OK;
}

static nx_err read_imports(nx_rt_bytes *r, nx_arena *a, nx_rt_facts *f, nx_error *reterr)
{
    uint32_t n = nx_rt_take_count(r);
    if (n > NX_RT_IMPORTS_MAX)
        return nx_error_set(reterr, NX_EMODULE, "the module has %" PRIu32 " imports; at most %u are taken", n, NX_RT_IMPORTS_MAX);
    f->imports = nx_arena_calloc(a, n ? n : 1, sizeof *f->imports);
    if (!f->imports) return NX_ENOMEM;
    for (uint32_t i = 0; i < n && !r->is_bad; i++) {
        nx_rt_import *im = &f->imports[i];
        im->module = nx_rt_take_sized(r);
        im->name = nx_rt_take_sized(r);
        uint8_t kind = nx_rt_take_byte(r);
        im->kind = (nx_rt_extern_kind)kind;
        switch (kind) {
        case NX_RT_FUNC:
            im->type = nx_rt_take_u32(r);
            f->n_imported_funcs++;
            break;
        case NX_RT_TABLE:
            skip_table_type(r);
            f->n_tables++;
            break;
        case NX_RT_MEMORY: {
            nx_rt_memory_facts m = {.is_imported = true};
            read_limits(r, &m);
            m.is_imported = true;
            note_memory(f, m);
            break;
        }
        case NX_RT_GLOBAL:
            skip_valtype(r);
            (void)nx_rt_take_byte(r);
            break;
        case NX_RT_TAG:
            (void)nx_rt_take_byte(r);
            (void)nx_rt_take_u32(r);
            break;
        default: nx_rt_bytes_fail(r);
        }
        if (!r->is_bad) f->n_imports++;
    }
    return NX_OK;
}

static nx_err read_functions(nx_rt_bytes *r, nx_arena *a, nx_rt_facts *f)
{
    uint32_t n = nx_rt_take_count(r), k = 0;
    f->func_types = nx_arena_calloc(a, (size_t)n + f->n_imported_funcs + 1, sizeof *f->func_types);
    if (!f->func_types) return NX_ENOMEM;
    for (uint32_t i = 0; i < f->n_imports; i++)
        if (f->imports[i].kind == NX_RT_FUNC) f->func_types[k++] = f->imports[i].type;
    for (uint32_t i = 0; i < n; i++) f->func_types[k++] = nx_rt_take_u32(r);
    f->n_funcs = k;
    return NX_OK;
}

static nx_err read_exports(nx_rt_bytes *r, nx_arena *a, nx_rt_facts *f, nx_error *reterr)
{
    uint32_t n = nx_rt_take_count(r);
    if (n > NX_RT_EXPORTS_MAX)
        return nx_error_set(reterr, NX_EMODULE, "the module has %" PRIu32 " exports; at most %u are taken", n, NX_RT_EXPORTS_MAX);
    f->exports = nx_arena_calloc(a, n ? n : 1, sizeof *f->exports);
    if (!f->exports) return NX_ENOMEM;
    for (uint32_t i = 0; i < n && !r->is_bad; i++) {
        nx_rt_export *e = &f->exports[i];
        e->name = nx_rt_take_sized(r);
        uint8_t kind = nx_rt_take_byte(r);
        e->kind = (nx_rt_extern_kind)kind;
        e->index = nx_rt_take_u32(r);
        if (kind > NX_RT_TAG) nx_rt_bytes_fail(r);
        if (!r->is_bad) f->n_exports++;
    }
    return NX_OK;
}

static void read_custom(nx_rt_bytes *r, nx_rt_facts *f)
{
    nx_slice name = nx_rt_take_sized(r);
    if (r->is_bad) return;
    if (nx_slice_eq_cstr(name, "name")) f->has_names = true;
    if (nx_slice_eq_cstr(name, ".debug_info")) f->has_dwarf = true;
    nx_slice payload = nx_rt_bytes_left(r);
    if (nx_slice_eq_cstr(name, "producers")) f->producers = payload;
    if (nx_slice_eq_cstr(name, ".debug_line")) f->debug_line = payload;
    if (nx_slice_eq_cstr(name, ".debug_str")) f->debug_str = payload;
    if (nx_slice_eq_cstr(name, ".debug_line_str")) f->debug_line_str = payload;
    if (nx_slice_eq_cstr(name, "sourceMappingURL")) {
        f->source_map_url = nx_rt_take_sized(r);
        r->is_bad = false; /* as with all custom sections, damage is no reason to refuse the module */
    }
}

static const char *const section_names[] = {"custom", "type", "import", "function", "table", "memory", "global", "export", "start"};

static nx_err read_section(nx_slice module, uint8_t id, nx_rt_bytes *r, nx_arena *a, nx_rt_facts *f, nx_error *reterr)
{
    nx_err err = NX_OK;
    switch (id) {
    case NX_RT_SEC_CUSTOM: read_custom(r, f); break;
    case NX_RT_SEC_TYPE: err = read_types(r, a, f); break;
    case NX_RT_SEC_IMPORT: err = read_imports(r, a, f, reterr); break;
    case NX_RT_SEC_FUNCTION: err = read_functions(r, a, f); break;
    case NX_RT_SEC_TABLE: f->n_tables += nx_rt_take_count(r); break;
    case NX_RT_SEC_MEMORY:
        for (uint32_t n = nx_rt_take_count(r); n > 0 && !r->is_bad; n--) {
            nx_rt_memory_facts m = {0};
            read_limits(r, &m);
            note_memory(f, m);
        }
        break;
    case NX_RT_SEC_EXPORT: err = read_exports(r, a, f, reterr); break;
    case NX_RT_SEC_START: f->has_start = true; break;
    case NX_RT_SEC_CODE:
        f->code = nx_rt_bytes_left(r);
        f->code_offset = offset_of(module, r);
        break;
    default: break; /* code, data, elements, globals: the engine's business */
    }
    if (err == NX_ENOMEM) return nx_error_set(reterr, NX_ENOMEM, "out of memory while reading a module");
    if (!err && r->is_bad)
        return nx_error_set(reterr, NX_EMODULE, "not a valid WebAssembly module: the %s section is damaged near byte %zu", section_names[id <= NX_RT_SEC_START ? id : 0],
                            offset_of(module, r));
    return err;
}

static nx_err read_preamble(nx_slice bytes, nx_rt_facts *f, nx_error *reterr)
{
    static const char magic[4] = {'\0', 'a', 's', 'm'};
    if (bytes.n < 8 || memcmp(bytes.p, magic, 4) != 0) {
        nx_slice text = nx_slice_trim(bytes);
        if (nx_slice_starts(text, NX_SLICE("(module")) || nx_slice_starts(text, NX_SLICE("(component")))
            return nx_error_set(reterr, NX_EMODULE, "this is WebAssembly text; a binary is needed: wat2wasm FILE.wat -o FILE.wasm");
        return nx_error_set(reterr, NX_EMODULE, "not a WebAssembly binary: it does not begin with \\0asm");
    }
    if (bytes.n > NX_RT_MODULE_BYTES_MAX)
        return nx_error_set(reterr, NX_EMODULE, "the module has %zu bytes; at most %u are taken", bytes.n, NX_RT_MODULE_BYTES_MAX);
    if (memcmp(bytes.p + 4, "\x0d\0\x01\0", 4) == 0) {
        f->is_component = true;
        return NX_OK;
    }
    if (memcmp(bytes.p + 4, "\x01\0\0\0", 4) != 0)
        return nx_error_set(reterr, NX_EMODULE, "a WebAssembly version this engine does not know (bytes 4 to 7 are not 01 00 00 00)");
    return NX_OK;
}

nx_err nx_rt_facts_read(nx_slice bytes, nx_arena *a, nx_rt_facts *ret, nx_error *reterr)
{
    nx_rt_facts f = {0};
    nx_err err = read_preamble(bytes, &f, reterr);
    if (err) return err;
    uint32_t seen = 0; /* a section of each kind at most, but custom ones: later counts and arrays would not fit together */
    nx_rt_bytes r = nx_rt_sections_of(bytes);
    uint8_t id;
    nx_slice body;
    while (!f.is_component && nx_rt_take_section(&r, &id, &body)) {
        if (id >= 32 || (id && seen & 1u << id))
            return nx_error_set(reterr, NX_EMODULE, "not a valid WebAssembly module: section %u is unknown or there twice", id);
        seen |= 1u << id;
        nx_rt_bytes section = nx_rt_bytes_of(body);
        err = read_section(bytes, id, &section, a, &f, reterr);
        if (err) return err;
    }
    if (r.is_bad)
        return nx_error_set(reterr, NX_EMODULE, "not a valid WebAssembly module: it ends in the middle of a section (byte %zu of %zu)", offset_of(bytes, &r), bytes.n);
    if (!f.func_types && f.n_imported_funcs) { /* a module without functions of its own */
        nx_rt_bytes none = nx_rt_bytes_of(nx_slice_make("\0", 1));
        if (read_functions(&none, a, &f)) return nx_error_set(reterr, NX_ENOMEM, "out of memory while reading a module");
    }
    *ret = f;
    return NX_OK;
}

const nx_rt_export *nx_rt_facts_export(const nx_rt_facts *f, const char *name)
{
    for (uint32_t i = 0; i < f->n_exports; i++)
        if (nx_slice_eq_cstr(f->exports[i].name, name)) return &f->exports[i];
    return NULL;
}

const nx_rt_functype *nx_rt_facts_export_type(const nx_rt_facts *f, const char *name)
{
    const nx_rt_export *e = nx_rt_facts_export(f, name);
    if (!e || e->kind != NX_RT_FUNC || e->index >= f->n_funcs) return NULL;
    uint32_t t = f->func_types[e->index];
    return t < f->n_types && f->types[t].is_known ? &f->types[t] : NULL;
}

const char *nx_rt_extern_kind_name(nx_rt_extern_kind k)
{
    static const char *const names[] = {"function", "table", "memory", "global", "tag"};
    return k <= NX_RT_TAG ? names[k] : "unknown";
}

static const char *valtype_name(uint8_t b)
{
    switch (b) {
    case 0x7f: return "i32";
    case 0x7e: return "i64";
    case 0x7d: return "f32";
    case 0x7c: return "f64";
    case 0x7b: return "v128";
    case 0x70: return "funcref";
    case 0x6f: return "externref";
    default: return "ref";
    }
}

static nx_err valtypes_text(nx_slice types, nx_buf *out)
{
    nx_err err = NX_OK;
    for (size_t i = 0; i < types.n && !err; i++) err = nx_buf_printf(out, "%s%s", i ? ", " : "", valtype_name((uint8_t)types.p[i]));
    return err;
}

nx_err nx_rt_functype_text(const nx_rt_functype *t, nx_buf *out)
{
    if (!t->is_known) return nx_buf_append_cstr(out, "(?)");
    nx_err err = nx_buf_append_char(out, '(');
    if (!err) err = valtypes_text(t->params, out);
    if (!err) err = nx_buf_append_char(out, ')');
    if (!err && t->results.n) err = nx_buf_append_cstr(out, " -> ");
    if (!err) err = valtypes_text(t->results, out);
    return err;
}
