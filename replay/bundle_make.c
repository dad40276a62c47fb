/* bundle_make.c: gathering what a bundle holds from a node: the event, its recorded run, the module, the settings. */
#include "bundle_parts.h"
#include "find.h"
#include <stdio.h>

#define ARENA_BYTES (256u << 20)
#define SETTINGS_BYTES (256u << 10)
#define MODULE_BYTES (64u << 20)

/* The names of all functions that ran it, for a caller who has to choose. */
static nx_err ask_which(const nx_replay_found *f, nx_error *reterr)
{
    char names[300];
    size_t k = 0;
    names[0] = 0;
    for (unsigned i = 0; i < f->n && k < sizeof names; i++)
        k += (size_t)snprintf(names + k, sizeof names - k, "%s%.*s", k ? ", " : "", NX_SLICE_FMT(f->runs[i]->function));
    return nx_error_set(reterr, NX_ECONFLICT, "several functions ran event %s: %s; say which one is meant (--function)", f->event.event_id.s, names);
}

/* The latest of a function's runs, where all are one function's. */
static nx_err by_event(nx_node *n, const nx_bundle_request *q, nx_replay_found *f, nx_bundle *b, nx_error *reterr)
{
    nx_err err = nx_replay_find(n, q->what, q->function, f, reterr);
    if (err != NX_OK)
        return err;
    for (unsigned i = 1; i < f->n; i++)
        if (!nx_slice_eq(f->runs[i]->function, f->runs[0]->function))
            return ask_which(f, reterr);
    b->event = f->event;
    b->run = *f->runs[f->n - 1];
    return NX_OK;
}

/* `what` as a run's id, where it is none of an event. */
static nx_err by_run(nx_fab_ns *ns, const nx_bundle_request *q, nx_arena *a, nx_bundle *b, nx_error *reterr)
{
    nx_id id;
    nx_error unknown = NX_ERROR_INIT;
    nx_err err = nx_fab_run_resolve(ns, q->what, &id, &unknown);
    if (err == NX_ENOENT) /* reterr says that there is no such event */
        return err;
    if (err != NX_OK)
        return nx_error_set(reterr, err, "%s", unknown.msg);
    err = nx_fab_run_get(ns, &id, a, &b->run, reterr);
    if (err == NX_ENOENT)
        return nx_error_set(reterr, err, "no event and no run %s: unknown or expired", id.s);
    if (err != NX_OK)
        return err;
    if (b->run.is_replay)
        return nx_error_set(reterr, NX_ECONFLICT, "run %s is a replay; bundle the run that it repeats: %.*s", id.s, NX_SLICE_FMT(b->run.replay_of));
    if (q->function.n && !nx_slice_eq(q->function, b->run.function))
        return nx_error_set(reterr, NX_ENOENT, "run %s is one of function '%.*s'", id.s, NX_SLICE_FMT(b->run.function));
    return nx_fab_event_get(ns, &b->run.event_id, a, &b->event, reterr);
}

static nx_err find(nx_node *n, const nx_bundle_request *q, nx_replay_found *f, nx_arena *a, nx_bundle *b, nx_error *reterr)
{
    nx_id id;
    nx_fab_ns *ns = nx_core_namespace(n);
    nx_err err = nx_fab_event_resolve(ns, q->what, &id, reterr);
    if (err == NX_OK) /* a whole id resolves to itself, whatever it is of */
        err = nx_fab_event_get(ns, &id, a, &b->event, reterr);
    return err == NX_ENOENT ? by_run(ns, q, a, b, reterr) : err == NX_OK ? by_event(n, q, f, b, reterr)
                                                                         : err;
}

nx_err nx_bundle_make(nx_node *n, const nx_bundle_request *q, nx_buf *out, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(ARENA_BYTES);
    NX_CLEANUP(nx_buf_done)
    nx_buf module = NX_BUF_INIT(MODULE_BYTES + 1);
    NX_CLEANUP(nx_buf_done)
    nx_buf settings = NX_BUF_INIT(SETTINGS_BYTES);
    NX_CLEANUP(nx_replay_found_done)
    nx_replay_found found = {.n = 0};
    nx_sha256 artifact;
    nx_fab_ns *ns = nx_core_namespace(n);
    nx_bundle *b = nx_arena_calloc(&a, 1, sizeof *b);
    if (!b)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    b->created_wall_ns = nx_clock_wall_ns();
    b->created_by = q->created_by;
    nx_err err = find(n, q, &found, &a, b, reterr);
    if (err == NX_OK && nx_sha256_parse_hex(b->run.artifact, &artifact) != NX_OK)
        err = nx_error_set(reterr, NX_ENOENT, "run %s names no module", b->run.run_id.s);
    if (err == NX_OK) {
        err = nx_fab_artifact_get(ns, &artifact, &module, reterr);
        if (err == NX_ENOENT)
            nx_error_set(reterr, err, "the module of run %s (%.12s…) is no longer stored", b->run.run_id.s, b->run.artifact.p);
    }
    if (err == NX_OK) {
        b->artifact = nx_buf_view(&module);
        nx_err known = nx_core_version_settings(n, b->run.function, b->run.version, &settings, reterr);
        if (known == NX_OK)
            b->settings = nx_buf_view(&settings);
        else if (known != NX_ENOENT) /* a development version that is gone took its settings with it; the recording has what matters */
            err = known;
    }
    if (err == NX_OK)
        err = nx_bundle_redact(n, b, q->redact, q->n_redact, &a, reterr);
    return err == NX_OK ? nx_bundle_encode(b, out, reterr) : err;
}
