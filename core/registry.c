/* registry.c: which functions run on this node, and changing that as a whole: project functions of nexus.yaml plus live versions of the registry.
 * An apply first makes everything that can fail (modules, artifacts in the log, consumers), then swaps snapshot and slots. */
#include "fn.h"
#include "lanes.h"
#include <stdio.h>
#include <stdlib.h>

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

/* The artifact that was read last, and stored and loaded, for the functions of a project that share one. */
typedef struct last_artifact {
    const nx_fn_config *of; /* NULL: none */
    nx_buf bytes;
    nx_sha256 digest;
    bool is_stored;
    nx_rt_program *program; /* a reference; NULL: not loaded, or not for memory_bytes */
    uint64_t memory_bytes;
} last_artifact;

static void last_artifact_drop(last_artifact *last)
{
    nx_rt_program_unref(last->program);
    last->program = NULL;
    last->is_stored = false;
    last->of = NULL;
}

static nx_err read_artifact(nx_config *cfg, const nx_fn_config *f, last_artifact *last, nx_error *reterr)
{
    if (last->of && nx_slice_eq(last->of->code_path, f->code_path) && !(last->of->n_files | f->n_files) && last->of->is_preinit == f->is_preinit && nx_slice_eq(last->of->init, f->init))
        return NX_OK;
    last_artifact_drop(last);
    nx_buf_clear(&last->bytes);
    nx_err err = nx_artifact_read(cfg, f, &last->bytes, reterr);
    if (err != NX_OK)
        return err;
    last->digest = nx_sha256_of(nx_buf_view(&last->bytes));
    last->of = f;
    return NX_OK;
}

static nx_err load_artifact(nx_node *n, last_artifact *last, uint64_t memory_bytes, nx_error *reterr)
{
    if (last->program && last->memory_bytes == memory_bytes)
        return NX_OK;
    nx_rt_program_unref(last->program);
    last->program = NULL;
    last->memory_bytes = memory_bytes;
    nx_err err = nx_rt_program_load(n->rt, nx_buf_view(&last->bytes), &last->digest, memory_bytes, &last->program, reterr);
    if (err == NX_OK && !last->is_stored)
        err = nx_fab_artifact_put(n->ns, &last->digest, nx_buf_view(&last->bytes), reterr);
    last->is_stored |= err == NX_OK;
    return err;
}

/* The function as the project file has it now: the running one where nothing changed. */
static nx_err project_fn(nx_node *n, nx_config *cfg, const nx_fn_config *f, nx_core_fn *now, last_artifact *last, nx_core_fn **ret, nx_error *reterr)
{
    nx_sha256 settings;
    nx_err err = read_artifact(cfg, f, last, reterr);
    if (err == NX_OK)
        err = nx_core_settings_digest(f, &settings);
    if (err != NX_OK)
        return nx_error_prefix(reterr, "function '%.*s'", NX_SLICE_FMT(f->name)), err;
    nx_sha256 artifact = last->digest;
    char hex[NX_SHA256_HEX + 1], version[32];
    nx_sha256_hex(&artifact, hex);
    if (now && now->is_project && strcmp(now->artifact, hex) == 0 && memcmp(&now->settings_sha256, &settings, sizeof settings) == 0) {
        *ret = nx_core_fn_ref(now);
        return NX_OK;
    }
    err = load_artifact(n, last, f->memory_bytes, reterr);
    if (err != NX_OK)
        return nx_error_prefix(reterr, "function '%.*s' (%.*s)", NX_SLICE_FMT(f->name), NX_SLICE_FMT(f->code_path)), err;
    nx_sha256 both[2] = {artifact, settings}, mixed = nx_sha256_of(nx_slice_make(both, sizeof both));
    snprintf(version, sizeof version, "dev-%02x%02x%02x%02x", mixed.b[0], mixed.b[1], mixed.b[2], mixed.b[3]);
    err = nx_core_fn_new(cfg, f, version, &artifact, &settings, nx_rt_program_ref(last->program), ret);
    if (err == NX_OK)
        (*ret)->is_project = true;
    return err;
}

