/* wasi/table.c: the functions of WASI preview 1 in the order of its witx file, those of module nexus, and how a call of them is done and told. */
#include "wasi/table.h"

#include "nx/effect.h"

#define ROW(fn, params, handler, text)                                                \
    {                                                                                 \
#fn, params, true, nx_rt_wasi_##handler, text, NX_RT_WASI_MODULE, NULL, false \
    }
#define NEXUS(fn, params, grant, text)                                                   \
    {                                                                                    \
#fn, params, true, nx_rt_wasi_nexus_##fn, text, NX_RT_NEXUS_MODULE, grant, false \
    }
#define NEXUS_VALUE(fn, text)                                                      \
    {                                                                              \
#fn, "", true, nx_rt_wasi_nexus_##fn, text, NX_RT_NEXUS_MODULE, NULL, true \
    }

const nx_rt_wasi_fn nx_rt_wasi_fns[] = {
    ROW(args_get, "ii", args_get, "()"),
    ROW(args_sizes_get, "ii", args_sizes_get, "() -> %0 arguments, %1 bytes"),
    ROW(environ_get, "ii", environ_get, "()"),
    ROW(environ_sizes_get, "ii", environ_sizes_get, "() -> %0 variables, %1 bytes"),
    ROW(clock_res_get, "ii", clock_res_get, "(%c0) -> %1"),
    ROW(clock_time_get, "ili", clock_time_get, "(%c0) -> %1"),
    ROW(fd_advise, "illi", fd_advise, "(fd %0)"),
    ROW(fd_allocate, "ill", fd_allocate, "(fd %0)"),
    ROW(fd_close, "i", fd_close, "(fd %0)"),
    ROW(fd_datasync, "i", fd_datasync, "(fd %0)"),
    ROW(fd_fdstat_get, "ii", fd_fdstat_get, "(fd %0)"),
    ROW(fd_fdstat_set_flags, "ii", fd_fdstat_set_flags, "(fd %0, flags %1)"),
    ROW(fd_fdstat_set_rights, "ill", fd_fdstat_set_rights, "(fd %0)"),
    ROW(fd_filestat_get, "ii", fd_filestat_get, "(fd %0)"),
    ROW(fd_filestat_set_size, "il", fd_filestat_set_size, "(fd %0)"),
    ROW(fd_filestat_set_times, "illi", fd_filestat_set_times, "(fd %0)"),
    ROW(fd_pread, "iiili", fd_pread, "(fd %0, at most %1 bytes) -> %2 bytes"),
    ROW(fd_prestat_get, "ii", fd_prestat_get, "(fd %0)"),
    ROW(fd_prestat_dir_name, "iii", fd_prestat_dir_name, "(fd %0)"),
    ROW(fd_pwrite, "iiili", fd_pwrite, "(fd %0, %b) -> %2 bytes"),
    ROW(fd_read, "iiii", fd_read, "(fd %0, at most %1 bytes) -> %2 bytes"),
    ROW(fd_readdir, "iiili", fd_readdir, "(fd %0, from %1) -> %2 bytes"),
    ROW(fd_renumber, "ii", fd_renumber, "(fd %0, fd %1)"),
    ROW(fd_seek, "ilii", fd_seek, "(fd %0) -> %1"),
    ROW(fd_sync, "i", fd_sync, "(fd %0)"),
    ROW(fd_tell, "ii", fd_tell, "(fd %0)"),
    ROW(fd_write, "iiii", fd_write, "(fd %0, %b) -> %2 bytes"),
    ROW(path_create_directory, "iii", path_create_directory, "(directory %0, %b)"),
    ROW(path_filestat_get, "iiiii", path_filestat_get, "(directory %0, %b)"),
    ROW(path_filestat_set_times, "iiiilli", path_filestat_set_times, "(directory %0, %b)"),
    ROW(path_link, "iiiiiii", path_link, "(directory %0, %b)"),
    ROW(path_open, "iiiiillii", path_open, "(directory %0, %b) -> fd %2"),
    ROW(path_readlink, "iiiiii", path_readlink, "(directory %0, %b)"),
    ROW(path_remove_directory, "iii", path_remove_directory, "(directory %0, %b)"),
    ROW(path_rename, "iiiiii", path_rename, "(directory %0, %b)"),
    ROW(path_symlink, "iiiii", path_symlink, "(directory %0, %b)"),
    ROW(path_unlink_file, "iii", path_unlink_file, "(directory %0, %b)"),
    ROW(poll_oneoff, "iiii", poll_oneoff, "(%0 subscriptions, waits %1 ns) -> %2 events"),
    {"proc_exit", "i", false, nx_rt_wasi_proc_exit, "(%0)", NX_RT_WASI_MODULE, NULL, false},
    ROW(proc_raise, "i", proc_raise, "(signal %0)"),
    ROW(sched_yield, "", sched_yield, "()"),
    ROW(random_get, "ii", random_get, "(%0 bytes) -> %b"),
    ROW(sock_accept, "iii", sock, "(fd %0)"),
    ROW(sock_recv, "iiiiii", sock, "(fd %0)"),
    ROW(sock_send, "iiiii", sock, "(fd %0)"),
    ROW(sock_shutdown, "ii", sock, "(fd %0)"),
    NEXUS(http_request, "ii", "allowed_outbound_hosts", "(%b, request %x0) -> %1 bytes"),
    NEXUS(kv_get, "iiii", "key_value_stores", "(%b, request %x0) -> %1 bytes"),
    NEXUS(kv_put, "iiiiiil", "key_value_stores", "(%b, request %x0) -> %1 bytes"),
    NEXUS(kv_delete, "iiiil", "key_value_stores", "(%b, request %x0)"),
    NEXUS(emit, "ii", "emit", "(%b, event %x0)"),
    NEXUS(secret_get, "ii", "secrets", "(%b)"),
    NEXUS_VALUE(answer_size, "()"),
    NEXUS(answer_read, "iii", NULL, "(from %0, %1 bytes) -> %b"),
};
const unsigned nx_rt_wasi_n_fns = NX_ARRAY_LEN(nx_rt_wasi_fns);

