/* wasi/stdio.c: the event on stdin, the answer on stdout, log lines on stderr, and the contents of files.
 * One call moves at most IO_BYTES_MAX: a guest that offers gigabytes gets a short count, as POSIX allows, and the deadline is checked between. */
#include "wasi/files.h"

#define IO_BYTES_MAX (1u << 20)

/* Where reading goes on: the event, or a file at a position of its own. */
typedef struct source {
    nx_rt_world *w;
    const nx_rt_node *file; /* NULL: the event */
    uint64_t *position;
} source;

static size_t read_some(const source *from, uint8_t *p, size_t n)
{
    const nx_attempt *a = from->w->attempt;
    if (from->file) {
        n = nx_rt_file_read(from->file, *from->position, p, n);
        *from->position += n;
        return n;
    }
    size_t left = a->input.n - from->w->input_pos;
    if (n > left) n = left;
    if (n) memcpy(p, a->input.p + from->w->input_pos, n);
    from->w->input_pos += n;
    return n;
}

/* The vectors of parameters 1 and 2 filled; the count goes to `ret`. */
static uint8_t read_vectors(nx_rt_call *c, const source *from, uint64_t ret)
{
    uint64_t asked, moved = 0;
    uint8_t err = nx_rt_iovs_check(c, c->args[1], c->args[2], &asked);
    if (err) return err;
    if (!nx_rt_mem_at(c, ret, 4)) return NX_WASI_EFAULT;
    nx_rt_trace_value(c->w, asked);
    for (uint64_t i = 0; i < c->args[2]; i++) {
        uint32_t n;
        uint8_t *p = nx_rt_iov_at(c, c->args[1], i, &n);
        size_t room = IO_BYTES_MAX - (size_t)moved, take = p ? read_some(from, p, n < room ? n : room) : 0;
        moved += take;
        if (!p || take < n) break;
    }
    nx_rt_trace_value(c->w, moved);
    (void)nx_rt_mem_store_u32(c, ret, (uint32_t)moved);
    return NX_WASI_OK;
}

/* (fd, iovs, count, number of bytes read) */
NX_RT_HANDLER(fd_read)
{
    nx_rt_world *w = c->w;
    nx_rt_trace_value(w, c->args[0]);
    nx_rt_open *o = nx_rt_open_at(w, c->args[0]);
    if (o && o->kind == NX_RT_FD_STDIN) return o->rights & NX_RT_RIGHT_READ ? read_vectors(c, &(source){.w = w}, c->args[3]) : NX_WASI_ENOTCAPABLE;
    uint8_t err = nx_rt_file_check(o, NX_RT_RIGHT_READ);
    return err || !o ? err : read_vectors(c, &(source){w, o->node, &o->position}, c->args[3]);
}

