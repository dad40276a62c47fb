/* pool.h: threads for handlers that block, made when they are needed, up to a maximum.
 * Ownership: a job is the poster's storage until it has run.
 * Threads:   any thread may submit.
 * Errors:    NX_EBUSY: all threads run and the queue is full; NX_ECLOSED after close. */
#ifndef NX_GW_POOL_H
#define NX_GW_POOL_H
#include <pthread.h>

#include "nx/slice.h"

typedef struct nx_gw_job {
    struct nx_gw_job *next;
    void (*run)(struct nx_gw_job *self);
} nx_gw_job;

#define NX_GW_POOL_MAX 32

typedef struct nx_gw_pool {
    pthread_mutex_t mu;
    pthread_cond_t work;
    nx_gw_job *head, **tail;
    unsigned n_queued, queue_max;
    pthread_t threads[NX_GW_POOL_MAX];
    unsigned n_threads, threads_max, n_running, first_number;
    bool is_closed;
} nx_gw_pool;

/* Threads are called nx-gw-h-N, from first_number on. queue_max: jobs that wait while all threads run. */
void nx_gw_pool_init(nx_gw_pool *p, unsigned threads_max, unsigned queue_max, unsigned first_number);
nx_err nx_gw_pool_submit(nx_gw_pool *p, nx_gw_job *job);
/* What is queued still runs; then the threads end and are joined. */
void nx_gw_pool_done(nx_gw_pool *p);
#endif
