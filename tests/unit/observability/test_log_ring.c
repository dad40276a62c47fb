/* The ring of log records: bounds, wrapping, and several producers against the consumer. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "log_ring.h"

static void test_log_ring_bounds(void **state)
{
    (void)state;
    nx_log_ring r;
    assert_int_equal(nx_log_ring_init(&r, 1), NX_OK);
    assert_int_equal(r.size, 4096);
    assert_null(nx_log_ring_reserve(&r, 0));
    assert_null(nx_log_ring_reserve(&r, 1025));
    assert_null(nx_log_ring_peek(&r).p);
    unsigned n = 0;
    void *p;
    while ((p = nx_log_ring_reserve(&r, 56)) != NULL) { /* 64 with its word */
        memset(p, (int)n, 56);
        nx_log_ring_commit(&r, p);
        n++;
    }
    assert_int_equal(n, 64);
    for (unsigned i = 0; i < 64; i++) {
        nx_slice s = nx_log_ring_peek(&r);
        assert_int_equal(s.n, 56);
        assert_int_equal((unsigned char)s.p[55], i);
        nx_log_ring_release(&r, s);
    }
    assert_null(nx_log_ring_peek(&r).p);
    nx_log_ring_done(&r);
}

static void test_log_ring_reserved_record_holds_up_later_ones(void **state)
{
    (void)state;
    nx_log_ring r;
    assert_int_equal(nx_log_ring_init(&r, 4096), NX_OK);
    void *first = nx_log_ring_reserve(&r, 10), *second = nx_log_ring_reserve(&r, 20);
    nx_log_ring_commit(&r, second);
    assert_null(nx_log_ring_peek(&r).p);
    nx_log_ring_commit(&r, first);
    nx_slice s = nx_log_ring_peek(&r);
    assert_int_equal(s.n, 10);
    nx_log_ring_release(&r, s);
    assert_int_equal(nx_log_ring_peek(&r).n, 20);
    nx_log_ring_done(&r);
}

/* All lengths at all places: a record never wraps and is never mixed up with what lay there before. */
static void test_log_ring_wraps(void **state)
{
    (void)state;
    nx_log_ring r;
    assert_int_equal(nx_log_ring_init(&r, 4096), NX_OK);
    unsigned x = 1;
    for (unsigned i = 0; i < 20000; i++) {
        x = x * 1103515245u + 12345u;
        size_t n = 1 + (x >> 16) % 1024;
        unsigned char *p = nx_log_ring_reserve(&r, n);
        assert_non_null(p);
        assert_true(p >= (unsigned char *)r.bytes && p + n <= (unsigned char *)r.bytes + r.size);
        memset(p, 0xff, n); /* looks like a committed word */
        nx_log_ring_commit(&r, p);
        nx_slice s = nx_log_ring_peek(&r);
        assert_int_equal(s.n, n);
        assert_int_equal((unsigned char)s.p[n - 1], 0xff);
        nx_log_ring_release(&r, s);
        assert_null(nx_log_ring_peek(&r).p);
    }
    nx_log_ring_done(&r);
}

enum { PRODUCERS = 4,
       EACH = 20000 };
typedef struct producing {
    nx_log_ring *ring;
    unsigned id;
} producing;

static void *produce(void *self)
{
    const producing *p = self;
    for (unsigned i = 0; i < EACH; i++) {
        size_t n = 8 + (i * 7 + p->id * 13) % 200;
        unsigned *record;
        while (!(record = nx_log_ring_reserve(p->ring, n))) sched_yield();
        memset(record, (int)(i & 255), n);
        record[0] = p->id;
        record[1] = i;
        nx_log_ring_commit(p->ring, record);
    }
    return NULL;
}

static void test_log_ring_many_producers(void **state)
{
    (void)state;
    nx_log_ring r;
    assert_int_equal(nx_log_ring_init(&r, 8192), NX_OK); /* small: full and wrapping all the time */
    producing p[PRODUCERS];
    pthread_t t[PRODUCERS];
    for (unsigned i = 0; i < PRODUCERS; i++) {
        p[i] = (producing){&r, i};
        assert_int_equal(pthread_create(&t[i], NULL, produce, &p[i]), 0);
    }
    unsigned next[PRODUCERS] = {0};
    for (unsigned got = 0; got < PRODUCERS * EACH;) {
        nx_slice s = nx_log_ring_peek(&r);
        if (!s.p) {
            sched_yield();
            continue;
        }
        unsigned head[2];
        memcpy(head, s.p, sizeof head);
        if (head[0] >= PRODUCERS || head[1] != next[head[0]]) fail_msg("producer %u: %u instead of %u", head[0], head[1], next[head[0] % PRODUCERS]);
        next[head[0]]++;
        assert_int_equal(s.n, 8 + (head[1] * 7 + head[0] * 13) % 200);
        for (size_t k = 8; k < s.n; k++) assert_int_equal((unsigned char)s.p[k], head[1] & 255);
        nx_log_ring_release(&r, s);
        got++;
    }
    for (unsigned i = 0; i < PRODUCERS; i++) pthread_join(t[i], NULL);
    assert_null(nx_log_ring_peek(&r).p);
    nx_log_ring_done(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_ring_bounds),
        cmocka_unit_test(test_log_ring_reserved_record_holds_up_later_ones),
        cmocka_unit_test(test_log_ring_wraps),
        cmocka_unit_test(test_log_ring_many_producers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
