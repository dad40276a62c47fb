/* version.h: stored versions: immutable, numbered deployments in the registry.
 * Ownership: an nx_core_stored holds a reference of its settings; _done() lets it go.
 * Threads:   any; all of it BLOCKING but _find() and _done().
 * Stored:    fn.<function>.v<N>: {"function", "version", "artifact", "created_at", "settings"}. The artifact lies in the log's artifacts. */
#ifndef NX_CORE_VERSION_H
#define NX_CORE_VERSION_H
#include "core_internal.h"
#include "split.h"

#define NX_CORE_SETTINGS_BYTES_MAX (256u << 10)

typedef struct nx_core_stored {
    nx_sha256 artifact, settings_sha256;
    char derived[NX_SHA256_HEX + 1]; /* of the module that the artifact's init left, in hex; empty: it has none */
    char created_at[NX_RFC3339_MAX + 1];
    nx_config *cfg; /* a reference, which holds the settings */
    const nx_fn_config *settings;
} nx_core_stored;

/* Settings as a file with one function: the same parser and the same checks as nexus.yaml. */
nx_err nx_core_settings_parse(nx_slice settings, nx_slice name, nx_config **ret, nx_error *reterr);
nx_err nx_core_stored_get(nx_node *n, const char *function, const char *version, nx_core_stored *ret, nx_error *reterr); /* NX_ENOENT */
/* The same from what nx_fab_kv_list() gave of "fn.": many are read at once. */
nx_err nx_core_stored_find(const nx_kv *listed, unsigned n_listed, const char *function, const char *version, nx_core_stored *ret, nx_error *reterr); /* NX_ENOENT */
void nx_core_stored_done(nx_core_stored *v);
/* Under the next free number, which no other version ever had. */
nx_err nx_core_stored_put(nx_node *n, const char *name, const nx_sha256 *artifact, const char *derived, const nx_fn_config *settings, char ret_version[NX_CORE_VERSION_BYTES],
                          nx_error *reterr);
#endif
