/* backoff.c: events whose next attempt is due later. A short interval is waited for by the event's own message, which is given back with a delay
 * and counts as delivered and not acknowledged, of which the server allows a function only so many; a longer one, or one too many, by a timer
 * (DESIGN 4 "Delays"). The attempt's record is stored before either, so whoever gets the event next knows how far it was. */
#include "dispatch.h"
#include <stdlib.h>

#define SHORT_NS (5 * NX_NS_PER_S)
#define SHORT_MAX 1024              /* messages that this node put off; the server allows 10,000 to a function, on all nodes together */
#define EARLY_NS (2 * NX_NS_PER_MS) /* so much before its time is in time */

/* ---- putting off -------------------------------------------------------------------------------------------------------------------------------- */

static void give_back(nx_core_run *r, const nx_core_backoff *b)
{
    uint64_t now = nx_clock_wall_ns();
    if (!r->timer.function.n) /* a timer's is looked up in any case */
        nx_core_backoffs_put(r->d->backoffs, &r->rec.run_id, b);
    nx_core_run_msg_nak(r, b->next_wall_ns > now ? b->next_wall_ns - now : 0);
    nx_core_run_release(r);
}

void nx_core_run_put_back(nx_core_run *r, uint64_t wall_ns, bool is_admitted)
{
    give_back(r, &(nx_core_backoff){.next_wall_ns = wall_ns, .attempt = r->rec.attempt - 1, .delivery = nx_fab_msg_delivery(r->msg), .is_admitted = is_admitted});
}

nx_fab_timer nx_core_run_first_timer(const nx_core_run *r, nx_slice note, uint64_t due_wall_ns)
{
    return (nx_fab_timer){
        .function = nx_slice_cstr(r->fn->name),
        .event_id = r->event.event_id,
        .event_seq = r->event.stream_seq,
        .attempt = 1,
        .note = note,
        .due_wall_ns = due_wall_ns,
    };
}

static void on_put_off(nx_fab_pub *pub)
{
    nx_core_run *r = pub->owner;
    if (pub->err != NX_OK) {
        nx_core_run_drop(r);
        return;
    }
    nx_core_run_msg_ack(r);
    nx_core_run_release(r);
}

void nx_core_run_not_put_off(nx_core_run *r, const char *why)
{
    nx_log(NX_LOG_WARN, "timer.not_set", "event %s for '%s' could not be put off (%s); it will be delivered again", r->event.event_id.s, r->fn->name, why);
    nx_core_run_drop(r);
}

void nx_core_run_put_off(nx_core_run *r, const nx_fab_timer *t)
{
    nx_error e = NX_ERROR_INIT;
    r->pub = (nx_fab_pub){.done = on_put_off, .owner = r};
    if (nx_fab_timer_set(r->d->node->ns, t, &r->pub, &e) != NX_OK)
        nx_core_run_not_put_off(r, e.msg);
}

static void on_timer_set(nx_fab_pub *pub)
{
    nx_core_run *r = pub->owner;
    if (pub->err != NX_OK) { /* delivered again, it is put off again: a timer of the same name */
        nx_core_run_drop(r);
        return;
    }
    nx_core_backoffs_put(r->d->backoffs, &r->rec.run_id, &(nx_core_backoff){.next_wall_ns = r->rec.next_wall_ns, .attempt = r->rec.attempt, .is_timer = true});
    nx_core_run_msg_ack(r);
    nx_core_run_release(r);
}

/* Whether the interval was a long one when it began, not what is left of it: a message that comes back after a crash sets the timer that may be
 * set already, instead of waiting beside it. */
static bool is_long(const nx_run *rec)
{
    return rec->next_wall_ns > rec->start_wall_ns + rec->duration_ns + SHORT_NS;
}

void nx_core_run_back_off(nx_core_run *r)
{
    const nx_run *rec = &r->rec;
    if (r->place.key.n && rec->next_wall_ns) { /* its key waits with it: here, or with the node that has the key by now */
        if (nx_core_lane_hold(&r->place, r->msg, rec->attempt + 1, rec->next_wall_ns)) {
            r->msg = NULL;
            nx_core_run_release(r);
        } else {
            nx_core_run_drop(r);
        }
        return;
    }
    if (!rec->next_wall_ns || (!is_long(rec) && nx_core_backoffs_count(r->d->backoffs) < SHORT_MAX)) {
        give_back(r, &(nx_core_backoff){.next_wall_ns = rec->next_wall_ns, .attempt = rec->attempt, .delivery = nx_fab_msg_delivery(r->msg)});
        return;
    }
    nx_fab_timer t = {
        .function = nx_slice_cstr(r->fn->name),
        .event_id = r->event.event_id,
        .event_seq = r->event.stream_seq,
        .attempt = rec->attempt + 1,
        .generation = rec->generation,
        .reply = nx_fab_msg_reply(r->msg),
        .note = r->timer.note,
        .due_wall_ns = rec->next_wall_ns,
    };
    nx_error e = NX_ERROR_INIT;
    r->pub = (nx_fab_pub){.done = on_timer_set, .owner = r};
    if (nx_fab_timer_set(r->d->node->ns, &t, &r->pub, &e) != NX_OK)
        nx_core_run_drop(r);
}

/* ---- going on ------------------------------------------------------------------------------------------------------------------------------------ */

void nx_core_run_go_on(nx_core_run *r, const nx_run *last)
{
    if (last->next_wall_ns > nx_clock_wall_ns() + EARLY_NS) { /* the server forgot how long it should wait: it was started again */
        r->rec = *last;
        nx_core_run_back_off(r);
        return;
    }
    r->rec.attempt = last->attempt + 1;
    nx_core_run_execute(r);
}

