/* consume.c: messages of all consumers come to one inbox; how many may come is shared out here.
 *
 * Each consumer keeps one or two pull requests open at the server. What they may still bring ("granted") and what was brought and is not
 * finished ("inflight") is counted, and the sum over all consumers stays within max_inflight; only the first message of a consumer that
 * has none may exceed it, so that nobody starves. A consumer that uses up its grant gets a larger one, an idle one a small one. */
#include "nats/consume.h"
#include <stdio.h>
#include <stdlib.h>

#define PULL_EXPIRES_NS (30 * NX_NS_PER_S)
#define PULL_HEARTBEAT_NS (10 * NX_NS_PER_S)
#define PULL_SILENCE_NS (25 * NX_NS_PER_S) /* two heartbeats missed: the pull is lost */

/* ---- sending (cmu held) ------------------------------------------------------------------------------------------------------------------------ */

/* Without acknowledgement, and by nx-fab's next write when it runs: nobody waits for these. */
bool nx_fab_say(nx_fab *f, const char *subject, const char *reply, const char *text)
{
    nx_fab_link *l;
    natsStatus s = NATS_CONNECTION_DISCONNECTED;

    pthread_mutex_lock(&f->mu);
    l = atomic_load(&f->link[NX_FAB_HOT]);
    if (l) {
        s = reply ? natsConnection_PublishRequestString(l->nc, subject, reply, text) : natsConnection_PublishString(l->nc, subject, text);
        nx_fab_link_flush(f, l, false);
    }
    pthread_mutex_unlock(&f->mu);
    return s == NATS_OK;
}

unsigned nx_fab_base_target(const nx_fab *f)
{
    unsigned n = f->o.max_inflight / (2 * (f->n_open ? f->n_open : 1));

    return n ? n : 1;
}

static void starve(nx_fab *f, nx_fab_consumer *c)
{
    if (c->is_starved)
        return;
    c->is_starved = true;
    c->starved_next = NULL;
    *f->starved_tail = c;
    f->starved_tail = &c->starved_next;
}

void nx_fab_unstarve(nx_fab *f, nx_fab_consumer *c)
{
    nx_fab_consumer **p = &f->starved;

    if (!c->is_starved)
        return;
    while (*p != c)
        p = &(*p)->starved_next;
    *p = c->starved_next;
    if (!*p)
        f->starved_tail = p;
    c->is_starved = false;
}

/* Asks for more where the grant is down to half of what the consumer should have. */
void nx_fab_pull(nx_fab *f, nx_fab_consumer *c)
{
    unsigned used = c->granted + c->inflight, total = f->granted + f->inflight, want, room;
    char subject[NX_FAB_SUBJECT_BYTES], reply[64], body[160];

    if (c->o.n_shards) {
        nx_fab_pull_ordered(f, c);
        return;
    }
    if (!c->is_open || c->needs_repair || (c->granted && c->granted > c->target / 2))
        return;
    want = c->target;
    if (c->o.max_inflight && want > c->o.max_inflight)
        want = c->o.max_inflight;
    if (used >= want)
        return;
    want -= used;
    room = total < f->o.max_inflight ? f->o.max_inflight - total : 0;
    if (want > room)
        want = room;
    if (!want && !used)
        want = 1;
    if (!want) {
        starve(f, c);
        return;
    }
    nx_fab_token_format(f, NX_FAB_HOT, 'm', c->slot, c->gen, reply);
    snprintf(subject, sizeof subject, "%s.CONSUMER.MSG.NEXT.%s", f->js_prefix, c->stream_consumer);
    snprintf(body, sizeof body, "{\"batch\":%u,\"expires\":%llu,\"idle_heartbeat\":%llu}", want, (unsigned long long)PULL_EXPIRES_NS,
             (unsigned long long)PULL_HEARTBEAT_NS);
    if (!nx_fab_say(f, subject, reply, body))
        return; /* no connection: asked again when there is one */
    if (!c->granted)
        c->heard_ns = nx_clock_ns();
    c->granted += want;
    f->granted += want;
}

