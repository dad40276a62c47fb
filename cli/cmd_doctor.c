/* cmd_doctor.c: nexus doctor: what this machine and this project have, what is missing, and what to do about it. */
#include "cmds.h"
#include "host.h"
#include "nx/clock.h"
#include "nx/rt.h"
#include "tools.h"
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

typedef enum { GOOD,
               NOTE,
               BAD } finding;

typedef struct doctor {
    nx_cli *c;
    unsigned bad;
    const char *file;   /* of --config: which one is looked at; NULL: none of them */
    nx_config *cfg;     /* NULL: no project, or a broken one */
    char node_url[512]; /* "" when no node answers */
    char node_listen[128], node_admin[128];
} doctor;

static void report(doctor *d, finding f, const char *check, const char *fix, const char *fmt, ...) __attribute__((format(printf, 5, 6)));

static void report(doctor *d, finding f, const char *check, const char *fix, const char *fmt, ...)
{
    static const char *const words[] = {"ok", "note", "bad"};
    static const char *const colours[] = {NX_CLI_GREEN, NX_CLI_YELLOW, NX_CLI_RED};
    char text[1024];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    d->bad += f == BAD;
    if (!d->c->json) {
        printf("%s%-4s%s  %-12s %s\n", nx_cli_paint(d->c->has_colour, colours[f]), words[f], nx_cli_paint(d->c->has_colour, NX_CLI_PLAIN),
               check, text);
        if (fix && *fix)
            printf("                    %s\n", fix);
        fflush(stdout);
        return;
    }
    NX_CLEANUP(nx_buf_done)
    nx_buf out = NX_BUF_INIT(65536);
    nx_jw w = NX_JW_INIT(&out);
    nx_jw_object(&w);
    if (d->file)
        nx_jw_kcstr(&w, "file", d->file);
    nx_jw_kcstr(&w, "check", check);
    nx_jw_kcstr(&w, "status", words[f]);
    nx_jw_kcstr(&w, "detail", text);
    if (fix && *fix)
        nx_jw_kcstr(&w, "fix", fix);
    nx_jw_object_end(&w);
    if (nx_jw_err(&w) == NX_OK)
        printf("%.*s\n", NX_SLICE_FMT(nx_buf_view(&out)));
}

/* ---- the machine ------------------------------------------------------------------------------------------------ */

static void check_engine(doctor *d)
{
    const char *engine = nx_rt_engine_linkage();
    bool is_development = strstr(engine, "not for production") != NULL || strstr(engine, "development") != NULL;
    report(d, is_development ? NOTE : GOOD, "engine", is_development ? "production uses the release binary, whose engine is patched" : NULL,
           "nexus %s, wasmtime %s, %s", nx_cli_version, engine, nx_rt_arch());
}

static bool version_of(const char *program, char *ret, size_t ret_bytes)
{
    char command[NX_CLI_PATH_BYTES + 64];
    if (strchr(program, '\'') || snprintf(command, sizeof command, "'%s' --version 2>&1", program) >= (int)sizeof command)
        return false;
    FILE *p = popen(command, "re");
    if (!p)
        return false;
    bool has_line = fgets(ret, (int)ret_bytes, p) != NULL;
    ret[strcspn(ret, "\r\n")] = 0;
    return pclose(p) == 0 && has_line;
}

/* The places and their order are those of the event log's own search. */
static bool find_nats_server(char *ret, size_t ret_bytes)
{
    const char *named = getenv("NEXUS_NATS_SERVER"), *path = getenv("PATH");
    char self[NX_CLI_PATH_BYTES];
    if (named && *named)
        return snprintf(ret, ret_bytes, "%s", named) < (int)ret_bytes && access(ret, X_OK) == 0;
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n > 0) {
        self[n] = 0;
        char *slash = strrchr(self, '/');
        if (slash && snprintf(ret, ret_bytes, "%.*s/nats-server", (int)(slash - self), self) < (int)ret_bytes && access(ret, X_OK) == 0)
            return true;
    }
#ifdef NX_NATS_SERVER_FALLBACK
    if (snprintf(ret, ret_bytes, "%s", NX_NATS_SERVER_FALLBACK) < (int)ret_bytes && access(ret, X_OK) == 0)
        return true;
#endif
    nx_slice rest = nx_slice_cstr(path);
    while (rest.n > 0) {
        nx_slice dir = nx_slice_split(rest, ':', &rest);
        if (dir.n && snprintf(ret, ret_bytes, "%.*s/nats-server", NX_SLICE_FMT(dir)) < (int)ret_bytes && access(ret, X_OK) == 0)
            return true;
    }
    return false;
}

