#include "server.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "nx/clock.h"
#include "nx/log.h"
#include "nx/thread.h"

#define TICK_MS 100u
#define DRAIN_GRACE_MS 250u /* for a client that is just about to use its idle connection */

/* ---- options */

static uint64_t or_default(uint64_t value, uint64_t otherwise)
{
    return value ? value : otherwise;
}

static bool copy_slice(char **ret, nx_slice *s)
{
    *ret = nx_slice_strdup(*s);
    *s = nx_slice_make(*ret, s->n);
    return *ret != NULL;
}

static void fill_defaults(nx_gw_server *s, bool is_single)
{
    nx_gw_listen *o = &s->options;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned loops = cores >= 2 ? 2 : 1;

    s->n_loops = is_single ? 1 : o->loops ? o->loops
                                          : loops;
    if (s->n_loops > 64)
        s->n_loops = 64;
    o->max_body_bytes = or_default(o->max_body_bytes, 1u << 20);
    o->max_header_bytes = (uint32_t)or_default(o->max_header_bytes, 16u << 10);
    o->max_url_bytes = (uint32_t)or_default(o->max_url_bytes, 8u << 10);
    o->max_headers = (unsigned)or_default(o->max_headers, 100);
    o->max_connections = (unsigned)or_default(o->max_connections, 4096);
    o->head_timeout_ms = (uint32_t)or_default(o->head_timeout_ms, 10000);
    o->body_timeout_ms = (uint32_t)or_default(o->body_timeout_ms, 30000);
    o->idle_timeout_ms = (uint32_t)or_default(o->idle_timeout_ms, 75000);
    o->max_buffered_bytes = or_default(o->max_buffered_bytes, 256u << 20);
    s->budget.max = o->max_buffered_bytes;
    s->limits = (nx_gw_parser_limits){o->max_url_bytes, o->max_header_bytes, o->max_headers, o->max_body_bytes, &s->budget};
}

nx_err nx_gw_server_init(nx_gw_server *s, const nx_gw_listen *o, const char *thread_name, const nx_gw_app *app,
                         void *app_self, nx_error *reterr)
{
    pthread_condattr_t attr;
    nx_err err;

    memset(s, 0, sizeof *s);
    s->options = *o;
    s->app = app;
    s->app_self = app_self;
    s->thread_name = thread_name;
    fill_defaults(s, strchr(thread_name, '%') == NULL);
    (void)pthread_mutex_init(&s->mu, NULL);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&s->empty, &attr);
    (void)pthread_condattr_destroy(&attr);
    if (!copy_slice(&s->strings[0], &s->options.address) || !copy_slice(&s->strings[1], &s->options.tls_cert) ||
        !copy_slice(&s->strings[2], &s->options.tls_key))
        err = nx_error_set(reterr, NX_ENOMEM, "out of memory");
    else
        err = nx_gw_address_parse(s->options.address, &s->address, reterr);
    if (err == NX_OK && (s->options.tls_cert.n > 0 || s->options.tls_key.n > 0))
        err = nx_gw_tls_ctx_new(s->options.tls_cert, s->options.tls_key, &s->tls, reterr);
    if (err != NX_OK)
        nx_gw_server_done(s);
    return err;
}

/* ---- loops */

static void wake_loop(void *self)
{
    (void)uv_async_send(&((nx_gw_loop *)self)->wake);
}

/* The loop may take the mail, end with it, and be freed before the poster has left this function: nx_gw_server_done() waits for that. */
void nx_gw_loop_post(nx_gw_loop *l, nx_mail *m)
{
    atomic_fetch_add(&l->n_posting, 1);
    (void)nx_mailbox_post(&l->box, m);
    atomic_fetch_sub(&l->n_posting, 1);
}

static void close_listener(nx_gw_loop *l)
{
    if (l->is_listening && !uv_is_closing((uv_handle_t *)&l->listener))
        uv_close((uv_handle_t *)&l->listener, NULL);
    l->is_listening = false;
}

static void close_all(nx_gw_loop *l)
{
    for (unsigned phase = 0; phase < NX_GW_PHASES; phase++) {
        if (phase == NX_GW_PHASE_CLOSING)
            continue;
        while (l->phases[phase].head) /* closing moves a connection to its own list */
            nx_gw_conn_close(l->phases[phase].head);
    }
}

