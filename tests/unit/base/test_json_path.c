/* Paths into JSON, setting what stands there, and where two documents differ. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "nx/json_diff.h"
#include "nx/json_path.h"

typedef struct setting {
    const char *document, *path, *value, *becomes;
} setting;

static nx_err set(const char *document, const char *path, const char *value, nx_buf *out, nx_error *e)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(1 << 20);
    nx_json_path p;
    nx_err err = nx_json_path_parse(nx_slice_cstr(path), &a, &p, e);
    return err ? err : nx_json_path_set(nx_slice_cstr(document), &p, 0, nx_slice_cstr(value), out, e);
}

static void test_json_path_set_changes_nothing_else(void **state)
{
    (void)state;
    static const setting cases[] = {
        {"{\"a\":1}", "a", "2", "{\"a\":2}"},
        {" { \"a\" : 1.0 , \"b\" : [ 1 , 2 ] } ", "a", "\"x\"", " { \"a\" : \"x\" , \"b\" : [ 1 , 2 ] } "},
        {"{\"big\":12345678901234567890123,\"a\":{\"b\":[{\"c\":1},{\"c\":2}]}}", "a.b[1].c", "3", "{\"big\":12345678901234567890123,\"a\":{\"b\":[{\"c\":1},{\"c\":3}]}}"},
        {"{\"a.b\":{\"x y\":1}}", "[\"a.b\"][\"x y\"]", "null", "{\"a.b\":{\"x y\":null}}"},
        {"{\"\\u0061\":1}", "a", "2", "{\"\\u0061\":2}"},
        {"{\"a\":{\"deep\":true}}", "a", "[]", "{\"a\":[]}"},
        {"[1,2,3]", "[1]", "9", "[1,9,3]"},
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
        nx_buf out = NX_BUF_INIT(4096);
        assert_int_equal(set(cases[i].document, cases[i].path, cases[i].value, &out, NULL), NX_OK);
        assert_string_equal(nx_buf_cstr(&out), cases[i].becomes);
        nx_buf_done(&out);
    }
}

static void test_json_path_set_makes_what_is_missing(void **state)
{
    (void)state;
    static const setting cases[] = {
        {"{}", "a", "1", "{\"a\":1}"},
        {"{ }", "a", "1", "{ \"a\":1}"},
        {"{\"x\":0}", "a.b.c", "1", "{\"x\":0,\"a\":{\"b\":{\"c\":1}}}"},
        {"{\"x\":[]}", "x[0].y", "1", "{\"x\":[{\"y\":1}]}"},
        {"{\"x\":[1]}", "x[1]", "2", "{\"x\":[1,2]}"},
        {"{\"x\":null}", "x.y[0]", "2", "{\"x\":{\"y\":[2]}}"},
        {"", "a.b", "2", "{\"a\":{\"b\":2}}"},
        {"  ", "[0]", "2", "  [2]"},
        {"null", "a", "2", "{\"a\":2}"},
        {"{\"a\":1}\n", "[\"q\\\"\"]", "2", "{\"a\":1,\"q\\\"\":2}\n"},
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
        nx_buf out = NX_BUF_INIT(4096);
        assert_int_equal(set(cases[i].document, cases[i].path, cases[i].value, &out, NULL), NX_OK);
        assert_string_equal(nx_buf_cstr(&out), cases[i].becomes);
        nx_buf_done(&out);
    }
}

static void test_json_path_set_says_what_is_in_the_way(void **state)
{
    (void)state;
    static const struct {
        const char *document, *path;
        nx_err err;
        const char *says;
    } cases[] = {
        {"{\"a\":\"text\"}", "a.b", NX_EINVAL, "a is not an object"},
        {"{\"a\":{\"b\":1}}", "a[0]", NX_EINVAL, "a is not an array"},
        {"{\"a\":[1,2]}", "a[3]", NX_EINVAL, "a has 2 elements: [3] would leave a hole"},
        {"{}", "a[1]", NX_EINVAL, "a does not exist: a new array begins at [0]"},
        {"{\"a\":1,\"a\":2}", "a", NX_EINVAL, "two members"},
        {"[]", "a", NX_EINVAL, "the document is not an object"},
        {"not json", "a", NX_EPARSE, "not JSON"},
        {"{\"a\":1} x", "a", NX_EPARSE, "not JSON"},
        {"{}", "", NX_EPARSE, "empty"},
        {"{}", ".a", NX_EPARSE, "at character 1"},
        {"{}", "a..b", NX_EPARSE, "at character 3: expected a name"},
        {"{}", "a[x]", NX_EPARSE, "at character 3: between [ and ]"},
        {"{}", "a[-1]", NX_EPARSE, "at character 3"},
        {"{}", "a[99999999999]", NX_EPARSE, "at character 3"},
        {"{}", "a[1", NX_EPARSE, "] is missing"},
        {"{}", "a[\"b]", NX_EPARSE, "JSON string"},
        {"{}", "a b", NX_EPARSE, "at character 2: expected . or ["},
        {"{}", "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q.r.s.t.u.v.w.x.y.z.a.b.c.d.e.f.g", NX_ELIMIT, "32 steps"},
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
        nx_buf out = NX_BUF_INIT(4096);
        nx_error e = NX_ERROR_INIT;
        assert_int_equal(set(cases[i].document, cases[i].path, "1", &out, &e), cases[i].err);
        if (!strstr(e.msg, cases[i].says)) fail_msg("\"%s\" does not say \"%s\"", e.msg, cases[i].says);
        assert_int_equal(out.n, 0);
        nx_buf_done(&out);
    }
    nx_buf small = NX_BUF_INIT(8);
    assert_int_equal(set("{\"a\":1}", "b", "123456", &small, NULL), NX_ELIMIT);
    assert_int_equal(small.n, 0);
    nx_buf_done(&small);
}

/* ---- differences */

