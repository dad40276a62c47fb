#include "parser.h"

#include <stdlib.h>

#define KEEP_BYTES (32u << 10) /* buffers up to this size stay with a connection between requests */
#define EXTENSION_BYTES 4096u  /* chunk extensions of one request: nobody uses them, so nobody needs more */
#define SPANS_START 16u

static nx_gw_parser *parser_of(llhttp_t *ll)
{
    return ll->data;
}

/* ---- collecting the head */

static int collect(nx_gw_parser *p, const char *at, size_t n)
{
    if (nx_buf_append(&p->raw, at, n) == NX_OK)
        return 0;
    nx_gw_fault_set(&p->fault, 503, NX_ENOMEM, "out of memory");
    return HPE_USER;
}

static int on_message_begin(llhttp_t *ll)
{
    parser_of(ll)->is_started = true;
    return 0;
}

static int on_url(llhttp_t *ll, const char *at, size_t n)
{
    nx_gw_parser *p = parser_of(ll);
    if (n > p->limits.url_bytes - p->url_n) {
        nx_gw_fault_set(&p->fault, 414, NX_ELIMIT, "the request target is longer than %u bytes", p->limits.url_bytes);
        return HPE_USER;
    }
    p->url_n += (uint32_t)n;
    return collect(p, at, n);
}

static int on_protocol(llhttp_t *ll, const char *at, size_t n)
{
    nx_gw_parser *p = parser_of(ll);
    for (size_t i = 0; i < n && p->protocol_n < sizeof p->protocol; i++)
        p->protocol[p->protocol_n++] = at[i];
    return 0;
}

static int count_header_bytes(nx_gw_parser *p, size_t n)
{
    if (n > p->limits.header_bytes - p->header_n) {
        nx_gw_fault_set(&p->fault, 431, NX_ELIMIT, "the header fields are longer than %u bytes", p->limits.header_bytes);
        return HPE_USER;
    }
    p->header_n += (uint32_t)n;
    return 0;
}

static int begin_field(nx_gw_parser *p)
{
    if (p->head.n_fields == p->limits.headers) {
        nx_gw_fault_set(&p->fault, 431, NX_ELIMIT, "more than %u header fields", p->limits.headers);
        return HPE_USER;
    }
    if (p->head.n_fields == p->spans_cap) {
        unsigned cap = p->spans_cap ? p->spans_cap * 2 : SPANS_START;
        nx_gw_span *grown = realloc(p->spans, cap * sizeof *grown);
        if (!grown) {
            nx_gw_fault_set(&p->fault, 503, NX_ENOMEM, "out of memory");
            return HPE_USER;
        }
        p->spans = grown;
        p->spans_cap = cap;
    }
    p->spans[p->head.n_fields++] = (nx_gw_span){(uint32_t)p->raw.n, 0, (uint32_t)p->raw.n, 0};
    p->in_value = false;
    return 0;
}

static int on_header_field(llhttp_t *ll, const char *at, size_t n)
{
    nx_gw_parser *p = parser_of(ll);
    if (count_header_bytes(p, n) != 0)
        return HPE_USER;
    if (p->is_head_done) /* trailers are counted and dropped: nothing may be said behind a body that was not said before it */
        return 0;
    if ((p->in_value || p->head.n_fields == 0) && begin_field(p) != 0)
        return HPE_USER;
    p->spans[p->head.n_fields - 1].name_n += (uint32_t)n;
    return collect(p, at, n);
}

static int on_header_value(llhttp_t *ll, const char *at, size_t n)
{
    nx_gw_parser *p = parser_of(ll);
    if (count_header_bytes(p, n) != 0)
        return HPE_USER;
    if (p->is_head_done)
        return 0;
    if (!p->in_value)
        p->spans[p->head.n_fields - 1].value = (uint32_t)p->raw.n;
    p->in_value = true;
    p->spans[p->head.n_fields - 1].value_n += (uint32_t)n;
    return collect(p, at, n);
}

/* Also called for empty values, of which on_header_value() hears nothing. */
static int on_header_value_complete(llhttp_t *ll)
{
    parser_of(ll)->in_value = true;
    return 0;
}

