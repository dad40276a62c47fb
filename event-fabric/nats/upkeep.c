/* upkeep.c: the thread nx-fab-up: whatever blocks: connecting anew, repairing consumers and watches, trimming, large run records, and asking
 * from time to time whether JetStream still answers. */
#include "fab_internal.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>

#define PROBE_NS (2 * NX_NS_PER_S)    /* between two, and for an answer */
#define DEAD_AFTER 6                  /* probes in a row without an answer: the connection is given up */
#define PING_NS (1500 * NX_NS_PER_MS) /* for an answer of one of several servers */
#define AGAIN_NS (200 * NX_NS_PER_MS) /* between two probes of a cluster that elects a leader */
#define BACKOFF_MIN_NS (20 * NX_NS_PER_MS)
#define BACKOFF_MAX_NS (2 * NX_NS_PER_S)

struct upkeep {
    nx_fab *f;
    uint64_t backoff_ns, connect_due_ns, probe_due_ns, answered_ns;
    unsigned unanswered;
};

void nx_fab_upkeep_kick(nx_fab *f)
{
    pthread_mutex_lock(&f->mu);
    f->upkeep_is_due = true;
    pthread_cond_signal(&f->upkeep_cv);
    pthread_mutex_unlock(&f->mu);
}

static void report(nx_fab *f, bool is_connected, const char *why)
{
    bool changed;

    pthread_mutex_lock(&f->mu);
    changed = f->was_connected != is_connected;
    f->was_connected = is_connected;
    snprintf(f->why, sizeof f->why, "%s", why);
    pthread_mutex_unlock(&f->mu);
    if (!changed)
        return;
    if (is_connected)
        nx_log(NX_LOG_INFO, "fabric.connected", "connected to the NATS server again");
    else
        nx_log(NX_LOG_ERROR, "fabric.disconnected", "lost the NATS server, reconnecting");
    if (f->o.on_state)
        f->o.on_state(f->o.state_self, is_connected);
}

static void bury(nx_fab *f)
{
    for (int k = 0; k < NX_FAB_LINKS; k++) {
        nx_fab_link *l;

        pthread_mutex_lock(&f->mu);
        l = f->corpse[k];
        f->corpse[k] = NULL;
        pthread_mutex_unlock(&f->mu);
        nx_fab_link_free(l);
    }
}

static void give_up_link(nx_fab *f, int kind)
{
    nx_fab_link *l;

    pthread_mutex_lock(&f->mu);
    l = atomic_load(&f->link[kind]);
    if (l)
        atomic_store(&l->is_dead, true); /* nx-fab takes it down */
    pthread_mutex_unlock(&f->mu);
    nx_fab_loop_kick(f);
}

static bool connect_missing(struct upkeep *u, uint64_t now)
{
    nx_fab *f = u->f;
    bool was_missing = false, hot_is_new = false;
    nx_error err = NX_ERROR_INIT;

    for (int k = 0; k < NX_FAB_LINKS; k++) {
        nx_fab_link *l = NULL;
        bool is_burying;

        if (atomic_load(&f->link[k]))
            continue;
        was_missing = true;
        report(f, false, "");
        pthread_mutex_lock(&f->mu);
        is_burying = f->is_burying[k];
        pthread_mutex_unlock(&f->mu);
        if (is_burying || now < u->connect_due_ns)
            return false;
        if (nx_fab_link_open(f, k, &l, &err) || nx_fab_link_install(f, l)) {
            nx_fab_link_free(l);
            /* No server is reached: what the other link still leads to is not either, and after a break of the network it would hang for as long as it has. */
            if (err.code == NX_EUNAVAIL)
                give_up_link(f, k == NX_FAB_HOT ? NX_FAB_AUX : NX_FAB_HOT);
            pthread_mutex_lock(&f->mu);
            snprintf(f->why, sizeof f->why, "%s", err.msg);
            pthread_mutex_unlock(&f->mu);
            u->connect_due_ns = nx_clock_ns() + u->backoff_ns;
            u->backoff_ns = u->backoff_ns * 2 > BACKOFF_MAX_NS ? BACKOFF_MAX_NS : u->backoff_ns * 2;
            return false;
        }
        nx_obs_inc(f->metrics.reconnects);
        hot_is_new |= k == NX_FAB_HOT;
    }
    if (was_missing) {
        u->backoff_ns = BACKOFF_MIN_NS;
        u->connect_due_ns = 0;
        u->probe_due_ns = 0;
        nx_fab_loop_kick(f);
        report(f, true, "");
        if (hot_is_new)
            nx_fab_consumers_resume(f);
    }
    return true;
}

