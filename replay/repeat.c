/* repeat.c: one run repeated from its recording. */
#include "nx/repeat.h"
#include "nx/clock.h"
#include "nx/crypt.h"
#include "nx/event_batch.h"
#include "nx/redact.h"
#include "verdict.h"
#include <stdio.h>
#include <stdlib.h>

#define LOG_BYTES (1u << 20)
#define CALLS_BYTES 4096
#define INPUT_BYTES_MAX (64u << 20)
#define CALL_TEXT_BYTES_MAX (64u << 10)
#define SECRET_BYTES_MAX (64u << 10)
#define SECRETS_BYTES_MAX (16u << 20)
#define SECRET_WAIT_NS (5 * NX_NS_PER_S)
/* One big event must not hold its memory for ever. */
#define KEPT_BYTES (256u << 10)

struct nx_replay_repetition {
    nx_rt *rt;
    const nx_replay_how *how; /* while it runs */
    nx_attempt attempt;
    nx_run run;
    nx_event changed; /* the event with other data */
    nx_replay_result result;
    nx_buf input, recorded_call, replayed_call;
    nx_effect *effects; /* the recording with other answers; NULL where none was wanted yet */
    unsigned effects_cap;
    nx_emitted emitted[NX_RUN_EMITTED_MAX];
    nx_kv live_env[NX_RUN_ENV_MAX]; /* what the guest gets where secrets stand in it; the record has their proofs */
    nx_arena secrets;               /* their values, which are wiped after the run, and proofs */
    nx_slice secret_values[NX_RUN_ENV_MAX];
    unsigned n_secret_values;
    char original_time[NX_RFC3339_MAX];
};

nx_err nx_replay_repetition_new(nx_rt *rt, nx_replay_repetition **ret)
{
    nx_replay_repetition *p = calloc(1, sizeof *p);
    if (!p)
        return NX_ENOMEM;
    p->rt = rt;
    nx_attempt_init(&p->attempt);
    nx_buf_init(&p->input, INPUT_BYTES_MAX);
    nx_buf_init(&p->recorded_call, CALL_TEXT_BYTES_MAX);
    nx_buf_init(&p->replayed_call, CALL_TEXT_BYTES_MAX);
    nx_arena_init(&p->secrets, SECRETS_BYTES_MAX);
    *ret = p;
    return NX_OK;
}

void nx_replay_repetition_free(nx_replay_repetition *p)
{
    if (!p)
        return;
    nx_attempt_done(&p->attempt);
    nx_buf_done(&p->input);
    nx_buf_done(&p->recorded_call);
    nx_buf_done(&p->replayed_call);
    free(p->effects);
    nx_arena_done(&p->secrets);
    free(p);
}

static void reuse(nx_buf *b)
{
    size_t max = b->max;
    if (b->cap > KEPT_BYTES) {
        nx_buf_done(b);
        nx_buf_init(b, max);
    }
    nx_buf_clear(b);
}

static void reset(nx_replay_repetition *p, const nx_event *event, const nx_run *recorded, const nx_replay_how *how)
{
    nx_replay_result *r = &p->result;
    reuse(&p->input);
    reuse(&p->attempt.out.output);
    reuse(&p->attempt.out.logs);
    nx_buf_clear(&p->recorded_call);
    nx_buf_clear(&p->replayed_call);
    if (p->run.n_secret_env)
        nx_arena_reset(&p->secrets);
    nx_attempt_reset(&p->attempt);
    nx_run_clear(&p->run);
    p->how = how;
    r->event = event;
    r->original = recorded;
    r->replayed = NULL;
    r->outcome = NULL;
    r->effects = how->effects;
    r->verdict = NX_REPLAY_FAILED;
    r->is_artifact_missing = r->is_node_failure = r->is_fuel_comparable = false;
    r->is_what_if = how->is_what_if;
    r->reason[0] = 0;
    nx_slice version = how->version.n ? how->version : recorded->version;
    snprintf(r->version, sizeof r->version, "%.*s", NX_SLICE_FMT(version));
    snprintf(r->log_trace, sizeof r->log_trace, "%s-replay", recorded->trace.trace_id);
    r->first_difference = -1;
    r->recorded_call = r->replayed_call = r->replayed_at = NX_SLICE_NULL;
}

static const nx_replay_result *fail(nx_replay_repetition *p, const char *what, const char *detail)
{
    snprintf(p->result.reason, sizeof p->result.reason, "%s: %s", what, detail);
    return &p->result;
}

static void on_line(nx_attempt *a, nx_slice line)
{
    const nx_replay_repetition *p = a->owner;
    p->how->on_log(p->how->self, p->result.event, &p->run, line);
}

