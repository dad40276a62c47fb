/* cmd_inspect.c: nexus inspect. */
#include "cmds.h"
#include "nx/rt.h"

#define MODULE_BYTES (256u << 20)

/* The report's members as text: scalars on one line, lists one item each. */
static void print_value(const nx_json *v)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(16u << 20);
    if (nx_json_typeof(v) == NX_JSON_STR)
        nx_cli_print_safe(stdout, nx_json_str(v));
    else if (nx_json_dump(v, &text) == NX_OK)
        nx_cli_print_safe(stdout, nx_buf_view(&text));
}

static int print_part(void *self, nx_slice key, const nx_json *value)
{
    unsigned *n = self;
    printf("%s%.*s ", (*n)++ ? ", " : "", NX_SLICE_FMT(key));
    print_value(value);
    return 0;
}

static int print_member(void *self, nx_slice key, const nx_json *value)
{
    (void)self;
    nx_json_type type = nx_json_typeof(value);
    if (type == NX_JSON_ARRAY) {
        if (nx_json_len(value) == 0)
            return 0;
        printf("%.*s\n", NX_SLICE_FMT(key));
        for (size_t i = 0; i < nx_json_len(value); i++) {
            const nx_json *item = nx_json_at(value, i);
            unsigned n = 0;
            fputs("  ", stdout);
            if (nx_json_typeof(item) == NX_JSON_OBJECT)
                nx_json_each(item, print_part, &n);
            else
                print_value(item);
            putchar('\n');
        }
        return 0;
    }
    printf("%-16.*s ", NX_SLICE_FMT(key));
    if (type == NX_JSON_OBJECT) {
        unsigned n = 0;
        nx_json_each(value, print_part, &n);
    } else {
        print_value(value);
    }
    putchar('\n');
    return 0;
}

static int run(nx_cli *c)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf module = NX_BUF_INIT(MODULE_BYTES);
    NX_CLEANUP(nx_buf_done)
    nx_buf out = NX_BUF_INIT(64u << 20);
    nx_error e = NX_ERROR_INIT;
    if ((e.code = nx_cli_read_file(c->args[0], &module, &e)) != NX_OK)
        return nx_cli_fail_error(c, &e);
    nx_jw w = NX_JW_INIT(&out);
    if ((e.code = nx_rt_inspect(nx_buf_view(&module), &w, &e)) != NX_OK || (e.code = nx_jw_err(&w)) != NX_OK)
        return nx_cli_fail_error(c, &e);
    nx_json *root = NULL;
    if ((e.code = nx_json_parse(nx_buf_view(&out), 64u << 20, &root, &e)) != NX_OK)
        return nx_cli_fail_error(c, &e);
    /* A module that cannot run here is told by the exit code too, so that a pipeline can ask. */
    bool can_run = nx_json_get_bool(root, "can_run", nx_json_len(nx_json_get(root, "problems")) == 0);
    if (c->json)
        printf("%.*s\n", NX_SLICE_FMT(nx_buf_view(&out)));
    else
        nx_json_each(root, print_member, NULL);
    nx_json_free(root);
    return can_run ? NX_CLI_OK : nx_err_exit_code(NX_EMODULE);
}

static const nx_cli_arg args[] = {
    {.name = "module", .help = "WebAssembly module, as `code` names it.", .kind = NX_CLI_FILE},
    {0},
};
static const nx_cli_example examples[] = {
    {"nexus inspect build/welcome.wasm", "entry point, imports, memory, and what keeps it from running here"},
    {0},
};

const nx_cli_command nx_cli_cmd_inspect = {
    .verb = "inspect",
    .summary = "Show what a WebAssembly module needs, and whether it can run here",
    .text = "The exit code is 2 when it cannot.",
    .args = args,
    .examples = examples,
    .run = run,
};
