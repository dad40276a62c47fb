/* cmd_deploy.c: nexus deploy. */
#include "cmds.h"
#include "follow_job.h"
#include "grants.h"
#include "nx/artifact.h"
#include "nx/clock.h"
#include "nx/digest.h"
#include "shadow_check.h"
#include "tools.h"
#include <stdlib.h>

static int upload(nx_cli_client *node, const nx_config *cfg, const nx_fn_config *f, char hex[NX_SHA256_HEX + 1])
{
    char what[160], api[128];
    NX_CLEANUP(nx_buf_done)
    nx_buf module = NX_BUF_INIT(NX_ARTIFACT_BYTES_MAX);
    nx_error e = NX_ERROR_INIT;
    if ((e.code = nx_artifact_read(cfg, f, &module, &e)) != NX_OK)
        return nx_cli_fail(node->cli, e.code, "%.*s: %s", NX_SLICE_FMT(f->name), e.msg[0] ? e.msg : nx_err_text(e.code));
    nx_cli_note_module_grants(nx_buf_view(&module), f);
    nx_sha256 digest = nx_sha256_of(nx_buf_view(&module));
    nx_sha256_hex(&digest, hex);
    snprintf(api, sizeof api, "/api/v1/artifacts/%s", hex);
    snprintf(what, sizeof what, "uploading %.*s (%zu bytes)", NX_SLICE_FMT(f->name), module.n);
    nx_cli_request q = {
        .method = "PUT",
        .path = api,
        .content_type = "application/wasm",
        .body = nx_buf_view(&module),
        .timeout_ms = 300000,
        .progress = what,
    };
    nx_httpc_resp reply = {0};
    int code = nx_cli_call(node, &q, &reply);
    if (code == NX_CLI_OK)
        nx_buf_done(&reply.body);
    return code;
}

/* What names the new version, and how much of that is its: live and all, where no flag says otherwise. */
static int write_placement(const nx_cli *c, nx_jw *w)
{
    const char *alias = nx_cli_flag_text(c, "alias"), *weight = nx_cli_flag_text(c, "weight");
    if (nx_cli_flag_is_set(c, "no-traffic")) {
        if (alias || weight)
            return nx_cli_fail_usage(c, "flag --no-traffic: no alias gets the version, so --alias and --weight mean nothing");
        nx_jw_key(w, "alias");
        nx_jw_null(w);
    }
    if (alias)
        nx_jw_kcstr(w, "alias", alias);
    if (weight) {
        char *end = NULL;
        double percent = strtod(weight, &end);
        if (end == weight || (*end && strcmp(end, "%") != 0) || !(percent > 0 && percent <= 100))
            return nx_cli_fail_usage(c, "flag --weight: \"%s\" is not a percentage above 0, to 100 (try 10)", weight);
        nx_jw_kdouble(w, "percent", percent);
    }
    return NX_CLI_OK;
}

/* Where the function is ordered, its own consumers begin with the past. */
static void write_past(const nx_cli *c, nx_jw *w)
{
    const char *from = nx_cli_flag_text(c, "from"), *effects = nx_cli_flag_text(c, "effects");
    uint64_t rate = 0;
    if (!from)
        return;
    nx_jw_kcstr(w, "from", from);
    if (nx_cli_flag_u64(c, "rate", 1, 1000000, 0, &rate) == NX_OK && rate)
        nx_jw_ku64(w, "from_rate", rate);
    if (effects)
        nx_jw_kcstr(w, "from_effects", effects);
}

