/* Out of date or not, building, watching, and files of new projects. */
#include "cli_test.h"
#include "template.h"
#include "tools.h"
#include "watch.h"
#include <sys/stat.h>
#include <unistd.h>
#include <uv.h>

static char root[2048];

static int setup(void **state)
{
    int rc = cli_test_folder_new(state);
    snprintf(root, sizeof root, "%s", (char *)*state);
    setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
    return rc;
}

static nx_config *project(const char *build)
{
    char text[2048], file[4096];
    nx_cli c = {0};
    nx_config *cfg = NULL;
    NX_CLEANUP(nx_buf_done)
    nx_buf problems = NX_BUF_INIT(65536);
    snprintf(text, sizeof text, "version: v1\nfunctions:\n  - name: a\n    on: {event: x}\n    code: ./build/a.wasm\n    build:\n%s", build);
    snprintf(file, sizeof file, "%s", cli_test_write(root, "nexus.yaml", text));
    if (nx_cli_config_load(&c, file, 0, &cfg, &problems, NULL) != NX_OK)
        fail_msg("%.*s", NX_SLICE_FMT(nx_buf_view(&problems)));
    return cfg;
}

/* Seconds of the day on which everything here happens. */
static void set_time(const char *path, time_t second)
{
    char file[4096];
    struct timespec t[2] = {{.tv_sec = 1700000000 + second}, {.tv_sec = 1700000000 + second}};
    snprintf(file, sizeof file, "%s/%s", root, path);
    assert_int_equal(utimensat(AT_FDCWD, file, t, 0), 0);
}

static void put(const char *path, time_t second)
{
    cli_test_write(root, path, "x");
    set_time(path, second);
}

static void test_sources_newer_than_the_module_are_out_of_date(void **state)
{
    (void)state;
    nx_config *cfg = project("      command: 'true'\n");
    const nx_fn_config *f = &cfg->functions[0];
    put("src/a.rs", 10);
    assert_true(nx_cli_is_out_of_date(cfg, f)); /* there is no module */
    put("build/a.wasm", 20);
    assert_false(nx_cli_is_out_of_date(cfg, f));
    put("src/a.rs", 30);
    assert_true(nx_cli_is_out_of_date(cfg, f));
    put("build/a.wasm", 30);
    assert_false(nx_cli_is_out_of_date(cfg, f));
    nx_config_unref(cfg);
}

static void test_sources_outputs_and_notes_do_not_count(void **state)
{
    (void)state;
    nx_config *cfg = project("      command: 'true'\n");
    const nx_fn_config *f = &cfg->functions[0];
    static const char *const others[] = {"target/release/x.rs", "node_modules/m/x.js", ".git/HEAD", ".nexus/nats/x", "README.md",
                                         "src/.a.rs.swp", "src/a.rs~", "other.wasm", "dev.log"};
    put("src/a.rs", 10);
    put("build/a.wasm", 20);
    set_time("nexus.yaml", 30);
    for (unsigned i = 0; i < NX_ARRAY_LEN(others); i++)
        put(others[i], 30);
    assert_false(nx_cli_is_out_of_date(cfg, f));
    nx_config_unref(cfg);
}

static void test_sources_watch_names_what_counts(void **state)
{
    (void)state;
    nx_config *cfg = project("      command: 'true'\n      watch: [src, Cargo.toml]\n");
    const nx_fn_config *f = &cfg->functions[0];
    put("src/deep/a.rs", 10);
    put("Cargo.toml", 10);
    put("build/a.wasm", 20);
    put("other.c", 30);
    assert_false(nx_cli_is_out_of_date(cfg, f));
    put("src/deep/b.md", 30); /* what is named counts as a whole */
    assert_true(nx_cli_is_out_of_date(cfg, f));
    put("src/deep/b.md", 10);
    put("Cargo.toml", 30);
    assert_true(nx_cli_is_out_of_date(cfg, f));
    nx_config_unref(cfg);
}

