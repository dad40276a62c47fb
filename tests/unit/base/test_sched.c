/* Slices: the calling thread's own, handed on to threads that it starts, and given back. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cmocka.h>

#include "nx/sched.h"

static uint64_t slice_ns(void)
{
    uint64_t attributes[6] = {0}; /* struct sched_attr: sched_runtime is the fourth */
    assert_int_equal(syscall(SYS_sched_getattr, 0, attributes, sizeof attributes, 0), 0);
    return attributes[3];
}

static void *of_a_thread(void *ret)
{
    *(uint64_t *)ret = slice_ns();
    nx_sched_usual();
    return NULL;
}

static void test_sched_prompt_and_usual(void **state)
{
    (void)state;
    struct utsname u;
    int major = 0, minor = 0;
    assert_int_equal(uname(&u), 0);
    if (sscanf(u.release, "%d.%d", &major, &minor) != 2 || major < 6 || (major == 6 && minor < 12))
        skip();
    uint64_t usual = slice_ns(), other = 0;
    nx_sched_prompt();
    assert_int_equal(slice_ns(), 100000);
    assert_true(usual > 100000);
    pthread_t t;
    assert_int_equal(pthread_create(&t, NULL, of_a_thread, &other), 0);
    assert_int_equal(pthread_join(t, NULL), 0);
    assert_int_equal(other, 100000);
    assert_int_equal(slice_ns(), 100000); /* what the other gave back is its own */
    nx_sched_usual();
    assert_int_equal(slice_ns(), usual);
}

static void *behind_others(void *ret)
{
    uint64_t *seen = ret;
    nx_sched_behind(7);
    seen[0] = slice_ns();
    seen[1] = (uint64_t)getpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid));
    return NULL;
}

static void test_sched_behind_is_of_the_calling_thread_alone(void **state)
{
    (void)state;
    int before = getpriority(PRIO_PROCESS, 0);
    if (before > 7)
        skip(); /* nobody but root may lower it */
    uint64_t usual = slice_ns(), seen[2] = {0};
    pthread_t t;
    nx_sched_prompt();
    assert_int_equal(pthread_create(&t, NULL, behind_others, seen), 0);
    assert_int_equal(pthread_join(t, NULL), 0);
    nx_sched_usual();
    assert_int_equal(seen[0], usual);
    assert_int_equal(seen[1], 7);
    assert_int_equal(getpriority(PRIO_PROCESS, 0), before);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_sched_prompt_and_usual), cmocka_unit_test(test_sched_behind_is_of_the_calling_thread_alone)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
