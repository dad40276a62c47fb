/* conn.c: the life of a connection: accept, input, requests one after the other, end. */
#include <stdlib.h>
#include <sys/socket.h>

#include "nx/log.h"
#include "server.h"

#define PENDING_STOP_BYTES (16u << 10) /* of the next requests of a pipeline; reading goes on when they are parsed */
#define PENDING_MAX_BYTES (256u << 10) /* one more read and what TLS makes of it always fit on top of PENDING_STOP_BYTES */
#define OUT_MAX_BYTES (2u << 20)       /* heads and small bodies; larger ones are lent, see nx_gw_tail */
#define ARENA_EXTRA_BYTES (4u << 20)   /* decoded attributes, a batch's events */
#define REFUSED_MAX 64u                /* connections over the limit that are told so; the others are just closed */

/* ---- begin */

static void release(nx_gw_conn *c)
{
    nx_gw_loop *l = c->loop;
    nx_gw_list *list = &l->phases[NX_GW_PHASE_CLOSING];

    if (c->prev)
        c->prev->next = c->next;
    else
        list->head = c->next;
    if (c->next)
        c->next->prev = c->prev;
    else
        list->tail = c->prev;
    l->n_conns--;
    if (c->is_refused)
        l->n_refused--;
    nx_gw_conn_drop_output(c);
    nx_gw_parser_done(&c->parser);
    nx_arena_done(&c->arena);
    nx_buf_done(&c->pending);
    nx_buf_done(&c->out);
    nx_buf_done(&c->sealed);
    nx_gw_tls_free(c->tls);
    free(c);
    nx_gw_loop_finish_if_empty(l);
}

static bool on_head(void *self)
{
    nx_gw_conn *c = self;
    NX_GW_COUNT(c->loop, requests_total, 1);
    c->loop->server->app->on_head(c);
    if (c->is_closing)
        return false;
    if (c->is_answered)
        return !c->must_close;
    if (c->parser.head.expects_continue && c->parser.head.content_length <= c->parser.body_max)
        nx_gw_conn_continue(c);
    return !c->is_closing;
}

static void on_spare_closed(uv_handle_t *h)
{
    nx_gw_loop *l = h->data;
    l->is_spare_busy = false;
    if (l->is_spare_wanted && l->is_listening)
        nx_gw_conn_accept(l);
}

/* A connection that is not taken up would stop the listener: take it and close it. */
static void drop_connection(nx_gw_loop *l)
{
    l->is_spare_wanted = l->is_spare_busy;
    if (l->is_spare_busy || uv_tcp_init(&l->uv, &l->spare) != 0)
        return;
    l->spare.data = l;
    l->is_spare_busy = true;
    (void)uv_accept((uv_stream_t *)&l->listener, (uv_stream_t *)&l->spare);
    uv_close((uv_handle_t *)&l->spare, on_spare_closed);
}

static nx_gw_conn *conn_new(nx_gw_loop *l)
{
    nx_gw_server *s = l->server;
    nx_gw_conn *c = calloc(1, sizeof *c);
    if (!c)
        return NULL;
    if (s->tls && !(c->tls = nx_gw_tls_new(s->tls))) {
        free(c);
        return NULL;
    }
    if (uv_tcp_init(&l->uv, &c->tcp) != 0) {
        nx_gw_tls_free(c->tls);
        free(c);
        return NULL;
    }
    c->tcp.data = c;
    c->loop = l;
    c->refs = 1;
    c->is_fresh = true;
    nx_gw_parser_init(&c->parser, &s->limits, on_head, c);
    /* An event's data may be there three times: as sent, decoded, as slices of both. */
    nx_arena_init(&c->arena, (size_t)s->limits.body_bytes * 2 + ARENA_EXTRA_BYTES);
    nx_buf_init(&c->pending, PENDING_MAX_BYTES);
    nx_buf_init(&c->out, OUT_MAX_BYTES);
    nx_buf_init(&c->sealed, PENDING_MAX_BYTES);
    c->phase = NX_GW_PHASE_CLOSING; /* in no list yet: linking it is the first set_phase() */
    c->phase_seq = UINT64_MAX;
    l->n_conns++;
    return c;
}

static void refuse_connection(nx_gw_conn *c)
{
    nx_gw_fault f;
    nx_gw_loop *l = c->loop;

    c->is_refused = true;
    l->n_refused++;
    NX_GW_COUNT(l, connections_refused, 1);
    if (c->tls || l->n_refused > REFUSED_MAX) {
        nx_gw_conn_close(c);
        return;
    }
    nx_gw_fault_set(&f, 503, NX_EBUSY, "too many connections");
    nx_gw_conn_refuse(c, &f, NX_SLICE_NULL);
    nx_gw_conn_settle(c);
}

