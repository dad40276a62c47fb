/* Schedules: what is one, when it ticks, in zones whose clocks change; zones against the C library's own reading of the same files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

#include "nx/clock.h"
#include "nx/cron.h"

#define LEN(a) (sizeof(a) / sizeof *(a))

static uint64_t at(const char *text)
{
    uint64_t ns = 0;
    if (nx_clock_parse_rfc3339(nx_slice_cstr(text), &ns) != NX_OK) fail_msg("%s is no time", text);
    return ns;
}

/* The ticks after `from`, as many as are named. */
static void ticks(const char *schedule, const char *from, const char *const *want)
{
    nx_cron c;
    nx_error err = NX_ERROR_INIT;
    char text[NX_RFC3339_MAX];
    uint64_t now = at(from), next;
    if (nx_cron_parse(nx_slice_cstr(schedule), &c, &err) != NX_OK) fail_msg("%s: %s", schedule, err.msg);
    for (; *want; want++) {
        if (nx_cron_next(&c, now, &next) != NX_OK) fail_msg("%s: no tick after %s", schedule, from);
        assert_true(next > now);
        if (next != at(*want)) {
            nx_clock_rfc3339(next, 0, text);
            fail_msg("%s after %s: %s, not %s", schedule, from, text, *want);
        }
        now = next;
    }
    nx_cron_done(&c);
}
#define TICKS(schedule, from, ...) ticks(schedule, from, (const char *const[]){__VA_ARGS__, NULL})

