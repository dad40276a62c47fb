/* nx/gateway.h: the node's two HTTP listeners: events in (nx_gw), and the admin interface (nx_gw_admin).
 * Why:       bytes from anyone become validated events and routed calls here and nowhere else; nothing behind this header sees HTTP.
 * Ownership: options are copied by _new(), except ops, ops_self, routes' handlers and self, which must outlive the object.
 * Threads:   _new, _start, _drain, _stop, _free from one thread, never from a loop or handler. Loops are `nx-gw-N` (events) and `nx-gw-admin`;
 *            nx_ingest_ops are called on the loops and must not block. Admin handlers run on `nx-gw-h-N` threads and may block.
 * Errors:    configuration and socket errors come from _new and _start with a sentence that names the address or the file.
 * Source:    RFC 9110, 9112 (HTTP), 9457 (problem details), 7240 (Prefer), CloudEvents HTTP binding 1.0.2, W3C Trace Context. */
#ifndef NX_GATEWAY_H
#define NX_GATEWAY_H
#include "nx/arena.h"
#include "nx/buf.h"
#include "nx/ingest.h"
#include "nx/metrics.h"

/* `source` of events whose producer names none. */
#define NX_GW_DEFAULT_SOURCE "/nexus/http"
#define NX_GW_DEFAULT_WAIT_MS 30000u /* of `respond: sync` without Prefer: wait */
#define NX_GW_MAX_WAIT_MS 300000u    /* Prefer: wait is cut to this */
#define NX_GW_BATCH_MAX 256u         /* events of one batched request */
#define NX_GW_IDEMPOTENCY_KEY_BYTES 255u
#define NX_GW_ADDRESS_MAX 80 /* bytes that nx_gw_bound_address() needs at most */

/* What both listeners have. A zero means the default in parentheses. */
typedef struct nx_gw_listen {
    nx_slice address;            /* "127.0.0.1:8080", "[::1]:0", "localhost:8080", ":8080" (all addresses); port 0: any free one */
    unsigned loops;              /* (cores, at most 2; the admin listener always has 1) */
    nx_slice tls_cert, tls_key;  /* PEM files, chain first certificate first; empty: plain HTTP */
    uint64_t max_body_bytes;     /* (1 MiB) */
    uint64_t max_buffered_bytes; /* bodies of all connections together; a piece over that is 503 (256 MiB) */
    uint32_t max_header_bytes;   /* names and values of one request, trailers too (16 KiB) */
    uint32_t max_url_bytes;      /* (8 KiB) */
    unsigned max_headers;        /* (100) */
    unsigned max_connections;    /* over all loops (4096) */
    uint32_t head_timeout_ms;    /* first byte to end of the head, and the TLS handshake (10 s) */
    uint32_t body_timeout_ms;    /* whole body; also: an answer that the client does not take (30 s) */
    uint32_t idle_timeout_ms;    /* connection without a request (75 s) */
} nx_gw_listen;

/* ------------------------------------------------------------------ events in */
typedef struct nx_gw nx_gw;

typedef struct nx_gw_options {
    nx_gw_listen listen;
    const nx_ingest_ops *ops;
    void *ops_self;
    nx_slice ns;             /* namespace of every event ("default") */
    nx_slice default_source; /* (NX_GW_DEFAULT_SOURCE) */
    bool is_strict;          /* a type that no function takes is 404 */
    bool is_batch_enabled;   /* application/cloudevents-batch+json; otherwise 415 */
    nx_metrics *metrics;     /* NULL: none; must outlive the object. Series nexus_http_*, from nx_gw_start() to nx_gw_free() */
} nx_gw_options;

/* How ops->route() is called: `method` as sent; `path` percent-decoded once, without query, valid UTF-8 without control characters.
 * "%2F" is decoded only below /events/ (a type may hold a slash) and refused elsewhere. */
nx_err nx_gw_new(const nx_gw_options *o, nx_gw **ret, nx_error *reterr);
/* Binds, listens, starts the loops. NX_EEXIST: the address is in use; NX_EINVAL, NX_ENOENT: address, certificate, key. */
nx_err nx_gw_start(nx_gw *gw, nx_error *reterr);
/* "127.0.0.1:41234", with the real port; "" before start. */
void nx_gw_bound_address(const nx_gw *gw, char *ret, size_t size);
bool nx_gw_is_tls(const nx_gw *gw);
unsigned nx_gw_connection_count(const nx_gw *gw); /* any thread */
/* Stops accepting, answers `Connection: close`, lets requests in flight and those that arrive within a short grace finish.
 * Blocks until no connection is left (NX_OK) or the deadline passed (NX_ETIMEOUT; they are still served until nx_gw_stop()). */
