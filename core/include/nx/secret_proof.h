/* nx/secret_proof.h: how a record speaks of a secret: a proof of its value in place of it, made with the node's key (docs/SECRETS.md).
 * Why:       whoever repeats a run has to know whether a value is the recorded one, with a node or without.
 * Ownership: plain data; keys end with _done(), which wipes them.
 * Threads:   any. nx_core_secret_key_read() BLOCKS on a file.
 * Errors:    NX_ENOENT, NX_EDENIED, NX_EINVAL of the key's file; NX_ENOMEM. */
#ifndef NX_SECRET_PROOF_H
#define NX_SECRET_PROOF_H
#include "nx/buf.h"
#include "nx/crypt.h"
#include "nx/digest.h"
#include "nx/err.h"

#define NX_CORE_SECRET_KEY_ID_HEX 16

/* One key from the file, one for each use, so that a proof tells nothing that helps against the seal. */
typedef struct nx_core_secret_keys {
    uint8_t seal[NX_SEAL_KEY_BYTES], proof[NX_SHA256_BYTES];
    char id[NX_CORE_SECRET_KEY_ID_HEX + 1];
} nx_core_secret_keys;

/* secret_key.c: the key's file. A new one is made where `may_make`, complete or not at all, mode 0600. */
nx_err nx_core_secret_key_read(const char *path, bool may_make, uint8_t key[NX_SEAL_KEY_BYTES], nx_error *reterr);
nx_err nx_core_secret_keys_of(const uint8_t key[NX_SEAL_KEY_BYTES], nx_core_secret_keys *ret);
void nx_core_secret_keys_done(nx_core_secret_keys *k);

/* Appends what a record keeps in place of the value: "hmac-sha256:KEY:DIGEST", the same for the same value under the same key, and nothing without it. */
nx_err nx_core_secret_keys_proof(const nx_core_secret_keys *k, nx_slice ns, nx_slice name, nx_slice value, nx_buf *keep);
/* What a record keeps of the request of a host call, once its guest has seen a secret. */
nx_err nx_core_secret_keys_request(const nx_core_secret_keys *k, nx_slice ns, nx_slice call, nx_slice request, nx_sha256 *ret);
#endif
