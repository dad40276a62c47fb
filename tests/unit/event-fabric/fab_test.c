#include "fab_test.h"
#include "fab_internal.h"
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE 3 /* a busy machine takes some times as long, and a deadline here only ends what hangs */

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *w)
{
    (void)st;
    (void)flag;
    (void)w;
    return remove(path);
}

void fix_remove_dir(const char *dir)
{
    nftw(dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void fix_dir(fix *fx)
{
    memset(fx, 0, sizeof *fx);
    snprintf(fx->dir, sizeof fx->dir, "/tmp/nx-fab-test.XXXXXX");
    assert_non_null(mkdtemp(fx->dir));
}

void fix_server(fix *fx)
{
    nx_fab_server_options o = {.data_dir = fx->dir};

    fix_dir(fx);
    ok(nx_fab_server_start(&o, &fx->server, &fx->err));
}

void fix_fabric(fix *fx, const nx_fab_options *extra)
{
    nx_fab_options o = extra ? *extra : (nx_fab_options){0};

    fix_server(fx);
    o.url = nx_fab_server_url(fx->server);
    o.private_server = fx->server;
    if (!o.node.s[0])
        o.node = nx_ulid_new(nx_clock_wall_ns());
    ok(nx_fab_open(&o, &fx->f, &fx->err));
}

void fix_open_with(fix *fx, const nx_fab_ns_options *o)
{
    fix_fabric(fx, NULL);
    ok(nx_fab_ns_open(fx->f, NX_SLICE("default"), o, &fx->n, &fx->err));
}

void fix_on_dir(fix *fx, const nx_fab_ns_options *o)
{
    nx_fab_server_options so = {.data_dir = fx->dir};
    nx_fab_options fo = {.node = nx_ulid_new(nx_clock_wall_ns())};

    ok(nx_fab_server_start(&so, &fx->server, &fx->err));
    fo.url = nx_fab_server_url(fx->server);
    fo.private_server = fx->server;
    ok(nx_fab_open(&fo, &fx->f, &fx->err));
    ok(nx_fab_ns_open(fx->f, NX_SLICE("default"), o, &fx->n, &fx->err));
}

void fix_open(fix *fx)
{
    fix_open_with(fx, &(nx_fab_ns_options){.events_max_bytes = 1ull << 30, .runs_max_bytes = 1ull << 30, .dedupe_window_ns = 60 * NX_NS_PER_S});
}

void fix_close(fix *fx)
{
    nx_fab_ns_close(fx->n);
    nx_fab_close(fx->f);
    nx_fab_server_stop(fx->server);
    fix_remove_dir(fx->dir);
}

static void cond_init(pthread_cond_t *cv)
{
    pthread_condattr_t ca;

    pthread_condattr_init(&ca);
    pthread_condattr_setclock(&ca, CLOCK_MONOTONIC);
    pthread_cond_init(cv, &ca);
    pthread_condattr_destroy(&ca);
}

static struct timespec in_ms(unsigned ms)
{
    uint64_t ns = nx_clock_ns() + ms * NX_NS_PER_MS;

    return (struct timespec){.tv_sec = (time_t)(ns / NX_NS_PER_S), .tv_nsec = (long)(ns % NX_NS_PER_S)};
}

static void waiter_done(nx_fab_pub *p)
{
    waiter *w = p->owner;

    pthread_mutex_lock(&w->mu);
    w->n_done++;
    pthread_cond_signal(&w->cv);
    pthread_mutex_unlock(&w->mu);
}

void waiter_init(waiter *w)
{
    memset(w, 0, sizeof *w);
    pthread_mutex_init(&w->mu, NULL);
    cond_init(&w->cv);
    w->pub.done = waiter_done;
    w->pub.owner = w;
}

void waiter_wait(waiter *w)
{
    struct timespec end = in_ms(20000);

    pthread_mutex_lock(&w->mu);
    while (!w->n_done)
        if (pthread_cond_timedwait(&w->cv, &w->mu, &end))
            fail_msg("done() was not called within 20 s");
    assert_int_equal(w->n_done, 1);
    pthread_mutex_unlock(&w->mu);
}

nx_err waiter_publish(fix *fx, waiter *w, const nx_event *e, const char *dedupe_key)
{
    nx_err err;

    waiter_init(w);
    err = nx_fab_publish_event(fx->n, e, nx_slice_cstr(dedupe_key), NX_SLICE_NULL, &w->pub, &fx->err);
    if (err)
        return err;
    waiter_wait(w);
    return w->pub.err;
}

nx_event make_event(nx_slice type, const char *data)
{
    nx_event e = {.ns = NX_SLICE("default"), .source = NX_SLICE("/test"), .type = type, .time = NX_SLICE("2025-11-26T10:23:45Z"), .content_type = NX_SLICE("application/json"), .data = nx_slice_cstr(data)};

    e.event_id = nx_ulid_new(nx_clock_wall_ns());
    e.wall_ns = nx_id_time_ms(&e.event_id) * NX_NS_PER_MS;
    nx_trace_new(&e.trace);
    return e;
}

uint64_t publish(fix *fx, const char *type, const char *data, nx_id *ret_id)
{
    nx_event e = make_event(nx_slice_cstr(type), data);
    waiter w;

    ok(waiter_publish(fx, &w, &e, ""));
    if (ret_id)
        *ret_id = e.event_id;
    return w.pub.seq;
}

void inbox_init(inbox *b)
{
    memset(b, 0, sizeof *b);
    pthread_mutex_init(&b->mu, NULL);
    cond_init(&b->cv);
}

void inbox_on_msg(void *self, nx_fab_msg *m)
{
    inbox *b = self;

    pthread_mutex_lock(&b->mu);
    assert_true(b->n < sizeof b->v / sizeof *b->v);
    b->v[b->n++] = m;
    pthread_cond_signal(&b->cv);
    pthread_mutex_unlock(&b->mu);
}

nx_fab_msg *inbox_next(inbox *b, unsigned timeout_ms)
{
    struct timespec end = in_ms(timeout_ms);
    nx_fab_msg *m = NULL;

    pthread_mutex_lock(&b->mu);
    while (b->taken == b->n)
        if (pthread_cond_timedwait(&b->cv, &b->mu, &end))
            break;
    if (b->taken < b->n)
        m = b->v[b->taken++];
    pthread_mutex_unlock(&b->mu);
    return m;
}

void wait_until(bool (*is_so)(void *self), void *self, unsigned timeout_ms)
{
    uint64_t end = nx_clock_ns() + PATIENCE * timeout_ms * NX_NS_PER_MS;

    while (!is_so(self)) {
        struct timespec ts = {.tv_nsec = 5000000};

        if (nx_clock_ns() > end)
            fail_msg("not so within %u ms", timeout_ms);
        nanosleep(&ts, NULL);
    }
}

bool fab_is_ready(void *fx)
{
    return nx_fab_is_ready(((fix *)fx)->f, NULL);
}

bool fab_is_not_ready(void *fx)
{
    return !fab_is_ready(fx);
}

uint32_t fab_lives(fix *fx)
{
    uint32_t n;

    pthread_mutex_lock(&fx->f->mu);
    n = fx->f->lives;
    pthread_mutex_unlock(&fx->f->mu);
    return n;
}

bool fab_is_reconnected(void *reconnect)
{
    struct fab_reconnect *r = reconnect;

    return fab_lives(r->fx) >= r->lives + NX_FAB_LINKS && fab_is_ready(r->fx);
}
