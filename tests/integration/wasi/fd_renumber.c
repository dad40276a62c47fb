#include "case.h"

static void test(void)
{
    u32 one = OPEN("hello.txt", 0), two = OPEN("sub/inner.txt", 0);
    fdstat before = fd_of(one), after;
    IS(read_from(one, 6), 6);
    IS(w_fd_renumber(one, two), OK);
    IS(w_fd_close(one), E(BADF));
    after = fd_of(two);
    TRUE(memcmp(&before, &after, sizeof before) == 0);
    IS(read_from(two, 20), 5); /* the position came along */
    GOT("world");
    IS(w_fd_renumber(two, two), OK);
    IS(read_from(two, 20), 0);
    IS(w_fd_renumber(two, one), E(BADF)); /* not onto a closed one: another thread might have it */
    IS(w_fd_renumber(one, two), E(BADF));
    IS(w_fd_renumber(NEVER, two), E(BADF));
    IS(w_fd_renumber(two, NEVER), E(BADF));
    IS(fd_of(two).type, __WASI_FILETYPE_REGULAR_FILE);
    /* Onto a stream: what is printed goes to the file. */
    u32 out = OPEN("out", CREAT);
    IS(w_fd_renumber(out, 1), OK);
    IS(write_to(1, "printed"), OK);
    IS(stat_of("out").size, 7);
    /* A stream to another number. */
    IS(w_fd_renumber(0, two), OK);
    IS(read_from(0, 1), (u64)E(BADF) << 32);
    IS(read_from(two, 10), 5);
    GOT("input");
    /* Over the folder that was there from the start. */
    u32 dir = OPEN("sub", DIRECTORY);
    filestat s;
    IS(w_fd_renumber(dir, ROOT), OK);
    IS(w_fd_filestat_get(ROOT, P(&s)), OK);
    IS(w_path_filestat_get(ROOT, 0, S("inner.txt"), P(&s)), OK);
    IS(w_fd_prestat_get(ROOT, P(&s)), E(BADF));
    IS(w_fd_close(ROOT), OK);
}
