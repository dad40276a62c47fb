/* Shapes: the notation and the schemas that it stands for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nx/shape.h"

static void check(const char *shape, const char *schema)
{
    nx_buf b = NX_BUF_INIT(64 << 10);
    nx_jw w = NX_JW_INIT(&b);
    nx_error e = NX_ERROR_INIT;
    nx_err err = nx_shape_schema(shape, &w, &e);
    assert_string_equal(e.msg, "");
    assert_int_equal(err, NX_OK);
    assert_string_equal(nx_buf_cstr(&b), schema);
    nx_buf_done(&b);
}

static void test_shape_of_plain_types(void **state)
{
    (void)state;
    check("string", "{\"type\":\"string\"}");
    check(" int ", "{\"type\":\"integer\",\"minimum\":0}");
    check("any", "{}");
    check("time", "{\"type\":\"string\",\"format\":\"date-time\"}");
    check("[number]", "{\"type\":\"array\",\"items\":{\"type\":\"number\"}}");
    check("'ok'", "{\"const\":\"ok\"}");
}

static void test_shape_of_objects(void **state)
{
    (void)state;
    check("{}", "{\"type\":\"object\",\"properties\":{},\"additionalProperties\":false}");
    check("{…}", "{\"type\":\"object\",\"properties\":{}}");
    check("{a, b?: bool}", "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\"},\"b\":{\"type\":\"boolean\"}},\"required\":[\"a\"],\"additionalProperties\":false}");
    check("{a: [{b: null}], …}", "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"array\",\"items\":{\"type\":\"object\",\"properties\":{\"b\":{\"type\":\"null\"}},"
                                 "\"required\":[\"b\"],\"additionalProperties\":false}}},\"required\":[\"a\"]}");
    check("{*: number}", "{\"type\":\"object\",\"additionalProperties\":{\"type\":\"number\"}}");
}

/* An alternative of one field is not one of the object around it. */
static void test_shape_of_alternatives(void **state)
{
    (void)state;
    check("'a' | 'b|, c'", "{\"anyOf\":[{\"const\":\"a\"},{\"const\":\"b|, c\"}]}");
    check("{a: int | null, b}", "{\"type\":\"object\",\"properties\":{\"a\":{\"anyOf\":[{\"type\":\"integer\",\"minimum\":0},{\"type\":\"null\"}]},\"b\":{\"type\":\"string\"}},"
                                "\"required\":[\"a\",\"b\"],\"additionalProperties\":false}");
    check("{*: bool} | [int]", "{\"anyOf\":[{\"type\":\"object\",\"additionalProperties\":{\"type\":\"boolean\"}},{\"type\":\"array\",\"items\":{\"type\":\"integer\",\"minimum\":0}}]}");
}

static void test_shape_that_is_none(void **state)
{
    static const char *const bad[] = {"", "{", "{a", "{a:}", "{a b}", "{: int}", "{a, … b}", "[int", "'a", "word", "int int", "int |", "{*}", "{*: int", "]",
                                      "[[[[[[[[[int]]]]]]]]]"};
    (void)state;
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++) {
        nx_buf b = NX_BUF_INIT(64 << 10);
        nx_jw w = NX_JW_INIT(&b);
        nx_error e = NX_ERROR_INIT;
        if (nx_shape_schema(bad[i], &w, &e) != NX_EINVAL || !strstr(e.msg, ", at "))
            fail_msg("%s: %s", bad[i], e.msg);
        nx_buf_done(&b);
    }
}

static void keys(const char *shape, const char *json, const char *wrong)
{
    nx_json *j = NULL;
    nx_error e = NX_ERROR_INIT;
    assert_int_equal(nx_json_parse(nx_slice_cstr(json), 4096, &j, &e), NX_OK);
    nx_err err = nx_shape_check_keys(shape, j, &e);
    nx_json_free(j);
    assert_string_equal(e.msg, wrong);
    assert_int_equal(err, *wrong ? NX_EINVAL : NX_OK);
}

static void test_shape_keys(void **state)
{
    const char *shape = "{ids?: [string], name, of?: {a: int, b?: [{c}] | null}, any?: any, more?: {…}, map?: {*: {d}}, kind: 'x, }' | 'y'}";
    (void)state;
    keys(shape, "{}", "");
    keys(shape, "{\"name\": 1, \"ids\": [\"x\"], \"kind\": \"z\", \"any\": {\"q\": 1}, \"more\": {\"q\": {\"r\": 2}}}", "");
    keys(shape, "{\"of\": {\"a\": 1, \"b\": [{\"c\": 1}]}, \"map\": {\"q\": {\"d\": 1}}}", "");
    keys(shape, "{\"of\": [1], \"name\": {\"q\": 1}, \"ids\": {\"q\": 1}}", ""); /* types are not its matter */
    keys(shape, "{\"nmae\": 1}", "there is no key \"nmae\" here; there are: ids, name, of, any, more, map, kind");
    keys(shape, "{\"of\": {\"c\": 1}}", "there is no key \"c\" here; there are: a, b");
    keys(shape, "{\"of\": {\"b\": [{\"c\": 1}, {\"d\": 1}]}}", "there is no key \"d\" here; there are: c");
    keys(shape, "{\"map\": {\"q\": {\"e\": 1}}}", "there is no key \"e\" here; there are: d");
    keys("{to} | {traffic: [{version}]}", "{\"traffic\": [{\"version\": 1}], \"to\": 1}", "");
    keys("{to} | {traffic: [{version}]}", "{\"too\": 1}", "there is no key \"too\" here; there are: to, traffic");
    keys("[{a}]", "[{\"a\": 1}, {\"b\": 1}]", "there is no key \"b\" here; there are: a");
    keys("{}", "{\"a\": 1}", "there is no key \"a\" here; there are: none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shape_of_plain_types),
        cmocka_unit_test(test_shape_of_objects),
        cmocka_unit_test(test_shape_of_alternatives),
        cmocka_unit_test(test_shape_that_is_none),
        cmocka_unit_test(test_shape_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
