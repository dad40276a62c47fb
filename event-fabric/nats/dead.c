/* dead.c: reading the runs' stream for what failed, and marks on it.
 * A mark is a message on  nx.<ns>.run.<function>.mark.<shard>.<redriven|purged>:  one token more than a record's subject, so that no reader of
 * records meets it. */
#include "nats/lookup.h"
#include "nx/fab_dead.h"
#include <stdio.h>

#define SCRATCH_BYTES (256u << 20)

/* Records by status, then marks: three filters, because records that ended ok are most of the stream. */
static const char *const stages[] = {"error.*", "timeout.*", "dead.*", "mark.*.*"};
#define STAGE_MARKS 3

struct reading {
    nx_fab_ns *n;
    nx_fab_dead_pass *p;
    uint64_t until_ns;
    void (*visit)(void *self, const nx_fab_dead *d);
    void *self;
    nx_arena a;
    bool is_late;
};

static void visit_mark(struct reading *w, const nx_fab_stored *s)
{
    nx_fab_dead d = {.seq = s->seq, .wall_ns = s->wall_ns};
    nx_slice id;

    d.kind = nx_slice_ends(s->subject, NX_SLICE(".purged")) ? NX_FAB_DEAD_PURGED : NX_FAB_DEAD_REDRIVEN;
    if (nx_fab_msg_header(s->m, "nx-run-id", &id) && !nx_id_parse(id, &d.run_id))
        w->visit(w->self, &d);
}

static nx_err visit_record(struct reading *w, const nx_fab_stored *s)
{
    nx_fab_dead d = {.kind = NX_FAB_DEAD_RUN, .seq = s->seq, .wall_ns = s->wall_ns};
    nx_run *run;
    nx_err e;

    if (!nx_fab_stored_is_final(s->m))
        return NX_OK;
    nx_arena_reset(&w->a);
    run = nx_arena_alloc(&w->a, sizeof *run);
    e = run ? nx_fab_stored_run(w->n, s, &w->a, run, NULL) : NX_ENOMEM;
    if (e == NX_ECORRUPT || e == NX_ENOENT)
        return NX_OK; /* somebody wrote to our subjects, or its body is gone: no run that could be redriven */
    if (e || nx_fab_run_is_later_final(w->n, run))
        return e;
    d.run_id = run->run_id;
    d.run = run;
    w->visit(w->self, &d);
    return NX_OK;
}

static int visit_dead(void *self, nx_fab_stored *s)
{
    struct reading *w = self;
    nx_err e = NX_OK;

    if (s->seq > w->p->end)
        return 1;
    if (w->p->stage == STAGE_MARKS)
        visit_mark(w, s);
    else
        e = visit_record(w, s);
    if (e)
        return e;
    w->p->at = s->seq + 1;
    w->is_late = nx_clock_ns() > w->until_ns;
    return w->is_late;
}

static nx_err begin_pass(nx_fab_ns *n, nx_fab_dead_pass *p, nx_error *reterr)
{
    nx_fab_stream_state st;
    nx_err e = nx_fab_stream_state_get(n->f, n->runs, &st, reterr);

    if (e)
        return e;
    p->first_seq = st.first_seq;
    if (p->stage == 0 && !p->at) {
        p->end = st.last_seq;
        p->at = p->seen + 1;
    }
    return NX_OK;
}

nx_err nx_fab_dead_read(nx_fab_ns *n, nx_fab_dead_pass *p, uint64_t budget_ns, void (*visit)(void *self, const nx_fab_dead *d), void *self,
                        bool *ret_is_done, nx_error *reterr)
{
    struct reading w = {.n = n, .p = p, .until_ns = nx_clock_ns() + budget_ns, .visit = visit, .self = self, .a = NX_ARENA_INIT(SCRATCH_BYTES)};
    char filter[128];
    nx_err e = begin_pass(n, p, reterr);

    *ret_is_done = false;
    while (!e && !w.is_late && p->seen < p->end) {
        if (p->stage == NX_ARRAY_LEN(stages)) {
            p->seen = p->end;
            break;
        }
        snprintf(filter, sizeof filter, "nx.%s.run.*.%s", n->name, stages[p->stage]);
        e = nx_fab_visit(n->f, (nx_fab_query){.stream = n->runs, .filter = filter, .seq = p->at, .batch = 64}, visit_dead, &w, reterr);
        if (e == NX_ETIMEOUT) { /* a look-up's own bound; this one goes on where it was */
            e = NX_OK;
            continue;
        }
        if (!e && !w.is_late) {
            p->stage++;
            p->at = p->seen + 1;
        }
    }
    nx_arena_done(&w.a);
    if (!e && p->seen == p->end) {
        p->stage = 0;
        p->at = 0;
        *ret_is_done = true;
    }
    return e;
}

