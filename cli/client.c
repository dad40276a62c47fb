/* client.c: finding the node and talking to its admin API. */
#include "cli.h"
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#define DEFAULT_URL "http://127.0.0.1:8081"
#define NODE_FILE "node.json"
#define NODE_FILE_BYTES 65536
#define LINE_BYTES (8u << 20)
#define DEFAULT_TIMEOUT_MS 60000

/* ---- finding it ------------------------------------------------------------------------------------------------- */

static nx_err take_url(const char *text, const char *from, char *url, size_t url_bytes, nx_error *reterr)
{
    size_t n = strlen(text);
    bool has_scheme = strstr(text, "://") != NULL;
    if (has_scheme && strncmp(text, "http://", 7) != 0 && strncmp(text, "https://", 8) != 0)
        return nx_error_set(reterr, NX_EINVAL, "%s: \"%s\" is not an http:// or https:// URL", from, text);
    while (n > 0 && text[n - 1] == '/')
        n--;
    int written = snprintf(url, url_bytes, "%s%.*s", has_scheme ? "" : "http://", (int)n, text);
    if (n == 0 || written < 0 || (size_t)written >= url_bytes)
        return nx_error_set(reterr, NX_EINVAL, "%s: not a usable URL", from);
    return NX_OK;
}

/* Reads admin_url out of dir/node.json. NX_ENOENT: there is no such file. */
static nx_err read_node_file(const char *dir, char *url, size_t url_bytes, char *from_file, size_t from_file_bytes, nx_error *reterr)
{
    int n = snprintf(from_file, from_file_bytes, "%s/" NODE_FILE, dir);
    if (n < 0 || (size_t)n >= from_file_bytes || access(from_file, R_OK) != 0) {
        from_file[0] = 0;
        return NX_ENOENT;
    }
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(NODE_FILE_BYTES);
    nx_json *root = NULL;
    nx_err e = nx_cli_read_file(from_file, &text, reterr);
    if (e == NX_OK)
        e = nx_json_parse(nx_buf_view(&text), NODE_FILE_BYTES, &root, reterr);
    if (e != NX_OK)
        return e;
    char found[512];
    nx_slice value = nx_json_get_str(root, "admin_url");
    if (value.n == 0 || nx_slice_to_cstr(value, found, sizeof found) != NX_OK)
        e = nx_error_set(reterr, NX_EPARSE, "%s has no admin_url", from_file);
    else
        e = take_url(found, from_file, url, url_bytes, reterr);
    nx_json_free(root);
    return e;
}

/* Folder of the node's data of the project in `dir`. Parsing nexus.yaml takes longer than the rest of a short command,
 * so it is parsed only where it may say something about it. */
static bool project_data_dir(const nx_cli *c, const char *dir, char *ret, size_t ret_bytes)
{
    char file[NX_CLI_PATH_BYTES];
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(NX_CONFIG_FILE_BYTES);
    bool has_file = snprintf(file, sizeof file, "%s/" NX_CLI_PROJECT_FILE, dir) < (int)sizeof file &&
                    nx_cli_read_file(file, &text, NULL) == NX_OK;
    if (has_file && text.n > 0 && memmem(text.p, text.n, "data_dir", 8)) {
        nx_config *cfg = NULL;
        NX_CLEANUP(nx_buf_done)
        nx_buf problems = NX_BUF_INIT(1u << 20);
        if (nx_cli_config_load(c, file, NX_CONFIG_NO_FUNCTIONS, &cfg, &problems, NULL) == NX_OK) {
            bool fits = nx_slice_to_cstr(cfg->data_dir, ret, ret_bytes) == NX_OK;
            nx_config_unref(cfg);
            return fits;
        }
    }
    return snprintf(ret, ret_bytes, "%s/.nexus", dir) < (int)ret_bytes;
}

