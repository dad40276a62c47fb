/* publish.c: asynchronous publishes. A publish holds a slot until its PubAck, a refusal, the loss of the connection or 5 s.
 *
 * All answers come to one wildcard inbox; the slot and its generation are the last token of the reply subject, so no answer needs a
 * look-up table, and an answer that comes late never ends the slot's next publish. */
#include "fab_internal.h"
#include <stdio.h>
#include <stdlib.h>

/* ---- slots (f->mu held) ------------------------------------------------------------------------------------------------------------------- */

static unsigned take_slot(nx_fab *f)
{
    unsigned i = f->free_slot;
    nx_fab_slot *s = &f->slots[i];

    f->free_slot = s->next;
    s->gen++;
    s->deadline_ns = nx_clock_ns() + NX_FAB_PUBLISH_NS;
    s->next = NX_FAB_NIL;
    s->prev = f->newest;
    if (f->newest != NX_FAB_NIL)
        f->slots[f->newest].next = i;
    else
        f->oldest = i;
    f->newest = i;
    f->n_inflight++;
    return i;
}

static uint64_t sent_ns(const nx_fab_slot *s)
{
    return s->deadline_ns - NX_FAB_PUBLISH_NS;
}

static nx_fab_pub *free_slot(nx_fab *f, unsigned i)
{
    nx_fab_slot *s = &f->slots[i];
    nx_fab_pub *pub = s->pub;

    if (s->prev != NX_FAB_NIL)
        f->slots[s->prev].next = s->next;
    else
        f->oldest = s->next;
    if (s->next != NX_FAB_NIL)
        f->slots[s->next].prev = s->prev;
    else
        f->newest = s->prev;
    f->inflight_bytes -= s->bytes;
    f->n_inflight--;
    s->pub = NULL;
    s->next = f->free_slot;
    f->free_slot = i;
    return pub;
}

/* ---- the way out ------------------------------------------------------------------------------------------------------------------------------ */

static nx_err build(const char *subject, const char *reply, const nx_fab_hdr *hdr, nx_slice data, natsMsg **ret)
{
    natsMsg *m = NULL;
    nx_err e;

    if (natsMsg_Create(&m, subject, reply, data.p, (int)data.n) != NATS_OK)
        return NX_ENOMEM;
    e = hdr->n ? nx_fab_hdr_set(hdr, m) : NX_OK;
    if (e) {
        natsMsg_Destroy(m);
        return e;
    }
    *ret = m;
    return NX_OK;
}

nx_err nx_fab_send(nx_fab *f, natsMsg *take_m)
{
    nx_fab_link *l;
    bool is_sent;

    pthread_mutex_lock(&f->mu);
    l = atomic_load(&f->link[NX_FAB_HOT]);
    is_sent = l && natsConnection_PublishMsg(l->nc, take_m) == NATS_OK;
    if (is_sent)
        nx_fab_link_flush_unlock(f, l, f->n_inflight <= NX_FAB_DIRECT_INFLIGHT);
    else
        pthread_mutex_unlock(&f->mu);
    natsMsg_Destroy(take_m);
    return is_sent ? NX_OK : NX_EUNAVAIL;
}

/* Sends unless the slot was ended meanwhile (the connection went: done() was or will be called, so the call counts as made). */
static nx_err send_slot(nx_fab *f, unsigned slot, uint32_t gen, natsMsg *m)
{
    nx_fab_slot *s = &f->slots[slot];
    nx_fab_link *l;
    natsStatus st;

    pthread_mutex_lock(&f->mu);
    l = atomic_load(&f->link[NX_FAB_HOT]);
    if (!s->pub || s->gen != gen) {
        pthread_mutex_unlock(&f->mu);
        return NX_OK;
    }
    st = l ? natsConnection_PublishMsg(l->nc, m) : NATS_CONNECTION_DISCONNECTED;
    if (st != NATS_OK)
        free_slot(f, slot);
    if (st == NATS_OK)
        nx_fab_link_flush_unlock(f, l, f->n_inflight <= NX_FAB_DIRECT_INFLIGHT);
    else
        pthread_mutex_unlock(&f->mu);
    return st == NATS_OK ? NX_OK : st == NATS_MAX_PAYLOAD ? NX_ELIMIT
                               : st == NATS_NO_MEMORY     ? NX_ENOMEM
                                                          : NX_EUNAVAIL;
}

