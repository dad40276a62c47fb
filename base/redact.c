/* redact.c: values at paths of an event, found by scanning, and covered in the event itself and in any text. */
#include "nx/redact.h"

#include "json_scan.h"
#include "nx/json_path.h"

#define SPANS_MAX 65536u

/* ---- finding values in JSON text */

typedef struct spans {
    nx_slice *v; /* lent from the document */
    size_t n, cap;
    nx_arena *a;
} spans;

static nx_err add_span(spans *s, nx_slice value)
{
    if (s->n == SPANS_MAX) return NX_ELIMIT;
    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 16;
        nx_slice *v = nx_arena_calloc(s->a, cap, sizeof *v);
        if (!v) return NX_ENOMEM;
        if (s->n) memcpy(v, s->v, s->n * sizeof *v);
        s->v = v;
        s->cap = cap;
    }
    s->v[s->n++] = value;
    return NX_OK;
}

/* What stands between a key's quotes may be spelt with escapes. */
static bool key_is(nx_slice raw, nx_slice key, nx_arena *a)
{
    if (!memchr(raw.p, '\\', raw.n)) return nx_slice_eq(raw, key);
    char *decoded = nx_arena_alloc(a, raw.n + 1);
    size_t n;
    return !decoded || nx_json_unescape(raw, decoded, &n) != NX_OK || nx_slice_eq(nx_slice_make(decoded, n), key); /* in doubt it is meant */
}

/* Elements of the array `text`: next until *ret.p is NULL. */
static nx_err next_element(nx_json_scan *s, bool *is_first, nx_slice *ret)
{
    nx_json_scan_ws(s);
    if (s->p == s->end) return NX_EPARSE;
    *ret = NX_SLICE_NULL;
    if (*s->p == ']') return NX_OK;
    if (!*is_first) {
        s->p++; /* the comma: the text was scanned before */
        nx_json_scan_ws(s);
    }
    *is_first = false;
    const char *from = s->p;
    nx_err err = nx_json_scan_value(s);
    *ret = nx_slice_make(from, (size_t)(s->p - from));
    return err;
}

/* `value` is valid JSON without white space around it. Depth is that of the path, or of JSON (64) where all of `value` is meant. */
static nx_err collect(nx_slice value, const nx_json_step *steps, unsigned n_steps, bool wants_leaves, spans *out);

static nx_err collect_members(nx_slice value, const nx_json_step *steps, unsigned n_steps, bool wants_leaves, spans *out)
{
    nx_json_scan s = {value.p, value.p + value.n};
    bool is_first = true, is_every = n_steps == 0 || nx_slice_eq(steps->key, NX_SLICE("*"));
    nx_slice key, member;
    nx_err err = nx_json_scan_object(&s);
    while (!err && !(err = nx_json_scan_member(&s, &is_first, &key, &member)) && key.p) {
        if (is_every || (steps->key.p && key_is(key, steps->key, out->a)))
            err = collect(member, n_steps ? steps + 1 : NULL, n_steps ? n_steps - 1 : 0, wants_leaves, out);
    }
    return err;
}

static nx_err collect_elements(nx_slice value, const nx_json_step *steps, unsigned n_steps, bool wants_leaves, spans *out)
{
    nx_json_scan s = {value.p + 1, value.p + value.n};
    bool is_first = true, is_every = n_steps == 0 || nx_slice_eq(steps->key, NX_SLICE("*"));
    nx_slice element;
    nx_err err = NX_OK;
    for (uint64_t i = 0; !err && !(err = next_element(&s, &is_first, &element)) && element.p; i++) {
        if (is_every || (!steps->key.p && steps->index == i))
            err = collect(element, n_steps ? steps + 1 : NULL, n_steps ? n_steps - 1 : 0, wants_leaves, out);
    }
    return err;
}

static nx_err collect(nx_slice value, const nx_json_step *steps, unsigned n_steps, bool wants_leaves, spans *out)
{
    if (n_steps == 0 && !wants_leaves) return add_span(out, value);
    if (value.p[0] == '{') return collect_members(value, steps, n_steps, wants_leaves, out);
    if (value.p[0] == '[') return collect_elements(value, steps, n_steps, wants_leaves, out);
    return n_steps == 0 ? add_span(out, value) : NX_OK;
}

/* The document without white space around it; false: it is no JSON. */
static bool document_of(const nx_event *e, nx_slice *ret)
{
    nx_json_scan s = {e->data.p, e->data.p ? e->data.p + e->data.n : NULL};
    if (!e->data.n || nx_json_scan_document(&s) != NX_OK) return false;
    s = (nx_json_scan){e->data.p, e->data.p + e->data.n};
    nx_json_scan_ws(&s);
    const char *from = s.p;
    (void)nx_json_scan_value(&s);
    *ret = nx_slice_make(from, (size_t)(s.p - from));
    return true;
}

