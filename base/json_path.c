/* json_path.c: paths into JSON text, and setting what stands at one by splicing text. */
#include "nx/json_path.h"

#include <stdlib.h>

#include "json_scan.h"
#include "nx/json.h"

#define INDEX_MAX 1000000u

/* ---- paths */

static bool is_name_byte(char c)
{
    return (unsigned char)c > ' ' && c != '.' && c != '[' && c != ']' && c != '"' && c != 0x7f;
}

static nx_err bad_path(nx_error *reterr, nx_slice text, size_t at, const char *what)
{
    return nx_error_set(reterr, NX_EPARSE, "path \"%.*s\", at character %zu: %s", NX_SLICE_FMT(text), at + 1, what);
}

/* `"a.b"` at text[*at], decoded into the arena. */
static nx_err parse_quoted(nx_slice text, size_t *at, nx_arena *a, nx_slice *ret, nx_error *reterr)
{
    nx_json_scan s = {text.p + *at, text.p + text.n};
    if (nx_json_scan_value(&s) != NX_OK) return bad_path(reterr, text, *at, "a name in quotes is a JSON string: [\"a.b\"]");
    nx_slice raw = nx_slice_make(text.p + *at + 1, (size_t)(s.p - text.p) - *at - 2);
    char *decoded = nx_arena_alloc(a, raw.n + 1);
    size_t n = 0;
    if (!decoded) return nx_error_set(reterr, NX_ENOMEM, "out of memory for a path");
    if (nx_json_unescape(raw, decoded, &n) != NX_OK) return bad_path(reterr, text, *at, "half of a surrogate pair");
    *ret = nx_slice_make(decoded, n);
    *at = (size_t)(s.p - text.p);
    return NX_OK;
}

/* Behind a '['. */
static nx_err parse_bracket(nx_slice text, size_t *at, nx_arena *a, nx_json_step *step, nx_error *reterr)
{
    if (*at < text.n && text.p[*at] == '"') {
        nx_err err = parse_quoted(text, at, a, &step->key, reterr);
        if (err) return err;
    } else {
        size_t from = *at;
        while (*at < text.n && text.p[*at] >= '0' && text.p[*at] <= '9') (*at)++;
        if (nx_slice_u64(nx_slice_sub(text, from, *at - from), INDEX_MAX, &step->index) != NX_OK)
            return bad_path(reterr, text, from, "between [ and ] stands a position (0 is the first) or a name in quotes");
    }
    if (*at == text.n || text.p[*at] != ']') return bad_path(reterr, text, *at, "] is missing");
    (*at)++;
    return NX_OK;
}

static nx_err parse_step(nx_slice text, size_t *at, bool is_first, nx_arena *a, nx_json_step *step, nx_error *reterr)
{
    if (text.p[*at] == '[') {
        (*at)++;
        return parse_bracket(text, at, a, step, reterr);
    }
    if (!is_first) {
        if (text.p[*at] != '.') return bad_path(reterr, text, *at, "expected . or [");
        (*at)++;
    }
    size_t from = *at;
    while (*at < text.n && is_name_byte(text.p[*at])) (*at)++;
    if (*at == from) return bad_path(reterr, text, from, "expected a name (names with dots, spaces or quotes are written [\"a.b\"])");
    step->key = nx_arena_dup(a, nx_slice_sub(text, from, *at - from));
    return step->key.p ? NX_OK : nx_error_set(reterr, NX_ENOMEM, "out of memory for a path");
}

nx_err nx_json_path_parse(nx_slice text, nx_arena *a, nx_json_path *ret, nx_error *reterr)
{
    size_t at = 0;
    nx_json_path path = {.n = 0};
    if (!text.n) return nx_error_set(reterr, NX_EPARSE, "the path is empty");
    if (!nx_slice_is_utf8(text)) return nx_error_set(reterr, NX_EPARSE, "the path is not UTF-8");
    while (at < text.n) {
        if (path.n == NX_JSON_PATH_STEPS) return nx_error_set(reterr, NX_ELIMIT, "the path has more than %d steps", NX_JSON_PATH_STEPS);
        path.steps[path.n] = (nx_json_step){NX_SLICE_NULL, 0};
        nx_err err = parse_step(text, &at, path.n == 0, a, &path.steps[path.n], reterr);
        if (err) return err;
        path.n++;
    }
    *ret = path;
    return NX_OK;
}

