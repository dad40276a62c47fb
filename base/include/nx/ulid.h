/* nx/ulid.h: identifiers of events and runs.
 * Source:  ULID specification (48-bit time in ms, 80 random bits, Crockford base32, 26 characters, upper case).
 * Shards:  the last character of an id (5 bits) is its shard, 0 to 31 (DESIGN 4); a run's id keeps its event's.
 * Raw ids: an event that came as a raw NATS message has an id of 'R' and 25 base32 digits: its stream sequence.
 * Threads: any; generation is monotonic per thread (the random part is incremented within one ms) and seeded per process. */
#ifndef NX_ULID_H
#define NX_ULID_H
#include "nx/slice.h"

#define NX_ID_LEN 26
#define NX_SHARDS 32

typedef struct nx_id {
    char s[NX_ID_LEN + 1]; /* NUL-terminated; s[0] == 0: none */
} nx_id;

nx_id nx_ulid_new(uint64_t wall_ns);
/* As nx_ulid_new() with the shard given (0..31). */
nx_id nx_ulid_new_in_shard(uint64_t wall_ns, unsigned shard);
/* An id with this time whose 80 bits are taken from `digest`, its last 5 bits from `shard`: deterministic. */
nx_id nx_ulid_derive(uint64_t wall_ms, const uint8_t digest[10], unsigned shard);
/* The same with a mark of `name`: 20 of the bits follow from the name and the others. So a look-up knows under which of a few names what has this
 * id can be stored, and of most ids that were never given out that they are unknown. A run's name is its function. */
nx_id nx_ulid_derive_named(uint64_t wall_ms, const uint8_t digest[10], unsigned shard, nx_slice name);
/* The same for an event that a run or a schedule publishes, of that type: its time is that of what it follows from, and it may be stored long
 * after. The first of its 80 bits is set, which nx_ulid_new() never does, so that a look-up knows which ids may lie far behind their time. */
nx_id nx_ulid_derive_late(uint64_t wall_ms, const uint8_t digest[10], unsigned shard, nx_slice type);
bool nx_id_is_of(const nx_id *id, nx_slice name); /* whether it has that name's mark; of an id made without a name, once in a million */
bool nx_id_may_be_late(const nx_id *id);          /* false for nearly all ids that are not, and for raw ones */
nx_id nx_raw_id(uint64_t stream_seq);
bool nx_id_is_raw(const nx_id *id, uint64_t *ret_seq);
/* Exactly 26 valid characters (lower case accepted and made upper), ULID or raw; NX_EPARSE. */
nx_err nx_id_parse(nx_slice s, nx_id *ret);
uint64_t nx_id_time_ms(const nx_id *id); /* 0 for raw ids */
unsigned nx_id_shard(const nx_id *id);
unsigned nx_shard_of(nx_slice key); /* FNV-1a, of a partition key */
static inline nx_slice nx_id_slice(const nx_id *id) { return nx_slice_make(id->s, id->s[0] ? NX_ID_LEN : 0); }
#endif
