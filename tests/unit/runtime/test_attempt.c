/* test_attempt.c: what one execution gives: outcomes, text, figures. */
#include <stdio.h>
#include <string.h>

#include "nx/clock.h"
#include "rt_help.h"

static const char sample[] =
    "use std::io::{stdin, stdout, Read, Write};\n"
    "#[no_mangle]\n"
    "pub extern \"C\" fn handle_event() {\n"
    "    let mut input = Vec::new();\n"
    "    stdin().read_to_end(&mut input).unwrap();\n"
    "    let response = format!(\"Processed: {}\", String::from_utf8_lossy(&input));\n"
    "    stdout().write_all(response.as_bytes()).unwrap();\n"
    "}\n";

static void assert_slice(nx_buf *b, const char *text)
{
    assert_int_equal(b->n, strlen(text));
    assert_memory_equal(b->p, text, b->n);
}

static void test_attempt_missions_rust_sample_answers(void **state)
{
    (void)state;
    nx_rt_program *p = rt_help_load(rt_help_rust("sample", sample));
    nx_attempt a;
    nx_attempt_init(&a);
    a.input = NX_SLICE("{\"user_id\": \"u42\"}");
    rt_help_run(&a, p);
    rt_help_assert_outcome(&a, NX_RUN_OK, NX_WHY_NONE);
    assert_slice(&a.out.output, "Processed: {\"user_id\": \"u42\"}");
    assert_int_equal(a.out.output_bytes, a.out.output.n);
    assert_true(a.out.is_cold);
    assert_true(a.out.fuel > 100);
    assert_true(a.out.memory_bytes >= 1u << 20);
    assert_true(a.out.n_calls >= 3);
    rt_help_run(&a, p);
    assert_false(a.out.is_cold);
    nx_attempt_done(&a);
    nx_rt_program_unref(p);
}

static void check(const char *wat, nx_run_status status, nx_run_why why, const char *part_of_message)
{
    nx_rt_program *p = rt_help_load_wat(wat);
    nx_attempt a;
    nx_attempt_init(&a);
    a.timeout_ns = 100 * NX_NS_PER_MS;
    rt_help_run(&a, p);
    rt_help_assert_outcome(&a, status, why);
    if (!strstr(a.out.message, part_of_message)) fail_msg("message is: %s", a.out.message);
    nx_attempt_done(&a);
    nx_rt_program_unref(p);
}

static void test_attempt_start_that_returns_is_ok(void **state)
{
    (void)state;
    check("(module (func (export \"_start\")))", NX_RUN_OK, NX_WHY_NONE, "");
}

static void test_attempt_exit_codes(void **state)
{
    (void)state;
    check(RT_WAT_HEAD " (func (export \"_start\") (call $exit (i32.const 0))))", NX_RUN_OK, NX_WHY_NONE, "");
    check(RT_WAT_HEAD " (func (export \"_start\") (call $exit (i32.const 3))))", NX_RUN_ERROR, NX_WHY_EXIT, "code 3");
    check("(module (func (export \"handle_event\") (result i32) (i32.const 4)))", NX_RUN_ERROR, NX_WHY_EXIT, "code 4");
}

static void test_attempt_traps_are_named(void **state)
{
    (void)state;
    check("(module (func (export \"handle_event\") unreachable))", NX_RUN_ERROR, NX_WHY_TRAP, "unreachable");
    check("(module (memory 1) (func (export \"handle_event\") (drop (i32.load (i32.const 70000)))))", NX_RUN_ERROR, NX_WHY_TRAP,
          "memory access out of bounds");
    check("(module (func (export \"handle_event\") (drop (i32.div_u (i32.const 1) (i32.const 0)))))", NX_RUN_ERROR, NX_WHY_TRAP,
          "division by zero");
    check("(module (start $s) (func $s unreachable) (func (export \"handle_event\")))", NX_RUN_ERROR, NX_WHY_TRAP, "unreachable");
    check("(module (memory 1) (data (i32.const 65535) \"ab\") (func (export \"handle_event\")))", NX_RUN_ERROR, NX_WHY_TRAP, "out of bounds");
}

static void test_attempt_stack_overflow(void **state)
{
    (void)state;
    check("(module (func $f (export \"handle_event\") (call $f)))", NX_RUN_ERROR, NX_WHY_STACK_OVERFLOW, "stack");
}

