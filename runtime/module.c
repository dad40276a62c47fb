/* module.c: reads the sections of a WebAssembly binary that say what it needs and offers.
 * Every length is checked against the bytes that are there; function bodies are left to the engine. */
#include "module.h"

#include <inttypes.h>

/* A cursor over the module. After a failed read `is_bad` stays set and all reads give zero, so that callers check once. */
typedef struct reader {
    const uint8_t *start, *p, *end;
    bool is_bad;
} reader;

static uint8_t read_byte(reader *r)
{
    if (r->p >= r->end) {
        r->is_bad = true;
        return 0;
    }
    return *r->p++;
}

/* Unsigned LEB128 of at most `bits` bits (specification 5.2.2). */
static uint64_t read_leb(reader *r, unsigned bits)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < bits; shift += 7) {
        uint8_t b = read_byte(r);
        unsigned left = bits - shift;
        if (left < 7 && (b & 0x7fu) >> left) break; /* bits beyond the width */
        v |= (uint64_t)(b & 0x7fu) << shift;
        if (!(b & 0x80u)) return r->is_bad ? 0 : v;
    }
    r->is_bad = true;
    return 0;
}

static uint32_t read_u32(reader *r) { return (uint32_t)read_leb(r, 32); }

static nx_slice read_bytes(reader *r, uint64_t n)
{
    if (r->is_bad || n > (uint64_t)(r->end - r->p)) {
        r->is_bad = true;
        return NX_SLICE_NULL;
    }
    nx_slice s = nx_slice_make(r->p, (size_t)n);
    r->p += n;
    return s;
}

static nx_slice read_name(reader *r)
{
    uint32_t n = read_u32(r);
    return read_bytes(r, n);
}

/* A count of things of at least one byte each: never more than there are bytes, so that arrays are bounded by the input. */
static uint32_t read_count(reader *r)
{
    uint32_t n = read_u32(r);
    if (n > (uint64_t)(r->end - r->p)) r->is_bad = true;
    return r->is_bad ? 0 : n;
}

static nx_err unreadable(const reader *r, const char *what, nx_error *reterr)
{
    return nx_error_set(reterr, NX_EMODULE, "not a valid WebAssembly module: the %s section is damaged near byte %zu", what,
                        (size_t)(r->p - r->start));
}

static void read_limits(reader *r, nx_rt_memory_facts *m)
{
    uint8_t flags = read_byte(r);
    m->is_shared = (flags & 2u) != 0;
    m->is_64 = (flags & 4u) != 0;
    m->has_custom_page = (flags & 8u) != 0;
    m->min_pages = read_leb(r, 64);
    m->max_pages = flags & 1u ? read_leb(r, 64) : UINT64_MAX;
    if (m->has_custom_page) (void)read_u32(r);
    if (flags > 15) r->is_bad = true;
}

/* A reference or value type: one byte, or 0x63/0x64 and a heap type (typed function references). */
static void skip_valtype(reader *r)
{
    uint8_t b = read_byte(r);
    if (b == 0x63 || b == 0x64) (void)read_leb(r, 33);
}

static void skip_table_type(reader *r)
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
static bool read_valtypes(reader *r, nx_slice *ret)
{
    *ret = read_bytes(r, read_count(r));
    return r->is_bad || (!memchr(ret->p, 0x63, ret->n) && !memchr(ret->p, 0x64, ret->n));
}

static nx_err read_types(reader *r, nx_arena *a, nx_rt_facts *f)
{
    uint32_t n = read_count(r);
    f->types = nx_arena_calloc(a, n ? n : 1, sizeof *f->types);
    if (!f->types) return NX_ENOMEM;
    f->n_types = n;
    for (uint32_t i = 0; i < n && !r->is_bad; i++) {
        nx_rt_functype *t = &f->types[i];
        /* A recursion group, a GC type or a typed reference: this and the later indices stay unknown. */
        if (read_byte(r) != 0x60 || !read_valtypes(r, &t->params) || !read_valtypes(r, &t->results)) break;
        t->is_known = !r->is_bad;
    }
    return NX_OK;
}

static nx_err read_imports(reader *r, nx_arena *a, nx_rt_facts *f, nx_error *reterr)
{
    uint32_t n = read_count(r);
    if (n > NX_RT_IMPORTS_MAX)
        return nx_error_set(reterr, NX_EMODULE, "the module has %" PRIu32 " imports; at most %u are taken", n, NX_RT_IMPORTS_MAX);
    f->imports = nx_arena_calloc(a, n ? n : 1, sizeof *f->imports);
    if (!f->imports) return NX_ENOMEM;
    for (uint32_t i = 0; i < n && !r->is_bad; i++) {
        nx_rt_import *im = &f->imports[i];
        im->module = read_name(r);
        im->name = read_name(r);
        uint8_t kind = read_byte(r);
        im->kind = (nx_rt_extern_kind)kind;
        switch (kind) {
        case NX_RT_FUNC:
            im->type = read_u32(r);
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
            (void)read_byte(r);
            break;
        case NX_RT_TAG:
            (void)read_byte(r);
            (void)read_u32(r);
            break;
        default: r->is_bad = true;
        }
        if (!r->is_bad) f->n_imports++;
    }
    return NX_OK;
}

