/* dispatch.h: a run on its way: run_source.c brings it (an event's message, a due timer), dispatch.c executes, records and ends it.
 * Ownership: a run belongs to whoever holds it: the thread that brings it, the worker, the log's callback. It ends with exactly one of
 *            _drop, _later, _finish, or _settle and what follows from that.
 * Threads:   any, one at a time. */
#ifndef NX_CORE_DISPATCH_H
#define NX_CORE_DISPATCH_H
#include "core_internal.h"
#include "keys.h"
#include "lanes.h"

typedef struct nx_core_run {
    nx_attempt attempt; /* first: pool link is attempt.mail */
    nx_core_job job;
    nx_core_dispatch *d;
    atomic_uint refs; /* dispatcher, answer */
    nx_arena arena;
    nx_fab_msg *msg;    /* the event's, or that of the timer that is due */
    nx_fab_timer timer; /* lent by msg; function empty: the event's message */
    nx_core_gate *gate; /* reference; NULL: nothing to pass */
    struct nx_core_run *gate_next;
    bool is_inside, is_cancelled; /* is_cancelled: another event of its key came; the gate's lock */
    nx_id cancelled_by;
    uint8_t gate_key[NX_CORE_GATE_KEY_BYTES];
    nx_core_keyring *keyring; /* reference: the range of its key is held here for it; NULL: none is */
    unsigned key_range;
    bool is_anywhere;    /* it may run on a node that has not its key */
    bool is_admitted;    /* flow.c has let it in */
    bool is_debounced;   /* its timer of debounce.c is due */
    bool is_alone;       /* goes into no batch */
    nx_core_place place; /* in a lane; its key lies in the arena */
    nx_core_fn *fn;      /* reference */
    nx_effects_policy effects;
    const nx_effect *recorded; /* answers of policy `recorded`; in the arena */
    unsigned n_recorded;
    nx_event event;
    nx_run rec;
    const struct nx_redaction *redaction; /* in the arena; NULL: not looked for yet, or nothing to cover */
    struct nx_redact_lines *lines;        /* of the guest, in the arena; NULL: none yet */
    nx_fab_pub pub;
    nx_buf encoded, problem;
    nx_answer answer;
    nx_event emit; /* of a schedule: the event of its tick */
    char time_text[NX_RFC3339_MAX];
    int journal_slot;
    /* crashes.c */
    bool is_suspect, is_marked; /* delivered before; its mark says that it executes */
    unsigned crashes;           /* in which it was executing */
    nx_fab_pub mark_pub;
    uint64_t again_until_ns; /* again.c: until when what could not be stored is tried; 0: nothing was refused yet */
    uint64_t again_ns;
    void (*again)(struct nx_core_run *r);
    nx_slice *secret_values; /* in the arena: wiped when the run is done */
    unsigned n_secret_values;
} nx_core_run;

struct nx_core_dispatch {
    nx_node *node;
    pthread_mutex_t mu;
    nx_core_run *pool;
    unsigned n_pool;
    nx_core_run *unstored; /* again.c, linked as the pool is */
    bool is_closing;       /* nothing is kept for another try */
    atomic_uint running;
    nx_core_backoffs *backoffs;
};

nx_core_run *nx_core_run_take(nx_core_dispatch *d); /* from the pool; NULL: out of memory */
void nx_core_run_release(nx_core_run *r);           /* a reference; the message is done with */
void nx_core_run_drop(nx_core_run *r);              /* gives the message up without an acknowledgement: it is delivered again */
/* The message comes back after a moment: the node could not run it, which is not the event's fault. */
void nx_core_run_later(nx_core_run *r, uint64_t delay_ns);
nx_err nx_core_run_give(nx_core_run *r, const nx_id *node); /* its message goes to that node. Not NX_OK: it is still the caller's */
/* The ends of its message, which it holds no more then; a lane is told. */
void nx_core_run_msg_ack(nx_core_run *r);
void nx_core_run_msg_nak(nx_core_run *r, uint64_t delay_ns);
void nx_core_run_log(const nx_core_run *r, nx_log_level level, const char *event, nx_slice component, nx_slice msg); /* a line about it */
void nx_core_run_execute(nx_core_run *r);                                                                            /* event, function and record are filled in */
void nx_core_run_begin(nx_core_run *r, const nx_kv *env);                                                            /* the same with its environment: rec.n_env variables, lent by the arena */
void nx_core_run_settle(nx_core_run *r);                                                                             /* the record has its outcome: emitted events, record, end */
void nx_core_run_settle_decided(nx_core_run *r);                                                                     /* the same once it is known what follows from the outcome */
void nx_core_run_store(nx_core_run *r);                                                                              /* the record, then the end */
void nx_core_run_finish(nx_core_run *r);                                                                             /* its final record is stored: answer, acknowledgement */

/* privacy.c */
/* The record as it may be stored: `rec` itself, or a copy in the arena without what the function's settings hide. */
nx_err nx_core_privacy_record(nx_core_run *r, const nx_run **ret);
/* A text about the run's end, or the guest's next line, as the node's log may show it; a copy lies in `a`. */
nx_slice nx_core_privacy_text(nx_core_run *r, nx_slice text, nx_arena *a);
nx_slice nx_core_privacy_line(nx_core_run *r, nx_slice line, nx_arena *a);

