/* nx/recall.h: what a record leaves out of its run, found again.
 * Why:       a record keeps the beginning of the host-call trace, and digests of emitted events. The recorded code, repeated, makes all of it once more,
 *            and the recorded digests prove that it is what was: so it is told as if it had been kept.
 * Ownership: a recollection lends from the recording, and from the repetition until that repeats something else.
 * Threads:   the repetition's. BLOCKS: runs the guest once, with recorded answers.
 * Errors:    none: what is not found again stays as the record has it. */
#ifndef NX_RECALL_H
#define NX_RECALL_H
#include "nx/repeat.h"

typedef struct nx_replay_recollection {
    nx_run run;                     /* the recording, with its whole host-call trace where that was found again */
    const nx_emit *emits;           /* what its guest emitted; NULL: nothing is known of it */
    bool knows[NX_RUN_EMITTED_MAX]; /* which of them are known */
} nx_replay_recollection;

/* `program` is the recorded one. Of `how` count the world, where secrets are read again, and keep_calls_bytes. A record that hides values (`recording`,
 * `redact`) is not added to. */
void nx_replay_recall(nx_replay_repetition *p, nx_rt_program *program, const nx_event *event, const nx_run *recorded, const nx_replay_how *how,
                      nx_replay_recollection *ret);
#endif
