/* test_determinism.c: the same attempt gives the same output, fuel and host calls: again, in another process, and after a timeout;
 * and where two runs differ, the trace says so in words. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nx/clock.h"
#include "rt_help.h"

#define AGAIN_VERB "again"

/* Hash maps with random keys, times, sleeps, logs, floating point. */
static const char busy_source[] =
    "use std::collections::HashMap;\n"
    "use std::io::Read;\n"
    "use std::time::{Duration, Instant, SystemTime};\n"
    "#[no_mangle]\n"
    "pub extern \"C\" fn handle_event() {\n"
    "    let mut input = String::new();\n"
    "    std::io::stdin().read_to_string(&mut input).unwrap();\n"
    "    let begin = Instant::now();\n"
    "    let mut counts: HashMap<char, f64> = HashMap::new();\n"
    "    for c in input.chars() { *counts.entry(c).or_insert(0.0) += 0.1; }\n"
    "    for (c, n) in &counts { println!(\"{} {}\", c, (n * 1e9).sqrt()); }\n"
    "    std::thread::sleep(Duration::from_millis(3));\n"
    "    eprintln!(\"{:?} after {:?}\", SystemTime::now(), begin.elapsed());\n"
    "    println!(\"{:?} {}\", std::env::var(\"TRACE_ID\"), (f64::NAN * -1.0).to_bits());\n"
    "}\n";

static const nx_kv env[] = {{{"TRACE_ID", 8}, {"0af7651916cd43dd", 16}}};

static void set_busy(nx_attempt *a)
{
    nx_attempt_init(a);
    a->input = NX_SLICE("the quick brown fox jumps over the lazy dog");
    a->env = env;
    a->n_env = NX_ARRAY_LEN(env);
    a->start_wall_ns = 1764152625000000000ull;
    for (unsigned i = 0; i < sizeof a->seed; i++) a->seed[i] = (uint8_t)(i * 7);
}

/* All that a verdict compares, as text. */
static void digest_text(const nx_attempt *a, char *out, size_t out_bytes)
{
    char output[NX_SHA256_HEX + 1], logs[NX_SHA256_HEX + 1], calls[NX_SHA256_HEX + 1];
    nx_sha256_hex(&a->out.output_sha256, output);
    nx_sha256_hex(&a->out.logs_sha256, logs);
    nx_sha256_hex(&a->out.calls_sha256, calls);
    (void)snprintf(out, out_bytes, "%s %s %s %s %llu %llu", nx_run_status_name(a->out.status), output, logs, calls,
                   (unsigned long long)a->out.n_calls, (unsigned long long)a->out.fuel);
}

/* In another process: DIR NAME of the module, prints the digest text. */
static int run_again(const char *dir, const char *digest_hex)
{
    nx_error e = NX_ERROR_INIT;
    nx_rt *r;
    nx_rt_program *p;
    nx_sha256 digest;
    nx_attempt a;
    char text[512];
    if (nx_sha256_parse_hex(nx_slice_cstr(digest_hex), &digest) || nx_rt_new(&(nx_rt_options){.cache_dir = dir, .pool_slots = 4}, &r, &e) ||
        nx_rt_program_load(r, NX_SLICE_NULL, &digest, 128u << 20, &p, &e))
        return 1;
    set_busy(&a);
    a.program = p;
    a.is_replay = true;
    if (nx_rt_run(r, &a, &e)) return 1;
    digest_text(&a, text, sizeof text);
    (void)puts(text);
    nx_attempt_done(&a);
    nx_rt_program_unref(p);
    nx_rt_free(r);
    return 0;
}

static char own_path[512];

static void test_determinism_again_and_in_another_process(void **state)
{
    (void)state;
    nx_slice module = rt_help_rust("busy", busy_source);
    nx_sha256 digest = nx_sha256_of(module);
    nx_rt_program *p = rt_help_load(module);
    nx_attempt a;
    char first[512], second[512], elsewhere[512] = "", hex[NX_SHA256_HEX + 1], command[1200];
    set_busy(&a);
    rt_help_run(&a, p);
    rt_help_assert_outcome(&a, NX_RUN_OK, NX_WHY_NONE);
    assert_true(a.out.duration_ns >= 3 * NX_NS_PER_MS); /* it really slept */
    digest_text(&a, first, sizeof first);
    a.is_replay = true;
    rt_help_run(&a, p);
    assert_true(a.out.duration_ns < 1000 * NX_NS_PER_MS);
    digest_text(&a, second, sizeof second);
    assert_string_equal(first, second);
    nx_sha256_hex(&digest, hex);
    (void)snprintf(command, sizeof command, "'%s' " AGAIN_VERB " '%s' %s", own_path, rt_help_dir, hex);
    FILE *f = popen(command, "r");
    assert_non_null(f);
    assert_non_null(fgets(elsewhere, sizeof elsewhere, f));
    assert_int_equal(pclose(f), 0);
    elsewhere[strcspn(elsewhere, "\n")] = '\0';
    assert_string_equal(first, elsewhere);
    /* Another seed: another order of the hash map. */
    a.seed[0]++;
    rt_help_run(&a, p);
    digest_text(&a, second, sizeof second);
    assert_string_not_equal(first, second);
    nx_attempt_done(&a);
    nx_rt_program_unref(p);
}

