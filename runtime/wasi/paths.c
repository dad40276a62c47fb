/* wasi/paths.c: calls that name a file by a folder's descriptor and a path below it. */
#include "wasi/files.h"

enum { OPEN_CREATE = 1,
       OPEN_DIRECTORY = 2,
       OPEN_EXCLUSIVE = 4,
       OPEN_TRUNCATE = 8 };
#define FOLLOW 1u

/* The folder of the descriptor in parameter `dir` and the path in `path` and `path` + 1, both traced, resolved into `w`. */
static uint8_t resolve(nx_rt_call *c, nx_rt_walk *w, unsigned dir, unsigned path, uint64_t right, nx_rt_last last)
{
    nx_rt_trace_value(c->w, c->args[dir]);
    const nx_rt_open *o = nx_rt_open_at(c->w, c->args[dir]);
    const uint8_t *p = nx_rt_mem_at(c, c->args[path], c->args[path + 1]);
    if (!p) return NX_WASI_EFAULT;
    nx_rt_trace_bytes(c->w, p, (size_t)c->args[path + 1]);
    if (!o) return c->w->end == NX_RT_END_NOMEM ? NX_WASI_END : NX_WASI_EBADF;
    if (o->kind != NX_RT_FD_DIR) return NX_WASI_ENOTDIR;
    if ((o->rights & right) != right) return NX_WASI_ENOTCAPABLE;
    return nx_rt_walk_path(w, o->node, nx_slice_make(p, (size_t)c->args[path + 1]), last);
}

/* __wasi_lookupflags_t in parameter 1. */
static uint8_t check_lookup(const nx_rt_call *c) { return c->args[1] > FOLLOW ? NX_WASI_EINVAL : NX_WASI_OK; }
static nx_rt_last last_of(const nx_rt_call *c) { return c->args[1] & FOLLOW ? NX_RT_LAST_FOLLOWED : NX_RT_LAST_SEEN; }

/* May a new entry stand there? */
static uint8_t check_free(const nx_rt_place *at)
{
    if (at->node) return NX_WASI_EEXIST;
    return at->parent->tree->is_frozen ? NX_WASI_EROFS : NX_WASI_OK;
}

/* A new node under the place's name. */
static uint8_t make(nx_rt_call *c, const nx_rt_place *at, nx_rt_node_kind kind, nx_rt_node **ret)
{
    nx_rt_node *n;
    uint8_t err = nx_rt_node_new(at->parent->tree, kind, c->w->now_ns, &n);
    if (err) return err;
    nx_rt_node_open(n); /* so that a failure below frees it */
    err = nx_rt_dir_add(at->parent, at->name, n, c->w->now_ns);
    if (!err) *ret = n;
    nx_rt_node_close(n);
    return err;
}

/* ---- path_open (directory, lookup flags, path, length, open flags, rights, inheriting, fd flags, fd) */

static uint8_t check_existing(const nx_rt_place *at, uint64_t flags, uint64_t rights)
{
    const nx_rt_node *n = at->node;
    if ((flags & (OPEN_CREATE | OPEN_EXCLUSIVE)) == (OPEN_CREATE | OPEN_EXCLUSIVE)) return NX_WASI_EEXIST;
    if (n->kind == NX_RT_NODE_LINK) return NX_WASI_ELOOP;
    if (n->kind == NX_RT_NODE_FILE) {
        if (flags & OPEN_DIRECTORY) return NX_WASI_ENOTDIR;
        bool writes = (rights & (NX_RT_RIGHT_WRITE | NX_RT_RIGHT_ALLOCATE | NX_RT_RIGHT_SET_SIZE)) || (flags & OPEN_TRUNCATE);
        return writes && n->tree->is_frozen ? NX_WASI_EROFS : NX_WASI_OK;
    }
    return flags & (OPEN_TRUNCATE | OPEN_CREATE) || rights & NX_RT_RIGHT_WRITE ? NX_WASI_EISDIR : NX_WASI_OK;
}

