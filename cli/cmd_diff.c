/* cmd_diff.c: nexus diff. */
#include "cmds.h"
#include "compare.h"
#include "junit.h"

#define TIMEOUT_MS 600000
#define SUMMARY_BYTES 1024

typedef struct tally {
    nx_junit *junit; /* NULL: no report */
    unsigned same, different, failed, artifact_gone;
} tally;

static int exit_code_of(const tally *t)
{
    if (t->artifact_gone)
        return NX_CLI_EXIT_ARTIFACT_GONE;
    if (t->failed)
        return NX_CLI_EXIT_NOT_COMPARED;
    return t->different ? NX_CLI_EXIT_DIFFERENT : NX_CLI_OK;
}

static void print_comparison(const nx_cli *c, const nx_json *r)
{
    const nx_json *diff = nx_json_get(r, "diff");
    nx_slice verdict = nx_json_get_str(r, "verdict");
    bool is_same = nx_slice_eq_cstr(verdict, "same");
    nx_cli_print_safe(stdout, nx_json_get_str(r, "function"));
    if (diff) {
        putchar(' ');
        nx_cli_print_code(nx_json_get_str(nx_json_get(diff, "before"), "version"));
        if (nx_json_get_bool(nx_json_get(diff, "before"), "is_recorded", false))
            fputs(" as recorded", stdout);
        fputs(" -> ", stdout);
        nx_cli_print_code(nx_json_get_str(nx_json_get(diff, "after"), "version"));
    }
    printf(": %s%.*s%s", nx_cli_paint(c->has_colour, is_same ? NX_CLI_GREEN : NX_CLI_RED), NX_SLICE_FMT(verdict), nx_cli_paint(c->has_colour, NX_CLI_PLAIN));
    nx_slice reason = nx_json_get_str(r, "reason");
    if (reason.n) {
        fputs(": ", stdout);
        nx_cli_print_safe(stdout, reason);
    }
    putchar('\n');
    if (diff) {
        nx_cli_print_diff(c, diff);
        nx_cli_print_first_call(c, diff);
        nx_cli_print_settings(c, nx_json_get(r, "settings"));
    }
}

static void count(tally *t, const nx_json *r)
{
    char name[128], why[SUMMARY_BYTES];
    const nx_json *diff = nx_json_get(r, "diff");
    nx_slice verdict = nx_json_get_str(r, "verdict");
    const char *result = "broken";
    snprintf(why, sizeof why, "%.*s", NX_SLICE_FMT(nx_json_get_str(r, "reason")));
    if (nx_slice_eq_cstr(verdict, "same")) {
        t->same++;
        result = "passed";
    } else if (nx_slice_eq_cstr(verdict, "different")) {
        t->different++;
        result = "failed";
        nx_cli_diff_summary(diff, why, sizeof why);
    } else if (nx_json_get_bool(r, "artifact_missing", false)) {
        t->artifact_gone++;
    } else {
        t->failed++;
    }
    if (!t->junit)
        return;
    snprintf(name, sizeof name, "event %.*s", NX_SLICE_FMT(nx_json_get_str(r, "event_id")));
    nx_junit_case(t->junit, nx_json_get_str(r, "function"), name, result, nx_slice_cstr(why), nx_json_get_double(nx_json_get(diff, "after"), "duration_ms", 0));
}

static int print_all(nx_cli *c, nx_slice body, tally *t)
{
    nx_slice line;
    while (nx_cli_next_line(&body, &line)) {
        nx_json *r = NULL;
        int code = nx_cli_answer_json(c, line, &r);
        if (code != NX_CLI_OK)
            return code;
        count(t, r);
        if (c->json)
            printf("%.*s\n", NX_SLICE_FMT(line));
        else
            print_comparison(c, r);
        nx_json_free(r);
    }
    return NX_CLI_OK;
}