/* Guests that do not end, interrupted at whatever instant the clock chose; stopped by fuel, they must have said and asked the same. */
static const char *const endless[] = {
    "(module (func (export \"handle_event\") (loop $l (br $l))))",
    RT_WAT_HEAD " (func (export \"handle_event\") (loop $l (call $write (i32.const 1) (i32.const 100) (i32.const 1)) (br $l))))",
    RT_WAT_HEAD " (func $work (local $i i32) (local.set $i (i32.const 1000))"
                "  (loop $l (local.set $i (i32.sub (local.get $i) (i32.const 1))) (br_if $l (local.get $i))))"
                " (func (export \"handle_event\") (loop $l (call $work) (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 16)))"
                "  (call $write (i32.const 1) (i32.const 16) (i32.const 8)) (br $l))))",
    RT_WAT_HEAD " (func (export \"handle_event\") (loop $l (call $sleep_ns (i64.const 7000000))"
                "  (call $write (i32.const 1) (i32.const 100) (i32.const 3)) (br $l))))",
    RT_WAT_HEAD " (func (export \"handle_event\") (call $sleep_ns (i64.const 3600000000000))"
                " (call $write (i32.const 1) (i32.const 100) (i32.const 3)) (call $sleep_ns (i64.const 3600000000000)) (loop $l (br $l))))",
    /* It needs no further check of the deadline to return. */
    RT_WAT_HEAD " (func (export \"handle_event\") (call $sleep_ns (i64.const 3600000000000))))",
    RT_WAT_HEAD " (func (export \"handle_event\") (loop $l (memory.fill (i32.const 4096) (i32.const 1) (i32.const 60000))"
                "  (drop (call $random (i32.const 64) (i32.const 8))) (br $l))))",
    RT_WAT_HEAD " (func $f (param $n i32) (if (local.get $n) (then (call $f (i32.sub (local.get $n) (i32.const 1))))"
                "  (else (call $write (i32.const 2) (i32.const 100) (i32.const 2)))))"
                " (func (export \"handle_event\") (loop $l (call $f (i32.const 50)) (br $l))))",
};

static void test_determinism_of_timeouts(void **state)
{
    (void)state;
    for (size_t i = 0; i < NX_ARRAY_LEN(endless); i++) {
        nx_rt_program *p = rt_help_load_wat(endless[i]);
        nx_attempt a;
        char first[512], second[512];
        nx_attempt_init(&a);
        a.timeout_ns = 30 * NX_NS_PER_MS;
        a.max_output_bytes = 1u << 30;
        a.start_wall_ns = 1764152625000000000ull;
        rt_help_run(&a, p);
        rt_help_assert_outcome(&a, NX_RUN_TIMEOUT, NX_WHY_DEADLINE);
        assert_true(a.out.duration_ns < 5 * NX_NS_PER_S);
        assert_true(a.out.fuel > 0);
        digest_text(&a, first, sizeof first);
        a.is_replay = true;
        a.stop_at_fuel = a.out.fuel;
        rt_help_run(&a, p);
        rt_help_assert_outcome(&a, NX_RUN_TIMEOUT, NX_WHY_DEADLINE);
        digest_text(&a, second, sizeof second);
        if (strcmp(first, second) != 0) fail_msg("guest %zu:\n%s\n%s", i, first, second);
        nx_attempt_done(&a);
        nx_rt_program_unref(p);
    }
}

