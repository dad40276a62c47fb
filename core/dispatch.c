/* dispatch.c: the way of an event through a function: message -> attempt -> outcome -> emitted events -> run record -> ack -> waiting caller.
 * Order of writes (DESIGN 4): emitted events are stored before the record (emit.c), the record before the acknowledgement and the answer. A failure
 * anywhere before the acknowledgement drops the message: JetStream delivers it again, and `nx_fab_run_latest` finds out how far it was.
 * A failed attempt that is tried again leaves its record too, and its event is put off (retry.c, backoff.c). */
#include "dispatch.h"
#include "nx/event_batch.h"
#include "nx/event_key.h"
#include <stdio.h>
#include <stdlib.h>

#define RUN_ARENA_BYTES (256u << 20) /* only a cap: an event of 8 MiB as JSON, or an earlier record with its output, has to fit */
#define RUN_POOL_MAX 1024
#define CALLS_BYTES_MAX 4096 /* of the host-call trace kept in a record */
#define RECORD_BYTES_MAX (128u << 20)

void nx_core_run_log(const nx_core_run *r, nx_log_level level, const char *event, nx_slice component, nx_slice msg)
{
    nx_log_line line = {
        .level = level,
        .component = component,
        .event = nx_slice_cstr(event),
        .trace = nx_slice_cstr(r->event.trace.trace_id),
        .event_id = nx_id_slice(&r->event.event_id),
        .run_id = nx_id_slice(&r->rec.run_id),
        .function = nx_slice_cstr(r->fn->name),
        .ns = r->event.ns,
        .msg = msg,
    };
    nx_log_emit(&line);
}

/* ---- pool ------------------------------------------------------------------------------------------------------------------------------ */

nx_core_run *nx_core_run_take(nx_core_dispatch *d)
{
    pthread_mutex_lock(&d->mu);
    nx_core_run *r = d->pool;
    if (r) {
        d->pool = (nx_core_run *)r->attempt.mail.next;
        d->n_pool--;
    }
    pthread_mutex_unlock(&d->mu);
    if (!r) {
        r = calloc(1, sizeof *r);
        if (!r)
            return NULL;
        nx_attempt_init(&r->attempt);
        nx_arena_init(&r->arena, RUN_ARENA_BYTES);
        nx_buf_init(&r->encoded, RECORD_BYTES_MAX);
        nx_buf_init(&r->problem, 64u << 10);
        r->d = d;
    }
    atomic_store(&r->refs, 1);
    r->journal_slot = -1;
    r->is_suspect = r->is_marked = false;
    r->again_until_ns = 0;
    r->crashes = 0;
    atomic_fetch_add_explicit(&d->running, 1, memory_order_relaxed);
    return r;
}

static void run_destroy(nx_core_run *r)
{
    nx_attempt_done(&r->attempt);
    nx_arena_done(&r->arena);
    nx_buf_done(&r->encoded);
    nx_buf_done(&r->problem);
    free(r);
}

void nx_core_run_release(nx_core_run *r)
{
    if (atomic_fetch_sub(&r->refs, 1) != 1)
        return;
    nx_core_dispatch *d = r->d;
    nx_core_fn_unref(r->fn);
    r->fn = NULL;
    r->redaction = NULL;
    r->lines = NULL;
    /* A run with large buffers gives its memory back, so that one big output does not stay for ever. */
    bool is_small = r->encoded.cap + r->attempt.out.output.cap + r->attempt.out.logs.cap <= (256u << 10);
    nx_attempt_reset(&r->attempt);
    nx_core_run_forget_secrets(r);
    nx_arena_reset(&r->arena);
    nx_buf_clear(&r->encoded);
    nx_buf_clear(&r->problem);
    pthread_mutex_lock(&d->mu);
    bool is_kept = is_small && d->n_pool < RUN_POOL_MAX;
    if (is_kept) {
        r->attempt.mail.next = (nx_mail *)d->pool;
        d->pool = r;
        d->n_pool++;
    }
    pthread_mutex_unlock(&d->mu);
    if (!is_kept)
        run_destroy(r);
    /* Whoever sees no run any more (nx_core_dispatch_running()) takes apart what runs have used. */
    atomic_fetch_sub_explicit(&d->running, 1, memory_order_release);
}

