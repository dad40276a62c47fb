#include "case.h"

static void test(void)
{
    u32 fd = OPEN("new", CREAT);
    u64 at;
    IS(write_to(fd, "hello"), OK);
    IS(w_fd_filestat_set_size(fd, 2), OK);
    IS(stat_of("new").size, 2);
    IS(w_fd_tell(fd, P(&at)), OK);
    IS(at, 5); /* the position stays */
    IS(w_fd_filestat_set_size(fd, 8), OK);
    IS(w_fd_seek(fd, 0, 0, P(&at)), OK);
    IS(read_from(fd, 20), 8);
    TRUE(memcmp(got, "he\0\0\0\0\0\0", 8) == 0); /* what was cut off does not come back */
    IS(w_fd_filestat_set_size(fd, 8), OK);
    IS(w_fd_filestat_set_size(fd, 0), OK);
    IS(stat_of("new").size, 0);
    EITHER(w_fd_filestat_set_size(fd, ALL), E(INVAL), E(FBIG));
    EITHER(w_fd_filestat_set_size(fd, 1ull << 50), E(FBIG), E(NOSPC));
    IS(stat_of("new").size, 0);
    IS(w_fd_filestat_set_size(NEVER, 0), E(BADF));
    IS(w_fd_filestat_set_size(1, 0), E(INVAL));
    EITHER(w_fd_filestat_set_size(ROOT, 0), E(ISDIR), E(BADF));
    IS(open_with(ROOT, 0, "new", 0, R(FD_READ) | R(FD_WRITE), 0), OK);
    IS(w_fd_filestat_set_size(opened, 1), E(NOTCAPABLE));
}
