/* lanes.h: work in order by key, on several threads.
 * Why:       what has one key is done one after the other; what has not may go side by side. A queue for each key would be unbounded, so keys share
 *            lanes: what is on one lane is done in the order in which it was put there, by one worker at a time.
 * Ownership: items lie in their owner's storage; work() gives each back.
 * Threads:   _put and _wait on the owner's thread; work() on the lanes' own (nice: live functions go first), under no lock.
 * Errors:    NX_ENOMEM when no thread can be started. */
#ifndef NX_REPLAY_LANES_H
#define NX_REPLAY_LANES_H
#include "nx/err.h"
#include <stdbool.h>
#include <stdint.h>

typedef struct nx_lane_item {
    struct nx_lane_item *next;
    uint32_t lane; /* any number */
} nx_lane_item;

typedef struct nx_lanes nx_lanes;

typedef struct nx_lanes_options {
    unsigned workers;
    void (*work)(void *self, unsigned worker, nx_lane_item *item);
    void *self;
} nx_lanes_options;

nx_err nx_lanes_new(const nx_lanes_options *o, nx_lanes **ret);
void nx_lanes_put(nx_lanes *l, nx_lane_item **v, unsigned n);
/* Until something was done since the last call, or the time is over. */
void nx_lanes_wait(nx_lanes *l, uint64_t ns);
/* What is not begun is not done any more; waits for what is. NULL allowed. */
void nx_lanes_free(nx_lanes *l);
#endif