void nx_core_run_msg_ack(nx_core_run *r)
{
    nx_fab_msg_ack(r->msg);
    r->msg = NULL;
    nx_core_gate_leave(r);
    nx_core_lane_leave(&r->place, true);
}

void nx_core_run_msg_nak(nx_core_run *r, uint64_t delay_ns)
{
    nx_fab_msg_nak(r->msg, delay_ns);
    r->msg = NULL;
    nx_core_gate_leave(r);
    nx_core_lane_leave(&r->place, false);
}

/* Gives the message up without an acknowledgement: it is delivered again. */
void nx_core_run_drop(nx_core_run *r)
{
    nx_fab_msg_drop(r->msg);
    r->msg = NULL;
    nx_core_gate_leave(r);
    nx_core_lane_leave(&r->place, false);
    nx_core_run_release(r);
}

/* ---- the end: record stored -> ack, answer ----------------------------------------------------------------------------------------- */

static void release_run_answer(nx_answer *a)
{
    nx_core_run_release((nx_core_run *)(void *)((char *)a - offsetof(nx_core_run, answer)));
}

/* nx-reply is "<inbox>.<token>[.<function>]", where the inbox is "_NX.R.<node>". */
static void answer_waiter(nx_core_run *r, nx_slice reply)
{
    nx_node *n = r->d->node;
    nx_slice rest = reply, token, function;
    for (int i = 0; i < 3; i++)
        (void)nx_slice_split(rest, '.', &rest);
    token = nx_slice_split(rest, '.', &function);
    if (token.n == 0 || (function.n && !nx_slice_eq_cstr(function, r->fn->name)))
        return;
    nx_slice body = r->rec.output;
    if (r->rec.status != NX_RUN_OK || !nx_core_answer_is_kept(&r->rec)) {
        nx_buf_clear(&r->problem);
        if (nx_core_answer_problem(&r->rec, &r->problem) != NX_OK)
            return;
        body = nx_buf_view(&r->problem);
    }
    r->answer = (nx_answer){nx_core_answer_status(&r->rec), nx_core_answer_content_type(&r->rec), body, release_run_answer};
    if (nx_slice_starts(reply, nx_slice_cstr(nx_fab_inbox(n->fab)))) {
        atomic_fetch_add(&r->refs, 1);
        nx_core_waiters_answer(n->waiters, token, &r->answer);
    } else {
        size_t subject_bytes = (size_t)(token.p + token.n - reply.p);
        nx_fab_reply(n->fab, nx_slice_make(reply.p, subject_bytes), r->answer.status, r->answer.content_type, body);
    }
}

void nx_core_run_finish(nx_core_run *r)
{
    if (!r->rec.is_final) {
        nx_core_run_back_off(r);
        return;
    }
    nx_slice reply = nx_fab_msg_reply(r->msg);
    if (reply.n)
        answer_waiter(r, reply);
    nx_core_run_msg_ack(r);
    nx_core_run_release(r);
}

static void not_recorded(nx_core_run *r, nx_err why, const char *text)
{
    if (nx_core_run_try_again(r, why, nx_core_run_store))
        return;
    nx_log(NX_LOG_WARN, "run.not_recorded", "the record of run %s of '%s' was not stored (%s); the event will be delivered again",
           r->rec.run_id.s, r->fn->name, text);
    nx_core_run_drop(r);
}

static void on_record_stored(nx_fab_pub *pub)
{
    nx_core_run *r = pub->owner;
    if (pub->err != NX_OK) {
        not_recorded(r, pub->err, nx_err_text(pub->err));
        return;
    }
    nx_node *n = r->d->node;
    if (r->rec.is_final && nx_core_audit_ppm(n) > 0 && nx_core_part(n))
        n->opt.part->on_run(nx_core_part(n), &r->rec);
    nx_core_run_finish(r);
}

void nx_core_run_store(nx_core_run *r)
{
    nx_error e = NX_ERROR_INIT;
    const nx_run *rec;
    nx_buf_clear(&r->encoded);
    nx_err err = nx_core_privacy_record(r, &rec);
    if (err == NX_OK)
        err = nx_run_encode(rec, &r->encoded);
    if (err == NX_OK) {
        r->pub = (nx_fab_pub){.done = on_record_stored, .owner = r};
        err = nx_fab_publish_run(r->d->node->ns, rec, nx_buf_view(&r->encoded), &r->pub, &e);
    }
    if (err != NX_OK)
        not_recorded(r, err, e.msg[0] ? e.msg : nx_err_text(err));
}

