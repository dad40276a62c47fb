/* job_api.c: jobs from outside: asked for, listed, shown, canceled. */
#include "admin.h"
#include "job_internal.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define KEPT_MAX 100 /* jobs that are over */
#define CANCEL_TRIES 16
#define LIST_ARENA_BYTES (256u << 20)

/* ---- asking -------------------------------------------------------------------------------------------------------------------------------- */

/* Jobs that are over go, the oldest first. Their number is small, so one listing for each new job is enough. */
static void prune(nx_node *n)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(LIST_ARENA_BYTES);
    nx_kv *all = NULL;
    unsigned count = 0, over = 0;
    if (nx_fab_kv_list(n->ns, "job.", &a, &all, &count, NULL) != NX_OK)
        return;
    for (unsigned i = count; i-- > 0;) { /* sorted by key, so by time */
        nx_id id;
        nx_job_record r;
        if (nx_id_parse(nx_slice_sub(all[i].key, strlen("job."), all[i].key.n), &id) == NX_OK && nx_job_record_parse(&id, all[i].value, &r, NULL) == NX_OK &&
            nx_job_status_is_over(r.status) && ++over > KEPT_MAX)
            nx_job_forget(n, &id, NULL);
    }
}

/* The kind's word on what was asked, as a record that is not stored yet; its spec lies in `spec`. */
static nx_err make(nx_node *n, nx_slice kind, const nx_json *asked, nx_buf *spec, nx_job_record *ret, nx_error *reterr)
{
    const nx_job_kind *k = nx_job_board_kind(n->board, kind);
    if (!k)
        return nx_error_set(reterr, NX_EINVAL, "there is no job of kind \"%.*s\"", NX_SLICE_FMT(kind));
    nx_jw w = NX_JW_INIT(spec);
    nx_err err = k->prepare(n, asked, &w, reterr);
    if (err == NX_OK && nx_jw_err(&w) != NX_OK)
        err = nx_error_set(reterr, nx_jw_err(&w), "the job's description is larger than %u bytes", NX_JOB_SPEC_BYTES);
    *ret = (nx_job_record){.created_wall_ns = nx_clock_wall_ns(), .spec = nx_buf_view(spec)};
    snprintf(ret->kind, sizeof ret->kind, "%s", k->name);
    return err;
}

static void submitted(nx_node *n, const nx_job_record *r)
{
    nx_log(NX_LOG_INFO, "job.submitted", "job %s (%s) submitted", r->id.s, r->kind);
    nx_job_board_kick(n->board);
    prune(n);
}

nx_err nx_job_submit(nx_node *n, nx_slice kind, const nx_json *asked, char ret_id[NX_ID_LEN + 1], nx_error *reterr)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf spec = NX_BUF_INIT(NX_JOB_SPEC_BYTES);
    nx_job_record r;
    nx_err err = make(n, kind, asked, &spec, &r, reterr);
    r.id = nx_ulid_new(nx_clock_wall_ns());
    /* Its id first: an id without a job is dropped after a while, a job that is in no list would wait for ever. */
    if (err == NX_OK)
        err = nx_job_active_change(n, &r.id, true, reterr);
    if (err == NX_OK) {
        err = nx_job_record_put(n, &r, reterr);
        if (err != NX_OK)
            nx_job_active_change(n, &r.id, false, NULL);
    }
    if (err != NX_OK)
        return err;
    memcpy(ret_id, r.id.s, NX_ID_LEN + 1);
    submitted(n, &r);
    return NX_OK;
}

/* The record first: whoever finds it there already sees to it that it is in the list, as long as it is not over. */
nx_err nx_job_submit_as(nx_node *n, nx_slice kind, const nx_json *asked, const nx_id *id, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(1u << 20);
    NX_CLEANUP(nx_buf_done)
    nx_buf spec = NX_BUF_INIT(NX_JOB_SPEC_BYTES);
    nx_job_record r;
    nx_err err = make(n, kind, asked, &spec, &r, reterr);
    if (err != NX_OK)
        return err;
    r.id = *id;
    err = nx_job_record_put(n, &r, reterr);
    if (err == NX_EEXIST || err == NX_ECONFLICT)
        err = nx_job_record_get(n, id, &a, &r, reterr);
    if (err == NX_OK && !nx_job_status_is_over(r.status))
        err = nx_job_active_change(n, id, true, reterr);
    if (err == NX_OK)
        submitted(n, &r);
    return err;
}

nx_err nx_job_cancel(nx_node *n, const nx_id *id, nx_error *reterr)
{
    nx_err err = NX_ECONFLICT;
    for (int i = 0; i < CANCEL_TRIES && err == NX_ECONFLICT; i++) {
        NX_CLEANUP(nx_arena_done)
        nx_arena a = NX_ARENA_INIT(1u << 20);
        nx_job_record r;
        err = nx_job_record_get(n, id, &a, &r, reterr);
        if (err != NX_OK)
            return err;
        if (nx_job_status_is_over(r.status))
            return nx_error_set(reterr, NX_ECONFLICT, "job %s is %s already", id->s, nx_job_status_name(r.status));
        r.wants_cancel = true;
        err = nx_job_record_put(n, &r, reterr);
    }
    if (err == NX_OK && !nx_job_board_cancel(n->board, id))
        nx_job_board_kick(n->board); /* queued, or another node's, which looks within seconds */
    return err;
}

