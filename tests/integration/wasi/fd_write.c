#include "case.h"

static u8 big[3 << 20];

static void test(void)
{
    u32 fd = OPEN("new", CREAT), n = 77;
    iov v[3] = {{P("abc"), 3}, {END, 0}, {P("de"), 2}};
    u64 at;
    IS(w_fd_write(fd, P(v), 3, P(&n)), OK);
    IS(n, 5);
    IS(w_fd_write(fd, P(v), 0, P(&n)), OK);
    IS(n, 0);
    IS(w_fd_seek(fd, 0, 0, P(&at)), OK);
    IS(read_from(fd, 10), 5);
    GOT("abcde");
    IS(w_fd_seek(fd, 8, 0, P(&at)), OK); /* behind the end: a hole of zeros */
    IS(w_fd_write(fd, P(v), 1, P(&n)), OK);
    IS(w_fd_seek(fd, 5, 0, P(&at)), OK);
    IS(read_from(fd, 10), 6);
    TRUE(memcmp(got, "\0\0\0abc", 6) == 0);
    filestat before = stat_of("new");
    IS(w_fd_write(NEVER, P(v), 1, P(&n)), E(BADF));
    EITHER(w_fd_write(ROOT, P(v), 1, P(&n)), E(ISDIR), E(BADF));
    IS(w_fd_write(0, P(v), 1, P(&n)), E(BADF));
    IS(w_fd_write(fd, END - 4, 1, P(&n)), E(FAULT));
    IS(w_fd_write(fd, P(v), 1, END - 3), E(FAULT));
    IS(w_fd_write(1, P(v), 1, END - 3), E(FAULT));
    iov bad[2] = {{P("x"), 1}, {END - 1, 2}};
    IS(w_fd_write(fd, P(bad), 2, P(&n)), E(FAULT));
    IS(w_fd_write(1, P(bad), 2, P(&n)), E(FAULT));
    IS(w_fd_write(fd, P(v), NEVER, P(&n)), E(INVAL));
    IS(stat_of("new").size, before.size);
    IS(stat_of("new").mtim, before.mtim);
    IS(open_with(ROOT, 0, "new", 0, R(FD_READ), 0), OK);
    EITHER(w_fd_write(opened, P(v), 1, P(&n)), E(NOTCAPABLE), E(BADF));
    /* More than one call moves: a short count, and the next goes on. */
    u32 large = OPEN("large", CREAT), sum = 0;
    memset(big, 'x', sizeof big);
    while (sum < sizeof big) {
        iov rest = {P(big) + sum, sizeof big - sum};
        IS(w_fd_write(large, P(&rest), 1, P(&n)), OK);
        TRUE(n > 0);
        if (!n) return;
        sum += n;
    }
    IS(sum, sizeof big);
    IS(stat_of("large").size, sizeof big);
    /* What was written has a new time. */
    filestat now = stat_of("new");
    IS(write_to(fd, "x"), OK);
    TRUE(stat_of("new").mtim >= now.mtim && stat_of("new").ctim >= now.ctim);
    IS(write_to(1, "to "), OK);
    IS(write_to(1, "stdout\n"), OK);
}
