/* case.h: what the cases share. A case is a command for WASI preview 1 that calls the functions themselves, not through libc, with every pointer
 * a number, so that also wrong ones can be given. It says each wrong answer on stderr and exits with 1 if there was one. */
#ifndef WASI_CASE_H
#define WASI_CASE_H
#include <stdint.h>
#include <string.h>
#include <wasi/api.h>

typedef uint32_t u32;
typedef uint64_t u64;
typedef uint8_t u8;
#define P(x) ((u32)(uintptr_t)(x))
#define E(name) __WASI_ERRNO_##name
#define R(name) __WASI_RIGHTS_##name
#define OK 0
#define ALL UINT64_MAX

#define WASI(name, ...) __attribute__((import_module("wasi_snapshot_preview1"), import_name(#name))) u32 w_##name(__VA_ARGS__);
WASI(args_get, u32 argv, u32 buf)
WASI(args_sizes_get, u32 count, u32 bytes)
WASI(environ_get, u32 env, u32 buf)
WASI(environ_sizes_get, u32 count, u32 bytes)
WASI(clock_res_get, u32 id, u32 ret)
WASI(clock_time_get, u32 id, u64 precision, u32 ret)
WASI(fd_advise, u32 fd, u64 at, u64 n, u32 advice)
WASI(fd_allocate, u32 fd, u64 at, u64 n)
WASI(fd_close, u32 fd)
WASI(fd_datasync, u32 fd)
WASI(fd_fdstat_get, u32 fd, u32 ret)
WASI(fd_fdstat_set_flags, u32 fd, u32 flags)
WASI(fd_fdstat_set_rights, u32 fd, u64 rights, u64 inheriting)
WASI(fd_filestat_get, u32 fd, u32 ret)
WASI(fd_filestat_set_size, u32 fd, u64 n)
WASI(fd_filestat_set_times, u32 fd, u64 atim, u64 mtim, u32 flags)
WASI(fd_pread, u32 fd, u32 iovs, u32 n, u64 at, u32 ret)
WASI(fd_prestat_get, u32 fd, u32 ret)
WASI(fd_prestat_dir_name, u32 fd, u32 path, u32 n)
WASI(fd_pwrite, u32 fd, u32 iovs, u32 n, u64 at, u32 ret)
WASI(fd_read, u32 fd, u32 iovs, u32 n, u32 ret)
WASI(fd_readdir, u32 fd, u32 buf, u32 n, u64 cookie, u32 ret)
WASI(fd_renumber, u32 from, u32 to)
WASI(fd_seek, u32 fd, int64_t by, u32 whence, u32 ret)
WASI(fd_sync, u32 fd)
WASI(fd_tell, u32 fd, u32 ret)
WASI(fd_write, u32 fd, u32 iovs, u32 n, u32 ret)
WASI(path_create_directory, u32 dir, u32 path, u32 n)
WASI(path_filestat_get, u32 dir, u32 lookup, u32 path, u32 n, u32 ret)
WASI(path_filestat_set_times, u32 dir, u32 lookup, u32 path, u32 n, u64 atim, u64 mtim, u32 flags)
WASI(path_link, u32 dir, u32 lookup, u32 path, u32 n, u32 to_dir, u32 to, u32 to_n)
WASI(path_open, u32 dir, u32 lookup, u32 path, u32 n, u32 oflags, u64 rights, u64 inheriting, u32 fdflags, u32 ret)
WASI(path_readlink, u32 dir, u32 path, u32 n, u32 buf, u32 room, u32 ret)
WASI(path_remove_directory, u32 dir, u32 path, u32 n)
WASI(path_rename, u32 dir, u32 path, u32 n, u32 to_dir, u32 to, u32 to_n)
WASI(path_symlink, u32 target, u32 target_n, u32 dir, u32 path, u32 n)
WASI(path_unlink_file, u32 dir, u32 path, u32 n)
WASI(poll_oneoff, u32 in, u32 out, u32 n, u32 ret)
__attribute__((import_module("wasi_snapshot_preview1"), import_name("proc_exit"), noreturn)) void w_proc_exit(u32 code);
WASI(proc_raise, u32 signal)
WASI(sched_yield, void)
WASI(random_get, u32 buf, u32 n)
WASI(sock_accept, u32 fd, u32 flags, u32 ret)
WASI(sock_recv, u32 fd, u32 iovs, u32 n, u32 flags, u32 ret, u32 ret_flags)
WASI(sock_send, u32 fd, u32 iovs, u32 n, u32 flags, u32 ret)
WASI(sock_shutdown, u32 fd, u32 how)