nx_err nx_fab_dead_mark(nx_fab_ns *n, nx_fab_dead_kind kind, const nx_run *run, nx_slice note, nx_error *reterr)
{
    char subject[NX_FAB_SUBJECT_BYTES], text[256];
    nx_fab_hdr h = {.p = text, .cap = sizeof text};
    uint64_t seq;

    if (kind == NX_FAB_DEAD_RUN || !nx_fab_name_is_valid(run->function, 128))
        return nx_error_set(reterr, NX_EINVAL, "no mark");
    snprintf(subject, sizeof subject, "nx.%s.run.%.*s.mark.%02u.%s", n->name, NX_SLICE_FMT(run->function), nx_id_shard(&run->event_id),
             kind == NX_FAB_DEAD_PURGED ? "purged" : "redriven");
    nx_fab_hdr_add(&h, "nx-event-id", nx_id_slice(&run->event_id));
    nx_fab_hdr_add(&h, "nx-run-id", nx_id_slice(&run->run_id));
    return nx_fab_publish_sync(n->f, subject, &h, note, &seq, reterr);
}

struct find_mark {
    nx_slice run_id;
    uint64_t wall_ns; /* 0: none */
};

static int visit_mark_of(void *self, nx_fab_stored *s)
{
    struct find_mark *w = self;
    nx_slice id;

    if (!nx_fab_msg_header(s->m, "nx-run-id", &id) || !nx_slice_eq(id, w->run_id))
        return 0;
    w->wall_ns = s->wall_ns;
    return 1;
}

nx_err nx_fab_run_redriven(nx_fab_ns *n, const nx_event *e, const nx_run *failed, nx_arena *a, nx_run *ret, nx_error *reterr)
{
    struct find_mark w = {.run_id = nx_id_slice(&failed->run_id)};
    nx_event from = *e;
    char filter[256];
    nx_err err;

    if (!nx_fab_name_is_valid(failed->function, 128))
        return nx_error_set(reterr, NX_EINVAL, "\"%.*s\" is not a function name", NX_SLICE_FMT(failed->function));
    snprintf(filter, sizeof filter, "nx.%s.run.%.*s.mark.%02u.redriven", n->name, NX_SLICE_FMT(failed->function), nx_id_shard(&failed->event_id));
    err = nx_fab_visit(n->f, (nx_fab_query){.stream = n->runs, .filter = filter, .seq = failed->record_seq + 1, .batch = 64, .is_exact = nx_fab_is_copied(n)}, visit_mark_of, &w, reterr);
    if (!err && !w.wall_ns)
        err = nx_error_set(reterr, NX_ENOENT, "run %s was not redriven", failed->run_id.s);
    if (err)
        return err;
    from.wall_ns = w.wall_ns; /* its records are about as old as the mark, or younger */
    return nx_fab_run_final(n, &from, failed->function, failed->generation + 1, a, ret, reterr);
}

nx_err nx_fab_run_get_seq(nx_fab_ns *n, uint64_t seq, nx_arena *a, nx_run *ret, nx_error *reterr)
{
    nx_fab_replies got = {0};
    nx_fab_stored s;
    nx_err e = nx_fab_get_seq(n, n->runs, "record", seq, &got, &s, reterr);

    if (e)
        return e;
    e = nx_fab_stored_run(n, &s, a, ret, reterr);
    nx_fab_replies_done(&got);
    return e;
}
