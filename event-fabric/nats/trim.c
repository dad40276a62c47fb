/* trim.c: retention. Streams have no max_age and refuse what does not fit (discard: new), so that the server never deletes an event that a
 * function still has to handle. Instead the fabric purges, from the front: what is older than the age limit, and when a log is nearly full
 * also what is younger; of events never more than what every consumer is done with, and nothing that a timer waits for. */
#include "fab_internal.h"
#include <stdio.h>
#include <stdlib.h>

#define TRIM_EVERY_NS (10 * NX_NS_PER_S)  /* or a tenth of a short age limit */
#define TRIM_AGAIN_NS (1 * NX_NS_PER_S)   /* when publishes are refused */
#define HIGH_PERCENT 90                   /* a log fuller than this gives up old messages … */
#define LOW_PERCENT 80                    /* … down to this */
#define SPILL_AHEAD_NS (60 * NX_NS_PER_S) /* a record is stored within that, or half the records' age, after its body */
#define ROOM_PERCENT 95                   /* a log that was full counts as full down to this */
#define STEP_MESSAGES 4096                /* purged at once, 4 to 6 ms of the server's; and more … */
#define STEPS_MAX 64                      /* … where there is much, or where there are many consumers */
#define STEP_MESSAGES_CONSUMER 16

/* ---- what is old ---------------------------------------------------------------------------------------------------------------------------------- */

/* Sequence of the first message that the leader finds; 0: none. Nothing may be purged on the word of a copy that is behind. */
static nx_err first_match(nx_fab *f, const char *stream, const char *request, uint64_t *ret_seq)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(64u << 20);
    nx_fab_kept first;
    nx_err e = nx_fab_leader_get(f, stream, request, &a, &first, NULL);

    *ret_seq = e ? 0 : first.seq;
    return e == NX_ENOENT ? NX_OK : e;
}

/* First sequence stored at that time or later. */
static nx_err time_cut(nx_fab *f, const char *stream, uint64_t from_wall_ns, const nx_fab_stream_state *st, uint64_t *ret)
{
    char text[NX_RFC3339_MAX + 1], body[128];
    nx_err e;

    text[nx_clock_rfc3339(from_wall_ns, 9, text)] = 0;
    snprintf(body, sizeof body, "{\"start_time\":\"%s\"}", text);
    e = first_match(f, stream, body, ret);
    if (!e && !*ret)
        *ret = st->last_seq + 1; /* all of it is older */
    return e;
}

/* First sequence to keep by age. */
static nx_err age_cut(nx_fab *f, const char *stream, uint64_t max_age_ns, const nx_fab_stream_state *st, uint64_t *ret)
{
    uint64_t now = nx_clock_wall_ns();

    *ret = st->first_seq;
    return !max_age_ns || now <= max_age_ns ? NX_OK : time_cut(f, stream, now - max_age_ns, st, ret);
}

/* First sequence to keep by size: messages are taken for equally large, the next round corrects. */
static uint64_t size_cut(const nx_fab_stream_state *st)
{
    uint64_t keep_bytes;

    if (!st->max_bytes || st->max_bytes > INT64_MAX || st->bytes <= st->max_bytes / 100 * HIGH_PERCENT || !st->messages)
        return st->first_seq;
    keep_bytes = st->max_bytes / 100 * LOW_PERCENT;
    return st->first_seq + (uint64_t)((double)(st->last_seq - st->first_seq + 1) * (1.0 - (double)keep_bytes / (double)st->bytes)) + 1;
}

/* ---- what is still needed --------------------------------------------------------------------------------------------------------------------------- */

