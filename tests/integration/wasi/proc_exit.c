#include "case.h"

static void test(void) { w_proc_exit(n_wrong ? 1 : 33); }
