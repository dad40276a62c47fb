/* Outbound HTTP against small servers on threads: answers, redirects, limits, deadlines, and names that lead to where they must not.
 * Names that end in .test are resolved here, in place of the system's resolver. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "http_help.h"
#include "nx/clock.h"
#include "nx/outbound.h"

/* ---- names */

static atomic_uint n_lookups;
static atomic_bool is_resolver_stuck;

/* Stands before the system's: the linker exports it to libcurl. */
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **res)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = NULL;
    *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (!node || !nx_slice_ends(nx_slice_cstr(node), NX_SLICE(".test"))) return real(node, service, hints, res);
    atomic_fetch_add(&n_lookups, 1);
    while (strcmp(node, "stuck.test") == 0 && atomic_load(&is_resolver_stuck)) usleep(1000);
    if (strcmp(node, "none.test") == 0) return EAI_NONAME;
    struct addrinfo numeric = hints ? *hints : (struct addrinfo){0};
    numeric.ai_flags |= AI_NUMERICHOST;
    numeric.ai_family = AF_INET;
    return real("127.0.0.1", service, &numeric, res);
}

/* ---- server: one thread a connection */

typedef struct server {
    int fd, port;
    atomic_uint n_connections, n_hanging;
    pthread_t thread;
    pthread_mutex_t mu;
    char last_request[16384]; /* under mu */
} server;

static server here = {.mu = PTHREAD_MUTEX_INITIALIZER}, there = {.mu = PTHREAD_MUTEX_INITIALIZER};

static void say(int c, const char *text) { (void)!send(c, text, strlen(text), MSG_NOSIGNAL); }

