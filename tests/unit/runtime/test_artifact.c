/* test_artifact.c: modules that bring files: taken apart, put together, run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nx/rt_artifact.h"
#include "rt_help.h"
#include "rt_internal.h"

#define OUT_BYTES (64u << 20)

/* Reads "/a/b.txt" and writes it to stdout. */
static const char reader_wat[] =
    "(module"
    " (import \"wasi_snapshot_preview1\" \"path_open\" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))"
    " (import \"wasi_snapshot_preview1\" \"fd_read\" (func $read (param i32 i32 i32 i32) (result i32)))"
    " (import \"wasi_snapshot_preview1\" \"fd_write\" (func $write (param i32 i32 i32 i32) (result i32)))"
    " (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))"
    " (memory (export \"memory\") 1) (data (i32.const 100) \"a/b.txt\")"
    " (func (export \"handle_event\") (local $e i32)"
    "  (local.set $e (call $open (i32.const 3) (i32.const 0) (i32.const 100) (i32.const 7) (i32.const 0) (i64.const 2) (i64.const 0) (i32.const 0) (i32.const 200)))"
    "  (if (local.get $e) (then (call $exit (local.get $e))))"
    "  (i32.store (i32.const 0) (i32.const 1000)) (i32.store (i32.const 4) (i32.const 100))"
    "  (drop (call $read (i32.load (i32.const 200)) (i32.const 0) (i32.const 1) (i32.const 8)))"
    "  (i32.store (i32.const 4) (i32.load (i32.const 8)))"
    "  (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))";

static nx_rt_tree *tree_of(const char *const *paths, const char *const *contents, unsigned n)
{
    nx_rt_tree *t;
    assert_int_equal(nx_rt_tree_new(64u << 20, &t), NX_OK);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(nx_rt_tree_put(t, nx_slice_cstr(paths[i]), NX_RT_NODE_FILE, nx_slice_cstr(contents[i]), 1000u + i, NULL), NX_OK);
    return t;
}

static void join(nx_slice module, const char *const *paths, const char *const *contents, unsigned n, nx_buf *out)
{
    nx_rt_tree *t = tree_of(paths, contents, n);
    nx_error e = NX_ERROR_INIT;
    if (nx_rt_artifact_join(module, NX_SLICE_NULL, t, out, &e)) fail_msg("%s", e.msg);
    nx_rt_tree_free(t);
}

static nx_err count(void *self, const nx_rt_tree_item *item)
{
    unsigned *n = self;
    if (item->kind == NX_RT_NODE_FILE) ++*n;
    return NX_OK;
}

static void test_artifact_is_the_same_in_whatever_order_its_files_were_found(void **state)
{
    (void)state;
    static const char *const paths[] = {"b", "a/y", "a/x"}, *const contents[] = {"1", "2", ""};
    static const char *const other[] = {"a/x", "b", "a/y"}, *const other_contents[] = {"", "1", "2"};
    nx_slice module = rt_help_wat(reader_wat);
    nx_buf one = NX_BUF_INIT(OUT_BYTES), two = NX_BUF_INIT(OUT_BYTES);
    join(module, paths, contents, 3, &one);
    join(module, other, other_contents, 3, &two);
    assert_int_equal(one.n, two.n);
    assert_memory_equal(one.p, two.p, one.n);
    nx_rt_artifact parts;
    nx_rt_tree *files;
    unsigned n = 0;
    assert_int_equal(nx_rt_artifact_split(nx_buf_view(&one), &parts, NULL), NX_OK);
    assert_int_equal(parts.module.n, module.n);
    assert_memory_equal(parts.module.p, module.p, module.n);
    assert_int_equal(nx_rt_artifact_files(parts.files, &files, NULL), NX_OK);
    assert_int_equal(nx_rt_tree_each(files, count, &n), NX_OK);
    assert_int_equal(n, 3);
    nx_rt_tree_free(files);
    nx_buf_done(&one);
    nx_buf_done(&two);
}

static void test_module_without_files_is_an_artifact(void **state)
{
    (void)state;
    nx_slice module = rt_help_wat(reader_wat);
    nx_buf out = NX_BUF_INIT(OUT_BYTES);
    nx_rt_artifact parts;
    assert_int_equal(nx_rt_artifact_join(module, NX_SLICE_NULL, NULL, &out, NULL), NX_OK);
    assert_int_equal(out.n, module.n);
    assert_int_equal(nx_rt_artifact_split(nx_buf_view(&out), &parts, NULL), NX_OK);
    assert_int_equal(parts.files.n, 0);
    nx_buf_done(&out);
}

static nx_err open_section(const char *section, size_t n, nx_error *e)
{
    nx_rt_tree *t = NULL;
    nx_err err = nx_rt_artifact_files(nx_slice_make(section, n), &t, e);
    nx_rt_tree_free(t);
    return err;
}

