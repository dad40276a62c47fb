/* core_internal.h: the parts of a node and how they hold each other.
 * Ownership: nx_node owns everything here; functions (nx_core_fn) and runs (nx_core_run) are reference-counted because
 *            fabric callbacks, workers and the gateway let go of them in any order.
 * Threads:   registry: read from any thread, changed under `apply_mu` only; waiters: any thread under its own lock;
 *            runs: the thread that holds it at the moment (fabric -> worker -> fabric -> gateway). */
#ifndef NX_CORE_INTERNAL_H
#define NX_CORE_INTERNAL_H
#include "nx/clock.h"
#include "nx/config.h"
#include "nx/fab.h"
#include "nx/gateway.h"
#include "nx/ingest.h"
#include "nx/metrics.h"
#include "nx/node.h"
#include "nx/obs_log.h"
#include "nx/registry.h"
#include "nx/rt.h"
#include "nx/thread.h"
#include <pthread.h>
#include <stdatomic.h>

/* ---- journal: which runs were executing when the process died ---------------------------------------------------------------------- */

typedef struct nx_core_journal nx_core_journal;
nx_err nx_core_journal_open(const char *path, nx_core_journal **ret, nx_error *reterr);
void nx_core_journal_close(nx_core_journal *j);
int nx_core_journal_begin(nx_core_journal *j, const nx_id *run_id); /* slot, or -1 when all are taken */
void nx_core_journal_end(nx_core_journal *j, int slot);
unsigned nx_core_journal_crashes(nx_core_journal *j, const nx_id *run_id); /* how often it was executing when a node of this data_dir died */
void nx_core_journal_forget(nx_core_journal *j, const nx_id *run_id);
bool nx_core_journal_next_crash(nx_core_journal *j, nx_id *ret_run_id, unsigned *ret_count); /* one that is not forgotten; false: none */

/* ---- crashes: what kills nodes, over all nodes ---------------------------------------------------------------------------------------- */

#define NX_CORE_CRASHES_MAX 3u /* executing in so many node crashes: dead */
/* BLOCKING. In how many crashes the run was executing. */
nx_err nx_core_crashes_of(nx_node *n, const nx_id *run_id, unsigned *ret, nx_error *reterr);
void nx_core_crashes_share(nx_node *n); /* BLOCKING, at start: what the journal knows is told to the other nodes */

/* ---- waiting for a cluster, at start: start_wait.c ------------------------------------------------------------------------------------- */

/* BLOCKING for 0.2 s where it is true: `err` of a step of the start may pass (NX_EUNAVAIL, and several servers are named), so it should be tried again.
 * What is waited for stands in /readyz and, when it lasts, in the log. */
bool nx_core_waits(nx_node *n, nx_err err, const nx_error *why);
void nx_core_start_state(nx_node *n, const char *text); /* what start is busy with */
void nx_core_start_tick(nx_node *n, uint64_t now_ns);   /* nx-tick: says so where it takes long */

/* ---- jobs: blocking work that a callback may not do --------------------------------------------------------------------------------- */

typedef struct nx_core_jobs nx_core_jobs;
typedef struct nx_core_job {
    nx_mail mail;
    void (*run)(struct nx_core_job *self);
} nx_core_job;
nx_err nx_core_jobs_new(unsigned threads, unsigned max, nx_core_jobs **ret, nx_error *reterr);
nx_err nx_core_jobs_post(nx_core_jobs *j, nx_core_job *job); /* NX_EBUSY, NX_ECLOSED */
void nx_core_jobs_stop(nx_core_jobs *j);                     /* runs what was posted, joins; later posts are NX_ECLOSED. NULL allowed */
void nx_core_jobs_free(nx_core_jobs *j);                     /* NULL allowed; stops first where needed */

/* ---- waiters: callers that wait for a run's outcome ---------------------------------------------------------------------------------- */

#define NX_CORE_WAITERS_MAX 16384
#define NX_CORE_TOKEN_MAX 24

