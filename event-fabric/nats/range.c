/* range.c: a stretch of the log in order. Runs come in pages of the runs stream; the events they belong to lie close together in the events
 * stream, so they are read as a few stretches of it, several requests under way at once. */
#include "nats/lookup.h"
#include "nx/fab_range.h"
#include <stdio.h>
#include <stdlib.h>

#define ARENA_BYTES (512u << 20) /* only a cap: spilled records lie in it, and NX_FAB_RANGE_BYTES ends a batch long before */
#define GAP_MAX 8                /* reading so many events that nobody asked for is cheaper than another request */
#define STRETCHES 16             /* requests under way */
#define REPLY_BYTES (4u << 20)

enum { RECORDS,
       EVENTS };

static natsMsg **kept(const nx_fab_batch *b, int which) { return b->fab_private[which]; }

static void release(nx_fab_batch *b)
{
    for (int which = RECORDS; which <= EVENTS; which++) {
        for (unsigned i = 0; i < b->fab_private_n[which]; i++)
            natsMsg_Destroy(kept(b, which)[i]);
        b->fab_private_n[which] = 0;
    }
}

void nx_fab_batch_done(nx_fab_batch *b)
{
    release(b);
    free(b->fab_private[RECORDS]);
    free(b->fab_private[EVENTS]);
    free(b->runs);
    free(b->events);
    nx_arena_done(&b->arena);
    *b = (nx_fab_batch){0};
}

static nx_err begin(nx_fab_batch *b, bool has_runs, uint64_t from, nx_error *reterr)
{
    release(b);
    if (!b->arena.max)
        nx_arena_init(&b->arena, ARENA_BYTES);
    nx_arena_reset(&b->arena);
    for (int which = RECORDS; which <= EVENTS; which++)
        if (!b->fab_private[which])
            b->fab_private[which] = calloc(NX_FAB_RANGE_MAX, sizeof(natsMsg *));
    if (!b->events)
        b->events = calloc(NX_FAB_RANGE_MAX, sizeof *b->events);
    if (!b->runs && has_runs)
        b->runs = calloc(NX_FAB_RANGE_MAX, sizeof *b->runs);
    b->n = 0;
    b->bytes = 0;
    b->is_end = false;
    b->next_seq = from;
    return b->events && b->fab_private[RECORDS] && b->fab_private[EVENTS] && (b->runs || !has_runs) ? NX_OK : nx_error_set(reterr, NX_ENOMEM, "out of memory");
}

static void keep(nx_fab_batch *b, int which, natsMsg **take_m)
{
    kept(b, which)[b->fab_private_n[which]++] = *take_m;
    b->bytes += (uint64_t)natsMsg_GetDataLength(*take_m);
    *take_m = NULL;
}

/* ---- bounds -------------------------------------------------------------------------------------------------------------------------------------- */

nx_err nx_fab_range_bounds(nx_fab_ns *n, bool is_events, uint64_t since_wall_ns, uint64_t until_wall_ns, uint64_t *ret_from, uint64_t *ret_to, nx_error *reterr)
{
    const char *stream = is_events ? n->events : n->runs;
    nx_fab_stream_state st;
    uint64_t from = 0, behind = 0;
    nx_err e = nx_fab_stream_state_get(n->f, stream, &st, reterr);

    if (!e)
        e = nx_fab_seq_at(n->f, stream, since_wall_ns, st.first_seq, &from, reterr);
    if (!e)
        e = nx_fab_seq_at(n->f, stream, until_wall_ns, UINT64_MAX, &behind, reterr);
    if (e)
        return e;
    *ret_from = from;
    *ret_to = behind == UINT64_MAX ? st.last_seq : behind - 1;
    return NX_OK;
}

/* ---- the events of a batch of runs --------------------------------------------------------------------------------------------------------------- */

typedef struct want {
    uint64_t seq;
    unsigned index;
} want;

typedef struct stretch { /* wants[at … end) lie close together */
    unsigned at, end;
    char body[96];
    nx_fab_ask ask;
    nx_fab_pending pending;
} stretch;

