/* test_share.c: who gets the next slot: shares, weights, CPU limits, order within a share. */
#include <pthread.h>
#include <string.h>

#include "attempts.h"
#include "nx/clock.h"
#include "rt_internal.h"

static nx_rt_share *share(unsigned weight, unsigned cpu_milli)
{
    nx_rt_share *s = NULL;
    assert_int_equal(nx_rt_share_new(&rt->workers.own, &s), NX_OK);
    nx_rt_share_set(s, weight, cpu_milli);
    return s;
}

#define SLOTS 2u /* of rt */
#define NOISE 40u
static void test_share_a_backlog_does_not_stand_before_others(void **state)
{
    (void)state;
    attempts_use_runtime(&(nx_rt_options){.slots = 1, .pool_slots = 4}); /* they end in the order in which they were chosen */
    nx_rt_program *slow = attempts_busy(10), *quick = rt_help_load_wat("(module (func (export \"handle_event\")))");
    nx_rt_share *noisy = share(100, 0), *quiet = share(100, 0);
    static nx_attempt a[NOISE], q;
    for (unsigned i = 0; i < 4; i++) attempts_submit_to(&a[i], slow, noisy);
    attempts_wait_ended(4);
    attempts_block(1);
    for (unsigned i = 4; i < NOISE; i++) attempts_submit_to(&a[i], slow, noisy);
    attempts_submit_to(&q, quick, quiet);
    attempts_release();
    attempts_wait_ended(NOISE + 1);
    assert_true(attempts_place(&q) <= 4 + 4); /* not behind the backlog */
    attempts_finish(a, NOISE);
    attempts_finish(&q, 1);
    nx_rt_share_unref(noisy);
    nx_rt_share_unref(quiet);
    nx_rt_program_unref(slow);
    nx_rt_program_unref(quick);
    attempts_drop_runtime();
}

/* Both slots are taken by guests that compute for long: they are paused, and go on afterwards. */
static void test_share_long_guests_give_their_slots_to_others(void **state)
{
    (void)state;
    nx_rt_program *slow = attempts_busy(1000), *quick = rt_help_load_wat("(module (func (export \"handle_event\")))");
    nx_rt_share *noisy = share(100, 0), *quiet = share(100, 0);
    static nx_attempt a[SLOTS], q[5];
    for (unsigned i = 0; i < SLOTS; i++) attempts_submit_to(&a[i], slow, noisy);
    attempts_wait_started(SLOTS);
    for (unsigned i = 0; i < 5; i++) {
        attempts_submit_to(&q[i], quick, quiet);
        attempts_wait_ended(i + 1);
    }
    for (unsigned i = 0; i < SLOTS; i++) assert_int_equal(attempts_place(&a[i]), UINT32_MAX); /* none of them has ended yet */
    unsigned queued, running;
    nx_rt_depth(rt, &queued, &running);
    assert_true(running <= SLOTS);
    attempts_wait_ended(SLOTS + 5);
    attempts_finish(a, SLOTS);
    attempts_finish(q, 5);
    nx_rt_share_unref(noisy);
    nx_rt_share_unref(quiet);
    nx_rt_program_unref(slow);
    nx_rt_program_unref(quick);
}

static void test_share_weights_divide_the_slots(void **state)
{
    (void)state;
    attempts_use_runtime(&(nx_rt_options){.slots = 1, .pool_slots = 48}); /* they end in the order in which they were chosen, whatever else the machine does */
    enum { N = 48 };
    nx_rt_program *p = attempts_busy(3);
    nx_rt_share *heavy = share(300, 0), *light = share(100, 0);
    static nx_attempt h[N], l[N];
    attempts_block(1);
    for (unsigned i = 0; i < N; i++) {
        attempts_submit_to(&l[i], p, light);
        attempts_submit_to(&h[i], p, heavy);
    }
    attempts_release();
    attempts_wait_ended(2 * N);
    unsigned n_light = 0, n_heavy = 0;
    for (unsigned i = 0; i < 2 * N && n_heavy < N; i++) { /* while both had something to run */
        bool is_heavy = attempts_ended(i) >= h && attempts_ended(i) < h + N;
        n_heavy += is_heavy;
        n_light += !is_heavy;
    }
    assert_in_range(n_light, N / 12, N * 3 / 4); /* about a third, as the weights are; a busy machine blurs it */
    attempts_finish(h, N);
    attempts_finish(l, N);
    nx_rt_share_unref(heavy);
    nx_rt_share_unref(light);
    nx_rt_program_unref(p);
    attempts_drop_runtime();
}

