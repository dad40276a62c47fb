/* The parts of the gateway without sockets: targets, hosts, Prefer, batches, percent-encoding, addresses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "address.h"
#include "cloudevent.h"
#include "prefer.h"
#include "target.h"

static void assert_slice(nx_slice s, const char *text)
{
    if (!nx_slice_eq_cstr(s, text))
        fail_msg("\"%.*s\" is not \"%s\"", NX_SLICE_FMT(s), text);
}

static void test_target_forms(void **state)
{
    (void)state;
    nx_gw_target t;
    assert_int_equal(nx_gw_target_parse(NX_SLICE("/a/b?c=d?e"), &t), NX_OK);
    assert_slice(t.path, "/a/b");
    assert_slice(t.query, "c=d?e");
    assert_int_equal(nx_gw_target_parse(NX_SLICE("/a?"), &t), NX_OK);
    assert_non_null(t.query.p);
    assert_int_equal(t.query.n, 0);
    assert_int_equal(nx_gw_target_parse(NX_SLICE("/a"), &t), NX_OK);
    assert_null(t.query.p);
    assert_int_equal(nx_gw_target_parse(NX_SLICE("HTTP://h.example:80?x"), &t), NX_OK);
    assert_int_equal(t.form, NX_GW_TARGET_ABSOLUTE);
    assert_slice(t.authority, "h.example:80");
    assert_slice(t.path, "/");
    assert_slice(t.query, "x");
    assert_int_equal(nx_gw_target_parse(NX_SLICE("https://h/p"), &t), NX_OK);
    assert_slice(t.path, "/p");
    static const char *const bad[] = {"", "a", "http://", "http:///a", "http://a b/", "//", "http://u@h/", "ftp://h/", "/a b", "/\x7f", "/\"", "/#"};
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++)
        if (strcmp(bad[i], "//") != 0 && nx_gw_target_parse(nx_slice_cstr(bad[i]), &t) == NX_OK)
            fail_msg("\"%s\" was taken", bad[i]);
}

static void test_host_split(void **state)
{
    (void)state;
    nx_slice name, port;
    assert_int_equal(nx_gw_host_split(NX_SLICE("a.b-c_d:80"), &name, &port), NX_OK);
    assert_slice(name, "a.b-c_d");
    assert_slice(port, "80");
    assert_int_equal(nx_gw_host_split(NX_SLICE("[::1]"), &name, &port), NX_OK);
    assert_slice(name, "[::1]");
    assert_int_equal(nx_gw_host_split(NX_SLICE("h:"), &name, &port), NX_OK);
    static const char *const bad[] = {"", ":80", "a:b", "a:65536", "a:1:2", "[::1", "[]", "[1.2.3.4]", "[::1]x", "a/b", "a@b", "a b", "a%41", "\xc3\xa4"};
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++)
        if (nx_gw_host_split(nx_slice_cstr(bad[i]), &name, &port) == NX_OK)
            fail_msg("\"%s\" was taken", bad[i]);
    assert_true(nx_gw_host_is_loopback(NX_SLICE("127.1.2.3")));
    assert_true(nx_gw_host_is_loopback(NX_SLICE("x.LOCALHOST")));
    assert_true(nx_gw_host_is_loopback(NX_SLICE("[::1]")));
    assert_false(nx_gw_host_is_loopback(NX_SLICE("127.evil.example")));
    assert_false(nx_gw_host_is_loopback(NX_SLICE("xlocalhost")));
}

static void test_percent_decoding(void **state)
{
    (void)state;
    nx_arena a = NX_ARENA_INIT(1 << 20);
    nx_slice s;
    assert_int_equal(nx_gw_pct_decode(NX_SLICE("a%20b%C3%A4+"), false, &a, &s), NX_OK);
    assert_slice(s, "a b\xc3\xa4+");
    assert_int_equal(nx_gw_pct_decode(NX_SLICE("a+b"), true, &a, &s), NX_OK);
    assert_slice(s, "a b");
    assert_int_equal(nx_gw_pct_decode(NX_SLICE("%2541"), false, &a, &s), NX_OK);
    assert_slice(s, "%41"); /* once, not twice */
    static const char *const bad[] = {"%", "%4", "%4g", "%00", "%0a", "%7f", "%ff", "%c0%af", "%ed%a0%80"};
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++)
        if (nx_gw_pct_decode(nx_slice_cstr(bad[i]), false, &a, &s) != NX_EPARSE)
            fail_msg("\"%s\" was taken", bad[i]);
    assert_int_equal(nx_gw_path_decode(NX_SLICE("/events/a%2fb"), &a, &s), NX_OK);
    assert_slice(s, "/events/a/b");
    assert_int_equal(nx_gw_path_decode(NX_SLICE("/x%2Fy"), &a, &s), NX_EPARSE);
    assert_int_equal(nx_gw_query_find(NX_SLICE("&a=1&&d%65lay=%31&delay=2"), "delay", &a, &s), NX_OK);
    assert_slice(s, "1");
    assert_int_equal(nx_gw_query_find(NX_SLICE("xdelay=1&delayx"), "delay", &a, &s), NX_ENOENT);
    nx_arena_done(&a);
}

