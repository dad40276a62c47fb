/* nx/log.h: the logging API. The sink (text, JSON, ring for `nexus logs`) is set by observability; the default writes text to stderr.
 * Why:       a line has a stable event name, a level (who must act), the trace and the component it belongs to.
 * Threads:   any. A sink must not block: it copies and returns.
 * Form:      [2025-11-26T10:23:45Z INFO nexus] [trace=…] message key=value …   (trace only where there is one; behind it
 *            [namespace=…] in a process that serves several: nx/thread.h) */
#ifndef NX_LOG_H
#define NX_LOG_H
#include "nx/slice.h"
#include <stdarg.h>

typedef enum { NX_LOG_DEBUG,
               NX_LOG_INFO,
               NX_LOG_WARN,
               NX_LOG_ERROR } nx_log_level;

typedef struct nx_log_line {
    uint64_t wall_ns;
    nx_log_level level;
    nx_slice component;                      /* "nexus", or a function's name for its own stderr lines */
    nx_slice event;                          /* stable event name: "run.started"; "" for guest lines */
    nx_slice trace;                          /* trace id, "<trace id>-replay" in replays; may be empty */
    nx_slice event_id, run_id, function, ns; /* may be empty */
    nx_slice msg;                            /* one line; control characters are made visible by the sink */
    bool is_replay;
    uint64_t original_wall_ns; /* replays: when the run that is repeated began; 0: none */
    const nx_kv *fields;       /* further fields */
    size_t n_fields;
} nx_log_line;

typedef struct nx_log_sink {
    void (*write)(void *self, const nx_log_line *line);
    void *self;
} nx_log_sink;

void nx_log_set_sink(nx_log_sink sink); /* before threads start; a NULL write restores the default */
void nx_log_set_level(nx_log_level min);
bool nx_log_enabled(nx_log_level level);
void nx_log_emit(const nx_log_line *line); /* fills wall_ns, component and the thread's namespace where empty */
/* component nexus, no trace. `event` is the stable name. */
void nx_log(nx_log_level level, const char *event, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
const char *nx_log_level_name(nx_log_level level); /* "INFO" */
nx_err nx_log_level_parse(nx_slice s, nx_log_level *ret);
/* Appends the text form of a line (with the newline) to out, which has to have room: used by the default sink and observability. */
struct nx_buf;
nx_err nx_log_format_text(const nx_log_line *line, bool with_colour, struct nx_buf *out);
nx_err nx_log_format_json(const nx_log_line *line, struct nx_buf *out);
#define NX_LOG_FIT_BYTES 4096 /* smallest useful dst_bytes of nx_log_format_fit() */
typedef enum { NX_LOG_FORM_TEXT,
               NX_LOG_FORM_COLOUR,
               NX_LOG_FORM_JSON } nx_log_form;
/* Formats into fixed storage without allocating. A line that does not fit loses its fields and the end of its message, where "…" stands then.
 * Returns the length, with the newline; 0 only where dst_bytes is below NX_LOG_FIT_BYTES. */
size_t nx_log_format_fit(const nx_log_line *line, nx_log_form form, char *dst, size_t dst_bytes);
#endif
