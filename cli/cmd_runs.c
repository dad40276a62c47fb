/* cmd_runs.c: nexus runs list, show. */
#include "cmds.h"
#include "nx/digest.h"

#define PATH_BYTES 16384

/* ---- list ------------------------------------------------------------------------------------------------------- */

static void row(nx_cli_table *t, const nx_json *r)
{
    char took[16], memory[16];
    nx_slice why = nx_json_get_str(r, "why");
    nx_cli_format_ms(nx_json_get_double(r, "duration_ms", 0), took);
    nx_cli_format_bytes(nx_json_get_u64(r, "memory_bytes", 0), memory);
    nx_cli_table_cell(t, nx_json_get_str(r, "run_id"));
    nx_cli_table_cellf(t, "%.*s %.*s", NX_SLICE_FMT(nx_json_get_str(r, "function")), NX_SLICE_FMT(nx_json_get_str(r, "version")));
    nx_cli_table_cellf(t, "%.*s%s%.*s%s", NX_SLICE_FMT(nx_json_get_str(r, "status")), why.n ? ": " : "", NX_SLICE_FMT(why),
                       nx_json_get_bool(r, "is_final", true) ? "" : ", retry");
    nx_cli_table_cellf(t, "%llu", (unsigned long long)nx_json_get_u64(r, "attempt", 0));
    nx_cli_table_cell(t, nx_json_get_bool(r, "is_replay", false) ? NX_SLICE("yes") : NX_SLICE_NULL);
    nx_cli_table_cell(t, nx_slice_cstr(took));
    nx_cli_table_cellf(t, "%llu", (unsigned long long)nx_json_get_u64(r, "fuel", 0));
    nx_cli_table_cell(t, nx_slice_cstr(memory));
    nx_cli_table_cell(t, nx_json_get_str(r, "event_id"));
    nx_cli_table_cell(t, nx_json_get_str(r, "time"));
}

static int run_list(nx_cli *c)
{
    static const char *const heads[] = {"RUN", "FUNCTION", "STATUS", ">ATTEMPT", "REPLAY", ">TOOK", ">FUEL", ">MEMORY", "EVENT", "TIME"};
    static const char *const passed_on[] = {"event", "function", "version", "status", "since", "until"};
    NX_CLEANUP(nx_buf_done)
    nx_buf path = NX_BUF_INIT(PATH_BYTES);
    uint64_t limit;
    if (nx_cli_flag_u64(c, "limit", 1, 10000, 20, &limit) != NX_OK)
        return NX_CLI_USAGE;
    nx_err e = nx_buf_printf(&path, "/api/v1/runs?limit=%llu", (unsigned long long)limit);
    for (unsigned i = 0; i < NX_ARRAY_LEN(passed_on) && e == NX_OK; i++)
        e = nx_cli_query(&path, passed_on[i], nx_cli_flag_text(c, passed_on[i]));
    if (e == NX_OK && nx_cli_flag_is_set(c, "all"))
        e = nx_cli_query(&path, "all", "1");
    const char *p = nx_buf_cstr(&path);
    if (e != NX_OK || !p)
        return nx_cli_fail(c, NX_ELIMIT, "the request is too long");
    return nx_cli_list(c, p, "no runs", NX_ARRAY_LEN(heads), heads, row);
}

static const char *const statuses[] = {"ok", "error", "timeout", "dead", "skipped", "cancelled", "batched", NULL};
static const nx_cli_flag list_flags[] = {
    {.name = "event", .letter = 'e', .value = "ID", .help = "Only runs of this event: its id, unique ending, or @last."},
    {.name = "function", .value = "NAME", .kind = NX_CLI_FUNCTION, .help = "Only runs of this function."},
    {.name = "version", .value = "VERSION", .help = "Only runs of this version of the function: its number (v3)."},
    {.name = "status", .letter = 's', .value = "STATUS", .choices = statuses, .help = "Only runs that ended so: ok, error, timeout, dead, skipped, cancelled or batched."},
    {.name = "all", .letter = 'a', .help = "Every attempt and every replay, not only how each run ended."},
    {.name = "limit", .letter = 'n', .value = "N", .help = "At most this many, newest first (default 20)."},
    {.name = "since", .value = "TIME", .help = "Not older than this: a time (2025-11-26T10:00:00Z) or a span before now (1h)."},
    {.name = "until", .value = "TIME", .help = "Not newer than this."},
    {0},
};
static const nx_cli_example list_examples[] = {
    {"nexus runs list", "how the newest twenty runs ended"},
    {"nexus runs list --status error --since 1h", "what failed in the last hour"},
    {"nexus runs list --function order --version v4 --status error", "what a new version got wrong"},
    {"nexus runs list --event @last --all", "every attempt and replay of the newest event"},
    {0},
};

