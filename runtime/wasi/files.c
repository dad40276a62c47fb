/* wasi/files.c: calls on one descriptor: streams, files, folders. */
#include "wasi/files.h"

enum { WHENCE_SET,
       WHENCE_CUR,
       WHENCE_END };
enum { TIMES_ACCESS = 1,
       TIMES_ACCESS_NOW = 2,
       TIMES_CHANGE = 4,
       TIMES_CHANGE_NOW = 8 };
#define ADVICE_MAX 5u
#define DIRENT_BYTES 24u

bool nx_rt_is_stream(const nx_rt_open *o)
{
    return o && o->kind >= NX_RT_FD_STDIN && o->kind <= NX_RT_FD_STDERR;
}

uint8_t nx_rt_file_check(const nx_rt_open *o, uint64_t rights)
{
    if (!o || nx_rt_is_stream(o)) return NX_WASI_EBADF;
    if (o->kind == NX_RT_FD_DIR) return NX_WASI_EISDIR;
    return (o->rights & rights) == rights ? NX_WASI_OK : NX_WASI_ENOTCAPABLE;
}

/* Traces the descriptor in parameter `i`. */
static nx_rt_open *take_fd(nx_rt_call *c, unsigned i)
{
    nx_rt_trace_value(c->w, c->args[i]);
    return nx_rt_open_at(c->w, c->args[i]);
}

NX_RT_HANDLER(fd_close)
{
    nx_rt_open *o = take_fd(c, 0);
    if (!o) return NX_WASI_EBADF;
    nx_rt_open_close(o);
    return NX_WASI_OK;
}

NX_RT_HANDLER(fd_renumber)
{
    nx_rt_open *from = take_fd(c, 0), *to = take_fd(c, 1);
    if (!from || !to) return NX_WASI_EBADF;
    if (from == to) return NX_WASI_OK;
    nx_rt_open_close(to);
    *to = *from;
    *from = (nx_rt_open){.kind = NX_RT_FD_CLOSED};
    return NX_WASI_OK;
}

/* __wasi_fdstat_t: filetype, flags at 2, rights at 8 and 16; 24 bytes. A stream is no CHARACTER_DEVICE, which libc takes for a terminal and
 * flushes at every line. */
NX_RT_HANDLER(fd_fdstat_get)
{
    const nx_rt_open *o = take_fd(c, 0);
    if (!o) return NX_WASI_EBADF;
    uint8_t *p = nx_rt_mem_at(c, c->args[1], 24);
    if (!p) return NX_WASI_EFAULT;
    memset(p, 0, 24);
    p[0] = o->node ? nx_rt_type_of(o->node) : NX_RT_TYPE_UNKNOWN;
    nx_rt_put_u16(p + 2, o->flags);
    nx_rt_put_u64(p + 8, o->rights);
    nx_rt_put_u64(p + 16, o->inheriting);
    return NX_WASI_OK;
}

/* What they ask for is so anyway (nothing waits, memory is always up to date), except for appending to a file. */
NX_RT_HANDLER(fd_fdstat_set_flags)
{
    nx_rt_open *o = take_fd(c, 0);
    nx_rt_trace_value(c->w, c->args[1]);
    if (!o) return NX_WASI_EBADF;
    if (!(o->rights & NX_RT_RIGHT_SET_FLAGS)) return NX_WASI_ENOTCAPABLE;
    if (c->args[1] > NX_RT_FLAGS_ALL) return NX_WASI_EINVAL;
    o->flags = (uint16_t)c->args[1];
    return NX_WASI_OK;
}

/* Rights can only be given up. */
NX_RT_HANDLER(fd_fdstat_set_rights)
{
    nx_rt_open *o = take_fd(c, 0);
    if (!o) return NX_WASI_EBADF;
    if ((c->args[1] & ~o->rights) || (c->args[2] & ~o->inheriting)) return NX_WASI_ENOTCAPABLE;
    o->rights = c->args[1];
    o->inheriting = c->args[2];
    return NX_WASI_OK;
}

/* ---- what is known of a file */

