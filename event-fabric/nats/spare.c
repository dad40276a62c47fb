/* spare.c: where events are kept while the log has no leader, in NX_SPARE_<ns>; only where streams have several copies.
 *
 * Servers need 4 to 9 s to notice that a stream's leader is gone and to elect another one; nothing shortens that. The spare stream has a leader of
 * its own, which is kept on another server than the log's. What it takes is moved into the log, oldest first, once that has a leader again: stored
 * there under its event's id before it is removed here, so that it is neither lost nor doubled, whoever moves it and however often. The log remembers
 * ids for its dedupe window; what was here for longer may have been moved by a node that died before it removed it, and is looked for in the log first.
 * Nodes may move the same at the same time; what one has read and looked for it moves within half of the window, or reads and looks again.
 *
 * An event whose caller gave a key against duplicates is stored under that key, here and when it is moved. Should the log have known the key before,
 * it drops the event then, and a mark says of whose id it was a duplicate.
 *
 * Refused meanwhile are events with a partition key: later ones, which a node stores in the log as soon as that has a leader, would overtake them. */
#include "nats/lookup.h"
#include <stdio.h>
#include <stdlib.h>

#define MOVE_BATCH 256
#define MOVE_AT_ONCE 32           /* under way together; NX_FAB_REQUESTS are for all */
#define MOVE_NS (2 * NX_NS_PER_S) /* of upkeep's time, in one round */
#define SKEW_NS (2 * NX_NS_PER_S) /* between the clocks of the servers that lead the two */
#define LOOK_NS (1 * NX_NS_PER_S)
#define LOOKS_MAX 8                /* at what was moved meanwhile, for a page */
#define APART_NS (2 * NX_NS_PER_S) /* between two tries to bring the leaders apart; a little different on each node */

static uint64_t window_ns(const nx_fab_ns *n)
{
    return n->o.dedupe_window_ns ? n->o.dedupe_window_ns : NX_FAB_DEDUPE_NS;
}

nx_err nx_fab_spare_ensure(nx_fab_ns *n, nx_error *reterr)
{
    static const char *const keep[] = {"subjects", "storage", "retention", "max_age", "max_bytes", NULL};
    char want[512];

    if (!nx_fab_is_copied(n))
        return NX_OK;
    snprintf(want, sizeof want,
             "{\"name\":\"%s\",\"subjects\":[\"nx.%s.spare.>\"],\"storage\":\"file\",\"retention\":\"limits\",\"discard\":\"new\",\"max_bytes\":%lld,"
             "\"max_age\":0,\"num_replicas\":%u,\"duplicate_window\":%llu,\"allow_direct\":true}",
             n->spare, n->name, n->o.events_max_bytes ? (long long)n->o.events_max_bytes : -1LL, n->o.replicas, (unsigned long long)window_ns(n));
    return nx_fab_stream_ensure(n->f, n->spare, nx_slice_cstr(want), keep, reterr);
}

void nx_fab_spare_open(nx_fab_ns *n)
{
    if (!nx_fab_is_copied(n) || atomic_exchange(&n->is_leaderless, true))
        return;
    nx_log(NX_LOG_WARN, "fabric.spare", "the event log of namespace %s has no leader; events are kept in the spare log until it has one", n->name);
    nx_fab_upkeep_kick(n->f);
}

void nx_fab_spare_shut(nx_fab_ns *n)
{
    if (nx_clock_ns() - atomic_load(&n->late_ns) < NX_FAB_LATE_NS)
        return; /* its leader answers, but does not take what is published */
    if (!atomic_exchange(&n->is_leaderless, false))
        return;
    n->spare_due_ns = n->apart_due_ns = 0; /* nothing waits there for longer than it must, and the next death may come soon */
    nx_log(NX_LOG_INFO, "fabric.leader", "the event log of namespace %s has a leader again", n->name);
}

bool nx_fab_spare_takes(nx_fab_ns *n, const nx_event *e)
{
    return atomic_load(&n->is_leaderless) && !e->partition_key.n;
}

