/* replay.c: repeating what an event's functions did, on a node. */
#include "nx/replay.h"
#include "find.h"
#include "keep.h"
#include "nx/explain.h"
#include "nx/redact.h"
#include "verdict.h"
#include <stdio.h>

#define LINE_ARENA_BYTES (64u << 20)
#define MODULE_BYTES (64u << 20)
#define WHAT_IF_ARENA_BYTES (256u << 20)

/* One request: what its repetitions have in common. */
typedef struct search {
    nx_node *node;
    const nx_replay_request *req;
    nx_replay_repetition *repetition;
} search;

static nx_log_line line_of(const nx_event *e, const nx_run *original, const nx_id *run_id, nx_slice log_trace)
{
    return (nx_log_line){
        .level = NX_LOG_INFO,
        .trace = log_trace,
        .event_id = nx_id_slice(&e->event_id),
        .run_id = nx_id_slice(run_id),
        .function = original->function,
        .ns = e->ns,
        .is_replay = true,
        .original_wall_ns = original->start_wall_ns,
    };
}

/* What its lines are about. */
typedef struct guest {
    const nx_run *original;
    nx_redact_lines lines;
} guest;

/* As the node's log showed it for the run that is repeated. */
static nx_slice covered(guest *g, const nx_event *e, nx_slice line, nx_arena *a)
{
    const nx_run *original = g->original;
    nx_slice *paths, out = NX_SLICE("(redacted)");
    unsigned n;
    if (!original->redacted.n)
        return line;
    nx_redaction *r = nx_arena_alloc(a, sizeof *r);
    if (r && nx_run_redacted(original, a, &paths, &n) == NX_OK && nx_redaction_of(e, paths, n, a, r) == NX_OK && !r->is_blind)
        (void)nx_redact_line(r, &g->lines, line, a, &out);
    return out;
}

static void on_guest_line(void *self, const nx_event *e, const nx_run *replay, nx_slice line)
{
    guest *g = self;
    const nx_run *original = g->original;
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(LINE_ARENA_BYTES);
    char trace[NX_TRACE_ID_HEX + 8];
    snprintf(trace, sizeof trace, "%s-replay", original->trace.trace_id);
    nx_log_line l = line_of(e, original, &replay->run_id, nx_slice_cstr(trace));
    l.component = original->function;
    l.msg = covered(g, e, line, &a);
    nx_log_emit(&l);
}

/* One line of the node for each repetition: who looks at the log later sees that it happened, and how it came out. */
static void log_verdict(const nx_replay_result *r, bool is_other)
{
    bool is_proof = !is_other && r->effects == NX_EFFECTS_RECORDED;
    static const nx_id none;
    const char *reason = nx_replay_kept_reason(r);
    char text[sizeof r->reason + 128];
    int n = snprintf(text, sizeof text, "Function '%.*s' replayed: %s%s%s", NX_SLICE_FMT(r->original->function), nx_replay_verdict_name(r->verdict),
                     reason[0] ? ", " : "", reason);
    nx_log_line l = line_of(r->event, r->original, r->replayed ? &r->replayed->run_id : &none, nx_slice_cstr(r->log_trace));
    /* That other code, another world or another event answers otherwise is what was asked; that the same code does is not. */
    if (r->verdict == NX_REPLAY_FAILED || (r->verdict == NX_REPLAY_DIVERGED && is_proof))
        l.level = NX_LOG_WARN;
    l.event = NX_SLICE("replay.completed");
    l.msg = nx_slice_make(text, n < 0 ? 0 : (size_t)n < sizeof text ? (size_t)n
                                                                    : sizeof text - 1);
    nx_log_emit(&l);
}

/* ---- one run --------------------------------------------------------------------------------------------------------------------------------- */

