/* nx/bundle.h: one recorded run as one file: event, recording, artifact and settings (docs/BUNDLE.md).
 * Why:       what happened in production is repeated on a laptop, in CI, years later: without a node, a log or a network.
 * Ownership: nx_bundle is a view. What nx_bundle_decode() gives lies in the arena; nothing points into the bytes.
 * Threads:   plain data.
 * Errors:    NX_ECORRUPT says what is wrong and at which byte; NX_ELIMIT, NX_ENOMEM. */
#ifndef NX_BUNDLE_H
#define NX_BUNDLE_H
#include "nx/buf.h"
#include "nx/event.h"
#include "nx/run.h"

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
static inline bool nx_bundle_is_one(nx_slice bytes) { return nx_slice_starts(bytes, NX_SLICE(NX_BUNDLE_MARK)); }
#endif
