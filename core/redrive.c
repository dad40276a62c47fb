/* redrive.c: giving an event to a function once more after its run has failed: a real run of the next generation, for that function only.
 * It is a timer that is due now, or one after the other, so it survives whatever happens to the node that was asked; how it is to run (version,
 * effects) stands in the timer's note: "v7,deny". */
#include "alias.h"
#include "dlq.h"
#include "fn.h"
#include <stdio.h>

static nx_err is_here(nx_node *n, nx_slice function, nx_error *reterr)
{
    bool is_found = false;
    pthread_rwlock_rdlock(&n->snap_mu);
    for (nx_core_slot *s = n->slots; s && !is_found; s = s->next)
        is_found = nx_slice_eq_cstr(function, s->name);
    pthread_rwlock_unlock(&n->snap_mu);
    return is_found ? NX_OK : nx_error_set(reterr, NX_ENOENT, "there is no function '%.*s' any more", NX_SLICE_FMT(function));
}

nx_err nx_core_redrive_check(nx_node *n, nx_slice function, const nx_core_redrive *how, nx_error *reterr)
{
    nx_err err = is_here(n, function, reterr);
    if (err != NX_OK || !how->version[0])
        return err;
    char name[NX_FUNCTION_NAME_BYTES + 1];
    nx_core_fn *fn = NULL;
    nx_core_alias alias;
    err = nx_slice_to_cstr(function, name, sizeof name);
    if (err != NX_OK)
        return err;
    if (!nx_core_is_version_name(nx_slice_cstr(how->version)))
        return nx_core_alias_get(n, name, how->version, &alias, reterr);
    err = nx_core_fn_of_version(n, name, how->version, &fn, reterr);
    nx_core_fn_unref(fn);
    return err;
}

static nx_err mark(nx_node *n, const nx_run *failed, nx_fab_dead_kind kind, const nx_core_redrive *how, nx_error *reterr)
{
    char now[NX_RFC3339_MAX];
    NX_CLEANUP(nx_buf_done)
    nx_buf json = NX_BUF_INIT(4096);
    nx_jw w = NX_JW_INIT(&json);
    nx_jw_object(&w);
    nx_jw_kstr(&w, "at", nx_slice_make(now, nx_clock_rfc3339(nx_clock_wall_ns(), 3, now)));
    nx_jw_kstr(&w, "run_id", nx_id_slice(&failed->run_id));
    nx_jw_kstr(&w, "event_id", nx_id_slice(&failed->event_id));
    nx_jw_ku64(&w, "generation", failed->generation);
    nx_jw_kstr(&w, "node", nx_id_slice(&n->id));
    if (how) {
        nx_jw_kcstr(&w, "version", how->version[0] ? how->version : "live");
        nx_jw_kcstr(&w, "effects", nx_effects_policy_name(how->effects));
    }
    nx_jw_object_end(&w);
    nx_err err = nx_jw_err(&w);
    return err == NX_OK ? nx_fab_dead_mark(n->ns, kind, failed, nx_buf_view(&json), reterr) : err;
}

/* The event is still there; and the version that an alias stands for, which is this event's where it is split, takes the alias's place. */
static nx_err look_up(nx_node *n, const nx_run *failed, nx_core_redrive *how, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(64u << 20);
    nx_event e;
    nx_core_version v;
    nx_err err = nx_fab_event_get_seq(n->ns, failed->event_seq, &a, &e, reterr);
    if (err == NX_OK && strcmp(e.event_id.s, failed->event_id.s) != 0)
        err = NX_ENOENT;
    if (err == NX_ENOENT)
        return nx_error_set(reterr, err, "event %s is no longer in the log (retention.events)", failed->event_id.s);
    if (err != NX_OK || !how->version[0] || nx_core_is_version_name(nx_slice_cstr(how->version)))
        return err;
    err = nx_core_version_for(n, failed->function, nx_slice_cstr(how->version), &e, &v, reterr);
    if (err != NX_OK)
        return err;
    snprintf(how->version, sizeof how->version, "%s", v.name);
    nx_core_version_done(&v);
    return NX_OK;
}

