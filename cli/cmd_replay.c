/* cmd_replay.c: nexus replay. */
#include "cmds.h"
#include "compare.h"
#include "offline.h"
#include "offline_secrets.h"
#include "replay_range.h"
#include "what_if.h"
#include <unistd.h>

#define TIMEOUT_MS 600000

/* The worst verdict decides: what could not be repeated proves nothing, so it counts more than a difference. */
typedef struct verdicts {
    unsigned identical, diverged, failed, artifact_gone;
} verdicts;

static int exit_code_of(const verdicts *v)
{
    if (v->artifact_gone)
        return NX_CLI_EXIT_ARTIFACT_GONE;
    if (v->failed)
        return NX_CLI_FAILED;
    return v->diverged ? nx_err_exit_code(NX_EDIVERGED) : NX_CLI_OK;
}

static void count(verdicts *v, const nx_json *r)
{
    nx_slice verdict = nx_json_get_str(r, "verdict");
    if (nx_slice_eq_cstr(verdict, "identical") || nx_slice_eq_cstr(verdict, "same"))
        v->identical++;
    else if (nx_slice_eq_cstr(verdict, "diverged") || nx_slice_eq_cstr(verdict, "different"))
        v->diverged++;
    else if (nx_json_get_bool(r, "artifact_missing", false))
        v->artifact_gone++;
    else
        v->failed++;
}

/* ---- for people ------------------------------------------------------------------------------------------------- */

static void print_mark(const nx_cli *c, bool is_good, const char *bad)
{
    printf("%s%s%s ", nx_cli_paint(c->has_colour, is_good ? NX_CLI_GREEN : NX_CLI_RED), is_good ? "OK" : bad,
           nx_cli_paint(c->has_colour, NX_CLI_PLAIN));
}

static void print_logs(const nx_json *r)
{
    const nx_json *logs = nx_json_get(r, "logs");
    for (size_t i = 0; i < nx_json_len(logs); i++) {
        printf("[trace=%.*s-replay] ", NX_SLICE_FMT(nx_json_get_str(r, "trace_id")));
        nx_cli_print_safe(stdout, nx_json_str(nx_json_at(logs, i)));
        putchar('\n');
    }
}

static void print_output(const nx_json *r)
{
    nx_slice text = nx_json_get_str(r, "output");
    if (nx_json_get(r, "output_base64")) {
        printf("output of %.*s: binary (base64) %.*s\n", NX_SLICE_FMT(nx_json_get_str(r, "function")),
               NX_SLICE_FMT(nx_json_get_str(r, "output_base64")));
        return;
    }
    printf("output of %.*s:\n", NX_SLICE_FMT(nx_json_get_str(r, "function")));
    nx_cli_print_lines(stdout, "  ", text);
}

static void print_call(const char *what, nx_slice text)
{
    printf("  %s: ", what);
    nx_cli_print_safe(stdout, text);
    putchar('\n');
}

static void print_verdict(const nx_cli *c, const nx_json *r)
{
    nx_slice verdict = nx_json_get_str(r, "verdict"), reason = nx_json_get_str(r, "reason");
    bool is_what_if = nx_json_get_bool(r, "is_what_if", false);
    bool is_identical = nx_slice_eq_cstr(verdict, is_what_if ? "same" : "identical");
    nx_cli_print_safe(stdout, nx_json_get_str(r, "function"));
    putchar(' ');
    nx_cli_print_code(nx_json_get_str(r, "version"));
    printf(": %s%s%.*s%s", is_what_if ? "what if: " : "", nx_cli_paint(c->has_colour, is_identical ? NX_CLI_GREEN : NX_CLI_RED), NX_SLICE_FMT(verdict),
           nx_cli_paint(c->has_colour, NX_CLI_PLAIN));
    if (is_identical && !is_what_if) {
        nx_slice status = nx_json_get_str(r, "status");
        if (status.n && !nx_slice_eq_cstr(status, "ok"))
            printf(" (%.*s again,", NX_SLICE_FMT(status));
        else
            printf(" (output,");
        if (nx_json_get_bool(r, "fuel_comparable", true))
            printf(" fuel %llu,", (unsigned long long)nx_json_get_u64(r, "fuel", 0));
        printf(" %llu host calls)", (unsigned long long)nx_json_get_u64(r, "host_calls", 0));
        if (!nx_json_get_bool(r, "fuel_comparable", true))
            printf("; fuel not comparable: other code or another engine");
    }
    if (reason.n) {
        printf("%s", is_identical ? "; " : ": ");
        nx_cli_print_safe(stdout, reason);
    }
    putchar('\n');
    const nx_json *first = nx_json_get(r, "first_difference"), *diff = nx_json_get(r, "diff");
    if (first && !is_what_if) {
        printf("  first difference: host call %lld\n", (long long)nx_json_get_i64(first, "call", 0));
        print_call("recorded", nx_json_get_str(first, "recorded"));
        print_call("replayed", nx_json_get_str(first, "replayed"));
        nx_cli_print_where(c, first);
    }
    if (diff)
        nx_cli_print_diff(c, diff);
}

