/* metrics.c: registering series and updating them. */
#include "metrics_internal.h"

#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#define ARENA_BYTES (256u << 20) /* far above what max_series can take; series are what is bounded */

const double nx_obs_seconds_bounds[NX_OBS_SECONDS_BOUNDS] = {
    0.00005,
    0.0001,
    0.00025,
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    5,
    10,
    60,
};

nx_err nx_metrics_new(unsigned max_series, nx_metrics **ret)
{
    nx_metrics *reg = calloc(1, sizeof *reg);
    if (!reg) return NX_ENOMEM;
    (void)pthread_mutex_init(&reg->mu, NULL);
    nx_arena_init(&reg->arena, ARENA_BYTES);
    reg->last = &reg->first;
    reg->max_series = max_series ? max_series : NX_METRICS_SERIES_MAX;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    reg->n_shards = 1;
    while (reg->n_shards < NX_METRICS_SHARDS_MAX && (long)reg->n_shards < cores) reg->n_shards *= 2;
    *ret = reg;
    return NX_OK;
}

void nx_metrics_free(nx_metrics *reg)
{
    if (!reg) return;
    for (nx_metric_family *f = reg->first; f; f = f->next)
        for (nx_metric *m = f->first; m; m = m->next) {
            free(m->cells);
            free(m->hist);
        }
    free(reg->buckets);
    nx_arena_done(&reg->arena);
    (void)pthread_mutex_destroy(&reg->mu);
    free(reg);
}

/* ---- registration ---- */

typedef struct wanted {
    const char *name, *help;
    nx_metric_type type;
    const double *bounds;
    unsigned n_bounds, n_labels;
    const nx_kv *labels;
    double (*read)(void *self);
    void *self;
} wanted;

static bool is_name(nx_slice s, bool allows_colon)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        bool is_digit = c >= '0' && c <= '9';
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (c == ':' && allows_colon) || (is_digit && i > 0))) return false;
    }
    return s.n > 0;
}

static bool is_wanted_valid(const wanted *w)
{
    if (!is_name(nx_slice_cstr(w->name), true) || w->n_labels > NX_METRICS_LABELS_MAX) return false;
    for (unsigned i = 0; i < w->n_labels; i++)
        if (!is_name(w->labels[i].key, false) || nx_slice_eq_cstr(w->labels[i].key, "le")) return false;
    if (w->n_bounds > NX_METRICS_BUCKETS_MAX) return false;
    for (unsigned i = 1; i < w->n_bounds; i++)
        if (!(w->bounds[i] > w->bounds[i - 1])) return false;
    return true;
}

/* Escapes as the text format asks: backslash and newline, in label values also the quote. */
static nx_err append_escaped(nx_buf *out, nx_slice s, bool with_quote)
{
    nx_err err = NX_OK;
    for (size_t i = 0; !err && i < s.n;) {
        size_t k = nx_utf8_len(nx_slice_sub(s, i, s.n - i));
        if (k == 0) { /* the exposition is UTF-8 whatever a label was made from */
            err = nx_buf_append(out, "\xEF\xBF\xBD", 3);
            i++;
            continue;
        }
        if (s.p[i] == '\\') err = nx_buf_append(out, "\\\\", 2);
        else if (s.p[i] == '\n') err = nx_buf_append(out, "\\n", 2);
        else if (s.p[i] == '"' && with_quote) err = nx_buf_append(out, "\\\"", 2);
        else err = nx_buf_append(out, s.p + i, k);
        i += k;
    }
    return err;
}

static nx_err append_labels(nx_buf *values, nx_buf *names, const wanted *w)
{
    nx_err err = NX_OK;
    for (unsigned i = 0; !err && i < w->n_labels; i++) {
        if (i) err = nx_buf_append_char(values, ',');
        if (!err && i) err = nx_buf_append_char(names, ',');
        if (!err) err = nx_buf_append_slice(names, w->labels[i].key);
        if (!err) err = nx_buf_append_slice(values, w->labels[i].key);
        if (!err) err = nx_buf_append(values, "=\"", 2);
        if (!err) err = append_escaped(values, w->labels[i].value, true);
        if (!err) err = nx_buf_append_char(values, '"');
    }
    return err;
}