static int make_version(nx_cli_client *node, const nx_fn_config *f, const char *hex)
{
    const nx_cli *c = node->cli;
    NX_CLEANUP(nx_buf_done)
    nx_buf body = NX_BUF_INIT(1u << 20);
    nx_httpc_resp reply = {0};
    char path[256], what[160];
    nx_jw w = NX_JW_INIT(&body);
    nx_jw_object(&w);
    nx_jw_kcstr(&w, "artifact", hex);
    nx_jw_key(&w, "settings");
    nx_err e = nx_fn_config_to_json(f, &w);
    int code = write_placement(c, &w);
    if (code != NX_CLI_OK)
        return code;
    write_past(c, &w);
    nx_jw_object_end(&w);
    if (e != NX_OK || nx_jw_err(&w) != NX_OK)
        return nx_cli_fail(c, NX_ENOMEM, "%.*s: its settings do not fit into memory", NX_SLICE_FMT(f->name));
    snprintf(path, sizeof path, "/api/v1/functions/%.*s/versions", NX_SLICE_FMT(f->name));
    snprintf(what, sizeof what, "deploying %.*s", NX_SLICE_FMT(f->name));
    nx_cli_request q = {
        .method = "POST",
        .path = path,
        .content_type = "application/json",
        .body = nx_buf_view(&body),
        .timeout_ms = 300000,
        .progress = what,
    };
    code = nx_cli_call(node, &q, &reply);
    if (code != NX_CLI_OK)
        return code;
    nx_json *root = NULL;
    nx_error err = NX_ERROR_INIT;
    if (c->json) {
        printf("%.*s\n", NX_SLICE_FMT(nx_slice_trim(nx_buf_view(&reply.body))));
    } else if (nx_json_parse(nx_buf_view(&reply.body), 1u << 20, &root, &err) != NX_OK) {
        code = nx_cli_fail(c, NX_EPARSE, "%s does not answer like a node: %s", node->url, err.msg);
    } else {
        nx_slice version = nx_json_get_str(root, "version"), derived = nx_json_get_str(root, "derived");
        if (nx_json_get_bool(root, "created", true))
            printf("%.*s %.*s (sha256:%.12s…%s%.12s%s)\n", NX_SLICE_FMT(f->name), NX_SLICE_FMT(version), hex, derived.n ? ", by its init sha256:" : "",
                   derived.n ? derived.p : "", derived.n ? "…" : "");
        else
            printf("%.*s unchanged: %.*s\n", NX_SLICE_FMT(f->name), NX_SLICE_FMT(version));
        nx_json_free(root);
    }
    nx_buf_done(&reply.body);
    return code;
}

static int require_shadow(nx_cli_client *node, const nx_fn_config *f, const char *hex, uint64_t min_events)
{
    char name[NX_FUNCTION_NAME_BYTES + 1];
    if (nx_slice_to_cstr(f->name, name, sizeof name) != NX_OK)
        return nx_cli_fail(node->cli, NX_EINVAL, "a function's name has at most %d bytes", NX_FUNCTION_NAME_BYTES);
    return nx_cli_shadow_require(node, name, hex, min_events);
}

/* Events of the past, by a job of the node. */
static int backfill(nx_cli_client *node, const nx_fn_config *f, uint64_t rate)
{
    const nx_cli *c = node->cli;
    const char *effects = nx_cli_flag_text(c, "effects");
    NX_CLEANUP(nx_buf_done)
    nx_buf spec = NX_BUF_INIT(64u << 10);
    nx_json *job = NULL;
    nx_jw w = NX_JW_INIT(&spec);
    nx_jw_object(&w);
    nx_jw_kstr(&w, "function", f->name);
    nx_jw_kcstr(&w, "since", nx_cli_flag_text(c, "from"));
    if (effects)
        nx_jw_kcstr(&w, "effects", effects);
    if (rate)
        nx_jw_ku64(&w, "rate", rate);
    nx_jw_object_end(&w);
    int code = nx_cli_job_submit(node, "backfill", nx_buf_view(&spec), &job);
    if (code != NX_CLI_OK)
        return code;
    if (c->json)
        nx_cli_job_print_json(job);
    else
        printf("%.*s takes the events since %.*s, effects %.*s: job %.*s\n", NX_SLICE_FMT(f->name), NX_SLICE_FMT(nx_json_get_str(nx_json_get(job, "spec"), "since")),
               NX_SLICE_FMT(nx_json_get_str(nx_json_get(job, "spec"), "effects")), NX_SLICE_FMT(nx_json_get_str(job, "job_id")));
    nx_json_free(job);
    return NX_CLI_OK;
}

static int deploy(nx_cli *c, const nx_config *cfg)
{
    nx_cli_client node;
    uint64_t min_events, rate;
    if (nx_cli_flag_u64(c, "rate", 1, 1000000, 0, &rate) != NX_OK)
        return NX_CLI_USAGE;
    if (!nx_cli_flag_text(c, "from") && (rate || nx_cli_flag_text(c, "effects")))
        return nx_cli_fail_usage(c, "flags --rate and --effects are of --from");
    const char *from = nx_cli_flag_text(c, "from");
    nx_error bad = NX_ERROR_INIT;
    uint64_t since;
    if (from && nx_clock_parse_when("flag --from", nx_slice_cstr(from), nx_clock_wall_ns(), &since, &bad) != NX_OK) /* before anything is deployed */
        return nx_cli_fail_usage(c, "%s", bad.msg);
    if (nx_cli_flag_u64(c, "require-shadow", 1, INT64_MAX, 0, &min_events) != NX_OK)
        return NX_CLI_USAGE;
    nx_err e = nx_cli_client_open(c, &node);
    int code = e == NX_OK ? NX_CLI_OK : nx_err_exit_code(e);
    for (unsigned i = 0; i < cfg->n_functions && code == NX_CLI_OK; i++) {
        const nx_fn_config *f = &cfg->functions[i];
        char hex[NX_SHA256_HEX + 1];
        bool is_named = c->n_args == 0;
        for (unsigned k = 0; k < c->n_args && !is_named; k++)
            is_named = nx_slice_eq_cstr(f->name, c->args[k]);
        if (!is_named)
            continue;
        code = upload(&node, cfg, f, hex);
        if (code == NX_CLI_OK && min_events)
            code = require_shadow(&node, f, hex, min_events);
        if (code == NX_CLI_OK)
            code = make_version(&node, f, hex);
        if (code == NX_CLI_OK && nx_cli_flag_text(c, "from"))
            code = backfill(&node, f, rate);
    }
    nx_cli_client_close(&node);
    return code;
}