/* The function's max_log, as far as it mattered: what a guest says of its end (out of memory) is heard only up to there. */
static uint64_t log_limit(const nx_run *o)
{
    if (o->logs.n < o->logs_bytes && o->recording == NX_RECORDING_FULL)
        return o->logs.n;
    return o->logs_bytes > LOG_BYTES ? o->logs_bytes : LOG_BYTES;
}

static nx_err fill_input(nx_replay_repetition *p, const nx_event *event, const nx_run *o)
{
    const nx_event *e = event;
    if (p->how->data) {
        p->changed = *event;
        p->changed.data = *p->how->data;
        e = &p->changed;
    }
    p->run.input_is_cloudevent = p->how->settings ? p->how->settings->input == NX_INPUT_CLOUDEVENT : o->input_is_cloudevent;
    p->run.takes_batches = p->how->settings ? p->how->settings->batch_max > 0 : o->takes_batches;
    return nx_event_input(e, p->run.input_is_cloudevent, p->run.takes_batches, &p->input, &p->attempt.input);
}

/* How many of the recorded variables are the platform's: a function's own follow behind the attempt. */
static unsigned platform_env(const nx_run *o)
{
    unsigned n = 0;
    while (n < o->n_env && !nx_slice_eq_cstr(o->env[n].key, "NEXUS_ATTEMPT"))
        n++;
    return n < o->n_env ? n + 1 : o->n_env;
}

static void fill_env(nx_replay_repetition *p, const nx_run *o)
{
    nx_run *r = &p->run;
    const nx_fn_config *settings = p->how->settings;
    r->n_env = settings ? platform_env(o) : o->n_env;
    memcpy(r->env, o->env, sizeof(nx_kv) * r->n_env);
    for (unsigned i = 0; settings && i < r->n_env; i++)
        if (nx_slice_eq_cstr(r->env[i].key, "NEXUS_VERSION"))
            r->env[i].value = nx_slice_cstr(p->result.version);
    for (unsigned i = 0; settings && i < settings->n_env && r->n_env < NX_RUN_ENV_MAX; i++)
        r->env[r->n_env++] = settings->env[i];
    if (o->recording != NX_RECORDING_FULL || o->redacted.n)
        nx_run_restore_env(r, p->result.event);
    if (p->how->is_other_code && r->n_env + 2 <= NX_RUN_ENV_MAX) {
        size_t k = nx_clock_rfc3339(o->start_wall_ns, 9, p->original_time);
        r->env[r->n_env++] = (nx_kv){NX_SLICE("NEXUS_IS_REPLAY"), NX_SLICE("true")};
        r->env[r->n_env++] = (nx_kv){NX_SLICE("NEXUS_ORIGINAL_TIMESTAMP"), nx_slice_make(p->original_time, k)};
    }
    p->attempt.env = r->env;
    p->attempt.n_env = r->n_env;
}

/* ---- secrets of the environment */

static void forget_secrets(nx_replay_repetition *p)
{
    for (unsigned i = 0; i < p->n_secret_values; i++)
        nx_wipe((void *)(uintptr_t)p->secret_values[i].p, p->secret_values[i].n);
    p->n_secret_values = 0;
}

/* The value of secret `name` for the variable at index i; `proof` is what the recording has of it, or empty where another value may be. */
static nx_err fill_secret(nx_replay_repetition *p, unsigned i, nx_slice name, nx_slice proof, nx_error *reterr)
{
    static const nx_grants no_grants;
    const nx_replay_how *how = p->how;
    NX_CLEANUP(nx_buf_wipe)
    nx_buf value = NX_BUF_INIT(SECRET_BYTES_MAX + 1);
    NX_CLEANUP(nx_buf_done)
    nx_buf keep = NX_BUF_INIT(4096);
    nx_effect_call call = {&no_grants, NULL, nx_clock_ns() + SECRET_WAIT_NS, &value, &keep};
    nx_err err = how->effect_ops && how->effect_ops->secret_get ? how->effect_ops->secret_get(how->effect_self, &call, name, reterr)
                                                                : nx_error_set(reterr, NX_ENOENT, "there is no node here that has it");
    if (err == NX_OK && proof.n && !nx_slice_eq(nx_buf_view(&keep), proof))
        err = nx_error_set(reterr, NX_EDIVERGED, "it has another value than in the recording, or the node another key");
    nx_slice kept = err == NX_OK ? nx_arena_dup(&p->secrets, nx_buf_view(&keep)) : NX_SLICE_NULL;
    nx_slice copy = err == NX_OK ? nx_arena_dup(&p->secrets, nx_buf_view(&value)) : NX_SLICE_NULL;
    if (err == NX_OK && (!copy.p || !kept.p))
        err = nx_error_set(reterr, NX_ENOMEM, "out of memory");
    if (err != NX_OK)
        return err;
    p->secret_values[p->n_secret_values++] = copy;
    p->live_env[i].value = copy;
    p->run.env[i].value = kept;
    return NX_OK;
}