static nx_fab_dest dest_of(const nx_fab_ns *ns, const char *subject)
{
    size_t at = ns ? ns->ev_prefix_n - strlen("ev.") : 0; /* behind "nx.<ns>." */

    if (!ns || strncmp(subject, ns->ev_prefix, at) != 0)
        return NX_FAB_TO_OTHERS;
    return !strncmp(subject + at, "ev.", 3) ? NX_FAB_TO_LOG : !strncmp(subject + at, "spare.", 6) ? NX_FAB_TO_SPARE
                                                          : !strncmp(subject + at, "run.", 4)     ? NX_FAB_TO_RUNS
                                                                                                  : NX_FAB_TO_OTHERS;
}

nx_err nx_fab_publish(nx_fab *f, nx_fab_ns *ns, const char *subject, const nx_fab_hdr *hdr, nx_slice data, nx_fab_pub *pub, nx_error *reterr)
{
    size_t bytes = hdr->n + data.n + 64;
    char reply[64];
    natsMsg *m = NULL;
    unsigned slot;
    uint32_t gen;
    nx_fab_dest to = dest_of(ns, subject);
    nx_err e = NX_OK;

    pub->err = NX_OK;
    pub->seq = 0;
    pub->is_duplicate = false;
    pub->is_spare = to == NX_FAB_TO_SPARE;
    pthread_mutex_lock(&f->mu);
    if (!atomic_load(&f->link[NX_FAB_HOT]))
        e = NX_EUNAVAIL;
    else if (bytes > atomic_load(&f->max_payload))
        e = NX_ELIMIT;
    else if (f->free_slot == NX_FAB_NIL || f->inflight_bytes + bytes > NX_FAB_INFLIGHT_BYTES)
        e = NX_EBUSY;
    if (e) {
        pthread_mutex_unlock(&f->mu);
        return nx_error_set(reterr, e, "%s", e == NX_EUNAVAIL ? "not connected to the event log" : e == NX_EBUSY ? "too many publishes in flight"
                                                                                                                 : "larger than the server's max_payload");
    }
    slot = take_slot(f);
    gen = f->slots[slot].gen;
    f->slots[slot].pub = pub;
    f->slots[slot].ns = ns;
    f->slots[slot].bytes = bytes;
    f->slots[slot].to = to;
    f->inflight_bytes += bytes;
    pthread_mutex_unlock(&f->mu);

    nx_fab_token_format(f, NX_FAB_HOT, NX_FAB_DEST_KINDS[to], slot, gen, reply);
    e = build(subject, reply, hdr, data, &m);
    if (e) {
        pthread_mutex_lock(&f->mu);
        if (f->slots[slot].pub == pub && f->slots[slot].gen == gen)
            free_slot(f, slot);
        else
            e = NX_OK; /* ended already, by done() */
        pthread_mutex_unlock(&f->mu);
        return e ? nx_error_set(reterr, e, "%s", nx_err_text(e)) : NX_OK;
    }
    e = send_slot(f, slot, gen, m);
    natsMsg_Destroy(m);
    return e ? nx_error_set(reterr, e, "cannot publish: %s", nx_err_text(e)) : NX_OK;
}

/* ---- the way back (nx-fab) --------------------------------------------------------------------------------------------------------------------- */

static void finish(nx_fab *f, nx_fab_pub *pub, nx_err e)
{
    nx_fab_metrics_publish(f, e, pub->is_duplicate);
    pub->err = e;
    pub->done(pub);
}

static void note_full(nx_fab_ns *ns, nx_err e)
{
    if (!ns)
        return;
    if (!e && atomic_load(&ns->is_stuck))
        atomic_store(&ns->is_stuck, false);
    if (e == NX_EFULL) {
        if (!atomic_exchange(&ns->is_full, true)) {
            nx_fab_look_again(ns->f);
            nx_log(NX_LOG_ERROR, "fabric.full", "the event log of namespace %s is full: events are refused until room is made", ns->name);
        }
        nx_fab_ns_pressed(ns);
    } else if (!e && atomic_load(&ns->is_full) && atomic_exchange(&ns->is_full, false)) {
        nx_log(NX_LOG_INFO, "fabric.room", "the event log of namespace %s takes events again", ns->name);
    }
}

/* A duplicate is found before its turn to be stored. */
static void note_answer(nx_fab_ns *ns, const nx_fab_slot *s, const nx_fab_ack *ack)
{
    ns->acked_ns[s->to] = nx_clock_ns();
    if (!ack->err && !ack->is_duplicate && sent_ns(s) > ns->stored_sent_ns[s->to])
        ns->stored_sent_ns[s->to] = sent_ns(s);
}

