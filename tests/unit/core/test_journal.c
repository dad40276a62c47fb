/* The run journal: what was executing when a process died is counted by the next one. */
#include "core_internal.h"
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

static char folder[64], path[96];

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/nx-journal-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/running.journal", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static nx_core_journal *journal(void)
{
    nx_core_journal *j = NULL;
    nx_error e = NX_ERROR_INIT;
    if (nx_core_journal_open(path, &j, &e) != NX_OK)
        fail_msg("%s", e.msg);
    return j;
}

static void test_journal_counts_only_runs_that_were_executing(void **state)
{
    (void)state;
    nx_id killer = nx_ulid_new(1), finished = nx_ulid_new(2);
    for (unsigned deaths = 1; deaths <= 3; deaths++) {
        nx_core_journal *j = journal();
        int a = nx_core_journal_begin(j, &killer), b = nx_core_journal_begin(j, &finished);
        assert_true(a >= 0 && b >= 0 && a != b);
        nx_core_journal_end(j, b);
        nx_core_journal_close(j); /* as a death would leave it: `killer` never ended */
        j = journal();
        assert_int_equal(nx_core_journal_crashes(j, &killer), deaths);
        assert_int_equal(nx_core_journal_crashes(j, &finished), 0);
        nx_core_journal_close(j);
    }
}

static void test_journal_forgets(void **state)
{
    (void)state;
    nx_id id = nx_ulid_new(3);
    nx_core_journal *j = journal();
    nx_core_journal_begin(j, &id);
    nx_core_journal_close(j);
    j = journal();
    assert_int_equal(nx_core_journal_crashes(j, &id), 1);
    nx_id next;
    unsigned count = 0;
    assert_true(nx_core_journal_next_crash(j, &next, &count));
    assert_string_equal(next.s, id.s);
    assert_int_equal(count, 1);
    nx_core_journal_forget(j, &id);
    assert_int_equal(nx_core_journal_crashes(j, &id), 0);
    assert_false(nx_core_journal_next_crash(j, &next, &count));
    nx_core_journal_close(j);
}

static void test_journal_of_garbage_is_made_anew(void **state)
{
    (void)state;
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    char garbage[4096];
    memset(garbage, 0xa5, sizeof garbage);
    assert_int_equal(write(fd, garbage, sizeof garbage), sizeof garbage);
    close(fd);
    nx_core_journal *j = journal();
    nx_id id = nx_ulid_new(4);
    assert_int_equal(nx_core_journal_crashes(j, &id), 0);
    nx_core_journal_close(j);
}

static void test_journal_full_says_so(void **state)
{
    (void)state;
    nx_core_journal *j = journal();
    nx_id id = nx_ulid_new(5);
    int last = 0, n = 0;
    while ((last = nx_core_journal_begin(j, &id)) >= 0)
        n++;
    assert_true(n > 0);
    for (int i = 0; i < n; i++)
        nx_core_journal_end(j, i);
    assert_true(nx_core_journal_begin(j, &id) >= 0);
    nx_core_journal_close(j);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_journal_counts_only_runs_that_were_executing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_journal_forgets, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_journal_of_garbage_is_made_anew, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_journal_full_says_so, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
