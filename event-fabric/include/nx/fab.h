/* nx/fab.h: the log: publish, consume, ack, look up, key-value, artifacts, over NATS JetStream.
 * Why:       all state of the platform lies here; nodes hold none (DESIGN 4).
 * Ownership: nx_fab (connections) outlives its nx_fab_ns (namespaces), which outlive their consumers and messages.
 *            An nx_fab_msg belongs to whoever got it until it is acked, nacked or terminated, which frees it.
 * Threads:   every function may be called from any thread. Callbacks run on the fabric's own threads (nats.c's): they must copy or take, post, return.
 *            Functions marked BLOCKING do round trips (bounded by 5 s unless said otherwise) and must not be called from a callback or an event loop.
 * Errors:    NX_EUNAVAIL (no connection, no answer in time), NX_EFULL (stream limit), NX_EBUSY (too many in flight), NX_ELIMIT (over max_payload), others as said.
 * Source:    NATS protocol and JetStream API (ADR-1, 2, 8, 9, 13, 20, 31, 37), CloudEvents NATS binding 1.0.2, DESIGN 4. */
#ifndef NX_FAB_H
#define NX_FAB_H
#include "nx/config.h"
#include "nx/effect.h"
#include "nx/event.h"
#include "nx/run.h"

typedef struct nx_fab nx_fab;
typedef struct nx_fab_ns nx_fab_ns;
typedef struct nx_fab_consumer nx_fab_consumer;
typedef struct nx_fab_msg nx_fab_msg;
typedef struct nx_fab_server nx_fab_server;
struct nx_metrics;

/* ---- the private nats-server (embedded/) ----------------------------------------------------------------------------------------- */

typedef struct nx_fab_server_options {
    const char *program;                                       /* path of nats-server; NULL: NEXUS_NATS_SERVER, beside the own binary, the build's, PATH */
    const char *data_dir;                                      /* ".nexus": holds nats/ (store, configuration 0600, log), lock, server.json (pid and start time) */
    nx_durability durability;                                  /* process | power */
    uint64_t memory_limit_bytes;                               /* GOMEMLIMIT; 0: 192 MiB, and more for the consumers of the store (near its limit the server spends its time collecting garbage) */
    uint64_t max_payload_bytes;                                /* 0: 8 MiB */
    void (*on_state)(void *self, bool is_up, const char *why); /* on the supervisor's thread; may be NULL */
    void *self;
} nx_fab_server_options;

/* BLOCKING (until ready, at most 60 s; `on_wait` lines of progress come by the log). Takes the lock on data_dir (NX_ECONFLICT names the holder's pid), waits until a previous server
 * of this store is really gone (pid and start time), starts nats-server on a random loopback port with generated credentials, supervises it:
 * restarted with back-off on the same port, ended with the node even if the node is killed (PR_SET_PDEATHSIG or equal). */
nx_err nx_fab_server_start(const nx_fab_server_options *o, nx_fab_server **ret, nx_error *reterr);
const char *nx_fab_server_url(const nx_fab_server *s); /* nats://user:password@127.0.0.1:port; secret: never logged */
int nx_fab_server_pid(const nx_fab_server *s);         /* 0 while it is down */
/* The server answers and does not store: after a write error nats-server refuses until it is restarted. That is done here, once its disk has
 * room again. Any thread; returns at once. The fabric calls it by itself for its private_server. */
void nx_fab_server_heal(nx_fab_server *s);
void nx_fab_server_stop(nx_fab_server *s); /* BLOCKING: graceful, then forced after 10 s; NULL allowed */

/* ---- connections ------------------------------------------------------------------------------------------------------------------ */

typedef struct nx_fab_options {
    const char *url; /* nats:// or tls://, comma-separated list */
    nx_slice credentials_file, user, password, token, tls_ca, tls_cert, tls_key;
    nx_slice js_prefix;            /* "" = "$JS.API" */
    nx_id node;                    /* this node's id: names its inboxes */
    unsigned max_publishes;        /* in flight; 0: 8192 */
    unsigned max_inflight;         /* messages granted or delivered and not yet finished, over all consumers, beside a few lent to idle ones; 0: 2048 */
    size_t max_inflight_bytes;     /* the same in bytes; a message that is larger than a share of it comes alone; 0: 64 MiB */
    struct nx_metrics *metrics;    /* may be NULL */
    nx_fab_server *private_server; /* what url leads to, where it is ours; NULL: an external server */
    void (*on_state)(void *self, bool is_connected);
    void *state_self; /* may be NULL */
    /* A reply to this node's waiting callers (see nx_fab_reply()): token is what followed the node's inbox. Slices valid during the call. */
    void (*on_reply)(void *self, nx_slice token, int status, nx_slice content_type, nx_slice body);
    void *reply_self;
} nx_fab_options;

