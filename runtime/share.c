/* share.c: who gets the next slot. Each function has a share: what it submitted and has not begun, and guests of its that want their slot back.
 * The next slot goes to the share that has used least of them: to the one with the smallest `vtime`, which is its time in slots divided by its weight.
 * So a backlog of one function delays the others by what is in the slots at that moment, and guests that are long in a slot are asked to give
 * it back (pause.c).
 *
 * An idle share does not save up for later: when it has something to run again, its vtime is brought up to `vnow`, that of the share that was
 * served last, but for SLEEPER_NS, by which it goes before those that never sleep. Nor does a share pay for ever for slots that nobody else wanted: its
 * lead over vnow is cut at LEAD_NS. All of it under workers.mu. */
#include <stdlib.h>

#include "nx/clock.h"
#include "rt_internal.h"

#define SLEEPER_NS (2 * NX_NS_PER_MS)
#define LEAD_NS (50 * NX_NS_PER_MS)
#define CPU_PERIOD_NS (100 * NX_NS_PER_MS) /* of which a share with a limit may use its part at once */
#define CPU_LEAST_NS NX_NS_PER_MS

/* ---- the heap of shares that want a slot; place 1 is the top */

static bool goes_before(const nx_rt_share *a, const nx_rt_share *b) { return a->vtime < b->vtime; }

static void put_at(nx_rt_workers *w, nx_rt_share *s, unsigned at)
{
    w->heap[at] = s;
    s->heap_at = at;
}

static void sift(nx_rt_workers *w, nx_rt_share *s)
{
    unsigned at = s->heap_at;
    for (; at > 1 && goes_before(s, w->heap[at / 2]); at /= 2) put_at(w, w->heap[at / 2], at);
    for (unsigned child; (child = 2 * at) <= w->n_heap; at = child) {
        if (child < w->n_heap && goes_before(w->heap[child + 1], w->heap[child])) child++;
        if (!goes_before(w->heap[child], s)) break;
        put_at(w, w->heap[child], at);
    }
    put_at(w, s, at);
}

static void leave_heap(nx_rt_workers *w, nx_rt_share *s)
{
    unsigned at = s->heap_at;
    nx_rt_share *last = w->heap[w->n_heap--];
    s->heap_at = 0;
    if (last == s) return;
    last->heap_at = at;
    w->heap[at] = last;
    sift(w, last);
}

/* After anything about a share has changed: is it in the heap if it should be, and where? */
static void place(nx_rt_workers *w, nx_rt_share *s)
{
    bool wants = (s->head || s->waiting) && !s->is_throttled;
    if (wants && s->heap_at) {
        sift(w, s);
    } else if (wants) {
        put_at(w, s, ++w->n_heap);
        sift(w, s);
    } else if (s->heap_at) {
        leave_heap(w, s);
    }
}

static void wake_up(nx_rt_workers *w, nx_rt_share *s)
{
    uint64_t least = w->vnow > SLEEPER_NS ? w->vnow - SLEEPER_NS : 0;
    if (!s->running && !s->head && !s->waiting && s->vtime < least) s->vtime = least;
}

/* ---- CPU limits */

static int64_t budget_max(const nx_rt_share *s)
{
    uint64_t ns = CPU_PERIOD_NS * s->cpu_milli / 1000;
    return (int64_t)(ns > CPU_LEAST_NS ? ns : CPU_LEAST_NS);
}

static void refill(nx_rt_share *s, uint64_t now_ns)
{
    if (now_ns <= s->refilled_ns) return; /* who read the clock before it waited for the lock */
    uint64_t past_ns = now_ns - s->refilled_ns;
    int64_t most = budget_max(s);
    if (past_ns > UINT64_MAX / 2 / (s->cpu_milli + 1)) past_ns = UINT64_MAX / 2 / (s->cpu_milli + 1);
    int64_t more = (int64_t)(past_ns * s->cpu_milli / 1000);
    s->refilled_ns = now_ns;
    s->budget_ns = more > most - s->budget_ns ? most : s->budget_ns + more;
}

