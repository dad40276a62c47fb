/* nx/ingest.h: what the gateway asks of the node: the door between HTTP and the log, without either knowing the other.
 * Ownership: an nx_ingest is the gateway's storage, lent to the node from publish() until done() is called (exactly once, unless publish() failed).
 *            Its event's slices stay valid as long.
 * Threads:   publish() on the gateway's loop; done() on any thread: it may only post to a mailbox.
 * Errors:    a failed publish() returns the code and never calls done(). */
#ifndef NX_INGEST_H
#define NX_INGEST_H
#include "nx/event.h"
#include "nx/mailbox.h"

/* The answer to a waiting caller, shared by reference between node and gateway. */
typedef struct nx_answer {
    int status;                              /* 200, or the HTTP status of the failure */
    nx_slice content_type;                   /* of body */
    nx_slice body;                           /* the function's stdout, or problem details */
    void (*release)(struct nx_answer *self); /* the gateway calls it once when the bytes are written */
} nx_answer;

typedef struct nx_ingest {
    nx_mail mail;           /* for whoever holds it at the moment */
    nx_event event;         /* event_id, trace, ns set by the gateway; data exact */
    nx_slice dedupe_key;    /* empty: no dedupe; else Idempotency-Key, or source + 0x00 + id of the producer */
    bool wants_wait;        /* a function's output is awaited */
    uint32_t wait_ms;       /* bound of the wait; past it: `is_late`, and 202 */
    nx_slice wait_function; /* whose output; empty: the only subscriber of the type */
    void (*done)(struct nx_ingest *self);
    void *owner; /* the gateway's own */
    /* results, set before done() */
    nx_err err; /* NX_OK: stored */
    nx_error detail;
    bool is_duplicate; /* event_id and trace are then those of the first */
    nx_answer *answer; /* set when wants_wait and the run is recorded */
    bool is_late;
    uint64_t node_private[16];
} nx_ingest;

/* Where a request goes. */
typedef struct nx_ingest_route {
    nx_slice function;      /* whose own route it is; empty for POST /events/{type} */
    nx_slice type;          /* type of the event, copied by the gateway before it returns to its loop */
    bool is_sync;           /* respond: sync */
    unsigned n_subscribers; /* functions that take the type */
} nx_ingest_route;

typedef struct nx_ingest_ops {
    /* NX_ENOENT: no such path; NX_ENOTSUP: the path has other methods (allow lists them, lent until the next call on this thread).
     * `path` has no query. POST /events/{type} is answered for every valid type (n_subscribers may be 0). `arena` is the request's. */
    nx_err (*route)(void *self, nx_slice method, nx_slice path, nx_arena *arena, nx_ingest_route *ret, nx_slice *ret_allow);
    nx_err (*publish)(void *self, nx_ingest *in, nx_error *reterr);
    /* The caller went away or its wait is over: the node forgets `in`. True: done() will not be called (any more). */
    bool (*abandon)(void *self, nx_ingest *in);
    /* Whether events are accepted at all (the log is reachable, the node is not draining). */
    bool (*is_ready)(void *self, nx_error *ret_why);
    /* Whether a path that route() does not know is one of the admin API's: whoever asked has the wrong address. */
    bool (*is_admin_path)(void *self, nx_slice path);
} nx_ingest_ops;
#endif
