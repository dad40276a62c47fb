/* job.c: the board of a node: which jobs it works on, taking up those that nobody works on, and what a job does with its kind.
 * A job has a node by the compare-and-set of its record, and its places are compare-and-set too: a node that was thought dead finds its next
 * place refused and stops. A node's own earlier life is known by the id of its data folder, which one node at a time can hold: what it had is
 * taken up at once. Another's is taken up when this node has seen it save nothing for LEASE_NS. */
#include "job_internal.h"
#include "prune.h"
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define LEASE_NS (15 * NX_NS_PER_S)
#define SAVE_NS NX_NS_PER_S
#define SAVE_IDLE_NS (4 * NX_NS_PER_S) /* a sign of life, well within the lease */
#define SAMPLE_NS (NX_NS_PER_S / 2)
#define RUNNING_MAX 2 /* on one node, beside endless ones */
#define AGAIN_NS NX_NS_PER_S
#define ORPHAN_NS (60 * NX_NS_PER_S) /* listed, and not stored since: whoever made it has died between the two */

/* ---- what a kind sees ---------------------------------------------------------------------------------------------------------------------- */

const char *nx_job_id(const nx_job *job) { return job->record.id.s; }
const nx_json *nx_job_spec(const nx_job *job) { return job->spec; }
const nx_json *nx_job_place(const nx_job *job) { return job->place; }
const nx_json *nx_job_summary(const nx_job *job) { return job->summary; }

bool nx_job_is_canceled(const nx_job *job) { return atomic_load(&job->is_canceled); }

bool nx_job_is_over(const nx_job *job)
{
    return atomic_load(&job->is_canceled) || atomic_load(&job->is_lost) || atomic_load(&job->node->board->is_stopping);
}

void nx_job_progress_set(nx_job *job, const nx_job_progress *p)
{
    uint64_t now = nx_clock_ns();
    pthread_mutex_lock(&job->mu);
    if (!job->sample_ns) {
        job->sample_ns = now;
        job->sample = *p;
    } else if (now - job->sample_ns >= SAMPLE_NS) {
        double s = (double)(now - job->sample_ns) / 1e9, done = (double)(p->done - job->sample.done) / s, at = (double)(p->at - job->sample.at) / s;
        /* Half of the new figure: steady enough to read, quick enough to follow. */
        job->done_per_s = job->done_per_s > 0 ? (job->done_per_s + done) / 2 : done;
        job->at_per_s = job->at_per_s > 0 ? (job->at_per_s + at) / 2 : at;
        job->sample_ns = now;
        job->sample = *p;
    }
    job->progress = *p;
    pthread_mutex_unlock(&job->mu);
}

bool nx_job_save_is_due(const nx_job *job)
{
    uint64_t since = nx_clock_ns() - job->saved_ns;
    return since >= (job->progress.done != job->saved_done ? SAVE_NS : SAVE_IDLE_NS);
}

/* A put whose answer got lost has changed the revision all the same. */
static nx_err adopt_own(nx_job *job)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(4u << 20);
    nx_job_state now;
    nx_err err = nx_job_state_get(job->node, &job->record.id, &a, &now, NULL);
    if (err == NX_OK && strcmp(now.node.s, job->node->id.s) != 0)
        return NX_ECANCELED;
    job->state.revision = now.revision;
    return err;
}

nx_err nx_job_save(nx_job *job, nx_slice place, nx_slice summary, nx_error *reterr)
{
    if (nx_job_is_over(job) && !atomic_load(&job->is_canceled))
        return NX_ECANCELED;
    pthread_mutex_lock(&job->mu);
    job->state.progress = job->progress;
    pthread_mutex_unlock(&job->mu);
    job->state.node = job->node->id;
    job->state.place = place;
    job->state.summary = summary;
    nx_err err = nx_job_state_put(job->node, &job->record.id, &job->state, reterr);
    if (err == NX_ECONFLICT || err == NX_EEXIST) {
        err = adopt_own(job);
        if (err == NX_OK)
            err = nx_job_state_put(job->node, &job->record.id, &job->state, reterr);
        else if (err == NX_ECANCELED)
            atomic_store(&job->is_lost, true);
    }
    job->state.place = job->state.summary = NX_SLICE_NULL;
    if (err == NX_OK) {
        job->saved_ns = nx_clock_ns();
        job->saved_done = job->state.progress.done;
    }
    return err == NX_OK && atomic_load(&job->is_canceled) ? NX_ECANCELED : err;
}