/* "changed total 1 -> 2; added …": the changes in one line. */
static void told(const char *before, const char *after, unsigned max, char *out, size_t out_bytes)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(1 << 20);
    nx_json_changes c;
    size_t n = 0;
    assert_int_equal(nx_json_diff(nx_slice_cstr(before), nx_slice_cstr(after), max, &a, &c), NX_OK);
    out[0] = 0;
    for (unsigned i = 0; i < c.n; i++)
        n += (size_t)snprintf(out + n, out_bytes - n, "%s%s %.*s|%.*s|%.*s->%.*s", i ? "; " : "", nx_change_kind_name(c.v[i].kind), NX_SLICE_FMT(c.v[i].path),
                              NX_SLICE_FMT(c.v[i].place), NX_SLICE_FMT(c.v[i].before), NX_SLICE_FMT(c.v[i].after));
    if (c.total > c.n) snprintf(out + n, out_bytes - n, "; of %d", (int)c.total);
}

static void assert_told(const char *before, const char *after, const char *expected)
{
    char text[2048];
    told(before, after, 100, text, sizeof text);
    assert_string_equal(text, expected);
}

static void test_json_diff_names_the_paths(void **state)
{
    (void)state;
    assert_told("{\"a\":1,\"b\":[true]}", "{\"b\":[true],\"a\":1}", "");
    assert_told("{\"a\":1}", " {\"\\u0061\" : 1}", "");
    assert_told("[\"\\u00e9\"]", "[\"\xC3\xA9\"]", "");
    assert_told("{\"total\":12}", "{\"total\":13}", "changed total|total|12->13");
    assert_told("{\"a\":{\"x\":1,\"gone\":null}}", "{\"a\":{\"x\":1,\"new\":\"n\"}}", "removed a.gone|a.gone|null->; added a.new|a.new|->\"n\"");
    assert_told("{\"i\":[{\"p\":1},{\"p\":2},{\"p\":3}]}", "{\"i\":[{\"p\":1},{\"p\":9},{\"p\":3}]}", "changed i[1].p|i[].p|2->9");
    assert_told("[1,2,3]", "[0,1,2,3]", "added [0]|[]|->0");
    assert_told("[1,2,3]", "[1,3]", "removed [1]|[]|2->");
    assert_told("[1,2,3,4]", "[1,5,4]", "changed [1]|[]|2->5; removed [2]|[]|3->");
    assert_told("1", "2", "changed ||1->2");
    assert_told("{\"a\":1}", "[1]", "changed ||{\"a\":1}->[1]");
    assert_told("{\"a\":{}}", "{\"a\":[]}", "changed a|a|{}->[]");
    assert_told("{\"a.b\":1}", "{\"a.b\":2}", "changed [\"a.b\"]|[\"a.b\"]|1->2");
    assert_told("{\"\":1}", "{\"\":2}", "changed [\"\"]|[\"\"]|1->2");
}

static void test_json_diff_rounds_nothing(void **state)
{
    (void)state;
    assert_told("{\"n\":12345678901234567890}", "{\"n\":12345678901234567891}", "changed n|n|12345678901234567890->12345678901234567891");
    assert_told("[0.1]", "[0.10000000000000001]", "changed [0]|[]|0.1->0.10000000000000001");
    assert_told("[1]", "[1.0]", "changed [0]|[]|1->1.0");
}

static void test_json_diff_counts_what_it_does_not_keep(void **state)
{
    (void)state;
    char text[256];
    told("[1,2,3,4]", "[5,6,7,8]", 2, text, sizeof text);
    assert_string_equal(text, "changed [0]|[]|1->5; changed [1]|[]|2->6; of 4");
}

static void test_json_diff_refuses(void **state)
{
    (void)state;
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(1 << 20);
    nx_json_changes c;
    assert_int_equal(nx_json_diff(NX_SLICE("{}"), NX_SLICE("{"), 10, &a, &c), NX_EPARSE);
    assert_int_equal(nx_json_diff(NX_SLICE(""), NX_SLICE("1"), 10, &a, &c), NX_EPARSE);
    char deep[200];
    memset(deep, '[', 100);
    memset(deep + 100, ']', 100);
    assert_int_equal(nx_json_diff(nx_slice_make(deep, 200), NX_SLICE("1"), 10, &a, &c), NX_ELIMIT);
    char many[20001]; /* "[1,1,…,1]" */
    for (size_t i = 0; i < sizeof many; i++) many[i] = i % 2 ? '1' : ',';
    many[0] = '[';
    many[sizeof many - 1] = ']';
    nx_arena small = NX_ARENA_INIT(64 << 10);
    assert_int_equal(nx_json_diff(nx_slice_make(many, sizeof many), NX_SLICE("1"), 10, &small, &c), NX_ELIMIT);
    nx_arena_done(&small);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_path_set_changes_nothing_else),
        cmocka_unit_test(test_json_path_set_makes_what_is_missing),
        cmocka_unit_test(test_json_path_set_says_what_is_in_the_way),
        cmocka_unit_test(test_json_diff_names_the_paths),
        cmocka_unit_test(test_json_diff_rounds_nothing),
        cmocka_unit_test(test_json_diff_counts_what_it_does_not_keep),
        cmocka_unit_test(test_json_diff_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