nx_err nx_cli_node_find(const nx_cli *c, char *url, size_t url_bytes, char *from_file, size_t from_file_bytes, nx_error *reterr)
{
    from_file[0] = 0;
    const char *text = c->command && c->command->is_client ? nx_cli_flag_text(c, "admin-url") : NULL;
    if (text)
        return take_url(text, "--admin-url", url, url_bytes, reterr);
    if ((text = getenv("NEXUS_ADMIN_URL")) && *text)
        return take_url(text, "NEXUS_ADMIN_URL", url, url_bytes, reterr);
    if ((text = getenv("NEXUS_DATA_DIR")) && *text) {
        nx_err e = read_node_file(text, url, url_bytes, from_file, from_file_bytes, reterr);
        if (e != NX_ENOENT)
            return e;
    }
    char dir[NX_CLI_PATH_BYTES], data[NX_CLI_PATH_BYTES];
    if (!getcwd(dir, sizeof dir))
        return take_url(DEFAULT_URL, "default", url, url_bytes, reterr);
    for (;;) {
        if (project_data_dir(c, dir, data, sizeof data)) {
            nx_err e = read_node_file(data, url, url_bytes, from_file, from_file_bytes, reterr);
            if (e != NX_ENOENT)
                return e;
        }
        char *slash = strrchr(dir, '/');
        if (!slash || slash == dir)
            break;
        *slash = 0;
    }
    return take_url(DEFAULT_URL, "default", url, url_bytes, reterr);
}

nx_err nx_cli_node_of(nx_slice data_dir, char *url, size_t url_bytes, char *from_file, size_t from_file_bytes, nx_error *reterr)
{
    char dir[NX_CLI_PATH_BYTES];
    nx_err e = nx_slice_to_cstr(data_dir, dir, sizeof dir);
    return e == NX_OK ? read_node_file(dir, url, url_bytes, from_file, from_file_bytes, reterr) : e;
}

nx_err nx_cli_client_open(const nx_cli *c, nx_cli_client *ret)
{
    nx_error e = NX_ERROR_INIT;
    char from_file[NX_CLI_PATH_BYTES];
    *ret = (nx_cli_client){.cli = c};
    nx_err err = nx_cli_node_find(c, ret->url, sizeof ret->url, from_file, sizeof from_file, &e);
    if (err == NX_OK)
        err = nx_httpc_new(&ret->http, &e);
    if (err != NX_OK) {
        e.code = err;
        nx_cli_fail_error(c, &e);
    }
    return err;
}

void nx_cli_client_close(nx_cli_client *n)
{
    nx_httpc_free(n->http);
    n->http = NULL;
}

/* ---- answers ---------------------------------------------------------------------------------------------------- */

#define ERRORS_MAX 64 /* codes of base/err.def are small negative numbers */

/* A problem names our code; one from a proxy in between has only its status. */
static nx_err problem_code(const nx_json *problem, int status)
{
    nx_slice name = nx_json_get_str(problem, "code");
    /* A run's own outcome ("trap", "deadline"), whatever status it was answered with. */
    if (nx_json_get_str(problem, "run_id").n > 0)
        return NX_EGUEST;
    for (nx_err code = -1; code > -ERRORS_MAX; code--) {
        if (nx_slice_eq_cstr(name, nx_err_name(code)))
            return code;
    }
    for (nx_err code = -1; code > -ERRORS_MAX; code--) {
        if (nx_err_http_status(code) == status)
            return code;
    }
    return status >= 500 ? NX_EUNAVAIL : NX_EINVAL;
}

