/* backfill.c: the job "backfill": events of the past for a function that was not there yet. A durable consumer of its own ("bf-<function>") brings
 * them in the order of the log, beside the one that brings new events; each is a run like any other, recorded and tried again the same way. The
 * consumer is the job's place: it survives nodes, and what it has not finished is not trimmed from the log.
 * Where new events begin is when the function's own consumer was made, by the server's clock; around that moment events are looked up first.
 * A function with `ordering: key` has its past from its own consumers; there the job only follows them (past_job.c). */
#include "job_internal.h"
#include "nx/fab_range.h"
#include "past.h"
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define INFLIGHT 32u /* messages in hand: live events have the other places */
#define LOOK_NS (500 * NX_NS_PER_MS)
#define PACE_NS (20 * NX_NS_PER_MS)
#define OVERLAP_NS (2 * NX_NS_PER_S)
#define DURABLE_BYTES (NX_FUNCTION_NAME_BYTES + 8)

typedef struct backfill {
    nx_node *node;
    nx_job *job;
    char function[NX_FUNCTION_NAME_BYTES + 1];
    uint64_t from, to, live_wall_ns;
    unsigned rate;
    nx_effects_policy effects;
    nx_fab_consumer *consumer;
    pthread_mutex_t mu;
    pthread_cond_t cv;
    nx_fab_msg *queue[INFLIGHT]; /* delivered, and not handed on yet */
    unsigned head, count;
} backfill;

/* ---- asking ---------------------------------------------------------------------------------------------------------------------------------- */

static nx_err check_function(nx_node *n, nx_slice name, bool *ret_is_ordered, nx_error *reterr)
{
    nx_core_fn *fn = NULL;
    pthread_rwlock_rdlock(&n->snap_mu);
    for (nx_core_slot *s = n->slots; s && !fn; s = s->next)
        if (nx_slice_eq_cstr(name, s->name))
            fn = nx_core_slot_fn(s);
    pthread_rwlock_unlock(&n->snap_mu);
    *ret_is_ordered = fn && fn->settings->ordering == NX_ORDERING_KEY;
    bool is_found = fn != NULL;
    nx_core_fn_unref(fn);
    return is_found ? NX_OK : nx_error_set(reterr, NX_ENOENT, "there is no function '%.*s' on this node", NX_SLICE_FMT(name));
}

static nx_err check(nx_node *n, const nx_json *asked, bool *ret_is_ordered, uint64_t *ret_since, nx_effects_policy *ret_effects, nx_error *reterr)
{
    nx_slice function = nx_json_get_str(asked, "function"), since = nx_json_get_str(asked, "since"), effects = nx_json_get_str(asked, "effects");
    int64_t rate = nx_json_get_i64(asked, "rate", 0);
    *ret_effects = NX_EFFECTS_LIVE;
    if (!function.n || !since.n)
        return nx_error_set(reterr, NX_EINVAL, "a backfill needs a function, and since when it takes events (since)");
    nx_err err = check_function(n, function, ret_is_ordered, reterr);
    if (err != NX_OK)
        return err;
    if (rate < 0 || rate > NX_CORE_BACKFILL_RATE_MAX)
        return nx_error_set(reterr, NX_EINVAL, "rate: events a second, from 1 to %u", NX_CORE_BACKFILL_RATE_MAX);
    if (effects.n && (nx_effects_policy_parse(effects, ret_effects) != NX_OK || *ret_effects == NX_EFFECTS_RECORDED))
        return nx_error_set(reterr, NX_EINVAL, "effects: \"%.*s\" is none of live, deny; there is no recording of a run that never was", NX_SLICE_FMT(effects));
    return nx_clock_parse_when("since", since, nx_clock_wall_ns(), ret_since, reterr);
}

