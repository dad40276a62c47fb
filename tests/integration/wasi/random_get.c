#include "case.h"

static u8 big[1 << 20];

static void test(void)
{
    u8 a[32] = {0}, b[32] = {0};
    IS(w_random_get(P(a), 32), OK);
    IS(w_random_get(P(b), 32), OK);
    TRUE(memcmp(a, b, 32) != 0);
    memset(a, 7, 32);
    IS(w_random_get(P(a), 0), OK);
    IS(a[0], 7);
    IS(w_random_get(END, 0), OK);
    IS(w_random_get(END - 1, 1), OK);
    IS(w_random_get(END - 1, 2), E(FAULT));
    IS(w_random_get(P(a), NEVER), E(FAULT));
    /* Every byte value, about as often as the others. */
    u32 count[256] = {0};
    IS(w_random_get(P(big), sizeof big), OK);
    for (u32 i = 0; i < sizeof big; i++) count[big[i]]++;
    for (u32 i = 0; i < 256; i++) TRUE(count[i] > 3000 && count[i] < 5200);
}
