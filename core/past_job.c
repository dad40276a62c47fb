/* past_job.c: the job "backfill" of a function with `ordering: key`. The function's own consumers bring its past (past.h); the job says how far they
 * are, and that the past is over: when they have passed it, or when the job is canceled. */
#include "job_internal.h"
#include "past.h"
#include <time.h>

#define LOOK_NS (200 * NX_NS_PER_MS)

nx_err nx_core_past_job_prepare(nx_node *n, nx_slice function, nx_jw *w, nx_error *reterr)
{
    char name[NX_FUNCTION_NAME_BYTES + 1], since[NX_RFC3339_MAX];
    nx_core_past p;
    nx_err err = nx_slice_to_cstr(function, name, sizeof name);
    if (err == NX_OK)
        err = nx_core_past_get(n, name, &p, reterr);
    if (err == NX_OK && (!p.from_seq || p.is_over))
        err = nx_error_set(reterr, NX_ECONFLICT, "'%s' has `ordering: key` and gets events already: older ones behind them would break the order of a key (only a function that is new "
                                                 "takes the past: nexus deploy --from, or `from`)",
                           name);
    if (err != NX_OK)
        return err;
    nx_jw_object(w);
    nx_jw_kcstr(w, "function", name);
    nx_jw_kstr(w, "since", nx_slice_make(since, nx_clock_rfc3339(p.since_wall_ns, 3, since)));
    nx_jw_kcstr(w, "effects", nx_effects_policy_name(p.effects));
    nx_jw_kcstr(w, "ordering", "key");
    if (p.rate)
        nx_jw_ku64(w, "rate", p.rate);
    nx_jw_ku64(w, "from", p.from_seq);
    nx_jw_ku64(w, "to", p.to_seq);
    nx_jw_object_end(w);
    return NX_OK;
}

/* Of all ranges: how far the last one is, and whether none has anything of the past left. */
static nx_err look(nx_node *n, const char *function, uint64_t to, nx_job_progress *p, bool *ret_is_done, nx_error *reterr)
{
    char durable[NX_FUNCTION_NAME_BYTES + 16];
    nx_fab_consumer_info info;
    p->done = 0;
    p->at = to;
    *ret_is_done = true;
    for (unsigned i = 0; i < NX_CORE_LANES; i++) {
        nx_core_lane_durable(function, i, durable);
        nx_err err = nx_fab_consumer_info_get(n->ns, durable, &info, reterr);
        if (err != NX_OK)
            return err;
        bool is_done = info.done_seq >= to || (!info.pending && !info.unacked);
        p->done += info.done;
        if (!is_done && info.done_seq < p->at)
            p->at = info.done_seq;
        *ret_is_done &= is_done;
    }
    return NX_OK;
}

nx_err nx_core_past_job_run(nx_node *n, nx_job *job, const char *function, nx_error *reterr)
{
    nx_job_progress p = {.begin = nx_json_get_u64(nx_job_spec(job), "from", 1), .end = nx_json_get_u64(nx_job_spec(job), "to", 0)};
    bool is_done = false;
    nx_err err = NX_OK;
    while (err == NX_OK && !is_done && !nx_job_is_over(job)) {
        err = look(n, function, p.end, &p, &is_done, reterr);
        if (err != NX_OK)
            break;
        nx_job_progress_set(job, &p);
        if (is_done || nx_job_save_is_due(job))
            err = nx_job_save(job, NX_SLICE("{}"), NX_SLICE("{}"), reterr);
        if (!is_done)
            nanosleep(&(struct timespec){0, (long)LOOK_NS}, NULL);
    }
    if (err == NX_ENOENT)
        err = nx_error_set(reterr, NX_ENOENT, "there is no function '%s' any more", function);
    else if (err == NX_OK && !is_done && !nx_job_is_canceled(job)) /* the node stops: another one goes on */
        return NX_ECANCELED;
    if (err == NX_OK)
        err = nx_core_past_end(n, function, reterr);
    return err == NX_OK && !is_done ? NX_ECANCELED : err;
}
