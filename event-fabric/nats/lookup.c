/* lookup.c: finding stored events and runs without an index: an id says when (its time) and where (its shard), a batched direct get reads
 * from there. Cost grows with what the shard took in around that time, not with the log. */
#include "fab_internal.h"
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#define LOOKUP_NS (5 * NX_NS_PER_S)
#define SKEW_BACK_NS (2 * NX_NS_PER_S)   /* a node's clock may be ahead of the server's by so much */
#define SKEW_AHEAD_NS (10 * NX_NS_PER_S) /* from acceptance to storage */
#define RUNS_QUIET_NS (60 * NX_NS_PER_S) /* no further record of an event for so long: there are no more */
#define NEWEST 100000                    /* messages in which a suffix is looked for, and an id whose time misleads */
#define BATCH_MAX 1000
#define PAGE_BYTES (4u << 20)
#define RECENT_MAX 10000
#define WINDOW_BYTES (128u << 20)

typedef struct stored {
    natsMsg *m;
    uint64_t seq, wall_ns;
    nx_slice subject;
} stored;

typedef struct query {
    const char *stream, *filter; /* filter NULL: all subjects */
    uint64_t seq, wall_ns;       /* where to begin: the sequence, or where 0 the time */
    unsigned batch;              /* size of the first page; later ones grow */
} query;

/* Less than 0: error; 0: go on; more: enough. A visitor that keeps the message sets s->m to NULL. */
typedef int (*visit_fn)(void *self, stored *s);

/* ---- scanning ----------------------------------------------------------------------------------------------------------------------------------- */

static bool read_stored(natsMsg *m, stored *ret)
{
    nx_slice text;

    ret->m = m;
    ret->wall_ns = 0;
    if (!nx_fab_msg_header(m, "Nats-Sequence", &text) || nx_slice_u64(text, UINT64_MAX, &ret->seq) || !nx_fab_msg_header(m, "Nats-Subject", &ret->subject))
        return false;
    return nx_fab_msg_header(m, "Nats-Time-Stamp", &text) && !nx_clock_parse_rfc3339(text, &ret->wall_ns);
}

static nx_err ask_page(nx_fab *f, const query *q, nx_fab_replies *ret, nx_error *reterr)
{
    char subject[192], body[NX_FAB_SUBJECT_BYTES + 256], from[64], only[NX_FAB_SUBJECT_BYTES + 32] = "";

    if (q->seq) {
        snprintf(from, sizeof from, "\"seq\":%llu", (unsigned long long)q->seq);
    } else {
        char text[NX_RFC3339_MAX + 1];

        text[nx_clock_rfc3339(q->wall_ns, 9, text)] = 0;
        snprintf(from, sizeof from, "\"start_time\":\"%s\"", text);
    }
    if (q->filter)
        snprintf(only, sizeof only, ",\"next_by_subj\":\"%s\"", q->filter);
    snprintf(subject, sizeof subject, "%s.DIRECT.GET.%s", f->js_prefix, q->stream);
    snprintf(body, sizeof body, "{%s%s,\"batch\":%u,\"max_bytes\":%u}", from, only, q->batch, PAGE_BYTES);
    return nx_fab_request(f, &(nx_fab_ask){.subject = subject, .body = nx_slice_cstr(body), .is_batch = true}, ret, reterr);
}

static nx_err scan(nx_fab *f, query q, visit_fn visit, void *self, nx_error *reterr)
{
    uint64_t end = nx_clock_ns() + LOOKUP_NS;
    bool is_last = false;

    while (!is_last) {
        nx_fab_replies got = {0};
        nx_err e = ask_page(f, &q, &got, reterr);
        int r = 0;

        if (e)
            return e;
        is_last = true;
        for (unsigned i = 0; i < got.n && r == 0; i++) {
            nx_slice left;
            stored s;

            if (read_stored(got.v[i], &s)) {
                q.seq = s.seq + 1;
                is_last = false;
                r = visit(self, &s);
                got.v[i] = s.m;
            } else if (nx_fab_msg_header(got.v[i], "Nats-Num-Pending", &left) && nx_slice_eq_cstr(left, "0")) {
                is_last = true;
            }
        }
        nx_fab_replies_done(&got);
        if (r)
            return r < 0 ? nx_error_set(reterr, r, "look-up: %s", nx_err_text(r)) : NX_OK;
        if (!is_last && nx_clock_ns() > end)
            return nx_error_set(reterr, NX_ETIMEOUT, "the look-up takes too long");
        q.batch = q.batch * 8 > BATCH_MAX ? BATCH_MAX : q.batch * 8;
    }
    return NX_OK;
}

