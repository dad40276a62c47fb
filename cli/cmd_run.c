/* cmd_run.c: nexus run. */
#include "cmds.h"
#include "host_tree.h"
#include "nx/arena.h"
#include "nx/clock.h"
#include "nx/ulid.h"
#include "offline.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STREAM_BYTES (256u << 20)    /* of stdin, stdout */
#define FOLDER_BYTES (1024ull << 20) /* of each --dir */
#define FOLDERS_MAX 16
#define ENV_MAX 128
#define EXIT_CODE_MAX 255
#define BACKTRACE_BYTES (1u << 20)
#define TIMEOUT_NS (3600 * NX_NS_PER_S)

typedef struct program {
    nx_cli_offline offline;
    nx_arena arena;
    nx_buf module, input;
    nx_attempt attempt;
    nx_kv env[ENV_MAX];
    nx_cli_host_tree folders[FOLDERS_MAX];
    nx_rt_preopen preopens[FOLDERS_MAX];
    unsigned n_folders;
} program;

static void on_line(nx_attempt *a, nx_slice line)
{
    (void)a;
    fprintf(stderr, "%.*s\n", NX_SLICE_FMT(line));
}

static int read_input(const nx_cli *c, program *p)
{
    if (isatty(STDIN_FILENO))
        return NX_CLI_OK;
    for (;;) {
        char piece[65536];
        ssize_t k = read(STDIN_FILENO, piece, sizeof piece);
        if (k == 0 || (k < 0 && errno == EBADF))
            return NX_CLI_OK;
        if (k < 0 && errno != EINTR)
            return nx_cli_fail(c, nx_err_from_errno(errno), "stdin: %s", strerror(errno));
        if (k > 0 && nx_buf_append(&p->input, piece, (size_t)k) != NX_OK)
            return nx_cli_fail(c, NX_ELIMIT, "stdin: more than %u MiB", STREAM_BYTES >> 20);
    }
}

static int take_env(const nx_cli *c, program *p)
{
    unsigned n = nx_cli_flag_count(c, "env"), n_env = 0;
    if (n > ENV_MAX)
        return nx_cli_fail_usage(c, "--env: at most %d variables", ENV_MAX);
    for (unsigned i = 0; i < n; i++) {
        nx_slice value, key = nx_slice_split(nx_slice_cstr(nx_cli_flag_at(c, "env", i)), '=', &value);
        if (!key.n || !strchr(nx_cli_flag_at(c, "env", i), '='))
            return nx_cli_fail_usage(c, "--env: \"%s\" is not KEY=VALUE", nx_cli_flag_at(c, "env", i));
        unsigned at = 0;
        while (at < n_env && !nx_slice_eq(p->env[at].key, key))
            at++;
        n_env += at == n_env; /* given twice, the later one counts */
        p->env[at] = (nx_kv){key, value};
    }
    p->attempt.env = p->env;
    p->attempt.n_env = n_env;
    return NX_CLI_OK;
}

/* HOST::GUEST, or one path for both. */
static int take_folders(const nx_cli *c, program *p)
{
    unsigned n = nx_cli_flag_count(c, "dir");
    if (n > FOLDERS_MAX)
        return nx_cli_fail_usage(c, "--dir: at most %d folders", FOLDERS_MAX);
    for (unsigned i = 0; i < n; i++) {
        const char *text = nx_cli_flag_at(c, "dir", i), *colons = strstr(text, "::");
        char host[NX_CLI_PATH_BYTES];
        nx_slice guest = colons ? nx_slice_cstr(colons + 2) : nx_slice_cstr(text);
        nx_error e = NX_ERROR_INIT;
        if (!guest.n || colons == text || nx_slice_to_cstr(nx_slice_make(text, colons ? (size_t)(colons - text) : strlen(text)), host, sizeof host) != NX_OK)
            return nx_cli_fail_usage(c, "--dir: \"%s\" is not HOST::GUEST", text);
        for (unsigned k = 0; k < i; k++)
            if (nx_slice_eq(p->preopens[k].name, guest))
                return nx_cli_fail_usage(c, "--dir: two folders are named %.*s; the program would find one of them only", NX_SLICE_FMT(guest));
        if ((e.code = nx_cli_host_tree_load(host, FOLDER_BYTES, &p->folders[i], &e)) != NX_OK)
            return nx_cli_fail_error(c, &e);
        p->n_folders++;
        p->preopens[i] = (nx_rt_preopen){guest, p->folders[i].tree};
    }
    p->attempt.preopens = p->preopens;
    p->attempt.n_preopens = n;
    return NX_CLI_OK;
}

