/* what_if.h: the flags of `nexus replay` that change what is replayed: --set, --data, --set-effect, --at.
 * Threads: nx-main. */
#ifndef NX_CLI_WHAT_IF_H
#define NX_CLI_WHAT_IF_H
#include "cli.h"

#define NX_CLI_WHAT_IF_BYTES (24u << 20) /* of a request with other data */

#define NX_CLI_WHAT_IF_FLAGS                                                                                                                                   \
    {.name = "set", .value = "PATH=VALUE", .is_many = true, .help = "What if one place of the event had been another: data.total=0, data.items[0].name=Ann."}, \
        {.name = "data", .value = "FILE", .kind = NX_CLI_FILE, .help = "What if the event had had this data."},                                                \
        {.name = "set-effect", .value = "N=JSON", .is_many = true, .help = "What if effect N of the run had been answered otherwise: 0='{\"status\":500}'."},  \
    {                                                                                                                                                          \
        .name = "at", .value = "TIME", .help = "What if it had run at another time (2026-02-28T23:59:00Z), or so much later or earlier (+1h, -7d)."            \
    }

/* Writes the members of a request that these flags make; nothing where none is given. Prints and returns the exit code on failure. */
int nx_cli_what_if(const nx_cli *c, nx_jw *w);
#endif
