/* nx/artifact.h: the artifact of a project's function, from the files of this machine: its module and what `files` names (nx/rt_artifact.h).
 * Ownership: the caller's buffer.
 * Threads:   any; BLOCKING.
 * Errors:    those of the system, with the path; NX_ELIMIT; NX_EMODULE. Messages do not name the function. */
#ifndef NX_ARTIFACT_H
#define NX_ARTIFACT_H
#include "nx/buf.h"
#include "nx/config.h"
#include "nx/rt_tree.h"

#define NX_ARTIFACT_BYTES_MAX (64u << 20)

/* Appends to `out`, whose limit is NX_ARTIFACT_BYTES_MAX at least. */
nx_err nx_artifact_read(const nx_config *cfg, const nx_fn_config *f, nx_buf *out, nx_error *reterr);
/* The same with this module instead of `code`. */
nx_err nx_artifact_with_files(const nx_config *cfg, const nx_fn_config *f, nx_slice module, nx_buf *out, nx_error *reterr);

typedef struct nx_artifact_file {
    const char *host_path;
    nx_slice path; /* below "/" of the guest */
    nx_rt_node_kind kind;
} nx_artifact_file;
/* All that `files` names, in no certain order, folders before what is in them. Left out are hidden entries of folders, those that end in "~"
 * (editors' copies), sockets, pipes and devices. A return other than NX_OK stops and is returned. */
nx_err nx_artifact_each_file(const nx_config *cfg, const nx_fn_config *f, nx_err (*on_file)(void *self, const nx_artifact_file *file), void *self,
                             nx_error *reterr);
#endif
