/* waiters.c: callers that wait for the outcome of a run, by token.
 * A wait has two halves that end in any order: the publication (nx_core_waiters_published) and the outcome (nx_core_waiters_answer).
 * done() is called once both are over, because the publication borrows the caller's storage until its acknowledgement.
 * A token names slot and generation, so that a late answer never reaches the slot's next tenant. */
#include "core_internal.h"
#include <stdio.h>
#include <stdlib.h>

typedef struct waiter {
    nx_ingest *in;                 /* NULL: free */
    uint64_t deadline_ns, look_ns; /* look_ns: when the log is asked next for what it waits for; 0: not before the next tick says so */
    uint32_t generation;
    bool is_published, is_over; /* is_over: answered or late */
    int next_free;
} waiter;

struct nx_core_waiters {
    pthread_mutex_t mu;
    int free_head;
    unsigned n_used, high; /* slots below `high` were used at least once */
    unsigned next_unheard; /* where nx_core_waiters_unheard() goes on */
    waiter v[NX_CORE_WAITERS_MAX];
};

/* Where the waiter's slot is kept in the caller's storage; behind the publication (see ingest.c). */
static uint64_t *slot_of(nx_ingest *in) { return &in->node_private[15]; }

nx_err nx_core_waiters_new(nx_core_waiters **ret, nx_error *reterr)
{
    nx_core_waiters *w = calloc(1, sizeof *w);
    if (!w)
        return nx_error_set(reterr, NX_ENOMEM, "waiting callers");
    pthread_mutex_init(&w->mu, NULL);
    w->free_head = -1;
    *ret = w;
    return NX_OK;
}

void nx_core_waiters_free(nx_core_waiters *w)
{
    if (!w)
        return;
    pthread_mutex_destroy(&w->mu);
    free(w);
}

static void release_locked(nx_core_waiters *w, unsigned i)
{
    w->v[i].in = NULL;
    w->v[i].generation++;
    w->v[i].next_free = w->free_head;
    w->free_head = (int)i;
    w->n_used--;
}

nx_err nx_core_waiters_add(nx_core_waiters *w, nx_ingest *in, uint64_t deadline_ns, char token[NX_CORE_TOKEN_MAX])
{
    pthread_mutex_lock(&w->mu);
    unsigned i;
    if (w->free_head >= 0) {
        i = (unsigned)w->free_head;
        w->free_head = w->v[i].next_free;
    } else if (w->high < NX_CORE_WAITERS_MAX) {
        i = w->high++;
    } else {
        pthread_mutex_unlock(&w->mu);
        return NX_EBUSY;
    }
    w->n_used++;
    waiter *x = &w->v[i];
    x->in = in;
    x->deadline_ns = deadline_ns;
    x->look_ns = 0;
    x->is_published = x->is_over = false;
    *slot_of(in) = i;
    snprintf(token, NX_CORE_TOKEN_MAX, "%u-%u", i, x->generation);
    pthread_mutex_unlock(&w->mu);
    return NX_OK;
}

void nx_core_waiters_published(nx_core_waiters *w, nx_ingest *in)
{
    pthread_mutex_lock(&w->mu);
    unsigned i = (unsigned)*slot_of(in);
    waiter *x = &w->v[i];
    x->is_published = true;
    bool is_done = x->is_over || in->err != NX_OK;
    if (is_done)
        release_locked(w, i);
    pthread_mutex_unlock(&w->mu);
    if (is_done)
        in->done(in);
}

void nx_core_waiters_forget(nx_core_waiters *w, nx_ingest *in)
{
    pthread_mutex_lock(&w->mu);
    release_locked(w, (unsigned)*slot_of(in));
    pthread_mutex_unlock(&w->mu);
}

void nx_core_waiters_settle(nx_core_waiters *w, nx_ingest *in)
{
    pthread_mutex_lock(&w->mu);
    w->v[*slot_of(in)].is_over = true;
    pthread_mutex_unlock(&w->mu);
}

