/* gate.c: `concurrency` and `singleton`: how many attempts of a function, or of each key of it, run at once on this node. Events and timers come by two
 * consumers, and both pass here; what has to wait keeps its message. Without a key at most twice the limit are in hand, because each consumer is
 * bounded by it too; with one, a few wait at each key and further ones go back to the log for a moment, so that one key does not hold up the others.
 * With `singleton: {mode: cancel}` an event ends the run of an earlier one and goes in when that has left; what waited there for the same is skipped.
 * With a key, or `singleton`, this node has only some of the keys (keys.h): of the others it runs nothing. */
#include "burst.h"
#include "dispatch.h"
#include "nx/event_key.h"
#include <stdio.h>
#include <stdlib.h>

#define BUCKETS 64u
#define HELD_MAX 32u /* waiting at one key */
#define BACK_NS NX_NS_PER_S
#define AWAY_NS (250 * NX_NS_PER_MS) /* by then it is known which node has the key */

/* One key, while anybody is inside or waits. */
typedef struct door {
    struct door *next;
    uint8_t key[NX_CORE_GATE_KEY_BYTES];
    unsigned inside, n_waiting;
    nx_core_run *first, **last; /* waiting, in the order in which they came */
    nx_core_run *holder;        /* inside; where one at most is */
} door;

struct nx_core_gate {
    atomic_uint refs;
    pthread_mutex_t mu;
    nx_core_gate_rule rule;
    nx_core_keyring *keyring; /* reference; NULL: what holds on this node holds everywhere, or it is not asked for */
    door *doors[BUCKETS];
};

nx_core_gate *nx_core_gate_new(void)
{
    nx_core_gate *g = calloc(1, sizeof *g);
    if (!g)
        return NULL;
    atomic_init(&g->refs, 1);
    pthread_mutex_init(&g->mu, NULL);
    return g;
}

void nx_core_gate_unref(nx_core_gate *g)
{
    if (!g || atomic_fetch_sub(&g->refs, 1) != 1)
        return;
    pthread_mutex_destroy(&g->mu);
    nx_core_keyring_unref(g->keyring);
    free(g);
}

void nx_core_gate_set_rule(nx_core_gate *g, const nx_core_gate_rule *rule, nx_core_keys *keys, const char *function)
{
    nx_core_keyring *taken = rule->is_keyed ? nx_core_keyring_new(keys, function) : NULL;
    pthread_mutex_lock(&g->mu);
    nx_core_keyring *old = g->keyring;
    g->keyring = taken;
    g->rule = *rule;
    pthread_mutex_unlock(&g->mu);
    if (old != taken)
        nx_core_keyring_close(old);
    nx_core_keyring_unref(old);
}

void nx_core_gate_close(nx_core_gate *g)
{
    if (!g)
        return;
    pthread_mutex_lock(&g->mu);
    nx_core_keyring_close(g->keyring);
    pthread_mutex_unlock(&g->mu);
}

void nx_core_gate_set(nx_core_gate *g, nx_core_run *r)
{
    atomic_fetch_add(&g->refs, 1);
    r->gate = g;
    r->is_inside = false;
}

static door **find(nx_core_gate *g, const uint8_t *key)
{
    door **at = &g->doors[key[0] % BUCKETS];
    while (*at && memcmp((*at)->key, key, NX_CORE_GATE_KEY_BYTES) != 0)
        at = &(*at)->next;
    return at;
}

static door *find_or_make(nx_core_gate *g, const uint8_t *key)
{
    door **at = find(g, key), *d = *at;
    if (d)
        return d;
    d = calloc(1, sizeof *d);
    if (!d)
        return NULL;
    memcpy(d->key, key, sizeof d->key);
    d->last = &d->first;
    *at = d;
    return d;
}

void nx_core_flow_key(nx_core_run *r, nx_slice path, uint8_t key[NX_CORE_GATE_KEY_BYTES])
{
    nx_slice value = NX_SLICE_NULL;
    memset(key, 0, NX_CORE_GATE_KEY_BYTES); /* one for all without a key, and for events that have nothing there */
    if (!path.n || nx_event_key_get(&r->event, path, &r->arena, &value) != NX_OK)
        return;
    nx_sha256 digest = nx_sha256_of(value);
    memcpy(key, digest.b, NX_CORE_GATE_KEY_BYTES);
}

