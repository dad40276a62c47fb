/* What a request becomes: CloudEvents in all modes, ids, traces, idempotency, waiting, answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_node.h"
#include "nx/clock.h"
#include "nx/gateway.h"
#include "nx/json.h"
#include "raw_http.h"

#define TRACE "0af7651916cd43dd8448eb211c80319c"
#define PARENT "00-" TRACE "-b7ad6b7169203331-01"

static fake_node node;
static nx_metrics *metrics;
static nx_gw *gw;
static char address[NX_GW_ADDRESS_MAX];

static void post(const char *path, const char *headers, const char *body, raw_answer *ret)
{
    static char request[65536];
    int n = snprintf(request, sizeof request, "POST %s HTTP/1.1\r\nHost: a\r\n%sContent-Length: %zu\r\n\r\n%s", path, headers,
                     strlen(body), body);
    assert_true(n > 0 && (size_t)n < sizeof request);
    raw_exchange(address, request, (size_t)n, ret);
}

static void post_expect(const char *path, const char *headers, const char *body, int status)
{
    raw_answer a;
    post(path, headers, body, &a);
    if (a.status != status)
        fail_msg("%s %s %s: %d, expected %d: %s", path, headers, body, a.status, status, a.body ? a.body : "");
    raw_answer_done(&a);
}

static void assert_slice(nx_slice s, const char *text)
{
    if (!nx_slice_eq_cstr(s, text))
        fail_msg("\"%.*s\" is not \"%s\"", NX_SLICE_FMT(s), text);
}

static nx_slice extension(const nx_event *e, const char *name)
{
    for (unsigned i = 0; i < e->n_ext; i++)
        if (nx_slice_eq_cstr(e->ext[i].key, name))
            return e->ext[i].value;
    return NX_SLICE_NULL;
}

static void test_gw_plain_body_becomes_event(void **state)
{
    (void)state;
    raw_answer a;
    uint64_t wall_ns;
    char expected[256], id[64];
    post("/events/user.created", "Content-Type: application/json\r\n", "{\"user_id\": \"u42\"}", &a);
    assert_int_equal(a.status, 202);
    nx_event e = fake_node_last(&node).event;
    assert_slice(e.type, "user.created");
    assert_slice(e.source, "/nexus/http");
    assert_slice(e.ns, "default");
    assert_slice(e.content_type, "application/json");
    assert_slice(e.data, "{\"user_id\": \"u42\"}");
    assert_slice(e.id, e.event_id.s);
    assert_int_equal(nx_clock_parse_rfc3339(e.time, &wall_ns), NX_OK);
    assert_int_equal(wall_ns / NX_NS_PER_MS, nx_id_time_ms(&e.event_id));
    (void)snprintf(expected, sizeof expected, "{\"event_id\": \"%s\", \"status\": \"published\", \"trace_id\": \"%s\"}", e.event_id.s,
                   e.trace.trace_id);
    assert_string_equal(a.body, expected);
    assert_true(raw_header(&a, "Nexus-Event-Id", id, sizeof id));
    assert_string_equal(id, e.event_id.s);
    assert_false(raw_header(&a, "Server", id, sizeof id));
    assert_true(raw_header(&a, "Date", id, sizeof id));
    assert_int_equal(fake_node_last(&node).key.n, 0);
    raw_answer_done(&a);
}

static void test_gw_binary_data_and_empty_body(void **state)
{
    (void)state;
    static const char request[] = "POST /events/bin HTTP/1.1\r\nHost: a\r\nContent-Type: image/png\r\nContent-Length: 5\r\n\r\n\0\x01\xff\r\n";
    raw_answer a;
    raw_exchange(address, request, sizeof request - 1, &a);
    assert_int_equal(a.status, 202);
    raw_answer_done(&a);
    assert_memory_equal(fake_node_last(&node).event.data.p, "\0\x01\xff\r\n", 5);
    post_expect("/events/bin", "", "", 202);
    assert_int_equal(fake_node_last(&node).event.data.n, 0);
    assert_int_equal(fake_node_last(&node).event.content_type.n, 0);
}

static void test_gw_binary_mode(void **state)
{
    (void)state;
    post_expect("/events/com.example.order",
                "ce-specversion: 1.0\r\nce-type: com.example.order\r\nCE-ID: A-1\r\nce-source: /shop/1\r\nce-subject: caf%C3%A9%20%22x%22\r\n"
                "ce-time: 2025-11-26T10:23:45Z\r\nce-partitionkey: u42\r\nce-Tenant: t1\r\nce-dataschema: http://s/1\r\n"
                "Content-Type: application/json; charset=utf-8\r\n",
                "{\"a\": 1.0}", 202);
    fake_event f = fake_node_last(&node);
    assert_slice(f.event.id, "A-1");
    assert_slice(f.event.source, "/shop/1");
    assert_slice(f.event.subject, "caf\xc3\xa9 \"x\"");
    assert_slice(f.event.time, "2025-11-26T10:23:45Z");
    assert_slice(f.event.dataschema, "http://s/1");
    assert_slice(f.event.content_type, "application/json; charset=utf-8");
    assert_slice(f.event.data, "{\"a\": 1.0}");
    assert_slice(f.event.partition_key, "u42");
    assert_int_equal(nx_id_shard(&f.event.event_id), nx_shard_of(NX_SLICE("u42")));
    assert_slice(extension(&f.event, "tenant"), "t1");
    assert_int_equal(f.event.n_ext, 1);
    assert_int_equal(f.key.n, strlen("/shop/1") + 1 + 3);
    assert_memory_equal(f.key.p, "/shop/1\0A-1", f.key.n);
}

#define CE "ce-specversion: 1.0\r\nce-type: t\r\nce-id: 1\r\nce-source: /s\r\n"

static void test_gw_binary_mode_refusals(void **state)
{
    (void)state;
    unsigned before = fake_node_count(&node);
    static const char *const bad[] = {
        "ce-type: t\r\nce-id: 1\r\nce-source: /s\r\n",
        "ce-specversion: 1.0\r\nce-type: t\r\nce-id: 1\r\n",
        "ce-specversion: 1.0\r\nce-type: t\r\nce-source: /s\r\n",
        "ce-specversion: 1.0\r\nce-id: 1\r\nce-source: /s\r\n",
        "ce-specversion: 0.3\r\nce-type: t\r\nce-id: 1\r\nce-source: /s\r\n",
        "ce-specversion: 1.0\r\nce-type: other\r\nce-id: 1\r\nce-source: /s\r\n",
        CE "ce-id: 2\r\n",
        CE "ce-x: 1\r\nce-X: 2\r\n",
        CE "ce-subject:\r\n",
        CE "ce-subject: %zz\r\n",
        CE "ce-subject: %ff\r\n",
        CE "ce-subject: a%00b\r\n",
        CE "ce-time: yesterday\r\n",
        CE "ce-datacontenttype: a/b\r\n",
        CE "ce-data: x\r\n",
        CE "ce-my_name: x\r\n",
        "ce-foo: 1\r\n",
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++)
        post_expect("/events/t", bad[i], "{}", 400);
    assert_int_equal(fake_node_count(&node), before);
}

static void test_gw_too_many_extensions(void **state)
{
    (void)state;
    char headers[4096];
    size_t n = (size_t)snprintf(headers, sizeof headers, CE);
    for (unsigned i = 0; i < NX_EVENT_EXT_MAX + 1; i++) {
        if (i == NX_EVENT_EXT_MAX)
            post_expect("/events/t", headers, "", 202);
        n += (size_t)snprintf(headers + n, sizeof headers - n, "ce-x%u: 1\r\n", i);
    }
    post_expect("/events/t", headers, "", 400);
}

static void test_gw_structured_mode(void **state)
{
    (void)state;
    const char *type = "Content-Type: Application/CloudEvents+JSON; charset=UTF-8\r\n";
    post_expect("/events/com.example.order", type,
                "{\"specversion\":\"1.0\",\"type\":\"com.example.order\",\"id\":\"A-2\",\"source\":\"/shop/2\",\"tenant\":\"t2\","
                "\"datacontenttype\":\"application/json\",\"data\": {\"n\":  1.50, \"n2\":1e2} }",
                202);
    fake_event f = fake_node_last(&node);
    assert_slice(f.event.id, "A-2");
    assert_slice(f.event.data, "{\"n\":  1.50, \"n2\":1e2}");
    assert_slice(f.event.content_type, "application/json");
    assert_slice(extension(&f.event, "tenant"), "t2");
    assert_memory_equal(f.key.p, "/shop/2\0A-2", f.key.n);
    post_expect("/events/t", type, "{\"specversion\":\"1.0\",\"type\":\"t\",\"id\":\"3\",\"source\":\"/s\",\"data_base64\":\"AAH/\"}", 202);
    assert_memory_equal(fake_node_last(&node).event.data.p, "\0\x01\xff", 3);
}

static void test_gw_structured_mode_refusals(void **state)
{
    (void)state;
    const char *type = "Content-Type: application/cloudevents+json\r\n";
    unsigned before = fake_node_count(&node);
    static const char *const bad[] = {
        "",
        "[]",
        "{",
        "{}",
        "{\"specversion\":\"1.0\",\"type\":\"t\",\"id\":\"1\"}",
        "{\"specversion\":\"2.0\",\"type\":\"t\",\"id\":\"1\",\"source\":\"/s\"}",
        "{\"specversion\":\"1.0\",\"type\":\"u\",\"id\":\"1\",\"source\":\"/s\"}",
        "{\"specversion\":\"1.0\",\"type\":\"t\",\"id\":\"1\",\"source\":\"/s\"} x",
        "{\"specversion\":\"1.0\",\"type\":\"t\",\"id\":\"1\",\"id\":\"2\",\"source\":\"/s\"}",
        "{\"specversion\":\"1.0\",\"type\":\"t\",\"id\":1,\"source\":\"/s\"}",
        "{\"specversion\":\"1.0\",\"type\":\"t\",\"id\":\"1\",\"source\":\"/s\",\"data\":1,\"data_base64\":\"\"}",
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++)
        post_expect("/events/t", type, bad[i], 400);
    post_expect("/events/t", "Content-Type: application/cloudevents+json; charset=utf-16\r\n", "{}", 415);
    assert_int_equal(fake_node_count(&node), before);
}

#define EVENT(id) "{\"specversion\":\"1.0\",\"type\":\"t\",\"id\":\"" id "\",\"source\":\"/batch\",\"data\":\"]},{[\\\"\"}"
#define BATCH_TYPE "Content-Type: application/cloudevents-batch+json\r\n"

static void test_gw_batch(void **state)
{
    (void)state;
    raw_answer a;
    nx_json *j;
    unsigned before = fake_node_count(&node);
    post("/events/t", BATCH_TYPE, " [ " EVENT("b1") " , " EVENT("b2") "," EVENT("b1") " ] ", &a);
    assert_int_equal(a.status, 202);
    assert_int_equal(nx_json_parse(nx_slice_make(a.body, a.body_n), 1 << 20, &j, NULL), NX_OK);
    assert_int_equal(nx_json_len(j), 3);
    assert_slice(nx_json_get_str(nx_json_at(j, 0), "status"), "published");
    assert_false(nx_json_get_bool(nx_json_at(j, 1), "duplicate", false));
    assert_true(nx_json_get_bool(nx_json_at(j, 2), "duplicate", false));
    assert_true(nx_slice_eq(nx_json_get_str(nx_json_at(j, 0), "event_id"), nx_json_get_str(nx_json_at(j, 2), "event_id")));
    nx_json_free(j);
    raw_answer_done(&a);
    assert_int_equal(fake_node_count(&node), before + 2);
    post_expect("/events/t", BATCH_TYPE, "[]", 202);
}

static void test_gw_batch_is_all_or_nothing_when_parsed(void **state)
{
    (void)state;
    unsigned before = fake_node_count(&node);
    static const char *const bad[] = {
        "",
        "{}",
        "[",
        "[" EVENT("c1"),
        "[" EVENT("c1") ",]",
        "[," EVENT("c1") "]",
        "[" EVENT("c1") "]]",
        "[" EVENT("c1") " " EVENT("c2") "]",
        "[" EVENT("c1") ",1]",
        "[" EVENT("c1") ",{}]",
        "[" EVENT("c1") ",{\"specversion\":\"1.0\",\"type\":\"u\",\"id\":\"1\",\"source\":\"/s\"}]",
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++)
        post_expect("/events/t", BATCH_TYPE, bad[i], 400);
    post_expect("/events/t", BATCH_TYPE "Prefer: wait=1\r\n", "[" EVENT("c1") "]", 400);
    assert_int_equal(fake_node_count(&node), before);
}

static void test_gw_batch_that_is_not_stored_whole_is_503(void **state)
{
    (void)state;
    raw_answer a;
    post("/events/err.full", BATCH_TYPE, "[{\"specversion\":\"1.0\",\"type\":\"err.full\",\"id\":\"1\",\"source\":\"/s\"}]", &a);
    assert_int_equal(a.status, 503);
    assert_non_null(strstr(a.body, "\"results\":[{\"status\": \"failed\", \"code\": \"NX_EFULL\"}]}"));
    raw_answer_done(&a);
}

static void test_gw_batch_over_the_limit_is_413(void **state)
{
    (void)state;
    static char body[60000];
    size_t n = (size_t)snprintf(body, sizeof body, "[{}");
    for (unsigned i = 0; i < NX_GW_BATCH_MAX; i++)
        n += (size_t)snprintf(body + n, sizeof body - n, ",{}");
    (void)snprintf(body + n, sizeof body - n, "]");
    post_expect("/events/t", BATCH_TYPE, body, 413);
}

static void test_gw_trace_is_continued(void **state)
{
    (void)state;
    raw_answer a;
    post("/events/t", "traceparent: " PARENT "\r\ntracestate: a=1\r\ntracestate: b=2\r\n", "", &a);
    nx_event e = fake_node_last(&node).event;
    assert_string_equal(e.trace.trace_id, TRACE);
    assert_string_equal(e.trace.span_id, "b7ad6b7169203331");
    assert_slice(e.tracestate, "a=1,b=2");
    assert_non_null(strstr(a.body, TRACE));
    raw_answer_done(&a);
    /* the header field wins over the extension */
    post_expect("/events/t", CE "traceparent: " PARENT "\r\nce-traceparent: 00-11111111111111111111111111111111-2222222222222222-01\r\n", "", 202);
    assert_string_equal(fake_node_last(&node).event.trace.trace_id, TRACE);
    post_expect("/events/t", "ce-specversion: 1.0\r\nce-type: t\r\nce-id: tr2\r\nce-source: /s\r\nce-traceparent: " PARENT "\r\nce-tracestate: x=y\r\n", "", 202);
    e = fake_node_last(&node).event;
    assert_string_equal(e.trace.trace_id, TRACE);
    assert_slice(e.tracestate, "x=y");
    /* invalid or double: a new trace, without the state */
    post_expect("/events/t", "traceparent: 00-zz\r\ntracestate: a=1\r\n", "", 202);
    e = fake_node_last(&node).event;
    assert_int_equal(strlen(e.trace.trace_id), 32);
    assert_string_not_equal(e.trace.trace_id, TRACE);
    assert_int_equal(e.tracestate.n, 0);
    post_expect("/events/t", "traceparent: " PARENT "\r\ntraceparent: " PARENT "\r\n", "", 202);
    assert_string_not_equal(fake_node_last(&node).event.trace.trace_id, TRACE);
}

