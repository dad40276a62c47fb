/* Every allocation of ours fails once: an error comes back, nothing leaks, nothing is half done.
 * Allocations are failed by their caller: those from this program (our code is linked into it) and not those of libfyaml or libc,
 * whose own handling is not ours to test. Sanitizers own malloc(), so there is nothing to do in their builds. */
#include "config_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#ifdef NX_SANITIZER
static void test_config_survives_failing_allocations(void **state)
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

static long countdown = -1; /* allocations of ours until one fails; below 0: none does */
static long live;           /* blocks not freed */
static bool is_counting;

static bool fails(const void *caller)
{
    const char *at = caller;
    if (!is_counting || at < __executable_start || at >= etext || countdown < 0) return false;
    return countdown-- == 0;
}

void *malloc(size_t n)
{
    if (fails(__builtin_return_address(0))) return NULL;
    live += is_counting;
    return __libc_malloc(n);
}

void *calloc(size_t count, size_t n)
{
    if (fails(__builtin_return_address(0))) return NULL;
    live += is_counting;
    return __libc_calloc(count, n);
}

void *realloc(void *p, size_t n)
{
    if (fails(__builtin_return_address(0))) return NULL;
    live += is_counting && !p;
    return __libc_realloc(p, n);
}

void free(void *p)
{
    live -= is_counting && p;
    __libc_free(p);
}

static nx_err try_once(nx_slice text, unsigned flags)
{
    nx_config *c = NULL;
    nx_config_issues issues = {0};
    nx_error e = NX_ERROR_INIT;
    nx_buf out = NX_BUF_INIT(1u << 16);
    nx_err err = nx_config_parse(text, "nexus.yaml", "/tmp", flags, &c, &issues, &e);
    if (err == NX_OK) {
        nx_jw w = NX_JW_INIT(&out);
        err = nx_fn_config_to_json(&c->functions[0], &w);
    } else if (err == NX_EINVAL) {
        nx_err text_err = nx_config_issues_text(&issues, &out);
        if (text_err) err = text_err;
    }
    nx_buf_done(&out);
    nx_config_unref(c);
    nx_config_issues_done(&issues);
    return err;
}

static void fail_each_allocation(const char *text, nx_err expected)
{
    nx_slice s = nx_slice_cstr(text);
    assert_int_equal(try_once(s, 0), expected); /* warms up what libraries keep */
    for (long n = 0;; n++) {
        assert_true(n < 100000);
        live = 0;
        countdown = n;
        is_counting = true;
        nx_err err = try_once(s, 0);
        is_counting = false;
        bool was_enough = countdown >= 0;
        countdown = -1;
        if (live) fail_msg("allocation %ld failed: %ld blocks left", n, live);
        if (was_enough) {
            assert_int_equal(err, expected);
            assert_true(n > 5); /* or nothing was counted */
            return;
        }
        if (err != NX_ENOMEM) fail_msg("allocation %ld failed: %s instead of NX_ENOMEM", n, nx_err_name(err));
    }
}

static void test_config_survives_failing_allocations(void **state)
{
    (void)state;
    fail_each_allocation("version: v1\nname: x\nlog: {level: debug}\nsecrets: {A: {file: a}, B: {env: B}}\nfunctions:\n"
                         "  - {name: f, secrets: {read: [A], env: {E: B}}, on: {http: {path: /x}, nats: [a, b], event: c}, code: f.wasm, env: {A: b, C: d}, build: {watch: [a]}}\n"
                         "  - {name: g, on: {event: c}, code: g.wasm}\n",
                         NX_OK);
    fail_each_allocation("version: v2\nlistne: 1\nname: &a b\nfunctions:\n  - {name: f, on: {}, code: f.wasm, timeout: 5}\n  - {name: f, a: 1, b: 2, c: 3, d: 4}\n",
                         NX_EINVAL);
    fail_each_allocation("a: [1\n", NX_EINVAL);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_survives_failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