static void check_nats_server(doctor *d)
{
    char program[NX_CLI_PATH_BYTES], version[256] = "";
    if (d->cfg && d->cfg->nats_url.n) {
        report(d, GOOD, "event log", NULL, "an external server is configured (nats.url); no private one is needed");
        return;
    }
    if (!find_nats_server(program, sizeof program)) {
        report(d, BAD, "event log", "put nats-server on PATH, or name it: export NEXUS_NATS_SERVER=/path/to/nats-server",
               "nats-server is not found; a node needs it for its private event log");
        return;
    }
    if (!version_of(program, version, sizeof version)) {
        report(d, BAD, "event log", NULL, "%s does not run", program);
        return;
    }
    uint64_t major = 0, minor = 0;
    const char *number = strstr(version, " v");
    nx_slice rest = nx_slice_cstr(number ? number + 2 : "");
    bool is_known = nx_slice_u64(nx_slice_split(rest, '.', &rest), 1000, &major) == NX_OK &&
                    nx_slice_u64(nx_slice_split(rest, '.', &rest), 1000, &minor) == NX_OK;
    bool is_old = is_known && (major < 2 || (major == 2 && minor < 14));
    report(d, is_old ? BAD : GOOD, "event log", is_old ? "2.14 or later is needed" : NULL, "%s (%s)", version, program);
}

static void check_compilers(doctor *d)
{
    nx_cli_tools t;
    nx_cli_tools_find(&t);
    if (t.has_rust && !t.has_rust_linker)
        report(d, NOTE, "Rust", "Debian has it in lld: apt-get install -y lld", "%s for %s, without a linker (rust-lld)",
               t.rustc, t.rust_target);
    else if (t.has_rust && t.cargo[0])
        report(d, GOOD, "Rust", NULL, "%s for %s", t.rustc, t.rust_target);
    else if (t.has_rust)
        report(d, NOTE, "Rust", "install the cargo of the same release", "%s for %s, without a cargo beside it", t.rustc, t.rust_target);
    else
        report(d, NOTE, "Rust", t.rust_advice, "no toolchain with a WASI target; needed to build functions in Rust");
    if (t.has_c)
        report(d, GOOD, "C", NULL, "%s", t.wasi_cc);
    else
        report(d, NOTE, "C", t.c_advice, "no compiler with a WASI library; needed to build functions in C");
}

static void check_clock(doctor *d)
{
    struct timex t = {0};
    time_t now = time(NULL);
    struct tm tm;
    char text[64];
    gmtime_r(&now, &tm);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &tm);
    int state = adjtimex(&t);
    bool is_unsynchronised = state == TIME_ERROR || (t.status & STA_UNSYNC);
    if (tm.tm_year < 124)
        report(d, BAD, "clock", "set the clock; ids of events hold the time", "%s cannot be right", text);
    else
        report(d, is_unsynchronised ? NOTE : GOOD, "clock", is_unsynchronised ? "several nodes need synchronised clocks (NTP)" : NULL, "%s, %s", text,
               is_unsynchronised ? "not synchronised" : "synchronised");
}

/* What a node with many functions needs of the system: each module that is mapped takes a descriptor and up to five mappings. */
#define MODULES_WANTED 1000u

static void check_limits(doctor *d)
{
    struct rlimit r = {0};
    getrlimit(RLIMIT_NOFILE, &r);
    r.rlim_cur = r.rlim_max; /* as the node does */
    (void)setrlimit(RLIMIT_NOFILE, &r);
    unsigned modules = nx_rt_mapped_limit();
    const char *fix = modules >= MODULES_WANTED                 ? NULL
                      : r.rlim_max < 4 * (rlim_t)MODULES_WANTED ? "raise the limit of open files (ulimit -Hn, LimitNOFILE= of a systemd unit)"
                                                                : "raise vm.max_map_count (sysctl)";
    report(d, fix ? NOTE : GOOD, "limits", fix, "%llu open files, %llu mappings: up to %u modules mapped at a time", (unsigned long long)r.rlim_max,
           (unsigned long long)nx_rt_mappings_max(), modules);
}

