/* lanes_internal.h: a lane, for the files that keep it: lanes.c (what runs and what waits), lanes_past.c (the events of the past and their pace),
 * lanes_balance.c (ranges shared out to nodes).
 * Threads: any; a lane's fields are guarded by its mu, which is taken before the slot's. */
#ifndef NX_CORE_LANES_INTERNAL_H
#define NX_CORE_LANES_INTERNAL_H
#include "lanes.h"
#include "past.h"

#define NX_CORE_LANE_BUCKETS 256u
#define NX_CORE_LANE_BALANCE_NS (5 * NX_NS_PER_S)

typedef enum { KEY_FREE,     /* nothing of it runs: the term is not settled yet */
               KEY_RUNS,     /* the event of sequence `seq` */
               KEY_AWAITS,   /* that one was given back, and comes again */
               KEY_BACKS_OFF /* that one's message is `msg`, its attempt `attempt` is due at due_wall_ns */
} nx_core_key_state;

/* Messages, lowest sequence first. */
typedef struct nx_core_held {
    nx_fab_msg **v;
    unsigned n, cap;
} nx_core_held;

typedef struct nx_core_lane_key {
    struct nx_core_lane_key *next;
    nx_core_key_state state;
    uint64_t seq, due_wall_ns;
    unsigned attempt;
    nx_fab_msg *msg;
    nx_core_held held;
    size_t n;
    char bytes[];
} nx_core_lane_key;

struct nx_core_lane {
    atomic_uint refs;
    nx_node *node;
    _Atomic(nx_fab_consumer *) consumer; /* NULL while it is opened */
    pthread_mutex_t mu;
    pthread_cond_t cv;
    nx_core_slot *slot; /* NULL: closed */
    uint64_t term;      /* 0: not pinned */
    uint64_t begun_ns, look_ns;
    uint64_t balance_ns; /* of a slot's first lane: when its ranges are counted next */
    bool is_settled, is_looking, has_left_over;
    unsigned n_lags, n_in_hand, n_backing_off;
    nx_core_job job;
    nx_core_past past;
    nx_core_held paced; /* in hand, and not let in yet: events of the past that have a pace, and what came behind them */
    nx_core_lane_key *keys[NX_CORE_LANE_BUCKETS];
};

void nx_core_lane_unref(nx_core_lane *l);
unsigned nx_core_lanes_of(nx_core_slot *s, nx_core_lane *ret[NX_CORE_LANES]); /* references; none where the slot is not ordered */
/* lanes.c: the first one that is paced is let in. False: there is none, or not now. */
bool nx_core_lane_let_in(nx_core_lane *l, bool *ret_is_past);
static inline bool nx_core_lane_is_past(const nx_core_lane *l, const nx_fab_msg *m) { return nx_fab_msg_seq(m) <= l->past.to_seq; }

/* lanes_past.c */
void nx_core_lanes_pace(nx_core_slot *s, uint64_t now_ns); /* nx-tick */
void nx_core_lane_end_past(nx_core_lane *l);               /* what is left of the past is not run */
/* lanes_balance.c, on a job thread: a node that has more ranges than its share gives one up. The slot lives until is_looking ends. */
void nx_core_lane_balance(nx_core_job *job);
#endif
