/* outbound.c: requests of functions to the outside: started when first needed, counted by outcome. */
#include "outbound.h"
#include "nx/outbound.h"
#include <stdio.h>
#include <stdlib.h>

struct nx_core_outbound {
    pthread_mutex_t mu; /* guards http and is_canceled */
    nx_outbound *http;  /* NULL until the first request */
    bool is_canceled;
    unsigned max_in_flight, connect_timeout_ms;
    char ca_file[4096]; /* "": the system's authorities alone */
    nx_metric *m_requests[NX_OUTBOUND_OUTCOMES], *m_duration;
};

static double in_flight(void *self)
{
    nx_core_outbound *o = self;
    unsigned flying = 0, waiting = 0;
    pthread_mutex_lock(&o->mu);
    if (o->http)
        nx_outbound_depth(o->http, &flying, &waiting);
    pthread_mutex_unlock(&o->mu);
    return flying + waiting;
}

static void make_metrics(nx_core_outbound *o, nx_metrics *metrics)
{
    for (unsigned i = 0; i < NX_OUTBOUND_OUTCOMES; i++) {
        nx_kv label = {NX_SLICE("outcome"), nx_slice_cstr(nx_outbound_outcome_name((nx_outbound_outcome)i))};
        o->m_requests[i] = nx_obs_counter(metrics, "nexus_outbound_requests_total", "HTTP requests of functions, by how they ended.", 1, &label);
    }
    o->m_duration = nx_obs_histogram(metrics, "nexus_outbound_request_duration_seconds", "From a function's HTTP request to its answer, redirects and waiting included.",
                                     NULL, 0, 0, NULL);
    nx_obs_gauge_fn(metrics, "nexus_outbound_requests_in_progress", "HTTP requests of functions that are under way or wait for a place.", in_flight, o, 0, NULL);
}

nx_err nx_core_outbound_new(const nx_config *cfg, nx_metrics *metrics, nx_core_outbound **ret, nx_error *reterr)
{
    nx_core_outbound *o = calloc(1, sizeof *o);
    if (!o)
        return nx_error_set(reterr, NX_ENOMEM, "outbound HTTP");
    pthread_mutex_init(&o->mu, NULL);
    o->max_in_flight = cfg->outbound_max_in_flight;
    o->connect_timeout_ms = (unsigned)(cfg->outbound_connect_timeout_ns / NX_NS_PER_MS);
    snprintf(o->ca_file, sizeof o->ca_file, "%.*s", NX_SLICE_FMT(cfg->outbound_ca));
    make_metrics(o, metrics);
    *ret = o;
    return NX_OK;
}

void nx_core_outbound_cancel(nx_core_outbound *o)
{
    if (!o)
        return;
    pthread_mutex_lock(&o->mu);
    o->is_canceled = true;
    if (o->http)
        nx_outbound_cancel(o->http);
    pthread_mutex_unlock(&o->mu);
}

void nx_core_outbound_free(nx_core_outbound *o)
{
    if (!o)
        return;
    nx_outbound_stop(o->http);
    pthread_mutex_destroy(&o->mu);
    free(o);
}

static nx_err get_http(nx_core_outbound *o, nx_outbound **ret, nx_error *reterr)
{
    nx_outbound_options options = {.max_in_flight = o->max_in_flight, .max_waiting = 4 * o->max_in_flight, .connect_timeout_ms = o->connect_timeout_ms, .ca_file = o->ca_file[0] ? o->ca_file : NULL};
    pthread_mutex_lock(&o->mu);
    nx_err err = o->is_canceled ? NX_ECANCELED : NX_OK;
    if (!err && !o->http)
        err = nx_outbound_start(&options, &o->http, reterr);
    *ret = o->http;
    pthread_mutex_unlock(&o->mu);
    return err;
}

nx_err nx_core_outbound_request(nx_core_outbound *o, const nx_effect_call *c, nx_slice request, nx_error *reterr)
{
    nx_outbound *http;
    nx_err err = get_http(o, &http, reterr);
    if (err)
        return err;
    nx_outbound_call call = {
        .request = request,
        .grants = c->grants->outbound_hosts,
        .n_grants = c->grants->n_outbound_hosts,
        .trace = c->trace,
        .deadline_ns = c->deadline_ns,
        .max_body_bytes = NX_EFFECT_ANSWER_BYTES - NX_OUTBOUND_HEAD_BYTES,
    };
    uint64_t begin_ns = nx_clock_ns();
    err = nx_outbound_request(http, &call, c->answer, reterr);
    nx_obs_inc(o->m_requests[nx_outbound_outcome_of(err)]);
    nx_obs_observe_ns(o->m_duration, nx_clock_ns() - begin_ns);
    return err;
}
