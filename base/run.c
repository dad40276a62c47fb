/* run.c: names and ids of runs, and the run record's JSON form. The stored form: run_codec.c. */
#include "nx/run.h"
#include "nx/clock.h"
#include "nx/effect.h"

static const char *const status_names[] = {"ok", "error", "timeout", "dead", "skipped", "cancelled", "batched"};
static const char *const why_names[] = {"none", "trap", "exit", "stack_overflow", "memory_limit", "output_limit", "fuel",
                                        "deadline", "node_crash", "hop_limit", "no_module", "emit", "effects_limit", "not_recorded", "no_secret", "rate_limited", "singleton",
                                        "debounced", "superseded"};
static const char *const policy_names[] = {"recorded", "deny", "live"};

void nx_run_clear(nx_run *r)
{
    memset(r, 0, offsetof(nx_run, env));
    memset((char *)r + offsetof(nx_run, n_env), 0, sizeof *r - offsetof(nx_run, n_env));
}

const char *nx_run_status_name(nx_run_status s) { return (unsigned)s < NX_ARRAY_LEN(status_names) ? status_names[s] : "unknown"; }
const char *nx_run_why_name(nx_run_why w) { return (unsigned)w < NX_ARRAY_LEN(why_names) ? why_names[w] : "unknown"; }

const char *nx_run_after_name(nx_run_after a) { return a == NX_AFTER_DROP ? "drop" : a == NX_AFTER_PAUSE ? "pause"
                                                                                                         : "dlq"; }

nx_err nx_run_why_parse(nx_slice s, nx_run_why *ret)
{
    for (unsigned i = 0; i < NX_ARRAY_LEN(why_names); i++)
        if (nx_slice_eq_cstr(s, why_names[i])) {
            *ret = (nx_run_why)i;
            return NX_OK;
        }
    return NX_EPARSE;
}

bool nx_run_why_can_retry(nx_run_why w)
{
    switch (w) {
    case NX_WHY_TRAP:
    case NX_WHY_EXIT:
    case NX_WHY_STACK_OVERFLOW:
    case NX_WHY_MEMORY_LIMIT:
    case NX_WHY_OUTPUT_LIMIT:
    case NX_WHY_FUEL:
    case NX_WHY_DEADLINE:
    case NX_WHY_EFFECTS_LIMIT:
    case NX_WHY_NO_SECRET:
        return true;
    case NX_WHY_NONE:
    case NX_WHY_NODE_CRASH:
    case NX_WHY_HOP_LIMIT:
    case NX_WHY_NO_MODULE:
    case NX_WHY_EMIT:
    case NX_WHY_NOT_RECORDED:
    case NX_WHY_RATE_LIMITED:
    case NX_WHY_SINGLETON:
    case NX_WHY_DEBOUNCED:
    case NX_WHY_SUPERSEDED:
        break;
    }
    return false;
}

const char *nx_recording_name(nx_recording r)
{
    static const char *const names[] = {"full", "digest", "off"};
    return (unsigned)r < NX_ARRAY_LEN(names) ? names[r] : "unknown";
}

nx_err nx_run_status_parse(nx_slice s, nx_run_status *ret)
{
    for (unsigned i = 0; i < NX_ARRAY_LEN(status_names); i++)
        if (nx_slice_eq_cstr(s, status_names[i])) {
            *ret = (nx_run_status)i;
            return NX_OK;
        }
    return NX_EPARSE;
}

const char *nx_effects_policy_name(nx_effects_policy p) { return (unsigned)p < NX_ARRAY_LEN(policy_names) ? policy_names[p] : "unknown"; }

nx_err nx_effects_policy_parse(nx_slice s, nx_effects_policy *ret)
{
    for (unsigned i = 0; i < NX_ARRAY_LEN(policy_names); i++)
        if (nx_slice_eq_cstr(s, policy_names[i])) {
            *ret = (nx_effects_policy)i;
            return NX_OK;
        }
    return NX_EPARSE;
}

#define NAME_BYTES 96 /* above the bounds of namespaces and function names; a longer one stands by its own digest */

static size_t put_name(char *to, nx_slice name)
{
    nx_sha256 d;
    if (name.n > NAME_BYTES) {
        d = nx_sha256_of(name);
        name = nx_slice_make(d.b, sizeof d.b);
    }
    if (name.n) memcpy(to, name.p, name.n);
    to[name.n] = '\0';
    return name.n + 1;
}

/* SHA-256 of namespace, 0, event id, 0, function, 0, generation (4 bytes, little-endian): names hold no NUL, so no two runs share a text. */
nx_id nx_run_id_derive(nx_slice ns, const nx_id *event_id, uint64_t event_wall_ms, nx_slice function, unsigned generation)
{
    char text[3 * (NAME_BYTES + 1) + 4];
    size_t n = put_name(text, ns);
    n += put_name(text + n, nx_id_slice(event_id));
    n += put_name(text + n, function);
    for (unsigned shift = 0; shift < 32; shift += 8) text[n++] = (char)(generation >> shift & 255u);
    nx_sha256 d = nx_sha256_of(nx_slice_make(text, n));
    return nx_ulid_derive_named(event_wall_ms, d.b, nx_id_shard(event_id), function);
}

