#include "case.h"

static void test(void)
{
    char name[20] = "~~~~~~~~~~~~~~~~~~~";
    IS(w_fd_prestat_dir_name(ROOT, P(name), 6), OK);
    TRUE(memcmp(name, "fs.dir~", 7) == 0); /* without a NUL */
    memset(name, '~', sizeof name);
    IS(w_fd_prestat_dir_name(ROOT, P(name), 20), OK); /* more room than needed */
    TRUE(memcmp(name, "fs.dir~", 7) == 0);
    EITHER(w_fd_prestat_dir_name(ROOT, P(name), 5), E(NAMETOOLONG), E(INVAL));
    EITHER(w_fd_prestat_dir_name(ROOT, P(name), 0), E(NAMETOOLONG), E(INVAL));
    IS(w_fd_prestat_dir_name(ROOT, END - 5, 6), E(FAULT));
    IS(w_fd_prestat_dir_name(0, P(name), 20), E(BADF));
    IS(w_fd_prestat_dir_name(NEVER, P(name), 20), E(BADF));
    IS(w_fd_prestat_dir_name(ROOT + 1, P(name), 20), E(BADF));
}
