/* ulid.c: identifiers. The 128 bits of an id are handled as one number: 48 bits of time above 80 others. */
#include "nx/ulid.h"
#include "nx/clock.h"
#include "nx/digest.h"

typedef unsigned __int128 u128;

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"; /* Crockford base32 */

#define TIME_MAX_MS ((1ull << 48) - 1)
/* Steps back of the clock up to this keep the ids monotonic. After a larger one the new time wins: an id's time is the address
 * under which the log finds the event (DESIGN 4), so it has to follow the clock that the log was written by. */
#define BACKSTEP_MS 1000u
/* Of an id that carries a name's mark: behind the bit that says "late". */
#define MARK_BITS 20
#define MARK_AT (79 - MARK_BITS)
#define MARK_MASK ((u128)((1u << MARK_BITS) - 1) << MARK_AT)

/* Value of a character, 32 where it is none; lower case is accepted, the look-alikes I L O U are not. */
static unsigned value_of(char c)
{
    static const unsigned char digit[] = {
        0,
        1,
        2,
        3,
        4,
        5,
        6,
        7,
        8,
        9,
        32,
        32,
        32,
        32,
        32,
        32,
        32,
        10,
        11,
        12,
        13,
        14,
        15,
        16,
        17,
        32,
        18,
        19,
        32,
        20,
        21,
        32,
        22,
        23,
        24,
        25,
        26,
        32,
        27,
        28,
        29,
        30,
        31,
    };
    if (c >= 'a' && c <= 'z') c = (char)(c - 'a' + 'A');
    return c < '0' || c > 'Z' ? 32 : digit[c - '0'];
}

static nx_id encode(u128 v)
{
    nx_id id;
    for (int i = NX_ID_LEN - 1; i >= 0; i--) {
        id.s[i] = alphabet[(unsigned)(v & 31u)];
        v >>= 5;
    }
    id.s[NX_ID_LEN] = '\0';
    return id;
}

static u128 bits_from(const uint8_t b[10])
{
    u128 v = 0;
    for (int i = 0; i < 10; i++) v = v << 8 | b[i];
    return v;
}

/* The next id of this thread without its last 5 bits, which are `low`. */
static nx_id next_id(uint64_t wall_ns, int shard)
{
    static __thread uint64_t last_ms;
    static __thread u128 last_bits;
    uint64_t ms = wall_ns / NX_NS_PER_MS;
    if (ms > TIME_MAX_MS) ms = TIME_MAX_MS;
    if (ms < last_ms && last_ms - ms <= BACKSTEP_MS) ms = last_ms;
    if (ms != last_ms || last_bits == 0) {
        uint8_t fresh[10];
        nx_random(fresh, sizeof fresh);
        last_bits = bits_from(fresh) >> 1; /* top bit clear: 2^79 increments before it could overflow */
        last_ms = ms;
    } else if (shard < 0) {
        last_bits += 1;
    } else {
        last_bits += 32; /* the bits above the shard move, so that the order holds whatever the shard is */
    }
    if (shard >= 0) last_bits = (last_bits & ~(u128)31) | (unsigned)shard;
    return encode((u128)last_ms << 80 | last_bits);
}

nx_id nx_ulid_new(uint64_t wall_ns) { return next_id(wall_ns, -1); }
nx_id nx_ulid_new_in_shard(uint64_t wall_ns, unsigned shard) { return next_id(wall_ns, (int)(shard % NX_SHARDS)); }

nx_id nx_ulid_derive(uint64_t wall_ms, const uint8_t digest[10], unsigned shard)
{
    if (wall_ms > TIME_MAX_MS) wall_ms = TIME_MAX_MS;
    return encode((u128)wall_ms << 80 | (bits_from(digest) & ~(u128)31) | (shard % NX_SHARDS));
}

/* The name's mark for an id whose own bits of a mark are left out. FNV's upper bits hang little on the last bytes: it is mixed once more, with the
 * finaliser of MurmurHash3. */