/* "recorded" and the last code are compared where only one is given. */
static int request(nx_cli *c, nx_cli_client *node, nx_buf *body)
{
    char before[NX_CLI_CODE_BYTES], after[NX_CLI_CODE_BYTES];
    const char *function = nx_cli_flag_text(c, "function");
    bool has_both = c->n_args == 3;
    int code = nx_cli_code_name(node, has_both ? "the first code" : "the code", has_both ? c->args[1] : "recorded", before);
    if (code == NX_CLI_OK)
        code = nx_cli_code_name(node, has_both ? "the second code" : "the code", c->args[has_both ? 2 : 1], after);
    if (code != NX_CLI_OK)
        return code;
    nx_jw w = NX_JW_INIT(body);
    nx_jw_object(&w);
    nx_jw_kcstr(&w, "event_id", c->args[0]);
    nx_jw_kcstr(&w, "before", before);
    nx_jw_kcstr(&w, "after", after);
    if (function)
        nx_jw_kcstr(&w, "function", function);
    nx_jw_object_end(&w);
    return nx_jw_err(&w) == NX_OK ? NX_CLI_OK : nx_cli_fail(c, nx_jw_err(&w), "the request is too long");
}

static int run(nx_cli *c)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf body = NX_BUF_INIT(65536);
    nx_cli_client node;
    nx_httpc_resp reply = {0};
    const char *report = nx_cli_flag_text(c, "junit");
    tally t = {0};
    nx_err e = nx_cli_client_open(c, &node);
    if (e != NX_OK)
        return nx_err_exit_code(e);
    int code = request(c, &node, &body);
    if (code == NX_CLI_OK) {
        nx_cli_request q = {
            .method = "POST",
            .path = "/api/v1/diffs",
            .content_type = "application/json",
            .body = nx_buf_view(&body),
            .timeout_ms = TIMEOUT_MS,
            .progress = "comparing",
        };
        code = nx_cli_call(&node, &q, &reply);
    }
    nx_cli_client_close(&node);
    if (code != NX_CLI_OK)
        return code;
    if (report && !(t.junit = nx_junit_new("nexus diff")))
        code = nx_cli_fail(c, NX_ENOMEM, "out of memory for the report");
    if (code == NX_CLI_OK)
        code = print_all(c, nx_buf_view(&reply.body), &t);
    nx_error err = NX_ERROR_INIT;
    if (code == NX_CLI_OK && report && (err.code = nx_junit_write(t.junit, report, &err)) != NX_OK)
        code = nx_cli_fail_error(c, &err);
    nx_junit_free(t.junit);
    nx_buf_done(&reply.body);
    return code == NX_CLI_OK ? exit_code_of(&t) : code;
}

static const nx_cli_flag flags[] = {
    {.name = "function", .value = "NAME", .kind = NX_CLI_FUNCTION, .help = "Only this function (default: every one that ran the event)."},
    {.name = "junit", .value = "FILE", .kind = NX_CLI_FILE, .help = "Write a JUnit XML report for CI."},
    {0},
};
static const nx_cli_arg args[] = {
    {.name = "event", .help = "Id of the event, its unique ending, or @last."},
    {.name = "before", .kind = NX_CLI_FILE, .help = "A version (v6), an alias (live), `recorded`, an artifact's digest, or a .wasm file; alone: what `recorded` is compared with."},
    {.name = "after", .kind = NX_CLI_FILE, .is_optional = true, .help = "What it is compared with."},
    {0},
};
static const nx_cli_example examples[] = {
    {"nexus diff @last v6 v7", "what version 7 answers otherwise than version 6"},
    {"nexus diff @last ./build/welcome.wasm", "what code that was not deployed yet changes in the recorded outcome"},
    {"nexus diff 8W2MQ4KD live v7 --junit report.xml", "as a step of CI: exit code 1 and a report when they differ"},
    {0},
};

const nx_cli_command nx_cli_cmd_diff = {
    .verb = "diff",
    .summary = "Compare what two versions of a function make of one event",
    .text = "Both run in the world that was recorded: the same input, clock, randomness and answers of effects; each with its own\n"
            "settings. Compared are status, output (JSON by paths, text by lines), log, emitted events and effects. Fuel, memory and\n"
            "other host calls are shown and make no difference. Nothing outside is touched, and no traffic is moved.\n\n"
            "Exit codes: 0 the same, 1 different, 3 one of both could not be run, 4 unknown event, function or version, 11 an\n"
            "artifact is gone, 69 no node.",
    .flags = flags,
    .args = args,
    .examples = examples,
    .is_client = true,
    .run = run,
};
