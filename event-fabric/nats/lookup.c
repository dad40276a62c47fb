/* lookup.c: finding stored events and runs without an index: an id says when (its time) and where (its shard), a batched direct get reads
 * from there. Cost grows with what the shard took in around that time, not with the log. */
#include "nats/lookup.h"

#define LOOKUP_NS (5 * NX_NS_PER_S)
#define SKEW_BACK_NS (2 * NX_NS_PER_S)   /* a node's clock may be ahead of the server's by so much */
#define SKEW_AHEAD_NS (10 * NX_NS_PER_S) /* from acceptance to storage */
#define RUNS_QUIET_NS (60 * NX_NS_PER_S) /* no further record of an event for so long: there are no more */
#define NAMED_NS (20 * NX_NS_PER_S)      /* for what is known to have been there, among its kind */
#define SINGLES 8                        /* first messages that are asked for one by one */
#define PAGE_BYTES (4u << 20)
#define BEHIND_NS (5 * (long)NX_NS_PER_MS) /* between two looks at a copy that is behind */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- scanning ----------------------------------------------------------------------------------------------------------------------------------- */

bool nx_fab_stored_read(natsMsg *m, nx_fab_stored *ret)
{
    nx_slice text;

    ret->m = m;
    ret->wall_ns = 0;
    if (!nx_fab_msg_header(m, "Nats-Sequence", &text) || nx_slice_u64(text, UINT64_MAX, &ret->seq) || !nx_fab_msg_header(m, "Nats-Subject", &ret->subject))
        return false;
    return nx_fab_msg_header(m, "Nats-Time-Stamp", &text) && !nx_clock_parse_rfc3339(text, &ret->wall_ns);
}

/* Where the query begins and what it selects: members of a request. */
static void where(const nx_fab_query *q, char *out, size_t out_bytes)
{
    char text[NX_RFC3339_MAX + 1];
    int k;

    if (q->seq) {
        k = snprintf(out, out_bytes, "\"seq\":%llu", (unsigned long long)q->seq);
    } else {
        text[nx_clock_rfc3339(q->wall_ns, 9, text)] = 0;
        k = snprintf(out, out_bytes, "\"start_time\":\"%s\"", text);
    }
    if (q->filter)
        snprintf(out + k, out_bytes - (size_t)k, ",\"next_by_subj\":\"%s\"", q->filter);
}

nx_err nx_fab_page_begin(nx_fab *f, const nx_fab_query *q, nx_fab_page_ask *p, nx_error *reterr)
{
    char from[NX_FAB_SUBJECT_BYTES + 96], page[64] = "";

    where(q, from, sizeof from);
    snprintf(p->subject, sizeof p->subject, "%s.DIRECT.GET.%s", f->js_prefix, q->stream);
    if (!q->singles)
        snprintf(page, sizeof page, ",\"batch\":%u,\"max_bytes\":%u", q->batch, PAGE_BYTES);
    snprintf(p->body, sizeof p->body, "{%s%s}", from, page);
    p->ask = (nx_fab_ask){.subject = p->subject, .body = nx_slice_cstr(p->body), .is_batch = !q->singles, .is_repeatable = true};
    return nx_fab_ask_begin(f, &p->ask, &p->pending, reterr);
}

nx_err nx_fab_page_end(nx_fab *f, nx_fab_page_ask *p, nx_fab_replies *ret, nx_error *reterr)
{
    return nx_fab_ask_end(f, &p->ask, &p->pending, ret, reterr);
}

nx_err nx_fab_page(nx_fab *f, const nx_fab_query *q, nx_fab_replies *ret, nx_error *reterr)
{
    nx_fab_page_ask p;
    nx_err e = nx_fab_page_begin(f, q, &p, reterr);

    return e ? e : nx_fab_page_end(f, &p, ret, reterr);
}

