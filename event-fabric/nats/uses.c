/* uses.c: every record that is stored, for whoever has to know what recordings still need. */
#include "nats/lookup.h"
#include <stdio.h>

#define SCRATCH_BYTES (256u << 20)

struct reading {
    nx_fab_ns *n;
    nx_arena a;
    uint64_t at;
    bool (*visit)(void *self, const nx_run *run);
    void *self;
    bool is_stopped;
};

static int visit_one(void *self, nx_fab_stored *s)
{
    struct reading *w = self;
    nx_run *run;
    nx_err e;

    w->at = s->seq + 1;
    nx_arena_reset(&w->a);
    run = nx_arena_alloc(&w->a, sizeof *run);
    e = run ? nx_fab_stored_run(w->n, s, &w->a, run, NULL) : NX_ENOMEM;
    if (e == NX_ECORRUPT || e == NX_ENOENT)
        return 0; /* a mark, or a record whose body is gone: nothing can be repeated from it */
    if (e)
        return e;
    w->is_stopped = !w->visit(w->self, run);
    return w->is_stopped;
}

/* A replica that is behind has answered as if that were all: the leader knows. */
static nx_err has_more(nx_fab_ns *n, const char *stream, uint64_t at, bool *ret, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(SCRATCH_BYTES);
    nx_fab_kept k;
    char body[96];
    nx_err e;

    snprintf(body, sizeof body, "{\"seq\":%llu,\"next_by_subj\":\">\"}", (unsigned long long)at);
    e = nx_fab_leader_get(n->f, stream, body, &a, &k, reterr);
    *ret = !e;
    return e == NX_ENOENT ? NX_OK : e;
}

nx_err nx_fab_records_visit(nx_fab_ns *n, bool replays, bool (*visit)(void *self, const nx_run *run), void *self, nx_error *reterr)
{
    const char *stream = replays ? n->replays : n->runs;
    struct reading w = {.n = n, .a = NX_ARENA_INIT(SCRATCH_BYTES), .at = 1, .visit = visit, .self = self};
    bool more = true;
    nx_err e = NX_OK;

    while (!e && more && !w.is_stopped) {
        e = nx_fab_visit(n->f, (nx_fab_query){.stream = stream, .seq = w.at, .batch = 256}, visit_one, &w, reterr);
        if (e == NX_ETIMEOUT) { /* a look-up's own bound; this one goes on where it was */
            e = NX_OK;
            continue;
        }
        if (!e && !w.is_stopped)
            e = has_more(n, stream, w.at, &more, reterr);
    }
    nx_arena_done(&w.a);
    return e;
}
