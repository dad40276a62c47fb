/* lock.c: one node on a data directory, one nats-server on a store.
 *
 * nats-server does not lock its store, and two servers on one store lose acknowledged events. Two locks stand against that: the node's
 * (an open-file-description lock on <data_dir>/lock), and the store's, which the server process itself holds by inheriting the descriptor:
 * the kernel gives it back when the last holder is really gone, stopped or dying processes included. */
#include "embedded.h"
#include "nx/clock.h"
#include "nx/log.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <time.h>
#include <unistd.h>

#define DOUBT_NS (2 * NX_NS_PER_S) /* how long a process that does not look like the server may stand where it should */
#define ASK_NS (10 * NX_NS_PER_S)  /* how long a previous server may take to end by itself */

static long read_file(const char *path, char *buf, size_t size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    if (fd < 0)
        return -1;
    n = read(fd, buf, size - 1);
    close(fd);
    if (n < 0)
        return -1;
    buf[n] = 0;
    return n;
}

nx_err nx_fab_lock_take(const char *data_dir, int *ret_fd, nx_error *reterr)
{
    struct flock lk = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char path[PATH_MAX], text[64] = "";
    int fd, n;

    if (snprintf(path, sizeof path, "%s/lock", data_dir) >= (int)sizeof path)
        return nx_error_set(reterr, NX_ELIMIT, "%s: path too long", data_dir);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return nx_error_set(reterr, nx_err_from_errno(errno), "%s: %s", path, strerror(errno));
    if (fcntl(fd, F_OFD_SETLK, &lk)) {
        int err = errno;

        close(fd);
        if (err != EAGAIN && err != EACCES)
            return nx_error_set(reterr, nx_err_from_errno(err), "%s: %s", path, strerror(err));
        read_file(path, text, sizeof text);
        text[strcspn(text, "\n")] = 0;
        return nx_error_set(reterr, NX_ECONFLICT, "%s is in use by process %s", data_dir, text[0] ? text : "(unknown)");
    }
    n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) || pwrite(fd, text, (size_t)n, 0) != n)
        nx_log(NX_LOG_WARN, "server.lock", "%s: %s", path, strerror(errno)); /* only the message for others lacks the number */
    *ret_fd = fd;
    return NX_OK;
}

/* ---- processes -------------------------------------------------------------------------------------------------------------------------------- */

static void boot_id(char out[40])
{
    char text[64] = "";

    read_file("/proc/sys/kernel/random/boot_id", text, sizeof text);
    text[strcspn(text, "\n")] = 0;
    snprintf(out, 40, "%.36s", text);
}