typedef struct nx_core_waiters nx_core_waiters;
nx_err nx_core_waiters_new(nx_core_waiters **ret, nx_error *reterr);
void nx_core_waiters_free(nx_core_waiters *w);
nx_err nx_core_waiters_add(nx_core_waiters *w, nx_ingest *in, uint64_t deadline_ns, char token[NX_CORE_TOKEN_MAX]);
/* The event is stored (or not: in->err is set). Calls done() when nothing is left to wait for. */
void nx_core_waiters_published(nx_core_waiters *w, nx_ingest *in);
/* The publication failed at once: the slot is free again, done() is not called. */
void nx_core_waiters_forget(nx_core_waiters *w, nx_ingest *in);
/* The publisher has the outcome (in->answer or in->is_late) itself: only published() is still to come. */
void nx_core_waiters_settle(nx_core_waiters *w, nx_ingest *in);
/* The outcome. Takes `answer` (released at once when nobody waits any more). */
void nx_core_waiters_answer(nx_core_waiters *w, nx_slice token, nx_answer *take_answer);
bool nx_core_waiters_abandon(nx_core_waiters *w, nx_ingest *in);
void nx_core_waiters_tick(nx_core_waiters *w, uint64_t now_ns); /* ends waits that are over: is_late */
/* One that has waited for NX_CORE_UNHEARD_NS, or so long again: what is needed to look for its run. */
#define NX_CORE_UNHEARD_NS NX_NS_PER_S
typedef struct nx_core_unheard {
    char token[NX_CORE_TOKEN_MAX], type[NX_EVENT_TYPE_BYTES + 1], function[NX_FUNCTION_NAME_BYTES + 1]; /* function "": the only subscriber of the type */
    nx_event event;                                                                                     /* id and times alone */
} nx_core_unheard;
/* Up to `max` of them, by turns; each is told once in that time. Times count from the first call that meets a waiter. */
unsigned nx_core_waiters_unheard(nx_core_waiters *w, uint64_t now_ns, nx_core_unheard *v, unsigned max);
unsigned nx_core_waiters_count(nx_core_waiters *w);
void nx_core_waiters_fail_all(nx_core_waiters *w); /* shutdown: every wait is over now */

/* What became of them, in the records: unheard.c. */
typedef struct nx_core_unheards nx_core_unheards;
nx_core_unheards *nx_core_unheards_new(nx_node *n); /* NULL: out of memory */
void nx_core_unheards_free(nx_core_unheards *u);    /* once no job runs any more */
void nx_core_unheards_tick(nx_core_unheards *u, uint64_t now_ns);
/* BLOCKING: the answer of the event's run, if that is recorded: NX_ENOENT. function empty: the only subscriber of the type. only_kept: not where it
 * would only say that the output was not kept. */
nx_err nx_core_answer_find(nx_node *n, const nx_event *e, nx_slice type, nx_slice function, bool only_kept, nx_answer **ret);

/* ---- retries: retry.c ------------------------------------------------------------------------------------------------------------------ */

/* Time from the end of this attempt (from 1) to the next one. */
uint64_t nx_core_retry_interval(const nx_fn_config *f, const nx_id *run_id, unsigned attempt);
/* How long the message of an attempt waits that the machine refused its memory: twice as long each time, up to some seconds. Both from 1; deliveries beyond
 * the attempts are those that came to nothing. */
uint64_t nx_core_retry_refused(unsigned attempt, uint64_t delivery);
/* From status, why and attempt: is_final, next_wall_ns, after, max_attempts. */
void nx_core_retry_decide(const nx_fn_config *f, uint64_t now_wall_ns, nx_run *rec);

