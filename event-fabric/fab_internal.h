/* fab_internal.h: what the files of event-fabric share.
 * Why:       connection, publish slots, requests and consumers live in one nx_fab; each file below owns one part of it.
 * Ownership: nx_fab owns its links (connections), slots and consumers' table; see each struct.
 * Threads:   nx-fab (nats/loop.c) is the only thread that reads sockets and calls callbacks; nx-fab-up (nats/upkeep.c) does everything that
 *            blocks: connects, repairs consumers, trims. Callers publish and ask from any thread.
 * Locks:     f->mu (links, publish slots, requests) and f->cmu (consumers, messages). cmu may be held when mu is taken, never the
 *            other way round; neither is held while a callback runs. link->io_mu is a leaf around one call of nats.c. */
#ifndef NX_FAB_INTERNAL_H
#define NX_FAB_INTERNAL_H
#include "nx/clock.h"
#include "nx/digest.h"
#include "nx/fab.h"
#include "nx/log.h"
#include "nx/metrics.h"
#include <errno.h>
#include <nats/nats.h>
#include <pthread.h>
#include <stdatomic.h>

#define NX_FAB_SUBJECT_BYTES 1024 /* longest subject we build: a type of 200 bytes, each percent-encoded, plus the rest */
#define NX_FAB_PUBLISH_NS (5 * NX_NS_PER_S)
#define NX_FAB_REQUEST_NS (5 * NX_NS_PER_S)
#define NX_FAB_HOMELESS_NS (100 * NX_NS_PER_MS) /* in flight for so long when the server has said that nobody takes such a request: refused */
#define NX_FAB_LATE_NS (1 * NX_NS_PER_S)        /* an event that waits so long for its acknowledgement: its log has no leader that works */
#define NX_FAB_DEDUPE_NS (120 * NX_NS_PER_S)    /* the log's window, unless it is set */
#define NX_FAB_REQUESTS 64                      /* blocking requests under way */
#define NX_FAB_DIRECT_INFLIGHT 8                /* up to so many publishes in flight, the caller's thread writes the socket itself */
#define NX_FAB_INBOX_LETTER 4                   /* of "_NX.H…" */
#define NX_FAB_TOKEN_BYTES 13                   /* kind, slot (4 hex), generation (8 hex): the last token of our reply subjects */
#define NX_FAB_CONSUMERS_MAX 16384
#define NX_FAB_JSON_BYTES (8u << 20) /* largest API answer that is parsed */

/* Two connections, because nats-server answers direct gets inside its reader of the asking connection: look-ups that read cold blocks
 * would hold up publishes and acknowledgements on the same one. */
enum { NX_FAB_HOT,
       NX_FAB_AUX,
       NX_FAB_LINKS };

/* What a publish goes to. The answers for each have an inbox of their own: where nobody takes a request, for want of a leader, the server says so
 * at once, and nats.c says only on which subscription. */
typedef enum nx_fab_dest {
    NX_FAB_TO_LOG,
    NX_FAB_TO_SPARE,
    NX_FAB_TO_RUNS,
    NX_FAB_TO_OTHERS,
    NX_FAB_DESTS
} nx_fab_dest;
#define NX_FAB_DEST_KINDS "esrp" /* the kinds of their tokens */

/* ---- links: nats/conn.c, nats/loop.c ---------------------------------------------------------------------------------------------- */

/* One life of one connection. nats.c's own reconnect is off: it would hold back publishes that we have to refuse, and it keeps its parser
 * state, so that half a message before the break and the bytes after it would become one message. A new link is a new connection. */
typedef struct nx_fab_link {
    nx_fab *f;
    int kind;
    uint32_t life; /* counts links of this kind; in epoll's data */
    natsConnection *nc;
    natsSubscription *inbox, *replies;
    natsSubscription *acks[NX_FAB_DESTS]; /* hot: of publishes, see nx_fab_dest */
    int fd;                               /* -1 until nats.c attaches it */
    bool is_tls;
    atomic_bool is_dead, wants_write, is_blocked; /* blocked: waits for EPOLLOUT */
    pthread_mutex_t io_mu;                        /* nats.c 3.4.1 reads without its own lock: one thread at a time in its I/O calls */
} nx_fab_link;

nx_err nx_fab_link_open(nx_fab *f, int kind, nx_fab_link **ret, nx_error *reterr); /* BLOCKING; not installed yet */
void nx_fab_link_free(nx_fab_link *l);
nx_err nx_fab_link_install(nx_fab *f, nx_fab_link *l); /* nx-fab serves it from now on */
/* Flushes what was published, by this thread when `now` and nobody else is in I/O, else by nx-fab. f->mu is held and given back, before
 * anything is written. */