/* The first sequence that this consumer is not done with. */
static nx_err consumer_floor(nx_fab_ns *n, const nx_json *c, uint64_t last_seq, uint64_t *ret)
{
    const nx_json *config = nx_json_get(c, "config"), *filters = nx_json_get(config, "filter_subjects");
    uint64_t done = nx_json_get_u64(nx_json_get(c, "ack_floor"), "stream_seq", 0), first = last_seq + 1;
    nx_slice one = nx_json_get_str(config, "filter_subject");
    size_t k = nx_json_len(filters);

    *ret = last_seq + 1;
    if (!nx_json_get_i64(c, "num_ack_pending", 0) && !nx_json_get_i64(c, "num_redelivered", 0)) {
        if (!nx_json_get_i64(c, "num_pending", 0))
            return NX_OK;
        done = nx_json_get_u64(nx_json_get(c, "delivered"), "stream_seq", 0);
    }
    if (!k && !one.n) {
        *ret = done + 1;
        return NX_OK;
    }
    /* Its filter may match little: the first match counts, not what lies before it. */
    for (size_t i = 0; i < (k ? k : 1); i++) {
        nx_slice subject = k ? nx_json_str(nx_json_at(filters, i)) : one;
        nx_buf body = NX_BUF_INIT(NX_FAB_JSON_BYTES);
        uint64_t seq = 0;
        nx_err e = nx_buf_printf(&body, "{\"seq\":%llu,\"next_by_subj\":", (unsigned long long)done + 1);

        if (!e)
            e = nx_json_escape(&body, subject); /* anybody's filter */
        if (!e)
            e = nx_buf_append_char(&body, '}');
        if (!e)
            e = nx_buf_cstr(&body) ? first_match(n->f, n->events, body.p, &seq) : NX_ENOMEM;
        nx_buf_done(&body);
        if (e)
            return e;
        if (seq && seq < first)
            first = seq;
    }
    *ret = first;
    return NX_OK;
}

/* The first sequence that some consumer still needs, and whose. */
static nx_err ack_floor(nx_fab_ns *n, uint64_t last_seq, uint64_t cut, uint64_t *ret, char *whose, size_t whose_bytes)
{
    uint64_t offset = 0, total = 1, floor = last_seq + 1;
    char subject[128], body[64];

    snprintf(subject, sizeof subject, "CONSUMER.LIST.%s", n->events);
    while (offset < total && floor > 0) {
        nx_json *j = NULL;
        const nx_json *v;
        nx_err e;

        snprintf(body, sizeof body, "{\"offset\":%llu}", (unsigned long long)offset);
        e = nx_fab_api(n->f, subject, nx_slice_cstr(body), &j, NULL, NULL);
        if (e)
            return e;
        v = nx_json_get(j, "consumers");
        total = nx_json_get_u64(j, "total", 0);
        offset += nx_json_len(v) ? nx_json_len(v) : total;
        for (size_t i = 0; !e && i < nx_json_len(v); i++) {
            const nx_json *c = nx_json_at(v, i);
            uint64_t f = 0;

            if (nx_json_get_u64(nx_json_get(c, "ack_floor"), "stream_seq", 0) + 1 >= cut)
                continue; /* does not hold up what would be cut */
            e = consumer_floor(n, c, last_seq, &f);
            if (!e && f < floor) {
                floor = f;
                snprintf(whose, whose_bytes, "consumer %.*s, which is far behind", NX_SLICE_FMT(nx_json_get_str(c, "name")));
            }
        }
        nx_json_free(j);
        if (e)
            return e;
    }
    *ret = floor;
    return NX_OK;
}

/* ---- purge ---------------------------------------------------------------------------------------------------------------------------------------------- */

static nx_err purge_step(nx_fab *f, const char *stream, uint64_t keep_from)
{
    nx_err e = nx_fab_stream_purge(f, stream, NULL, keep_from, NULL);

    if (!e)
        nx_obs_inc(f->metrics.purged);
    return e;
}

/* In steps: while the server purges, nothing is stored in that stream, and it goes through the stream's consumers each time. */
static nx_err purge(nx_fab *f, const char *stream, uint64_t first_seq, uint64_t keep_from)
{
    uint64_t step = STEP_MESSAGES + (keep_from - first_seq) / STEPS_MAX;
    nx_err e = NX_OK;

    pthread_mutex_lock(&f->cmu);
    step += (uint64_t)f->n_open * STEP_MESSAGES_CONSUMER;
    pthread_mutex_unlock(&f->cmu);
    while (!e && first_seq < keep_from) {
        first_seq = keep_from - first_seq > step ? first_seq + step : keep_from;
        e = purge_step(f, stream, first_seq);
    }
    return e;
}

static void set_held(nx_fab_ns *n, bool is_held, const char *whose)
{
    if (is_held && !n->is_held)
        nx_log(NX_LOG_WARN, "fabric.held", "old events of namespace %s are kept for %s", n->name, whose);
    if (is_held != n->is_held)
        nx_obs_gauge_add(n->f->metrics.held, is_held ? 1 : -1);
    n->is_held = is_held;
}

