/* worker.c: running slots and the threads that fill them.
 * A slot is the right to use a core; there are as many as `slots`. A thread is a stack; there are more, started when they are first needed, so
 * that a guest that waits in a host call gives its slot to another. A wake-up is sent only where a thread idles and a slot is free: under load
 * a worker that ends one attempt takes the next itself. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "nx/clock.h"
#include "rt_internal.h"

#define SPARE_DEFAULT 32u
#define QUEUE_DEFAULT 4096u
#define SCRATCHES_KEPT 64u
#define CANCEL_NS (3ull * 3600 * NX_NS_PER_S) /* longer than any attempt may run, replays too */

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

/* ---- slots */

static bool has_free_slot_locked(const nx_rt_workers *w) { return w->running + w->resuming < w->slots; }

static void *worker_main(void *self);

/* A thread for queued work: an idle one is woken, else a new one is started where that is allowed. */
static void call_thread_locked(nx_rt *r)
{
    nx_rt_workers *w = &r->workers;
    if (w->idle > w->signalled) {
        if (w->running + w->resuming + w->signalled >= w->slots) return; /* whoever is awake will take it */
        w->signalled++;
        (void)pthread_cond_signal(&w->work);
        return;
    }
    if (w->idle || w->n_threads == w->max_threads || w->running + w->resuming + w->starting >= w->slots) return;
    pthread_attr_t attr;
    (void)pthread_attr_init(&attr);
    /* A guest that recurses reaches the engine's limit long before the end of this stack. */
    (void)pthread_attr_setstacksize(&attr, NX_RT_THREAD_STACK_BYTES);
    if (pthread_create(&w->threads[w->n_threads], &attr, worker_main, r) == 0) {
        char name[16];
        (void)snprintf(name, sizeof name, "nx-rt-%u", w->n_threads);
        (void)pthread_setname_np(w->threads[w->n_threads++], name);
        w->starting++;
    }
    (void)pthread_attr_destroy(&attr);
}

static void leave_slot_locked(nx_rt *r)
{
    nx_rt_workers *w = &r->workers;
    w->running--;
    if (w->resuming) (void)pthread_cond_signal(&w->slot);
}

static void give_slot_locked(nx_rt_exec *x)
{
    if (!x->has_slot) return;
    leave_slot_locked(x->rt);
    if (x->rt->workers.queued) call_thread_locked(x->rt);
}

static void take_slot_locked(nx_rt_exec *x)
{
    nx_rt_workers *w = &x->rt->workers;
    if (!x->has_slot) return;
    w->resuming++;
    while (w->running >= w->slots) (void)pthread_cond_wait(&w->slot, &w->mu);
    w->resuming--;
    w->running++;
}

/* The guest is interrupted at its very next check, not at the epoch's next tick: it may need no more than that to end as if in time. */
static void interrupt_if(nx_rt_exec *x, bool is_over)
{
    if (is_over || atomic_load(&x->rt->workers.is_canceled)) wasmtime_context_set_epoch_deadline(x->context, 0);
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
    while (nx_clock_ns() < until_ns && !atomic_load(&w->is_canceled)) (void)pthread_cond_timedwait(&w->nap, &w->mu, &until);
    take_slot_locked(x);
    (void)pthread_mutex_unlock(&w->mu);
    interrupt_if(x, is_cut);
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

/* ---- threads */

/* NULL: the pool is stopping. */
static nx_attempt *next_attempt_locked(nx_rt_workers *w)
{
    for (;;) {
        if (w->queued && has_free_slot_locked(w)) {
            nx_attempt *a = w->head;
            w->head = (nx_attempt *)a->mail.next;
            if (!w->head) w->tail = &w->head;
            w->queued--;
            w->running++;
            return a;
        }
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
    nx_rt_scratch *s = scratch_take(w); /* kept for the life of the thread; tried again at every attempt where there was no memory */
    (void)pthread_mutex_lock(&w->mu);
    w->starting--;
    for (nx_attempt *a = next_attempt_locked(w); a; a = next_attempt_locked(w)) {
        /* More is queued and another slot is free: a burst that came before any thread was awake. */
        if (w->queued && has_free_slot_locked(w)) call_thread_locked(r);
        (void)pthread_mutex_unlock(&w->mu);
        a->out.queued_ns = nx_clock_ns() - a->rt_private[0];
        if (a->on_start) a->on_start(a);
        if (!s) s = nx_rt_scratch_new();
        if (s) (void)nx_rt_execute(r, a, s, true, NULL);
        else a->out.err = NX_ENOMEM;
        a->done(a);
        (void)pthread_mutex_lock(&w->mu);
        leave_slot_locked(r);
    }
    (void)pthread_mutex_unlock(&w->mu);
    nx_rt_scratch_free(s);
    return NULL;
}

nx_err nx_rt_submit(nx_rt *r, nx_attempt *a, nx_error *reterr)
{
    nx_rt_workers *w = &r->workers;
    nx_err err = NX_OK;
    a->rt_private[0] = nx_clock_ns();
    a->mail.next = NULL;
    (void)pthread_mutex_lock(&w->mu);
    if (w->is_stopping) err = NX_ECLOSED;
    else if (w->queued >= w->queue_max) err = NX_EBUSY;
    if (!err) {
        *w->tail = a;
        w->tail = (nx_attempt **)&a->mail.next;
        w->queued++;
        call_thread_locked(r);
        /* Without a single thread nothing would ever run it; with one, it waits for that. */
        if (w->n_threads == 0) {
            w->head = NULL;
            w->tail = &w->head;
            w->queued = 0;
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
    nx_err err = nx_rt_execute(r, a, s, false, reterr);
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
    nx_rt_epoch_expire(&r->epoch, CANCEL_NS);
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
    (void)pthread_cond_init(&w->slot, NULL);
    pthread_condattr_t attr;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC); /* the clock of nx_clock_ns() */
    (void)pthread_cond_init(&w->nap, &attr);
    (void)pthread_condattr_destroy(&attr);
    w->tail = &w->head;
    w->slots = o->slots ? o->slots : cores > 0 ? (unsigned)cores
                                               : 1;
    w->queue_max = o->queue_max ? o->queue_max : QUEUE_DEFAULT;
    w->max_threads = w->slots + (o->spare_threads ? o->spare_threads : SPARE_DEFAULT);
    w->threads = calloc(w->max_threads, sizeof *w->threads);
    return w->threads ? NX_OK : nx_error_set(reterr, NX_ENOMEM, "out of memory");
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
    (void)pthread_cond_destroy(&w->work);
    (void)pthread_cond_destroy(&w->slot);
    (void)pthread_cond_destroy(&w->nap);
    (void)pthread_mutex_destroy(&w->mu);
}
