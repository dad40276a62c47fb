/* privacy.c: what `recording` and `redact` of a function mean for a run of it: which values its records may not hold, the record as it may be
 * stored, and lines for the node's log. A function without these settings costs one comparison. */
#include "dispatch.h"
#include "nx/redact.h"
#include <stdio.h>

/* What has to be covered for this event; *ret NULL: nothing. Found once a run. */
static nx_err redaction_of(nx_core_run *r, const nx_redaction **ret)
{
    const nx_fn_config *f = r->fn->settings;
    *ret = r->redaction;
    if (r->redaction || f->n_redact == 0)
        return NX_OK;
    nx_redaction *made = nx_arena_alloc(&r->arena, sizeof *made);
    nx_err err = made ? nx_redaction_of(&r->event, f->redact, f->n_redact, &r->arena, made) : NX_ENOMEM;
    if (err == NX_OK)
        *ret = r->redaction = made;
    return err;
}

nx_err nx_core_privacy_record(nx_core_run *r, const nx_run **ret)
{
    const nx_fn_config *f = r->fn->settings;
    const nx_redaction *redaction;
    *ret = &r->rec;
    if (f->recording == NX_RECORDING_FULL && f->n_redact == 0)
        return NX_OK;
    nx_run *hidden = nx_arena_alloc(&r->arena, sizeof *hidden);
    nx_err err = hidden ? redaction_of(r, &redaction) : NX_ENOMEM;
    if (err == NX_OK)
        err = nx_run_hide(&r->rec, f->recording, redaction, f->redact, f->n_redact, &r->arena, hidden);
    if (err == NX_OK)
        *ret = hidden;
    return err;
}

nx_slice nx_core_privacy_text(nx_core_run *r, nx_slice text, nx_arena *a)
{
    const nx_redaction *redaction;
    nx_slice out;
    if (r->fn->settings->n_redact == 0)
        return text;
    if (redaction_of(r, &redaction) != NX_OK || redaction->is_blind || nx_redact_text(redaction, text, a, &out) != NX_OK)
        return NX_SLICE("(redacted)");
    return out;
}

nx_slice nx_core_privacy_line(nx_core_run *r, nx_slice line, nx_arena *a)
{
    const nx_redaction *redaction;
    nx_slice out;
    if (r->fn->settings->n_redact == 0)
        return line;
    if (!r->lines)
        r->lines = nx_arena_calloc(&r->arena, 1, sizeof *r->lines);
    if (!r->lines || redaction_of(r, &redaction) != NX_OK || redaction->is_blind || nx_redact_line(redaction, r->lines, line, a, &out) != NX_OK)
        return NX_SLICE("(redacted)");
    return out;
}