void nx_gw_loop_finish_if_empty(nx_gw_loop *l)
{
    if (!l->is_stopping || l->n_conns > 0 || uv_is_closing((uv_handle_t *)&l->wake))
        return;
    uv_close((uv_handle_t *)&l->tick, NULL);
    uv_close((uv_handle_t *)&l->wake, NULL);
}

static void on_wake(uv_async_t *handle)
{
    nx_gw_loop *l = handle->data;
    nx_gw_server *s = l->server;

    for (nx_mail *m = nx_mailbox_drain(&l->box); m;) {
        nx_mail *next = m->next;
        s->app->on_mail(l, m);
        m = next;
    }
    if (atomic_load(&s->is_draining) && !l->is_draining) {
        l->is_draining = true;
        close_listener(l);
        nx_gw_loop_hasten_idle(l, DRAIN_GRACE_MS);
    }
    if (atomic_load(&s->is_stopping) && !l->is_stopping) {
        l->is_stopping = true;
        close_listener(l);
        close_all(l);
    }
    nx_gw_loop_finish_if_empty(l);
}

static void on_tick(uv_timer_t *timer)
{
    nx_gw_loop *l = timer->data;
    nx_gw_loop_expire(l);
    if (l->n_conns == 0) { /* an idle node does not wake up */
        (void)uv_timer_stop(timer);
        l->is_ticking = false;
    }
}

void nx_gw_loop_tick_on(nx_gw_loop *l)
{
    if (!l->is_ticking)
        (void)uv_timer_start(&l->tick, on_tick, TICK_MS, TICK_MS);
    l->is_ticking = true;
}

static void *loop_main(void *arg)
{
    nx_gw_loop *l = arg;
    (void)pthread_setname_np(pthread_self(), l->name);
    (void)uv_run(&l->uv, UV_RUN_DEFAULT);
    return NULL;
}

static nx_err loop_init(nx_gw_server *s, unsigned number, nx_error *reterr)
{
    nx_gw_loop *l = &s->loops[number];
    int rc;

    l->server = s;
    if (strchr(s->thread_name, '%'))
        (void)snprintf(l->name, sizeof l->name, "nx-gw-%u", number);
    else
        (void)snprintf(l->name, sizeof l->name, "%s", s->thread_name);
    rc = uv_loop_init(&l->uv);
    if (rc == 0) {
        l->has_uv = true;
        nx_mailbox_init(&l->box, UINT32_MAX, wake_loop, l); /* bounded by what is in flight: every mail is part of a request */
        nx_buf_init(&l->scratch, 1u << 20);
        l->wake.data = l;
        l->tick.data = l;
        rc = uv_async_init(&l->uv, &l->wake, on_wake);
    }
    if (rc == 0)
        rc = uv_timer_init(&l->uv, &l->tick);
    if (rc != 0)
        return nx_error_set(reterr, nx_err_from_errno(-rc), "cannot set up an event loop: %s", uv_strerror(rc));
    return NX_OK;
}

/* A loop that was set up but has no thread: its handles are closed here. */
static void loop_abort(nx_gw_loop *l)
{
    if (!l->has_uv || l->has_thread)
        return;
    close_listener(l);
    l->is_stopping = true;
    if (uv_is_active((uv_handle_t *)&l->wake))
        nx_gw_loop_finish_if_empty(l);
    (void)uv_run(&l->uv, UV_RUN_DEFAULT);
}

static nx_err start_loops(nx_gw_server *s, nx_error *reterr)
{
    nx_err err = NX_OK;
    struct sockaddr_storage sa = s->address.sa;

    if (s->n_loops > 1)
        err = nx_gw_address_probe(&sa, reterr);
    for (unsigned i = 0; err == NX_OK && i < s->n_loops; i++) {
        err = loop_init(s, i, reterr);
        if (err == NX_OK) /* the first call puts the real port into sa */
            err = nx_gw_loop_listen(&s->loops[i], &sa, s->n_loops > 1, reterr);
    }
    if (err != NX_OK)
        return err;
    nx_gw_address_format(&sa, s->bound, sizeof s->bound);
    for (unsigned i = 0; i < s->n_loops; i++) {
        int rc = nx_thread_start(&s->loops[i].thread, NULL, loop_main, &s->loops[i]);
        if (rc != 0)
            return nx_error_set(reterr, nx_err_from_errno(rc), "cannot start a thread: %s", strerror(rc));
        s->loops[i].has_thread = true;
    }
    return NX_OK;
}

