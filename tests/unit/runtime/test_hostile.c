/* test_hostile.c: guests that mean harm: each ends typed and in bounded time, the node's memory stays bounded, and the next guest runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nx/clock.h"
#include "rt_help.h"

#define TIMEOUT_NS (100 * NX_NS_PER_MS)
#define BOUND_NS (10 * NX_NS_PER_S) /* far above the timeout: the machine may be busy */

static void run_hostile(nx_attempt *a, const char *wat)
{
    nx_rt_program *p = rt_help_load_wat(wat);
    uint64_t begin_ns = nx_clock_ns();
    rt_help_run(a, p);
    assert_true(nx_clock_ns() - begin_ns < 2 * BOUND_NS);
    nx_rt_program_unref(p);
    /* The next one is not the worse for it. */
    nx_attempt good;
    nx_attempt_init(&good);
    p = rt_help_load_wat("(module (memory (export \"memory\") 1) (func (export \"handle_event\")"
                         " (if (i32.load (i32.const 4096)) (then unreachable)) (i32.store (i32.const 4096) (i32.const 1))))");
    rt_help_run(&good, p);
    rt_help_assert_outcome(&good, NX_RUN_OK, NX_WHY_NONE);
    nx_attempt_done(&good);
    nx_rt_program_unref(p);
}

static void hostile(const char *wat, nx_run_status status, nx_run_why why)
{
    nx_attempt a;
    nx_attempt_init(&a);
    /* Whatever ends of itself may take its time: sanitizers make host calls slow. */
    a.timeout_ns = status == NX_RUN_TIMEOUT ? TIMEOUT_NS : BOUND_NS;
    a.max_log_bytes = 1000;
    a.keep_logs = true;
    run_hostile(&a, wat);
    rt_help_assert_outcome(&a, status, why);
    assert_true(a.out.output.n <= a.max_output_bytes && a.out.logs.n <= a.max_log_bytes && a.out.calls.n <= a.max_calls_bytes);
    nx_attempt_done(&a);
}

static void test_hostile_endless_loops(void **state)
{
    (void)state;
    hostile("(module (func (export \"handle_event\") (loop $l (br $l))))", NX_RUN_TIMEOUT, NX_WHY_DEADLINE);
    hostile("(module (start $s) (func $s (loop $l (br $l))) (func (export \"handle_event\")))", NX_RUN_TIMEOUT, NX_WHY_DEADLINE);
    hostile("(module (func (export \"_initialize\") (loop $l (br $l))) (func (export \"handle_event\")))", NX_RUN_TIMEOUT, NX_WHY_DEADLINE);
    hostile("(module (table 1 funcref) (elem (i32.const 0) $f) (func $f (return_call_indirect (i32.const 0)))"
            " (func (export \"handle_event\") (call $f)))",
            NX_RUN_TIMEOUT, NX_WHY_DEADLINE);
    hostile("(module (memory 1600) (func (export \"handle_event\") (loop $l (memory.fill (i32.const 0) (i32.const 1) (i32.const 104857600)) (br $l))))",
            NX_RUN_TIMEOUT, NX_WHY_DEADLINE);
}

static void test_hostile_deep_recursion(void **state)
{
    (void)state;
    hostile("(module (func $f (export \"handle_event\") (call $f)))", NX_RUN_ERROR, NX_WHY_STACK_OVERFLOW);
    hostile("(module (func $g (param i64 i64 i64 i64 i64 i64 i64 i64) (call $g (local.get 7) (local.get 6) (local.get 5) (local.get 4)"
            " (local.get 3) (local.get 2) (local.get 1) (local.get 0)) (call $g (i64.const 1) (i64.const 2) (local.get 5) (local.get 4)"
            " (local.get 3) (local.get 2) (local.get 1) (local.get 0)))"
            " (func (export \"handle_event\") (call $g (i64.const 1) (i64.const 2) (i64.const 3) (i64.const 4) (i64.const 5) (i64.const 6)"
            " (i64.const 7) (i64.const 8))))",
            NX_RUN_ERROR, NX_WHY_STACK_OVERFLOW);
    /* With a host call at every depth, so that the deepest is made at the very end of the guest's stack. */
    hostile(RT_WAT_HEAD " (func $f (export \"handle_event\") (call $sleep_ns (i64.const 0)) (call $write (i32.const 2) (i32.const 64) (i32.const 9))"
                        " (call $f)))",
            NX_RUN_ERROR, NX_WHY_STACK_OVERFLOW);
}