void nx_fab_feed_starved(nx_fab *f)
{
    while (f->starved && f->granted + f->inflight < f->o.max_inflight) {
        nx_fab_consumer *c = f->starved;

        nx_fab_unstarve(f, c);
        nx_fab_pull(f, c);
        if (c->is_starved)
            return;
    }
}

void nx_fab_ungrant(nx_fab *f, nx_fab_consumer *c, unsigned n)
{
    if (n > c->granted)
        n = c->granted;
    c->granted -= n;
    if (!c->o.n_shards)
        f->granted -= n;
}

/* ---- the table ------------------------------------------------------------------------------------------------------------------------------------ */

static unsigned bucket(nx_slice s)
{
    uint32_t h = 2166136261u;

    for (size_t i = 0; i < s.n; i++)
        h = (h ^ (uint8_t)s.p[i]) * 16777619u;
    return h % NX_FAB_NAME_BUCKETS;
}

static nx_fab_consumer *find(nx_fab *f, nx_slice stream_consumer)
{
    nx_fab_consumer *c = f->by_name[bucket(stream_consumer)];

    while (c && !nx_slice_eq_cstr(stream_consumer, c->stream_consumer))
        c = c->name_next;
    return c;
}

nx_err nx_fab_consumer_enlist(nx_fab *f, nx_fab_consumer *c)
{
    nx_fab_consumer **b = &f->by_name[bucket(nx_slice_cstr(c->stream_consumer))];
    unsigned slot = 0;

    if (find(f, nx_slice_cstr(c->stream_consumer)))
        return NX_EEXIST;
    while (slot < f->n_consumers && f->consumers[slot])
        slot++;
    if (slot == f->consumers_cap) {
        unsigned cap = slot ? slot * 2 : 16;
        nx_fab_consumer **v = cap <= NX_FAB_CONSUMERS_MAX ? realloc(f->consumers, cap * sizeof(nx_fab_consumer *)) : NULL;

        if (!v)
            return cap <= NX_FAB_CONSUMERS_MAX ? NX_ENOMEM : NX_EMANY;
        f->consumers = v;
        f->consumers_cap = cap;
    }
    if (slot == f->n_consumers)
        f->n_consumers++;
    f->consumers[slot] = c;
    c->slot = slot;
    c->name_next = *b;
    *b = c;
    return NX_OK;
}

/* Its slot it keeps until its last message is finished: those are kept alive meanwhile (nx_fab_consumers_tick). */
void nx_fab_consumer_delist(nx_fab *f, nx_fab_consumer *c)
{
    nx_fab_consumer **p = &f->by_name[bucket(nx_slice_cstr(c->stream_consumer))];

    while (*p != c)
        p = &(*p)->name_next;
    *p = c->name_next;
}

void nx_fab_consumer_release(nx_fab_consumer *c)
{
    free(c->config_json);
    for (unsigned i = 0; i < c->n_types; i++)
        free((void *)c->types[i].p);
    for (unsigned i = 0; i < c->n_subjects; i++)
        free((void *)c->subjects[i].p);
    free(c->types);
    free(c->subjects);
    free(c);
}

void nx_fab_consumer_unref(nx_fab_consumer *c)
{
    if (--c->refs == 0) {
        c->f->consumers[c->slot] = NULL;
        nx_fab_consumer_release(c);
    }
}

/* ---- delivery (nx-fab) ---------------------------------------------------------------------------------------------------------------------------- */

static void link_msg(nx_fab_consumer *c, nx_fab_msg *m)
{
    m->prev = c->newest;
    m->next = NULL;
    if (c->newest)
        c->newest->next = m;
    else
        c->oldest = m;
    c->newest = m;
}

static void unlink_msg(nx_fab_consumer *c, nx_fab_msg *m)
{
    if (m->prev)
        m->prev->next = m->next;
    else
        c->oldest = m->next;
    if (m->next)
        m->next->prev = m->prev;
    else
        c->newest = m->prev;
}

