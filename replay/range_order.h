/* range_order.h: the records of a range in the order of their events.
 * Why:       records lie in the order in which runs ended: a run that was tried again for an hour lies far behind the later events of its key. Where a range
 *            is repeated with live effects, the world outside sees the order, so it has to be that of the log.
 * The way:   the records of a stretch of the range are read once for two numbers each, sorted, and read again in that order.
 * Memory:    16 bytes a record, NX_RANGE_ORDER_MAX records. A range that has more is repeated in stretches of so many: order is exact within one.
 * Threads:   one at a time; BLOCKING. */
#ifndef NX_REPLAY_RANGE_ORDER_H
#define NX_REPLAY_RANGE_ORDER_H
#include "range.h"

#define NX_RANGE_ORDER_MAX 1000000u
/* Of one batch. A place is stored behind whole batches: what lies behind it is done again after a crash, and that the outside notices. */
#define NX_RANGE_ORDER_BATCH 16u

typedef struct nx_range_order {
    uint64_t from, next_seq; /* the stretch: sequences of the runs stream from `from` to before `next_seq`; both 0: none is read yet */
    nx_fab_place *v;         /* heap */
    size_t n, at;            /* how many, and how many of them were read */
} nx_range_order;

void nx_range_order_done(nx_range_order *o); /* zeroed ones are allowed */
/* The stretch that begins at `from`, without what does not lie behind `after` (zeros: nothing was done yet). NX_ECANCELED: the job is over. */
nx_err nx_range_order_begin(nx_range_order *o, nx_fab_ns *ns, nx_job *job, const nx_fab_range *what, uint64_t from, uint64_t to, nx_fab_place after, nx_error *reterr);
/* The next batch of it. *ret_last: the last one that was read. */
nx_err nx_range_order_read(nx_range_order *o, nx_fab_ns *ns, const nx_fab_range *what, nx_fab_batch *b, nx_fab_place *ret_last, nx_error *reterr);
#endif
