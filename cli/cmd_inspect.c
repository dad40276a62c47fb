/* cmd_inspect.c: nexus inspect. */
#include "cmds.h"
#include "nx/rt.h"
#include "nx/rt_artifact.h"
#include "offline.h"

#define MODULE_BYTES (256u << 20)

/* A heading, and one line each: "  wasi_snapshot_preview1.fd_close (i32) -> i32". */
static void print_names(const nx_json *root, const char *key)
{
    const nx_json *list = nx_json_get(root, key);
    if (nx_json_len(list))
        printf("%s\n", key);
    for (size_t i = 0; i < nx_json_len(list); i++) {
        const nx_json *item = nx_json_at(list, i);
        nx_slice module = nx_json_get_str(item, "module"), type = nx_json_get_str(item, "type");
        fputs("  ", stdout);
        nx_cli_print_safe(stdout, module);
        fputs(module.n ? "." : "", stdout);
        nx_cli_print_safe(stdout, nx_json_get_str(item, "name"));
        printf(" %.*s\n", NX_SLICE_FMT(type.n ? type : nx_json_get_str(item, "kind")));
    }
}

static void print_problems(const nx_cli *c, const nx_json *list)
{
    for (size_t i = 0; i < nx_json_len(list); i++) {
        const nx_json *p = nx_json_at(list, i);
        nx_slice subject = nx_json_get_str(p, "subject"), advice = nx_json_get_str(p, "advice");
        fputs("  ", stdout);
        nx_cli_print_safe(stdout, subject);
        fputs(subject.n ? ": " : "", stdout);
        nx_cli_print_safe(stdout, nx_json_get_str(p, "message"));
        if (advice.n) {
            printf("\n    %s", nx_cli_paint(c->has_colour, NX_CLI_DIM));
            nx_cli_print_safe(stdout, advice);
            fputs(nx_cli_paint(c->has_colour, NX_CLI_PLAIN), stdout);
        }
        putchar('\n');
    }
}

static void print_memory(const nx_json *memory)
{
    char text[16];
    if (nx_json_typeof(memory) != NX_JSON_OBJECT) {
        puts("memory      none");
        return;
    }
    nx_cli_format_bytes(nx_json_get_u64(memory, "min_bytes", 0), text);
    printf("memory      begins with %s", text);
    if (nx_json_typeof(nx_json_get(memory, "max_bytes")) != NX_JSON_NULL) {
        nx_cli_format_bytes(nx_json_get_u64(memory, "max_bytes", 0), text);
        printf(", grows to %s at most", text);
    }
    puts(nx_json_get_bool(memory, "is_shared", false) ? ", shared between threads" : "");
}

/* "grants      key_value_stores (kv_get, kv_put), emit (emit)": the keys of nexus.yaml that its host calls need. */
static void print_grants(const nx_json *grants)
{
    for (size_t i = 0; i < nx_json_len(grants); i++) {
        const nx_json *grant = nx_json_at(grants, i), *calls = nx_json_get(grant, "calls");
        printf("%s%.*s (", i ? ", " : "grants      ", NX_SLICE_FMT(nx_json_get_str(grant, "key")));
        for (size_t k = 0; k < nx_json_len(calls); k++)
            printf("%s%.*s", k ? ", " : "", NX_SLICE_FMT(nx_json_str(nx_json_at(calls, k))));
        fputs(")", stdout);
    }
    if (nx_json_len(grants))
        putchar('\n');
}

static void print_files(const nx_json *files)
{
    for (size_t i = 0; i < nx_json_len(files); i++) {
        char size[16];
        nx_cli_format_bytes(nx_json_get_u64(nx_json_at(files, i), "size_bytes", 0), size);
        printf("%s/", i ? "            " : "files       ");
        nx_cli_print_safe(stdout, nx_json_get_str(nx_json_at(files, i), "path"));
        printf(" (%s)\n", size);
    }
}

static const char *backtraces(const nx_json *root)
{
    if (!nx_json_get_bool(root, "has_names", false))
        return "without names";
    return nx_json_get_bool(root, "has_debug_info", false) ? "names of functions, and places in the source" : "names of functions";
}