static nx_err trim_stream(nx_fab_ns *n, const char *stream, uint64_t max_age_ns, bool is_events)
{
    nx_fab_stream_state st;
    uint64_t cut = 0, by_size, floor = 0;
    char whose[128] = "";
    nx_err e = nx_fab_stream_state_get(n->f, stream, &st, NULL);

    if (!e && st.messages)
        e = age_cut(n->f, stream, max_age_ns, &st, &cut);
    if (e || !st.messages)
        return e;
    by_size = size_cut(&st);
    if (by_size > cut)
        cut = by_size;
    if (cut <= st.first_seq)
        return NX_OK;
    if (is_events) {
        e = ack_floor(n, st.last_seq, cut, &floor, whose, sizeof whose);
        if (e)
            return e;
        if (floor > st.first_seq) {
            uint64_t by_timers = cut;

            e = nx_fab_timers_floor(n, st.first_seq, cut, &by_timers);
            if (e)
                return e;
            if (by_timers < floor) {
                floor = by_timers;
                snprintf(whose, sizeof whose, "delayed events or retries that wait for their time");
            }
        }
        set_held(n, floor < cut && floor <= st.first_seq, whose);
        if (floor < cut)
            cut = floor;
    }
    return cut > st.first_seq ? purge(n->f, stream, st.first_seq, cut) : NX_OK;
}

/* Bodies of large run records go when the records of their time have gone, or when there are more of them than there may be of records: a
 * record without its body counts as gone. */
static nx_err trim_spills(nx_fab_ns *n)
{
    const char *records[] = {n->runs, n->replays};
    uint64_t oldest_wall_ns = nx_clock_wall_ns(), cut = 0, by_size, half_age_ns = n->o.runs_max_age_ns / 2;
    uint64_t ahead_ns = half_age_ns && half_age_ns < SPILL_AHEAD_NS ? half_age_ns : SPILL_AHEAD_NS;
    nx_fab_stream_state st, of;
    nx_err e = nx_fab_stream_state_get(n->f, n->spills.stream, &st, NULL);

    if (e || !st.messages)
        return e;
    for (size_t i = 0; i < NX_ARRAY_LEN(records); i++) {
        e = nx_fab_stream_state_get(n->f, records[i], &of, NULL);
        if (e)
            return e;
        if (of.messages && of.first_wall_ns < oldest_wall_ns)
            oldest_wall_ns = of.first_wall_ns;
    }
    e = time_cut(n->f, n->spills.stream, oldest_wall_ns > ahead_ns ? oldest_wall_ns - ahead_ns : 0, &st, &cut);
    if (e)
        return e;
    st.max_bytes = n->o.runs_max_bytes;
    by_size = size_cut(&st);
    if (by_size > cut)
        cut = by_size;
    return cut > st.first_seq ? purge(n->f, n->spills.stream, st.first_seq, cut) : NX_OK;
}

void nx_fab_ns_pressed(nx_fab_ns *n)
{
    if (!atomic_exchange(&n->is_pressed, true))
        nx_fab_upkeep_kick(n->f);
}

static uint64_t trim_period(const nx_fab_ns *n)
{
    uint64_t age = n->o.events_max_age_ns && n->o.events_max_age_ns < n->o.runs_max_age_ns ? n->o.events_max_age_ns : n->o.runs_max_age_ns;

    return !age || age / 10 > TRIM_EVERY_NS ? TRIM_EVERY_NS : age / 10 < TRIM_AGAIN_NS ? TRIM_AGAIN_NS
                                                                                       : age / 10;
}

static void trim_ns(nx_fab_ns *n, uint64_t now_ns)
{
    bool is_pressed = atomic_load(&n->is_pressed) || atomic_load(&n->is_full);

    if (now_ns < n->trim_due_ns && !(is_pressed && now_ns - n->trimmed_ns >= TRIM_AGAIN_NS))
        return;
    atomic_store(&n->is_pressed, false);
    n->trimmed_ns = now_ns;
    n->trim_due_ns = now_ns + trim_period(n);
    /* An error is the connection's or the server's: both are told elsewhere, and the next round comes. */
    if (trim_stream(n, n->events, n->o.events_max_age_ns, true) || trim_stream(n, n->runs, n->o.runs_max_age_ns, false) ||
        trim_stream(n, n->replays, n->o.runs_max_age_ns, false) || trim_spills(n) || nx_fab_timers_count(n))
        n->trim_due_ns = now_ns + TRIM_AGAIN_NS;
    else if (is_pressed)
        nx_fab_ns_probe_room(n);
}