static void test_damaged_sections_are_refused(void **state)
{
    (void)state;
    static const char *const paths[] = {"dir/one", "two"}, *const contents[] = {"first", "second"};
    nx_buf out = NX_BUF_INIT(OUT_BYTES);
    nx_rt_artifact parts;
    unsigned refused = 0;
    join(rt_help_wat(reader_wat), paths, contents, 2, &out);
    assert_int_equal(nx_rt_artifact_split(nx_buf_view(&out), &parts, NULL), NX_OK);
    char *copy = malloc(parts.files.n);
    assert_non_null(copy);
    for (size_t n = 0; n < parts.files.n; n++) { /* cut short; exactly as long as it says, for the sanitizers */
        memcpy(copy, parts.files.p, n);
        refused += open_section(copy, n, NULL) != NX_OK;
    }
    assert_true(refused >= parts.files.n - 3); /* between two entries it is a shorter list */
    free(copy);
    nx_error e = NX_ERROR_INIT;
    assert_int_equal(open_section("\x02", 1, &e), NX_EMODULE);
    assert_int_equal(open_section("\x01\x00\x02\x01../x", 7, &e), NX_EMODULE); /* a path that leads out */
    assert_int_equal(open_section("\x01\x00\x02\x00/x", 6, &e), NX_EMODULE);
    assert_int_equal(open_section("\x01\x07\x01\x00x", 5, &e), NX_EMODULE);              /* no such kind */
    assert_int_equal(open_section("\x01\x00\x01\x00x\x00\x01\x00x", 9, &e), NX_EMODULE); /* twice */
    assert_int_equal(open_section("\x01\x00\x03\x00tmp", 7, &e), NX_EMODULE);
    assert_non_null(strstr(e.msg, "/tmp"));
    nx_buf_done(&out);
}

static void test_section_of_files_has_to_be_the_last(void **state)
{
    (void)state;
    static const char *const paths[] = {"one"}, *const contents[] = {"first"};
    nx_buf out = NX_BUF_INIT(OUT_BYTES);
    nx_rt_artifact parts;
    nx_error e = NX_ERROR_INIT;
    join(rt_help_wat(reader_wat), paths, contents, 1, &out);
    assert_int_equal(nx_buf_append(&out, "\0\x02\x01x", 4), NX_OK); /* another custom section */
    assert_int_equal(nx_rt_artifact_split(nx_buf_view(&out), &parts, &e), NX_EMODULE);
    nx_sha256 digest = nx_sha256_of(nx_buf_view(&out));
    nx_rt_program *p;
    assert_int_equal(nx_rt_program_load(rt, nx_buf_view(&out), &digest, 1u << 20, &p, &e), NX_EMODULE);
    nx_buf_done(&out);
}

static void test_too_many_bytes_and_too_many_files_are_refused_with_the_limit(void **state)
{
    (void)state;
    nx_rt_tree *t;
    nx_error e = NX_ERROR_INIT;
    nx_buf out = NX_BUF_INIT(OUT_BYTES);
    char *big = calloc(1, NX_RT_FILES_BYTES_MAX);
    assert_non_null(big);
    assert_int_equal(nx_rt_tree_new(256u << 20, &t), NX_OK);
    assert_int_equal(nx_rt_tree_put(t, NX_SLICE("big"), NX_RT_NODE_FILE, nx_slice_make(big, NX_RT_FILES_BYTES_MAX), 0, NULL), NX_OK);
    assert_int_equal(nx_rt_artifact_join(NX_SLICE("module"), NX_SLICE_NULL, t, &out, &e), NX_ELIMIT);
    assert_non_null(strstr(e.msg, "32 MiB"));
    assert_int_equal(out.n, 0);
    nx_rt_tree_free(t);
    free(big);
    assert_int_equal(nx_rt_tree_new(256u << 20, &t), NX_OK);
    for (unsigned i = 0; i <= NX_RT_FILES_MAX; i++) {
        char name[24];
        int n = snprintf(name, sizeof name, "%u/%u", i / 64, i);
        assert_int_equal(nx_rt_tree_put(t, nx_slice_make(name, (size_t)n), NX_RT_NODE_FILE, NX_SLICE_NULL, 0, NULL), NX_OK);
    }
    assert_int_equal(nx_rt_artifact_join(NX_SLICE("module"), NX_SLICE_NULL, t, &out, &e), NX_ELIMIT);
    assert_non_null(strstr(e.msg, "4096"));
    nx_rt_tree_free(t);
    nx_buf_done(&out);
}

static void assert_reads(nx_rt_program *p, const char *text)
{
    nx_attempt a;
    nx_attempt_init(&a);
    rt_help_run(&a, p);
    rt_help_assert_outcome(&a, NX_RUN_OK, NX_WHY_NONE);
    assert_int_equal(a.out.output.n, strlen(text));
    assert_memory_equal(a.out.output.p, text, strlen(text));
    nx_attempt_done(&a);
}

static nx_rt_program *load(nx_slice bytes, const nx_sha256 *digest)
{
    nx_rt_program *p;
    nx_error e = NX_ERROR_INIT;
    if (nx_rt_program_load(rt, bytes, digest, 1u << 20, &p, &e)) fail_msg("%s", e.msg);
    return p;
}

