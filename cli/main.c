/* main.c: the `nexus` command. */
#include "cli.h"
#include "nx/rt.h"
#include "rustc.h"

int main(int argc, char **argv)
{
    /* The runtime starts this program again as the limited child that compiles modules. */
    if (argc > 1 && strcmp(argv[1], NX_RT_CHILD_VERB) == 0)
        return nx_rt_child_main(argc, argv);
    /* Builds call it as rustc. */
    if (argc > 0 && nx_cli_rustc_is_asked(argv[0]))
        return nx_cli_rustc_main(argc, argv);
    return nx_cli_main(argc, argv);
}
