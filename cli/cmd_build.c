/* cmd_build.c: nexus build. */
#include "cmds.h"
#include "tools.h"

static void print_export(void *self, const char *name, const char *value)
{
    (void)self;
    printf("export %s=", name);
    nx_cli_print_word(stdout, value);
    putchar('\n');
}

static void add_member(void *self, const char *name, const char *value)
{
    nx_jw_kcstr(self, name, value);
}

/* In the project's data folder; without a project that can be read, in the user's cache: the compilers are the same ones everywhere. */
static int link_tools(nx_cli *c, nx_cli_tools *tools)
{
    char file[NX_CLI_PATH_BYTES], cache[NX_CLI_PATH_BYTES];
    nx_config *cfg = NULL;
    NX_CLEANUP(nx_buf_done)
    nx_buf problems = NX_BUF_INIT(1u << 20);
    if (nx_cli_flag_text(c, "file")) {
        int code = nx_cli_project_file(c, file, sizeof file);
        if (code != NX_CLI_OK)
            return code;
    } else if (nx_cli_project_find(file, sizeof file, NULL) != NX_OK) {
        file[0] = 0;
    }
    if (file[0] && nx_cli_config_load(c, file, NX_CONFIG_NO_FUNCTIONS, &cfg, &problems, NULL) == NX_OK)
        nx_cli_tools_link(tools, cfg->data_dir);
    else if (nx_cli_user_cache("build", cache, sizeof cache))
        nx_cli_tools_link(tools, nx_slice_cstr(cache));
    nx_config_unref(cfg);
    return NX_CLI_OK;
}

static int print_env(nx_cli *c)
{
    nx_cli_tools tools;
    nx_cli_tools_find(&tools);
    int code = link_tools(c, &tools);
    if (code != NX_CLI_OK)
        return code;
    if (!tools.has_rust && !tools.has_c)
        return nx_cli_fail(c, NX_ENOENT, "no compiler with a WASI target is installed; for Rust:  %s\nfor C:  %s", tools.rust_advice, tools.c_advice);
    if (!c->json) {
        nx_cli_tools_each_variable(&tools, print_export, NULL);
        return NX_CLI_OK;
    }
    NX_CLEANUP(nx_buf_done)
    nx_buf out = NX_BUF_INIT(1u << 20);
    nx_jw w = NX_JW_INIT(&out);
    nx_jw_object(&w);
    nx_cli_tools_each_variable(&tools, add_member, &w);
    nx_jw_object_end(&w);
    if (nx_jw_err(&w) != NX_OK)
        return nx_cli_fail(c, nx_jw_err(&w), "out of memory");
    printf("%.*s\n", NX_SLICE_FMT(nx_buf_view(&out)));
    return NX_CLI_OK;
}

static void print_unbuilt(nx_cli *c, const nx_config *cfg)
{
    for (unsigned i = 0; i < cfg->n_functions; i++) {
        const nx_fn_config *f = &cfg->functions[i];
        bool is_named = c->n_args == 0;
        for (unsigned k = 0; k < c->n_args && !is_named; k++)
            is_named = nx_slice_eq_cstr(f->name, c->args[k]);
        if (is_named && f->build_command.n == 0)
            nx_cli_say(c, "%.*s has no build.command; %.*s is taken as it is\n", NX_SLICE_FMT(f->name), NX_SLICE_FMT(f->code));
    }
}

static int run(nx_cli *c)
{
    char file[NX_CLI_PATH_BYTES];
    nx_config *cfg = NULL;
    unsigned built = 0;
    if (nx_cli_flag_is_set(c, "print-env"))
        return print_env(c);
    int code = nx_cli_project_file(c, file, sizeof file);
    if (code == NX_CLI_OK)
        code = nx_cli_config_load_or_fail(c, file, 0, &cfg);
    if (code != NX_CLI_OK)
        return code;
    for (unsigned i = 0; i < c->n_args && code == NX_CLI_OK; i++) {
        if (!nx_config_function(cfg, nx_slice_cstr(c->args[i])))
            code = nx_cli_fail(c, NX_ENOENT, "%s has no function '%s'", file, c->args[i]);
    }
    if (code == NX_CLI_OK) {
        print_unbuilt(c, cfg);
        code = nx_cli_build_all(c, cfg, c->args, c->n_args, !nx_cli_flag_is_set(c, "if-changed"), &built);
    }
    if (code == NX_CLI_OK && built == 0)
        nx_cli_say(c, "nothing to build\n");
    if (c->json)
        printf("{\"built\":%u,\"ok\":%s}\n", built, code == NX_CLI_OK ? "true" : "false");
    nx_config_unref(cfg);
    return code;
}

static const nx_cli_flag flags[] = {
    NX_CLI_FILE_FLAG,
    {.name = "if-changed", .help = "Only functions whose sources are newer than their module."},
    {.name = "print-env", .help = "Print the variables that build commands get, for `eval` in a shell, and build nothing."},
    {0},
};
static const nx_cli_arg args[] = {
    {.name = "function", .help = "Functions to build (default: all).", .is_optional = true, .is_many = true},
    {0},
};
static const nx_cli_example examples[] = {
    {"nexus build", "build every function of the project"},
    {"nexus build user-welcome --if-changed", "one, where it is out of date"},
    {"eval \"$(nexus build --print-env)\"; $RUSTC --target $NEXUS_WASI_TARGET --crate-type cdylib -O -o build/welcome.wasm welcome.rs",
     "the same compilers by hand"},
    {0},
};

const nx_cli_command nx_cli_cmd_build = {
    .verb = "build",
    .summary = "Build the functions of a project",
    .text = "Runs each function's build.command with sh in its workdir. Commands get NEXUS_WASI_TARGET (wasm32-wasip1 or\n"
            "wasm32-wasi, whichever is installed), RUSTC, CARGO, WASI_CC and WASI_CFLAGS, and a PATH whose cargo and rustc are\n"
            "those of a toolchain that has the target.",
    .flags = flags,
    .args = args,
    .examples = examples,
    .run = run,
};
