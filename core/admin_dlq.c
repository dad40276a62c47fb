/* admin_dlq.c: the admin API of the dead-letter queue: list, show, redrive, purge. */
#include "admin.h"
#include "dlq.h"

#define ARENA_BYTES (256u << 20)
#define BATCH 200u /* of one request; clients ask again from where it ended */
#define BATCH_MAX 1000u
#define RATE_MAX 100000u
#define MESSAGE_BYTES 1024 /* of a list's line */

/* ---- selecting --------------------------------------------------------------------------------------------------------------------------------- */

typedef struct texts { /* of the query or of a body */
    nx_slice function, type, why, since, until;
} texts;

static nx_err filter_of(const texts *t, nx_core_dlq_filter *ret, nx_error *reterr)
{
    nx_err err = NX_OK;
    ret->function = t->function;
    ret->type = t->type;
    if (t->type.n)
        err = nx_event_type_pattern_check(t->type, reterr);
    if (err == NX_OK && t->why.n && (nx_run_why_parse(t->why, &ret->why) != NX_OK || ret->why == NX_WHY_NONE))
        err = nx_error_set(reterr, NX_EINVAL, "why: \"%.*s\" is no reason of a failure", NX_SLICE_FMT(t->why));
    if (err == NX_OK && t->since.n)
        err = nx_clock_parse_when("since", t->since, nx_clock_wall_ns(), &ret->since_wall_ns, reterr);
    if (err == NX_OK && t->until.n)
        err = nx_clock_parse_when("until", t->until, nx_clock_wall_ns(), &ret->until_wall_ns, reterr);
    return err;
}

/* An id of an event or a run, the end of one, or @last: the newest dead letter. */
static nx_err select_id(nx_node *n, nx_slice text, nx_core_dlq_filter f, nx_arena *a, uint64_t **ret, unsigned *ret_n, nx_error *reterr)
{
    nx_id id;
    nx_error why = NX_ERROR_INIT;
    unsigned matching;
    nx_err err = NX_OK;
    if (nx_slice_eq_cstr(text, "@last")) {
        f.newest_first = true;
        f.limit = 1;
    } else {
        err = nx_fab_event_resolve(n->ns, text, &id, &why);
        if (err == NX_ENOENT)
            err = nx_fab_run_resolve(n->ns, text, &id, &why);
        if (err != NX_OK)
            return nx_error_set(reterr, err, "%s", why.msg);
        f.id = &id;
    }
    err = nx_core_dlq_select(n, &f, a, ret, ret_n, &matching, reterr);
    if (err == NX_OK && *ret_n == 0)
        err = nx_error_set(reterr, NX_ENOENT, "\"%.*s\" is not in the dead-letter queue: it did not fail, or was redriven, purged or trimmed", NX_SLICE_FMT(text));
    return err;
}

/* ---- list ------------------------------------------------------------------------------------------------------------------------------------------ */

/* The run's keys and two more. */
static nx_err line(const nx_run *r, nx_buf *out)
{
    nx_jw w = NX_JW_INIT(out);
    nx_err err = nx_run_to_json(r, false, &w);
    if (err != NX_OK)
        return err;
    out->n--; /* its brace */
    err = nx_buf_append_cstr(out, ",\"event_type\":");
    w = (nx_jw)NX_JW_INIT(out);
    nx_jw_str(&w, r->event_type);
    if (err == NX_OK && (err = nx_jw_err(&w)) == NX_OK)
        err = nx_buf_append_cstr(out, ",\"message\":");
    w = (nx_jw)NX_JW_INIT(out);
    nx_jw_str(&w, nx_slice_sub(r->message, 0, MESSAGE_BYTES));
    if (err == NX_OK)
        err = nx_jw_err(&w);
    return err == NX_OK ? nx_buf_append_cstr(out, "}\n") : err;
}

