/* test_preinit.c: modules whose initialisation ran when they were loaded: the same answers for less, and what is refused. */
#include <stdio.h>
#include <string.h>

#include "nx/rt_artifact.h"
#include "rt_help.h"

#define OUT_BYTES (64u << 20)

/* Fills 64 KiB from a long computation; answers with eight bytes of it, a variable, and how large the memory is. */
#define EXPENSIVE                                                                                                                                   \
    RT_WAT_HEAD " (global $count (mut i64) (i64.const -5)) (global $half (mut f32) (f32.const 0)) (global $fixed i32 (i32.const 9))"                \
                " (table 2 funcref) (elem (i32.const 0) $work $answer)"                                                                             \
                " (func $work (local $i i32) (local $x i32) (local.set $x (i32.const 1))"                                                           \
                "  (drop (memory.grow (i32.const 2)))"                                                                                              \
                "  (loop $l"                                                                                                                        \
                "   (local.set $x (i32.add (i32.mul (local.get $x) (i32.const 1664525)) (i32.const 1013904223)))"                                   \
                "   (i32.store (i32.add (i32.const 65536) (i32.and (local.get $i) (i32.const 65532))) (local.get $x))"                              \
                "   (global.set $count (i64.add (global.get $count) (i64.const 3)))"                                                                \
                "   (br_if $l (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 400000))))"                                \
                "  (global.set $half (f32.const 0.5)))"                                                                                             \
                " (func $answer (i32.store (i32.const 100) (i32.load (i32.const 70000))) (i32.store (i32.const 104) (i32.load (i32.const 131068)))" \
                "  (i64.store (i32.const 108) (global.get $count)) (f32.store (i32.const 116) (global.get $half))"                                  \
                "  (i32.store (i32.const 120) (memory.size)) (i32.store (i32.const 124) (global.get $fixed))"                                       \
                "  (call $write (i32.const 1) (i32.const 100) (i32.const 28)))"                                                                     \
                " (func (export \"handle_event\") (call_indirect (i32.const 1)))"

static nx_err load(const char *wat, const char *init, nx_rt_program **ret, nx_error *e)
{
    nx_buf out = NX_BUF_INIT(OUT_BYTES);
    nx_err err = nx_rt_artifact_join(rt_help_wat(wat), nx_slice_cstr(init), NULL, &out, e);
    nx_sha256 digest = nx_sha256_of(nx_buf_view(&out));
    if (!err) err = nx_rt_program_load(rt, nx_buf_view(&out), &digest, 16u << 20, ret, e);
    nx_buf_done(&out);
    return err;
}

static nx_rt_program *must_load(const char *wat, const char *init)
{
    nx_rt_program *p = NULL;
    nx_error e = NX_ERROR_INIT;
    if (load(wat, init, &p, &e)) fail_msg("%s", e.msg);
    return p;
}

static void run(nx_rt_program *p, nx_attempt *a)
{
    nx_attempt_init(a);
    a->timeout_ns = 60000000000u;
    a->memory_bytes = 16u << 20;
    rt_help_run(a, p);
    rt_help_assert_outcome(a, NX_RUN_OK, NX_WHY_NONE);
}

static void assert_same_for_less(const char *plain, const char *derived, const char *init)
{
    nx_rt_program *p = rt_help_load_wat(plain), *q = must_load(derived, init);
    nx_attempt a, b, c;
    run(p, &a);
    run(q, &b);
    run(q, &c); /* nothing is left of the run before */
    assert_int_equal(a.out.output.n, 28);
    assert_memory_equal(a.out.output.p, b.out.output.p, 28);
    assert_memory_equal(a.out.output.p, c.out.output.p, 28);
    assert_int_equal(b.out.fuel, c.out.fuel);
    assert_true(b.out.fuel < a.out.fuel / 1000);
    assert_memory_equal(&b.out.calls_sha256, &c.out.calls_sha256, sizeof b.out.calls_sha256);
    nx_attempt_done(&a);
    nx_attempt_done(&b);
    nx_attempt_done(&c);
    nx_rt_program_unref(p);
    nx_rt_program_unref(q);
}

