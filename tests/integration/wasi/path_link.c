#include "case.h"

#define HARD(from, to) w_path_link(ROOT, 0, S(from), ROOT, S(to))

static void test(void)
{
    FILE_OF("file", "one");
    IS(HARD("file", "link"), OK);
    IS(stat_of("link").ino, stat_of("file").ino);
    IS(stat_of("link").links, 2);
    u32 fd = OPEN("link", 0);
    u64 at;
    IS(w_fd_seek(fd, 0, 2, P(&at)), OK);
    IS(write_to(fd, "two"), OK);
    IS(stat_of("file").size, 6);
    IS(w_path_unlink_file(ROOT, S("file")), OK);
    IS(stat_of("link").links, 1);
    IS(stat_of("link").size, 6);
    IS(HARD("link", "link"), E(EXIST));
    IS(HARD("link", "hello.txt"), E(EXIST));
    IS(HARD("link", "sub"), E(EXIST));
    IS(HARD("none", "x"), E(NOENT));
    IS(HARD("link", "none/x"), E(NOENT));
    IS(HARD("link", "slash/"), E(NOENT));
    EITHER(HARD("link/", "x"), E(NOTDIR), E(NOENT));
    EITHER(HARD("sub", "x"), E(PERM), E(ACCES));
    EITHER(HARD(".", "x"), E(PERM), E(ACCES));
    EITHER(HARD("../x", "y"), E(PERM), E(NOTCAPABLE));
    EITHER(HARD("link", "../y"), E(PERM), E(NOTCAPABLE));
    EITHER(HARD("link", "/y"), E(PERM), E(NOTCAPABLE));
    u32 sub = OPEN("sub", DIRECTORY);
    IS(w_path_link(ROOT, 0, S("link"), sub, S("there")), OK);
    IS(stat_of("sub/there").ino, stat_of("link").ino);
    /* Of a symbolic link, the link itself. */
    LINK("nowhere", "dangling");
    IS(HARD("dangling", "second"), OK);
    IS(stat_of("second").type, __WASI_FILETYPE_SYMBOLIC_LINK);
    IS(HARD("link", "dangling"), E(EXIST));
    EITHER(HARD("link", "dangling/"), E(EXIST), E(NOTDIR));
    TRUE(!IS_THERE("nowhere"));
    EITHER(w_path_link(ROOT, FOLLOW, S("dangling"), ROOT, S("x")), E(NOENT), E(INVAL));
    LINK("loop", "loop");
    IS(HARD("loop", "loop-too"), OK);
    IS(w_path_link(ROOT, 2, S("link"), ROOT, S("x")), E(INVAL));
    IS(w_path_link(NEVER, 0, S("link"), ROOT, S("x")), E(BADF));
    IS(w_path_link(ROOT, 0, S("link"), NEVER, S("x")), E(BADF));
    IS(w_path_link(ROOT, 0, S("link"), 0, S("x")), E(NOTDIR));
    IS(open_with(ROOT, 0, ".", DIRECTORY, R(PATH_OPEN) | R(PATH_LINK_TARGET), 0), OK);
    IS(w_path_link(opened, 0, S("link"), ROOT, S("x")), E(NOTCAPABLE));
    IS(open_with(ROOT, 0, ".", DIRECTORY, R(PATH_OPEN) | R(PATH_LINK_SOURCE), 0), OK);
    IS(w_path_link(ROOT, 0, S("link"), opened, S("x")), E(NOTCAPABLE));
}
