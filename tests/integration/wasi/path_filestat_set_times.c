#include "case.h"

#include <stdbool.h>

enum { ATIM = 1,
       ATIM_NOW = 2,
       MTIM = 4,
       MTIM_NOW = 8 };
#define SET(path, lookup, flags) w_path_filestat_set_times(ROOT, lookup, S(path), 100, 200, flags)

static void test(void)
{
    FILE_OF("new", "x");
    for (u32 flags = 0; flags < 20; flags++) {
        u64 now;
        IS(w_path_filestat_set_times(ROOT, 0, S("new"), 5, 7, ATIM | MTIM), OK);
        bool is_wrong = (flags & (ATIM | ATIM_NOW)) == (ATIM | ATIM_NOW) || (flags & (MTIM | MTIM_NOW)) == (MTIM | MTIM_NOW) || flags > 15;
        IS(w_clock_time_get(0, 0, P(&now)), OK);
        IS(SET("new", 0, flags), is_wrong ? E(INVAL) : OK);
        filestat s = stat_of("new");
        u32 done = is_wrong ? 0 : flags;
        if (done & ATIM_NOW) TRUE(s.atim >= now);
        else IS(s.atim, done & ATIM ? 100 : 5);
        if (done & MTIM_NOW) TRUE(s.mtim >= now);
        else IS(s.mtim, done & MTIM ? 200 : 7);
    }
    LINK("new", "link");
    IS(SET("link", 0, MTIM), OK);
    IS(stat_of("link").mtim, 200);
    IS(stat_of("new").mtim == 200, 0);
    IS(SET("link", FOLLOW, MTIM), OK);
    IS(stat_of("new").mtim, 200);
    IS(SET("sub", 0, MTIM), OK);
    IS(stat_of("sub").mtim, 200);
    IS(SET("none", 0, MTIM), E(NOENT));
    LINK("nowhere", "dangling");
    IS(SET("dangling", FOLLOW, MTIM), E(NOENT));
    EITHER(SET("../x", 0, MTIM), E(PERM), E(NOTCAPABLE));
    IS(SET("new", 2, MTIM), E(INVAL));
    IS(w_path_filestat_set_times(NEVER, 0, S("new"), 0, 0, 0), E(BADF));
    IS(w_path_filestat_set_times(1, 0, S("new"), 0, 0, 0), E(NOTDIR));
    IS(open_with(ROOT, 0, ".", DIRECTORY, R(PATH_OPEN), 0), OK);
    IS(w_path_filestat_set_times(opened, 0, S("new"), 0, 0, 0), E(NOTCAPABLE));
}
