/* compare.c: one event by two codes. */
#include "nx/compare.h"
#include "find.h"
#include "locate.h"
#include "nx/recall.h"
#include "verdict.h"
#include <stdio.h>

#define FRAMES_BYTES (64u << 10)
#define SETTINGS_BYTES (1u << 20)
#define MODULE_BYTES (64u << 20)

typedef struct side {
    nx_slice name;
    nx_replay_code code;
    nx_replay_repetition *repetition;
    const nx_run *run; /* the outcome */
    const nx_emit *emits;
    const bool *knows; /* NULL: all of them */
    nx_replay_recollection was;
    nx_replay_how how;
} side;

typedef struct comparing {
    nx_node *node;
    const nx_event *event;
    const nx_run *recorded;
    side before, after;
    char reason[640];
    bool is_artifact_missing, with_output;
} comparing;

static bool fail(comparing *c, const side *s, const char *what, const char *detail)
{
    snprintf(c->reason, sizeof c->reason, "%.*s: %s: %s", NX_SLICE_FMT(s->name), what, detail);
    return false;
}

/* The recording stands for itself; what it leaves out is found again where its code is still stored. */
static void recall(comparing *c, side *s)
{
    s->run = c->recorded;
    if (nx_replay_code_get(c->node, c->recorded, c->event, s->name, &s->code, NULL) != NX_OK)
        return;
    nx_replay_code_use(&s->code, &s->how);
    nx_replay_recall(s->repetition, s->code.program, c->event, c->recorded, &s->how, &s->was);
    s->run = &s->was.run;
    s->emits = s->was.emits;
    s->knows = s->was.knows;
}

/* Any code but the recording's is run. */
static bool run_side(comparing *c, side *s)
{
    nx_error e = NX_ERROR_INIT;
    s->how = (nx_replay_how){.keep_calls_bytes = NX_REPLAY_WHOLE_CALLS_BYTES};
    s->emits = NULL;
    s->knows = NULL;
    if (nx_slice_eq_cstr(s->name, NX_REPLAY_RECORDED)) {
        recall(c, s);
        return true;
    }
    if (nx_replay_code_get(c->node, c->recorded, c->event, s->name, &s->code, &e) != NX_OK) {
        c->is_artifact_missing = s->code.is_missing;
        return fail(c, s, s->code.failed, e.msg);
    }
    nx_replay_code_use(&s->code, &s->how);
    const nx_replay_result *r = nx_replay_repeat(s->repetition, s->code.program, c->event, c->recorded, &s->how);
    if (!r->replayed)
        return fail(c, s, "it could not be run", r->reason);
    s->run = r->replayed;
    s->emits = r->outcome->emitted;
    return true;
}

/* Only where something is different: other code makes other host calls, and that alone interests nobody. */
static void locate(const comparing *c, const side *s, const nx_diff *d, nx_arena *a, nx_slice *ret)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf frames = NX_BUF_INIT(FRAMES_BYTES);
    NX_CLEANUP(nx_buf_done)
    nx_buf module = NX_BUF_INIT(MODULE_BYTES);
    nx_sha256 digest;
    if (d->is_same || d->first_call < 0 || !s->code.program)
        return;
    if (nx_sha256_parse_hex(nx_slice_cstr(s->code.artifact), &digest) == NX_OK)
        (void)nx_fab_artifact_get(nx_core_namespace(c->node), &digest, &module, NULL);
    nx_replay_locate(nx_core_runtime(c->node), s->code.program, nx_buf_view(&module), c->event, c->recorded, &s->how, d->first_call, &frames);
    *ret = nx_arena_dup(a, nx_buf_view(&frames));
}

static nx_err settings_of(const side *s, nx_buf *out)
{
    nx_jw w = NX_JW_INIT(out);
    nx_err err = nx_fn_config_to_json(s->code.version.settings, &w);
    return err == NX_OK ? nx_jw_err(&w) : err;
}

