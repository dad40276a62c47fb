#include "case.h"

static void test(void)
{
    u32 pair[2] = {77, 77};
    IS(w_environ_sizes_get(P(&pair[0]), P(&pair[1])), OK);
    IS(pair[0], 0); /* nothing of the machine's own environment */
    IS(pair[1], 0);
    IS(w_environ_get(END, END), OK); /* nothing is written */
    IS(w_environ_sizes_get(END - 3, P(&pair[1])), E(FAULT));
    IS(w_environ_sizes_get(P(&pair[0]), END - 3), E(FAULT));
}
