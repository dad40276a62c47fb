/* explain.c: see nx/explain.h. */
#include "nx/explain.h"
#include "locate.h"
#include "verdict.h"

static bool is_kept(nx_slice call) { return call.n && !nx_slice_eq_cstr(call, NX_RT_CALL_NOT_KEPT); }

/* Both calls are known already, or none can be. */
static bool is_told(const nx_replay_result *r)
{
    bool is_same = memcmp(&r->original->calls_sha256, &r->replayed->calls_sha256, sizeof(nx_sha256)) == 0;
    return is_same || nx_replay_hides(r->original) || (is_kept(r->recorded_call) && is_kept(r->replayed_call));
}

/* The first call that differs, in the whole traces. The replay is made once more for its own. */
static void find_call(nx_replay_explanation *x, nx_rt *rt, const nx_replay_codes *codes, const nx_replay_how *how, nx_replay_result *r)
{
    nx_replay_repetition *p = NULL;
    nx_replay_how mine = *how;
    if (is_told(r) || nx_replay_repetition_new(rt, &p) != NX_OK)
        return;
    mine.keep_calls_bytes = NX_REPLAY_WHOLE_CALLS_BYTES;
    mine.on_log = NULL;
    const nx_replay_result *again = nx_replay_repeat(p, codes->replayed, r->event, r->original, &mine);
    if (again->replayed)
        nx_replay_first_call(&x->was.run, again->replayed, &r->first_difference, &x->recorded_call, &x->replayed_call);
    r->recorded_call = nx_buf_view(&x->recorded_call);
    r->replayed_call = nx_buf_view(&x->replayed_call);
    nx_replay_repetition_free(p);
}

void nx_replay_explain(nx_replay_explanation *ret, nx_rt *rt, const nx_replay_codes *codes, const nx_replay_how *how, nx_replay_result *r)
{
    *ret = (nx_replay_explanation){.was = {.run = *r->original}};
    nx_buf_init(&ret->recorded_call, NX_REPLAY_FRAMES_BYTES);
    nx_buf_init(&ret->replayed_call, NX_REPLAY_FRAMES_BYTES);
    nx_buf_init(&ret->at, NX_REPLAY_FRAMES_BYTES);
    if (r->verdict != NX_REPLAY_DIVERGED || !r->replayed || !codes->replayed)
        return;
    nx_replay_how whole = *how;
    whole.keep_calls_bytes = NX_REPLAY_WHOLE_CALLS_BYTES;
    if (codes->recorded && nx_replay_repetition_new(rt, &ret->recalling) == NX_OK)
        nx_replay_recall(ret->recalling, codes->recorded, r->event, r->original, &whole, &ret->was);
    r->emits = ret->was.emits;
    r->emits_known = ret->was.knows;
    if (how->is_what_if || how->effects == NX_EFFECTS_LIVE) /* nobody asked why; and the outside is not asked twice */
        return;
    find_call(ret, rt, codes, how, r);
    nx_replay_locate(rt, codes->replayed, codes->module, r->event, r->original, how, r->first_difference, &ret->at);
    r->replayed_at = nx_buf_view(&ret->at);
}

void nx_replay_explanation_done(nx_replay_explanation *x)
{
    nx_replay_repetition_free(x->recalling);
    nx_buf_done(&x->recorded_call);
    nx_buf_done(&x->replayed_call);
    nx_buf_done(&x->at);
}