/* A filter that had to be wider than what was asked for brings messages that nobody asked for. */
static bool is_wanted(const nx_fab_consumer *c, const char *subject)
{
    nx_slice s = nx_slice_cstr(subject);
    char type[NX_FAB_SUBJECT_BYTES];
    size_t n;

    if (!c->is_loose)
        return true;
    if (nx_fab_is_event_subject(c->ns, s)) {
        if (nx_fab_type_decode(nx_slice_sub(s, c->ns->ev_prefix_n + 3, s.n), type, sizeof type, &n))
            return false;
        for (unsigned i = 0; i < c->n_types; i++)
            if (nx_event_type_matches(c->types[i], nx_slice_make(type, n)))
                return true;
        return false;
    }
    for (unsigned i = 0; i < c->n_subjects; i++)
        if (nx_fab_subject_covers(c->subjects[i], s))
            return true;
    return false;
}

static bool is_in_hand(const nx_fab_consumer *c, uint64_t seq)
{
    for (const nx_fab_msg *m = c->oldest; m; m = m->next)
        if (m->meta.stream_seq == seq)
            return true;
    return false;
}

void nx_fab_consumer_deliver(nx_fab *f, natsMsg *nm)
{
    nx_fab_msg *m = calloc(1, sizeof *m);
    const char *answer = NULL;
    nx_fab_consumer *c;

    if (!m || !nx_fab_meta_parse(natsMsg_GetReply(nm), &m->meta)) {
        free(m); /* out of memory: it is delivered again after ack_wait */
        natsMsg_Destroy(nm);
        return;
    }
    m->nm = nm;
    pthread_mutex_lock(&f->cmu);
    c = find(f, m->meta.stream_consumer);
    if (c) {
        nx_fab_ungrant(f, c, 1);
        c->heard_ns = m->alive_ns = nx_clock_ns();
        c->pending = m->meta.pending;
        if (m->meta.delivered > 1)
            nx_obs_inc(f->metrics.redelivered);
        if (!c->granted)
            c->was_busy = true;
        if (c->o.n_shards && nx_fab_ordered_deliver(f, c, nm)) {
            c->refs++; /* it may be closed meanwhile */
            pthread_mutex_unlock(&f->cmu);
            nx_fab_tell_unpinned(f);
            pthread_mutex_lock(&f->cmu);
            bool is_last = c->refs == 1;
            nx_fab_consumer_unref(c);
            c = is_last ? NULL : c;
        }
        m->term = c ? c->term : 0;
    }
    if (!c || !c->is_open)
        answer = "-NAK"; /* for another node, at once */
    else if (!is_wanted(c, natsMsg_GetSubject(nm)))
        answer = "+ACK";
    else if (m->meta.delivered > 1 && is_in_hand(c, m->meta.stream_seq))
        answer = ""; /* the connection was away for longer than ack_wait; the one in hand will be acknowledged */
    if (answer) {
        if (answer[0])
            nx_fab_say(f, natsMsg_GetReply(nm), NULL, answer);
        if (c)
            nx_fab_pull(f, c);
        pthread_mutex_unlock(&f->cmu);
        natsMsg_Destroy(nm);
        free(m);
        return;
    }
    m->c = c;
    c->refs++;
    c->inflight++;
    if (!c->o.n_shards) /* those have a bound of their own: what is held back for its order must not keep others from running */
        f->inflight++;
    link_msg(c, m);
    if (c->was_busy && c->target < f->o.max_inflight) { /* it used up what it had */
        c->target = c->target * 2 > f->o.max_inflight ? f->o.max_inflight : c->target * 2;
        c->was_busy = false;
    }
    nx_fab_pull(f, c);
    f->in_callback = c;
    pthread_mutex_unlock(&f->cmu);

    c->o.on_msg(c->o.self, m);

    pthread_mutex_lock(&f->cmu);
    f->in_callback = NULL;
    if (f->callback_waiters)
        pthread_cond_broadcast(&f->callback_cv);
    pthread_mutex_unlock(&f->cmu);
}

