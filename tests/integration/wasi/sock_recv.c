#include "case.h"

static void test(void)
{
    u8 byte;
    iov v = {P(&byte), 1};
    u32 n = 77, flags = 0;
    IS(w_sock_recv(NEVER, P(&v), 1, 0, P(&n), P(&flags)), E(BADF));
    IS(w_sock_recv(0, P(&v), 1, 0, P(&n), P(&flags)), E(NOTSOCK));
    IS(w_sock_recv(OPEN("hello.txt", 0), P(&v), 1, 0, P(&n), P(&flags)), E(NOTSOCK));
    IS(n, 77);
}