/* A 25th of a core: what takes 120 ms takes three seconds, or a fifth of that where all that pauses guests is late. Meanwhile the slots are free for others, and a timeout does not count the pauses. */
static void test_share_cpu_limit_pauses_without_a_slot(void **state)
{
    (void)state;
    nx_rt_program *work = attempts_busy(30), *other = attempts_busy(1);
    nx_rt_share *limited = share(100, 40), *free_one = share(100, 0);
    static nx_attempt a[4], q[20];
    attempts_block(SLOTS);
    for (unsigned i = 0; i < 4; i++) attempts_submit_to(&a[i], work, limited);
    for (unsigned i = 0; i < 20; i++) attempts_submit_to(&q[i], other, free_one);
    uint64_t begin_ns = nx_clock_ns();
    attempts_release();
    attempts_wait_ended(24);
    uint64_t took_ns = nx_clock_ns() - begin_ns;
    assert_true(took_ns > 500 * NX_NS_PER_MS);
    assert_true(attempts_ended(23) >= a && attempts_ended(23) < a + 4);
    for (unsigned i = 0; i < 20; i++) assert_true(attempts_place(&q[i]) < 23);
    unsigned queued, running;
    nx_rt_depth(rt, &queued, &running);
    assert_int_equal(queued, 0);
    attempts_finish(a, 4);
    attempts_finish(q, 20);
    nx_rt_share_unref(limited);
    nx_rt_share_unref(free_one);
    nx_rt_program_unref(work);
    nx_rt_program_unref(other);
}

/* Of two threads one has waited for the lock since it read the clock: it must not take that for a long time that has passed. */
static void test_share_a_late_clock_forgives_nothing(void **state)
{
    (void)state;
    nx_rt_share *limited = share(100, 100);
    uint64_t now_ns = nx_clock_ns();
    (void)pthread_mutex_lock(&rt->workers.mu);
    nx_rt_share_charge_locked(limited, 0, 100 * NX_NS_PER_S, now_ns);
    bool is_any = nx_rt_shares_tick_locked(rt, now_ns - 1);
    bool is_throttled = limited->is_throttled;
    (void)pthread_mutex_unlock(&rt->workers.mu);
    assert_false(is_any);
    assert_true(is_throttled);
    nx_rt_share_unref(limited);
}

/* It takes twice as long as its timeout, and runs for a 25th of that; where others want the cores for many times as long, so that it may run out of time
 * indeed: then with half of the CPU and twice the time. */
static void test_share_timeout_does_not_count_pauses(void **state)
{
    (void)state;
    nx_rt_program *work = attempts_busy(80);
    bool is_ok = false;
    for (unsigned scale = 1; !is_ok && scale <= 8; scale *= 2) {
        nx_rt_share *limited = share(100, 20 / scale);
        static nx_attempt a;
        (void)attempts_reset(NULL);
        attempts_init_for(&a, work, limited);
        a.timeout_ns = 2 * NX_NS_PER_S * scale;
        attempts_submit(&a);
        attempts_wait_ended(1);
        is_ok = a.out.status == NX_RUN_OK;
        if (is_ok) assert_true(a.out.duration_ns > a.timeout_ns); /* past its timeout */
        nx_attempt_done(&a);
        nx_rt_share_unref(limited);
    }
    assert_true(is_ok);
    nx_rt_program_unref(work);
}

