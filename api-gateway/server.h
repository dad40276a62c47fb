/* server.h: the HTTP/1.1 server under both listeners: loops, listeners, connections, deadlines, answers. It knows requests, not events.
 * Why:       ingress and admin differ in what they do with a request, not in how bytes become one.
 * Ownership: a connection belongs to its loop. While an app holds one (nx_gw_conn_hold), its memory, request and arena stay, even when the
 *            client has left.
 * Threads:   everything about a connection happens on its loop; other threads post to the loop's mailbox.
 * Errors:    a connection that can't go on is closed; the app hears of it only while it holds it (on_gone). */
#ifndef NX_GW_SERVER_H
#define NX_GW_SERVER_H
#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "address.h"
#include "nx/gateway.h"
#include "parser.h"
#include "tls.h"

typedef struct nx_gw_server nx_gw_server;
typedef struct nx_gw_loop nx_gw_loop;
typedef struct nx_gw_conn nx_gw_conn;

typedef struct nx_gw_app {
    /* The head is whole. The app answers (a refusal; the rest of the request is then skipped), or returns to have the body read. */
    void (*on_head)(nx_gw_conn *c);
    /* The request is whole: the app answers now, or holds the connection and answers later. */
    void (*on_request)(nx_gw_conn *c);
    /* The client left while the app held the connection. True: nothing refers to it any more (the hold is over). */
    bool (*on_gone)(nx_gw_conn *c);
    /* The client has closed its sending side while the app holds the connection. True: the answer is still wanted. */
    bool (*on_half_close)(nx_gw_conn *c);
    /* All bytes of a stream so far have been taken by the kernel. */
    void (*on_drained)(nx_gw_conn *c);
    void (*on_mail)(nx_gw_loop *l, nx_mail *m);
} nx_gw_app;

typedef struct nx_gw_reply {
    int status;
    nx_slice content_type; /* empty: none */
    nx_slice headers;      /* whole lines, each with CRLF */
    nx_slice body;         /* copied, unless release is set */
    unsigned retry_after_s;
    bool must_close;
    void (*release)(void *self); /* body is lent until this call, which always comes, once */
    void *release_self;
} nx_gw_reply;

/* What a connection waits for; each phase is a list of connections in the order of their deadlines. */
typedef enum {
    NX_GW_PHASE_HANDSHAKE,
    NX_GW_PHASE_HEAD,
    NX_GW_PHASE_BODY,
    NX_GW_PHASE_WAIT, /* for the app; no deadline here */
    NX_GW_PHASE_WRITE,
    NX_GW_PHASE_IDLE,
    NX_GW_PHASE_LINGER, /* the last answer is out; bytes are read and dropped, so that the kernel does not cut the answer off with a reset */
    NX_GW_PHASE_CLOSING,
    NX_GW_PHASES
} nx_gw_phase;

typedef struct nx_gw_tail {
    nx_slice body;
    void (*release)(void *self);
    void *self;
} nx_gw_tail;

struct nx_gw_conn {
    uv_tcp_t tcp;
    nx_gw_loop *loop;
    nx_gw_parser parser;
    nx_gw_tls *tls; /* NULL: plain */
    nx_arena arena; /* of the current request */
    void *request;  /* the app's, in the arena; NULL between requests */
    /* deadlines */
    nx_gw_conn *prev, *next; /* in the list of its phase */
    nx_gw_phase phase;
    uint64_t deadline_ms, request_seq, phase_seq;
    uint64_t progress; /* bytes at the time the deadline was set: large bodies and answers get more time as long as they move */
    /* input */
    nx_buf pending; /* received, not yet parsed: the next requests of a pipeline */
    /* output: `out`, then `tail`; with TLS both go through `sealed` */
    nx_buf out;
    size_t out_sent;
    nx_gw_tail tail;
    size_t tail_sent;
    nx_buf sealed;
    size_t sealed_sent;
    uv_write_t write;
    uint64_t bytes_written;                                              /* so far, for progress */
    unsigned refs;                                                       /* 1 for the handle, 1 for a hold */
    bool is_held, is_writing, is_reading, is_eof, is_answered, is_whole; /* is_whole: the request was read to its end */
    bool is_streaming, is_chunked;
    bool must_close, is_lingering, is_closing, in_input, is_refused, is_fresh;
    /* is_refused: over the limit, not in the server's count; is_fresh: no request so far */
};

typedef struct nx_gw_list {
    nx_gw_conn *head, *tail;
} nx_gw_list;

struct nx_gw_loop {
    uv_loop_t uv;
    uv_tcp_t listener;
    uv_async_t wake;
    uv_timer_t tick;
    nx_gw_server *server;
    nx_mailbox box;
    pthread_t thread;
    nx_gw_list phases[NX_GW_PHASES];
    unsigned n_conns;   /* whose memory is in use: open, closing, held */
    unsigned n_refused; /* of them, over the limit of connections */
    uv_tcp_t spare;     /* takes a connection for which there is no memory */
    nx_buf scratch;     /* bodies of problems and small answers while they are built */
    uint64_t date_until_ms;
    char date[40];              /* "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n" */
    _Atomic unsigned n_posting; /* threads inside nx_gw_loop_post() */
    bool is_listening, is_ticking, is_stopping, is_draining, has_thread, has_uv, is_spare_busy, is_spare_wanted;
    char name[20];
    char read_buf[65536];
    char plain_buf[16384 + 256];
    /* Written by the loop only; read by anyone. */
    _Atomic uint64_t stats[sizeof(nx_gw_stats) / sizeof(uint64_t)];
};