static void test_sources_fingerprint_follows_every_change(void **state)
{
    (void)state;
    nx_config *cfg = project("      command: 'true'\n      watch: [src]\n");
    nx_cli_sources s[4];
    put("src/a.rs", 10);
    put("src/b.rs", 10);
    nx_cli_sources_scan(cfg, &cfg->functions[0], &s[0]);
    nx_cli_sources_scan(cfg, &cfg->functions[0], &s[1]);
    assert_int_equal(s[0].n_files, 2);
    assert_true(s[0].fingerprint == s[1].fingerprint);
    set_time("src/a.rs", 5); /* an older file: a checkout of an older version */
    nx_cli_sources_scan(cfg, &cfg->functions[0], &s[2]);
    assert_true(s[2].fingerprint != s[0].fingerprint);
    char file[4096];
    snprintf(file, sizeof file, "%s/src/b.rs", root);
    unlink(file);
    nx_cli_sources_scan(cfg, &cfg->functions[0], &s[3]);
    assert_true(s[3].fingerprint != s[2].fingerprint);
    nx_config_unref(cfg);
}

static void test_sources_links_in_a_circle_end(void **state)
{
    (void)state;
    nx_config *cfg = project("      command: 'true'\n");
    char link[4096];
    put("src/a.rs", 10);
    snprintf(link, sizeof link, "%s/src/round", root);
    assert_int_equal(symlink(root, link), 0);
    nx_cli_sources s;
    nx_cli_sources_scan(cfg, &cfg->functions[0], &s);
    assert_int_equal(s.n_files, 1);
    nx_config_unref(cfg);
}

/* ---- builds ----------------------------------------------------------------------------------------------------- */

typedef struct outcome {
    nx_cli_build_result r;
    unsigned n;
} outcome;

static void take(void *self, const nx_cli_build_result *r)
{
    outcome *o = self;
    o->r = *r;
    o->n++;
}

static outcome build(const nx_config *cfg, const nx_cli_tools *tools)
{
    uv_loop_t loop;
    nx_cli c = {0};
    nx_error e = NX_ERROR_INIT;
    outcome o = {0};
    assert_int_equal(uv_loop_init(&loop), 0);
    if (nx_cli_build_start(&loop, &c, tools, cfg, &cfg->functions[0], false, take, &o, NULL, &e) != NX_OK)
        fail_msg("%s", e.msg);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(o.n, 1);
    return o;
}

static void test_build_makes_the_folder_and_the_module(void **state)
{
    (void)state;
    nx_cli_tools tools = {.has_rust = true, .rust_target = "wasm32-wasi", .rustc = "/x/rustc"};
    nx_config *cfg = project("      command: echo \"$NEXUS_WASI_TARGET $RUSTC $NEXUS_FUNCTION\" > build/a.wasm; echo to stderr >&2\n");
    outcome o = build(cfg, &tools);
    assert_true(o.r.is_ok);
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(4096);
    char file[4096];
    snprintf(file, sizeof file, "%s/build/a.wasm", root);
    assert_int_equal(nx_cli_read_file(file, &text, NULL), NX_OK);
    assert_string_equal(nx_buf_cstr(&text), "wasm32-wasi /x/rustc a\n");
    nx_config_unref(cfg);
}

static void test_build_failure_has_its_exit_code(void **state)
{
    (void)state;
    nx_cli_tools tools = {0};
    nx_config *cfg = project("      command: exit 7\n");
    outcome o = build(cfg, &tools);
    assert_false(o.r.is_ok);
    assert_int_equal(o.r.exit_code, 7);
    nx_config_unref(cfg);
    cfg = project("      command: kill -KILL $$\n");
    o = build(cfg, &tools);
    assert_int_equal(o.r.signal, 9);
    nx_config_unref(cfg);
}

static void test_build_that_leaves_no_module_is_a_failure(void **state)
{
    (void)state;
    nx_cli_tools tools = {0};
    nx_config *cfg = project("      command: 'true'\n");
    outcome o = build(cfg, &tools);
    assert_false(o.r.is_ok);
    assert_non_null(strstr(o.r.why, "build/a.wasm"));
    nx_config_unref(cfg);
}

static void test_build_with_nothing_to_do_is_up_to_date_afterwards(void **state)
{
    (void)state;
    nx_cli_tools tools = {0};
    nx_config *cfg = project("      command: 'true'\n");
    put("build/a.wasm", 10);
    put("src/a.rs", 20);
    assert_true(nx_cli_is_out_of_date(cfg, &cfg->functions[0]));
    assert_true(build(cfg, &tools).r.is_ok);
    assert_false(nx_cli_is_out_of_date(cfg, &cfg->functions[0]));
    nx_config_unref(cfg);
}

