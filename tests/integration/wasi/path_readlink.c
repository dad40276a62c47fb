#include "case.h"

static void test(void)
{
    char buf[16];
    u32 n = 77;
    LINK("hello.txt", "link");
    memset(buf, '~', sizeof buf);
    IS(w_path_readlink(ROOT, S("link"), P(buf), sizeof buf, P(&n)), OK);
    IS(n, 9);
    TRUE(memcmp(buf, "hello.txt~", 10) == 0); /* without a NUL */
    memset(buf, '~', sizeof buf);
    IS(w_path_readlink(ROOT, S("link"), P(buf), 4, P(&n)), OK); /* cut */
    IS(n, 4);
    TRUE(memcmp(buf, "hell~", 5) == 0);
    IS(w_path_readlink(ROOT, S("link"), P(buf), 9, P(&n)), OK);
    IS(n, 9);
    LINK("../anything\xc3\xa4", "odd");
    IS(w_path_readlink(ROOT, S("odd"), P(buf), sizeof buf, P(&n)), OK);
    TRUE(memcmp(buf, "../anything\xc3\xa4", 13) == 0);
    IS(w_path_readlink(ROOT, S("hello.txt"), P(buf), sizeof buf, P(&n)), E(INVAL));
    IS(w_path_readlink(ROOT, S("sub"), P(buf), sizeof buf, P(&n)), E(INVAL));
    IS(w_path_readlink(ROOT, S("."), P(buf), sizeof buf, P(&n)), E(INVAL));
    IS(w_path_readlink(ROOT, S("none"), P(buf), sizeof buf, P(&n)), E(NOENT));
    EITHER(w_path_readlink(ROOT, S("../x"), P(buf), sizeof buf, P(&n)), E(PERM), E(NOTCAPABLE));
    IS(w_path_readlink(ROOT, S("link"), END - 3, 4, P(&n)), E(FAULT));
    IS(w_path_readlink(ROOT, S("link"), P(buf), 4, END - 3), E(FAULT));
    IS(w_path_readlink(NEVER, S("link"), P(buf), 4, P(&n)), E(BADF));
    IS(w_path_readlink(1, S("link"), P(buf), 4, P(&n)), E(NOTDIR));
    IS(open_with(ROOT, 0, ".", DIRECTORY, R(PATH_OPEN), 0), OK);
    IS(w_path_readlink(opened, S("link"), P(buf), 4, P(&n)), E(NOTCAPABLE));
}