static int on_chunk_extension(llhttp_t *ll, const char *at, size_t n)
{
    nx_gw_parser *p = parser_of(ll);
    (void)at;
    if (n > EXTENSION_BYTES - p->extension_n) {
        nx_gw_fault_set(&p->fault, 400, NX_ELIMIT, "the chunk extensions are longer than %u bytes", EXTENSION_BYTES);
        return HPE_USER;
    }
    p->extension_n += (uint32_t)n;
    return 0;
}

/* ---- the rules for a whole head */

static bool check_host(nx_gw_parser *p)
{
    unsigned count;
    nx_slice name, port, host = nx_gw_parser_find(p, "host", &count);

    if (count > 1)
        return nx_gw_fault_set(&p->fault, 400, NX_EINVAL, "more than one Host header field");
    if (count == 0 && p->head.minor >= 1)
        return nx_gw_fault_set(&p->fault, 400, NX_EINVAL, "the Host header field is missing");
    if (count == 1 && nx_gw_host_split(host, &name, &port) != NX_OK)
        return nx_gw_fault_set(&p->fault, 400, NX_EINVAL, "the Host header field is not a host with an optional port");
    p->head.host = p->head.target.form == NX_GW_TARGET_ABSOLUTE ? p->head.target.authority : host;
    return true;
}

static bool ends_with_chunked(nx_slice codings)
{
    size_t from = codings.n;
    while (from > 0 && codings.p[from - 1] != ',' && codings.p[from - 1] != ' ' && codings.p[from - 1] != '\t')
        from--;
    return nx_slice_ieq(nx_slice_sub(codings, from, codings.n), NX_SLICE("chunked"));
}

/* RFC 9112 6.1, 6.3: whatever two recipients could read in two ways is refused, with the connection closed. */
static bool check_framing(nx_gw_parser *p)
{
    unsigned codings, lengths;
    nx_slice coding = nx_gw_parser_find(p, "transfer-encoding", &codings);

    nx_gw_parser_find(p, "content-length", &lengths);
    if (lengths > 1)
        return nx_gw_fault_set(&p->fault, 400, NX_EINVAL, "more than one Content-Length header field");
    if (codings > 0) {
        if (lengths > 0)
            return nx_gw_fault_set(&p->fault, 400, NX_EINVAL, "Transfer-Encoding and Content-Length exclude each other");
        if (p->head.minor == 0)
            return nx_gw_fault_set(&p->fault, 400, NX_EINVAL, "HTTP/1.0 has no Transfer-Encoding");
        if (codings > 1)
            return nx_gw_fault_set(&p->fault, 400, NX_EINVAL, "more than one Transfer-Encoding header field");
        if (!ends_with_chunked(coding))
            return nx_gw_fault_set(&p->fault, 400, NX_EINVAL, "the last transfer coding of a request is chunked");
        if (!nx_slice_ieq(coding, NX_SLICE("chunked")))
            return nx_gw_fault_set(&p->fault, 501, NX_ENOTSUP, "the only transfer coding that is understood is chunked");
    }
    p->head.is_chunked = codings > 0;
    p->head.content_length = codings > 0 || lengths == 0 ? 0 : p->ll.content_length;
    p->head.has_body = p->head.is_chunked || p->head.content_length > 0;
    return true;
}

static bool check_expect(nx_gw_parser *p)
{
    unsigned count;
    nx_slice expect = nx_gw_parser_find(p, "expect", &count);
    if (count == 0 || p->head.minor == 0) /* RFC 9110 10.1.1: ignored in HTTP/1.0 */
        return true;
    if (count > 1 || !nx_slice_ieq(expect, NX_SLICE("100-continue")))
        return nx_gw_fault_set(&p->fault, 417, NX_ENOTSUP, "the only expectation that is understood is 100-continue");
    p->head.expects_continue = p->head.has_body;
    return true;
}

static bool check_target(nx_gw_parser *p)
{
    bool is_options = p->ll.method == HTTP_OPTIONS;
    if (p->ll.method == HTTP_CONNECT)
        return nx_gw_fault_set(&p->fault, 501, NX_ENOTSUP, "this is not a proxy: CONNECT is not supported");
    if (nx_gw_target_parse(nx_slice_make(p->raw.p, p->url_n), &p->head.target) != NX_OK ||
        (p->head.target.form == NX_GW_TARGET_ASTERISK && !is_options))
        return nx_gw_fault_set(&p->fault, 400, NX_EINVAL, "the request target is not a path or an http URL");
    return true;
}

