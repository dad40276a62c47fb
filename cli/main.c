/* main.c: the `nexus` command. */
#include "cli.h"
#include "nx/rt.h"
#include "rustc.h"
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/* Where 0, 1 or 2 is closed, a file or a connection would get that number, and what is printed would go into it (libuv aborts). The stand-in
 * can't be read from or written to, so that using it is the error it was. */
static void hold_standard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            _exit(NX_CLI_FAILED);
}

int main(int argc, char **argv)
{
    hold_standard_streams();
    /* The runtime starts this program again as the limited child that compiles modules. */
    if (argc > 1 && strcmp(argv[1], NX_RT_CHILD_VERB) == 0)
        return nx_rt_child_main(argc, argv);
    /* Builds call it as rustc. */
    if (argc > 0 && nx_cli_rustc_is_asked(argv[0]))
        return nx_cli_rustc_main(argc, argv);
    return nx_cli_main(argc, argv);
}