static void test_gw_idempotency(void **state)
{
    (void)state;
    raw_answer first, again;
    unsigned before = fake_node_count(&node);
    post("/events/pay", "Idempotency-Key: k-1\r\n", "1", &first);
    post("/events/pay", "Idempotency-Key: k-1\r\n", "1", &again);
    assert_int_equal(first.status, 202);
    assert_int_equal(again.status, 202);
    assert_int_equal(fake_node_count(&node), before + 1);
    assert_null(strstr(first.body, "duplicate"));
    assert_non_null(strstr(again.body, ", \"duplicate\": true}"));
    assert_memory_equal(first.body, again.body, 40); /* up to the end of the id */
    raw_answer_done(&first);
    raw_answer_done(&again);
    post_expect("/events/refund", "Idempotency-Key: k-1\r\n", "1", 202); /* another type is another thing */
    assert_int_equal(fake_node_count(&node), before + 2);
    /* the key wins over (source, id) */
    post_expect("/events/t", "ce-specversion: 1.0\r\nce-type: t\r\nce-id: i1\r\nce-source: /i\r\nIdempotency-Key: k-2\r\n", "", 202);
    post_expect("/events/t", "ce-specversion: 1.0\r\nce-type: t\r\nce-id: i2\r\nce-source: /i\r\nIdempotency-Key: k-2\r\n", "", 202);
    assert_int_equal(fake_node_count(&node), before + 3);
}

