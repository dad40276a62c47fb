/* nx/diff.h: what is different between two outcomes of one event, and the same for many events, grouped.
 * Why:       "diverged" is a verdict; what a developer acts on is "output.total: 12 -> 13", and over a million events that a million lines say the same.
 * Ownership: an nx_diff lies in the arena it was made in and is lent from the two runs. nx_diff_groups owns all it keeps.
 * Threads:   pure; nx_diff_groups is one thread's at a time.
 * Errors:    NX_ENOMEM, NX_ELIMIT (the arena is too small).
 * What counts: status, reason, exit code, message; output; log output; emitted events; effects (what was asked, in which order). Host calls other than
 *            effects, fuel and memory are told and do not make two outcomes different: other code does the same in other ways. Of two stack overflows
 *            or time-outs only the status is compared: where a guest was then is nobody's promise (DESIGN 6). */
#ifndef NX_DIFF_H
#define NX_DIFF_H
#include "nx/effect.h"
#include "nx/json_diff.h"
#include "nx/run.h"

#define NX_DIFF_CHANGES_MAX 1000u       /* kept of one content; all are counted */
#define NX_DIFF_ARENA_BYTES (64u << 20) /* an arena that is large enough for what people can read */
#define NX_DIFF_SHOWN_MAX 100u          /* of them, in JSON */
#define NX_DIFF_SHAPE_MAX 64u           /* lines of a shape */
#define NX_DIFF_SHAPE_HEX 12            /* digits of a shape's digest that are shown */

typedef struct nx_line_change {
    nx_change_kind kind; /* added or removed */
    unsigned line;       /* from 1, in the text that has it */
    nx_slice text;       /* without its newline */
} nx_line_change;

typedef struct nx_line_changes {
    nx_line_change *v;
    unsigned n;
    uint64_t total;
} nx_line_changes;

typedef enum { NX_DIFF_SAME,
               NX_DIFF_FORMATTING, /* JSON that means the same: white space, order of members, escapes */
               NX_DIFF_JSON,
               NX_DIFF_TEXT,
               NX_DIFF_BINARY /* or not kept: sizes and digests are all there is to say */
} nx_diff_form;

typedef struct nx_diff_content {
    nx_diff_form form;
    nx_json_changes json;
    nx_line_changes lines;
    bool is_cut; /* the recordings hold only the beginning: what differs behind it is not told */
    uint64_t before_bytes, after_bytes;
    nx_sha256 before_sha256, after_sha256;
} nx_diff_content;

typedef struct nx_diff_emitted {
    nx_change_kind kind;
    unsigned index;
    nx_slice before_type, after_type;
    nx_diff_content data; /* same: subject, partition key or content type differ, or: */
    bool is_data_unknown; /* of one side only the digest is known */
} nx_diff_emitted;

typedef struct nx_diff_side {
    const nx_run *run;
    const nx_emit *emits; /* what stands behind run->emitted, nx_run_guest_emits() of them; NULL: only types and digests are known */
    const bool *knows;    /* of which of them more is known; NULL: of all */
} nx_diff_side;

typedef struct nx_diff {
    const nx_run *before, *after;
    bool is_same;
    bool is_only_status; /* see above */
    bool differs_in_status, differs_in_message;
    nx_diff_content output, logs;
    nx_diff_emitted *emitted;
    unsigned n_emitted;
    int64_t first_effect; /* first one that was asked otherwise; -1 */
    nx_slice effect_before, effect_after;
    int64_t first_call; /* first host call that differs, among those that are kept; -1 */
    nx_slice call_before, call_after;
    nx_slice before_at, after_at; /* where in the guests it is made: frames, one a line; set by who looked */
    /* The difference without values: equal for events that differ in the same way. */
    nx_slice shape[NX_DIFF_SHAPE_MAX];
    unsigned n_shape;
    nx_sha256 shape_sha256;
} nx_diff;

nx_err nx_diff_make(const nx_diff_side *before, const nx_diff_side *after, nx_arena *a, nx_diff *ret);
/* A plain sentence on the likely cause of two host calls (as text) that differ; "" where there are none. */
const char *nx_diff_cause(nx_slice before, nx_slice after);
/* A member with the lines of a backtrace; nothing for an empty one. */
void nx_diff_frames_to_json(nx_jw *w, const char *key, nx_slice frames);
/* One object; stable keys (docs/API_REFERENCE.md). */
nx_err nx_diff_to_json(const nx_diff *d, nx_jw *w);
/* Its members "shape" and "what" alone. */
void nx_diff_shape_to_json(const nx_diff *d, nx_jw *w);
/* Items of an array. */
void nx_diff_changes_to_json(const nx_json_changes *c, nx_jw *w);
const char *nx_diff_form_name(nx_diff_form f);
#endif
