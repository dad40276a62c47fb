/* bisect_test.h: the user's command that decides whether a version is good.
 * Threads: nx-main. */
#ifndef NX_CLI_BISECT_TEST_H
#define NX_CLI_BISECT_TEST_H
#include "cli.h"

/* Runs `command` by the shell with `input` on its stdin and `variables` (NAME=value, NULL-terminated) in its environment; its output goes to stderr.
 * *ret_code: its exit code, 128 + N where signal N ended it. */
nx_err nx_cli_bisect_test(const char *command, nx_slice input, char *const *variables, int *ret_code, nx_error *reterr);
#endif
