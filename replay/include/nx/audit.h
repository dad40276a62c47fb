/* nx/audit.h: the audit: a share of live runs is repeated in idle time, to see that recordings hold.
 * Why:       a recording that can't be repeated is found by the platform on the day it was made, not by a developer in the night he needs it.
 * Ownership: the part is the node's.
 * Threads:   nx-audit repeats runs, at the lowest priority, and only while nothing else runs on the node.
 * Errors:    a mismatch is a metric, a log line and an event of type NX_AUDIT_MISMATCH; runs on that event are not audited. */
#ifndef NX_AUDIT_H
#define NX_AUDIT_H
#include "nx/node.h"

#define NX_AUDIT_MISMATCH "nexus.audit.mismatch"
#define NX_AUDIT_QUEUE_MAX 1024     /* chosen runs that wait; further ones are passed over and counted */
#define NX_AUDIT_FUNCTIONS_MAX 4096 /* reported by name */

extern const nx_node_part nx_audit_part;

/* Whether a run is chosen: the same on every node, whatever happened before. */
bool nx_audit_is_chosen(const nx_id *run_id, uint32_t ppm);
/* BLOCKING. One JSON object a line for each function that was audited, by whichever node (`function` not empty: only that). */
nx_err nx_audit_report(nx_node *n, nx_slice function, nx_buf *out, nx_error *reterr);
#endif
