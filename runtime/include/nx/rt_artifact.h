/* nx/rt_artifact.h: what a version's artifact is made of: a module and, in custom sections behind all others, what belongs to it.
 * Why:       one digest names everything that a run of it can see, so versions, bundles and replays carry one thing.
 *            A module without such sections is an artifact too.
 * Ownership: nx_rt_artifact lends from the bytes; a tree that was opened lends from them too.
 * Threads:   plain data.
 * Errors:    NX_EMODULE (damaged, or a section where it does not belong), NX_ELIMIT, NX_ENOMEM.
 * Source:    WebAssembly core specification 2.0, 5.5.3 (custom sections); docs/BUNDLE.md describes the section of files. */
#ifndef NX_RT_ARTIFACT_H
#define NX_RT_ARTIFACT_H
#include "nx/buf.h"
#include "nx/rt_tree.h"

#define NX_RT_INIT_SECTION "nexus.init"
#define NX_RT_FILES_SECTION "nexus.files"
#define NX_RT_INIT_NAME_BYTES 256u
#define NX_RT_FILES_BYTES_MAX (32u << 20) /* of all files together, with their names */
#define NX_RT_FILES_MAX 4096u             /* files, folders and links */

typedef struct nx_rt_artifact {
    nx_slice code;   /* all in front of the files: what is compiled */
    nx_slice module; /* a whole WebAssembly binary, as it was built */
    nx_slice init;   /* export that runs once, when it is compiled, instead of in every run; empty: none */
    nx_slice files;  /* the files' section, without its head; empty: none */
} nx_rt_artifact;

nx_err nx_rt_artifact_split(nx_slice bytes, nx_rt_artifact *ret, nx_error *reterr);
/* Appends the module, a section that names `init` (empty: none) and one with all of the tree (NULL or empty: none). Neither order nor times count:
 * equal files give equal bytes. */
nx_err nx_rt_artifact_join(nx_slice module, nx_slice init, const nx_rt_tree *files, nx_buf *out, nx_error *reterr);
/* The files as a frozen tree. */
nx_err nx_rt_artifact_files(nx_slice files, nx_rt_tree **ret, nx_error *reterr);
#endif
