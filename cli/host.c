/* host.c: starting and stopping a node in this process, and its signals. */
#include "host.h"
#include "nx/audit.h"
#include "nx/replay.h"
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

int nx_cli_host_start(const nx_cli *c, nx_config *cfg, bool is_dev, nx_node **ret)
{
    nx_error e = NX_ERROR_INIT;
    nx_node_options o = {.is_dev = is_dev, .version = nx_cli_version};
    o.extra_routes = nx_cli_host_routes(&o.n_extra_routes);
    o.job_kinds = nx_replay_job_kinds;
    o.n_job_kinds = nx_replay_n_job_kinds;
    o.part = &nx_audit_part;
    /* A client that goes away while it is answered must not end the node. */
    signal(SIGPIPE, SIG_IGN);
    nx_cli_progress *p = nx_cli_progress_begin(c, "starting the node");
    e.code = nx_node_start(&o, cfg, ret, &e);
    nx_cli_progress_end(p);
    if (e.code == NX_OK)
        return NX_CLI_OK;
    int code = nx_cli_fail_error(c, &e);
    if (e.code == NX_EEXIST && !c->json)
        fputs("another program has that address; --listen and --admin take another one, and port 0 a free one\n", stderr);
    return code;
}

static void end_at_once(int signal_number)
{
    (void)signal_number;
    _exit(nx_err_exit_code(NX_ECANCELED));
}

void nx_cli_host_stop(nx_node *node)
{
    struct sigaction act = {.sa_handler = end_at_once};
    sigemptyset(&act.sa_mask);
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    nx_node_stop(node);
}

/* ---- signals ---------------------------------------------------------------------------------------------------- */

#define N_SIGNALS 3

struct nx_cli_signals {
    uv_signal_t handles[N_SIGNALS];
    unsigned open_handles;
    void (*stop)(void *self);
    void (*hangup)(void *self);
    void *self;
};

static void on_signal(uv_signal_t *h, int number)
{
    nx_cli_signals *s = h->data;
    if (number == SIGHUP && s->hangup)
        s->hangup(s->self);
    else
        s->stop(s->self);
}

nx_err nx_cli_signals_new(struct uv_loop_s *loop, void (*stop)(void *self), void (*hangup)(void *self), void *self, nx_cli_signals **ret)
{
    static const int numbers[N_SIGNALS] = {SIGINT, SIGTERM, SIGHUP};
    nx_cli_signals *s = calloc(1, sizeof *s);
    if (!s)
        return NX_ENOMEM;
    *s = (nx_cli_signals){.stop = stop, .hangup = hangup, .self = self};
    for (unsigned i = 0; i < N_SIGNALS; i++) {
        if (uv_signal_init(loop, &s->handles[i]) != 0)
            continue;
        s->handles[i].data = s;
        s->open_handles++;
        uv_signal_start(&s->handles[i], on_signal, numbers[i]);
    }
    *ret = s;
    return NX_OK;
}

static void on_closed(uv_handle_t *h)
{
    nx_cli_signals *s = h->data;
    if (--s->open_handles == 0)
        free(s);
}

void nx_cli_signals_free(nx_cli_signals *s)
{
    for (unsigned i = 0; s && i < N_SIGNALS; i++) {
        if (s->handles[i].data)
            uv_close((uv_handle_t *)&s->handles[i], on_closed);
    }
}
