/* conn.c: opening and closing the fabric, and the life of one connection (link). */
#include "fab_internal.h"
#include "nx/thread.h"
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define READY_NS (5 * NX_NS_PER_MS)
#define NO_LEADER_YET 10008 /* err_code: "JetStream system temporarily unavailable" */
#define ELECTION_NS (30 * NX_NS_PER_S)

nx_err nx_fab_from_nats(natsStatus s, const char *what, nx_error *reterr)
{
    nx_err e = NX_EUNAVAIL;

    switch (s) {
    case NATS_OK: return NX_OK;
    case NATS_NO_MEMORY: e = NX_ENOMEM; break;
    case NATS_MAX_PAYLOAD: e = NX_ELIMIT; break;
    case NATS_CONNECTION_AUTH_FAILED:
    case NATS_NOT_PERMITTED: e = NX_EDENIED; break;
    case NATS_INVALID_ARG:
    case NATS_INVALID_SUBJECT: e = NX_EINVAL; break;
    default: break;
    }
    return nx_error_set(reterr, e, "%s: %s", what, natsStatus_GetText(s));
}

/* ---- the event loop's side of nats.c: called with the connection's lock held, so they only note what is wanted ---------------------- */

static natsStatus on_attach(void **user, void *loop, natsConnection *nc, natsSock fd)
{
    nx_fab_link *l = loop;

    (void)nc;
    l->fd = (int)fd;
    fcntl(l->fd, F_SETFD, FD_CLOEXEC); /* not for the children that compile modules */
    *user = l;
    return NATS_OK;
}

static natsStatus on_read_interest(void *user, bool add)
{
    nx_fab_link *l = user;

    if (!add) { /* nats.c closes the socket next */
        epoll_ctl(l->f->epoll_fd, EPOLL_CTL_DEL, l->fd, NULL);
        atomic_store(&l->is_dead, true);
        nx_fab_loop_kick(l->f);
    }
    return NATS_OK;
}

static natsStatus on_write_interest(void *user, bool add)
{
    nx_fab_link *l = user;

    atomic_store(&l->wants_write, add);
    return NATS_OK;
}

static natsStatus on_detach(void *user)
{
    nx_fab_link *l = user;

    atomic_store(&l->is_dead, true);
    nx_fab_loop_kick(l->f);
    return NATS_OK;
}

/* Permission errors and the like: nats.c would print them to stderr. The requests they belong to time out or are refused by name. */
static void on_error(natsConnection *nc, natsSubscription *sub, natsStatus err, void *self)
{
    (void)nc;
    (void)sub;
    (void)nx_thread_ns_set(self); /* a thread of nats.c's own, for all connections */
    if (err == NATS_NOT_PERMITTED || err == NATS_CONNECTION_AUTH_FAILED)
        nx_log(NX_LOG_ERROR, "fabric.denied", "the NATS server refused an operation: %s", natsStatus_GetText(err));
}

/* ---- options ------------------------------------------------------------------------------------------------------------------------ */

static natsStatus set_servers(natsOptions *o, const char *urls)
{
    char *copy = strdup(urls), *save = NULL;
    const char *v[32];
    int n = 0;
    natsStatus s;

    if (!copy)
        return NATS_NO_MEMORY;
    for (char *p = strtok_r(copy, ", ", &save); p && n < 32; p = strtok_r(NULL, ", ", &save))
        v[n++] = p;
    s = n ? natsOptions_SetServers(o, v, n) : NATS_INVALID_ARG;
    free(copy);
    return s;
}

static natsStatus set_auth(natsOptions *o, const nx_fab_options *fo)
{
    natsStatus s = NATS_OK;

    if (fo->credentials_file.n)
        s = natsOptions_SetUserCredentialsFromFiles(o, fo->credentials_file.p, NULL);
    if (s == NATS_OK && fo->user.n)
        s = natsOptions_SetUserInfo(o, fo->user.p, fo->password.n ? fo->password.p : "");
    if (s == NATS_OK && fo->token.n)
        s = natsOptions_SetToken(o, fo->token.p);
    if (s == NATS_OK && (fo->tls_ca.n || fo->tls_cert.n))
        s = natsOptions_SetSecure(o, true);
    if (s == NATS_OK && fo->tls_ca.n)
        s = natsOptions_LoadCATrustedCertificates(o, fo->tls_ca.p);
    if (s == NATS_OK && fo->tls_cert.n)
        s = natsOptions_LoadCertificatesChain(o, fo->tls_cert.p, fo->tls_key.n ? fo->tls_key.p : fo->tls_cert.p);
    return s;
}

