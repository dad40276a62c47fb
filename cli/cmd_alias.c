/* cmd_alias.c: nexus alias list, set, rm; nexus rollback. */
#include "cmds.h"
#include <stdlib.h>

#define PATH_BYTES 4096
#define BODY_BYTES (64u << 10)

static nx_err function_path(nx_buf *path, const char *function, const char *rest, const char *last)
{
    nx_err e = nx_buf_append_cstr(path, "/api/v1/functions/");
    if (e == NX_OK)
        e = nx_cli_path_segment(path, function);
    if (e == NX_OK)
        e = nx_buf_append_cstr(path, rest);
    return e == NX_OK && last ? nx_cli_path_segment(path, last) : e;
}

/* "v4 10 %, v3 90 %", or "v3". */
static void traffic_text(const nx_json *traffic, nx_buf *out)
{
    size_t n = nx_json_len(traffic);
    for (size_t i = 0; i < n; i++) {
        const nx_json *t = nx_json_at(traffic, i);
        nx_buf_printf(out, "%s%.*s", i ? ", " : "", NX_SLICE_FMT(nx_json_get_str(t, "version")));
        if (n > 1)
            nx_buf_printf(out, " %g %%", nx_json_get_double(t, "percent", 0));
    }
}

/* Makes the request and gives what the node answered, or prints it where JSON is wanted (*ret NULL then). */
static int ask(nx_cli *c, const char *method, const char *path, nx_slice body, nx_json **ret)
{
    nx_cli_client node;
    nx_httpc_resp reply = {0};
    nx_error err = NX_ERROR_INIT;
    nx_err e = nx_cli_client_open(c, &node);
    *ret = NULL;
    if (e != NX_OK)
        return nx_err_exit_code(e);
    int code = nx_cli_call(&node, &(nx_cli_request){.method = method, .path = path, .content_type = body.n ? "application/json" : NULL, .body = body}, &reply);
    if (code == NX_CLI_OK) {
        if (c->json)
            printf("%.*s\n", NX_SLICE_FMT(nx_slice_trim(nx_buf_view(&reply.body))));
        else if (nx_json_parse(nx_buf_view(&reply.body), NX_CLI_REPLY_BYTES, ret, &err) != NX_OK)
            code = nx_cli_fail(c, NX_EPARSE, "%s does not answer like a node: %s", node.url, err.msg);
        nx_buf_done(&reply.body);
    }
    nx_cli_client_close(&node);
    return code;
}

/* ---- list ----------------------------------------------------------------------------------------------------------- */

static void row(nx_cli_table *t, const nx_json *a)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf now = NX_BUF_INIT(PATH_BYTES), before = NX_BUF_INIT(PATH_BYTES);
    traffic_text(nx_json_get(a, "traffic"), &now);
    traffic_text(nx_json_at(nx_json_get(a, "before"), 0), &before);
    nx_cli_table_cell(t, nx_json_get_str(a, "function"));
    nx_cli_table_cell(t, nx_json_get_str(a, "alias"));
    nx_cli_table_cell(t, nx_buf_view(&now));
    nx_cli_table_cell(t, nx_buf_view(&before));
    nx_cli_table_cell(t, nx_json_get_str(a, "changed_at"));
    nx_buf_done(&before);
}

static int run_list(nx_cli *c)
{
    static const char *const heads[] = {"FUNCTION", "ALIAS", "VERSIONS", "BEFORE", "CHANGED"};
    NX_CLEANUP(nx_buf_done)
    nx_buf path = NX_BUF_INIT(PATH_BYTES);
    nx_err e = nx_buf_append_cstr(&path, "/api/v1/aliases");
    if (e == NX_OK)
        e = nx_cli_query(&path, "function", c->n_args ? c->args[0] : NULL);
    const char *p = e == NX_OK ? nx_buf_cstr(&path) : NULL;
    return p ? nx_cli_list(c, p, "no aliases: nothing was deployed", NX_ARRAY_LEN(heads), heads, row) : nx_cli_fail(c, NX_ELIMIT, "the name is too long");
}

/* ---- set ------------------------------------------------------------------------------------------------------------ */