nx_err nx_core_admin_dlq(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_node *n = self;
    nx_core_dlq_filter f = {.newest_first = true};
    texts t = {nx_gw_req_query(req, "function"), nx_gw_req_query(req, "type"), nx_gw_req_query(req, "why"), nx_gw_req_query(req, "since"), nx_gw_req_query(req, "until")};
    uint64_t *seqs = NULL;
    unsigned count = 0, matching = 0;
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(ARENA_BYTES), scratch = NX_ARENA_INIT(ARENA_BYTES);
    nx_err err = nx_core_admin_require_ready(n, reterr);
    if (err == NX_OK)
        err = nx_core_admin_limit(req, 20, &f.limit, reterr);
    if (err == NX_OK)
        err = filter_of(&t, &f, reterr);
    if (err == NX_OK)
        err = nx_core_dlq_select(n, &f, &a, &seqs, &count, &matching, reterr);
    if (err != NX_OK)
        return err;
    if (nx_gw_req_query(req, "count").n) {
        nx_jw w = NX_JW_INIT(nx_gw_resp_body(resp));
        nx_jw_object(&w);
        nx_jw_ku64(&w, "matching", matching);
        nx_jw_kbool(&w, "is_cut", nx_core_dlq_is_cut(n->dlq)); /* older ones are not counted */
        nx_jw_object_end(&w);
        return nx_jw_err(&w);
    }
    nx_gw_resp_content_type(resp, NX_CORE_NDJSON);
    for (unsigned i = 0; i < count && err == NX_OK; i++) {
        nx_run r;
        nx_arena_reset(&scratch);
        err = nx_fab_run_get_seq(n->ns, seqs[i], &scratch, &r, reterr);
        if (err == NX_OK)
            err = line(&r, nx_gw_resp_body(resp));
        else if (err == NX_ENOENT) /* trimmed a moment ago */
            err = NX_OK;
    }
    nx_arena_done(&scratch);
    return err;
}

/* ---- show ------------------------------------------------------------------------------------------------------------------------------------------ */

/* The record, its attempts, and the event as far as the log still has it. */
static nx_err show_one(nx_node *n, uint64_t seq, nx_arena *a, nx_buf *out, nx_error *reterr)
{
    nx_run r, *all = NULL;
    nx_event e;
    unsigned n_all = 0;
    nx_err err = nx_fab_run_get_seq(n->ns, seq, a, &r, reterr);
    if (err == NX_OK)
        err = nx_fab_run_attempts(n->ns, &r.run_id, a, &all, &n_all, reterr);
    if (err != NX_OK)
        return err;
    NX_CLEANUP(nx_buf_done)
    nx_buf backtrace = NX_BUF_INIT(256u << 10), event = NX_BUF_INIT(NX_GW_RESP_BODY_MAX / 2);
    nx_core_admin_symbolise(n, &r, &backtrace);
    err = nx_core_admin_run_with_attempts(&r, all, n_all, out);
    if (err == NX_OK && nx_fab_event_get_seq(n->ns, r.event_seq, a, &e, NULL) == NX_OK && strcmp(e.event_id.s, r.event_id.s) == 0)
        err = nx_event_to_json(&e, &event);
    if (err == NX_OK) {
        out->n--; /* its brace */
        err = nx_buf_printf(out, ",\"event\":%.*s}\n", event.n ? (int)event.n : 4, event.n ? event.p : "null");
    }
    nx_buf_done(&event);
    return err;
}

nx_err nx_core_admin_dlq_show(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_node *n = self;
    nx_core_dlq_filter f = {.function = nx_gw_req_query(req, "function"), .newest_first = true};
    uint64_t *seqs = NULL;
    unsigned count = 0;
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(ARENA_BYTES);
    nx_err err = nx_core_admin_require_ready(n, reterr);
    if (err == NX_OK)
        err = select_id(n, nx_gw_req_param(req, "id"), f, &a, &seqs, &count, reterr);
    nx_gw_resp_content_type(resp, NX_CORE_NDJSON);
    for (unsigned i = 0; i < count && err == NX_OK; i++)
        err = show_one(n, seqs[i], &a, nx_gw_resp_body(resp), reterr);
    return err;
}

/* ---- redrive, purge ---------------------------------------------------------------------------------------------------------------------------------- */

typedef struct request {
    nx_json *body;
    nx_core_dlq_filter f;
    const nx_json *ids; /* NULL: by filter */
    bool is_purge;
    nx_core_redrive how;
    uint64_t rate, not_before_ns; /* rate 0: all at once */
    uint64_t *seqs;
    unsigned n_seqs, matching;
} request;