/* ---- the outcome ---------------------------------------------------------------------------------------------------------------------- */

static void count(const nx_core_run *r)
{
    const nx_core_fn_metrics *m = &r->fn->m;
    nx_obs_add(r->rec.is_final ? m->runs[r->rec.status] : m->retries, 1);
    if (m->of_version[0] && r->rec.is_final)
        nx_obs_add(m->of_version[r->rec.status], 1);
    if (nx_run_status_is_idle(r->rec.status))
        return;
    nx_obs_observe(m->duration, (double)r->rec.duration_ns / 1e9);
    nx_obs_add(m->fuel, r->rec.fuel);
    nx_obs_observe(m->memory, (double)r->rec.memory_bytes);
    if (r->rec.is_cold)
        nx_obs_add(m->cold, 1);
}

static int describe_next(const nx_run *rec, char *out, size_t out_bytes)
{
    uint64_t now = nx_clock_wall_ns();
    if (!rec->next_wall_ns)
        return snprintf(out, out_bytes, "; attempt %u when the function is resumed", rec->attempt + 1);
    return snprintf(out, out_bytes, "; attempt %u of %u in %.*f s", rec->attempt + 1, rec->max_attempts, rec->next_wall_ns < now + NX_NS_PER_S ? 2 : 1,
                    rec->next_wall_ns > now ? (double)(rec->next_wall_ns - now) / 1e9 : 0.0);
}

static void log_outcome(nx_core_run *r)
{
    char text[512];
    double ms = (double)r->rec.duration_ns / 1e6;
    if (r->rec.status == NX_RUN_OK) {
        int k = snprintf(text, sizeof text, "Function completed in %.*fms", ms < 1 ? 2 : 1, ms);
        nx_core_run_log(r, NX_LOG_INFO, "run.completed", NX_SLICE("nexus"), nx_slice_make(text, (size_t)k));
        return;
    }
    if (r->rec.status == NX_RUN_BATCHED) {
        nx_core_run_log(r, NX_LOG_DEBUG, "run.batched", NX_SLICE("nexus"), r->rec.message);
        return;
    }
    if (r->rec.status == NX_RUN_SKIPPED) {
        int k = snprintf(text, sizeof text, "Function '%s' skipped the event: %.*s", r->fn->name, NX_SLICE_FMT(r->rec.message));
        nx_core_run_log(r, NX_LOG_INFO, "run.skipped", NX_SLICE("nexus"), nx_slice_make(text, (size_t)k < sizeof text ? (size_t)k : sizeof text - 1));
        return;
    }
    if (r->rec.status == NX_RUN_CANCELLED) {
        int k = snprintf(text, sizeof text, "Function '%s' was cancelled after %.1fms: %.*s", r->fn->name, ms, NX_SLICE_FMT(r->rec.message));
        nx_core_run_log(r, NX_LOG_INFO, "run.cancelled", NX_SLICE("nexus"), nx_slice_make(text, (size_t)k < sizeof text ? (size_t)k : sizeof text - 1));
        return;
    }
    nx_slice message = nx_core_privacy_text(r, r->rec.message, &r->arena);
    int k = snprintf(text, sizeof text, "Function '%s' ended %s (%s) after %.1fms: %.*s", r->fn->name, nx_run_status_name(r->rec.status),
                     nx_run_why_name(r->rec.why), ms, message.n > 256 ? 256 : (int)message.n, message.p ? message.p : "");
    if ((size_t)k < sizeof text && !r->rec.is_final)
        k += describe_next(&r->rec, text + k, sizeof text - (size_t)k);
    nx_core_run_log(r, r->rec.is_final ? NX_LOG_ERROR : NX_LOG_WARN, r->rec.is_final ? "run.failed" : "run.retried", NX_SLICE("nexus"),
                    nx_slice_make(text, (size_t)k < sizeof text ? (size_t)k : sizeof text - 1));
}

/* The message comes back after a moment: the node could not run it, which is not the event's fault. */
void nx_core_run_later(nx_core_run *r, uint64_t delay_ns)
{
    nx_core_run_msg_nak(r, delay_ns);
    nx_core_run_release(r);
}