static void throttle(nx_rt *r, nx_rt_share *s)
{
    nx_rt_workers *w = &r->workers;
    if (s->is_throttled || atomic_load(&w->is_canceled)) return;
    s->is_throttled = true;
    s->next_throttled = w->throttled;
    w->throttled = s;
    nx_rt_epoch_enter(&r->epoch); /* its ticks end the pause */
    place(w, s);
}

bool nx_rt_shares_tick_locked(nx_rt *r, uint64_t now_ns)
{
    nx_rt_workers *w = &r->workers;
    bool is_any = false;
    for (nx_rt_share **at = &w->throttled; *at;) {
        nx_rt_share *s = *at;
        if (s->cpu_milli) refill(s, now_ns);
        if (s->cpu_milli && s->budget_ns <= 0 && !atomic_load(&w->is_canceled)) {
            at = &s->next_throttled;
            continue;
        }
        *at = s->next_throttled;
        s->is_throttled = false;
        nx_rt_epoch_leave(&r->epoch);
        place(w, s);
        is_any = true;
    }
    return is_any;
}

/* ---- what goes in and out */

nx_err nx_rt_share_push_locked(nx_rt_workers *w, nx_attempt *a)
{
    nx_rt_share *s = a->share;
    /* Of what is free a share may take four fifths: however long one's backlog is, others find room. */
    if (w->queued >= w->queue_max || (s->queued > 1 && s->queued > 4 * (w->queue_max - w->queued))) return NX_EBUSY;
    wake_up(w, s);
    nx_attempt **at = s->tail;
    if (a->rank_ns) { /* lowest first; one without a rank was pushed last, and stays there */
        for (at = &s->head; *at && (*at)->rank_ns <= a->rank_ns;) at = (nx_attempt **)&(*at)->mail.next;
    }
    a->mail.next = (nx_mail *)*at;
    *at = a;
    if (!a->mail.next) s->tail = (nx_attempt **)&a->mail.next;
    s->queued++;
    w->queued++;
    place(w, s);
    return NX_OK;
}

void nx_rt_share_take_back_locked(nx_rt_workers *w, nx_attempt *a)
{
    nx_rt_share *s = a->share;
    nx_attempt **at = &s->head;
    while (*at != a) at = (nx_attempt **)&(*at)->mail.next;
    *at = (nx_attempt *)a->mail.next;
    if (!*at) s->tail = at;
    s->queued--;
    w->queued--;
    place(w, s);
}

void nx_rt_share_await_locked(nx_rt_workers *w, nx_rt_exec *x)
{
    nx_rt_share *s = x->share;
    wake_up(w, s);
    x->next_waiting = NULL;
    *s->waiting_tail = x;
    s->waiting_tail = &x->next_waiting;
    place(w, s);
}

nx_rt_share *nx_rt_share_next_locked(nx_rt_workers *w) { return w->n_heap ? w->heap[1] : NULL; }

nx_rt_exec *nx_rt_share_resume_locked(nx_rt_workers *w, nx_rt_share *s)
{
    nx_rt_exec *x = s->waiting;
    s->waiting = x->next_waiting;
    if (!s->waiting) s->waiting_tail = &s->waiting;
    nx_rt_share_enter_locked(w, s);
    return x;
}

nx_attempt *nx_rt_share_pop_locked(nx_rt_workers *w, nx_rt_share *s)
{
    nx_attempt *a = s->head;
    s->head = (nx_attempt *)a->mail.next;
    if (!s->head) s->tail = &s->head;
    s->queued--;
    w->queued--;
    nx_rt_share_enter_locked(w, s);
    return a;
}

void nx_rt_share_enter_locked(nx_rt_workers *w, nx_rt_share *s)
{
    s->running++;
    w->running++;
    if (s->vtime > w->vnow) w->vnow = s->vtime;
    place(w, s);
}