void nx_fab_link_flush_unlock(nx_fab *f, nx_fab_link *l, bool now);
void nx_fab_loop_kick(nx_fab *f);
void nx_fab_look_again(nx_fab *f); /* something that nx_fab_is_ready() tells may have changed */
void *nx_fab_loop_main(void *self);
void *nx_fab_upkeep_main(void *self);
void nx_fab_upkeep_kick(nx_fab *f);
void nx_fab_loop_pass(nx_fab *f); /* BLOCKING: returns when nx-fab has left whatever it was in */

/* ---- requests: nats/js_api.c ------------------------------------------------------------------------------------------------------- */

typedef struct nx_fab_reply_msg {
    natsMsg **v;
    unsigned n, cap;
    size_t bytes;
} nx_fab_replies;

typedef struct nx_fab_req {
    uint32_t gen;
    bool is_used, is_batch, is_done, is_refused;
    nx_err err;
    nx_fab_replies got;
    pthread_cond_t cv;
} nx_fab_req;

typedef struct nx_fab_ask {
    const char *subject;
    nx_slice body;
    nx_slice hdr_key, hdr_value; /* see nx_fab_hdr; empty: none */
    bool is_batch;               /* answers until one without data but with a status (end of batch) */
    bool *ret_is_refused;        /* may be NULL: set where the server says at once that nobody listens (503) */
    bool is_hot;                 /* asked over the hot link, so behind what was published there; the answer comes over the other */
    bool is_echo;                /* no subject: the message itself comes back, over the link that it went out by */
    bool is_repeatable;          /* asked twice it does no harm: asked again while nobody answers, since it may have gone to a server that just died */
    uint64_t timeout_ns;         /* 0: NX_FAB_REQUEST_NS */
} nx_fab_ask;

typedef struct nx_fab_pending {
    nx_fab_req *req;
    uint64_t end_ns;
} nx_fab_pending;

/* A request in two halves, so that several can be under way: what has begun is ended, with the same `ask`, whatever becomes of the others. */
nx_err nx_fab_ask_begin(nx_fab *f, const nx_fab_ask *ask, nx_fab_pending *ret, nx_error *reterr);
nx_err nx_fab_ask_end(nx_fab *f, const nx_fab_ask *ask, nx_fab_pending *p, nx_fab_replies *ret, nx_error *reterr); /* BLOCKING */
/* BLOCKING. On success ret holds the answers; nx_fab_replies_done() ends them. No responders, no connection, no answer: NX_EUNAVAIL. */
nx_err nx_fab_request(nx_fab *f, const nx_fab_ask *ask, nx_fab_replies *ret, nx_error *reterr);
void nx_fab_replies_done(nx_fab_replies *r);
/* BLOCKING. Request to <js prefix>.<subject>; parses the answer. An API error becomes an nx_err; *ret_api_code (may be NULL) is its err_code. */
nx_err nx_fab_api(nx_fab *f, const char *subject, nx_slice body, nx_json **ret, int *ret_api_code, nx_error *reterr);
/* BLOCKING: removes the messages below sequence `keep_from` (0: all) whose subject is the filter's (NULL: all). */
nx_err nx_fab_stream_purge(nx_fab *f, const char *stream, const char *filter, uint64_t keep_from, nx_error *reterr);
nx_err nx_fab_api_within(nx_fab *f, const char *subject, nx_slice body, uint64_t timeout_ns, nx_json **ret, int *ret_api_code, nx_error *reterr); /* 0: NX_FAB_REQUEST_NS */
nx_err nx_fab_api_error(int code, int err_code, nx_slice why);
/* What an answer says, of a request in two halves. `subject` is for the message. */
nx_err nx_fab_api_answer(const char *subject, nx_fab_replies *take_got, nx_json **ret, int *ret_api_code, nx_error *reterr);
/* ask_many.c: `put` writes the i-th of n requests, `take` gets what became of it: NX_OK and the answer, lent, or its error; both return what ends it all. */
typedef struct nx_fab_question {
    char subject[NX_FAB_SUBJECT_BYTES]; /* behind the prefix */
    nx_buf body;                        /* empty */
    bool is_repeatable;                 /* true, unless put says otherwise; see nx_fab_ask */
} nx_fab_question;
typedef struct nx_fab_many {
    void *self;
    nx_err (*put)(void *self, unsigned i, nx_fab_question *q, nx_error *reterr);
    nx_err (*take)(void *self, unsigned i, nx_err e, const nx_json *answer);
} nx_fab_many;
/* BLOCKING: in order, with many under way. What `take` lets pass is no error. */
nx_err nx_fab_ask_many(nx_fab *f, unsigned n, const nx_fab_many *m, nx_error *reterr);
void nx_fab_req_deliver(nx_fab *f, unsigned slot, uint32_t gen, natsMsg *m); /* nx-fab */
void nx_fab_reqs_fail(nx_fab *f);                                            /* nx-fab: the aux link is gone */

