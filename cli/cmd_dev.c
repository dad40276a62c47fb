/* cmd_dev.c: nexus dev: build, run, watch, all logs, one terminal.
 *
 * Everything that follows a save is one function, reconcile(): it looks at nexus.yaml, sources and modules, starts a build where a
 * source differs from what was built last, and takes the configuration where the file or a module differs from what was taken last.
 * It is called after each save, after each build, and every two seconds; called for nothing, it does nothing. */
#include "banner.h"
#include "cmds.h"
#include "first_build.h"
#include "host.h"
#include "nx/artifact.h"
#include "nx/clock.h"
#include "tools.h"
#include "watch.h"
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <uv.h>

#define STOP_BUILD_MS 3000

typedef struct built {
    struct built *next;
    char name[NX_FUNCTION_NAME_BYTES + 1];
    uint64_t fingerprint; /* of the sources when the last build began, however it ended */
} built;

typedef struct dev {
    nx_cli *c;
    char file[NX_CLI_PATH_BYTES];
    uv_loop_t loop;
    nx_node *node;
    nx_cli_watch *watch;
    nx_cli_signals *signals;
    nx_cli_tools tools;
    bool has_tools, no_build, log_json, is_stopping;
    nx_config *next;           /* the file as it was read last; modules not looked at */
    uint64_t next_fingerprint; /* of the file as it was read last, good or not */
    bool is_refused;           /* it was not good: until it is saved again, nothing is taken */
    bool is_told_refused;      /* the newest thing that was said of a reload is that it was refused */
    built *built;
    nx_cli_build *building;
    uint64_t build_started_ns;
    uint64_t taken_fingerprint; /* of the file and all modules that were offered to the node last, taken or not */
} dev;

/* ---- state of the files ----------------------------------------------------------------------------------------- */

static uint64_t function_fingerprint(const nx_fn_config *f)
{
    char path[NX_CLI_PATH_BYTES];
    return nx_slice_to_cstr(f->code_path, path, sizeof path) == NX_OK ? nx_cli_file_fingerprint(path) : 0;
}

/* Added up, because folders are read in no certain order. */
static nx_err add_fingerprint(void *self, const nx_artifact_file *file)
{
    uint64_t *sum = self, h = file->kind == NX_RT_NODE_FILE ? nx_cli_file_fingerprint(file->host_path) : (uint64_t)file->kind;
    for (size_t i = 0; i < file->path.n; i++)
        h = (h ^ (uint8_t)file->path.p[i]) * 0x100000001b3ull;
    *sum += h;
    return NX_OK;
}

/* Of the modules and of the files that functions take along. */
static uint64_t modules_fingerprint(const dev *d)
{
    uint64_t h = d->next_fingerprint;
    for (unsigned i = 0; i < d->next->n_functions; i++) {
        uint64_t files = 0;
        (void)nx_artifact_each_file(d->next, &d->next->functions[i], add_fingerprint, &files, NULL); /* what is missing is told when it is taken */
        h = (h * 31 + function_fingerprint(&d->next->functions[i])) * 31 + files;
    }
    return h ? h : 1;
}

static built *built_of(dev *d, nx_slice name)
{
    for (built *b = d->built; b; b = b->next) {
        if (nx_slice_eq_cstr(name, b->name))
            return b;
    }
    built *b = calloc(1, sizeof *b);
    if (!b || nx_slice_to_cstr(name, b->name, sizeof b->name) != NX_OK) {
        free(b);
        return NULL;
    }
    b->next = d->built;
    d->built = b;
    return b;
}

static void watch_folder(void *self, const char *folder)
{
    nx_cli_watch_folder(self, folder);
}

static void watch_folder_of(nx_cli_watch *w, const char *file)
{
    char path[NX_CLI_PATH_BYTES];
    const char *slash = strrchr(file, '/');
    snprintf(path, sizeof path, "%.*s", !slash ? 1 : slash == file ? 1
                                                                   : (int)(slash - file),
             slash ? file : ".");
    nx_cli_watch_folder(w, path);
}

