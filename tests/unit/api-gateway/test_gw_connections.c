/* Connections: pipelines, slow and vanishing clients, limits, half-closes, TLS, drain and stop. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_node.h"
#include "nx/clock.h"
#include "nx/gateway.h"
#include "raw_http.h"

#define GET_OK "POST /events/t HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"

static fake_node node;
static char address[NX_GW_ADDRESS_MAX];

static nx_gw *start(nx_gw_listen listen)
{
    nx_gw *gw;
    nx_error e = NX_ERROR_INIT;
    listen.address = NX_SLICE("127.0.0.1:0");
    nx_gw_options o = {.listen = listen, .ops = &node.ops, .ops_self = &node};
    if (nx_gw_new(&o, &gw, &e) != NX_OK || nx_gw_start(gw, &e) != NX_OK)
        fail_msg("%s", e.msg);
    nx_gw_bound_address(gw, address, sizeof address);
    return gw;
}

static int read_status(raw_conn *c)
{
    raw_answer a;
    raw_read(c, false, &a);
    int status = a.status;
    raw_answer_done(&a);
    return status;
}

static void test_gw_pipeline_is_answered_in_order(void **state)
{
    (void)state;
    enum { N = 200 };
    nx_gw *gw = start((nx_gw_listen){0});
    nx_buf all = NX_BUF_INIT(1 << 20);
    raw_conn c;
    raw_answer a;

    for (int i = 0; i < N; i++) { /* waits, refusals and acceptances mixed */
        char body[32];
        int n = snprintf(body, sizeof body, "%d", i);
        assert_int_equal(nx_buf_printf(&all, "POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%s",
                                       i % 5 == 4 ? "/nothing" : "/hello", n, body),
                         NX_OK);
    }
    raw_open(&c, address);
    assert_true(raw_send(&c, all.p, all.n));
    for (int i = 0; i < N; i++) {
        char expected[64];
        raw_read(&c, false, &a);
        (void)snprintf(expected, sizeof expected, "Processed: %d", i);
        if (i % 5 == 4) {
            assert_int_equal(a.status, 404);
        } else {
            assert_int_equal(a.status, 200);
            assert_string_equal(a.body, expected);
        }
        raw_answer_done(&a);
    }
    raw_close(&c);
    nx_buf_done(&all);
    nx_gw_free(gw);
}

/* While a request waits, a client can't fill the node's memory with the next ones. */
static void test_gw_pipeline_behind_a_waiting_request_is_bounded(void **state)
{
    (void)state;
    static char block[65536];
    nx_gw *gw = start((nx_gw_listen){.loops = 1});
    raw_conn c;
    size_t sent = 0;
    ssize_t n = 0;

    for (size_t i = 0; i + sizeof(GET_OK) - 1 <= sizeof block; i += sizeof(GET_OK) - 1)
        memcpy(block + i, GET_OK, sizeof(GET_OK) - 1);
    size_t whole = sizeof block / (sizeof(GET_OK) - 1) * (sizeof(GET_OK) - 1);
    raw_open(&c, address);
    assert_true(raw_puts(&c, "POST /events/hang HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"));
    assert_true(fake_node_wait_hanging(&node, 1));
    for (int i = 0; i < 200; i++) {
        size_t at = sent % whole;
        n = send(c.fd, block + at, whole - at, MSG_DONTWAIT | MSG_NOSIGNAL);
        struct timespec ms = {0, 1000000};
        if (n > 0)
            sent += (size_t)n;
        else
            (void)nanosleep(&ms, NULL);
    }
    assert_true(n < 0); /* the kernel's buffers are full: the node has stopped reading */
    nx_gw_stats stats;
    nx_gw_get_stats(gw, &stats);
    assert_true(stats.bytes_in < 300000);
    fake_node_finish(&node);
    assert_int_equal(read_status(&c), 202);
    for (size_t i = 0; i < 1000; i++)
        assert_int_equal(read_status(&c), 202);
    raw_close(&c);
    nx_gw_free(gw);
}

