/* cron.c: schedules. Each schedule of a function has one timer in the log, for its next tick. When that is due, one node makes the tick an event,
 * sets the timer for the tick that follows, and acknowledges, in this order; so a tick is never lost, and never two events: the event's id and its
 * Nats-Msg-Id follow from function and tick. Of ticks that were missed while nothing ran, the latest is made up for, once.
 * A chain that broke (somebody emptied the stream) or that waits for a time which a wrong clock has set is mended by a look every half minute. */
#include "nx/cron.h"
#include "admin.h"
#include "dispatch.h"
#include "fn.h"
#include <stdio.h>

#define LOOK_EVERY_NS (30 * NX_NS_PER_S)
#define SKEW_NS (30 * NX_NS_PER_S) /* clocks of nodes may differ by so much */
#define LATE_NS (10 * NX_NS_PER_S) /* a tick that is later counts from when it was made up for */
#define UNKNOWN_DELIVERIES 10      /* another node may know a schedule that this one does not yet, or no more */
#define KEY_BYTES 24

static void key_of(nx_slice schedule, char out[KEY_BYTES])
{
    nx_sha256 digest = nx_sha256_of(schedule);
    char hex[NX_SHA256_HEX + 1];
    nx_sha256_hex(&digest, hex);
    snprintf(out, KEY_BYTES, "cron-%.16s", hex);
}

/* ---- the timers that have to wait ----------------------------------------------------------------------------------------------------------- */

static const nx_fab_timer *find(const nx_fab_timer *v, unsigned n, const nx_core_fn *fn, const char *key)
{
    for (unsigned i = 0; i < n; i++)
        if (nx_slice_eq_cstr(v[i].function, fn->name) && nx_slice_eq_cstr(v[i].key, key))
            return &v[i];
    return NULL;
}

static nx_err ensure_one(nx_node *n, const nx_core_fn *fn, nx_slice schedule, const nx_fab_timer *v, unsigned n_v, nx_error *reterr)
{
    char key[KEY_BYTES];
    nx_cron c;
    uint64_t now = nx_clock_wall_ns(), next, latest_next;
    nx_err err = nx_cron_parse(schedule, &c, reterr);
    if (err != NX_OK)
        return err;
    key_of(schedule, key);
    const nx_fab_timer *there = find(v, n_v, fn, key);
    bool has_next = nx_cron_next(&c, now, &next) == NX_OK && nx_cron_next(&c, now + SKEW_NS, &latest_next) == NX_OK;
    nx_cron_done(&c);
    if (!has_next || (there && there->due_wall_ns <= latest_next))
        return NX_OK;
    nx_fab_timer t = {.function = nx_slice_cstr(fn->name), .key = nx_slice_cstr(key), .due_wall_ns = next};
    err = nx_fab_timer_set_sync(n->ns, &t, !there, reterr);
    return err == NX_ECONFLICT ? NX_OK : err; /* another node was quicker */
}

nx_err nx_core_cron_ensure(nx_node *n, const nx_core_fn_set *set, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(16u << 20);
    nx_fab_timer *v = NULL;
    unsigned n_v = 0, n_crons = 0;
    nx_err err = NX_OK;
    for (unsigned i = 0; i < set->n; i++)
        n_crons += set->v[i]->settings->n_crons;
    if (n_crons)
        err = nx_fab_timers_list(n->ns, &(nx_fab_timer_scan){.only_keyed = true}, &a, &v, &n_v, reterr);
    for (unsigned i = 0; err == NX_OK && n_crons && i < set->n; i++)
        for (unsigned k = 0; err == NX_OK && k < set->v[i]->settings->n_crons; k++) {
            err = ensure_one(n, set->v[i], set->v[i]->settings->crons[k], v, n_v, reterr);
            if (err != NX_OK)
                nx_error_prefix(reterr, "function '%s': on.cron", set->v[i]->name);
        }
    return err;
}

static void look_job(nx_core_job *job)
{
    nx_node *n = (nx_node *)(void *)((char *)job - offsetof(nx_node, cron_job));
    nx_core_fn_set set = {0};
    nx_error e = NX_ERROR_INIT;
    nx_err err = NX_OK;
    pthread_rwlock_rdlock(&n->snap_mu);
    for (nx_core_slot *s = n->slots; err == NX_OK && s; s = s->next) {
        nx_core_fn *fn = nx_core_slot_fn(s);
        if (fn && fn->settings->n_crons)
            err = nx_core_fn_set_add(&set, fn);
        else
            nx_core_fn_unref(fn);
    }
    pthread_rwlock_unlock(&n->snap_mu);
    if (err == NX_OK)
        err = nx_core_cron_ensure(n, &set, &e);
    if (err != NX_OK && !nx_err_is_retryable(err))
        nx_log(NX_LOG_ERROR, "cron.not_set", "the timers of schedules could not be looked at: %s", e.msg);
    nx_core_fn_set_done(&set);
    atomic_store(&n->cron_due_ns, nx_clock_ns() + LOOK_EVERY_NS);
}

