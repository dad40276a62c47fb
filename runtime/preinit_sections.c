/* preinit_sections.c: the binary side of initialising ahead of time: reading sections, adding exports, writing the state back as constants and
 * data segments. Code, names and debug information stay byte for byte what they were. */
#include "preinit.h"

#include <stdio.h>
#include <string.h>

#include "bytes.h"

#define GAP_BYTES 16u /* zeros that are cheaper kept than left out by another segment */
#define SEGMENTS_MAX 60000u

/* ---- reading */

/* A constant expression up to and with its end. */
static nx_slice take_constant(nx_rt_bytes *c)
{
    const uint8_t *start = c->p;
    for (;;) {
        uint8_t op = nx_rt_take_byte(c);
        if (c->is_bad) return NX_SLICE_NULL;
        switch (op) {
        case 0x0b: return nx_slice_make(start, (size_t)(c->p - start));
        case 0x41: /* i32.const, i64.const, global.get, ref.null, ref.func */
        case 0x42:
        case 0x23:
        case 0xd0:
        case 0xd2: (void)nx_rt_take_uleb(c); break;
        case 0x43: (void)nx_rt_take(c, 4); break;
        case 0x44: (void)nx_rt_take(c, 8); break;
        case 0xfd:
            if (nx_rt_take_uleb(c) != 12) nx_rt_bytes_fail(c); /* v128.const */
            (void)nx_rt_take(c, 16);
            break;
        case 0x6a: /* extended constants: add, sub, mul */
        case 0x6b:
        case 0x6c:
        case 0x7c:
        case 0x7d:
        case 0x7e: break;
        default: nx_rt_bytes_fail(c);
        }
    }
}

static nx_err damaged(const char *what, nx_error *reterr)
{
    return nx_error_set(reterr, NX_EMODULE, "the module can't be initialised ahead of time: its %s can't be read", what);
}

static nx_err read_imports(nx_rt_sections *s, nx_error *reterr)
{
    nx_rt_bytes c = nx_rt_bytes_of(s->body[NX_RT_SEC_IMPORT]);
    if (!s->body[NX_RT_SEC_IMPORT].p) return NX_OK;
    for (uint64_t n = nx_rt_take_count(&c); n && !c.is_bad; n--) {
        (void)nx_rt_take_sized(&c);
        (void)nx_rt_take_sized(&c);
        if (nx_rt_take_byte(&c) != 0) return nx_error_set(reterr, NX_EMODULE, "only functions may be imported by a module that is initialised ahead of time");
        (void)nx_rt_take_u32(&c);
    }
    return c.is_bad ? damaged("imports", reterr) : NX_OK;
}

static nx_err read_globals(nx_rt_sections *s, nx_arena *a, nx_error *reterr)
{
    nx_rt_bytes c = nx_rt_bytes_of(s->body[NX_RT_SEC_GLOBAL]);
    if (!s->body[NX_RT_SEC_GLOBAL].p) return NX_OK;
    uint64_t n = nx_rt_take_count(&c);
    s->globals = nx_arena_calloc(a, n + 1, sizeof *s->globals);
    if (!s->globals) return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    for (uint64_t i = 0; i < n && !c.is_bad; i++) {
        nx_rt_global *g = &s->globals[s->n_globals++];
        g->type = nx_rt_take(&c, 2);
        if (c.is_bad) break;
        g->is_mutable = (uint8_t)g->type.p[1] == 1;
        if (g->is_mutable && (unsigned char)g->type.p[0] - 0x7cu > 3) /* 0x7c to 0x7f: f64, f32, i64, i32 */
            return nx_error_set(reterr, NX_EMODULE, "the module has a variable of a type that can't be kept (global %u)", s->n_globals - 1);
        g->init = take_constant(&c);
    }
    return c.is_bad ? damaged("globals", reterr) : NX_OK;
}

static nx_err read_memory(nx_rt_sections *s, nx_error *reterr)
{
    nx_rt_bytes c = nx_rt_bytes_of(s->body[NX_RT_SEC_MEMORY]);
    if (!s->body[NX_RT_SEC_MEMORY].p) return NX_OK;
    s->n_memories = (unsigned)nx_rt_take_count(&c);
    if (s->n_memories > 1) return nx_error_set(reterr, NX_EMODULE, "a module with several memories can't be initialised ahead of time");
    if (s->n_memories) {
        s->memory_flags = nx_rt_take_byte(&c);
        s->memory_min = nx_rt_take_u32(&c);
        if (s->memory_flags & 1u) s->memory_max = nx_rt_take_u32(&c);
    }
    return c.is_bad || s->memory_flags > 1 ? damaged("memory", reterr) : NX_OK;
}

