/* What makes a repeated run identical, and what each difference is called. */
#include "nx/diff.h"
#include "verdict.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

typedef struct pair {
    nx_run recorded, replayed;
    nx_replay_result r;
    nx_buf a, b;
} pair;

static nx_run a_run(void)
{
    nx_run r = {.status = NX_RUN_OK, .fuel = 1000, .output_bytes = 2, .n_calls = 1};
    r.engine = NX_SLICE("engine-1");
    r.world = NX_SLICE("world-1");
    r.arch = NX_SLICE("x86_64");
    r.artifact = NX_SLICE("aa");
    r.output_sha256 = nx_sha256_of(NX_SLICE("ok"));
    r.logs_sha256 = nx_sha256_of(NX_SLICE(""));
    r.calls_sha256 = nx_sha256_of(NX_SLICE("calls"));
    return r;
}

static pair *fresh(void **state)
{
    pair *p = *state;
    nx_buf_clear(&p->a);
    nx_buf_clear(&p->b);
    p->recorded = a_run();
    p->replayed = a_run();
    p->r = (nx_replay_result){.original = &p->recorded, .replayed = &p->replayed, .first_difference = -1};
    return p;
}

static int set_up(void **state)
{
    pair *p = test_calloc(1, sizeof *p);
    nx_buf_init(&p->a, 4096);
    nx_buf_init(&p->b, 4096);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    pair *p = *state;
    nx_buf_done(&p->a);
    nx_buf_done(&p->b);
    test_free(p);
    return 0;
}

static void compare(pair *p) { nx_replay_compare(&p->r, &p->a, &p->b); }

static void assert_diverged(pair *p, const char *begins)
{
    compare(p);
    assert_int_equal(p->r.verdict, NX_REPLAY_DIVERGED);
    assert_true(nx_slice_starts(nx_slice_cstr(p->r.reason), nx_slice_cstr(begins)));
}

static void test_verdict_equal_runs_are_identical(void **state)
{
    pair *p = fresh(state);
    compare(p);
    assert_int_equal(p->r.verdict, NX_REPLAY_IDENTICAL);
    assert_string_equal(p->r.reason, "");
    assert_true(p->r.is_fuel_comparable);
}

static void test_verdict_names_each_difference(void **state)
{
    pair *p = fresh(state);
    p->replayed.status = NX_RUN_ERROR;
    p->replayed.why = NX_WHY_TRAP;
    assert_diverged(p, "status: recorded ok");
    p = fresh(state);
    p->recorded.why = p->replayed.why = NX_WHY_EXIT;
    p->recorded.status = p->replayed.status = NX_RUN_ERROR;
    p->replayed.exit_code = 3;
    assert_diverged(p, "exit code: recorded 0, replayed 3");
    p = fresh(state);
    p->replayed.output_sha256 = nx_sha256_of(NX_SLICE("no"));
    assert_diverged(p, "output:");
    p = fresh(state);
    p->replayed.logs_sha256 = nx_sha256_of(NX_SLICE("x"));
    assert_diverged(p, "log output:");
    p = fresh(state);
    p->replayed.calls_sha256 = nx_sha256_of(NX_SLICE("other"));
    assert_diverged(p, "host calls:");
    p = fresh(state);
    p->replayed.fuel++;
    assert_diverged(p, "fuel: recorded 1000, replayed 1001");
}

static void test_verdict_fuel_counts_only_on_the_same_engine_world_and_code(void **state)
{
    nx_slice other = NX_SLICE("other");
    for (int i = 0; i < 4; i++) {
        pair *p = fresh(state);
        nx_slice *field[] = {&p->replayed.engine, &p->replayed.world, &p->replayed.arch, &p->replayed.artifact};
        *field[i] = other;
        p->replayed.fuel++;
        compare(p);
        assert_false(p->r.is_fuel_comparable);
        assert_int_equal(p->r.verdict, NX_REPLAY_IDENTICAL);
    }
}

static void test_verdict_of_a_stack_overflow_compares_only_the_status(void **state)
{
    pair *p = fresh(state);
    p->recorded.status = p->replayed.status = NX_RUN_ERROR;
    p->recorded.why = p->replayed.why = NX_WHY_STACK_OVERFLOW;
    p->replayed.fuel++;
    p->replayed.calls_sha256 = nx_sha256_of(NX_SLICE("other"));
    compare(p);
    assert_int_equal(p->r.verdict, NX_REPLAY_IDENTICAL);
}

