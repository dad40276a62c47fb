#include "case.h"

static void test(void)
{
    u32 argv[5], count = 0, bytes = 0;
    static char buf[4096];
    IS(w_args_sizes_get(P(&count), P(&bytes)), OK);
    IS(count, 5); /* the program's name and those of the specification */
    TRUE(bytes < sizeof buf);
    buf[bytes] = '~';
    IS(w_args_get(P(argv), P(buf)), OK);
    IS(argv[0], P(buf));
    TRUE(strlen((char *)argv[0]) > 0);
    TRUE(strcmp((char *)argv[1], "first") == 0);
    TRUE(strcmp((char *)argv[2], "") == 0);
    TRUE(strcmp((char *)argv[3], "the \"3rd\"") == 0);
    TRUE(strcmp((char *)argv[4], "vier\xc3\xa4") == 0);
    IS(argv[4] + strlen("vier\xc3\xa4") + 1, P(buf) + bytes);
    IS(buf[bytes], '~');
    IS(w_args_get(END - 4, P(buf)), E(FAULT));
    IS(w_args_get(P(argv), END - 1), E(FAULT));
    IS(w_args_get(P(argv), NEVER), E(FAULT));
}
