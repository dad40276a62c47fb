#include "case.h"

static void test(void)
{
    fdstat s;
    IS(w_fd_fdstat_get(ROOT, P(&s)), OK);
    IS(s.type, __WASI_FILETYPE_DIRECTORY);
    IS(s.flags, 0);
    const u64 folder = R(PATH_CREATE_DIRECTORY) | R(PATH_CREATE_FILE) | R(PATH_LINK_SOURCE) | R(PATH_LINK_TARGET) | R(PATH_OPEN) | R(FD_READDIR) |
                       R(PATH_READLINK) | R(PATH_RENAME_SOURCE) | R(PATH_RENAME_TARGET) | R(PATH_SYMLINK) | R(PATH_REMOVE_DIRECTORY) |
                       R(PATH_UNLINK_FILE) | R(PATH_FILESTAT_GET) | R(PATH_FILESTAT_SET_TIMES) | R(FD_FILESTAT_GET) | R(FD_FILESTAT_SET_TIMES);
    const u64 file = R(FD_DATASYNC) | R(FD_READ) | R(FD_SEEK) | R(FD_FDSTAT_SET_FLAGS) | R(FD_SYNC) | R(FD_TELL) | R(FD_WRITE) | R(FD_ADVISE) |
                     R(FD_ALLOCATE) | R(FD_FILESTAT_GET) | R(FD_FILESTAT_SET_SIZE) | R(FD_FILESTAT_SET_TIMES) | R(POLL_FD_READWRITE);
    IS(s.rights & folder, folder);
    IS(s.rights & (R(FD_SEEK) | R(FD_READ) | R(FD_WRITE) | R(FD_FILESTAT_SET_SIZE)), 0);
    IS(s.inheriting & (folder | file), folder | file);
    IS(open_with(ROOT, 0, "hello.txt", 0, R(FD_READ) | R(FD_SEEK), __WASI_FDFLAGS_APPEND | __WASI_FDFLAGS_SYNC), OK);
    s = fd_of(opened);
    IS(s.type, __WASI_FILETYPE_REGULAR_FILE);
    IS(s.flags, __WASI_FDFLAGS_APPEND | __WASI_FDFLAGS_SYNC);
    IS(s.rights, R(FD_READ) | R(FD_SEEK));
    s = fd_of(OPEN("hello.txt", 0));
    IS(s.rights & file, file);
    IS(s.rights & R(PATH_OPEN), 0); /* what only a folder can use */
    /* A stream is no terminal: without the rights to seek, libc would take a character device for one. */
    for (u32 fd = 0; fd < ROOT; fd++) {
        IS(w_fd_fdstat_get(fd, P(&s)), OK);
        TRUE(s.type != __WASI_FILETYPE_CHARACTER_DEVICE);
        IS(s.rights & (R(FD_READ) | R(FD_WRITE)), fd ? R(FD_WRITE) : R(FD_READ));
        IS(s.rights & (R(FD_SEEK) | R(FD_TELL)), 0);
    }
    IS(w_fd_fdstat_get(NEVER, P(&s)), E(BADF));
    IS(w_fd_fdstat_get(ROOT, END - 23), E(FAULT));
    IS(w_fd_fdstat_get(ROOT, END - 24), OK);
}