static nx_err stat_of(pid_t pid, char *ret_state, uint64_t *ret_start)
{
    char path[64], text[1024], *p;
    unsigned long long start;

    snprintf(path, sizeof path, "/proc/%ld/stat", (long)pid);
    if (read_file(path, text, sizeof text) < 0)
        return NX_ENOENT;
    p = strrchr(text, ')'); /* the name may hold anything */
    /* The kernel's own text: a number that is out of range can't be there. NOLINTNEXTLINE(cert-err34-c) */
    if (!p || sscanf(p + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d %*d %llu", ret_state, &start) != 2)
        return NX_EPARSE;
    *ret_start = start;
    return NX_OK;
}

nx_err nx_fab_proc_of(pid_t pid, nx_fab_proc *ret)
{
    char state;

    *ret = (nx_fab_proc){.pid = pid};
    boot_id(ret->boot);
    return stat_of(pid, &state, &ret->start_ticks);
}

bool nx_fab_proc_is_alive(const nx_fab_proc *p)
{
    char state, boot[40];
    uint64_t start;

    boot_id(boot);
    return !strcmp(boot, p->boot) && !stat_of(p->pid, &state, &start) && start == p->start_ticks && state != 'Z' && state != 'X';
}

bool nx_fab_proc_has_argument(const nx_fab_proc *p, const char *arg)
{
    char path[64], text[3 * PATH_MAX];
    size_t want = strlen(arg);
    long n;

    snprintf(path, sizeof path, "/proc/%ld/cmdline", (long)p->pid);
    n = read_file(path, text, sizeof text);
    for (long at = 0; at < n; at += (long)strlen(text + at) + 1)
        if (strlen(text + at) == want && !strcmp(text + at, arg))
            return true;
    return false;
}

bool nx_fab_proc_has_open(const nx_fab_proc *p, const char *file)
{
    char path[PATH_MAX], real[PATH_MAX], target[PATH_MAX];
    bool found = false;
    struct dirent *d;
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%ld/fd", (long)p->pid);
    dir = realpath(file, real) ? opendir(path) : NULL;
    while (dir && !found && (d = readdir(dir))) {
        ssize_t n;

        if (snprintf(path, sizeof path, "/proc/%ld/fd/%s", (long)p->pid, d->d_name) >= (int)sizeof path)
            continue;
        n = readlink(path, target, sizeof target - 1);
        if (n > 0) {
            target[n] = 0;
            found = !strcmp(target, real);
        }
    }
    if (dir)
        closedir(dir);
    return found;
}

nx_err nx_fab_proc_write(const char *file, const nx_fab_proc *p)
{
    char tmp[PATH_MAX + 8], text[160];
    int n = snprintf(text, sizeof text, "{\"pid\":%ld,\"start_ticks\":%llu,\"boot\":\"%s\"}\n", (long)p->pid, (unsigned long long)p->start_ticks, p->boot);
    int fd;

    snprintf(tmp, sizeof tmp, "%s.new", file);
    fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return nx_err_from_errno(errno);
    if (write(fd, text, (size_t)n) != n || close(fd) || rename(tmp, file))
        return nx_err_from_errno(errno);
    return NX_OK;
}

nx_err nx_fab_proc_read(const char *file, nx_fab_proc *ret)
{
    char text[512];
    nx_json *j = NULL;
    nx_slice boot;
    nx_err e;

    if (read_file(file, text, sizeof text) < 0)
        return NX_ENOENT;
    e = nx_json_parse(nx_slice_cstr(text), sizeof text, &j, NULL);
    if (e)
        return NX_EPARSE;
    *ret = (nx_fab_proc){.pid = (pid_t)nx_json_get_i64(j, "pid", 0), .start_ticks = nx_json_get_u64(j, "start_ticks", 0)};
    boot = nx_json_get_str(j, "boot");
    snprintf(ret->boot, sizeof ret->boot, "%.*s", NX_SLICE_FMT(boot));
    nx_json_free(j);
    return ret->pid > 1 ? NX_OK : NX_EPARSE;
}

/* ---- the store ----------------------------------------------------------------------------------------------------------------------------------- */

static void sleep_ms(long ms)
{
    struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

    nanosleep(&ts, NULL);
}

nx_err nx_fab_store_take(const char *lock_file, const char *json_file, const char *conf, uint64_t deadline_ns, int *ret_fd, nx_error *reterr)
{
    int fd = open(lock_file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    nx_fab_proc old = {0};
    bool is_known = false, was_killed = false;
    uint64_t asked_ns = 0, began_ns = nx_clock_ns();

    if (fd < 0)
        return nx_error_set(reterr, nx_err_from_errno(errno), "%s: %s", lock_file, strerror(errno));
    for (;;) {
        bool is_free = !flock(fd, LOCK_EX | LOCK_NB);

        is_known = !nx_fab_proc_read(json_file, &old) && nx_fab_proc_is_alive(&old);
        if (is_free && !is_known) {
            *ret_fd = fd;
            return NX_OK;
        }
        if (is_free)
            flock(fd, LOCK_UN); /* without the lock, yet alive: an unusual file system; the process counts */
        if (nx_clock_ns() > deadline_ns)
            break;
        if (is_known && !asked_ns) {
            /* By its argument, or, not yet that far, by the store's lock that it has inherited. */
            if (!nx_fab_proc_has_argument(&old, conf) && (old.pid == getpid() || !nx_fab_proc_has_open(&old, lock_file))) {
                if (nx_clock_ns() - began_ns < DOUBT_NS) {
                    sleep_ms(10);
                    continue;
                }
                close(fd);
                return nx_error_set(reterr, NX_ECONFLICT, "process %ld stands in %s but is not its nats-server", (long)old.pid, json_file);
            }
            nx_log(NX_LOG_WARN, "server.previous", "waiting for the previous nats-server (process %ld) to end", (long)old.pid);
            kill(old.pid, SIGTERM);
            kill(old.pid, SIGCONT); /* it may be stopped */
            asked_ns = nx_clock_ns();
        } else if (is_known && !was_killed && nx_clock_ns() - asked_ns > ASK_NS) {
            nx_log(NX_LOG_WARN, "server.previous", "the previous nats-server (process %ld) does not end: killing it", (long)old.pid);
            kill(old.pid, SIGKILL);
            was_killed = true;
        }
        sleep_ms(10);
    }
    close(fd);
    if (is_known)
        return nx_error_set(reterr, NX_ECONFLICT, "the previous nats-server (process %ld) does not end", (long)old.pid);
    return nx_error_set(reterr, NX_ECONFLICT, "%s is locked by another process", lock_file);
}