static nx_err compare_settings(const comparing *c, nx_arena *a, nx_json_changes *ret)
{
    if (!c->before.code.version.settings || !c->after.code.version.settings)
        return NX_OK;
    NX_CLEANUP(nx_buf_done)
    nx_buf before = NX_BUF_INIT(SETTINGS_BYTES);
    NX_CLEANUP(nx_buf_done)
    nx_buf after = NX_BUF_INIT(SETTINGS_BYTES);
    nx_err err = settings_of(&c->before, &before);
    if (err == NX_OK)
        err = settings_of(&c->after, &after);
    /* Changes lend from the texts. */
    nx_slice x = nx_arena_dup(a, nx_buf_view(&before)), y = nx_arena_dup(a, nx_buf_view(&after));
    return err == NX_OK ? nx_json_diff(x, y, NX_DIFF_SHOWN_MAX, a, ret) : err;
}

static nx_err compare(comparing *c, nx_err (*on_result)(void *self, const nx_replay_comparison *c), void *self)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(NX_DIFF_ARENA_BYTES);
    nx_diff d;
    nx_replay_comparison result = {.event = c->event, .recorded = c->recorded, .reason = c->reason, .has_output = c->with_output};
    c->reason[0] = 0;
    c->is_artifact_missing = false;
    if (run_side(c, &c->before) && run_side(c, &c->after)) {
        nx_diff_side before = {c->before.run, c->before.emits, c->before.knows}, after = {c->after.run, c->after.emits, c->after.knows};
        nx_err err = nx_diff_make(&before, &after, &a, &d);
        if (err == NX_OK)
            err = compare_settings(c, &a, &result.settings);
        if (err == NX_OK) {
            result.diff = &d;
            locate(c, &c->before, &d, &a, &d.before_at);
            locate(c, &c->after, &d, &a, &d.after_at);
        } else
            snprintf(c->reason, sizeof c->reason, "the difference can't be told: %s", nx_err_text(err));
    }
    result.is_artifact_missing = c->is_artifact_missing;
    nx_err err = on_result(self, &result);
    nx_replay_code_done(&c->before.code);
    nx_replay_code_done(&c->after.code);
    return err;
}

nx_err nx_replay_compare_event(nx_node *n, const nx_replay_compare_request *req, nx_err (*on_result)(void *self, const nx_replay_comparison *c), void *self,
                               nx_error *reterr)
{
    nx_replay_found found;
    nx_err err = nx_replay_find(n, req->event, req->function, &found, reterr);
    if (err != NX_OK)
        return err;
    comparing c = {.node = n, .event = &found.event, .before = {.name = req->before}, .after = {.name = req->after}, .with_output = req->with_output};
    err = nx_replay_repetition_new(nx_core_runtime(n), &c.before.repetition);
    if (err == NX_OK)
        err = nx_replay_repetition_new(nx_core_runtime(n), &c.after.repetition);
    for (unsigned i = 0; err == NX_OK && i < found.n; i++) {
        c.recorded = found.runs[i];
        err = compare(&c, on_result, self);
    }
    nx_replay_repetition_free(c.before.repetition);
    nx_replay_repetition_free(c.after.repetition);
    nx_replay_found_done(&found);
    return err;
}

nx_err nx_replay_comparison_to_json(const nx_replay_comparison *c, nx_jw *w)
{
    const nx_run *o = c->recorded;
    nx_jw_object(w);
    nx_jw_kstr(w, "namespace", o->ns);
    nx_jw_kstr(w, "event_id", nx_id_slice(&o->event_id));
    nx_jw_kstr(w, "function", o->function);
    nx_jw_kstr(w, "run_id", nx_id_slice(&o->run_id));
    nx_jw_kcstr(w, "trace_id", o->trace.trace_id);
    nx_jw_kcstr(w, "verdict", !c->diff ? "failed" : c->diff->is_same ? "same"
                                                                     : "different");
    nx_jw_kcstr(w, "reason", c->reason);
    nx_jw_kbool(w, "artifact_missing", c->is_artifact_missing);
    if (c->diff) {
        nx_jw_key(w, "diff");
        nx_diff_to_json(c->diff, w);
    }
    if (c->settings.total) {
        nx_jw_key(w, "settings");
        nx_jw_array(w);
        nx_diff_changes_to_json(&c->settings, w);
        nx_jw_array_end(w);
    }
    if (c->diff && c->has_output)
        nx_replay_text_to_json(w, "output", "output_base64", c->diff->after->output);
    nx_jw_object_end(w);
    return nx_jw_err(w);
}