static u128 mark_of(u128 id, nx_slice name)
{
    uint64_t parts[] = {(uint64_t)(id >> 64), (uint64_t)id};
    uint32_t h = nx_slice_hash_on(nx_slice_hash(name), nx_slice_make(parts, sizeof parts));
    h = (h ^ h >> 16) * 0x85ebca6bu;
    h = (h ^ h >> 13) * 0xc2b2ae35u;
    return (u128)((h ^ h >> 16) >> (32 - MARK_BITS)) << MARK_AT;
}

static u128 number_of(const nx_id *id)
{
    u128 v = 0;
    for (int i = 0; i < NX_ID_LEN; i++) v = v << 5 | (value_of(id->s[i]) & 31u);
    return v;
}

nx_id nx_ulid_derive_named(uint64_t wall_ms, const uint8_t digest[10], unsigned shard, nx_slice name)
{
    nx_id id = nx_ulid_derive(wall_ms, digest, shard);
    u128 v = number_of(&id) & ~MARK_MASK;
    return encode(v | mark_of(v, name));
}

nx_id nx_ulid_derive_late(uint64_t wall_ms, const uint8_t digest[10], unsigned shard, nx_slice type)
{
    uint8_t late[10];
    memcpy(late, digest, sizeof late);
    late[0] |= 0x80;
    return nx_ulid_derive_named(wall_ms, late, shard, type);
}

bool nx_id_is_of(const nx_id *id, nx_slice name)
{
    if (id->s[0] == '\0' || id->s[0] == 'R') return false;
    u128 v = number_of(id);
    return (v & MARK_MASK) == mark_of(v & ~MARK_MASK, name);
}

/* The first of the 80 bits is the first of the eleventh character. */
bool nx_id_may_be_late(const nx_id *id) { return id->s[0] != '\0' && id->s[0] != 'R' && value_of(id->s[10]) >= 16; }

/* 'R' is 24, above the 7 that a ULID's first character can be: raw ids and ULIDs never meet. */
nx_id nx_raw_id(uint64_t stream_seq)
{
    nx_id id = encode(stream_seq);
    id.s[0] = 'R';
    return id;
}

bool nx_id_is_raw(const nx_id *id, uint64_t *ret_seq)
{
    if (id->s[0] != 'R') return false;
    uint64_t seq = 0;
    for (int i = 1; i < NX_ID_LEN; i++) seq = seq << 5 | (value_of(id->s[i]) & 31u);
    if (ret_seq) *ret_seq = seq;
    return true;
}

nx_err nx_id_parse(nx_slice s, nx_id *ret)
{
    if (s.n != NX_ID_LEN) return NX_EPARSE;
    nx_id id;
    for (size_t i = 0; i < NX_ID_LEN; i++) {
        unsigned v = value_of(s.p[i]);
        if (v > 31) return NX_EPARSE;
        id.s[i] = alphabet[v];
    }
    id.s[NX_ID_LEN] = '\0';
    if (id.s[0] == 'R') { /* 25 digits hold 125 bits, a sequence 64: 12 zeros and a digit below 16 come first */
        for (int i = 1; i <= 12; i++)
            if (id.s[i] != '0') return NX_EPARSE;
        if (value_of(id.s[13]) > 15) return NX_EPARSE;
    } else if (id.s[0] > '7') {
        return NX_EPARSE; /* over 128 bits */
    }
    *ret = id;
    return NX_OK;
}

uint64_t nx_id_time_ms(const nx_id *id)
{
    if (id->s[0] == '\0' || id->s[0] == 'R') return 0;
    uint64_t ms = 0;
    for (int i = 0; i < 10; i++) ms = ms << 5 | (value_of(id->s[i]) & 31u);
    return ms & TIME_MAX_MS;
}

unsigned nx_id_shard(const nx_id *id) { return id->s[0] ? value_of(id->s[NX_ID_LEN - 1]) & 31u : 0; }

/* Folded to 5 bits as the hash's authors advise for short ones. */
unsigned nx_shard_of(nx_slice key)
{
    uint32_t h = nx_slice_hash(key);
    return (h >> 5 ^ h) & (NX_SHARDS - 1);
}
