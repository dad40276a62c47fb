/* ingress.c: a request becomes events, and events go to the node. Everything that can be refused is refused before the body is read. */
#include "ingress.h"

#include <stdio.h>

#include "nx/clock.h"

/* ---- the head */

static bool find_route(nx_gw_conn *c, nx_gw *gw, nx_gw_exchange *x, nx_gw_fault *f, nx_slice *ret_extra)
{
    nx_slice path, allow = NX_SLICE_NULL;
    nx_ingest_route route;
    const nx_gw_target *target = &c->parser.head.target;

    memset(&route, 0, sizeof route);
    if (nx_gw_path_decode(target->path, &c->arena, &path) != NX_OK)
        return nx_gw_fault_set(f, 400, NX_EINVAL, "the path is not percent-encoded UTF-8 text");
    nx_err err = gw->ops->route(gw->ops_self, c->parser.head.method, path, &c->arena, &route, &allow);
    if (err == NX_ENOENT) /* people mix the two ports up */
        return nx_gw_fault_set(f, 404, err, gw->ops->is_admin_path(gw->ops_self, path) ? "nothing answers at this path: events come in here, the admin API has an address of its own (--admin)" : "nothing answers at this path: POST events to /events/{type}");
    if (err == NX_ENOTSUP) {
        char *line = nx_arena_printf(&c->arena, "Allow: %.*s\r\n", NX_SLICE_FMT(allow));
        if (line)
            *ret_extra = nx_slice_cstr(line);
        return nx_gw_fault_set(f, 405, err, "this path takes %.*s", NX_SLICE_FMT(allow));
    }
    if (err != NX_OK)
        return nx_gw_fault_from(f, err, NULL);
    x->route = route;
    x->route.function = nx_arena_dup(&c->arena, route.function);
    x->route.type = nx_arena_dup(&c->arena, route.type);
    if (!x->route.function.p || !x->route.type.p)
        return nx_gw_fault_from(f, NX_ENOMEM, NULL);
    if (gw->is_strict && route.n_subscribers == 0)
        return nx_gw_fault_set(f, 404, NX_ENOENT, "no function takes events of type \"%.*s\"", NX_SLICE_FMT(route.type));
    return true;
}

static bool take_wait(nx_gw_conn *c, nx_gw_exchange *x, nx_gw_fault *f)
{
    for (unsigned i = 0; i < c->parser.head.n_fields; i++) {
        const nx_gw_span *s = &c->parser.spans[i];
        if (s->name_n == 6 && nx_slice_ieq(nx_slice_make(c->parser.raw.p + s->name, s->name_n), NX_SLICE("prefer")))
            nx_gw_prefer_add(&x->prefer, nx_gw_parser_field(&c->parser, i).value, NX_GW_MAX_WAIT_MS / 1000);
    }
    if (x->prefer.has_wait) {
        x->wants_wait = x->prefer.wait_s > 0;
        x->wait_ms = x->prefer.wait_s * 1000;
    } else if (x->route.is_sync && !x->prefer.is_async && x->mode != NX_GW_MODE_BATCH) {
        x->wants_wait = true;
        x->wait_ms = NX_GW_DEFAULT_WAIT_MS;
    }
    if (!x->wants_wait)
        return true;
    if (x->deliver_wall_ns)
        return nx_gw_fault_set(f, 400, NX_EINVAL,
                               x->prefer.has_wait ? "Prefer: wait does not go with a delay: there is no output to wait for"
                                                  : "this route answers with the function's output, which a delay puts off: send Prefer: respond-async");
    if (x->mode == NX_GW_MODE_BATCH)
        return nx_gw_fault_set(f, 400, NX_EINVAL, "Prefer: wait does not go with a batch, which has no single output");
    if (x->route.function.n == 0 && x->route.n_subscribers != 1)
        return nx_gw_fault_set(f, 400, NX_EINVAL,
                               x->route.n_subscribers == 0
                                   ? "Prefer: wait: no function takes this type, so there is no output to wait for"
                                   : "Prefer: wait: several functions take this type; call the one's own route");
    return true;
}

static bool take_idempotency_key(nx_gw_conn *c, nx_gw_exchange *x, nx_gw_fault *f)
{
    unsigned count;
    nx_slice key = nx_gw_parser_find(&c->parser, "idempotency-key", &count);
    if (count == 0)
        return true;
    if (count > 1 || key.n == 0 || key.n > NX_GW_IDEMPOTENCY_KEY_BYTES)
        return nx_gw_fault_set(f, 400, NX_EINVAL, "Idempotency-Key is one value of 1 to %u bytes", NX_GW_IDEMPOTENCY_KEY_BYTES);
    x->idempotency_key = key;
    return true;
}

