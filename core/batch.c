/* batch.c: `batch`: a function gets several events in one run. Events are gathered on the node, their messages in hand: by key, until there are max_size of
 * them, or `timeout` after the first one, or until they are too many bytes. Then they become one event of the log (nx/event_batch.h), of a type of the
 * function's own; a record says of each of them in which, and it is acknowledged. From there on the batch is an event like any other: it is run, tried again,
 * replayed as a whole. Should the node die before, all of them are delivered again, and gathered anew.
 * When a batch fails for good, each of its events becomes a dead letter, of the next generation of its run, so that it can be redriven alone. */
#include "dispatch.h"
#include "fn.h"
#include "nx/event_batch.h"
#include <stdio.h>
#include <stdlib.h>

#define HELD_MAX 512u               /* events that one node gathers */
#define ATTRIBUTE_BYTES (64u << 10) /* what a message needs besides the data */
#define BATCH_BYTES (1u << 20)
#define BATCH_BYTES_MAX (32u << 20) /* of one event alone */

typedef struct group {
    struct group *next;
    nx_core_job job;
    nx_core_batches *all;
    nx_core_fn *fn; /* reference */
    uint8_t key[NX_CORE_GATE_KEY_BYTES];
    uint64_t due_ns;
    size_t bytes;
    nx_core_run *v[NX_EVENT_BATCH_MAX]; /* in the order in which they came */
    unsigned n;
    /* the batch */
    nx_event event;
    nx_fab_pub pub;
    nx_buf data;
    char ids[NX_EVENT_BATCH_IDS_BYTES], dedupe[NX_SHA256_HEX + 1], time[NX_RFC3339_MAX], source[NX_FUNCTION_NAME_BYTES + 16];
} group;

struct nx_core_batches {
    pthread_mutex_t mu;
    group *groups; /* oldest first */
    unsigned held;
    bool is_closed;
};

nx_err nx_core_batches_new(nx_core_batches **ret)
{
    nx_core_batches *b = calloc(1, sizeof *b);
    if (!b)
        return NX_ENOMEM;
    pthread_mutex_init(&b->mu, NULL);
    *ret = b;
    return NX_OK;
}

void nx_core_batches_free(nx_core_batches *b)
{
    if (!b)
        return;
    pthread_mutex_destroy(&b->mu);
    free(b);
}

static void group_free(group *g)
{
    nx_buf_done(&g->data);
    nx_core_fn_unref(g->fn);
    free(g);
}

static void drop_all(group *g)
{
    for (unsigned i = 0; i < g->n; i++)
        nx_core_run_drop(g->v[i]);
    group_free(g);
}

/* ---- the batch ---------------------------------------------------------------------------------------------------------------------------- */

/* The log does not take it as a batch, and would not the next time: each of its events is run alone, as a batch of one. */
static void run_alone(group *g)
{
    for (unsigned i = 0; i < g->n; i++) {
        g->v[i]->is_alone = true;
        nx_core_run_admit(g->v[i]);
    }
    group_free(g);
}

static void not_stored(group *g, nx_err err, const char *why)
{
    bool is_for_good = err == NX_ELIMIT || err == NX_EMANY;
    nx_log(NX_LOG_WARN, "batch.not_stored", "a batch of %u events for '%s' was not stored (%s); %s", g->n, g->fn->name, why,
           is_for_good ? "each of them is run alone" : "they will be delivered again");
    if (is_for_good)
        run_alone(g);
    else
        drop_all(g);
}

static void on_stored(nx_fab_pub *pub)
{
    group *g = pub->owner;
    if (pub->err != NX_OK) {
        not_stored(g, pub->err, nx_err_text(pub->err));
        return;
    }
    for (unsigned i = 0; i < g->n; i++) {
        char text[64 + NX_ID_LEN];
        nx_core_run *r = g->v[i];
        r->rec.takes_batches = false; /* it is not executed */
        r->rec.batch = nx_arena_dup(&r->arena, nx_id_slice(&g->event.event_id));
        snprintf(text, sizeof text, "runs in the batch %s, with %u events", g->event.event_id.s, g->n);
        nx_core_run_unexecuted(r, NX_RUN_BATCHED, NX_WHY_NONE, text);
    }
    group_free(g);
}

