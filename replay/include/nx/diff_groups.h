/* nx/diff_groups.h: the differences of many events as few lines: those of one shape together, with examples, and what the new code costs.
 * Why:       a thousand events that differ in the same way are one finding.
 * Ownership: owns all that it keeps; bounded, however many events are added: NX_DIFF_GROUPS_MAX shapes, NX_DIFF_GROUPS_BYTES of text.
 * Threads:   one at a time; nx_diff_groups_knows() and nx_diff_note_write() on any beside it.
 * Errors:    NX_ENOMEM; NX_ECORRUPT (load). */
#ifndef NX_DIFF_GROUPS_H
#define NX_DIFF_GROUPS_H
#include "nx/diff.h"

#define NX_DIFF_GROUPS_MAX 128u           /* shapes; events of further ones are counted together */
#define NX_DIFF_GROUPS_BYTES (128u << 10) /* of the texts of all shapes */
#define NX_DIFF_EXAMPLES 3u               /* events named for each */
#define NX_DIFF_EXAMPLE_BYTES (8u << 10)  /* of the first one's difference, as JSON; a longer one is left out */

typedef struct nx_diff_groups nx_diff_groups;

/* What is kept of one event on its way from the thread that compared to the one that adds. */
typedef enum { NX_DIFF_NOTE_SAME,
               NX_DIFF_NOTE_DIFFERENT,
               NX_DIFF_NOTE_FAILED /* it could not be run by both */
} nx_diff_note_kind;

typedef struct nx_diff_note {
    nx_diff_note_kind kind;
    nx_sha256 shape;
    bool has_costs; /* both ended alike, on one engine */
    uint64_t fuel[2], memory_bytes[2];
    nx_slice what, first; /* JSON: lines of the shape, the difference; empty where the shape is known already, or too long */
} nx_diff_note;

nx_err nx_diff_groups_new(nx_diff_groups **ret);
void nx_diff_groups_free(nx_diff_groups *g); /* NULL allowed */

/* Appends a note's bytes to `out`; they are for this process only. `d` NULL: failed, for `reason`. */
nx_err nx_diff_note_write(nx_diff_groups *g, const nx_diff *d, nx_slice reason, nx_buf *out);
/* Adds one event's note as it was written. */
nx_err nx_diff_groups_add(nx_diff_groups *g, nx_slice function, const nx_id *event_id, nx_slice note);
/* An event that is the same, without a note. */
void nx_diff_groups_add_same(nx_diff_groups *g);

uint64_t nx_diff_groups_different(const nx_diff_groups *g); /* events so far */
/* One object, groups with the most events first (docs/API_REFERENCE.md). It is also what is stored of unfinished work: */
nx_err nx_diff_groups_to_json(const nx_diff_groups *g, nx_jw *w);
/* what is loaded goes on as if nothing had happened. */
nx_err nx_diff_groups_load(const nx_json *saved, nx_diff_groups **ret);
#endif
