/* How long a node has seen another one's job unchanged, which is all that says whether the other one is dead. */
#include "job_internal.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define S NX_NS_PER_S

static void test_what_changes_is_young_again(void **state)
{
    (void)state;
    nx_job_sights s = {0};
    nx_id id = nx_ulid_new(1);
    assert_int_equal(nx_job_sight_age(&s, &id, 5, 7, 100 * S), 0); /* whatever was before this node looked */
    assert_int_equal(nx_job_sight_age(&s, &id, 5, 7, 102 * S), 2 * S);
    assert_int_equal(nx_job_sight_age(&s, &id, 5, 7, 104 * S), 4 * S);
    assert_int_equal(nx_job_sight_age(&s, &id, 5, 8, 106 * S), 0); /* a place was saved */
    assert_int_equal(nx_job_sight_age(&s, &id, 5, 8, 108 * S), 2 * S);
    assert_int_equal(nx_job_sight_age(&s, &id, 6, 8, 110 * S), 0); /* another node took it */
}

static void test_a_break_between_looks_proves_nothing(void **state)
{
    (void)state;
    nx_job_sights s = {0};
    nx_id id = nx_ulid_new(1);
    nx_job_sight_age(&s, &id, 5, 7, 100 * S);
    assert_int_equal(nx_job_sight_age(&s, &id, 5, 7, 160 * S), 0); /* the log was away, for the job's node too */
    assert_int_equal(nx_job_sight_age(&s, &id, 5, 7, 162 * S), 2 * S);
}

static void test_jobs_that_are_over_make_room(void **state)
{
    (void)state;
    nx_job_sights s = {0};
    nx_id kept = nx_ulid_new(1);
    uint64_t now = 100 * S;
    nx_job_sight_age(&s, &kept, 1, 1, now);
    for (unsigned i = 0; i < 10 * NX_JOBS_ACTIVE_MAX; i++) { /* one after the other, beside one that stays */
        nx_id id = nx_ulid_new(2 + i);
        assert_int_equal(nx_job_sight_age(&s, &id, 1, 1, now + i * S), 0);
        assert_int_equal(nx_job_sight_age(&s, &kept, 1, 1, now + i * S), i * S);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_changes_is_young_again),
        cmocka_unit_test(test_a_break_between_looks_proves_nothing),
        cmocka_unit_test(test_jobs_that_are_over_make_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