static nx_metric_family *find_family(nx_metrics *reg, nx_slice name)
{
    for (nx_metric_family *f = reg->first; f; f = f->next)
        if (nx_slice_eq(f->name, name)) return f;
    return NULL;
}

static nx_metric_family *add_family(nx_metrics *reg, const wanted *w, nx_slice label_names)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf help = NX_BUF_INIT(4096);
    nx_metric_family *f = nx_arena_calloc(&reg->arena, 1, sizeof *f);
    if (!f || append_escaped(&help, nx_slice_cstr(w->help), false) != NX_OK) return NULL;
    f->name = nx_arena_dup(&reg->arena, nx_slice_cstr(w->name));
    f->help = nx_arena_dup(&reg->arena, nx_buf_view(&help));
    f->label_names = nx_arena_dup(&reg->arena, label_names);
    if (!f->name.p || !f->help.p || !f->label_names.p) return NULL;
    f->type = w->type;
    f->n_bounds = w->n_bounds;
    if (w->n_bounds) memcpy(f->bounds, w->bounds, w->n_bounds * sizeof *w->bounds);
    f->last = &f->first;
    *reg->last = f;
    reg->last = &f->next;
    return f;
}

static bool same_shape(const nx_metric_family *f, const wanted *w, nx_slice label_names)
{
    return f->type == w->type && nx_slice_eq(f->label_names, label_names) && f->n_bounds == w->n_bounds &&
           (w->n_bounds == 0 || memcmp(f->bounds, w->bounds, w->n_bounds * sizeof *w->bounds) == 0);
}

static bool allocate_values(nx_metric *m, unsigned n_bounds)
{
    size_t bytes;
    void *p = NULL;
    if (m->type == NX_METRIC_HISTOGRAM) {
        m->hist_stride = (sizeof(nx_metric_hist_shard) + (n_bounds + 1) * sizeof(uint64_t) + 63) & ~(size_t)63;
        bytes = m->hist_stride * m->n_shards;
    } else {
        bytes = sizeof *m->cells * m->n_shards;
    }
    if (posix_memalign(&p, 64, bytes) != 0) return false;
    memset(p, 0, bytes);
    if (m->type == NX_METRIC_HISTOGRAM) m->hist = p;
    else m->cells = p;
    return true;
}

static nx_metric **bucket_of(const nx_metrics *reg, const nx_metric_family *f, nx_slice labels)
{
    return &reg->buckets[(nx_slice_hash(labels) ^ nx_slice_hash(f->name)) & (reg->n_buckets - 1)];
}

static nx_metric *find_series(const nx_metrics *reg, const nx_metric_family *f, nx_slice labels)
{
    nx_metric *m = reg->n_buckets ? *bucket_of(reg, f, labels) : NULL;
    while (m && (m->is_hidden || m->family != f || !nx_slice_eq(m->labels, labels))) m = m->next_hashed;
    return m;
}

static bool grow_buckets(nx_metrics *reg)
{
    unsigned n = reg->n_buckets ? 2 * reg->n_buckets : 64;
    nx_metric **buckets = calloc(n, sizeof(nx_metric *));
    if (!buckets) return false;
    free(reg->buckets);
    reg->buckets = buckets;
    reg->n_buckets = n;
    for (nx_metric_family *f = reg->first; f; f = f->next)
        for (nx_metric *m = f->first; m; m = m->next) {
            nx_metric **b = bucket_of(reg, f, m->labels);
            m->next_hashed = *b;
            *b = m;
        }
    return true;
}