/* ---- paths */

static nx_err parse_path(nx_slice text, nx_arena *a, nx_json_path *ret, nx_error *reterr)
{
    if (text.n > NX_REDACT_PATH_BYTES) return nx_error_set(reterr, NX_EPARSE, "a path has at most %d bytes", NX_REDACT_PATH_BYTES);
    nx_err err = nx_json_path_parse(text, a, ret, reterr);
    if (err) return err;
    bool is_subject = ret->n == 1 && nx_slice_eq(ret->steps[0].key, NX_SLICE("subject"));
    bool is_data = nx_slice_eq(ret->steps[0].key, NX_SLICE("data"));
    return is_subject || is_data ? NX_OK : nx_error_set(reterr, NX_EPARSE, "a path begins with data, or is subject");
}

nx_err nx_redact_path_check(nx_slice path, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(64u << 10);
    nx_json_path parsed;
    return parse_path(path, &a, &parsed, reterr);
}

/* ---- values to look for */

static void add_value(nx_redaction *r, nx_slice text, bool is_number)
{
    if (!text.n) return;
    if (text.n < NX_REDACT_VALUE_BYTES || r->n_values == NX_ARRAY_LEN(r->values)) {
        r->is_blind = true;
        return;
    }
    for (unsigned i = 0; i < r->n_values; i++)
        if (nx_slice_eq(r->values[i].text, text)) return;
    r->values[r->n_values++] = (nx_redact_value){text, is_number};
    unsigned char c = (unsigned char)text.p[0], other = (unsigned char)(c >= 'a' && c <= 'z' ? c - 32 : c >= 'A' && c <= 'Z' ? c + 32
                                                                                                                             : c);
    r->first[c / 32] |= 1u << (c % 32);
    r->first[other / 32] |= 1u << (other % 32);
}

/* A text as it is, as it was written, and as most programs write it. */
static nx_err add_text(nx_redaction *r, nx_slice text, nx_arena *a)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf escaped = NX_BUF_INIT(text.n * 6 + 2);
    add_value(r, text, false);
    nx_err err = nx_json_escape(&escaped, text);
    if (err) return err;
    nx_slice inner = nx_slice_sub(nx_buf_view(&escaped), 1, escaped.n - 2);
    if (nx_slice_eq(inner, text)) return NX_OK;
    inner = nx_arena_dup(a, inner);
    if (!inner.p) return NX_ENOMEM;
    add_value(r, inner, false);
    return NX_OK;
}

static nx_err add_leaf(nx_redaction *r, nx_slice leaf, nx_arena *a)
{
    if (leaf.p[0] == 'n') return NX_OK;
    if (leaf.p[0] == 't' || leaf.p[0] == 'f') {
        r->is_blind = true;
        return NX_OK;
    }
    if (leaf.p[0] != '"') {
        add_value(r, leaf, true);
        return NX_OK;
    }
    nx_slice raw = nx_slice_sub(leaf, 1, leaf.n - 2);
    char *decoded = nx_arena_alloc(a, raw.n + 1);
    size_t n;
    if (!decoded) return NX_ENOMEM;
    if (nx_json_unescape(raw, decoded, &n) != NX_OK) {
        r->is_blind = true; /* half of a surrogate pair: who knows what a function makes of it */
        return NX_OK;
    }
    if (raw.n != n) add_value(r, raw, false);
    return add_text(r, nx_slice_make(decoded, n), a);
}

nx_err nx_redaction_of(const nx_event *e, const nx_slice *paths, unsigned n_paths, nx_arena *a, nx_redaction *ret)
{
    nx_slice document;
    bool is_json = document_of(e, &document);
    memset(ret, 0, sizeof *ret);
    for (unsigned i = 0; i < n_paths; i++) {
        nx_json_path path;
        nx_err err = parse_path(paths[i], a, &path, NULL);
        if (err) return err;
        if (nx_slice_eq(path.steps[0].key, NX_SLICE("subject"))) {
            err = add_text(ret, e->subject, a);
        } else if (!is_json) {
            ret->is_blind |= e->data.n > 0;
        } else {
            spans found = {.a = a};
            err = collect(document, path.steps + 1, path.n - 1, true, &found);
            for (size_t k = 0; !err && k < found.n; k++) err = add_leaf(ret, found.v[k], a);
            if (err == NX_ELIMIT) {
                ret->is_blind = true;
                err = NX_OK;
            }
        }
        if (err) return err;
    }
    return NX_OK;
}

