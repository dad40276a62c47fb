/* Instants, durations, sizes as text. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "nx/clock.h"

/* Below 0 poll() would wait for ever: whoever was kept from a core between two looks at the clock must not. */
static void test_what_is_left_is_never_below_0(void **state)
{
    (void)state;
    assert_int_equal(nx_clock_poll_ms(0, 1), 1);
    assert_int_equal(nx_clock_poll_ms(7, 7 + 5 * NX_NS_PER_MS), 5);
    assert_int_equal(nx_clock_poll_ms(7, 8 + 5 * NX_NS_PER_MS), 6);
    assert_int_equal(nx_clock_poll_ms(7, 7), 0);
    assert_int_equal(nx_clock_poll_ms(8, 7), 0);
    assert_int_equal(nx_clock_poll_ms(3600 * NX_NS_PER_S, 0), 0);
    assert_int_equal(nx_clock_poll_ms(0, UINT64_MAX), INT_MAX);
}

static void test_rfc3339_format(void **state)
{
    (void)state;
    char out[NX_RFC3339_MAX];
    assert_int_equal(nx_clock_rfc3339(1764152625ull * NX_NS_PER_S, 0, out), 20);
    assert_string_equal(out, "2025-11-26T10:23:45Z");
    nx_clock_rfc3339(1764152625ull * NX_NS_PER_S + 12034567, 3, out);
    assert_string_equal(out, "2025-11-26T10:23:45.012Z");
    assert_int_equal(nx_clock_rfc3339(1, 9, out), 30);
    assert_string_equal(out, "1970-01-01T00:00:00.000000001Z");
    nx_clock_rfc3339(UINT64_MAX, 9, out);
    assert_string_equal(out, "2554-07-21T23:34:33.709551615Z");
}

static void test_rfc3339_agrees_with_libc(void **state)
{
    (void)state;
    for (uint64_t s = 0; s < 9214646400ull; s += 86399 * 7 + 3) { /* to 2262, about every week, at moving hours */
        char ours[NX_RFC3339_MAX], theirs[32];
        time_t t = (time_t)s;
        struct tm tm;
        gmtime_r(&t, &tm);
        strftime(theirs, sizeof theirs, "%Y-%m-%dT%H:%M:%SZ", &tm);
        nx_clock_rfc3339(s * NX_NS_PER_S, 0, ours);
        assert_string_equal(ours, theirs);
        uint64_t back;
        assert_int_equal(nx_clock_parse_rfc3339(nx_slice_cstr(ours), &back), NX_OK);
        assert_true(back == s * NX_NS_PER_S);
    }
}

static void test_rfc3339_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2025-11-26T12:23:45+02:00", 1764152625ull * NX_NS_PER_S},
        {"2025-11-26T05:53:45.5-04:30", 1764152625ull * NX_NS_PER_S + 500000000},
        {"2025-11-26t10:23:45z", 1764152625ull * NX_NS_PER_S},
        {"2024-02-29T00:00:00.123456789Z", 1709164800ull * NX_NS_PER_S + 123456789},
        {"2024-02-29T00:00:00.1234567891Z", 1709164800ull * NX_NS_PER_S + 123456789},
        {"2016-12-31T23:59:60Z", 1483228800ull * NX_NS_PER_S},
        {"1969-12-31T23:00:00-01:00", 0},
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(good); i++) {
        uint64_t ns = 1;
        if (nx_clock_parse_rfc3339(nx_slice_cstr(good[i].text), &ns) != NX_OK || ns != good[i].ns) fail_msg("%s", good[i].text);
    }
    static const char *const bad[] = {
        "",
        "2025-11-26",
        "2025-11-26T10:23:45",
        "2025-11-26 10:23:45Z",
        "2025-11-26T10:23Z",
        "2025-13-01T00:00:00Z",
        "2025-00-01T00:00:00Z",
        "2025-02-29T00:00:00Z",
        "2025-01-32T00:00:00Z",
        "2025-01-01T24:00:00Z",
        "2025-01-01T00:60:00Z",
        "2025-01-01T00:00:61Z",
        "2025-01-01T00:00:00.Z",
        "2025-01-01T00:00:00+0100",
        "2025-01-01T00:00:00+24:00",
        "2025-01-01T00:00:00+01:00x",
        "2025-01-01T00:00:00Zx",
        "1969-12-31T23:59:59Z",
        "2263-01-01T00:00:00Z",
        "2025-1-01T00:00:00Z0",
        "+025-01-01T00:00:00Z",
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++) {
        uint64_t ns;
        if (nx_clock_parse_rfc3339(nx_slice_cstr(bad[i]), &ns) != NX_EPARSE) fail_msg("%s", bad[i]);
    }
    assert_true(nx_clock_is_rfc3339(NX_SLICE("0001-01-01T00:00:00Z")));
    assert_false(nx_clock_is_rfc3339(NX_SLICE("0000-02-30T00:00:00Z")));
}

