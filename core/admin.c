/* admin.c: the admin API of a node: health and functions. Lists are NDJSON, newest first; see docs/API_REFERENCE.md.
 * The table of routes is in admin_routes.c; versions and aliases are in admin_versions.c; reading events, runs and logs is in admin_read.c. */
#include "admin.h"
#include "dlq.h"
#include "fn.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define DLQ_READ_NS (300 * NX_NS_PER_MS) /* for a count on the side */

nx_err nx_core_admin_healthz(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    (void)self, (void)req, (void)reterr;
    nx_gw_resp_content_type(resp, "text/plain; charset=utf-8");
    return nx_buf_append_cstr(nx_gw_resp_body(resp), "ok\n");
}

nx_err nx_core_admin_readyz(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    (void)req, (void)reterr;
    nx_node *n = self;
    nx_error why = NX_ERROR_INIT;
    bool is_ready = nx_core_admin_is_ready(n, &why);
    nx_gw_resp_status(resp, is_ready ? 200 : 503);
    nx_jw w = NX_JW_INIT(nx_gw_resp_body(resp));
    nx_jw_object(&w);
    nx_jw_kcstr(&w, "status", is_ready ? "ready" : "not ready");
    if (!is_ready)
        nx_jw_kcstr(&w, "reason", why.msg);
    nx_jw_object_end(&w);
    return nx_jw_err(&w);
}

bool nx_core_admin_is_ready(nx_node *n, nx_error *ret_why)
{
    if (atomic_load(&n->is_draining)) {
        nx_error_set(ret_why, NX_EUNAVAIL, "stopping");
        return false;
    }
    if (atomic_load(&n->is_ready))
        return nx_fab_is_ready(n->fab, ret_why);
    pthread_mutex_lock(&n->tick_mu);
    nx_error_set(ret_why, NX_EUNAVAIL, "%s", n->start_state);
    pthread_mutex_unlock(&n->tick_mu);
    return false;
}

nx_err nx_core_admin_require_ready(nx_node *n, nx_error *reterr)
{
    nx_error why = NX_ERROR_INIT;
    /* A full log can still be read, and that is when people look; what has to be written fails by itself. */
    if (nx_core_admin_is_ready(n, &why) || why.code == NX_EFULL)
        return NX_OK;
    return nx_error_set(reterr, NX_EUNAVAIL, "%s", why.msg);
}

nx_err nx_core_admin_metrics(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    (void)req, (void)reterr;
    nx_node *n = self;
    if (atomic_load(&n->is_ready)) /* what is not read in time is counted the next time */
        nx_core_dlq_read(n, DLQ_READ_NS, NULL);
    pthread_rwlock_rdlock(&n->snap_mu);
    for (nx_core_slot *s = n->slots; s; s = s->next) {
        uint64_t pending, inflight;
        nx_core_slot_depth(s, &pending, &inflight);
        nx_obs_set(s->m_pending, (double)pending);
        if (!atomic_load(&n->is_ready))
            continue;
        nx_obs_set(s->m_paused, nx_core_pause_get(n->pauses, s->name, NULL));
        nx_obs_set(s->m_dlq, nx_core_dlq_count(n->dlq, s->name));
    }
    pthread_rwlock_unlock(&n->snap_mu);
    if (atomic_load(&n->is_ready))
        nx_obs_set(n->m_running, nx_core_dispatch_running(n->dispatch));
    nx_obs_set(n->m_waiting, nx_core_waiters_count(n->waiters));
    nx_gw_resp_content_type(resp, NX_METRICS_CONTENT_TYPE);
    return nx_metrics_expose(n->metrics, nx_gw_resp_body(resp));
}

static const char *durability_name(nx_durability d)
{
    return d == NX_DURABILITY_QUORUM ? "quorum" : d == NX_DURABILITY_POWER ? "power"
                                                                           : "process";
}

nx_err nx_core_admin_node(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    (void)req;
    nx_node *n = self;
    nx_err err = nx_core_admin_require_ready(n, reterr);
    if (err != NX_OK)
        return err;
    pthread_mutex_lock(&n->apply_mu);
    unsigned functions = 0;
    for (nx_core_slot *s = n->slots; s; s = s->next)
        functions++;
    nx_jw w = NX_JW_INIT(nx_gw_resp_body(resp));
    nx_jw_object(&w);
    nx_jw_kcstr(&w, "node", n->id.s);
    nx_jw_kcstr(&w, "version", n->opt.version);
    nx_jw_kcstr(&w, "engine", nx_rt_engine_linkage());
    nx_jw_ku64(&w, "pid", (uint64_t)getpid());
    nx_jw_kcstr(&w, "listen_url", n->url);
    nx_jw_kcstr(&w, "admin_url", n->admin_url);
    nx_jw_kstr(&w, "project", n->cfg->project);
    nx_jw_kstr(&w, "namespace", n->cfg->ns);
    nx_jw_kcstr(&w, "durability", durability_name(n->cfg->durability));
    nx_jw_kbool(&w, "dev", n->opt.is_dev);
    nx_jw_ku64(&w, "functions", functions);
    nx_jw_key(&w, "nats");
    nx_jw_object(&w);
    nx_jw_kbool(&w, "private", n->server != NULL);
    nx_jw_ku64(&w, "pid", n->server ? (uint64_t)nx_fab_server_pid(n->server) : 0);
    nx_jw_kcstr(&w, "version", nx_fab_server_version(n->fab));
    nx_jw_kbool(&w, "connected", nx_fab_is_ready(n->fab, NULL));
    nx_jw_object_end(&w);
    nx_jw_object_end(&w);
    pthread_mutex_unlock(&n->apply_mu);
    return nx_jw_err(&w);
}

