/* replay.c: finding an event's runs and repeating each from its recording. */
#include "nx/replay.h"
#include "verdict.h"
#include <stdio.h>
#include <stdlib.h>

#define REPLAY_ARENA_BYTES (256u << 20)
#define REPLAY_LOG_BYTES (1u << 20)
#define REPLAY_CALLS_BYTES 4096

/* One repetition: everything a result points to. */
typedef struct repetition {
    nx_node *node;
    const nx_event *event;
    const nx_run *original;
    nx_attempt attempt;
    nx_run run;
    nx_replay_result result;
    nx_buf input, recorded_call, replayed_call;
    char original_time[NX_RFC3339_MAX];
} repetition;

static void on_line(nx_attempt *a, nx_slice line)
{
    const repetition *p = a->owner;
    nx_log_line l = {
        .level = NX_LOG_INFO,
        .component = p->original->function,
        .trace = nx_slice_cstr(p->result.log_trace),
        .event_id = nx_id_slice(&p->event->event_id),
        .run_id = nx_id_slice(&p->run.run_id),
        .function = p->original->function,
        .ns = p->event->ns,
        .msg = line,
        .is_replay = true,
        .original_wall_ns = p->original->start_wall_ns,
    };
    nx_log_emit(&l);
}

/* One line of the node for each repetition: who looks at the log later sees that it happened, and how it came out. */
static void log_verdict(const repetition *p, bool is_other_code)
{
    const nx_replay_result *r = &p->result;
    char text[sizeof r->reason + 128];
    int n = snprintf(text, sizeof text, "Function '%.*s' replayed: %s%s%s", NX_SLICE_FMT(p->original->function), nx_replay_verdict_name(r->verdict),
                     r->reason[0] ? ", " : "", r->reason);
    nx_log_line l = {
        /* That other code answers otherwise is what was asked; that the same code does is not. */
        .level = r->verdict == NX_REPLAY_IDENTICAL || (r->verdict == NX_REPLAY_DIVERGED && is_other_code) ? NX_LOG_INFO : NX_LOG_WARN,
        .event = NX_SLICE("replay.completed"),
        .trace = nx_slice_cstr(r->log_trace),
        .event_id = nx_id_slice(&p->event->event_id),
        .run_id = p->run.run_id.s[0] ? nx_id_slice(&p->run.run_id) : NX_SLICE(""), /* it did not get that far */
        .function = p->original->function,
        .ns = p->event->ns,
        .msg = nx_slice_make(text, n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n
                                                                       : sizeof text - 1),
        .is_replay = true,
        .original_wall_ns = p->original->start_wall_ns,
    };
    nx_log_emit(&l);
}

static void fail(repetition *p, const char *what, const char *detail)
{
    p->result.verdict = NX_REPLAY_FAILED;
    snprintf(p->result.reason, sizeof p->result.reason, "%s: %s", what, detail);
}

/* Which code: the recorded artifact, or another version or artifact. */
static nx_err choose_artifact(repetition *p, nx_slice against, nx_sha256 *ret, nx_error *reterr)
{
    const nx_run *o = p->original;
    nx_err err = NX_OK;
    if (!against.n) {
        snprintf(p->result.version, sizeof p->result.version, "%.*s", NX_SLICE_FMT(o->version));
        err = nx_sha256_parse_hex(o->artifact, ret);
    } else {
        snprintf(p->result.version, sizeof p->result.version, "%.*s", NX_SLICE_FMT(against));
        if (nx_sha256_parse_hex(against, ret) != NX_OK)
            err = nx_core_version_artifact(p->node, o->function, against, ret, reterr);
    }
    return err;
}

/* The function's max_log, as far as it mattered: what a guest says of its end (out of memory) is heard only up to there. */
static uint64_t log_limit(const nx_run *o)
{
    if (o->logs.n < o->logs_bytes)
        return o->logs.n;
    return o->logs_bytes > REPLAY_LOG_BYTES ? o->logs_bytes : REPLAY_LOG_BYTES;
}

static nx_err fill_attempt(repetition *p, bool is_other_code)
{
    const nx_run *o = p->original;
    nx_attempt *a = &p->attempt;
    a->input = p->event->data;
    if (o->input_is_cloudevent) {
        nx_err err = nx_event_to_json(p->event, &p->input);
        if (err != NX_OK)
            return err;
        a->input = nx_buf_view(&p->input);
    }
    memcpy(p->run.env, o->env, sizeof(nx_kv) * o->n_env);
    p->run.n_env = o->n_env;
    if (is_other_code && p->run.n_env + 2 <= NX_RUN_ENV_MAX) {
        size_t k = nx_clock_rfc3339(o->start_wall_ns, 9, p->original_time);
        p->run.env[p->run.n_env++] = (nx_kv){NX_SLICE("NEXUS_IS_REPLAY"), NX_SLICE("true")};
        p->run.env[p->run.n_env++] = (nx_kv){NX_SLICE("NEXUS_ORIGINAL_TIMESTAMP"), nx_slice_make(p->original_time, k)};
    }
    a->env = p->run.env;
    a->n_env = p->run.n_env;
    memcpy(a->seed, o->seed, sizeof a->seed);
    a->start_wall_ns = o->start_wall_ns;
    a->timeout_ns = o->limit_timeout_ns;
    a->memory_bytes = o->limit_memory_bytes;
    a->fuel = o->limit_fuel;
    a->max_output_bytes = o->limit_output_bytes;
    a->max_log_bytes = log_limit(o);
    a->max_calls_bytes = REPLAY_CALLS_BYTES;
    a->is_replay = true;
    a->stop_at_fuel = o->status == NX_RUN_TIMEOUT && !is_other_code ? o->fuel : 0;
    a->keep_logs = true;
    a->on_log = on_line;
    a->owner = p;
    return NX_OK;
}

