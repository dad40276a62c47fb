/* registry.c: which functions run on this node, and changing that as a whole: project functions of nexus.yaml plus live versions of the registry.
 * An apply first makes everything that can fail (modules, artifacts in the log, consumers), then swaps snapshot and slots. */
#include "fn.h"
#include "lanes.h"
#include <stdio.h>
#include <stdlib.h>

/* ---- sets ---------------------------------------------------------------------------------------------------------------------------- */

nx_err nx_core_fn_set_add(nx_core_fn_set *s, nx_core_fn *take_fn)
{
    if (s->n == s->cap) {
        unsigned cap = s->cap ? s->cap * 2 : 16;
        nx_core_fn **v = realloc(s->v, cap * sizeof(nx_core_fn *));
        if (!v) {
            nx_core_fn_unref(take_fn);
            return NX_ENOMEM;
        }
        s->v = v;
        s->cap = cap;
    }
    s->v[s->n++] = take_fn;
    return NX_OK;
}

nx_err nx_core_fn_set_add_absent(nx_core_fn_set *s, nx_config *take_cfg)
{
    nx_config **v = realloc(s->absent, (s->n_absent + 1u) * sizeof(nx_config *));
    if (!v) {
        nx_config_unref(take_cfg);
        return NX_ENOMEM;
    }
    s->absent = v;
    s->absent[s->n_absent++] = take_cfg;
    return NX_OK;
}

nx_core_fn *nx_core_fn_set_find(const nx_core_fn_set *s, const char *name)
{
    for (unsigned i = 0; i < s->n; i++)
        if (strcmp(s->v[i]->name, name) == 0)
            return s->v[i];
    return NULL;
}

void nx_core_fn_set_done(nx_core_fn_set *s)
{
    for (unsigned i = 0; i < s->n; i++)
        nx_core_fn_unref(s->v[i]);
    for (unsigned i = 0; i < s->n_absent; i++)
        nx_config_unref(s->absent[i]);
    free(s->v);
    free(s->absent);
    *s = (nx_core_fn_set){0};
}

/* ---- slots --------------------------------------------------------------------------------------------------------------------------- */

nx_core_fn *nx_core_slot_fn(nx_core_slot *s)
{
    pthread_mutex_lock(&s->mu);
    nx_core_fn *fn = s->fn ? nx_core_fn_ref(s->fn) : NULL;
    pthread_mutex_unlock(&s->mu);
    return fn;
}

static void take_share(nx_core_fn *fn, nx_rt_share *share)
{
    if (!fn->share) /* nobody else has it yet */
        fn->share = nx_rt_share_ref(share);
}

/* From now on the function's settings say how large the slot's share is. */
static void slot_set(nx_core_slot *s, nx_core_fn *take_fn)
{
    if (take_fn) {
        unsigned cpu_milli = 0;
        (void)nx_config_cpu_milli(take_fn->settings->cpu, &cpu_milli);
        nx_rt_share_set(s->share, take_fn->settings->weight, cpu_milli);
    }
    if (take_fn)
        take_share(take_fn, s->share);
    for (unsigned i = 0; take_fn && take_fn->others && i < take_fn->others->split.n; i++)
        if (take_fn->others->v[i])
            take_share(take_fn->others->v[i], s->share);
    pthread_mutex_lock(&s->mu);
    nx_core_fn *old = s->fn;
    s->fn = take_fn;
    pthread_mutex_unlock(&s->mu);
    nx_core_fn_unref(old);
}

static nx_core_slot *slot_find(const nx_node *n, const char *name)
{
    for (nx_core_slot *s = n->slots; s; s = s->next)
        if (strcmp(s->name, name) == 0)
            return s;
    return NULL;
}

