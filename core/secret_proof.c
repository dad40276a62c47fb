/* secret_proof.c: see nx/secret_proof.h. */
#include "nx/secret_proof.h"
#include <stdio.h>
#include <string.h>

nx_err nx_core_secret_keys_of(const uint8_t key[NX_SEAL_KEY_BYTES], nx_core_secret_keys *ret)
{
    nx_slice master = nx_slice_make(key, NX_SEAL_KEY_BYTES), use[] = {NX_SLICE("nexus secret seal 1"), NX_SLICE("nexus secret proof 1"), NX_SLICE("nexus secret key id 1")};
    nx_sha256 seal, proof, id;
    char hex[NX_SHA256_HEX + 1];
    nx_err err = nx_hmac(master, &use[0], 1, &seal);
    if (!err)
        err = nx_hmac(master, &use[1], 1, &proof);
    if (!err)
        err = nx_hmac(master, &use[2], 1, &id);
    if (err)
        return err;
    nx_sha256_hex(&id, hex);
    memcpy(ret->seal, seal.b, sizeof ret->seal);
    memcpy(ret->proof, proof.b, sizeof ret->proof);
    snprintf(ret->id, sizeof ret->id, "%.*s", NX_CORE_SECRET_KEY_ID_HEX, hex);
    nx_wipe(&seal, sizeof seal);
    nx_wipe(&proof, sizeof proof);
    return NX_OK;
}

void nx_core_secret_keys_done(nx_core_secret_keys *k) { nx_wipe(k, sizeof *k); }

nx_err nx_core_secret_keys_proof(const nx_core_secret_keys *k, nx_slice ns, nx_slice name, nx_slice value, nx_buf *keep)
{
    nx_slice parts[] = {ns, name, value};
    nx_sha256 digest;
    nx_err err = nx_hmac(nx_slice_make(k->proof, sizeof k->proof), parts, NX_ARRAY_LEN(parts), &digest);
    if (!err)
        err = nx_buf_printf(keep, "hmac-sha256:%s:", k->id);
    return err ? err : nx_buf_append_hex(keep, digest.b, sizeof digest.b);
}

nx_err nx_core_secret_keys_request(const nx_core_secret_keys *k, nx_slice ns, nx_slice call, nx_slice request, nx_sha256 *ret)
{
    nx_slice parts[] = {ns, NX_SLICE("request"), call, request}; /* four: no proof of a value, which has three */
    return nx_hmac(nx_slice_make(k->proof, sizeof k->proof), parts, NX_ARRAY_LEN(parts), ret);
}