bool nx_fab_spare_subject(const nx_fab_ns *n, nx_slice spare, char out[NX_FAB_SUBJECT_BYTES], nx_slice *ret)
{
    size_t skip = strlen("nx..spare.") + strlen(n->name);

    if (spare.n <= skip)
        return false;
    *ret = nx_slice_make(out, (size_t)snprintf(out, NX_FAB_SUBJECT_BYTES, "%s%.*s", n->ev_prefix, (int)(spare.n - skip), spare.p + skip));
    return ret->n < NX_FAB_SUBJECT_BYTES;
}

nx_err nx_fab_event_get_published(nx_fab_ns *n, const nx_fab_pub *pub, nx_arena *a, nx_event *ret, nx_error *reterr)
{
    char subject[NX_FAB_SUBJECT_BYTES];
    nx_fab_replies got = {0};
    nx_fab_stored s;
    nx_err e;

    if (!pub->is_spare)
        return nx_fab_event_get_seq(n, pub->seq, a, ret, reterr);
    e = nx_fab_get_seq(n, n->spare, "waiting event", pub->seq, &got, &s, reterr);
    if (e == NX_ENOENT)
        return nx_error_set(reterr, NX_EUNAVAIL, "a duplicate of an event that was moved into the log, which has no leader yet");
    if (e)
        return e;
    e = nx_fab_spare_subject(n, s.subject, subject, &s.subject) ? nx_fab_stored_event(n, &s, a, ret, reterr) : nx_error_set(reterr, NX_ECORRUPT, "no event");
    ret->stream_seq = 0;
    nx_fab_replies_done(&got);
    return e;
}

/* ---- moving ---------------------------------------------------------------------------------------------------------------------------------- */

typedef struct waiting {
    nx_slice event_id;
    unsigned at; /* its place in the page */
} waiting;

/* A page of the spare log, and which of it the log has already. */
typedef struct page {
    nx_fab_replies got;
    bool is_moved[MOVE_BATCH + 1];
    waiting by_id[MOVE_BATCH + 1]; /* sorted: each of many messages of the log is looked for among them */
    unsigned n_by_id;
    unsigned at;       /* the next one to be moved */
    uint64_t until_ns; /* whatever another node moves since it was read, the log remembers until then, and for a while longer */
} page;

static int compare_ids(const void *a, const void *b)
{
    nx_slice x = ((const waiting *)a)->event_id, y = ((const waiting *)b)->event_id;

    if (x.n != y.n)
        return x.n < y.n ? -1 : 1;
    return x.n ? memcmp(x.p, y.p, x.n) : 0;
}

static void sort_by_id(page *p)
{
    p->n_by_id = 0;
    for (unsigned i = 0; i < p->got.n && i < NX_ARRAY_LEN(p->by_id); i++) {
        waiting w = {nx_fab_stored_event_id(p->got.v[i]), i};

        if (w.event_id.n)
            p->by_id[p->n_by_id++] = w;
    }
    qsort(p->by_id, p->n_by_id, sizeof *p->by_id, compare_ids);
}

static int note_moved(void *self, nx_fab_stored *s)
{
    page *p = self;
    waiting key = {.event_id = nx_fab_stored_event_id(s->m)}, *end = p->by_id + p->n_by_id;
    waiting *w = p->n_by_id ? bsearch(&key, p->by_id, p->n_by_id, sizeof key, compare_ids) : NULL;

    while (w && w > p->by_id && !compare_ids(&w[-1], &key))
        w--;
    for (; w && w < end && !compare_ids(w, &key); w++)
        p->is_moved[w->at] = true;
    return 0;
}

/* A log with too much since then to be read in a few seconds leaves the question open: then an event may be stored, and run, twice. What others move
 * while this reads is read too, until that takes but a moment: the log remembers what comes then. */