/* With one slot they end in the order in which they were chosen, whatever else the machine does. */
static void test_share_ranks_order_what_waits(void **state)
{
    (void)state;
    enum { N = 10 };
    attempts_use_runtime(&(nx_rt_options){.slots = 1, .pool_slots = 4});
    nx_rt_program *quick = attempts_busy(1);
    nx_rt_share *s = share(100, 0);
    static nx_attempt a[N];
    attempts_block(1);
    for (unsigned i = 0; i < N; i++) {
        attempts_init_for(&a[i], quick, s);
        a[i].rank_ns = 1000 - (uint64_t)i * 10;
        attempts_submit(&a[i]);
    }
    attempts_release();
    attempts_wait_ended(N);
    for (unsigned i = 0; i < N; i++) assert_int_equal(attempts_place(&a[i]), N - 1 - i);
    attempts_finish(a, N);
    nx_rt_share_unref(s);
    nx_rt_program_unref(quick);
    attempts_drop_runtime();
}

static void test_share_one_backlog_does_not_fill_the_queue(void **state)
{
    (void)state;
    attempts_use_runtime(&(nx_rt_options){.slots = 1, .queue_max = 20, .pool_slots = 4});
    nx_rt_program *p = attempts_busy(40);
    nx_rt_share *noisy = share(100, 0), *quiet = share(100, 0);
    static nx_attempt a[64], q;
    unsigned n = 0;
    attempts_block(1);
    for (; n < 64; n++) {
        nx_error err = NX_ERROR_INIT;
        attempts_init_for(&a[n], p, noisy);
        nx_err got = nx_rt_submit(rt, &a[n], &err);
        if (got == NX_EBUSY) break;
        assert_int_equal(got, NX_OK);
    }
    assert_in_range(n, 10, 19);
    attempts_submit_to(&q, p, quiet);
    attempts_release();
    attempts_wait_ended(n + 1);
    assert_true(attempts_place(&q) <= 4);
    attempts_finish(a, n);
    attempts_finish(&q, 1);
    nx_rt_share_unref(noisy);
    nx_rt_share_unref(quiet);
    nx_rt_program_unref(p);
    attempts_drop_runtime();
}

/* For good: what is paused by its limit, and what has not begun, ends at once. */
static void test_share_cancel_ends_what_is_paused(void **state)
{
    (void)state;
    attempts_use_runtime(&(nx_rt_options){.slots = 2, .pool_slots = 8});
    nx_rt_program *p = attempts_busy(2000);
    nx_rt_share *limited = share(100, 10);
    static nx_attempt a[4];
    for (unsigned i = 0; i < 4; i++) attempts_submit_to(&a[i], p, limited);
    attempts_wait_started(1);
    nx_rt_cancel(rt);
    attempts_wait_ended(4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(a[i].out.err, NX_ECANCELED);
        nx_attempt_done(&a[i]);
    }
    nx_rt_share_unref(limited);
    nx_rt_program_unref(p);
    attempts_drop_runtime();
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_share_a_backlog_does_not_stand_before_others, attempts_reset),
        cmocka_unit_test_setup(test_share_long_guests_give_their_slots_to_others, attempts_reset),
        cmocka_unit_test_setup(test_share_weights_divide_the_slots, attempts_reset),
        cmocka_unit_test_setup(test_share_cpu_limit_pauses_without_a_slot, attempts_reset),
        cmocka_unit_test_setup(test_share_a_late_clock_forgives_nothing, attempts_reset),
        cmocka_unit_test_setup(test_share_timeout_does_not_count_pauses, attempts_reset),
        cmocka_unit_test_setup(test_share_ranks_order_what_waits, attempts_reset),
        cmocka_unit_test_setup(test_share_one_backlog_does_not_fill_the_queue, attempts_reset),
        cmocka_unit_test_setup(test_share_cancel_ends_what_is_paused, attempts_reset),
    };
    if (argc > 1 && strcmp(argv[1], NX_RT_CHILD_VERB) == 0) return nx_rt_child_main(argc, argv);
    return cmocka_run_group_tests(tests, rt_help_setup, rt_help_teardown);
}
