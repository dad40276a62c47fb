#include "case.h"

static void test(void)
{
    IS(w_sock_shutdown(NEVER, __WASI_SDFLAGS_RD), E(BADF));
    for (u32 fd = 0; fd <= ROOT; fd++) IS(w_sock_shutdown(fd, __WASI_SDFLAGS_WR), E(NOTSOCK));
    IS(w_sock_shutdown(OPEN("hello.txt", 0), __WASI_SDFLAGS_RD | __WASI_SDFLAGS_WR), E(NOTSOCK));
}
