/* shadow.c: the job "shadow": every run of a function from now on is repeated by other code as soon as it is recorded, from its recorded effects. */
#include "nx/shadow.h"
#include "range_job.h"
#include <stdio.h>

#define LIST_BYTES (64u << 20)

/* ---- the job --------------------------------------------------------------------------------------------------------------------------------- */

static bool is_running(const nx_json *job)
{
    nx_slice status = nx_json_get_str(job, "status");
    return nx_slice_eq_cstr(status, "queued") || nx_slice_eq_cstr(status, "running");
}

/* The newest shadow of the function that is not over, parsed; `ret` may be NULL. */
static nx_err find(nx_node *n, nx_slice function, nx_slice artifact, nx_json **ret, nx_error *reterr)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf lines = NX_BUF_INIT(LIST_BYTES);
    nx_err err = nx_job_list(n, NX_SLICE("shadow"), true, &lines, reterr);
    for (nx_slice rest = nx_buf_view(&lines); err == NX_OK && rest.n;) {
        nx_json *job = NULL;
        if (nx_json_parse(nx_slice_split(rest, '\n', &rest), LIST_BYTES, &job, NULL) != NX_OK)
            continue;
        const nx_json *spec = nx_json_get(job, "spec");
        bool is_it = is_running(job) && nx_slice_eq(nx_json_get_str(spec, "function"), function) &&
                     (!artifact.n || nx_slice_eq(nx_json_get_str(spec, "artifact"), artifact));
        if (is_it && ret)
            *ret = job;
        else
            nx_json_free(job);
        if (is_it)
            return NX_OK;
    }
    return err == NX_OK ? NX_ENOENT : err;
}

static nx_err prepare(nx_node *n, const nx_json *asked, nx_jw *w, nx_error *reterr)
{
    nx_slice function = nx_json_get_str(asked, "function"), against = nx_json_get_str(asked, "against");
    uint64_t from, to;
    nx_core_version live;
    nx_sha256 other;
    char hex[NX_SHA256_HEX + 1];
    if (!function.n || !against.n)
        return nx_error_set(reterr, NX_EINVAL, "a shadow needs a function and the code that runs beside it (against)");
    if (nx_slice_eq_cstr(nx_json_get_str(asked, "effects"), "live"))
        return nx_error_set(reterr, NX_EINVAL, "effects: a shadow answers host calls from the recording, or denies them; live would do everything twice");
    nx_err err = nx_core_version_live(n, function, &live, reterr);
    if (err == NX_OK)
        nx_core_version_done(&live);
    if (err == NX_OK && nx_sha256_parse_hex(against, &other) != NX_OK)
        err = nx_core_version_artifact(n, function, against, &other, reterr);
    if (err != NX_OK)
        return err;
    nx_sha256_hex(&other, hex);
    err = find(n, function, nx_slice_make(hex, NX_SHA256_HEX), NULL, reterr);
    if (err == NX_OK)
        return nx_error_set(reterr, NX_ECONFLICT, "'%.*s' has this shadow already", NX_SLICE_FMT(function));
    if (err != NX_ENOENT)
        return err;
    nx_jw_object(w);
    err = nx_range_spec_write(n, asked, w, reterr);
    if (err == NX_OK)
        err = nx_fab_range_bounds(nx_core_namespace(n), false, 0, 0, &from, &to, reterr);
    if (err != NX_OK)
        return err;
    nx_jw_ku64(w, "from", to + 1);
    nx_jw_object_end(w);
    return NX_OK;
}

static nx_err run(nx_node *n, nx_job *job, nx_error *reterr)
{
    nx_range_options o;
    nx_err err = nx_range_spec_read(nx_job_spec(job), &o, reterr);
    o.is_following = true;
    o.workers = 1; /* it is always there, so it takes one core at most */
    return err == NX_OK ? nx_range_run(n, job, &o, reterr) : err;
}

const nx_job_kind nx_shadow_job = {.name = "shadow", .is_endless = true, .prepare = prepare, .run = run};