void nx_core_slot_depth(nx_core_slot *s, uint64_t *ret_pending, uint64_t *ret_inflight)
{
    *ret_pending = *ret_inflight = 0;
    pthread_mutex_lock(&s->mu);
    if (s->consumer)
        nx_fab_consumer_depth(s->consumer, ret_pending, ret_inflight);
    for (unsigned i = 0; i < NX_CORE_LANES && s->lanes[i]; i++) {
        uint64_t pending = 0, inflight = 0;
        nx_core_lane_depth(s->lanes[i], &pending, &inflight);
        *ret_pending += pending;
        *ret_inflight += inflight;
    }
    pthread_mutex_unlock(&s->mu);
}

/* Gives the slot another consumer, or none. Depth is read on other threads. */
static void slot_consumer(nx_core_slot *s, nx_fab_consumer *c)
{
    pthread_mutex_lock(&s->mu);
    s->consumer = c;
    pthread_mutex_unlock(&s->mu);
}

static void slot_close(nx_core_slot *s, bool remove)
{
    nx_fab_consumer *c = s->consumer;
    slot_consumer(s, NULL);
    nx_fab_consumer_close(c, remove);
    nx_core_lanes_close(s, remove);
    nx_fab_consumer_close(s->timers, remove);
    s->timers = NULL;
    nx_core_fn_unref(s->opened_for);
    s->opened_for = NULL;
}

static void slot_free(nx_core_slot *s)
{
    nx_obs_set(s->m_pending, 0);
    nx_obs_set(s->m_paused, 0);
    nx_obs_set(s->m_dlq, 0);
    slot_set(s, NULL);
    nx_core_gate_unref(s->gate);
    nx_rt_share_unref(s->share);
    pthread_mutex_destroy(&s->mu);
    free(s);
}

/* With a key it is not known how many of them can run: what waits at a key must not keep others from coming. */
static unsigned in_hand_max(const nx_fn_config *f) { return f->concurrency_key.n ? 0 : f->concurrency; }

/* A function that is ordered now and was not before, or the other way round, goes on where it was: its consumers are others. */
static nx_err consume_events(nx_core_slot *s, const nx_core_fn *fn, bool is_paused, nx_error *reterr)
{
    const nx_fn_config *f = fn->settings;
    char durable[NX_FUNCTION_NAME_BYTES + 8], lanes[NX_CORE_LANES][NX_FUNCTION_NAME_BYTES + 16];
    const char *before[NX_CORE_LANES + 1] = {0};
    nx_fab_consumer *c = NULL;
    snprintf(durable, sizeof durable, "fn-%s", fn->name);
    if (f->ordering == NX_ORDERING_KEY) {
        nx_err err = nx_core_lanes_open(s, fn, is_paused, reterr);
        return err == NX_OK ? nx_fab_consumer_remove(s->node->ns, durable, reterr) : err;
    }
    for (unsigned i = 0; i < NX_CORE_LANES; i++) {
        nx_core_lane_durable(fn->name, i, lanes[i]);
        before[i] = lanes[i];
    }
    nx_fab_consumer_options o = {
        .durable = durable,
        .types = fn->types,
        .n_types = fn->n_types,
        .subjects = f->nats,
        .n_subjects = f->n_nats,
        .max_inflight = in_hand_max(f),
        .successor_of = before,
        .is_paused = is_paused,
        .on_msg = nx_core_dispatch_on_msg,
        .self = s,
    };
    nx_err err = nx_fab_consumer_open(s->node->ns, &o, &c, reterr);
    if (err == NX_OK)
        slot_consumer(s, c);
    for (unsigned i = 0; err == NX_OK && nx_fab_consumer_is_new(c) && i < NX_CORE_LANES; i++)
        err = nx_fab_consumer_remove(s->node->ns, lanes[i], reterr);
    return err;
}

void nx_core_due_durable(const char *function, char out[NX_FUNCTION_NAME_BYTES + 8]) { snprintf(out, NX_FUNCTION_NAME_BYTES + 8, "due-%s", function); }

