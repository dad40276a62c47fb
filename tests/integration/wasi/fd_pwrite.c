#include "case.h"

static void test(void)
{
    u32 fd = OPEN("new", CREAT), n = 77;
    iov v[2] = {{P("abc"), 3}, {P("de"), 2}};
    u64 at;
    IS(w_fd_pwrite(fd, P(v), 2, 0, P(&n)), OK);
    IS(n, 5);
    IS(w_fd_pwrite(fd, P(v), 1, 8, P(&n)), OK); /* behind the end: a hole of zeros */
    IS(n, 3);
    IS(w_fd_pwrite(fd, P(&v[1]), 1, 1, P(&n)), OK);
    IS(w_fd_tell(fd, P(&at)), OK);
    IS(at, 0);
    IS(read_from(fd, 20), 11);
    TRUE(memcmp(got, "adede\0\0\0abc", 11) == 0);
    IS(w_fd_pwrite(fd, P(v), 0, 100, P(&n)), OK);
    IS(n, 0);
    IS(stat_of("new").size, 11);
    EITHER(w_fd_pwrite(fd, P(v), 1, ALL, P(&n)), E(INVAL), E(FBIG));
    EITHER(w_fd_pwrite(fd, P(v), 1, INT64_MAX, P(&n)), E(INVAL), E(FBIG));
    EITHER(w_fd_pwrite(fd, P(v), 1, 1ull << 50, P(&n)), E(NOSPC), E(FBIG));
    IS(w_fd_pwrite(NEVER, P(v), 1, 0, P(&n)), E(BADF));
    IS(w_fd_pwrite(1, P(v), 1, 0, P(&n)), E(SPIPE));
    EITHER(w_fd_pwrite(ROOT, P(v), 1, 0, P(&n)), E(ISDIR), E(BADF));
    IS(w_fd_pwrite(fd, P(v), 1, 0, END), E(FAULT));
    v[0].n = NEVER;
    IS(w_fd_pwrite(fd, P(v), 1, 0, P(&n)), E(FAULT));
    v[0].n = 3;
    IS(open_with(ROOT, 0, "new", 0, R(FD_WRITE), 0), OK);
    IS(w_fd_pwrite(opened, P(v), 1, 0, P(&n)), E(NOTCAPABLE));
    /* With the flag to append, POSIX and Linux differ; the position stays in both. */
    IS(open_with(ROOT, 0, "new", 0, ALL, __WASI_FDFLAGS_APPEND), OK);
    IS(w_fd_pwrite(opened, P(v), 1, 0, P(&n)), OK);
    EITHER(stat_of("new").size, 11, 14);
    IS(w_fd_tell(opened, P(&at)), OK);
    IS(at, 0);
}
