/* run_source.c: where runs come from: an event's message, or a timer of one that is due. Both end in nx_core_run_execute(), and the message
 * of either is acknowledged once the run is recorded.
 * An event that was delivered before, and every timer (it may have been set twice), is looked up first: what is finished is not run again. */
#include "dlq.h"
#include "nx/event_batch.h"
#include <stdio.h>

static void fill_record(nx_core_run *r)
{
    nx_node *n = r->d->node;
    const nx_fn_config *f = r->fn->settings;
    nx_run *rec = &r->rec;
    unsigned delivery = nx_fab_msg_delivery(r->msg);
    bool is_timer = r->timer.function.n > 0;
    rec->ns = r->event.ns;
    rec->event_id = r->event.event_id;
    rec->event_type = r->event.type;
    rec->function = nx_slice_cstr(r->fn->name);
    rec->version = nx_slice_cstr(r->fn->version);
    rec->artifact = nx_slice_cstr(r->fn->artifact);
    rec->attempt = is_timer ? r->timer.attempt : 1;
    rec->generation = r->timer.generation;
    rec->run_id = nx_run_id_derive(rec->ns, &rec->event_id, nx_event_start_wall_ns(&r->event) / NX_NS_PER_MS, rec->function, rec->generation);
    rec->is_replay = false;
    rec->is_final = true;
    nx_trace_child(&r->event.trace, &rec->trace);
    rec->parent_span = nx_slice_cstr(r->event.trace.span_id);
    rec->limit_timeout_ns = f->timeout_ns;
    rec->limit_memory_bytes = f->memory_bytes;
    rec->limit_fuel = f->fuel;
    rec->limit_output_bytes = f->max_output_bytes;
    rec->limit_scratch_bytes = f->scratch_bytes;
    rec->engine = nx_slice_cstr(nx_rt_engine_identity(n->rt));
    rec->world = nx_slice_cstr(nx_rt_world_identity());
    rec->arch = nx_slice_cstr(nx_rt_arch());
    rec->node = nx_id_slice(&n->id);
    rec->event_seq = r->event.stream_seq;
    rec->delivery = is_timer ? r->timer.attempt - 1 + delivery : delivery; /* as many as it had attempts before, and these */
    rec->input_is_cloudevent = f->input == NX_INPUT_CLOUDEVENT;
    rec->takes_batches = f->batch_max > 0;
    rec->batch = rec->takes_batches ? nx_event_batch_ids(&r->event) : NX_SLICE_NULL;
    nx_random(rec->seed, sizeof rec->seed);
}

/* The event is known: where several versions share the function's events, its own. Others cost nothing. */
static void choose_version(nx_core_run *r)
{
    if (r->fn->others)
        r->fn = nx_core_fn_choose(r->fn, &r->event);
}

#define AWAY_NS (250 * NX_NS_PER_MS)

/* Where the limits of its function hold for its key over all nodes, it runs on the node that has the key. False: that is this one. */
static bool is_taken_elsewhere(nx_core_run *r)
{
    nx_id node;
    nx_core_key_owner owner = nx_core_gate_owner(r, &node);
    if (owner == NX_CORE_KEY_OURS)
        return false;
    /* One that was given by another node is not sent round: one of the two does not know yet who has the key. */
    nx_err err = owner == NX_CORE_KEY_OTHERS && !nx_fab_msg_is_given(r->msg) ? nx_core_run_give(r, &node) : NX_EBUSY;
    if (err == NX_ELIMIT) {
        nx_log(NX_LOG_WARN, "keys.too_large", "event %s is too large to be handed to the node that has its key: the limits of '%s' are those of this node for it",
               r->event.event_id.s, r->fn->name);
        r->is_anywhere = true;
        return false;
    }
    if (err != NX_OK)
        nx_core_run_later(r, AWAY_NS);
    return true;
}

/* A record for an event that kills nodes: it is not run again. */
static void end_as_crash(nx_core_run *r, unsigned crashes)
{
    r->rec.status = NX_RUN_DEAD;
    r->rec.why = NX_WHY_NODE_CRASH;
    char *text = nx_arena_printf(&r->arena, "was executing when a node died, %u times; it is not tried again", crashes);
    r->rec.message = nx_slice_cstr(text);
    nx_core_journal_forget(r->d->node->journal, &r->rec.run_id);
    nx_core_run_settle(r);
}

