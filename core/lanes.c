/* lanes.c: see lanes.h. A lane is one ordered consumer: a range of shards. For each key that has an event in hand it keeps what runs and, sorted by
 * sequence, what waits behind it. An event that was given back (its node could not run it) keeps its key until it has come again.
 *
 * A term begins when the server pins this node. Then nothing runs until the lane is sure that it has all that was delivered earlier, to whomever,
 * and not acknowledged: else something newer could overtake it. That is so when the server counts as many as are in hand, and, where anything
 * had been delivered before, ack_wait is over. When a term ends, what is held is given up; what runs is finished, and its place forgotten. */
#include "dispatch.h"
#include "lanes_internal.h"
#include <stdio.h>
#include <stdlib.h>

#define LOOK_NS (100 * NX_NS_PER_MS)
/* Longer than ack_wait: by then all that is left over has been delivered again. A node that died gave its last sign of life before its term ended, one
 * that lives gives back what it held when it hears that its term is over. */
#define SETTLE_NS (NX_FAB_ACK_NS + 300 * NX_NS_PER_MS)
#define LAGS_MAX 3 /* so many looks with fewer in hand than delivered, and it is not just on its way */

void nx_core_lane_unref(nx_core_lane *l)
{
    if (atomic_fetch_sub(&l->refs, 1) != 1)
        return;
    pthread_cond_destroy(&l->cv);
    pthread_mutex_destroy(&l->mu);
    atomic_fetch_sub(&l->node->n_lanes, 1);
    free(l->paced.v);
    free(l);
}

/* ---- keys (mu held) -------------------------------------------------------------------------------------------------------------------------- */

static nx_core_lane_key **place_of(nx_core_lane *l, nx_slice key)
{
    uint32_t h = 2166136261u;
    for (size_t i = 0; i < key.n; i++)
        h = (h ^ (uint8_t)key.p[i]) * 16777619u;
    nx_core_lane_key **at = &l->keys[h % NX_CORE_LANE_BUCKETS];
    while (*at && !nx_slice_eq(key, nx_slice_make((*at)->bytes, (*at)->n)))
        at = &(*at)->next;
    return at;
}

static nx_core_lane_key *key_of(nx_core_lane *l, nx_slice key)
{
    nx_core_lane_key **at = place_of(l, key);
    if (!*at) {
        *at = calloc(1, sizeof **at + key.n);
        if (*at) {
            (*at)->n = key.n;
            memcpy((*at)->bytes, key.p, key.n);
        }
    }
    return *at;
}

static void key_free(nx_core_lane_key **at)
{
    nx_core_lane_key *k = *at;
    *at = k->next;
    free(k->held.v);
    free(k);
}

static bool hold(nx_core_held *h, nx_fab_msg *m)
{
    if (h->n == h->cap) {
        unsigned cap = h->cap ? h->cap * 2 : 4;
        nx_fab_msg **v = realloc(h->v, cap * sizeof(nx_fab_msg *));
        if (!v)
            return false;
        h->v = v;
        h->cap = cap;
    }
    unsigned i = h->n++;
    for (; i > 0 && nx_fab_msg_seq(h->v[i - 1]) > nx_fab_msg_seq(m); i--)
        h->v[i] = h->v[i - 1];
    h->v[i] = m;
    return true;
}

static nx_fab_msg *pop(nx_core_held *h)
{
    nx_fab_msg *m = h->v[0];
    h->n--;
    memmove(h->v, h->v + 1, h->n * sizeof(nx_fab_msg *));
    return m;
}

/* What may begin now; begun without the lock. */
typedef struct start {
    nx_core_fn *fn; /* reference */
    nx_fab_msg *msg;
    unsigned attempt; /* 0: to be found out */
    nx_core_place place;
} start;

static void key_start(nx_core_lane *l, nx_core_lane_key *k, nx_fab_msg *m, unsigned attempt, start *ret)
{
    if (k) {
        k->state = KEY_RUNS;
        k->seq = nx_fab_msg_seq(m);
    }
    atomic_fetch_add(&l->refs, 1);
    *ret = (start){nx_core_slot_fn(l->slot), m, attempt, {.lane = l, .term = l->term, .seq = nx_fab_msg_seq(m), .key = k ? nx_fab_msg_partition_key(m) : NX_SLICE_NULL, .effects = nx_core_lane_is_past(l, m) ? l->past.effects : NX_EFFECTS_LIVE}};
}

