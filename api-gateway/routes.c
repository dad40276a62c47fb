#include "routes.h"

#include <stdlib.h>

#include "target.h"

static nx_err bad_pattern(const nx_gw_admin_route *r, const char *why, nx_error *reterr)
{
    return nx_error_set(reterr, NX_EINVAL, "route %s %s: %s", r->method, r->pattern, why);
}

static nx_err compile_segment(const nx_gw_admin_route *r, nx_slice text, bool is_last, nx_gw_segment *ret, nx_error *reterr)
{
    if (text.n == 0 && !is_last)
        return bad_pattern(r, "empty segment", reterr);
    *ret = (nx_gw_segment){text, NX_GW_SEGMENT_LITERAL};
    if (text.n == 0 || text.p[0] != '{')
        return NX_OK;
    if (text.p[text.n - 1] != '}' || text.n < 3)
        return bad_pattern(r, "a parameter is a whole segment", reterr);
    nx_slice name = nx_slice_sub(text, 1, text.n - 2);
    ret->kind = NX_GW_SEGMENT_PARAM;
    if (nx_slice_ends(name, NX_SLICE("..."))) {
        if (!is_last)
            return bad_pattern(r, "{name...} stands at the end", reterr);
        ret->kind = NX_GW_SEGMENT_REST;
        name.n -= 3;
    }
    ret->text = name;
    return name.n > 0 ? NX_OK : bad_pattern(r, "a parameter has a name", reterr);
}

static nx_err compile(const nx_gw_admin_route *r, nx_gw_compiled_route *ret, nx_error *reterr)
{
    nx_slice rest = nx_slice_cstr(r->pattern);
    unsigned n_params = 0;

    ret->route = *r;
    if (!r->method || !r->pattern || !r->handler || r->pattern[0] != '/')
        return nx_error_set(reterr, NX_EINVAL, "a route has a method, a pattern that begins with '/', and a handler");
    if (r->max_body_bytes > NX_GW_REQ_BODY_MAX)
        return bad_pattern(r, "max_body_bytes is over 64 MiB", reterr);
    rest = nx_slice_sub(rest, 1, rest.n);
    for (bool is_last = false; !is_last;) {
        nx_slice left, text = nx_slice_split(rest, '/', &left);
        is_last = text.n == rest.n;
        if (ret->n_segments == NX_GW_SEGMENTS_MAX)
            return bad_pattern(r, "too many segments", reterr);
        nx_gw_segment *s = &ret->segments[ret->n_segments++];
        nx_err err = compile_segment(r, text, is_last, s, reterr);
        if (err != NX_OK)
            return err;
        if (s->kind != NX_GW_SEGMENT_LITERAL && ++n_params > NX_GW_ROUTE_PARAMS_MAX)
            return bad_pattern(r, "too many parameters", reterr);
        rest = left;
    }
    return NX_OK;
}

/* Orders by the kinds of the segments, left to right: where two patterns match, the one with the earlier literal is first. */
static int compare_shape(const nx_gw_compiled_route *a, const nx_gw_compiled_route *b)
{
    for (unsigned i = 0; i < a->n_segments && i < b->n_segments; i++) {
        const nx_gw_segment *x = &a->segments[i], *y = &b->segments[i];
        if (x->kind != y->kind)
            return x->kind < y->kind ? -1 : 1;
        if (x->kind == NX_GW_SEGMENT_LITERAL && !nx_slice_eq(x->text, y->text)) {
            size_t n = x->text.n < y->text.n ? x->text.n : y->text.n;
            int order = n > 0 ? memcmp(x->text.p, y->text.p, n) : 0;
            return order != 0 ? order : x->text.n < y->text.n ? -1
                                                              : 1;
        }
    }
    return a->n_segments == b->n_segments ? 0 : a->n_segments < b->n_segments ? -1
                                                                              : 1;
}

static int compare_routes(const void *a, const void *b)
{
    const nx_gw_compiled_route *x = a, *y = b;
    int order = compare_shape(x, y);
    return order != 0 ? order : strcmp(x->route.method, y->route.method);
}

