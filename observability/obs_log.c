/* obs_log.c: callers copy lines into the ring; the thread nx-obs formats them, writes many with one write(2), and keeps them in the history.
 * Wake-ups: a caller wakes the thread only when it sleeps without a limit, which it does only after a whole nap without lines. Under load it
 * wakes by itself every NAP_MS, so that lines cost no system call on the threads that do the work. */
#include "nx/obs_log.h"
#include "log_history.h"
#include "log_pack.h"
#include "log_ring.h"
#include "nx/clock.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#define NAP_MS 2u
#define WRITE_BYTES 65536u
#define LINE_BYTES 24576u
#define HISTORY_BATCH 64u /* lines taken over under one lock, and read under one lock */
#define BATCHES_MAX 16u
#define WRITE_WAIT_MS 100

struct nx_obs_log {
    nx_log_ring ring;
    _Atomic uint64_t dropped;
    atomic_bool is_sleeping; /* without a limit: the next line has to wake the thread */

    pthread_mutex_t mu;     /* everything below */
    pthread_cond_t wake;    /* for the thread */
    pthread_cond_t written; /* for flushers */
    pthread_cond_t added;   /* for readers */
    bool is_stopping, is_stopped;
    unsigned n_flushers;
    uint64_t written_pos; /* of the ring's tail: all before it is written */
    nx_log_history history;

    pthread_t thread;
    int fd;
    nx_log_form form;
    /* the thread's own */
    char out[WRITE_BYTES + LINE_BYTES];
    size_t out_n;
    uint64_t reported_drops;
};

/* ---- callers ---- */

static void wake_thread(nx_obs_log *log)
{
    if (!atomic_load_explicit(&log->is_sleeping, memory_order_seq_cst)) return;
    if (!atomic_exchange_explicit(&log->is_sleeping, false, memory_order_seq_cst)) return; /* another caller does it */
    (void)pthread_mutex_lock(&log->mu);
    (void)pthread_cond_signal(&log->wake);
    (void)pthread_mutex_unlock(&log->mu);
}

static void sink_write(void *self, const nx_log_line *line)
{
    nx_obs_log *log = self;
    void *record = nx_log_ring_reserve(&log->ring, nx_log_pack_bytes(line));
    if (!record) {
        atomic_fetch_add_explicit(&log->dropped, 1, memory_order_relaxed);
        return;
    }
    nx_log_pack(line, record);
    nx_log_ring_commit(&log->ring, record);
    wake_thread(log);
}

nx_log_sink nx_obs_log_sink(nx_obs_log *log) { return (nx_log_sink){sink_write, log}; }
uint64_t nx_obs_log_dropped(const nx_obs_log *log) { return atomic_load_explicit(&log->dropped, memory_order_relaxed); }

/* ---- the thread ---- */

/* Loses what cannot be written: a log that blocks its node is worse than one with a hole. */
static void write_out(nx_obs_log *log)
{
    size_t done = 0;
    while (log->fd >= 0 && done < log->out_n) {
        ssize_t n = write(log->fd, log->out + done, log->out_n - done);
        if (n > 0) {
            done += (size_t)n;
        } else if (n < 0 && errno == EAGAIN) { /* a terminal or pipe that somebody made non-blocking */
            struct pollfd p = {.fd = log->fd, .events = POLLOUT};
            if (poll(&p, 1, WRITE_WAIT_MS) == 0) break;
        } else if (n == 0 || errno != EINTR) {
            break;
        }
    }
    log->out_n = 0;
}

static void format_out(nx_obs_log *log, const nx_log_line *line)
{
    if (log->fd >= 0) log->out_n += nx_log_format_fit(line, log->form, log->out + log->out_n, LINE_BYTES);
}

