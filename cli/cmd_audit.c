/* cmd_audit.c: nexus audit. */
#include "cmds.h"

#define PATH_BYTES 1024

/* Nothing that is less than all is called 100 %. */
static double percent_of(const nx_json *a)
{
    double percent = nx_json_get_double(a, "replayable_percent", 0);
    bool is_all = nx_json_get_u64(a, "identical", 0) == nx_json_get_u64(a, "audited", 0);
    return !is_all && percent > 99.99 ? 99.99 : percent;
}

static void row(nx_cli_table *t, const nx_json *a)
{
    unsigned long long audited = (unsigned long long)nx_json_get_u64(a, "audited", 0);
    nx_cli_table_cell(t, nx_json_get_str(a, "function"));
    if (audited == 0)
        nx_cli_table_cell(t, NX_SLICE("not audited yet"));
    else
        nx_cli_table_cellf(t, "replayable: %.4g %% of %llu", percent_of(a), audited);
    nx_cli_table_cellf(t, "%llu", (unsigned long long)nx_json_get_u64(a, "diverged", 0));
    nx_cli_table_cellf(t, "%llu", (unsigned long long)nx_json_get_u64(a, "failed", 0));
    nx_cli_table_cellf(t, "%llu", (unsigned long long)nx_json_get_u64(a, "waiting", 0));
    nx_cli_table_cellf(t, "%llu", (unsigned long long)nx_json_get_u64(a, "passed_over", 0));
    nx_slice reason = nx_json_get_str(a, "last_reason");
    if (reason.n)
        nx_cli_table_cellf(t, "%.*s: %.*s", NX_SLICE_FMT(nx_json_get_str(a, "last_event_id")), NX_SLICE_FMT(reason));
    else
        nx_cli_table_cell(t, NX_SLICE(""));
}

static int run(nx_cli *c)
{
    static const char *const heads[] = {"FUNCTION", "RUNS", ">DIVERGED", ">FAILED", ">WAITING", ">PASSED OVER", "LAST"};
    NX_CLEANUP(nx_buf_done)
    nx_buf path = NX_BUF_INIT(PATH_BYTES);
    nx_err e = nx_buf_append_cstr(&path, "/api/v1/audit");
    if (e == NX_OK)
        e = nx_cli_query(&path, "function", nx_cli_flag_text(c, "function"));
    const char *text = e == NX_OK ? nx_buf_cstr(&path) : NULL;
    if (!text)
        return nx_cli_fail(c, e == NX_OK ? NX_ENOMEM : e, "the request is too long");
    return nx_cli_list(c, text, "no run was chosen yet; the key replay.audit in nexus.yaml sets which share is (`nexus audit --help`)", NX_ARRAY_LEN(heads), heads, row);
}

static const nx_cli_flag flags[] = {
    {.name = "function", .value = "NAME", .kind = NX_CLI_FUNCTION, .help = "Only this function."},
    {0},
};
static const nx_cli_example examples[] = {
    {"nexus audit", "what came of the runs that the node repeated while it was idle"},
    {"nexus audit --function user-welcome --json", "one function, for programs"},
    {0},
};

const nx_cli_command nx_cli_cmd_audit = {
    .verb = "audit",
    .summary = "Say how many live runs repeat, of those that were tried",
    .text = "With replay.audit in nexus.yaml (1%), the node repeats that share of its live runs while nothing else runs on it, and compares.\n"
            "A run that does not come out the same is a line in the log, a metric, and an event of type nexus.audit.mismatch. FAILED are\n"
            "runs that can't be repeated (recording: off, code that is gone); PASSED OVER were chosen and not tried: too many waited, or\n"
            "the event was gone, or the machine had no memory. Figures are of all nodes of the namespace since the first audit; WAITING is this node's.",
    .flags = flags,
    .examples = examples,
    .is_client = true,
    .run = run,
};