nx_err nx_fab_open(const nx_fab_options *o, nx_fab **ret, nx_error *reterr); /* BLOCKING */
/* `url` names several servers: what they can't do now (NX_EUNAVAIL: one has just died or been started, and no other leads what it led) they can soon. */
bool nx_fab_has_servers(const char *url);
void nx_fab_close(nx_fab *f);                       /* BLOCKING: flushes; consumers and namespaces must be closed */
bool nx_fab_is_ready(nx_fab *f, nx_error *ret_why); /* cheap: connected, JetStream answering, streams writable */
uint64_t nx_fab_max_payload(nx_fab *f);
const char *nx_fab_server_version(nx_fab *f);
const char *nx_fab_inbox(nx_fab *f); /* prefix of this node's reply subjects, "_NX.R.<node>": a waiting caller's nx-reply is "<inbox>.<token>" */

typedef struct nx_fab_ns_options {
    uint64_t events_max_age_ns, events_max_bytes, runs_max_age_ns, runs_max_bytes, dedupe_window_ns;
    unsigned replicas, max_types;
} nx_fab_ns_options;

/* BLOCKING: makes or updates the namespace's streams, buckets; starts trimming. */
nx_err nx_fab_ns_open(nx_fab *f, nx_slice ns, const nx_fab_ns_options *o, nx_fab_ns **ret, nx_error *reterr);
void nx_fab_ns_close(nx_fab_ns *n);
nx_slice nx_fab_ns_name(const nx_fab_ns *n);
bool nx_fab_name_is_valid(nx_slice s, size_t max_bytes); /* [A-Za-z0-9_-]+: of functions and consumers, as they stand in subjects */
/* BLOCKING: raw subjects of users to capture into the log: the minimal non-overlapping set of `subjects` replaces the earlier set.
 * A subject that another stream owns is sourced from it. */
nx_err nx_fab_ns_raw_subjects(nx_fab_ns *n, const nx_slice *subjects, unsigned n_subjects, nx_error *reterr);

/* ---- publish ---------------------------------------------------------------------------------------------------------------------- */

typedef struct nx_fab_pub {
    void (*done)(struct nx_fab_pub *self); /* exactly once, on a fabric thread, unless the call itself failed; also after a time-out of 5 s (NX_EUNAVAIL) */
    void *owner;                           /* the caller's own */
    nx_err err;
    uint64_t seq; /* of the stored message, or of the first one when is_duplicate */
    bool is_duplicate;
    bool is_spare; /* it is in the spare log, for want of a leader of the log, and `seq` is of that one */
    uint64_t fab_private[4];
} nx_fab_pub;

/* Stores an event in binary mode: subject nx.NS.ev.<shard of event_id>.<type> (the shard first: then one filter names it for types of any number of tokens), ce- headers, data untouched. `pub` is lent until done().
 * dedupe_key: Nats-Msg-Id is made of its SHA-256 (empty: none). reply: header nx-reply (empty: none). All bytes are copied before it returns.
 * NX_EMANY: one distinct type too many. */
nx_err nx_fab_publish_event(nx_fab_ns *n, const nx_event *e, nx_slice dedupe_key, nx_slice reply, nx_fab_pub *pub, nx_error *reterr);
/* Whether an event of this type would be taken; counts it from now on. For what publishes several events, all or none. NX_EMANY, NX_EINVAL. */
nx_err nx_fab_type_admit(nx_fab_ns *n, nx_slice type, nx_error *reterr);
/* Stores a run record: `encoded` = nx_run_encode(run). is_replay goes to NX_REPLAYS_NS; of others, one that is not final has the subject token
 * "retry" in place of its status. Final records carry the header nx-final with the generation. They are
 * not deduplicated (ids would cost the server memory and time for each): of a run the first one by sequence counts, and readers leave out later ones.
 * A record over max_payload has its body in a bucket of its own, which retention reaches too. */
