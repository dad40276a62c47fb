/* cmd_shadow.c: nexus shadow start, status, stop, promote. */
#include "cmds.h"
#include "compare.h"
#include "follow_job.h"
#include "shadow_check.h"

#define PATH_BYTES 1024
#define SHADOWS_MAX 256

/* ---- start ------------------------------------------------------------------------------------------------------- */

static int run_start(nx_cli *c)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf spec = NX_BUF_INIT(64u << 10);
    char other[NX_CLI_CODE_BYTES];
    nx_cli_client node;
    nx_json *job = NULL;
    nx_err e = nx_cli_client_open(c, &node);
    if (e != NX_OK)
        return nx_err_exit_code(e);
    int code = nx_cli_code_name(&node, "<code>", c->args[1], other);
    nx_jw w = NX_JW_INIT(&spec);
    nx_jw_object(&w);
    nx_jw_kcstr(&w, "function", c->args[0]);
    nx_jw_kcstr(&w, "against", other);
    if (nx_cli_flag_text(c, "effects"))
        nx_jw_kcstr(&w, "effects", nx_cli_flag_text(c, "effects"));
    nx_jw_object_end(&w);
    if (code == NX_CLI_OK)
        code = nx_cli_job_submit(&node, "shadow", nx_buf_view(&spec), &job);
    nx_cli_client_close(&node);
    if (code != NX_CLI_OK)
        return code;
    if (c->json) {
        nx_cli_job_print_json(job);
    } else {
        printf("%s runs beside the live version of %s from now on (job %.*s); see: %s shadow status\n", c->args[1], c->args[0],
               NX_SLICE_FMT(nx_json_get_str(job, "job_id")), c->program);
    }
    nx_json_free(job);
    return NX_CLI_OK;
}

/* ---- status ------------------------------------------------------------------------------------------------------- */

static void print_shadow(const nx_cli *c, const nx_cli_shadow *s)
{
    nx_slice against = nx_slice_cstr(s->against);
    printf("%s ", s->function);
    nx_cli_print_code(against);
    printf(": %llu event%s, %s%llu diff%s%s", (unsigned long long)s->events, s->events == 1 ? "" : "s", nx_cli_paint(c->has_colour, s->diffs ? NX_CLI_RED : NX_CLI_GREEN),
           (unsigned long long)s->diffs, s->diffs == 1 ? "" : "s", nx_cli_paint(c->has_colour, NX_CLI_PLAIN));
    printf(s->is_running ? " (since %s)\n" : " (stopped, since %s)\n", s->since);
    if (s->diffs)
        printf("  see: %s jobs show %s\n", c->program, s->job);
}

static void print_shadow_json(const nx_cli_shadow *s)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf line = NX_BUF_INIT(4096);
    nx_jw w = NX_JW_INIT(&line);
    nx_jw_object(&w);
    nx_jw_kcstr(&w, "function", s->function);
    nx_jw_kcstr(&w, "against", s->against);
    nx_jw_kcstr(&w, "artifact", s->artifact);
    nx_jw_kbool(&w, "running", s->is_running);
    nx_jw_ku64(&w, "events", s->events);
    nx_jw_ku64(&w, "diffs", s->diffs);
    nx_jw_kcstr(&w, "since", s->since);
    nx_jw_kcstr(&w, "job_id", s->job);
    nx_jw_object_end(&w);
    if (nx_jw_err(&w) == NX_OK)
        printf("%.*s\n", (int)line.n, line.p);
}

