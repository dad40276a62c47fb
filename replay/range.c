/* range.c: see range.h. */
#include "range.h"
#include "keep.h"
#include "lanes.h"
#include "nx/recall.h"
#include "range_codes.h"
#include "range_order.h"
#include "verdict.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define COLLECTORS_MAX 8
#define PENDING_MAX (NX_FAB_RANGE_MAX + NX_RANGE_HELD)
#define NOTES_BYTES_MAX (32u << 20) /* of one page */
#define WAIT_NS (100 * NX_NS_PER_MS)
#define FOLLOW_NS (200 * NX_NS_PER_MS)
#define PACE_NS (20 * NX_NS_PER_MS) /* with a rate: how much of it is let go at once */
#define WORKERS_MAX 64u
#define PLACE_BYTES 256u

typedef struct page page;

typedef struct item {
    nx_lane_item lane; /* first: what lanes give back */
    page *page;
    unsigned index;
    nx_range_code *code; /* reference; NULL: the event is gone */
    nx_replay_verdict verdict;
    uint32_t note_at[COLLECTORS_MAX], note_n[COLLECTORS_MAX];
} item;

struct page {
    page *next;
    nx_fab_batch batch;
    nx_fab_place last;       /* with an order: the last one that was read; zeros where the stretch ends here */
    uint64_t behind, so_far; /* and where the stretch ends, and how far in the range that is */
    item items[NX_FAB_RANGE_MAX];
    atomic_uint left;
    pthread_mutex_t mu; /* guards notes */
    nx_buf notes;
};

typedef struct range {
    nx_node *node;
    nx_job *job;
    const nx_range_options *o;
    nx_lanes *lanes;
    unsigned n_workers;
    nx_replay_repetition *repetitions[WORKERS_MAX], *recalling[WORKERS_MAX]; /* the latter NULL until one is needed */
    nx_buf note[WORKERS_MAX];
    const nx_range_collector *collectors[COLLECTORS_MAX];
    void *selves[COLLECTORS_MAX];
    unsigned n_collectors;
    nx_range_codes codes;
    page *free, *oldest, **newest; /* pages under way, in the order in which they were read */
    item *pending[PENDING_MAX];    /* read, and not put on a lane yet; sorted by the event's place */
    unsigned n_pending, let_go;    /* of them, from the start on */
    uint32_t turn;                 /* next lane for events without a key */
    nx_fab_ahead ahead;
    uint64_t read_seq, place_seq; /* next to read; everything before it is in the summary */
    bool is_in_order;             /* of the events, by `order`; else of the records, and nearly that of the events */
    nx_range_order order;
    nx_fab_place place;    /* with an order: up to there it is in the summary, from place_seq on */
    uint64_t place_behind; /* and the stretch ends before it; 0: at the range's end, or not begun */
    bool is_read;          /* nothing more to read (now, when following) */
    uint64_t look_again_ns;
    uint64_t pace_ns; /* when the next event may go, with a rate */
    uint64_t done;
} range;

/* ---- on a worker ---------------------------------------------------------------------------------------------------------------------------- */

static void take_notes(range *g, item *it, const nx_replay_result *r, nx_buf *note)
{
    page *p = it->page;
    for (unsigned i = 0; i < g->n_collectors; i++) {
        nx_buf_clear(note);
        g->collectors[i]->note(g->selves[i], r, note);
        if (!note->n)
            continue;
        pthread_mutex_lock(&p->mu);
        if (nx_buf_append(&p->notes, note->p, note->n) == NX_OK) {
            it->note_at[i] = (uint32_t)(p->notes.n - note->n);
            it->note_n[i] = (uint32_t)note->n;
        }
        pthread_mutex_unlock(&p->mu);
    }
}

