#include "case.h"

/* Of links followed on one path, and of folders on it. */
static void test(void)
{
    char from[4] = "l00", to[4] = "l00";
    FILE_OF("l00", "x");
    for (u32 i = 1; i <= 41; i++) {
        memcpy(to, from, 4);
        from[1] = (char)('0' + i / 10);
        from[2] = (char)('0' + i % 10);
        LINK(to, from);
    }
    IS(open_with(ROOT, FOLLOW, "l40", 0, R(FD_READ), 0), OK);
    IS(open_with(ROOT, FOLLOW, "l41", 0, R(FD_READ), 0), E(LOOP));
    /* Deeper than a path reaches: from a folder on the way it goes on. */
    u32 dir = OPEN(".", DIRECTORY);
    for (u32 i = 0; i < 300; i++) {
        IS(w_path_create_directory(dir, S("d")), OK);
        IS(open_with(dir, 0, "d", DIRECTORY, ALL & ~R(FD_WRITE), 0), OK);
        IS(w_fd_close(dir), OK);
        dir = opened;
    }
    static char path[600];
    for (u32 i = 0; i < 600; i += 2) memcpy(path + i, "d/", 2);
    filestat s;
    IS(w_path_filestat_get(ROOT, 0, P(path), 400, P(&s)), OK);
    IS(w_path_filestat_get(ROOT, 0, P(path), 600, P(&s)), E(NAMETOOLONG));
    IS(w_path_create_directory(dir, S("end")), OK);
    IS(w_path_rename(ROOT, S("d"), dir, S("in-itself")), E(INVAL));
    /* ".." leads back by the same way, and no further. */
    for (u32 i = 0; i < 600; i += 3) memcpy(path + i, "../", 3);
    EITHER(w_path_filestat_get(dir, 0, P(path), 3, P(&s)), E(PERM), E(NOTCAPABLE));
}