/* The version that a redrive asked for is gone: a record that says so, which is a dead letter again. */
static void end_without_version(nx_core_run *r, const char *why)
{
    r->rec.status = NX_RUN_DEAD;
    r->rec.why = NX_WHY_NO_MODULE;
    r->rec.message = nx_arena_dup(&r->arena, nx_slice_cstr(why));
    nx_core_run_settle(r);
}

/* The message is done with, or no use to anybody: delivered for ever, it would hold up retention. */
static void give_up(nx_core_run *r)
{
    nx_core_run_msg_ack(r);
    nx_core_run_release(r);
}

/* How far was it (what it left was recorded no earlier than `since_wall_ns`), and did it kill its node? */
static void execute_unless_final(nx_core_run *r, uint64_t since_wall_ns)
{
    nx_node *n = r->d->node;
    nx_run last;
    nx_event e = r->event;
    nx_error why = NX_ERROR_INIT;
    if (since_wall_ns > e.wall_ns)
        e.wall_ns = since_wall_ns;
    nx_err err = nx_fab_run_latest(n->ns, &e, nx_slice_cstr(r->fn->name), r->rec.generation, &r->arena, &last, &why);
    if (err == NX_OK && last.is_final) {
        r->rec = last;
        nx_core_run_finish(r);
        return;
    }
    if (err != NX_OK && err != NX_ENOENT && err != NX_ETIMEOUT) {
        nx_core_run_later(r, AWAY_NS); /* sooner than after ack_wait */
        return;
    }
    /* Its attempt is recorded, though it comes for the first time: the event's own message, or a later timer, has gone on. */
    unsigned delivery = nx_fab_msg_delivery(r->msg);
    if (err == NX_OK && r->timer.function.n && delivery <= 1 && last.attempt >= r->timer.attempt) {
        give_up(r);
        return;
    }
    r->is_suspect = r->rec.delivery > 1;
    if (r->is_suspect && nx_core_crashes_of(n, &r->rec.run_id, &r->crashes, NULL) != NX_OK) {
        nx_core_run_later(r, AWAY_NS);
        return;
    }
    if (r->crashes >= NX_CORE_CRASHES_MAX) {
        end_as_crash(r, r->crashes);
    } else if (err == NX_OK && last.attempt >= r->rec.attempt) {
        nx_core_run_go_on(r, &last);
    } else {
        /* A look-up that takes too long (much was recorded since) would take as long next time: executions are at least once. There can't have
         * been more attempts than deliveries, so counting those ends a run that fails every time. */
        unsigned most = r->fn->settings->retry_max_attempts, counted = r->rec.attempt + delivery - 1;
        if (err == NX_ETIMEOUT)
            r->rec.attempt = counted < most || r->rec.attempt >= most ? counted : most;
        nx_core_run_admit(r);
    }
}

static nx_core_run *run_of_job(nx_core_job *job)
{
    return (nx_core_run *)(void *)((char *)job - offsetof(nx_core_run, job));
}

static void redelivered_job(nx_core_job *job)
{
    nx_core_run *r = run_of_job(job);
    execute_unless_final(r, 0);
}

/* The event and its version are known. is_known: the attempt is, too; else it may have to be looked up. */
static void go_on_from_timer(nx_core_run *r, bool is_known)
{
    nx_error e = NX_ERROR_INIT;
    r->is_admitted = nx_slice_eq(r->timer.note, NX_CORE_FLOW_NOTE);
    r->is_debounced = nx_slice_eq(r->timer.note, NX_CORE_DEBOUNCE_NOTE);
    if (r->is_admitted || r->is_debounced)
        r->timer.note = NX_SLICE_NULL;
    nx_err err = nx_core_redrive_prepare(r, &e);
    if (err != NX_OK && err != NX_ENOENT) {
        nx_core_run_drop(r);
        return;
    }
    fill_record(r);
    if (err == NX_ENOENT)
        end_without_version(r, e.msg);
    else if (is_known || nx_core_run_is_expected(r))
        nx_core_run_admit(r);
    else
        execute_unless_final(r, r->timer.due_wall_ns);
}

static void on_placed(nx_fab_pub *pub)
{
    nx_core_run *r = pub->owner;
    if (pub->err == NX_OK)
        give_up(r);
    else
        nx_core_run_drop(r);
}

/* The keys of the function are in order: the event takes its place among those of its key now, and its range of keys brings it. The timer is done with once
 * that is stored; due once more, it would take another place, which finds what was recorded. False: it can't have one. */