/* Whether the leader has no more than what was visited. A copy answers direct gets while it still catches up: what it has not is not yet missing. */
static nx_err is_all(nx_fab *f, const nx_fab_query *q, bool *ret, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(64u << 20);
    char from[NX_FAB_SUBJECT_BYTES + 96], body[sizeof from + 8];
    nx_fab_kept next;
    nx_err e;

    where(q, from, sizeof from);
    snprintf(body, sizeof body, "{%s}", from);
    e = nx_fab_leader_get(f, q->stream, body, &a, &next, reterr);
    *ret = e == NX_ENOENT;
    return *ret ? NX_OK : e;
}

nx_err nx_fab_visit(nx_fab *f, nx_fab_query q, nx_fab_visit_fn visit, void *self, nx_error *reterr)
{
    uint64_t end = nx_clock_ns() + (q.limit_ns ? q.limit_ns : LOOKUP_NS);
    bool is_last = false, is_behind = false;

    while (!is_last) {
        nx_fab_replies got = {0};
        nx_err e = nx_fab_page(f, &q, &got, reterr);
        int r = 0;

        if (e)
            return e;
        is_last = true;
        for (unsigned i = 0; i < got.n && r == 0; i++) {
            nx_slice left;
            nx_fab_stored s;

            if (nx_fab_stored_read(got.v[i], &s)) {
                q.seq = s.seq + 1;
                is_last = is_behind = false;
                r = visit(self, &s);
                got.v[i] = s.m;
            } else if (nx_fab_msg_header(got.v[i], "Nats-Num-Pending", &left) && nx_slice_eq_cstr(left, "0")) {
                is_last = true;
            }
        }
        nx_fab_replies_done(&got);
        if (r)
            return r < 0 ? nx_error_set(reterr, r, "look-up: %s", nx_err_text(r)) : NX_OK;
        if (is_last && q.is_exact) {
            e = is_all(f, &q, &is_last, reterr);
            if (e)
                return e;
            is_behind = !is_last;
        }
        if (!is_last && nx_clock_ns() > end)
            return is_behind ? nx_error_set(reterr, NX_EUNAVAIL, "a copy of the stream %s is behind its leader", q.stream)
                             : nx_error_set(reterr, NX_ETIMEOUT, "the look-up takes too long");
        if (is_behind)
            nanosleep(&(struct timespec){.tv_nsec = BEHIND_NS}, NULL);
        if (q.singles) {
            q.singles--;
            continue;
        }
        q.batch = q.batch * 8 > NX_FAB_BATCH_MAX ? NX_FAB_BATCH_MAX : q.batch * 8;
    }
    return NX_OK;
}

/* ---- events ------------------------------------------------------------------------------------------------------------------------------------- */

nx_err nx_fab_stored_event(nx_fab_ns *n, const nx_fab_stored *s, nx_arena *a, nx_event *ret, nx_error *reterr)
{
    nx_event e;
    nx_err err = nx_fab_is_placed_subject(n, s->subject) ? nx_error_set(reterr, NX_ECORRUPT, "message %llu is a place, not an event", (unsigned long long)s->seq)
                                                         : nx_fab_event_decode(n, s->m, s->subject, s->seq, s->wall_ns, a, &e, reterr);

    if (!err && nx_event_dup(&e, a, ret))
        err = nx_error_set(reterr, NX_ENOMEM, "out of memory");
    if (!err) {
        ret->ns = n->ns;
        ret->stream_seq = s->seq;
    }
    return err;
}

nx_slice nx_fab_stored_event_id(natsMsg *m)
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

static int visit_event(void *self, nx_fab_stored *s)
{
    struct find_event *w = self;
    nx_err e;

    if (s->wall_ns > w->until_wall_ns)
        return 1;
    if (!nx_slice_eq(nx_fab_stored_event_id(s->m), nx_id_slice(w->id)))
        return 0;
    e = nx_fab_stored_event(w->n, s, w->a, w->ret, NULL);
    w->found = !e;
    return e ? e : 1;
}

