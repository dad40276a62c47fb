/* cmd_serve.c: nexus serve: one namespace, or several in one process. */
#include "cmds.h"
#include "host.h"
#include "nx/thread.h"
#include <uv.h>

typedef struct serve {
    nx_cli *c;
    nx_cli_host_files files; /* their settings as they run */
    nx_node *nodes[NX_CLI_HOST_MAX];
    uv_loop_t loop;
} serve;

static void on_stop(void *self)
{
    uv_stop(&((serve *)self)->loop);
}

/* The settings of a file are read again, whole or not at all. */
static void reload(serve *s, unsigned i)
{
    nx_cli_host_files *f = &s->files;
    nx_config *cfg = NULL;
    nx_config_issues issues = {0};
    const char *before = nx_thread_ns_set(f->n > 1 ? nx_thread_ns_name(f->cfgs[i]->ns) : NULL);
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(1u << 20);
    nx_error e = NX_ERROR_INIT;
    nx_err err = nx_cli_config_read(s->c, f->names[i], NX_CONFIG_NO_FUNCTIONS, &cfg, &issues, &e);
    if (err == NX_OK && i > 0)
        err = nx_cli_host_check((nx_config *const[]){f->cfgs[0], cfg}, 2, &issues);
    if (err == NX_OK)
        err = nx_node_apply(s->nodes[i], cfg, &text, &e);
    else
        (void)nx_config_issues_text(&issues, &text); /* without memory: what e says */
    nx_config_issues_done(&issues);
    if (err == NX_OK) {
        nx_config_unref(f->cfgs[i]);
        f->cfgs[i] = cfg;
    } else {
        nx_config_unref(cfg);
    }
    /* What a search that found nothing left in `e` is no news. */
    const char *otherwise = err == NX_OK ? "nothing changed" : e.msg;
    nx_log(err == NX_OK ? NX_LOG_INFO : NX_LOG_ERROR, err == NX_OK ? "config.applied" : "config.refused", "%s%s%s: %.*s",
           f->n > 1 ? f->names[i] : "", f->n > 1 ? ": " : "", err == NX_OK ? "settings read again" : "settings not taken, the running ones stay",
           NX_SLICE_FMT(text.n ? nx_slice_trim(nx_buf_view(&text)) : nx_slice_cstr(otherwise)));
    (void)nx_thread_ns_set(before);
}

/* SIGHUP */
static void on_hangup(void *self)
{
    serve *s = self;
    for (unsigned i = 0; i < s->files.n; i++)
        reload(s, i);
}

static int serve_files(serve *s)
{
    nx_cli *c = s->c;
    nx_cli_signals *signals = NULL;
    int code = nx_cli_host_files_load(c, &s->files, stderr);
    if (code == NX_CLI_OK)
        code = nx_cli_host_start(c, s->files.cfgs, s->files.n, false, s->nodes);
    if (code != NX_CLI_OK)
        return code;
    if (uv_loop_init(&s->loop) != 0 || nx_cli_signals_new(&s->loop, on_stop, s->files.names[0] ? on_hangup : NULL, s, &signals) != NX_OK) {
        nx_cli_host_stop(s->nodes, s->files.n);
        return nx_cli_fail(c, NX_ENOMEM, "cannot make an event loop");
    }
    uv_run(&s->loop, UV_RUN_DEFAULT);
    nx_log(NX_LOG_INFO, "node.stopping", "stopping: requests in flight are answered first");
    nx_cli_signals_free(signals);
    uv_run(&s->loop, UV_RUN_DEFAULT);
    uv_loop_close(&s->loop);
    nx_cli_host_stop(s->nodes, s->files.n);
    return NX_CLI_OK;
}

static int run(nx_cli *c)
{
    serve s = {.c = c};
    int code = serve_files(&s);
    nx_cli_host_files_done(&s.files);
    return code;
}

static const nx_cli_flag flags[] = {
    {.name = "config", .letter = 'c', .value = "FILE", .kind = NX_CLI_FILE, .is_many = true, .help = "Settings in the form of nexus.yaml; its functions are not run. Given several times: a namespace each."},
    NX_CLI_SETTING_FLAGS,
    {0},
};
static const nx_cli_example examples[] = {
    {"nexus serve --config /etc/nexus/node.yaml", "a node of a deployment; functions come by `nexus deploy`"},
    {"nexus serve --config shop.yaml --config lab.yaml", "two namespaces in one process, which share its cores by `priority.weight`"},
    {"nexus serve --listen 0.0.0.0:8080 --data-dir /var/lib/nexus", "settings by flags"},
    {0},
};

const nx_cli_command nx_cli_cmd_serve = {
    .verb = "serve",
    .summary = "Run a node for deployed functions",
    .text = "Unlike dev, it runs what was deployed to it and nothing else. SIGTERM stops it after requests in flight are answered\n"
            "and runs are recorded; SIGHUP reads the file again. Settings: flags, then NEXUS_… variables, then the file, then\n"
            "~/.config/nexus/config.yaml. With several files each is a namespace with listeners, data_dir and log of its own; `workers`,\n"
            "`warm_memory` and `log` belong to the process, and the first file's count.",
    .flags = flags,
    .examples = examples,
    .run = run,
};
