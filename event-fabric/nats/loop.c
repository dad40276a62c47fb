/* loop.c: the thread nx-fab: reads and writes both connections, hands out what came, ends what waited too long.
 *
 * One thread reads, parses and calls back, so a message costs no hand-over between threads. Writing is lazy under load (whatever was
 * published while the thread was busy goes out in one write) and immediate when little is in flight (the publisher writes itself). */
#include "fab_internal.h"
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <unistd.h>

#define TICK_NS (50 * NX_NS_PER_MS)
#define CLOSE_FLUSH_MS 1000

void nx_fab_loop_kick(nx_fab *f)
{
    /* The loop sets is_sleeping before its last look at wants_write, we set wants_write before this look: one of us sees the other. */
    if (atomic_exchange(&f->is_sleeping, false) || atomic_load(&f->is_stopping)) {
        uint64_t one = 1;

        if (write(f->event_fd, &one, sizeof one) < 0)
            return; /* full: a wake-up is under way */
    }
}

void nx_fab_token_format(const nx_fab *f, int link, char kind, unsigned slot, uint32_t gen, char out[64])
{
    static const char hex[] = "0123456789abcdef";
    char *p = out;

    memcpy(p, f->inbox[link], f->inbox_n[link]);
    if (strchr(NX_FAB_DEST_KINDS, kind)) /* an inbox of its own: see nx_fab_dest */
        p[NX_FAB_INBOX_LETTER] = kind;
    p += f->inbox_n[link];
    *p++ = '.';
    *p++ = kind;
    for (int i = 12; i >= 0; i -= 4)
        *p++ = hex[(slot >> i) & 15];
    for (int i = 28; i >= 0; i -= 4)
        *p++ = hex[(gen >> i) & 15];
    *p = 0;
}

static bool parse_hex(const char *p, unsigned n, uint32_t *ret)
{
    uint32_t v = 0;

    for (unsigned i = 0; i < n; i++) {
        unsigned d;

        if (p[i] >= '0' && p[i] <= '9')
            d = (unsigned)(p[i] - '0');
        else if (p[i] >= 'a' && p[i] <= 'f')
            d = (unsigned)(p[i] - 'a') + 10;
        else
            return false;
        v = v << 4 | d;
    }
    *ret = v;
    return true;
}

bool nx_fab_token_parse(nx_slice token, char *ret_kind, unsigned *ret_slot, uint32_t *ret_gen)
{
    uint32_t slot;

    if (token.n != NX_FAB_TOKEN_BYTES || !parse_hex(token.p + 1, 4, &slot) || !parse_hex(token.p + 5, 8, ret_gen))
        return false;
    *ret_kind = token.p[0];
    *ret_slot = slot;
    return true;
}

/* ---- writing ---------------------------------------------------------------------------------------------------------------------------- */

static void watch_fd(nx_fab *f, nx_fab_link *l, bool with_writes)
{
    struct epoll_event ev = {.events = EPOLLIN | (with_writes ? EPOLLOUT : 0), .data.u64 = ((uint64_t)l->life << 8) | (unsigned)l->kind};

    epoll_ctl(f->epoll_fd, EPOLL_CTL_MOD, l->fd, &ev); /* fails only when the link has died and was taken out */
}

/* io_mu held. */
static void write_locked(nx_fab *f, nx_fab_link *l)
{
    if (!atomic_load(&l->wants_write) || atomic_load(&l->is_dead))
        return;
    natsConnection_ProcessWriteEvent(l->nc);
    if (atomic_load(&l->wants_write) && !atomic_load(&l->is_dead) && !atomic_exchange(&l->is_blocked, true))
        watch_fd(f, l, true);
}

void nx_fab_link_flush_unlock(nx_fab *f, nx_fab_link *l, bool now)
{
    /* With io_mu the link stays: nx_fab_link_free() waits for it. */
    bool is_mine = now && !l->is_tls && !pthread_mutex_trylock(&l->io_mu), wants_write = atomic_load(&l->wants_write);

    pthread_mutex_unlock(&f->mu);
    if (is_mine) {
        if (!atomic_load(&l->is_blocked))
            write_locked(f, l);
        pthread_mutex_unlock(&l->io_mu);
    } else if (wants_write) {
        nx_fab_loop_kick(f);
    }
}

/* ---- messages that are done with --------------------------------------------------------------------------------------------------------- */

bool natsGC_collect(void *message);

/* Stands in for nats.c's own (3.4.1, src/gc.c), which its natsMsg_Destroy() finds through the symbol table. That one hands each message to a
 * collector thread and wakes it, and the thread frees memory of other threads' arenas under their locks: five wake-ups, and a tenth of a
 * node's time. False: who destroys the message frees it. tests/unit/event-fabric/test_fab_headers.c keeps this true. */
__attribute__((visibility("default"))) bool natsGC_collect(void *message)
{
    (void)message;
    return false;
}

/* ---- reading ---------------------------------------------------------------------------------------------------------------------------- */

