/* The Nth allocation fails, for every N: each function reports it, leaks nothing and leaves its arguments usable.
 * malloc and its kin are replaced for this program; sanitizers have their own, so there the test only runs the functions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nx/event.h"
#include "nx/httpc.h"
#include "nx/run.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CAN_FAIL 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CAN_FAIL 0
#endif
#endif
#ifndef CAN_FAIL
#define CAN_FAIL 1
#endif

static __thread long countdown; /* 0: off; 1: the next one fails */
static __thread bool has_failed;
static __thread long balance; /* allocations that were not freed, while counting */

#if CAN_FAIL
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t count, size_t n);
void *__libc_realloc(void *p, size_t n);
void __libc_free(void *p);
void *malloc(size_t n);
void *calloc(size_t count, size_t n);
void *realloc(void *p, size_t n);
void free(void *p);

static bool fails(void)
{
    if (countdown == 0 || --countdown != 0) return false;
    has_failed = true;
    return true;
}

void *malloc(size_t n)
{
    if (fails()) return NULL;
    void *p = __libc_malloc(n);
    balance += p != NULL;
    return p;
}
void *calloc(size_t count, size_t n)
{
    if (fails()) return NULL;
    void *p = __libc_calloc(count, n);
    balance += p != NULL;
    return p;
}
void *realloc(void *p, size_t n)
{
    if (fails()) return NULL;
    void *q = __libc_realloc(p, n);
    balance += !p && q;
    return q;
}
void free(void *p)
{
    balance -= p != NULL;
    __libc_free(p);
}
#endif

static const nx_slice event_json = NX_SLICE("{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/s\",\"type\":\"t\",\"ext\":\"v\",\"data\":{\"a\":[1,2,{\"b\":\"c\"}]}}");

static nx_err do_json(void)
{
    nx_json *j = NULL;
    nx_err err = nx_json_parse(event_json, SIZE_MAX, &j, NULL);
    if (err) return err;
    nx_buf b = NX_BUF_INIT(4096);
    err = nx_json_dump(j, &b);
    nx_json_free(j);
    nx_buf_done(&b);
    return err;
}

static nx_err do_event(void)
{
    nx_arena a = NX_ARENA_INIT(1u << 20);
    nx_event e = {.wall_ns = 0}, copy;
    nx_buf b = NX_BUF_INIT(4096);
    nx_err err = nx_event_from_json(event_json, &a, &e, NULL);
    if (!err) err = nx_event_dup(&e, &a, &copy);
    if (!err) err = nx_event_to_json(&copy, &b);
    nx_buf_done(&b);
    nx_arena_done(&a);
    return err;
}

static nx_run run, back;

static nx_err do_run(void)
{
    nx_effect f = {.name = NX_SLICE("kv.get"), .answer = NX_SLICE("x")};
    run = (nx_run){.run_id = nx_raw_id(1), .event_id = nx_raw_id(2), .function = NX_SLICE("f"), .effects = &f, .n_effects = 1};
    nx_arena a = NX_ARENA_INIT(1u << 20);
    nx_buf b = NX_BUF_INIT(1u << 20);
    nx_err err = nx_run_encode(&run, &b);
    if (!err) err = nx_run_decode(nx_buf_view(&b), &a, &back, NULL);
    nx_buf_done(&b);
    nx_arena_done(&a);
    return err;
}

static nx_err do_digest(void)
{
    const uint8_t seed[32] = {1};
    nx_sha256_ctx *c = nx_sha256_ctx_new();
    nx_chacha *r = c ? nx_chacha_new(seed) : NULL;
    nx_err err = c && r ? NX_OK : NX_ENOMEM;
    nx_chacha_free(r);
    nx_sha256_ctx_free(c);
    return err;
}

static nx_err do_httpc(void)
{
    nx_httpc *c = NULL;
    nx_err err = nx_httpc_new(&c, NULL);
    nx_httpc_free(c);
    return err;
}

static nx_err do_printf(void)
{
    char big[2000];
    memset(big, 'x', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    nx_buf b = NX_BUF_INIT(10000);
    nx_err err = nx_buf_printf(&b, "%s", big);
    if (err && b.n != 0) err = NX_EBUG;
    nx_buf_done(&b);
    return err;
}

static void fail_each(const char *name, nx_err (*fn)(void), bool is_warm)
{
    for (long n = 1; n < 500; n++) {
        long before = balance;
        has_failed = false;
        countdown = n;
        nx_err err = fn();
        countdown = 0;
        if (is_warm && balance != before) fail_msg("%s: %ld blocks lost when allocation %ld fails", name, balance - before, n);
        if (!has_failed) {
            assert_int_equal(err, NX_OK);
            return;
        }
        if (err != NX_ENOMEM) fail_msg("%s: %s when allocation %ld fails", name, nx_err_name(err), n);
    }
    fail_msg("%s: more allocations than expected", name);
}

static void check(const char *name, nx_err (*fn)(void))
{
    assert_int_equal(fn(), NX_OK);
    if (!CAN_FAIL) return;
    fail_each(name, fn, false); /* libraries allocate some things once per thread, also for their errors */
    fail_each(name, fn, true);
}

static void test_every_allocation_may_fail(void **state)
{
    (void)state;
    check("json", do_json);
    check("event", do_event);
    check("run", do_run);
    check("digest", do_digest);
    check("httpc", do_httpc);
    check("printf", do_printf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_every_allocation_may_fail)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
