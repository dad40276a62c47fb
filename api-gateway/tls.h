/* tls.h: TLS over memory: ciphertext in and out as bytes, so that libuv keeps the sockets. Adapts OpenSSL.
 * Ownership: a session belongs to its connection; a context is shared by all sessions of a server.
 * Threads:   context: any; session: its loop.
 * Errors:    NX_EINVAL and NX_ENOENT name the file and what is wrong with it. */
#ifndef NX_GW_TLS_H
#define NX_GW_TLS_H
#include "nx/buf.h"

typedef struct nx_gw_tls_ctx nx_gw_tls_ctx;
typedef struct nx_gw_tls nx_gw_tls;

typedef enum {
    NX_GW_TLS_OK,   /* bytes were moved, or the handshake is done */
    NX_GW_TLS_MORE, /* more ciphertext from the peer is needed */
    NX_GW_TLS_EOF,  /* the peer ended its side (close_notify) */
    NX_GW_TLS_ERROR /* give the connection up; what _output() still has (an alert) may be sent before */
} nx_gw_tls_result;

/* Certificate chain and key, both PEM. TLS 1.2 or later, ALPN http/1.1. Where the files change later, new sessions get what they hold then; a
 * session looks for that at most once a second. What can't be used is said once, and the certificate before it stays in use. */
nx_err nx_gw_tls_ctx_new(nx_slice cert_path, nx_slice key_path, nx_gw_tls_ctx **ret, nx_error *reterr);
void nx_gw_tls_ctx_free(nx_gw_tls_ctx *ctx);

nx_gw_tls *nx_gw_tls_new(nx_gw_tls_ctx *ctx); /* NULL: out of memory */
void nx_gw_tls_free(nx_gw_tls *t);
/* Ciphertext from the peer; false: out of memory. */
bool nx_gw_tls_input(nx_gw_tls *t, const char *p, size_t n);
bool nx_gw_tls_is_ready(const nx_gw_tls *t); /* the handshake is done */
nx_gw_tls_result nx_gw_tls_handshake(nx_gw_tls *t);
nx_gw_tls_result nx_gw_tls_read(nx_gw_tls *t, char *out, size_t size, size_t *ret_n);
nx_gw_tls_result nx_gw_tls_write(nx_gw_tls *t, const char *p, size_t n);
void nx_gw_tls_shutdown(nx_gw_tls *t); /* puts a close_notify into the output */
/* Appends all ciphertext that waits for the peer to out. NX_ENOMEM, NX_ELIMIT. */
nx_err nx_gw_tls_output(nx_gw_tls *t, nx_buf *out);
#endif
