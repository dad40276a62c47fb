/* test_program.c: the cache of compiled code, and programs that come and go. */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rt_help.h"
#include "rt_internal.h"

static const char answer_wat[] = RT_WAT_HEAD " (data (i32.const 100) \"fine\")"
                                             " (func (export \"handle_event\") (call $write (i32.const 1) (i32.const 100) (i32.const 4))))";

static void cache_path(const nx_sha256 *digest, char *out, size_t out_bytes)
{
    char name[NX_RT_CACHE_NAME_BYTES];
    nx_rt_cache_name(digest, name);
    (void)snprintf(out, out_bytes, "%s/%s", rt_help_dir, name);
}

static void assert_answers(nx_rt_program *p, bool is_cold)
{
    nx_attempt a;
    nx_attempt_init(&a);
    rt_help_run(&a, p);
    rt_help_assert_outcome(&a, NX_RUN_OK, NX_WHY_NONE);
    assert_int_equal(a.out.output.n, 4);
    assert_int_equal(a.out.is_cold, is_cold);
    nx_attempt_done(&a);
}

static nx_err load_from_cache(const nx_sha256 *digest, nx_rt_program **ret)
{
    nx_error e = NX_ERROR_INIT;
    return nx_rt_program_load(rt, NX_SLICE_NULL, digest, 1u << 20, ret, &e);
}

static void test_program_comes_from_the_cache_the_second_time(void **state)
{
    (void)state;
    nx_slice module = rt_help_wat(answer_wat);
    nx_sha256 digest = nx_sha256_of(module);
    nx_rt_program *p;
    char path[256];
    assert_int_equal(load_from_cache(&digest, &p), NX_ENOENT);
    p = rt_help_load(module);
    nx_rt_program_unref(p);
    cache_path(&digest, path, sizeof path);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(load_from_cache(&digest, &p), NX_OK);
    assert_answers(p, true);
    assert_answers(p, false);
    nx_rt_program_unref(p);
}

/* Changes one byte, or cuts, or opens the file to others: each time the file is thrown away and compiled again. */
static void spoil(const char *path, int how)
{
    struct stat st = {0};
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0 && fstat(fd, &st) == 0);
    char b = 0x5a;
    switch (how) {
    case 0: assert_int_equal(pwrite(fd, &b, 1, st.st_size / 2), 1); break;
    case 1: assert_int_equal(ftruncate(fd, st.st_size / 2), 0); break;
    case 2: assert_int_equal(ftruncate(fd, 0), 0); break;
    case 3: assert_int_equal(fchmod(fd, 0666), 0); break;
    default: assert_int_equal(pwrite(fd, &b, 1, st.st_size - 1), 1); break;
    }
    (void)close(fd);
}

static void test_program_spoiled_cache_file_is_not_mapped(void **state)
{
    (void)state;
    nx_slice module = rt_help_wat(answer_wat);
    nx_sha256 digest = nx_sha256_of(module);
    char path[256];
    cache_path(&digest, path, sizeof path);
    for (int how = 0; how < 5; how++) {
        nx_rt_program *p = rt_help_load(module);
        nx_rt_program_unref(p);
        spoil(path, how);
        assert_int_equal(load_from_cache(&digest, &p), NX_ENOENT);
        assert_int_equal(access(path, F_OK), -1);
        p = rt_help_load(module);
        assert_answers(p, true);
        nx_rt_program_unref(p);
    }
}

static void test_program_cache_file_that_is_a_link_is_not_followed(void **state)
{
    (void)state;
    nx_slice module = rt_help_wat(answer_wat);
    nx_sha256 digest = nx_sha256_of(module);
    char path[256], aside[300];
    nx_rt_program *p = rt_help_load(module);
    nx_rt_program_unref(p);
    cache_path(&digest, path, sizeof path);
    (void)snprintf(aside, sizeof aside, "%s.aside", path);
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(symlink(aside, path), 0);
    assert_int_equal(load_from_cache(&digest, &p), NX_ENOENT);
    assert_int_equal(unlink(aside), 0);
}

