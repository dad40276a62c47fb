/* cmd_documents.c: what is generated: nexus schema, completion, man, reference. */
#include "cmds.h"
#include "host.h"

static int print_buf(const nx_cli *c, nx_err e, const nx_buf *text)
{
    if (e != NX_OK)
        return nx_cli_fail(c, e, "the document cannot be made: %s", nx_err_text(e));
    fwrite(text->p, 1, text->n, stdout);
    if (text->n > 0 && text->p[text->n - 1] != '\n')
        putchar('\n');
    return NX_CLI_OK;
}

static int run_schema(nx_cli *c)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(4u << 20);
    return print_buf(c, nx_config_schema_json(&text), &text);
}

static int run_completion(nx_cli *c)
{
    if (strcmp(c->args[0], "bash") == 0)
        nx_cli_completion_bash(stdout);
    else if (strcmp(c->args[0], "zsh") == 0)
        nx_cli_completion_zsh(stdout);
    else
        nx_cli_completion_fish(stdout);
    return NX_CLI_OK;
}

static int run_man(nx_cli *c)
{
    (void)c;
    nx_cli_man(stdout);
    return NX_CLI_OK;
}

static int run_reference(nx_cli *c)
{
    if (strcmp(c->args[0], "cli") == 0) {
        nx_cli_reference(stdout);
        return NX_CLI_OK;
    }
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(4u << 20);
    nx_error e = NX_ERROR_INIT;
    if (strcmp(c->args[0], "openapi") == 0)
        return print_buf(c, nx_cli_openapi(&text, &e), &text);
    return print_buf(c, strcmp(c->args[0], "http") == 0 ? nx_cli_routes_md(&text) : nx_config_reference_md(&text), &text);
}

static const nx_cli_example schema_examples[] = {
    {"nexus schema > nexus.schema.json", "for editors: completion and checks while nexus.yaml is written"},
    {0},
};

const nx_cli_command nx_cli_cmd_schema = {
    .verb = "schema",
    .summary = "Print the JSON Schema of nexus.yaml",
    .examples = schema_examples,
    .run = run_schema,
};

static const char *const shells[] = {"bash", "zsh", "fish", NULL};
static const nx_cli_arg completion_args[] = {
    {.name = "shell", .help = "bash, zsh or fish.", .choices = shells},
    {0},
};
static const nx_cli_example completion_examples[] = {
    {"source <(nexus completion bash)", "in this shell (bash)"},
    {"nexus completion zsh > \"${fpath[1]}/_nexus\"", "for every zsh from now on"},
    {"nexus completion fish > ~/.config/fish/completions/nexus.fish", "for every fish from now on"},
    {0},
};

const nx_cli_command nx_cli_cmd_completion = {
    .verb = "completion",
    .summary = "Print completions for bash, zsh or fish",
    .args = completion_args,
    .examples = completion_examples,
    .run = run_completion,
};

static const nx_cli_example man_examples[] = {
    {"nexus man | man -l -", "read it"},
    {0},
};

const nx_cli_command nx_cli_cmd_man = {
    .verb = "man",
    .summary = "Print the manual page",
    .examples = man_examples,
    .run = run_man,
};

static const char *const references[] = {"cli", "config", "http", "openapi", NULL};
static const nx_cli_arg reference_args[] = {
    {.name = "part", .help = "cli, config, http or openapi.", .choices = references},
    {0},
};

const nx_cli_command nx_cli_cmd_reference = {
    .verb = "reference",
    .summary = "Print a generated part of the documentation",
    .args = reference_args,
    .is_hidden = true,
    .run = run_reference,
};
