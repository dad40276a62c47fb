/* stop.c: a node ends: no new requests, requests in flight answered, runs finished, connections closed, threads joined. */
#include "core_internal.h"
#include "job_internal.h"
#include "keys.h"
#include "outbound.h"
#include "secrets.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define DRAIN_MS 8000u
#define RUNS_DRAIN_MS 8000u
#define CANCEL_MS 3000u

static void wait_for_runs(nx_node *n, uint64_t ms)
{
    uint64_t until = nx_clock_ns() + ms * NX_NS_PER_MS;
    while (n->dispatch && nx_core_dispatch_running(n->dispatch) && nx_clock_ns() < until) {
        struct timespec t = {0, 5 * (long)NX_NS_PER_MS};
        nanosleep(&t, NULL);
    }
}

static void drain(nx_node *n)
{
    n->is_drained = true;
    nx_job_board_stop(n->board);
    if (n->gw) { /* requests in flight are answered while the functions still run */
        nx_gw_drain(n->gw, DRAIN_MS);
        atomic_store(&n->is_draining, true);
        nx_core_waiters_fail_all(n->waiters);
        nx_gw_stop(n->gw);
    }
    atomic_store(&n->is_draining, true);
    if (n->ns)
        nx_core_registry_clear(n);
    nx_core_batches_close(n);
    /* What does not end in time is interrupted; its events are delivered again, here or elsewhere. */
    wait_for_runs(n, RUNS_DRAIN_MS);
    nx_core_again_close(n->dispatch);
    if (n->group)
        nx_rt_group_cancel(n->group);
    if (nx_core_part(n))
        n->opt.part->stop(nx_core_part(n));
    nx_core_outbound_cancel(n->outbound);
    if (n->admin) /* now: it waits for its handlers, and a replay in one of them may run for minutes */
        nx_gw_admin_stop(n->admin, 2000);
    nx_job_board_free(n->board); /* its work was interrupted, and nobody asks for it any more */
    wait_for_runs(n, CANCEL_MS);
    nx_core_jobs_stop(n->jobs);
    wait_for_runs(n, CANCEL_MS);
    nx_core_keys_stop(n->keys);
    if (n->group)
        nx_rt_group_wait(n->group);
}

void nx_node_drain(nx_node *n)
{
    const char *before = nx_thread_ns_set(n->thread_ns);
    if (!n->is_drained)
        drain(n);
    (void)nx_thread_ns_set(before);
}

void nx_node_stop(nx_node *n)
{
    if (!n)
        return;
    char path[sizeof n->data_dir + 16];
    nx_node_drain(n);
    const char *before = nx_thread_ns_set(n->thread_ns);
    nx_rt_group_free(n->group);
    if (!n->opt.beside)
        nx_rt_free(n->rt);
    nx_core_outbound_free(n->outbound);
    nx_fab_ns_close(n->ns);
    nx_fab_close(n->fab);
    nx_fab_server_stop(n->server);
    nx_gw_free(n->gw);
    nx_gw_admin_free(n->admin);
    free(n->admin_routes);
    if (n->has_tick) {
        pthread_mutex_lock(&n->tick_mu);
        n->tick_stop = true;
        pthread_cond_signal(&n->tick_cv);
        pthread_mutex_unlock(&n->tick_mu);
        pthread_join(n->tick_thread, NULL);
    }
    nx_core_jobs_free(n->jobs);
    nx_core_dispatch_free(n->dispatch);
    nx_core_batches_free(n->batches);
    nx_core_keys_free(n->keys);
    if (nx_core_part(n))
        n->opt.part->free(nx_core_part(n));
    nx_core_pauses_free(n->pauses);
    nx_core_changed_free(n->changed);
    nx_core_secrets_free(n->secrets);
    nx_core_dlq_free(n->dlq);
    nx_core_unheards_free(n->unheards);
    nx_core_waiters_free(n->waiters);
    nx_core_journal_close(n->journal);
    snprintf(path, sizeof path, "%s/node.json", n->data_dir);
    if (n->admin_url[0])
        unlink(path);
    if (n->log && !n->opt.beside) {
        nx_log_set_sink((nx_log_sink){0});
        nx_obs_log_stop(n->log);
        nx_obs_log_free(n->log);
    }
    nx_metrics_free(n->metrics);
    if (n->lock_fd >= 0)
        close(n->lock_fd);
    pthread_cond_destroy(&n->tick_cv);
    pthread_mutex_destroy(&n->tick_mu);
    pthread_mutex_destroy(&n->apply_mu);
    pthread_rwlock_destroy(&n->snap_mu);
    nx_config_unref(n->cfg);
    free(n);
    (void)nx_thread_ns_set(before);
}