const nx_cli_command nx_cli_cmd_runs_list = {
    .verb = "runs list",
    .summary = "List runs, newest first",
    .flags = list_flags,
    .examples = list_examples,
    .is_client = true,
    .run = run_list,
};

/* ---- show ------------------------------------------------------------------------------------------------------- */

static void print_text(const char *name, nx_slice text)
{
    if (text.n == 0)
        return;
    printf("%s\n", name);
    nx_cli_print_lines(stdout, "  ", text);
}

static void print_field(const char *name, nx_slice value)
{
    if (value.n == 0)
        return;
    printf("%-12s ", name);
    nx_cli_print_safe(stdout, value);
    putchar('\n');
}

/* "3", "3 of 5", "1 of 5, redriven (generation 2)" */
static void print_attempt(const nx_json *r)
{
    char text[160];
    uint64_t max = nx_json_get_u64(r, "max_attempts", 0), generation = nx_json_get_u64(r, "generation", 0);
    int k = snprintf(text, sizeof text, "%llu", (unsigned long long)nx_json_get_u64(r, "attempt", 0));
    if (max)
        k += snprintf(text + k, sizeof text - (size_t)k, " of %llu", (unsigned long long)max);
    if (generation)
        k += snprintf(text + k, sizeof text - (size_t)k, ", redriven (generation %llu)", (unsigned long long)generation);
    if (nx_json_get_bool(r, "is_replay", false))
        snprintf(text + k, sizeof text - (size_t)k, " (a replay)");
    print_field("attempt", nx_slice_cstr(text));
    print_field("next attempt", nx_json_get_str(r, "next_attempt_at"));
}

/* Where there was more than one. */
static void print_history(const nx_json *attempts)
{
    static const char *const heads[] = {">ATTEMPT", "STATUS", ">TOOK", "TIME", "NEXT"};
    if (nx_json_len(attempts) < 2)
        return;
    nx_cli_table t;
    nx_cli_table_init(&t, NX_ARRAY_LEN(heads), heads);
    for (size_t i = 0; i < nx_json_len(attempts); i++) {
        const nx_json *a = nx_json_at(attempts, i);
        char took[16];
        nx_slice why = nx_json_get_str(a, "why");
        nx_cli_format_ms(nx_json_get_double(a, "duration_ms", 0), took);
        nx_cli_table_cellf(&t, "%llu", (unsigned long long)nx_json_get_u64(a, "attempt", 0));
        nx_cli_table_cellf(&t, "%.*s%s%.*s", NX_SLICE_FMT(nx_json_get_str(a, "status")), why.n ? ": " : "", NX_SLICE_FMT(why));
        nx_cli_table_cell(&t, nx_slice_cstr(took));
        nx_cli_table_cell(&t, nx_json_get_str(a, "time"));
        nx_cli_table_cell(&t, nx_json_get_str(a, "next_attempt_at"));
    }
    nx_cli_table_print(&t, false, stdout);
    nx_cli_table_done(&t);
}

#define EFFECTS_SHOWN 20

/* Numbered as `nexus replay --set-effect` counts them. */
static void print_effects(const nx_json *effects)
{
    char text[96];
    size_t n = nx_json_len(effects);
    for (size_t i = 0; i < n && i < EFFECTS_SHOWN; i++) {
        const nx_json *item = nx_json_at(effects, i);
        snprintf(text, sizeof text, "%zu %.*s %.*s", i, NX_SLICE_FMT(nx_json_get_str(item, "name")), NX_SLICE_FMT(nx_json_get_str(item, "status")));
        print_field("effect", nx_slice_cstr(text));
    }
    if (n > EFFECTS_SHOWN) {
        snprintf(text, sizeof text, "and %zu more; see them with --json", n - EFFECTS_SHOWN);
        print_field("", nx_slice_cstr(text));
    }
}