static void test_build_does_not_wait_for_what_stays_in_the_background(void **state)
{
    (void)state;
    nx_cli_tools tools = {0};
    nx_config *cfg = project("      command: echo x > build/a.wasm; sleep 30 & echo $! > pid\n");
    uint64_t began = uv_hrtime();
    assert_true(build(cfg, &tools).r.is_ok);
    assert_true(uv_hrtime() - began < 20ull * 1000000000);
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(64);
    char file[4096];
    snprintf(file, sizeof file, "%s/pid", root);
    assert_int_equal(nx_cli_read_file(file, &text, NULL), NX_OK);
    kill((pid_t)strtol(nx_buf_cstr(&text), NULL, 10), SIGKILL);
    nx_config_unref(cfg);
}

static void on_cancel(uv_timer_t *t)
{
    nx_cli_build_cancel(t->data);
    uv_close((uv_handle_t *)t, NULL);
}

static void test_build_can_be_cancelled_with_all_it_started(void **state)
{
    (void)state;
    uv_loop_t loop;
    uv_timer_t timer;
    nx_cli c = {0};
    nx_cli_tools tools = {0};
    outcome o = {0};
    nx_cli_build *b = NULL;
    nx_config *cfg = project("      command: sh -c 'sleep 30'; sleep 30\n");
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(nx_cli_build_start(&loop, &c, &tools, cfg, &cfg->functions[0], false, take, &o, &b, NULL), NX_OK);
    uv_timer_init(&loop, &timer);
    timer.data = b;
    uv_timer_start(&timer, on_cancel, 100, 0);
    uint64_t began = uv_hrtime();
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(o.n, 1);
    assert_false(o.r.is_ok);
    assert_true(uv_hrtime() - began < 20ull * 1000000000);
    nx_config_unref(cfg);
}

/* ---- watching --------------------------------------------------------------------------------------------------- */

typedef struct watching {
    uv_loop_t loop;
    nx_cli_watch *watch;
    unsigned n;
} watching;

static void on_changed(void *self)
{
    watching *w = self;
    w->n++;
    uv_stop(&w->loop);
}

static void test_watch_tells_of_writes_and_renames(void **state)
{
    (void)state;
    watching w = {.n = 0};
    char from[4096], to[4096];
    assert_int_equal(uv_loop_init(&w.loop), 0);
    assert_int_equal(nx_cli_watch_new(&w.loop, on_changed, &w, &w.watch, NULL), NX_OK);
    nx_cli_watch_begin(w.watch);
    nx_cli_watch_folder(w.watch, root);
    nx_cli_watch_end(w.watch);
    uint64_t began = uv_hrtime();
    cli_test_write(root, "nexus.yaml", "a");
    uv_run(&w.loop, UV_RUN_DEFAULT);
    assert_int_equal(w.n, 1);
    snprintf(from, sizeof from, "%s", cli_test_write(root, "new", "b"));
    snprintf(to, sizeof to, "%s/nexus.yaml", root);
    assert_int_equal(rename(from, to), 0);
    uv_run(&w.loop, UV_RUN_DEFAULT);
    assert_int_equal(w.n, 2);
    /* By events, not by looking every two seconds. */
    assert_true(uv_hrtime() - began < 1500ull * 1000000);
    nx_cli_watch_free(w.watch);
    uv_run(&w.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w.loop), 0);
}

static void test_watch_follows_a_folder_made_anew(void **state)
{
    (void)state;
    watching w = {.n = 0};
    char folder[4096];
    cli_test_write(root, "src/a", "1");
    snprintf(folder, sizeof folder, "%s/src", root);
    assert_int_equal(uv_loop_init(&w.loop), 0);
    assert_int_equal(nx_cli_watch_new(&w.loop, on_changed, &w, &w.watch, NULL), NX_OK);
    for (unsigned round = 0; round < 3; round++) {
        char old[4096];
        nx_cli_watch_begin(w.watch);
        nx_cli_watch_folder(w.watch, root);
        nx_cli_watch_folder(w.watch, folder);
        nx_cli_watch_end(w.watch);
        snprintf(old, sizeof old, "%s/old%u", root, round);
        assert_int_equal(rename(folder, old), 0);
        assert_int_equal(mkdir(folder, 0755), 0);
        uv_run(&w.loop, UV_RUN_DEFAULT);
        nx_cli_watch_begin(w.watch);
        nx_cli_watch_folder(w.watch, folder);
        nx_cli_watch_end(w.watch);
        cli_test_write(root, "src/a", "2");
        uv_run(&w.loop, UV_RUN_DEFAULT);
        assert_int_equal(w.n, 2 * (round + 1));
    }
    nx_cli_watch_free(w.watch);
    uv_run(&w.loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w.loop), 0);
}

