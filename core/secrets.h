/* secrets.h: the values of secrets: where they come from, how the store keeps them, how a record speaks of them.
 * Why:       a value is at hand for the function that was granted it, and nowhere else: not in records, logs, metrics or messages (docs/SECRETS.md).
 * Ownership: values go into the caller's buffer, which ends with nx_buf_wipe(). Nothing is kept between calls but the key.
 * Threads:   any. All but new, free and use are BLOCKING (a file, the log's key-value store).
 * Errors:    NX_ENOENT (no such secret, or no value where it should be), NX_ECORRUPT (sealed with another key, or altered), NX_EINVAL, those of the log. */
#ifndef NX_CORE_SECRETS_H
#define NX_CORE_SECRETS_H
#include "core_internal.h"
#include "nx/effect.h"
#include "nx/secret_proof.h"

#define NX_CORE_SECRET_BYTES (64u << 10)
#define NX_CORE_SECRET_KEY_PREFIX "secret." /* of keys in the namespace's registry */

typedef struct nx_core_secrets nx_core_secrets;

nx_err nx_core_secrets_new(const char *data_dir, nx_config *cfg, nx_core_secrets **ret, nx_error *reterr);
void nx_core_secrets_free(nx_core_secrets *s);                /* NULL allowed */
void nx_core_secrets_use(nx_core_secrets *s, nx_config *cfg); /* from now on; takes a reference of its own */

/* Appends the value to `value`, whose max should be NX_CORE_SECRET_BYTES. */
nx_err nx_core_secret_get(nx_core_secrets *s, nx_fab_ns *ns, nx_slice name, nx_buf *value, nx_error *reterr);
/* Appends what a record keeps in place of the value: "hmac-sha256:KEY:DIGEST", the same for the same value under the same key, and nothing without it. */
nx_err nx_core_secret_proof(nx_core_secrets *s, nx_fab_ns *ns, nx_slice name, nx_slice value, nx_buf *keep, nx_error *reterr);
/* What a record keeps of a host call's request that may hold a secret. */
nx_err nx_core_secret_request_digest(nx_core_secrets *s, nx_fab_ns *ns, nx_slice name, nx_slice request, nx_sha256 *ret, nx_error *reterr);

/* The op of nx_effect_ops: the value as the answer, its proof to keep. */
nx_err nx_core_secret_answer(nx_core_secrets *s, nx_fab_ns *ns, const nx_effect_call *c, nx_slice name, nx_error *reterr);

/* The store: sealed values in the registry. NX_ECONFLICT where `secrets` of the configuration names another place for it. */
nx_err nx_core_secret_put(nx_core_secrets *s, nx_fab_ns *ns, nx_slice name, nx_slice value, bool *ret_is_new, nx_error *reterr);
nx_err nx_core_secret_delete(nx_core_secrets *s, nx_fab_ns *ns, nx_slice name, nx_error *reterr);

typedef struct nx_core_secret_info {
    nx_slice name;
    const char *source; /* "file", "env", "store" */
    nx_slice at;        /* file or variable; empty for the store */
    nx_slice set_at;    /* RFC 3339; of the store */
    bool is_available;  /* it has a value that this node can read */
} nx_core_secret_info;
/* All that have a place or a value, sorted by name; in the arena. */
nx_err nx_core_secrets_list(nx_core_secrets *s, nx_fab_ns *ns, nx_arena *a, nx_core_secret_info **ret, unsigned *ret_n, nx_error *reterr);

/* BLOCKING, without apply_mu: says in the log which functions were granted secrets that have no value here. */
void nx_core_secrets_remind(nx_node *n);
#endif
