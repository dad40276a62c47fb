/* verdict.h: comparing a repeated run with its recording. */
#ifndef NX_REPLAY_VERDICT_H
#define NX_REPLAY_VERDICT_H
#include "nx/repeat.h"

/* Sets verdict, reason, first_difference and the two texts of `r` from r->original and r->replayed. */
void nx_replay_compare(nx_replay_result *r, nx_buf *recorded_call, nx_buf *replayed_call);
/* What the guest did: an output that could not be emitted is the platform's refusal after a run that ended ok. */
void nx_replay_guest_status(const nx_run *r, nx_run_status *ret_status, nx_run_why *ret_why);
/* The events that the guest emitted: of which types in which order, and what they say. False: `reason` says what differs. */
bool nx_replay_same_emitted(const nx_run *o, const nx_run *n, char *reason, size_t reason_bytes);
#define NX_REPLAY_WHOLE_CALLS_BYTES (32u << 20) /* of a host-call trace that is looked through as a whole */
/* What it saw and said is not, or not all, in the record: the function's `recording` or `redact`. */
bool nx_replay_hides(const nx_run *recorded);
/* The first host call that differs, and both texts; *ret_index -1: none is known (a record that hides keeps no calls). How large environments are is no
 * difference where nothing in them differs but what the platform says of version and replay. */
void nx_replay_first_call(const nx_run *x, const nx_run *y, int64_t *ret_index, nx_buf *before, nx_buf *after);
/* r->reason as it may be stored and logged: without what a record of this run may not hold. */
const char *nx_replay_kept_reason(const nx_replay_result *r);
/* A member for bytes of a guest: as text under `key` where they are UTF-8, else under `key_base64`. */
void nx_replay_text_to_json(nx_jw *w, const char *key, const char *key_base64, nx_slice s);
#endif
