/* Buffers: growth, the cap, and that a failure changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nx/buf.h"

static void test_buf_append_over_cap_returns_elimit(void **state)
{
    (void)state;
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(10);
    assert_int_equal(nx_buf_append(&b, "0123456", 7), NX_OK);
    assert_int_equal(nx_buf_append(&b, "789x", 4), NX_ELIMIT);
    assert_int_equal(nx_buf_append_u64(&b, 1234), NX_ELIMIT);
    assert_int_equal(nx_buf_append_hex(&b, "ab", 2), NX_ELIMIT);
    assert_int_equal(nx_buf_printf(&b, "%s", "1234"), NX_ELIMIT);
    assert_true(nx_slice_eq_cstr(nx_buf_view(&b), "0123456"));
    assert_int_equal(nx_buf_append(&b, "789", 3), NX_OK);
    assert_int_equal(nx_buf_append_char(&b, 'x'), NX_ELIMIT);
    assert_null(nx_buf_cstr(&b)); /* no room for the NUL */
    assert_int_equal(b.n, 10);
    assert_true(b.cap <= 10);
}

static void test_buf_huge_requests(void **state)
{
    (void)state;
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(SIZE_MAX);
    assert_int_equal(nx_buf_append(&b, "x", 1), NX_OK);
    assert_int_equal(nx_buf_reserve(&b, SIZE_MAX), NX_ELIMIT);
    assert_int_equal(nx_buf_append_hex(&b, "x", SIZE_MAX), NX_ELIMIT);
    assert_true(nx_slice_eq_cstr(nx_buf_view(&b), "x"));
}

static void test_buf_formats(void **state)
{
    (void)state;
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(100000);
    assert_int_equal(nx_buf_append_u64(&b, 0), NX_OK);
    assert_int_equal(nx_buf_append_char(&b, ' '), NX_OK);
    assert_int_equal(nx_buf_append_u64(&b, UINT64_MAX), NX_OK);
    assert_int_equal(nx_buf_append_hex(&b, "\x00\xFF\x1a", 3), NX_OK);
    assert_int_equal(nx_buf_printf(&b, "[%d]", -5), NX_OK);
    assert_string_equal(nx_buf_cstr(&b), "0 1844674407370955161500ff1a[-5]");
    nx_buf_clear(&b);
    char big[3000];
    memset(big, 'y', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    assert_int_equal(nx_buf_printf(&b, "<%s>", big), NX_OK); /* longer than the stack buffer */
    assert_int_equal(b.n, sizeof big - 1 + 2);
    assert_int_equal(b.p[b.n - 1], '>');
}

static void test_buf_printf_at_exact_cap(void **state)
{
    (void)state;
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(4);
    assert_int_equal(nx_buf_printf(&b, "abcd"), NX_OK); /* vsnprintf's NUL must not need a fifth byte */
    assert_true(nx_slice_eq_cstr(nx_buf_view(&b), "abcd"));
}

static void test_buf_take_and_done_twice(void **state)
{
    (void)state;
    nx_buf b;
    nx_buf_init(&b, 64);
    assert_int_equal(nx_buf_append_cstr(&b, "hello"), NX_OK);
    char *p;
    size_t n;
    nx_buf_take(&b, &p, &n);
    assert_memory_equal(p, "hello", 5);
    assert_int_equal(n, 5);
    free(p);
    assert_int_equal(b.n, 0);
    assert_int_equal(nx_buf_append_cstr(&b, "again"), NX_OK);
    nx_buf_done(&b);
    nx_buf_done(&b);
    nx_buf_done(NULL);
}

static void test_buf_in_fixed_storage_is_never_reallocated(void **state)
{
    (void)state;
    char storage[8];
    nx_buf b = {storage, 0, sizeof storage, sizeof storage};
    assert_int_equal(nx_buf_append_cstr(&b, "12345678"), NX_OK);
    assert_int_equal(nx_buf_append_char(&b, '9'), NX_ELIMIT);
    assert_ptr_equal(b.p, storage);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_buf_append_over_cap_returns_elimit),
        cmocka_unit_test(test_buf_huge_requests),
        cmocka_unit_test(test_buf_formats),
        cmocka_unit_test(test_buf_printf_at_exact_cap),
        cmocka_unit_test(test_buf_take_and_done_twice),
        cmocka_unit_test(test_buf_in_fixed_storage_is_never_reallocated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
