#include "cli_test.h"

static void print_safe(FILE *out, void *self)
{
    nx_cli_print_safe(out, nx_slice_cstr(self));
}

static void assert_safe(const char *text, const char *expected)
{
    char *printed = cli_test_printed(print_safe, (void *)(uintptr_t)text);
    assert_string_equal(printed, expected);
    free(printed);
}

static void test_term_text_of_others_cannot_drive_the_terminal(void **state)
{
    (void)state;
    assert_safe("plain \xc3\xa4 \xe2\x82\xac\ttab", "plain \xc3\xa4 \xe2\x82\xac\ttab");
    assert_safe("\033[2J\007", "\\x1b[2J\\x07");
    assert_safe("a\nb\r", "a\\x0ab\\x0d");
    assert_safe("\xc2\x9b"
                "31m",
                "\\xc2\\x9b31m"); /* the one-byte form of ESC [ in UTF-8 */
    assert_safe("\xff\xfe", "\\xff\\xfe");
    assert_safe("\x7f", "\\x7f");
}

static void print_table(FILE *out, void *self)
{
    nx_cli_table_print(self, false, out);
}

static void test_term_table_aligns_and_is_safe(void **state)
{
    (void)state;
    static const char *const heads[] = {"NAME", ">SIZE", "LAST"};
    nx_cli_table t;
    nx_cli_table_init(&t, 3, heads);
    nx_cli_table_cell(&t, NX_SLICE("a"));
    nx_cli_table_cellf(&t, "%d B", 12);
    nx_cli_table_cell(&t, NX_SLICE("x"));
    nx_cli_table_cell(&t, NX_SLICE("\xc3\xa4rger\033"));
    nx_cli_table_cell(&t, NX_SLICE("1234567"));
    nx_cli_table_cell(&t, NX_SLICE_NULL);
    char *text = cli_test_printed(print_table, &t);
    assert_string_equal(text, "NAME          SIZE  LAST\n"
                              "a             12 B  x\n"
                              "\xc3\xa4rger\\x1b  1234567  \n");
    free(text);
    nx_cli_table_done(&t);
}

static void test_term_sizes_and_durations_are_short(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        const char *text;
    } sizes[] = {{0, "0 B"}, {999, "999 B"}, {1000, "1.0 kB"}, {1450, "1.4 kB"}, {23456, "23 kB"}, {999600, "1.0 MB"}, {UINT64_MAX, "18446744 TB"}};
    static const struct {
        double ms;
        const char *text;
    } times[] = {{0.04, "0.0ms"}, {0.83, "0.8ms"}, {9.94, "9.9ms"}, {12.4, "12ms"}, {3400, "3.4s"}};
    char out[16];
    for (unsigned i = 0; i < NX_ARRAY_LEN(sizes); i++) {
        nx_cli_format_bytes(sizes[i].bytes, out);
        assert_string_equal(out, sizes[i].text);
    }
    for (unsigned i = 0; i < NX_ARRAY_LEN(times); i++) {
        nx_cli_format_ms(times[i].ms, out);
        assert_string_equal(out, times[i].text);
    }
}

static void test_term_progress_is_nothing_without_a_terminal(void **state)
{
    (void)state;
    nx_cli c = {.err_is_tty = false};
    assert_null(nx_cli_progress_begin(&c, "x"));
    nx_cli_progress_end(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_term_text_of_others_cannot_drive_the_terminal),
        cmocka_unit_test(test_term_table_aligns_and_is_safe),
        cmocka_unit_test(test_term_sizes_and_durations_are_short),
        cmocka_unit_test(test_term_progress_is_nothing_without_a_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