static void test_gw_prefer_wait_gives_the_output(void **state)
{
    (void)state;
    raw_answer a;
    char value[64];
    post("/events/user.created", "Prefer: wait=10\r\n", "{}", &a);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "Processed: {}");
    assert_true(raw_header(&a, "Content-Type", value, sizeof value));
    assert_string_equal(value, "text/plain");
    assert_true(raw_header(&a, "Preference-Applied", value, sizeof value));
    assert_string_equal(value, "wait=10");
    assert_true(raw_header(&a, "Nexus-Event-Id", value, sizeof value));
    assert_string_equal(value, fake_node_last(&node).event.event_id.s);
    raw_answer_done(&a);
    assert_int_equal(fake_node_last(&node).wait_ms, 10000);
    post("/events/user.created", "Prefer: foo, respond-async; x=\"a,b\"\r\nPrefer: WAIT=9999\r\n", "{}", &a);
    assert_int_equal(a.status, 200);
    assert_true(raw_header(&a, "Preference-Applied", value, sizeof value));
    assert_string_equal(value, "wait=300");
    raw_answer_done(&a);
    post_expect("/events/many", "Prefer: wait=1\r\n", "", 400);
    post_expect("/events/none", "Prefer: wait=1\r\n", "", 400);
    post_expect("/events/many", "Prefer: wait=0\r\n", "", 202);
    post_expect("/events/many", "Prefer: wait=soon\r\n", "", 202);
}