int nx_cli_fail_problem(const nx_cli *c, const nx_httpc_resp *reply)
{
    nx_json *problem = NULL;
    char text[1024];
    nx_err parsed = nx_json_parse(nx_buf_view(&reply->body), NX_CLI_REPLY_BYTES, &problem, NULL);
    nx_err code = problem_code(parsed == NX_OK ? problem : NULL, reply->status);
    nx_slice detail = parsed == NX_OK ? nx_json_get_str(problem, "detail") : NX_SLICE_NULL;
    nx_slice title = parsed == NX_OK ? nx_json_get_str(problem, "title") : NX_SLICE_NULL;
    if (detail.n > 0 || title.n > 0)
        snprintf(text, sizeof text, "%.*s", NX_SLICE_FMT(detail.n > 0 ? detail : title));
    else
        snprintf(text, sizeof text, "HTTP status %d without a reason: what answers is no node, or a proxy before one", reply->status);
    nx_slice run = parsed == NX_OK ? nx_json_get_str(problem, "run_id") : NX_SLICE_NULL;
    size_t n = strlen(text);
    if (run.n > 0)
        snprintf(text + n, sizeof text - n, "; see: %s runs show %.*s", c->program, NX_SLICE_FMT(run));
    if (parsed == NX_OK)
        nx_json_free(problem);
    return nx_cli_fail(c, code, "%s", text);
}

static int fail_transport(const nx_cli_client *n, const nx_error *e)
{
    if (e->code == NX_EUNAVAIL) {
        const char *why = strstr(e->msg, ": "); /* behind the URL: curl's own words */
        bool is_usual = !why || strstr(why, "onnection refused") || strstr(why, "ailed to connect") || strstr(why, "ould not connect");
        nx_cli_fail(n->cli, NX_EUNAVAIL, "no node answers at %s%s; start one with `nexus dev`, or name another with --admin-url", n->url, is_usual ? "" : why);
        return NX_CLI_NO_NODE;
    }
    if (e->msg[0]) /* it names the URL */
        return nx_cli_fail_error(n->cli, e);
    return nx_cli_fail(n->cli, e->code, "%s: %s", n->url, nx_err_text(e->code));
}

int nx_cli_call(nx_cli_client *n, const nx_cli_request *q, nx_httpc_resp *reply)
{
    char url[8192], type[192];
    const char *headers[2] = {NULL, NULL};
    nx_error e = NX_ERROR_INIT;
    *reply = (nx_httpc_resp){0};
    nx_buf_init(&reply->body, NX_CLI_REPLY_BYTES);
    if (snprintf(url, sizeof url, "%s%s", n->url, q->path) >= (int)sizeof url)
        return nx_cli_fail(n->cli, NX_ELIMIT, "the request's URL is too long");
    if (q->content_type) {
        snprintf(type, sizeof type, "Content-Type: %s", q->content_type);
        headers[0] = type;
    }
    nx_httpc_req req = {
        .method = q->method,
        .url = url,
        .headers = headers,
        .body = q->body,
        .timeout_ms = q->timeout_ms ? q->timeout_ms : DEFAULT_TIMEOUT_MS,
    };
    nx_cli_progress *p = nx_cli_progress_begin(n->cli, q->progress ? q->progress : "waiting for the node");
    e.code = nx_httpc_do(n->http, &req, reply, &e);
    nx_cli_progress_end(p);
    int code = NX_CLI_OK;
    if (e.code != NX_OK)
        code = fail_transport(n, &e);
    else if (reply->status >= 300)
        code = nx_cli_fail_problem(n->cli, reply);
    if (code != NX_CLI_OK)
        nx_buf_done(&reply->body);
    return code;
}

bool nx_cli_next_line(nx_slice *rest, nx_slice *ret_line)
{
    while (rest->n > 0) {
        nx_slice line = nx_slice_split(*rest, '\n', rest);
        if (line.n > 0 && line.p[line.n - 1] == '\r')
            line.n--;
        if (line.n > 0) {
            *ret_line = line;
            return true;
        }
    }
    return false;
}

/* ---- endless answers -------------------------------------------------------------------------------------------- */

typedef struct follow {
    int (*fn)(void *self, nx_slice line);
    void *self;
    nx_httpc_resp *reply;
    nx_buf line; /* the beginning of a line whose end has not come */
    bool is_over;
} follow;

static int follow_line(follow *f, nx_slice line)
{
    if (line.n > 0 && line.p[line.n - 1] == '\r')
        line.n--;
    if (line.n > 0 && f->fn(f->self, line) != 0)
        f->is_over = true;
    return f->is_over;
}