static int run_status(nx_cli *c)
{
    nx_cli_shadow v[SHADOWS_MAX];
    unsigned count = 0, shown = 0;
    nx_cli_client node;
    nx_err e = nx_cli_client_open(c, &node);
    if (e != NX_OK)
        return nx_err_exit_code(e);
    int code = nx_cli_shadows(&node, v, SHADOWS_MAX, &count);
    nx_cli_client_close(&node);
    for (unsigned i = 0; code == NX_CLI_OK && i < count; i++) {
        if ((c->n_args && strcmp(v[i].function, c->args[0]) != 0) || (!v[i].is_running && !nx_cli_flag_is_set(c, "all")))
            continue;
        shown++;
        if (c->json)
            print_shadow_json(&v[i]);
        else
            print_shadow(c, &v[i]);
    }
    if (code == NX_CLI_OK && !shown && !c->json)
        fputs("no shadow is running\n", stderr);
    return code;
}

/* ---- stop --------------------------------------------------------------------------------------------------------- */

static int stop_one(nx_cli_client *node, const nx_cli_shadow *s)
{
    char path[128];
    nx_httpc_resp reply = {0};
    snprintf(path, sizeof path, "/api/v1/jobs/%s/cancel", s->job);
    int code = nx_cli_call(node, &(nx_cli_request){.method = "POST", .path = path}, &reply);
    if (code != NX_CLI_OK)
        return code;
    nx_buf_done(&reply.body);
    nx_cli_say(node->cli, "the shadow of %s is stopped: %llu events, %llu diffs\n", s->function, (unsigned long long)s->events, (unsigned long long)s->diffs);
    return NX_CLI_OK;
}

static int run_stop(nx_cli *c)
{
    nx_cli_shadow v[SHADOWS_MAX];
    unsigned count = 0, stopped = 0;
    nx_cli_client node;
    nx_err e = nx_cli_client_open(c, &node);
    if (e != NX_OK)
        return nx_err_exit_code(e);
    int code = nx_cli_shadows(&node, v, SHADOWS_MAX, &count);
    for (unsigned i = 0; code == NX_CLI_OK && i < count; i++) {
        if (!v[i].is_running || strcmp(v[i].function, c->args[0]) != 0)
            continue;
        code = stop_one(&node, &v[i]);
        if (code == NX_CLI_OK && c->json)
            print_shadow_json(&v[i]);
        stopped++;
    }
    nx_cli_client_close(&node);
    return code == NX_CLI_OK && !stopped ? nx_cli_fail(c, NX_ENOENT, "no shadow of '%s' is running", c->args[0]) : code;
}

/* ---- promote ------------------------------------------------------------------------------------------------------- */

static int run_promote(nx_cli *c)
{
    char body[64];
    NX_CLEANUP(nx_buf_done)
    nx_buf path = NX_BUF_INIT(PATH_BYTES);
    nx_httpc_resp reply = {0};
    nx_json *r = NULL;
    uint64_t min;
    if (!nx_cli_flag_text(c, "min"))
        return nx_cli_fail_usage(c, "flag --min: how many events have to have come out the same?");
    if (nx_cli_flag_u64(c, "min", 1, INT64_MAX, 0, &min) != NX_OK)
        return NX_CLI_USAGE;
    const char *p = nx_cli_path(&path, "/api/v1/functions/", c->args[0], "/promote");
    if (!p)
        return nx_cli_fail(c, NX_ELIMIT, "the request is too long");
    snprintf(body, sizeof body, "{\"min_events\":%llu}", (unsigned long long)min);
    int code = nx_cli_ask(c, &(nx_cli_request){.method = "POST", .path = p, .content_type = "application/json", .body = nx_slice_cstr(body)}, &reply);
    if (code != NX_CLI_OK)
        return code;
    if (c->json) {
        printf("%.*s\n", NX_SLICE_FMT(nx_slice_trim(nx_buf_view(&reply.body))));
    } else if (nx_json_parse(nx_buf_view(&reply.body), NX_CLI_REPLY_BYTES, &r, NULL) == NX_OK) {
        printf("%s %.*s is live: %llu events, 0 diffs\n", c->args[0], NX_SLICE_FMT(nx_json_get_str(r, "version")), (unsigned long long)nx_json_get_u64(r, "events", 0));
        nx_json_free(r);
    }
    nx_buf_done(&reply.body);
    return NX_CLI_OK;
}