/* Everything but its time follows from its events: gathered once more, the same ones are the same batch, which the log then takes once. */
static nx_err make_event(group *g)
{
    const nx_fn_config *f = g->fn->settings;
    nx_core_run *last = g->v[g->n - 1];
    nx_event *e = &g->event;
    size_t k = 0;
    unsigned hop = 0;
    nx_err err = NX_OK;
    nx_buf_init(&g->data, BATCH_BYTES_MAX);
    for (unsigned i = 0; i < g->n && err == NX_OK; i++) {
        const nx_event *x = &g->v[i]->event;
        err = nx_event_batch_append(x, f->input == NX_INPUT_CLOUDEVENT, &g->data);
        k += (size_t)snprintf(g->ids + k, sizeof g->ids - k, "%s%s", k ? "," : "", x->event_id.s);
        hop = x->hop > hop ? x->hop : hop;
    }
    if (err == NX_OK)
        err = nx_event_batch_end(&g->data);
    if (err != NX_OK)
        return err;
    nx_sha256 digest = nx_sha256_of(nx_slice_make(g->ids, k));
    nx_sha256_hex(&digest, g->dedupe);
    snprintf(g->source, sizeof g->source, "/functions/%s", g->fn->name);
    uint64_t wall_ns = nx_event_start_wall_ns(&last->event);
    *e = (nx_event){
        .ns = last->event.ns,
        .type = nx_slice_cstr(g->fn->batch_type),
        .source = nx_slice_cstr(g->source),
        .time = nx_slice_make(g->time, nx_clock_rfc3339(wall_ns, 3, g->time)),
        .content_type = f->input == NX_INPUT_CLOUDEVENT ? NX_SLICE("application/cloudevents-batch+json") : NX_SLICE("application/json"),
        .data = nx_buf_view(&g->data),
        .event_id = nx_ulid_derive_late(wall_ns / NX_NS_PER_MS, digest.b, digest.b[10] % NX_SHARDS, nx_slice_cstr(g->fn->batch_type)),
        .wall_ns = wall_ns,
        .hop = hop,
    };
    e->id = nx_id_slice(&e->event_id);
    e->ext[e->n_ext++] = (nx_kv){NX_SLICE(NX_EVENT_BATCH_EXT), nx_slice_make(g->ids, k)};
    e->ext[e->n_ext++] = (nx_kv){NX_SLICE(NX_EVENT_BATCH_KEY_EXT), nx_event_version_key(&last->event)}; /* the version that gathered them runs them */
    nx_trace_child(&g->v[0]->event.trace, &e->trace);
    e->tracestate = g->v[0]->event.tracestate;
    return NX_OK;
}

/* Nobody would bring a batch to a function that takes none any more. */
static bool takes_batches_still(nx_node *n, const char *function)
{
    pthread_rwlock_rdlock(&n->snap_mu);
    nx_core_slot *s = nx_core_slot_find(n, function);
    nx_core_fn *fn = s ? nx_core_slot_fn(s) : NULL;
    pthread_rwlock_unlock(&n->snap_mu);
    bool takes = fn && fn->settings->batch_max;
    nx_core_fn_unref(fn);
    return takes;
}

static void form_job(nx_core_job *job)
{
    group *g = (group *)(void *)((char *)job - offsetof(group, job));
    nx_node *n = g->v[0]->d->node;
    nx_error e = NX_ERROR_INIT;
    if (!takes_batches_still(n, g->fn->name)) {
        drop_all(g);
        return;
    }
    nx_err err = make_event(g);
    if (err == NX_OK)
        err = nx_fab_type_admit(n->ns, g->event.type, &e);
    g->pub = (nx_fab_pub){.done = on_stored, .owner = g};
    if (err == NX_OK)
        err = nx_fab_publish_event(n->ns, &g->event, nx_slice_cstr(g->dedupe), NX_SLICE_NULL, &g->pub, &e);
    if (err != NX_OK)
        not_stored(g, err, e.msg[0] ? e.msg : nx_err_text(err));
}

static void form(nx_node *n, group *g)
{
    g->job.run = form_job;
    if (nx_core_jobs_post(n->jobs, &g->job) != NX_OK)
        drop_all(g);
}

/* ---- gathering ----------------------------------------------------------------------------------------------------------------------------- */

static group *unlink_locked(nx_core_batches *b, group **at)
{
    group *g = *at;
    *at = g->next;
    b->held -= g->n;
    return g;
}

static group **find_locked(nx_core_batches *b, const nx_core_run *r, const uint8_t *key)
{
    group **at = &b->groups;
    while (*at && !((*at)->fn == r->fn && memcmp((*at)->key, key, NX_CORE_GATE_KEY_BYTES) == 0))
        at = &(*at)->next;
    return at;
}

static group *group_new(nx_core_batches *b, const nx_core_run *r, const uint8_t *key)
{
    group *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    g->all = b;
    g->fn = nx_core_fn_ref(r->fn);
    memcpy(g->key, key, sizeof g->key);
    g->due_ns = nx_clock_ns() + r->fn->settings->batch_timeout_ns;
    return g;
}

