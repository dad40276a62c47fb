/* Retries: when the next attempt is due, whether there is one, and the table of events that back off. */
#include "core_internal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static nx_fn_config settings(unsigned max_attempts, nx_jitter jitter)
{
    return (nx_fn_config){.retry_max_attempts = max_attempts, .retry_initial_ns = 100 * NX_NS_PER_MS, .retry_factor_milli = 2500, .retry_max_ns = 2 * NX_NS_PER_S, .retry_jitter = jitter};
}

static void test_interval_grows_by_the_factor_up_to_the_longest(void **state)
{
    (void)state;
    nx_fn_config f = settings(10, NX_JITTER_NONE);
    nx_id run = nx_ulid_new(1);
    static const unsigned ms[] = {100, 250, 625, 1562, 2000, 2000};
    for (unsigned i = 0; i < NX_ARRAY_LEN(ms); i++)
        assert_int_equal(nx_core_retry_interval(&f, &run, i + 1) / NX_NS_PER_MS, ms[i]);
    /* A function that was resumed begins anew. */
    f.retry_max_attempts = 3;
    assert_int_equal(nx_core_retry_interval(&f, &run, 4) / NX_NS_PER_MS, 100);
    /* Numbers that would overflow. */
    f = (nx_fn_config){.retry_max_attempts = 1000, .retry_initial_ns = UINT64_MAX / 4, .retry_factor_milli = 100000, .retry_max_ns = UINT64_MAX / 4};
    assert_true(nx_core_retry_interval(&f, &run, 999) <= UINT64_MAX / 4 + 1024);
    f = (nx_fn_config){.retry_max_attempts = 1000, .retry_initial_ns = 1, .retry_factor_milli = 1000, .retry_max_ns = 1};
    assert_int_equal(nx_core_retry_interval(&f, &run, 999), 1);
}

static void test_refused_attempts_wait_longer_up_to_8_s(void **state)
{
    (void)state;
    static const unsigned s[] = {1, 2, 4, 8, 8, 8};
    for (unsigned i = 0; i < NX_ARRAY_LEN(s); i++)
        assert_int_equal(nx_core_retry_refused(1, i + 1) / NX_NS_PER_S, s[i]);
    /* Attempts that were made do not count; nor does a lane's, which is no delivery of its own. */
    assert_int_equal(nx_core_retry_refused(5, 5) / NX_NS_PER_S, 1);
    assert_int_equal(nx_core_retry_refused(5, 7) / NX_NS_PER_S, 4);
    assert_int_equal(nx_core_retry_refused(5, 1) / NX_NS_PER_S, 1);
    assert_int_equal(nx_core_retry_refused(1, UINT64_MAX) / NX_NS_PER_S, 8);
}

static void test_jitter_follows_from_run_and_attempt(void **state)
{
    (void)state;
    nx_fn_config full = settings(10, NX_JITTER_FULL), equal = settings(10, NX_JITTER_EQUAL);
    uint64_t least = UINT64_MAX, most = 0;
    for (unsigned i = 0; i < 1000; i++) {
        nx_id run = nx_ulid_new(i);
        uint64_t a = nx_core_retry_interval(&full, &run, 1), b = nx_core_retry_interval(&equal, &run, 1);
        assert_int_equal(a, nx_core_retry_interval(&full, &run, 1));
        assert_true(a < 100 * NX_NS_PER_MS);
        assert_true(b >= 50 * NX_NS_PER_MS && b < 100 * NX_NS_PER_MS);
        least = a < least ? a : least;
        most = a > most ? a : most;
    }
    assert_true(least < 5 * NX_NS_PER_MS && most > 95 * NX_NS_PER_MS);
    nx_id fixed;
    assert_int_equal(nx_id_parse(NX_SLICE("01KAZV1HZ30000000000000000"), &fixed), NX_OK);
    uint64_t first = nx_core_retry_interval(&full, &fixed, 1), second = nx_core_retry_interval(&full, &fixed, 2);
    assert_true(first * 5 / 2 + 1000 < second || second + 1000 < first * 5 / 2); /* drawn anew for each attempt */
}

static nx_run decided(const nx_fn_config *f, nx_run_status status, nx_run_why why, unsigned attempt)
{
    nx_run r = {.run_id = nx_raw_id(1), .status = status, .why = why, .attempt = attempt};
    nx_core_retry_decide(f, 1000, &r);
    return r;
}

static void test_decide(void **state)
{
    (void)state;
    nx_fn_config f = settings(3, NX_JITTER_NONE);
    nx_run r = decided(&f, NX_RUN_OK, NX_WHY_NONE, 1);
    assert_true(r.is_final && r.next_wall_ns == 0 && r.max_attempts == 3);
    r = decided(&f, NX_RUN_ERROR, NX_WHY_TRAP, 1);
    assert_true(!r.is_final && r.next_wall_ns == 1000 + 100 * NX_NS_PER_MS);
    r = decided(&f, NX_RUN_TIMEOUT, NX_WHY_DEADLINE, 2);
    assert_true(!r.is_final && r.next_wall_ns == 1000 + 250 * NX_NS_PER_MS);
    r = decided(&f, NX_RUN_ERROR, NX_WHY_TRAP, 3);
    assert_true(r.is_final && r.after == NX_AFTER_DLQ && r.next_wall_ns == 0);
    static const nx_run_why never[] = {NX_WHY_NODE_CRASH, NX_WHY_HOP_LIMIT, NX_WHY_NO_MODULE, NX_WHY_EMIT};
    for (unsigned i = 0; i < NX_ARRAY_LEN(never); i++)
        assert_true(decided(&f, NX_RUN_ERROR, never[i], 1).is_final);
    /* Named reasons only; the word of the status means the same as that of the reason. */
    f.retry_on = (nx_slice[]){NX_SLICE("exit"), NX_SLICE("timeout")};
    f.n_retry_on = 2;
    assert_true(decided(&f, NX_RUN_ERROR, NX_WHY_TRAP, 1).is_final);
    assert_false(decided(&f, NX_RUN_ERROR, NX_WHY_EXIT, 1).is_final);
    assert_false(decided(&f, NX_RUN_TIMEOUT, NX_WHY_DEADLINE, 1).is_final);
}

