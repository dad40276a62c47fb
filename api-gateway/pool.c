#include "pool.h"
#include "nx/thread.h"

#include <stdio.h>

static void *pool_main(void *arg)
{
    nx_gw_pool *p = arg;

    (void)pthread_mutex_lock(&p->mu);
    for (;;) {
        while (!p->head && !p->is_closed)
            (void)pthread_cond_wait(&p->work, &p->mu);
        nx_gw_job *job = p->head;
        if (!job)
            break;
        p->head = job->next;
        if (!p->head)
            p->tail = &p->head;
        p->n_queued--;
        p->n_running++;
        (void)pthread_mutex_unlock(&p->mu);
        job->run(job);
        (void)pthread_mutex_lock(&p->mu);
        p->n_running--;
    }
    (void)pthread_mutex_unlock(&p->mu);
    return NULL;
}

void nx_gw_pool_init(nx_gw_pool *p, unsigned threads_max, unsigned queue_max, unsigned first_number)
{
    memset(p, 0, sizeof *p);
    (void)pthread_mutex_init(&p->mu, NULL);
    (void)pthread_cond_init(&p->work, NULL);
    p->tail = &p->head;
    p->threads_max = threads_max < NX_GW_POOL_MAX ? threads_max : NX_GW_POOL_MAX;
    p->queue_max = queue_max;
    p->first_number = first_number;
}

static void add_thread_locked(nx_gw_pool *p)
{
    char name[32];
    if (nx_thread_start(&p->threads[p->n_threads], NULL, pool_main, p) != 0)
        return;
    (void)snprintf(name, sizeof name, "nx-gw-h-%u", (p->first_number + p->n_threads) % 1000);
    (void)pthread_setname_np(p->threads[p->n_threads], name);
    p->n_threads++;
}

nx_err nx_gw_pool_submit(nx_gw_pool *p, nx_gw_job *job)
{
    nx_err err = NX_OK;

    (void)pthread_mutex_lock(&p->mu);
    if (p->is_closed)
        err = NX_ECLOSED;
    else if (p->n_queued + p->n_running >= p->threads_max + p->queue_max)
        err = NX_EBUSY;
    else if (p->n_queued + p->n_running >= p->n_threads && p->n_threads < p->threads_max)
        add_thread_locked(p);
    if (err == NX_OK && p->n_threads == 0)
        err = NX_EBUSY; /* no thread could be made */
    if (err == NX_OK) {
        job->next = NULL;
        *p->tail = job;
        p->tail = &job->next;
        p->n_queued++;
        (void)pthread_cond_signal(&p->work);
    }
    (void)pthread_mutex_unlock(&p->mu);
    return err;
}

void nx_gw_pool_done(nx_gw_pool *p)
{
    (void)pthread_mutex_lock(&p->mu);
    p->is_closed = true;
    (void)pthread_cond_broadcast(&p->work);
    (void)pthread_mutex_unlock(&p->mu);
    for (unsigned i = 0; i < p->n_threads; i++)
        (void)pthread_join(p->threads[i], NULL);
    p->n_threads = 0;
    (void)pthread_cond_destroy(&p->work);
    (void)pthread_mutex_destroy(&p->mu);
}
