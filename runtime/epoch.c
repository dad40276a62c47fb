/* epoch.c: checks. One thread moves the engines' epochs on every half millisecond while anything runs; compiled code looks at the epoch in loops and at
 * function entries, and calls back once it has moved: is the deadline over, is it somebody else's turn (attempt.c)? After a second in which nothing ran the thread sleeps until something does, so that an idle node does not wake. */
#include <time.h>

#include "nx/clock.h"
#include "rt_internal.h"

#define TICK_NS (NX_NS_PER_MS / 2)
#define QUIET_TICKS (NX_NS_PER_S / TICK_NS)
/* After a pause of the whole process (a suspended machine, SIGSTOP) guests are not charged for more than this. */
#define CATCH_UP_NS (200 * NX_NS_PER_MS)

void nx_rt_epoch_kick(nx_rt_epoch *e)
{
    for (unsigned i = 0; i < NX_RT_CLASSES; i++) {
        wasm_engine_t *engine = atomic_load_explicit(&e->engines[i], memory_order_acquire);
        if (engine) wasmtime_engine_increment_epoch(engine);
    }
}

/* e->mu is held. Whoever enters after is_parked is set takes the lock and signals; whoever entered before is seen in `running`. */
static void park_locked(nx_rt_epoch *e)
{
    atomic_store(&e->is_parked, true);
    while (!e->is_stopping && atomic_load(&e->running) == 0) (void)pthread_cond_wait(&e->wake, &e->mu);
    atomic_store(&e->is_parked, false);
}

static void *ticker(void *self)
{
    nx_rt *r = self;
    nx_rt_epoch *e = &r->epoch;
    unsigned quiet = 0;
    uint64_t last_ns = nx_clock_ns();
    (void)pthread_mutex_lock(&e->mu);
    while (!e->is_stopping) {
        uint64_t due_ns = last_ns + TICK_NS;
        struct timespec due = {.tv_sec = (time_t)(due_ns / NX_NS_PER_S), .tv_nsec = (long)(due_ns % NX_NS_PER_S)};
        (void)pthread_cond_timedwait(&e->wake, &e->mu, &due);
        uint64_t now_ns = nx_clock_ns();
        if (now_ns < due_ns) continue; /* woken to stop, or for nothing */
        if (now_ns - last_ns > CATCH_UP_NS) atomic_fetch_add(&e->lost_ns, now_ns - last_ns - CATCH_UP_NS);
        last_ns += (now_ns - last_ns) / TICK_NS * TICK_NS;
        nx_rt_epoch_kick(e);
        (void)pthread_mutex_unlock(&e->mu);
        nx_rt_slots_tick(r, now_ns);
        (void)pthread_mutex_lock(&e->mu);
        quiet = atomic_load(&e->running) ? 0 : quiet + 1;
        if (quiet >= QUIET_TICKS) {
            park_locked(e);
            last_ns = nx_clock_ns();
            quiet = 0;
        }
    }
    (void)pthread_mutex_unlock(&e->mu);
    return NULL;
}

nx_err nx_rt_epoch_start(nx_rt *r, nx_error *reterr)
{
    nx_rt_epoch *e = &r->epoch;
    pthread_condattr_t attr;
    (void)pthread_mutex_init(&e->mu, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC); /* the clock of nx_clock_ns() */
    (void)pthread_cond_init(&e->wake, &attr);
    (void)pthread_condattr_destroy(&attr);
    int rc = pthread_create(&e->thread, NULL, ticker, r);
    if (rc) return nx_error_set(reterr, nx_err_from_errno(rc), "the deadline thread could not be started");
    e->has_thread = true;
    (void)pthread_setname_np(e->thread, "nx-epoch");
    return NX_OK;
}

void nx_rt_epoch_stop(nx_rt_epoch *e)
{
    if (e->has_thread) {
        (void)pthread_mutex_lock(&e->mu);
        e->is_stopping = true;
        (void)pthread_cond_signal(&e->wake);
        (void)pthread_mutex_unlock(&e->mu);
        (void)pthread_join(e->thread, NULL);
        e->has_thread = false;
    }
    (void)pthread_cond_destroy(&e->wake);
    (void)pthread_mutex_destroy(&e->mu);
}

void nx_rt_epoch_enter(nx_rt_epoch *e)
{
    atomic_fetch_add(&e->running, 1);
    if (!atomic_load(&e->is_parked)) return;
    (void)pthread_mutex_lock(&e->mu);
    (void)pthread_cond_signal(&e->wake);
    (void)pthread_mutex_unlock(&e->mu);
}

void nx_rt_epoch_leave(nx_rt_epoch *e) { atomic_fetch_sub(&e->running, 1); }