/* A machine that is too slow for a proof says so: that is neither the same outcome nor another one. */
static void test_proof_that_takes_too_long_is_no_outcome(void **state)
{
    (void)state;
    nx_rt_program *p = rt_help_load_wat("(module (func (export \"handle_event\") (loop $l (br $l))))");
    nx_attempt a;
    for (int i = 0; i < 2; i++) {
        nx_error e = NX_ERROR_INIT;
        nx_attempt_init(&a);
        a.timeout_ns = NX_NS_PER_MS;
        a.is_replay = a.is_proof = true;
        if (i) a.stop_at_fuel = UINT64_MAX / 2; /* the recorded attempt came that far before it was interrupted */
        a.program = p;
        rt_help_engine_signals();
        uint64_t begin_ns = nx_clock_ns();
        assert_int_equal(nx_rt_run(rt, &a, &e), NX_ETIMEOUT);
        assert_true(nx_clock_ns() - begin_ns > 5 * NX_NS_PER_S); /* not the 10 ms that ten times the timeout are */
        assert_non_null(strstr(e.msg, "too busy"));
        nx_attempt_done(&a);
    }
    nx_rt_program_unref(p);
}

static void test_calls_first_difference_in_words(void **state)
{
    (void)state;
    nx_rt_program *p = rt_help_load_wat(
        RT_WAT_HEAD " (data (i32.const 100) \"two\\nlines\") (func (export \"handle_event\")"
                    " (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 8)))"
                    " (call $write (i32.const 1) (i32.const 100) (i32.const 9))"
                    " (drop (call $fd_read (i32.const 5) (i32.const 0) (i32.const 0) (i32.const 8)))"
                    " (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 16)))))");
    nx_attempt a, b;
    NX_CLEANUP(nx_buf_done)
    nx_buf text_a = NX_BUF_INIT(4096);
    NX_CLEANUP(nx_buf_done)
    nx_buf text_b = NX_BUF_INIT(4096);
    int64_t index = -2;
    nx_attempt_init(&a);
    nx_attempt_init(&b);
    a.start_wall_ns = 1764152625000000000ull;
    b.start_wall_ns = a.start_wall_ns + 1;
    rt_help_run(&a, p);
    rt_help_run(&b, p);
    assert_int_equal(nx_rt_calls_first_difference(&(nx_rt_trace){.calls = nx_buf_view(&a.out.calls)}, &(nx_rt_trace){.calls = nx_buf_view(&b.out.calls)}, false, &index, &text_a, &text_b), NX_OK);
    assert_int_equal(index, 3);
    assert_string_equal(nx_buf_cstr(&text_a), "clock_time_get(realtime) -> 1764152625000001000");
    assert_string_equal(nx_buf_cstr(&text_b), "clock_time_get(realtime) -> 1764152625000001001");
    assert_int_equal(nx_rt_calls_first_difference(&(nx_rt_trace){.calls = nx_buf_view(&a.out.calls)}, &(nx_rt_trace){.calls = nx_buf_view(&a.out.calls)}, false, &index, &text_a, &text_b), NX_OK);
    assert_int_equal(index, -1);
    /* One side is shorter: its first two entries against none. */
    nx_buf_clear(&text_a);
    nx_buf_clear(&text_b);
    size_t first = (size_t)(uint8_t)a.out.calls.p[0];
    assert_int_equal(nx_rt_calls_first_difference(&(nx_rt_trace){.calls = nx_buf_view(&a.out.calls)}, &(nx_rt_trace){.calls = nx_slice_make(a.out.calls.p, first)}, false, &index, &text_a, &text_b),
                     NX_OK);
    assert_int_equal(index, 1);
    assert_string_equal(nx_buf_cstr(&text_a), "fd_write(fd 1, \"two\\nlines\") -> 9 bytes");
    assert_string_equal(nx_buf_cstr(&text_b), "no further call");
    nx_buf_clear(&text_a);
    nx_buf_clear(&text_b);
    size_t second = (size_t)(uint8_t)a.out.calls.p[first];
    nx_slice rest = nx_slice_make(a.out.calls.p + first + second, a.out.calls.n - first - second);
    assert_int_equal(nx_rt_calls_first_difference(&(nx_rt_trace){.calls = rest}, &(nx_rt_trace){.calls = NX_SLICE_NULL}, false, &index, &text_a, &text_b), NX_OK);
    assert_string_equal(nx_buf_cstr(&text_a), "fd_read(fd 5, at most ? bytes) -> EBADF");
    assert_int_equal(nx_rt_calls_first_difference(&(nx_rt_trace){.calls = NX_SLICE("\5")}, &(nx_rt_trace){.calls = NX_SLICE_NULL}, false, &index, &text_a, &text_b), NX_ECORRUPT);
    assert_int_equal(nx_rt_calls_first_difference(&(nx_rt_trace){.calls = NX_SLICE("\7\0\x14\0\2\1\xff")}, &(nx_rt_trace){.calls = NX_SLICE_NULL}, false, &index, &text_a, &text_b), NX_ECORRUPT);
    nx_attempt_done(&a);
    nx_attempt_done(&b);
    nx_rt_program_unref(p);
}

