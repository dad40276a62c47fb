/* build.c: running build commands on a libuv loop. */
#include "host.h"
#include "nx/clock.h"
#include "tools.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <uv.h>

#define LINE_MAX_BYTES 16384
#define LINGER_MS 500

struct nx_cli_build {
    uv_process_t process;
    uv_pipe_t pipe;
    uv_timer_t linger; /* what the command left running in the background may keep the pipe open for ever */
    const nx_cli *cli;
    bool as_log; /* lines go to the node's log instead of the terminal */
    char name[NX_FUNCTION_NAME_BYTES + 1];
    char code_path[NX_CLI_PATH_BYTES];
    uint64_t started_ns, newest_source_ns;
    char read_buf[8192];
    nx_buf line;
    bool has_exited, is_canceled;
    unsigned open_handles;
    int64_t exit_status;
    int signal;
    void (*done)(void *self, const nx_cli_build_result *r);
    void *self;
};

/* ---- output ----------------------------------------------------------------------------------------------------- */

static void put_line(nx_cli_build *b)
{
    const nx_cli *c = b->cli;
    if (b->as_log) {
        nx_log(NX_LOG_INFO, "build.output", "%s | %.*s", b->name, NX_SLICE_FMT(nx_buf_view(&b->line)));
        nx_buf_clear(&b->line);
        return;
    }
    fprintf(stderr, "%s%s |%s ", nx_cli_paint(c->err_has_colour, NX_CLI_DIM), b->name, nx_cli_paint(c->err_has_colour, NX_CLI_PLAIN));
    nx_cli_print_safe(stderr, nx_buf_view(&b->line));
    fputc('\n', stderr);
    nx_buf_clear(&b->line);
}

static void on_alloc(uv_handle_t *h, size_t wanted, uv_buf_t *ret)
{
    nx_cli_build *b = h->data;
    (void)wanted;
    *ret = uv_buf_init(b->read_buf, sizeof b->read_buf);
}

static void finish(nx_cli_build *b);

static void on_closed(uv_handle_t *h)
{
    nx_cli_build *b = h->data;
    b->open_handles--;
    finish(b);
}

static void close_pipe(nx_cli_build *b)
{
    if (uv_is_closing((uv_handle_t *)&b->pipe))
        return;
    if (b->line.n > 0)
        put_line(b);
    uv_close((uv_handle_t *)&b->pipe, on_closed);
    uv_close((uv_handle_t *)&b->linger, on_closed);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *buf)
{
    nx_cli_build *b = s->data;
    for (ssize_t i = 0; i < n; i++) {
        char ch = buf->base[i];
        if (ch == '\n') {
            put_line(b);
        } else if (ch != '\r' && nx_buf_append_char(&b->line, ch) != NX_OK) {
            put_line(b); /* a line over the limit comes in pieces */
            (void)nx_buf_append_char(&b->line, ch);
        }
    }
    if (n < 0)
        close_pipe(b);
}

/* ---- the end ---------------------------------------------------------------------------------------------------- */

static void check_artifact(nx_cli_build *b, nx_cli_build_result *r)
{
    struct stat st;
    nx_error why = NX_ERROR_INIT;
    if (nx_cli_source_map_take(b->code_path, &why) != NX_OK &&
        nx_buf_printf(&b->line, "backtraces will name no lines of the source: %s", why.msg) == NX_OK)
        put_line(b);
    if (stat(b->code_path, &st) != 0) {
        r->is_ok = false;
        snprintf(r->why, sizeof r->why, "the command succeeded, but there is no %.600s; `code` and `build.command` have to name the same file",
                 b->code_path);
        return;
    }
    /* A build system that found nothing to do leaves the old file, which would look out of date for ever. The time is that of
     * the newest source when the build began: one that was saved meanwhile is newer and starts another build. */
    uint64_t written_ns = (uint64_t)st.st_mtim.tv_sec * NX_NS_PER_S + (uint64_t)st.st_mtim.tv_nsec;
    struct timespec times[2] = {
        {.tv_nsec = UTIME_OMIT},
        {.tv_sec = (time_t)(b->newest_source_ns / NX_NS_PER_S), .tv_nsec = (long)(b->newest_source_ns % NX_NS_PER_S)},
    };
    if (written_ns < b->newest_source_ns)
        (void)utimensat(AT_FDCWD, b->code_path, times, 0);
}