nx_err nx_json_step_print(const nx_json_step *s, bool is_first, nx_buf *out)
{
    if (!s->key.p) return nx_buf_printf(out, "[%llu]", (unsigned long long)s->index);
    bool is_plain = s->key.n > 0;
    for (size_t i = 0; i < s->key.n && is_plain; i++) is_plain = is_name_byte(s->key.p[i]);
    nx_err err = NX_OK;
    if (is_plain) {
        if (!is_first) err = nx_buf_append_char(out, '.');
        return err ? err : nx_buf_append_slice(out, s->key);
    }
    err = nx_buf_append_char(out, '[');
    if (!err) err = nx_json_escape(out, s->key);
    return err ? err : nx_buf_append_char(out, ']');
}

/* ---- setting */

typedef struct setting {
    const nx_json_path *path;
    unsigned at; /* the step to be taken next */
    nx_slice value;
    nx_buf *out;
    nx_error *reterr;
} setting;

/* "data.items": the steps taken so far, for a message. */
static const char *taken(const setting *s, nx_buf *text)
{
    for (unsigned i = 0; i < s->at; i++)
        if (nx_json_step_print(&s->path->steps[i], i == 0, text) != NX_OK) return "(a long path)";
    const char *c = nx_buf_cstr(text);
    return text->n && c ? c : "the document";
}

static nx_err refuse(const setting *s, const char *what)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(256);
    return nx_error_set(s->reterr, NX_EINVAL, "%s %s", taken(s, &text), what);
}

/* The value with containers around it for the steps that are left. */
static nx_err create(setting *s)
{
    unsigned from = s->at;
    nx_err err = NX_OK;
    for (; s->at < s->path->n && !err; s->at++) {
        const nx_json_step *step = &s->path->steps[s->at];
        if (!step->key.p && step->index > 0) return refuse(s, "does not exist: a new array begins at [0]");
        err = nx_buf_append_char(s->out, step->key.p ? '{' : '[');
        if (!err && step->key.p) err = nx_json_escape(s->out, step->key);
        if (!err && step->key.p) err = nx_buf_append_char(s->out, ':');
    }
    if (!err) err = nx_buf_append_slice(s->out, s->value);
    for (unsigned i = s->path->n; i > from && !err; i--) err = nx_buf_append_char(s->out, s->path->steps[i - 1].key.p ? '}' : ']');
    return err;
}

/* Whether a key as it is written (with escapes) is `key`. */
static nx_err key_is(nx_slice raw, nx_slice key, bool *ret)
{
    *ret = nx_slice_eq(raw, key) && !(raw.n && memchr(raw.p, '\\', raw.n));
    if (*ret || !raw.n || !memchr(raw.p, '\\', raw.n)) return NX_OK;
    char *decoded = malloc(raw.n);
    size_t n = 0;
    if (!decoded) return NX_ENOMEM;
    *ret = nx_json_unescape(raw, decoded, &n) == NX_OK && nx_slice_eq(nx_slice_make(decoded, n), key);
    free(decoded);
    return NX_OK;
}

/* Where a step leads inside a container: to a value (p not NULL), or to where a new one goes. */
typedef struct place {
    nx_slice value;
    const char *insert; /* before the closing bracket */
    bool is_empty;      /* the container has nothing in it */
} place;

/* The container's last byte that is not white space, its bracket, is at most at the end. */
static const char *closing(nx_slice container) { return container.p + container.n - 1; }

static nx_err find_member(const setting *s, nx_slice object, place *ret)
{
    nx_json_scan scan = {object.p, object.p + object.n};
    nx_slice raw, value;
    bool is_first = true, is_it;
    *ret = (place){.insert = closing(object), .is_empty = true};
    nx_err err = nx_json_scan_object(&scan);
    while (!err) {
        err = nx_json_scan_member(&scan, &is_first, &raw, &value);
        if (err || !raw.p) break;
        ret->is_empty = false;
        err = key_is(raw, s->path->steps[s->at].key, &is_it);
        if (!err && is_it && ret->value.p) return refuse(s, "has two members of that name: which is meant is anybody's guess");
        if (!err && is_it) ret->value = value;
    }
    return err;
}

