#include "case.h"

static void test(void)
{
    u32 fd = OPEN("new", CREAT);
    IS(w_fd_allocate(fd, 0, 100), OK);
    IS(stat_of("new").size, 100);
    IS(w_fd_allocate(fd, 10, 10), OK); /* what is there stays */
    IS(stat_of("new").size, 100);
    IS(w_fd_allocate(fd, 90, 20), OK);
    IS(stat_of("new").size, 110);
    IS(read_from(fd, 200), 110);
    for (u32 i = 0; i < 110; i++) TRUE(got[i] == 0);
    IS(w_fd_allocate(fd, 0, 0), E(INVAL));
    EITHER(w_fd_allocate(fd, 1ull << 62, 1ull << 62), E(FBIG), E(INVAL));
    EITHER(w_fd_allocate(fd, ALL, 1), E(FBIG), E(INVAL));
    EITHER(w_fd_allocate(fd, 0, 1ull << 50), E(FBIG), E(NOSPC));
    IS(stat_of("new").size, 110);
    IS(w_fd_allocate(NEVER, 0, 1), E(BADF));
    EITHER(w_fd_allocate(ROOT, 0, 1), E(BADF), E(ISDIR));
    IS(w_fd_allocate(1, 0, 1), E(SPIPE));
    IS(open_with(ROOT, 0, "new", 0, R(FD_READ) | R(FD_WRITE), 0), OK);
    IS(w_fd_allocate(opened, 0, 200), E(NOTCAPABLE));
}
