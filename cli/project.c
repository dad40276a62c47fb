/* project.c: the project's file, and the node's settings with all layers on top of each other. */
#include "cli.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

nx_err nx_cli_read_file(const char *path, nx_buf *ret, nx_error *reterr)
{
    int fd = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return nx_error_set(reterr, nx_err_from_errno(errno), "%s: %s", path, strerror(errno));
    struct stat st;
    nx_err e = NX_OK;
    if (fstat(fd, &st) == 0 && S_ISDIR(st.st_mode))
        e = nx_error_set(reterr, NX_EINVAL, "%s is a folder", path);
    else if (S_ISREG(st.st_mode) && st.st_size > 0 && (uint64_t)st.st_size <= ret->max)
        e = nx_buf_reserve(ret, (size_t)st.st_size + 1);
    while (e == NX_OK) {
        char piece[65536];
        ssize_t n = read(fd, piece, sizeof piece);
        if (n == 0)
            break;
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            e = nx_error_set(reterr, nx_err_from_errno(errno), "%s: %s", path, strerror(errno));
        else if ((e = nx_buf_append(ret, piece, (size_t)n)) != NX_OK)
            e == NX_ELIMIT ? nx_error_set(reterr, e, "%s has more than the %zu bytes that are taken", path, ret->max) : nx_error_set(reterr, e, "%s: out of memory", path);
    }
    close(fd);
    return e;
}

static nx_err fail_at(const char *path, nx_error *reterr) { return nx_error_set(reterr, nx_err_from_errno(errno), "%s: %s", path, strerror(errno)); }

/* Takes the descriptor; -1: that it could not be opened. */
static nx_err write_all(int fd, const char *path, nx_slice bytes, nx_error *reterr)
{
    nx_err e = fd < 0 ? fail_at(path, reterr) : NX_OK;
    while (e == NX_OK && bytes.n) {
        ssize_t n = write(fd, bytes.p, bytes.n);
        if (n > 0)
            bytes = nx_slice_sub(bytes, (size_t)n, bytes.n);
        else if (errno != EINTR)
            e = fail_at(path, reterr);
    }
    if (fd >= 0 && close(fd) != 0 && e == NX_OK)
        e = fail_at(path, reterr);
    return e;
}

nx_err nx_cli_write_file(const char *path, nx_slice bytes, unsigned mode, nx_error *reterr)
{
    char temporary[NX_CLI_PATH_BYTES];
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return write_all(open(path, O_WRONLY | O_CLOEXEC), path, bytes, reterr);
    if (snprintf(temporary, sizeof temporary, "%s.%d.tmp", path, (int)getpid()) >= (int)sizeof temporary)
        return nx_error_set(reterr, NX_EINVAL, "%s: the path is too long", path);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    nx_err e = write_all(fd, path, bytes, reterr);
    if (e == NX_OK && rename(temporary, path) != 0)
        e = fail_at(path, reterr);
    if (e != NX_OK && fd >= 0)
        unlink(temporary);
    return e;
}

nx_err nx_cli_project_find(char *ret, size_t ret_bytes, nx_error *reterr)
{
    char dir[NX_CLI_PATH_BYTES];
    size_t n = 0;
    if (!getcwd(dir, sizeof dir))
        return nx_error_set(reterr, nx_err_from_errno(errno), "the current folder: %s", strerror(errno));
    /* Relative, because it stands before every message about the file. */
    for (;;) {
        if (snprintf(ret + n, ret_bytes - n, NX_CLI_PROJECT_FILE) >= (int)(ret_bytes - n))
            break;
        if (access(ret, F_OK) == 0)
            return NX_OK;
        char *slash = strrchr(dir, '/');
        if (!slash || !dir[1])
            break;
        slash[slash == dir] = 0;
        int k = snprintf(ret + n, ret_bytes - n, "../");
        if (k < 0 || (size_t)k >= ret_bytes - n)
            break;
        n += (size_t)k;
    }
    return nx_error_set(reterr, NX_ENOENT,
                        "no " NX_CLI_PROJECT_FILE " here or in a folder above; make a project with `nexus new my-app --lang=rust`");
}

static bool make_dir(const char *path) { return mkdir(path, 0700) == 0 || errno == EEXIST; }

bool nx_cli_user_cache(const char *name, char *ret, size_t ret_bytes)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n = xdg && xdg[0] == '/' ? snprintf(ret, ret_bytes, "%s", xdg) : home && home[0] == '/' ? snprintf(ret, ret_bytes, "%s/.cache", home)
                                                                                                : -1;
    if (n < 0 || (size_t)n + strlen(name) + sizeof "/nexus/" > ret_bytes || !make_dir(ret))
        return false;
    snprintf(ret + n, ret_bytes - (size_t)n, "/nexus");
    if (!make_dir(ret))
        return false;
    snprintf(ret + n, ret_bytes - (size_t)n, "/nexus/%s", name);
    return make_dir(ret) && access(ret, W_OK | X_OK) == 0;
}

int nx_cli_project_file(const nx_cli *c, char *ret, size_t ret_bytes)
{
    nx_error e = NX_ERROR_INIT;
    const char *file = nx_cli_flag_text(c, "file");
    if (!file) {
        e.code = nx_cli_project_find(ret, ret_bytes, &e);
        return e.code == NX_OK ? NX_CLI_OK : nx_cli_fail_error(c, &e);
    }
    struct stat st;
    bool is_dir = stat(file, &st) == 0 && S_ISDIR(st.st_mode);
    if (snprintf(ret, ret_bytes, is_dir ? "%s/" NX_CLI_PROJECT_FILE : "%s", file) >= (int)ret_bytes)
        return nx_cli_fail_usage(c, "flag --file: the path is too long");
    if (access(ret, R_OK) != 0)
        return nx_cli_fail(c, nx_err_from_errno(errno), "flag --file: %s: %s", ret, strerror(errno));
    return NX_CLI_OK;
}

