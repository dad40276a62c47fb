/* admin_read.c: the admin API's readers (events, runs, logs), and invoking one function. */
#include "admin.h"
#include "fn.h"
#include <stdio.h>
#include <stdlib.h>

#define LIST_ARENA_BYTES (256u << 20)
#define LIST_MAX 10000u

nx_err nx_core_admin_limit(const nx_gw_req *req, unsigned otherwise, unsigned *ret, nx_error *reterr)
{
    nx_slice s = nx_gw_req_query(req, "limit");
    uint64_t v = otherwise;
    if (s.n && (nx_slice_u64(s, LIST_MAX, &v) != NX_OK || v == 0))
        return nx_error_set(reterr, NX_EINVAL, "limit: \"%.*s\" is not a number from 1 to %u", NX_SLICE_FMT(s), LIST_MAX);
    *ret = (unsigned)v;
    return NX_OK;
}

static nx_err query_time(const nx_gw_req *req, const char *name, uint64_t *ret, nx_error *reterr)
{
    nx_slice s = nx_gw_req_query(req, name);
    return s.n ? nx_clock_parse_when(name, s, nx_clock_wall_ns(), ret, reterr) : NX_OK;
}

static nx_err scan_of(nx_node *n, const nx_gw_req *req, nx_fab_scan *s, nx_error *reterr)
{
    *s = (nx_fab_scan){.status = -1};
    nx_err err = nx_core_admin_require_ready(n, reterr);
    if (err == NX_OK)
        err = nx_core_admin_limit(req, 20, &s->limit, reterr);
    if (err == NX_OK)
        err = query_time(req, "since", &s->since_wall_ns, reterr);
    if (err == NX_OK)
        err = query_time(req, "until", &s->until_wall_ns, reterr);
    return err;
}

/* ---- events ----------------------------------------------------------------------------------------------------------------------------- */

static void event_keys(const nx_event *e, nx_jw *w)
{
    nx_jw_kstr(w, "namespace", e->ns);
    nx_jw_kstr(w, "event_id", nx_id_slice(&e->event_id));
    nx_jw_kstr(w, "type", e->type);
    nx_jw_kstr(w, "source", e->source);
    nx_jw_kstr(w, "subject", e->subject);
    nx_jw_kstr(w, "time", e->time);
    nx_jw_kcstr(w, "trace_id", e->trace.trace_id);
    nx_jw_ku64(w, "size_bytes", e->data.n);
}

nx_err nx_core_admin_events(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_node *n = self;
    nx_fab_scan scan;
    nx_event *v = NULL;
    unsigned count = 0;
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(LIST_ARENA_BYTES);
    nx_err err = scan_of(n, req, &scan, reterr);
    scan.type = nx_gw_req_query(req, "type");
    if (err == NX_OK && scan.type.n)
        err = nx_event_type_pattern_check(scan.type, reterr);
    if (err == NX_OK)
        err = nx_fab_events_recent(n->ns, &scan, &a, &v, &count, reterr);
    nx_gw_resp_content_type(resp, NX_CORE_NDJSON);
    nx_buf *out = nx_gw_resp_body(resp);
    for (unsigned i = 0; err == NX_OK && i < count; i++) {
        nx_jw w = NX_JW_INIT(out);
        nx_jw_object(&w);
        event_keys(&v[i], &w);
        nx_jw_object_end(&w);
        err = nx_jw_err(&w);
        if (err == NX_OK)
            err = nx_buf_append_char(out, '\n');
    }
    return err;
}

static nx_err find_event(nx_node *n, nx_slice text, nx_arena *a, nx_event *ret, nx_error *reterr)
{
    nx_id id;
    nx_err err = nx_core_admin_require_ready(n, reterr);
    if (err == NX_OK)
        err = nx_fab_event_resolve(n->ns, text, &id, reterr);
    return err == NX_OK ? nx_fab_event_get(n->ns, &id, a, ret, reterr) : err;
}

