/* nx/compare.h: one stored event by two codes, on a node: what is different.
 * Why:       `nexus diff`, and the question of every upgrade: would the new version have answered otherwise?
 * Ownership: a comparison is lent to the callback for the call.
 * Threads:   BLOCKS on the calling thread, which runs the guest; any number at a time.
 * Errors:    NX_ENOENT (unknown or expired event, nothing ran it), NX_ECONFLICT (ambiguous id). What concerns one function is told in its comparison.
 * A comparison leaves no records: nothing but the two outcomes was wanted. Effects come from the recording. */
#ifndef NX_COMPARE_H
#define NX_COMPARE_H
#include "nx/diff.h"
#include "nx/replay.h"

typedef struct nx_replay_compare_request {
    nx_slice event;    /* id, unique suffix or @last */
    nx_slice function; /* only this one; empty: each that ran the event */
    bool with_output;
    nx_slice before, after; /* "recorded" (the recording itself), a version, "live", or the SHA-256 of an uploaded artifact */
} nx_replay_compare_request;

typedef struct nx_replay_comparison {
    const nx_event *event;
    const nx_run *recorded;
    const nx_diff *diff;      /* NULL: one of both could not be run */
    nx_json_changes settings; /* of versions: environment, limits, …; none where one side has no version's */
    bool has_output;          /* what the second one wrote is told too */
    const char *reason;       /* why; "" where there is a difference or none */
    bool is_artifact_missing;
} nx_replay_comparison;

nx_err nx_replay_compare_event(nx_node *n, const nx_replay_compare_request *req, nx_err (*on_result)(void *self, const nx_replay_comparison *c), void *self,
                               nx_error *reterr);
/* One object (docs/API_REFERENCE.md). */
nx_err nx_replay_comparison_to_json(const nx_replay_comparison *c, nx_jw *w);
#endif
