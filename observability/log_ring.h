/* log_ring.h: a bounded ring of variable-sized records, many producers, one consumer, without a lock.
 * Why:       a log line must not wait for another thread's, nor for the disk.
 * Ownership: the ring owns its memory; a record at the consumer is lent until nx_log_ring_release().
 * Threads:   reserve + commit from any; peek and release from the one consumer.
 * Errors:    reserve gives NULL when the ring is full; the caller counts the loss. */
#ifndef NX_LOG_RING_H
#define NX_LOG_RING_H
#include <stdatomic.h>

#include "nx/slice.h"

typedef struct nx_log_ring {
    char *bytes;
    size_t size;                        /* power of two */
    _Alignas(64) _Atomic uint64_t head; /* where producers reserve; counts bytes for ever */
    _Alignas(64) _Atomic uint64_t tail; /* what the consumer has given back */
} nx_log_ring;

nx_err nx_log_ring_init(nx_log_ring *r, size_t size); /* size: rounded up to a power of two, 4 KiB at least */
void nx_log_ring_done(nx_log_ring *r);
/* n bytes (at most a quarter of the ring) to be filled and committed soon: a reserved record holds up all later ones. */
void *nx_log_ring_reserve(nx_log_ring *r, size_t n);
void nx_log_ring_commit(nx_log_ring *r, void *record);
/* The oldest committed record, or a slice with p NULL. */
nx_slice nx_log_ring_peek(nx_log_ring *r);
void nx_log_ring_release(nx_log_ring *r, nx_slice record);
#endif