const nx_rt_wasi_fn *nx_rt_wasi_find(nx_slice module, nx_slice name)
{
    for (unsigned i = 0; i < nx_rt_wasi_n_fns; i++)
        if (nx_slice_eq_cstr(name, nx_rt_wasi_fns[i].name) && nx_slice_eq_cstr(module, nx_rt_wasi_fns[i].module)) return &nx_rt_wasi_fns[i];
    return NULL;
}

const char *nx_rt_wasi_errno_name(unsigned wasi_errno)
{
    switch (wasi_errno) {
    case NX_WASI_OK: return "OK";
    case NX_WASI_EBADF: return "EBADF";
    case NX_WASI_EFAULT: return "EFAULT";
    case NX_WASI_EINVAL: return "EINVAL";
    case NX_WASI_ENOTDIR: return "ENOTDIR";
    case NX_WASI_ENOTSOCK: return "ENOTSOCK";
    case NX_WASI_ENOTSUP: return "ENOTSUP";
    case NX_WASI_ESPIPE: return "ESPIPE";
    case NX_WASI_EBUSY: return "EBUSY";
    case NX_WASI_EEXIST: return "EEXIST";
    case NX_WASI_EFBIG: return "EFBIG";
    case NX_WASI_EILSEQ: return "EILSEQ";
    case NX_WASI_EISDIR: return "EISDIR";
    case NX_WASI_ELOOP: return "ELOOP";
    case NX_WASI_EMFILE: return "EMFILE";
    case NX_WASI_EMLINK: return "EMLINK";
    case NX_WASI_ENAMETOOLONG: return "ENAMETOOLONG";
    case NX_WASI_ENOENT: return "ENOENT";
    case NX_WASI_ENOMEM: return "ENOMEM";
    case NX_WASI_ENOSPC: return "ENOSPC";
    case NX_WASI_ENOTCAPABLE: return "ENOTCAPABLE";
    case NX_WASI_ENOTEMPTY: return "ENOTEMPTY";
    case NX_WASI_EPERM: return "EPERM";
    case NX_WASI_EROFS: return "EROFS";
    case NX_WASI_EXDEV: return "EXDEV";
    case NX_WASI_END: return "the run ended here";
    default: return "an unknown error";
    }
}

/* NOLINTNEXTLINE(readability-non-const-parameter): handlers write to it through the call. */
uint8_t nx_rt_wasi_call(nx_rt_world *w, const nx_rt_wasi_fn *fn, uint8_t *mem, size_t mem_bytes, const uint64_t *args)
{
    nx_rt_call c = {.w = w, .mem = mem, .mem_bytes = mem_bytes, .args = args};
    nx_rt_trace_begin(w, (uint8_t)(fn - nx_rt_wasi_fns));
    uint8_t wasi_errno = fn->handle(&c);
    nx_rt_trace_end(w, wasi_errno);
    return wasi_errno;
}