/* What this event takes in the batch, at most. */
static size_t room_of(const nx_event *e, bool as_cloudevents)
{
    return e->data.n * 4 / 3 + 64 + (as_cloudevents ? 8192 : 0);
}

static size_t bytes_max(nx_node *n)
{
    uint64_t payload = nx_fab_max_payload(n->fab), room = payload > 2 * ATTRIBUTE_BYTES ? payload - ATTRIBUTE_BYTES : ATTRIBUTE_BYTES;
    return room < BATCH_BYTES ? (size_t)room : BATCH_BYTES;
}

bool nx_core_batch_takes(const nx_core_run *r)
{
    return r->fn->settings->batch_max && !r->is_alone && r->rec.attempt == 1 && !r->rec.generation && r->effects == NX_EFFECTS_LIVE &&
           !nx_slice_eq_cstr(r->event.type, r->fn->batch_type);
}

void nx_core_batch_add(nx_core_run *r)
{
    nx_node *n = r->d->node;
    nx_core_batches *b = n->batches;
    const nx_fn_config *f = r->fn->settings;
    uint8_t key[NX_CORE_GATE_KEY_BYTES];
    group *full[3] = {0};
    unsigned n_full = 0;
    nx_core_flow_key(r, f->batch_key, key);
    size_t room = room_of(&r->event, f->input == NX_INPUT_CLOUDEVENT), most = bytes_max(n);
    pthread_mutex_lock(&b->mu);
    group **at = find_locked(b, r, key);
    if (*at && (*at)->bytes + room > most) { /* a batch of its own begins with it */
        full[n_full++] = unlink_locked(b, at);
        at = find_locked(b, r, key);
    }
    if (!*at && !b->is_closed)
        *at = group_new(b, r, key);
    group *g = b->is_closed ? NULL : *at;
    if (g) {
        g->v[g->n++] = r;
        g->bytes += room;
        b->held++;
    }
    if (g && (g->n >= f->batch_max || g->bytes > most))
        full[n_full++] = unlink_locked(b, at);
    if (b->held > HELD_MAX && b->groups) /* the oldest one does not wait any longer */
        full[n_full++] = unlink_locked(b, &b->groups);
    pthread_mutex_unlock(&b->mu);
    if (!g)
        nx_core_run_drop(r);
    for (unsigned i = 0; i < n_full; i++)
        form(n, full[i]);
}

/* Groups that are due, or all of them: a list. */
static group *take(nx_core_batches *b, uint64_t now_ns, bool all)
{
    group *taken = NULL, **end = &taken;
    pthread_mutex_lock(&b->mu);
    b->is_closed |= all;
    for (group **at = &b->groups; *at;) {
        if (!all && (*at)->due_ns > now_ns) {
            at = &(*at)->next;
            continue;
        }
        *end = unlink_locked(b, at);
        end = &(*end)->next;
        *end = NULL;
    }
    pthread_mutex_unlock(&b->mu);
    return taken;
}

void nx_core_batches_tick(nx_node *n, uint64_t now_ns)
{
    for (group *g = take(n->batches, now_ns, false), *next; g; g = next) {
        next = g->next;
        form(n, g);
    }
}

void nx_core_batches_close(nx_node *n)
{
    if (!n->batches)
        return;
    for (group *g = take(n->batches, 0, true), *next; g; g = next) {
        next = g->next;
        drop_all(g);
    }
}

/* ---- dead letters --------------------------------------------------------------------------------------------------------------------------- */

/* Of one event of a batch that failed. */
typedef struct letter {
    nx_run rec;
    nx_buf encoded;
    nx_fab_pub pub;
} letter;

typedef struct burial {
    nx_core_run *r;
    letter *v[NX_EVENT_BATCH_MAX]; /* in the run's arena */
    unsigned n;
    atomic_uint pending; /* publications, and whoever publishes */
    atomic_int err;
} burial;

static void finish_one(burial *b)
{
    nx_core_run *r = b->r;
    if (atomic_fetch_sub(&b->pending, 1) != 1)
        return;
    for (unsigned i = 0; i < b->n; i++)
        nx_buf_done(&b->v[i]->encoded);
    nx_err err = atomic_load(&b->err);
    if (err != NX_OK) {
        nx_log(NX_LOG_WARN, "batch.not_buried", "the dead letters of the batch %s of '%s' were not stored (%s); it is run again", r->event.event_id.s, r->fn->name, nx_err_text(err));
        nx_core_run_drop(r);
        return;
    }
    r->rec.after = NX_AFTER_DROP;
    nx_core_run_settle_decided(r);
}

static void on_letter_stored(nx_fab_pub *pub)
{
    burial *b = pub->owner;
    int none = NX_OK;
    if (pub->err != NX_OK)
        atomic_compare_exchange_strong(&b->err, &none, pub->err);
    finish_one(b);
}