static nx_err watch_own_file(void *self, const nx_artifact_file *file)
{
    if (file->kind == NX_RT_NODE_DIR)
        nx_cli_watch_folder(self, file->host_path);
    else
        watch_folder_of(self, file->host_path);
    return NX_OK;
}

static void watch_all(dev *d)
{
    char path[NX_CLI_PATH_BYTES];
    nx_cli_watch_begin(d->watch);
    watch_folder_of(d->watch, d->file);
    for (unsigned i = 0; i < d->next->n_functions; i++) {
        const nx_fn_config *f = &d->next->functions[i];
        if (nx_slice_to_cstr(f->code_path, path, sizeof path) == NX_OK)
            watch_folder_of(d->watch, path);
        (void)nx_artifact_each_file(d->next, f, watch_own_file, d->watch, NULL);
        if (!d->no_build)
            nx_cli_sources_folders(d->next, f, watch_folder, d->watch);
    }
    nx_cli_watch_end(d->watch);
}

/* ---- saying ----------------------------------------------------------------------------------------------------- */

static void log_lines(nx_log_level level, const char *event, const char *head, nx_slice text)
{
    while (text.n > 0) {
        nx_slice line = nx_slice_split(text, '\n', &text);
        if (line.n > 0)
            nx_log(level, event, "%s%.*s", head, NX_SLICE_FMT(line));
    }
}

static void log_refused(dev *d, nx_slice problems, const nx_error *e)
{
    d->is_told_refused = true;
    nx_log(NX_LOG_ERROR, "config.refused", "not reloaded; the last good configuration goes on running:");
    log_lines(NX_LOG_ERROR, "config.refused", "  ", problems.n ? problems : nx_slice_cstr(e->msg[0] ? e->msg : nx_err_text(e->code)));
}

/* ---- taking a configuration ------------------------------------------------------------------------------------- */

static void take(dev *d)
{
    uint64_t fingerprint = modules_fingerprint(d), started = nx_clock_ns();
    if (fingerprint == d->taken_fingerprint)
        return;
    d->taken_fingerprint = fingerprint;
    nx_config *cfg = NULL;
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(1u << 20);
    nx_error e = NX_ERROR_INIT;
    e.code = nx_cli_config_load(d->c, d->file, NX_CONFIG_CHECK_CODE, &cfg, &text, &e);
    if (e.code == NX_OK) {
        e.code = nx_node_apply(d->node, cfg, &text, &e);
        nx_config_unref(cfg);
    }
    if (e.code == NX_OK) {
        if (text.n > 0) {
            log_lines(NX_LOG_INFO, "config.applied", "", nx_buf_view(&text));
            nx_log(NX_LOG_INFO, "config.applied", "reloaded in %llums", (unsigned long long)((nx_clock_ns() - started) / NX_NS_PER_MS));
        } else if (d->is_told_refused) {
            nx_log(NX_LOG_INFO, "config.applied", "valid again, and the same as what runs: nothing changed");
        }
        d->is_told_refused = false;
    } else if (d->building) {
        d->taken_fingerprint = 0; /* a module may be half written by the build: once more when it is over */
    } else {
        log_refused(d, nx_buf_view(&text), &e);
    }
}

/* ---- building --------------------------------------------------------------------------------------------------- */

static void reconcile(void *self);

static void on_built(void *self, const nx_cli_build_result *r)
{
    dev *d = self;
    char took[16];
    d->building = NULL;
    if (d->is_stopping)
        return;
    nx_cli_format_ms((double)r->duration_ns / 1e6, took);
    if (r->is_ok)
        nx_log(NX_LOG_INFO, "build.done", "built %s in %s", r->function, took);
    else if (r->why[0])
        nx_log(NX_LOG_ERROR, "build.failed", "build of %s failed: %s", r->function, r->why);
    else
        nx_log(NX_LOG_ERROR, "build.failed", "build of %s failed with exit code %d; the last good module goes on running", r->function,
               r->signal ? 128 + r->signal : r->exit_code);
    reconcile(d);
}