static nx_err parse_how(request *q, nx_error *reterr)
{
    nx_slice against = nx_json_get_str(q->body, "against"), effects = nx_json_get_str(q->body, "effects"), not_before = nx_json_get_str(q->body, "not_before");
    q->how.effects = NX_EFFECTS_LIVE;
    if (nx_slice_to_cstr(nx_slice_eq_cstr(against, "live") ? NX_SLICE("") : against, q->how.version, sizeof q->how.version) != NX_OK)
        return nx_error_set(reterr, NX_EINVAL, "against: \"%.*s\" is not a version (v7) or an alias", NX_SLICE_FMT(against));
    if (effects.n && nx_effects_policy_parse(effects, &q->how.effects) != NX_OK)
        return nx_error_set(reterr, NX_EINVAL, "effects: \"%.*s\" is none of recorded, deny, live", NX_SLICE_FMT(effects));
    q->rate = nx_json_get_u64(q->body, "rate", 0);
    if (q->rate > RATE_MAX)
        return nx_error_set(reterr, NX_EINVAL, "rate: at most %u events a second", RATE_MAX);
    if (not_before.n && nx_clock_parse_rfc3339(not_before, &q->not_before_ns) != NX_OK)
        return nx_error_set(reterr, NX_EINVAL, "not_before: \"%.*s\" is not a time", NX_SLICE_FMT(not_before));
    return NX_OK;
}

static nx_err parse(nx_gw_req *req, bool is_purge, request *q, nx_error *reterr)
{
    nx_err err = nx_json_parse(nx_gw_req_body(req), 1u << 20, &q->body, reterr);
    if (err != NX_OK)
        return err;
    texts t = {nx_json_get_str(q->body, "function"), nx_json_get_str(q->body, "type"), nx_json_get_str(q->body, "why"), nx_json_get_str(q->body, "since"),
               nx_json_get_str(q->body, "until")};
    q->is_purge = is_purge;
    q->ids = nx_json_get(q->body, "ids");
    q->f.after_seq = nx_json_get_u64(q->body, "after", 0);
    q->f.limit = (unsigned)nx_json_get_u64(q->body, "limit", BATCH);
    if (q->f.limit == 0 || q->f.limit > BATCH_MAX || nx_json_len(q->ids) > BATCH_MAX)
        return nx_error_set(reterr, NX_EINVAL, "limit, ids: from 1 to %u in one request", BATCH_MAX);
    if (!q->ids && !t.function.n && !t.type.n && !t.why.n && !t.since.n && !t.until.n && !nx_json_get_bool(q->body, "all", false))
        return nx_error_set(reterr, NX_EINVAL, "the body names ids, a filter (function, type, why, since, until), or says \"all\": true");
    err = filter_of(&t, &q->f, reterr);
    return err == NX_OK ? parse_how(q, reterr) : err;
}

static nx_err select_all(nx_node *n, request *q, nx_arena *a, nx_error *reterr)
{
    if (!q->ids)
        return nx_core_dlq_select(n, &q->f, a, &q->seqs, &q->n_seqs, &q->matching, reterr);
    nx_core_dlq_filter f = q->f;
    nx_err err = NX_OK;
    q->seqs = nx_arena_alloc(a, BATCH_MAX * sizeof *q->seqs);
    if (!q->seqs)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    f.limit = 0;
    for (size_t i = 0; i < nx_json_len(q->ids) && err == NX_OK; i++) {
        uint64_t *seqs = NULL;
        unsigned count = 0;
        err = select_id(n, nx_json_str(nx_json_at(q->ids, i)), f, a, &seqs, &count, reterr);
        for (unsigned k = 0; k < count && err == NX_OK && q->n_seqs < BATCH_MAX; k++)
            q->seqs[q->n_seqs++] = seqs[k];
    }
    q->matching = q->n_seqs;
    return err;
}

