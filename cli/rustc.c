/* rustc.c: the compiler with one function added; see rustc.h. The root source is compiled from a hidden copy beside it, because modules
 * and included files are looked for from there; messages and dependency files name the original. */
#include "rustc.h"
#include "cli.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define SOURCE_BYTES (64u << 20)
#define COPY_PREFIX ".nexus-"

bool nx_cli_rustc_is_asked(const char *argv0)
{
    const char *slash = strrchr(argv0, '/');
    return strcmp(slash ? slash + 1 : argv0, "rustc") == 0 && getenv(NX_CLI_RUSTC_REAL);
}

/* ---- what is asked ---------------------------------------------------------------------------------------------- */

/* The value of "--name VALUE" or "--name=VALUE" at argv[i]; NULL: another argument. */
static const char *value_at(int argc, char *const *argv, int i, const char *name)
{
    size_t n = strlen(name);
    if (strncmp(argv[i], name, n) != 0)
        return NULL;
    if (argv[i][n] == '=')
        return argv[i] + n + 1;
    return argv[i][n] == 0 && i + 1 < argc ? argv[i + 1] : NULL;
}

static bool has_value(int argc, char *const *argv, const char *name, const char *prefix)
{
    for (int i = 1; i < argc && argv[i]; i++) {
        const char *value = value_at(argc, argv, i, name);
        if (value && strncmp(value, prefix, strlen(prefix)) == 0)
            return true;
    }
    return false;
}

int nx_cli_rustc_root(int argc, char *const *argv, bool is_cargo_dependency)
{
    int root = 0;
    if (is_cargo_dependency || !has_value(argc, argv, "--crate-type", "cdylib") || !has_value(argc, argv, "--target", "wasm32-wasi"))
        return 0;
    for (int i = 1; i < argc; i++) {
        nx_slice word = nx_slice_cstr(argv[i]);
        bool is_value = i > 1 && argv[i - 1][0] == '-' && !strchr(argv[i - 1], '=') && strcmp(argv[i - 1], "-O") != 0 &&
                        strcmp(argv[i - 1], "-g") != 0 && strcmp(argv[i - 1], "-v") != 0;
        if (argv[i][0] != '-' && !is_value && nx_slice_ends(word, NX_SLICE(".rs"))) {
            if (root)
                return 0;
            root = i;
        }
    }
    return root;
}

nx_err nx_cli_rustc_extend(nx_slice source, bool is_edition_2024, nx_buf *out)
{
    if (memmem(source.p, source.n, NX_CLI_RUSTC_EXPORT, strlen(NX_CLI_RUSTC_EXPORT)) || memmem(source.p, source.n, "#![no_std]", 10))
        return NX_ENOTSUP;
    nx_err e = nx_buf_append_slice(out, source);
    if (e == NX_OK)
        e = nx_buf_printf(out, "\n#[doc(hidden)]\n#[%s]\npub extern \"C\" fn " NX_CLI_RUSTC_EXPORT "() {\n"
                               "    let _ = ::std::io::Write::flush(&mut ::std::io::stdout());\n}\n",
                          is_edition_2024 ? "unsafe(no_mangle)" : "no_mangle");
    return e;
}

/* ---- doing it --------------------------------------------------------------------------------------------------- */

typedef struct copy {
    char path[NX_CLI_PATH_BYTES], name[256]; /* of the copy; name is its last part */
    const char *original_name;
} copy;

static bool write_copy(const char *source_path, bool is_edition_2024, copy *ret)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf source = NX_BUF_INIT(SOURCE_BYTES);
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(SOURCE_BYTES + 4096);
    char temporary[NX_CLI_PATH_BYTES + 32];
    const char *slash = strrchr(source_path, '/');
    ret->original_name = slash ? slash + 1 : source_path;
    if (snprintf(ret->name, sizeof ret->name, COPY_PREFIX "%s", ret->original_name) >= (int)sizeof ret->name ||
        snprintf(ret->path, sizeof ret->path, "%.*s%s", slash ? (int)(slash - source_path) + 1 : 0, source_path, ret->name) >=
            (int)sizeof ret->path ||
        nx_cli_read_file(source_path, &source, NULL) != NX_OK || nx_cli_rustc_extend(nx_buf_view(&source), is_edition_2024, &text) != NX_OK)
        return false;
    snprintf(temporary, sizeof temporary, "%s.%d", ret->path, (int)getpid());
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return false;
    bool is_written = write(fd, text.p, text.n) == (ssize_t)text.n;
    is_written = close(fd) == 0 && is_written && rename(temporary, ret->path) == 0;
    if (!is_written)
        unlink(temporary);
    return is_written;
}

