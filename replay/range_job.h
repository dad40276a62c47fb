/* range_job.h: what jobs that repeat recorded runs have in common: their specs.
 * Spec: {"function", "status", "type", "since", "until", "against", "artifact", "effects", "rate"}, each optional, times as RFC 3339. */
#ifndef NX_REPLAY_RANGE_JOB_H
#define NX_REPLAY_RANGE_JOB_H
#include "range.h"

/* Checks what was asked and writes it into the open object of `w`. `against` becomes an artifact now. */
nx_err nx_range_spec_write(nx_node *n, const nx_json *asked, nx_jw *w, nx_error *reterr);
/* Lends from `spec`. */
nx_err nx_range_spec_read(const nx_json *spec, nx_range_options *ret, nx_error *reterr);
#endif
