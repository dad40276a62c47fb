/* spread.h: median, 99th percentile and maximum of very many numbers in bounded memory.
 * Why:       fuel and memory of a million events, old and new.
 * Ownership: caller's storage; nx_spread_done() frees the counters.
 * Threads:   one at a time.
 * Errors:    NX_ENOMEM.
 * What it tells is always a number that was added, at most 3.2 % above the one that a sorted list would have given. */
#ifndef NX_REPLAY_SPREAD_H
#define NX_REPLAY_SPREAD_H
#include "nx/json.h"

typedef struct nx_spread_bucket {
    uint64_t count, most; /* numbers in it, and the largest of them */
} nx_spread_bucket;

typedef struct nx_spread {
    nx_spread_bucket *buckets; /* made with the first number */
    uint64_t count;
} nx_spread;

nx_err nx_spread_add(nx_spread *s, uint64_t v);
/* The least number that `permille` of all numbers (500: half of them) do not exceed; 0 of none. */
uint64_t nx_spread_at(const nx_spread *s, unsigned permille);
void nx_spread_done(nx_spread *s);
/* [[bucket, count, most], …] */
void nx_spread_save(const nx_spread *s, nx_jw *w);
nx_err nx_spread_load(nx_spread *s, const nx_json *saved);
#endif
