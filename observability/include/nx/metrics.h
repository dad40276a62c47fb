/* nx/metrics.h: the registry of metrics and its Prometheus text form.
 * Why:       every layer counts what it does; a scrape must not disturb the hot path, and a hot counter must not be shared between cores.
 * Ownership: the registry owns all metrics until nx_metrics_free(). Names, help texts and labels are copied.
 * Threads:   registration, updates and exposition from any thread. Updates are relaxed atomics on the thread's own shard.
 * Errors:    registration gives NULL when the registry is full or out of memory, or the name, type or labels are wrong (asserted for names: our own
 *            bug). A NULL metric is accepted by every function and ignored, so callers need no checks.
 * Source:    Prometheus text format 0.0.4; names with base units: _seconds, _bytes, _total. */
#ifndef NX_METRICS_H
#define NX_METRICS_H
#include "nx/buf.h"

typedef struct nx_metrics nx_metrics; /* the registry */
typedef struct nx_metric nx_metric;   /* one series: a name with a set of label values */

#define NX_METRICS_SERIES_MAX 20000 /* default bound */
#define NX_METRICS_LABELS_MAX 8
#define NX_METRICS_BUCKETS_MAX 32
#define NX_METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

nx_err nx_metrics_new(unsigned max_series, nx_metrics **ret); /* 0: NX_METRICS_SERIES_MAX */
void nx_metrics_free(nx_metrics *reg);

/* A series is registered once; asking again for the same name and labels gives the same metric. reg may be NULL (gives NULL).
 * Label names of one metric name must be the same in all of its series; values are any UTF-8. */
nx_metric *nx_obs_counter(nx_metrics *reg, const char *name, const char *help, unsigned n_labels, const nx_kv *labels);
nx_metric *nx_obs_gauge(nx_metrics *reg, const char *name, const char *help, unsigned n_labels, const nx_kv *labels);
/* bounds: upper bounds of the buckets, rising, without +Inf; NULL: nx_obs_seconds_bounds. */
nx_metric *nx_obs_histogram(nx_metrics *reg, const char *name, const char *help, const double *bounds, unsigned n_bounds, unsigned n_labels,
                            const nx_kv *labels);
/* Read at each scrape, on the scraping thread, with the registry locked: read() may not register or scrape. */
nx_metric *nx_obs_gauge_fn(nx_metrics *reg, const char *name, const char *help, double (*read)(void *self), void *self, unsigned n_labels,
                           const nx_kv *labels);
nx_metric *nx_obs_counter_fn(nx_metrics *reg, const char *name, const char *help, double (*read)(void *self), void *self, unsigned n_labels,
                             const nx_kv *labels);
/* Takes a series out of the exposition, for good: after this read() is not called any more. The metric may still be updated, without effect. */
void nx_obs_hide(nx_metrics *reg, nx_metric *m);

#define NX_OBS_SECONDS_BOUNDS 17
extern const double nx_obs_seconds_bounds[NX_OBS_SECONDS_BOUNDS]; /* 50 us to 60 s */

void nx_obs_add(nx_metric *m, uint64_t v);     /* counter */
void nx_obs_inc(nx_metric *m);                 /* counter */
void nx_obs_set(nx_metric *m, double v);       /* gauge */
void nx_obs_gauge_add(nx_metric *m, double v); /* gauge; negative: down */
void nx_obs_observe(nx_metric *m, double v);   /* histogram: seconds or bytes */
static inline void nx_obs_observe_ns(nx_metric *m, uint64_t ns) { nx_obs_observe(m, (double)ns * 1e-9); }
/* What it stands at: the value of a counter or gauge, the count of a histogram. For tests and for the node's own reports. */
double nx_obs_value(const nx_metric *m);

/* Appends the whole exposition; NX_ELIMIT, NX_ENOMEM from out. */
nx_err nx_metrics_expose(nx_metrics *reg, nx_buf *out);
#endif
