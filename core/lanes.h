/* lanes.h: events of functions with `ordering: key`: one run at a time for each partition key, in the order of the log.
 * Why:       a range of shards is delivered to one node at a time (nx/fab.h, ordered consumers); which of its events may run is decided here.
 * Ownership: a slot holds its lanes; runs, and a look at the log that is under way, hold references.
 * Threads:   any. */
#ifndef NX_CORE_LANES_H
#define NX_CORE_LANES_H
#include "core_internal.h"

struct nx_core_run;

/* What a run has to do with its lane; lane NULL: nothing. */
typedef struct nx_core_place {
    nx_core_lane *lane; /* reference */
    uint64_t term, seq;
    nx_slice key; /* empty: in no order */
    nx_effects_policy effects;
} nx_core_place;

/* BLOCKING: the lanes of a function, with consumers that take its types; all or none. */
nx_err nx_core_lanes_open(nx_core_slot *s, const nx_core_fn *fn, bool is_paused, const nx_fab_seen *seen, nx_error *reterr);
/* BLOCKING: closes consumers, gives back what is held. Runs go on. */
void nx_core_lanes_close(nx_core_slot *s, bool remove);
void nx_core_lane_depth(nx_core_lane *l, uint64_t *ret_pending, uint64_t *ret_inflight); /* under the slot's mu */
nx_fab_consumer *nx_core_lane_consumer(const nx_core_lane *l);
/* The message of a run is acknowledged (is_done), or comes again. Lets go of the place; what may run now begins. */
void nx_core_lane_leave(nx_core_place *p, bool is_done);
/* The run's next attempt is due at due_wall_ns: its message stays here until then, and its key with it. False: the term is over, and the message is the
 * caller's still. Lets go of the place in either case. */
bool nx_core_lane_hold(nx_core_place *p, nx_fab_msg *msg, unsigned attempt, uint64_t due_wall_ns);
#endif