static void print_report(const nx_cli *c, const nx_json *root, bool can_run)
{
    char size[16];
    nx_slice entry = nx_json_get_str(root, "entry");
    nx_cli_format_bytes(nx_json_get_u64(root, "size_bytes", 0), size);
    printf("sha256      %.*s\n", NX_SLICE_FMT(nx_json_get_str(root, "sha256")));
    printf("kind        %.*s, %s, %llu functions\n", NX_SLICE_FMT(nx_json_get_str(root, "kind")), size,
           (unsigned long long)nx_json_get_u64(root, "functions", 0));
    printf("entry       %.*s\n", NX_SLICE_FMT(entry.n ? entry : NX_SLICE("none")));
    if (nx_json_get_str(root, "init").n)
        printf("init        %.*s, once, when it is deployed\n", NX_SLICE_FMT(nx_json_get_str(root, "init")));
    if (nx_json_get_str(root, "derived").n)
        printf("derived     %.*s\n", NX_SLICE_FMT(nx_json_get_str(root, "derived")));
    print_memory(nx_json_get(root, "memory"));
    printf("backtraces  %s\n", backtraces(root));
    print_grants(nx_json_get(root, "grants"));
    print_names(root, "imports");
    print_names(root, "exports");
    print_files(nx_json_get(root, "files"));
    printf("%s%s%s\n", nx_cli_paint(c->has_colour, can_run ? NX_CLI_GREEN : NX_CLI_RED), can_run ? "can run here" : "cannot run here",
           nx_cli_paint(c->has_colour, NX_CLI_PLAIN));
    if (nx_json_get_bool(root, "may_hold_back_output", false))
        printf("note: what is written to stdout without a newline or a flush is lost; `nexus build`, and the compiler that it names "
               "(--print-env), add the flush\n");
    print_problems(c, nx_json_get(root, "problems"));
}

/* What the init of an artifact leaves is known when it has run, which it does in the compiling child. A module has none, and an artifact whose init
 * fails has no such digest: deploying it says why. */
static int derive(const nx_cli *c, nx_slice bytes, nx_sha256 *ret, bool *ret_is_there)
{
    nx_rt_artifact parts;
    nx_cli_offline offline;
    nx_rt_program *program = NULL;
    *ret_is_there = false;
    if (nx_rt_artifact_split(bytes, &parts, NULL) != NX_OK || !parts.init.n)
        return NX_CLI_OK;
    int code = nx_cli_offline_open(c, false, &offline);
    if (code != NX_CLI_OK)
        return code;
    nx_sha256 digest = nx_sha256_of(bytes);
    *ret_is_there = nx_rt_program_load(offline.rt, bytes, &digest, nx_rt_memory_max(), &program, NULL) == NX_OK && nx_rt_program_derived(program, ret);
    nx_rt_program_unref(program);
    nx_cli_offline_close(&offline);
    return NX_CLI_OK;
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
    nx_sha256 derived;
    bool has_derived;
    int code = derive(c, nx_buf_view(&module), &derived, &has_derived);
    if (code != NX_CLI_OK)
        return code;
    if ((e.code = nx_rt_inspect(nx_buf_view(&module), has_derived ? &derived : NULL, &w, &e)) != NX_OK || (e.code = nx_jw_err(&w)) != NX_OK) {
        nx_error_prefix(&e, "%s", c->args[0]);
        return nx_cli_fail_error(c, &e);
    }
    nx_json *root = NULL;
    if ((e.code = nx_json_parse(nx_buf_view(&out), 64u << 20, &root, &e)) != NX_OK)
        return nx_cli_fail_error(c, &e);
    /* A module that cannot run here is told by the exit code too, so that a pipeline can ask. */
    bool can_run = nx_json_get_bool(root, "can_run", nx_json_len(nx_json_get(root, "problems")) == 0);
    if (c->json)
        printf("%.*s\n", NX_SLICE_FMT(nx_buf_view(&out)));
    else
        print_report(c, root, can_run);
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