/* The recording has a proof of each value: the guest must get the same value again. With the settings of another version, its own secrets. */
static nx_err fill_secrets(nx_replay_repetition *p, const nx_run *o, nx_error *reterr)
{
    const nx_fn_config *settings = p->how->settings;
    const nx_kv *wanted = settings ? settings->secret_env : o->secret_env;
    unsigned n = settings ? settings->n_secret_env : o->n_secret_env;
    nx_run *r = &p->run;
    if (n == 0)
        return NX_OK;
    for (unsigned k = 0; settings && k < n && r->n_env < NX_RUN_ENV_MAX; k++)
        r->env[r->n_env++] = (nx_kv){wanted[k].key, NX_SLICE_NULL};
    memcpy(p->live_env, r->env, r->n_env * sizeof *r->env);
    p->attempt.env = p->live_env;
    p->attempt.n_env = r->n_env;
    p->attempt.has_secret_env = true;
    r->secret_env = (nx_kv *)(uintptr_t)wanted;
    r->n_secret_env = n;
    for (unsigned k = 0; k < n; k++)
        for (unsigned i = 0; i < r->n_env; i++) {
            if (!nx_slice_eq(r->env[i].key, wanted[k].key))
                continue;
            nx_err err = fill_secret(p, i, wanted[k].value, settings ? NX_SLICE_NULL : r->env[i].value, reterr);
            if (err != NX_OK)
                return nx_error_prefix(reterr, "secret %.*s, variable %.*s", NX_SLICE_FMT(wanted[k].value), NX_SLICE_FMT(wanted[k].key));
        }
    return NX_OK;
}

static void fill_limits(nx_replay_repetition *p, const nx_run *o)
{
    const nx_fn_config *settings = p->how->settings;
    nx_attempt *a = &p->attempt;
    nx_run *r = &p->run;
    a->timeout_ns = r->limit_timeout_ns = settings ? settings->timeout_ns : o->limit_timeout_ns;
    a->memory_bytes = r->limit_memory_bytes = settings ? settings->memory_bytes : o->limit_memory_bytes;
    a->fuel = r->limit_fuel = settings ? settings->fuel : o->limit_fuel;
    a->max_output_bytes = r->limit_output_bytes = settings ? settings->max_output_bytes : o->limit_output_bytes;
    a->scratch_bytes = r->limit_scratch_bytes = settings ? settings->scratch_bytes : o->limit_scratch_bytes;
    a->max_log_bytes = settings ? settings->max_log_bytes : log_limit(o);
}

/* The recording, with the answers that `how` gives in place of some. */
static nx_err fill_effects(nx_replay_repetition *p, const nx_run *o)
{
    const nx_replay_how *how = p->how;
    nx_attempt *a = &p->attempt;
    a->recorded = o->effects;
    a->n_recorded = o->n_effects;
    if (!how->n_answers)
        return NX_OK;
    if (o->n_effects > p->effects_cap) {
        nx_effect *v = realloc(p->effects, sizeof *v * o->n_effects);
        if (!v)
            return NX_ENOMEM;
        p->effects = v;
        p->effects_cap = o->n_effects;
    }
    if (o->n_effects)
        memcpy(p->effects, o->effects, sizeof *o->effects * o->n_effects);
    for (unsigned i = 0; i < how->n_answers; i++) {
        if (how->answers[i].index >= o->n_effects)
            return NX_ENOENT;
        p->effects[how->answers[i].index].status = how->answers[i].status;
        p->effects[how->answers[i].index].answer = how->answers[i].answer;
    }
    a->recorded = p->effects;
    return NX_OK;
}

static void fill_attempt(nx_replay_repetition *p, nx_rt_program *program, const nx_run *o)
{
    const nx_replay_how *how = p->how;
    nx_attempt *a = &p->attempt;
    a->program = program;
    a->share = how->share;
    memcpy(a->seed, o->seed, sizeof a->seed);
    a->start_wall_ns = how->start_wall_ns ? how->start_wall_ns : o->start_wall_ns;
    fill_limits(p, o);
    a->max_calls_bytes = how->keep_calls_bytes ? how->keep_calls_bytes : CALLS_BYTES;
    a->is_replay = true;
    bool is_same_code = !how->is_other_code && !how->settings && (!how->artifact.n || nx_slice_eq(how->artifact, o->artifact));
    a->is_proof = is_same_code && !how->is_what_if && how->effects == NX_EFFECTS_RECORDED;
    a->stop_at_call = how->stop_at_call;
    a->is_stop_cancelled = o->status == NX_RUN_CANCELLED;
    a->stop_at_fuel = (o->status == NX_RUN_TIMEOUT || a->is_stop_cancelled) && !how->is_other_code && !how->is_what_if ? o->fuel : 0;
    a->keep_logs = true;
    a->on_log = how->on_log ? on_line : NULL;
    a->owner = p;
    a->effects = how->effects;
    a->grants = how->grants;
    a->effect_ops = how->effect_ops;
    a->effect_self = how->effect_self;
    a->trace = &p->how->trace;
}

