#include "case.h"

#define REMOVE(path) w_path_remove_directory(ROOT, S(path))

static void test(void)
{
    FOLDER("d");
    u64 links = stat_of(".").links;
    IS(REMOVE("d"), OK);
    TRUE(stat_of(".").links <= links);
    TRUE(!IS_THERE("d"));
    IS(REMOVE("d"), E(NOENT));
    FOLDER("d");
    IS(REMOVE("d/"), OK);
    FOLDER("d");
    FILE_OF("d/file", "x");
    IS(REMOVE("d"), E(NOTEMPTY));
    IS(REMOVE("d/"), E(NOTEMPTY));
    IS(REMOVE("d/file"), E(NOTDIR));
    IS(REMOVE("d/file/"), E(NOTDIR));
    IS(w_path_unlink_file(ROOT, S("d/file")), OK);
    LINK("d", "link");
    IS(REMOVE("link"), E(NOTDIR));
    IS(REMOVE("link/"), E(NOTDIR));
    TRUE(IS_THERE("d"));
    EITHER(REMOVE("."), E(INVAL), E(BUSY));
    EITHER(REMOVE("d/."), E(INVAL), E(BUSY));
    TRUE(REMOVE("d/..") != OK);
    EITHER(REMOVE(".."), E(PERM), E(NOTCAPABLE));
    EITHER(REMOVE("/"), E(PERM), E(NOTCAPABLE));
    IS(REMOVE(""), E(NOENT));
    /* One that is open goes, and is empty then. */
    u32 fd = OPEN("d", DIRECTORY), used;
    IS(REMOVE("d"), OK);
    IS(open_with(fd, 0, "x", 0, 0, 0), E(NOENT));
    IS(w_fd_readdir(fd, P(got), 1000, 0, P(&used)), OK);
    TRUE(used <= 51);
    FOLDER("d");
    IS(w_fd_close(fd), OK);
    /* Longer than the folder that it was in. */
    FOLDER("outer");
    FOLDER("outer/inner");
    fd = OPEN("outer/inner", DIRECTORY);
    IS(REMOVE("outer/inner"), OK);
    IS(REMOVE("outer"), OK);
    IS(w_fd_readdir(fd, P(got), 1000, 0, P(&used)), OK);
    IS(w_fd_close(fd), OK);
    IS(w_path_remove_directory(NEVER, S("d")), E(BADF));
    IS(w_path_remove_directory(2, S("d")), E(NOTDIR));
    IS(open_with(ROOT, 0, ".", DIRECTORY, R(PATH_OPEN), 0), OK);
    IS(w_path_remove_directory(opened, S("d")), E(NOTCAPABLE));
}