static void test_cron_ticks_in_utc(void **state)
{
    (void)state;
    TICKS("* * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z", "2026-01-01T00:02:00Z");
    TICKS("* * * * *", "2026-01-01T00:00:59.9Z", "2026-01-01T00:01:00Z");
    TICKS("*/15 * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:15:00Z", "2026-01-01T00:30:00Z", "2026-01-01T00:45:00Z", "2026-01-01T01:00:00Z");
    TICKS("5,10-12 3 * * *", "2026-01-01T03:10:00Z", "2026-01-01T03:11:00Z", "2026-01-01T03:12:00Z", "2026-01-02T03:05:00Z");
    TICKS("0 9 * * MON-FRI", "2026-01-02T09:00:00Z", "2026-01-05T09:00:00Z"); /* a Friday to Monday */
    TICKS("0 0 * * 7", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z");
    TICKS("0 0 * * 5-7", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "2026-01-03T00:00:00Z", "2026-01-04T00:00:00Z", "2026-01-09T00:00:00Z");
    TICKS("0 0 13 * 5", "2026-02-01T00:00:00Z", "2026-02-06T00:00:00Z", "2026-02-13T00:00:00Z"); /* either matches */
    TICKS("0 0 */2 * 1", "2026-02-01T00:00:00Z", "2026-02-09T00:00:00Z");                        /* both have to: one begins with * */
    TICKS("0 0 31 * *", "2026-01-31T00:00:00Z", "2026-03-31T00:00:00Z", "2026-05-31T00:00:00Z");
    TICKS("0 12 29 feb *", "2026-01-01T00:00:00Z", "2028-02-29T12:00:00Z", "2032-02-29T12:00:00Z");
    TICKS("0 0 29 2 *", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z");
    TICKS("59 23 31 12 *", "2026-06-01T00:00:00Z", "2026-12-31T23:59:00Z", "2027-12-31T23:59:00Z");
    TICKS("10/20 * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:10:00Z", "2026-01-01T00:30:00Z", "2026-01-01T00:50:00Z");
    TICKS("@hourly", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z");
    TICKS("@daily", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
    TICKS("@weekly", "2026-01-01T00:00:00Z", "2026-01-04T00:00:00Z");
    TICKS("@monthly", "2026-01-01T00:00:00Z", "2026-02-01T00:00:00Z");
    TICKS("@yearly", "2026-01-01T00:00:00Z", "2027-01-01T00:00:00Z");
    TICKS("  @every 90s ", "2026-01-01T00:00:00Z", "2026-01-01T00:01:30Z", "2026-01-01T00:03:00Z");
    TICKS("@every 6h", "2026-01-01T05:59:59Z", "2026-01-01T06:00:00Z", "2026-01-01T12:00:00Z");
}

static void test_cron_ticks_where_clocks_change(void **state)
{
    (void)state;
    /* Berlin, 29 March 2026: 02:00 is followed by 03:00, at 01:00 UTC. 25 October: 03:00 by 02:00, at 01:00 UTC. */
    TICKS("TZ=Europe/Berlin 0 9 * * *", "2026-03-28T00:00:00Z", "2026-03-28T08:00:00Z", "2026-03-29T07:00:00Z", "2026-03-30T07:00:00Z");
    TICKS("TZ=Europe/Berlin 30 2 * * *", "2026-03-28T00:00:00Z", "2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z");
    TICKS("TZ=Europe/Berlin */10 2 * * *", "2026-03-28T01:50:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z");
    TICKS("TZ=Europe/Berlin 0 3 * * *", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z", "2026-03-30T01:00:00Z"); /* not skipped, and once */
    TICKS("TZ=Europe/Berlin 30 * * * *", "2026-03-29T00:00:00Z", "2026-03-29T00:30:00Z", "2026-03-29T01:30:00Z");
    TICKS("TZ=Europe/Berlin 30 2 * * *", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z");
    TICKS("TZ=Europe/Berlin 0 3 * * *", "2026-10-24T12:00:00Z", "2026-10-25T02:00:00Z", "2026-10-26T02:00:00Z");
    TICKS("TZ=Europe/Berlin 30 * * * *", "2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-25T01:30:00Z", "2026-10-25T02:30:00Z");
    TICKS("TZ=Europe/Berlin */30 1-2 * * *", "2026-10-24T23:00:00Z", "2026-10-24T23:30:00Z", "2026-10-25T00:00:00Z", "2026-10-25T00:30:00Z", "2026-10-26T00:00:00Z");
    /* New York the other way round of the day; a southern zone; one that changes by half an hour; offsets that are no whole hour. */
    TICKS("TZ=America/New_York 30 2 * * *", "2026-03-07T12:00:00Z", "2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z");
    TICKS("TZ=America/New_York 30 1 * * *", "2026-10-31T12:00:00Z", "2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z");
    TICKS("TZ=Australia/Sydney 30 2 * * *", "2026-10-03T00:00:00Z", "2026-10-03T16:00:00Z", "2026-10-04T15:30:00Z");
    TICKS("TZ=Australia/Lord_Howe 15 2 * * *", "2026-10-03T00:00:00Z", "2026-10-03T15:30:00Z", "2026-10-04T15:15:00Z");
    TICKS("TZ=Asia/Kathmandu 0 0 * * *", "2026-01-01T00:00:00Z", "2026-01-01T18:15:00Z");
    /* Far behind what the files list, by the rule at their end. */
    TICKS("TZ=Europe/Berlin 30 2 * * *", "2099-03-28T12:00:00Z", "2099-03-29T01:00:00Z");
    TICKS("TZ=UTC 0 0 * * *", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z");
}

static void test_cron_refuses(void **state)
{
    static const char *const bad[][2] = {
        {"", "5 fields"},
        {"* * * *", "5 fields"},
        {"0 0 * * * *", "not 6"},
        {"60 * * * *", "minute: \"60\" is not in 0-59"},
        {"* 24 * * *", "hour"},
        {"* * 0 * *", "day"},
        {"* * * 13 *", "month"},
        {"* * * * 8", "weekday"},
        {"* * * * MONDAY", "weekday"},
        {"*/0 * * * *", "step"},
        {"*/ * * * *", "step"},
        {"*/99 * * * *", "step"},
        {"5-1 * * * *", "backwards"},
        {"1,,2 * * * *", "minute"},
        {"1, * * * *", "minute"},
        {", * * * *", "minute"},
        {"-5 * * * *", "minute"},
        {"5- * * * *", "minute"},
        {"*-5 * * * *", "minute"},
        {"L * * * *", "minute"},
        {"0 0 31 2 *", "never"},
        {"0 0 31 4,6,9,11 *", "never"},
        {"@fortnightly", "none of"},
        {"@every", "duration"},
        {"@every 10ms", "duration"},
        {"@every 1000d", "duration"},
        {"TZ=Mars/Olympus 0 0 * * *", "time zone"},
        {"TZ=../etc/passwd 0 0 * * *", "time zone"},
        {"TZ=/etc/passwd 0 0 * * *", "time zone"},
        {"TZ=Europe//Berlin 0 0 * * *", "time zone"},
        {"TZ=Europe 0 0 * * *", "time zone"}, /* a folder */
        {"TZ= 0 0 * * *", "time zone"},
        {"TZ=Europe/Berlin @every 1h", "interval"},
        {"TZ=Europe/Berlin", "5 fields"},
    };
    (void)state;
    for (size_t i = 0; i < LEN(bad); i++) {
        nx_cron c = {.minutes = 77};
        nx_error err = NX_ERROR_INIT;
        if (nx_cron_parse(nx_slice_cstr(bad[i][0]), &c, &err) == NX_OK) fail_msg("\"%s\" was taken", bad[i][0]);
        if (!strstr(err.msg, bad[i][1])) fail_msg("\"%s\": %s", bad[i][0], err.msg);
        assert_int_equal(c.minutes, 77);
    }
}

static void test_cron_latest_of_many_missed(void **state)
{
    static const char *const cases[][4] = {
        {"* * * * *", "2025-01-01T00:00:00Z", "2026-03-01T10:20:30Z", "2026-03-01T10:20:00Z"},
        {"@every 10s", "2025-01-01T00:00:00Z", "2026-03-01T10:20:35Z", "2026-03-01T10:20:30Z"},
        {"0 0 1 1 *", "2020-01-01T00:00:00Z", "2026-03-01T10:20:30Z", "2026-01-01T00:00:00Z"},
        {"0 0 * * *", "2026-02-27T00:00:00Z", "2026-03-01T10:20:30Z", "2026-03-01T00:00:00Z"},
        {"0 0 * * *", "2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z", "2026-03-01T00:00:00Z"},
        {"0 0 * * *", "2026-03-02T00:00:00Z", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"}, /* not due yet */
        {"@every 10s", "2026-03-02T00:00:00Z", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"},
    };
    (void)state;
    for (size_t i = 0; i < LEN(cases); i++) {
        nx_cron c;
        assert_int_equal(nx_cron_parse(nx_slice_cstr(cases[i][0]), &c, NULL), NX_OK);
        assert_int_equal(nx_cron_latest(&c, at(cases[i][1]), at(cases[i][2])), at(cases[i][3]));
        nx_cron_done(&c);
    }
}

static void test_cron_has_an_end(void **state)
{
    nx_cron c;
    uint64_t next;
    (void)state;
    assert_int_equal(nx_cron_parse(NX_SLICE("0 0 1 1 *"), &c, NULL), NX_OK);
    assert_int_equal(nx_cron_next(&c, UINT64_MAX, &next), NX_ENOENT);
    assert_int_equal(nx_cron_next(&c, at("2261-06-01T00:00:00Z"), &next), NX_ENOENT);
    assert_int_equal(nx_cron_next(&c, 0, &next), NX_OK);
    nx_cron_done(&c);
}

/* Every span of a zone from 1970 to 2100 has the offset that localtime_r() finds in the same file. */
static void check_zone(const char *name)
{
    nx_tz *z = NULL;
    nx_error err = NX_ERROR_INIT;
    if (nx_tz_load(nx_slice_cstr(name), &z, &err) != NX_OK) fail_msg("%s: %s", name, err.msg);
    setenv("TZ", name, 1);
    tzset();
    for (int64_t t = 0; t < 4102444800LL;) {
        nx_tz_span sp;
        nx_tz_span_at(z, t, &sp);
        int64_t last = sp.end_s == INT64_MAX || sp.end_s > 4102444800LL ? 4102444800LL : sp.end_s;
        int64_t probes[] = {t, (t + last) / 2, last - 1};
        for (size_t i = 0; i < LEN(probes); i++) {
            struct tm tm;
            time_t when = (time_t)probes[i];
            localtime_r(&when, &tm);
            if (tm.tm_gmtoff != sp.offset_s) fail_msg("%s at %lld: %d, not %ld", name, (long long)probes[i], sp.offset_s, tm.tm_gmtoff);
        }
        if (sp.begin_s != INT64_MIN && sp.begin_s > 0) {
            struct tm tm;
            time_t when = (time_t)(sp.begin_s - 1);
            localtime_r(&when, &tm);
            if (tm.tm_gmtoff != sp.before_s) fail_msg("%s before %lld: %d, not %ld", name, (long long)sp.begin_s, sp.before_s, tm.tm_gmtoff);
        }
        t = last;
    }
    nx_tz_free(z);
    setenv("TZ", "UTC", 1);
    tzset();
}

static void test_tz_agrees_with_the_c_library(void **state)
{
    static const char *const names[] = {
        "Europe/Berlin", "Europe/London", "Europe/Dublin", "America/New_York", "America/Sao_Paulo", "America/St_Johns", "America/Santiago",
        "Asia/Tehran", "Asia/Kathmandu", "Asia/Tokyo", "Asia/Gaza", "Africa/Casablanca", "Africa/Cairo", "Australia/Lord_Howe", "Australia/Sydney",
        "Pacific/Apia", "Pacific/Chatham", "Pacific/Auckland", "America/Nuuk", "Antarctica/Troll", "Etc/GMT+5", "EST5EDT"};
    (void)state;
    for (size_t i = 0; i < LEN(names); i++) check_zone(names[i]);
}

static void test_tz_refuses_files_that_are_none(void **state)
{
    char file[44 + 6 + 1] = "TZif";
    nx_tz *z = NULL;
    (void)state;
    assert_int_equal(nx_tz_parse(NX_SLICE(""), &z, NULL), NX_ECORRUPT);
    assert_int_equal(nx_tz_parse(NX_SLICE("TZif"), &z, NULL), NX_ECORRUPT);
    file[39] = 1; /* one type, no name */
    assert_int_equal(nx_tz_parse(nx_slice_make(file, 44), &z, NULL), NX_ECORRUPT);
    assert_int_equal(nx_tz_parse(nx_slice_make(file, 50), &z, NULL), NX_OK); /* the smallest one: UTC for ever */
    nx_tz_free(z);
    file[31] = 1; /* a leap second */
    assert_int_equal(nx_tz_parse(nx_slice_make(file, sizeof file), &z, NULL), NX_ECORRUPT);
    file[31] = 0;
    file[32] = 1; /* 16 million changes */
    assert_int_equal(nx_tz_parse(nx_slice_make(file, sizeof file), &z, NULL), NX_ECORRUPT);
    file[32] = 0;
    file[44] = 0x7f; /* an offset of years */
    assert_int_equal(nx_tz_parse(nx_slice_make(file, 50), &z, NULL), NX_ECORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cron_ticks_in_utc),
        cmocka_unit_test(test_cron_ticks_where_clocks_change),
        cmocka_unit_test(test_cron_refuses),
        cmocka_unit_test(test_cron_latest_of_many_missed),
        cmocka_unit_test(test_cron_has_an_end),
        cmocka_unit_test(test_tz_agrees_with_the_c_library),
        cmocka_unit_test(test_tz_refuses_files_that_are_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
