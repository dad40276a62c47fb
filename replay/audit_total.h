/* audit_total.h: what audits came to, by function, over all nodes and restarts: sums in the namespace's registry, key audit.FUNCTION.
 * Ownership: values; lists lie in the caller's arena.
 * Threads:   any; all that takes a namespace is BLOCKING. */
#ifndef NX_REPLAY_AUDIT_TOTAL_H
#define NX_REPLAY_AUDIT_TOTAL_H
#include "nx/fab.h"

typedef enum { NX_AUDIT_IDENTICAL,
               NX_AUDIT_DIVERGED,
               NX_AUDIT_FAILED,
               NX_AUDIT_PASSED_OVER,
               NX_AUDIT_RESULTS } nx_audit_result;
const char *nx_audit_result_name(nx_audit_result r); /* "passed_over" */

typedef struct nx_audit_total {
    char function[NX_FUNCTION_NAME_BYTES + 1];
    uint64_t n[NX_AUDIT_RESULTS];
    uint64_t since_wall_ns; /* the first run that was counted */
    nx_id last_event;       /* that did not come out the same */
    char last_reason[512];
} nx_audit_total;

/* The later one's last event and reason stand, where it has any. */
void nx_audit_total_add(nx_audit_total *to, const nx_audit_total *more);
/* Adds to what is stored; NX_ECONFLICT where others are faster all the time. */
nx_err nx_audit_total_store(nx_fab_ns *ns, const nx_audit_total *more, nx_error *reterr);
/* All that are stored, sorted by function; the array has room for `room` more. */
nx_err nx_audit_totals(nx_fab_ns *ns, unsigned room, nx_arena *a, nx_audit_total **ret, unsigned *ret_n, nx_error *reterr);
#endif
