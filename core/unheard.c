/* unheard.c: callers that have waited for a while, and whose answer may be lost.
 *
 * Over nodes an answer goes by a message that is not stored. It is lost where one of the two nodes just loses its server, where that server does not
 * know yet who listens, and where it is larger than a message. The run's record is there all the same: who has waited for a second is looked for in
 * the records, every second. Few in a tick, one after the other, so that it costs the servers little however many callers wait for slow functions. */
#include "core_internal.h"
#include <stdlib.h>

#define LOOKS_AT_ONCE 8u

struct nx_core_unheards {
    nx_core_job job;
    nx_node *node;
    atomic_bool is_looking;
    unsigned n;
    nx_core_unheard v[LOOKS_AT_ONCE];
};

nx_core_unheards *nx_core_unheards_new(nx_node *n)
{
    nx_core_unheards *u = calloc(1, sizeof *u);
    if (u)
        u->node = n;
    return u;
}

void nx_core_unheards_free(nx_core_unheards *u) { free(u); }

nx_err nx_core_answer_find(nx_node *n, const nx_event *e, nx_slice type, nx_slice function, bool only_kept, nx_answer **ret)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(64u << 20);
    nx_core_fn *only = NULL;
    nx_run r;
    *ret = NULL;
    if (nx_slice_empty(function) && nx_core_registry_subscribers(n, type, &only) == 1 && only)
        function = nx_slice_cstr(only->name);
    nx_err err = function.n ? nx_fab_run_final(n->ns, e, function, 0, &a, &r, NULL) : NX_ENOENT;
    if (err == NX_OK && only_kept && r.status == NX_RUN_OK && !nx_core_answer_is_kept(&r))
        err = NX_ENOENT;
    if (err == NX_OK && !(*ret = nx_core_answer_of_run(&r)))
        err = NX_ENOMEM;
    nx_core_fn_unref(only);
    return err;
}

static void look_job(nx_core_job *job)
{
    nx_core_unheards *u = (nx_core_unheards *)job; /* job is its first member */
    nx_core_waiters *w = u->node->waiters;
    nx_err err = NX_OK;
    for (unsigned i = 0; i < u->n && (err == NX_OK || err == NX_ENOENT); i++) {
        nx_core_unheard *x = &u->v[i];
        nx_answer *answer;
        /* An output that its record does not keep may just be on its way. */
        err = nx_core_answer_find(u->node, &x->event, nx_slice_cstr(x->type), nx_slice_cstr(x->function), true, &answer);
        if (err == NX_OK)
            nx_core_waiters_answer(w, nx_slice_cstr(x->token), answer);
    }
    atomic_store(&u->is_looking, false);
}

void nx_core_unheards_tick(nx_core_unheards *u, uint64_t now_ns)
{
    if (u->node->server || atomic_load(&u->is_looking)) /* on a node of its own all answers are its own */
        return;
    u->n = nx_core_waiters_unheard(u->node->waiters, now_ns, u->v, LOOKS_AT_ONCE);
    if (!u->n)
        return;
    atomic_store(&u->is_looking, true);
    u->job.run = look_job;
    if (nx_core_jobs_post(u->node->jobs, &u->job) != NX_OK)
        atomic_store(&u->is_looking, false);
}
