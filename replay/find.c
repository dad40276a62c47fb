/* find.c: an event's runs and the code of versions, on a node. */
#include "find.h"
#include "nx/clock.h"
#include "nx/fab_dead.h"
#include <stdio.h>

#define FOUND_BYTES (256u << 20)

/* ---- runs ------------------------------------------------------------------------------------------------------------------------------------ */

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

#define GENERATIONS_MAX 16 /* of one run that are repeated */

static bool is_in(const nx_run *const *v, unsigned n, const nx_run *r)
{
    for (unsigned i = 0; i < n; i++)
        if (memcmp(v[i]->run_id.s, r->run_id.s, NX_ID_LEN) == 0)
            return true;
    return false;
}

/* The run of the generation after this one. NX_ENOENT. Of an event that ran in a batch that is its dead letter, if it has one. */
static nx_err next_generation(nx_fab_ns *ns, const nx_event *e, const nx_run *r, nx_arena *a, nx_run *ret)
{
    nx_event since = *e;
    if (r->status != NX_RUN_BATCHED)
        return nx_fab_run_redriven(ns, e, r, a, ret, NULL);
    if (r->record_wall_ns > since.wall_ns)
        since.wall_ns = r->record_wall_ns;
    nx_err err = nx_fab_run_final(ns, &since, r->function, r->generation + 1, a, ret, NULL);
    return err == NX_ETIMEOUT ? NX_ENOENT : err;
}

/* A run that failed may have been redriven, long after the records that are read for its event. */
static nx_err add_redriven(nx_fab_ns *ns, nx_replay_found *f, nx_error *reterr)
{
    const nx_run **all = nx_arena_calloc(&f->arena, f->n * GENERATIONS_MAX + 1, sizeof(void *));
    unsigned count = 0;
    if (!all)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory for the runs of event %s", f->event.event_id.s);
    for (unsigned i = 0; i < f->n; i++) {
        nx_err err = NX_OK;
        const nx_run *r = f->runs[i];
        all[count++] = r;
        for (unsigned k = 1; k < GENERATIONS_MAX && err == NX_OK && r->status != NX_RUN_OK; k++) {
            nx_run *next = nx_arena_alloc(&f->arena, sizeof *next);
            err = next ? next_generation(ns, &f->event, r, &f->arena, next) : NX_ENOMEM;
            if (err == NX_OK && !is_in(f->runs, f->n, next)) /* one of a minute ago was read with the others */
                all[count++] = next;
            r = next;
        }
        if (err != NX_OK && err != NX_ENOENT)
            return nx_error_set(reterr, err, "later generations of run %s: %s", r->run_id.s, nx_err_text(err));
    }
    f->runs = all;
    f->n = count;
    return NX_OK;
}

/* Its event was skipped, or ran in a batch. */
static bool is_unexecuted(const nx_run *r) { return nx_run_status_is_idle(r->status) || (r->batch.n && !r->takes_batches); }

static bool has_later(const nx_replay_found *f, const nx_run *r)
{
    for (unsigned i = 0; i < f->n; i++)
        if (f->runs[i]->generation > r->generation && nx_slice_eq(f->runs[i]->function, r->function))
            return true;
    return false;
}

/* What was not executed is nothing to repeat where a later generation is there. */
static nx_err leave_out_unexecuted(nx_replay_found *f, nx_error *reterr)
{
    const nx_run **kept = nx_arena_calloc(&f->arena, f->n, sizeof(void *));
    unsigned n = 0;
    if (!kept)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory for the runs of event %s", f->event.event_id.s);
    for (unsigned i = 0; i < f->n; i++)
        if (!is_unexecuted(f->runs[i]) || !has_later(f, f->runs[i]))
            kept[n++] = f->runs[i];
    f->runs = kept;
    f->n = n;
    return NX_OK;
}

static nx_err tell_none(const nx_run *v, unsigned count, nx_slice function, const nx_id *id, nx_error *reterr)
{
    char due[NX_RFC3339_MAX + 1] = "the function is resumed";
    for (unsigned i = count; i-- > 0;) {
        if (function.n && !nx_slice_eq(v[i].function, function))
            continue;
        if (v[i].next_wall_ns)
            due[nx_clock_rfc3339(v[i].next_wall_ns, 0, due)] = '\0';
        return nx_error_set(reterr, NX_ENOENT, "event %s: its run is not over: attempt %u of '%.*s' failed, and the next one is due %s%s", id->s, v[i].attempt,
                            NX_SLICE_FMT(v[i].function), v[i].next_wall_ns ? "at " : "when ", due);
    }
    return nx_error_set(reterr, NX_ENOENT, function.n ? "event %s has no recorded run of function '%.*s'" : "event %s has no recorded run yet%.*s", id->s,
                        NX_SLICE_FMT(function));
}

