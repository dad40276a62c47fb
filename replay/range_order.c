/* range_order.c: see range_order.h. */
#include "range_order.h"
#include <stdlib.h>

void nx_range_order_done(nx_range_order *o)
{
    free(o->v);
    o->v = NULL;
    o->n = o->at = 0;
}

static int by_event(const void *a, const void *b)
{
    const nx_fab_place *x = a, *y = b;
    if (x->event_seq != y->event_seq)
        return x->event_seq < y->event_seq ? -1 : 1;
    return (x->record_seq > y->record_seq) - (x->record_seq < y->record_seq);
}

static nx_err add(nx_range_order *o, size_t *cap, const nx_run *run)
{
    if (o->n == *cap) {
        size_t more = *cap ? *cap * 2 : 1024;
        nx_fab_place *v = realloc(o->v, more * sizeof *v);
        if (!v)
            return NX_ENOMEM;
        o->v = v;
        *cap = more;
    }
    o->v[o->n++] = (nx_fab_place){run->event_seq, run->record_seq};
    return NX_OK;
}

nx_err nx_range_order_begin(nx_range_order *o, nx_fab_ns *ns, nx_job *job, const nx_fab_range *what, uint64_t from, uint64_t to, nx_fab_place after, nx_error *reterr)
{
    nx_fab_batch b = {0};
    size_t cap = 0;
    nx_err err = NX_OK;
    nx_range_order_done(o);
    o->from = o->next_seq = from;
    for (bool is_end = from > to; err == NX_OK && !is_end && o->n + NX_FAB_RANGE_MAX <= NX_RANGE_ORDER_MAX; is_end = b.is_end) {
        if (nx_job_is_over(job))
            err = NX_ECANCELED;
        else
            err = nx_fab_range_records(ns, what, o->next_seq, to, &b, reterr);
        for (unsigned i = 0; err == NX_OK && i < b.n; i++)
            err = add(o, &cap, &b.runs[i]);
        if (err == NX_OK)
            o->next_seq = b.is_end ? to + 1 : b.next_seq;
    }
    nx_fab_batch_done(&b);
    if (err == NX_ENOMEM)
        nx_error_set(reterr, err, "out of memory: the order of %zu records", o->n);
    if (err != NX_OK)
        return err;
    if (o->n)
        qsort(o->v, o->n, sizeof *o->v, by_event);
    while (o->at < o->n && by_event(&o->v[o->at], &after) <= 0)
        o->at++;
    return NX_OK;
}

nx_err nx_range_order_read(nx_range_order *o, nx_fab_ns *ns, const nx_fab_range *what, nx_fab_batch *b, nx_fab_place *ret_last, nx_error *reterr)
{
    unsigned n = o->n - o->at < NX_RANGE_ORDER_BATCH ? (unsigned)(o->n - o->at) : NX_RANGE_ORDER_BATCH, taken = 0;
    nx_err err = nx_fab_range_runs_at(ns, what, o->v + o->at, n, b, &taken, reterr);
    if (err == NX_OK && taken) {
        o->at += taken;
        *ret_last = o->v[o->at - 1];
    }
    return err;
}