static void test_gw_wait_outcomes(void **state)
{
    (void)state;
    raw_answer a;
    char value[64];
    post("/events/late", "Prefer: wait=1\r\n", "", &a);
    assert_int_equal(a.status, 202);
    assert_true(raw_header(&a, "Nexus-Event-Id", value, sizeof value));
    assert_non_null(strstr(a.body, "\"status\": \"published\""));
    raw_answer_done(&a);
    post("/events/fail", "Prefer: wait=1\r\n", "", &a);
    assert_int_equal(a.status, 502);
    assert_true(raw_header(&a, "Content-Type", value, sizeof value));
    assert_string_equal(value, "application/problem+json");
    raw_answer_done(&a);
    post("/events/big", "Prefer: wait=1\r\n", "", &a);
    assert_int_equal(a.status, 200);
    assert_int_equal(a.body_n, 4u << 20);
    raw_answer_done(&a);
    for (unsigned i = 0; i < 500 && atomic_load(&node.n_answers_out) > 0; i++) { /* the last is released behind its last byte */
        struct timespec ms = {0, 10000000};
        (void)nanosleep(&ms, NULL);
    }
    assert_int_equal(atomic_load(&node.n_answers_out), 0);
}

static void test_gw_own_routes(void **state)
{
    (void)state;
    raw_answer a;
    static const char get[] = "GET /hello/world?name=x HTTP/1.1\r\nHost: a\r\n\r\n", head[] = "HEAD /hello/world HTTP/1.1\r\nHost: a\r\n\r\n";
    post("/hello", "", "hi", &a);
    assert_int_equal(a.status, 200);
    assert_string_equal(a.body, "Processed: hi");
    raw_answer_done(&a);
    fake_event f = fake_node_last(&node);
    assert_slice(f.wait_function, "hello");
    assert_int_equal(f.wait_ms, NX_GW_DEFAULT_WAIT_MS);
    post("/hello", "Prefer: respond-async\r\n", "hi", &a);
    assert_int_equal(a.status, 202);
    assert_non_null(strstr(a.head, "Preference-Applied: respond-async"));
    raw_answer_done(&a);
    assert_false(fake_node_last(&node).wants_wait);
    post_expect("/hello", "Prefer: respond-async, wait=2\r\n", "hi", 200);
    post_expect("/hello", "ce-specversion: 1.0\r\nce-type: other\r\nce-id: 1\r\nce-source: /s\r\n", "", 400);
    post_expect("/hello", "ce-specversion: 1.0\r\nce-type: hello\r\nce-id: 1\r\nce-source: /s\r\n", "", 200);
    raw_exchange(address, get, sizeof get - 1, &a);
    assert_int_equal(a.status, 200);
    raw_answer_done(&a);
    raw_conn c;
    raw_open(&c, address);
    assert_true(raw_send(&c, head, sizeof head - 1) && raw_send(&c, get, sizeof get - 1));
    raw_read(&c, true, &a);
    assert_int_equal(a.status, 405);
    assert_int_equal(c.in.n > 0 && c.in.p[0] != 'H', 0); /* no body: the next answer follows at once */
    assert_non_null(strstr(a.head, "Allow: GET"));
    raw_answer_done(&a);
    raw_read(&c, false, &a);
    assert_int_equal(a.status, 200);
    raw_answer_done(&a);
    raw_close(&c);
}

