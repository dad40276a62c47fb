/* spare.c: where events are kept while the log has no leader, in NX_SPARE_<ns>; only where streams have several copies.
 *
 * Servers need 4 to 9 s to notice that a stream's leader is gone and to elect another one; nothing shortens that. The spare stream has a leader of
 * its own, which is kept on another server than the log's. What it takes is moved into the log, oldest first, once that has a leader again: stored
 * there under its event's id before it is removed here, so that it is neither lost nor doubled, whoever moves it and however often. The log remembers
 * ids for its dedupe window; what was here for longer may have been moved by a node that died before it removed it, and is looked for in the log first.
 *
 * Refused meanwhile is what the spare can't keep its promise for: events with a partition key (later ones would overtake them), and those whose
 * caller gave a key against duplicates (only the log knows it). */
#include "nats/lookup.h"
#include <stdio.h>
#include <stdlib.h>

#define MOVE_BATCH 256
#define MOVE_AT_ONCE 32           /* under way together; NX_FAB_REQUESTS are for all */
#define MOVE_NS (2 * NX_NS_PER_S) /* of upkeep's time, in one round */
#define SKEW_NS (2 * NX_NS_PER_S) /* between the clocks of the servers that lead the two */
#define LOOK_NS (1 * NX_NS_PER_S)
#define APART_NS (2 * NX_NS_PER_S) /* between two tries to bring the leaders apart; a little different on each node */

nx_err nx_fab_spare_ensure(nx_fab_ns *n, nx_error *reterr)
{
    static const char *const keep[] = {"subjects", "storage", "retention", "max_age", "max_bytes", NULL};
    char want[512];

    if (!nx_fab_is_copied(n))
        return NX_OK;
    snprintf(want, sizeof want,
             "{\"name\":\"%s\",\"subjects\":[\"nx.%s.spare.>\"],\"storage\":\"file\",\"retention\":\"limits\",\"discard\":\"new\",\"max_bytes\":%lld,"
             "\"max_age\":0,\"num_replicas\":%u,\"duplicate_window\":%llu,\"allow_direct\":true}",
             n->spare, n->name, n->o.events_max_bytes ? (long long)n->o.events_max_bytes : -1LL, n->o.replicas, (unsigned long long)NX_NS_PER_S);
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
    if (atomic_exchange(&n->is_leaderless, false))
        nx_log(NX_LOG_INFO, "fabric.leader", "the event log of namespace %s has a leader again", n->name);
}

bool nx_fab_spare_takes(nx_fab_ns *n, const nx_event *e, nx_slice dedupe_key)
{
    return atomic_load(&n->is_leaderless) && !dedupe_key.n && !e->partition_key.n;
}

/* ---- moving ---------------------------------------------------------------------------------------------------------------------------------- */

/* A page of the spare log, and which of it the log has already. */
typedef struct page {
    nx_fab_replies got;
    bool is_moved[MOVE_BATCH + 1];
    unsigned at; /* the next one to be moved */
} page;

static int note_moved(void *self, nx_fab_stored *s)
{
    page *p = self;
    nx_slice id = nx_fab_stored_event_id(s->m);

    for (unsigned i = 0; i < p->got.n && i < NX_ARRAY_LEN(p->is_moved); i++)
        if (id.n && nx_slice_eq(id, nx_fab_stored_event_id(p->got.v[i])))
            p->is_moved[i] = true;
    return 0;
}

/* A log with too much since then to be read in a few seconds leaves the question open: then an event may be stored, and run, twice. */
static nx_err find_moved(nx_fab_ns *n, page *p)
{
    uint64_t window = n->o.dedupe_window_ns ? n->o.dedupe_window_ns : NX_FAB_DEDUPE_NS, now = nx_clock_wall_ns();
    nx_fab_stored first;
    nx_err e;

    memset(p->is_moved, 0, sizeof p->is_moved);
    if (!p->got.n || !nx_fab_stored_read(p->got.v[0], &first) || (now >= first.wall_ns && now - first.wall_ns < window / 2))
        return NX_OK;
    e = nx_fab_visit(n->f, (nx_fab_query){.stream = n->events, .wall_ns = first.wall_ns > SKEW_NS ? first.wall_ns - SKEW_NS : 0, .batch = MOVE_BATCH, .is_exact = true}, note_moved, p, NULL);
    if (e == NX_ETIMEOUT)
        nx_log(NX_LOG_WARN, "fabric.spare", "namespace %s: the log holds too much to tell whether old events of the spare log were moved before; some may be stored twice", n->name);
    return e == NX_ETIMEOUT ? NX_OK : e;
}

typedef struct move {
    bool is_moved; /* it was in the log */
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

static nx_err move_begin(nx_fab_ns *n, const nx_fab_stored *s, move *ret)
{
    size_t skip = (size_t)snprintf(ret->subject, sizeof ret->subject, "nx.%s.spare.", n->name);
    nx_fab_hdr h = {.p = ret->hdr_text, .cap = sizeof ret->hdr_text - 1};
    nx_err e = s->subject.n > skip ? copy_headers(s->m, &h) : NX_EINVAL;

    if (e)
        return e;
    snprintf(ret->subject, sizeof ret->subject, "%s%.*s", n->ev_prefix, (int)(s->subject.n - skip), s->subject.p + skip);
    ret->ask = (nx_fab_ask){.subject = ret->subject, .body = nx_slice_make(natsMsg_GetData(s->m), (size_t)natsMsg_GetDataLength(s->m))};
    if (!nx_fab_hdr_split(&h, &ret->ask.hdr_key, &ret->ask.hdr_value))
        return NX_EINVAL;
    return nx_fab_ask_begin(n->f, &ret->ask, &ret->pending, NULL);
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
    return ack.err;
}

static nx_err purge_below(nx_fab_ns *n, uint64_t seq)
{
    char subject[96], body[48];
    nx_json *answer = NULL;
    nx_err e;

    snprintf(subject, sizeof subject, "STREAM.PURGE.%s", n->spare);
    snprintf(body, sizeof body, "{\"seq\":%llu}", (unsigned long long)seq);
    e = nx_fab_api(n->f, subject, nx_slice_cstr(body), &answer, NULL, NULL);
    nx_json_free(answer);
    return e;
}

/* Up to MOVE_AT_ONCE of the page; *ret_seq: behind the last of them that is in the log. Messages come in their order, so nothing lies between two
 * of them. */
static nx_err move_some(nx_fab_ns *n, page *p, move *v, uint64_t *ret_seq)
{
    unsigned n_begun = 0;
    uint64_t seqs[MOVE_AT_ONCE];
    nx_err e = NX_OK;

    for (; !e && n_begun < MOVE_AT_ONCE && p->at < p->got.n; p->at++) {
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
    e = nx_fab_page(n->f, &(nx_fab_query){.stream = n->spare, .filter = filter, .seq = *seq, .batch = MOVE_BATCH}, &p->got, NULL);
    if (!e)
        e = find_moved(n, p);
    while (!e && p->at < p->got.n)
        e = move_some(n, p, v, &done);
    nx_fab_replies_done(&p->got);
    *ret_more = done > *seq;
    if (*ret_more) {
        nx_err purged = purge_below(n, done);

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