static void test_hostile_gigabytes_of_output(void **state)
{
    (void)state;
    hostile(RT_WAT_HEAD " (func (export \"handle_event\") (loop $l (call $write (i32.const 1) (i32.const 0) (i32.const 65536)) (br $l))))",
            NX_RUN_ERROR, NX_WHY_OUTPUT_LIMIT);
    hostile(RT_WAT_HEAD " (func (export \"handle_event\") (loop $l (call $write (i32.const 2) (i32.const 0) (i32.const 65536)) (br $l))))",
            NX_RUN_TIMEOUT, NX_WHY_DEADLINE);
    /* 1,024 vectors over the whole memory in one call. */
    hostile(RT_WAT_HEAD " (func (export \"handle_event\") (local $i i32)"
                        "  (loop $f (i32.store (i32.add (i32.const 4) (i32.mul (local.get $i) (i32.const 8))) (i32.const 65536))"
                        "   (local.set $i (i32.add (local.get $i) (i32.const 1))) (br_if $f (i32.lt_u (local.get $i) (i32.const 1024))))"
                        "  (loop $l (drop (call $fd_write (i32.const 2) (i32.const 0) (i32.const 1024) (i32.const 60000))) (br $l))))",
            NX_RUN_TIMEOUT, NX_WHY_DEADLINE);
    /* A gigabyte of randomness asked for, which does not fit, and what fits, for ever. */
    hostile(RT_WAT_HEAD " (func (export \"handle_event\") (loop $l (drop (call $random (i32.const 0) (i32.const 1073741824)))"
                        "  (drop (call $random (i32.const 0) (i32.const 65536))) (br $l))))",
            NX_RUN_TIMEOUT, NX_WHY_DEADLINE);
}

static void test_hostile_sleep_for_ever(void **state)
{
    (void)state;
    hostile(RT_WAT_HEAD " (func (export \"handle_event\") (loop $l (call $sleep_ns (i64.const -1)) (br $l))))", NX_RUN_TIMEOUT, NX_WHY_DEADLINE);
}

static void test_hostile_tables(void **state)
{
    (void)state;
    hostile("(module (table $t 1 funcref) (func (export \"handle_event\") (loop $l (drop (table.grow $t (ref.null func) (i32.const 60000))) (br $l))))",
            NX_RUN_TIMEOUT, NX_WHY_DEADLINE);
}

static uint64_t resident_bytes(void)
{
    char line[128]; /* pages: whole, resident, … */
    FILE *f = fopen("/proc/self/statm", "r");
    assert_non_null(f);
    assert_non_null(fgets(line, sizeof line, f));
    (void)fclose(f);
    const char *second = strchr(line, ' ');
    assert_non_null(second);
    return strtoull(second, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Takes all it may have and touches every page of it. */
static const char bomb_wat[] = "(module (memory (export \"memory\") 1) (func (export \"handle_event\") (local $p i32)"
                               " (loop $l (br_if $l (i32.ne (memory.grow (i32.const 16)) (i32.const -1))))"
                               " (loop $t (i32.store (local.get $p) (i32.const 1)) (local.set $p (i32.add (local.get $p) (i32.const 4096)))"
                               "  (br_if $t (i32.lt_u (local.get $p) (i32.mul (memory.size) (i32.const 65536))))) unreachable))";

static void test_hostile_memory_is_given_back(void **state)
{
    (void)state;
    nx_attempt a;
    nx_attempt_init(&a);
    a.memory_bytes = 100u << 20;
    for (unsigned i = 0; i < 5; i++) {
        run_hostile(&a, bomb_wat);
        rt_help_assert_outcome(&a, NX_RUN_ERROR, NX_WHY_MEMORY_LIMIT);
        assert_true(a.out.memory_bytes > 95u << 20);
    }
#ifndef NX_SANITIZER /* whose own memory is counted too */
    assert_true(resident_bytes() < 80u << 20);
#else
    (void)resident_bytes;
#endif
    nx_attempt_done(&a);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hostile_endless_loops),
        cmocka_unit_test(test_hostile_deep_recursion),
        cmocka_unit_test(test_hostile_gigabytes_of_output),
        cmocka_unit_test(test_hostile_sleep_for_ever),
        cmocka_unit_test(test_hostile_tables),
        cmocka_unit_test(test_hostile_memory_is_given_back),
    };
    if (argc > 1 && strcmp(argv[1], NX_RT_CHILD_VERB) == 0) return nx_rt_child_main(argc, argv);
    return cmocka_run_group_tests(tests, rt_help_setup, rt_help_teardown);
}