nx_err nx_fab_publish_run(nx_fab_ns *n, const nx_run *run, nx_slice encoded, nx_fab_pub *pub, nx_error *reterr);
/* Publishes the outcome to a waiting caller anywhere: core NATS, no acknowledgement. */
nx_err nx_fab_reply(nx_fab *f, nx_slice reply_subject, int status, nx_slice content_type, nx_slice body);

/* ---- consume ---------------------------------------------------------------------------------------------------------------------- */

/* What the server has of durable consumers, asked for many at a time: opening one that is as it was then asks for nothing. */
typedef struct nx_fab_seen nx_fab_seen;
typedef struct nx_fab_durable {
    const char *name;
    bool is_of_timers;
} nx_fab_durable;
/* BLOCKING. Each once. Those that are not there are no error. */
nx_err nx_fab_consumers_see(nx_fab_ns *n, const nx_fab_durable *v, unsigned n_v, nx_fab_seen **ret, nx_error *reterr);
bool nx_fab_seen_is_absent(const nx_fab_ns *n, const nx_fab_seen *s, const char *durable); /* of events: it was asked for, and was not there. s may be NULL */
void nx_fab_seen_free(nx_fab_seen *s);                                                     /* NULL allowed */

typedef struct nx_fab_consumer_options {
    const char *durable; /* "fn-<function>" */
    const nx_slice *types;
    unsigned n_types; /* event type patterns (nx_event_type_matches) */
    const nx_slice *subjects;
    unsigned n_subjects;   /* raw subjects */
    uint64_t ack_wait_ns;  /* 0: NX_FAB_ACK_NS. Longer work is kept alive by the fabric (+WPI) until the message is finished */
    unsigned max_inflight; /* on this node; 0: no bound of its own */
    bool is_paused;        /* see nx_fab_consumer_pause() */
    bool from_start;       /* deliver all stored events; else only those stored after the consumer was made */
    uint64_t start_seq;    /* not 0: deliver those from this sequence on */
    /* In order: of the shards [shard_from, shard_from + n_shards) alone, to one client at a time (JetStream's priority policy pinned_client), in the
     * log's order but for what is delivered again. n_shards 0: not so. No subjects. Which client is pinned may change at any time: a new term. */
    unsigned shard_from, n_shards;
    void (*on_unpinned)(void *self, uint64_t term); /* nx-fab: the term is over; its messages come again, here or elsewhere. Ordered ones only */
    const char *const *successor_of;                /* NULL-terminated durables: a consumer that is made anew begins where the first of them is done */
    nx_slice placed_for;                            /* a function: what nx_fab_event_place() gave it comes too, where the consumer is ordered, or follows one that was */
    nx_slice timers_of;                             /* a function: its due timers are brought (nx_fab_msg_timer()) instead of events; no types, no subjects. Empty: events */
    const nx_fab_seen *seen;                        /* a moment ago; lent for the call that opens. NULL: the server is asked */
    void (*on_msg)(void *self, nx_fab_msg *take_msg);
    void *self;
} nx_fab_consumer_options;

/* BLOCKING: of what was seen, consumers that are not there, or have other settings, are made or updated with many requests under way; opening one of them
 * then asks for nothing. Those that succeed another one, and what the server refuses, are left to be opened one by one. `seen` of the options is not read. */
nx_err nx_fab_consumers_make(nx_fab_ns *n, const nx_fab_consumer_options *v, unsigned n_v, nx_fab_seen *s, nx_error *reterr);
/* BLOCKING: makes or updates the durable pull consumer (overlapping filters reduced), then asks for messages until closed; survives reconnects and restarts. */
nx_err nx_fab_consumer_open(nx_fab_ns *n, const nx_fab_consumer_options *o, nx_fab_consumer **ret, nx_error *reterr);
/* BLOCKING: what was published, acknowledged and asked for until now has reached the server, or a second has passed. Of thousands of consumers that were just
 * opened the requests for messages wait there; what is published is behind them. */
void nx_fab_settle(nx_fab *f);
/* BLOCKING: no on_msg after it returns; undelivered grants are given up. `remove` deletes the durable consumer. Messages in hand stay valid. */
void nx_fab_consumer_close(nx_fab_consumer *c, bool remove);
/* BLOCKING: the server stops delivering, or goes on, for all nodes and until told otherwise. Events keep being stored and wait; what is delivered
 * and unfinished is not touched, and what was given back waits too. Telling it what it does already does nothing. */
