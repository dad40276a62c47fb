/* routes.c: routes of the admin API that need layers above the core: replays, bundles. */
#include "routes.h"
#include "host.h"
#include "nx/audit.h"
#include "nx/bundle.h"
#include "nx/gateway.h"
#include "nx/replay.h"
#include "nx/shadow.h"
#include "what_if.h"
#include <stdio.h>
#include <stdlib.h>

#define RESULT_BYTES NX_GW_RESP_BODY_MAX

static nx_err on_result(void *self, const nx_replay_result *r)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf line = NX_BUF_INIT(RESULT_BYTES);
    nx_jw w = NX_JW_INIT(&line);
    return nx_cli_answer_line(self, &line, nx_replay_result_to_json(r, &w));
}

static nx_err post_replays(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena arena = NX_ARENA_INIT(2 * NX_CLI_WHAT_IF_BYTES);
    nx_replay_what_if what_if;
    nx_json *body = NULL;
    nx_err e = nx_json_parse(nx_gw_req_body(req), NX_CLI_WHAT_IF_BYTES, &body, reterr);
    if (e == NX_OK)
        e = nx_what_if_from_json(body, &arena, &what_if, reterr);
    if (e != NX_OK) {
        nx_json_free(body);
        return e;
    }
    nx_replay_request q = {
        .event = nx_json_get_str(body, "event_id"),
        .function = nx_json_get_str(body, "function"),
        .against = nx_json_get_str(body, "against"),
        .what_if = &what_if,
    };
    nx_cli_answer a = {req, resp};
    nx_slice effects = nx_json_get_str(body, "effects");
    nx_gw_resp_content_type(resp, "application/x-ndjson");
    if (q.event.n == 0)
        e = nx_error_set(reterr, NX_EINVAL, "the body is {\"event_id\": id, \"function\": name, \"against\": version}; event_id is missing");
    else if (effects.n && nx_effects_policy_parse(effects, &q.effects) != NX_OK)
        e = nx_error_set(reterr, NX_EINVAL, "effects is \"recorded\", \"deny\" or \"live\", not \"%.*s\"", NX_SLICE_FMT(effects));
    else
        e = nx_replay_event(self, &q, on_result, &a, reterr);
    nx_json_free(body);
    return e;
}

static nx_err post_bundles(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf bundle = NX_BUF_INIT(NX_BUNDLE_BYTES_MAX);
    nx_json *body = NULL;
    nx_err e = nx_json_parse(nx_gw_req_body(req), NX_CLI_ROUTE_BYTES, &body, reterr);
    if (e != NX_OK)
        return e;
    char made_by[64];
    snprintf(made_by, sizeof made_by, "nexus %s", nx_cli_version);
    nx_bundle_request q = {
        .what = nx_json_get_str(body, "what"),
        .function = nx_json_get_str(body, "function"),
        .created_by = nx_slice_cstr(made_by),
    };
    const nx_json *redact = nx_json_get(body, "redact");
    nx_slice paths[NX_BUNDLE_REDACTED_MAX];
    for (; q.n_redact < nx_json_len(redact) && q.n_redact < NX_BUNDLE_REDACTED_MAX; q.n_redact++)
        paths[q.n_redact] = nx_json_str(nx_json_at(redact, q.n_redact));
    q.redact = paths;
    if (nx_json_len(redact) > NX_BUNDLE_REDACTED_MAX)
        e = nx_error_set(reterr, NX_ELIMIT, "redact: at most %d paths", NX_BUNDLE_REDACTED_MAX);
    else if (q.what.n == 0)
        e = nx_error_set(reterr, NX_EINVAL, "the body is {\"what\": event or run, \"function\": name, \"redact\": [path]}; what is missing");
    else
        e = nx_bundle_make(self, &q, &bundle, reterr);
    nx_json_free(body);
    if (e != NX_OK)
        return e;
    nx_gw_resp_content_type(resp, "application/vnd.nexus.bundle");
    return nx_gw_resp_write(resp, nx_buf_view(&bundle));
}

static nx_err post_promote(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_json *body = NULL;
    nx_shadow_proof proof;
    char version[32];
    nx_slice function = nx_gw_req_param(req, "name");
    nx_err e = nx_json_parse(nx_gw_req_body(req), NX_CLI_ROUTE_BYTES, &body, reterr);
    if (e != NX_OK)
        return e;
    int64_t min = nx_json_get_i64(body, "min_events", -1);
    nx_json_free(body);
    if (min < 1)
        return nx_error_set(reterr, NX_EINVAL, "the body is {\"min_events\": N}: how many events have to have come out the same, at least 1");
    e = nx_shadow_promote(self, function, (uint64_t)min, &proof, version, reterr);
    if (e != NX_OK)
        return e;
    nx_jw w = NX_JW_INIT(nx_gw_resp_body(resp));
    nx_jw_object(&w);
    nx_jw_kstr(&w, "function", function);
    nx_jw_kcstr(&w, "version", version);
    nx_jw_ku64(&w, "events", proof.events);
    nx_jw_ku64(&w, "diffs", proof.diffs);
    nx_jw_kcstr(&w, "job_id", proof.job.s);
    nx_jw_object_end(&w);
    return nx_jw_err(&w);
}

static nx_err get_audit(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_gw_resp_content_type(resp, "application/x-ndjson");
    return nx_audit_report(self, nx_gw_req_query(req, "function"), nx_gw_resp_body(resp), reterr);
}

