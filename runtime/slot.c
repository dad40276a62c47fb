/* slot.c: running slots: entered, given up and taken back. A slot is the right to use a core; whose turn it is says share.c.
 * A guest leaves its slot while a host call waits, and at a check (nx_rt_pause_if_due) where a share that has used less wants it, or its own has used up
 * its CPU. It keeps its thread meanwhile, so how many a group may have paused for its own sake is bounded; past that a guest runs on, and its share pays
 * later. For other groups it is always paused: what they may begin is bounded by the threads that they have (group.c). */
#include <sched.h>
#include <time.h>

#include "nx/clock.h"
#include "rt_internal.h"

#define SLICE_NS (200 * 1000ull) /* nobody is asked to leave before, and nobody is asked more often */
#define AHEAD_NS NX_NS_PER_MS    /* by how much vtimes must differ at least: not to change places for nothing */

static uint64_t thread_cpu_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * NX_NS_PER_S + (uint64_t)t.tv_nsec;
}

void nx_rt_slot_begin(nx_rt_exec *x, uint64_t now_ns)
{
    x->slot_since_ns = now_ns;
    x->is_metered = x->share->cpu_milli > 0;
    if (x->is_metered) x->cpu_since_ns = thread_cpu_ns();
}

/* What is to be charged: the time since it was charged last. */
static uint64_t cpu_used(nx_rt_exec *x)
{
    if (!x->is_metered) return 0;
    uint64_t now_ns = thread_cpu_ns(), used_ns = now_ns - x->cpu_since_ns;
    x->cpu_since_ns = now_ns;
    return used_ns;
}

void nx_rt_slot_leave_locked(nx_rt_exec *x, uint64_t now_ns)
{
    nx_rt_share_leave_locked(x->share, now_ns - x->slot_since_ns, cpu_used(x), now_ns);
}

/* Slots go to guests that wait for one, as far as it is their turn. Whose turn it is then, if a slot is left: it has an attempt to begin. */
nx_rt_share *nx_rt_slots_resume_locked(nx_rt_workers *w)
{
    while (w->running < w->slots) {
        nx_rt_share *s = nx_rt_share_next_locked(w);
        if (!s || !s->waiting) return s;
        nx_rt_exec *x = nx_rt_share_resume_locked(w, s);
        x->has_grant = true;
        (void)pthread_cond_signal(x->granted);
    }
    return NULL;
}

static void serve_locked(nx_rt *r)
{
    while (nx_rt_slots_resume_locked(&r->workers) && !nx_rt_call_thread_locked(r)) {} /* without a thread for it, the slot is for one that has begun */
}

static void give_slot_locked(nx_rt_exec *x)
{
    if (!x->has_slot) return;
    nx_rt_slot_leave_locked(x, nx_clock_ns());
    serve_locked(x->rt);
}

static void take_slot_locked(nx_rt_exec *x)
{
    nx_rt_workers *w = &x->rt->workers;
    pthread_cond_t granted = PTHREAD_COND_INITIALIZER;
    if (!x->has_slot) return;
    x->granted = &granted;
    x->has_grant = false;
    nx_rt_share_await_locked(x);
    serve_locked(x->rt); /* may be granted at once */
    while (!x->has_grant) (void)pthread_cond_wait(&granted, &w->mu);
    (void)pthread_cond_destroy(&granted);
    nx_rt_slot_begin(x, nx_clock_ns());
}

/* The guest is interrupted at its very next check, not at the epoch's next tick: it may need no more than that to end as if in time. */
static void interrupt_if(nx_rt_exec *x, bool is_over)
{
    if (is_over || nx_rt_share_is_canceled(x->share) || atomic_load(&x->world.attempt->is_ended)) wasmtime_context_set_epoch_deadline(x->context, 0);
}