/* ---- events ------------------------------------------------------------------------------------------------------------------------------------- */

static nx_err take_event(nx_fab_ns *n, const stored *s, nx_arena *a, nx_event *ret, nx_error *reterr)
{
    nx_event e;
    nx_err err = nx_fab_event_decode(n, s->m, s->subject, s->seq, s->wall_ns, a, &e, reterr);

    if (!err && nx_event_dup(&e, a, ret))
        err = nx_error_set(reterr, NX_ENOMEM, "out of memory");
    if (!err) {
        ret->ns = n->ns;
        ret->stream_seq = s->seq;
    }
    return err;
}

static nx_slice event_id_of(natsMsg *m)
{
    nx_slice id = NX_SLICE_NULL;

    if (!nx_fab_msg_header(m, "nx-event-id", &id))
        nx_fab_msg_header(m, "ce-id", &id);
    return id;
}

struct find_event {
    nx_fab_ns *n;
    const nx_id *id;
    uint64_t until_wall_ns;
    nx_arena *a;
    nx_event *ret;
    bool found;
};

static int visit_event(void *self, stored *s)
{
    struct find_event *w = self;
    nx_err e;

    if (s->wall_ns > w->until_wall_ns)
        return 1;
    if (!nx_slice_eq(event_id_of(s->m), nx_id_slice(w->id)))
        return 0;
    e = take_event(w->n, s, w->a, w->ret, NULL);
    w->found = !e;
    return e ? e : 1;
}

nx_err nx_fab_event_get_seq(nx_fab_ns *n, uint64_t seq, nx_arena *a, nx_event *ret, nx_error *reterr)
{
    char subject[192], body[64];
    nx_fab_replies got = {0};
    stored s;
    nx_err e;

    snprintf(subject, sizeof subject, "%s.DIRECT.GET.%s", n->f->js_prefix, n->events);
    snprintf(body, sizeof body, "{\"seq\":%llu}", (unsigned long long)seq);
    if (!seq)
        return nx_error_set(reterr, NX_ENOENT, "no event has sequence 0");
    e = nx_fab_request(n->f, &(nx_fab_ask){.subject = subject, .body = nx_slice_cstr(body)}, &got, reterr);
    if (e)
        return e;
    if (read_stored(got.v[0], &s))
        e = take_event(n, &s, a, ret, reterr);
    else
        e = nx_error_set(reterr, NX_ENOENT, "no event has sequence %llu (any more)", (unsigned long long)seq);
    nx_fab_replies_done(&got);
    return e;
}

static nx_err newest_from(nx_fab_ns *n, const char *stream, uint64_t *ret_seq, nx_error *reterr)
{
    nx_fab_stream_state st;
    nx_err e = nx_fab_stream_state_get(n->f, stream, &st, reterr);

    if (!e) {
        *ret_seq = st.last_seq > NEWEST ? st.last_seq - NEWEST + 1 : 1;
        if (*ret_seq < st.first_seq)
            *ret_seq = st.first_seq;
    }
    return e;
}

