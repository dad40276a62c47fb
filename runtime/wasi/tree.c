/* wasi/tree.c: nodes, folders and file contents, within the tree's limit. */
#include "wasi/tree.h"

#include <stdlib.h>
#include <string.h>

#define FILE_GROWTH_MIN 64u

static bool take_room(nx_rt_tree *t, uint64_t n)
{
    if (n > t->max_bytes - t->used_bytes) return false;
    t->used_bytes += n;
    return true;
}

static void give_room(nx_rt_tree *t, uint64_t n) { t->used_bytes -= n; }

/* ---- nodes */

uint8_t nx_rt_node_new(nx_rt_tree *t, nx_rt_node_kind kind, uint64_t now_ns, nx_rt_node **ret)
{
    if (!take_room(t, NX_RT_NODE_BYTES)) return NX_WASI_ENOSPC;
    nx_rt_node *n = calloc(1, sizeof *n);
    if (!n) {
        give_room(t, NX_RT_NODE_BYTES);
        return NX_WASI_ENOMEM;
    }
    *n = (nx_rt_node){.tree = t, .next = t->nodes, .link = &t->nodes, .kind = kind, .is_changed = true, .inode = ++t->next_inode};
    n->atime_ns = n->mtime_ns = n->ctime_ns = now_ns;
    n->parent = n;
    n->next_cookie = 2; /* 0 and 1 are "." and ".." */
    if (t->nodes) t->nodes->link = &n->next;
    t->nodes = n;
    *ret = n;
    return 0;
}

static void node_free(nx_rt_node *n)
{
    nx_rt_tree *t = n->tree;
    for (uint32_t i = 0; i < n->n_entries; i++) {
        give_room(t, n->entries[i].name_n);
        free(n->entries[i].name);
    }
    free(n->entries);
    if (n->capacity) {
        give_room(t, n->capacity);
        free(n->bytes);
    }
    *n->link = n->next;
    if (n->next) n->next->link = n->link;
    give_room(t, NX_RT_NODE_BYTES);
    free(n);
}

/* A frozen tree is shared: nothing is counted in it. */
void nx_rt_node_open(nx_rt_node *n)
{
    if (!n->tree->is_frozen) n->n_open++;
}

static void drop_unused(nx_rt_node *n)
{
    if (n->n_links == 0 && n->n_open == 0 && n != n->tree->root) node_free(n);
}

void nx_rt_node_close(nx_rt_node *n)
{
    if (n->tree->is_frozen) return;
    n->n_open--;
    drop_unused(n);
}

/* ---- folders */

nx_rt_entry *nx_rt_dir_find(const nx_rt_node *dir, nx_slice name)
{
    for (uint32_t i = 0; i < dir->n_entries; i++)
        if (dir->entries[i].name_n == name.n && memcmp(dir->entries[i].name, name.p, name.n) == 0) return &dir->entries[i];
    return NULL;
}

static void changed(nx_rt_node *n, uint64_t now_ns)
{
    n->mtime_ns = n->ctime_ns = now_ns;
    n->is_changed = true;
}

static void link_into(nx_rt_node *dir, nx_rt_node *node, uint64_t now_ns)
{
    changed(dir, now_ns);
    if (node->tree->is_frozen) return;
    node->n_links++;
    node->ctime_ns = now_ns;
    if (node->kind == NX_RT_NODE_DIR) node->parent = dir;
}

static void unlink_node(nx_rt_node *node, uint64_t now_ns)
{
    if (node->tree->is_frozen) return;
    node->n_links--;
    node->ctime_ns = now_ns;
    if (node->n_links == 0) node->parent = node; /* it may be open longer than its folder lives */
    drop_unused(node);
}