/* Passive segments can be dropped by initialisation, which nobody could tell afterwards. */
static nx_err read_segments(nx_rt_sections *s, nx_error *reterr)
{
    nx_rt_bytes c = nx_rt_bytes_of(s->body[NX_RT_SEC_DATA]);
    if (s->body[NX_RT_SEC_DATA].p) {
        uint64_t n = nx_rt_take_count(&c);
        for (uint64_t i = 0; i < n && !c.is_bad; i++) {
            uint64_t kind = nx_rt_take_u32(&c);
            if (kind == 1) return nx_error_set(reterr, NX_EMODULE, "a module with passive data segments can't be initialised ahead of time");
            if (kind == 2) (void)nx_rt_take_u32(&c);
            (void)take_constant(&c);
            (void)nx_rt_take_sized(&c);
        }
        s->n_data = (unsigned)n;
    }
    nx_rt_bytes e = nx_rt_bytes_of(s->body[NX_RT_SEC_ELEMENT]);
    if (!c.is_bad && s->body[NX_RT_SEC_ELEMENT].p && nx_rt_take_count(&e) > 0) {
        uint64_t kind = nx_rt_take_u32(&e);
        if ((kind & 3u) == 1) return nx_error_set(reterr, NX_EMODULE, "a module with passive element segments can't be initialised ahead of time");
    }
    return c.is_bad || e.is_bad ? damaged("data", reterr) : NX_OK;
}

nx_err nx_rt_sections_read(nx_slice module, nx_arena *a, nx_rt_sections *ret, nx_error *reterr)
{
    nx_rt_sections s = {.module = module};
    nx_rt_bytes c = nx_rt_sections_of(module);
    uint8_t id;
    nx_slice body;
    while (nx_rt_take_section(&c, &id, &body)) {
        if (id >= NX_RT_SECTION_IDS) return nx_error_set(reterr, NX_EMODULE, "section %u can't be initialised ahead of time", id);
        if (id) s.body[id] = body;
    }
    if (c.is_bad) return damaged("sections", reterr);
    if (s.body[NX_RT_SEC_TABLE].p) {
        nx_rt_bytes t = nx_rt_bytes_of(s.body[NX_RT_SEC_TABLE]);
        s.n_tables = (unsigned)nx_rt_take_count(&t);
    }
    nx_err err = read_imports(&s, reterr);
    if (!err) err = read_globals(&s, a, reterr);
    if (!err) err = read_memory(&s, reterr);
    if (!err) err = read_segments(&s, reterr);
    if (!err) *ret = s;
    return err;
}

/* ---- writing */

static nx_err put_s(nx_buf *out, int64_t v)
{
    for (;;) {
        uint8_t b = (uint8_t)v & 0x7fu;
        v >>= 7;
        bool is_last = (v == 0 && !(b & 0x40u)) || (v == -1 && (b & 0x40u));
        nx_err err = nx_buf_append_char(out, (char)(is_last ? b : b | 0x80u));
        if (err || is_last) return err;
    }
}

static nx_err put_section(nx_buf *out, unsigned id, nx_slice body)
{
    nx_err err = nx_buf_append_char(out, (char)id);
    if (!err) err = nx_rt_put_uleb(out, body.n);
    return err ? err : nx_buf_append_slice(out, body);
}

size_t nx_rt_spare_name(char out[NX_RT_SPARE_NAME_BYTES], char kind, unsigned i)
{
    return (size_t)snprintf(out, NX_RT_SPARE_NAME_BYTES, "\x01nexus-%c%u", kind, i); /* no compiler makes such a name */
}

static nx_err put_spare(nx_buf *out, char kind, uint8_t what, unsigned i)
{
    char name[NX_RT_SPARE_NAME_BYTES];
    size_t n = nx_rt_spare_name(name, kind, i);
    nx_err err = nx_rt_put_uleb(out, n);
    if (!err) err = nx_buf_append(out, name, n);
    if (!err) err = nx_buf_append_char(out, (char)what);
    return err ? err : nx_rt_put_uleb(out, i); /* nothing of these kinds is imported, so indices count from 0 */
}

static nx_err all_exports(const nx_rt_sections *s, nx_buf *out)
{
    nx_rt_bytes c = nx_rt_bytes_of(s->body[NX_RT_SEC_EXPORT]);
    uint64_t n = nx_rt_take_u32(&c);
    nx_err err = nx_rt_put_uleb(out, n + s->n_globals + s->n_tables + s->n_memories);
    if (!err) err = nx_buf_append_slice(out, nx_rt_bytes_left(&c));
    for (unsigned i = 0; i < s->n_tables && !err; i++) err = put_spare(out, 't', 1, i);
    for (unsigned i = 0; i < s->n_memories && !err; i++) err = put_spare(out, 'm', 2, i);
    for (unsigned i = 0; i < s->n_globals && !err; i++) err = put_spare(out, 'g', 3, i);
    return err;
}

