/* test_worker.c: slots, threads and the queue. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nx/clock.h"
#include "rt_help.h"

/* Counts ends and lets a test wait for them. */
typedef struct gate {
    pthread_mutex_t mu;
    pthread_cond_t changed;
    unsigned ended, started;
} gate;

static gate g = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};

static void on_done(nx_attempt *a)
{
    (void)a;
    (void)pthread_mutex_lock(&g.mu);
    g.ended++;
    (void)pthread_cond_signal(&g.changed);
    (void)pthread_mutex_unlock(&g.mu);
}

/* A guest says on stderr that it has begun. */
static void on_log(nx_attempt *a, nx_slice line)
{
    (void)a;
    (void)line;
    (void)pthread_mutex_lock(&g.mu);
    g.started++;
    (void)pthread_cond_signal(&g.changed);
    (void)pthread_mutex_unlock(&g.mu);
}

static void wait_for(const unsigned *count, unsigned n)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60;
    (void)pthread_mutex_lock(&g.mu);
    while (*count < n)
        if (pthread_cond_timedwait(&g.changed, &g.mu, &until)) break;
    unsigned have = *count;
    (void)pthread_mutex_unlock(&g.mu);
    assert_int_equal(have, n);
}

static void submit(nx_attempt *a, nx_rt_program *p, uint64_t timeout_ns)
{
    nx_error e = NX_ERROR_INIT;
    nx_attempt_init(a);
    a->program = p;
    a->done = on_done;
    a->on_log = on_log;
    a->timeout_ns = timeout_ns;
    if (nx_rt_submit(rt, a, &e)) fail_msg("submit: %s", e.msg);
}

static int reset_gate(void **state)
{
    (void)state;
    g.ended = g.started = 0;
    return 0;
}

static const char echo_wat[] = RT_WAT_HEAD
    " (func (export \"handle_event\")"
    "  (i32.store (i32.const 0) (i32.const 100)) (i32.store (i32.const 4) (i32.const 1000))"
    "  (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))"
    "  (call $write (i32.const 1) (i32.const 100) (i32.load (i32.const 8)))))";
static const char sleep_wat[] = RT_WAT_HEAD " (data (i32.const 100) \"begun\\n\") (func (export \"handle_event\")"
                                            " (call $write (i32.const 2) (i32.const 100) (i32.const 6)) (call $sleep_ns (i64.const 300000000))))";
static const char spin_wat[] = RT_WAT_HEAD " (data (i32.const 100) \"begun\\n\") (func (export \"handle_event\")"
                                           " (call $write (i32.const 2) (i32.const 100) (i32.const 6)) (loop $l (br $l))))";

#define MANY 200u
static void test_worker_runs_all_that_is_submitted(void **state)
{
    (void)state;
    rt_help_engine_signals();
    nx_rt_program *p = rt_help_load_wat(echo_wat);
    static nx_attempt a[MANY];
    for (unsigned i = 0; i < MANY; i++) {
        nx_error e = NX_ERROR_INIT;
        nx_attempt_init(&a[i]);
        a[i].program = p;
        a[i].done = on_done;
        a[i].input = nx_slice_make(&a[i].rt_private[7], sizeof a[i].rt_private[7]);
        a[i].rt_private[7] = i;
        if (nx_rt_submit(rt, &a[i], &e)) fail_msg("submit: %s", e.msg);
    }
    wait_for(&g.ended, MANY);
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
    rt_help_engine_signals();
    nx_rt_program *sleeper = rt_help_load_wat(sleep_wat), *quick = rt_help_load_wat("(module (func (export \"handle_event\")))");
    static nx_attempt s[SLEEPERS], q[4];
    uint64_t begin_ns = nx_clock_ns();
    for (unsigned i = 0; i < SLEEPERS; i++) submit(&s[i], sleeper, 30 * NX_NS_PER_S);
    wait_for(&g.started, SLEEPERS); /* all have begun, on two slots */
    for (unsigned i = 0; i < 4; i++) submit(&q[i], quick, 30 * NX_NS_PER_S);
    wait_for(&g.ended, SLEEPERS + 4);
    uint64_t took_ns = nx_clock_ns() - begin_ns;
    assert_true(took_ns >= 300 * NX_NS_PER_MS);
    assert_true(took_ns < SLEEPERS / 2 * 300 * NX_NS_PER_MS); /* two at a time would have taken this */
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
    rt_help_engine_signals();
    nx_rt_program *p = rt_help_load_wat(spin_wat);
    static nx_attempt a[4];
    for (unsigned i = 0; i < 4; i++) {
        submit(&a[i], p, 100 * NX_NS_PER_MS);
    }
    wait_for(&g.started, 2);
    unsigned queued, running;
    nx_rt_depth(rt, &queued, &running);
    assert_true(running <= 2);
    wait_for(&g.ended, 4);
    for (unsigned i = 0; i < 4; i++) nx_attempt_done(&a[i]);
    nx_rt_program_unref(p);
}