static nx_metric *add_series(nx_metrics *reg, nx_metric_family *f, const wanted *w, nx_slice labels)
{
    if (reg->n_series >= reg->n_buckets && !grow_buckets(reg)) return NULL;
    nx_metric *m = nx_arena_calloc(&reg->arena, 1, sizeof *m);
    if (!m) return NULL;
    m->type = w->type;
    m->n_shards = w->type == NX_METRIC_GAUGE || w->read ? 1 : reg->n_shards;
    m->family = f;
    m->read = w->read;
    m->read_self = w->self;
    m->labels = nx_arena_dup(&reg->arena, labels);
    if (!m->labels.p || !allocate_values(m, w->n_bounds)) return NULL;
    *f->last = m;
    f->last = &m->next;
    nx_metric **b = bucket_of(reg, f, m->labels);
    m->next_hashed = *b;
    *b = m;
    reg->n_series++;
    return m;
}

static nx_metric *register_locked(nx_metrics *reg, const wanted *w, nx_slice labels, nx_slice label_names)
{
    nx_metric_family *f = find_family(reg, nx_slice_cstr(w->name));
    bool fits = !f || same_shape(f, w, label_names);
    assert(fits);
    if (!fits) return NULL;
    nx_metric *m = f ? find_series(reg, f, labels) : NULL;
    if (m) return m->read == w->read && m->read_self == w->self ? m : NULL;
    if (reg->n_series >= reg->max_series) {
        atomic_fetch_add_explicit(&reg->refused, 1, memory_order_relaxed);
        return NULL;
    }
    if (!f) f = add_family(reg, w, label_names);
    return f ? add_series(reg, f, w, labels) : NULL;
}

static nx_metric *register_series(nx_metrics *reg, const wanted *w)
{
    if (!reg) return NULL;
    bool is_valid = is_wanted_valid(w);
    assert(is_valid);
    if (!is_valid) return NULL;
    NX_CLEANUP(nx_buf_done)
    nx_buf labels = NX_BUF_INIT(16384);
    NX_CLEANUP(nx_buf_done)
    nx_buf names = NX_BUF_INIT(4096);
    if (append_labels(&labels, &names, w) != NX_OK) return NULL;
    (void)pthread_mutex_lock(&reg->mu);
    nx_metric *m = register_locked(reg, w, nx_buf_view(&labels), nx_buf_view(&names));
    (void)pthread_mutex_unlock(&reg->mu);
    return m;
}

nx_metric *nx_obs_counter(nx_metrics *reg, const char *name, const char *help, unsigned n_labels, const nx_kv *labels)
{
    return register_series(reg, &(wanted){.name = name, .help = help, .type = NX_METRIC_COUNTER, .n_labels = n_labels, .labels = labels});
}

nx_metric *nx_obs_gauge(nx_metrics *reg, const char *name, const char *help, unsigned n_labels, const nx_kv *labels)
{
    return register_series(reg, &(wanted){.name = name, .help = help, .type = NX_METRIC_GAUGE, .n_labels = n_labels, .labels = labels});
}

nx_metric *nx_obs_histogram(nx_metrics *reg, const char *name, const char *help, const double *bounds, unsigned n_bounds, unsigned n_labels,
                            const nx_kv *labels)
{
    if (!bounds) {
        bounds = nx_obs_seconds_bounds;
        n_bounds = NX_OBS_SECONDS_BOUNDS;
    }
    return register_series(reg, &(wanted){.name = name, .help = help, .type = NX_METRIC_HISTOGRAM, .bounds = bounds, .n_bounds = n_bounds, .n_labels = n_labels, .labels = labels});
}

nx_metric *nx_obs_gauge_fn(nx_metrics *reg, const char *name, const char *help, double (*read)(void *self), void *self, unsigned n_labels,
                           const nx_kv *labels)
{
    return register_series(reg, &(wanted){.name = name, .help = help, .type = NX_METRIC_GAUGE, .read = read, .self = self, .n_labels = n_labels, .labels = labels});
}

