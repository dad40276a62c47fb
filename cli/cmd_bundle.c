/* cmd_bundle.c: nexus bundle. */
#include "cmds.h"
#include "offline.h"
#include <sys/stat.h>

#define TIMEOUT_MS 120000

static nx_err build_request(const nx_cli *c, nx_buf *out)
{
    nx_jw w = NX_JW_INIT(out);
    nx_jw_object(&w);
    nx_jw_kcstr(&w, "what", c->args[0]);
    if (nx_cli_flag_text(c, "function"))
        nx_jw_kcstr(&w, "function", nx_cli_flag_text(c, "function"));
    if (c->command == &nx_cli_cmd_bundle) {
        nx_jw_key(&w, "redact");
        nx_jw_array(&w);
        for (unsigned i = 0; i < nx_cli_flag_count(c, "redact"); i++)
            nx_jw_cstr(&w, nx_cli_flag_at(c, "redact", i));
        nx_jw_array_end(&w);
    }
    nx_jw_object_end(&w);
    return nx_jw_err(&w);
}

/* "user-welcome-7KD2M9QX.nxb": the function, and the end of the event's id, by which people name events. */
static void default_name(const nx_bundle *b, char *ret, size_t ret_bytes)
{
    snprintf(ret, ret_bytes, "%.*s-%s.nxb", NX_SLICE_FMT(b->run.function), b->event.event_id.s + NX_ID_LEN - 8);
}

static int tell(const nx_cli *c, const nx_bundle *b, const char *path, size_t bytes)
{
    char size[16];
    if (c->json) {
        NX_CLEANUP(nx_buf_done)
        nx_buf line = NX_BUF_INIT(1u << 20);
        nx_jw w = NX_JW_INIT(&line);
        nx_jw_object(&w);
        nx_jw_kcstr(&w, "file", path);
        nx_jw_ku64(&w, "size_bytes", bytes);
        nx_jw_kstr(&w, "namespace", b->run.ns);
        nx_jw_kstr(&w, "event_id", nx_id_slice(&b->event.event_id));
        nx_bundle_run_to_json(b, &w);
        nx_jw_object_end(&w);
        if (nx_jw_err(&w) != NX_OK)
            return nx_cli_fail(c, nx_jw_err(&w), "the answer does not fit into memory");
        printf("%.*s\n", NX_SLICE_FMT(nx_buf_view(&line)));
        return NX_CLI_OK;
    }
    nx_cli_format_bytes(bytes, size);
    printf("%s: %.*s %.*s of event %s, %s (%s)\n", path, NX_SLICE_FMT(b->run.function), NX_SLICE_FMT(b->run.version), b->event.event_id.s,
           nx_run_status_name(b->run.status), size);
    if (b->is_rerecorded) {
        printf("redacted: ");
        for (unsigned i = 0; i < b->n_redacted; i++)
            printf("%s%.*s", i ? ", " : "", NX_SLICE_FMT(b->redacted[i]));
        printf("; recorded anew with that event");
        if (!nx_slice_eq_cstr(b->first_status, nx_run_status_name(b->run.status)))
            printf(", and it does not come out as in production (%.*s)", NX_SLICE_FMT(b->first_status));
        putchar('\n');
    }
    return NX_CLI_OK;
}

static int save(const nx_cli *c, nx_slice bytes)
{
    char path[NX_CLI_PATH_BYTES];
    const char *to = nx_cli_flag_text(c, "output");
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(2u * NX_BUNDLE_BYTES_MAX);
    nx_error e = NX_ERROR_INIT;
    nx_bundle *b = nx_arena_calloc(&a, 1, sizeof *b);
    e.code = b ? nx_bundle_decode(bytes, &a, b, &e) : NX_ENOMEM;
    if (e.code != NX_OK)
        return nx_cli_fail(c, e.code, "what the node sent is no whole bundle: %s", e.msg[0] ? e.msg : nx_err_text(e.code));
    struct stat st;
    if (!to)
        default_name(b, path, sizeof path);
    else if (stat(to, &st) == 0 && S_ISDIR(st.st_mode)) {
        int n = snprintf(path, sizeof path, "%s%s", to, nx_slice_ends(nx_slice_cstr(to), NX_SLICE("/")) ? "" : "/");
        if (n < 0 || (size_t)n + 128 > sizeof path)
            return nx_cli_fail_usage(c, "flag --output: the path is too long");
        default_name(b, path + n, sizeof path - (size_t)n);
    } else if (snprintf(path, sizeof path, "%s", to) >= (int)sizeof path)
        return nx_cli_fail_usage(c, "flag --output: the path is too long");
    e.code = nx_cli_write_file(path, bytes, 0600, &e); /* it holds an event: not for everybody's eyes */
    return e.code == NX_OK ? tell(c, b, path, bytes.n) : nx_cli_fail_error(c, &e);
}

int nx_cli_bundle_fetch(const nx_cli *c, nx_httpc_resp *ret)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf body = NX_BUF_INIT(65536);
    nx_cli_client node;
    nx_err e = nx_cli_client_open(c, &node);
    if (e != NX_OK)
        return nx_err_exit_code(e);
    int code = (e = build_request(c, &body)) == NX_OK ? NX_CLI_OK : nx_cli_fail(c, e, "the request is too long");
    if (code == NX_CLI_OK) {
        nx_cli_request q = {
            .method = "POST",
            .path = "/api/v1/bundles",
            .content_type = "application/json",
            .body = nx_buf_view(&body),
            .timeout_ms = TIMEOUT_MS,
            .progress = "bundling",
        };
        code = nx_cli_call(&node, &q, ret);
    }
    nx_cli_client_close(&node);
    return code;
}

static int run(nx_cli *c)
{
    nx_httpc_resp reply = {0};
    int code = nx_cli_bundle_fetch(c, &reply);
    if (code != NX_CLI_OK)
        return code;
    code = save(c, nx_buf_view(&reply.body));
    nx_buf_done(&reply.body);
    return code;
}

static const nx_cli_flag flags[] = {
    {.name = "output", .letter = 'o', .value = "FILE", .kind = NX_CLI_FILE, .help = "File to write, or a folder (default: FUNCTION-EVENT.nxb in this one)."},
    {.name = "function", .value = "NAME", .kind = NX_CLI_FUNCTION, .help = "Whose run, where several functions ran the event."},
    {.name = "redact", .value = "PATH", .is_many = true, .help = "Cover this value of the event too, beside what the function's `redact` names: data.email, subject."},
    {0},
};
static const nx_cli_arg args[] = {
    {.name = "event", .help = "Id of an event (or its unique ending, or @last), or of a run."},
    {0},
};
static const nx_cli_example examples[] = {
    {"nexus bundle @last -o case.nxb", "what a function did with the newest event, as one file"},
    {"nexus bundle 8W2MQ4KD --function user-welcome -o tests/cases/", "a test case for `nexus test`"},
    {0},
};

const nx_cli_command nx_cli_cmd_bundle = {
    .verb = "bundle",
    .summary = "Save a recorded run as one file that can be repeated anywhere",
    .text = "A bundle holds the event, the recording, the module and its settings. `nexus replay FILE` repeats it bit for bit without a node,\n"
            "an event log or a network; `nexus test` runs all bundles of a folder as regression tests. A bundle holds what the event\n"
            "holds: share it with those who may read that.",
    .flags = flags,
    .args = args,
    .examples = examples,
    .is_client = true,
    .run = run,
};
