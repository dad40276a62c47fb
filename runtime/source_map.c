/* source_map.c: walks the mappings of a source map once and notes the segment that holds each address looked for. */
#include "source_map.h"
#include "bytes.h"

#include <stdio.h>

#include "nx/digest.h"
#include "nx/json.h"

static int digit_of(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63
                                    : -1;
}

/* Base64 VLQ: five bits a digit, the lowest first; bit 0 of the whole is the sign. */
static bool get_vlq(nx_slice *s, int64_t *ret)
{
    uint64_t v = 0;
    for (unsigned shift = 0; shift < 35; shift += 5) {
        int digit = s->n ? digit_of(s->p[0]) : -1;
        if (digit < 0) return false;
        *s = nx_slice_sub(*s, 1, s->n);
        v |= (uint64_t)(digit & 31) << shift;
        if (digit & 32) continue;
        *ret = v & 1 ? -(int64_t)(v >> 1) : (int64_t)(v >> 1);
        return true;
    }
    return false;
}

typedef struct segment {
    int64_t column, source, line; /* source -1: belongs to no file */
} segment;

typedef struct search {
    const nx_rt_facts *facts;
    const nx_json *sources;
    nx_rt_place *places;
    unsigned n;
} search;

/* Where the function begins that holds `address`, both in the code section; SIZE_MAX: none does. */
static size_t function_of(nx_slice code, uint64_t address)
{
    nx_rt_bytes rest = nx_rt_bytes_of(code);
    (void)nx_rt_take_u32(&rest); /* how many there are */
    while (rest.p < rest.end) {
        nx_slice body = nx_rt_take_sized(&rest);
        size_t begin = code.n - nx_rt_bytes_left(&rest).n - body.n;
        if (rest.is_bad || address < begin) break;
        if (address < begin + body.n) return begin;
    }
    return SIZE_MAX;
}

static void put_place(nx_rt_place *p, const nx_json *sources, const segment *s)
{
    nx_slice file = nx_json_str(nx_json_at(sources, (size_t)s->source));
    if (!file.n || s->line < 0) return;
    (void)snprintf(p->file, sizeof p->file, "%.*s", NX_SLICE_FMT(file));
    for (char *c = p->file; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 0x7f) *c = '?';
    p->line = (uint64_t)s->line + 1;
}

/* A segment reaches to the next one's column. What the compiler added (the call that throws) belongs to no file: then `mapped`, the nearest
 * segment before it that does, tells the line, if it is of the same function. */
static void note(const search *w, const segment *s, const segment *mapped, int64_t end)
{
    for (unsigned i = 0; i < w->n; i++) {
        nx_rt_place *p = &w->places[i];
        int64_t at = (int64_t)(p->address + w->facts->code_offset);
        if (p->line || at < s->column || at >= end || mapped->source < 0) continue;
        if (s->source < 0) {
            size_t begin = function_of(w->facts->code, p->address);
            if (begin == SIZE_MAX || mapped->column < (int64_t)(begin + w->facts->code_offset)) continue;
        }
        put_place(p, w->sources, mapped);
    }
}

static void walk(const search *w, nx_slice mappings)
{
    segment now = {0, -1, 0}, before = now, mapped = now;
    int64_t source = 0, column, by, ignored;
    bool has_before = false;
    nx_slice further_lines;
    mappings = nx_slice_split(mappings, ';', &further_lines);
    while (mappings.n) {
        nx_slice s = nx_slice_split(mappings, ',', &mappings);
        if (!get_vlq(&s, &column)) return;
        now.column += column;
        now.source = -1;
        if (s.n) {
            if (!get_vlq(&s, &by)) return;
            source += by;
            if (!get_vlq(&s, &by) || !get_vlq(&s, &ignored)) return;
            now.line += by;
            now.source = source;
        }
        if (has_before) note(w, &before, &mapped, now.column);
        if (now.source >= 0) mapped = now;
        before = now;
        has_before = true;
    }
    if (has_before) note(w, &before, &mapped, INT64_MAX);
}

/* The map itself out of "data:application/json;…;base64,…". */
static nx_slice decode(nx_slice url, nx_arena *a)
{
    static const char mark[] = ";base64,";
    const char *at = url.n ? memmem(url.p, url.n, mark, sizeof mark - 1) : NULL;
    if (!at || !nx_slice_starts(url, NX_SLICE("data:"))) return NX_SLICE_NULL;
    size_t before = (size_t)(at - url.p) + sizeof mark - 1;
    nx_slice text = nx_slice_sub(url, before, url.n), json = NX_SLICE_NULL;
    size_t bytes = text.n / 4 * 3 + 3;
    char *out = bytes <= NX_RT_SOURCE_MAP_BYTES_MAX ? nx_arena_alloc(a, bytes) : NULL;
    if (!out || nx_base64_decode(text, &json, out, bytes)) return NX_SLICE_NULL;
    return json;
}

void nx_rt_source_map_find(const nx_rt_facts *f, nx_arena *a, nx_rt_place *places, unsigned n)
{
    nx_json *map = NULL;
    nx_slice text = decode(f->source_map_url, a);
    if (!text.n || nx_json_parse(text, NX_RT_SOURCE_MAP_BYTES_MAX, &map, NULL)) return;
    walk(&(search){f, nx_json_get(map, "sources"), places, n}, nx_json_get_str(map, "mappings"));
    nx_json_free(map);
}
