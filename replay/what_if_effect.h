/* what_if_effect.h: recorded answers of effects, replaced. */
#ifndef NX_REPLAY_WHAT_IF_EFFECT_H
#define NX_REPLAY_WHAT_IF_EFFECT_H
#include "nx/what_if.h"

/* Sets how->answers. An answer is a JSON object
 *   {"error": "TIMEOUT"}   of any effect: what the guest is told in place of an answer (nx_effect_status_name)
 *   {"status", "headers", "body"}   of http.request; what is left out stays as recorded (or is 200, none, empty); a body that is no string is sent as JSON
 *   {"value"}   of kv.get; null: no such key; what is no string is sent as JSON. The revision stays.
 * What was recorded of a secret is a digest, and the other effects have no answer to be replaced: only {"error"}. */
nx_err nx_what_if_effects(const nx_replay_what_if *w, const nx_run *recorded, nx_arena *a, nx_replay_how *how, nx_error *reterr);
#endif
