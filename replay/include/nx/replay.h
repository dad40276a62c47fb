/* nx/replay.h: replays of stored events on a node: the event, its recorded runs and their code are found here, repeated by nx/repeat.h.
 * Why:       a replay is a proof: same output, host calls, fuel and status, or the first point where they differ (DESIGN 6).
 * Ownership: an nx_replay_result is lent to the callback for the call.
 * Threads:   nx_replay_event() BLOCKS on the calling thread, which runs the guest; any number at a time.
 * Errors:    NX_ENOENT (unknown or expired event, nothing ran it, unknown function or version), NX_ECONFLICT (ambiguous id).
 *            What concerns one function is its result's verdict, never an error. */
#ifndef NX_REPLAY_H
#define NX_REPLAY_H
#include "nx/clock.h"
#include "nx/registry.h"
#include "nx/repeat.h"
#include "nx/what_if.h"

typedef struct nx_replay_request {
    nx_slice event;                   /* id, unique suffix or @last */
    nx_slice function;                /* only this one; empty: each that ran the event */
    nx_slice against;                 /* other code: a version ("v7", "live") or the SHA-256 of an uploaded artifact; empty: the recorded artifact (proof) */
    const nx_replay_what_if *what_if; /* another event, time or answer; NULL: as recorded */
    nx_effects_policy effects;        /* live: with the grants of the version that is run; an uploaded artifact's are the live version's */
} nx_replay_request;

/* Calls on_result for each function in turn; a return other than NX_OK stops and is returned. */
nx_err nx_replay_event(nx_node *n, const nx_replay_request *req, nx_err (*on_result)(void *self, const nx_replay_result *r), void *self, nx_error *reterr);

/* The kinds of jobs that replay: a node's options (nx/node.h) take them. */
struct nx_job_kind;
extern const struct nx_job_kind *const nx_replay_job_kinds[];
extern const unsigned nx_replay_n_job_kinds;
#endif