void nx_gw_conn_accept(nx_gw_loop *l)
{
    nx_gw_server *s = l->server;
    nx_gw_conn *c = conn_new(l);

    if (!c) {
        drop_connection(l);
        return;
    }
    l->is_spare_wanted = false;
    nx_gw_conn_set_phase(c, c->tls ? NX_GW_PHASE_HANDSHAKE : NX_GW_PHASE_HEAD);
    nx_gw_loop_tick_on(l);
    if (uv_accept((uv_stream_t *)&l->listener, (uv_stream_t *)&c->tcp) != 0) {
        c->is_refused = true;
        l->n_refused++;
        nx_gw_conn_close(c);
        return;
    }
    (void)uv_tcp_nodelay(&c->tcp, 1);
    NX_GW_COUNT(l, connections_total, 1);
    if (atomic_fetch_add(&s->n_conns, 1) >= s->options.max_connections) {
        nx_gw_server_conn_ended(s);
        refuse_connection(c);
        return;
    }
    nx_gw_conn_settle(c);
}

/* ---- end */

static void on_closed(uv_handle_t *h)
{
    nx_gw_conn *c = h->data;
    if (--c->refs == 0)
        release(c);
}

void nx_gw_conn_close(nx_gw_conn *c)
{
    if (c->is_closing)
        return;
    c->is_closing = true;
    c->is_streaming = false;
    nx_gw_conn_set_phase(c, NX_GW_PHASE_CLOSING);
    if (!c->is_refused)
        nx_gw_server_conn_ended(c->loop->server);
    if (c->is_held) {
        NX_GW_COUNT(c->loop, aborted_total, 1);
        if (c->loop->server->app->on_gone(c)) {
            NX_GW_COUNT(c->loop, requests_in_flight, UINT64_MAX);
            c->is_held = false;
            c->refs--;
        }
    }
    uv_close((uv_handle_t *)&c->tcp, on_closed);
}

void nx_gw_conn_hold(nx_gw_conn *c)
{
    NX_GW_COUNT(c->loop, requests_in_flight, 1);
    c->is_held = true;
    c->refs++;
}

/* The last answer is out: end our side and wait a moment for the client to end its own. Closing at once would make the kernel answer late
 * bytes with a reset, which takes the answer away from a client that has not read it yet (RFC 9112 9.6). */
static void linger(nx_gw_conn *c)
{
    uv_os_fd_t fd;
    if (c->is_lingering)
        return;
    c->is_lingering = true;
    nx_buf_clear(&c->pending);
    if (c->tls) {
        nx_gw_tls_shutdown(c->tls);
        nx_gw_conn_flush(c);
    }
    if (c->is_closing)
        return;
    if (uv_fileno((uv_handle_t *)&c->tcp, &fd) != 0 || c->is_eof)
        nx_gw_conn_close(c);
    else if (!c->is_writing)
        (void)shutdown(fd, SHUT_WR);
}

static void end_request(nx_gw_conn *c)
{
    c->request = NULL;
    if (c->must_close) {
        linger(c);
        return;
    }
    nx_gw_parser_next(&c->parser);
    nx_arena_reset(&c->arena);
    c->is_answered = c->is_whole = c->is_fresh = false;
    c->request_seq++;
}

void nx_gw_conn_flushed(nx_gw_conn *c)
{
    if (c->is_streaming) {
        c->loop->server->app->on_drained(c);
        return;
    }
    if (!c->is_answered || c->is_held || c->is_lingering)
        return;
    if (c->is_whole)
        end_request(c);
    else if (c->must_close)
        linger(c);
}

void nx_gw_conn_unhold(nx_gw_conn *c)
{
    if (!c->is_held) /* the answer could not be sent: closing has ended the hold */
        return;
    NX_GW_COUNT(c->loop, requests_in_flight, UINT64_MAX);
    c->is_held = false;
    if (--c->refs == 0) {
        release(c);
        return;
    }
    if (c->is_closing)
        return;
    if (!nx_gw_conn_has_output(c))
        nx_gw_conn_flushed(c);
    nx_gw_conn_settle(c);
}

/* ---- input */

static bool can_parse(const nx_gw_conn *c)
{
    return !c->is_closing && !c->is_held && !c->is_writing && !c->is_lingering;
}

static void broken_request(nx_gw_conn *c)
{
    if (c->is_closing || c->is_lingering)
        return;
    c->must_close = true;
    if (!c->is_answered) {
        if (c->parser.fault.status != 413 && c->parser.fault.status != 503)
            NX_GW_COUNT(c->loop, malformed_total, 1);
        nx_gw_conn_refuse(c, &c->parser.fault, NX_SLICE_NULL);
    } else if (!nx_gw_conn_has_output(c)) {
        linger(c);
    }
}

static void whole_request(nx_gw_conn *c)
{
    c->is_whole = true;
    if (!c->is_answered)
        c->loop->server->app->on_request(c);
    else if (!nx_gw_conn_has_output(c) && !c->is_closing)
        end_request(c);
}

