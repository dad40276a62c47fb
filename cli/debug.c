/* debug.c: waiting for a debugger before a guest begins. The engine has told gdb's JIT interface of the code by then, so that whoever attaches finds
 * functions, lines and variables of the module as if it were a program. */
#include "offline.h"
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define LOOK_NS 50000000L

/* Pid of the debugger of this process, 0 without one. */
static long tracer(void)
{
    char line[256];
    long pid = 0;
    FILE *f = fopen("/proc/self/status", "re");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "TracerPid: %ld", &pid) == 1)
            break;
    if (f)
        fclose(f);
    return pid;
}

static bool has_lines(nx_slice module)
{
    static const char section[] = ".debug_line";
    return memmem(module.p, module.n, section, sizeof section - 1) != NULL;
}

void nx_cli_debug_wait(const nx_cli *c, nx_slice module)
{
    struct timespec pause = {0, LOOK_NS};
    if (tracer())
        return;                                      /* started by one */
    (void)prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY); /* where only parents may attach; fails where there is no such rule */
    if (!has_lines(module))
        fprintf(stderr, "The module holds no line numbers (DWARF). Build it with debug information (-g), and replay with --against that build.\n");
    fprintf(stderr, "The function waits before its first instruction. In another terminal:\n"
                    "  %sgdb -q -p %ld -ex 'handle SIGSEGV SIGILL SIGFPE SIGBUS nostop noprint pass' -ex 'break handle_event' -ex continue%s\n",
            nx_cli_paint(c->err_has_colour, NX_CLI_BOLD), (long)getpid(), nx_cli_paint(c->err_has_colour, NX_CLI_PLAIN));
    while (!tracer())
        nanosleep(&pause, NULL);
}
