/* Many events' differences: counted by shape, with examples; fuel and memory as median, p99 and worst event. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "nx/diff_groups.h"
#include "spread.h"

static nx_id id_of(unsigned i) { return nx_raw_id(i); }

static void add_note(nx_diff_groups *g, const nx_id *id, const nx_diff *d, nx_slice reason)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf note = NX_BUF_INIT(64 << 10);
    assert_int_equal(nx_diff_note_write(g, d, reason, &note), NX_OK);
    assert_int_equal(nx_diff_groups_add(g, NX_SLICE("order"), id, nx_buf_view(&note)), NX_OK);
    assert_int_equal(nx_diff_groups_add(g, NX_SLICE("order"), id, nx_slice_sub(nx_buf_view(&note), 0, note.n - 1)), NX_ECORRUPT);
}

static void add(nx_diff_groups *g, unsigned i, const char *before, const char *after, uint64_t fuel_before, uint64_t fuel_after)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(8 << 20);
    static nx_run x, y;
    nx_diff d;
    nx_id id = id_of(i);
    x = (nx_run){.version = NX_SLICE("v1"), .fuel = fuel_before, .memory_bytes = 65536, .output = nx_slice_cstr(before)};
    y = (nx_run){.version = NX_SLICE("v2"), .is_replay = true, .fuel = fuel_after, .memory_bytes = 131072, .output = nx_slice_cstr(after)};
    x.output_bytes = x.output.n;
    y.output_bytes = y.output.n;
    x.output_sha256 = nx_sha256_of(x.output);
    y.output_sha256 = nx_sha256_of(y.output);
    assert_int_equal(nx_diff_make(&(nx_diff_side){.run = &x}, &(nx_diff_side){.run = &y}, &a, &d), NX_OK);
    add_note(g, &id, &d, NX_SLICE_NULL);
}

/* A hundred events: 60 answer another total, 30 lose a name, 8 are the same, 2 can't be run. */
static nx_diff_groups *hundred(unsigned from, unsigned to, nx_diff_groups *g)
{
    char before[64], after[64];
    for (unsigned i = from; i < to; i++) {
        nx_id id = id_of(i);
        snprintf(before, sizeof before, "{\"total\":%u,\"name\":\"n%u\"}", i, i);
        if (i < 60)
            snprintf(after, sizeof after, "{\"total\":%u,\"name\":\"n%u\"}", i + 1, i);
        else if (i < 90)
            snprintf(after, sizeof after, "{\"total\":%u}", i);
        else
            snprintf(after, sizeof after, "%s", before);
        if (i < 98)
            add(g, i, before, after, 1000 + i, i == 77 ? 9000 : 1000 + i);
        else
            add_note(g, &id, NULL, NX_SLICE("the code is no longer stored"));
    }
    return g;
}

static const char *told(const nx_diff_groups *g, nx_buf *b)
{
    nx_jw w = NX_JW_INIT(b);
    nx_buf_clear(b);
    assert_int_equal(nx_diff_groups_to_json(g, &w), NX_OK);
    return nx_buf_cstr(b);
}

static void test_groups_count_by_shape(void **state)
{
    (void)state;
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(1 << 20);
    nx_diff_groups *g;
    nx_json *j;
    assert_int_equal(nx_diff_groups_new(&g), NX_OK);
    const char *text = told(hundred(0, 100, g), &b);
    assert_int_equal(nx_json_parse(nx_slice_cstr(text), SIZE_MAX, &j, NULL), NX_OK);
    assert_int_equal(nx_json_get_i64(j, "events", 0), 100);
    assert_int_equal(nx_json_get_i64(j, "same", 0), 8);
    assert_int_equal(nx_json_get_i64(j, "different", 0), 90);
    assert_int_equal(nx_json_get_i64(j, "failed", 0), 2);
    const nx_json *groups = nx_json_get(j, "groups"), *first = nx_json_at(groups, 0), *second = nx_json_at(groups, 1), *third = nx_json_at(groups, 2);
    assert_int_equal(nx_json_len(groups), 3);
    assert_int_equal(nx_json_get_i64(first, "count", 0), 60);
    assert_true(nx_slice_eq_cstr(nx_json_str(nx_json_at(nx_json_get(first, "what"), 0)), "output.total changed"));
    assert_int_equal(nx_json_len(nx_json_get(first, "examples")), NX_DIFF_EXAMPLES);
    assert_true(nx_slice_eq_cstr(nx_json_str(nx_json_at(nx_json_get(first, "examples"), 2)), id_of(2).s));
    assert_non_null(nx_json_get(first, "first"));
    assert_true(nx_slice_eq_cstr(nx_json_str(nx_json_at(nx_json_get(second, "what"), 0)), "output.name removed"));
    assert_true(nx_json_get_bool(third, "failed", false));
    const nx_json *fuel = nx_json_get(j, "fuel"), *after = nx_json_get(fuel, "after"), *grown = nx_json_get(fuel, "largest_growth");
    assert_int_equal(nx_json_get_i64(fuel, "events", 0), 98);
    assert_in_range(nx_json_get_i64(after, "median", 0), 1048, 1088);
    assert_int_equal(nx_json_get_i64(after, "max", 0), 9000);
    assert_true(nx_slice_eq_cstr(nx_json_get_str(after, "max_event"), id_of(77).s));
    assert_int_equal(nx_json_get_i64(grown, "before", 0), 1077);
    assert_int_equal(nx_json_get_i64(nx_json_get(nx_json_get(j, "memory_bytes"), "before"), "median", 0), 65536);
    nx_json_free(j);
    nx_diff_groups_free(g);
}

