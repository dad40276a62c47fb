/* leb.h: unsigned LEB128 of 32 bits, as the sections that we read from and add to modules hold lengths.
 * Why:       an artifact's own files and an embedded source map lie in custom sections.
 * Ownership: plain data.
 * Threads:   any.
 * Errors:    false: cut, too long or over 32 bits, and the slice is as it was; the buffer's own when writing.
 * Source:    WebAssembly core specification 2.0, 5.2.2. */
#ifndef NX_RT_LEB_H
#define NX_RT_LEB_H
#include "nx/buf.h"

#define NX_RT_LEB_BYTES 5u

bool nx_rt_leb_take(nx_slice *s, uint32_t *ret);
nx_err nx_rt_leb_put(nx_buf *out, size_t v);
#endif
