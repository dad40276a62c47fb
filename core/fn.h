/* fn.h: making functions; shared by the registry's files. */
#ifndef NX_CORE_FN_H
#define NX_CORE_FN_H
#include "core_internal.h"
#include "nx/artifact.h"
#include "split.h"

#define NX_CORE_MODULE_BYTES_MAX NX_ARTIFACT_BYTES_MAX

nx_err nx_core_read_module(const char *path, nx_buf *out, nx_error *reterr);
nx_err nx_core_settings_digest(const nx_fn_config *f, nx_sha256 *ret); /* equal settings give equal digests */
/* Takes the program, also on failure. */
nx_err nx_core_fn_new(nx_config *cfg, const nx_fn_config *f, const char *version, const nx_sha256 *artifact, const nx_sha256 *settings,
                      nx_rt_program *take_program, nx_core_fn **ret);

/* How a split alias shares events out: by index of its split. The function that holds it is one of them: NULL at its place. */
typedef struct nx_core_others {
    nx_core_split split;
    nx_core_fn *v[NX_CORE_SPLIT_MAX]; /* references */
} nx_core_others;

bool nx_core_is_type_pattern(nx_slice type); /* not one exact type */

/* The set of functions that one apply wants to have. */
typedef struct nx_core_fn_set {
    nx_core_fn **v; /* references */
    unsigned n, cap;
    nx_config **absent; /* references: settings of functions that could not be loaded; their raw subjects are captured all the same */
    unsigned n_absent;
} nx_core_fn_set;
nx_err nx_core_fn_set_add(nx_core_fn_set *s, nx_core_fn *take_fn);
nx_err nx_core_fn_set_add_absent(nx_core_fn_set *s, nx_config *take_cfg);
nx_core_fn *nx_core_fn_set_find(const nx_core_fn_set *s, const char *name); /* not a reference */
void nx_core_fn_set_done(nx_core_fn_set *s);

/* live.c, BLOCKING: adds the registry's live versions whose names are not in the set yet; keeps equal ones from `now`. */
nx_err nx_core_stored_functions(nx_node *n, const nx_core_fn_set *now, nx_core_fn_set *set, nx_error *reterr);

/* live.c, BLOCKING: a stored version, whether it is live or not; its metrics are the caller's to fill in. NX_ENOENT. */
nx_err nx_core_fn_of_version(nx_node *n, const char *name, const char *version, nx_core_fn **ret, nx_error *reterr);

/* snapshot.c: what routing reads. */
nx_err nx_core_snapshot_new(const nx_core_fn_set *set, nx_core_snapshot **ret);
void nx_core_snapshot_free(nx_core_snapshot *s); /* NULL allowed */
nx_err nx_core_snapshot_route(const nx_core_snapshot *s, nx_slice method, nx_slice path, nx_arena *a, nx_ingest_route *ret, nx_slice *ret_allow);
unsigned nx_core_snapshot_subscribers(const nx_core_snapshot *s, nx_slice type, nx_core_fn **ret_first);
/* BLOCKING. cron.c: each schedule of these functions has its timer. */
nx_err nx_core_cron_ensure(nx_node *n, const nx_core_fn_set *set, nx_error *reterr);
#endif