static nx_err find_item(const setting *s, nx_slice array, place *ret)
{
    nx_json_scan scan = {array.p + 1, closing(array)};
    uint64_t index = s->path->steps[s->at].index, i = 0;
    *ret = (place){.insert = closing(array), .is_empty = true};
    for (;; i++) {
        nx_json_scan_ws(&scan);
        if (scan.p == scan.end) break;
        if (i > 0) { /* the comma */
            scan.p++;
            nx_json_scan_ws(&scan);
        }
        const char *begin = scan.p;
        nx_err err = nx_json_scan_value(&scan);
        if (err) return err;
        ret->is_empty = false;
        if (i == index) {
            ret->value = nx_slice_make(begin, (size_t)(scan.p - begin));
            return NX_OK;
        }
    }
    if (i == index) return NX_OK;
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(256);
    return nx_error_set(s->reterr, NX_EINVAL, "%s has %llu elements: [%llu] would leave a hole", taken(s, &text), (unsigned long long)i, (unsigned long long)index);
}

static bool is_null(nx_slice value) { return nx_slice_eq(value, NX_SLICE("null")); }

/* Follows the steps as far as the document has them: *here is the value that is to be replaced, or, where p->value.p is NULL afterwards, the
 * container that gets something new. */
static nx_err follow(setting *s, nx_slice *here, place *p)
{
    while (s->at < s->path->n && here->n && !is_null(*here)) {
        bool is_key = s->path->steps[s->at].key.p != NULL;
        if (is_key && *here->p != '{') return refuse(s, "is not an object");
        if (!is_key && *here->p != '[') return refuse(s, "is not an array");
        nx_err err = is_key ? find_member(s, *here, p) : find_item(s, *here, p);
        if (err || !p->value.p) return err;
        s->at++;
        *here = p->value;
    }
    return NX_OK;
}

/* The document's value without the white space around it; empty for an empty document. */
static nx_err whole_value(nx_slice document, nx_slice *ret, nx_error *reterr)
{
    nx_json_scan s = {document.p, document.p ? document.p + document.n : NULL};
    nx_json_scan_ws(&s);
    nx_json_scan whole = s;
    nx_err err = s.p == s.end ? NX_OK : nx_json_scan_document(&whole);
    if (err == NX_ELIMIT) return nx_error_set(reterr, err, "the document is nested deeper than %d levels", NX_JSON_DEPTH_MAX);
    if (err) return nx_error_set(reterr, err, "the document is not JSON");
    *ret = nx_slice_make(s.p, 0);
    if (s.p < s.end) (void)nx_json_scan_value(&s);
    ret->n = (size_t)(s.p - ret->p);
    return NX_OK;
}

nx_err nx_json_path_get(nx_slice document, const nx_json_path *path, unsigned skip, nx_slice *ret)
{
    nx_error unused = NX_ERROR_INIT;
    setting s = {.path = path, .at = skip, .reterr = &unused};
    nx_slice here = NX_SLICE_NULL;
    place p = {0};
    nx_err err = whole_value(document, &here, &unused);
    if (err) return err;
    if (!here.n) return NX_ENOENT;
    err = follow(&s, &here, &p);
    if (err == NX_ENOMEM) return err;
    if (err || s.at < path->n) return NX_ENOENT;
    *ret = here;
    return NX_OK;
}

nx_err nx_json_path_set(nx_slice document, const nx_json_path *path, unsigned skip, nx_slice value, nx_buf *out, nx_error *reterr)
{
    setting s = {.path = path, .at = skip, .value = value, .out = out, .reterr = reterr};
    size_t before = out->n;
    nx_slice here = NX_SLICE_NULL;
    nx_err err = whole_value(document, &here, reterr);
    place p = {.value = here};
    if (!err) err = follow(&s, &here, &p);
    if (err) return err;
    const char *from = here.p, *to = here.p + here.n; /* what gives way */
    if (here.n && !p.value.p) from = to = p.insert;
    if (from) err = nx_buf_append(out, document.p, (size_t)(from - document.p));
    if (!err && here.n && !p.value.p) { /* the name of a new member, or the place of a new element */
        const nx_json_step *step = &path->steps[s.at++];
        if (!p.is_empty) err = nx_buf_append_char(out, ',');
        if (!err && step->key.p) err = nx_json_escape(out, step->key);
        if (!err && step->key.p) err = nx_buf_append_char(out, ':');
    }
    if (!err) err = create(&s);
    if (!err && to) err = nx_buf_append(out, to, (size_t)(document.p + document.n - to));
    if (err) out->n = before;
    return err == NX_OK || err == NX_EINVAL ? err : nx_error_set(reterr, err, "the document would be over %zu bytes", out->max);
}
