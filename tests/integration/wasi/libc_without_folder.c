/* Without a folder: every path is refused by libc itself, before it asks. */
#include "case.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

extern char **environ;

static void test(void)
{
    u32 count = 77, bytes = 77;
    IS(w_args_sizes_get(P(&count), P(&bytes)), OK);
    IS(count, 1); /* the program's name */
    IS(w_environ_sizes_get(P(&count), P(&bytes)), OK);
    IS(count, 0);
    IS(bytes, 0);
    TRUE(!environ || !*environ);
    TRUE(!getenv("PATH") && !getenv("HOME"));
    errno = 0;
    TRUE(!fopen("fs.dir/hello.txt", "r"));
    IS(errno, ENOTCAPABLE);
    errno = 0;
    TRUE(!fopen("/etc/passwd", "r"));
    IS(errno, ENOTCAPABLE);
    errno = 0;
    TRUE(!opendir("/"));
    IS(errno, ENOTCAPABLE);
    struct stat s;
    errno = 0;
    TRUE(stat("/tmp", &s) != 0);
    IS(errno, ENOTCAPABLE);
    for (int fd = 0; fd < 3; fd++) {
        IS(isatty(fd), 0);
        errno = 0;
        TRUE(shutdown(fd, SHUT_RD) != 0);
        IS(errno, ENOTSOCK);
        errno = 0;
        IS(lseek(fd, 0, SEEK_CUR), -1);
        IS(errno, ESPIPE);
    }
    errno = 0;
    TRUE(shutdown(3, SHUT_RD) != 0);
    IS(errno, EBADF);
    errno = 0;
    TRUE(write(3, "x", 1) != 1);
    IS(errno, EBADF);
}
