/* nx/redact.h: what a recording may not hold: finding it in an event, and covering it wherever it turns up (docs/PRIVACY.md).
 * Why:       an e-mail address stands in the event, and again in the output, the log, an answer from outside: all but the event are recordings.
 * Ownership: everything lies in the arena it was made in, or is lent by what was passed in.
 * Threads:   plain data.
 * Errors:    NX_ENOMEM; NX_EPARSE where a path is none.
 * Covering:  bytes become '*' (digits of a JSON number '1'), so that lengths, places and the frames of what is recorded stay. Upper and lower case
 *            of ASCII are the same. What a function makes of a value (its hash, its Base64) is not found: recording: digest is for that. */
#ifndef NX_REDACT_H
#define NX_REDACT_H
#include "nx/event.h"
#include "nx/run.h"

#define NX_REDACT_PATHS_MAX 64
#define NX_REDACT_PATH_BYTES 200
#define NX_REDACT_VALUES_MAX 256
#define NX_REDACT_VALUE_BYTES 4 /* a shorter one stands everywhere by accident: it is not looked for, see is_blind */

/* "subject", or "data" and a path in it (nx/json_path.h) where a step may be `*`: each member or element. */
nx_err nx_redact_path_check(nx_slice path, nx_error *reterr);

typedef struct nx_redact_value {
    nx_slice text;
    bool is_number;
} nx_redact_value;

/* What has to be covered for one event. */
typedef struct nx_redaction {
    nx_redact_value values[NX_REDACT_VALUES_MAX * 2]; /* as they are, and as JSON writes them */
    unsigned n_values;
    bool is_blind;     /* something can't be looked for (data that is no JSON, a value that is short, true or false, too many): only digests are safe */
    uint32_t first[8]; /* bit per first byte of a value */
} nx_redaction;

nx_err nx_redaction_of(const nx_event *e, const nx_slice *paths, unsigned n_paths, nx_arena *a, nx_redaction *ret);
/* `in` itself where nothing is found in it, else a copy of the same length. A value is found over line breaks, too. */
nx_err nx_redact_text(const nx_redaction *r, nx_slice in, nx_arena *a, nx_slice *ret);
/* Lines that come one at a time: a value may begin on one and go on on the next. Zeroed: no line yet. */
#define NX_REDACT_TAIL_BYTES 1024
typedef struct nx_redact_lines {
    char tail[NX_REDACT_TAIL_BYTES]; /* of the lines so far, as they were */
    size_t n;
} nx_redact_lines;
/* nx_redact_text() for the next of them, without its line break. */
nx_err nx_redact_line(const nx_redaction *r, nx_redact_lines *l, nx_slice line, nx_arena *a, nx_slice *ret);
/* The event itself with the values at the paths covered; a bool becomes null. Data that is no JSON becomes empty where a path leads into it.
 * *ret_n counts what was covered. For copies of events that leave the log; the log's are never changed. */
nx_err nx_redact_event(nx_event *e, const nx_slice *paths, unsigned n_paths, nx_arena *a, unsigned *ret_n);

/* A record as it may be stored: a copy of `r` without what `mode` leaves out and with `redaction` (NULL: none) covered; paths are noted in it.
 * Digests and lengths stay those of the whole, except with NX_RECORDING_OFF, which keeps neither. */
nx_err nx_run_hide(const nx_run *r, nx_recording mode, const nx_redaction *redaction, const nx_slice *paths, unsigned n_paths, nx_arena *a, nx_run *ret);
/* The same rules as those that `recorded` was stored under, for a replay of it. `r` itself (a copy) where there were none. */
nx_err nx_run_hide_like(const nx_run *recorded, const nx_event *e, const nx_run *r, nx_arena *a, nx_run *ret);
/* Paths of a record, out of the arena. */
nx_err nx_run_redacted(const nx_run *r, nx_arena *a, nx_slice **ret, unsigned *ret_n);
/* The variables that follow from the event (EVENT_…) as the guest saw them: what was covered in them stands in the event. */
void nx_run_restore_env(nx_run *r, const nx_event *e);
/* One of a record's variables the same way; as it stands there where the record hides nothing. */
nx_slice nx_run_env_value(const nx_run *r, const nx_event *e, unsigned i);
/* Why a run can't be repeated from what was kept of it; NULL: it can. `is_recorded`: answers from outside come from the recording. */
const char *nx_run_not_kept(const nx_run *r, bool is_recorded);
#endif
