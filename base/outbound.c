/* outbound.c: the thread that drives transfers.
 * A caller makes the transfer (options, headers, callbacks), hands it over, and waits; the thread only drives. So what can fail for want of
 * memory or by what the guest wrote fails on the caller, and the thread has nothing to decide. */
#include "curl_init.h"
#include "nx/clock.h"
#include "nx/thread.h"
#include "outbound_internal.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

#define IN_FLIGHT_DEFAULT 64u
#define WAITING_DEFAULT 256u
#define CONNECT_TIMEOUT_MS_DEFAULT 5000u
#define LOOKUPS_LEFT_MAX 256u
#define LOOKUP_NS_MAX (30 * NX_NS_PER_S) /* what the system's resolver takes at most, with its usual settings */
#define POLL_MS_MAX 1000
#define POLL_MS_CROWDED 20 /* while calls wait for a place: their deadlines are looked at this often */

struct nx_outbound {
    nx_mailbox box;
    CURLM *multi;
    char *ca_file;
    unsigned max_in_flight, max_accepted, connect_timeout_ms;
    pthread_t thread;
    pthread_mutex_t mu;
    atomic_uint n_accepted, n_in_flight;
    atomic_bool is_canceled, is_stopping;
    nx_ob_transfer *flying, *waiting, **waiting_tail; /* nx-http's */
    /* Look-ups that took longer than their call go on in threads of libcurl that nobody can end: until when each may last. A ring, under mu. */
    uint64_t lookups_left[LOOKUPS_LEFT_MAX];
    unsigned next_lookup;
};

/* ---- the thread */

static void wake_thread(void *self)
{
    nx_outbound *o = self;
    (void)curl_multi_wakeup(o->multi);
}

static void finish(nx_outbound *o, nx_ob_transfer *t)
{
    /* With the lock: the transfer lies on its caller's stack and is gone when the caller has seen this. */
    (void)pthread_mutex_lock(&o->mu);
    t->is_done = true;
    (void)pthread_cond_signal(&t->wake);
    (void)pthread_mutex_unlock(&o->mu);
}

static void note_lookup(nx_outbound *o, const nx_ob_transfer *t)
{
    curl_off_t us = 0;
    if ((t->rc == CURLE_OK && !t->err) || t->target->is_address || curl_easy_getinfo(t->easy, CURLINFO_NAMELOOKUP_TIME_T, &us) || us > 0) return;
    if (!t->err && t->rc != CURLE_OPERATION_TIMEDOUT) return; /* it ended by itself */
    (void)pthread_mutex_lock(&o->mu);
    o->lookups_left[o->next_lookup++ % LOOKUPS_LEFT_MAX] = nx_clock_ns() + LOOKUP_NS_MAX;
    (void)pthread_mutex_unlock(&o->mu);
}

static void land(nx_outbound *o, nx_ob_transfer *t)
{
    note_lookup(o, t);
    (void)curl_multi_remove_handle(o->multi, t->easy);
    if (t->prev) t->prev->next = t->next;
    else o->flying = t->next;
    if (t->next) t->next->prev = t->prev;
    atomic_fetch_sub(&o->n_in_flight, 1);
    finish(o, t);
}

static void start(nx_outbound *o, nx_ob_transfer *t)
{
    uint64_t now = nx_clock_ns(), left_ms = t->call->deadline_ns > now ? (t->call->deadline_ns - now + NX_NS_PER_MS - 1) / NX_NS_PER_MS : 0;
    if (left_ms > INT32_MAX) left_ms = INT32_MAX;
    if (atomic_load(&o->is_canceled)) t->err = NX_ECANCELED;
    else if (left_ms == 0) t->err = NX_ETIMEOUT;
    else if (curl_easy_setopt(t->easy, CURLOPT_TIMEOUT_MS, (long)left_ms) || curl_multi_add_handle(o->multi, t->easy)) t->err = NX_ENOMEM;
    if (t->err) {
        finish(o, t);
        return;
    }
    t->prev = NULL;
    t->next = o->flying;
    if (t->next) t->next->prev = t;
    o->flying = t;
    atomic_fetch_add(&o->n_in_flight, 1);
}

/* Those that wait keep their order. The ones past their deadline go, wherever they stand. */
static void start_waiting(nx_outbound *o)
{
    for (nx_mail *m = nx_mailbox_drain(&o->box), *next; m; m = next) {
        next = m->next;
        nx_ob_transfer *t = (nx_ob_transfer *)m; /* mail is its first member */
        t->next = NULL;
        *o->waiting_tail = t;
        o->waiting_tail = &t->next;
    }
    uint64_t now = nx_clock_ns();
    bool is_canceled = atomic_load(&o->is_canceled);
    nx_ob_transfer **link = &o->waiting;
    while (*link) {
        nx_ob_transfer *t = *link;
        if (atomic_load(&o->n_in_flight) >= o->max_in_flight && !is_canceled && t->call->deadline_ns > now) {
            link = &t->next;
            continue;
        }
        *link = t->next;
        start(o, t);
    }
    o->waiting_tail = link;
}

static void land_finished(nx_outbound *o)
{
    int n;
    for (CURLMsg *m = curl_multi_info_read(o->multi, &n); m; m = curl_multi_info_read(o->multi, &n)) {
        nx_ob_transfer *t = NULL;
        if (m->msg != CURLMSG_DONE || curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&t) || !t) continue;
        t->rc = m->data.result;
        land(o, t);
    }
}

