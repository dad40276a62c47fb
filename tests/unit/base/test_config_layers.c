/* Files, environment and flags over each other, and which of them a message names. */
#include "config_help.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define HEAD "version: v1\n"
#define assert_slice(slice, text) assert_true(nx_slice_eq_cstr((slice), (text)))

static char root[PATH_MAX]; /* of this test's files */

static void write_text(const char *name, const char *text)
{
    char path[PATH_MAX + 64];
    snprintf(path, sizeof path, "%s/%s", root, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static const char *path_of(const char *name)
{
    static char paths[4][PATH_MAX + 64];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", root, name);
    return path;
}

static int set_up(void **state)
{
    (void)state;
    char dir[] = "/tmp/nx-config-layers-XXXXXX";
    if (!mkdtemp(dir) || !realpath(dir, root)) return -1;
    return mkdir(path_of("Project_A"), 0700) || mkdir(path_of("user"), 0700);
}

static int tear_down(void **state)
{
    (void)state;
    static const char *const files[] = {"Project_A/nexus.yaml", "Project_A/big.yaml", "user/config.yaml"};
    for (unsigned i = 0; i < NX_ARRAY_LEN(files); i++) unlink(path_of(files[i]));
    return rmdir(path_of("Project_A")) || rmdir(path_of("user")) || rmdir(root);
}

static parsed load(const nx_config_layers *layers, unsigned flags)
{
    parsed p = {.err = NX_EBUG};
    p.err = nx_config_load_layers(layers, flags, &p.config, &p.issues, &p.error);
    assert_true((p.err == NX_OK) == (p.config != NULL));
    return p;
}

static void test_config_load_resolves_against_the_files_folder(void **state)
{
    (void)state;
    parsed p = {.err = NX_EBUG};
    write_text("Project_A/nexus.yaml", HEAD "functions:\n  - {name: f, on: {event: a}, code: ./b/f.wasm, build: {workdir: src}}\n");
    p.err = nx_config_load(path_of("Project_A/nexus.yaml"), 0, &p.config, &p.issues, &p.error);
    assert_int_equal(p.err, NX_OK);
    assert_slice(p.config->path, path_of("Project_A/nexus.yaml"));
    assert_slice(p.config->dir, path_of("Project_A"));
    assert_slice(p.config->project, "project-a");
    assert_slice(p.config->data_dir, path_of("Project_A/.nexus"));
    assert_slice(p.config->functions[0].code_path, path_of("Project_A/b/f.wasm"));
    assert_slice(p.config->functions[0].build_workdir, path_of("Project_A/src"));
    parsed_done(&p);

    char was[PATH_MAX];
    assert_non_null(getcwd(was, sizeof was));
    assert_int_equal(chdir(path_of("Project_A")), 0);
    p.err = nx_config_load("nexus.yaml", 0, &p.config, &p.issues, &p.error);
    assert_int_equal(chdir(was), 0);
    assert_int_equal(p.err, NX_OK);
    assert_slice(p.config->path, "nexus.yaml");
    assert_slice(p.config->dir, path_of("Project_A"));
    parsed_done(&p);
}

static void test_config_load_says_what_file_is_wrong(void **state)
{
    (void)state;
    nx_config *c = NULL;
    nx_config_issues issues = {0};
    nx_error e = NX_ERROR_INIT;
    assert_int_equal(nx_config_load(path_of("none.yaml"), 0, &c, &issues, &e), NX_ENOENT);
    assert_non_null(strstr(e.msg, "none.yaml: No such file"));
    assert_int_equal(issues.n, 0);
    assert_int_equal(nx_config_load(path_of("Project_A"), 0, &c, &issues, &e), NX_EINVAL);
    assert_string_equal(issues.v[0].reason, "is a folder");
    nx_config_issues_done(&issues);
    assert_int_equal(nx_config_load("/dev/null", 0, &c, &issues, &e), NX_EINVAL);
    assert_string_equal(issues.v[0].reason, "is not a regular file");
    nx_config_issues_done(&issues);

    /* 10 MB are refused by their size, unread: the file is sparse. */
    write_text("Project_A/big.yaml", "");
    assert_int_equal(truncate(path_of("Project_A/big.yaml"), 10 << 20), 0);
    assert_int_equal(nx_config_load(path_of("Project_A/big.yaml"), 0, &c, &issues, &e), NX_EINVAL);
    assert_int_equal(issues.n, 1);
    assert_string_equal(issues.v[0].reason, "has 10485760 bytes; at most 1048576 are read");
    nx_config_issues_done(&issues);
    assert_null(c);
}

static void test_config_precedence(void **state)
{
    (void)state;
    write_text("user/config.yaml", HEAD "listen: :1\nadmin: :2\nworkers: 3\nlog: {level: debug, format: json}\ndata_dir: ud\n");
    write_text("Project_A/nexus.yaml", HEAD "admin: :12\nworkers: 13\nlog: {level: warn}\n" ONE_FUNCTION);
    char *env[] = {(char[]){"NEXUS_WORKERS=23"}, (char[]){"NEXUS_LOG_LEVEL=error"}, (char[]){"NEXUS_ADMIN_URL=http://x"}, (char[]){"NEXUS_CACHE=/c"},
                   (char[]){"NEXUS_BIN=/b"}, (char[]){"NEXUS_NATS_SERVER=/s"}, (char[]){"NEXUS_LISTEN="}, (char[]){"NEXUS_VERSION=9"},
                   (char[]){"NEXUS_FUNCTIONS=9"}, (char[]){"PATH=/bin"}, (char[]){"NEXUS_RETENTION_RUNS_MAX_AGE=2h"}, NULL};
    nx_arena a = NX_ARENA_INIT(1u << 16);
    nx_config_override *from_env, all[8];
    unsigned n = 0;
    assert_int_equal(nx_config_env_overrides(env, &a, &from_env, &n), NX_OK);
    assert_int_equal(n, 3);
    memcpy(all, from_env, n * sizeof *all);
    all[n++] = (nx_config_override){NX_SLICE("workers"), NX_SLICE("33"), NX_SLICE("--workers")};
    all[n++] = (nx_config_override){NX_SLICE("tls.cert"), NX_SLICE("c.pem"), NX_SLICE("--tls-cert")};
    all[n++] = (nx_config_override){NX_SLICE("tls.key"), NX_SLICE("/k.pem"), NX_SLICE("--tls-key")};
    parsed p = load(&(nx_config_layers){.user_file = path_of("user/config.yaml"), .file = path_of("Project_A/nexus.yaml"), .overrides = all, .n_overrides = n}, 0);
    if (p.err) print_issues(&p.issues);
    assert_int_equal(p.err, NX_OK);
    assert_slice(p.config->listen, ":1");                /* user */
    assert_slice(p.config->admin, ":12");                /* project over user */
    assert_int_equal(p.config->workers, 33);             /* flag over environment over project */
    assert_int_equal(p.config->log_level, NX_LOG_ERROR); /* environment over project */
    assert_true(p.config->log_json);
    assert_int_equal(p.config->runs_max_age_ns, 7200ull * 1000000000);
    assert_int_equal(p.config->hop_limit, 16);            /* default */
    assert_slice(p.config->data_dir, path_of("user/ud")); /* relative to the file it stands in */
    assert_slice(p.config->tls_key, "/k.pem");
    char cwd[PATH_MAX], cert[PATH_MAX + 8];
    assert_non_null(getcwd(cwd, sizeof cwd));
    snprintf(cert, sizeof cert, "%s/c.pem", cwd);
    assert_slice(p.config->tls_cert, cert); /* flags: relative to the current folder */
    assert_slice(p.config->project, "project-a");
    parsed_done(&p);
    nx_arena_done(&a);
}

static const char *text_of(const nx_config_issues *i, nx_buf *out)
{
    nx_buf_clear(out);
    assert_int_equal(nx_config_issues_text(i, out), NX_OK);
    return nx_buf_cstr(out);
}

static void test_config_messages_name_the_layer(void **state)
{
    (void)state;
    nx_buf out = NX_BUF_INIT(1u << 16);
    write_text("user/config.yaml", HEAD "workers: many\nname: x\nfunctions: []\nlistne: 1\n");
    write_text("Project_A/nexus.yaml", HEAD "hop_limit: 0\n" ONE_FUNCTION);
    const nx_config_override overrides[] = {
        {NX_SLICE("listen"), NX_SLICE("8080"), NX_SLICE("NEXUS_LISTEN")},
        {NX_SLICE("log.level"), NX_SLICE("loud"), NX_SLICE("--log-level")},
        {NX_SLICE("data_dir"), NX_SLICE(""), NX_SLICE("--data-dir")},
        {NX_SLICE("log.levle"), NX_SLICE("info"), NX_SLICE("--set")},
        {NX_SLICE("functions"), NX_SLICE("info"), NX_SLICE("--set")},
        {NX_SLICE("version"), NX_SLICE("v1"), NX_SLICE("--set")},
        {NX_SLICE("nats.token"), NX_SLICE("a\xff"), NX_SLICE("NEXUS_NATS_TOKEN")},
        {NX_SLICE("tls.cert"), NX_SLICE("x.pem"), NX_SLICE("NEXUS_TLS_CERT")},
    };
    parsed p = load(&(nx_config_layers){.user_file = path_of("user/config.yaml"), .file = path_of("Project_A/nexus.yaml"), .overrides = overrides, .n_overrides = NX_ARRAY_LEN(overrides)},
                    0);
    assert_int_equal(p.err, NX_EINVAL);
    char expected[4096];
    snprintf(expected, sizeof expected,
             "%1$s/user/config.yaml:2:10: workers: \"many\" is not a whole number (try 0)\n"
             "%1$s/user/config.yaml:3:1: name: does not belong into a user's settings (move it to the project's nexus.yaml)\n"
             "%1$s/user/config.yaml:4:1: functions: does not belong into a user's settings (move it to the project's nexus.yaml)\n"
             "%1$s/user/config.yaml:5:1: listne: unknown key (did you mean listen?)\n"
             "%1$s/Project_A/nexus.yaml:2:12: hop_limit: \"0\" is too small (1 to 64)\n"
             "NEXUS_LISTEN: listen: \"8080\" is a port without an address (try 127.0.0.1:8080)\n"
             "--log-level: log.level: \"loud\" is none of debug, info, warn, error\n"
             "--data-dir: data_dir: is empty; a folder is expected\n"
             "--set: \"log.levle\": unknown key\n"
             "--set: functions: can only be set in the file (set it in nexus.yaml)\n"
             "--set: version: can only be set in the file (set it in nexus.yaml)\n"
             "NEXUS_NATS_TOKEN: nats.token: is not UTF-8 text\n"
             "NEXUS_NATS_TOKEN: nats.token: has no effect without nats.url: the node runs its own server (add nats.url)\n"
             "NEXUS_TLS_CERT: tls.cert: needs tls.key too (add tls.key)\n",
             root);
    assert_string_equal(text_of(&p.issues, &out), expected);
    assert_non_null(strstr(p.error.msg, "user/config.yaml:2:10: workers: \"many\" is not a whole number"));
    parsed_done(&p);
    nx_buf_done(&out);
}

static void test_config_user_file_is_optional(void **state)
{
    (void)state;
    parsed p = load(&(nx_config_layers){.user_file = path_of("user/none.yaml"), .dir = root}, NX_CONFIG_NO_FUNCTIONS);
    assert_int_equal(p.err, NX_OK);
    assert_slice(p.config->dir, root);
    parsed_done(&p);
    write_text("user/config.yaml", "");
    p = load(&(nx_config_layers){.user_file = path_of("user/config.yaml"), .dir = root}, NX_CONFIG_NO_FUNCTIONS);
    assert_int_equal(p.err, NX_OK);
    parsed_done(&p);
    write_text("user/config.yaml", "workers: 2\n"); /* without a version, too: there is one format */
    p = load(&(nx_config_layers){.user_file = path_of("user/config.yaml"), .dir = root}, NX_CONFIG_NO_FUNCTIONS);
    assert_int_equal(p.err, NX_OK);
    assert_int_equal(p.config->workers, 2);
    parsed_done(&p);
    write_text("user/config.yaml", "workers: [\n");
    p = load(&(nx_config_layers){.user_file = path_of("user/config.yaml"), .dir = root}, NX_CONFIG_NO_FUNCTIONS);
    assert_int_equal(p.err, NX_EINVAL);
    assert_string_equal(p.issues.v[0].source, path_of("user/config.yaml"));
    parsed_done(&p);
}

/* A syntax error in one file must not hide what is wrong in the others. */
static void test_config_layers_are_all_read(void **state)
{
    (void)state;
    write_text("user/config.yaml", "a: [\n");
    write_text("Project_A/nexus.yaml", "- [\n");
    const nx_config_override o = {NX_SLICE("workers"), NX_SLICE("x"), NX_SLICE("--workers")};
    parsed p = load(&(nx_config_layers){.user_file = path_of("user/config.yaml"), .file = path_of("Project_A/nexus.yaml"), .overrides = &o, .n_overrides = 1}, 0);
    assert_int_equal(p.err, NX_EINVAL);
    assert_int_equal(p.issues.n, 3);
    parsed_done(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_config_load_resolves_against_the_files_folder),
        cmocka_unit_test(test_config_load_says_what_file_is_wrong),
        cmocka_unit_test(test_config_precedence),
        cmocka_unit_test(test_config_messages_name_the_layer),
        cmocka_unit_test(test_config_user_file_is_optional),
        cmocka_unit_test(test_config_layers_are_all_read),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