void nx_core_cron_tick(nx_node *n, uint64_t now_ns)
{
    uint64_t due = atomic_load(&n->cron_due_ns);
    if (due > now_ns || atomic_load(&n->is_draining) || !atomic_compare_exchange_strong(&n->cron_due_ns, &due, UINT64_MAX))
        return;
    n->cron_job.run = look_job;
    if (nx_core_jobs_post(n->jobs, &n->cron_job) != NX_OK)
        atomic_store(&n->cron_due_ns, now_ns + LOOK_EVERY_NS);
}

/* ---- a tick -------------------------------------------------------------------------------------------------------------------------------------- */

static void end(nx_core_run *r)
{
    nx_core_run_msg_ack(r);
    nx_core_run_release(r);
}

static void give_back(nx_core_run *r, const char *what, const char *why)
{
    nx_log(NX_LOG_WARN, "cron.again", "a tick of '%s': %s (%s); it is tried again", r->fn->name, what, why);
    nx_core_run_drop(r);
}

static void on_next_set(nx_fab_pub *pub)
{
    nx_core_run *r = pub->owner;
    if (pub->err == NX_OK)
        end(r);
    else
        give_back(r, "the next one's timer was not set", nx_err_text(pub->err));
}

/* r->timer is the next tick's by now. */
static void set_next(nx_core_run *r)
{
    nx_error e = NX_ERROR_INIT;
    if (!r->timer.due_wall_ns) { /* there is none */
        end(r);
        return;
    }
    r->pub = (nx_fab_pub){.done = on_next_set, .owner = r};
    if (nx_fab_timer_set(r->d->node->ns, &r->timer, &r->pub, &e) != NX_OK)
        give_back(r, "the next one's timer was not set", e.msg);
}

static void on_tick_stored(nx_fab_pub *pub)
{
    nx_core_run *r = pub->owner;
    if (pub->err == NX_OK)
        set_next(r);
    else
        give_back(r, "its event was not stored", nx_err_text(pub->err));
}

/* The event of a tick: everything but its trace follows from function and tick. */
static nx_err tick_event(nx_core_run *r, nx_slice schedule, uint64_t tick_wall_ns, uint64_t now_wall_ns, nx_slice *ret_key)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf data = NX_BUF_INIT(4096);
    nx_jw w = NX_JW_INIT(&data);
    nx_event *e = &r->emit;
    char *key = nx_arena_printf(&r->arena, "cron/%s/%llu", r->fn->name, (unsigned long long)tick_wall_ns);
    if (!key)
        return NX_ENOMEM;
    *ret_key = nx_slice_cstr(key);
    nx_sha256 digest = nx_sha256_of(*ret_key);
    nx_slice at = nx_slice_make(r->time_text, nx_clock_rfc3339(tick_wall_ns, tick_wall_ns % NX_NS_PER_S ? 9 : 0, r->time_text));
    nx_jw_object(&w);
    nx_jw_kstr(&w, "scheduled_at", at);
    nx_jw_kstr(&w, "schedule", schedule);
    nx_jw_object_end(&w);
    *e = (nx_event){
        .ns = nx_fab_ns_name(r->d->node->ns),
        .type = nx_slice_cstr(r->fn->cron_type),
        .source = NX_SLICE("/nexus/cron"),
        .time = at,
        .content_type = NX_SLICE("application/json"),
        .data = nx_arena_dup(&r->arena, nx_buf_view(&data)),
        .event_id = nx_ulid_derive_late(tick_wall_ns / NX_NS_PER_MS, digest.b, digest.b[10] % NX_SHARDS, nx_slice_cstr(r->fn->cron_type)),
        .wall_ns = tick_wall_ns,
        .deliver_wall_ns = now_wall_ns > tick_wall_ns + LATE_NS ? now_wall_ns : 0,
    };
    e->id = nx_id_slice(&e->event_id);
    nx_trace_new(&e->trace);
    return nx_jw_err(&w) != NX_OK || !e->data.p ? NX_ENOMEM : NX_OK;
}

