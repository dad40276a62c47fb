/* JSON: writing, scanning, reading. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "json_scan.h"
#include "nx/json.h"

static const char *text(nx_buf *b)
{
    const char *s = nx_buf_cstr(b);
    assert_non_null(s);
    return s;
}

static void test_jw_nesting_and_commas(void **state)
{
    (void)state;
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(4096);
    nx_jw w = NX_JW_INIT(&b);
    nx_jw_object(&w);
    nx_jw_kstr(&w, "a", NX_SLICE("x"));
    nx_jw_key(&w, "b");
    nx_jw_array(&w);
    nx_jw_u64(&w, UINT64_MAX);
    nx_jw_i64(&w, INT64_MIN);
    nx_jw_object(&w);
    nx_jw_object_end(&w);
    nx_jw_array(&w);
    nx_jw_array_end(&w);
    nx_jw_null(&w);
    nx_jw_array_end(&w);
    nx_jw_kbool(&w, "c", false);
    nx_jw_kcstr(&w, "d", NULL);
    nx_jw_key(&w, "e");
    nx_jw_raw(&w, NX_SLICE("[1 ,2]"));
    nx_jw_object_end(&w);
    assert_int_equal(nx_jw_err(&w), NX_OK);
    assert_string_equal(text(&b), "{\"a\":\"x\",\"b\":[18446744073709551615,-9223372036854775808,{},[],null],\"c\":false,\"d\":null,\"e\":[1 ,2]}");
}

static void test_jw_strings(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"plain", "\"plain\""},
        {"\"\\/\b\f\n\r\t\x01\x1f\x7f", "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\\u007f\""},
        {"\xE2\x82\xAC\xF0\x9F\x98\x80", "\"\xE2\x82\xAC\xF0\x9F\x98\x80\""},
        {"a\xff"
         "b\xE2\x82",
         "\"a\xEF\xBF\xBD"
         "b\xEF\xBF\xBD\xEF\xBF\xBD\""},
        {"", "\"\""},
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
        NX_CLEANUP(nx_buf_done)
        nx_buf b = NX_BUF_INIT(4096);
        assert_int_equal(nx_json_escape(&b, nx_slice_cstr(cases[i][0])), NX_OK);
        assert_string_equal(text(&b), cases[i][1]);
    }
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(4096);
    assert_int_equal(nx_json_escape(&b, NX_SLICE("a\0b")), NX_OK);
    assert_string_equal(text(&b), "\"a\\u0000b\"");
}

static void test_jw_doubles_round_trip(void **state)
{
    (void)state;
    static const double cases[] = {0, -0.0, 1, 0.1, 1.2, 1e300, 5e-324, 123456789.125, 1.0 / 3, -2.5e-7};
    for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
        NX_CLEANUP(nx_buf_done)
        nx_buf b = NX_BUF_INIT(64);
        nx_jw w = NX_JW_INIT(&b);
        nx_jw_double(&w, cases[i]);
        assert_true(strtod(text(&b), NULL) == cases[i]);
    }
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(64);
    nx_jw w = NX_JW_INIT(&b);
    nx_jw_array(&w);
    nx_jw_double(&w, (double)NAN);
    nx_jw_double(&w, (double)INFINITY);
    nx_jw_double(&w, 1.2);
    nx_jw_array_end(&w);
    assert_string_equal(text(&b), "[null,null,1.2]");
}

static void test_jw_errors_stick(void **state)
{
    (void)state;
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(8);
    nx_jw w = NX_JW_INIT(&b);
    nx_jw_array(&w);
    nx_jw_str(&w, NX_SLICE("0123456789"));
    nx_jw_u64(&w, 1);
    nx_jw_array_end(&w);
    assert_int_equal(nx_jw_err(&w), NX_ELIMIT);
    NX_CLEANUP(nx_buf_done)
    nx_buf deep = NX_BUF_INIT(4096);
    w = (nx_jw)NX_JW_INIT(&deep);
    for (int i = 0; i < 64; i++) nx_jw_array(&w);
    assert_int_equal(nx_jw_err(&w), NX_OK);
    nx_jw_array(&w);
    assert_int_equal(nx_jw_err(&w), NX_ELIMIT);
}

static nx_err scan(nx_slice s)
{
    nx_json_scan sc = {s.p, s.p ? s.p + s.n : NULL};
    return nx_json_scan_document(&sc);
}

static void test_json_scan_grammar(void **state)
{
    (void)state;
    static const char *const good[] = {
        "0",
        "-0",
        "-1.5e+10",
        "1E5",
        "\"\"",
        "true",
        "false",
        "null",
        "[]",
        "{}",
        " [ 1 , 2 ] ",
        "{\"a\":{\"b\":[{}]},\"c\":1}",
        "\t\n\r 1 ",
        "\"\\u0041\\n\\/\\\"\"",
        "\"\xE2\x82\xAC\"",
        "123456789012345678901234567890",
        "1e999",
        "\"\\ud800\"",
        "[[[[[[[[[[]]]]]]]]]]",
        "{\"\":0}",
        "\"0123456789abcdefghijklmnopqrstuvwxyz\"",
        "\"01234567\\n01234567\x7f\"",
    };
    static const char *const bad[] = {
        "",
        " ",
        "01",
        "-",
        "+1",
        "1.",
        ".5",
        "1e",
        "1e+",
        "tru",
        "nul",
        "True",
        "[1,]",
        "[,1]",
        "[1 2]",
        "{\"a\"}",
        "{\"a\":}",
        "{\"a\":1,}",
        "{a:1}",
        "{'a':1}",
        "[",
        "]",
        "{",
        "}",
        "[}",
        "{\"a\":1]",
        "\"",
        "\"\\\"",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\u12g4\"",
        "\"a\nb\"",
        "\"\x01\"",
        "\"\xff\"",
        "\"\xE2\x82\"",
        "1 2",
        "[1] x",
        "\"0123456\n\"",
        "\"01234567\x1f\"",
        "NaN",
        "Infinity",
        "// c\n1",
        "\xEF\xBB\xBF{}",
        "{\"a\" 1}",
        "{1:1}",
        "[\"a\":1]",
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(good); i++)
        if (scan(nx_slice_cstr(good[i])) != NX_OK) fail_msg("good: %s", good[i]);
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++)
        if (scan(nx_slice_cstr(bad[i])) != NX_EPARSE) fail_msg("bad: %s", bad[i]);
    assert_int_equal(scan(NX_SLICE("\"a\0b\"")), NX_EPARSE);
    assert_int_equal(scan(NX_SLICE("1\0")), NX_EPARSE);
    assert_int_equal(scan(NX_SLICE_NULL), NX_EPARSE);
}

static void test_json_depth(void **state)
{
    (void)state;
    char t[200];
    for (size_t depth = 63; depth <= 65; depth++) {
        memset(t, '[', depth);
        memset(t + depth, ']', depth);
        nx_json *j = NULL;
        assert_int_equal(nx_json_parse(nx_slice_make(t, 2 * depth), SIZE_MAX, &j, NULL), depth > 64 ? NX_ELIMIT : NX_OK);
        nx_json_free(j);
    }
    /* The bit stack has to come back right after 64 levels of both kinds. */
    char deep[600];
    size_t n = 0;
    for (int i = 0; i < 32; i++) n += (size_t)sprintf(deep + n, "{\"a\":[");
    for (int i = 0; i < 32; i++) n += (size_t)sprintf(deep + n, "]}");
    assert_int_equal(scan(nx_slice_make(deep, n)), NX_OK);
    deep[n - 1] = ']';
    assert_int_equal(scan(nx_slice_make(deep, n)), NX_EPARSE);
}