bool nx_core_run_go_on_as_remembered(nx_core_run *r)
{
    nx_core_backoff b;
    if (!nx_core_backoffs_take(r->d->backoffs, &r->rec.run_id, false, &b) || b.delivery + 1 != r->rec.delivery)
        return false;
    if (b.next_wall_ns > nx_clock_wall_ns() + EARLY_NS) {
        b.delivery++;
        give_back(r, &b);
        return true;
    }
    r->rec.attempt = b.attempt + 1;
    r->is_admitted |= b.is_admitted;
    nx_core_run_admit(r);
    return true;
}

bool nx_core_run_is_expected(nx_core_run *r)
{
    nx_core_backoff b;
    return nx_fab_msg_delivery(r->msg) <= 1 && nx_core_backoffs_take(r->d->backoffs, &r->rec.run_id, true, &b) && b.attempt + 1 == r->timer.attempt;
}

/* ---- what this node put off ------------------------------------------------------------------------------------------------------------------------ */

/* What the log would tell too, by a look-up: kept so that a thousand events that back off do not cost a thousand look-ups. Entries whose event
 * came back to another node are swept out. */
#define BACKOFFS_MAX 8192u
#define BUCKETS 4096u
#define NONE UINT32_MAX
#define STALE_NS (60 * NX_NS_PER_S) /* due for so long, and not back: another node has it */

typedef struct backoff {
    nx_id run_id;
    uint32_t next; /* in its bucket, or in the free list */
    nx_core_backoff b;
} backoff;

struct nx_core_backoffs {
    pthread_mutex_t mu;
    backoff *v; /* allocated with the first one */
    uint32_t buckets[BUCKETS], free_head;
    unsigned n_given_back;
};

nx_err nx_core_backoffs_new(nx_core_backoffs **ret)
{
    nx_core_backoffs *t = calloc(1, sizeof *t);
    if (!t)
        return NX_ENOMEM;
    pthread_mutex_init(&t->mu, NULL);
    *ret = t;
    return NX_OK;
}

void nx_core_backoffs_free(nx_core_backoffs *t)
{
    if (!t)
        return;
    pthread_mutex_destroy(&t->mu);
    free(t->v);
    free(t);
}

/* A run id ends with bits of a digest; its last character is the shard. */
static uint32_t bucket_of(const nx_id *run_id)
{
    uint32_t h = 2166136261u;
    for (unsigned i = 10; i < NX_ID_LEN; i++)
        h = (h ^ (uint8_t)run_id->s[i]) * 16777619u;
    return h % BUCKETS;
}

static bool make_room(nx_core_backoffs *t)
{
    t->v = calloc(BACKOFFS_MAX, sizeof *t->v);
    if (!t->v)
        return false;
    for (uint32_t i = 0; i < BUCKETS; i++)
        t->buckets[i] = NONE;
    for (uint32_t i = 0; i < BACKOFFS_MAX; i++)
        t->v[i].next = i + 1 < BACKOFFS_MAX ? i + 1 : NONE;
    t->free_head = 0;
    return true;
}

static void unlink_at(nx_core_backoffs *t, uint32_t *link)
{
    uint32_t i = *link;
    t->n_given_back -= !t->v[i].b.is_timer;
    *link = t->v[i].next;
    t->v[i].next = t->free_head;
    t->free_head = i;
}

static void sweep(nx_core_backoffs *t, uint64_t now_wall_ns)
{
    for (uint32_t b = 0; b < BUCKETS; b++)
        for (uint32_t *link = &t->buckets[b]; *link != NONE;) {
            if (t->v[*link].b.next_wall_ns + STALE_NS < now_wall_ns)
                unlink_at(t, link);
            else
                link = &t->v[*link].next;
        }
}

/* The link to the run's entry, or NULL. */
static uint32_t *find(nx_core_backoffs *t, const nx_id *run_id)
{
    for (uint32_t *link = t->v ? &t->buckets[bucket_of(run_id)] : NULL; link && *link != NONE; link = &t->v[*link].next)
        if (memcmp(t->v[*link].run_id.s, run_id->s, NX_ID_LEN) == 0)
            return link;
    return NULL;
}

void nx_core_backoffs_put(nx_core_backoffs *t, const nx_id *run_id, const nx_core_backoff *b)
{
    pthread_mutex_lock(&t->mu);
    uint32_t *earlier = find(t, run_id);
    if (earlier)
        unlink_at(t, earlier);
    if ((t->v || make_room(t)) && t->free_head == NONE)
        sweep(t, nx_clock_wall_ns());
    if (t->v && t->free_head != NONE) {
        uint32_t i = t->free_head, *head = &t->buckets[bucket_of(run_id)];
        t->free_head = t->v[i].next;
        t->v[i] = (backoff){*run_id, *head, *b};
        *head = i;
        t->n_given_back += !b->is_timer;
    }
    pthread_mutex_unlock(&t->mu);
}

bool nx_core_backoffs_take(nx_core_backoffs *t, const nx_id *run_id, bool is_timer, nx_core_backoff *ret)
{
    pthread_mutex_lock(&t->mu);
    uint32_t *link = find(t, run_id);
    bool is_found = link && t->v[*link].b.is_timer == is_timer;
    if (is_found) {
        *ret = t->v[*link].b;
        unlink_at(t, link);
    }
    pthread_mutex_unlock(&t->mu);
    return is_found;
}

unsigned nx_core_backoffs_count(nx_core_backoffs *t)
{
    pthread_mutex_lock(&t->mu);
    unsigned n = t->n_given_back;
    pthread_mutex_unlock(&t->mu);
    return n;
}