/* ---- promotion ------------------------------------------------------------------------------------------------------------------------------- */

static nx_err check(const nx_json *job, nx_slice function, uint64_t min_events, nx_shadow_proof *ret, nx_error *reterr)
{
    const nx_json *r = nx_json_get(nx_json_get(job, "summary"), "results");
    uint64_t failed = nx_json_get_u64(r, "failed", 0);
    nx_slice against = nx_json_get_str(nx_json_get(job, "spec"), "against");
    ret->diffs = nx_json_get_u64(r, "diverged", 0) + failed;
    ret->events = nx_json_get_u64(r, "identical", 0) + ret->diffs;
    snprintf(ret->against, sizeof ret->against, "%.*s", NX_SLICE_FMT(against));
    if (nx_id_parse(nx_json_get_str(job, "job_id"), &ret->job) != NX_OK)
        return nx_error_set(reterr, NX_ECORRUPT, "a job without an id");
    if (ret->diffs)
        return nx_error_set(reterr, NX_ECONFLICT, "'%.*s': %llu of %llu events came out otherwise (%llu could not be repeated); see nexus jobs show %s", NX_SLICE_FMT(function),
                            (unsigned long long)ret->diffs, (unsigned long long)ret->events, (unsigned long long)failed, ret->job.s);
    if (ret->events < min_events)
        return nx_error_set(reterr, NX_ECONFLICT, "'%.*s': %llu events, 0 diffs so far; %llu are asked for", NX_SLICE_FMT(function), (unsigned long long)ret->events,
                            (unsigned long long)min_events);
    return NX_OK;
}

static nx_err go_live(nx_node *n, nx_slice function, const nx_shadow_proof *proof, char ret_version[32], nx_error *reterr)
{
    nx_slice against = nx_slice_cstr(proof->against);
    nx_core_deployment d = {.function = function, .alias = NX_SLICE("live")};
    nx_core_version live;
    bool is_created;
    if (nx_sha256_parse_hex(against, &d.artifact) != NX_OK) {
        snprintf(ret_version, 32, "%s", proof->against);
        return nx_core_make_live(n, function, against, reterr);
    }
    NX_CLEANUP(nx_buf_done)
    nx_buf settings = NX_BUF_INIT(1u << 20);
    nx_err err = nx_core_version_live(n, function, &live, reterr);
    if (err != NX_OK)
        return err;
    nx_jw w = NX_JW_INIT(&settings);
    err = nx_fn_config_to_json(live.settings, &w);
    nx_core_version_done(&live);
    d.settings = nx_buf_view(&settings);
    return err == NX_OK ? nx_core_deploy(n, &d, ret_version, &is_created, reterr) : err;
}

nx_err nx_shadow_promote(nx_node *n, nx_slice function, uint64_t min_events, nx_shadow_proof *ret, char ret_version[32], nx_error *reterr)
{
    nx_json *job = NULL;
    nx_core_version live = {0};
    nx_err err = find(n, function, NX_SLICE_NULL, &job, reterr);
    if (err == NX_ENOENT)
        return nx_error_set(reterr, NX_ENOENT, "no shadow of '%.*s' is running", NX_SLICE_FMT(function));
    if (err == NX_OK)
        err = check(job, function, min_events, ret, reterr);
    nx_json_free(job);
    if (err == NX_OK)
        err = nx_core_version_live(n, function, &live, reterr);
    if (err == NX_OK && nx_slice_starts(nx_slice_cstr(live.name), NX_SLICE("dev-")))
        err = nx_error_set(reterr, NX_ECONFLICT, "'%.*s' runs from the project file here: change it there", NX_SLICE_FMT(function));
    nx_core_version_done(&live);
    if (err == NX_OK)
        err = go_live(n, function, ret, ret_version, reterr);
    if (err == NX_OK)
        nx_job_cancel(n, &ret->job, NULL); /* it may be over by itself */
    return err;
}
