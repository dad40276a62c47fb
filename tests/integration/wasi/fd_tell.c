#include "case.h"

static void test(void)
{
    u32 fd = OPEN("new", CREAT);
    u64 at = 77;
    IS(w_fd_tell(fd, P(&at)), OK);
    IS(at, 0);
    IS(write_to(fd, "12345"), OK);
    IS(w_fd_tell(fd, P(&at)), OK);
    IS(at, 5);
    IS(w_fd_seek(fd, 1ll << 40, 0, P(&at)), OK);
    IS(w_fd_tell(fd, P(&at)), OK);
    IS(at, 1ull << 40);
    IS(w_fd_tell(NEVER, P(&at)), E(BADF));
    for (u32 i = 0; i < ROOT; i++) IS(w_fd_tell(i, P(&at)), E(SPIPE));
    EITHER(w_fd_tell(ROOT, P(&at)), E(BADF), E(ISDIR));
    IS(w_fd_tell(fd, END - 7), E(FAULT));
    IS(w_fd_tell(fd, END - 8), OK);
    IS(open_with(ROOT, 0, "hello.txt", 0, R(FD_READ), 0), OK);
    IS(w_fd_tell(opened, P(&at)), E(NOTCAPABLE));
    IS(open_with(ROOT, 0, "hello.txt", 0, R(FD_SEEK), 0), OK);
    IS(w_fd_tell(opened, P(&at)), OK); /* the right to seek implies the one to tell */
}