static uint8_t find_or_create(nx_rt_call *c, const nx_rt_place *at, uint64_t flags, const nx_rt_open *dir, nx_rt_node **ret)
{
    uint8_t err;
    if (at->node) {
        err = check_existing(at, flags, c->args[5] & dir->inheriting);
        if (!err && (flags & OPEN_TRUNCATE)) err = nx_rt_file_resize(at->node, 0, c->w->now_ns);
        *ret = at->node;
        return err;
    }
    if (!(flags & OPEN_CREATE)) return NX_WASI_ENOENT;
    if (at->is_folder) return NX_WASI_EISDIR;
    err = check_free(at);
    return err ? err : make(c, at, NX_RT_NODE_FILE, ret);
}

NX_RT_HANDLER(path_open)
{
    nx_rt_walk w;
    uint64_t flags = c->args[4], wanted = NX_RT_RIGHT_PATH_OPEN;
    if (flags & OPEN_TRUNCATE) wanted |= NX_RT_RIGHT_PATH_SET_SIZE;
    if (flags & OPEN_CREATE) wanted |= NX_RT_RIGHT_CREATE_FILE;
    bool is_exclusive = flags & OPEN_EXCLUSIVE && flags & OPEN_CREATE;
    uint8_t err = resolve(c, &w, 0, 2, wanted, is_exclusive ? NX_RT_LAST_SEEN : last_of(c));
    if (!err) err = check_lookup(c);
    if (err) return err;
    nx_rt_trace_value(c->w, flags);
    if (flags > 15 || c->args[7] > NX_RT_FLAGS_ALL || (flags & OPEN_CREATE && flags & OPEN_DIRECTORY)) return NX_WASI_EINVAL;
    if (!nx_rt_mem_at(c, c->args[8], 4)) return NX_WASI_EFAULT;
    err = nx_rt_open_reserve(c->w); /* before anything is made or cut, and before `dir`: it may move the descriptors */
    if (err) return err;
    const nx_rt_open *dir = nx_rt_open_at(c->w, c->args[0]);
    nx_rt_node *node;
    err = find_or_create(c, &w.place, flags, dir, &node);
    if (err) return err;
    bool is_dir = node->kind == NX_RT_NODE_DIR;
    uint64_t all = is_dir ? NX_RT_RIGHTS_DIR : NX_RT_RIGHTS_FILE;
    const nx_rt_open o = {.kind = is_dir ? NX_RT_FD_DIR : NX_RT_FD_FILE,
                          .flags = (uint16_t)c->args[7],
                          .rights = c->args[5] & dir->inheriting & all,
                          .inheriting = c->args[6] & dir->inheriting,
                          .node = node};
    uint32_t fd;
    err = nx_rt_open_add(c->w, &o, &fd);
    if (err) return err;
    nx_rt_trace_value(c->w, fd);
    (void)nx_rt_mem_store_u32(c, c->args[8], fd);
    return NX_WASI_OK;
}

/* ---- what is there */

/* (directory, lookup flags, path, length, pointer) */
NX_RT_HANDLER(path_filestat_get)
{
    nx_rt_walk w;
    uint8_t err = resolve(c, &w, 0, 2, NX_RT_RIGHT_PATH_STAT, last_of(c));
    if (!err) err = check_lookup(c);
    if (err) return err;
    return w.place.node ? nx_rt_put_filestat(c, c->args[4], w.place.node) : NX_WASI_ENOENT;
}

/* (directory, lookup flags, path, length, atim, mtim, flags) */
NX_RT_HANDLER(path_filestat_set_times)
{
    nx_rt_walk w;
    uint8_t err = resolve(c, &w, 0, 2, NX_RT_RIGHT_PATH_SET_TIMES, last_of(c));
    if (!err) err = check_lookup(c);
    if (err) return err;
    return w.place.node ? nx_rt_set_times(c, 4, w.place.node) : NX_WASI_ENOENT;
}