/* A stored message as the stream's leader has it. A direct get may be answered by a replica that is a moment behind: good for events and
 * records, which are looked for again, and not where "there is none" or "that is the newest" is acted upon. */
typedef struct nx_fab_kept {
    uint64_t seq;
    nx_slice subject, headers, data; /* in the arena */
} nx_fab_kept;
/* BLOCKING. `request`: the body of STREAM.MSG.GET. NX_ENOENT: there is none. */
nx_err nx_fab_leader_get(nx_fab *f, const char *stream, const char *request, nx_arena *a, nx_fab_kept *ret, nx_error *reterr);
nx_err nx_fab_leader_get_within(nx_fab *f, const char *stream, const char *request, uint64_t timeout_ns, nx_arena *a, nx_fab_kept *ret, nx_error *reterr); /* 0: NX_FAB_REQUEST_NS */
bool nx_fab_kept_is_tombstone(const nx_fab_kept *k);                                                                                                       /* of a key-value bucket */

typedef struct nx_fab_stream_state {
    uint64_t messages, bytes, first_seq, last_seq, max_bytes, first_wall_ns;
} nx_fab_stream_state;
typedef int (*nx_fab_subject_fn)(void *self, nx_slice subject, const nx_json *count);
/* Every subject of the stream that the filter covers. */
nx_err nx_fab_stream_subjects(nx_fab *f, const char *stream, const char *filter, nx_fab_subject_fn fn, void *self, nx_error *reterr);
nx_err nx_fab_stream_state_get(nx_fab *f, const char *stream, nx_fab_stream_state *ret, nx_error *reterr);
/* Makes the stream, or brings the keys of `want` (a JSON object) into an existing one: all its other keys stay as they are,
 * so that what a newer version or an operator set there survives. `keep`: NULL-terminated keys of `want` that an existing stream keeps. */
/* `there` with the keys of `want` brought in, but for `keep`, into out; *ret_differs (may be NULL): whether that changed anything. */
nx_err nx_fab_json_merge(const nx_json *there, nx_slice want, const char *const *keep, nx_buf *out, bool *ret_differs, nx_error *reterr);
nx_err nx_fab_stream_ensure(nx_fab *f, const char *stream, nx_slice want, const char *const *keep, nx_error *reterr);

/* ---- publish: nats/publish.c -------------------------------------------------------------------------------------------------------- */

typedef struct nx_fab_slot {
    nx_fab_pub *pub; /* NULL: free */
    nx_fab_ns *ns;   /* whose state a refusal changes; NULL: none */
    uint32_t gen;
    uint32_t prev, next; /* in-flight list, oldest first; next is the free list's link too */
    size_t bytes;
    uint64_t deadline_ns;
    nx_fab_dest to;
} nx_fab_slot;

/* Header lines in one natsMsgHeader_Set(): nats.c writes the key bytes as they are, so "a: 1\r\nb: 2\r\nc" with value "3" are three
 * headers for the price of one (a set costs four allocations). Values must hold no CR or LF: they are checked here.
 * tests/unit/event-fabric/test_fab_encode.c keeps this true. */
typedef struct nx_fab_hdr {
    char *p;
    size_t n, cap;   /* on the caller's stack */
    size_t value_at; /* where the last line's value begins */
    bool is_bad;
} nx_fab_hdr;
#define NX_FAB_HDR_BYTES (60u << 10) /* nats-server's limit is 64 KiB */

void nx_fab_hdr_add(nx_fab_hdr *h, const char *key, nx_slice value); /* taken as it is; CR, LF, NUL spoil the set; an empty value is left out */
void nx_fab_hdr_add_line(nx_fab_hdr *h, nx_slice key, nx_slice value);
void nx_fab_hdr_add_encoded(nx_fab_hdr *h, const char *key, nx_slice value); /* percent-encoded as CloudEvents asks */
nx_err nx_fab_hdr_set(const nx_fab_hdr *h, natsMsg *m);
bool nx_fab_hdr_split(const nx_fab_hdr *h, nx_slice *ret_key, nx_slice *ret_value); /* NUL-terminated; false when spoilt or empty */

