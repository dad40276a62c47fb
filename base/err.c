/* err.c: the table of errors, and error detail in fixed storage. */
#include "nx/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

typedef struct err_row {
    const char *name, *text;
    nx_err code;
    int http_status, exit_code;
    bool is_retryable;
} err_row;

static const err_row table[] = {
#define NX_ERR(sym, val, text, retry, http, exitc) {#sym, (text), (val), (http), (exitc), (retry) != 0},
#include "err.def"
#undef NX_ERR
};

/* The table is dense and in order, which a unit test proves; anything else is our own bug and reads as NX_EBUG. */
static const err_row *row_of(nx_err code)
{
    size_t i = code <= 0 ? (size_t)(-(long)code) : NX_ARRAY_LEN(table);
    if (i >= NX_ARRAY_LEN(table) || table[i].code != code) i = (size_t)(-(long)NX_EBUG);
    return &table[i];
}

/* A message that was cut in the middle of a UTF-8 sequence loses the broken rest. */
static void trim_partial_utf8(char *s, size_t n)
{
    size_t back = 0;
    while (back < 3 && back < n && ((unsigned char)s[n - 1 - back] & 0xC0u) == 0x80u) back++;
    if (back >= n) return;
    unsigned char lead = (unsigned char)s[n - 1 - back];
    size_t need = lead >= 0xF0u ? 4 : lead >= 0xE0u ? 3
                                  : lead >= 0xC0u   ? 2
                                                    : 1;
    if (need > back + 1) s[n - 1 - back] = '\0';
}

nx_err(nx_error_set)(nx_error *reterr, nx_err code, const char *fmt, ...)
{
    if (!reterr) return code;
    /* Formatted aside: the arguments may point into the message that is replaced. */
    char tmp[NX_ERROR_MSG_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(tmp, sizeof tmp, fmt, ap);
    va_end(ap);
    if (n < 0) tmp[0] = '\0';
    if (n >= (int)sizeof tmp) trim_partial_utf8(tmp, sizeof tmp - 1);
    memcpy(reterr->msg, tmp, strlen(tmp) + 1);
    reterr->code = code;
    return code;
}

nx_err nx_error_prefix(nx_error *reterr, const char *fmt, ...)
{
    if (!reterr) return NX_OK;
    char tmp[NX_ERROR_MSG_MAX];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(tmp, sizeof tmp, fmt, ap);
    va_end(ap);
    if (n < 0) return reterr->code;
    size_t at = (size_t)n < sizeof tmp ? (size_t)n : sizeof tmp - 1;
    int m = snprintf(tmp + at, sizeof tmp - at, ": %s", reterr->msg);
    if (m < 0) return reterr->code;
    if ((size_t)m >= sizeof tmp - at) trim_partial_utf8(tmp, sizeof tmp - 1);
    memcpy(reterr->msg, tmp, strlen(tmp) + 1);
    return reterr->code;
}

nx_err nx_err_from_errno(int errno_value)
{
    switch (errno_value) {
    case 0: return NX_OK;
    case ENOMEM: return NX_ENOMEM;
    case EINVAL:
    case ENAMETOOLONG:
    case ENOTDIR:
    case EISDIR:
    case ELOOP: return NX_EINVAL;
    case ENOENT:
    case ESRCH:
    case ENXIO: return NX_ENOENT;
    case EEXIST: return NX_EEXIST;
    case ENOTEMPTY:
    case EADDRINUSE:
    case ETXTBSY: return NX_ECONFLICT;
    case EACCES:
    case EPERM:
    case EROFS: return NX_EDENIED;
    case EAGAIN:
    case EBUSY:
    case EMFILE:
    case ENFILE: return NX_EBUSY;
    case ETIMEDOUT: return NX_ETIMEOUT;
    case EPIPE:
    case ECONNRESET:
    case ECONNABORTED:
    case ESHUTDOWN: return NX_ECLOSED;
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENETDOWN: return NX_EUNAVAIL;
    case E2BIG:
    case EFBIG:
    case ERANGE:
    case EOVERFLOW:
    case EMSGSIZE: return NX_ELIMIT;
    case ENOSYS:
    case EOPNOTSUPP:
    case EAFNOSUPPORT: return NX_ENOTSUP;
    case ECANCELED: return NX_ECANCELED;
    default: return NX_EIO;
    }
}

const char *nx_err_name(nx_err code) { return row_of(code)->name; }
const char *nx_err_text(nx_err code) { return row_of(code)->text; }
bool nx_err_is_retryable(nx_err code) { return row_of(code)->is_retryable; }
int nx_err_http_status(nx_err code) { return row_of(code)->http_status; }
int nx_err_exit_code(nx_err code) { return row_of(code)->exit_code; }
