/* The file of the key: made once, whole, for its owner alone; what is no key, or is open to others, is refused with words. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "secrets.h"

static char dir[] = "/tmp/nx-secret-key-XXXXXX", path[128];

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(dir)) return -1;
    snprintf(path, sizeof path, "%s/secret.key", dir);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(dir); /* fails where anything else was left behind */
}

static void put(const char *text, mode_t mode)
{
    unlink(path);
    int fd = open(path, O_WRONLY | O_CREAT, mode);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    fchmod(fd, mode);
    close(fd);
}

static void test_key_is_made_once_and_for_its_owner(void **state)
{
    (void)state;
    uint8_t a[NX_SEAL_KEY_BYTES], b[NX_SEAL_KEY_BYTES];
    struct stat st;
    nx_error e = NX_ERROR_INIT;
    unlink(path);
    assert_int_equal(nx_core_secret_key_read(path, false, a, &e), NX_ENOENT);
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_equal(nx_core_secret_key_read(path, true, a, &e), NX_OK);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(nx_core_secret_key_read(path, true, b, &e), NX_OK);
    assert_memory_equal(a, b, sizeof a);
    unlink(path);
    assert_int_equal(nx_core_secret_key_read(path, true, b, &e), NX_OK);
    assert_memory_not_equal(a, b, sizeof a);
}

static void test_key_of_openssl_is_taken(void **state)
{
    (void)state;
    uint8_t key[NX_SEAL_KEY_BYTES];
    put("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\r\n", 0644);
    assert_int_equal(nx_core_secret_key_read(path, false, key, NULL), NX_OK);
    assert_memory_equal(key, "01234567890123456789012345678901", sizeof key);
}

static void test_what_is_no_key_is_refused_and_left_alone(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "\n", "short", "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE", "!DEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=",
                                      "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="};
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++) {
        uint8_t key[NX_SEAL_KEY_BYTES];
        char there[256] = "";
        nx_error e = NX_ERROR_INIT;
        put(bad[i], 0600);
        assert_int_equal(nx_core_secret_key_read(path, true, key, &e), NX_EINVAL);
        assert_non_null(strstr(e.msg, "openssl rand -base64 32"));
        int fd = open(path, O_RDONLY);
        assert_int_equal(read(fd, there, sizeof there - 1), strlen(bad[i]));
        close(fd);
        assert_string_equal(there, bad[i]);
    }
}

static void test_own_key_that_others_can_read_is_refused(void **state)
{
    (void)state;
    uint8_t key[NX_SEAL_KEY_BYTES];
    nx_error e = NX_ERROR_INIT;
    put("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n", 0640);
    assert_int_equal(nx_core_secret_key_read(path, true, key, &e), NX_EDENIED);
    assert_non_null(strstr(e.msg, "chmod 600"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_is_made_once_and_for_its_owner),
        cmocka_unit_test(test_key_of_openssl_is_taken),
        cmocka_unit_test(test_what_is_no_key_is_refused_and_left_alone),
        cmocka_unit_test(test_own_key_that_others_can_read_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
