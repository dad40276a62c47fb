/* timers.c: timers in NX_TIMERS_<ns>, by JetStream's message schedules (ADR-51).
 *
 * A waiting timer is a message with a schedule on  nx.<ns>.timer.at.<bucket>.<function>.<name…>; at its time the server replaces it by one on
 * nx.<ns>.timer.due.<bucket>.<function>.<name…>, which the function's consumer of due timers brings. The stream is a work queue: a due timer
 * goes when it is acknowledged, and a waiting one stays, because no consumer's filter means it. So the server holds a subject for a timer
 * only while it waits or is due. Discarding is off (schedules allow no "discard: new", and an old timer must never go for a new one).
 *
 * <name…>   of an event's timer: <event sequence>.<generation>.<attempt>; of a function's own: <key>.
 * <bucket>  the event's sequence / NX_FAB_TIMER_BUCKET in hex: one look-up says whether timers hold on to a part of the log. "own" for a key.
 *
 * The event itself is not in the timer: after a pause the server loads every timer that became due meanwhile at once. */
#include "nats/lookup.h"
#include <stdio.h>
#include <stdlib.h>

#define KEY_BYTES 64
#define NOTE_BYTES 128
#define LIST_MAX 10000
#define FLOOR_STEPS 256 /* look-ups in one round of trimming: a million events */

/* ---- names ---------------------------------------------------------------------------------------------------------------------------- */

static nx_err timer_subject(const nx_fab_ns *n, const char *state, const nx_fab_timer *t, char *out, size_t out_bytes, nx_error *reterr)
{
    int k;

    if (!nx_fab_name_is_valid(t->function, 128))
        return nx_error_set(reterr, NX_EINVAL, "\"%.*s\" is not a function name", NX_SLICE_FMT(t->function));
    if (t->note.n > NOTE_BYTES)
        return nx_error_set(reterr, NX_ELIMIT, "a timer's note of %zu bytes", t->note.n);
    if (t->key.n) {
        if (!nx_fab_name_is_valid(t->key, KEY_BYTES))
            return nx_error_set(reterr, NX_EINVAL, "\"%.*s\" is not a timer's key", NX_SLICE_FMT(t->key));
        k = snprintf(out, out_bytes, "nx.%s.timer.%s.own.%.*s.%.*s", n->name, state, NX_SLICE_FMT(t->function), NX_SLICE_FMT(t->key));
    } else {
        if (!t->event_seq || !t->event_id.s[0])
            return nx_error_set(reterr, NX_EINVAL, "a timer needs an event that is stored");
        k = snprintf(out, out_bytes, "nx.%s.timer.%s.%llx.%.*s.%llu.%u.%u", n->name, state, (unsigned long long)(t->event_seq / NX_FAB_TIMER_BUCKET),
                     NX_SLICE_FMT(t->function), (unsigned long long)t->event_seq, t->generation, t->attempt);
    }
    return (size_t)k < out_bytes ? NX_OK : nx_error_set(reterr, NX_ELIMIT, "the timer's name is too long");
}

/* Of a waiting or a due timer's message. */
static bool read_timer(natsMsg *m, nx_slice subject, nx_fab_timer *ret)
{
    nx_slice rest = subject, state, bucket, text;
    uint64_t number;

    *ret = (nx_fab_timer){0};
    for (int i = 0; i < 2; i++)
        (void)nx_slice_split(rest, '.', &rest);
    if (!nx_slice_eq_cstr(nx_slice_split(rest, '.', &rest), "timer"))
        return false;
    state = nx_slice_split(rest, '.', &rest);
    bucket = nx_slice_split(rest, '.', &rest);
    ret->function = nx_slice_split(rest, '.', &rest);
    if (!state.n || !ret->function.n || !nx_fab_msg_header(m, "nx-due", &text) || nx_slice_u64(text, UINT64_MAX, &ret->due_wall_ns))
        return false;
    (void)nx_fab_msg_header(m, "nx-reply", &ret->reply);
    (void)nx_fab_msg_header(m, "nx-note", &ret->note);
    if (nx_slice_eq_cstr(bucket, "own")) {
        ret->key = rest;
        return rest.n > 0;
    }
    if (nx_slice_u64(nx_slice_split(rest, '.', &rest), UINT64_MAX, &ret->event_seq) || nx_slice_u64(nx_slice_split(rest, '.', &rest), UINT32_MAX, &number))
        return false;
    ret->generation = (unsigned)number;
    if (nx_slice_u64(rest, UINT32_MAX, &number))
        return false;
    ret->attempt = (unsigned)number;
    return nx_fab_msg_header(m, "nx-event-id", &text) && !nx_id_parse(text, &ret->event_id);
}

