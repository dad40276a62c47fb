/* lanes.c: see lanes.h. */
#include "lanes.h"
#include "nx/clock.h"
#include "nx/sched.h"
#include "nx/thread.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LANES 64u
#define TAKE 8 /* of one lane at a time: one lock for several items */
#define WORKERS_MAX 64u
#define NICE 10

typedef struct lane {
    struct lane *next_ready;
    nx_lane_item *head, **tail;
    bool is_listed; /* ready, or a worker has it */
} lane;

struct nx_lanes {
    nx_lanes_options o;
    pthread_mutex_t mu;
    pthread_cond_t work, done;
    lane lanes[LANES];
    lane *ready, **ready_tail;
    atomic_bool is_stopping;
    bool has_done;
    unsigned idle, n_threads, next_worker;
    pthread_t threads[WORKERS_MAX];
};

static void list_locked(nx_lanes *l, lane *a)
{
    a->next_ready = NULL;
    *l->ready_tail = a;
    l->ready_tail = &a->next_ready;
}

static nx_lane_item *take_locked(lane *a)
{
    nx_lane_item *first = a->head, *last = first;
    for (int i = 1; i < TAKE && last->next; i++)
        last = last->next;
    a->head = last->next;
    if (!a->head)
        a->tail = &a->head;
    last->next = NULL;
    return first;
}

static void *lanes_main(void *arg)
{
    nx_lanes *l = arg;
    pthread_setname_np(pthread_self(), "nx-replay");
    nx_sched_behind(NICE);
    pthread_mutex_lock(&l->mu);
    unsigned worker = l->next_worker++;
    for (;;) {
        while (!l->ready && !atomic_load(&l->is_stopping)) {
            l->idle++;
            pthread_cond_wait(&l->work, &l->mu);
            l->idle--;
        }
        if (atomic_load(&l->is_stopping))
            break;
        lane *a = l->ready;
        l->ready = a->next_ready;
        if (!l->ready)
            l->ready_tail = &l->ready;
        nx_lane_item *item = take_locked(a);
        pthread_mutex_unlock(&l->mu);
        while (item && !atomic_load(&l->is_stopping)) {
            nx_lane_item *next = item->next; /* its owner may use it again once it is done */
            l->o.work(l->o.self, worker, item);
            item = next;
        }
        pthread_mutex_lock(&l->mu);
        a->is_listed = a->head != NULL;
        if (a->is_listed)
            list_locked(l, a);
        l->has_done = true;
        pthread_cond_signal(&l->done);
    }
    pthread_mutex_unlock(&l->mu);
    return NULL;
}

nx_err nx_lanes_new(const nx_lanes_options *o, nx_lanes **ret)
{
    nx_lanes *l = calloc(1, sizeof *l);
    if (!l)
        return NX_ENOMEM;
    l->o = *o;
    l->ready_tail = &l->ready;
    for (unsigned i = 0; i < LANES; i++)
        l->lanes[i].tail = &l->lanes[i].head;
    pthread_mutex_init(&l->mu, NULL);
    pthread_cond_init(&l->work, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&l->done, &attr);
    pthread_condattr_destroy(&attr);
    for (; l->n_threads < o->workers && l->n_threads < WORKERS_MAX; l->n_threads++)
        if (nx_thread_start(&l->threads[l->n_threads], NULL, lanes_main, l) != 0)
            break;
    if (!l->n_threads) {
        nx_lanes_free(l);
        return NX_ENOMEM;
    }
    *ret = l;
    return NX_OK;
}

void nx_lanes_put(nx_lanes *l, nx_lane_item **v, unsigned n)
{
    pthread_mutex_lock(&l->mu);
    for (unsigned i = 0; i < n; i++) {
        lane *a = &l->lanes[v[i]->lane % LANES];
        v[i]->next = NULL;
        *a->tail = v[i];
        a->tail = &v[i]->next;
        if (!a->is_listed) {
            a->is_listed = true;
            list_locked(l, a);
        }
    }
    if (l->idle)
        pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->mu);
}

void nx_lanes_wait(nx_lanes *l, uint64_t ns)
{
    uint64_t until_ns = nx_clock_ns() + ns;
    struct timespec until = {.tv_sec = (time_t)(until_ns / NX_NS_PER_S), .tv_nsec = (long)(until_ns % NX_NS_PER_S)};
    pthread_mutex_lock(&l->mu);
    for (int over = 0; !l->has_done && !over;)
        over = pthread_cond_timedwait(&l->done, &l->mu, &until);
    l->has_done = false;
    pthread_mutex_unlock(&l->mu);
}

void nx_lanes_free(nx_lanes *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->mu);
    atomic_store(&l->is_stopping, true);
    pthread_cond_broadcast(&l->work);
    pthread_mutex_unlock(&l->mu);
    for (unsigned i = 0; i < l->n_threads; i++)
        pthread_join(l->threads[i], NULL);
    pthread_cond_destroy(&l->work);
    pthread_cond_destroy(&l->done);
    pthread_mutex_destroy(&l->mu);
    free(l);
}
