#include "case.h"

static void test(void)
{
    static const char *const given[] = {"ONE=1", "EMPTY=", "EQUALS=a=b", "TEXT=escap \" ing\nnew\tline \xc3\xa4"};
    u32 env[4], count = 0, bytes = 0, expected = 0;
    static char buf[4096];
    IS(w_environ_sizes_get(P(&count), P(&bytes)), OK);
    IS(count, 4);
    for (u32 i = 0; i < 4; i++) expected += (u32)strlen(given[i]) + 1;
    IS(bytes, expected);
    buf[bytes] = '~';
    IS(w_environ_get(P(env), P(buf)), OK);
    for (u32 i = 0; i < 4; i++) { /* in the order in which they were given */
        TRUE(env[i] >= P(buf) && env[i] < P(buf) + bytes);
        TRUE(strcmp((char *)env[i], given[i]) == 0);
    }
    IS(buf[bytes], '~');
    IS(w_environ_get(END - 12, P(buf)), E(FAULT));
    IS(w_environ_get(P(env), END - 4), E(FAULT));
}
