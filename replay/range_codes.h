/* range_codes.h: code that a range met lately: of a version, under the memory limit that chose its engine.
 * Ownership: nx_range_codes keeps references, and so does who got one; the last one to go frees it.
 * Threads:   getting is one thread's (BLOCKING); what was got is used and given back on any. */
#ifndef NX_REPLAY_RANGE_CODES_H
#define NX_REPLAY_RANGE_CODES_H
#include "find.h"
#include "range.h"
#include <stdatomic.h>

#define NX_RANGE_CODES_MAX 32

typedef struct nx_range_code {
    atomic_uint refs; /* the codes', and each user's */
    char function[NX_FUNCTION_NAME_BYTES + 1];
    char version[32];
    nx_sha256 artifact; /* the recorded one */
    uint64_t memory_bytes;
    bool is_failed;
    char detail[120];              /* why */
    nx_replay_code code, recorded; /* the latter for what records leave out; no program: it is gone, or `code` is the recorded one */
} nx_range_code;

typedef struct nx_range_codes {
    nx_range_code *v[NX_RANGE_CODES_MAX];
    unsigned n, next;
} nx_range_codes;

/* What `run` is repeated with. One that can't be had (its artifact is gone) is got all the same, and is_failed. Retryable errors are errors. */
nx_err nx_range_codes_get(nx_range_codes *codes, nx_node *n, const nx_range_options *o, const nx_run *run, nx_range_code **ret, nx_error *reterr);
void nx_range_code_unref(nx_range_code *c); /* NULL allowed */
void nx_range_codes_done(nx_range_codes *codes);
#endif
