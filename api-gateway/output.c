/* output.c: bytes to the client. A write is tried at once, without a request to libuv; only what the kernel does not take is queued. */
#include <stdlib.h>

#include "server.h"

#define SEAL_BYTES (64u << 10) /* plaintext that is encrypted at a time: bounds what TLS adds to a large answer */
#define KEEP_BYTES (32u << 10)

static size_t plain_left(const nx_gw_conn *c)
{
    return c->out.n - c->out_sent + c->tail.body.n - c->tail_sent;
}

bool nx_gw_conn_has_output(const nx_gw_conn *c)
{
    return c->is_writing || plain_left(c) > 0 || c->sealed.n > c->sealed_sent;
}

static void clear(nx_buf *b)
{
    size_t max = b->max;
    if (b->cap <= KEEP_BYTES) {
        nx_buf_clear(b);
        return;
    }
    nx_buf_done(b);
    nx_buf_init(b, max);
}

void nx_gw_conn_drop_output(nx_gw_conn *c)
{
    nx_gw_tail tail = c->tail;
    clear(&c->out);
    clear(&c->sealed);
    c->out_sent = c->sealed_sent = c->tail_sent = 0;
    c->tail = (nx_gw_tail){NX_SLICE_NULL, NULL, NULL};
    if (tail.release)
        tail.release(tail.self);
}

static unsigned plain_pieces(const nx_gw_conn *c, uv_buf_t bufs[2])
{
    unsigned n = 0;
    /* libuv's signature lacks the const; the bytes are only read. */
    if (c->out.n > c->out_sent)
        bufs[n++] = uv_buf_init(c->out.p + c->out_sent, (unsigned)(c->out.n - c->out_sent));
    if (c->tail.body.n > c->tail_sent)
        bufs[n++] = uv_buf_init((char *)(uintptr_t)c->tail.body.p + c->tail_sent, (unsigned)(c->tail.body.n - c->tail_sent));
    return n;
}

static void plain_taken(nx_gw_conn *c, size_t n)
{
    size_t head = c->out.n - c->out_sent;
    head = n < head ? n : head;
    c->out_sent += head;
    c->tail_sent += n - head;
}

/* Fills `sealed` when it is empty. False: out of memory, or TLS can't go on. */
static bool seal(nx_gw_conn *c)
{
    uv_buf_t bufs[2];
    if (c->sealed.n > c->sealed_sent)
        return true;
    clear(&c->sealed);
    c->sealed_sent = 0;
    if (nx_gw_tls_is_ready(c->tls)) {
        unsigned n = plain_pieces(c, bufs);
        for (unsigned i = 0; i < n && c->sealed.n < SEAL_BYTES; i++) {
            size_t take = bufs[i].len < SEAL_BYTES ? bufs[i].len : SEAL_BYTES;
            if (nx_gw_tls_write(c->tls, bufs[i].base, take) != NX_GW_TLS_OK ||
                nx_gw_tls_output(c->tls, &c->sealed) != NX_OK)
                return false;
            plain_taken(c, take);
            if (take < bufs[i].len)
                break;
        }
    }
    return nx_gw_tls_output(c->tls, &c->sealed) == NX_OK;
}

static unsigned next_pieces(nx_gw_conn *c, uv_buf_t bufs[2])
{
    if (!c->tls)
        return plain_pieces(c, bufs);
    if (c->sealed.n == c->sealed_sent)
        return 0;
    bufs[0] = uv_buf_init(c->sealed.p + c->sealed_sent, (unsigned)(c->sealed.n - c->sealed_sent));
    return 1;
}

static void taken(nx_gw_conn *c, size_t n)
{
    if (c->tls)
        c->sealed_sent += n;
    else
        plain_taken(c, n);
    c->bytes_written += n;
    NX_GW_COUNT(c->loop, bytes_out, n);
}

static void on_written(uv_write_t *write, int status)
{
    nx_gw_conn *c = write->data;
    c->is_writing = false;
    if (c->is_closing)
        return;
    if (status != 0) {
        nx_gw_conn_close(c);
        return;
    }
    nx_gw_conn_flush(c);
    nx_gw_conn_settle(c);
}

/* Hands everything that is left to libuv. */
static bool queue_rest(nx_gw_conn *c)
{
    uv_buf_t bufs[2];
    unsigned n = next_pieces(c, bufs);
    size_t bytes = 0;

    for (unsigned i = 0; i < n; i++)
        bytes += bufs[i].len;
    c->write.data = c;
    if (uv_write(&c->write, (uv_stream_t *)&c->tcp, bufs, n, on_written) != 0)
        return false;
    c->is_writing = true;
    taken(c, bytes);
    return true;
}

void nx_gw_conn_flush(nx_gw_conn *c)
{
    uv_buf_t bufs[2];

    if (c->is_closing || c->is_writing)
        return;
    for (;;) {
        if (c->tls && !seal(c)) {
            nx_gw_conn_close(c);
            return;
        }
        unsigned n = next_pieces(c, bufs);
        if (n == 0)
            break;
        int rc = uv_try_write((uv_stream_t *)&c->tcp, bufs, n);
        if (rc < 0 && rc != UV_EAGAIN) {
            nx_gw_conn_close(c);
            return;
        }
        if (rc > 0)
            taken(c, (size_t)rc);
        if (next_pieces(c, bufs) > 0) {
            if (!queue_rest(c))
                nx_gw_conn_close(c);
            return;
        }
    }
    if (plain_left(c) == 0) { /* with TLS an answer waits for the handshake */
        nx_gw_conn_drop_output(c);
        nx_gw_conn_flushed(c);
    }
}