static void finish(nx_cli_build *b)
{
    if (b->open_handles > 0)
        return;
    if (!b->has_exited) { /* it never started */
        nx_buf_done(&b->line);
        free(b);
        return;
    }
    nx_cli_build_result r = {
        .function = b->name,
        .is_ok = b->exit_status == 0 && b->signal == 0,
        .exit_code = (int)b->exit_status,
        .signal = b->signal,
        .duration_ns = nx_clock_ns() - b->started_ns,
    };
    if (b->is_canceled)
        r.is_ok = false;
    else if (r.is_ok)
        check_artifact(b, &r);
    b->done(b->self, &r);
    nx_buf_done(&b->line);
    free(b);
}

static void on_linger(uv_timer_t *t)
{
    close_pipe(t->data);
}

static void on_exit_status(uv_process_t *p, int64_t status, int signal_number)
{
    nx_cli_build *b = p->data;
    b->has_exited = true;
    b->exit_status = status;
    b->signal = signal_number;
    uv_close((uv_handle_t *)p, on_closed);
    if (!uv_is_closing((uv_handle_t *)&b->linger))
        uv_timer_start(&b->linger, on_linger, LINGER_MS, 0);
}

void nx_cli_build_cancel(nx_cli_build *b)
{
    bool is_again = b->is_canceled;
    b->is_canceled = true;
    /* The command is the leader of its own group, so this reaches what it started too. */
    if (!b->has_exited && uv_process_get_pid(&b->process) > 0)
        kill(-uv_process_get_pid(&b->process), is_again ? SIGKILL : SIGTERM);
}

void nx_cli_build_print(const nx_cli *c, const nx_cli_build_result *r)
{
    char took[16];
    nx_cli_format_ms((double)r->duration_ns / 1e6, took);
    if (r->is_ok) {
        fprintf(stderr, "%sbuilt%s %s in %s\n", nx_cli_paint(c->err_has_colour, NX_CLI_GREEN),
                nx_cli_paint(c->err_has_colour, NX_CLI_PLAIN), r->function, took);
        return;
    }
    fprintf(stderr, "%sbuild failed%s %s: ", nx_cli_paint(c->err_has_colour, NX_CLI_RED),
            nx_cli_paint(c->err_has_colour, NX_CLI_PLAIN), r->function);
    if (r->why[0])
        fprintf(stderr, "%s\n", r->why);
    else if (r->signal)
        fprintf(stderr, "the command was ended by signal %d (%s) after %s\n", r->signal, strsignal(r->signal), took);
    else
        fprintf(stderr, "the command ended with exit code %d after %s; its output is above\n", r->exit_code, took);
}

/* ---- the beginning ---------------------------------------------------------------------------------------------- */

typedef struct environment {
    char *v[4096];
    unsigned n;
    bool is_short;
} environment;

static void put_variable(void *self, const char *name, const char *value)
{
    environment *e = self;
    size_t n = strlen(name);
    char *text = NULL;
    if (asprintf(&text, "%s=%s", name, value) < 0) {
        e->is_short = true;
        return;
    }
    for (unsigned i = 0; i < e->n; i++) {
        if (strncmp(e->v[i], name, n) == 0 && e->v[i][n] == '=') {
            free(e->v[i]);
            e->v[i] = text;
            return;
        }
    }
    if (e->n + 1 < NX_ARRAY_LEN(e->v))
        e->v[e->n++] = text;
    else {
        free(text);
        e->is_short = true;
    }
}

static environment *environment_new(const nx_cli_tools *tools, const nx_fn_config *f)
{
    environment *e = calloc(1, sizeof *e);
    if (!e)
        return NULL;
    for (char **p = environ; *p && e->n + 1 < NX_ARRAY_LEN(e->v); p++) {
        char *copy = strdup(*p);
        if (copy)
            e->v[e->n++] = copy;
        else
            e->is_short = true;
    }
    nx_cli_tools_each_variable(tools, put_variable, e);
    char name[NX_FUNCTION_NAME_BYTES + 1];
    if (nx_slice_to_cstr(f->name, name, sizeof name) == NX_OK)
        put_variable(e, "NEXUS_FUNCTION", name);
    return e;
}