static const nx_replay_result *repeat(const range *g, const item *it, nx_replay_repetition *rep, nx_replay_how *how)
{
    const nx_run *run = &it->page->batch.runs[it->index];
    const nx_event *event = &it->page->batch.events[it->index];
    *how = (nx_replay_how){.effects = g->o->effects, .node = *nx_core_node_id(g->node)};
    if (g->o->effects == NX_EFFECTS_LIVE) { /* it leaves a record */
        how->run_id = nx_run_id_new(nx_clock_wall_ns(), run->function, nx_id_shard(&run->event_id));
        nx_trace_new(&how->trace);
    }
    if (!it->code)
        return nx_replay_refuse(rep, event, run, how, false, "the event is no longer stored", "retention is over");
    nx_replay_code_use(&it->code->code, how);
    if (it->code->is_failed)
        return nx_replay_refuse(rep, event, run, how, it->code->code.is_missing, it->code->code.failed, it->code->detail);
    return nx_replay_repeat(rep, it->code->code.program, event, run, how);
}

/* What was emitted then, where something else is emitted now: a record has only digests of it. False: `ret` is not filled. */
static bool recall(range *g, unsigned worker, const item *it, const nx_replay_result *r, const nx_replay_how *how, nx_replay_recollection *ret)
{
    char reason[64];
    if (!r->replayed || nx_replay_same_emitted(r->original, r->replayed, reason, sizeof reason))
        return false;
    nx_rt_program *recorded = it->code->code.is_recorded ? it->code->code.program : it->code->recorded.program;
    nx_replay_repetition **p = &g->recalling[worker];
    if (!recorded || (!*p && nx_replay_repetition_new(nx_core_runtime(g->node), p) != NX_OK))
        return false;
    nx_replay_recall(*p, recorded, r->event, r->original, how, ret);
    return true;
}

static void work(void *self, unsigned worker, nx_lane_item *lane_item)
{
    range *g = self;
    item *it = (item *)(void *)lane_item;
    page *p = it->page;
    nx_replay_how how;
    const nx_replay_result *r = repeat(g, it, g->repetitions[worker], &how);
    nx_replay_result told;
    nx_replay_recollection was;
    it->verdict = r->verdict;
    if (r->replayed && g->o->effects == NX_EFFECTS_LIVE) /* what reached the outside is not forgotten */
        nx_replay_keep(g->node, r);
    if (recall(g, worker, it, r, &how, &was)) {
        told = *r;
        told.emits = was.emits;
        told.emits_known = was.knows;
        r = &told;
    }
    take_notes(g, it, r, &g->note[worker]);
    nx_range_code_unref(it->code);
    it->code = NULL;
    atomic_fetch_sub(&p->left, 1);
}

/* ---- reading -------------------------------------------------------------------------------------------------------------------------------- */

static nx_err prepare(range *g, page *p, unsigned i, nx_error *reterr)
{
    item *it = &p->items[i];
    const nx_run *run = &p->batch.runs[i];
    const nx_event *event = &p->batch.events[i];
    *it = (item){.page = p, .index = i};
    it->lane.lane = event->partition_key.n ? nx_shard_of(event->partition_key) : g->turn++ / 8;
    return event->stream_seq ? nx_range_codes_get(&g->codes, g->node, g->o, run, &it->code, reterr) : NX_OK;
}

static int by_event(const void *a, const void *b)
{
    const item *x = *(item *const *)a, *y = *(item *const *)b;
    const nx_run *r = &x->page->batch.runs[x->index], *s = &y->page->batch.runs[y->index];
    if (r->event_seq != s->event_seq)
        return r->event_seq < s->event_seq ? -1 : 1;
    return r->record_seq < s->record_seq ? -1 : 1;
}

static page *page_take(range *g)
{
    page *p = g->free;
    if (p)
        g->free = p->next;
    return p;
}

