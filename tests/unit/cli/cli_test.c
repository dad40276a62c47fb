#include "cli_test.h"
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

int cli_test_folder_new(void **state)
{
    const char *tmp = getenv("TMPDIR");
    char path[1024], real[4096];
    snprintf(path, sizeof path, "%s/nexus-test-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(path) || !realpath(path, real))
        return -1;
    *state = strdup(real);
    return *state ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st, (void)flag, (void)ftw;
    return remove(path);
}

int cli_test_folder_free(void **state)
{
    int rc = chdir("/") == 0 ? nftw(*state, remove_one, 16, FTW_DEPTH | FTW_PHYS) : -1;
    free(*state);
    return rc;
}

const char *cli_test_write(const char *root, const char *path, const char *text)
{
    static char file[4096];
    snprintf(file, sizeof file, "%s/%s", root, path);
    for (char *p = file + strlen(root) + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        (void)mkdir(file, 0755);
        *p = '/';
    }
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    if (strncmp(text, "#!", 2) == 0)
        assert_int_equal(chmod(file, 0755), 0);
    return file;
}

char *cli_test_printed(void (*fn)(FILE *out, void *self), void *self)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    assert_non_null(f);
    fn(f, self);
    assert_int_equal(fclose(f), 0);
    return text;
}

nx_err cli_test_parse(nx_cli *c, const char **ret_group, char **ret_text, int argc, const char *const *argv)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    assert_non_null(f);
    *c = (nx_cli){.program = "nexus"};
    nx_err e = nx_cli_parse(argc, (char *const *)(uintptr_t)argv, c, ret_group, f);
    assert_int_equal(fclose(f), 0);
    *ret_text = text;
    return e;
}
