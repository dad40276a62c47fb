#include "tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nx/clock.h"
#include "nx/log.h"

#define LOOK_EVERY_NS NX_NS_PER_S

/* What tells that a file was written or replaced. */
typedef struct file_mark {
    uint64_t inode, bytes, changed_ns;
} file_mark;

struct nx_gw_tls_ctx {
    char cert[4096], key[4096];
    _Atomic uint64_t looked_ns; /* when a session last looked at the files */
    pthread_mutex_t mu;
    SSL_CTX *ssl;      /* under mu; sessions hold references of their own */
    file_mark seen[2]; /* under mu: of certificate and key as they were read, or refused */
};

struct nx_gw_tls {
    SSL *ssl;
    BIO *in, *out; /* owned by ssl */
};

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_n, const unsigned char *in,
                       unsigned in_n, void *self)
{
    static const unsigned char ours[] = "\x08http/1.1";
    (void)ssl;
    (void)self;
    /* The result points into `in` or `ours`, both of which outlive the callback; OpenSSL's signature lacks the const. */
    if (SSL_select_next_proto((unsigned char **)(uintptr_t)out, out_n, ours, sizeof ours - 1, in, in_n) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    return SSL_TLSEXT_ERR_OK;
}

/* An encrypted key must be an error, not a question on the terminal.
 * NOLINTNEXTLINE(readability-non-const-parameter): OpenSSL's signature */
static int no_password(char *buf, int size, int is_writing, void *self)
{
    (void)buf;
    (void)size;
    (void)is_writing;
    (void)self;
    return 0;
}

static nx_err file_error(const char *what, const char *path, nx_error *reterr)
{
    unsigned long code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    int saved = 0;

    if (access(path, R_OK) != 0)
        saved = errno;
    ERR_clear_error();
    if (saved)
        return nx_error_set(reterr, nx_err_from_errno(saved), "%s %s: %s", what, path, strerror(saved));
    return nx_error_set(reterr, NX_EINVAL, "%s %s: %s", what, path, reason ? reason : "not a usable PEM file");
}

static nx_err load(const char *cert, const char *key, SSL_CTX **ret, nx_error *reterr)
{
    nx_err err = NX_OK;
    SSL_CTX *ssl = SSL_CTX_new(TLS_server_method());

    if (!ssl)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    ERR_clear_error();
    SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_CIPHER_SERVER_PREFERENCE);
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_alpn_select_cb(ssl, select_alpn, NULL);
    SSL_CTX_set_default_passwd_cb(ssl, no_password);
    if (SSL_CTX_use_certificate_chain_file(ssl, cert) != 1) {
        err = file_error("TLS certificate", cert, reterr);
    } else if (SSL_CTX_use_PrivateKey_file(ssl, key, SSL_FILETYPE_PEM) != 1) {
        bool is_other = ERR_GET_REASON(ERR_peek_last_error()) == X509_R_KEY_VALUES_MISMATCH;
        err = file_error("TLS key", key, reterr);
        if (is_other)
            err = nx_error_set(reterr, NX_EINVAL, "TLS key %s does not belong to the certificate %s", key, cert);
    }
    if (err != NX_OK)
        SSL_CTX_free(ssl);
    else
        *ret = ssl;
    return err;
}

static void mark_files(const nx_gw_tls_ctx *ctx, file_mark out[2])
{
    const char *const paths[] = {ctx->cert, ctx->key};

    memset(out, 0, 2 * sizeof *out);
    for (size_t i = 0; i < 2; i++) {
        struct stat st;
        if (stat(paths[i], &st) == 0)
            out[i] = (file_mark){(uint64_t)st.st_ino, (uint64_t)st.st_size,
                                 (uint64_t)st.st_mtim.tv_sec * NX_NS_PER_S + (uint64_t)st.st_mtim.tv_nsec};
    }
}

nx_err nx_gw_tls_ctx_new(nx_slice cert_path, nx_slice key_path, nx_gw_tls_ctx **ret, nx_error *reterr)
{
    nx_gw_tls_ctx *c = calloc(1, sizeof *c);
    nx_err err;

    if (!c)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    (void)pthread_mutex_init(&c->mu, NULL);
    if (nx_slice_to_cstr(cert_path, c->cert, sizeof c->cert) != NX_OK || nx_slice_to_cstr(key_path, c->key, sizeof c->key) != NX_OK)
        err = nx_error_set(reterr, NX_EINVAL, "the path of the TLS certificate or key is too long");
    else if (!c->cert[0] || !c->key[0])
        err = nx_error_set(reterr, NX_EINVAL, "TLS needs both a certificate and a key: the %s is missing", c->cert[0] ? "key" : "certificate");
    else {
        mark_files(c, c->seen); /* before they are read: what is written meanwhile is seen as a change */
        err = load(c->cert, c->key, &c->ssl, reterr);
    }
    if (err != NX_OK) {
        nx_gw_tls_ctx_free(c);
        return err;
    }
    atomic_store(&c->looked_ns, nx_clock_ns());
    *ret = c;
    return NX_OK;
}