static void begin(const start *s)
{
    nx_core_lane *l = s->place.lane;
    nx_core_place place = s->place;
    if (s->fn && nx_fab_msg_is_pinned(s->msg)) {
        nx_core_dispatch_begin(l->node, s->fn, s->msg, s->attempt, &place);
        return;
    }
    /* Not sure to be the pinned one any more: the fabric says so too, soon, or the next pull prolongs the term and the message comes again. */
    nx_core_fn_unref(s->fn);
    nx_core_lane_leave(&place, false); /* first: its key lies in the message */
    nx_fab_msg_drop(s->msg);
}

/* ---- terms ------------------------------------------------------------------------------------------------------------------------------------- */

/* Everything that is held, into a list of messages; heap. NULL: none (or no memory: they are then kept alive for nothing until the node ends). */
static nx_fab_msg **empty(nx_core_lane *l, unsigned *ret_n)
{
    unsigned n = 0, cap = l->paced.n;
    for (unsigned i = 0; i < NX_CORE_LANE_BUCKETS; i++)
        for (nx_core_lane_key *k = l->keys[i]; k; k = k->next)
            cap += k->held.n + 1;
    nx_fab_msg **v = calloc(cap + 1u, sizeof(nx_fab_msg *));
    for (unsigned i = 0; v && i < l->paced.n; i++)
        v[n++] = l->paced.v[i];
    l->paced.n = 0;
    for (unsigned i = 0; i < NX_CORE_LANE_BUCKETS; i++)
        while (l->keys[i]) {
            nx_core_lane_key *k = l->keys[i];
            if (v && k->state == KEY_BACKS_OFF)
                v[n++] = k->msg;
            for (unsigned h = 0; v && h < k->held.n; h++)
                v[n++] = k->held.v[h];
            key_free(&l->keys[i]);
        }
    l->term = 0;
    l->n_in_hand = l->n_backing_off = 0;
    l->is_settled = false;
    *ret_n = n;
    return v;
}

static void drop_all(nx_fab_msg **v, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        nx_fab_msg_drop(v[i]);
    free(v);
}

static void on_unpinned(void *self, uint64_t term)
{
    nx_core_lane *l = self;
    unsigned n = 0;
    nx_fab_msg **v = NULL;
    pthread_mutex_lock(&l->mu);
    if (l->term == term)
        v = empty(l, &n);
    pthread_mutex_unlock(&l->mu);
    for (unsigned i = 0; i < n; i++) /* whoever is pinned now waits for them */
        nx_fab_msg_nak(v[i], 0);
    free(v);
}

static void term_begin(nx_core_lane *l, uint64_t term)
{
    l->term = term;
    l->is_settled = l->has_left_over = false;
    l->n_lags = 0;
    l->begun_ns = l->look_ns = nx_clock_ns();
}

typedef enum { TAKEN,
               NOT_WANTED, /* of the past, which is over */
               NO_ROOM } intake;

/* A message that is in hand (mu held): where its key lets it, it begins. is_let_in: its pace lets it. */
static intake take_in(nx_core_lane *l, nx_fab_msg *m, bool is_let_in, start *ret)
{
    nx_slice key = nx_fab_msg_partition_key(m);
    bool is_past = nx_core_lane_is_past(l, m);
    nx_core_lane_key *k = key.n ? *place_of(l, key) : NULL;
    bool is_awaited = k && k->state == KEY_AWAITS && k->seq == nx_fab_msg_seq(m);
    if (is_past && !is_awaited && (l->past.is_over || nx_fab_msg_is_placed(m))) /* a place from an earlier life of the function */
        return NOT_WANTED;
    /* Nothing overtakes what waits for its pace, or will once the term is settled. */
    if (!is_let_in && (l->paced.n || (l->past.rate && !l->past.is_over && (is_past || !l->is_settled))))
        return hold(&l->paced, m) ? TAKEN : NO_ROOM;
    k = key.n ? key_of(l, key) : NULL;
    if (!key.n)
        key_start(l, NULL, m, 0, ret);
    else if (k && ((k->state == KEY_FREE && l->is_settled) || is_awaited))
        key_start(l, k, m, 0, ret);
    else
        return k && hold(&k->held, m) ? TAKEN : NO_ROOM;
    return TAKEN;
}

