/* recorded_emits.h: the events that a recorded run emitted, from the log.
 * Why:       a recording holds types and digests of them; what they said lies in the log, where they were published, as long as that keeps them.
 * Ownership: everything lies in the arena.
 * Threads:   any; BLOCKING: looks up events that differ, for about two seconds at most. */
#ifndef NX_REPLAY_RECORDED_EMITS_H
#define NX_REPLAY_RECORDED_EMITS_H
#include "nx/diff.h"
#include "nx/node.h"

/* Fills in what `before` (a recorded run) emitted, where `after` emitted something else. What is not found, or was kept from recordings, is not known. */
void nx_replay_recorded_emits(nx_node *n, nx_diff_side *before, const nx_run *after, nx_arena *a);
#endif