static void fill_run(repetition *p, const nx_sha256 *artifact, char hex[NX_SHA256_HEX + 1])
{
    const nx_run *o = p->original;
    const nx_outcome *out = &p->attempt.out;
    nx_run *r = &p->run;
    nx_sha256_hex(artifact, hex);
    r->ns = o->ns;
    r->event_id = o->event_id;
    r->event_type = o->event_type;
    r->function = o->function;
    r->version = nx_slice_cstr(p->result.version);
    r->artifact = nx_slice_make(hex, NX_SHA256_HEX);
    r->attempt = o->attempt;
    r->generation = o->generation;
    r->is_replay = r->is_final = true;
    r->replay_of = nx_id_slice(&o->run_id);
    r->original_wall_ns = o->start_wall_ns;
    r->parent_span = nx_slice_cstr(o->trace.span_id);
    memcpy(r->seed, o->seed, sizeof r->seed);
    r->limit_timeout_ns = o->limit_timeout_ns;
    r->limit_memory_bytes = o->limit_memory_bytes;
    r->limit_fuel = o->limit_fuel;
    r->limit_output_bytes = o->limit_output_bytes;
    r->input_is_cloudevent = o->input_is_cloudevent;
    r->engine = nx_slice_cstr(nx_rt_engine_identity(nx_core_runtime(p->node)));
    r->world = nx_slice_cstr(nx_rt_world_identity());
    r->arch = nx_slice_cstr(nx_rt_arch());
    r->node = nx_id_slice(nx_core_node_id(p->node));
    r->event_seq = o->event_seq;
    r->status = out->status;
    r->why = out->why;
    r->exit_code = out->exit_code;
    r->message = nx_slice_cstr(out->message);
    r->backtrace = nx_buf_view(&out->backtrace);
    r->duration_ns = out->duration_ns;
    r->fuel = out->fuel;
    r->memory_bytes = out->memory_bytes;
    r->is_cold = out->is_cold;
    r->output = nx_buf_view(&out->output);
    r->output_bytes = out->output_bytes;
    r->output_sha256 = out->output_sha256;
    r->logs = nx_buf_view(&out->logs);
    r->logs_bytes = out->logs_bytes;
    r->logs_sha256 = out->logs_sha256;
    r->calls = nx_buf_view(&out->calls);
    r->calls_sha256 = out->calls_sha256;
    r->n_calls = out->n_calls;
}

/* ---- the replay's own record --------------------------------------------------------------------------------------------------------------- */

typedef struct stored {
    nx_fab_pub pub;
    pthread_mutex_t mu;
    pthread_cond_t cv;
    bool is_done;
} stored;

static void on_stored(nx_fab_pub *pub)
{
    stored *s = pub->owner;
    pthread_mutex_lock(&s->mu);
    s->is_done = true;
    pthread_cond_signal(&s->cv);
    pthread_mutex_unlock(&s->mu);
}

/* A replay whose record can't be stored is still a replay: the verdict stands, and the log says what is missing. */
static void store(repetition *p)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf encoded = NX_BUF_INIT(128u << 20);
    nx_error e = NX_ERROR_INIT;
    stored s = {.is_done = false};
    s.pub = (nx_fab_pub){.done = on_stored, .owner = &s};
    pthread_mutex_init(&s.mu, NULL);
    pthread_cond_init(&s.cv, NULL);
    nx_err err = nx_run_encode(&p->run, &encoded);
    if (err == NX_OK)
        err = nx_fab_publish_run(nx_core_namespace(p->node), &p->run, nx_buf_view(&encoded), &s.pub, &e);
    if (err == NX_OK) {
        pthread_mutex_lock(&s.mu);
        while (!s.is_done) /* bounded: the fabric ends every publication */
            pthread_cond_wait(&s.cv, &s.mu);
        pthread_mutex_unlock(&s.mu);
        err = s.pub.err;
    }
    if (err != NX_OK)
        nx_log(NX_LOG_WARN, "replay.not_recorded", "the record of the replay of run %s was not stored: %s", p->original->run_id.s, nx_err_text(err));
    pthread_cond_destroy(&s.cv);
    pthread_mutex_destroy(&s.mu);
}

