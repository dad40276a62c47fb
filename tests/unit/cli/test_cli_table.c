/* The table of commands itself, and the documents that are made from it. */
#include "cli_test.h"
#include <sys/wait.h>

static void test_table_every_command_is_whole(void **state)
{
    (void)state;
    for (unsigned i = 0; nx_cli_commands[i]; i++) {
        const nx_cli_command *k = nx_cli_commands[i];
        assert_non_null(k->run);
        assert_non_null(k->summary);
        assert_int_not_equal(k->summary[strlen(k->summary) - 1], '.');
        if (!k->is_hidden && !(k->examples && k->examples->command))
            fail_msg("nexus %s has no example", k->verb);
        for (unsigned j = i + 1; nx_cli_commands[j]; j++)
            assert_string_not_equal(k->verb, nx_cli_commands[j]->verb);
        const nx_cli_flag *f, *g;
        for (unsigned a = 0; (f = nx_cli_each_flag(k, a)); a++) {
            assert_int_equal(f->help[strlen(f->help) - 1], '.');
            for (unsigned b = a + 1; (g = nx_cli_each_flag(k, b)); b++) {
                assert_string_not_equal(f->name, g->name);
                if (f->letter && f->letter == g->letter)
                    fail_msg("nexus %s: -%c is --%s and --%s", k->verb, f->letter, f->name, g->name);
            }
        }
        const char *space = strchr(k->verb, ' ');
        bool has_group = !space;
        for (const nx_cli_group *q = nx_cli_groups; q->word; q++)
            has_group = has_group || (strlen(q->word) == (size_t)(space - k->verb) && strncmp(q->word, k->verb, strlen(q->word)) == 0);
        assert_true(has_group);
    }
}

/* Words of a command of one of our examples, up to the first operator of the shell. */
static int split(char *line, const char **argv, int most)
{
    int n = 0;
    while (*line && n < most) {
        line += strspn(line, " ");
        if (!*line || strchr("|;>&", *line))
            break;
        char quote = *line == '\'' || *line == '"' ? *line++ : 0;
        char stop[] = {quote ? quote : ' ', quote ? 0 : ';', 0};
        argv[n++] = line;
        line += strcspn(line, stop);
        if (*line == ';') {
            *line = 0;
            break;
        }
        if (*line)
            *line++ = 0;
    }
    return n;
}

static void test_table_every_example_parses(void **state)
{
    (void)state;
    unsigned parsed = 0;
    for (unsigned i = 0; nx_cli_commands[i]; i++) {
        for (const nx_cli_example *e = nx_cli_commands[i]->examples; e && e->command; e++) {
            const char *argv[32] = {NULL};
            nx_cli c;
            const char *group;
            char *text, line[512];
            if (strncmp(e->command, "nexus ", 6) != 0)
                continue;
            snprintf(line, sizeof line, "%s", e->command);
            int argc = split(line, argv, 31);
            argv[argc] = NULL;
            if (cli_test_parse(&c, &group, &text, argc, argv) != NX_OK)
                fail_msg("example of %s: %s: %s", nx_cli_commands[i]->verb, e->command, text);
            free(text);
            nx_cli_done(&c);
            parsed++;
        }
    }
    assert_true(parsed >= 20);
}

static void test_table_exit_codes_of_errors_are_documented(void **state)
{
    (void)state;
    static const nx_err errors[] = {
#define NX_ERR(sym, val, text, retry, http, exitc) sym,
#include "../../../base/err.def"
#undef NX_ERR
    };
    for (unsigned i = 0; i < NX_ARRAY_LEN(errors); i++) {
        bool is_known = false;
        for (const nx_cli_exit *e = nx_cli_exits; e->means; e++)
            is_known = is_known || e->code == nx_err_exit_code(errors[i]);
        if (!is_known)
            fail_msg("%s exits with %d, which is not in the table", nx_err_name(errors[i]), nx_err_exit_code(errors[i]));
    }
}

static void help(FILE *out, void *self)
{
    nx_cli_help(self, false, out);
}