static void check_memory(doctor *d)
{
    struct rlimit r;
    const char *advice, *why = nx_rt_memory_refusal(&advice);
    if (getrlimit(RLIMIT_AS, &r) == 0 && r.rlim_cur != RLIM_INFINITY)
        report(d, NOTE, "memory", "lift that limit (ulimit -v unlimited; LimitAS= of a systemd unit): address space costs no memory",
               "the address space of a process is limited (ulimit -v), and a node reserves 4 GiB for each of its instances: it may not start");
    else if (why)
        report(d, NOTE, "memory", advice, "%s: runs wait where a function asks for more than is left", why);
    else
        report(d, GOOD, "memory", NULL, "nothing but a function's own `memory:` limits it");
}

/* ---- the project and its node ----------------------------------------------------------------------------------- */

static void check_project(doctor *d)
{
    char file[NX_CLI_PATH_BYTES];
    NX_CLEANUP(nx_buf_done)
    nx_buf problems = NX_BUF_INIT(1u << 20);
    nx_error e = NX_ERROR_INIT;
    if (nx_cli_project_find(file, sizeof file, &e) != NX_OK) {
        report(d, NOTE, "project", "make one with: nexus new my-app --lang=rust", "no " NX_CLI_PROJECT_FILE " here or in a folder above");
        /* `nexus serve` needs none: it would take what the environment and the user's file say. */
        if (nx_cli_config_load(d->c, NULL, NX_CONFIG_NO_FUNCTIONS, &d->cfg, &problems, &e) != NX_OK) {
            nx_slice rest, first = nx_slice_split(nx_buf_view(&problems), '\n', &rest);
            report(d, BAD, "settings", "put that right: no node starts with it", "%.*s", NX_SLICE_FMT(first.n ? first : nx_slice_cstr(e.msg)));
        }
        return;
    }
    if (nx_cli_config_load(d->c, file, NX_CONFIG_NO_FUNCTIONS, &d->cfg, &problems, &e) != NX_OK) {
        report(d, BAD, "project", "see: nexus validate", "%s is not valid", file);
        return;
    }
    unsigned stale = 0;
    for (unsigned i = 0; i < d->cfg->n_functions; i++)
        stale += nx_cli_is_out_of_date(d->cfg, &d->cfg->functions[i]);
    report(d, GOOD, "project", stale ? "nexus build (nexus dev does it by itself)" : NULL, "%s, %u function%s, %u to be built", file,
           d->cfg->n_functions, d->cfg->n_functions == 1 ? "" : "s", stale);
}

/* A node makes its folder, but none above it. */
static void check_folder_of_data_dir(doctor *d, const char *path)
{
    char folder[NX_CLI_PATH_BYTES];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash && slash > path ? (int)(slash - path) : 1, slash ? path : ".");
    if (faccessat(AT_FDCWD, folder, W_OK | X_OK, AT_EACCESS) == 0)
        report(d, GOOD, "data", NULL, "%s: not made yet", path);
    else
        report(d, BAD, "data", "make that folder writable for this user, or give the node another --data-dir", "%s cannot be made: %s: %s", path,
               folder, strerror(errno));
}

static void check_data_dir(doctor *d)
{
    char path[NX_CLI_PATH_BYTES];
    struct stat st;
    if (!d->cfg || nx_slice_to_cstr(d->cfg->data_dir, path, sizeof path) != NX_OK)
        return;
    if (lstat(path, &st) != 0 && errno == ENOENT)
        check_folder_of_data_dir(d, path);
    else if (lstat(path, &st) != 0)
        report(d, BAD, "data", "give the node another --data-dir", "%s: %s", path, strerror(errno));
    else if (stat(path, &st) != 0 || !S_ISDIR(st.st_mode))
        report(d, BAD, "data", "move it away, or give the node another --data-dir", "%s is not a folder", path);
    else if (st.st_uid != geteuid())
        report(d, BAD, "data", "run the node as the folder's owner, or give it another --data-dir", "%s belongs to user %u, not to %u", path,
               (unsigned)st.st_uid, (unsigned)geteuid());
    else if (st.st_mode & (S_IRWXG | S_IRWXO))
        report(d, BAD, "data", "chmod 700 it: it holds native code and credentials", "%s is open to others (mode %03o)", path,
               (unsigned)(st.st_mode & 0777));
    else
        report(d, GOOD, "data", NULL, "%s, mode %03o", path, (unsigned)(st.st_mode & 0777));
}

static void say_durability(doctor *d, nx_slice level)
{
    const char *means = nx_slice_eq_cstr(level, "quorum")  ? "an acknowledged event survives the loss of a machine"
                        : nx_slice_eq_cstr(level, "power") ? "an acknowledged event survives a loss of power, not of the disk"
                                                           : "an acknowledged event survives the death of any process, not a loss of power";
    report(d, GOOD, "durability", NULL, "%.*s: %s", NX_SLICE_FMT(level), means);
}