nx_err nx_fab_send(nx_fab *f, natsMsg *take_m); /* once, without an answer: NX_EUNAVAIL without a connection */
nx_err nx_fab_publish(nx_fab *f, nx_fab_ns *ns, const char *subject, const nx_fab_hdr *hdr, nx_slice data, nx_fab_pub *pub, nx_error *reterr);
void nx_fab_pub_deliver(nx_fab *f, unsigned slot, uint32_t gen, natsMsg *m); /* nx-fab */
void nx_fab_pubs_fail(nx_fab *f);                                            /* nx-fab: the hot link is gone */
void nx_fab_pubs_expire(nx_fab *f, uint64_t now_ns);                         /* nx-fab */
void nx_fab_pubs_homeless(nx_fab *f, nx_fab_dest to);                        /* nx-fab: the server said that nobody takes what goes there */
/* BLOCKING: publishes with acknowledgement over the aux link. */
nx_err nx_fab_publish_sync(nx_fab *f, const char *subject, const nx_fab_hdr *hdr, nx_slice data, uint64_t *ret_seq, nx_error *reterr);
nx_err nx_fab_publish_within(nx_fab *f, const char *subject, const nx_fab_hdr *hdr, nx_slice data, uint64_t timeout_ns, uint64_t *ret_seq, nx_error *reterr); /* 0: NX_FAB_REQUEST_NS */
nx_err nx_fab_publish_asked(nx_fab *f, const nx_fab_ask *ask, uint64_t *ret_seq, nx_error *reterr);

/* ---- names and messages: nats/encode.c ----------------------------------------------------------------------------------------------- */

typedef struct nx_fab_ack {
    uint64_t seq;
    bool is_duplicate;
    nx_err err;
    int err_code;
    char why[128];
} nx_fab_ack;
void nx_fab_ack_parse(nx_slice json, nx_fab_ack *ret);

/* Event type to subject tokens and back. '.' stays the separator; every other byte but [A-Za-z0-9_-] becomes %XX; an empty token (leading,
 * trailing, double dot) becomes "%". Every byte string has one form, and back. */
nx_err nx_fab_type_encode(nx_slice type, char *out, size_t out_bytes, size_t *ret_n);
nx_err nx_fab_type_decode(nx_slice tokens, char *out, size_t out_bytes, size_t *ret_n);
nx_err nx_fab_type_filter(nx_slice ns, nx_slice pattern, char *out, size_t out_bytes); /* subject filter of a type pattern */
bool nx_fab_subject_covers(nx_slice wide, nx_slice narrow);                            /* every subject of `narrow` is one of `wide` */
bool nx_fab_subject_overlaps(nx_slice a, nx_slice b);
bool nx_fab_subject_is_valid(nx_slice s, bool allow_wildcards);
/* The minimal set of subjects (heap strings) that covers all without two that overlap, in place; returns how many are left. Two that cross are
 * replaced by one that is wider than both: *ret_is_loose, what it brings has to be looked at again. */
unsigned nx_fab_filters_reduce(char **filters, unsigned n, bool *ret_is_loose);

typedef struct nx_fab_meta {  /* of a JetStream delivery, from its reply subject (ADR-15) */
    nx_slice stream_consumer; /* "<stream>.<consumer>" */
    uint64_t delivered, stream_seq, consumer_seq, wall_ns, pending;
} nx_fab_meta;
bool nx_fab_meta_parse(const char *reply, nx_fab_meta *ret);

#define NX_FAB_DEDUPE_ID_BYTES 25
nx_slice nx_fab_dedupe_id(nx_slice key, char out[NX_FAB_DEDUPE_ID_BYTES]); /* Nats-Msg-Id */
nx_err nx_fab_event_encode(const nx_event *e, nx_slice dedupe_key, nx_slice reply, nx_fab_hdr *h);
/* Fills an event from a stored message. Slices are lent by the message or lie in the arena. */
nx_err nx_fab_event_decode(nx_fab_ns *n, natsMsg *m, nx_slice subject, uint64_t seq, uint64_t stored_wall_ns, nx_arena *a, nx_event *ret, nx_error *reterr);
/* headers.c: of a message that came (not of one that is made here). Slices are lent by the message; keys as they are written; the first of a key counts. */
typedef struct nx_fab_lines {
    const char *p, *end;
    nx_slice status; /* of the first line: "503", "408 Request Timeout"; empty: none */
} nx_fab_lines;
void nx_fab_lines_of(natsMsg *m, nx_fab_lines *ret);
bool nx_fab_lines_next(nx_fab_lines *l, nx_slice *ret_key, nx_slice *ret_value);
bool nx_fab_msg_header(natsMsg *m, const char *key, nx_slice *ret);
bool nx_fab_msg_status(natsMsg *m, nx_slice *ret_status, nx_slice *ret_text); /* ret_text may be NULL; false: none, as of every message with data */
bool nx_fab_is_placed_subject(const nx_fab_ns *n, nx_slice subject);
/* placed.c */
void nx_fab_placed_filter(const nx_fab_ns *n, nx_slice function, int shard, char *out, size_t out_bytes); /* shard -1: all */
nx_err nx_fab_placed_complete(natsMsg *m, nx_event *e, nx_error *reterr);                                 /* what of the event is not in it as published */
bool nx_fab_placed_timer(natsMsg *m, nx_slice subject, nx_fab_timer *ret);
bool nx_fab_is_event_subject(const nx_fab_ns *n, nx_slice subject); /* ours, not raw */