nx_err nx_fab_timers_filter(const nx_fab_ns *n, nx_slice function, char *out, size_t out_bytes)
{
    if (!nx_fab_name_is_valid(function, 128))
        return NX_EINVAL;
    return (size_t)snprintf(out, out_bytes, "nx.%s.timer.due.*.%.*s.>", n->name, NX_SLICE_FMT(function)) < out_bytes ? NX_OK : NX_ELIMIT;
}

bool nx_fab_msg_timer(const nx_fab_msg *m, nx_fab_timer *ret)
{
    return nx_fab_msg_is_placed(m) ? nx_fab_placed_timer(m->nm, nx_slice_cstr(m->subject), ret)
                                   : read_timer(m->nm, nx_slice_cstr(m->subject), ret);
}

/* ---- the stream --------------------------------------------------------------------------------------------------------------------------- */

nx_err nx_fab_timers_ensure(nx_fab_ns *n, nx_error *reterr)
{
    static const char *const keep[] = {"subjects", "storage", "retention", "duplicate_window", NULL};
    char want[512];

    snprintf(want, sizeof want,
             "{\"name\":\"%s\",\"subjects\":[\"nx.%s.timer.>\"],\"storage\":\"file\",\"retention\":\"workqueue\",\"discard\":\"old\","
             "\"max_bytes\":-1,\"max_msgs\":-1,\"max_age\":0,\"max_consumers\":%d,\"num_replicas\":%u,\"duplicate_window\":%llu,"
             "\"allow_direct\":true,\"allow_rollup_hdrs\":true,\"allow_msg_schedules\":true}",
             n->timers, n->name, NX_FAB_STREAM_CONSUMERS_MAX, n->o.replicas ? n->o.replicas : 1, (unsigned long long)NX_NS_PER_S);
    return nx_fab_stream_ensure(n->f, n->timers, nx_slice_cstr(want), keep, reterr);
}

#define DURABLE "due-" /* of the consumer of a function's due timers; core names it so */

static nx_err add_functions(const nx_json *names, nx_arena *a, const char **v, unsigned max, unsigned *n)
{
    for (size_t i = 0; i < nx_json_len(names) && *n < max; i++) {
        nx_slice name = nx_json_str(nx_json_at(names, i));

        if (!nx_slice_starts(name, NX_SLICE(DURABLE)))
            continue;
        v[*n] = nx_arena_cstr(a, nx_slice_sub(name, strlen(DURABLE), name.n));
        if (!v[(*n)++])
            return NX_ENOMEM;
    }
    return NX_OK;
}

nx_err nx_fab_timers_functions(nx_fab_ns *n, nx_arena *a, const char ***ret, unsigned *ret_n, nx_error *reterr)
{
    const char **v = nx_arena_calloc(a, NX_FAB_STREAM_CONSUMERS_MAX, sizeof *v);
    char api[128], body[64];
    unsigned count = 0;
    uint64_t offset = 0, total = 1;
    nx_err e = v ? NX_OK : NX_ENOMEM;

    snprintf(api, sizeof api, "CONSUMER.NAMES.%s", n->timers);
    while (!e && offset < total && offset < NX_FAB_STREAM_CONSUMERS_MAX) {
        nx_json *j = NULL;
        size_t got = 0;

        snprintf(body, sizeof body, "{\"offset\":%llu}", (unsigned long long)offset);
        e = nx_fab_api(n->f, api, nx_slice_cstr(body), &j, NULL, reterr);
        if (!e) {
            got = nx_json_len(nx_json_get(j, "consumers"));
            e = add_functions(nx_json_get(j, "consumers"), a, v, NX_FAB_STREAM_CONSUMERS_MAX, &count);
            total = nx_json_get_u64(j, "total", 0);
        }
        nx_json_free(j);
        if (!got)
            break;
        offset += got;
    }
    if (e)
        return reterr && reterr->msg[0] ? e : nx_error_set(reterr, e, "the consumers of timers: %s", nx_err_text(e));
    *ret = v;
    *ret_n = count;
    return NX_OK;
}