nx_err nx_core_admin_event(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_event e;
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(LIST_ARENA_BYTES); /* the request's own is too small for a large event */
    nx_err err = find_event(self, nx_gw_req_param(req, "id"), &a, &e, reterr);
    if (err != NX_OK)
        return err;
    nx_buf *out = nx_gw_resp_body(resp);
    nx_jw w = NX_JW_INIT(out);
    nx_jw_object(&w);
    event_keys(&e, &w);
    nx_jw_kstr(&w, "content_type", e.content_type);
    nx_jw_ku64(&w, "hop", e.hop);
    nx_jw_kstr(&w, "cause", e.cause);
    nx_jw_ku64(&w, "sequence", e.stream_seq);
    if (e.deliver_wall_ns) {
        char text[NX_RFC3339_MAX];
        nx_jw_kstr(&w, "deliver_at", nx_slice_make(text, nx_clock_rfc3339(e.deliver_wall_ns, 3, text)));
    }
    nx_jw_key(&w, "event");
    NX_CLEANUP(nx_buf_done)
    nx_buf json = NX_BUF_INIT(NX_GW_RESP_BODY_MAX / 2);
    err = nx_event_to_json(&e, &json);
    nx_jw_raw(&w, nx_buf_view(&json));
    nx_jw_object_end(&w);
    return err != NX_OK ? err : nx_jw_err(&w);
}

nx_err nx_core_admin_event_data(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_event e;
    char type[256];
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(LIST_ARENA_BYTES);
    nx_err err = find_event(self, nx_gw_req_param(req, "id"), &a, &e, reterr);
    if (err != NX_OK)
        return err;
    /* The admin listener is a browser's neighbour: data of unknown origin is never shown as a page. */
    nx_gw_resp_header(resp, "X-Content-Type-Options", NX_SLICE("nosniff"));
    bool is_json = nx_content_type_is_json(e.content_type) && nx_slice_to_cstr(e.content_type, type, sizeof type) == NX_OK;
    nx_gw_resp_content_type(resp, is_json ? type : "application/octet-stream");
    return nx_buf_append_slice(nx_gw_resp_body(resp), e.data);
}

/* ---- runs ------------------------------------------------------------------------------------------------------------------------------- */

static nx_err run_line(const nx_run *r, nx_buf *out)
{
    nx_jw w = NX_JW_INIT(out);
    nx_err err = nx_run_to_json(r, false, &w);
    if (err == NX_OK)
        err = nx_jw_err(&w);
    return err == NX_OK ? nx_buf_append_char(out, '\n') : err;
}

/* Only the first final record of a run counts (DESIGN 4). `v` is oldest first. */
static bool is_repeated(const nx_run *v, unsigned i)
{
    for (unsigned k = 0; k < i; k++)
        if (v[k].is_final && memcmp(v[k].run_id.s, v[i].run_id.s, NX_ID_LEN) == 0)
            return true;
    return false;
}

static bool matches(const nx_run *r, const nx_fab_scan *s)
{
    return (!s->function.n || nx_slice_eq(r->function, s->function)) && (!s->version.n || nx_slice_eq(r->version, s->version)) && (s->status < 0 || (int)r->status == s->status);
}

static nx_err runs_of_event(nx_node *n, nx_slice text, const nx_fab_scan *s, bool is_all, nx_arena *a, nx_buf *out, nx_error *reterr)
{
    nx_event e;
    nx_run *v = NULL;
    unsigned count = 0, left = s->limit;
    nx_err err = find_event(n, text, a, &e, reterr);
    for (int replays = is_all; err == NX_OK && replays >= 0; replays--) {
        err = nx_fab_runs_of(n->ns, &e, replays, a, &v, &count, reterr);
        for (unsigned i = count; err == NX_OK && i-- > 0 && left;) {
            if (!matches(&v[i], s) || (!is_all && (!v[i].is_final || is_repeated(v, i))))
                continue;
            err = run_line(&v[i], out);
            left--;
        }
    }
    return err;
}

