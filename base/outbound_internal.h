/* outbound_internal.h: what the parts of outbound HTTP share.
 * Files:     outbound_address.c  kinds of addresses
 *            outbound_grant.c    grants and what they allow
 *            outbound_message.c  the guest's form of a request
 *            outbound_url.c      URLs and redirects (libcurl's own parser, so that what was checked is what is fetched)
 *            outbound_answer.c   the answer as it comes in
 *            outbound.c          the thread that drives transfers
 *            outbound_request.c  one request: its hops, and what protects each
 * Ownership: values; an nx_ob_url owns its text.
 * Threads:   values belong to one call; callbacks of a transfer run on nx-http while its caller waits. */
#ifndef NX_OUTBOUND_INTERNAL_H
#define NX_OUTBOUND_INTERNAL_H
#include "nx/mailbox.h"
#include "nx/outbound.h"

#include <curl/curl.h>
#include <pthread.h>
#include <sys/socket.h>

/* ---- addresses */
typedef struct nx_ob_address {
    uint8_t b[16]; /* IPv6; IPv4 as ::ffff:a.b.c.d */
} nx_ob_address;

typedef enum { NX_OB_PUBLIC,
               NX_OB_PRIVATE,
               NX_OB_LOOPBACK,
               NX_OB_LINK_LOCAL,
               NX_OB_METADATA,
               NX_OB_MULTICAST,
               NX_OB_RESERVED } nx_ob_class;

nx_ob_class nx_ob_address_class(const nx_ob_address *a);
const char *nx_ob_class_name(nx_ob_class c);                 /* "a loopback address" */
bool nx_ob_address_parse(nx_slice text, nx_ob_address *ret); /* IPv4 with four decimal numbers, or IPv6 without brackets and zone */
bool nx_ob_address_is_v4(const nx_ob_address *a);
bool nx_ob_address_of(const struct sockaddr *sa, nx_ob_address *ret, uint16_t *ret_port); /* false: neither IPv4 nor IPv6 */

/* ---- hosts */
#define NX_OB_HOST_BYTES 256
bool nx_ob_name_is_valid(nx_slice name);      /* labels of letters, digits, '-' and '_', 253 bytes at most, no dot at the end */
bool nx_ob_name_looks_numeric(nx_slice name); /* the last label is a number, decimal or 0x…: some resolvers make an IPv4 address of it */

typedef struct nx_ob_target {
    bool is_https, is_address;
    uint16_t port;
    char host[NX_OB_HOST_BYTES]; /* lower case, without brackets */
    nx_ob_address address;       /* where is_address */
} nx_ob_target;

/* ---- grants */
typedef enum { NX_OB_GRANT_NAME,
               NX_OB_GRANT_BELOW, /* *.example.com */
               NX_OB_GRANT_ANY,
               NX_OB_GRANT_ADDRESS } nx_ob_grant_kind;

typedef struct nx_ob_grant {
    bool http, https;
    nx_ob_grant_kind kind;
    nx_slice name; /* of NAME and BELOW (without "*."), as written */
    nx_ob_address address;
    unsigned bits; /* of the address that count, of 128 */
    bool has_port; /* else the scheme's own */
    uint16_t port_from, port_to;
} nx_ob_grant;

nx_err nx_ob_grant_parse(nx_slice entry, nx_ob_grant *ret, nx_error *reterr);
/* Whether a request to this target may be tried at all. NX_EDENIED. */
nx_err nx_ob_allow_target(const nx_slice *grants, unsigned n, const nx_ob_target *t, nx_error *reterr);
/* Whether a connection for the target (allowed before) may go to this address. NX_EDENIED. */
nx_err nx_ob_allow_address(const nx_slice *grants, unsigned n, const nx_ob_target *t, const nx_ob_address *a, nx_error *reterr);

/* ---- URLs */
typedef struct nx_ob_url {
    char *text; /* as libcurl normalises it; NULL: empty */
    nx_ob_target target;
} nx_ob_url;
nx_err nx_ob_url_parse(nx_slice text, nx_ob_url *ret, nx_error *reterr);
/* `location` as seen from base. */
nx_err nx_ob_url_follow(const nx_ob_url *base, nx_slice location, nx_ob_url *ret, nx_error *reterr);
void nx_ob_url_done(nx_ob_url *u);
bool nx_ob_url_same_origin(const nx_ob_url *a, const nx_ob_url *b);

/* ---- fields */
bool nx_ob_is_token(nx_slice s);                /* RFC 9110 token */
bool nx_ob_is_field_value(nx_slice s);          /* no control characters but HTAB */
bool nx_ob_is_connection_field(nx_slice name);  /* belongs to one connection (RFC 9110 section 7.6.1) */
bool nx_ob_may_follow_elsewhere(nx_slice name); /* goes to another origin on a redirect */

/* ---- answers */
typedef struct nx_ob_answer {
    nx_buf *out;
    size_t from, body_from; /* where the answer, its body begin in out */
    size_t max_body_bytes;
    size_t head_bytes; /* of this and all interim answers */
    unsigned n_headers;
    int status;
    bool is_head_over;
    char location[NX_OUTBOUND_URL_BYTES]; /* "" none */
    nx_err err;
    nx_error detail;
} nx_ob_answer;
void nx_ob_answer_begin(nx_ob_answer *a, nx_buf *out, size_t from, size_t max_body_bytes);
/* One line of a head with its line end, and a piece of the body. False: the transfer ends, err and detail say why. */
bool nx_ob_answer_line(nx_ob_answer *a, nx_slice line);
bool nx_ob_answer_body(nx_ob_answer *a, nx_slice piece);

/* ---- transfers */
typedef struct nx_ob_transfer {
    nx_mail mail;
    const nx_outbound_call *call;
    const nx_ob_target *target;
    CURL *easy;
    struct curl_slist *headers;
    nx_ob_answer answer;
    bool is_refused; /* an address was not allowed; another one of the same name may have been */
    nx_error refusal;
    char detail[CURL_ERROR_SIZE];
    CURLcode rc;
    nx_err err; /* where the transfer never came to libcurl, or was taken from it */
    struct nx_ob_transfer *next, *prev;
    pthread_cond_t wake;
    bool is_done; /* under o->mu */
} nx_ob_transfer;
/* Hands the transfer, whose `easy` is ready but for its time, to nx-http and waits until it is over: rc and answer say how. NX_EBUSY, NX_ETIMEOUT
 * (before it began), NX_ECANCELED, NX_ENOMEM. */
nx_err nx_ob_fly(nx_outbound *o, nx_ob_transfer *t);
const char *nx_ob_ca_file(const nx_outbound *o); /* NULL: the system's alone */
long nx_ob_connect_timeout_ms(const nx_outbound *o);
#endif