static void test_worker_full_queue_is_busy(void **state)
{
    (void)state;
    char dir[] = "/tmp/nx-test-queue-XXXXXX";
    assert_non_null(mkdtemp(dir));
    nx_error e = NX_ERROR_INIT;
    nx_rt *r = NULL, *before = rt;
    assert_int_equal(nx_rt_new(&(nx_rt_options){.cache_dir = dir, .slots = 1, .queue_max = 2, .pool_slots = 4}, &r, &e), NX_OK);
    rt_help_engine_signals();
    rt = r;
    nx_rt_program *p = rt_help_load_wat(spin_wat);
    static nx_attempt a[4];
    for (unsigned i = 0; i < 4; i++) {
        nx_attempt_init(&a[i]);
        a[i].program = p;
        a[i].done = on_done;
        a[i].on_log = on_log;
        a[i].timeout_ns = 200 * NX_NS_PER_MS;
        if (i == 0) {
            assert_int_equal(nx_rt_submit(rt, &a[i], &e), NX_OK);
            wait_for(&g.started, 1); /* in its slot */
        } else {
            assert_int_equal(nx_rt_submit(rt, &a[i], &e), i < 3 ? NX_OK : NX_EBUSY);
        }
    }
    wait_for(&g.ended, 3);
    for (unsigned i = 0; i < 3; i++) rt_help_assert_outcome(&a[i], NX_RUN_TIMEOUT, NX_WHY_DEADLINE);
    for (unsigned i = 0; i < 4; i++) nx_attempt_done(&a[i]);
    assert_true(a[1].out.queued_ns > 0);
    nx_rt_program_unref(p);
    nx_rt_free(r);
    rt = before;
    char command[64];
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
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
    nx_error e = NX_ERROR_INIT;
    nx_rt_program *p[3];
    for (unsigned i = 0; i < 3; i++) {
        p[i] = rt_help_load_wat(guests[i % 2]);
        nx_attempt_init(&a[i]);
        a[i].program = p[i];
        a[i].done = on_done;
        a[i].on_log = on_log;
        a[i].timeout_ns = 7200 * NX_NS_PER_S;
        a[i].start_wall_ns = 1764152625000000000ull;
        if (i == 2) nx_rt_end_attempt(rt, &a[i]);
        assert_int_equal(nx_rt_submit(rt, &a[i], &e), NX_OK);
        if (i < 2) wait_for(&g.started, i + 1);
    }
    nx_rt_end_attempt(rt, &a[0]);
    nx_rt_end_attempt(rt, &a[1]);
    wait_for(&g.ended, 3);
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
        cmocka_unit_test_setup(test_worker_runs_all_that_is_submitted, reset_gate),
        cmocka_unit_test_setup(test_worker_sleeping_guests_hold_no_slot, reset_gate),
        cmocka_unit_test_setup(test_worker_no_more_run_than_there_are_slots, reset_gate),
        cmocka_unit_test_setup(test_worker_full_queue_is_busy, reset_gate),
        cmocka_unit_test_setup(test_worker_ends_an_attempt_early, reset_gate),
    };
    if (argc > 1 && strcmp(argv[1], NX_RT_CHILD_VERB) == 0) return nx_rt_child_main(argc, argv);
    return cmocka_run_group_tests(tests, rt_help_setup, rt_help_teardown);
}
