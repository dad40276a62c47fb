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
        if (strncmp(line, "TracerPid:", 10) == 0) {
            pid = strtol(line + 10, NULL, 10);
            break;
        }
    if (f)
        fclose(f);
    return pid;
}

static bool has_lines(nx_slice module)
{
    static const char section[] = ".debug_line";
    return memmem(module.p, module.n, section, sizeof section - 1) != NULL;
}

/* gdb knows a function of Rust by its path. rustc names a unit of debug information FILE/@/CRATE.HASH; files of the
 * standard library and of dependencies are told by their folders. Empty: no Rust, or no such name. */
static nx_slice crate_of(nx_slice module)
{
    for (nx_slice rest = module;;) {
        const char *at = memmem(rest.p, rest.n, "/@/", 3);
        if (!at)
            return NX_SLICE("");
        const char *begin = at, *end = at + 3, *last = module.p + module.n;
        while (begin > module.p && begin[-1])
            begin--;
        while (end < last && ((*end >= 'a' && *end <= 'z') || (*end >= 'A' && *end <= 'Z') || (*end >= '0' && *end <= '9') || *end == '_'))
            end++;
        nx_slice file = nx_slice_make(begin, (size_t)(at - begin));
        bool is_own = file.n && !nx_slice_starts(file, NX_SLICE("library/")) && !memmem(file.p, file.n, "/library/", 9) && !memmem(file.p, file.n, "/registry/", 10);
        if (is_own && end < last && *end == '.' && end > at + 3)
            return nx_slice_make(at + 3, (size_t)(end - at) - 3);
        rest = nx_slice_make(at + 3, (size_t)(last - at) - 3);
    }
}

/* lldb 14 reads the list of code that was made at run time when it attaches, and then begins its list of modules anew, without it. So the process tells it
 * of that code once more, by gdb's JIT interface: version, action (1: registered) and the entry in question, the first entry, each with the next in front. */
#define LLDB_LEARN "expression -i false -- unsigned *action = (unsigned *)&__jit_debug_descriptor + 1; void **list = (void **)&__jit_debug_descriptor; " \
                   "for (void **code = (void **)list[2]; code; code = (void **)*code) { *action = 1; list[1] = code; ((void (*)())__jit_debug_register_code)(); } *action = 0"

static void print_line_for_lldb(const nx_cli *c)
{
    fprintf(stderr, "Or with lldb:\n  %slldb -O 'settings set plugin.jit-loader.gdb.enable on' -p %ld -o 'process handle -s false -n false -p true SIGSEGV SIGILL SIGFPE SIGBUS' "
                    "-o '" LLDB_LEARN "' -o 'breakpoint set -n handle_event' -o continue%s\n",
            nx_cli_paint(c->err_has_colour, NX_CLI_BOLD), (long)getpid(), nx_cli_paint(c->err_has_colour, NX_CLI_PLAIN));
}

void nx_cli_debug_wait(const nx_cli *c, nx_slice module)
{
    struct timespec pause = {0, LOOK_NS};
    if (tracer())
        return;                                      /* started by one */
    (void)prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY); /* where only parents may attach; fails where there is no such rule */
    if (!has_lines(module))
        fprintf(stderr, "The module holds no line numbers (DWARF). Build it with debug information (-g), and replay with --against that build.\n");
    nx_slice crate = crate_of(module);
    fprintf(stderr, "The function waits before its first instruction. In another terminal:\n"
                    "  %sgdb -q -p %ld -ex 'handle SIGSEGV SIGILL SIGFPE SIGBUS nostop noprint pass' -ex 'break %.*s%shandle_event' -ex continue%s\n",
            nx_cli_paint(c->err_has_colour, NX_CLI_BOLD), (long)getpid(), NX_SLICE_FMT(crate), crate.n ? "::" : "", nx_cli_paint(c->err_has_colour, NX_CLI_PLAIN));
    print_line_for_lldb(c);
    while (!tracer())
        nanosleep(&pause, NULL);
}
