/* cmd_validate.c: nexus validate. */
#include "cmds.h"
#include "grants.h"
#include "host.h"
#include "nx/artifact.h"
#include "nx/rt.h"
#include "offline.h"
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static nx_config_issue issue_of(const nx_fn_config *f, unsigned index, const char *key)
{
    nx_config_issue i = {.line = f->code_line, .column = f->code_column};
    snprintf(i.path, sizeof i.path, "functions[%u].%s", index, key);
    return i;
}

static nx_err add_issue(nx_config_issues *all, const nx_fn_config *f, unsigned index, const nx_json *problem)
{
    nx_config_issue i = issue_of(f, index, "code");
    nx_slice subject = nx_json_get_str(problem, "subject");
    snprintf(i.reason, sizeof i.reason, "\"%.*s\" can't run here: %.*s%s%.*s", NX_SLICE_FMT(f->code), NX_SLICE_FMT(subject), subject.n ? ": " : "",
             NX_SLICE_FMT(nx_json_get_str(problem, "message")));
    snprintf(i.suggestion, sizeof i.suggestion, "%.*s", NX_SLICE_FMT(nx_json_get_str(problem, "advice")));
    return nx_config_issues_add(all, &i);
}

/* What its init leaves is known when it has run, which it does in the compiling child. */
static nx_err check_init(const nx_cli *c, const nx_fn_config *f, unsigned index, nx_slice artifact, nx_config_issues *all)
{
    nx_cli_offline offline;
    nx_rt_program *program = NULL;
    nx_config_issue i = issue_of(f, index, f->init.n ? "init" : "preinit");
    nx_error e = NX_ERROR_INIT;
    if (nx_cli_offline_open(c, false, &offline) != NX_CLI_OK)
        return NX_OK; /* it has said so */
    nx_sha256 digest = nx_sha256_of(artifact);
    e.code = nx_rt_program_load(offline.rt, artifact, &digest, f->memory_bytes, &program, &e);
    snprintf(i.reason, sizeof i.reason, "%s", e.msg[0] ? e.msg : nx_err_text(e.code));
    nx_err err = e.code == NX_OK ? NX_OK : nx_config_issues_add(all, &i);
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

static nx_err find_file(const nx_cli *c, char *ret, size_t ret_bytes, nx_error *reterr)
{
    const char *named = c->n_args ? c->args[0] : nx_cli_flag_text(c, "file");
    struct stat st;
    if (!named)
        return nx_cli_project_find(ret, ret_bytes, reterr);
    bool is_dir = stat(named, &st) == 0 && S_ISDIR(st.st_mode);
    if (snprintf(ret, ret_bytes, is_dir ? "%s/" NX_CLI_PROJECT_FILE : "%s", named) >= (int)ret_bytes)
        return nx_error_set(reterr, NX_EINVAL, "the path is too long");
    return NX_OK;
}

/* The answer to a question, so what is found goes to stdout. */
static int check_project(const nx_cli *c)
{
    char file[NX_CLI_PATH_BYTES];
    nx_config *cfg = NULL;
    nx_config_issues found = {0};
    nx_error e = NX_ERROR_INIT;
    unsigned flags = (nx_cli_flag_is_set(c, "no-code") ? 0u : NX_CONFIG_CHECK_CODE) | (nx_cli_flag_is_set(c, "no-functions") ? NX_CONFIG_NO_FUNCTIONS : 0u);
    e.code = find_file(c, file, sizeof file, &e);
    if (e.code == NX_OK)
        e.code = nx_cli_config_read(c, file, flags, &cfg, &found, &e);
    if (e.code != NX_OK && found.n)
        e.code = NX_OK;
    for (unsigned i = 0; e.code == NX_OK && cfg && (flags & NX_CONFIG_CHECK_CODE) && i < cfg->n_functions; i++)
        e.code = check_module(c, cfg, i, &found, &e);
    if (e.code == NX_OK)
        e.code = nx_cli_issues_print(c, &found, stdout);
    int code = e.code != NX_OK ? nx_cli_fail_error(c, &e) : found.n ? nx_err_exit_code(NX_EINVAL)
                                                                    : NX_CLI_OK;
    if (code == NX_CLI_OK && cfg)
        nx_cli_say(c, "%s is valid: %u function%s\n", file, cfg->n_functions, cfg->n_functions == 1 ? "" : "s");
    nx_config_issues_done(&found);
    nx_config_unref(cfg);
    return code;
}

/* What `nexus serve` would say of its files, each by itself and all together. */
static int check_files(const nx_cli *c)
{
    nx_cli_host_files files;
    int code = nx_cli_host_files_load(c, &files, stdout);
    for (unsigned i = 0; i < files.n; i++) {
        if (files.issues[i].n == 0 && files.cfgs[i])
            nx_cli_say(c, "%s is valid: namespace %.*s\n", files.names[i], NX_SLICE_FMT(files.cfgs[i]->ns));
    }
    nx_cli_host_files_done(&files);
    return code;
}

static int run(nx_cli *c)
{
    bool has_file = nx_cli_flag_text(c, "file") != NULL;
    if (has_file && c->n_args)
        return nx_cli_fail_usage(c, "name the file once: as an argument or by --file");
    if (nx_cli_flag_count(c, "config") == 0)
        return check_project(c);
    if (has_file || c->n_args)
        return nx_cli_fail_usage(c, "name files by --config, as for `nexus serve`, or a project's file, not both");
    return check_files(c);
}

static const nx_cli_flag flags[] = {
    {.name = "file", .letter = 'f', .value = "FILE", .kind = NX_CLI_FILE, .help = "The same as <file>, as other commands take it."},
    {.name = "no-code", .help = "Do not look at the modules that `code` names: before they are built."},
    {.name = "config", .letter = 'c', .value = "FILE", .kind = NX_CLI_FILE, .is_many = true, .help = "Settings of `nexus serve`; given several times: all that it would refuse about them, together."},
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
    {"nexus validate --config shop.yaml --config lab.yaml", "the namespaces of one `nexus serve`: with --json an object per file"},
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
