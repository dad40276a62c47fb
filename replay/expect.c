/* expect.c: a repeated run against its recording, as a regression test sees it. */
#include "nx/expect.h"
#include "nx/json_diff.h"
#include "verdict.h"

#define CHANGES_MAX 5
#define VALUE_BYTES 80
#define DIFF_ARENA_BYTES (64u << 20)

static bool same_digest(const nx_sha256 *a, const nx_sha256 *b) { return memcmp(a, b, sizeof *a) == 0; }

static void put_value(nx_buf *out, nx_slice v)
{
    (void)nx_buf_append_slice(out, nx_slice_sub(v, 0, VALUE_BYTES));
    if (v.n > VALUE_BYTES)
        (void)nx_buf_append_cstr(out, "…");
}

/* "total: 12 -> 13, items[1] removed". False: not two JSON documents, or they mean the same. */
static bool put_changes(nx_slice before, nx_slice after, nx_buf *out)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(DIFF_ARENA_BYTES);
    nx_json_changes changes;
    if (nx_json_diff(before, after, CHANGES_MAX, &a, &changes) != NX_OK || changes.total == 0)
        return false;
    for (unsigned i = 0; i < changes.n; i++) {
        const nx_json_change *c = &changes.v[i];
        (void)nx_buf_printf(out, "%s%.*s", i ? ", " : "", NX_SLICE_FMT(c->path.n ? c->path : NX_SLICE("the whole")));
        if (c->kind != NX_CHANGE_CHANGED)
            (void)nx_buf_printf(out, " %s", nx_change_kind_name(c->kind));
        if (c->kind == NX_CHANGE_REMOVED)
            continue;
        (void)nx_buf_append_cstr(out, ": ");
        if (c->kind == NX_CHANGE_CHANGED) {
            put_value(out, c->before);
            (void)nx_buf_append_cstr(out, " -> ");
        }
        put_value(out, c->after);
    }
    if (changes.total > changes.n)
        (void)nx_buf_printf(out, " and %llu more", (unsigned long long)(changes.total - changes.n));
    return true;
}

static void put_output(const nx_run *o, const nx_run *n, nx_buf *out)
{
    (void)nx_buf_append_cstr(out, "output: ");
    bool is_whole = o->output.n == o->output_bytes && n->output.n == n->output_bytes;
    if (is_whole && put_changes(o->output, n->output, out))
        return;
    (void)nx_buf_printf(out, "recorded %llu bytes, now %llu", (unsigned long long)o->output_bytes, (unsigned long long)n->output_bytes);
    if (!is_whole || !nx_slice_is_utf8(o->output) || !nx_slice_is_utf8(n->output))
        return;
    size_t same = 0; /* where they part, from the beginning of that line */
    while (same < o->output.n && same < n->output.n && o->output.p[same] == n->output.p[same])
        same++;
    while (same && o->output.p[same - 1] != '\n')
        same--;
    nx_slice rest;
    (void)nx_buf_append_cstr(out, "; \"");
    put_value(out, nx_slice_split(nx_slice_sub(o->output, same, o->output.n), '\n', &rest));
    (void)nx_buf_append_cstr(out, "\" became \"");
    put_value(out, nx_slice_split(nx_slice_sub(n->output, same, n->output.n), '\n', &rest));
    (void)nx_buf_append_cstr(out, "\"");
}

static bool same_status(const nx_run *o, const nx_run *n, nx_buf *out)
{
    /* An output that could not be emitted is the platform's refusal after a run that ended ok. */
    bool is_refused = o->why == NX_WHY_HOP_LIMIT || o->why == NX_WHY_EMIT;
    nx_run_status status = is_refused ? NX_RUN_OK : o->status;
    nx_run_why why = is_refused ? NX_WHY_NONE : o->why;
    if (status == n->status && why == n->why && o->exit_code == n->exit_code)
        return true;
    (void)nx_buf_printf(out, "status: recorded %s", nx_run_status_name(status));
    if (status != NX_RUN_OK)
        (void)nx_buf_printf(out, " (%s)", nx_run_why_name(why));
    (void)nx_buf_printf(out, ", now %s", nx_run_status_name(n->status));
    if (n->status != NX_RUN_OK)
        (void)nx_buf_printf(out, " (%s): %.*s", nx_run_why_name(n->why), NX_SLICE_FMT(nx_slice_sub(n->message, 0, 200)));
    return false;
}

static bool same_proof(const nx_run *o, const nx_run *n, nx_buf *out)
{
    if (!same_digest(&o->logs_sha256, &n->logs_sha256))
        (void)nx_buf_printf(out, "log output: recorded %llu bytes, now %llu, the content differs", (unsigned long long)o->logs_bytes,
                            (unsigned long long)n->logs_bytes);
    else if (!same_digest(&o->calls_sha256, &n->calls_sha256))
        (void)nx_buf_printf(out, "host calls: recorded %llu, now %llu, the traces differ", (unsigned long long)o->n_calls, (unsigned long long)n->n_calls);
    else if (o->fuel != n->fuel)
        (void)nx_buf_printf(out, "fuel: recorded %llu, now %llu", (unsigned long long)o->fuel, (unsigned long long)n->fuel);
    else
        return true;
    return false;
}

bool nx_replay_expect(const nx_replay_result *r, bool is_exact, nx_buf *ret_why)
{
    const nx_run *o = r->original, *n = r->replayed;
    if (!same_status(o, n, ret_why))
        return false;
    if (o->why == NX_WHY_STACK_OVERFLOW) /* how deep it came depends on the machine */
        return true;
    if (!same_digest(&o->output_sha256, &n->output_sha256)) {
        put_output(o, n, ret_why);
        return false;
    }
    char emitted[512];
    if (o->status == n->status && !nx_replay_same_emitted(o, n, emitted, sizeof emitted)) {
        (void)nx_buf_append_cstr(ret_why, emitted);
        return false;
    }
    return !is_exact || same_proof(o, n, ret_why);
}
