/* bytes.h: taking numbers, texts and pieces from bytes that may be damaged, and writing lengths as modules hold them.
 * Why:       modules, their debug information and our own sections come from anywhere; every length is checked here, once.
 * Ownership: what is taken is lent from the bytes.
 * Threads:   plain data.
 * Errors:    a cursor that was asked for what is not there is bad and stays so: nothing is left in it, it gives zeros, and p stays where
 *            the trouble was, so one look at the end is enough. When writing, the buffer's own.
 * Source:    WebAssembly core specification 2.0, 5.2.2 (LEB128) and 5.5.2 (sections); DWARF 5, 7.6. */
#ifndef NX_RT_BYTES_H
#define NX_RT_BYTES_H
#include "nx/buf.h"

#define NX_RT_HEAD_BYTES 8u /* of a module, before its sections */
#define NX_RT_LEB_BYTES 5u  /* the most that a length takes */

/* Kinds of sections. */
enum { NX_RT_SEC_CUSTOM,
       NX_RT_SEC_TYPE,
       NX_RT_SEC_IMPORT,
       NX_RT_SEC_FUNCTION,
       NX_RT_SEC_TABLE,
       NX_RT_SEC_MEMORY,
       NX_RT_SEC_GLOBAL,
       NX_RT_SEC_EXPORT,
       NX_RT_SEC_START,
       NX_RT_SEC_ELEMENT,
       NX_RT_SEC_CODE,
       NX_RT_SEC_DATA,
       NX_RT_SEC_DATA_COUNT };

typedef struct nx_rt_bytes {
    const uint8_t *p, *end;
    bool is_bad;
} nx_rt_bytes;

nx_rt_bytes nx_rt_bytes_of(nx_slice s);
nx_rt_bytes nx_rt_bytes_at(nx_slice s, uint64_t offset); /* bad where nothing is there */
nx_slice nx_rt_bytes_left(const nx_rt_bytes *b);
void nx_rt_bytes_fail(nx_rt_bytes *b);

uint8_t nx_rt_take_byte(nx_rt_bytes *b);
uint64_t nx_rt_take_le(nx_rt_bytes *b, unsigned n); /* little-endian, of n bytes, up to 8 of which count */
/* LEB128 of any length, as DWARF has them; bits beyond 64 are dropped. */
uint64_t nx_rt_take_uleb(nx_rt_bytes *b);
int64_t nx_rt_take_sleb(nx_rt_bytes *b);
/* LEB128 of at most `bits` bits, as modules have them: bad where it has more, or more bytes than those take. */
uint64_t nx_rt_take_uleb_of(nx_rt_bytes *b, unsigned bits);
uint32_t nx_rt_take_u32(nx_rt_bytes *b);
/* A count (u32) of things of at least one byte each: never more than there are bytes, so that arrays are bounded by the input. */
uint32_t nx_rt_take_count(nx_rt_bytes *b);
nx_slice nx_rt_take(nx_rt_bytes *b, uint64_t n);
nx_slice nx_rt_take_sized(nx_rt_bytes *b); /* behind its length (u32): a name, a section's body */
nx_slice nx_rt_take_cstr(nx_rt_bytes *b);  /* up to its NUL, which is taken too */

nx_rt_bytes nx_rt_sections_of(nx_slice module);                               /* behind the head; bad where that is cut */
bool nx_rt_take_section(nx_rt_bytes *b, uint8_t *ret_id, nx_slice *ret_body); /* false: none is left, or b is bad */

nx_err nx_rt_put_uleb(nx_buf *out, uint64_t v);
#endif
