/* worker.c: the threads that fill the running slots.
 * A slot is the right to use a core; there are as many as `slots`. A thread is a stack; there are more, started when they are first needed, so
 * that a guest that waits in a host call, or is paused, gives its slot to another (slot.c). A wake-up is sent only where a thread idles and a slot is
 * free: under load a worker that ends one attempt takes the next itself. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "nx/clock.h"
#include "nx/sched.h"
#include "rt_internal.h"

#define SPARE_DEFAULT 50u /* of which one share may have 32, and one group 40 (group.c) */
#define QUEUE_DEFAULT 4096u
#define SCRATCHES_KEPT 64u

/* ---- scratches: of workers and of callers of nx_rt_run() */

static nx_rt_scratch *scratch_take(nx_rt_workers *w)
{
    (void)pthread_mutex_lock(&w->mu);
    nx_rt_scratch *s = w->scratches;
    if (s) {
        w->scratches = s->next;
        w->n_scratches--;
    }
    (void)pthread_mutex_unlock(&w->mu);
    return s ? s : nx_rt_scratch_new();
}

static void scratch_give(nx_rt_workers *w, nx_rt_scratch *s)
{
    (void)pthread_mutex_lock(&w->mu);
    bool is_kept = w->n_scratches < SCRATCHES_KEPT;
    if (is_kept) {
        s->next = w->scratches;
        w->scratches = s;
        w->n_scratches++;
    }
    (void)pthread_mutex_unlock(&w->mu);
    if (!is_kept) nx_rt_scratch_free(s);
}

/* ---- threads */

static bool has_free_slot_locked(const nx_rt_workers *w) { return w->running < w->slots; }

static void *worker_main(void *self);

/* A thread for queued work: an idle one is woken, else a new one is started where that is allowed. False: the system gave none. */
bool nx_rt_call_thread_locked(nx_rt *r)
{
    nx_rt_workers *w = &r->workers;
    if (w->idle > w->signalled) {
        if (w->running + w->signalled >= w->slots) return true; /* whoever is awake will take it */
        w->signalled++;
        (void)pthread_cond_signal(&w->work);
        return true;
    }
    if (w->idle || w->n_threads >= w->thread_limit || w->running + w->starting >= w->slots) return true;
    pthread_attr_t attr;
    (void)pthread_attr_init(&attr);
    /* A guest that recurses reaches the engine's limit long before the end of this stack. */
    (void)pthread_attr_setstacksize(&attr, NX_RT_THREAD_STACK_BYTES);
    bool is_made = pthread_create(&w->threads[w->n_threads], &attr, worker_main, r) == 0;
    if (is_made) {
        char name[16];
        (void)snprintf(name, sizeof name, "nx-rt-%u", w->n_threads);
        (void)pthread_setname_np(w->threads[w->n_threads++], name);
        w->starting++;
    } else {
        w->thread_limit = w->n_threads ? w->n_threads : w->max_threads; /* without any, the next attempt asks again */
    }
    (void)pthread_attr_destroy(&attr);
    return is_made;
}

/* NULL: the pool is stopping. */
static nx_attempt *next_attempt_locked(nx_rt_workers *w)
{
    for (;;) {
        nx_rt_share *s = nx_rt_slots_resume_locked(w);
        if (s) return nx_rt_share_pop_locked(w, s);
        if (w->is_stopping) return NULL;
        w->idle++;
        (void)pthread_cond_wait(&w->work, &w->mu);
        w->idle--;
        if (w->signalled) w->signalled--;
    }
}

static void *worker_main(void *self)
{
    nx_rt *r = self;
    nx_rt_workers *w = &r->workers;
    nx_sched_usual();
    nx_rt_scratch *s = scratch_take(w); /* kept for the life of the thread; tried again at every attempt where there was no memory */
    (void)pthread_mutex_lock(&w->mu);
    w->starting--;
    for (nx_attempt *a = next_attempt_locked(w); a; a = next_attempt_locked(w)) {
        nx_rt_exec x;
        x.rt = r;
        x.share = a->share;
        x.has_slot = true;
        nx_rt_group *g = a->share->group;
        /* More is queued and another slot is free: a burst that came before any thread was awake. */
        if (has_free_slot_locked(w) && nx_rt_share_next_locked(w)) (void)nx_rt_call_thread_locked(r);
        (void)pthread_mutex_unlock(&w->mu);
        nx_rt_slot_begin(&x, nx_clock_ns());
        a->out.queued_ns = x.slot_since_ns - a->rt_private[0];
        if (a->on_start) a->on_start(a);
        if (!s) s = nx_rt_scratch_new();
        if (s) (void)nx_rt_execute(r, a, s, &x, NULL);
        else a->out.err = NX_ENOMEM;
        a->done(a);
        uint64_t now_ns = nx_clock_ns();
        (void)pthread_mutex_lock(&w->mu);
        x.share->begun--;
        nx_rt_slot_leave_locked(&x, now_ns); /* x.share may be gone then */
        nx_rt_group_end_locked(g);
    }
    (void)pthread_mutex_unlock(&w->mu);
    nx_rt_scratch_free(s);
    return NULL;
}