/* As runs name it: "v3", also given as "3", or "dev-1a2b3c4d". An alias names others over time. */
static nx_err version_of(const nx_gw_req *req, char (*out)[NX_CORE_VERSION_BYTES], nx_slice *ret, nx_error *reterr)
{
    nx_slice s = nx_gw_req_query(req, "version");
    uint64_t number;
    if (!s.n)
        return NX_OK;
    bool is_number = nx_slice_u64(s.p[0] == 'v' ? nx_slice_sub(s, 1, s.n) : s, UINT32_MAX, &number) == NX_OK;
    if ((!is_number && !nx_slice_starts(s, NX_SLICE("dev-"))) || s.n + 2 > sizeof *out)
        return nx_error_set(reterr, NX_EINVAL, "version: \"%.*s\" is not the number of a version (v3)", NX_SLICE_FMT(nx_slice_sub(s, 0, 64)));
    *ret = nx_slice_make(*out, (size_t)snprintf(*out, sizeof *out, "%s%.*s", is_number && s.p[0] != 'v' ? "v" : "", NX_SLICE_FMT(s)));
    return NX_OK;
}

nx_err nx_core_admin_runs(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_node *n = self;
    nx_fab_scan scan;
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(LIST_ARENA_BYTES);
    nx_err err = scan_of(n, req, &scan, reterr);
    scan.function = nx_gw_req_query(req, "function");
    nx_slice status = nx_gw_req_query(req, "status"), event = nx_gw_req_query(req, "event"), all = nx_gw_req_query(req, "all");
    char version[NX_CORE_VERSION_BYTES];
    bool is_all = all.p && !nx_slice_eq(all, NX_SLICE("0")) && !nx_slice_eq(all, NX_SLICE("false"));
    if (err == NX_OK)
        err = version_of(req, &version, &scan.version, reterr);
    if (err == NX_OK && status.n) {
        nx_run_status s;
        if (nx_run_status_parse(status, &s) != NX_OK)
            return nx_error_set(reterr, NX_EINVAL, "status: \"%.*s\" is none of ok, error, timeout, dead, skipped, cancelled, batched", NX_SLICE_FMT(status));
        scan.status = (int)s;
    }
    if (err != NX_OK)
        return err;
    nx_gw_resp_content_type(resp, NX_CORE_NDJSON);
    nx_buf *out = nx_gw_resp_body(resp);
    if (event.n)
        return runs_of_event(n, event, &scan, is_all, &a, out, reterr);
    scan.all_attempts = is_all;
    unsigned left = scan.limit;
    for (int replays = is_all; err == NX_OK && replays >= 0 && left; replays--) {
        nx_run *v = NULL;
        unsigned count = 0;
        scan.replays = replays;
        scan.limit = left;
        err = nx_fab_runs_recent(n->ns, &scan, &a, &v, &count, reterr);
        for (unsigned i = 0; err == NX_OK && i < count; i++, left--)
            err = run_line(&v[i], out);
    }
    return err;
}

void nx_core_admin_symbolise(nx_node *n, nx_run *r, nx_buf *out)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf module = NX_BUF_INIT(NX_CORE_MODULE_BYTES_MAX + 1);
    nx_sha256 artifact;
    if (!r->backtrace.n || nx_sha256_parse_hex(r->artifact, &artifact) != NX_OK || nx_fab_artifact_get(n->ns, &artifact, &module, NULL) != NX_OK)
        return;
    if (nx_rt_symbolise(n->rt, nx_buf_view(&module), r->backtrace, out, NULL) == NX_OK)
        r->backtrace = nx_buf_view(out);
}

nx_err nx_core_admin_run_with_attempts(const nx_run *r, const nx_run *all, unsigned n_all, nx_buf *out)
{
    nx_jw w = NX_JW_INIT(out);
    nx_err err = nx_run_to_json(r, true, &w);
    if (err != NX_OK || out->n == 0 || out->p[out->n - 1] != '}')
        return err != NX_OK ? err : NX_EBUG;
    out->n--;
    w = (nx_jw)NX_JW_INIT(out);
    err = nx_buf_append_cstr(out, ",\"attempts\":");
    nx_jw_array(&w);
    for (unsigned i = 0; err == NX_OK && i < n_all; i++)
        err = nx_run_to_json(&all[i], false, &w);
    nx_jw_array_end(&w);
    if (err == NX_OK)
        err = nx_jw_err(&w);
    return err == NX_OK ? nx_buf_append_char(out, '}') : err;
}