uint8_t nx_rt_dir_add(nx_rt_node *dir, nx_slice name, nx_rt_node *node, uint64_t now_ns)
{
    if (dir->tree->is_frozen) return NX_WASI_EROFS;
    if (name.n > NX_RT_NAME_BYTES) return NX_WASI_ENAMETOOLONG;
    if (dir->n_links == 0 && dir != dir->tree->root) return NX_WASI_ENOENT; /* nobody would find it */
    if (dir->n_entries == UINT32_MAX / 2) return NX_WASI_ENOSPC;
    if (dir->n_entries == dir->entries_capacity) {
        uint32_t capacity = dir->entries_capacity ? dir->entries_capacity * 2 : 8;
        nx_rt_entry *grown = realloc(dir->entries, capacity * sizeof *grown);
        if (!grown) return NX_WASI_ENOMEM;
        dir->entries = grown;
        dir->entries_capacity = capacity;
    }
    if (!take_room(dir->tree, name.n)) return NX_WASI_ENOSPC;
    char *copy = malloc(name.n ? name.n : 1);
    if (!copy) {
        give_room(dir->tree, name.n);
        return NX_WASI_ENOMEM;
    }
    memcpy(copy, name.p, name.n);
    dir->entries[dir->n_entries++] = (nx_rt_entry){node, dir->next_cookie++, (uint32_t)name.n, copy};
    link_into(dir, node, now_ns);
    return 0;
}

void nx_rt_dir_replace(nx_rt_node *dir, nx_rt_entry *e, nx_rt_node *node, uint64_t now_ns)
{
    nx_rt_node *before = e->node;
    e->node = node;
    link_into(dir, node, now_ns);
    unlink_node(before, now_ns);
}

void nx_rt_dir_remove(nx_rt_node *dir, nx_rt_entry *e, uint64_t now_ns)
{
    nx_rt_node *node = e->node;
    give_room(dir->tree, e->name_n);
    free(e->name);
    size_t behind = (size_t)(dir->entries + dir->n_entries - (e + 1));
    memmove(e, e + 1, behind * sizeof *e);
    dir->n_entries--;
    changed(dir, now_ns);
    unlink_node(node, now_ns);
}

bool nx_rt_dir_is_within(const nx_rt_node *dir, const nx_rt_node *ancestor)
{
    for (;; dir = dir->parent) {
        if (dir == ancestor) return true;
        if (dir->parent == dir) return false;
    }
}

/* ---- contents */

static uint8_t reserve(nx_rt_node *file, uint64_t n_bytes)
{
    if (n_bytes <= file->capacity) return 0;
    uint64_t capacity = file->capacity + file->capacity / 2, room = file->tree->max_bytes - file->tree->used_bytes;
    if (capacity < FILE_GROWTH_MIN) capacity = FILE_GROWTH_MIN;
    if (capacity < n_bytes) capacity = n_bytes;
    if (capacity - file->capacity > room) capacity = n_bytes;
    if (capacity - file->capacity > room) return NX_WASI_ENOSPC;
    uint8_t *grown = realloc(file->bytes, (size_t)capacity);
    if (!grown) return NX_WASI_ENOMEM;
    (void)take_room(file->tree, capacity - file->capacity);
    file->bytes = grown;
    file->capacity = capacity;
    return 0;
}

uint8_t nx_rt_file_resize(nx_rt_node *file, uint64_t n_bytes, uint64_t now_ns)
{
    if (file->tree->is_frozen) return NX_WASI_EROFS;
    if (n_bytes > file->tree->max_bytes) return n_bytes > INT64_MAX ? NX_WASI_EFBIG : NX_WASI_ENOSPC;
    uint8_t err = reserve(file, n_bytes);
    if (err) return err;
    if (n_bytes > file->n_bytes) memset(file->bytes + file->n_bytes, 0, (size_t)(n_bytes - file->n_bytes));
    file->n_bytes = n_bytes;
    changed(file, now_ns);
    return 0;
}