static int by_seq(const void *a, const void *b)
{
    const want *x = a, *y = b;

    return (x->seq > y->seq) - (x->seq < y->seq);
}

static unsigned stretch_end(const want *w, unsigned at, unsigned n)
{
    unsigned end = at + 1;

    while (end < n && w[end].seq - w[end - 1].seq <= GAP_MAX)
        end++;
    return end;
}

static nx_err stretch_ask(nx_fab_ns *n, const char *subject, const want *w, stretch *s, nx_error *reterr)
{
    uint64_t first = w[s->at].seq, count = w[s->end - 1].seq - first + 1;

    /* One message is asked for as one: a batch costs the server a look at what would come next. */
    if (count == 1)
        snprintf(s->body, sizeof s->body, "{\"seq\":%llu}", (unsigned long long)first);
    else
        snprintf(s->body, sizeof s->body, "{\"seq\":%llu,\"batch\":%llu,\"max_bytes\":%u}", (unsigned long long)first, (unsigned long long)count, REPLY_BYTES);
    s->ask = (nx_fab_ask){.subject = subject, .body = nx_slice_cstr(s->body), .is_batch = count > 1, .is_repeatable = true};
    return nx_fab_ask_begin(n->f, &s->ask, &s->pending, reterr);
}

static nx_err take_event(nx_fab_ns *n, nx_fab_batch *b, nx_fab_stored *st, const want *w, unsigned *at, unsigned end, nx_error *reterr)
{
    unsigned first = w[*at].index;
    nx_err e = nx_fab_event_decode(n, st->m, st->subject, st->seq, st->wall_ns, &b->arena, &b->events[first], reterr);

    if (e == NX_ECORRUPT) { /* not ours: as if it were not there */
        b->events[first].stream_seq = 0;
        e = NX_OK;
    }
    for (++*at; *at < end && w[*at].seq == st->seq; ++*at) /* several functions ran it */
        b->events[w[*at].index] = b->events[first];
    keep(b, EVENTS, &st->m);
    return e;
}

/* Takes an answer. *ret_at: the first want that is still open, because the answer was cut; s->end where nothing is. */
static nx_err stretch_take(nx_fab_ns *n, nx_fab_batch *b, const want *w, stretch *s, unsigned *ret_at, nx_error *reterr)
{
    nx_fab_replies got = {0};
    nx_err e = nx_fab_ask_end(n->f, &s->ask, &s->pending, &got, reterr);
    unsigned at = s->at;
    bool has_any = false;

    for (unsigned i = 0; !e && i < got.n; i++) {
        nx_fab_stored st;

        if (!nx_fab_stored_read(got.v[i], &st))
            continue;
        has_any = true;
        while (at < s->end && w[at].seq < st.seq)
            at++; /* gone */
        if (at == s->end || w[at].seq != st.seq)
            continue;
        got.v[i] = NULL;
        e = take_event(n, b, &st, w, &at, s->end, reterr);
    }
    nx_fab_replies_done(&got);
    *ret_at = has_any ? at : s->end;
    return e;
}

static nx_err read_events(nx_fab_ns *n, nx_fab_batch *b, nx_error *reterr)
{
    want w[NX_FAB_RANGE_MAX];
    stretch s[STRETCHES];
    char subject[192];
    unsigned at = 0, n_wants = 0;
    nx_err e = NX_OK;

    for (unsigned i = 0; i < b->n; i++) {
        b->events[i].stream_seq = 0;
        if (b->runs[i].event_seq)
            w[n_wants++] = (want){b->runs[i].event_seq, i};
    }
    qsort(w, n_wants, sizeof *w, by_seq);
    snprintf(subject, sizeof subject, "%s.DIRECT.GET.%s", n->f->js_prefix, n->events);
    while (!e && at < n_wants) {
        unsigned n_s = 0, open = n_wants;

        for (; !e && at < n_wants && n_s < STRETCHES; at = s[n_s++].end) {
            s[n_s].at = at;
            s[n_s].end = stretch_end(w, at, n_wants);
            e = stretch_ask(n, subject, w, &s[n_s], reterr);
            if (e)
                break;
        }
        for (unsigned i = 0; i < n_s; i++) {
            unsigned left;
            nx_err taken = stretch_take(n, b, w, &s[i], &left, e ? NULL : reterr);

            if (!e)
                e = taken;
            if (left < s[i].end && left < open)
                open = left; /* from here on once more; those behind it that have come are simply read again */
        }
        if (open < n_wants && open < at) {
            at = open;
            for (unsigned i = at; i < n_wants; i++)
                if (b->events[w[i].index].stream_seq) {
                    /* its message is kept already: asking again would keep it twice */
                    memmove(&w[i], &w[i + 1], (n_wants - i - 1) * sizeof *w);
                    n_wants--;
                    i--;
                }
        }
    }
    return e;
}