/* Without the lock. */
static void took_in(intake how, const start *s, nx_fab_msg *m)
{
    if (s->msg)
        begin(s);
    else if (how == NOT_WANTED)
        nx_fab_msg_ack(m);
    else if (how == NO_ROOM)
        nx_fab_msg_drop(m);
}

static void on_msg(void *self, nx_fab_msg *take_msg)
{
    nx_core_lane *l = self;
    start s = {0};
    pthread_mutex_lock(&l->mu);
    if (!l->slot) { /* being closed */
        pthread_mutex_unlock(&l->mu);
        nx_fab_msg_drop(take_msg);
        return;
    }
    if (nx_fab_msg_term(take_msg) != l->term)
        term_begin(l, nx_fab_msg_term(take_msg));
    l->has_left_over |= nx_fab_msg_delivery(take_msg) > 1;
    l->n_in_hand++;
    intake how = take_in(l, take_msg, false, &s);
    l->n_in_hand -= how != TAKEN;
    pthread_mutex_unlock(&l->mu);
    took_in(how, &s, take_msg);
}

bool nx_core_lane_let_in(nx_core_lane *l, bool *ret_is_past)
{
    start s = {0};
    intake how = TAKEN;
    pthread_mutex_lock(&l->mu);
    nx_fab_msg *m = l->slot && l->is_settled && l->paced.n ? pop(&l->paced) : NULL;
    if (m) {
        *ret_is_past = nx_core_lane_is_past(l, m);
        how = take_in(l, m, true, &s);
        l->n_in_hand -= how != TAKEN;
    }
    pthread_mutex_unlock(&l->mu);
    if (m)
        took_in(how, &s, m);
    return m != NULL;
}

/* Each key's first, into a list; heap. */
static start *settle(nx_core_lane *l, unsigned *ret_n)
{
    unsigned n = 0, cap = 0;
    for (unsigned i = 0; i < NX_CORE_LANE_BUCKETS; i++)
        for (nx_core_lane_key *k = l->keys[i]; k; k = k->next)
            cap++;
    start *v = calloc(cap + 1u, sizeof *v);
    for (unsigned i = 0; v && i < NX_CORE_LANE_BUCKETS; i++)
        for (nx_core_lane_key *k = l->keys[i]; k; k = k->next)
            if (k->state == KEY_FREE && k->held.n)
                key_start(l, k, pop(&k->held), 0, &v[n++]);
    l->is_settled = v != NULL;
    *ret_n = n;
    return v;
}

static void look_job(nx_core_job *job)
{
    nx_core_lane *l = (nx_core_lane *)(void *)((char *)job - offsetof(nx_core_lane, job));
    start *v = NULL;
    unsigned n = 0, in_hand;
    uint64_t unacked = 0, term;
    pthread_mutex_lock(&l->mu);
    term = l->term;
    in_hand = l->n_in_hand;
    pthread_mutex_unlock(&l->mu);
    nx_err err = nx_fab_consumer_unacked(atomic_load(&l->consumer), &unacked, NULL);
    pthread_mutex_lock(&l->mu);
    uint64_t now = nx_clock_ns();
    if (err == NX_OK && l->slot && l->term == term && term) {
        l->n_lags = unacked > l->n_in_hand && l->n_in_hand == in_hand ? l->n_lags + 1 : 0; /* what still comes is no sign of anything */
        l->has_left_over |= l->n_lags >= LAGS_MAX;
        if (unacked == in_hand && (!l->has_left_over || now - l->begun_ns > SETTLE_NS))
            v = settle(l, &n);
    }
    l->look_ns = now + LOOK_NS;
    l->is_looking = false;
    pthread_cond_broadcast(&l->cv);
    pthread_mutex_unlock(&l->mu);
    for (unsigned i = 0; i < n; i++)
        begin(&v[i]);
    free(v);
    nx_core_lane_unref(l);
}

/* ---- the end of runs ----------------------------------------------------------------------------------------------------------------------------- */

void nx_core_lane_leave(nx_core_place *p, bool is_done)
{
    nx_core_lane *l = p->lane;
    start s = {0};
    if (!l)
        return;
    pthread_mutex_lock(&l->mu);
    if (l->slot && l->term == p->term) {
        nx_core_lane_key **at = p->key.n ? place_of(l, p->key) : NULL, *k = at ? *at : NULL;
        l->n_in_hand--;
        if (k && k->state == KEY_RUNS && k->seq == p->seq) {
            if (!is_done)
                k->state = KEY_AWAITS;
            else if (k->held.n)
                key_start(l, k, pop(&k->held), 0, &s);
            else
                key_free(at);
        }
    }
    pthread_mutex_unlock(&l->mu);
    *p = (nx_core_place){0};
    if (s.msg)
        begin(&s);
    nx_core_lane_unref(l);
}

