/* log.c: the logging API: level, sink, and the default sink (text, one write(2) per line to stderr). */
#include "nx/log.h"
#include "nx/buf.h"
#include "nx/clock.h"
#include "nx/thread.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_BYTES 16384u

static void default_write(void *self, const nx_log_line *line);

static nx_log_sink current_sink = {default_write, NULL};
static atomic_int min_level = NX_LOG_INFO;

static void default_write(void *self, const nx_log_line *line)
{
    (void)self;
    char text[LINE_BYTES];
    size_t n = nx_log_format_fit(line, NX_LOG_FORM_TEXT, text, sizeof text);
    /* One call per line, so that lines of several threads and processes do not mix. There is nowhere to report a failure to. */
    ssize_t wrote;
    do wrote = write(STDERR_FILENO, text, n);
    while (wrote < 0 && errno == EINTR);
}

void nx_log_set_sink(nx_log_sink sink)
{
    if (!sink.write) sink = (nx_log_sink){default_write, NULL};
    current_sink = sink;
}

void nx_log_set_level(nx_log_level min) { atomic_store_explicit(&min_level, (int)min, memory_order_relaxed); }
bool nx_log_enabled(nx_log_level level) { return (int)level >= atomic_load_explicit(&min_level, memory_order_relaxed); }

void nx_log_emit(const nx_log_line *line)
{
    if (!nx_log_enabled(line->level)) return;
    nx_log_line filled = *line;
    if (!filled.ns.n) filled.ns = nx_slice_cstr(nx_thread_ns());
    if (!filled.wall_ns) filled.wall_ns = nx_clock_wall_ns();
    if (!filled.component.n) filled.component = NX_SLICE("nexus");
    current_sink.write(current_sink.self, &filled);
}

void nx_log(nx_log_level level, const char *event, const char *fmt, ...)
{
    if (!nx_log_enabled(level)) return;
    char msg[2048];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    size_t len = n < 0 ? 0 : (size_t)n < sizeof msg ? (size_t)n
                                                    : sizeof msg - 1;
    nx_log_emit(&(nx_log_line){.level = level, .event = nx_slice_cstr(event), .msg = nx_slice_make(msg, len)});
}

static const char *const level_names[] = {"DEBUG", "INFO", "WARN", "ERROR"};

const char *nx_log_level_name(nx_log_level level)
{
    return (unsigned)level < NX_ARRAY_LEN(level_names) ? level_names[level] : "ERROR";
}

nx_err nx_log_level_parse(nx_slice s, nx_log_level *ret)
{
    for (unsigned i = 0; i < NX_ARRAY_LEN(level_names); i++)
        if (nx_slice_ieq(s, nx_slice_cstr(level_names[i]))) {
            *ret = (nx_log_level)i;
            return NX_OK;
        }
    return NX_EPARSE;
}