/* (directory, path, length, buffer, length, bytes used) */
NX_RT_HANDLER(path_readlink)
{
    nx_rt_walk w;
    uint8_t err = resolve(c, &w, 0, 1, NX_RT_RIGHT_READLINK, NX_RT_LAST_SEEN);
    if (err) return err;
    const nx_rt_node *n = w.place.node;
    if (!n) return NX_WASI_ENOENT;
    if (n->kind != NX_RT_NODE_LINK) return NX_WASI_EINVAL;
    uint8_t *p = nx_rt_mem_at(c, c->args[3], c->args[4]);
    if (!p || !nx_rt_mem_at(c, c->args[5], 4)) return NX_WASI_EFAULT;
    size_t used = nx_rt_file_read(n, 0, p, (size_t)c->args[4]);
    (void)nx_rt_mem_store_u32(c, c->args[5], (uint32_t)used);
    return NX_WASI_OK;
}

/* ---- what is made */

NX_RT_HANDLER(path_create_directory)
{
    nx_rt_walk w;
    nx_rt_node *made;
    uint8_t err = resolve(c, &w, 0, 1, NX_RT_RIGHT_CREATE_DIRECTORY, NX_RT_LAST_NAMED);
    if (!err) err = check_free(&w.place);
    return err ? err : make(c, &w.place, NX_RT_NODE_DIR, &made);
}

/* (target, length, directory, path, length) */
NX_RT_HANDLER(path_symlink)
{
    nx_rt_walk w;
    nx_rt_node *link;
    size_t written;
    uint8_t err = resolve(c, &w, 2, 3, NX_RT_RIGHT_SYMLINK, NX_RT_LAST_NAMED);
    if (err) return err;
    const uint8_t *target = nx_rt_mem_at(c, c->args[0], c->args[1]);
    if (!target) return NX_WASI_EFAULT;
    if (c->args[1] == 0) return NX_WASI_ENOENT;
    if (c->args[1] > NX_RT_PATH_BYTES) return NX_WASI_ENAMETOOLONG;
    if (memchr(target, 0, (size_t)c->args[1])) return NX_WASI_EINVAL;
    if (!nx_slice_is_utf8(nx_slice_make(target, (size_t)c->args[1]))) return NX_WASI_EILSEQ;
    if (target[0] == '/') return NX_WASI_EPERM;
    if (w.place.is_folder) return w.place.node ? NX_WASI_EEXIST : NX_WASI_ENOENT;
    err = check_free(&w.place);
    if (!err) err = make(c, &w.place, NX_RT_NODE_LINK, &link);
    if (err) return err;
    err = nx_rt_file_write(link, 0, target, (size_t)c->args[1], c->w->now_ns, &written);
    if (!err && written == c->args[1]) return NX_WASI_OK;
    nx_rt_dir_remove(w.place.parent, nx_rt_dir_find(w.place.parent, w.place.name), c->w->now_ns);
    return err ? err : NX_WASI_ENOSPC;
}

/* (directory, lookup flags, path, length, new directory, path, length) */
NX_RT_HANDLER(path_link)
{
    nx_rt_walk from, to;
    uint8_t err = resolve(c, &from, 0, 2, NX_RT_RIGHT_LINK_SOURCE, last_of(c));
    if (!err) err = check_lookup(c);
    if (!err) err = resolve(c, &to, 4, 5, NX_RT_RIGHT_LINK_TARGET, NX_RT_LAST_NAMED);
    if (err) return err;
    if (!from.place.node) return NX_WASI_ENOENT;
    if (from.place.node->kind == NX_RT_NODE_DIR) return NX_WASI_EPERM;
    if (to.place.is_folder) return to.place.node ? NX_WASI_EEXIST : NX_WASI_ENOENT;
    err = check_free(&to.place);
    if (!err && from.place.node->tree != to.place.parent->tree) err = NX_WASI_EXDEV;
    if (!err && from.place.node->n_links >= NX_RT_LINKS_MAX) err = NX_WASI_EMLINK;
    return err ? err : nx_rt_dir_add(to.place.parent, to.place.name, from.place.node, c->w->now_ns);
}