/* An event that this node has put off. What is remembered of a message that was given back holds for one delivery only: the one after `delivery`. */
typedef struct nx_core_backoff {
    uint64_t next_wall_ns;
    unsigned attempt, delivery; /* the last ones */
    bool is_timer;              /* put off by a timer, not by giving its message back */
    bool is_admitted;           /* flow.c has let it in */
} nx_core_backoff;
typedef struct nx_core_backoffs nx_core_backoffs;
nx_err nx_core_backoffs_new(nx_core_backoffs **ret);
void nx_core_backoffs_free(nx_core_backoffs *t);
void nx_core_backoffs_put(nx_core_backoffs *t, const nx_id *run_id, const nx_core_backoff *b); /* instead of an earlier one; forgotten where there is no room */
bool nx_core_backoffs_take(nx_core_backoffs *t, const nx_id *run_id, bool is_timer, nx_core_backoff *ret);
unsigned nx_core_backoffs_count(nx_core_backoffs *t); /* messages that were given back */

/* ---- the registry ------------------------------------------------------------------------------------------------------------------- */

typedef struct nx_core_fn_metrics {
    nx_metric *runs[NX_RUN_STATUSES]; /* by nx_run_status */
    nx_metric *duration, *fuel, *memory, *cold, *retries;
    nx_metric *of_version[NX_RUN_STATUSES]; /* by nx_run_status, while several versions share the function's events; else NULL */
} nx_core_fn_metrics;

/* One function at one version, as it runs on this node. */
struct nx_core_fn {
    atomic_uint refs;
    char name[NX_FUNCTION_NAME_BYTES + 1];
    char version[32];
    char artifact[NX_SHA256_HEX + 1];
    nx_sha256 settings_sha256;
    bool is_project; /* from the project file; else from the registry */
    bool is_warm;    /* its program is kept warm for it; under apply_mu */
    nx_config *cfg;  /* reference; settings lie in it */
    const nx_fn_config *settings;
    nx_grants grants;                           /* lent by settings */
    nx_rt_program *program;                     /* reference */
    nx_rt_share *share;                         /* reference: of the slot's, or its own; NULL before it is in a slot */
    char type[NX_EVENT_TYPE_BYTES + 32];        /* of events from its own route; "" without one */
    char cron_type[NX_EVENT_TYPE_BYTES + 32];   /* of its schedules' ticks; "" without one */
    char batch_type[NX_EVENT_TYPE_BYTES + 32];  /* of its batches; "" without `batch` */
    char invoke_type[NX_EVENT_TYPE_BYTES + 32]; /* of events from `nexus invoke` */
    nx_slice *types;
    unsigned n_types; /* every type pattern it takes */
    nx_core_fn_metrics m;
    struct nx_core_others *others; /* versions that share its events; NULL: they are all its own */
};

#define NX_CORE_LANES 4 /* ranges of shards of an ordered function */
typedef struct nx_core_lane nx_core_lane;
void nx_core_due_durable(const char *function, char out[NX_FUNCTION_NAME_BYTES + 8]); /* of its timers */
void nx_core_lane_durable(const char *function, unsigned lane, char out[NX_FUNCTION_NAME_BYTES + 16]);

struct nx_core_run;
typedef struct nx_core_batches nx_core_batches; /* batch.c: what is being gathered on this node */
nx_err nx_core_batches_new(nx_core_batches **ret);
void nx_core_batches_free(nx_core_batches *b);          /* NULL allowed */
void nx_core_batches_tick(nx_node *n, uint64_t now_ns); /* nx-tick */
void nx_core_batches_close(nx_node *n);                 /* gives back what is gathered, and takes no more */
typedef struct nx_core_gate nx_core_gate;               /* gate.c */
typedef struct nx_core_keys nx_core_keys;               /* keys.h */
typedef struct nx_core_gate_rule {
    unsigned limit;    /* attempts at once; 0: no limit */
    bool is_keyed;     /* of each key, not of all */
    bool is_singleton; /* what would have to wait is skipped */
    bool is_cancel;    /* of a singleton: what came before is ended for it */
} nx_core_gate_rule;
#define NX_CORE_GATE_KEY_BYTES 16u
nx_core_gate *nx_core_gate_new(void);
void nx_core_gate_unref(nx_core_gate *g); /* NULL allowed */
void nx_core_gate_set_rule(nx_core_gate *g, const nx_core_gate_rule *rule, nx_core_keys *keys, const char *function);
void nx_core_gate_close(nx_core_gate *g);                      /* the function is not run here any more; NULL allowed */
void nx_core_gate_set(nx_core_gate *g, struct nx_core_run *r); /* the run will have to pass it */
bool nx_core_gate_enter(struct nx_core_run *r);                /* false: it waits, and nx_core_run_execute() is called once there is room; or it has ended, or was given back */
void nx_core_gate_leave(struct nx_core_run *r);
nx_slice nx_core_gate_cancel_text(struct nx_core_run *r); /* of a run that was cancelled: why; in its arena */

