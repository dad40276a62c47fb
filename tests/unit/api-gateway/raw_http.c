#include "raw_http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

void raw_open(raw_conn *c, const char *address)
{
    struct sockaddr_in sa = {.sin_family = AF_INET};
    const char *colon = strrchr(address, ':');
    const int on = 1;

    memset(c, 0, sizeof *c);
    nx_buf_init(&c->in, 64u << 20);
    if (!colon)
        abort();
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sa.sin_port = htons((uint16_t)atoi(colon + 1));
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&sa, sizeof sa) != 0) {
        perror("connect");
        abort();
    }
    (void)setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
}

void raw_open_tls(raw_conn *c, const char *address, SSL_CTX *ctx)
{
    raw_open(c, address);
    c->ssl = SSL_new(ctx);
    if (!c->ssl || SSL_set_fd(c->ssl, c->fd) != 1 || SSL_connect(c->ssl) != 1) {
        SSL_free(c->ssl);
        c->ssl = NULL;
        (void)close(c->fd);
        c->fd = -1;
    }
}

void raw_close(raw_conn *c)
{
    SSL_free(c->ssl);
    if (c->fd >= 0)
        (void)close(c->fd);
    nx_buf_done(&c->in);
}

bool raw_send(raw_conn *c, const void *p, size_t n)
{
    size_t done = 0;
    while (done < n) {
        ssize_t k = c->ssl ? SSL_write(c->ssl, (const char *)p + done, (int)(n - done))
                           : send(c->fd, (const char *)p + done, n - done, MSG_NOSIGNAL);
        if (k <= 0)
            return false;
        done += (size_t)k;
    }
    return true;
}

bool raw_puts(raw_conn *c, const char *text)
{
    return raw_send(c, text, strlen(text));
}

void raw_half_close(raw_conn *c)
{
    (void)shutdown(c->fd, SHUT_WR);
}

/* 1: bytes came; 0: closed; -1: time is up. */
static int receive(raw_conn *c)
{
    char tmp[16384];
    ssize_t n;
    struct pollfd p = {.fd = c->fd, .events = POLLIN};

    if (!(c->ssl && SSL_pending(c->ssl) > 0) && poll(&p, 1, RAW_TIMEOUT_MS) != 1)
        return -1;
    n = c->ssl ? SSL_read(c->ssl, tmp, sizeof tmp) : recv(c->fd, tmp, sizeof tmp, 0);
    if (n <= 0)
        return 0;
    if (nx_buf_append(&c->in, tmp, (size_t)n) != NX_OK)
        abort();
    return 1;
}

static void take(raw_conn *c, size_t n)
{
    memmove(c->in.p, c->in.p + n, c->in.n - n);
    c->in.n -= n;
}

static bool need(raw_conn *c, size_t n)
{
    while (c->in.n < n)
        if (receive(c) <= 0)
            return false;
    return true;
}

static size_t find(const nx_buf *b, const char *what)
{
    const char *at = b->n ? memmem(b->p, b->n, what, strlen(what)) : NULL;
    return at ? (size_t)(at - b->p) : SIZE_MAX;
}

static bool read_chunked(raw_conn *c, nx_buf *body)
{
    for (;;) {
        size_t line;
        while ((line = find(&c->in, "\r\n")) == SIZE_MAX)
            if (receive(c) <= 0)
                return false;
        size_t n = strtoul(c->in.p, NULL, 16);
        take(c, line + 2);
        if (!need(c, n + 2))
            return false;
        if (nx_buf_append(body, c->in.p, n) != NX_OK)
            abort();
        take(c, n + 2);
        if (n == 0)
            return true;
    }
}

bool raw_header(const raw_answer *a, const char *name, char *out, size_t size)
{
    size_t n = strlen(name);
    for (const char *line = strstr(a->head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, n) != 0 || line[n] != ':')
            continue;
        const char *v = line + n + 1 + strspn(line + n + 1, " ");
        (void)snprintf(out, size, "%.*s", (int)strcspn(v, "\r\n"), v);
        return true;
    }
    return false;
}

void raw_read(raw_conn *c, bool is_head_request, raw_answer *ret)
{
    char value[64];
    size_t end;
    nx_buf body = NX_BUF_INIT(64u << 20);
    bool is_whole = true;

    memset(ret, 0, sizeof *ret);
    while ((end = find(&c->in, "\r\n\r\n")) == SIZE_MAX) {
        int rc = receive(c);
        if (rc <= 0) {
            ret->is_closed = rc == 0;
            return;
        }
    }
    if (end >= sizeof ret->head)
        abort();
    memcpy(ret->head, c->in.p, end);
    if (sscanf(ret->head, "HTTP/1.1 %d ", &ret->status) != 1)
        abort();
    take(c, end + 4);
    bool has_body = !is_head_request && ret->status >= 200 && ret->status != 204 && ret->status != 304;
    if (has_body && raw_header(ret, "Content-Length", value, sizeof value)) {
        size_t n = strtoul(value, NULL, 10);
        is_whole = need(c, n);
        if (is_whole && nx_buf_append(&body, c->in.p, n) == NX_OK)
            take(c, n);
    } else if (has_body && raw_header(ret, "Transfer-Encoding", value, sizeof value)) {
        is_whole = read_chunked(c, &body);
    } else if (has_body) {
        while (receive(c) > 0)
            ;
        if (nx_buf_append(&body, c->in.p, c->in.n) != NX_OK)
            abort();
        take(c, c->in.n);
    }
    if (!is_whole) {
        ret->status = 0;
        ret->is_closed = true;
    }
    if (!nx_buf_cstr(&body))
        abort();
    nx_buf_take(&body, &ret->body, &ret->body_n);
}

bool raw_is_closed(raw_conn *c)
{
    int rc;
    if (c->in.n > 0)
        return false;
    while ((rc = receive(c)) > 0)
        return false;
    return rc == 0;
}

void raw_answer_done(raw_answer *a)
{
    free(a->body);
    a->body = NULL;
}

void raw_exchange(const char *address, const char *request, size_t n, raw_answer *ret)
{
    raw_conn c;
    raw_open(&c, address);
    (void)raw_send(&c, request, n);
    raw_read(&c, false, ret);
    raw_close(&c);
}