/* The consumers of the slot: of events and of timers. */
static nx_err slot_consume(nx_core_slot *s, nx_core_fn *fn, nx_error *reterr)
{
    char due[NX_FUNCTION_NAME_BYTES + 8];
    nx_core_due_durable(fn->name, due);
    bool is_paused = nx_core_pause_get(s->node->pauses, fn->name, NULL);
    nx_fab_consumer_options timers = {
        .durable = due,
        .timers_of = nx_slice_cstr(fn->name),
        .max_inflight = in_hand_max(fn->settings),
        .is_paused = is_paused,
        .on_msg = nx_core_dispatch_on_due,
        .self = s,
    };
    const nx_fn_config *f = fn->settings;
    nx_core_gate_set_rule(s->gate, &(nx_core_gate_rule){.limit = f->singleton.n ? 1 : f->concurrency,
                                                        .is_keyed = f->concurrency_key.n || f->singleton.n,
                                                        .is_singleton = f->singleton.n > 0});
    nx_err err = consume_events(s, fn, is_paused, reterr);
    if (err == NX_OK)
        err = nx_fab_consumer_open(s->node->ns, &timers, &s->timers, reterr);
    if (err != NX_OK) {
        slot_close(s, false);
        return nx_error_prefix(reterr, "function '%s'", fn->name), err;
    }
    s->opened_for = nx_core_fn_ref(fn);
    return NX_OK;
}

/* A slot whose consumer runs with this function's filters; the function itself is put in by the swap. */
static nx_err slot_open(nx_node *n, nx_core_fn *fn, nx_core_slot **ret, nx_error *reterr)
{
    nx_core_slot *s = calloc(1, sizeof *s);
    if (!s)
        return nx_error_set(reterr, NX_ENOMEM, "function '%s'", fn->name);
    pthread_mutex_init(&s->mu, NULL);
    s->node = n;
    snprintf(s->name, sizeof s->name, "%s", fn->name);
    s->gate = nx_core_gate_new();
    nx_err err = s->gate ? nx_rt_share_new(n->rt, &s->share) : NX_ENOMEM;
    if (err == NX_OK) {
        slot_set(s, nx_core_fn_ref(fn));
        err = slot_consume(s, fn, reterr);
    } else {
        nx_error_set(reterr, err, "function '%s'", fn->name);
    }
    if (err != NX_OK) {
        slot_free(s);
        return err;
    }
    nx_kv label[] = {{NX_SLICE("function"), nx_slice_cstr(s->name)}};
    s->m_pending = nx_obs_gauge(n->metrics, "nexus_function_pending_events", "Stored events that wait for the function.", 1, label);
    s->m_paused = nx_obs_gauge(n->metrics, "nexus_function_paused", "1 while the function is paused.", 1, label);
    s->m_dlq = nx_obs_gauge(n->metrics, "nexus_dlq_events", "Events of the function in the dead-letter queue.", 1, label);
    *ret = s;
    return NX_OK;
}

static bool same_filters(const nx_core_fn *a, const nx_core_fn *b)
{
    const nx_fn_config *x = a->settings, *y = b->settings;
    bool is_same = a->n_types == b->n_types && x->n_nats == y->n_nats && x->concurrency == y->concurrency && x->ordering == y->ordering &&
                   nx_slice_eq(x->concurrency_key, y->concurrency_key) && nx_slice_eq(x->singleton, y->singleton);
    for (unsigned i = 0; is_same && i < a->n_types; i++)
        is_same = nx_slice_eq(a->types[i], b->types[i]);
    for (unsigned i = 0; is_same && i < x->n_nats; i++)
        is_same = nx_slice_eq(x->nats[i], y->nats[i]);
    return is_same;
}

/* ---- making the set that is wanted ----------------------------------------------------------------------------------------------------- */