static void test_json_read(void **state)
{
    (void)state;
    nx_json *j = NULL;
    nx_error e = NX_ERROR_INIT;
    assert_int_equal(nx_json_parse(NX_SLICE("{\"s\":\"a\\u0000b\",\"i\":-5,\"u\":7,\"d\":2.5,\"t\":true,\"n\":null,\"l\":[1,2,3]}"), 4096, &j, &e), NX_OK);
    assert_int_equal(nx_json_get_str(j, "s").n, 3);
    assert_null(nx_json_get_str(j, "i").p);
    assert_int_equal(nx_json_get_i64(j, "i", 0), -5);
    assert_int_equal(nx_json_get_u64(j, "i", 9), 9); /* negative is no u64 */
    assert_int_equal(nx_json_get_u64(j, "u", 9), 7);
    assert_int_equal(nx_json_get_u64(j, "s", 9), 9);
    assert_true(nx_json_get_double(j, "d", 0) == 2.5);
    assert_true(nx_json_get_double(j, "u", 0) == 7.0);
    assert_true(nx_json_get_bool(j, "t", false));
    assert_true(nx_json_get_bool(j, "absent", true));
    assert_int_equal(nx_json_typeof(nx_json_get(j, "n")), NX_JSON_NULL);
    assert_int_equal(nx_json_typeof(NULL), NX_JSON_NULL);
    assert_int_equal(nx_json_len(nx_json_get(j, "l")), 3);
    assert_int_equal(nx_json_i64(nx_json_at(nx_json_get(j, "l"), 2), 0), 3);
    assert_null(nx_json_at(nx_json_get(j, "l"), 3));
    assert_null(nx_json_get(nx_json_get(j, "l"), "x"));
    assert_null(nx_json_get(NULL, "x"));
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(4096);
    assert_int_equal(nx_json_dump(nx_json_get(j, "l"), &b), NX_OK);
    assert_string_equal(text(&b), "[1,2,3]");
    nx_buf tiny = NX_BUF_INIT(3);
    assert_int_equal(nx_json_dump(j, &tiny), NX_ELIMIT);
    assert_int_equal(tiny.n, 0);
    nx_buf_done(&tiny);
    nx_json_free(j);
    nx_json_free(NULL);
}

