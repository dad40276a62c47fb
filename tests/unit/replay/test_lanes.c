/* Lanes: everything is done once, what is on one lane in its order and by one worker at a time. */
#include "lanes.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <cmocka.h>

#define ITEMS 20000
#define KEYS 97

typedef struct task {
    nx_lane_item lane; /* first */
    unsigned number, key;
} task;

static task tasks[ITEMS];
static nx_lane_item *pointers[ITEMS];
static atomic_uint done, out_of_order, at_once;
static atomic_uint last[KEYS], busy[KEYS];

static void work(void *self, unsigned worker, nx_lane_item *item)
{
    const task *t = (const task *)(const void *)item;
    (void)self;
    (void)worker;
    if (atomic_fetch_add(&busy[t->key], 1))
        atomic_fetch_add(&at_once, 1);
    if (t->number < atomic_exchange(&last[t->key], t->number))
        atomic_fetch_add(&out_of_order, 1);
    atomic_fetch_sub(&busy[t->key], 1);
    atomic_fetch_add(&done, 1);
}

static void reset(void)
{
    atomic_store(&done, 0);
    atomic_store(&out_of_order, 0);
    atomic_store(&at_once, 0);
    for (unsigned k = 0; k < KEYS; k++)
        atomic_store(&last[k], 0);
    for (unsigned i = 0; i < ITEMS; i++) {
        tasks[i] = (task){.number = i, .key = i * 31 % KEYS};
        tasks[i].lane.lane = tasks[i].key;
        pointers[i] = &tasks[i].lane;
    }
}

static void test_lanes_keep_the_order_of_each_key(void **state)
{
    (void)state;
    nx_lanes *l = NULL;
    reset();
    assert_int_equal(nx_lanes_new(&(nx_lanes_options){.workers = 4, .work = work}, &l), NX_OK);
    for (unsigned i = 0; i < ITEMS; i += 250)
        nx_lanes_put(l, pointers + i, 250);
    while (atomic_load(&done) < ITEMS)
        nx_lanes_wait(l, 1000000000);
    nx_lanes_free(l);
    assert_int_equal(atomic_load(&done), ITEMS);
    assert_int_equal(atomic_load(&out_of_order), 0);
    assert_int_equal(atomic_load(&at_once), 0);
}

static void test_lanes_freed_do_not_begin_what_is_left(void **state)
{
    (void)state;
    nx_lanes *l = NULL;
    reset();
    assert_int_equal(nx_lanes_new(&(nx_lanes_options){.workers = 2, .work = work}, &l), NX_OK);
    nx_lanes_put(l, pointers, ITEMS);
    nx_lanes_free(l);
    unsigned was = atomic_load(&done);
    assert_true(was <= ITEMS);
    assert_int_equal(atomic_load(&done), was); /* nobody is at work any more */
    nx_lanes_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lanes_keep_the_order_of_each_key),
        cmocka_unit_test(test_lanes_freed_do_not_begin_what_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