/* ---- reading ------------------------------------------------------------------------------------------------------------------------------- */

static void key_time(nx_jw *w, const char *key, uint64_t wall_ns)
{
    char text[NX_RFC3339_MAX];
    if (wall_ns)
        nx_jw_kstr(w, key, nx_slice_make(text, nx_clock_rfc3339(wall_ns, 3, text)));
}

static void write_progress(nx_jw *w, const nx_job_record *r, const nx_job_progress *p, double done_per_s, double at_per_s)
{
    nx_jw_key(w, "progress");
    nx_jw_object(w);
    nx_jw_ku64(w, "events", p->done);
    if (p->end) {
        double whole = p->end >= p->begin ? (double)(p->end - p->begin + 1) : 0, part = p->at > p->begin ? (double)(p->at - p->begin) : 0;
        double share = r->status == NX_JOB_DONE || whole <= 0 ? 1 : part < whole ? part / whole
                                                                                 : 1;
        nx_jw_kdouble(w, "percent", share * 100);
        if (!nx_job_status_is_over(r->status) && at_per_s > 0)
            nx_jw_kdouble(w, "eta_s", (whole - part > 0 ? whole - part : 0) / at_per_s);
    }
    if (nx_job_status_is_over(r->status) && r->ended_wall_ns > r->started_wall_ns)
        done_per_s = (double)p->done * 1e9 / (double)(r->ended_wall_ns - r->started_wall_ns);
    nx_jw_kdouble(w, "events_per_s", done_per_s);
    nx_jw_object_end(w);
}

/* A job that works and has no place yet is "queued" for nobody: its record tells. */
static nx_err write_job(nx_node *n, const nx_job_record *r, bool with_summary, nx_jw *w, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(8u << 20);
    nx_job_state s = {0};
    nx_job_progress p = r->progress;
    double done_per_s = 0, at_per_s = 0;
    bool is_here = nx_job_board_progress(n->board, &r->id, &p, &done_per_s, &at_per_s);
    nx_err err = with_summary || (!is_here && r->status == NX_JOB_RUNNING) ? nx_job_state_get(n, &r->id, &a, &s, reterr) : NX_OK;
    if (err != NX_OK)
        return err;
    if (!is_here && !nx_job_status_is_over(r->status))
        p = s.progress;
    nx_jw_object(w);
    nx_jw_kstr(w, "namespace", nx_fab_ns_name(n->ns));
    nx_jw_kcstr(w, "job_id", r->id.s);
    nx_jw_kcstr(w, "kind", r->kind);
    nx_jw_kcstr(w, "status", nx_job_status_name(r->status));
    key_time(w, "created_at", r->created_wall_ns);
    key_time(w, "started_at", r->started_wall_ns);
    key_time(w, "ended_at", r->ended_wall_ns);
    if (r->status == NX_JOB_RUNNING)
        nx_jw_kstr(w, "node", nx_id_slice(&r->node));
    if (r->error[0])
        nx_jw_kcstr(w, "error", r->error);
    write_progress(w, r, &p, done_per_s, at_per_s);
    nx_jw_key(w, "spec");
    nx_jw_raw(w, r->spec);
    if (with_summary && s.summary.n) {
        nx_jw_key(w, "summary");
        nx_jw_raw(w, s.summary);
    }
    nx_jw_object_end(w);
    return nx_jw_err(w);
}

nx_err nx_job_to_json(nx_node *n, const nx_id *id, bool with_summary, nx_jw *w, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(1u << 20);
    nx_job_record r;
    nx_err err = nx_job_record_get(n, id, &a, &r, reterr);
    return err == NX_OK ? write_job(n, &r, with_summary, w, reterr) : err;
}

typedef nx_err (*visit_fn)(void *self, const nx_job_record *r, nx_error *reterr);

/* Newest first; NX_ECANCELED from the visitor ends it. */
static nx_err each(nx_node *n, visit_fn visit, void *self, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(LIST_ARENA_BYTES);
    nx_kv *all = NULL;
    unsigned count = 0;
    nx_err err = nx_fab_kv_list(n->ns, "job.", &a, &all, &count, reterr);
    for (unsigned i = count; err == NX_OK && i-- > 0;) {
        nx_id id;
        nx_job_record r;
        if (nx_id_parse(nx_slice_sub(all[i].key, strlen("job."), all[i].key.n), &id) == NX_OK && nx_job_record_parse(&id, all[i].value, &r, NULL) == NX_OK)
            err = visit(self, &r, reterr);
    }
    return err == NX_ECANCELED ? NX_OK : err;
}

typedef struct listing {
    nx_node *n;
    nx_slice kind;
    bool with_summary;
    nx_buf *out;
} listing;

