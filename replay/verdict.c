/* verdict.c: is a repeated run the recorded one? Compared are status, host-call trace, output, log output and, where engine and world
 * are the same, fuel. Of a stack overflow only the status is compared (DESIGN 6). Of a run on other code, which is told that it is a replay
 * and so reads another environment, only what it says is compared: status, output, log output. */
#include "verdict.h"
#include "nx/clock.h"
#include "nx/diff.h"
#include "nx/redact.h"
#include <stdio.h>

const char *nx_replay_verdict_name(nx_replay_verdict v)
{
    switch (v) {
    case NX_REPLAY_IDENTICAL: return "identical";
    case NX_REPLAY_DIVERGED: return "diverged";
    case NX_REPLAY_FAILED: break;
    }
    return "failed";
}

void nx_replay_guest_status(const nx_run *r, nx_run_status *ret_status, nx_run_why *ret_why)
{
    bool is_refused = r->why == NX_WHY_HOP_LIMIT || r->why == NX_WHY_EMIT;
    *ret_status = is_refused ? NX_RUN_OK : r->status;
    *ret_why = is_refused ? NX_WHY_NONE : r->why;
}

/* As the guests saw it: what a record hides of it follows from the event. */
static bool same_env(const nx_event *e, const nx_run *recorded, const nx_run *replayed)
{
    if (recorded->n_env != replayed->n_env)
        return false;
    for (unsigned i = 0; i < recorded->n_env; i++)
        if (!nx_slice_eq(recorded->env[i].key, replayed->env[i].key) || !nx_slice_eq(nx_run_env_value(recorded, e, i), replayed->env[i].value))
            return false;
    return true;
}

static bool same_digest(const nx_sha256 *a, const nx_sha256 *b) { return memcmp(a, b, sizeof *a) == 0; }

bool nx_replay_same_emitted(const nx_run *o, const nx_run *n, char *reason, size_t reason_bytes)
{
    unsigned before = nx_run_guest_emits(o), after = nx_run_guest_emits(n);
    for (unsigned i = 0; i < before && i < after; i++) {
        const nx_emitted *x = &o->emitted[i], *y = &n->emitted[i];
        if (nx_slice_eq(x->type, y->type) && same_digest(&x->digest, &y->digest))
            continue;
        snprintf(reason, reason_bytes, "emitted event %u: recorded %.*s, replayed %.*s%s", i, NX_SLICE_FMT(x->type), NX_SLICE_FMT(y->type),
                 nx_slice_eq(x->type, y->type) ? ", the content differs" : "");
        return false;
    }
    if (before != after)
        snprintf(reason, reason_bytes, "emitted events: recorded %u, replayed %u", before, after);
    return before == after;
}

bool nx_replay_hides(const nx_run *recorded) { return recorded->recording != NX_RECORDING_FULL || recorded->redacted.n; }

const char *nx_replay_kept_reason(const nx_replay_result *r)
{
    bool has_words_of_guest = r->replayed && r->replayed->why == NX_WHY_NOT_RECORDED; /* a key, a URL */
    return has_words_of_guest && nx_replay_hides(r->original) ? "it asked for something that is not in the recording (what, is not kept: the function's recording or redact)"
                                                              : r->reason;
}

/* What the platform tells a guest of the code that runs. */
static bool is_about_code(nx_slice variable)
{
    return nx_slice_eq_cstr(variable, "NEXUS_VERSION") || nx_slice_eq_cstr(variable, "NEXUS_IS_REPLAY") || nx_slice_eq_cstr(variable, "NEXUS_ORIGINAL_TIMESTAMP");
}

static unsigned next_variable(const nx_run *r, unsigned i)
{
    while (i < r->n_env && is_about_code(r->env[i].key))
        i++;
    return i;
}

static bool same_own_env(const nx_run *x, const nx_run *y)
{
    unsigned i = next_variable(x, 0), j = next_variable(y, 0);
    while (i < x->n_env && j < y->n_env && nx_slice_eq(x->env[i].key, y->env[j].key) && nx_slice_eq(x->env[i].value, y->env[j].value)) {
        i = next_variable(x, i + 1);
        j = next_variable(y, j + 1);
    }
    return i == x->n_env && j == y->n_env;
}