void nx_fab_consumer_status(nx_fab *f, unsigned slot, uint32_t gen, natsMsg *nm)
{
    nx_slice status = NX_SLICE_NULL, text = NX_SLICE_NULL, left_text;
    nx_fab_consumer *c;
    uint64_t left;

    nx_fab_msg_header(nm, "Status", &status);
    nx_fab_msg_header(nm, "Description", &text);
    pthread_mutex_lock(&f->cmu);
    c = slot < f->n_consumers ? f->consumers[slot] : NULL;
    if (!c || c->gen != gen) {
        pthread_mutex_unlock(&f->cmu);
        return;
    }
    c->heard_ns = nx_clock_ns();
    if (c->pin[0] && (nx_slice_eq_cstr(status, "423") || nx_slice_eq_cstr(status, "409")))
        nx_fab_unpin(f, c);
    if (nx_slice_eq_cstr(status, "100")) {
        pthread_mutex_unlock(&f->cmu);
        return; /* idle heartbeat */
    }
    /* The end of a pull: 408 expired, 409 (leadership change, consumer deleted, limits), 404, 503. What it had left is not granted any more. */
    if (nx_fab_msg_header(nm, "Nats-Pending-Messages", &left_text) && !nx_slice_u64(left_text, UINT32_MAX, &left))
        nx_fab_ungrant(f, c, (unsigned)left);
    else
        nx_fab_ungrant(f, c, c->granted);
    if (nx_slice_eq_cstr(status, "503") || nx_slice_eq_cstr(status, "404") ||
        (nx_slice_eq_cstr(status, "409") && !nx_slice_starts(text, NX_SLICE("Batch Completed")))) {
        c->needs_repair = c->is_open;
        f->needs_repair |= c->is_open;
        nx_fab_ungrant(f, c, c->granted);
    } else {
        c->target = nx_fab_base_target(f); /* an idle consumer holds little */
        c->was_busy = false;
        nx_fab_pull(f, c);
    }
    nx_fab_feed_starved(f);
    pthread_mutex_unlock(&f->cmu);
    nx_fab_tell_unpinned(f);
    if (f->needs_repair)
        nx_fab_upkeep_kick(f);
}

static bool takes(const nx_fab_consumer *c, const nx_event *e)
{
    if (c->o.n_shards && nx_id_shard(&e->event_id) - c->o.shard_from >= c->o.n_shards)
        return false;
    nx_slice subject = nx_slice_starts(e->source, NX_SLICE("nats:")) ? nx_slice_sub(e->source, 5, e->source.n) : NX_SLICE_NULL;

    for (unsigned i = 0; i < c->n_types; i++)
        if (!nx_id_is_raw(&e->event_id, NULL) && nx_event_type_matches(c->types[i], e->type))
            return true;
    for (unsigned i = 0; i < c->n_subjects; i++)
        if (subject.n && nx_fab_subject_covers(c->subjects[i], subject))
            return true;
    return false;
}

/* "fn-<function>", or of an ordered one "ord<shard>-<function>". */
static bool function_of(const nx_fab_consumer *c, char *out, size_t out_bytes)
{
    const char *dash = strchr(c->o.durable, '-');

    if (c->is_of_timers || !dash || strncmp(c->o.durable, c->o.n_shards ? "ord" : "fn-", 3))
        return false;
    return (size_t)snprintf(out, out_bytes, "%s", dash + 1) < out_bytes;
}

void nx_fab_functions_of(nx_fab_ns *n, const nx_event *e, nx_fab_functions *ret)
{
    nx_fab *f = n->f;

    ret->n = ret->n_all = 0;
    pthread_mutex_lock(&f->cmu);
    for (unsigned i = 0; i < f->n_consumers; i++) {
        const nx_fab_consumer *c = f->consumers[i];
        char name[128];

        if (!c || c->ns != n || !c->is_open || !function_of(c, name, sizeof name) || strlen(name) >= sizeof ret->v[0] || !takes(c, e))
            continue;
        if (ret->n == NX_FAB_FUNCTIONS_MAX) {
            ret->n = 0;
            break;
        }
        strcpy(ret->v[ret->n++], name);
    }
    ret->n_all = ret->n;
    pthread_mutex_unlock(&f->cmu);
}

/* ---- time, and connections that go (nx-fab) ------------------------------------------------------------------------------------------------------------ */