static nx_err prepare(nx_node *n, const nx_json *asked, nx_jw *w, nx_error *reterr)
{
    nx_slice function = nx_json_get_str(asked, "function");
    nx_fab_consumer_info info;
    nx_effects_policy effects;
    uint64_t since, from, to;
    char durable[DURABLE_BYTES], text[NX_RFC3339_MAX];
    bool is_ordered = false;
    nx_err err = check(n, asked, &is_ordered, &since, &effects, reterr);
    if (err != NX_OK || is_ordered)
        return err == NX_OK ? nx_core_past_job_prepare(n, function, w, reterr) : err;
    snprintf(durable, sizeof durable, "fn-%.*s", NX_SLICE_FMT(function));
    err = nx_fab_consumer_info_get(n->ns, durable, &info, reterr);
    if (err == NX_OK)
        err = nx_fab_range_bounds(n->ns, true, since, info.made_wall_ns + OVERLAP_NS, &from, &to, reterr);
    if (err != NX_OK)
        return err;
    nx_jw_object(w);
    nx_jw_kstr(w, "function", function);
    nx_jw_kstr(w, "since", nx_slice_make(text, nx_clock_rfc3339(since, 3, text)));
    nx_jw_kcstr(w, "effects", nx_effects_policy_name(effects));
    if (nx_json_get_i64(asked, "rate", 0))
        nx_jw_ku64(w, "rate", nx_json_get_u64(asked, "rate", 0));
    nx_jw_ku64(w, "from", from > INT64_MAX ? INT64_MAX : from);
    nx_jw_ku64(w, "to", to);
    nx_jw_ku64(w, "live_wall_ns", info.made_wall_ns);
    nx_jw_object_end(w);
    return NX_OK;
}

/* ---- functions[].from -------------------------------------------------------------------------------------------------------------------------- */

/* Once in the life of a function: the key stays. The job's id follows from the function, so a node that dies in between does no harm. */
static nx_err see_to(nx_node *n, const nx_core_fn *fn)
{
    char key[NX_FUNCTION_NAME_BYTES + 16], durable[NX_FUNCTION_NAME_BYTES + 16];
    bool is_ordered = fn->settings->ordering == NX_ORDERING_KEY;
    nx_core_past past = {0};
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(64u << 10);
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(4096);
    nx_fab_consumer_info info;
    nx_slice there;
    nx_json *asked = NULL;
    nx_error e = NX_ERROR_INIT;
    snprintf(key, sizeof key, "backfill.%s", fn->name);
    snprintf(durable, sizeof durable, "fn-%s", fn->name);
    if (is_ordered)
        nx_core_lane_durable(fn->name, 0, durable);
    nx_err err = nx_fab_kv_get(n->ns, key, &a, &there, NULL, &e);
    if (err != NX_ENOENT)
        return err;
    err = is_ordered ? nx_core_past_get(n, fn->name, &past, &e) : NX_OK;
    if (err != NX_OK || (is_ordered && (!past.from_seq || past.is_over))) /* it was there before `from` was */
        return err == NX_OK ? NX_EEXIST : err;
    nx_jw w = NX_JW_INIT(&text);
    nx_jw_object(&w);
    nx_jw_kcstr(&w, "function", fn->name);
    nx_jw_kstr(&w, "since", fn->settings->from);
    nx_jw_ku64(&w, "rate", fn->settings->from_rate);
    nx_jw_object_end(&w);
    err = nx_jw_err(&w);
    if (err == NX_OK)
        err = nx_json_parse(nx_buf_view(&text), 4096, &asked, &e);
    if (err == NX_OK)
        err = nx_fab_consumer_info_get(n->ns, durable, &info, &e);
    if (err == NX_OK) {
        nx_sha256 d = nx_sha256_of(nx_slice_cstr(key));
        nx_id id = nx_ulid_derive(info.made_wall_ns / NX_NS_PER_MS, d.b, d.b[9] % NX_SHARDS);
        err = nx_job_submit_as(n, NX_SLICE("backfill"), asked, &id, &e);
        if (err == NX_OK)
            err = nx_fab_kv_put(n->ns, key, nx_id_slice(&id), 0, NULL, &e);
    }
    nx_json_free(asked);
    if (err != NX_OK && err != NX_EEXIST)
        nx_log(NX_LOG_WARN, "backfill.not_started", "function '%s' does not get its events since %.*s yet: %s", fn->name, NX_SLICE_FMT(fn->settings->from), e.msg);
    return err;
}

/* A reference to the next function that was not looked at; the others are marked on the way. */
static nx_core_fn *next_unknown(nx_node *n, nx_slice not_again)
{
    nx_core_fn *found = NULL;
    pthread_rwlock_rdlock(&n->snap_mu);
    for (nx_core_slot *s = n->slots; s && !found; s = s->next) {
        if (not_again.n && nx_slice_eq_cstr(not_again, s->name))
            atomic_store(&s->is_backfill_known, true);
        nx_core_fn *fn = atomic_load(&s->is_backfill_known) ? NULL : nx_core_slot_fn(s);
        if (fn && fn->settings->from.n)
            found = fn;
        else
            nx_core_fn_unref(fn);
    }
    pthread_rwlock_unlock(&n->snap_mu);
    return found;
}

