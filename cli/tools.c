/* tools.c: which compilers of this machine make WebAssembly with WASI. A toolchain counts when the target's standard library is
 * really there: rustc names a folder for every target that it knows, installed or not. */
#include "tools.h"
#include "nx/clock.h"
#include "rustc.h"
#include "sdk_files.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROBE_TIMEOUT_MS 20000

static const char *const rust_targets[] = {"wasm32-wasip1", "wasm32-wasi", NULL};

static bool is_executable(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static bool find_in_path(const char *path, const char *program, char *ret, size_t ret_bytes)
{
    nx_slice rest = nx_slice_cstr(path);
    while (rest.n > 0) {
        nx_slice dir = nx_slice_split(rest, ':', &rest);
        int n = snprintf(ret, ret_bytes, "%.*s/%s", NX_SLICE_FMT(dir), program);
        if (dir.n > 0 && n > 0 && (size_t)n < ret_bytes && is_executable(ret))
            return true;
    }
    ret[0] = 0;
    return false;
}

static void folder_of(const char *path, char *ret, size_t ret_bytes)
{
    const char *slash = strrchr(path, '/');
    snprintf(ret, ret_bytes, "%.*s", slash ? (int)(slash - path) : 0, path);
}

/* First line that a program prints; false where it fails, hangs or prints nothing. */
static bool first_line_of(const char *const *argv, char *ret, size_t ret_bytes)
{
    int pipe_fd[2], status = -1;
    pid_t pid;
    if (pipe2(pipe_fd, O_CLOEXEC) != 0)
        return false;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, pipe_fd[1], 1);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    int rc = posix_spawn(&pid, argv[0], &actions, NULL, (char *const *)(uintptr_t)argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(pipe_fd[1]);
    size_t n = 0;
    uint64_t deadline = nx_clock_ns() + PROBE_TIMEOUT_MS * NX_NS_PER_MS;
    while (rc == 0 && n + 1 < ret_bytes) {
        struct pollfd p = {.fd = pipe_fd[0], .events = POLLIN};
        if (poll(&p, 1, nx_clock_poll_ms(nx_clock_ns(), deadline)) == 0) {
            kill(pid, SIGKILL);
            break;
        }
        ssize_t k = read(pipe_fd[0], ret + n, ret_bytes - 1 - n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            break;
        n += (size_t)k;
    }
    close(pipe_fd[0]);
    while (rc == 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    ret[n] = 0;
    ret[strcspn(ret, "\r\n")] = 0;
    return rc == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0 && ret[0];
}

static bool has_library(const char *dir, const char *prefix)
{
    DIR *d = opendir(dir);
    bool is_found = false;
    for (struct dirent *e; d && !is_found && (e = readdir(d));)
        is_found = strncmp(e->d_name, prefix, strlen(prefix)) == 0;
    if (d)
        closedir(d);
    return is_found;
}

/* ---- Rust ------------------------------------------------------------------------------------------------------- */

/* Where rustc looks for the linker of its WebAssembly targets: among its own programs, then on PATH. */
static bool rust_has_linker(const char *sysroot, const char *path)
{
    char rustlib[1200], program[1600];
    snprintf(rustlib, sizeof rustlib, "%s/lib/rustlib", sysroot);
    DIR *d = opendir(rustlib);
    bool is_found = false;
    for (struct dirent *e; d && !is_found && (e = readdir(d));) {
        snprintf(program, sizeof program, "%s/%s/bin/rust-lld", rustlib, e->d_name);
        is_found = is_executable(program);
    }
    if (d)
        closedir(d);
    return is_found || find_in_path(path, "rust-lld", program, sizeof program);
}

static bool rust_take(nx_cli_tools *t, const nx_cli_tools_places *places, const char *rustc)
{
    char sysroot[1024], lib[1200], folder[1024], first[1024];
    if (!first_line_of((const char *const[]){rustc, "--print", "sysroot", NULL}, sysroot, sizeof sysroot))
        return false;
    for (const char *const *target = rust_targets; *target; target++) {
        snprintf(lib, sizeof lib, "%s/lib/rustlib/%s/lib", sysroot, *target);
        if (!has_library(lib, "libstd-"))
            continue;
        snprintf(t->rust_target, sizeof t->rust_target, "%s", *target);
        snprintf(t->rustc, sizeof t->rustc, "%s", rustc);
        folder_of(rustc, folder, sizeof folder);
        /* A cargo of another release passes options that this rustc does not know, so only the one beside it will do. */
        snprintf(lib, sizeof lib, "%s/cargo", folder);
        snprintf(t->cargo, sizeof t->cargo, "%s", is_executable(lib) && strlen(lib) < sizeof t->cargo ? lib : "");
        if (!find_in_path(places->path, "rustc", first, sizeof first) || strcmp(first, rustc) != 0)
            snprintf(t->path_first, sizeof t->path_first, "%s", folder);
        t->has_rust_linker = rust_has_linker(sysroot, places->path);
        return t->has_rust = true;
    }
    return false;
}

static const char *sudo(void)
{
    return geteuid() == 0 ? "" : "sudo ";
}

static void rust_advise(nx_cli_tools *t, const nx_cli_tools_places *places)
{
    char found[1024];
    if (find_in_path(places->path, "rustup", found, sizeof found))
        snprintf(t->rust_advice, sizeof t->rust_advice, "rustup target add wasm32-wasip1");
    else if (find_in_path(places->path, "apt-get", found, sizeof found))
        snprintf(t->rust_advice, sizeof t->rust_advice, "%sapt-get install -y cargo rustc libstd-rust-dev-wasm32 lld", sudo());
    else
        snprintf(t->rust_advice, sizeof t->rust_advice, "rustup target add wasm32-wasip1   (rustup: https://rustup.rs)");
}

/* ---- C ---------------------------------------------------------------------------------------------------------- */

static void c_find(nx_cli_tools *t, const nx_cli_tools_places *places)
{
    char clang[1024], file[1200];
    bool has_clang = find_in_path(places->path, "clang", clang, sizeof clang);
    if (places->wasi_sdk && *places->wasi_sdk) {
        snprintf(file, sizeof file, "%s/bin/clang", places->wasi_sdk);
        if (is_executable(file)) {
            snprintf(t->wasi_cc, sizeof t->wasi_cc, "%.900s --target=wasm32-wasi", file);
            snprintf(t->wasi_cflags, sizeof t->wasi_cflags, "-O2 --sysroot=%.900s/share/wasi-sysroot", places->wasi_sdk);
            t->has_c = true;
            return;
        }
    }
    for (const char *const *root = places->sysroots; has_clang && *root && !t->has_c; root++) {
        snprintf(file, sizeof file, "%s/lib/wasm32-wasi/libc.a", *root);
        if (access(file, R_OK) != 0)
            continue;
        t->has_c = true;
        snprintf(t->wasi_cc, sizeof t->wasi_cc, "%.900s --target=wasm32-wasi", clang);
        /* clang knows /usr without being told. */
        if (strcmp(*root, "/usr") == 0)
            snprintf(t->wasi_cflags, sizeof t->wasi_cflags, "-O2");
        else
            snprintf(t->wasi_cflags, sizeof t->wasi_cflags, "-O2 --sysroot=%.900s", *root);
    }
    if (find_in_path(places->path, "apt-get", file, sizeof file))
        snprintf(t->c_advice, sizeof t->c_advice, "%sapt-get install -y clang lld wasi-libc libclang-rt-dev-wasm32", sudo());
    else
        snprintf(t->c_advice, sizeof t->c_advice, "export WASI_SDK_PATH=/path/to/wasi-sdk   (https://github.com/WebAssembly/wasi-sdk)");
}

/* ---- Zig and npm ------------------------------------------------------------------------------------------------ */

static void zig_find(nx_cli_tools *t, const nx_cli_tools_places *places)
{
    static const char install[] = "pipx install ziglang==" NX_CLI_ZIG_VERSION;
    char found[1024];
    /* The package `ziglang` of Python brings the compiler under the second name. */
    if (find_in_path(places->path, "zig", t->zig, sizeof t->zig) || find_in_path(places->path, "python-zig", t->zig, sizeof t->zig))
        return;
    if (!find_in_path(places->path, "pipx", found, sizeof found) && find_in_path(places->path, "apt-get", found, sizeof found))
        snprintf(t->zig_advice, sizeof t->zig_advice, "%sapt-get install -y pipx && %s", sudo(), install);
    else
        snprintf(t->zig_advice, sizeof t->zig_advice, "%s", install);
}

static void npm_advise(nx_cli_tools *t, const nx_cli_tools_places *places)
{
    char found[1024];
    if (!find_in_path(places->path, "npm", found, sizeof found) && find_in_path(places->path, "apt-get", found, sizeof found))
        snprintf(t->npm_first, sizeof t->npm_first, "%sapt-get install -y npm && ", sudo());
}

void nx_cli_tools_find_in(const nx_cli_tools_places *places, nx_cli_tools *ret)
{
    char rustc[1024];
    *ret = (nx_cli_tools){0};
    nx_slice rest = nx_slice_cstr(places->path);
    /* Each rustc on PATH in turn: the first may be a rustup without the target, the next the system's with it. */
    while (!ret->has_rust && rest.n > 0) {
        nx_slice dir = nx_slice_split(rest, ':', &rest);
        int n = snprintf(rustc, sizeof rustc, "%.*s/rustc", NX_SLICE_FMT(dir));
        if (dir.n > 0 && n > 0 && (size_t)n < sizeof rustc && is_executable(rustc))
            rust_take(ret, places, rustc);
    }
    for (const char *const *p = places->fallbacks; !ret->has_rust && *p; p++) {
        if (is_executable(*p))
            rust_take(ret, places, *p);
    }
    rust_advise(ret, places);
    c_find(ret, places);
    zig_find(ret, places);
    npm_advise(ret, places);
}

void nx_cli_tools_find(nx_cli_tools *ret)
{
    static const char *const fallbacks[] = {"/usr/bin/rustc", NULL};
    static const char *const sysroots[] = {"/usr", "/opt/wasi-sysroot", "/usr/share/wasi-sysroot", NULL};
    const char *path = getenv("PATH");
    nx_cli_tools_find_in(&(nx_cli_tools_places){path ? path : "/usr/local/bin:/usr/bin:/bin", fallbacks, getenv("WASI_SDK_PATH"), sysroots},
                         ret);
}

/* By rename, so that a build that runs meanwhile always finds one. */
static bool link_to(const char *folder, const char *name, const char *target)
{
    char path[1200], temporary[1300], now[1024];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    snprintf(temporary, sizeof temporary, "%s.%d", path, (int)getpid());
    ssize_t n = readlink(path, now, sizeof now - 1);
    if (n > 0 && (size_t)n == strlen(target) && memcmp(now, target, (size_t)n) == 0)
        return true;
    unlink(temporary);
    return symlink(target, temporary) == 0 && rename(temporary, path) == 0;
}

/* The file that this program was started from, or what has taken its place since; where there is none, the running program itself. */
static bool own_program(char *ret, size_t ret_bytes)
{
    static const char gone[] = " (deleted)"; /* the kernel says so behind the path */
    ssize_t n = readlink("/proc/self/exe", ret, ret_bytes - 1);
    if (n <= 0)
        return false;
    ret[n] = 0;
    size_t rest = (size_t)n > sizeof gone - 1 ? (size_t)n - (sizeof gone - 1) : 0;
    if (access(ret, X_OK) == 0 || !rest || strcmp(ret + rest, gone) != 0)
        return true;
    ret[rest] = 0;
    if (access(ret, X_OK) != 0)
        snprintf(ret, ret_bytes, "/proc/%d/exe", (int)getpid());
    return true;
}

static void link_rustc(nx_cli_tools *t, const char *folder)
{
    char self[1024];
    if (!t->has_rust || !own_program(self, sizeof self))
        return;
    if (!link_to(folder, "rustc", self) || (t->cargo[0] && !link_to(folder, "cargo", t->cargo)))
        return;
    snprintf(t->folder, sizeof t->folder, "%s", folder);
    snprintf(t->path_first, sizeof t->path_first, "%s", folder);
}

/* $WASI_CFLAGS is split at spaces: a folder with one in its name is found by CPATH, which is split at colons. */
static void include_flush(nx_cli_tools *t, const char *folder)
{
    char path[1200];
    size_t have = strlen(t->wasi_cflags);
    snprintf(path, sizeof path, "%s/nexus_flush.h", folder);
    bool is_plain = !strpbrk(path, " \t\n'\"\\$`*?[");
    if (!t->has_c || (!is_plain && strchr(path, ':')) || have + strlen(path) + sizeof " -include " > sizeof t->wasi_cflags ||
        nx_cli_write_file(path, nx_cli_sdk_c_flush, 0666, NULL) != NX_OK)
        return;
    snprintf(t->wasi_cflags + have, sizeof t->wasi_cflags - have, " -include %s", is_plain ? path : "nexus_flush.h");
    if (!is_plain)
        snprintf(t->include, sizeof t->include, "%s", folder);
}

void nx_cli_tools_link(nx_cli_tools *t, nx_slice folder)
{
    char path[1024];
    if (folder.n + 8 > sizeof path)
        return;
    snprintf(path, sizeof path, "%.*s", NX_SLICE_FMT(folder));
    (void)mkdir(path, 0700);
    snprintf(path, sizeof path, "%.*s/tools", NX_SLICE_FMT(folder));
    (void)mkdir(path, 0700);
    link_rustc(t, path);
    include_flush(t, path);
}

/* A folder before those that the variable names already, or before `others` where it is not set. */
static void put_first(void (*put)(void *self, const char *name, const char *value), void *self, const char *name, const char *folder, const char *others)
{
    const char *now = getenv(name);
    char *value = NULL;
    if (!now || !now[0])
        now = others;
    if (asprintf(&value, "%s%s%s", folder, now[0] ? ":" : "", now) > 0)
        put(self, name, value);
    free(value);
}

void nx_cli_tools_each_variable(const nx_cli_tools *t, void (*put)(void *self, const char *name, const char *value), void *self)
{
    if (t->has_rust) {
        put(self, "NEXUS_WASI_TARGET", t->rust_target);
    }
    if (t->has_rust && t->folder[0]) {
        char path[1100];
        snprintf(path, sizeof path, "%s/rustc", t->folder);
        put(self, "RUSTC", path);
        put(self, NX_CLI_RUSTC_REAL, t->rustc);
    } else if (t->has_rust) {
        put(self, "RUSTC", t->rustc);
    }
    if (t->cargo[0])
        put(self, "CARGO", t->cargo);
    if (t->has_c) {
        put(self, "WASI_CC", t->wasi_cc);
        put(self, "WASI_CFLAGS", t->wasi_cflags);
    }
    if (t->zig[0])
        put(self, "ZIG", t->zig);
    if (t->include[0])
        put_first(put, self, "CPATH", t->include, "");
    if (t->path_first[0])
        put_first(put, self, "PATH", t->path_first, "/usr/bin:/bin");
}

static bool mentions(nx_slice command, const char *word)
{
    return command.n > 0 && memmem(command.p, command.n, word, strlen(word)) != NULL;
}

static bool wants_rust(nx_slice command)
{
    static const char *const words[] = {"cargo", "CARGO", "rustc", "RUSTC", "NEXUS_WASI_TARGET"};
    for (size_t i = 0; i < NX_ARRAY_LEN(words); i++)
        if (mentions(command, words[i]))
            return true;
    return false;
}

/* What npm keeps in the project (node_modules): the lock file beside it says which versions. */
static bool lacks_packages(nx_slice command, nx_slice workdir)
{
    char lock[NX_CLI_PATH_BYTES], packages[NX_CLI_PATH_BYTES];
    if (!mentions(command, "node") && !mentions(command, "npx") && !mentions(command, "npm run"))
        return false;
    snprintf(lock, sizeof lock, "%.*s/package-lock.json", NX_SLICE_FMT(workdir));
    snprintf(packages, sizeof packages, "%.*s/node_modules", NX_SLICE_FMT(workdir));
    return access(lock, F_OK) == 0 && access(packages, F_OK) != 0;
}

void nx_cli_tools_missing(const nx_cli_tools *t, nx_slice command, nx_slice workdir, char *ret, size_t ret_bytes)
{
    bool wants_cargo = mentions(command, "cargo") || mentions(command, "CARGO");
    bool wants_c = mentions(command, "WASI_CC") || mentions(command, "--target=wasm32-wasi");
    ret[0] = 0;
    if (wants_rust(command) && !t->has_rust)
        snprintf(ret, ret_bytes, "no Rust toolchain with a WASI target is installed; install one with:  %s", t->rust_advice);
    else if (wants_cargo && !t->cargo[0])
        snprintf(ret, ret_bytes, "%s has the WASI target, but no cargo stands beside it; install one with:  %sapt-get install -y cargo", t->rustc, sudo());
    else if (wants_c && !t->has_c)
        snprintf(ret, ret_bytes, "no C compiler with a WASI library is installed; install one with:  %s", t->c_advice);
    else if (mentions(command, "$ZIG") && !t->zig[0])
        snprintf(ret, ret_bytes, "no Zig is installed; install it with:  %s", t->zig_advice);
    else if (lacks_packages(command, workdir))
        snprintf(ret, ret_bytes, "the project's packages are not installed; npm brings them, as package-lock.json pins them:  %snpm ci", t->npm_first);
}

void nx_cli_tools_suspected(const nx_cli_tools *t, nx_slice command, char *ret, size_t ret_bytes)
{
    ret[0] = 0;
    if (wants_rust(command) && t->has_rust && !t->has_rust_linker)
        snprintf(ret, ret_bytes, "%s finds no linker for WebAssembly (rust-lld); Debian has it in:  %sapt-get install -y lld", t->rustc, sudo());
}
