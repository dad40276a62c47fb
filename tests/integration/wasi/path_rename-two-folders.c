#include "case.h"

#define OTHER (ROOT + 1)

/* Two folders of the host are two devices: nothing moves from one to the other but by its content. */
static void test(void)
{
    FILE_OF("file", "x");
    FOLDER("d");
    LINK("hello.txt", "soft");
    filestat one, two;
    IS(w_fd_filestat_get(ROOT, P(&one)), OK);
    IS(w_fd_filestat_get(OTHER, P(&two)), OK);
    TRUE(one.dev != two.dev);
    IS(w_path_rename(ROOT, S("file"), OTHER, S("file")), E(XDEV));
    IS(w_path_rename(ROOT, S("d"), OTHER, S("d")), E(XDEV));
    IS(w_path_rename(ROOT, S("soft"), OTHER, S("soft")), E(XDEV));
    IS(w_path_rename(ROOT, S("file"), OTHER, S("inner.txt")), E(XDEV));
    IS(w_path_link(ROOT, 0, S("file"), OTHER, S("file")), E(XDEV));
    IS(w_path_link(ROOT, 0, S("file"), OTHER, S("inner.txt")), E(EXIST));
    IS(w_path_rename(ROOT, S("none"), OTHER, S("none")), E(NOENT));
    TRUE(IS_THERE("file") && IS_THERE("d") && IS_THERE("soft"));
    IS(w_path_filestat_get(OTHER, 0, S("file"), P(&two)), E(NOENT));
    /* What one of them opens stays in it. */
    EITHER(open_with(OTHER, 0, "../hello.txt", 0, 0, 0), E(PERM), E(NOTCAPABLE));
}