void nx_core_backfill_look(nx_node *n)
{
    char name[NX_FUNCTION_NAME_BYTES + 1] = "";
    for (nx_core_fn *fn = next_unknown(n, NX_SLICE_NULL); fn; fn = next_unknown(n, nx_slice_cstr(name))) {
        nx_err err = see_to(n, fn);
        snprintf(name, sizeof name, "%s", fn->name);
        nx_core_fn_unref(fn);
        if (err != NX_OK && err != NX_EEXIST)
            return; /* looked at again in a moment */
    }
}

/* ---- handing on ------------------------------------------------------------------------------------------------------------------------------ */

static void on_msg(void *self, nx_fab_msg *take_msg)
{
    backfill *b = self;
    pthread_mutex_lock(&b->mu);
    bool has_room = b->count < INFLIGHT;
    if (has_room)
        b->queue[(b->head + b->count++) % INFLIGHT] = take_msg;
    pthread_cond_signal(&b->cv);
    pthread_mutex_unlock(&b->mu);
    if (!has_room)
        nx_fab_msg_drop(take_msg);
}

/* NULL: none came within `ns`. */
static nx_fab_msg *next(backfill *b, uint64_t ns)
{
    uint64_t until_ns = nx_clock_ns() + ns;
    struct timespec until = {.tv_sec = (time_t)(until_ns / NX_NS_PER_S), .tv_nsec = (long)(until_ns % NX_NS_PER_S)};
    nx_fab_msg *m = NULL;
    pthread_mutex_lock(&b->mu);
    for (int over = 0; !b->count && !over;)
        over = pthread_cond_timedwait(&b->cv, &b->mu, &until);
    if (b->count) {
        m = b->queue[b->head];
        b->head = (b->head + 1) % INFLIGHT;
        b->count--;
    }
    pthread_mutex_unlock(&b->mu);
    return m;
}

/* False: the function is gone. */
static bool hand_on(backfill *b, nx_fab_msg *take_msg)
{
    bool is_found = false;
    if (nx_fab_msg_seq(take_msg) > b->to) { /* the function's own consumer brings it */
        nx_fab_msg_ack(take_msg);
        return true;
    }
    pthread_rwlock_rdlock(&b->node->snap_mu);
    for (nx_core_slot *s = b->node->slots; s && !is_found; s = s->next)
        if (strcmp(s->name, b->function) == 0) {
            nx_core_dispatch_on_old(s, take_msg, b->live_wall_ns > OVERLAP_NS ? b->live_wall_ns - OVERLAP_NS : 0, b->effects);
            is_found = true;
        }
    pthread_rwlock_unlock(&b->node->snap_mu);
    if (!is_found)
        nx_fab_msg_drop(take_msg);
    return is_found;
}

static nx_err look(backfill *b, bool *ret_is_done, nx_error *reterr)
{
    char durable[DURABLE_BYTES];
    nx_fab_consumer_info info;
    bool is_ordered = false;
    snprintf(durable, sizeof durable, "bf-%s", b->function);
    nx_err err = check_function(b->node, nx_slice_cstr(b->function), &is_ordered, reterr);
    if (err == NX_OK && is_ordered)
        err = nx_error_set(reterr, NX_ECONFLICT, "'%s' has `ordering: key` now: what is left of the past would break the order of a key", b->function);
    if (err == NX_OK)
        err = nx_fab_consumer_info_get(b->node->ns, durable, &info, reterr);
    if (err != NX_OK)
        return err;
    *ret_is_done = info.done_seq >= b->to || (!info.pending && !info.unacked);
    nx_job_progress_set(b->job, &(nx_job_progress){.done = info.done, .begin = b->from, .at = *ret_is_done ? b->to : info.done_seq, .end = b->to});
    return *ret_is_done || nx_job_save_is_due(b->job) ? nx_job_save(b->job, NX_SLICE("{}"), NX_SLICE("{}"), reterr) : NX_OK;
}

static void nap(uint64_t ns)
{
    struct timespec t = {0, (long)ns};
    nanosleep(&t, NULL);
}

