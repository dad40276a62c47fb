/* The HTTP client against a small server on a thread: answers, limits, streams, failures. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "http_help.h"
#include "nx/httpc.h"

/* Answers requests by their path, on kept-open connections, one at a time, until it is asked for /quit. */
typedef struct server {
    int fd, port, n_connections;
    pthread_t thread;
    pthread_mutex_t mu;
    char last_request[8192]; /* under mu */
} server;

static void answer(int c, const char *path)
{
    static const char *const answers[][2] = {
        {"/json", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nNexus-Event-Id:  01KAZV1HZ30000000000000000 \r\nContent-Length: 2\r\n\r\n{}"},
        {"/none", "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope"},
        {"/stream", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nline1\r\n5\r\nline2\r\n0\r\n\r\n"},
        {"/short", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this"},
        {"/quit", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(answers); i++)
        if (strcmp(path, answers[i][0]) == 0) (void)!write(c, answers[i][1], strlen(answers[i][1]));
}

static void *serve(void *self)
{
    server *s = self;
    for (bool is_over = false; !is_over;) {
        int c = accept(s->fd, NULL, NULL);
        if (c < 0) break;
        pthread_mutex_lock(&s->mu);
        s->n_connections++;
        pthread_mutex_unlock(&s->mu);
        char request[sizeof s->last_request] = "";
        while (http_help_read(c, request, sizeof request)) {
            char path[64] = "";
            sscanf(request, "%*s %63s", path);
            pthread_mutex_lock(&s->mu);
            memcpy(s->last_request, request, sizeof request);
            pthread_mutex_unlock(&s->mu);
            if (strcmp(path, "/hang") == 0) continue; /* no answer: the client's timeout ends the connection */
            answer(c, path);
            is_over = strcmp(path, "/quit") == 0;
            if (is_over || strcmp(path, "/short") == 0) break;
        }
        close(c);
    }
    return NULL;
}

static server srv = {.mu = PTHREAD_MUTEX_INITIALIZER};
static nx_httpc *client;

static int setup(void **state)
{
    (void)state;
    srv.fd = http_help_listen(&srv.port);
    if (srv.fd < 0) return -1;
    /* A proxy of the environment must not stand between the command and its own node. */
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    return pthread_create(&srv.thread, NULL, serve, &srv) || nx_httpc_new(&client, NULL);
}

static const char *last_request(void)
{
    static char copy[sizeof srv.last_request];
    pthread_mutex_lock(&srv.mu);
    memcpy(copy, srv.last_request, sizeof copy);
    pthread_mutex_unlock(&srv.mu);
    return copy;
}

static int n_connections(void)
{
    pthread_mutex_lock(&srv.mu);
    int n = srv.n_connections;
    pthread_mutex_unlock(&srv.mu);
    return n;
}

static nx_err get(const char *path, nx_httpc_req *req, nx_httpc_resp *resp, nx_error *err)
{
    char url[128];
    snprintf(url, sizeof url, "http://127.0.0.1:%d%s", srv.port, path);
    req->url = url;
    if (!req->method) req->method = "GET";
    if (!req->timeout_ms) req->timeout_ms = 5000;
    return nx_httpc_do(client, req, resp, err);
}

static int teardown(void **state)
{
    (void)state;
    nx_httpc_req req = {.method = "GET"};
    nx_httpc_resp resp = {.body = NX_BUF_INIT(100)};
    nx_error err = NX_ERROR_INIT;
    nx_err rc = get("/quit", &req, &resp, &err);
    nx_buf_done(&resp.body);
    nx_httpc_free(client);
    nx_httpc_free(NULL);
    pthread_join(srv.thread, NULL);
    close(srv.fd);
    return rc;
}

static void test_httpc_get_keeps_its_connection(void **state)
{
    (void)state;
    nx_httpc_resp resp = {.body = NX_BUF_INIT(100)};
    nx_error err = NX_ERROR_INIT;
    for (int i = 0; i < 3; i++) {
        nx_httpc_req req = {.method = "GET"};
        assert_int_equal(get("/json", &req, &resp, &err), NX_OK);
        assert_int_equal(resp.status, 200);
        assert_true(nx_slice_eq_cstr(nx_buf_view(&resp.body), "{}"));
        assert_string_equal(resp.content_type, "application/json");
        assert_string_equal(resp.event_id, "01KAZV1HZ30000000000000000");
    }
    nx_httpc_req req = {.method = "GET"};
    assert_int_equal(get("/none", &req, &resp, &err), NX_OK); /* any status is an answer */
    assert_int_equal(resp.status, 404);
    assert_string_equal(resp.event_id, "");
    assert_string_equal(resp.content_type, "");
    assert_int_equal(n_connections(), 1);
    nx_buf_done(&resp.body);
}

static void test_httpc_post_sends_body_and_headers(void **state)
{
    (void)state;
    const char *headers[] = {"Content-Type: application/json", "X-Test: 1", NULL};
    nx_httpc_req req = {.method = "POST", .headers = headers, .body = NX_SLICE("{\"a\":1}")};
    nx_httpc_resp resp = {.body = NX_BUF_INIT(100)};
    assert_int_equal(get("/json", &req, &resp, NULL), NX_OK);
    assert_memory_equal(last_request(), "POST /json HTTP/1.1\r\n", 21);
    assert_non_null(strstr(last_request(), "Content-Type: application/json\r\n"));
    assert_non_null(strstr(last_request(), "X-Test: 1\r\n"));
    assert_non_null(strstr(last_request(), "\r\n\r\n{\"a\":1}"));
    assert_null(strstr(last_request(), "Expect"));
    nx_httpc_req bare = {.method = "PUT", .body = NX_SLICE("x")};
    assert_int_equal(get("/json", &bare, &resp, NULL), NX_OK);
    assert_memory_equal(last_request(), "PUT ", 4);
    assert_null(strstr(last_request(), "Content-Type"));
    nx_httpc_req empty = {.method = "POST"};
    assert_int_equal(get("/json", &empty, &resp, NULL), NX_OK);
    assert_non_null(strstr(last_request(), "Content-Length: 0\r\n"));
    nx_httpc_req del = {.method = "DELETE"};
    assert_int_equal(get("/json", &del, &resp, NULL), NX_OK);
    assert_memory_equal(last_request(), "DELETE ", 7);
    nx_buf_done(&resp.body);
}

static int collect(void *self, nx_slice piece)
{
    nx_buf *b = self;
    (void)nx_buf_append_slice(b, piece);
    return b->n > 5 && b->max == 999 ? 1 : 0;
}

static void test_httpc_streams(void **state)
{
    (void)state;
    nx_buf all = NX_BUF_INIT(100);
    nx_httpc_req req = {.method = "GET", .on_data = collect, .self = &all};
    nx_httpc_resp resp = {.body = NX_BUF_INIT(100)};
    assert_int_equal(get("/stream", &req, &resp, NULL), NX_OK);
    assert_true(nx_slice_eq_cstr(nx_buf_view(&all), "line1line2"));
    assert_int_equal(resp.body.n, 0);
    nx_buf_clear(&all);
    all.max = 999; /* makes the callback stop */
    nx_httpc_req stop = {.method = "GET", .on_data = collect, .self = &all};
    assert_int_equal(get("/stream", &stop, &resp, NULL), NX_ECANCELED);
    nx_buf_done(&all);
    nx_buf_done(&resp.body);
}

static void test_httpc_failures(void **state)
{
    (void)state;
    nx_httpc_resp resp = {.body = NX_BUF_INIT(3)};
    nx_error err = NX_ERROR_INIT;
    nx_httpc_req req = {.method = "GET"};
    assert_int_equal(get("/none", &req, &resp, &err), NX_ELIMIT); /* four bytes */
    nx_buf_done(&resp.body);
    resp.body.max = 100;
    nx_httpc_req slow = {.method = "GET", .timeout_ms = 50};
    assert_int_equal(get("/hang", &slow, &resp, &err), NX_ETIMEOUT);
    nx_httpc_req cut = {.method = "GET"};
    assert_int_equal(get("/short", &cut, &resp, &err), NX_ECLOSED);

    int fd = socket(AF_INET, SOCK_STREAM, 0); /* a port that nobody listens on */
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    char url[64];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", ntohs(a.sin_port));
    nx_httpc_req refused = {.method = "GET", .url = url, .timeout_ms = 5000};
    assert_int_equal(nx_httpc_do(client, &refused, &resp, &err), NX_EUNAVAIL);
    assert_non_null(strstr(err.msg, url)); /* says who could not be reached */
    close(fd);
    nx_httpc_req file = {.method = "GET", .url = "file:///etc/passwd", .timeout_ms = 1000};
    assert_int_equal(nx_httpc_do(client, &file, &resp, &err), NX_EINVAL);
    nx_buf_done(&resp.body);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_httpc_get_keeps_its_connection),
        cmocka_unit_test(test_httpc_post_sends_body_and_headers),
        cmocka_unit_test(test_httpc_streams),
        cmocka_unit_test(test_httpc_failures),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
