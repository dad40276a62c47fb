/* reply.c: answers: status line, header fields, problem details, chunked streams. */
#include <stdio.h>
#include <time.h>

#include "nx/json.h"
#include "server.h"

#define SKIP_BYTES (64u << 10) /* of a refused request's body; a connection with more to come is cheaper to open anew */

nx_slice nx_gw_loop_date(nx_gw_loop *l)
{
    uint64_t now_ms = uv_now(&l->uv);
    if (now_ms >= l->date_until_ms) {
        static const char days[] = "SunMonTueWedThuFriSat", months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
        struct tm tm;
        time_t now = time(NULL);
        (void)gmtime_r(&now, &tm); /* by hand: strftime() would speak the locale's language */
        (void)snprintf(l->date, sizeof l->date, "Date: %.3s, %02u %.3s %04u %02u:%02u:%02u GMT\r\n", days + 3 * tm.tm_wday,
                       (unsigned)tm.tm_mday % 100, months + 3 * tm.tm_mon, (unsigned)(tm.tm_year + 1900) % 10000,
                       (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
        l->date_until_ms = now_ms + 1000;
    }
    return nx_slice_cstr(l->date);
}

/* Whether the rest of a request that is answered already can be read and dropped, so that the connection stays usable. */
static bool can_skip_rest(const nx_gw_conn *c)
{
    const nx_gw_head *h = &c->parser.head;
    return c->parser.is_head_done && !h->expects_continue && h->content_length <= SKIP_BYTES;
}

static void decide_close(nx_gw_conn *c, bool must_close)
{
    c->must_close = must_close || !c->parser.is_keep_alive || c->loop->is_draining || c->parser.fault.status != 0;
    if (!c->is_whole && !c->must_close) {
        c->must_close = !can_skip_rest(c);
        c->parser.is_discarding = true;
        c->parser.body_max = SKIP_BYTES;
    }
}

static nx_err append_field(nx_buf *b, const char *name, nx_slice value)
{
    nx_err err = nx_buf_append_cstr(b, name);
    if (err == NX_OK)
        err = nx_buf_append_slice(b, value);
    return err == NX_OK ? nx_buf_append(b, "\r\n", 2) : err;
}

static nx_err append_head(nx_gw_conn *c, const nx_gw_reply *r, bool has_length)
{
    nx_buf *b = &c->out;
    char text[64];
    nx_err err;

    (void)snprintf(text, sizeof text, "HTTP/1.1 %d %.40s\r\n", r->status, nx_gw_status_text(r->status));
    err = nx_buf_reserve(b, 512 + r->headers.n + (r->release ? 0 : r->body.n));
    if (err == NX_OK)
        err = nx_buf_append_cstr(b, text);
    if (err == NX_OK)
        err = nx_buf_append_slice(b, nx_gw_loop_date(c->loop));
    if (err == NX_OK && r->content_type.n > 0)
        err = append_field(b, "Content-Type: ", r->content_type);
    if (err == NX_OK && has_length) {
        err = nx_buf_append_cstr(b, "Content-Length: ");
        if (err == NX_OK)
            err = nx_buf_append_u64(b, r->body.n);
        if (err == NX_OK)
            err = nx_buf_append(b, "\r\n", 2);
    }
    if (err == NX_OK && r->retry_after_s > 0)
        err = nx_buf_printf(b, "Retry-After: %u\r\n", r->retry_after_s);
    if (err == NX_OK && c->must_close)
        err = nx_buf_append_cstr(b, "Connection: close\r\n");
    else if (err == NX_OK && c->parser.head.minor == 0)
        err = nx_buf_append_cstr(b, "Connection: keep-alive\r\n");
    if (err == NX_OK)
        err = nx_buf_append_slice(b, r->headers);
    return err;
}

static bool has_no_body(int status)
{
    return status == 204 || status == 304 || status < 200;
}

void nx_gw_conn_reply(nx_gw_conn *c, const nx_gw_reply *r)
{
    bool is_head = nx_slice_eq_cstr(c->parser.head.method, "HEAD");
    bool sends_body = !is_head && !has_no_body(r->status) && r->body.n > 0;

    if (c->is_closing || c->is_answered) {
        if (r->release)
            r->release(r->release_self);
        return;
    }
    c->is_answered = true;
    decide_close(c, r->must_close);
    if (r->status >= 100 && r->status < 600)
        nx_gw_stat_add(c->loop, NX_GW_STAT_INDEX(responses) + (size_t)r->status / 100, 1);
    nx_err err = append_head(c, r, !has_no_body(r->status));
    if (err == NX_OK)
        err = nx_buf_append(&c->out, "\r\n", 2);
    if (err == NX_OK && sends_body && !r->release)
        err = nx_buf_append_slice(&c->out, r->body);
    if (r->release) {
        c->tail = (nx_gw_tail){sends_body && err == NX_OK ? r->body : NX_SLICE_NULL, r->release, r->release_self};
        c->tail_sent = 0;
    }
    if (err == NX_OK)
        nx_gw_conn_flush(c);
    else
        nx_gw_conn_close(c);
}

nx_err nx_gw_problem_json(const nx_gw_fault *f, nx_buf *out)
{
    nx_jw w = NX_JW_INIT(out);
    nx_jw_object(&w);
    nx_jw_kcstr(&w, "type", "about:blank");
    nx_jw_kcstr(&w, "title", nx_gw_status_text(f->status));
    nx_jw_ku64(&w, "status", (uint64_t)f->status);
    nx_jw_kcstr(&w, "detail", f->e.msg);
    nx_jw_kcstr(&w, "code", nx_err_name(f->e.code));
    nx_jw_object_end(&w);
    return nx_jw_err(&w);
}

void nx_gw_conn_refuse(nx_gw_conn *c, const nx_gw_fault *f, nx_slice extra)
{
    nx_gw_reply r = {.status = f->status, .content_type = NX_SLICE("application/problem+json"), .headers = extra};
    nx_buf *body = &c->loop->scratch;

    nx_buf_clear(body);
    if (nx_gw_problem_json(f, body) == NX_OK)
        r.body = nx_buf_view(body);
    r.retry_after_s = nx_gw_fault_retry_after_s(f);
    /* After a deadline the rest of the request may come, or not: no guesses. */
    r.must_close = f->status == 408;
    nx_gw_conn_reply(c, &r);
}

void nx_gw_conn_continue(nx_gw_conn *c)
{
    if (nx_buf_append_cstr(&c->out, "HTTP/1.1 100 Continue\r\n\r\n") == NX_OK)
        nx_gw_conn_flush(c);
    else
        nx_gw_conn_close(c);
}

/* ---- streams */

void nx_gw_conn_stream_begin(nx_gw_conn *c, const nx_gw_reply *r)
{
    if (c->is_closing || c->is_answered)
        return;
    c->is_answered = c->is_streaming = true;
    c->is_chunked = c->parser.head.minor >= 1;
    decide_close(c, r->must_close || !c->is_chunked);
    if (r->status >= 100 && r->status < 600)
        nx_gw_stat_add(c->loop, NX_GW_STAT_INDEX(responses) + (size_t)r->status / 100, 1);
    nx_err err = append_head(c, r, false);
    if (err == NX_OK && c->is_chunked)
        err = nx_buf_append_cstr(&c->out, "Transfer-Encoding: chunked\r\n");
    if (err == NX_OK)
        err = nx_buf_append(&c->out, "\r\n", 2);
    if (err == NX_OK)
        nx_gw_conn_flush(c);
    else
        nx_gw_conn_close(c);
}

void nx_gw_conn_stream_piece(nx_gw_conn *c, nx_slice s)
{
    nx_err err = NX_OK;
    if (c->is_closing || s.n == 0 || nx_slice_eq_cstr(c->parser.head.method, "HEAD"))
        return;
    if (c->is_chunked)
        err = nx_buf_printf(&c->out, "%zx\r\n", s.n);
    if (err == NX_OK)
        err = nx_buf_append_slice(&c->out, s);
    if (err == NX_OK && c->is_chunked)
        err = nx_buf_append(&c->out, "\r\n", 2);
    if (err == NX_OK)
        nx_gw_conn_flush(c);
    else
        nx_gw_conn_close(c);
}

void nx_gw_conn_stream_end(nx_gw_conn *c)
{
    nx_err err = NX_OK;
    c->is_streaming = false;
    if (c->is_closing)
        return;
    if (c->is_chunked && !nx_slice_eq_cstr(c->parser.head.method, "HEAD"))
        err = nx_buf_append_cstr(&c->out, "0\r\n\r\n");
    if (err == NX_OK)
        nx_gw_conn_flush(c);
    else
        nx_gw_conn_close(c);
}
