/* nx/fab_dead.h: dead letters as the log has them: final records that did not end ok, and marks of those that were redriven or purged.
 * Why:       the dead-letter queue is a view of the one log; nothing is moved or copied into it, and nothing in it can be lost.
 * Ownership: what a visitor gets is lent for the call.
 * Threads:   any; all of it BLOCKING.
 * Errors:    as nx/fab.h. */
#ifndef NX_FAB_DEAD_H
#define NX_FAB_DEAD_H
#include "nx/fab.h"

typedef enum { NX_FAB_DEAD_RUN,      /* a final record of a run that did not end ok */
               NX_FAB_DEAD_REDRIVEN, /* a mark: its event was given to the function once more, as the next generation of the run */
               NX_FAB_DEAD_PURGED } nx_fab_dead_kind;

typedef struct nx_fab_dead {
    nx_fab_dead_kind kind;
    nx_id run_id;
    uint64_t seq, wall_ns; /* of the record or mark */
    const nx_run *run;     /* NX_FAB_DEAD_RUN only */
} nx_fab_dead;

/* How far the runs' stream was read; all zero at the beginning. */
typedef struct nx_fab_dead_pass {
    uint64_t seen;      /* all up to here was visited */
    uint64_t first_seq; /* what lies before it is trimmed */
    uint64_t end, at;   /* of the pass under way */
    unsigned stage;
} nx_fab_dead_pass;

/* Visits what was stored since the last call: first records, then marks, each oldest first; a mark comes after what it marks. Stops when the time
 * is up (*ret_is_done false) and goes on there the next time. */
nx_err nx_fab_dead_read(nx_fab_ns *n, nx_fab_dead_pass *p, uint64_t budget_ns, void (*visit)(void *self, const nx_fab_dead *d), void *self,
                        bool *ret_is_done, nx_error *reterr);
/* Stores a mark on a run; `note` is JSON for people who read the log. The record stays. */
nx_err nx_fab_dead_mark(nx_fab_ns *n, nx_fab_dead_kind kind, const nx_run *run, nx_slice note, nx_error *reterr);
/* The final record of the next generation of a run that failed and was redriven, found by its mark. NX_ENOENT: not redriven, or not over. */
nx_err nx_fab_run_redriven(nx_fab_ns *n, const nx_event *e, const nx_run *failed, nx_arena *a, nx_run *ret, nx_error *reterr);
/* The record with this sequence. NX_ENOENT: trimmed. */
nx_err nx_fab_run_get_seq(nx_fab_ns *n, uint64_t seq, nx_arena *a, nx_run *ret, nx_error *reterr);
#endif