/* ---- runs ---------------------------------------------------------------------------------------------------------------------------------------- */

static bool is_wanted(nx_fab_ns *n, const nx_fab_range *r, const nx_run *run)
{
    if (!run->is_final || run->is_replay || (r->status >= 0 ? (int)run->status != r->status : nx_run_status_is_idle(run->status)))
        return false;
    if (r->type.n && !nx_event_type_matches(r->type, run->event_type))
        return false;
    /* Every delivery before this one left the record of an attempt: none of them was final. */
    return run->delivery <= (run->attempt ? run->attempt : 1) || !nx_fab_run_is_later_final(n, run);
}

static nx_err decode_record(nx_fab_ns *n, const nx_fab_stored *s, nx_fab_batch *b, nx_run *ret, nx_error *reterr)
{
    nx_slice hex;
    nx_err e;

    if (nx_fab_msg_header(s->m, "nx-spill", &hex))
        return nx_fab_stored_run(n, s, &b->arena, ret, reterr);
    e = nx_run_decode(nx_slice_make(natsMsg_GetData(s->m), (size_t)natsMsg_GetDataLength(s->m)), &b->arena, ret, reterr);
    ret->record_seq = s->seq;
    ret->record_wall_ns = s->wall_ns;
    return e;
}

/* A message of the page; *ret_is_over: it lies behind the end, or the batch is full. */
static nx_err take_record(nx_fab_ns *n, const nx_fab_range *r, nx_fab_stored *s, uint64_t to, nx_fab_batch *b, bool *ret_is_over, nx_error *reterr)
{
    nx_run *run = &b->runs[b->n];
    nx_err e = NX_OK;

    *ret_is_over = s->seq > to || b->bytes + b->arena.used >= NX_FAB_RANGE_BYTES;
    if (*ret_is_over) {
        b->is_end = s->seq > to;
        return NX_OK;
    }
    b->next_seq = s->seq + 1;
    if (nx_fab_stored_is_final(s->m))
        e = decode_record(n, s, b, run, reterr);
    else
        return NX_OK;
    if (e == NX_ECORRUPT || e == NX_ENOENT)
        return NX_OK; /* not a record of ours, or its spilled body is gone */
    if (!e && is_wanted(n, r, run)) {
        keep(b, RECORDS, &s->m);
        b->n++;
    }
    return e;
}

typedef nx_err (*take_fn)(nx_fab_ns *n, const nx_fab_range *r, nx_fab_stored *s, uint64_t to, nx_fab_batch *b, bool *ret_is_over, nx_error *reterr);

/* The messages of a page into the batch. Takes what is kept from `got`. */
static nx_err take_page(nx_fab_ns *n, const nx_fab_range *r, nx_fab_replies *got, uint64_t to, nx_fab_batch *b, take_fn take, nx_error *reterr)
{
    bool has_any = false, is_over = false;
    nx_err e = NX_OK;

    for (unsigned i = 0; !e && !is_over && i < got->n; i++) {
        nx_slice left;
        nx_fab_stored s;

        if (nx_fab_stored_read(got->v[i], &s)) {
            has_any = true;
            e = take(n, r, &s, to, b, &is_over, reterr);
            got->v[i] = s.m;
        } else if (nx_fab_msg_header(got->v[i], "Nats-Num-Pending", &left) && nx_slice_eq_cstr(left, "0")) {
            b->is_end = true;
        }
    }
    if (!has_any)
        b->is_end = true;
    if (b->next_seq > to)
        b->is_end = true;
    return e;
}