nx_err nx_fab_event_get(nx_fab_ns *n, const nx_id *id, nx_arena *a, nx_event *ret, nx_error *reterr)
{
    uint64_t seq, wall_ns = nx_id_time_ms(id) * NX_NS_PER_MS;
    struct find_event w = {.n = n, .id = id, .a = a, .ret = ret};
    char filter[128];
    nx_err e;

    if (nx_id_is_raw(id, &seq)) {
        e = nx_fab_event_get_seq(n, seq, a, ret, reterr);
        if (!e && strcmp(ret->event_id.s, id->s))
            e = NX_ENOENT; /* that sequence holds an event with an id of its own */
        return e == NX_ENOENT ? nx_error_set(reterr, e, "no event %s: unknown or expired", id->s) : e;
    }
    snprintf(filter, sizeof filter, "%s%02u.>", n->ev_prefix, nx_id_shard(id));
    /* Stored after it was accepted, by clocks that agree: the usual case, found within the first page. */
    w.until_wall_ns = wall_ns + SKEW_AHEAD_NS;
    e = scan(n->f, (query){.stream = n->events, .filter = filter, .wall_ns = wall_ns, .batch = 16}, visit_event, &w, reterr);
    if (!e && !w.found && wall_ns > SKEW_BACK_NS) {
        w.until_wall_ns = wall_ns;
        e = scan(n->f, (query){.stream = n->events, .filter = filter, .wall_ns = wall_ns - SKEW_BACK_NS, .batch = 64}, visit_event, &w, reterr);
    }
    if (!e && !w.found) { /* a clock was set: the log's times are not in order, but the event may be new */
        w.until_wall_ns = UINT64_MAX;
        e = newest_from(n, n->events, &seq, reterr);
        if (!e && seq)
            e = scan(n->f, (query){.stream = n->events, .filter = filter, .seq = seq, .batch = 256}, visit_event, &w, reterr);
    }
    if (!e && !w.found)
        e = nx_error_set(reterr, NX_ENOENT, "no event %s: unknown or expired", id->s);
    return e;
}

/* ---- runs --------------------------------------------------------------------------------------------------------------------------------------- */

static nx_err take_run(nx_fab_ns *n, const stored *s, nx_arena *a, nx_run *ret, nx_error *reterr)
{
    nx_slice data = nx_slice_make(natsMsg_GetData(s->m), (size_t)natsMsg_GetDataLength(s->m)), hex;
    nx_buf spilled = NX_BUF_INIT(256u << 20);
    nx_sha256 digest;
    nx_err e = NX_OK;

    if (nx_fab_msg_header(s->m, "nx-spill", &hex)) {
        e = nx_sha256_parse_hex(hex, &digest) ? NX_ECORRUPT : nx_fab_artifact_get(n, &digest, &spilled, reterr);
        data = nx_buf_view(&spilled);
    }
    if (!e) {
        data = nx_arena_dup(a, data);
        e = data.p ? nx_run_decode(data, a, ret, reterr) : nx_error_set(reterr, NX_ENOMEM, "out of memory");
    }
    nx_buf_done(&spilled);
    if (!e) {
        ret->record_seq = s->seq;
        ret->record_wall_ns = s->wall_ns;
    }
    return e;
}

static bool is_final(natsMsg *m)
{
    nx_slice v;

    return nx_fab_msg_header(m, "Nats-Msg-Id", &v) && nx_slice_ends(v, NX_SLICE("/final"));
}

struct collect_runs {
    nx_fab_ns *n;
    nx_arena *a;
    const char *header; /* which header is compared … */
    nx_slice id;        /* … with what */
    bool only_final, stop_at_final;
    int64_t generation; /* -1: any */
    bool stop_when_quiet;
    uint64_t seen_wall_ns;
    bool has_final;
    nx_run **v;
    unsigned n_v, cap;
};

static int visit_run(void *self, stored *s)
{
    struct collect_runs *w = self;
    bool final = is_final(s->m);
    nx_slice id;
    nx_run *run;
    nx_err e;

    if (w->stop_when_quiet && w->has_final && s->wall_ns > w->seen_wall_ns + RUNS_QUIET_NS)
        return 1;
    if (!nx_fab_msg_header(s->m, w->header, &id) || !nx_slice_eq(id, w->id) || (w->only_final && !final))
        return 0;
    run = nx_arena_alloc(w->a, sizeof *run);
    e = run ? take_run(w->n, s, w->a, run, NULL) : NX_ENOMEM;
    if (e)
        return e;
    if (w->generation >= 0 && run->generation != (unsigned)w->generation)
        return 0;
    if (w->n_v == w->cap) {
        unsigned cap = w->cap ? w->cap * 2 : 8;
        nx_run **v = realloc(w->v, cap * sizeof *v);

        if (!v)
            return NX_ENOMEM;
        w->v = v;
        w->cap = cap;
    }
    w->v[w->n_v++] = run;
    w->has_final |= final;
    if (s->wall_ns > w->seen_wall_ns)
        w->seen_wall_ns = s->wall_ns;
    return w->stop_at_final && final;
}