/* ---- timers: nats/timers.c ------------------------------------------------------------------------------------------------------------ */

nx_err nx_fab_timers_ensure(nx_fab_ns *n, nx_error *reterr); /* BLOCKING: the stream */
nx_err nx_fab_timers_count(nx_fab_ns *n);                    /* nx-fab-up: keeps n_timers */
/* nx-fab-up. The first sequence in [first, cut) that a timer's event may have, or cut; in steps of NX_FAB_TIMER_BUCKET. */
#define NX_FAB_TIMER_BUCKET 4096u
nx_err nx_fab_timers_floor(nx_fab_ns *n, uint64_t first, uint64_t cut, uint64_t *ret);
void nx_fab_timers_forget(nx_fab_ns *n, nx_slice function);                                      /* BLOCKING: the function has gone, and its timers with it */
nx_err nx_fab_timers_filter(const nx_fab_ns *n, nx_slice function, char *out, size_t out_bytes); /* of the function's due timers */

/* ---- consumers: nats/consume.c -------------------------------------------------------------------------------------------------------- */

struct nx_fab_msg {
    natsMsg *nm;
    const char *reply, *subject; /* of the log's delivery; lent by nm */
    bool is_given;               /* it came from another node */
    nx_fab_consumer *c;
    struct nx_fab_msg *prev, *next; /* the consumer's list of messages in hand, oldest sign of life first */
    uint64_t alive_ns;              /* last delivery or +WPI */
    bool is_overdue;                /* see nx_fab_msg_is_overdue() */
    uint64_t term;                  /* of ordered consumers */
    size_t bytes;                   /* as it is counted */
    nx_fab_meta meta;
};

struct nx_fab_consumer {
    nx_fab *f;
    nx_fab_ns *ns;             /* may be gone once the consumer is closed, while messages are still in hand */
    const char *stream;        /* n->events or n->timers */
    nx_fab_consumer_options o; /* durable, types and subjects are ours */
    char *config_json;         /* what the durable consumer is made with */
    char stream_consumer[160]; /* key of f->by_name */
    nx_slice *types;
    unsigned n_types;
    nx_slice *subjects;
    unsigned n_subjects;
    char placed_for[NX_FUNCTION_NAME_BYTES + 1]; /* o.placed_for */
    bool is_loose;                               /* its filters bring more than was asked for */
    bool is_of_timers, is_new, has_succeeded;
    bool takes_placed; /* what was placed for o.placed_for */
    /* ordered ones (o.n_shards): who is pinned */
    char pin[40];                              /* the server's name for this client's term; "": another's, or nobody's */
    uint64_t term;                             /* counts terms */
    uint64_t asked_ns;                         /* the last pull with the pin: it prolongs the term */
    uint64_t lost;                             /* a term that is over and was not told yet; 0: none */
    char function[NX_FUNCTION_NAME_BYTES + 1]; /* whose timers */
    unsigned slot;
    uint32_t gen;                        /* of its pulls: answers to earlier pulls are not counted */
    unsigned granted, inflight, target;  /* messages: what the open pull may still bring, what is in hand, what it should have of both */
    size_t granted_bytes, in_hand_bytes; /* the same in bytes */
    bool is_lent;                        /* what the open pull may bring is not in the sums below */
    bool is_next_large;                  /* the next message is larger than what was asked for */
    bool is_doubted;                     /* it may have no leader: asked for one message, to find out */
    uint64_t pulled_ns, heard_ns, pending;
    bool is_paused; /* as it was told last */
    bool is_open, is_starved, needs_repair, is_in_repair, repair_is_logged, was_busy;
    unsigned refs; /* of who opened it, and one for each message in hand; it stays in f->consumers until the last */
    nx_fab_msg *oldest, *newest;
    nx_fab_consumer *name_next; /* hash chain */
    nx_fab_consumer *starved_next;
};

/* give.c */
#define NX_FAB_REPLIES "_NX.R."
#define NX_FAB_GIVEN ".given" /* behind a node's reply inbox */
bool nx_fab_is_given(const nx_fab *f, nx_slice subject);
bool nx_fab_given_read(natsMsg *nm, const char **ret_reply, const char **ret_subject); /* lent by nm */