static void test_verdict_of_a_refused_emit_compares_what_the_guest_did(void **state)
{
    pair *p = fresh(state);
    p->recorded.status = NX_RUN_ERROR;
    p->recorded.why = NX_WHY_HOP_LIMIT;
    compare(p);
    assert_int_equal(p->r.verdict, NX_REPLAY_IDENTICAL);
}

/* Other code has two more variables, NEXUS_IS_REPLAY and NEXUS_ORIGINAL_TIMESTAMP. */
static void test_verdict_of_other_code_compares_what_it_says(void **state)
{
    pair *p = fresh(state);
    p->replayed.n_env = p->recorded.n_env + 2;
    p->replayed.fuel++;
    p->replayed.calls_sha256 = nx_sha256_of(NX_SLICE("other"));
    compare(p);
    assert_int_equal(p->r.verdict, NX_REPLAY_IDENTICAL);
    assert_false(p->r.is_fuel_comparable);
    p->replayed.output_sha256 = nx_sha256_of(NX_SLICE("no"));
    assert_diverged(p, "output:");
}

/* No call is told that neither side has, and none of a record that hides. */
static void test_verdict_tells_only_calls_that_were_kept(void **state)
{
    pair *p = fresh(state);
    p->recorded.n_calls = p->replayed.n_calls = 900;
    p->replayed.calls_sha256 = nx_sha256_of(NX_SLICE("other"));
    p->recorded.call_marks = NX_SLICE("aaaabbbbcccc");
    p->replayed.call_marks = NX_SLICE("aaaabbbbdddd");
    p->recorded.calls = p->replayed.calls = NX_SLICE("\5\0\0\0\0");
    assert_diverged(p, "host calls:");
    assert_int_equal(p->r.first_difference, 3);
    assert_true(nx_slice_eq_cstr(p->r.recorded_call, NX_RT_CALL_NOT_KEPT) && nx_slice_eq_cstr(p->r.replayed_call, NX_RT_CALL_NOT_KEPT));
    p = fresh(state);
    p->recorded.n_calls = p->replayed.n_calls = 900;
    p->replayed.calls_sha256 = nx_sha256_of(NX_SLICE("other"));
    p->replayed.calls = NX_SLICE("\5\0\0\0\0"); /* the recording's are hidden */
    assert_diverged(p, "host calls:");
    assert_int_equal(p->r.first_difference, -1);
    assert_int_equal(p->r.recorded_call.n + p->r.replayed_call.n, 0);
}

/* What a record hides of a variable that follows from the event was the same for the guest: the proof is not weaker for it. */
static void test_verdict_of_hidden_variables_compares_all(void **state)
{
    nx_event event = {.subject = NX_SLICE("alice@example.com")};
    for (int i = 0; i < 2; i++) {
        pair *p = fresh(state);
        p->recorded.env[0] = (nx_kv){NX_SLICE("EVENT_SUBJECT"), i ? NX_SLICE_NULL : NX_SLICE("*****************")};
        p->replayed.env[0] = (nx_kv){NX_SLICE("EVENT_SUBJECT"), event.subject};
        p->recorded.n_env = p->replayed.n_env = 1;
        p->recorded.recording = i ? NX_RECORDING_DIGEST : NX_RECORDING_FULL;
        p->recorded.redacted = i ? NX_SLICE_NULL : NX_SLICE("subject");
        p->r.event = &event;
        compare(p);
        assert_int_equal(p->r.verdict, NX_REPLAY_IDENTICAL);
        assert_true(p->r.is_fuel_comparable);
        p->replayed.fuel++;
        assert_diverged(p, "fuel:");
        p->replayed.fuel--;
        p->replayed.calls_sha256 = nx_sha256_of(NX_SLICE("other"));
        assert_diverged(p, "host calls:");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_verdict_equal_runs_are_identical),
        cmocka_unit_test(test_verdict_names_each_difference),
        cmocka_unit_test(test_verdict_fuel_counts_only_on_the_same_engine_world_and_code),
        cmocka_unit_test(test_verdict_of_a_stack_overflow_compares_only_the_status),
        cmocka_unit_test(test_verdict_of_a_refused_emit_compares_what_the_guest_did),
        cmocka_unit_test(test_verdict_of_other_code_compares_what_it_says),
        cmocka_unit_test(test_verdict_tells_only_calls_that_were_kept),
        cmocka_unit_test(test_verdict_of_hidden_variables_compares_all),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
