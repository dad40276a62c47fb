/* Malformed, odd and smuggling requests over a real socket: each with the status that it must get. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_node.h"
#include "nx/gateway.h"
#include "raw_http.h"

static fake_node node;
static nx_gw *gw;
static char address[NX_GW_ADDRESS_MAX];

#define H "Host: a.example\r\n"
#define POST "POST /events/t HTTP/1.1\r\n" H

typedef struct request_case {
    const char *name, *request;
    size_t n; /* of request; may hold NULs */
    int status;
    bool keeps; /* the connection stays usable */
} request_case;

#define CASE(name, text, status, keeps)             \
    {                                               \
        name, text, sizeof(text) - 1, status, keeps \
    }

static const request_case cases[] = {
    /* well-formed */
    CASE("post", POST "Content-Length: 2\r\n\r\n{}", 202, true),
    CASE("no body", POST "\r\n", 202, true),
    CASE("chunked", POST "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", 202, true),
    CASE("chunked with extension", POST "Transfer-Encoding: chunked\r\n\r\n2;a=b\r\n{}\r\n0\r\n\r\n", 202, true),
    CASE("chunked with trailer", POST "Transfer-Encoding: chunked\r\n\r\n0\r\nX-T: 1\r\n\r\n", 202, true),
    CASE("chunked in capitals", POST "Transfer-Encoding: CHUNKED\r\n\r\n0\r\n\r\n", 202, true),
    CASE("absolute form", "POST http://b.example/events/t HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n", 202, true),
    CASE("host with port", "POST /events/t HTTP/1.1\r\nHost: localhost:8080\r\nContent-Length: 0\r\n\r\n", 202, true),
    CASE("host ipv6", "POST /events/t HTTP/1.1\r\nHost: [::1]:8080\r\nContent-Length: 0\r\n\r\n", 202, true),
    CASE("empty lines before", "\r\n\r\n" POST "Content-Length: 0\r\n\r\n", 202, true),
    CASE("query is ignored", "POST /events/t?x=1 HTTP/1.1\r\n" H "\r\n", 202, true),
    CASE("encoded type", "POST /events/a%2Eb%2Fc HTTP/1.1\r\n" H "\r\n", 202, true),
    CASE("http/1.0", "POST /events/t HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}", 202, false),
    CASE("http/1.0 keep-alive", "POST /events/t HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}", 202, true),
    CASE("connection close", POST "Connection: close\r\nContent-Length: 0\r\n\r\n", 202, false),
    CASE("h2c upgrade is ignored", POST "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n", 202, true),
    CASE("websocket upgrade is ignored", POST "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 202, true),
    CASE("white space around values", POST "Content-Length:   2  \r\n\r\n{}", 202, true),
    CASE("options *", "OPTIONS * HTTP/1.1\r\n" H "\r\n", 204, true),
    /* paths and methods */
    CASE("unknown path", "POST /nothing HTTP/1.1\r\n" H "\r\n", 404, true),
    CASE("unknown path, body skipped", "POST /nothing HTTP/1.1\r\n" H "Content-Length: 5\r\n\r\nhello", 404, true),
    CASE("unknown path, chunks skipped", "POST /nothing HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", 404, true),
    CASE("unknown path, large body", "POST /nothing HTTP/1.1\r\n" H "Content-Length: 900000\r\n\r\n", 404, false),
    CASE("empty type", "POST /events/ HTTP/1.1\r\n" H "\r\n", 404, true),
    CASE("get on events", "GET /events/t HTTP/1.1\r\n" H "\r\n", 405, true),
    CASE("delete on own route", "DELETE /hello HTTP/1.1\r\n" H "\r\n", 405, true),
    CASE("trace", "TRACE /events/t HTTP/1.1\r\n" H "\r\n", 405, true),
    CASE("connect", "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", 501, false),
    CASE("unknown method", "BREW /events/t HTTP/1.1\r\n" H "\r\n", 501, false),
    CASE("lower-case method", "post /events/t HTTP/1.1\r\n" H "\r\n", 501, false),
    CASE("delayed delivery", "POST /events/t?delay=10s HTTP/1.1\r\n" H "\r\n", 202, true),
    CASE("delay as a field", POST "Nexus-Delay: 5m\r\n\r\n", 202, true),
    CASE("deliver in the past", POST "Nexus-Deliver-At: 2001-01-01T09:00:00Z\r\n\r\n", 202, true),
    CASE("no delay at all", "POST /events/t?delay=0s HTTP/1.1\r\n" H "\r\n", 202, true),
    CASE("empty delay", "POST /events/t?delay= HTTP/1.1\r\n" H "\r\n", 400, true),
    CASE("delay without a unit", "POST /events/t?delay=10 HTTP/1.1\r\n" H "\r\n", 400, true),
    CASE("negative delay", "POST /events/t?delay=-10s HTTP/1.1\r\n" H "\r\n", 400, true),
    CASE("delay over a year", "POST /events/t?delay=366d HTTP/1.1\r\n" H "\r\n", 400, true),
    CASE("delay over all bounds", "POST /events/t?delay=99999999999999999999d HTTP/1.1\r\n" H "\r\n", 400, true),
    CASE("deliver at no time", POST "Nexus-Deliver-At: tomorrow\r\n\r\n", 400, true),
    CASE("two delays", "POST /events/t?delay=10s HTTP/1.1\r\n" H "Nexus-Delay: 10s\r\n\r\n", 400, true),
    CASE("two delay fields", POST "Nexus-Delay: 10s\r\nNexus-Delay: 10s\r\n\r\n", 400, true),
    CASE("delay and wait", "POST /hello?delay=10s HTTP/1.1\r\n" H "Prefer: wait=5\r\n\r\n", 400, true),
    CASE("bad percent", "POST /events/a%2 HTTP/1.1\r\n" H "\r\n", 400, true),
    CASE("percent NUL", "POST /events/a%00 HTTP/1.1\r\n" H "\r\n", 400, true),
    CASE("percent CR", "POST /events/a%0d%0aX:1 HTTP/1.1\r\n" H "\r\n", 400, true),
    CASE("percent bad utf-8", "POST /events/a%ff HTTP/1.1\r\n" H "\r\n", 400, true),
    CASE("encoded slash elsewhere", "POST /hello%2Fworld HTTP/1.1\r\n" H "\r\n", 400, true),
    CASE("asterisk with post", "POST * HTTP/1.1\r\n" H "\r\n", 400, false),
    CASE("no slash", "POST events/t HTTP/1.1\r\n" H "\r\n", 400, false),
    CASE("other scheme", "POST ftp://a/events/t HTTP/1.1\r\n" H "\r\n", 400, false),
    CASE("fragment", "POST /events/t#x HTTP/1.1\r\n" H "\r\n", 400, false),
    CASE("space in target", "POST /events/t u HTTP/1.1\r\n" H "\r\n", 400, false),
    CASE("non-ascii target", "POST /events/\xc3\xa4 HTTP/1.1\r\n" H "\r\n", 400, false),
    CASE("rtsp", "OPTIONS /events/t RTSP/1.0\r\n" H "\r\n", 400, false),
    CASE("ice", "SOURCE /events/t ICE/1.0\r\n" H "\r\n", 400, false),
    /* versions */
    CASE("http/1.2", "POST /events/t HTTP/1.2\r\n" H "\r\n", 505, false),
    CASE("http/2.0", "POST /events/t HTTP/2.0\r\n" H "\r\n", 505, false),
    CASE("http/3.0", "POST /events/t HTTP/3.0\r\n" H "\r\n", 505, false),
    CASE("http/0.9", "POST /events/t HTTP/0.9\r\n" H "\r\n", 505, false),
    CASE("http/0.9 simple", "GET /events/t\r\n\r\n", 400, false),
    CASE("http/2 preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, false),
    CASE("http/11", "POST /events/t HTTP/11.1\r\n" H "\r\n", 400, false),
    CASE("http/x", "POST /events/t HTTP/x.1\r\n" H "\r\n", 400, false),
    CASE("lower-case http", "POST /events/t http/1.1\r\n" H "\r\n", 400, false),
    CASE("space after version", "POST /events/t HTTP/1.1 \r\n" H "\r\n", 400, false),
    /* garbage */
    CASE("tls hello", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400, false),
    CASE("binary", "\x00\x01\x02\x03\x04\x05\x06\x07", 400, false),
    CASE("redis", "*1\r\n$4\r\nPING\r\n", 400, false),
    CASE("tab instead of space", "POST\t/events/t\tHTTP/1.1\r\n" H "\r\n", 400, false),
    /* Host */
    CASE("no host", "POST /events/t HTTP/1.1\r\n\r\n", 400, false),
    CASE("two hosts", "POST /events/t HTTP/1.1\r\n" H H "\r\n", 400, false),
    CASE("two different hosts", "POST /events/t HTTP/1.1\r\n" H "Host: b\r\n\r\n", 400, false),
    CASE("empty host", "POST /events/t HTTP/1.1\r\nHost:\r\n\r\n", 400, false),
    CASE("host with path", "POST /events/t HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, false),
    CASE("host with user", "POST /events/t HTTP/1.1\r\nHost: u@a\r\n\r\n", 400, false),
    CASE("host with comma", "POST /events/t HTTP/1.1\r\nHost: a,b\r\n\r\n", 400, false),
    CASE("host with bad port", "POST /events/t HTTP/1.1\r\nHost: a:99999\r\n\r\n", 400, false),
    CASE("host bad ipv6", "POST /events/t HTTP/1.1\r\nHost: [::zz]\r\n\r\n", 400, false),
    CASE("two hosts in 1.0", "POST /events/t HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400, false),
    CASE("absolute form without host field", "POST http://b/events/t HTTP/1.1\r\n\r\n", 400, false),
    CASE("absolute form, empty host", "POST http:///events/t HTTP/1.1\r\n" H "\r\n", 400, false),
    CASE("absolute form, user info", "POST http://u:p@b/events/t HTTP/1.1\r\n" H "\r\n", 400, false),
    /* framing */
    CASE("two lengths", POST "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", 400, false),
    CASE("two different lengths", POST "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400, false),
    CASE("length list", POST "Content-Length: 2, 2\r\n\r\n{}", 400, false),
    CASE("length with plus", POST "Content-Length: +2\r\n\r\n{}", 400, false),
    CASE("length negative", POST "Content-Length: -1\r\n\r\n{}", 400, false),
    CASE("length hex", POST "Content-Length: 0x2\r\n\r\n{}", 400, false),
    CASE("length empty", POST "Content-Length:\r\n\r\n", 400, false),
    CASE("length with space inside", POST "Content-Length: 1 0\r\n\r\n{}", 400, false),
    CASE("length overflow", POST "Content-Length: 99999999999999999999999\r\n\r\n{}", 400, false),
    CASE("length over the limit", POST "Content-Length: 1048577\r\n\r\n", 413, false),
    CASE("length near 2^63", POST "Content-Length: 9223372036854775807\r\n\r\n", 413, false),
    CASE("cl.te", POST "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG", 400, false),
    CASE("te.cl", POST "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n5c\r\n", 400, false),
    CASE("te.te", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n", 400, false),
    CASE("te twice", POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, false),
    CASE("te xchunked", POST "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 400, false),
    CASE("te chunked, identity", POST "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400, false),
    CASE("te gzip, chunked", POST "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, false),
    CASE("te quoted", POST "Transfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n", 400, false),
    CASE("te with vertical tab", POST "Transfer-Encoding: \x0b"
                                      "chunked\r\n\r\n0\r\n\r\n",
         400, false),
    CASE("te in http/1.0", "POST /events/t HTTP/1.0\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, false),
    CASE("te name with space", POST "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400, false),
    CASE("te name with underscore is another field", POST "Transfer_Encoding: chunked\r\n\r\n", 202, true),
    CASE("chunk size not hex", POST "Transfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", 400, false),
    CASE("chunk size with 0x", POST "Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n", 400, false),
    CASE("chunk size negative", POST "Transfer-Encoding: chunked\r\n\r\n-2\r\n{}\r\n0\r\n\r\n", 400, false),
    CASE("chunk size overflow", POST "Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\n", 400, false),
    CASE("chunk size over the limit", POST "Transfer-Encoding: chunked\r\n\r\n7fffffff\r\nx", 0, false),
    CASE("chunk without crlf", POST "Transfer-Encoding: chunked\r\n\r\n2\r\n{}0\r\n\r\n", 400, false),
    CASE("chunk with bare lf", POST "Transfer-Encoding: chunked\r\n\r\n2\n{}\n0\n\n", 400, false),
    CASE("chunk size with space", POST "Transfer-Encoding: chunked\r\n\r\n2 \r\n{}\r\n0\r\n\r\n", 400, false),
    /* fields */
    CASE("space before colon", POST "X-A : 1\r\n\r\n", 400, false),
    CASE("no colon", POST "X-A\r\n\r\n", 400, false),
    CASE("empty name", POST ": 1\r\n\r\n", 400, false),
    CASE("name with space", POST "X A: 1\r\n\r\n", 400, false),
    CASE("name with non-ascii", POST "X-\xc3\xa4: 1\r\n\r\n", 400, false),
    CASE("obs-fold", POST "X-A: 1\r\n 2\r\n\r\n", 400, false),
    CASE("obs-fold with tab", POST "X-A: 1\r\n\t2\r\n\r\n", 400, false),
    CASE("space before the first field", "POST /events/t HTTP/1.1\r\n " H "\r\n", 400, false),
    CASE("bare lf", "POST /events/t HTTP/1.1\n"
                    "Host: a\n\n",
         400, false),
    CASE("bare lf after a field", POST "X-A: 1\nX-B: 2\r\n\r\n", 400, false),
    CASE("bare cr in value", POST "X-A: 1\rX-B: 2\r\n\r\n", 400, false),
    CASE("bare cr in target", "POST /events/t\r HTTP/1.1\r\n" H "\r\n", 400, false),
    CASE("nul in value", POST "X-A: a\0b\r\n\r\n", 400, false),
    CASE("nul in name", POST "X\0A: b\r\n\r\n", 400, false),
    CASE("del in value", POST "X-A: a\x7f"
                              "b\r\n\r\n",
         400, false),
    CASE("escape in value", POST "X-A: a\x1b[1m\r\n\r\n", 400, false),
    CASE("utf-8 in value", POST "X-A: \xc3\xa4\r\n\r\n", 202, true),
    /* Expect, content */
    CASE("unknown expectation", POST "Expect: 200-ok\r\nContent-Length: 2\r\n\r\n", 417, false),
    CASE("two expectations", POST "Expect: 100-continue\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n", 417, false),
    CASE("expect without body", POST "Expect: 100-continue\r\n\r\n", 202, true),
    CASE("expect in 1.0 is ignored", "POST /events/t HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n{}", 202, false),
    CASE("expect on unknown path", "POST /nothing HTTP/1.1\r\n" H "Expect: 100-continue\r\nContent-Length: 2\r\n\r\n", 404, false),
    CASE("content encoding", POST "Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", 415, true),
    CASE("cloudevents in avro", POST "Content-Type: application/cloudevents+avro\r\nContent-Length: 2\r\n\r\n{}", 415, true),
    CASE("batch where not enabled", POST "Content-Type: application/cloudevents-batch+json\r\nContent-Length: 2\r\n\r\n[]", 415, true),
    CASE("two content types", POST "Content-Type: a/b\r\nContent-Type: a/b\r\n\r\n", 400, true),
    CASE("content type that is none", POST "Content-Type: garbage\r\n\r\n", 400, true),
    CASE("two idempotency keys", POST "Idempotency-Key: a\r\nIdempotency-Key: b\r\n\r\n", 400, true),
    CASE("empty idempotency key", POST "Idempotency-Key:\r\n\r\n", 400, true),
};

static void run_case(const request_case *k)
{
    static const char probe[] = POST "Content-Length: 0\r\n\r\n";
    raw_conn c;
    raw_answer a;

    raw_open(&c, address);
    (void)raw_send(&c, k->request, k->n);
    if (k->status == 0) { /* only as much as the limit comes */
        char *zeros = calloc(1, 1u << 20);
        (void)raw_send(&c, zeros, 1u << 20);
        free(zeros);
    }
    raw_read(&c, false, &a);
    int wanted = k->status ? k->status : 413;
    if (a.status != wanted)
        fail_msg("%s: status %d, expected %d\n%s\n%s", k->name, a.status, wanted, a.head, a.body ? a.body : "");
    char value[128];
    bool says_close = raw_header(&a, "Connection", value, sizeof value) && strcmp(value, "close") == 0;
    if (says_close == k->keeps)
        fail_msg("%s: the connection %s", k->name, says_close ? "was closed" : "was kept");
    if (a.status >= 400 && (!raw_header(&a, "Content-Type", value, sizeof value) || strcmp(value, "application/problem+json") != 0 ||
                            !strstr(a.body, "\"status\":") || !strstr(a.body, "\"code\":\"NX_")))
        fail_msg("%s: no problem details: %s", k->name, a.body);
    raw_answer_done(&a);
    if (k->keeps) { /* in step: what follows is read as the next request */
        assert_true(raw_send(&c, probe, sizeof probe - 1));
        raw_read(&c, false, &a);
        if (a.status != 202)
            fail_msg("%s: the next request on the connection got %d", k->name, a.status);
        raw_answer_done(&a);
    } else if (!raw_is_closed(&c)) {
        fail_msg("%s: the connection was not closed", k->name);
    }
    raw_close(&c);
}

static void test_gw_requests_get_their_status(void **state)
{
    (void)state;
    for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++)
        run_case(&cases[i]);
}

/* The same, byte by byte: no state may depend on how a request is cut into packets. */
static void test_gw_requests_in_single_bytes(void **state)
{
    (void)state;
    for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
        const request_case *k = &cases[i];
        raw_conn c;
        raw_answer a;
        if (k->status == 0)
            continue;
        raw_open(&c, address);
        for (size_t b = 0; b < k->n && raw_send(&c, k->request + b, 1); b++)
            ;
        raw_read(&c, false, &a);
        /* A method that comes in pieces can't be told from garbage; both are refused. */
        bool is_method = k->status == 501 && a.status == 400;
        if (a.status != k->status && !is_method)
            fail_msg("%s: status %d, expected %d", k->name, a.status, k->status);
        raw_answer_done(&a);
        raw_close(&c);
    }
}

static void test_gw_refused_requests_store_nothing(void **state)
{
    (void)state;
    unsigned before = fake_node_count(&node), accepted = 0;
    for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
        raw_answer a;
        if (cases[i].status == 202) {
            accepted++;
            raw_exchange(address, cases[i].request, cases[i].n, &a);
            raw_answer_done(&a);
        } else if (cases[i].status != 0) {
            raw_exchange(address, cases[i].request, cases[i].n, &a);
            raw_answer_done(&a);
        }
    }
    assert_int_equal(fake_node_count(&node) - before, accepted);
}

static void test_gw_long_targets_and_heads(void **state)
{
    (void)state;
    static char request[65536];
    raw_answer a;
    static const struct {
        const char *format;
        unsigned n;
        int status;
    } table[] = {
        {"POST /events/t?%0*d HTTP/1.1\r\n" H "\r\n", 8000, 202},
        {"POST /events/t?%0*d HTTP/1.1\r\n" H "\r\n", 8200, 414},
        {"POST /events/t HTTP/1.1\r\n" H "X-A: %0*d\r\n\r\n", 16000, 202},
        {"POST /events/t HTTP/1.1\r\n" H "X-A: %0*d\r\n\r\n", 17000, 431},
        {"POST /events/t HTTP/1.1\r\n" H "%0*d: x\r\n\r\n", 17000, 431},
        {"POST /events/t HTTP/1.1\r\n" H "Idempotency-Key: %0*d\r\n\r\n", 255, 202},
        {"POST /events/t HTTP/1.1\r\n" H "Idempotency-Key: %0*d\r\n\r\n", 256, 400},
        {"POST /events/t HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n0\r\nX-T: %0*d\r\n\r\n", 17000, 431},
        {"POST /events/t HTTP/1.1\r\n" H "Transfer-Encoding: chunked\r\n\r\n1;a=%0*d\r\nx\r\n0\r\n\r\n", 5000, 400},
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(table); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* the table's formats all take a width and a number */
        int n = snprintf(request, sizeof request, table[i].format, (int)table[i].n, 0);
#pragma GCC diagnostic pop
        raw_exchange(address, request, (size_t)n, &a);
        if (a.status != table[i].status)
            fail_msg("row %zu: %d, expected %d", i, a.status, table[i].status);
        raw_answer_done(&a);
    }
}

static void test_gw_many_fields_are_431(void **state)
{
    (void)state;
    static char request[16384];
    size_t n = (size_t)snprintf(request, sizeof request, POST);
    for (unsigned i = 0; i < 100; i++)
        n += (size_t)snprintf(request + n, sizeof request - n, "X-%u: y\r\n", i);
    n += (size_t)snprintf(request + n, sizeof request - n, "\r\n");
    raw_answer a;
    raw_exchange(address, request, n, &a);
    assert_int_equal(a.status, 431);
    raw_answer_done(&a);
}

/* A request hidden in the body of a refused one must not be answered. */
static void test_gw_smuggled_request_is_not_served(void **state)
{
    (void)state;
    static const char attack[] = POST "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                                      "POST /events/smuggled HTTP/1.1\r\n" H "Content-Length: 0\r\n\r\n";
    raw_conn c;
    raw_answer a;
    unsigned before = fake_node_count(&node);
    raw_open(&c, address);
    assert_true(raw_send(&c, attack, sizeof attack - 1));
    raw_read(&c, false, &a);
    assert_int_equal(a.status, 400);
    raw_answer_done(&a);
    assert_true(raw_is_closed(&c));
    raw_close(&c);
    assert_int_equal(fake_node_count(&node), before);
}

static int setup(void **state)
{
    (void)state;
    nx_error e = NX_ERROR_INIT;
    fake_node_init(&node);
    nx_gw_options o = {.listen = {.address = NX_SLICE("127.0.0.1:0")}, .ops = &node.ops, .ops_self = &node};
    if (nx_gw_new(&o, &gw, &e) != NX_OK || nx_gw_start(gw, &e) != NX_OK) {
        print_error("%s\n", e.msg);
        return 1;
    }
    nx_gw_bound_address(gw, address, sizeof address);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    nx_gw_free(gw);
    fake_node_done(&node);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gw_requests_get_their_status),
        cmocka_unit_test(test_gw_requests_in_single_bytes),
        cmocka_unit_test(test_gw_refused_requests_store_nothing),
        cmocka_unit_test(test_gw_long_targets_and_heads),
        cmocka_unit_test(test_gw_many_fields_are_431),
        cmocka_unit_test(test_gw_smuggled_request_is_not_served),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
