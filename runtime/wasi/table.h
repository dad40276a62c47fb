/* wasi/table.h: all functions that a guest may import, one row each: name, type, handler, text of its trace entry. First those of
 * wasi_snapshot_preview1, then those of module nexus (effects/).
 * Threads: constant. The order is part of the world's identity: trace entries name functions by their row, so new ones stand at the end. */
#ifndef NX_RT_WASI_TABLE_H
#define NX_RT_WASI_TABLE_H
#include "wasi/world.h"

#define NX_RT_WASI_MODULE "wasi_snapshot_preview1"
#define NX_RT_NEXUS_MODULE "nexus"
#define NX_RT_WASI_PARAMS_MAX 9

typedef struct nx_rt_wasi_fn {
    const char *name;
    const char *params; /* 'i' i32, 'l' i64 */
    bool has_result;    /* an errno; false: proc_exit */
    uint8_t (*handle)(nx_rt_call *c);
    /* %0 … values in the order traced, %x0 in hexadecimal, %c0 the name of a clock, %b bytes. What follows " -> " stands only where the errno is 0. */
    const char *text;
    const char *module;
    const char *grant; /* key of a function in nexus.yaml without which the call is denied; NULL: none is needed */
    bool has_value;    /* the result is world->value instead of the errno */
} nx_rt_wasi_fn;

extern const nx_rt_wasi_fn nx_rt_wasi_fns[];
extern const unsigned nx_rt_wasi_n_fns;
const nx_rt_wasi_fn *nx_rt_wasi_find(nx_slice module, nx_slice name); /* NULL: no such function */
const char *nx_rt_wasi_errno_name(unsigned wasi_errno);
/* Does and traces one call; returns the errno, or NX_WASI_END. */
uint8_t nx_rt_wasi_call(nx_rt_world *w, const nx_rt_wasi_fn *fn, uint8_t *mem, size_t mem_bytes, const uint64_t *args);

/* ---- handlers, by file */
#define NX_RT_HANDLER(name) uint8_t nx_rt_wasi_##name(nx_rt_call *c)
/* env.c */
NX_RT_HANDLER(args_get);
NX_RT_HANDLER(args_sizes_get);
NX_RT_HANDLER(environ_get);
NX_RT_HANDLER(environ_sizes_get);
NX_RT_HANDLER(proc_exit);
NX_RT_HANDLER(proc_raise);
NX_RT_HANDLER(sched_yield);
/* clock.c */
NX_RT_HANDLER(clock_res_get);
NX_RT_HANDLER(clock_time_get);
/* random.c */
NX_RT_HANDLER(random_get);
/* poll.c */
NX_RT_HANDLER(poll_oneoff);
/* stdio.c */
NX_RT_HANDLER(fd_read);
NX_RT_HANDLER(fd_pread);
NX_RT_HANDLER(fd_write);
NX_RT_HANDLER(fd_pwrite);
/* files.c */
NX_RT_HANDLER(fd_close);
NX_RT_HANDLER(fd_renumber);
NX_RT_HANDLER(fd_fdstat_get);
NX_RT_HANDLER(fd_fdstat_set_flags);
NX_RT_HANDLER(fd_fdstat_set_rights);
NX_RT_HANDLER(fd_filestat_get);
NX_RT_HANDLER(fd_filestat_set_size);
NX_RT_HANDLER(fd_filestat_set_times);
NX_RT_HANDLER(fd_seek);
NX_RT_HANDLER(fd_tell);
NX_RT_HANDLER(fd_advise);
NX_RT_HANDLER(fd_allocate);
NX_RT_HANDLER(fd_sync);
NX_RT_HANDLER(fd_datasync);
NX_RT_HANDLER(fd_prestat_get);
NX_RT_HANDLER(fd_prestat_dir_name);
NX_RT_HANDLER(fd_readdir);
NX_RT_HANDLER(sock);
/* paths.c */
NX_RT_HANDLER(path_create_directory);
NX_RT_HANDLER(path_filestat_get);
NX_RT_HANDLER(path_filestat_set_times);
NX_RT_HANDLER(path_link);
NX_RT_HANDLER(path_open);
NX_RT_HANDLER(path_readlink);
NX_RT_HANDLER(path_remove_directory);
NX_RT_HANDLER(path_rename);
NX_RT_HANDLER(path_symlink);
NX_RT_HANDLER(path_unlink_file);
/* effects/: module nexus */
NX_RT_HANDLER(nexus_http_request);
NX_RT_HANDLER(nexus_kv_get);
NX_RT_HANDLER(nexus_kv_put);
NX_RT_HANDLER(nexus_kv_delete);
NX_RT_HANDLER(nexus_emit);
NX_RT_HANDLER(nexus_secret_get);
NX_RT_HANDLER(nexus_answer_size);
NX_RT_HANDLER(nexus_answer_read);
#endif
