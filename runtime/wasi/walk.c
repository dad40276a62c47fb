/* wasi/walk.c: where a path leads. It can't leave the folder it starts in, neither by ".." nor by a link (the rule of WASI's sandbox). */
#include "wasi/tree.h"

#include <string.h>

#define LINKS_MAX 40u  /* followed on one path, as on Linux */
#define DEPTH_MAX 256u /* folders on one path */

/* Takes the next part off the front of *rest, and the slashes behind it. */
static nx_slice next_part(nx_slice *rest)
{
    const char *slash = memchr(rest->p, '/', rest->n);
    size_t n = slash ? (size_t)(slash - rest->p) : rest->n, skip = n;
    nx_slice part = nx_slice_make(rest->p, n);
    while (skip < rest->n && rest->p[skip] == '/') skip++;
    *rest = nx_slice_sub(*rest, skip, rest->n - skip);
    return part;
}

/* The target of a link takes the link's place in front of what is left. */
static uint8_t replace_link(nx_rt_walk *w, const nx_rt_node *link, nx_slice *rest, bool is_folder)
{
    size_t n = (size_t)link->n_bytes, slash = rest->n || is_folder ? 1 : 0;
    if (n == 0) return NX_WASI_ENOENT;
    if (link->bytes[0] == '/') return NX_WASI_EPERM;
    if (n + slash + rest->n > sizeof w->rest) return NX_WASI_ENAMETOOLONG;
    memmove(w->rest + n + slash, rest->p, rest->n);
    memcpy(w->rest, link->bytes, n);
    if (slash) w->rest[n] = '/';
    *rest = nx_slice_make(w->rest, n + slash + rest->n);
    return 0;
}

static uint8_t begin(nx_rt_walk *w, nx_slice path, nx_slice *rest)
{
    if (path.n == 0) return NX_WASI_ENOENT;
    if (path.n > NX_RT_PATH_BYTES) return NX_WASI_ENAMETOOLONG;
    if (memchr(path.p, 0, path.n)) return NX_WASI_EINVAL;
    if (!nx_slice_is_utf8(path)) return NX_WASI_EILSEQ;
    if (path.p[0] == '/') return NX_WASI_EPERM;
    memcpy(w->rest, path.p, path.n);
    *rest = nx_slice_make(w->rest, path.n);
    return 0;
}

/* Where the path ends in a folder without naming it: ".", "..", "a/..". */
static void end_at(nx_rt_walk *w, nx_rt_node *dir, nx_slice name) { w->place = (nx_rt_place){.node = dir, .name = name, .is_folder = true}; }

uint8_t nx_rt_walk_path(nx_rt_walk *w, nx_rt_node *start, nx_slice path, nx_rt_last last)
{
    nx_slice rest;
    nx_rt_node *way[DEPTH_MAX] = {start}; /* ".." goes back on it: a folder may stand in several trees */
    unsigned n_links = 0, depth = 0;
    end_at(w, start, NX_SLICE("."));
    uint8_t err = begin(w, path, &rest);
    while (!err && rest.n) {
        nx_slice part = next_part(&rest);
        bool is_last = rest.n == 0, is_folder = is_last && rest.p > part.p + part.n;
        nx_rt_node *at = way[depth];
        if (at->kind != NX_RT_NODE_DIR) return NX_WASI_ENOTDIR;
        if (nx_slice_eq_cstr(part, ".") || nx_slice_eq_cstr(part, "..")) {
            if (part.n == 2 && depth-- == 0) return NX_WASI_EPERM;
            if (is_last) end_at(w, way[depth], part);
            continue;
        }
        if (part.n > NX_RT_NAME_BYTES) return NX_WASI_ENAMETOOLONG;
        nx_rt_entry *e = nx_rt_dir_find(at, part);
        if (e && e->node->kind == NX_RT_NODE_LINK && (!is_last || last == NX_RT_LAST_FOLLOWED || (is_folder && last == NX_RT_LAST_SEEN))) {
            if (++n_links > LINKS_MAX) return NX_WASI_ELOOP;
            err = replace_link(w, e->node, &rest, is_folder);
            continue;
        }
        if (!e && !is_last) return NX_WASI_ENOENT;
        w->place = (nx_rt_place){at, e, e ? e->node : NULL, part, is_folder};
        if (!e) return 0;
        if (is_folder && e->node->kind != NX_RT_NODE_DIR) return NX_WASI_ENOTDIR;
        if (depth + 1 == DEPTH_MAX) return NX_WASI_ENAMETOOLONG;
        way[++depth] = e->node;
    }
    return err;
}