static void test_decide_what_follows_the_last_attempt(void **state)
{
    (void)state;
    nx_fn_config f = settings(2, NX_JITTER_NONE);
    f.on_exhausted = NX_EXHAUSTED_DROP;
    nx_run r = decided(&f, NX_RUN_ERROR, NX_WHY_TRAP, 2);
    assert_true(r.is_final && r.after == NX_AFTER_DROP);
    f.on_exhausted = NX_EXHAUSTED_PAUSE;
    r = decided(&f, NX_RUN_ERROR, NX_WHY_TRAP, 2);
    assert_true(!r.is_final && r.after == NX_AFTER_PAUSE && r.next_wall_ns == 0);
    r = decided(&f, NX_RUN_ERROR, NX_WHY_TRAP, 3); /* resumed: the budget starts again */
    assert_true(!r.is_final && r.after == NX_AFTER_DLQ && r.next_wall_ns > 0);
    r = decided(&f, NX_RUN_ERROR, NX_WHY_TRAP, 4);
    assert_true(!r.is_final && r.after == NX_AFTER_PAUSE);
    r = decided(&f, NX_RUN_DEAD, NX_WHY_NODE_CRASH, 1); /* would kill its node again */
    assert_true(r.is_final && r.after == NX_AFTER_DLQ);
    f = (nx_fn_config){0}; /* no settings at all: as with one attempt */
    assert_true(decided(&f, NX_RUN_ERROR, NX_WHY_TRAP, 1).is_final);
}

static void test_backoffs_are_taken_once(void **state)
{
    (void)state;
    nx_core_backoffs *t = NULL;
    assert_int_equal(nx_core_backoffs_new(&t), NX_OK);
    nx_core_backoff b = {.next_wall_ns = 7, .attempt = 2, .delivery = 3}, got;
    nx_id one = nx_ulid_new(1), other = nx_ulid_new(2);
    assert_false(nx_core_backoffs_take(t, &one, false, &got));
    nx_core_backoffs_put(t, &one, &b);
    assert_int_equal(nx_core_backoffs_count(t), 1);
    assert_false(nx_core_backoffs_take(t, &other, false, &got));
    assert_true(nx_core_backoffs_take(t, &one, false, &got));
    assert_true(got.next_wall_ns == 7 && got.attempt == 2 && got.delivery == 3);
    assert_false(nx_core_backoffs_take(t, &one, false, &got));
    assert_int_equal(nx_core_backoffs_count(t), 0);
    /* A timer's is another's, and a later one stands instead of the earlier. */
    b.is_timer = true;
    nx_core_backoffs_put(t, &one, &b);
    assert_int_equal(nx_core_backoffs_count(t), 0);
    assert_false(nx_core_backoffs_take(t, &one, false, &got));
    b.is_timer = false;
    b.attempt = 9;
    nx_core_backoffs_put(t, &one, &b);
    assert_int_equal(nx_core_backoffs_count(t), 1);
    assert_false(nx_core_backoffs_take(t, &one, true, &got));
    assert_true(nx_core_backoffs_take(t, &one, false, &got) && got.attempt == 9);
    assert_int_equal(nx_core_backoffs_count(t), 0);
    nx_core_backoffs_free(t);
    nx_core_backoffs_free(NULL);
}

/* Ten thousand: more than there is room for. Those that are long due give way, those that are not stay. */
static void test_backoffs_are_bounded(void **state)
{
    (void)state;
    nx_core_backoffs *t = NULL;
    assert_int_equal(nx_core_backoffs_new(&t), NX_OK);
    nx_core_backoff stale = {.next_wall_ns = 1}, due = {.next_wall_ns = nx_clock_wall_ns() + 3600 * NX_NS_PER_S, .attempt = 5}, got;
    nx_id first = nx_ulid_new(1), last = first;
    nx_core_backoffs_put(t, &first, &due);
    for (unsigned i = 0; i < 10000; i++) {
        last = nx_ulid_new(i);
        nx_core_backoffs_put(t, &last, i < 5000 ? &stale : &due);
    }
    assert_true(nx_core_backoffs_count(t) <= 8192);
    assert_true(nx_core_backoffs_take(t, &first, false, &got) && got.attempt == 5);
    assert_true(nx_core_backoffs_take(t, &last, false, &got) && got.attempt == 5);
    for (unsigned i = 0; i < 10000; i++) {
        last = nx_ulid_new(i);
        nx_core_backoffs_put(t, &last, &due);
    }
    assert_int_equal(nx_core_backoffs_count(t), 8192);
    nx_core_backoffs_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interval_grows_by_the_factor_up_to_the_longest),
        cmocka_unit_test(test_refused_attempts_wait_longer_up_to_8_s),
        cmocka_unit_test(test_jitter_follows_from_run_and_attempt),
        cmocka_unit_test(test_decide),
        cmocka_unit_test(test_decide_what_follows_the_last_attempt),
        cmocka_unit_test(test_backoffs_are_taken_once),
        cmocka_unit_test(test_backoffs_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