static void metrics_of(nx_node *n, nx_core_fn *fn)
{
    static const double memory_bounds[] = {64 << 10, 256 << 10, 1 << 20, 4 << 20, 16 << 20, 64 << 20, 256 << 20, 1 << 30, 4.0 * (1 << 30)};
    for (size_t s = 0; s < NX_ARRAY_LEN(fn->m.runs); s++) {
        nx_kv labels[] = {{NX_SLICE("function"), nx_slice_cstr(fn->name)}, {NX_SLICE("status"), nx_slice_cstr(nx_run_status_name((nx_run_status)s))}};
        fn->m.runs[s] = nx_obs_counter(n->metrics, "nexus_runs_total", "Runs that ended, by outcome.", 2, labels);
    }
    nx_kv label[] = {{NX_SLICE("function"), nx_slice_cstr(fn->name)}};
    fn->m.duration = nx_obs_histogram(n->metrics, "nexus_run_duration_seconds", "Time a function ran for one event.", NULL, 0, 1, label);
    fn->m.fuel = nx_obs_counter(n->metrics, "nexus_run_fuel_total", "Fuel used by runs (about one per WebAssembly instruction).", 1, label);
    fn->m.memory = nx_obs_histogram(n->metrics, "nexus_run_memory_bytes", "Peak linear memory of a run.", memory_bounds, NX_ARRAY_LEN(memory_bounds), 1, label);
    fn->m.retries = nx_obs_counter(n->metrics, "nexus_run_retries_total", "Attempts that failed and are tried again.", 1, label);
    fn->m.cold = nx_obs_counter(n->metrics, "nexus_cold_starts_total", "Runs whose module was not mapped before.", 1, label);
}

static void metrics_of_version(nx_node *n, nx_core_fn *fn)
{
    for (size_t s = 0; s < NX_ARRAY_LEN(fn->m.of_version); s++) {
        nx_kv labels[] = {{NX_SLICE("function"), nx_slice_cstr(fn->name)}, {NX_SLICE("version"), nx_slice_cstr(fn->version)}, {NX_SLICE("status"), nx_slice_cstr(nx_run_status_name((nx_run_status)s))}};
        fn->m.of_version[s] = nx_obs_counter(n->metrics, "nexus_version_runs_total", "Runs that ended, by version and outcome, of functions whose live alias is split.", 3, labels);
    }
}

/* Versions that share a function's events are counted with it, and each by itself. A running one has its metrics, and workers read them. */
static void metrics_of_all(nx_node *n, nx_core_fn *fn)
{
    if (fn->m.duration)
        return;
    metrics_of(n, fn);
    for (unsigned i = 0; fn->others && i < fn->others->split.n; i++) {
        nx_core_fn *one = fn->others->v[i] ? fn->others->v[i] : fn;
        one->m = fn->m;
        metrics_of_version(n, one);
    }
}

/* The function as the project file has it now: the running one where nothing changed. */
static nx_err project_fn(nx_node *n, nx_config *cfg, const nx_fn_config *f, nx_core_fn *now, nx_core_fn **ret, nx_error *reterr)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf module = NX_BUF_INIT(NX_CORE_MODULE_BYTES_MAX + 1);
    nx_sha256 settings;
    nx_err err = nx_artifact_read(cfg, f, &module, reterr);
    if (err == NX_OK)
        err = nx_core_settings_digest(f, &settings);
    if (err != NX_OK)
        return nx_error_prefix(reterr, "function '%.*s'", NX_SLICE_FMT(f->name)), err;
    nx_sha256 artifact = nx_sha256_of(nx_buf_view(&module));
    char hex[NX_SHA256_HEX + 1], version[32];
    nx_sha256_hex(&artifact, hex);
    if (now && now->is_project && strcmp(now->artifact, hex) == 0 && memcmp(&now->settings_sha256, &settings, sizeof settings) == 0) {
        *ret = nx_core_fn_ref(now);
        return NX_OK;
    }
    nx_rt_program *program = NULL;
    err = nx_rt_program_load(n->rt, nx_buf_view(&module), &artifact, f->memory_bytes, &program, reterr);
    if (err == NX_OK)
        err = nx_fab_artifact_put(n->ns, &artifact, nx_buf_view(&module), reterr);
    if (err != NX_OK) {
        nx_rt_program_unref(program);
        return nx_error_prefix(reterr, "function '%.*s' (%.*s)", NX_SLICE_FMT(f->name), NX_SLICE_FMT(f->code_path)), err;
    }
    nx_sha256 both[2] = {artifact, settings}, mixed = nx_sha256_of(nx_slice_make(both, sizeof both));
    snprintf(version, sizeof version, "dev-%02x%02x%02x%02x", mixed.b[0], mixed.b[1], mixed.b[2], mixed.b[3]);
    err = nx_core_fn_new(cfg, f, version, &artifact, &settings, program, ret);
    if (err == NX_OK)
        (*ret)->is_project = true;
    return err;
}

