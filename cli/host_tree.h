/* host_tree.h: folders of this machine as trees of files for a guest, and back.
 * Why:       a guest never opens a path of the host (nx/rt_tree.h): `nexus run --dir` loads the folder before and writes it back after.
 * Ownership: an nx_cli_host_tree owns its tree.
 * Threads:   nx-main.
 * Errors:    those of the system, with the path; NX_ELIMIT where the folder is too large. */
#ifndef NX_CLI_HOST_TREE_H
#define NX_CLI_HOST_TREE_H
#include "nx/rt_tree.h"

typedef struct nx_cli_host_tree {
    nx_rt_tree *tree;   /* what the guest works on */
    nx_rt_tree *before; /* names of what was loaded: what is gone from `tree` was removed */
    int fd;             /* of the folder */
} nx_cli_host_tree;

/* Regular files, folders and symbolic links; sockets, devices and pipes are left out. */
nx_err nx_cli_host_tree_load(const char *path, uint64_t max_bytes, nx_cli_host_tree *ret, nx_error *reterr);
/* Brings the folder to what the tree holds: removes, makes, writes what changed. */
nx_err nx_cli_host_tree_store(const nx_cli_host_tree *h, nx_error *reterr);
void nx_cli_host_tree_done(nx_cli_host_tree *h);
#endif
