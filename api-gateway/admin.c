/* admin.c: the admin listener: who may call, which handler, on which thread; nx_gw_admin as nx/gateway.h shows it. */
#include "admin.h"

#include <stdio.h>
#include <stdlib.h>

#include "nx/json.h"
#include "nx/log.h"
#include "nx/shape.h"

#define WORKERS 8u
#define WORKER_QUEUE 64u
#define STREAMS 16u
#define HEADERS_BYTES 2048u
#define KEEPALIVE_S 60u

/* ---- a call */

static bool take_query(nx_gw_conn *c, nx_gw_req *req, nx_gw_fault *f)
{
    nx_slice key, value, rest = c->parser.head.target.query;
    while (nx_gw_query_next(&rest, &key, &value)) {
        if (req->n_query == NX_GW_QUERY_MAX)
            return nx_gw_fault_set(f, 400, NX_ELIMIT, "more than %d query parameters", NX_GW_QUERY_MAX);
        nx_kv *kv = &req->query[req->n_query++];
        if (nx_gw_pct_decode(key, true, &c->arena, &kv->key) != NX_OK ||
            nx_gw_pct_decode(value, true, &c->arena, &kv->value) != NX_OK)
            return nx_gw_fault_set(f, 400, NX_EINVAL, "the query is not percent-encoded UTF-8 text");
    }
    return true;
}

/* A filter that is spelt wrong would be none at all. */
static bool check_query(const nx_gw_req *req, nx_gw_fault *f)
{
    const nx_gw_admin_route *r = req->match.route;
    const nx_gw_param *known = r->doc ? r->doc->query : NULL;
    char names[256] = "";

    if (!r->doc || r->flags & NX_GW_ROUTE_ANY_QUERY)
        return true;
    for (unsigned i = 0; i < req->n_query; i++) {
        const nx_gw_param *p = known;
        while (p && p->name && !nx_slice_eq_cstr(req->query[i].key, p->name))
            p++;
        if (p && p->name)
            continue;
        size_t n = 0;
        for (p = known; p && p->name && n < sizeof names; p++)
            n += (size_t)snprintf(names + n, sizeof names - n, "%s%s", n ? ", " : "", p->name);
        return nx_gw_fault_set(f, 400, NX_EINVAL, "there is no query parameter \"%.*s\": %s %s takes %s", NX_SLICE_FMT(nx_slice_sub(req->query[i].key, 0, 64)),
                               r->method, r->pattern, names[0] ? names : "none");
    }
    return true;
}

static bool find_call(nx_gw_conn *c, nx_gw_admin *a, nx_slice *ret_extra, nx_gw_fault *f)
{
    const nx_gw_head *h = &c->parser.head;
    nx_slice allow = NX_SLICE_NULL;
    nx_gw_call *call;

    if (!nx_gw_guard_check(&a->guard, &c->parser, f))
        return false;
    call = nx_arena_calloc(&c->arena, 1, sizeof *call);
    if (!call)
        return nx_gw_fault_from(f, NX_ENOMEM, NULL);
    call->admin = a;
    call->conn = c;
    call->req.call = call->resp.call = call;
    if (!nx_gw_routes_match(&a->routes, h->method, h->target.path, &c->arena, &call->req.match, &allow, f)) {
        char *line = allow.n > 0 ? nx_arena_printf(&c->arena, "Allow: %.*s\r\n", NX_SLICE_FMT(allow)) : NULL;
        if (line)
            *ret_extra = nx_slice_cstr(line);
        return false;
    }
    if (nx_gw_pct_decode(h->target.path, false, &c->arena, &call->req.path) != NX_OK)
        return nx_gw_fault_set(f, 400, NX_EINVAL, "the path is not percent-encoded UTF-8 text");
    if (!take_query(c, &call->req, f) || !check_query(&call->req, f))
        return false;
    if (call->req.match.route->max_body_bytes > 0)
        c->parser.body_max = call->req.match.route->max_body_bytes;
    c->request = call;
    return true;
}

static void on_head(nx_gw_conn *c)
{
    nx_gw_admin *a = c->loop->server->app_self;
    nx_slice extra = NX_SLICE_NULL;
    nx_gw_fault f;

    if (c->parser.head.target.form == NX_GW_TARGET_ASTERISK)
        nx_gw_conn_reply(c, &(nx_gw_reply){.status = 204});
    else if (!find_call(c, a, &extra, &f))
        nx_gw_conn_refuse(c, &f, extra);
}