static bool take_place(nx_core_run *r)
{
    nx_error e = NX_ERROR_INIT;
    r->pub = (nx_fab_pub){.done = on_placed, .owner = r};
    nx_err err = nx_fab_event_place(r->d->node->ns, &r->timer, &r->event, &r->pub, &e);
    if (err == NX_OK)
        return true;
    if (err == NX_ELIMIT) { /* it would never fit */
        nx_log(NX_LOG_ERROR, "timer.no_place", "event %s of '%s' runs out of order: it can't be stored once more: %s", r->event.event_id.s, r->fn->name, e.msg);
        return false;
    }
    nx_core_run_drop(r);
    return true;
}

/* A timer points to its event; what it starts can have been recorded only after it was due. */
static void due_job(nx_core_job *job)
{
    nx_core_run *r = run_of_job(job);
    nx_error e = NX_ERROR_INIT;
    nx_err err = nx_fab_event_get_seq(r->d->node->ns, r->timer.event_seq, &r->arena, &r->event, &e);
    if (err == NX_OK && strcmp(r->event.event_id.s, r->timer.event_id.s) != 0)
        err = nx_error_set(&e, NX_ENOENT, "sequence %llu holds another event", (unsigned long long)r->timer.event_seq);
    if (err == NX_ENOENT || err == NX_ECORRUPT) {
        nx_log(NX_LOG_ERROR, "timer.no_event", "a timer of '%s' is due, but its event %s is gone: %s", r->fn->name, r->timer.event_id.s, e.msg);
        give_up(r);
        return;
    }
    if (err != NX_OK) {
        nx_core_run_drop(r);
        return;
    }
    choose_version(r);
    if (is_taken_elsewhere(r))
        return;
    if (r->fn->settings->ordering != NX_ORDERING_KEY || !r->event.partition_key.n || !take_place(r))
        go_on_from_timer(r, false);
}

/* The message is the event in the place that it took when its timer was due. */
static void placed_job(nx_core_job *job)
{
    go_on_from_timer(run_of_job(job), false);
}

/* The same, and which attempt it is, is known: it waited here for it. */
static void placed_again_job(nx_core_job *job)
{
    go_on_from_timer(run_of_job(job), true);
}

static void cron_job(nx_core_job *job)
{
    nx_core_cron_due(run_of_job(job));
}

/* ---- an event that is delivered later ---------------------------------------------------------------------------------------------------- */

/* Delivered once more, it would set the same timer again. */
static void set_timer(nx_core_run *r)
{
    nx_fab_timer t = nx_core_run_first_timer(r, NX_SLICE_NULL, r->event.deliver_wall_ns);
    nx_core_run_put_off(r, &t);
}

static void post(nx_core_run *r, void (*run)(nx_core_job *job))
{
    r->job.run = run;
    if (nx_core_jobs_post(r->d->node->jobs, &r->job) != NX_OK)
        nx_core_run_drop(r);
}

/* The function's first timer. */
static void first_timer_job(nx_core_job *job)
{
    nx_core_run *r = run_of_job(job);
    nx_error e = NX_ERROR_INIT;
    if (nx_core_timers_need(r->d->node, r->fn->name, &e) == NX_OK)
        set_timer(r);
    else
        nx_core_run_not_put_off(r, e.msg);
}

static void put_off(nx_core_run *r)
{
    if (nx_core_timers_are_consumed(r->d->node, r->fn->name))
        set_timer(r);
    else
        post(r, first_timer_job);
}

/* ---- messages (the log's thread) ------------------------------------------------------------------------------------------------------- */

static void prepare(nx_core_run *r, nx_core_fn *take_fn, nx_fab_msg *take_msg)
{
    nx_run_clear(&r->rec); /* of the run before, whose memory is gone */
    r->msg = take_msg;
    r->timer = (nx_fab_timer){0};
    r->effects = NX_EFFECTS_LIVE;
    r->recorded = NULL;
    r->n_recorded = 0;
    r->place = (nx_core_place){0};
    r->gate = NULL;
    r->keyring = NULL;
    r->is_cancelled = r->is_inside = r->is_admitted = r->is_debounced = r->is_alone = r->is_anywhere = false;
    r->fn = take_fn;
}

