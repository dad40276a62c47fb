/* ordered.c: consumers of a range of shards that one client at a time reads, by JetStream's priority policy pinned_client (ADR-42).
 *
 * The server names the pinned client in the first message that it sends it ("Nats-Pin-Id"), and the client names itself in its pulls. One that
 * does not pull for NX_FAB_PIN_NS is not pinned any more. A term is the time from the first message with a pin to where this client can't be sure
 * of it: another pin, a refusal (423), a lost connection or leader, or too long without a pull of its own (a process that was stopped). */
#include "nats/consume.h"
#include <stdio.h>

#define EXPIRES_NS (30 * NX_NS_PER_S)
#define PINNED_EXPIRES_NS (2 * NX_FAB_PIN_ASK_NS)
#define BYTES_MAX (32u << 20) /* of a pull, and in hand before no more than one message is asked for */

void nx_fab_unpin(nx_fab *f, nx_fab_consumer *c)
{
    c->lost = c->term;
    f->has_lost = true;
    c->pin[0] = 0;
    c->gen++; /* refusals of earlier pulls are not about the next term */
    nx_fab_ungrant(f, c, c->granted, c->granted_bytes);
}

void nx_fab_tell_unpinned(nx_fab *f)
{
    pthread_mutex_lock(&f->cmu);
    for (unsigned i = 0; f->has_lost && i < f->n_consumers; i++) {
        nx_fab_consumer *c = f->consumers[i];
        uint64_t term = c ? c->lost : 0;

        if (!term)
            continue;
        c->lost = 0;
        if (!c->is_open)
            continue;
        f->in_callback = c;
        pthread_mutex_unlock(&f->cmu);
        c->o.on_unpinned(c->o.self, term);
        pthread_mutex_lock(&f->cmu);
        f->in_callback = NULL;
        if (f->callback_waiters)
            pthread_cond_broadcast(&f->callback_cv);
    }
    f->has_lost = false;
    pthread_mutex_unlock(&f->cmu);
}

void nx_fab_pull_ordered(nx_fab *f, nx_fab_consumer *c)
{
    uint64_t now = nx_clock_ns();
    unsigned used = c->granted + c->inflight, want = used < NX_FAB_ORDERED_MAX && c->in_hand_bytes < BYTES_MAX ? NX_FAB_ORDERED_MAX - used : 1;
    size_t bytes = want > 1 ? BYTES_MAX : 0; /* 0: no bound. More than any one message has: it never comes to nothing */
    char subject[NX_FAB_SUBJECT_BYTES], reply[64], body[256], id[64] = "";

    if (!c->is_open || c->needs_repair)
        return;
    if (c->pin[0] && now - c->asked_ns >= NX_FAB_PIN_NS)
        nx_fab_unpin(f, c);
    if (c->granted && !(c->pin[0] && now - c->asked_ns >= NX_FAB_PIN_ASK_NS))
        return;
    if (c->is_doubted)
        want = 1;
    if (c->pin[0])
        snprintf(id, sizeof id, ",\"id\":\"%s\"", c->pin);
    nx_fab_token_format(f, NX_FAB_HOT, 'm', c->slot, c->gen, reply);
    snprintf(subject, sizeof subject, "%s.CONSUMER.MSG.NEXT.%s", f->js_prefix, c->stream_consumer);
    if (c->pin[0]) /* no heartbeats: its end comes soon */
        snprintf(body, sizeof body, "{\"batch\":%u,\"max_bytes\":%zu,\"expires\":%llu,\"group\":\"" NX_FAB_PIN_GROUP "\"%s}", want, bytes,
                 (unsigned long long)PINNED_EXPIRES_NS, id);
    else
        snprintf(body, sizeof body, "{\"batch\":%u,\"max_bytes\":%zu,\"expires\":%llu,\"idle_heartbeat\":%llu,\"group\":\"" NX_FAB_PIN_GROUP "\"}", want, bytes,
                 (unsigned long long)EXPIRES_NS, (unsigned long long)nx_fab_heartbeat_ns(f));
    if (!nx_fab_say(f, subject, reply, body))
        return;
    if (!c->granted)
        c->pulled_ns = c->heard_ns = now;
    c->is_doubted = false;
    c->granted += want;
    if (c->pin[0])
        c->asked_ns = now;
}

bool nx_fab_ordered_deliver(nx_fab *f, nx_fab_consumer *c, natsMsg *nm)
{
    nx_slice pin;
    bool was_pinned = c->pin[0];

    if (!nx_fab_msg_header(nm, "Nats-Pin-Id", &pin) || pin.n >= sizeof c->pin || nx_slice_eq_cstr(pin, c->pin))
        return false;
    if (was_pinned)
        nx_fab_unpin(f, c);
    memcpy(c->pin, pin.p, pin.n);
    c->pin[pin.n] = 0;
    c->term++;
    c->asked_ns = nx_clock_ns();
    return was_pinned;
}

/* ---- for those who hold messages (any thread) -------------------------------------------------------------------------------------------- */

bool nx_fab_msg_is_pinned(const nx_fab_msg *m)
{
    const nx_fab_consumer *c = m->c;
    nx_fab *f = c->f;
    bool is_so;

    pthread_mutex_lock(&f->cmu);
    is_so = c->is_open && c->pin[0] && c->term == m->term && nx_clock_ns() - c->asked_ns < NX_FAB_PIN_SURE_NS;
    pthread_mutex_unlock(&f->cmu);
    return is_so;
}

uint64_t nx_fab_msg_term(const nx_fab_msg *m)
{
    return m->term;
}

nx_slice nx_fab_msg_partition_key(const nx_fab_msg *m)
{
    nx_slice key;

    return nx_fab_msg_header(m->nm, "ce-partitionkey", &key) ? key : NX_SLICE_NULL;
}
