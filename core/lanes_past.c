/* lanes_past.c: the events of the past of an ordered function (past.h) in its lanes: their pace, and their end. */
#include "lanes_internal.h"
#include <stdlib.h>

#define BURST_NS (100 * NX_NS_PER_MS) /* time that was not used is made up for only so far */

static unsigned rate_of(nx_core_lane *const *v, unsigned n)
{
    unsigned rate = 0;
    for (unsigned i = 0; i < n; i++) {
        pthread_mutex_lock(&v[i]->mu);
        rate = v[i]->past.is_over ? 0 : v[i]->past.rate;
        pthread_mutex_unlock(&v[i]->mu);
    }
    return rate;
}

/* One of each range in turn. The rate is the function's: each of its nodes has an equal part of it. */
void nx_core_lanes_pace(nx_core_slot *s, uint64_t now_ns)
{
    nx_core_lane *v[NX_CORE_LANES];
    unsigned n = nx_core_lanes_of(s, v), rate = rate_of(v, n), nodes = atomic_load(&s->n_nodes);
    uint64_t each = rate ? NX_NS_PER_S * nodes / rate : 0;
    bool has_one = !rate || nodes, is_past = false; /* how many nodes there are is asked first */
    while (has_one && (!each || s->pace_ns <= now_ns)) {
        has_one = false;
        for (unsigned i = 0; i < n && (!each || s->pace_ns <= now_ns); i++)
            if (nx_core_lane_let_in(v[i], &is_past)) {
                if (is_past)
                    s->pace_ns = (s->pace_ns + BURST_NS > now_ns ? s->pace_ns : now_ns - BURST_NS) + each;
                has_one = true;
            }
    }
    for (unsigned i = 0; i < n; i++)
        nx_core_lane_unref(v[i]);
}

/* What of the past waits behind its key, taken out into a list; heap. What has begun ends, and is tried again. */
static nx_fab_msg **take_out(nx_core_lane *l, unsigned *ret_n)
{
    unsigned n = 0, cap = 0;
    for (unsigned i = 0; i < NX_CORE_LANE_BUCKETS; i++)
        for (nx_core_lane_key *k = l->keys[i]; k; k = k->next)
            cap += k->held.n;
    nx_fab_msg **v = calloc(cap + 1u, sizeof(nx_fab_msg *));
    for (unsigned i = 0; v && i < NX_CORE_LANE_BUCKETS; i++)
        for (nx_core_lane_key *k = l->keys[i]; k; k = k->next) {
            unsigned kept = 0;
            for (unsigned h = 0; h < k->held.n; h++)
                if (nx_core_lane_is_past(l, k->held.v[h]))
                    v[n++] = k->held.v[h];
                else
                    k->held.v[kept++] = k->held.v[h];
            k->held.n = kept;
        }
    l->n_in_hand -= n;
    *ret_n = n;
    return v;
}

void nx_core_lane_end_past(nx_core_lane *l)
{
    unsigned n = 0;
    nx_fab_msg **v = NULL;
    pthread_mutex_lock(&l->mu);
    if (!l->past.is_over) {
        l->past.is_over = true; /* what waits for its pace goes with the next tick */
        v = take_out(l, &n);
    }
    pthread_mutex_unlock(&l->mu);
    for (unsigned i = 0; i < n; i++)
        nx_fab_msg_ack(v[i]);
    free(v);
}
