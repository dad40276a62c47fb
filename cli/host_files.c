/* host_files.c: the files of `--config`: each is a namespace of one process, and what they may not share. */
#include "host.h"
#include <sys/stat.h>

/* "0.0.0.0", "[::]" and nothing are every address of the machine. */
static bool is_any_host(nx_slice host) { return !host.n || nx_slice_eq_cstr(host, "0.0.0.0") || nx_slice_eq_cstr(host, "[::]") || nx_slice_eq_cstr(host, "::"); }

static nx_slice port_of(nx_slice address, nx_slice *ret_host)
{
    size_t n = address.n;
    while (n && address.p[n - 1] != ':')
        n--;
    *ret_host = nx_slice_sub(address, 0, n ? n - 1 : 0);
    return nx_slice_sub(address, n, address.n);
}

/* Port 0 is a free one for each. */
static bool is_same_address(nx_slice a, nx_slice b)
{
    nx_slice host_a, host_b, port_a = port_of(a, &host_a), port_b = port_of(b, &host_b);
    return nx_slice_eq(port_a, port_b) && !nx_slice_eq_cstr(port_a, "0") && (nx_slice_eq(host_a, host_b) || is_any_host(host_a) || is_any_host(host_b));
}

/* Also where it is written otherwise, as through a symbolic link. */
static bool is_same_dir(nx_slice a, nx_slice b)
{
    char path[4096];
    struct stat sa, sb;
    if (nx_slice_eq(a, b))
        return true;
    return nx_slice_to_cstr(a, path, sizeof path) == NX_OK && stat(path, &sa) == 0 && nx_slice_to_cstr(b, path, sizeof path) == NX_OK &&
           stat(path, &sb) == 0 && sa.st_dev == sb.st_dev && sa.st_ino == sb.st_ino;
}

/* What two namespaces of one process may not share. */
static nx_err check_pair(const nx_config *a, const nx_config *b, nx_config_issues *issues)
{
    const struct {
        const char *key, *other;
        nx_slice mine, others;
        bool (*is_same)(nx_slice mine, nx_slice others);
    } pairs[] = {
        {"namespace", "namespace", b->ns, a->ns, nx_slice_eq},
        {"data_dir", "data_dir", b->data_dir, a->data_dir, is_same_dir},
        {"listen", "listen", b->listen, a->listen, is_same_address},
        {"listen", "admin", b->listen, a->admin, is_same_address},
        {"admin", "listen", b->admin, a->listen, is_same_address},
        {"admin", "admin", b->admin, a->admin, is_same_address},
    };
    nx_err err = NX_OK;
    for (unsigned i = 0; i < NX_ARRAY_LEN(pairs) && err == NX_OK; i++) {
        if (!pairs[i].is_same(pairs[i].mine, pairs[i].others))
            continue;
        bool is_equal = nx_slice_eq(pairs[i].mine, pairs[i].others);
        nx_config_issue issue = {.suggestion = "each namespace of a process has its own: write it into both files, and not into a flag or a NEXUS_… variable, which all of them get"};
        snprintf(issue.path, sizeof issue.path, "%s", pairs[i].key);
        snprintf(issue.reason, sizeof issue.reason, "%.*s is the %s of %.*s already%s%.*s", NX_SLICE_FMT(pairs[i].mine), pairs[i].other, NX_SLICE_FMT(a->path),
                 is_equal ? "" : ", as ", NX_SLICE_FMT(is_equal ? NX_SLICE_NULL : pairs[i].others));
        err = nx_config_issues_add(issues, &issue);
    }
    return err;
}

typedef struct process_keys {
    const nx_config *first;
    nx_config_issues *issues;
    nx_err err;
} process_keys;

static void put_key(void *self, const char *path)
{
    process_keys *k = self;
    nx_config_issue issue = {.suggestion = "leave it out here, or set it there"};
    snprintf(issue.path, sizeof issue.path, "%s", path);
    snprintf(issue.reason, sizeof issue.reason, "belongs to the process, and %.*s, the first file, says otherwise", NX_SLICE_FMT(k->first->path));
    nx_err err = nx_config_issues_add(k->issues, &issue);
    if (err != NX_OK)
        k->err = err;
}

/* What belongs to the process and the file sets otherwise than the first one. */
static nx_err check_process(const nx_config *first, const nx_config *cfg, nx_config_issues *issues)
{
    process_keys keys = {.first = first, .issues = issues};
    nx_config *defaults = NULL;
    nx_err err = nx_config_default(NULL, &defaults, NULL);
    if (err != NX_OK)
        return err;
    nx_config_each_process(first, cfg, defaults, put_key, &keys);
    nx_config_unref(defaults);
    return keys.err;
}

nx_err nx_cli_host_check(nx_config *const *cfgs, unsigned n, nx_config_issues *issues)
{
    nx_err err = n > 1 && cfgs[0] ? check_process(cfgs[0], cfgs[n - 1], issues) : NX_OK;
    for (unsigned i = 0; i + 1 < n && err == NX_OK; i++) {
        if (cfgs[i])
            err = check_pair(cfgs[i], cfgs[n - 1], issues);
    }
    return err == NX_OK && issues->n ? NX_EINVAL : err;
}

static nx_err load_one(const nx_cli *c, nx_cli_host_files *f, unsigned i, nx_error *reterr)
{
    nx_config_issues *issues = &f->issues[i];
    f->n = i + 1;
    f->names[i] = nx_cli_flag_at(c, "config", i);
    nx_err err = nx_cli_config_read(c, f->names[i], NX_CONFIG_NO_FUNCTIONS, &f->cfgs[i], issues, reterr);
    if (err == NX_OK)
        err = nx_cli_host_check(f->cfgs, f->n, issues);
    return err == NX_EINVAL && issues->n ? NX_OK : err;
}

int nx_cli_host_files_load(const nx_cli *c, nx_cli_host_files *ret, FILE *out)
{
    unsigned n = nx_cli_flag_count(c, "config");
    nx_error e = NX_ERROR_INIT;
    bool is_valid = true;
    memset(ret, 0, sizeof *ret);
    if (n > NX_CLI_HOST_MAX)
        return nx_cli_fail_usage(c, "flag --config: a process serves at most %d namespaces; start another one for the others", NX_CLI_HOST_MAX);
    for (unsigned i = 0; i < (n ? n : 1) && e.code == NX_OK; i++)
        e.code = load_one(c, ret, i, &e);
    for (unsigned i = 0; i < ret->n && e.code == NX_OK; i++) {
        is_valid = is_valid && ret->issues[i].n == 0;
        if (out && (out == stdout || ret->issues[i].n)) /* a question is answered also where all is well */
            e.code = nx_cli_issues_print(c, &ret->issues[i], out);
    }
    return e.code != NX_OK ? nx_cli_fail_error(c, &e) : is_valid ? NX_CLI_OK
                                                                 : nx_err_exit_code(NX_EINVAL);
}

void nx_cli_host_files_done(nx_cli_host_files *f)
{
    for (unsigned i = 0; i < f->n; i++) {
        nx_config_issues_done(&f->issues[i]);
        nx_config_unref(f->cfgs[i]);
    }
}