static void on_inbox(nx_fab *f, int kind, natsMsg *m)
{
    const char *subject = natsMsg_GetSubject(m), *reply = natsMsg_GetReply(m);
    nx_slice s = nx_slice_cstr(subject);
    size_t prefix_n = f->inbox_n[kind]; /* what comes here has it */
    unsigned slot;
    uint32_t gen;
    char what;

    if (reply && !strncmp(reply, "$JS.ACK.", 8)) { /* a stored message, under its own subject */
        if (kind == NX_FAB_HOT) {
            nx_fab_consumer_deliver(f, m, false);
            return;
        }
        nx_fab_kv_watch_by_stream(f, m);
    } else if (s.n > prefix_n && nx_fab_token_parse(nx_slice_sub(s, prefix_n + 1, s.n), &what, &slot, &gen)) {
        switch (what) {
        case 'e':
        case 's':
        case 'r':
        case 'p': nx_fab_pub_deliver(f, slot, gen, m); break;
        case 'm': nx_fab_consumer_status(f, slot, gen, m); break;
        case 'w': nx_fab_kv_watch_status(f, slot, gen, m); break;
        case 'q': nx_fab_req_deliver(f, slot, gen, m); return; /* took it */
        default: break;
        }
    }
    natsMsg_Destroy(m);
}

static void on_reply(nx_fab *f, natsMsg *m)
{
    nx_slice subject = nx_slice_cstr(natsMsg_GetSubject(m)), status_text, type = NX_SLICE_NULL;
    uint64_t status = 200;

    if (nx_fab_is_given(f, subject)) {
        nx_fab_consumer_deliver(f, m, true);
        return;
    }
    if (f->o.on_reply && subject.n > f->reply_inbox_n + 1) {
        if (nx_fab_msg_header(m, "nx-status", &status_text) && nx_slice_u64(status_text, 599, &status))
            status = 500;
        nx_fab_msg_header(m, "content-type", &type);
        f->o.on_reply(f->o.reply_self, nx_slice_sub(subject, f->reply_inbox_n + 1, subject.n), (int)status, type,
                      nx_slice_make(natsMsg_GetData(m), (size_t)natsMsg_GetDataLength(m)));
    }
    natsMsg_Destroy(m);
}

/* The next message that came; false: no more. nats.c keeps the server's word that nobody listens to itself (NATS_NO_RESPONDERS): of which request
 * it is is lost, and what lies behind it is not. */
static bool next_msg(natsSubscription *sub, natsMsg **ret, bool *ret_is_homeless)
{
    natsStatus s;

    while ((s = natsSubscription_NextMsg(ret, sub, 0)) == NATS_NO_RESPONDERS)
        *ret_is_homeless = true;
    return s == NATS_OK;
}

static bool drain_inbox(nx_fab *f, nx_fab_link *l, natsSubscription *inbox)
{
    bool is_homeless = false;
    natsMsg *m;

    while (next_msg(inbox, &m, &is_homeless))
        on_inbox(f, l->kind, m);
    return is_homeless;
}

static void drain(nx_fab *f, nx_fab_link *l)
{
    bool is_homeless = drain_inbox(f, l, l->inbox), ignored;
    natsMsg *m;

    if (l->kind != NX_FAB_HOT) {
        if (is_homeless)
            nx_fab_kv_watches_homeless(f);
        return;
    }
    if (is_homeless)
        nx_fab_consumers_homeless(f);
    for (unsigned to = 0; to < NX_FAB_DESTS; to++)
        if (drain_inbox(f, l, l->acks[to]))
            nx_fab_pubs_homeless(f, to);
    while (next_msg(l->replies, &m, &ignored))
        on_reply(f, m);
}

static void on_socket(nx_fab *f, uint64_t data, uint32_t events)
{
    nx_fab_link *l = atomic_load(&f->link[data & 1]); /* only this thread takes links out */

    if (!l || l->life != (uint32_t)(data >> 8))
        return;
    if (events & EPOLLOUT) {
        pthread_mutex_lock(&l->io_mu);
        atomic_store(&l->is_blocked, false);
        watch_fd(f, l, false);
        write_locked(f, l);
        pthread_mutex_unlock(&l->io_mu);
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        pthread_mutex_lock(&l->io_mu);
        natsConnection_ProcessReadEvent(l->nc);
        pthread_mutex_unlock(&l->io_mu);
        if (l->kind == NX_FAB_HOT)
            atomic_store(&f->heard_ns, nx_clock_ns());
        drain(f, l);
    }
}

/* ---- links come and go -------------------------------------------------------------------------------------------------------------------- */

/* Makes a new connection known. It enters epoll first, without events: once it is visible, a publisher's failing write may close it,
 * and adding a closed descriptor could add somebody else's. */
nx_err nx_fab_link_install(nx_fab *f, nx_fab_link *l)
{
    struct epoll_event ev = {.data.u64 = 0};
    nx_err e = NX_OK;

    pthread_mutex_lock(&f->mu);
    l->life = ++f->lives & 0xffffff;
    if (epoll_ctl(f->epoll_fd, EPOLL_CTL_ADD, l->fd, &ev)) {
        e = NX_EIO;
    } else {
        atomic_store(&f->max_payload, (uint64_t)natsConnection_GetMaxPayload(l->nc));
        atomic_store(&f->link[l->kind], l);
        watch_fd(f, l, false);
    }
    pthread_mutex_unlock(&f->mu);
    return e;
}