/* A reference, or NULL: the run need not be where its key is. */
static nx_core_keyring *keyring_of(nx_core_run *r)
{
    nx_core_gate *g = r->gate;
    if (!g || r->is_anywhere)
        return NULL;
    pthread_mutex_lock(&g->mu);
    nx_core_keyring *k = g->keyring ? nx_core_keyring_ref(g->keyring) : NULL;
    pthread_mutex_unlock(&g->mu);
    return k;
}

static void find_key(nx_core_run *r)
{
    const nx_fn_config *f = r->fn->settings;
    nx_core_flow_key(r, f->singleton.n ? f->singleton_key : f->concurrency_key, r->gate_key);
}

nx_core_key_owner nx_core_gate_owner(nx_core_run *r, nx_id *ret_node)
{
    nx_core_keyring *k = keyring_of(r);
    if (!k)
        return NX_CORE_KEY_OURS;
    find_key(r);
    nx_core_key_owner v = nx_core_keyring_owner(k, nx_core_keyring_range(k, r->gate_key), ret_node);
    nx_core_keyring_unref(k);
    return v;
}

/* From here until it leaves, its key stays this node's. */
static bool enter_range(nx_core_run *r)
{
    nx_core_keyring *k = keyring_of(r);
    if (!k)
        return true;
    unsigned range = nx_core_keyring_range(k, r->gate_key);
    if (!nx_core_keyring_enter(k, range)) {
        nx_core_keyring_unref(k);
        return false;
    }
    r->keyring = k;
    r->key_range = range;
    return true;
}

static void leave_range(nx_core_run *r)
{
    if (r->keyring)
        nx_core_keyring_leave(r->keyring, r->key_range);
    nx_core_keyring_unref(r->keyring);
    r->keyring = NULL;
}

/* A run that has been tried, or that somebody asked for by hand, is not skipped. */
static bool may_be_skipped(const nx_core_run *r) { return r->rec.attempt == 1 && r->rec.generation == 0; }

typedef enum { PASS,
               WAIT,
               SKIP,
               BACK } verdict;

static void wait_locked(door *d, nx_core_run *r)
{
    r->gate_next = NULL;
    *d->last = r;
    d->last = &r->gate_next;
    d->n_waiting++;
}

/* What was asked for by hand cancels nothing, and is not cancelled. */
static bool is_by_hand(const nx_core_run *r) { return r->rec.generation > 0; }

static bool is_before(const nx_core_run *a, const nx_core_run *b)
{
    nx_core_moment x = nx_core_moment_of(&a->event), y = nx_core_moment_of(&b->event);
    return nx_core_moment_is_before(&x, &y);
}

/* Those that wait and came before r, out of the door: a list. */
static nx_core_run *take_earlier_locked(door *d, const nx_core_run *r)
{
    nx_core_run *taken = NULL;
    for (nx_core_run **at = &d->first; *at;) {
        nx_core_run *x = *at;
        if (is_by_hand(x) || !is_before(x, r)) {
            at = &x->gate_next;
            continue;
        }
        *at = x->gate_next;
        x->gate_next = taken;
        taken = x;
        d->n_waiting--;
    }
    d->last = &d->first;
    while (*d->last)
        d->last = &(*d->last)->gate_next;
    return taken;
}

static const nx_core_run *later_locked(const door *d, const nx_core_run *r)
{
    const nx_core_run *h = d->holder;
    if (h && !is_by_hand(h) && is_before(r, h))
        return h;
    for (const nx_core_run *x = d->first; x; x = x->gate_next)
        if (!is_by_hand(x) && is_before(r, x))
            return x;
    return NULL;
}

/* `singleton: {mode: cancel}`, and somebody is inside or waits. *ret_skipped: those that waited, whose place it takes. */
static verdict supersede_locked(door *d, nx_core_run *r, nx_core_run **ret_skipped)
{
    const nx_core_run *later = is_by_hand(r) ? NULL : later_locked(d, r);
    if (later) {
        r->cancelled_by = later->event.event_id;
        return SKIP;
    }
    if (!is_by_hand(r) && d->holder && d->holder->event.stream_seq == r->event.stream_seq)
        return BACK; /* the same event: it came again while it runs */
    if (d->n_waiting >= HELD_MAX)
        return BACK;
    nx_core_run *h = d->holder;
    if (!is_by_hand(r) && h && !is_by_hand(h) && !h->is_cancelled) {
        h->is_cancelled = true;
        h->cancelled_by = r->event.event_id;
        nx_rt_end_attempt(r->d->node->rt, &h->attempt); /* it stays ours to touch until it leaves the door */
    }
    if (!is_by_hand(r))
        *ret_skipped = take_earlier_locked(d, r);
    wait_locked(d, r);
    return WAIT;
}

