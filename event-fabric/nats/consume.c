/* consume.c: messages of all consumers come to one inbox; how many may come is shared out here.
 *
 * Each consumer keeps one or two pull requests open at the server. What they may still bring ("granted") and what was brought and is not
 * finished ("inflight") is counted, and the sum over all consumers stays within max_inflight; only the first message of a consumer that
 * has none may exceed it, so that nobody starves. A consumer that uses up its grant gets a larger one, an idle one a small one. */
#include "fab_internal.h"
#include <stdio.h>
#include <stdlib.h>

#define PULL_EXPIRES_NS (30 * NX_NS_PER_S)
#define PULL_HEARTBEAT_NS (10 * NX_NS_PER_S)
#define PULL_SILENCE_NS (25 * NX_NS_PER_S) /* two heartbeats missed: the pull is lost */

/* ---- sending (cmu held) ------------------------------------------------------------------------------------------------------------------------ */

/* Without acknowledgement, and by nx-fab's next write when it runs: nobody waits for these. */
static bool say(nx_fab *f, const char *subject, const char *reply, const char *text)
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

static unsigned base_target(const nx_fab *f)
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

static void unstarve(nx_fab *f, nx_fab_consumer *c)
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
static void pull(nx_fab *f, nx_fab_consumer *c)
{
    unsigned used = c->granted + c->inflight, total = f->granted + f->inflight, want, room;
    char subject[NX_FAB_SUBJECT_BYTES], reply[64], body[160];

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
    if (!say(f, subject, reply, body))
        return; /* no connection: asked again when there is one */
    if (!c->granted)
        c->heard_ns = nx_clock_ns();
    c->granted += want;
    f->granted += want;
}

static void feed_starved(nx_fab *f)
{
    while (f->starved && f->granted + f->inflight < f->o.max_inflight) {
        nx_fab_consumer *c = f->starved;

        unstarve(f, c);
        pull(f, c);
        if (c->is_starved)
            return;
    }
}