static nx_err wanted_set(nx_node *n, nx_config *cfg, const nx_core_fn_set *now, nx_core_fn_set *set, nx_error *reterr)
{
    for (unsigned i = 0; n->opt.is_dev && i < cfg->n_functions; i++) {
        const nx_fn_config *f = &cfg->functions[i];
        char name[NX_FUNCTION_NAME_BYTES + 1];
        snprintf(name, sizeof name, "%.*s", NX_SLICE_FMT(f->name));
        nx_core_fn *fn = NULL;
        nx_err err = project_fn(n, cfg, f, nx_core_fn_set_find(now, name), &fn, reterr);
        if (err == NX_OK)
            err = nx_core_fn_set_add(set, fn);
        if (err != NX_OK)
            return err;
    }
    nx_err err = nx_core_stored_functions(n, now, set, reterr);
    for (unsigned i = 0; err == NX_OK && i < set->n; i++)
        metrics_of_all(n, set->v[i]);
    return err;
}

/* Two functions with one route: the registry's would shadow the project's. */
static nx_err check_routes(const nx_core_fn_set *set, nx_error *reterr)
{
    for (unsigned i = 0; i < set->n; i++)
        for (unsigned k = 0; set->v[i]->type[0] && k < i; k++) {
            const nx_fn_config *a = set->v[i]->settings, *b = set->v[k]->settings;
            if (set->v[k]->type[0] && nx_slice_eq(a->http_path, b->http_path) && nx_slice_eq(a->http_method, b->http_method))
                return nx_error_set(reterr, NX_ECONFLICT, "functions '%s' and '%s' both have the route %.*s %.*s", set->v[k]->name, set->v[i]->name,
                                    NX_SLICE_FMT(a->http_method), NX_SLICE_FMT(a->http_path));
        }
    return NX_OK;
}

/* ---- apply ---------------------------------------------------------------------------------------------------------------------------- */

static nx_err raw_subjects(nx_node *n, const nx_core_fn_set *set, nx_error *reterr)
{
    unsigned count = 0, k = 0;
    for (unsigned i = 0; i < set->n; i++)
        count += set->v[i]->settings->n_nats;
    for (unsigned i = 0; i < set->n_absent; i++)
        count += set->absent[i]->functions[0].n_nats;
    nx_slice *all = calloc(count + 1u, sizeof *all);
    if (!all)
        return nx_error_set(reterr, NX_ENOMEM, "raw subjects");
    for (unsigned i = 0; i < set->n; i++)
        for (unsigned j = 0; j < set->v[i]->settings->n_nats; j++)
            all[k++] = set->v[i]->settings->nats[j];
    for (unsigned i = 0; i < set->n_absent; i++)
        for (unsigned j = 0; j < set->absent[i]->functions[0].n_nats; j++)
            all[k++] = set->absent[i]->functions[0].nats[j];
    nx_err err = nx_fab_ns_raw_subjects(n->ns, all, count, reterr);
    free(all);
    return err;
}

