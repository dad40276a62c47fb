/* shadow_check.c: see shadow_check.h. */
#include "shadow_check.h"

#define SHADOWS_MAX 256

static void read_shadow(const nx_json *job, nx_cli_shadow *s)
{
    const nx_json *spec = nx_json_get(job, "spec"), *r = nx_json_get(nx_json_get(job, "summary"), "results");
    nx_slice status = nx_json_get_str(job, "status");
    *s = (nx_cli_shadow){.is_running = nx_slice_eq_cstr(status, "running") || nx_slice_eq_cstr(status, "queued")};
    (void)nx_slice_to_cstr(nx_json_get_str(spec, "function"), s->function, sizeof s->function);
    (void)nx_slice_to_cstr(nx_json_get_str(spec, "against"), s->against, sizeof s->against);
    (void)nx_slice_to_cstr(nx_json_get_str(spec, "artifact"), s->artifact, sizeof s->artifact);
    (void)nx_slice_to_cstr(nx_json_get_str(job, "job_id"), s->job, sizeof s->job);
    (void)nx_slice_to_cstr(nx_json_get_str(job, "created_at"), s->since, sizeof s->since);
    s->diffs = nx_json_get_u64(r, "diverged", 0) + nx_json_get_u64(r, "failed", 0);
    s->events = nx_json_get_u64(r, "identical", 0) + s->diffs;
}

int nx_cli_shadows(nx_cli_client *node, nx_cli_shadow *v, unsigned max, unsigned *ret_n)
{
    nx_httpc_resp reply = {0};
    nx_slice line;
    *ret_n = 0;
    int code = nx_cli_call(node, &(nx_cli_request){.method = "GET", .path = "/api/v1/jobs?kind=shadow&summary=1"}, &reply);
    if (code != NX_CLI_OK)
        return code;
    for (nx_slice rest = nx_buf_view(&reply.body); *ret_n < max && nx_cli_next_line(&rest, &line);) {
        nx_json *job = NULL;
        if (nx_json_parse(line, NX_CLI_REPLY_BYTES, &job, NULL) != NX_OK) {
            code = nx_cli_fail(node->cli, NX_EPARSE, "%s does not answer like a node", node->url);
            break;
        }
        read_shadow(job, &v[(*ret_n)++]);
        nx_json_free(job);
    }
    nx_buf_done(&reply.body);
    return code;
}

int nx_cli_shadow_require(nx_cli_client *node, const char *function, const char *artifact, uint64_t min)
{
    nx_cli_shadow v[SHADOWS_MAX];
    unsigned count = 0;
    int code = nx_cli_shadows(node, v, SHADOWS_MAX, &count);
    for (unsigned i = 0; code == NX_CLI_OK && i < count; i++) {
        if (strcmp(v[i].function, function) != 0 || strcmp(v[i].artifact, artifact) != 0)
            continue;
        if (v[i].diffs || v[i].events < min)
            return nx_cli_fail(node->cli, NX_ECONFLICT, "%s is not deployed: its shadow shows %llu events and %llu diffs, %llu events and no diff are asked for; see nexus jobs show %s",
                               function, (unsigned long long)v[i].events, (unsigned long long)v[i].diffs, (unsigned long long)min, v[i].job);
        return NX_CLI_OK;
    }
    return code == NX_CLI_OK ? nx_cli_fail(node->cli, NX_ECONFLICT, "%s is not deployed: no shadow has run this module (sha256:%.12s…); start one: nexus shadow %s FILE.wasm", function,
                                           artifact, function)
                             : code;
}