nx_id nx_run_id_new(uint64_t wall_ns, nx_slice function, unsigned shard)
{
    uint8_t fresh[10];
    nx_random(fresh, sizeof fresh);
    return nx_ulid_derive_named(wall_ns / NX_NS_PER_MS, fresh, shard, function);
}

unsigned nx_run_guest_emits(const nx_run *r)
{
    static const nx_sha256 none;
    bool is_output = r->n_emitted && memcmp(&r->emitted[r->n_emitted - 1].digest, &none, sizeof none) == 0;
    return r->n_emitted - is_output;
}

/* ---- JSON ---- */

static void key_hex(nx_jw *w, const char *key, const nx_sha256 *d)
{
    char hex[NX_SHA256_HEX + 1];
    nx_sha256_hex(d, hex);
    nx_jw_kcstr(w, key, hex);
}

static void key_time(nx_jw *w, const char *key, uint64_t wall_ns)
{
    char text[NX_RFC3339_MAX];
    nx_jw_kstr(w, key, nx_slice_make(text, nx_clock_rfc3339(wall_ns, 3, text)));
}

static void optional(nx_jw *w, const char *key, nx_slice v)
{
    if (v.n) nx_jw_kstr(w, key, v);
}

/* "output": text, or "output_base64" where the bytes are not UTF-8. */
static void key_bytes(nx_jw *w, const char *key, const char *key_base64, nx_slice v)
{
    if (nx_slice_is_utf8(v)) {
        nx_jw_kstr(w, key, v);
        return;
    }
    nx_jw_key(w, key_base64);
    nx_jw_raw(w, NX_SLICE("\""));
    if (w->err) return;
    w->err = nx_buf_reserve(w->out, 4 * ((v.n + 2) / 3) + 2);
    if (w->err) return;
    w->out->n += nx_base64_encode(v, false, w->out->p + w->out->n);
    w->err = nx_buf_append_char(w->out, '"');
}

static void write_summary(const nx_run *r, nx_jw *w)
{
    nx_jw_kstr(w, "namespace", r->ns);
    nx_jw_kstr(w, "run_id", nx_id_slice(&r->run_id));
    nx_jw_kstr(w, "event_id", nx_id_slice(&r->event_id));
    nx_jw_kstr(w, "function", r->function);
    nx_jw_kstr(w, "version", r->version);
    nx_jw_kcstr(w, "status", nx_run_status_name(r->status));
    if (r->status != NX_RUN_OK && r->status != NX_RUN_BATCHED) nx_jw_kcstr(w, "why", nx_run_why_name(r->why));
    nx_jw_ku64(w, "attempt", r->attempt);
    if (r->max_attempts) nx_jw_ku64(w, "max_attempts", r->max_attempts);
    nx_jw_ku64(w, "generation", r->generation);
    nx_jw_kbool(w, "is_final", r->is_final);
    if (r->next_wall_ns) key_time(w, "next_attempt_at", r->next_wall_ns);
    if (r->status != NX_RUN_OK && !r->is_replay && (r->is_final || r->after == NX_AFTER_PAUSE)) nx_jw_kcstr(w, "on_exhausted", nx_run_after_name(r->after));
    nx_jw_kbool(w, "is_replay", r->is_replay);
    nx_jw_kdouble(w, "duration_ms", (double)r->duration_ns / (double)NX_NS_PER_MS);
    nx_jw_ku64(w, "fuel", r->fuel);
    nx_jw_ku64(w, "memory_bytes", r->memory_bytes);
    nx_jw_kcstr(w, "trace_id", r->trace.trace_id);
    key_time(w, "time", r->start_wall_ns);
}

static void write_batch(const nx_run *r, nx_jw *w)
{
    nx_jw_key(w, "batch");
    nx_jw_array(w);
    for (nx_slice rest = r->batch; rest.n;) nx_jw_str(w, nx_slice_split(rest, ',', &rest));
    nx_jw_array_end(w);
}

static void write_outcome(const nx_run *r, nx_jw *w)
{
    nx_jw_kcstr(w, "span_id", r->trace.span_id);
    optional(w, "parent_span_id", r->parent_span);
    optional(w, "event_type", r->event_type);
    optional(w, "artifact", r->artifact);
    if (r->batch.n) write_batch(r, w);
    if (r->generation && !r->is_replay) {
        nx_id before = nx_run_id_derive(r->ns, &r->event_id, nx_id_time_ms(&r->run_id), r->function, r->generation - 1);
        nx_jw_kstr(w, "redrive_of", nx_id_slice(&before));
    }
    nx_jw_kbool(w, "is_cold", r->is_cold);
    if (r->is_replay) {
        optional(w, "replay_of", r->replay_of);
        if (r->original_wall_ns) key_time(w, "original_timestamp", r->original_wall_ns);
    }
    if (r->why == NX_WHY_EXIT) {
        nx_jw_key(w, "exit_code");
        nx_jw_i64(w, r->exit_code);
    }
    optional(w, "message", r->message);
    optional(w, "backtrace", r->backtrace);
    key_bytes(w, "output", "output_base64", r->output);
    nx_jw_ku64(w, "output_bytes", r->output_bytes);
    key_hex(w, "output_sha256", &r->output_sha256);
    key_bytes(w, "logs", "logs_base64", r->logs);
    nx_jw_ku64(w, "logs_bytes", r->logs_bytes);
    key_hex(w, "logs_sha256", &r->logs_sha256);
}

