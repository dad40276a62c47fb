/* consume.c: messages of all consumers come to one inbox; how many may come, and how large, is shared out here.
 *
 * Each consumer has at most one pull request open at the server. What it may still bring ("granted") and what was brought and is not finished
 * ("inflight") is counted, in messages and in bytes, and the sums over all consumers stay within max_inflight and max_inflight_bytes; only the
 * first messages of a consumer that has none, and one that is larger than a whole share, may exceed them, so that nobody starves. A consumer that
 * uses up its grant gets a larger one, an idle one a small one; under load it asks for a quarter of it at a time, not for each message. Of many
 * consumers nearly all are idle, and a share of each would be one message at most: while there is plenty of room they are lent a few beside the sums. */
#include "nats/consume.h"
#include <stdio.h>
#include <stdlib.h>

#define PULL_EXPIRES_NS (30 * NX_NS_PER_S)
#define HEARTBEAT_MAX_NS (10 * NX_NS_PER_S)
#define HEARTBEAT_MIN_NS (500 * NX_NS_PER_MS)
#define MSG_OVERHEAD_BYTES 1024u                /* counted for a message beside its data: headers, our own state of it */
#define GIVEN_BACK "-NAK {\"delay\":200000000}" /* ns */
#define LARGE_TARGET 64u                        /* from here on a consumer waits until it may ask for a quarter of its target */
#define LENT_SUM 16u                            /* what all consumers are lent together is so many times max_inflight, but one each */
#define ALIVE_PARTS 4u                          /* signs of life within ack_wait: two may be lost, say while the consumer has no leader, and one be late */
#define TICK_PARTS 8u                           /* many consumers are looked after in so many ticks: each within half a second, */
#define TICK_PART_MIN 256u                      /* but so many in every one */

/* ---- sending (cmu held) ------------------------------------------------------------------------------------------------------------------------ */

/* Without acknowledgement, and by nx-fab's next write when it runs: nobody waits for these. */
bool nx_fab_say(nx_fab *f, const char *subject, const char *reply, const char *text)
{
    nx_fab_link *l;
    natsStatus s;

    pthread_mutex_lock(&f->mu);
    l = atomic_load(&f->link[NX_FAB_HOT]);
    if (!l) {
        pthread_mutex_unlock(&f->mu);
        return false;
    }
    s = reply ? natsConnection_PublishRequestString(l->nc, subject, reply, text) : natsConnection_PublishString(l->nc, subject, text);
    nx_fab_link_flush_unlock(f, l, false);
    return s == NATS_OK;
}

/* A pull dies with the leader that holds it, without a word: only missing heartbeats tell. They come often on servers that others elect another
 * leader for, but not more than about 200 a second for all consumers of the node; of a private server the connection tells. */
uint64_t nx_fab_heartbeat_ns(const nx_fab *f)
{
    uint64_t all = f->n_open * 5 * NX_NS_PER_MS;

    if (f->o.private_server || all > HEARTBEAT_MAX_NS)
        return HEARTBEAT_MAX_NS;
    return all < HEARTBEAT_MIN_NS ? HEARTBEAT_MIN_NS : all;
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
    while (*p && *p != c)
        p = &(*p)->starved_next;
    *p = c->starved_next;
    if (!*p)
        f->starved_tail = p;
    c->is_starved = false;
}

static unsigned room_of(const nx_fab *f)
{
    bool is_full = f->granted + f->inflight >= f->o.max_inflight || f->granted_bytes + f->in_hand_bytes >= f->o.max_inflight_bytes;

    return is_full ? 0 : f->o.max_inflight - f->granted - f->inflight;
}

/* How many messages the consumer may ask for now; 0: none, and *ret_is_short: for want of room. */
static unsigned share_of(const nx_fab *f, const nx_fab_consumer *c, bool *ret_is_short)
{
    unsigned most = c->o.max_inflight && c->target > c->o.max_inflight ? c->o.max_inflight : c->target;
    unsigned room = room_of(f), fair = (7 * (room + c->inflight) + 7) / 8, least, want;

    /* Of what the others leave free it takes seven eighths at most: however long its backlog is, another one's messages find room. */
    if (most > fair)
        most = fair ? fair : 1;
    least = most >= LARGE_TARGET ? most / 4 : 1;
    want = c->inflight < most ? most - c->inflight : 0;
    *ret_is_short = false;
    if (want < least)
        return 0;
    if (want > room)
        want = room;
    if (!c->inflight)
        return want ? want : 1;
    if (least > f->o.max_inflight / 16)
        least = f->o.max_inflight / 16;
    *ret_is_short = !want || want < least;
    return *ret_is_short ? 0 : want;
}