void nx_rt_wait_outside(void *exec, uint64_t ns)
{
    nx_rt_exec *x = exec;
    nx_rt_workers *w = &x->rt->workers;
    uint64_t now_ns = nx_clock_ns(), until_ns = ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + ns;
    bool is_cut = until_ns >= x->world.deadline_ns;
    if (is_cut) until_ns = x->world.deadline_ns;
    (void)pthread_mutex_lock(&w->mu);
    give_slot_locked(x);
    struct timespec until = {.tv_sec = (time_t)(until_ns / NX_NS_PER_S), .tv_nsec = (long)(until_ns % NX_NS_PER_S)};
    nx_attempt *a = x->world.attempt;
    while (nx_clock_ns() < until_ns && !nx_rt_share_is_canceled(x->share) && !atomic_load(&a->is_ended)) (void)pthread_cond_timedwait(&w->nap, &w->mu, &until);
    take_slot_locked(x);
    (void)pthread_mutex_unlock(&w->mu);
    interrupt_if(x, is_cut);
}

void nx_rt_end_attempt(nx_rt *r, nx_attempt *a)
{
    nx_rt_workers *w = &r->workers;
    (void)pthread_mutex_lock(&w->mu);
    atomic_store(&a->is_ended, true);
    (void)pthread_cond_broadcast(&w->nap);
    (void)pthread_mutex_unlock(&w->mu);
    nx_rt_epoch_kick(&r->epoch);
}

void nx_rt_leave_slot(void *exec)
{
    nx_rt_exec *x = exec;
    (void)pthread_mutex_lock(&x->rt->workers.mu);
    give_slot_locked(x);
    (void)pthread_mutex_unlock(&x->rt->workers.mu);
}

void nx_rt_resume_slot(void *exec)
{
    nx_rt_exec *x = exec;
    (void)pthread_mutex_lock(&x->rt->workers.mu);
    take_slot_locked(x);
    (void)pthread_mutex_unlock(&x->rt->workers.mu);
    interrupt_if(x, nx_clock_ns() >= x->world.deadline_ns);
}

/* ---- pauses */

static bool is_due_locked(const nx_rt_exec *x, uint64_t slice_ns)
{
    nx_rt_workers *w = &x->rt->workers;
    const nx_rt_group *g = x->share->group;
    bool has_room = g->paused < w->paused_max;
    if (nx_rt_share_is_canceled(x->share)) return false;
    if (x->share->is_throttled && has_room) return true;
    if (slice_ns < SLICE_NS || w->running < w->slots) return false;
    const nx_rt_share *next = nx_rt_share_next_locked(w);
    if (!next || next == x->share || (next->group == g && !next->waiting && !has_room)) return false;
    return nx_rt_share_goes_before(next, x->share, AHEAD_NS);
}

void nx_rt_pause_if_due(nx_rt_exec *x)
{
    nx_rt_workers *w = &x->rt->workers;
    if (!x->has_slot) return;
    (void)pthread_mutex_lock(&w->mu);
    uint64_t now_ns = nx_clock_ns(), slice_ns = now_ns - x->slot_since_ns;
    nx_rt_share_charge_locked(x->share, slice_ns, cpu_used(x), now_ns);
    x->slot_since_ns = now_ns;
    if (is_due_locked(x, slice_ns)) {
        x->share->group->paused++;
        give_slot_locked(x);
        take_slot_locked(x);
        x->share->group->paused--;
        x->world.deadline_ns += x->slot_since_ns - now_ns;
    }
    (void)pthread_mutex_unlock(&w->mu);
    (void)sched_yield(); /* who carries events from hand to hand waits on this core for no more than a tick */
}

void nx_rt_slots_ask_locked(nx_rt *r, const nx_rt_share *for_s, uint64_t now_ns)
{
    nx_rt_workers *w = &r->workers;
    /* Where all slots are its own, it would only ask itself. */
    if (w->running < w->slots || for_s->turn.running >= w->slots || now_ns < w->asked_ns + SLICE_NS || nx_rt_share_next_locked(w) != for_s) return;
    w->asked_ns = now_ns;
    nx_rt_epoch_kick(&r->epoch);
}

void nx_rt_slots_tick(nx_rt *r, uint64_t now_ns)
{
    nx_rt_workers *w = &r->workers;
    (void)pthread_mutex_lock(&w->mu);
    if (w->throttled && nx_rt_shares_tick_locked(r, now_ns)) serve_locked(r);
    (void)pthread_mutex_unlock(&w->mu);
}