static void input(nx_gw_conn *c, const char *p, size_t n)
{
    while (n > 0 && !c->is_closing && !c->is_lingering) {
        size_t used = 0;
        if (!can_parse(c)) {
            if (nx_buf_append(&c->pending, p, n) != NX_OK)
                nx_gw_conn_close(c);
            return;
        }
        switch (nx_gw_parser_feed(&c->parser, p, n, &used)) {
        case NX_GW_PARSE_MORE: return;
        case NX_GW_PARSE_REQUEST: whole_request(c); break;
        case NX_GW_PARSE_FAULT: broken_request(c); return;
        }
        p += used;
        n -= used;
    }
}

/* What was received while an answer was awaited. */
static void input_pending(nx_gw_conn *c)
{
    while (c->pending.n > 0 && can_parse(c)) {
        nx_buf taken = c->pending;
        nx_buf_init(&c->pending, taken.max);
        c->in_input = true;
        input(c, taken.p, taken.n);
        c->in_input = false;
        if (c->pending.p) {
            nx_buf_done(&taken);
        } else {
            nx_buf_clear(&taken);
            c->pending = taken;
        }
    }
}

static void end_of_input(nx_gw_conn *c, bool is_clean)
{
    (void)uv_read_stop((uv_stream_t *)&c->tcp);
    c->is_reading = false;
    c->is_eof = true;
    if (!is_clean || c->is_lingering || (c->is_held && !c->loop->server->app->on_half_close(c)))
        nx_gw_conn_close(c);
}

static void tls_input(nx_gw_conn *c, const char *p, size_t n)
{
    size_t got;
    nx_gw_tls_result r = NX_GW_TLS_OK;

    if (!nx_gw_tls_input(c->tls, p, n)) {
        nx_gw_conn_close(c);
        return;
    }
    if (!nx_gw_tls_is_ready(c->tls))
        r = nx_gw_tls_handshake(c->tls);
    while (r == NX_GW_TLS_OK && !c->is_closing) {
        r = nx_gw_tls_read(c->tls, c->loop->plain_buf, sizeof c->loop->plain_buf, &got);
        if (r == NX_GW_TLS_OK)
            input(c, c->loop->plain_buf, got);
    }
    nx_gw_conn_flush(c); /* handshake messages, alerts */
    if (r == NX_GW_TLS_ERROR)
        nx_gw_conn_close(c);
    else if (r == NX_GW_TLS_EOF && !c->is_closing)
        end_of_input(c, true);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    nx_gw_conn *c = stream->data;
    if (n == 0 || c->is_closing)
        return;
    if (n < 0) {
        end_of_input(c, n == UV_EOF);
    } else {
        NX_GW_COUNT(c->loop, bytes_in, n);
        c->in_input = true;
        if (c->tls)
            tls_input(c, buf->base, (size_t)n);
        else
            input(c, buf->base, (size_t)n);
        c->in_input = false;
    }
    nx_gw_conn_settle(c);
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *ret)
{
    nx_gw_conn *c = h->data;
    (void)suggested;
    *ret = uv_buf_init(c->loop->read_buf, sizeof c->loop->read_buf);
}

static void set_reading(nx_gw_conn *c, bool is_wanted)
{
    if (is_wanted && !c->is_reading && uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read) != 0) {
        nx_gw_conn_close(c);
        return;
    }
    if (!is_wanted && c->is_reading)
        (void)uv_read_stop((uv_stream_t *)&c->tcp);
    c->is_reading = is_wanted;
}

static nx_gw_phase phase_of(const nx_gw_conn *c)
{
    if (c->tls && !nx_gw_tls_is_ready(c->tls))
        return NX_GW_PHASE_HANDSHAKE;
    if (c->is_writing)
        return NX_GW_PHASE_WRITE;
    if (c->is_lingering)
        return NX_GW_PHASE_LINGER;
    if (c->is_held)
        return NX_GW_PHASE_WAIT;
    if (c->parser.is_head_done)
        return NX_GW_PHASE_BODY;
    return c->parser.is_started || c->is_fresh ? NX_GW_PHASE_HEAD : NX_GW_PHASE_IDLE;
}

void nx_gw_conn_settle(nx_gw_conn *c)
{
    if (c->in_input || c->is_closing)
        return;
    input_pending(c);
    if (c->is_closing)
        return;
    if (c->is_lingering && !c->is_writing && c->is_eof) {
        nx_gw_conn_close(c);
        return;
    }
    if (c->is_eof && !c->is_held && !nx_gw_conn_has_output(c)) {
        nx_gw_conn_close(c); /* nothing more can come */
        return;
    }
    nx_gw_conn_set_phase(c, phase_of(c));
    set_reading(c, !c->is_eof && (c->is_lingering || c->pending.n <= PENDING_STOP_BYTES));
}
