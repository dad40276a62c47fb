/* cmd_secrets.c: nexus secrets set, list, rm. A value comes from standard input or a file, never from the command line, where other users of
 * the machine could read it, and is never printed. */
#include "cmds.h"
#include "nx/crypt.h"
#include <errno.h>
#include <termios.h>
#include <unistd.h>

#define VALUE_BYTES (64u << 10)
#define PATH_BYTES 4096

static void drop_line_end(nx_buf *value)
{
    if (value->n && value->p[value->n - 1] == '\n')
        value->n--;
    if (value->n && value->p[value->n - 1] == '\r')
        value->n--;
}

/* Until the end, or of a terminal to the end of the line. */
static nx_err read_stdin(bool is_line, nx_buf *value)
{
    nx_err e = nx_buf_reserve(value, value->max);
    while (e == NX_OK) {
        if (value->n == value->max)
            return NX_ELIMIT;
        ssize_t n = read(STDIN_FILENO, value->p + value->n, value->max - value->n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return nx_err_from_errno(errno);
        value->n += (size_t)n;
        if (n == 0 || (is_line && value->p[value->n - 1] == '\n'))
            break;
    }
    return e;
}

static nx_err ask(const nx_cli *c, nx_buf *value)
{
    struct termios before, silent;
    if (tcgetattr(STDIN_FILENO, &before) != 0)
        return NX_EIO;
    silent = before;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent) != 0)
        return NX_EIO;
    fprintf(stderr, "Value of %s (not shown): ", c->args[0]);
    nx_err e = read_stdin(true, value);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
    fputc('\n', stderr);
    return e;
}

static int read_value(const nx_cli *c, nx_buf *value)
{
    const char *file = nx_cli_flag_text(c, "from-file");
    nx_error e = NX_ERROR_INIT;
    if (file)
        (void)nx_cli_read_file(file, value, &e);
    else if ((e.code = isatty(STDIN_FILENO) ? ask(c, value) : read_stdin(false, value)) != NX_OK)
        nx_error_set(&e, e.code, "the value cannot be read: %s", nx_err_text(e.code));
    if (e.code == NX_ELIMIT)
        return nx_cli_fail(c, NX_ELIMIT, "a secret has at most %u bytes", VALUE_BYTES);
    if (e.code != NX_OK)
        return nx_cli_fail_error(c, &e);
    drop_line_end(value);
    return value->n ? NX_CLI_OK : nx_cli_fail(c, NX_EINVAL, "the value is empty");
}

static int call(nx_cli *c, const char *method, nx_slice body, nx_httpc_resp *reply)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf path = NX_BUF_INIT(PATH_BYTES);
    const char *p = nx_cli_path(&path, "/api/v1/secrets/", c->args[0], "");
    if (!p)
        return nx_cli_fail(c, NX_ELIMIT, "the name is too long");
    return nx_cli_ask(c, &(nx_cli_request){.method = method, .path = p, .content_type = body.n ? "application/octet-stream" : NULL, .body = body}, reply);
}

static int print_done(const nx_cli *c, nx_httpc_resp *reply, const char *what)
{
    if (c->json)
        printf("%.*s\n", NX_SLICE_FMT(nx_slice_trim(nx_buf_view(&reply->body))));
    else
        printf("%s %s\n", c->args[0], what);
    nx_buf_done(&reply->body);
    return NX_CLI_OK;
}

static int run_set(nx_cli *c)
{
    NX_CLEANUP(nx_buf_wipe)
    nx_buf value = NX_BUF_INIT(VALUE_BYTES + 3); /* a line end, and one byte by which too much is noticed */
    nx_httpc_resp reply = {0};
    int code = read_value(c, &value);
    if (code == NX_CLI_OK)
        code = call(c, "PUT", nx_buf_view(&value), &reply);
    return code == NX_CLI_OK ? print_done(c, &reply, "is set") : code;
}