static bool check_ready(nx_gw *gw, nx_gw_fault *f)
{
    nx_error why = NX_ERROR_INIT;
    if (gw->ops->is_ready(gw->ops_self, &why))
        return true;
    return nx_gw_fault_set(f, 503, why.code ? why.code : NX_EUNAVAIL, "%s",
                           why.msg[0] ? why.msg : nx_err_text(NX_EUNAVAIL));
}

static void on_head(nx_gw_conn *c)
{
    nx_gw *gw = c->loop->server->app_self;
    nx_gw_fault f;
    nx_slice extra = NX_SLICE_NULL;

    if (c->parser.head.target.form == NX_GW_TARGET_ASTERISK) { /* OPTIONS *: about the server as a whole */
        nx_gw_conn_reply(c, &(nx_gw_reply){.status = 204, .headers = NX_SLICE("Allow: POST, OPTIONS\r\n")});
        return;
    }
    nx_gw_exchange *x = nx_arena_calloc(&c->arena, 1, sizeof *x);
    if (!x) {
        nx_gw_fault_from(&f, NX_ENOMEM, NULL);
        nx_gw_conn_refuse(c, &f, NX_SLICE_NULL);
        return;
    }
    x->gw = gw;
    x->conn = c;
    c->request = x;
    if (!find_route(c, gw, x, &f, &extra) || !nx_gw_event_mode_of(&c->parser, gw->is_batch_enabled, &x->mode, &f) ||
        !nx_gw_take_delay(c, nx_clock_wall_ns(), &x->deliver_wall_ns, &f) || !take_wait(c, x, &f) || !take_idempotency_key(c, x, &f) || !check_ready(gw, &f))
        nx_gw_conn_refuse(c, &f, extra);
}

/* ---- the events */

static void ingest_done(nx_ingest *in)
{
    const nx_gw_item *item = in->owner;
    nx_gw_loop_post(item->exchange->conn->loop, &in->mail);
}

/* An Idempotency-Key is about one type (RFC draft: one resource); a producer's own id is about its source. The two can't be mistaken for
 * one another: an id is not empty and holds no NUL. In a batch each event has its place as part of the key. */
static bool set_dedupe_key(nx_gw_exchange *x, nx_gw_item *item, unsigned index, bool is_own)
{
    nx_slice a, b, key = x->idempotency_key;
    char number[16] = "";
    size_t n = 0;

    if (key.n == 0 && !is_own)
        return true;
    a = key.n > 0 ? x->route.type : item->in.event.source;
    b = key.n > 0 ? key : item->in.event.id;
    if (key.n > 0 && x->mode == NX_GW_MODE_BATCH)
        n = (size_t)snprintf(number, sizeof number, "%u", index);
    size_t bytes = a.n + b.n + n + 3;
    char *p = nx_arena_alloc(&x->conn->arena, bytes), *at = p;
    if (!p)
        return false;
    memcpy(at, a.p, a.n);
    at += a.n;
    *at++ = '\0';
    if (key.n > 0)
        *at++ = '\0';
    memcpy(at, b.p, b.n);
    at += b.n;
    if (n > 0) {
        *at++ = '\0';
        memcpy(at, number, n);
        at += n;
    }
    item->in.dedupe_key = nx_slice_make(p, (size_t)(at - p));
    return true;
}

static bool finish_item(nx_gw_exchange *x, nx_gw_item *item, unsigned index, bool is_own, nx_gw_fault *f)
{
    item->exchange = x;
    item->in.owner = item;
    item->in.done = ingest_done;
    item->in.wants_wait = x->wants_wait;
    item->in.wait_ms = x->wait_ms;
    item->in.wait_function = x->route.function;
    item->in.event.deliver_wall_ns = x->deliver_wall_ns;
    return set_dedupe_key(x, item, index, is_own) || nx_gw_fault_from(f, NX_ENOMEM, NULL);
}