static int on_data(void *self, nx_slice piece)
{
    follow *f = self;
    /* The body of a refusal is kept for its message. */
    if (f->reply->status >= 300)
        return nx_buf_append_slice(&f->reply->body, piece) != NX_OK;
    while (piece.n > 0) {
        const char *end = memchr(piece.p, '\n', piece.n);
        size_t n = end ? (size_t)(end - piece.p) : piece.n;
        nx_slice part = nx_slice_sub(piece, 0, n);
        piece = nx_slice_sub(piece, n + (end != NULL), piece.n);
        if (!end || f->line.n > 0) {
            if (nx_buf_append_slice(&f->line, part) != NX_OK)
                return 1;
            part = nx_buf_view(&f->line);
        }
        if (!end)
            break;
        int stop = follow_line(f, part);
        nx_buf_clear(&f->line);
        if (stop)
            return 1;
    }
    return 0;
}

int nx_cli_follow(nx_cli_client *n, const char *path, int (*fn)(void *self, nx_slice line), void *self)
{
    char url[8192];
    nx_error e = NX_ERROR_INIT;
    nx_httpc_resp reply = {0};
    if (snprintf(url, sizeof url, "%s%s", n->url, path) >= (int)sizeof url)
        return nx_cli_fail(n->cli, NX_ELIMIT, "the request's URL is too long");
    nx_buf_init(&reply.body, 1u << 20);
    follow f = {.fn = fn, .self = self, .reply = &reply, .line = NX_BUF_INIT(LINE_BYTES)};
    nx_httpc_req req = {.method = "GET", .url = url, .on_data = on_data, .self = &f};
    e.code = nx_httpc_do(n->http, &req, &reply, &e);
    int code = NX_CLI_OK;
    if (f.is_over)
        code = NX_CLI_OK;
    else if (e.code != NX_OK && reply.status > 0 && reply.status < 300)
        code = nx_cli_fail(n->cli, NX_EUNAVAIL, "the node at %s went away in the middle of its answer", n->url);
    else if (e.code != NX_OK)
        code = fail_transport(n, &e);
    else if (reply.status >= 300)
        code = nx_cli_fail_problem(n->cli, &reply);
    nx_buf_done(&f.line);
    nx_buf_done(&reply.body);
    return code;
}

/* ---- requests --------------------------------------------------------------------------------------------------- */

static nx_err percent_encoded(nx_buf *out, const char *text)
{
    nx_err e = NX_OK;
    for (; *text && e == NX_OK; text++) {
        unsigned char ch = (unsigned char)*text;
        bool is_plain = (ch >= 'a' && ch <= 'z') || (ch >= 'A' && ch <= 'Z') || (ch >= '0' && ch <= '9') || strchr("-._~@", ch);
        e = is_plain ? nx_buf_append_char(out, *text) : nx_buf_printf(out, "%%%02X", ch);
    }
    return e;
}

nx_err nx_cli_path_segment(nx_buf *path, const char *text)
{
    return percent_encoded(path, text);
}

const char *nx_cli_path(nx_buf *path, const char *before, const char *segment, const char *behind)
{
    nx_err e = nx_buf_append_cstr(path, before);
    if (e == NX_OK)
        e = nx_cli_path_segment(path, segment);
    if (e == NX_OK)
        e = nx_buf_append_cstr(path, behind);
    return e == NX_OK ? nx_buf_cstr(path) : NULL;
}

nx_err nx_cli_query(nx_buf *path, const char *key, const char *value)
{
    if (!value)
        return NX_OK;
    nx_err e = nx_buf_printf(path, "%c%s=", path->n > 0 && memchr(path->p, '?', path->n) ? '&' : '?', key);
    return e == NX_OK ? percent_encoded(path, value) : e;
}

