/* bundle_parts.h: the two parts of a bundle that are JSON, and what is covered in one before it leaves a node.
 * Errors: reading gives NX_ECORRUPT with what is wrong. */
#ifndef NX_REPLAY_BUNDLE_PARTS_H
#define NX_REPLAY_BUNDLE_PARTS_H
#include "nx/bundle.h"

/* What the file is: when and by what it was made, what it holds, what was redacted. */
nx_err nx_bundle_manifest_write(const nx_bundle *b, nx_buf *out);
nx_err nx_bundle_manifest_read(nx_slice json, nx_arena *a, nx_bundle *ret, nx_error *reterr);
/* The event without its data. */
nx_err nx_bundle_event_write(const nx_event *e, nx_buf *out);
nx_err nx_bundle_event_read(nx_slice json, nx_arena *a, nx_event *ret, nx_error *reterr);

/* BLOCKING (bundle_redact.c): covers what the recording's function redacts, and `paths`, in event and recording; where that changes anything the
 * recording is made anew. b->artifact is set. */
nx_err nx_bundle_redact(struct nx_node *n, nx_bundle *b, const nx_slice *paths, unsigned n_paths, nx_arena *a, nx_error *reterr);
#endif