uint8_t nx_rt_type_of(const nx_rt_node *n)
{
    switch (n->kind) {
    case NX_RT_NODE_FILE: return NX_RT_TYPE_REGULAR;
    case NX_RT_NODE_DIR: return NX_RT_TYPE_DIRECTORY;
    case NX_RT_NODE_LINK: break;
    }
    return NX_RT_TYPE_LINK;
}

/* device 0, inode at 8, filetype at 16, links at 24, size at 32, times at 40, 48, 56. */
uint8_t nx_rt_put_filestat(const nx_rt_call *c, uint64_t ptr, const nx_rt_node *n)
{
    uint8_t *p = nx_rt_mem_at(c, ptr, NX_RT_FILESTAT_BYTES);
    if (!p) return NX_WASI_EFAULT;
    memset(p, 0, NX_RT_FILESTAT_BYTES);
    nx_rt_put_u64(p, n->tree->is_frozen ? 1 : n->tree->device); /* the read-only part is a device of its own */
    nx_rt_put_u64(p + 8, n->inode);
    p[16] = nx_rt_type_of(n);
    nx_rt_put_u64(p + 24, n->n_links ? n->n_links : n == n->tree->root);
    nx_rt_put_u64(p + 32, n->n_bytes);
    nx_rt_put_u64(p + 40, n->atime_ns);
    nx_rt_put_u64(p + 48, n->mtime_ns);
    nx_rt_put_u64(p + 56, n->ctime_ns);
    return NX_WASI_OK;
}

NX_RT_HANDLER(fd_filestat_get)
{
    const nx_rt_open *o = take_fd(c, 0);
    if (!o) return NX_WASI_EBADF;
    if (!(o->rights & NX_RT_RIGHT_STAT)) return NX_WASI_ENOTCAPABLE;
    if (o->node) return nx_rt_put_filestat(c, c->args[1], o->node);
    uint8_t *p = nx_rt_mem_at(c, c->args[1], NX_RT_FILESTAT_BYTES);
    if (!p) return NX_WASI_EFAULT;
    memset(p, 0, NX_RT_FILESTAT_BYTES);
    nx_rt_put_u64(p + 8, (uint64_t)o->kind);
    p[16] = NX_RT_TYPE_UNKNOWN;
    nx_rt_put_u64(p + 24, 1);
    return NX_WASI_OK;
}

NX_RT_HANDLER(fd_filestat_set_size)
{
    nx_rt_open *o = take_fd(c, 0);
    if (nx_rt_is_stream(o)) return NX_WASI_EINVAL;
    uint8_t err = nx_rt_file_check(o, NX_RT_RIGHT_SET_SIZE);
    return err ? err : nx_rt_file_resize(o->node, c->args[1], c->w->now_ns);
}

uint8_t nx_rt_set_times(const nx_rt_call *c, unsigned i, nx_rt_node *n)
{
    uint64_t flags = c->args[i + 2];
    if (flags > 15 || (flags & (TIMES_ACCESS | TIMES_ACCESS_NOW)) == (TIMES_ACCESS | TIMES_ACCESS_NOW) ||
        (flags & (TIMES_CHANGE | TIMES_CHANGE_NOW)) == (TIMES_CHANGE | TIMES_CHANGE_NOW))
        return NX_WASI_EINVAL;
    if (n->tree->is_frozen) return NX_WASI_EROFS;
    if (flags & (TIMES_ACCESS | TIMES_ACCESS_NOW)) n->atime_ns = flags & TIMES_ACCESS ? c->args[i] : c->w->now_ns;
    if (flags & (TIMES_CHANGE | TIMES_CHANGE_NOW)) n->mtime_ns = flags & TIMES_CHANGE ? c->args[i + 1] : c->w->now_ns;
    n->ctime_ns = c->w->now_ns;
    n->is_changed = true;
    return NX_WASI_OK;
}

NX_RT_HANDLER(fd_filestat_set_times)
{
    const nx_rt_open *o = take_fd(c, 0);
    if (!o) return NX_WASI_EBADF;
    if (!o->node) return NX_WASI_EINVAL;
    return o->rights & NX_RT_RIGHT_SET_TIMES ? nx_rt_set_times(c, 1, o->node) : NX_WASI_ENOTCAPABLE;
}

