/* range_job.c: the job "replay": a stretch of recorded runs, once. */
#include "range_job.h"
#include "nx/clock.h"
#include "nx/log.h"
#include "nx/shadow.h"

#define RATE_MAX 1000000

const nx_range_collector *const nx_range_collectors[] = {&nx_range_counts, &nx_range_diffs, NULL};

static nx_err effects_parse(nx_slice s, nx_effects_policy *ret, nx_error *reterr)
{
    *ret = NX_EFFECTS_RECORDED;
    if (s.n && nx_effects_policy_parse(s, ret) != NX_OK)
        return nx_error_set(reterr, NX_EINVAL, "effects: \"%.*s\" is none of recorded, deny, live", NX_SLICE_FMT(s));
    return NX_OK;
}

/* ---- specs ----------------------------------------------------------------------------------------------------------------------------------- */

static void copy(const nx_json *asked, const char *key, nx_jw *w)
{
    nx_slice s = nx_json_get_str(asked, key);
    if (s.n)
        nx_jw_kstr(w, key, s);
}

static nx_err write_code(nx_node *n, const nx_json *asked, nx_jw *w, nx_error *reterr)
{
    nx_slice against = nx_json_get_str(asked, "against"), function = nx_json_get_str(asked, "function");
    nx_sha256 artifact;
    char hex[NX_SHA256_HEX + 1];
    if (!against.n)
        return NX_OK;
    if (!function.n)
        return nx_error_set(reterr, NX_EINVAL, "against: whose version is \"%.*s\"? name the function too", NX_SLICE_FMT(against));
    nx_core_version version = {.name = ""};
    if (nx_sha256_parse_hex(against, &artifact) != NX_OK) {
        nx_err err = nx_core_version_get(n, function, against, &version, reterr);
        if (err != NX_OK)
            return err;
        artifact = version.artifact;
        nx_core_version_done(&version);
        against = nx_slice_cstr(version.name); /* "live" is what is live now */
    } else if (!nx_fab_artifact_has(nx_core_namespace(n), &artifact)) {
        return nx_error_set(reterr, NX_ENOENT, "the artifact is not there; PUT it to /api/v1/artifacts/{sha256} first");
    }
    nx_sha256_hex(&artifact, hex);
    nx_jw_kstr(w, "against", against);
    nx_jw_kcstr(w, "artifact", hex);
    return NX_OK;
}

nx_err nx_range_spec_write(nx_node *n, const nx_json *asked, nx_jw *w, nx_error *reterr)
{
    nx_slice type = nx_json_get_str(asked, "type"), status = nx_json_get_str(asked, "status"), function = nx_json_get_str(asked, "function");
    int64_t rate = nx_json_get_i64(asked, "rate", 0);
    nx_run_status s;
    nx_effects_policy effects;
    nx_err err = type.n ? nx_event_type_pattern_check(type, reterr) : NX_OK;
    if (err == NX_OK && status.n && nx_run_status_parse(status, &s) != NX_OK)
        err = nx_error_set(reterr, NX_EINVAL, "status: \"%.*s\" is none of ok, error, timeout, dead, skipped, cancelled, batched", NX_SLICE_FMT(status));
    if (err == NX_OK && function.n && !nx_fab_name_is_valid(function, NX_FUNCTION_NAME_BYTES))
        err = nx_error_set(reterr, NX_EINVAL, "function: \"%.*s\" is not a function name", NX_SLICE_FMT(nx_slice_sub(function, 0, NX_FUNCTION_NAME_BYTES)));
    if (err == NX_OK && (rate < 0 || rate > RATE_MAX))
        err = nx_error_set(reterr, NX_EINVAL, "rate: events a second, from 1 to %d", RATE_MAX);
    if (err == NX_OK)
        err = effects_parse(nx_json_get_str(asked, "effects"), &effects, reterr);
    if (err == NX_OK)
        err = write_code(n, asked, w, reterr);
    if (err != NX_OK)
        return err;
    copy(asked, "function", w);
    copy(asked, "status", w);
    copy(asked, "type", w);
    nx_jw_kcstr(w, "effects", nx_effects_policy_name(effects));
    if (rate)
        nx_jw_ku64(w, "rate", (uint64_t)rate);
    return NX_OK;
}

