/* ingress_answer.c: what the client hears: 202 once the event is stored, the function's output, or a problem. */
#include <stdio.h>

#include "ingress.h"
#include "nx/clock.h"
#include "nx/json.h"

static void count(nx_gw_loop *l, const nx_ingest *in)
{
    if (in->err != NX_OK)
        NX_GW_COUNT(l, events_refused, 1);
    else if (in->is_duplicate)
        NX_GW_COUNT(l, events_duplicate, 1);
    else
        NX_GW_COUNT(l, events_accepted, 1);
}

/* The mission's form, spaces included. An id is base32 and a trace id hex: there is nothing to escape. */
static nx_err accepted_json(const nx_ingest *in, nx_buf *out)
{
    nx_err err = nx_buf_append_cstr(out, "{\"event_id\": \"");
    if (err == NX_OK)
        err = nx_buf_append_slice(out, nx_id_slice(&in->event.event_id));
    if (err == NX_OK)
        err = nx_buf_append_cstr(out, "\", \"status\": \"published\", \"trace_id\": \"");
    if (err == NX_OK)
        err = nx_buf_append_cstr(out, in->event.trace.trace_id);
    if (err == NX_OK && in->event.deliver_wall_ns) {
        char text[NX_RFC3339_MAX];
        err = nx_buf_append_cstr(out, "\", \"deliver_at\": \"");
        if (err == NX_OK)
            err = nx_buf_append(out, text, nx_clock_rfc3339(in->event.deliver_wall_ns, 3, text));
    }
    return err == NX_OK ? nx_buf_append_cstr(out, in->is_duplicate ? "\", \"duplicate\": true}" : "\"}") : err;
}

static nx_slice event_headers(nx_gw_exchange *x, const nx_ingest *in, char *out, size_t size)
{
    int n = snprintf(out, size, "Nexus-Event-Id: %s\r\n", in->event.event_id.s);
    if (x->prefer.has_wait)
        n += snprintf(out + n, size - (size_t)n, "Preference-Applied: wait=%u\r\n", x->prefer.wait_s);
    else if (x->prefer.is_async)
        n += snprintf(out + n, size - (size_t)n, "Preference-Applied: respond-async\r\n");
    return nx_slice_make(out, (size_t)n);
}

/* A function chooses its content type; a header field is not the place where that choice may do harm. */
static bool is_field_value(nx_slice s)
{
    for (size_t i = 0; i < s.n; i++)
        if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
            return false;
    return s.n > 0 && s.n <= 256;
}

static void release_answer(void *self)
{
    nx_answer *answer = self;
    answer->release(answer);
}

static void answer_output(nx_gw_exchange *x, nx_ingest *in)
{
    char headers[256];
    nx_answer *answer = in->answer;
    bool is_status = answer->status >= 200 && answer->status <= 599;

    in->answer = NULL; /* the reply takes it */
    nx_gw_reply r = {
        .status = is_status ? answer->status : 500,
        .content_type = is_field_value(answer->content_type) ? answer->content_type : NX_SLICE("application/octet-stream"),
        .headers = event_headers(x, in, headers, sizeof headers),
        .body = answer->body,
        .release = release_answer,
        .release_self = answer,
    };
    if (r.status == 503 || r.status == 429)
        r.retry_after_s = 1;
    NX_GW_COUNT(x->conn->loop, answers_sync, 1);
    nx_gw_conn_reply(x->conn, &r);
}

static void answer_one(nx_gw_exchange *x)
{
    nx_ingest *in = &x->items[0].in;
    nx_gw_conn *c = x->conn;
    nx_buf *body = &c->loop->scratch;
    char headers[256];
    nx_gw_fault f;

    count(c->loop, in);
    if (in->err != NX_OK) {
        nx_gw_fault_from(&f, in->err, &in->detail);
        nx_gw_conn_refuse(c, &f, NX_SLICE_NULL);
        return;
    }
    if (in->answer) {
        answer_output(x, in);
        return;
    }
    if (x->wants_wait)
        NX_GW_COUNT(c->loop, answers_late, 1);
    nx_buf_clear(body);
    if (accepted_json(in, body) != NX_OK) { /* stored, but there is no memory to say so */
        nx_gw_conn_close(c);
        return;
    }
    nx_gw_conn_reply(c, &(nx_gw_reply){.status = 202,
                                       .content_type = NX_SLICE("application/json"),
                                       .headers = event_headers(x, in, headers, sizeof headers),
                                       .body = nx_buf_view(body)});
}

static nx_err batch_json(nx_gw_exchange *x, nx_buf *out)
{
    nx_err err = nx_buf_append_char(out, '[');
    for (unsigned i = 0; err == NX_OK && i < x->n_items; i++) {
        const nx_ingest *in = &x->items[i].in;
        if (i > 0)
            err = nx_buf_append(out, ", ", 2);
        if (err == NX_OK && in->err == NX_OK)
            err = accepted_json(in, out);
        else if (err == NX_OK)
            err = nx_buf_printf(out, "{\"status\": \"failed\", \"code\": \"%s\"}", nx_err_name(in->err));
    }
    return err == NX_OK ? nx_buf_append_char(out, ']') : err;
}

/* Anything but "all stored" is an error: a producer that repeats the batch gets the stored ones as duplicates, by their (source, id). */
static nx_err batch_problem(nx_gw_exchange *x, const nx_gw_fault *f, nx_buf *out)
{
    nx_err err = nx_gw_problem_json(f, out);
    if (err == NX_OK) {
        out->n--; /* the closing brace */
        err = nx_buf_append_cstr(out, ",\"results\":");
    }
    if (err == NX_OK)
        err = batch_json(x, out);
    return err == NX_OK ? nx_buf_append_char(out, '}') : err;
}

static void answer_batch(nx_gw_exchange *x)
{
    nx_gw_conn *c = x->conn;
    nx_buf *body = &c->loop->scratch;
    const nx_ingest *failed = NULL;
    nx_gw_reply r = {.status = 202, .content_type = NX_SLICE("application/json")};
    nx_gw_fault f;
    nx_err err;

    nx_buf_clear(body);
    for (unsigned i = 0; i < x->n_items; i++) {
        count(c->loop, &x->items[i].in);
        if (!failed && x->items[i].in.err != NX_OK)
            failed = &x->items[i].in;
    }
    if (failed) {
        nx_gw_fault_from(&f, failed->err, &failed->detail);
        r.status = f.status;
        r.content_type = NX_SLICE("application/problem+json");
        r.retry_after_s = nx_gw_fault_retry_after_s(&f);
        err = batch_problem(x, &f, body);
    } else {
        err = batch_json(x, body);
    }
    r.body = nx_buf_view(body);
    if (err == NX_OK)
        nx_gw_conn_reply(c, &r);
    else
        nx_gw_conn_close(c);
}

void nx_gw_ingress_answer(nx_gw_exchange *x)
{
    nx_obs_observe_ns(x->gw->seconds, nx_clock_ns() - x->begin_ns);
    if (x->mode == NX_GW_MODE_BATCH)
        answer_batch(x);
    else
        answer_one(x);
}