/* ---- position and room */

static uint8_t seek_check(const nx_rt_open *o, uint64_t right)
{
    uint8_t err = nx_rt_file_check(o, right);
    return err == NX_WASI_EISDIR ? NX_WASI_EBADF : err; /* folders are read by cookies */
}

/* The right to seek implies the one to tell. */
static uint8_t tell_check(const nx_rt_open *o)
{
    return seek_check(o, o && o->rights & NX_RT_RIGHT_SEEK ? NX_RT_RIGHT_SEEK : NX_RT_RIGHT_TELL);
}

NX_RT_HANDLER(fd_seek)
{
    nx_rt_open *o = take_fd(c, 0);
    if (nx_rt_is_stream(o)) return NX_WASI_ESPIPE;
    uint64_t whence = c->args[2], base;
    int64_t by = (int64_t)c->args[1];
    uint8_t err = whence == WHENCE_CUR && by == 0 ? tell_check(o) : seek_check(o, NX_RT_RIGHT_SEEK);
    if (err) return err;
    if (whence > WHENCE_END) return NX_WASI_EINVAL;
    base = whence == WHENCE_SET ? 0 : whence == WHENCE_CUR ? o->position
                                                           : o->node->n_bytes;
    if (by < 0 ? (uint64_t) - (by + 1) + 1 > base : (uint64_t)by > (uint64_t)INT64_MAX - base) return NX_WASI_EINVAL;
    if (!nx_rt_mem_at(c, c->args[3], 8)) return NX_WASI_EFAULT;
    o->position = base + (uint64_t)by;
    nx_rt_trace_value(c->w, o->position);
    (void)nx_rt_mem_store_u64(c, c->args[3], o->position);
    return NX_WASI_OK;
}

NX_RT_HANDLER(fd_tell)
{
    const nx_rt_open *o = take_fd(c, 0);
    if (nx_rt_is_stream(o)) return NX_WASI_ESPIPE;
    uint8_t err = tell_check(o);
    if (err) return err;
    return nx_rt_mem_store_u64(c, c->args[1], o->position) ? NX_WASI_OK : NX_WASI_EFAULT;
}

/* (fd, offset, length, advice): memory has no use for it. */
NX_RT_HANDLER(fd_advise)
{
    const nx_rt_open *o = take_fd(c, 0);
    if (nx_rt_is_stream(o)) return NX_WASI_ESPIPE;
    uint8_t err = seek_check(o, NX_RT_RIGHT_ADVISE);
    if (err) return err;
    return c->args[3] > ADVICE_MAX ? NX_WASI_EINVAL : NX_WASI_OK;
}

/* (fd, offset, length) */
NX_RT_HANDLER(fd_allocate)
{
    const nx_rt_open *o = take_fd(c, 0);
    if (nx_rt_is_stream(o)) return NX_WASI_ESPIPE;
    uint8_t err = nx_rt_file_check(o, NX_RT_RIGHT_ALLOCATE);
    if (err) return err;
    uint64_t at = c->args[1], n = c->args[2];
    if (n == 0 || at > INT64_MAX || n > INT64_MAX - at) return n ? NX_WASI_EFBIG : NX_WASI_EINVAL;
    return at + n > o->node->n_bytes ? nx_rt_file_resize(o->node, at + n, c->w->now_ns) : NX_WASI_OK;
}

/* Memory is always up to date. */
static uint8_t sync_check(const nx_rt_open *o, uint64_t right)
{
    if (!o) return NX_WASI_EBADF;
    if (!o->node) return NX_WASI_EINVAL;
    return o->rights & right ? NX_WASI_OK : NX_WASI_ENOTCAPABLE;
}

NX_RT_HANDLER(fd_sync) { return sync_check(take_fd(c, 0), NX_RT_RIGHT_SYNC); }
NX_RT_HANDLER(fd_datasync) { return sync_check(take_fd(c, 0), NX_RT_RIGHT_DATASYNC); }

/* ---- folders */

