/* json_diff.c: two documents as trees over their own bytes, walked side by side. */
#include "nx/json_diff.h"

#include <stdlib.h>

#include "json_scan.h"
#include "nx/json_path.h"

/* ---- trees */

typedef struct node {
    nx_slice text; /* exact bytes; a container's begin with its bracket */
    nx_slice key;  /* of a member, decoded */
    struct node *next;
    struct node **items; /* in order; an object's by name */
    size_t n;
} node;

const char *nx_change_kind_name(nx_change_kind k)
{
    static const char *const names[] = {"added", "removed", "changed"};
    return names[k];
}

static nx_slice decoded(nx_slice raw, nx_arena *a)
{
    if (!raw.n || !memchr(raw.p, '\\', raw.n)) return raw;
    char *p = nx_arena_alloc(a, raw.n);
    size_t n;
    if (!p) return NX_SLICE_NULL;
    return nx_json_unescape(raw, p, &n) == NX_OK ? nx_slice_make(p, n) : raw; /* half a surrogate pair is compared as it is written */
}

static int by_key(const void *a, const void *b)
{
    const node *x = *(node *const *)a, *y = *(node *const *)b;
    size_t n = x->key.n < y->key.n ? x->key.n : y->key.n;
    int order = n ? memcmp(x->key.p, y->key.p, n) : 0;
    if (order) return order;
    if (x->key.n != y->key.n) return x->key.n < y->key.n ? -1 : 1;
    return x->text.p < y->text.p ? -1 : 1; /* members of one name stay in order */
}

static bool is_container(const node *n) { return *n->text.p == '{' || *n->text.p == '['; }

static nx_err parse(nx_json_scan *s, nx_arena *a, node **ret);

/* `"name" :` before a member's value. */
static nx_err parse_key(nx_json_scan *s, nx_arena *a, nx_slice *ret)
{
    const char *begin = s->p + 1;
    nx_err err = nx_json_scan_value(s);
    if (err) return err;
    *ret = decoded(nx_slice_make(begin, (size_t)(s->p - begin) - 1), a);
    nx_json_scan_ws(s);
    s->p++;
    nx_json_scan_ws(s);
    return ret->p ? NX_OK : NX_ELIMIT;
}

static nx_err parse_items(nx_json_scan *s, nx_arena *a, node *parent)
{
    bool is_object = *parent->text.p == '{';
    node *first = NULL, **tail = &first;
    s->p++;
    for (;;) {
        nx_slice key = NX_SLICE_NULL;
        nx_json_scan_ws(s);
        if (*s->p == (is_object ? '}' : ']')) break;
        if (*s->p == ',') {
            s->p++;
            nx_json_scan_ws(s);
        }
        nx_err err = is_object ? parse_key(s, a, &key) : NX_OK;
        if (!err) err = parse(s, a, tail);
        if (err) return err;
        (*tail)->key = key;
        tail = &(*tail)->next;
        parent->n++;
    }
    s->p++;
    parent->items = nx_arena_calloc(a, parent->n + 1, sizeof(void *));
    if (!parent->items) return NX_ELIMIT;
    size_t i = 0;
    for (node *n = first; n; n = n->next) parent->items[i++] = n;
    if (is_object && parent->n > 1) qsort(parent->items, parent->n, sizeof(void *), by_key);
    return NX_OK;
}

/* The text was scanned whole before: it is JSON, and no deeper than the scanner allows, which bounds the recursion. */
static nx_err parse(nx_json_scan *s, nx_arena *a, node **ret)
{
    node *n = nx_arena_calloc(a, 1, sizeof *n);
    if (!n) return NX_ELIMIT;
    n->text.p = s->p;
    nx_err err = is_container(n) ? parse_items(s, a, n) : nx_json_scan_value(s);
    n->text.n = (size_t)(s->p - n->text.p);
    *ret = n;
    return err;
}

static nx_err parse_document(nx_slice text, nx_arena *a, node **ret)
{
    nx_json_scan s = {text.p, text.p ? text.p + text.n : NULL}, whole = s;
    nx_err err = nx_json_scan_document(&whole);
    if (err) return err;
    nx_json_scan_ws(&s);
    return parse(&s, a, ret);
}

/* ---- comparing */

typedef struct walk {
    nx_arena *a;
    nx_json_changes *out;
    unsigned max;
    nx_json_step steps[NX_JSON_PATH_STEPS];
    unsigned depth;
} walk;

static bool same_string(nx_slice x, nx_slice y, nx_arena *a)
{
    if (!memchr(x.p, '\\', x.n) && !memchr(y.p, '\\', y.n)) return false; /* their bytes differ */
    x = decoded(nx_slice_sub(x, 1, x.n - 2), a);
    y = decoded(nx_slice_sub(y, 1, y.n - 2), a);
    return x.p && y.p && nx_slice_eq(x, y);
}

