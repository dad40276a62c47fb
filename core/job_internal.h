/* job_internal.h: what the files of jobs share: the stored forms (job_store.c), the board of a node's running jobs (job.c), the API (job_api.c).
 * Threads: the board's lists are guarded by its mu; a job's fields by whoever is named beside them. */
#ifndef NX_CORE_JOB_INTERNAL_H
#define NX_CORE_JOB_INTERNAL_H
#include "core_internal.h"
#include "nx/job.h"

typedef enum { NX_JOB_QUEUED,
               NX_JOB_RUNNING,
               NX_JOB_DONE,
               NX_JOB_FAILED,
               NX_JOB_CANCELED } nx_job_status;

const char *nx_job_status_name(nx_job_status s);
static inline bool nx_job_status_is_over(nx_job_status s) { return s >= NX_JOB_DONE; }

/* job.<id>: changed when the job is made, taken by a node, canceled, over. */
typedef struct nx_job_record {
    nx_id id;
    char kind[NX_JOB_KIND_BYTES + 1];
    nx_job_status status;
    uint64_t created_wall_ns, started_wall_ns, ended_wall_ns; /* 0: not yet */
    nx_id home;                                               /* data folder of the node that has it; empty: nobody */
    nx_id node;
    bool wants_cancel;
    nx_slice spec; /* JSON */
    char error[256];
    nx_job_progress progress; /* once it is over */
    uint64_t revision;
} nx_job_record;

/* jobstate.<id>: changed about once a second by the node that works on it. */
typedef struct nx_job_state {
    nx_id node;
    nx_job_progress progress;
    nx_slice place, summary; /* JSON; empty: none */
    uint64_t revision;
} nx_job_state;

/* All BLOCKING; slices lie in the arena. A put expects ret->revision (0: create) and sets the new one. */
nx_err nx_job_record_get(nx_node *n, const nx_id *id, nx_arena *a, nx_job_record *ret, nx_error *reterr);
nx_err nx_job_record_parse(const nx_id *id, nx_slice json, nx_job_record *ret, nx_error *reterr);
nx_err nx_job_record_put(nx_node *n, nx_job_record *r, nx_error *reterr);
nx_err nx_job_state_get(nx_node *n, const nx_id *id, nx_arena *a, nx_job_state *ret, nx_error *reterr);
nx_err nx_job_state_put(nx_node *n, const nx_id *id, nx_job_state *s, nx_error *reterr);
nx_err nx_job_forget(nx_node *n, const nx_id *id, nx_error *reterr);
/* jobs.active. *ret_n: at most NX_JOBS_ACTIVE_MAX. NX_EBUSY: no room for another. */
nx_err nx_job_active_get(nx_node *n, nx_id ret[NX_JOBS_ACTIVE_MAX], unsigned *ret_n, nx_error *reterr);
nx_err nx_job_active_change(nx_node *n, const nx_id *id, bool is_active, nx_error *reterr);

/* ---- who has died: job_lease.c. What this node saw of jobs that others have; by its own monotonic clock, so that no node's wall clock counts. */
typedef struct nx_job_sight {
    nx_id id;
    uint64_t record_revision, state_revision; /* as last seen */
    uint64_t since_ns, looked_ns;             /* unchanged since; last looked at (0: a free place) */
} nx_job_sight;
typedef struct nx_job_sights {
    nx_job_sight v[NX_JOBS_ACTIVE_MAX];
} nx_job_sights;
/* How long the job has been seen unchanged, by looks without a long break between them: a node that could not look, because the log was away, knows
 * nothing of the others, who could not save either. */
uint64_t nx_job_sight_age(nx_job_sights *s, const nx_id *id, uint64_t record_revision, uint64_t state_revision, uint64_t now_ns);
#define NX_JOB_LOOK_NS (2 * NX_NS_PER_S) /* between two looks of the board */

/* ---- the board: job.c */
struct nx_job {
    struct nx_job *next;
    nx_node *node;
    const nx_job_kind *kind;
    nx_job_record record; /* its thread's */
    nx_arena arena;       /* of record.spec */
    nx_json *spec;
    nx_json *place, *summary; /* as loaded before run() */
    nx_job_state state;       /* its thread's; slices are not kept */
    pthread_t thread;
    atomic_bool is_canceled, is_lost; /* lost: another node has it */
    atomic_bool is_finished;          /* its thread ends now */
    pthread_mutex_t mu;               /* guards what follows */
    nx_job_progress progress;
    uint64_t sample_ns; /* when the rates were last taken, monotonic */
    nx_job_progress sample;
    double done_per_s, at_per_s;
    uint64_t saved_ns, saved_done; /* its thread's */
};

typedef struct nx_job_board {
    nx_node *node;
    const nx_job_kind *const *kinds;
    unsigned n_kinds;
    nx_id home;
    pthread_t thread;
    bool has_thread;
    pthread_mutex_t mu;
    pthread_cond_t cv;
    bool is_kicked;
    atomic_bool is_stopping;
    nx_job *jobs;
    nx_job_sights sights; /* its thread's */
} nx_job_board;

nx_err nx_job_board_open(nx_node *n, nx_error *reterr); /* reads or makes data_dir/home.id */
void nx_job_board_stop(nx_job_board *b);                /* no new jobs, the running ones are told to stop; returns at once. NULL allowed */
void nx_job_board_free(nx_job_board *b);                /* BLOCKING: joins. NULL allowed */
void nx_job_board_kick(nx_job_board *b);                /* look for work now */
const nx_job_kind *nx_job_board_kind(const nx_job_board *b, nx_slice name);
/* What a running job of this node is at; false: it is not one of them. */
bool nx_job_board_progress(nx_job_board *b, const nx_id *id, nx_job_progress *ret, double *ret_done_per_s, double *ret_at_per_s);
bool nx_job_board_cancel(nx_job_board *b, const nx_id *id); /* true: it was running here */

extern const nx_job_kind nx_core_backfill_job; /* "backfill": backfill.c */
void nx_core_backfill_look(nx_node *n);        /* BLOCKING: new functions with `from` get their job */
/* BLOCKING. nx_job_submit() under an id of the caller's: that there is such a job already is success. */
nx_err nx_job_submit_as(nx_node *n, nx_slice kind, const nx_json *asked, const nx_id *id, nx_error *reterr);

nx_err nx_core_admin_job_post(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
nx_err nx_core_admin_jobs(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
nx_err nx_core_admin_job(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
nx_err nx_core_admin_job_cancel(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);
#endif
