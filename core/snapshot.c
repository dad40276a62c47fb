/* snapshot.c: the functions of one moment, arranged for routing: own routes sorted by path, exact types sorted, patterns in a list.
 * Immutable once made; the node swaps whole snapshots. */
#include "fn.h"
#include <stdlib.h>

typedef struct type_entry {
    nx_slice type; /* lent by fn */
    nx_core_fn *fn;
} type_entry;

struct nx_core_snapshot {
    nx_core_fn_set set;
    nx_core_fn **routes;
    unsigned n_routes; /* by path, then method; lent by set */
    type_entry *exact;
    unsigned n_exact; /* by type */
    type_entry *patterns;
    unsigned n_patterns;
};

static int slice_cmp(nx_slice a, nx_slice b)
{
    int c = memcmp(a.p ? a.p : "", b.p ? b.p : "", a.n < b.n ? a.n : b.n);
    return c ? c : (a.n > b.n) - (a.n < b.n);
}

int nx_core_route_cmp(const void *a, const void *b)
{
    const nx_fn_config *x = (*(nx_core_fn *const *)a)->settings, *y = (*(nx_core_fn *const *)b)->settings;
    int c = slice_cmp(x->http_path, y->http_path);
    return c ? c : slice_cmp(x->http_method, y->http_method);
}

static int type_cmp(const void *a, const void *b)
{
    return slice_cmp(((const type_entry *)a)->type, ((const type_entry *)b)->type);
}

nx_err nx_core_snapshot_new(const nx_core_fn_set *set, nx_core_snapshot **ret)
{
    unsigned n_types = 0;
    for (unsigned i = 0; i < set->n; i++)
        n_types += set->v[i]->n_types;
    nx_core_snapshot *s = calloc(1, sizeof *s);
    if (!s)
        return NX_ENOMEM;
    s->routes = calloc(set->n + 1u, sizeof(nx_core_fn *));
    s->exact = calloc(n_types + 1u, sizeof *s->exact);
    s->patterns = calloc(n_types + 1u, sizeof *s->patterns);
    if (!s->routes || !s->exact || !s->patterns) {
        nx_core_snapshot_free(s);
        return NX_ENOMEM;
    }
    for (unsigned i = 0; i < set->n; i++) {
        nx_core_fn *fn = set->v[i];
        if (nx_core_fn_set_add(&s->set, nx_core_fn_ref(fn)) != NX_OK) {
            nx_core_snapshot_free(s);
            return NX_ENOMEM;
        }
        if (fn->type[0])
            s->routes[s->n_routes++] = fn;
        for (unsigned k = 0; k < fn->n_types; k++) {
            type_entry e = {fn->types[k], fn};
            if (nx_core_is_type_pattern(e.type))
                s->patterns[s->n_patterns++] = e;
            else
                s->exact[s->n_exact++] = e;
        }
    }
    qsort(s->routes, s->n_routes, sizeof(nx_core_fn *), nx_core_route_cmp);
    qsort(s->exact, s->n_exact, sizeof *s->exact, type_cmp);
    *ret = s;
    return NX_OK;
}

void nx_core_snapshot_free(nx_core_snapshot *s)
{
    if (!s)
        return;
    nx_core_fn_set_done(&s->set);
    free(s->routes);
    free(s->exact);
    free(s->patterns);
    free(s);
}

/* A function counts once, however many of its patterns match: with the first one. */
static bool is_first_match(const type_entry *e, nx_slice type)
{
    for (unsigned i = 0; i < e->fn->n_types; i++)
        if (nx_event_type_matches(e->fn->types[i], type))
            return e->fn->types[i].p == e->type.p;
    return false;
}

unsigned nx_core_snapshot_subscribers(const nx_core_snapshot *s, nx_slice type, nx_core_fn **ret_first)
{
    unsigned lo = 0, hi = s->n_exact, count = 0;
    nx_core_fn *first = NULL;
    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;
        if (slice_cmp(s->exact[mid].type, type) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    for (; lo < s->n_exact && nx_slice_eq(s->exact[lo].type, type); lo++)
        if (is_first_match(&s->exact[lo], type) && count++ == 0)
            first = s->exact[lo].fn;
    for (unsigned i = 0; i < s->n_patterns; i++)
        if (nx_event_type_matches(s->patterns[i].type, type) && is_first_match(&s->patterns[i], type) && count++ == 0)
            first = s->patterns[i].fn;
    if (ret_first)
        *ret_first = first ? nx_core_fn_ref(first) : NULL;
    return count;
}

static nx_err own_route(const nx_core_snapshot *s, nx_slice method, nx_slice path, nx_arena *a, nx_core_fn **ret, nx_slice *ret_allow)
{
    unsigned lo = 0, hi = s->n_routes;
    while (lo < hi) {
        unsigned mid = lo + (hi - lo) / 2;
        if (slice_cmp(s->routes[mid]->settings->http_path, path) < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    nx_slice allow = NX_SLICE_NULL;
    for (; lo < s->n_routes && nx_slice_eq(s->routes[lo]->settings->http_path, path); lo++) {
        const nx_fn_config *f = s->routes[lo]->settings;
        if (nx_slice_eq(f->http_method, method)) {
            *ret = s->routes[lo];
            return NX_OK;
        }
        allow = allow.n ? nx_slice_cstr(nx_arena_printf(a, "%.*s, %.*s", NX_SLICE_FMT(allow), NX_SLICE_FMT(f->http_method))) : f->http_method;
    }
    *ret_allow = allow;
    return allow.n ? NX_ENOTSUP : NX_ENOENT;
}

const nx_core_fn *nx_core_snapshot_owner(const nx_core_snapshot *s, nx_slice method, nx_slice path)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(64u << 10);
    nx_core_fn *fn = NULL;
    nx_slice allow;
    return own_route(s, method, path, &a, &fn, &allow) == NX_OK ? fn : NULL;
}

nx_err nx_core_snapshot_route(const nx_core_snapshot *s, nx_slice method, nx_slice path, nx_arena *a, nx_ingest_route *ret, nx_slice *ret_allow)
{
    nx_core_fn *fn = NULL;
    nx_slice allow = NX_SLICE_NULL;
    nx_err err = own_route(s, method, path, a, &fn, &allow);
    bool is_events = nx_slice_starts(path, NX_SLICE("/events/")) && path.n > 8;
    if (err == NX_OK) {
        *ret = (nx_ingest_route){.function = nx_arena_dup(a, nx_slice_cstr(fn->name)), .type = nx_arena_dup(a, nx_slice_cstr(fn->type)), .is_sync = fn->settings->respond == NX_RESPOND_SYNC};
    } else if (is_events && nx_slice_eq(method, NX_SLICE("POST"))) {
        *ret = (nx_ingest_route){.type = nx_slice_sub(path, 8, path.n - 8)};
    } else {
        if (is_events)
            allow = NX_SLICE("POST");
        *ret_allow = allow.n ? nx_arena_dup(a, allow) : NX_SLICE_NULL;
        return allow.n ? NX_ENOTSUP : NX_ENOENT;
    }
    ret->n_subscribers = nx_core_snapshot_subscribers(s, ret->type, NULL);
    return NX_OK;
}