static void write_privacy(const nx_run *r, nx_jw *w)
{
    nx_jw_kcstr(w, "recording", nx_recording_name(r->recording));
    nx_jw_key(w, "redacted");
    nx_jw_array(w);
    for (nx_slice rest = r->redacted; rest.n;) nx_jw_str(w, nx_slice_split(rest, '\n', &rest));
    nx_jw_array_end(w);
}

static void write_pairs(nx_jw *w, const char *key, const nx_kv *pairs, unsigned n)
{
    nx_jw_key(w, key);
    nx_jw_object(w);
    for (unsigned i = 0; i < n && i < NX_RUN_ENV_MAX; i++) {
        nx_jw_key_slice(w, pairs[i].key);
        nx_jw_str(w, pairs[i].value);
    }
    nx_jw_object_end(w);
}

static void write_world(const nx_run *r, nx_jw *w)
{
    char seed[sizeof r->seed * 2 + 1];
    nx_sha256 as_digest;
    memcpy(as_digest.b, r->seed, sizeof r->seed);
    nx_sha256_hex(&as_digest, seed);
    nx_jw_kcstr(w, "seed", seed);
    write_pairs(w, "env", r->env, r->n_env);
    if (r->n_secret_env) write_pairs(w, "secret_env", r->secret_env, r->n_secret_env);
    nx_jw_key(w, "limits");
    nx_jw_object(w);
    nx_jw_kdouble(w, "timeout_ms", (double)r->limit_timeout_ns / (double)NX_NS_PER_MS);
    nx_jw_ku64(w, "memory_bytes", r->limit_memory_bytes);
    /* "no limit" is a number that many JSON readers cannot hold; it is left out. */
    if (r->limit_fuel && r->limit_fuel <= INT64_MAX) nx_jw_ku64(w, "fuel", r->limit_fuel);
    nx_jw_ku64(w, "output_bytes", r->limit_output_bytes);
    nx_jw_ku64(w, "scratch_bytes", r->limit_scratch_bytes);
    nx_jw_object_end(w);
    nx_jw_kbool(w, "input_is_cloudevent", r->input_is_cloudevent);
    nx_jw_kbool(w, "takes_batches", r->takes_batches);
    optional(w, "engine", r->engine);
    optional(w, "world", r->world);
    optional(w, "arch", r->arch);
    optional(w, "node", r->node);
}

static void write_effects(const nx_run *r, nx_jw *w)
{
    nx_jw_key(w, "emitted");
    nx_jw_array(w);
    for (unsigned i = 0; i < r->n_emitted; i++) {
        nx_jw_object(w);
        nx_jw_kstr(w, "event_id", nx_id_slice(&r->emitted[i].event_id));
        nx_jw_kstr(w, "type", r->emitted[i].type);
        if (i < nx_run_guest_emits(r)) key_hex(w, "sha256", &r->emitted[i].digest);
        nx_jw_object_end(w);
    }
    nx_jw_array_end(w);
    nx_jw_key(w, "effects");
    nx_jw_array(w);
    for (unsigned i = 0; i < r->n_effects; i++) {
        nx_jw_object(w);
        nx_jw_kstr(w, "name", r->effects[i].name);
        key_hex(w, "request_sha256", &r->effects[i].request);
        nx_jw_kcstr(w, "status", nx_effect_status_name(r->effects[i].status));
        nx_jw_kdouble(w, "clock_ms", (double)r->effects[i].clock_ns / (double)NX_NS_PER_MS);
        key_bytes(w, "answer", "answer_base64", r->effects[i].answer);
        nx_jw_object_end(w);
    }
    nx_jw_array_end(w);
    nx_jw_ku64(w, "host_calls", r->n_calls);
    key_hex(w, "host_calls_sha256", &r->calls_sha256);
    nx_jw_ku64(w, "host_calls_kept_bytes", r->calls.n);
    nx_jw_ku64(w, "event_seq", r->event_seq);
    nx_jw_ku64(w, "delivery", r->delivery);
    if (r->record_seq) nx_jw_ku64(w, "record_seq", r->record_seq);
    char text[NX_RFC3339_MAX];
    if (r->record_wall_ns) /* as exact as the log: a range that begins with this time begins with this run */
        nx_jw_kstr(w, "recorded_at", nx_slice_make(text, nx_clock_rfc3339(r->record_wall_ns, 9, text)));
}

nx_err nx_run_to_json(const nx_run *r, bool whole, nx_jw *w)
{
    nx_jw_object(w);
    write_summary(r, w);
    if (whole) {
        write_outcome(r, w);
        write_privacy(r, w);
        write_world(r, w);
        write_effects(r, w);
    }
    nx_jw_object_end(w);
    return nx_jw_err(w);
}
