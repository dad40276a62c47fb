/* locate.c: the guest's frames at a host call: a repetition that stops there. */
#include "locate.h"

void nx_replay_locate(nx_rt *rt, nx_rt_program *program, nx_slice module, const nx_event *event, const nx_run *recorded, const nx_replay_how *how, int64_t call,
                      nx_buf *out)
{
    nx_replay_repetition *p = NULL;
    nx_replay_how mine = *how;
    if (call < 0 || how->effects == NX_EFFECTS_LIVE || nx_replay_repetition_new(rt, &p) != NX_OK)
        return;
    mine.stop_at_call = (uint64_t)call + 1;
    mine.on_log = NULL;
    const nx_replay_result *r = nx_replay_repeat(p, program, event, recorded, &mine);
    nx_slice frames = r->replayed && r->replayed->n_calls == (uint64_t)call ? r->replayed->backtrace : NX_SLICE_NULL;
    size_t before = out->n;
    bool has_lines = frames.n && module.n && nx_rt_symbolise(rt, module, frames, out, NULL) == NX_OK;
    if (!has_lines && frames.n) {
        out->n = before;
        (void)nx_buf_append_slice(out, frames);
    }
    nx_replay_repetition_free(p);
}
