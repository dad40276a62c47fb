/* test_effects_run.c: guests that make host calls of module nexus, run by the engine: repeated bit for bit, interrupted, on workers. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "effects_world.h"
#include "nx/clock.h"
#include "rt_help.h"

/* Reads default/counter, asks a server, draws randomness and the time, emits, and writes all answers to stdout. */
#define GUEST_HEAD                                                                                            \
    "(module"                                                                                                 \
    " (import \"nexus\" \"kv_get\" (func $kv_get (param i32 i32 i32 i32) (result i32)))"                      \
    " (import \"nexus\" \"http_request\" (func $http (param i32 i32) (result i32)))"                          \
    " (import \"nexus\" \"emit\" (func $emit (param i32 i32) (result i32)))"                                  \
    " (import \"nexus\" \"answer_size\" (func $size (result i32)))"                                           \
    " (import \"nexus\" \"answer_read\" (func $read (param i32 i32 i32) (result i32)))"                       \
    " (import \"wasi_snapshot_preview1\" \"fd_write\" (func $fd_write (param i32 i32 i32 i32) (result i32)))" \
    " (import \"wasi_snapshot_preview1\" \"clock_time_get\" (func $clock (param i32 i64 i32) (result i32)))"  \
    " (import \"wasi_snapshot_preview1\" \"random_get\" (func $random (param i32 i32) (result i32)))"         \
    " (memory (export \"memory\") 1)"                                                                         \
    " (data (i32.const 100) \"counter\") (data (i32.const 200) \"GET https://api.example.com/\\n\\n\")"       \
    " (data (i32.const 300) \"t\\n\\nemitted\") (data (i32.const 400) \"begun\\n\")"                          \
    " (func $out (param $fd i32) (param $p i32) (param $n i32)"                                               \
    "  (i32.store (i32.const 0) (local.get $p)) (i32.store (i32.const 4) (local.get $n))"                     \
    "  (drop (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))"                    \
    " (func $show (drop (call $read (i32.const 1000) (i32.const 0) (call $size))) (call $out (i32.const 1) (i32.const 1000) (call $size)))"

static const char all_wat[] = GUEST_HEAD
    " (func (export \"handle_event\")"
    "  (drop (call $kv_get (i32.const 0) (i32.const 0) (i32.const 100) (i32.const 7))) (call $show)"
    "  (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 500))) (drop (call $random (i32.const 508) (i32.const 8)))"
    "  (call $out (i32.const 1) (i32.const 500) (i32.const 16))"
    "  (drop (call $http (i32.const 200) (i32.const 30))) (call $show)"
    "  (drop (call $emit (i32.const 300) (i32.const 10)))"
    "  (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 500))) (call $out (i32.const 1) (i32.const 500) (i32.const 8))))";
/* One call; the guest has begun when it says so. */
static const char call_wat[] = GUEST_HEAD
    " (func (export \"handle_event\")"
    "  (call $out (i32.const 2) (i32.const 400) (i32.const 6))"
    "  (drop (call $http (i32.const 200) (i32.const 30))) (call $show)))";
static const char plain_wat[] = RT_WAT_HEAD " (data (i32.const 100) \"plain\") (func (export \"handle_event\") (call $write (i32.const 1) (i32.const 100) (i32.const 5))))";

static effects_world world;

static int reset_world(void **state)
{
    (void)state;
    world = (effects_world){.revision = 7, .value = "seven"};
    return 0;
}

static void begin(nx_attempt *a)
{
    nx_attempt_init(a);
    a->start_wall_ns = 1764152625ull * NX_NS_PER_S;
    memset(a->seed, 7, sizeof a->seed);
}

static void repeat(nx_attempt *again, const nx_attempt *a, nx_rt_program *p)
{
    begin(again);
    again->is_replay = true;
    again->timeout_ns = a->timeout_ns;
    again->recorded = a->out.effects;
    again->n_recorded = a->out.n_effects;
    again->stop_at_fuel = a->out.status == NX_RUN_TIMEOUT ? a->out.fuel : 0;
    rt_help_run(again, p);
}

static void assert_identical(const nx_attempt *a, const nx_attempt *b)
{
    rt_help_assert_outcome(b, a->out.status, a->out.why);
    assert_int_equal(a->out.fuel, b->out.fuel);
    assert_int_equal(a->out.n_calls, b->out.n_calls);
    assert_memory_equal(&a->out.calls_sha256, &b->out.calls_sha256, sizeof a->out.calls_sha256);
    assert_memory_equal(&a->out.output_sha256, &b->out.output_sha256, sizeof a->out.output_sha256);
    assert_int_equal(a->out.n_effects, b->out.n_effects);
    assert_int_equal(a->out.n_emitted, b->out.n_emitted);
}

