/* admin_stream.c: what a handler writes, on its way through the loop to the client, with back-pressure; and the end of a call. */
#include <time.h>

#include "admin.h"
#include "nx/clock.h"

#define PIECE_BYTES (64u << 10)
#define POLL_MS 200u /* how soon a writer that waits for room sees that the node stops */

bool nx_gw_call_is_canceled(nx_gw_call *call)
{
    return atomic_load(&call->is_gone) || atomic_load(&call->admin->is_stopping);
}

/* ---- the handler's thread */

static bool wait_for_room_locked(nx_gw_call *call)
{
    while (call->queue.n >= NX_GW_STREAM_QUEUE_BYTES && !nx_gw_call_is_canceled(call)) {
        uint64_t until_ns = nx_clock_ns() + POLL_MS * NX_NS_PER_MS;
        struct timespec ts = {(time_t)(until_ns / NX_NS_PER_S), (long)(until_ns % NX_NS_PER_S)};
        (void)pthread_cond_timedwait(&call->has_room, &call->mu, &ts);
    }
    return !nx_gw_call_is_canceled(call);
}

static void post_piece_locked(nx_gw_call *call)
{
    if (call->is_piece_posted)
        return;
    call->is_piece_posted = true;
    nx_gw_loop_post(call->conn->loop, &call->piece.mail);
}

nx_err nx_gw_resp_write(nx_gw_resp *r, nx_slice s)
{
    nx_gw_call *call = r->call;
    nx_err err = NX_OK;

    if (!call->has_sync)
        return NX_EINVAL; /* a handler on the loop can't wait for the client */
    r->has_begun = true;
    (void)pthread_mutex_lock(&call->mu);
    do {
        size_t take = s.n < PIECE_BYTES ? s.n : PIECE_BYTES;
        if (!wait_for_room_locked(call))
            err = NX_ECLOSED;
        else if (take > 0)
            err = nx_buf_append(&call->queue, s.p, take);
        if (err == NX_OK)
            post_piece_locked(call);
        s = nx_slice_sub(s, take, s.n);
    } while (err == NX_OK && s.n > 0);
    (void)pthread_mutex_unlock(&call->mu);
    return err;
}

/* ---- the loop */

static void free_body(void *self)
{
    nx_buf_done(self);
}

nx_gw_reply nx_gw_call_reply(nx_gw_call *call)
{
    nx_gw_resp *resp = &call->resp;
    return (nx_gw_reply){.status = resp->status,
                         .content_type = nx_slice_cstr(resp->content_type),
                         .headers = nx_buf_view(&resp->headers),
                         .body = nx_buf_view(&resp->body),
                         .release = free_body,
                         .release_self = &resp->body};
}

void nx_gw_call_end(nx_gw_call *call)
{
    if (!call->conn->request)
        return;
    call->conn->request = NULL;
    nx_buf_done(&call->queue);
    nx_buf_done(&call->resp.headers);
    /* The body is freed when it has been sent; where it never was to be, here. */
    if (call->conn->tail.self != &call->resp.body)
        nx_buf_done(&call->resp.body);
    if (call->has_sync) {
        (void)pthread_cond_destroy(&call->has_room);
        (void)pthread_mutex_destroy(&call->mu);
    }
}

/* Takes what is queued; the handler may go on writing meanwhile. */
static nx_buf take_queue(nx_gw_call *call)
{
    (void)pthread_mutex_lock(&call->mu);
    nx_buf taken = call->queue;
    nx_buf_init(&call->queue, taken.max);
    (void)pthread_cond_signal(&call->has_room);
    (void)pthread_mutex_unlock(&call->mu);
    return taken;
}

static void finish_stream(nx_gw_call *call)
{
    nx_gw_conn *c = call->conn;
    nx_err err = call->err;

    if (err != NX_OK) {
        nx_gw_conn_close(c); /* no last chunk: the client sees that something is missing */
        return;
    }
    nx_gw_conn_stream_end(c);
    if (!c->is_held)
        return;
    nx_gw_call_end(call);
    nx_gw_conn_unhold(c);
}

void nx_gw_call_piece_arrived(nx_gw_call *call)
{
    (void)pthread_mutex_lock(&call->mu);
    call->is_piece_posted = false; /* only now: a mail must not be posted while it is still in a list */
    (void)pthread_mutex_unlock(&call->mu);
    nx_gw_call_pump(call);
}

void nx_gw_call_pump(nx_gw_call *call)
{
    nx_gw_conn *c = call->conn;
    bool is_empty = false;

    if (call->is_pumping || c->is_closing)
        return;
    call->is_pumping = true; /* sending calls on_drained(), which comes here again */
    if (!call->is_head_sent) {
        nx_gw_reply r = nx_gw_call_reply(call);
        call->is_head_sent = true;
        r.release = NULL;
        r.body = NX_SLICE_NULL;
        nx_gw_conn_stream_begin(c, &r);
    }
    while (!is_empty && !c->is_closing && !nx_gw_conn_has_output(c)) {
        NX_CLEANUP(nx_buf_done)
        nx_buf taken = take_queue(call);
        is_empty = taken.n == 0;
        nx_gw_conn_stream_piece(c, nx_buf_view(&taken));
    }
    call->is_pumping = false;
    if (is_empty && call->is_finished && !c->is_closing)
        finish_stream(call);
}