nx_err nx_gw_drain(nx_gw *gw, uint32_t deadline_ms);
/* Closes what is left: abandons its ingests, and waits for the done() of those that ops->abandon() did not take back. Joins the loops. */
void nx_gw_stop(nx_gw *gw);
void nx_gw_free(nx_gw *gw); /* stops first where needed; NULL allowed */

/* Numbers since start, for /metrics; any thread. */
typedef struct nx_gw_stats {
    uint64_t connections_total, connections_refused; /* refused: over max_connections */
    uint64_t connections;                            /* open now */
    uint64_t requests_total, requests_in_flight;
    uint64_t events_accepted, events_duplicate, events_refused; /* refused: publish() or done() with an error */
    uint64_t answers_sync, answers_late;                        /* function outputs sent; waits that ended as 202 */
    uint64_t responses[6];                                      /* by status class: [2] = 2xx */
    uint64_t malformed_total;                                   /* requests refused by the parser or the rules of RFC 9112 */
    uint64_t timeouts_total;                                    /* head, body, handshake and write deadlines */
    uint64_t aborted_total;                                     /* clients that left while a request waited */
    uint64_t buffered_bytes;                                    /* of bodies, held now */
    uint64_t bytes_in, bytes_out;                               /* of the connection (ciphertext with TLS) */
} nx_gw_stats;
void nx_gw_get_stats(const nx_gw *gw, nx_gw_stats *ret);

/* ------------------------------------------------------------------ admin */
typedef struct nx_gw_admin nx_gw_admin;
typedef struct nx_gw_req nx_gw_req;
typedef struct nx_gw_resp nx_gw_resp;

/* Returns NX_OK with the response filled (status 200 unless set), or an error, which becomes problem details with nx_err_http_status(),
 * reterr's message as detail and nx_err_name() as `code` (retryable ones with Retry-After).
 * An error after the first nx_gw_resp_write() cuts the connection, so that the client sees that the body is not whole. */
typedef nx_err (*nx_gw_handler)(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr);

typedef enum {
    NX_GW_ROUTE_FAST = 1,      /* runs on the loop: must not block, no nx_gw_resp_write(); e.g. /healthz, /metrics */
    NX_GW_ROUTE_STREAM = 2,    /* may run long: uses one of the 16 stream threads instead of the 8 others */
    NX_GW_ROUTE_ANY_QUERY = 4, /* query parameters that its description does not name are ignored: what probes and scrapers add */
} nx_gw_route_flags;

/* What a route takes and answers. Query parameters and the keys of a JSON body are checked against it; the rest is described from it (nx_gw_openapi()). Shapes are in the
 * notation of nx/shape.h. */
typedef struct nx_gw_param {
    const char *name;  /* NULL ends a list */
    const char *shape; /* of the value as text */
    const char *help;  /* one line, without a full stop */
} nx_gw_param;

typedef struct nx_gw_content {
    const char *media; /* NULL: none */
    const char *name;  /* of the shape, unique; NULL: has none (bytes, text) */
    const char *shape; /* of NDJSON: of a line */
} nx_gw_content;

#define NX_GW_JSON "application/json"
#define NX_GW_NDJSON "application/x-ndjson"
#define NX_GW_ANSWERS_MAX 3

typedef struct nx_gw_route_doc {
    const char *name;                   /* "list_runs"; unique */
    const char *part;                   /* heading under which it stands */
    const char *help;                   /* one line, without a full stop */
    const nx_gw_param *query, *headers; /* NULL: none */
    nx_gw_content body;
    bool is_body_optional;
    struct {
        unsigned status; /* 0 ends the list; one status in several media stands in rows that follow each other. Errors are not listed: each is a problem */
        nx_gw_content content;
    } answers[NX_GW_ANSWERS_MAX];
} nx_gw_route_doc;

typedef struct nx_gw_admin_route {
    const char *method;  /* "GET" (answers HEAD too), "POST", … */
    const char *pattern; /* "/api/v1/events/{id}": a {name} takes one non-empty segment; a last "{name...}" takes the rest (may be empty) */
    nx_gw_handler handler;
    unsigned flags;
    uint64_t max_body_bytes;    /* 0: the listener's; at most 64 MiB */
    const nx_gw_route_doc *doc; /* NULL: any query, not described */
} nx_gw_admin_route;

