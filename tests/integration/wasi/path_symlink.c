#include "case.h"

#define MAKE(target, path) w_path_symlink(S(target), ROOT, S(path))

static void test(void)
{
    IS(MAKE("hello.txt", "link"), OK);
    IS(stat_of("link").type, __WASI_FILETYPE_SYMBOLIC_LINK);
    IS(MAKE("nowhere/at/all", "dangling"), OK);
    IS(MAKE("self", "self"), OK);
    IS(MAKE("sub/", "slashed"), OK);
    IS(open_with(ROOT, FOLLOW, "slashed", DIRECTORY, 0, 0), OK);
    IS(MAKE("x", "link"), E(EXIST));
    IS(MAKE("x", "hello.txt"), E(EXIST));
    IS(MAKE("x", "sub"), E(EXIST));
    IS(MAKE("x", "sub/"), E(EXIST));
    EITHER(MAKE("x", "hello.txt/"), E(EXIST), E(NOTDIR));
    IS(MAKE("x", "new/"), E(NOENT));
    IS(MAKE("x", "."), E(EXIST));
    IS(MAKE("x", "none/link"), E(NOENT));
    IS(MAKE("x", "hello.txt/link"), E(NOTDIR));
    IS(MAKE("", "new"), E(NOENT));
    IS(MAKE("x", ""), E(NOENT));
    EITHER(MAKE("x", "dangling/"), E(EXIST), E(NOTDIR));
    EITHER(MAKE("/", "new"), E(PERM), E(NOTCAPABLE)); /* no link out of the folder by an absolute path */
    EITHER(MAKE("/etc/passwd", "new"), E(PERM), E(NOTCAPABLE));
    EITHER(MAKE("x", "../new"), E(PERM), E(NOTCAPABLE));
    EITHER(MAKE("x", "/new"), E(PERM), E(NOTCAPABLE));
    TRUE(!IS_THERE("new"));
    IS(MAKE("../../outside", "new"), OK); /* may be made, not followed */
    EITHER(open_with(ROOT, FOLLOW, "new", CREAT, 0, 0), E(PERM), E(NOTCAPABLE));
    static char target[5000];
    memset(target, 't', sizeof target);
    IS(w_path_symlink(P(target), sizeof target, ROOT, S("long")), E(NAMETOOLONG));
    IS(w_path_symlink(END - 2, 3, ROOT, S("y")), E(FAULT));
    EITHER(w_path_symlink(P("a\0b"), 3, ROOT, S("y")), E(INVAL), E(ILSEQ));
    TRUE(!IS_THERE("y"));
    IS(w_path_symlink(S("x"), NEVER, S("y")), E(BADF));
    IS(w_path_symlink(S("x"), 0, S("y")), E(NOTDIR));
    IS(open_with(ROOT, 0, ".", DIRECTORY, R(PATH_OPEN), 0), OK);
    IS(w_path_symlink(S("x"), opened, S("y")), E(NOTCAPABLE));
}