typedef struct iov {
    u32 p, n;
} iov;
typedef struct fdstat {
    u8 type;
    uint16_t flags;
    u64 rights, inheriting;
} fdstat;
typedef struct filestat {
    u64 dev, ino;
    u8 type;
    u64 links, size, atim, mtim, ctim;
} filestat;
_Static_assert(sizeof(fdstat) == 24 && sizeof(filestat) == 64, "as the specification lays them out");

/* ---- saying what is wrong */

static int n_wrong;
static char said[1 << 10];
static u32 said_n;

static void say(const char *s)
{
    for (; *s && said_n < sizeof said; s++) said[said_n++] = *s;
}
static void say_u(u64 v)
{
    char digits[21];
    int i = 20;
    digits[20] = 0;
    do digits[--i] = (char)('0' + v % 10);
    while (v /= 10);
    say(digits + i);
}
__attribute__((unused)) static void check(int line, const char *what, u64 is, u64 first, u64 second)
{
    if (is == first || is == second) return;
    n_wrong++;
    said_n = 0;
    say("line ");
    say_u((u64)line);
    say(": ");
    say(what);
    say(" is ");
    say_u(is);
    say(", not ");
    say_u(first);
    if (second != first) {
        say(" or ");
        say_u(second);
    }
    say("\n");
    iov v = {P(said), said_n};
    u32 n;
    w_fd_write(2, P(&v), 1, P(&n));
}
#define IS(expr, expected) check(__LINE__, #expr, (u64)(expr), (u64)(expected), (u64)(expected))
#define EITHER(expr, one, other) check(__LINE__, #expr, (u64)(expr), (u64)(one), (u64)(other)) /* where the specification leaves both open */
#define TRUE(expr) IS(!!(expr), 1)

static void test(void);
int main(void)
{
    test();
    return n_wrong != 0;
}

/* ---- addresses at and behind the end of memory, and the folder that most cases are given */

#define END ((u32)(__builtin_wasm_memory_size(0) * 65536ul))
#define ROOT 3u
#define S(text) P(text), (u32)strlen(text)
#define CREAT __WASI_OFLAGS_CREAT
#define DIRECTORY __WASI_OFLAGS_DIRECTORY
#define EXCL __WASI_OFLAGS_EXCL
#define TRUNC __WASI_OFLAGS_TRUNC
#define FOLLOW 1u
#define NEVER 0xfffffff0u /* no descriptor has that number */

static u32 opened; /* by open_with() */
static inline u32 open_with(u32 dir, u32 lookup, const char *path, u32 oflags, u64 rights, u32 fdflags)
{
    opened = NEVER;
    return w_path_open(dir, lookup, S(path), oflags, rights, ALL, fdflags, P(&opened));
}
/* With every right that there is; NEVER: it could not be opened, which is said. */
#define OPEN(path, oflags) (IS(open_with(ROOT, 0, path, oflags, (oflags)&DIRECTORY ? ALL & ~R(FD_WRITE) : ALL, 0), OK), opened)

static inline u32 write_to(u32 fd, const char *text)
{
    iov v = {P(text), (u32)strlen(text)};
    u32 n = 0;
    u32 err = w_fd_write(fd, P(&v), 1, P(&n));
    return err ? err : n == v.n ? OK
                                : E(IO);
}
#define FILE_OF(path, text)                  \
    do {                                     \
        u32 made = OPEN(path, CREAT | EXCL); \
        IS(write_to(made, text), OK);        \
        IS(w_fd_close(made), OK);            \
    } while (0)
#define FOLDER(path) IS(w_path_create_directory(ROOT, S(path)), OK)
#define LINK(target, path) IS(w_path_symlink(S(target), ROOT, S(path)), OK)

static u8 got[1 << 16]; /* by read_from() */
static inline u64 read_from(u32 fd, u32 n)
{
    iov v = {P(got), n};
    u32 moved = 0;
    memset(got, 0xee, n < sizeof got ? n + 1 : n);
    u32 err = w_fd_read(fd, P(&v), 1, P(&moved));
    return err ? (u64)err << 32 : moved;
}
#define GOT(text) TRUE(memcmp(got, text, sizeof text - 1) == 0)

static inline filestat stat_of(const char *path)
{
    filestat s = {.size = NEVER};
    (void)w_path_filestat_get(ROOT, 0, S(path), P(&s));
    return s;
}
static inline fdstat fd_of(u32 fd)
{
    fdstat s = {.type = 0xff};
    (void)w_fd_fdstat_get(fd, P(&s));
    return s;
}
#define IS_THERE(path) (stat_of(path).size != NEVER)
#endif