/* (fd, iovs, count, position, number of bytes read) */
NX_RT_HANDLER(fd_pread)
{
    nx_rt_world *w = c->w;
    uint64_t position = c->args[3];
    nx_rt_trace_value(w, c->args[0]);
    const nx_rt_open *o = nx_rt_open_at(w, c->args[0]);
    if (nx_rt_is_stream(o)) return NX_WASI_ESPIPE;
    uint8_t err = nx_rt_file_check(o, NX_RT_RIGHT_READ | NX_RT_RIGHT_SEEK);
    if (!err && position > INT64_MAX) err = NX_WASI_EINVAL;
    return err ? err : read_vectors(c, &(source){w, o->node, &position}, c->args[4]);
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

/* What a language's runtime says before it traps is what a person wants to read beside "unreachable". Rust: "thread '…' panicked at src/lib.rs:3:5:"
 * and the message on the next line, or all on one line (before Rust 1.73). AssemblyScript: "abort: … in assembly/index.ts(3:5)".
 * C: "Assertion failed: … (welcome.c: main: 3)". Zig: "panic: …", or "thread 1 panic: …". JavaScript: "Uncaught …",
 * and the place on the next line. */
static void note_runtime_words(nx_rt_world *w, nx_slice line)
{
    static const char thread[] = "thread '", panicked[] = "panicked at ", oom[] = "memory allocation of ";
    static const char *const said[] = {"abort: ", "Assertion failed: ", "panic: ", "thread 1 panic: ", "Uncaught "};
    const char *at;
    if (w->is_panic_open) {
        append_panic(w, NX_SLICE(" "));
        append_panic(w, nx_slice_trim(line));
        w->is_panic_open = false;
    } else if (nx_slice_starts(line, nx_slice_cstr(oom))) {
        w->said_out_of_memory = true;
    } else if (nx_slice_starts(line, nx_slice_cstr(thread)) && (at = memmem(line.p, line.n, panicked, sizeof panicked - 1))) {
        w->panic[0] = '\0';
        append_panic(w, nx_slice_make(at, line.n - (size_t)(at - line.p)));
        w->is_panic_open = line.p[line.n - 1] == ':';
    } else {
        for (size_t i = 0; i < NX_ARRAY_LEN(said); i++) {
            if (!nx_slice_starts(line, nx_slice_cstr(said[i]))) continue;
            w->panic[0] = '\0';
            append_panic(w, line);
            w->is_panic_open = line.p[0] == 'U';
        }
    }
}

static void emit_line(nx_rt_world *w)
{
    nx_rt_scratch *s = w->scratch;
    note_runtime_words(w, nx_slice_make(s->line, s->line_n));
    if (w->is_line_told && w->attempt->on_log) w->attempt->on_log(w->attempt, nx_slice_make(s->line, w->line_told));
    s->line_n = w->line_told = 0;
    w->is_line_told = false;
}

void nx_rt_logs_flush_line(nx_rt_world *w)
{
    if (w->scratch->line_n) emit_line(w);
}

/* Cuts into lines, of which only what lies within the limit is told. The runtime's words are heard past it, too: how a run ended must not
 * depend on how much of its log is kept. */
static void write_lines(nx_rt_world *w, const uint8_t *p, size_t n, bool is_told)
{
    nx_rt_scratch *s = w->scratch;
    while (n) {
        if (s->line_n == 0) w->is_line_told = is_told;
        const uint8_t *newline = memchr(p, '\n', n);
        size_t part = newline ? (size_t)(newline - p) : n;
        size_t room = sizeof s->line - s->line_n;
        bool is_whole = newline && part <= room;
        if (part > room) part = room;
        memcpy(s->line + s->line_n, p, part);
        s->line_n += part;
        if (is_told) w->line_told = s->line_n;
        if (is_whole) {
            emit_line(w);
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
    write_lines(w, p, take, true);
    write_lines(w, p + take, n - take, false);
    if (take && a->keep_logs && nx_buf_append(&o->logs, p, take)) {
        w->end = NX_RT_END_NOMEM;
        return false;
    }
    return true;
}

/* Where writing goes: the answer, the log, or a file at a position of its own. */
typedef struct sink {
    nx_rt_fd kind;
    nx_rt_node *file;
    uint64_t *position;
} sink;

/* NX_WASI_END where the run is over; fewer bytes than given: there is no more room. */
static uint8_t write_some(nx_rt_world *w, const sink *to, const uint8_t *p, size_t n, size_t *ret_n)
{
    *ret_n = n;
    if (to->kind == NX_RT_FD_STDOUT) return write_output(w, p, n) ? 0 : NX_WASI_END;
    if (to->kind == NX_RT_FD_STDERR) return write_logs(w, p, n) ? 0 : NX_WASI_END;
    uint8_t err = nx_rt_file_write(to->file, *to->position, p, n, w->now_ns, ret_n);
    *to->position += *ret_n;
    return err;
}

static uint8_t write_vectors(nx_rt_call *c, const sink *to, uint64_t ret)
{
    nx_rt_world *w = c->w;
    uint64_t asked, moved = 0;
    uint8_t err = nx_rt_iovs_check(c, c->args[1], c->args[2], &asked);
    if (err) return err;
    if (!nx_rt_mem_at(c, ret, 4)) return NX_WASI_EFAULT;
    nx_rt_trace_value(w, asked);
    for (uint64_t i = 0; i < c->args[2] && moved < IO_BYTES_MAX; i++) {
        uint32_t n;
        const uint8_t *p = nx_rt_iov_at(c, c->args[1], i, &n);
        if (!p) break;
        size_t take = n < IO_BYTES_MAX - moved ? n : (size_t)(IO_BYTES_MAX - moved), written;
        if (!take) continue;
        if (to->kind == NX_RT_FD_FILE && w->has_secret) nx_rt_trace_hidden(w, take);
        else nx_rt_trace_bytes(w, p, take);
        err = write_some(w, to, p, take, &written);
        moved += written;
        if (err == NX_WASI_END || (err && moved == 0)) return err;
        if (written < take) break;
    }
    nx_rt_trace_value(w, moved);
    (void)nx_rt_mem_store_u32(c, ret, (uint32_t)moved);
    return NX_WASI_OK;
}

/* (fd, iovs, count, number of bytes written) */
NX_RT_HANDLER(fd_write)
{
    nx_rt_world *w = c->w;
    nx_rt_trace_value(w, c->args[0]);
    nx_rt_open *o = nx_rt_open_at(w, c->args[0]);
    if (o && (o->kind == NX_RT_FD_STDOUT || o->kind == NX_RT_FD_STDERR))
        return o->rights & NX_RT_RIGHT_WRITE ? write_vectors(c, &(sink){.kind = o->kind}, c->args[3]) : NX_WASI_ENOTCAPABLE;
    uint8_t err = nx_rt_file_check(o, NX_RT_RIGHT_WRITE);
    if (err || !o) return err;
    if (o->flags & NX_RT_FLAG_APPEND) o->position = o->node->n_bytes;
    return write_vectors(c, &(sink){NX_RT_FD_FILE, o->node, &o->position}, c->args[3]);
}

/* (fd, iovs, count, position, number of bytes written) */
NX_RT_HANDLER(fd_pwrite)
{
    nx_rt_world *w = c->w;
    uint64_t position = c->args[3];
    nx_rt_trace_value(w, c->args[0]);
    const nx_rt_open *o = nx_rt_open_at(w, c->args[0]);
    if (nx_rt_is_stream(o)) return NX_WASI_ESPIPE;
    uint8_t err = nx_rt_file_check(o, NX_RT_RIGHT_WRITE | NX_RT_RIGHT_SEEK);
    if (err) return err;
    if (o->flags & NX_RT_FLAG_APPEND) position = o->node->n_bytes;
    return write_vectors(c, &(sink){NX_RT_FD_FILE, o->node, &position}, c->args[4]);
}