static nx_err wanted_set(nx_node *n, nx_config *cfg, const nx_core_fn_set *now, nx_core_fn_set *set, nx_error *reterr)
{
    last_artifact last = {.bytes = NX_BUF_INIT(NX_CORE_MODULE_BYTES_MAX + 1)};
    nx_err err = NX_OK;
    for (unsigned i = 0; err == NX_OK && n->opt.is_dev && i < cfg->n_functions; i++) {
        const nx_fn_config *f = &cfg->functions[i];
        char name[NX_FUNCTION_NAME_BYTES + 1];
        snprintf(name, sizeof name, "%.*s", NX_SLICE_FMT(f->name));
        nx_core_fn *fn = NULL;
        err = project_fn(n, cfg, f, nx_core_fn_set_find(now, name), &last, &fn, reterr);
        if (err == NX_OK)
            err = nx_core_fn_set_add(set, fn);
    }
    last_artifact_drop(&last);
    nx_buf_done(&last.bytes);
    if (err == NX_OK)
        err = nx_core_stored_functions(n, now, set, reterr);
    for (unsigned i = 0; err == NX_OK && i < set->n; i++)
        metrics_of_all(n, set->v[i]);
    return err;
}

static nx_err route_is_twice(const nx_core_fn *one, const nx_core_fn *other, nx_error *reterr)
{
    return nx_error_set(reterr, NX_ECONFLICT, "functions '%s' and '%s' both have the route %.*s %.*s", one->name, other->name,
                        NX_SLICE_FMT(one->settings->http_method), NX_SLICE_FMT(one->settings->http_path));
}

/* Two functions with one route: the registry's would shadow the project's. */
static nx_err check_routes(const nx_core_fn_set *set, nx_error *reterr)
{
    nx_core_fn **v = calloc(set->n + 1u, sizeof(nx_core_fn *));
    unsigned n = 0;
    nx_err err = v ? NX_OK : nx_error_set(reterr, NX_ENOMEM, "out of memory");
    for (unsigned i = 0; v && i < set->n; i++)
        if (set->v[i]->type[0])
            v[n++] = set->v[i];
    if (v)
        qsort(v, n, sizeof(nx_core_fn *), nx_core_route_cmp);
    for (unsigned i = 1; err == NX_OK && i < n; i++)
        if (nx_core_route_cmp(&v[i - 1], &v[i]) == 0)
            err = route_is_twice(v[i - 1], v[i], reterr);
    free(v);
    return err;
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
        nx_core_slot *s = nx_core_slot_find(n, set->v[i]->name);
        if (s)
            nx_core_slot_set(s, nx_core_fn_ref(set->v[i]));
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
        s = nx_core_slot_unlink(n, at);
        s->next = gone;
        gone = s;
    }
    while (fresh) {
        nx_core_slot *next = fresh->next;
        nx_core_slot_link(n, fresh);
        fresh = next;
    }
    pthread_rwlock_unlock(&n->snap_mu);
    nx_core_snapshot_free(old);
    while (gone) {
        nx_core_slot *next = gone->next;
        nx_core_slot_close(gone, true);
        nx_core_slot_free(gone);
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
        nx_core_slot_close(s, false);
        if (nx_core_slot_consume(s, fn, &(nx_core_consumers){0}, &e) != NX_OK)
            nx_log(NX_LOG_ERROR, "function.no_consumer", "%s; it gets no events until the next reload", e.msg);
    }
}

static nx_err open_one(nx_node *n, nx_core_fn *fn, const nx_core_consumers *there, nx_core_slot **ret_fresh, nx_error *reterr)
{
    nx_core_slot *s = nx_core_slot_find(n, fn->name), *made = NULL;
    if (s && has_filters_of(s, fn))
        return nx_core_slot_expect_timers(s, fn, there, reterr);
    if (s) { /* the durable consumer keeps its place; only its filters change */
        nx_core_slot_close(s, false);
        return nx_core_slot_consume(s, fn, there, reterr);
    }
    nx_err err = nx_core_slot_open(n, fn, there, &made, reterr);
    if (err == NX_OK) {
        made->next = *ret_fresh;
        *ret_fresh = made;
    }
    return err;
}