nx_err nx_core_run_give(nx_core_run *r, const nx_id *node)
{
    nx_err err = nx_fab_msg_give(r->msg, node);
    if (err != NX_OK)
        return err;
    r->msg = NULL;
    nx_core_gate_leave(r);
    nx_core_lane_leave(&r->place, false);
    nx_core_run_release(r);
    return NX_OK;
}

void nx_core_run_settle_decided(nx_core_run *r)
{
    count(r);
    log_outcome(r);
    if (r->rec.status == NX_RUN_OK && (r->fn->settings->output_event.n || r->attempt.out.n_emitted))
        nx_core_run_emit(r);
    else
        nx_core_run_store(r);
}

/* The function is paused before the record says that the event waits for that: should the node die between the two, the attempt is repeated. */
static void pausing_job(nx_core_job *job)
{
    nx_core_run *r = (nx_core_run *)(void *)((char *)job - offsetof(nx_core_run, job));
    char reason[NX_CORE_PAUSE_REASON_BYTES];
    bool is_changed;
    nx_error e = NX_ERROR_INIT;
    const nx_run *kept; /* the reason is stored, too */
    nx_slice message = nx_core_privacy_record(r, &kept) == NX_OK ? nx_slice_sub(kept->message, 0, 200) : NX_SLICE_NULL;
    int k = snprintf(reason, sizeof reason, "attempt %u of event %s failed (%s)%s%.*s", r->rec.attempt, r->rec.event_id.s, nx_run_why_name(r->rec.why),
                     message.n ? ": " : "", NX_SLICE_FMT(message));
    if (nx_core_pause_set(r->d->node, r->fn->name, nx_slice_make(reason, (size_t)k < sizeof reason ? (size_t)k : sizeof reason - 1), &r->rec.event_id,
                          &is_changed, &e) == NX_OK) {
        nx_core_run_settle_decided(r);
        return;
    }
    nx_log(NX_LOG_WARN, "function.not_paused", "function '%s' could not be paused (%s); the attempt is repeated", r->fn->name, e.msg);
    nx_core_run_later(r, NX_NS_PER_S);
}

void nx_core_run_settle(nx_core_run *r)
{
    nx_core_retry_decide(r->fn->settings, r->rec.status == NX_RUN_OK ? 0 : nx_clock_wall_ns(), &r->rec);
    if (nx_core_batch_is_dead(r)) {
        nx_core_batch_bury(r);
        return;
    }
    if (r->rec.after != NX_AFTER_PAUSE) {
        nx_core_run_settle_decided(r);
        return;
    }
    r->job.run = pausing_job;
    if (nx_core_jobs_post(r->d->node->jobs, &r->job) != NX_OK)
        nx_core_run_later(r, NX_NS_PER_S);
}

/* The compiled module is no longer in the cache: made again from the stored artifact. Gone there too, the run is dead. */
static void module_job(nx_core_job *job)
{
    nx_core_run *r = (nx_core_run *)(void *)((char *)job - offsetof(nx_core_run, job));
    nx_rt_program *program = NULL;
    nx_sha256 artifact;
    nx_error e = NX_ERROR_INIT;
    nx_err err = nx_sha256_parse_hex(nx_slice_cstr(r->fn->artifact), &artifact);
    if (err == NX_OK)
        err = nx_core_program_get(r->d->node, &artifact, r->fn->settings->memory_bytes, &program, &e);
    nx_rt_program_unref(program);
    if (err == NX_ENOENT)
        nx_core_run_settle(r);
    else
        nx_core_run_later(r, err == NX_OK ? 0 : NX_NS_PER_S);
}

