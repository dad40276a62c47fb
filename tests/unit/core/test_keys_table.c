/* Which node has which ranges of a function's keys: shared out by turns of the nodes, never two owners, nothing taken from where it is at work. */
#include "keys.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

typedef struct member {
    nx_id id;
    uint32_t leaving, busy;
    bool is_over;
} member;

static nx_core_keys_table table; /* large */

static nx_core_keys_fn *fn(void) { return nx_core_keys_find_fn(&table, "charge"); }

static void expect_one_owner(void)
{
    uint32_t all = 0;
    for (unsigned i = 0; fn() && i < NX_CORE_KEYS_NODES; i++) {
        assert_int_equal(all & fn()->has[i], 0);
        all |= fn()->has[i];
    }
}

/* As keys.c does it: through the text each time. */
static void turn(member *m)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(NX_CORE_KEYS_TEXT_BYTES);
    int node = nx_core_keys_add_node(&table, &m->id);
    assert_true(node >= 0);
    nx_core_keys_fn *f = nx_core_keys_add_fn(&table, "charge");
    uint32_t before = f->has[node];
    m->leaving = nx_core_keys_share(f, (unsigned)node, m->busy, m->is_over ? UINT32_MAX : m->leaving, m->is_over);
    assert_int_equal(before & m->busy & ~f->has[node], 0); /* what is at work stays */
    if (m->is_over && !f->has[node])
        nx_core_keys_leave_fn(&table, f, (unsigned)node);
    expect_one_owner();
    assert_int_equal(nx_core_keys_format(&table, &text), NX_OK);
    nx_core_keys_parse(nx_buf_view(&text), &table);
}

static unsigned has(const member *m)
{
    int node = nx_core_keys_find_node(&table, &m->id);
    return fn() && node >= 0 ? (unsigned)__builtin_popcount(fn()->has[node]) : 0;
}

static void turns(member *v, unsigned n, unsigned rounds)
{
    for (unsigned k = 0; k < rounds; k++)
        for (unsigned i = 0; i < n; i++)
            turn(&v[i]);
}

static void members(member *v, unsigned n)
{
    memset(&table, 0, sizeof table);
    for (unsigned i = 0; i < n; i++)
        v[i] = (member){.id = nx_ulid_new(i + 1)};
}

static void test_ranges_are_shared_out_evenly_as_nodes_join(void **state)
{
    (void)state;
    member v[40];
    members(v, 40);
    for (unsigned n = 1; n <= 40; n++) {
        unsigned sum = 0;
        turns(v, n, 8);
        for (unsigned i = 0; i < n; i++) {
            assert_in_range(has(&v[i]), NX_CORE_KEY_RANGES / n, (NX_CORE_KEY_RANGES + n - 1) / n);
            assert_int_equal(v[i].leaving, 0);
            sum += has(&v[i]);
        }
        assert_int_equal(sum, NX_CORE_KEY_RANGES);
        assert_true(nx_core_keys_is_shared_out(fn()));
    }
}

static void test_a_busy_range_goes_when_its_runs_have_ended(void **state)
{
    (void)state;
    member v[2];
    members(v, 2);
    turns(v, 1, 1);
    v[0].busy = UINT32_MAX;
    turns(v, 2, 4);
    assert_int_equal(has(&v[0]), NX_CORE_KEY_RANGES);
    assert_int_equal(__builtin_popcount(v[0].leaving), NX_CORE_KEY_RANGES / 2); /* not entered any more */
    v[0].busy = ~v[0].leaving;
    turns(v, 2, 2);
    assert_int_equal(has(&v[0]), NX_CORE_KEY_RANGES / 2);
    assert_int_equal(has(&v[1]), NX_CORE_KEY_RANGES / 2);
}

static void test_who_stops_leaves_to_the_others_what_is_idle(void **state)
{
    (void)state;
    member v[3];
    members(v, 3);
    turns(v, 3, 8);
    int first = nx_core_keys_find_node(&table, &v[0].id);
    uint32_t one = fn()->has[first] & -fn()->has[first];
    v[0].busy = one;
    v[0].is_over = true;
    turns(v, 3, 8);
    assert_int_equal(fn()->has[nx_core_keys_find_node(&table, &v[0].id)], one);
    assert_int_equal(has(&v[1]) + has(&v[2]), NX_CORE_KEY_RANGES - 1);
    v[0].busy = 0;
    turn(&v[0]);
    turns(v + 1, 2, 4);
    assert_int_equal(has(&v[1]) + has(&v[2]), NX_CORE_KEY_RANGES);
}