static void test_gw_continue_is_sent_before_the_body(void **state)
{
    (void)state;
    nx_gw *gw = start((nx_gw_listen){0});
    raw_conn c;
    raw_open(&c, address);
    assert_true(raw_puts(&c, "POST /hello HTTP/1.1\r\nHost: a\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n"));
    assert_int_equal(read_status(&c), 100);
    assert_true(raw_puts(&c, "hi"));
    assert_int_equal(read_status(&c), 200);
    assert_true(raw_puts(&c, "POST /hello HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n"));
    assert_int_equal(read_status(&c), 413);
    assert_true(raw_is_closed(&c));
    raw_close(&c);
    nx_gw_free(gw);
}

static uint64_t ms_since(uint64_t start_ns)
{
    return (nx_clock_ns() - start_ns) / NX_NS_PER_MS;
}

static void test_gw_slow_head_is_408(void **state)
{
    (void)state;
    nx_gw *gw = start((nx_gw_listen){.head_timeout_ms = 300});
    raw_conn c;
    uint64_t begin = nx_clock_ns();
    raw_open(&c, address);
    assert_true(raw_puts(&c, "POST /events/t HTTP/1.1\r\n"));
    for (int i = 0; i < 100 && ms_since(begin) < 1000; i++) { /* a byte now and then does not move the deadline */
        struct timespec ms = {0, 20000000};
        if (!raw_puts(&c, "X"))
            break;
        (void)nanosleep(&ms, NULL);
        if (i == 50)
            fail_msg("still reading after a second");
        char tmp;
        if (recv(c.fd, &tmp, 1, MSG_PEEK | MSG_DONTWAIT) == 1)
            break;
    }
    assert_int_equal(read_status(&c), 408);
    assert_true(ms_since(begin) >= 290);
    assert_true(raw_is_closed(&c));
    raw_close(&c);
    nx_gw_free(gw);
}

static void test_gw_slow_body_is_408(void **state)
{
    (void)state;
    nx_gw *gw = start((nx_gw_listen){.body_timeout_ms = 300});
    raw_conn c;
    nx_gw_stats stats;
    raw_open(&c, address);
    assert_true(raw_puts(&c, "POST /events/t HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc"));
    assert_int_equal(read_status(&c), 408);
    assert_true(raw_is_closed(&c));
    raw_close(&c);
    nx_gw_get_stats(gw, &stats);
    assert_int_equal(stats.timeouts_total, 1);
    nx_gw_free(gw);
}

static void test_gw_idle_and_silent_connections_are_closed(void **state)
{
    (void)state;
    nx_gw *gw = start((nx_gw_listen){.head_timeout_ms = 300, .idle_timeout_ms = 300});
    raw_conn silent, idle;
    raw_open(&silent, address);
    raw_open(&idle, address);
    assert_true(raw_puts(&idle, GET_OK));
    assert_int_equal(read_status(&idle), 202);
    assert_true(raw_is_closed(&silent));
    assert_true(raw_is_closed(&idle));
    raw_close(&silent);
    raw_close(&idle);
    nx_gw_free(gw);
}