/* Of the bytes that are left as large a part as of the messages. */
static size_t bytes_of(const nx_fab *f, unsigned want)
{
    size_t used = f->granted_bytes + f->in_hand_bytes, left = used < f->o.max_inflight_bytes ? f->o.max_inflight_bytes - used : 0;
    unsigned room = room_of(f);
    size_t share = room ? left / room * want : 0;

    return share > MSG_OVERHEAD_BYTES ? share : MSG_OVERHEAD_BYTES;
}

/* How many messages a consumer that has none may be lent; 0: there is not plenty of room. */
static unsigned loan_of(const nx_fab *f, const nx_fab_consumer *c)
{
    unsigned n = f->o.max_inflight * LENT_SUM / (f->n_open ? f->n_open : 1);

    if (c->inflight || c->is_next_large || f->inflight >= f->o.max_inflight / 4 || f->in_hand_bytes >= f->o.max_inflight_bytes / 4)
        return 0;
    if (n > NX_FAB_LENT_MAX)
        n = NX_FAB_LENT_MAX;
    return c->o.max_inflight && n > c->o.max_inflight ? c->o.max_inflight : n ? n
                                                                              : 1;
}

/* Asks for more once the last request has brought all it was to bring. */
void nx_fab_pull(nx_fab *f, nx_fab_consumer *c)
{
    char subject[NX_FAB_SUBJECT_BYTES], reply[64], body[192], bound[48] = "";
    unsigned want, loan;
    bool is_short;
    size_t bytes = 0;

    if (c->o.n_shards) {
        nx_fab_pull_ordered(f, c);
        return;
    }
    if (!c->is_open || c->needs_repair || c->granted)
        return;
    want = share_of(f, c, &is_short);
    if (is_short)
        starve(f, c);
    if (!want)
        return;
    loan = loan_of(f, c);
    if (loan < want)
        loan = 0;
    else
        want = loan;
    if (c->target < loan)
        c->target = loan;
    if (c->is_doubted) {
        want = 1;
        loan = 0;
    }
    if (c->is_next_large)
        want = 1; /* without a bound */
    else if (loan)
        snprintf(bound, sizeof bound, ",\"max_bytes\":%u", loan * 2 * MSG_OVERHEAD_BYTES);
    else
        snprintf(bound, sizeof bound, ",\"max_bytes\":%zu", bytes = bytes_of(f, want));
    nx_fab_token_format(f, NX_FAB_HOT, 'm', c->slot, c->gen, reply);
    snprintf(subject, sizeof subject, "%s.CONSUMER.MSG.NEXT.%s", f->js_prefix, c->stream_consumer);
    snprintf(body, sizeof body, "{\"batch\":%u,\"expires\":%llu,\"idle_heartbeat\":%llu%s}", want, (unsigned long long)PULL_EXPIRES_NS,
             (unsigned long long)nx_fab_heartbeat_ns(f), bound);
    if (!nx_fab_say(f, subject, reply, body))
        return; /* no connection: asked again when there is one */
    c->is_next_large = c->is_doubted = false;
    c->pulled_ns = c->heard_ns = nx_clock_ns();
    c->granted = want;
    c->is_lent = loan > 0;
    if (loan)
        return;
    c->granted_bytes = bytes;
    f->granted += want;
    f->granted_bytes += bytes;
}

void nx_fab_feed_starved(nx_fab *f)
{
    while (f->starved && room_of(f)) {
        nx_fab_consumer *c = f->starved;

        nx_fab_unstarve(f, c);
        nx_fab_pull(f, c);
        if (c->is_starved)
            return;
    }
}

void nx_fab_ungrant(nx_fab *f, nx_fab_consumer *c, unsigned n, size_t bytes)
{
    if (n >= c->granted) { /* whatever bytes are left: nothing comes any more */
        n = c->granted;
        bytes = c->granted_bytes;
    } else if (bytes > c->granted_bytes) {
        bytes = c->granted_bytes;
    }
    c->granted -= n;
    if (c->o.n_shards || c->is_lent)
        return;
    c->granted_bytes -= bytes;
    f->granted -= n;
    f->granted_bytes -= bytes;
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
    return nx_fab_is_placed_subject(c->ns, s);
}

static bool is_in_hand(const nx_fab_consumer *c, uint64_t seq)
{
    for (const nx_fab_msg *m = c->oldest; m; m = m->next)
        if (m->meta.stream_seq == seq)
            return true;
    return false;
}