static void environment_free(environment *e)
{
    for (unsigned i = 0; e && i < e->n; i++)
        free(e->v[i]);
    free(e);
}

/* The folder of `code`, which compilers do not make. */
static void make_folder_of(const char *file)
{
    char path[NX_CLI_PATH_BYTES];
    snprintf(path, sizeof path, "%s", file);
    for (char *p = path + 1; *p; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        (void)mkdir(path, 0777); /* where it cannot be made, the command says so */
        *p = '/';
    }
}

static nx_err spawn(nx_cli_build *b, uv_loop_t *loop, char *command, const char *workdir, environment *env, nx_error *reterr)
{
    char shell[] = "/bin/sh", option[] = "-c";
    char *argv[] = {shell, option, command, NULL};
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_IGNORE},
        {.flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE, .data.stream = (uv_stream_t *)&b->pipe},
        {.flags = UV_INHERIT_FD},
    };
    uv_process_options_t o = {
        .exit_cb = on_exit_status,
        .file = shell,
        .args = argv,
        .env = env->v,
        .cwd = workdir,
        .flags = UV_PROCESS_DETACHED,
        .stdio_count = 3,
        .stdio = stdio,
    };
    stdio[2].data.fd = 2;
    b->started_ns = nx_clock_ns();
    int rc = uv_spawn(loop, &b->process, &o);
    if (rc != 0)
        return nx_error_set(reterr, NX_EIO, "%s: cannot run its build command in %s: %s", b->name, workdir, uv_strerror(rc));
    return NX_OK;
}

nx_err nx_cli_build_start(struct uv_loop_s *loop, const nx_cli *c, const nx_cli_tools *tools, const nx_config *cfg, const nx_fn_config *f,
                          bool as_log, void (*done)(void *self, const nx_cli_build_result *r), void *self, nx_cli_build **ret, nx_error *reterr)
{
    char missing[768], workdir[NX_CLI_PATH_BYTES], *command = NULL;
    nx_cli_tools_missing(tools, f->build_command, f->build_workdir, missing, sizeof missing);
    if (missing[0])
        return nx_error_set(reterr, NX_ENOENT, "%.*s: %s", NX_SLICE_FMT(f->name), missing);
    nx_cli_build *b = calloc(1, sizeof *b);
    environment *env = environment_new(tools, f);
    /* Both streams of the command in one pipe, so that its lines keep their order. */
    if (!b || !env || env->is_short || asprintf(&command, "exec 2>&1\n%.*s", NX_SLICE_FMT(f->build_command)) < 0 ||
        nx_slice_to_cstr(f->name, b->name, sizeof b->name) != NX_OK ||
        nx_slice_to_cstr(f->code_path, b->code_path, sizeof b->code_path) != NX_OK ||
        nx_slice_to_cstr(f->build_workdir, workdir, sizeof workdir) != NX_OK) {
        environment_free(env);
        free(command);
        free(b);
        return nx_error_set(reterr, NX_ENOMEM, "%.*s: its build cannot be prepared", NX_SLICE_FMT(f->name));
    }
    nx_buf_init(&b->line, LINE_MAX_BYTES);
    b->cli = c;
    b->done = done;
    b->self = self;
    b->as_log = as_log;
    nx_cli_sources sources;
    nx_cli_sources_scan(cfg, f, &sources);
    b->newest_source_ns = sources.newest_ns;
    make_folder_of(b->code_path);
    b->pipe.data = b->linger.data = b->process.data = b;
    uv_pipe_init(loop, &b->pipe, 0);
    uv_timer_init(loop, &b->linger);
    b->open_handles = 3;
    nx_err e = spawn(b, loop, command, workdir, env, reterr);
    environment_free(env);
    free(command);
    if (e != NX_OK) {
        uv_close((uv_handle_t *)&b->process, on_closed);
        close_pipe(b);
        return e;
    }
    uv_read_start((uv_stream_t *)&b->pipe, on_alloc, on_read);
    if (ret)
        *ret = b;
    return NX_OK;
}

