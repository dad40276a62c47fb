/* test_module.c: what is said of modules that can't run here, and what inspect tells. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "module.h"
#include "rt_help.h"

static void refused(nx_slice module, uint64_t memory_bytes, const char *part, const char *advice)
{
    nx_rt_program *p = NULL;
    nx_error e = NX_ERROR_INIT;
    nx_sha256 digest = nx_sha256_of(module);
    nx_err err = nx_rt_program_load(rt, module, &digest, memory_bytes, &p, &e);
    if (err != NX_EMODULE) fail_msg("%s: %s", nx_err_name(err), e.msg);
    if (!strstr(e.msg, part) || !strstr(e.msg, advice)) fail_msg("said: %s", e.msg);
    assert_null(p);
}

static void refused_wat(const char *wat, const char *part, const char *advice) { refused(rt_help_wat(wat), 16u << 20, part, advice); }

static void test_module_without_entry(void **state)
{
    (void)state;
    refused_wat("(module (func (export \"run\")))", "neither `handle_event` nor `_start`", "extern \"C\" fn handle_event");
}

static void test_module_entry_of_wrong_type(void **state)
{
    (void)state;
    refused_wat("(module (func (export \"handle_event\") (param i32 i32) (result i64) (i64.const 0)))", "(i32, i32) -> i64", "stdin");
}

static void test_module_unknown_imports_are_named_all_at_once(void **state)
{
    (void)state;
    refused_wat("(module (import \"env\" \"foo\" (func)) (import \"__wbindgen_placeholder__\" \"__wbindgen_throw\" (func))"
                " (func (export \"handle_event\")))",
                "env.foo", "wasm-bindgen");
    refused_wat("(module (import \"env\" \"emscripten_resize_heap\" (func)) (func (export \"_start\")))", "env.emscripten_resize_heap",
                "wasi-sdk");
    refused_wat("(module (import \"wasi_unstable\" \"fd_write\" (func)) (func (export \"_start\")))", "wasi_unstable.fd_write", "preview 0");
    refused_wat("(module (import \"wasi:cli/stdout@0.2.0\" \"get-stdout\" (func)) (func (export \"_start\")))", "wasi:cli/stdout", "preview 2");
    refused_wat("(module (import \"wasi_snapshot_preview1\" \"fd_wriet\" (func)) (func (export \"_start\")))", "fd_wriet", "no such function");
}

static void test_module_wasi_import_of_wrong_type(void **state)
{
    (void)state;
    refused_wat("(module (import \"wasi_snapshot_preview1\" \"fd_close\" (func (param i64))) (memory (export \"memory\") 1)"
                " (func (export \"_start\")))",
                "fd_close", "(i64)");
}

static void test_module_memory_is_checked(void **state)
{
    (void)state;
    refused_wat("(module (memory (export \"memory\") 300) (func (export \"_start\")))", "19200Ki of memory, and the limit is 16Mi", "raise `memory:`");
    refused_wat("(module (memory (export \"memory\") 1 2 shared) (func (export \"_start\")))", "shared", "threads");
    refused_wat("(module (import \"env\" \"memory\" (memory 1)) (func (export \"_start\")))", "imported", "--import-memory");
    refused_wat("(module (import \"wasi_snapshot_preview1\" \"fd_close\" (func (param i32) (result i32))) (memory 1) (func (export \"_start\")))",
                "not exported as `memory`", "link");
}

static void test_module_that_is_none(void **state)
{
    (void)state;
    refused(NX_SLICE("#!/bin/sh\n"), 0, "not a WebAssembly binary", "");
    refused(NX_SLICE("(module (func (export \"_start\")))"), 0, "text", "wat2wasm");
    refused(NX_SLICE("\0asm\x0d\0\x01\0"), 0, "component", "wasm32-wasip1");
    refused(NX_SLICE("\0asm\x02\0\0\0"), 0, "version", "");
    refused(NX_SLICE("\0asm\1\0\0\0\1\x7f"), 0, "middle of a section", "");
    refused(NX_SLICE("\0asm\1\0\0\0\1\2\5\x60"), 0, "type section", "");
    refused(NX_SLICE("\0asm\1\0\0\0\2\1\0\2\1\0"), 0, "there twice", "");
}

/* Valid sections, a body that no validator takes: found by the engine in the child. */
static void test_module_with_invalid_code(void **state)
{
    (void)state;
    static const char module[] = "\0asm\1\0\0\0\1\4\1\x60\0\0\3\2\1\0\7\x0a\1\6_start\0\0\x0a\5\1\3\0\x6a\x0b";
    refused(nx_slice_make(module, sizeof module - 1), 0, "the engine refused the module", "type mismatch");
}

static void test_module_with_features_not_enabled(void **state)
{
    (void)state;
    refused_wat("(module (memory i64 1) (func (export \"_start\")))", "64-bit", "wasm32");
    refused_wat("(module (type $s (struct (field i32))) (func (export \"_start\") (drop (struct.new_default $s))))", "refused", "gc");
}

static void test_module_bytes_of_another_digest(void **state)
{
    (void)state;
    nx_rt_program *p = NULL;
    nx_error e = NX_ERROR_INIT;
    nx_sha256 digest = nx_sha256_of(NX_SLICE("something else"));
    assert_int_equal(nx_rt_program_load(rt, rt_help_wat("(module (func (export \"_start\")))"), &digest, 1u << 20, &p, &e), NX_ECORRUPT);
}