static void check_node(doctor *d)
{
    char file[NX_CLI_PATH_BYTES], url[600];
    nx_error e = NX_ERROR_INIT;
    nx_httpc *http = NULL;
    nx_json *root = NULL;
    nx_httpc_resp reply = {0};
    static const char *const levels[] = {"process", "power", "quorum"};
    nx_buf_init(&reply.body, 1u << 20);
    d->node_url[0] = d->node_listen[0] = d->node_admin[0] = 0;
    nx_err err = d->file ? nx_cli_node_of(d->cfg->data_dir, d->node_url, sizeof d->node_url, file, sizeof file, &e)
                         : nx_cli_node_find(d->c, d->node_url, sizeof d->node_url, file, sizeof file, &e);
    if (err == NX_OK)
        err = nx_httpc_new(&http, &e);
    if (err == NX_OK) {
        snprintf(url, sizeof url, "%s/api/v1/node", d->node_url);
        err = nx_httpc_do(http, &(nx_httpc_req){.method = "GET", .url = url, .timeout_ms = 5000}, &reply, &e);
    }
    if (err == NX_OK && reply.status == 200 && nx_json_parse(nx_buf_view(&reply.body), 1u << 20, &root, NULL) == NX_OK) {
        const nx_json *nats = nx_json_get(root, "nats");
        report(d, GOOD, "node", NULL, "%s answers at %s, version %.*s, %llu function%s, nats-server %.*s",
               d->file ? "the namespace's" : file[0] ? "the project's"
                                                     : "one",
               d->node_url, NX_SLICE_FMT(nx_json_get_str(root, "version")), (unsigned long long)nx_json_get_u64(root, "functions", 0),
               nx_json_get_u64(root, "functions", 0) == 1 ? "" : "s",
               NX_SLICE_FMT(nx_json_get_str(nats, "version")));
        (void)nx_slice_to_cstr(nx_json_get_str(root, "listen_url"), d->node_listen, sizeof d->node_listen);
        (void)nx_slice_to_cstr(nx_json_get_str(root, "admin_url"), d->node_admin, sizeof d->node_admin);
        say_durability(d, nx_json_get_str(root, "durability"));
    } else {
        if (err == NX_OK)
            report(d, BAD, "node", "see: nexus logs", "%s answers with HTTP status %d", d->node_url, reply.status);
        else if (d->file)
            report(d, NOTE, "node", "start it with: nexus serve --config …", "no node of this namespace answers");
        else
            report(d, NOTE, "node", "start one with: nexus dev", "no node answers at %s", d->node_url);
        d->node_url[0] = 0;
        say_durability(d, nx_slice_cstr(levels[d->cfg ? d->cfg->durability : NX_DURABILITY_PROCESS]));
    }
    nx_json_free(root);
    nx_httpc_free(http);
    nx_buf_done(&reply.body);
}

/* Whether an address could be listened at now. */
static bool is_free(const char *address, nx_error *ret_why)
{
    char host[256], *colon;
    if (snprintf(host, sizeof host, "%s", address) >= (int)sizeof host || !(colon = strrchr(host, ':')))
        return nx_error_set(ret_why, NX_EINVAL, "not HOST:PORT") == NX_OK;
    *colon = 0;
    char *name = host[0] == '[' ? host + 1 : host;
    name[strcspn(name, "]")] = 0;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *list = NULL;
    int rc = getaddrinfo(*name ? name : NULL, colon + 1, &hints, &list);
    if (rc != 0)
        return nx_error_set(ret_why, NX_EINVAL, "%s", gai_strerror(rc)) == NX_OK;
    int fd = socket(list->ai_family, list->ai_socktype | SOCK_CLOEXEC, list->ai_protocol), one = 1;
    bool is_ok = fd >= 0 && setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0 && bind(fd, list->ai_addr, list->ai_addrlen) == 0 &&
                 listen(fd, 1) == 0;
    if (!is_ok)
        nx_error_set(ret_why, nx_err_from_errno(errno), "%s", strerror(errno));
    if (fd >= 0)
        close(fd);
    freeaddrinfo(list);
    return is_ok;
}