static void set_silent(nx_fab *f, bool is_silent)
{
    bool was;

    pthread_mutex_lock(&f->mu);
    was = f->is_silent;
    f->is_silent = is_silent;
    pthread_mutex_unlock(&f->mu);
    nx_fab_look_again(f);
    if (was != is_silent)
        nx_log(is_silent ? NX_LOG_ERROR : NX_LOG_INFO, is_silent ? "fabric.silent" : "fabric.answers",
               is_silent ? "JetStream does not answer" : "JetStream answers again");
}

/* Of several servers one that is paused, or cut off, is left for another. An echo asks neither JetStream nor a leader. */
static bool leave_hung_server(nx_fab *f)
{
    for (int k = 0; k < NX_FAB_LINKS; k++) {
        nx_fab_replies got = {0};
        nx_err e = nx_fab_request(f, &(nx_fab_ask){.is_echo = true, .is_hot = k == NX_FAB_HOT, .timeout_ns = PING_NS}, &got, NULL);

        nx_fab_replies_done(&got);
        if (e != NX_EUNAVAIL || !atomic_load(&f->link[NX_FAB_AUX]) || !atomic_load(&f->link[k]))
            continue; /* without the aux link nothing is asked */
        nx_log(NX_LOG_WARN, "fabric.hung", "a NATS server does not answer; turning to another one");
        give_up_link(f, k);
        return true;
    }
    return false;
}

/* Whether the log answers: its leader on an external server, where JetStream itself may be without one while all streams go on. */
static bool log_answers(nx_fab *f, unsigned unanswered, bool *ret_is_refused)
{
    char subject[160];
    nx_fab_replies got = {0};
    nx_json *info = NULL;
    nx_fab_ns *n = NULL;
    nx_err e;

    for (unsigned i = 0; !f->o.private_server && !n && nx_fab_ns_at(f, i, &n); i++)
        ;
    if (n) {
        /* Nobody answers while a leader is elected: asked again soon, so that the new one is known soon. */
        uint64_t wait_ns = atomic_load(&n->is_leaderless) && unanswered < 3 ? PROBE_NS >> (3 - unanswered) : PROBE_NS;

        snprintf(subject, sizeof subject, "STREAM.INFO.%s", n->events);
        e = nx_fab_api_within(f, subject, NX_SLICE_NULL, wait_ns, &info, NULL, NULL);
        nx_json_free(info);
        if (nx_fab_is_copied(n) && e == NX_EUNAVAIL)
            nx_fab_spare_open(n);
        else
            nx_fab_spare_shut(n);
        return e != NX_EUNAVAIL;
    }
    snprintf(subject, sizeof subject, "%s.INFO", f->js_prefix);
    e = nx_fab_request(f, &(nx_fab_ask){.subject = subject, .timeout_ns = PROBE_NS, .ret_is_refused = ret_is_refused}, &got, NULL);
    nx_fab_replies_done(&got);
    return !e;
}

/* A paused server or a lost route closes nothing: only an answer shows that somebody is there. */
static void probe(struct upkeep *u, uint64_t now)
{
    nx_fab *f = u->f;
    bool is_refused = false, has_several = nx_fab_has_servers(f->o.url);

    if (now < u->probe_due_ns || (has_several && leave_hung_server(f)))
        return;
    if (log_answers(f, u->unanswered, &is_refused)) {
        u->unanswered = 0;
        u->answered_ns = nx_clock_ns();
        set_silent(f, false);
    } else {
        if (nx_clock_ns() - u->answered_ns >= PROBE_NS)
            set_silent(f, true);
        u->unanswered++;
        if (is_refused) { /* nats-server has switched its JetStream off; it does so after some errors */
            if (u->unanswered >= 2 && f->o.private_server)
                nx_fab_server_heal(f->o.private_server);
        } else if (u->unanswered >= DEAD_AFTER && !has_several) {
            u->unanswered = 0;
            for (int k = 0; k < NX_FAB_LINKS; k++)
                give_up_link(f, k);
        }
    }
    u->probe_due_ns = nx_clock_ns() + (has_several ? u->unanswered ? AGAIN_NS : NX_NS_PER_S : u->unanswered ? NX_NS_PER_S
                                                                                                            : PROBE_NS);
}