nx_err nx_core_admin_run(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_node *n = self;
    nx_id id;
    nx_run *all = NULL;
    unsigned n_all = 0;
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(LIST_ARENA_BYTES);
    nx_err err = nx_core_admin_require_ready(n, reterr);
    if (err == NX_OK)
        err = nx_fab_run_resolve(n->ns, nx_gw_req_param(req, "id"), &id, reterr);
    if (err == NX_OK)
        err = nx_fab_run_attempts(n->ns, &id, &a, &all, &n_all, reterr);
    if (err != NX_OK)
        return err;
    nx_run *r = &all[n_all - 1];
    NX_CLEANUP(nx_buf_done)
    nx_buf backtrace = NX_BUF_INIT(256u << 10);
    nx_core_admin_symbolise(n, r, &backtrace);
    return nx_core_admin_run_with_attempts(r, all, n_all, nx_gw_resp_body(resp));
}

/* ---- logs ------------------------------------------------------------------------------------------------------------------------------- */

nx_err nx_core_admin_logs(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_node *n = self;
    unsigned limit;
    nx_err err = nx_core_admin_limit(req, 200, &limit, reterr);
    nx_slice level = nx_gw_req_query(req, "level"), follow = nx_gw_req_query(req, "follow");
    nx_obs_log_filter f = {.function = nx_gw_req_query(req, "function"), .trace = nx_gw_req_query(req, "trace"), .event_id = nx_gw_req_query(req, "event")};
    if (n->opt.is_shared)
        f.ns = nx_slice_cstr(n->ns_name);
    if (err == NX_OK && level.n && nx_log_level_parse(level, &f.min_level) != NX_OK)
        err = nx_error_set(reterr, NX_EINVAL, "level: \"%.*s\" is none of debug, info, warn, error", NX_SLICE_FMT(level));
    if (err != NX_OK)
        return err;
    nx_gw_resp_content_type(resp, NX_CORE_NDJSON);
    NX_CLEANUP(nx_buf_done)
    nx_buf out = NX_BUF_INIT(8u << 20);
    uint64_t cursor = nx_obs_log_cursor_back(n->log, limit);
    do {
        nx_buf_clear(&out);
        err = nx_obs_log_read(n->log, &cursor, follow.p ? 500 : 0, &f, &out);
        if (err == NX_OK || err == NX_ETIMEOUT)
            err = nx_gw_resp_write(resp, nx_buf_view(&out));
    } while (err == NX_OK && (follow.p || out.n) && !nx_gw_req_is_canceled(req));
    return err == NX_ECLOSED ? NX_OK : err;
}

/* ---- invoke ------------------------------------------------------------------------------------------------------------------------------ */

typedef struct invocation {
    nx_ingest in;
    pthread_mutex_t mu;
    pthread_cond_t cv;
    bool is_done;
} invocation;

static void invocation_done(nx_ingest *in)
{
    invocation *x = in->owner;
    pthread_mutex_lock(&x->mu);
    x->is_done = true;
    pthread_cond_signal(&x->cv);
    pthread_mutex_unlock(&x->mu);
}

static nx_err invocation_answer(nx_ingest *in, nx_gw_resp *resp, nx_error *reterr)
{
    nx_gw_resp_header(resp, "Nexus-Event-Id", nx_id_slice(&in->event.event_id));
    if (in->err != NX_OK)
        return nx_error_set(reterr, in->err, "%s", in->detail.msg);
    nx_buf *out = nx_gw_resp_body(resp);
    if (in->answer) {
        char type[128];
        nx_gw_resp_status(resp, in->answer->status);
        if (nx_slice_to_cstr(in->answer->content_type, type, sizeof type) == NX_OK)
            nx_gw_resp_content_type(resp, type);
        return nx_buf_append_slice(out, in->answer->body);
    }
    nx_gw_resp_status(resp, 202);
    nx_jw w = NX_JW_INIT(out);
    nx_jw_object(&w);
    nx_jw_kstr(&w, "event_id", nx_id_slice(&in->event.event_id));
    nx_jw_kcstr(&w, "status", "published");
    nx_jw_kcstr(&w, "trace_id", in->event.trace.trace_id);
    nx_jw_object_end(&w);
    return nx_jw_err(&w);
}