/* nx-fab-up, which also waits for namespaces to go (upkeep.c), so none goes while this runs. */
void nx_fab_trim(nx_fab *f, uint64_t now_ns)
{
    nx_fab_ns *n;

    for (unsigned i = 0; nx_fab_ns_at(f, i, &n); i++)
        if (n)
            trim_ns(n, now_ns);
}

/* Whether a full log has room again is otherwise known only by the next publish, and a node that is not ready gets none. */
void nx_fab_ns_probe_room(nx_fab_ns *n)
{
    const char *streams[] = {n->events, n->runs};

    for (size_t i = 0; i < NX_ARRAY_LEN(streams); i++) {
        nx_fab_stream_state st;

        if (nx_fab_stream_state_get(n->f, streams[i], &st, NULL))
            return;
        if (st.max_bytes && st.max_bytes <= INT64_MAX && st.bytes > st.max_bytes / 100 * ROOM_PERCENT)
            return;
    }
    if (atomic_exchange(&n->is_full, false))
        nx_log(NX_LOG_INFO, "fabric.room", "the event log of namespace %s has room again", n->name);
}

/* ---- logs that do not store ------------------------------------------------------------------------------------------------------------------------------ */

#define UNSTICK_EVERY_NS (1 * NX_NS_PER_S)
#define WRITE_PROBE_NS (2 * NX_NS_PER_S)

/* A write to a subject that no consumer's filter means (too few tokens) and no reader takes for an event. NX_EUNAVAIL: not acknowledged. */
static nx_err probe_write(nx_fab_ns *n, const char *stream, const char *kind)
{
    char subject[160];
    nx_fab_replies got = {0};
    nx_err e;

    snprintf(subject, sizeof subject, "nx.%s.%s.probe", n->name, kind);
    e = nx_fab_request(n->f, &(nx_fab_ask){.subject = subject, .timeout_ns = WRITE_PROBE_NS}, &got, NULL);
    nx_fab_replies_done(&got); /* a refusal is an answer: a full log is not a stuck one */
    if (e)
        return e;
    nx_fab_stream_purge(n->f, stream, subject, 0, NULL);
    return NX_OK;
}

/* Asked now: what is_silent says may be older than the pause that began since. */
static bool answers(nx_fab *f)
{
    char subject[160];
    nx_fab_replies got = {0};
    bool is_refused = false;
    nx_err e;

    snprintf(subject, sizeof subject, "%s.INFO", f->js_prefix);
    e = nx_fab_request(f, &(nx_fab_ask){.subject = subject, .timeout_ns = WRITE_PROBE_NS, .ret_is_refused = &is_refused}, &got, NULL);
    nx_fab_replies_done(&got);
    return !e || is_refused;
}

/* After a write error nats-server's store stays shut, without a word to the publisher, until the server is restarted. */
static void unstick(nx_fab_ns *n)
{
    bool is_silent;

    pthread_mutex_lock(&n->f->mu);
    is_silent = n->f->is_silent;
    pthread_mutex_unlock(&n->f->mu);
    if (is_silent)
        return; /* a paused server, not a shut store */
    if (!probe_write(n, n->events, "ev") && !probe_write(n, n->runs, "run")) {
        atomic_store(&n->is_stuck, false);
        return;
    }
    if (!answers(n->f))
        return; /* silent all along, only nobody had asked yet: a paused server comes back by itself, with all it has stored */
    if (!n->is_healing)
        nx_log(NX_LOG_ERROR, "fabric.stuck", "the log of namespace %s does not acknowledge what is written: is its disk full?", n->name);
    n->is_healing = true;
    if (n->f->o.private_server)
        nx_fab_server_heal(n->f->o.private_server);
}

void nx_fab_ns_unstick(nx_fab *f, uint64_t now_ns)
{
    nx_fab_ns *n;

    for (unsigned i = 0; nx_fab_ns_at(f, i, &n); i++) {
        if (!n || now_ns < n->unstick_due_ns)
            continue;
        if (atomic_load(&n->is_stuck)) {
            unstick(n);
            n->unstick_due_ns = nx_clock_ns() + UNSTICK_EVERY_NS;
        } else if (n->is_healing) {
            n->is_healing = false;
            nx_log(NX_LOG_INFO, "fabric.stores", "the log of namespace %s stores again", n->name);
        }
    }
}