void nx_fab_pub_deliver(nx_fab *f, unsigned slot, uint32_t gen, natsMsg *m)
{
    nx_slice data = nx_slice_make(natsMsg_GetData(m), (size_t)natsMsg_GetDataLength(m));
    nx_fab_ack ack = {.err = NX_EUNAVAIL}; /* no data: 503, no stream listens */
    nx_fab_pub *pub = NULL;
    nx_fab_ns *ns = NULL;

    if (data.n)
        nx_fab_ack_parse(data, &ack);
    pthread_mutex_lock(&f->mu);
    if (slot < f->n_slots && f->slots[slot].pub && f->slots[slot].gen == gen) {
        ns = f->slots[slot].ns;
        if (ns && nx_fab_is_copied(ns))
            note_answer(ns, &f->slots[slot], &ack);
        pub = free_slot(f, slot);
    }
    pthread_mutex_unlock(&f->mu);
    if (!pub)
        return;
    note_full(ns, ack.err);
    pub->seq = ack.seq;
    pub->is_duplicate = ack.is_duplicate;
    finish(f, pub, ack.err);
}

void nx_fab_pubs_fail(nx_fab *f)
{
    for (;;) {
        nx_fab_pub *pub = NULL;

        pthread_mutex_lock(&f->mu);
        if (f->oldest != NX_FAB_NIL)
            pub = free_slot(f, f->oldest);
        pthread_mutex_unlock(&f->mu);
        if (!pub)
            return;
        finish(f, pub, NX_EUNAVAIL);
    }
}

/* A leader that is paused or cut off keeps an event waiting; the next ones need not wait with it. */
static void note_late(nx_fab *f, uint64_t now_ns)
{
    nx_fab_ns *late = NULL;

    pthread_mutex_lock(&f->mu);
    if (f->oldest != NX_FAB_NIL && f->slots[f->oldest].to == NX_FAB_TO_LOG && sent_ns(&f->slots[f->oldest]) + NX_FAB_LATE_NS <= now_ns)
        late = f->slots[f->oldest].ns;
    pthread_mutex_unlock(&f->mu);
    if (!late)
        return;
    atomic_store(&late->late_ns, now_ns);
    nx_fab_spare_open(late);
}

/* An event found nobody who takes it: the next ones go elsewhere. */
void nx_fab_pubs_homeless(nx_fab *f, nx_fab_dest to)
{
    nx_fab_ns *n;

    f->homeless_ns[to] = nx_clock_ns();
    for (unsigned i = 0; to == NX_FAB_TO_LOG && nx_fab_ns_at(f, i, &n); i++)
        if (n) /* nx_fab_ns_forget() waits for this thread to pass */
            nx_fab_spare_open(n);
}

/* Which of those that go there it was is not known: one that a leader would have answered by now. A refusal of what was stored after all does no
 * harm (an event's caller repeats it as after any 503, a run's first record counts); waiting for what nobody got costs those who wait seconds. */
static bool is_homeless(const nx_fab *f, const nx_fab_slot *s, uint64_t now_ns)
{
    return f->homeless_ns[s->to] > sent_ns(s) && now_ns >= s->ns->acked_ns[s->to] + NX_FAB_HOMELESS_NS;
}

/* What was sent later was stored, and a leader stores in turn: this one went to an earlier leader, which was paused or cut off with it. */
static bool is_left_behind(const nx_fab_slot *s, uint64_t now_ns)
{
    return now_ns >= sent_ns(s) + NX_FAB_LATE_NS && s->ns->stored_sent_ns[s->to] > sent_ns(s);
}

/* A run's record that may have gone with its leader, on a node that has sent no other since. */
static bool is_unheard(const nx_fab_slot *s, uint64_t now_ns)
{
    return s->to == NX_FAB_TO_RUNS && now_ns >= sent_ns(s) + NX_FAB_LATE_NS && s->ns->acked_ns[s->to] < sent_ns(s);
}