static void test_duration_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        nx_err err;
        uint64_t ns;
    } cases[] = {
        {"250ms", NX_OK, 250 * NX_NS_PER_MS},
        {"5s", NX_OK, 5 * NX_NS_PER_S},
        {"1m30s", NX_OK, 90 * NX_NS_PER_S},
        {"2h", NX_OK, 7200 * NX_NS_PER_S},
        {"7d", NX_OK, 604800 * NX_NS_PER_S},
        {"1.5s", NX_OK, 1500 * NX_NS_PER_MS},
        {"0", NX_OK, 0},
        {"0s", NX_OK, 0},
        {"0.000000001s", NX_OK, 1},
        {"100us", NX_OK, 100000},
        {"1h0.5m", NX_OK, 3630 * NX_NS_PER_S},
        {"18446744073709551615ns", NX_OK, UINT64_MAX},
        {"18446744073709551616ns", NX_ELIMIT, 0},
        {"213504d", NX_ELIMIT, 0},
        {"213503d23h34m33s709551616ns", NX_ELIMIT, 0},
        {"", NX_EPARSE, 0},
        {"5", NX_EPARSE, 0},
        {"5 s", NX_EPARSE, 0},
        {"-5s", NX_EPARSE, 0},
        {"5 parsecs", NX_EPARSE, 0},
        {"5S", NX_EPARSE, 0},
        {"5s5s", NX_EPARSE, 0},
        {"5s1m", NX_EPARSE, 0},
        {".5s", NX_EPARSE, 0},
        {"5.s", NX_EPARSE, 0},
        {"1.5ns", NX_EPARSE, 0},
        {"s", NX_EPARSE, 0},
        {"1s2", NX_EPARSE, 0},
        {"99999999999999999999999999x", NX_EPARSE, 0},
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
        uint64_t ns = 0;
        if (nx_duration_parse(nx_slice_cstr(cases[i].text), &ns) != cases[i].err || ns != cases[i].ns) fail_msg("%s", cases[i].text);
    }
}

static void test_duration_format_round_trip(void **state)
{
    (void)state;
    static const struct {
        uint64_t ns;
        const char *text;
    } cases[] = {
        {0, "0s"},
        {5 * NX_NS_PER_S, "5s"},
        {250 * NX_NS_PER_MS, "250ms"},
        {1500 * NX_NS_PER_MS, "1.5s"},
        {90 * NX_NS_PER_S, "90s"},
        {604800 * NX_NS_PER_S, "7d"},
        {7200 * NX_NS_PER_S, "2h"},
        {86401 * NX_NS_PER_S, "1d1s"},
        {1500000, "1.5ms"},
        {1, "1ns"},
        {3600 * NX_NS_PER_S + NX_NS_PER_MS, "1h1ms"},
    };
    char out[32];
    for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
        nx_duration_format(cases[i].ns, out);
        assert_string_equal(out, cases[i].text);
    }
    uint64_t v = 1;
    for (int i = 0; i < 20000; i++, v = v * 6364136223846793005ull + 1442695040888963407ull) {
        uint64_t ns = v >> (i % 64), back = 0;
        size_t n = nx_duration_format(ns, out);
        assert_true(n < sizeof out && strlen(out) == n);
        if (nx_duration_parse(nx_slice_cstr(out), &back) != NX_OK || back != ns) fail_msg("%llu -> %s", (unsigned long long)ns, out);
    }
}

static void test_size(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        nx_err err;
        uint64_t bytes;
    } cases[] = {
        {"128Mi", NX_OK, 128u << 20},
        {"1Gi", NX_OK, 1u << 30},
        {"64Ki", NX_OK, 64u << 10},
        {"500k", NX_OK, 500000},
        {"10M", NX_OK, 10000000},
        {"1G", NX_OK, 1000000000},
        {"123", NX_OK, 123},
        {"128MiB", NX_OK, 128u << 20},
        {"10MB", NX_OK, 10000000},
        {"7B", NX_OK, 7},
        {"1.5Gi", NX_OK, 3u << 29},
        {"0", NX_OK, 0},
        {"2Ti", NX_OK, 2ull << 40},
        {"18446744073709551616", NX_ELIMIT, 0},
        {"99999999999999Ti", NX_ELIMIT, 0},
        {"", NX_EPARSE, 0},
        {"Mi", NX_EPARSE, 0},
        {"128mi", NX_EPARSE, 0},
        {"64K", NX_EPARSE, 0},
        {"1 Gi", NX_EPARSE, 0},
        {"-1", NX_EPARSE, 0},
        {"1.5", NX_EPARSE, 0},
        {"0.3Ki", NX_EPARSE, 0},
        {"1MiBB", NX_EPARSE, 0},
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
        uint64_t bytes = 0;
        if (nx_size_parse(nx_slice_cstr(cases[i].text), &bytes) != cases[i].err || (cases[i].err == NX_OK && bytes != cases[i].bytes))
            fail_msg("%s", cases[i].text);
    }
    char out[32];
    static const struct {
        uint64_t bytes;
        const char *text;
    } forms[] = {{0, "0"}, {1, "1"}, {1024, "1Ki"}, {128u << 20, "128Mi"}, {500000, "500k"}, {1500, "1500"}, {1ull << 63, "8388608Ti"}};
    for (size_t i = 0; i < NX_ARRAY_LEN(forms); i++) {
        nx_size_format(forms[i].bytes, out);
        assert_string_equal(out, forms[i].text);
        uint64_t back;
        assert_int_equal(nx_size_parse(nx_slice_cstr(out), &back), NX_OK);
        assert_true(back == forms[i].bytes);
    }
}

static void test_clocks_run(void **state)
{
    (void)state;
    uint64_t a = nx_clock_ns(), b = nx_clock_ns();
    assert_true(b >= a);
    assert_true(nx_clock_wall_ns() > 1700000000ull * NX_NS_PER_S);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_left_is_never_below_0),
        cmocka_unit_test(test_rfc3339_format),
        cmocka_unit_test(test_rfc3339_agrees_with_libc),
        cmocka_unit_test(test_rfc3339_parse),
        cmocka_unit_test(test_duration_parse),
        cmocka_unit_test(test_duration_format_round_trip),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_clocks_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
