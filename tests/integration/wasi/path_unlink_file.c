#include "case.h"

#define UNLINK(path) w_path_unlink_file(ROOT, S(path))

static void test(void)
{
    IS(UNLINK("hello.txt"), OK);
    TRUE(!IS_THERE("hello.txt"));
    IS(UNLINK("hello.txt"), E(NOENT));
    EITHER(UNLINK("sub"), E(ISDIR), E(PERM));
    EITHER(UNLINK("sub/"), E(ISDIR), E(PERM));
    EITHER(UNLINK("."), E(ISDIR), E(PERM));
    FILE_OF("f", "x");
    EITHER(UNLINK("f/"), E(NOTDIR), E(NOENT));
    IS(UNLINK("f/x"), E(NOTDIR));
    IS(UNLINK("none/x"), E(NOENT));
    LINK("f", "link");
    IS(UNLINK("link"), OK); /* the link, not what it names */
    TRUE(IS_THERE("f"));
    LINK("sub", "dir-link");
    IS(UNLINK("dir-link/"), E(NOTDIR));
    IS(UNLINK("dir-link/inner.txt"), OK);
    IS(UNLINK("dir-link"), OK);
    TRUE(IS_THERE("sub"));
    LINK("loop", "loop");
    IS(UNLINK("loop"), OK);
    EITHER(UNLINK("../f"), E(PERM), E(NOTCAPABLE));
    EITHER(UNLINK("/f"), E(PERM), E(NOTCAPABLE));
    IS(UNLINK(""), E(NOENT));
    IS(w_path_unlink_file(NEVER, S("f")), E(BADF));
    IS(w_path_unlink_file(0, S("f")), E(NOTDIR));
    IS(w_path_unlink_file(ROOT, END, 1), E(FAULT));
    IS(open_with(ROOT, 0, ".", DIRECTORY, R(PATH_OPEN), 0), OK);
    IS(w_path_unlink_file(opened, S("f")), E(NOTCAPABLE));
    IS(UNLINK("f"), OK);
}