bool nx_core_lane_hold(nx_core_place *p, nx_fab_msg *msg, unsigned attempt, uint64_t due_wall_ns)
{
    nx_core_lane *l = p->lane;
    bool is_held = false;
    pthread_mutex_lock(&l->mu);
    nx_core_lane_key *k = p->key.n && l->slot && l->term == p->term ? *place_of(l, p->key) : NULL;
    if (k && k->state == KEY_RUNS && k->seq == p->seq) {
        k->state = KEY_BACKS_OFF;
        k->msg = msg;
        k->attempt = attempt;
        k->due_wall_ns = due_wall_ns;
        l->n_backing_off++;
        is_held = true;
    }
    pthread_mutex_unlock(&l->mu);
    if (!is_held)
        return false;
    *p = (nx_core_place){0};
    nx_core_lane_unref(l);
    return true;
}

/* ---- time ------------------------------------------------------------------------------------------------------------------------------------------ */

static bool next_due(nx_core_lane *l, uint64_t now_wall_ns, start *ret)
{
    for (unsigned i = 0; l->n_backing_off && i < NX_CORE_LANE_BUCKETS; i++)
        for (nx_core_lane_key *k = l->keys[i]; k; k = k->next)
            if (k->state == KEY_BACKS_OFF && k->due_wall_ns <= now_wall_ns) {
                nx_fab_msg *m = k->msg;
                k->msg = NULL;
                l->n_backing_off--;
                key_start(l, k, m, k->attempt, ret);
                return true;
            }
    return false;
}

/* mu held. */
static void post_job(nx_core_lane *l, void (*run)(nx_core_job *job))
{
    l->is_looking = true;
    l->job.run = run;
    atomic_fetch_add(&l->refs, 1);
    if (nx_core_jobs_post(l->node->jobs, &l->job) != NX_OK) {
        l->is_looking = false;
        atomic_fetch_sub(&l->refs, 1); /* never the last: the slot has one */
    }
}

