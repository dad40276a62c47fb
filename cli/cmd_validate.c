/* cmd_validate.c: nexus validate. */
#include "cmds.h"
#include "grants.h"
#include "nx/artifact.h"
#include "nx/rt.h"
#include "offline.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* *ret NULL: there are too many already. */
static nx_err new_issue(nx_config_issues *all, const nx_fn_config *f, unsigned index, const char *key, nx_config_issue **ret)
{
    *ret = NULL;
    if (all->n == NX_CONFIG_ISSUES_MAX) {
        all->is_cut = true;
        return NX_OK;
    }
    if (!all->v && !(all->v = calloc(NX_CONFIG_ISSUES_MAX, sizeof *all->v)))
        return NX_ENOMEM;
    all->cap = NX_CONFIG_ISSUES_MAX;
    *ret = &all->v[all->n++];
    **ret = (nx_config_issue){.line = f->code_line, .column = f->code_column};
    snprintf((*ret)->path, sizeof(*ret)->path, "functions[%u].%s", index, key);
    return NX_OK;
}

static nx_err add_issue(nx_config_issues *all, const nx_fn_config *f, unsigned index, const nx_json *problem)
{
    nx_config_issue *i;
    nx_err err = new_issue(all, f, index, "code", &i);
    if (!i)
        return err;
    nx_slice subject = nx_json_get_str(problem, "subject");
    snprintf(i->reason, sizeof i->reason, "\"%.*s\" can't run here: %.*s%s%.*s", NX_SLICE_FMT(f->code), NX_SLICE_FMT(subject), subject.n ? ": " : "",
             NX_SLICE_FMT(nx_json_get_str(problem, "message")));
    snprintf(i->suggestion, sizeof i->suggestion, "%.*s", NX_SLICE_FMT(nx_json_get_str(problem, "advice")));
    return NX_OK;
}

/* What its init leaves is known when it has run, which it does in the compiling child. */
static nx_err check_init(const nx_cli *c, const nx_fn_config *f, unsigned index, nx_slice artifact, nx_config_issues *all)
{
    nx_cli_offline offline;
    nx_rt_program *program = NULL;
    nx_config_issue *i = NULL;
    nx_error e = NX_ERROR_INIT;
    if (nx_cli_offline_open(c, false, &offline) != NX_CLI_OK)
        return NX_OK; /* it has said so */
    nx_sha256 digest = nx_sha256_of(artifact);
    e.code = nx_rt_program_load(offline.rt, artifact, &digest, f->memory_bytes, &program, &e);
    nx_err err = e.code == NX_OK ? NX_OK : new_issue(all, f, index, f->init.n ? "init" : "preinit", &i);
    if (i)
        snprintf(i->reason, sizeof i->reason, "%s", e.msg[0] ? e.msg : nx_err_text(e.code));
    nx_rt_program_unref(program);
    nx_cli_offline_close(&offline);
    return err;
}

/* What `nexus deploy` would refuse: the loader of settings has only seen that there are modules. */
static nx_err check_module(const nx_cli *c, const nx_config *cfg, unsigned index, nx_config_issues *all, nx_error *reterr)
{
    const nx_fn_config *f = &cfg->functions[index];
    NX_CLEANUP(nx_buf_done)
    nx_buf module = NX_BUF_INIT(NX_ARTIFACT_BYTES_MAX);
    NX_CLEANUP(nx_buf_done)
    nx_buf out = NX_BUF_INIT(64u << 20);
    nx_jw w = NX_JW_INIT(&out);
    nx_json *root = NULL;
    nx_err e = nx_artifact_read(cfg, f, &module, reterr);
    if (e == NX_OK)
        e = nx_rt_inspect(nx_buf_view(&module), NULL, &w, reterr);
    if (e == NX_OK)
        e = nx_json_parse(nx_buf_view(&out), 64u << 20, &root, reterr);
    const nx_json *problems = nx_json_get(root, "problems");
    for (size_t i = 0; e == NX_OK && i < nx_json_len(problems); i++)
        e = add_issue(all, f, index, nx_json_at(problems, i));
    if (e == NX_OK && nx_json_len(problems) == 0 && (f->init.n || f->is_preinit))
        e = check_init(c, f, index, nx_buf_view(&module), all);
    if (e == NX_OK)
        nx_cli_note_grants(root, f);
    nx_json_free(root);
    return e;
}

static int run(nx_cli *c)
{
    char file[NX_CLI_PATH_BYTES];
    nx_error e = NX_ERROR_INIT;
    struct stat st;
    const char *named = nx_cli_flag_text(c, "file");
    if (named && c->n_args)
        return nx_cli_fail_usage(c, "name the file once: as an argument or by --file");
    if (c->n_args)
        named = c->args[0];
    if (!named)
        e.code = nx_cli_project_find(file, sizeof file, &e);
    else if (snprintf(file, sizeof file, stat(named, &st) == 0 && S_ISDIR(st.st_mode) ? "%s/" NX_CLI_PROJECT_FILE : "%s", named) >=
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
    nx_config_issues found = {.file = nx_slice_cstr(file)};
    NX_CLEANUP(nx_buf_done)
    nx_buf out = NX_BUF_INIT(1u << 20);
    for (unsigned i = 0; err == NX_OK && (flags & NX_CONFIG_CHECK_CODE) && i < cfg->n_functions; i++)
        err = check_module(c, cfg, i, &found, &e);
    if (err == NX_OK)
        err = (c->json ? nx_config_issues_json : nx_config_issues_text)(&found, &out);
    int code = err != NX_OK ? nx_cli_fail(c, err, "%s", e.msg[0] ? e.msg : nx_err_text(err)) : found.n ? nx_err_exit_code(NX_EINVAL)
                                                                                                       : NX_CLI_OK;
    if (err == NX_OK && c->json)
        printf("%.*s\n", NX_SLICE_FMT(nx_slice_trim(nx_buf_view(&out))));
    else if (err == NX_OK && found.n)
        fwrite(out.p, 1, out.n, stdout);
    else if (err == NX_OK)
        printf("%s is valid: %u function%s\n", file, cfg->n_functions, cfg->n_functions == 1 ? "" : "s");
    nx_config_issues_done(&found);
    nx_config_unref(cfg);
    return code;
}

static const nx_cli_flag flags[] = {
    {.name = "file", .letter = 'f', .value = "FILE", .kind = NX_CLI_FILE, .help = "The same as <file>, as other commands take it."},
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
