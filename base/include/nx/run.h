/* nx/run.h: the run record: what one attempt was, saw and did, enough to repeat it bit for bit (DESIGN 6).
 * Why:       every attempt leaves one; listing, replay and proof all read it.
 * Ownership: nx_run is a view, slices lent by whoever filled it; nx_run_decode() lends from the encoded bytes and allocates arrays in the arena.
 * Threads:   plain data.
 * Format:    docs/RUN_RECORD.md. "NXR1", then fields: tag (uvarint), length (uvarint), bytes; integers little-endian fixed 8 bytes; unknown tags are skipped. */
#ifndef NX_RUN_H
#define NX_RUN_H
#include "nx/arena.h"
#include "nx/digest.h"
#include "nx/json.h"
#include "nx/trace.h"
#include "nx/ulid.h"

#define NX_RUN_ENV_MAX 128
#define NX_RUN_EFFECTS_MAX 65536
#define NX_RUN_EMITTED_MAX 256

typedef enum { NX_RUN_OK,
               NX_RUN_ERROR,
               NX_RUN_TIMEOUT,
               NX_RUN_DEAD,
               NX_RUN_SKIPPED,
               NX_RUN_CANCELLED,
               NX_RUN_BATCHED } nx_run_status; /* ends a run; "ok", "error", "timeout", "dead", "skipped", "cancelled", "batched" */
#define NX_RUN_STATUSES (NX_RUN_BATCHED + 1)
/* Nothing was executed, as it was meant to be. */
static inline bool nx_run_status_is_idle(nx_run_status s) { return s == NX_RUN_SKIPPED || s == NX_RUN_BATCHED; }

/* Why a status other than ok. Text form in snake_case: "trap", "exit", "stack_overflow" … */
typedef enum {
    NX_WHY_NONE,
    NX_WHY_TRAP, /* any WebAssembly trap not named below; `message` has it */
    NX_WHY_EXIT, /* proc_exit with a code other than 0 */
    NX_WHY_STACK_OVERFLOW,
    NX_WHY_MEMORY_LIMIT,  /* trapped or exited after a memory.grow was refused by the limit */
    NX_WHY_OUTPUT_LIMIT,  /* stdout over max_output */
    NX_WHY_FUEL,          /* fuel used up */
    NX_WHY_DEADLINE,      /* timeout passed */
    NX_WHY_NODE_CRASH,    /* dead: killed its node too often */
    NX_WHY_HOP_LIMIT,     /* the emitted event was refused: chain too long */
    NX_WHY_NO_MODULE,     /* dead: artifact gone or not loadable */
    NX_WHY_EMIT,          /* output.event: stdout could not become an event; or an emitted event could not be published */
    NX_WHY_EFFECTS_LIMIT, /* the answers of its host calls are more than a record holds */
    NX_WHY_NOT_RECORDED,  /* replays: a host call that is not in the recording at this place */
    NX_WHY_NO_SECRET,     /* a secret of its environment has no value: it was not executed */
    NX_WHY_RATE_LIMITED,  /* skipped: more than rate_limit allows */
    NX_WHY_SINGLETON,     /* skipped: another run was under way */
    NX_WHY_DEBOUNCED,     /* skipped: another event of its key came after it */
    NX_WHY_SUPERSEDED     /* cancelled: another event of its key came while it ran */
} nx_run_why;

/* Where the answers to a guest's host calls come from. */
typedef enum {
    NX_EFFECTS_RECORDED, /* from the recording, in order; another call than the recorded one ends the attempt (NX_WHY_NOT_RECORDED) */
    NX_EFFECTS_DENY,     /* every call is denied */
    NX_EFFECTS_LIVE      /* from the world, as grants allow */
} nx_effects_policy;
const char *nx_effects_policy_name(nx_effects_policy p); /* "recorded", "deny", "live" */
nx_err nx_effects_policy_parse(nx_slice s, nx_effects_policy *ret);