/* What to make of a copy that has no message of that sequence: NX_ENOENT, the leader has none either; NX_EUNAVAIL, the copy is behind. */
static nx_err missing(nx_fab_ns *n, const char *stream, uint64_t seq)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(64u << 20);
    nx_fab_kept there;
    char body[64];
    nx_err e = NX_ENOENT;

    snprintf(body, sizeof body, "{\"seq\":%llu}", (unsigned long long)seq);
    if (nx_fab_is_copied(n))
        e = nx_fab_leader_get(n->f, stream, body, &a, &there, NULL);
    return e ? e : NX_EUNAVAIL;
}

nx_err nx_fab_get_seq(nx_fab_ns *n, const char *stream, const char *what, uint64_t seq, nx_fab_replies *got, nx_fab_stored *ret, nx_error *reterr)
{
    char subject[192], body[64];
    nx_err e;

    snprintf(subject, sizeof subject, "%s.DIRECT.GET.%s", n->f->js_prefix, stream);
    snprintf(body, sizeof body, "{\"seq\":%llu}", (unsigned long long)seq);
    e = nx_fab_request(n->f, &(nx_fab_ask){.subject = subject, .body = nx_slice_cstr(body), .is_repeatable = true}, got, reterr);
    if (e || nx_fab_stored_read(got->v[0], ret))
        return e;
    nx_fab_replies_done(got);
    return nx_error_set(reterr, missing(n, stream, seq), "no %s has sequence %llu (any more)", what, (unsigned long long)seq);
}

nx_err nx_fab_event_get_seq(nx_fab_ns *n, uint64_t seq, nx_arena *a, nx_event *ret, nx_error *reterr)
{
    nx_fab_replies got = {0};
    nx_fab_stored s;
    nx_err e;

    if (!seq)
        return nx_error_set(reterr, NX_ENOENT, "no event has sequence 0");
    e = nx_fab_get_seq(n, n->events, "event", seq, &got, &s, reterr);
    if (e)
        return e;
    e = nx_fab_stored_event(n, &s, a, ret, reterr);
    nx_fab_replies_done(&got);
    return e;
}

nx_err nx_fab_newest_from(nx_fab_ns *n, const char *stream, uint64_t *ret_seq, nx_error *reterr)
{
    nx_fab_stream_state st;
    nx_err e = nx_fab_stream_state_get(n->f, stream, &st, reterr);

    if (!e) {
        *ret_seq = st.last_seq > NX_FAB_NEWEST ? st.last_seq - NX_FAB_NEWEST + 1 : 1;
        if (*ret_seq < st.first_seq)
            *ret_seq = st.first_seq;
    }
    return e;
}

/* One that waits in the spare log: as it will stand in the log, without a sequence yet. */
static int visit_spare_event(void *self, nx_fab_stored *s)
{
    struct find_event *w = self;
    char subject[NX_FAB_SUBJECT_BYTES];
    nx_fab_stored moved = *s;
    int r;

    if (!nx_fab_spare_subject(w->n, s->subject, subject, &moved.subject))
        return 0;
    moved.seq = 0;
    r = visit_event(w, &moved);
    s->m = moved.m;
    return r;
}

static nx_err get_spare(nx_fab_ns *n, struct find_event *w, nx_error *reterr)
{
    char filter[128];

    snprintf(filter, sizeof filter, "nx.%s.spare.%02u.>", n->name, nx_id_shard(w->id));
    w->until_wall_ns = UINT64_MAX;
    return nx_fab_visit(n->f, (nx_fab_query){.stream = n->spare, .filter = filter, .seq = 1, .batch = 256, .is_exact = true}, visit_spare_event, w, reterr);
}

