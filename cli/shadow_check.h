/* shadow_check.h: what shadows have found, as commands look at it. */
#ifndef NX_CLI_SHADOW_CHECK_H
#define NX_CLI_SHADOW_CHECK_H
#include "cli.h"
#include "nx/digest.h"
#include "nx/ulid.h"

typedef struct nx_cli_shadow {
    char function[NX_FUNCTION_NAME_BYTES + 1];
    char against[72]; /* a version, or the digest */
    char artifact[NX_SHA256_HEX + 1];
    char job[NX_ID_LEN + 1], since[40];
    bool is_running;
    uint64_t events, diffs; /* diffs: came out otherwise, or could not be repeated */
} nx_cli_shadow;

/* Newest first, at most `max`. Prints on failure and returns the exit code. */
int nx_cli_shadows(nx_cli_client *node, nx_cli_shadow *v, unsigned max, unsigned *ret_n);
/* Whether the artifact may be deployed: a shadow of the function with it has handled `min` events without a diff. Prints why not (exit code 5). */
int nx_cli_shadow_require(nx_cli_client *node, const char *function, const char *artifact, uint64_t min);
#endif