static void publish_tick(nx_core_run *r, nx_slice schedule, uint64_t tick_wall_ns, uint64_t now_wall_ns)
{
    nx_node *n = r->d->node;
    nx_slice key;
    nx_error e = NX_ERROR_INIT;
    nx_event there;
    nx_err err = tick_event(r, schedule, tick_wall_ns, now_wall_ns, &key);
    /* Delivered again after the log has forgotten the Nats-Msg-Id: the event may be there all the same. */
    if (err == NX_OK && nx_fab_msg_delivery(r->msg) > 1 && nx_fab_event_get(n->ns, &r->emit.event_id, &r->arena, &there, NULL) == NX_OK) {
        set_next(r);
        return;
    }
    r->pub = (nx_fab_pub){.done = on_tick_stored, .owner = r};
    if (err == NX_OK)
        err = nx_fab_publish_event(n->ns, &r->emit, key, NX_SLICE_NULL, &r->pub, &e);
    if (err != NX_OK)
        give_back(r, "its event was not stored", e.msg[0] ? e.msg : nx_err_text(err));
}

void nx_core_cron_due(nx_core_run *r)
{
    const nx_fn_config *f = r->fn->settings;
    char key[KEY_BYTES];
    unsigned i = 0;
    for (; i < f->n_crons; i++) {
        key_of(f->crons[i], key);
        if (nx_slice_eq_cstr(r->timer.key, key))
            break;
    }
    if (i == f->n_crons) {
        if (nx_fab_msg_delivery(r->msg) >= UNKNOWN_DELIVERIES)
            end(r);
        else
            nx_core_run_later(r, NX_NS_PER_S);
        return;
    }
    nx_cron c;
    nx_error e = NX_ERROR_INIT;
    if (nx_cron_parse(f->crons[i], &c, &e) != NX_OK) {
        give_back(r, "its schedule cannot be read on this machine", e.msg);
        return;
    }
    uint64_t now = nx_clock_wall_ns(), tick = nx_cron_latest(&c, r->timer.due_wall_ns, now);
    r->timer.due_wall_ns = 0;
    (void)nx_cron_next(&c, now > tick ? now : tick, &r->timer.due_wall_ns);
    nx_cron_done(&c);
    publish_tick(r, f->crons[i], tick, now);
}

/* ---- what ticks next ------------------------------------------------------------------------------------------------------------------------------- */

#define UPCOMING 3

static nx_err list_one(const nx_core_fn *fn, nx_slice schedule, nx_buf *out)
{
    nx_cron c;
    nx_slice zone = NX_SLICE("UTC"), text = schedule;
    uint64_t at = nx_clock_wall_ns();
    char time[NX_RFC3339_MAX];
    nx_err err = nx_cron_parse(schedule, &c, NULL);
    if (err != NX_OK)
        return err;
    if (nx_slice_starts(schedule, NX_SLICE("TZ="))) {
        zone = nx_slice_split(nx_slice_sub(schedule, 3, schedule.n), ' ', &text);
        text = nx_slice_trim(text);
    }
    nx_jw w = NX_JW_INIT(out);
    nx_jw_object(&w);
    nx_jw_kcstr(&w, "function", fn->name);
    nx_jw_kstr(&w, "schedule", text);
    nx_jw_kstr(&w, "timezone", zone);
    nx_jw_kcstr(&w, "type", fn->cron_type);
    nx_jw_key(&w, "next");
    nx_jw_array(&w);
    for (int i = 0; i < UPCOMING && nx_cron_next(&c, at, &at) == NX_OK; i++)
        nx_jw_str(&w, nx_slice_make(time, nx_clock_rfc3339(at, at % NX_NS_PER_S ? 3 : 0, time)));
    nx_jw_array_end(&w);
    nx_jw_object_end(&w);
    nx_cron_done(&c);
    err = nx_jw_err(&w);
    return err == NX_OK ? nx_buf_append_char(out, '\n') : err;
}

nx_err nx_core_admin_cron(void *self, nx_gw_req *req, nx_gw_resp *resp, nx_error *reterr)
{
    nx_node *n = self;
    (void)req;
    nx_err err = nx_core_admin_require_ready(n, reterr);
    nx_gw_resp_content_type(resp, NX_CORE_NDJSON);
    pthread_rwlock_rdlock(&n->snap_mu);
    for (nx_core_slot *s = n->slots; err == NX_OK && s; s = s->next) {
        nx_core_fn *fn = nx_core_slot_fn(s);
        for (unsigned i = 0; fn && err == NX_OK && i < fn->settings->n_crons; i++)
            err = list_one(fn, fn->settings->crons[i], nx_gw_resp_body(resp));
        nx_core_fn_unref(fn);
    }
    pthread_rwlock_unlock(&n->snap_mu);
    return err;
}