static void test_program_cache_directory_open_to_others_is_refused(void **state)
{
    (void)state;
    char dir[] = "/tmp/nx-test-cache-XXXXXX";
    assert_non_null(mkdtemp(dir));
    assert_int_equal(chmod(dir, 0755), 0);
    nx_error e = NX_ERROR_INIT;
    nx_rt *r = NULL;
    assert_int_equal(nx_rt_new(&(nx_rt_options){.cache_dir = dir, .pool_slots = 4}, &r, &e), NX_EDENIED);
    assert_non_null(strstr(e.msg, "chmod 700"));
    assert_int_equal(rmdir(dir), 0);
}

static void test_program_unmapped_is_mapped_again_or_gone(void **state)
{
    (void)state;
    nx_rt_program *other = rt_help_load_wat("(module (func (export \"_start\")))");
    nx_slice module = rt_help_wat(answer_wat); /* the other's bytes are gone */
    nx_sha256 digest = nx_sha256_of(module);
    rt->mapped_max = 1;
    nx_rt_program *p = rt_help_load(module);
    assert_int_equal(rt->n_mapped, 1);
    assert_answers(p, true);
    char path[256];
    cache_path(&digest, path, sizeof path);
    nx_attempt a;
    nx_attempt_init(&a);
    rt_help_run(&a, other);  /* throws p's mapping out */
    assert_answers(p, true); /* mapped again */
    rt_help_run(&a, other);
    assert_int_equal(unlink(path), 0);
    rt_help_run(&a, p);
    rt_help_assert_outcome(&a, NX_RUN_DEAD, NX_WHY_NO_MODULE);
    /* It is still referenced, and comes back with its bytes. */
    nx_rt_program *again = NULL;
    assert_int_equal(load_from_cache(&digest, &again), NX_ENOENT);
    again = rt_help_load(module);
    assert_ptr_equal(again, p);
    rt_help_run(&a, p);
    rt_help_assert_outcome(&a, NX_RUN_OK, NX_WHY_NONE);
    nx_rt_program_unref(again);
    nx_attempt_done(&a);
    rt->mapped_max = nx_rt_mapped_limit();
    nx_rt_program_unref(other);
    nx_rt_program_unref(p);
}

static void *load_one(void *bytes)
{
    nx_slice module = *(nx_slice *)bytes;
    nx_sha256 digest = nx_sha256_of(module);
    nx_rt_program *p = NULL;
    nx_error e = NX_ERROR_INIT;
    return nx_rt_program_load(rt, module, &digest, 1u << 20, &p, &e) ? NULL : p;
}

static void test_program_is_compiled_once_for_all_who_ask(void **state)
{
    (void)state;
    nx_slice module = rt_help_wat("(module (func $only_here (export \"_start\")))");
    pthread_t threads[8];
    void *p[8];
    for (unsigned i = 0; i < 8; i++) assert_int_equal(pthread_create(&threads[i], NULL, load_one, &module), 0);
    for (unsigned i = 0; i < 8; i++) {
        assert_int_equal(pthread_join(threads[i], &p[i]), 0);
        assert_non_null(p[i]);
        assert_ptr_equal(p[i], p[0]);
    }
    for (unsigned i = 0; i < 8; i++) nx_rt_program_unref(p[i]);
}

static void test_program_large_memory_has_its_own_class(void **state)
{
    (void)state;
    nx_slice module = rt_help_wat("(module (memory (export \"memory\") 1) (func (export \"handle_event\")"
                                  " (if (i32.eq (memory.grow (i32.const 8000)) (i32.const -1)) (then unreachable))"
                                  " (i32.store (i32.const 500000000) (i32.const 1))))");
    nx_sha256 digest = nx_sha256_of(module);
    nx_rt_program *p;
    nx_error e = NX_ERROR_INIT;
    assert_int_equal(nx_rt_program_load(rt, module, &digest, 1ull << 30, &p, &e), NX_OK);
    nx_attempt a;
    nx_attempt_init(&a);
    a.memory_bytes = 1ull << 30;
    rt_help_run(&a, p);
    rt_help_assert_outcome(&a, NX_RUN_OK, NX_WHY_NONE);
    assert_int_equal(a.out.memory_bytes, 8001 * 65536u);
    nx_attempt_done(&a);
    nx_rt_program_unref(p);
    assert_int_equal(nx_rt_program_load(rt, module, &digest, 8ull << 30, &p, &e), NX_EMODULE);
}

