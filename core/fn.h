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

void nx_core_fn_warm(nx_core_fn *fn);        /* BLOCKING, once it runs: does what its `warm` says */
bool nx_core_is_type_pattern(nx_slice type); /* not one exact type */

/* The set of functions that one apply wants to have. */
typedef struct nx_core_fn_set {
    nx_core_fn **v; /* references */
    unsigned n, cap, n_index;
    unsigned *index;    /* by name */
    nx_config **absent; /* references: settings of functions that could not be loaded; their raw subjects are captured all the same */
    unsigned n_absent;
} nx_core_fn_set;
nx_err nx_core_fn_set_add(nx_core_fn_set *s, nx_core_fn *take_fn);
nx_err nx_core_fn_set_add_absent(nx_core_fn_set *s, nx_config *take_cfg);
nx_core_fn *nx_core_fn_set_find(const nx_core_fn_set *s, const char *name); /* not a reference */
void nx_core_fn_set_done(nx_core_fn_set *s);

/* ---- slot.c; under apply_mu where it says nothing else */
/* What the server has of functions' consumers. */
typedef struct nx_core_consumers {
    nx_arena arena;
    const char **timed; /* functions whose timers it has one for, sorted */
    unsigned n_timed;
    nx_fab_seen *seen; /* of those that are to be opened; NULL: each is asked for */
} nx_core_consumers;
nx_err nx_core_consumers_read(nx_node *n, nx_core_consumers *ret, nx_error *reterr); /* BLOCKING; any thread: `timed` */
void nx_core_consumers_done(nx_core_consumers *c);                                   /* a zeroed one is allowed */
/* BLOCKING, after the former: `seen`, of functions that have no slot yet. Those that are new or changed are made then. */
nx_err nx_core_consumers_see(nx_node *n, nx_core_fn *const *fns, unsigned n_fns, nx_core_consumers *c, nx_error *reterr);

nx_core_slot *nx_core_slot_find(const nx_node *n, const char *name); /* under apply_mu or snap_mu */
void nx_core_slot_link(nx_node *n, nx_core_slot *s);                 /* this and the next under both */
nx_core_slot *nx_core_slot_unlink(nx_node *n, nx_core_slot **at);
/* BLOCKING: a slot whose consumers run with this function's filters; the function itself is put in by the swap. */
nx_err nx_core_slot_open(nx_node *n, nx_core_fn *fn, const nx_core_consumers *there, nx_core_slot **ret, nx_error *reterr);
nx_err nx_core_slot_consume(nx_core_slot *s, nx_core_fn *fn, const nx_core_consumers *there, nx_error *reterr); /* BLOCKING: one that was closed */
nx_err nx_core_slot_expect_timers(nx_core_slot *s, const nx_core_fn *fn, const nx_core_consumers *there, nx_error *reterr);
void nx_core_slot_close(nx_core_slot *s, bool remove); /* BLOCKING */
void nx_core_slot_free(nx_core_slot *s);
void nx_core_slot_set(nx_core_slot *s, nx_core_fn *take_fn);

/* live.c, BLOCKING: the live version of one function, loaded; NX_ENOENT: it has none, or it can't be loaded. */
nx_err nx_core_stored_function(nx_node *n, const char *name, const nx_core_fn *now, nx_core_fn **ret, nx_error *reterr);
/* live.c, BLOCKING: adds the registry's live versions whose names are not in the set yet; keeps equal ones from `now`. */
nx_err nx_core_stored_functions(nx_node *n, const nx_core_fn_set *now, nx_core_fn_set *set, nx_error *reterr);

/* live.c, BLOCKING: a stored version, whether it is live or not; its metrics are the caller's to fill in. NX_ENOENT. */
nx_err nx_core_fn_of_version(nx_node *n, const char *name, const char *version, nx_core_fn **ret, nx_error *reterr);

/* snapshot.c: what routing reads. */
nx_err nx_core_snapshot_new(const nx_core_fn_set *set, nx_core_snapshot **ret);
void nx_core_snapshot_free(nx_core_snapshot *s); /* NULL allowed */
nx_err nx_core_snapshot_route(const nx_core_snapshot *s, nx_slice method, nx_slice path, nx_arena *a, nx_ingest_route *ret, nx_slice *ret_allow);
const nx_core_fn *nx_core_snapshot_owner(const nx_core_snapshot *s, nx_slice method, nx_slice path); /* of a route; NULL: nobody. Lent by s */
int nx_core_route_cmp(const void *a, const void *b);                                                 /* of two nx_core_fn *, for qsort() */
unsigned nx_core_snapshot_subscribers(const nx_core_snapshot *s, nx_slice type, nx_core_fn **ret_first);
/* BLOCKING. cron.c: each schedule of these functions has its timer. */
nx_err nx_core_cron_ensure(nx_node *n, const nx_core_fn_set *set, nx_error *reterr);
#endif
