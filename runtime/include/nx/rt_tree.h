/* nx/rt_tree.h: trees of files in memory: what a guest finds under a directory.
 * Why:       a run never opens a path of the host; its files are part of its world (DESIGN 5).
 * Ownership: a tree owns its nodes and their bytes; nx_rt_tree_put_lent() borrows them from the caller for the tree's life.
 * Threads:   a frozen tree may be read by any number of attempts at a time; another one belongs to one thread or attempt.
 * Errors:    NX_ELIMIT (over max_bytes; every node counts for NX_RT_NODE_BYTES and its name beside its data), NX_EINVAL (a path that is
 *            absolute, has "..", an empty or overlong part), NX_EEXIST, NX_ENOMEM. */
#ifndef NX_RT_TREE_H
#define NX_RT_TREE_H
#include "nx/err.h"
#include "nx/slice.h"

#define NX_RT_NODE_BYTES 256u
#define NX_RT_NAME_BYTES 255u  /* longest name of an entry */
#define NX_RT_PATH_BYTES 4096u /* longest path and symbolic link */

typedef struct nx_rt_tree nx_rt_tree;
typedef enum { NX_RT_NODE_FILE,
               NX_RT_NODE_DIR,
               NX_RT_NODE_LINK } nx_rt_node_kind;

nx_err nx_rt_tree_new(uint64_t max_bytes, nx_rt_tree **ret);
void nx_rt_tree_free(nx_rt_tree *t); /* NULL allowed */
/* From now on nothing in it changes: for a guest it is a read-only file system. */
void nx_rt_tree_freeze(nx_rt_tree *t);
/* `path` is relative, parts separated by '/'; folders on the way are made. `bytes`: content of a file (copied), target of a link, nothing of a folder. */
nx_err nx_rt_tree_put(nx_rt_tree *t, nx_slice path, nx_rt_node_kind kind, nx_slice bytes, uint64_t mtime_ns, nx_error *reterr);
nx_err nx_rt_tree_put_lent(nx_rt_tree *t, nx_slice path, nx_slice bytes, uint64_t mtime_ns, nx_error *reterr); /* a file; for frozen trees */

typedef struct nx_rt_tree_item {
    nx_slice path; /* relative to the tree's root */
    nx_rt_node_kind kind;
    nx_slice bytes; /* content, or target */
    uint64_t mtime_ns;
    bool is_changed; /* since nx_rt_tree_mark() */
} nx_rt_tree_item;
/* Folders before what is in them. Slices valid during the call; a return other than NX_OK stops and is returned. */
nx_err nx_rt_tree_each(const nx_rt_tree *t, nx_err (*on_item)(void *self, const nx_rt_tree_item *item), void *self);
void nx_rt_tree_mark(nx_rt_tree *t);
bool nx_rt_tree_has(const nx_rt_tree *t, nx_slice path, nx_rt_node_kind *ret_kind); /* links are not followed */
#endif
