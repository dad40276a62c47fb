#include "case.h"

static void test(void)
{
    u32 fd = OPEN("new", CREAT);
    u64 at;
    IS(write_to(fd, "0123456789"), OK);
    IS(w_fd_fdstat_set_flags(fd, __WASI_FDFLAGS_APPEND), OK);
    IS(fd_of(fd).flags, __WASI_FDFLAGS_APPEND);
    IS(w_fd_seek(fd, 0, __WASI_WHENCE_SET, P(&at)), OK);
    IS(write_to(fd, "ab"), OK);
    IS(stat_of("new").size, 12);
    IS(w_fd_tell(fd, P(&at)), OK);
    IS(at, 12);
    IS(w_fd_fdstat_set_flags(fd, 0), OK);
    IS(w_fd_seek(fd, 0, __WASI_WHENCE_SET, P(&at)), OK);
    IS(write_to(fd, "ab"), OK);
    IS(stat_of("new").size, 12);
    IS(w_fd_fdstat_set_flags(fd, __WASI_FDFLAGS_NONBLOCK), OK);
    IS(fd_of(fd).flags, __WASI_FDFLAGS_NONBLOCK);
    IS(w_fd_fdstat_set_flags(fd, 32), E(INVAL));
    IS(fd_of(fd).flags, __WASI_FDFLAGS_NONBLOCK);
    IS(w_fd_fdstat_set_flags(NEVER, 0), E(BADF));
    IS(w_fd_fdstat_set_flags(0, __WASI_FDFLAGS_NONBLOCK), OK);
    IS(fd_of(0).flags, __WASI_FDFLAGS_NONBLOCK);
    IS(open_with(ROOT, 0, "new", 0, R(FD_READ) | R(FD_WRITE), 0), OK);
    IS(w_fd_fdstat_set_flags(opened, __WASI_FDFLAGS_APPEND), E(NOTCAPABLE));
}