static void test_gw_what_is_not_stored_is_never_accepted(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        int status;
        const char *code;
    } table[] = {
        {"/events/err.busy", 503, "NX_EBUSY"},
        {"/events/err.types", 429, "NX_EMANY"},
        {"/events/err.full", 503, "NX_EFULL"},
        {"/events/err.lost", 503, "NX_ETIMEOUT"},
    };
    raw_answer a;
    char value[64];
    for (size_t i = 0; i < NX_ARRAY_LEN(table); i++) {
        post(table[i].path, "", "", &a);
        assert_int_equal(a.status, table[i].status);
        assert_non_null(strstr(a.body, table[i].code));
        assert_null(strstr(a.body, "event_id"));
        assert_true(raw_header(&a, "Retry-After", value, sizeof value));
        raw_answer_done(&a);
    }
    atomic_store(&node.is_ready, false);
    post("/events/t", "", "", &a);
    atomic_store(&node.is_ready, true);
    assert_int_equal(a.status, 503);
    assert_non_null(strstr(a.body, "the event log is not reachable"));
    raw_answer_done(&a);
}

static void test_gw_strict_refuses_types_nobody_takes(void **state)
{
    (void)state;
    nx_gw *strict;
    raw_answer a;
    char where[NX_GW_ADDRESS_MAX];
    static const char none[] = "POST /events/none HTTP/1.1\r\nHost: a\r\n\r\n", some[] = "POST /events/t HTTP/1.1\r\nHost: a\r\n\r\n";
    nx_gw_options o = {.listen = {.address = NX_SLICE("127.0.0.1:0"), .loops = 1}, .ops = &node.ops, .ops_self = &node, .is_strict = true, .ns = NX_SLICE("team-a"), .default_source = NX_SLICE("/x")};
    post_expect("/events/none", "", "", 202);
    assert_int_equal(nx_gw_new(&o, &strict, NULL), NX_OK);
    assert_int_equal(nx_gw_start(strict, NULL), NX_OK);
    nx_gw_bound_address(strict, where, sizeof where);
    raw_exchange(where, none, sizeof none - 1, &a);
    assert_int_equal(a.status, 404);
    raw_answer_done(&a);
    raw_exchange(where, some, sizeof some - 1, &a);
    assert_int_equal(a.status, 202);
    raw_answer_done(&a);
    assert_slice(fake_node_last(&node).event.ns, "team-a");
    assert_slice(fake_node_last(&node).event.source, "/x");
    nx_gw_free(strict);
}

