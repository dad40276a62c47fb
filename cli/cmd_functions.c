/* cmd_functions.c: nexus functions list, pause, resume. */
#include "cmds.h"

#define PATH_BYTES 4096

static void append_list(nx_buf *out, const char *word, const nx_json *list)
{
    for (size_t i = 0; i < nx_json_len(list); i++)
        nx_buf_printf(out, "%s%s %.*s", out->n ? ", " : "", word, NX_SLICE_FMT(nx_json_str(nx_json_at(list, i))));
}

static void row(nx_cli_table *t, const nx_json *f)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf triggers = NX_BUF_INIT(65536);
    NX_CLEANUP(nx_buf_done)
    nx_buf version = NX_BUF_INIT(4096);
    const nx_json *traffic = nx_json_get(f, "traffic");
    for (size_t i = 0; nx_json_len(traffic) > 1 && i < nx_json_len(traffic); i++)
        nx_buf_printf(&version, "%s%.*s %g %%", i ? ", " : "", NX_SLICE_FMT(nx_json_get_str(nx_json_at(traffic, i), "version")), nx_json_get_double(nx_json_at(traffic, i), "percent", 0));
    const nx_json *on = nx_json_get(f, "triggers"), *http = nx_json_get(on, "http");
    if (http)
        nx_buf_printf(&triggers, "%.*s %.*s", NX_SLICE_FMT(nx_json_get_str(http, "method")), NX_SLICE_FMT(nx_json_get_str(http, "path")));
    append_list(&triggers, "nats", nx_json_get(on, "nats"));
    append_list(&triggers, "event", nx_json_get(on, "event"));
    append_list(&triggers, "cron", nx_json_get(on, "cron"));
    nx_cli_table_cell(t, nx_json_get_str(f, "name"));
    nx_cli_table_cell(t, version.n ? nx_buf_view(&version) : nx_json_get_str(f, "version"));
    nx_cli_table_cell(t, nx_json_get_bool(f, "paused", false) ? NX_SLICE("paused") : NX_SLICE("runs"));
    nx_cli_table_cellf(t, "%llu", (unsigned long long)nx_json_get_u64(f, "pending", 0));
    nx_cli_table_cellf(t, "%llu", (unsigned long long)nx_json_get_u64(f, "dlq", 0));
    nx_cli_table_cell(t, nx_json_get_str(f, "origin"));
    nx_cli_table_cell(t, nx_slice_sub(nx_json_get_str(f, "artifact"), 0, 12));
    nx_cli_table_cell(t, nx_buf_view(&triggers));
}

/* For shell completions: names, one a line. */
static int print_names(nx_cli *c)
{
    nx_httpc_resp reply = {0};
    int code = nx_cli_ask(c, &(nx_cli_request){.method = "GET", .path = "/api/v1/functions", .timeout_ms = 5000}, &reply);
    if (code != NX_CLI_OK)
        return code;
    nx_slice rest = nx_buf_view(&reply.body), line;
    while (nx_cli_next_line(&rest, &line)) {
        nx_json *item = NULL;
        if (nx_json_parse(line, NX_CLI_REPLY_BYTES, &item, NULL) != NX_OK)
            continue;
        printf("%.*s\n", NX_SLICE_FMT(nx_json_get_str(item, "name")));
        nx_json_free(item);
    }
    nx_buf_done(&reply.body);
    return NX_CLI_OK;
}

static int run_list(nx_cli *c)
{
    static const char *const heads[] = {"FUNCTION", "VERSION", "STATE", ">PENDING", ">DLQ", "ORIGIN", "ARTIFACT", "TRIGGERS"};
    if (nx_cli_flag_is_set(c, "names"))
        return print_names(c);
    return nx_cli_list(c, "/api/v1/functions", "no functions", NX_ARRAY_LEN(heads), heads, row);
}

