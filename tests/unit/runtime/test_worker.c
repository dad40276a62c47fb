/* test_worker.c: slots, threads and the queue. */
#include <string.h>

#include "attempts.h"
#include "nx/clock.h"

/* Of a guest that says on stderr that it has begun. */
static void prepare(nx_attempt *a, nx_rt_program *p, uint64_t timeout_ns)
{
    attempts_init(a, p);
    a->on_start = NULL;
    a->on_log = attempts_on_log;
    a->timeout_ns = timeout_ns;
}

static void submit(nx_attempt *a, nx_rt_program *p, uint64_t timeout_ns)
{
    prepare(a, p, timeout_ns);
    attempts_submit(a);
}

static const char echo_wat[] = RT_WAT_HEAD
    " (func (export \"handle_event\")"
    "  (i32.store (i32.const 0) (i32.const 100)) (i32.store (i32.const 4) (i32.const 1000))"
    "  (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))"
    "  (call $write (i32.const 1) (i32.const 100) (i32.load (i32.const 8)))))";
static const char sleep_wat[] = RT_WAT_HEAD " (data (i32.const 100) \"begun\\n\") (func (export \"handle_event\")"
                                            " (call $write (i32.const 2) (i32.const 100) (i32.const 6)) (call $sleep_ns (i64.const 600000000))))";
static const char spin_wat[] = RT_WAT_HEAD " (data (i32.const 100) \"begun\\n\") (func (export \"handle_event\")"
                                           " (call $write (i32.const 2) (i32.const 100) (i32.const 6)) (loop $l (br $l))))";

#define MANY 200u
static void test_worker_runs_all_that_is_submitted(void **state)
{
    (void)state;
    nx_rt_program *p = rt_help_load_wat(echo_wat);
    static nx_attempt a[MANY];
    for (unsigned i = 0; i < MANY; i++) {
        attempts_init(&a[i], p);
        a[i].input = nx_slice_make(&a[i].rt_private[7], sizeof a[i].rt_private[7]);
        a[i].rt_private[7] = i;
        attempts_submit(&a[i]);
    }
    attempts_wait_ended(MANY);
    unsigned n_cold = 0;
    for (unsigned i = 0; i < MANY; i++) {
        uint64_t echoed = 0;
        rt_help_assert_outcome(&a[i], NX_RUN_OK, NX_WHY_NONE);
        assert_int_equal(a[i].out.output.n, sizeof echoed);
        memcpy(&echoed, a[i].out.output.p, sizeof echoed);
        assert_int_equal(echoed, i);
        n_cold += a[i].out.is_cold;
        nx_attempt_done(&a[i]);
    }
    assert_int_equal(n_cold, 1);
    unsigned queued, running;
    nx_rt_depth(rt, &queued, &running);
    assert_int_equal(queued, 0);
    nx_rt_program_unref(p);
}

/* More sleepers than slots, and others behind them: nobody waits for a sleeper, and the sleepers do not wait for each other. */
#define SLEEPERS 8u
static void test_worker_sleeping_guests_hold_no_slot(void **state)
{
    (void)state;
    nx_rt_program *sleeper = rt_help_load_wat(sleep_wat), *quick = rt_help_load_wat("(module (func (export \"handle_event\")))");
    static nx_attempt s[SLEEPERS], q[4];
    uint64_t begin_ns = nx_clock_ns();
    for (unsigned i = 0; i < SLEEPERS; i++) submit(&s[i], sleeper, 30 * NX_NS_PER_S);
    attempts_wait_started(SLEEPERS); /* all have begun, on two slots */
    for (unsigned i = 0; i < 4; i++) submit(&q[i], quick, 30 * NX_NS_PER_S);
    attempts_wait_ended(SLEEPERS + 4);
    uint64_t took_ns = nx_clock_ns() - begin_ns;
    assert_true(took_ns >= 600 * NX_NS_PER_MS);
    assert_true(took_ns < SLEEPERS / 2 * 600 * NX_NS_PER_MS); /* two at a time would have taken this */
    for (unsigned i = 0; i < SLEEPERS; i++) {
        rt_help_assert_outcome(&s[i], NX_RUN_OK, NX_WHY_NONE);
        nx_attempt_done(&s[i]);
    }
    for (unsigned i = 0; i < 4; i++) {
        rt_help_assert_outcome(&q[i], NX_RUN_OK, NX_WHY_NONE);
        nx_attempt_done(&q[i]);
    }
    nx_rt_program_unref(sleeper);
    nx_rt_program_unref(quick);
}

static void test_worker_no_more_run_than_there_are_slots(void **state)
{
    (void)state;
    nx_rt_program *p = rt_help_load_wat(spin_wat);
    static nx_attempt a[4];
    for (unsigned i = 0; i < 4; i++) {
        submit(&a[i], p, 100 * NX_NS_PER_MS);
    }
    attempts_wait_started(2);
    unsigned queued, running;
    nx_rt_depth(rt, &queued, &running);
    assert_true(running <= 2);
    attempts_wait_ended(4);
    for (unsigned i = 0; i < 4; i++) nx_attempt_done(&a[i]);
    nx_rt_program_unref(p);
}