void nx_rt_share_charge_locked(nx_rt *r, nx_rt_share *s, uint64_t slot_ns, uint64_t cpu_ns, uint64_t now_ns)
{
    nx_rt_workers *w = &r->workers;
    uint64_t lead = s->weight < NX_RT_WEIGHT ? LEAD_NS * NX_RT_WEIGHT / s->weight : LEAD_NS;
    s->vtime += slot_ns * NX_RT_WEIGHT / s->weight;
    if (s->vtime > w->vnow + lead) s->vtime = w->vnow + lead;
    if (s->heap_at) sift(w, s);
    if (!s->cpu_milli) return;
    refill(s, now_ns);
    s->budget_ns -= (int64_t)cpu_ns;
    if (s->budget_ns <= 0) throttle(r, s);
}

/* ---- shares */

static void share_init(nx_rt_share *s, nx_rt *r)
{
    s->rt = r;
    s->refs = 1;
    s->weight = NX_RT_WEIGHT;
    s->tail = &s->head;
    s->waiting_tail = &s->waiting;
}

nx_err nx_rt_shares_start(nx_rt *r)
{
    nx_rt_workers *w = &r->workers;
    w->heap_max = 16;
    w->n_shares = 1;
    w->heap = malloc((w->heap_max + 1) * sizeof(nx_rt_share *));
    share_init(&w->common, r);
    return w->heap ? NX_OK : NX_ENOMEM;
}

void nx_rt_shares_stop(nx_rt *r) { free(r->workers.heap); }

nx_err nx_rt_share_new(nx_rt *r, nx_rt_share **ret)
{
    nx_rt_workers *w = &r->workers;
    nx_rt_share *s = calloc(1, sizeof *s);
    if (!s) return NX_ENOMEM;
    share_init(s, r);
    (void)pthread_mutex_lock(&w->mu);
    nx_err err = NX_OK;
    if (w->n_shares == w->heap_max) { /* there is always a place for each of them, so that nothing can fail later */
        nx_rt_share **more = realloc(w->heap, (2 * w->heap_max + 1) * sizeof(nx_rt_share *));
        err = more ? NX_OK : NX_ENOMEM;
        w->heap = more ? more : w->heap;
        w->heap_max = more ? 2 * w->heap_max : w->heap_max;
    }
    if (!err) w->n_shares++;
    (void)pthread_mutex_unlock(&w->mu);
    if (err) free(s);
    else *ret = s;
    return err;
}

nx_rt_share *nx_rt_share_ref(nx_rt_share *s)
{
    (void)pthread_mutex_lock(&s->rt->workers.mu);
    s->refs++;
    (void)pthread_mutex_unlock(&s->rt->workers.mu);
    return s;
}

/* Whoever lets go of it last: its last user, or the slot that its last attempt is in. */
static void free_if_unused_locked(nx_rt_share *s)
{
    nx_rt *r = s->rt;
    nx_rt_share **at = &r->workers.throttled;
    if (s->refs || s->running) return;
    if (s->is_throttled) {
        while (*at != s) at = &(*at)->next_throttled;
        *at = s->next_throttled;
        nx_rt_epoch_leave(&r->epoch);
    }
    r->workers.n_shares--;
    free(s);
}

void nx_rt_share_unref(nx_rt_share *s)
{
    if (!s) return;
    nx_rt_workers *w = &s->rt->workers;
    (void)pthread_mutex_lock(&w->mu);
    s->refs--;
    free_if_unused_locked(s);
    (void)pthread_mutex_unlock(&w->mu);
}

void nx_rt_share_leave_locked(nx_rt *r, nx_rt_share *s, uint64_t slot_ns, uint64_t cpu_ns, uint64_t now_ns)
{
    s->running--;
    r->workers.running--;
    nx_rt_share_charge_locked(r, s, slot_ns, cpu_ns, now_ns);
    free_if_unused_locked(s);
}

void nx_rt_share_set(nx_rt_share *s, unsigned weight, unsigned cpu_milli)
{
    nx_rt_workers *w = &s->rt->workers;
    (void)pthread_mutex_lock(&w->mu);
    s->weight = weight ? weight : NX_RT_WEIGHT;
    if (s->cpu_milli != cpu_milli) {
        s->cpu_milli = cpu_milli;
        s->refilled_ns = nx_clock_ns();
        s->budget_ns = budget_max(s);
    }
    (void)pthread_mutex_unlock(&w->mu);
}