static void test_programs_read_their_own_files_and_share_the_code(void **state)
{
    (void)state;
    static const char *const paths[] = {"a/b.txt"}, *const first[] = {"the first"}, *const second[] = {"another"};
    nx_slice module = rt_help_wat(reader_wat);
    nx_buf one = NX_BUF_INIT(OUT_BYTES), two = NX_BUF_INIT(OUT_BYTES);
    join(module, paths, first, 1, &one);
    join(module, paths, second, 1, &two);
    nx_sha256 one_digest = nx_sha256_of(nx_buf_view(&one)), two_digest = nx_sha256_of(nx_buf_view(&two)), code = nx_sha256_of(module);
    char name[NX_RT_CACHE_NAME_BYTES], own[NX_RT_CACHE_NAME_BYTES];
    nx_rt_cache_name(&code, name);
    nx_rt_cache_name(&one_digest, own);
    nx_rt_cache_remove(rt->cache_fd, name);
    nx_rt_program *p = load(nx_buf_view(&one), &one_digest), *q = load(nx_buf_view(&two), &two_digest);
    assert_int_equal(faccessat(rt->cache_fd, name, F_OK, 0), 0); /* under the module's digest, once */
    assert_int_not_equal(faccessat(rt->cache_fd, own, F_OK, 0), 0);
    assert_reads(p, "the first");
    assert_reads(q, "another");
    assert_reads(p, "the first");
    nx_rt_program_unref(p);
    nx_rt_program_unref(q);
    p = load(NX_SLICE_NULL, &one_digest); /* from the cache alone, as after a restart */
    assert_reads(p, "the first");
    nx_rt_program_unref(p);
    nx_buf_done(&one);
    nx_buf_done(&two);
}

static void test_files_are_there_again_after_the_mapping_was_given_up(void **state)
{
    (void)state;
    static const char *const paths[] = {"a/b.txt"}, *const first[] = {"mapped again"};
    nx_buf one = NX_BUF_INIT(OUT_BYTES);
    join(rt_help_wat(reader_wat), paths, first, 1, &one);
    nx_sha256 digest = nx_sha256_of(nx_buf_view(&one));
    unsigned before = rt->mapped_max;
    nx_rt_program *p = load(nx_buf_view(&one), &digest);
    rt->mapped_max = 1;
    nx_rt_program *q = rt_help_load_wat(RT_WAT_HEAD "(func (export \"handle_event\")))");
    assert_false(p->is_mapped);
    assert_null(p->own.tree);
    assert_reads(p, "mapped again");
    rt->mapped_max = before;
    nx_rt_program_unref(p);
    nx_rt_program_unref(q);
    nx_buf_done(&one);
}

static void test_damaged_entry_of_the_cache_is_made_again(void **state)
{
    (void)state;
    static const char *const paths[] = {"a/b.txt"}, *const first[] = {"sealed"};
    nx_buf one = NX_BUF_INIT(OUT_BYTES);
    join(rt_help_wat(reader_wat), paths, first, 1, &one);
    nx_sha256 digest = nx_sha256_of(nx_buf_view(&one));
    nx_rt_program_unref(load(nx_buf_view(&one), &digest));
    char hex[NX_SHA256_HEX + 1], path[256];
    nx_sha256_hex(&digest, hex);
    (void)snprintf(path, sizeof path, "%s/%s-files", rt_help_dir, hex);
    FILE *f = fopen(path, "r+");
    assert_non_null(f);
    assert_int_equal(fseek(f, 40, SEEK_SET), 0);
    assert_int_equal(fputc('!', f), '!');
    assert_int_equal(fclose(f), 0);
    nx_rt_program *p;
    nx_error e = NX_ERROR_INIT;
    assert_int_equal(nx_rt_program_load(rt, NX_SLICE_NULL, &digest, 1u << 20, &p, &e), NX_ENOENT);
    p = load(nx_buf_view(&one), &digest);
    assert_reads(p, "sealed");
    nx_rt_program_unref(p);
    nx_buf_done(&one);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], NX_RT_CHILD_VERB) == 0) return nx_rt_child_main(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_artifact_is_the_same_in_whatever_order_its_files_were_found),
        cmocka_unit_test(test_module_without_files_is_an_artifact),
        cmocka_unit_test(test_damaged_sections_are_refused),
        cmocka_unit_test(test_section_of_files_has_to_be_the_last),
        cmocka_unit_test(test_too_many_bytes_and_too_many_files_are_refused_with_the_limit),
        cmocka_unit_test(test_programs_read_their_own_files_and_share_the_code),
        cmocka_unit_test(test_files_are_there_again_after_the_mapping_was_given_up),
        cmocka_unit_test(test_damaged_entry_of_the_cache_is_made_again),
    };
    return cmocka_run_group_tests(tests, rt_help_setup, rt_help_teardown);
}