static nx_err find(nx_node *n, nx_slice event, nx_slice function, nx_replay_found *f, nx_error *reterr)
{
    nx_fab_ns *ns = nx_core_namespace(n);
    nx_id id;
    nx_run *v = NULL;
    unsigned count = 0;
    nx_err err = nx_fab_event_resolve(ns, event, &id, reterr);
    if (err == NX_OK)
        err = nx_fab_event_get(ns, &id, &f->arena, &f->event, reterr);
    if (err == NX_OK)
        err = nx_fab_runs_done(ns, &f->event, &f->arena, &v, &count, reterr);
    if (err != NX_OK)
        return err;
    f->runs = nx_arena_calloc(&f->arena, count + 1, sizeof(void *));
    if (!f->runs)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory for the runs of event %s", id.s);
    for (unsigned i = 0; i < count; i++)
        if (is_wanted(v, i, function))
            f->runs[f->n++] = &v[i];
    if (!f->n)
        return tell_none(v, count, function, &id, reterr);
    err = add_redriven(ns, f, reterr);
    return err == NX_OK ? leave_out_unexecuted(f, reterr) : err;
}

nx_err nx_replay_find(nx_node *n, nx_slice event, nx_slice function, nx_replay_found *ret, nx_error *reterr)
{
    *ret = (nx_replay_found){.arena = NX_ARENA_INIT(FOUND_BYTES)};
    nx_err err = find(n, event, function, ret, reterr);
    if (err != NX_OK)
        nx_replay_found_done(ret);
    return err;
}

void nx_replay_found_done(nx_replay_found *f) { nx_arena_done(&f->arena); }

/* ---- code ------------------------------------------------------------------------------------------------------------------------------------ */

static nx_err choose(nx_node *n, const nx_run *o, const nx_event *event, nx_slice name, nx_replay_code *c, nx_sha256 *ret, nx_error *reterr)
{
    c->is_recorded = !name.n || nx_slice_eq_cstr(name, NX_REPLAY_RECORDED);
    if (c->is_recorded) {
        snprintf(c->name, sizeof c->name, "%.*s", NX_SLICE_FMT(o->version));
        return nx_sha256_parse_hex(o->artifact, ret);
    }
    if (nx_sha256_parse_hex(name, ret) == NX_OK) {
        snprintf(c->name, sizeof c->name, "%.*s", NX_SLICE_FMT(name));
        return NX_OK;
    }
    nx_err err = nx_core_version_for(n, o->function, name, event, &c->version, reterr);
    if (err != NX_OK)
        return err;
    snprintf(c->name, sizeof c->name, "%s", c->version.name);
    *ret = c->version.artifact;
    return NX_OK;
}

nx_err nx_replay_code_get(nx_node *n, const nx_run *recorded, const nx_event *event, nx_slice name, nx_replay_code *ret, nx_error *reterr)
{
    nx_sha256 artifact;
    *ret = (nx_replay_code){.name = "", .node = n};
    nx_err err = choose(n, recorded, event, name, ret, &artifact, reterr);
    ret->failed = "no code to run";
    if (err != NX_OK)
        return err;
    nx_sha256_hex(&artifact, ret->artifact);
    uint64_t memory_bytes = ret->version.settings ? ret->version.settings->memory_bytes : recorded->limit_memory_bytes;
    err = nx_core_program_get(n, &artifact, memory_bytes, &ret->program, reterr);
    if (err == NX_OK)
        return NX_OK;
    ret->is_missing = err == NX_ENOENT;
    ret->failed = ret->is_missing ? "the code is no longer stored" : "the code can't be loaded";
    nx_core_version_done(&ret->version);
    return err;
}

void nx_replay_code_done(nx_replay_code *c)
{
    nx_rt_program_unref(c->program);
    c->program = NULL;
    nx_core_version_done(&c->version);
    nx_core_version_done(&c->granting);
}

void nx_replay_code_grant(nx_node *n, const nx_run *recorded, nx_replay_code *c)
{
    const nx_fn_config *settings = c->version.settings;
    if (!settings && (nx_core_version_get(n, recorded->function, recorded->version, &c->granting, NULL) == NX_OK ||
                      nx_core_version_live(n, recorded->function, &c->granting, NULL) == NX_OK))
        settings = c->granting.settings;
    if (settings)
        c->grants = nx_fn_config_grants(settings);
}

void nx_replay_code_use(const nx_replay_code *c, nx_replay_how *how)
{
    how->is_other_code = !c->is_recorded;
    how->version = nx_slice_cstr(c->name);
    how->artifact = nx_slice_cstr(c->artifact);
    how->settings = c->version.settings;
    how->share = nx_core_own_share(c->node);
    how->effect_ops = nx_core_effects();
    how->effect_self = c->node;
    how->grants = &c->grants;
}
