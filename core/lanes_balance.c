/* lanes_balance.c: what is looked at every few seconds for a function whose keys are in order: whether each node has as many ranges as the
 * others, and whether its past was canceled. */
#include "lanes_internal.h"

/* How many ranges of the slot this node has, all settled, or 0; *ret_last: one of them, a reference. */
static unsigned count_settled(nx_core_slot *s, nx_core_lane **ret_last)
{
    nx_core_lane *v[NX_CORE_LANES];
    bool is_moving = false;
    *ret_last = NULL;
    unsigned n = 0, count = nx_core_lanes_of(s, v);
    for (unsigned i = 0; i < count; i++) {
        pthread_mutex_lock(&v[i]->mu);
        bool is_ours = v[i]->term != 0;
        is_moving |= is_ours && !v[i]->is_settled;
        pthread_mutex_unlock(&v[i]->mu);
        n += is_ours;
        nx_core_lane *drop = is_ours ? *ret_last : v[i];
        *ret_last = is_ours ? v[i] : *ret_last;
        if (drop)
            nx_core_lane_unref(drop);
    }
    return is_moving ? 0 : n;
}

/* A node that has more ranges than its share gives one up, one at a time: what of it waits is given back, what runs is finished first. The slot lives
 * until is_looking ends (nx_core_lanes_close). */
void nx_core_lane_balance(nx_core_job *job)
{
    nx_core_lane *l = (nx_core_lane *)(void *)((char *)job - offsetof(nx_core_lane, job)), *last = NULL;
    char due[NX_FUNCTION_NAME_BYTES + 8];
    unsigned nodes = 0;
    pthread_mutex_lock(&l->mu);
    nx_core_slot *s = l->slot;
    pthread_mutex_unlock(&l->mu);
    if (s)
        nx_core_past_look(s);
    unsigned n = s ? count_settled(s, &last) : 0;
    if (s && (n > 1 || !atomic_load(&s->n_nodes))) {
        nx_core_due_durable(s->name, due);
        nx_err err = nx_fab_timers_askers(l->node->ns, due, &nodes, NULL);
        if (err == NX_OK)
            atomic_store(&s->n_nodes, nodes ? nodes : 1);
        if (err == NX_OK && n > 1 && last && nodes > 1 && n > (NX_CORE_LANES + nodes - 1) / nodes && nx_fab_consumer_yield(atomic_load(&last->consumer), NULL) == NX_OK)
            nx_log(NX_LOG_DEBUG, "lanes.yield", "function '%s': one of %u ranges of keys goes to another of %u nodes", s->name, n, nodes);
    }
    if (last)
        nx_core_lane_unref(last);
    pthread_mutex_lock(&l->mu);
    l->balance_ns = nx_clock_ns() + NX_CORE_LANE_BALANCE_NS;
    l->is_looking = false;
    pthread_cond_broadcast(&l->cv);
    pthread_mutex_unlock(&l->mu);
    nx_core_lane_unref(l);
}
