/* split.h: how an alias shares the events of a function out among versions, and which of them an event gets.
 * Why:       a canary has to be steady: the same key always gets the same version, also on another node, at a redelivery and after a restart. So
 *            the choice follows from function and event alone; nothing is counted and nothing is drawn.
 * Ownership: plain data.
 * Threads:   any. */
#ifndef NX_CORE_SPLIT_H
#define NX_CORE_SPLIT_H
#include "nx/event.h"

#define NX_CORE_VERSION_BYTES 32 /* "v3", "dev-1a2b3c4d" and its end */
#define NX_CORE_SPLIT_MAX 8      /* versions of one alias */
#define NX_CORE_SHARE_ALL 10000u /* shares are hundredths of a percent */

typedef struct nx_core_share {
    char version[NX_CORE_VERSION_BYTES];
    unsigned share;
} nx_core_share;

/* Newest version first, each once, none with nothing, all together NX_CORE_SHARE_ALL; n 0: not known. */
typedef struct nx_core_split {
    nx_core_share v[NX_CORE_SPLIT_MAX];
    unsigned n;
} nx_core_split;

void nx_core_split_all(nx_core_split *s, const char *version); /* everything to one */
bool nx_core_split_equal(const nx_core_split *a, const nx_core_split *b);
/* The version that gets most, of equals the newest; of a split that is known. */
const nx_core_share *nx_core_split_main(const nx_core_split *s);
/* [{"version": "v4", "percent": 10}, …]. What is missing to 100 percent goes to the version that gets most of `now` and is not named itself; one
 * version without a percent gets what is missing. NX_EINVAL says what is wrong. `now` may be NULL. */
nx_err nx_core_split_from_json(const nx_json *traffic, const nx_core_split *now, nx_core_split *ret, nx_error *reterr);
/* `share` of all to one version, the rest by the same rule. */
nx_err nx_core_split_give(const nx_core_split *now, const char *version, unsigned share, nx_core_split *ret, nx_error *reterr);
void nx_core_split_to_json(const nx_core_split *s, nx_jw *w);                 /* the same form, as a value */
void nx_core_split_text(const nx_core_split *s, char *out, size_t out_bytes); /* "v4 10 %, v3 90 %", or "v3" */
/* Where in [0, NX_CORE_SHARE_ALL) an event stands: the first eight bytes, big-endian, of SHA-256("<function>/<key>"), modulo that. The key is the
 * event's partition key, without one its id; a batch has that of its last event. */
unsigned nx_core_split_place(nx_slice function, const nx_event *e);
/* The index of the version that has this place. Versions lie newest first, so a newer one that gets more keeps what it has. */
unsigned nx_core_split_at(const nx_core_split *s, unsigned place);
#endif
