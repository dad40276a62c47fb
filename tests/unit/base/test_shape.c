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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shape_of_plain_types),
        cmocka_unit_test(test_shape_of_objects),
        cmocka_unit_test(test_shape_of_alternatives),
        cmocka_unit_test(test_shape_that_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
