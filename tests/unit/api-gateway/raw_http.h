/* raw_http.h: a client for tests that sends exactly the bytes it is given, over TCP or TLS, and reads answers one by one.
 * Every wait is bounded by RAW_TIMEOUT_MS. */
#ifndef RAW_HTTP_H
#define RAW_HTTP_H
#include <openssl/ssl.h>

#include "nx/buf.h"

#define RAW_TIMEOUT_MS 5000

typedef struct raw_conn {
    int fd;
    SSL *ssl;
    nx_buf in; /* received, not yet taken */
} raw_conn;

typedef struct raw_answer {
    int status;      /* 0: none came (closed, or time was up: see is_closed) */
    bool is_closed;  /* the server closed before, or (after a whole answer) nothing is known */
    char head[8192]; /* NUL-terminated, without the empty line */
    char *body;      /* NUL-terminated; free with raw_answer_done() */
    size_t body_n;
} raw_answer;

void raw_open(raw_conn *c, const char *address);
void raw_open_tls(raw_conn *c, const char *address, SSL_CTX *ctx);
void raw_close(raw_conn *c);
bool raw_send(raw_conn *c, const void *p, size_t n); /* false: the server has closed */
bool raw_puts(raw_conn *c, const char *text);
void raw_half_close(raw_conn *c);
/* The next answer; 100 (Continue) counts as one. is_head_request: no body follows. */
void raw_read(raw_conn *c, bool is_head_request, raw_answer *ret);
/* Reads until the server closes; true when it does so in time and has sent nothing more. */
bool raw_is_closed(raw_conn *c);
void raw_answer_done(raw_answer *a);
/* Value of a field, into out; false: absent. */
bool raw_header(const raw_answer *a, const char *name, char *out, size_t size);
/* One connection, one request, one answer. */
void raw_exchange(const char *address, const char *request, size_t n, raw_answer *ret);
#endif
