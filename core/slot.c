/* slot.c: a function's name on this node: its consumers, opened, reopened and closed, and finding it by its name.
 * Most functions never set a timer, so the consumer of a function's due timers is made when the first one is set: before it is. From then on it is on
 * the server, where every node of the namespace finds it: at a start, at each apply and every few seconds. */
#include "fn.h"
#include "lanes.h"
#include <stdio.h>
#include <stdlib.h>

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
void nx_core_slot_set(nx_core_slot *s, nx_core_fn *take_fn)
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

nx_core_slot *nx_core_slot_find(const nx_node *n, const char *name)
{
    nx_core_slot *s = n->slots_by_name[nx_slice_hash(nx_slice_cstr(name)) % NX_CORE_SLOT_BUCKETS];
    while (s && strcmp(s->name, name) != 0)
        s = s->hash_next;
    return s;
}

void nx_core_slot_link(nx_node *n, nx_core_slot *s)
{
    nx_core_slot **b = &n->slots_by_name[nx_slice_hash(nx_slice_cstr(s->name)) % NX_CORE_SLOT_BUCKETS];
    s->hash_next = *b;
    *b = s;
    s->next = n->slots;
    n->slots = s;
}

/* `at`: where n->slots or a slot's next points to it. */
nx_core_slot *nx_core_slot_unlink(nx_node *n, nx_core_slot **at)
{
    nx_core_slot *s = *at, **b = &n->slots_by_name[nx_slice_hash(nx_slice_cstr(s->name)) % NX_CORE_SLOT_BUCKETS];
    while (*b != s)
        b = &(*b)->hash_next;
    *b = s->hash_next;
    *at = s->next;
    return s;
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

void nx_core_slot_close(nx_core_slot *s, bool remove)
{
    nx_fab_consumer *c = s->consumer;
    slot_consumer(s, NULL);
    nx_fab_consumer_close(c, remove);
    nx_core_lanes_close(s, remove);
    nx_fab_consumer_close(s->timers, remove);
    s->timers = NULL;
    atomic_store(&s->has_timers, false);
    nx_core_fn_unref(s->opened_for);
    s->opened_for = NULL;
}

void nx_core_slot_free(nx_core_slot *s)
{
    nx_obs_set(s->m_pending, 0);
    nx_obs_set(s->m_paused, 0);
    nx_obs_set(s->m_dlq, 0);
    nx_core_slot_set(s, NULL);
    nx_core_gate_close(s->gate);
    nx_core_gate_unref(s->gate);
    nx_rt_share_unref(s->share);
    pthread_mutex_destroy(&s->mu);
    free(s);
}

/* With a key it is not known how many of them can run: what waits at a key must not keep others from coming. Nor must what is gathered for a batch. */
static unsigned in_hand_max(const nx_fn_config *f) { return f->concurrency_key.n || f->batch_max ? 0 : f->concurrency; }

static void plain_durable(const char *function, char out[NX_FUNCTION_NAME_BYTES + 8]) { snprintf(out, NX_FUNCTION_NAME_BYTES + 8, "fn-%s", function); }

/* Names of a function's consumers of events, for options that lend them. */
typedef struct events_names {
    char durable[NX_FUNCTION_NAME_BYTES + 8], lanes[NX_CORE_LANES][NX_FUNCTION_NAME_BYTES + 16];
    const char *before[NX_CORE_LANES + 1];
} events_names;

/* Used without `ordering: key`. */
static nx_fab_consumer_options events_options(const nx_core_fn *fn, events_names *names)
{
    const nx_fn_config *f = fn->settings;
    plain_durable(fn->name, names->durable);
    for (unsigned i = 0; i < NX_CORE_LANES; i++) {
        nx_core_lane_durable(fn->name, i, names->lanes[i]);
        names->before[i] = names->lanes[i];
    }
    names->before[NX_CORE_LANES] = NULL;
    return (nx_fab_consumer_options){
        .durable = names->durable,
        .types = fn->types,
        .n_types = fn->n_types,
        .subjects = f->nats,
        .n_subjects = f->n_nats,
        .max_inflight = in_hand_max(f),
        .successor_of = names->before,
        .placed_for = nx_slice_cstr(fn->name),
        .on_msg = nx_core_dispatch_on_msg,
    };
}

/* A function that is ordered now and was not before, or the other way round, goes on where it was: its consumers are others. */
static nx_err consume_events(nx_core_slot *s, const nx_core_fn *fn, bool is_paused, const nx_fab_seen *seen, nx_error *reterr)
{
    events_names names;
    nx_fab_consumer_options o = events_options(fn, &names);
    nx_fab_consumer *c = NULL;
    if (fn->settings->ordering == NX_ORDERING_KEY) {
        nx_err err = nx_core_lanes_open(s, fn, is_paused, seen, reterr);
        return err == NX_OK && !nx_fab_seen_is_absent(s->node->ns, seen, names.durable) ? nx_fab_consumer_remove(s->node->ns, names.durable, reterr) : err;
    }
    o.is_paused = is_paused;
    o.seen = seen;
    o.self = s;
    nx_err err = nx_fab_consumer_open(s->node->ns, &o, &c, reterr);
    if (err == NX_OK)
        slot_consumer(s, c);
    for (unsigned i = 0; err == NX_OK && nx_fab_consumer_has_succeeded(c) && i < NX_CORE_LANES; i++)
        err = nx_fab_consumer_remove(s->node->ns, names.lanes[i], reterr);
    return err;
}

void nx_core_due_durable(const char *function, char out[NX_FUNCTION_NAME_BYTES + 8]) { snprintf(out, NX_FUNCTION_NAME_BYTES + 8, "due-%s", function); }

/* Whether timers are to be expected of a function's settings; nodes that share ranges of keys count each other by who asks for them. */
static bool sets_timers(const nx_fn_config *f) { return f->n_crons || f->retry_max_attempts > 1 || f->throttle || f->debounce_ns || f->ordering == NX_ORDERING_KEY; }

static int by_name(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

nx_err nx_core_consumers_read(nx_node *n, nx_core_consumers *ret, nx_error *reterr)
{
    nx_arena_init(&ret->arena, 16u << 20);
    nx_err err = nx_fab_timers_functions(n->ns, &ret->arena, &ret->timed, &ret->n_timed, reterr);
    if (err == NX_OK && ret->n_timed)
        qsort(ret->timed, ret->n_timed, sizeof *ret->timed, by_name);
    return err;
}

void nx_core_consumers_done(nx_core_consumers *c)
{
    nx_fab_seen_free(c->seen);
    nx_arena_done(&c->arena);
}

static bool expects_timers(const nx_core_consumers *there, const nx_core_fn *fn)
{
    const char *name = fn->name;
    return sets_timers(fn->settings) || (there->n_timed && bsearch(&name, there->timed, there->n_timed, sizeof *there->timed, by_name));
}

/* `due`: lent by the options. */
static nx_fab_consumer_options timers_options(const nx_core_fn *fn, char due[NX_FUNCTION_NAME_BYTES + 8])
{
    nx_core_due_durable(fn->name, due);
    return (nx_fab_consumer_options){
        .durable = due,
        .timers_of = nx_slice_cstr(fn->name),
        .max_inflight = in_hand_max(fn->settings),
        .on_msg = nx_core_dispatch_on_due,
    };
}

/* The consumers of one function: their names, and options of those that can be made beside others. What `ordering: key` begins with takes a look at the log. */
typedef struct wanted {
    nx_arena *arena;
    nx_fab_durable *v;
    nx_fab_consumer_options *options;
    unsigned n, n_options;
} wanted;

static bool want(wanted *w, const nx_core_consumers *c, const nx_core_fn *fn)
{
    events_names *names = nx_arena_alloc(w->arena, sizeof *names);
    char *due = nx_arena_alloc(w->arena, NX_FUNCTION_NAME_BYTES + 8);
    if (!names || !due)
        return false;
    nx_fab_consumer_options o = events_options(fn, names);
    w->v[w->n++].name = names->durable;
    if (fn->settings->ordering != NX_ORDERING_KEY)
        w->options[w->n_options++] = o;
    for (unsigned k = 0; fn->settings->ordering == NX_ORDERING_KEY && k < NX_CORE_LANES; k++)
        w->v[w->n++].name = names->lanes[k];
    if (expects_timers(c, fn)) {
        w->options[w->n_options++] = timers_options(fn, due);
        w->v[w->n++] = (nx_fab_durable){.name = due, .is_of_timers = true};
    }
    return true;
}

nx_err nx_core_consumers_see(nx_node *n, nx_core_fn *const *fns, unsigned n_fns, nx_core_consumers *c, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(256u << 20);
    wanted w = {.arena = &a};
    w.v = nx_arena_calloc(&a, (NX_CORE_LANES + 2u) * n_fns + 1u, sizeof *w.v);
    w.options = nx_arena_calloc(&a, 2u * n_fns + 1u, sizeof *w.options);
    bool is_ok = w.v && w.options;
    for (unsigned i = 0; is_ok && i < n_fns; i++)
        is_ok = want(&w, c, fns[i]);
    if (!is_ok)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    nx_err err = nx_fab_consumers_see(n->ns, w.v, w.n, &c->seen, reterr);
    return err == NX_OK ? nx_fab_consumers_make(n->ns, w.options, w.n_options, c->seen, reterr) : err;
}

static nx_err consume_timers(nx_core_slot *s, const nx_core_fn *fn, const nx_fab_seen *seen, nx_error *reterr)
{
    char due[NX_FUNCTION_NAME_BYTES + 8];
    nx_fab_consumer_options timers = timers_options(fn, due);
    timers.is_paused = nx_core_pause_get(s->node->pauses, fn->name, NULL);
    timers.seen = seen;
    timers.self = s;
    nx_err err = nx_fab_consumer_open(s->node->ns, &timers, &s->timers, reterr);
    if (err == NX_OK)
        atomic_store(&s->has_timers, true);
    return err;
}

nx_err nx_core_slot_expect_timers(nx_core_slot *s, const nx_core_fn *fn, const nx_core_consumers *there, nx_error *reterr)
{
    return !s->timers && expects_timers(there, fn) ? consume_timers(s, fn, there->seen, reterr) : NX_OK;
}

nx_err nx_core_slot_consume(nx_core_slot *s, nx_core_fn *fn, const nx_core_consumers *there, nx_error *reterr)
{
    const nx_fn_config *f = fn->settings;
    nx_core_gate_rule rule = {
        .limit = f->singleton.n ? 1 : f->concurrency,
        .is_keyed = f->concurrency_key.n || f->singleton.n,
        .is_singleton = f->singleton.n > 0,
        .is_cancel = nx_slice_eq_cstr(f->singleton, "cancel"),
    };
    nx_core_gate_set_rule(s->gate, &rule, s->node->keys, s->name);
    nx_err err = consume_events(s, fn, nx_core_pause_get(s->node->pauses, fn->name, NULL), there->seen, reterr);
    if (err == NX_OK)
        err = nx_core_slot_expect_timers(s, fn, there, reterr);
    if (err != NX_OK) {
        nx_core_slot_close(s, false);
        return nx_error_prefix(reterr, "function '%s'", fn->name), err;
    }
    s->opened_for = nx_core_fn_ref(fn);
    return NX_OK;
}

/* ---- timers of a function that had none ------------------------------------------------------------------------------------------------- */

bool nx_core_timers_are_consumed(nx_node *n, const char *function)
{
    pthread_rwlock_rdlock(&n->snap_mu);
    nx_core_slot *s = nx_core_slot_find(n, function);
    bool is_so = s && atomic_load(&s->has_timers);
    pthread_rwlock_unlock(&n->snap_mu);
    return is_so;
}

nx_err nx_core_timers_need(nx_node *n, const char *function, nx_error *reterr)
{
    if (nx_core_timers_are_consumed(n, function))
        return NX_OK;
    pthread_mutex_lock(&n->apply_mu);
    nx_core_slot *s = nx_core_slot_find(n, function);
    nx_core_fn *fn = s ? nx_core_slot_fn(s) : NULL;
    nx_err err = fn ? NX_OK : nx_error_set(reterr, NX_ENOENT, "there is no function '%s' here", function);
    if (err == NX_OK && !s->timers)
        err = consume_timers(s, fn, NULL, reterr);
    pthread_mutex_unlock(&n->apply_mu);
    nx_core_fn_unref(fn);
    return err;
}

#define LOOK_EVERY_NS (10 * NX_NS_PER_S)

/* Another node may have set a function's first timer, and be gone. */
static void look_job(nx_core_job *job)
{
    nx_node *n = (nx_node *)(void *)((char *)job - offsetof(nx_node, timers_job));
    nx_core_consumers there = {0};
    nx_error e = NX_ERROR_INIT;
    nx_err err = nx_core_consumers_read(n, &there, &e);
    pthread_mutex_lock(&n->apply_mu);
    for (unsigned i = 0; err == NX_OK && i < there.n_timed && !atomic_load(&n->is_draining); i++) {
        nx_core_slot *s = nx_core_slot_find(n, there.timed[i]);
        nx_core_fn *fn = s && !s->timers && s->opened_for ? nx_core_slot_fn(s) : NULL;
        if (fn)
            err = consume_timers(s, fn, NULL, &e);
        nx_core_fn_unref(fn);
    }
    pthread_mutex_unlock(&n->apply_mu);
    if (err != NX_OK && !nx_err_is_retryable(err))
        nx_log(NX_LOG_ERROR, "timers.not_looked", "which functions have timers could not be read: %s", e.msg);
    nx_core_consumers_done(&there);
    atomic_store(&n->timers_due_ns, nx_clock_ns() + LOOK_EVERY_NS);
}

void nx_core_timers_tick(nx_node *n, uint64_t now_ns)
{
    uint64_t due = atomic_load(&n->timers_due_ns);
    if (due > now_ns || atomic_load(&n->is_draining) || !atomic_compare_exchange_strong(&n->timers_due_ns, &due, UINT64_MAX))
        return;
    n->timers_job.run = look_job;
    if (nx_core_jobs_post(n->jobs, &n->timers_job) != NX_OK)
        atomic_store(&n->timers_due_ns, now_ns + LOOK_EVERY_NS);
}

/* ---- opening ------------------------------------------------------------------------------------------------------------------------------ */

/* A slot whose consumer runs with this function's filters; the function itself is put in by the swap. */
nx_err nx_core_slot_open(nx_node *n, nx_core_fn *fn, const nx_core_consumers *there, nx_core_slot **ret, nx_error *reterr)
{
    nx_core_slot *s = calloc(1, sizeof *s);
    if (!s)
        return nx_error_set(reterr, NX_ENOMEM, "function '%s'", fn->name);
    pthread_mutex_init(&s->mu, NULL);
    s->node = n;
    snprintf(s->name, sizeof s->name, "%s", fn->name);
    s->gate = nx_core_gate_new();
    nx_err err = s->gate ? nx_rt_share_new(n->group, &s->share) : NX_ENOMEM;
    if (err == NX_OK) {
        nx_core_slot_set(s, nx_core_fn_ref(fn));
        err = nx_core_slot_consume(s, fn, there, reterr);
    } else {
        nx_error_set(reterr, err, "function '%s'", fn->name);
    }
    if (err != NX_OK) {
        nx_core_slot_free(s);
        return err;
    }
    nx_kv label[] = {{NX_SLICE("function"), nx_slice_cstr(s->name)}};
    s->m_pending = nx_obs_gauge(n->metrics, "nexus_function_pending_events", "Stored events that wait for the function.", 1, label);
    s->m_paused = nx_obs_gauge(n->metrics, "nexus_function_paused", "1 while the function is paused.", 1, label);
    s->m_dlq = nx_obs_gauge(n->metrics, "nexus_dlq_events", "Events of the function in the dead-letter queue.", 1, label);
    *ret = s;
    return NX_OK;
}