/* "v4=10" or "v4=10,v3=90". */
static int write_weights(const nx_cli *c, const char *text, nx_jw *w)
{
    for (nx_slice rest = nx_slice_cstr(text), one; rest.n;) {
        nx_slice percent, version;
        char number[32], *end = NULL;
        one = nx_slice_split(rest, ',', &rest);
        version = nx_slice_split(one, '=', &percent);
        if (percent.n && percent.p[percent.n - 1] == '%')
            percent.n--;
        double value = nx_slice_to_cstr(percent, number, sizeof number) == NX_OK && percent.n ? strtod(number, &end) : -1;
        if (!version.n || !end || *end || !(value >= 0 && value <= 100))
            return nx_cli_fail_usage(c, "flag --weight: \"%.*s\" is not VERSION=PERCENT (try v4=10)", NX_SLICE_FMT(one));
        nx_jw_object(w);
        nx_jw_kstr(w, "version", version);
        nx_jw_kdouble(w, "percent", value);
        nx_jw_object_end(w);
    }
    return NX_CLI_OK;
}

static int write_set(const nx_cli *c, nx_buf *body)
{
    const char *to = nx_cli_flag_text(c, "to");
    unsigned n = nx_cli_flag_count(c, "weight");
    int code = NX_CLI_OK;
    nx_jw w = NX_JW_INIT(body);
    if (!to == !n)
        return nx_cli_fail_usage(c, "say what the alias stands for: --to VERSION, or --weight VERSION=PERCENT (several)");
    nx_jw_object(&w);
    if (to) {
        nx_jw_kcstr(&w, "to", to);
    } else {
        nx_jw_key(&w, "traffic");
        nx_jw_array(&w);
        for (unsigned i = 0; i < n && code == NX_CLI_OK; i++)
            code = write_weights(c, nx_cli_flag_at(c, "weight", i), &w);
        nx_jw_array_end(&w);
    }
    nx_jw_object_end(&w);
    return code == NX_CLI_OK && nx_jw_err(&w) != NX_OK ? nx_cli_fail(c, NX_ELIMIT, "too many weights") : code;
}

static void print_alias(const nx_cli *c, const nx_json *a)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(PATH_BYTES);
    traffic_text(nx_json_get(a, "traffic"), &text);
    printf("%s %.*s is %s%.*s%s\n", c->args[0], NX_SLICE_FMT(nx_json_get_str(a, "alias")), nx_cli_paint(c->has_colour, NX_CLI_BOLD), (int)text.n, text.n ? text.p : "",
           nx_cli_paint(c->has_colour, NX_CLI_PLAIN));
}

static int run_set(nx_cli *c)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf path = NX_BUF_INIT(PATH_BYTES);
    NX_CLEANUP(nx_buf_done)
    nx_buf body = NX_BUF_INIT(BODY_BYTES);
    nx_json *answer;
    int code = write_set(c, &body);
    if (code != NX_CLI_OK)
        return code;
    const char *p = function_path(&path, c->args[0], "/aliases/", c->n_args > 1 ? c->args[1] : "live") == NX_OK ? nx_buf_cstr(&path) : NULL;
    if (!p)
        return nx_cli_fail(c, NX_ELIMIT, "the names are too long");
    code = ask(c, "PUT", p, nx_buf_view(&body), &answer);
    if (answer)
        print_alias(c, answer);
    nx_json_free(answer);
    return code;
}

/* ---- rm ------------------------------------------------------------------------------------------------------------- */

static int run_rm(nx_cli *c)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf path = NX_BUF_INIT(PATH_BYTES);
    nx_json *answer;
    const char *p = function_path(&path, c->args[0], "/aliases/", c->args[1]) == NX_OK ? nx_buf_cstr(&path) : NULL;
    if (!p)
        return nx_cli_fail(c, NX_ELIMIT, "the names are too long");
    int code = ask(c, "DELETE", p, NX_SLICE_NULL, &answer);
    if (answer)
        printf("%s %s is removed\n", c->args[0], c->args[1]);
    nx_json_free(answer);
    return code;
}

/* ---- rollback --------------------------------------------------------------------------------------------------------- */

static int run_rollback(nx_cli *c)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf path = NX_BUF_INIT(PATH_BYTES);
    NX_CLEANUP(nx_buf_done)
    nx_buf body = NX_BUF_INIT(BODY_BYTES);
    const char *to = nx_cli_flag_text(c, "to"), *alias = nx_cli_flag_text(c, "alias");
    nx_json *a;
    nx_jw w = NX_JW_INIT(&body);
    nx_jw_object(&w);
    if (to)
        nx_jw_kcstr(&w, "to", to);
    if (alias)
        nx_jw_kcstr(&w, "alias", alias);
    nx_jw_object_end(&w);
    const char *p = function_path(&path, c->args[0], "/rollback", NULL) == NX_OK ? nx_buf_cstr(&path) : NULL;
    if (!p || nx_jw_err(&w) != NX_OK)
        return nx_cli_fail(c, NX_ELIMIT, "the names are too long");
    int code = ask(c, "POST", p, nx_buf_view(&body), &a);
    if (a) {
        nx_buf from = NX_BUF_INIT(PATH_BYTES);
        traffic_text(nx_json_get(a, "from"), &from);
        print_alias(c, a);
        printf("  it was %.*s; to go there again: %s alias set %s --to VERSION\n", (int)from.n, from.n ? from.p : "", c->program, c->args[0]);
        nx_buf_done(&from);
        nx_json_free(a);
    }
    return code;
}