static void test_gw_counts(void **state)
{
    (void)state;
    nx_buf text = NX_BUF_INIT(1 << 20);
    nx_gw_stats stats;
    post_expect("/events/t", "", "", 202);
    post_expect("/nothing", "", "", 404);
    for (int i = 0; i < 500; i++) { /* an answer may be read before it is counted as done */
        struct timespec ms = {0, 10000000};
        nx_gw_get_stats(gw, &stats);
        if (stats.requests_in_flight == 0)
            break;
        (void)nanosleep(&ms, NULL);
    }
    assert_true(stats.responses[2] > 0 && stats.responses[4] > 0 && stats.responses[5] > 0);
    assert_true(stats.events_accepted > 0 && stats.events_duplicate > 0 && stats.events_refused > 0);
    assert_true(stats.answers_sync > 0 && stats.answers_late > 0);
    assert_int_equal(stats.requests_in_flight, 0);
    assert_int_equal(nx_metrics_expose(metrics, &text), NX_OK);
    const char *s = nx_buf_cstr(&text);
    char line[128];
    (void)snprintf(line, sizeof line, "nexus_http_responses_total{class=\"2xx\"} %llu\n", (unsigned long long)stats.responses[2]);
    assert_non_null(strstr(s, line));
    assert_non_null(strstr(s, "nexus_http_request_duration_seconds_count"));
    assert_non_null(strstr(s, "nexus_http_requests_in_flight 0\n"));
    nx_buf_done(&text);
}