static natsStatus make_options(nx_fab_link *l, natsOptions **ret)
{
    nx_fab *f = l->f;
    natsOptions *o = NULL;
    char name[64];
    natsStatus s = natsOptions_Create(&o);

    snprintf(name, sizeof name, "nexus-%s-%s", f->o.node.s, l->kind == NX_FAB_HOT ? "hot" : "aux");
    if (s == NATS_OK) s = set_servers(o, f->o.url);
    if (s == NATS_OK) s = natsOptions_SetName(o, name);
    if (s == NATS_OK) s = set_auth(o, &f->o);
    if (s == NATS_OK) s = natsOptions_SetAllowReconnect(o, false);
    if (s == NATS_OK) s = natsOptions_SetTimeout(o, 2000);
    if (s == NATS_OK) s = natsOptions_SetPingInterval(o, 0); /* a stale connection would be closed by a third thread; see upkeep.c */
    if (s == NATS_OK) s = natsOptions_SetIOBufSize(o, 256 * 1024);
    if (s == NATS_OK) s = natsOptions_SetSendAsap(o, true); /* no flusher thread */
    if (s == NATS_OK) s = natsOptions_SetErrorHandler(o, on_error, (void *)(uintptr_t)nx_thread_ns());
    if (s == NATS_OK) s = natsOptions_SetEventLoop(o, l, on_attach, on_read_interest, on_write_interest, on_detach);
    if (s != NATS_OK) {
        natsOptions_Destroy(o);
        return s;
    }
    *ret = o;
    return NATS_OK;
}

static natsStatus subscribe(nx_fab_link *l, natsSubscription **sub, const char *subject)
{
    natsStatus s = natsConnection_SubscribeSync(sub, l->nc, subject);

    /* nx-fab empties it after every read of the socket, so what one read brings is the bound. */
    return s == NATS_OK ? natsSubscription_SetPendingLimits(*sub, -1, -1) : s;
}

/* "nats://127.0.0.1:4222,tls://b:4222" of a list of addresses, without the user names and passwords that may stand in them. */
static void name_servers(const char *url, char *out, size_t out_bytes)
{
    nx_slice rest = nx_slice_cstr(url);
    size_t n = 0;

    out[0] = 0;
    while (rest.n && n < out_bytes) {
        nx_slice one = nx_slice_trim(nx_slice_split(rest, ',', &rest));
        size_t scheme = 0;

        for (size_t i = 0; i + 2 < one.n && !scheme; i++)
            scheme = one.p[i] == ':' && one.p[i + 1] == '/' && one.p[i + 2] == '/' ? i + 3 : 0;
        nx_slice host = nx_slice_sub(one, scheme, one.n - scheme);
        for (size_t i = host.n; i-- > 0;)
            if (host.p[i] == '@') {
                host = nx_slice_sub(host, i + 1, host.n - i - 1);
                break;
            }
        n += (size_t)snprintf(out + n, out_bytes - n, "%s%.*s%.*s", n ? "," : "", (int)scheme, one.p, NX_SLICE_FMT(host));
    }
}

