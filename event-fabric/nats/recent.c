/* recent.c: the newest events and runs, and short forms of ids. Nothing is indexed: the log is read backwards in windows. */
#include "nats/lookup.h"

#define RECENT_MAX 10000
#define WINDOW_BYTES (128u << 20)
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- newest first --------------------------------------------------------------------------------------------------------------------------------- */

/* The newest `limit` messages of one window, as a ring: a window is read oldest first. */
struct ring {
    nx_fab_stored *v;
    unsigned limit, n, at; /* at: where the next goes */
    size_t bytes;
    uint64_t until_seq, until_wall_ns;
    bool (*accept)(const nx_fab_stored *s);
};

struct recent {
    nx_fab *f;
    const char *stream, *filter;
    uint64_t since_wall_ns, until_wall_ns;
    unsigned limit;
    bool (*accept)(const nx_fab_stored *s);             /* cheap; NULL: all */
    nx_err (*take)(void *self, const nx_fab_stored *s); /* newest first; NX_ECANCELED: enough */
    void *self;
};

static int visit_ring(void *self, nx_fab_stored *s)
{
    struct ring *r = self;
    nx_fab_stored *place = &r->v[r->at];

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

nx_err nx_fab_seq_at(nx_fab *f, const char *stream, uint64_t wall_ns, uint64_t otherwise, uint64_t *ret, nx_error *reterr)
{
    nx_fab_replies got = {0};
    nx_fab_stored s;
    nx_err e;

    *ret = otherwise;
    if (!wall_ns)
        return NX_OK;
    e = nx_fab_page(f, &(nx_fab_query){.stream = stream, .wall_ns = wall_ns, .batch = 1}, &got, reterr);
    if (e)
        return e;
    *ret = nx_fab_stored_read(got.v[0], &s) ? s.seq : UINT64_MAX;
    nx_fab_replies_done(&got);
    return NX_OK;
}

/* Messages of [from, to] that are wanted, newest first. */
static nx_err window(const struct recent *w, uint64_t from, uint64_t to, nx_error *reterr)
{
    struct ring r = {.limit = w->limit, .until_seq = to, .until_wall_ns = w->until_wall_ns, .accept = w->accept};
    unsigned batch = to - from + 1 < NX_FAB_BATCH_MAX ? (unsigned)(to - from + 1) : NX_FAB_BATCH_MAX;
    nx_err e;

    r.v = calloc(w->limit, sizeof *r.v);
    if (!r.v)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    e = nx_fab_visit(w->f, (nx_fab_query){.stream = w->stream, .filter = w->filter, .seq = from, .batch = batch}, visit_ring, &r, reterr);
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
        e = nx_fab_seq_at(w->f, w->stream, w->since_wall_ns, st.first_seq, &lo, reterr);
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

static nx_err collect_event(void *self, const nx_fab_stored *s)
{
    struct collect_events *w = self;
    nx_event *e = &w->v[w->n_v];
    nx_err err = nx_fab_stored_event(w->n, s, w->a, e, NULL);

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

bool nx_fab_run_is_later_final(nx_fab_ns *n, const nx_run *run)
{
    nx_arena a = NX_ARENA_INIT(64u << 20);
    nx_event e = {.event_id = run->event_id, .wall_ns = nx_id_time_ms(&run->run_id) * NX_NS_PER_MS};
    nx_run *first;
    bool is_later;

    /* Every delivery before this one left the record of an attempt: none of them was final. */
    if (!run->is_final || run->is_replay || run->delivery <= (run->attempt ? run->attempt : 1))
        return false;
    first = nx_arena_alloc(&a, sizeof *first);
    is_later = first && !nx_fab_run_final(n, &e, run->function, run->generation, &a, first, NULL) && first->record_seq < run->record_seq;
    nx_arena_done(&a);
    return is_later;
}

static nx_err collect_run(void *self, const nx_fab_stored *s)
{
    struct collect_recent_runs *w = self;
    nx_run *run = &w->v[w->n_v];
    nx_err e = nx_fab_stored_run(w->n, s, w->a, run, NULL);

    if (e == NX_ECORRUPT || e == NX_ENOENT)
        return NX_OK;
    if (e)
        return e;
    if (w->s->status >= 0 && (int)run->status != w->s->status)
        return NX_OK;
    if (w->s->version.n && !nx_slice_eq(run->version, w->s->version))
        return NX_OK;
    if (nx_fab_run_is_later_final(w->n, run))
        return NX_OK;
    return ++w->n_v == w->limit ? NX_ECANCELED : NX_OK;
}

static bool accept_final(const nx_fab_stored *s)
{
    return nx_fab_stored_is_final(s->m);
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
             s->function.n ? s->function.p : "*", s->status >= 0 && (s->replays || !s->all_attempts) ? nx_run_status_name((nx_run_status)s->status) : "*");
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

static int visit_suffix(void *self, nx_fab_stored *s)
{
    struct suffix *w = self;
    nx_slice id = NX_SLICE_NULL;

    if (w->is_run)
        nx_fab_msg_header(s->m, "nx-run-id", &id);
    else
        id = nx_fab_stored_event_id(s->m);
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
    e = nx_fab_newest_from(n, stream, &from, reterr);
    if (e || !from)
        return e;
    return nx_fab_visit(n->f, (nx_fab_query){.stream = stream, .filter = filter, .seq = from, .batch = NX_FAB_BATCH_MAX}, visit_suffix, w, reterr);
}

/* A raw id is its sequence in base 32, so a suffix fits one sequence among the newest 32^n. */
static nx_err find_raw_suffix(nx_fab_ns *n, struct suffix *w, nx_error *reterr)
{
    nx_arena a = NX_ARENA_INIT(64u << 20);
    nx_fab_stream_state st;
    nx_err e = nx_fab_stream_state_get(n->f, n->events, &st, reterr);
    nx_event *ev = nx_arena_alloc(&a, sizeof *ev);

    for (uint64_t seq = st.last_seq; !e && ev && seq && seq + NX_FAB_NEWEST > st.last_seq && seq >= st.first_seq; seq--) {
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
        return nx_error_set(reterr, NX_ENOENT, "no %s ends with \"%.*s\" (among the newest %d)", what, NX_SLICE_FMT(w->text), NX_FAB_NEWEST);
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

static nx_err newest(nx_fab_ns *n, bool is_run, nx_id *ret, nx_error *reterr)
{
    nx_arena a = NX_ARENA_INIT(64u << 20);
    nx_fab_scan s = {.limit = 1, .status = -1};
    nx_event *events = NULL;
    nx_run *runs = NULL;
    unsigned count = 0;
    nx_err e = is_run ? nx_fab_runs_recent(n, &s, &a, &runs, &count, reterr) : nx_fab_events_recent(n, &s, &a, &events, &count, reterr);

    if (!e && count)
        *ret = is_run ? runs[0].run_id : events[0].event_id;
    else if (!e)
        e = nx_error_set(reterr, NX_ENOENT, "there is no %s yet", is_run ? "run" : "event");
    nx_arena_done(&a);
    return e;
}

static nx_err resolve(nx_fab_ns *n, nx_slice text, bool is_run, nx_id *ret, nx_error *reterr)
{
    struct suffix w = {.text = text, .is_run = is_run};
    const char *what = is_run ? "run" : "event";
    nx_err e;

    if (nx_slice_eq_cstr(text, "@last"))
        return newest(n, is_run, ret, reterr);
    if (!nx_id_parse(text, ret))
        return NX_OK;
    if (!is_suffix(text))
        return nx_error_set(reterr, NX_EINVAL, "\"%.*s\" is not %s %s id, the end of one (4 characters or more) or @last", NX_SLICE_FMT(text), is_run ? "a" : "an", what);
    e = find_suffix(n, &w, reterr);
    if (!e && !is_run)
        e = find_raw_suffix(n, &w, reterr);
    return e ? e : decide(&w, what, ret, reterr);
}

nx_err nx_fab_event_resolve(nx_fab_ns *n, nx_slice text, nx_id *ret, nx_error *reterr) { return resolve(n, text, false, ret, reterr); }
nx_err nx_fab_run_resolve(nx_fab_ns *n, nx_slice text, nx_id *ret, nx_error *reterr) { return resolve(n, text, true, ret, reterr); }