static nx_err list_one(void *self, const nx_job_record *r, nx_error *reterr)
{
    const listing *l = self;
    if (l->kind.n && !nx_slice_eq_cstr(l->kind, r->kind))
        return NX_OK;
    nx_jw w = NX_JW_INIT(l->out);
    nx_err err = write_job(l->n, r, l->with_summary, &w, reterr);
    return err == NX_OK ? nx_buf_append_char(l->out, '\n') : err;
}

nx_err nx_job_list(nx_node *n, nx_slice kind, bool with_summary, nx_buf *out, nx_error *reterr)
{
    listing l = {n, kind, with_summary, out};
    return each(n, list_one, &l, reterr);
}

typedef struct search {
    nx_slice text;
    bool is_last;
    nx_id found;
    unsigned count;
} search;

static nx_err match(void *self, const nx_job_record *r, nx_error *reterr)
{
    (void)reterr;
    search *s = self;
    nx_slice id = nx_id_slice(&r->id);
    if (!s->is_last && !nx_slice_ieq(nx_slice_sub(id, id.n - s->text.n, s->text.n), s->text))
        return NX_OK;
    s->found = r->id;
    s->count++;
    return s->is_last ? NX_ECANCELED : NX_OK;
}

nx_err nx_job_resolve(nx_node *n, nx_slice text, nx_id *ret, nx_error *reterr)
{
    search s = {.text = text, .is_last = nx_slice_eq_cstr(text, "@last")};
    if (nx_id_parse(text, ret) == NX_OK)
        return NX_OK;
    bool is_ending = text.n >= 4 && text.n < NX_ID_LEN;
    for (size_t i = 0; is_ending && i < text.n; i++)
        is_ending = isalnum((unsigned char)text.p[i]);
    if (!s.is_last && !is_ending)
        return nx_error_set(reterr, NX_EINVAL, "\"%.*s\" is not a job id, the end of one (4 characters or more) or @last", NX_SLICE_FMT(text));
    nx_err err = each(n, match, &s, reterr);
    if (err == NX_OK && s.count == 0)
        err = nx_error_set(reterr, NX_ENOENT, s.is_last ? "there is no job yet%.*s" : "no job ends with \"%.*s\"", s.is_last ? 0 : (int)text.n, text.p);
    else if (err == NX_OK && s.count > 1)
        err = nx_error_set(reterr, NX_ECONFLICT, "%u jobs end with \"%.*s\"; write more of the id", s.count, NX_SLICE_FMT(text));
    if (err == NX_OK)
        *ret = s.found;
    return err;
}

/* ---- routes -------------------------------------------------------------------------------------------------------------------------------- */

nx_err nx_core_admin_job_post(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_node *n = self;
    nx_json *body = NULL;
    nx_id id;
    nx_err err = nx_core_admin_require_ready(n, reterr);
    if (err == NX_OK)
        err = nx_json_parse(nx_gw_req_body(req), NX_JOB_SPEC_BYTES, &body, reterr);
    if (err != NX_OK)
        return err;
    nx_slice kind = nx_json_get_str(body, "kind");
    const nx_json *spec = nx_json_get(body, "spec");
    if (!kind.n || nx_json_typeof(spec) != NX_JSON_OBJECT)
        err = nx_error_set(reterr, NX_EINVAL, "the body is {\"kind\": \"replay\", \"spec\": {…}}");
    else
        err = nx_job_submit(n, kind, spec, id.s, reterr);
    nx_json_free(body);
    if (err != NX_OK)
        return err;
    nx_gw_resp_status(resp, 201);
    nx_jw w = NX_JW_INIT(nx_gw_resp_body(resp));
    return nx_job_to_json(n, &id, false, &w, reterr);
}

nx_err nx_core_admin_jobs(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_err err = nx_core_admin_require_ready(self, reterr);
    nx_gw_resp_content_type(resp, NX_CORE_NDJSON);
    return err == NX_OK ? nx_job_list(self, nx_gw_req_query(req, "kind"), nx_gw_req_query(req, "summary").p != NULL, nx_gw_resp_body(resp), reterr) : err;
}

static nx_err find(void *self, const nx_gw_req *req, nx_id *ret, nx_error *reterr)
{
    nx_err err = nx_core_admin_require_ready(self, reterr);
    return err == NX_OK ? nx_job_resolve(self, nx_gw_req_param(req, "id"), ret, reterr) : err;
}

nx_err nx_core_admin_job(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_id id;
    nx_err err = find(self, req, &id, reterr);
    nx_jw w = NX_JW_INIT(nx_gw_resp_body(resp));
    return err == NX_OK ? nx_job_to_json(self, &id, true, &w, reterr) : err;
}

nx_err nx_core_admin_job_cancel(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_id id;
    nx_err err = find(self, req, &id, reterr);
    if (err == NX_OK)
        err = nx_job_cancel(self, &id, reterr);
    nx_jw w = NX_JW_INIT(nx_gw_resp_body(resp));
    return err == NX_OK ? nx_job_to_json(self, &id, false, &w, reterr) : err;
}