static bool needs_build(dev *d, const nx_fn_config *f, built *b, uint64_t *ret_fingerprint)
{
    nx_cli_sources s;
    nx_cli_sources_scan(d->next, f, &s);
    *ret_fingerprint = s.fingerprint;
    return b->fingerprint ? b->fingerprint != s.fingerprint : nx_cli_is_out_of_date(d->next, f);
}

static void build_next(dev *d)
{
    for (unsigned i = 0; i < d->next->n_functions && !d->building && !d->no_build; i++) {
        const nx_fn_config *f = &d->next->functions[i];
        built *b = f->build_command.n ? built_of(d, f->name) : NULL;
        uint64_t fingerprint;
        nx_error e = NX_ERROR_INIT;
        if (!b)
            continue;
        bool is_needed = needs_build(d, f, b, &fingerprint);
        b->fingerprint = fingerprint;
        if (!is_needed)
            continue;
        if (!d->has_tools) {
            nx_cli_tools_find(&d->tools);
            nx_cli_tools_link(&d->tools, d->next->data_dir);
            d->has_tools = true;
        }
        nx_log(NX_LOG_INFO, "build.started", "building %.*s", NX_SLICE_FMT(f->name));
        if (nx_cli_build_start(&d->loop, d->c, &d->tools, d->next, f, d->log_json, on_built, d, &d->building, &e) != NX_OK)
            nx_log(NX_LOG_ERROR, "build.failed", "%s", e.msg);
    }
}

/* A function without its module is not offered to the node while the module is being made. */
static bool waits_for_build(const dev *d)
{
    for (unsigned i = 0; d->building && i < d->next->n_functions; i++) {
        if (d->next->functions[i].build_command.n && function_fingerprint(&d->next->functions[i]) == 0)
            return true;
    }
    return false;
}

static void reconcile(void *self)
{
    dev *d = self;
    uint64_t fingerprint = nx_cli_file_fingerprint(d->file);
    if (d->is_stopping || fingerprint == 0) /* between the two halves of a save */
        return;
    if (fingerprint != d->next_fingerprint) {
        nx_config *cfg = NULL;
        NX_CLEANUP(nx_buf_done)
        nx_buf problems = NX_BUF_INIT(1u << 20);
        nx_error e = NX_ERROR_INIT;
        d->next_fingerprint = fingerprint;
        e.code = nx_cli_config_load(d->c, d->file, 0, &cfg, &problems, &e);
        d->is_refused = e.code != NX_OK;
        if (d->is_refused) {
            log_refused(d, nx_buf_view(&problems), &e);
            return;
        }
        nx_config_unref(d->next);
        d->next = cfg;
    }
    if (d->is_refused)
        return;
    watch_all(d);
    build_next(d);
    if (!waits_for_build(d))
        take(d);
}

/* ---- life ------------------------------------------------------------------------------------------------------- */

static void on_stop(void *self)
{
    dev *d = self;
    d->is_stopping = true;
    uv_stop(&d->loop);
}

static void on_build_stuck(uv_timer_t *t)
{
    uv_stop(t->loop);
}

static void stop(dev *d)
{
    nx_log(NX_LOG_INFO, "node.stopping", "stopping: requests in flight are answered first; Ctrl-C once more ends at once");
    nx_cli_signals_free(d->signals);
    nx_cli_watch_free(d->watch);
    if (d->building) {
        uv_timer_t deadline;
        nx_cli_build_cancel(d->building);
        uv_timer_init(&d->loop, &deadline);
        uv_timer_start(&deadline, on_build_stuck, STOP_BUILD_MS, 0);
        while (d->building && uv_is_active((uv_handle_t *)&deadline))
            uv_run(&d->loop, UV_RUN_ONCE);
        uv_close((uv_handle_t *)&deadline, NULL);
    }
    uv_run(&d->loop, d->building ? UV_RUN_NOWAIT : UV_RUN_DEFAULT);
    uv_loop_close(&d->loop);
    nx_cli_host_stop(&d->node, 1);
    while (d->built) {
        built *b = d->built;
        d->built = b->next;
        free(b);
    }
    nx_config_unref(d->next);
}