void nx_replay_first_call(const nx_run *x, const nx_run *y, int64_t *ret_index, nx_buf *before, nx_buf *after)
{
    const nx_rt_trace a = {x->calls, x->call_marks, x->n_calls}, b = {y->calls, y->call_marks, y->n_calls};
    *ret_index = -1;
    if ((x->n_calls && !x->calls.n) || (y->n_calls && !y->calls.n))
        return;
    if (nx_rt_calls_first_difference(&a, &b, same_own_env(x, y), ret_index, before, after) != NX_OK)
        *ret_index = -1; /* a trace of another world, or damaged: there is nothing to tell */
}

void nx_replay_compare(nx_replay_result *r, nx_buf *recorded_call, nx_buf *replayed_call)
{
    const nx_run *o = r->original, *n = r->replayed;
    nx_run_status s1, s2;
    nx_run_why w1, w2;
    nx_replay_guest_status(o, &s1, &w1);
    nx_replay_guest_status(n, &s2, &w2);
    bool is_same_env = same_env(r->event, o, n), is_same_world = is_same_env && !r->is_what_if;
    r->is_fuel_comparable = is_same_world && nx_slice_eq(o->engine, n->engine) && nx_slice_eq(o->world, n->world) &&
                            nx_slice_eq(o->arch, n->arch) && nx_slice_eq(o->artifact, n->artifact);
    r->verdict = NX_REPLAY_DIVERGED;
    bool is_refused = s1 != o->status; /* of such a run no emitted event is recorded */
    bool only_status = w1 == NX_WHY_STACK_OVERFLOW && w2 == NX_WHY_STACK_OVERFLOW;
    if (!only_status && !same_digest(&o->calls_sha256, &n->calls_sha256))
        nx_replay_first_call(o, n, &r->first_difference, recorded_call, replayed_call);
    r->recorded_call = nx_buf_view(recorded_call);
    r->replayed_call = nx_buf_view(replayed_call);
    if (n->why == NX_WHY_NOT_RECORDED)
        snprintf(r->reason, sizeof r->reason, "%.*s", NX_SLICE_FMT(n->message));
    else if (s1 != s2 || w1 != w2)
        snprintf(r->reason, sizeof r->reason, "status: recorded %s (%s), replayed %s (%s)", nx_run_status_name(s1), nx_run_why_name(w1), nx_run_status_name(s2),
                 nx_run_why_name(w2));
    else if (only_status)
        r->verdict = NX_REPLAY_IDENTICAL;
    else if (o->exit_code != n->exit_code)
        snprintf(r->reason, sizeof r->reason, "exit code: recorded %d, replayed %d", o->exit_code, n->exit_code);
    else if (!same_digest(&o->output_sha256, &n->output_sha256))
        snprintf(r->reason, sizeof r->reason, "output: recorded %llu bytes, replayed %llu bytes, the content differs", (unsigned long long)o->output_bytes,
                 (unsigned long long)n->output_bytes);
    else if (!same_digest(&o->logs_sha256, &n->logs_sha256))
        snprintf(r->reason, sizeof r->reason, "log output: recorded %llu bytes, replayed %llu bytes, the content differs", (unsigned long long)o->logs_bytes,
                 (unsigned long long)n->logs_bytes);
    else if (!is_refused && !nx_replay_same_emitted(o, n, r->reason, sizeof r->reason))
        return;
    else if (is_same_world && !same_digest(&o->calls_sha256, &n->calls_sha256))
        snprintf(r->reason, sizeof r->reason, "host calls: recorded %llu, replayed %llu, the traces differ", (unsigned long long)o->n_calls, (unsigned long long)n->n_calls);
    else if (r->is_fuel_comparable && o->fuel != n->fuel)
        snprintf(r->reason, sizeof r->reason, "fuel: recorded %llu, replayed %llu", (unsigned long long)o->fuel, (unsigned long long)n->fuel);
    else
        r->verdict = NX_REPLAY_IDENTICAL;
}

void nx_replay_text_to_json(nx_jw *w, const char *key, const char *key_base64, nx_slice s)
{
    if (nx_slice_is_utf8(s)) {
        nx_jw_kstr(w, key, s);
        return;
    }
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(256u << 20);
    if (nx_buf_reserve(&b, 4 * ((s.n + 2) / 3) + 1) == NX_OK)
        nx_jw_kstr(w, key_base64, nx_slice_make(b.p, nx_base64_encode(s, false, b.p)));
}

static void log_lines(nx_jw *w, nx_slice logs)
{
    nx_jw_key(w, "logs");
    nx_jw_array(w);
    while (logs.n)
        nx_jw_str(w, nx_slice_split(logs, '\n', &logs));
    nx_jw_array_end(w);
}

