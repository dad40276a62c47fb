#include "case.h"

static void test(void)
{
    u32 fd = OPEN("hello.txt", 0), n = 77;
    char a[4] = "....", b[8] = "........";
    iov v[2] = {{P(a), 4}, {P(b), 8}};
    u64 at;
    IS(w_fd_pread(fd, P(v), 2, 0, P(&n)), OK);
    IS(n, 11);
    TRUE(memcmp(a, "hell", 4) == 0 && memcmp(b, "o world.", 8) == 0);
    IS(w_fd_pread(fd, P(v), 1, 6, P(&n)), OK);
    IS(n, 4);
    TRUE(memcmp(a, "worl", 4) == 0);
    IS(w_fd_pread(fd, P(v), 1, 10, P(&n)), OK);
    IS(n, 1);
    TRUE(memcmp(a, "dorl", 4) == 0);
    IS(w_fd_pread(fd, P(v), 1, 11, P(&n)), OK);
    IS(n, 0);
    IS(w_fd_pread(fd, P(v), 1, 1ull << 62, P(&n)), OK);
    IS(n, 0);
    IS(w_fd_pread(fd, P(v), 1, ALL, P(&n)), E(INVAL));
    IS(w_fd_pread(fd, P(v), 0, 0, P(&n)), OK);
    IS(n, 0);
    IS(w_fd_tell(fd, P(&at)), OK);
    IS(at, 0);
    IS(w_fd_pread(NEVER, P(v), 1, 0, P(&n)), E(BADF));
    IS(w_fd_pread(0, P(v), 1, 0, P(&n)), E(SPIPE));
    IS(w_fd_pread(ROOT, P(v), 1, 0, P(&n)), E(ISDIR));
    IS(w_fd_pread(fd, END - 4, 1, 0, P(&n)), E(FAULT));
    IS(w_fd_pread(fd, P(v), 1, 0, END - 3), E(FAULT));
    IS(open_with(ROOT, 0, "hello.txt", 0, R(FD_READ), 0), OK);
    IS(w_fd_pread(opened, P(v), 1, 0, P(&n)), E(NOTCAPABLE)); /* it also takes the right to seek */
    IS(open_with(ROOT, 0, "hello.txt", 0, R(FD_SEEK), 0), OK);
    IS(w_fd_pread(opened, P(v), 1, 0, P(&n)), E(NOTCAPABLE));
}
