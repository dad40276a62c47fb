/* nx/registry.h: the functions and versions a node knows: what replay and the admin API read.
 * Ownership: functions are reference-counted; _find gives a reference.
 * Threads:   any. BLOCKING ones talk to the log. */
#ifndef NX_REGISTRY_H
#define NX_REGISTRY_H
#include "nx/fab.h"
#include "nx/gateway.h"
#include "nx/metrics.h"
#include "nx/node.h"
#include "nx/obs_log.h"
#include "nx/rt.h"

typedef struct nx_core_fn nx_core_fn;

/* The node's parts, lent while the node lives. */
nx_rt *nx_core_runtime(nx_node *n);
nx_rt_share *nx_core_own_share(nx_node *n); /* of attempts that belong to no function: a node that stops ends them */
nx_fab_ns *nx_core_namespace(nx_node *n);
const nx_id *nx_core_node_id(const nx_node *n);
nx_metrics *nx_core_metrics(nx_node *n);
void *nx_core_part(nx_node *n);         /* what nx_node_options.part started; NULL: none, or not yet */
uint32_t nx_core_audit_ppm(nx_node *n); /* replay.audit, in millionths */
bool nx_core_is_idle(nx_node *n);       /* nothing runs or is queued in this process, no event is in hand */

/* BLOCKING: the program of an artifact: from memory, the cache, or the log's artifacts. A reference. NX_ENOENT: the artifact is gone. */
nx_err nx_core_program_get(nx_node *n, const nx_sha256 *artifact, uint64_t memory_bytes, nx_rt_program **ret, nx_error *reterr);
/* Code of a function is named by a version ("v3", "dev-1a2b3c4d") or an alias; empty is the alias `live`, which in a project is what runs. */

/* BLOCKING: its artifact. NX_ECONFLICT: an alias that is split. */
nx_err nx_core_version_artifact(nx_node *n, nx_slice function, nx_slice version, nx_sha256 *ret, nx_error *reterr);

/* BLOCKING: appends the settings as JSON. NX_ENOENT: they are not known (any more). */
nx_err nx_core_version_settings(nx_node *n, nx_slice function, nx_slice version, nx_buf *out, nx_error *reterr);

/* One version: what runs (artifact) and how (settings). */
typedef struct nx_core_version {
    char name[32]; /* "v3", "dev-1a2b3c4d" */
    nx_sha256 artifact;
    struct nx_config *cfg;               /* a reference, which holds the settings */
    const struct nx_fn_config *settings; /* environment, limits, input, … */
} nx_core_version;
/* BLOCKING. NX_ENOENT; NX_ECONFLICT: the alias is split, so it stands for no one version. */
nx_err nx_core_version_get(nx_node *n, nx_slice function, nx_slice code, nx_core_version *ret, nx_error *reterr);
/* BLOCKING: the same for one event, which decides where an alias is split; `event` NULL: as above. */
nx_err nx_core_version_for(nx_node *n, nx_slice function, nx_slice code, const nx_event *event, nx_core_version *ret, nx_error *reterr);
/* BLOCKING: the live one; where `live` is split, that which gets most events. */
nx_err nx_core_version_live(nx_node *n, nx_slice function, nx_core_version *ret, nx_error *reterr);
void nx_core_version_done(nx_core_version *v); /* a zeroed one is allowed */
/* BLOCKING: the numbers of all stored versions of a function, ascending. NX_ENOENT: it has none. */
nx_err nx_core_version_numbers(nx_node *n, nx_slice function, nx_arena *a, unsigned **ret, unsigned *ret_n, nx_error *reterr);
/* The world of host calls; self is the node. */
const nx_effect_ops *nx_core_effects(void);

/* BLOCKING: makes an immutable numbered version of an uploaded artifact and settings, and names it by an alias; `live` runs it here and everywhere.
 * An equal version that the alias names already is given back instead (*ret_created false). */
typedef struct nx_core_deployment {
    nx_slice function;
    nx_sha256 artifact;
    nx_slice settings; /* the function's JSON object */
    nx_slice alias;    /* empty: none */
    unsigned share;    /* of the alias, in hundredths of a percent; 0: all of it */
    /* Since when a new function with `ordering: key` takes stored events, which it begins with; a time or a span before now. Empty: not at all. Others
     * get them by a job afterwards. */
    nx_slice from;
    unsigned from_rate; /* events a second; 0: as fast as it goes */
    nx_effects_policy from_effects;
} nx_core_deployment;
nx_err nx_core_deploy(nx_node *n, const nx_core_deployment *d, char ret_version[32], bool *ret_created, nx_error *reterr);
/* BLOCKING: makes a stored version the live one, here and on every node of the namespace. NX_ENOENT: there is no such version. */
nx_err nx_core_make_live(nx_node *n, nx_slice function, nx_slice version, nx_error *reterr);
#endif