static int run(nx_cli *c)
{
    char file[NX_CLI_PATH_BYTES];
    nx_config *cfg = NULL;
    int code = nx_cli_project_file(c, file, sizeof file);
    if (code == NX_CLI_OK)
        code = nx_cli_config_load_or_fail(c, file, 0, &cfg);
    if (code != NX_CLI_OK)
        return code;
    for (unsigned i = 0; i < c->n_args && code == NX_CLI_OK; i++) {
        if (!nx_config_function(cfg, nx_slice_cstr(c->args[i])))
            code = nx_cli_fail(c, NX_ENOENT, "%s has no function '%s'", file, c->args[i]);
    }
    if (code == NX_CLI_OK && !nx_cli_flag_is_set(c, "no-build"))
        code = nx_cli_build_all(c, cfg, c->args, c->n_args, false, NULL);
    nx_config_unref(cfg);
    cfg = NULL;
    /* Once more, now that the modules have to be there. */
    if (code == NX_CLI_OK)
        code = nx_cli_config_load_or_fail(c, file, NX_CONFIG_CHECK_CODE, &cfg);
    if (code == NX_CLI_OK)
        code = deploy(c, cfg);
    nx_config_unref(cfg);
    return code;
}

static const char *const policies[] = {"live", "deny", NULL};
static const nx_cli_flag flags[] = {
    NX_CLI_FILE_FLAG,
    {.name = "from", .value = "TIME", .help = "Give the function the stored events since then too: a time, or a span before now (7d)."},
    {.name = "rate", .value = "N", .help = "With --from: at most so many of them a second (default: as fast as it goes)."},
    {.name = "effects", .value = "POLICY", .choices = policies, .help = "With --from: their host calls are made (`live`, default), or denied (`deny`)."},
    {.name = "require-shadow", .value = "N", .help = "Only what a shadow has run on at least N events without a difference (see `nexus shadow start`)."},
    {.name = "weight", .value = "PERCENT", .help = "A canary: only this share of the events goes to the new version (see `nexus alias set`)."},
    {.name = "alias", .value = "ALIAS", .help = "Let this alias stand for the new version, in place of live."},
    {.name = "no-traffic", .help = "Only make the version; no alias stands for it."},
    {.name = "no-build", .help = "Take the modules as they are."},
    {0},
};
static const nx_cli_arg args[] = {
    {.name = "function", .help = "Functions to deploy (default: all of the project).", .is_optional = true, .is_many = true},
    {0},
};
static const nx_cli_example examples[] = {
    {"nexus deploy", "build what is out of date, and deploy every function to the project's node"},
    {"nexus deploy invoices --from 2026-01-01T00:00:00Z --rate 200", "a new function, with the events of this year"},
    {"nexus deploy user-welcome --require-shadow 1000", "only if a thousand events came out the same beside the live version"},
    {"nexus deploy user-welcome --weight 10", "a canary: the new version gets a tenth of the events"},
    {"nexus deploy user-welcome --no-traffic", "a new version that gets none, to be tried with replays first"},
    {"nexus deploy user-welcome --admin-url http://10.0.0.5:8081", "one function to another node"},
    {0},
};

const nx_cli_command nx_cli_cmd_deploy = {
    .verb = "deploy",
    .summary = "Make new versions of functions on a running node",
    .text = "A version is the module with its files, and its settings; it never changes and has a number. The newest becomes live at once, on every\n"
            "node of the namespace, if no flag says otherwise. Nothing is made where both are those of a live version already.",
    .flags = flags,
    .args = args,
    .examples = examples,
    .is_client = true,
    .run = run,
};
