/* buf.c: growable byte buffer with a hard cap. */
#include "nx/buf.h"

#include <stdio.h>
#include <stdlib.h>

#define BUF_FIRST_BYTES 64u

void nx_buf_init(nx_buf *b, size_t max) { *b = (nx_buf)NX_BUF_INIT(max); }

void nx_buf_done(nx_buf *b)
{
    if (!b) return;
    free(b->p);
    b->p = NULL;
    b->n = b->cap = 0;
}

nx_err nx_buf_reserve(nx_buf *b, size_t more)
{
    if (more <= b->cap - b->n) return NX_OK;
    if (b->n > b->max || more > b->max - b->n) return NX_ELIMIT;
    size_t want = b->n + more;
    size_t cap = b->cap < BUF_FIRST_BYTES / 2 ? BUF_FIRST_BYTES : b->cap <= SIZE_MAX / 2 ? b->cap * 2
                                                                                         : SIZE_MAX;
    if (cap < want) cap = want;
    if (cap > b->max) cap = b->max;
    char *p = realloc(b->p, cap);
    if (!p) return NX_ENOMEM;
    b->p = p;
    b->cap = cap;
    return NX_OK;
}

nx_err nx_buf_append(nx_buf *b, const void *p, size_t n)
{
    if (n == 0) return NX_OK;
    if (n > b->cap - b->n) {
        nx_err err = nx_buf_reserve(b, n);
        if (err) return err;
    }
    memcpy(b->p + b->n, p, n);
    b->n += n;
    return NX_OK;
}

nx_err nx_buf_append_slice(nx_buf *b, nx_slice s) { return nx_buf_append(b, s.p, s.n); }
nx_err nx_buf_append_cstr(nx_buf *b, const char *s) { return nx_buf_append(b, s, strlen(s)); }

nx_err nx_buf_append_char(nx_buf *b, char c)
{
    if (b->n == b->cap) {
        nx_err err = nx_buf_reserve(b, 1);
        if (err) return err;
    }
    b->p[b->n++] = c;
    return NX_OK;
}

nx_err nx_buf_vprintf(nx_buf *b, const char *fmt, va_list ap)
{
    /* Through a stack buffer first: vsnprintf wants room for a NUL that the cap may not have. */
    char tmp[512];
    va_list again;
    va_copy(again, ap);
    int n = vsnprintf(tmp, sizeof tmp, fmt, ap);
    nx_err err = NX_OK;
    if (n < 0) {
        err = NX_EINVAL;
    } else if ((size_t)n < sizeof tmp) {
        err = nx_buf_append(b, tmp, (size_t)n);
    } else if (b->n > b->max || (size_t)n > b->max - b->n) {
        err = NX_ELIMIT;
    } else {
        char *big = malloc((size_t)n + 1);
        if (!big) {
            err = NX_ENOMEM;
        } else {
            (void)vsnprintf(big, (size_t)n + 1, fmt, again);
            err = nx_buf_append(b, big, (size_t)n);
            free(big);
        }
    }
    va_end(again);
    return err;
}

nx_err nx_buf_printf(nx_buf *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    nx_err err = nx_buf_vprintf(b, fmt, ap);
    va_end(ap);
    return err;
}

nx_err nx_buf_append_u64(nx_buf *b, uint64_t v)
{
    char tmp[20];
    size_t at = sizeof tmp;
    do {
        tmp[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    return nx_buf_append(b, tmp + at, sizeof tmp - at);
}

nx_err nx_buf_append_hex(nx_buf *b, const void *p, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    if (n > SIZE_MAX / 2) return NX_ELIMIT;
    nx_err err = nx_buf_reserve(b, n * 2);
    if (err) return err;
    const unsigned char *in = p;
    for (size_t i = 0; i < n; i++) {
        b->p[b->n++] = digits[in[i] >> 4];
        b->p[b->n++] = digits[in[i] & 15u];
    }
    return NX_OK;
}

void nx_buf_clear(nx_buf *b) { b->n = 0; }

const char *nx_buf_cstr(nx_buf *b)
{
    if (nx_buf_reserve(b, 1) != NX_OK) return NULL;
    b->p[b->n] = '\0';
    return b->p;
}

void nx_buf_take(nx_buf *b, char **ret, size_t *ret_n)
{
    *ret = b->p;
    *ret_n = b->n;
    b->p = NULL;
    b->n = b->cap = 0;
}