/* ---- one run --------------------------------------------------------------------------------------------------------------------------------- */

static void repeat(repetition *p, nx_slice against, char hex[NX_SHA256_HEX + 1])
{
    const nx_run *o = p->original;
    nx_error e = NX_ERROR_INIT;
    nx_sha256 artifact;
    if (o->status == NX_RUN_DEAD) {
        fail(p, "a run that ended dead is not executed again inside a node", nx_run_why_name(o->why));
        return;
    }
    nx_err err = choose_artifact(p, against, &artifact, &e);
    if (err != NX_OK) {
        fail(p, "no code to run", e.msg);
        return;
    }
    err = nx_core_program_get(p->node, &artifact, o->limit_memory_bytes, &p->attempt.program, &e);
    if (err != NX_OK) {
        p->result.is_artifact_missing = err == NX_ENOENT;
        fail(p, err == NX_ENOENT ? "the code is no longer stored" : "the code can't be loaded", e.msg);
        return;
    }
    err = fill_attempt(p, against.n > 0);
    p->run.run_id = nx_ulid_new_in_shard(nx_clock_wall_ns(), nx_id_shard(&o->event_id));
    p->run.start_wall_ns = nx_clock_wall_ns();
    nx_trace_new(&p->run.trace); /* a new trace, linked to the old by replay_of and parent_span (DESIGN 7) */
    if (err == NX_OK)
        err = nx_rt_run(nx_core_runtime(p->node), &p->attempt, &e);
    if (err == NX_OK)
        err = p->attempt.out.err;
    if (err != NX_OK) {
        fail(p, "the run could not be repeated", e.msg[0] ? e.msg : nx_err_text(err));
        return;
    }
    fill_run(p, &artifact, hex);
    p->result.replayed = &p->run;
    nx_replay_compare(&p->result, &p->recorded_call, &p->replayed_call);
    store(p);
}

static nx_err repeat_and_report(nx_node *n, const nx_event *event, const nx_run *original, nx_slice against,
                                nx_err (*on_result)(void *self, const nx_replay_result *r), void *self)
{
    char hex[NX_SHA256_HEX + 1];
    repetition *p = calloc(1, sizeof *p);
    if (!p)
        return NX_ENOMEM;
    p->node = n;
    p->event = event;
    p->original = original;
    nx_attempt_init(&p->attempt);
    nx_buf_init(&p->input, 64u << 20);
    nx_buf_init(&p->recorded_call, 64u << 10);
    nx_buf_init(&p->replayed_call, 64u << 10);
    p->result = (nx_replay_result){.event = event, .original = original, .first_difference = -1};
    snprintf(p->result.log_trace, sizeof p->result.log_trace, "%s-replay", original->trace.trace_id);
    repeat(p, against, hex);
    log_verdict(p, against.n > 0);
    nx_err err = on_result(self, &p->result);
    nx_rt_program_unref(p->attempt.program);
    nx_attempt_done(&p->attempt);
    nx_buf_done(&p->input);
    nx_buf_done(&p->recorded_call);
    nx_buf_done(&p->replayed_call);
    free(p);
    return err;
}

/* The final record of a run is the first one by sequence; `v` is oldest first. */
static bool is_wanted(const nx_run *v, unsigned i, nx_slice function)
{
    if (!v[i].is_final || (function.n && !nx_slice_eq(v[i].function, function)))
        return false;
    for (unsigned k = 0; k < i; k++)
        if (v[k].is_final && memcmp(v[k].run_id.s, v[i].run_id.s, NX_ID_LEN) == 0)
            return false;
    return true;
}

nx_err nx_replay_event(nx_node *n, const nx_replay_request *req, nx_err (*on_result)(void *self, const nx_replay_result *r), void *self, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(REPLAY_ARENA_BYTES);
    nx_fab_ns *ns = nx_core_namespace(n);
    nx_id id;
    nx_event event;
    nx_run *v = NULL;
    unsigned count = 0, done = 0;
    nx_err err = nx_fab_event_resolve(ns, req->event, &id, reterr);
    if (err == NX_OK)
        err = nx_fab_event_get(ns, &id, &a, &event, reterr);
    if (err == NX_OK)
        err = nx_fab_runs_done(ns, &event, &a, &v, &count, reterr);
    for (unsigned i = 0; err == NX_OK && i < count; i++) {
        if (!is_wanted(v, i, req->function))
            continue;
        err = repeat_and_report(n, &event, &v[i], req->against, on_result, self);
        done++;
    }
    if (err == NX_OK && done == 0)
        return nx_error_set(reterr, NX_ENOENT, req->function.n ? "event %s has no recorded run of function '%.*s'" : "event %s has no recorded run yet%.*s", id.s,
                            NX_SLICE_FMT(req->function));
    return err;
}