/* ---- the table ------------------------------------------------------------------------------------------------------ */

static const char *const policies[] = {"recorded", "deny", NULL};
static const nx_cli_arg start_args[] = {
    {.name = "function", .kind = NX_CLI_FUNCTION, .help = "The function whose events are taken."},
    {.name = "code", .kind = NX_CLI_FILE, .help = "What runs beside it: a version (v7), an alias, an artifact's digest, or a .wasm file."},
    {0},
};
static const nx_cli_arg function_arg[] = {
    {.name = "function", .kind = NX_CLI_FUNCTION, .help = "The function."},
    {0},
};
static const nx_cli_arg optional_function[] = {
    {.name = "function", .kind = NX_CLI_FUNCTION, .is_optional = true, .help = "Only this one."},
    {0},
};
static const nx_cli_flag start_flags[] = {
    {.name = "effects", .value = "POLICY", .choices = policies, .help = "Host calls: `recorded` answers (default), or `deny` them all."},
    {0},
};
static const nx_cli_flag status_flags[] = {
    {.name = "all", .letter = 'a', .help = "Those that are stopped too."},
    {0},
};
static const nx_cli_flag stop_flags[] = {{0}};
static const nx_cli_flag promote_flags[] = {
    {.name = "min", .value = "N", .help = "At least so many events have to have come out the same, and none otherwise."},
    {0},
};
static const nx_cli_example start_examples[] = {
    {"nexus shadow user-welcome v7", "version 7 handles what the live version handles, and is compared"},
    {"nexus shadow start user-welcome build/welcome.wasm", "the same, in full, with a module that is not deployed"},
    {0},
};
static const nx_cli_example status_examples[] = {
    {"nexus shadow status", "how many events, and how many differences"},
    {0},
};
static const nx_cli_example stop_examples[] = {
    {"nexus shadow stop user-welcome", "end it; what it found stays in `nexus jobs show`"},
    {0},
};
static const nx_cli_example promote_examples[] = {
    {"nexus shadow promote user-welcome --min 1000", "live, if a thousand events came out the same and none otherwise"},
    {0},
};

const nx_cli_command nx_cli_cmd_shadow_start = {
    .verb = "shadow start",
    .summary = "Run other code beside the live version, on the same events (`nexus shadow <function> <code>`)",
    .text = "Each run of the function is repeated by the other code once it is recorded, with the recorded input, clock, randomness and\n"
            "answers of host calls; status, output and log are compared. Nothing outside is touched. It goes on until it is stopped, also\n"
            "over restarts of the node, and takes one core at most, below live functions.",
    .flags = start_flags,
    .args = start_args,
    .examples = start_examples,
    .is_client = true,
    .is_otherwise = true,
    .run = run_start,
};

const nx_cli_command nx_cli_cmd_shadow_status = {
    .verb = "shadow status",
    .summary = "Show what shadows have found: \"N events, 0 diffs\"",
    .flags = status_flags,
    .args = optional_function,
    .examples = status_examples,
    .is_client = true,
    .run = run_status,
};

const nx_cli_command nx_cli_cmd_shadow_stop = {
    .verb = "shadow stop",
    .summary = "Stop the shadows of a function",
    .flags = stop_flags,
    .args = function_arg,
    .examples = stop_examples,
    .is_client = true,
    .run = run_stop,
};

const nx_cli_command nx_cli_cmd_shadow_promote = {
    .verb = "shadow promote",
    .summary = "Make the shadowed code live, if it has proved itself",
    .text = "The newest running shadow of the function decides. A module without a version becomes a new version with the settings of the\n"
            "live one. Afterwards the shadow is stopped.\n\n"
            "Exit codes: 0 it is live, 5 too few events or a difference, 4 no shadow is running.",
    .flags = promote_flags,
    .args = function_arg,
    .examples = promote_examples,
    .is_client = true,
    .run = run_promote,
};