static int print_results(nx_cli *c, nx_slice body, verdicts *v)
{
    nx_slice rest = body, line;
    nx_json *results[1024];
    unsigned n = 0;
    double total_ms = 0;
    char took[16];
    int code = NX_CLI_OK;
    while (code == NX_CLI_OK && n < NX_ARRAY_LEN(results) && nx_cli_next_line(&rest, &line)) {
        code = nx_cli_answer_json(c, line, &results[n]);
        if (code != NX_CLI_OK)
            break;
        count(v, results[n]);
        total_ms += nx_json_get_double(results[n], "duration_ms", 0);
        if (n == 0) {
            print_mark(c, true, "");
            printf("Replaying event %.*s\n", NX_SLICE_FMT(nx_json_get_str(results[n], "event_id")));
        }
        print_logs(results[n]);
        n++;
    }
    bool is_complete = v->failed + v->artifact_gone == 0;
    if (code == NX_CLI_OK && n > 0) {
        nx_cli_format_ms(total_ms, took);
        print_mark(c, is_complete, "FAILED");
        printf("Replay %s %s\n", is_complete ? "completed in" : "not complete after", took);
    }
    for (unsigned i = 0; i < n; i++) {
        if (code == NX_CLI_OK) {
            print_verdict(c, results[i]);
            if (nx_cli_flag_is_set(c, "show-output"))
                print_output(results[i]);
        }
        nx_json_free(results[i]);
    }
    if (code == NX_CLI_OK && n == 0)
        code = nx_cli_fail(c, NX_ENOENT, "no function ran event %s", c->args[0]);
    return code;
}

static int print_json(nx_cli *c, nx_slice body, verdicts *v)
{
    nx_slice line;
    unsigned n = 0;
    while (nx_cli_next_line(&body, &line)) {
        nx_json *r = NULL;
        int code = nx_cli_answer_json(c, line, &r);
        if (code != NX_CLI_OK)
            return code;
        count(v, r);
        nx_json_free(r);
        printf("%.*s\n", NX_SLICE_FMT(line));
        n++;
    }
    return n ? NX_CLI_OK : nx_cli_fail(c, NX_ENOENT, "no function ran event %s", c->args[0]);
}

/* ---- the request ------------------------------------------------------------------------------------------------ */

static int print_all(nx_cli *c, nx_slice body)
{
    verdicts v = {0};
    int code = c->json ? print_json(c, body, &v) : print_results(c, body, &v);
    return code == NX_CLI_OK ? exit_code_of(&v) : code;
}

/* A bundle, which needs no node; for a debugger also one that a node makes of an event. */
static int run_bundle(nx_cli *c, bool is_file)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf line = NX_BUF_INIT(NX_CLI_REPLY_BYTES);
    NX_CLEANUP(nx_buf_done)
    nx_buf file = NX_BUF_INIT(NX_BUNDLE_BYTES_MAX);
    nx_httpc_resp reply = {.status = 0};
    nx_error e = NX_ERROR_INIT;
    int code = NX_CLI_OK;
    if (!is_file)
        code = nx_cli_bundle_fetch(c, &reply);
    else if ((e.code = nx_cli_read_file(c->args[0], &file, &e)) != NX_OK)
        code = nx_cli_fail_error(c, &e);
    if (code != NX_CLI_OK)
        return code;
    code = nx_cli_offline_replay(c, c->args[0], nx_buf_view(is_file ? &file : &reply.body), nx_cli_flag_text(c, "against"), &line);
    nx_buf_done(&reply.body);
    return code == NX_CLI_OK ? print_all(c, nx_buf_view(&line)) : code;
}

