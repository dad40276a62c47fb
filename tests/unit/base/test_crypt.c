/* Sealing and keyed digests against published vectors, and that nothing altered is opened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "nx/crypt.h"

static void put_hex(nx_buf *out, const char *hex)
{
    for (; *hex; hex += 2) {
        unsigned byte;
        assert_int_equal(sscanf(hex, "%2x", &byte), 1);
        assert_int_equal(nx_buf_append_char(out, (char)byte), NX_OK);
    }
}

/* "The Galois/Counter Mode of Operation", test cases 13 and 14: nonce, cipher text, tag. */
static void test_unseal_knows_the_published_cases(void **state)
{
    (void)state;
    static const uint8_t key[NX_SEAL_KEY_BYTES];
    nx_buf sealed = NX_BUF_INIT(128), plain = NX_BUF_INIT(128);
    put_hex(&sealed, "000000000000000000000000cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919");
    assert_int_equal(nx_unseal(key, NX_SLICE_NULL, nx_buf_view(&sealed), &plain), NX_OK);
    assert_int_equal(plain.n, 16);
    assert_memory_equal(plain.p, key, 16);
    nx_buf_clear(&sealed);
    nx_buf_clear(&plain);
    put_hex(&sealed, "000000000000000000000000530f8afbc74536b9a963b4f1c4cb738b");
    assert_int_equal(nx_unseal(key, NX_SLICE_NULL, nx_buf_view(&sealed), &plain), NX_OK);
    assert_int_equal(plain.n, 0);
    nx_buf_wipe(&plain);
    nx_buf_done(&sealed);
}

static void test_what_is_sealed_is_opened_and_nothing_else(void **state)
{
    (void)state;
    uint8_t key[NX_SEAL_KEY_BYTES], other[NX_SEAL_KEY_BYTES];
    nx_random(key, sizeof key);
    nx_random(other, sizeof other);
    nx_slice context = NX_SLICE("default/STRIPE_KEY");
    static const char *const values[] = {"", "x", "sk_live_0123456789"};
    for (size_t i = 0; i < NX_ARRAY_LEN(values); i++) {
        nx_buf a = NX_BUF_INIT(256), b = NX_BUF_INIT(256), plain = NX_BUF_INIT(256);
        assert_int_equal(nx_seal(key, context, nx_slice_cstr(values[i]), &a), NX_OK);
        assert_int_equal(nx_seal(key, context, nx_slice_cstr(values[i]), &b), NX_OK);
        assert_int_equal(a.n, strlen(values[i]) + NX_SEAL_EXTRA_BYTES);
        assert_false(nx_slice_eq(nx_buf_view(&a), nx_buf_view(&b))); /* another nonce */
        assert_int_equal(nx_unseal(key, context, nx_buf_view(&a), &plain), NX_OK);
        assert_true(nx_slice_eq_cstr(nx_buf_view(&plain), values[i]));
        nx_buf_clear(&plain);
        assert_int_equal(nx_unseal(other, context, nx_buf_view(&a), &plain), NX_ECORRUPT);
        assert_int_equal(nx_unseal(key, NX_SLICE("default/OTHER"), nx_buf_view(&a), &plain), NX_ECORRUPT);
        for (size_t k = 0; k < a.n; k++) {
            a.p[k] ^= 1;
            assert_int_equal(nx_unseal(key, context, nx_buf_view(&a), &plain), NX_ECORRUPT);
            a.p[k] ^= 1;
        }
        for (size_t n = 0; n < a.n; n++) assert_int_equal(nx_unseal(key, context, nx_slice_make(a.p, n), &plain), NX_ECORRUPT);
        assert_int_equal(plain.n, 0);
        nx_buf_done(&a);
        nx_buf_done(&b);
        nx_buf_wipe(&plain);
    }
}

static void test_hmac_tells_lists_apart(void **state)
{
    (void)state;
    nx_slice one[] = {NX_SLICE("ab"), NX_SLICE("c")}, two[] = {NX_SLICE("a"), NX_SLICE("bc")};
    nx_sha256 x, y, z, w;
    assert_int_equal(nx_hmac(NX_SLICE("key"), one, 2, &x), NX_OK);
    assert_int_equal(nx_hmac(NX_SLICE("key"), one, 2, &w), NX_OK);
    assert_int_equal(nx_hmac(NX_SLICE("key"), two, 2, &y), NX_OK);
    assert_int_equal(nx_hmac(NX_SLICE("yek"), one, 2, &z), NX_OK);
    assert_memory_equal(x.b, w.b, sizeof x.b);
    assert_memory_not_equal(x.b, y.b, sizeof x.b);
    assert_memory_not_equal(x.b, z.b, sizeof x.b);
    char hex[NX_SHA256_HEX + 1]; /* computed with Python's hmac over the lengths and the parts */
    nx_sha256_hex(&x, hex);
    assert_string_equal(hex, "8c568fcbf2953946832018520a5eb5a6a63fe007671cf14e924b528f355076d0");
    nx_slice empty = NX_SLICE_NULL;
    assert_int_equal(nx_hmac(NX_SLICE("k"), &empty, 1, &x), NX_OK);
    assert_int_equal(nx_hmac(NX_SLICE("k"), &empty, 0, &y), NX_OK);
    assert_memory_not_equal(x.b, y.b, sizeof x.b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unseal_knows_the_published_cases),
        cmocka_unit_test(test_what_is_sealed_is_opened_and_nothing_else),
        cmocka_unit_test(test_hmac_tells_lists_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