/* The next page of the stretch, and where that is at its end, the stretch that follows. */
static nx_err read_in_order(range *g, page *p, nx_error *reterr)
{
    nx_fab_ns *ns = nx_core_namespace(g->node);
    nx_range_order *o = &g->order;
    nx_err err = NX_OK;
    if (o->at == o->n) {
        uint64_t to = g->place_behind && g->read_seq == g->place_seq ? g->place_behind - 1 : g->o->to; /* a stretch that was begun before a restart is the same one */
        err = nx_range_order_begin(o, ns, g->job, &g->o->what, g->read_seq, to, g->read_seq == g->place_seq ? g->place : (nx_fab_place){0}, reterr);
    }
    if (err == NX_OK)
        err = nx_range_order_read(o, ns, &g->o->what, &p->batch, &p->last, reterr);
    if (err != NX_OK)
        return err;
    bool is_end = o->at == o->n;
    p->behind = o->next_seq;
    p->so_far = is_end ? o->next_seq : o->from + (o->next_seq - o->from) * o->at / o->n;
    p->batch.next_seq = is_end ? o->next_seq : o->from;
    p->batch.is_end = is_end && o->next_seq > g->o->to;
    if (is_end)
        p->last = (nx_fab_place){0};
    return NX_OK;
}

static nx_err read_page(range *g, nx_error *reterr)
{
    page *p = page_take(g);
    uint64_t to = g->o->is_following ? UINT64_MAX : g->o->to;
    if (!p)
        return NX_OK;
    nx_buf_clear(&p->notes);
    nx_err err = g->is_in_order ? read_in_order(g, p, reterr)
                                : nx_fab_range_runs(nx_core_namespace(g->node), &g->o->what, g->read_seq, to, &g->ahead, &p->batch, reterr);
    /* What was let go stands first in pending; the rest moves up. */
    memmove(g->pending, g->pending + g->let_go, (g->n_pending - g->let_go) * sizeof(item *));
    g->n_pending -= g->let_go;
    g->let_go = 0;
    for (unsigned i = 0; err == NX_OK && i < p->batch.n; i++) {
        err = prepare(g, p, i, reterr);
        g->pending[g->n_pending++] = &p->items[i];
    }
    if (err != NX_OK) { /* the range ends here, or is begun again from its place */
        p->next = g->free;
        g->free = p;
        g->n_pending = 0;
        return err;
    }
    qsort(g->pending, g->n_pending, sizeof(item *), by_event);
    atomic_store(&p->left, p->batch.n);
    p->next = NULL;
    *g->newest = p;
    g->newest = &p->next;
    g->read_seq = p->batch.next_seq;
    g->is_read = p->batch.is_end;
    g->look_again_ns = nx_clock_ns() + FOLLOW_NS;
    return NX_OK;
}

static bool wants_page(const range *g)
{
    if (!g->free || g->n_pending - g->let_go > NX_RANGE_HELD)
        return false;
    return !g->is_read || (g->o->is_following && nx_clock_ns() >= g->look_again_ns);
}

/* ---- letting go ------------------------------------------------------------------------------------------------------------------------------ */

/* How many may go now. */
static unsigned allowed(range *g, unsigned ready)
{
    if (!g->o->rate || !ready)
        return ready;
    uint64_t now = nx_clock_ns(), each = NX_NS_PER_S / g->o->rate;
    if (g->pace_ns + PACE_NS < now) /* nothing was ready: what was not used is not made up for */
        g->pace_ns = now - PACE_NS;
    if (g->pace_ns > now)
        return 0;
    uint64_t n = each ? (now - g->pace_ns) / each + 1 : ready;
    if (n > ready)
        n = ready;
    g->pace_ns += n * each;
    return (unsigned)n;
}

static bool let_go(range *g)
{
    unsigned held = g->is_read || g->is_in_order ? 0 : NX_RANGE_HELD, waiting = g->n_pending - g->let_go;
    unsigned n = allowed(g, waiting > held ? waiting - held : 0);
    nx_lane_item *v[PENDING_MAX];
    for (unsigned i = 0; i < n; i++)
        v[i] = &g->pending[g->let_go + i]->lane;
    if (n)
        nx_lanes_put(g->lanes, v, n);
    g->let_go += n;
    return n > 0;
}