static void test_attempt_endless_loop_times_out(void **state)
{
    (void)state;
    uint64_t begin_ns = nx_clock_ns();
    check("(module (func (export \"handle_event\") (loop $l (br $l))))", NX_RUN_TIMEOUT, NX_WHY_DEADLINE, "100 ms");
    assert_true(nx_clock_ns() - begin_ns < 5 * NX_NS_PER_S);
}

static void test_attempt_fuel_limit(void **state)
{
    (void)state;
    nx_rt_program *p = rt_help_load_wat("(module (func (export \"handle_event\") (loop $l (br $l))))");
    nx_attempt a;
    nx_attempt_init(&a);
    a.fuel = 100000;
    rt_help_run(&a, p);
    rt_help_assert_outcome(&a, NX_RUN_ERROR, NX_WHY_FUEL);
    assert_true(a.out.fuel >= 100000);
    nx_attempt_done(&a);
    nx_rt_program_unref(p);
}

static void test_attempt_output_over_limit(void **state)
{
    (void)state;
    nx_rt_program *p = rt_help_load_wat(
        RT_WAT_HEAD " (func (export \"handle_event\") (loop $l (call $write (i32.const 1) (i32.const 4096) (i32.const 1000)) (br $l))))");
    nx_attempt a;
    nx_attempt_init(&a);
    a.max_output_bytes = 2500;
    rt_help_run(&a, p);
    rt_help_assert_outcome(&a, NX_RUN_ERROR, NX_WHY_OUTPUT_LIMIT);
    assert_int_equal(a.out.output.n, 2500);
    assert_int_equal(a.out.n_calls, 3);
    nx_attempt_done(&a);
    nx_rt_program_unref(p);
}

struct lines {
    unsigned n;
    size_t bytes; /* with a line end each */
    char last[64];
};

static void on_log(nx_attempt *a, nx_slice line)
{
    struct lines *l = a->owner;
    l->n++;
    l->bytes += line.n + 1;
    assert_int_equal(nx_slice_to_cstr(line, l->last, sizeof l->last), NX_OK);
}

static void test_attempt_stderr_lines(void **state)
{
    (void)state;
    nx_rt_program *p = rt_help_load_wat(RT_WAT_HEAD " (data (i32.const 100) \"one\\ntwo\\n\\nlast\")"
                                                    " (func (export \"handle_event\") (call $write (i32.const 2) (i32.const 100) (i32.const 5))"
                                                    "  (call $write (i32.const 2) (i32.const 105) (i32.const 8))))");
    struct lines l = {0};
    nx_attempt a;
    nx_attempt_init(&a);
    a.on_log = on_log;
    a.owner = &l;
    a.keep_logs = true;
    rt_help_run(&a, p);
    rt_help_assert_outcome(&a, NX_RUN_OK, NX_WHY_NONE);
    assert_int_equal(l.n, 4);
    assert_string_equal(l.last, "last");
    assert_slice(&a.out.logs, "one\ntwo\n\nlast");
    nx_sha256 whole = nx_sha256_of(NX_SLICE("one\ntwo\n\nlast"));
    assert_memory_equal(&whole, &a.out.logs_sha256, sizeof whole);
    /* Over the limit: cut, counted, and hashed whole. */
    nx_attempt_reset(&a);
    l.n = 0;
    a.on_log = on_log;
    a.owner = &l;
    a.keep_logs = true;
    a.max_log_bytes = 6;
    rt_help_run(&a, p);
    assert_slice(&a.out.logs, "one\ntw");
    assert_int_equal(l.n, 2);
    assert_string_equal(l.last, "tw");
    assert_int_equal(a.out.logs_bytes, 13);
    assert_memory_equal(&whole, &a.out.logs_sha256, sizeof whole);
    nx_attempt_done(&a);
    nx_rt_program_unref(p);
}

static const char rust_bomb[] = "#[no_mangle]\npub extern \"C\" fn handle_event() {\n"
                                "    let mut all: Vec<Vec<u8>> = Vec::new();\n"
                                "    loop { all.push(vec![1u8; 300 << 20]); }\n}\n";

