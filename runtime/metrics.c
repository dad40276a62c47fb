/* metrics.c: what the runtime tells of itself. Runs by outcome are the node's to count; here stand the queue, the slots and the engine. */
#include "rt_internal.h"

static double read_queued(void *self)
{
    unsigned queued, running;
    nx_rt_depth(self, &queued, &running);
    return queued;
}

static double read_running(void *self)
{
    unsigned queued, running;
    nx_rt_depth(self, &queued, &running);
    return running;
}

static double read_threads(void *self)
{
    nx_rt_workers *w = &((nx_rt *)self)->workers;
    (void)pthread_mutex_lock(&w->mu);
    unsigned n = w->n_threads;
    (void)pthread_mutex_unlock(&w->mu);
    return n;
}

static double read_mapped(void *self)
{
    nx_rt *r = self;
    (void)pthread_mutex_lock(&r->programs_mu);
    unsigned n = r->n_mapped;
    (void)pthread_mutex_unlock(&r->programs_mu);
    return n;
}

static double read_mapped_bytes(void *self)
{
    nx_rt *r = self;
    (void)pthread_mutex_lock(&r->programs_mu);
    uint64_t n = r->mapped_bytes;
    (void)pthread_mutex_unlock(&r->programs_mu);
    return (double)n;
}

void nx_rt_metrics_open(nx_rt *r, nx_metrics *registry)
{
    nx_rt_metrics *m = &r->metrics;
    m->registry = registry;
    m->queued = nx_obs_gauge_fn(registry, "nexus_worker_queue_depth", "Attempts that wait for a running slot.", read_queued, r, 0, NULL);
    m->running = nx_obs_gauge_fn(registry, "nexus_worker_running", "Attempts in a running slot.", read_running, r, 0, NULL);
    m->threads = nx_obs_gauge_fn(registry, "nexus_worker_threads", "Threads that run attempts, waiting ones among them.", read_threads, r, 0, NULL);
    m->mapped = nx_obs_gauge_fn(registry, "nexus_modules_mapped", "Compiled modules that are mapped.", read_mapped, r, 0, NULL);
    m->mapped_bytes = nx_obs_gauge_fn(registry, "nexus_modules_mapped_bytes", "What mapped modules count for against `warm_memory`.", read_mapped_bytes, r, 0, NULL);
    m->refused = nx_obs_counter(registry, "nexus_worker_refused_total", "Attempts refused because the queue was full.", 0, NULL);
    m->compile = nx_obs_histogram(registry, "nexus_module_compile_seconds", "Time to compile a module in a child.", NULL, 0, 0, NULL);
}

void nx_rt_metrics_close(nx_rt *r)
{
    nx_rt_metrics *m = &r->metrics;
    nx_metric *const read[] = {m->queued, m->running, m->threads, m->mapped, m->mapped_bytes};
    if (!m->registry) return;
    for (size_t i = 0; i < NX_ARRAY_LEN(read); i++)
        if (read[i]) nx_obs_hide(m->registry, read[i]);
}