nx_err nx_gw_server_start(nx_gw_server *s, nx_error *reterr)
{
    if (s->is_started)
        return nx_error_set(reterr, NX_ECONFLICT, "the listener is started already");
    s->loops = calloc(s->n_loops, sizeof *s->loops);
    if (!s->loops)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    s->is_started = true;
    nx_err err = start_loops(s, reterr);
    if (err != NX_OK) {
        for (unsigned i = 0; i < s->n_loops; i++)
            loop_abort(&s->loops[i]);
        nx_gw_server_stop(s);
        s->bound[0] = '\0';
    }
    return err;
}

/* ---- the end */

static void wake_all(nx_gw_server *s)
{
    for (unsigned i = 0; i < s->n_loops; i++)
        if (s->loops[i].has_thread)
            wake_loop(&s->loops[i]);
}

void nx_gw_server_conn_ended(nx_gw_server *s)
{
    if (atomic_fetch_sub(&s->n_conns, 1) == 1 && atomic_load(&s->is_draining)) {
        (void)pthread_mutex_lock(&s->mu);
        (void)pthread_cond_broadcast(&s->empty);
        (void)pthread_mutex_unlock(&s->mu);
    }
}

nx_err nx_gw_server_drain(nx_gw_server *s, uint32_t deadline_ms)
{
    uint64_t until_ns = nx_clock_ns() + deadline_ms * NX_NS_PER_MS;
    struct timespec ts = {(time_t)(until_ns / NX_NS_PER_S), (long)(until_ns % NX_NS_PER_S)};
    int rc = 0;

    if (!s->is_started || s->is_joined)
        return NX_OK;
    atomic_store(&s->is_draining, true);
    wake_all(s);
    (void)pthread_mutex_lock(&s->mu);
    while (atomic_load(&s->n_conns) > 0 && rc == 0)
        rc = pthread_cond_timedwait(&s->empty, &s->mu, &ts);
    (void)pthread_mutex_unlock(&s->mu);
    return atomic_load(&s->n_conns) == 0 ? NX_OK : NX_ETIMEOUT;
}

void nx_gw_server_stop(nx_gw_server *s)
{
    if (!s->is_started || s->is_joined)
        return;
    atomic_store(&s->is_draining, true);
    atomic_store(&s->is_stopping, true);
    wake_all(s);
    for (unsigned i = 0; i < s->n_loops; i++)
        if (s->loops[i].has_thread)
            (void)pthread_join(s->loops[i].thread, NULL);
    s->is_joined = true;
}

void nx_gw_server_done(nx_gw_server *s)
{
    nx_gw_server_stop(s);
    for (unsigned i = 0; s->loops && i < s->n_loops; i++) {
        nx_gw_loop *l = &s->loops[i];
        if (!l->has_uv)
            continue;
        while (atomic_load(&l->n_posting) > 0)
            (void)sched_yield();
        nx_buf_done(&l->scratch);
        nx_mailbox_done(&l->box);
        if (uv_loop_close(&l->uv) != 0)
            nx_log(NX_LOG_ERROR, "gateway.loop_leak", "an event loop still had handles at its end");
    }
    free(s->loops);
    s->loops = NULL;
    nx_gw_tls_ctx_free(s->tls);
    s->tls = NULL;
    for (unsigned i = 0; i < NX_ARRAY_LEN(s->strings); i++) {
        free(s->strings[i]);
        s->strings[i] = NULL;
    }
    (void)pthread_cond_destroy(&s->empty);
    (void)pthread_mutex_destroy(&s->mu);
}

void nx_gw_server_stats(const nx_gw_server *s, nx_gw_stats *ret)
{
    uint64_t *sum = (uint64_t *)ret;
    memset(ret, 0, sizeof *ret);
    for (unsigned i = 0; s->loops && i < s->n_loops; i++)
        for (size_t k = 0; k < NX_ARRAY_LEN(s->loops[i].stats); k++)
            sum[k] += atomic_load_explicit(&s->loops[i].stats[k], memory_order_relaxed);
    ret->connections = atomic_load(&s->n_conns);
    ret->buffered_bytes = atomic_load(&s->budget.used);
}