static nx_err find_moved(nx_fab_ns *n, page *p)
{
    uint64_t window = window_ns(n), wall_ns = nx_clock_wall_ns(), took_ns = UINT64_MAX;
    nx_fab_stored first;
    nx_err e = NX_OK;

    memset(p->is_moved, 0, sizeof p->is_moved);
    if (!p->got.n || !nx_fab_stored_read(p->got.v[0], &first) || (wall_ns >= first.wall_ns && wall_ns - first.wall_ns < window / 4))
        return NX_OK;
    sort_by_id(p);
    for (unsigned i = 0; !e && i < LOOKS_MAX && took_ns > window / 4; i++) {
        uint64_t began_ns = nx_clock_ns(), since_ns = i ? wall_ns : first.wall_ns;

        wall_ns = nx_clock_wall_ns();
        e = nx_fab_visit(n->f, (nx_fab_query){.stream = n->events, .wall_ns = since_ns > SKEW_NS ? since_ns - SKEW_NS : 0, .batch = MOVE_BATCH, .is_exact = true}, note_moved, p, NULL);
        p->until_ns = began_ns + window / 2;
        took_ns = nx_clock_ns() - began_ns;
    }
    if (e == NX_ETIMEOUT || (!e && took_ns > window / 4)) {
        nx_log(NX_LOG_WARN, "fabric.spare", "namespace %s: the log holds too much to tell whether old events of the spare log were moved before; some may be stored twice", n->name);
        p->until_ns = nx_clock_ns() + window / 2;
        return NX_OK;
    }
    return e;
}

typedef struct move {
    bool is_moved; /* it was in the log */
    nx_id id;      /* its own, where it is stored under a key of its caller; else "" */
    char subject[NX_FAB_SUBJECT_BYTES], hdr_text[NX_FAB_HDR_BYTES];
    nx_fab_ask ask;
    nx_fab_pending pending;
} move;

/* The message's own headers, without what a direct get adds. */
static nx_err copy_headers(natsMsg *m, nx_fab_hdr *h)
{
    static const char *const added[] = {"Nats-Stream", "Nats-Subject", "Nats-Sequence", "Nats-Time-Stamp", "Nats-Num-Pending", "Nats-Last-Sequence"};
    nx_slice key, value;
    nx_fab_lines l;

    for (nx_fab_lines_of(m, &l); nx_fab_lines_next(&l, &key, &value);) {
        bool is_added = false;

        for (size_t k = 0; k < NX_ARRAY_LEN(added) && !is_added; k++)
            is_added = nx_slice_eq_cstr(key, added[k]);
        if (!is_added)
            nx_fab_hdr_add_line(h, key, value);
    }
    return h->is_bad ? NX_ELIMIT : NX_OK;
}

/* Its id, unless it is stored under that. */
static void note_id(natsMsg *m, nx_id *ret)
{
    nx_slice id = nx_fab_stored_event_id(m), dedupe_id = NX_SLICE_NULL;
    char own[NX_FAB_DEDUPE_ID_BYTES];

    nx_fab_msg_header(m, "Nats-Msg-Id", &dedupe_id);
    *ret = (nx_id){0};
    if (!nx_slice_eq(dedupe_id, nx_fab_dedupe_id(id, own)))
        (void)nx_id_parse(id, ret);
}

static nx_err move_begin(nx_fab_ns *n, const nx_fab_stored *s, move *ret)
{
    nx_slice subject;
    nx_fab_hdr h = {.p = ret->hdr_text, .cap = sizeof ret->hdr_text - 1};
    nx_err e = nx_fab_spare_subject(n, s->subject, ret->subject, &subject) ? copy_headers(s->m, &h) : NX_EINVAL;

    if (e)
        return e;
    note_id(s->m, &ret->id);
    ret->ask = (nx_fab_ask){.subject = ret->subject, .body = nx_slice_make(natsMsg_GetData(s->m), (size_t)natsMsg_GetDataLength(s->m))};
    if (!nx_fab_hdr_split(&h, &ret->ask.hdr_key, &ret->ask.hdr_value))
        return NX_EINVAL;
    return nx_fab_ask_begin(n->f, &ret->ask, &ret->pending, NULL);
}

#define FIRST_PREFIX "is "