/* One that a run or a schedule published: it has the time of its source's acceptance, or its tick's, and may be stored long after. */
static nx_err get_late(nx_fab_ns *n, struct find_event *w, const char *filter, uint64_t wall_ns, nx_error *reterr)
{
    nx_fab_narrowed types;
    nx_err e = nx_fab_narrow(n, n->events, filter, w->id, &types, reterr);

    w->until_wall_ns = UINT64_MAX;
    for (unsigned i = 0; !e && !w->found && i < types.n; i++) {
        e = nx_fab_visit(n->f, (nx_fab_query){.stream = n->events, .filter = types.v[i], .wall_ns = wall_ns, .batch = 256, .limit_ns = NAMED_NS}, visit_event, w, reterr);
        if (e == NX_ETIMEOUT) /* a busy log: what is left to read is too much */
            e = nx_error_set(reterr, NX_ENOENT, "no event %s within what was read of the log: unknown or expired", w->id->s);
    }
    return e;
}

static nx_err find_by_id(nx_fab_ns *n, const nx_id *id, nx_arena *a, nx_event *ret, nx_error *reterr)
{
    uint64_t seq, wall_ns = nx_id_time_ms(id) * NX_NS_PER_MS;
    struct find_event w = {.n = n, .id = id, .a = a, .ret = ret};
    char filter[128];
    nx_err e;

    if (nx_id_is_raw(id, &seq)) {
        e = nx_fab_event_get_seq(n, seq, a, ret, reterr);
        if (!e && strcmp(ret->event_id.s, id->s) != 0)
            e = NX_ENOENT; /* that sequence holds an event with an id of its own */
        return e == NX_ENOENT ? nx_error_set(reterr, e, "no event %s: unknown or expired", id->s) : e;
    }
    if (atomic_load(&n->is_leaderless) && !get_spare(n, &w, NULL) && w.found)
        return NX_OK; /* first: below, nobody would answer for seconds */
    snprintf(filter, sizeof filter, "%s%02u.>", n->ev_prefix, nx_id_shard(id));
    /* Stored after it was accepted, by clocks that agree: the usual case, found within the first page. */
    w.until_wall_ns = wall_ns + SKEW_AHEAD_NS;
    e = nx_fab_visit(n->f, (nx_fab_query){.stream = n->events, .filter = filter, .wall_ns = wall_ns, .singles = SINGLES, .batch = 64, .is_exact = nx_fab_is_copied(n)}, visit_event, &w, reterr);
    if (nx_fab_is_copied(n) && (e == NX_EUNAVAIL || (!e && !w.found)) && !get_spare(n, &w, NULL) && w.found)
        return NX_OK; /* one that is moved at this moment is found below */
    if (!e && !w.found && wall_ns > SKEW_BACK_NS) {
        w.until_wall_ns = wall_ns;
        e = nx_fab_visit(n->f, (nx_fab_query){.stream = n->events, .filter = filter, .wall_ns = wall_ns - SKEW_BACK_NS, .batch = 64}, visit_event, &w, reterr);
    }
    if (!e && !w.found) { /* a clock was set: the log's times are not in order, but the event may be new */
        w.until_wall_ns = UINT64_MAX;
        e = nx_fab_newest_from(n, n->events, &seq, reterr);
        if (!e && seq)
            e = nx_fab_visit(n->f, (nx_fab_query){.stream = n->events, .filter = filter, .seq = seq, .batch = 256, .is_exact = nx_fab_is_copied(n)}, visit_event, &w, reterr);
    }
    if (!e && !w.found && nx_id_may_be_late(id))
        e = get_late(n, &w, filter, wall_ns, reterr);
    if (!e && !w.found)
        e = nx_error_set(reterr, NX_ENOENT, "no event %s: unknown or expired", id->s);
    return e;
}

nx_err nx_fab_event_get(nx_fab_ns *n, const nx_id *id, nx_arena *a, nx_event *ret, nx_error *reterr)
{
    nx_id first;
    nx_err e = find_by_id(n, id, a, ret, reterr);

    if (e == NX_ENOENT && nx_fab_is_copied(n) && !nx_fab_spare_first_of(n, id, &first, NULL))
        e = find_by_id(n, &first, a, ret, reterr);
    return e;
}

