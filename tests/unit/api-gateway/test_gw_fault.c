/* Every allocation of a loop's thread fails once, while requests are read, decoded, stored and answered: the client hears 503 or nothing,
 * never a wrong acceptance; the next request is served; nothing leaks. Allocations of libraries are theirs to handle and never fail here.
 * Sanitizers own malloc(), so there is nothing to do in their builds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_node.h"
#include "nx/gateway.h"
#include "raw_http.h"

#ifdef NX_SANITIZER
static void test_gw_survives_failing_allocations(void **state)
{
    (void)state;
    skip();
}
#else
/* glibc's own names behind the ones that are replaced here. */
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t count, size_t n);
extern void *__libc_realloc(void *p, size_t n);
extern void __libc_free(void *p);
extern char __executable_start[], etext[];

static _Atomic long countdown = -1; /* allocations of loops until one fails; below 0: none does */
static _Atomic long live;           /* blocks not freed */

static bool is_loop(void)
{
    static __thread signed char known; /* 1: a loop's thread, -1: another */
    char name[16];
    if (known == 0 && pthread_getname_np(pthread_self(), name, sizeof name) == 0)
        known = strncmp(name, "nx-gw-0", 7) == 0 || strcmp(name, "nx-gw-admin") == 0 ? 1 : -1;
    return known == 1;
}

static bool fails(const void *caller)
{
    const char *at = caller;
    if (at < __executable_start || at >= etext || atomic_load(&countdown) < 0 || !is_loop())
        return false;
    return atomic_fetch_sub(&countdown, 1) == 0;
}

void *malloc(size_t n)
{
    if (fails(__builtin_return_address(0)))
        return NULL;
    atomic_fetch_add(&live, 1);
    return __libc_malloc(n);
}

void *calloc(size_t count, size_t n)
{
    if (fails(__builtin_return_address(0)))
        return NULL;
    atomic_fetch_add(&live, 1);
    return __libc_calloc(count, n);
}

void *realloc(void *p, size_t n)
{
    if (fails(__builtin_return_address(0)))
        return NULL;
    if (!p)
        atomic_fetch_add(&live, 1);
    return __libc_realloc(p, n);
}

void free(void *p)
{
    if (p)
        atomic_fetch_sub(&live, 1);
    __libc_free(p);
}

static fake_node node;
static char event_address[NX_GW_ADDRESS_MAX], admin_address[NX_GW_ADDRESS_MAX];

static nx_err echo(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    (void)self;
    (void)reterr;
    return nx_buf_append_slice(nx_gw_resp_body(resp), nx_gw_req_body(req));
}

static nx_err stream(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_err err = NX_OK;
    (void)self;
    (void)req;
    (void)reterr;
    for (int i = 0; err == NX_OK && i < 20; i++)
        err = nx_gw_resp_write(resp, NX_SLICE("{}\n"));
    return err;
}

static int status_of(const char *address, const nx_buf *request)
{
    raw_conn c;
    raw_answer a;
    raw_open(&c, address);
    (void)raw_send(&c, request->p, request->n);
    raw_read(&c, false, &a);
    int status = a.status;
    raw_answer_done(&a);
    raw_close(&c);
    return status;
}

static void fail_each_allocation(const char *address, const nx_buf *request, int good)
{
    bool is_over = false;
    long n;
    assert_int_equal(status_of(address, request), good);
    for (n = 0; n < 500 && !is_over; n++) {
        unsigned before = fake_node_count(&node);
        atomic_store(&countdown, n);
        int status = status_of(address, request);
        is_over = atomic_exchange(&countdown, -1) >= 0; /* not reached: every one has failed once */
        if (status != good && status != 503 && status != 0)
            fail_msg("allocation %ld: status %d", n, status);
        if (good == 202 && status == 202)
            assert_int_equal(fake_node_count(&node), before + 1);
        assert_int_equal(status_of(address, request), good);
    }
    assert_true(is_over);
    assert_true(n > 3);
}

static void serve(void)
{
    static const nx_gw_admin_route routes[] = {
        {"POST", "/fast", echo, NX_GW_ROUTE_FAST, 0, NULL},
        {"POST", "/echo/{id}", echo, 0, 0, NULL},
        {"GET", "/stream", stream, NX_GW_ROUTE_STREAM, 0, NULL},
    };
    static char data[40000];
    nx_gw *gw;
    nx_gw_admin *admin;
    nx_buf r = NX_BUF_INIT(1 << 20);
    nx_gw_options o = {.listen = {.address = NX_SLICE("127.0.0.1:0"), .loops = 1},
                       .ops = &node.ops,
                       .ops_self = &node,
                       .is_batch_enabled = true};
    nx_gw_admin_options ao = {.listen = {.address = NX_SLICE("127.0.0.1:0")}};

    assert_int_equal(nx_gw_new(&o, &gw, NULL), NX_OK);
    assert_int_equal(nx_gw_start(gw, NULL), NX_OK);
    nx_gw_bound_address(gw, event_address, sizeof event_address);
    assert_int_equal(nx_gw_admin_new(&ao, routes, NX_ARRAY_LEN(routes), NULL, &admin, NULL), NX_OK);
    assert_int_equal(nx_gw_admin_start(admin, NULL), NX_OK);
    nx_gw_admin_bound_address(admin, admin_address, sizeof admin_address);
    memset(data, 'd', sizeof data - 1);

#define REQUEST(...)  \
    nx_buf_clear(&r); \
    assert_int_equal(nx_buf_printf(&r, __VA_ARGS__), NX_OK)
    REQUEST("POST /events/t HTTP/1.1\r\nHost: a\r\nX-Y: 1\r\nContent-Length: %zu\r\n\r\n%s", sizeof data - 1, data);
    fail_each_allocation(event_address, &r, 202);
    REQUEST("POST /hello HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}");
    fail_each_allocation(event_address, &r, 200);
    REQUEST("POST /nothing%%20here HTTP/1.1\r\nHost: a\r\n\r\n");
    fail_each_allocation(event_address, &r, 404);
    REQUEST("POST /fast HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\n\r\nbody");
    fail_each_allocation(admin_address, &r, 200);
    REQUEST("POST /echo/a%%20b?c=d%%20e HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n%s", sizeof data - 1, data);
    fail_each_allocation(admin_address, &r, 200);
    REQUEST("GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n");
    fail_each_allocation(admin_address, &r, 200);
#undef REQUEST
    nx_buf_done(&r);
    nx_gw_free(gw);
    nx_gw_admin_free(admin);
}

static void test_gw_survives_failing_allocations(void **state)
{
    long before = 0;
    (void)state;
    for (int round = 0; round < 2; round++) { /* the first one fills what libraries keep: stacks of threads, buffers of libc */
        before = atomic_load(&live);
        fake_node_init(&node);
        serve();
        assert_int_equal(atomic_load(&node.n_answers_out), 0);
        fake_node_done(&node);
    }
    assert_int_equal(atomic_load(&live), before);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gw_survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
