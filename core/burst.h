/* burst.h: the events of one key that `debounce` gathers: which of them is the last one, when it runs, and what becomes of the others.
 * Why:       the rule alone, as a step from one stored state to the next (debounce.c keeps it in the log).
 * Ownership: slices are lent by whoever filled them.
 * Threads:   plain data.
 * A burst is open until the time that its last event has; what comes later begins a new one, and the last event of the one before runs all the same,
 * however late its timer is. Which bursts were closed so is remembered of the last NX_CORE_BURST_CLOSED. */
#ifndef NX_CORE_BURST_H
#define NX_CORE_BURST_H
#include "nx/event.h"

#define NX_CORE_BURST_CLOSED 16u
#define NX_CORE_BURST_REPLY_BYTES 240u /* of a waiting caller; a longer one is not kept */
#define NX_CORE_BURST_TEXT_BYTES 896u

/* Where an event stands among those of its key. */
typedef struct nx_core_moment {
    nx_id id;
    uint64_t seq, start_wall_ns;
    bool is_delayed; /* it counts from when it is delivered */
} nx_core_moment;
nx_core_moment nx_core_moment_of(const nx_event *e);
/* In the order of the log; where one of them was delayed, by time. */
bool nx_core_moment_is_before(const nx_core_moment *a, const nx_core_moment *b);

typedef struct nx_core_burst {
    uint64_t first_wall_ns, due_wall_ns; /* due 0: closed, or there was none yet */
    nx_core_moment last;                 /* seq 0: none yet */
    nx_slice reply;                      /* nx-reply of `last`; may be empty */
    uint64_t closed[NX_CORE_BURST_CLOSED];
    unsigned n_closed;
} nx_core_burst;
/* Text that cannot be read is a burst without events. */
void nx_core_burst_parse(nx_slice text, nx_core_burst *ret);
void nx_core_burst_format(const nx_core_burst *b, char out[NX_CORE_BURST_TEXT_BYTES]);

typedef enum { NX_CORE_BURST_WAIT, /* it is the last one, until due_wall_ns */
               NX_CORE_BURST_RUN,
               NX_CORE_BURST_SKIP, /* `last` came after it */
               NX_CORE_BURST_GONE /* its burst is closed, and its timer brings it */ } nx_core_burst_verdict;

/* An event comes. *ret_before: the one whose place it takes; seq 0: it takes nobody's. *ret_changed: the burst is not what it was. */
nx_core_burst_verdict nx_core_burst_come(nx_core_burst *b, const nx_core_moment *m, nx_slice reply, uint64_t now_wall_ns, uint64_t period_ns, uint64_t timeout_ns,
                                         nx_core_burst *ret_before, bool *ret_changed);
/* Its timer is due. */
nx_core_burst_verdict nx_core_burst_due(nx_core_burst *b, const nx_core_moment *m, bool *ret_changed);
#endif