#define NX_GW_ROUTES_MAX 256
#define NX_GW_ROUTE_PARAMS_MAX 8
#define NX_GW_QUERY_MAX 32
#define NX_GW_REQ_BODY_MAX (64u << 20)
#define NX_GW_RESP_BODY_MAX (160u << 20) /* the longest output of a run, as base64, with its log */

typedef struct nx_gw_admin_options {
    nx_gw_listen listen;
    const nx_slice *allowed_hosts;
    unsigned n_allowed_hosts; /* further names that a Host header may carry (without port) */
} nx_gw_admin_options;

/* Where two patterns match, the one with the earlier literal segment wins. NX_EINVAL names a bad or double pattern.
 * Host must be the bound address or a loopback name (any IP literal when all addresses are bound), or an allowed host, else 421;
 * a browser's request from another site (Origin, Sec-Fetch-Site) is 403. */
nx_err nx_gw_admin_new(const nx_gw_admin_options *o, const nx_gw_admin_route *routes, size_t n_routes, void *self, nx_gw_admin **ret, nx_error *reterr);
nx_err nx_gw_admin_start(nx_gw_admin *a, nx_error *reterr);
void nx_gw_admin_bound_address(const nx_gw_admin *a, char *ret, size_t size);
bool nx_gw_admin_is_tls(const nx_gw_admin *a);
/* Stops accepting, cancels streams (nx_gw_req_is_canceled()), waits up to deadline_ms for other requests, closes, joins all threads.
 * A handler that does not return keeps this call waiting. */
void nx_gw_admin_stop(nx_gw_admin *a, uint32_t deadline_ms);
void nx_gw_admin_free(nx_gw_admin *a); /* NULL allowed */

typedef struct nx_gw_openapi_info {
    const char *version;                /* of the program */
    const char *admin_url, *events_url; /* may be "": not known */
} nx_gw_openapi_info;
/* The routes, and POST /events/{type} of the other listener, as an OpenAPI 3.1 document. NX_EINVAL: a shape is not in the notation. */
nx_err nx_gw_openapi(const nx_gw_admin_route *routes, size_t n, const nx_gw_openapi_info *info, nx_buf *out, nx_error *reterr);
/* The same as a table for docs/API_REFERENCE.md. */
nx_err nx_gw_routes_md(const nx_gw_admin_route *routes, size_t n, nx_buf *out);

/* The request, valid until the handler returns; slices are lent as long. */
nx_slice nx_gw_req_method(const nx_gw_req *r);
nx_slice nx_gw_req_path(const nx_gw_req *r); /* percent-decoded */
nx_slice nx_gw_req_body(const nx_gw_req *r);
nx_slice nx_gw_req_param(const nx_gw_req *r, const char *name); /* percent-decoded path segment; p NULL: no such name */
nx_slice nx_gw_req_query(const nx_gw_req *r, const char *name); /* decoded, first of that name; p NULL: absent, n 0: empty */
size_t nx_gw_req_query_count(const nx_gw_req *r);
nx_kv nx_gw_req_query_at(const nx_gw_req *r, size_t i);          /* in order, repeated names too */
nx_slice nx_gw_req_header(const nx_gw_req *r, const char *name); /* case-insensitive; first of that name; p NULL: absent */
nx_arena *nx_gw_req_arena(nx_gw_req *r);                         /* scratch of this request */
/* The client left or the node stops: a handler that waits looks here at least once a second. Any thread. */
bool nx_gw_req_is_canceled(const nx_gw_req *r);

void nx_gw_resp_status(nx_gw_resp *r, int status);
void nx_gw_resp_content_type(nx_gw_resp *r, const char *type); /* copied; default application/json */
/* Further header; refused (NX_EINVAL) with control characters, NX_ELIMIT past 2 KiB of them. Not Content-Length, Connection, Date, Transfer-Encoding. */
nx_err nx_gw_resp_header(nx_gw_resp *r, const char *name, nx_slice value);
nx_buf *nx_gw_resp_body(nx_gw_resp *r); /* what is in it when the handler returns is the body; cap NX_GW_RESP_BODY_MAX */
/* Streaming instead of a body: sends the head first (status and headers are fixed then), then `s` as a piece of the body, at once.
 * Blocks while more than 256 KiB wait for the client. An empty slice sends only the head, or just tells whether the client is there.
 * NX_ECLOSED: the client left or the node stops: return. */
nx_err nx_gw_resp_write(nx_gw_resp *r, nx_slice s);
#endif