static nx_err scan_runs(struct collect_runs *w, const char *stream, const char *filter, uint64_t wall_ns, nx_error *reterr)
{
    w->seen_wall_ns = wall_ns;
    return scan(w->n->f, (query){.stream = stream, .filter = filter, .wall_ns = wall_ns > SKEW_BACK_NS ? wall_ns - SKEW_BACK_NS : 1, .batch = 64}, visit_run, w,
                reterr);
}

nx_err nx_fab_runs_of(nx_fab_ns *n, const nx_event *e, bool replays, nx_arena *a, nx_run **ret, unsigned *ret_n, nx_error *reterr)
{
    struct collect_runs w = {.n = n, .a = a, .header = "nx-event-id", .id = nx_id_slice(&e->event_id), .generation = -1, .stop_when_quiet = !replays};
    char filter[128];
    nx_run *out;
    nx_err err;

    snprintf(filter, sizeof filter, "nx.%s.%s.*.*.%02u", n->name, replays ? "replay" : "run", nx_id_shard(&e->event_id));
    err = scan_runs(&w, replays ? n->replays : n->runs, filter, e->wall_ns, reterr);
    if (!err) {
        out = nx_arena_alloc(a, (w.n_v ? w.n_v : 1) * sizeof *out);
        if (out) {
            for (unsigned i = 0; i < w.n_v; i++)
                out[i] = *w.v[i];
            *ret = out;
            *ret_n = w.n_v;
        } else {
            err = nx_error_set(reterr, NX_ENOMEM, "out of memory");
        }
    }
    free(w.v);
    return err;
}

nx_err nx_fab_run_final(nx_fab_ns *n, const nx_event *e, nx_slice function, unsigned generation, nx_arena *a, nx_run *ret, nx_error *reterr)
{
    struct collect_runs w = {.n = n, .a = a, .header = "nx-event-id", .id = nx_id_slice(&e->event_id), .generation = generation, .only_final = true, .stop_at_final = true};
    char filter[256];
    nx_err err;

    snprintf(filter, sizeof filter, "nx.%s.run.%.*s.*.%02u", n->name, NX_SLICE_FMT(function), nx_id_shard(&e->event_id));
    err = scan_runs(&w, n->runs, filter, e->wall_ns, reterr);
    if (!err && !w.n_v)
        err = nx_error_set(reterr, NX_ENOENT, "no final record of %.*s for event %s", NX_SLICE_FMT(function), e->event_id.s);
    if (!err)
        *ret = *w.v[0];
    free(w.v);
    return err;
}

static nx_err run_get_in(nx_fab_ns *n, const char *stream, const char *kind, const nx_id *run_id, nx_arena *a, nx_run *ret, nx_error *reterr)
{
    struct collect_runs w = {.n = n, .a = a, .header = "nx-run-id", .id = nx_id_slice(run_id), .generation = -1, .stop_at_final = true};
    char filter[128];
    nx_err e;

    snprintf(filter, sizeof filter, "nx.%s.%s.*.*.%02u", n->name, kind, nx_id_shard(run_id));
    e = scan_runs(&w, stream, filter, nx_id_time_ms(run_id) * NX_NS_PER_MS, reterr);
    if (!e && !w.n_v)
        e = nx_error_set(reterr, NX_ENOENT, "no run %s: unknown or expired", run_id->s);
    if (!e)
        *ret = *w.v[w.n_v - 1];
    free(w.v);
    return e;
}