void nx_gw_tls_ctx_free(nx_gw_tls_ctx *ctx)
{
    if (!ctx)
        return;
    SSL_CTX_free(ctx->ssl);
    (void)pthread_mutex_destroy(&ctx->mu);
    free(ctx);
}

/* Certificate and key are two files: the one may be new while the other is not yet, which is an error until it is too. */
static void refresh(nx_gw_tls_ctx *ctx)
{
    uint64_t now_ns = nx_clock_ns(), looked_ns = atomic_load(&ctx->looked_ns);
    file_mark is[2];
    SSL_CTX *fresh = NULL;
    nx_error e = NX_ERROR_INIT;

    if (now_ns - looked_ns < LOOK_EVERY_NS || !atomic_compare_exchange_strong(&ctx->looked_ns, &looked_ns, now_ns))
        return;
    mark_files(ctx, is);
    (void)pthread_mutex_lock(&ctx->mu);
    bool is_same = memcmp(is, ctx->seen, sizeof is) == 0;
    memcpy(ctx->seen, is, sizeof is);
    (void)pthread_mutex_unlock(&ctx->mu);
    if (is_same)
        return;
    if (load(ctx->cert, ctx->key, &fresh, &e) != NX_OK) {
        nx_log(NX_LOG_WARN, "gateway.certificate_refused", "%s; the certificate before it stays in use", e.msg);
        return;
    }
    (void)pthread_mutex_lock(&ctx->mu);
    SSL_CTX *old = ctx->ssl;
    ctx->ssl = fresh;
    (void)pthread_mutex_unlock(&ctx->mu);
    SSL_CTX_free(old);
    nx_log(NX_LOG_INFO, "gateway.certificate", "new connections get the new certificate of %s", ctx->cert);
}

nx_gw_tls *nx_gw_tls_new(nx_gw_tls_ctx *ctx)
{
    nx_gw_tls *t = calloc(1, sizeof *t);
    if (!t)
        return NULL;
    refresh(ctx);
    (void)pthread_mutex_lock(&ctx->mu);
    t->ssl = SSL_new(ctx->ssl); /* which keeps what it needs of it */
    (void)pthread_mutex_unlock(&ctx->mu);
    t->in = BIO_new(BIO_s_mem());
    t->out = BIO_new(BIO_s_mem());
    if (!t->ssl || !t->in || !t->out) {
        BIO_free(t->in);
        BIO_free(t->out);
        SSL_free(t->ssl);
        free(t);
        return NULL;
    }
    SSL_set_bio(t->ssl, t->in, t->out);
    SSL_set_accept_state(t->ssl);
    return t;
}

void nx_gw_tls_free(nx_gw_tls *t)
{
    if (!t)
        return;
    SSL_free(t->ssl);
    free(t);
}

bool nx_gw_tls_input(nx_gw_tls *t, const char *p, size_t n)
{
    size_t written;
    return BIO_write_ex(t->in, p, n, &written) == 1 && written == n;
}

bool nx_gw_tls_is_ready(const nx_gw_tls *t)
{
    return SSL_is_init_finished(t->ssl);
}

static nx_gw_tls_result result_of(nx_gw_tls *t, int rc)
{
    int code = SSL_get_error(t->ssl, rc);
    ERR_clear_error(); /* the queue is per thread: what is left here would be blamed on the next session */
    if (code == SSL_ERROR_WANT_READ || code == SSL_ERROR_WANT_WRITE)
        return NX_GW_TLS_MORE;
    return code == SSL_ERROR_ZERO_RETURN ? NX_GW_TLS_EOF : NX_GW_TLS_ERROR;
}

nx_gw_tls_result nx_gw_tls_handshake(nx_gw_tls *t)
{
    int rc = SSL_do_handshake(t->ssl);
    return rc == 1 ? NX_GW_TLS_OK : result_of(t, rc);
}

nx_gw_tls_result nx_gw_tls_read(nx_gw_tls *t, char *out, size_t size, size_t *ret_n)
{
    size_t n = 0;
    int rc = SSL_read_ex(t->ssl, out, size, &n);
    if (rc != 1)
        return result_of(t, rc);
    *ret_n = n;
    return NX_GW_TLS_OK;
}

nx_gw_tls_result nx_gw_tls_write(nx_gw_tls *t, const char *p, size_t n)
{
    size_t written = 0;
    if (n == 0)
        return NX_GW_TLS_OK;
    /* A memory BIO takes everything, so there are no partial writes. */
    int rc = SSL_write_ex(t->ssl, p, n, &written);
    return rc == 1 && written == n ? NX_GW_TLS_OK : NX_GW_TLS_ERROR;
}

void nx_gw_tls_shutdown(nx_gw_tls *t)
{
    if (SSL_is_init_finished(t->ssl))
        SSL_shutdown(t->ssl);
    ERR_clear_error();
}

nx_err nx_gw_tls_output(nx_gw_tls *t, nx_buf *out)
{
    char *p = NULL;
    long n = BIO_get_mem_data(t->out, &p);
    if (n <= 0)
        return NX_OK;
    nx_err err = nx_buf_append(out, p, (size_t)n);
    if (err == NX_OK)
        (void)BIO_reset(t->out);
    return err;
}