/* A key that is spelt wrong would be none at all, as in the query. What is no JSON is the handler's to refuse, which knows its limits. */
static nx_err check_body(const nx_gw_admin_route *route, nx_slice body, nx_error *reterr)
{
    const nx_gw_content *c = route->doc ? &route->doc->body : NULL;
    nx_json *value = NULL;

    if (!c || !c->shape || body.n == 0 || nx_json_parse(body, body.n, &value, NULL) != NX_OK)
        return NX_OK;
    nx_err err = nx_shape_check_keys(c->shape, value, reterr);
    nx_json_free(value);
    return err == NX_OK ? err : nx_error_prefix(reterr, "the body");
}

static void run_job(nx_gw_job *job)
{
    nx_gw_call *call = (nx_gw_call *)job; /* `job` is the first member */
    const nx_gw_admin_route *route = call->req.match.route;
    nx_gw_loop *l = call->conn->loop;

    call->err = check_body(route, call->req.body, &call->detail);
    if (call->err == NX_OK)
        call->err = route->handler(call->admin->self, &call->req, &call->resp, &call->detail);
    nx_gw_loop_post(l, &call->done.mail); /* afterwards the call is the loop's */
}
_Static_assert(offsetof(nx_gw_call, job) == 0, "a call is found by its job");
_Static_assert(offsetof(nx_gw_call_mail, mail) == 0, "a call is found by its mail");

static void begin_call(nx_gw_call *call)
{
    call->req.body = nx_buf_view(&call->conn->parser.body);
    call->resp.status = 200;
    (void)snprintf(call->resp.content_type, sizeof call->resp.content_type, "application/json");
    nx_buf_init(&call->resp.headers, HEADERS_BYTES);
    nx_buf_init(&call->resp.body, NX_GW_RESP_BODY_MAX);
    nx_buf_init(&call->queue, NX_GW_STREAM_QUEUE_BYTES * 2);
    call->piece = (nx_gw_call_mail){.call = call, .is_done = false};
    call->done = (nx_gw_call_mail){.call = call, .is_done = true};
    call->job.run = run_job;
}

static void begin_sync(nx_gw_call *call)
{
    pthread_condattr_t attr;
    (void)pthread_mutex_init(&call->mu, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&call->has_room, &attr);
    (void)pthread_condattr_destroy(&attr);
    call->has_sync = true;
}

/* The handler is through and nothing of its answer has been sent yet. */
static void answer(nx_gw_call *call)
{
    nx_gw_conn *c = call->conn;
    nx_gw_fault f;

    if (call->err == NX_ELIMIT && !call->detail.msg[0])
        nx_error_set(&call->detail, NX_ELIMIT, "the answer is more than %u MiB (`nexus bundle` saves a run of any size)", NX_GW_RESP_BODY_MAX >> 20);
    if (call->err != NX_OK) {
        nx_gw_fault_set(&f, nx_err_http_status(call->err), call->err, "%s",
                        call->detail.msg[0] ? call->detail.msg : nx_err_text(call->err));
        nx_gw_conn_refuse(c, &f, nx_buf_view(&call->resp.headers));
        return;
    }
    nx_gw_reply r = nx_gw_call_reply(call);
    nx_gw_conn_reply(c, &r);
}

static void on_request(nx_gw_conn *c)
{
    nx_gw_call *call = c->request;
    const nx_gw_admin_route *route = call->req.match.route;
    nx_gw_fault f;

    begin_call(call);
    nx_gw_conn_hold(c);
    if (route->flags & NX_GW_ROUTE_FAST) {
        call->err = route->handler(call->admin->self, &call->req, &call->resp, &call->detail);
        call->is_finished = true;
        answer(call);
    } else {
        begin_sync(call);
        if (route->flags & NX_GW_ROUTE_STREAM) /* a client that vanished without a word would keep its thread for ever */
            (void)uv_tcp_keepalive(&c->tcp, 1, KEEPALIVE_S);
        nx_err err = nx_gw_pool_submit(route->flags & NX_GW_ROUTE_STREAM ? &call->admin->streams : &call->admin->workers,
                                       &call->job);
        if (err == NX_OK)
            return;
        call->is_finished = true;
        nx_gw_fault_set(&f, 503, err, "all threads for this kind of request are busy");
        nx_gw_conn_refuse(c, &f, NX_SLICE_NULL);
    }
    if (c->is_held) { /* else closing has ended the call */
        nx_gw_call_end(call);
        nx_gw_conn_unhold(c);
    }
}

static void on_mail(nx_gw_loop *l, nx_mail *m)
{
    nx_gw_call_mail *mail = (nx_gw_call_mail *)m;
    nx_gw_call *call = mail->call;
    nx_gw_conn *c = call->conn;
    (void)l;

    if (!mail->is_done) {
        nx_gw_call_piece_arrived(call);
        return;
    }
    call->is_finished = true;
    if (call->resp.has_begun && !c->is_closing) {
        nx_gw_call_pump(call);
        return;
    }
    if (!c->is_closing)
        answer(call);
    if (c->is_held) {
        nx_gw_call_end(call);
        nx_gw_conn_unhold(c);
    }
}

