#include "case.h"

static void test(void)
{
    filestat s, by_path = stat_of("hello.txt"), other = stat_of("sub/inner.txt");
    u32 fd = OPEN("hello.txt", 0);
    IS(w_fd_filestat_get(fd, P(&s)), OK);
    IS(s.type, __WASI_FILETYPE_REGULAR_FILE);
    IS(s.size, 11);
    IS(s.links, 1);
    IS(s.ino, by_path.ino);
    IS(s.dev, by_path.dev);
    IS(s.mtim, by_path.mtim);
    TRUE(s.mtim > 1000000000000000000ull);
    IS(s.dev, other.dev);
    TRUE(s.ino != other.ino);
    IS(w_fd_filestat_get(ROOT, P(&s)), OK);
    IS(s.type, __WASI_FILETYPE_DIRECTORY);
    IS(s.ino, stat_of(".").ino);
    for (u32 i = 0; i < ROOT; i++) {
        IS(w_fd_filestat_get(i, P(&s)), OK);
        TRUE(s.type != __WASI_FILETYPE_CHARACTER_DEVICE);
        IS(s.size, 0);
    }
    IS(w_fd_filestat_get(NEVER, P(&s)), E(BADF));
    IS(w_fd_filestat_get(fd, END - 63), E(FAULT));
    IS(w_fd_filestat_get(fd, END - 64), OK);
    IS(open_with(ROOT, 0, "hello.txt", 0, R(FD_READ), 0), OK);
    IS(w_fd_filestat_get(opened, P(&s)), E(NOTCAPABLE));
}
