/* metrics_internal.h: what the registry, the updates and the exposition share.
 * Threads: families and series are only added, under reg->mu; values are atomics. */
#ifndef NX_METRICS_INTERNAL_H
#define NX_METRICS_INTERNAL_H
#include <pthread.h>
#include <stdatomic.h>

#include "nx/arena.h"
#include "nx/metrics.h"

#define NX_METRICS_SHARDS_MAX 8u

typedef enum { NX_METRIC_COUNTER,
               NX_METRIC_GAUGE,
               NX_METRIC_HISTOGRAM } nx_metric_type;

/* One cache line, so that threads on different cores do not write to the same one. */
typedef struct nx_metric_cell {
    _Alignas(64) _Atomic uint64_t v;
} nx_metric_cell;

typedef struct nx_metric_hist_shard {
    _Alignas(64) _Atomic uint64_t sum_bits; /* a double */
    _Atomic uint64_t buckets[];             /* n_bounds + 1, not cumulative */
} nx_metric_hist_shard;

struct nx_metric {
    struct nx_metric *next;        /* in its family, in order of registration */
    struct nx_metric *next_hashed; /* in its bucket */
    nx_metric_type type;
    unsigned n_shards; /* power of two; 1 for gauges */
    bool is_hidden;    /* under reg->mu */
    nx_slice labels;   /* `a="b",c="d"`, escaped; may be empty */
    double (*read)(void *self);
    void *read_self;
    nx_metric_cell *cells; /* counter: a uint64; gauge: the bits of a double */
    char *hist;            /* n_shards times hist_stride bytes of nx_metric_hist_shard */
    size_t hist_stride;
    const struct nx_metric_family *family;
};

typedef struct nx_metric_family {
    struct nx_metric_family *next;
    nx_slice name, help; /* help escaped */
    nx_metric_type type;
    nx_slice label_names; /* "a,c": the same for all series */
    double bounds[NX_METRICS_BUCKETS_MAX];
    unsigned n_bounds;
    struct nx_metric *first, **last;
} nx_metric_family;

struct nx_metrics {
    pthread_mutex_t mu;
    nx_arena arena;
    nx_metric_family *first, **last;
    nx_metric **buckets; /* of all series, by family and labels; as many as series, or up to twice that */
    unsigned n_buckets;
    unsigned n_series, max_series, n_shards;
    _Atomic uint64_t refused; /* registrations that found the registry full */
};

static inline nx_metric_hist_shard *nx_metric_hist(const nx_metric *m, unsigned shard)
{
    return (nx_metric_hist_shard *)(void *)(m->hist + shard * m->hist_stride);
}

static inline uint64_t nx_double_bits(double v)
{
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits;
}

static inline double nx_double_from_bits(uint64_t bits)
{
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}
#endif