/* Functions whose consumers ("fn-<function>") are open on this node and take the event. n_all 0: none, or more than fit. */
#define NX_FAB_FUNCTIONS_MAX 64
typedef struct nx_fab_functions {
    char v[NX_FAB_FUNCTIONS_MAX][NX_FUNCTION_NAME_BYTES + 1];
    unsigned n, n_all;
} nx_fab_functions;
void nx_fab_functions_of(nx_fab_ns *n, const nx_event *e, nx_fab_functions *ret); /* any thread */

void nx_fab_consumer_deliver(nx_fab *f, natsMsg *nm, bool is_given);              /* nx-fab; takes nm. is_given: by another node */
void nx_fab_consumer_status(nx_fab *f, unsigned slot, uint32_t gen, natsMsg *nm); /* nx-fab; nm lent */
void nx_fab_consumers_tick(nx_fab *f, uint64_t now_ns);                           /* nx-fab: keeps messages alive, renews pulls */
void nx_fab_consumers_homeless(nx_fab *f);                                        /* nx-fab: the server said that nobody takes a pull */
void nx_fab_consumers_lost(nx_fab *f);                                            /* nx-fab: the hot link is gone */
void nx_fab_consumers_resume(nx_fab *f);                                          /* nx-fab-up: a new hot link is there */
void nx_fab_consumers_repair(nx_fab *f);                                          /* nx-fab-up: recreates deleted ones */

/* ---- namespaces: nats/ns.c, kv.c, object.c, trim.c -------------------------------------------------------------------------------------- */

typedef struct nx_fab_types { /* distinct event types seen: read without a lock, added to under ns->mu, never removed */
    _Atomic(char *) *v;
    unsigned cap, max;
    _Atomic unsigned n;
} nx_fab_types;

#define NX_FAB_STORES_KNOWN 64u /* further ones are looked for at every use */

typedef struct nx_fab_bucket { /* of objects */
    char name[64], stream[72];
} nx_fab_bucket;

struct nx_fab_ns {
    nx_fab *f;
    nx_fab_ns *next;
    char name[NX_NAMESPACE_BYTES + 1];
    nx_slice ns;
    nx_fab_ns_options o;
    char events[64], runs[64], replays[64], timers[64], marks[64], spare[64]; /* stream names */
    char kv_bucket[64], kv_stream[72];
    nx_fab_bucket artifacts, spills;
    char ready_stores[NX_FAB_STORES_KNOWN][NX_KV_STORE_BYTES + 1]; /* under mu: buckets of functions that are known to be there */
    unsigned n_ready_stores;
    char ev_prefix[64]; /* "nx.<ns>.ev." */
    size_t ev_prefix_n;
    char due_prefix[64]; /* "nx.<ns>.due.": events that have taken a place again, for one function; placed.c */
    size_t due_prefix_n;
    pthread_mutex_t mu;
    nx_fab_types types;
    atomic_bool is_full;       /* the last publish was refused for lack of room */
    atomic_bool is_pressed;    /* trim soon */
    atomic_bool is_stuck;      /* the server answers, this log's publishes are not acknowledged */
    atomic_bool is_leaderless; /* of several copies of the log none takes what is published: events go to the spare log */
    _Atomic uint64_t late_ns;  /* when an event's acknowledgement was last found late */
    /* nx-fab: when the last of its publishes was answered; when the newest that was stored had been sent */
    uint64_t acked_ns[NX_FAB_DESTS], stored_sent_ns[NX_FAB_DESTS];
    uint64_t spare_due_ns, apart_due_ns; /* nx-fab-up */
    uint64_t unstick_due_ns;             /* nx-fab-up, as is_healing */
    bool is_healing;
    uint64_t trim_due_ns, trimmed_ns; /* nx-fab-up */
    bool is_held;                     /* a consumer so far behind that it holds up trimming: said once */
    _Atomic uint64_t n_timers;        /* as of the last round of upkeep */
    /* watch of the registry */
    void (*watch_fn)(void *self, nx_slice key);
    void *watch_self;
    uint64_t watch_seq; /* last revision seen */
    uint64_t watch_cseq;
    unsigned watch_left; /* what the open pull may still bring */
    uint32_t watch_gen;
    uint64_t watch_pulled_ns, watch_heard_ns;
    bool watch_is_up;
    unsigned slot; /* in f->ns */
};

nx_err nx_fab_types_init(nx_fab_types *t, unsigned max);
void nx_fab_types_done(nx_fab_types *t);
/* NX_EMANY: a new one over the limit. */
nx_err nx_fab_type_seen(nx_fab_ns *n, nx_slice encoded);