static verdict decide_locked(nx_core_gate *g, nx_core_run *r, nx_core_run **ret_skipped)
{
    door *d = find_or_make(g, r->gate_key);
    if (!d)
        return BACK;
    if (!d->first && (!g->rule.limit || d->inside < g->rule.limit)) {
        d->inside++;
        d->holder = r;
        r->is_inside = true;
        return PASS;
    }
    if (g->rule.is_cancel)
        return supersede_locked(d, r, ret_skipped);
    if (g->rule.is_singleton && may_be_skipped(r))
        return SKIP;
    if (g->rule.is_keyed && d->n_waiting >= HELD_MAX)
        return BACK;
    wait_locked(d, r);
    return WAIT;
}

static void skip(nx_core_run *r, bool is_cancel)
{
    char text[96 + NX_ID_LEN];
    snprintf(text, sizeof text, is_cancel ? "event %s, which came after it, is run instead (singleton)" : "a run with the same key was under way (singleton)",
             r->cancelled_by.s);
    nx_core_run_skip(r, NX_WHY_SINGLETON, text);
}

nx_slice nx_core_gate_cancel_text(nx_core_run *r)
{
    const char *text = nx_arena_printf(&r->arena, "ended for event %s, which came after it (singleton)", r->cancelled_by.s);
    return nx_slice_cstr(text);
}

bool nx_core_gate_enter(nx_core_run *r)
{
    nx_core_gate *g = r->gate;
    if (!g || r->is_inside)
        return true;
    find_key(r);
    if (!enter_range(r)) {
        nx_core_run_put_back(r, nx_clock_wall_ns() + AWAY_NS, true);
        return false;
    }
    pthread_mutex_lock(&g->mu);
    nx_core_run *skipped = NULL;
    bool is_cancel = g->rule.is_cancel;
    verdict v = decide_locked(g, r, &skipped);
    nx_id by = r->event.event_id;
    pthread_mutex_unlock(&g->mu);
    while (skipped) {
        nx_core_run *next = skipped->gate_next;
        skipped->cancelled_by = by;
        skip(skipped, true);
        skipped = next;
    }
    if (v == SKIP)
        skip(r, is_cancel);
    else if (v == BACK)
        nx_core_run_put_back(r, nx_clock_wall_ns() + BACK_NS, true);
    return v == PASS;
}

/* All that wait, out of the door: a list. */
static nx_core_run *take_all_locked(door *d)
{
    nx_core_run *taken = d->first;
    d->first = NULL;
    d->last = &d->first;
    d->n_waiting = 0;
    return taken;
}

/* The first that waits, if it may go in now; a door where nobody is any more goes. *ret_away: who waited for a key that is on its way to another node. */
static nx_core_run *leave_locked(nx_core_gate *g, const nx_core_run *r, bool stays_ours, nx_core_run **ret_away)
{
    door **at = find(g, r->gate_key), *d = *at;
    if (!d) /* never: r is inside */
        return NULL;
    d->inside--;
    if (d->holder == r)
        d->holder = NULL;
    if (!stays_ours)
        *ret_away = take_all_locked(d);
    nx_core_run *next = d->first;
    if (next && (!g->rule.limit || d->inside < g->rule.limit)) {
        d->first = next->gate_next;
        if (!d->first)
            d->last = &d->first;
        d->n_waiting--;
        d->inside++;
        d->holder = next;
        next->is_inside = true;
        return next;
    }
    if (!d->inside && !d->first) {
        *at = d->next;
        free(d);
    }
    return NULL;
}

void nx_core_gate_leave(nx_core_run *r)
{
    nx_core_gate *g = r->gate;
    nx_core_run *next = NULL, *away = NULL;
    if (!g)
        return;
    if (r->is_inside) {
        bool stays_ours = !r->keyring || nx_core_keyring_may_begin(r->keyring, r->key_range);
        pthread_mutex_lock(&g->mu);
        next = leave_locked(g, r, stays_ours, &away);
        pthread_mutex_unlock(&g->mu);
    }
    leave_range(r);
    r->gate = NULL;
    r->is_inside = false;
    while (away) {
        nx_core_run *x = away;
        away = x->gate_next;
        nx_core_run_put_back(x, nx_clock_wall_ns() + AWAY_NS, true);
    }
    if (next)
        nx_core_run_execute(next);
    nx_core_gate_unref(g);
}
