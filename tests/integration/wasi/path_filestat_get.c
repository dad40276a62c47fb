#include "case.h"

static filestat s;
#define STAT(path, lookup) w_path_filestat_get(ROOT, lookup, S(path), P(&s))

static void test(void)
{
    IS(STAT("hello.txt", 0), OK);
    IS(s.type, __WASI_FILETYPE_REGULAR_FILE);
    IS(s.size, 11);
    IS(s.links, 1);
    IS(STAT("sub", 0), OK);
    IS(s.type, __WASI_FILETYPE_DIRECTORY);
    u64 sub = s.ino;
    IS(STAT("sub/", 0), OK);
    IS(s.ino, sub);
    IS(STAT("sub/.", 0), OK);
    IS(s.ino, sub);
    IS(STAT("sub/../sub", 0), OK);
    IS(s.ino, sub);
    IS(STAT(".", 0), OK);
    IS(s.type, __WASI_FILETYPE_DIRECTORY);
    LINK("hello.txt", "link");
    IS(STAT("link", 0), OK);
    IS(s.type, __WASI_FILETYPE_SYMBOLIC_LINK);
    IS(s.size, strlen("hello.txt"));
    IS(STAT("link", FOLLOW), OK);
    IS(s.type, __WASI_FILETYPE_REGULAR_FILE);
    IS(s.size, 11);
    LINK("sub", "dir-link");
    IS(STAT("dir-link", 0), OK);
    IS(s.type, __WASI_FILETYPE_SYMBOLIC_LINK);
    IS(STAT("dir-link/", 0), OK); /* the slash follows */
    IS(s.ino, sub);
    IS(STAT("dir-link/inner.txt", 0), OK); /* only the last part can stay unfollowed */
    LINK("nowhere", "dangling");
    IS(STAT("dangling", 0), OK);
    IS(STAT("dangling", FOLLOW), E(NOENT));
    LINK("loop-b", "loop-a");
    LINK("loop-a", "loop-b");
    IS(STAT("loop-a", 0), OK);
    IS(STAT("loop-a", FOLLOW), E(LOOP));
    IS(STAT("loop-a/x", 0), E(LOOP));
    LINK("../..", "sub/out");
    EITHER(STAT("sub/out", FOLLOW), E(PERM), E(NOTCAPABLE));
    IS(STAT("none", 0), E(NOENT));
    IS(STAT("none/x", 0), E(NOENT));
    IS(STAT("hello.txt/x", 0), E(NOTDIR));
    EITHER(STAT("hello.txt/", 0), E(NOTDIR), E(NOENT));
    IS(STAT("", 0), E(NOENT));
    EITHER(STAT("/", 0), E(PERM), E(NOTCAPABLE));
    EITHER(STAT("..", 0), E(PERM), E(NOTCAPABLE));
    EITHER(STAT("sub/../..", 0), E(PERM), E(NOTCAPABLE));
    IS(STAT("hello.txt", 2), E(INVAL));
    EITHER(w_path_filestat_get(ROOT, 0, P("hello.txt\0"), 10, P(&s)), E(INVAL), E(ILSEQ));
    IS(w_path_filestat_get(ROOT, 0, S("hello.txt"), END - 63), E(FAULT));
    IS(w_path_filestat_get(ROOT, 0, END - 1, 2, P(&s)), E(FAULT));
    IS(w_path_filestat_get(NEVER, 0, S("x"), P(&s)), E(BADF));
    IS(w_path_filestat_get(0, 0, S("x"), P(&s)), E(NOTDIR));
    IS(open_with(ROOT, 0, ".", DIRECTORY, R(PATH_OPEN), 0), OK);
    IS(w_path_filestat_get(opened, 0, S("x"), P(&s)), E(NOTCAPABLE));
}