/* Where two runs part behind what is kept, the marks say at which call. */
static void test_calls_marks_find_the_call(void **state)
{
    static const char form[] = RT_WAT_HEAD " (func (export \"handle_event\") (local $i i32) (local.set $i (i32.const 1500))"
                                           " (loop $l (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 16)))"
                                           "  (if (i32.eq (local.get $i) (i32.const %d)) (then (drop (call $random (i32.const 64) (i32.const 8)))))"
                                           "  (local.set $i (i32.sub (local.get $i) (i32.const 1))) (br_if $l (local.get $i)))))";
    (void)state;
    static const int parts_at[] = {1499, 1000, 400, 1, 0}; /* iterations count down; 0: never */
    char text[2048];
    nx_attempt a[NX_ARRAY_LEN(parts_at)];
    NX_CLEANUP(nx_buf_done)
    nx_buf call = NX_BUF_INIT(4096);
    for (size_t i = 0; i < NX_ARRAY_LEN(parts_at); i++) {
        (void)snprintf(text, sizeof text, form, parts_at[i]);
        nx_rt_program *p = rt_help_load_wat(text);
        nx_attempt_init(&a[i]);
        a[i].max_calls_bytes = i == 2 ? 1u << 20 : 100; /* one keeps all: where the other was cut is no difference */
        rt_help_run(&a[i], p);
        nx_rt_program_unref(p);
    }
    const nx_outcome *plain = &a[NX_ARRAY_LEN(parts_at) - 1].out;
    nx_rt_trace kept = {nx_buf_view(&plain->calls), nx_buf_view(&plain->call_marks), plain->n_calls};
    int64_t index;
    NX_CLEANUP(nx_buf_done)
    nx_buf other = NX_BUF_INIT(4096);
    for (size_t i = 0; i + 1 < NX_ARRAY_LEN(parts_at); i++) {
        const nx_outcome *o = &a[i].out;
        nx_rt_trace parted = {nx_buf_view(&o->calls), nx_buf_view(&o->call_marks), o->n_calls};
        nx_buf_clear(&call);
        nx_buf_clear(&other);
        assert_int_equal(nx_rt_calls_first_difference(&kept, &parted, false, &index, &call, &other), NX_OK);
        assert_int_equal(index, 1500 - parts_at[i] + 1);
        if (i > 0) assert_string_equal(nx_buf_cstr(&call), parts_at[i] == 1 ? NX_RT_NO_FURTHER_CALL : NX_RT_CALL_NOT_KEPT);
        assert_true(i == 0 || i == 2 ? nx_slice_starts(nx_buf_view(&other), NX_SLICE("random_get(")) : nx_slice_eq_cstr(nx_buf_view(&other), NX_RT_CALL_NOT_KEPT));
    }
    assert_int_equal(nx_rt_calls_first_difference(&kept, &kept, false, &index, &call, &other), NX_OK);
    assert_int_equal(index, -1);
    /* Behind the marks nobody knows, unless one ends before. */
    kept.n = 5000;
    kept.marks = nx_slice_sub(kept.marks, 0, 400);
    nx_rt_trace longer = kept, shorter = kept;
    longer.n = 5001;
    shorter.n = 20;
    assert_int_equal(nx_rt_calls_first_difference(&kept, &longer, false, &index, &call, &other), NX_OK);
    assert_int_equal(index, -1);
    nx_buf_clear(&other);
    assert_int_equal(nx_rt_calls_first_difference(&kept, &shorter, false, &index, &call, &other), NX_OK);
    assert_int_equal(index, 20);
    assert_string_equal(nx_buf_cstr(&other), NX_RT_NO_FURTHER_CALL);
    for (size_t i = 0; i < NX_ARRAY_LEN(parts_at); i++) nx_attempt_done(&a[i]);
}