static int stop_at_c(void *self, nx_slice key, const nx_json *value)
{
    (void)value;
    strncat(self, key.p, key.n);
    return nx_slice_eq_cstr(key, "c") ? 42 : 0;
}

static void test_json_each_in_order(void **state)
{
    (void)state;
    nx_json *j = NULL;
    assert_int_equal(nx_json_parse(NX_SLICE("{\"z\":1,\"a\":2,\"c\":3,\"b\":4}"), 4096, &j, NULL), NX_OK);
    char keys[16] = "";
    assert_int_equal(nx_json_each(j, stop_at_c, keys), 42);
    assert_string_equal(keys, "zac");
    assert_int_equal(nx_json_each(nx_json_get(j, "z"), stop_at_c, keys), 0);
    nx_json_free(j);
}

static void test_json_parse_errors_name_the_place(void **state)
{
    (void)state;
    nx_json *j = NULL;
    nx_error e = NX_ERROR_INIT;
    assert_int_equal(nx_json_parse(NX_SLICE("{\n  \"\xE2\x82\xAC\": x}"), 4096, &j, &e), NX_EPARSE);
    assert_string_equal(e.msg, "line 2, column 8: not valid JSON");
    assert_int_equal(nx_json_parse(NX_SLICE("[1,"), 4096, &j, &e), NX_EPARSE);
    assert_string_equal(e.msg, "line 1, column 4: JSON text ends too early");
    assert_int_equal(nx_json_parse(NX_SLICE("{\"a\":1,\"a\":2}"), 4096, &j, &e), NX_EPARSE);
    static const char *const bad[] = {"\"\\ud800\"", "\"\\udc00x\"", "99999999999999999999", "1e999", "{\"\\u0000\":1}"}; /* grammatical, but no values of ours */
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++) assert_int_equal(nx_json_parse(nx_slice_cstr(bad[i]), 4096, &j, &e), NX_EPARSE);
    assert_int_equal(nx_json_parse(NX_SLICE("[1]"), 2, &j, &e), NX_ELIMIT);
    assert_int_equal(nx_json_parse(NX_SLICE_NULL, 2, &j, &e), NX_EPARSE);
    assert_null(j);
}

static void test_json_member_bytes(void **state)
{
    (void)state;
    nx_slice v;
    nx_slice doc = NX_SLICE(" {\"x\" : 1, \"da\\u0074a\" :  { \"n\" : 1.00e1 , \"data\":2 }\n, \"y\":[\"data\"]} ");
    assert_int_equal(nx_json_member_bytes(doc, NX_SLICE("data"), &v), NX_OK);
    assert_true(nx_slice_eq_cstr(v, "{ \"n\" : 1.00e1 , \"data\":2 }"));
    assert_int_equal(nx_json_member_bytes(doc, NX_SLICE("x"), &v), NX_OK);
    assert_true(nx_slice_eq_cstr(v, "1"));
    assert_int_equal(nx_json_member_bytes(doc, NX_SLICE("n"), &v), NX_ENOENT);
    assert_int_equal(nx_json_member_bytes(NX_SLICE("{\"\":\"e\"}"), NX_SLICE(""), &v), NX_OK);
    static const char *const bad[] = {"[]", "{\"data\":1,\"data\":2}", "{\"data\":1", "{\"data\":1}x", "{\"data\":1,}", "{,\"data\":1}", "{\"data\" 1}", "{\"data\":1 \"b\":2}", ""};
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++)
        if (nx_json_member_bytes(nx_slice_cstr(bad[i]), NX_SLICE("data"), &v) != NX_EPARSE) fail_msg("%s", bad[i]);
}

static void test_json_unescape(void **state)
{
    (void)state;
    char out[64];
    size_t n;
    nx_slice raw = NX_SLICE("a\\u00e9\\u20AC\\ud83d\\ude00\\n\\\\\\/\\\"\\b\\f\\r\\t\\u0000");
    assert_int_equal(nx_json_unescape(raw, out, &n), NX_OK);
    assert_int_equal(n, 1 + 2 + 3 + 4 + 9);
    assert_memory_equal(out, "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80\n\\/\"\b\f\r\t\0", n);
    static const char *const lone[] = {"\\ud800", "\\ud800x", "\\ude00", "\\ud800\\n", "\\ud800\\u0041", "\\ud83d\\ud83d"};
    for (size_t i = 0; i < NX_ARRAY_LEN(lone); i++) assert_int_equal(nx_json_unescape(nx_slice_cstr(lone[i]), out, &n), NX_EPARSE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jw_nesting_and_commas),
        cmocka_unit_test(test_jw_strings),
        cmocka_unit_test(test_jw_doubles_round_trip),
        cmocka_unit_test(test_jw_errors_stick),
        cmocka_unit_test(test_json_scan_grammar),
        cmocka_unit_test(test_json_depth),
        cmocka_unit_test(test_json_read),
        cmocka_unit_test(test_json_each_in_order),
        cmocka_unit_test(test_json_parse_errors_name_the_place),
        cmocka_unit_test(test_json_member_bytes),
        cmocka_unit_test(test_json_unescape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
