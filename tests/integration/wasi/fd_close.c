#include "case.h"

static void test(void)
{
    u32 fd = OPEN("hello.txt", 0);
    IS(w_fd_close(fd), OK);
    IS(w_fd_close(fd), E(BADF));
    IS(read_from(fd, 1), (u64)E(BADF) << 32);
    IS(OPEN("hello.txt", 0), fd); /* the lowest free one, as POSIX asks */
    IS(w_fd_close(NEVER), E(BADF));
    IS(w_fd_close(1 << 30), E(BADF));
    /* A file that is removed stays until it is closed. */
    u32 gone = OPEN("gone", CREAT | EXCL);
    IS(write_to(gone, "still"), OK);
    IS(w_path_unlink_file(ROOT, S("gone")), OK);
    u64 at;
    IS(w_fd_seek(gone, 0, 0, P(&at)), OK);
    IS(read_from(gone, 10), 5);
    GOT("still");
    filestat s;
    IS(w_fd_filestat_get(gone, P(&s)), OK);
    IS(s.links, 0);
    IS(w_fd_close(gone), OK);
    /* The folder that was there from the start, and the streams, may be closed, too. */
    u32 again = OPEN(".", DIRECTORY);
    IS(w_fd_close(ROOT), OK);
    IS(w_fd_fdstat_get(ROOT, P(&at)), E(BADF));
    IS(open_with(again, 0, "hello.txt", 0, R(FD_READ), 0), OK);
    IS(w_fd_close(0), OK);
    IS(w_fd_close(0), E(BADF));
}
