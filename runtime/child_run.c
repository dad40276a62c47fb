/* child_run.c: starts the limited child that compiles a module, or looks lines up in it, and waits for it.
 * The child gets the module in a memory file and an open file for the result, so that it needs no name of either; its error text comes on a
 * pipe. It inherits no other descriptor and no environment but what a loader or a sanitizer needs: no secrets. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "nx/clock.h"
#include "rt_internal.h"

#define CHILD_TIMEOUT_NS (240 * NX_NS_PER_S) /* well above the processor time that child.c allows, which is to be the limit on a busy machine, too */
#define CHILD_TEXT_BYTES 2048u

static int memory_file(nx_slice bytes)
{
    int fd = memfd_create("nexus-module", MFD_CLOEXEC);
    size_t at = 0;
    while (fd >= 0 && at < bytes.n) {
        ssize_t k = write(fd, bytes.p + at, bytes.n - at);
        if (k < 0 && errno == EINTR) continue;
        if (k <= 0) {
            (void)close(fd);
            return -1;
        }
        at += (size_t)k;
    }
    return fd;
}

/* What the dynamic loader, sanitizers and coverage read; at most `max` entries with the NULL. */
static void child_environment(char **out, size_t max)
{
    static const char *const prefixes[] = {"LD_LIBRARY_PATH=", "ASAN_OPTIONS=", "LSAN_OPTIONS=", "UBSAN_OPTIONS=",
                                           "TSAN_OPTIONS=", "GCOV_PREFIX", "LLVM_PROFILE_FILE="};
    size_t n = 0;
    for (char **e = environ; *e && n + 1 < max; e++)
        for (size_t i = 0; i < NX_ARRAY_LEN(prefixes) && n + 1 < max; i++)
            if (strncmp(*e, prefixes[i], strlen(prefixes[i])) == 0) out[n++] = *e;
    out[n] = NULL;
}

/* Copies of descriptors at 10 and above first: a source may lie where a target goes. */
static nx_err spawn(const char *program, const char *const *args, int module_fd, int out_fd, int text_fd, pid_t *ret)
{
    int module_copy = fcntl(module_fd, F_DUPFD_CLOEXEC, 10), out_copy = fcntl(out_fd, F_DUPFD_CLOEXEC, 10);
    int text_copy = fcntl(text_fd, F_DUPFD_CLOEXEC, 10), null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    int null_copy = null_fd >= 0 ? fcntl(null_fd, F_DUPFD_CLOEXEC, 10) : -1;
    int rc = EMFILE;
    if (module_copy >= 0 && out_copy >= 0 && text_copy >= 0 && null_copy >= 0) {
        const char *argv[NX_RT_CHILD_ARGS_MAX + 3] = {program, NX_RT_CHILD_VERB};
        char *envp[16];
        for (size_t i = 0; i < NX_RT_CHILD_ARGS_MAX && args[i]; i++) argv[2 + i] = args[i];
        posix_spawn_file_actions_t fa;
        posix_spawnattr_t attr;
        sigset_t none, defaults;
        child_environment(envp, NX_ARRAY_LEN(envp));
        (void)sigemptyset(&none);
        (void)sigfillset(&defaults);
        (void)posix_spawn_file_actions_init(&fa);
        (void)posix_spawn_file_actions_adddup2(&fa, null_copy, 0);
        (void)posix_spawn_file_actions_adddup2(&fa, null_copy, 1);
        (void)posix_spawn_file_actions_adddup2(&fa, text_copy, 2);
        (void)posix_spawn_file_actions_adddup2(&fa, module_copy, NX_RT_CHILD_FD_MODULE);
        (void)posix_spawn_file_actions_adddup2(&fa, out_copy, NX_RT_CHILD_FD_OUT);
        (void)posix_spawnattr_init(&attr);
        (void)posix_spawnattr_setsigmask(&attr, &none);
        (void)posix_spawnattr_setsigdefault(&attr, &defaults);
        /* A session of its own: Ctrl-C at the node's terminal is the node's to handle. */
        (void)posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
        rc = posix_spawn(ret, program, &fa, &attr, (char **)(uintptr_t)argv, envp);
        (void)posix_spawnattr_destroy(&attr);
        (void)posix_spawn_file_actions_destroy(&fa);
    }
    int fds[] = {module_copy, out_copy, text_copy, null_copy, null_fd};
    for (size_t i = 0; i < NX_ARRAY_LEN(fds); i++)
        if (fds[i] >= 0) (void)close(fds[i]);
    return rc ? nx_err_from_errno(rc) : NX_OK;
}