/* What a host call of module `nexus` came to. The values are the guest ABI's and stand in records (docs/EFFECTS.md). */
typedef enum {
    NX_EFFECT_OK,
    NX_EFFECT_DENIED,            /* no grant in nexus.yaml, or a replay that denies */
    NX_EFFECT_NOT_FOUND,         /* no such key, no such secret */
    NX_EFFECT_CONFLICT,          /* compare-and-set: another revision is there */
    NX_EFFECT_INVALID,           /* malformed request */
    NX_EFFECT_LIMIT,             /* request or answer too large */
    NX_EFFECT_TIMEOUT,           /* the other side took too long */
    NX_EFFECT_UNAVAILABLE,       /* the other side can't be reached */
    NX_EFFECT_FAULT,             /* a pointer outside the guest's memory */
    NX_EFFECT_INTERRUPTED = 253, /* in records only: the attempt's time was up inside the call */
    NX_EFFECT_OVER = 254         /* in records only: this answer was too much for the record, the attempt ended here */
} nx_effect_status;

/* What becomes of the event after a final attempt that failed. */
typedef enum {
    NX_AFTER_DLQ,  /* it is a dead letter until it is redriven or purged */
    NX_AFTER_DROP, /* nothing */
    NX_AFTER_PAUSE /* not final: the function is paused, and the event tried again once it is resumed */
} nx_run_after;

/* How much of what a run saw and said its record keeps (nexus.yaml: recording). */
typedef enum {
    NX_RECORDING_FULL,
    NX_RECORDING_DIGEST, /* digests and lengths of payloads, not the payloads */
    NX_RECORDING_OFF     /* that it ran, how it ended, what it cost */
} nx_recording;
const char *nx_recording_name(nx_recording r); /* "full", "digest", "off" */

typedef struct nx_effect {
    nx_slice name;           /* host call: "http.request", "kv.get", "kv.put", "kv.delete", "secret.get"; "emit" where it was denied */
    nx_sha256 request;       /* digest of the request */
    nx_effect_status status; /* what the guest got */
    uint64_t clock_ns;       /* the guest's clock afterwards, from the attempt's start */
    nx_slice answer;         /* recorded answer; of a status other than OK, its text; of a secret, a keyed digest */
} nx_effect;

typedef struct nx_emitted {
    nx_id event_id; /* of a replay: the one it would have had */
    nx_slice type;
    nx_sha256 digest; /* nx_emit_digest(); all zero: the event that its output became (output.event), which stands last */
} nx_emitted;

