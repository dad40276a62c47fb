/* nx/buf.h: growable byte buffer with a hard cap.
 * Why:       nothing that comes from outside may grow past its configured limit.
 * Ownership: nx_buf owns its bytes; nx_buf_view() lends a slice, valid until the next append.
 * Threads:   one owner thread.
 * Errors:    NX_ENOMEM, NX_ELIMIT; on failure the buffer is unchanged. */
#ifndef NX_BUF_H
#define NX_BUF_H
#include "nx/slice.h"
#include <stdarg.h>

typedef struct nx_buf {
    char *p;
    size_t n, cap;
    size_t max; /* hard cap in bytes; appends past it are NX_ELIMIT */
} nx_buf;

#define NX_BUF_INIT(max_bytes)  \
    {                           \
        NULL, 0, 0, (max_bytes) \
    }

void nx_buf_init(nx_buf *b, size_t max);
void nx_buf_done(nx_buf *b); /* accepts a zeroed or done buffer */
nx_err nx_buf_reserve(nx_buf *b, size_t more);
nx_err nx_buf_append(nx_buf *b, const void *p, size_t n);
nx_err nx_buf_append_slice(nx_buf *b, nx_slice s);
nx_err nx_buf_append_cstr(nx_buf *b, const char *s);
nx_err nx_buf_append_char(nx_buf *b, char c);
nx_err nx_buf_printf(nx_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
nx_err nx_buf_vprintf(nx_buf *b, const char *fmt, va_list ap) __attribute__((format(printf, 2, 0)));
nx_err nx_buf_append_u64(nx_buf *b, uint64_t v);              /* decimal */
nx_err nx_buf_append_hex(nx_buf *b, const void *p, size_t n); /* lower case */
void nx_buf_clear(nx_buf *b);                                 /* keeps the memory */
static inline nx_slice nx_buf_view(const nx_buf *b) { return nx_slice_make(b->p, b->n); }
/* NUL-terminated view (the NUL is not counted in n); NULL when out of memory or at the cap. */
const char *nx_buf_cstr(nx_buf *b);
/* Moves the bytes out; the caller frees *ret with free(); b is empty afterwards. */
void nx_buf_take(nx_buf *b, char **ret, size_t *ret_n);
#endif