/* ---- one job's thread ---------------------------------------------------------------------------------------------------------------------- */

static void forget_loaded(nx_job *job)
{
    nx_json_free(job->place);
    nx_json_free(job->summary);
    job->place = job->summary = NULL;
}

/* Where it stood. Written back under this node's id at once, so that whoever had it before is refused. */
static nx_err load(nx_job *job, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(4u << 20);
    forget_loaded(job);
    nx_err err = nx_job_state_get(job->node, &job->record.id, &a, &job->state, reterr);
    if (err == NX_OK && job->state.place.n)
        err = nx_json_parse(job->state.place, NX_JOB_SUMMARY_BYTES, &job->place, reterr);
    if (err == NX_OK && job->state.summary.n)
        err = nx_json_parse(job->state.summary, NX_JOB_SUMMARY_BYTES, &job->summary, reterr);
    pthread_mutex_lock(&job->mu);
    job->progress = job->state.progress;
    job->sample_ns = 0;
    pthread_mutex_unlock(&job->mu);
    return err == NX_OK ? nx_job_save(job, job->state.place, job->state.summary, reterr) : err;
}

static void nap(nx_job_board *b, uint64_t ns)
{
    uint64_t until_ns = nx_clock_ns() + ns;
    struct timespec until = {.tv_sec = (time_t)(until_ns / NX_NS_PER_S), .tv_nsec = (long)(until_ns % NX_NS_PER_S)};
    pthread_mutex_lock(&b->mu);
    if (!atomic_load(&b->is_stopping))
        pthread_cond_timedwait(&b->cv, &b->mu, &until);
    pthread_mutex_unlock(&b->mu);
}

static void log_end(const nx_job *job)
{
    const nx_job_record *r = &job->record;
    nx_log(r->status == NX_JOB_FAILED ? NX_LOG_ERROR : NX_LOG_INFO, "job.ended", "job %s (%s) %s after %llu events%s%s", r->id.s, r->kind, nx_job_status_name(r->status),
           (unsigned long long)r->progress.done, r->error[0] ? ": " : "", r->error);
}

/* A record that can't be written now is tried again as long as the node lives; after that, whoever takes the job up finds its last place. */
static void store_end(nx_job *job)
{
    nx_job_board *b = job->node->board;
    for (;;) {
        nx_error e = NX_ERROR_INIT;
        nx_err err = nx_job_record_put(job->node, &job->record, &e);
        if (err == NX_ECONFLICT) { /* a cancel, or an earlier try whose answer got lost */
            NX_CLEANUP(nx_arena_done)
            nx_arena a = NX_ARENA_INIT(1u << 20);
            nx_job_record now;
            err = nx_job_record_get(job->node, &job->record.id, &a, &now, &e);
            if (err == NX_OK && strcmp(now.node.s, job->record.node.s) != 0)
                return;
            job->record.revision = now.revision;
            if (err == NX_OK)
                continue;
        }
        if (err == NX_OK && nx_job_status_is_over(job->record.status))
            err = nx_job_active_change(job->node, &job->record.id, false, &e);
        if (err == NX_OK || !nx_err_is_retryable(err) || atomic_load(&b->is_stopping))
            return;
        nap(b, AGAIN_NS);
    }
}