nx_err nx_fab_link_open(nx_fab *f, int kind, nx_fab_link **ret, nx_error *reterr)
{
    nx_fab_link *l = calloc(1, sizeof *l);
    natsOptions *o = NULL;
    char subject[96];
    natsStatus s;
    nx_err e;

    if (!l)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    l->f = f;
    l->kind = kind;
    l->fd = -1;
    l->is_tls = f->o.tls_ca.n || f->o.tls_cert.n || strstr(f->o.url, "tls://");
    pthread_mutex_init(&l->io_mu, NULL);
    s = make_options(l, &o);
    if (s == NATS_OK)
        s = natsConnection_Connect(&l->nc, o);
    natsOptions_Destroy(o);
    if (s == NATS_OK) {
        snprintf(subject, sizeof subject, "%s.*", f->inbox[kind]);
        s = subscribe(l, &l->inbox, subject);
    }
    if (s == NATS_OK && kind == NX_FAB_HOT) {
        snprintf(subject, sizeof subject, "%s.>", f->reply_inbox);
        s = subscribe(l, &l->replies, subject);
    }
    for (unsigned to = 0; s == NATS_OK && kind == NX_FAB_HOT && to < NX_FAB_DESTS; to++) {
        snprintf(subject, sizeof subject, "%s.*", f->inbox[kind]);
        subject[NX_FAB_INBOX_LETTER] = NX_FAB_DEST_KINDS[to];
        s = subscribe(l, &l->acks[to], subject);
    }
    if (s == NATS_OK)
        natsConnection_ProcessWriteEvent(l->nc); /* the subscriptions go out before anything that needs them */
    e = nx_fab_from_nats(s, "cannot connect to NATS", reterr);
    if (e) {
        char where[256];

        name_servers(f->o.url, where, sizeof where);
        (void)nx_error_prefix(reterr, "%s", where);
        nx_fab_link_free(l);
        return e;
    }
    *ret = l;
    return NX_OK;
}

void nx_fab_link_free(nx_fab_link *l)
{
    if (!l)
        return;
    pthread_mutex_lock(&l->io_mu); /* a publisher may still write to it */
    pthread_mutex_unlock(&l->io_mu);
    if (l->nc)
        natsConnection_Close(l->nc); /* first: a subscription that ends would leave something to flush, and closing would wait for it */
    if (l->inbox)
        natsSubscription_Destroy(l->inbox);
    if (l->replies)
        natsSubscription_Destroy(l->replies);
    for (unsigned to = 0; to < NX_FAB_DESTS; to++)
        if (l->acks[to])
            natsSubscription_Destroy(l->acks[to]);
    if (l->nc)
        natsConnection_Destroy(l->nc);
    pthread_mutex_destroy(&l->io_mu);
    free(l);
}

/* ---- open and close -------------------------------------------------------------------------------------------------------------------- */

static char *put(char **at, nx_slice s)
{
    char *p = *at;

    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = 0;
    *at += s.n + 1;
    return p;
}

/* Every string of the options is copied, NUL-terminated for nats.c. */
static nx_err copy_options(nx_fab *f, const nx_fab_options *o)
{
    nx_slice *all[] = {&f->o.credentials_file, &f->o.user, &f->o.password, &f->o.token, &f->o.tls_ca, &f->o.tls_cert, &f->o.tls_key, &f->o.js_prefix};
    size_t n = strlen(o->url) + 1;
    char *at;

    f->o = *o;
    for (size_t i = 0; i < NX_ARRAY_LEN(all); i++)
        n += all[i]->n + 1;
    f->strings = at = malloc(n);
    if (!at)
        return NX_ENOMEM;
    f->o.url = put(&at, nx_slice_cstr(o->url));
    for (size_t i = 0; i < NX_ARRAY_LEN(all); i++)
        all[i]->p = put(&at, *all[i]);
    if (!f->o.max_publishes)
        f->o.max_publishes = 8192;
    if (f->o.max_publishes > 0xffff)
        f->o.max_publishes = 0xffff; /* a slot is four hexadecimal digits of a token */
    if (!f->o.max_inflight)
        f->o.max_inflight = 2048;
    if (!f->o.max_inflight_bytes)
        f->o.max_inflight_bytes = 64u << 20;
    return nx_slice_to_cstr(f->o.js_prefix.n ? f->o.js_prefix : NX_SLICE("$JS.API"), f->js_prefix, sizeof f->js_prefix);
}

static void name_inboxes(nx_fab *f)
{
    static const char digits[] = "0123456789abcdefghijklmnopqrstuv";
    uint8_t r[12];

    nx_random(r, sizeof r);
    for (int k = 0; k < NX_FAB_LINKS; k++) {
        char *p = f->inbox[k];

        memcpy(p, k == NX_FAB_HOT ? "_NX.H" : "_NX.A", sizeof "_NX.H");
        for (size_t i = 0; i < sizeof r; i++)
            p[5 + i] = digits[r[i] & 31];
        f->inbox_n[k] = 5 + sizeof r;
    }
    f->reply_inbox_n = (size_t)snprintf(f->reply_inbox, sizeof f->reply_inbox, NX_FAB_REPLIES "%s", f->o.node.s[0] ? f->o.node.s : f->inbox[0] + 5);
}