/* ---- all of them ------------------------------------------------------------------------------------------------ */

/* One build that is waited for. The command is in a group of its own, so the terminal's Ctrl-C does not reach it. */
typedef struct waited {
    nx_cli_build *build; /* NULL: over */
    nx_cli_signals *signals;
    nx_cli_build_result result;
    bool is_interrupted;
} waited;

static void take_result(void *self, const nx_cli_build_result *r)
{
    waited *w = self;
    w->result = *r;
    w->result.function = NULL;
    w->build = NULL;
    nx_cli_signals_free(w->signals);
    w->signals = NULL;
}

static void on_interrupt(void *self)
{
    waited *w = self;
    w->is_interrupted = true;
    if (w->build)
        nx_cli_build_cancel(w->build);
}

static int build_one(const nx_cli *c, const nx_cli_tools *tools, const nx_config *cfg, const nx_fn_config *f)
{
    uv_loop_t loop;
    nx_error e = NX_ERROR_INIT;
    waited w = {0};
    char name[NX_FUNCTION_NAME_BYTES + 1], suspected[1536];
    if (uv_loop_init(&loop) != 0)
        return nx_cli_fail(c, NX_EIO, "cannot make an event loop");
    /* Many compilers say nothing for seconds. */
    if (c->err_is_tty && !c->json)
        fprintf(stderr, "%sbuilding%s %.*s\n", nx_cli_paint(c->err_has_colour, NX_CLI_DIM), nx_cli_paint(c->err_has_colour, NX_CLI_PLAIN), NX_SLICE_FMT(f->name));
    e.code = nx_cli_signals_new(&loop, on_interrupt, NULL, &w, &w.signals);
    if (e.code == NX_OK)
        e.code = nx_cli_build_start(&loop, c, tools, cfg, f, false, take_result, &w, &w.build, &e);
    if (e.code != NX_OK)
        nx_cli_signals_free(w.signals);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
    if (e.code != NX_OK)
        return nx_cli_fail(c, e.code, "%s", e.msg[0] ? e.msg : nx_err_text(e.code)), NX_CLI_FAILED;
    (void)nx_slice_to_cstr(f->name, name, sizeof name);
    if (w.is_interrupted)
        return nx_cli_fail(c, NX_ECANCELED, "%s: the build was interrupted", name);
    w.result.function = name;
    nx_cli_build_print(c, &w.result);
    if (w.result.is_ok)
        return NX_CLI_OK;
    nx_cli_tools_suspected(tools, f->build_command, suspected, sizeof suspected);
    if (suspected[0])
        nx_cli_fail(c, NX_ENOENT, "%s: %s", name, suspected);
    return NX_CLI_FAILED;
}

int nx_cli_build_all(const nx_cli *c, const nx_config *cfg, const char *const *names, unsigned n_names, bool force, unsigned *ret_built)
{
    nx_cli_tools tools;
    bool has_tools = false;
    unsigned failed = 0, built = 0;
    for (unsigned i = 0; i < cfg->n_functions; i++) {
        const nx_fn_config *f = &cfg->functions[i];
        bool is_named = n_names == 0;
        for (unsigned k = 0; k < n_names && !is_named; k++)
            is_named = nx_slice_eq_cstr(f->name, names[k]);
        if (!is_named || f->build_command.n == 0 || (!force && !nx_cli_is_out_of_date(cfg, f)))
            continue;
        if (!has_tools) {
            nx_cli_tools_find(&tools);
            nx_cli_tools_link(&tools, cfg->data_dir);
            has_tools = true;
        }
        int code = build_one(c, &tools, cfg, f);
        if (code == nx_err_exit_code(NX_ECANCELED))
            return code;
        if (code == NX_CLI_OK)
            built++;
        else
            failed++;
    }
    if (ret_built)
        *ret_built = built;
    if (failed && built + failed > 1)
        nx_cli_fail(c, NX_EGUEST, "%u of %u builds failed", failed, built + failed);
    return failed ? NX_CLI_FAILED : NX_CLI_OK;
}