static void check_port(doctor *d, const char *what, const char *address, const char *used_by_node, const char *flag)
{
    nx_error why = NX_ERROR_INIT;
    const char *host = strstr(used_by_node, "://");
    char fix[128];
    if (host && strcmp(host + 3, address) == 0)
        report(d, GOOD, what, NULL, "%s is the node's", address);
    else if (is_free(address, &why))
        report(d, GOOD, what, NULL, "%s is free", address);
    else {
        snprintf(fix, sizeof fix, d->file ? "write another one into the file, or port 0 for a free one%.0s" : "nexus dev %s 127.0.0.1:0 takes a free one", flag);
        report(d, NOTE, what, fix, "%s is not free: %s", address, why.msg);
    }
}

static void check_ports(doctor *d)
{
    char listen_at[256] = "127.0.0.1:8080", admin_at[256] = "127.0.0.1:8081";
    if (d->cfg) {
        (void)nx_slice_to_cstr(d->cfg->listen, listen_at, sizeof listen_at);
        (void)nx_slice_to_cstr(d->cfg->admin, admin_at, sizeof admin_at);
    }
    check_port(d, "events port", listen_at, d->node_listen, "--listen");
    check_port(d, "admin port", admin_at, d->node_admin, "--admin");
}

/* ---- several namespaces: the files of `nexus serve` --------------------------------------------------------------------- */

static void check_file(doctor *d, const nx_config_issues *issues)
{
    if (!d->c->json)
        printf("\n%s\n", d->file);
    for (unsigned i = 0; i < issues->n; i++) {
        const nx_config_issue *found = &issues->v[i];
        report(d, BAD, "settings", found->suggestion[0] ? found->suggestion : "see: nexus validate --config …", "%s%s%s", found->path, found->path[0] ? ": " : "",
               found->reason);
    }
    if (!d->cfg)
        return;
    if (issues->n == 0)
        report(d, GOOD, "settings", NULL, "namespace %.*s", NX_SLICE_FMT(d->cfg->ns));
    check_nats_server(d);
    check_data_dir(d);
    check_node(d);
    check_ports(d);
}

static int check_files(doctor *d)
{
    nx_cli_host_files files;
    int code = nx_cli_host_files_load(d->c, &files, NULL);
    bool is_read = code == NX_CLI_OK; /* what could not be read at all was said already */
    for (unsigned i = 0; i < files.n; i++)
        is_read = is_read || files.issues[i].n;
    for (unsigned i = 0; is_read && i < files.n; i++) {
        d->file = files.names[i];
        d->cfg = files.cfgs[i];
        check_file(d, &files.issues[i]);
    }
    d->file = NULL;
    d->cfg = NULL;
    nx_cli_host_files_done(&files);
    return is_read ? NX_CLI_OK : code;
}

static void check_machine(doctor *d)
{
    check_clock(d);
    check_limits(d);
    check_memory(d);
}

static int run(nx_cli *c)
{
    doctor d = {.c = c};
    int code = NX_CLI_OK;
    bool has_files = nx_cli_flag_count(c, "config") != 0;
    if (has_files && nx_cli_flag_text(c, "admin-url"))
        return nx_cli_fail_usage(c, "the nodes of --config are found by their data_dir, not by --admin-url");
    check_engine(&d);
    if (has_files) {
        check_machine(&d);
        code = check_files(&d);
        if (code != NX_CLI_OK)
            return code;
    } else {
        check_project(&d);
        check_nats_server(&d);
        check_compilers(&d);
        check_data_dir(&d);
        check_node(&d);
        check_ports(&d);
        check_machine(&d);
        nx_config_unref(d.cfg);
    }
    if (!c->json)
        d.bad ? printf("\n%u to be put right\n", d.bad) : printf("\nall is well\n");
    return d.bad ? NX_CLI_FAILED : NX_CLI_OK;
}

static const nx_cli_flag flags[] = {
    {.name = "config", .letter = 'c', .value = "FILE", .kind = NX_CLI_FILE, .is_many = true, .help = "Settings of `nexus serve`, in place of the project: given several times, the namespaces of one process."},
    {0},
};
static const nx_cli_example examples[] = {
    {"nexus doctor", "what is there, what is missing, and what to do"},
    {"nexus doctor --json", "one object per check: check, status (ok, note, bad), detail, fix"},
    {"nexus doctor --config shop.yaml --config lab.yaml", "the namespaces that one `nexus serve` is to have"},
    {0},
};

const nx_cli_command nx_cli_cmd_doctor = {
    .verb = "doctor",
    .summary = "Check this machine, the project and its node",
    .text = "The exit code is 1 when something is bad; a note alone is fine.",
    .flags = flags,
    .examples = examples,
    .is_client = true,
    .run = run,
};
