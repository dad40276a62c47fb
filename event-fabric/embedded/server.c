/* server.c: the private nats-server: configuration, start, supervision, end.
 *
 * The thread nx-fab-srv starts the server and lives as long as the node: the kernel kills the server when that thread ends, however it
 * ends (PR_SET_PDEATHSIG), so no server outlives its node. */
#include "embedded.h"
#include "nx/clock.h"
#include "nx/digest.h"
#include "nx/log.h"
#include "nx/thread.h"
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_NS (60 * NX_NS_PER_S)
#define STOP_NS (10 * NX_NS_PER_S)
#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 5000
#define FIRST_TRIES 3
#define MEMORY_BYTES (192ull << 20)      /* the server's, for messages and itself */
#define MEMORY_OF_CONSUMER (96ull << 10) /* about 70 KiB, measured at 10,000, and room for the collector */
#define GOGC "75"                        /* how much the heap may grow between two collections, in percent, */
#define GOGC_OF_MANY "250"               /* and with a thousand consumers, whose state is mostly at rest: each collection looks through all of it */
#define HEAL_ROOM_BYTES (16u << 20)      /* free on the store's disk before a shut store is tried again */
#define HEAL_EVERY_NS (10 * NX_NS_PER_S)

struct nx_fab_server {
    nx_fab_server_options o;
    char program[PATH_MAX], dir[PATH_MAX]; /* dir: <data_dir>/nats, absolute */
    char conf[PATH_MAX + 16], json[PATH_MAX + 16], lock[PATH_MAX + 16], err_file[PATH_MAX + 16];
    char user[16], password[48], url[128];
    uint16_t port;
    int data_lock_fd, stop_fd;
    pthread_t thread;
    bool has_thread;
    atomic_int pid;
    atomic_bool is_stopping, wants_heal;
    /* The starter waits for the first result. */
    pthread_mutex_t mu;
    pthread_cond_t cv;
    bool is_decided;
    nx_err first_err;
    nx_error first_detail;
};

/* ---- where things are -------------------------------------------------------------------------------------------------------------------------- */

static bool is_program(const char *path)
{
    struct stat st;

    return !stat(path, &st) && S_ISREG(st.st_mode) && !access(path, X_OK);
}

static bool beside_self(char *out, size_t n)
{
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    char *slash;

    if (len <= 0)
        return false;
    self[len] = 0;
    slash = strrchr(self, '/');
    if (!slash)
        return false;
    *slash = 0;
    return (size_t)snprintf(out, n, "%s/nats-server", self) < n && is_program(out);
}

static bool in_path(char *out, size_t n)
{
    const char *path = getenv("PATH");

    while (path && *path) {
        size_t len = strcspn(path, ":");

        if (len && (size_t)snprintf(out, n, "%.*s/nats-server", (int)len, path) < n && is_program(out))
            return true;
        path += len + (path[len] == ':');
    }
    return false;
}

static nx_err find_program(const char *given, char out[PATH_MAX], nx_error *reterr)
{
    const char *env = getenv("NEXUS_NATS_SERVER"), *from = "";

    if (!given && env && *env) {
        given = env;
        from = "NEXUS_NATS_SERVER: ";
    }
    if (given) {
        snprintf(out, PATH_MAX, "%s", given);
        return is_program(out) ? NX_OK : nx_error_set(reterr, NX_ENOENT, "%s%s is not a program", from, given);
    }
    if (beside_self(out, PATH_MAX))
        return NX_OK;
#ifdef NX_NATS_SERVER_FALLBACK
    snprintf(out, PATH_MAX, "%s", NX_NATS_SERVER_FALLBACK);
    if (is_program(out))
        return NX_OK;
#endif
    return in_path(out, PATH_MAX) ? NX_OK : nx_error_set(reterr, NX_ENOENT, "nats-server not found: put it beside nexus or into PATH, or set NEXUS_NATS_SERVER");
}

