/* named.c: where an id can lie that says to which name it belongs. Names are in subjects, and the server knows the subjects of a stream: so what is
 * stored far behind its id's time is looked for among its kind only, and an id that nobody gave out not at all. */
#include "nats/lookup.h"
#include <stdio.h>

struct narrowing {
    const nx_fab_ns *n;
    const nx_id *id;
    nx_fab_narrowed *ret;
};

static void add(nx_fab_narrowed *r, const char *filter)
{
    for (unsigned i = 0; i < r->n; i++)
        if (!strcmp(r->v[i], filter))
            return;
    if (r->n < NX_FAB_NARROWED_MAX) /* more than one is a chance of one in a million for each */
        snprintf(r->v[r->n++], sizeof r->v[0], "%s", filter);
}

/* nx.<ns>.ev.<shard>.<type> */
static int visit_type(void *self, nx_slice subject, const nx_json *count)
{
    struct narrowing *w = self;
    char filter[NX_FAB_SUBJECT_BYTES], type[NX_EVENT_TYPE_BYTES + 1];
    size_t n;

    (void)count;
    if (subject.n <= w->n->ev_prefix_n + 3 || nx_fab_type_decode(nx_slice_sub(subject, w->n->ev_prefix_n + 3, subject.n), type, sizeof type, &n))
        return 0;
    if (nx_id_is_of(w->id, nx_slice_make(type, n)) && !nx_slice_to_cstr(subject, filter, sizeof filter))
        add(w->ret, filter);
    return 0;
}

/* nx.<ns>.<run|replay>.<function>.<status>.<shard>: of any status */
static int visit_function(void *self, nx_slice subject, const nx_json *count)
{
    struct narrowing *w = self;
    char filter[NX_FAB_SUBJECT_BYTES];
    nx_slice part[6], rest = subject;

    (void)count;
    for (unsigned i = 0; i < NX_ARRAY_LEN(part); i++)
        part[i] = nx_slice_split(rest, '.', &rest);
    if (rest.n || !part[5].n || !nx_id_is_of(w->id, part[3]))
        return 0;
    if (snprintf(filter, sizeof filter, "nx.%.*s.%.*s.%.*s.*.%.*s", NX_SLICE_FMT(part[1]), NX_SLICE_FMT(part[2]), NX_SLICE_FMT(part[3]), NX_SLICE_FMT(part[5])) < (int)sizeof filter)
        add(w->ret, filter);
    return 0;
}

nx_err nx_fab_narrow(nx_fab_ns *n, const char *stream, const char *filter, const nx_id *id, nx_fab_narrowed *ret, nx_error *reterr)
{
    struct narrowing w = {.n = n, .id = id, .ret = ret};

    ret->n = 0;
    return nx_fab_stream_subjects(n->f, stream, filter, stream == n->events ? visit_type : visit_function, &w, reterr);
}
