/* offline.h: repeating bundles in this process: no node, no event log, no network.
 * Ownership: an nx_cli_offline belongs to the command.
 * Threads:   nx-main, on which guests run.
 * Errors:    printed here; what is returned is the process's exit code. */
#ifndef NX_CLI_OFFLINE_H
#define NX_CLI_OFFLINE_H
#include "cli.h"
#include "nx/bundle.h"

#define NX_CLI_MODULE_BYTES (64u << 20)

typedef struct nx_cli_offline {
    nx_rt *rt;
    nx_replay_repetition *repetition;
    char temporary[64]; /* folder of compiled code that goes with the command; "" where it is the user's cache */
} nx_cli_offline;

/* Compiled code is kept in $XDG_CACHE_HOME/nexus (~/.cache/nexus), or for this command alone where that can't be written. */
int nx_cli_offline_open(const nx_cli *c, bool is_debug, nx_cli_offline *ret);
void nx_cli_offline_close(nx_cli_offline *o);

/* A file whose name ends in .nxb, or that begins like a bundle. */
bool nx_cli_is_bundle(const char *path);
/* Reads and checks one; everything lies in the arena. */
nx_err nx_cli_bundle_read(const char *path, nx_arena *a, nx_bundle *ret, nx_error *reterr);
/* Repeats a bundle (`name` stands in messages): appends the result as a node would answer it. against: NULL, or a .wasm file. With the flag --debug it
 * waits for a debugger before the guest's first instruction. */
int nx_cli_offline_replay(const nx_cli *c, const char *name, nx_slice bundle, const char *against, nx_buf *ret_line);
/* The bundle of a node's event, in memory (cmd_bundle.c). */
int nx_cli_bundle_fetch(const nx_cli *c, nx_httpc_resp *ret);
/* debug.c: says how to attach a debugger, and returns once one is there and lets this process go on. */
void nx_cli_debug_wait(const nx_cli *c, nx_slice module);
#endif
