/* admin.h: one call of an admin handler, from the request to the last byte of the answer.
 * Ownership: a call lies in its connection's arena and ends when its DONE mail was handled and its stream was sent.
 * Threads:   the connection's loop, and the handler's thread from submit to DONE; what both touch is under `mu` or atomic.
 * Errors:    of the handler: problem details, or a cut connection when the answer has begun. */
#ifndef NX_GW_ADMIN_H
#define NX_GW_ADMIN_H
#include "guard.h"
#include "pool.h"
#include "routes.h"
#include "server.h"

#define NX_GW_STREAM_QUEUE_BYTES (256u << 10)

typedef struct nx_gw_call nx_gw_call;

struct nx_gw_admin {
    nx_gw_server server;
    nx_gw_routes routes;
    nx_gw_guard guard;
    nx_slice *allowed_hosts; /* copies */
    void *self;
    nx_gw_pool workers, streams;
    _Atomic bool is_stopping;
    bool has_pools;
};

struct nx_gw_req {
    nx_gw_call *call;
    nx_gw_match match;
    nx_slice path, body;
    nx_kv query[NX_GW_QUERY_MAX];
    unsigned n_query;
};

struct nx_gw_resp {
    nx_gw_call *call;
    int status;
    char content_type[128];
    nx_buf headers, body;
    bool has_begun; /* handler's side: the first nx_gw_resp_write() was made */
};

typedef struct nx_gw_call_mail {
    nx_mail mail;
    nx_gw_call *call;
    bool is_done; /* else: the stream's queue is not empty */
} nx_gw_call_mail;

struct nx_gw_call {
    nx_gw_job job;
    nx_gw_admin *admin;
    nx_gw_conn *conn;
    nx_gw_req req;
    nx_gw_resp resp;
    nx_err err; /* of the handler */
    nx_error detail;
    nx_gw_call_mail piece, done;
    _Atomic bool is_gone; /* the client left */
    /* the stream between handler and loop, under mu */
    pthread_mutex_t mu;
    pthread_cond_t has_room;
    nx_buf queue;
    bool is_piece_posted;
    /* the loop's own */
    bool has_sync, is_head_sent, is_pumping, is_finished;
};

extern const nx_gw_app nx_gw_admin_app;

/* admin_stream.c, on the loop */
void nx_gw_call_piece_arrived(nx_gw_call *call); /* its mail */
void nx_gw_call_pump(nx_gw_call *call);          /* sends what is queued, as far as the kernel takes it */
void nx_gw_call_end(nx_gw_call *call);           /* destroys what the arena does not own */
nx_gw_reply nx_gw_call_reply(nx_gw_call *call);
bool nx_gw_call_is_canceled(nx_gw_call *call);
#endif
