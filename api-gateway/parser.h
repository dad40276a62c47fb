/* parser.h: HTTP/1.x requests out of a byte stream: llhttp in its strict mode, our limits, and the rules of RFC 9112 that a parser leaves open.
 * Why:       one place decides what a request is, without sockets, so that it can be tested and fuzzed alone.
 * Ownership: the parser owns head and body of the current request; what nx_gw_head lends is valid until nx_gw_parser_next().
 * Threads:   one owner thread.
 * Errors:    a request that is refused leaves a fault; the connection can't be parsed any further then. */
#ifndef NX_GW_PARSER_H
#define NX_GW_PARSER_H
#include <llhttp.h>
#include <stdatomic.h>

#include "fault.h"
#include "nx/buf.h"
#include "target.h"

/* What the bodies of all connections of a listener may take together: many clients with large bodies that come slowly, or wait, would
 * otherwise fill the memory. Any thread. */
typedef struct nx_gw_budget {
    _Atomic uint64_t used;
    uint64_t max;
} nx_gw_budget;

typedef struct nx_gw_parser_limits {
    uint32_t url_bytes, header_bytes;
    unsigned headers;
    uint64_t body_bytes;
    nx_gw_budget *budget; /* outlives the parser */
} nx_gw_parser_limits;

/* Offsets into the parser's raw bytes: they may move while a head grows. */
typedef struct nx_gw_span {
    uint32_t name, name_n, value, value_n;
} nx_gw_span;

typedef struct nx_gw_head {
    nx_slice method;
    nx_gw_target target;
    nx_slice host; /* authority of the target where absolute, else the Host field; empty in HTTP/1.0 without one */
    unsigned n_fields;
    uint8_t minor; /* 0 or 1 */
    bool has_body; /* Content-Length above 0, or chunked */
    bool is_chunked;
    uint64_t content_length; /* 0 when chunked */
    bool expects_continue;
} nx_gw_head;

typedef enum {
    NX_GW_PARSE_MORE,    /* all bytes taken */
    NX_GW_PARSE_REQUEST, /* one request is whole; the bytes behind it were not taken */
    NX_GW_PARSE_FAULT    /* p->fault says why; nothing more is parsed */
} nx_gw_parse_result;

typedef struct nx_gw_parser {
    llhttp_t ll;
    nx_gw_parser_limits limits;
    /* Called when the head is whole and has passed all rules. It may lower or raise body_max and set is_discarding.
     * False: stop at once (a fault is set, or the connection was given up). */
    bool (*on_head)(void *self);
    void *self;
    nx_gw_head head;
    nx_buf raw; /* target, then names and values */
    nx_gw_span *spans;
    unsigned spans_cap;
    uint32_t url_n, header_n, extension_n; /* bytes so far */
    char protocol[5];
    unsigned protocol_n;
    bool in_value, is_head_done, is_started, is_keep_alive;
    nx_buf body;
    uint64_t body_max;
    uint64_t body_seen; /* bytes, discarded ones too */
    uint64_t held;      /* bytes of `body` in the budget */
    bool is_discarding; /* the answer is decided: take the body off the stream, up to body_max, without keeping it */
    nx_gw_fault fault;
    const char *feed_start; /* of the feed() in progress, to tell an unknown method from garbage */
} nx_gw_parser;

void nx_gw_parser_init(nx_gw_parser *p, const nx_gw_parser_limits *limits, bool (*on_head)(void *self), void *self);
void nx_gw_parser_done(nx_gw_parser *p);
/* Takes up to n bytes; *ret_used says how many. */
nx_gw_parse_result nx_gw_parser_feed(nx_gw_parser *p, const char *data, size_t n, size_t *ret_used);
/* Forgets the request that is whole; large buffers are given back, small ones are kept for the next. */
void nx_gw_parser_next(nx_gw_parser *p);
/* The current request has begun: a byte other than the empty lines before it was seen. */
static inline bool nx_gw_parser_is_started(const nx_gw_parser *p) { return p->is_started; }

/* Field i of the head, value without surrounding white space. */
nx_kv nx_gw_parser_field(const nx_gw_parser *p, unsigned i);
/* First field of that name (lower case, case-insensitive); p NULL where there is none. *ret_count (may be NULL): how many there are. */
nx_slice nx_gw_parser_find(const nx_gw_parser *p, const char *name, unsigned *ret_count);
#endif
