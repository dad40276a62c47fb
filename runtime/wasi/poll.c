/* wasi/poll.c: waiting. The guest's clock moves by exactly what was asked for; the node's waits for it (not in a replay).
 * The streams and files of a run are always ready. */
#include "wasi/files.h"

#define SUBSCRIPTION_BYTES 48u
#define EVENT_BYTES 32u
#define SUBSCRIPTIONS_MAX 256u

enum { TAG_CLOCK,
       TAG_FD_READ,
       TAG_FD_WRITE };
enum { FLAG_ABSTIME = 1 }; /* __wasi_subclockflags_t */
enum { EVENT_HANGUP = 1 }; /* __wasi_eventrwflags_t */

typedef struct subscription {
    uint64_t userdata;
    uint8_t tag;
    uint32_t clock_id;
    uint64_t timeout_ns; /* from now */
    uint32_t fd;
    uint8_t wasi_errno;
} subscription;

static uint8_t read_clock(nx_rt_world *w, const uint8_t *p, subscription *s)
{
    s->clock_id = nx_rt_get_u32(p + 16);
    s->timeout_ns = nx_rt_get_u64(p + 24);
    uint16_t flags = nx_rt_get_u16(p + 40);
    if (flags & ~FLAG_ABSTIME) return NX_WASI_EINVAL;
    if (s->clock_id > 1) {
        s->wasi_errno = s->clock_id > 3 ? NX_WASI_EINVAL : NX_WASI_ENOTSUP; /* CPU time does not pass while waiting */
        s->timeout_ns = 0;
        return NX_WASI_OK;
    }
    if (flags & FLAG_ABSTIME) {
        uint64_t now = nx_rt_clock_read(w, s->clock_id);
        s->timeout_ns = s->timeout_ns > now ? s->timeout_ns - now : 0;
    }
    return NX_WASI_OK;
}

static void read_stream(nx_rt_world *w, const uint8_t *p, subscription *s)
{
    s->fd = nx_rt_get_u32(p + 16);
    const nx_rt_open *o = nx_rt_open_at(w, s->fd);
    nx_rt_fd fd = o ? o->kind : NX_RT_FD_CLOSED;
    bool is_readable = fd == NX_RT_FD_STDIN || fd == NX_RT_FD_FILE, is_writable = fd != NX_RT_FD_STDIN;
    uint64_t rights = NX_RT_RIGHT_POLL | (s->tag == TAG_FD_READ ? NX_RT_RIGHT_READ : NX_RT_RIGHT_WRITE);
    if (!o || fd == NX_RT_FD_DIR || !(s->tag == TAG_FD_READ ? is_readable : is_writable)) s->wasi_errno = NX_WASI_EBADF;
    else if ((o->rights & rights) != rights) s->wasi_errno = NX_WASI_ENOTCAPABLE;
}

/* The shortest wait among the subscriptions: 0 as soon as a stream or an error is there. */
static uint8_t read_subscriptions(nx_rt_call *c, subscription *subs, uint32_t n, uint64_t *ret_wait_ns)
{
    const uint8_t *in = nx_rt_mem_at(c, c->args[0], (uint64_t)n * SUBSCRIPTION_BYTES);
    if (!in) return NX_WASI_EFAULT;
    uint64_t wait_ns = UINT64_MAX;
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *p = in + (size_t)i * SUBSCRIPTION_BYTES;
        subscription *s = &subs[i];
        *s = (subscription){.userdata = nx_rt_get_u64(p), .tag = p[8]};
        uint8_t err = NX_WASI_OK;
        if (s->tag == TAG_CLOCK) err = read_clock(c->w, p, s);
        else if (s->tag <= TAG_FD_WRITE) read_stream(c->w, p, s);
        else err = NX_WASI_EINVAL;
        if (err) return err;
        if (s->timeout_ns < wait_ns) wait_ns = s->timeout_ns;
    }
    *ret_wait_ns = wait_ns;
    return NX_WASI_OK;
}

static uint64_t left_to_read(nx_rt_world *w, uint32_t fd)
{
    const nx_rt_open *o = nx_rt_open_at(w, fd);
    if (!o || o->kind != NX_RT_FD_FILE) return w->attempt->input.n - w->input_pos;
    return o->position < o->node->n_bytes ? o->node->n_bytes - o->position : 0;
}

static void write_event(nx_rt_world *w, uint8_t *p, const subscription *s)
{
    memset(p, 0, EVENT_BYTES);
    nx_rt_put_u64(p, s->userdata);
    p[8] = s->wasi_errno;
    p[10] = s->tag;
    if (s->wasi_errno || s->tag == TAG_CLOCK) return;
    uint64_t n = s->tag == TAG_FD_READ ? left_to_read(w, s->fd) : 65536; /* room that is there */
    nx_rt_put_u64(p + 16, n);
    if (n == 0 && nx_rt_kind_at(w, s->fd) == NX_RT_FD_STDIN) nx_rt_put_u16(p + 24, EVENT_HANGUP); /* nothing more will come */
}

/* Returns false when the run is over: by what the guest itself asked for, more sleep than the timeout, so that a replay, which does not
 * wait, ends at the same call. A guest that returns right after its sleep would not come to the engine's next check of the deadline. */
static bool pass_time(nx_rt_world *w, uint64_t ns)
{
    const nx_attempt *a = w->attempt;
    nx_rt_clock_advance(w, ns);
    w->slept_ns = ns > UINT64_MAX - w->slept_ns ? UINT64_MAX : w->slept_ns + ns;
    /* The wait is cut at the deadline, which also work before it may have brought near: then the engine interrupts the guest at its next
     * check, and a replay is stopped at the recorded fuel. The clock has moved by the whole all the same. */
    if (!a->is_replay && w->wait) w->wait(w->wait_self, ns);
    if (w->slept_ns <= a->timeout_ns) return true;
    w->end = NX_RT_END_DEADLINE;
    return false;
}

/* (subscriptions, events, count, number of events written) */
NX_RT_HANDLER(poll_oneoff)
{
    subscription subs[SUBSCRIPTIONS_MAX]; /* copied first: the arrays of the guest may overlap */
    uint64_t n = c->args[2], wait_ns = 0;
    nx_rt_trace_value(c->w, n);
    if (n == 0 || n > SUBSCRIPTIONS_MAX) return NX_WASI_EINVAL;
    uint8_t *out = nx_rt_mem_at(c, c->args[1], n * EVENT_BYTES);
    if (!out || !nx_rt_mem_at(c, c->args[3], 4)) return NX_WASI_EFAULT;
    uint8_t err = read_subscriptions(c, subs, (uint32_t)n, &wait_ns);
    if (err) return err;
    nx_rt_trace_value(c->w, wait_ns);
    if (wait_ns && !pass_time(c->w, wait_ns)) return NX_WASI_END;
    uint32_t n_events = 0;
    for (uint32_t i = 0; i < n; i++)
        if (subs[i].timeout_ns <= wait_ns) write_event(c->w, out + (size_t)EVENT_BYTES * n_events++, &subs[i]);
    (void)nx_rt_mem_store_u32(c, c->args[3], n_events);
    nx_rt_trace_value(c->w, n_events);
    return NX_WASI_OK;
}
