#include "case.h"

#include <stdbool.h>

enum { ATIM = 1,
       ATIM_NOW = 2,
       MTIM = 4,
       MTIM_NOW = 8 };

static void test(void)
{
    u32 fd = OPEN("new", CREAT);
    for (u32 flags = 0; flags < 20; flags++) {
        u64 now;
        filestat s;
        IS(w_fd_filestat_set_times(fd, 5, 7, ATIM | MTIM), OK);
        bool is_wrong = (flags & (ATIM | ATIM_NOW)) == (ATIM | ATIM_NOW) || (flags & (MTIM | MTIM_NOW)) == (MTIM | MTIM_NOW) || flags > 15;
        IS(w_clock_time_get(0, 0, P(&now)), OK);
        IS(w_fd_filestat_set_times(fd, 100, 200, flags), is_wrong ? E(INVAL) : OK);
        IS(w_fd_filestat_get(fd, P(&s)), OK);
        u32 done = is_wrong ? 0 : flags;
        if (done & ATIM_NOW) TRUE(s.atim >= now);
        else IS(s.atim, done & ATIM ? 100 : 5);
        if (done & MTIM_NOW) TRUE(s.mtim >= now);
        else IS(s.mtim, done & MTIM ? 200 : 7);
    }
    IS(w_fd_filestat_set_times(ROOT, 0, 9, MTIM), OK);
    IS(stat_of(".").mtim, 9);
    IS(w_fd_filestat_set_times(NEVER, 0, 0, 0), E(BADF));
    TRUE(w_fd_filestat_set_times(0, 0, 0, MTIM) != OK); /* a stream has no times */
    IS(open_with(ROOT, 0, "new", 0, R(FD_READ) | R(FD_WRITE), 0), OK);
    IS(w_fd_filestat_set_times(opened, 1, 1, MTIM), E(NOTCAPABLE));
}