/* ---- the table ------------------------------------------------------------------------------------------------------- */

static const nx_cli_arg list_args[] = {
    {.name = "function", .kind = NX_CLI_FUNCTION, .is_optional = true, .help = "Only this one's."},
    {0},
};
static const nx_cli_arg set_args[] = {
    {.name = "function", .kind = NX_CLI_FUNCTION, .help = "Name of the function."},
    {.name = "alias", .is_optional = true, .help = "The alias (default: live, which is what runs)."},
    {0},
};
static const nx_cli_arg rm_args[] = {
    {.name = "function", .kind = NX_CLI_FUNCTION, .help = "Name of the function."},
    {.name = "alias", .help = "The alias; never live."},
    {0},
};
static const nx_cli_arg rollback_args[] = {
    {.name = "function", .kind = NX_CLI_FUNCTION, .help = "Name of the function."},
    {0},
};
static const nx_cli_flag set_flags[] = {
    {.name = "to", .value = "VERSION", .help = "All of it to this version (v3), or what another alias stands for."},
    {.name = "weight", .value = "VERSION=PERCENT", .is_many = true, .help = "A version's share of the events (v4=10); what is missing to 100 stays with the version that has most."},
    {0},
};
static const nx_cli_flag rollback_flags[] = {
    {.name = "to", .value = "VERSION", .help = "To this version (default: what was live before the last change)."},
    {.name = "alias", .value = "ALIAS", .help = "Of this alias (default: live)."},
    {0},
};
static const nx_cli_example list_examples[] = {
    {"nexus alias list", "what every function's names stand for, and what they stood for before"},
    {0},
};
static const nx_cli_example set_examples[] = {
    {"nexus alias set user-welcome --weight v4=10", "a canary: a tenth of the keys goes to version 4"},
    {"nexus alias set user-welcome --weight v4=50 --weight v3=50", "half and half"},
    {"nexus alias set user-welcome --to v4", "everything to version 4"},
    {"nexus alias set user-welcome stable --to v3", "a name of your own, for `nexus replay --against stable`"},
    {0},
};
static const nx_cli_example rm_examples[] = {
    {"nexus alias rm user-welcome stable", "the name goes; its version stays"},
    {0},
};
static const nx_cli_example rollback_examples[] = {
    {"nexus rollback user-welcome", "back to what was live before, within moments: nothing is built"},
    {"nexus rollback user-welcome --to v2", "back to version 2"},
    {0},
};

const nx_cli_command nx_cli_cmd_alias_list = {
    .verb = "alias list",
    .summary = "List the aliases of functions and their versions",
    .args = list_args,
    .examples = list_examples,
    .is_client = true,
    .run = run_list,
};

const nx_cli_command nx_cli_cmd_alias_set = {
    .verb = "alias set",
    .summary = "Let an alias stand for a version, or for several by weight",
    .text = "`live` is what runs; a change of it holds on every node of the namespace, and runs in hand end on the version they began with.\n"
            "Where it is split, an event's partition key, without one its id, decides: the same key gets the same version, on every node and\n"
            "at every delivery. Versions that share events need the same `on`, `respond`, `ordering`, `concurrency` and `singleton`, and "
            "all or none of them `batch`.",
    .flags = set_flags,
    .args = set_args,
    .examples = set_examples,
    .is_client = true,
    .run = run_set,
};

const nx_cli_command nx_cli_cmd_alias_rm = {
    .verb = "alias rm",
    .summary = "Remove an alias",
    .args = rm_args,
    .examples = rm_examples,
    .is_client = true,
    .run = run_rm,
};

const nx_cli_command nx_cli_cmd_rollback = {
    .verb = "rollback",
    .summary = "Let live be what it was before",
    .text = "Nothing is built or compiled: versions that were live stay ready. Once more goes one step further back. The last ten changes are known.\n\n"
            "Exit codes: 0 done, 4 there is no such function or version, 5 nothing is known from before.",
    .flags = rollback_flags,
    .args = rollback_args,
    .examples = rollback_examples,
    .is_client = true,
    .run = run_rollback,
};