static void document(FILE *out, void *self)
{
    (*(void (**)(FILE *))self)(out);
}

static void test_table_help_shows_flags_and_examples_within_its_width(void **state)
{
    (void)state;
    for (unsigned i = 0; nx_cli_commands[i]; i++) {
        const nx_cli_command *k = nx_cli_commands[i];
        char *text = cli_test_printed(help, (void *)(uintptr_t)k);
        for (const nx_cli_flag *f = k->flags; f && f->name; f++) {
            char flag[80];
            snprintf(flag, sizeof flag, "--%s", f->name);
            assert_non_null(strstr(text, flag));
        }
        for (const nx_cli_example *e = k->examples; e && e->command; e++)
            assert_non_null(strstr(text, e->command));
        assert_null(strchr(text, '\033'));
        free(text);
    }
}

static void test_table_documents_name_every_command(void **state)
{
    (void)state;
    void (*documents[])(FILE *) = {nx_cli_man, nx_cli_reference, nx_cli_completion_bash, nx_cli_completion_zsh, nx_cli_completion_fish};
    for (unsigned d = 0; d < NX_ARRAY_LEN(documents); d++) {
        char *text = cli_test_printed(document, &documents[d]);
        for (unsigned i = 0; nx_cli_commands[i]; i++) {
            const char *space = strrchr(nx_cli_commands[i]->verb, ' ');
            const char *word = space ? space + 1 : nx_cli_commands[i]->verb;
            if (nx_cli_commands[i]->is_hidden)
                assert_null(strstr(text, word));
            else
                assert_non_null(strstr(text, word));
        }
        free(text);
    }
}

/* Runs a shell on a generated script; what it prints, freed by the caller. */
static char *shell(const char *program, const char *file, const char *script)
{
    char command[8192];
    snprintf(command, sizeof command, "%s -c '. %s; %s' 2>&1", program, file, script);
    FILE *p = popen(command, "r");
    assert_non_null(p);
    char *text = calloc(1, 65536);
    assert_non_null(text);
    (void)!fread(text, 1, 65535, p);
    assert_int_equal(WEXITSTATUS(pclose(p)), 0);
    return text;
}

static void test_table_bash_completes_verbs_flags_and_values(void **state)
{
    void (*bash)(FILE *) = nx_cli_completion_bash;
    char *script = cli_test_printed(document, &bash);
    const char *file = cli_test_write(*state, "completion.bash", script);
    static const struct {
        const char *words, *expected, *not_expected;
    } cases[] = {
        {"nexus re", "replay", "events"},
        {"nexus events ", "show", "replay"},
        {"nexus replay --f", "--function", "--show-output"},
        {"nexus dev --log-format ", "json", "--listen"},
        {"nexus completion ", "fish", "dev"},
        {"nexus new --lang ", "rust", "--json"},
    };
    char *text = shell("bash", file, "complete -p nexus");
    assert_string_equal(text, "complete -F _nexus nexus\n");
    free(text);
    for (unsigned i = 0; i < NX_ARRAY_LEN(cases); i++) {
        char run[1024];
        bool is_new_word = cases[i].words[strlen(cases[i].words) - 1] == ' ';
        snprintf(run, sizeof run, "COMP_WORDS=(%s%s); COMP_CWORD=$((${#COMP_WORDS[@]}-1)); _nexus; echo ${COMPREPLY[@]}", cases[i].words,
                 is_new_word ? "\"\"" : "");
        text = shell("bash", file, run);
        if (!strstr(text, cases[i].expected) || strstr(text, cases[i].not_expected))
            fail_msg("%s: %s", cases[i].words, text);
        free(text);
    }
    free(script);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_every_command_is_whole),
        cmocka_unit_test(test_table_every_example_parses),
        cmocka_unit_test(test_table_exit_codes_of_errors_are_documented),
        cmocka_unit_test(test_table_help_shows_flags_and_examples_within_its_width),
        cmocka_unit_test(test_table_documents_name_every_command),
        cmocka_unit_test_setup_teardown(test_table_bash_completes_verbs_flags_and_values, cli_test_folder_new, cli_test_folder_free),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