static int take_limits(const nx_cli *c, nx_attempt *a)
{
    const char *memory = nx_cli_flag_text(c, "memory"), *timeout = nx_cli_flag_text(c, "timeout");
    a->memory_bytes = nx_rt_memory_max();
    a->timeout_ns = TIMEOUT_NS;
    a->max_output_bytes = STREAM_BYTES;
    a->max_log_bytes = STREAM_BYTES;
    if (memory && (nx_size_parse(nx_slice_cstr(memory), &a->memory_bytes) != NX_OK || a->memory_bytes > nx_rt_memory_max()))
        return nx_cli_fail_usage(c, "--memory: \"%s\" is not a size up to 4Gi (try 128Mi)", memory);
    if (timeout && nx_duration_parse(nx_slice_cstr(timeout), &a->timeout_ns) != NX_OK)
        return nx_cli_fail_usage(c, "--timeout: \"%s\" is not a duration (try 5s)", timeout);
    return NX_CLI_OK;
}

static int load(const nx_cli *c, program *p)
{
    nx_error e = NX_ERROR_INIT;
    if ((e.code = nx_cli_read_file(c->args[0], &p->module, &e)) != NX_OK)
        return nx_cli_fail_error(c, &e);
    int code = nx_cli_offline_open(c, false, &p->offline);
    if (code != NX_CLI_OK)
        return code;
    if (!p->module.n)
        return nx_cli_fail(c, NX_EMODULE, "%s: the file is empty, not a WebAssembly module", c->args[0]);
    nx_sha256 digest = nx_sha256_of(nx_buf_view(&p->module));
    nx_cli_progress *progress = nx_cli_progress_begin(c, "Compiling");
    e.code = nx_rt_program_load(p->offline.rt, nx_buf_view(&p->module), &digest, p->attempt.memory_bytes, &p->attempt.program, &e);
    nx_cli_progress_end(progress);
    if (e.code == NX_OK)
        return NX_CLI_OK;
    nx_error_prefix(&e, "%s", c->args[0]);
    return nx_cli_fail_error(c, &e);
}

/* With the places in the source that the module itself names. */
static void print_backtrace(program *p, nx_slice frames)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(BACKTRACE_BYTES);
    bool has_lines = frames.n && nx_rt_symbolise(p->offline.rt, nx_buf_view(&p->module), frames, &text, NULL) == NX_OK;
    nx_cli_print_lines(stderr, "  ", has_lines ? nx_buf_view(&text) : frames);
}

/* The program's exit code; 128 + 6 for what a signal would have ended: a trap, a limit. */
static int report(const nx_cli *c, program *p)
{
    const nx_outcome *o = &p->attempt.out;
    if (o->output.n && fwrite(o->output.p, 1, o->output.n, stdout) != o->output.n)
        return nx_cli_fail(c, NX_EIO, "stdout: %s", strerror(errno));
    if (o->status == NX_RUN_OK)
        return NX_CLI_OK;
    if (o->why == NX_WHY_EXIT)
        return o->exit_code < 0 || o->exit_code > EXIT_CODE_MAX ? EXIT_CODE_MAX : o->exit_code; /* its low byte alone could look like success */
    fprintf(stderr, "nexus: %s (%s): %s\n", nx_run_status_name(o->status), nx_run_why_name(o->why), o->message);
    print_backtrace(p, nx_buf_view(&o->backtrace));
    return 134;
}