/* ---- setting and ending ------------------------------------------------------------------------------------------------------------------- */

struct written {
    char subject[NX_FAB_SUBJECT_BYTES], target[NX_FAB_SUBJECT_BYTES], text[2 * NX_FAB_SUBJECT_BYTES];
    nx_fab_hdr hdr;
};

static nx_err write_timer(const nx_fab_ns *n, const nx_fab_timer *t, bool only_new, struct written *w, nx_error *reterr)
{
    char at[NX_RFC3339_MAX + 8] = "@at ", due[24];
    nx_err e = timer_subject(n, "at", t, w->subject, sizeof w->subject, reterr);

    if (!e)
        e = timer_subject(n, "due", t, w->target, sizeof w->target, reterr);
    if (e)
        return e;
    w->hdr = (nx_fab_hdr){.p = w->text, .cap = sizeof w->text};
    nx_fab_hdr_add(&w->hdr, "Nats-Schedule", nx_slice_make(at, 4 + nx_clock_rfc3339(t->due_wall_ns, 9, at + 4)));
    nx_fab_hdr_add(&w->hdr, "Nats-Schedule-Target", nx_slice_cstr(w->target));
    if (only_new)
        nx_fab_hdr_add(&w->hdr, "Nats-Expected-Last-Subject-Sequence", NX_SLICE("0"));
    if (!t->key.n)
        nx_fab_hdr_add(&w->hdr, "nx-event-id", nx_id_slice(&t->event_id));
    nx_fab_hdr_add(&w->hdr, "nx-reply", t->reply);
    nx_fab_hdr_add(&w->hdr, "nx-note", t->note);
    nx_fab_hdr_add(&w->hdr, "nx-due", nx_slice_make(due, (size_t)snprintf(due, sizeof due, "%llu", (unsigned long long)t->due_wall_ns)));
    return NX_OK;
}

nx_err nx_fab_timer_set(nx_fab_ns *n, const nx_fab_timer *t, nx_fab_pub *pub, nx_error *reterr)
{
    struct written w;
    nx_err e = write_timer(n, t, false, &w, reterr);

    return e ? e : nx_fab_publish(n->f, NULL, w.subject, &w.hdr, NX_SLICE_NULL, pub, reterr);
}

nx_err nx_fab_timer_set_sync(nx_fab_ns *n, const nx_fab_timer *t, bool only_new, nx_error *reterr)
{
    struct written w;
    uint64_t seq;
    nx_err e = write_timer(n, t, only_new, &w, reterr);

    return e ? e : nx_fab_publish_sync(n->f, w.subject, &w.hdr, NX_SLICE_NULL, &seq, reterr);
}

nx_err nx_fab_timer_cancel(nx_fab_ns *n, const nx_fab_timer *t, nx_error *reterr)
{
    char subject[NX_FAB_SUBJECT_BYTES];
    nx_err e = timer_subject(n, "at", t, subject, sizeof subject, reterr);

    return e ? e : nx_fab_stream_purge(n->f, n->timers, subject, 0, reterr);
}

void nx_fab_timers_forget(nx_fab_ns *n, nx_slice function)
{
    char filter[NX_FAB_SUBJECT_BYTES];
    nx_error err = NX_ERROR_INIT;

    snprintf(filter, sizeof filter, "nx.%s.timer.*.*.%.*s.>", n->name, NX_SLICE_FMT(function));
    if (nx_fab_stream_purge(n->f, n->timers, filter, 0, &err))
        nx_log(NX_LOG_WARN, "fabric.timers", "the timers of function %.*s, which is gone, were not removed: %s", NX_SLICE_FMT(function), err.msg);
}

/* ---- listing --------------------------------------------------------------------------------------------------------------------------------- */

struct listing {
    nx_arena *a;
    nx_fab_timer *v;
    unsigned n, limit, cap;
};

static int visit_timer(void *self, nx_fab_stored *s)
{
    struct listing *l = self;
    nx_fab_timer t;

    if (!read_timer(s->m, s->subject, &t))
        return 0;
    t.function = nx_arena_dup(l->a, t.function);
    t.key = nx_arena_dup(l->a, t.key);
    t.reply = nx_arena_dup(l->a, t.reply);
    t.note = nx_arena_dup(l->a, t.note);
    if (!t.function.p)
        return NX_ENOMEM;
    if (l->n == l->cap) {
        unsigned cap = l->cap ? l->cap * 2 : 64;
        nx_fab_timer *v = realloc(l->v, cap * sizeof *v);

        if (!v)
            return NX_ENOMEM;
        l->v = v;
        l->cap = cap;
    }
    l->v[l->n++] = t;
    return l->n == l->limit;
}

