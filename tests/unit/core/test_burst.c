/* The rule of `debounce`: which event of a key runs, when, and what becomes of the others. */
#include "burst.h"
#include "nx/clock.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#define PERIOD 10u
#define AT(s) ((uint64_t)(1000 + (s)))

static nx_core_moment moment(uint64_t seq) { return (nx_core_moment){.id = nx_ulid_new(seq), .seq = seq, .start_wall_ns = seq}; }

static nx_core_burst_verdict come(nx_core_burst *b, uint64_t seq, uint64_t now, uint64_t timeout, uint64_t *ret_before)
{
    nx_core_burst before;
    nx_core_moment m = moment(seq);
    bool is_changed;
    nx_core_burst_verdict v = nx_core_burst_come(b, &m, NX_SLICE_NULL, now, PERIOD, timeout, &before, &is_changed);
    *ret_before = before.last.seq;
    return v;
}

static nx_core_burst_verdict due(nx_core_burst *b, uint64_t seq)
{
    nx_core_moment m = moment(seq);
    bool is_changed;
    return nx_core_burst_due(b, &m, &is_changed);
}

static void test_only_the_last_event_runs(void **state)
{
    (void)state;
    nx_core_burst b = {0};
    uint64_t before;
    assert_int_equal(come(&b, 1, AT(0), 0, &before), NX_CORE_BURST_WAIT);
    assert_int_equal(before, 0);
    assert_int_equal(come(&b, 2, AT(4), 0, &before), NX_CORE_BURST_WAIT);
    assert_int_equal(before, 1);
    assert_int_equal(b.due_wall_ns, AT(14));
    assert_int_equal(due(&b, 1), NX_CORE_BURST_SKIP);
    assert_int_equal(due(&b, 2), NX_CORE_BURST_RUN);
    assert_int_equal(due(&b, 2), NX_CORE_BURST_RUN); /* its node died before it was recorded */
    assert_int_equal(due(&b, 1), NX_CORE_BURST_SKIP);
    assert_int_equal(come(&b, 3, AT(15), 0, &before), NX_CORE_BURST_WAIT);
    assert_int_equal(before, 0);
    assert_int_equal(due(&b, 3), NX_CORE_BURST_RUN);
}

/* The last event of a burst whose time is over runs, however late its timer is, and whatever has come meanwhile. */
static void test_what_comes_after_its_time_does_not_take_its_place(void **state)
{
    (void)state;
    nx_core_burst b = {0};
    uint64_t before;
    for (uint64_t i = 0; i < NX_CORE_BURST_CLOSED; i++) {
        assert_int_equal(come(&b, i + 1, AT(i * PERIOD), 0, &before), NX_CORE_BURST_WAIT);
        assert_int_equal(before, 0);
    }
    for (uint64_t i = 0; i < NX_CORE_BURST_CLOSED; i++)
        assert_int_equal(due(&b, i + 1), NX_CORE_BURST_RUN);
    assert_int_equal(come(&b, 3, AT(500), 0, &before), NX_CORE_BURST_GONE); /* its own message, again */
}

static void test_timeout_bounds_the_wait(void **state)
{
    (void)state;
    nx_core_burst b = {0};
    uint64_t before;
    for (uint64_t i = 0; i < 5; i++)
        assert_int_equal(come(&b, i + 1, AT(i * 5), 22, &before), NX_CORE_BURST_WAIT);
    assert_int_equal(before, 4);
    assert_int_equal(b.due_wall_ns, AT(22));
    assert_int_equal(come(&b, 6, AT(23), 22, &before), NX_CORE_BURST_WAIT); /* a new burst */
    assert_int_equal(before, 0);
    assert_int_equal(b.due_wall_ns, AT(33));
    assert_int_equal(due(&b, 5), NX_CORE_BURST_RUN);
    assert_int_equal(due(&b, 4), NX_CORE_BURST_SKIP);
}

static void test_an_event_that_comes_again_or_late(void **state)
{
    (void)state;
    nx_core_burst b = {0};
    uint64_t before;
    come(&b, 7, AT(0), 0, &before);
    assert_int_equal(come(&b, 7, AT(5), 0, &before), NX_CORE_BURST_WAIT);
    assert_int_equal(b.due_wall_ns, AT(10)); /* it does not wait longer for that */
    assert_int_equal(come(&b, 6, AT(6), 0, &before), NX_CORE_BURST_SKIP);
    assert_int_equal(b.last.seq, 7);
    /* One that was delayed counts from when it is delivered. */
    nx_core_moment late = {.id = nx_ulid_new(1), .seq = 2, .start_wall_ns = 50, .is_delayed = true};
    bool is_changed;
    nx_core_burst superseded;
    assert_int_equal(nx_core_burst_come(&b, &late, NX_SLICE_NULL, AT(7), PERIOD, 0, &superseded, &is_changed), NX_CORE_BURST_WAIT);
    assert_int_equal(superseded.last.seq, 7);
}

static void test_without_a_state_it_runs(void **state)
{
    (void)state;
    nx_core_burst b = {0};
    assert_int_equal(due(&b, 1), NX_CORE_BURST_RUN);
    nx_core_burst_parse(NX_SLICE("1 2 garbage"), &b);
    assert_int_equal(b.last.seq, 0);
    assert_int_equal(due(&b, 1), NX_CORE_BURST_RUN);
}

static void test_text_and_back(void **state)
{
    (void)state;
    char text[NX_CORE_BURST_TEXT_BYTES], again[NX_CORE_BURST_TEXT_BYTES], reply[NX_CORE_BURST_REPLY_BYTES];
    memset(reply, 'r', sizeof reply);
    nx_core_burst b = {.first_wall_ns = UINT64_MAX, .due_wall_ns = UINT64_MAX, .last = {nx_ulid_new(1), UINT64_MAX, UINT64_MAX, true}}, back;
    b.reply = nx_slice_make(reply, sizeof reply);
    for (; b.n_closed < NX_CORE_BURST_CLOSED; b.n_closed++)
        b.closed[b.n_closed] = UINT64_MAX;
    nx_core_burst_format(&b, text);
    assert_true(strlen(text) < NX_CORE_BURST_TEXT_BYTES - 1);
    nx_core_burst_parse(nx_slice_cstr(text), &back);
    assert_int_equal(back.n_closed, NX_CORE_BURST_CLOSED);
    assert_true(nx_slice_eq(back.reply, b.reply));
    nx_core_burst_format(&back, again);
    assert_string_equal(text, again);
    b.reply = NX_SLICE_NULL;
    nx_core_burst_format(&b, text);
    nx_core_burst_parse(nx_slice_cstr(text), &back);
    assert_int_equal(back.reply.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_the_last_event_runs),
        cmocka_unit_test(test_what_comes_after_its_time_does_not_take_its_place),
        cmocka_unit_test(test_timeout_bounds_the_wait),
        cmocka_unit_test(test_an_event_that_comes_again_or_late),
        cmocka_unit_test(test_without_a_state_it_runs),
        cmocka_unit_test(test_text_and_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