static void bury(nx_fab *f, nx_fab_link *l)
{
    pthread_mutex_lock(&f->mu);
    f->is_burying[l->kind] = true; /* what a new link took on would be ended below as if it had gone over this one */
    atomic_store(&f->link[l->kind], NULL);
    pthread_mutex_unlock(&f->mu);
    drain(f, l); /* answers that came before the end still count */
    if (l->kind == NX_FAB_HOT) {
        nx_fab_pubs_fail(f);
        nx_fab_consumers_lost(f);
    } else {
        nx_fab_reqs_fail(f);
        nx_fab_kv_watches_lost(f);
    }
    pthread_mutex_lock(&f->mu);
    f->corpse[l->kind] = l;
    f->is_burying[l->kind] = false;
    pthread_mutex_unlock(&f->mu);
    nx_fab_upkeep_kick(f);
}

static bool look_after_links(nx_fab *f)
{
    bool wants_write = false;

    for (int k = 0; k < NX_FAB_LINKS; k++) {
        nx_fab_link *l = atomic_load(&f->link[k]);

        if (!l)
            continue;
        if (atomic_load(&l->is_dead)) {
            bury(f, l);
            continue;
        }
        if (atomic_load(&l->wants_write) && !atomic_load(&l->is_blocked)) {
            pthread_mutex_lock(&l->io_mu);
            if (!atomic_load(&l->is_blocked))
                write_locked(f, l);
            pthread_mutex_unlock(&l->io_mu);
            wants_write |= atomic_load(&l->wants_write) && !atomic_load(&l->is_blocked);
        }
        wants_write |= atomic_load(&l->is_dead);
    }
    return wants_write;
}

static bool is_idle(nx_fab *f)
{
    for (int k = 0; k < NX_FAB_LINKS; k++) {
        nx_fab_link *l = atomic_load(&f->link[k]);

        if (l && (atomic_load(&l->is_dead) || (atomic_load(&l->wants_write) && !atomic_load(&l->is_blocked))))
            return false;
    }
    return true;
}

/* What was published goes out before the sockets are closed. */
static void flush_at_end(nx_fab *f)
{
    uint64_t end = nx_clock_ns() + CLOSE_FLUSH_MS * NX_NS_PER_MS;

    for (int k = 0; k < NX_FAB_LINKS; k++) {
        nx_fab_link *l = atomic_load(&f->link[k]);

        while (l && !atomic_load(&l->is_dead) && atomic_load(&l->wants_write) && nx_clock_ns() < end) {
            struct pollfd p = {.fd = l->fd, .events = POLLOUT};

            poll(&p, 1, 10);
            natsConnection_ProcessWriteEvent(l->nc);
        }
    }
}

void nx_fab_loop_pass(nx_fab *f)
{
    uint64_t until;

    pthread_mutex_lock(&f->mu);
    until = f->turns + 2;
    atomic_fetch_add(&f->turn_waiters, 1);
    while (f->turns < until && !atomic_load(&f->is_stopping)) {
        uint64_t one = 1;

        if (write(f->event_fd, &one, sizeof one) < 0 && errno != EAGAIN)
            break;
        pthread_cond_wait(&f->turn_cv, &f->mu);
    }
    atomic_fetch_sub(&f->turn_waiters, 1);
    pthread_mutex_unlock(&f->mu);
}

static void note_turn(nx_fab *f)
{
    pthread_mutex_lock(&f->mu);
    f->turns++;
    pthread_cond_broadcast(&f->turn_cv);
    pthread_mutex_unlock(&f->mu);
}

void *nx_fab_loop_main(void *self)
{
    nx_fab *f = self;
    uint64_t tick = 0;

    prctl(PR_SET_NAME, "nx-fab");
    while (!atomic_load(&f->is_stopping)) {
        struct epoll_event ev[8];
        bool more = look_after_links(f);
        uint64_t now = nx_clock_ns(), count;
        int n;

        if (atomic_load(&f->turn_waiters))
            note_turn(f);
        if (now >= tick) {
            nx_fab_pubs_expire(f, now);
            nx_fab_consumers_tick(f, now);
            tick = now + TICK_NS;
        }
        atomic_store(&f->is_sleeping, true);
        n = epoll_wait(f->epoll_fd, ev, NX_ARRAY_LEN(ev), more || !is_idle(f) ? 0 : nx_clock_poll_ms(now, tick));
        atomic_store(&f->is_sleeping, false);
        for (int i = 0; i < n; i++) {
            if (ev[i].data.u64 != UINT64_MAX)
                on_socket(f, ev[i].data.u64, ev[i].events);
            else if (read(f->event_fd, &count, sizeof count) < 0 && errno != EAGAIN)
                nx_log(NX_LOG_ERROR, "fabric.wake", "eventfd: %s", strerror(errno));
        }
    }
    flush_at_end(f);
    nx_fab_pubs_fail(f);
    nx_fab_reqs_fail(f);
    nats_ReleaseThreadMemory();
    return NULL;
}