static void say_huge(int c, bool has_length)
{
    static char block[65536];
    say(c, has_length ? "HTTP/1.1 200 OK\r\nContent-Length: 104857600\r\n\r\n" : "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    for (int i = 0; i < 1600; i++)
        if (send(c, block, sizeof block, MSG_NOSIGNAL) <= 0) return;
}

static void say_many_headers(int c)
{
    say(c, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 300; i++) say(c, "X-Many: 1\r\n");
    say(c, "Content-Length: 0\r\n\r\n");
}

/* "/redirect/STATUS/PORT/PATH" redirects to PATH on that port of 127.0.0.1; PORT 0: on this one, relative. */
static void redirect(int c, const char *path)
{
    int status, port, at = 0;
    char head[512];
    if (sscanf(path, "/redirect/%d/%d%n", &status, &port, &at) != 2) return;
    if (port) snprintf(head, sizeof head, "HTTP/1.1 %d X\r\nContent-Length: 3\r\nLocation: http://127.0.0.1:%d%s\r\n\r\nold", status, port, path + at);
    else snprintf(head, sizeof head, "HTTP/1.1 %d X\r\nContent-Length: 3\r\nLocation: %s\r\n\r\nold", status, path + at);
    say(c, head);
}

static void hang(server *s, int c)
{
    char one;
    atomic_fetch_add(&s->n_hanging, 1);
    (void)!read(c, &one, 1); /* until the client is gone */
    atomic_fetch_sub(&s->n_hanging, 1);
}

/* False: the connection is over. */
static bool answer(server *s, int c, const char *path)
{
    static const char *const answers[][2] = {
        {"/json", "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nSet-Cookie: a=b\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\n{}"},
        {"/none", "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\n\r\nnope"},
        {"/empty", "HTTP/1.1 204 No Content\r\n\r\n"},
        {"/chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nline1\r\n5\r\nline2\r\n0\r\nX-Trailer: no\r\n\r\n"},
        {"/early", "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1"},
        {"/loop", "HTTP/1.1 302 Found\r\nLocation: /loop\r\nContent-Length: 0\r\n\r\n"},
        {"/odd", "HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n"},
        {"/injected", "HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 0\r\n\r\n"},
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(answers); i++)
        if (strcmp(path, answers[i][0]) == 0) say(c, answers[i][1]);
    if (strncmp(path, "/redirect/", 10) == 0) redirect(c, path);
    if (strcmp(path, "/many") == 0) say_many_headers(c);
    if (strcmp(path, "/hang") == 0) hang(s, c);
    else if (strcmp(path, "/huge") == 0) say_huge(c, true);
    else if (strcmp(path, "/endless") == 0) say_huge(c, false);
    else if (strcmp(path, "/short") == 0) say(c, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this");
    else if (strcmp(path, "/nine") == 0) say(c, "just bytes\r\n");
    else return true;
    return false;
}

typedef struct conn {
    server *s;
    int fd;
} conn;

static void *serve_conn(void *self)
{
    conn *c = self;
    char request[sizeof c->s->last_request];
    while (http_help_read(c->fd, request, sizeof request)) {
        char path[256] = "";
        sscanf(request, "%*s %255[^ ?]", path);
        pthread_mutex_lock(&c->s->mu);
        strcpy(c->s->last_request, request);
        pthread_mutex_unlock(&c->s->mu);
        if (!answer(c->s, c->fd, path)) break;
    }
    close(c->fd);
    free(c);
    return NULL;
}

static void *serve(void *self)
{
    server *s = self;
    for (int fd = accept(s->fd, NULL, NULL); fd >= 0; fd = accept(s->fd, NULL, NULL)) {
        pthread_t thread;
        conn *c = malloc(sizeof *c);
        *c = (conn){s, fd};
        atomic_fetch_add(&s->n_connections, 1);
        if (pthread_create(&thread, NULL, serve_conn, c) == 0) pthread_detach(thread);
    }
    return NULL;
}

static int start_server(server *s)
{
    s->fd = http_help_listen(&s->port);
    if (s->fd < 0) return -1;
    return pthread_create(&s->thread, NULL, serve, s);
}

static const char *last_request(server *s)
{
    static char copy[sizeof s->last_request];
    pthread_mutex_lock(&s->mu);
    memcpy(copy, s->last_request, sizeof copy);
    pthread_mutex_unlock(&s->mu);
    return copy;
}

/* ---- calls */

static nx_outbound *outbound;
static nx_buf out = NX_BUF_INIT(1u << 20);
static nx_error detail;

static int setup(void **state)
{
    (void)state;
    nx_outbound_options o = {.connect_timeout_ms = 2000};
    setenv("http_proxy", "http://127.0.0.1:1", 1); /* nothing of the environment stands between */
    setenv("ALL_PROXY", "http://127.0.0.1:1", 1);
    return start_server(&here) || start_server(&there) || nx_outbound_start(&o, &outbound, NULL);
}

static int teardown(void **state)
{
    (void)state;
    nx_outbound_stop(outbound);
    shutdown(here.fd, SHUT_RDWR);
    shutdown(there.fd, SHUT_RDWR);
    pthread_join(here.thread, NULL);
    pthread_join(there.thread, NULL);
    nx_buf_done(&out);
    return 0;
}

static char granted[2][64]; /* both servers by address */
static nx_slice grant_list[4];

static nx_outbound_call plan(nx_slice request)
{
    for (int i = 0; i < 2; i++) {
        snprintf(granted[i], sizeof granted[i], "http://127.0.0.1:%d", i ? there.port : here.port);
        grant_list[i] = nx_slice_cstr(granted[i]);
    }
    return (nx_outbound_call){.request = request, .grants = grant_list, .n_grants = 1, .deadline_ns = nx_clock_ns() + 10 * NX_NS_PER_S, .max_body_bytes = 1u << 16};
}

static nx_err ask(nx_outbound_call *call)
{
    nx_buf_clear(&out);
    detail = (nx_error)NX_ERROR_INIT;
    return nx_outbound_request(outbound, call, &out, &detail);
}

static char message[8192];
#define MESSAGE(...) (snprintf(message, sizeof message, __VA_ARGS__), nx_slice_cstr(message))

static void get(const char *path, const char *expected)
{
    nx_outbound_call call = plan(MESSAGE("GET http://127.0.0.1:%d%s\n\n", here.port, path));
    if (ask(&call) != NX_OK) fail_msg("%s: %s", path, detail.msg);
    if (!nx_slice_eq_cstr(nx_buf_view(&out), expected)) fail_msg("%s: %.*s", path, NX_SLICE_FMT(nx_buf_view(&out)));
}

static void get_fails(const char *path, nx_err err, const char *says)
{
    nx_outbound_call call = plan(MESSAGE("GET http://127.0.0.1:%d%s\n\n", here.port, path));
    nx_err got = ask(&call);
    if (got != err || !strstr(detail.msg, says)) fail_msg("%s: %s: %s", path, nx_err_name(got), detail.msg);
    assert_int_equal(out.n, 0);
}

static void test_request_returns_any_answer(void **state)
{
    (void)state;
    get("/json", "200\ncontent-type: application/json\nset-cookie: a=b\ncontent-length: 2\n\n{}");
    get("/none", "404\ncontent-length: 4\n\nnope");
    get("/empty", "204\n\n");
    get("/chunked", "200\n\nline1line2");
    get("/early", "200\ncontent-length: 1\n\n1");
}

static void test_request_sends_what_was_asked_and_the_trace(void **state)
{
    (void)state;
    nx_trace trace = {"0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", 1};
    nx_outbound_call call = plan(MESSAGE("POST http://127.0.0.1:%d/json?a=b#c\nX-One: 1\nX-Empty:\nAuthorization: Bearer t\n\nbody", here.port));
    call.trace = &trace;
    assert_int_equal(ask(&call), NX_OK);
    const char *sent = last_request(&here);
    assert_non_null(strstr(sent, "POST /json?a=b HTTP/1.1\r\n"));
    assert_non_null(strstr(sent, "\r\nX-One: 1\r\n"));
    assert_non_null(strstr(sent, "\r\nX-Empty:\r\n"));
    assert_non_null(strstr(sent, "\r\nAuthorization: Bearer t\r\n"));
    assert_non_null(strstr(sent, "\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n"));
    assert_non_null(strstr(sent, "\r\nContent-Length: 4\r\n"));
    assert_non_null(strstr(sent, "\r\n\r\nbody"));
    assert_null(strstr(sent, "form-urlencoded"));
    assert_null(strstr(sent, "Expect"));
    call = plan(MESSAGE("GET http://127.0.0.1:%d/json\ntraceparent: mine\n\n", here.port));
    call.trace = &trace;
    assert_int_equal(ask(&call), NX_OK);
    assert_non_null(strstr(last_request(&here), "\r\ntraceparent: mine\r\n"));
    assert_null(strstr(last_request(&here), "0af765"));
}

static void test_request_without_a_grant_is_denied_before_anything_is_sent(void **state)
{
    (void)state;
    unsigned before = atomic_load(&there.n_connections);
    nx_outbound_call call = plan(MESSAGE("GET http://127.0.0.1:%d/json\n\n", there.port));
    assert_int_equal(ask(&call), NX_EDENIED);
    assert_non_null(strstr(detail.msg, "allowed_outbound_hosts"));
    call.n_grants = 0;
    assert_int_equal(ask(&call), NX_EDENIED);
    assert_int_equal(atomic_load(&there.n_connections), before);
}

static void test_name_that_resolves_to_loopback_is_denied(void **state)
{
    (void)state;
    nx_outbound_call call = plan(MESSAGE("GET http://api.example.test:%d/json\n\n", there.port));
    unsigned before = atomic_load(&there.n_connections), lookups = atomic_load(&n_lookups);
    grant_list[0] = NX_SLICE("http://*.example.test:*");
    assert_int_equal(ask(&call), NX_EDENIED);
    assert_non_null(strstr(detail.msg, "loopback"));
    grant_list[0] = NX_SLICE("http://api.example.test:*");
    assert_int_equal(ask(&call), NX_EDENIED);
    assert_true(atomic_load(&n_lookups) > lookups);
    assert_int_equal(atomic_load(&there.n_connections), before);
    grant_list[1] = nx_slice_cstr(granted[1]); /* the address itself is named too: now it may */
    call.n_grants = 2;
    assert_int_equal(ask(&call), NX_OK);
}

/* A connection kept open by one function must not carry another one's request past its own grants. */
static void test_kept_connection_is_checked_anew(void **state)
{
    (void)state;
    nx_outbound_call call = plan(MESSAGE("GET http://kept.example.test:%d/json\n\n", there.port));
    grant_list[0] = NX_SLICE("http://kept.example.test:*");
    call.n_grants = 2;
    assert_int_equal(ask(&call), NX_OK);
    unsigned before = atomic_load(&there.n_connections);
    assert_int_equal(ask(&call), NX_OK);
    assert_int_equal(atomic_load(&there.n_connections), before); /* it is kept */
    pthread_mutex_lock(&there.mu);
    there.last_request[0] = '\0';
    pthread_mutex_unlock(&there.mu);
    call.n_grants = 1;
    assert_int_equal(ask(&call), NX_EDENIED);
    assert_non_null(strstr(detail.msg, "loopback"));
    assert_string_equal(last_request(&there), "");
}

static void test_redirects_are_followed_and_checked(void **state)
{
    (void)state;
    char path[128];
    get("/redirect/302/0/json", "200\ncontent-type: application/json\nset-cookie: a=b\ncontent-length: 2\n\n{}");
    unsigned before = atomic_load(&there.n_connections);
    snprintf(path, sizeof path, "/redirect/302/%d/json", there.port);
    get_fails(path, NX_EDENIED, "redirected");
    get_fails("/redirect/302/1/json", NX_EDENIED, "redirected");
    assert_int_equal(atomic_load(&there.n_connections), before);
    get_fails("/loop", NX_ELIMIT, "more than 5 redirects");
    get_fails("/odd", NX_EIO, "redirects to what is no URL");
}

static void test_redirect_to_another_origin_leaves_credentials_behind(void **state)
{
    (void)state;
    nx_outbound_call call = plan(MESSAGE("POST http://127.0.0.1:%d/redirect/307/%d/json\nAuthorization: Bearer t\nCookie: c\nX-Api-Key: k\nAccept: text/plain\n"
                                         "Content-Type: text/plain\n\nbody",
                                         here.port, there.port));
    call.n_grants = 2;
    assert_int_equal(ask(&call), NX_OK);
    const char *sent = last_request(&there);
    assert_non_null(strstr(sent, "POST /json"));
    assert_non_null(strstr(sent, "\r\n\r\nbody"));
    assert_non_null(strstr(sent, "Accept: text/plain"));
    assert_non_null(strstr(sent, "Content-Type: text/plain"));
    assert_null(strstr(sent, "Bearer"));
    assert_null(strstr(sent, "Cookie"));
    assert_null(strstr(sent, "X-Api-Key"));
    call.request = MESSAGE("POST http://127.0.0.1:%d/redirect/308/0/json\nAuthorization: Bearer t\n\nbody", here.port);
    assert_int_equal(ask(&call), NX_OK);
    assert_non_null(strstr(last_request(&here), "Authorization: Bearer t"));
}

static void test_redirect_changes_the_method_as_browsers_do(void **state)
{
    (void)state;
    static const struct {
        const char *method, *body;
        int status;
        const char *becomes;
    } cases[] = {{"POST", "b", 301, "GET"}, {"POST", "b", 302, "GET"}, {"POST", "b", 303, "GET"}, {"PUT", "b", 303, "GET"}, {"PUT", "b", 302, "PUT"}, {"POST", "b", 307, "POST"}, {"DELETE", "", 308, "DELETE"}, {"HEAD", "", 303, "HEAD"}};
    for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
        char start[64];
        nx_outbound_call call = plan(MESSAGE("%s http://127.0.0.1:%d/redirect/%d/0/empty\nContent-Type: x\n\n%s", cases[i].method, here.port, cases[i].status, cases[i].body));
        if (ask(&call) != NX_OK) fail_msg("%s %d: %s", cases[i].method, cases[i].status, detail.msg);
        snprintf(start, sizeof start, "%s /empty ", cases[i].becomes);
        const char *sent = last_request(&here);
        assert_int_equal(strncmp(sent, start, strlen(start)), 0);
        if (strcmp(cases[i].becomes, "GET") == 0) assert_null(strstr(sent, "Content-"));
    }
}

static void test_limits_of_answers(void **state)
{
    (void)state;
    get_fails("/huge", NX_ELIMIT, "over 65536 bytes");
    get_fails("/endless", NX_ELIMIT, "over 65536 bytes");
    get_fails("/many", NX_ELIMIT, "too many headers");
    get_fails("/injected", NX_EIO, "control character");
    get_fails("/short", NX_ECLOSED, "ended before");
    get_fails("/nine", NX_EIO, "");
}

static void test_deadline_ends_the_call(void **state)
{
    (void)state;
    nx_outbound_call call = plan(MESSAGE("GET http://127.0.0.1:%d/hang\n\n", here.port));
    uint64_t begin = nx_clock_ns();
    call.deadline_ns = begin + 50 * NX_NS_PER_MS;
    assert_int_equal(ask(&call), NX_ETIMEOUT);
    assert_true(nx_clock_ns() - begin >= 50 * NX_NS_PER_MS);
    assert_true(nx_clock_ns() - begin < 5 * NX_NS_PER_S);
    call.deadline_ns = begin; /* long past */
    assert_int_equal(ask(&call), NX_ETIMEOUT);
}

/* A name server that does not answer holds up its own call and no other. */
static void test_stuck_resolver_stops_nobody_else(void **state)
{
    (void)state;
    atomic_store(&is_resolver_stuck, true);
    nx_outbound_call call = plan(MESSAGE("GET http://stuck.test/\n\n"));
    grant_list[0] = NX_SLICE("http://stuck.test");
    call.deadline_ns = nx_clock_ns() + 50 * NX_NS_PER_MS;
    assert_int_equal(ask(&call), NX_ETIMEOUT);
    for (int i = 0; i < 40; i++) { /* more than a pool of threads may have */
        call.deadline_ns = nx_clock_ns() + 2 * NX_NS_PER_MS;
        assert_int_equal(ask(&call), NX_ETIMEOUT);
    }
    get("/none", "404\ncontent-length: 4\n\nnope");
    call = plan(MESSAGE("GET http://other.test:%d/none\n\n", there.port));
    grant_list[0] = NX_SLICE("http://other.test:*");
    call.n_grants = 2;
    assert_int_equal(ask(&call), NX_OK);
    atomic_store(&is_resolver_stuck, false);
}

/* Nor can it be used to fill the node with look-ups that never end; addresses need none. */
static void test_stuck_lookups_are_bounded(void **state)
{
    (void)state;
    nx_outbound *o;
    nx_outbound_options options = {0};
    nx_err err = NX_ETIMEOUT;
    unsigned n = 0;
    atomic_store(&is_resolver_stuck, true);
    assert_int_equal(nx_outbound_start(&options, &o, NULL), NX_OK);
    nx_outbound_call call = plan(NX_SLICE("GET http://stuck.test/\n\n"));
    grant_list[1] = NX_SLICE("http://stuck.test");
    call.n_grants = 2;
    for (; err == NX_ETIMEOUT && n < 1000; n++) {
        call.deadline_ns = nx_clock_ns() + 2 * NX_NS_PER_MS;
        nx_buf_clear(&out);
        err = nx_outbound_request(o, &call, &out, NULL);
    }
    assert_int_equal(err, NX_EBUSY);
    assert_in_range(n, 200, 999); /* on a slow machine some end before they begin */
    call = plan(MESSAGE("GET http://127.0.0.1:%d/none\n\n", here.port));
    nx_buf_clear(&out);
    assert_int_equal(nx_outbound_request(o, &call, &out, NULL), NX_OK);
    nx_outbound_stop(o); /* and the end does not wait for them */
    atomic_store(&is_resolver_stuck, false);
}

static void test_failures_have_their_codes(void **state)
{
    (void)state;
    nx_outbound_call call = plan(NX_SLICE("GET http://none.test/\n\n"));
    grant_list[0] = NX_SLICE("http://none.test");
    assert_int_equal(ask(&call), NX_EUNAVAIL);
    assert_non_null(strstr(detail.msg, "no such host"));
    call = plan(NX_SLICE("GET http://127.0.0.1:1/\n\n"));
    grant_list[0] = NX_SLICE("http://127.0.0.1:1");
    assert_int_equal(ask(&call), NX_EUNAVAIL);
    call = plan(MESSAGE("GET https://127.0.0.1:%d/\n\n", here.port)); /* no TLS there */
    grant_list[0] = NX_SLICE("https://127.0.0.1:*");
    call.deadline_ns = nx_clock_ns() + NX_NS_PER_S / 2;
    nx_err err = ask(&call);
    assert_true(err == NX_EIO || err == NX_ETIMEOUT || err == NX_ECLOSED);
    call = plan(NX_SLICE("nonsense"));
    assert_int_equal(ask(&call), NX_EINVAL);
}

/* ---- many at once */

typedef struct caller {
    nx_outbound *o;
    nx_outbound_call call;
    pthread_t thread;
    nx_err err;
} caller;

static void *ask_hanging(void *self)
{
    caller *c = self;
    nx_buf answer_buf = NX_BUF_INIT(1024);
    c->err = nx_outbound_request(c->o, &c->call, &answer_buf, NULL);
    nx_buf_done(&answer_buf);
    return NULL;
}

static void wait_depth(nx_outbound *o, unsigned in_flight, unsigned waiting)
{
    unsigned f = 0, w = 0;
    for (int i = 0; i < 5000; i++, usleep(1000)) {
        nx_outbound_depth(o, &f, &w);
        if (f == in_flight && w == waiting) return;
    }
    fail_msg("%u in flight, %u waiting", f, w);
}

static void test_full_queue_is_busy_and_cancel_ends_all(void **state)
{
    (void)state;
    nx_outbound *o;
    nx_outbound_options small = {.max_in_flight = 2, .max_waiting = 2};
    caller callers[4];
    char text[128];
    assert_int_equal(nx_outbound_start(&small, &o, NULL), NX_OK);
    nx_outbound_call call = plan(NX_SLICE_NULL);
    call.deadline_ns = nx_clock_ns() + 60 * NX_NS_PER_S;
    snprintf(text, sizeof text, "GET http://127.0.0.1:%d/hang\n\n", here.port);
    call.request = nx_slice_cstr(text);
    for (unsigned i = 0; i < 4; i++) {
        callers[i] = (caller){.o = o, .call = call};
        if (i == 3) callers[i].call.deadline_ns = nx_clock_ns() + 300 * NX_NS_PER_MS;
        assert_int_equal(pthread_create(&callers[i].thread, NULL, ask_hanging, &callers[i]), 0);
        wait_depth(o, i < 2 ? i + 1 : 2, i < 2 ? 0 : i - 1);
    }
    caller fifth = {.o = o, .call = call};
    ask_hanging(&fifth);
    assert_int_equal(fifth.err, NX_EBUSY);
    pthread_join(callers[3].thread, NULL); /* its time passes while it waits for a place */
    assert_int_equal(callers[3].err, NX_ETIMEOUT);
    nx_outbound_cancel(o);
    for (int i = 0; i < 3; i++) {
        pthread_join(callers[i].thread, NULL);
        assert_int_equal(callers[i].err, NX_ECANCELED);
    }
    ask_hanging(&fifth);
    assert_int_equal(fifth.err, NX_ECANCELED);
    nx_outbound_stop(o);
}

static void test_outcomes_have_names(void **state)
{
    (void)state;
    assert_string_equal(nx_outbound_outcome_name(nx_outbound_outcome_of(NX_OK)), "answered");
    assert_string_equal(nx_outbound_outcome_name(nx_outbound_outcome_of(NX_EDENIED)), "denied");
    assert_string_equal(nx_outbound_outcome_name(nx_outbound_outcome_of(NX_EUNAVAIL)), "failed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_request_returns_any_answer),
        cmocka_unit_test(test_request_sends_what_was_asked_and_the_trace),
        cmocka_unit_test(test_request_without_a_grant_is_denied_before_anything_is_sent),
        cmocka_unit_test(test_name_that_resolves_to_loopback_is_denied),
        cmocka_unit_test(test_kept_connection_is_checked_anew),
        cmocka_unit_test(test_redirects_are_followed_and_checked),
        cmocka_unit_test(test_redirect_to_another_origin_leaves_credentials_behind),
        cmocka_unit_test(test_redirect_changes_the_method_as_browsers_do),
        cmocka_unit_test(test_limits_of_answers),
        cmocka_unit_test(test_deadline_ends_the_call),
        cmocka_unit_test(test_stuck_resolver_stops_nobody_else),
        cmocka_unit_test(test_stuck_lookups_are_bounded),
        cmocka_unit_test(test_failures_have_their_codes),
        cmocka_unit_test(test_full_queue_is_busy_and_cancel_ends_all),
        cmocka_unit_test(test_outcomes_have_names),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
