/* nx/outbound.h: HTTP requests that functions make, held to what their settings grant.
 * Why:       a guest's request must reach what `allowed_outbound_hosts` names and nothing else: not the node's own network, not a cloud's
 *            metadata service, whatever a name resolves to at the moment and wherever an answer redirects to.
 * Ownership: all that a call names is lent until nx_outbound_request() returns. The answer goes into the caller's buffer.
 * Threads:   one thread `nx-http` drives all transfers (libcurl's multi interface); nx_outbound_request() blocks its caller, from any thread.
 * Errors:    NX_EINVAL (message), NX_EDENIED (grants or protected address), NX_ELIMIT, NX_ETIMEOUT, NX_EBUSY (too many in flight and waiting),
 *            NX_EUNAVAIL (name or connection), NX_EIO (TLS, protocol), NX_ECLOSED (ended early), NX_ECANCELED. Any HTTP status is NX_OK. */
#ifndef NX_OUTBOUND_H
#define NX_OUTBOUND_H
#include "nx/buf.h"
#include "nx/trace.h"

/* ---- grants: entries of `allowed_outbound_hosts`
 *   grant = scheme "://" host [":" port] ["/"]
 *   scheme = "https" | "http" | "*"            host = name | "*." name | "*" | IPv4 | "[" IPv6 "]" | IPv4 "/" bits | "[" IPv6 "]/" bits
 *   port = number | number ".." number | "*"   (none: the scheme's own)
 * "*.example.com" means names below it, at any depth, not example.com itself; "*" every name and public address.
 * Addresses outside the public internet are reached only
 *   - as private addresses (10/8, 172.16/12, 192.168/16, 100.64/10, fc00::/7) by a granted name that cannot be a public one: of one label, or
 *     ending in .internal, .local, .lan, .home.arpa, .svc or .cluster.local, and granted as it is, not by a wildcard;
 *   - as loopback by the granted name localhost or one below it;
 *   - as anything else by a grant of the address itself (or of a range, for all but metadata services), with the port used, which also lets granted names resolve to it. */
#define NX_GRANT_BYTES 300

/* Whether `entry` is a grant; reterr says what is wrong with it and what to write. NX_EINVAL. */
nx_err nx_grant_check(nx_slice entry, nx_error *reterr);

/* ---- request: METHOD SP URL LF *(name ":" SP value LF) LF body
 * Names are lower-cased for comparison only. Refused: names that belong to the connection or that the platform sets (host, content-length,
 * connection, transfer-encoding, …), control characters, credentials in the URL, CONNECT and TRACE. */
#define NX_OUTBOUND_URL_BYTES 8192
#define NX_OUTBOUND_HEADERS_MAX 64
#define NX_OUTBOUND_HEAD_BYTES (64u << 10) /* request line and headers; the same for an answer's */

typedef struct nx_outbound_message {
    nx_slice method, url; /* lend from the text */
    nx_kv headers[NX_OUTBOUND_HEADERS_MAX];
    unsigned n_headers;
    nx_slice body;
} nx_outbound_message;

/* NX_EINVAL, NX_ELIMIT; reterr names the line. Says nothing of grants. */
nx_err nx_outbound_message_parse(nx_slice text, nx_outbound_message *ret, nx_error *reterr);

/* ---- requests */
typedef struct nx_outbound nx_outbound;

typedef struct nx_outbound_options { /* zero: the default in brackets */
    unsigned max_in_flight;          /* [64] transfers at the same time */
    unsigned max_waiting;            /* [256] behind them; more is NX_EBUSY */
    unsigned connect_timeout_ms;     /* [5000] name, connection and TLS together */
    const char *ca_file;             /* [NULL] PEM file of authorities that are trusted besides the system's; copied */
} nx_outbound_options;

nx_err nx_outbound_start(const nx_outbound_options *options, nx_outbound **ret, nx_error *reterr);
/* Ends all calls with NX_ECANCELED, and later ones at once; they return soon, the thread stays until nx_outbound_stop(). For a node that has to stop now. */
void nx_outbound_cancel(nx_outbound *o);
/* Cancels and joins the thread. No call may be inside nx_outbound_request() any more when this returns, so its callers end first. NULL allowed. */
void nx_outbound_stop(nx_outbound *o);
void nx_outbound_depth(nx_outbound *o, unsigned *ret_in_flight, unsigned *ret_waiting);

#define NX_OUTBOUND_REDIRECTS_MAX 5
typedef struct nx_outbound_call {
    nx_slice request;       /* message as above */
    const nx_slice *grants; /* entries of allowed_outbound_hosts; none: everything is denied */
    unsigned n_grants;
    const nx_trace *trace; /* sent as `traceparent` unless the guest set its own; NULL: none */
    uint64_t deadline_ns;  /* monotonic (nx_clock_ns()): of the whole, with waiting and redirects */
    size_t max_body_bytes; /* of the answer; more is NX_ELIMIT */
} nx_outbound_call;

/* What is counted: `nexus_outbound_requests_total{outcome}`. */
typedef enum { NX_OUTBOUND_ANSWERED,
               NX_OUTBOUND_INVALID,
               NX_OUTBOUND_DENIED,
               NX_OUTBOUND_TIMEOUT,
               NX_OUTBOUND_LIMIT,
               NX_OUTBOUND_BUSY,
               NX_OUTBOUND_FAILED,
               NX_OUTBOUND_OUTCOMES } nx_outbound_outcome;
nx_outbound_outcome nx_outbound_outcome_of(nx_err err);
const char *nx_outbound_outcome_name(nx_outbound_outcome o); /* "answered" */

/* Appends the answer: STATUS LF *(name ": " value LF) LF body, with names in lower case and without the fields that belong to the connection.
 * Redirects (301, 302, 303, 307, 308 with a Location) are followed up to NX_OUTBOUND_REDIRECTS_MAX, each target held to the grants; to another
 * origin go only accept*, content-type, content-language, user-agent and the trace, never credentials. On an error `answer` is as it was. */
nx_err nx_outbound_request(nx_outbound *o, const nx_outbound_call *call, nx_buf *answer, nx_error *reterr);
#endif