static void test_prefer(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        bool has_wait, is_async;
        unsigned wait_s;
    } table[] = {
        {"wait=10", true, false, 10},
        {"Wait = 10", true, false, 10},
        {"wait=\"7\"", true, false, 7},
        {"respond-async, wait=5", true, true, 5},
        {"respond-async;x=y , return=minimal", false, true, 0},
        {"wait=1, wait=2", true, false, 1},
        {"wait=0", true, false, 0},
        {"wait=301", true, false, 300},
        {"wait=99999999999999999999", true, false, 300},
        {"wait", false, false, 0},
        {"wait=", false, false, 0},
        {"wait=-1", false, false, 0},
        {"wait=1.5", false, false, 0},
        {"wait=5s", false, false, 0},
        {"wait 5", false, false, 0},
        {"x=\"wait=5, respond-async\"", false, false, 0},
        {"x=\"\\\"\", wait=3", true, false, 3},
        {"x=\"unclosed, wait=3", false, false, 0},
        {",,, wait=3 ,,", true, false, 3},
        {"=, wait=3", true, false, 3},
        {"", false, false, 0},
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(table); i++) {
        nx_gw_prefer p = {0};
        nx_gw_prefer_add(&p, nx_slice_cstr(table[i].value), 300);
        if (p.has_wait != table[i].has_wait || p.is_async != table[i].is_async || p.wait_s != table[i].wait_s)
            fail_msg("\"%s\": wait %d %u, async %d", table[i].value, p.has_wait, p.wait_s, p.is_async);
    }
}

static void test_batch_elements_are_exact(void **state)
{
    (void)state;
    nx_gw_batch b = {NX_SLICE("\n[ {\"a\":\"]}\\\"\\\\\"} ,{\"b\":[{}]}\t]\r\n"), 0, false};
    nx_slice s;
    assert_int_equal(nx_gw_batch_next(&b, &s), NX_OK);
    assert_slice(s, "{\"a\":\"]}\\\"\\\\\"}");
    assert_int_equal(nx_gw_batch_next(&b, &s), NX_OK);
    assert_slice(s, "{\"b\":[{}]}");
    assert_int_equal(nx_gw_batch_next(&b, &s), NX_ENOENT);
    static const char *const bad[] = {"", "x", "[", "[x]", "[{]", "[{}", "[{}x]", "[{},]", "[{}]x", "[{\"", "[{}{}]"};
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++) {
        nx_err err;
        b = (nx_gw_batch){nx_slice_cstr(bad[i]), 0, false};
        while ((err = nx_gw_batch_next(&b, &s)) == NX_OK)
            ;
        /* "[{]" is an element that parsing refuses */
        if (err != NX_EPARSE && strcmp(bad[i], "[{]") != 0)
            fail_msg("\"%s\" was taken", bad[i]);
    }
}

static void test_addresses(void **state)
{
    (void)state;
    static const struct {
        const char *text, *formatted;
        bool is_any;
    } table[] = {
        {"127.0.0.1:8080", "127.0.0.1:8080", false},
        {"[::1]:0", "[::1]:0", false},
        {"localhost:1", "127.0.0.1:1", false},
        {":80", "0.0.0.0:80", true},
        {"*:80", "0.0.0.0:80", true},
        {"[::]:80", "[::]:80", true},
    };
    char out[80];
    for (size_t i = 0; i < NX_ARRAY_LEN(table); i++) {
        nx_gw_address a;
        assert_int_equal(nx_gw_address_parse(nx_slice_cstr(table[i].text), &a, NULL), NX_OK);
        nx_gw_address_format(&a.sa, out, sizeof out);
        assert_string_equal(out, table[i].formatted);
        assert_int_equal(a.is_any, table[i].is_any);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_target_forms),
        cmocka_unit_test(test_host_split),
        cmocka_unit_test(test_percent_decoding),
        cmocka_unit_test(test_prefer),
        cmocka_unit_test(test_batch_elements_are_exact),
        cmocka_unit_test(test_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