static void report_drops(nx_obs_log *log)
{
    uint64_t dropped = nx_obs_log_dropped(log);
    if (dropped == log->reported_drops) return;
    char count[24];
    nx_buf b = {count, 0, sizeof count, sizeof count};
    (void)nx_buf_append_u64(&b, dropped - log->reported_drops); /* 20 digits at most */
    log->reported_drops = dropped;
    const nx_kv field = {NX_SLICE("lines"), nx_buf_view(&b)};
    const nx_log_line line = {.wall_ns = nx_clock_wall_ns(), .level = NX_LOG_WARN, .component = NX_SLICE("nexus"), .event = NX_SLICE("log.dropped"), .msg = NX_SLICE("Log lines were dropped because they came faster than they could be written"), .fields = &field, .n_fields = 1};
    char packed[512];
    format_out(log, &line);
    nx_log_pack(&line, packed);
    (void)pthread_mutex_lock(&log->mu);
    nx_log_history_add(&log->history, nx_slice_make(packed, nx_log_pack_bytes(&line)));
    (void)pthread_cond_broadcast(&log->added);
    (void)pthread_mutex_unlock(&log->mu);
}

/* Some lines from the ring into the history and the output buffer, under one lock; writing happens without it. */
static unsigned drain_batch(nx_obs_log *log)
{
    unsigned n = 0;
    nx_slice record;
    (void)pthread_mutex_lock(&log->mu);
    while (n < HISTORY_BATCH && log->out_n < WRITE_BYTES && (record = nx_log_ring_peek(&log->ring)).p) {
        nx_kv fields[NX_LOG_PACK_FIELDS];
        nx_log_line line;
        nx_log_unpack(record, &line, fields);
        format_out(log, &line);
        nx_log_history_add(&log->history, record);
        nx_log_ring_release(&log->ring, record);
        n++;
    }
    if (n) (void)pthread_cond_broadcast(&log->added);
    (void)pthread_mutex_unlock(&log->mu);
    if (log->out_n >= WRITE_BYTES) write_out(log);
    return n;
}

/* Returns how many batches there were; BATCHES_MAX: there may be more. Bounded, so that flushers and drops get their turn under any load. */
static unsigned drain(nx_obs_log *log)
{
    unsigned n = 0;
    while (n < BATCHES_MAX && drain_batch(log)) n++;
    report_drops(log);
    if (log->out_n) write_out(log);
    return n;
}

static void wait_until(pthread_cond_t *cond, pthread_mutex_t *mu, uint64_t deadline_ns)
{
    const struct timespec ts = {.tv_sec = (time_t)(deadline_ns / NX_NS_PER_S), .tv_nsec = (long)(deadline_ns % NX_NS_PER_S)};
    (void)pthread_cond_timedwait(cond, mu, &ts);
}

/* Without a limit, until a line comes, a flush or the stop. The order matters: first say that we sleep, then look once more. */
static void sleep_locked(nx_obs_log *log)
{
    atomic_store_explicit(&log->is_sleeping, true, memory_order_seq_cst);
    while (atomic_load_explicit(&log->is_sleeping, memory_order_seq_cst) && !log->is_stopping && !log->n_flushers &&
           !nx_log_ring_peek(&log->ring).p)
        (void)pthread_cond_wait(&log->wake, &log->mu);
    atomic_store_explicit(&log->is_sleeping, false, memory_order_seq_cst);
}

static void *thread_main(void *self)
{
    nx_obs_log *log = self;
    (void)pthread_setname_np(pthread_self(), "nx-obs");
    for (;;) {
        unsigned n_batches = drain(log);
        (void)pthread_mutex_lock(&log->mu);
        log->written_pos = atomic_load_explicit(&log->ring.tail, memory_order_relaxed);
        if (log->n_flushers) (void)pthread_cond_broadcast(&log->written);
        bool is_over = log->is_stopping && n_batches == 0;
        if (!log->is_stopping && n_batches < BATCHES_MAX) {
            if (n_batches || log->n_flushers) wait_until(&log->wake, &log->mu, nx_clock_ns() + NAP_MS * NX_NS_PER_MS);
            else sleep_locked(log);
        }
        (void)pthread_mutex_unlock(&log->mu);
        if (is_over) return NULL;
    }
}

/* ---- life cycle ---- */

static void destroy(nx_obs_log *log)
{
    nx_log_ring_done(&log->ring);
    nx_log_history_done(&log->history);
    (void)pthread_cond_destroy(&log->wake);
    (void)pthread_cond_destroy(&log->written);
    (void)pthread_cond_destroy(&log->added);
    (void)pthread_mutex_destroy(&log->mu);
    free(log);
}