/* ---- folding -------------------------------------------------------------------------------------------------------------------------------- */

static void fold(range *g, const page *p)
{
    for (unsigned i = 0; i < p->batch.n; i++) {
        const item *it = &p->items[i];
        for (unsigned c = 0; c < g->n_collectors; c++)
            g->collectors[c]->fold(g->selves[c], &p->batch.runs[i], it->verdict, it->note_n[c] ? nx_slice_make(p->notes.p + it->note_at[c], it->note_n[c]) : NX_SLICE_NULL);
    }
}

static bool retire(range *g)
{
    bool has_any = false;
    uint64_t at = g->place_seq;
    for (page *p = g->oldest; p && atomic_load(&p->left) == 0; p = g->oldest) {
        fold(g, p);
        g->done += p->batch.n;
        g->place_seq = p->batch.next_seq;
        g->place = p->last;
        g->place_behind = p->last.record_seq ? p->behind : 0;
        at = g->is_in_order ? p->so_far : g->place_seq;
        g->oldest = p->next;
        if (!g->oldest)
            g->newest = &g->oldest;
        p->next = g->free;
        g->free = p;
        has_any = true;
    }
    if (has_any)
        nx_job_progress_set(g->job, &(nx_job_progress){.done = g->done, .begin = g->o->from, .at = at, .end = g->o->is_following ? 0 : g->o->to});
    return has_any;
}

static nx_err save(range *g, nx_error *reterr)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf place = NX_BUF_INIT(PLACE_BYTES);
    NX_CLEANUP(nx_buf_done)
    nx_buf summary = NX_BUF_INIT(NX_JOB_SUMMARY_BYTES);
    nx_jw w = NX_JW_INIT(&place), s = NX_JW_INIT(&summary);
    nx_jw_object(&w);
    nx_jw_ku64(&w, "next", g->place_seq);
    nx_jw_ku64(&w, "done", g->done);
    if (g->place.record_seq) {
        nx_jw_ku64(&w, "event", g->place.event_seq);
        nx_jw_ku64(&w, "record", g->place.record_seq);
        nx_jw_ku64(&w, "behind", g->place_behind);
    }
    nx_jw_object_end(&w);
    nx_err err = nx_jw_err(&w);
    nx_jw_object(&s);
    for (unsigned i = 0; err == NX_OK && i < g->n_collectors; i++) {
        nx_jw_key(&s, g->collectors[i]->name);
        err = g->collectors[i]->save(g->selves[i], &s);
    }
    nx_jw_object_end(&s);
    if (err == NX_OK)
        err = nx_jw_err(&s);
    if (err != NX_OK)
        return nx_error_set(reterr, err, "the summary of the job is larger than %u bytes", NX_JOB_SUMMARY_BYTES);
    return nx_job_save(g->job, nx_buf_view(&place), nx_buf_view(&summary), reterr);
}

/* ---- the whole ------------------------------------------------------------------------------------------------------------------------------- */

