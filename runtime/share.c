/* share.c: who gets the next slot. Each function has a share: what it submitted and has not begun, and guests of its that want their slot back.
 * The next slot goes to the group that has used least of them, and in it to the share that has (line.c, group.c).
 * So a backlog of one function delays the others by what is in the slots at that moment, and guests that are long in a slot are asked to give
 * it back (slot.c). All of it under workers.mu. */
#include <stdlib.h>

#include "nx/clock.h"
#include "rt_internal.h"

#define CPU_PERIOD_NS (100 * NX_NS_PER_MS) /* of which a share with a limit may use its part at once */
#define CPU_LEAST_NS NX_NS_PER_MS

/* After anything about a share has changed: is it in the lines that it should be in, and where? */
static void place(nx_rt_share *s)
{
    nx_rt_line_place(&s->group->shares, &s->turn, NX_RT_BEGIN, s->head && !s->is_throttled && !s->is_held);
    nx_rt_line_place(&s->group->shares, &s->turn, NX_RT_RESUME, s->waiting && !s->is_throttled);
    nx_rt_group_place_locked(s->group);
}

static void wake_up(nx_rt_share *s)
{
    nx_rt_line_wake(&s->group->shares, &s->turn);
    nx_rt_line_wake(&s->group->rt->workers.groups, &s->group->turn);
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
    if (s->is_throttled || nx_rt_share_is_canceled(s)) return;
    s->is_throttled = true;
    s->next_throttled = w->throttled;
    w->throttled = s;
    nx_rt_epoch_enter(&r->epoch); /* its ticks end the pause */
    place(s);
    nx_rt_held_release_locked(w); /* its group may have no other guest to go on with now */
}

bool nx_rt_shares_tick_locked(nx_rt *r, uint64_t now_ns)
{
    nx_rt_workers *w = &r->workers;
    bool is_any = false;
    for (nx_rt_share **at = &w->throttled; *at;) {
        nx_rt_share *s = *at;
        if (s->cpu_milli) refill(s, now_ns);
        if (s->cpu_milli && s->budget_ns <= 0 && !nx_rt_share_is_canceled(s)) {
            at = &s->next_throttled;
            continue;
        }
        *at = s->next_throttled;
        s->is_throttled = false;
        nx_rt_epoch_leave(&r->epoch);
        place(s);
        is_any = true;
    }
    return is_any;
}

/* ---- what goes in and out */

static void queued(nx_rt_workers *w, nx_rt_share *s, int by)
{
    s->turn.queued += (unsigned)by;
    s->group->turn.queued += (unsigned)by;
    w->queued += (unsigned)by;
}

static void waiting(nx_rt_share *s, int by)
{
    s->turn.waiting += (unsigned)by;
    s->group->turn.waiting += (unsigned)by;
}

/* Of what its group, which has `mine`, may still take of what is `left`, a share may have four fifths: others of its group find some. */
static unsigned left_of_group(unsigned left, unsigned mine) { return 4 * left > mine ? (4 * left - mine) / 5 : 0; }

/* However long the backlog of one share is, others of its group find room; and those of other groups, however many backlogs it has. */
static bool has_room(const nx_rt_workers *w, const nx_rt_share *s)
{
    unsigned left = w->queue_max - w->queued, mine = s->group->turn.queued;
    if (!left || nx_rt_is_too_much(mine, left)) return false;
    return !nx_rt_is_too_much(s->turn.queued, left_of_group(left, mine));
}

nx_err nx_rt_share_push_locked(nx_rt_workers *w, nx_attempt *a)
{
    nx_rt_share *s = a->share;
    if (!has_room(w, s)) return NX_EBUSY;
    wake_up(s);
    nx_attempt **at = s->tail;
    if (a->rank_ns) { /* lowest first; one without a rank was pushed last, and stays there */
        for (at = &s->head; *at && (*at)->rank_ns <= a->rank_ns;) at = (nx_attempt **)&(*at)->mail.next;
    }
    a->mail.next = (nx_mail *)*at;
    *at = a;
    if (!a->mail.next) s->tail = (nx_attempt **)&a->mail.next;
    queued(w, s, 1);
    place(s);
    return NX_OK;
}

void nx_rt_share_take_back_locked(nx_rt_workers *w, nx_attempt *a)
{
    nx_rt_share *s = a->share;
    nx_attempt **at = &s->head;
    while (*at != a) at = (nx_attempt **)&(*at)->mail.next;
    *at = (nx_attempt *)a->mail.next;
    if (!*at) s->tail = at;
    queued(w, s, -1);
    place(s);
}

void nx_rt_share_await_locked(nx_rt_exec *x)
{
    nx_rt_share *s = x->share;
    wake_up(s);
    x->next_waiting = NULL;
    *s->waiting_tail = x;
    s->waiting_tail = &x->next_waiting;
    waiting(s, 1);
    place(s);
}

static nx_rt_share *first(const nx_rt_workers *w, nx_rt_want want)
{
    nx_rt_group *g = (nx_rt_group *)nx_rt_line_first(&w->groups, want);
    return g ? (nx_rt_share *)nx_rt_line_first(&g->shares, want) : NULL;
}

bool nx_rt_share_goes_before(const nx_rt_share *a, const nx_rt_share *b, uint64_t by_ns)
{
    const nx_rt_turn *ta = a->group == b->group ? &a->turn : &a->group->turn, *tb = a->group == b->group ? &b->turn : &b->group->turn;
    return ta->vtime + by_ns < tb->vtime;
}

/* True: it has too many threads outside of slots to begin anything, and is out of the line now. */
static bool hold(nx_rt_workers *w, nx_rt_share *s)
{
    const nx_rt_group *g = s->group;
    if (!nx_rt_is_too_much(s->begun - s->turn.running, left_of_group(nx_rt_spare_left(w), g->begun - g->turn.running))) return false;
    s->is_held = true;
    s->next_held = w->held_shares;
    w->held_shares = s;
    place(s);
    return true;
}

