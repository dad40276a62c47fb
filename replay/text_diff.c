/* text_diff.c: where two texts differ, by lines. */
#include "text_diff.h"

typedef struct text {
    nx_slice *lines;
    size_t n;
} text;

typedef struct differ {
    const nx_slice *x, *y; /* what stands between the common beginning and the common end */
    int n, m;
    size_t first; /* lines before them */
    unsigned max;
    nx_line_changes *out;
} differ;

static nx_err split(nx_slice s, nx_arena *a, text *ret)
{
    size_t n = 0, i = 0;
    for (const char *p = s.p, *end = s.n ? s.p + s.n : s.p; p < end; n++) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));
        p = newline ? newline + 1 : end;
    }
    ret->lines = nx_arena_alloc(a, (n + 1) * sizeof *ret->lines);
    if (!ret->lines)
        return NX_ELIMIT;
    while (s.n)
        ret->lines[i++] = nx_slice_split(s, '\n', &s);
    ret->n = i;
    return NX_OK;
}

static void found(const differ *d, nx_change_kind kind, int index)
{
    d->out->total++;
    if (d->out->n == d->max)
        return;
    d->out->v[d->out->n++] = (nx_line_change){
        .kind = kind,
        .line = (unsigned)(d->first + (size_t)index) + 1,
        .text = kind == NX_CHANGE_REMOVED ? d->x[index] : d->y[index],
    };
}

static void all_at_once(const differ *d)
{
    for (int i = 0; i < d->n; i++)
        found(d, NX_CHANGE_REMOVED, i);
    for (int i = 0; i < d->m; i++)
        found(d, NX_CHANGE_ADDED, i);
}

/* Rows of v: for each number of edits, how far along x each diagonal got. Row d has the diagonals -d … d at [d * d + d + diagonal]. */
static int *reach(int *v, int edits, int diagonal) { return &v[edits * edits + edits + diagonal]; }

static bool comes_from_above(int *v, int edits, int k)
{
    return k == -edits || (k != edits && *reach(v, edits - 1, k - 1) < *reach(v, edits - 1, k + 1));
}

/* The least number of edits, with the way there in v; -1: too many. */
static int search(const differ *d, int *v)
{
    for (int edits = 0; edits <= NX_LINE_DIFF_EDITS_MAX; edits++) {
        for (int k = -edits; k <= edits; k += 2) {
            int x = 0;
            if (edits > 0)
                x = comes_from_above(v, edits, k) ? *reach(v, edits - 1, k + 1) : *reach(v, edits - 1, k - 1) + 1;
            int y = x - k;
            while (x < d->n && y < d->m && x >= 0 && y >= 0 && nx_slice_eq(d->x[x], d->y[y])) {
                x++;
                y++;
            }
            *reach(v, edits, k) = x;
            if (x >= d->n && y >= d->m)
                return edits;
        }
    }
    return -1;
}

/* The edits in order: removed lines of a place before added ones, as people are used to. */
static void tell(const differ *d, int *v, int edits, int *script)
{
    int x = d->n, y = d->m, n = 0;
    for (int e = edits; e > 0; e--) { /* backwards */
        int k = x - y;
        bool is_added = comes_from_above(v, e, k);
        k += is_added ? 1 : -1;
        x = *reach(v, e - 1, k);
        y = x - k;
        script[n++] = is_added ? y : -x - 1;
    }
    for (int i = n; i > 0; i--) {
        int s = script[i - 1];
        found(d, s >= 0 ? NX_CHANGE_ADDED : NX_CHANGE_REMOVED, s >= 0 ? s : -s - 1);
    }
}

nx_err nx_line_diff(nx_slice before, nx_slice after, unsigned max, nx_arena *a, nx_line_changes *ret)
{
    text x, y;
    nx_line_changes changes = {.v = nx_arena_calloc(a, max, sizeof *changes.v)};
    nx_err err = changes.v || max == 0 ? split(before, a, &x) : NX_ELIMIT;
    if (err == NX_OK)
        err = split(after, a, &y);
    if (err != NX_OK)
        return err;
    size_t head = 0, tail = 0, less = x.n < y.n ? x.n : y.n;
    while (head < less && nx_slice_eq(x.lines[head], y.lines[head]))
        head++;
    while (tail < less - head && nx_slice_eq(x.lines[x.n - 1 - tail], y.lines[y.n - 1 - tail]))
        tail++;
    size_t n = x.n - head - tail, m = y.n - head - tail, rows = NX_LINE_DIFF_EDITS_MAX + 1;
    bool is_big = n > NX_LINE_DIFF_LINES_MAX || m > NX_LINE_DIFF_LINES_MAX;
    differ d = {.x = x.lines + head, .y = y.lines + head, .n = (int)n, .m = (int)m, .first = head, .max = max, .out = &changes};
    int *v = is_big ? NULL : nx_arena_alloc(a, rows * rows * sizeof *v);
    int *script = is_big ? NULL : nx_arena_alloc(a, rows * sizeof *script);
    if (!is_big && (!v || !script))
        return NX_ELIMIT;
    int edits = is_big ? -1 : search(&d, v);
    if (edits < 0)
        all_at_once(&d);
    else
        tell(&d, v, edits, script);
    *ret = changes;
    return NX_OK;
}
