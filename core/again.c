/* again.c: runs whose end could not be stored, because the log or the records have no leader at this moment, or the connection went.
 *
 * The outcome is here, and its message is kept alive. Given up, the event would be delivered again when ack_wait is over, and executed once more; so
 * what was refused is published again until it is taken. Should it have been stored after all, it stands there twice: of emitted events the log
 * takes one, of a run's records the first one counts. */
#include "dispatch.h"

#define AGAIN_NS (100 * NX_NS_PER_MS)   /* between two tries */
#define AGAIN_MAX_NS (30 * NX_NS_PER_S) /* of trying */

bool nx_core_run_try_again(nx_core_run *r, nx_err why, void (*what)(nx_core_run *r))
{
    nx_core_dispatch *d = r->d;
    uint64_t now = nx_clock_ns();
    bool is_first = !r->again_until_ns, is_kept;
    if (why != NX_EUNAVAIL)
        return false;
    if (is_first)
        r->again_until_ns = now + AGAIN_MAX_NS;
    if (r->rec.delivery < 2)
        r->rec.delivery = 2; /* for readers: there may be an earlier record */
    pthread_mutex_lock(&d->mu);
    is_kept = !d->is_closing && now < r->again_until_ns;
    if (is_kept) {
        r->again = what;
        r->again_ns = now + AGAIN_NS;
        r->attempt.mail.next = (nx_mail *)d->unstored;
        d->unstored = r;
    }
    pthread_mutex_unlock(&d->mu);
    if (is_kept && is_first)
        nx_core_run_log(r, NX_LOG_WARN, "run.not_stored", NX_SLICE("nexus"), NX_SLICE("the log does not take what the run ends with; it is tried again"));
    return is_kept;
}

/* Takes those out that are due. */
static nx_core_run *take_due(nx_core_dispatch *d, uint64_t now_ns)
{
    nx_core_run *due = NULL, *r, *next, *left = NULL;
    pthread_mutex_lock(&d->mu);
    for (r = d->unstored; r; r = next) {
        nx_core_run **to = r->again_ns <= now_ns ? &due : &left;
        next = (nx_core_run *)r->attempt.mail.next;
        r->attempt.mail.next = (nx_mail *)*to;
        *to = r;
    }
    d->unstored = left;
    pthread_mutex_unlock(&d->mu);
    return due;
}

void nx_core_again_tick(nx_core_dispatch *d, uint64_t now_ns)
{
    nx_core_run *due = take_due(d, now_ns);
    while (due) {
        nx_core_run *r = due;
        due = (nx_core_run *)r->attempt.mail.next;
        if (nx_fab_msg_is_overdue(r->msg))
            nx_core_run_unless_overtaken(r, r->again);
        else
            r->again(r);
    }
}

void nx_core_again_close(nx_core_dispatch *d)
{
    nx_core_run *left;
    if (!d)
        return;
    pthread_mutex_lock(&d->mu);
    d->is_closing = true;
    pthread_mutex_unlock(&d->mu);
    left = take_due(d, UINT64_MAX);
    while (left) {
        nx_core_run *r = left;
        left = (nx_core_run *)r->attempt.mail.next;
        nx_core_run_drop(r);
    }
}

/* The node was stopped, or cut off from the log, for longer than an event is given to it: another one may have run it meanwhile. What that one
 * recorded first is the run's. Should both record at one moment, readers see by the delivery that there may be an earlier record. */
static void overtaken_job(nx_core_job *job)
{
    nx_core_run *r = (nx_core_run *)(void *)((char *)job - offsetof(nx_core_run, job));
    nx_run first;
    nx_err err = nx_fab_run_final(r->d->node->ns, &r->event, nx_slice_cstr(r->fn->name), r->rec.generation, &r->arena, &first, NULL);
    if (err == NX_OK) {
        nx_core_run_log(r, NX_LOG_WARN, "run.overtaken", NX_SLICE("nexus"), NX_SLICE("another node has recorded this run meanwhile; this outcome is dropped"));
        r->rec = first;
        nx_core_run_finish(r);
    } else if (err == NX_ENOENT || err == NX_ETIMEOUT) {
        r->again(r);
    } else {
        nx_core_run_drop(r);
    }
}

void nx_core_run_unless_overtaken(nx_core_run *r, void (*what)(nx_core_run *r))
{
    r->again = what;
    r->job.run = overtaken_job;
    if (nx_core_jobs_post(r->d->node->jobs, &r->job) != NX_OK)
        nx_core_run_drop(r);
}