nx_metric *nx_obs_counter_fn(nx_metrics *reg, const char *name, const char *help, double (*read)(void *self), void *self, unsigned n_labels,
                             const nx_kv *labels)
{
    return register_series(reg, &(wanted){.name = name, .help = help, .type = NX_METRIC_COUNTER, .read = read, .self = self, .n_labels = n_labels, .labels = labels});
}

void nx_obs_hide(nx_metrics *reg, nx_metric *m)
{
    if (!reg || !m) return;
    (void)pthread_mutex_lock(&reg->mu);
    m->is_hidden = true; /* its place in the bound stays taken: its memory is kept for whoever still updates it */
    (void)pthread_mutex_unlock(&reg->mu);
}

/* ---- updates ---- */

/* Threads are dealt to the shards in turn as they first touch a metric. */
static unsigned shard_of_thread(unsigned n_shards)
{
    static atomic_uint next;
    static __thread unsigned mine;
    if (mine == 0) mine = atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) % NX_METRICS_SHARDS_MAX + 1;
    return (mine - 1) & (n_shards - 1);
}

static void add_double(_Atomic uint64_t *bits, double v)
{
    uint64_t old = atomic_load_explicit(bits, memory_order_relaxed);
    while (!atomic_compare_exchange_weak_explicit(bits, &old, nx_double_bits(nx_double_from_bits(old) + v), memory_order_relaxed,
                                                  memory_order_relaxed)) {
    }
}

void nx_obs_add(nx_metric *m, uint64_t v)
{
    if (!m || m->type != NX_METRIC_COUNTER) return;
    atomic_fetch_add_explicit(&m->cells[shard_of_thread(m->n_shards)].v, v, memory_order_relaxed);
}

void nx_obs_inc(nx_metric *m) { nx_obs_add(m, 1); }

void nx_obs_set(nx_metric *m, double v)
{
    if (!m || m->type != NX_METRIC_GAUGE) return;
    atomic_store_explicit(&m->cells[0].v, nx_double_bits(v), memory_order_relaxed);
}

void nx_obs_gauge_add(nx_metric *m, double v)
{
    if (!m || m->type != NX_METRIC_GAUGE) return;
    add_double(&m->cells[0].v, v);
}

void nx_obs_observe(nx_metric *m, double v)
{
    if (!m || m->type != NX_METRIC_HISTOGRAM || v != v) return; /* NaN would spoil the sum for ever */
    nx_metric_hist_shard *h = nx_metric_hist(m, shard_of_thread(m->n_shards));
    const nx_metric_family *f = m->family;
    unsigned low = 0, high = f->n_bounds;
    while (low < high) { /* the first bound that is not below v; n_bounds: +Inf */
        unsigned mid = (low + high) / 2;
        if (f->bounds[mid] < v) low = mid + 1;
        else high = mid;
    }
    atomic_fetch_add_explicit(&h->buckets[low], 1, memory_order_relaxed);
    add_double(&h->sum_bits, v);
}

double nx_obs_value(const nx_metric *m)
{
    if (!m) return 0;
    if (m->read) return m->read(m->read_self);
    if (m->type == NX_METRIC_GAUGE) return nx_double_from_bits(atomic_load_explicit(&m->cells[0].v, memory_order_relaxed));
    uint64_t total = 0;
    for (unsigned s = 0; s < m->n_shards; s++) {
        if (m->type == NX_METRIC_COUNTER) {
            total += atomic_load_explicit(&m->cells[s].v, memory_order_relaxed);
            continue;
        }
        nx_metric_hist_shard *h = nx_metric_hist(m, s);
        for (unsigned b = 0; b <= m->family->n_bounds; b++) total += atomic_load_explicit(&h->buckets[b], memory_order_relaxed);
    }
    return (double)total;
}
