#include "case.h"

static void test(void)
{
    u32 pair[2] = {77, 77}, argv, name_n;
    static char buf[4096];
    IS(w_args_sizes_get(P(&pair[0]), P(&pair[1])), OK);
    IS(pair[0], 1); /* the program's name alone */
    IS(w_args_get(P(&argv), P(buf)), OK);
    name_n = (u32)strlen(buf) + 1;
    IS(pair[1], name_n);
    IS(w_args_sizes_get(END - 4, P(&pair[1])), OK);
    IS(w_args_sizes_get(END - 3, P(&pair[1])), E(FAULT));
    IS(w_args_sizes_get(P(&pair[0]), END), E(FAULT));
    IS(w_args_sizes_get(P(&pair[0]), NEVER), E(FAULT));
}