void nx_fab_consumers_tick(nx_fab *f, uint64_t now_ns)
{
    pthread_mutex_lock(&f->cmu);
    for (unsigned i = 0; i < f->n_consumers; i++) {
        nx_fab_consumer *c = f->consumers[i];

        if (!c)
            continue;
        for (unsigned n = c->inflight; n && c->oldest && now_ns - c->oldest->alive_ns >= c->o.ack_wait_ns / 2; n--) {
            nx_fab_msg *m = c->oldest;

            if (!nx_fab_say(f, natsMsg_GetReply(m->nm), NULL, "+WPI"))
                break; /* no connection; tried again at the next tick */
            unlink_msg(c, m);
            m->alive_ns = now_ns;
            link_msg(c, m);
        }
        if (c->is_open && !c->needs_repair && c->granted && now_ns - c->heard_ns > PULL_SILENCE_NS) {
            nx_fab_ungrant(f, c, c->granted);
            c->gen++;
            nx_fab_pull(f, c);
        } else if (c->o.n_shards || (!c->granted && !c->is_starved)) {
            nx_fab_pull(f, c); /* one that was not asked for when the connection came back; an ordered one's term to be prolonged */
        }
    }
    pthread_mutex_unlock(&f->cmu);
    nx_fab_tell_unpinned(f);
}

void nx_fab_consumers_lost(nx_fab *f)
{
    pthread_mutex_lock(&f->cmu);
    for (unsigned i = 0; i < f->n_consumers; i++)
        if (f->consumers[i]) {
            nx_fab_ungrant(f, f->consumers[i], f->consumers[i]->granted);
            f->consumers[i]->gen++;
            nx_fab_unstarve(f, f->consumers[i]);
            if (f->consumers[i]->pin[0])
                nx_fab_unpin(f, f->consumers[i]);
        }
    pthread_mutex_unlock(&f->cmu);
    nx_fab_tell_unpinned(f);
}

/* ---- messages (any thread) ------------------------------------------------------------------------------------------------------------------------------ */

static void finish(nx_fab_msg *m, const char *answer)
{
    nx_fab_consumer *c = m->c;
    nx_fab *f = c->f;

    pthread_mutex_lock(&f->cmu);
    if (answer)
        nx_fab_say(f, natsMsg_GetReply(m->nm), NULL, answer); /* lost with the connection: delivered again, and found done */
    unlink_msg(c, m);
    c->inflight--;
    if (!c->o.n_shards)
        f->inflight--;
    if (f->starved)
        nx_fab_feed_starved(f);
    nx_fab_pull(f, c);
    nx_fab_consumer_unref(c);
    pthread_mutex_unlock(&f->cmu);
    nx_fab_trash_add(f, m->nm);
    free(m);
}

void nx_fab_msg_ack(nx_fab_msg *take_m)
{
    finish(take_m, "");
}

void nx_fab_msg_nak(nx_fab_msg *take_m, uint64_t delay_ns)
{
    char text[64];

    if (delay_ns)
        snprintf(text, sizeof text, "-NAK {\"delay\":%llu}", (unsigned long long)delay_ns);
    finish(take_m, delay_ns ? text : "-NAK");
}

void nx_fab_msg_drop(nx_fab_msg *take_m)
{
    finish(take_m, NULL);
}

nx_err nx_fab_msg_event(nx_fab_msg *m, nx_arena *a, nx_event *ret, nx_error *reterr)
{
    if (m->c->is_of_timers)
        return nx_error_set(reterr, NX_EINVAL, "a timer's message holds no event");
    return nx_fab_event_decode(m->c->ns, m->nm, nx_slice_cstr(natsMsg_GetSubject(m->nm)), m->meta.stream_seq, m->meta.wall_ns, a, ret, reterr);
}

uint64_t nx_fab_msg_seq(const nx_fab_msg *m)
{
    return m->meta.stream_seq;
}

unsigned nx_fab_msg_delivery(const nx_fab_msg *m)
{
    return (unsigned)m->meta.delivered;
}

nx_slice nx_fab_msg_reply(nx_fab_msg *m)
{
    nx_slice v;

    return nx_fab_msg_header(m->nm, "nx-reply", &v) ? v : NX_SLICE_NULL;
}