static const nx_cli_flag list_flags[] = {
    {.name = "names", .help = "Only names, one a line."},
    {0},
};
static const nx_cli_example list_examples[] = {
    {"nexus functions list", "what runs on the node, and what starts it"},
    {"nexus functions list --json", "the same for a program"},
    {0},
};

const nx_cli_command nx_cli_cmd_functions_list = {
    .verb = "functions list",
    .summary = "List the functions that a node runs",
    .flags = list_flags,
    .examples = list_examples,
    .is_client = true,
    .run = run_list,
};

/* ---- pause, resume ---------------------------------------------------------------------------------------------- */

static const nx_cli_arg function_arg[] = {
    {.name = "function", .help = "Name of the function.", .kind = NX_CLI_FUNCTION},
    {0},
};

static int post(nx_cli *c, const char *verb, nx_slice body, nx_httpc_resp *reply)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf path = NX_BUF_INIT(PATH_BYTES);
    const char *p = nx_cli_path(&path, "/api/v1/functions/", c->args[0], verb);
    if (!p)
        return nx_cli_fail(c, NX_ELIMIT, "the name is too long");
    return nx_cli_ask(c, &(nx_cli_request){.method = "POST", .path = p, .content_type = body.n ? "application/json" : NULL, .body = body}, reply);
}

static int print_state(nx_cli *c, nx_httpc_resp *reply, const char *changed, const char *unchanged)
{
    nx_slice body = nx_slice_trim(nx_buf_view(&reply->body));
    nx_json *root = NULL;
    if (c->json)
        printf("%.*s\n", NX_SLICE_FMT(body));
    else if (nx_json_parse(body, NX_CLI_REPLY_BYTES, &root, NULL) == NX_OK)
        printf("%s %s\n", c->args[0], nx_json_get_bool(root, "changed", false) ? changed : unchanged);
    nx_json_free(root);
    nx_buf_done(&reply->body);
    return NX_CLI_OK;
}

static int run_pause(nx_cli *c)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf body = NX_BUF_INIT(PATH_BYTES);
    nx_jw w = NX_JW_INIT(&body);
    const char *reason = nx_cli_flag_text(c, "reason");
    nx_httpc_resp reply = {0};
    nx_jw_object(&w);
    if (reason)
        nx_jw_kcstr(&w, "reason", reason);
    nx_jw_object_end(&w);
    if (nx_jw_err(&w) != NX_OK)
        return nx_cli_fail(c, NX_ELIMIT, "the reason is too long");
    int code = post(c, "/pause", nx_buf_view(&body), &reply);
    return code != NX_CLI_OK ? code : print_state(c, &reply, "is paused: its events are stored and wait", "was paused already");
}

static int run_resume(nx_cli *c)
{
    nx_httpc_resp reply = {0};
    int code = post(c, "/resume", NX_SLICE_NULL, &reply);
    return code != NX_CLI_OK ? code : print_state(c, &reply, "is resumed", "was not paused");
}

static const nx_cli_flag pause_flags[] = {
    {.name = "reason", .value = "TEXT", .help = "Why; shown where the function is listed."},
    {0},
};
static const nx_cli_example pause_examples[] = {
    {"nexus functions pause user-welcome --reason 'mail server is down'", "nothing is lost: events wait"},
    {0},
};

const nx_cli_command nx_cli_cmd_functions_pause = {
    .verb = "functions pause",
    .summary = "Stop running a function; its events wait",
    .text = "Holds on all nodes, and over restarts, until the function is resumed. Runs that have begun are finished.",
    .flags = pause_flags,
    .args = function_arg,
    .examples = pause_examples,
    .is_client = true,
    .run = run_pause,
};

static const nx_cli_example resume_examples[] = {
    {"nexus functions resume user-welcome", "it runs on what has waited"},
    {0},
};

const nx_cli_command nx_cli_cmd_functions_resume = {
    .verb = "functions resume",
    .summary = "Let a paused function run again",
    .args = function_arg,
    .examples = resume_examples,
    .is_client = true,
    .run = run_resume,
};
