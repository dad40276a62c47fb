/* nx/err.h: error codes and error detail.
 * Why:       one table (base/err.def) gives every error its text, HTTP status and exit code, so that it is mapped once.
 * Ownership: nx_error is caller's storage of fixed size; nothing is allocated.
 * Threads:   any; an nx_error belongs to one thread at a time.
 * Errors:    functions return nx_err (0 or negative); detail goes into an optional last parameter `reterr`. */
#ifndef NX_ERR_H
#define NX_ERR_H
#include <stdbool.h>
#include <stddef.h>

typedef int nx_err;

enum {
#define NX_ERR(sym, val, text, retry, http, exitc) sym = (val),
#include "../../err.def"
#undef NX_ERR
};

#define NX_ERROR_MSG_MAX 512

typedef struct nx_error {
    nx_err code;
    char msg[NX_ERROR_MSG_MAX]; /* NUL-terminated; cut when longer */
} nx_error;

#define NX_ERROR_INIT \
    {                 \
        0, { 0 }      \
    }

/* Sets code and message where reterr is not NULL; returns code, so `return nx_error_set(e, NX_EINVAL, "…")` works. */
nx_err nx_error_set(nx_error *reterr, nx_err code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
#ifdef __clang_analyzer__ /* which does not look into err.c, and would follow failures as if they were successes */
#define nx_error_set(reterr, code, ...) ((void)(nx_error_set)(reterr, code, __VA_ARGS__), (nx_err)(code))
#endif
/* Puts "prefix: " before the message that is there; returns the code that is there. */
nx_err nx_error_prefix(nx_error *reterr, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Maps an errno value (positive) to a code. */
nx_err nx_err_from_errno(int errno_value);

const char *nx_err_name(nx_err code); /* "NX_EINVAL" */
const char *nx_err_text(nx_err code); /* "invalid input"; never NULL */
bool nx_err_is_retryable(nx_err code);
int nx_err_http_status(nx_err code);
int nx_err_exit_code(nx_err code);

/* Scope-bound clean-up: NX_CLEANUP(nx_buf_done) nx_buf b = NX_BUF_INIT(n); */
#define NX_CLEANUP(fn) __attribute__((cleanup(fn)))
#define NX_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#endif