/* The module section by section, with some replaced (body p NULL: left out). */
static nx_err put_module(const nx_rt_sections *s, const nx_slice *replaced, uint32_t which, nx_buf *out)
{
    nx_rt_bytes c = nx_rt_sections_of(s->module);
    uint8_t id;
    nx_slice body;
    nx_err err = nx_buf_append(out, s->module.p, NX_RT_HEAD_BYTES);
    bool has_data = false;
    while (!err && nx_rt_take_section(&c, &id, &body)) {
        if (which & 1u << id) body = replaced[id];
        if (body.p) err = put_section(out, id, body);
        has_data |= id == NX_RT_SEC_DATA;
        /* A module without data gets its section behind the code. */
        if (!err && id == NX_RT_SEC_CODE && !s->body[NX_RT_SEC_DATA].p && which & 1u << NX_RT_SEC_DATA && !has_data) err = put_section(out, NX_RT_SEC_DATA, replaced[NX_RT_SEC_DATA]);
    }
    return err;
}

static nx_err too_large(nx_err err, nx_error *reterr)
{
    return err ? nx_error_set(reterr, err, "the module is too large to be initialised ahead of time") : NX_OK;
}

nx_err nx_rt_sections_instrument(const nx_rt_sections *s, nx_buf *out, nx_error *reterr)
{
    nx_slice replaced[NX_RT_SECTION_IDS] = {0};
    nx_buf exports = NX_BUF_INIT(NX_RT_MODULE_BYTES_MAX);
    if (!s->body[NX_RT_SEC_EXPORT].p) return damaged("exports", reterr);
    nx_err err = all_exports(s, &exports);
    replaced[NX_RT_SEC_EXPORT] = nx_buf_view(&exports);
    if (!err) err = put_module(s, replaced, 1u << NX_RT_SEC_EXPORT, out);
    nx_buf_done(&exports);
    return too_large(err, reterr);
}

static nx_err put_global(const nx_rt_global *g, nx_buf *out)
{
    nx_err err = nx_buf_append_slice(out, g->type);
    if (!g->is_mutable) return err ? err : nx_buf_append_slice(out, g->init);
    uint32_t low = (uint32_t)g->value;
    switch ((uint8_t)g->type.p[0]) {
    case 0x7f:
        if (!err) err = nx_buf_append_char(out, 0x41);
        if (!err) err = put_s(out, (int32_t)low);
        break;
    case 0x7e:
        if (!err) err = nx_buf_append_char(out, 0x42);
        if (!err) err = put_s(out, (int64_t)g->value);
        break;
    case 0x7d:
        if (!err) err = nx_buf_append_char(out, 0x43);
        if (!err) err = nx_buf_append(out, &low, sizeof low);
        break;
    default:
        if (!err) err = nx_buf_append_char(out, 0x44);
        if (!err) err = nx_buf_append(out, &g->value, sizeof g->value);
    }
    return err ? err : nx_buf_append_char(out, 0x0b);
}

static nx_err kept_exports(const nx_rt_sections *s, const char *init, nx_buf *out)
{
    nx_rt_bytes c = nx_rt_bytes_of(s->body[NX_RT_SEC_EXPORT]);
    nx_buf kept = NX_BUF_INIT(NX_RT_MODULE_BYTES_MAX);
    uint64_t n_kept = 0;
    nx_err err = NX_OK;
    for (uint64_t n = nx_rt_take_u32(&c); n && !c.is_bad && !err; n--) {
        const uint8_t *start = c.p;
        nx_slice name = nx_rt_take_sized(&c);
        (void)nx_rt_take_byte(&c);
        (void)nx_rt_take_u32(&c);
        if (nx_slice_eq_cstr(name, init) || nx_slice_eq_cstr(name, "_initialize")) continue;
        n_kept++;
        err = nx_buf_append(&kept, start, (size_t)(c.p - start));
    }
    if (!err) err = nx_rt_put_uleb(out, n_kept);
    if (!err) err = nx_buf_append_slice(out, nx_buf_view(&kept));
    nx_buf_done(&kept);
    return err;
}

/* The next stretch of memory that is not zero, with short gaps in it; false: there is none. */
static bool next_stretch(nx_slice memory, size_t *at, size_t *ret_n)
{
    const char *p = memory.p;
    size_t i = *at, end;
    while (i + 8 <= memory.n && memcmp(p + i, "\0\0\0\0\0\0\0\0", 8) == 0) i += 8;
    while (i < memory.n && !p[i]) i++;
    if (i == memory.n) return false;
    end = i + 1;
    for (size_t k = end; k < memory.n && k - end < GAP_BYTES; k++)
        if (p[k]) end = k + 1;
    *at = i;
    *ret_n = end - i;
    return true;
}

