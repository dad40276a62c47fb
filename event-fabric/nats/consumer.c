/* consumer.c: durable consumers: made, brought up to date, closed, restored. What they bring is consume.c's. */
#include "nats/consume.h"
#include <stdio.h>
#include <stdlib.h>

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
    unsigned n = 0, n_placed = c->o.n_shards ? c->o.n_shards : 1, max = (c->n_types + 1) * n_placed + c->n_subjects + 1;
    char **v = calloc(max, sizeof *v);
    char text[NX_FAB_SUBJECT_BYTES];
    nx_err e = v ? NX_OK : NX_ENOMEM;

    for (unsigned i = 0; !e && i < c->n_types; i++) {
        e = nx_event_type_pattern_check(c->types[i], reterr);
        if (!e)
            e = nx_fab_type_filter(c->ns->ns, c->types[i], text, sizeof text);
        if (!e && !c->o.n_shards && !(v[n++] = strdup(text)))
            e = NX_ENOMEM;
        for (unsigned k = 0; !e && k < c->o.n_shards; k++) /* the shard in the place of the * */
            if (asprintf(&v[n++], "%s%02u%s", c->ns->ev_prefix, c->o.shard_from + k, text + c->ns->ev_prefix_n + 1) < 0)
                e = NX_ENOMEM;
    }
    for (unsigned i = 0; !e && c->takes_placed && i < n_placed; i++) {
        nx_fab_placed_filter(c->ns, nx_slice_cstr(c->placed_for), c->o.n_shards ? (int)(c->o.shard_from + i) : -1, text, sizeof text);
        if (!(v[n++] = strdup(text)))
            e = NX_ENOMEM;
    }
    for (unsigned i = 0; !e && i < c->n_subjects; i++) {
        if (!nx_fab_subject_is_valid(c->subjects[i], true))
            e = nx_error_set(reterr, NX_EINVAL, "\"%.*s\" is not a NATS subject", NX_SLICE_FMT(c->subjects[i]));
        else if (!(v[n++] = nx_slice_strdup(c->subjects[i])))
            e = NX_ENOMEM;
    }
    if (!e && c->is_of_timers) {
        e = n ? NX_EINVAL : nx_fab_timers_filter(c->ns, c->o.timers_of, text, sizeof text);
        if (e)
            nx_error_set(reterr, e, "a consumer of timers is one function's, and takes nothing else");
        else if (!(v[n++] = strdup(text)))
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

/* What the settings above come to, kept with them: one that was made with the same needs no second look. The server gives settings back in a form of
 * its own, which can't be compared. */
static void put_mark(nx_jw *w, const nx_buf *settings)
{
    char hex[NX_SHA256_HEX + 1];
    nx_sha256 digest = nx_sha256_of(nx_buf_view(settings));

    nx_sha256_hex(&digest, hex);
    hex[32] = 0;
    nx_jw_key(w, "metadata");
    nx_jw_object(w);
    nx_jw_kcstr(w, NX_FAB_CONFIG_MARK, hex);
    nx_jw_object_end(w);
}

bool nx_fab_known_is_same(const nx_fab_known *there, const nx_fab_consumer *c) { return strlen(there->mark) == 32 && strstr(c->config_json, there->mark); }

static void put_filters(nx_jw *w, char **filters, unsigned n)
{
    nx_jw_key(w, "filter_subjects");
    nx_jw_array(w);
    for (unsigned i = 0; i < n; i++) {
        if (filters[i]) /* of what an error cut short */
            nx_jw_cstr(w, filters[i]);
        free(filters[i]);
    }
    nx_jw_array_end(w);
    free(filters);
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
    nx_jw_kcstr(&w, "deliver_policy", c->o.start_seq ? "by_start_sequence" : c->o.from_start || c->is_of_timers ? "all"
                                                                                                                : "new");
    if (c->o.start_seq)
        nx_jw_ku64(&w, "opt_start_seq", c->o.start_seq);
    nx_jw_kcstr(&w, "ack_policy", "explicit");
    nx_jw_ku64(&w, "ack_wait", c->o.ack_wait_ns);
    nx_jw_key(&w, "max_deliver");
    nx_jw_i64(&w, -1);
    nx_jw_ku64(&w, "max_ack_pending", c->o.n_shards ? NX_FAB_ORDERED_MAX : 10000); /* all nodes together, and what was put off */
    if (c->o.n_shards) {
        nx_jw_kcstr(&w, "priority_policy", "pinned_client");
        nx_jw_key(&w, "priority_groups");
        nx_jw_array(&w);
        nx_jw_cstr(&w, NX_FAB_PIN_GROUP);
        nx_jw_array_end(&w);
        nx_jw_ku64(&w, "priority_timeout", NX_FAB_PIN_NS);
    }
    nx_jw_ku64(&w, "max_waiting", 512);
    nx_jw_kcstr(&w, "replay_policy", "instant");
    nx_jw_kcstr(&w, "filter_subject", ""); /* the server moves a single one there; both would be refused */
    put_filters(&w, filters, n);
    put_mark(&w, &text);
    nx_jw_object_end(&w);
    if (!e)
        e = nx_jw_err(&w) || !nx_buf_cstr(&text) ? NX_ENOMEM : NX_OK;
    if (!e)
        nx_buf_take(&text, &c->config_json, &bytes);
    nx_buf_done(&text);
    return e;
}

#define PAUSED_FOR_EVER "2200-01-01T00:00:00Z" /* the server counts the time in nanoseconds of 63 bits */

static nx_err tell_pause(nx_fab_consumer *c, bool is_paused, nx_error *reterr)
{
    char subject[NX_FAB_SUBJECT_BYTES];
    nx_json *answer = NULL;
    nx_err e;

    snprintf(subject, sizeof subject, "CONSUMER.PAUSE.%s", c->stream_consumer);
    e = nx_fab_api(c->f, subject, is_paused ? NX_SLICE("{\"pause_until\":\"" PAUSED_FOR_EVER "\"}") : NX_SLICE("{}"), &answer, NULL, reterr);
    nx_json_free(answer);
    return e;
}

nx_err nx_fab_consumer_pause(nx_fab_consumer *c, bool is_paused, nx_error *reterr)
{
    nx_fab *f = c->f;
    bool is_so;
    nx_err e;

    pthread_mutex_lock(&f->cmu);
    is_so = c->is_paused == is_paused;
    pthread_mutex_unlock(&f->cmu);
    e = is_so ? NX_OK : tell_pause(c, is_paused, reterr);
    if (is_so || e)
        return e;
    pthread_mutex_lock(&f->cmu);
    c->is_paused = is_paused;
    if (!is_paused && c->is_open) { /* the server looks for messages again when somebody asks */
        nx_fab_ungrant(f, c, c->granted, c->granted_bytes);
        c->gen++;
        nx_fab_pull(f, c);
    }
    pthread_mutex_unlock(&f->cmu);
    return NX_OK;
}

/* Its predecessor was ordered: what waits of that one's places comes too. */
static nx_err add_placed(nx_fab_consumer *c, nx_jw *w, nx_error *reterr)
{
    char **filters = NULL;
    unsigned n = 0;
    nx_err e;

    c->takes_placed = true;
    e = make_filters(c, &filters, &n, reterr);
    put_filters(w, filters, n);
    return e;
}

/* The configuration of a consumer that is not there yet: it begins behind what its predecessors are all done with. */
static nx_err make_new(nx_fab *f, nx_fab_consumer *c, nx_buf *config, nx_error *reterr)
{
    uint64_t floor = UINT64_MAX;
    char subject[NX_FAB_SUBJECT_BYTES];
    NX_CLEANUP(nx_buf_done)
    nx_buf from = NX_BUF_INIT(1 << 20);
    nx_json *ours = NULL;
    nx_err e = NX_OK;

    for (const char *const *p = c->o.successor_of; !e && p && *p; p++) {
        nx_json *info = NULL;

        snprintf(subject, sizeof subject, "CONSUMER.INFO.%s.%s", c->stream, *p);
        e = nx_fab_api(f, subject, NX_SLICE_NULL, &info, NULL, reterr);
        if (!e && nx_json_get_u64(nx_json_get(info, "ack_floor"), "stream_seq", 0) < floor)
            floor = nx_json_get_u64(nx_json_get(info, "ack_floor"), "stream_seq", 0);
        nx_json_free(info);
        c->has_succeeded |= e == NX_OK;
        e = e == NX_ENOENT ? NX_OK : e;
    }
    if (e || floor == UINT64_MAX)
        return e ? e : nx_buf_append_cstr(config, c->config_json);
    nx_jw w = NX_JW_INIT(&from);
    nx_jw_object(&w);
    nx_jw_kcstr(&w, "deliver_policy", "by_start_sequence");
    nx_jw_ku64(&w, "opt_start_seq", floor + 1);
    e = c->placed_for[0] && !c->takes_placed ? add_placed(c, &w, reterr) : NX_OK;
    nx_jw_object_end(&w);
    if (!e)
        e = nx_jw_err(&w);
    if (!e)
        e = nx_json_parse(nx_slice_cstr(c->config_json), NX_FAB_JSON_BYTES, &ours, reterr);
    if (!e)
        e = nx_fab_json_merge(ours, nx_buf_view(&from), NULL, config, NULL, reterr);
    nx_json_free(ours);
    return e;
}

nx_err nx_fab_consumer_request(const nx_fab_consumer *c, nx_slice config, char subject[NX_FAB_SUBJECT_BYTES], nx_buf *body)
{
    nx_err e = nx_buf_printf(body, "{\"stream_name\":\"%s\",\"config\":", c->stream);

    if (!e)
        e = nx_buf_append_slice(body, config);
    if (!e)
        e = nx_buf_append_char(body, '}');
    snprintf(subject, NX_FAB_SUBJECT_BYTES, "CONSUMER.DURABLE.CREATE.%s", c->stream_consumer);
    return e;
}

/* Where it starts can't be changed, and need not be: it has its place. */
nx_err nx_fab_consumer_update(const nx_fab_consumer *c, const nx_json *info, nx_buf *config, nx_error *reterr)
{
    return nx_fab_json_merge(nx_json_get(info, "config"), nx_slice_cstr(c->config_json),
                             (const char *const[]){"deliver_policy", "opt_start_seq", "opt_start_time", NULL}, config, NULL, reterr);
}

static nx_err send(nx_fab *f, const nx_fab_consumer *c, nx_slice config, nx_json **ret, nx_error *reterr)
{
    nx_buf body = NX_BUF_INIT(1 << 20);
    char subject[NX_FAB_SUBJECT_BYTES];
    nx_err e = nx_fab_consumer_request(c, config, subject, &body);

    if (!e)
        e = nx_fab_api(f, subject, nx_buf_view(&body), ret, NULL, reterr);
    nx_buf_done(&body);
    return e;
}

/* Makes the durable consumer, or brings an existing one up to date. */
static nx_err bring(nx_fab *f, nx_fab_consumer *c, nx_fab_known *ret, nx_error *reterr)
{
    nx_buf config = NX_BUF_INIT(1 << 20);
    char subject[NX_FAB_SUBJECT_BYTES];
    nx_json *info = NULL, *answer = NULL;
    nx_err e;

    *ret = (nx_fab_known){0};
    snprintf(subject, sizeof subject, "CONSUMER.INFO.%s", c->stream_consumer);
    e = nx_fab_api(f, subject, NX_SLICE_NULL, &info, NULL, reterr);
    if (!e) {
        nx_fab_known_read(info, ret);
        if (!nx_fab_known_is_same(ret, c))
            e = nx_fab_consumer_update(c, info, &config, reterr);
    } else if (e == NX_ENOENT) {
        c->is_new = true;
        e = make_new(f, c, &config, reterr);
    }
    if (!e && config.n) {
        e = send(f, c, nx_buf_view(&config), &answer, reterr);
        if (!e)
            nx_fab_known_read(answer, ret);
    }
    nx_json_free(info);
    nx_json_free(answer);
    nx_buf_done(&config);
    return e;
}

static nx_err ensure(nx_fab *f, nx_fab_consumer *c, nx_error *reterr)
{
    const nx_fab_known *seen = nx_fab_seen_find(c->o.seen, c->stream_consumer);
    nx_fab_known is = {0};
    nx_err e = NX_OK;

    if (seen && nx_fab_known_is_same(seen, c)) {
        is = *seen;
        c->is_new |= is.is_made;
    } else {
        e = bring(f, c, &is, reterr);
    }
    if (!e && is.is_paused != c->is_paused)
        e = tell_pause(c, c->is_paused, reterr);
    if (!e) {
        pthread_mutex_lock(&f->cmu);
        c->pending = is.pending;
        pthread_mutex_unlock(&f->cmu);
    }
    return e;
}

nx_err nx_fab_consumer_prepare(nx_fab_ns *n, const nx_fab_consumer_options *o, nx_fab_consumer *c, nx_error *reterr)
{
    if (!o->on_msg || !nx_fab_name_is_valid(nx_slice_cstr(o->durable), 90))
        return nx_error_set(reterr, NX_EINVAL, "\"%s\" is not a consumer name (letters, digits, - and _, at most 90)", o->durable ? o->durable : "");
    c->f = n->f;
    c->ns = n;
    c->o = *o;
    c->refs = 1;
    if (!c->o.ack_wait_ns)
        c->o.ack_wait_ns = NX_FAB_ACK_NS;
    c->is_paused = o->is_paused;
    c->is_of_timers = o->timers_of.n > 0;
    if (nx_slice_to_cstr(o->placed_for, c->placed_for, sizeof c->placed_for))
        return nx_error_set(reterr, NX_EINVAL, "\"%.*s\" is not a function name", NX_SLICE_FMT(o->placed_for));
    c->o.placed_for = nx_slice_cstr(c->placed_for);
    c->takes_placed = o->placed_for.n && o->n_shards;
    if (nx_slice_to_cstr(o->timers_of, c->function, sizeof c->function))
        return nx_error_set(reterr, NX_EINVAL, "\"%.*s\" is not a function name", NX_SLICE_FMT(o->timers_of));
    c->o.timers_of = nx_slice_cstr(c->function);
    c->stream = c->is_of_timers ? n->timers : n->events;
    snprintf(c->stream_consumer, sizeof c->stream_consumer, "%s.%s", c->stream, o->durable);
    c->o.durable = strchr(c->stream_consumer, '.') + 1;
    c->types = copy_slices(o->types, o->n_types);
    c->n_types = c->types ? o->n_types : 0;
    c->subjects = copy_slices(o->subjects, o->n_subjects);
    c->n_subjects = c->subjects ? o->n_subjects : 0;
    c->o.types = NULL;
    c->o.subjects = NULL;
    if (o->n_shards && (o->n_subjects || c->is_of_timers || o->shard_from + o->n_shards > NX_SHARDS || !o->on_unpinned))
        return nx_error_set(reterr, NX_EINVAL, "an ordered consumer takes event types of a range of shards");
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
    e = nx_fab_consumer_prepare(n, o, c, reterr);
    if (!e)
        e = ensure(f, c, reterr);
    c->o.successor_of = NULL; /* lent, as this is */
    c->o.seen = NULL;
    if (!e) {
        pthread_mutex_lock(&f->cmu);
        e = nx_fab_consumer_enlist(f, c);
        if (!e) {
            f->n_open++;
            c->is_open = true;
            c->gen = f->next_gen += 1000000; /* what still comes for the slot's last consumer is not for this one */
            /* Those that are opened early must not take what the last ones need; with a backlog it doubles soon enough. */
            c->target = nx_fab_base_target(f) < NX_FAB_LENT_MAX ? nx_fab_base_target(f) : NX_FAB_LENT_MAX;
            nx_fab_pull(f, c);
        }
        pthread_mutex_unlock(&f->cmu);
        if (e)
            nx_error_set(reterr, e, "consumer %s: %s", c->stream_consumer, e == NX_EEXIST ? "open already" : nx_err_text(e));
    }
    if (e) {
        nx_fab_consumer_release(c);
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
    f = c->f;
    pthread_mutex_lock(&f->cmu);
    c->is_open = false;
    f->n_open--;
    nx_fab_unstarve(f, c);
    nx_fab_ungrant(f, c, c->granted, c->granted_bytes); /* what the server still sends goes back as -NAK */
    bool was_pinned = c->pin[0];
    c->pin[0] = 0;
    f->callback_waiters++;
    while (f->in_callback == c || c->is_in_repair)
        pthread_cond_wait(&f->callback_cv, &f->cmu);
    f->callback_waiters--;
    nx_fab_consumer_delist(f, c);
    nx_fab_feed_starved(f);
    pthread_mutex_unlock(&f->cmu);
    if (was_pinned && !remove) { /* the next client need not wait until the term is over */
        snprintf(subject, sizeof subject, "CONSUMER.UNPIN.%s", c->stream_consumer);
        nx_fab_api(f, subject, NX_SLICE("{\"group\":\"" NX_FAB_PIN_GROUP "\"}"), &answer, NULL, NULL);
        nx_json_free(answer);
        answer = NULL;
    }
    if (remove) {
        snprintf(subject, sizeof subject, "CONSUMER.DELETE.%s", c->stream_consumer);
        nx_fab_api(f, subject, NX_SLICE_NULL, &answer, NULL, NULL);
        nx_json_free(answer);
        if (c->is_of_timers)
            nx_fab_timers_forget(c->ns, nx_slice_cstr(c->function));
    }
    pthread_mutex_lock(&f->cmu);
    nx_fab_consumer_unref(c);
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

bool nx_fab_consumer_has_succeeded(const nx_fab_consumer *c)
{
    return c->has_succeeded;
}

bool nx_fab_consumer_is_new(const nx_fab_consumer *c)
{
    return c->is_new;
}

nx_err nx_fab_consumer_remove(nx_fab_ns *n, const char *durable, nx_error *reterr)
{
    char subject[NX_FAB_SUBJECT_BYTES];
    nx_json *answer = NULL;
    nx_err e;

    snprintf(subject, sizeof subject, "CONSUMER.DELETE.%s.%s", n->events, durable);
    e = nx_fab_api(n->f, subject, NX_SLICE_NULL, &answer, NULL, reterr);
    nx_json_free(answer);
    return e == NX_ENOENT ? NX_OK : e;
}

nx_err nx_fab_consumer_unacked(nx_fab_consumer *c, uint64_t *ret, nx_error *reterr)
{
    char subject[NX_FAB_SUBJECT_BYTES];
    nx_json *info = NULL;
    nx_err e;

    snprintf(subject, sizeof subject, "CONSUMER.INFO.%s", c->stream_consumer);
    e = nx_fab_api(c->f, subject, NX_SLICE_NULL, &info, NULL, reterr);
    if (!e)
        *ret = nx_json_get_u64(info, "num_ack_pending", 0);
    nx_json_free(info);
    return e;
}

nx_err nx_fab_timers_askers(nx_fab_ns *n, const char *durable, unsigned *ret, nx_error *reterr)
{
    char subject[NX_FAB_SUBJECT_BYTES];
    nx_json *info = NULL;
    nx_err e;

    snprintf(subject, sizeof subject, "CONSUMER.INFO.%s.%s", n->timers, durable);
    e = nx_fab_api(n->f, subject, NX_SLICE_NULL, &info, NULL, reterr);
    if (!e)
        *ret = (unsigned)nx_json_get_u64(info, "num_waiting", 0);
    nx_json_free(info);
    return e;
}

nx_err nx_fab_consumer_yield(nx_fab_consumer *c, nx_error *reterr)
{
    char subject[NX_FAB_SUBJECT_BYTES];
    nx_json *answer = NULL;
    nx_err e;

    snprintf(subject, sizeof subject, "CONSUMER.UNPIN.%s", c->stream_consumer);
    e = nx_fab_api(c->f, subject, NX_SLICE("{\"group\":\"" NX_FAB_PIN_GROUP "\"}"), &answer, NULL, reterr);
    nx_json_free(answer);
    return e;
}

/* ---- repair (nx-fab-up) -------------------------------------------------------------------------------------------------------------------------------------- */

void nx_fab_consumers_resume(nx_fab *f)
{
    pthread_mutex_lock(&f->cmu);
    for (unsigned i = 0; i < f->n_consumers; i++)
        if (f->consumers[i])
            nx_fab_pull(f, f->consumers[i]);
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
        nx_fab_ungrant(f, c, c->granted, c->granted_bytes);
        nx_fab_pull(f, c);
    }
    pthread_mutex_unlock(&f->cmu);
}

nx_err nx_fab_consumer_info_get(nx_fab_ns *n, const char *durable, nx_fab_consumer_info *ret, nx_error *reterr)
{
    char subject[NX_FAB_SUBJECT_BYTES];
    nx_json *j = NULL;
    const nx_json *floor;
    nx_err e;

    snprintf(subject, sizeof subject, "CONSUMER.INFO.%s.%s", n->events, durable);
    e = nx_fab_api(n->f, subject, NX_SLICE_NULL, &j, NULL, reterr);
    if (e)
        return e;
    floor = nx_json_get(j, "ack_floor");
    *ret = (nx_fab_consumer_info){
        .done_seq = nx_json_get_u64(floor, "stream_seq", 0),
        .done = nx_json_get_u64(floor, "consumer_seq", 0),
        .pending = nx_json_get_u64(j, "num_pending", 0),
        .unacked = nx_json_get_u64(j, "num_ack_pending", 0),
    };
    if (nx_clock_parse_rfc3339(nx_json_get_str(j, "created"), &ret->made_wall_ns))
        e = nx_error_set(reterr, NX_EUNAVAIL, "the server does not say when consumer %s was made", durable);
    nx_json_free(j);
    return e;
}
