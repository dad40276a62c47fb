#include "cli_test.h"

#define REFUSED(message, ...)                                                   \
    do {                                                                        \
        nx_cli c;                                                               \
        const char *group;                                                      \
        char *text;                                                             \
        assert_int_equal(CLI_PARSE(&c, &group, &text, __VA_ARGS__), NX_EINVAL); \
        if (!strstr(text, message))                                             \
            fail_msg("\"%s\" is not in: %s", message, text);                    \
        free(text);                                                             \
        nx_cli_done(&c);                                                        \
    } while (0)

static void test_args_two_word_verb_with_flags_and_argument(void **state)
{
    (void)state;
    nx_cli c;
    const char *group;
    char *text;
    assert_int_equal(CLI_PARSE(&c, &group, &text, "events", "show", "@last", "--data", "--json"), NX_OK);
    assert_string_equal(c.command->verb, "events show");
    assert_int_equal(c.n_args, 1);
    assert_string_equal(c.args[0], "@last");
    assert_true(nx_cli_flag_is_set(&c, "data"));
    assert_true(c.json);
    assert_string_equal(text, "");
    free(text);
    nx_cli_done(&c);
}

static void test_args_wrong_use_is_told_as_json_where_that_is_asked(void **state)
{
    (void)state;
    REFUSED("{\"error\":{\"code\":\"NX_EINVAL\",\"message\":\"unknown flag --bogus", "events", "list", "--bogus", "--json");
    REFUSED("\"message\":\"unknown command 'evnts'", "--json", "evnts");
    REFUSED("\"message\":\"missing argument <folder>", "new", "--json");
    REFUSED("nexus: unknown command 'evnts'", "evnts", "--", "--json");
    REFUSED("nexus: <event> is empty: Id of", "events", "show", "");
}

static void test_args_every_way_to_write_a_flag(void **state)
{
    (void)state;
    nx_cli c;
    const char *group;
    char *text;
    assert_int_equal(CLI_PARSE(&c, &group, &text, "logs", "--level=warn", "--function", "a", "-n5", "-f"), NX_OK);
    uint64_t limit;
    assert_string_equal(nx_cli_flag_text(&c, "level"), "warn");
    assert_string_equal(nx_cli_flag_text(&c, "function"), "a");
    assert_int_equal(nx_cli_flag_u64(&c, "limit", 1, 10, 200, &limit), NX_OK);
    assert_int_equal(limit, 5);
    assert_true(nx_cli_flag_is_set(&c, "follow"));
    free(text);
    nx_cli_done(&c);
    assert_int_equal(CLI_PARSE(&c, &group, &text, "--json", "logs", "-fn", "7"), NX_OK);
    assert_string_equal(nx_cli_flag_text(&c, "limit"), "7");
    assert_true(c.json);
    free(text);
    nx_cli_done(&c);
}

static void test_args_last_of_a_repeated_flag_counts_and_lists_keep_all(void **state)
{
    (void)state;
    nx_cli c;
    const char *group;
    char *text;
    assert_int_equal(CLI_PARSE(&c, &group, &text, "serve", "--listen", "a:1", "--listen", "b:2", "--set", "x=1", "--set=y=2"), NX_OK);
    assert_string_equal(nx_cli_flag_text(&c, "listen"), "b:2");
    assert_int_equal(nx_cli_flag_count(&c, "set"), 2);
    assert_string_equal(nx_cli_flag_at(&c, "set", 0), "x=1");
    assert_string_equal(nx_cli_flag_at(&c, "set", 1), "y=2");
    assert_null(nx_cli_flag_at(&c, "set", 2));
    free(text);
    nx_cli_done(&c);
}

static void test_args_double_dash_ends_flags(void **state)
{
    (void)state;
    nx_cli c;
    const char *group;
    char *text;
    assert_int_equal(CLI_PARSE(&c, &group, &text, "inspect", "--", "--odd-name.wasm"), NX_OK);
    assert_string_equal(c.args[0], "--odd-name.wasm");
    free(text);
    nx_cli_done(&c);
    assert_int_equal(CLI_PARSE(&c, &group, &text, "invoke", "f", "--file", "-"), NX_OK);
    assert_string_equal(nx_cli_flag_text(&c, "file"), "-");
    free(text);
    nx_cli_done(&c);
}