void nx_fab_kv_watch_status(nx_fab *f, unsigned ns_slot, uint32_t gen, natsMsg *m); /* nx-fab; m lent */
void nx_fab_kv_watches_homeless(nx_fab *f);                                         /* nx-fab: somebody's request met nobody who listens */
void nx_fab_kv_watch_by_stream(nx_fab *f, natsMsg *m);                              /* nx-fab; m lent */
void nx_fab_kv_watches_lost(nx_fab *f);
void nx_fab_kv_watches_repair(nx_fab *f, uint64_t now_ns); /* nx-fab-up */
nx_err nx_fab_kv_ensure(nx_fab_ns *n, nx_error *reterr);
/* Of any bucket; keys were checked before. The newest message of a key, deletions included. NX_ENOENT: none. */
nx_err nx_fab_kv_last(nx_fab *f, const char *bucket, nx_slice key, uint64_t timeout_ns, nx_fab_replies *ret, nx_error *reterr);
bool nx_fab_kv_is_deleted(natsMsg *m);
uint64_t nx_fab_kv_revision(natsMsg *m);
#define NX_FAB_KV_ANY UINT64_MAX
/* operation: NULL, "DEL". NX_ECONFLICT: the newest message of the key is not the expected one (0: there is one). */
nx_err nx_fab_kv_write(nx_fab *f, const char *bucket, nx_slice key, nx_slice value, uint64_t expected, const char *operation, uint64_t timeout_ns,
                       uint64_t *ret_revision, nx_error *reterr);
/* ---- the spare log: nats/spare.c ---- */
nx_err nx_fab_spare_ensure(nx_fab_ns *n, nx_error *reterr);
bool nx_fab_spare_takes(nx_fab_ns *n, const nx_event *e); /* this event goes there now */
/* An event that was taken there, and dropped when it was moved, because its caller's key had been used before: the id of the first. NX_ENOENT: none such. */
nx_err nx_fab_spare_first_of(nx_fab_ns *n, const nx_id *id, nx_id *ret, nx_error *reterr);
/* The subject in the log of what is stored there; false: it is no event. */
bool nx_fab_spare_subject(const nx_fab_ns *n, nx_slice spare, char out[NX_FAB_SUBJECT_BYTES], nx_slice *ret);
void nx_fab_spare_open(nx_fab_ns *n);                   /* any thread: the log has no leader */
void nx_fab_spare_shut(nx_fab_ns *n);                   /* nx-fab-up: it has one */
void nx_fab_spares(nx_fab *f, uint64_t now_ns);         /* nx-fab-up: moves what is there into the log, keeps the leaders apart */
static inline bool nx_fab_is_copied(const nx_fab_ns *n) /* streams have several copies */
{
    return n->o.replicas > 1;
}
nx_err nx_fab_marks_ensure(nx_fab_ns *n, nx_error *reterr);
nx_err nx_fab_obj_ensure(nx_fab_ns *n, nx_error *reterr);
nx_err nx_fab_obj_put(nx_fab_ns *n, const nx_fab_bucket *b, const nx_sha256 *digest, nx_slice bytes, nx_error *reterr);
nx_err nx_fab_obj_get(nx_fab_ns *n, const nx_fab_bucket *b, const nx_sha256 *digest, nx_buf *out, nx_error *reterr);
/* The namespace in place i, NULL where one has gone; false behind the last. */
bool nx_fab_ns_at(nx_fab *f, unsigned i, nx_fab_ns **ret);
void nx_fab_trim(nx_fab *f, uint64_t now_ns); /* nx-fab-up */
/* Takes it out of f->ns; returns when neither upkeep nor a watch's callback is in it any more. */
void nx_fab_ns_forget(nx_fab_ns *n);
void nx_fab_ns_pressed(nx_fab_ns *n);               /* a publish was refused: trim soon */
void nx_fab_ns_unstick(nx_fab *f, uint64_t now_ns); /* nx-fab-up */
void nx_fab_ns_probe_room(nx_fab_ns *n);            /* nx-fab-up */

/* A run record that is too large for a message lies in a bucket of its own, which trim.c keeps as long as the records; its message carries
 * nx-spill: <SHA-256 hex>. */
typedef struct nx_fab_spill {
    struct nx_fab_spill *next;
    nx_fab_ns *ns;
    nx_fab_pub *pub;
    char subject[NX_FAB_SUBJECT_BYTES];
    char hdr_text[1024];
    nx_fab_hdr hdr;
    nx_sha256 digest;
    size_t n;
    char bytes[];
} nx_fab_spill;
void nx_fab_spills_run(nx_fab *f);                      /* nx-fab-up */
void nx_fab_spills_drop(nx_fab *f, const nx_fab_ns *n); /* those of a namespace that goes; NULL: all */

/* ---- metrics: nats/metrics.c -------------------------------------------------------------------------------------------------------------- */