nx_err nx_fab_timers_list(nx_fab_ns *n, const nx_fab_timer_scan *s, nx_arena *a, nx_fab_timer **ret, unsigned *ret_n, nx_error *reterr)
{
    struct listing l = {.a = a, .limit = s->limit && s->limit < LIST_MAX ? s->limit : LIST_MAX};
    char filter[NX_FAB_SUBJECT_BYTES];
    nx_fab_timer *out = NULL;
    nx_err e;

    if (s->function.n && !nx_fab_name_is_valid(s->function, 128))
        return nx_error_set(reterr, NX_EINVAL, "\"%.*s\" is not a function name", NX_SLICE_FMT(s->function));
    snprintf(filter, sizeof filter, "nx.%s.timer.at.%s.%.*s.>", n->name, s->only_keyed ? "own" : "*", s->function.n ? (int)s->function.n : 1,
             s->function.n ? s->function.p : "*");
    e = nx_fab_visit(n->f, (nx_fab_query){.stream = n->timers, .filter = filter, .seq = 1, .batch = 256}, visit_timer, &l, reterr);
    if (!e) {
        out = nx_arena_alloc(a, (l.n ? l.n : 1) * sizeof *out);
        e = out ? NX_OK : nx_error_set(reterr, NX_ENOMEM, "out of memory");
    }
    if (!e) {
        if (l.n)
            memcpy(out, l.v, l.n * sizeof *out);
        *ret = out;
        *ret_n = l.n;
    }
    free(l.v);
    return e;
}

/* ---- upkeep (nx-fab-up) ------------------------------------------------------------------------------------------------------------------------ */

uint64_t nx_fab_timers_waiting(const nx_fab_ns *n)
{
    return atomic_load(&n->n_timers);
}

nx_err nx_fab_timers_count(nx_fab_ns *n)
{
    nx_fab_stream_state st;
    nx_err e = nx_fab_stream_state_get(n->f, n->timers, &st, NULL);

    if (!e)
        atomic_store(&n->n_timers, st.messages);
    return e;
}

/* Whether a timer, waiting or due, is on this bucket. Asked of the stream's leader, because a replica may not have the latest yet; and twice,
 * because at its time a waiting timer goes a moment before the due one is there. */
static nx_err bucket_is_used(nx_fab_ns *n, uint64_t bucket, bool *ret)
{
    char subject[128], body[128];
    nx_err e = NX_ENOENT;

    snprintf(subject, sizeof subject, "STREAM.MSG.GET.%s", n->timers);
    snprintf(body, sizeof body, "{\"seq\":1,\"next_by_subj\":\"nx.%s.timer.*.%llx.>\"}", n->name, (unsigned long long)bucket);
    for (int i = 0; i < 2 && e == NX_ENOENT; i++) {
        nx_json *j = NULL;

        e = nx_fab_api(n->f, subject, nx_slice_cstr(body), &j, NULL, NULL);
        nx_json_free(j);
    }
    *ret = e == NX_OK;
    return e == NX_ENOENT ? NX_OK : e;
}

nx_err nx_fab_timers_floor(nx_fab_ns *n, uint64_t first, uint64_t cut, uint64_t *ret)
{
    uint64_t bucket = first / NX_FAB_TIMER_BUCKET, last = (cut - 1) / NX_FAB_TIMER_BUCKET;
    bool is_used = false;
    nx_err e = nx_fab_timers_count(n); /* now: what was set since the last round counts */

    *ret = cut;
    if (e || cut <= first || !atomic_load(&n->n_timers))
        return e;
    for (unsigned i = 0; !e && !is_used && bucket <= last && i < FLOOR_STEPS; bucket++, i++)
        e = bucket_is_used(n, bucket, &is_used);
    if (is_used)
        bucket--;
    if (!e && bucket * NX_FAB_TIMER_BUCKET < cut) /* one that is used, or where the next round goes on */
        *ret = bucket * NX_FAB_TIMER_BUCKET > first ? bucket * NX_FAB_TIMER_BUCKET : first;
    return e;
}
