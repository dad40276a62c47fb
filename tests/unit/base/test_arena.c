/* Arenas: alignment, cap, overflow, reuse. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "nx/arena.h"

static void test_arena_aligns_and_keeps_pieces_apart(void **state)
{
    (void)state;
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(1u << 20);
    unsigned char *pieces[500];
    for (size_t i = 0; i < NX_ARRAY_LEN(pieces); i++) {
        size_t n = i % 97 + (i % 50 == 0 ? 5000 : 0);
        pieces[i] = nx_arena_alloc(&a, n);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], (int)(i & 255), n);
    }
    for (size_t i = 0; i < NX_ARRAY_LEN(pieces); i++) {
        size_t n = i % 97 + (i % 50 == 0 ? 5000 : 0);
        for (size_t k = 0; k < n; k++) assert_int_equal(pieces[i][k], i & 255);
    }
}

static void test_arena_cap_and_overflow(void **state)
{
    (void)state;
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(64);
    assert_non_null(nx_arena_alloc(&a, 48));
    assert_null(nx_arena_alloc(&a, 17));
    assert_non_null(nx_arena_alloc(&a, 16));
    assert_null(nx_arena_alloc(&a, 0));
    assert_null(nx_arena_alloc(&a, SIZE_MAX));
    assert_null(nx_arena_calloc(&a, SIZE_MAX / 2, 4));
    nx_arena_reset(&a);
    assert_non_null(nx_arena_alloc(&a, 64));
}

static void test_arena_reset_reuses_memory(void **state)
{
    (void)state;
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(10u << 20);
    for (int i = 0; i < 100; i++) assert_non_null(nx_arena_alloc(&a, 1000)); /* several chunks */
    nx_arena_reset(&a);
    struct nx_arena_chunk *kept = a.head;
    assert_non_null(kept);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 60; i++) assert_non_null(nx_arena_alloc(&a, 1000));
        assert_ptr_equal(a.head, kept); /* the warm path stays within the kept chunk */
        nx_arena_reset(&a);
    }
    assert_non_null(nx_arena_alloc(&a, 5u << 20));
    nx_arena_reset(&a);
    assert_int_equal(a.used, 0);
    assert_non_null(nx_arena_alloc(&a, 10));
    nx_arena_done(&a);
    nx_arena_done(&a);
    nx_arena_reset(&a);
}

static void test_arena_strings(void **state)
{
    (void)state;
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(1u << 16);
    nx_slice s = nx_arena_dup(&a, NX_SLICE("ab\0c"));
    assert_int_equal(s.n, 4);
    assert_int_equal(s.p[4], 0);
    nx_slice empty = nx_arena_dup(&a, NX_SLICE_NULL);
    assert_non_null(empty.p);
    assert_int_equal(empty.n, 0);
    assert_string_equal(nx_arena_cstr(&a, NX_SLICE("xyz")), "xyz");
    char big[1000];
    memset(big, 'q', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    char *p = nx_arena_printf(&a, "%s%d", big, 42);
    assert_int_equal(strlen(p), sizeof big - 1 + 2);
    assert_string_equal(p + sizeof big - 1, "42");
    assert_string_equal(nx_arena_printf(&a, "%s", ""), "");
    nx_arena tiny = NX_ARENA_INIT(16);
    assert_null(nx_arena_dup(&tiny, NX_SLICE("0123456789abcdef")).p); /* with its NUL one too many */
    assert_null(nx_arena_printf(&tiny, "%s", big));
    nx_arena_done(&tiny);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arena_aligns_and_keeps_pieces_apart),
        cmocka_unit_test(test_arena_cap_and_overflow),
        cmocka_unit_test(test_arena_reset_reuses_memory),
        cmocka_unit_test(test_arena_strings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
