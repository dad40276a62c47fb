/* cmd_jobs.c: nexus jobs list, show, cancel. */
#include "cmds.h"
#include "compare.h"
#include "follow_job.h"
#include "replay_range.h"

#define PATH_BYTES 1024

static const char *progress_text(const nx_json *job, char text[64])
{
    const nx_json *p = nx_json_get(job, "progress");
    int n = snprintf(text, 64, "%llu", (unsigned long long)nx_json_get_u64(p, "events", 0));
    if (nx_json_get(p, "percent") && n < 40)
        snprintf(text + n, 64 - (size_t)n, " (%.0f%%)", nx_json_get_double(p, "percent", 0));
    return text;
}

/* What it is about, from its spec: "welcome against v7, order.*". */
static void about(const nx_json *job, char *text, size_t text_bytes)
{
    static const char *const keys[] = {"function", "against", "type", "status", "since"};
    const nx_json *spec = nx_json_get(job, "spec");
    size_t n = 0;
    text[0] = 0;
    for (unsigned i = 0; i < NX_ARRAY_LEN(keys) && n < text_bytes; i++) {
        nx_slice v = nx_json_get_str(spec, keys[i]);
        if (v.n)
            n += (size_t)snprintf(text + n, text_bytes - n, "%s%s=%.*s", n ? " " : "", keys[i], (int)(v.n > 40 ? 40 : v.n), v.p);
    }
}

static void row(nx_cli_table *t, const nx_json *job)
{
    char text[64], what[256];
    about(job, what, sizeof what);
    nx_cli_table_cell(t, nx_json_get_str(job, "job_id"));
    nx_cli_table_cell(t, nx_json_get_str(job, "kind"));
    nx_cli_table_cell(t, nx_json_get_str(job, "status"));
    nx_cli_table_cell(t, nx_slice_cstr(progress_text(job, text)));
    nx_cli_table_cellf(t, "%.0f", nx_json_get_double(nx_json_get(job, "progress"), "events_per_s", 0));
    nx_cli_table_cell(t, nx_json_get_str(job, "created_at"));
    nx_cli_table_cell(t, nx_slice_cstr(what));
}

static int run_list(nx_cli *c)
{
    static const char *const heads[] = {"JOB", "KIND", "STATUS", ">EVENTS", ">PER SECOND", "CREATED", "WHAT"};
    NX_CLEANUP(nx_buf_done)
    nx_buf path = NX_BUF_INIT(PATH_BYTES);
    nx_err e = nx_buf_append_cstr(&path, "/api/v1/jobs");
    if (e == NX_OK)
        e = nx_cli_query(&path, "kind", nx_cli_flag_text(c, "kind"));
    const char *p = nx_buf_cstr(&path);
    if (e != NX_OK || !p)
        return nx_cli_fail(c, NX_ELIMIT, "the request is too long");
    return nx_cli_list(c, p, "no jobs", NX_ARRAY_LEN(heads), heads, row);
}

/* One job by the end of its id. */
static int call(nx_cli *c, const char *method, const char *verb, nx_json **ret)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf path = NX_BUF_INIT(PATH_BYTES);
    nx_httpc_resp reply = {0};
    const char *p = nx_cli_path(&path, "/api/v1/jobs/", c->args[0], verb);
    if (!p)
        return nx_cli_fail(c, NX_ELIMIT, "the request is too long");
    int code = nx_cli_ask(c, &(nx_cli_request){.method = method, .path = p}, &reply);
    if (code != NX_CLI_OK)
        return code;
    code = nx_cli_answer_json(c, nx_buf_view(&reply.body), ret);
    nx_buf_done(&reply.body);
    return code;
}

static void print_line(const char *name, nx_slice text)
{
    if (!text.n)
        return;
    printf("%-10s ", name);
    nx_cli_print_safe(stdout, text);
    putchar('\n');
}

