#include "case.h"

static void test(void)
{
    for (int i = 0; i < 100; i++) IS(w_sched_yield(), OK);
}