static void test_initialize_runs_once_when_it_is_loaded(void **state)
{
    (void)state;
    static const char wat[] = EXPENSIVE " (export \"_initialize\" (func $work)))";
    assert_same_for_less(wat, wat, "_initialize");
}

static void test_an_export_of_any_name_runs_once(void **state)
{
    (void)state;
    static const char plain[] = EXPENSIVE " (export \"_initialize\" (func $work)))", named[] = EXPENSIVE " (export \"warm-up\" (func $work)))";
    assert_same_for_less(plain, named, "warm-up");
}

static void test_a_start_function_runs_once(void **state)
{
    (void)state;
    static const char plain[] = EXPENSIVE " (start $work))", both[] = EXPENSIVE " (func (export \"_initialize\")) (start $work))";
    assert_same_for_less(plain, both, "_initialize");
}

static void test_the_cache_gives_the_same_program_again(void **state)
{
    (void)state;
    static const char wat[] = EXPENSIVE " (export \"_initialize\" (func $work)))";
    nx_buf out = NX_BUF_INIT(OUT_BYTES);
    nx_error e = NX_ERROR_INIT;
    assert_int_equal(nx_rt_artifact_join(rt_help_wat(wat), NX_SLICE("_initialize"), NULL, &out, &e), NX_OK);
    nx_sha256 digest = nx_sha256_of(nx_buf_view(&out)), plain = nx_sha256_of(rt_help_wat(wat));
    assert_memory_not_equal(&digest, &plain, sizeof digest);
    nx_rt_program_unref(must_load(wat, "_initialize"));
    nx_rt_program *p;
    assert_int_equal(nx_rt_program_load(rt, NX_SLICE_NULL, &digest, 16u << 20, &p, &e), NX_OK);
    nx_attempt a;
    run(p, &a);
    assert_true(a.out.fuel < 10000);
    nx_attempt_done(&a);
    nx_rt_program_unref(p);
    nx_buf_done(&out);
}

static void assert_refused(const char *wat, const char *init, const char *says)
{
    nx_rt_program *p;
    nx_error e = NX_ERROR_INIT;
    assert_int_equal(load(wat, init, &p, &e), NX_EMODULE);
    if (!strstr(e.msg, says)) fail_msg("\"%s\" does not say \"%s\"", e.msg, says);
}

#define WITH_INIT(body) RT_WAT_HEAD " (table 2 funcref) (elem (i32.const 0) $f) (func $f) (func (export \"handle_event\")) (func (export \"_initialize\") " body "))"

static void test_what_belongs_to_one_run_is_refused_by_name(void **state)
{
    (void)state;
    assert_refused(WITH_INIT("(drop (call $clock (i32.const 0) (i64.const 0) (i32.const 8)))"), "_initialize", "clock_time_get");
    assert_refused(WITH_INIT("(drop (call $random (i32.const 0) (i32.const 8)))"), "_initialize", "random_get");
    assert_refused(WITH_INIT("(call $write (i32.const 1) (i32.const 0) (i32.const 8))"), "_initialize", "fd_write");
    assert_refused(WITH_INIT("(call $exit (i32.const 0))"), "_initialize", "proc_exit");
    assert_refused(WITH_INIT("(table.set (i32.const 1) (ref.func $f))"), "_initialize", "table");
    assert_refused(WITH_INIT("(drop (table.grow (ref.null func) (i32.const 1)))"), "_initialize", "table");
    assert_refused(WITH_INIT("unreachable"), "_initialize", "unreachable");
    assert_refused(WITH_INIT(""), "warm-up", "no function \"warm-up\"");
}

static void test_initialisation_that_never_ends_is_refused(void **state)
{
    (void)state;
#define TIMES_8(x) x x x x x x x x
    assert_refused(WITH_INIT("(local $x i32) (loop $l " TIMES_8(TIMES_8(TIMES_8("(local.set $x (i32.add (local.get $x) (i32.const 1)))"))) "(br $l))"), "_initialize",
                   "does not come to an end");
}