static void on_done(nx_attempt *a)
{
    nx_core_run *r = a->owner;
    const nx_outcome *o = &a->out;
    (void)nx_thread_ns_set(r->d->node->thread_ns); /* a worker is every namespace's */
    nx_core_crash_end(r);
    nx_run *rec = &r->rec;
    if (o->err == NX_ECANCELED) { /* the node stops: delivered again after ack_wait, when its pulls are gone too */
        nx_core_run_drop(r);
        return;
    }
    if (o->err != NX_OK) {
        uint64_t wait_ns = o->err == NX_ENOMEM ? nx_core_retry_refused(rec->attempt, rec->delivery) : NX_NS_PER_S;
        nx_log(NX_LOG_WARN, "run.not_possible", "run %s of '%s' could not be executed (%s); it is tried again in %llu s", rec->run_id.s, r->fn->name,
               o->message[0] ? o->message : nx_err_text(o->err), (unsigned long long)(wait_ns / NX_NS_PER_S));
        nx_core_run_later(r, wait_ns);
        return;
    }
    nx_outcome_to_run(o, rec);
    if (rec->status == NX_RUN_CANCELLED)
        rec->message = nx_core_gate_cancel_text(r);
    if (nx_fab_msg_is_overdue(r->msg)) {
        rec->delivery++;
        nx_core_run_unless_overtaken(r, nx_core_run_settle);
        return;
    }
    r->job.run = module_job;
    if (rec->status != NX_RUN_DEAD || rec->why != NX_WHY_NO_MODULE)
        nx_core_run_settle(r);
    else if (nx_core_jobs_post(r->d->node->jobs, &r->job) != NX_OK) /* nobody has looked for the artifact: the run is not dead */
        nx_core_run_later(r, NX_NS_PER_S);
}

static void on_start(nx_attempt *a)
{
    nx_core_run *r = a->owner;
    (void)nx_thread_ns_set(r->d->node->thread_ns);
    nx_core_crash_begin(r);
    r->rec.start_wall_ns = a->start_wall_ns = nx_clock_wall_ns();
    if (nx_log_enabled(NX_LOG_INFO)) {
        char text[NX_FUNCTION_NAME_BYTES + 32];
        int k = snprintf(text, sizeof text, "Function '%s' started", r->fn->name);
        nx_core_run_log(r, NX_LOG_INFO, "run.started", NX_SLICE("nexus"), nx_slice_make(text, (size_t)k));
    }
}

static void on_guest_line(nx_attempt *a, nx_slice line)
{
    nx_core_run *r = a->owner;
    NX_CLEANUP(nx_arena_done)
    nx_arena copy = NX_ARENA_INIT(1u << 20);
    nx_core_run_log(r, NX_LOG_INFO, "", nx_slice_cstr(r->fn->name), nx_core_privacy_line(r, line, &copy));
}

/* What the function's author should know of the run. */
static void on_note(nx_attempt *a, nx_slice text)
{
    const nx_core_run *r = a->owner;
    nx_core_run_log(r, NX_LOG_WARN, "run.denied", NX_SLICE("nexus"), text);
}

/* ---- the beginning ---------------------------------------------------------------------------------------------------------------------- */

static void env_add(nx_core_run *r, const char *key, nx_slice value)
{
    if (r->rec.n_env < NX_RUN_ENV_MAX)
        r->rec.env[r->rec.n_env++] = (nx_kv){nx_slice_cstr(key), value};
}

static nx_err build_env(nx_core_run *r)
{
    const nx_event *e = &r->event;
    char traceparent[NX_TRACEPARENT_LEN + 1], attempt[16];
    size_t k = nx_trace_format(&r->rec.trace, traceparent);
    nx_slice tp = nx_arena_dup(&r->arena, nx_slice_make(traceparent, k));
    nx_slice at = nx_arena_dup(&r->arena, nx_slice_make(attempt, (size_t)snprintf(attempt, sizeof attempt, "%u", r->rec.attempt)));
    if (!tp.p || !at.p)
        return NX_ENOMEM;
    r->rec.n_env = r->rec.n_secret_env = 0;
    env_add(r, "TRACE_ID", nx_slice_cstr(e->trace.trace_id));
    env_add(r, "TRACEPARENT", tp);
    env_add(r, "EVENT_ID", nx_id_slice(&e->event_id));
    env_add(r, "EVENT_TYPE", e->type);
    env_add(r, "EVENT_SOURCE", e->source);
    env_add(r, "EVENT_SUBJECT", e->subject);
    env_add(r, "EVENT_TIME", e->time);
    env_add(r, "EVENT_CONTENT_TYPE", e->content_type);
    env_add(r, "NEXUS_FUNCTION", nx_slice_cstr(r->fn->name));
    env_add(r, "NEXUS_VERSION", nx_slice_cstr(r->fn->version));
    env_add(r, "NEXUS_ATTEMPT", at);
    const nx_fn_config *f = r->fn->settings;
    for (unsigned i = 0; i < f->n_env && r->rec.n_env < NX_RUN_ENV_MAX; i++)
        r->rec.env[r->rec.n_env++] = f->env[i];
    return NX_OK;
}