static void print_run(const nx_json *r)
{
    char took[16], memory[16], text[160];
    nx_slice why = nx_json_get_str(r, "why");
    nx_cli_format_ms(nx_json_get_double(r, "duration_ms", 0), took);
    nx_cli_format_bytes(nx_json_get_u64(r, "memory_bytes", 0), memory);
    print_field("run", nx_json_get_str(r, "run_id"));
    print_field("event", nx_json_get_str(r, "event_id"));
    snprintf(text, sizeof text, "%.*s %.*s", NX_SLICE_FMT(nx_json_get_str(r, "function")), NX_SLICE_FMT(nx_json_get_str(r, "version")));
    print_field("function", nx_slice_cstr(text));
    print_field("artifact", nx_json_get_str(r, "artifact"));
    snprintf(text, sizeof text, "%.*s%s%.*s", NX_SLICE_FMT(nx_json_get_str(r, "status")), why.n ? ": " : "", NX_SLICE_FMT(why));
    print_field("status", nx_slice_cstr(text));
    print_field("message", nx_json_get_str(r, "message"));
    print_attempt(r);
    print_field("replay of", nx_json_get_str(r, "replay_of"));
    print_field("redrive of", nx_json_get_str(r, "redrive_of"));
    print_field("started", nx_json_get_str(r, "time"));
    snprintf(text, sizeof text, "%s%s, %llu fuel, %s of memory, %llu host calls", took,
             nx_json_get_bool(r, "is_cold", false) ? " (cold)" : "", (unsigned long long)nx_json_get_u64(r, "fuel", 0), memory,
             (unsigned long long)nx_json_get_u64(r, "host_calls", 0));
    print_field("used", nx_slice_cstr(text));
    print_field("trace", nx_json_get_str(r, "trace_id"));
    print_effects(nx_json_get(r, "effects"));
    const nx_json *emitted = nx_json_get(r, "emitted");
    for (size_t i = 0; i < nx_json_len(emitted); i++) {
        const nx_json *item = nx_json_at(emitted, i);
        snprintf(text, sizeof text, "%.*s %.*s", NX_SLICE_FMT(nx_json_get_str(item, "event_id")), NX_SLICE_FMT(nx_json_get_str(item, "type")));
        print_field("emitted", nx_slice_cstr(text));
    }
    print_history(nx_json_get(r, "attempts"));
    print_text("backtrace", nx_json_get_str(r, "backtrace"));
    print_text("output", nx_json_get_str(r, "output"));
    if (nx_json_get(r, "output_base64"))
        print_field("output", NX_SLICE("binary; see it with --json"));
    print_text("logs", nx_json_get_str(r, "logs"));
}

/* Data without a content type is base64 in the event's JSON, text or not. */
static void print_data(const nx_json *event, nx_buf *text)
{
    const nx_json *data = nx_json_get(event, "data");
    nx_slice base64 = nx_json_get_str(event, "data_base64"), bytes = NX_SLICE_NULL;
    if (base64.n && nx_buf_reserve(text, base64.n) == NX_OK && nx_base64_decode(base64, &bytes, text->p, base64.n) == NX_OK)
        text->n = bytes.n;
    else if (data && nx_json_typeof(data) == NX_JSON_STR)
        nx_buf_append_slice(text, nx_json_str(data));
    else if (data)
        nx_json_dump(data, text);
    if (nx_slice_is_utf8(nx_buf_view(text)))
        print_text("event data", nx_buf_view(text));
    else
        print_field("event data", NX_SLICE("binary; see it with nexus events show --data"));
}

void nx_cli_print_dead(const nx_json *r, bool is_first)
{
    const nx_json *event = nx_json_get(r, "event");
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(NX_CLI_REPLY_BYTES);
    if (!is_first)
        putchar('\n');
    print_run(r);
    if (event && nx_json_typeof(event) == NX_JSON_OBJECT)
        print_data(event, &text);
    else
        print_field("event data", NX_SLICE("no longer in the log"));
}

static int run_show(nx_cli *c)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf path = NX_BUF_INIT(PATH_BYTES);
    const char *p = nx_cli_path(&path, "/api/v1/runs/", c->args[0], "");
    if (!p)
        return nx_cli_fail(c, NX_ELIMIT, "the id is too long");
    nx_httpc_resp reply = {0};
    int code = nx_cli_ask(c, &(nx_cli_request){.method = "GET", .path = p}, &reply);
    return code == NX_CLI_OK ? nx_cli_print_one(c, &reply, print_run) : code;
}

static const nx_cli_arg show_args[] = {
    {.name = "run", .help = "Id of the run, its unique ending, or @last."},
    {0},
};
static const nx_cli_example show_examples[] = {
    {"nexus runs show @last", "the newest run: output, logs, backtrace"},
    {"nexus runs show @last --json", "the whole record, with seed, environment and limits"},
    {0},
};

const nx_cli_command nx_cli_cmd_runs_show = {
    .verb = "runs show",
    .summary = "Show one run",
    .args = show_args,
    .examples = show_examples,
    .is_client = true,
    .run = run_show,
};
