/* nx/slice.h: a lent run of bytes, not NUL-terminated.
 * Ownership: a slice owns nothing; whoever lends it says how long it is valid.
 * Threads:   any. */
#ifndef NX_SLICE_H
#define NX_SLICE_H
#include "nx/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct nx_slice {
    const char *p; /* may be NULL when n is 0 */
    size_t n;      /* bytes */
} nx_slice;

#define NX_SLICE_NULL ((nx_slice){NULL, 0})
#define NX_SLICE(lit) ((nx_slice){"" lit, sizeof(lit) - 1})
/* For printf: printf("%.*s", NX_SLICE_FMT(s)). */
#define NX_SLICE_FMT(s) (int)((s).n > 0x7fffffff ? 0x7fffffff : (s).n), ((s).p ? (s).p : "")

typedef struct nx_kv {
    nx_slice key, value;
} nx_kv;

static inline nx_slice nx_slice_make(const void *p, size_t n) { return (nx_slice){(const char *)p, n}; }
static inline nx_slice nx_slice_cstr(const char *s) { return (nx_slice){s, s ? strlen(s) : 0}; }
static inline bool nx_slice_eq(nx_slice a, nx_slice b) { return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0); }
static inline bool nx_slice_eq_cstr(nx_slice a, const char *s) { return nx_slice_eq(a, nx_slice_cstr(s)); }
static inline bool nx_slice_empty(nx_slice a) { return a.n == 0; }
/* 32-bit FNV-1a, also of what follows on something hashed: for tables and shards, not against an adversary. */
static inline uint32_t nx_slice_hash_on(uint32_t h, nx_slice a)
{
    for (size_t i = 0; i < a.n; i++) h = (h ^ (unsigned char)a.p[i]) * 16777619u;
    return h;
}
static inline uint32_t nx_slice_hash(nx_slice a) { return nx_slice_hash_on(2166136261u, a); }
bool nx_slice_ieq(nx_slice a, nx_slice b); /* ASCII case-insensitive */
bool nx_slice_starts(nx_slice s, nx_slice prefix);
bool nx_slice_ends(nx_slice s, nx_slice suffix);
nx_slice nx_slice_trim(nx_slice s);                       /* without leading and trailing SP and HTAB */
nx_slice nx_slice_sub(nx_slice s, size_t from, size_t n); /* clamped to s */
/* Splits at the first `sep`; returns what stands before it and sets *rest to what follows (empty when there is none). */
nx_slice nx_slice_split(nx_slice s, char sep, nx_slice *rest);
/* Whole decimal number without sign, space or leading '+'. NX_EPARSE, NX_ELIMIT (over max). */
nx_err nx_slice_u64(nx_slice s, uint64_t max, uint64_t *ret);
bool nx_slice_is_utf8(nx_slice s); /* well-formed by RFC 3629 */
size_t nx_utf8_len(nx_slice s);    /* bytes (1..4) of the well-formed sequence that s begins with; 0: none */
/* Copies into dst with a NUL; NX_ELIMIT (dst untouched) when it does not fit or holds a NUL. */
nx_err nx_slice_to_cstr(nx_slice s, char *dst, size_t dst_bytes);
/* Heap copy with a NUL at the end; NULL when out of memory. Caller frees with free(). */
char *nx_slice_strdup(nx_slice s);
#endif
