/* event_key.c: one value out of an event, named by a path. */
#include "nx/event_key.h"

#include <stdlib.h>

#include "json_scan.h"
#include "nx/json_path.h"

static const nx_slice *attribute(const nx_event *e, nx_slice path)
{
    if (nx_slice_eq_cstr(path, "subject"))
        return &e->subject;
    if (nx_slice_eq_cstr(path, "type"))
        return &e->type;
    if (nx_slice_eq_cstr(path, "source"))
        return &e->source;
    return nx_slice_eq_cstr(path, "partitionkey") ? &e->partition_key : NULL;
}

static nx_err parse(nx_slice path, nx_arena *a, nx_json_path *ret, nx_error *reterr)
{
    nx_err err = nx_json_path_parse(path, a, ret, reterr);
    if (err == NX_OK && !(ret->steps[0].key.p && nx_slice_eq_cstr(ret->steps[0].key, "data")))
        err = nx_error_set(reterr, NX_EPARSE, "it begins with data, or is subject, type, source or partitionkey");
    return err;
}

nx_err nx_event_key_check(nx_slice path, nx_error *reterr)
{
    static const nx_event none;
    nx_json_path steps;
    nx_arena a;
    if (attribute(&none, path))
        return NX_OK;
    nx_arena_init(&a, 16u << 10);
    nx_err err = parse(path, &a, &steps, reterr);
    nx_arena_done(&a);
    return err;
}

nx_err nx_event_key_get(const nx_event *e, nx_slice path, nx_arena *a, nx_slice *ret)
{
    const nx_slice *attr = attribute(e, path);
    nx_json_path steps;
    nx_slice raw;
    if (attr && !attr->n)
        return NX_ENOENT;
    if (attr) {
        *ret = *attr;
        return NX_OK;
    }
    nx_err err = parse(path, a, &steps, NULL);
    if (err == NX_OK)
        err = nx_json_path_get(e->data, &steps, 1, &raw);
    if (err != NX_OK)
        return err == NX_ENOMEM ? err : NX_ENOENT;
    if (raw.p[0] != '"') {
        *ret = raw;
        return NX_OK;
    }
    raw = nx_slice_sub(raw, 1, raw.n - 2);
    char *text = nx_arena_alloc(a, raw.n + 1);
    size_t n = 0;
    if (!text)
        return NX_ENOMEM;
    if (nx_json_unescape(raw, text, &n) != NX_OK)
        return NX_ENOENT;
    *ret = nx_slice_make(text, n);
    return NX_OK;
}

nx_err nx_event_key_number(const nx_event *e, nx_slice path, nx_arena *a, int64_t most, int64_t *ret)
{
    nx_slice text;
    nx_err err = nx_event_key_get(e, path, a, &text);
    if (err != NX_OK)
        return err;
    const char *c = nx_arena_cstr(a, text);
    char *end;
    if (!c)
        return NX_ENOMEM;
    double v = strtod(c, &end);
    if (end == c || *end || v != v)
        return NX_ENOENT;
    *ret = v > (double)most ? most : v < -(double)most ? -most
                                                       : (int64_t)v;
    return NX_OK;
}