nx_err nx_fab_consumer_pause(nx_fab_consumer *c, bool is_paused, nx_error *reterr);
/* The most messages of an ordered consumer that may be delivered and not acknowledged; all of them are in the hands of the pinned client. */
#define NX_FAB_ORDERED_MAX 1000
/* What a node or a consumer's leader had when it died is delivered again so long after its last sign of life: half of what a caller may wait for in
 * vain (5 s), since who gets it then may die too. */
#define NX_FAB_ACK_NS (2 * NX_NS_PER_S)
/* BLOCKING: gives up the term of whoever is pinned, which is this client as far as it knows; another one that asks gets it. */
nx_err nx_fab_consumer_yield(nx_fab_consumer *c, nx_error *reterr);
/* BLOCKING: on how many nodes a durable consumer of timers is open: each of them asks once. One that died is counted for up to 30 s. */
nx_err nx_fab_timers_askers(nx_fab_ns *n, const char *durable, unsigned *ret, nx_error *reterr);
/* Whether the term that a message of an ordered consumer came in still lasts, for certain. Cheap; any thread. */
bool nx_fab_msg_is_pinned(const nx_fab_msg *m);
uint64_t nx_fab_msg_term(const nx_fab_msg *m);
/* CloudEvents partitionkey as it stands in the message; lent by it, may be empty. Equal keys are equal bytes. */
nx_slice nx_fab_msg_partition_key(const nx_fab_msg *m);
/* BLOCKING: messages that the server counts as delivered and not acknowledged, to whomever. */
nx_err nx_fab_consumer_unacked(nx_fab_consumer *c, uint64_t *ret, nx_error *reterr);
bool nx_fab_consumer_has_succeeded(const nx_fab_consumer *c); /* it was made in the place of one of successor_of */
bool nx_fab_consumer_is_new(const nx_fab_consumer *c);        /* it was made when it was opened, or since */
/* BLOCKING: a durable consumer of events that is open on no node any more. One that is not there is no error. */
nx_err nx_fab_consumer_remove(nx_fab_ns *n, const char *durable, nx_error *reterr);
/* Events that wait for this consumer, and that are delivered and unfinished (from the last message or poll; cheap). */
void nx_fab_consumer_depth(nx_fab_consumer *c, uint64_t *ret_pending, uint64_t *ret_inflight);

/* BLOCKING: what the server knows of a durable consumer of the log. NX_ENOENT. */
typedef struct nx_fab_consumer_info {
    uint64_t made_wall_ns;
    uint64_t done_seq;         /* everything it brings up to here is finished */
    uint64_t done;             /* messages up to there */
    uint64_t pending, unacked; /* not delivered yet; delivered and not finished, on all nodes */
} nx_fab_consumer_info;
nx_err nx_fab_consumer_info_get(nx_fab_ns *n, const char *durable, nx_fab_consumer_info *ret, nx_error *reterr);

nx_err nx_fab_msg_event(nx_fab_msg *m, nx_arena *a, nx_event *ret, nx_error *reterr); /* slices lent by the message; raw messages become events (type "nats.<subject>", source "nats:<stream>") */
uint64_t nx_fab_msg_seq(const nx_fab_msg *m);                                         /* in its stream: of a timer this is not the event's */
unsigned nx_fab_msg_delivery(const nx_fab_msg *m);                                    /* 1 on the first */
nx_slice nx_fab_msg_reply(nx_fab_msg *m);                                             /* nx-reply, may be empty; lent by the message */
/* ack_wait has passed at some time without a sign of life to the server (this process was stopped, or cut off): another node may have it too. Any thread. */
bool nx_fab_msg_is_overdue(const nx_fab_msg *m);
void nx_fab_msg_ack(nx_fab_msg *take_m);
/* To the node of that id, which has the same consumer open, if it still is one: it has the message as if it had got it from the log. Taken only on NX_OK.
 * NX_ELIMIT: too large with what has to be said with it. A node that is full, or has no such consumer, gives it back to the log. */
nx_err nx_fab_msg_give(nx_fab_msg *m, const nx_id *node);
bool nx_fab_msg_is_given(const nx_fab_msg *m); /* it came so */
void nx_fab_msg_nak(nx_fab_msg *take_m, uint64_t delay_ns);
void nx_fab_msg_drop(nx_fab_msg *take_m); /* frees without a word: redelivered after ack_wait */