static bool check_version(nx_gw_parser *p)
{
    if (p->protocol_n != 4 || memcmp(p->protocol, "HTTP", 4) != 0)
        return nx_gw_fault_set(&p->fault, 400, NX_EINVAL, "not an HTTP request");
    if (p->ll.http_major != 1 || p->ll.http_minor > 1)
        return nx_gw_fault_set(&p->fault, 505, NX_ENOTSUP, "HTTP/%u.%u is not supported, HTTP/1.1 is", p->ll.http_major,
                               p->ll.http_minor);
    p->head.minor = p->ll.http_minor;
    return true;
}

static int on_headers_complete(llhttp_t *ll)
{
    nx_gw_parser *p = parser_of(ll);

    p->is_head_done = true;
    p->head.method = nx_slice_cstr(llhttp_method_name((llhttp_method_t)ll->method));
    /* Upgrade is an offer that may be ignored (RFC 9110 7.8), and it is: some clients make it with every first request. */
    ll->upgrade = 0;
    if (!check_version(p) || !check_target(p) || !check_host(p) || !check_framing(p) || !check_expect(p))
        return -1;
    p->is_keep_alive = llhttp_should_keep_alive(ll) != 0;
    p->body_max = p->limits.body_bytes;
    if (!p->on_head(p->self))
        return -1;
    if (p->head.content_length > p->body_max) {
        nx_gw_fault_set(&p->fault, 413, NX_ELIMIT, "the body is larger than %llu bytes", (unsigned long long)p->body_max);
        return -1;
    }
    return 0;
}

/* ---- the body */

static bool budget_take(nx_gw_parser *p, size_t n)
{
    nx_gw_budget *b = p->limits.budget;
    if (atomic_fetch_add(&b->used, n) + n <= b->max) {
        p->held += n;
        return true;
    }
    atomic_fetch_sub(&b->used, n);
    return nx_gw_fault_set(&p->fault, 503, NX_EBUSY, "the bodies of all requests together are over %llu bytes", (unsigned long long)b->max);
}

static void budget_give_back(nx_gw_parser *p)
{
    atomic_fetch_sub(&p->limits.budget->used, p->held);
    p->held = 0;
}

static int on_body(llhttp_t *ll, const char *at, size_t n)
{
    nx_gw_parser *p = parser_of(ll);
    if (n > p->body_max - p->body_seen) {
        nx_gw_fault_set(&p->fault, 413, NX_ELIMIT, "the body is larger than %llu bytes", (unsigned long long)p->body_max);
        return HPE_USER;
    }
    p->body_seen += n;
    if (p->is_discarding)
        return 0;
    if (!budget_take(p, n))
        return HPE_USER;
    p->body.max = (size_t)p->body_max;
    if (nx_buf_append(&p->body, at, n) == NX_OK)
        return 0;
    nx_gw_fault_set(&p->fault, 503, NX_ENOMEM, "out of memory");
    return HPE_USER;
}

static int on_message_complete(llhttp_t *ll)
{
    (void)ll;
    return HPE_PAUSED; /* one request at a time: the answer comes before the next is looked at */
}

static const llhttp_settings_t *settings(void)
{
    static const llhttp_settings_t s = {
        .on_message_begin = on_message_begin,
        .on_url = on_url,
        .on_protocol = on_protocol,
        .on_header_field = on_header_field,
        .on_header_value = on_header_value,
        .on_header_value_complete = on_header_value_complete,
        .on_chunk_extension_name = on_chunk_extension,
        .on_chunk_extension_value = on_chunk_extension,
        .on_headers_complete = on_headers_complete,
        .on_body = on_body,
        .on_message_complete = on_message_complete,
    };
    return &s;
}

/* ---- */

void nx_gw_parser_init(nx_gw_parser *p, const nx_gw_parser_limits *limits, bool (*on_head)(void *self), void *self)
{
    memset(p, 0, sizeof *p);
    p->limits = *limits;
    p->on_head = on_head;
    p->self = self;
    nx_buf_init(&p->raw, (size_t)limits->url_bytes + limits->header_bytes);
    nx_buf_init(&p->body, (size_t)limits->body_bytes);
    llhttp_init(&p->ll, HTTP_REQUEST, settings());
    p->ll.data = p;
}

