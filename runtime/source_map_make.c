/* source_map_make.c: a source map out of a module's DWARF: the lines of one folder's sources, without what a debugger would need. A release
 * build's DWARF is mostly that of the standard library (6 MB for a module of 100 kB), and none of it says where the function itself failed.
 * Code that was inlined from elsewhere has the line that called it. */
#include <stdio.h>
#include <stdlib.h>

#include "bytes.h"
#include "dwarf_inlined.h"
#include "nx/json.h"
#include "source_map.h"

#define SPANS_MAX (8u << 20)
#define SOURCES_MAX 16384u
#define NO_SOURCE UINT32_MAX

typedef struct span { /* of the code section */
    uint32_t begin, end, source, line;
} span;

typedef struct spans {
    span *v;
    size_t n, capacity;
} spans;

typedef struct making {
    const nx_rt_debug *debug;
    nx_slice root, folder; /* folder: of the unit */
    size_t code_bytes;
    nx_rt_line_unit unit;
    nx_arena arena;
    nx_slice *sources;
    uint32_t n_sources;
    uint64_t last_file; /* of the unit; asked for most often */
    uint32_t last_source;
    spans found, calls, foreign; /* the last two are of the unit: user code's inlined calls, rows of other sources */
    nx_err err;
} making;

static void push(making *m, spans *s, span one)
{
    if (s->n == s->capacity) {
        size_t capacity = s->capacity ? s->capacity * 2 : 256;
        span *grown = capacity <= SPANS_MAX ? realloc(s->v, capacity * sizeof *grown) : NULL;
        if (!grown) {
            m->err = capacity <= SPANS_MAX ? NX_ENOMEM : NX_ELIMIT;
            return;
        }
        s->v = grown;
        s->capacity = capacity;
    }
    s->v[s->n++] = one;
}

/* ---- files below the root, with their path from there */

static bool is_below(nx_slice path, nx_slice root, nx_slice *ret_rest)
{
    if (!nx_slice_starts(path, root) || (path.n > root.n && path.p[root.n] != '/')) return false;
    *ret_rest = path.n > root.n ? nx_slice_sub(path, root.n + 1, path.n) : NX_SLICE_NULL;
    return true;
}

static uint32_t source_named(making *m, nx_slice path)
{
    for (uint32_t i = 0; i < m->n_sources; i++)
        if (nx_slice_eq(m->sources[i], path)) return i;
    char *copy = m->n_sources < SOURCES_MAX ? nx_arena_alloc(&m->arena, path.n) : NULL;
    if (!copy) return NO_SOURCE;
    memcpy(copy, path.p, path.n);
    m->sources[m->n_sources] = nx_slice_make(copy, path.n);
    return m->n_sources++;
}

static uint32_t source_of(making *m, uint64_t file)
{
    char name[1024], whole[2048];
    nx_slice path;
    if (file == m->last_file) return m->last_source;
    nx_rt_line_unit_file(&m->unit, file, name, sizeof name);
    if (name[0] == '/') path = nx_slice_cstr(name);
    else path = nx_slice_make(whole, (size_t)snprintf(whole, sizeof whole, "%.*s/%s", (int)(m->folder.n < 1000 ? m->folder.n : 1000), m->folder.p, name));
    m->last_file = file;
    bool is_ours = is_below(path, m->root, &path) && path.n && !memmem(path.p, path.n, "../", 3);
    m->last_source = is_ours ? source_named(m, path) : NO_SOURCE;
    return m->last_source;
}

/* ---- what the DWARF tells */

static bool fits(const making *m, uint64_t begin, uint64_t end) { return begin > 0 && begin < end && end <= m->code_bytes; }

static void on_row(void *self, const nx_rt_line_unit *u, const nx_rt_line_row *row)
{
    making *m = self;
    (void)u;
    if (m->err || row->line == 0 || row->line > UINT32_MAX || !fits(m, row->address, row->end)) return;
    uint32_t source = source_of(m, row->file);
    span s = {(uint32_t)row->address, (uint32_t)row->end, source, (uint32_t)row->line};
    push(m, source == NO_SOURCE ? &m->foreign : &m->found, s);
}