static void end(nx_job *job, nx_err err, const nx_error *e)
{
    nx_job_record *r = &job->record;
    if (atomic_load(&job->is_lost))
        return;
    r->progress = job->progress;
    if (atomic_load(&job->is_canceled))
        r->status = NX_JOB_CANCELED;
    else if (err == NX_OK)
        r->status = NX_JOB_DONE;
    else if (atomic_load(&job->node->board->is_stopping)) { /* somebody else may go on at once */
        r->status = NX_JOB_QUEUED;
        r->home = (nx_id){0};
    } else {
        r->status = NX_JOB_FAILED;
        snprintf(r->error, sizeof r->error, "%s", e->msg[0] ? e->msg : nx_err_text(err));
    }
    if (nx_job_status_is_over(r->status)) {
        r->ended_wall_ns = nx_clock_wall_ns();
        log_end(job);
    }
    store_end(job);
}

static void *job_main(void *arg)
{
    nx_job *job = arg;
    nx_err err;
    nx_error e = NX_ERROR_INIT;
    pthread_setname_np(pthread_self(), "nx-job-run");
    for (;;) {
        e = (nx_error)NX_ERROR_INIT;
        err = load(job, &e);
        if (err == NX_OK)
            err = job->kind->run(job->node, job, &e);
        if (err == NX_OK || nx_job_is_over(job) || !nx_err_is_retryable(err))
            break;
        nx_log(NX_LOG_WARN, "job.again", "job %s (%s) goes on in a moment: %s", job->record.id.s, job->record.kind, e.msg[0] ? e.msg : nx_err_text(err));
        nap(job->node->board, AGAIN_NS);
    }
    end(job, err, &e);
    atomic_store(&job->is_finished, true);
    nx_job_board_kick(job->node->board);
    return NULL;
}

/* ---- the board ------------------------------------------------------------------------------------------------------------------------------ */

const nx_job_kind *nx_job_board_kind(const nx_job_board *b, nx_slice name)
{
    if (nx_slice_eq_cstr(name, nx_core_backfill_job.name))
        return &nx_core_backfill_job;
    if (nx_slice_eq_cstr(name, nx_core_prune_job.name))
        return &nx_core_prune_job;
    for (unsigned i = 0; i < b->n_kinds; i++)
        if (nx_slice_eq_cstr(name, b->kinds[i]->name))
            return b->kinds[i];
    return NULL;
}

static nx_job *find_locked(nx_job_board *b, const nx_id *id)
{
    for (nx_job *j = b->jobs; j; j = j->next)
        if (strcmp(j->record.id.s, id->s) == 0)
            return j;
    return NULL;
}

bool nx_job_board_progress(nx_job_board *b, const nx_id *id, nx_job_progress *ret, double *ret_done_per_s, double *ret_at_per_s)
{
    pthread_mutex_lock(&b->mu);
    nx_job *j = find_locked(b, id);
    if (j) {
        pthread_mutex_lock(&j->mu);
        *ret = j->progress;
        *ret_done_per_s = j->done_per_s;
        *ret_at_per_s = j->at_per_s;
        pthread_mutex_unlock(&j->mu);
    }
    pthread_mutex_unlock(&b->mu);
    return j != NULL;
}

bool nx_job_board_cancel(nx_job_board *b, const nx_id *id)
{
    pthread_mutex_lock(&b->mu);
    nx_job *j = find_locked(b, id);
    if (j)
        atomic_store(&j->is_canceled, true);
    pthread_mutex_unlock(&b->mu);
    return j != NULL;
}

void nx_job_board_kick(nx_job_board *b)
{
    pthread_mutex_lock(&b->mu);
    b->is_kicked = true;
    pthread_cond_broadcast(&b->cv);
    pthread_mutex_unlock(&b->mu);
}

static void job_free(nx_job *j)
{
    forget_loaded(j);
    nx_json_free(j->spec);
    nx_arena_done(&j->arena);
    pthread_mutex_destroy(&j->mu);
    free(j);
}