/* flow.c, gate.c */
#define NX_CORE_FLOW_NOTE NX_SLICE("admitted")      /* of a timer: flow.c has let its event in */
#define NX_CORE_DEBOUNCE_NOTE NX_SLICE("debounced") /* of a timer: it waits for events that take its place */
#define NX_CORE_FLOW_STATE_BYTES 1024u              /* of a key, with a NUL */
/* From a key's state, empty where there is none, to the next one; false: nothing is to be stored. Called again where another node was faster. */
typedef bool nx_core_flow_step(void *self, nx_slice before, char after[NX_CORE_FLOW_STATE_BYTES]);
/* BLOCKING: the state that a function has of the key at this path, over all nodes. `kind`: which of its limits. */
nx_err nx_core_flow_change(nx_core_run *r, const char *kind, nx_slice path, nx_core_flow_step *step, void *self, nx_error *reterr);
/* BLOCKING. *ret_runs false: it waits, or has ended, and is the caller's no more. Not NX_OK: it is the caller's, and nothing is decided. */
nx_err nx_core_run_debounce(nx_core_run *r, bool *ret_runs, nx_error *reterr);
void nx_core_run_admit(nx_core_run *r);                                  /* executes it, or what its function's limits make of it */
void nx_core_run_skip(nx_core_run *r, nx_run_why why, const char *text); /* its final record: it was not executed */
void nx_core_run_unexecuted(nx_core_run *r, nx_run_status status, nx_run_why why, const char *text);
/* backoff.c, before an attempt: its message comes again then */
void nx_core_run_put_back(nx_core_run *r, uint64_t wall_ns, bool is_admitted);
/* The timer of its event's first attempt, without a reply. */
nx_fab_timer nx_core_run_first_timer(const nx_core_run *r, nx_slice note, uint64_t due_wall_ns);
/* Its message is done with once the timer is stored; else it is delivered again. */
void nx_core_run_put_off(nx_core_run *r, const nx_fab_timer *t);
void nx_core_run_not_put_off(nx_core_run *r, const char *why);
/* gate.c: which node is to have it; in doubt the one where it is. */
nx_core_key_owner nx_core_gate_owner(nx_core_run *r, nx_id *ret_node);
/* Digest of what stands at the path; zeros without a path, or where nothing does. */
void nx_core_flow_key(nx_core_run *r, nx_slice path, uint8_t key[NX_CORE_GATE_KEY_BYTES]);

/* batch.c */
bool nx_core_batch_takes(const nx_core_run *r);   /* its event goes into a batch */
void nx_core_batch_add(nx_core_run *r);           /* it is gathered, and ends when its batch is stored */
bool nx_core_batch_is_dead(const nx_core_run *r); /* a batch that failed for good */
void nx_core_batch_bury(nx_core_run *r);          /* dead letters of its events, then its record */

/* An event's message becomes a run. attempt 0: which one it is, is found out. */
void nx_core_dispatch_begin(nx_node *n, nx_core_fn *take_fn, nx_fab_msg *take_msg, unsigned attempt, nx_core_place *take_place);
/* emit.c: the attempt's events are stored, all or none; then the record. */
void nx_core_run_emit(nx_core_run *r);

/* again.c: the log refused what ends the run: `what` is called once more in a moment. False: not, for it was tried for too long, or can't be helped by
 * trying; the run is the caller's still. */
bool nx_core_run_try_again(nx_core_run *r, nx_err why, void (*what)(nx_core_run *r));
/* Its message may have gone to another node meanwhile: `what`, unless that one has recorded the run. */
void nx_core_run_unless_overtaken(nx_core_run *r, void (*what)(nx_core_run *r));

/* crashes.c, on the worker */
void nx_core_crash_begin(nx_core_run *r); /* it executes from now on; BLOCKING for a suspect */
void nx_core_crash_end(nx_core_run *r);   /* it ended, however */

/* secret_env.c */
void nx_core_run_fetch_secrets(nx_core_run *r);  /* of the function's environment, on a job thread; then begins, or ends as what it came to */
void nx_core_run_forget_secrets(nx_core_run *r); /* overwrites their values */

/* backoff.c */
void nx_core_run_back_off(nx_core_run *r); /* its record, which is not final, is stored: the event comes again when the next attempt is due */
/* Its newest record is `last`, not final: the next attempt, now or when it is due. */
void nx_core_run_go_on(nx_core_run *r, const nx_run *last);
bool nx_core_run_is_expected(nx_core_run *r);         /* a timer that this node set itself, and that comes for the first time: needs no look-up */
bool nx_core_run_go_on_as_remembered(nx_core_run *r); /* the same where this node put it off itself, without a look-up; false: it did not */
void nx_core_cron_due(nx_core_run *r);                /* BLOCKING. cron.c: the timer of a schedule */
#endif