static bool on_unit(void *self, nx_slice folder, uint64_t lines)
{
    making *m = self;
    nx_slice rest;
    if (m->err || !is_below(folder, m->root, &rest) || !nx_rt_line_unit_at(&m->debug->lines, lines, &m->unit)) return false;
    m->folder = folder;
    m->last_file = UINT64_MAX;
    m->calls.n = m->foreign.n = 0;
    nx_rt_line_unit_rows(&m->unit, on_row, m);
    return true;
}

static void on_call(void *self, uint64_t begin, uint64_t end, uint64_t file, uint64_t line)
{
    making *m = self;
    if (m->err || line == 0 || line > UINT32_MAX || !fits(m, begin, end)) return;
    uint32_t source = source_of(m, file);
    if (source != NO_SOURCE) push(m, &m->calls, (span){(uint32_t)begin, (uint32_t)end, source, (uint32_t)line});
}

/* Rows of other sources belong to the innermost call in a source of ours. */
static void on_unit_end(void *self)
{
    making *m = self;
    for (size_t i = 0; i < m->foreign.n && !m->err; i++) {
        const span *row = &m->foreign.v[i], *best = NULL;
        for (size_t k = 0; k < m->calls.n; k++) {
            const span *c = &m->calls.v[k];
            bool holds = c->begin <= row->begin && row->begin < c->end;
            if (holds && (!best || c->end - c->begin < best->end - best->begin)) best = c;
        }
        if (best) push(m, &m->found, (span){row->begin, row->end < best->end ? row->end : best->end, best->source, best->line});
    }
}

/* ---- writing the map */

static nx_err put_vlq(nx_buf *out, int64_t v)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint64_t left = v < 0 ? (uint64_t)-v << 1 | 1 : (uint64_t)v << 1;
    nx_err err = NX_OK;
    do {
        unsigned digit = (unsigned)(left & 31) | (left >> 5 ? 32u : 0);
        left >>= 5;
        err = nx_buf_append_char(out, digits[digit]);
    } while (left && !err);
    return err;
}

static int by_begin(const void *a, const void *b)
{
    const span *x = a, *y = b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    return x->end < y->end ? -1 : x->end > y->end;
}

static nx_err put_segment(nx_buf *out, int64_t *column, int64_t to, const span *from, const span *s)
{
    nx_err err = *column ? nx_buf_append_char(out, ',') : NX_OK;
    if (!err) err = put_vlq(out, to - *column);
    *column = to;
    if (!s || err) return err;
    err = put_vlq(out, (int64_t)s->source - (int64_t)from->source);
    if (!err) err = put_vlq(out, (int64_t)s->line - (int64_t)from->line);
    return err ? err : nx_buf_append_char(out, 'A'); /* no columns */
}

static nx_err put_mappings(const spans *s, size_t code_offset, nx_buf *out)
{
    span last = {0, 0, 0, 1}; /* lines count from 0 there */
    int64_t column = 0;
    uint32_t end = 0;
    nx_err err = NX_OK;
    for (size_t i = 0; i < s->n && !err; i++) {
        const span *now = &s->v[i];
        if (now->begin < end && i) continue; /* told already, by a row that begins before it */
        bool goes_on = i && now->begin == end && now->source == last.source && now->line == last.line;
        if (i && now->begin > end) err = put_segment(out, &column, (int64_t)(code_offset + end), NULL, NULL);
        if (!err && !goes_on) err = put_segment(out, &column, (int64_t)(code_offset + now->begin), &last, now);
        last = *now;
        end = now->end;
    }
    return err || !s->n ? err : put_segment(out, &column, (int64_t)(code_offset + end), NULL, NULL);
}