/* Of those that have no slot yet: at a start these are all. */
static nx_err see_consumers(nx_node *n, const nx_core_fn_set *set, nx_core_consumers *there, nx_error *reterr)
{
    unsigned count = 0;
    nx_core_fn **fresh = calloc(set->n + 1u, sizeof(nx_core_fn *));
    if (!fresh)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    for (unsigned i = 0; i < set->n; i++)
        if (!nx_core_slot_find(n, set->v[i]->name))
            fresh[count++] = set->v[i];
    nx_err err = count ? nx_core_consumers_see(n, fresh, count, there, reterr) : NX_OK;
    free(fresh);
    return err;
}

/* `only`: the others have not changed; NULL: any may have. */
static nx_err open_consumers(nx_node *n, const nx_core_fn_set *set, nx_core_fn *only, nx_core_slot **ret_fresh, nx_error *reterr)
{
    nx_core_consumers there = {0};
    nx_err err = nx_core_consumers_read(n, &there, reterr);
    if (err == NX_OK && !only)
        err = see_consumers(n, set, &there, reterr);
    for (unsigned i = 0; err == NX_OK && i < set->n; i++)
        if (!only || only == set->v[i])
            err = open_one(n, set->v[i], &there, ret_fresh, reterr);
    if (err == NX_OK && !only && *ret_fresh)
        nx_fab_settle(n->fab); /* the first event is not to wait for thousands of consumers */
    nx_core_consumers_done(&there);
    return err;
}

static nx_err running_set(const nx_node *n, nx_core_fn_set *ret)
{
    nx_err err = NX_OK;
    for (nx_core_slot *s = n->slots; err == NX_OK && s; s = s->next) {
        nx_core_fn *fn = nx_core_slot_fn(s);
        if (fn)
            err = nx_core_fn_set_add(ret, fn);
    }
    return err;
}

/* Consumers first, then all together, or as it was. `only`: the one that differs from what runs, which has neither raw subjects nor schedules. */
static nx_err apply_set(nx_node *n, const nx_core_fn_set *now, const nx_core_fn_set *set, nx_core_fn *only, nx_error *reterr)
{
    nx_core_snapshot *snap = NULL;
    nx_core_slot *fresh = NULL;
    nx_err err = nx_core_snapshot_new(set, &snap);
    if (err == NX_OK && !only)
        err = raw_subjects(n, set, reterr);
    if (err == NX_OK && !only)
        err = nx_core_pauses_apply(n, reterr);
    if (err == NX_OK)
        err = open_consumers(n, set, only, &fresh, reterr);
    if (err == NX_OK && !only)
        err = nx_core_cron_ensure(n, set, reterr);
    if (err == NX_OK) {
        for (unsigned i = 0; i < set->n; i++) /* before the old ones go, which may be the same program */
            nx_core_fn_warm(set->v[i]);
        swap_in(n, set, snap, fresh);
        return NX_OK;
    }
    nx_core_snapshot_free(snap);
    while (fresh) {
        nx_core_slot *next = fresh->next;
        nx_core_slot_close(fresh, false); /* the durable consumer stays: at a start it is an old one, whose events wait behind its place */
        nx_core_slot_free(fresh);
        fresh = next;
    }
    restore_consumers(n, now);
    return err;
}

static nx_err explained(nx_err err, nx_error *reterr)
{
    if (err != NX_OK && reterr && !reterr->msg[0])
        nx_error_set(reterr, err, "%s", nx_err_text(err));
    return err;
}

