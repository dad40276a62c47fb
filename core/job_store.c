/* job_store.c: the stored forms of jobs in the registry. */
#include "job_internal.h"
#include <stdio.h>

#define RECORD_BYTES (NX_JOB_SPEC_BYTES + 4096u)
#define STATE_BYTES (NX_JOB_SUMMARY_BYTES + (64u << 10))
#define ACTIVE_TRIES 32

static const char *const status_names[] = {"queued", "running", "done", "failed", "canceled"};

const char *nx_job_status_name(nx_job_status s) { return status_names[s]; }

static void key_of(const char *what, const nx_id *id, char key[64]) { snprintf(key, 64, "%s.%s", what, id->s); }

/* ---- progress ------------------------------------------------------------------------------------------------------------------------------ */

static void progress_write(const nx_job_progress *p, nx_jw *w)
{
    nx_jw_key(w, "progress");
    nx_jw_object(w);
    nx_jw_ku64(w, "done", p->done);
    nx_jw_ku64(w, "begin", p->begin);
    nx_jw_ku64(w, "at", p->at);
    nx_jw_ku64(w, "end", p->end);
    nx_jw_object_end(w);
}

static nx_job_progress progress_read(const nx_json *j)
{
    const nx_json *p = nx_json_get(j, "progress");
    return (nx_job_progress){.done = nx_json_get_u64(p, "done", 0), .begin = nx_json_get_u64(p, "begin", 0), .at = nx_json_get_u64(p, "at", 0), .end = nx_json_get_u64(p, "end", 0)};
}

/* ---- job.<id> ------------------------------------------------------------------------------------------------------------------------------ */

nx_err nx_job_record_parse(const nx_id *id, nx_slice json, nx_job_record *ret, nx_error *reterr)
{
    nx_json *j = NULL;
    nx_err err = nx_json_parse(json, RECORD_BYTES, &j, reterr);
    if (err != NX_OK)
        return err;
    *ret = (nx_job_record){.id = *id};
    nx_slice status = nx_json_get_str(j, "status");
    ret->status = NX_JOB_CANCELED + 1;
    for (unsigned i = 0; i < NX_ARRAY_LEN(status_names); i++)
        if (nx_slice_eq_cstr(status, status_names[i]))
            ret->status = (nx_job_status)i;
    bool is_good = ret->status <= NX_JOB_CANCELED && nx_slice_to_cstr(nx_json_get_str(j, "kind"), ret->kind, sizeof ret->kind) == NX_OK &&
                   nx_json_member_bytes(json, NX_SLICE("spec"), &ret->spec) == NX_OK;
    nx_slice error = nx_json_get_str(j, "error");
    snprintf(ret->error, sizeof ret->error, "%.*s", NX_SLICE_FMT(error));
    ret->created_wall_ns = nx_json_get_u64(j, "created_wall_ns", 0);
    ret->started_wall_ns = nx_json_get_u64(j, "started_wall_ns", 0);
    ret->ended_wall_ns = nx_json_get_u64(j, "ended_wall_ns", 0);
    ret->wants_cancel = nx_json_get_bool(j, "wants_cancel", false);
    ret->progress = progress_read(j);
    (void)nx_id_parse(nx_json_get_str(j, "home"), &ret->home); /* empty: nobody's */
    (void)nx_id_parse(nx_json_get_str(j, "node"), &ret->node);
    nx_json_free(j);
    return is_good ? NX_OK : nx_error_set(reterr, NX_ECORRUPT, "the stored job %s is damaged", id->s);
}

nx_err nx_job_record_get(nx_node *n, const nx_id *id, nx_arena *a, nx_job_record *ret, nx_error *reterr)
{
    char key[64];
    nx_slice json;
    uint64_t revision = 0;
    key_of("job", id, key);
    nx_err err = nx_fab_kv_get(n->ns, key, a, &json, &revision, reterr);
    if (err == NX_ENOENT)
        return nx_error_set(reterr, NX_ENOENT, "there is no job %s", id->s);
    if (err == NX_OK)
        err = nx_job_record_parse(id, json, ret, reterr);
    ret->revision = revision;
    return err;
}

nx_err nx_job_record_put(nx_node *n, nx_job_record *r, nx_error *reterr)
{
    char key[64];
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(RECORD_BYTES);
    nx_jw w = NX_JW_INIT(&b);
    nx_jw_object(&w);
    nx_jw_kcstr(&w, "kind", r->kind);
    nx_jw_kcstr(&w, "status", nx_job_status_name(r->status));
    nx_jw_ku64(&w, "created_wall_ns", r->created_wall_ns);
    nx_jw_ku64(&w, "started_wall_ns", r->started_wall_ns);
    nx_jw_ku64(&w, "ended_wall_ns", r->ended_wall_ns);
    nx_jw_kstr(&w, "home", nx_id_slice(&r->home));
    nx_jw_kstr(&w, "node", nx_id_slice(&r->node));
    nx_jw_kbool(&w, "wants_cancel", r->wants_cancel);
    nx_jw_kcstr(&w, "error", r->error);
    progress_write(&r->progress, &w);
    nx_jw_key(&w, "spec");
    nx_jw_raw(&w, r->spec);
    nx_jw_object_end(&w);
    key_of("job", &r->id, key);
    nx_err err = nx_jw_err(&w);
    if (err != NX_OK)
        return nx_error_set(reterr, err, "the job's description is larger than %u bytes", NX_JOB_SPEC_BYTES);
    return nx_fab_kv_put(n->ns, key, nx_buf_view(&b), r->revision, &r->revision, reterr);
}