static nx_err put_map(const making *m, size_t code_offset, nx_buf *out)
{
    nx_err err = nx_buf_append_cstr(out, "{\"version\":3,\"names\":[],\"sources\":[");
    for (uint32_t i = 0; i < m->n_sources && !err; i++) {
        if (i) err = nx_buf_append_char(out, ',');
        if (!err) err = nx_json_escape(out, m->sources[i]);
    }
    if (!err) err = nx_buf_append_cstr(out, "],\"mappings\":\"");
    if (!err) err = put_mappings(&m->found, code_offset, out);
    return err ? err : nx_buf_append_cstr(out, "\"}");
}

/* ---- the module */

static void note_section(nx_slice name, nx_slice payload, nx_rt_debug *d)
{
    const struct {
        const char *name;
        nx_slice *to;
    } wanted[] = {{".debug_line", &d->lines.debug_line}, {".debug_str", &d->lines.debug_str}, {".debug_line_str", &d->lines.debug_line_str}, {".debug_info", &d->info}, {".debug_abbrev", &d->abbrev}, {".debug_ranges", &d->ranges}};
    for (size_t i = 0; i < NX_ARRAY_LEN(wanted); i++)
        if (nx_slice_eq_cstr(name, wanted[i].name)) *wanted[i].to = payload;
}

/* All but the DWARF goes to `out`. */
static nx_err split(nx_slice module, nx_rt_debug *d, nx_buf *out, size_t *ret_code_offset, size_t *ret_code_bytes)
{
    *ret_code_offset = *ret_code_bytes = 0;
    nx_rt_bytes rest = nx_rt_sections_of(module);
    if (rest.is_bad) return NX_EMODULE;
    nx_err err = nx_buf_append(out, module.p, NX_RT_HEAD_BYTES);
    uint8_t id;
    nx_slice body;
    for (const uint8_t *begin = rest.p; !err && nx_rt_take_section(&rest, &id, &body); begin = rest.p) {
        if (id == NX_RT_SEC_CUSTOM) {
            nx_rt_bytes in = nx_rt_bytes_of(body);
            nx_slice name = nx_rt_take_sized(&in);
            if (in.is_bad) return NX_EMODULE;
            note_section(name, nx_rt_bytes_left(&in), d);
            if (nx_slice_starts(name, NX_SLICE(".debug_"))) continue;
        }
        err = nx_buf_append(out, begin, (size_t)(rest.p - begin));
        if (id != NX_RT_SEC_CODE) continue;
        *ret_code_offset = out->n - body.n;
        *ret_code_bytes = body.n;
    }
    return rest.is_bad ? NX_EMODULE : err;
}

static nx_err find_spans(making *m)
{
    m->sources = calloc(SOURCES_MAX, sizeof *m->sources);
    if (!m->sources) return NX_ENOMEM;
    const nx_rt_debug_told told = {on_unit, on_call, on_unit_end, m};
    nx_err err = nx_rt_inlined_each(m->debug, &told);
    if (m->found.n) qsort(m->found.v, m->found.n, sizeof *m->found.v, by_begin);
    return err ? err : m->err;
}

nx_err nx_rt_source_map_from_dwarf(nx_slice module, nx_slice root, nx_buf *out, nx_error *reterr)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf map = NX_BUF_INIT(NX_RT_SOURCE_MAP_BYTES_MAX);
    nx_rt_debug debug = {0};
    size_t code_offset;
    making m = {.debug = &debug, .root = root, .arena = NX_ARENA_INIT(16u << 20)};
    nx_err err = split(module, &debug, out, &code_offset, &m.code_bytes);
    if (err) return nx_error_set(reterr, err, "%s", err == NX_EMODULE ? "it is no whole module" : "it is too large");
    size_t stripped = out->n;
    err = find_spans(&m);
    if (!err && m.found.n) {
        err = put_map(&m, code_offset, &map);
        if (!err) err = nx_rt_source_map_put(nx_buf_view(&map), out);
    }
    free(m.sources);
    free(m.found.v);
    free(m.calls.v);
    free(m.foreign.v);
    nx_arena_done(&m.arena);
    if (!err) return NX_OK;
    out->n = stripped;
    return nx_error_set(reterr, err, err == NX_ENOMEM ? "out of memory" : "its line tables are too large");
}
