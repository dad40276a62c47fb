/* nx/job.h: jobs: long work on the log that outlives the client that asked for it and the node that does it.
 * Why:       replaying a month of events, or giving them to a new function, takes longer than a terminal stays open. A job belongs to the
 *            namespace: its description and its place lie in the registry, one node at a time works on it, and when that node dies the next one
 *            goes on from the last place that was stored.
 * Ownership: an nx_job is the node's, lent to its kind's run() for the call. Specs and what was saved are lent by the job.
 * Threads:   run() has a thread of its own and may block. nx_job_progress() and nx_job_save() are called on that thread only, nx_job_is_over() on any.
 * Errors:    NX_ECANCELED from nx_job_save(): stop, somebody canceled the job, took it over, or the node stops. A retryable error of run() is tried
 *            again from the last saved place; any other ends the job as failed.
 * Stored:    job.<id> (what it is and how it ended), jobstate.<id> (place and summary, about once a second), jobs.active (ids that are not over). */
#ifndef NX_JOB_H
#define NX_JOB_H
#include "nx/json.h"
#include "nx/node.h"
#include "nx/ulid.h"

#define NX_JOB_KIND_BYTES 32
#define NX_JOB_SPEC_BYTES (64u << 10)
#define NX_JOB_SUMMARY_BYTES (512u << 10)
#define NX_JOBS_ACTIVE_MAX 64 /* not over, in a namespace */

typedef struct nx_job nx_job;

typedef struct nx_job_progress {
    uint64_t done;           /* events */
    uint64_t begin, at, end; /* place in the stream, as sequences; end 0: there is none */
} nx_job_progress;

typedef struct nx_job_kind {
    const char *name;
    bool is_endless; /* runs until it is stopped, and that is its success */
    /* BLOCKING, before the job is stored: checks what was asked, and writes the spec to keep, one object, in which "now" and "live" mean what they
     * mean at this moment. */
    nx_err (*prepare)(nx_node *n, const nx_json *asked, nx_jw *ret_spec, nx_error *reterr);
    /* BLOCKING, from the saved place (or the beginning) to the end. */
    nx_err (*run)(nx_node *n, nx_job *job, nx_error *reterr);
} nx_job_kind;

const char *nx_job_id(const nx_job *job);
const nx_json *nx_job_spec(const nx_job *job);
const nx_json *nx_job_place(const nx_job *job);   /* as last saved; NULL: at the beginning */
const nx_json *nx_job_summary(const nx_job *job); /* the same */
bool nx_job_is_over(const nx_job *job);           /* canceled, or the node stops: return soon */
bool nx_job_is_canceled(const nx_job *job);       /* for good: nobody goes on with it */
void nx_job_progress_set(nx_job *job, const nx_job_progress *p);
bool nx_job_save_is_due(const nx_job *job);
/* BLOCKING. `place` and `summary` are JSON objects; summary of at most NX_JOB_SUMMARY_BYTES. Stored together: after a crash they belong to each other. */
nx_err nx_job_save(nx_job *job, nx_slice place, nx_slice summary, nx_error *reterr);

/* ---- the node's jobs (BLOCKING) ------------------------------------------------------------------------------------------------------- */

/* NX_EINVAL: no such kind, or the kind refuses the spec. NX_EBUSY: NX_JOBS_ACTIVE_MAX. */
nx_err nx_job_submit(nx_node *n, nx_slice kind, const nx_json *asked, char ret_id[NX_ID_LEN + 1], nx_error *reterr);
/* Full id, unique ending (4 characters or more) or @last. NX_ENOENT, NX_ECONFLICT. */
nx_err nx_job_resolve(nx_node *n, nx_slice text, nx_id *ret, nx_error *reterr);
/* One JSON object: docs/API_REFERENCE.md. */
nx_err nx_job_to_json(nx_node *n, const nx_id *id, bool with_summary, nx_jw *w, nx_error *reterr);
/* Newest first, each on a line of its own. `kind` empty: all. */
nx_err nx_job_list(nx_node *n, nx_slice kind, bool with_summary, nx_buf *out, nx_error *reterr);
/* Returns when that is stored; the work stops within a second or two. NX_ECONFLICT: it is over already. */
nx_err nx_job_cancel(nx_node *n, const nx_id *id, nx_error *reterr);
#endif
