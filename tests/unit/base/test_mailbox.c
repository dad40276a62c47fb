/* The mailbox: order, bound, wake-ups, and several posters against one reader. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nx/mailbox.h"

typedef struct item {
    nx_mail mail; /* first */
    unsigned poster, number;
} item;

static void count_wake(void *self) { atomic_fetch_add((atomic_uint *)self, 1); }

static void test_mailbox_order_bound_and_wakes(void **state)
{
    (void)state;
    atomic_uint wakes = 0;
    nx_mailbox m;
    nx_mailbox_init(&m, 3, count_wake, &wakes);
    assert_null(nx_mailbox_drain(&m));
    item items[4] = {{.number = 0}, {.number = 1}, {.number = 2}, {.number = 3}};
    for (int i = 0; i < 3; i++) assert_int_equal(nx_mailbox_post(&m, &items[i].mail), NX_OK);
    assert_int_equal(wakes, 1); /* only the post into the empty box */
    assert_int_equal(nx_mailbox_post(&m, &items[3].mail), NX_EBUSY);
    assert_int_equal(nx_mailbox_count(&m), 3);
    nx_mail *all = nx_mailbox_drain(&m);
    for (unsigned i = 0; i < 3; i++, all = all->next) assert_int_equal(((item *)(void *)all)->number, i);
    assert_null(all);
    assert_int_equal(nx_mailbox_count(&m), 0);
    assert_int_equal(nx_mailbox_post(&m, &items[3].mail), NX_OK);
    assert_int_equal(wakes, 2);
    nx_mailbox_close(&m);
    assert_int_equal(nx_mailbox_post(&m, &items[0].mail), NX_ECLOSED);
    assert_int_equal(wakes, 2);
    assert_ptr_equal(nx_mailbox_drain(&m), &items[3].mail); /* what was accepted is still delivered */
    nx_mailbox_done(&m);
}

enum { POSTERS = 3,
       EACH = 3000 };

typedef struct posting {
    nx_mailbox *box;
    item *items;
} posting;

static void *post_all(void *self)
{
    posting *p = self;
    for (unsigned i = 0; i < EACH; i++)
        while (nx_mailbox_post(p->box, &p->items[i].mail) == NX_EBUSY) sched_yield();
    return NULL;
}

static void test_mailbox_many_posters(void **state)
{
    (void)state;
    nx_mailbox m;
    nx_mailbox_init(&m, 64, NULL, NULL);
    item *items = calloc(POSTERS * EACH, sizeof *items);
    posting p[POSTERS];
    pthread_t t[POSTERS];
    for (unsigned i = 0; i < POSTERS; i++) {
        p[i] = (posting){&m, items + i * EACH};
        for (unsigned k = 0; k < EACH; k++) items[i * EACH + k] = (item){.poster = i, .number = k};
        assert_int_equal(pthread_create(&t[i], NULL, post_all, &p[i]), 0);
    }
    unsigned next[POSTERS] = {0}, got = 0;
    while (got < POSTERS * EACH) {
        nx_mail *mail = nx_mailbox_drain(&m);
        if (!mail) sched_yield();
        for (; mail; mail = mail->next, got++) {
            item *it = (item *)(void *)mail;
            assert_int_equal(it->number, next[it->poster]++); /* in each poster's order, none lost, none twice */
        }
    }
    for (unsigned i = 0; i < POSTERS; i++) pthread_join(t[i], NULL);
    assert_null(nx_mailbox_drain(&m));
    nx_mailbox_done(&m);
    free(items);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_mailbox_order_bound_and_wakes), cmocka_unit_test(test_mailbox_many_posters)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
