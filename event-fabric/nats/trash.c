/* trash.c: messages that are done with, destroyed a batch at a time.
 *
 * nats.c hands each destroyed message to its collector thread and wakes that thread when it sleeps: three to five wake-ups and context
 * switches for one event. A batch costs one. */
#include "fab_internal.h"

#define TRASH_BYTES (1u << 20) /* a batch holds on to at most this much, besides one message */

static void destroy(natsMsg *const *v, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        natsMsg_Destroy(v[i]);
}

/* trash_mu held. */
static unsigned take_locked(nx_fab *f, natsMsg **ret)
{
    unsigned n = f->n_trash;

    memcpy(ret, f->trash, n * sizeof *ret);
    f->n_trash = 0;
    f->trash_bytes = 0;
    return n;
}

void nx_fab_trash_add(nx_fab *f, natsMsg *take_m)
{
    natsMsg *batch[NX_FAB_TRASH_MAX];
    unsigned n = 0;

    pthread_mutex_lock(&f->trash_mu);
    f->trash[f->n_trash++] = take_m;
    f->trash_bytes += (size_t)natsMsg_GetDataLength(take_m);
    if (f->n_trash == NX_FAB_TRASH_MAX || f->trash_bytes > TRASH_BYTES)
        n = take_locked(f, batch);
    pthread_mutex_unlock(&f->trash_mu);
    destroy(batch, n);
}

void nx_fab_trash_empty(nx_fab *f)
{
    natsMsg *batch[NX_FAB_TRASH_MAX];
    unsigned n;

    pthread_mutex_lock(&f->trash_mu);
    n = take_locked(f, batch);
    pthread_mutex_unlock(&f->trash_mu);
    destroy(batch, n);
}