/* What became of one; its own failure is its own answer, unless the log is not there. */
static nx_err act(nx_node *n, request *q, uint64_t seq, uint64_t due_wall_ns, nx_arena *scratch, nx_jw *w, nx_error *reterr)
{
    nx_run r;
    nx_id new_run = {{0}};
    nx_error why = NX_ERROR_INIT;
    nx_arena_reset(scratch);
    nx_err err = nx_fab_run_get_seq(n->ns, seq, scratch, &r, &why);
    if (err == NX_ENOENT)
        return NX_OK; /* trimmed a moment ago */
    q->how.due_wall_ns = due_wall_ns;
    if (err == NX_OK && q->is_purge)
        err = nx_core_purge_run(n, &r, &why);
    else if (err == NX_OK)
        err = nx_core_redrive_run(n, &r, &q->how, &new_run, &why);
    if (err != NX_OK && err != NX_ENOENT)
        return nx_error_set(reterr, err, "%s", why.msg);
    nx_jw_object(w);
    nx_jw_kstr(w, "namespace", r.ns);
    nx_jw_kstr(w, "event_id", nx_id_slice(&r.event_id));
    nx_jw_kstr(w, "function", r.function);
    nx_jw_kstr(w, "run_id", nx_id_slice(&r.run_id));
    nx_jw_kcstr(w, "result", err != NX_OK ? "failed" : q->is_purge ? "purged"
                                                                   : "redriven");
    if (err != NX_OK)
        nx_jw_kcstr(w, "reason", why.msg);
    else if (!q->is_purge) {
        char due[NX_RFC3339_MAX];
        nx_jw_kstr(w, "new_run_id", nx_id_slice(&new_run));
        nx_jw_ku64(w, "generation", r.generation + 1);
        nx_jw_kstr(w, "due_at", nx_slice_make(due, nx_clock_rfc3339(due_wall_ns, 3, due)));
    }
    nx_jw_object_end(w);
    return NX_OK;
}

static nx_err act_on_all(nx_node *n, request *q, const nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_jw w = NX_JW_INIT(nx_gw_resp_body(resp));
    uint64_t now = nx_clock_wall_ns(), begin = q->not_before_ns > now ? q->not_before_ns : now, step = q->rate ? NX_NS_PER_S / q->rate : 0, done_seq = q->f.after_seq;
    NX_CLEANUP(nx_arena_done)
    nx_arena scratch = NX_ARENA_INIT(ARENA_BYTES);
    nx_err err = NX_OK;
    unsigned done = 0;
    nx_jw_object(&w);
    nx_jw_ku64(&w, "matching", q->matching);
    nx_jw_key(&w, "events");
    nx_jw_array(&w);
    for (; done < q->n_seqs && err == NX_OK && !nx_gw_req_is_canceled(req); done++) {
        err = act(n, q, q->seqs[done], begin + (done + (q->not_before_ns > now)) * step, &scratch, &w, reterr);
        if (err == NX_OK)
            done_seq = q->seqs[done];
    }
    nx_jw_array_end(&w);
    nx_jw_ku64(&w, "after", done_seq); /* where the next request goes on */
    nx_jw_ku64(&w, "left", q->matching - done);
    nx_jw_object_end(&w);
    return err == NX_OK ? nx_jw_err(&w) : err;
}

static nx_err handle(nx_node *n, bool is_purge, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    request q = {0};
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(ARENA_BYTES);
    nx_err err = nx_core_admin_require_ready(n, reterr);
    if (err == NX_OK)
        err = parse(req, is_purge, &q, reterr);
    if (err == NX_OK && q.how.version[0] && !q.f.function.n)
        err = nx_error_set(reterr, NX_EINVAL, "against: a version is one of a function; name the function too");
    if (err == NX_OK && q.how.version[0])
        err = nx_core_redrive_check(n, q.f.function, &q.how, reterr);
    if (err == NX_OK)
        err = select_all(n, &q, &a, reterr);
    if (err == NX_OK)
        err = act_on_all(n, &q, req, resp, reterr);
    nx_json_free(q.body);
    return err;
}

nx_err nx_core_admin_dlq_redrive(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr) { return handle(self, false, req, resp, reterr); }
nx_err nx_core_admin_dlq_purge(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr) { return handle(self, true, req, resp, reterr); }