static nx_err put_segment(nx_buf *out, size_t at, nx_slice bytes)
{
    nx_err err = nx_buf_append(out, "\0\x41", 2);
    if (!err) err = put_s(out, (int32_t)(uint32_t)at);
    if (!err) err = nx_buf_append_char(out, 0x0b);
    if (!err) err = nx_rt_put_uleb(out, bytes.n);
    return err ? err : nx_buf_append_slice(out, bytes);
}

/* As many segments as before at least: code may name them by number. */
static nx_err data_of(const nx_rt_sections *s, nx_slice memory, nx_buf *out, uint64_t *ret_n, nx_error *reterr)
{
    nx_buf segments = NX_BUF_INIT(NX_RT_STATE_BYTES_MAX);
    nx_err err = NX_OK;
    uint64_t n = 0;
    size_t at = 0, bytes;
    for (; !err && next_stretch(memory, &at, &bytes); at += bytes, n++) {
        if (n == SEGMENTS_MAX) bytes = memory.n - at; /* the rest as one */
        err = put_segment(&segments, at, nx_slice_make(memory.p + at, bytes));
    }
    for (; !err && n < s->n_data; n++) err = put_segment(&segments, 0, NX_SLICE_NULL);
    if (err) {
        nx_buf_done(&segments);
        return nx_error_set(reterr, err, "initialisation leaves more than %u MiB of memory that is not zero", NX_RT_STATE_BYTES_MAX >> 20);
    }
    err = nx_rt_put_uleb(out, n);
    if (!err) err = nx_buf_append_slice(out, nx_buf_view(&segments));
    nx_buf_done(&segments);
    *ret_n = n;
    return too_large(err, reterr);
}

static nx_err small_sections(const nx_rt_sections *s, const nx_rt_state *state, uint64_t n_data, nx_buf out[NX_RT_SECTION_IDS])
{
    nx_err err = nx_rt_put_uleb(&out[NX_RT_SEC_GLOBAL], s->n_globals);
    for (unsigned i = 0; i < s->n_globals && !err; i++) err = put_global(&s->globals[i], &out[NX_RT_SEC_GLOBAL]);
    if (!err) err = kept_exports(s, state->init, &out[NX_RT_SEC_EXPORT]);
    if (!err) err = nx_rt_put_uleb(&out[NX_RT_SEC_DATA_COUNT], n_data);
    if (!err && s->n_memories) {
        err = nx_rt_put_uleb(&out[NX_RT_SEC_MEMORY], 1);
        if (!err) err = nx_buf_append_char(&out[NX_RT_SEC_MEMORY], (char)s->memory_flags);
        if (!err) err = nx_rt_put_uleb(&out[NX_RT_SEC_MEMORY], state->memory.n / NX_RT_PAGE_BYTES);
        if (!err && s->memory_flags & 1u) err = nx_rt_put_uleb(&out[NX_RT_SEC_MEMORY], s->memory_max);
    }
    return err;
}

nx_err nx_rt_sections_derive(const nx_rt_sections *s, const nx_rt_state *state, nx_buf *out, nx_error *reterr)
{
    static const unsigned ids[] = {NX_RT_SEC_MEMORY, NX_RT_SEC_GLOBAL, NX_RT_SEC_EXPORT, NX_RT_SEC_START, NX_RT_SEC_DATA, NX_RT_SEC_DATA_COUNT};
    nx_buf body[NX_RT_SECTION_IDS];
    nx_slice replaced[NX_RT_SECTION_IDS] = {0};
    uint32_t which = 0;
    uint64_t n_data = 0;
    for (unsigned i = 0; i < NX_RT_SECTION_IDS; i++) nx_buf_init(&body[i], NX_RT_MODULE_BYTES_MAX);
    nx_err err = data_of(s, state->memory, &body[NX_RT_SEC_DATA], &n_data, reterr);
    if (!err) err = too_large(small_sections(s, state, n_data, body), reterr);
    for (unsigned i = 0; i < NX_ARRAY_LEN(ids); i++) {
        which |= 1u << ids[i];
        replaced[ids[i]] = nx_buf_view(&body[ids[i]]); /* the start section's is empty: left out */
    }
    if (!s->n_memories) which &= ~(1u << NX_RT_SEC_DATA);
    if (!err) err = too_large(put_module(s, replaced, which, out), reterr);
    for (unsigned i = 0; i < NX_RT_SECTION_IDS; i++) nx_buf_done(&body[i]);
    return err;
}
