/* W3C Trace Context: parsing, formatting, tracestate. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nx/trace.h"

#define GOOD "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static void test_trace_parse_good(void **state)
{
    (void)state;
    nx_trace t;
    assert_int_equal(nx_trace_parse(NX_SLICE(GOOD), &t), NX_OK);
    assert_string_equal(t.trace_id, "0af7651916cd43dd8448eb211c80319c");
    assert_string_equal(t.span_id, "b7ad6b7169203331");
    assert_int_equal(t.flags, 1);
    char out[NX_TRACEPARENT_LEN + 1];
    assert_int_equal(nx_trace_format(&t, out), NX_TRACEPARENT_LEN);
    assert_string_equal(out, GOOD);
    assert_int_equal(nx_trace_parse(NX_SLICE(" " GOOD "\t"), &t), NX_OK);
    assert_int_equal(nx_trace_parse(NX_SLICE("cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-what-the-future"), &t), NX_OK);
    assert_int_equal(nx_trace_parse(NX_SLICE("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff"), &t), NX_OK);
    assert_int_equal(t.flags, 1); /* only what this level knows */
}

static void test_trace_parse_refuses(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "00",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0AF7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x",
        "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x",
        "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
        "0g-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c8031-9cb7ad6b7169203331-01",
    };
    nx_trace t = {.trace_id = "x"};
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++)
        if (nx_trace_parse(nx_slice_cstr(bad[i]), &t) != NX_EPARSE) fail_msg("%s", bad[i]);
    assert_string_equal(t.trace_id, "x");
}

static void test_trace_new_and_child(void **state)
{
    (void)state;
    nx_trace a, b, parsed;
    nx_trace_new(&a);
    nx_trace_child(&a, &b);
    assert_string_equal(a.trace_id, b.trace_id);
    assert_string_not_equal(a.span_id, b.span_id);
    nx_trace_child(&b, &b); /* in place */
    assert_string_equal(a.trace_id, b.trace_id);
    char out[NX_TRACEPARENT_LEN + 1];
    assert_int_equal(nx_trace_parse(nx_slice_make(out, nx_trace_format(&b, out)), &parsed), NX_OK);
    assert_memory_equal(&parsed.span_id, &b.span_id, sizeof b.span_id);
}

static void test_tracestate(void **state)
{
    (void)state;
    static const char *const good[] = {"", "rojo=00f067aa0ba902b7", "a=1,b=2", "a=1 , \tb=2", "fw529a3039@dt=FfVAAAAAAAAA", "a=1,,b=2", "a= x y", "a_-*/1=z"};
    static const char *const bad[] = {"a", "=1", "A=1", "a=1,a=2", "a=", "1a=2", "a@=1", "@b=1", "a@B=1", "a=1=2", "a b=1", "a=\x01", "a@b@c=1", "a=\xc3\xa9"};
    for (size_t i = 0; i < NX_ARRAY_LEN(good); i++)
        if (!nx_tracestate_is_valid(nx_slice_cstr(good[i]))) fail_msg("%s", good[i]);
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++)
        if (nx_tracestate_is_valid(nx_slice_cstr(bad[i]))) fail_msg("%s", bad[i]);
    char text[600];
    size_t n = 0;
    for (int i = 0; i < 33; i++) n += (size_t)snprintf(text + n, sizeof text - n, "%sk%d=v", i ? "," : "", i);
    assert_false(nx_tracestate_is_valid(nx_slice_make(text, n))); /* 33 members */
    assert_true(nx_tracestate_is_valid(nx_slice_make(text, n - 6)));
    memset(text, 'v', sizeof text);
    memcpy(text, "k=", 2);
    assert_false(nx_tracestate_is_valid(nx_slice_make(text, 513)));
    assert_false(nx_tracestate_is_valid(nx_slice_make(text, 2 + 257)));
    assert_true(nx_tracestate_is_valid(nx_slice_make(text, 2 + 256)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trace_parse_good),
        cmocka_unit_test(test_trace_parse_refuses),
        cmocka_unit_test(test_trace_new_and_child),
        cmocka_unit_test(test_tracestate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