nx_err nx_gw_routes_init(nx_gw_routes *t, const nx_gw_admin_route *routes, size_t n, nx_error *reterr)
{
    nx_err err = NX_OK;

    t->n = 0;
    if (n > NX_GW_ROUTES_MAX)
        return nx_error_set(reterr, NX_ELIMIT, "more than %d routes", NX_GW_ROUTES_MAX);
    t->v = calloc(n ? n : 1, sizeof *t->v);
    if (!t->v)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    t->n = n;
    for (size_t i = 0; err == NX_OK && i < n; i++)
        err = compile(&routes[i], &t->v[i], reterr);
    if (err == NX_OK)
        qsort(t->v, n, sizeof *t->v, compare_routes);
    for (size_t i = 1; err == NX_OK && i < n; i++)
        if (compare_routes(&t->v[i - 1], &t->v[i]) == 0)
            err = bad_pattern(&t->v[i].route, "another route has the same method and shape", reterr);
    if (err != NX_OK)
        nx_gw_routes_done(t);
    return err;
}

void nx_gw_routes_done(nx_gw_routes *t)
{
    free(t->v);
    t->v = NULL;
    t->n = 0;
}

static bool matches(const nx_gw_compiled_route *r, nx_slice path, nx_kv raw[NX_GW_ROUTE_PARAMS_MAX], unsigned *ret_n)
{
    nx_slice rest = nx_slice_sub(path, 1, path.n);
    unsigned n = 0;
    bool is_at_end = false;

    for (unsigned i = 0; i < r->n_segments; i++) {
        const nx_gw_segment *s = &r->segments[i];
        if (is_at_end)
            return false;
        if (s->kind == NX_GW_SEGMENT_REST) {
            raw[n++] = (nx_kv){s->text, rest};
            *ret_n = n;
            return true;
        }
        nx_slice left, text = nx_slice_split(rest, '/', &left);
        is_at_end = text.n == rest.n;
        rest = left;
        if (s->kind == NX_GW_SEGMENT_LITERAL ? !nx_slice_eq(text, s->text) : text.n == 0)
            return false;
        if (s->kind == NX_GW_SEGMENT_PARAM)
            raw[n++] = (nx_kv){s->text, text};
    }
    *ret_n = n;
    return is_at_end;
}

static bool takes_method(const nx_gw_admin_route *r, nx_slice method)
{
    return nx_slice_eq_cstr(method, r->method) || (nx_slice_eq_cstr(method, "HEAD") && strcmp(r->method, "GET") == 0);
}

static bool fill(nx_gw_match *m, const nx_gw_admin_route *r, const nx_kv *raw, unsigned n, nx_arena *a, nx_gw_fault *f)
{
    m->route = r;
    m->n_params = n;
    for (unsigned i = 0; i < n; i++) {
        nx_slice value;
        nx_err err = nx_gw_pct_decode(raw[i].value, false, a, &value);
        if (err == NX_ENOMEM)
            return nx_gw_fault_from(f, err, NULL);
        if (err != NX_OK)
            return nx_gw_fault_set(f, 400, err, "the path is not percent-encoded UTF-8 text");
        m->params[i] = (nx_kv){raw[i].key, value};
    }
    return true;
}

bool nx_gw_routes_match(const nx_gw_routes *t, nx_slice method, nx_slice path, nx_arena *a, nx_gw_match *ret, nx_slice *ret_allow,
                        nx_gw_fault *f)
{
    nx_kv raw[NX_GW_ROUTE_PARAMS_MAX];
    char *allow = NULL;
    unsigned n;

    for (size_t i = 0; i < t->n; i++) {
        const nx_gw_admin_route *r = &t->v[i].route;
        if (!matches(&t->v[i], path, raw, &n))
            continue;
        if (takes_method(r, method))
            return fill(ret, r, raw, n, a, f);
        char *more = nx_arena_printf(a, "%s%s%s%s", allow ? allow : "", allow ? ", " : "", r->method,
                                     strcmp(r->method, "GET") == 0 ? ", HEAD" : "");
        allow = more ? more : allow;
    }
    if (!allow)
        return nx_gw_fault_set(f, 404, NX_ENOENT, "nothing is at this path");
    *ret_allow = nx_slice_cstr(allow);
    return nx_gw_fault_set(f, 405, NX_ENOTSUP, "this path takes %s", allow);
}
