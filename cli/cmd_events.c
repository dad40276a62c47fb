/* cmd_events.c: nexus events list, show. */
#include "cmds.h"
#include <unistd.h>

#define PATH_BYTES 16384

/* ---- list ------------------------------------------------------------------------------------------------------- */

static void row(nx_cli_table *t, const nx_json *e)
{
    char size[16];
    nx_cli_format_bytes(nx_json_get_u64(e, "size_bytes", 0), size);
    nx_cli_table_cell(t, nx_json_get_str(e, "event_id"));
    nx_cli_table_cell(t, nx_json_get_str(e, "type"));
    nx_cli_table_cell(t, nx_json_get_str(e, "time"));
    nx_cli_table_cell(t, nx_slice_cstr(size));
    nx_cli_table_cell(t, nx_json_get_str(e, "trace_id"));
    nx_cli_table_cell(t, nx_json_get_str(e, "source"));
}

static int run_list(nx_cli *c)
{
    static const char *const heads[] = {"EVENT", "TYPE", "TIME", ">SIZE", "TRACE", "SOURCE"};
    NX_CLEANUP(nx_buf_done)
    nx_buf path = NX_BUF_INIT(PATH_BYTES);
    uint64_t limit;
    if (nx_cli_flag_u64(c, "limit", 1, 10000, 20, &limit) != NX_OK)
        return NX_CLI_USAGE;
    char text[24];
    snprintf(text, sizeof text, "%llu", (unsigned long long)limit);
    nx_err e = nx_buf_append_cstr(&path, "/api/v1/events");
    if (e == NX_OK)
        e = nx_cli_query(&path, "limit", text);
    if (e == NX_OK)
        e = nx_cli_query(&path, "type", nx_cli_flag_text(c, "type"));
    if (e == NX_OK)
        e = nx_cli_query(&path, "since", nx_cli_flag_text(c, "since"));
    if (e == NX_OK)
        e = nx_cli_query(&path, "until", nx_cli_flag_text(c, "until"));
    const char *p = nx_buf_cstr(&path);
    if (e != NX_OK || !p)
        return nx_cli_fail(c, NX_ELIMIT, "the request is too long");
    return nx_cli_list(c, p, "no events", NX_ARRAY_LEN(heads), heads, row);
}

static const nx_cli_flag list_flags[] = {
    {.name = "limit", .letter = 'n', .value = "N", .help = "At most this many, newest first (default 20)."},
    {.name = "type", .letter = 't', .value = "PATTERN", .help = "Only of this type; `*` stands for one word between dots, a last `>` for the rest."},
    {.name = "since", .value = "TIME", .help = "Not older than this: a time (2025-11-26T10:00:00Z) or a span before now (1h)."},
    {.name = "until", .value = "TIME", .help = "Not newer than this."},
    {0},
};
static const nx_cli_example list_examples[] = {
    {"nexus events list", "the newest twenty"},
    {"nexus events list --type 'user.*' --since 1h", "what happened to users in the last hour"},
    {"nexus events list --limit 1000 --json", "for a program, one object per line"},
    {0},
};

const nx_cli_command nx_cli_cmd_events_list = {
    .verb = "events list",
    .summary = "List stored events, newest first",
    .flags = list_flags,
    .examples = list_examples,
    .is_client = true,
    .run = run_list,
};

/* ---- show ------------------------------------------------------------------------------------------------------- */

static void print_field(const char *name, nx_slice value)
{
    if (value.n == 0)
        return;
    printf("%-13s ", name);
    nx_cli_print_safe(stdout, value);
    putchar('\n');
}

static void print_fields(const nx_json *root)
{
    char size[16];
    nx_cli_format_bytes(nx_json_get_u64(root, "size_bytes", 0), size);
    print_field("event", nx_json_get_str(root, "event_id"));
    print_field("type", nx_json_get_str(root, "type"));
    print_field("source", nx_json_get_str(root, "source"));
    print_field("subject", nx_json_get_str(root, "subject"));
    print_field("time", nx_json_get_str(root, "time"));
    print_field("deliver at", nx_json_get_str(root, "deliver_at"));
    print_field("trace", nx_json_get_str(root, "trace_id"));
    print_field("namespace", nx_json_get_str(root, "namespace"));
    print_field("content type", nx_json_get_str(root, "content_type"));
    print_field("caused by", nx_json_get_str(root, "cause"));
    print_field("size", nx_slice_cstr(size));
}

