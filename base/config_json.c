/* The settings of a version: what a function's run depends on, with every default written out. */
#include "nx/clock.h"
#include "nx/config.h"
#include <stdio.h>

static void put_duration(nx_jw *w, const char *key, uint64_t ns)
{
    char text[32];
    nx_jw_kstr(w, key, nx_slice_make(text, nx_duration_format(ns, text)));
}

static void put_size(nx_jw *w, const char *key, uint64_t bytes)
{
    char text[32];
    nx_jw_kstr(w, key, nx_slice_make(text, nx_size_format(bytes, text)));
}

static void put_list(nx_jw *w, const char *key, const nx_slice *items, unsigned n)
{
    if (n == 0)
        return;
    nx_jw_key(w, key);
    nx_jw_array(w);
    for (unsigned i = 0; i < n; i++)
        nx_jw_str(w, items[i]);
    nx_jw_array_end(w);
}

static void put_retry(const nx_fn_config *f, nx_jw *w)
{
    static const char *const jitters[] = {"none", "full", "equal"}, *const exhausted[] = {"dlq", "pause", "drop"};
    char factor[24];
    if (f->retry_max_attempts <= 1 && f->on_exhausted == NX_EXHAUSTED_DLQ)
        return; /* the others have no effect then */
    nx_jw_key(w, "retry");
    nx_jw_object(w);
    nx_jw_ku64(w, "max_attempts", f->retry_max_attempts);
    put_duration(w, "initial_interval", f->retry_initial_ns);
    nx_jw_key(w, "factor");
    nx_jw_raw(w, nx_slice_make(factor, (size_t)snprintf(factor, sizeof factor, "%u.%03u", f->retry_factor_milli / 1000, f->retry_factor_milli % 1000)));
    put_duration(w, "max_interval", f->retry_max_ns);
    nx_jw_kcstr(w, "jitter", jitters[f->retry_jitter]);
    nx_jw_kcstr(w, "on_exhausted", exhausted[f->on_exhausted]);
    nx_jw_object_end(w);
}

static void put_limit(nx_jw *w, const char *name, unsigned limit, uint64_t period_ns, unsigned burst, nx_slice key)
{
    nx_jw_key(w, name);
    nx_jw_object(w);
    nx_jw_ku64(w, "limit", limit);
    if (period_ns)
        put_duration(w, "period", period_ns);
    if (burst)
        nx_jw_ku64(w, "burst", burst);
    if (key.n)
        nx_jw_kstr(w, "key", key);
    nx_jw_object_end(w);
}

/* Only what is set: a version that was deployed before these keys existed has the same settings still. */
static void put_flow(const nx_fn_config *f, nx_jw *w)
{
    unsigned weight = f->weight ? f->weight : 100;
    if (f->concurrency_key.n)
        put_limit(w, "concurrency", f->concurrency, 0, 0, f->concurrency_key);
    if (f->rate_limit)
        put_limit(w, "rate_limit", f->rate_limit, f->rate_period_ns, 0, f->rate_key);
    if (f->throttle)
        put_limit(w, "throttle", f->throttle, f->throttle_period_ns, f->throttle_burst, f->throttle_key);
    if (f->debounce_ns) {
        nx_jw_key(w, "debounce");
        nx_jw_object(w);
        put_duration(w, "period", f->debounce_ns);
        if (f->debounce_timeout_ns)
            put_duration(w, "timeout", f->debounce_timeout_ns);
        if (f->debounce_key.n)
            nx_jw_kstr(w, "key", f->debounce_key);
        nx_jw_object_end(w);
    }
    if (f->batch_max) {
        nx_jw_key(w, "batch");
        nx_jw_object(w);
        nx_jw_ku64(w, "max_size", f->batch_max);
        put_duration(w, "timeout", f->batch_timeout_ns);
        if (f->batch_key.n)
            nx_jw_kstr(w, "key", f->batch_key);
        nx_jw_object_end(w);
    }
    if (f->singleton.n) {
        nx_jw_key(w, "singleton");
        nx_jw_object(w);
        nx_jw_kstr(w, "mode", f->singleton);
        if (f->singleton_key.n)
            nx_jw_kstr(w, "key", f->singleton_key);
        nx_jw_object_end(w);
    }
    if (f->priority_run.n || weight != 100) {
        nx_jw_key(w, "priority");
        nx_jw_object(w);
        if (f->priority_run.n)
            nx_jw_kstr(w, "run", f->priority_run);
        nx_jw_ku64(w, "weight", weight);
        nx_jw_object_end(w);
    }
    if (f->cpu.n)
        nx_jw_kstr(w, "cpu", f->cpu);
}

