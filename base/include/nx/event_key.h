/* nx/event_key.h: what flow control goes by: one value out of an event, named by a path.
 * Why:       `concurrency: {limit: 1, key: data.customer_id}` and its like (docs/FLOW.md) sort events by what stands in them.
 * Ownership: the value is lent by the event or lies in the arena.
 * Threads:   plain data.
 * Errors:    NX_EPARSE (the path), NX_ENOENT (the event has nothing there, or its data is no JSON), NX_ENOMEM. */
#ifndef NX_EVENT_KEY_H
#define NX_EVENT_KEY_H
#include "nx/event.h"

#define NX_EVENT_KEY_PATH_BYTES 200

/* "data" and a path in it (nx/json_path.h), or one of the attributes subject, type, source, partitionkey. */
nx_err nx_event_key_check(nx_slice path, nx_error *reterr);
/* The text of a JSON string; of anything else its JSON. */
nx_err nx_event_key_get(const nx_event *e, nx_slice path, nx_arena *a, nx_slice *ret);
/* A number at the path, rounded towards zero, cut to -most..most; NX_ENOENT where none stands there. */
nx_err nx_event_key_number(const nx_event *e, nx_slice path, nx_arena *a, int64_t most, int64_t *ret);
#endif
