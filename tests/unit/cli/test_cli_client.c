/* Finding the node, and the pieces of requests and answers. */
#include "cli_test.h"
#include <sys/stat.h>
#include <unistd.h>

static int setup(void **state)
{
    unsetenv("NEXUS_ADMIN_URL");
    unsetenv("NEXUS_DATA_DIR");
    setenv("XDG_CONFIG_HOME", "/nonexistent", 1);
    return cli_test_folder_new(state);
}

static void found(int argc, const char *const *argv, const char *url, const char *file)
{
    nx_cli c;
    const char *group;
    char *text, got[512], from[4096];
    nx_error e = NX_ERROR_INIT;
    assert_int_equal(cli_test_parse(&c, &group, &text, argc, argv), NX_OK);
    if (nx_cli_node_find(&c, got, sizeof got, from, sizeof from, &e) != NX_OK)
        fail_msg("%s", e.msg);
    assert_string_equal(got, url);
    assert_string_equal(from, file);
    free(text);
    nx_cli_done(&c);
}

static const char *const plain[] = {"nexus", "events", "list", NULL};

static void test_client_default_is_the_default_port(void **state)
{
    assert_int_equal(chdir(*state), 0);
    found(3, plain, "http://127.0.0.1:8081", "");
}

static void test_client_flag_wins_over_environment_wins_over_project(void **state)
{
    static const char *const flagged[] = {"nexus", "events", "list", "--admin-url", "127.0.0.1:9/", NULL};
    cli_test_write(*state, ".nexus/node.json", "{\"admin_url\": \"http://127.0.0.1:3\"}");
    assert_int_equal(chdir(*state), 0);
    setenv("NEXUS_ADMIN_URL", "http://127.0.0.1:2//", 1);
    found(5, flagged, "http://127.0.0.1:9", "");
    found(3, plain, "http://127.0.0.1:2", "");
    unsetenv("NEXUS_ADMIN_URL");
    char file[4096];
    snprintf(file, sizeof file, "%s/.nexus/node.json", (char *)*state);
    found(3, plain, "http://127.0.0.1:3", file);
}

static void test_client_project_is_found_from_below(void **state)
{
    char below[4096], file[4096];
    cli_test_write(*state, ".nexus/node.json", "{\"admin_url\": \"http://127.0.0.1:4\"}");
    cli_test_write(*state, "src/deep/x", "");
    snprintf(below, sizeof below, "%s/src/deep", (char *)*state);
    snprintf(file, sizeof file, "%s/.nexus/node.json", (char *)*state);
    assert_int_equal(chdir(below), 0);
    found(3, plain, "http://127.0.0.1:4", file);
}

static void test_client_data_dir_of_the_project_is_honoured(void **state)
{
    char file[4096];
    cli_test_write(*state, "nexus.yaml", "version: v1\ndata_dir: ./state\nfunctions:\n  - name: a\n    on: {event: x}\n    code: ./a.wasm\n");
    cli_test_write(*state, "state/node.json", "{\"admin_url\": \"http://127.0.0.1:5\"}");
    snprintf(file, sizeof file, "%s/state/node.json", (char *)*state);
    assert_int_equal(chdir(*state), 0);
    found(3, plain, "http://127.0.0.1:5", file);
}

static void test_client_broken_node_file_is_an_error_that_names_it(void **state)
{
    nx_cli c;
    const char *group;
    char *text, url[512], from[4096];
    nx_error e = NX_ERROR_INIT;
    cli_test_write(*state, ".nexus/node.json", "{\"admin_url\": 7}");
    assert_int_equal(chdir(*state), 0);
    assert_int_equal(CLI_PARSE(&c, &group, &text, "events", "list"), NX_OK);
    assert_int_equal(nx_cli_node_find(&c, url, sizeof url, from, sizeof from, &e), NX_EPARSE);
    assert_non_null(strstr(e.msg, "node.json"));
    free(text);
    nx_cli_done(&c);
}

static void test_client_other_schemes_are_refused(void **state)
{
    (void)state;
    nx_cli c;
    const char *group;
    char *text, url[512], from[4096];
    nx_error e = NX_ERROR_INIT;
    assert_int_equal(CLI_PARSE(&c, &group, &text, "events", "list", "--admin-url", "file:///etc/passwd"), NX_OK);
    assert_int_equal(nx_cli_node_find(&c, url, sizeof url, from, sizeof from, &e), NX_EINVAL);
    free(text);
    nx_cli_done(&c);
}

static void test_client_queries_are_encoded(void **state)
{
    (void)state;
    NX_CLEANUP(nx_buf_done)
    nx_buf path = NX_BUF_INIT(1024);
    assert_int_equal(nx_buf_append_cstr(&path, "/x"), NX_OK);
    assert_int_equal(nx_cli_query(&path, "a", NULL), NX_OK);
    assert_int_equal(nx_cli_query(&path, "b", "1&2 #>"), NX_OK);
    assert_int_equal(nx_cli_query(&path, "c", "@last"), NX_OK);
    assert_string_equal(nx_buf_cstr(&path), "/x?b=1%262%20%23%3E&c=@last");
    nx_buf_clear(&path);
    assert_int_equal(nx_cli_path_segment(&path, "../a?b"), NX_OK);
    assert_string_equal(nx_buf_cstr(&path), "..%2Fa%3Fb");
}

static void test_client_lines_come_without_their_ends(void **state)
{
    (void)state;
    nx_slice rest = NX_SLICE("a\r\n\n\nbc\nd"), line;
    assert_true(nx_cli_next_line(&rest, &line) && nx_slice_eq_cstr(line, "a"));
    assert_true(nx_cli_next_line(&rest, &line) && nx_slice_eq_cstr(line, "bc"));
    assert_true(nx_cli_next_line(&rest, &line) && nx_slice_eq_cstr(line, "d"));
    assert_false(nx_cli_next_line(&rest, &line));
}

static void test_client_no_node_is_exit_69(void **state)
{
    assert_int_equal(chdir(*state), 0);
    nx_cli c;
    const char *group;
    char *text;
    /* Port 1 of the loopback: nothing listens there. */
    assert_int_equal(CLI_PARSE(&c, &group, &text, "events", "list", "--admin-url", "http://127.0.0.1:1"), NX_OK);
    assert_int_equal(c.command->run(&c), 69);
    free(text);
    nx_cli_done(&c);
}

int main(void)
{
#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, setup, cli_test_folder_free)
    const struct CMUnitTest tests[] = {
        IN_FOLDER(test_client_default_is_the_default_port),
        IN_FOLDER(test_client_flag_wins_over_environment_wins_over_project),
        IN_FOLDER(test_client_project_is_found_from_below),
        IN_FOLDER(test_client_data_dir_of_the_project_is_honoured),
        IN_FOLDER(test_client_broken_node_file_is_an_error_that_names_it),
        cmocka_unit_test(test_client_other_schemes_are_refused),
        cmocka_unit_test(test_client_queries_are_encoded),
        cmocka_unit_test(test_client_lines_come_without_their_ends),
        IN_FOLDER(test_client_no_node_is_exit_69),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