enum { NX_FAB_STORED,
       NX_FAB_DUPLICATE,
       NX_FAB_FULL,
       NX_FAB_UNAVAILABLE,
       NX_FAB_REFUSED,
       NX_FAB_RESULTS };
typedef struct nx_fab_metrics { /* all may be NULL */
    nx_metric *publishes[NX_FAB_RESULTS], *redelivered, *reconnects, *purged, *held, *fns[5];
} nx_fab_metrics;
void nx_fab_metrics_start(nx_fab *f);
void nx_fab_metrics_stop(nx_fab *f);
void nx_fab_metrics_publish(nx_fab *f, nx_err e, bool is_duplicate);

/* ---- the whole -------------------------------------------------------------------------------------------------------------------------- */

#define NX_FAB_NS_MAX 1024
#define NX_FAB_STREAM_CONSUMERS_MAX 20000
#define NX_FAB_NAME_BUCKETS 4096

struct nx_fab {
    nx_fab_options o; /* strings are ours */
    char *strings;
    char inbox[NX_FAB_LINKS][32]; /* "_NX.H<random>": acknowledgements, pulls; "_NX.A<random>": requests, watches */
    size_t inbox_n[NX_FAB_LINKS];
    char reply_inbox[64];
    size_t reply_inbox_n;
    char js_prefix[128];
    nx_fab_metrics metrics;

    pthread_t loop, upkeep;
    bool loop_is_up, upkeep_is_up;
    int epoll_fd, event_fd;
    atomic_bool is_sleeping, is_stopping;

    pthread_mutex_t mu;
    _Atomic(nx_fab_link *) link[NX_FAB_LINKS]; /* NULL while not connected; set by nx-fab-up, cleared by nx-fab, both under mu */
    nx_fab_link *corpse[NX_FAB_LINKS];         /* dead links on their way from nx-fab to nx-fab-up */
    bool is_burying[NX_FAB_LINKS];             /* nx-fab still ends what went over it: no new one yet */
    uint32_t lives;
    pthread_cond_t upkeep_cv;
    bool upkeep_is_due;
    pthread_mutex_t upkeep_mu; /* held by nx-fab-up while it works on namespaces */
    uint64_t turns;            /* rounds of nx-fab, for those who wait until it has passed */
    atomic_uint turn_waiters;
    pthread_cond_t turn_cv;
    _Atomic uint64_t max_payload; /* of the newest link */
    char server_version[32];
    bool was_connected;              /* what was last reported */
    char why[256];                   /* why not connected */
    bool is_silent;                  /* connected, but requests and publishes get no answer */
    _Atomic uint64_t ready_until_ns; /* nx_fab_is_ready() found nothing wrong, and need not look again before; 0: something changed */
    _Atomic uint64_t heard_ns;       /* last bytes from the hot link */

    nx_fab_slot *slots;
    unsigned n_slots;
    uint32_t free_slot, oldest, newest; /* NX_FAB_NIL: none */
    unsigned n_inflight;
    size_t inflight_bytes;
    uint64_t homeless_ns[NX_FAB_DESTS], pulls_homeless_ns; /* nx-fab: when the server last said so; 0: never */
    nx_fab_req reqs[NX_FAB_REQUESTS];
    nx_fab_spill *spills, **spills_tail;
    unsigned n_spills;
    nx_fab_ns *ns[NX_FAB_NS_MAX];
    unsigned n_ns; /* highest used + 1 */

    pthread_mutex_t cmu;
    pthread_cond_t callback_cv;
    nx_fab_consumer *in_callback; /* whose on_msg runs now */
    unsigned callback_waiters;
    nx_fab_consumer **consumers; /* by slot */
    unsigned n_consumers, consumers_cap, n_open;
    unsigned next_ticked; /* nx-fab; where the next tick goes on */
    uint32_t next_gen;
    nx_fab_consumer *by_name[NX_FAB_NAME_BUCKETS];
    bool has_lost; /* some consumer has a term to tell about */
    nx_fab_consumer *starved, **starved_tail;
    unsigned granted, inflight;          /* sums, but of ordered consumers */
    size_t granted_bytes, in_hand_bytes; /* the same in bytes */
    bool needs_repair;
};

#define NX_FAB_NIL UINT32_MAX
#define NX_FAB_INFLIGHT_BYTES (64u << 20)

void nx_fab_token_format(const nx_fab *f, int link, char kind, unsigned slot, uint32_t gen, char out[64]);
bool nx_fab_token_parse(nx_slice token, char *ret_kind, unsigned *ret_slot, uint32_t *ret_gen);
nx_err nx_fab_from_nats(natsStatus s, const char *what, nx_error *reterr);
#endif
