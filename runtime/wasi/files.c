/* wasi/files.c: descriptors. A run has three streams and no directory, so that libc finds "no such file" for every path:
 * fd_prestat_get answers EBADF from the first descriptor on, and everything that names a path starts from a descriptor that is none. */
#include "wasi/table.h"

#define FILETYPE_UNKNOWN 0 /* as a pipe: not CHARACTER_DEVICE, which libc takes for a terminal and flushes at every line */

enum {
    RIGHT_READ = 1u << 1,
    RIGHT_SET_FLAGS = 1u << 3,
    RIGHT_WRITE = 1u << 6,
    RIGHT_FILESTAT = 1u << 21,
    RIGHT_POLL = 1u << 27
};

static nx_rt_fd stream_at(const nx_rt_call *c, uint64_t fd) { return fd < NX_RT_FDS ? c->w->fds[fd] : NX_RT_FD_CLOSED; }

/* Traces the descriptor in parameter `i` and finds its stream. */
static nx_rt_fd take_fd(nx_rt_call *c, unsigned i)
{
    nx_rt_trace_value(c->w, c->args[i]);
    return stream_at(c, c->args[i]);
}

static uint64_t rights_of(nx_rt_fd fd)
{
    return (fd == NX_RT_FD_STDIN ? RIGHT_READ : RIGHT_WRITE) | RIGHT_SET_FLAGS | RIGHT_FILESTAT | RIGHT_POLL;
}

NX_RT_HANDLER(fd_close)
{
    if (take_fd(c, 0) == NX_RT_FD_CLOSED) return NX_WASI_EBADF;
    c->w->fds[c->args[0]] = NX_RT_FD_CLOSED;
    return NX_WASI_OK;
}

NX_RT_HANDLER(fd_renumber)
{
    nx_rt_fd from = take_fd(c, 0), to = take_fd(c, 1);
    if (from == NX_RT_FD_CLOSED || to == NX_RT_FD_CLOSED) return NX_WASI_EBADF;
    if (c->args[0] == c->args[1]) return NX_WASI_OK;
    c->w->fds[c->args[1]] = from;
    c->w->fds[c->args[0]] = NX_RT_FD_CLOSED;
    return NX_WASI_OK;
}

/* __wasi_fdstat_t: filetype, flags at 2, rights at 8 and 16; 24 bytes. */
NX_RT_HANDLER(fd_fdstat_get)
{
    nx_rt_fd fd = take_fd(c, 0);
    if (fd == NX_RT_FD_CLOSED) return NX_WASI_EBADF;
    uint8_t *p = nx_rt_mem_at(c, c->args[1], 24);
    if (!p) return NX_WASI_EFAULT;
    memset(p, 0, 24);
    p[0] = FILETYPE_UNKNOWN;
    nx_rt_put_u64(p + 8, rights_of(fd));
    return NX_WASI_OK;
}

/* APPEND, NONBLOCK and their like change nothing on these streams. */
NX_RT_HANDLER(fd_fdstat_set_flags)
{
    nx_rt_fd fd = take_fd(c, 0);
    nx_rt_trace_value(c->w, c->args[1]);
    if (fd == NX_RT_FD_CLOSED) return NX_WASI_EBADF;
    return c->args[1] > 31 ? NX_WASI_EINVAL : NX_WASI_OK;
}

NX_RT_HANDLER(fd_fdstat_set_rights) { return take_fd(c, 0) == NX_RT_FD_CLOSED ? NX_WASI_EBADF : NX_WASI_ENOTSUP; }

/* __wasi_filestat_t: device 0, inode at 8, filetype at 16, links at 24, size and times; 64 bytes. */
NX_RT_HANDLER(fd_filestat_get)
{
    nx_rt_fd fd = take_fd(c, 0);
    if (fd == NX_RT_FD_CLOSED) return NX_WASI_EBADF;
    uint8_t *p = nx_rt_mem_at(c, c->args[1], 64);
    if (!p) return NX_WASI_EFAULT;
    memset(p, 0, 64);
    nx_rt_put_u64(p + 8, (uint64_t)fd);
    p[16] = FILETYPE_UNKNOWN;
    nx_rt_put_u64(p + 24, 1);
    return NX_WASI_OK;
}

NX_RT_HANDLER(fd_unseekable) { return take_fd(c, 0) == NX_RT_FD_CLOSED ? NX_WASI_EBADF : NX_WASI_ESPIPE; }
NX_RT_HANDLER(fd_unsupported) { return take_fd(c, 0) == NX_RT_FD_CLOSED ? NX_WASI_EBADF : NX_WASI_EINVAL; }
NX_RT_HANDLER(fd_no_directory) { return take_fd(c, 0) == NX_RT_FD_CLOSED ? NX_WASI_EBADF : NX_WASI_ENOTDIR; }

NX_RT_HANDLER(fd_prestat)
{
    nx_rt_trace_value(c->w, c->args[0]);
    return NX_WASI_EBADF;
}

/* Traces the path, whose pointer and length are parameters `i` and `i` + 1, and says what is wrong with the directory. */
static uint8_t path_at(nx_rt_call *c, nx_rt_fd dir, unsigned i)
{
    const uint8_t *path = nx_rt_mem_at(c, c->args[i], c->args[i + 1]);
    if (!path) return NX_WASI_EFAULT;
    nx_rt_trace_bytes(c->w, path, (size_t)c->args[i + 1]);
    return dir == NX_RT_FD_CLOSED ? NX_WASI_EBADF : NX_WASI_ENOTDIR;
}

/* path_open, path_filestat_get and path_filestat_set_times have flags before the path. */
NX_RT_HANDLER(path_at_fd) { return path_at(c, take_fd(c, 0), 1); }
NX_RT_HANDLER(path_at_fd_flags) { return path_at(c, take_fd(c, 0), 2); }
NX_RT_HANDLER(path_symlink) { return path_at(c, take_fd(c, 2), 3); }

NX_RT_HANDLER(sock)
{
    return take_fd(c, 0) == NX_RT_FD_CLOSED ? NX_WASI_EBADF : NX_WASI_ENOTSOCK;
}
