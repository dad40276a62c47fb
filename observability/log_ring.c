/* log_ring.c: each record begins with a 64-bit word, its length and flags; the flag "committed" is set last. The consumer clears what it
 * gives back, so that a word which was reserved and not yet written reads 0, wherever in the ring it comes to lie. */
#include "log_ring.h"

#include <stdlib.h>

#define WORD 8u
#define FLAG_COMMITTED 1ull
#define FLAG_PADDING 2ull /* the unused end of the ring before a record that would have wrapped */
#define LENGTH_SHIFT 2

static _Atomic uint64_t *word_at(nx_log_ring *r, uint64_t pos) { return (_Atomic uint64_t *)(void *)(r->bytes + (pos & (r->size - 1))); }
static size_t span_of(size_t n) { return WORD + ((n + WORD - 1) & ~(size_t)(WORD - 1)); }

nx_err nx_log_ring_init(nx_log_ring *r, size_t size)
{
    size_t whole = 4096;
    while (whole < size && whole < SIZE_MAX / 4) whole *= 2;
    void *p = NULL;
    if (posix_memalign(&p, 64, whole) != 0) return NX_ENOMEM;
    memset(p, 0, whole);
    r->bytes = p;
    r->size = whole;
    atomic_init(&r->head, 0);
    atomic_init(&r->tail, 0);
    return NX_OK;
}

void nx_log_ring_done(nx_log_ring *r)
{
    free(r->bytes);
    r->bytes = NULL;
}

void *nx_log_ring_reserve(nx_log_ring *r, size_t n)
{
    if (n == 0 || n > r->size / 4) return NULL;
    size_t span = span_of(n);
    uint64_t head = atomic_load_explicit(&r->head, memory_order_relaxed);
    size_t padding;
    do {
        size_t to_end = r->size - (size_t)(head & (r->size - 1));
        padding = to_end < span ? to_end : 0;
        /* Acquire: the consumer's clearing of the bytes happened before we write to them. */
        uint64_t tail = atomic_load_explicit(&r->tail, memory_order_acquire);
        /* Signed: tail may already be past a head that was read too long ago; the exchange below fails then. */
        if ((int64_t)(head + padding + span - tail) > (int64_t)r->size) return NULL;
    } while (!atomic_compare_exchange_weak_explicit(&r->head, &head, head + padding + span, memory_order_relaxed, memory_order_relaxed));
    if (padding) atomic_store_explicit(word_at(r, head), (uint64_t)(padding - WORD) << LENGTH_SHIFT | FLAG_COMMITTED | FLAG_PADDING, memory_order_release);
    char *record = r->bytes + ((head + padding) & (r->size - 1)) + WORD;
    atomic_store_explicit((_Atomic uint64_t *)(void *)(record - WORD), (uint64_t)n << LENGTH_SHIFT, memory_order_relaxed);
    return record;
}

void nx_log_ring_commit(nx_log_ring *r, void *record)
{
    (void)r;
    _Atomic uint64_t *word = (_Atomic uint64_t *)(void *)((char *)record - WORD);
    uint64_t v = atomic_load_explicit(word, memory_order_relaxed);
    /* Sequentially consistent: the caller looks next whether the consumer sleeps, and the consumer says so before it looks here. */
    atomic_store_explicit(word, v | FLAG_COMMITTED, memory_order_seq_cst);
}

nx_slice nx_log_ring_peek(nx_log_ring *r)
{
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    for (;;) {
        uint64_t v = atomic_load_explicit(word_at(r, tail), memory_order_seq_cst);
        if (!(v & FLAG_COMMITTED)) return NX_SLICE_NULL;
        const char *record = r->bytes + (tail & (r->size - 1)) + WORD;
        nx_slice s = nx_slice_make(record, (size_t)(v >> LENGTH_SHIFT));
        if (!(v & FLAG_PADDING)) return s;
        nx_log_ring_release(r, s);
        tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    }
}

void nx_log_ring_release(nx_log_ring *r, nx_slice record)
{
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);
    size_t span = span_of(record.n);
    memset(r->bytes + (tail & (r->size - 1)), 0, span);
    atomic_store_explicit(&r->tail, tail + span, memory_order_release);
}
