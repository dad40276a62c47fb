/* group.c: shares that are weighed together against those of other groups: the functions of a namespace. Slots are shared out between groups first, by
 * the groups' weights, and what a group gets then between its shares, by theirs; so it gets no more by having more functions.
 * Nor does one take what all of them need: of the threads that guests hold outside of slots (they sleep, wait for a call's answer, or are paused), and of
 * the queue, it may have four fifths of what is free, and of that a share (share.c). A group that has more threads than that does not begin attempts (it
 * is held) until some are given back; nor does one that has more guests paused than it may for its own sake, where it can resume one of them. */
#include <stdlib.h>

#include "nx/clock.h"
#include "rt_internal.h"

nx_err nx_rt_group_init(nx_rt_group *g, nx_rt *r)
{
    g->rt = r;
    g->turn.weight = NX_RT_WEIGHT;
    nx_rt_share_init(&g->common, g);
    return nx_rt_line_join(&g->shares);
}

void nx_rt_group_done(nx_rt_group *g) { nx_rt_line_done(&g->shares); }

nx_err nx_rt_group_new(nx_rt *r, nx_rt_group **ret)
{
    nx_rt_group *g = calloc(1, sizeof *g);
    if (!g) return NX_ENOMEM;
    nx_err err = nx_rt_group_init(g, r);
    if (!err) {
        (void)pthread_mutex_lock(&r->workers.mu);
        err = nx_rt_line_join(&r->workers.groups);
        (void)pthread_mutex_unlock(&r->workers.mu);
    }
    if (err) {
        nx_rt_group_done(g);
        free(g);
        return err;
    }
    *ret = g;
    return NX_OK;
}

/* Whoever lets go of it last: its owner, a share's last user, or the slot that its last attempt is in. */
void nx_rt_group_free_if_unused_locked(nx_rt_group *g)
{
    if (!g->is_let_go || g->begun || g->shares.n_members > 1) return;
    g->rt->workers.groups.n_members--;
    nx_rt_group_done(g);
    free(g);
}

void nx_rt_group_free(nx_rt_group *g)
{
    if (!g) return;
    nx_rt_workers *w = &g->rt->workers;
    (void)pthread_mutex_lock(&w->mu);
    g->is_let_go = true;
    nx_rt_group_free_if_unused_locked(g);
    (void)pthread_mutex_unlock(&w->mu);
}

nx_rt_share *nx_rt_group_share(nx_rt_group *g) { return &g->common; }

void nx_rt_group_set(nx_rt_group *g, unsigned weight)
{
    (void)pthread_mutex_lock(&g->rt->workers.mu);
    g->turn.weight = weight ? weight : NX_RT_WEIGHT;
    (void)pthread_mutex_unlock(&g->rt->workers.mu);
}

void nx_rt_group_depth(nx_rt_group *g, unsigned *ret_queued, unsigned *ret_running)
{
    (void)pthread_mutex_lock(&g->rt->workers.mu);
    *ret_queued = g->turn.queued;
    *ret_running = g->turn.running;
    (void)pthread_mutex_unlock(&g->rt->workers.mu);
}

void nx_rt_group_cancel(nx_rt_group *g)
{
    nx_rt_workers *w = &g->rt->workers;
    (void)pthread_mutex_lock(&w->mu);
    atomic_store(&g->is_canceled, true);
    g->turn.vtime = 0; /* all that it has left is to end, which takes no time: it goes first */
    nx_rt_line_moved(&w->groups, &g->turn);
    (void)pthread_cond_broadcast(&w->nap);
    (void)pthread_mutex_unlock(&w->mu);
    nx_rt_epoch_kick(&g->rt->epoch);
    nx_rt_slots_tick(g->rt, nx_clock_ns()); /* what is paused by its CPU limit ends too */
}

void nx_rt_group_wait(nx_rt_group *g)
{
    nx_rt_workers *w = &g->rt->workers;
    (void)pthread_mutex_lock(&w->mu);
    g->is_awaited = true;
    while (g->begun || g->turn.queued) (void)pthread_cond_wait(&w->nap, &w->mu);
    g->is_awaited = false;
    (void)pthread_mutex_unlock(&w->mu);
}

/* ---- its place among the groups */

void nx_rt_group_place_locked(nx_rt_group *g)
{
    nx_rt_line *groups = &g->rt->workers.groups;
    nx_rt_line_place(groups, &g->turn, NX_RT_BEGIN, g->shares.heaps[NX_RT_BEGIN].n && !g->is_held);
    nx_rt_line_place(groups, &g->turn, NX_RT_RESUME, g->shares.heaps[NX_RT_RESUME].n);
}

bool nx_rt_group_hold_locked(nx_rt_group *g)
{
    nx_rt_workers *w = &g->rt->workers;
    unsigned mine = g->begun - g->turn.running;
    bool is_full = g->paused > w->paused_max && g->shares.heaps[NX_RT_RESUME].n; /* it has guests to go on with */
    if (!is_full && !nx_rt_is_too_much(mine, nx_rt_spare_left(w))) return false;
    g->is_held = true;
    g->next_held = w->held;
    w->held = g;
    nx_rt_group_place_locked(g);
    return true;
}

void nx_rt_held_release_locked(nx_rt_workers *w)
{
    nx_rt_shares_release_locked(w);
    while (w->held) {
        nx_rt_group *g = w->held;
        w->held = g->next_held;
        g->is_held = false;
        nx_rt_group_place_locked(g);
    }
}

void nx_rt_group_begin_locked(nx_rt_group *g)
{
    g->begun++;
    g->rt->workers.begun++;
}

void nx_rt_group_end_locked(nx_rt_group *g)
{
    nx_rt_workers *w = &g->rt->workers;
    g->begun--;
    w->begun--;
    w->thread_limit = w->max_threads; /* where the system gave no more of them, it is asked again */
    nx_rt_held_release_locked(w);
    if (g->is_awaited && !g->begun) (void)pthread_cond_broadcast(&w->nap);
    nx_rt_group_free_if_unused_locked(g);
}
