#include "case.h"

enum { SET,
       CUR,
       END_OF };

static void test(void)
{
    u32 fd = OPEN("hello.txt", 0);
    u64 at = 77;
    IS(w_fd_seek(fd, 6, SET, P(&at)), OK);
    IS(at, 6);
    IS(read_from(fd, 20), 5);
    IS(w_fd_seek(fd, -5, END_OF, P(&at)), OK);
    IS(at, 6);
    IS(w_fd_seek(fd, -2, CUR, P(&at)), OK);
    IS(at, 4);
    IS(w_fd_seek(fd, 0, CUR, P(&at)), OK);
    IS(at, 4);
    IS(w_fd_seek(fd, -5, CUR, P(&at)), E(INVAL));
    IS(w_fd_seek(fd, -12, END_OF, P(&at)), E(INVAL));
    IS(w_fd_seek(fd, -1, SET, P(&at)), E(INVAL));
    IS(w_fd_seek(fd, INT64_MIN, SET, P(&at)), E(INVAL));
    IS(w_fd_seek(fd, INT64_MIN, CUR, P(&at)), E(INVAL));
    EITHER(w_fd_seek(fd, INT64_MAX, CUR, P(&at)), E(INVAL), E(OVERFLOW));
    EITHER(w_fd_seek(fd, INT64_MAX, END_OF, P(&at)), E(INVAL), E(OVERFLOW));
    IS(w_fd_seek(fd, 0, 3, P(&at)), E(INVAL));
    IS(w_fd_seek(fd, 0, CUR, P(&at)), OK);
    IS(at, 4);
    IS(w_fd_seek(fd, 1000, END_OF, P(&at)), OK); /* past the end is allowed */
    IS(at, 1011);
    IS(read_from(fd, 10), 0);
    IS(stat_of("hello.txt").size, 11);
    IS(w_fd_seek(fd, INT64_MAX, SET, P(&at)), OK);
    IS(w_fd_seek(fd, 1, CUR, P(&at)), E(INVAL));
    IS(w_fd_seek(NEVER, 0, SET, P(&at)), E(BADF));
    for (u32 i = 0; i < ROOT; i++) IS(w_fd_seek(i, 0, SET, P(&at)), E(SPIPE));
    EITHER(w_fd_seek(ROOT, 0, SET, P(&at)), E(BADF), E(ISDIR));
    EITHER(w_fd_seek(ROOT, 0, CUR, P(&at)), E(BADF), E(ISDIR));
    IS(w_fd_seek(fd, 2, SET, END - 7), E(FAULT));
    IS(open_with(ROOT, 0, "hello.txt", 0, R(FD_READ) | R(FD_TELL), 0), OK);
    IS(w_fd_seek(opened, 1, SET, P(&at)), E(NOTCAPABLE));
    IS(w_fd_seek(opened, 0, CUR, P(&at)), OK); /* that is fd_tell */
    IS(open_with(ROOT, 0, "hello.txt", 0, R(FD_READ) | R(FD_SEEK), 0), OK);
    IS(w_fd_seek(opened, 0, CUR, P(&at)), OK); /* the right to seek implies the one to tell */
}
