/* nx/obs_log.h: the node's log sink: lines leave the caller's thread as a copy, one `nx-obs` thread writes them out and keeps the last ones.
 * Why:       a line must cost its caller well under a microsecond and never a system call, and `nexus logs` must see what was said before it asked.
 * Ownership: the log owns its rings and its thread; lines are copied.
 * Threads:   the sink and all functions on a started log: any thread. start and stop: the owner.
 * Errors:    a full ring drops lines and counts them; a later line says how many. Writing errors lose the lines, never the node. */
#ifndef NX_OBS_LOG_H
#define NX_OBS_LOG_H
#include "nx/buf.h"
#include "nx/log.h"

typedef struct nx_obs_log nx_obs_log;

typedef struct nx_obs_log_options {
    int fd;                 /* where lines go; stays the caller's. Negative: nowhere, only the history */
    bool is_json;           /* one JSON object per line instead of text */
    size_t ring_bytes;      /* between callers and the thread; 0: 1 MiB; rounded up to a power of two */
    unsigned history_lines; /* 0: 8192 */
    size_t history_bytes;   /* 0: 4 MiB */
} nx_obs_log_options;

/* Text has colours only where fd is a terminal and NO_COLOR is not set. Starts the thread. */
nx_err nx_obs_log_start(const nx_obs_log_options *options, nx_obs_log **ret, nx_error *reterr);
/* For nx_log_set_sink(). */
nx_log_sink nx_obs_log_sink(nx_obs_log *log);
/* Waits until all lines of before the call are written; NX_ETIMEOUT. */
nx_err nx_obs_log_flush(nx_obs_log *log, unsigned timeout_ms);
/* Writes what is left, ends the thread, wakes readers (NX_ECLOSED). No line may be sent afterwards: set another sink first.
 * Readers may still be inside nx_obs_log_read(). NULL allowed. */
void nx_obs_log_stop(nx_obs_log *log);
/* After stop, when no reader is left. NULL allowed. */
void nx_obs_log_free(nx_obs_log *log);
uint64_t nx_obs_log_dropped(const nx_obs_log *log); /* lines lost because the ring was full */

typedef struct nx_obs_log_filter { /* all that are set must match; zeroed: every line */
    nx_slice function;             /* exact: the line's function, or its component */
    nx_slice trace;                /* exact, or with "-replay" behind it */
    nx_slice event_id, run_id, ns; /* exact */
    nx_log_level min_level;
    uint64_t since_wall_ns;
} nx_obs_log_filter;

#define NX_OBS_LOG_NEW_ONLY UINT64_MAX /* cursor: only lines of after the first call */

/* Appends the JSON lines behind *cursor that match, as many as fit into `out` (whose max should be 64 KiB or more), and moves *cursor behind them.
 * Waits up to timeout_ms for the first one (0: never waits). *cursor 0 is the oldest line kept. Lines that were overwritten before they were read
 * are told by a line with the event "log.gap". NX_OK: at least one line; NX_ETIMEOUT: none; NX_ECLOSED: stopped and nothing left;
 * NX_ELIMIT: `out` was too full for one line. */
nx_err nx_obs_log_read(nx_obs_log *log, uint64_t *cursor, unsigned timeout_ms, const nx_obs_log_filter *filter, nx_buf *out);
/* The cursor from which at most the last `lines` lines come (of any filter): for "the last 100, then follow". */
uint64_t nx_obs_log_cursor_back(nx_obs_log *log, unsigned lines);
#endif
