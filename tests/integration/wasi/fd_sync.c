#include "case.h"

static void test(void)
{
    u32 fd = OPEN("new", CREAT);
    IS(write_to(fd, "x"), OK);
    IS(w_fd_sync(fd), OK);
    IS(w_fd_sync(ROOT), OK);
    IS(w_fd_sync(NEVER), E(BADF));
    IS(w_fd_sync(1), E(INVAL));
    IS(open_with(ROOT, 0, "new", 0, R(FD_READ) | R(FD_WRITE), 0), OK);
    IS(w_fd_sync(opened), E(NOTCAPABLE));
    IS(open_with(ROOT, 0, "new", 0, R(FD_SYNC), 0), OK);
    IS(w_fd_sync(opened), OK);
}
