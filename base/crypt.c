/* crypt.c: libcrypto's AES-256-GCM and HMAC-SHA-256. Secrets are asked for now and then, so contexts are made for each call. */
#include "nx/crypt.h"

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#define NONCE_BYTES 12
#define TAG_BYTES 16

/* TLS on this thread would take a left-over error for its own. */
static nx_err fail(nx_err err)
{
    ERR_clear_error();
    return err;
}

static bool crypt(EVP_CIPHER_CTX *ctx, nx_slice context, nx_slice in, unsigned char *out)
{
    int n = 0, last = 0;
    if (context.n && EVP_CipherUpdate(ctx, NULL, &n, (const unsigned char *)context.p, (int)context.n) != 1) return false;
    if (in.n && EVP_CipherUpdate(ctx, out, &n, (const unsigned char *)in.p, (int)in.n) != 1) return false;
    return EVP_CipherFinal_ex(ctx, out + (in.n ? n : 0), &last) == 1 && last == 0;
}

nx_err nx_seal(const uint8_t key[NX_SEAL_KEY_BYTES], nx_slice context, nx_slice plain, nx_buf *out)
{
    if (plain.n > INT32_MAX / 2 || context.n > INT32_MAX / 2) return NX_ELIMIT;
    nx_err err = nx_buf_reserve(out, plain.n + NX_SEAL_EXTRA_BYTES);
    if (err) return err;
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    unsigned char *nonce = (unsigned char *)out->p + out->n, *text = nonce + NONCE_BYTES;
    nx_random(nonce, NONCE_BYTES);
    bool is_ok = ctx && EVP_CipherInit_ex2(ctx, EVP_aes_256_gcm(), key, nonce, 1, NULL) == 1 && crypt(ctx, context, plain, text) &&
                 EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_BYTES, text + plain.n) == 1;
    EVP_CIPHER_CTX_free(ctx);
    if (!is_ok) return fail(NX_ENOMEM);
    out->n += plain.n + NX_SEAL_EXTRA_BYTES;
    return NX_OK;
}

nx_err nx_unseal(const uint8_t key[NX_SEAL_KEY_BYTES], nx_slice context, nx_slice sealed, nx_buf *out)
{
    if (sealed.n < NX_SEAL_EXTRA_BYTES || sealed.n > INT32_MAX / 2 || context.n > INT32_MAX / 2) return NX_ECORRUPT;
    size_t n = sealed.n - NX_SEAL_EXTRA_BYTES;
    nx_err err = nx_buf_reserve(out, n + 1);
    if (err) return err;
    unsigned char tag[TAG_BYTES];
    memcpy(tag, sealed.p + NONCE_BYTES + n, sizeof tag);
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (!ctx || EVP_CipherInit_ex2(ctx, EVP_aes_256_gcm(), key, (const unsigned char *)sealed.p, 0, NULL) != 1 ||
        EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_BYTES, tag) != 1)
        err = NX_ENOMEM;
    else if (!crypt(ctx, context, nx_slice_make(sealed.p + NONCE_BYTES, n), (unsigned char *)out->p + out->n))
        err = NX_ECORRUPT;
    EVP_CIPHER_CTX_free(ctx);
    if (err) {
        nx_wipe(out->p + out->n, n); /* what was deciphered before the tag did not fit */
        return fail(err);
    }
    out->n += n;
    return NX_OK;
}

nx_err nx_hmac(nx_slice key, const nx_slice *parts, size_t n, nx_sha256 *ret)
{
    EVP_MAC *mac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    EVP_MAC_CTX *ctx = mac ? EVP_MAC_CTX_new(mac) : NULL;
    char digest[] = "SHA256";
    OSSL_PARAM params[] = {OSSL_PARAM_construct_utf8_string("digest", digest, 0), OSSL_PARAM_construct_end()};
    size_t bytes = 0;
    bool is_ok = ctx && EVP_MAC_init(ctx, (const unsigned char *)key.p, key.n, params) == 1;
    for (size_t i = 0; i < n && is_ok; i++) {
        unsigned char length[8];
        for (size_t k = 0; k < sizeof length; k++) length[k] = (unsigned char)((uint64_t)parts[i].n >> 8 * k);
        is_ok = EVP_MAC_update(ctx, length, sizeof length) == 1 && EVP_MAC_update(ctx, (const unsigned char *)parts[i].p, parts[i].n) == 1;
    }
    is_ok = is_ok && EVP_MAC_final(ctx, ret->b, &bytes, sizeof ret->b) == 1 && bytes == sizeof ret->b;
    EVP_MAC_CTX_free(ctx);
    EVP_MAC_free(mac);
    return is_ok ? NX_OK : fail(NX_ENOMEM);
}

void nx_wipe(void *p, size_t n)
{
    if (p) OPENSSL_cleanse(p, n);
}

void nx_buf_wipe(nx_buf *b)
{
    nx_wipe(b->p, b->cap);
    nx_buf_done(b);
}
