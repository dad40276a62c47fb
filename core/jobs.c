/* jobs.c: a few threads for work that waits on the log (look-ups after a redelivery or a duplicate, registry reloads):
 * fabric callbacks and loops hand it over here. */
#include "core_internal.h"
#include <stdlib.h>

#define JOBS_THREADS_MAX 8

struct nx_core_jobs {
    pthread_mutex_t mu;
    pthread_cond_t cv;
    nx_mail *head, **tail;
    unsigned count, max, n_threads;
    bool is_closed;
    pthread_t threads[JOBS_THREADS_MAX];
};

static void *jobs_main(void *arg)
{
    nx_core_jobs *j = arg;
    pthread_setname_np(pthread_self(), "nx-job");
    pthread_mutex_lock(&j->mu);
    for (;;) {
        while (!j->head && !j->is_closed)
            pthread_cond_wait(&j->cv, &j->mu);
        nx_mail *m = j->head;
        if (!m)
            break;
        j->head = m->next;
        if (!j->head)
            j->tail = &j->head;
        j->count--;
        pthread_mutex_unlock(&j->mu);
        nx_core_job *job = (nx_core_job *)m; /* mail is its first member */
        job->run(job);
        pthread_mutex_lock(&j->mu);
    }
    pthread_mutex_unlock(&j->mu);
    return NULL;
}

nx_err nx_core_jobs_new(unsigned threads, unsigned max, nx_core_jobs **ret, nx_error *reterr)
{
    nx_core_jobs *j = calloc(1, sizeof *j);
    if (!j)
        return nx_error_set(reterr, NX_ENOMEM, "job threads");
    pthread_mutex_init(&j->mu, NULL);
    pthread_cond_init(&j->cv, NULL);
    j->tail = &j->head;
    j->max = max;
    for (; j->n_threads < threads && j->n_threads < JOBS_THREADS_MAX; j->n_threads++)
        if (nx_thread_start(&j->threads[j->n_threads], NULL, jobs_main, j) != 0) {
            nx_core_jobs_free(j);
            return nx_error_set(reterr, NX_ENOMEM, "cannot start a job thread");
        }
    *ret = j;
    return NX_OK;
}

nx_err nx_core_jobs_post(nx_core_jobs *j, nx_core_job *job)
{
    nx_err err = NX_OK;
    pthread_mutex_lock(&j->mu);
    if (j->is_closed)
        err = NX_ECLOSED;
    else if (j->count >= j->max)
        err = NX_EBUSY;
    else {
        job->mail.next = NULL;
        *j->tail = &job->mail;
        j->tail = &job->mail.next;
        j->count++;
        pthread_cond_signal(&j->cv);
    }
    pthread_mutex_unlock(&j->mu);
    return err;
}

void nx_core_jobs_stop(nx_core_jobs *j)
{
    if (!j)
        return;
    pthread_mutex_lock(&j->mu);
    j->is_closed = true;
    pthread_cond_broadcast(&j->cv);
    pthread_mutex_unlock(&j->mu);
    for (; j->n_threads; j->n_threads--)
        pthread_join(j->threads[j->n_threads - 1], NULL);
}

void nx_core_jobs_free(nx_core_jobs *j)
{
    if (!j)
        return;
    nx_core_jobs_stop(j);
    pthread_cond_destroy(&j->cv);
    pthread_mutex_destroy(&j->mu);
    free(j);
}
