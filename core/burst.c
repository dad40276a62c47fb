/* burst.c: the rule of `debounce`, and its stored form: "FIRST DUE SEQ START d|- ID REPLY|- CLOSED …", numbers in decimal, times in ns. */
#include "burst.h"
#include "nx/clock.h"
#include <stdio.h>

nx_core_moment nx_core_moment_of(const nx_event *e)
{
    return (nx_core_moment){e->event_id, e->stream_seq, nx_event_start_wall_ns(e), e->deliver_wall_ns > e->wall_ns};
}

bool nx_core_moment_is_before(const nx_core_moment *a, const nx_core_moment *b)
{
    if ((a->is_delayed || b->is_delayed) && a->start_wall_ns != b->start_wall_ns)
        return a->start_wall_ns < b->start_wall_ns;
    return a->seq < b->seq;
}

static bool number(nx_slice *text, uint64_t *ret)
{
    return nx_slice_u64(nx_slice_split(*text, ' ', text), UINT64_MAX, ret) == NX_OK;
}

void nx_core_burst_parse(nx_slice text, nx_core_burst *ret)
{
    nx_core_burst b = {0};
    *ret = b;
    if (!number(&text, &b.first_wall_ns) || !number(&text, &b.due_wall_ns) || !number(&text, &b.last.seq) || !number(&text, &b.last.start_wall_ns))
        return;
    b.last.is_delayed = nx_slice_eq_cstr(nx_slice_split(text, ' ', &text), "d");
    if (nx_id_parse(nx_slice_split(text, ' ', &text), &b.last.id) != NX_OK)
        return;
    b.reply = nx_slice_split(text, ' ', &text);
    if (nx_slice_eq_cstr(b.reply, "-"))
        b.reply = NX_SLICE_NULL;
    while (text.n && b.n_closed < NX_CORE_BURST_CLOSED && number(&text, &b.closed[b.n_closed]))
        b.n_closed++;
    *ret = b;
}

void nx_core_burst_format(const nx_core_burst *b, char out[NX_CORE_BURST_TEXT_BYTES])
{
    bool has_reply = b->reply.n && b->reply.n <= NX_CORE_BURST_REPLY_BYTES;
    int k = snprintf(out, NX_CORE_BURST_TEXT_BYTES, "%llu %llu %llu %llu %c %s %.*s", (unsigned long long)b->first_wall_ns, (unsigned long long)b->due_wall_ns,
                     (unsigned long long)b->last.seq, (unsigned long long)b->last.start_wall_ns, b->last.is_delayed ? 'd' : '-', b->last.id.s,
                     has_reply ? (int)b->reply.n : 1, has_reply ? b->reply.p : "-");
    for (unsigned i = 0; i < b->n_closed; i++)
        k += snprintf(out + k, NX_CORE_BURST_TEXT_BYTES - (size_t)k, " %llu", (unsigned long long)b->closed[i]);
}

static bool is_closed(const nx_core_burst *b, uint64_t seq)
{
    for (unsigned i = 0; i < b->n_closed; i++)
        if (b->closed[i] == seq)
            return true;
    return false;
}

static void close_burst(nx_core_burst *b)
{
    if (b->n_closed == NX_CORE_BURST_CLOSED)
        memmove(b->closed, b->closed + 1, --b->n_closed * sizeof b->closed[0]);
    b->closed[b->n_closed++] = b->last.seq;
    b->due_wall_ns = 0;
    b->reply = NX_SLICE_NULL;
}

nx_core_burst_verdict nx_core_burst_come(nx_core_burst *b, const nx_core_moment *m, nx_slice reply, uint64_t now_wall_ns, uint64_t period_ns, uint64_t timeout_ns,
                                         nx_core_burst *ret_before, bool *ret_changed)
{
    *ret_before = (nx_core_burst){0};
    *ret_changed = false;
    if (is_closed(b, m->seq))
        return NX_CORE_BURST_GONE;
    if (b->due_wall_ns && b->last.seq == m->seq) /* it comes again: its node died */
        return NX_CORE_BURST_WAIT;
    if (b->last.seq && nx_core_moment_is_before(m, &b->last))
        return NX_CORE_BURST_SKIP;
    if (b->due_wall_ns && b->due_wall_ns <= now_wall_ns)
        close_burst(b);
    if (b->due_wall_ns)
        *ret_before = *b;
    else
        b->first_wall_ns = now_wall_ns;
    b->last = *m;
    b->reply = reply;
    b->due_wall_ns = now_wall_ns + period_ns;
    if (timeout_ns && b->due_wall_ns > b->first_wall_ns + timeout_ns)
        b->due_wall_ns = b->first_wall_ns + timeout_ns;
    *ret_changed = true;
    return NX_CORE_BURST_WAIT;
}

nx_core_burst_verdict nx_core_burst_due(nx_core_burst *b, const nx_core_moment *m, bool *ret_changed)
{
    *ret_changed = false;
    /* Without a state nobody knows of a later one: better to run than to lose it. */
    if (is_closed(b, m->seq) || !b->last.seq)
        return NX_CORE_BURST_RUN;
    if (b->last.seq != m->seq)
        return NX_CORE_BURST_SKIP;
    close_burst(b);
    *ret_changed = true;
    return NX_CORE_BURST_RUN;
}
