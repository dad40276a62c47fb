/* cmd_logs.c: nexus logs. */
#include "cmds.h"
#include "nx/clock.h"

#define PATH_BYTES 16384
#define LINE_BYTES (1u << 20)

/* Keys that have their place in a line; all others are its further fields. */
static bool is_known_key(nx_slice key)
{
    static const char *const keys[] = {"time", "level", "component", "event", "trace_id", "event_id",
                                       "run_id", "function", "namespace", "is_replay", "original_timestamp", "message"};
    for (unsigned i = 0; i < NX_ARRAY_LEN(keys); i++) {
        if (nx_slice_eq_cstr(key, keys[i]))
            return true;
    }
    return false;
}

typedef struct fields {
    nx_kv v[32];
    size_t n;
} fields;

static int take_field(void *self, nx_slice key, const nx_json *value)
{
    fields *f = self;
    if (!is_known_key(key) && nx_json_typeof(value) == NX_JSON_STR && f->n < NX_ARRAY_LEN(f->v))
        f->v[f->n++] = (nx_kv){key, nx_json_str(value)};
    return 0;
}

/* The node sends JSON; people see the line as the node's terminal shows it. */
static int print_line(void *self, nx_slice text)
{
    nx_cli *c = self;
    nx_json *root = NULL;
    if (c->json || nx_json_parse(text, LINE_BYTES, &root, NULL) != NX_OK) {
        printf("%.*s\n", NX_SLICE_FMT(text));
        fflush(stdout);
        return ferror(stdout);
    }
    fields f = {.n = 0};
    nx_log_line line = {
        .component = nx_json_get_str(root, "component"),
        .trace = nx_json_get_str(root, "trace_id"),
        .msg = nx_json_get_str(root, "message"),
    };
    (void)nx_clock_parse_rfc3339(nx_json_get_str(root, "time"), &line.wall_ns);
    (void)nx_log_level_parse(nx_json_get_str(root, "level"), &line.level);
    (void)nx_json_each(root, take_field, &f);
    line.fields = f.v;
    line.n_fields = f.n;
    NX_CLEANUP(nx_buf_done)
    nx_buf out = NX_BUF_INIT(4 * LINE_BYTES);
    if (nx_log_format_text(&line, c->has_colour, &out) == NX_OK)
        fwrite(out.p, 1, out.n, stdout);
    nx_json_free(root);
    fflush(stdout);
    return ferror(stdout);
}

/* Lines carry whole ids; people give endings of them. */
static int resolve_event(nx_cli_client *node, const char *text, char *id, size_t id_bytes)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf path = NX_BUF_INIT(PATH_BYTES);
    nx_httpc_resp reply = {0};
    nx_json *root = NULL;
    const char *p = nx_cli_path(&path, "/api/v1/events/", text, "");
    if (!p)
        return nx_cli_fail(node->cli, NX_ELIMIT, "the id is too long");
    int code = nx_cli_call(node, &(nx_cli_request){.method = "GET", .path = p}, &reply);
    if (code != NX_CLI_OK)
        return code;
    if (nx_json_parse(nx_buf_view(&reply.body), NX_CLI_REPLY_BYTES, &root, NULL) != NX_OK ||
        nx_slice_to_cstr(nx_json_get_str(root, "event_id"), id, id_bytes) != NX_OK)
        code = nx_cli_fail(node->cli, NX_EPARSE, "%s does not answer like a node", node->url);
    nx_json_free(root);
    nx_buf_done(&reply.body);
    return code;
}

static int run(nx_cli *c)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf path = NX_BUF_INIT(PATH_BYTES);
    nx_cli_client node;
    char event[64] = "";
    uint64_t limit;
    if (nx_cli_flag_u64(c, "limit", 1, 10000, 200, &limit) != NX_OK)
        return NX_CLI_USAGE;
    nx_err e = nx_cli_client_open(c, &node);
    if (e != NX_OK)
        return nx_err_exit_code(e);
    int code = NX_CLI_OK;
    if (nx_cli_flag_text(c, "event"))
        code = resolve_event(&node, nx_cli_flag_text(c, "event"), event, sizeof event);
    e = nx_buf_printf(&path, "/api/v1/logs?limit=%llu", (unsigned long long)limit);
    if (e == NX_OK && nx_cli_flag_is_set(c, "follow"))
        e = nx_cli_query(&path, "follow", "1");
    if (e == NX_OK)
        e = nx_cli_query(&path, "function", nx_cli_flag_text(c, "function"));
    if (e == NX_OK)
        e = nx_cli_query(&path, "trace", nx_cli_flag_text(c, "trace"));
    if (e == NX_OK)
        e = nx_cli_query(&path, "level", nx_cli_flag_text(c, "level"));
    if (e == NX_OK)
        e = nx_cli_query(&path, "event", event[0] ? event : NULL);
    const char *p = nx_buf_cstr(&path);
    if (code == NX_CLI_OK && (e != NX_OK || !p))
        code = nx_cli_fail(c, NX_ELIMIT, "the request is too long");
    if (code == NX_CLI_OK)
        code = nx_cli_follow(&node, p, print_line, c);
    nx_cli_client_close(&node);
    return code;
}

static const nx_cli_flag flags[] = {
    {.name = "follow", .letter = 'f', .help = "Go on with new lines as they come; Ctrl-C ends."},
    {.name = "function", .value = "NAME", .kind = NX_CLI_FUNCTION, .help = "Only lines of this function."},
    {.name = "event", .letter = 'e', .value = "ID", .help = "Only lines about this event: its id, unique ending, or @last."},
    {.name = "trace", .value = "ID", .help = "Only lines of this trace."},
    {.name = "level", .value = "LEVEL", .choices = nx_cli_log_levels, .help = "Only lines of this level or worse: debug, info, warn or error."},
    {.name = "limit", .letter = 'n', .value = "N", .help = "At most this many of the lines that are kept (default 200)."},
    {0},
};
static const nx_cli_example examples[] = {
    {"nexus logs -f", "watch the node and its functions"},
    {"nexus logs --event @last", "what the newest event caused"},
    {"nexus logs --function user-welcome --level error --json", "for a program"},
    {0},
};

const nx_cli_command nx_cli_cmd_logs = {
    .verb = "logs",
    .summary = "Print the log of a node and its functions",
    .text = "The node keeps its last lines in memory. Lines of replays carry the trace id with -replay behind it.",
    .flags = flags,
    .examples = examples,
    .is_client = true,
    .run = run,
};