static void lane_tick(nx_core_lane *l, bool is_first, uint64_t now_ns)
{
    start s;
    bool has_one = true;
    while (has_one) {
        pthread_mutex_lock(&l->mu);
        /* The caller's reference keeps it. NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
        has_one = l->slot && next_due(l, nx_clock_wall_ns(), &s);
        pthread_mutex_unlock(&l->mu);
        if (has_one)
            begin(&s);
    }
    pthread_mutex_lock(&l->mu);
    if (l->slot && l->term && !l->is_settled && !l->is_looking && l->look_ns <= now_ns)
        post_job(l, look_job);
    else if (l->slot && is_first && !l->is_looking && l->balance_ns <= now_ns)
        post_job(l, nx_core_lane_balance);
    pthread_mutex_unlock(&l->mu);
}

void nx_core_lanes_tick(nx_node *n, uint64_t now_ns)
{
    nx_core_lane *v[NX_CORE_LANES];
    if (!atomic_load(&n->n_lanes)) /* of thousands of functions mostly none is ordered */
        return;
    pthread_rwlock_rdlock(&n->snap_mu);
    for (nx_core_slot *s = n->slots; s; s = s->next) {
        unsigned count = nx_core_lanes_of(s, v);
        if (count)
            nx_core_lanes_pace(s, now_ns);
        for (unsigned i = 0; i < count; i++) {
            lane_tick(v[i], i == 0, now_ns);
            nx_core_lane_unref(v[i]);
        }
    }
    pthread_rwlock_unlock(&n->snap_mu);
}

/* ---- open and close -------------------------------------------------------------------------------------------------------------------------------- */

nx_fab_consumer *nx_core_lane_consumer(const nx_core_lane *l) { return atomic_load(&l->consumer); }

void nx_core_lane_depth(nx_core_lane *l, uint64_t *ret_pending, uint64_t *ret_inflight)
{
    nx_fab_consumer *c = atomic_load(&l->consumer);
    if (c)
        nx_fab_consumer_depth(c, ret_pending, ret_inflight);
}

unsigned nx_core_lanes_of(nx_core_slot *s, nx_core_lane *ret[NX_CORE_LANES])
{
    unsigned n = 0;
    pthread_mutex_lock(&s->mu);
    for (; n < NX_CORE_LANES && s->lanes[n]; n++) {
        ret[n] = s->lanes[n];
        atomic_fetch_add(&ret[n]->refs, 1);
    }
    pthread_mutex_unlock(&s->mu);
    return n;
}

static nx_core_lane *lane_new(nx_core_slot *s, const nx_core_past *past)
{
    nx_core_lane *l = calloc(1, sizeof *l);
    if (!l)
        return NULL;
    atomic_init(&l->refs, 1);
    pthread_mutex_init(&l->mu, NULL);
    pthread_cond_init(&l->cv, NULL);
    l->node = s->node;
    atomic_fetch_add(&s->node->n_lanes, 1);
    l->slot = s;
    l->past = *past;
    l->balance_ns = nx_clock_ns() + (past->rate && !past->is_over ? 0 : NX_CORE_LANE_BALANCE_NS); /* a pace depends on how many nodes share it */
    return l;
}

nx_err nx_core_lanes_open(nx_core_slot *s, const nx_core_fn *fn, bool is_paused, const nx_fab_seen *seen, nx_error *reterr)
{
    nx_core_past past;
    nx_err err = nx_core_past_of_settings(s->node, fn, &past, reterr);
    for (unsigned i = 0; err == NX_OK && i < NX_CORE_LANES; i++) {
        char durable[NX_FUNCTION_NAME_BYTES + 16], plain[NX_FUNCTION_NAME_BYTES + 8];
        nx_core_lane *l = lane_new(s, &past);
        if (!l)
            return nx_error_set(reterr, NX_ENOMEM, "function '%s'", fn->name);
        nx_core_lane_durable(fn->name, i, durable);
        snprintf(plain, sizeof plain, "fn-%s", fn->name);
        nx_fab_consumer_options o = {
            .durable = durable,
            .types = fn->types,
            .n_types = fn->n_types,
            .shard_from = i * (NX_SHARDS / NX_CORE_LANES),
            .n_shards = NX_SHARDS / NX_CORE_LANES,
            .placed_for = nx_slice_cstr(fn->name),
            .start_seq = past.is_over ? 0 : past.from_seq,
            .successor_of = (const char *const[]){plain, NULL},
            .is_paused = is_paused,
            .seen = seen,
            .on_msg = on_msg,
            .on_unpinned = on_unpinned,
            .self = l,
        };
        pthread_mutex_lock(&s->mu);
        s->lanes[i] = l;
        pthread_mutex_unlock(&s->mu);
        /* Messages come as soon as it is open: the lock keeps them off until the lane knows its consumer. */
        pthread_mutex_lock(&l->mu);
        nx_fab_consumer *c = NULL;
        err = nx_fab_consumer_open(s->node->ns, &o, &c, reterr);
        atomic_store(&l->consumer, c);
        pthread_mutex_unlock(&l->mu);
    }
    return err;
}

void nx_core_lanes_close(nx_core_slot *s, bool remove)
{
    bool is_ordered = s->lanes[0] != NULL;
    for (unsigned i = 0; i < NX_CORE_LANES; i++) {
        unsigned n = 0;
        pthread_mutex_lock(&s->mu);
        nx_core_lane *l = s->lanes[i];
        s->lanes[i] = NULL;
        pthread_mutex_unlock(&s->mu);
        if (!l)
            continue;
        pthread_mutex_lock(&l->mu);
        l->slot = NULL;
        while (l->is_looking)
            pthread_cond_wait(&l->cv, &l->mu);
        nx_fab_msg **v = empty(l, &n);
        pthread_mutex_unlock(&l->mu);
        drop_all(v, n);
        nx_fab_consumer_close(atomic_exchange(&l->consumer, NULL), remove);
        nx_core_lane_unref(l);
    }
    nx_error e = NX_ERROR_INIT;
    if (remove && is_ordered && nx_core_past_end(s->node, s->name, &e) != NX_OK)
        nx_log(NX_LOG_WARN, "past.not_ended", "function '%s' is removed, and made again it would begin with its past once more: %s", s->name, e.msg);
}

void nx_core_lane_durable(const char *function, unsigned lane, char out[NX_FUNCTION_NAME_BYTES + 16])
{
    snprintf(out, NX_FUNCTION_NAME_BYTES + 16, "ord%u-%s", lane * (NX_SHARDS / NX_CORE_LANES), function);
}