static void init_locks(nx_obs_log *log)
{
    pthread_condattr_t monotonic; /* timeouts must not follow a clock that is set */
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&log->mu, NULL);
    (void)pthread_cond_init(&log->wake, &monotonic);
    (void)pthread_cond_init(&log->written, &monotonic);
    (void)pthread_cond_init(&log->added, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
}

nx_err nx_obs_log_start(const nx_obs_log_options *options, nx_obs_log **ret, nx_error *reterr)
{
    void *p = NULL;
    if (posix_memalign(&p, 64, sizeof(nx_obs_log)) != 0) return nx_error_set(reterr, NX_ENOMEM, "log: out of memory");
    nx_obs_log *log = memset(p, 0, sizeof *log);
    init_locks(log);
    log->fd = options->fd;
    const char *no_color = getenv("NO_COLOR");
    log->form = options->is_json                                                        ? NX_LOG_FORM_JSON
                : options->fd >= 0 && isatty(options->fd) && !(no_color && no_color[0]) ? NX_LOG_FORM_COLOUR
                                                                                        : NX_LOG_FORM_TEXT;
    nx_err err = nx_log_ring_init(&log->ring, options->ring_bytes ? options->ring_bytes : 1u << 20);
    if (!err)
        err = nx_log_history_init(&log->history, options->history_lines ? options->history_lines : 8192,
                                  options->history_bytes ? options->history_bytes : 4u << 20);
    if (err) {
        destroy(log);
        return nx_error_set(reterr, err, "log: out of memory");
    }
    /* Signals belong to the main thread. */
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int rc = pthread_create(&log->thread, NULL, thread_main, log);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        destroy(log);
        return nx_error_set(reterr, nx_err_from_errno(rc), "log: cannot start a thread: %s", strerror(rc));
    }
    *ret = log;
    return NX_OK;
}

nx_err nx_obs_log_flush(nx_obs_log *log, unsigned timeout_ms)
{
    uint64_t target = atomic_load_explicit(&log->ring.head, memory_order_seq_cst);
    uint64_t deadline_ns = nx_clock_ns() + timeout_ms * NX_NS_PER_MS;
    (void)pthread_mutex_lock(&log->mu);
    log->n_flushers++;
    (void)pthread_cond_signal(&log->wake);
    while (log->written_pos < target && !log->is_stopped && nx_clock_ns() < deadline_ns) wait_until(&log->written, &log->mu, deadline_ns);
    nx_err err = log->written_pos >= target ? NX_OK : log->is_stopped ? NX_ECLOSED
                                                                      : NX_ETIMEOUT;
    log->n_flushers--;
    (void)pthread_mutex_unlock(&log->mu);
    return err;
}

void nx_obs_log_stop(nx_obs_log *log)
{
    if (!log) return;
    (void)pthread_mutex_lock(&log->mu);
    bool was_stopping = log->is_stopping;
    log->is_stopping = true;
    (void)pthread_cond_signal(&log->wake);
    (void)pthread_mutex_unlock(&log->mu);
    if (was_stopping) return;
    (void)pthread_join(log->thread, NULL);
    (void)pthread_mutex_lock(&log->mu);
    log->is_stopped = true;
    (void)pthread_cond_broadcast(&log->written);
    (void)pthread_cond_broadcast(&log->added);
    (void)pthread_mutex_unlock(&log->mu);
}

void nx_obs_log_free(nx_obs_log *log)
{
    if (!log) return;
    nx_obs_log_stop(log);
    destroy(log);
}

/* ---- readers ---- */

