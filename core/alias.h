/* alias.h: aliases: movable names for versions, split between several or not, in the registry. `live` is the one that runs.
 * Why:       versions never change; what changes is which of them a name stands for. That is one small record, changed by compare-and-set, which
 *            every node follows: so a rollback needs no build, and nothing else to be stored.
 * Ownership: nx_core_alias is plain data.
 * Threads:   any; all of it BLOCKING.
 * Errors:    NX_ENOENT: no such function, version or alias. NX_ECONFLICT: the versions can't share events, or others keep changing the alias.
 * Stored:    fn.<function>.live, fn.<function>.alias.<alias>: {"traffic": […], "changed_at", "before": [[…], …]}. A plain "v3" is read too. */
#ifndef NX_CORE_ALIAS_H
#define NX_CORE_ALIAS_H
#include "core_internal.h"
#include "split.h"

#define NX_CORE_LIVE "live"
#define NX_CORE_ALIAS_BYTES 32 /* of its name, with its end */
#define NX_CORE_BEFORE_MAX 10u /* changes that can be rolled back */
#define NX_CORE_FN_KEY_BYTES (NX_FUNCTION_NAME_BYTES + NX_CORE_ALIAS_BYTES + 16)

typedef struct nx_core_alias {
    nx_core_split split; /* n 0: it is not set */
    char changed_at[NX_RFC3339_MAX + 1];
    nx_core_split before[NX_CORE_BEFORE_MAX]; /* what it was, newest first */
    unsigned n_before;
    uint64_t revision;
} nx_core_alias;

/* "v3" and "dev-…" are versions, "recorded" means a recording; neither can be an alias. */
nx_err nx_core_alias_check(nx_slice name, nx_error *reterr);
bool nx_core_is_version_name(nx_slice name); /* of a version, stored or of a project */
/* Of a key of the registry below fn.: function and alias. False: the key is another's. */
bool nx_core_alias_key_parse(nx_slice key, nx_slice *ret_function, nx_slice *ret_alias);
nx_err nx_core_alias_parse(nx_slice value, nx_core_alias *ret);
nx_err nx_core_alias_get(nx_node *n, const char *function, const char *alias, nx_core_alias *ret, nx_error *reterr);

/* How an alias changes. Each is checked first: the versions are there and can run here, and those of `live` have the same triggers. On success the
 * node runs it, where it is `live`, and the others follow; on failure the alias is what it was. ret_now may be NULL. */
nx_err nx_core_alias_set(nx_node *n, const char *function, const char *alias, const nx_json *traffic, nx_core_alias *ret_now, nx_error *reterr);
/* It becomes what `from` is, a version or another alias. */
nx_err nx_core_alias_copy(nx_node *n, const char *function, const char *alias, const char *from, nx_core_alias *ret_now, nx_error *reterr);
/* Gives `share` to one version; the rest stays with the version that gets most. NX_CORE_SHARE_ALL: everything to it. */
nx_err nx_core_alias_give(nx_node *n, const char *function, const char *alias, const char *version, unsigned share, nx_error *reterr);
/* What was before the last change; with `to`, the newest of before that is this version, and where there is none, the version all the same.
 * NX_ECONFLICT: there is nothing before. */
nx_err nx_core_alias_roll_back(nx_node *n, const char *function, const char *alias, const char *to, nx_core_alias *ret_now, nx_core_split *ret_from,
                               nx_error *reterr);
nx_err nx_core_alias_remove(nx_node *n, const char *function, const char *alias, nx_error *reterr); /* never `live` */

/* One alias as an object: namespace, function, alias, traffic, changed_at, before. */
void nx_core_alias_to_json(nx_node *n, const char *function, const char *alias, const nx_core_alias *a, nx_jw *w);
#endif
