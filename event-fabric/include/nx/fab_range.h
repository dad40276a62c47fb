/* nx/fab_range.h: reading a stretch of the log in order, many messages at a time.
 * Why:       a range replay or a backfill reads a million records and events; a round trip for each would take longer than running them.
 * Ownership: an nx_fab_batch owns the messages; its runs and events are lent from them until the batch is read again or done.
 * Threads:   any; a batch is one thread's at a time, what it lends may be read by several. All BLOCKING.
 * Errors:    NX_EUNAVAIL (the same call can be made again), NX_EINVAL, NX_ENOMEM.
 * Source:    batched direct get (ADR-31). */
#ifndef NX_FAB_RANGE_H
#define NX_FAB_RANGE_H
#include "nx/fab.h"

#define NX_FAB_RANGE_MAX 256                   /* items of one batch */
#define NX_FAB_RANGE_BYTES (uint64_t)(8 << 20) /* a batch ends early behind so many bytes; one message may be larger */

typedef struct nx_fab_range {
    nx_slice function; /* exact; runs only; empty: all */
    int status;        /* nx_run_status, or -1; runs only */
    nx_slice type;     /* pattern of event types; empty: all */
} nx_fab_range;

typedef struct nx_fab_batch {
    nx_run *runs;     /* of final records, oldest first; NULL in a batch of events */
    nx_event *events; /* events[i] belongs to runs[i]; stream_seq is 0 where it is no longer stored */
    unsigned n;
    uint64_t next_seq; /* everything before it has been read */
    bool is_end;       /* nothing more is stored up to the end that was asked for */
    uint64_t bytes;    /* of the messages */
    nx_arena arena;
    void *fab_private[2];
    unsigned fab_private_n[2];
} nx_fab_batch;

/* One page of records under way: asked for while the page before it is still worked on, so that server and reader work at the same time. Zeroed before
 * its first use; one reader's, for one `r` and `to`. */
typedef struct nx_fab_ahead {
    void *fab_private; /* NULL: nothing is under way */
    uint64_t from;
} nx_fab_ahead;

/* Where a stretch of time lies in the stream: the first message stored at or after `since` (0: the oldest), the last one before `until` (0: the newest).
 * *ret_from > *ret_to: there is none. */
nx_err nx_fab_range_bounds(nx_fab_ns *n, bool is_events, uint64_t since_wall_ns, uint64_t until_wall_ns, uint64_t *ret_from, uint64_t *ret_to, nx_error *reterr);
/* The next final records from sequence `from` to `to` that match, each with its event. May hold none and not be the end. A final record that is not
 * the first of its run is left out. `b` is zeroed before its first use. `ahead`, unless NULL, has the page at `from` where it was asked for, and gets the
 * one that follows, unless this is the last. */
nx_err nx_fab_range_runs(nx_fab_ns *n, const nx_fab_range *r, uint64_t from, uint64_t to, nx_fab_ahead *ahead, nx_fab_batch *b, nx_error *reterr);
void nx_fab_ahead_done(nx_fab_ns *n, nx_fab_ahead *ahead); /* waits for what is under way */
/* The same without their events: b->events means nothing. */
nx_err nx_fab_range_records(nx_fab_ns *n, const nx_fab_range *r, uint64_t from, uint64_t to, nx_fab_batch *b, nx_error *reterr);
typedef struct nx_fab_place {
    uint64_t event_seq, record_seq; /* of the event in the log, of the run's record among the records */
} nx_fab_place;
/* The records of these places (n at most NX_FAB_RANGE_MAX), in this order, each with its event; what is gone, or no longer matches, is left out. *ret_taken:
 * so many of them were looked for; fewer where the batch is full. next_seq and is_end of `b` mean nothing. */
nx_err nx_fab_range_runs_at(nx_fab_ns *n, const nx_fab_range *r, const nx_fab_place *v, unsigned count, nx_fab_batch *b, unsigned *ret_taken, nx_error *reterr);
/* The next events that match, by their type alone. */
nx_err nx_fab_range_events(nx_fab_ns *n, const nx_fab_range *r, uint64_t from, uint64_t to, nx_fab_batch *b, nx_error *reterr);
void nx_fab_batch_done(nx_fab_batch *b);
#endif
