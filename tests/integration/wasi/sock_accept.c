#include "case.h"

static void test(void)
{
    u32 fd = 77;
    IS(w_sock_accept(NEVER, 0, P(&fd)), E(BADF));
    IS(w_sock_accept(0, 0, P(&fd)), E(NOTSOCK));
    IS(w_sock_accept(ROOT, 0, P(&fd)), E(NOTSOCK));
    IS(w_sock_accept(OPEN("hello.txt", 0), 0, P(&fd)), E(NOTSOCK));
    IS(fd, 77);
}