nx_err nx_core_redrive_run(nx_node *n, const nx_run *failed, const nx_core_redrive *how, nx_id *ret_run_id, nx_error *reterr)
{
    char note[64] = "";
    nx_core_redrive as = *how;
    nx_err err = is_here(n, failed->function, reterr);
    char name[NX_FUNCTION_NAME_BYTES + 1];
    if (err == NX_OK)
        err = look_up(n, failed, &as, reterr);
    if (err == NX_OK && nx_slice_to_cstr(failed->function, name, sizeof name) == NX_OK)
        err = nx_core_timers_need(n, name, reterr);
    if (err != NX_OK)
        return err;
    if (as.version[0] || as.effects != NX_EFFECTS_LIVE)
        snprintf(note, sizeof note, "%s,%s", as.version, nx_effects_policy_name(as.effects));
    nx_fab_timer t = {
        .function = failed->function,
        .event_id = failed->event_id,
        .event_seq = failed->event_seq,
        .attempt = 1,
        .generation = failed->generation + 1,
        .note = nx_slice_cstr(note),
        .due_wall_ns = how->due_wall_ns ? how->due_wall_ns : nx_clock_wall_ns(),
    };
    *ret_run_id = nx_run_id_derive(failed->ns, &failed->event_id, nx_id_time_ms(&failed->run_id), failed->function, t.generation);
    err = nx_fab_timer_set_sync(n->ns, &t, true, reterr);
    if (err == NX_ECONFLICT) /* somebody else has redriven it a moment ago, and it waits already */
        err = NX_OK;
    return err == NX_OK ? mark(n, failed, NX_FAB_DEAD_REDRIVEN, &as, reterr) : err;
}

nx_err nx_core_purge_run(nx_node *n, const nx_run *failed, nx_error *reterr) { return mark(n, failed, NX_FAB_DEAD_PURGED, NULL, reterr); }

/* ---- the run ------------------------------------------------------------------------------------------------------------------------------------- */

/* The answers that the generation before got; its last attempt's. */
static nx_err recorded_effects(nx_core_run *r, nx_error *reterr)
{
    nx_run *before = nx_arena_alloc(&r->arena, sizeof *before);
    if (!before)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    nx_err err = nx_fab_run_latest(r->d->node->ns, &r->event, nx_slice_cstr(r->fn->name), r->timer.generation - 1, &r->arena, before, reterr);
    if (err == NX_OK) {
        r->recorded = before->effects;
        r->n_recorded = before->n_effects;
    }
    return err;
}

nx_err nx_core_redrive_prepare(nx_core_run *r, nx_error *reterr)
{
    nx_slice policy, version = nx_slice_split(r->timer.note, ',', &policy);
    char name[32];
    if (r->timer.note.n == 0)
        return NX_OK;
    if (nx_effects_policy_parse(policy, &r->effects) != NX_OK || nx_slice_to_cstr(version, name, sizeof name) != NX_OK)
        return nx_error_set(reterr, NX_ENOENT, "\"%.*s\" does not say how it is to be run", NX_SLICE_FMT(r->timer.note));
    if (name[0] && strcmp(name, r->fn->version) != 0) {
        nx_core_fn *fn = NULL;
        nx_err err = nx_core_fn_of_version(r->d->node, r->fn->name, name, &fn, reterr);
        if (err != NX_OK)
            return err;
        fn->m = r->fn->m; /* counted with the function, and not with the version that it would have got */
        memset(fn->m.of_version, 0, sizeof fn->m.of_version);
        if (!fn->share && r->fn->share)
            fn->share = nx_rt_share_ref(r->fn->share);
        nx_core_fn_unref(r->fn);
        r->fn = fn;
    }
    return r->effects == NX_EFFECTS_RECORDED && r->timer.generation ? recorded_effects(r, reterr) : NX_OK;
}