static nx_err build_input(nx_core_run *r, nx_slice *ret)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf json = NX_BUF_INIT(RUN_ARENA_BYTES / 2);
    nx_err err = nx_event_input(&r->event, r->rec.input_is_cloudevent, r->rec.takes_batches, &json, ret);
    if (err != NX_OK || !json.n)
        return err;
    *ret = nx_arena_dup(&r->arena, nx_buf_view(&json));
    return ret->p ? NX_OK : NX_ENOMEM;
}

void nx_core_run_execute(nx_core_run *r)
{
    if (!nx_core_gate_enter(r))
        return;
    if (build_env(r) != NX_OK)
        nx_core_run_drop(r);
    else if (r->fn->settings->n_secret_env)
        nx_core_run_fetch_secrets(r);
    else
        nx_core_run_begin(r, r->rec.env);
}

#define PRIORITY_MOST_S 600

/* When it would have come, had it come by its priority; 0: in turn. */
static uint64_t rank_of(nx_core_run *r)
{
    const nx_fn_config *f = r->fn->settings;
    int64_t seconds = 0;
    if (!f->priority_run.n)
        return 0;
    (void)nx_event_key_number(&r->event, f->priority_run, &r->arena, PRIORITY_MOST_S, &seconds);
    return nx_event_start_wall_ns(&r->event) - (uint64_t)(seconds * (int64_t)NX_NS_PER_S);
}

void nx_core_run_begin(nx_core_run *r, const nx_kv *env)
{
    nx_node *n = r->d->node;
    const nx_fn_config *f = r->fn->settings;
    nx_slice input;
    if (build_input(r, &input) != NX_OK) {
        nx_core_run_drop(r);
        return;
    }
    nx_attempt *a = &r->attempt;
    a->program = r->fn->program;
    a->share = r->fn->share;
    a->rank_ns = rank_of(r);
    a->input = input;
    a->env = env;
    a->n_env = r->rec.n_env;
    memcpy(a->seed, r->rec.seed, sizeof a->seed);
    a->timeout_ns = f->timeout_ns;
    a->memory_bytes = f->memory_bytes;
    a->fuel = f->fuel;
    a->max_output_bytes = f->max_output_bytes;
    a->scratch_bytes = f->scratch_bytes;
    a->max_log_bytes = f->max_log_bytes;
    a->max_calls_bytes = CALLS_BYTES_MAX;
    a->keep_logs = true;
    a->on_start = on_start;
    a->on_log = on_guest_line;
    a->effects = NX_EFFECTS_LIVE;
    a->grants = &r->fn->grants;
    a->effect_ops = &nx_core_effect_ops;
    a->effect_self = n;
    a->has_secret_env = r->n_secret_values > 0;
    a->trace = &r->rec.trace;
    a->on_note = on_note;
    a->done = on_done;
    a->owner = r;
    if (r->effects != NX_EFFECTS_LIVE) { /* a redrive that is not to touch the world */
        a->effects = r->effects;
        a->recorded = r->recorded;
        a->n_recorded = r->n_recorded;
    }
    nx_error e = NX_ERROR_INIT;
    if (nx_rt_submit(n->rt, a, &e) != NX_OK)
        nx_core_run_later(r, 100 * NX_NS_PER_MS);
}

nx_err nx_core_dispatch_new(nx_node *n, nx_core_dispatch **ret, nx_error *reterr)
{
    nx_core_dispatch *d = calloc(1, sizeof *d);
    if (!d)
        return nx_error_set(reterr, NX_ENOMEM, "dispatcher");
    if (nx_core_backoffs_new(&d->backoffs) != NX_OK) {
        free(d);
        return nx_error_set(reterr, NX_ENOMEM, "dispatcher");
    }
    pthread_mutex_init(&d->mu, NULL);
    d->node = n;
    *ret = d;
    return NX_OK;
}

void nx_core_dispatch_free(nx_core_dispatch *d)
{
    if (!d)
        return;
    while (d->pool) {
        nx_core_run *r = d->pool;
        d->pool = (nx_core_run *)r->attempt.mail.next;
        run_destroy(r);
    }
    nx_core_backoffs_free(d->backoffs);
    pthread_mutex_destroy(&d->mu);
    free(d);
}

unsigned nx_core_dispatch_running(const nx_core_dispatch *d) { return atomic_load(&d->running); }