/* What is known before it runs. */
static void begin_run(nx_replay_repetition *p, const nx_run *o)
{
    const nx_replay_how *how = p->how;
    nx_run *r = &p->run;
    r->ns = o->ns;
    r->run_id = how->run_id;
    r->event_id = o->event_id;
    r->event_type = o->event_type;
    r->function = o->function;
    r->version = nx_slice_cstr(p->result.version);
    r->artifact = how->artifact.n ? how->artifact : o->artifact;
    r->attempt = o->attempt;
    r->generation = o->generation;
    r->is_replay = r->is_final = true;
    r->replay_of = nx_id_slice(&o->run_id);
    r->original_wall_ns = o->start_wall_ns;
    r->start_wall_ns = nx_clock_wall_ns();
    r->trace = how->trace;
    r->parent_span = nx_slice_cstr(o->trace.span_id);
    memcpy(r->seed, o->seed, sizeof r->seed);
    r->engine = nx_slice_cstr(nx_rt_engine_identity(p->rt));
    r->world = nx_slice_cstr(nx_rt_world_identity());
    r->arch = nx_slice_cstr(nx_rt_arch());
    r->node = nx_id_slice(&how->node);
    r->event_seq = o->event_seq;
}

/* What would have been published. */
static void end_emitted(nx_replay_repetition *p, const nx_outcome *out)
{
    char key[NX_EMIT_KEY_BYTES];
    nx_run *r = &p->run;
    for (unsigned i = 0; i < out->n_emitted; i++) {
        const nx_emit *m = &out->emitted[i];
        const nx_event *e = p->result.event;
        nx_slice partition_key = m->partition_key.n ? m->partition_key : e->partition_key;
        p->emitted[i] = (nx_emitted){nx_emit_event_id(&p->result.original->run_id, i, e->wall_ns, m->type, partition_key, key), m->type, nx_emit_digest(m)};
    }
    r->emitted = p->emitted;
    r->n_emitted = out->status == NX_RUN_OK ? out->n_emitted : 0;
}

const nx_replay_result *nx_replay_repeat(nx_replay_repetition *p, nx_rt_program *program, const nx_event *event, const nx_run *recorded, const nx_replay_how *how)
{
    nx_error e = NX_ERROR_INIT;
    reset(p, event, recorded, how);
    if (recorded->why == NX_WHY_NO_SECRET || nx_run_status_is_idle(recorded->status)) {
        snprintf(p->result.reason, sizeof p->result.reason, "the function was not executed: %.*s", NX_SLICE_FMT(recorded->message));
        return &p->result;
    }
    if (recorded->status == NX_RUN_DEAD)
        return fail(p, "a run that ended dead is not executed again inside a node", nx_run_why_name(recorded->why));
    const char *not_kept = nx_run_not_kept(recorded, how->effects == NX_EFFECTS_RECORDED);
    if (not_kept)
        return fail(p, "not enough was recorded", not_kept);
    nx_err err = fill_input(p, event, recorded);
    if (err == NX_OK)
        err = fill_effects(p, recorded);
    fill_env(p, recorded);
    if (err == NX_OK && fill_secrets(p, recorded, &e) != NX_OK) {
        forget_secrets(p);
        return fail(p, "its environment holds secrets, whose values are not recorded", e.msg);
    }
    fill_attempt(p, program, recorded);
    begin_run(p, recorded);
    if (err == NX_OK)
        err = nx_rt_run(p->rt, &p->attempt, &e);
    if (err == NX_OK)
        err = p->attempt.out.err;
    forget_secrets(p);
    p->result.is_node_failure = err == NX_ENOMEM || err == NX_EBUSY;
    if (err != NX_OK)
        return fail(p, "the run could not be repeated", e.msg[0] ? e.msg : nx_err_text(err));
    nx_outcome_to_run(&p->attempt.out, &p->run);
    end_emitted(p, &p->attempt.out);
    p->result.replayed = &p->run;
    p->result.outcome = &p->attempt.out;
    nx_replay_compare(&p->result, &p->recorded_call, &p->replayed_call);
    return &p->result;
}

const nx_replay_result *nx_replay_refuse(nx_replay_repetition *p, const nx_event *event, const nx_run *recorded, const nx_replay_how *how, bool is_artifact_missing,
                                         const char *what, const char *detail)
{
    reset(p, event, recorded, how);
    p->result.is_artifact_missing = is_artifact_missing;
    return fail(p, what, detail);
}
