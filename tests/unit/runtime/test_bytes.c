/* Cursors over bytes that may be damaged: what is read, and that a read past the end stays one. */
#include "bytes.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define BYTES(text) nx_rt_bytes_of(nx_slice_make(text, sizeof(text) - 1))

static void test_numbers_are_read_as_they_are_written(void **state)
{
    nx_rt_bytes b = BYTES("\x2a\x34\x12\xe5\x8e\x26\x7f\x80\x7f\xff\xff\xff\xff\x0f");

    (void)state;
    assert_int_equal(nx_rt_take_byte(&b), 42);
    assert_int_equal(nx_rt_take_le(&b, 2), 0x1234);
    assert_int_equal(nx_rt_take_uleb(&b), 624485);
    assert_int_equal(nx_rt_take_sleb(&b), -1);
    assert_int_equal(nx_rt_take_sleb(&b), -128);
    assert_int_equal(nx_rt_take_u32(&b), UINT32_MAX);
    assert_int_equal(nx_rt_bytes_left(&b).n, 0);
    assert_false(b.is_bad);
    b = BYTES("\1\2\3\4\5\6\7\x08zzzz");
    assert_int_equal(nx_rt_take_le(&b, 12), 0x0807060504030201);
    assert_false(b.is_bad);
}

static void test_a_number_wider_than_asked_for_is_bad_and_dropped_where_any_width_is_taken(void **state)
{
    nx_rt_bytes b = BYTES("\x80\x80\x80\x80\x10"); /* 2^32 */

    (void)state;
    assert_int_equal(nx_rt_take_u32(&b), 0);
    assert_true(b.is_bad);
    b = BYTES("\x81\x80\x80\x80\x80\x00"); /* a byte more than 32 bits take */
    assert_int_equal(nx_rt_take_u32(&b), 0);
    assert_true(b.is_bad);
    b = BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02");
    assert_int_equal(nx_rt_take_uleb_of(&b, 64), 0);
    assert_true(b.is_bad);
    b = BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f");
    assert_true(nx_rt_take_uleb(&b) == UINT64_MAX);
    assert_false(b.is_bad);
}

static void test_a_bad_cursor_has_nothing_left_and_stays_where_the_trouble_was(void **state)
{
    nx_rt_bytes b = BYTES("ab\x05xyz");
    const uint8_t *name = b.p + 3;

    (void)state;
    assert_int_equal(nx_rt_take(&b, 2).n, 2);
    assert_null(nx_rt_take_sized(&b).p); /* of 5 bytes only 3 are there */
    assert_true(b.is_bad && b.p == name);
    assert_int_equal(nx_rt_take_byte(&b), 0);
    assert_int_equal(nx_rt_take_sleb(&b), 0);
    assert_null(nx_rt_take(&b, 0).p);
    assert_true(b.is_bad && b.p == name && b.p == b.end);
    b = nx_rt_bytes_of(NX_SLICE_NULL);
    assert_int_equal(nx_rt_take_le(&b, 4), 0);
    assert_true(b.is_bad);
    b = nx_rt_bytes_at(NX_SLICE("text"), 4);
    assert_true(b.is_bad);
}

static void test_counts_are_bounded_by_what_is_there(void **state)
{
    nx_rt_bytes b = BYTES("\x03zzz");

    (void)state;
    assert_int_equal(nx_rt_take_count(&b), 3);
    b = BYTES("\x04zzz");
    assert_int_equal(nx_rt_take_count(&b), 0);
    assert_true(b.is_bad);
}

static void test_texts_end_with_their_nul(void **state)
{
    nx_rt_bytes b = BYTES("one\0two");

    (void)state;
    assert_true(nx_slice_eq_cstr(nx_rt_take_cstr(&b), "one"));
    assert_null(nx_rt_take_cstr(&b).p);
    assert_true(b.is_bad);
}

static void test_sections_are_taken_one_by_one(void **state)
{
    static const char module[] = "\0asm\1\0\0\0\x00\x03\x02xy\x0a\x00\x01\x09z";
    nx_rt_bytes b = nx_rt_sections_of(nx_slice_make(module, sizeof module - 1));
    uint8_t id;
    nx_slice body;

    (void)state;
    assert_true(nx_rt_take_section(&b, &id, &body));
    assert_true(id == 0 && nx_slice_eq_cstr(body, "\x02xy"));
    assert_true(nx_rt_take_section(&b, &id, &body));
    assert_true(id == 10 && body.n == 0);
    assert_false(nx_rt_take_section(&b, &id, &body)); /* is cut */
    assert_true(b.is_bad);
    b = nx_rt_sections_of(nx_slice_make(module, 8));
    assert_false(nx_rt_take_section(&b, &id, &body));
    assert_false(b.is_bad);
    b = nx_rt_sections_of(nx_slice_make(module, 7));
    assert_true(b.is_bad);
}

static void test_what_is_written_is_read_again(void **state)
{
    static const uint64_t values[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX};
    nx_buf out = NX_BUF_INIT(64);
    nx_rt_bytes b;

    (void)state;
    for (size_t i = 0; i < NX_ARRAY_LEN(values); i++) assert_int_equal(nx_rt_put_uleb(&out, values[i]), NX_OK);
    b = nx_rt_bytes_of(nx_buf_view(&out));
    for (size_t i = 0; i < NX_ARRAY_LEN(values); i++) assert_int_equal(nx_rt_take_u32(&b), values[i]);
    assert_true(!b.is_bad && b.p == b.end);
    nx_buf_done(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_are_read_as_they_are_written),
        cmocka_unit_test(test_a_number_wider_than_asked_for_is_bad_and_dropped_where_any_width_is_taken),
        cmocka_unit_test(test_a_bad_cursor_has_nothing_left_and_stays_where_the_trouble_was),
        cmocka_unit_test(test_counts_are_bounded_by_what_is_there),
        cmocka_unit_test(test_texts_end_with_their_nul),
        cmocka_unit_test(test_sections_are_taken_one_by_one),
        cmocka_unit_test(test_what_is_written_is_read_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
