#include "case.h"

#define MAKE(path) w_path_create_directory(ROOT, S(path))

static void test(void)
{
    IS(MAKE("d"), OK);
    IS(stat_of("d").type, __WASI_FILETYPE_DIRECTORY);
    IS(MAKE("d"), E(EXIST));
    IS(MAKE("d/"), E(EXIST));
    IS(MAKE("hello.txt"), E(EXIST));
    EITHER(MAKE("hello.txt/"), E(EXIST), E(NOTDIR));
    IS(MAKE("."), E(EXIST));
    IS(MAKE("d/."), E(EXIST));
    IS(MAKE("slash/"), OK);
    IS(stat_of("slash").type, __WASI_FILETYPE_DIRECTORY);
    IS(MAKE("d/e/f"), E(NOENT));
    IS(MAKE("hello.txt/x"), E(NOTDIR));
    IS(MAKE(""), E(NOENT));
    EITHER(MAKE("/x"), E(PERM), E(NOTCAPABLE));
    EITHER(MAKE("../x"), E(PERM), E(NOTCAPABLE));
    EITHER(MAKE("d/../../x"), E(PERM), E(NOTCAPABLE));
    IS(MAKE("d/../other"), OK);
    IS(MAKE("d\\e"), OK); /* a name like any other */
    LINK("target", "dangling");
    IS(MAKE("dangling"), E(EXIST));
    EITHER(MAKE("dangling/"), E(EXIST), E(NOTDIR));
    TRUE(!IS_THERE("target"));
    LINK("d", "link");
    IS(MAKE("link/inside"), OK);
    TRUE(IS_THERE("d/inside"));
    EITHER(w_path_create_directory(ROOT, P("a\0b"), 3), E(INVAL), E(ILSEQ));
    EITHER(w_path_create_directory(ROOT, P("\xff"), 1), E(INVAL), E(ILSEQ));
    char name[256];
    memset(name, 'n', 256);
    IS(w_path_create_directory(ROOT, P(name), 255), OK);
    IS(w_path_create_directory(ROOT, P(name), 256), E(NAMETOOLONG));
    IS(w_path_create_directory(NEVER, S("x")), E(BADF));
    IS(w_path_create_directory(0, S("x")), E(NOTDIR));
    IS(w_path_create_directory(OPEN("hello.txt", 0), S("x")), E(NOTDIR));
    IS(w_path_create_directory(ROOT, END - 2, 3), E(FAULT));
    IS(open_with(ROOT, 0, ".", DIRECTORY, R(PATH_OPEN), 0), OK);
    IS(w_path_create_directory(opened, S("x")), E(NOTCAPABLE));
    /* In a folder that is gone, nothing can be made. */
    u32 gone = OPEN("other", DIRECTORY);
    IS(w_path_remove_directory(ROOT, S("other")), OK);
    IS(w_path_create_directory(gone, S("x")), E(NOENT));
    IS(open_with(gone, 0, "x", CREAT, ALL, 0), E(NOENT));
    IS(w_path_symlink(S("t"), gone, S("x")), E(NOENT));
    IS(w_path_link(ROOT, 0, S("hello.txt"), gone, S("x")), E(NOENT));
    IS(w_path_rename(ROOT, S("hello.txt"), gone, S("x")), E(NOENT));
}