/* cargo reads which files a crate was made from; the copy would be missing, and the crate built again every time. */
static void mend_dependencies(const char *file, const copy *c)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(SOURCE_BYTES);
    NX_CLEANUP(nx_buf_done)
    nx_buf out = NX_BUF_INIT(SOURCE_BYTES);
    if (nx_cli_read_file(file, &text, NULL) != NX_OK)
        return;
    nx_slice rest = nx_buf_view(&text);
    size_t n = strlen(c->name);
    bool is_changed = false;
    nx_err e = NX_OK;
    while (rest.n > 0 && e == NX_OK) {
        const char *at = memmem(rest.p, rest.n, c->name, n);
        size_t before = at ? (size_t)(at - rest.p) : rest.n;
        e = nx_buf_append(&out, rest.p, before);
        if (at && e == NX_OK)
            e = nx_buf_append_cstr(&out, c->original_name);
        is_changed = is_changed || at;
        rest = nx_slice_sub(rest, before + (at ? n : 0), rest.n);
    }
    int fd = is_changed && e == NX_OK ? open(file, O_WRONLY | O_TRUNC | O_CLOEXEC) : -1;
    if (fd >= 0) {
        (void)!write(fd, out.p, out.n); /* cargo looks at it again and complains */
        close(fd);
    }
}

const char *nx_cli_rustc_flag(int argc, char *const *argv, const char *name)
{
    for (int i = 1; i < argc && argv[i]; i++) {
        const char *value = value_at(argc, argv, i, name);
        if (value)
            return value;
    }
    return NULL;
}

/* --emit dep-info writes OUT_DIR/NAME[EXTRA].d; EXTRA is -C extra-filename. */
static void mend_all_dependencies(int argc, char *const *argv, const copy *c)
{
    const char *dir = nx_cli_rustc_flag(argc, argv, "--out-dir"), *name = nx_cli_rustc_flag(argc, argv, "--crate-name"), *extra = "";
    char path[NX_CLI_PATH_BYTES];
    for (int i = 1; i < argc; i++) {
        const char *at = strstr(argv[i], "extra-filename=");
        extra = at ? at + strlen("extra-filename=") : extra;
    }
    if (dir && name && snprintf(path, sizeof path, "%s/%s%s.d", dir, name, extra) < (int)sizeof path)
        mend_dependencies(path, c);
}

static int run_and_wait(const char *program, char **argv)
{
    pid_t pid;
    int status = 0;
    /* An interrupt reaches the compiler too; this process stays to remove the copy. */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    posix_spawnattr_t attr;
    sigset_t defaults;
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGINT);
    sigaddset(&defaults, SIGTERM);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigdefault(&attr, &defaults);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGDEF);
    int rc = posix_spawn(&pid, program, NULL, &attr, argv, environ);
    posix_spawnattr_destroy(&attr);
    if (rc != 0) {
        fprintf(stderr, "nexus: %s: %s\n", program, strerror(rc));
        return 127;
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The crate's name, which rustc would make from the name of the file. */
static void crate_name_of(const char *file_name, char *ret, size_t ret_bytes)
{
    snprintf(ret, ret_bytes, "%s", file_name);
    char *dot = strrchr(ret, '.');
    if (dot)
        *dot = 0;
    for (char *p = ret; *p; p++) {
        if (*p == '-')
            *p = '_';
    }
}

int nx_cli_rustc_main(int argc, char **argv)
{
    const char *real = getenv(NX_CLI_RUSTC_REAL);
    bool is_dependency = getenv("CARGO_PKG_NAME") && !getenv("CARGO_PRIMARY_PACKAGE");
    int root = nx_cli_rustc_root(argc, argv, is_dependency);
    copy c;
    char program[NX_CLI_PATH_BYTES], remap[2 * NX_CLI_PATH_BYTES + 32], name[256], name_flag[] = "--crate-name", remap_flag[] = "--remap-path-prefix";
    snprintf(program, sizeof program, "%s", real);
    char **args = calloc((size_t)argc + 5 + NX_CLI_RUSTC_LINES_ARGS, sizeof *args);
    if (!args)
        return nx_err_exit_code(NX_ENOMEM);
    memcpy(args, argv, (size_t)argc * sizeof *args);
    args[0] = program;
    const char *edition = nx_cli_rustc_flag(argc, argv, "--edition");
    if (!root || !write_copy(argv[root], edition && strcmp(edition, "2024") == 0, &c)) {
        execv(program, args);
        fprintf(stderr, "nexus: %s: %s\n", program, strerror(errno));
        free(args);
        return 127;
    }
    int n = argc;
    bool has_lines = nx_cli_rustc_has_lines(argc, argv);
    snprintf(remap, sizeof remap, "%s=%s", c.path, argv[root]);
    args[root] = c.path;
    args[n++] = remap_flag;
    args[n++] = remap;
    if (!nx_cli_rustc_flag(argc, argv, "--crate-name")) {
        crate_name_of(c.original_name, name, sizeof name);
        args[n++] = name_flag;
        args[n++] = name;
    }
    if (has_lines)
        n += nx_cli_rustc_ask_for_lines(args + n);
    int code = run_and_wait(program, args);
    unlink(c.path);
    mend_all_dependencies(argc, argv, &c);
    if (code == 0 && has_lines)
        nx_cli_rustc_take_lines(n, args);
    free(args);
    return code;
}
