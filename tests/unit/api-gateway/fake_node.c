#include "fake_node.h"

#include <stdlib.h>
#include <time.h>

typedef struct fake_answer {
    nx_answer answer;
    fake_node *node;
    char *body;
} fake_answer;

static bool type_is(const nx_ingest *in, const char *type)
{
    return nx_slice_eq_cstr(in->event.type, type);
}

static nx_err set_route(nx_ingest_route *ret, const char *function, const char *type, bool is_sync)
{
    ret->function = nx_slice_cstr(function);
    ret->type = nx_slice_cstr(type);
    ret->is_sync = is_sync;
    ret->n_subscribers = 1;
    return NX_OK;
}

static nx_err fake_route(void *self, nx_slice method, nx_slice path, nx_arena *arena, nx_ingest_route *ret, nx_slice *ret_allow)
{
    static const struct {
        const char *method, *path, *function;
        bool is_sync;
    } own[] = {{"POST", "/hello", "hello", true}, {"PUT", "/job", "job", false}, {"GET", "/hello/world", "get", true}};
    (void)self;
    (void)arena;
    for (size_t i = 0; i < NX_ARRAY_LEN(own); i++) {
        if (!nx_slice_eq_cstr(path, own[i].path))
            continue;
        if (nx_slice_eq_cstr(method, own[i].method))
            return set_route(ret, own[i].function, own[i].function, own[i].is_sync);
        *ret_allow = nx_slice_cstr(own[i].method);
        return NX_ENOTSUP;
    }
    if (!nx_slice_starts(path, NX_SLICE("/events/")) || path.n == 8 || path.n > 8 + NX_EVENT_TYPE_BYTES)
        return NX_ENOENT;
    *ret_allow = NX_SLICE("POST");
    if (!nx_slice_eq_cstr(method, "POST"))
        return NX_ENOTSUP;
    *ret = (nx_ingest_route){.type = nx_slice_sub(path, 8, path.n), .n_subscribers = 1};
    if (nx_slice_eq_cstr(ret->type, "many"))
        ret->n_subscribers = 2;
    if (nx_slice_starts(ret->type, NX_SLICE("none")))
        ret->n_subscribers = 0;
    return NX_OK;
}

static void store_locked(fake_node *f, nx_ingest *in)
{
    for (unsigned i = 0; in->dedupe_key.n > 0 && i < f->n_events; i++) {
        if (!nx_slice_eq(f->events[i].key, in->dedupe_key))
            continue;
        in->is_duplicate = true;
        in->event.event_id = f->events[i].event.event_id;
        in->event.trace = f->events[i].event.trace;
        return;
    }
    if (f->n_events == FAKE_EVENTS_MAX)
        return;
    fake_event *e = &f->events[f->n_events];
    if (nx_event_dup(&in->event, &f->arena, &e->event) != NX_OK)
        abort();
    e->key = nx_arena_dup(&f->arena, in->dedupe_key);
    e->wants_wait = in->wants_wait;
    e->wait_ms = in->wait_ms;
    e->wait_function = nx_arena_dup(&f->arena, in->wait_function);
    f->n_events++;
}

static nx_err fake_publish(void *self, nx_ingest *in, nx_error *reterr)
{
    fake_node *f = self;
    nx_err err = NX_OK;

    if (type_is(in, "err.busy"))
        return nx_error_set(reterr, NX_EBUSY, "the queue of the log is full");
    if (type_is(in, "err.types"))
        return nx_error_set(reterr, NX_EMANY, "too many distinct types");
    (void)pthread_mutex_lock(&f->mu);
    if (type_is(in, "hang")) {
        if (f->n_hanging == NX_ARRAY_LEN(f->hanging))
            abort();
        f->hanging[f->n_hanging++] = in;
    } else {
        err = nx_mailbox_post(&f->box, &in->mail);
        f->has_work = true;
    }
    (void)pthread_cond_broadcast(&f->changed);
    (void)pthread_mutex_unlock(&f->mu);
    return err;
}

static bool fake_abandon(void *self, nx_ingest *in)
{
    fake_node *f = self;
    bool found = false;

    (void)pthread_mutex_lock(&f->mu);
    for (unsigned i = 0; i < f->n_hanging && !found; i++) {
        found = f->hanging[i] == in;
        if (found)
            f->hanging[i] = f->hanging[--f->n_hanging];
    }
    f->n_abandoned += found;
    (void)pthread_cond_broadcast(&f->changed);
    (void)pthread_mutex_unlock(&f->mu);
    return found;
}

static bool fake_is_ready(void *self, nx_error *ret_why)
{
    fake_node *f = self;
    if (atomic_load(&f->is_ready))
        return true;
    (void)nx_error_set(ret_why, NX_EUNAVAIL, "the event log is not reachable");
    return false;
}

static bool fake_is_admin_path(void *self, nx_slice path)
{
    (void)self;
    return nx_slice_eq_cstr(path, "/healthz");
}

static void release_answer(nx_answer *self)
{
    fake_answer *a = (fake_answer *)self;
    atomic_fetch_sub(&a->node->n_answers_out, 1);
    free(a->body);
    free(a);
}