static void *run(void *self)
{
    nx_outbound *o = self;
    while (!atomic_load(&o->is_stopping) || nx_mailbox_count(&o->box) > 0 || o->flying || o->waiting) {
        int running;
        start_waiting(o);
        if (atomic_load(&o->is_canceled)) {
            while (o->flying) {
                o->flying->err = NX_ECANCELED;
                land(o, o->flying);
            }
        }
        (void)curl_multi_perform(o->multi, &running);
        land_finished(o);
        if (!atomic_load(&o->is_stopping)) (void)curl_multi_poll(o->multi, NULL, 0, o->waiting ? POLL_MS_CROWDED : POLL_MS_MAX, NULL);
    }
    return NULL;
}

/* ---- life */

static void destroy(nx_outbound *o)
{
    (void)curl_multi_cleanup(o->multi);
    nx_mailbox_done(&o->box);
    (void)pthread_mutex_destroy(&o->mu);
    free(o->ca_file);
    free(o);
}

static nx_err start_thread(nx_outbound *o)
{
    sigset_t all, before;
    sigfillset(&all); /* signals belong to nx-main; a peer that went away must be an error, not SIGPIPE */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = nx_thread_start(&o->thread, NULL, run, o);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc == 0) (void)pthread_setname_np(o->thread, "nx-http");
    return nx_err_from_errno(rc);
}

/* From 8.20 on libcurl looks names up in a pool of 20 threads, which as many stuck look-ups would fill, and joins them at its end. Before, each
 * look-up has a thread of its own. */
static void set_lookups(nx_outbound *o)
{
#if LIBCURL_VERSION_NUM >= 0x081400
    (void)curl_multi_setopt(o->multi, CURLMOPT_RESOLVE_THREADS_MAX, (long)(o->max_in_flight + LOOKUPS_LEFT_MAX));
    (void)curl_multi_setopt(o->multi, CURLMOPT_QUICK_EXIT, 1L);
#else
    (void)o;
#endif
}

nx_err nx_outbound_start(const nx_outbound_options *options, nx_outbound **ret, nx_error *reterr)
{
    nx_err err = nx_curl_init(reterr);
    if (err) return err;
    nx_outbound *o = calloc(1, sizeof *o);
    if (!o) return nx_error_set(reterr, NX_ENOMEM, "outbound HTTP: out of memory");
    o->max_in_flight = options->max_in_flight ? options->max_in_flight : IN_FLIGHT_DEFAULT;
    o->max_accepted = o->max_in_flight + (options->max_waiting ? options->max_waiting : WAITING_DEFAULT);
    o->connect_timeout_ms = options->connect_timeout_ms ? options->connect_timeout_ms : CONNECT_TIMEOUT_MS_DEFAULT;
    o->waiting_tail = &o->waiting;
    nx_mailbox_init(&o->box, o->max_accepted, wake_thread, o);
    (void)pthread_mutex_init(&o->mu, NULL);
    o->multi = curl_multi_init();
    if (options->ca_file) o->ca_file = strdup(options->ca_file);
    err = o->multi && (o->ca_file || !options->ca_file) ? NX_OK : NX_ENOMEM;
    if (!err) {
        (void)curl_multi_setopt(o->multi, CURLMOPT_MAXCONNECTS, (long)o->max_in_flight); /* kept open between calls */
        set_lookups(o);
        err = start_thread(o);
    }
    if (err) {
        destroy(o);
        return nx_error_set(reterr, err, "outbound HTTP: %s", nx_err_text(err));
    }
    *ret = o;
    return NX_OK;
}

void nx_outbound_cancel(nx_outbound *o)
{
    atomic_store(&o->is_canceled, true);
    nx_mailbox_close(&o->box);
    wake_thread(o);
}

void nx_outbound_stop(nx_outbound *o)
{
    if (!o) return;
    nx_outbound_cancel(o);
    atomic_store(&o->is_stopping, true);
    wake_thread(o);
    (void)pthread_join(o->thread, NULL);
    destroy(o);
}

void nx_outbound_depth(nx_outbound *o, unsigned *ret_in_flight, unsigned *ret_waiting)
{
    unsigned all = atomic_load(&o->n_accepted), flying = atomic_load(&o->n_in_flight);
    *ret_in_flight = flying;
    *ret_waiting = all > flying ? all - flying : 0;
}

/* ---- a caller */

const char *nx_ob_ca_file(const nx_outbound *o) { return o->ca_file; }
long nx_ob_connect_timeout_ms(const nx_outbound *o) { return (long)o->connect_timeout_ms; }

/* The oldest of as many as may be left behind is still there. */
static bool has_too_many_lookups(nx_outbound *o)
{
    (void)pthread_mutex_lock(&o->mu);
    bool is_full = o->lookups_left[o->next_lookup % LOOKUPS_LEFT_MAX] > nx_clock_ns();
    (void)pthread_mutex_unlock(&o->mu);
    return is_full;
}

nx_err nx_ob_fly(nx_outbound *o, nx_ob_transfer *t)
{
    if (!t->target->is_address && has_too_many_lookups(o)) return NX_EBUSY;
    if (atomic_fetch_add(&o->n_accepted, 1) >= o->max_accepted) {
        atomic_fetch_sub(&o->n_accepted, 1);
        return NX_EBUSY;
    }
    (void)pthread_cond_init(&t->wake, NULL);
    nx_err err = nx_mailbox_post(&o->box, &t->mail);
    if (!err) {
        (void)pthread_mutex_lock(&o->mu);
        while (!t->is_done) (void)pthread_cond_wait(&t->wake, &o->mu);
        (void)pthread_mutex_unlock(&o->mu);
        err = t->err;
    }
    (void)pthread_cond_destroy(&t->wake);
    atomic_fetch_sub(&o->n_accepted, 1);
    return err == NX_ECLOSED ? NX_ECANCELED : err;
}
