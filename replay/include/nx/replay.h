/* nx/replay.h: repeating attempts from their recordings, with a verdict.
 * Why:       a replay is a proof: same output, host calls, fuel and status, or the first point where they differ (DESIGN 6).
 * Ownership: an nx_replay_result is lent to the callback for the call.
 * Threads:   nx_replay_event() BLOCKS on the calling thread, which runs the guest; any number at a time.
 * Errors:    NX_ENOENT (unknown or expired event, nothing ran it, unknown function or version), NX_ECONFLICT (ambiguous id).
 *            What concerns one function is its result's verdict, never an error. */
#ifndef NX_REPLAY_H
#define NX_REPLAY_H
#include "nx/clock.h"
#include "nx/registry.h"

typedef enum { NX_REPLAY_IDENTICAL,
               NX_REPLAY_DIVERGED,
               NX_REPLAY_FAILED } nx_replay_verdict;

typedef struct nx_replay_request {
    nx_slice event;    /* id, unique suffix or @last */
    nx_slice function; /* only this one; empty: each that ran the event */
    nx_slice against;  /* other code: a version ("v7", "live") or the SHA-256 of an uploaded artifact; empty: the recorded artifact (proof) */
} nx_replay_request;

typedef struct nx_replay_result {
    const nx_event *event;
    const nx_run *original; /* the recorded run */
    const nx_run *replayed; /* NULL when it could not be repeated */
    nx_replay_verdict verdict;
    bool is_artifact_missing; /* why it failed */
    bool is_fuel_comparable;
    char reason[512];                      /* one sentence; "" when identical */
    char version[72];                      /* of the code that was run */
    char log_trace[NX_TRACE_ID_HEX + 8];   /* "<trace id>-replay" */
    int64_t first_difference;              /* index of the first host call that differs; -1 */
    nx_slice recorded_call, replayed_call; /* readable; empty when first_difference is -1 */
} nx_replay_result;

/* Calls on_result for each function in turn; a return other than NX_OK stops and is returned. */
nx_err nx_replay_event(nx_node *n, const nx_replay_request *req, nx_err (*on_result)(void *self, const nx_replay_result *r), void *self, nx_error *reterr);
const char *nx_replay_verdict_name(nx_replay_verdict v);
/* The JSON object of one result (docs/API_REFERENCE.md). */
nx_err nx_replay_result_to_json(const nx_replay_result *r, nx_jw *w);
#endif