static const nx_replay_result *repeat(const search *s, const nx_event *event, const nx_run *o, nx_replay_how *how, nx_replay_code *code, nx_arena *a)
{
    nx_error e = NX_ERROR_INIT;
    if (nx_replay_code_get(s->node, o, event, s->req->against, code, &e) != NX_OK)
        return nx_replay_refuse(s->repetition, event, o, how, code->is_missing, code->failed, e.msg);
    if (s->req->effects == NX_EFFECTS_LIVE) {
        nx_replay_code_grant(s->node, o, code);
        nx_log(NX_LOG_WARN, "replay.live", "function '%.*s' is replayed with live effects: its host calls reach the outside again", NX_SLICE_FMT(o->function));
    }
    nx_replay_code_use(code, how);
    if (s->req->what_if && nx_what_if_apply(s->req->what_if, event, o, a, how, &e) != NX_OK)
        return nx_replay_refuse(s->repetition, event, o, how, false, "nothing was run", e.msg);
    const nx_replay_result *r = nx_replay_repeat(s->repetition, code->program, event, o, how);
    if (r->replayed && !how->is_what_if) /* what never happened is not kept among what did */
        nx_replay_keep(s->node, r);
    return r;
}

/* With the recorded code, where that is still stored. */
static void explain(nx_node *n, const nx_replay_code *code, const nx_replay_how *how, nx_replay_result *r, nx_replay_explanation *ret)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf module = NX_BUF_INIT(MODULE_BYTES);
    nx_replay_code recorded = {.program = NULL};
    nx_sha256 digest;
    if (r->verdict == NX_REPLAY_DIVERGED && r->replayed) {
        (void)nx_replay_code_get(n, r->original, NULL, NX_SLICE_NULL, &recorded, NULL);
        if (nx_sha256_parse_hex(nx_slice_cstr(code->artifact), &digest) == NX_OK)
            (void)nx_fab_artifact_get(nx_core_namespace(n), &digest, &module, NULL);
    }
    nx_replay_codes codes = {recorded.program, code->program, nx_buf_view(&module)};
    nx_replay_explain(ret, nx_core_runtime(n), &codes, how, r);
    nx_replay_code_done(&recorded);
}

static nx_err repeat_and_report(const search *s, const nx_event *event, const nx_run *original, nx_err (*on_result)(void *self, const nx_replay_result *r), void *self)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(WHAT_IF_ARENA_BYTES);
    nx_replay_code code;
    guest g = {.original = original};
    nx_replay_how how = {
        .effects = s->req->effects,
        .is_other_code = s->req->against.n > 0,
        .version = s->req->against,
        .run_id = nx_run_id_new(nx_clock_wall_ns(), original->function, nx_id_shard(&original->event_id)),
        .node = *nx_core_node_id(s->node),
        .on_log = on_guest_line,
        .self = &g,
    };
    nx_trace_new(&how.trace); /* a new trace, linked to the old by replay_of and parent_span (DESIGN 7) */
    const nx_replay_result *r = repeat(s, event, original, &how, &code, &a);
    log_verdict(r, how.is_other_code || how.is_what_if);
    nx_replay_result explained = *r;
    nx_replay_explanation why;
    explain(s->node, &code, &how, &explained, &why);
    nx_err err = on_result(self, &explained);
    nx_replay_explanation_done(&why);
    nx_replay_code_done(&code);
    return err;
}

nx_err nx_replay_event(nx_node *n, const nx_replay_request *req, nx_err (*on_result)(void *self, const nx_replay_result *r), void *self, nx_error *reterr)
{
    search s = {.node = n, .req = req};
    nx_replay_found found;
    nx_err err = nx_replay_find(n, req->event, req->function, &found, reterr);
    if (err != NX_OK)
        return err;
    err = nx_replay_repetition_new(nx_core_runtime(n), &s.repetition);
    for (unsigned i = 0; err == NX_OK && i < found.n; i++)
        err = repeat_and_report(&s, &found.event, found.runs[i], on_result, self);
    nx_replay_repetition_free(s.repetition);
    nx_replay_found_done(&found);
    return err;
}