/* JSON on one line, every token as it stands: a number may have more digits than any type here. */
static nx_err append_on_one_line(nx_buf *out, nx_slice json)
{
    bool is_in_string = false;
    nx_err e = NX_OK;
    for (size_t i = 0; i < json.n && e == NX_OK; i++) {
        char ch = json.p[i];
        if (is_in_string && ch == '\\' && i + 1 < json.n)
            e = nx_buf_append_char(out, json.p[i++]);
        else if (ch == '"')
            is_in_string = !is_in_string;
        else if (!is_in_string && (ch == ' ' || ch == '\n' || ch == '\r' || ch == '\t'))
            continue;
        if (e == NX_OK)
            e = nx_buf_append_char(out, json.p[i]);
    }
    return e;
}

static void print_data(nx_slice event)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(NX_CLI_REPLY_BYTES);
    nx_slice data;
    nx_json *value = NULL;
    if (nx_json_member_bytes(event, NX_SLICE("data"), &data) != NX_OK) {
        if (nx_json_member_bytes(event, NX_SLICE("data_base64"), &data) == NX_OK)
            print_field("data", NX_SLICE("binary; see it with --data"));
    } else if (data.p[0] == '"' && nx_json_parse(data, NX_CLI_REPLY_BYTES, &value, NULL) == NX_OK) {
        print_field("data", nx_json_str(value));
    } else if (append_on_one_line(&text, data) == NX_OK) {
        print_field("data", nx_buf_view(&text));
    }
    nx_json_free(value);
}

static int print_event(const nx_cli *c, nx_slice body)
{
    nx_slice event;
    nx_json *root = NULL;
    nx_error e = NX_ERROR_INIT;
    if (nx_cli_json_but(body, "event", &root, &event, &e) != NX_OK)
        return nx_cli_fail(c, NX_EPARSE, "the node does not answer like one: %s", e.msg);
    print_fields(root);
    print_data(event);
    nx_json_free(root);
    return NX_CLI_OK;
}

static int run_show(nx_cli *c)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf path = NX_BUF_INIT(PATH_BYTES);
    bool wants_data = nx_cli_flag_is_set(c, "data");
    const char *p = nx_cli_path(&path, "/api/v1/events/", c->args[0], wants_data ? "/data" : "");
    if (!p)
        return nx_cli_fail(c, NX_ELIMIT, "the id is too long");
    nx_httpc_resp reply = {0};
    int code = nx_cli_ask(c, &(nx_cli_request){.method = "GET", .path = p}, &reply);
    if (code != NX_CLI_OK)
        return code;
    nx_slice body = nx_buf_view(&reply.body);
    if (!wants_data && c->json) {
        printf("%.*s\n", NX_SLICE_FMT(nx_slice_trim(body)));
    } else if (!wants_data) {
        code = print_event(c, body);
    } else if (isatty(STDOUT_FILENO)) {
        nx_cli_print_safe(stdout, body);
        putchar('\n');
    } else {
        fwrite(body.p, 1, body.n, stdout);
    }
    nx_buf_done(&reply.body);
    return code;
}

static const nx_cli_flag show_flags[] = {
    {.name = "data", .help = "Print only the event's bytes, exactly as they came in."},
    {0},
};
static const nx_cli_arg show_args[] = {
    {.name = "event", .help = "Id of the event, its unique ending, or @last."},
    {0},
};
static const nx_cli_example show_examples[] = {
    {"nexus events show @last", "the newest event"},
    {"nexus events show @last --data > event.json", "its data, byte for byte"},
    {0},
};

const nx_cli_command nx_cli_cmd_events_show = {
    .verb = "events show",
    .summary = "Show one event",
    .flags = show_flags,
    .args = show_args,
    .examples = show_examples,
    .is_client = true,
    .run = run_show,
};