/* A function's name: its consumer, and which version handles what the consumer brings. Lives until the node ends or the function goes. */
typedef struct nx_core_slot {
    struct nx_core_slot *next, *hash_next;
    nx_node *node;
    char name[NX_FUNCTION_NAME_BYTES + 1];
    pthread_mutex_t mu;                 /* guards fn */
    nx_core_fn *fn;                     /* reference; NULL while it is being removed */
    nx_fab_consumer *consumer, *timers; /* of its events; of its due timers, NULL until it needs one */
    atomic_bool has_timers;             /* there is `timers` */
    nx_core_gate *gate;                 /* what its `concurrency` lets through */
    nx_rt_share *share;                 /* reference: all its versions' part of the node's slots */
    nx_core_lane *lanes[NX_CORE_LANES]; /* instead of `consumer` with `ordering: key`; changed under mu */
    uint64_t pace_ns;                   /* nx-tick: when the next event of its past may begin (lanes_past.c) */
    atomic_uint n_nodes;                /* that run the function, where it is ordered, as of the last count; 0: not counted yet */
    nx_core_fn *opened_for;             /* reference: whose filters the consumer has; NULL without one. Under apply_mu */
    nx_metric *m_pending, *m_paused, *m_dlq;
    atomic_bool is_backfill_known; /* its `from` has been seen to, or it has none (backfill.c) */
} nx_core_slot;

#define NX_CORE_SLOT_BUCKETS 4096u

typedef struct nx_core_snapshot nx_core_snapshot; /* routes and types of one moment; registry.c */

nx_core_fn *nx_core_fn_ref(nx_core_fn *fn);
void nx_core_fn_unref(nx_core_fn *fn);
/* The version of a function that gets this event; takes `fn`, which is what a slot has and `others` of which is not NULL. */
nx_core_fn *nx_core_fn_choose(nx_core_fn *take_fn, const nx_event *e);
nx_core_fn *nx_core_slot_fn(nx_core_slot *s); /* a reference, or NULL; where several versions share its events, the one that gets most */
void nx_core_slot_depth(nx_core_slot *s, uint64_t *ret_pending, uint64_t *ret_inflight);

/* BLOCKING, takes apply_mu: before a function's timer is set by nx_fab_timer_set(), its due timers have to be consumed. NX_ENOENT: no such function here. */
nx_err nx_core_timers_need(nx_node *n, const char *function, nx_error *reterr);
bool nx_core_timers_are_consumed(nx_node *n, const char *function); /* any thread: it is so already */

/* BLOCKING, under apply_mu: brings the node to project functions of `cfg` plus the registry's live versions. Whole or not at all. */
nx_err nx_core_registry_apply(nx_node *n, nx_config *cfg, nx_buf *ret_changes, nx_error *reterr);
void nx_core_registry_clear(nx_node *n); /* BLOCKING, takes apply_mu, when the node is draining: closes consumers, forgets functions */
/* The same where only the live version of this function changed: nothing else is read. */
nx_err nx_core_registry_apply_one(nx_node *n, const char *name, nx_buf *ret_changes, nx_error *reterr);
void nx_core_reload_later(nx_node *n, uint64_t delay_ns); /* the registry is read again then, whole */
struct nx_core_changed;                                   /* which functions changed; reload.c */
nx_err nx_core_changed_new(struct nx_core_changed **ret);
void nx_core_changed_free(struct nx_core_changed *c);    /* NULL allowed */
void nx_core_reload_on_change(nx_node *n, nx_slice key); /* of the registry; the log's thread */
void nx_core_reload_tick(nx_node *n, uint64_t now_ns);   /* nx-tick */
nx_err nx_core_registry_route(nx_node *n, nx_slice method, nx_slice path, nx_arena *a, nx_ingest_route *ret, nx_slice *ret_allow);
unsigned nx_core_registry_subscribers(nx_node *n, nx_slice type, nx_core_fn **ret_first); /* *ret_first: a reference, may be NULL */

