/* The index of the dead-letter queue against a plain list: what is put, taken out, trimmed and cut. */
#include "dlq.c" /* NOLINT(bugprone-suspicious-include): its table has no other door than a log */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static nx_run made(unsigned i, const char *function)
{
    nx_run r = {.function = nx_slice_cstr(function), .event_type = i % 2 ? NX_SLICE("order.placed") : NX_SLICE("order.paid"), .why = i % 3 ? NX_WHY_TRAP : NX_WHY_EXIT, .status = NX_RUN_ERROR, .is_final = true, .attempt = 1, .delivery = 1};
    r.event_id = nx_raw_id(i + 1);
    r.run_id = nx_run_id_derive(NX_SLICE("default"), &r.event_id, 1000, r.function, 0);
    return r;
}

static void put_run(nx_core_dlq *d, unsigned i, const char *function)
{
    nx_run r = made(i, function);
    nx_fab_dead dead = {.kind = NX_FAB_DEAD_RUN, .run_id = r.run_id, .seq = i + 1, .wall_ns = i * NX_NS_PER_S, .run = &r};
    visit(d, &dead);
}

static void mark_run(nx_core_dlq *d, unsigned i, const char *function, nx_fab_dead_kind kind)
{
    nx_run r = made(i, function);
    nx_fab_dead dead = {.kind = kind, .run_id = r.run_id, .seq = 1000000};
    visit(d, &dead);
}

static bool has(nx_core_dlq *d, unsigned i, const char *function)
{
    nx_run r = made(i, function);
    return d->cap && d->v[place_of(d, key_of(nx_id_slice(&r.run_id)))].seq == i + 1;
}

static nx_core_dlq *fresh(void)
{
    nx_core_dlq *d = NULL;
    assert_int_equal(nx_core_dlq_new(&d), NX_OK);
    return d;
}

static void test_dlq_agrees_with_a_list(void **state)
{
    (void)state;
    nx_core_dlq *d = fresh();
    static bool is_in[5000];
    uint32_t x = 1;
    for (unsigned round = 0; round < 30000; round++) {
        x = x * 1664525u + 1013904223u;
        unsigned i = (x >> 8) % 5000;
        if (x >> 31) {
            put_run(d, i, "f");
            is_in[i] = true;
        } else {
            mark_run(d, i, "f", round % 2 ? NX_FAB_DEAD_REDRIVEN : NX_FAB_DEAD_PURGED);
            is_in[i] = false;
        }
    }
    unsigned n = 0;
    for (unsigned i = 0; i < 5000; i++) {
        n += is_in[i];
        assert_int_equal(has(d, i, "f"), is_in[i]);
        assert_false(has(d, i, "g"));
    }
    assert_int_equal(nx_core_dlq_count(d, "f"), n);
    assert_int_equal(nx_core_dlq_count(d, "g"), 0);
    nx_core_dlq_free(d);
    nx_core_dlq_free(NULL);
}

static void test_dlq_takes_only_what_is_a_dead_letter(void **state)
{
    (void)state;
    nx_core_dlq *d = fresh();
    nx_run r = made(1, "f");
    r.after = NX_AFTER_DROP;
    visit(d, &(nx_fab_dead){.kind = NX_FAB_DEAD_RUN, .run_id = r.run_id, .seq = 2, .run = &r});
    assert_int_equal(nx_core_dlq_count(d, "f"), 0);
    mark_run(d, 7, "f", NX_FAB_DEAD_PURGED); /* of a run that was trimmed */
    put_run(d, 3, "f");
    put_run(d, 3, "f"); /* a second record of one run */
    assert_int_equal(nx_core_dlq_count(d, "f"), 1);
    nx_core_dlq_free(d);
}

static void test_dlq_filters(void **state)
{
    (void)state;
    nx_core_dlq *d = fresh();
    for (unsigned i = 0; i < 60; i++)
        put_run(d, i, i < 40 ? "f" : "g");
    nx_run one = made(5, "f");
    const struct {
        nx_core_dlq_filter f;
        unsigned n;
    } cases[] = {
        {{.limit = 0}, 60},
        {{.function = NX_SLICE("f")}, 40},
        {{.function = NX_SLICE("h")}, 0},
        {{.type = NX_SLICE("order.*")}, 60},
        {{.type = NX_SLICE("order.paid")}, 30},
        {{.why = NX_WHY_EXIT}, 20},
        {{.since_wall_ns = 50 * NX_NS_PER_S}, 10},
        {{.until_wall_ns = 9 * NX_NS_PER_S}, 10},
        {{.after_seq = 55}, 5},
        {{.id = &one.event_id}, 1},
        {{.id = &one.run_id}, 1},
        {{.id = &one.run_id, .function = NX_SLICE("g")}, 0},
    };
    for (unsigned k = 0; k < NX_ARRAY_LEN(cases); k++) {
        unsigned n = 0;
        for (unsigned i = 0; i < d->cap; i++)
            n += d->v[i].seq && matches(d, &d->v[i], &cases[k].f);
        if (n != cases[k].n) fail_msg("case %u: %u, not %u", k, n, cases[k].n);
    }
    nx_core_dlq_free(d);
}

static void test_dlq_forgets_what_is_trimmed(void **state)
{
    (void)state;
    nx_core_dlq *d = fresh();
    for (unsigned i = 0; i < 100; i++)
        put_run(d, i, "f");
    d->pass.first_seq = 41;
    tidy(d);
    assert_int_equal(nx_core_dlq_count(d, "f"), 60);
    assert_false(has(d, 39, "f"));
    assert_true(has(d, 40, "f"));
    nx_core_dlq_free(d);
}

static void test_dlq_is_bounded_and_keeps_the_newest(void **state)
{
    (void)state;
    nx_core_dlq *d = fresh();
    for (unsigned i = 0; i < ENTRIES_MAX + 10; i++)
        put_run(d, i, "f");
    assert_true(nx_core_dlq_is_cut(d));
    assert_true(d->n <= ENTRIES_MAX && nx_core_dlq_count(d, "f") == d->n);
    assert_false(has(d, 0, "f"));
    assert_true(has(d, ENTRIES_MAX + 9, "f"));
    for (unsigned i = 0; i < ENTRIES_MAX; i++)
        mark_run(d, i, "f", NX_FAB_DEAD_REDRIVEN);
    d->pass.seen = 77;
    tidy(d); /* there is room again: read from the beginning */
    assert_false(nx_core_dlq_is_cut(d));
    assert_int_equal(d->pass.seen, 0);
    assert_int_equal(nx_core_dlq_count(d, "f"), 0);
    nx_core_dlq_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_dlq_agrees_with_a_list),
        cmocka_unit_test(test_dlq_takes_only_what_is_a_dead_letter),
        cmocka_unit_test(test_dlq_filters),
        cmocka_unit_test(test_dlq_forgets_what_is_trimmed),
        cmocka_unit_test(test_dlq_is_bounded_and_keeps_the_newest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