static nx_err loop(backfill *b, nx_error *reterr)
{
    uint64_t look_ns = 0, pace_ns = nx_clock_ns(), each = b->rate ? NX_NS_PER_S / b->rate : 0;
    bool is_done = false;
    nx_err err = NX_OK;
    while (err == NX_OK && !is_done) {
        if (nx_job_is_over(b->job))
            return NX_ECANCELED;
        uint64_t now = nx_clock_ns();
        if (now >= look_ns) {
            err = look(b, &is_done, reterr);
            look_ns = now + LOOK_NS;
            continue;
        }
        if (nx_core_pause_get(b->node->pauses, b->function, NULL)) {
            nap(PACE_NS);
            continue;
        }
        if (pace_ns > now) { /* nothing is handed on before its time; what was not used up before is not made up for */
            nap(pace_ns - now < PACE_NS ? pace_ns - now : PACE_NS);
            continue;
        }
        nx_fab_msg *m = next(b, PACE_NS);
        if (!m)
            continue;
        pace_ns = (pace_ns + each > now ? pace_ns : now) + each;
        if (!hand_on(b, m))
            err = nx_error_set(reterr, NX_ENOENT, "there is no function '%s' any more", b->function);
    }
    return err;
}

/* ---- the job ---------------------------------------------------------------------------------------------------------------------------------- */

static nx_err open_consumer(backfill *b, nx_error *reterr)
{
    char durable[DURABLE_BYTES];
    nx_core_fn *fn = NULL;
    pthread_rwlock_rdlock(&b->node->snap_mu);
    for (nx_core_slot *s = b->node->slots; s && !fn; s = s->next)
        if (strcmp(s->name, b->function) == 0)
            fn = nx_core_slot_fn(s);
    pthread_rwlock_unlock(&b->node->snap_mu);
    if (!fn)
        return nx_error_set(reterr, NX_EUNAVAIL, "function '%s' does not run on this node", b->function);
    snprintf(durable, sizeof durable, "bf-%s", b->function);
    nx_fab_consumer_options o = {
        .durable = durable,
        .types = fn->types,
        .n_types = fn->n_types,
        .subjects = fn->settings->nats,
        .n_subjects = fn->settings->n_nats,
        .max_inflight = fn->settings->concurrency && fn->settings->concurrency < INFLIGHT ? fn->settings->concurrency : INFLIGHT,
        .start_seq = b->from,
        .on_msg = on_msg,
        .self = b,
    };
    nx_err err = nx_fab_consumer_open(b->node->ns, &o, &b->consumer, reterr);
    nx_core_fn_unref(fn);
    return err;
}

static nx_err run(nx_node *n, nx_job *job, nx_error *reterr)
{
    const nx_json *spec = nx_job_spec(job);
    backfill b = {.node = n, .job = job, .from = nx_json_get_u64(spec, "from", 1), .to = nx_json_get_u64(spec, "to", 0), .live_wall_ns = nx_json_get_u64(spec, "live_wall_ns", 0), .rate = (unsigned)nx_json_get_u64(spec, "rate", 0)};
    if (nx_slice_to_cstr(nx_json_get_str(spec, "function"), b.function, sizeof b.function) != NX_OK ||
        nx_effects_policy_parse(nx_json_get_str(spec, "effects"), &b.effects) != NX_OK)
        return nx_error_set(reterr, NX_ECORRUPT, "the job's spec is damaged");
    if (nx_slice_eq_cstr(nx_json_get_str(spec, "ordering"), "key"))
        return nx_core_past_job_run(n, job, b.function, reterr);
    if (b.from > b.to)
        return NX_OK;
    pthread_mutex_init(&b.mu, NULL);
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&b.cv, &attr);
    pthread_condattr_destroy(&attr);
    nx_err err = open_consumer(&b, reterr);
    if (err == NX_OK)
        err = loop(&b, reterr);
    bool is_over = err == NX_OK || nx_job_is_canceled(job) || !nx_err_is_retryable(err);
    if (b.consumer)
        nx_fab_consumer_close(b.consumer, is_over && (err != NX_ECANCELED || nx_job_is_canceled(job)));
    for (nx_fab_msg *m = next(&b, 0); m; m = next(&b, 0))
        nx_fab_msg_drop(m);
    pthread_cond_destroy(&b.cv);
    pthread_mutex_destroy(&b.mu);
    return err;
}

const nx_job_kind nx_core_backfill_job = {.name = "backfill", .prepare = prepare, .run = run};
