/* range_diffs.c: what is different over a range, by shape, and what other code costs. */
#include "nx/diff_groups.h"
#include "range.h"
#include "verdict.h"

/* A proof: nothing but the verdict is to be said of a run that came out the same. */
static bool is_same_code(const nx_replay_result *r) { return nx_slice_eq(r->original->artifact, r->replayed->artifact); }

static nx_err open_diffs(const nx_json *saved, void **ret_self, nx_error *reterr)
{
    nx_diff_groups *g = NULL;
    nx_err err = saved ? nx_diff_groups_load(saved, &g) : nx_diff_groups_new(&g);
    *ret_self = g;
    return err == NX_OK ? err : nx_error_set(reterr, err, "the differences found so far: %s", nx_err_text(err));
}

static void note(void *self, const nx_replay_result *r, nx_buf *out)
{
    nx_diff_groups *g = self;
    if (!r->replayed) {
        (void)nx_diff_note_write(g, NULL, nx_slice_cstr(r->reason), out);
        return;
    }
    if (r->verdict == NX_REPLAY_IDENTICAL && is_same_code(r))
        return;
    if (nx_replay_hides(r->original)) { /* what a record may not keep, a summary may not either */
        (void)nx_diff_note_write(g, NULL, NX_SLICE("differs in values that are not kept (the function's recording or redact)"), out);
        return;
    }
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(NX_DIFF_ARENA_BYTES);
    nx_diff_side before = {.run = r->original, .emits = r->emits, .knows = r->emits_known}, after = {.run = r->replayed, .emits = r->outcome->emitted};
    nx_diff d;
    nx_err err = nx_diff_make(&before, &after, &a, &d);
    if (err == NX_OK)
        err = nx_diff_note_write(g, &d, NX_SLICE_NULL, out);
    if (err != NX_OK)
        nx_buf_clear(out);
}

static void fold(void *self, const nx_run *run, nx_replay_verdict verdict, nx_slice text)
{
    nx_diff_groups *g = self;
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(NX_RANGE_NOTE_BYTES);
    if (!text.n && verdict == NX_REPLAY_IDENTICAL) {
        nx_diff_groups_add_same(g);
        return;
    }
    if (!text.n && nx_diff_note_write(g, NULL, NX_SLICE("the difference is too large to be told"), &b) == NX_OK)
        text = nx_buf_view(&b);
    (void)nx_diff_groups_add(g, run->function, &run->event_id, text); /* out of memory: the counts still have it */
}

static nx_err save(void *self, nx_jw *w) { return nx_diff_groups_to_json(self, w); }

static void close_diffs(void *self) { nx_diff_groups_free(self); }

const nx_range_collector nx_range_diffs = {.name = "diff", .open = open_diffs, .note = note, .fold = fold, .save = save, .close = close_diffs};
