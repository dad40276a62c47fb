/* digest.c: libcrypto's SHA-256 and ChaCha20, and randomness from the operating system.
 * The digest is fetched once per process and contexts are kept per thread, because a fetch and a context cost more than hashing an event. */
#include "nx/digest.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

static pthread_once_t crypto_once = PTHREAD_ONCE_INIT;
static EVP_MD *sha256_md;
static EVP_CIPHER *chacha20;
static pthread_key_t thread_ctx_key;
/* Used, under its lock, by a thread whose own context could not be allocated: a digest has no way to fail. */
static EVP_MD_CTX *shared_ctx;
static pthread_mutex_t shared_ctx_mu = PTHREAD_MUTEX_INITIALIZER;
static __thread EVP_MD_CTX *thread_ctx;
static atomic_uint fork_generation;

/* A process without a working libcrypto or getrandom cannot keep any promise of this header, so it ends before it accepts work. */
static _Noreturn void die(const char *what)
{
    (void)fprintf(stderr, "nexus: %s is not usable on this system\n", what);
    abort();
}

static void free_thread_ctx(void *ctx)
{
    EVP_MD_CTX_free(ctx);
    thread_ctx = NULL;
}

static void after_fork(void) { atomic_fetch_add(&fork_generation, 1); }

static void crypto_init(void)
{
    sha256_md = EVP_MD_fetch(NULL, "SHA2-256", NULL);
    chacha20 = EVP_CIPHER_fetch(NULL, "ChaCha20", NULL);
    shared_ctx = EVP_MD_CTX_new();
    if (!sha256_md || !chacha20 || !shared_ctx || EVP_DigestInit_ex2(shared_ctx, sha256_md, NULL) != 1 ||
        pthread_key_create(&thread_ctx_key, free_thread_ctx) != 0)
        die("libcrypto");
}

static EVP_MD_CTX *new_ctx(void)
{
    (void)pthread_once(&crypto_once, crypto_init);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    /* The first init allocates the digest's state. Later ones free it and allocate the same size at once, which cannot run out of memory. */
    if (ctx && EVP_DigestInit_ex2(ctx, sha256_md, NULL) != 1) {
        EVP_MD_CTX_free(ctx);
        ctx = NULL;
    }
    if (!ctx) ERR_clear_error(); /* TLS on this thread would take a left-over error for its own */
    return ctx;
}

static nx_sha256 hash_with(EVP_MD_CTX *ctx, const nx_slice *parts, size_t n)
{
    nx_sha256 d;
    bool is_good = EVP_DigestInit_ex2(ctx, NULL, NULL) == 1;
    for (size_t i = 0; i < n && is_good; i++) {
        if (i) is_good = EVP_DigestUpdate(ctx, "", 1) == 1; /* its NUL */
        is_good = is_good && EVP_DigestUpdate(ctx, parts[i].p, parts[i].n) == 1;
    }
    if (!is_good || EVP_DigestFinal_ex(ctx, d.b, NULL) != 1) die("SHA-256");
    return d;
}

nx_sha256 nx_sha256_of(nx_slice s) { return nx_sha256_of_parts(&s, 1); }

nx_sha256 nx_sha256_of_parts(const nx_slice *parts, size_t n)
{
    if (!thread_ctx) {
        thread_ctx = new_ctx();
        if (thread_ctx && pthread_setspecific(thread_ctx_key, thread_ctx) != 0) {
            EVP_MD_CTX_free(thread_ctx);
            thread_ctx = NULL;
        }
    }
    if (thread_ctx) return hash_with(thread_ctx, parts, n);
    (void)pthread_mutex_lock(&shared_ctx_mu);
    nx_sha256 d = hash_with(shared_ctx, parts, n);
    (void)pthread_mutex_unlock(&shared_ctx_mu);
    return d;
}

struct nx_sha256_ctx {
    EVP_MD_CTX *evp;
};

nx_sha256_ctx *nx_sha256_ctx_new(void)
{
    nx_sha256_ctx *c = malloc(sizeof *c);
    if (!c) return NULL;
    c->evp = new_ctx();
    if (!c->evp) {
        free(c);
        return NULL;
    }
    return c;
}

void nx_sha256_ctx_free(nx_sha256_ctx *c)
{
    if (!c) return;
    EVP_MD_CTX_free(c->evp);
    free(c);
}

void nx_sha256_ctx_begin(nx_sha256_ctx *c)
{
    if (EVP_DigestInit_ex2(c->evp, NULL, NULL) != 1) die("SHA-256");
}