static int execute(const nx_cli *c, program *p)
{
    nx_error e = NX_ERROR_INIT;
    nx_attempt *a = &p->attempt;
    nx_slice *args = nx_arena_alloc(&p->arena, sizeof *args * c->n_args);
    if (!args)
        return nx_cli_fail(c, NX_ENOMEM, "out of memory");
    for (unsigned i = 0; i < c->n_args; i++)
        args[i] = nx_slice_cstr(c->args[i]);
    a->args = args;
    a->n_args = c->n_args;
    a->input = nx_buf_view(&p->input);
    a->on_log = on_line;
    a->start_wall_ns = nx_clock_wall_ns();
    nx_random(a->seed, sizeof a->seed);
    if ((e.code = nx_rt_run(p->offline.rt, a, &e)) != NX_OK || (e.code = a->out.err) != NX_OK)
        return nx_cli_fail_error(c, &e);
    int code = report(c, p);
    for (unsigned i = 0; code == NX_CLI_OK && i < p->n_folders; i++)
        if ((e.code = nx_cli_host_tree_store(&p->folders[i], &e)) != NX_OK)
            code = nx_cli_fail_error(c, &e);
    return code;
}

static int run(nx_cli *c)
{
    program *p = calloc(1, sizeof *p);
    if (!p)
        return nx_cli_fail(c, NX_ENOMEM, "out of memory");
    nx_arena_init(&p->arena, 1u << 20);
    nx_buf_init(&p->module, NX_CLI_MODULE_BYTES);
    nx_buf_init(&p->input, STREAM_BYTES);
    nx_attempt_init(&p->attempt);
    int code = take_limits(c, &p->attempt);
    if (code == NX_CLI_OK)
        code = take_env(c, p);
    if (code == NX_CLI_OK)
        code = take_folders(c, p);
    if (code == NX_CLI_OK)
        code = load(c, p);
    if (code == NX_CLI_OK)
        code = read_input(c, p);
    if (code == NX_CLI_OK)
        code = execute(c, p);
    nx_rt_program_unref(p->attempt.program);
    nx_attempt_done(&p->attempt);
    for (unsigned i = 0; i < p->n_folders; i++)
        nx_cli_host_tree_done(&p->folders[i]);
    nx_cli_offline_close(&p->offline);
    nx_buf_done(&p->module);
    nx_buf_done(&p->input);
    nx_arena_done(&p->arena);
    free(p);
    return code;
}

static const nx_cli_flag flags[] = {
    {.name = "env", .value = "KEY=VALUE", .is_many = true, .help = "An environment variable of the program; it has no other."},
    {.name = "dir", .value = "HOST::GUEST", .kind = NX_CLI_FILE, .is_many = true, .help = "A folder that the program finds under the name GUEST; without `::`, the same name. It is read before, and written back when the program ends with 0."},
    {.name = "memory", .value = "SIZE", .help = "Linear memory that the program may grow to (default 4Gi)."},
    {.name = "timeout", .value = "DURATION", .help = "Time that the program may take (default 1h)."},
    {0},
};
static const nx_cli_arg args[] = {
    {.name = "module", .help = "WebAssembly module for WASI preview 1, or a function.", .kind = NX_CLI_FILE},
    {.name = "argument", .help = "What the program is given; put `--` before those that begin with a dash.", .is_optional = true, .is_many = true},
    {0},
};
static const nx_cli_example examples[] = {
    {"echo '{\"user_id\": \"u42\"}' | nexus run build/welcome.wasm", "a function on an event's data, without a node"},
    {"nexus run --dir ./data::/data --env LANG=C tool.wasm /data/in.txt", "any program for WASI"},
    {0},
};

const nx_cli_command nx_cli_cmd_run = {
    .verb = "run",
    .summary = "Run a WebAssembly program here, without a node",
    .text = "Stdin is the program's, its stdout and stderr are this command's, and its exit code too (255 for one above that); 134 for a trap, a limit or a timeout. The program "
            "has its arguments, the environment and the folders that are given, a clock and randomness, and nothing else of this machine. Stdin is read whole "
            "before it starts (a terminal is not read), and stdout comes when it has ended.",
    .flags = flags,
    .args = args,
    .examples = examples,
    .run = run,
};
