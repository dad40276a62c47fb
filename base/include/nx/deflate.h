/* nx/deflate.h: whole buffers in the zlib format (RFC 1950), adapted from zlib.
 * Ownership: output is appended to the caller's buffer, whose cap holds.
 * Threads:   any.
 * Errors:    NX_ENOMEM, NX_ELIMIT (over the buffer's cap), NX_ECORRUPT; on failure `out` is as it was. */
#ifndef NX_DEFLATE_H
#define NX_DEFLATE_H
#include "nx/buf.h"

nx_err nx_deflate(nx_slice in, nx_buf *out);
/* Exactly `whole_bytes` come out of all of `in`, else NX_ECORRUPT. Memory grows with what really comes, not with what was promised. */
nx_err nx_inflate(nx_slice in, size_t whole_bytes, nx_buf *out);
#endif