/* ---- timers ----------------------------------------------------------------------------------------------------------------------- */

/* "Run function F for event E at time T": kept by the log itself (JetStream message schedules in NX_TIMERS_<ns>, ADR-51), so it outlives nodes
 * and servers. A timer is named by its function and either (event_seq, generation, attempt) or `key`; setting one of that name again replaces
 * it while it waits. When it is due it becomes a message of the consumer with `timers_of` F: on one node, delivered again until it is
 * acknowledged, as an event's message is. A timer that is set again after it was due is due again: who acts on it looks for what was done.
 * An event that a timer waits for is not trimmed. Times have a grain of about 250 ms; a time in the past is now. */
typedef struct nx_fab_timer {
    nx_slice function;
    nx_id event_id; /* the event; event_seq is its sequence in the log */
    uint64_t event_seq;
    unsigned attempt, generation; /* of the run that starts then */
    nx_slice reply;               /* nx_fab_msg_reply() of the message that it becomes; may be empty */
    nx_slice note;                /* for who acts on it: printable ASCII, at most 128 bytes; may be empty */
    nx_slice key;                 /* not empty: a timer of the function's own, without an event. [A-Za-z0-9_-]{1,64} */
    uint64_t due_wall_ns;
} nx_fab_timer;

/* Any thread. `pub` is lent until done(); everything is copied. Only after a done() without error may what it stands for be acknowledged. */
nx_err nx_fab_timer_set(nx_fab_ns *n, const nx_fab_timer *t, nx_fab_pub *pub, nx_error *reterr);
/* BLOCKING. only_new: NX_ECONFLICT where one of that name waits already, which then stays as it is. */
nx_err nx_fab_timer_set_sync(nx_fab_ns *n, const nx_fab_timer *t, bool only_new, nx_error *reterr);
/* BLOCKING. One that does not wait (any more) is no error: it may be due already. */
nx_err nx_fab_timer_cancel(nx_fab_ns *n, const nx_fab_timer *t, nx_error *reterr);
typedef struct nx_fab_timer_scan {
    nx_slice function; /* empty: of all functions */
    bool only_keyed;   /* without those that wait for events */
    unsigned limit;    /* 0: 10,000, which is also the most */
} nx_fab_timer_scan;
/* BLOCKING: waiting timers in the order in which they were set. Array and texts in the arena. */
nx_err nx_fab_timers_list(nx_fab_ns *n, const nx_fab_timer_scan *s, nx_arena *a, nx_fab_timer **ret, unsigned *ret_n, nx_error *reterr);
/* Timers that wait or are due, as of the last round of upkeep (10 s); cheap. The server keeps about 500 bytes of memory for each:
 * whoever lets others make them has to stop at NX_FAB_TIMERS_MAX. Timers of events that were accepted are never refused. */
#define NX_FAB_TIMERS_MAX 1000000u
uint64_t nx_fab_timers_waiting(const nx_fab_ns *n);
/* BLOCKING: the functions whose due timers a durable consumer is there for, whoever made it. Names lie in the arena. */
nx_err nx_fab_timers_functions(nx_fab_ns *n, nx_arena *a, const char ***ret, unsigned *ret_n, nx_error *reterr);
/* Of a message that a consumer with `timers_of` brought: slices are lent by the message. False: it is none of ours. The event is not in the
 * message (nx_fab_msg_event() is NX_EINVAL): look it up with nx_fab_event_get_seq(), a BLOCKING call. Of a placed event it is the timer it came from. */
bool nx_fab_msg_timer(const nx_fab_msg *m, nx_fab_timer *ret);

/* A timer that is due, as a place in the log: the event is stored once more, for the timer's function alone, behind everything that is stored by now. The
 * function's ordered consumer brings it in its turn; nx_fab_msg_event() is the event as it is (with its own stream_seq), nx_fab_msg_timer() the timer.
 * Nobody else sees it: neither lists nor look-ups. `pub` as in nx_fab_timer_set(). NX_ELIMIT: event and timer are too large for one message. */
nx_err nx_fab_event_place(nx_fab_ns *n, const nx_fab_timer *t, const nx_event *e, nx_fab_pub *pub, nx_error *reterr);
bool nx_fab_msg_is_placed(const nx_fab_msg *m); /* cheap */

/* ---- look up (all BLOCKING) ------------------------------------------------------------------------------------------------------- */