/* ---- functions that are paused: pause.c ---------------------------------------------------------------------------------------------- */

#define NX_CORE_PAUSE_REASON_BYTES 384
typedef struct nx_core_pause {
    char function[NX_FUNCTION_NAME_BYTES + 1];
    char at[NX_RFC3339_MAX + 1];
    char reason[NX_CORE_PAUSE_REASON_BYTES]; /* may be empty */
    nx_id event_id;                          /* whose attempts were used up; empty: paused by request */
} nx_core_pause;
typedef struct nx_core_pauses nx_core_pauses; /* what the registry said last */
nx_err nx_core_pauses_new(nx_core_pauses **ret);
void nx_core_pauses_free(nx_core_pauses *p);
bool nx_core_pause_get(nx_core_pauses *p, const char *function, nx_core_pause *ret); /* ret may be NULL */
/* BLOCKING, under apply_mu: reads the registry and brings the consumers of all slots to what it says. */
nx_err nx_core_pauses_apply(nx_node *n, nx_error *reterr);
/* BLOCKING, takes apply_mu. On all nodes; event_id NULL: by request. *ret_changed: it was not so before. */
nx_err nx_core_pause_set(nx_node *n, const char *function, nx_slice reason, const nx_id *event_id, bool *ret_changed, nx_error *reterr);
nx_err nx_core_pause_end(nx_node *n, const char *function, bool *ret_changed, nx_error *reterr);
bool nx_core_pause_on_change(nx_node *n, nx_slice key); /* of the registry; the log's thread. False: another key */

/* ---- dead letters: dlq.c; see dlq.h ---------------------------------------------------------------------------------------------------- */

typedef struct nx_core_dlq nx_core_dlq;
nx_err nx_core_dlq_new(nx_core_dlq **ret);
void nx_core_dlq_free(nx_core_dlq *d);
unsigned nx_core_dlq_count(nx_core_dlq *d, const char *function); /* as far as it was read */
bool nx_core_dlq_is_cut(nx_core_dlq *d);                          /* there are more than it holds: the oldest are missing */

/* ---- the dispatcher ------------------------------------------------------------------------------------------------------------------ */

typedef struct nx_core_dispatch nx_core_dispatch;
nx_err nx_core_dispatch_new(nx_node *n, nx_core_dispatch **ret, nx_error *reterr);
void nx_core_dispatch_free(nx_core_dispatch *d);
void nx_core_dispatch_on_msg(void *slot, nx_fab_msg *take_msg); /* an event for the slot's function */
/* The same for an old event: one that was accepted at or after `live_wall_ns` may have come to the function already, and is looked up first. */
void nx_core_dispatch_on_old(void *slot, nx_fab_msg *take_msg, uint64_t live_wall_ns, nx_effects_policy effects);
void nx_core_dispatch_on_due(void *slot, nx_fab_msg *take_msg); /* a timer of the slot's function that is due */
void nx_core_again_tick(nx_core_dispatch *d, uint64_t now_ns);  /* nx-tick: what could not be stored is tried again */
void nx_core_again_close(nx_core_dispatch *d);                  /* no more: what waits for that is given up; NULL is none */
unsigned nx_core_dispatch_running(const nx_core_dispatch *d);   /* runs taken and not finished */

/* What a caller that waits gets for a run: the output, or problem details. */
bool nx_core_answer_is_kept(const nx_run *r); /* of an earlier run's record: it holds the output as it was */
int nx_core_answer_status(const nx_run *r);   /* HTTP status */
nx_slice nx_core_answer_content_type(const nx_run *r);
nx_err nx_core_answer_problem(const nx_run *r, nx_buf *out); /* body of a run that did not end ok */
/* The outcome of a stored record as an answer; heap, released by its release(). NULL: out of memory. */
nx_answer *nx_core_answer_of_run(const nx_run *r);