static void test_gw_client_that_reads_nothing_is_cut_off(void **state)
{
    (void)state;
    nx_gw *gw = start((nx_gw_listen){.body_timeout_ms = 300, .loops = 1});
    raw_conn c;
    int small = 4096;
    nx_gw_stats stats = {0};
    uint64_t begin = nx_clock_ns();
    raw_open(&c, address);
    (void)setsockopt(c.fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    assert_true(raw_puts(&c, "POST /events/big HTTP/1.1\r\nHost: a\r\nPrefer: wait=5\r\nContent-Length: 0\r\n\r\n"
                             "POST /events/big HTTP/1.1\r\nHost: a\r\nPrefer: wait=5\r\nContent-Length: 0\r\n\r\n"));
    while (stats.timeouts_total == 0 && ms_since(begin) < 5000) {
        struct timespec ms = {0, 10000000};
        (void)nanosleep(&ms, NULL);
        nx_gw_get_stats(gw, &stats);
    }
    assert_int_equal(stats.timeouts_total, 1);
    raw_close(&c);
    nx_gw_free(gw);
    assert_int_equal(atomic_load(&node.n_answers_out), 0);
}

static void test_gw_client_that_leaves_abandons_its_wait(void **state)
{
    (void)state;
    nx_gw *gw = start((nx_gw_listen){0});
    raw_conn c;
    unsigned before = node.n_abandoned;
    raw_open(&c, address);
    assert_true(raw_puts(&c, "POST /events/hang HTTP/1.1\r\nHost: a\r\nPrefer: wait=60\r\nContent-Length: 0\r\n\r\n"));
    assert_true(fake_node_wait_hanging(&node, 1));
    raw_close(&c);
    assert_true(fake_node_wait_abandoned(&node, before + 1));
    nx_gw_free(gw);
}

static void test_gw_half_closed_client_gets_its_acceptance(void **state)
{
    (void)state;
    nx_gw *gw = start((nx_gw_listen){0});
    raw_conn c;
    raw_open(&c, address);
    assert_true(raw_puts(&c, "POST /events/hang HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n" GET_OK));
    raw_half_close(&c);
    assert_true(fake_node_wait_hanging(&node, 1));
    fake_node_finish(&node);
    assert_int_equal(read_status(&c), 202);
    assert_int_equal(read_status(&c), 202);
    assert_true(raw_is_closed(&c));
    raw_close(&c);
    nx_gw_free(gw);
}

static void test_gw_reset_while_storing_is_survived(void **state)
{
    (void)state;
    nx_gw *gw = start((nx_gw_listen){0});
    struct linger hard = {1, 0};
    for (int i = 0; i < 50; i++) {
        raw_conn c;
        raw_open(&c, address);
        assert_true(raw_puts(&c, i % 2 ? "POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi" : GET_OK));
        (void)setsockopt(c.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof hard);
        raw_close(&c);
    }
    raw_conn c;
    raw_open(&c, address);
    assert_true(raw_puts(&c, GET_OK));
    assert_int_equal(read_status(&c), 202);
    raw_close(&c);
    nx_gw_free(gw);
    assert_int_equal(atomic_load(&node.n_answers_out), 0);
}

static void test_gw_connections_over_the_limit_are_503(void **state)
{
    (void)state;
    nx_gw *gw = start((nx_gw_listen){.max_connections = 2});
    raw_conn c[3];
    nx_gw_stats stats;
    for (int i = 0; i < 2; i++) {
        raw_open(&c[i], address);
        assert_true(raw_puts(&c[i], GET_OK));
        assert_int_equal(read_status(&c[i]), 202);
    }
    raw_open(&c[2], address);
    (void)raw_puts(&c[2], GET_OK);
    assert_int_equal(read_status(&c[2]), 503);
    assert_true(raw_is_closed(&c[2]));
    nx_gw_get_stats(gw, &stats);
    assert_int_equal(stats.connections, 2);
    assert_int_equal(stats.connections_refused, 1);
    raw_close(&c[2]);
    raw_close(&c[0]);
    int status = 0;
    for (int i = 0; i < 200 && status != 202; i++) { /* the place is free once the node has seen the end */
        raw_open(&c[2], address);
        (void)raw_puts(&c[2], GET_OK);
        status = read_status(&c[2]);
        if (status != 202)
            raw_close(&c[2]);
    }
    assert_int_equal(status, 202);
    raw_close(&c[1]);
    raw_close(&c[2]);
    nx_gw_free(gw);
}

static uint64_t buffered_bytes(const nx_gw *gw)
{
    nx_gw_stats stats;
    nx_gw_get_stats(gw, &stats);
    return stats.buffered_bytes;
}

/* Many clients with large bodies that never end are no way to the node's memory; the next one is told to come back. */
static void test_gw_bodies_of_all_connections_together_are_bounded(void **state)
{
    (void)state;
    nx_gw *gw = start((nx_gw_listen){.max_body_bytes = 65536, .max_buffered_bytes = 100000});
    static char body[60000];
    const char *head = "POST /events/t HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n";
    raw_conn slow, next;
    raw_answer a;
    char value[32];
    memset(body, 'x', sizeof body);
    raw_open(&slow, address);
    assert_true(raw_puts(&slow, head) && raw_send(&slow, body, sizeof body - 1));
    for (int i = 0; i < 5000 && buffered_bytes(gw) < sizeof body - 1; i++)
        usleep(1000);
    assert_int_equal(buffered_bytes(gw), sizeof body - 1);
    raw_open(&next, address);
    (void)(raw_puts(&next, head) && raw_send(&next, body, sizeof body));
    raw_read(&next, false, &a);
    assert_int_equal(a.status, 503);
    assert_true(raw_header(&a, "retry-after", value, sizeof value));
    assert_non_null(strstr(a.body, "over 100000 bytes"));
    raw_answer_done(&a);
    raw_close(&next);
    assert_true(raw_send(&slow, body, 1));
    assert_int_equal(read_status(&slow), 202);
    for (int i = 0; i < 2; i++) { /* what was answered holds nothing any more */
        assert_true(raw_puts(&slow, head) && raw_send(&slow, body, sizeof body));
        assert_int_equal(read_status(&slow), 202);
    }
    raw_close(&slow);
    for (int i = 0; i < 5000 && buffered_bytes(gw) > 0; i++)
        usleep(1000);
    assert_int_equal(buffered_bytes(gw), 0);
    nx_gw_free(gw);
}

typedef struct drain_arg {
    nx_gw *gw;
    nx_err result;
} drain_arg;

static void *drain_main(void *arg)
{
    drain_arg *d = arg;
    d->result = nx_gw_drain(d->gw, 5000);
    return NULL;
}

static void test_gw_drain_finishes_what_was_accepted(void **state)
{
    (void)state;
    nx_gw *gw = start((nx_gw_listen){0});
    drain_arg d = {gw, NX_EBUG};
    pthread_t thread;
    raw_conn waiting, idle, busy;
    raw_answer a;
    char value[64];

    raw_open(&idle, address);
    assert_true(raw_puts(&idle, GET_OK));
    assert_int_equal(read_status(&idle), 202);
    raw_open(&busy, address);
    assert_true(raw_puts(&busy, GET_OK));
    assert_int_equal(read_status(&busy), 202);
    raw_open(&waiting, address);
    assert_true(raw_puts(&waiting, "POST /events/hang HTTP/1.1\r\nHost: a\r\nPrefer: wait=9\r\nContent-Length: 0\r\n\r\n"));
    assert_true(fake_node_wait_hanging(&node, 1));
    assert_true(raw_puts(&busy, "POST /events/t HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{"));
    assert_int_equal(pthread_create(&thread, NULL, drain_main, &d), 0);
    assert_true(raw_is_closed(&idle)); /* after its grace */
    assert_true(raw_puts(&busy, "}")); /* begun before: served, and told to go */
    raw_read(&busy, false, &a);
    assert_int_equal(a.status, 202);
    assert_true(raw_header(&a, "Connection", value, sizeof value));
    assert_string_equal(value, "close");
    raw_answer_done(&a);
    assert_true(raw_is_closed(&busy));
    raw_close(&idle);
    raw_close(&busy);
    fake_node_finish(&node);
    assert_int_equal(read_status(&waiting), 200);
    raw_close(&waiting);
    (void)pthread_join(thread, NULL);
    assert_int_equal(d.result, NX_OK);
    nx_gw_free(gw);
}

static void test_gw_drain_ends_at_its_deadline(void **state)
{
    (void)state;
    nx_gw *gw = start((nx_gw_listen){0});
    raw_conn c;
    unsigned before = node.n_abandoned;
    raw_open(&c, address);
    assert_true(raw_puts(&c, "POST /events/hang HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n"));
    assert_true(fake_node_wait_hanging(&node, 1));
    assert_int_equal(nx_gw_drain(gw, 50), NX_ETIMEOUT);
    nx_gw_stop(gw);
    assert_int_equal(node.n_abandoned, before + 1);
    raw_close(&c);
    nx_gw_free(gw);
}

static void test_gw_address_in_use_is_said(void **state)
{
    (void)state;
    nx_gw *gw = start((nx_gw_listen){.loops = 2}), *second;
    nx_error e = NX_ERROR_INIT;
    for (unsigned loops = 1; loops <= 2; loops++) { /* also where both would set SO_REUSEPORT */
        nx_gw_options o = {.listen = {.address = nx_slice_cstr(address), .loops = loops}, .ops = &node.ops, .ops_self = &node};
        assert_int_equal(nx_gw_new(&o, &second, &e), NX_OK);
        assert_int_equal(nx_gw_start(second, &e), NX_EEXIST);
        assert_non_null(strstr(e.msg, address));
        nx_gw_free(second);
    }
    nx_gw_free(gw);
}

static void test_gw_bad_options_are_said(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "8080", "example.com:80", "127.0.0.1:99999", "127.0.0.1:", "[::1:80", "1.2.3:80"};
    nx_gw *gw;
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++) {
        nx_error e = NX_ERROR_INIT;
        nx_gw_options o = {.listen = {.address = nx_slice_cstr(bad[i])}, .ops = &node.ops, .ops_self = &node};
        assert_int_equal(nx_gw_new(&o, &gw, &e), NX_EINVAL);
        assert_true(e.msg[0] != '\0');
    }
}

