#include "case.h"

#define RENAME(from, to) w_path_rename(ROOT, S(from), ROOT, S(to))

static void files(void)
{
    FILE_OF("a", "1");
    u64 ino = stat_of("a").ino;
    IS(RENAME("a", "b"), OK);
    TRUE(!IS_THERE("a"));
    IS(stat_of("b").ino, ino);
    FILE_OF("c", "22");
    u32 replaced = OPEN("c", 0);
    IS(RENAME("b", "c"), OK); /* in place of another */
    TRUE(!IS_THERE("b"));
    IS(stat_of("c").ino, ino);
    IS(read_from(replaced, 10), 2); /* which lives while it is open */
    IS(RENAME("c", "c"), OK);
    IS(stat_of("c").ino, ino);
    IS(w_path_link(ROOT, 0, S("c"), ROOT, S("twin")), OK);
    IS(RENAME("c", "twin"), OK); /* two names of one file: nothing happens (POSIX) */
    TRUE(IS_THERE("c") && IS_THERE("twin"));
    IS(RENAME("twin", "sub"), E(ISDIR));
    IS(RENAME("twin", "sub/moved"), OK);
    IS(stat_of("sub/moved").ino, ino);
    IS(RENAME("none", "x"), E(NOENT));
    IS(RENAME("c", "none/x"), E(NOENT));
    IS(RENAME("c", "hello.txt/x"), E(NOTDIR));
    EITHER(RENAME("c/", "x"), E(NOTDIR), E(NOENT));
    TRUE(RENAME("c", "x/") != OK);
    TRUE(IS_THERE("c") && !IS_THERE("x"));
}

static void folders(void)
{
    FOLDER("d");
    FILE_OF("d/file", "x");
    IS(RENAME("d", "e"), OK);
    TRUE(IS_THERE("e/file") && !IS_THERE("d"));
    FOLDER("empty");
    IS(RENAME("e", "empty"), OK); /* in place of an empty one */
    TRUE(IS_THERE("empty/file") && !IS_THERE("e"));
    FOLDER("e");
    IS(RENAME("e", "empty"), E(NOTEMPTY));
    IS(RENAME("e", "empty/file"), E(NOTDIR));
    IS(RENAME("e", "hello.txt"), E(NOTDIR));
    IS(RENAME("e", "e"), OK);
    IS(RENAME("e/", "f"), OK);
    IS(RENAME("f", "e/"), OK);
    IS(RENAME("e/", "f/"), OK);
    IS(RENAME("f", "f/g"), E(INVAL)); /* into itself */
    FOLDER("f/g");
    IS(RENAME("f", "f/g/h"), E(INVAL));
    IS(RENAME("f/g", "f"), E(NOTEMPTY)); /* onto what holds it */
    IS(RENAME("f/g", "sub/g"), OK);
    u32 g = OPEN("sub/g", DIRECTORY), used;
    IS(w_fd_readdir(g, P(got), 100, 1, P(&used)), OK);
    u64 parent;
    memcpy(&parent, got + 8, 8);
    IS(parent, stat_of("sub").ino); /* ".." leads to the new one */
}

static void test(void)
{
    files();
    folders();
    LINK("nowhere", "link");
    IS(RENAME("link", "other"), OK); /* the link itself */
    IS(stat_of("other").type, __WASI_FILETYPE_SYMBOLIC_LINK);
    FILE_OF("x", "x");
    IS(RENAME("x", "other"), OK); /* in place of the link, not of its target */
    TRUE(!IS_THERE("nowhere"));
    IS(stat_of("other").type, __WASI_FILETYPE_REGULAR_FILE);
    LINK("sub", "dir-link");
    IS(RENAME("dir-link/", "y"), E(NOTDIR));
    FOLDER("h");
    IS(RENAME("h", "dir-link"), E(NOTDIR));
    IS(RENAME("h", "dir-link/"), E(NOTDIR));
    TRUE(IS_THERE("sub/inner.txt"));
    EITHER(RENAME(".", "y"), E(INVAL), E(BUSY));
    EITHER(RENAME("sub/.", "y"), E(INVAL), E(BUSY));
    EITHER(RENAME("h", "."), E(INVAL), E(BUSY));
    EITHER(RENAME("../x", "y"), E(PERM), E(NOTCAPABLE));
    EITHER(RENAME("other", "../y"), E(PERM), E(NOTCAPABLE));
    EITHER(RENAME("/other", "y"), E(PERM), E(NOTCAPABLE));
    IS(RENAME("", "y"), E(NOENT));
    IS(RENAME("other", ""), E(NOENT));
    u32 sub = OPEN("sub", DIRECTORY);
    IS(w_path_rename(ROOT, S("other"), sub, S("there")), OK);
    TRUE(IS_THERE("sub/there"));
    IS(w_path_rename(NEVER, S("other"), sub, S("x")), E(BADF));
    IS(w_path_rename(sub, S("there"), NEVER, S("x")), E(BADF));
    IS(w_path_rename(sub, S("there"), 1, S("x")), E(NOTDIR));
    IS(open_with(ROOT, 0, ".", DIRECTORY, R(PATH_OPEN) | R(PATH_RENAME_TARGET), 0), OK);
    IS(w_path_rename(opened, S("h"), ROOT, S("x")), E(NOTCAPABLE));
    IS(open_with(ROOT, 0, ".", DIRECTORY, R(PATH_OPEN) | R(PATH_RENAME_SOURCE), 0), OK);
    IS(w_path_rename(ROOT, S("h"), opened, S("x")), E(NOTCAPABLE));
}
