/* reload.c: following the registry: which functions changed is remembered until a job takes them up, one after the other, or the whole registry where
 * they are many, or nobody knows which. */
#include "core_internal.h"
#include "secrets.h"
#include <stdlib.h>

#define NAMES_MAX 64
#define RELOAD_AGAIN_NS (5 * NX_NS_PER_S)

struct nx_core_changed {
    pthread_mutex_t mu;
    char names[NAMES_MAX][NX_FUNCTION_NAME_BYTES + 1];
    unsigned n;
    bool is_whole;
};

nx_err nx_core_changed_new(struct nx_core_changed **ret)
{
    struct nx_core_changed *c = calloc(1, sizeof *c);
    if (!c)
        return NX_ENOMEM;
    pthread_mutex_init(&c->mu, NULL);
    *ret = c;
    return NX_OK;
}

void nx_core_changed_free(struct nx_core_changed *c)
{
    if (!c)
        return;
    pthread_mutex_destroy(&c->mu);
    free(c);
}

/* An empty name: all of them. */
static void note(struct nx_core_changed *c, nx_slice name)
{
    pthread_mutex_lock(&c->mu);
    bool is_there = false;
    for (unsigned i = 0; i < c->n && !is_there; i++)
        is_there = nx_slice_eq_cstr(name, c->names[i]);
    if (name.n == 0 || (!is_there && (c->n == NAMES_MAX || nx_slice_to_cstr(name, c->names[c->n], sizeof c->names[0]) != NX_OK)))
        c->is_whole = true;
    else if (!is_there)
        c->n++;
    pthread_mutex_unlock(&c->mu);
}

static nx_err apply(nx_node *n, nx_buf *changes, nx_error *reterr)
{
    struct nx_core_changed *c = n->changed, taken;
    pthread_mutex_lock(&c->mu);
    memcpy(taken.names, c->names, sizeof taken.names);
    taken.n = c->n;
    taken.is_whole = c->is_whole;
    c->n = 0;
    c->is_whole = false;
    pthread_mutex_unlock(&c->mu);
    nx_err err = NX_OK;
    pthread_mutex_lock(&n->apply_mu);
    if (taken.is_whole)
        err = nx_core_registry_apply(n, n->cfg, changes, reterr);
    for (unsigned i = 0; !taken.is_whole && err == NX_OK && i < taken.n; i++)
        err = nx_core_registry_apply_one(n, taken.names[i], changes, reterr);
    pthread_mutex_unlock(&n->apply_mu);
    return err;
}

static void reload_job(nx_core_job *job)
{
    nx_node *n = (nx_node *)(void *)((char *)job - offsetof(nx_node, reload_job));
    atomic_store(&n->is_reload_posted, false);
    NX_CLEANUP(nx_buf_done)
    nx_buf changes = NX_BUF_INIT(64u << 10);
    nx_error e = NX_ERROR_INIT;
    nx_err err = apply(n, &changes, &e);
    if (err != NX_OK && !atomic_load(&n->is_draining)) {
        nx_log(NX_LOG_ERROR, "registry.not_applied", "a change of the registry was not taken: %s", e.msg);
        if (nx_err_is_retryable(err))
            nx_core_reload_later(n, RELOAD_AGAIN_NS);
    } else if (changes.n)
        nx_log(NX_LOG_INFO, "registry.applied", "%.*s", (int)(changes.n - 1), changes.p);
    if (err == NX_OK && changes.n)
        nx_core_secrets_remind(n);
}

static void post_reload(nx_node *n)
{
    bool is_posted = false;
    if (!atomic_compare_exchange_strong(&n->is_reload_posted, &is_posted, true))
        return; /* it has not begun yet, so it will see what changed */
    n->reload_job.run = reload_job;
    if (nx_core_jobs_post(n->jobs, &n->reload_job) != NX_OK) {
        atomic_store(&n->is_reload_posted, false);
        nx_core_reload_later(n, NX_NS_PER_S);
    }
}

void nx_core_reload_later(nx_node *n, uint64_t delay_ns) { atomic_store(&n->reload_due_ns, nx_clock_ns() + delay_ns); }

/* What could not be loaded when it changed, and what changed before the node was ready. */
void nx_core_reload_tick(nx_node *n, uint64_t now_ns)
{
    uint64_t due = atomic_load(&n->reload_due_ns);
    if (!due || due > now_ns || atomic_load(&n->is_draining) || !atomic_compare_exchange_strong(&n->reload_due_ns, &due, 0))
        return;
    note(n->changed, NX_SLICE_NULL);
    post_reload(n);
}

void nx_core_reload_on_change(nx_node *n, nx_slice key)
{
    if (!nx_slice_starts(key, NX_SLICE("fn.")) || !nx_slice_ends(key, NX_SLICE(".live")))
        return;
    if (!atomic_load(&n->is_ready)) {
        nx_core_reload_later(n, 0);
        return;
    }
    note(n->changed, nx_slice_sub(key, 3, key.n - 8));
    post_reload(n);
}
