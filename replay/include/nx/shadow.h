/* nx/shadow.h: a version that runs beside the live one, on the same events, and is promoted once it has proved itself.
 * Why:       a replay of yesterday proves a version against yesterday; a shadow goes on as events come, without touching anything.
 * Ownership: none; a shadow is a job of the kind "shadow" (nx/job.h).
 * Threads:   BLOCKING. */
#ifndef NX_SHADOW_H
#define NX_SHADOW_H
#include "nx/job.h"
#include "nx/registry.h"

typedef struct nx_shadow_proof {
    nx_id job;
    uint64_t events, diffs; /* diffs: what came out otherwise or could not be repeated */
    char against[72];       /* version or digest */
} nx_shadow_proof;

/* Makes the shadowed version live, as far as the newest shadow of the function that is running has handled at least min_events and shows no diff, and stops
 * the shadow. A module without a version becomes one with the live version's settings. NX_ENOENT: no shadow runs. NX_ECONFLICT: not proved; reterr says. */
nx_err nx_shadow_promote(nx_node *n, nx_slice function, uint64_t min_events, nx_shadow_proof *ret, char ret_version[32], nx_error *reterr);

extern const nx_job_kind nx_shadow_job; /* "shadow" */
#endif