nx_err nx_rt_submit(nx_rt *r, nx_attempt *a, nx_error *reterr)
{
    nx_rt_workers *w = &r->workers;
    uint64_t now_ns = nx_clock_ns();
    a->rt_private[0] = now_ns;
    if (!a->share) a->share = &w->own.common;
    (void)pthread_mutex_lock(&w->mu);
    nx_err err = w->is_stopping ? NX_ECLOSED : nx_rt_share_push_locked(w, a);
    if (!err) {
        (void)nx_rt_call_thread_locked(r);
        nx_rt_slots_ask_locked(r, a->share, now_ns);
        /* Without a single thread nothing would ever run it; with one, it waits for that. */
        if (w->n_threads == 0) {
            nx_rt_share_take_back_locked(w, a);
            err = NX_ENOMEM;
        }
    }
    (void)pthread_mutex_unlock(&w->mu);
    if (err == NX_EBUSY) nx_obs_inc(r->metrics.refused);
    if (err) return nx_error_set(reterr, err, err == NX_EBUSY ? "%u attempts wait for a worker" : "no worker (%u queued)", w->queue_max);
    return NX_OK;
}

/* The stack that is left on this thread is asked for once. */
static bool has_stack(void)
{
    static __thread int known; /* 1: enough, -1: too small */
    if (known == 0) {
        pthread_attr_t attr;
        void *base = NULL;
        size_t size = 0;
        if (pthread_getattr_np(pthread_self(), &attr) != 0) return false;
        (void)pthread_attr_getstack(&attr, &base, &size);
        (void)pthread_attr_destroy(&attr);
        known = size >= NX_RT_WASM_STACK_BYTES + NX_RT_HOST_STACK_BYTES ? 1 : -1;
    }
    return known > 0;
}

nx_err nx_rt_run(nx_rt *r, nx_attempt *a, nx_error *reterr)
{
    if (!has_stack()) return nx_error_set(reterr, NX_ELIMIT, "the stack of this thread is too small to run a function on");
    nx_rt_scratch *s = scratch_take(&r->workers);
    if (!s) return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    a->out.queued_ns = 0;
    nx_rt_exec x;
    x.share = a->share ? a->share : &r->workers.own.common;
    x.has_slot = false;
    nx_err err = nx_rt_execute(r, a, s, &x, reterr);
    scratch_give(&r->workers, s);
    return err;
}

void nx_rt_cancel(nx_rt *r)
{
    nx_rt_workers *w = &r->workers;
    (void)pthread_mutex_lock(&w->mu);
    atomic_store(&w->is_canceled, true);
    (void)pthread_cond_broadcast(&w->nap);
    (void)pthread_mutex_unlock(&w->mu);
    nx_rt_epoch_kick(&r->epoch);
    nx_rt_slots_tick(r, nx_clock_ns()); /* what is paused by its CPU limit ends too */
}

void nx_rt_depth(nx_rt *r, unsigned *ret_queued, unsigned *ret_running)
{
    (void)pthread_mutex_lock(&r->workers.mu);
    *ret_queued = r->workers.queued;
    *ret_running = r->workers.running;
    (void)pthread_mutex_unlock(&r->workers.mu);
}

nx_err nx_rt_workers_start(nx_rt *r, const nx_rt_options *o, nx_error *reterr)
{
    nx_rt_workers *w = &r->workers;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    (void)pthread_mutex_init(&w->mu, NULL);
    (void)pthread_cond_init(&w->work, NULL);
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC); /* the clock of nx_clock_ns() */
    (void)pthread_cond_init(&w->nap, &attr);
    (void)pthread_condattr_destroy(&attr);
    w->slots = o->slots ? o->slots : cores > 0 ? (unsigned)cores
                                               : 1;
    w->queue_max = o->queue_max ? o->queue_max : QUEUE_DEFAULT;
    w->max_threads = w->slots + (o->spare_threads ? o->spare_threads : SPARE_DEFAULT);
    w->thread_limit = w->max_threads;
    w->paused_max = (w->max_threads - w->slots + 1) / 2; /* the others are for host calls that wait */
    w->threads = calloc(w->max_threads, sizeof *w->threads);
    return nx_rt_group_init(&w->own, r) == NX_OK && nx_rt_line_join(&w->groups) == NX_OK && w->threads ? NX_OK : nx_error_set(reterr, NX_ENOMEM, "out of memory");
}

void nx_rt_workers_stop(nx_rt *r)
{
    nx_rt_workers *w = &r->workers;
    (void)pthread_mutex_lock(&w->mu);
    w->is_stopping = true;
    (void)pthread_cond_broadcast(&w->work);
    (void)pthread_mutex_unlock(&w->mu);
    for (unsigned i = 0; i < w->n_threads; i++) (void)pthread_join(w->threads[i], NULL);
    while (w->scratches) {
        nx_rt_scratch *s = w->scratches;
        w->scratches = s->next;
        nx_rt_scratch_free(s);
    }
    free(w->threads);
    nx_rt_group_done(&w->own);
    nx_rt_line_done(&w->groups);
    (void)pthread_cond_destroy(&w->work);
    (void)pthread_cond_destroy(&w->nap);
    (void)pthread_mutex_destroy(&w->mu);
}