void nx_fab_spills_run(nx_fab *f)
{
    for (;;) {
        nx_fab_spill *s;
        nx_err e;

        pthread_mutex_lock(&f->mu);
        s = f->spills;
        if (s) {
            f->spills = s->next;
            if (!f->spills)
                f->spills_tail = &f->spills;
            f->n_spills--;
        }
        pthread_mutex_unlock(&f->mu);
        if (!s)
            return;
        e = nx_fab_obj_put(s->ns, &s->ns->spills, &s->digest, nx_slice_make(s->bytes, s->n), NULL);
        if (!e)
            e = nx_fab_publish(f, s->ns, s->subject, &s->hdr, NX_SLICE_NULL, s->pub, NULL);
        if (e) {
            s->pub->err = e;
            s->pub->done(s->pub);
        }
        free(s);
    }
}

void nx_fab_spills_drop(nx_fab *f, const nx_fab_ns *n)
{
    nx_fab_spill *s = NULL;

    pthread_mutex_lock(&f->mu);
    f->spills_tail = &f->spills;
    for (nx_fab_spill **at = &f->spills; *at;) {
        nx_fab_spill *this = *at;

        if (n && this->ns != n) {
            at = &this->next;
            f->spills_tail = at;
            continue;
        }
        *at = this->next;
        this->next = s;
        s = this;
        f->n_spills--;
    }
    pthread_mutex_unlock(&f->mu);
    while (s) {
        nx_fab_spill *next = s->next;

        s->pub->err = NX_EUNAVAIL;
        s->pub->done(s->pub);
        free(s);
        s = next;
    }
}

static void wait_for_work(nx_fab *f, uint64_t until_ns)
{
    struct timespec ts = {.tv_sec = (time_t)(until_ns / NX_NS_PER_S), .tv_nsec = (long)(until_ns % NX_NS_PER_S)};

    pthread_mutex_lock(&f->mu);
    while (!f->upkeep_is_due && !atomic_load(&f->is_stopping))
        if (pthread_cond_timedwait(&f->upkeep_cv, &f->mu, &ts))
            break;
    f->upkeep_is_due = false;
    pthread_mutex_unlock(&f->mu);
}

void *nx_fab_upkeep_main(void *self)
{
    struct upkeep u = {.f = self, .backoff_ns = BACKOFF_MIN_NS};
    nx_fab *f = self;

    prctl(PR_SET_NAME, "nx-fab-up");
    u.answered_ns = nx_clock_ns();
    u.probe_due_ns = u.answered_ns + PROBE_NS;
    while (!atomic_load(&f->is_stopping)) {
        uint64_t now = nx_clock_ns(), next = now + 500 * NX_NS_PER_MS;

        bury(f);
        if (connect_missing(&u, now)) {
            probe(&u, now);
            pthread_mutex_lock(&f->upkeep_mu);
            nx_fab_spills_run(f);
            nx_fab_consumers_repair(f);
            nx_fab_kv_watches_repair(f, nx_clock_ns());
            nx_fab_spares(f, nx_clock_ns());
            nx_fab_trim(f, nx_clock_ns());
            nx_fab_ns_unstick(f, nx_clock_ns());
            pthread_mutex_unlock(&f->upkeep_mu);
            next = u.probe_due_ns < next ? u.probe_due_ns : next;
        } else if (u.connect_due_ns && u.connect_due_ns < next) {
            next = u.connect_due_ns;
        }
        wait_for_work(f, next);
    }
    nx_fab_spills_drop(f, NULL);
    nats_ReleaseThreadMemory();
    return NULL;
}