nx_err nx_fab_run_get(nx_fab_ns *n, const nx_id *run_id, nx_arena *a, nx_run *ret, nx_error *reterr)
{
    nx_err e = run_get_in(n, n->runs, "run", run_id, a, ret, reterr);

    return e == NX_ENOENT ? run_get_in(n, n->replays, "replay", run_id, a, ret, reterr) : e;
}

/* ---- newest first --------------------------------------------------------------------------------------------------------------------------------- */

/* The newest `limit` messages of one window, as a ring: a window is read oldest first. */
struct ring {
    stored *v;
    unsigned limit, n, at; /* at: where the next goes */
    size_t bytes;
    uint64_t until_seq, until_wall_ns;
    bool (*accept)(const stored *s);
};

struct recent {
    nx_fab *f;
    const char *stream, *filter;
    uint64_t since_wall_ns, until_wall_ns;
    unsigned limit;
    bool (*accept)(const stored *s);             /* cheap; NULL: all */
    nx_err (*take)(void *self, const stored *s); /* newest first; NX_ECANCELED: enough */
    void *self;
};

static int visit_ring(void *self, stored *s)
{
    struct ring *r = self;
    stored *place = &r->v[r->at];

    if (s->seq > r->until_seq)
        return 1;
    if ((r->until_wall_ns && s->wall_ns > r->until_wall_ns) || (r->accept && !r->accept(s)))
        return 0;
    if (place->m) {
        r->bytes -= (size_t)natsMsg_GetDataLength(place->m);
        natsMsg_Destroy(place->m);
    }
    *place = *s;
    s->m = NULL;
    r->bytes += (size_t)natsMsg_GetDataLength(place->m);
    r->at = (r->at + 1) % r->limit;
    if (r->n < r->limit)
        r->n++;
    return r->bytes > WINDOW_BYTES ? NX_ELIMIT : 0;
}

/* Sequence where the time begins; `otherwise` where no time is given. */
static nx_err seq_at(nx_fab *f, const char *stream, uint64_t wall_ns, uint64_t otherwise, uint64_t *ret, nx_error *reterr)
{
    nx_fab_replies got = {0};
    stored s;
    nx_err e;

    *ret = otherwise;
    if (!wall_ns)
        return NX_OK;
    e = ask_page(f, &(query){.stream = stream, .wall_ns = wall_ns, .batch = 1}, &got, reterr);
    if (e)
        return e;
    *ret = read_stored(got.v[0], &s) ? s.seq : UINT64_MAX;
    nx_fab_replies_done(&got);
    return NX_OK;
}

/* Messages of [from, to] that are wanted, newest first. */
static nx_err window(const struct recent *w, uint64_t from, uint64_t to, nx_error *reterr)
{
    struct ring r = {.limit = w->limit, .until_seq = to, .until_wall_ns = w->until_wall_ns, .accept = w->accept};
    unsigned batch = to - from + 1 < BATCH_MAX ? (unsigned)(to - from + 1) : BATCH_MAX;
    nx_err e;

    r.v = calloc(w->limit, sizeof *r.v);
    if (!r.v)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    e = scan(w->f, (query){.stream = w->stream, .filter = w->filter, .seq = from, .batch = batch}, visit_ring, &r, reterr);
    for (unsigned i = 0; !e && i < r.n; i++)
        e = w->take(w->self, &r.v[(r.at + r.limit - 1 - i) % r.limit]);
    for (unsigned i = 0; i < r.limit; i++)
        if (r.v[i].m)
            natsMsg_Destroy(r.v[i].m);
    free(r.v);
    return e;
}

/* Windows back from the end, each four times as large: what is asked for is mostly in the first, and a rare kind costs few rounds. */
static nx_err recent(const struct recent *w, nx_error *reterr)
{
    uint64_t lo, hi, span = (uint64_t)w->limit * 2 + 64;
    nx_fab_stream_state st;
    nx_err e = nx_fab_stream_state_get(w->f, w->stream, &st, reterr);

    if (!e && st.messages)
        e = seq_at(w->f, w->stream, w->since_wall_ns, st.first_seq, &lo, reterr);
    if (e || !st.messages)
        return e;
    if (lo < st.first_seq)
        lo = st.first_seq;
    for (hi = st.last_seq; !e && lo <= hi; span *= 4) {
        uint64_t from = hi - lo >= span ? hi - span + 1 : lo;

        e = window(w, from, hi, reterr);
        if (from == lo)
            break;
        hi = from - 1;
    }
    return e == NX_ECANCELED ? NX_OK : e;
}

