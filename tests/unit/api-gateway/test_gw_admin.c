/* The admin listener: routes, handlers that block, errors, streams with back-pressure, refusal of foreign hosts and pages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <cmocka.h>

#include "nx/clock.h"
#include "nx/gateway.h"
#include "raw_http.h"

typedef struct admin_state {
    pthread_mutex_t mu;
    pthread_cond_t changed;
    unsigned n_blocked;
    bool may_go;
    _Atomic uint64_t written;
    _Atomic int ended_with; /* of the endless stream */
    _Atomic unsigned n_streams;
} admin_state;

static admin_state shared = {.mu = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
static nx_gw_admin *admin;
static char address[NX_GW_ADDRESS_MAX];

static nx_err fast(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    (void)self;
    (void)req;
    (void)reterr;
    nx_gw_resp_content_type(resp, "text/plain");
    if (nx_gw_resp_write(resp, NX_SLICE("x")) != NX_EINVAL)
        return NX_EBUG;
    return nx_buf_append_cstr(nx_gw_resp_body(resp), "ok\n");
}

static nx_err show(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_slice id = nx_gw_req_param(req, "id"), rest = nx_gw_req_param(req, "rest");
    nx_slice q = nx_gw_req_query(req, "q"), none = nx_gw_req_query(req, "none");
    nx_slice agent = nx_gw_req_header(req, "x-Agent");
    (void)self;
    (void)reterr;
    nx_gw_resp_status(resp, 201);
    nx_err err = nx_gw_resp_header(resp, "X-Extra", NX_SLICE("1"));
    if (nx_gw_resp_header(resp, "X-Bad", NX_SLICE("a\r\nb")) != NX_EINVAL || nx_gw_resp_header(resp, "Date", NX_SLICE("x")) != NX_EINVAL)
        return NX_EBUG;
    if (err == NX_OK)
        err = nx_buf_printf(nx_gw_resp_body(resp), "%.*s|%.*s|%.*s|%.*s|%d|%zu|%.*s|%.*s", NX_SLICE_FMT(nx_gw_req_method(req)),
                            NX_SLICE_FMT(id), NX_SLICE_FMT(rest), NX_SLICE_FMT(q), none.p != NULL, nx_gw_req_query_count(req),
                            NX_SLICE_FMT(agent), NX_SLICE_FMT(nx_gw_req_body(req)));
    return err;
}

static nx_err list(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    (void)self;
    (void)reterr;
    return nx_buf_printf(nx_gw_resp_body(resp), "list %.*s", NX_SLICE_FMT(nx_gw_req_path(req)));
}

static nx_err failing(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    (void)self;
    (void)nx_buf_append_cstr(nx_gw_resp_body(resp), "half an answer");
    nx_slice what = nx_gw_req_param(req, "what");
    if (nx_slice_eq_cstr(what, "gone"))
        return nx_error_set(reterr, NX_ENOENT, "no event \"%s\"", "01X");
    if (nx_slice_eq_cstr(what, "away"))
        return NX_EUNAVAIL;
    if (nx_slice_eq_cstr(what, "much")) {
        nx_err err = NX_OK;
        while (err == NX_OK)
            err = nx_buf_append(nx_gw_resp_body(resp), (char[65536]){0}, 65536);
        return err;
    }
    return NX_EBUG;
}

static nx_err block(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    (void)self;
    (void)req;
    (void)reterr;
    (void)pthread_mutex_lock(&shared.mu);
    shared.n_blocked++;
    (void)pthread_cond_broadcast(&shared.changed);
    while (!shared.may_go)
        (void)pthread_cond_wait(&shared.changed, &shared.mu);
    (void)pthread_mutex_unlock(&shared.mu);
    return nx_buf_append_cstr(nx_gw_resp_body(resp), "{}");
}

static nx_err lines(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    char line[64];
    (void)self;
    (void)req;
    (void)reterr;
    nx_gw_resp_content_type(resp, "application/x-ndjson");
    for (int i = 0; i < 1000; i++) {
        int n = snprintf(line, sizeof line, "{\"n\":%d}\n", i);
        nx_err err = nx_gw_resp_write(resp, nx_slice_make(line, (size_t)n));
        if (err != NX_OK)
            return err;
    }
    return nx_slice_eq_cstr(nx_gw_req_query(req, "fail"), "1") ? NX_EIO : NX_OK;
}

static nx_err endless(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    static const char block_of[65536];
    nx_err err = NX_OK;
    (void)self;
    (void)reterr;
    atomic_fetch_add(&shared.n_streams, 1);
    if (nx_slice_eq_cstr(nx_gw_req_query(req, "quiet"), "1")) { /* waits for something to say */
        err = nx_gw_resp_write(resp, NX_SLICE_NULL);
        while (err == NX_OK && !nx_gw_req_is_canceled(req)) {
            struct timespec ms = {0, 10000000};
            (void)nanosleep(&ms, NULL);
        }
        err = nx_gw_resp_write(resp, NX_SLICE_NULL);
    }
    while (err == NX_OK) {
        err = nx_gw_resp_write(resp, nx_slice_make(block_of, sizeof block_of));
        if (err == NX_OK)
            atomic_fetch_add(&shared.written, sizeof block_of);
    }
    atomic_store(&shared.ended_with, err);
    atomic_fetch_sub(&shared.n_streams, 1);
    return err;
}

static nx_err large(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    (void)self;
    (void)req;
    (void)reterr;
    nx_gw_resp_content_type(resp, "application/octet-stream");
    nx_err err = nx_buf_reserve(nx_gw_resp_body(resp), 8u << 20);
    for (unsigned i = 0; err == NX_OK && i < 8192; i++)
        err = nx_buf_append(nx_gw_resp_body(resp), (char[1024]){(char)i}, 1024);
    return err;
}

static const nx_gw_param runs_query[] = {{"limit", "int", "At most so many"}, {"status", "string", "That ended so"}, {0}};
static const nx_gw_route_doc runs_doc = {.name = "runs", .query = runs_query}, none_doc = {.name = "none"};

static const nx_gw_admin_route routes[] = {
    {"GET", "/healthz", fast, NX_GW_ROUTE_FAST, 0, NULL},
    {"GET", "/api/v1/events", list, 0, 0, NULL},
    {"GET", "/api/v1/runs", list, 0, 0, &runs_doc},
    {"GET", "/probe", list, NX_GW_ROUTE_ANY_QUERY, 0, &none_doc},
    {"GET", "/bare", list, 0, 0, &none_doc},
    {"GET", "/api/v1/events/{id}", show, 0, 0, NULL},
    {"POST", "/api/v1/events/{id}", show, 0, 0, NULL},
    {"GET", "/api/v1/events/last", list, 0, 0, NULL},
    {"PUT", "/api/v1/artifacts/{id}", show, 0, 8u << 20, NULL},
    {"GET", "/assets/{rest...}", show, 0, 0, NULL},
    {"GET", "/fail/{what}", failing, 0, 0, NULL},
    {"GET", "/block", block, 0, 0, NULL},
    {"GET", "/lines", lines, NX_GW_ROUTE_STREAM, 0, NULL},
    {"GET", "/endless", endless, NX_GW_ROUTE_STREAM, 0, NULL},
    {"GET", "/large", large, 0, 0, NULL},
};

static void request(const char *text, raw_answer *ret)
{
    raw_exchange(address, text, strlen(text), ret);
}

static void expect(const char *text, int status, const char *body)
{
    raw_answer a;
    request(text, &a);
    if (a.status != status || (body && strcmp(a.body ? a.body : "", body) != 0))
        fail_msg("%s: %d \"%s\", expected %d \"%s\"", text, a.status, a.body ? a.body : "", status, body ? body : "");
    raw_answer_done(&a);
}

#define L "Host: localhost\r\n"

static void test_admin_routes_and_parameters(void **state)
{
    (void)state;
    expect("GET /healthz HTTP/1.1\r\n" L "\r\n", 200, "ok\n");
    expect("GET /api/v1/events HTTP/1.1\r\n" L "\r\n", 200, "list /api/v1/events");
    expect("GET /api/v1/events/last HTTP/1.1\r\n" L "\r\n", 200, "list /api/v1/events/last");
    expect("GET /api/v1/events/a%2Fb?q=x+y%21&q=2&empty HTTP/1.1\r\n" L "X-Agent: me\r\n\r\n", 201, "GET|a/b||x y!|0|3|me|");
    expect("POST /api/v1/events/7?none HTTP/1.1\r\n" L "Content-Length: 4\r\n\r\nbody", 201, "POST|7|||1|1||body");
    expect("GET /assets/js/app.js HTTP/1.1\r\n" L "\r\n", 201, "GET||js/app.js||0|0||");
    expect("GET /assets/ HTTP/1.1\r\n" L "\r\n", 201, "GET||||0|0||");
    expect("GET /api/v1/events/ HTTP/1.1\r\n" L "\r\n", 404, NULL);
    expect("GET /api/v1/events/1/2 HTTP/1.1\r\n" L "\r\n", 404, NULL);
    expect("GET /assets HTTP/1.1\r\n" L "\r\n", 404, NULL);
    expect("GET /api/v1/events/%ff HTTP/1.1\r\n" L "\r\n", 400, NULL);
    expect("GET /api/v1/events/1?q=%zz HTTP/1.1\r\n" L "\r\n", 400, NULL);
    raw_answer a;
    request("DELETE /api/v1/events/1 HTTP/1.1\r\n" L "\r\n", &a);
    assert_int_equal(a.status, 405);
    assert_non_null(strstr(a.head, "Allow: GET, HEAD, POST"));
    raw_answer_done(&a);
    request("GET /api/v1/events/1 HTTP/1.1\r\n" L "\r\n", &a);
    assert_non_null(strstr(a.head, "X-Extra: 1"));
    raw_answer_done(&a);
}

#define UNKNOWN(what, takes)                                                                                                            \
    "{\"type\":\"about:blank\",\"title\":\"Bad Request\",\"status\":400,\"detail\":\"there is no query parameter " what " takes " takes \
    "\",\"code\":\"NX_EINVAL\"}"

static void test_admin_refuses_query_parameters_that_a_route_does_not_take(void **state)
{
    (void)state;
    expect("GET /api/v1/runs?status=ok&limit=1&limit=2 HTTP/1.1\r\n" L "\r\n", 200, "list /api/v1/runs");
    expect("GET /api/v1/runs?limit=1&limti HTTP/1.1\r\n" L "\r\n", 400, UNKNOWN("\\\"limti\\\": GET /api/v1/runs", "limit, status"));
    expect("GET /api/v1/runs?%6Cimit=1 HTTP/1.1\r\n" L "\r\n", 200, "list /api/v1/runs");
    expect("GET /bare?x=1 HTTP/1.1\r\n" L "\r\n", 400, UNKNOWN("\\\"x\\\": GET /bare", "none"));
    expect("GET /bare? HTTP/1.1\r\n" L "\r\n", 200, "list /bare");
    expect("GET /probe?verbose HTTP/1.1\r\n" L "\r\n", 200, "list /probe");
}

static void test_admin_head_has_no_body(void **state)
{
    (void)state;
    raw_conn c;
    raw_answer a;
    char value[32];
    raw_open(&c, address);
    assert_true(raw_puts(&c, "HEAD /large HTTP/1.1\r\n" L "\r\nHEAD /lines HTTP/1.1\r\n" L "\r\nGET /healthz HTTP/1.1\r\n" L "\r\n"));
    raw_read(&c, true, &a);
    assert_true(raw_header(&a, "Content-Length", value, sizeof value));
    assert_string_equal(value, "8388608");
    raw_answer_done(&a);
    raw_read(&c, true, &a);
    assert_int_equal(a.status, 200);
    raw_answer_done(&a);
    raw_read(&c, false, &a);
    assert_string_equal(a.body, "ok\n");
    raw_answer_done(&a);
    raw_close(&c);
}

static void test_admin_errors_are_problems(void **state)
{
    (void)state;
    raw_answer a;
    request("GET /fail/gone HTTP/1.1\r\n" L "\r\n", &a);
    assert_int_equal(a.status, 404);
    assert_string_equal(a.body, "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,\"detail\":\"no event \\\"01X\\\"\",\"code\":\"NX_ENOENT\"}");
    raw_answer_done(&a);
    request("GET /fail/away HTTP/1.1\r\n" L "\r\n", &a);
    assert_int_equal(a.status, 503);
    assert_non_null(strstr(a.head, "Retry-After: 1"));
    assert_non_null(strstr(a.body, "event log not available"));
    raw_answer_done(&a);
    expect("GET /fail/bug HTTP/1.1\r\n" L "\r\n", 500, NULL);
    request("GET /fail/much HTTP/1.1\r\n" L "\r\n", &a);
    assert_int_equal(a.status, 413);
    assert_non_null(strstr(a.body, "the answer is more than 160 MiB"));
    raw_answer_done(&a);
}

static void test_admin_body_limits_per_route(void **state)
{
    (void)state;
    static char body[2u << 20];
    raw_conn c;
    raw_answer a;
    memset(body, 'z', sizeof body);
    raw_open(&c, address);
    assert_true(raw_puts(&c, "PUT /api/v1/artifacts/x HTTP/1.1\r\n" L "Content-Length: 2097152\r\n\r\n"));
    assert_true(raw_send(&c, body, sizeof body));
    raw_read(&c, false, &a);
    assert_int_equal(a.status, 201);
    assert_int_equal(a.body_n, strlen("PUT|x|||0|0||") + sizeof body);
    raw_answer_done(&a);
    raw_close(&c);
    expect("PUT /api/v1/artifacts/x HTTP/1.1\r\n" L "Content-Length: 8388609\r\n\r\n", 413, NULL);
    expect("POST /api/v1/events/x HTTP/1.1\r\n" L "Content-Length: 1048577\r\n\r\n", 413, NULL);
}

static void test_admin_refuses_foreign_hosts_and_pages(void **state)
{
    (void)state;
    char own[256];
    expect("GET /healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n", 421, NULL);
    expect("GET /healthz HTTP/1.1\r\nHost: localhost.evil.example\r\n\r\n", 421, NULL);
    expect("GET /healthz HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n", 421, NULL);
    expect("GET http://evil.example/healthz HTTP/1.1\r\n" L "\r\n", 421, NULL);
    expect("GET /healthz HTTP/1.1\r\nHost: 127.0.0.1:8081\r\n\r\n", 200, NULL);
    expect("GET /healthz HTTP/1.1\r\nHost: LocalHost\r\n\r\n", 200, NULL);
    expect("GET /healthz HTTP/1.1\r\nHost: admin.test\r\n\r\n", 200, NULL);
    expect("GET /healthz HTTP/1.1\r\n" L "Origin: http://evil.example\r\n\r\n", 403, NULL);
    expect("GET /healthz HTTP/1.1\r\n" L "Origin: null\r\n\r\n", 403, NULL);
    expect("GET /healthz HTTP/1.1\r\nHost: localhost:1\r\nOrigin: http://localhost:2\r\n\r\n", 403, NULL);
    expect("GET /healthz HTTP/1.1\r\nHost: localhost:1\r\nOrigin: http://localhost:1\r\nSec-Fetch-Site: same-origin\r\n\r\n", 200, NULL);
    expect("GET /healthz HTTP/1.1\r\n" L "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n\r\n", 403, NULL);
    expect("GET /healthz HTTP/1.1\r\n" L "Sec-Fetch-Site: same-site\r\nSec-Fetch-Mode: cors\r\n\r\n", 403, NULL);
    expect("GET /healthz HTTP/1.1\r\n" L "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n\r\n", 200, NULL);
    expect("POST /api/v1/events/1 HTTP/1.1\r\n" L "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: navigate\r\n\r\n", 403, NULL);
    (void)snprintf(own, sizeof own, "GET /healthz HTTP/1.1\r\nHost: %s\r\nOrigin: http://%s\r\n\r\n", address, address);
    expect(own, 200, NULL);
}

static void test_admin_stream_is_whole(void **state)
{
    (void)state;
    raw_conn c;
    raw_answer a;
    raw_open(&c, address);
    assert_true(raw_puts(&c, "GET /lines HTTP/1.1\r\n" L "\r\nGET /healthz HTTP/1.1\r\n" L "\r\n"));
    raw_read(&c, false, &a);
    assert_int_equal(a.status, 200);
    assert_non_null(strstr(a.head, "Transfer-Encoding: chunked"));
    assert_non_null(strstr(a.head, "application/x-ndjson"));
    assert_memory_equal(a.body, "{\"n\":0}\n{\"n\":1}\n", 16);
    assert_string_equal(a.body + a.body_n - 10, "{\"n\":999}\n");
    raw_answer_done(&a);
    raw_read(&c, false, &a);
    assert_string_equal(a.body, "ok\n");
    raw_answer_done(&a);
    raw_close(&c);
    request("GET /lines HTTP/1.0\r\n" L "\r\n", &a);
    assert_null(strstr(a.head, "chunked"));
    assert_string_equal(a.body + a.body_n - 10, "{\"n\":999}\n");
    raw_answer_done(&a);
}

static void test_admin_stream_that_fails_is_cut(void **state)
{
    (void)state;
    raw_answer a;
    request("GET /lines?fail=1 HTTP/1.1\r\n" L "\r\n", &a);
    assert_true(a.is_closed); /* no last chunk */
    raw_answer_done(&a);
}

static bool eventually(bool (*is_so)(void))
{
    for (int i = 0; i < 500; i++) {
        struct timespec ms = {0, 10000000};
        if (is_so())
            return true;
        (void)nanosleep(&ms, NULL);
    }
    return false;
}

static bool no_streams(void)
{
    return atomic_load(&shared.n_streams) == 0;
}

static bool one_stream(void)
{
    return atomic_load(&shared.n_streams) == 1;
}

/* A client that reads nothing: the handler is held back, and ends when the client goes. */
static void test_admin_stream_has_back_pressure(void **state)
{
    (void)state;
    raw_conn c;
    uint64_t last = 1, now = 0;
    atomic_store(&shared.written, 0);
    raw_open(&c, address);
    assert_true(raw_puts(&c, "GET /endless HTTP/1.1\r\n" L "\r\n"));
    for (int i = 0; i < 100 && now != last; i++) {
        struct timespec ms = {0, 100000000};
        last = now;
        (void)nanosleep(&ms, NULL);
        now = atomic_load(&shared.written);
    }
    assert_int_equal(now, last);
    assert_true(now > 0 && now < 32u << 20);
    raw_close(&c);
    assert_true(eventually(no_streams));
    assert_int_equal(atomic_load(&shared.ended_with), NX_ECLOSED);
}

static void test_admin_quiet_stream_sees_the_client_leave(void **state)
{
    (void)state;
    raw_conn c;
    raw_open(&c, address);
    assert_true(raw_puts(&c, "GET /endless?quiet=1 HTTP/1.1\r\n" L "\r\n"));
    assert_true(eventually(one_stream));
    raw_close(&c);
    assert_true(eventually(no_streams));
    assert_int_equal(atomic_load(&shared.ended_with), NX_ECLOSED);
}

static bool all_workers_blocked(void)
{
    (void)pthread_mutex_lock(&shared.mu);
    bool is_so = shared.n_blocked >= 8;
    (void)pthread_mutex_unlock(&shared.mu);
    return is_so;
}

static void test_admin_full_pool_is_503(void **state)
{
    (void)state;
    enum { N = 8 + 64 };
    static raw_conn c[N];
    raw_answer a;
    (void)pthread_mutex_lock(&shared.mu);
    shared.n_blocked = 0;
    shared.may_go = false;
    (void)pthread_mutex_unlock(&shared.mu);
    for (int i = 0; i < N; i++) {
        raw_open(&c[i], address);
        assert_true(raw_puts(&c[i], "GET /block HTTP/1.1\r\n" L "\r\n"));
    }
    assert_true(eventually(all_workers_blocked));
    for (int i = 0; i < 200; i++) { /* until the node has read all of them */
        request("GET /block HTTP/1.1\r\n" L "Connection: close\r\n\r\n", &a);
        if (a.status == 503)
            break;
        raw_answer_done(&a);
    }
    assert_int_equal(a.status, 503);
    assert_non_null(strstr(a.head, "Retry-After: 1"));
    raw_answer_done(&a);
    expect("GET /healthz HTTP/1.1\r\n" L "\r\n", 200, "ok\n"); /* the loop is free */
    expect("GET /lines HTTP/1.1\r\n" L "\r\n", 200, NULL);     /* streams have their own threads */
    raw_close(&c[0]);                                          /* the handler of a client that left still ends well */
    (void)pthread_mutex_lock(&shared.mu);
    shared.may_go = true;
    (void)pthread_cond_broadcast(&shared.changed);
    (void)pthread_mutex_unlock(&shared.mu);
    for (int i = 1; i < N; i++) {
        raw_read(&c[i], false, &a);
        assert_int_equal(a.status, 200);
        raw_answer_done(&a);
        raw_close(&c[i]);
    }
}

static void test_admin_bad_routes_are_said(void **state)
{
    (void)state;
    static const nx_gw_admin_route bad[][2] = {
        {{"GET", "x", fast, 0, 0, NULL}, {"GET", "/y", fast, 0, 0, NULL}},
        {{"GET", "/a//b", fast, 0, 0, NULL}, {"GET", "/y", fast, 0, 0, NULL}},
        {{"GET", "/{}", fast, 0, 0, NULL}, {"GET", "/y", fast, 0, 0, NULL}},
        {{"GET", "/{a}b", fast, 0, 0, NULL}, {"GET", "/y", fast, 0, 0, NULL}},
        {{"GET", "/{a...}/b", fast, 0, 0, NULL}, {"GET", "/y", fast, 0, 0, NULL}},
        {{"GET", "/{a}/x", fast, 0, 0, NULL}, {"GET", "/{b}/x", fast, 0, 0, NULL}},
        {{"GET", "/y", fast, 0, 128u << 20, NULL}, {"GET", "/z", fast, 0, 0, NULL}},
    };
    nx_gw_admin_options o = {.listen = {.address = NX_SLICE("127.0.0.1:0")}};
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++) {
        nx_gw_admin *a;
        nx_error e = NX_ERROR_INIT;
        assert_int_equal(nx_gw_admin_new(&o, bad[i], 2, NULL, &a, &e), NX_EINVAL);
        assert_true(e.msg[0] != '\0');
    }
}