/* ---- functions ------------------------------------------------------------------------------------------------------------ */

/* What share of its events which version gets. */
static void write_traffic(const nx_core_fn *fn, nx_jw *w)
{
    nx_core_split all;
    nx_core_split_all(&all, fn->version);
    nx_jw_key(w, "traffic");
    nx_core_split_to_json(fn->others ? &fn->others->split : &all, w);
}

nx_err nx_core_admin_functions(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    (void)req;
    nx_node *n = self;
    nx_err err = nx_core_admin_require_ready(n, reterr);
    if (err == NX_OK)
        nx_core_dlq_read(n, DLQ_READ_NS, NULL);
    nx_gw_resp_content_type(resp, NX_CORE_NDJSON);
    nx_buf *out = nx_gw_resp_body(resp);
    pthread_rwlock_rdlock(&n->snap_mu);
    for (nx_core_slot *s = n->slots; err == NX_OK && s; s = s->next) {
        nx_core_fn *fn = nx_core_slot_fn(s);
        if (!fn)
            continue;
        nx_jw w = NX_JW_INIT(out);
        nx_jw_object(&w);
        nx_jw_kstr(&w, "namespace", nx_fab_ns_name(n->ns));
        nx_jw_kcstr(&w, "name", fn->name);
        nx_jw_kcstr(&w, "version", fn->version);
        nx_jw_kcstr(&w, "artifact", fn->artifact);
        write_traffic(fn, &w);
        nx_jw_kcstr(&w, "origin", fn->is_project ? "project" : "registry");
        uint64_t pending, inflight;
        nx_core_slot_depth(s, &pending, &inflight);
        nx_jw_ku64(&w, "pending", pending);
        nx_jw_ku64(&w, "in_flight", inflight);
        nx_jw_ku64(&w, "dlq", nx_core_dlq_count(n->dlq, fn->name));
        nx_core_admin_pause_keys(n, fn->name, &w);
        nx_jw_key(&w, "triggers");
        nx_fn_config_triggers_to_json(fn->settings, &w);
        nx_jw_object_end(&w);
        err = nx_jw_err(&w);
        if (err == NX_OK)
            err = nx_buf_append_char(out, '\n');
        nx_core_fn_unref(fn);
    }
    pthread_rwlock_unlock(&n->snap_mu);
    return err;
}

/* ---- the listener ----------------------------------------------------------------------------------------------------------------------- */

nx_err nx_core_admin_openapi(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    (void)req;
    nx_node *n = self;
    nx_gw_openapi_info info = {.version = n->opt.version, .admin_url = n->admin_url, .events_url = atomic_load(&n->is_ready) ? n->url : ""};
    return nx_gw_openapi(n->admin_routes, n->n_admin_routes, &info, nx_gw_resp_body(resp), reterr);
}

nx_err nx_core_admin_start(nx_node *n, nx_error *reterr)
{
    unsigned own;
    const nx_gw_admin_route *own_routes = nx_core_admin_routes(&own);
    n->admin_routes = calloc(own + n->opt.n_extra_routes, sizeof *n->admin_routes);
    if (!n->admin_routes)
        return nx_error_set(reterr, NX_ENOMEM, "admin routes");
    n->n_admin_routes = own + n->opt.n_extra_routes;
    memcpy(n->admin_routes, own_routes, own * sizeof *own_routes);
    if (n->opt.n_extra_routes)
        memcpy(n->admin_routes + own, n->opt.extra_routes, n->opt.n_extra_routes * sizeof *own_routes);
    nx_gw_admin_options o = {.listen = {.address = n->cfg->admin}};
    nx_err err = nx_gw_admin_new(&o, n->admin_routes, n->n_admin_routes, n, &n->admin, reterr);
    if (err == NX_OK)
        err = nx_gw_admin_start(n->admin, reterr);
    if (err != NX_OK)
        return nx_error_prefix(reterr, "admin listener"), err;
    char address[NX_GW_ADDRESS_MAX];
    nx_gw_admin_bound_address(n->admin, address, sizeof address);
    snprintf(n->admin_url, sizeof n->admin_url, "http%s://%s", nx_gw_admin_is_tls(n->admin) ? "s" : "", address);
    return NX_OK;
}