static void test_ranges_of_a_node_that_is_taken_out_go_to_the_others(void **state)
{
    (void)state;
    member v[3];
    members(v, 3);
    turns(v, 3, 8);
    nx_core_keys_remove_node(&table, (unsigned)nx_core_keys_find_node(&table, &v[1].id));
    expect_one_owner();
    assert_int_equal(has(&v[1]), 0);
    assert_in_range(has(&v[2]), 10, 11); /* the place of its line has changed */
    member rest[2] = {v[0], v[2]};
    turns(rest, 2, 4);
    assert_int_equal(has(&rest[0]), 16);
    assert_int_equal(has(&rest[1]), 16);
}

static void test_the_last_place_can_be_taken_out(void **state)
{
    (void)state;
    member v[NX_CORE_KEYS_NODES], more = {.id = nx_ulid_new(99)};
    members(v, NX_CORE_KEYS_NODES);
    turns(v, NX_CORE_KEYS_NODES, 8);
    assert_int_equal(nx_core_keys_add_node(&table, &more.id), -1);
    uint64_t all = fn()->members;
    assert_int_equal(all, UINT64_MAX);
    nx_core_keys_remove_node(&table, NX_CORE_KEYS_NODES - 1);
    assert_int_equal(fn()->members, UINT64_MAX >> 1);
    nx_core_keys_remove_node(&table, 0);
    assert_int_equal(fn()->members, UINT64_MAX >> 2);
    assert_int_equal(table.n_nodes, NX_CORE_KEYS_NODES - 2);
}

static void test_there_is_room_for_so_many_functions(void **state)
{
    (void)state;
    char name[16];
    memset(&table, 0, sizeof table);
    for (unsigned i = 0; i < NX_CORE_KEYS_FNS; i++) {
        snprintf(name, sizeof name, "f%u", i);
        assert_non_null(nx_core_keys_add_fn(&table, name));
    }
    assert_null(nx_core_keys_add_fn(&table, "more"));
    assert_non_null(nx_core_keys_add_fn(&table, "f7"));
}

static void test_what_cannot_be_read_is_no_table(void **state)
{
    (void)state;
    static const char *const texts[] = {"x", "n 1", "n 01ARZ3NDEKTSV4RRFFQ69G5FAV x", "n 01ARZ3NDEKTSV4RRFFQ69G5FAV 1\nf a 1:1\n", "n 01ARZ3NDEKTSV4RRFFQ69G5FAV 1\nf a 0:\n",
                                        "n 01ARZ3NDEKTSV4RRFFQ69G5FAV 1\nf a 0:1g\n",
                                        "n 01ARZ3NDEKTSV4RRFFQ69G5FAV 1\nn 01ARZ3NDEKTSV4RRFFQ69G5FAW 1\nf a 0:3 1:2\n"};
    for (size_t i = 0; i < NX_ARRAY_LEN(texts); i++) {
        nx_core_keys_parse(nx_slice_cstr(texts[i]), &table);
        assert_int_equal(table.n_nodes + table.n_fns, 0);
    }
    nx_core_keys_parse(nx_slice_cstr("n 01ARZ3NDEKTSV4RRFFQ69G5FAV 7\nf a 0:ff\n"), &table);
    assert_int_equal(table.nodes[0].beat, 7);
    assert_int_equal(nx_core_keys_owner(&table.fns[0], 7), 0);
    assert_int_equal(nx_core_keys_owner(&table.fns[0], 8), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges_are_shared_out_evenly_as_nodes_join),
        cmocka_unit_test(test_a_busy_range_goes_when_its_runs_have_ended),
        cmocka_unit_test(test_who_stops_leaves_to_the_others_what_is_idle),
        cmocka_unit_test(test_ranges_of_a_node_that_is_taken_out_go_to_the_others),
        cmocka_unit_test(test_the_last_place_can_be_taken_out),
        cmocka_unit_test(test_there_is_room_for_so_many_functions),
        cmocka_unit_test(test_what_cannot_be_read_is_no_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
