/* retry.c: the rule: whether a failed attempt is tried again, and when.
 * An interval's jitter follows from run and attempt, so that it can be repeated and tested. */
#include "core_internal.h"

static bool is_asked_for(const nx_fn_config *f, nx_run_why why)
{
    if (!nx_run_why_can_retry(why))
        return false;
    for (unsigned i = 0; i < f->n_retry_on; i++)
        if (nx_slice_eq_cstr(f->retry_on[i], nx_run_why_name(why)) || (why == NX_WHY_DEADLINE && nx_slice_eq_cstr(f->retry_on[i], "timeout")))
            return true;
    return f->n_retry_on == 0;
}

/* The first 64 bits of a digest of run and attempt. */
static uint64_t chance(const nx_id *run_id, unsigned attempt)
{
    char text[NX_ID_LEN + 4];
    memcpy(text, run_id->s, NX_ID_LEN);
    for (unsigned i = 0; i < 4; i++)
        text[NX_ID_LEN + i] = (char)(attempt >> (8 * i) & 255u);
    nx_sha256 d = nx_sha256_of(nx_slice_make(text, sizeof text));
    uint64_t v = 0;
    for (unsigned i = 0; i < 8; i++)
        v = v << 8 | d.b[i];
    return v;
}

uint64_t nx_core_retry_interval(const nx_fn_config *f, const nx_id *run_id, unsigned attempt)
{
    unsigned max = f->retry_max_attempts ? f->retry_max_attempts : 1, earlier = (attempt ? attempt - 1 : 0) % max;
    double factor = (double)f->retry_factor_milli / 1000, ns = (double)f->retry_initial_ns, most = (double)f->retry_max_ns;
    for (unsigned i = 0; i < earlier && ns < most && factor > 1; i++)
        ns *= factor;
    if (ns > most)
        ns = most;
    double share = (double)(chance(run_id, attempt) >> 11) / (double)(1ull << 53); /* [0, 1) */
    switch (f->retry_jitter) {
    case NX_JITTER_FULL: ns *= share; break;
    case NX_JITTER_EQUAL: ns = ns / 2 + ns / 2 * share; break;
    case NX_JITTER_NONE: break;
    }
    return (uint64_t)ns;
}

#define REFUSED_NS NX_NS_PER_S
#define REFUSED_DOUBLED_MAX 3u /* 8 s */

uint64_t nx_core_retry_refused(unsigned attempt, uint64_t delivery)
{
    uint64_t earlier = delivery > attempt ? delivery - attempt : 0;
    return REFUSED_NS << (earlier < REFUSED_DOUBLED_MAX ? earlier : REFUSED_DOUBLED_MAX);
}

void nx_core_retry_decide(const nx_fn_config *f, uint64_t now_wall_ns, nx_run *rec)
{
    unsigned max = f->retry_max_attempts ? f->retry_max_attempts : 1;
    rec->is_final = true;
    rec->next_wall_ns = 0;
    rec->after = NX_AFTER_DLQ;
    rec->max_attempts = max > 1 ? max : 0;
    if (rec->status == NX_RUN_OK)
        return;
    if (nx_run_status_is_idle(rec->status) || rec->status == NX_RUN_CANCELLED) { /* as it was meant to be */
        rec->after = NX_AFTER_DROP;
        return;
    }
    /* A function that was paused and resumed has its attempts anew: the count goes on, the budget starts again. */
    if (is_asked_for(f, rec->why) && rec->attempt % max != 0) {
        rec->is_final = false;
        rec->next_wall_ns = now_wall_ns + nx_core_retry_interval(f, &rec->run_id, rec->attempt);
    } else if (f->on_exhausted == NX_EXHAUSTED_DROP) {
        rec->after = NX_AFTER_DROP;
    } else if (f->on_exhausted == NX_EXHAUSTED_PAUSE && nx_run_why_can_retry(rec->why)) {
        rec->after = NX_AFTER_PAUSE;
        rec->is_final = false;
    }
}
