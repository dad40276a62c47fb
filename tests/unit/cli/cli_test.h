/* cli_test.h: shared by the tests of the command: a folder that goes away, files in it, and what a stream got. */
#ifndef NX_CLI_TEST_H
#define NX_CLI_TEST_H
#include "cli.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

/* A fresh folder under TMPDIR; removed with all that is in it. */
int cli_test_folder_new(void **state); /* for setup functions: *state is its path, a char * */
int cli_test_folder_free(void **state);
/* Writes root/path and makes its folders; mode 0755 where it begins with "#!". The path is returned, valid until the next call. */
const char *cli_test_write(const char *root, const char *path, const char *text);
/* What fn(out) printed; the caller frees it. */
char *cli_test_printed(void (*fn)(FILE *out, void *self), void *self);
/* Parses a command line; argv[0] is "nexus". Messages go to *ret_text (freed by the caller). */
nx_err cli_test_parse(nx_cli *c, const char **ret_group, char **ret_text, int argc, const char *const *argv);
#define CLI_PARSE(c, group, text, ...)                                                           \
    cli_test_parse((c), (group), (text), (int)NX_ARRAY_LEN(((const char *[]){__VA_ARGS__})) + 1, \
                   (const char *[]){"nexus", __VA_ARGS__, NULL})
#endif