/* ---- runs --------------------------------------------------------------------------------------------------------------------------------------- */

nx_err nx_fab_stored_run(nx_fab_ns *n, const nx_fab_stored *s, nx_arena *a, nx_run *ret, nx_error *reterr)
{
    nx_slice data = nx_slice_make(natsMsg_GetData(s->m), (size_t)natsMsg_GetDataLength(s->m)), hex;
    nx_buf spilled = NX_BUF_INIT(256u << 20);
    nx_sha256 digest;
    nx_err e = NX_OK;

    if (nx_fab_msg_header(s->m, "nx-spill", &hex)) {
        e = nx_sha256_parse_hex(hex, &digest) ? NX_ECORRUPT : nx_fab_obj_get(n, &n->spills, &digest, &spilled, reterr);
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

bool nx_fab_stored_is_final(natsMsg *m)
{
    nx_slice v;

    return nx_fab_msg_header(m, "nx-final", &v);
}

struct collect_runs {
    nx_fab_ns *n;
    nx_arena *a;
    const char *header; /* which header is compared … */
    nx_slice id;        /* … with what */
    bool only_final, stop_at_final;
    int64_t generation; /* -1: any */
    bool stop_when_quiet;
    uint64_t until_wall_ns; /* 0: no end */
    uint64_t seen_wall_ns;
    bool has_final;
    nx_fab_functions *expected; /* whose final record is still to come; NULL: not known */
    nx_run **v;
    unsigned n_v, cap;
};

static bool is_over(const struct collect_runs *w, uint64_t now_wall_ns)
{
    return w->stop_when_quiet && w->has_final && now_wall_ns > w->seen_wall_ns + RUNS_QUIET_NS;
}

static void cross_off(nx_fab_functions *f, nx_slice name)
{
    for (unsigned i = 0; f && i < f->n; i++)
        if (nx_slice_eq_cstr(name, f->v[i])) {
            memcpy(f->v[i], f->v[--f->n], sizeof f->v[i]);
            return;
        }
}

static int visit_run(void *self, nx_fab_stored *s)
{
    struct collect_runs *w = self;
    bool final = nx_fab_stored_is_final(s->m);
    nx_slice id;
    nx_run *run;
    nx_err e;

    if ((w->until_wall_ns && s->wall_ns > w->until_wall_ns) || is_over(w, s->wall_ns))
        return 1;
    if (!nx_fab_msg_header(s->m, w->header, &id) || !nx_slice_eq(id, w->id) || (w->only_final && !final))
        return 0;
    run = nx_arena_alloc(w->a, sizeof *run);
    e = run ? nx_fab_stored_run(w->n, s, w->a, run, NULL) : NX_ENOMEM;
    if (e == NX_ENOENT || e == NX_ECORRUPT)
        return NX_OK; /* its body, which lies elsewhere, went first, or a part of it */
    if (e)
        return e;
    if (w->generation >= 0 && run->generation != (unsigned)w->generation)
        return 0;
    if (w->n_v == w->cap) {
        unsigned cap = w->cap ? w->cap * 2 : 8;
        nx_run **v = realloc(w->v, cap * sizeof(nx_run *));

        if (!v)
            return NX_ENOMEM;
        w->v = v;
        w->cap = cap;
    }
    w->v[w->n_v++] = run;
    w->has_final |= final;
    if (final)
        cross_off(w->expected, run->function);
    if (s->wall_ns > w->seen_wall_ns)
        w->seen_wall_ns = s->wall_ns;
    return final && (w->stop_at_final || (w->expected && w->expected->n_all && !w->expected->n));
}

/* From the event's time on; where that finds nothing, also from a little before it. */
static nx_err scan_runs(struct collect_runs *w, const char *stream, const char *filter, uint64_t wall_ns, nx_error *reterr)
{
    nx_fab_query q = {.stream = stream, .filter = filter, .wall_ns = wall_ns ? wall_ns : 1, .singles = SINGLES, .batch = 64, .is_exact = nx_fab_is_copied(w->n)};
    nx_err e;

    w->seen_wall_ns = wall_ns;
    e = nx_fab_visit(w->n->f, q, visit_run, w, reterr);
    if (!e && !w->n_v && wall_ns > SKEW_BACK_NS) {
        w->until_wall_ns = wall_ns;
        q.singles = 0;
        q.wall_ns = wall_ns - SKEW_BACK_NS;
        e = nx_fab_visit(w->n->f, q, visit_run, w, reterr);
    }
    return e;
}

static nx_err in_one_array(const struct collect_runs *w, nx_run **ret, unsigned *ret_n, nx_error *reterr)
{
    nx_run *out = nx_arena_alloc(w->a, (w->n_v ? w->n_v : 1) * sizeof *out);

    if (!out)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    for (unsigned i = 0; i < w->n_v; i++)
        out[i] = *w->v[i];
    *ret = out;
    *ret_n = w->n_v;
    return NX_OK;
}

static nx_err runs_of(nx_fab_ns *n, const nx_event *e, bool replays, bool quick, nx_arena *a, nx_run **ret, unsigned *ret_n, nx_error *reterr)
{
    struct collect_runs w = {.n = n, .a = a, .header = "nx-event-id", .id = nx_id_slice(&e->event_id), .generation = -1, .stop_when_quiet = !replays};
    nx_fab_functions expected;
    char filter[128];
    nx_err err;

    if (quick) {
        nx_fab_functions_of(n, e, &expected);
        w.expected = &expected;
    }
    snprintf(filter, sizeof filter, "nx.%s.%s.*.*.%02u", n->name, replays ? "replay" : "run", nx_id_shard(&e->event_id));
    err = scan_runs(&w, replays ? n->replays : n->runs, filter, nx_event_start_wall_ns(e), reterr);
    if (!err)
        err = in_one_array(&w, ret, ret_n, reterr);
    free(w.v);
    return err;
}

nx_err nx_fab_runs_of(nx_fab_ns *n, const nx_event *e, bool replays, nx_arena *a, nx_run **ret, unsigned *ret_n, nx_error *reterr)
{
    return runs_of(n, e, replays, false, a, ret, ret_n, reterr);
}

nx_err nx_fab_runs_done(nx_fab_ns *n, const nx_event *e, nx_arena *a, nx_run **ret, unsigned *ret_n, nx_error *reterr)
{
    return runs_of(n, e, false, true, a, ret, ret_n, reterr);
}

static nx_err run_of(nx_fab_ns *n, const nx_event *e, nx_slice function, unsigned generation, bool only_final, nx_arena *a, nx_run *ret, nx_error *reterr)
{
    struct collect_runs w = {.n = n, .a = a, .header = "nx-event-id", .id = nx_id_slice(&e->event_id), .generation = generation, .only_final = only_final, .stop_at_final = true};
    char filter[256];
    nx_err err;

    if (!nx_fab_name_is_valid(function, 128))
        return nx_error_set(reterr, NX_EINVAL, "\"%.*s\" is not a function name", NX_SLICE_FMT(function));
    snprintf(filter, sizeof filter, "nx.%s.run.%.*s.*.%02u", n->name, NX_SLICE_FMT(function), nx_id_shard(&e->event_id));
    err = scan_runs(&w, n->runs, filter, nx_event_start_wall_ns(e), reterr);
    if (!err && !w.n_v)
        err = nx_error_set(reterr, NX_ENOENT, "no %srecord of %.*s for event %s", only_final ? "final " : "", NX_SLICE_FMT(function), e->event_id.s);
    if (!err)
        *ret = *w.v[w.n_v - 1];
    free(w.v);
    return err;
}

nx_err nx_fab_run_final(nx_fab_ns *n, const nx_event *e, nx_slice function, unsigned generation, nx_arena *a, nx_run *ret, nx_error *reterr)
{
    return run_of(n, e, function, generation, true, a, ret, reterr);
}

nx_err nx_fab_run_latest(nx_fab_ns *n, const nx_event *e, nx_slice function, unsigned generation, nx_arena *a, nx_run *ret, nx_error *reterr)
{
    return run_of(n, e, function, generation, false, a, ret, reterr);
}

/* Records that are stored long after the run's event was there (a backlog, retries): among those of the run's function. */
static nx_err scan_late_runs(struct collect_runs *w, const char *stream, const char *filter, uint64_t from_wall_ns, const nx_id *run_id, nx_error *reterr)
{
    nx_fab_query q = {.stream = stream, .wall_ns = from_wall_ns, .batch = 256, .limit_ns = NAMED_NS, .is_exact = nx_fab_is_copied(w->n)};
    nx_fab_narrowed functions;
    nx_err e = nx_fab_narrow(w->n, stream, filter, run_id, &functions, reterr);

    w->until_wall_ns = 0;
    for (unsigned i = 0; !e && !w->has_final && i < functions.n; i++) {
        q.filter = functions.v[i];
        e = nx_fab_visit(w->n->f, q, visit_run, w, reterr);
        if (e == NX_ETIMEOUT && w->n_v)
            e = NX_OK; /* the attempts so far */
        else if (e == NX_ETIMEOUT)
            e = nx_error_set(reterr, NX_ENOENT, "no run %s within what was read of the log: unknown or expired", run_id->s);
    }
    return e;
}

/* Records of a run id in one of the streams, up to the first final one. */
static nx_err runs_by_id(nx_fab_ns *n, bool replays, const nx_id *run_id, nx_arena *a, nx_run **ret, unsigned *ret_n, nx_error *reterr)
{
    struct collect_runs w = {.n = n, .a = a, .header = "nx-run-id", .id = nx_id_slice(run_id), .generation = -1, .stop_at_final = true};
    const char *stream = replays ? n->replays : n->runs;
    uint64_t wall_ns = nx_id_time_ms(run_id) * NX_NS_PER_MS, near_wall_ns = wall_ns + SKEW_AHEAD_NS;
    char filter[128];
    nx_err e;

    snprintf(filter, sizeof filter, "nx.%s.%s.*.*.%02u", n->name, replays ? "replay" : "run", nx_id_shard(run_id));
    w.until_wall_ns = near_wall_ns; /* soon after its event was there: the usual case */
    e = scan_runs(&w, stream, filter, wall_ns, reterr);
    if (!e && !w.has_final)
        e = scan_late_runs(&w, stream, filter, near_wall_ns + 1, run_id, reterr);
    if (!e && !w.n_v)
        e = nx_error_set(reterr, NX_ENOENT, "no run %s: unknown or expired", run_id->s);
    if (!e)
        e = in_one_array(&w, ret, ret_n, reterr);
    free(w.v);
    return e;
}

nx_err nx_fab_run_attempts(nx_fab_ns *n, const nx_id *run_id, nx_arena *a, nx_run **ret, unsigned *ret_n, nx_error *reterr)
{
    nx_err e = runs_by_id(n, false, run_id, a, ret, ret_n, reterr);

    return e == NX_ENOENT ? runs_by_id(n, true, run_id, a, ret, ret_n, reterr) : e;
}

nx_err nx_fab_run_get(nx_fab_ns *n, const nx_id *run_id, nx_arena *a, nx_run *ret, nx_error *reterr)
{
    nx_run *v;
    unsigned n_v;
    nx_err e = nx_fab_run_attempts(n, run_id, a, &v, &n_v, reterr);

    if (!e)
        *ret = v[n_v - 1];
    return e;
}