static void test_groups_go_on_where_they_were_saved(void **state)
{
    (void)state;
    NX_CLEANUP(nx_buf_done)
    nx_buf once = NX_BUF_INIT(1 << 20);
    NX_CLEANUP(nx_buf_done)
    nx_buf twice = NX_BUF_INIT(1 << 20);
    nx_diff_groups *g, *h, *all;
    nx_json *saved = NULL;
    assert_int_equal(nx_diff_groups_new(&g), NX_OK);
    assert_int_equal(nx_json_parse(nx_slice_cstr(told(hundred(0, 70, g), &once)), SIZE_MAX, &saved, NULL), NX_OK);
    nx_diff_groups_free(g);
    assert_int_equal(nx_diff_groups_load(saved, &h), NX_OK);
    nx_json_free(saved);
    assert_int_equal(nx_diff_groups_new(&all), NX_OK);
    assert_string_equal(told(hundred(70, 100, h), &once), told(hundred(0, 100, all), &twice));
    nx_diff_groups_free(h);
    nx_diff_groups_free(all);
}

static void test_groups_refuse_what_they_did_not_save(void **state)
{
    (void)state;
    static const char *const bad[] = {"{\"groups\":[{}]}", "{\"groups\":[{\"shape\":\"00\",\"what\":[]}]}",
                                      "{\"fuel\":{\"buckets\":[[[99999999,1,1]]]}}", "{\"fuel\":{\"after\":{\"max_event\":\"x\"}}}"};
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++) {
        nx_diff_groups *g;
        nx_json *j = NULL;
        assert_int_equal(nx_json_parse(nx_slice_cstr(bad[i]), SIZE_MAX, &j, NULL), NX_OK);
        assert_int_equal(nx_diff_groups_load(j, &g), NX_ECORRUPT);
        nx_json_free(j);
    }
}

static void test_groups_are_bounded(void **state)
{
    (void)state;
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(1 << 20);
    nx_diff_groups *g;
    char after[64];
    assert_int_equal(nx_diff_groups_new(&g), NX_OK);
    for (unsigned i = 0; i < NX_DIFF_GROUPS_MAX + 10; i++) {
        snprintf(after, sizeof after, "{\"k%u\":1}", i);
        add(g, i, "{}", after, 1, 1);
    }
    assert_int_equal(nx_diff_groups_different(g), NX_DIFF_GROUPS_MAX + 10);
    assert_non_null(strstr(told(g, &b), "\"ungrouped\":10"));
    nx_diff_groups_free(g);
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void test_spread_is_close_to_sorting(void **state)
{
    (void)state;
    static uint64_t v[5000];
    nx_spread s = {.buckets = NULL};
    uint64_t x = 88172645463325252ull;
    for (size_t i = 0; i < NX_ARRAY_LEN(v); i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        v[i] = i == 0 ? UINT64_MAX : i == 1 ? 0
                                            : x >> (i % 60);
        assert_int_equal(nx_spread_add(&s, v[i]), NX_OK);
    }
    qsort(v, NX_ARRAY_LEN(v), sizeof *v, by_size);
    for (unsigned p = 1; p <= 100; p++) {
        uint64_t exact = v[NX_ARRAY_LEN(v) * p / 100 - 1], told_value = nx_spread_at(&s, p * 10);
        assert_true(told_value >= exact && told_value - exact <= exact / 31);
    }
    assert_true(nx_spread_at(&s, 1000) == UINT64_MAX);
    nx_spread_done(&s);
    assert_int_equal(nx_spread_at(&s, 500), 0);
    for (int i = 0; i < 10; i++)
        assert_int_equal(nx_spread_add(&s, 123456789), NX_OK);
    assert_int_equal(nx_spread_at(&s, 500), 123456789); /* what is the same everywhere is told exactly */
    nx_spread_done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_groups_count_by_shape),
        cmocka_unit_test(test_groups_go_on_where_they_were_saved),
        cmocka_unit_test(test_groups_refuse_what_they_did_not_save),
        cmocka_unit_test(test_groups_are_bounded),
        cmocka_unit_test(test_spread_is_close_to_sorting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
