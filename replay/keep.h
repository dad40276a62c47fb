/* keep.h: the record that a replay leaves.
 * Threads: any. BLOCKING: waits until it is stored.
 * Errors:  none: a replay whose record can't be stored is still a replay; the log says what is missing. */
#ifndef NX_REPLAY_KEEP_H
#define NX_REPLAY_KEEP_H
#include "nx/repeat.h"

struct nx_node;
/* `r` was repeated with an id and a trace of its own (nx_replay_how). What the recording hides is hidden in it, too. */
void nx_replay_keep(struct nx_node *n, const nx_replay_result *r);
#endif
