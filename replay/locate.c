/* locate.c: the guest's frames at a host call: a repetition that stops there. */
#include "locate.h"

#define MODULE_BYTES (64u << 20)
#define CALLS_BYTES (32u << 20)

void nx_replay_locate(const nx_replay_code *code, const nx_event *event, const nx_run *recorded, const nx_replay_how *how, int64_t call, nx_buf *out)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf module = NX_BUF_INIT(MODULE_BYTES);
    nx_rt *rt = nx_core_runtime(code->node);
    nx_replay_repetition *p = NULL;
    nx_replay_how mine = *how;
    nx_sha256 digest;
    if (call < 0 || how->effects == NX_EFFECTS_LIVE || nx_replay_repetition_new(rt, &p) != NX_OK)
        return;
    mine.stop_at_call = (uint64_t)call + 1;
    mine.on_log = NULL;
    const nx_replay_result *r = nx_replay_repeat(p, code->program, event, recorded, &mine);
    nx_slice frames = r->replayed && r->replayed->n_calls == (uint64_t)call ? r->replayed->backtrace : NX_SLICE_NULL;
    size_t before = out->n;
    bool has_lines = frames.n && nx_sha256_parse_hex(nx_slice_cstr(code->artifact), &digest) == NX_OK &&
                     nx_fab_artifact_get(nx_core_namespace(code->node), &digest, &module, NULL) == NX_OK &&
                     nx_rt_symbolise(rt, nx_buf_view(&module), frames, out, NULL) == NX_OK;
    if (!has_lines && frames.n) {
        out->n = before;
        (void)nx_buf_append_slice(out, frames);
    }
    nx_replay_repetition_free(p);
}

void nx_replay_call_text(const nx_replay_code *code, const nx_event *event, const nx_run *recorded, const nx_replay_how *how, int64_t call, nx_buf *out)
{
    nx_replay_repetition *p = NULL;
    nx_replay_how mine = *how;
    if (call < 0 || how->effects == NX_EFFECTS_LIVE || nx_replay_repetition_new(nx_core_runtime(code->node), &p) != NX_OK)
        return;
    mine.keep_calls_bytes = CALLS_BYTES;
    mine.on_log = NULL;
    const nx_replay_result *r = nx_replay_repeat(p, code->program, event, recorded, &mine);
    if (r->replayed)
        (void)nx_rt_calls_text(r->replayed->calls, (uint64_t)call, out);
    nx_replay_repetition_free(p);
}
