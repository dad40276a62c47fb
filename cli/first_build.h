/* first_build.h: the build that comes before the node of `nexus dev`, which waits for a save where it fails.
 * Ownership: *cfg is replaced, and the former one given back, when the file was saved meanwhile.
 * Threads:   nx-main; BLOCKING. */
#ifndef NX_CLI_FIRST_BUILD_H
#define NX_CLI_FIRST_BUILD_H
#include "cli.h"

/* Builds what is out of date. Where a build fails: waits until a source or the file is saved, and builds again, until it succeeds or
 * a signal ends it. A missing toolchain is no matter of a save and ends it at once. Returns the exit code; *fingerprint_of_file
 * is that of the file that *cfg was read from, before and after. */
int nx_cli_first_build(const nx_cli *c, const char *file, nx_config **cfg, uint64_t *fingerprint_of_file);
#endif
