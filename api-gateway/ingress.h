/* ingress.h: events in: from a request to nx_ingest_ops and back to an answer.
 * Ownership: an exchange and its items lie in the connection's arena; the node has an item's nx_ingest from publish() to done().
 * Threads:   the connection's loop; ingest_done() any. */
#ifndef NX_GW_INGRESS_H
#define NX_GW_INGRESS_H
#include "cloudevent.h"
#include "prefer.h"
#include "server.h"

#define NX_GW_SERIES 15

/* A number of nx_gw_stats as a metric. */
typedef struct nx_gw_series {
    nx_gw_server *server;
    size_t index; /* into nx_gw_stats, as uint64_t */
    nx_metric *metric;
} nx_gw_series;

struct nx_gw {
    nx_gw_server server;
    nx_metrics *metrics;
    nx_gw_series series[NX_GW_SERIES];
    nx_metric *seconds; /* from a whole request to its answer */
    const nx_ingest_ops *ops;
    void *ops_self;
    nx_slice ns, default_source;
    char *strings[2];
    bool is_strict, is_batch_enabled;
};

typedef struct nx_gw_exchange nx_gw_exchange;

typedef struct nx_gw_item {
    nx_ingest in;
    nx_gw_exchange *exchange;
    bool is_done;
} nx_gw_item;

/* One request on its way. */
struct nx_gw_exchange {
    nx_gw *gw;
    nx_gw_conn *conn;
    nx_ingest_route route;
    nx_gw_event_mode mode;
    nx_gw_prefer prefer;
    nx_slice idempotency_key;
    uint64_t deliver_wall_ns; /* 0: now */
    bool wants_wait;
    uint32_t wait_ms;
    nx_gw_item *items;
    unsigned n_items, n_pending;
    uint64_t begin_ns;
};

/* ingress.c: from the head to publish() */
extern const nx_gw_app nx_gw_ingress_app;

/* delay.c */
#define NX_GW_DELAY_MAX_DAYS 365u
bool nx_gw_take_delay(nx_gw_conn *c, uint64_t now_wall_ns, uint64_t *ret, nx_gw_fault *f);

/* ingress_answer.c: from done() to the client */
void nx_gw_ingress_answer(nx_gw_exchange *x);

/* ingress_metrics.c */
void nx_gw_metrics_register(nx_gw *gw);
void nx_gw_metrics_hide(nx_gw *gw);
#endif