/* As deep as the documents: 64. */
static bool is_same(const node *x, const node *y, nx_arena *a)
{
    if (nx_slice_eq(x->text, y->text)) return true;
    if (*x->text.p != *y->text.p || x->n != y->n) return false;
    if (*x->text.p == '"') return same_string(x->text, y->text, a);
    if (!is_container(x)) return false;
    for (size_t i = 0; i < x->n; i++)
        if (!nx_slice_eq(x->items[i]->key, y->items[i]->key) || !is_same(x->items[i], y->items[i], a)) return false;
    return true;
}

static nx_slice print_path(const walk *w, bool with_positions)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(64u << 10);
    nx_err err = NX_OK;
    for (unsigned i = 0; i < w->depth && !err; i++) {
        if (!with_positions && !w->steps[i].key.p) err = nx_buf_append_cstr(&b, "[]");
        else err = nx_json_step_print(&w->steps[i], i == 0, &b);
    }
    return err ? NX_SLICE("(a very long path)") : nx_arena_dup(w->a, nx_buf_view(&b));
}

static nx_err found(walk *w, nx_change_kind kind, const node *before, const node *after)
{
    w->out->total++;
    if (w->out->n == w->max) return NX_OK;
    nx_json_change c = {.kind = kind, .path = print_path(w, true), .place = print_path(w, false)};
    if (before) c.before = before->text;
    if (after) c.after = after->text;
    if (!c.path.p || !c.place.p) return NX_ELIMIT;
    w->out->v[w->out->n++] = c;
    return NX_OK;
}

static nx_err compare(walk *w, const node *x, const node *y);

static nx_err compare_at(walk *w, nx_json_step step, const node *x, const node *y)
{
    w->steps[w->depth++] = step;
    nx_err err = x && y ? compare(w, x, y) : found(w, x ? NX_CHANGE_REMOVED : NX_CHANGE_ADDED, x, y);
    w->depth--;
    return err;
}

static nx_err compare_objects(walk *w, const node *x, const node *y)
{
    size_t i = 0, k = 0;
    nx_err err = NX_OK;
    while (!err && (i < x->n || k < y->n)) {
        const node *left = i < x->n ? x->items[i] : NULL, *right = k < y->n ? y->items[k] : NULL;
        if (left && right && !nx_slice_eq(left->key, right->key)) {
            if (by_key(&left, &right) < 0) right = NULL;
            else left = NULL;
        }
        i += left != NULL;
        k += right != NULL;
        nx_slice key = left ? left->key : right ? right->key
                                                : NX_SLICE_NULL; /* one of both is there */
        err = compare_at(w, (nx_json_step){key, 0}, left, right);
    }
    return err;
}

static nx_err compare_arrays(walk *w, const node *x, const node *y)
{
    size_t head = 0, tail = 0, less = x->n < y->n ? x->n : y->n;
    nx_err err = NX_OK;
    while (head < less && is_same(x->items[head], y->items[head], w->a)) head++;
    while (tail < less - head && is_same(x->items[x->n - 1 - tail], y->items[y->n - 1 - tail], w->a)) tail++;
    size_t n = (x->n > y->n ? x->n : y->n) - tail;
    for (size_t i = head; i < n && !err; i++)
        err = compare_at(w, (nx_json_step){NX_SLICE_NULL, i}, i < x->n - tail ? x->items[i] : NULL, i < y->n - tail ? y->items[i] : NULL);
    return err;
}

static nx_err compare(walk *w, const node *x, const node *y)
{
    if (is_same(x, y, w->a)) return NX_OK;
    if (!is_container(x) || *x->text.p != *y->text.p || w->depth == NX_JSON_PATH_STEPS) return found(w, NX_CHANGE_CHANGED, x, y);
    return *x->text.p == '{' ? compare_objects(w, x, y) : compare_arrays(w, x, y);
}

nx_err nx_json_diff(nx_slice before, nx_slice after, unsigned max, nx_arena *a, nx_json_changes *ret)
{
    node *x, *y;
    nx_json_changes changes = {.v = nx_arena_calloc(a, max, sizeof *changes.v)};
    walk w = {.a = a, .out = &changes, .max = max};
    nx_err err = changes.v || max == 0 ? NX_OK : NX_ELIMIT;
    if (!err) err = parse_document(before, a, &x);
    if (!err) err = parse_document(after, a, &y);
    if (!err) err = compare(&w, x, y);
    if (!err) *ret = changes;
    return err;
}