nx_err nx_range_spec_read(const nx_json *spec, nx_range_options *ret, nx_error *reterr)
{
    nx_slice status = nx_json_get_str(spec, "status"), artifact = nx_json_get_str(spec, "artifact");
    nx_run_status s;
    *ret = (nx_range_options){
        .what = {.function = nx_json_get_str(spec, "function"), .status = -1, .type = nx_json_get_str(spec, "type")},
        .from = nx_json_get_u64(spec, "from", 1),
        .to = nx_json_get_u64(spec, "to", 0),
        .rate = (unsigned)nx_json_get_u64(spec, "rate", 0),
        .is_other_code = artifact.n > 0,
        .version = nx_json_get_str(spec, "against"),
    };
    if (status.n && nx_run_status_parse(status, &s) == NX_OK)
        ret->what.status = (int)s;
    if (artifact.n && nx_sha256_parse_hex(artifact, &ret->artifact) != NX_OK)
        return nx_error_set(reterr, NX_ECORRUPT, "the job's artifact is damaged");
    return effects_parse(nx_json_get_str(spec, "effects"), &ret->effects, reterr);
}

/* ---- the job --------------------------------------------------------------------------------------------------------------------------------- */

static void write_time(nx_jw *w, const char *key, uint64_t wall_ns)
{
    char text[NX_RFC3339_MAX];
    if (wall_ns)
        nx_jw_kstr(w, key, nx_slice_make(text, nx_clock_rfc3339(wall_ns, 3, text)));
}

static nx_err prepare(nx_node *n, const nx_json *asked, nx_jw *w, nx_error *reterr)
{
    uint64_t now = nx_clock_wall_ns(), since = 0, until = 0, from, to;
    nx_slice since_text = nx_json_get_str(asked, "since"), until_text = nx_json_get_str(asked, "until");
    nx_jw_object(w);
    nx_err err = nx_range_spec_write(n, asked, w, reterr);
    if (err == NX_OK && since_text.n)
        err = nx_clock_parse_when("since", since_text, now, &since, reterr);
    if (err == NX_OK && until_text.n)
        err = nx_clock_parse_when("until", until_text, now, &until, reterr);
    if (err == NX_OK && until && since > until)
        err = nx_error_set(reterr, NX_EINVAL, "since lies behind until: the range is empty");
    if (err == NX_OK)
        err = nx_fab_range_bounds(nx_core_namespace(n), false, since, until, &from, &to, reterr);
    if (err != NX_OK)
        return err;
    write_time(w, "since", since);
    write_time(w, "until", until ? until : now);
    nx_jw_ku64(w, "from", from > INT64_MAX ? INT64_MAX : from);
    nx_jw_ku64(w, "to", to);
    nx_jw_object_end(w);
    return NX_OK;
}

static nx_err run(nx_node *n, nx_job *job, nx_error *reterr)
{
    nx_range_options o;
    nx_core_version v = {.name = ""};
    nx_err err = nx_range_spec_read(nx_job_spec(job), &o, reterr);
    nx_sha256 digest;
    if (err == NX_OK && o.is_other_code && nx_sha256_parse_hex(o.version, &digest) != NX_OK) {
        err = nx_core_version_get(n, o.what.function, o.version, &v, reterr);
        o.settings = v.settings;
    }
    if (err == NX_OK)
        err = nx_range_run(n, job, &o, reterr);
    nx_core_version_done(&v);
    return err;
}

const nx_job_kind nx_range_job = {.name = "replay", .prepare = prepare, .run = run};

const nx_job_kind *const nx_replay_job_kinds[] = {&nx_range_job, &nx_shadow_job};
const unsigned nx_replay_n_job_kinds = NX_ARRAY_LEN(nx_replay_job_kinds);