typedef struct nx_run {
    nx_slice ns;
    nx_id run_id; /* derived from event, function, generation: nx_run_id_derive() */
    nx_id event_id;
    nx_slice event_type;
    nx_slice function, version, artifact; /* version "v3" or "dev-1a2b3c4d"; artifact: SHA-256 hex of the module */
    unsigned attempt;                     /* 1 is the first */
    unsigned generation;                  /* 0; +1 for each redrive */
    nx_run_status status;
    nx_run_why why;
    int exit_code;      /* proc_exit; 0 else */
    nx_slice message;   /* trap text, readable; may be empty */
    nx_slice backtrace; /* lines; may be empty */
    bool is_replay, is_final;
    bool is_cold;              /* the module was not mapped before */
    bool input_is_cloudevent;  /* stdin was the whole CloudEvent */
    bool takes_batches;        /* stdin was an array: nx/event_batch.h */
    nx_slice replay_of;        /* run_id of the original; replays only */
    uint64_t original_wall_ns; /* start of the original attempt; replays only */
    uint64_t start_wall_ns, duration_ns;
    uint64_t fuel;         /* used */
    uint64_t memory_bytes; /* peak linear memory */
    nx_trace trace;        /* trace_id of the event; span_id of this run */
    nx_slice parent_span;
    nx_slice output;         /* stdout, cut at the record bound */
    uint64_t output_bytes;   /* whole */
    nx_sha256 output_sha256; /* of the whole */
    nx_slice logs;           /* stderr, cut at the record bound */
    uint64_t logs_bytes;
    nx_sha256 logs_sha256;
    uint8_t seed[32];
    nx_kv env[NX_RUN_ENV_MAX]; /* byte for byte as the guest saw it, in order */
    unsigned n_env;
    nx_kv *secret_env; /* variable, secret's name: of these `env` has no value but a proof of it ("hmac-sha256:KEY:DIGEST"; see docs/SECRETS.md) */
    unsigned n_secret_env;
    uint64_t limit_timeout_ns, limit_memory_bytes, limit_fuel, limit_output_bytes, limit_scratch_bytes;
    nx_effect *effects;
    unsigned n_effects;
    nx_emitted *emitted;
    unsigned n_emitted;     /* at most NX_RUN_EMITTED_MAX */
    nx_sha256 calls_sha256; /* digest of the host-call trace */
    uint64_t n_calls;
    nx_slice call_marks;          /* 4 bytes for each of the next calls behind `calls` */
    nx_slice calls;               /* host-call trace itself, cut at the record bound (format: runtime/wasi); empty when not kept */
    nx_recording recording;       /* less than full: what was left out; see nx/redact.h */
    bool is_effect_hidden;        /* an answer from outside is not as it was */
    bool is_env_hidden;           /* a variable that does not follow from the event is not as it was */
    nx_slice batch;               /* takes_batches: ids of the events of its batch, with commas (nx/event_batch.h); else id of the batch that its event ran in */
    nx_slice redacted;            /* paths whose values were covered, one a line; empty: none */
    nx_slice engine;              /* "wasmtime 48 fuel=v1 nan=canonical …": fuel is comparable where equal */
    nx_slice world, arch;         /* world ABI version, "x86_64" */
    nx_slice node;                /* node id */
    uint64_t event_seq, delivery; /* sequence of the event in the log; delivery count */
    unsigned max_attempts;        /* of this run, as they were set then; 0: not known */
    nx_run_after after;           /* of a failed attempt that has no next one */
    uint64_t next_wall_ns;        /* of a failed attempt that has a next one: when that is due; 0: none, or not before the function is resumed */
    uint64_t record_seq;          /* sequence of this record in its stream; set by readers */
    uint64_t record_wall_ns;      /* when it was stored; set by readers */
} nx_run;

/* All fields as in a zeroed run; cheaper than one, for storage that is used again: the arrays' elements behind their counts stay. */
void nx_run_clear(nx_run *r);
const char *nx_run_status_name(nx_run_status s);
nx_err nx_run_status_parse(nx_slice s, nx_run_status *ret);
const char *nx_run_why_name(nx_run_why w);
nx_err nx_run_why_parse(nx_slice s, nx_run_why *ret); /* NX_EPARSE */
/* Whether trying again can be asked for after this reason. The others: the attempt itself ended well and what came after it was refused
 * (hop_limit, emit), the node was at fault (node_crash has a count of its own), there is nothing to run (no_module), or it was a replay. */
bool nx_run_why_can_retry(nx_run_why w);
const char *nx_run_after_name(nx_run_after a); /* "dlq", "drop", "pause" */
/* run_id: time of the event, digest of (ns, event, function, generation), the event's shard: the same run has the same id on every node. */
nx_id nx_run_id_derive(nx_slice ns, const nx_id *event_id, uint64_t event_wall_ms, nx_slice function, unsigned generation);
nx_id nx_run_id_new(uint64_t wall_ns, nx_slice function, unsigned shard); /* of a replay */
unsigned nx_run_guest_emits(const nx_run *r);                             /* how many of `emitted` the guest emitted itself: they stand first */
nx_err nx_run_encode(const nx_run *r, nx_buf *out);
/* NX_ECORRUPT with what and where in reterr. Every length is checked; at most the bounds above. */
nx_err nx_run_decode(nx_slice bytes, nx_arena *a, nx_run *ret, nx_error *reterr);
/* The JSON that `runs list --json` (whole false) and `runs show --json` (whole true) print; stable keys. */
nx_err nx_run_to_json(const nx_run *r, bool whole, nx_jw *w);
#endif
