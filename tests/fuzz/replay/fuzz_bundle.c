/* Bundles: any bytes are refused with a reason or read; what was read is written, and read again to the same.
 * So that the fuzzer gets past the digests, the input's are put right first where its first byte asks for it. */
#include "nx/bundle.h"
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define HEAD_BYTES 50u

static void require(bool is_true)
{
    if (!is_true) abort();
}

/* Digests of stored sections, and the seal. */
static void put_right(uint8_t *p, size_t n)
{
    size_t at = 4;
    while (at + HEAD_BYTES <= n && p[at] != 0) {
        uint64_t stored = 0;
        for (unsigned i = 0; i < 8; i++) stored |= (uint64_t)p[at + 10 + i] << (8 * i);
        if (stored > n - at - HEAD_BYTES) return;
        if (p[at + 1] == 0) {
            nx_sha256 d = nx_sha256_of(nx_slice_make(p + at + HEAD_BYTES, (size_t)stored));
            memcpy(p + at + 18, d.b, sizeof d.b);
        }
        at += HEAD_BYTES + (size_t)stored;
    }
    if (at < n && p[at] == 0 && n - at == 33) {
        nx_sha256 d = nx_sha256_of(nx_slice_make(p, at));
        memcpy(p + at + 1, d.b, sizeof d.b);
    }
}

static void try(nx_slice bytes)
{
    static nx_bundle first, again; /* large */
    nx_arena a = NX_ARENA_INIT(512u << 20);
    nx_buf out = NX_BUF_INIT(SIZE_MAX), second = NX_BUF_INIT(SIZE_MAX);
    nx_error err = NX_ERROR_INIT;
    nx_err rc = nx_bundle_decode(bytes, &a, &first, &err);
    require(rc == NX_OK || ((rc == NX_ECORRUPT || rc == NX_ENOMEM) && err.msg[0]));
    if (rc == NX_OK) {
        require(nx_bundle_encode(&first, &out, &err) == NX_OK);
        require(nx_bundle_decode(nx_buf_view(&out), &a, &again, &err) == NX_OK);
        require(nx_bundle_encode(&again, &second, &err) == NX_OK);
        require(nx_slice_eq(nx_buf_view(&out), nx_buf_view(&second)));
    }
    nx_buf_done(&out);
    nx_buf_done(&second);
    nx_arena_done(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    try(nx_slice_make(data, size));
    uint8_t *copy = malloc(size ? size : 1);
    if (!copy) return 0;
    memcpy(copy, data, size);
    put_right(copy, size);
    try(nx_slice_make(copy, size));
    free(copy);
    return 0;
}
