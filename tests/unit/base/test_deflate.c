/* What goes in comes out, and nothing else does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "nx/deflate.h"
#include "nx/digest.h"

static void round_trip(nx_slice in)
{
    nx_buf packed = NX_BUF_INIT(16u << 20), whole = NX_BUF_INIT(16u << 20);
    assert_int_equal(nx_buf_append_cstr(&whole, "before"), NX_OK);
    assert_int_equal(nx_deflate(in, &packed), NX_OK);
    assert_int_equal(nx_inflate(nx_buf_view(&packed), in.n, &whole), NX_OK);
    assert_int_equal(whole.n, 6 + in.n);
    assert_memory_equal(whole.p, "before", 6);
    if (in.n) assert_memory_equal(whole.p + 6, in.p, in.n);
    nx_buf_done(&packed);
    nx_buf_done(&whole);
}

static void test_deflate_round_trips_sizes_around_its_pieces(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 511, 262143, 262144, 262145, 524288, 3000000};
    char *random = malloc(3000000), *even = calloc(1, 3000000);
    assert_non_null(random);
    assert_non_null(even);
    nx_random(random, 3000000);
    for (size_t i = 0; i < NX_ARRAY_LEN(sizes); i++) {
        round_trip(nx_slice_make(random, sizes[i]));
        round_trip(nx_slice_make(even, sizes[i]));
    }
    free(random);
    free(even);
}

static void test_inflate_refuses_what_is_not_exactly_that_long(void **state)
{
    (void)state;
    nx_slice text = NX_SLICE("the quick brown fox jumps over the lazy dog, the lazy dog, the lazy dog");
    nx_buf packed = NX_BUF_INIT(4096), out = NX_BUF_INIT(4096);
    assert_int_equal(nx_deflate(text, &packed), NX_OK);
    nx_slice p = nx_buf_view(&packed);
    assert_int_equal(nx_inflate(p, text.n - 1, &out), NX_ECORRUPT);
    assert_int_equal(nx_inflate(p, text.n + 1, &out), NX_ECORRUPT);
    assert_int_equal(nx_inflate(p, 0, &out), NX_ECORRUPT);
    for (size_t n = 0; n < p.n; n++)
        assert_int_equal(nx_inflate(nx_slice_sub(p, 0, n), text.n, &out), NX_ECORRUPT);
    assert_int_equal(nx_buf_append_char(&packed, 'x'), NX_OK);
    assert_int_equal(nx_inflate(nx_buf_view(&packed), text.n, &out), NX_ECORRUPT);
    assert_int_equal(out.n, 0);
    nx_buf_done(&packed);
    nx_buf_done(&out);
}

static void test_deflate_keeps_the_cap_of_its_buffer(void **state)
{
    (void)state;
    char random[4096];
    nx_random(random, sizeof random);
    nx_buf small = NX_BUF_INIT(sizeof random);
    assert_int_equal(nx_deflate(nx_slice_make(random, sizeof random), &small), NX_ELIMIT);
    assert_int_equal(small.n, 0);
    nx_buf_done(&small);
    nx_buf packed = NX_BUF_INIT(1u << 20);
    char *zeros = calloc(1, 1u << 20);
    assert_non_null(zeros);
    assert_int_equal(nx_deflate(nx_slice_make(zeros, 1u << 20), &packed), NX_OK);
    assert_true(packed.n < 4096);
    nx_buf tight = NX_BUF_INIT(1000);
    assert_int_equal(nx_inflate(nx_buf_view(&packed), 1u << 20, &tight), NX_ELIMIT);
    nx_buf_done(&tight);
    nx_buf_done(&packed);
    free(zeros);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deflate_round_trips_sizes_around_its_pieces),
        cmocka_unit_test(test_inflate_refuses_what_is_not_exactly_that_long),
        cmocka_unit_test(test_deflate_keeps_the_cap_of_its_buffer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
