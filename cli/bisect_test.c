/* bisect_test.c: one run of the user's command. */
#include "bisect_test.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* The environment with the variables in place of those of the same name; the strings are lent. */
static char **environment(char *const *variables)
{
    size_t n = 0, k = 0;
    while (environ[n])
        n++;
    while (variables[k])
        k++;
    char **all = calloc(n + k + 1, sizeof *all);
    if (!all)
        return NULL;
    memcpy(all, variables, k * sizeof *all);
    for (char **e = environ; *e; e++) {
        bool is_replaced = false;
        for (size_t i = 0; variables[i] && !is_replaced; i++) {
            const char *equals = strchr(variables[i], '=');
            is_replaced = strncmp(*e, variables[i], (size_t)(equals - variables[i]) + 1) == 0;
        }
        if (!is_replaced)
            all[k++] = *e;
    }
    return all;
}

/* What the command does not read is not its concern. */
static void feed(int fd, nx_slice input)
{
    while (input.n) {
        ssize_t n = write(fd, input.p, input.n);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        input = nx_slice_sub(input, (size_t)n, input.n);
    }
}

static int start(const char *command, char **env, int input, pid_t *ret)
{
    posix_spawn_file_actions_t fa;
    posix_spawnattr_t attr;
    sigset_t defaults;
    char *argv[] = {"sh", "-c", (char *)(uintptr_t)command, NULL};
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawn_file_actions_init(&fa);
    posix_spawnattr_init(&attr);
    posix_spawn_file_actions_adddup2(&fa, input, STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&fa, STDERR_FILENO, STDOUT_FILENO);
    posix_spawnattr_setsigdefault(&attr, &defaults);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
    int rc = posix_spawn(ret, "/bin/sh", &fa, &attr, argv, env);
    posix_spawn_file_actions_destroy(&fa);
    posix_spawnattr_destroy(&attr);
    return rc;
}

nx_err nx_cli_bisect_test(const char *command, nx_slice input, char *const *variables, int *ret_code, nx_error *reterr)
{
    int pipe_fds[2], status = 0;
    pid_t pid;
    char **env = environment(variables);
    if (!env)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory for an environment");
    if (pipe2(pipe_fds, O_CLOEXEC) != 0) {
        free(env);
        return nx_error_set(reterr, nx_err_from_errno(errno), "no pipe for the test: %s", strerror(errno));
    }
    fflush(stdout);
    int rc = start(command, env, pipe_fds[0], &pid);
    close(pipe_fds[0]);
    free(env);
    if (rc == 0) {
        struct sigaction ignore = {.sa_handler = SIG_IGN}, before;
        sigaction(SIGPIPE, &ignore, &before);
        feed(pipe_fds[1], input);
        sigaction(SIGPIPE, &before, NULL);
    }
    close(pipe_fds[1]);
    if (rc != 0)
        return nx_error_set(reterr, nx_err_from_errno(rc), "/bin/sh: %s", strerror(rc));
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    *ret_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return NX_OK;
}