/* ---- TLS */

static char dir[] = "/tmp/nx-gw-test-XXXXXX";
static char cert[128], key[128], other_key[128];

static bool run(const char *command)
{
    int rc = system(command);
    return WIFEXITED(rc) && WEXITSTATUS(rc) == 0;
}

static void make_certificate(void)
{
    char command[1024];
    assert_non_null(mkdtemp(dir));
    (void)snprintf(cert, sizeof cert, "%s/cert.pem", dir);
    (void)snprintf(key, sizeof key, "%s/key.pem", dir);
    (void)snprintf(other_key, sizeof other_key, "%s/other.pem", dir);
    (void)snprintf(command, sizeof command,
                   "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout %s -out %s -days 2 -subj /CN=localhost "
                   "-addext subjectAltName=DNS:localhost >/dev/null 2>&1 && "
                   "openssl ecparam -genkey -name prime256v1 -noout -out %s >/dev/null 2>&1",
                   key, cert, other_key);
    assert_true(run(command));
}

static SSL_CTX *client_ctx(void)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    static const unsigned char alpn[] = "\x02h2\x08http/1.1";
    assert_non_null(ctx);
    assert_int_equal(SSL_CTX_load_verify_locations(ctx, cert, NULL), 1);
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    assert_int_equal(SSL_CTX_set_alpn_protos(ctx, alpn, sizeof alpn - 1), 0);
    return ctx;
}