struct collect_events {
    nx_fab_ns *n;
    nx_arena *a;
    nx_slice type; /* empty: all */
    nx_event *v;
    unsigned n_v, limit;
};

static nx_err collect_event(void *self, const stored *s)
{
    struct collect_events *w = self;
    nx_event *e = &w->v[w->n_v];
    nx_err err = take_event(w->n, s, w->a, e, NULL);

    if (err == NX_ECORRUPT)
        return NX_OK; /* not ours: somebody wrote to our subjects */
    if (err)
        return err;
    if (w->type.n && !nx_event_type_matches(w->type, e->type))
        return NX_OK;
    return ++w->n_v == w->limit ? NX_ECANCELED : NX_OK;
}

static unsigned bounded(unsigned limit)
{
    return !limit ? 1 : limit > RECENT_MAX ? RECENT_MAX
                                           : limit;
}

nx_err nx_fab_events_recent(nx_fab_ns *n, const nx_fab_scan *s, nx_arena *a, nx_event **ret, unsigned *ret_n, nx_error *reterr)
{
    struct collect_events w = {.n = n, .a = a, .type = s->type, .limit = bounded(s->limit)};
    struct recent r = {.f = n->f, .stream = n->events, .since_wall_ns = s->since_wall_ns, .until_wall_ns = s->until_wall_ns, .limit = w.limit, .take = collect_event, .self = &w};
    char filter[NX_FAB_SUBJECT_BYTES];
    nx_err e;

    w.v = nx_arena_alloc(a, w.limit * sizeof *w.v);
    if (!w.v)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    /* Raw messages lie under their own subjects, so only a pattern that can't mean them may narrow what is read. */
    if (s->type.n && !nx_slice_starts(s->type, NX_SLICE("nats.")) && s->type.p[0] != '*' && s->type.p[0] != '>') {
        e = nx_event_type_pattern_check(s->type, reterr);
        if (!e)
            e = nx_fab_type_filter(n->ns, s->type, filter, sizeof filter);
        if (e)
            return e;
        r.filter = filter;
    }
    e = recent(&r, reterr);
    if (!e) {
        *ret = w.v;
        *ret_n = w.n_v;
    }
    return e;
}

struct collect_recent_runs {
    nx_fab_ns *n;
    nx_arena *a;
    const nx_fab_scan *s;
    nx_run *v;
    unsigned n_v, limit;
};

/* A record that was written after a redelivery may be the second final one of its run; the first counts. */
static bool is_later_final(nx_fab_ns *n, const nx_run *run)
{
    nx_arena a = NX_ARENA_INIT(64u << 20);
    nx_event e = {.event_id = run->event_id, .wall_ns = nx_id_time_ms(&run->run_id) * NX_NS_PER_MS};
    nx_run *first = nx_arena_alloc(&a, sizeof *first);
    bool is_later = first && !nx_fab_run_final(n, &e, run->function, run->generation, &a, first, NULL) && first->record_seq < run->record_seq;

    nx_arena_done(&a);
    return is_later;
}

static nx_err collect_run(void *self, const stored *s)
{
    struct collect_recent_runs *w = self;
    nx_run *run = &w->v[w->n_v];
    nx_err e = take_run(w->n, s, w->a, run, NULL);

    if (e == NX_ECORRUPT || e == NX_ENOENT)
        return NX_OK;
    if (e)
        return e;
    if (w->s->status >= 0 && (int)run->status != w->s->status)
        return NX_OK;
    if (run->is_final && !run->is_replay && run->delivery > 1 && is_later_final(w->n, run))
        return NX_OK;
    return ++w->n_v == w->limit ? NX_ECANCELED : NX_OK;
}

static bool accept_final(const stored *s)
{
    return is_final(s->m);
}