static void test_args_unknown_words_are_answered_with_the_nearest(void **state)
{
    (void)state;
    REFUSED("did you mean 'replay'?", "replya");
    REFUSED("did you mean 'doctor'?", "doc");
    REFUSED("did you mean 'events list'?", "events", "lits");
    REFUSED("did you mean --function?", "replay", "x", "--funtion", "a");
    REFUSED("did you mean 'bash'?", "completion", "bsh");
    REFUSED("unknown command 'xyzzyplugh'", "xyzzyplugh");
    REFUSED("unknown flag -z", "logs", "-z");
}

static void test_args_usage_errors_name_the_flag_or_argument(void **state)
{
    (void)state;
    REFUSED("flag --listen needs a value (HOST:PORT)", "dev", "--listen");
    REFUSED("flag --json takes no value", "version", "--json=yes");
    REFUSED("flag --log-format: \"xml\" is not one of text, json", "dev", "--log-format", "xml");
    REFUSED("missing argument <event>", "events", "show");
    REFUSED("unexpected argument 'b'", "replay", "a", "b");
    REFUSED("'nexus events' needs one more word: list, show", "events");
    REFUSED("try 'nexus events --help'", "events");
    REFUSED("unknown command 'events xyzzyplugh': behind 'events' stands one of list, show", "events", "xyzzyplugh");
    REFUSED("try 'nexus events --help'", "events", "xyzzyplugh");
    REFUSED("unknown flag --admin-url for 'nexus version'", "version", "--admin-url", "x");
}

static void test_args_number_out_of_bounds_is_refused(void **state)
{
    (void)state;
    nx_cli c;
    const char *group;
    char *text;
    static const char *const bad[] = {"0", "11", "-1", "1x", "", "99999999999999999999"};
    for (unsigned i = 0; i < NX_ARRAY_LEN(bad); i++) {
        uint64_t n = 77;
        assert_int_equal(CLI_PARSE(&c, &group, &text, "logs", "--limit", bad[i]), NX_OK);
        assert_int_equal(nx_cli_flag_u64(&c, "limit", 1, 10, 5, &n), NX_EINVAL);
        assert_int_equal(n, 77);
        free(text);
        nx_cli_done(&c);
    }
}

static void test_args_help_wins_over_missing_arguments(void **state)
{
    (void)state;
    nx_cli c;
    const char *group;
    char *text;
    assert_int_equal(CLI_PARSE(&c, &group, &text, "replay", "--help"), NX_OK);
    assert_true(c.wants_help);
    assert_string_equal(c.command->verb, "replay");
    free(text);
    nx_cli_done(&c);
    assert_int_equal(CLI_PARSE(&c, &group, &text, "help", "events", "list"), NX_OK);
    assert_true(c.wants_help);
    assert_string_equal(c.command->verb, "events list");
    free(text);
    nx_cli_done(&c);
    assert_int_equal(CLI_PARSE(&c, &group, &text, "events", "-h"), NX_OK);
    assert_true(c.wants_help);
    assert_string_equal(group, "events");
    free(text);
    nx_cli_done(&c);
}

static void test_args_suggest_is_near_or_nothing(void **state)
{
    (void)state;
    static const char *const words[] = {"deploy", "dev", "doctor", "events", NULL};
    assert_string_equal(nx_cli_suggest("depoly", words), "deploy");
    assert_string_equal(nx_cli_suggest("evnets", words), "events");
    assert_string_equal(nx_cli_suggest("dve", words), "dev");
    assert_null(nx_cli_suggest("zzz", words));
    assert_null(nx_cli_suggest("", words));
    assert_int_equal(nx_cli_distance("kitten", "sitting"), 3);
    assert_int_equal(nx_cli_distance("ab", "ba"), 1);
    assert_int_equal(nx_cli_distance("", "abc"), 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_args_two_word_verb_with_flags_and_argument),
        cmocka_unit_test(test_args_wrong_use_is_told_as_json_where_that_is_asked),
        cmocka_unit_test(test_args_every_way_to_write_a_flag),
        cmocka_unit_test(test_args_last_of_a_repeated_flag_counts_and_lists_keep_all),
        cmocka_unit_test(test_args_double_dash_ends_flags),
        cmocka_unit_test(test_args_unknown_words_are_answered_with_the_nearest),
        cmocka_unit_test(test_args_usage_errors_name_the_flag_or_argument),
        cmocka_unit_test(test_args_number_out_of_bounds_is_refused),
        cmocka_unit_test(test_args_help_wins_over_missing_arguments),
        cmocka_unit_test(test_args_suggest_is_near_or_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
