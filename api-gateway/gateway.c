/* gateway.c: nx_gw: the listener for events as nx/gateway.h shows it. */
#include <stdio.h>
#include <stdlib.h>

#include "ingress.h"
#include "nx/log.h"

static bool copy_text(char **ret, nx_slice text, const char *otherwise, nx_slice *ret_slice)
{
    *ret = nx_slice_strdup(text.n > 0 ? text : nx_slice_cstr(otherwise));
    *ret_slice = nx_slice_cstr(*ret);
    return *ret != NULL;
}

nx_err nx_gw_new(const nx_gw_options *o, nx_gw **ret, nx_error *reterr)
{
    nx_gw *gw = calloc(1, sizeof *gw);

    if (!gw)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    gw->ops = o->ops;
    gw->ops_self = o->ops_self;
    gw->metrics = o->metrics;
    gw->is_strict = o->is_strict;
    gw->is_batch_enabled = o->is_batch_enabled;
    if (!copy_text(&gw->strings[0], o->ns, "default", &gw->ns) ||
        !copy_text(&gw->strings[1], o->default_source, NX_GW_DEFAULT_SOURCE, &gw->default_source)) {
        free(gw->strings[0]);
        free(gw->strings[1]);
        free(gw);
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    }
    nx_err err = nx_gw_server_init(&gw->server, &o->listen, "nx-gw-%u", &nx_gw_ingress_app, gw, reterr);
    if (err != NX_OK) {
        free(gw->strings[0]);
        free(gw->strings[1]);
        free(gw);
        return err;
    }
    gw->seconds = nx_obs_histogram(gw->metrics, "nexus_http_request_duration_seconds",
                                   "From a whole request to its answer: storing, and waiting where asked for.", NULL, 0, 0, NULL);
    *ret = gw;
    return NX_OK;
}

nx_err nx_gw_start(nx_gw *gw, nx_error *reterr)
{
    nx_err err = nx_gw_server_start(&gw->server, reterr);
    if (err != NX_OK)
        return err;
    nx_gw_metrics_register(gw);
    nx_log(NX_LOG_DEBUG, "gateway.listening", "events at http%s://%s, %u loops", gw->server.tls ? "s" : "",
           gw->server.bound, gw->server.n_loops);
    return NX_OK;
}

void nx_gw_bound_address(const nx_gw *gw, char *ret, size_t size)
{
    (void)snprintf(ret, size, "%s", gw->server.bound);
}

bool nx_gw_is_tls(const nx_gw *gw)
{
    return gw->server.tls != NULL;
}

unsigned nx_gw_connection_count(const nx_gw *gw)
{
    return atomic_load(&gw->server.n_conns);
}

nx_err nx_gw_drain(nx_gw *gw, uint32_t deadline_ms)
{
    return nx_gw_server_drain(&gw->server, deadline_ms);
}

void nx_gw_stop(nx_gw *gw)
{
    nx_gw_server_stop(&gw->server);
}

void nx_gw_free(nx_gw *gw)
{
    if (!gw)
        return;
    nx_gw_metrics_hide(gw);
    nx_gw_server_done(&gw->server);
    free(gw->strings[0]);
    free(gw->strings[1]);
    free(gw);
}

void nx_gw_get_stats(const nx_gw *gw, nx_gw_stats *ret)
{
    nx_gw_server_stats(&gw->server, ret);
}
