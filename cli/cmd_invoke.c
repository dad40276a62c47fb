/* cmd_invoke.c: nexus invoke. */
#include "cmds.h"
#include "nx/digest.h"
#include <unistd.h>

#define DATA_BYTES (64u << 20)
#define PATH_BYTES 16384

typedef struct input {
    nx_buf data;
    char type[512], content_type[256], source[512], subject[512];
} input;

static void take_text(const char *text, char *ret, size_t ret_bytes)
{
    if (text)
        snprintf(ret, ret_bytes, "%s", text);
}

/* A CloudEvent in structured mode: its data are the event's data, its attributes those of the event, unless a flag says otherwise. */
static nx_err open_cloudevent(input *in, nx_error *reterr)
{
    nx_json *root = NULL;
    nx_slice member;
    nx_err e = nx_cli_json_but(nx_buf_view(&in->data), "data", &root, &member, reterr);
    if (e != NX_OK)
        return nx_error_prefix(reterr, "--format cloudevent");
    const struct {
        const char *key;
        char *ret;
        size_t ret_bytes;
    } attributes[] = {
        {"type", in->type, sizeof in->type},
        {"datacontenttype", in->content_type, sizeof in->content_type},
        {"source", in->source, sizeof in->source},
        {"subject", in->subject, sizeof in->subject},
    };
    for (unsigned i = 0; i < NX_ARRAY_LEN(attributes); i++) {
        nx_slice value = nx_json_get_str(root, attributes[i].key);
        if (value.n && !attributes[i].ret[0] && nx_slice_to_cstr(value, attributes[i].ret, attributes[i].ret_bytes) != NX_OK)
            e = nx_error_set(reterr, NX_ELIMIT, "--format cloudevent: `%s` is too long", attributes[i].key);
    }
    nx_buf data = NX_BUF_INIT(DATA_BYTES);
    nx_slice encoded = nx_json_get_str(root, "data_base64");
    bool is_json = !in->content_type[0] || strstr(in->content_type, "json");
    if (e == NX_OK && encoded.n) {
        nx_slice decoded;
        if ((e = nx_buf_reserve(&data, encoded.n)) == NX_OK)
            e = nx_base64_decode(encoded, &decoded, data.p, data.cap);
        if (e == NX_OK)
            data.n = decoded.n;
        else
            nx_error_set(reterr, e, "--format cloudevent: `data_base64` is not base64");
    } else if (e == NX_OK && member.p && !is_json && member.p[0] == '"') {
        nx_json *text = NULL;
        if ((e = nx_json_parse(member, DATA_BYTES, &text, reterr)) == NX_OK)
            e = nx_buf_append_slice(&data, nx_json_str(text));
        nx_json_free(text);
    } else if (e == NX_OK && member.p) {
        e = nx_buf_append_slice(&data, member);
    }
    nx_json_free(root);
    if (e != NX_OK) {
        nx_buf_done(&data);
        return e;
    }
    nx_buf_done(&in->data);
    in->data = data;
    return NX_OK;
}

static int read_input(nx_cli *c, input *in)
{
    const char *data = nx_cli_flag_text(c, "data"), *file = nx_cli_flag_text(c, "file"), *format = nx_cli_flag_text(c, "format");
    nx_error e = NX_ERROR_INIT;
    nx_buf_init(&in->data, DATA_BYTES);
    if (data && file)
        return nx_cli_fail_usage(c, "flags --data and --file exclude each other");
    if (data && (e.code = nx_buf_append_cstr(&in->data, data)) != NX_OK)
        return nx_cli_fail(c, e.code, "flag --data: too long");
    if (file && (e.code = nx_cli_read_file(file, &in->data, &e)) != NX_OK)
        return nx_cli_fail(c, e.code, "flag --file: %s", e.msg);
    take_text(nx_cli_flag_text(c, "type"), in->type, sizeof in->type);
    take_text(nx_cli_flag_text(c, "content-type"), in->content_type, sizeof in->content_type);
    take_text(nx_cli_flag_text(c, "source"), in->source, sizeof in->source);
    take_text(nx_cli_flag_text(c, "subject"), in->subject, sizeof in->subject);
    if (format && strcmp(format, "cloudevent") == 0 && (e.code = open_cloudevent(in, &e)) != NX_OK)
        return nx_cli_fail(c, e.code, "%s", e.msg[0] ? e.msg : "the CloudEvent cannot be read");
    return NX_CLI_OK;
}

static int print_answer(nx_cli *c, const nx_httpc_resp *reply)
{
    nx_slice body = nx_buf_view(&reply->body);
    bool is_output = reply->status != 202;
    if (!c->json) {
        if (!is_output) {
            nx_json *root = NULL;
            if (nx_json_parse(body, NX_CLI_REPLY_BYTES, &root, NULL) == NX_OK)
                printf("published %.*s\n", NX_SLICE_FMT(nx_json_get_str(root, "event_id")));
            nx_json_free(root);
            return NX_CLI_OK;
        }
        if (isatty(STDOUT_FILENO)) {
            nx_cli_print_lines(stdout, "", body);
        } else {
            fwrite(body.p, 1, body.n, stdout);
        }
        return NX_CLI_OK;
    }
    if (!is_output) {
        printf("%.*s\n", NX_SLICE_FMT(nx_slice_trim(body)));
        return NX_CLI_OK;
    }
    NX_CLEANUP(nx_buf_done)
    nx_buf out = NX_BUF_INIT(2u * NX_CLI_REPLY_BYTES);
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(2u * NX_CLI_REPLY_BYTES);
    nx_err e = NX_OK;
    nx_jw w = NX_JW_INIT(&out);
    nx_jw_object(&w);
    nx_jw_kcstr(&w, "event_id", reply->event_id);
    nx_jw_kcstr(&w, "function", c->args[0]);
    nx_jw_kcstr(&w, "status", "ok");
    nx_jw_kcstr(&w, "content_type", reply->content_type);
    if (nx_slice_is_utf8(body)) {
        nx_jw_kstr(&w, "output", body);
    } else if ((e = nx_buf_reserve(&text, 4 * (body.n / 3 + 1) + 1)) == NX_OK) {
        text.n = nx_base64_encode(body, false, text.p);
        nx_jw_kstr(&w, "output_base64", nx_buf_view(&text));
    }
    nx_jw_object_end(&w);
    if (e != NX_OK || nx_jw_err(&w) != NX_OK)
        return nx_cli_fail(c, NX_ENOMEM, "the answer does not fit into memory");
    printf("%.*s\n", NX_SLICE_FMT(nx_buf_view(&out)));
    return NX_CLI_OK;
}

