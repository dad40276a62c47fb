/* metrics_expose.c: the Prometheus text exposition, format 0.0.4. */
#include "metrics_internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static nx_err append_number(nx_buf *out, double v)
{
    if (isnan(v)) return nx_buf_append_cstr(out, "NaN");
    if (isinf(v)) return nx_buf_append_cstr(out, v > 0 ? "+Inf" : "-Inf");
    char tmp[40];
    int n = snprintf(tmp, sizeof tmp, "%.15g", v);
    if (strtod(tmp, NULL) != v) n = snprintf(tmp, sizeof tmp, "%.17g", v);
    for (int i = 0; i < n; i++)
        if (tmp[i] == ',') tmp[i] = '.'; /* the decimal point of some locales */
    return nx_buf_append(out, tmp, (size_t)n);
}

/* `name_suffix{labels,le="…"} ` */
static nx_err append_series(nx_buf *out, const nx_metric *m, const char *suffix, const double *le)
{
    nx_err err = nx_buf_append_slice(out, m->family->name);
    if (!err) err = nx_buf_append_cstr(out, suffix);
    if (!err && (m->labels.n || le)) {
        err = nx_buf_append_char(out, '{');
        if (!err) err = nx_buf_append_slice(out, m->labels);
        if (!err && m->labels.n && le) err = nx_buf_append_char(out, ',');
        if (!err && le) err = nx_buf_append_cstr(out, "le=\"");
        if (!err && le) err = append_number(out, *le);
        if (!err && le) err = nx_buf_append_char(out, '"');
        if (!err) err = nx_buf_append_char(out, '}');
    }
    return err ? err : nx_buf_append_char(out, ' ');
}

static nx_err append_count(nx_buf *out, const nx_metric *m, const char *suffix, const double *le, uint64_t v)
{
    nx_err err = append_series(out, m, suffix, le);
    if (!err) err = nx_buf_append_u64(out, v);
    return err ? err : nx_buf_append_char(out, '\n');
}

static nx_err append_histogram(nx_buf *out, const nx_metric *m)
{
    static const double infinity = INFINITY;
    const nx_metric_family *f = m->family;
    uint64_t cumulative = 0;
    double sum = 0;
    nx_err err = NX_OK;
    for (unsigned b = 0; !err && b <= f->n_bounds; b++) {
        for (unsigned s = 0; s < m->n_shards; s++) cumulative += atomic_load_explicit(&nx_metric_hist(m, s)->buckets[b], memory_order_relaxed);
        err = append_count(out, m, "_bucket", b < f->n_bounds ? &f->bounds[b] : &infinity, cumulative);
    }
    for (unsigned s = 0; s < m->n_shards; s++)
        sum += nx_double_from_bits(atomic_load_explicit(&nx_metric_hist(m, s)->sum_bits, memory_order_relaxed));
    if (!err) err = append_series(out, m, "_sum", NULL);
    if (!err) err = append_number(out, sum);
    if (!err) err = nx_buf_append_char(out, '\n');
    /* The count is the +Inf bucket, taken once, so that the two agree although updates go on. */
    return err ? err : append_count(out, m, "_count", NULL, cumulative);
}

static nx_err append_metric(nx_buf *out, const nx_metric *m)
{
    if (m->type == NX_METRIC_HISTOGRAM) return append_histogram(out, m);
    if (m->type == NX_METRIC_COUNTER && !m->read) {
        uint64_t total = 0;
        for (unsigned s = 0; s < m->n_shards; s++) total += atomic_load_explicit(&m->cells[s].v, memory_order_relaxed);
        return append_count(out, m, "", NULL, total);
    }
    nx_err err = append_series(out, m, "", NULL);
    if (!err) err = append_number(out, nx_obs_value(m));
    return err ? err : nx_buf_append_char(out, '\n');
}

static nx_err append_family(nx_buf *out, const nx_metric_family *f)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    bool has_head = false;
    nx_err err = NX_OK;
    for (const nx_metric *m = f->first; !err && m; m = m->next) {
        if (m->is_hidden) continue;
        if (!has_head)
            err = nx_buf_printf(out, "# HELP %.*s %.*s\n# TYPE %.*s %s\n", NX_SLICE_FMT(f->name), NX_SLICE_FMT(f->help), NX_SLICE_FMT(f->name),
                                types[f->type]);
        has_head = true;
        if (!err) err = append_metric(out, m);
    }
    return err;
}

nx_err nx_metrics_expose(nx_metrics *reg, nx_buf *out)
{
    (void)pthread_mutex_lock(&reg->mu);
    nx_err err = NX_OK;
    for (const nx_metric_family *f = reg->first; !err && f; f = f->next) err = append_family(out, f);
    (void)pthread_mutex_unlock(&reg->mu);
    uint64_t refused = atomic_load_explicit(&reg->refused, memory_order_relaxed);
    if (!err && refused)
        err = nx_buf_printf(out,
                            "# HELP nexus_metrics_refused_total Registrations of series refused because the registry was full.\n"
                            "# TYPE nexus_metrics_refused_total counter\nnexus_metrics_refused_total %llu\n",
                            (unsigned long long)refused);
    return err;
}