static bool on_gone(nx_gw_conn *c)
{
    nx_gw_call *call = c->request;
    if (call->is_finished) {
        nx_gw_call_end(call);
        return true;
    }
    (void)pthread_mutex_lock(&call->mu);
    atomic_store(&call->is_gone, true);
    (void)pthread_cond_broadcast(&call->has_room);
    (void)pthread_mutex_unlock(&call->mu);
    return false;
}

/* `curl … | head` ends a stream this way; an ordinary answer is still worth giving. */
static bool on_half_close(nx_gw_conn *c)
{
    const nx_gw_call *call = c->request;
    return (call->req.match.route->flags & NX_GW_ROUTE_STREAM) == 0;
}

static void on_drained(nx_gw_conn *c)
{
    nx_gw_call_pump(c->request);
}

const nx_gw_app nx_gw_admin_app = {
    .on_head = on_head,
    .on_request = on_request,
    .on_gone = on_gone,
    .on_half_close = on_half_close,
    .on_drained = on_drained,
    .on_mail = on_mail,
};

/* ---- the listener */

static nx_err copy_hosts(nx_gw_admin *a, const nx_gw_admin_options *o, nx_error *reterr)
{
    if (o->n_allowed_hosts == 0)
        return NX_OK;
    a->allowed_hosts = calloc(o->n_allowed_hosts, sizeof *a->allowed_hosts);
    if (!a->allowed_hosts)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    for (unsigned i = 0; i < o->n_allowed_hosts; i++) {
        char *copy = nx_slice_strdup(o->allowed_hosts[i]);
        if (!copy)
            return nx_error_set(reterr, NX_ENOMEM, "out of memory");
        a->allowed_hosts[i] = nx_slice_cstr(copy);
        a->guard.n_allowed_hosts++;
    }
    return NX_OK;
}

nx_err nx_gw_admin_new(const nx_gw_admin_options *o, const nx_gw_admin_route *routes, size_t n_routes, void *self,
                       nx_gw_admin **ret, nx_error *reterr)
{
    nx_gw_admin *a = calloc(1, sizeof *a);
    if (!a)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    a->self = self;
    nx_err err = nx_gw_server_init(&a->server, &o->listen, "nx-gw-admin", &nx_gw_admin_app, a, reterr);
    if (err != NX_OK) {
        free(a);
        return err;
    }
    nx_gw_pool_init(&a->workers, WORKERS, WORKER_QUEUE, 0);
    nx_gw_pool_init(&a->streams, STREAMS, 0, WORKERS);
    a->has_pools = true;
    err = nx_gw_routes_init(&a->routes, routes, n_routes, reterr);
    if (err == NX_OK)
        err = copy_hosts(a, o, reterr);
    if (err != NX_OK) {
        nx_gw_admin_free(a);
        return err;
    }
    a->guard.address = &a->server.address;
    a->guard.allowed_hosts = a->allowed_hosts;
    *ret = a;
    return NX_OK;
}

nx_err nx_gw_admin_start(nx_gw_admin *a, nx_error *reterr)
{
    return nx_gw_server_start(&a->server, reterr);
}

void nx_gw_admin_bound_address(const nx_gw_admin *a, char *ret, size_t size)
{
    (void)snprintf(ret, size, "%s", a->server.bound);
}

bool nx_gw_admin_is_tls(const nx_gw_admin *a)
{
    return a->server.tls != NULL;
}

void nx_gw_admin_stop(nx_gw_admin *a, uint32_t deadline_ms)
{
    atomic_store(&a->is_stopping, true);
    if (nx_gw_server_drain(&a->server, deadline_ms) != NX_OK)
        nx_log(NX_LOG_DEBUG, "gateway.admin_cut", "the admin listener stops with requests in flight");
    nx_gw_server_stop(&a->server);
    if (a->has_pools) {
        nx_gw_pool_done(&a->workers);
        nx_gw_pool_done(&a->streams);
    }
    a->has_pools = false;
}

void nx_gw_admin_free(nx_gw_admin *a)
{
    if (!a)
        return;
    nx_gw_admin_stop(a, 0);
    nx_gw_server_done(&a->server);
    nx_gw_routes_done(&a->routes);
    for (unsigned i = 0; i < a->guard.n_allowed_hosts; i++)
        free((char *)(uintptr_t)a->allowed_hosts[i].p);
    free(a->allowed_hosts);
    free(a);
}