/* ---- jobstate.<id> -------------------------------------------------------------------------------------------------------------------------- */

nx_err nx_job_state_get(nx_node *n, const nx_id *id, nx_arena *a, nx_job_state *ret, nx_error *reterr)
{
    char key[64];
    nx_slice json;
    uint64_t revision;
    nx_json *j = NULL;
    key_of("jobstate", id, key);
    *ret = (nx_job_state){0};
    nx_err err = nx_fab_kv_get(n->ns, key, a, &json, &revision, reterr);
    if (err == NX_ENOENT)
        return NX_OK;
    if (err == NX_OK)
        err = nx_json_parse(json, STATE_BYTES, &j, reterr);
    if (err != NX_OK)
        return err;
    ret->revision = revision;
    ret->progress = progress_read(j);
    (void)nx_id_parse(nx_json_get_str(j, "node"), &ret->node);
    (void)nx_json_member_bytes(json, NX_SLICE("place"), &ret->place); /* absent before the first save */
    (void)nx_json_member_bytes(json, NX_SLICE("summary"), &ret->summary);
    nx_json_free(j);
    return NX_OK;
}

nx_err nx_job_state_put(nx_node *n, const nx_id *id, nx_job_state *s, nx_error *reterr)
{
    char key[64];
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(STATE_BYTES);
    nx_jw w = NX_JW_INIT(&b);
    nx_jw_object(&w);
    nx_jw_kstr(&w, "node", nx_id_slice(&s->node));
    progress_write(&s->progress, &w);
    if (s->place.n) {
        nx_jw_key(&w, "place");
        nx_jw_raw(&w, s->place);
    }
    if (s->summary.n) {
        nx_jw_key(&w, "summary");
        nx_jw_raw(&w, s->summary);
    }
    nx_jw_object_end(&w);
    key_of("jobstate", id, key);
    nx_err err = nx_jw_err(&w);
    if (err != NX_OK)
        return nx_error_set(reterr, err, "the job's summary is larger than %u bytes", NX_JOB_SUMMARY_BYTES);
    return nx_fab_kv_put(n->ns, key, nx_buf_view(&b), s->revision, &s->revision, reterr);
}

nx_err nx_job_forget(nx_node *n, const nx_id *id, nx_error *reterr)
{
    char key[64];
    key_of("jobstate", id, key);
    nx_err err = nx_fab_kv_delete(n->ns, key, reterr);
    key_of("job", id, key);
    return err == NX_OK ? nx_fab_kv_delete(n->ns, key, reterr) : err;
}

/* ---- jobs.active: ids, each followed by a space -------------------------------------------------------------------------------------------- */

static nx_err active_read(nx_node *n, nx_id ret[NX_JOBS_ACTIVE_MAX], unsigned *ret_n, uint64_t *ret_revision, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(64u << 10);
    nx_slice text = NX_SLICE_NULL;
    nx_err err = nx_fab_kv_get(n->ns, "jobs.active", &a, &text, ret_revision, reterr);
    *ret_n = 0;
    if (err == NX_ENOENT) {
        *ret_revision = 0;
        return NX_OK;
    }
    while (err == NX_OK && text.n && *ret_n < NX_JOBS_ACTIVE_MAX)
        if (nx_id_parse(nx_slice_split(text, ' ', &text), &ret[*ret_n]) == NX_OK)
            ++*ret_n;
    return err;
}

nx_err nx_job_active_get(nx_node *n, nx_id ret[NX_JOBS_ACTIVE_MAX], unsigned *ret_n, nx_error *reterr)
{
    uint64_t revision;
    return active_read(n, ret, ret_n, &revision, reterr);
}

static nx_err active_write(nx_node *n, const nx_id *v, unsigned count, uint64_t revision, nx_error *reterr)
{
    char text[NX_JOBS_ACTIVE_MAX * (NX_ID_LEN + 1) + 1] = " "; /* never empty: that would be a deletion */
    size_t at = count ? 0 : 1;
    for (unsigned i = 0; i < count; i++)
        at += (size_t)snprintf(text + at, sizeof text - at, "%s ", v[i].s);
    return nx_fab_kv_put(n->ns, "jobs.active", nx_slice_make(text, at), revision, NULL, reterr);
}

nx_err nx_job_active_change(nx_node *n, const nx_id *id, bool is_active, nx_error *reterr)
{
    nx_err err = NX_ECONFLICT;
    for (int i = 0; i < ACTIVE_TRIES && (err == NX_ECONFLICT || err == NX_EEXIST); i++) {
        nx_id v[NX_JOBS_ACTIVE_MAX];
        unsigned count = 0, at = 0;
        uint64_t revision;
        err = active_read(n, v, &count, &revision, reterr);
        if (err != NX_OK)
            return err;
        while (at < count && strcmp(v[at].s, id->s) != 0)
            at++;
        if (is_active == (at < count))
            return NX_OK;
        if (is_active && count == NX_JOBS_ACTIVE_MAX)
            return nx_error_set(reterr, NX_EBUSY, "%d jobs are not over yet; cancel one, or wait", NX_JOBS_ACTIVE_MAX);
        if (is_active)
            v[count++] = *id;
        else
            v[at] = v[--count];
        err = active_write(n, v, count, revision, reterr);
    }
    return err;
}