/* Nothing of a failed compilation stays behind in the cache. */
static void test_program_refused_leaves_no_file(void **state)
{
    (void)state;
    static const char module[] = "\0asm\1\0\0\0\1\4\1\x60\0\0\3\2\1\0\7\x0a\1\6_start\0\0\x0a\5\1\3\0\x6a\x0b";
    nx_rt_program *p;
    nx_error e = NX_ERROR_INIT;
    nx_sha256 digest = nx_sha256_of(nx_slice_make(module, sizeof module - 1));
    assert_int_equal(nx_rt_program_load(rt, nx_slice_make(module, sizeof module - 1), &digest, 1u << 20, &p, &e), NX_EMODULE);
    DIR *d = opendir(rt_help_dir);
    assert_non_null(d);
    for (struct dirent *f = readdir(d); f; f = readdir(d)) assert_null(strstr(f->d_name, "new-"));
    (void)closedir(d);
}

static void test_child_program_that_is_missing(void **state)
{
    (void)state;
    char dir[] = "/tmp/nx-test-cache-XXXXXX";
    assert_non_null(mkdtemp(dir));
    nx_error e = NX_ERROR_INIT;
    nx_rt *r = NULL;
    nx_rt_program *p = NULL;
    assert_int_equal(nx_rt_new(&(nx_rt_options){.cache_dir = dir, .pool_slots = 4, .child_program = "/nowhere/nexus"}, &r, &e), NX_OK);
    nx_slice module = rt_help_wat(answer_wat);
    nx_sha256 digest = nx_sha256_of(module);
    assert_true(nx_rt_program_load(r, module, &digest, 1u << 20, &p, &e) != NX_OK);
    assert_non_null(strstr(e.msg, "/nowhere/nexus"));
    nx_rt_free(r);
    /* A child that is not one of ours: its code and words are passed on. */
    assert_int_equal(nx_rt_new(&(nx_rt_options){.cache_dir = dir, .pool_slots = 4, .child_program = "/bin/false"}, &r, &e), NX_OK);
    assert_int_equal(nx_rt_program_load(r, module, &digest, 1u << 20, &p, &e), NX_EIO);
    nx_rt_free(r);
    assert_int_equal(rmdir(dir), 0);
}

/* Modules of which each differs from the others. */
static nx_rt_program *load_nth(unsigned i)
{
    char wat[2048];
    (void)snprintf(wat, sizeof wat, RT_WAT_HEAD " (data (i32.const 100) \"fine\") (data (i32.const 200) \"nth-%u\")"
                                                " (func (export \"handle_event\") (call $write (i32.const 1) (i32.const 100) (i32.const 4))))",
                   i);
    return rt_help_load_wat(wat);
}