/* A replay has variables of its own: two runs that read environments part where something else differs. */
static void test_calls_of_any_environment(void **state)
{
    (void)state;
    nx_rt_program *p = rt_help_load_wat("(module (import \"wasi_snapshot_preview1\" \"environ_sizes_get\" (func $e (param i32 i32) (result i32)))"
                                        " (import \"wasi_snapshot_preview1\" \"clock_time_get\" (func $clock (param i32 i64 i32) (result i32)))"
                                        " (memory (export \"memory\") 1) (func (export \"handle_event\")"
                                        " (drop (call $e (i32.const 0) (i32.const 4))) (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 16)))))");
    nx_kv two[] = {{NX_SLICE("A"), NX_SLICE("1")}, {NX_SLICE("B"), NX_SLICE("2")}};
    nx_attempt a, b;
    NX_CLEANUP(nx_buf_done)
    nx_buf text_a = NX_BUF_INIT(4096);
    NX_CLEANUP(nx_buf_done)
    nx_buf text_b = NX_BUF_INIT(4096);
    int64_t index = -2;
    for (unsigned later = 0; later < 2; later++) {
        nx_attempt_init(&a);
        nx_attempt_init(&b);
        a.env = b.env = two;
        a.n_env = 1;
        b.n_env = 2;
        a.start_wall_ns = 1764152625000000000ull;
        b.start_wall_ns = a.start_wall_ns + later;
        rt_help_run(&a, p);
        rt_help_run(&b, p);
        nx_rt_trace x = {nx_buf_view(&a.out.calls), NX_SLICE_NULL, a.out.n_calls}, y = {nx_buf_view(&b.out.calls), NX_SLICE_NULL, b.out.n_calls};
        assert_int_equal(nx_rt_calls_first_difference(&x, &y, false, &index, &text_a, &text_b), NX_OK);
        assert_int_equal(index, 0);
        assert_int_equal(nx_rt_calls_first_difference(&x, &y, true, &index, &text_a, &text_b), NX_OK);
        assert_int_equal(index, later ? 1 : -1);
        nx_attempt_done(&a);
        nx_attempt_done(&b);
    }
    nx_rt_program_unref(p);
}

/* The trace is kept in whole entries up to its bound, and hashed to its end. */
static void test_calls_trace_is_bounded(void **state)
{
    (void)state;
    nx_rt_program *p = rt_help_load_wat(RT_WAT_HEAD " (func (export \"handle_event\") (local $i i32) (local.set $i (i32.const 5000))"
                                                    " (loop $l (drop (call $clock (i32.const 0) (i64.const 0) (i32.const 16)))"
                                                    "  (local.set $i (i32.sub (local.get $i) (i32.const 1))) (br_if $l (local.get $i)))))");
    nx_attempt a;
    nx_attempt_init(&a);
    a.max_calls_bytes = 1u << 20;
    rt_help_run(&a, p);
    nx_sha256 whole = a.out.calls_sha256, kept = nx_sha256_of(nx_buf_view(&a.out.calls));
    assert_int_equal(a.out.n_calls, 5000);
    assert_memory_equal(&whole, &kept, sizeof whole);
    size_t whole_bytes = a.out.calls.n;
    for (uint64_t max = 0; max < 40000; max = max * 3 + 7) {
        a.max_calls_bytes = max;
        rt_help_run(&a, p);
        assert_true(a.out.call_marks.n <= NX_RT_CALL_MARKS * 4 && (a.out.call_marks.n > 0) == (a.out.calls.n < whole_bytes));
        assert_true(a.out.calls.n <= max && a.out.calls.n + 20 > (max < whole_bytes ? max : 0));
        assert_memory_equal(&whole, &a.out.calls_sha256, sizeof whole);
    }
    nx_attempt_done(&a);
    nx_rt_program_unref(p);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_determinism_again_and_in_another_process),
        cmocka_unit_test(test_determinism_of_timeouts),
        cmocka_unit_test(test_proof_that_takes_too_long_is_no_outcome),
        cmocka_unit_test(test_calls_first_difference_in_words),
        cmocka_unit_test(test_calls_of_any_environment),
        cmocka_unit_test(test_calls_marks_find_the_call),
        cmocka_unit_test(test_calls_trace_is_bounded),
    };
    if (argc > 1 && strcmp(argv[1], NX_RT_CHILD_VERB) == 0) return nx_rt_child_main(argc, argv);
    if (argc == 4 && strcmp(argv[1], AGAIN_VERB) == 0) return run_again(argv[2], argv[3]);
    ssize_t n = readlink("/proc/self/exe", own_path, sizeof own_path - 1);
    if (n <= 0) return 1;
    return cmocka_run_group_tests(tests, rt_help_setup, rt_help_teardown);
}