static void refuse_lost(nx_fab *f, uint64_t now_ns)
{
    nx_fab_pub *pubs[64];
    unsigned n = NX_ARRAY_LEN(pubs);

    while (n == NX_ARRAY_LEN(pubs)) {
        uint32_t next;

        n = 0;
        pthread_mutex_lock(&f->mu);
        for (uint32_t i = f->oldest; i != NX_FAB_NIL && n < NX_ARRAY_LEN(pubs); i = next) {
            const nx_fab_slot *s = &f->slots[i];

            next = s->next; /* free_slot() makes it the free list's */
            if (sent_ns(s) + NX_FAB_HOMELESS_NS > now_ns)
                break; /* as all behind it */
            if (s->ns && nx_fab_is_copied(s->ns) && (is_homeless(f, s, now_ns) || is_left_behind(s, now_ns) || is_unheard(s, now_ns)))
                pubs[n++] = free_slot(f, i);
        }
        pthread_mutex_unlock(&f->mu);
        for (unsigned i = 0; i < n; i++)
            finish(f, pubs[i], NX_EUNAVAIL);
    }
}

void nx_fab_pubs_expire(nx_fab *f, uint64_t now_ns)
{
    note_late(f, now_ns);
    refuse_lost(f, now_ns);
    for (;;) {
        nx_fab_pub *pub = NULL;
        bool is_first = false;

        pthread_mutex_lock(&f->mu);
        if (f->oldest != NX_FAB_NIL && f->slots[f->oldest].deadline_ns <= now_ns) {
            nx_fab_ns *ns = f->slots[f->oldest].ns;

            is_first = ns && !nx_fab_is_copied(ns) && !atomic_exchange(&ns->is_stuck, true);
            pub = free_slot(f, f->oldest);
        }
        pthread_mutex_unlock(&f->mu);
        if (!pub)
            return;
        if (is_first) {
            nx_fab_look_again(f);
            nx_fab_upkeep_kick(f); /* it finds out whether the server is silent or does not store */
        }
        finish(f, pub, NX_EUNAVAIL);
    }
}

/* ---- what is published ------------------------------------------------------------------------------------------------------------------------- */

static nx_err admit(nx_fab_ns *n, nx_slice type, nx_slice encoded, nx_error *reterr)
{
    nx_err err = nx_fab_type_seen(n, encoded);

    return err ? nx_error_set(reterr, err, "namespace %s has %u event types already; %.*s would be one more", n->name, n->types.max, NX_SLICE_FMT(type)) : NX_OK;
}

nx_err nx_fab_type_admit(nx_fab_ns *n, nx_slice type, nx_error *reterr)
{
    char encoded[NX_FAB_SUBJECT_BYTES];
    size_t encoded_n = 0;
    nx_err err = type.n ? nx_fab_type_encode(type, encoded, sizeof encoded, &encoded_n) : NX_EINVAL;

    return err ? nx_error_set(reterr, err, "\"%.*s\" is no usable event type", NX_SLICE_FMT(type)) : admit(n, type, nx_slice_make(encoded, encoded_n), reterr);
}

nx_err nx_fab_publish_event(nx_fab_ns *n, const nx_event *e, nx_slice dedupe_key, nx_slice reply, nx_fab_pub *pub, nx_error *reterr)
{
    char subject[NX_FAB_SUBJECT_BYTES], small[4096];
    nx_fab_hdr h = {.p = small, .cap = sizeof small};
    char *large = NULL;
    size_t type_n = 0, at;
    unsigned shard = nx_id_shard(&e->event_id);
    nx_err err;

    at = nx_fab_spare_takes(n, e) ? (size_t)snprintf(subject, sizeof subject, "nx.%s.spare.", n->name) : 0;
    if (at) { /* without a key of its caller its id keeps it from being stored twice */
        dedupe_key = dedupe_key.n ? dedupe_key : nx_id_slice(&e->event_id);
    } else {
        memcpy(subject, n->ev_prefix, n->ev_prefix_n);
        at = n->ev_prefix_n;
    }
    subject[at++] = (char)('0' + shard / 10);
    subject[at++] = (char)('0' + shard % 10);
    subject[at++] = '.';
    err = e->type.n && e->event_id.s[0] ? nx_fab_type_encode(e->type, subject + at, sizeof subject - at, &type_n) : NX_EINVAL;
    if (err)
        return nx_error_set(reterr, err, "the event has no usable type or id");
    err = admit(n, e->type, nx_slice_make(subject + at, type_n), reterr);
    if (err)
        return err;
    err = nx_fab_event_encode(e, dedupe_key, reply, &h);
    if (err == NX_ELIMIT) { /* rare: many or long attributes */
        large = malloc(NX_FAB_HDR_BYTES);
        if (!large)
            return nx_error_set(reterr, NX_ENOMEM, "out of memory");
        h = (nx_fab_hdr){.p = large, .cap = NX_FAB_HDR_BYTES};
        err = nx_fab_event_encode(e, dedupe_key, reply, &h);
    }
    if (err)
        nx_error_set(reterr, err, "the event's attributes do not fit into message headers");
    else
        err = nx_fab_publish(n->f, n, subject, &h, e->data, pub, reterr);
    free(large);
    return err;
}