/* ---- a page ahead */

void nx_fab_ahead_done(nx_fab_ns *n, nx_fab_ahead *ahead)
{
    nx_fab_replies got = {0};

    if (!ahead->fab_private)
        return;
    nx_fab_page_end(n->f, ahead->fab_private, &got, NULL);
    nx_fab_replies_done(&got);
    free(ahead->fab_private);
    ahead->fab_private = NULL;
}

/* What is ahead, if it is that page and has come; else the page is asked for now. */
static nx_err get_page(nx_fab_ns *n, const nx_fab_query *q, nx_fab_ahead *ahead, nx_fab_replies *got, nx_error *reterr)
{
    nx_fab_page_ask *p = ahead && ahead->from == q->seq ? ahead->fab_private : NULL;
    nx_err e = p ? nx_fab_page_end(n->f, p, got, NULL) : NX_EUNAVAIL;

    if (p) {
        free(p);
        ahead->fab_private = NULL;
    } else if (ahead) {
        nx_fab_ahead_done(n, ahead);
    }
    return e ? nx_fab_page(n->f, q, got, reterr) : NX_OK;
}

/* Reading ahead is not necessary: where it can't begin, the page is asked for when it is wanted. */
static void ask_ahead(nx_fab_ns *n, nx_fab_query *q, uint64_t seq, nx_fab_ahead *ahead)
{
    nx_fab_page_ask *p = malloc(sizeof *p);

    q->seq = seq;
    if (p && nx_fab_page_begin(n->f, q, p, NULL)) {
        free(p);
        p = NULL;
    }
    *ahead = (nx_fab_ahead){p, seq};
}

/* As nx_fab_range_runs(), without the events. */
static nx_err read_records(nx_fab_ns *n, const nx_fab_range *r, uint64_t from, uint64_t to, nx_fab_ahead *ahead, nx_fab_batch *b, nx_error *reterr)
{
    char filter[512];
    nx_fab_query q = {.stream = n->runs, .filter = filter, .seq = from ? from : 1, .batch = NX_FAB_RANGE_MAX};
    nx_fab_replies got = {0};
    nx_err e = begin(b, true, q.seq, reterr);

    if (e)
        return e;
    if (r->function.n && !nx_fab_name_is_valid(r->function, 128))
        return nx_error_set(reterr, NX_EINVAL, "\"%.*s\" is not a function name", NX_SLICE_FMT(r->function));
    snprintf(filter, sizeof filter, "nx.%s.run.%.*s.%s.*", n->name, r->function.n ? (int)r->function.n : 1, r->function.n ? r->function.p : "*",
             r->status >= 0 ? nx_run_status_name((nx_run_status)r->status) : "*");
    if (from > to) {
        b->is_end = true;
        return NX_OK;
    }
    e = get_page(n, &q, ahead, &got, reterr);
    if (!e)
        e = take_page(n, r, &got, to, b, take_record, reterr);
    nx_fab_replies_done(&got);
    if (!e && ahead && !b->is_end)
        ask_ahead(n, &q, b->next_seq, ahead);
    return e;
}

nx_err nx_fab_range_records(nx_fab_ns *n, const nx_fab_range *r, uint64_t from, uint64_t to, nx_fab_batch *b, nx_error *reterr)
{
    return read_records(n, r, from, to, NULL, b, reterr);
}

nx_err nx_fab_range_runs(nx_fab_ns *n, const nx_fab_range *r, uint64_t from, uint64_t to, nx_fab_ahead *ahead, nx_fab_batch *b, nx_error *reterr)
{
    nx_err e = read_records(n, r, from, to, ahead, b, reterr);

    return e || !b->n ? e : read_events(n, b, reterr);
}