static nx_err make_dirs(nx_fab_server *s, nx_error *reterr)
{
    char base[PATH_MAX], path[PATH_MAX + 16];

    if (mkdir(s->o.data_dir, 0700) && errno != EEXIST)
        return nx_error_set(reterr, nx_err_from_errno(errno), "%s: %s", s->o.data_dir, strerror(errno));
    if (!realpath(s->o.data_dir, base))
        return nx_error_set(reterr, nx_err_from_errno(errno), "%s: %s", s->o.data_dir, strerror(errno));
    if ((size_t)snprintf(s->dir, sizeof s->dir, "%s/nats", base) >= sizeof s->dir)
        return nx_error_set(reterr, NX_ELIMIT, "%s: the path is too long (%zu bytes at most); give the node a shorter data_dir", base, sizeof s->dir - 6);
    snprintf(path, sizeof path, "%s/store", s->dir);
    if ((mkdir(s->dir, 0700) && errno != EEXIST) || (mkdir(path, 0700) && errno != EEXIST))
        return nx_error_set(reterr, nx_err_from_errno(errno), "%s: %s", path, strerror(errno));
    snprintf(s->conf, sizeof s->conf, "%s/server.conf", s->dir);
    snprintf(s->json, sizeof s->json, "%s/server.json", base);
    snprintf(s->lock, sizeof s->lock, "%s/server.lock", s->dir);
    snprintf(s->err_file, sizeof s->err_file, "%s/server.err", s->dir);
    return NX_OK;
}

/* Into double quotes of the server's configuration language. */
static void quoted(const char *text, char *out)
{
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            out += sprintf(out, "\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            out += sprintf(out, "\\x%02x", (unsigned char)*text);
        else
            *out++ = *text;
    }
    *out = 0;
}

static nx_err write_conf(nx_fab_server *s, nx_error *reterr)
{
    nx_buf b = NX_BUF_INIT(65536);
    char dir[4 * sizeof s->dir];
    int fd;

    quoted(s->dir, dir);
    nx_err e = nx_buf_printf(&b,
                             "# Written by nexus at every start.\n"
                             "listen: \"127.0.0.1:%u\"\n"
                             "server_name: \"nexus-private\"\n"
                             "max_payload: %llu\n"
                             "max_pending: 134217728\n"
                             "write_deadline: \"30s\"\n"
                             "authorization { user: \"%s\", password: \"%s\" }\n"
                             /* Streams carry the limits. The server's own is a reservation against the disk's free space, which would refuse them on a small disk. */
                             "jetstream { store_dir: \"%s/store\", max_file_store: 1125899906842624, max_memory_store: 67108864%s }\n"
                             "logfile: \"%s/server.log\"\n"
                             "logfile_size_limit: 8388608\n"
                             "logfile_max_num: 3\n",
                             s->port, (unsigned long long)(s->o.max_payload_bytes ? s->o.max_payload_bytes : 8u << 20), s->user, s->password, dir,
                             s->o.durability == NX_DURABILITY_PROCESS ? "" : ", sync_interval: always", dir);

    if (e) {
        nx_buf_done(&b);
        return nx_error_set(reterr, e, "out of memory");
    }
    unlink(s->conf); /* a new file has mode 0600 from its first byte */
    fd = open(s->conf, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, b.p, b.n) != (ssize_t)b.n || close(fd))
        e = nx_error_set(reterr, nx_err_from_errno(errno), "%s: %s", s->conf, strerror(errno));
    nx_buf_done(&b);
    return e;
}

/* ---- start (nx-fab-srv) -------------------------------------------------------------------------------------------------------------------------- */