/* Every prefix and every flipped byte of a real module: an answer or a refusal, never a read out of bounds (the sanitizers watch). */
static void test_module_reader_takes_damaged_bytes(void **state)
{
    (void)state;
    nx_slice whole = rt_help_wat(RT_WAT_HEAD " (table 3 funcref) (global i32 (i32.const 1)) (start $s) (func $s)"
                                             " (func (export \"handle_event\")))");
    for (size_t n = 0; n < whole.n; n++) {
        char *copy = malloc(n ? n : 1);
        assert_non_null(copy);
        memcpy(copy, whole.p, n);
        nx_arena arena = NX_ARENA_INIT(1u << 20);
        nx_rt_facts facts;
        (void)nx_rt_facts_read(nx_slice_make(copy, n), &arena, &facts, NULL);
        nx_arena_done(&arena);
        free(copy);
    }
    for (size_t i = 8; i < whole.n; i++) {
        char *copy = malloc(whole.n);
        assert_non_null(copy);
        memcpy(copy, whole.p, whole.n);
        copy[i] = (char)(copy[i] ^ 0x55);
        nx_arena arena = NX_ARENA_INIT(1u << 20);
        nx_rt_facts facts;
        nx_rt_problems problems = {.arena = &arena};
        if (nx_rt_facts_read(nx_slice_make(copy, whole.n), &arena, &facts, NULL) == NX_OK) nx_rt_facts_check(&facts, 0, &problems);
        nx_arena_done(&arena);
        free(copy);
    }
}

static void inspect(nx_slice module, nx_json **ret)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf out = NX_BUF_INIT(1u << 20);
    nx_jw w = NX_JW_INIT(&out);
    nx_error e = NX_ERROR_INIT;
    if (nx_rt_inspect(module, NULL, &w, &e)) fail_msg("%s", e.msg);
    if (nx_json_parse(nx_buf_view(&out), 1u << 20, ret, &e)) fail_msg("%s", e.msg);
}

static void test_inspect_describes(void **state)
{
    (void)state;
    nx_json *j;
    inspect(rt_help_wat(RT_WAT_HEAD " (func (export \"handle_event\")))"), &j);
    assert_true(nx_json_get_bool(j, "can_run", false));
    assert_true(nx_slice_eq_cstr(nx_json_get_str(j, "entry"), "handle_event"));
    assert_int_equal(nx_json_get_u64(nx_json_get(j, "memory"), "min_bytes", 0), 65536);
    assert_int_equal(nx_json_len(nx_json_get(j, "imports")), 6);
    assert_true(nx_slice_eq_cstr(nx_json_get_str(nx_json_at(nx_json_get(j, "imports"), 2), "type"), "(i32, i64, i32) -> i32"));
    assert_int_equal(nx_json_len(nx_json_get(j, "problems")), 0);
    nx_json_free(j);
    /* Host calls, and what grants them; other types and names than those of the table are refused. */
    inspect(rt_help_wat("(module (import \"nexus\" \"kv_put\" (func (param i32 i32 i32 i32 i32 i32 i64) (result i32)))"
                        " (import \"nexus\" \"emit\" (func (param i32 i32) (result i32)))"
                        " (import \"nexus\" \"answer_size\" (func (result i32)))"
                        " (import \"nexus\" \"kv_get\" (func (param i32 i32 i32 i32) (result i32)))"
                        " (memory (export \"memory\") 1) (func (export \"handle_event\")))"),
            &j);
    assert_true(nx_json_get_bool(j, "can_run", false));
    NX_CLEANUP(nx_buf_done)
    nx_buf grants = NX_BUF_INIT(4096);
    assert_int_equal(nx_json_dump(nx_json_get(j, "grants"), &grants), NX_OK);
    assert_string_equal(nx_buf_cstr(&grants), "[{\"key\":\"key_value_stores\",\"calls\":[\"kv_get\",\"kv_put\"]},{\"key\":\"emit\",\"calls\":[\"emit\"]}]");
    nx_json_free(j);
    inspect(rt_help_wat("(module (import \"nexus\" \"kv_get\" (func (param i32) (result i32))) (import \"nexus\" \"kv_list\" (func (result i32)))"
                        " (memory (export \"memory\") 1) (func (export \"handle_event\")))"),
            &j);
    assert_true(nx_slice_eq_cstr(nx_json_get_str(nx_json_at(nx_json_get(j, "problems"), 0), "code"), "import_type"));
    assert_true(nx_slice_eq_cstr(nx_json_get_str(nx_json_at(nx_json_get(j, "problems"), 1), "code"), "unknown_import"));
    nx_json_free(j);
    inspect(rt_help_wat("(module (import \"env\" \"foo\" (func)))"), &j);
    assert_false(nx_json_get_bool(j, "can_run", true));
    assert_int_equal(nx_json_len(nx_json_get(j, "problems")), 2);
    nx_json_free(j);
    inspect(NX_SLICE("\0asm\x0d\0\x01\0"), &j);
    assert_true(nx_slice_eq_cstr(nx_json_get_str(j, "kind"), "component"));
    nx_json_free(j);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_module_without_entry),
        cmocka_unit_test(test_module_entry_of_wrong_type),
        cmocka_unit_test(test_module_unknown_imports_are_named_all_at_once),
        cmocka_unit_test(test_module_wasi_import_of_wrong_type),
        cmocka_unit_test(test_module_memory_is_checked),
        cmocka_unit_test(test_module_that_is_none),
        cmocka_unit_test(test_module_with_invalid_code),
        cmocka_unit_test(test_module_with_features_not_enabled),
        cmocka_unit_test(test_module_bytes_of_another_digest),
        cmocka_unit_test(test_module_reader_takes_damaged_bytes),
        cmocka_unit_test(test_inspect_describes),
    };
    if (argc > 1 && strcmp(argv[1], NX_RT_CHILD_VERB) == 0) return nx_rt_child_main(argc, argv);
    return cmocka_run_group_tests(tests, rt_help_setup, rt_help_teardown);
}