static void test_gw_tls(void **state)
{
    (void)state;
    nx_gw *gw = start((nx_gw_listen){.tls_cert = nx_slice_cstr(cert), .tls_key = nx_slice_cstr(key)});
    SSL_CTX *ctx = client_ctx();
    raw_conn c;
    raw_answer a;
    const unsigned char *alpn;
    unsigned alpn_n;
    static char body[300000];

    assert_true(nx_gw_is_tls(gw));
    raw_open_tls(&c, address, ctx);
    assert_non_null(c.ssl);
    SSL_get0_alpn_selected(c.ssl, &alpn, &alpn_n);
    assert_int_equal(alpn_n, 8);
    assert_memory_equal(alpn, "http/1.1", 8);
    memset(body, 'b', sizeof body);
    for (int i = 0; i < 3; i++) {
        assert_true(raw_puts(&c, "POST /hello HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300000\r\n\r\n"));
        assert_true(raw_send(&c, body, sizeof body));
        raw_read(&c, false, &a);
        assert_int_equal(a.status, 200);
        assert_int_equal(a.body_n, 11 + sizeof body);
        assert_memory_equal(a.body + 11, body, sizeof body);
        raw_answer_done(&a);
    }
    assert_true(raw_puts(&c, "POST /events/big HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=5\r\nContent-Length: 0\r\n\r\n" GET_OK));
    raw_read(&c, false, &a);
    assert_int_equal(a.body_n, 4u << 20);
    raw_answer_done(&a);
    assert_int_equal(read_status(&c), 202);
    assert_true(raw_puts(&c, "POST /events/t HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n"));
    assert_int_equal(read_status(&c), 400);
    raw_close(&c);
    SSL_CTX_free(ctx);
    nx_gw_free(gw);
}

