/* recall.c: see nx/recall.h. */
#include "nx/recall.h"
#include "verdict.h"

static bool is_same(const nx_sha256 *a, const nx_sha256 *b) { return memcmp(a, b, sizeof *a) == 0; }

static void recall_emits(const nx_replay_result *r, nx_replay_recollection *ret)
{
    const nx_run *o = r->original, *n = r->replayed;
    unsigned was = nx_run_guest_emits(o), is = nx_run_guest_emits(n);
    for (unsigned i = 0; i < was && i < is; i++)
        ret->knows[i] = is_same(&o->emitted[i].digest, &n->emitted[i].digest);
    ret->emits = r->outcome->emitted;
}

void nx_replay_recall(nx_replay_repetition *p, nx_rt_program *program, const nx_event *event, const nx_run *recorded, const nx_replay_how *how,
                      nx_replay_recollection *ret)
{
    nx_replay_how mine = {.share = how->share, .keep_calls_bytes = how->keep_calls_bytes, .effect_ops = how->effect_ops, .effect_self = how->effect_self};
    ret->run = *recorded;
    ret->emits = NULL;
    memset(ret->knows, 0, sizeof ret->knows);
    if (nx_replay_hides(recorded))
        return;
    const nx_replay_result *r = nx_replay_repeat(p, program, event, recorded, &mine);
    if (!r->replayed)
        return;
    if (is_same(&recorded->calls_sha256, &r->replayed->calls_sha256)) {
        ret->run.calls = r->replayed->calls;
        ret->run.call_marks = r->replayed->call_marks;
    }
    recall_emits(r, ret);
}