extern const nx_ingest_ops nx_core_ingest_ops;
extern const nx_effect_ops nx_core_effect_ops; /* effects.c; self is the node */

/* ---- the node ------------------------------------------------------------------------------------------------------------------------- */

struct nx_node {
    nx_node_options opt;
    nx_config *cfg; /* reference; swapped under apply_mu */
    nx_id id;
    nx_obs_log *log;
    nx_metrics *metrics;
    nx_fab_server *server; /* NULL with nats.url */
    nx_fab *fab;
    nx_fab_ns *ns;
    nx_rt *rt;
    nx_rt_group *group; /* of its functions' shares */
    nx_gw *gw;
    nx_gw_admin *admin;
    nx_gw_admin_route *admin_routes; /* its own and those of layers above */
    size_t n_admin_routes;
    nx_core_jobs *jobs;
    struct nx_job_board *board;
    nx_core_waiters *waiters;
    nx_core_unheards *unheards;
    nx_core_journal *journal;
    nx_core_dispatch *dispatch;
    nx_core_batches *batches;
    nx_core_keys *keys;
    struct nx_core_outbound *outbound;
    struct nx_core_secrets *secrets;
    pthread_mutex_t apply_mu;
    nx_core_slot *slots; /* changed under apply_mu and snap_mu, with the table */
    nx_core_slot *slots_by_name[NX_CORE_SLOT_BUCKETS];
    pthread_rwlock_t snap_mu; /* guards snap and slots' list for readers */
    nx_core_snapshot *snap;
    atomic_bool is_ready, is_draining, is_reload_posted;
    struct nx_core_changed *changed; /* reload.c */
    atomic_bool is_strict;           /* ingest.strict, retention.events.max_age and hop_limit of cfg, for threads that don't hold apply_mu */
    _Atomic uint64_t events_max_age_ns;
    atomic_uint hop_limit, audit_ppm;
    _Atomic(void *) part; /* opt.part's */
    nx_core_pauses *pauses;
    nx_core_dlq *dlq;
    atomic_bool is_pause_posted;
    nx_core_job reload_job, pause_job, cron_job, prune_job, timers_job;
    _Atomic uint64_t prune_due_ns;  /* when old versions are looked for again */
    atomic_uint n_lanes;            /* of functions with `ordering: key` */
    _Atomic uint64_t timers_due_ns; /* when the server is asked again which functions have timers */
    _Atomic uint64_t cron_due_ns;   /* when the schedules' timers are looked at again */
    _Atomic uint64_t reload_due_ns; /* when the tick posts it; 0: not at all */
    pthread_t tick_thread;
    bool has_tick, is_drained;
    pthread_mutex_t tick_mu;
    pthread_cond_t tick_cv;
    bool tick_stop;
    char start_state[512];  /* what start is busy with, for /readyz; under tick_mu */
    uint64_t start_said_ns; /* when a line said so; nx-tick */
    char url[128], admin_url[128];
    char ns_name[NX_NAMESPACE_BYTES + 1];
    const char *thread_ns; /* what its threads' log lines say (nx/thread.h); NULL: nothing, it is the only one of its process */
    char data_dir[3500];   /* the one that is locked; cfg may name another by now */
    uint64_t started_ns;
    nx_metric *m_ingested, *m_refused, *m_publish, *m_running, *m_waiting;
    int lock_fd;
};

void nx_core_lanes_tick(nx_node *n, uint64_t now_ns);  /* nx-tick */
void nx_core_cron_tick(nx_node *n, uint64_t now_ns);   /* nx-tick */
void nx_core_prune_tick(nx_node *n, uint64_t now_ns);  /* nx-tick */
void nx_core_timers_tick(nx_node *n, uint64_t now_ns); /* nx-tick */

nx_err nx_core_admin_start(nx_node *n, nx_error *reterr);
#endif