static void put_map(nx_jw *w, const char *key, const nx_kv *items, unsigned n)
{
    if (n == 0)
        return;
    nx_jw_key(w, key);
    nx_jw_object(w);
    for (unsigned i = 0; i < n; i++) {
        nx_jw_key_slice(w, items[i].key);
        nx_jw_str(w, items[i].value);
    }
    nx_jw_object_end(w);
}

void nx_fn_config_triggers_to_json(const nx_fn_config *f, nx_jw *w)
{
    nx_jw_object(w);
    if (f->http_path.n) {
        nx_jw_key(w, "http");
        nx_jw_object(w);
        nx_jw_kstr(w, "method", f->http_method);
        nx_jw_kstr(w, "path", f->http_path);
        nx_jw_object_end(w);
    }
    put_list(w, "nats", f->nats, f->n_nats);
    put_list(w, "event", f->events, f->n_events);
    put_list(w, "cron", f->crons, f->n_crons);
    nx_jw_object_end(w);
}

nx_err nx_fn_config_to_json(const nx_fn_config *f, nx_jw *w)
{
    nx_jw_object(w);
    nx_jw_kstr(w, "name", f->name);
    nx_jw_key(w, "on");
    nx_fn_config_triggers_to_json(f, w);
    nx_jw_kstr(w, "runtime", f->runtime);
    put_duration(w, "timeout", f->timeout_ns);
    put_size(w, "memory", f->memory_bytes);
    nx_jw_ku64(w, "fuel", f->fuel);
    nx_jw_kcstr(w, "input", f->input == NX_INPUT_CLOUDEVENT ? "cloudevent" : "data");
    if (f->output_event.n) {
        nx_jw_key(w, "output");
        nx_jw_object(w);
        nx_jw_kstr(w, "event", f->output_event);
        nx_jw_object_end(w);
    }
    nx_jw_kcstr(w, "respond", f->respond == NX_RESPOND_SYNC ? "sync" : "async");
    put_map(w, "env", f->env, f->n_env);
    if (f->n_secrets || f->n_secret_env) {
        nx_jw_key(w, "secrets");
        nx_jw_object(w);
        put_list(w, "read", f->secrets, f->n_secrets);
        put_map(w, "env", f->secret_env, f->n_secret_env);
        nx_jw_object_end(w);
    }
    put_list(w, "allowed_outbound_hosts", f->outbound_hosts, f->n_outbound_hosts);
    put_list(w, "key_value_stores", f->stores, f->n_stores);
    put_list(w, "emit", f->emit, f->n_emit);
    put_size(w, "max_output", f->max_output_bytes);
    put_size(w, "scratch", f->scratch_bytes);
    put_size(w, "max_log", f->max_log_bytes);
    if (f->recording != NX_RECORDING_FULL)
        nx_jw_kcstr(w, "recording", nx_recording_name(f->recording));
    put_list(w, "redact", f->redact, f->n_redact);
    if (!f->concurrency_key.n)
        nx_jw_ku64(w, "concurrency", f->concurrency);
    put_flow(f, w);
    if (f->warm)
        nx_jw_ku64(w, "warm", f->warm);
    if (f->ordering == NX_ORDERING_KEY)
        nx_jw_kcstr(w, "ordering", "key");
    if (f->from.n) {
        nx_jw_kstr(w, "from", f->from);
        nx_jw_ku64(w, "from_rate", f->from_rate);
    }
    put_retry(f, w);
    put_list(w, "retry_on", f->retry_on, f->n_retry_on);
    nx_jw_object_end(w);
    return nx_jw_err(w);
}
