/* nx/digest.h: SHA-256, ChaCha20, CRC and process randomness, adapted from OpenSSL's libcrypto.
 * Threads: each context one thread; one-shots any. */
#ifndef NX_DIGEST_H
#define NX_DIGEST_H
#include "nx/slice.h"

#define NX_SHA256_BYTES 32
#define NX_SHA256_HEX 64

typedef struct nx_sha256 {
    uint8_t b[NX_SHA256_BYTES];
} nx_sha256;
typedef struct nx_sha256_ctx nx_sha256_ctx; /* reusable; ~100 bytes */

nx_sha256 nx_sha256_of(nx_slice s);
nx_sha256 nx_sha256_of_parts(const nx_slice *parts, size_t n); /* joined by a 0 byte between each two */
nx_sha256_ctx *nx_sha256_ctx_new(void);                        /* NULL: out of memory */
void nx_sha256_ctx_free(nx_sha256_ctx *c);
void nx_sha256_ctx_begin(nx_sha256_ctx *c);
void nx_sha256_ctx_add(nx_sha256_ctx *c, const void *p, size_t n);
nx_sha256 nx_sha256_ctx_end(nx_sha256_ctx *c); /* begin() before the next use */
void nx_sha256_hex(const nx_sha256 *d, char out[NX_SHA256_HEX + 1]);
nx_err nx_sha256_parse_hex(nx_slice s, nx_sha256 *ret);

typedef struct nx_chacha nx_chacha;
nx_chacha *nx_chacha_new(const uint8_t seed[32]); /* RFC 8439 key = seed, nonce 0, counter 0; NULL: out of memory */
void nx_chacha_free(nx_chacha *c);
void nx_chacha_reseed(nx_chacha *c, const uint8_t seed[32]); /* as if new, without an allocation: one generator serves many runs */
void nx_chacha_fill(nx_chacha *c, void *out, size_t n);      /* next n bytes of the key stream */

void nx_random(void *out, size_t n);                                              /* cryptographic, from the operating system; buffered per thread */
size_t nx_base64_encode(nx_slice in, bool url_alphabet_unpadded, char *out);      /* out: 4*((n+2)/3)+1 bytes; returns length */
nx_err nx_base64_decode(nx_slice in, nx_slice *ret, char *out, size_t out_bytes); /* standard alphabet, padded; NX_EPARSE, NX_ELIMIT */
#endif
