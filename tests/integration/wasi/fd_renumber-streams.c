#include "case.h"

/* Each stream takes the number of a file, and works on there. */
static void test(void)
{
    u32 at[3];
    for (u32 fd = 0; fd < 3; fd++) {
        fdstat s;
        at[fd] = OPEN("file", CREAT);
        IS(w_fd_renumber(fd, at[fd]), OK);
        IS(w_fd_fdstat_get(at[fd], P(&s)), OK);
        IS(s.rights & (R(FD_READ) | R(FD_WRITE)), fd ? R(FD_WRITE) : R(FD_READ));
        if (fd < 2) IS(w_fd_fdstat_get(fd, P(&s)), E(BADF));
        IS(w_path_unlink_file(ROOT, S("file")), OK);
    }
    IS(write_to(1, "lost"), E(BADF));
    IS(read_from(at[0], 100), 5);
    GOT("input");
    IS(write_to(at[1], "out"), OK);
    IS(write_to(at[2], "err"), OK);
    IS(w_fd_close(at[1]), OK);
    IS(write_to(at[1], "lost"), E(BADF));
}