/* How many were asked for, and how many of those may still come. */
static void count_delivery(nx_fab *f, nx_fab_consumer *c, const nx_fab_msg *m)
{
    nx_fab_ungrant(f, c, 1, m->bytes);
    c->heard_ns = m->alive_ns;
    c->pending = m->meta.pending;
    if (!c->granted)
        c->was_busy = true;
}

/* Nobody asked for what other nodes give: past what this node may have in hand it goes back to the log. */
static bool has_no_room(const nx_fab *f)
{
    return f->inflight >= f->o.max_inflight || f->in_hand_bytes >= f->o.max_inflight_bytes;
}

void nx_fab_consumer_deliver(nx_fab *f, natsMsg *nm, bool is_given)
{
    nx_fab_msg *m = calloc(1, sizeof *m);
    const char *answer = NULL;
    nx_fab_consumer *c;

    if (m && !is_given) {
        m->reply = natsMsg_GetReply(nm);
        m->subject = natsMsg_GetSubject(nm);
    }
    if (!m || (is_given && !nx_fab_given_read(nm, &m->reply, &m->subject)) || !nx_fab_meta_parse(m->reply, &m->meta)) {
        free(m); /* out of memory: it is delivered again after ack_wait */
        natsMsg_Destroy(nm);
        return;
    }
    m->nm = nm;
    m->is_given = is_given;
    pthread_mutex_lock(&f->cmu);
    c = find(f, m->meta.stream_consumer);
    if (c) {
        m->bytes = (size_t)natsMsg_GetDataLength(nm) + MSG_OVERHEAD_BYTES;
        m->alive_ns = nx_clock_ns();
        if (!is_given)
            count_delivery(f, c, m);
        if (m->meta.delivered > 1)
            nx_obs_inc(f->metrics.redelivered);
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
    if (is_given && (!c || !c->is_open || has_no_room(f)))
        answer = GIVEN_BACK; /* who gave it may not know yet that this node is not the one any more */
    else if (!c || !c->is_open)
        answer = "-NAK"; /* for another node, at once */
    else if (!is_wanted(c, m->subject))
        answer = "+ACK";
    else if (m->meta.delivered > 1 && is_in_hand(c, m->meta.stream_seq))
        answer = ""; /* the connection was away for longer than ack_wait; the one in hand will be acknowledged */
    if (answer) {
        if (answer[0])
            nx_fab_say(f, m->reply, NULL, answer);
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
    c->in_hand_bytes += m->bytes;
    if (!c->o.n_shards) { /* those have a bound of their own: what is held back for its order must not keep others from running */
        f->inflight++;
        f->in_hand_bytes += m->bytes;
    }
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
    bool is_broken, is_complete; /* the pull: by something else than its having brought all it may; it has */

    (void)nx_fab_msg_status(nm, &status, &text);
    pthread_mutex_lock(&f->cmu);
    c = slot < f->n_consumers ? f->consumers[slot] : NULL;
    if (!c || c->gen != gen) {
        pthread_mutex_unlock(&f->cmu);
        return;
    }
    c->heard_ns = nx_clock_ns();
    c->is_next_large = nx_slice_starts(text, NX_SLICE("Message Size Exceeds MaxBytes"));
    is_complete = nx_slice_starts(text, NX_SLICE("Batch Completed"));
    is_broken = nx_slice_eq_cstr(status, "409") && !c->is_next_large && !is_complete;
    if (c->pin[0] && (is_broken || nx_slice_eq_cstr(status, "423")))
        nx_fab_unpin(f, c);
    if (nx_slice_eq_cstr(status, "100") || is_complete) {
        pthread_mutex_unlock(&f->cmu);
        return; /* idle heartbeat; or what its last message told */
    }
    /* The end of a pull: 408 expired, 409 (leadership change, consumer deleted, limits), 404, 503. What it had left is not granted any more. */
    if (nx_fab_msg_header(nm, "Nats-Pending-Messages", &left_text) && !nx_slice_u64(left_text, UINT32_MAX, &left))
        nx_fab_ungrant(f, c, (unsigned)left, c->granted_bytes);
    else
        nx_fab_ungrant(f, c, c->granted, c->granted_bytes);
    if (c->is_next_large) {
        nx_fab_pull(f, c);
    } else if (is_broken || nx_slice_eq_cstr(status, "503") || nx_slice_eq_cstr(status, "404")) {
        c->needs_repair = c->is_open;
        f->needs_repair |= c->is_open;
        nx_fab_ungrant(f, c, c->granted, c->granted_bytes);
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

    if (c->is_of_timers || !dash || strncmp(c->o.durable, c->o.n_shards ? "ord" : "fn-", 3) != 0)
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
        memcpy(ret->v[ret->n++], name, strlen(name) + 1);
    }
    ret->n_all = ret->n;
    pthread_mutex_unlock(&f->cmu);
}

/* ---- time, and connections that go (nx-fab) ------------------------------------------------------------------------------------------------------------ */

void nx_fab_consumers_homeless(nx_fab *f)
{
    f->pulls_homeless_ns = nx_clock_ns();
}

/* The server said that nobody takes a pull, and nothing was heard of this one since it went out: asked again, for one message. Should it have had a
 * leader all the time, it brings that one beside what it brings for the earlier pull. As seldom as heartbeats, all together. */
static bool is_doubtful(const nx_fab *f, const nx_fab_consumer *c, uint64_t now_ns)
{
    return f->pulls_homeless_ns > c->pulled_ns && c->heard_ns <= c->pulled_ns && now_ns >= c->pulled_ns + nx_fab_heartbeat_ns(f) / 5;
}

void nx_fab_consumers_tick(nx_fab *f, uint64_t now_ns)
{
    uint64_t silence_ns;
    unsigned part;

    pthread_mutex_lock(&f->cmu);
    part = f->n_consumers / TICK_PARTS > TICK_PART_MIN ? f->n_consumers / TICK_PARTS : TICK_PART_MIN;
    silence_ns = nx_fab_heartbeat_ns(f) / 2 * 5; /* two heartbeats missed: the pull is lost */
    for (unsigned k = 0; k < f->n_consumers && k < part; k++) {
        unsigned i = f->next_ticked < f->n_consumers ? f->next_ticked : 0;
        nx_fab_consumer *c = f->consumers[i];

        f->next_ticked = i + 1;
        if (!c)
            continue;
        for (unsigned n = c->inflight; n && c->oldest && now_ns >= c->oldest->alive_ns + c->o.ack_wait_ns / ALIVE_PARTS; n--) {
            nx_fab_msg *m = c->oldest;

            m->is_overdue |= now_ns >= m->alive_ns + c->o.ack_wait_ns;
            if (!nx_fab_say(f, m->reply, NULL, "+WPI"))
                break; /* no connection; tried again at the next tick */
            unlink_msg(c, m);
            m->alive_ns = now_ns;
            link_msg(c, m);
        }
        if (c->is_open && !c->needs_repair && c->granted && (now_ns > c->heard_ns + silence_ns || is_doubtful(f, c, now_ns))) {
            c->is_doubted = now_ns <= c->heard_ns + silence_ns;
            nx_fab_ungrant(f, c, c->granted, c->granted_bytes);
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
            nx_fab_ungrant(f, f->consumers[i], f->consumers[i]->granted, f->consumers[i]->granted_bytes);
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
        nx_fab_say(f, m->reply, NULL, answer); /* lost with the connection: delivered again, and found done */
    unlink_msg(c, m);
    c->inflight--;
    c->in_hand_bytes -= m->bytes;
    if (!c->o.n_shards) {
        f->inflight--;
        f->in_hand_bytes -= m->bytes;
    }
    if (f->starved)
        nx_fab_feed_starved(f);
    nx_fab_pull(f, c);
    nx_fab_consumer_unref(c);
    pthread_mutex_unlock(&f->cmu);
    natsMsg_Destroy(m->nm);
    free(m);
}

bool nx_fab_msg_is_overdue(const nx_fab_msg *m)
{
    nx_fab *f = m->c->f;
    bool is_so;

    pthread_mutex_lock(&f->cmu);
    is_so = m->is_overdue || nx_clock_ns() - m->alive_ns >= m->c->o.ack_wait_ns;
    pthread_mutex_unlock(&f->cmu);
    return is_so;
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
    nx_err e = nx_fab_event_decode(m->c->ns, m->nm, nx_slice_cstr(m->subject), m->meta.stream_seq, m->meta.wall_ns, a, ret, reterr);

    return e || !nx_fab_msg_is_placed(m) ? e : nx_fab_placed_complete(m->nm, ret, reterr);
}

bool nx_fab_msg_is_placed(const nx_fab_msg *m)
{
    return nx_fab_is_placed_subject(m->c->ns, nx_slice_cstr(m->subject));
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
