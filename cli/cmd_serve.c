/* cmd_serve.c: nexus serve. */
#include "cmds.h"
#include "host.h"
#include <stdlib.h>
#include <uv.h>

typedef struct serve {
    nx_cli *c;
    const char *file;
    nx_node *node;
    uv_loop_t loop;
} serve;

static void on_stop(void *self)
{
    uv_stop(&((serve *)self)->loop);
}

/* SIGHUP: the settings are read again, whole or not at all. */
static void on_hangup(void *self)
{
    serve *s = self;
    nx_config *cfg = NULL;
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(1u << 20);
    nx_error e = NX_ERROR_INIT;
    nx_err err = nx_cli_config_load(s->c, s->file, NX_CONFIG_NO_FUNCTIONS, &cfg, &text, &e);
    if (err == NX_OK) {
        err = nx_node_apply(s->node, cfg, &text, &e);
        nx_config_unref(cfg);
    }
    /* What a search that found nothing left in `e` is no news. */
    const char *otherwise = err == NX_OK ? "nothing changed" : e.msg;
    nx_log(err == NX_OK ? NX_LOG_INFO : NX_LOG_ERROR, err == NX_OK ? "config.applied" : "config.refused", "%s: %.*s",
           err == NX_OK ? "settings read again" : "settings not taken, the running ones stay",
           NX_SLICE_FMT(text.n ? nx_slice_trim(nx_buf_view(&text)) : nx_slice_cstr(otherwise)));
}

static int run(nx_cli *c)
{
    serve s = {.c = c, .file = nx_cli_flag_text(c, "config")};
    nx_config *cfg = NULL;
    nx_cli_signals *signals = NULL;
    int code = nx_cli_config_load_or_fail(c, s.file, NX_CONFIG_NO_FUNCTIONS, &cfg);
    if (code != NX_CLI_OK)
        return code;
    code = nx_cli_host_start(c, cfg, false, &s.node);
    nx_config_unref(cfg);
    if (code != NX_CLI_OK)
        return code;
    if (uv_loop_init(&s.loop) != 0 || nx_cli_signals_new(&s.loop, on_stop, s.file ? on_hangup : NULL, &s, &signals) != NX_OK) {
        nx_cli_host_stop(s.node);
        return nx_cli_fail(c, NX_ENOMEM, "cannot make an event loop");
    }
    uv_run(&s.loop, UV_RUN_DEFAULT);
    nx_log(NX_LOG_INFO, "node.stopping", "stopping: requests in flight are answered first");
    nx_cli_signals_free(signals);
    uv_run(&s.loop, UV_RUN_DEFAULT);
    uv_loop_close(&s.loop);
    nx_cli_host_stop(s.node);
    return NX_CLI_OK;
}

static const nx_cli_flag flags[] = {
    {.name = "config", .letter = 'c', .value = "FILE", .kind = NX_CLI_FILE, .help = "Settings in the form of nexus.yaml; its functions are not run."},
    NX_CLI_SETTING_FLAGS,
    {0},
};
static const nx_cli_example examples[] = {
    {"nexus serve --config /etc/nexus/node.yaml", "a node of a deployment; functions come by `nexus deploy`"},
    {"nexus serve --listen 0.0.0.0:8080 --data-dir /var/lib/nexus", "settings by flags"},
    {0},
};

const nx_cli_command nx_cli_cmd_serve = {
    .verb = "serve",
    .summary = "Run a node for deployed functions",
    .text = "Unlike dev, it runs what was deployed to it and nothing else. SIGTERM stops it after requests in flight are answered\n"
            "and runs are recorded; SIGHUP reads the file again. Settings: flags, then NEXUS_… variables, then the file, then\n"
            "~/.config/nexus/config.yaml.",
    .flags = flags,
    .examples = examples,
    .run = run,
};
