#include "case.h"

static void test(void)
{
    u32 env[3], count = 0, bytes = 0;
    static char buf[4096];
    IS(w_environ_sizes_get(P(&count), P(&bytes)), OK);
    IS(count, 3);
    IS(bytes, strlen("ONE=1") + strlen("EMPTY=") + strlen("EQUALS=a=b") + 3);
    buf[bytes] = '~';
    IS(w_environ_get(P(env), P(buf)), OK);
    int seen = 0;
    for (u32 i = 0; i < 3; i++) {
        TRUE(env[i] >= P(buf) && env[i] < P(buf) + bytes);
        if (strcmp((char *)env[i], "ONE=1") == 0) seen |= 1;
        if (strcmp((char *)env[i], "EMPTY=") == 0) seen |= 2;
        if (strcmp((char *)env[i], "EQUALS=a=b") == 0) seen |= 4;
    }
    IS(seen, 7);
    IS(buf[bytes], '~');
    IS(w_environ_get(END - 8, P(buf)), E(FAULT));
    IS(w_environ_get(P(env), END - 4), E(FAULT));
}