static nx_core_run *take(nx_core_slot *s, nx_fab_msg *take_msg)
{
    nx_core_fn *fn = nx_core_slot_fn(s);
    nx_core_run *r = fn ? nx_core_run_take(s->node->dispatch) : NULL; /* no function: it is being removed */
    if (!r) {
        nx_core_fn_unref(fn);
        nx_fab_msg_drop(take_msg);
        return NULL;
    }
    prepare(r, fn, take_msg);
    if (fn->settings->concurrency || fn->settings->singleton.n)
        nx_core_gate_set(s->gate, r);
    return r;
}

void nx_core_dispatch_on_due(void *slot, nx_fab_msg *take_msg)
{
    nx_core_slot *s = slot;
    nx_core_run *r = take(s, take_msg);
    if (!r)
        return;
    if (nx_fab_msg_timer(take_msg, &r->timer)) {
        post(r, r->timer.key.n ? cron_job : due_job);
        return;
    }
    nx_log(NX_LOG_ERROR, "timer.unreadable", "message %llu of the timers is none", (unsigned long long)nx_fab_msg_seq(take_msg));
    give_up(r);
}

/* `attempt`: which it is, where that is known; 0: it is found out, of an event that was accepted before `look_from_wall_ns` by its delivery alone. */
static void begin(nx_core_run *r, unsigned attempt, uint64_t look_from_wall_ns)
{
    nx_error e = NX_ERROR_INIT;
    nx_err err = nx_fab_msg_event(r->msg, &r->arena, &r->event, &e);
    if (err != NX_OK) {
        nx_log(NX_LOG_ERROR, "event.unreadable", "message %llu of the log: %s", (unsigned long long)nx_fab_msg_seq(r->msg), e.msg);
        if (err == NX_ECORRUPT)
            give_up(r);
        else
            nx_core_run_drop(r);
        return;
    }
    bool is_placed = nx_fab_msg_is_placed(r->msg);
    if (is_placed && !nx_fab_msg_timer(r->msg, &r->timer)) {
        nx_log(NX_LOG_ERROR, "event.unreadable", "message %llu of the log is a place of nothing", (unsigned long long)nx_fab_msg_seq(r->msg));
        give_up(r);
        return;
    }
    if (!is_placed && r->event.deliver_wall_ns && r->event.deliver_wall_ns > nx_clock_wall_ns()) {
        put_off(r);
        return;
    }
    choose_version(r);
    if (is_placed) {
        if (attempt)
            r->timer.attempt = attempt;
        post(r, attempt ? placed_again_job : placed_job);
        return;
    }
    if (is_taken_elsewhere(r))
        return;
    fill_record(r);
    if (attempt) {
        r->rec.attempt = attempt;
        nx_core_run_execute(r);
    } else if (r->rec.delivery <= 1 && r->event.wall_ns < look_from_wall_ns) {
        nx_core_run_admit(r);
    } else if (!nx_core_run_go_on_as_remembered(r)) {
        post(r, redelivered_job);
    }
}

void nx_core_dispatch_on_msg(void *slot, nx_fab_msg *take_msg)
{
    nx_core_slot *s = slot;
    nx_core_run *r = take(s, take_msg);
    if (r)
        begin(r, 0, UINT64_MAX);
}

void nx_core_dispatch_on_old(void *slot, nx_fab_msg *take_msg, uint64_t live_wall_ns, nx_effects_policy effects)
{
    nx_core_slot *s = slot;
    nx_core_run *r = take(s, take_msg);
    if (!r)
        return;
    r->effects = effects;
    r->is_anywhere = true; /* its consumer is this node's alone */
    begin(r, 0, live_wall_ns);
}

void nx_core_dispatch_begin(nx_node *n, nx_core_fn *take_fn, nx_fab_msg *take_msg, unsigned attempt, nx_core_place *take_place)
{
    nx_core_place place = *take_place;
    nx_core_run *r = nx_core_run_take(n->dispatch);
    nx_slice key = r && place.key.n ? nx_arena_dup(&r->arena, place.key) : NX_SLICE_NULL;
    *take_place = (nx_core_place){0};
    if (!r || (place.key.n && !key.p)) {
        nx_core_lane_leave(&place, false);
        nx_core_fn_unref(take_fn);
        nx_fab_msg_drop(take_msg);
        if (r)
            nx_core_run_release(r);
        return;
    }
    prepare(r, take_fn, take_msg);
    r->place = place;
    r->place.key = key;
    r->effects = place.effects;
    begin(r, attempt, UINT64_MAX);
}