static const nx_cli_arg set_args[] = {
    {.name = "name", .help = "Name of the secret."},
    {0},
};
static const nx_cli_flag set_flags[] = {
    {.name = "from-file", .value = "FILE", .kind = NX_CLI_FILE, .help = "Read the value from a file in place of standard input."},
    {0},
};
static const nx_cli_example set_examples[] = {
    {"printf %s \"$KEY\" | nexus secrets set STRIPE_KEY", "the value from a pipe"},
    {"nexus secrets set STRIPE_KEY", "asked for on the terminal, not shown"},
    {"nexus secrets set TLS_KEY --from-file key.pem", "the value from a file"},
    {0},
};

const nx_cli_command nx_cli_cmd_secrets_set = {
    .verb = "secrets set",
    .summary = "Store the value of a secret, encrypted",
    .text = "The value is read from standard input (of a terminal, without showing it); a line end behind it is dropped. It is stored in the namespace's "
            "registry, encrypted with the node's key, and functions that were granted it in nexus.yaml (`secrets`) get it from their next call on.",
    .flags = set_flags,
    .args = set_args,
    .examples = set_examples,
    .on_extra = "a value is not taken from the command line, where others can read it: pipe it in, or use --from-file",
    .is_client = true,
    .run = run_set,
};

/* ---- list ------------------------------------------------------------------------------------------------------- */

static void row(nx_cli_table *t, const nx_json *s)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf functions = NX_BUF_INIT(65536);
    const nx_json *list = nx_json_get(s, "functions");
    for (size_t i = 0; i < nx_json_len(list); i++)
        nx_buf_printf(&functions, "%s%.*s", i ? ", " : "", NX_SLICE_FMT(nx_json_str(nx_json_at(list, i))));
    nx_slice at = nx_json_get_str(s, "at");
    nx_cli_table_cell(t, nx_json_get_str(s, "name"));
    nx_cli_table_cellf(t, "%.*s%s%.*s", NX_SLICE_FMT(nx_json_get_str(s, "source")), at.n ? " " : "", NX_SLICE_FMT(at));
    nx_cli_table_cell(t, nx_json_get_bool(s, "available", false) ? NX_SLICE("yes") : NX_SLICE("no"));
    nx_cli_table_cell(t, nx_json_get_str(s, "set_at"));
    nx_cli_table_cell(t, nx_buf_view(&functions));
}

static int run_list(nx_cli *c)
{
    static const char *const heads[] = {"SECRET", "SOURCE", "AVAILABLE", "SET", "FUNCTIONS"};
    return nx_cli_list(c, "/api/v1/secrets", "no secrets", NX_ARRAY_LEN(heads), heads, row);
}

static const nx_cli_example list_examples[] = {
    {"nexus secrets list", "names, where the values are, and which functions may use them"},
    {"nexus secrets list --json", "the same for a program"},
    {0},
};

const nx_cli_command nx_cli_cmd_secrets_list = {
    .verb = "secrets list",
    .summary = "List secrets: names and places, never values",
    .examples = list_examples,
    .is_client = true,
    .run = run_list,
};

/* ---- rm --------------------------------------------------------------------------------------------------------- */

static int run_rm(nx_cli *c)
{
    nx_httpc_resp reply = {0};
    int code = call(c, "DELETE", NX_SLICE_NULL, &reply);
    return code == NX_CLI_OK ? print_done(c, &reply, "is removed") : code;
}

static const nx_cli_arg rm_args[] = {
    {.name = "name", .help = "Name of the secret."},
    {0},
};
static const nx_cli_example rm_examples[] = {
    {"nexus secrets rm STRIPE_KEY", "functions that ask for it get \"not found\" from now on"},
    {0},
};

const nx_cli_command nx_cli_cmd_secrets_rm = {
    .verb = "secrets rm",
    .summary = "Remove a secret from the store",
    .args = rm_args,
    .examples = rm_examples,
    .is_client = true,
    .run = run_rm,
};
