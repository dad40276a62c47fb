/* Key-value stores of functions: compare-and-set, the layout that others read, deadlines. */
#include "fab_internal.h"
#include "fab_test.h"
#include <stdio.h>
#include <string.h>

#define STORE NX_SLICE("default")

static uint64_t soon(void)
{
    return nx_clock_ns() + 5 * NX_NS_PER_S;
}

static void assert_value(fix *fx, nx_slice store, const char *key, const char *value, uint64_t revision)
{
    nx_arena a = NX_ARENA_INIT(4 << 20);
    nx_slice v = NX_SLICE_NULL;
    uint64_t r = 0;

    ok(nx_fab_store_get(fx->n, store, nx_slice_cstr(key), soon(), &a, &v, &r, &fx->err));
    assert_true(nx_slice_eq_cstr(v, value));
    assert_int_equal(r, revision);
    nx_arena_done(&a);
}

static nx_err get(fix *fx, nx_slice store, const char *key, uint64_t deadline_ns)
{
    nx_arena a = NX_ARENA_INIT(4 << 20);
    nx_slice v;
    uint64_t r;
    nx_err e = nx_fab_store_get(fx->n, store, nx_slice_cstr(key), deadline_ns, &a, &v, &r, &fx->err);

    nx_arena_done(&a);
    return e;
}

static nx_err put(fix *fx, const char *key, const char *value, int64_t expected, uint64_t *ret)
{
    return nx_fab_store_put(fx->n, STORE, nx_slice_cstr(key), nx_slice_cstr(value), expected, soon(), ret, &fx->err);
}

static void test_store_compare_and_set(void **state)
{
    fix fix_, *fx = &fix_;
    uint64_t r1 = 0, r2 = 0, r3 = 0;

    (void)state;
    fix_open(fx);
    assert_int_equal(get(fx, STORE, "a", soon()), NX_ENOENT);
    assert_string_equal(fx->err.msg, "store default has no key a");
    ok(put(fx, "a", "one", 0, &r1));
    assert_int_equal(put(fx, "a", "two", 0, &r2), NX_ECONFLICT);
    assert_string_equal(fx->err.msg, "default/a exists");
    assert_value(fx, STORE, "a", "one", r1);
    ok(put(fx, "a", "two", (int64_t)r1, &r2));
    assert_int_equal(put(fx, "a", "three", (int64_t)r1, &r3), NX_ECONFLICT);
    ok(put(fx, "a", "three", NX_KV_ANY, &r3));
    assert_value(fx, STORE, "a", "three", r3);
    ok(put(fx, "b/c=d", "", NX_KV_ANY, NULL)); /* another key does not count */
    assert_int_equal(nx_fab_store_delete(fx->n, STORE, NX_SLICE("a"), (int64_t)r2, soon(), &fx->err), NX_ECONFLICT);
    ok(nx_fab_store_delete(fx->n, STORE, NX_SLICE("a"), (int64_t)r3, soon(), &fx->err));
    assert_int_equal(get(fx, STORE, "a", soon()), NX_ENOENT);
    ok(put(fx, "a", "again", 0, &r1)); /* after a deletion it may be created */
    assert_int_equal(put(fx, "a", "twice", 0, NULL), NX_ECONFLICT);
    assert_value(fx, STORE, "a", "again", r1);
    ok(nx_fab_store_delete(fx->n, STORE, NX_SLICE("never"), NX_KV_ANY, soon(), &fx->err));
    fix_close(fx);
}

static void test_stores_are_apart(void **state)
{
    fix fix_, *fx = &fix_;
    nx_fab_ns_options o = {.events_max_bytes = 64u << 20, .runs_max_bytes = 64u << 20};
    nx_fab_ns *other = NULL, *first;
    uint64_t r = 0;

    (void)state;
    fix_open(fx);
    ok(put(fx, "a", "one", 0, &r));
    assert_int_equal(get(fx, NX_SLICE("b-c"), "a", soon()), NX_ENOENT);
    /* Namespace and store are told apart, however they are hyphenated. */
    ok(nx_fab_ns_open(fx->f, NX_SLICE("default-x"), &o, &other, &fx->err));
    first = fx->n;
    ok(nx_fab_store_put(first, NX_SLICE("x-y"), NX_SLICE("k"), NX_SLICE("first"), 0, soon(), NULL, &fx->err));
    fx->n = other;
    assert_int_equal(get(fx, NX_SLICE("y"), "k", soon()), NX_ENOENT);
    assert_int_equal(get(fx, NX_SLICE("x-y"), "k", soon()), NX_ENOENT);
    fx->n = first;
    nx_fab_ns_close(other);
    fix_close(fx);
}

static void test_store_is_a_bucket_of_the_published_layout(void **state)
{
    fix fix_, *fx = &fix_;
    nx_json *j = NULL;

    (void)state;
    fix_open(fx);
    ok(put(fx, "user/42", "x", 0, NULL));
    ok(nx_fab_api(fx->f, "STREAM.INFO.KV_nx-kv-default_default", NX_SLICE_NULL, &j, NULL, &fx->err));
    const nx_json *config = nx_json_get(j, "config");
    assert_true(nx_slice_eq_cstr(nx_json_str(nx_json_at(nx_json_get(config, "subjects"), 0)), "$KV.nx-kv-default_default.>"));
    assert_int_equal(nx_json_get_u64(config, "max_msgs_per_subject", 0), 1);
    assert_true(nx_json_get_bool(config, "allow_direct", false));
    nx_json_free(j);
    /* What others write is read. */
    ok(nx_fab_publish_sync(fx->f, "$KV.nx-kv-default_default.user/42", NULL, NX_SLICE("from outside"), NULL, &fx->err));
    assert_value(fx, STORE, "user/42", "from outside", 2);
    fix_close(fx);
}

static void test_store_that_was_removed_is_made_again(void **state)
{
    fix fix_, *fx = &fix_;
    nx_json *j = NULL;

    (void)state;
    fix_open(fx);
    ok(put(fx, "a", "x", 0, NULL));
    ok(nx_fab_api(fx->f, "STREAM.DELETE.KV_nx-kv-default_default", NX_SLICE_NULL, &j, NULL, &fx->err));
    nx_json_free(j);
    assert_int_equal(get(fx, STORE, "a", nx_clock_ns() + 200 * NX_NS_PER_MS), NX_ETIMEOUT); /* the server does not answer for what is not there */
    assert_int_equal(get(fx, STORE, "a", soon()), NX_ENOENT);
    ok(put(fx, "a", "y", 0, NULL));
    fix_close(fx);
}

static void test_store_keeps_to_the_deadline(void **state)
{
    fix fix_, *fx = &fix_;

    (void)state;
    fix_open(fx);
    ok(put(fx, "a", "x", 0, NULL));
    assert_int_equal(get(fx, STORE, "a", nx_clock_ns() - 1), NX_ETIMEOUT);
    assert_int_equal(nx_fab_store_put(fx->n, STORE, NX_SLICE("a"), NX_SLICE("y"), NX_KV_ANY, nx_clock_ns() - 1, NULL, &fx->err), NX_ETIMEOUT);
    assert_value(fx, STORE, "a", "x", 1);
    fix_close(fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_store_compare_and_set),
        cmocka_unit_test(test_stores_are_apart),
        cmocka_unit_test(test_store_is_a_bucket_of_the_published_layout),
        cmocka_unit_test(test_store_that_was_removed_is_made_again),
        cmocka_unit_test(test_store_keeps_to_the_deadline),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