/* Whose threads have ended, or all. */
static void reap(nx_job_board *b, bool all)
{
    nx_job *gone = NULL;
    pthread_mutex_lock(&b->mu);
    for (nx_job **at = &b->jobs; *at;) {
        nx_job *j = *at;
        if (!all && !atomic_load(&j->is_finished)) {
            at = &j->next;
            continue;
        }
        *at = j->next;
        j->next = gone;
        gone = j;
    }
    pthread_mutex_unlock(&b->mu);
    while (gone) {
        nx_job *next = gone->next;
        pthread_join(gone->thread, NULL);
        job_free(gone);
        gone = next;
    }
}

/* Nobody works on it: it is queued, it was this data folder's in an earlier life, or nothing was saved for too long. */
static bool is_free(nx_job_board *b, const nx_job_record *r, nx_arena *a)
{
    nx_job_state s;
    if (r->status == NX_JOB_QUEUED || !r->home.s[0] || (strcmp(r->home.s, b->home.s) == 0 && strcmp(r->node.s, b->node->id.s) != 0))
        return true;
    if (nx_job_state_get(b->node, &r->id, a, &s, NULL) != NX_OK)
        return false;
    return nx_job_sight_age(&b->sights, &r->id, r->revision, s.revision, nx_clock_ns()) > LEASE_NS;
}

static unsigned count_bounded(nx_job_board *b)
{
    unsigned count = 0;
    pthread_mutex_lock(&b->mu);
    for (nx_job *j = b->jobs; j; j = j->next)
        count += !j->kind->is_endless && !atomic_load(&j->is_finished);
    pthread_mutex_unlock(&b->mu);
    return count;
}

static nx_err begin(nx_job_board *b, nx_job *j, nx_error *reterr)
{
    nx_job_record *r = &j->record;
    nx_err err = nx_json_parse(r->spec, NX_JOB_SPEC_BYTES, &j->spec, reterr);
    if (err != NX_OK)
        return err;
    bool is_canceled = r->wants_cancel;
    r->status = is_canceled ? NX_JOB_CANCELED : NX_JOB_RUNNING;
    r->home = b->home;
    r->node = b->node->id;
    if (!r->started_wall_ns)
        r->started_wall_ns = nx_clock_wall_ns();
    if (is_canceled)
        r->ended_wall_ns = nx_clock_wall_ns();
    err = nx_job_record_put(b->node, r, reterr);
    if (err != NX_OK)
        return err;
    if (is_canceled) {
        nx_job_active_change(b->node, &r->id, false, NULL);
        return NX_ECANCELED;
    }
    pthread_mutex_lock(&b->mu);
    err = nx_thread_start(&j->thread, NULL, job_main, j) == 0 ? NX_OK : nx_error_set(reterr, NX_ENOMEM, "cannot start a thread");
    if (err == NX_OK) {
        j->next = b->jobs;
        b->jobs = j;
    }
    pthread_mutex_unlock(&b->mu);
    return err;
}

/* One of jobs.active. */
static void look_at(nx_job_board *b, const nx_id *id)
{
    pthread_mutex_lock(&b->mu);
    nx_job *mine = find_locked(b, id);
    pthread_mutex_unlock(&b->mu);
    nx_job *j = calloc(1, sizeof *j);
    nx_error e = NX_ERROR_INIT;
    if (!j)
        return;
    nx_arena_init(&j->arena, 4u << 20);
    pthread_mutex_init(&j->mu, NULL);
    j->node = b->node;
    nx_err err = nx_job_record_get(b->node, id, &j->arena, &j->record, &e);
    j->kind = err == NX_OK ? nx_job_board_kind(b, nx_slice_cstr(j->record.kind)) : NULL;
    if (mine) {
        if (err == NX_OK && j->record.wants_cancel) /* asked through another node */
            nx_job_board_cancel(b, id);
    } else if ((err == NX_ENOENT && nx_job_sight_age(&b->sights, id, 0, 0, nx_clock_ns()) > ORPHAN_NS) || (err == NX_OK && nx_job_status_is_over(j->record.status))) {
        nx_job_active_change(b->node, id, false, NULL);
    } else if (err == NX_OK && j->kind && is_free(b, &j->record, &j->arena) && (j->kind->is_endless || j->record.wants_cancel || count_bounded(b) < RUNNING_MAX)) {
        err = begin(b, j, &e);
        if (err == NX_OK)
            return;
        if (err != NX_ECONFLICT && err != NX_ECANCELED)
            nx_log(NX_LOG_WARN, "job.not_taken", "job %s can't be taken up: %s", id->s, e.msg[0] ? e.msg : nx_err_text(err));
    }
    job_free(j);
}

