#include "case.h"

static void test(void)
{
    IS(w_proc_raise(15), E(NOTSUP));
    IS(w_proc_raise(255), E(NOTSUP));
}