#define READS_ENVIRONMENT(name)                                                                                                               \
    "(module (import \"wasi_snapshot_preview1\" \"environ_sizes_get\" (func $e (param i32 i32) (result i32))) (memory (export \"memory\") 1)" \
    " (data (i32.const 8) \"\\ff\\ff\\ff\\ff\") (func (export \"handle_event\"))"                                                             \
    " (func (export \"" name "\") (if (call $e (i32.const 8) (i32.const 4)) (then unreachable)) (if (i32.load (i32.const 8)) (then unreachable))))"

static void test_environment_is_empty_where_every_run_reads_its_own(void **state)
{
    (void)state;
    nx_rt_program_unref(must_load(READS_ENVIRONMENT("warm-up"), "warm-up"));
    assert_refused(READS_ENVIRONMENT("_initialize"), "_initialize", "environ_sizes_get");
}

#define ASKS_FOR_FOLDERS(name, checks)                                                                                         \
    "(module (import \"wasi_snapshot_preview1\" \"fd_prestat_get\" (func $get (param i32 i32) (result i32)))"                  \
    " (import \"wasi_snapshot_preview1\" \"fd_prestat_dir_name\" (func $name (param i32 i32 i32) (result i32)))"               \
    " (memory (export \"memory\") 1) (func $not (param i32 i32) (if (i32.ne (local.get 0) (local.get 1)) (then unreachable)))" \
    " (func (export \"handle_event\")) (func (export \"" name "\") " checks "))"

static void test_the_folder_of_every_run_is_known(void **state)
{
    (void)state;
#define FINDS_ROOT                                                                                                                           \
    "(call $not (call $get (i32.const 3) (i32.const 8)) (i32.const 0))"                                                                      \
    "(call $not (i32.load (i32.const 8)) (i32.const 0)) (call $not (i32.load (i32.const 12)) (i32.const 1))"                                 \
    "(call $not (call $name (i32.const 3) (i32.const 16) (i32.const 1)) (i32.const 0)) (call $not (i32.load (i32.const 16)) (i32.const 47))" \
    "(call $not (call $get (i32.const 4) (i32.const 8)) (i32.const 8))"
    nx_rt_program_unref(must_load(ASKS_FOR_FOLDERS("_initialize", FINDS_ROOT), "_initialize"));
    nx_rt_program_unref(must_load(ASKS_FOR_FOLDERS("warm-up", FINDS_ROOT), "warm-up"));
    assert_refused(ASKS_FOR_FOLDERS("_initialize", "(drop (call $get (i32.const 3) (i32.const 65529)))"), "_initialize", "fd_prestat_get");
}

static void test_damaged_init_sections_are_refused(void **state)
{
    (void)state;
    nx_buf out = NX_BUF_INIT(OUT_BYTES);
    nx_rt_artifact parts;
    nx_error e = NX_ERROR_INIT;
    assert_int_equal(nx_rt_artifact_join(rt_help_wat(WITH_INIT("")), NX_SLICE("_initialize"), NULL, &out, &e), NX_OK);
    assert_int_equal(nx_rt_artifact_split(nx_buf_view(&out), &parts, &e), NX_OK);
    assert_true(nx_slice_eq_cstr(parts.init, "_initialize"));
    assert_int_equal(nx_buf_append(&out, "\0\x02\x01x", 4), NX_OK);
    assert_int_equal(nx_rt_artifact_split(nx_buf_view(&out), &parts, &e), NX_EMODULE);
    nx_buf_done(&out);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], NX_RT_CHILD_VERB) == 0) return nx_rt_child_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_initialize_runs_once_when_it_is_loaded),
        cmocka_unit_test(test_an_export_of_any_name_runs_once),
        cmocka_unit_test(test_a_start_function_runs_once),
        cmocka_unit_test(test_the_cache_gives_the_same_program_again),
        cmocka_unit_test(test_what_belongs_to_one_run_is_refused_by_name),
        cmocka_unit_test(test_initialisation_that_never_ends_is_refused),
        cmocka_unit_test(test_environment_is_empty_where_every_run_reads_its_own),
        cmocka_unit_test(test_the_folder_of_every_run_is_known),
        cmocka_unit_test(test_damaged_init_sections_are_refused),
    };
    return cmocka_run_group_tests(tests, rt_help_setup, rt_help_teardown);
}
