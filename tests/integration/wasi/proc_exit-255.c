#include "case.h"

static void test(void) { w_proc_exit(255); }
