/* The cache of compiled code stays bounded: the files used last are kept, and what killed compiles left behind goes. */
#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

#include "rt_internal.h"

/* Without blocks: only the length counts. */
static void put(int dir_fd, const char *name, off_t n_bytes, time_t used)
{
    struct timespec times[2] = {{.tv_sec = used}, {.tv_sec = used}};
    int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, n_bytes), 0);
    assert_int_equal(futimens(fd, times), 0);
    (void)close(fd);
}

static bool has(int dir_fd, const char *name) { return faccessat(dir_fd, name, F_OK, 0) == 0; }

static void test_cache_keeps_the_files_used_last(void **state)
{
    (void)state;
    char folder[] = "/tmp/nx-cache-XXXXXX", name[64];
    assert_non_null(mkdtemp(folder));
    int fd = -1;
    nx_error e = NX_ERROR_INIT;
    assert_int_equal(nx_rt_cache_open(folder, &fd, &e), NX_OK);
    for (int i = 0; i < 300; i++) { /* of which 256 come to 2 GiB */
        (void)snprintf(name, sizeof name, "code-%03d", i);
        put(fd, name, 8 << 20, 1000000 + i);
    }
    put(fd, "new-old", 0, 1000000);
    put(fd, "new-now", 0, time(NULL));
    (void)close(fd);
    assert_int_equal(nx_rt_cache_open(folder, &fd, &e), NX_OK);
    assert_false(has(fd, "code-000"));
    assert_false(has(fd, "code-043"));
    assert_true(has(fd, "code-044"));
    assert_true(has(fd, "code-299"));
    assert_false(has(fd, "new-old"));
    assert_true(has(fd, "new-now"));
    for (int i = 44; i < 300; i++) {
        (void)snprintf(name, sizeof name, "code-%03d", i);
        assert_int_equal(unlinkat(fd, name, 0), 0);
    }
    assert_int_equal(unlinkat(fd, "new-now", 0), 0);
    (void)close(fd);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cache_keeps_the_files_used_last)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