static void test_effects_repeat_bit_for_bit(void **state)
{
    (void)state;
    nx_attempt a, again;
    nx_rt_program *p = rt_help_load_wat(all_wat);
    begin(&a);
    effects_world_live(&a, &world);
    world.blocks_ns = 20 * NX_NS_PER_MS; /* real time passes, which the guest reads from its clock */
    rt_help_run(&a, p);
    rt_help_assert_outcome(&a, NX_RUN_OK, NX_WHY_NONE);
    assert_int_equal(a.out.n_effects, 2);
    assert_true(a.out.effects[1].clock_ns >= 20 * NX_NS_PER_MS);
    assert_int_equal(a.out.n_emitted, 1);
    assert_true(nx_slice_eq_cstr(a.out.emitted[0].data, "emitted"));
    world.revision = 100;
    world.answer = NX_SLICE("other");
    repeat(&again, &a, p);
    assert_identical(&a, &again);
    assert_int_equal(world.n_calls, 2);
    nx_attempt_done(&again);
    /* The recording matters: with other answers it is another run. */
    a.out.effects[0].answer = NX_SLICE("8\neight");
    repeat(&again, &a, p);
    assert_memory_not_equal(&a.out.output_sha256, &again.out.output_sha256, sizeof a.out.output_sha256);
    nx_attempt_done(&again);
    nx_attempt_done(&a);
    nx_rt_program_unref(p);
}

static void test_effect_not_recorded_ends_the_attempt(void **state)
{
    (void)state;
    nx_attempt a;
    nx_rt_program *p = rt_help_load_wat(all_wat);
    begin(&a);
    a.is_replay = true;
    rt_help_run(&a, p);
    rt_help_assert_outcome(&a, NX_RUN_ERROR, NX_WHY_NOT_RECORDED);
    assert_string_equal(a.out.message, "host call 0, kv.get default/counter, is not in the recording, which has no further one as effect 0");
    assert_int_equal(a.out.output_bytes, 0);
    nx_attempt_done(&a);
    nx_rt_program_unref(p);
}

static void test_timeout_inside_an_effect_replays(void **state)
{
    (void)state;
    nx_attempt a, again;
    nx_rt_program *p = rt_help_load_wat(call_wat);
    begin(&a);
    effects_world_live(&a, &world);
    a.timeout_ns = 60 * NX_NS_PER_MS;
    world.blocks_ns = 3600 * NX_NS_PER_S;
    rt_help_run(&a, p);
    rt_help_assert_outcome(&a, NX_RUN_TIMEOUT, NX_WHY_DEADLINE);
    assert_string_equal(a.out.message, "did not finish within 60 ms: interrupted in host call 1 (http.request)");
    assert_int_equal(a.out.n_effects, 1);
    assert_int_equal(a.out.effects[0].status, NX_EFFECT_INTERRUPTED);
    repeat(&again, &a, p);
    assert_identical(&a, &again);
    assert_string_equal(again.out.message, a.out.message);
    assert_int_equal(world.n_calls, 1);
    nx_attempt_done(&a);
    nx_attempt_done(&again);
    nx_rt_program_unref(p);
}

/* ---- on workers */

static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static unsigned n_begun, n_ended;

static void count(unsigned *n)
{
    (void)pthread_mutex_lock(&mu);
    (*n)++;
    (void)pthread_cond_broadcast(&changed);
    (void)pthread_mutex_unlock(&mu);
}

static void on_done(nx_attempt *a)
{
    (void)a;
    count(&n_ended);
}

static void on_log(nx_attempt *a, nx_slice line)
{
    (void)a;
    (void)line;
    count(&n_begun);
}

static void wait_for(const unsigned *n, unsigned want)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 60;
    (void)pthread_mutex_lock(&mu);
    while (*n < want)
        if (pthread_cond_timedwait(&changed, &mu, &until)) break;
    unsigned have = *n;
    (void)pthread_mutex_unlock(&mu);
    assert_int_equal(have, want);
}

static void submit(nx_attempt *a, nx_rt_program *p, bool is_live)
{
    nx_error e = NX_ERROR_INIT;
    begin(a);
    a->program = p;
    a->done = on_done;
    a->on_log = on_log;
    a->timeout_ns = 2 * NX_NS_PER_S;
    if (is_live) effects_world_live(a, &world);
    if (nx_rt_submit(rt, a, &e)) fail_msg("submit: %s", e.msg);
}

/* Two slots, and six calls that take half a second: a plain attempt behind them does not wait for any. */
#define CALLERS 6u
static void test_effects_give_their_slots_to_others(void **state)
{
    (void)state;
    static nx_attempt callers[CALLERS], plain;
    rt_help_engine_signals();
    nx_rt_program *p = rt_help_load_wat(call_wat), *q = rt_help_load_wat(plain_wat);
    world.blocks_ns = 500 * NX_NS_PER_MS;
    n_begun = n_ended = 0;
    for (unsigned i = 0; i < CALLERS; i++) submit(&callers[i], p, true);
    wait_for(&n_begun, CALLERS);
    submit(&plain, q, false);
    wait_for(&n_ended, 1);
    assert_true(nx_slice_eq_cstr(nx_buf_view(&plain.out.output), "plain"));
    wait_for(&n_ended, CALLERS + 1);
    for (unsigned i = 0; i < CALLERS; i++) {
        rt_help_assert_outcome(&callers[i], NX_RUN_OK, NX_WHY_NONE);
        nx_attempt_done(&callers[i]);
    }
    nx_attempt_done(&plain);
    nx_rt_program_unref(p);
    nx_rt_program_unref(q);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], NX_RT_CHILD_VERB) == 0) return nx_rt_child_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_effects_repeat_bit_for_bit, reset_world),
        cmocka_unit_test_setup(test_effect_not_recorded_ends_the_attempt, reset_world),
        cmocka_unit_test_setup(test_timeout_inside_an_effect_replays, reset_world),
        cmocka_unit_test_setup(test_effects_give_their_slots_to_others, reset_world),
    };
    return cmocka_run_group_tests(tests, rt_help_setup, rt_help_teardown);
}