/* ---- layers ----------------------------------------------------------------------------------------------------- */

/* Flags of dev and serve that are settings. */
static const struct {
    const char *flag, *path;
} setting_flags[] = {
    {"listen", "listen"},
    {"admin", "admin"},
    {"data-dir", "data_dir"},
    {"log-format", "log.format"},
    {"log-level", "log.level"},
    {"nats-url", "nats.url"},
};

#define OVERRIDES_MAX 256

static const char *value_of(const nx_cli *c, const char *flag)
{
    const char *text = NULL;
    for (unsigned i = 0; i < c->n_values; i++) {
        if (strcmp(c->values[i].flag->name, flag) == 0)
            text = c->values[i].text;
    }
    return text;
}

/* Environment first, then flags: later ones win. */
static nx_err collect_overrides(const nx_cli *c, nx_arena *a, nx_config_override **ret, unsigned *ret_n, nx_error *reterr)
{
    nx_config_override *from_env = NULL;
    unsigned n = 0;
    nx_err e = nx_config_env_overrides(environ, a, &from_env, &n);
    nx_config_override *all = nx_arena_calloc(a, OVERRIDES_MAX, sizeof *all);
    if (e != NX_OK || !all || n > OVERRIDES_MAX / 2)
        return nx_error_set(reterr, e != NX_OK ? e : NX_ENOMEM, "settings of the environment cannot be read");
    if (n > 0)
        memcpy(all, from_env, n * sizeof *all);
    for (unsigned i = 0; i < NX_ARRAY_LEN(setting_flags); i++) {
        const char *value = value_of(c, setting_flags[i].flag);
        const char *origin = value ? nx_arena_printf(a, "--%s", setting_flags[i].flag) : NULL;
        if (origin)
            all[n++] = (nx_config_override){nx_slice_cstr(setting_flags[i].path), nx_slice_cstr(value), nx_slice_cstr(origin)};
    }
    for (unsigned i = 0; i < c->n_values && n < OVERRIDES_MAX; i++) {
        if (strcmp(c->values[i].flag->name, "set") != 0)
            continue;
        nx_slice value, key = nx_slice_split(nx_slice_cstr(c->values[i].text), '=', &value);
        if (!strchr(c->values[i].text, '='))
            return nx_error_set(reterr, NX_EINVAL, "flag --set: \"%s\" is not KEY=VALUE", c->values[i].text);
        all[n++] = (nx_config_override){key, value, NX_SLICE("--set")};
    }
    *ret = all;
    *ret_n = n;
    return NX_OK;
}

static const char *user_file(nx_arena *a)
{
    const char *base = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
    if (base && base[0] == '/')
        return nx_arena_printf(a, "%s/nexus/config.yaml", base);
    return home && home[0] == '/' ? nx_arena_printf(a, "%s/.config/nexus/config.yaml", home) : NULL;
}

nx_err nx_cli_config_read(const nx_cli *c, const char *file, unsigned flags, nx_config **ret, nx_config_issues *issues, nx_error *reterr)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(1u << 20);
    nx_config_layers layers = {.user_file = user_file(&a), .file = file};
    nx_config_override *overrides = NULL;
    unsigned n = 0;
    issues->file = nx_slice_cstr(file);
    nx_err e = collect_overrides(c, &a, &overrides, &n, reterr);
    if (e != NX_OK)
        return e;
    layers.overrides = overrides;
    layers.n_overrides = n;
    return nx_config_load_layers(&layers, flags, ret, issues, reterr);
}

nx_err nx_cli_config_load(const nx_cli *c, const char *file, unsigned flags, nx_config **ret, nx_buf *problems, nx_error *reterr)
{
    nx_config_issues issues = {0};
    nx_err e = nx_cli_config_read(c, file, flags, ret, &issues, reterr);
    if (e != NX_OK && issues.n > 0 && nx_config_issues_text(&issues, problems) != NX_OK)
        nx_error_set(reterr, NX_ENOMEM, "%s: %u problems, which do not fit into memory", file ? file : "settings", issues.n);
    nx_config_issues_done(&issues);
    return e;
}

nx_err nx_cli_issues_print(const nx_cli *c, const nx_config_issues *issues, FILE *out)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(1u << 20);
    nx_err e = (c->json ? nx_config_issues_json : nx_config_issues_text)(issues, &text);
    if (e == NX_OK && c->json)
        e = nx_buf_append_char(&text, '\n');
    if (e == NX_OK && text.n)
        fwrite(text.p, 1, text.n, out);
    return e;
}

int nx_cli_config_load_or_fail(const nx_cli *c, const char *file, unsigned flags, nx_config **ret)
{
    nx_config_issues issues = {0};
    nx_error e = NX_ERROR_INIT;
    e.code = nx_cli_config_read(c, file, flags, ret, &issues, &e);
    fflush(stdout);
    int code = e.code == NX_OK                                                ? NX_CLI_OK
               : issues.n && nx_cli_issues_print(c, &issues, stderr) == NX_OK ? nx_err_exit_code(e.code)
                                                                              : nx_cli_fail_error(c, &e);
    nx_config_issues_done(&issues);
    return code;
}
