#include "case.h"

/* No shell can be told such a code: it must not look like success, which its low 8 bits say. */
static void test(void) { w_proc_exit(256); }
