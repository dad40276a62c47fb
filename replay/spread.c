/* spread.c: counters by size: 32 for each power of two, one for each number below 64. */
#include "spread.h"
#include <stdlib.h>

#define STEPS 32u
#define EXACT (2 * STEPS)
#define STEP_BITS 5u
#define BUCKETS (EXACT + (63 - STEP_BITS) * STEPS)

static size_t bucket_of(uint64_t v)
{
    if (v < EXACT)
        return (size_t)v;
    unsigned shift = 63 - STEP_BITS - (unsigned)__builtin_clzll(v); /* v >> shift lies in [STEPS, 2 * STEPS) */
    return EXACT + (size_t)(shift - 1) * STEPS + (size_t)((v >> shift) - STEPS);
}

static nx_err add(nx_spread *s, size_t bucket, uint64_t count, uint64_t most)
{
    if (!s->buckets && !(s->buckets = calloc(BUCKETS, sizeof *s->buckets)))
        return NX_ENOMEM;
    nx_spread_bucket *b = &s->buckets[bucket];
    b->count += count;
    if (most > b->most)
        b->most = most;
    s->count += count;
    return NX_OK;
}

nx_err nx_spread_add(nx_spread *s, uint64_t v) { return add(s, bucket_of(v), 1, v); }

uint64_t nx_spread_at(const nx_spread *s, unsigned permille)
{
    uint64_t wanted = (s->count * permille + 999) / 1000;
    uint64_t seen = 0, most = 0;
    for (size_t i = 0; i < BUCKETS && s->buckets; i++) {
        if (!s->buckets[i].count)
            continue;
        seen += s->buckets[i].count;
        most = s->buckets[i].most;
        if (seen >= wanted)
            break;
    }
    return most;
}

void nx_spread_done(nx_spread *s)
{
    free(s->buckets);
    *s = (nx_spread){.buckets = NULL};
}

void nx_spread_save(const nx_spread *s, nx_jw *w)
{
    nx_jw_array(w);
    for (size_t i = 0; i < BUCKETS && s->buckets; i++) {
        if (!s->buckets[i].count)
            continue;
        nx_jw_array(w);
        nx_jw_u64(w, i);
        nx_jw_u64(w, s->buckets[i].count);
        nx_jw_u64(w, s->buckets[i].most);
        nx_jw_array_end(w);
    }
    nx_jw_array_end(w);
}

nx_err nx_spread_load(nx_spread *s, const nx_json *saved)
{
    nx_err err = NX_OK;
    for (size_t i = 0; i < nx_json_len(saved) && err == NX_OK; i++) {
        const nx_json *b = nx_json_at(saved, i);
        int64_t bucket = nx_json_i64(nx_json_at(b, 0), -1), count = nx_json_i64(nx_json_at(b, 1), -1), most = nx_json_i64(nx_json_at(b, 2), -1);
        if (bucket < 0 || bucket >= (int64_t)BUCKETS || count <= 0 || most < 0)
            return NX_ECORRUPT;
        err = add(s, (size_t)bucket, (uint64_t)count, (uint64_t)most);
    }
    return err;
}