nx_err nx_fab_event_get(nx_fab_ns *n, const nx_id *id, nx_arena *a, nx_event *ret, nx_error *reterr); /* NX_ENOENT: unknown or expired */
nx_err nx_fab_event_get_seq(nx_fab_ns *n, uint64_t seq, nx_arena *a, nx_event *ret, nx_error *reterr);
/* The same of what was published, or, where that was a duplicate, of the first. NX_EUNAVAIL: that one is moved from the spare log into the log. */
nx_err nx_fab_event_get_published(nx_fab_ns *n, const nx_fab_pub *pub, nx_arena *a, nx_event *ret, nx_error *reterr);
/* Full id, unique suffix (>= 4 characters, among the newest 100,000), or "@last". NX_ENOENT, NX_ECONFLICT (several; reterr lists up to five). */
nx_err nx_fab_event_resolve(nx_fab_ns *n, nx_slice text, nx_id *ret, nx_error *reterr);
nx_err nx_fab_run_resolve(nx_fab_ns *n, nx_slice text, nx_id *ret, nx_error *reterr);
typedef struct nx_fab_scan {
    nx_slice type;                         /* pattern; events only */
    nx_slice function;                     /* exact; runs only */
    nx_slice version;                      /* exact; runs only */
    int status;                            /* nx_run_status, or -1; runs only */
    uint64_t since_wall_ns, until_wall_ns; /* 0: open */
    unsigned limit;                        /* newest `limit` matches, at most 10,000 */
    bool replays;                          /* runs: read NX_REPLAYS_NS instead */
    bool all_attempts;                     /* runs: not only final records */
} nx_fab_scan;
/* Newest first; arrays in the arena. A final record that is not the first by sequence of its run is left out. */
nx_err nx_fab_events_recent(nx_fab_ns *n, const nx_fab_scan *s, nx_arena *a, nx_event **ret, unsigned *ret_n, nx_error *reterr);
nx_err nx_fab_runs_recent(nx_fab_ns *n, const nx_fab_scan *s, nx_arena *a, nx_run **ret, unsigned *ret_n, nx_error *reterr);
/* All records of one event, oldest first: by its shard from its time on, until 60 s have passed without another after a final one. Reads what the
 * shard took in meanwhile. `replays`: from the replays stream, to its end. */
nx_err nx_fab_runs_of(nx_fab_ns *n, const nx_event *e, bool replays, nx_arena *a, nx_run **ret, unsigned *ret_n, nx_error *reterr);
/* The same, but only until every function of this node that takes the event has its final record: quick, for a replay. */
nx_err nx_fab_runs_done(nx_fab_ns *n, const nx_event *e, nx_arena *a, nx_run **ret, unsigned *ret_n, nx_error *reterr);
/* The final record of one run, if there is one; used when a delivery count is above 1. NX_ENOENT. */
nx_err nx_fab_run_final(nx_fab_ns *n, const nx_event *e, nx_slice function, unsigned generation, nx_arena *a, nx_run *ret, nx_error *reterr);
/* How far a run is: its final record, or where there is none that of its newest attempt. NX_ENOENT: no attempt is recorded. */
nx_err nx_fab_run_latest(nx_fab_ns *n, const nx_event *e, nx_slice function, unsigned generation, nx_arena *a, nx_run *ret, nx_error *reterr);
/* Every record of one run up to its first final one, oldest first: its attempts. NX_ENOENT. */
nx_err nx_fab_run_attempts(nx_fab_ns *n, const nx_id *run_id, nx_arena *a, nx_run **ret, unsigned *ret_n, nx_error *reterr);
nx_err nx_fab_run_get(nx_fab_ns *n, const nx_id *run_id, nx_arena *a, nx_run *ret, nx_error *reterr);

/* ---- marks: a short text for a run, the same on every node, kept for a day ------------------------------------------------------------ */

nx_err nx_fab_mark_get(nx_fab_ns *n, const nx_id *run_id, nx_arena *a, nx_slice *ret, nx_error *reterr); /* BLOCKING; NX_ENOENT */
nx_err nx_fab_mark_put(nx_fab_ns *n, const nx_id *run_id, nx_slice text, nx_error *reterr);              /* BLOCKING */
nx_err nx_fab_mark_put_later(nx_fab_ns *n, const nx_id *run_id, nx_slice text, nx_fab_pub *pub, nx_error *reterr);

/* ---- registry (KV) and artifacts (object store); all BLOCKING but the watch's callback ---------------------------------------------- */