static void test_attempt_memory_limit(void **state)
{
    (void)state;
    nx_rt_program *p = rt_help_load_wat("(module (memory (export \"memory\") 1) (func (export \"handle_event\")"
                                        " (loop $l (br_if $l (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable))");
    nx_attempt a;
    nx_attempt_init(&a);
    a.memory_bytes = 8u << 20;
    rt_help_run(&a, p);
    rt_help_assert_outcome(&a, NX_RUN_ERROR, NX_WHY_MEMORY_LIMIT);
    assert_int_equal(a.out.memory_bytes, 8u << 20);
    nx_rt_program_unref(p);

    p = rt_help_load(rt_help_rust("bomb", rust_bomb));
    nx_attempt_reset(&a);
    rt_help_run(&a, p);
    rt_help_assert_outcome(&a, NX_RUN_ERROR, NX_WHY_MEMORY_LIMIT);
    nx_rt_program_unref(p);

    p = rt_help_load_wat("(module (memory (export \"memory\") 32) (func (export \"handle_event\")))");
    nx_attempt_reset(&a);
    a.memory_bytes = 1u << 20;
    rt_help_run(&a, p);
    rt_help_assert_outcome(&a, NX_RUN_ERROR, NX_WHY_MEMORY_LIMIT);
    nx_rt_program_unref(p);
    nx_attempt_done(&a);
}

/* How a run is said to have ended does not depend on how much of its log is kept: a replay keeps another amount. */
static void test_attempt_runtime_words_past_the_log_limit_are_heard(void **state)
{
    (void)state;
    nx_rt_program *p = rt_help_load_wat(RT_WAT_HEAD " (data (i32.const 100) \"first\\nsecond\\nmemory allocation of 99 bytes failed\\n\")"
                                                    " (func (export \"handle_event\") (call $write (i32.const 2) (i32.const 100) (i32.const 50)) unreachable))");
    nx_attempt a;
    struct lines l;
    for (uint64_t limit = 0; limit < 60; limit++) {
        nx_attempt_init(&a);
        l = (struct lines){.n = 0};
        a.on_log = on_log;
        a.owner = &l;
        a.keep_logs = true;
        a.max_log_bytes = limit;
        rt_help_run(&a, p);
        rt_help_assert_outcome(&a, NX_RUN_ERROR, NX_WHY_MEMORY_LIMIT);
        assert_int_equal(a.out.logs.n, limit < 50 ? limit : 50);
        assert_int_equal(a.out.logs_bytes, 50);
        assert_in_range(l.bytes, a.out.logs.n, a.out.logs.n + 1); /* told is what is kept, in lines */
        nx_attempt_done(&a);
    }
    assert_int_equal(l.n, 3);
    assert_string_equal(l.last, "memory allocation of 99 bytes failed");
    nx_rt_program_unref(p);
}

static const char panic_source[] = "#[no_mangle]\npub extern \"C\" fn handle_event() {\n"
                                   "    let v: Vec<usize> = Vec::new();\n    println!(\"{}\", v[std::env::args().count()]);\n}\n";

static void test_attempt_rust_panic_is_the_message(void **state)
{
    (void)state;
    nx_rt_program *p = rt_help_load(rt_help_rust("panics", panic_source));
    nx_attempt a;
    nx_attempt_init(&a);
    rt_help_run(&a, p);
    rt_help_assert_outcome(&a, NX_RUN_ERROR, NX_WHY_TRAP);
    if (!strstr(a.out.message, "panicked at ") || !strstr(a.out.message, "index out of bounds") || !strstr(a.out.message, "panics.rs:4"))
        fail_msg("message is: %s", a.out.message);
    const char *frames = nx_buf_cstr(&a.out.backtrace);
    assert_non_null(frames);
    assert_non_null(strstr(frames, "handle_event"));
    assert_non_null(strstr(frames, "core::panicking::"));
    nx_attempt_done(&a);
    nx_rt_program_unref(p);
}

static const char deep_source[] = "#[inline(never)]\nfn check(n: usize) {\n    if n > 0 {\n        panic!(\"not {}\", n)\n    }\n}\n"
                                  "#[no_mangle]\npub extern \"C\" fn handle_event() { check(std::env::args().count()) }\n";