static void digest_key(nx_jw *w, const char *key, const nx_sha256 *d)
{
    char hex[NX_SHA256_HEX + 1];
    nx_sha256_hex(d, hex);
    nx_jw_kcstr(w, key, hex);
}

/* What is different; left out where it is too large to be told, the verdict stands without it. */
static void write_diff(const nx_replay_result *r, nx_jw *w)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(NX_DIFF_ARENA_BYTES);
    nx_diff_side before = {.run = r->original, .emits = r->emits, .knows = r->emits_known}, after = {.run = r->replayed, .emits = r->outcome ? r->outcome->emitted : NULL};
    nx_diff d;
    if (nx_diff_make(&before, &after, &a, &d) != NX_OK)
        return;
    nx_jw_key(w, "diff");
    nx_diff_to_json(&d, w);
}

nx_err nx_replay_result_to_json(const nx_replay_result *r, nx_jw *w)
{
    const nx_run *o = r->original, *n = r->replayed;
    char time[NX_RFC3339_MAX];
    nx_jw_object(w);
    nx_jw_kstr(w, "namespace", o->ns);
    nx_jw_kstr(w, "event_id", nx_id_slice(&o->event_id));
    nx_jw_kstr(w, "function", o->function);
    nx_jw_kcstr(w, "version", r->version);
    nx_jw_kcstr(w, "verdict", r->is_what_if && r->verdict == NX_REPLAY_IDENTICAL ? "same" : r->is_what_if && r->verdict == NX_REPLAY_DIVERGED ? "different"
                                                                                                                                              : nx_replay_verdict_name(r->verdict));
    nx_jw_kcstr(w, "reason", r->reason);
    nx_jw_kcstr(w, "effects", nx_effects_policy_name(r->effects));
    nx_jw_kbool(w, "is_replay", true);
    nx_jw_kbool(w, "is_what_if", r->is_what_if);
    nx_jw_kstr(w, "original_timestamp", nx_slice_make(time, nx_clock_rfc3339(o->start_wall_ns, 9, time)));
    nx_jw_kcstr(w, "trace_id", o->trace.trace_id);
    nx_jw_kcstr(w, "log_trace", r->log_trace);
    nx_jw_kstr(w, "run_id", nx_id_slice(&o->run_id));
    nx_jw_kbool(w, "artifact_missing", r->is_artifact_missing);
    nx_jw_kbool(w, "fuel_comparable", r->is_fuel_comparable);
    if (n) {
        digest_key(w, "output_sha256", &n->output_sha256);
        nx_jw_ku64(w, "fuel", n->fuel);
        nx_jw_kdouble(w, "duration_ms", (double)n->duration_ns / 1e6);
        nx_jw_ku64(w, "host_calls", n->n_calls);
        nx_jw_kcstr(w, "status", nx_run_status_name(n->status));
        nx_jw_kstr(w, "replay_run_id", nx_id_slice(&n->run_id));
        nx_replay_text_to_json(w, "output", "output_base64", n->output);
        log_lines(w, n->logs);
    }
    nx_jw_key(w, "original");
    nx_jw_object(w);
    nx_jw_kstr(w, "version", o->version);
    nx_jw_kcstr(w, "status", nx_run_status_name(o->status));
    digest_key(w, "output_sha256", &o->output_sha256);
    nx_jw_ku64(w, "fuel", o->fuel);
    nx_jw_kdouble(w, "duration_ms", (double)o->duration_ns / 1e6);
    nx_jw_ku64(w, "host_calls", o->n_calls);
    nx_jw_object_end(w);
    if (r->first_difference >= 0) {
        nx_jw_key(w, "first_difference");
        nx_jw_object(w);
        nx_jw_ku64(w, "call", (uint64_t)r->first_difference);
        nx_jw_kstr(w, "recorded", r->recorded_call);
        nx_jw_kstr(w, "replayed", r->replayed_call);
        nx_jw_kcstr(w, "cause", nx_diff_cause(r->recorded_call, r->replayed_call));
        nx_diff_frames_to_json(w, "at", r->replayed_at);
        nx_jw_object_end(w);
    }
    if (r->verdict == NX_REPLAY_DIVERGED)
        write_diff(r, w);
    nx_jw_object_end(w);
    return nx_jw_err(w);
}