void nx_gw_parser_done(nx_gw_parser *p)
{
    nx_buf_done(&p->raw);
    nx_buf_done(&p->body);
    budget_give_back(p);
    free(p->spans);
    p->spans = NULL;
    p->spans_cap = 0;
}

/* A request line whose first word is a token has an unknown method (501); anything else is no request (400). */
static bool begins_with_token(const char *p, size_t n)
{
    size_t i = 0;
    while (i < n && ((p[i] >= 'A' && p[i] <= 'Z') || (p[i] >= 'a' && p[i] <= 'z') || p[i] == '-' || p[i] == '_'))
        i++;
    return i > 0 && (i == n || p[i] == ' ');
}

static void fault_of_parser(nx_gw_parser *p, llhttp_errno_t code, size_t n)
{
    const char *reason = llhttp_get_error_reason(&p->ll);

    if (p->fault.status != 0)
        return;
    if (!reason)
        reason = llhttp_errno_name(code);
    if (code == HPE_INVALID_METHOD && begins_with_token(p->feed_start, n))
        nx_gw_fault_set(&p->fault, 501, NX_ENOTSUP, "the method is not supported");
    else if (code == HPE_PAUSED_H2_UPGRADE)
        nx_gw_fault_set(&p->fault, 505, NX_ENOTSUP, "HTTP/2 is not supported, HTTP/1.1 is");
    else if (code == HPE_INVALID_VERSION && strcmp(reason, "Invalid HTTP version") == 0)
        nx_gw_fault_set(&p->fault, 505, NX_ENOTSUP, "this version of HTTP is not supported, HTTP/1.1 is");
    else
        nx_gw_fault_set(&p->fault, 400, NX_EPARSE, "malformed request: %s", reason);
}

nx_gw_parse_result nx_gw_parser_feed(nx_gw_parser *p, const char *data, size_t n, size_t *ret_used)
{
    p->feed_start = data;
    while (!p->is_started && (size_t)(p->feed_start - data) < n && (*p->feed_start == '\r' || *p->feed_start == '\n'))
        p->feed_start++;
    llhttp_errno_t code = llhttp_execute(&p->ll, data, n);
    if (code == HPE_OK) {
        *ret_used = n;
        return NX_GW_PARSE_MORE;
    }
    if (code == HPE_PAUSED && p->fault.status == 0) {
        *ret_used = (size_t)(llhttp_get_error_pos(&p->ll) - data);
        llhttp_resume(&p->ll);
        return NX_GW_PARSE_REQUEST;
    }
    *ret_used = n;
    fault_of_parser(p, code, n - (size_t)(p->feed_start - data));
    return NX_GW_PARSE_FAULT;
}

static void shrink(nx_buf *b)
{
    if (b->cap > KEEP_BYTES) {
        size_t max = b->max;
        nx_buf_done(b);
        nx_buf_init(b, max);
    } else {
        nx_buf_clear(b);
    }
}

void nx_gw_parser_next(nx_gw_parser *p)
{
    shrink(&p->raw);
    shrink(&p->body);
    budget_give_back(p);
    memset(&p->head, 0, sizeof p->head);
    p->url_n = p->header_n = p->extension_n = 0;
    p->protocol_n = 0;
    p->in_value = p->is_head_done = p->is_started = p->is_keep_alive = p->is_discarding = false;
    p->body_seen = 0;
}

nx_kv nx_gw_parser_field(const nx_gw_parser *p, unsigned i)
{
    const nx_gw_span *s = &p->spans[i];
    return (nx_kv){nx_slice_make(p->raw.p + s->name, s->name_n),
                   nx_slice_trim(nx_slice_make(p->raw.p + s->value, s->value_n))};
}

nx_slice nx_gw_parser_find(const nx_gw_parser *p, const char *name, unsigned *ret_count)
{
    nx_slice wanted = nx_slice_cstr(name), found = NX_SLICE_NULL;
    unsigned count = 0;

    for (unsigned i = 0; i < p->head.n_fields; i++) {
        const nx_gw_span *s = &p->spans[i];
        if (s->name_n != wanted.n || !nx_slice_ieq(nx_slice_make(p->raw.p + s->name, s->name_n), wanted))
            continue;
        if (count++ == 0)
            found = nx_gw_parser_field(p, i).value;
        if (!ret_count)
            break;
    }
    if (ret_count)
        *ret_count = count;
    return found;
}