static nx_err read_functions(reader *r, nx_arena *a, nx_rt_facts *f)
{
    uint32_t n = read_count(r), k = 0;
    f->func_types = nx_arena_calloc(a, (size_t)n + f->n_imported_funcs + 1, sizeof *f->func_types);
    if (!f->func_types) return NX_ENOMEM;
    for (uint32_t i = 0; i < f->n_imports; i++)
        if (f->imports[i].kind == NX_RT_FUNC) f->func_types[k++] = f->imports[i].type;
    for (uint32_t i = 0; i < n; i++) f->func_types[k++] = read_u32(r);
    f->n_funcs = k;
    return NX_OK;
}

static nx_err read_exports(reader *r, nx_arena *a, nx_rt_facts *f, nx_error *reterr)
{
    uint32_t n = read_count(r);
    if (n > NX_RT_EXPORTS_MAX)
        return nx_error_set(reterr, NX_EMODULE, "the module has %" PRIu32 " exports; at most %u are taken", n, NX_RT_EXPORTS_MAX);
    f->exports = nx_arena_calloc(a, n ? n : 1, sizeof *f->exports);
    if (!f->exports) return NX_ENOMEM;
    for (uint32_t i = 0; i < n && !r->is_bad; i++) {
        nx_rt_export *e = &f->exports[i];
        e->name = read_name(r);
        uint8_t kind = read_byte(r);
        e->kind = (nx_rt_extern_kind)kind;
        e->index = read_u32(r);
        if (kind > NX_RT_TAG) r->is_bad = true;
        if (!r->is_bad) f->n_exports++;
    }
    return NX_OK;
}

static void read_custom(reader *r, nx_rt_facts *f)
{
    nx_slice name = read_name(r);
    if (r->is_bad) return;
    if (nx_slice_eq_cstr(name, "name")) f->has_names = true;
    if (nx_slice_eq_cstr(name, ".debug_info")) f->has_dwarf = true;
    nx_slice payload = nx_slice_make(r->p, (size_t)(r->end - r->p));
    if (nx_slice_eq_cstr(name, "producers")) f->producers = payload;
    if (nx_slice_eq_cstr(name, ".debug_line")) f->debug_line = payload;
    if (nx_slice_eq_cstr(name, ".debug_str")) f->debug_str = payload;
    if (nx_slice_eq_cstr(name, ".debug_line_str")) f->debug_line_str = payload;
    if (nx_slice_eq_cstr(name, "sourceMappingURL")) {
        f->source_map_url = read_name(r);
        r->is_bad = false; /* as with all custom sections, damage is no reason to refuse the module */
    }
}

enum { SEC_CUSTOM,
       SEC_TYPE,
       SEC_IMPORT,
       SEC_FUNCTION,
       SEC_TABLE,
       SEC_MEMORY,
       SEC_GLOBAL,
       SEC_EXPORT,
       SEC_START,
       SEC_CODE = 10 };
static const char *const section_names[] = {"custom", "type", "import", "function", "table", "memory", "global", "export", "start"};

static nx_err read_section(uint8_t id, reader *r, nx_arena *a, nx_rt_facts *f, nx_error *reterr)
{
    nx_err err = NX_OK;
    switch (id) {
    case SEC_CUSTOM: read_custom(r, f); break;
    case SEC_TYPE: err = read_types(r, a, f); break;
    case SEC_IMPORT: err = read_imports(r, a, f, reterr); break;
    case SEC_FUNCTION: err = read_functions(r, a, f); break;
    case SEC_TABLE: f->n_tables += read_count(r); break;
    case SEC_MEMORY:
        for (uint32_t n = read_count(r); n > 0 && !r->is_bad; n--) {
            nx_rt_memory_facts m = {0};
            read_limits(r, &m);
            note_memory(f, m);
        }
        break;
    case SEC_EXPORT: err = read_exports(r, a, f, reterr); break;
    case SEC_START: f->has_start = true; break;
    case SEC_CODE:
        f->code = nx_slice_make(r->p, (size_t)(r->end - r->p));
        f->code_offset = (size_t)(r->p - r->start);
        break;
    default: break; /* code, data, elements, globals: the engine's business */
    }
    if (err == NX_ENOMEM) return nx_error_set(reterr, NX_ENOMEM, "out of memory while reading a module");
    if (!err && r->is_bad) return unreadable(r, section_names[id <= SEC_START ? id : 0], reterr);
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
    reader r = {.start = (const uint8_t *)bytes.p, .p = (const uint8_t *)bytes.p + 8, .end = (const uint8_t *)bytes.p + bytes.n};
    while (!f.is_component && r.p < r.end) {
        uint8_t id = read_byte(&r);
        uint32_t size = read_u32(&r);
        nx_slice body = read_bytes(&r, size);
        if (r.is_bad)
            return nx_error_set(reterr, NX_EMODULE, "not a valid WebAssembly module: it ends in the middle of a section (byte %zu of %zu)",
                                (size_t)(r.p - r.start), bytes.n);
        if (id >= 32 || (id && seen & 1u << id))
            return nx_error_set(reterr, NX_EMODULE, "not a valid WebAssembly module: section %u is unknown or there twice", id);
        seen |= 1u << id;
        const uint8_t *p = (const uint8_t *)body.p;
        reader section = {.start = r.start, .p = p, .end = p + body.n};
        err = read_section(id, &section, a, &f, reterr);
        if (err) return err;
    }
    if (!f.func_types && f.n_imported_funcs) { /* a module without functions of its own */
        reader none = {0};
        static const uint8_t zero = 0;
        none.p = none.start = &zero;
        none.end = &zero + 1;
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