static void note_changes(const nx_core_fn_set *now, const nx_core_fn_set *set, nx_buf *out)
{
    for (unsigned i = 0; out && i < set->n; i++) {
        const nx_core_fn *a = nx_core_fn_set_find(now, set->v[i]->name), *b = set->v[i];
        char text[NX_CORE_SPLIT_MAX * 48];
        snprintf(text, sizeof text, "%s", b->version);
        if (b->others)
            nx_core_split_text(&b->others->split, text, sizeof text);
        if (!a)
            nx_buf_printf(out, "function '%s' added (%s)\n", b->name, text);
        else if (a != b && (a->others || b->others))
            nx_buf_printf(out, "function '%s': %s\n", b->name, text);
        else if (a != b) {
            bool other_code = strcmp(a->artifact, b->artifact) != 0, other_settings = memcmp(&a->settings_sha256, &b->settings_sha256, sizeof a->settings_sha256) != 0;
            nx_buf_printf(out, "function '%s': %s%s%s changed (%s)\n", b->name, other_code ? "code" : "", other_code && other_settings ? " and " : "",
                          other_settings ? "settings" : "", b->version);
        }
    }
    for (unsigned i = 0; out && i < now->n; i++)
        if (!nx_core_fn_set_find(set, now->v[i]->name))
            nx_buf_printf(out, "function '%s' removed\n", now->v[i]->name);
}

/* Everything that can fail is done; functions, routes and slots change together. */
static void swap_in(nx_node *n, const nx_core_fn_set *set, nx_core_snapshot *snap, nx_core_slot *fresh)
{
    nx_core_slot *gone = NULL;
    for (unsigned i = 0; i < set->n; i++) {
        nx_core_slot *s = slot_find(n, set->v[i]->name);
        if (s)
            slot_set(s, nx_core_fn_ref(set->v[i]));
    }
    pthread_rwlock_wrlock(&n->snap_mu);
    nx_core_snapshot *old = n->snap;
    n->snap = snap;
    for (nx_core_slot **at = &n->slots; *at;) {
        nx_core_slot *s = *at;
        if (nx_core_fn_set_find(set, s->name)) {
            at = &s->next;
            continue;
        }
        *at = s->next;
        s->next = gone;
        gone = s;
    }
    while (fresh) {
        nx_core_slot *next = fresh->next;
        fresh->next = n->slots;
        n->slots = fresh;
        fresh = next;
    }
    pthread_rwlock_unlock(&n->snap_mu);
    nx_core_snapshot_free(old);
    while (gone) {
        nx_core_slot *next = gone->next;
        slot_close(gone, true);
        slot_free(gone);
        gone = next;
    }
}

static bool has_filters_of(const nx_core_slot *s, const nx_core_fn *fn) { return s->opened_for && same_filters(s->opened_for, fn); }

/* After an apply that failed: what runs gets its own filters back, so that no event of its own passes it. Where that fails too (the log is
 * away), the next apply finds the difference. */
static void restore_consumers(nx_node *n, const nx_core_fn_set *now)
{
    for (nx_core_slot *s = n->slots; s; s = s->next) {
        nx_core_fn *fn = nx_core_fn_set_find(now, s->name);
        nx_error e = NX_ERROR_INIT;
        if (!fn || has_filters_of(s, fn))
            continue;
        slot_close(s, false);
        if (slot_consume(s, fn, &e) != NX_OK)
            nx_log(NX_LOG_ERROR, "function.no_consumer", "%s; it gets no events until the next reload", e.msg);
    }
}

static nx_err open_consumers(nx_node *n, const nx_core_fn_set *set, nx_core_slot **ret_fresh, nx_error *reterr)
{
    nx_err err = NX_OK;
    for (unsigned i = 0; err == NX_OK && i < set->n; i++) {
        nx_core_fn *fn = set->v[i];
        nx_core_slot *s = slot_find(n, fn->name);
        if (!s) {
            nx_core_slot *made = NULL;
            err = slot_open(n, fn, &made, reterr);
            if (err == NX_OK) {
                made->next = *ret_fresh;
                *ret_fresh = made;
            }
        } else if (!has_filters_of(s, fn)) {
            /* The durable consumer keeps its place; only its filters change. */
            slot_close(s, false);
            err = slot_consume(s, fn, reterr);
        }
    }
    return err;
}

