/* Digests, key streams, randomness, base64: against published vectors. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "nx/digest.h"

static void assert_hex(const nx_sha256 *d, const char *want)
{
    char hex[NX_SHA256_HEX + 1];
    nx_sha256_hex(d, hex);
    assert_string_equal(hex, want);
}

/* FIPS 180-4 examples. */
static void test_sha256_vectors(void **state)
{
    (void)state;
    nx_sha256 d = nx_sha256_of(NX_SLICE_NULL);
    assert_hex(&d, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    d = nx_sha256_of(NX_SLICE("abc"));
    assert_hex(&d, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    d = nx_sha256_of(NX_SLICE("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq"));
    assert_hex(&d, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

static void test_sha256_pieces_and_reuse(void **state)
{
    (void)state;
    nx_sha256_ctx *c = nx_sha256_ctx_new();
    assert_non_null(c);
    for (int round = 0; round < 3; round++) {
        nx_sha256_ctx_begin(c);
        nx_sha256_ctx_add(c, "a", 1);
        nx_sha256_ctx_add(c, NULL, 0);
        nx_sha256_ctx_add(c, "bc", 2);
        nx_sha256 d = nx_sha256_ctx_end(c);
        assert_hex(&d, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
    nx_sha256_ctx_begin(c);
    nx_sha256_ctx_add(c, "zzz", 3);
    nx_sha256_ctx_begin(c); /* an unfinished one leaves nothing behind */
    nx_sha256 d = nx_sha256_ctx_end(c);
    assert_hex(&d, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    nx_sha256_ctx_free(c);
    nx_sha256_ctx_free(NULL);
}

static void *hash_much(void *ret)
{
    nx_sha256 want = nx_sha256_of(NX_SLICE("abc"));
    for (int i = 0; i < 1000; i++) {
        nx_sha256 d = nx_sha256_of(NX_SLICE("abc"));
        if (memcmp(&d, &want, sizeof d) != 0) *(bool *)ret = false;
    }
    return NULL;
}

static void test_sha256_on_threads(void **state)
{
    (void)state;
    pthread_t t[4];
    bool is_good[4] = {true, true, true, true};
    for (size_t i = 0; i < 4; i++) assert_int_equal(pthread_create(&t[i], NULL, hash_much, &is_good[i]), 0);
    for (size_t i = 0; i < 4; i++) {
        pthread_join(t[i], NULL);
        assert_true(is_good[i]);
    }
}

static void test_sha256_hex_parse(void **state)
{
    (void)state;
    nx_sha256 d;
    assert_int_equal(nx_sha256_parse_hex(NX_SLICE("BA7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"), &d), NX_OK);
    assert_hex(&d, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(nx_sha256_parse_hex(NX_SLICE("ba78"), &d), NX_EPARSE);
    assert_int_equal(nx_sha256_parse_hex(NX_SLICE("ga7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"), &d), NX_EPARSE);
}

/* RFC 8439 appendix A.1, test vectors 1 and 2: key, nonce 0, blocks 0 and 1. */
static void test_chacha_vectors(void **state)
{
    (void)state;
    static const uint8_t seed[32];
    static const uint8_t block0[16] = {0x76, 0xb8, 0xe0, 0xad, 0xa0, 0xf1, 0x3d, 0x90, 0x40, 0x5d, 0x6a, 0xe5, 0x53, 0x86, 0xbd, 0x28};
    static const uint8_t block1[16] = {0x9f, 0x07, 0xe7, 0xbe, 0x55, 0x51, 0x38, 0x7a, 0x98, 0xba, 0x97, 0x7c, 0x73, 0x2d, 0x08, 0x0d};
    nx_chacha *c = nx_chacha_new(seed);
    assert_non_null(c);
    uint8_t all[200], pieces[200];
    nx_chacha_fill(c, all, sizeof all);
    assert_memory_equal(all, block0, 16);
    assert_memory_equal(all + 64, block1, 16);
    nx_chacha_reseed(c, seed);
    for (size_t at = 0, n = 1; at < sizeof pieces; at += n, n = n % 13 + 1) {
        if (n > sizeof pieces - at) n = sizeof pieces - at;
        nx_chacha_fill(c, pieces + at, n);
    }
    assert_memory_equal(all, pieces, sizeof all); /* the stream does not depend on how it is asked for */
    uint8_t other[32] = {1};
    nx_chacha_reseed(c, other);
    nx_chacha_fill(c, pieces, sizeof pieces);
    assert_memory_not_equal(all, pieces, sizeof all);
    nx_chacha_free(c);
    nx_chacha_free(NULL);
}

static void test_random_differs_also_after_fork(void **state)
{
    (void)state;
    uint8_t a[32], b[32], big[5000];
    nx_random(a, sizeof a);
    nx_random(b, sizeof b);
    assert_memory_not_equal(a, b, sizeof a);
    memset(big, 0, sizeof big);
    nx_random(big, sizeof big);
    size_t zeros = 0;
    for (size_t i = 0; i < sizeof big; i++) zeros += big[i] == 0;
    assert_true(zeros < 100);
    int fds[2];
    assert_int_equal(pipe(fds), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        nx_random(a, sizeof a);
        _exit(write(fds[1], a, sizeof a) == sizeof a ? 0 : 1);
    }
    nx_random(b, sizeof b);
    assert_int_equal(read(fds[0], a, sizeof a), sizeof a);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_memory_not_equal(a, b, sizeof a);
    close(fds[0]);
    close(fds[1]);
}

/* RFC 4648 section 10. */
static void test_base64(void **state)
{
    (void)state;
    static const char *const vectors[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}};
    char out[32];
    nx_slice d;
    for (size_t i = 0; i < NX_ARRAY_LEN(vectors); i++) {
        size_t n = nx_base64_encode(nx_slice_cstr(vectors[i][0]), false, out);
        assert_string_equal(out, vectors[i][1]);
        assert_int_equal(n, strlen(out));
        assert_int_equal(nx_base64_decode(nx_slice_cstr(vectors[i][1]), &d, out, sizeof out), NX_OK);
        assert_true(nx_slice_eq_cstr(d, vectors[i][0]));
    }
    assert_int_equal(nx_base64_encode(NX_SLICE("\xfb\xff\xfe\x01"), true, out), 6);
    assert_string_equal(out, "-__-AQ");
    static const char *const bad[] = {"Z", "Zg", "Zg=", "Zg===", "Zh==", "Zm9=", "Zm 9", "Zm9v\n", "=m9v", "Zg==Zg==", "Z===", "-__-", "===="};
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++)
        if (nx_base64_decode(nx_slice_cstr(bad[i]), &d, out, sizeof out) != NX_EPARSE) fail_msg("%s", bad[i]);
    assert_int_equal(nx_base64_decode(NX_SLICE("Zm9vYmFy"), &d, out, 5), NX_ELIMIT);
}

static void test_base64_round_trip(void **state)
{
    (void)state;
    uint8_t in[100];
    char text[140], back[100];
    for (size_t n = 0; n <= sizeof in; n++) {
        nx_random(in, n);
        size_t len = nx_base64_encode(nx_slice_make(in, n), false, text);
        nx_slice d;
        assert_int_equal(nx_base64_decode(nx_slice_make(text, len), &d, back, n), NX_OK); /* exactly enough room */
        assert_int_equal(d.n, n);
        if (n) assert_memory_equal(back, in, n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256_vectors),
        cmocka_unit_test(test_sha256_pieces_and_reuse),
        cmocka_unit_test(test_sha256_on_threads),
        cmocka_unit_test(test_sha256_hex_parse),
        cmocka_unit_test(test_chacha_vectors),
        cmocka_unit_test(test_random_differs_also_after_fork),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_base64_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