static nx_err open_parts(range *g, nx_error *reterr)
{
    const nx_json *place = nx_job_place(g->job), *summary = nx_job_summary(g->job);
    g->newest = &g->oldest;
    g->read_seq = g->place_seq = nx_json_get_u64(place, "next", g->o->from);
    g->done = nx_json_get_u64(place, "done", 0);
    g->is_in_order = g->o->effects == NX_EFFECTS_LIVE && !g->o->is_following; /* recorded and denied answers leave no trace of the order */
    g->place = (nx_fab_place){nx_json_get_u64(place, "event", 0), nx_json_get_u64(place, "record", 0)};
    g->place_behind = nx_json_get_u64(place, "behind", 0);
    nx_err err = NX_OK;
    for (unsigned i = 0; err == NX_OK && nx_range_collectors[i] && i < COLLECTORS_MAX; i++) {
        g->collectors[i] = nx_range_collectors[i];
        err = g->collectors[i]->open(nx_json_get(summary, g->collectors[i]->name), &g->selves[i], reterr);
        if (err == NX_OK)
            g->n_collectors++;
    }
    for (unsigned i = 0; err == NX_OK && i < NX_RANGE_PAGES; i++) {
        page *p = calloc(1, sizeof *p);
        if (!p)
            return nx_error_set(reterr, NX_ENOMEM, "out of memory");
        pthread_mutex_init(&p->mu, NULL);
        nx_buf_init(&p->notes, NOTES_BYTES_MAX);
        p->next = g->free;
        g->free = p;
    }
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned workers = g->o->workers ? g->o->workers : cores > 0 ? (unsigned)cores
                                                                 : 1;
    for (; err == NX_OK && g->n_workers < workers && g->n_workers < WORKERS_MAX; g->n_workers++) {
        nx_buf_init(&g->note[g->n_workers], NX_RANGE_NOTE_BYTES);
        err = nx_replay_repetition_new(nx_core_runtime(g->node), &g->repetitions[g->n_workers]);
    }
    if (err == NX_OK)
        err = nx_lanes_new(&(nx_lanes_options){.workers = g->n_workers, .work = work, .self = g}, &g->lanes);
    return err == NX_OK ? err : nx_error_set(reterr, err, "%s", reterr && reterr->msg[0] ? reterr->msg : nx_err_text(err));
}

static void pages_free(page *p)
{
    while (p) {
        page *next = p->next;
        for (unsigned i = 0; i < p->batch.n; i++)
            nx_range_code_unref(p->items[i].code); /* of what was not done */
        nx_fab_batch_done(&p->batch);
        nx_buf_done(&p->notes);
        pthread_mutex_destroy(&p->mu);
        free(p);
        p = next;
    }
}

static void close_parts(range *g)
{
    nx_lanes_free(g->lanes); /* first: nobody works on the rest any more */
    nx_range_order_done(&g->order);
    nx_fab_ahead_done(nx_core_namespace(g->node), &g->ahead);
    pages_free(g->oldest);
    pages_free(g->free);
    for (unsigned i = 0; i < g->n_workers; i++) {
        nx_replay_repetition_free(g->repetitions[i]);
        nx_replay_repetition_free(g->recalling[i]);
        nx_buf_done(&g->note[i]);
    }
    for (unsigned i = 0; i < g->n_collectors; i++)
        g->collectors[i]->close(g->selves[i]);
    nx_range_codes_done(&g->codes);
    free(g);
}

static bool is_done(const range *g) { return !g->o->is_following && g->is_read && !g->oldest; }

static nx_err loop(range *g, nx_error *reterr)
{
    nx_err err = NX_OK;
    while (err == NX_OK && !is_done(g)) {
        if (nx_job_is_over(g->job))
            return NX_ECANCELED;
        bool has_moved = retire(g);
        if (wants_page(g)) {
            err = read_page(g, reterr);
            has_moved = true;
        }
        has_moved |= err == NX_OK && let_go(g);
        if (err == NX_OK && nx_job_save_is_due(g->job))
            err = save(g, reterr);
        if (err == NX_OK && !has_moved)
            nx_lanes_wait(g->lanes, g->o->rate ? PACE_NS : WAIT_NS);
    }
    return err;
}

nx_err nx_range_run(nx_node *n, nx_job *job, const nx_range_options *o, nx_error *reterr)
{
    range *g = calloc(1, sizeof *g);
    if (!g)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    g->node = n;
    g->job = job;
    g->o = o;
    nx_err err = open_parts(g, reterr);
    if (err == NX_OK)
        err = loop(g, reterr);
    /* Also of a job that is canceled: what it found until then is worth keeping. */
    if (err == NX_OK || err == NX_ECANCELED) {
        nx_err saved = save(g, reterr);
        if (err == NX_OK)
            err = saved;
    }
    close_parts(g);
    return err;
}
