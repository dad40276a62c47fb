/* run_hide.c: a run record as it may be stored: what `recording` leaves out is gone, what `redact` names is covered.
 * What a record holds of payloads: output, log output, message and backtrace (a panic quotes what it was given), the variables, the answers from
 * outside, and the host-call trace (the first bytes of what was read and written). Ids, times, counts, types and digests are not payloads. */
#include "nx/redact.h"

/* ---- variables that follow from the event */

static const struct {
    const char *name;
    size_t at;
} of_event[] = {
    {"EVENT_TYPE", offsetof(nx_event, type)},
    {"EVENT_SOURCE", offsetof(nx_event, source)},
    {"EVENT_SUBJECT", offsetof(nx_event, subject)},
    {"EVENT_TIME", offsetof(nx_event, time)},
    {"EVENT_CONTENT_TYPE", offsetof(nx_event, content_type)},
};

/* Its place in nx_event; 0: it does not follow from the event. */
static size_t place_of(nx_slice name)
{
    for (size_t i = 0; i < NX_ARRAY_LEN(of_event); i++)
        if (nx_slice_eq_cstr(name, of_event[i].name)) return of_event[i].at;
    return 0;
}

nx_slice nx_run_env_value(const nx_run *r, const nx_event *e, unsigned i)
{
    bool is_hidden = r->recording != NX_RECORDING_FULL || r->redacted.n;
    size_t at = is_hidden ? place_of(r->env[i].key) : 0;
    return at ? *(const nx_slice *)(const void *)((const char *)e + at) : r->env[i].value;
}

void nx_run_restore_env(nx_run *r, const nx_event *e)
{
    for (unsigned i = 0; i < r->n_env; i++) {
        size_t at = place_of(r->env[i].key);
        if (at) r->env[i].value = *(const nx_slice *)(const void *)((const char *)e + at);
    }
}

/* ---- covering */

static nx_err cover(const nx_redaction *red, nx_slice *s, nx_arena *a, bool *ret_is_changed)
{
    nx_slice out;
    nx_err err = nx_redact_text(red, *s, a, &out);
    if (err) return err;
    if (out.p != s->p && ret_is_changed) *ret_is_changed = true;
    *s = out;
    return NX_OK;
}

static nx_err cover_env(nx_run *r, const nx_redaction *red, nx_arena *a)
{
    nx_err err = NX_OK;
    for (unsigned i = 0; !err && i < r->n_env; i++) {
        bool is_changed = false;
        err = cover(red, &r->env[i].value, a, &is_changed);
        if (is_changed && !place_of(r->env[i].key)) r->is_env_hidden = true;
    }
    return err;
}

static nx_err cover_all(nx_run *r, const nx_redaction *red, nx_arena *a)
{
    nx_err err = cover(red, &r->output, a, NULL);
    if (!err) err = cover(red, &r->logs, a, NULL);
    if (!err) err = cover(red, &r->message, a, NULL);
    if (!err) err = cover(red, &r->backtrace, a, NULL);
    if (!err) err = cover_env(r, red, a);
    for (unsigned i = 0; !err && i < r->n_effects; i++) err = cover(red, &r->effects[i].answer, a, &r->is_effect_hidden);
    r->calls = r->call_marks = NX_SLICE_NULL; /* pieces of values stand there, which nobody finds */
    return err;
}

/* ---- leaving out */

static bool is_secret(const nx_effect *f) { return nx_slice_eq(f->name, NX_SLICE("secret.get")); } /* a keyed digest as it is */

static void leave_payloads_out(nx_run *r)
{
    r->output = r->logs = r->calls = r->call_marks = NX_SLICE_NULL;
    /* These quote what the guest said of its end; the reason and the exit code stay. */
    if (r->why == NX_WHY_TRAP || r->why == NX_WHY_EXIT || r->why == NX_WHY_MEMORY_LIMIT || r->why == NX_WHY_EMIT ||
        r->why == NX_WHY_NOT_RECORDED)
        r->message = NX_SLICE_NULL;
    for (unsigned i = 0; i < r->n_env; i++)
        if (place_of(r->env[i].key)) r->env[i].value = NX_SLICE_NULL;
    for (unsigned i = 0; i < r->n_effects; i++) {
        nx_effect *f = &r->effects[i];
        if (!f->answer.n || is_secret(f)) continue;
        f->answer = NX_SLICE_NULL;
        r->is_effect_hidden = true;
    }
}

