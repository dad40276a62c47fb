#include "case.h"

static void test(void)
{
    u64 now[4] = {0}, later = 0;
    for (u32 id = 0; id < 4; id++) IS(w_clock_time_get(id, id, P(&now[id])), OK);
    TRUE(now[0] > 1600000000000000000ull); /* after 2020 */
    for (u32 id = 0; id < 4; id++) {
        IS(w_clock_time_get(id, ALL, P(&later)), OK);
        TRUE(later >= now[id]);
    }
    for (u32 i = 0; i < 1000; i++) {
        u64 before = later;
        IS(w_clock_time_get(__WASI_CLOCKID_MONOTONIC, 0, P(&later)), OK);
        TRUE(i == 0 || later >= before);
    }
    IS(w_clock_time_get(4, 0, P(&later)), E(INVAL));
    IS(w_clock_time_get(0, 0, END - 7), E(FAULT));
}