nx_err nx_fab_runs_recent(nx_fab_ns *n, const nx_fab_scan *s, nx_arena *a, nx_run **ret, unsigned *ret_n, nx_error *reterr)
{
    struct collect_recent_runs w = {.n = n, .a = a, .s = s, .limit = bounded(s->limit)};
    char filter[512];
    struct recent r = {.f = n->f, .stream = s->replays ? n->replays : n->runs, .filter = filter, .since_wall_ns = s->since_wall_ns, .until_wall_ns = s->until_wall_ns, .limit = w.limit, .accept = s->replays || s->all_attempts ? NULL : accept_final, .take = collect_run, .self = &w};
    nx_err e;

    if (s->function.n && !nx_fab_name_is_valid(s->function, 128))
        return nx_error_set(reterr, NX_EINVAL, "\"%.*s\" is not a function name", NX_SLICE_FMT(s->function));
    snprintf(filter, sizeof filter, "nx.%s.%s.%.*s.%s.*", n->name, s->replays ? "replay" : "run", s->function.n ? (int)s->function.n : 1,
             s->function.n ? s->function.p : "*", s->status >= 0 ? nx_run_status_name((nx_run_status)s->status) : "*");
    w.v = nx_arena_alloc(a, w.limit * sizeof *w.v);
    if (!w.v)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    e = recent(&r, reterr);
    if (!e) {
        *ret = w.v;
        *ret_n = w.n_v;
    }
    return e;
}

/* ---- short forms of ids ---------------------------------------------------------------------------------------------------------------------------- */

#define NAMED_MAX 5

struct suffix {
    nx_slice text;
    bool is_run;
    nx_id found[NAMED_MAX + 1];
    unsigned n;
};

static int visit_suffix(void *self, stored *s)
{
    struct suffix *w = self;
    nx_slice id = NX_SLICE_NULL;

    if (w->is_run)
        nx_fab_msg_header(s->m, "nx-run-id", &id);
    else
        id = event_id_of(s->m);
    if (id.n != NX_ID_LEN || !nx_slice_ieq(nx_slice_sub(id, id.n - w->text.n, w->text.n), w->text))
        return 0;
    for (unsigned i = 0; i < w->n; i++)
        if (nx_slice_eq(nx_id_slice(&w->found[i]), id))
            return 0; /* another attempt of the same run */
    if (!nx_id_parse(id, &w->found[w->n]))
        w->n++;
    return w->n > NAMED_MAX;
}

static bool is_suffix(nx_slice text)
{
    if (text.n < 4 || text.n >= NX_ID_LEN)
        return false;
    for (size_t i = 0; i < text.n; i++)
        if (!isalnum((unsigned char)text.p[i]))
            return false;
    return true;
}

static nx_err find_suffix(nx_fab_ns *n, struct suffix *w, nx_error *reterr)
{
    const char *stream = w->is_run ? n->runs : n->events;
    nx_id last = {.s = "00000000000000000000000000"};
    char filter[128];
    uint64_t from;
    nx_err e;

    last.s[NX_ID_LEN - 1] = (char)toupper((unsigned char)w->text.p[w->text.n - 1]); /* an id's last character is its shard */
    if (w->is_run)
        snprintf(filter, sizeof filter, "nx.%s.run.*.*.%02u", n->name, nx_id_shard(&last));
    else
        snprintf(filter, sizeof filter, "%s%02u.>", n->ev_prefix, nx_id_shard(&last));
    e = newest_from(n, stream, &from, reterr);
    if (e || !from)
        return e;
    return scan(n->f, (query){.stream = stream, .filter = filter, .seq = from, .batch = BATCH_MAX}, visit_suffix, w, reterr);
}

