#include "case.h"

static void test(void)
{
    u64 ns;
    for (u32 id = 0; id < 4; id++) {
        ns = 0;
        IS(w_clock_res_get(id, P(&ns)), OK);
        TRUE(ns > 0 && ns <= 1000000000);
    }
    IS(w_clock_res_get(4, P(&ns)), E(INVAL));
    IS(w_clock_res_get(NEVER, P(&ns)), E(INVAL));
    IS(w_clock_res_get(0, END - 7), E(FAULT));
    IS(w_clock_res_get(0, END - 8), OK);
}
