/* debounce.c: `debounce`: of the events of a key only the last one of a burst runs the function. The rule is burst.c; here is what the log does with it.
 * The burst of a key is one entry of the bucket that flow.c uses, changed by compare-and-set, so it is one for all nodes. Each event that waits has a timer of
 * its own, set before its message is acknowledged, and is decided on when that is due: it runs if it is still the last one, else a record says which came
 * after it. Whose place is taken has its timer set anew for now, so of each key one event waits, and the others end within a moment; should the node die
 * before it has done so, that one's own timer ends it later. */
#include "burst.h"
#include "dispatch.h"
#include <stdio.h>

typedef struct change {
    nx_core_run *r;
    nx_core_moment m;
    nx_core_burst burst, before; /* before: whose place it takes */
    nx_core_burst_verdict verdict;
    bool is_due;
} change;

static bool step(void *self, nx_slice state, char after[NX_CORE_FLOW_STATE_BYTES])
{
    change *c = self;
    const nx_fn_config *f = c->r->fn->settings;
    bool is_changed;
    nx_core_burst_parse(state, &c->burst);
    if (c->is_due)
        c->verdict = nx_core_burst_due(&c->burst, &c->m, &is_changed);
    else
        c->verdict = nx_core_burst_come(&c->burst, &c->m, nx_fab_msg_reply(c->r->msg), nx_clock_wall_ns(), f->debounce_ns, f->debounce_timeout_ns, &c->before,
                                        &is_changed);
    if (is_changed)
        nx_core_burst_format(&c->burst, after);
    return is_changed;
}

static void skip(nx_core_run *r, const nx_id *by)
{
    char text[64 + NX_ID_LEN];
    snprintf(text, sizeof text, "debounced by event %s, which came after it", by->s);
    nx_core_run_skip(r, NX_WHY_DEBOUNCED, text);
}

/* BLOCKING where it takes another one's place. */
static void wait_for_more(nx_core_run *r, const change *c)
{
    nx_fab_timer t = nx_core_run_first_timer(r, NX_CORE_DEBOUNCE_NOTE, c->burst.due_wall_ns);
    t.reply = nx_fab_msg_reply(r->msg);
    if (c->before.last.seq) {
        nx_error e = NX_ERROR_INIT;
        nx_fab_timer earlier = t;
        earlier.event_id = c->before.last.id;
        earlier.event_seq = c->before.last.seq;
        earlier.reply = c->before.reply;
        earlier.due_wall_ns = nx_clock_wall_ns();
        if (nx_fab_timer_set_sync(r->d->node->ns, &earlier, false, &e) != NX_OK)
            nx_log(NX_LOG_INFO, "debounce.later", "event %s for '%s' was superseded; its record follows when its own time has come (%s)", earlier.event_id.s, r->fn->name, e.msg);
    }
    nx_core_run_put_off(r, &t);
}

nx_err nx_core_run_debounce(nx_core_run *r, bool *ret_runs, nx_error *reterr)
{
    const nx_fn_config *f = r->fn->settings;
    change c = {.r = r, .m = nx_core_moment_of(&r->event), .is_due = r->is_debounced};
    *ret_runs = false;
    /* From here on its timer may be set on any node: one has to be there that brings it. */
    nx_err err = nx_core_timers_need(r->d->node, r->fn->name, reterr);
    if (err == NX_OK)
        err = nx_core_flow_change(r, "d", f->debounce_key, step, &c, reterr);
    if (err != NX_OK)
        return err;
    switch (c.verdict) {
    case NX_CORE_BURST_RUN: *ret_runs = true; break;
    case NX_CORE_BURST_WAIT: wait_for_more(r, &c); break;
    case NX_CORE_BURST_SKIP: skip(r, &c.burst.last.id); break;
    case NX_CORE_BURST_GONE:
        nx_core_run_msg_ack(r);
        nx_core_run_release(r);
        break;
    }
    return NX_OK;
}
