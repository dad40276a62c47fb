/* wasi/stdio.c: the event on stdin, the answer on stdout, log lines on stderr.
 * One call moves at most IO_BYTES_MAX: a guest that offers gigabytes gets a short count, as POSIX allows, and the deadline is checked between. */
#include "wasi/table.h"

#define IO_BYTES_MAX (1u << 20)

static nx_rt_fd stream_of(const nx_rt_call *c) { return c->args[0] < NX_RT_FDS ? c->w->fds[c->args[0]] : NX_RT_FD_CLOSED; }

/* (fd, iovs, count, number of bytes read) */
NX_RT_HANDLER(fd_read)
{
    nx_rt_world *w = c->w;
    const nx_attempt *a = w->attempt;
    uint64_t asked, moved = 0;
    nx_rt_trace_value(w, c->args[0]);
    if (stream_of(c) != NX_RT_FD_STDIN) return NX_WASI_EBADF;
    uint8_t err = nx_rt_iovs_check(c, c->args[1], c->args[2], &asked);
    if (err) return err;
    if (!nx_rt_mem_at(c, c->args[3], 4)) return NX_WASI_EFAULT;
    nx_rt_trace_value(w, asked);
    for (uint64_t i = 0; i < c->args[2]; i++) {
        uint32_t n;
        uint8_t *p = nx_rt_iov_at(c, c->args[1], i, &n);
        size_t left = a->input.n - w->input_pos, room = IO_BYTES_MAX - (size_t)moved;
        size_t take = n < left ? n : left;
        if (take > room) take = room;
        if (!p || take == 0) {
            if (p && n == 0) continue;
            break;
        }
        memcpy(p, a->input.p + w->input_pos, take);
        w->input_pos += take;
        moved += take;
    }
    nx_rt_trace_value(w, moved);
    (void)nx_rt_mem_store_u32(c, c->args[3], (uint32_t)moved);
    return NX_WASI_OK;
}

/* Returns false when the run is over. */
static bool write_output(nx_rt_world *w, const uint8_t *p, size_t n)
{
    nx_outcome *o = &w->attempt->out;
    uint64_t room = w->attempt->max_output_bytes - o->output_bytes;
    size_t take = n < room ? n : (size_t)room;
    if (take && nx_buf_append(&o->output, p, take)) {
        w->end = NX_RT_END_NOMEM;
        return false;
    }
    o->output_bytes += take;
    if (take < n) w->end = NX_RT_END_OUTPUT_LIMIT;
    return take == n;
}

static void append_panic(nx_rt_world *w, nx_slice text)
{
    size_t have = strlen(w->panic), room = sizeof w->panic - 1 - have, n = text.n < room ? text.n : room;
    for (size_t i = 0; i < n; i++) /* a guest's words reach terminals */
        w->panic[have + i] = (unsigned char)text.p[i] < ' ' || text.p[i] == 0x7f ? '?' : text.p[i];
    w->panic[have + n] = '\0';
}

/* What Rust's runtime says before it traps is what a person wants to read beside "unreachable":
 * "thread '…' panicked at src/lib.rs:3:5:" and the message on the next line, or all on one line (before Rust 1.73). */
static void note_runtime_words(nx_rt_world *w, nx_slice line)
{
    static const char thread[] = "thread '", panicked[] = "panicked at ", oom[] = "memory allocation of ";
    const char *at;
    if (w->is_panic_open) {
        append_panic(w, NX_SLICE(" "));
        append_panic(w, line);
        w->is_panic_open = false;
    } else if (nx_slice_starts(line, nx_slice_cstr(oom))) {
        w->said_out_of_memory = true;
    } else if (nx_slice_starts(line, nx_slice_cstr(thread)) && (at = memmem(line.p, line.n, panicked, sizeof panicked - 1))) {
        w->panic[0] = '\0';
        append_panic(w, nx_slice_make(at, line.n - (size_t)(at - line.p)));
        w->is_panic_open = line.p[line.n - 1] == ':';
    }
}

static void emit_line(nx_rt_world *w, nx_slice line)
{
    note_runtime_words(w, line);
    if (w->attempt->on_log) w->attempt->on_log(w->attempt, line);
}

void nx_rt_logs_flush_line(nx_rt_world *w)
{
    nx_rt_scratch *s = w->scratch;
    if (s->line_n) emit_line(w, nx_slice_make(s->line, s->line_n));
    s->line_n = 0;
}

/* Cuts what is within the limit into lines. */
static void write_lines(nx_rt_world *w, const uint8_t *p, size_t n)
{
    nx_rt_scratch *s = w->scratch;
    while (n) {
        const uint8_t *newline = memchr(p, '\n', n);
        size_t part = newline ? (size_t)(newline - p) : n;
        size_t room = sizeof s->line - s->line_n;
        bool is_whole = newline && part <= room;
        if (part > room) part = room;
        memcpy(s->line + s->line_n, p, part);
        s->line_n += part;
        if (is_whole) {
            emit_line(w, nx_slice_make(s->line, s->line_n));
            s->line_n = 0;
            part++;
        } else if (s->line_n == sizeof s->line) {
            nx_rt_logs_flush_line(w);
        }
        p += part;
        n -= part;
    }
}

static bool write_logs(nx_rt_world *w, const uint8_t *p, size_t n)
{
    const nx_attempt *a = w->attempt;
    nx_outcome *o = &w->attempt->out;
    if (!w->is_logs_hashed) {
        w->is_logs_hashed = true;
        nx_sha256_ctx_begin(w->scratch->logs_sha);
    }
    nx_sha256_ctx_add(w->scratch->logs_sha, p, n);
    uint64_t room = o->logs_bytes < a->max_log_bytes ? a->max_log_bytes - o->logs_bytes : 0;
    size_t take = n < room ? n : (size_t)room;
    o->logs_bytes += n;
    write_lines(w, p, take);
    if (take && a->keep_logs && nx_buf_append(&o->logs, p, take)) {
        w->end = NX_RT_END_NOMEM;
        return false;
    }
    return true;
}

/* (fd, iovs, count, number of bytes written) */
NX_RT_HANDLER(fd_write)
{
    nx_rt_world *w = c->w;
    uint64_t asked, moved = 0;
    nx_rt_fd fd = stream_of(c);
    nx_rt_trace_value(w, c->args[0]);
    if (fd != NX_RT_FD_STDOUT && fd != NX_RT_FD_STDERR) return NX_WASI_EBADF;
    uint8_t err = nx_rt_iovs_check(c, c->args[1], c->args[2], &asked);
    if (err) return err;
    if (!nx_rt_mem_at(c, c->args[3], 4)) return NX_WASI_EFAULT;
    nx_rt_trace_value(w, asked);
    for (uint64_t i = 0; i < c->args[2] && moved < IO_BYTES_MAX; i++) {
        uint32_t n;
        const uint8_t *p = nx_rt_iov_at(c, c->args[1], i, &n);
        if (!p) break;
        size_t take = n < IO_BYTES_MAX - moved ? n : (size_t)(IO_BYTES_MAX - moved);
        if (!take) continue;
        nx_rt_trace_bytes(w, p, take);
        if (!(fd == NX_RT_FD_STDOUT ? write_output(w, p, take) : write_logs(w, p, take))) return NX_WASI_END;
        moved += take;
    }
    nx_rt_trace_value(w, moved);
    (void)nx_rt_mem_store_u32(c, c->args[3], (uint32_t)moved);
    return NX_WASI_OK;
}