static nx_err init(nx_fab *f, const nx_fab_options *o)
{
    pthread_condattr_t ca;
    nx_err e = copy_options(f, o);

    if (e)
        return e;
    name_inboxes(f);
    f->n_slots = f->o.max_publishes;
    f->slots = calloc(f->n_slots, sizeof *f->slots);
    if (!f->slots)
        return NX_ENOMEM;
    for (unsigned i = 0; i < f->n_slots; i++)
        f->slots[i].next = i + 1 < f->n_slots ? i + 1 : NX_FAB_NIL;
    f->oldest = f->newest = NX_FAB_NIL;
    f->spills_tail = &f->spills;
    f->starved_tail = &f->starved;
    pthread_condattr_init(&ca);
    pthread_condattr_setclock(&ca, CLOCK_MONOTONIC);
    pthread_mutex_init(&f->mu, NULL);
    pthread_mutex_init(&f->cmu, NULL);
    pthread_mutex_init(&f->upkeep_mu, NULL);
    pthread_cond_init(&f->turn_cv, &ca);
    pthread_cond_init(&f->upkeep_cv, &ca);
    pthread_cond_init(&f->callback_cv, &ca);
    for (unsigned i = 0; i < NX_FAB_REQUESTS; i++)
        pthread_cond_init(&f->reqs[i].cv, &ca);
    pthread_condattr_destroy(&ca);
    f->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    f->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (f->epoll_fd < 0 || f->event_fd < 0)
        return NX_EIO;
    return epoll_ctl(f->epoll_fd, EPOLL_CTL_ADD, f->event_fd, &(struct epoll_event){.events = EPOLLIN, .data.u64 = UINT64_MAX}) ? NX_EIO : NX_OK;
}

static void destroy(nx_fab *f)
{
    for (int k = 0; k < NX_FAB_LINKS; k++) {
        nx_fab_link_free(atomic_load(&f->link[k]));
        nx_fab_link_free(f->corpse[k]);
    }
    if (f->event_fd > 0)
        close(f->event_fd);
    if (f->epoll_fd > 0)
        close(f->epoll_fd);
    if (f->slots) { /* the locks exist */
        for (unsigned i = 0; i < NX_FAB_REQUESTS; i++)
            pthread_cond_destroy(&f->reqs[i].cv);
        pthread_cond_destroy(&f->callback_cv);
        pthread_cond_destroy(&f->upkeep_cv);
        pthread_cond_destroy(&f->turn_cv);
        pthread_mutex_destroy(&f->upkeep_mu);
        pthread_mutex_destroy(&f->cmu);
        pthread_mutex_destroy(&f->mu);
    }
    free(f->consumers);
    free(f->slots);
    free(f->strings);
    free(f);
}

bool nx_fab_has_servers(const char *url)
{
    return strchr(url, ',') != NULL;
}

/* A server of a cluster that elects a leader, or has not heard of it, says so. Behind one URL (a service's name) it is waited for here; of several
 * servers the caller asks another one. */
static nx_err check_jetstream(nx_fab *f, nx_error *reterr)
{
    uint64_t end_ns = nx_clock_ns() + ELECTION_NS;
    bool is_electing = false;
    nx_err e;

    for (;;) {
        nx_json *j = NULL;
        int code = 0;

        e = nx_fab_api(f, "INFO", NX_SLICE_NULL, &j, &code, reterr);
        nx_json_free(j);
        is_electing |= code == NO_LEADER_YET && !nx_fab_has_servers(f->o.url);
        if (e != NX_EUNAVAIL || !is_electing || nx_clock_ns() >= end_ns)
            break;
        nanosleep(&(struct timespec){.tv_nsec = 200 * (long)NX_NS_PER_MS}, NULL);
    }
    if (e == NX_EUNAVAIL)
        nx_error_prefix(reterr, "the NATS server has no JetStream (or it is not ready)");
    return e;
}

