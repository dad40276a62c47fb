/* first_build.c: see first_build.h. */
#include "first_build.h"
#include "host.h"
#include "tools.h"
#include "watch.h"
#include <string.h>
#include <uv.h>

typedef struct waiting {
    const char *file;
    const nx_config *cfg;
    uint64_t seen; /* fingerprint of what the failed build was made from */
    uv_loop_t loop;
    nx_cli_watch *watch;
    bool is_saved;
} waiting;

static uint64_t fingerprint(uint64_t of_file, const nx_config *cfg)
{
    uint64_t h = of_file;
    for (unsigned i = 0; i < cfg->n_functions; i++) {
        nx_cli_sources s = {0};
        if (cfg->functions[i].build_command.n)
            nx_cli_sources_scan(cfg, &cfg->functions[i], &s);
        h = h * 31 + s.fingerprint;
    }
    return h;
}

static void watch_folder(void *self, const char *folder)
{
    nx_cli_watch_folder(self, folder);
}

static void watch_all(waiting *w)
{
    char folder[NX_CLI_PATH_BYTES];
    const char *slash = strrchr(w->file, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - w->file) + 1 : 1, slash ? w->file : ".");
    nx_cli_watch_begin(w->watch);
    nx_cli_watch_folder(w->watch, folder);
    for (unsigned i = 0; i < w->cfg->n_functions; i++) {
        if (w->cfg->functions[i].build_command.n)
            nx_cli_sources_folders(w->cfg, &w->cfg->functions[i], watch_folder, w->watch);
    }
    nx_cli_watch_end(w->watch);
}

static void on_change(void *self)
{
    waiting *w = self;
    uint64_t of_file = nx_cli_file_fingerprint(w->file);
    watch_all(w);
    /* No file at all: between the two halves of a save. */
    if (of_file == 0 || fingerprint(of_file, w->cfg) == w->seen)
        return;
    w->is_saved = true;
    uv_stop(&w->loop);
}

static void on_signal(void *self)
{
    uv_stop(&((waiting *)self)->loop);
}

/* The exit code: 0 after a save, that of an interruption after a signal. */
static int wait_for_save(const nx_cli *c, const char *file, const nx_config *cfg, uint64_t seen)
{
    waiting w = {.file = file, .cfg = cfg, .seen = seen};
    nx_cli_signals *signals = NULL;
    nx_error e = NX_ERROR_INIT;
    if (uv_loop_init(&w.loop) != 0)
        return nx_cli_fail(c, NX_ENOMEM, "cannot make an event loop");
    if (nx_cli_watch_new(&w.loop, on_change, &w, &w.watch, &e) == NX_OK &&
        (e.code = nx_cli_signals_new(&w.loop, on_signal, NULL, &w, &signals)) == NX_OK) {
        fputs("waiting for the next save of a source or of nexus.yaml; Ctrl-C ends\n", stderr);
        on_change(&w); /* what was saved during the build */
        uv_run(&w.loop, UV_RUN_DEFAULT);
    }
    nx_cli_signals_free(signals);
    nx_cli_watch_free(w.watch);
    uv_run(&w.loop, UV_RUN_DEFAULT);
    uv_loop_close(&w.loop);
    if (e.code != NX_OK)
        return nx_cli_fail(c, NX_ENOMEM, "cannot watch the project");
    return w.is_saved ? NX_CLI_OK : nx_err_exit_code(NX_ECANCELED);
}

static bool lacks_tools(const nx_config *cfg)
{
    nx_cli_tools tools;
    char missing[768] = "";
    nx_cli_tools_find(&tools);
    for (unsigned i = 0; i < cfg->n_functions && !missing[0]; i++) {
        nx_slice command = cfg->functions[i].build_command;
        if (command.n)
            nx_cli_tools_missing(&tools, command, cfg->functions[i].build_workdir, missing, sizeof missing);
        if (command.n && !missing[0])
            nx_cli_tools_suspected(&tools, command, missing, sizeof missing);
    }
    return missing[0] != '\0';
}

int nx_cli_first_build(const nx_cli *c, const char *file, nx_config **cfg, uint64_t *fingerprint_of_file)
{
    bool is_good = true;
    for (;;) {
        uint64_t seen = fingerprint(*fingerprint_of_file, *cfg);
        int code = is_good ? nx_cli_build_all(c, *cfg, NULL, 0, false, NULL) : NX_CLI_FAILED;
        if (code == NX_CLI_OK || code == nx_err_exit_code(NX_ECANCELED) || (is_good && lacks_tools(*cfg)))
            return code;
        code = wait_for_save(c, file, *cfg, seen);
        if (code != NX_CLI_OK)
            return code;
        uint64_t now = nx_cli_file_fingerprint(file);
        if (now == *fingerprint_of_file)
            continue;
        nx_config *next = NULL;
        *fingerprint_of_file = now;
        is_good = nx_cli_config_load_or_fail(c, file, 0, &next) == NX_CLI_OK;
        if (is_good) {
            nx_config_unref(*cfg);
            *cfg = next;
        }
    }
}