static bool decode_batch(nx_gw_exchange *x, const nx_gw_event_defaults *d, nx_gw_fault *f)
{
    nx_gw_conn *c = x->conn;
    nx_gw_batch batch = {nx_buf_view(&c->parser.body), 0, false};
    nx_slice json;
    unsigned n = 0;
    nx_err err;

    while ((err = nx_gw_batch_next(&batch, &json)) == NX_OK)
        if (++n > NX_GW_BATCH_MAX)
            return nx_gw_fault_set(f, 413, NX_ELIMIT, "more than %u events in a batch", NX_GW_BATCH_MAX);
    if (err != NX_ENOENT)
        return nx_gw_fault_set(f, 400, NX_EPARSE, "event %u: a batch is a JSON array of CloudEvents", n);
    x->items = nx_arena_calloc(&c->arena, n ? n : 1, sizeof *x->items);
    if (!x->items)
        return nx_gw_fault_from(f, NX_ENOMEM, NULL);
    batch = (nx_gw_batch){nx_buf_view(&c->parser.body), 0, false};
    while (nx_gw_batch_next(&batch, &json) == NX_OK) {
        nx_gw_item *item = &x->items[x->n_items];
        if (!nx_gw_event_decode_json(&c->parser, json, d, &c->arena, &item->in.event, f)) {
            (void)nx_error_prefix(&f->e, "event %u", x->n_items);
            return false;
        }
        if (!finish_item(x, item, x->n_items, true, f))
            return false;
        x->n_items++;
    }
    return true;
}

static bool decode(nx_gw_exchange *x, nx_gw_fault *f)
{
    nx_gw_conn *c = x->conn;
    bool is_own = false;
    const nx_gw_event_defaults d = {x->gw->ns, x->gw->default_source, x->route.type, nx_clock_wall_ns()};

    if (x->mode == NX_GW_MODE_BATCH)
        return decode_batch(x, &d, f);
    x->items = nx_arena_calloc(&c->arena, 1, sizeof *x->items);
    if (!x->items)
        return nx_gw_fault_from(f, NX_ENOMEM, NULL);
    x->n_items = 1;
    return nx_gw_event_decode(&c->parser, x->mode, &d, &c->arena, &x->items[0].in.event, &is_own, f) &&
           finish_item(x, &x->items[0], 0, is_own, f);
}

static void on_request(nx_gw_conn *c)
{
    nx_gw_exchange *x = c->request;
    nx_gw *gw = x->gw;
    nx_gw_fault f;

    x->begin_ns = nx_clock_ns();
    if (!decode(x, &f)) {
        nx_gw_conn_refuse(c, &f, NX_SLICE_NULL);
        return;
    }
    nx_gw_conn_hold(c);
    for (unsigned i = 0; i < x->n_items; i++) {
        nx_gw_item *item = &x->items[i];
        nx_err err = gw->ops->publish(gw->ops_self, &item->in, &item->in.detail);
        if (err == NX_OK) {
            x->n_pending++; /* done() may have been called already, but its mail is read after this function */
        } else {
            item->in.err = err;
            item->is_done = true;
        }
    }
    if (x->n_pending == 0) {
        nx_gw_ingress_answer(x);
        nx_gw_conn_unhold(c);
    }
}

/* ---- back from the node */

static void release_answers(nx_gw_exchange *x)
{
    for (unsigned i = 0; i < x->n_items; i++) {
        nx_answer *answer = x->items[i].in.answer;
        x->items[i].in.answer = NULL;
        if (answer)
            answer->release(answer);
    }
}

static void on_mail(nx_gw_loop *l, nx_mail *m)
{
    nx_gw_item *item = ((nx_ingest *)m)->owner; /* `mail` is the first member */
    nx_gw_exchange *x = item->exchange;
    nx_gw_conn *c = x->conn;
    (void)l;

    item->is_done = true;
    if (--x->n_pending > 0)
        return;
    if (c->is_closing)
        release_answers(x);
    else
        nx_gw_ingress_answer(x);
    nx_gw_conn_unhold(c);
}
_Static_assert(offsetof(nx_ingest, mail) == 0, "an nx_ingest is found by its mail");

static bool on_gone(nx_gw_conn *c)
{
    nx_gw_exchange *x = c->request;
    for (unsigned i = 0; i < x->n_items; i++) {
        nx_gw_item *item = &x->items[i];
        if (!item->is_done && x->gw->ops->abandon(x->gw->ops_self, &item->in)) {
            item->is_done = true;
            x->n_pending--;
        }
    }
    if (x->n_pending > 0)
        return false;
    release_answers(x);
    return true;
}

/* A client that closed its sending side may still read; but waiting minutes for one that most likely has died is not worth it, and there is
 * no telling the two apart. Storing takes milliseconds, so that answer is always given. */
static bool on_half_close(nx_gw_conn *c)
{
    const nx_gw_exchange *x = c->request;
    return !x->wants_wait;
}

static void on_drained(nx_gw_conn *c)
{
    (void)c; /* there are no streams here */
}

const nx_gw_app nx_gw_ingress_app = {
    .on_head = on_head,
    .on_request = on_request,
    .on_gone = on_gone,
    .on_half_close = on_half_close,
    .on_drained = on_drained,
    .on_mail = on_mail,
};