/* A debug build says where; one without line tables leaves the frames as they are. */
static void test_attempt_backtrace_is_symbolised_on_demand(void **state)
{
    (void)state;
    nx_slice module = rt_help_rust_debug("panics_here", deep_source);
    nx_rt_program *p = rt_help_load(module);
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(64u << 10);
    nx_error e = NX_ERROR_INIT;
    nx_attempt a;
    nx_attempt_init(&a);
    rt_help_run(&a, p);
    rt_help_assert_outcome(&a, NX_RUN_ERROR, NX_WHY_TRAP);
    if (nx_rt_symbolise(rt, module, nx_buf_view(&a.out.backtrace), &text, &e)) fail_msg("%s", e.msg);
    if (!strstr(nx_buf_cstr(&text), "panics_here.rs:4\n") || !strstr(text.p, "check")) fail_msg("%s", nx_buf_cstr(&text));
    assert_non_null(strstr(text.p, "#0 "));
    nx_buf_clear(&text);
    nx_slice plain = rt_help_wat("(module (func (export \"handle_event\")))");
    assert_int_equal(nx_rt_symbolise(rt, plain, NX_SLICE("#0 0x40 f\nno frame\n"), &text, &e), NX_OK);
    assert_string_equal(nx_buf_cstr(&text), "#0 0x40 f\nno frame\n");
    assert_int_equal(nx_rt_symbolise(rt, NX_SLICE("nothing"), NX_SLICE("#0 0x40 f\n"), &text, &e), NX_EMODULE);
    nx_attempt_done(&a);
    nx_rt_program_unref(p);
}

static void test_attempt_backtrace_names_functions(void **state)
{
    (void)state;
    nx_rt_program *p = rt_help_load_wat("(module (func $inner unreachable) (func $outer (call $inner))"
                                        " (func (export \"handle_event\") (call $outer)))");
    nx_attempt a;
    nx_attempt_init(&a);
    rt_help_run(&a, p);
    const char *frames = nx_buf_cstr(&a.out.backtrace);
    assert_non_null(frames);
    assert_non_null(strstr(frames, "#0 "));
    assert_non_null(strstr(frames, "inner\n#1 "));
    assert_non_null(strstr(frames, "outer\n#2 "));
    nx_attempt_done(&a);
    nx_rt_program_unref(p);
}

static void test_attempt_stops_at_a_host_call_with_a_backtrace(void **state)
{
    (void)state;
    nx_rt_program *p = rt_help_load_wat(RT_WAT_HEAD "(data (i32.const 100) \"ab\")"
                                                    "(func $first (call $write (i32.const 1) (i32.const 100) (i32.const 1)))"
                                                    "(func $second (call $write (i32.const 1) (i32.const 101) (i32.const 1)))"
                                                    "(func (export \"handle_event\") (call $first) (call $second)))");
    nx_attempt a;
    nx_attempt_init(&a);
    a.stop_at_call = 2;
    rt_help_run(&a, p);
    assert_int_equal(a.out.n_calls, 1);
    assert_true(nx_slice_eq_cstr(nx_buf_view(&a.out.output), "a"));
    assert_string_equal(a.out.message, "stopped before host call 1");
    const char *frames = nx_buf_cstr(&a.out.backtrace);
    if (!strstr(frames, "second\n") || strstr(frames, "first\n")) fail_msg("%s", frames);
    nx_attempt_reset(&a);
    a.stop_at_call = 3; /* it makes two */
    rt_help_run(&a, p);
    rt_help_assert_outcome(&a, NX_RUN_OK, NX_WHY_NONE);
    assert_int_equal(a.out.backtrace.n, 0);
    nx_attempt_done(&a);
    nx_rt_program_unref(p);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attempt_missions_rust_sample_answers),
        cmocka_unit_test(test_attempt_start_that_returns_is_ok),
        cmocka_unit_test(test_attempt_exit_codes),
        cmocka_unit_test(test_attempt_traps_are_named),
        cmocka_unit_test(test_attempt_stack_overflow),
        cmocka_unit_test(test_attempt_endless_loop_times_out),
        cmocka_unit_test(test_attempt_fuel_limit),
        cmocka_unit_test(test_attempt_output_over_limit),
        cmocka_unit_test(test_attempt_stderr_lines),
        cmocka_unit_test(test_attempt_memory_limit),
        cmocka_unit_test(test_attempt_runtime_words_past_the_log_limit_are_heard),
        cmocka_unit_test(test_attempt_rust_panic_is_the_message),
        cmocka_unit_test(test_attempt_backtrace_is_symbolised_on_demand),
        cmocka_unit_test(test_attempt_backtrace_names_functions),
        cmocka_unit_test(test_attempt_stops_at_a_host_call_with_a_backtrace),
    };
    if (argc > 1 && strcmp(argv[1], NX_RT_CHILD_VERB) == 0) return nx_rt_child_main(argc, argv);
    return cmocka_run_group_tests(tests, rt_help_setup, rt_help_teardown);
}