static void invoke_event(nx_node *n, nx_gw_req *req, const nx_core_fn *fn, char time_text[NX_RFC3339_MAX], nx_event *e)
{
    nx_slice type = nx_gw_req_query(req, "type"), content_type = nx_gw_req_query(req, "content_type"), source = nx_gw_req_query(req, "source");
    uint64_t now = nx_clock_wall_ns();
    *e = (nx_event){.ns = nx_fab_ns_name(n->ns), .event_id = nx_ulid_new(now), .wall_ns = now, .data = nx_gw_req_body(req)};
    e->id = nx_id_slice(&e->event_id);
    e->type = type.n ? type : nx_slice_cstr(fn->invoke_type);
    e->source = source.n ? source : NX_SLICE("/nexus/invoke");
    e->subject = nx_gw_req_query(req, "subject");
    e->content_type = content_type.n ? content_type : NX_SLICE("application/json");
    e->time = nx_slice_make(time_text, nx_clock_rfc3339(now, 3, time_text));
    if (nx_trace_parse(nx_gw_req_header(req, "traceparent"), &e->trace) != NX_OK)
        nx_trace_new(&e->trace);
}

nx_err nx_core_admin_invoke(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_node *n = self;
    char time_text[NX_RFC3339_MAX], name[NX_FUNCTION_NAME_BYTES + 1] = "";
    uint64_t wait_s = 30;
    nx_slice wait = nx_gw_req_query(req, "wait");
    nx_err err = nx_core_admin_require_ready(n, reterr);
    if (err == NX_OK && wait.n && nx_slice_u64(wait, 300, &wait_s) != NX_OK)
        err = nx_error_set(reterr, NX_EINVAL, "wait: \"%.*s\" is not a number of seconds from 0 to 300", NX_SLICE_FMT(wait));
    nx_core_fn *fn = NULL;
    if (err == NX_OK && nx_slice_to_cstr(nx_gw_req_param(req, "name"), name, sizeof name) == NX_OK) {
        pthread_rwlock_rdlock(&n->snap_mu);
        for (nx_core_slot *s = n->slots; s && !fn; s = s->next)
            if (strcmp(s->name, name) == 0)
                fn = nx_core_slot_fn(s);
        pthread_rwlock_unlock(&n->snap_mu);
    }
    if (err == NX_OK && !fn)
        err = nx_error_set(reterr, NX_ENOENT, "there is no function '%s' on this node", name);
    if (err != NX_OK)
        return err;
    nx_slice type = nx_gw_req_query(req, "type");
    bool is_taken = !type.n;
    for (unsigned i = 0; !is_taken && i < fn->n_types; i++)
        is_taken = nx_event_type_matches(fn->types[i], type);
    if (!is_taken) {
        nx_core_fn_unref(fn);
        return nx_error_set(reterr, NX_EINVAL, "'%s' takes no events of type \"%.*s\"; leave the type out to use its own", name, NX_SLICE_FMT(type));
    }
    invocation x = {.in = {.wants_wait = wait_s > 0, .wait_ms = (uint32_t)wait_s * 1000, .done = invocation_done, .owner = &x}};
    x.in.wait_function = nx_slice_cstr(fn->name);
    pthread_mutex_init(&x.mu, NULL);
    pthread_cond_init(&x.cv, NULL);
    invoke_event(n, req, fn, time_text, &x.in.event);
    err = nx_event_validate(&x.in.event, reterr);
    if (err == NX_OK)
        err = nx_core_ingest_ops.publish(n, &x.in, reterr);
    if (err == NX_OK) {
        pthread_mutex_lock(&x.mu);
        while (!x.is_done) /* bounded by wait_ms and the publication's own limit */
            pthread_cond_wait(&x.cv, &x.mu);
        pthread_mutex_unlock(&x.mu);
        err = invocation_answer(&x.in, resp, reterr);
        if (x.in.answer)
            x.in.answer->release(x.in.answer);
    }
    pthread_cond_destroy(&x.cv);
    pthread_mutex_destroy(&x.mu);
    nx_core_fn_unref(fn);
    return err;
}
