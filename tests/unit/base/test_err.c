/* The error table and error detail. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "nx/err.h"

/* row_of() finds rows by index, so the table has to be dense and in order; exit codes and statuses have to be in range. */
static void test_err_table_is_dense_and_in_range(void **state)
{
    (void)state;
    int expected = 0;
#define NX_ERR(sym, val, text, retry, http, exitc)     \
    assert_int_equal(sym, -expected);                  \
    assert_string_equal(nx_err_name(sym), #sym);       \
    assert_string_equal(nx_err_text(sym), text);       \
    assert_int_equal(nx_err_is_retryable(sym), retry); \
    assert_int_equal(nx_err_http_status(sym), http);   \
    assert_int_equal(nx_err_exit_code(sym), exitc);    \
    assert_in_range((exitc), 0, 255);                  \
    expected++;
#include "err.def"
#undef NX_ERR
}

static void test_err_unknown_code_reads_as_bug(void **state)
{
    (void)state;
    assert_string_equal(nx_err_name(-9999), "NX_EBUG");
    assert_string_equal(nx_err_name(7), "NX_EBUG");
    assert_string_equal(nx_err_name(INT32_MIN), "NX_EBUG");
}

static void test_error_set_without_storage_returns_code(void **state)
{
    (void)state;
    assert_int_equal(nx_error_set(NULL, NX_ELIMIT, "%d", 1), NX_ELIMIT);
    assert_int_equal(nx_error_prefix(NULL, "x"), NX_OK);
}

static void test_error_set_cuts_between_characters(void **state)
{
    (void)state;
    char text[NX_ERROR_MSG_MAX + 8];
    for (int offset = 0; offset < 4; offset++) { /* a three-byte character across the end, in every position */
        memset(text, 'a', sizeof text);
        size_t at = (size_t)(NX_ERROR_MSG_MAX - 4 + offset);
        memcpy(text + at, "\xE2\x82\xAC", 3);
        text[sizeof text - 1] = '\0';
        nx_error e = NX_ERROR_INIT;
        assert_int_equal(nx_error_set(&e, NX_EINVAL, "%s", text), NX_EINVAL);
        size_t n = strlen(e.msg);
        assert_int_equal(n, at + 3 <= NX_ERROR_MSG_MAX - 1 ? NX_ERROR_MSG_MAX - 1 : at);
    }
}

static void test_error_prefix_keeps_code_and_message(void **state)
{
    (void)state;
    nx_error e = NX_ERROR_INIT;
    nx_error_set(&e, NX_ENOENT, "no file");
    assert_int_equal(nx_error_prefix(&e, "loading %s", "x"), NX_ENOENT);
    assert_string_equal(e.msg, "loading x: no file");
    nx_error_set(&e, NX_EIO, "again: %s", e.msg); /* an argument inside the message */
    assert_string_equal(e.msg, "again: loading x: no file");
    char big[2000];
    memset(big, 'p', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    assert_int_equal(nx_error_prefix(&e, "%s", big), NX_EIO);
    assert_int_equal(strlen(e.msg), NX_ERROR_MSG_MAX - 1);
}

static void test_err_from_errno(void **state)
{
    (void)state;
    assert_int_equal(nx_err_from_errno(0), NX_OK);
    assert_int_equal(nx_err_from_errno(ENOENT), NX_ENOENT);
    assert_int_equal(nx_err_from_errno(ENOMEM), NX_ENOMEM);
    assert_int_equal(nx_err_from_errno(EACCES), NX_EDENIED);
    assert_int_equal(nx_err_from_errno(ECONNREFUSED), NX_EUNAVAIL);
    assert_int_equal(nx_err_from_errno(12345), NX_EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_err_table_is_dense_and_in_range),
        cmocka_unit_test(test_err_unknown_code_reads_as_bug),
        cmocka_unit_test(test_error_set_without_storage_returns_code),
        cmocka_unit_test(test_error_set_cuts_between_characters),
        cmocka_unit_test(test_error_prefix_keeps_code_and_message),
        cmocka_unit_test(test_err_from_errno),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