/* Keys: [-/_=.a-zA-Z0-9]+. revision 0 in put: create only (NX_EEXIST); else expected revision (NX_ECONFLICT). */
nx_err nx_fab_kv_get(nx_fab_ns *n, const char *key, nx_arena *a, nx_slice *ret, uint64_t *ret_revision, nx_error *reterr);
nx_err nx_fab_kv_put(nx_fab_ns *n, const char *key, nx_slice value, uint64_t revision, uint64_t *ret_revision, nx_error *reterr);
nx_err nx_fab_kv_delete(nx_fab_ns *n, const char *key, nx_error *reterr);
nx_err nx_fab_kv_list(nx_fab_ns *n, const char *prefix, nx_arena *a, nx_kv **ret, unsigned *ret_n, nx_error *reterr);
/* nx_fab_kv_list() sorts by key. */
/* Calls on_change (fabric thread) for each change after the call, also across server restarts (it may repeat one). One watch a namespace. */
nx_err nx_fab_kv_watch(nx_fab_ns *n, void (*on_change)(void *self, nx_slice key), void *self, nx_error *reterr);

/* ---- key-value stores of functions (nx/effect.h), all BLOCKING until deadline_ns (nx_clock_ns()) at most: bucket nx-kv-<ns>_<store> in the NATS
 * layout, made at its first use. Names and keys were checked before. NX_ETIMEOUT: the deadline. A read sees every write that
 * was answered before it, on whichever node. A name that begins with '_' is the
 * node's own: what was put there two days ago is gone. */
nx_err nx_fab_store_get(nx_fab_ns *n, nx_slice store, nx_slice key, uint64_t deadline_ns, nx_arena *a, nx_slice *ret, uint64_t *ret_revision, nx_error *reterr);
/* expected: NX_KV_ANY, 0 (there must be none), or the revision that is there. NX_ECONFLICT. */
nx_err nx_fab_store_put(nx_fab_ns *n, nx_slice store, nx_slice key, nx_slice value, int64_t expected, uint64_t deadline_ns, uint64_t *ret_revision, nx_error *reterr);
nx_err nx_fab_store_delete(nx_fab_ns *n, nx_slice store, nx_slice key, int64_t expected, uint64_t deadline_ns, nx_error *reterr);

/* Published NATS Object Store layout (ADR-20), bucket nx-artifacts-<ns>, name = SHA-256 hex. put of what is there already touches it. */
nx_err nx_fab_artifact_put(nx_fab_ns *n, const nx_sha256 *digest, nx_slice bytes, nx_error *reterr);
nx_err nx_fab_artifact_get(nx_fab_ns *n, const nx_sha256 *digest, nx_buf *out, nx_error *reterr); /* digest checked: NX_ECORRUPT */
bool nx_fab_artifact_has(nx_fab_ns *n, const nx_sha256 *digest);
/* As if it had been put now, which a put of what is there already is too: by that time is told what nobody needs. NX_ENOENT. */
nx_err nx_fab_artifact_touch(nx_fab_ns *n, const nx_sha256 *digest, nx_error *reterr);
typedef struct nx_fab_artifact {
    nx_sha256 digest;
    uint64_t size_bytes, put_wall_ns, seq;
} nx_fab_artifact;
nx_err nx_fab_artifacts_list(nx_fab_ns *n, nx_arena *a, nx_fab_artifact **ret, unsigned *ret_n, nx_error *reterr);
/* NX_ECONFLICT: it was put or touched since it was listed, and stays. */
nx_err nx_fab_artifact_delete(nx_fab_ns *n, const nx_fab_artifact *x, nx_error *reterr);

/* BLOCKING: every stored record of runs (or of replays), attempts too, oldest first, lent for the call; visit() returns false to stop. */
nx_err nx_fab_records_visit(nx_fab_ns *n, bool replays, bool (*visit)(void *self, const nx_run *run), void *self, nx_error *reterr);

/* ---- what is going on --------------------------------------------------------------------------------------------------------------- */
typedef struct nx_fab_stats {
    uint64_t events, events_bytes, events_first_seq, events_last_seq, runs, runs_bytes, publishes_inflight, messages_inflight;
} nx_fab_stats;
nx_err nx_fab_stats_get(nx_fab_ns *n, nx_fab_stats *ret, nx_error *reterr); /* BLOCKING */
#endif
