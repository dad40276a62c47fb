/* host.c: starting and stopping the nodes of this process, and its signals. */
#include "host.h"
#include "nx/audit.h"
#include "nx/replay.h"
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>
#include <uv.h>

/* A signal came while some nodes ran and others had not started. */
static atomic_bool is_ended, is_hung_up;

static void end_at_once(int signal_number)
{
    (void)signal_number;
    _exit(nx_err_exit_code(NX_ECANCELED));
}

static void on_early_signal(int number)
{
    if (number == SIGHUP)
        atomic_store(&is_hung_up, true);
    else if (atomic_exchange(&is_ended, true))
        end_at_once(number);
}

static void handle(int number, void (*handler)(int))
{
    struct sigaction act = {.sa_handler = handler, .sa_flags = SA_RESTART};
    sigemptyset(&act.sa_mask);
    sigaction(number, &act, NULL);
}

/* Some may be ready, and have something to drain, while others wait for their servers. */
static void handle_early_signals(void)
{
    handle(SIGINT, on_early_signal);
    handle(SIGTERM, on_early_signal);
    handle(SIGHUP, on_early_signal);
}

/* One node's start, on a thread of its own. */
typedef struct start {
    nx_node *node;
    nx_error e;
    bool is_given_up; /* it waited when the start was over: for a signal, or for another one's failure */
} start;

static void *start_main(void *self)
{
    start *s = self;
    s->e.code = nx_node_start(s->node, &s->e);
    if (s->e.code != NX_OK) /* nobody waits for servers any more */
        s->is_given_up = atomic_exchange(&is_ended, true) && s->e.code == NX_EUNAVAIL;
    return NULL;
}

static int fail(const nx_cli *c, const nx_config *cfg, bool is_shared, nx_error *e)
{
    if (is_shared)
        nx_error_prefix(e, "%.*s", NX_SLICE_FMT(cfg->path));
    int code = nx_cli_fail_error(c, e);
    if (e->code == NX_EEXIST && !c->json)
        fputs(is_shared ? "another program has that address; write another one into the file, or port 0 for a free one\n"
                        : "another program has that address; --listen and --admin take another one, and port 0 a free one\n",
              stderr);
    return code;
}

/* All at the same time: who waits for servers keeps nobody else from serving. */
static int start_all(const nx_cli *c, nx_config *const *cfgs, unsigned n, nx_node *const *nodes)
{
    start starts[NX_CLI_HOST_MAX];
    pthread_t threads[NX_CLI_HOST_MAX];
    bool has_thread[NX_CLI_HOST_MAX] = {0};
    int code = NX_CLI_OK;
    for (unsigned i = 0; i < n; i++) {
        starts[i] = (start){.node = nodes[i], .e = NX_ERROR_INIT};
        has_thread[i] = i > 0 && pthread_create(&threads[i], NULL, start_main, &starts[i]) == 0;
    }
    for (unsigned i = 0; i < n; i++) {
        if (!has_thread[i])
            start_main(&starts[i]);
    }
    for (unsigned i = 0; i < n; i++) {
        if (has_thread[i])
            pthread_join(threads[i], NULL);
        if (starts[i].e.code == NX_OK)
            continue;
        int failed = starts[i].is_given_up ? nx_cli_fail(c, NX_ECANCELED, "%.*s: stopped before it was ready", NX_SLICE_FMT(cfgs[i]->path))
                                           : fail(c, cfgs[i], n > 1, &starts[i].e);
        if (code == NX_CLI_OK || !starts[i].is_given_up)
            code = failed;
    }
    return code;
}

int nx_cli_host_start(const nx_cli *c, nx_config *const *cfgs, unsigned n, bool is_dev, nx_node **ret)
{
    nx_node_options o = {.is_dev = is_dev, .version = nx_cli_version, .is_shared = n > 1, .is_ended = &is_ended};
    o.extra_routes = nx_cli_host_routes(&o.n_extra_routes);
    o.job_kinds = nx_replay_job_kinds;
    o.n_job_kinds = nx_replay_n_job_kinds;
    o.part = &nx_audit_part;
    /* A client that goes away while it is answered must not end the node. */
    signal(SIGPIPE, SIG_IGN);
    nx_cli_progress *p = nx_cli_progress_begin(c, "starting the node");
    int code = NX_CLI_OK;
    unsigned made = 0;
    for (; made < n && code == NX_CLI_OK; made += code == NX_CLI_OK) {
        nx_error e = NX_ERROR_INIT;
        o.beside = made ? ret[0] : NULL;
        e.code = nx_node_new(&o, cfgs[made], &ret[made], &e);
        if (e.code != NX_OK)
            code = fail(c, cfgs[made], n > 1, &e);
    }
    if (code == NX_CLI_OK && n > 1) /* with one node there is nothing to drain before it is ready */
        handle_early_signals();
    if (code == NX_CLI_OK)
        code = start_all(c, cfgs, n, ret);
    nx_cli_progress_end(p);
    if (code != NX_CLI_OK && made)
        nx_cli_host_stop(ret, made);
    return code;
}

static void *stop_main(void *node)
{
    nx_node_stop(node);
    return NULL;
}

void nx_cli_host_stop(nx_node *const *nodes, unsigned n)
{
    pthread_t threads[NX_CLI_HOST_MAX];
    bool has_thread[NX_CLI_HOST_MAX] = {0};
    handle(SIGINT, end_at_once);
    handle(SIGTERM, end_at_once);
    handle(SIGHUP, SIG_IGN);
    for (unsigned i = 1; i < n; i++)
        has_thread[i] = pthread_create(&threads[i], NULL, stop_main, nodes[i]) == 0;
    nx_node_drain(nodes[0]);
    for (unsigned i = 1; i < n; i++) {
        if (has_thread[i])
            pthread_join(threads[i], NULL);
        else
            nx_node_stop(nodes[i]);
    }
    nx_node_stop(nodes[0]); /* the others use its runtime */
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
    if (atomic_load(&is_hung_up) && hangup) /* what came before is not lost */
        hangup(self);
    if (atomic_load(&is_ended))
        stop(self);
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