/* A raw id is its sequence in base 32, so a suffix fits one sequence among the newest 32^n. */
static nx_err find_raw_suffix(nx_fab_ns *n, struct suffix *w, nx_error *reterr)
{
    nx_arena a = NX_ARENA_INIT(64u << 20);
    nx_fab_stream_state st;
    nx_err e = nx_fab_stream_state_get(n->f, n->events, &st, reterr);
    nx_event *ev = nx_arena_alloc(&a, sizeof *ev);

    for (uint64_t seq = st.last_seq; !e && ev && seq && seq + NEWEST > st.last_seq && seq >= st.first_seq; seq--) {
        nx_id id = nx_raw_id(seq);

        if (!nx_slice_ieq(nx_slice_sub(nx_id_slice(&id), NX_ID_LEN - w->text.n, w->text.n), w->text))
            continue;
        if (!nx_fab_event_get_seq(n, seq, &a, ev, NULL) && !strcmp(ev->event_id.s, id.s) && w->n <= NAMED_MAX)
            w->found[w->n++] = id;
    }
    nx_arena_done(&a);
    return e;
}

static nx_err decide(const struct suffix *w, const char *what, nx_id *ret, nx_error *reterr)
{
    nx_buf names = NX_BUF_INIT(512);

    if (!w->n)
        return nx_error_set(reterr, NX_ENOENT, "no %s ends with \"%.*s\" (among the newest %d)", what, NX_SLICE_FMT(w->text), NEWEST);
    if (w->n == 1) {
        *ret = w->found[0];
        return NX_OK;
    }
    for (unsigned i = 0; i < w->n && i < NAMED_MAX; i++)
        nx_buf_printf(&names, "%s%s", i ? ", " : "", w->found[i].s);
    nx_error_set(reterr, NX_ECONFLICT, "several %ss end with \"%.*s\": %s%s", what, NX_SLICE_FMT(w->text), nx_buf_cstr(&names) ? names.p : "",
                 w->n > NAMED_MAX ? ", …" : "");
    nx_buf_done(&names);
    return NX_ECONFLICT;
}

nx_err nx_fab_event_resolve(nx_fab_ns *n, nx_slice text, nx_id *ret, nx_error *reterr)
{
    struct suffix w = {.text = text};
    nx_err e;

    if (nx_slice_eq_cstr(text, "@last")) {
        nx_arena a = NX_ARENA_INIT(64u << 20);
        nx_fab_scan s = {.limit = 1, .status = -1};
        nx_event *v = NULL;
        unsigned count = 0;

        e = nx_fab_events_recent(n, &s, &a, &v, &count, reterr);
        if (!e && !count)
            e = nx_error_set(reterr, NX_ENOENT, "there is no event yet");
        if (!e)
            *ret = v[0].event_id;
        nx_arena_done(&a);
        return e;
    }
    if (!nx_id_parse(text, ret))
        return NX_OK;
    if (!is_suffix(text))
        return nx_error_set(reterr, NX_EINVAL, "\"%.*s\" is not an event id, the end of one (4 characters or more) or @last", NX_SLICE_FMT(text));
    e = find_suffix(n, &w, reterr);
    if (!e)
        e = find_raw_suffix(n, &w, reterr);
    return e ? e : decide(&w, "event", ret, reterr);
}

nx_err nx_fab_run_resolve(nx_fab_ns *n, nx_slice text, nx_id *ret, nx_error *reterr)
{
    struct suffix w = {.text = text, .is_run = true};
    nx_err e;

    if (nx_slice_eq_cstr(text, "@last")) {
        nx_arena a = NX_ARENA_INIT(64u << 20);
        nx_fab_scan s = {.limit = 1, .status = -1};
        nx_run *v = NULL;
        unsigned count = 0;

        e = nx_fab_runs_recent(n, &s, &a, &v, &count, reterr);
        if (!e && !count)
            e = nx_error_set(reterr, NX_ENOENT, "there is no run yet");
        if (!e)
            *ret = v[0].run_id;
        nx_arena_done(&a);
        return e;
    }
    if (!nx_id_parse(text, ret))
        return NX_OK;
    if (!is_suffix(text))
        return nx_error_set(reterr, NX_EINVAL, "\"%.*s\" is not a run id, the end of one (4 characters or more) or @last", NX_SLICE_FMT(text));
    e = find_suffix(n, &w, reterr);
    return e ? e : decide(&w, "run", ret, reterr);
}
