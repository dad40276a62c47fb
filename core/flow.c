/* flow.c: `rate_limit` and `throttle`: which events start a run, and when; before both, `debounce` (debounce.c) says which start one at all. Both count
 * starts of runs, by key, over all nodes: the state of a key is one entry of a key-value bucket, changed by compare-and-set, so it outlives nodes and servers.
 *   rate_limit  a window begins with the first event of a key; past `limit` in it, events are skipped: a record says so. An event that comes again
 *               (its node died) is found among the last ones of the window, and counts once.
 *   throttle    each event gets a place in time, one every period/limit after `burst` at once (GCRA); until then it waits in the log: given back for
 *               up to a second, by a timer beyond that. An event that comes again is found among the last ones, and has its place still.
 * Only the first attempt of a run is asked: retries and redrives were let in before. */
#include "dispatch.h"
#include <stdio.h>
#include <stdlib.h>

#define STORE NX_SLICE("_flow") /* no function can name it */
#define STEP_NS (5 * NX_NS_PER_S)
#define TRIES 32u
#define REMEMBERED 64u /* events of a window */
#define MARK_BYTES 12u /* of a run id: its end is a digest */
#define PLACES 24u     /* remembered: "MARK TIME" of up to PLACE_BYTES each */
#define PLACE_BYTES (MARK_BYTES + 22u)
_Static_assert(64u + REMEMBERED * (MARK_BYTES + 1u) <= NX_CORE_FLOW_STATE_BYTES && 64u + PLACES * PLACE_BYTES <= NX_CORE_FLOW_STATE_BYTES, "states fit");
#define SHORT_NS NX_NS_PER_S
#define AGAIN_NS (200 * NX_NS_PER_MS)
#define EARLY_NS (2 * NX_NS_PER_MS)
#define AHEAD_MAX_NS (50 * 365 * 24 * 3600 * NX_NS_PER_S) /* of a burst; with it all times fit */
#define LOCKS 16u

/* Of one process only one thread at a time changes a key: the others would only find it changed. */
static pthread_mutex_t locks[LOCKS] = {[0 ... LOCKS - 1] = PTHREAD_MUTEX_INITIALIZER};

typedef struct change {
    nx_core_run *r;
    const nx_fn_config *f;
    uint64_t now_wall_ns;
    bool is_over;   /* rate_limit */
    uint64_t at_ns; /* throttle: when it may start */
} change;

static uint64_t number(nx_slice *text)
{
    uint64_t v = 0;
    nx_slice word = nx_slice_split(*text, ' ', text);
    return nx_slice_u64(word, UINT64_MAX, &v) == NX_OK ? v : 0;
}

static nx_slice mark_of(const nx_core_run *r) { return nx_slice_make(r->rec.run_id.s + NX_ID_LEN - MARK_BYTES, MARK_BYTES); }

/* "START COUNT MARK MARK …"; the newest mark stands last. False: nothing to be stored. */
static bool count_start(void *self, nx_slice before, char after[NX_CORE_FLOW_STATE_BYTES])
{
    change *c = self;
    const nx_fn_config *f = c->f;
    uint64_t start_ns = number(&before), count = number(&before);
    nx_slice mark = mark_of(c->r), marks = before;
    if (c->now_wall_ns >= start_ns + f->rate_period_ns) {
        start_ns = c->now_wall_ns;
        count = 0;
        marks = NX_SLICE_NULL;
    }
    for (nx_slice rest = marks; rest.n;)
        if (nx_slice_eq(nx_slice_split(rest, ' ', &rest), mark))
            return false; /* it was let in before */
    c->is_over = count >= f->rate_limit;
    if (c->is_over)
        return false;
    size_t most = (REMEMBERED - 1) * (MARK_BYTES + 1u);
    if (marks.n > most)
        marks = nx_slice_sub(marks, marks.n - most, most);
    snprintf(after, NX_CORE_FLOW_STATE_BYTES, "%llu %llu %.*s%s%.*s", (unsigned long long)start_ns, (unsigned long long)count + 1, NX_SLICE_FMT(marks), marks.n ? " " : "",
             NX_SLICE_FMT(mark));
    return true;
}

