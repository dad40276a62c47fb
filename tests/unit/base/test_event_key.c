/* Values out of events, named by paths. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "nx/config.h"
#include "nx/event_key.h"

static nx_event event(const char *data)
{
    return (nx_event){.type = NX_SLICE("order.placed"), .source = NX_SLICE("/shop"), .partition_key = NX_SLICE("p1"), .data = nx_slice_cstr(data)};
}

static void test_event_key_finds_values(void **state)
{
    (void)state;
    static const struct {
        const char *data, *path, *is; /* NULL: nothing there */
    } cases[] = {
        {"{\"customer_id\":\"c1\"}", "data.customer_id", "c1"},
        {"{\"customer_id\":\"a\\u00e9\\n\"}", "data.customer_id", "a\xc3\xa9\n"},
        {"{\"customer\":{\"id\": 17}}", "data.customer.id", "17"},
        {"{\"items\":[{\"sku\":\"x\"},{\"sku\":\"y\"}]}", "data.items[1].sku", "y"},
        {"{\"a.b\":true}", "data[\"a.b\"]", "true"},
        {"\"whole\"", "data", "whole"},
        {"{}", "data.customer_id", NULL},
        {"[1]", "data.customer_id", NULL},
        {"not json", "data.customer_id", NULL},
        {"", "data.customer_id", NULL},
        {"{}", "type", "order.placed"},
        {"{}", "source", "/shop"},
        {"{}", "partitionkey", "p1"},
        {"{}", "subject", NULL},
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
        NX_CLEANUP(nx_arena_done)
        nx_arena a = NX_ARENA_INIT(1 << 20);
        nx_event e = event(cases[i].data);
        nx_slice v = NX_SLICE_NULL;
        nx_err err = nx_event_key_get(&e, nx_slice_cstr(cases[i].path), &a, &v);
        assert_int_equal(err, cases[i].is ? NX_OK : NX_ENOENT);
        if (cases[i].is)
            assert_true(nx_slice_eq_cstr(v, cases[i].is));
    }
}

static void test_event_key_numbers_are_cut(void **state)
{
    (void)state;
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(1 << 20);
    static const struct {
        const char *data;
        int64_t is;
    } cases[] = {{"{\"n\":60}", 60}, {"{\"n\":-1.9}", -1}, {"{\"n\":\"30\"}", 30}, {"{\"n\":1e9}", 600}, {"{\"n\":-1e300}", -600}};
    for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
        nx_event e = event(cases[i].data);
        int64_t n = 7;
        assert_int_equal(nx_event_key_number(&e, NX_SLICE("data.n"), &a, 600, &n), NX_OK);
        assert_true(n == cases[i].is);
    }
    nx_event none = event("{\"n\":\"soon\"}");
    int64_t n;
    assert_int_equal(nx_event_key_number(&none, NX_SLICE("data.n"), &a, 600, &n), NX_ENOENT);
}

static void test_event_key_paths(void **state)
{
    (void)state;
    static const char *const good[] = {"subject", "type", "source", "partitionkey", "data", "data.a", "data[0].b"}, *const bad[] = {"", "id", "date.a", "data.", "[0]"};
    nx_error e = NX_ERROR_INIT;
    for (size_t i = 0; i < NX_ARRAY_LEN(good); i++) assert_int_equal(nx_event_key_check(nx_slice_cstr(good[i]), &e), NX_OK);
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++) assert_int_equal(nx_event_key_check(nx_slice_cstr(bad[i]), &e), NX_EPARSE);
}

static void test_config_cpu_milli(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned milli; /* 0: refused */
    } cases[] = {{"250m", 250}, {"0.25", 250}, {"1", 1000}, {"1.5", 1500}, {"2000m", 2000}, {"256", 256000}, {"10m", 10}, {"0.01", 10}, {"9m", 0}, {"257", 0}, {"0", 0}, {"", 0}, {"m", 0}, {"1.", 0}, {".5", 0}, {"1.0005", 0}, {"1.5m", 0}, {"-1", 0}};
    for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
        unsigned milli = 0;
        nx_err err = nx_config_cpu_milli(nx_slice_cstr(cases[i].text), &milli);
        assert_int_equal(err, cases[i].milli ? NX_OK : NX_EPARSE);
        assert_int_equal(milli, cases[i].milli);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_event_key_finds_values),
        cmocka_unit_test(test_event_key_numbers_are_cut),
        cmocka_unit_test(test_event_key_paths),
        cmocka_unit_test(test_config_cpu_milli),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
