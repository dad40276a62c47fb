/* line.c: who stands in line for slots, and who is first: shares in the line of their group, groups in that of the runtime. First is who has used
 * least: the one with the smallest `vtime`, which is its time in slots divided by its weight.
 *
 * Who idles does not save up for later: when it has something to run again, its vtime is brought up to `vnow`, that of the one that was served last,
 * but for SLEEPER_NS, by which it goes before those that never sleep. Nor does one pay for ever for slots that nobody else wanted: its lead over vnow
 * is cut at LEAD_NS. Where others do want them vnow moves on to the first of those at that point: of two that both have as much lead as counts (each
 * was charged for a time in which the machine was busy with something else) neither would ever have used less. All of it under workers.mu. */
#include <stdlib.h>

#include "nx/clock.h"
#include "rt_internal.h"

#define SLEEPER_NS (2 * NX_NS_PER_MS)
#define LEAD_NS (50 * NX_NS_PER_MS)
#define MEMBERS_MIN 16u

nx_err nx_rt_line_join(nx_rt_line *l)
{
    unsigned more = l->max ? 2 * l->max : MEMBERS_MIN;
    for (unsigned i = 0; i < NX_RT_WANTS && l->n_members == l->max; i++) { /* there is always a place for each of them, so that nothing can fail later */
        nx_rt_turn **at = realloc(l->heaps[i].at, (more + 1) * sizeof(nx_rt_turn *));
        if (!at) return NX_ENOMEM;
        l->heaps[i].at = at;
    }
    if (l->n_members == l->max) l->max = more;
    l->n_members++;
    return NX_OK;
}

void nx_rt_line_done(nx_rt_line *l)
{
    for (unsigned i = 0; i < NX_RT_WANTS; i++) free(l->heaps[i].at);
}

/* ---- the heaps; place 1 is the top */

static bool goes_before(const nx_rt_turn *a, const nx_rt_turn *b) { return a->vtime < b->vtime; }

static void put_at(nx_rt_line *l, nx_rt_want want, nx_rt_turn *t, unsigned at)
{
    l->heaps[want].at[at] = t;
    t->at[want] = at;
}

static void sift(nx_rt_line *l, nx_rt_want want, nx_rt_turn *t)
{
    nx_rt_turn *const *heap = l->heaps[want].at;
    unsigned n = l->heaps[want].n, at = t->at[want];
    if (n == 1) return;
    for (; at > 1 && goes_before(t, heap[at / 2]); at /= 2) put_at(l, want, heap[at / 2], at);
    for (unsigned child; (child = 2 * at) <= n; at = child) {
        if (child < n && goes_before(heap[child + 1], heap[child])) child++;
        if (!goes_before(heap[child], t)) break;
        put_at(l, want, heap[child], at);
    }
    put_at(l, want, t, at);
}

static void leave_heap(nx_rt_line *l, nx_rt_want want, nx_rt_turn *t)
{
    unsigned at = t->at[want];
    nx_rt_turn *last = l->heaps[want].at[l->heaps[want].n--];
    t->at[want] = 0;
    if (last == t) return;
    put_at(l, want, last, at);
    sift(l, want, last);
}

void nx_rt_line_change(nx_rt_line *l, nx_rt_turn *t, nx_rt_want want)
{
    if (t->at[want]) {
        leave_heap(l, want, t);
    } else {
        put_at(l, want, t, ++l->heaps[want].n);
        sift(l, want, t);
    }
}

nx_rt_turn *nx_rt_line_first(const nx_rt_line *l, nx_rt_want want) { return l->heaps[want].n ? l->heaps[want].at[1] : NULL; }

/* ---- time */

void nx_rt_line_wake(const nx_rt_line *l, nx_rt_turn *t)
{
    uint64_t least = l->vnow > SLEEPER_NS ? l->vnow - SLEEPER_NS : 0;
    if (!t->running && !t->queued && !t->waiting && t->vtime < least) t->vtime = least;
}

void nx_rt_line_enter(nx_rt_line *l, nx_rt_turn *t)
{
    t->running++;
    if (t->vtime > l->vnow) l->vnow = t->vtime;
}

/* The least vtime of those that want something, but t; at most `most`. Where t is the top, the next one is below it. */
static uint64_t least_of_others(const nx_rt_line *l, const nx_rt_turn *t, uint64_t most)
{
    bool is_any = false;
    uint64_t least = most;
    for (unsigned want = 0; want < NX_RT_WANTS; want++) {
        unsigned n = l->heaps[want].n;
        for (unsigned at = 1; at <= 3 && at <= n; at++) {
            const nx_rt_turn *o = l->heaps[want].at[at];
            is_any |= o != t;
            if (o != t && o->vtime < least) least = o->vtime;
        }
    }
    return is_any ? least : 0;
}

void nx_rt_line_charge(nx_rt_line *l, nx_rt_turn *t, uint64_t slot_ns)
{
    uint64_t lead = t->weight < NX_RT_WEIGHT ? LEAD_NS * NX_RT_WEIGHT / t->weight : LEAD_NS;
    t->vtime += slot_ns * NX_RT_WEIGHT / t->weight;
    if (t->vtime > l->vnow + lead) {
        uint64_t least = least_of_others(l, t, t->vtime);
        if (least > l->vnow) l->vnow = least;
    }
    if (t->vtime > l->vnow + lead) t->vtime = l->vnow + lead;
    nx_rt_line_moved(l, t);
}

void nx_rt_line_moved(nx_rt_line *l, nx_rt_turn *t)
{
    for (unsigned i = 0; i < NX_RT_WANTS; i++)
        if (t->at[i]) sift(l, i, t);
}