static void wait_for_work(nx_job_board *b)
{
    uint64_t until_ns = nx_clock_ns() + NX_JOB_LOOK_NS;
    struct timespec until = {.tv_sec = (time_t)(until_ns / NX_NS_PER_S), .tv_nsec = (long)(until_ns % NX_NS_PER_S)};
    int timed_out = 0;
    pthread_mutex_lock(&b->mu);
    while (!b->is_kicked && !timed_out)
        timed_out = pthread_cond_timedwait(&b->cv, &b->mu, &until);
    b->is_kicked = false;
    pthread_mutex_unlock(&b->mu);
}

static void *board_main(void *arg)
{
    nx_job_board *b = arg;
    pthread_setname_np(pthread_self(), "nx-job-board");
    while (!atomic_load(&b->is_stopping)) {
        nx_id v[NX_JOBS_ACTIVE_MAX];
        unsigned count = 0;
        reap(b, false);
        if (atomic_load(&b->node->is_ready))
            nx_core_backfill_look(b->node);
        if (atomic_load(&b->node->is_ready) && nx_job_active_get(b->node, v, &count, NULL) == NX_OK)
            for (unsigned i = 0; i < count && !atomic_load(&b->is_stopping); i++)
                look_at(b, &v[i]);
        wait_for_work(b);
    }
    return NULL;
}

/* Names the data folder, not the process: read where it is, else made. */
static nx_err read_home(nx_node *n, nx_id *ret, nx_error *reterr)
{
    char path[sizeof n->data_dir + 16], text[NX_ID_LEN + 1] = "";
    snprintf(path, sizeof path, "%s/home.id", n->data_dir);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return nx_error_set(reterr, nx_err_from_errno(errno), "%s: %s", path, strerror(errno));
    ssize_t k = pread(fd, text, NX_ID_LEN, 0);
    if (k != NX_ID_LEN || nx_id_parse(nx_slice_make(text, NX_ID_LEN), ret) != NX_OK) {
        *ret = nx_ulid_new(nx_clock_wall_ns());
        k = ftruncate(fd, 0) == 0 ? pwrite(fd, ret->s, NX_ID_LEN, 0) : -1;
    }
    close(fd);
    return k == NX_ID_LEN ? NX_OK : nx_error_set(reterr, NX_EIO, "%s can't be written", path);
}

nx_err nx_job_board_open(nx_node *n, nx_error *reterr)
{
    nx_job_board *b = calloc(1, sizeof *b);
    if (!b)
        return nx_error_set(reterr, NX_ENOMEM, "jobs");
    b->node = n;
    b->kinds = n->opt.job_kinds;
    b->n_kinds = n->opt.n_job_kinds;
    pthread_mutex_init(&b->mu, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&b->cv, &attr);
    pthread_condattr_destroy(&attr);
    n->board = b;
    nx_err err = read_home(n, &b->home, reterr);
    if (err != NX_OK)
        return err;
    b->has_thread = nx_thread_start(&b->thread, NULL, board_main, b) == 0;
    return b->has_thread ? NX_OK : nx_error_set(reterr, NX_ENOMEM, "cannot start a thread");
}

void nx_job_board_stop(nx_job_board *b)
{
    if (!b)
        return;
    atomic_store(&b->is_stopping, true);
    nx_job_board_kick(b);
}

void nx_job_board_free(nx_job_board *b)
{
    if (!b)
        return;
    nx_job_board_stop(b);
    if (b->has_thread)
        pthread_join(b->thread, NULL);
    reap(b, true);
    pthread_cond_destroy(&b->cv);
    pthread_mutex_destroy(&b->mu);
    free(b);
}
