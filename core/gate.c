/* gate.c: `concurrency`: how many attempts of a function run at once on this node. Its events and its timers come by two consumers, and both pass here;
 * what has to wait keeps its message. At most twice the limit are in hand, because each consumer is bounded by it too. */
#include "dispatch.h"
#include <stdlib.h>

struct nx_core_gate {
    atomic_uint refs;
    pthread_mutex_t mu;
    unsigned limit, inside;
    nx_core_run *first, **last; /* waiting, in the order in which they came */
};

nx_core_gate *nx_core_gate_new(void)
{
    nx_core_gate *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    atomic_init(&g->refs, 1);
    pthread_mutex_init(&g->mu, NULL);
    g->last = &g->first;
    return g;
}

void nx_core_gate_unref(nx_core_gate *g)
{
    if (!g || atomic_fetch_sub(&g->refs, 1) != 1)
        return;
    pthread_mutex_destroy(&g->mu);
    free(g);
}

static nx_core_run *next_in(nx_core_gate *g)
{
    nx_core_run *r = g->first;
    if (!r || (g->limit && g->inside >= g->limit))
        return NULL;
    g->first = r->gate_next;
    if (!g->first)
        g->last = &g->first;
    g->inside++;
    r->is_inside = true;
    return r;
}

void nx_core_gate_limit(nx_core_gate *g, unsigned limit)
{
    pthread_mutex_lock(&g->mu);
    g->limit = limit;
    pthread_mutex_unlock(&g->mu);
}

void nx_core_gate_set(nx_core_gate *g, nx_core_run *r)
{
    atomic_fetch_add(&g->refs, 1);
    r->gate = g;
    r->is_inside = false;
}

bool nx_core_gate_enter(nx_core_run *r)
{
    nx_core_gate *g = r->gate;
    if (!g || r->is_inside)
        return true;
    pthread_mutex_lock(&g->mu);
    bool may_enter = !g->first && (!g->limit || g->inside < g->limit);
    if (may_enter) {
        g->inside++;
        r->is_inside = true;
    } else {
        r->gate_next = NULL;
        *g->last = r;
        g->last = &r->gate_next;
    }
    pthread_mutex_unlock(&g->mu);
    return may_enter;
}

void nx_core_gate_leave(nx_core_run *r)
{
    nx_core_gate *g = r->gate;
    if (!g)
        return;
    pthread_mutex_lock(&g->mu);
    if (r->is_inside)
        g->inside--;
    nx_core_run *next = next_in(g);
    pthread_mutex_unlock(&g->mu);
    r->gate = NULL;
    r->is_inside = false;
    if (next)
        nx_core_run_execute(next);
    nx_core_gate_unref(g);
}