/* ---- covering */

static void cover(char *p, size_t n, bool is_number)
{
    for (size_t i = 0; i < n; i++) {
        if (!is_number) p[i] = '*';
        else if (p[i] >= '0' && p[i] <= '9') p[i] = '1';
    }
}

static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c + 32) : c; }

/* Whether the value stands there, whole or as far as the text goes (it may have been cut within it); line breaks that are not its own may stand between.
 * `out`: where it is covered, the text's copy; NULL: nowhere. */
static bool stands_at(nx_slice in, size_t at, const nx_redact_value *v, char *out)
{
    size_t k = 0, breaks = 0;
    for (; k < v->text.n && at < in.n; at++) {
        if (lower(in.p[at]) == lower(v->text.p[k])) {
            if (out) cover(out + at, 1, v->is_number);
            k++;
        } else if (!k || (in.p[at] != '\n' && in.p[at] != '\r') || breaks++ == v->text.n) {
            return false;
        }
    }
    return k == v->text.n || k >= NX_REDACT_VALUE_BYTES;
}

nx_err nx_redact_text(const nx_redaction *r, nx_slice in, nx_arena *a, nx_slice *ret)
{
    nx_slice out = NX_SLICE_NULL;
    for (size_t i = 0; i < in.n; i++) {
        unsigned char c = (unsigned char)in.p[i];
        if (!(r->first[c / 32] & 1u << (c % 32))) continue;
        for (unsigned k = 0; k < r->n_values; k++) {
            const nx_redact_value *v = &r->values[k];
            if (!stands_at(in, i, v, NULL)) continue;
            if (!out.p) out = nx_arena_dup(a, in);
            if (!out.p) return NX_ENOMEM;
            (void)stands_at(in, i, v, (char *)out.p); /* ours: the arena's */
        }
    }
    *ret = out.p ? out : in;
    return NX_OK;
}

nx_err nx_redact_line(const nx_redaction *r, nx_redact_lines *l, nx_slice line, nx_arena *a, nx_slice *ret)
{
    size_t n = l->n + 1 + line.n;
    char *joined = nx_arena_alloc(a, n);
    nx_slice out;
    if (!joined) return NX_ENOMEM;
    memcpy(joined, l->tail, l->n);
    joined[l->n] = '\n';
    if (line.n) memcpy(joined + l->n + 1, line.p, line.n);
    nx_err err = nx_redact_text(r, nx_slice_make(joined, n), a, &out);
    if (err) return err;
    *ret = nx_slice_sub(out, l->n + 1, n);
    l->n = n < sizeof l->tail ? n : sizeof l->tail;
    memcpy(l->tail, joined + n - l->n, l->n);
    return NX_OK;
}

static bool cover_leaf(nx_slice leaf)
{
    static const char no_value[5] = {'n', 'u', 'l', 'l', ' '};
    char *p = (char *)leaf.p;
    switch (leaf.p[0]) {
    case '"': cover(p + 1, leaf.n - 2, false); return leaf.n > 2;
    case 't': memcpy(p, no_value, 4); return true;
    case 'f': memcpy(p, no_value, 5); return true;
    case 'n': return false;
    default: cover(p, leaf.n, true); return true;
    }
}

nx_err nx_redact_event(nx_event *e, const nx_slice *paths, unsigned n_paths, nx_arena *a, unsigned *ret_n)
{
    nx_slice document;
    *ret_n = 0;
    bool is_json = document_of(e, &document);
    if (is_json) {
        e->data = nx_arena_dup(a, e->data);
        if (!e->data.p) return NX_ENOMEM;
        (void)document_of(e, &document);
    }
    for (unsigned i = 0; i < n_paths; i++) {
        nx_json_path path;
        spans found = {.a = a};
        nx_err err = parse_path(paths[i], a, &path, NULL);
        if (err) return err;
        if (nx_slice_eq(path.steps[0].key, NX_SLICE("subject"))) {
            if (!e->subject.n) continue;
            e->subject = nx_arena_dup(a, e->subject);
            if (!e->subject.p) return NX_ENOMEM;
            cover((char *)e->subject.p, e->subject.n, false);
            (*ret_n)++;
        } else if (!is_json) {
            *ret_n += e->data.n > 0;
            e->data = NX_SLICE_NULL;
        } else {
            err = collect(document, path.steps + 1, path.n - 1, true, &found);
            if (err) return err;
            for (size_t k = 0; k < found.n; k++) *ret_n += cover_leaf(found.v[k]);
        }
    }
    return NX_OK;
}