static int setup(void **state)
{
    (void)state;
    nx_error e = NX_ERROR_INIT;
    const nx_slice hosts[] = {NX_SLICE("admin.test")};
    nx_gw_admin_options o = {.listen = {.address = NX_SLICE("127.0.0.1:0")}, .allowed_hosts = hosts, .n_allowed_hosts = 1};
    if (nx_gw_admin_new(&o, routes, NX_ARRAY_LEN(routes), &shared, &admin, &e) != NX_OK || nx_gw_admin_start(admin, &e) != NX_OK) {
        print_error("%s\n", e.msg);
        return 1;
    }
    nx_gw_admin_bound_address(admin, address, sizeof address);
    return 0;
}

/* Stops with a stream open that would never end by itself. */
static void test_admin_stop_cancels_streams(void **state)
{
    (void)state;
    raw_conn quiet, loud;
    raw_answer a;
    raw_open(&quiet, address);
    assert_true(raw_puts(&quiet, "GET /endless?quiet=1 HTTP/1.1\r\n" L "\r\n"));
    raw_open(&loud, address);
    assert_true(raw_puts(&loud, "GET /endless HTTP/1.1\r\n" L "\r\n"));
    for (int i = 0; i < 500 && atomic_load(&shared.n_streams) < 2; i++) {
        struct timespec ms = {0, 10000000};
        (void)nanosleep(&ms, NULL);
    }
    uint64_t begin = nx_clock_ns();
    nx_gw_admin_stop(admin, 500);
    assert_true(nx_clock_ns() - begin < 20 * NX_NS_PER_S);
    assert_true(no_streams());
    raw_read(&quiet, false, &a);
    raw_answer_done(&a);
    raw_close(&quiet);
    raw_close(&loud);
}

static int teardown(void **state)
{
    (void)state;
    nx_gw_admin_free(admin);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_admin_routes_and_parameters),
        cmocka_unit_test(test_admin_refuses_query_parameters_that_a_route_does_not_take),
        cmocka_unit_test(test_admin_head_has_no_body),
        cmocka_unit_test(test_admin_errors_are_problems),
        cmocka_unit_test(test_admin_body_limits_per_route),
        cmocka_unit_test(test_admin_refuses_foreign_hosts_and_pages),
        cmocka_unit_test(test_admin_stream_is_whole),
        cmocka_unit_test(test_admin_stream_that_fails_is_cut),
        cmocka_unit_test(test_admin_stream_has_back_pressure),
        cmocka_unit_test(test_admin_quiet_stream_sees_the_client_leave),
        cmocka_unit_test(test_admin_full_pool_is_503),
        cmocka_unit_test(test_admin_bad_routes_are_said),
        cmocka_unit_test(test_admin_stop_cancels_streams),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