/* The end of a list of pairs, without the oldest ones past `most`. */
static nx_slice newest_pairs(nx_slice pairs, unsigned most)
{
    unsigned n = 0;
    for (nx_slice rest = pairs; rest.n; n++)
        for (unsigned k = 0; k < 2; k++)
            (void)nx_slice_split(rest, ' ', &rest);
    for (; n > most; n--)
        for (unsigned k = 0; k < 2; k++)
            (void)nx_slice_split(pairs, ' ', &pairs);
    return pairs;
}

/* "NEXT MARK TIME MARK TIME …": the place behind those that are taken, and who has the last ones. */
static bool take_place(void *self, nx_slice before, char after[NX_CORE_FLOW_STATE_BYTES])
{
    change *c = self;
    const nx_fn_config *f = c->f;
    uint64_t between_ns = f->throttle_period_ns / f->throttle, burst = f->throttle_burst - 1, place_ns = number(&before);
    uint64_t ahead_ns = between_ns && burst > AHEAD_MAX_NS / between_ns ? AHEAD_MAX_NS : between_ns * burst;
    nx_slice mark = mark_of(c->r);
    for (nx_slice rest = before; rest.n;) {
        bool is_its_own = nx_slice_eq(nx_slice_split(rest, ' ', &rest), mark);
        c->at_ns = number(&rest);
        if (is_its_own)
            return false;
    }
    if (place_ns < c->now_wall_ns)
        place_ns = c->now_wall_ns;
    c->at_ns = place_ns > c->now_wall_ns + ahead_ns ? place_ns - ahead_ns : c->now_wall_ns;
    nx_slice kept = newest_pairs(before, PLACES - 1);
    snprintf(after, NX_CORE_FLOW_STATE_BYTES, "%llu %.*s%s%.*s %llu", (unsigned long long)place_ns + between_ns, NX_SLICE_FMT(kept), kept.n ? " " : "",
             NX_SLICE_FMT(mark), (unsigned long long)c->at_ns);
    return true;
}

static nx_err change_state(nx_core_run *r, const char *kind, const uint8_t key[NX_CORE_GATE_KEY_BYTES], nx_core_flow_step *step, void *self, nx_error *reterr)
{
    nx_fab_ns *ns = r->d->node->ns;
    char name[NX_FUNCTION_NAME_BYTES + 48], after[NX_CORE_FLOW_STATE_BYTES];
    int k = snprintf(name, sizeof name, "%s.%s.", r->fn->name, kind);
    for (size_t i = 0; i < NX_CORE_GATE_KEY_BYTES; i++)
        k += snprintf(name + k, sizeof name - (size_t)k, "%02x", key[i]);
    uint64_t deadline_ns = nx_clock_ns() + STEP_NS;
    nx_err err = NX_ECONFLICT;
    for (unsigned i = 0; i < TRIES && err == NX_ECONFLICT; i++) {
        nx_slice before = NX_SLICE_NULL;
        uint64_t revision = 0, unused;
        err = nx_fab_store_get(ns, STORE, nx_slice_make(name, (size_t)k), deadline_ns, &r->arena, &before, &revision, reterr);
        if (err != NX_OK && err != NX_ENOENT)
            return err;
        if (!step(self, before, after))
            return NX_OK;
        err = nx_fab_store_put(ns, STORE, nx_slice_make(name, (size_t)k), nx_slice_cstr(after), (int64_t)revision, deadline_ns, &unused, reterr);
    }
    return err;
}

nx_err nx_core_flow_change(nx_core_run *r, const char *kind, nx_slice path, nx_core_flow_step *step, void *self, nx_error *reterr)
{
    uint8_t key[NX_CORE_GATE_KEY_BYTES];
    nx_core_flow_key(r, path, key);
    pthread_mutex_t *mu = &locks[key[0] % LOCKS];
    pthread_mutex_lock(mu);
    nx_err err = change_state(r, kind, key, step, self, reterr);
    pthread_mutex_unlock(mu);
    return err;
}