static bool matches(const nx_obs_log_filter *f, const nx_log_line *line)
{
    if (line->level < f->min_level || line->wall_ns < f->since_wall_ns) return false;
    if (f->function.n && !nx_slice_eq(f->function, line->function) && !nx_slice_eq(f->function, line->component)) return false;
    if (f->event_id.n && !nx_slice_eq(f->event_id, line->event_id)) return false;
    if (f->run_id.n && !nx_slice_eq(f->run_id, line->run_id)) return false;
    if (f->ns.n && !nx_slice_eq(f->ns, line->ns)) return false;
    if (f->trace.n == 0) return true;
    nx_slice rest = nx_slice_sub(line->trace, f->trace.n, line->trace.n);
    return nx_slice_starts(line->trace, f->trace) && (rest.n == 0 || nx_slice_eq_cstr(rest, "-replay"));
}

/* Behind the oldest line: say how many were missed. */
static nx_err skip_gap(nx_obs_log *log, uint64_t *cursor, nx_buf *out)
{
    if (*cursor >= log->history.first) return NX_OK;
    uint64_t missed = *cursor ? log->history.first - *cursor : 0;
    *cursor = log->history.first;
    if (!missed) return NX_OK;
    char count[24];
    nx_buf b = {count, 0, sizeof count, sizeof count};
    (void)nx_buf_append_u64(&b, missed);
    const nx_kv field = {NX_SLICE("lines"), nx_buf_view(&b)};
    return nx_log_format_json(&(nx_log_line){.wall_ns = nx_clock_wall_ns(), .level = NX_LOG_WARN, .component = NX_SLICE("nexus"), .event = NX_SLICE("log.gap"), .msg = NX_SLICE("Lines were overwritten before they were read"), .fields = &field, .n_fields = 1},
                              out);
}

/* Up to HISTORY_BATCH lines; *is_full when the next one did not fit. */
static nx_err read_batch(nx_obs_log *log, uint64_t *cursor, const nx_obs_log_filter *filter, nx_buf *out, bool *is_full)
{
    nx_err err = skip_gap(log, cursor, out);
    for (unsigned i = 0; !err && i < HISTORY_BATCH && *cursor < log->history.next; i++) {
        nx_kv fields[NX_LOG_PACK_FIELDS];
        nx_log_line line;
        nx_log_unpack(nx_log_history_get(&log->history, *cursor), &line, fields);
        if (matches(filter, &line)) err = nx_log_format_json(&line, out);
        if (err == NX_ELIMIT && out->n == 0) err = NX_OK; /* alone too large for the reader: nothing that waiting would change */
        if (!err) (*cursor)++;
    }
    *is_full = err == NX_ELIMIT;
    return *is_full ? NX_OK : err;
}

nx_err nx_obs_log_read(nx_obs_log *log, uint64_t *cursor, unsigned timeout_ms, const nx_obs_log_filter *filter, nx_buf *out)
{
    static const nx_obs_log_filter every_line;
    if (!filter) filter = &every_line;
    uint64_t deadline_ns = nx_clock_ns() + timeout_ms * NX_NS_PER_MS;
    size_t before = out->n;
    bool is_full = false;
    nx_err err = NX_OK;
    (void)pthread_mutex_lock(&log->mu);
    if (*cursor == NX_OBS_LOG_NEW_ONLY || *cursor > log->history.next) *cursor = log->history.next;
    while (!err) {
        err = read_batch(log, cursor, filter, out, &is_full);
        if (err || is_full) break;
        if (*cursor < log->history.next) { /* let the thread in between batches */
            (void)pthread_mutex_unlock(&log->mu);
            (void)pthread_mutex_lock(&log->mu);
        } else if (out->n > before) {
            break;
        } else if (log->is_stopped) {
            err = NX_ECLOSED;
        } else if (nx_clock_ns() >= deadline_ns) {
            err = NX_ETIMEOUT;
        } else {
            wait_until(&log->added, &log->mu, deadline_ns);
        }
    }
    (void)pthread_mutex_unlock(&log->mu);
    if (out->n > before) return NX_OK;
    return is_full ? NX_ELIMIT : err;
}

uint64_t nx_obs_log_cursor_back(nx_obs_log *log, unsigned lines)
{
    (void)pthread_mutex_lock(&log->mu);
    uint64_t kept = log->history.next - log->history.first;
    uint64_t cursor = log->history.next - (lines < kept ? lines : kept);
    (void)pthread_mutex_unlock(&log->mu);
    return cursor;
}