static void test_gw_tls_refuses_old_versions_and_plain_text(void **state)
{
    (void)state;
    nx_gw *gw = start((nx_gw_listen){.tls_cert = nx_slice_cstr(cert), .tls_key = nx_slice_cstr(key), .head_timeout_ms = 300});
    SSL_CTX *ctx = client_ctx();
    raw_conn c;
    static const unsigned char h2[] = "\x02h2";
    SSL_CTX_set_security_level(ctx, 0);
    assert_int_equal(SSL_CTX_set_min_proto_version(ctx, TLS1_1_VERSION), 1);
    assert_int_equal(SSL_CTX_set_max_proto_version(ctx, TLS1_1_VERSION), 1);
    raw_open_tls(&c, address, ctx);
    assert_null(c.ssl);
    raw_close(&c);
    SSL_CTX_free(ctx);
    ctx = client_ctx();
    assert_int_equal(SSL_CTX_set_alpn_protos(ctx, h2, sizeof h2 - 1), 0);
    raw_open_tls(&c, address, ctx);
    assert_null(c.ssl);
    raw_close(&c);
    SSL_CTX_free(ctx);
    raw_open(&c, address);
    assert_true(raw_puts(&c, GET_OK));
    raw_answer a;
    raw_read(&c, false, &a);
    assert_int_equal(a.status, 0);
    raw_answer_done(&a);
    raw_close(&c);
    raw_open(&c, address); /* a handshake that is never begun */
    assert_true(raw_is_closed(&c));
    raw_close(&c);
    nx_gw_free(gw);
}

static void test_gw_tls_file_errors_name_the_file(void **state)
{
    (void)state;
    const struct {
        const char *cert, *key, *says;
    } table[] = {
        {"/nonexistent/cert.pem", key, "/nonexistent/cert.pem"},
        {cert, "/nonexistent/key.pem", "/nonexistent/key.pem"},
        {cert, other_key, "does not belong"},
        {key, key, key},
        {cert, "", "the key is missing"},
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(table); i++) {
        nx_gw *gw;
        nx_error e = NX_ERROR_INIT;
        nx_gw_options o = {.listen = {.address = NX_SLICE("127.0.0.1:0"), .tls_cert = nx_slice_cstr(table[i].cert), .tls_key = nx_slice_cstr(table[i].key)},
                           .ops = &node.ops,
                           .ops_self = &node};
        assert_int_not_equal(nx_gw_new(&o, &gw, &e), NX_OK);
        if (!strstr(e.msg, table[i].says))
            fail_msg("\"%s\" does not say \"%s\"", e.msg, table[i].says);
    }
}

static int setup(void **state)
{
    (void)state;
    fake_node_init(&node);
    make_certificate();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    (void)unlink(cert);
    (void)unlink(key);
    (void)unlink(other_key);
    (void)rmdir(dir);
    fake_node_done(&node);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gw_pipeline_is_answered_in_order),
        cmocka_unit_test(test_gw_pipeline_behind_a_waiting_request_is_bounded),
        cmocka_unit_test(test_gw_continue_is_sent_before_the_body),
        cmocka_unit_test(test_gw_slow_head_is_408),
        cmocka_unit_test(test_gw_slow_body_is_408),
        cmocka_unit_test(test_gw_idle_and_silent_connections_are_closed),
        cmocka_unit_test(test_gw_client_that_reads_nothing_is_cut_off),
        cmocka_unit_test(test_gw_client_that_leaves_abandons_its_wait),
        cmocka_unit_test(test_gw_half_closed_client_gets_its_acceptance),
        cmocka_unit_test(test_gw_reset_while_storing_is_survived),
        cmocka_unit_test(test_gw_connections_over_the_limit_are_503),
        cmocka_unit_test(test_gw_bodies_of_all_connections_together_are_bounded),
        cmocka_unit_test(test_gw_drain_finishes_what_was_accepted),
        cmocka_unit_test(test_gw_drain_ends_at_its_deadline),
        cmocka_unit_test(test_gw_address_in_use_is_said),
        cmocka_unit_test(test_gw_bad_options_are_said),
        cmocka_unit_test(test_gw_tls),
        cmocka_unit_test(test_gw_tls_refuses_old_versions_and_plain_text),
        cmocka_unit_test(test_gw_tls_file_errors_name_the_file),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