/* Message `seq` of the log is what took the key's place; unless it is the event itself, moved by another node, its id now stands for that one. */
static nx_err note_first(nx_fab_ns *n, const nx_id *id, uint64_t seq)
{
    char text[sizeof FIRST_PREFIX + NX_ID_LEN];
    nx_fab_replies got = {0};
    nx_fab_stored s;
    nx_slice first;
    nx_err e = nx_fab_get_seq(n, n->events, "event", seq, &got, &s, NULL);

    if (e)
        return e == NX_ENOENT ? NX_OK : e; /* trimmed: accepted once, and unknown now */
    first = nx_fab_stored_event_id(s.m);
    if (!nx_slice_eq(first, nx_id_slice(id)))
        e = nx_fab_mark_put(n, id, nx_slice_make(text, (size_t)snprintf(text, sizeof text, FIRST_PREFIX "%.*s", NX_ID_LEN, first.n >= NX_ID_LEN ? first.p : "")), NULL);
    nx_fab_replies_done(&got);
    return e;
}

nx_err nx_fab_spare_first_of(nx_fab_ns *n, const nx_id *id, nx_id *ret, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(1u << 20);
    nx_slice text;
    nx_err e = nx_fab_mark_get(n, id, &a, &text, reterr);

    if (e)
        return e;
    return nx_slice_starts(text, NX_SLICE(FIRST_PREFIX)) && !nx_id_parse(nx_slice_sub(text, strlen(FIRST_PREFIX), text.n), ret) ? NX_OK : NX_ENOENT;
}

static nx_err move_end(nx_fab_ns *n, move *m)
{
    nx_fab_replies got = {0};
    nx_fab_ack ack;
    nx_err e;

    if (m->is_moved)
        return NX_OK;
    e = nx_fab_ask_end(n->f, &m->ask, &m->pending, &got, NULL);

    if (e)
        return e;
    nx_fab_ack_parse(nx_slice_make(natsMsg_GetData(got.v[0]), (size_t)natsMsg_GetDataLength(got.v[0])), &ack);
    nx_fab_replies_done(&got);
    return !ack.err && ack.is_duplicate && m->id.s[0] ? note_first(n, &m->id, ack.seq) : ack.err;
}

/* Up to MOVE_AT_ONCE of the page; *ret_seq: behind the last of them that is in the log. Messages come in their order, so nothing lies between two
 * of them. */
static nx_err move_some(nx_fab_ns *n, page *p, move *v, uint64_t *ret_seq)
{
    unsigned n_begun = 0;
    uint64_t seqs[MOVE_AT_ONCE];
    nx_err e = NX_OK;

    for (; !e && n_begun < MOVE_AT_ONCE && p->at < p->got.n && nx_clock_ns() < p->until_ns; p->at++) {
        nx_fab_stored s;

        if (!nx_fab_stored_read(p->got.v[p->at], &s))
            continue; /* the end of the page */
        v[n_begun].is_moved = p->is_moved[p->at];
        if (!v[n_begun].is_moved)
            e = move_begin(n, &s, &v[n_begun]);
        if (e == NX_EINVAL || e == NX_ELIMIT) {
            nx_log(NX_LOG_ERROR, "fabric.spare", "message %llu of %s is no event; it stays there", (unsigned long long)s.seq, n->spare);
            break;
        }
        if (!e)
            seqs[n_begun++] = s.seq;
    }
    for (unsigned i = 0; i < n_begun; i++) {
        nx_err ended = move_end(n, &v[i]);

        if (!ended && !e)
            *ret_seq = seqs[i] + 1;
        e = e ? e : ended;
    }
    return e;
}

static nx_err move_page(nx_fab_ns *n, uint64_t *seq, page *p, move *v, bool *ret_more, uint64_t *count)
{
    char filter[64];
    uint64_t done = *seq;
    nx_err e;

    snprintf(filter, sizeof filter, "nx.%s.spare.>", n->name);
    p->at = 0;
    p->until_ns = nx_clock_ns() + window_ns(n) / 2; /* a node that sleeps for longer reads it anew */
    e = nx_fab_page(n->f, &(nx_fab_query){.stream = n->spare, .filter = filter, .seq = *seq, .batch = MOVE_BATCH}, &p->got, NULL);
    if (!e)
        e = find_moved(n, p);
    while (!e && p->at < p->got.n && nx_clock_ns() < p->until_ns)
        e = move_some(n, p, v, &done);
    nx_fab_replies_done(&p->got);
    *ret_more = done > *seq;
    if (*ret_more) {
        nx_err purged = nx_fab_stream_purge(n->f, n->spare, NULL, done, NULL);

        *count += done - *seq;
        *seq = done;
        e = e ? e : purged;
    }
    return e;
}