#define DOC(...) \
    &(const nx_gw_route_doc) { __VA_ARGS__ }
#define STATUS "'ok' | 'error' | 'timeout' | 'dead' | 'skipped'"
#define CODE "version, status: " STATUS ", output_sha256: sha256, fuel: int, duration_ms: number, host_calls: int"
#define EFFECTS "'recorded' | 'deny' | 'live'"
#define DIFFERENCE "{same: bool, shape, what: [string], before: any, after: any, only_status: bool, output?: any, emitted?: [any], first_effect?: any, logs?: any, first_call?: any}"
#define REPLAYED                                                                                                                                       \
    "{namespace, event_id: id, function, version, verdict: 'identical' | 'diverged' | 'failed' | 'same' | 'different', reason, effects: " EFFECTS ", " \
    "is_replay: bool, is_what_if: bool, original_timestamp: time, trace_id, log_trace, run_id: id, artifact_missing: bool, fuel_comparable: bool, "    \
    "output_sha256?: sha256, fuel?: int, duration_ms?: number, host_calls?: int, status?: " STATUS ", replay_run_id?: id, output?, output_base64?, "   \
    "logs?: [string], original: {" CODE "}, first_difference?: {call: int, recorded, replayed, cause, at?: [string]}, diff?: " DIFFERENCE "}"
#define COMPARED                                                                                                                                             \
    "{namespace, event_id: id, function, run_id: id, trace_id, verdict: 'same' | 'different' | 'failed', reason, artifact_missing: bool, diff?: " DIFFERENCE \
    ", settings?: any, output?, output_base64?}"

static const nx_gw_param audit_query[] = {{"function", "string", "Of this function"}, {0}};

static const nx_gw_admin_route routes[] = {
    {"POST", "/api/v1/replays", post_replays, NX_GW_ROUTE_STREAM, NX_CLI_WHAT_IF_BYTES,
     DOC("replay", "Replays", "Repeats what functions did with an event",
         .body = {NX_GW_JSON, "ReplayRequest", "{event_id, function?, against?, effects?: " EFFECTS ", set?: [{path, value}], data_base64?, at?, set_effects?: [{index: int, answer}]}"},
         .answers = {{200, {NX_GW_NDJSON, "Replay", REPLAYED}}})},
    {"POST", "/api/v1/diffs", nx_cli_route_diffs, NX_GW_ROUTE_STREAM, NX_CLI_ROUTE_BYTES,
     DOC("compare", "Replays", "One event by two codes", .body = {NX_GW_JSON, "DiffRequest", "{event_id, before, after, function?, with_output?: bool}"},
         .answers = {{200, {NX_GW_NDJSON, "Comparison", COMPARED}}})},
    {"POST", "/api/v1/functions/{name}/promote", post_promote, NX_GW_ROUTE_STREAM, NX_CLI_ROUTE_BYTES,
     DOC("promote", "Jobs", "Makes a shadow's code live, if enough events came out the same", .body = {NX_GW_JSON, "Promotion", "{min_events: int}"},
         .answers = {{200, {NX_GW_JSON, "Promoted", "{function, version, events: int, diffs: int, job_id: id}"}}})},
    {"GET", "/api/v1/audit", get_audit, 0, 0,
     DOC("get_audit", "Audit", "What came of live runs that were repeated in idle time", audit_query,
         .answers = {{200, {NX_GW_NDJSON, "Audit", "{namespace, function, audited: int, identical: int, diverged: int, failed: int, passed_over: int, waiting: int, "
                                                   "replayable_percent: number, audit_percent: number, since?: time, last_event_id?: id, last_reason?}"}}})},
    {"POST", "/api/v1/bundles", post_bundles, NX_GW_ROUTE_STREAM, NX_CLI_ROUTE_BYTES,
     DOC("make_bundle", "Bundles", "One recorded run as a file", .body = {NX_GW_JSON, "BundleRequest", "{what, function?, redact?: [string]}"},
         .answers = {{200, {"application/vnd.nexus.bundle", NULL, NULL}}})},
};

const nx_gw_admin_route *nx_cli_host_routes(unsigned *ret_n)
{
    *ret_n = NX_ARRAY_LEN(routes);
    return routes;
}

/* Those of all layers. */
static nx_err all_routes(nx_gw_admin_route **ret, size_t *ret_n)
{
    unsigned n;
    const nx_gw_admin_route *core = nx_core_admin_routes(&n);
    *ret = calloc(n + NX_ARRAY_LEN(routes), sizeof **ret);
    if (!*ret)
        return NX_ENOMEM;
    memcpy(*ret, core, n * sizeof *core);
    memcpy(*ret + n, routes, sizeof routes);
    *ret_n = n + NX_ARRAY_LEN(routes);
    return NX_OK;
}

nx_err nx_cli_openapi(nx_buf *out, nx_error *reterr)
{
    nx_gw_admin_route *all = NULL;
    size_t n = 0;
    nx_err e = all_routes(&all, &n);
    if (e == NX_OK)
        e = nx_gw_openapi(all, n, &(nx_gw_openapi_info){.version = nx_cli_version}, out, reterr);
    free(all);
    return e;
}

nx_err nx_cli_routes_md(nx_buf *out)
{
    nx_gw_admin_route *all = NULL;
    size_t n = 0;
    nx_err e = all_routes(&all, &n);
    if (e == NX_OK)
        e = nx_gw_routes_md(all, n, out);
    free(all);
    return e;
}
