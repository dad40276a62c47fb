/* bundle_redact.c: covering values in a bundle. The event in the log is what happened and stays; the bundle gets a copy with the values covered, the
 * recorded answers too, and the function runs once more on that, so that the bundle's recording is one of its own event: it repeats bit for bit, and no
 * digest in it is that of a covered text. */
#include "bundle_parts.h"
#include "nx/redact.h"
#include "nx/replay.h"

/* The recording's own paths, then the caller's, none twice. */
static nx_err gather_paths(nx_bundle *b, const nx_slice *paths, unsigned n_paths, nx_arena *a, nx_error *reterr)
{
    nx_slice *own = NULL;
    unsigned n_own = 0;
    if (nx_run_redacted(&b->run, a, &own, &n_own) != NX_OK)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    for (unsigned i = 0; i < n_own + n_paths; i++) {
        nx_slice path = i < n_own ? own[i] : paths[i - n_own];
        nx_error why = NX_ERROR_INIT;
        bool is_there = false;
        if (nx_redact_path_check(path, &why) != NX_OK)
            return nx_error_set(reterr, NX_EINVAL, "redact: %s", why.msg);
        for (unsigned k = 0; k < b->n_redacted; k++)
            is_there |= nx_slice_eq(b->redacted[k], path);
        if (is_there)
            continue;
        if (b->n_redacted == NX_BUNDLE_REDACTED_MAX)
            return nx_error_set(reterr, NX_ELIMIT, "redact: at most %d paths", NX_BUNDLE_REDACTED_MAX);
        b->redacted[b->n_redacted++] = path;
    }
    return NX_OK;
}

/* What the repetition came to, with who and when of the recording. */
static void take_outcome(nx_run *r, const nx_run *again, const nx_outcome *o)
{
    r->status = again->status;
    r->why = again->why;
    r->exit_code = again->exit_code;
    r->message = again->message;
    r->backtrace = again->backtrace;
    r->fuel = again->fuel;
    r->memory_bytes = again->memory_bytes;
    r->duration_ns = again->duration_ns;
    r->output = again->output;
    r->output_bytes = again->output_bytes;
    r->output_sha256 = again->output_sha256;
    r->logs = again->logs;
    r->logs_bytes = again->logs_bytes;
    r->logs_sha256 = again->logs_sha256;
    r->calls = again->calls;
    r->call_marks = again->call_marks;
    r->calls_sha256 = again->calls_sha256;
    r->n_calls = again->n_calls;
    r->effects = o->effects;
    r->n_effects = o->n_effects;
    r->emitted = again->emitted;
    r->n_emitted = again->n_emitted;
    r->engine = again->engine;
    r->world = again->world;
    r->arch = again->arch;
}

static nx_err record_anew(nx_node *n, nx_bundle *b, nx_arena *a, nx_error *reterr)
{
    nx_rt *rt = nx_core_runtime(n);
    nx_replay_repetition *p = NULL;
    char hex[NX_SHA256_HEX + 1];
    nx_replay_how how = {.share = nx_core_own_share(n)};
    if (nx_replay_repetition_new(rt, &p) != NX_OK)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    const nx_replay_result *r = nx_bundle_repeat(p, rt, b, NX_SLICE_NULL, &how, hex);
    nx_err err = NX_OK;
    if (!r->replayed)
        err = nx_error_set(reterr, NX_ECONFLICT, "the run can't be recorded anew with the redacted event: %s", r->reason);
    else if (r->replayed->why == NX_WHY_NOT_RECORDED)
        err = nx_error_set(reterr, NX_ECONFLICT, "with the redacted event the function asks for something that was not recorded (%.*s); leave that path out",
                           NX_SLICE_FMT(r->replayed->message));
    if (err == NX_OK) {
        NX_CLEANUP(nx_buf_done)
        nx_buf encoded = NX_BUF_INIT(NX_BUNDLE_BYTES_MAX);
        nx_run run = b->run;
        take_outcome(&run, r->replayed, r->outcome);
        b->first_status = nx_slice_cstr(nx_run_status_name(b->run.status));
        b->is_rerecorded = true;
        /* Out of the repetition's memory, by way of the stored form. */
        err = nx_run_encode(&run, &encoded);
        nx_slice kept = err == NX_OK ? nx_arena_dup(a, nx_buf_view(&encoded)) : NX_SLICE_NULL;
        if (err == NX_OK)
            err = kept.p ? nx_run_decode(kept, a, &b->run, reterr) : NX_ENOMEM;
        if (err != NX_OK && reterr && !reterr->msg[0])
            nx_error_set(reterr, err, "%s", nx_err_text(err));
    }
    nx_replay_repetition_free(p);
    return err;
}

nx_err nx_bundle_redact(nx_node *n, nx_bundle *b, const nx_slice *paths, unsigned n_paths, nx_arena *a, nx_error *reterr)
{
    unsigned covered = 0;
    nx_run hidden;
    nx_err err = gather_paths(b, paths, n_paths, a, reterr);
    if (err != NX_OK || b->n_redacted == 0)
        return err;
    const char *not_kept = nx_run_not_kept(&b->run, false);
    nx_redaction *found = nx_arena_alloc(a, sizeof *found);
    err = found ? nx_redaction_of(&b->event, b->redacted, b->n_redacted, a, found) : NX_ENOMEM;
    if (err == NX_OK)
        err = nx_redact_event(&b->event, b->redacted, b->n_redacted, a, &covered);
    if (err == NX_OK && (covered == 0 || not_kept)) /* nothing to cover, or nothing that could be repeated: it holds no payload */
        return NX_OK;
    /* The answers and variables as they may be shown, and as the function gets them from now on. */
    if (err == NX_OK)
        err = nx_run_hide(&b->run, NX_RECORDING_FULL, found, b->redacted, b->n_redacted, a, &hidden);
    if (err != NX_OK)
        return nx_error_set(reterr, err, "redact: %s", nx_err_text(err));
    if (found->is_blind && hidden.is_effect_hidden)
        return nx_error_set(reterr, NX_ECONFLICT, "a value to be redacted is too short to be looked for in the answers that were recorded; bundle without it");
    nx_run_restore_env(&hidden, &b->event);
    hidden.recording = NX_RECORDING_FULL;
    hidden.is_effect_hidden = hidden.is_env_hidden = false;
    hidden.redacted = NX_SLICE_NULL;
    b->run = hidden;
    return record_anew(n, b, a, reterr);
}