uint8_t nx_rt_file_write(nx_rt_node *file, uint64_t at, const uint8_t *p, size_t n, uint64_t now_ns, size_t *ret_n)
{
    nx_rt_tree *t = file->tree;
    *ret_n = 0;
    if (t->is_frozen) return NX_WASI_EROFS;
    if (n == 0) return 0;
    if (at > INT64_MAX - n) return NX_WASI_EFBIG;
    uint64_t room = file->capacity + (t->max_bytes - t->used_bytes);
    if (at >= room) return NX_WASI_ENOSPC;
    if (n > room - at) n = (size_t)(room - at);
    if (at + n > file->n_bytes) {
        uint8_t err = nx_rt_file_resize(file, at + n, now_ns);
        if (err) return err;
    }
    memcpy(file->bytes + at, p, n);
    changed(file, now_ns);
    *ret_n = n;
    return 0;
}

size_t nx_rt_file_read(const nx_rt_node *file, uint64_t at, uint8_t *p, size_t n)
{
    if (at >= file->n_bytes) return 0;
    if (n > file->n_bytes - at) n = (size_t)(file->n_bytes - at);
    if (n) memcpy(p, file->bytes + at, n);
    return n;
}

/* ---- whole trees */

nx_err nx_rt_tree_new(uint64_t max_bytes, nx_rt_tree **ret)
{
    nx_rt_tree *t = calloc(1, sizeof *t);
    if (!t) return NX_ENOMEM;
    t->max_bytes = max_bytes > NX_RT_NODE_BYTES ? max_bytes : NX_RT_NODE_BYTES;
    if (nx_rt_node_new(t, NX_RT_NODE_DIR, 0, &t->root)) {
        free(t);
        return NX_ENOMEM;
    }
    *ret = t;
    return NX_OK;
}

void nx_rt_tree_free(nx_rt_tree *t)
{
    if (!t) return;
    while (t->nodes) node_free(t->nodes);
    free(t);
}

void nx_rt_tree_freeze(nx_rt_tree *t) { t->is_frozen = true; }

void nx_rt_tree_mark(nx_rt_tree *t)
{
    for (nx_rt_node *n = t->nodes; n; n = n->next) n->is_changed = false;
}

static bool is_name(nx_slice s)
{
    return s.n && s.n <= NX_RT_NAME_BYTES && !nx_slice_eq_cstr(s, ".") && !nx_slice_eq_cstr(s, "..") && !memchr(s.p, 0, s.n);
}

static nx_err put_error(uint8_t wasi_errno, nx_slice path, const nx_rt_tree *t, nx_error *reterr)
{
    if (wasi_errno == NX_WASI_ENOMEM) return nx_error_set(reterr, NX_ENOMEM, "out of memory for %.*s", NX_SLICE_FMT(path));
    return nx_error_set(reterr, NX_ELIMIT, "%.*s: the files come to more than %llu bytes", NX_SLICE_FMT(path), (unsigned long long)t->max_bytes);
}

/* The folder of the last part, which *ret_name is; folders on the way are made. */
static nx_err parent_of(nx_rt_tree *t, nx_slice path, uint64_t now_ns, nx_rt_node **ret, nx_slice *ret_name, nx_error *reterr)
{
    nx_rt_node *dir = t->root;
    nx_slice rest = path;
    if (path.n > NX_RT_PATH_BYTES) return nx_error_set(reterr, NX_EINVAL, "a path of %zu bytes; %u are allowed", path.n, NX_RT_PATH_BYTES);
    for (;;) {
        const char *slash = memchr(rest.p, '/', rest.n);
        nx_slice part = slash ? nx_slice_make(rest.p, (size_t)(slash - rest.p)) : rest;
        if (!is_name(part)) return nx_error_set(reterr, NX_EINVAL, "%.*s: not a relative path without \"..\"", NX_SLICE_FMT(path));
        if (!slash) {
            *ret = dir;
            *ret_name = part;
            return NX_OK;
        }
        nx_rt_entry *e = nx_rt_dir_find(dir, part);
        nx_rt_node *next = e ? e->node : NULL;
        if (!e) {
            uint8_t err = nx_rt_node_new(t, NX_RT_NODE_DIR, now_ns, &next);
            if (!err && (err = nx_rt_dir_add(dir, part, next, now_ns))) node_free(next);
            if (err) return put_error(err, path, t, reterr);
        } else if (next->kind != NX_RT_NODE_DIR) {
            return nx_error_set(reterr, NX_EEXIST, "%.*s: a part of the path is no folder", NX_SLICE_FMT(path));
        }
        dir = next;
        rest = nx_slice_sub(rest, part.n + 1, rest.n - part.n - 1);
    }
}

