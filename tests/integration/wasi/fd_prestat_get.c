#include "case.h"

static void test(void)
{
    struct {
        u8 tag;
        u32 name_n;
    } s = {77, 77};
    IS(w_fd_prestat_get(ROOT, P(&s)), OK);
    IS(s.tag, __WASI_PREOPENTYPE_DIR);
    IS(s.name_n, strlen("fs.dir"));
    IS(w_fd_prestat_get(ROOT + 1, P(&s)), OK); /* the second of them */
    IS(s.name_n, strlen("fs.dir/sub"));
    filestat one, two;
    IS(w_fd_filestat_get(ROOT, P(&one)), OK);
    IS(w_fd_filestat_get(ROOT + 1, P(&two)), OK);
    TRUE(one.dev != two.dev || one.ino != two.ino);
    IS(w_fd_prestat_get(ROOT + 2, P(&s)), E(BADF));
    for (u32 fd = 0; fd < ROOT; fd++) IS(w_fd_prestat_get(fd, P(&s)), E(BADF));
    IS(w_fd_prestat_get(NEVER, P(&s)), E(BADF));
    IS(w_fd_prestat_get(ROOT, END - 7), E(FAULT));
    IS(w_fd_prestat_get(OPEN(".", DIRECTORY), P(&s)), E(BADF)); /* opened by the program itself */
}