/* Live effects happen: a card is charged again. A person is asked; a program has to say --yes. */
static int allow_live(nx_cli *c)
{
    const char *effects = nx_cli_replay_effects(c), *other = nx_cli_flag_text(c, "effects");
    char answer[16] = "";
    bool is_one = c->n_args > 0 && !nx_cli_is_bundle(c->args[0]);
    if (effects && other && strcmp(effects, other) != 0)
        return nx_cli_fail_usage(c, "flag --live and --effects %s: leave out one of the two", other);
    if (effects && strcmp(effects, "recorded") != 0 && c->n_args > 0 && !is_one)
        return nx_cli_fail_usage(c, "flag --effects: a bundle is repeated with its recorded answers");
    if (!effects || strcmp(effects, "live") != 0)
        return NX_CLI_OK;
    if (nx_cli_flag_is_set(c, "yes"))
        return NX_CLI_OK;
    if (!isatty(STDIN_FILENO) || c->json)
        return nx_cli_fail_usage(c, "live effects reach the outside again (requests are sent, keys are written); say --yes if that is meant");
    fprintf(stderr, "With live effects, requests are sent and keys are written again. Replay %s so? [y/N] ", is_one ? c->args[0] : "the whole range");
    if (!fgets(answer, sizeof answer, stdin) || (answer[0] != 'y' && answer[0] != 'Y'))
        return nx_cli_fail(c, NX_ECANCELED, "nothing was replayed");
    return NX_CLI_OK;
}

static int run(nx_cli *c)
{
    const char *effects = nx_cli_replay_effects(c);
    int allowed = allow_live(c);
    if (allowed != NX_CLI_OK)
        return allowed;
    static const char *const of_range[] = {"since", "until", "type", "status", "all", "rate", "detach"};
    for (size_t i = 0; c->n_args && i < NX_ARRAY_LEN(of_range); i++)
        if (nx_cli_flag_is_set(c, of_range[i]))
            return nx_cli_fail_usage(c, "flag --%s is of a range, and %s is one event: leave out one of the two", of_range[i], c->args[0]);
    if (c->n_args && nx_cli_flag_text(c, "junit"))
        return nx_cli_fail_usage(c, "flag --junit is of a range; one event's report is nexus diff --junit");
    bool is_file = c->n_args && nx_cli_is_bundle(c->args[0]), is_debug = nx_cli_flag_is_set(c, "debug");
    if (nx_cli_flag_text(c, "secrets") && !is_file && !is_debug)
        return nx_cli_fail_usage(c, "flag --secrets is for bundles and --debug: the node reads its own secrets");
    if (c->n_args == 0)
        return nx_cli_replay_range(c);
    if (is_debug && effects && strcmp(effects, "recorded") != 0)
        return nx_cli_fail_usage(c, "flag --debug: host calls get their recorded answers");
    if (is_file || is_debug)
        return run_bundle(c, is_file);
    NX_CLEANUP(nx_buf_done)
    nx_buf body = NX_BUF_INIT(NX_CLI_WHAT_IF_BYTES);
    nx_cli_client node;
    nx_httpc_resp reply = {0};
    char other[NX_CLI_CODE_BYTES] = "";
    const char *function = nx_cli_flag_text(c, "function"), *code_text = nx_cli_flag_text(c, "against");
    nx_err e = nx_cli_client_open(c, &node);
    if (e != NX_OK)
        return nx_err_exit_code(e);
    int code = code_text ? nx_cli_code_name(&node, "flag --against", code_text, other) : NX_CLI_OK;
    nx_jw w = NX_JW_INIT(&body);
    nx_jw_object(&w);
    nx_jw_kcstr(&w, "event_id", c->args[0]);
    if (function)
        nx_jw_kcstr(&w, "function", function);
    if (other[0])
        nx_jw_kcstr(&w, "against", other);
    if (effects)
        nx_jw_kcstr(&w, "effects", effects);
    if (code == NX_CLI_OK)
        code = nx_cli_what_if(c, &w);
    nx_jw_object_end(&w);
    if (code == NX_CLI_OK && nx_jw_err(&w) != NX_OK)
        code = nx_cli_fail(c, nx_jw_err(&w), "the request is too long");
    if (code == NX_CLI_OK) {
        nx_cli_request q = {
            .method = "POST",
            .path = "/api/v1/replays",
            .content_type = "application/json",
            .body = nx_buf_view(&body),
            .timeout_ms = TIMEOUT_MS,
            .progress = "replaying",
        };
        code = nx_cli_call(&node, &q, &reply);
    }
    nx_cli_client_close(&node);
    if (code != NX_CLI_OK)
        return code;
    code = print_all(c, nx_buf_view(&reply.body));
    nx_buf_done(&reply.body);
    return code;
}