static nx_err start(nx_fab *f, nx_error *reterr)
{
    for (int k = 0; k < NX_FAB_LINKS; k++) {
        nx_fab_link *l = NULL;
        nx_err e = nx_fab_link_open(f, k, &l, reterr);

        if (e)
            return e;
        e = nx_fab_link_install(f, l);
        if (e) {
            nx_fab_link_free(l);
            return nx_error_set(reterr, e, "epoll: %s", strerror(errno));
        }
    }
    f->was_connected = true;
    if (nx_thread_start(&f->loop, NULL, nx_fab_loop_main, f))
        return nx_error_set(reterr, NX_ENOMEM, "cannot start the thread nx-fab");
    f->loop_is_up = true;
    if (nx_thread_start(&f->upkeep, NULL, nx_fab_upkeep_main, f))
        return nx_error_set(reterr, NX_ENOMEM, "cannot start the thread nx-fab-up");
    f->upkeep_is_up = true;
    return check_jetstream(f, reterr);
}

nx_err nx_fab_open(const nx_fab_options *o, nx_fab **ret, nx_error *reterr)
{
    nx_fab *f;
    nx_err e;

    if (!o->url || !o->url[0])
        return nx_error_set(reterr, NX_EINVAL, "no NATS URL");
    f = calloc(1, sizeof *f);
    if (!f)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    e = init(f, o);
    if (e) {
        nx_error_set(reterr, e, "cannot open the event fabric: %s", nx_err_text(e));
        destroy(f);
        return e;
    }
    e = start(f, reterr);
    if (e) {
        nx_fab_close(f);
        return e;
    }
    nx_fab_metrics_start(f);
    if (f->o.on_state)
        f->o.on_state(f->o.state_self, true);
    *ret = f;
    return NX_OK;
}

void nx_fab_close(nx_fab *f)
{
    if (!f)
        return;
    nx_fab_metrics_stop(f);
    if (f->loop_is_up)
        nx_fab_settle(f); /* the last acknowledgements reach the server */
    atomic_store(&f->is_stopping, true);
    nx_fab_upkeep_kick(f);
    if (f->upkeep_is_up)
        pthread_join(f->upkeep, NULL);
    nx_fab_loop_kick(f);
    if (f->loop_is_up)
        pthread_join(f->loop, NULL);
    destroy(f);
}

void nx_fab_look_again(nx_fab *f)
{
    atomic_store(&f->ready_until_ns, 0);
}

bool nx_fab_is_ready(nx_fab *f, nx_error *ret_why)
{
    uint64_t now = nx_clock_ns();
    bool ok = true, has_spare = false;

    if (now < atomic_load(&f->ready_until_ns) && atomic_load(&f->link[NX_FAB_HOT]) && atomic_load(&f->link[NX_FAB_AUX]))
        return true; /* each request asks, and the lock is the publishers' */
    pthread_mutex_lock(&f->mu);
    for (unsigned i = 0; i < f->n_ns; i++)
        has_spare |= f->ns[i] && nx_fab_is_copied(f->ns[i]);
    if (!atomic_load(&f->link[NX_FAB_HOT]) || !atomic_load(&f->link[NX_FAB_AUX])) {
        nx_error_set(ret_why, NX_EUNAVAIL, "reconnecting to the NATS server%s%s", f->why[0] ? ": " : "", f->why);
        ok = false;
    }
    for (unsigned i = 0; ok && i < f->n_ns; i++)
        if (f->ns[i] && atomic_load(&f->ns[i]->is_full)) {
            nx_error_set(ret_why, NX_EFULL, "the event log of namespace %s is full", f->ns[i]->name);
            ok = false;
        }
    for (unsigned i = 0; ok && !f->is_silent && i < f->n_ns; i++)
        if (f->ns[i] && atomic_load(&f->ns[i]->is_stuck)) {
            nx_error_set(ret_why, NX_EUNAVAIL, "the event log of namespace %s does not acknowledge what is written", f->ns[i]->name);
            ok = false;
        }
    if (ok && f->is_silent && !has_spare) { /* else events have somewhere to go, and a publish that has not is refused at once */
        nx_error_set(ret_why, NX_EUNAVAIL, "JetStream does not answer");
        ok = false;
    }
    pthread_mutex_unlock(&f->mu);
    atomic_store(&f->ready_until_ns, ok ? now + READY_NS : 0);
    return ok;
}

uint64_t nx_fab_max_payload(nx_fab *f)
{
    return atomic_load(&f->max_payload);
}

const char *nx_fab_server_version(nx_fab *f)
{
    return f->server_version; /* written once, before the first namespace is handed out */
}

const char *nx_fab_inbox(nx_fab *f)
{
    return f->reply_inbox;
}