int nx_cli_ask(const nx_cli *c, const nx_cli_request *q, nx_httpc_resp *reply)
{
    nx_cli_client node;
    nx_err e = nx_cli_client_open(c, &node);
    if (e != NX_OK)
        return nx_err_exit_code(e);
    int code = nx_cli_call(&node, q, reply);
    nx_cli_client_close(&node);
    return code;
}

nx_err nx_cli_json_but(nx_slice text, const char *member, nx_json **ret, nx_slice *ret_member, nx_error *reterr)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf rest = NX_BUF_INIT(NX_CLI_REPLY_BYTES);
    *ret_member = NX_SLICE_NULL;
    if (nx_json_member_bytes(text, nx_slice_cstr(member), ret_member) != NX_OK)
        return nx_json_parse(text, NX_CLI_REPLY_BYTES, ret, reterr);
    size_t from = (size_t)(ret_member->p - text.p);
    nx_err e = nx_buf_append_slice(&rest, nx_slice_sub(text, 0, from));
    if (e == NX_OK)
        e = nx_buf_append_cstr(&rest, "null");
    if (e == NX_OK)
        e = nx_buf_append_slice(&rest, nx_slice_sub(text, from + ret_member->n, text.n));
    return e == NX_OK ? nx_json_parse(nx_buf_view(&rest), NX_CLI_REPLY_BYTES, ret, reterr) : nx_error_set(reterr, e, "%s", nx_err_text(e));
}

int nx_cli_answer_json(const nx_cli *c, nx_slice text, nx_json **ret)
{
    nx_error err = NX_ERROR_INIT;
    return nx_json_parse(text, NX_CLI_REPLY_BYTES, ret, &err) == NX_OK ? NX_CLI_OK
                                                                       : nx_cli_fail(c, NX_EPARSE, "the node does not answer like one: %s", err.msg);
}

int nx_cli_print_one(const nx_cli *c, nx_httpc_resp *reply, void (*print)(const nx_json *item))
{
    nx_slice body = nx_slice_trim(nx_buf_view(&reply->body));
    nx_json *item = NULL;
    int code = NX_CLI_OK;
    if (c->json)
        printf("%.*s\n", NX_SLICE_FMT(body));
    else if ((code = nx_cli_answer_json(c, body, &item)) == NX_CLI_OK)
        print(item);
    nx_json_free(item);
    nx_buf_done(&reply->body);
    return code;
}

int nx_cli_list(nx_cli *c, const char *path, const char *nothing, unsigned n_columns, const char *const *heads,
                void (*row)(nx_cli_table *t, const nx_json *item))
{
    nx_cli_client node;
    nx_httpc_resp reply = {0};
    nx_err e = nx_cli_client_open(c, &node);
    if (e != NX_OK)
        return nx_err_exit_code(e);
    int code = nx_cli_call(&node, &(nx_cli_request){.method = "GET", .path = path}, &reply);
    nx_cli_client_close(&node);
    if (code != NX_CLI_OK)
        return code;
    nx_slice rest = nx_buf_view(&reply.body), line;
    nx_cli_table t;
    nx_cli_table_init(&t, n_columns, heads);
    while (code == NX_CLI_OK && nx_cli_next_line(&rest, &line)) {
        nx_json *item = NULL;
        nx_error err = NX_ERROR_INIT;
        if (c->json) {
            printf("%.*s\n", NX_SLICE_FMT(line));
        } else if (nx_json_parse(line, LINE_BYTES, &item, &err) != NX_OK) {
            code = nx_cli_fail(c, NX_EPARSE, "%s does not answer like a node: %s", node.url, err.msg);
        } else {
            row(&t, item);
            nx_json_free(item);
        }
    }
    if (code == NX_CLI_OK && !c->json) {
        if (t.n_cells)
            nx_cli_table_print(&t, c->has_colour, stdout);
        else
            fprintf(stderr, "%s\n", nothing);
    }
    nx_cli_table_done(&t);
    nx_buf_done(&reply.body);
    return code;
}