static void test_worker_full_queue_is_busy(void **state)
{
    (void)state;
    nx_error e = NX_ERROR_INIT;
    attempts_use_runtime(&(nx_rt_options){.slots = 1, .queue_max = 2, .pool_slots = 4});
    nx_rt_program *p = rt_help_load_wat(spin_wat);
    static nx_attempt a[4];
    for (unsigned i = 0; i < 4; i++) {
        prepare(&a[i], p, 200 * NX_NS_PER_MS);
        if (i == 0) {
            assert_int_equal(nx_rt_submit(rt, &a[i], &e), NX_OK);
            attempts_wait_started(1); /* in its slot */
        } else {
            assert_int_equal(nx_rt_submit(rt, &a[i], &e), i < 3 ? NX_OK : NX_EBUSY);
        }
    }
    attempts_wait_ended(3);
    for (unsigned i = 0; i < 3; i++) rt_help_assert_outcome(&a[i], NX_RUN_TIMEOUT, NX_WHY_DEADLINE);
    for (unsigned i = 0; i < 4; i++) nx_attempt_done(&a[i]);
    assert_true(a[1].out.queued_ns > 0);
    nx_rt_program_unref(p);
    attempts_drop_runtime();
}

/* The same again, from what a record would hold of it. */
static void assert_repeats(const nx_attempt *a, nx_rt_program *p)
{
    nx_attempt again;
    nx_attempt_init(&again);
    again.timeout_ns = a->timeout_ns;
    again.start_wall_ns = a->start_wall_ns;
    memcpy(again.seed, a->seed, sizeof again.seed);
    again.is_replay = again.is_proof = again.is_stop_cancelled = true;
    again.stop_at_fuel = a->out.fuel;
    rt_help_run(&again, p);
    rt_help_assert_outcome(&again, NX_RUN_CANCELLED, NX_WHY_SUPERSEDED);
    assert_int_equal(again.out.fuel, a->out.fuel);
    assert_int_equal(again.out.n_calls, a->out.n_calls);
    assert_memory_equal(&again.out.calls_sha256, &a->out.calls_sha256, sizeof again.out.calls_sha256);
    assert_memory_equal(&again.out.logs_sha256, &a->out.logs_sha256, sizeof again.out.logs_sha256);
    nx_attempt_done(&again);
}

/* While it computes, while it sleeps, and before it has begun. */
static void test_worker_ends_an_attempt_early(void **state)
{
    (void)state;
    static const char *const guests[] = {
        RT_WAT_HEAD " (data (i32.const 100) \"begun\\n\") (func (export \"handle_event\") (call $write (i32.const 2) (i32.const 100) (i32.const 6))"
                    " (call $sleep_ns (i64.const 3600000000000)) (loop $l (br $l))))",
        RT_WAT_HEAD " (data (i32.const 100) \"begun\\n\") (func (export \"handle_event\") (call $write (i32.const 2) (i32.const 100) (i32.const 6)) (loop $l (br $l))))",
    };
    static nx_attempt a[3];
    nx_rt_program *p[3];
    for (unsigned i = 0; i < 3; i++) {
        p[i] = rt_help_load_wat(guests[i % 2]);
        prepare(&a[i], p[i], 7200 * NX_NS_PER_S);
        a[i].start_wall_ns = 1764152625000000000ull;
        if (i == 2) nx_rt_end_attempt(rt, &a[i]);
        attempts_submit(&a[i]);
        if (i < 2) attempts_wait_started(i + 1);
    }
    nx_rt_end_attempt(rt, &a[0]);
    nx_rt_end_attempt(rt, &a[1]);
    attempts_wait_ended(3);
    for (unsigned i = 0; i < 3; i++) {
        rt_help_assert_outcome(&a[i], NX_RUN_CANCELLED, NX_WHY_SUPERSEDED);
        assert_true(a[i].out.fuel > 0);
        assert_repeats(&a[i], p[i]);
        nx_attempt_done(&a[i]);
        nx_rt_program_unref(p[i]);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_worker_runs_all_that_is_submitted, attempts_reset),
        cmocka_unit_test_setup(test_worker_sleeping_guests_hold_no_slot, attempts_reset),
        cmocka_unit_test_setup(test_worker_no_more_run_than_there_are_slots, attempts_reset),
        cmocka_unit_test_setup(test_worker_full_queue_is_busy, attempts_reset),
        cmocka_unit_test_setup(test_worker_ends_an_attempt_early, attempts_reset),
    };
    if (argc > 1 && strcmp(argv[1], NX_RT_CHILD_VERB) == 0) return nx_rt_child_main(argc, argv);
    return cmocka_run_group_tests(tests, rt_help_setup, rt_help_teardown);
}