/* Reads until the child closes its end; false when the time is over. */
static bool read_text(int fd, uint64_t deadline_ns, nx_buf *text)
{
    for (;;) {
        uint64_t now_ns = nx_clock_ns();
        if (now_ns >= deadline_ns) return false;
        struct pollfd p = {.fd = fd, .events = POLLIN};
        int rc = poll(&p, 1, nx_clock_poll_ms(now_ns, deadline_ns));
        if (rc <= 0) continue; /* EINTR, or the deadline, seen above */
        char chunk[512];
        ssize_t n = read(fd, chunk, sizeof chunk);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return true;
        size_t room = text->max - text->n;
        (void)nx_buf_append(text, chunk, (size_t)n < room ? (size_t)n : room); /* the rest is of no use */
    }
}

/* Most are the limits that child.c sets. An allocation that fails ends the engine with its words and SIGABRT. */
static nx_err child_killed(int sig, nx_slice said, nx_error *reterr)
{
    static const char advice[] = "are there generated functions of extreme size in it?";
    if (sig == SIGXCPU) return nx_error_set(reterr, NX_EMODULE, "compiling the module took too much processor time (at most %u s); %s", NX_RT_CHILD_CPU_S, advice);
    if (sig == SIGXFSZ) return nx_error_set(reterr, NX_EMODULE, "the compiled code of the module is too large (at most %llu MiB); %s", NX_RT_CHILD_FILE_BYTES >> 20, advice);
    if (sig == SIGKILL || (sig == SIGABRT && memmem(said.p, said.n, "memory allocation", 17)))
        return nx_error_set(reterr, NX_EMODULE, "compiling the module took too much memory (at most %llu MiB, or half of this machine's); %s", NX_RT_CHILD_MEMORY_BYTES >> 20, advice);
    return nx_error_set(reterr, NX_EMODULE, "the compiler gave up on the module (signal %d): %.*s", sig, NX_SLICE_FMT(said));
}

static nx_err child_result(int status, bool is_timeout, const nx_buf *text, nx_error *reterr)
{
    nx_slice said = nx_slice_trim(nx_buf_view(text));
    while (said.n && said.p[said.n - 1] == '\n') said.n--;
    if (is_timeout)
        return nx_error_set(reterr, NX_EMODULE, "compiling the module took more than %llu s; is this machine too busy?",
                            (unsigned long long)(CHILD_TIMEOUT_NS / NX_NS_PER_S));
    if (WIFEXITED(status) && WEXITSTATUS(status) == NX_RT_CHILD_OK) return NX_OK;
    if (WIFEXITED(status) && WEXITSTATUS(status) == NX_RT_CHILD_REFUSED)
        return nx_error_set(reterr, NX_EMODULE, "%.*s", NX_SLICE_FMT(said));
    if (WIFEXITED(status) && WEXITSTATUS(status) == NX_RT_CHILD_FAILED)
        return nx_error_set(reterr, NX_EIO, "the compiling child failed: %.*s", NX_SLICE_FMT(said));
    if (WIFSIGNALED(status)) return child_killed(WTERMSIG(status), said, reterr);
    return nx_error_set(reterr, NX_EIO, "the compiling child ended with code %d: %.*s", WEXITSTATUS(status), NX_SLICE_FMT(said));
}

nx_err nx_rt_child_run(const char *child_program, const char *const *args, nx_slice bytes, int out_fd, nx_error *reterr)
{
    int text[2] = {-1, -1};
    NX_CLEANUP(nx_buf_done)
    nx_buf said = NX_BUF_INIT(CHILD_TEXT_BYTES);
    pid_t pid;
    int module_fd = memory_file(bytes);
    if (module_fd < 0 || pipe2(text, O_CLOEXEC) != 0) {
        int e = errno;
        if (module_fd >= 0) (void)close(module_fd);
        return nx_error_set(reterr, nx_err_from_errno(e), "no child to work on the module: %s", strerror(e));
    }
    nx_err err = spawn(child_program, args, module_fd, out_fd, text[1], &pid);
    (void)close(module_fd);
    (void)close(text[1]);
    if (err) {
        (void)close(text[0]);
        return nx_error_set(reterr, err, "%s could not be started to work on a module", child_program);
    }
    bool is_in_time = read_text(text[0], nx_clock_ns() + CHILD_TIMEOUT_NS, &said);
    if (!is_in_time) (void)kill(pid, SIGKILL);
    (void)close(text[0]);
    int status = 0;
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {}
    return child_result(status, !is_in_time, &said, reterr);
}
