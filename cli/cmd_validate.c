/* cmd_validate.c: nexus validate. */
#include "cmds.h"
#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static int run(nx_cli *c)
{
    char file[NX_CLI_PATH_BYTES];
    nx_error e = NX_ERROR_INIT;
    struct stat st;
    if (c->n_args == 0)
        e.code = nx_cli_project_find(file, sizeof file, &e);
    else if (snprintf(file, sizeof file, stat(c->args[0], &st) == 0 && S_ISDIR(st.st_mode) ? "%s/" NX_CLI_PROJECT_FILE : "%s", c->args[0]) >=
             (int)sizeof file)
        e.code = nx_error_set(&e, NX_EINVAL, "the path is too long");
    if (e.code != NX_OK)
        return nx_cli_fail_error(c, &e);
    nx_config *cfg = NULL;
    NX_CLEANUP(nx_buf_done)
    nx_buf problems = NX_BUF_INIT(1u << 20);
    unsigned flags = nx_cli_flag_is_set(c, "no-code") ? 0 : NX_CONFIG_CHECK_CODE;
    if (nx_cli_flag_is_set(c, "no-functions"))
        flags |= NX_CONFIG_NO_FUNCTIONS;
    nx_err err = (c->json ? nx_cli_config_load_json : nx_cli_config_load)(c, file, flags, &cfg, &problems, &e);
    if (err != NX_OK && problems.n == 0) {
        e.code = err;
        return nx_cli_fail_error(c, &e);
    }
    if (err != NX_OK) {
        /* The answer to a question, so it goes to stdout. */
        fwrite(problems.p, 1, problems.n, stdout);
        if (problems.p[problems.n - 1] != '\n')
            putchar('\n');
        return nx_err_exit_code(err);
    }
    if (c->json) {
        NX_CLEANUP(nx_buf_done)
        nx_buf out = NX_BUF_INIT(1u << 20);
        nx_config_issues none = {.file = nx_slice_cstr(file)};
        if ((err = nx_config_issues_json(&none, &out)) == NX_OK)
            printf("%.*s\n", NX_SLICE_FMT(nx_slice_trim(nx_buf_view(&out))));
    } else {
        printf("%s is valid: %u function%s\n", file, cfg->n_functions, cfg->n_functions == 1 ? "" : "s");
    }
    nx_config_unref(cfg);
    return err == NX_OK ? NX_CLI_OK : nx_cli_fail(c, err, "out of memory");
}

static const nx_cli_flag flags[] = {
    {.name = "no-code", .help = "Do not look at the modules that `code` names: before they are built."},
    {.name = "no-functions", .help = "A file without functions is fine too: settings of `nexus serve`."},
    {0},
};
static const nx_cli_arg args[] = {
    {.name = "file", .help = "The file (default: nexus.yaml here or in a folder above).", .kind = NX_CLI_FILE, .is_optional = true},
    {0},
};
static const nx_cli_example examples[] = {
    {"nexus validate", "check the project of this folder"},
    {"nexus validate --no-code --json deploy/nexus.yaml", "in a pipeline, before the build"},
    {0},
};

const nx_cli_command nx_cli_cmd_validate = {
    .verb = "validate",
    .summary = "Check nexus.yaml and the modules it names, without a node",
    .text = "Prints everything that is wrong at once, as file:line:column: key: what, and what to write instead.",
    .flags = flags,
    .args = args,
    .examples = examples,
    .run = run,
};