static nx_err put(nx_rt_tree *t, nx_slice path, nx_rt_node_kind kind, nx_slice bytes, bool is_lent, uint64_t mtime_ns, nx_error *reterr)
{
    nx_rt_node *dir = NULL, *node;
    nx_slice name = NX_SLICE_NULL;
    nx_err err = parent_of(t, path, mtime_ns, &dir, &name, reterr);
    if (err) return err;
    const nx_rt_entry *there = nx_rt_dir_find(dir, name);
    if (there && kind == NX_RT_NODE_DIR && there->node->kind == NX_RT_NODE_DIR) return NX_OK;
    if (there) return nx_error_set(reterr, NX_EEXIST, "%.*s is there twice", NX_SLICE_FMT(path));
    uint8_t code = nx_rt_node_new(t, kind, mtime_ns, &node);
    if (code) return put_error(code, path, t, reterr);
    size_t n = 0;
    if (is_lent) {
        node->bytes = (uint8_t *)(uintptr_t)bytes.p; /* only ever read: put_lent() is for frozen trees */
        node->n_bytes = bytes.n;
    } else if (bytes.n) {
        code = nx_rt_file_write(node, 0, (const uint8_t *)bytes.p, bytes.n, mtime_ns, &n);
        if (!code && n < bytes.n) code = NX_WASI_ENOSPC;
    }
    if (!code) code = nx_rt_dir_add(dir, name, node, mtime_ns);
    if (code) node_free(node);
    return code ? put_error(code, path, t, reterr) : NX_OK;
}

nx_err nx_rt_tree_put(nx_rt_tree *t, nx_slice path, nx_rt_node_kind kind, nx_slice bytes, uint64_t mtime_ns, nx_error *reterr)
{
    return put(t, path, kind, bytes, false, mtime_ns, reterr);
}

nx_err nx_rt_tree_put_lent(nx_rt_tree *t, nx_slice path, nx_slice bytes, uint64_t mtime_ns, nx_error *reterr)
{
    return put(t, path, NX_RT_NODE_FILE, bytes, true, mtime_ns, reterr);
}

bool nx_rt_tree_has(const nx_rt_tree *t, nx_slice path, nx_rt_node_kind *ret_kind)
{
    const nx_rt_node *at = t->root;
    for (nx_slice rest = path, part; at && rest.n;) {
        part = nx_slice_split(rest, '/', &rest);
        const nx_rt_entry *e = nx_rt_dir_find(at, part);
        at = e ? e->node : NULL;
    }
    if (at) *ret_kind = at->kind;
    return at != NULL;
}

static nx_err each(const nx_rt_node *dir, char *path, size_t n, nx_err (*on_item)(void *self, const nx_rt_tree_item *item), void *self)
{
    for (uint32_t i = 0; i < dir->n_entries; i++) {
        const nx_rt_entry *e = &dir->entries[i];
        size_t at = n;
        if (n + e->name_n + 1 > NX_RT_PATH_BYTES) return NX_ELIMIT;
        if (n) path[at++] = '/';
        memcpy(path + at, e->name, e->name_n);
        at += e->name_n;
        const nx_rt_node *node = e->node;
        const nx_rt_tree_item item = {nx_slice_make(path, at), node->kind, nx_slice_make(node->bytes, (size_t)node->n_bytes), node->mtime_ns, node->is_changed};
        nx_err err = on_item(self, &item);
        if (!err && node->kind == NX_RT_NODE_DIR) err = each(node, path, at, on_item, self);
        if (err) return err;
    }
    return NX_OK;
}

nx_err nx_rt_tree_each(const nx_rt_tree *t, nx_err (*on_item)(void *self, const nx_rt_tree_item *item), void *self)
{
    char path[NX_RT_PATH_BYTES];
    return each(t->root, path, 0, on_item, self);
}
