/* prefer.h: the Prefer header field (RFC 7240): respond-async and wait.
 * Threads: any. */
#ifndef NX_GW_PREFER_H
#define NX_GW_PREFER_H
#include "nx/slice.h"

typedef struct nx_gw_prefer {
    bool has_wait;
    bool is_async;   /* respond-async */
    uint32_t wait_s; /* capped by the caller's maximum */
} nx_gw_prefer;

/* Adds one field value to *p (zeroed before the first). Preferences that are unknown or badly written are ignored, and of a repeated one
 * the first counts, as RFC 7240 section 2 asks. */
void nx_gw_prefer_add(nx_gw_prefer *p, nx_slice value, uint32_t max_wait_s);
#endif