/* ---- what becomes of it ------------------------------------------------------------------------------------------------------------------ */

void nx_core_run_skip(nx_core_run *r, nx_run_why why, const char *text) { nx_core_run_unexecuted(r, NX_RUN_SKIPPED, why, text); }

void nx_core_run_unexecuted(nx_core_run *r, nx_run_status status, nx_run_why why, const char *text)
{
    r->rec.status = status;
    r->rec.why = why;
    r->rec.message = nx_arena_dup(&r->arena, nx_slice_cstr(text));
    r->rec.start_wall_ns = nx_clock_wall_ns();
    nx_core_run_settle(r);
}

static void skip_as_over(nx_core_run *r)
{
    const nx_fn_config *f = r->fn->settings;
    char text[160], period[32];
    nx_duration_format(f->rate_period_ns, period);
    snprintf(text, sizeof text, "more than %u in %s%s (rate_limit)", f->rate_limit, period, f->rate_key.n ? " with the same key" : "");
    nx_core_run_skip(r, NX_WHY_RATE_LIMITED, text);
}

/* Until its place has come. The timer says that it has one. */
static void wait_until(nx_core_run *r, uint64_t at_wall_ns)
{
    if (at_wall_ns <= nx_clock_wall_ns() + SHORT_NS && !r->timer.function.n) {
        nx_core_run_put_back(r, at_wall_ns, true);
        return;
    }
    nx_fab_timer t = nx_core_run_first_timer(r, NX_CORE_FLOW_NOTE, at_wall_ns);
    t.reply = nx_fab_msg_reply(r->msg);
    nx_core_run_put_off(r, &t);
}

static void admit_job(nx_core_job *job)
{
    nx_core_run *r = (nx_core_run *)(void *)((char *)job - offsetof(nx_core_run, job));
    change c = {.r = r, .f = r->fn->settings, .now_wall_ns = nx_clock_wall_ns()};
    nx_error e = NX_ERROR_INIT;
    bool runs = true;
    nx_err err = c.f->debounce_ns ? nx_core_run_debounce(r, &runs, &e) : NX_OK;
    if (!runs && err == NX_OK)
        return;
    if (err == NX_OK && c.f->rate_limit)
        err = nx_core_flow_change(r, "r", c.f->rate_key, count_start, &c, &e);
    if (err == NX_OK && c.is_over) {
        skip_as_over(r);
        return;
    }
    if (err == NX_OK && c.f->throttle)
        err = nx_core_flow_change(r, "t", c.f->throttle_key, take_place, &c, &e);
    if (err != NX_OK) {
        nx_log(NX_LOG_WARN, "flow.no_state", "the limits of '%s' could not be looked at (%s); event %s is looked at again", r->fn->name, e.msg, r->event.event_id.s);
        nx_core_run_put_back(r, nx_clock_wall_ns() + NX_NS_PER_S, false);
        return;
    }
    r->is_admitted = true;
    if (c.at_ns > nx_clock_wall_ns() + EARLY_NS)
        wait_until(r, c.at_ns);
    else
        nx_core_run_execute(r);
}

void nx_core_run_admit(nx_core_run *r)
{
    const nx_fn_config *f = r->fn->settings;
    if (nx_core_batch_takes(r)) {
        nx_core_batch_add(r);
        return;
    }
    if ((!f->rate_limit && !f->throttle && !f->debounce_ns) || r->is_admitted || r->rec.attempt > 1 || r->rec.generation) {
        nx_core_run_execute(r);
        return;
    }
    r->job.run = admit_job;
    if (nx_core_jobs_post(r->d->node->jobs, &r->job) != NX_OK)
        nx_core_run_put_back(r, nx_clock_wall_ns() + AGAIN_NS, false);
}