nx_err nx_core_registry_apply(nx_node *n, nx_config *cfg, nx_buf *ret_changes, nx_error *reterr)
{
    nx_core_fn_set now = {0}, set = {0};
    nx_err err = atomic_load(&n->is_draining) ? nx_error_set(reterr, NX_ECLOSED, "the node is stopping") : running_set(n, &now);
    if (err == NX_OK)
        err = wanted_set(n, cfg, &now, &set, reterr);
    if (err == NX_OK)
        err = check_routes(&set, reterr);
    if (err == NX_OK)
        err = apply_set(n, &now, &set, NULL, reterr);
    else
        restore_consumers(n, &now);
    if (err == NX_OK)
        note_changes(&now, &set, ret_changes);
    nx_core_fn_set_done(&now);
    nx_core_fn_set_done(&set);
    return explained(err, reterr);
}

static bool has_more_than_events(const nx_core_fn *fn) { return fn->settings->n_nats || fn->settings->n_crons; }

/* The running set with `fn` in the place of the one of its name. */
static nx_err set_with(const nx_core_fn_set *now, nx_core_fn *fn, nx_core_fn_set *ret)
{
    nx_err err = nx_core_fn_set_add(ret, nx_core_fn_ref(fn));
    for (unsigned i = 0; err == NX_OK && i < now->n; i++)
        if (strcmp(now->v[i]->name, fn->name) != 0)
            err = nx_core_fn_set_add(ret, nx_core_fn_ref(now->v[i]));
    return err;
}

static nx_err replace_one(nx_node *n, nx_core_fn *fn, nx_buf *ret_changes, nx_error *reterr)
{
    nx_core_fn_set now = {0}, set = {0};
    const nx_core_fn *owner = fn->type[0] ? nx_core_snapshot_owner(n->snap, fn->settings->http_method, fn->settings->http_path) : NULL;
    if (owner && strcmp(owner->name, fn->name) != 0)
        return route_is_twice(owner, fn, reterr);
    nx_err err = running_set(n, &now);
    if (err == NX_OK)
        err = set_with(&now, fn, &set);
    if (err == NX_OK)
        err = apply_set(n, &now, &set, fn, reterr);
    if (err == NX_OK)
        note_changes(&now, &set, ret_changes);
    nx_core_fn_set_done(&now);
    nx_core_fn_set_done(&set);
    return err;
}

nx_err nx_core_registry_apply_one(nx_node *n, const char *name, nx_buf *ret_changes, nx_error *reterr)
{
    if (atomic_load(&n->is_draining))
        return nx_error_set(reterr, NX_ECLOSED, "the node is stopping");
    nx_core_slot *s = nx_core_slot_find(n, name);
    nx_core_fn *running = s ? nx_core_slot_fn(s) : NULL, *fn = NULL;
    nx_err err = NX_OK;
    if (running && running->is_project) { /* which the project's function hides */
        nx_core_fn_unref(running);
        return NX_OK;
    }
    if (n->snap && (!running || !has_more_than_events(running)))
        err = nx_core_stored_function(n, name, running, &fn, NULL);
    /* What is gone, can't be loaded or touches more than its own consumer is the whole apply's to settle. */
    bool is_whole = err != NX_OK || !fn || has_more_than_events(fn);
    if (is_whole)
        err = nx_core_registry_apply(n, n->cfg, ret_changes, reterr);
    else if (fn != running) {
        metrics_of_all(n, fn);
        err = replace_one(n, fn, ret_changes, reterr);
    }
    nx_core_fn_unref(running);
    nx_core_fn_unref(fn);
    return explained(err, reterr);
}

void nx_core_registry_clear(nx_node *n)
{
    pthread_mutex_lock(&n->apply_mu); /* an apply that has begun ends first, and the next one sees that the node stops */
    pthread_rwlock_wrlock(&n->snap_mu);
    nx_core_slot *s = n->slots;
    nx_core_snapshot *snap = n->snap;
    n->slots = NULL;
    memset(n->slots_by_name, 0, sizeof n->slots_by_name);
    n->snap = NULL;
    pthread_rwlock_unlock(&n->snap_mu);
    nx_core_snapshot_free(snap);
    while (s) {
        nx_core_slot *next = s->next;
        nx_core_slot_close(s, false);
        nx_core_slot_free(s);
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
