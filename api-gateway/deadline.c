/* deadline.c: phases of connections and their deadlines. A connection is always in the list of its phase; lists are ordered by deadline,
 * and since a phase has one length, inserting starts at the end and is done at once. */
#include "server.h"

#define LINGER_MS 1000u
#define PROGRESS_BYTES (256u << 10) /* that much moved within one deadline earns another */

static void unlink_conn(nx_gw_conn *c)
{
    nx_gw_list *list = &c->loop->phases[c->phase];
    if (c->prev)
        c->prev->next = c->next;
    else if (list->head == c)
        list->head = c->next;
    if (c->next)
        c->next->prev = c->prev;
    else if (list->tail == c)
        list->tail = c->prev;
    c->prev = c->next = NULL;
}

static void link_conn(nx_gw_conn *c)
{
    nx_gw_list *list = &c->loop->phases[c->phase];
    nx_gw_conn *after = list->tail;
    while (after && after->deadline_ms > c->deadline_ms)
        after = after->prev;
    c->prev = after;
    c->next = after ? after->next : list->head;
    if (c->prev)
        c->prev->next = c;
    else
        list->head = c;
    if (c->next)
        c->next->prev = c;
    else
        list->tail = c;
}

static uint64_t timeout_of(const nx_gw_conn *c, nx_gw_phase phase)
{
    const nx_gw_listen *o = &c->loop->server->options;
    switch (phase) {
    case NX_GW_PHASE_HANDSHAKE:
    case NX_GW_PHASE_HEAD: return o->head_timeout_ms;
    case NX_GW_PHASE_BODY:
    case NX_GW_PHASE_WRITE: return o->body_timeout_ms;
    case NX_GW_PHASE_IDLE: return o->idle_timeout_ms;
    case NX_GW_PHASE_LINGER: return LINGER_MS;
    default: return UINT64_MAX;
    }
}

static uint64_t progress_of(nx_gw_conn *c, nx_gw_phase phase)
{
    if (phase == NX_GW_PHASE_BODY)
        return c->parser.body_seen;
    if (phase == NX_GW_PHASE_WRITE)
        return c->bytes_written - uv_stream_get_write_queue_size((uv_stream_t *)&c->tcp);
    return 0;
}

static void arm(nx_gw_conn *c, nx_gw_phase phase)
{
    uint64_t timeout_ms = timeout_of(c, phase);
    unlink_conn(c);
    c->phase = phase;
    c->phase_seq = c->request_seq;
    c->progress = progress_of(c, phase);
    c->deadline_ms = timeout_ms == UINT64_MAX ? UINT64_MAX : uv_now(&c->loop->uv) + timeout_ms;
    link_conn(c);
}

void nx_gw_conn_set_phase(nx_gw_conn *c, nx_gw_phase phase)
{
    if (c->phase == phase && c->phase_seq == c->request_seq)
        return; /* bytes that trickle in must not move a deadline */
    arm(c, phase);
}

static void expire(nx_gw_conn *c)
{
    nx_gw_fault fault;
    bool is_request = c->phase == NX_GW_PHASE_BODY || (c->phase == NX_GW_PHASE_HEAD && c->parser.is_started);

    if ((c->phase == NX_GW_PHASE_BODY || c->phase == NX_GW_PHASE_WRITE) &&
        progress_of(c, c->phase) - c->progress >= PROGRESS_BYTES) {
        arm(c, c->phase);
        return;
    }
    if (is_request || c->phase == NX_GW_PHASE_WRITE || c->phase == NX_GW_PHASE_HANDSHAKE)
        NX_GW_COUNT(c->loop, timeouts_total, 1);
    if (!is_request || c->is_answered) {
        nx_gw_conn_close(c);
        return;
    }
    nx_gw_fault_set(&fault, 408, NX_ETIMEOUT, "the request did not arrive within %u ms",
                    (unsigned)timeout_of(c, c->phase));
    nx_gw_conn_refuse(c, &fault, NX_SLICE_NULL);
    nx_gw_conn_settle(c);
}

void nx_gw_loop_expire(nx_gw_loop *l)
{
    uint64_t now_ms = uv_now(&l->uv);
    for (unsigned phase = 0; phase < NX_GW_PHASES; phase++)
        while (l->phases[phase].head && l->phases[phase].head->deadline_ms <= now_ms)
            expire(l->phases[phase].head);
}

void nx_gw_loop_hasten_idle(nx_gw_loop *l, uint64_t grace_ms)
{
    uint64_t until_ms = uv_now(&l->uv) + grace_ms;
    for (nx_gw_conn *c = l->phases[NX_GW_PHASE_IDLE].head; c; c = c->next)
        if (c->deadline_ms > until_ms)
            c->deadline_ms = until_ms; /* the order stays: a minimum is monotonic */
    for (nx_gw_conn *c = l->phases[NX_GW_PHASE_HEAD].head; c; c = c->next)
        if (!c->parser.is_started && c->deadline_ms > until_ms)
            c->deadline_ms = until_ms;
}