/* ---- new projects ----------------------------------------------------------------------------------------------- */

static void test_template_replaces_the_name_only(void **state)
{
    (void)state;
    NX_CLEANUP(nx_buf_done)
    nx_buf out = NX_BUF_INIT(4096);
    nx_slice text = nx_slice_cstr("a {{name}} b{{name}}"), other = nx_slice_cstr("{{other}}");
    assert_int_equal(nx_cli_template_render(&(nx_cli_template_file){"f", &text, true}, "x-y", &out), NX_OK);
    assert_string_equal(nx_buf_cstr(&out), "a x-y bx-y");
    assert_int_equal(nx_cli_template_render(&(nx_cli_template_file){"f", &other, true}, "x", &out), NX_EBUG);
    nx_buf_clear(&out);
    assert_int_equal(nx_cli_template_render(&(nx_cli_template_file){"f", &other, false}, "x", &out), NX_OK);
    assert_string_equal(nx_buf_cstr(&out), "{{other}}");
}

static void test_template_projects_are_valid(void **state)
{
    (void)state;
    for (const nx_cli_template *t = nx_cli_templates; t->lang; t++) {
        nx_cli c = {0};
        char file[4096] = "";
        NX_CLEANUP(nx_buf_done)
        nx_buf problems = NX_BUF_INIT(65536);
        for (const nx_cli_template_file *f = t->files; f->path; f++) {
            NX_CLEANUP(nx_buf_done)
            nx_buf out = NX_BUF_INIT(65536);
            assert_int_equal(nx_cli_template_render(f, "my-app", &out), NX_OK);
            assert_null(strstr(nx_buf_cstr(&out), "{{"));
            const char *path = cli_test_write(root, f->path, nx_buf_cstr(&out));
            if (strcmp(f->path, "nexus.yaml") == 0)
                snprintf(file, sizeof file, "%s", path);
        }
        nx_config *cfg = NULL;
        if (nx_cli_config_load(&c, file, 0, &cfg, &problems, NULL) != NX_OK)
            fail_msg("%s: %.*s", t->lang, NX_SLICE_FMT(nx_buf_view(&problems)));
        assert_int_equal(cfg->n_functions, 1);
        assert_true(nx_slice_eq_cstr(cfg->functions[0].name, "user-welcome"));
        assert_true(nx_slice_eq_cstr(cfg->functions[0].http_path, "/events/user.created"));
        assert_true(cfg->functions[0].build_command.n > 0);
        nx_config_unref(cfg);
    }
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, cli_test_folder_free)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_sources_newer_than_the_module_are_out_of_date),
        IN_FOLDER(test_sources_outputs_and_notes_do_not_count),
        IN_FOLDER(test_sources_watch_names_what_counts),
        IN_FOLDER(test_sources_fingerprint_follows_every_change),
        IN_FOLDER(test_sources_links_in_a_circle_end),
        IN_FOLDER(test_build_makes_the_folder_and_the_module),
        IN_FOLDER(test_build_failure_has_its_exit_code),
        IN_FOLDER(test_build_that_leaves_no_module_is_a_failure),
        IN_FOLDER(test_build_with_nothing_to_do_is_up_to_date_afterwards),
        IN_FOLDER(test_build_does_not_wait_for_what_stays_in_the_background),
        IN_FOLDER(test_build_can_be_cancelled_with_all_it_started),
        IN_FOLDER(test_watch_tells_of_writes_and_renames),
        IN_FOLDER(test_watch_follows_a_folder_made_anew),
        cmocka_unit_test(test_template_replaces_the_name_only),
        IN_FOLDER(test_template_projects_are_valid),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
