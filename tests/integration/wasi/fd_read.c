#include "case.h"

static void test(void)
{
    u32 fd = OPEN("hello.txt", 0), n = 77;
    char a[4] = "....", b[8] = "........";
    iov v[3] = {{P(a), 4}, {END, 0}, {P(b), 8}};
    IS(w_fd_read(fd, P(v), 3, P(&n)), OK);
    IS(n, 11);
    TRUE(memcmp(a, "hell", 4) == 0 && memcmp(b, "o world.", 8) == 0);
    IS(w_fd_read(fd, P(v), 3, P(&n)), OK); /* the end */
    IS(n, 0);
    u64 at;
    IS(w_fd_seek(fd, 0, 0, P(&at)), OK);
    IS(w_fd_read(fd, P(v), 0, P(&n)), OK);
    IS(n, 0);
    /* One buffer twice, and two that overlap: filled in order. */
    iov twice[2] = {{P(b), 4}, {P(b) + 2, 4}};
    IS(w_fd_read(fd, P(twice), 2, P(&n)), OK);
    IS(n, 8);
    TRUE(memcmp(b, "heo wor", 6) == 0);
    IS(w_fd_read(NEVER, P(v), 1, P(&n)), E(BADF));
    EITHER(w_fd_read(ROOT, P(v), 1, P(&n)), E(ISDIR), E(BADF));
    IS(w_fd_read(1, P(v), 1, P(&n)), E(BADF));
    /* Nothing is taken from the file where the answer can't be given. */
    IS(w_fd_tell(fd, P(&at)), OK);
    IS(w_fd_read(fd, END - 4, 1, P(&n)), E(FAULT));
    IS(w_fd_read(fd, P(v), 1, END - 3), E(FAULT));
    iov bad[2] = {{P(a), 1}, {END - 1, 2}};
    IS(w_fd_read(fd, P(bad), 2, P(&n)), E(FAULT));
    bad[1] = (iov){P(b), NEVER};
    IS(w_fd_read(fd, P(bad), 2, P(&n)), E(FAULT));
    IS(w_fd_read(fd, P(v), NEVER, P(&n)), E(INVAL));
    u64 then;
    IS(w_fd_tell(fd, P(&then)), OK);
    IS(then, at);
    /* Up to the last byte of the memory. */
    IS(w_fd_seek(fd, 0, 0, P(&at)), OK);
    bad[0] = (iov){END - 2, 2};
    IS(w_fd_read(fd, P(bad), 1, P(&n)), OK);
    TRUE(*(u8 *)(END - 1) == 'e');
    IS(open_with(ROOT, 0, "hello.txt", 0, R(FD_WRITE), 0), OK);
    EITHER(w_fd_read(opened, P(v), 1, P(&n)), E(NOTCAPABLE), E(BADF));
    /* stdin */
    v[0].n = 2;
    IS(w_fd_read(0, P(v), 1, P(&n)), OK);
    IS(n, 2);
    TRUE(memcmp(a, "in", 2) == 0);
    IS(read_from(0, 100), 3);
    GOT("put");
    IS(read_from(0, 100), 0);
}
