/* past.h: what a function with `ordering: key` gets of the time before it was there. Its own consumers begin there, so that the old events of a key
 * come before its new ones; the registry says up to where they are the past, which has a pace and a policy of effects of its own.
 * Threads: any; what is marked BLOCKING asks the registry.
 * Stored:  past.<function>: {"since", "from", "to", "rate", "effects", "is_over"}. Made before the function's consumers are, and never removed: with it
 *          a function that is removed and made again begins with new events. */
#ifndef NX_CORE_PAST_H
#define NX_CORE_PAST_H
#include "core_internal.h"

#define NX_CORE_BACKFILL_RATE_MAX 1000000u

typedef struct nx_core_past {
    uint64_t from_seq, to_seq; /* of the log; to_seq 0: there is none */
    uint64_t since_wall_ns;
    unsigned rate; /* events a second, over all nodes; 0: as fast as it goes */
    nx_effects_policy effects;
    bool is_over; /* all of it is done, or it was canceled: what is left of it is not run */
} nx_core_past;

/* BLOCKING. Zeros where there is none. */
nx_err nx_core_past_get(nx_node *n, const char *function, nx_core_past *ret, nx_error *reterr);
/* BLOCKING. Before the function's consumers are made. NX_ECONFLICT: they are there, so its past is over. */
nx_err nx_core_past_ask(nx_node *n, const char *function, uint64_t since_wall_ns, unsigned rate, nx_effects_policy effects, nx_error *reterr);
/* BLOCKING. The one of `from` in the function's settings, where the function is new and none was asked for before. */
nx_err nx_core_past_of_settings(nx_node *n, const nx_core_fn *fn, nx_core_past *ret, nx_error *reterr);
nx_err nx_core_past_end(nx_node *n, const char *function, nx_error *reterr); /* BLOCKING: is_over, here at once; other nodes look every few seconds */
void nx_core_past_look(nx_core_slot *s);                                     /* BLOCKING: whether it is over by now */
/* past_job.c: the job "backfill" of such a function: it shows how far its consumers are, and cancels. BLOCKING. */
struct nx_job;
nx_err nx_core_past_job_prepare(nx_node *n, nx_slice function, nx_jw *w, nx_error *reterr);
nx_err nx_core_past_job_run(nx_node *n, struct nx_job *job, const char *function, nx_error *reterr);
#endif