static nx_err make_path(nx_cli *c, const input *in, uint64_t wait_s, nx_buf *path)
{
    nx_err e = nx_buf_append_cstr(path, "/api/v1/functions/");
    if (e == NX_OK)
        e = nx_cli_path_segment(path, c->args[0]);
    if (e == NX_OK)
        e = nx_buf_printf(path, "/invoke?wait=%llu", (unsigned long long)wait_s);
    if (e == NX_OK)
        e = nx_cli_query(path, "type", in->type[0] ? in->type : NULL);
    if (e == NX_OK)
        e = nx_cli_query(path, "content_type", in->content_type[0] ? in->content_type : NULL);
    if (e == NX_OK)
        e = nx_cli_query(path, "source", in->source[0] ? in->source : NULL);
    if (e == NX_OK)
        e = nx_cli_query(path, "subject", in->subject[0] ? in->subject : NULL);
    return e;
}

static int run(nx_cli *c)
{
    input in = {.type = ""};
    uint64_t wait_s;
    if (nx_cli_flag_u64(c, "wait", 1, 300, 30, &wait_s) != NX_OK)
        return NX_CLI_USAGE;
    if (nx_cli_flag_is_set(c, "no-wait"))
        wait_s = 0;
    NX_CLEANUP(nx_buf_done)
    nx_buf path = NX_BUF_INIT(PATH_BYTES);
    int code = read_input(c, &in);
    const char *p = NULL;
    if (code == NX_CLI_OK && (make_path(c, &in, wait_s, &path) != NX_OK || !(p = nx_buf_cstr(&path))))
        code = nx_cli_fail(c, NX_ELIMIT, "the request is too long");
    nx_cli_client node = {0};
    nx_err e = NX_OK;
    if (code == NX_CLI_OK && (e = nx_cli_client_open(c, &node)) != NX_OK)
        code = nx_err_exit_code(e);
    if (code == NX_CLI_OK) {
        nx_httpc_resp reply = {0};
        nx_cli_request q = {
            .method = "POST",
            .path = p,
            .content_type = in.content_type[0] ? in.content_type : "application/json",
            .body = nx_buf_view(&in.data),
            .timeout_ms = wait_s * 1000 + 30000,
            .progress = "waiting for the function",
        };
        code = nx_cli_call(&node, &q, &reply);
        if (code == NX_CLI_OK) {
            code = print_answer(c, &reply);
            nx_buf_done(&reply.body);
        }
    }
    nx_cli_client_close(&node);
    nx_buf_done(&in.data);
    return code;
}

static const char *const formats[] = {"data", "cloudevent", NULL};
static const nx_cli_flag flags[] = {
    {.name = "data", .letter = 'd', .value = "TEXT", .help = "Data of the event."},
    {.name = "file", .letter = 'f', .value = "FILE", .kind = NX_CLI_FILE, .help = "Data of the event from a file; - is stdin."},
    {.name = "format", .value = "FORMAT", .choices = formats, .help = "`data`: the input is the event's data (default); `cloudevent`: it is a CloudEvent in JSON."},
    {.name = "type", .letter = 't', .value = "TYPE", .help = "Type of the event; one that the function takes (default: that of its route)."},
    {.name = "content-type", .value = "TYPE", .help = "Media type of the data (default application/json)."},
    {.name = "source", .value = "URI", .help = "Source of the event (default /nexus/invoke)."},
    {.name = "subject", .value = "TEXT", .help = "Subject of the event."},
    {.name = "wait", .letter = 'w', .value = "SECONDS", .help = "How long to wait for the output, up to 300 (default 30)."},
    {.name = "no-wait", .help = "Print the event's id as soon as it is stored."},
    {0},
};
static const nx_cli_arg args[] = {
    {.name = "function", .help = "Name of the function.", .kind = NX_CLI_FUNCTION},
    {0},
};
static const nx_cli_example examples[] = {
    {"nexus invoke user-welcome --data '{\"user_id\": \"u42\"}'", "send an event and print what the function answers"},
    {"nexus invoke user-welcome --file event.json --no-wait", "only store it"},
    {"nexus events show @last --json | jq .event | nexus invoke user-welcome --format cloudevent --file -", "send a stored event anew"},
    {0},
};

const nx_cli_command nx_cli_cmd_invoke = {
    .verb = "invoke",
    .summary = "Send an event to a function and print its output",
    .text = "The event is stored like any other; every function that takes its type runs, and the output is that of the one named.",
    .flags = flags,
    .args = args,
    .examples = examples,
    .is_client = true,
    .run = run,
};