/* The name of the descriptor in parameter 0, which is traced. Once files are in use it may have been closed or replaced. */
static nx_slice take_preopened(nx_rt_call *c)
{
    nx_rt_trace_value(c->w, c->args[0]);
    if (!c->w->fs) return nx_rt_preopened_at(c->w, c->args[0]);
    const nx_rt_open *o = nx_rt_open_at(c->w, c->args[0]);
    return o ? o->preopened : NX_SLICE_NULL;
}

/* (fd, pointer): type 0 (a folder), length of the name at 4. */
NX_RT_HANDLER(fd_prestat_get)
{
    nx_slice name = take_preopened(c);
    if (!name.n) return NX_WASI_EBADF;
    uint8_t *p = nx_rt_mem_at(c, c->args[1], 8);
    if (!p) return NX_WASI_EFAULT;
    memset(p, 0, 8);
    nx_rt_put_u32(p + 4, (uint32_t)name.n);
    return NX_WASI_OK;
}

/* (fd, pointer, length) */
NX_RT_HANDLER(fd_prestat_dir_name)
{
    nx_slice name = take_preopened(c);
    if (!name.n) return NX_WASI_EBADF;
    if (c->args[2] < name.n) return NX_WASI_ENAMETOOLONG;
    uint8_t *p = nx_rt_mem_at(c, c->args[1], name.n);
    if (!p) return NX_WASI_EFAULT;
    memcpy(p, name.p, name.n);
    return NX_WASI_OK;
}

typedef struct listing {
    uint8_t *p;
    size_t n, used;
} listing;

/* __wasi_dirent_t and the name, cut where the buffer ends: a guest sees by that that there is more. False: full. */
static bool put_dirent(listing *l, uint64_t next, const nx_rt_node *node, nx_slice name)
{
    uint8_t head[DIRENT_BYTES] = {0};
    nx_rt_put_u64(head, next);
    nx_rt_put_u64(head + 8, node->inode);
    nx_rt_put_u32(head + 16, (uint32_t)name.n);
    head[20] = nx_rt_type_of(node);
    size_t room = l->n - l->used, take = room < sizeof head ? room : sizeof head;
    memcpy(l->p + l->used, head, take);
    l->used += take;
    room = l->n - l->used;
    take = room < name.n ? room : name.n;
    memcpy(l->p + l->used, name.p, take);
    l->used += take;
    return l->used < l->n;
}

/* (fd, buffer, length, cookie, bytes used) */
NX_RT_HANDLER(fd_readdir)
{
    const nx_rt_open *o = take_fd(c, 0);
    if (!o) return NX_WASI_EBADF;
    if (o->kind != NX_RT_FD_DIR) return NX_WASI_ENOTDIR;
    nx_rt_trace_value(c->w, c->args[3]);
    if (!(o->rights & NX_RT_RIGHT_READDIR)) return NX_WASI_ENOTCAPABLE;
    listing l = {nx_rt_mem_at(c, c->args[1], c->args[2]), (size_t)c->args[2], 0};
    if (!l.p || !nx_rt_mem_at(c, c->args[4], 4)) return NX_WASI_EFAULT;
    uint64_t cookie = c->args[3];
    const nx_rt_node *dir = o->node;
    bool has_room = l.n > 0;
    if (has_room && cookie == 0) has_room = put_dirent(&l, 1, dir, NX_SLICE("."));
    if (has_room && cookie <= 1) has_room = put_dirent(&l, 2, dir->parent, NX_SLICE(".."));
    for (uint32_t i = 0; i < dir->n_entries && has_room; i++) {
        const nx_rt_entry *e = &dir->entries[i];
        if (e->cookie >= cookie) has_room = put_dirent(&l, e->cookie + 1, e->node, nx_slice_make(e->name, e->name_n));
    }
    nx_rt_trace_value(c->w, l.used);
    (void)nx_rt_mem_store_u32(c, c->args[4], (uint32_t)l.used);
    return NX_WASI_OK;
}

NX_RT_HANDLER(sock) { return take_fd(c, 0) ? NX_WASI_ENOTSOCK : NX_WASI_EBADF; }