void nx_core_waiters_answer(nx_core_waiters *w, nx_slice token, nx_answer *take_answer)
{
    nx_slice gen_text, slot_text = nx_slice_split(token, '-', &gen_text);
    uint64_t i = 0, gen = 0;
    nx_ingest *in = NULL;
    bool is_taken = false;
    if (nx_slice_u64(slot_text, NX_CORE_WAITERS_MAX - 1, &i) == NX_OK && nx_slice_u64(gen_text, UINT32_MAX, &gen) == NX_OK) {
        pthread_mutex_lock(&w->mu);
        waiter *x = &w->v[i];
        if (x->in && x->generation == gen && !x->is_over) {
            x->is_over = is_taken = true;
            x->in->answer = take_answer;
            if (x->is_published) {
                in = x->in;
                release_locked(w, (unsigned)i);
            }
        }
        pthread_mutex_unlock(&w->mu);
    }
    if (!is_taken)
        take_answer->release(take_answer);
    if (in)
        in->done(in);
}

bool nx_core_waiters_abandon(nx_core_waiters *w, nx_ingest *in)
{
    pthread_mutex_lock(&w->mu);
    unsigned i = (unsigned)*slot_of(in);
    waiter *x = &w->v[i];
    bool is_gone = i < w->high && x->in == in && x->is_published;
    if (is_gone)
        release_locked(w, i);
    pthread_mutex_unlock(&w->mu);
    return is_gone;
}

static void end_waits(nx_core_waiters *w, uint64_t now_ns)
{
    nx_mail *late = NULL;
    pthread_mutex_lock(&w->mu);
    for (unsigned i = 0; i < w->high && w->n_used; i++) {
        waiter *x = &w->v[i];
        if (!x->in || x->is_over || x->deadline_ns > now_ns)
            continue;
        x->is_over = true;
        x->in->is_late = true;
        if (x->is_published) {
            x->in->mail.next = late;
            late = &x->in->mail;
            release_locked(w, i);
        }
    }
    pthread_mutex_unlock(&w->mu);
    while (late) {
        nx_ingest *in = (nx_ingest *)late; /* mail is its first member */
        late = late->next;
        in->done(in);
    }
}

static bool describe(const waiter *x, unsigned i, nx_core_unheard *ret)
{
    const nx_event *e = &x->in->event;
    if (nx_slice_to_cstr(e->type, ret->type, sizeof ret->type) || nx_slice_to_cstr(x->in->wait_function, ret->function, sizeof ret->function))
        return false;
    snprintf(ret->token, sizeof ret->token, "%u-%u", i, x->generation);
    ret->event = (nx_event){.event_id = e->event_id, .wall_ns = e->wall_ns, .deliver_wall_ns = e->deliver_wall_ns};
    return true;
}

unsigned nx_core_waiters_unheard(nx_core_waiters *w, uint64_t now_ns, nx_core_unheard *v, unsigned max)
{
    unsigned n = 0;
    pthread_mutex_lock(&w->mu);
    for (unsigned k = 0; k < w->high && w->n_used && n < max; k++) {
        unsigned i = w->next_unheard < w->high ? w->next_unheard : 0;
        waiter *x = &w->v[i];
        w->next_unheard = i + 1;
        if (!x->in || x->is_over || !x->is_published || x->look_ns > now_ns)
            continue;
        if (x->look_ns && describe(x, i, &v[n]))
            n++;
        x->look_ns = now_ns + NX_CORE_UNHEARD_NS;
    }
    pthread_mutex_unlock(&w->mu);
    return n;
}

unsigned nx_core_waiters_count(nx_core_waiters *w)
{
    pthread_mutex_lock(&w->mu);
    unsigned n = w->n_used;
    pthread_mutex_unlock(&w->mu);
    return n;
}

void nx_core_waiters_tick(nx_core_waiters *w, uint64_t now_ns) { end_waits(w, now_ns); }

void nx_core_waiters_fail_all(nx_core_waiters *w) { end_waits(w, UINT64_MAX); }
