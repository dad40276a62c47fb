#include "case.h"

static void test(void)
{
    u8 byte = 'x';
    iov v = {P(&byte), 1};
    u32 n = 77;
    IS(w_sock_send(NEVER, P(&v), 1, 0, P(&n)), E(BADF));
    IS(w_sock_send(1, P(&v), 1, 0, P(&n)), E(NOTSOCK));
    IS(w_sock_send(OPEN("hello.txt", 0), P(&v), 1, 0, P(&n)), E(NOTSOCK));
    IS(n, 77);
}
