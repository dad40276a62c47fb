/* cmd_sdk.c: nexus sdk. */
#include "cmds.h"
#include "sdk_files.h"

static const struct {
    const char *name;
    const nx_slice *file;
} languages[] = {
    {"rust", &nx_cli_sdk_rust},
    {"c", &nx_cli_sdk_c},
    {"assemblyscript", &nx_cli_sdk_assemblyscript},
    {"zig", &nx_cli_sdk_zig},
    {"javascript", &nx_cli_sdk_javascript},
    {0},
};

static int run(nx_cli *c)
{
    nx_slice file = *languages[0].file;
    for (size_t i = 1; languages[i].name; i++) {
        if (strcmp(c->args[0], languages[i].name) == 0)
            file = *languages[i].file;
    }
    if (c->json) {
        NX_CLEANUP(nx_buf_done)
        nx_buf out = NX_BUF_INIT(1u << 20);
        nx_jw w = NX_JW_INIT(&out);
        nx_jw_object(&w);
        nx_jw_kcstr(&w, "language", c->args[0]);
        nx_jw_ku64(&w, "abi", 1);
        nx_jw_kstr(&w, "text", file);
        nx_jw_object_end(&w);
        if (nx_jw_err(&w) != NX_OK)
            return nx_cli_fail(c, nx_jw_err(&w), "out of memory");
        printf("%.*s\n", NX_SLICE_FMT(nx_buf_view(&out)));
        return NX_CLI_OK;
    }
    fwrite(file.p, 1, file.n, stdout);
    return NX_CLI_OK;
}

static const char *const names[] = {"rust", "c", "assemblyscript", "zig", "javascript", NULL};
static const nx_cli_arg args[] = {
    {.name = "language", .help = "rust, c, assemblyscript, zig or javascript.", .choices = names},
    {0},
};
static const nx_cli_example examples[] = {
    {"nexus sdk rust > src/nexus_sdk.rs", "then `mod nexus_sdk;` in src/lib.rs"},
    {"nexus sdk c > nexus.h", "then #include \"nexus.h\""},
    {"nexus sdk assemblyscript > assembly/nexus.ts", "then import { Store, emit } from \"./nexus\""},
    {"nexus sdk zig > src/nexus.zig", "then const nexus = @import(\"nexus.zig\");"},
    {0},
};

const nx_cli_command nx_cli_cmd_sdk = {
    .verb = "sdk",
    .summary = "Print the file by which functions make host calls: key-value, HTTP, events, secrets",
    .text = "One file without dependencies, to be kept in the project. docs/EFFECTS.md says what the calls do and how they are granted.",
    .args = args,
    .examples = examples,
    .run = run,
};