/* Between fork and exec only what is async-signal-safe. */
static void __attribute__((noreturn)) child(nx_fab_server *s, pid_t parent, int go_fd, int lock_fd, int err_fd, char **argv, char **envp)
{
    sigset_t none;
    char byte;
    int null;

    setpgid(0, 0); /* Ctrl-C in a terminal is for the node, which ends the server when it has drained */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
        _exit(126);
    if (read(go_fd, &byte, 1) != 1) /* server.json names us now; without it the next node would not know whom to wait for */
        _exit(126);
    null = open("/dev/null", O_RDWR);
    if (null < 0 || dup2(null, 0) < 0 || dup2(err_fd, 1) < 0 || dup2(err_fd, 2) < 0 || dup2(lock_fd, 3) < 0)
        _exit(126);
    syscall(SYS_close_range, 4u, ~0u, 0u);
    signal(SIGPIPE, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    execve(s->program, argv, envp);
    _exit(127);
}

/* Consumers that the store has: <store>/jetstream/<account>/streams/<stream>/obs/<consumer>. */
static unsigned count_consumers(const char *store)
{
    char pattern[PATH_MAX + 64];
    glob_t found = {0};
    unsigned n = 0;

    snprintf(pattern, sizeof pattern, "%s/jetstream/*/streams/*/obs/*", store);
    if (glob(pattern, GLOB_NOSORT, NULL, &found) == 0)
        n = found.gl_pathc > UINT_MAX ? UINT_MAX : (unsigned)found.gl_pathc;
    globfree(&found);
    return n;
}

static uint64_t memory_limit(const nx_fab_server *s)
{
    char store[PATH_MAX + 16];

    if (s->o.memory_limit_bytes)
        return s->o.memory_limit_bytes;
    snprintf(store, sizeof store, "%s/store", s->dir);
    return MEMORY_BYTES + MEMORY_OF_CONSUMER * count_consumers(store);
}

/* GOMAXPROCS of the server, or NULL for what Go takes. On two cores it shares with the node, a second thread of its Go runtime is mostly one that looks
 * for work. Not where each message is synced: one thread would wait for the disk then. */
static const char *max_procs(const nx_fab_server *s)
{
    return s->o.durability == NX_DURABILITY_PROCESS && sysconf(_SC_NPROCESSORS_ONLN) <= 2 ? "GOMAXPROCS=1" : NULL;
}

/* What is set in the node's environment is the operator's; docs/BENCHMARKS.md has what other values take in memory and processor time. What begins with
 * NEXUS_ follows the number of consumers while the server runs (scripts/deps/nats-server/memory.go); other servers don't know it. */
static char **make_env(const nx_fab_server *s, char *limit, char *memory, size_t bytes)
{
    const char *procs = max_procs(s);
    size_t n = 0, k = 0;
    char **v;

    snprintf(limit, bytes, "GOMEMLIMIT=%llu", (unsigned long long)memory_limit(s));
    snprintf(memory, bytes, "NEXUS_NATS_MEMORY=%llu,%llu", MEMORY_BYTES, MEMORY_OF_CONSUMER);
    while (environ[n])
        n++;
    v = calloc(n + 6, sizeof *v);
    if (!v)
        return NULL;
    for (size_t i = 0; i < n; i++)
        if (strncmp(environ[i], "GOMEMLIMIT=", 11) != 0)
            v[k++] = environ[i];
    v[k++] = limit;
    if (!s->o.memory_limit_bytes)
        v[k++] = memory;
    if (!getenv("GOGC")) {
        v[k++] = (char *)(uintptr_t) "GOGC=" GOGC;
        v[k++] = (char *)(uintptr_t) "NEXUS_NATS_GOGC=" GOGC_OF_MANY;
    }
    if (procs && !getenv("GOMAXPROCS"))
        v[k] = (char *)(uintptr_t)procs;
    return v;
}

static nx_err spawn(nx_fab_server *s, nx_error *reterr)
{
    char limit[64], memory[64], *argv[] = {s->program, (char *)"-c", s->conf, NULL};
    char **envp = make_env(s, limit, memory, sizeof limit);
    int lock_fd = -1, err_fd = -1, go[2] = {-1, -1};
    pid_t parent = getpid(), pid = -1;
    nx_fab_proc proc;
    nx_err e;

    if (!envp)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    e = nx_fab_store_take(s->lock, s->json, s->conf, nx_clock_ns() + START_NS, &lock_fd, reterr);
    if (e) {
        free(envp);
        return e;
    }
    err_fd = open(s->err_file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (err_fd < 0 || pipe2(go, O_CLOEXEC) || (pid = fork()) < 0)
        e = nx_error_set(reterr, nx_err_from_errno(errno), "cannot start nats-server: %s", strerror(errno));
    else if (pid == 0)
        child(s, parent, go[0], lock_fd, err_fd, argv, envp);
    if (!e) {
        e = nx_fab_proc_of(pid, &proc);
        if (!e)
            e = nx_fab_proc_write(s->json, &proc);
        if (!e && write(go[1], "", 1) != 1)
            e = NX_EIO;
        if (e) {
            nx_error_set(reterr, e, "%s: %s", s->json, nx_err_text(e));
            kill(pid, SIGKILL);
            waitpid(pid, NULL, 0);
        } else {
            atomic_store(&s->pid, (int)pid);
        }
    }
    for (int i = 0; i < 2; i++)
        if (go[i] >= 0)
            close(go[i]);
    if (err_fd >= 0)
        close(err_fd);
    close(lock_fd); /* the child's copy keeps the lock */
    free(envp);
    return e;
}

/* True when the process has ended (and was reaped). Waits up to timeout_ms, or until told to stop. */
static bool wait_exit(nx_fab_server *s, int timeout_ms, bool heed_stop)
{
    pid_t pid = atomic_load(&s->pid);
    int pidfd = (int)syscall(SYS_pidfd_open, pid, 0u);
    struct pollfd p[2] = {{.fd = pidfd, .events = POLLIN}, {.fd = heed_stop ? s->stop_fd : -1, .events = POLLIN}};
    uint64_t end = nx_clock_ns() + (unsigned long long)timeout_ms * NX_NS_PER_MS;
    bool ended;

    do {
        int left = timeout_ms < 0 ? 1000 : nx_clock_poll_ms(nx_clock_ns(), end);

        poll(p, 2, pidfd >= 0 ? left : left < 20 ? left
                                                 : 20); /* no pidfd on this kernel: look often */
        ended = waitpid(pid, NULL, WNOHANG) == pid;
    } while (!ended && !(heed_stop && (atomic_load(&s->is_stopping) || (timeout_ms < 0 && atomic_load(&s->wants_heal)))) && (timeout_ms < 0 || nx_clock_ns() < end));
    if (pidfd >= 0)
        close(pidfd);
    if (ended)
        atomic_store(&s->pid, 0);
    return ended;
}

static void end_child(nx_fab_server *s)
{
    pid_t pid = atomic_load(&s->pid);

    if (pid <= 0)
        return;
    kill(pid, SIGTERM);
    kill(pid, SIGCONT);
    if (!wait_exit(s, (int)(STOP_NS / NX_NS_PER_MS), false)) {
        nx_log(NX_LOG_WARN, "server.kill", "nats-server (process %ld) does not end: killing it", (long)pid);
        kill(pid, SIGKILL);
        wait_exit(s, -1, false);
    }
}

static void read_complaint(const nx_fab_server *s, char *out, size_t n)
{
    int fd = open(s->err_file, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, out, n - 1);

    if (fd >= 0)
        close(fd);
    out[got > 0 ? got : 0] = 0;
    for (char *p = out; *p; p++)
        if (*p == '\n')
            *p = ' ';
}

static nx_err wait_ready(nx_fab_server *s, nx_error *reterr)
{
    uint64_t start = nx_clock_ns(), said = start;
    char complaint[300];

    while (nx_clock_ns() - start < START_NS && !atomic_load(&s->is_stopping)) {
        if (!nx_fab_probe(s->port, s->user, s->password, 1000))
            return NX_OK;
        if (wait_exit(s, 5, true)) {
            read_complaint(s, complaint, sizeof complaint);
            return complaint[0] ? nx_error_set(reterr, NX_EUNAVAIL, "nats-server ended at once: %s", complaint)
                                : nx_error_set(reterr, NX_EUNAVAIL, "nats-server ended at once: %s said nothing; its log is %s/server.log", s->program, s->dir);
        }
        if (nx_clock_ns() - said > 5 * NX_NS_PER_S) {
            said = nx_clock_ns();
            nx_log(NX_LOG_INFO, "server.recovering", "nats-server is recovering its store (%llu s)", (unsigned long long)((said - start) / NX_NS_PER_S));
        }
    }
    end_child(s);
    if (atomic_load(&s->is_stopping))
        return nx_error_set(reterr, NX_ECANCELED, "stopped");
    return nx_error_set(reterr, NX_ETIMEOUT, "nats-server is not ready after %llu s", START_NS / NX_NS_PER_S);
}

static nx_err bring_up(nx_fab_server *s, nx_error *reterr)
{
    nx_err e = write_conf(s, reterr);

    if (!e)
        e = spawn(s, reterr);
    return e ? e : wait_ready(s, reterr);
}

/* The first start may try other ports; afterwards the port is kept, because clients know it. */
static nx_err first_start(nx_fab_server *s, nx_error *reterr)
{
    nx_err e = NX_EUNAVAIL;

    for (int i = 0; i < FIRST_TRIES && e == NX_EUNAVAIL && !atomic_load(&s->is_stopping); i++) {
        e = nx_fab_probe_port(&s->port);
        if (e)
            return nx_error_set(reterr, e, "no free port on the loopback: %s", nx_err_text(e));
        snprintf(s->url, sizeof s->url, "nats://%s:%s@127.0.0.1:%u", s->user, s->password, s->port);
        e = bring_up(s, reterr);
    }
    return e;
}

static void pause_ms(nx_fab_server *s, int ms)
{
    struct pollfd p = {.fd = s->stop_fd, .events = POLLIN};

    poll(&p, 1, ms);
}

static void tell(nx_fab_server *s, bool is_up, const char *why)
{
    if (s->o.on_state)
        s->o.on_state(s->o.self, is_up, why);
}

/* True when the server was ended so that it starts anew. */
static bool heal(nx_fab_server *s, uint64_t *healed_ns)
{
    struct statvfs st;
    uint64_t count, now = nx_clock_ns();

    atomic_store(&s->wants_heal, false); /* asked again as long as it is needed */
    if (read(s->stop_fd, &count, sizeof count) < 0 && errno != EAGAIN)
        return false;
    if (atomic_load(&s->is_stopping) || (*healed_ns && now - *healed_ns < HEAL_EVERY_NS))
        return false;
    if (statvfs(s->dir, &st) || (uint64_t)st.f_bavail * st.f_frsize < HEAL_ROOM_BYTES)
        return false;
    nx_log(NX_LOG_WARN, "server.heal", "nats-server does not store any more, though its disk has room: restarting it");
    *healed_ns = now;
    end_child(s);
    return true;
}

static void *supervise(void *self)
{
    nx_fab_server *s = self;
    nx_error err = NX_ERROR_INIT;
    int backoff = BACKOFF_MIN_MS;
    uint64_t healed_ns = 0;
    nx_err e;

    prctl(PR_SET_NAME, "nx-fab-srv");
    e = first_start(s, &err);
    pthread_mutex_lock(&s->mu);
    s->is_decided = true;
    s->first_err = e;
    s->first_detail = err;
    pthread_cond_signal(&s->cv);
    pthread_mutex_unlock(&s->mu);
    if (e)
        return NULL;
    while (!atomic_load(&s->is_stopping)) {
        uint64_t up_ns = nx_clock_ns();

        if (wait_exit(s, -1, true)) {
            if (nx_clock_ns() - up_ns > 30 * NX_NS_PER_S)
                backoff = BACKOFF_MIN_MS;
            nx_log(NX_LOG_ERROR, "server.died", "nats-server ended unexpectedly, restarting it");
            tell(s, false, "nats-server ended unexpectedly");
        } else if (heal(s, &healed_ns)) {
            tell(s, false, "nats-server is restarted, it did not store any more");
        } else {
            continue;
        }
        while (!atomic_load(&s->is_stopping)) {
            pause_ms(s, backoff);
            if (atomic_load(&s->is_stopping))
                break;
            backoff = backoff * 2 > BACKOFF_MAX_MS ? BACKOFF_MAX_MS : backoff * 2;
            if (!bring_up(s, &err)) {
                nx_log(NX_LOG_INFO, "server.restarted", "nats-server is up again");
                tell(s, true, "");
                break;
            }
            if (!atomic_load(&s->is_stopping))
                nx_log(NX_LOG_ERROR, "server.restart", "cannot restart nats-server: %s", err.msg);
        }
    }
    end_child(s);
    return NULL;
}

/* ---- the public calls -------------------------------------------------------------------------------------------------------------------------------- */

static void destroy(nx_fab_server *s)
{
    if (s->stop_fd >= 0)
        close(s->stop_fd);
    if (s->data_lock_fd >= 0)
        close(s->data_lock_fd);
    pthread_cond_destroy(&s->cv);
    pthread_mutex_destroy(&s->mu);
    explicit_bzero(s->password, sizeof s->password);
    free(s);
}

nx_err nx_fab_server_start(const nx_fab_server_options *o, nx_fab_server **ret, nx_error *reterr)
{
    nx_fab_server *s = calloc(1, sizeof *s);
    uint8_t secret[32];
    nx_err e;

    if (!s)
        return nx_error_set(reterr, NX_ENOMEM, "out of memory");
    s->o = *o;
    s->data_lock_fd = -1;
    s->stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&s->mu, NULL);
    pthread_cond_init(&s->cv, NULL);
    nx_random(secret, sizeof secret);
    snprintf(s->user, sizeof s->user, "nexus");
    s->password[nx_base64_encode(nx_slice_make(secret, sizeof secret), true, s->password)] = 0;
    explicit_bzero(secret, sizeof secret);
    e = find_program(o->program, s->program, reterr);
    if (!e)
        e = make_dirs(s, reterr);
    if (!e)
        e = nx_fab_lock_take(o->data_dir, &s->data_lock_fd, reterr);
    if (!e && nx_thread_start(&s->thread, NULL, supervise, s))
        e = nx_error_set(reterr, NX_ENOMEM, "cannot start the thread nx-fab-srv");
    if (e) {
        destroy(s);
        return e;
    }
    pthread_mutex_lock(&s->mu);
    while (!s->is_decided)
        pthread_cond_wait(&s->cv, &s->mu);
    e = s->first_err;
    pthread_mutex_unlock(&s->mu);
    if (e) {
        pthread_join(s->thread, NULL);
        nx_error_set(reterr, e, "%s", s->first_detail.msg);
        destroy(s);
        return e;
    }
    *ret = s;
    return NX_OK;
}

const char *nx_fab_server_url(const nx_fab_server *s)
{
    return s->url;
}

int nx_fab_server_pid(const nx_fab_server *s)
{
    return atomic_load(&s->pid);
}

void nx_fab_server_heal(nx_fab_server *s)
{
    uint64_t one = 1;

    atomic_store(&s->wants_heal, true);
    if (write(s->stop_fd, &one, sizeof one) < 0)
        return; /* full: it is awake */
}

void nx_fab_server_stop(nx_fab_server *s)
{
    uint64_t one = 1;

    if (!s)
        return;
    atomic_store(&s->is_stopping, true);
    if (write(s->stop_fd, &one, sizeof one) < 0)
        nx_log(NX_LOG_WARN, "server.stop", "eventfd: %s", strerror(errno));
    pthread_join(s->thread, NULL);
    destroy(s);
}
