/* Slices: comparing, cutting, numbers, UTF-8. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nx/slice.h"

static void test_slice_compare(void **state)
{
    (void)state;
    assert_true(nx_slice_eq(NX_SLICE_NULL, NX_SLICE("")));
    assert_true(nx_slice_ieq(NX_SLICE("Content-Type"), NX_SLICE("cONTENT-tYPE")));
    assert_false(nx_slice_ieq(NX_SLICE("@"), NX_SLICE("`"))); /* differ by 0x20, not letters */
    assert_false(nx_slice_ieq(NX_SLICE("a"), NX_SLICE("ab")));
    assert_true(nx_slice_starts(NX_SLICE("abc"), NX_SLICE("")));
    assert_true(nx_slice_starts(NX_SLICE("abc"), NX_SLICE("abc")));
    assert_false(nx_slice_starts(NX_SLICE("ab"), NX_SLICE("abc")));
    assert_true(nx_slice_ends(NX_SLICE("abc"), NX_SLICE("bc")));
    assert_false(nx_slice_ends(NX_SLICE("c"), NX_SLICE("bc")));
}

static void test_slice_cut(void **state)
{
    (void)state;
    assert_true(nx_slice_eq_cstr(nx_slice_trim(NX_SLICE(" \t a b \t")), "a b"));
    assert_int_equal(nx_slice_trim(NX_SLICE("  ")).n, 0);
    assert_true(nx_slice_eq_cstr(nx_slice_sub(NX_SLICE("abc"), 1, SIZE_MAX), "bc"));
    assert_int_equal(nx_slice_sub(NX_SLICE("abc"), 9, 1).n, 0);
    assert_null(nx_slice_sub(NX_SLICE_NULL, 3, 3).p);
    nx_slice rest, s = nx_slice_split(NX_SLICE("a,b,"), ',', &rest);
    assert_true(nx_slice_eq_cstr(s, "a") && nx_slice_eq_cstr(rest, "b,"));
    s = nx_slice_split(rest, ',', &rest);
    assert_true(nx_slice_eq_cstr(s, "b") && rest.n == 0);
    s = nx_slice_split(rest, ',', &rest);
    assert_true(s.n == 0 && rest.n == 0);
    s = nx_slice_split(NX_SLICE_NULL, ',', &rest);
    assert_true(s.n == 0 && rest.n == 0);
}

static void test_slice_u64(void **state)
{
    (void)state;
    uint64_t v = 7;
    assert_int_equal(nx_slice_u64(NX_SLICE("18446744073709551615"), UINT64_MAX, &v), NX_OK);
    assert_true(v == UINT64_MAX);
    v = 7;
    assert_int_equal(nx_slice_u64(NX_SLICE("18446744073709551616"), UINT64_MAX, &v), NX_ELIMIT);
    assert_int_equal(nx_slice_u64(NX_SLICE("99999999999999999999999x"), UINT64_MAX, &v), NX_EPARSE);
    assert_int_equal(nx_slice_u64(NX_SLICE("11"), 10, &v), NX_ELIMIT);
    static const char *const bad[] = {"", "+1", "-1", " 1", "1 ", "0x1", "1.0"};
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++) assert_int_equal(nx_slice_u64(nx_slice_cstr(bad[i]), UINT64_MAX, &v), NX_EPARSE);
    assert_int_equal(v, 7); /* never touched on failure */
    assert_int_equal(nx_slice_u64(NX_SLICE("007"), 10, &v), NX_OK);
}

/* A plain decoder of code points, to compare the table-driven one with on all two- and three-byte inputs. */
static bool reference_is_utf8(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n;) {
        unsigned c = p[i];
        size_t k = c < 0x80 ? 1 : c >= 0xC0 && c < 0xE0 ? 2
                              : c >= 0xE0 && c < 0xF0   ? 3
                              : c >= 0xF0 && c < 0xF8   ? 4
                                                        : 0;
        if (k == 0 || n - i < k) return false;
        unsigned v = k == 1 ? c : c & (0x7Fu >> k);
        for (size_t j = 1; j < k; j++) {
            if ((p[i + j] & 0xC0) != 0x80) return false;
            v = v << 6 | (p[i + j] & 0x3Fu);
        }
        if ((k == 2 && v < 0x80) || (k == 3 && v < 0x800) || (k == 4 && v < 0x10000) || v > 0x10FFFF || (v >= 0xD800 && v <= 0xDFFF)) return false;
        i += k;
    }
    return true;
}

static void test_slice_utf8_against_reference(void **state)
{
    (void)state;
    unsigned char b[3];
    for (unsigned v = 0; v < 1u << 24; v += (v & 0x00C000u) ? 61 : 1) { /* every lead and second byte, many thirds */
        b[0] = (unsigned char)(v >> 16);
        b[1] = (unsigned char)(v >> 8);
        b[2] = (unsigned char)v;
        if (nx_slice_is_utf8(nx_slice_make(b, 3)) != reference_is_utf8(b, 3)) fail_msg("%02x %02x %02x", b[0], b[1], b[2]);
    }
    static const unsigned char leads[] = {0xEF, 0xF0, 0xF1, 0xF3, 0xF4, 0xF5, 0xF8, 0xFF};
    for (size_t l = 0; l < sizeof leads; l++)
        for (unsigned second = 0; second < 256; second++) {
            unsigned char f[4] = {leads[l], (unsigned char)second, 0x80, 0xBF};
            assert_int_equal(nx_slice_is_utf8(nx_slice_make(f, 4)), reference_is_utf8(f, 4));
        }
}

static void test_slice_utf8_positions(void **state)
{
    (void)state;
    char text[40];
    for (size_t at = 0; at + 3 <= sizeof text; at++) { /* the wide loop must not skip anything at any offset */
        memset(text, 'a', sizeof text);
        memcpy(text + at, "\xE2\x82\xAC", 3);
        assert_true(nx_slice_is_utf8(nx_slice_make(text, sizeof text)));
        assert_false(nx_slice_is_utf8(nx_slice_make(text, at + 2)));
        text[at + 1] = 'x';
        assert_false(nx_slice_is_utf8(nx_slice_make(text, sizeof text)));
    }
    assert_true(nx_slice_is_utf8(NX_SLICE_NULL));
    assert_int_equal(nx_utf8_len(NX_SLICE("\xF0\x9F\x98\x80!")), 4);
    assert_int_equal(nx_utf8_len(NX_SLICE("\xED\xA0\x80")), 0);
}

static void test_slice_copies(void **state)
{
    (void)state;
    char dst[4] = "zzz";
    assert_int_equal(nx_slice_to_cstr(NX_SLICE("abcd"), dst, sizeof dst), NX_ELIMIT);
    assert_int_equal(nx_slice_to_cstr(NX_SLICE("a\0b"), dst, sizeof dst), NX_ELIMIT);
    assert_int_equal(nx_slice_to_cstr(NX_SLICE(""), dst, 0), NX_ELIMIT);
    assert_string_equal(dst, "zzz");
    assert_int_equal(nx_slice_to_cstr(NX_SLICE("abc"), dst, sizeof dst), NX_OK);
    assert_string_equal(dst, "abc");
    char *copy = nx_slice_strdup(NX_SLICE_NULL);
    assert_string_equal(copy, "");
    free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slice_compare),
        cmocka_unit_test(test_slice_cut),
        cmocka_unit_test(test_slice_u64),
        cmocka_unit_test(test_slice_utf8_against_reference),
        cmocka_unit_test(test_slice_utf8_positions),
        cmocka_unit_test(test_slice_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
