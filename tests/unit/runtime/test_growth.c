/* test_growth.c: memory that the limit refuses, and memory that the machine refuses. */
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "attempts.h"

#define MIB (1ull << 20)
#define LOOSE (1ull << 60) /* bytes: a limit, so that the machine may refuse, and it never does */

/* Asks for 100 MiB, and exits with 7 where it gets none. */
static const char asks[] = "(module (memory (export \"memory\") 1) (func (export \"handle_event\") (result i32)"
                           " (select (i32.const 7) (i32.const 0) (i32.eq (memory.grow (i32.const 1600)) (i32.const -1)))))";
/* Says so before it asks. */
static const char announces[] = RT_WAT_HEAD " (data (i32.const 100) \"now\\n\") (func (export \"handle_event\") (result i32)"
                                            " (call $write (i32.const 2) (i32.const 100) (i32.const 4))"
                                            " (select (i32.const 7) (i32.const 0) (i32.eq (memory.grow (i32.const 1600)) (i32.const -1)))))";
static const char can_not_grow[] = "(module (memory (export \"memory\") 1 1) (func (export \"handle_event\")))";

static void limit_data(uint64_t bytes)
{
    struct rlimit r;
    assert_int_equal(getrlimit(RLIMIT_DATA, &r), 0);
    r.rlim_cur = bytes;
    assert_int_equal(setrlimit(RLIMIT_DATA, &r), 0);
}

/* So much more than the process has. */
static void limit_data_to(uint64_t more_bytes)
{
    unsigned long long pages = 0;
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%*u %*u %*u %*u %*u %llu", &pages), 1);
    (void)fclose(f);
    limit_data(pages * (uint64_t)sysconf(_SC_PAGESIZE) + more_bytes);
}

static int setup(void **state)
{
    (void)state;
    limit_data(LOOSE);
    attempts_use_runtime(&(nx_rt_options){.slots = 1, .pool_slots = 8});
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    attempts_drop_runtime();
    limit_data(RLIM_INFINITY);
    return 0;
}

static void lower_the_limit(nx_attempt *a, nx_slice line)
{
    (void)a;
    (void)line;
    limit_data_to(32 * MIB);
}

static nx_err run(nx_attempt *a, nx_rt_program *p, nx_error *ret)
{
    rt_help_engine_signals();
    a->program = p;
    a->memory_bytes = 256 * MIB;
    return nx_rt_run(rt, a, ret);
}

static void assert_refused(nx_attempt *a, nx_rt_program *p)
{
    nx_error e = NX_ERROR_INIT;
    assert_int_equal(run(a, p, &e), NX_ENOMEM);
    assert_int_equal(a->out.err, NX_ENOMEM);
    if (strncmp(e.msg, "the machine refused memory: the limit is 256Mi", 46) != 0) fail_msg("says: %s", e.msg);
    assert_string_equal(a->out.message, e.msg);
}

static void assert_grows(nx_attempt *a, nx_rt_program *p)
{
    nx_error e = NX_ERROR_INIT;
    if (run(a, p, &e)) fail_msg("not run: %s", e.msg);
    rt_help_assert_outcome(a, NX_RUN_OK, NX_WHY_NONE);
    assert_true(a->out.memory_bytes > 100 * MIB);
}

static void test_growth_refused_by_the_machine_is_no_outcome(void **state)
{
    (void)state;
    nx_rt_program *p = rt_help_load_wat(asks);
    nx_attempt a;
    nx_attempt_init(&a);
    limit_data_to(32 * MIB);
    assert_refused(&a, p);
    assert_refused(&a, p);
    limit_data(LOOSE);
    assert_grows(&a, p);
    nx_attempt_done(&a);
    nx_rt_program_unref(p);
}

static void test_growth_refused_after_the_guest_began_is_no_outcome(void **state)
{
    (void)state;
    nx_rt_program *p = rt_help_load_wat(announces);
    nx_attempt a;
    nx_attempt_init(&a);
    a.on_log = lower_the_limit;
    assert_refused(&a, p);
    limit_data(LOOSE);
    a.on_log = NULL;
    assert_grows(&a, p);
    nx_attempt_done(&a);
    nx_rt_program_unref(p);
}

static void test_growth_past_the_limit_is_an_outcome_where_the_machine_may_refuse(void **state)
{
    (void)state;
    nx_rt_program *p = rt_help_load_wat(asks);
    nx_attempt a;
    nx_attempt_init(&a);
    a.memory_bytes = 64 * MIB;
    rt_help_run(&a, p);
    rt_help_assert_outcome(&a, NX_RUN_ERROR, NX_WHY_EXIT);
    assert_int_equal(a.out.exit_code, 7);
    nx_attempt_done(&a);
    nx_rt_program_unref(p);
}

static void test_growth_wants_no_room_for_a_module_that_can_not_grow(void **state)
{
    (void)state;
    nx_rt_program *p = rt_help_load_wat(can_not_grow);
    nx_attempt a;
    nx_error e = NX_ERROR_INIT;
    nx_attempt_init(&a);
    limit_data_to(32 * MIB);
    if (run(&a, p, &e)) fail_msg("not run: %s", e.msg);
    limit_data(LOOSE);
    rt_help_assert_outcome(&a, NX_RUN_OK, NX_WHY_NONE);
    nx_attempt_done(&a);
    nx_rt_program_unref(p);
}

static void test_growth_what_lets_the_machine_refuse_is_named(void **state)
{
    (void)state;
    const char *advice = NULL;
    assert_non_null(strstr(nx_rt_memory_refusal(&advice), "ulimit -d"));
    assert_non_null(strstr(advice, "LimitDATA"));
    limit_data(RLIM_INFINITY);
    const char *other = nx_rt_memory_refusal(NULL);
    limit_data(LOOSE);
    assert_true(!other || strstr(other, "overcommit")); /* as this machine is set */
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], NX_RT_CHILD_VERB) == 0) return nx_rt_child_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_growth_refused_by_the_machine_is_no_outcome, setup, teardown),
        cmocka_unit_test_setup_teardown(test_growth_refused_after_the_guest_began_is_no_outcome, setup, teardown),
        cmocka_unit_test_setup_teardown(test_growth_past_the_limit_is_an_outcome_where_the_machine_may_refuse, setup, teardown),
        cmocka_unit_test_setup_teardown(test_growth_wants_no_room_for_a_module_that_can_not_grow, setup, teardown),
        cmocka_unit_test_setup_teardown(test_growth_what_lets_the_machine_refuse_is_named, setup, teardown),
    };
    return cmocka_run_group_tests_name("growth", tests, rt_help_setup, rt_help_teardown);
}