static void print_job(const nx_cli *c, const nx_json *job)
{
    static const char *const keys[] = {"kind", "status", "created_at", "started_at", "ended_at", "node", "error"};
    static const char *const names[] = {"kind", "status", "created", "started", "ended", "node", "error"};
    char text[64], what[256];
    const nx_json *p = nx_json_get(job, "progress");
    about(job, what, sizeof what);
    print_line("job", nx_json_get_str(job, "job_id"));
    for (unsigned i = 0; i < NX_ARRAY_LEN(keys); i++)
        print_line(names[i], nx_json_get_str(job, keys[i]));
    print_line("what", nx_slice_cstr(what));
    printf("%-10s %s, %.0f/s", "events", progress_text(job, text), nx_json_get_double(p, "events_per_s", 0));
    if (nx_json_get(p, "eta_s"))
        printf(", %.0fs left", nx_json_get_double(p, "eta_s", 0));
    putchar('\n');
    nx_cli_print_range(c, job);
}

static int run_show(nx_cli *c)
{
    nx_json *job = NULL;
    int code = call(c, "GET", "", &job);
    if (code != NX_CLI_OK)
        return code;
    if (c->json)
        nx_cli_job_print_json(job);
    else
        print_job(c, job);
    const nx_json *diff = nx_json_get(nx_json_get(job, "summary"), "diff");
    const char *report = nx_cli_flag_text(c, "junit");
    if (report && !diff)
        code = nx_cli_fail(c, NX_ENOENT, "flag --junit: the job has compared nothing");
    else if (report)
        code = nx_cli_range_junit(c, diff, report);
    nx_json_free(job);
    return code;
}

static int run_cancel(nx_cli *c)
{
    nx_json *job = NULL;
    int code = call(c, "POST", "/cancel", &job);
    if (code != NX_CLI_OK)
        return code;
    if (c->json)
        nx_cli_job_print_json(job);
    else
        printf("job %.*s is being canceled\n", NX_SLICE_FMT(nx_json_get_str(job, "job_id")));
    nx_json_free(job);
    return NX_CLI_OK;
}

static const nx_cli_flag show_flags[] = {
    {.name = "junit", .value = "FILE", .kind = NX_CLI_FILE, .help = "Write a JUnit XML report of a replay's differences for CI."},
    {0},
};
static const nx_cli_flag list_flags[] = {
    {.name = "kind", .value = "KIND", .help = "Only jobs of this kind: replay, shadow."},
    {0},
};
static const nx_cli_flag no_flags[] = {{0}};
static const nx_cli_arg job_args[] = {
    {.name = "job", .help = "Id of the job, its unique ending (4 characters or more), or @last."},
    {0},
};
static const nx_cli_example list_examples[] = {
    {"nexus jobs list", "what the namespace's nodes are at, and what they did"},
    {"nexus jobs list --kind replay --json", "range replays, for a program"},
    {0},
};
static const nx_cli_example show_examples[] = {
    {"nexus jobs show @last", "how far the newest job is, and what it found"},
    {0},
};
static const nx_cli_example cancel_examples[] = {
    {"nexus jobs cancel @last", "stop the newest job; what it found stays"},
    {0},
};

const nx_cli_command nx_cli_cmd_jobs_list = {
    .verb = "jobs list",
    .summary = "List jobs, newest first",
    .text = "Jobs that are over are kept until there are a hundred of them.",
    .flags = list_flags,
    .examples = list_examples,
    .is_client = true,
    .run = run_list,
};

const nx_cli_command nx_cli_cmd_jobs_show = {
    .verb = "jobs show",
    .flags = show_flags,
    .summary = "Show one job: how far it is, and what it found",
    .args = job_args,
    .examples = show_examples,
    .is_client = true,
    .run = run_show,
};

const nx_cli_command nx_cli_cmd_jobs_cancel = {
    .verb = "jobs cancel",
    .summary = "Stop a job; what it found until then is kept",
    .flags = no_flags,
    .args = job_args,
    .examples = cancel_examples,
    .is_client = true,
    .run = run_cancel,
};