nx_err nx_core_registry_apply(nx_node *n, nx_config *cfg, nx_buf *ret_changes, nx_error *reterr)
{
    nx_core_fn_set now = {0}, set = {0};
    nx_core_snapshot *snap = NULL;
    nx_core_slot *fresh = NULL;
    nx_err err = atomic_load(&n->is_draining) ? nx_error_set(reterr, NX_ECLOSED, "the node is stopping") : NX_OK;
    for (nx_core_slot *s = n->slots; err == NX_OK && s; s = s->next) {
        nx_core_fn *fn = nx_core_slot_fn(s);
        if (fn)
            err = nx_core_fn_set_add(&now, fn);
    }
    if (err == NX_OK)
        err = wanted_set(n, cfg, &now, &set, reterr);
    if (err == NX_OK)
        err = check_routes(&set, reterr);
    if (err == NX_OK)
        err = nx_core_snapshot_new(&set, &snap);
    if (err == NX_OK)
        err = raw_subjects(n, &set, reterr);
    if (err == NX_OK)
        err = nx_core_pauses_apply(n, reterr);
    if (err == NX_OK)
        err = open_consumers(n, &set, &fresh, reterr);
    if (err == NX_OK)
        err = nx_core_cron_ensure(n, &set, reterr);
    if (err != NX_OK) {
        nx_core_snapshot_free(snap);
        while (fresh) {
            nx_core_slot *next = fresh->next;
            slot_close(fresh, false); /* the durable consumer stays: at a start it is an old one, whose events wait behind its place */
            slot_free(fresh);
            fresh = next;
        }
        restore_consumers(n, &now);
        if (reterr && !reterr->msg[0])
            nx_error_set(reterr, err, "%s", nx_err_text(err));
    } else {
        note_changes(&now, &set, ret_changes);
        swap_in(n, &set, snap, fresh);
    }
    nx_core_fn_set_done(&now);
    nx_core_fn_set_done(&set);
    return err;
}

void nx_core_registry_clear(nx_node *n)
{
    pthread_mutex_lock(&n->apply_mu); /* an apply that has begun ends first, and the next one sees that the node stops */
    pthread_rwlock_wrlock(&n->snap_mu);
    nx_core_slot *s = n->slots;
    nx_core_snapshot *snap = n->snap;
    n->slots = NULL;
    n->snap = NULL;
    pthread_rwlock_unlock(&n->snap_mu);
    nx_core_snapshot_free(snap);
    while (s) {
        nx_core_slot *next = s->next;
        slot_close(s, false);
        slot_free(s);
        s = next;
    }
    pthread_mutex_unlock(&n->apply_mu);
}

/* ---- reading -------------------------------------------------------------------------------------------------------------------------- */

nx_err nx_core_registry_route(nx_node *n, nx_slice method, nx_slice path, nx_arena *a, nx_ingest_route *ret, nx_slice *ret_allow)
{
    pthread_rwlock_rdlock(&n->snap_mu);
    nx_err err = n->snap ? nx_core_snapshot_route(n->snap, method, path, a, ret, ret_allow) : NX_ENOENT;
    pthread_rwlock_unlock(&n->snap_mu);
    return err;
}

unsigned nx_core_registry_subscribers(nx_node *n, nx_slice type, nx_core_fn **ret_first)
{
    pthread_rwlock_rdlock(&n->snap_mu);
    unsigned count = n->snap ? nx_core_snapshot_subscribers(n->snap, type, ret_first) : 0;
    pthread_rwlock_unlock(&n->snap_mu);
    return count;
}
