/* nx/event.h: the event, an immutable CloudEvent 1.0.2 with what the platform knows about it.
 * Why:       one shape from the gateway through the log to the function.
 * Ownership: an nx_event is a view: all slices are lent by whoever filled it (request arena, NATS message). nx_event_dup() copies into an arena.
 * Threads:   plain data; immutable once published.
 * Source:    CloudEvents 1.0.2, JSON format 1.0.2, HTTP and NATS protocol bindings. */
#ifndef NX_EVENT_H
#define NX_EVENT_H
#include "nx/arena.h"
#include "nx/json.h"
#include "nx/trace.h"
#include "nx/ulid.h"

#define NX_EVENT_EXT_MAX 32      /* extension attributes */
#define NX_EVENT_ATTR_BYTES 4096 /* any one attribute */
#define NX_EVENT_TYPE_BYTES 200
#define NX_NAMESPACE_BYTES 32
#define NX_HOP_MAX 16 /* default bound of chains of `output.event` */

typedef struct nx_event {
    nx_slice ns;                                                    /* namespace; "default" */
    nx_id event_id;                                                 /* the ULID (or raw id) that every interface calls event_id */
    nx_slice id;                                                    /* CloudEvents id; equal to event_id where the producer gave none */
    nx_slice source, type, subject, time, content_type, dataschema; /* CloudEvents attributes; source, type never empty; time RFC 3339 */
    nx_slice partition_key;                                         /* extension partitionkey; may be empty */
    nx_kv ext[NX_EVENT_EXT_MAX];                                    /* other extensions, names lower case; without traceparent, tracestate, partitionkey, nexuseventid */
    unsigned n_ext;
    nx_trace trace; /* trace_id never empty; span_id is the producer's or the gateway's span */
    nx_slice tracestate;
    unsigned hop;             /* 0 from outside; +1 for each `output.event` or emit */
    nx_slice cause;           /* run_id that emitted it; empty from outside */
    nx_slice data;            /* exact bytes */
    bool data_is_base64;      /* structured mode carried data_base64: the JSON form carries data_base64 again */
    uint64_t wall_ns;         /* when it was accepted (event) or stored (raw message) */
    uint64_t deliver_wall_ns; /* functions get it then; 0: at once */
    uint64_t stream_seq;      /* sequence in the log; 0 before it is stored */
} nx_event;

/* Empty or wrong attributes (CloudEvents 3.1: control characters, invalid UTF-8, time not RFC 3339, names not [a-z0-9]{1,}); NX_EINVAL, NX_ELIMIT. */
nx_err nx_event_validate(const nx_event *e, nx_error *reterr);
nx_err nx_event_dup(const nx_event *e, nx_arena *a, nx_event *ret);
/* CloudEvents JSON (structured mode), one object: `data` verbatim when content_type is JSON (or +json, or empty) and the bytes are valid JSON,
 * a JSON string when it is UTF-8 text, else data_base64. Carries traceparent, nexuseventid (where id differs). */
nx_err nx_event_to_json(const nx_event *e, nx_buf *out);
/* Structured mode. Slices are copied into `a`; data keeps its exact bytes; data_base64 is decoded.
 * Fills trace from extension traceparent where valid (else trace_id stays empty); event_id, ns, wall_ns stay as they are. NX_EPARSE, NX_EINVAL, NX_ELIMIT. */
nx_err nx_event_from_json(nx_slice json, nx_arena *a, nx_event *ret, nx_error *reterr);
/* When its runs may begin: what is recorded for it is no older. Run ids carry this time. */
static inline uint64_t nx_event_start_wall_ns(const nx_event *e) { return e->deliver_wall_ns > e->wall_ns ? e->deliver_wall_ns : e->wall_ns; }
/* HTTP and NATS header values: percent-encoding of CloudEvents HTTP binding 3.1.3.2 (space, ", %, non-printable, non-ASCII as UTF-8). */
nx_err nx_event_header_encode(nx_slice value, nx_buf *out);
nx_err nx_event_header_decode(nx_slice value, nx_arena *a, nx_slice *ret); /* NX_EPARSE: not UTF-8 after decoding */
bool nx_content_type_is_json(nx_slice content_type);                       /* application/json, text/json, +json; parameters ignored */

/* Event type patterns of `on.event`: exact, or with '*' for one dot-separated token and a trailing '>' or '**' for the rest. */
bool nx_event_type_matches(nx_slice pattern, nx_slice type);
nx_err nx_event_type_pattern_check(nx_slice pattern, nx_error *reterr);
#endif
