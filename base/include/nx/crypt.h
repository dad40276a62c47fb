/* nx/crypt.h: what keeps secrets: AES-256-GCM for values at rest, HMAC-SHA-256 for saying that a value is the same without telling it.
 * Ownership: buffers are the caller's; plain text in them is the caller's to wipe.
 * Threads:   any.
 * Errors:    NX_ENOMEM, NX_ELIMIT (out), NX_ECORRUPT: not what was sealed with this key and context. */
#ifndef NX_CRYPT_H
#define NX_CRYPT_H
#include "nx/buf.h"
#include "nx/digest.h"

#define NX_SEAL_KEY_BYTES 32
#define NX_SEAL_EXTRA_BYTES 28 /* nonce (12) before, tag (16) behind the cipher text */

/* Appends nonce, cipher text and tag. The nonce is random: one key seals at most 2^32 values (NIST SP 800-38D, section 8.3).
 * `context` is not stored; it has to be the same when it is opened, so that a value can't be moved to another name. */
nx_err nx_seal(const uint8_t key[NX_SEAL_KEY_BYTES], nx_slice context, nx_slice plain, nx_buf *out);
nx_err nx_unseal(const uint8_t key[NX_SEAL_KEY_BYTES], nx_slice context, nx_slice sealed, nx_buf *out);

/* Of the parts, each preceded by its length (8 bytes, little-endian), so that no two lists are one text. */
nx_err nx_hmac(nx_slice key, const nx_slice *parts, size_t n, nx_sha256 *ret);

/* Overwrites, which no compiler leaves out. */
void nx_wipe(void *p, size_t n);
/* Wipes all that the buffer has, and frees it. For NX_CLEANUP. */
void nx_buf_wipe(nx_buf *b);
#endif