static nx_err spill(nx_fab_ns *n, const char *subject, const nx_fab_hdr *h, nx_slice encoded, nx_fab_pub *pub, nx_error *reterr)
{
    nx_fab *f = n->f;
    nx_fab_spill *s = malloc(sizeof *s + encoded.n);
    char hex[NX_SHA256_HEX + 1];

    if (!s)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    memset(s, 0, sizeof *s);
    s->ns = n;
    s->pub = pub;
    s->n = encoded.n;
    memcpy(s->bytes, encoded.p, encoded.n);
    snprintf(s->subject, sizeof s->subject, "%s", subject);
    s->digest = nx_sha256_of(encoded);
    nx_sha256_hex(&s->digest, hex);
    s->hdr = (nx_fab_hdr){.p = s->hdr_text, .cap = sizeof s->hdr_text, .n = h->n, .value_at = h->value_at};
    memcpy(s->hdr_text, h->p, h->n);
    nx_fab_hdr_add(&s->hdr, "nx-spill", nx_slice_make(hex, NX_SHA256_HEX));
    pthread_mutex_lock(&f->mu);
    if (f->n_spills >= 16) {
        pthread_mutex_unlock(&f->mu);
        free(s);
        return nx_error_set(reterr, NX_EBUSY, "too many large run records under way");
    }
    *f->spills_tail = s;
    f->spills_tail = &s->next;
    f->n_spills++;
    pthread_mutex_unlock(&f->mu);
    nx_fab_upkeep_kick(f);
    return NX_OK;
}

nx_err nx_fab_publish_run(nx_fab_ns *n, const nx_run *run, nx_slice encoded, nx_fab_pub *pub, nx_error *reterr)
{
    char subject[NX_FAB_SUBJECT_BYTES], text[1024], generation[16];
    nx_fab_hdr h = {.p = text, .cap = sizeof text - 128};

    if (!nx_fab_name_is_valid(run->function, 128) || !run->event_id.s[0])
        return nx_error_set(reterr, NX_EINVAL, "a run needs a function name and an event id");
    snprintf(subject, sizeof subject, "nx.%s.%s.%.*s.%s.%02u", n->name, run->is_replay ? "replay" : "run", NX_SLICE_FMT(run->function),
             run->is_final || run->is_replay ? nx_run_status_name(run->status) : "retry", nx_id_shard(&run->event_id));
    if (run->is_final && !run->is_replay) {
        int len = snprintf(generation, sizeof generation, "%u", run->generation);

        nx_fab_hdr_add(&h, "nx-final", nx_slice_make(generation, (size_t)len));
    }
    nx_fab_hdr_add(&h, "nx-event-id", nx_id_slice(&run->event_id));
    nx_fab_hdr_add(&h, "nx-run-id", nx_id_slice(&run->run_id));
    if (encoded.n + h.n + 1024 > nx_fab_max_payload(n->f))
        return spill(n, subject, &h, encoded, pub, reterr);
    return nx_fab_publish(n->f, n, subject, &h, encoded, pub, reterr);
}

nx_err nx_fab_reply(nx_fab *f, nx_slice reply_subject, int status, nx_slice content_type, nx_slice body)
{
    char subject[NX_FAB_SUBJECT_BYTES], text[2048], number[16];
    nx_fab_hdr h = {.p = text, .cap = sizeof text};
    natsMsg *m = NULL;
    nx_err e;

    /* Only an inbox of ours: the subject came with an event, and an event may come from anywhere. */
    if (!nx_slice_starts(reply_subject, NX_SLICE(NX_FAB_REPLIES)) || !nx_fab_subject_is_valid(reply_subject, false) ||
        nx_slice_to_cstr(reply_subject, subject, sizeof subject))
        return NX_EINVAL;
    nx_fab_hdr_add(&h, "nx-status", nx_slice_make(number, (size_t)snprintf(number, sizeof number, "%d", status)));
    if (content_type.n)
        nx_fab_hdr_add(&h, "content-type", content_type);
    if (body.n + h.n + 64 > nx_fab_max_payload(f))
        return NX_ELIMIT;
    e = build(subject, NULL, &h, body, &m);
    if (e)
        return e;
    return nx_fab_send(f, m);
}