static void move_all(nx_fab_ns *n, uint64_t first_seq)
{
    move *v = calloc(MOVE_AT_ONCE, sizeof *v);
    page p = {0};
    uint64_t end = nx_clock_ns() + MOVE_NS, seq = first_seq ? first_seq : 1, count = 0;
    bool more = v != NULL;

    while (more && nx_clock_ns() < end && !move_page(n, &seq, &p, v, &more, &count))
        ;
    free(v);
    if (count)
        nx_log(NX_LOG_INFO, "fabric.moved", "%llu events of namespace %s were moved from the spare log into the log", (unsigned long long)count, n->name);
}

/* ---- looking after it (nx-fab-up) ------------------------------------------------------------------------------------------------------------- */

static nx_slice leader_of(const nx_json *info)
{
    return nx_json_get_str(nx_json_get(info, "cluster"), "leader");
}

/* The spare's leader gives way to a server whose copy is complete and which does not lead the log. */
static void bring_apart(nx_fab_ns *n, const nx_json *spare, nx_slice log_leader)
{
    const nx_json *copies = nx_json_get(nx_json_get(spare, "cluster"), "replicas");
    char subject[96], body[256];
    nx_json *answer = NULL;

    for (size_t i = 0; i < nx_json_len(copies); i++) {
        const nx_json *c = nx_json_at(copies, i);
        nx_slice name = nx_json_get_str(c, "name");

        if (!name.n || nx_slice_eq(name, log_leader) || !nx_json_get_bool(c, "current", false) || nx_json_get_bool(c, "offline", false))
            continue;
        snprintf(subject, sizeof subject, "STREAM.LEADER.STEPDOWN.%s", n->spare);
        snprintf(body, sizeof body, "{\"placement\":{\"preferred\":\"%.*s\"}}", name.n > 128 ? 128 : (int)name.n, name.p);
        nx_fab_api(n->f, subject, nx_slice_cstr(body), &answer, NULL, NULL);
        nx_json_free(answer);
        return;
    }
}

static void look_after(nx_fab_ns *n, uint64_t now_ns)
{
    char subject[96];
    nx_json *log = NULL, *spare = NULL;
    uint8_t jitter;

    snprintf(subject, sizeof subject, "STREAM.INFO.%s", n->events);
    if (nx_fab_api_within(n->f, subject, NX_SLICE_NULL, LOOK_NS, &log, NULL, NULL) || !leader_of(log).n) {
        nx_json_free(log);
        return; /* the probe finds out too, and says so */
    }
    snprintf(subject, sizeof subject, "STREAM.INFO.%s", n->spare);
    if (!nx_fab_api_within(n->f, subject, NX_SLICE_NULL, LOOK_NS, &spare, NULL, NULL)) {
        const nx_json *state = nx_json_get(spare, "state");

        if (nx_json_get_u64(state, "messages", 0))
            move_all(n, nx_json_get_u64(state, "first_seq", 0));
        if (nx_slice_eq(leader_of(log), leader_of(spare)) && now_ns >= n->apart_due_ns) {
            nx_random(&jitter, sizeof jitter);
            n->apart_due_ns = now_ns + APART_NS + jitter * 10 * NX_NS_PER_MS;
            bring_apart(n, spare, leader_of(log));
        }
    }
    nx_json_free(log);
    nx_json_free(spare);
}

void nx_fab_spares(nx_fab *f, uint64_t now_ns)
{
    nx_fab_ns *n;

    for (unsigned i = 0; nx_fab_ns_at(f, i, &n); i++) {
        if (!n || !nx_fab_is_copied(n) || now_ns < n->spare_due_ns || atomic_load(&n->is_leaderless))
            continue;
        look_after(n, now_ns);
        n->spare_due_ns = nx_clock_ns() + LOOK_NS;
    }
}