static void ungrant(nx_fab *f, nx_fab_consumer *c, unsigned n)
{
    if (n > c->granted)
        n = c->granted;
    c->granted -= n;
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

static nx_err enlist(nx_fab *f, nx_fab_consumer *c)
{
    nx_fab_consumer **b = &f->by_name[bucket(nx_slice_cstr(c->stream_consumer))];
    unsigned slot = 0;

    if (find(f, nx_slice_cstr(c->stream_consumer)))
        return NX_EEXIST;
    while (slot < f->n_consumers && f->consumers[slot])
        slot++;
    if (slot == f->consumers_cap) {
        unsigned cap = slot ? slot * 2 : 16;
        nx_fab_consumer **v = cap <= NX_FAB_CONSUMERS_MAX ? realloc(f->consumers, cap * sizeof *v) : NULL;

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

static void delist(nx_fab *f, nx_fab_consumer *c)
{
    nx_fab_consumer **p = &f->by_name[bucket(nx_slice_cstr(c->stream_consumer))];

    while (*p != c)
        p = &(*p)->name_next;
    *p = c->name_next;
    f->consumers[c->slot] = NULL;
}

static void release(nx_fab_consumer *c)
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

static void unref(nx_fab_consumer *c)
{
    if (--c->refs == 0)
        release(c);
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
        ungrant(f, c, 1);
        c->heard_ns = m->alive_ns = nx_clock_ns();
        c->pending = m->meta.pending;
        if (!c->granted)
            c->was_busy = true;
    }
    if (!c || !c->is_open)
        answer = "-NAK"; /* for another node, at once */
    else if (!is_wanted(c, natsMsg_GetSubject(nm)))
        answer = "+ACK";
    else if (m->meta.delivered > 1 && is_in_hand(c, m->meta.stream_seq))
        answer = ""; /* the connection was away for longer than ack_wait; the one in hand will be acknowledged */
    if (answer) {
        if (answer[0])
            say(f, natsMsg_GetReply(nm), NULL, answer);
        if (c)
            pull(f, c);
        pthread_mutex_unlock(&f->cmu);
        natsMsg_Destroy(nm);
        free(m);
        return;
    }
    m->c = c;
    c->refs++;
    c->inflight++;
    f->inflight++;
    link_msg(c, m);
    if (c->was_busy && c->target < f->o.max_inflight) { /* it used up what it had */
        c->target = c->target * 2 > f->o.max_inflight ? f->o.max_inflight : c->target * 2;
        c->was_busy = false;
    }
    pull(f, c);
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
    if (nx_slice_eq_cstr(status, "100")) {
        pthread_mutex_unlock(&f->cmu);
        return; /* idle heartbeat */
    }
    /* The end of a pull: 408 expired, 409 (leadership change, consumer deleted, limits), 404, 503. What it had left is not granted any more. */
    if (nx_fab_msg_header(nm, "Nats-Pending-Messages", &left_text) && !nx_slice_u64(left_text, UINT32_MAX, &left))
        ungrant(f, c, (unsigned)left);
    else
        ungrant(f, c, c->granted);
    if (nx_slice_eq_cstr(status, "503") || nx_slice_eq_cstr(status, "404") ||
        (nx_slice_eq_cstr(status, "409") && !nx_slice_starts(text, NX_SLICE("Batch Completed")))) {
        c->needs_repair = c->is_open;
        f->needs_repair |= c->is_open;
        ungrant(f, c, c->granted);
    } else {
        c->target = base_target(f); /* an idle consumer holds little */
        c->was_busy = false;
        pull(f, c);
    }
    feed_starved(f);
    pthread_mutex_unlock(&f->cmu);
    if (f->needs_repair)
        nx_fab_upkeep_kick(f);
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

            if (!say(f, natsMsg_GetReply(m->nm), NULL, "+WPI"))
                break; /* no connection; tried again at the next tick */
            unlink_msg(c, m);
            m->alive_ns = now_ns;
            link_msg(c, m);
        }
        if (c->is_open && !c->needs_repair && c->granted && now_ns - c->heard_ns > PULL_SILENCE_NS) {
            ungrant(f, c, c->granted);
            c->gen++;
            pull(f, c);
        }
    }
    pthread_mutex_unlock(&f->cmu);
}

void nx_fab_consumers_lost(nx_fab *f)
{
    pthread_mutex_lock(&f->cmu);
    for (unsigned i = 0; i < f->n_consumers; i++)
        if (f->consumers[i]) {
            ungrant(f, f->consumers[i], f->consumers[i]->granted);
            f->consumers[i]->gen++;
            unstarve(f, f->consumers[i]);
        }
    pthread_mutex_unlock(&f->cmu);
}

/* ---- messages (any thread) ------------------------------------------------------------------------------------------------------------------------------ */

static void finish(nx_fab_msg *m, const char *answer)
{
    nx_fab_consumer *c = m->c;
    nx_fab *f = c->ns->f;

    pthread_mutex_lock(&f->cmu);
    if (answer)
        say(f, natsMsg_GetReply(m->nm), NULL, answer); /* lost with the connection: delivered again, and found done */
    unlink_msg(c, m);
    c->inflight--;
    f->inflight--;
    if (f->starved)
        feed_starved(f);
    pull(f, c);
    unref(c);
    pthread_mutex_unlock(&f->cmu);
    nx_fab_trash_add(f, m->nm);
    free(m);
}

void nx_fab_msg_ack(nx_fab_msg *m)
{
    finish(m, "");
}

void nx_fab_msg_nak(nx_fab_msg *m, uint64_t delay_ns)
{
    char text[64];

    if (delay_ns)
        snprintf(text, sizeof text, "-NAK {\"delay\":%llu}", (unsigned long long)delay_ns);
    finish(m, delay_ns ? text : "-NAK");
}