static const char *const statuses[] = {"ok", "error", "timeout", "dead", "skipped", "cancelled", "batched", NULL};
static const char *const policies[] = {"recorded", "deny", "live", NULL};
static const nx_cli_flag flags[] = {
    {.name = "function", .value = "NAME", .kind = NX_CLI_FUNCTION, .help = "Only this function (default: every one that ran the event)."},
    {.name = "against", .value = "CODE", .kind = NX_CLI_FILE, .help = "Other code than the recorded one: a version (v3), an alias (live), an artifact's digest, or a .wasm file."},
    {.name = "since", .value = "TIME", .help = "Instead of one event, every run since then: a time (2025-11-26T10:00:00Z) or a span before now (1h)."},
    {.name = "until", .value = "TIME", .help = "Only runs until then (default: now)."},
    {.name = "type", .letter = 't', .value = "PATTERN", .help = "Only runs of events of this type: 'order.*' for one more token, 'order.>' for any."},
    {.name = "status", .letter = 's', .value = "STATUS", .choices = statuses, .help = "Only runs that ended so: ok, error, timeout, dead, skipped, cancelled or batched."},
    {.name = "all", .letter = 'a', .help = "Every run that is stored."},
    {.name = "effects", .value = "POLICY", .choices = policies, .help = "What host calls are answered: `recorded` as they were (default), `deny` refuses all, `live` reaches the outside again."},
    {.name = "live", .help = "The same as --effects live."},
    {.name = "yes", .letter = 'y', .help = "Live effects are meant: don't ask."},
    {.name = "rate", .value = "N", .help = "At most so many events a second (default: as fast as it goes)."},
    {.name = "junit", .value = "FILE", .kind = NX_CLI_FILE, .help = "Write a JUnit XML report of a range for CI: one case for each kind of difference."},
    {.name = "detach", .letter = 'd', .help = "Print the job's id and leave it to the node."},
    NX_CLI_WHAT_IF_FLAGS,
    NX_CLI_SECRETS_FLAG,
    {.name = "debug", .help = "Stop before the function's first instruction, and print the lines for gdb and lldb (one event, in this process)."},
    {.name = "show-output", .help = "Print what each replay wrote to stdout."},
    {0},
};
static const nx_cli_arg args[] = {
    {.name = "event", .kind = NX_CLI_FILE, .is_optional = true, .help = "Id of the event, its unique ending, or @last; or a bundle (FILE.nxb), which needs no node."},
    {0},
};
static const nx_cli_example examples[] = {
    {"nexus replay @last", "repeat the newest event, and prove that it came out the same"},
    {"nexus replay 8W2MQ4KD --function user-welcome --show-output", "one function of one event"},
    {"nexus replay @last --against build/welcome.wasm", "what new code would have answered"},
    {"nexus replay @last --set data.total=0 --at +30d", "what if the total had been 0, a month later"},
    {"nexus replay @last --effects live --yes", "once more with the world as it is now: requests are sent, keys are written"},
    {"nexus replay @last --debug --against build/debug.wasm", "step through what happened, line by line, in a build with debug information"},
    {"nexus replay case.nxb", "a bundle of `nexus bundle`, without a node or a network"},
    {"nexus replay --since 1h --function user-welcome --against build/welcome.wasm", "every run of the last hour, on new code"},
    {"nexus replay --all --type 'order.*' --rate 500 --detach", "all runs of these events, in the background, slowly"},
    {0},
};

const nx_cli_command nx_cli_cmd_replay = {
    .verb = "replay",
    .summary = "Repeat what functions did with an event, exactly, and compare",
    .text = "Each function that ran the event runs again in the world that was recorded: the same input, clock, randomness and\n"
            "environment. The verdict is identical when output, host calls and fuel are the same, diverged when they are not (with\n"
            "the first host call that differs), failed when the run could not be repeated. Of other code (--against) only status,\n"
            "output, log and emitted events are compared. Host calls get their recorded answers and nothing outside is touched, unless --effects\n"
            "live says otherwise; emitted events are never published.\n\n"
            "Without an event, but with --since, --until, --type, --function, --status or --all, every run in that range is repeated, by a\n"
            "job on the node: events with one partition key in their order, others side by side. Only a summary is stored. Ctrl-C cancels\n"
            "the job; it survives everything else (a lost terminal, a node that is started again): see `nexus jobs`.\n\n"
            "With --set, --data, --set-effect or --at it is asked what would have come out: the verdict is same or different, the difference\n"
            "is shown, and nothing is recorded.\n\n"
            "Exit codes: 0 identical or same, 10 diverged or different, 4 unknown or expired event, 11 the artifact is gone, 1 failed, 69 no node.",
    .flags = flags,
    .args = args,
    .examples = examples,
    .is_client = true,
    .run = run,
};
