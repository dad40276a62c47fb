/* nx/bundle.h: one recorded run as one file: event, recording, artifact and settings (docs/BUNDLE.md).
 * Why:       what happened in production is repeated on a laptop, in CI, years later: without a node, a log or a network.
 * Ownership: nx_bundle is a view. What nx_bundle_decode() gives lies in the arena; nothing points into the bytes.
 * Threads:   plain data; nx_bundle_make() and nx_bundle_repeat() block.
 * Errors:    NX_ECORRUPT says what is wrong and at which byte; NX_ELIMIT, NX_ENOMEM. */
#ifndef NX_BUNDLE_H
#define NX_BUNDLE_H
#include "nx/buf.h"
#include "nx/explain.h"

#define NX_BUNDLE_MARK "NXB1"
#define NX_BUNDLE_BYTES_MAX (256u << 20) /* of a file, and of all that is in it */
#define NX_BUNDLE_REDACTED_MAX 64

typedef struct nx_bundle {
    uint64_t created_wall_ns;
    nx_slice created_by; /* "nexus 0.2.0" */
    nx_slice redacted[NX_BUNDLE_REDACTED_MAX];
    unsigned n_redacted;   /* paths whose values were replaced in the event; see docs/PRIVACY.md */
    bool is_rerecorded;    /* the recording was made with the redacted event: it repeats, but it is not what ran in production */
    nx_slice first_status; /* of the run in production, where is_rerecorded */
    nx_event event;
    nx_run run;
    nx_slice artifact; /* the module; its SHA-256 is run.artifact */
    nx_slice settings; /* the version's settings (JSON object); may be empty */
} nx_bundle;

/* Appends the file. Event, run and artifact have to belong together (NX_EINVAL). */
nx_err nx_bundle_encode(const nx_bundle *b, nx_buf *out, nx_error *reterr);
/* Every length is checked before it is believed, every digest compared, and that the parts belong together. */
nx_err nx_bundle_decode(nx_slice bytes, nx_arena *a, nx_bundle *ret, nx_error *reterr);
/* ---- making and repeating ------------------------------------------------------------------------------------------------------------------ */

struct nx_node;

typedef struct nx_bundle_request {
    nx_slice what;       /* an event (id, unique suffix, @last), or a run's id */
    nx_slice function;   /* whose run; empty: the only one that ran the event */
    nx_slice created_by; /* "nexus 0.2.0" */
    const nx_slice *redact;
    unsigned n_redact; /* further paths to cover, beside those of the recording's function */
} nx_bundle_request;

/* BLOCKING: appends the bundle of a recorded run on a node. Values that have to be covered are covered in the event too, and the recording is made anew
 * with that event; the log is not changed. NX_ENOENT (no such event or run, the module is gone), NX_ECONFLICT (several functions ran
 * the event: reterr names them; or the run is itself a replay; or the function does not come to an end with the covered event). */
nx_err nx_bundle_make(struct nx_node *n, const nx_bundle_request *q, nx_buf *out, nx_error *reterr);

/* Repeats a bundle's run: on its own module, or on `other` (empty: none), by `how`, whose version and artifact are filled where they are empty.
 * Blocks while a module is compiled that the cache of `rt` does not have. The result is lent by p, and its digest by `hex`. */
const nx_replay_result *nx_bundle_repeat(nx_replay_repetition *p, nx_rt *rt, const nx_bundle *b, nx_slice other, const nx_replay_how *how,
                                         char hex[NX_SHA256_HEX + 1]);
/* Adds to a copy of that result what can be told of a difference (nx/explain.h). */
void nx_bundle_explain(nx_replay_explanation *ret, nx_rt *rt, const nx_bundle *b, nx_slice other, const nx_replay_how *how, nx_replay_result *r);

static inline bool nx_bundle_is_one(nx_slice bytes) { return nx_slice_starts(bytes, NX_SLICE(NX_BUNDLE_MARK)); }
/* Which run it is and what was covered, as members of an open object: of the manifest, and of what `nexus bundle --json` says. */
void nx_bundle_run_to_json(const nx_bundle *b, nx_jw *w);
#endif