/* Its run failed, as part of the batch: the generation after the one that says in which batch it is. */
static nx_err write_letter(nx_core_run *r, const nx_event *e, letter *l)
{
    nx_run *rec = &l->rec;
    const nx_run *of = &r->rec;
    rec->ns = of->ns;
    rec->event_id = e->event_id;
    rec->event_type = e->type;
    rec->function = of->function;
    rec->version = of->version;
    rec->artifact = of->artifact;
    rec->attempt = 1;
    rec->generation = 1;
    rec->run_id = nx_run_id_derive(rec->ns, &rec->event_id, nx_event_start_wall_ns(e) / NX_NS_PER_MS, rec->function, rec->generation);
    rec->status = of->status;
    rec->why = of->why;
    rec->exit_code = of->exit_code;
    char *text = nx_arena_printf(&r->arena, "in the batch %s: %.*s", r->event.event_id.s, NX_SLICE_FMT(nx_slice_sub(of->message, 0, 400)));
    if (!text)
        return NX_ENOMEM;
    rec->message = r->fn->settings->recording == NX_RECORDING_FULL ? nx_slice_cstr(text) : nx_slice_sub(nx_slice_cstr(text), 0, 13 + NX_ID_LEN);
    rec->start_wall_ns = of->start_wall_ns;
    nx_trace_child(&e->trace, &rec->trace);
    rec->parent_span = nx_slice_cstr(e->trace.span_id);
    rec->engine = of->engine;
    rec->world = of->world;
    rec->arch = of->arch;
    rec->node = of->node;
    rec->event_seq = e->stream_seq;
    rec->batch = nx_id_slice(&r->event.event_id);
    rec->delivery = 1;
    rec->is_final = true;
    rec->after = NX_AFTER_DLQ;
    rec->recording = NX_RECORDING_OFF; /* what happened is in the batch's record */
    return nx_run_encode(rec, &l->encoded);
}

/* BLOCKING. Events that are no longer in the log have no letter: there is nothing to redrive. */
static nx_err write_letters(nx_core_run *r, burial *b, nx_error *reterr)
{
    nx_slice ids = nx_event_batch_ids(&r->event);
    nx_id id;
    while (b->n < NX_EVENT_BATCH_MAX && nx_event_batch_next(&ids, &id)) {
        nx_event *e = nx_arena_calloc(&r->arena, 1, sizeof *e);
        letter *l = nx_arena_calloc(&r->arena, 1, sizeof *l);
        if (!e || !l)
            return NX_ENOMEM;
        nx_err err = nx_fab_event_get(r->d->node->ns, &id, &r->arena, e, reterr);
        if (err == NX_ENOENT)
            continue;
        if (err != NX_OK)
            return err;
        nx_buf_init(&l->encoded, 1u << 16);
        b->v[b->n++] = l;
        err = write_letter(r, e, l);
        if (err != NX_OK)
            return err;
    }
    return NX_OK;
}

static void bury_job(nx_core_job *job)
{
    nx_core_run *r = (nx_core_run *)(void *)((char *)job - offsetof(nx_core_run, job));
    nx_error e = NX_ERROR_INIT;
    burial *b = nx_arena_calloc(&r->arena, 1, sizeof *b);
    if (!b) {
        nx_core_run_drop(r);
        return;
    }
    b->r = r;
    atomic_init(&b->pending, 1);
    nx_err err = write_letters(r, b, &e);
    for (unsigned i = 0; err == NX_OK && i < b->n; i++) {
        letter *l = b->v[i];
        l->pub = (nx_fab_pub){.done = on_letter_stored, .owner = b};
        atomic_fetch_add(&b->pending, 1);
        err = nx_fab_publish_run(r->d->node->ns, &l->rec, nx_buf_view(&l->encoded), &l->pub, &e);
        if (err != NX_OK)
            atomic_fetch_sub(&b->pending, 1); /* of a publication that never began: not the last one, which is ours */
    }
    if (err != NX_OK)
        atomic_store(&b->err, err);
    finish_one(b);
}

bool nx_core_batch_is_dead(const nx_core_run *r)
{
    return r->rec.is_final && r->rec.status != NX_RUN_OK && r->rec.after == NX_AFTER_DLQ && nx_slice_eq_cstr(r->event.type, r->fn->batch_type) &&
           nx_event_batch_ids(&r->event).n;
}

void nx_core_batch_bury(nx_core_run *r)
{
    r->job.run = bury_job;
    if (nx_core_jobs_post(r->d->node->jobs, &r->job) != NX_OK)
        nx_core_run_later(r, NX_NS_PER_S);
}