void nx_sha256_ctx_add(nx_sha256_ctx *c, const void *p, size_t n)
{
    if (n && EVP_DigestUpdate(c->evp, p, n) != 1) die("SHA-256");
}

nx_sha256 nx_sha256_ctx_end(nx_sha256_ctx *c)
{
    nx_sha256 d;
    if (EVP_DigestFinal_ex(c->evp, d.b, NULL) != 1) die("SHA-256");
    return d;
}

void nx_sha256_hex(const nx_sha256 *d, char out[NX_SHA256_HEX + 1])
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < NX_SHA256_BYTES; i++) {
        out[2 * i] = digits[d->b[i] >> 4];
        out[2 * i + 1] = digits[d->b[i] & 15u];
    }
    out[NX_SHA256_HEX] = '\0';
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

nx_err nx_sha256_parse_hex(nx_slice s, nx_sha256 *ret)
{
    if (s.n != NX_SHA256_HEX) return NX_EPARSE;
    nx_sha256 d;
    for (size_t i = 0; i < NX_SHA256_BYTES; i++) {
        int hi = hex_value(s.p[2 * i]), lo = hex_value(s.p[2 * i + 1]);
        if (hi < 0 || lo < 0) return NX_EPARSE;
        d.b[i] = (uint8_t)(hi << 4 | lo);
    }
    *ret = d;
    return NX_OK;
}

struct nx_chacha {
    EVP_CIPHER_CTX *evp;
};

nx_chacha *nx_chacha_new(const uint8_t seed[32])
{
    (void)pthread_once(&crypto_once, crypto_init);
    static const uint8_t counter_and_nonce[16];
    nx_chacha *c = malloc(sizeof *c);
    if (!c) return NULL;
    c->evp = EVP_CIPHER_CTX_new();
    if (!c->evp || EVP_EncryptInit_ex2(c->evp, chacha20, seed, counter_and_nonce, NULL) != 1) {
        nx_chacha_free(c);
        ERR_clear_error();
        return NULL;
    }
    return c;
}

void nx_chacha_free(nx_chacha *c)
{
    if (!c) return;
    EVP_CIPHER_CTX_free(c->evp);
    free(c);
}

void nx_chacha_reseed(nx_chacha *c, const uint8_t seed[32])
{
    static const uint8_t counter_and_nonce[16];
    if (EVP_EncryptInit_ex2(c->evp, NULL, seed, counter_and_nonce, NULL) != 1) die("ChaCha20");
}

void nx_chacha_fill(nx_chacha *c, void *out, size_t n)
{
    unsigned char *p = out;
    while (n) {
        int piece = n > (1u << 30) ? 1 << 30 : (int)n, done = 0;
        memset(p, 0, (size_t)piece); /* the key stream is the encryption of zeros */
        if (EVP_EncryptUpdate(c->evp, p, &done, p, piece) != 1 || done != piece) die("ChaCha20");
        p += piece;
        n -= (size_t)piece;
    }
}

static void random_from_os(unsigned char *p, size_t n)
{
    while (n) {
        ssize_t got = getrandom(p, n, 0);
        if (got < 0) {
            if (errno == EINTR) continue;
            die("getrandom");
        }
        p += got;
        n -= (size_t)got;
    }
}

static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
static void watch_forks(void)
{
    if (pthread_atfork(NULL, NULL, after_fork) != 0) die("pthread_atfork");
}

#define RANDOM_POOL_BYTES 4096u
#define RANDOM_DIRECT_BYTES 256u /* requests from here on go to the system: one call is cheap for so many bytes */

void nx_random(void *out, size_t n)
{
    static __thread struct {
        unsigned generation; /* of forks, plus 1: a child must not hand out its parent's bytes again; 0 is "never filled" */
        unsigned left;
        unsigned char bytes[RANDOM_POOL_BYTES];
    } pool;
    if (n >= RANDOM_DIRECT_BYTES) {
        random_from_os(out, n);
        return;
    }
    unsigned generation = atomic_load_explicit(&fork_generation, memory_order_relaxed) + 1;
    if (pool.generation != generation || pool.left < n) {
        (void)pthread_once(&fork_once, watch_forks);
        random_from_os(pool.bytes, sizeof pool.bytes);
        pool.left = sizeof pool.bytes;
        pool.generation = generation;
    }
    unsigned char *from = pool.bytes + (sizeof pool.bytes - pool.left);
    memcpy(out, from, n);
    explicit_bzero(from, n); /* what was handed out must not be found here later */
    pool.left -= (unsigned)n;
}
