/* nx/effect.h: what a function may do to the world outside: host calls whose answers are recorded, and events it emits.
 * Why:       the runtime records and repeats host calls, the node makes them; neither knows the other (docs/EFFECTS.md is the contract with guests).
 * Ownership: everything is lent for the call; an answer goes into the caller's buffers.
 * Threads:   an op is called on the thread of the attempt, which has given up its running slot, so it may block until the deadline.
 * Errors:    nx_err of an op becomes the status that the guest sees: nx_effect_status_of(). */
#ifndef NX_EFFECT_H
#define NX_EFFECT_H
#include "nx/buf.h"
#include "nx/run.h"
#include "nx/trace.h"

#define NX_EFFECT_REQUEST_BYTES (4u << 20)  /* one request; more is NX_EFFECT_LIMIT */
#define NX_EFFECT_ANSWER_BYTES (4u << 20)   /* one answer; more is NX_EFFECT_LIMIT */
#define NX_EFFECT_ATTEMPT_BYTES (16u << 20) /* all answers of an attempt: they lie in its record. More ends it: NX_WHY_EFFECTS_LIMIT */
#define NX_EFFECT_ATTEMPT_CALLS 10000u      /* effects of an attempt; more ends it the same way */
#define NX_EMIT_DATA_BYTES (1u << 20)       /* data of one emitted event */
#define NX_EMIT_ATTEMPT_BYTES (8u << 20)    /* all emitted events of an attempt, with their attributes */
#define NX_KV_KEY_BYTES 256
#define NX_KV_VALUE_BYTES (1u << 20)
#define NX_KV_STORE_BYTES 32 /* name of a store */
#define NX_SECRET_NAME_BYTES 128
#define NX_GRANTS_LIST_MAX 64 /* entries of one list of grants */

/* What a function was granted in nexus.yaml. Empty lists deny. */
typedef struct nx_grants {
    const nx_slice *outbound_hosts; /* allowed_outbound_hosts; see nx/outbound.h */
    unsigned n_outbound_hosts;
    const nx_slice *stores; /* key_value_stores */
    unsigned n_stores;
    const nx_slice *emit; /* event types and patterns (nx_event_type_matches) */
    unsigned n_emit;
    const nx_slice *secrets; /* names */
    unsigned n_secrets;
} nx_grants;

/* What one live call is made with. */
typedef struct nx_effect_call {
    const nx_grants *grants; /* never NULL */
    const nx_trace *trace;   /* of the run; may be NULL */
    uint64_t deadline_ns;    /* nx_clock_ns(): of the attempt. An op that has no answer by then gives NX_ETIMEOUT at once */
    nx_buf *answer;          /* empty; what the guest reads. Its max is NX_EFFECT_ANSWER_BYTES */
    nx_buf *keep;            /* of secret_get alone: what the record keeps in place of the answer, a keyed digest of the value */
} nx_effect_call;

#define NX_KV_ANY (-1) /* whatever is there; nothing too */

/* The world, as the node reaches it. Any member may be NULL: NX_EFFECT_UNAVAILABLE. Grants of stores, secrets and types were checked before; those of
 * hosts are the op's. On an error reterr says why in words for the function's author. */
typedef struct nx_effect_ops {
    nx_err (*http_request)(void *self, const nx_effect_call *c, nx_slice request, nx_error *reterr);
    /* Answer: "REVISION\n" and the value. NX_ENOENT. */
    nx_err (*kv_get)(void *self, const nx_effect_call *c, nx_slice store, nx_slice key, nx_error *reterr);
    /* expected: NX_KV_ANY, 0 (the key must not exist), or the revision it must have; else NX_ECONFLICT. Answer: "REVISION\n". */
    nx_err (*kv_put)(void *self, const nx_effect_call *c, nx_slice store, nx_slice key, nx_slice value, int64_t expected, nx_error *reterr);
    /* expected as above but 0. What is not there is deleted with success. No answer. */
    nx_err (*kv_delete)(void *self, const nx_effect_call *c, nx_slice store, nx_slice key, int64_t expected, nx_error *reterr);
    /* Answer: the value; `keep`: its keyed digest, by which a replay knows that it is still the same. NX_ENOENT. */
    nx_err (*secret_get)(void *self, const nx_effect_call *c, nx_slice name, nx_error *reterr);
    /* What a record keeps of a request that a guest makes after it has seen a secret: with the node's key, so that nobody can guess the value from it. */
    nx_err (*keyed_digest)(void *self, nx_slice name, nx_slice request, nx_sha256 *ret, nx_error *reterr);
} nx_effect_ops;

/* An event that an attempt emitted: published once the run ended ok, never in a replay. */
typedef struct nx_emit {
    nx_slice type, subject, partition_key, content_type, data; /* subject, partition_key, content_type may be empty */
} nx_emit;
/* Of type, subject, partition key, content type and data: what makes two emitted events the same. */
nx_sha256 nx_emit_digest(const nx_emit *e);
/* The id of the index-th event that a run emits, and the key under which the log takes it once: the same however often the run is repeated. */
#define NX_EMIT_KEY_BYTES 48
nx_id nx_emit_event_id(const nx_id *run_id, unsigned index, uint64_t event_wall_ns, nx_slice type, nx_slice partition_key, char ret_key[NX_EMIT_KEY_BYTES]);

nx_effect_status nx_effect_status_of(nx_err err);
const char *nx_effect_status_name(nx_effect_status s); /* "DENIED" */
/* SHA-256 of name, 0x00, request (docs/EFFECTS.md has the form of each request). */
nx_sha256 nx_effect_request_digest(nx_slice name, nx_slice request);
/* Letters, digits and - / _ = . (no . first, last or twice in a row), at most NX_KV_KEY_BYTES: what NATS takes as a key. */
bool nx_kv_key_is_valid(nx_slice key);
/* Letters, digits, _ and -; a letter or _ first; at most NX_SECRET_NAME_BYTES. */
bool nx_secret_name_is_valid(nx_slice name);
/* Lower-case letters, digits, - and _; a letter or digit first; at most NX_KV_STORE_BYTES. */
bool nx_kv_store_is_valid(nx_slice store);
#endif
