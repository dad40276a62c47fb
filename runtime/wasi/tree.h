/* wasi/tree.h: the nodes of nx/rt_tree.h, and what WASI's calls do with them. Errors here are WASI's errno.
 * Ownership: a tree's list holds every node that was made in it until the tree goes, unlinked ones only while they are open. Entries of a
 *            folder may lead into another, frozen tree. */
#ifndef NX_RT_WASI_TREE_H
#define NX_RT_WASI_TREE_H
#include "nx/rt_tree.h"
#include "wasi/errno.h"

typedef struct nx_rt_node nx_rt_node;

typedef struct nx_rt_entry {
    nx_rt_node *node;
    uint64_t cookie; /* grows; a reader of the folder continues behind the one it has seen, whatever was removed meanwhile */
    uint32_t name_n;
    char *name;
} nx_rt_entry;

struct nx_rt_node {
    nx_rt_tree *tree;
    nx_rt_node *next, **link; /* in the tree's list */
    nx_rt_node_kind kind;
    bool is_changed;
    uint64_t inode, atime_ns, mtime_ns, ctime_ns;
    uint32_t n_links, n_open; /* of nodes that can change */
    uint8_t *bytes;           /* of a file or link; lent where capacity is 0 */
    uint64_t n_bytes, capacity;
    nx_rt_entry *entries; /* of a folder, by cookie */
    uint32_t n_entries, entries_capacity;
    uint64_t next_cookie;
    nx_rt_node *parent; /* of a folder; itself: a root */
};

struct nx_rt_tree {
    nx_rt_node *nodes, *root;
    uint64_t used_bytes, max_bytes, next_inode;
    uint32_t device; /* of several that one attempt has, its own */
    bool is_frozen;
};

/* NX_WASI_ENOSPC, NX_WASI_ENOMEM; the node stands in no folder yet. */
uint8_t nx_rt_node_new(nx_rt_tree *t, nx_rt_node_kind kind, uint64_t now_ns, nx_rt_node **ret);
void nx_rt_node_open(nx_rt_node *n);
void nx_rt_node_close(nx_rt_node *n);                              /* the last user of an unlinked node gives its memory back */
nx_rt_entry *nx_rt_dir_find(const nx_rt_node *dir, nx_slice name); /* NULL: none; valid until the folder changes */
/* NX_WASI_EROFS, ENAMETOOLONG, ENOENT (the folder itself was removed), ENOSPC, ENOMEM. */
uint8_t nx_rt_dir_add(nx_rt_node *dir, nx_slice name, nx_rt_node *node, uint64_t now_ns);
void nx_rt_dir_replace(nx_rt_node *dir, nx_rt_entry *e, nx_rt_node *node, uint64_t now_ns); /* `node` takes the entry over */
void nx_rt_dir_remove(nx_rt_node *dir, nx_rt_entry *e, uint64_t now_ns);                    /* what stood there loses a link */
bool nx_rt_dir_is_within(const nx_rt_node *dir, const nx_rt_node *ancestor);
/* Grown by zeros. NX_WASI_EROFS, NX_WASI_EFBIG, NX_WASI_ENOSPC, NX_WASI_ENOMEM. */
uint8_t nx_rt_file_resize(nx_rt_node *file, uint64_t n_bytes, uint64_t now_ns);
/* Writes as much as there is room for; NX_WASI_ENOSPC only when that is nothing. */
uint8_t nx_rt_file_write(nx_rt_node *file, uint64_t at, const uint8_t *p, size_t n, uint64_t now_ns, size_t *ret_n);
size_t nx_rt_file_read(const nx_rt_node *file, uint64_t at, uint8_t *p, size_t n);

/* Where a path leads, from a folder that it can't leave. */
typedef struct nx_rt_place {
    nx_rt_node *parent; /* folder that holds, or would hold, the last part; NULL where the path is the starting folder itself */
    nx_rt_entry *entry; /* NULL: there is none */
    nx_rt_node *node;   /* what the path names; NULL: nothing yet */
    nx_slice name;      /* last part; lies in the walker's buffer */
    bool is_folder;     /* the path ends in a slash: only a folder may stand there */
} nx_rt_place;

typedef struct nx_rt_walk {
    nx_rt_place place;
    char rest[2 * NX_RT_PATH_BYTES]; /* of the path, links replaced by their targets */
} nx_rt_walk;
/* What happens to a link that is the path's last part. */
typedef enum {
    NX_RT_LAST_NAMED,   /* it is meant itself: entries are made and taken away by name */
    NX_RT_LAST_SEEN,    /* likewise, but a slash behind it follows it */
    NX_RT_LAST_FOLLOWED /* it leads on */
} nx_rt_last;
/* NX_WASI_EPERM (absolute, or above the start), ENOENT (a part before the last), ENOTDIR, ELOOP, ENAMETOOLONG, EILSEQ (not UTF-8), EINVAL (a NUL). */
uint8_t nx_rt_walk_path(nx_rt_walk *w, nx_rt_node *start, nx_slice path, nx_rt_last last);
#endif
