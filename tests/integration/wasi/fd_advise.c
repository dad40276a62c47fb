#include "case.h"

static void test(void)
{
    u32 fd = OPEN("hello.txt", 0);
    for (u32 advice = 0; advice <= 5; advice++) IS(w_fd_advise(fd, 0, 11, advice), OK);
    IS(w_fd_advise(fd, 0, 0, 0), OK);
    IS(w_fd_advise(fd, 1000, 1000, 0), OK); /* past the end */
    IS(w_fd_advise(fd, 0, 11, 6), E(INVAL));
    IS(stat_of("hello.txt").size, 11);
    IS(w_fd_advise(NEVER, 0, 0, 0), E(BADF));
    IS(w_fd_advise(0, 0, 0, 0), E(SPIPE));
    IS(w_fd_advise(ROOT, 0, 0, 0), E(BADF));
    IS(open_with(ROOT, 0, "hello.txt", 0, R(FD_READ), 0), OK);
    IS(w_fd_advise(opened, 0, 0, 0), E(NOTCAPABLE));
}
