#include "case.h"

static void test(void)
{
    u32 fd = OPEN("new", CREAT);
    u64 at, rights = R(FD_READ) | R(FD_WRITE) | R(FD_SEEK);
    IS(write_to(fd, "x"), OK);
    IS(w_fd_fdstat_set_rights(fd, rights, 0), OK);
    IS(fd_of(fd).rights, rights);
    IS(fd_of(fd).inheriting, 0);
    IS(w_fd_fdstat_set_rights(fd, rights, 0), OK); /* the same again */
    IS(w_fd_fdstat_set_rights(fd, R(FD_SEEK), 0), OK);
    IS(read_from(fd, 1), (u64)E(NOTCAPABLE) << 32);
    IS(write_to(fd, "y"), E(NOTCAPABLE));
    IS(w_fd_seek(fd, 0, 0, P(&at)), OK);
    IS(w_fd_fdstat_set_rights(fd, rights, 0), E(NOTCAPABLE));
    IS(w_fd_fdstat_set_rights(fd, R(FD_SEEK), R(FD_READ)), E(NOTCAPABLE));
    IS(fd_of(fd).rights, R(FD_SEEK));
    IS(w_fd_fdstat_set_rights(fd, 0, 0), OK);
    IS(w_fd_seek(fd, 0, 0, P(&at)), E(NOTCAPABLE));
    IS(w_fd_close(fd), OK); /* nobody can be kept from that */
    /* What a folder does not hand on, nothing opened below it has. */
    u32 dir = OPEN("sub", DIRECTORY);
    IS(w_fd_fdstat_set_rights(dir, R(PATH_OPEN), R(FD_READ)), OK);
    IS(open_with(dir, 0, "inner.txt", 0, ALL, 0), OK);
    IS(fd_of(opened).rights, R(FD_READ));
    IS(w_path_unlink_file(dir, S("inner.txt")), E(NOTCAPABLE));
    IS(open_with(dir, 0, "other", CREAT, 0, 0), E(NOTCAPABLE));
    IS(open_with(dir, 0, "inner.txt", CREAT, 0, 0), E(NOTCAPABLE)); /* although it is there */
    IS(open_with(dir, 0, "inner.txt", TRUNC, 0, 0), E(NOTCAPABLE));
    IS(w_fd_readdir(dir, P(got), 100, 0, P(&at)), E(NOTCAPABLE));
    IS(w_fd_fdstat_set_rights(dir, 0, 0), OK);
    IS(open_with(dir, 0, "inner.txt", 0, 0, 0), E(NOTCAPABLE));
    /* Streams, too. */
    IS(w_fd_fdstat_set_rights(1, 0, 0), OK);
    IS(write_to(1, "never"), E(NOTCAPABLE));
    IS(w_fd_fdstat_set_rights(1, R(FD_WRITE), 0), E(NOTCAPABLE));
    IS(w_fd_fdstat_set_rights(0, 0, 0), OK);
    IS(read_from(0, 1), (u64)E(NOTCAPABLE) << 32);
    IS(w_fd_fdstat_set_rights(NEVER, 0, 0), E(BADF));
}
