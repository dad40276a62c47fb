/* ingress_metrics.c: the gateway's own counters, read at each scrape, so that requests pay for one plain store only. */
#include "ingress.h"

static double read_series(void *self)
{
    const nx_gw_series *s = self;
    uint64_t sum = 0;
    if (s->index == NX_GW_STAT_INDEX(connections))
        return atomic_load(&s->server->n_conns);
    if (s->index == NX_GW_STAT_INDEX(buffered_bytes))
        return (double)atomic_load(&s->server->budget.used);
    for (unsigned i = 0; i < s->server->n_loops; i++)
        sum += atomic_load_explicit(&s->server->loops[i].stats[s->index], memory_order_relaxed);
    return (double)sum;
}

void nx_gw_metrics_register(nx_gw *gw)
{
#define PLAIN(field, is_gauge, name, help)                  \
    {                                                       \
        NX_GW_STAT_INDEX(field), is_gauge, name, help, NULL \
    }
#define CLASS(n)                                                                                                                     \
    {                                                                                                                                \
        NX_GW_STAT_INDEX(responses) + (n), false, "nexus_http_responses_total", "Answers of the event listener by class of status.", \
            #n "xx"                                                                                                                  \
    }
    static const struct {
        size_t index;
        bool is_gauge;
        const char *name, *help, *class_of_status;
    } table[] = {
        PLAIN(connections, true, "nexus_http_connections", "Open connections of the event listener."),
        PLAIN(requests_in_flight, true, "nexus_http_requests_in_flight", "Requests that wait for the log or a function."),
        PLAIN(buffered_bytes, true, "nexus_http_buffered_bytes", "Bytes of request bodies that are held; bounded by max_buffered."),
        PLAIN(connections_total, false, "nexus_http_connections_total", "Connections accepted."),
        PLAIN(connections_refused, false, "nexus_http_connections_refused_total", "Connections over max_connections."),
        PLAIN(requests_total, false, "nexus_http_requests_total", "Requests whose head was read."),
        PLAIN(malformed_total, false, "nexus_http_malformed_total", "Requests refused as malformed or ambiguous."),
        PLAIN(timeouts_total, false, "nexus_http_timeouts_total", "Deadlines of heads, bodies, handshakes and answers that passed."),
        PLAIN(aborted_total, false, "nexus_http_aborted_total", "Clients that left before their answer."),
        PLAIN(bytes_in, false, "nexus_http_received_bytes_total", "Bytes received."),
        PLAIN(bytes_out, false, "nexus_http_sent_bytes_total", "Bytes sent."),
        CLASS(2),
        CLASS(3),
        CLASS(4),
        CLASS(5),
    };
#undef PLAIN
#undef CLASS
    _Static_assert(NX_ARRAY_LEN(table) == NX_GW_SERIES, "one series for each row");
    for (size_t i = 0; i < NX_GW_SERIES; i++) {
        nx_gw_series *s = &gw->series[i];
        nx_kv label = {NX_SLICE("class"), nx_slice_cstr(table[i].class_of_status)};
        unsigned n_labels = table[i].class_of_status ? 1 : 0;
        s->server = &gw->server;
        s->index = table[i].index;
        s->metric = table[i].is_gauge
                        ? nx_obs_gauge_fn(gw->metrics, table[i].name, table[i].help, read_series, s, n_labels, &label)
                        : nx_obs_counter_fn(gw->metrics, table[i].name, table[i].help, read_series, s, n_labels, &label);
    }
}

void nx_gw_metrics_hide(nx_gw *gw)
{
    for (size_t i = 0; gw->metrics && i < NX_GW_SERIES; i++)
        if (gw->series[i].metric)
            nx_obs_hide(gw->metrics, gw->series[i].metric);
}
