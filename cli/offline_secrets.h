/* offline_secrets.h: secrets of runs that are repeated in this process: a folder with a file for each value, and the node's key beside them.
 * Why:       a bundle holds no values; who has them, and the key that proves them to be the recorded ones, repeats the run without the node.
 * Ownership: the caller's storage, which outlives every `how` that it was given to; ends with _close(), which wipes the key. Values are read when a guest asks.
 * Threads:   nx-main.
 * Errors:    printed here; what is returned is the process's exit code. */
#ifndef NX_CLI_OFFLINE_SECRETS_H
#define NX_CLI_OFFLINE_SECRETS_H
#include "cli.h"
#include "nx/repeat.h"
#include "nx/secret_proof.h"

#define NX_CLI_SECRETS_FLAG                                                                                                                                      \
    {                                                                                                                                                            \
        .name = "secrets", .value = "DIR", .kind = NX_CLI_FILE, .help = "Secrets for bundles: a folder with a file for each value, and the node's `secret.key`." \
    }

typedef struct nx_cli_secrets {
    const char *dir; /* NULL: there are none */
    nx_slice ns;     /* of the run that is repeated */
    nx_core_secret_keys keys;
} nx_cli_secrets;

/* By the flag; without it, a guest that asks is told what is missing. */
int nx_cli_secrets_open(const nx_cli *c, nx_cli_secrets *ret);
void nx_cli_secrets_close(nx_cli_secrets *s);
/* For one run of namespace `ns`, which is lent. */
void nx_cli_secrets_use(nx_cli_secrets *s, nx_slice ns, nx_replay_how *how);
#endif