static int setup(void **state)
{
    (void)state;
    nx_error e = NX_ERROR_INIT;
    fake_node_init(&node);
    if (nx_metrics_new(0, &metrics) != NX_OK)
        return 1;
    nx_gw_options o = {.listen = {.address = NX_SLICE("localhost:0")},
                       .ops = &node.ops,
                       .ops_self = &node,
                       .is_batch_enabled = true,
                       .metrics = metrics};
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
    nx_metrics_free(metrics);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gw_plain_body_becomes_event),
        cmocka_unit_test(test_gw_binary_data_and_empty_body),
        cmocka_unit_test(test_gw_binary_mode),
        cmocka_unit_test(test_gw_binary_mode_refusals),
        cmocka_unit_test(test_gw_too_many_extensions),
        cmocka_unit_test(test_gw_structured_mode),
        cmocka_unit_test(test_gw_structured_mode_refusals),
        cmocka_unit_test(test_gw_batch),
        cmocka_unit_test(test_gw_batch_is_all_or_nothing_when_parsed),
        cmocka_unit_test(test_gw_batch_that_is_not_stored_whole_is_503),
        cmocka_unit_test(test_gw_batch_over_the_limit_is_413),
        cmocka_unit_test(test_gw_trace_is_continued),
        cmocka_unit_test(test_gw_idempotency),
        cmocka_unit_test(test_gw_prefer_wait_gives_the_output),
        cmocka_unit_test(test_gw_wait_outcomes),
        cmocka_unit_test(test_gw_own_routes),
        cmocka_unit_test(test_gw_what_is_not_stored_is_never_accepted),
        cmocka_unit_test(test_gw_strict_refuses_types_nobody_takes),
        cmocka_unit_test(test_gw_counts),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