static nx_answer *make_answer(fake_node *f, const nx_ingest *in)
{
    bool is_big = type_is(in, "big");
    size_t n = is_big ? 4u << 20 : in->event.data.n + 11;
    fake_answer *a = calloc(1, sizeof *a);
    if (!a || !(a->body = malloc(n)))
        abort();
    memset(a->body, 'x', n);
    if (!is_big) {
        memcpy(a->body, "Processed: ", 11);
        memcpy(a->body + 11, in->event.data.p ? in->event.data.p : "", in->event.data.n);
    }
    a->node = f;
    a->answer = (nx_answer){200, NX_SLICE("text/plain"), nx_slice_make(a->body, n), release_answer};
    if (type_is(in, "fail")) {
        a->answer.status = 502;
        a->answer.content_type = NX_SLICE("application/problem+json");
    }
    atomic_fetch_add(&f->n_answers_out, 1);
    return &a->answer;
}

static void finish(fake_node *f, nx_ingest *in)
{
    if (type_is(in, "err.full"))
        in->err = nx_error_set(&in->detail, NX_EFULL, "the log is full");
    else if (type_is(in, "err.lost"))
        in->err = nx_error_set(&in->detail, NX_ETIMEOUT, "the log did not confirm the event");
    else
        in->err = NX_OK;
    if (in->err == NX_OK) {
        (void)pthread_mutex_lock(&f->mu);
        store_locked(f, in);
        (void)pthread_mutex_unlock(&f->mu);
    }
    if (in->err == NX_OK && in->wants_wait) {
        if (type_is(in, "late"))
            in->is_late = true;
        else
            in->answer = make_answer(f, in);
    }
    in->done(in);
}

static void *fake_main(void *arg)
{
    fake_node *f = arg;
    for (;;) {
        (void)pthread_mutex_lock(&f->mu);
        while (!f->has_work && !f->is_stopping)
            (void)pthread_cond_wait(&f->changed, &f->mu);
        bool is_over = !f->has_work && f->is_stopping;
        f->has_work = false;
        (void)pthread_mutex_unlock(&f->mu);
        if (is_over)
            return NULL;
        for (nx_mail *m = nx_mailbox_drain(&f->box); m;) {
            nx_mail *next = m->next;
            finish(f, (nx_ingest *)m);
            m = next;
        }
    }
}

void fake_node_init(fake_node *f)
{
    memset(f, 0, sizeof *f);
    f->ops = (nx_ingest_ops){fake_route, fake_publish, fake_abandon, fake_is_ready, fake_is_admin_path};
    (void)pthread_mutex_init(&f->mu, NULL);
    (void)pthread_cond_init(&f->changed, NULL);
    nx_arena_init(&f->arena, 256u << 20);
    nx_mailbox_init(&f->box, 65536, NULL, NULL);
    atomic_store(&f->is_ready, true);
    if (pthread_create(&f->thread, NULL, fake_main, f) != 0)
        abort();
}

void fake_node_done(fake_node *f)
{
    (void)pthread_mutex_lock(&f->mu);
    f->is_stopping = true;
    (void)pthread_cond_broadcast(&f->changed);
    (void)pthread_mutex_unlock(&f->mu);
    (void)pthread_join(f->thread, NULL);
    nx_mailbox_done(&f->box);
    nx_arena_done(&f->arena);
    (void)pthread_cond_destroy(&f->changed);
    (void)pthread_mutex_destroy(&f->mu);
}

void fake_node_finish(fake_node *f)
{
    (void)pthread_mutex_lock(&f->mu);
    for (unsigned i = 0; i < f->n_hanging; i++)
        (void)nx_mailbox_post(&f->box, &f->hanging[i]->mail);
    f->has_work = f->n_hanging > 0;
    f->n_hanging = 0;
    (void)pthread_cond_broadcast(&f->changed);
    (void)pthread_mutex_unlock(&f->mu);
}

static bool wait_for(fake_node *f, const unsigned *what, unsigned n)
{
    struct timespec until;
    int rc = 0;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 5;
    (void)pthread_mutex_lock(&f->mu);
    while (*what < n && rc == 0)
        rc = pthread_cond_timedwait(&f->changed, &f->mu, &until);
    bool is_there = *what >= n;
    (void)pthread_mutex_unlock(&f->mu);
    return is_there;
}

bool fake_node_wait_hanging(fake_node *f, unsigned n)
{
    return wait_for(f, &f->n_hanging, n);
}

bool fake_node_wait_abandoned(fake_node *f, unsigned n)
{
    return wait_for(f, &f->n_abandoned, n);
}

unsigned fake_node_count(fake_node *f)
{
    (void)pthread_mutex_lock(&f->mu);
    unsigned n = f->n_events;
    (void)pthread_mutex_unlock(&f->mu);
    return n;
}

fake_event fake_node_last(fake_node *f)
{
    fake_event e = {0};
    (void)pthread_mutex_lock(&f->mu);
    if (f->n_events > 0)
        e = f->events[f->n_events - 1];
    (void)pthread_mutex_unlock(&f->mu);
    return e;
}
