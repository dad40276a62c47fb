/* nx/explain.h: what is told of a replay that diverged, beside that it did: the first host call that differs, where it is made, what was emitted.
 * Why:       a verdict is made of what the record keeps; what a developer needs lies behind that as well.
 * Ownership: an explanation owns what an explained result points to; _done() ends both. Programs, event, recording and `how` are lent until then.
 * Threads:   one at a time. BLOCKS: runs the guest up to three times.
 * Errors:    none: where something can't be found, less is told. */
#ifndef NX_EXPLAIN_H
#define NX_EXPLAIN_H
#include "nx/recall.h"

#define NX_REPLAY_FRAMES_BYTES (64u << 10)

typedef struct nx_replay_explanation {
    nx_replay_repetition *recalling;
    nx_replay_recollection was;
    nx_buf recorded_call, replayed_call, at;
} nx_replay_explanation;

typedef struct nx_replay_codes {
    nx_rt_program *recorded, *replayed; /* NULL: it is gone */
    nx_slice module;                    /* of `replayed`, for line numbers; may be empty */
} nx_replay_codes;

/* Adds to `r`, a copy of the result of repeating with `how`. Results that did not diverge stay as they are. */
void nx_replay_explain(nx_replay_explanation *ret, nx_rt *rt, const nx_replay_codes *codes, const nx_replay_how *how, nx_replay_result *r);
void nx_replay_explanation_done(nx_replay_explanation *x);
#endif
