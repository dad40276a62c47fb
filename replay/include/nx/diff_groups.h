/* nx/diff_groups.h: the differences of many events as few lines: those of one shape together, with examples, and what the new code costs.
 * Why:       a thousand events that differ in the same way are one finding.
 * Ownership: owns all that it keeps; bounded, however many events are added: NX_DIFF_GROUPS_MAX shapes, and counters for fuel and memory.
 * Threads:   one at a time.
 * Errors:    NX_ENOMEM; NX_ECORRUPT (load). */
#ifndef NX_DIFF_GROUPS_H
#define NX_DIFF_GROUPS_H
#include "nx/diff.h"

#define NX_DIFF_GROUPS_MAX 128u          /* shapes; events of further ones are counted together */
#define NX_DIFF_EXAMPLES 3u              /* events named for each */
#define NX_DIFF_EXAMPLE_BYTES (8u << 10) /* of the first one's difference, as JSON; a longer one is left out */
#define NX_DIFF_SAVED_BYTES (2u << 20)   /* more is never saved */

typedef struct nx_diff_groups nx_diff_groups;

nx_err nx_diff_groups_new(nx_diff_groups **ret);
void nx_diff_groups_free(nx_diff_groups *g); /* NULL allowed */
/* One event's outcome by both. */
nx_err nx_diff_groups_add(nx_diff_groups *g, const nx_id *event_id, const nx_diff *d);
/* One event that could not be run by both; `reason` is its shape. */
nx_err nx_diff_groups_add_failed(nx_diff_groups *g, const nx_id *event_id, nx_slice reason);
uint64_t nx_diff_groups_different(const nx_diff_groups *g); /* events so far */
uint64_t nx_diff_groups_failed(const nx_diff_groups *g);
/* One object, groups with the most events first (docs/API_REFERENCE.md). */
nx_err nx_diff_groups_to_json(const nx_diff_groups *g, nx_jw *w);
/* For work that goes on after a restart: what is loaded goes on as if nothing had happened. */
nx_err nx_diff_groups_save(const nx_diff_groups *g, nx_buf *out);
nx_err nx_diff_groups_load(nx_slice saved, nx_diff_groups **ret);
#endif