/* From nothing to a running node. */
static int start(dev *d, uint64_t started_ns)
{
    nx_cli *c = d->c;
    nx_config *cfg = NULL;
    int code = nx_cli_project_file(c, d->file, sizeof d->file);
    d->next_fingerprint = nx_cli_file_fingerprint(d->file);
    if (code == NX_CLI_OK)
        code = nx_cli_config_load_or_fail(c, d->file, 0, &d->next);
    if (code == NX_CLI_OK && !d->no_build)
        code = nx_cli_first_build(c, d->file, &d->next, &d->next_fingerprint);
    if (code == NX_CLI_OK)
        d->taken_fingerprint = modules_fingerprint(d);
    if (code == NX_CLI_OK)
        code = nx_cli_config_load_or_fail(c, d->file, NX_CONFIG_CHECK_CODE, &cfg);
    if (code == NX_CLI_OK)
        code = nx_cli_host_start(c, &cfg, 1, true, &d->node);
    if (code == NX_CLI_OK) {
        d->log_json = cfg->log_json;
        double ready_ms = (double)(nx_clock_ns() - started_ns) / 1e6;
        if (c->json)
            nx_cli_banner_json(c, cfg, nx_node_url(d->node), nx_node_admin_url(d->node));
        else if (!d->log_json)
            nx_cli_banner(c, cfg, nx_node_url(d->node), nx_node_admin_url(d->node), ready_ms);
    } else {
        nx_config_unref(d->next);
    }
    nx_config_unref(cfg);
    return code;
}

static int run(nx_cli *c)
{
    dev d = {.c = c, .no_build = nx_cli_flag_is_set(c, "no-build")};
    nx_error e = NX_ERROR_INIT;
    int code = start(&d, nx_clock_ns());
    if (code != NX_CLI_OK)
        return code;
    if (uv_loop_init(&d.loop) != 0) {
        nx_cli_host_stop(&d.node, 1);
        return nx_cli_fail(c, NX_ENOMEM, "cannot make an event loop");
    }
    if (nx_cli_watch_new(&d.loop, reconcile, &d, &d.watch, &e) != NX_OK || nx_cli_signals_new(&d.loop, on_stop, NULL, &d, &d.signals) != NX_OK) {
        stop(&d);
        return nx_cli_fail(c, NX_ENOMEM, "cannot watch the project");
    }
    reconcile(&d); /* what was saved while the node started */
    uv_run(&d.loop, UV_RUN_DEFAULT);
    stop(&d);
    return NX_CLI_OK;
}

static const nx_cli_flag flags[] = {
    NX_CLI_FILE_FLAG,
    {.name = "no-build", .help = "Never run build commands; modules are still watched."},
    NX_CLI_SETTING_FLAGS,
    {0},
};
static const nx_cli_example examples[] = {
    {"nexus dev", "build what is out of date, run the project of this folder, rebuild and reload on every save"},
    {"nexus dev --listen 127.0.0.1:0 --admin 127.0.0.1:0 --data-dir /tmp/nexus", "beside another node, on free ports"},
    {"nexus dev --log-format json", "for a program that reads the log"},
    {0},
};

const nx_cli_command nx_cli_cmd_dev = {
    .verb = "dev",
    .summary = "Build, run and watch the project of this folder",
    .text = "Starts a node with a private event log under .nexus/, prints where it listens and what to try, then the logs of the node\n"
            "and of all functions. A save of nexus.yaml, of a module or of a source reloads within a moment, whole or not at all:\n"
            "what is broken is shown, and the last good configuration goes on running. Where already the first build fails, it\n"
            "waits for a save and builds again. Settings: flags, then NEXUS_… variables, then nexus.yaml, then\n"
            "~/.config/nexus/config.yaml. Ctrl-C stops it after requests in flight are answered.",
    .flags = flags,
    .examples = examples,
    .run = run,
};
