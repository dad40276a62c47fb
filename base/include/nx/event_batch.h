/* nx/event_batch.h: several events as one: what a function with `batch` gets on its stdin.
 * Why:       a batch is an event of its own in the log, so that whatever is done with events (runs, retries, replays, bundles) is done with batches.
 * Ownership: slices are lent by the event or the buffer.
 * Threads:   plain data.
 * Form:      data is a JSON array, oldest first. Of each event its data: JSON as it came, text as a string, other bytes as {"data_base64": "…"}, none as null;
 *            or the whole event (CloudEvents JSON batch format). The extension `nexusbatch` names the events: their ids, with commas;
 *            `nexusbatchkey` is the key by which the version of the last of them was chosen: its partition key, or its id. */
#ifndef NX_EVENT_BATCH_H
#define NX_EVENT_BATCH_H
#include "nx/event.h"

#define NX_EVENT_BATCH_MAX 100 /* ids fit into an attribute */
#define NX_EVENT_BATCH_EXT "nexusbatch"
#define NX_EVENT_BATCH_KEY_EXT "nexusbatchkey"
#define NX_EVENT_BATCH_IDS_BYTES (NX_EVENT_BATCH_MAX * (NX_ID_LEN + 1))

nx_slice nx_event_batch_ids(const nx_event *e); /* empty: it is no batch */
/* What decides of the versions that share a function which one gets the event: its partition key, or its id; of a batch that of its last event. */
nx_slice nx_event_version_key(const nx_event *e);
/* Takes the next id off. False: there is none, or it is no id. */
bool nx_event_batch_next(nx_slice *ids, nx_id *ret);
/* One more element of an array that is written to `out`: "[" before the first, "," before further ones. NX_ELIMIT, NX_ENOMEM: `out` is as it was. */
nx_err nx_event_batch_append(const nx_event *e, bool as_cloudevents, nx_buf *out);
nx_err nx_event_batch_end(nx_buf *out);

/* What stands on the stdin of a function: the event's data, or the whole event as JSON; where it takes batches, a batch's array, or one of this event alone. */
nx_err nx_event_input(const nx_event *e, bool as_cloudevents, bool takes_batches, nx_buf *scratch, nx_slice *ret);
#endif