void nx_fab_msg_drop(nx_fab_msg *m)
{
    finish(m, NULL);
}

nx_err nx_fab_msg_event(nx_fab_msg *m, nx_arena *a, nx_event *ret, nx_error *reterr)
{
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

/* ---- open and close (callers' threads) ------------------------------------------------------------------------------------------------------------------- */

static nx_slice *copy_slices(const nx_slice *v, unsigned n)
{
    nx_slice *to = calloc(n ? n : 1, sizeof *to);

    for (unsigned i = 0; to && i < n; i++) {
        to[i] = nx_slice_make(nx_slice_strdup(v[i]), v[i].n);
        if (!to[i].p) {
            while (i--)
                free((void *)to[i].p);
            free(to);
            return NULL;
        }
    }
    return to;
}

static nx_err make_filters(nx_fab_consumer *c, char ***ret, unsigned *ret_n, nx_error *reterr)
{
    unsigned n = 0, max = c->n_types + c->n_subjects;
    char **v = calloc(max ? max : 1, sizeof *v);
    char text[NX_FAB_SUBJECT_BYTES];
    nx_err e = v ? NX_OK : NX_ENOMEM;

    for (unsigned i = 0; !e && i < c->n_types; i++) {
        e = nx_event_type_pattern_check(c->types[i], reterr);
        if (!e)
            e = nx_fab_type_filter(c->ns->ns, c->types[i], text, sizeof text);
        if (!e && !(v[n++] = strdup(text)))
            e = NX_ENOMEM;
    }
    for (unsigned i = 0; !e && i < c->n_subjects; i++) {
        if (!nx_fab_subject_is_valid(c->subjects[i], true))
            e = nx_error_set(reterr, NX_EINVAL, "\"%.*s\" is not a NATS subject", NX_SLICE_FMT(c->subjects[i]));
        else if (!(v[n++] = nx_slice_strdup(c->subjects[i])))
            e = NX_ENOMEM;
    }
    if (!e && !n)
        e = nx_error_set(reterr, NX_EINVAL, "a consumer needs event types or subjects");
    if (!e)
        n = nx_fab_filters_reduce(v, n, &c->is_loose);
    *ret = v;
    *ret_n = n;
    return e;
}

static nx_err make_config(nx_fab_consumer *c, nx_error *reterr)
{
    nx_buf text = NX_BUF_INIT(1 << 20);
    nx_jw w = NX_JW_INIT(&text);
    char **filters = NULL;
    unsigned n = 0;
    size_t bytes;
    nx_err e = make_filters(c, &filters, &n, reterr);

    nx_jw_object(&w);
    nx_jw_kcstr(&w, "durable_name", c->o.durable);
    nx_jw_kcstr(&w, "name", c->o.durable);
    nx_jw_kcstr(&w, "deliver_policy", c->o.from_start ? "all" : "new");
    nx_jw_kcstr(&w, "ack_policy", "explicit");
    nx_jw_ku64(&w, "ack_wait", c->o.ack_wait_ns);
    nx_jw_key(&w, "max_deliver");
    nx_jw_i64(&w, -1);
    nx_jw_ku64(&w, "max_ack_pending", 10000); /* all nodes together, and what was put off */
    nx_jw_ku64(&w, "max_waiting", 512);
    nx_jw_kcstr(&w, "replay_policy", "instant");
    nx_jw_kcstr(&w, "filter_subject", ""); /* the server moves a single one there; both would be refused */
    nx_jw_key(&w, "filter_subjects");
    nx_jw_array(&w);
    for (unsigned i = 0; !e && i < n; i++)
        nx_jw_cstr(&w, filters[i]);
    nx_jw_array_end(&w);
    nx_jw_object_end(&w);
    for (unsigned i = 0; i < n; i++)
        free(filters[i]);
    free(filters);
    if (!e)
        e = nx_jw_err(&w) || !nx_buf_cstr(&text) ? NX_ENOMEM : NX_OK;
    if (!e)
        nx_buf_take(&text, &c->config_json, &bytes);
    nx_buf_done(&text);
    return e;
}

/* Makes the durable consumer, or brings an existing one up to date. Where it starts can't be changed, and need not be: it has its place.
 * ret_is_new: it was not there. */
static nx_err ensure(nx_fab *f, nx_fab_consumer *c, nx_error *reterr)
{
    nx_buf body = NX_BUF_INIT(1 << 20), config = NX_BUF_INIT(1 << 20);
    char subject[NX_FAB_SUBJECT_BYTES];
    nx_json *info = NULL, *answer = NULL;
    nx_err e;

    snprintf(subject, sizeof subject, "CONSUMER.INFO.%s", c->stream_consumer);
    e = nx_fab_api(f, subject, NX_SLICE_NULL, &info, NULL, reterr);
    if (!e) {
        e = nx_fab_json_merge(nx_json_get(info, "config"), nx_slice_cstr(c->config_json),
                              (const char *const[]){"deliver_policy", "opt_start_seq", "opt_start_time", NULL}, &config, NULL, reterr);
    } else if (e == NX_ENOENT) {
        e = nx_buf_append_cstr(&config, c->config_json);
    }
    nx_json_free(info);
    if (!e)
        e = nx_buf_printf(&body, "{\"stream_name\":\"%s\",\"config\":", c->ns->events);
    if (!e)
        e = nx_buf_append_slice(&body, nx_buf_view(&config));
    if (!e)
        e = nx_buf_append_char(&body, '}');
    if (!e) {
        snprintf(subject, sizeof subject, "CONSUMER.DURABLE.CREATE.%s", c->stream_consumer);
        e = nx_fab_api(f, subject, nx_buf_view(&body), &answer, NULL, reterr);
    }
    if (!e) {
        pthread_mutex_lock(&f->cmu);
        c->pending = nx_json_get_u64(answer, "num_pending", 0);
        pthread_mutex_unlock(&f->cmu);
    }
    nx_json_free(answer);
    nx_buf_done(&config);
    nx_buf_done(&body);
    return e;
}

static nx_err prepare(nx_fab_ns *n, const nx_fab_consumer_options *o, nx_fab_consumer *c, nx_error *reterr)
{
    if (!o->on_msg || !nx_fab_name_is_valid(nx_slice_cstr(o->durable), 90))
        return nx_error_set(reterr, NX_EINVAL, "\"%s\" is not a consumer name (letters, digits, - and _, at most 90)", o->durable ? o->durable : "");
    c->ns = n;
    c->o = *o;
    c->refs = 1;
    if (!c->o.ack_wait_ns)
        c->o.ack_wait_ns = 4 * NX_NS_PER_S;
    snprintf(c->stream_consumer, sizeof c->stream_consumer, "%s.%s", n->events, o->durable);
    c->o.durable = strchr(c->stream_consumer, '.') + 1;
    c->types = copy_slices(o->types, o->n_types);
    c->n_types = c->types ? o->n_types : 0;
    c->subjects = copy_slices(o->subjects, o->n_subjects);
    c->n_subjects = c->subjects ? o->n_subjects : 0;
    c->o.types = NULL;
    c->o.subjects = NULL;
    if (!c->types || !c->subjects)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    return make_config(c, reterr);
}

nx_err nx_fab_consumer_open(nx_fab_ns *n, const nx_fab_consumer_options *o, nx_fab_consumer **ret, nx_error *reterr)
{
    nx_fab_consumer *c = calloc(1, sizeof *c);
    nx_fab *f = n->f;
    nx_err e;

    if (!c)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    e = prepare(n, o, c, reterr);
    if (!e)
        e = ensure(f, c, reterr);
    if (!e) {
        pthread_mutex_lock(&f->cmu);
        e = enlist(f, c);
        if (!e) {
            f->n_open++;
            c->is_open = true;
            c->gen = f->next_gen += 1000000; /* what still comes for the slot's last consumer is not for this one */
            c->target = base_target(f);
            pull(f, c);
        }
        pthread_mutex_unlock(&f->cmu);
        if (e)
            nx_error_set(reterr, e, "consumer %s: %s", c->stream_consumer, e == NX_EEXIST ? "open already" : nx_err_text(e));
    }
    if (e) {
        release(c);
        return e;
    }
    *ret = c;
    return NX_OK;
}

void nx_fab_consumer_close(nx_fab_consumer *c, bool remove)
{
    nx_fab *f;
    char subject[NX_FAB_SUBJECT_BYTES];
    nx_json *answer = NULL;

    if (!c)
        return;
    f = c->ns->f;
    pthread_mutex_lock(&f->cmu);
    c->is_open = false;
    f->n_open--;
    unstarve(f, c);
    ungrant(f, c, c->granted); /* what the server still sends goes back as -NAK */
    f->callback_waiters++;
    while (f->in_callback == c || c->is_in_repair)
        pthread_cond_wait(&f->callback_cv, &f->cmu);
    f->callback_waiters--;
    delist(f, c);
    feed_starved(f);
    pthread_mutex_unlock(&f->cmu);
    if (remove) {
        snprintf(subject, sizeof subject, "CONSUMER.DELETE.%s", c->stream_consumer);
        nx_fab_api(f, subject, NX_SLICE_NULL, &answer, NULL, NULL);
        nx_json_free(answer);
    }
    pthread_mutex_lock(&f->cmu);
    unref(c);
    pthread_mutex_unlock(&f->cmu);
}

void nx_fab_consumer_depth(nx_fab_consumer *c, uint64_t *ret_pending, uint64_t *ret_inflight)
{
    nx_fab *f = c->ns->f;

    pthread_mutex_lock(&f->cmu);
    *ret_pending = c->pending;
    *ret_inflight = c->inflight;
    pthread_mutex_unlock(&f->cmu);
}

/* ---- repair (nx-fab-up) -------------------------------------------------------------------------------------------------------------------------------------- */

void nx_fab_consumers_resume(nx_fab *f)
{
    pthread_mutex_lock(&f->cmu);
    for (unsigned i = 0; i < f->n_consumers; i++)
        if (f->consumers[i])
            pull(f, f->consumers[i]);
    pthread_mutex_unlock(&f->cmu);
}

void nx_fab_consumers_repair(nx_fab *f)
{
    pthread_mutex_lock(&f->cmu);
    if (!f->needs_repair) {
        pthread_mutex_unlock(&f->cmu);
        return;
    }
    f->needs_repair = false;
    for (unsigned i = 0; i < f->n_consumers; i++) {
        nx_fab_consumer *c = f->consumers[i];
        nx_error err = NX_ERROR_INIT;
        nx_err e;

        if (!c || !c->is_open || !c->needs_repair)
            continue;
        c->is_in_repair = true;
        pthread_mutex_unlock(&f->cmu);
        e = ensure(f, c, &err);
        pthread_mutex_lock(&f->cmu);
        c->is_in_repair = false;
        if (f->callback_waiters)
            pthread_cond_broadcast(&f->callback_cv);
        if (e) {
            f->needs_repair = true; /* tried again at the next round */
            if (!c->repair_is_logged)
                nx_log(NX_LOG_ERROR, "fabric.consumer", "cannot restore consumer %s: %s", c->stream_consumer, err.msg);
            c->repair_is_logged = true;
            continue;
        }
        nx_log(NX_LOG_WARN, "fabric.consumer", "consumer %s was restored", c->stream_consumer);
        c->repair_is_logged = false;
        c->needs_repair = false;
        c->gen++;
        ungrant(f, c, c->granted);
        pull(f, c);
    }
    pthread_mutex_unlock(&f->cmu);
}
