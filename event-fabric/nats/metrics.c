/* metrics.c: what the fabric counts. */
#include "fab_internal.h"

static double read_publishes(void *self)
{
    nx_fab *f = self;
    unsigned n;

    pthread_mutex_lock(&f->mu);
    n = f->n_inflight;
    pthread_mutex_unlock(&f->mu);
    return n;
}

static double read_messages(void *self)
{
    nx_fab *f = self;
    unsigned n;

    pthread_mutex_lock(&f->cmu);
    n = f->inflight;
    for (unsigned i = 0; i < f->n_consumers; i++)
        if (f->consumers[i] && f->consumers[i]->o.n_shards) /* ordered ones have a budget of their own */
            n += f->consumers[i]->inflight;
    pthread_mutex_unlock(&f->cmu);
    return n;
}

static double read_timers(void *self)
{
    nx_fab *f = self;
    double n = 0;

    pthread_mutex_lock(&f->mu);
    for (unsigned i = 0; i < f->n_ns; i++)
        if (f->ns[i])
            n += (double)nx_fab_timers_waiting(f->ns[i]);
    pthread_mutex_unlock(&f->mu);
    return n;
}

static double read_granted(void *self)
{
    nx_fab *f = self;
    unsigned n;

    pthread_mutex_lock(&f->cmu);
    n = f->granted;
    pthread_mutex_unlock(&f->cmu);
    return n;
}

static double read_ready(void *self) { return nx_fab_is_ready(self, NULL) ? 1 : 0; }

void nx_fab_metrics_start(nx_fab *f)
{
    static const char *const results[NX_FAB_RESULTS] = {"stored", "duplicate", "full", "unavailable", "refused"};
    nx_metrics *reg = f->o.metrics;
    nx_fab_metrics *m = &f->metrics;

    for (int i = 0; i < NX_FAB_RESULTS; i++) {
        nx_kv label = {NX_SLICE("result"), nx_slice_cstr(results[i])};

        m->publishes[i] = nx_obs_counter(reg, "nexus_log_publishes_total", "Publishes to the log, by how they ended.", 1, &label);
    }
    m->redelivered = nx_obs_counter(reg, "nexus_log_redeliveries_total", "Messages that came for the second time or later.", 0, NULL);
    m->reconnects = nx_obs_counter(reg, "nexus_log_reconnects_total", "Connections to the NATS server made anew.", 0, NULL);
    m->purged = nx_obs_counter(reg, "nexus_log_purges_total", "Times that old messages were purged from a stream.", 0, NULL);
    m->held = nx_obs_gauge(reg, "nexus_log_retention_held", "Namespaces whose old events are kept for a consumer that is far behind, or for a timer.", 0, NULL);
    m->fns[0] = nx_obs_gauge_fn(reg, "nexus_log_ready", "Whether the log takes events.", read_ready, f, 0, NULL);
    m->fns[1] = nx_obs_gauge_fn(reg, "nexus_log_publishes_in_flight", "Publishes that wait for their acknowledgement.", read_publishes, f, 0, NULL);
    m->fns[2] = nx_obs_gauge_fn(reg, "nexus_log_messages_in_flight", "Messages delivered and not yet finished.", read_messages, f, 0, NULL);
    m->fns[3] = nx_obs_gauge_fn(reg, "nexus_log_messages_granted", "Messages that the server may still send without being asked again.", read_granted, f, 0, NULL);
    m->fns[4] = nx_obs_gauge_fn(reg, "nexus_log_timers_waiting", "Timers that wait or are due: delayed events, retries, schedules. Counted every 10 seconds.", read_timers, f, 0, NULL);
}

void nx_fab_metrics_stop(nx_fab *f)
{
    for (size_t i = 0; i < NX_ARRAY_LEN(f->metrics.fns); i++)
        nx_obs_hide(f->o.metrics, f->metrics.fns[i]);
}

void nx_fab_metrics_publish(nx_fab *f, nx_err e, bool is_duplicate)
{
    int i = !e ? (is_duplicate ? NX_FAB_DUPLICATE : NX_FAB_STORED) : e == NX_EFULL  ? NX_FAB_FULL
                                                                 : e == NX_EUNAVAIL ? NX_FAB_UNAVAILABLE
                                                                                    : NX_FAB_REFUSED;

    nx_obs_inc(f->metrics.publishes[i]);
}
