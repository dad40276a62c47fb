/* wasi/files.h: what the calls on files share: rights, flags, and the checks in front of every one. */
#ifndef NX_RT_WASI_FILES_H
#define NX_RT_WASI_FILES_H
#include "wasi/table.h"
#include "wasi/tree.h"

/* __wasi_rights_t */
#define NX_RT_RIGHT_DATASYNC (1u << 0)
#define NX_RT_RIGHT_READ (1u << 1)
#define NX_RT_RIGHT_SEEK (1u << 2)
#define NX_RT_RIGHT_SET_FLAGS (1u << 3)
#define NX_RT_RIGHT_SYNC (1u << 4)
#define NX_RT_RIGHT_TELL (1u << 5)
#define NX_RT_RIGHT_WRITE (1u << 6)
#define NX_RT_RIGHT_ADVISE (1u << 7)
#define NX_RT_RIGHT_ALLOCATE (1u << 8)
#define NX_RT_RIGHT_CREATE_DIRECTORY (1u << 9)
#define NX_RT_RIGHT_CREATE_FILE (1u << 10)
#define NX_RT_RIGHT_LINK_SOURCE (1u << 11)
#define NX_RT_RIGHT_LINK_TARGET (1u << 12)
#define NX_RT_RIGHT_PATH_OPEN (1u << 13)
#define NX_RT_RIGHT_READDIR (1u << 14)
#define NX_RT_RIGHT_READLINK (1u << 15)
#define NX_RT_RIGHT_RENAME_SOURCE (1u << 16)
#define NX_RT_RIGHT_RENAME_TARGET (1u << 17)
#define NX_RT_RIGHT_PATH_STAT (1u << 18)
#define NX_RT_RIGHT_PATH_SET_SIZE (1u << 19)
#define NX_RT_RIGHT_PATH_SET_TIMES (1u << 20)
#define NX_RT_RIGHT_STAT (1u << 21)
#define NX_RT_RIGHT_SET_SIZE (1u << 22)
#define NX_RT_RIGHT_SET_TIMES (1u << 23)
#define NX_RT_RIGHT_SYMLINK (1u << 24)
#define NX_RT_RIGHT_REMOVE_DIRECTORY (1u << 25)
#define NX_RT_RIGHT_UNLINK (1u << 26)
#define NX_RT_RIGHT_POLL (1u << 27)
#define NX_RT_RIGHTS_FILE                                                                                                                           \
    (NX_RT_RIGHT_DATASYNC | NX_RT_RIGHT_READ | NX_RT_RIGHT_SEEK | NX_RT_RIGHT_SET_FLAGS | NX_RT_RIGHT_SYNC | NX_RT_RIGHT_TELL | NX_RT_RIGHT_WRITE | \
     NX_RT_RIGHT_ADVISE | NX_RT_RIGHT_ALLOCATE | NX_RT_RIGHT_STAT | NX_RT_RIGHT_SET_SIZE | NX_RT_RIGHT_SET_TIMES | NX_RT_RIGHT_POLL)
#define NX_RT_RIGHTS_DIR                                                                                                                      \
    (NX_RT_RIGHT_SET_FLAGS | NX_RT_RIGHT_SYNC | NX_RT_RIGHT_DATASYNC | NX_RT_RIGHT_CREATE_DIRECTORY | NX_RT_RIGHT_CREATE_FILE |               \
     NX_RT_RIGHT_LINK_SOURCE | NX_RT_RIGHT_LINK_TARGET | NX_RT_RIGHT_PATH_OPEN | NX_RT_RIGHT_READDIR | NX_RT_RIGHT_READLINK |                 \
     NX_RT_RIGHT_RENAME_SOURCE | NX_RT_RIGHT_RENAME_TARGET | NX_RT_RIGHT_PATH_STAT | NX_RT_RIGHT_PATH_SET_SIZE | NX_RT_RIGHT_PATH_SET_TIMES | \
     NX_RT_RIGHT_STAT | NX_RT_RIGHT_SET_TIMES | NX_RT_RIGHT_SYMLINK | NX_RT_RIGHT_REMOVE_DIRECTORY | NX_RT_RIGHT_UNLINK)

/* What a folder hands on. */
#define NX_RT_RIGHTS_ALL (NX_RT_RIGHTS_DIR | (NX_RT_RIGHTS_FILE & ~NX_RT_RIGHTS_DIR))

#define NX_RT_RIGHTS_STREAM (NX_RT_RIGHT_SET_FLAGS | NX_RT_RIGHT_STAT | NX_RT_RIGHT_POLL)

/* __wasi_fdflags_t */
#define NX_RT_FLAG_APPEND 1u
#define NX_RT_FLAGS_ALL 31u

/* __wasi_filetype_t */
#define NX_RT_TYPE_UNKNOWN 0
#define NX_RT_TYPE_DIRECTORY 3
#define NX_RT_TYPE_REGULAR 4
#define NX_RT_TYPE_LINK 7
#define NX_RT_FILESTAT_BYTES 64u
#define NX_RT_LINKS_MAX 32000u

bool nx_rt_is_stream(const nx_rt_open *o);
/* Is it an open file, with these rights? NX_WASI_EBADF (also streams), NX_WASI_EISDIR, NX_WASI_ENOTCAPABLE. */
uint8_t nx_rt_file_check(const nx_rt_open *o, uint64_t rights);
uint8_t nx_rt_type_of(const nx_rt_node *n);
/* __wasi_filestat_t of a node into guest memory; NX_WASI_EFAULT. */
uint8_t nx_rt_put_filestat(const nx_rt_call *c, uint64_t ptr, const nx_rt_node *n);
/* atim, mtim and __wasi_fstflags_t of parameters `i` to `i` + 2. */
uint8_t nx_rt_set_times(const nx_rt_call *c, unsigned i, nx_rt_node *n);
#endif