static void test_programs_are_mapped_within_the_memory_for_them(void **state)
{
    (void)state;
    nx_rt_program *v[8];
    uint64_t before = rt->warm_bytes;
    for (unsigned i = 0; i < NX_ARRAY_LEN(v); i++) {
        v[i] = load_nth(i);
        assert_true(v[i]->mapped_bytes > 16u << 10);
    }
    rt->warm_bytes = 3 * v[0]->mapped_bytes + v[0]->mapped_bytes / 2; /* all are about as large */
    assert_answers(v[0], true);
    nx_rt_program *last = load_nth(99);
    unsigned n_mapped = 0;
    for (unsigned i = 0; i < NX_ARRAY_LEN(v); i++) n_mapped += v[i]->is_mapped;
    assert_int_equal(n_mapped, 2);
    assert_true(v[0]->is_mapped); /* used after the others */
    assert_true(last->is_mapped);
    assert_true(rt->mapped_bytes <= rt->warm_bytes);
    for (unsigned round = 0; round < 3; round++) /* more than fit take turns */
        for (unsigned i = 0; i < NX_ARRAY_LEN(v); i++) {
            nx_attempt a;
            nx_attempt_init(&a);
            rt_help_run(&a, v[i]);
            rt_help_assert_outcome(&a, NX_RUN_OK, NX_WHY_NONE);
            assert_true(rt->mapped_bytes <= rt->warm_bytes);
            nx_attempt_done(&a);
        }
    rt->warm_bytes = before;
    for (unsigned i = 0; i < NX_ARRAY_LEN(v); i++) nx_rt_program_unref(v[i]);
    nx_rt_program_unref(last);
    assert_int_equal(rt->mapped_bytes, 0);
}

static void test_program_that_is_kept_warm_stays_mapped(void **state)
{
    (void)state;
    nx_error e = NX_ERROR_INIT;
    uint64_t before = rt->warm_bytes;
    nx_rt_program *warm = load_nth(0), *other = load_nth(1);
    assert_int_equal(nx_rt_program_warm(warm, 4, &e), NX_OK);
    assert_int_equal(nx_rt_program_warm(warm, 0, &e), NX_OK);
    rt->warm_bytes = 1;
    nx_rt_program *third = load_nth(2);
    assert_true(warm->is_mapped);
    assert_false(other->is_mapped);
    assert_answers(warm, true); /* instances were made, but none has run */
    nx_rt_program_cool(warm);
    nx_rt_program_unref(third);
    third = load_nth(3);
    assert_true(warm->is_mapped); /* as often as it was asked for */
    nx_rt_program_cool(warm);
    assert_false(warm->is_mapped);
    rt->warm_bytes = before;
    nx_rt_program_unref(warm);
    nx_rt_program_unref(other);
    nx_rt_program_unref(third);
}

/* A module whose start function calls the host and never ends: it does neither when instances are made ahead of time. */
static void test_start_function_does_not_run_ahead_of_time(void **state)
{
    (void)state;
    nx_error e = NX_ERROR_INIT;
    nx_rt_program *p = rt_help_load_wat(RT_WAT_HEAD " (func $s (call $write (i32.const 1) (i32.const 0) (i32.const 8)) (loop $l (br $l))) (start $s)"
                                                    " (func (export \"handle_event\")))");
    assert_int_equal(nx_rt_program_warm(p, 2, &e), NX_OK);
    nx_rt_program_cool(p);
    nx_rt_program_unref(p);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_program_comes_from_the_cache_the_second_time),
        cmocka_unit_test(test_program_spoiled_cache_file_is_not_mapped),
        cmocka_unit_test(test_program_cache_file_that_is_a_link_is_not_followed),
        cmocka_unit_test(test_program_cache_directory_open_to_others_is_refused),
        cmocka_unit_test(test_program_unmapped_is_mapped_again_or_gone),
        cmocka_unit_test(test_programs_are_mapped_within_the_memory_for_them),
        cmocka_unit_test(test_program_that_is_kept_warm_stays_mapped),
        cmocka_unit_test(test_start_function_does_not_run_ahead_of_time),
        cmocka_unit_test(test_program_is_compiled_once_for_all_who_ask),
        cmocka_unit_test(test_program_large_memory_has_its_own_class),
        cmocka_unit_test(test_program_refused_leaves_no_file),
        cmocka_unit_test(test_child_program_that_is_missing),
    };
    if (argc > 1 && strcmp(argv[1], NX_RT_CHILD_VERB) == 0) return nx_rt_child_main(argc, argv);
    return cmocka_run_group_tests(tests, rt_help_setup, rt_help_teardown);
}