static void leave_all_out(nx_run *r)
{
    leave_payloads_out(r);
    r->message = r->backtrace = NX_SLICE_NULL;
    r->output_bytes = r->logs_bytes = r->n_calls = 0;
    memset(&r->output_sha256, 0, sizeof r->output_sha256);
    memset(&r->logs_sha256, 0, sizeof r->logs_sha256);
    memset(&r->calls_sha256, 0, sizeof r->calls_sha256);
    memset(r->seed, 0, sizeof r->seed);
    r->n_env = r->n_secret_env = 0;
    r->n_effects = 0;
    r->is_effect_hidden = r->is_env_hidden = false;
    for (unsigned i = 0; i < r->n_emitted; i++) memset(&r->emitted[i].digest, 0, sizeof r->emitted[i].digest);
}

/* ---- the two together */

static nx_err own_lists(nx_run *r, nx_arena *a)
{
    nx_effect *effects = nx_arena_calloc(a, r->n_effects + 1u, sizeof *effects);
    nx_emitted *emitted = nx_arena_calloc(a, r->n_emitted + 1u, sizeof *emitted);
    if (!effects || !emitted) return NX_ENOMEM;
    if (r->n_effects) memcpy(effects, r->effects, r->n_effects * sizeof *effects);
    if (r->n_emitted) memcpy(emitted, r->emitted, r->n_emitted * sizeof *emitted);
    r->effects = effects;
    r->emitted = emitted;
    return NX_OK;
}

static nx_err join_paths(const nx_slice *paths, unsigned n, nx_arena *a, nx_slice *ret)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT((size_t)n * (NX_REDACT_PATH_BYTES + 1) + 1);
    nx_err err = NX_OK;
    for (unsigned i = 0; !err && i < n; i++) {
        if (i) err = nx_buf_append_char(&text, '\n');
        if (!err) err = nx_buf_append_slice(&text, paths[i]);
    }
    if (err) return err;
    *ret = nx_arena_dup(a, nx_buf_view(&text));
    return ret->p ? NX_OK : NX_ENOMEM;
}

nx_err nx_run_hide(const nx_run *r, nx_recording mode, const nx_redaction *redaction, const nx_slice *paths, unsigned n_paths, nx_arena *a, nx_run *ret)
{
    *ret = *r;
    if (redaction && redaction->is_blind && mode == NX_RECORDING_FULL) mode = NX_RECORDING_DIGEST;
    ret->recording = mode;
    nx_err err = own_lists(ret, a);
    if (!err) err = join_paths(paths, n_paths, a, &ret->redacted);
    if (err) return err;
    if (mode == NX_RECORDING_OFF) leave_all_out(ret);
    else if (mode == NX_RECORDING_DIGEST) leave_payloads_out(ret);
    return redaction && n_paths ? cover_all(ret, redaction, a) : NX_OK;
}

nx_err nx_run_redacted(const nx_run *r, nx_arena *a, nx_slice **ret, unsigned *ret_n)
{
    unsigned n = 0;
    nx_slice *v = nx_arena_calloc(a, NX_REDACT_PATHS_MAX, sizeof *v);
    if (!v) return NX_ENOMEM;
    for (nx_slice rest = r->redacted; rest.n && n < NX_REDACT_PATHS_MAX;) v[n++] = nx_slice_split(rest, '\n', &rest);
    *ret = v;
    *ret_n = n;
    return NX_OK;
}

nx_err nx_run_hide_like(const nx_run *recorded, const nx_event *e, const nx_run *r, nx_arena *a, nx_run *ret)
{
    *ret = *r;
    if (recorded->recording == NX_RECORDING_FULL && !recorded->redacted.n) return NX_OK;
    nx_slice *paths;
    unsigned n;
    nx_redaction *redaction = nx_arena_alloc(a, sizeof *redaction);
    nx_err err = redaction ? nx_run_redacted(recorded, a, &paths, &n) : NX_ENOMEM;
    if (!err) err = nx_redaction_of(e, paths, n, a, redaction);
    return err ? err : nx_run_hide(r, recorded->recording, redaction, paths, n, a, ret);
}

const char *nx_run_not_kept(const nx_run *r, bool is_recorded)
{
    if (r->recording == NX_RECORDING_OFF) return "the function has recording: off, so nothing was kept to repeat it from";
    if (r->is_env_hidden) return "a variable of its environment was redacted, so it can't be given to the function again";
    if (is_recorded && r->is_effect_hidden)
        return r->recording == NX_RECORDING_DIGEST ? "the function has recording: digest, so the answers of its host calls were not kept"
                                                   : "an answer of its host calls was redacted, so it can't be given to the function again";
    return NULL;
}