/* How many of the places, from the first on, lie close together and in ascending order: they are asked for at once. */
static unsigned close_together(const nx_fab_place *v, unsigned n)
{
    unsigned k = 1;

    while (k < n && v[k].record_seq > v[k - 1].record_seq && v[k].record_seq - v[k - 1].record_seq <= GAP_MAX && v[k].record_seq - v[0].record_seq < NX_FAB_RANGE_MAX)
        k++;
    return k;
}

/* Takes what an answer has of v[0 … n). *ret_at: the first of them that lies behind what was answered. */
static nx_err take_places(nx_fab_ns *n, const nx_fab_range *r, const nx_fab_place *v, unsigned count, nx_fab_replies *got, nx_fab_batch *b, unsigned *ret_at, nx_error *reterr)
{
    unsigned at = 0;
    nx_err e = NX_OK;

    for (unsigned i = 0; !e && i < got->n; i++) {
        bool is_over = false;
        nx_fab_stored s;

        if (!nx_fab_stored_read(got->v[i], &s))
            continue;
        while (at < count && v[at].record_seq < s.seq)
            at++; /* gone */
        if (at == count || v[at].record_seq != s.seq)
            continue;
        e = take_record(n, r, &s, UINT64_MAX, b, &is_over, reterr);
        got->v[i] = s.m;
        if (is_over)
            break;
        at++;
    }
    *ret_at = at;
    return e;
}

nx_err nx_fab_range_runs_at(nx_fab_ns *n, const nx_fab_range *r, const nx_fab_place *v, unsigned count, nx_fab_batch *b, unsigned *ret_taken, nx_error *reterr)
{
    nx_err e = begin(b, true, 0, reterr);
    unsigned i = 0;

    while (!e && i < count && b->bytes + b->arena.used < NX_FAB_RANGE_BYTES) {
        unsigned some = close_together(v + i, count - i), at = 0;
        nx_fab_replies got = {0};

        e = nx_fab_page(n->f, &(nx_fab_query){.stream = n->runs, .seq = v[i].record_seq, .batch = (unsigned)(v[i + some - 1].record_seq - v[i].record_seq) + 1}, &got, reterr);
        if (!e)
            e = take_places(n, r, v + i, some, &got, b, &at, reterr);
        nx_fab_replies_done(&got);
        i += at ? at : 1; /* nothing of them was answered: the first is gone */
    }
    *ret_taken = i;
    return e || !b->n ? e : read_events(n, b, reterr);
}

/* ---- events -------------------------------------------------------------------------------------------------------------------------------------- */

static nx_err take_plain_event(nx_fab_ns *n, const nx_fab_range *r, nx_fab_stored *s, uint64_t to, nx_fab_batch *b, bool *ret_is_over, nx_error *reterr)
{
    nx_event *event = &b->events[b->n];
    nx_err e;

    *ret_is_over = s->seq > to || b->bytes >= NX_FAB_RANGE_BYTES;
    if (*ret_is_over) {
        b->is_end = s->seq > to;
        return NX_OK;
    }
    b->next_seq = s->seq + 1;
    e = nx_fab_is_placed_subject(n, s->subject) ? NX_ECORRUPT : nx_fab_event_decode(n, s->m, s->subject, s->seq, s->wall_ns, &b->arena, event, reterr);
    if (e == NX_ECORRUPT)
        return NX_OK;
    if (!e && (!r->type.n || nx_event_type_matches(r->type, event->type))) {
        keep(b, EVENTS, &s->m);
        b->n++;
    }
    return e;
}

nx_err nx_fab_range_events(nx_fab_ns *n, const nx_fab_range *r, uint64_t from, uint64_t to, nx_fab_batch *b, nx_error *reterr)
{
    nx_fab_query q = {.stream = n->events, .seq = from ? from : 1, .batch = NX_FAB_RANGE_MAX};
    nx_fab_replies got = {0};
    nx_err e = begin(b, false, q.seq, reterr);

    if (!e && from > to)
        b->is_end = true;
    if (e || b->is_end)
        return e;
    e = nx_fab_page(n->f, &q, &got, reterr);
    if (!e)
        e = take_page(n, r, &got, to, b, take_plain_event, reterr);
    nx_fab_replies_done(&got);
    return e;
}