void nx_rt_shares_release_locked(nx_rt_workers *w)
{
    while (w->held_shares) {
        nx_rt_share *s = w->held_shares;
        w->held_shares = s->next_held;
        s->is_held = false;
        place(s);
    }
}

/* A guest that has begun has its thread; an attempt to begin needs one. */
nx_rt_share *nx_rt_share_next_locked(nx_rt_workers *w)
{
    nx_rt_share *begun = first(w, NX_RT_RESUME), *fresh = w->begun < w->thread_limit ? first(w, NX_RT_BEGIN) : NULL;
    while (fresh && (nx_rt_group_hold_locked(fresh->group) || hold(w, fresh))) fresh = first(w, NX_RT_BEGIN);
    return fresh && (!begun || nx_rt_share_goes_before(fresh, begun, 0)) ? fresh : begun;
}

nx_rt_exec *nx_rt_share_resume_locked(nx_rt_workers *w, nx_rt_share *s)
{
    nx_rt_exec *x = s->waiting;
    s->waiting = x->next_waiting;
    if (!s->waiting) s->waiting_tail = &s->waiting;
    waiting(s, -1);
    nx_rt_share_enter_locked(w, s);
    nx_rt_held_release_locked(w); /* fewer are outside of slots */
    return x;
}

nx_attempt *nx_rt_share_pop_locked(nx_rt_workers *w, nx_rt_share *s)
{
    nx_attempt *a = s->head;
    s->head = (nx_attempt *)a->mail.next;
    if (!s->head) s->tail = &s->head;
    queued(w, s, -1);
    s->begun++;
    nx_rt_group_begin_locked(s->group);
    nx_rt_share_enter_locked(w, s);
    return a;
}

void nx_rt_share_enter_locked(nx_rt_workers *w, nx_rt_share *s)
{
    w->running++;
    nx_rt_line_enter(&s->group->shares, &s->turn);
    nx_rt_line_enter(&w->groups, &s->group->turn);
    place(s);
}

void nx_rt_share_charge_locked(nx_rt_share *s, uint64_t slot_ns, uint64_t cpu_ns, uint64_t now_ns)
{
    nx_rt *r = s->group->rt;
    nx_rt_line_charge(&s->group->shares, &s->turn, slot_ns);
    nx_rt_line_charge(&r->workers.groups, &s->group->turn, slot_ns);
    if (!s->cpu_milli) return;
    refill(s, now_ns);
    s->budget_ns -= (int64_t)cpu_ns;
    if (s->budget_ns <= 0) throttle(r, s);
}

/* ---- shares */

void nx_rt_share_init(nx_rt_share *s, nx_rt_group *g)
{
    s->group = g;
    s->refs = 1;
    s->turn.weight = NX_RT_WEIGHT;
    s->tail = &s->head;
    s->waiting_tail = &s->waiting;
}

nx_err nx_rt_share_new(nx_rt_group *g, nx_rt_share **ret)
{
    nx_rt_workers *w = &g->rt->workers;
    nx_rt_share *s = calloc(1, sizeof *s);
    if (!s) return NX_ENOMEM;
    nx_rt_share_init(s, g);
    (void)pthread_mutex_lock(&w->mu);
    nx_err err = nx_rt_line_join(&g->shares);
    (void)pthread_mutex_unlock(&w->mu);
    if (err) free(s);
    else *ret = s;
    return err;
}

nx_rt_share *nx_rt_share_ref(nx_rt_share *s)
{
    nx_rt_workers *w = &s->group->rt->workers;
    (void)pthread_mutex_lock(&w->mu);
    s->refs++;
    (void)pthread_mutex_unlock(&w->mu);
    return s;
}

/* Whoever lets go of it last: its last user, or the slot that its last attempt is in. */
static void free_if_unused_locked(nx_rt_share *s)
{
    nx_rt_group *g = s->group;
    nx_rt_share **at = &g->rt->workers.throttled;
    if (s->refs || s->turn.running) return;
    if (s->is_held) nx_rt_shares_release_locked(&g->rt->workers);
    if (s->is_throttled) {
        while (*at != s) at = &(*at)->next_throttled;
        *at = s->next_throttled;
        nx_rt_epoch_leave(&g->rt->epoch);
    }
    g->shares.n_members--;
    free(s);
    nx_rt_group_free_if_unused_locked(g);
}

void nx_rt_share_unref(nx_rt_share *s)
{
    if (!s) return;
    nx_rt_workers *w = &s->group->rt->workers;
    (void)pthread_mutex_lock(&w->mu);
    s->refs--;
    free_if_unused_locked(s);
    (void)pthread_mutex_unlock(&w->mu);
}

void nx_rt_share_leave_locked(nx_rt_share *s, uint64_t slot_ns, uint64_t cpu_ns, uint64_t now_ns)
{
    s->turn.running--;
    s->group->turn.running--;
    s->group->rt->workers.running--;
    nx_rt_share_charge_locked(s, slot_ns, cpu_ns, now_ns);
    free_if_unused_locked(s);
}

void nx_rt_share_set(nx_rt_share *s, unsigned weight, unsigned cpu_milli)
{
    nx_rt_workers *w = &s->group->rt->workers;
    (void)pthread_mutex_lock(&w->mu);
    s->turn.weight = weight ? weight : NX_RT_WEIGHT;
    if (s->cpu_milli != cpu_milli) {
        s->cpu_milli = cpu_milli;
        s->refilled_ns = nx_clock_ns();
        s->budget_ns = budget_max(s);
    }
    (void)pthread_mutex_unlock(&w->mu);
}
