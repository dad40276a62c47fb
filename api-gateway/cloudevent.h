/* cloudevent.h: what a POST means: CloudEvents 1.0.2 over HTTP, binary, structured and batched, or any body as the data of a new event.
 * Ownership: an event's slices lie in the request (head, body) or in its arena.
 * Threads:   any; one request at a time.
 * Errors:    a fault with the sentence for the producer. */
#ifndef NX_GW_CLOUDEVENT_H
#define NX_GW_CLOUDEVENT_H
#include "nx/event.h"
#include "parser.h"

typedef enum { NX_GW_MODE_PLAIN,
               NX_GW_MODE_BINARY,
               NX_GW_MODE_STRUCTURED,
               NX_GW_MODE_BATCH } nx_gw_event_mode;

/* What events get that do not bring it along. */
typedef struct nx_gw_event_defaults {
    nx_slice ns, source, type; /* type: of the route, which a CloudEvent's own has to equal */
    uint64_t wall_ns;          /* now */
} nx_gw_event_defaults;

/* From Content-Type, Content-Encoding and ce- fields, before the body is read: 400, 415. */
bool nx_gw_event_mode_of(const nx_gw_parser *p, bool is_batch_enabled, nx_gw_event_mode *ret, nx_gw_fault *f);
/* Plain, binary or structured. *ret_is_own: the producer gave source and id (which makes it possible to see it again). */
bool nx_gw_event_decode(const nx_gw_parser *p, nx_gw_event_mode mode, const nx_gw_event_defaults *d, nx_arena *a, nx_event *ret,
                        bool *ret_is_own, nx_gw_fault *f);
/* One element of a batch. */
bool nx_gw_event_decode_json(const nx_gw_parser *p, nx_slice json, const nx_gw_event_defaults *d, nx_arena *a, nx_event *ret,
                             nx_gw_fault *f);

/* Walks over the objects of a JSON array without parsing them: each is parsed by itself, with its exact bytes. */
typedef struct nx_gw_batch {
    nx_slice text;
    size_t at;
    bool is_begun;
} nx_gw_batch;
/* NX_ENOENT: the end of the array (and of the text). NX_EPARSE: not an array of objects. */
nx_err nx_gw_batch_next(nx_gw_batch *b, nx_slice *ret);
#endif
