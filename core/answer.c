/* answer.c: what a caller that waits for a run gets: its output, or problem details (RFC 9457). */
#include "core_internal.h"
#include <stdlib.h>

int nx_core_answer_status(const nx_run *r)
{
    switch (r->status) {
    case NX_RUN_OK: return nx_core_answer_is_kept(r) ? 200 : 410;
    case NX_RUN_TIMEOUT: return 504;
    case NX_RUN_SKIPPED: return 429;
    case NX_RUN_CANCELLED: return 409;
    case NX_RUN_BATCHED: return 202;
    case NX_RUN_ERROR:
    case NX_RUN_DEAD: break;
    }
    return 502;
}

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

/* JSON's white space, line ends too: most programs end their output with one. */
static nx_slice without_space(nx_slice s)
{
    while (s.n && is_space(s.p[0]))
        s = nx_slice_sub(s, 1, s.n - 1);
    while (s.n && is_space(s.p[s.n - 1]))
        s.n--;
    return s;
}

bool nx_core_answer_is_kept(const nx_run *r)
{
    if (r->recording == NX_RECORDING_FULL && !r->redacted.n)
        return true;
    nx_sha256 is = nx_sha256_of(r->output);
    return r->recording != NX_RECORDING_OFF && memcmp(&is, &r->output_sha256, sizeof is) == 0;
}

nx_slice nx_core_answer_content_type(const nx_run *r)
{
    if (r->status != NX_RUN_OK || !nx_core_answer_is_kept(r))
        return NX_SLICE("application/problem+json");
    nx_slice s = without_space(r->output);
    if (s.n >= 2 && ((s.p[0] == '{' && s.p[s.n - 1] == '}') || (s.p[0] == '[' && s.p[s.n - 1] == ']')))
        return NX_SLICE("application/json");
    return nx_slice_is_utf8(r->output) ? NX_SLICE("text/plain; charset=utf-8") : NX_SLICE("application/octet-stream");
}

nx_err nx_core_answer_problem(const nx_run *r, nx_buf *out)
{
    nx_jw w = NX_JW_INIT(out);
    nx_jw_object(&w);
    nx_jw_kcstr(&w, "type", "about:blank");
    bool is_gone = r->status == NX_RUN_OK;
    nx_jw_kcstr(&w, "title", is_gone ? "The answer was not kept" : r->status == NX_RUN_TIMEOUT ? "The function timed out"
                                                               : r->status == NX_RUN_SKIPPED   ? "The event was skipped"
                                                               : r->status == NX_RUN_CANCELLED ? "The run was cancelled"
                                                               : r->status == NX_RUN_BATCHED   ? "The event runs in a batch"
                                                                                               : "The function failed");
    nx_jw_ku64(&w, "status", (uint64_t)nx_core_answer_status(r));
    nx_jw_kstr(&w, "detail", is_gone ? NX_SLICE("the run ended ok before; its record holds no output (recording, redact)") : r->message.n ? r->message
                                                                                                                                          : nx_slice_cstr(nx_run_why_name(r->why)));
    nx_jw_kcstr(&w, "code", is_gone ? "not_recorded" : r->status == NX_RUN_BATCHED ? "batched"
                                                                                   : nx_run_why_name(r->why));
    nx_jw_kstr(&w, "event_id", nx_id_slice(&r->event_id));
    nx_jw_kstr(&w, "run_id", nx_id_slice(&r->run_id));
    nx_jw_kstr(&w, "function", r->function);
    nx_jw_kcstr(&w, "trace_id", r->trace.trace_id);
    nx_jw_object_end(&w);
    return nx_jw_err(&w);
}

static void release_heap_answer(nx_answer *a) { free(a); }

nx_answer *nx_core_answer_of_run(const nx_run *r)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf problem = NX_BUF_INIT(64u << 10);
    nx_slice body = r->output;
    if (r->status != NX_RUN_OK || !nx_core_answer_is_kept(r)) {
        if (nx_core_answer_problem(r, &problem) != NX_OK)
            return NULL;
        body = nx_buf_view(&problem);
    }
    nx_answer *a = malloc(sizeof *a + body.n);
    if (!a)
        return NULL;
    if (body.n)
        memcpy(a + 1, body.p, body.n);
    *a = (nx_answer){nx_core_answer_status(r), nx_core_answer_content_type(r), nx_slice_make(a + 1, body.n), release_heap_answer};
    return a;
}