struct nx_gw_server {
    nx_gw_listen options; /* defaults filled in; slices are copies */
    char *strings[3];
    nx_gw_address address;
    nx_gw_parser_limits limits;
    nx_gw_budget budget;
    nx_gw_tls_ctx *tls;
    const nx_gw_app *app;
    void *app_self;
    nx_gw_loop *loops; /* n_loops, in one block */
    unsigned n_loops;
    char bound[NX_GW_ADDRESS_MAX];
    const char *thread_name; /* "nx-gw-%u" with the loop's number, or as it is */
    _Atomic unsigned n_conns;
    _Atomic bool is_draining, is_stopping;
    pthread_mutex_t mu;
    pthread_cond_t empty; /* n_conns became 0 while draining */
    bool is_started, is_joined;
};

/* ---- server.c */
nx_err nx_gw_server_init(nx_gw_server *s, const nx_gw_listen *o, const char *thread_name, const nx_gw_app *app, void *app_self,
                         nx_error *reterr);
nx_err nx_gw_server_start(nx_gw_server *s, nx_error *reterr);
nx_err nx_gw_server_drain(nx_gw_server *s, uint32_t deadline_ms);
void nx_gw_server_stop(nx_gw_server *s);
void nx_gw_server_done(nx_gw_server *s);
void nx_gw_server_stats(const nx_gw_server *s, nx_gw_stats *ret);
void nx_gw_server_conn_ended(nx_gw_server *s); /* a counted connection was closed */
/* Any thread. Never fails: the box is not bounded but by what is in flight, and open while a connection is held. */
void nx_gw_loop_post(nx_gw_loop *l, nx_mail *m);
void nx_gw_loop_finish_if_empty(nx_gw_loop *l);
void nx_gw_loop_tick_on(nx_gw_loop *l);

#define NX_GW_STAT_INDEX(field) (offsetof(nx_gw_stats, field) / sizeof(uint64_t))
/* One writer per counter, so a plain load and store do. */
static inline void nx_gw_stat_add(nx_gw_loop *l, size_t index, uint64_t n)
{
    uint64_t v = atomic_load_explicit(&l->stats[index], memory_order_relaxed);
    atomic_store_explicit(&l->stats[index], v + n, memory_order_relaxed);
}
#define NX_GW_COUNT(loop, field, n) nx_gw_stat_add((loop), NX_GW_STAT_INDEX(field), (uint64_t)(n))

/* ---- listener.c */
nx_err nx_gw_loop_listen(nx_gw_loop *l, struct sockaddr_storage *sa, bool is_shared, nx_error *reterr);
/* Fails when anyone listens on the address already: SO_REUSEPORT alone would let two nodes share it unnoticed. */
nx_err nx_gw_address_probe(const struct sockaddr_storage *sa, nx_error *reterr);

/* ---- conn.c */
void nx_gw_conn_accept(nx_gw_loop *l);
void nx_gw_conn_close(nx_gw_conn *c);
void nx_gw_conn_hold(nx_gw_conn *c);
/* Ends the hold. Afterwards c may be gone, unless it was answered first. */
void nx_gw_conn_unhold(nx_gw_conn *c);
void nx_gw_conn_flushed(nx_gw_conn *c); /* output: everything is with the kernel */
void nx_gw_conn_settle(nx_gw_conn *c);  /* after any step: goes on with pending input, sets phase, deadline and reading */

/* ---- deadline.c */
void nx_gw_conn_set_phase(nx_gw_conn *c, nx_gw_phase phase);
void nx_gw_loop_expire(nx_gw_loop *l);
void nx_gw_loop_hasten_idle(nx_gw_loop *l, uint64_t grace_ms);

/* ---- reply.c */
/* Answers the current request. Once per request; on a closed connection only the body is released. */
void nx_gw_conn_reply(nx_gw_conn *c, const nx_gw_reply *r);
/* Problem details (RFC 9457). `extra` are further header lines. */
void nx_gw_conn_refuse(nx_gw_conn *c, const nx_gw_fault *f, nx_slice extra);
void nx_gw_conn_continue(nx_gw_conn *c); /* 100 */
/* Streaming: head, pieces, end. The app sends a piece only when the last one was drained. */
void nx_gw_conn_stream_begin(nx_gw_conn *c, const nx_gw_reply *r);
void nx_gw_conn_stream_piece(nx_gw_conn *c, nx_slice s);
void nx_gw_conn_stream_end(nx_gw_conn *c);
/* {"type":"about:blank","title":…,"status":…,"detail":…,"code":…} one whole object. */
nx_err nx_gw_problem_json(const nx_gw_fault *f, nx_buf *out);
nx_slice nx_gw_loop_date(nx_gw_loop *l); /* the Date field, made once a second */

/* ---- output.c */
void nx_gw_conn_flush(nx_gw_conn *c);
bool nx_gw_conn_has_output(const nx_gw_conn *c);
void nx_gw_conn_drop_output(nx_gw_conn *c);
#endif
