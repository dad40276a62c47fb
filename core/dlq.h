/* dlq.h: the dead-letter queue of a namespace, and giving its events to their functions once more.
 * Ownership: the node owns the queue's index; selections lie in the caller's arena.
 * Threads:   any; what reads or writes the log is BLOCKING.
 * Errors:    NX_EBUSY: the queue is long and was not read to its end in time; the next call goes on. */
#ifndef NX_CORE_DLQ_H
#define NX_CORE_DLQ_H
#include "dispatch.h"
#include "nx/fab_dead.h"

#define NX_CORE_DLQ_BUDGET_NS (10 * NX_NS_PER_S)

typedef struct nx_core_dlq_filter {        /* all zero: everything, oldest first */
    nx_slice function, type;               /* exact name; pattern */
    nx_run_why why;                        /* NX_WHY_NONE: any */
    const nx_id *id;                       /* of the event, or of the run */
    uint64_t since_wall_ns, until_wall_ns; /* when the run ended; 0: open. Seconds count */
    uint64_t after_seq;                    /* only records behind this one */
    unsigned limit;                        /* 0: none */
    bool newest_first;
} nx_core_dlq_filter;

nx_err nx_core_dlq_read(nx_node *n, uint64_t budget_ns, nx_error *reterr); /* BLOCKING: brings the index up to the log */
/* BLOCKING: sequences of the final records that match (nx_fab_run_get_seq()); *ret_matching counts also those over the limit. */
nx_err nx_core_dlq_select(nx_node *n, const nx_core_dlq_filter *f, nx_arena *a, uint64_t **ret_seqs, unsigned *ret_n, unsigned *ret_matching, nx_error *reterr);

/* How an event is given to its function once more. */
typedef struct nx_core_redrive {
    char version[32];          /* or an alias, which is resolved at once; "" the live one when it runs */
    nx_effects_policy effects; /* where answers to the function's host calls come from */
    uint64_t due_wall_ns;      /* 0: now */
} nx_core_redrive;

/* BLOCKING: the next generation of the run whose final record this is, by a timer; then the mark that takes it out of the queue. The event is
 * run once the timer is stored, whatever happens to this node. *ret_run_id: of the new generation.
 * NX_ENOENT: record, event, function or version is gone. */
nx_err nx_core_redrive_run(nx_node *n, const nx_run *failed, const nx_core_redrive *how, nx_id *ret_run_id, nx_error *reterr);
nx_err nx_core_redrive_check(nx_node *n, nx_slice function, const nx_core_redrive *how, nx_error *reterr); /* BLOCKING: NX_ENOENT as above */
/* BLOCKING: takes it out of the queue; record and event stay. */
nx_err nx_core_purge_run(nx_node *n, const nx_run *failed, nx_error *reterr);
/* BLOCKING: a run that a timer brings: function and answers as its note says. NX_ENOENT: its version is gone. */
nx_err nx_core_redrive_prepare(nx_core_run *r, nx_error *reterr);
#endif