/* ---- what goes */

/* The place holds an entry that may be taken away. */
static uint8_t check_removable(const nx_rt_place *at)
{
    if (!at->node) return NX_WASI_ENOENT;
    if (!at->parent) return NX_WASI_EINVAL; /* "." and "..": the folder's own name is not known here */
    return at->parent->tree->is_frozen ? NX_WASI_EROFS : NX_WASI_OK;
}

NX_RT_HANDLER(path_remove_directory)
{
    nx_rt_walk w;
    uint8_t err = resolve(c, &w, 0, 1, NX_RT_RIGHT_REMOVE_DIRECTORY, NX_RT_LAST_NAMED);
    if (!err) err = check_removable(&w.place);
    if (err) return err;
    if (w.place.node->kind != NX_RT_NODE_DIR) return NX_WASI_ENOTDIR;
    if (w.place.node->n_entries) return NX_WASI_ENOTEMPTY;
    nx_rt_dir_remove(w.place.parent, w.place.entry, c->w->now_ns);
    return NX_WASI_OK;
}

NX_RT_HANDLER(path_unlink_file)
{
    nx_rt_walk w;
    uint8_t err = resolve(c, &w, 0, 1, NX_RT_RIGHT_UNLINK, NX_RT_LAST_NAMED);
    if (!err && w.place.node && w.place.node->kind == NX_RT_NODE_DIR) err = NX_WASI_EISDIR;
    if (!err) err = check_removable(&w.place);
    if (!err) nx_rt_dir_remove(w.place.parent, w.place.entry, c->w->now_ns);
    return err;
}

/* May `from` take the place `to`, where something may stand already? */
static uint8_t check_rename(const nx_rt_place *from, const nx_rt_place *to)
{
    uint8_t err = check_removable(from);
    if (err) return err;
    if (!to->parent) return NX_WASI_EBUSY;
    if (from->parent->tree != to->parent->tree) return to->parent->tree->is_frozen ? NX_WASI_EROFS : NX_WASI_EXDEV;
    bool is_dir = from->node->kind == NX_RT_NODE_DIR;
    if (is_dir && nx_rt_dir_is_within(to->parent, from->node)) return NX_WASI_EINVAL;
    if (!to->node) return to->is_folder && !is_dir ? NX_WASI_ENOTDIR : NX_WASI_OK;
    bool onto_dir = to->node->kind == NX_RT_NODE_DIR;
    if (is_dir != onto_dir) return onto_dir ? NX_WASI_EISDIR : NX_WASI_ENOTDIR;
    return onto_dir && to->node != from->node && to->node->n_entries ? NX_WASI_ENOTEMPTY : NX_WASI_OK;
}

/* (directory, path, length, new directory, path, length) */
NX_RT_HANDLER(path_rename)
{
    nx_rt_walk from, to;
    uint8_t err = resolve(c, &from, 0, 1, NX_RT_RIGHT_RENAME_SOURCE, NX_RT_LAST_NAMED);
    if (!err) err = resolve(c, &to, 3, 4, NX_RT_RIGHT_RENAME_TARGET, NX_RT_LAST_NAMED);
    if (!err) err = check_rename(&from.place, &to.place);
    if (err || from.place.node == to.place.node) return err; /* two names of one file: nothing to do (POSIX) */
    nx_rt_node *node = from.place.node, *parent = from.place.parent;
    nx_slice name = from.place.name;
    nx_rt_node_open(node);
    if (to.place.entry) nx_rt_dir_replace(to.place.parent, to.place.entry, node, c->w->now_ns);
    else err = nx_rt_dir_add(to.place.parent, to.place.name, node, c->w->now_ns);
    if (!err) nx_rt_dir_remove(parent, nx_rt_dir_find(parent, name), c->w->now_ns);
    nx_rt_node_close(node);
    return err;
}
