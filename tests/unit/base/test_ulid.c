/* Ids: form, order, shards, derived and raw ids, many threads. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nx/clock.h"
#include "nx/digest.h"
#include "nx/ulid.h"

#define T0 (1764152625123ull * NX_NS_PER_MS)

static void test_ulid_form_and_time(void **state)
{
    (void)state;
    nx_id id = nx_ulid_new(T0), back;
    assert_int_equal(strlen(id.s), NX_ID_LEN);
    assert_true(nx_id_time_ms(&id) == 1764152625123ull);
    assert_memory_equal(id.s, "01KAZV1HZ3", 10);
    assert_int_equal(nx_id_parse(nx_id_slice(&id), &back), NX_OK);
    assert_string_equal(back.s, id.s);
    nx_id none = {{0}};
    assert_int_equal(nx_id_slice(&none).n, 0);
    assert_int_equal(nx_id_time_ms(&none), 0);
}

static void test_ulid_monotonic_within_a_thread(void **state)
{
    (void)state;
    nx_id last = nx_ulid_new(T0);
    unsigned seen[NX_SHARDS] = {0};
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t when = T0 + (i / 5000) * NX_NS_PER_MS - (i % 7 == 0 ? 300 * NX_NS_PER_MS : 0); /* small steps back included */
        nx_id id = i % 3 == 0 ? nx_ulid_new(when) : nx_ulid_new_in_shard(when, i % NX_SHARDS);
        if (i % 3) assert_int_equal(nx_id_shard(&id), i % NX_SHARDS);
        assert_true(strcmp(id.s, last.s) > 0);
        seen[nx_id_shard(&id)]++;
        last = id;
    }
    for (unsigned s = 0; s < NX_SHARDS; s++) assert_true(seen[s] > 0);
    /* A clock that is set back by an hour is followed: the time in an id is where the log looks for the event. */
    nx_id after_step = nx_ulid_new(T0 - 3600 * NX_NS_PER_S);
    assert_true(nx_id_time_ms(&after_step) == 1764152625123ull - 3600000);
}

static void *make_ids(void *out)
{
    nx_id *ids = out;
    for (size_t i = 0; i < 5000; i++) ids[i] = nx_ulid_new(T0);
    return NULL;
}

static int compare_ids(const void *a, const void *b) { return memcmp(a, b, NX_ID_LEN); }

static void test_ulid_unique_across_threads(void **state)
{
    (void)state;
    enum { THREADS = 4,
           EACH = 5000 };
    nx_id *ids = calloc(THREADS * EACH, sizeof *ids);
    pthread_t t[THREADS];
    for (size_t i = 0; i < THREADS; i++) assert_int_equal(pthread_create(&t[i], NULL, make_ids, ids + i * EACH), 0);
    for (size_t i = 0; i < THREADS; i++) pthread_join(t[i], NULL);
    qsort(ids, THREADS * EACH, sizeof *ids, compare_ids);
    for (size_t i = 1; i < THREADS * EACH; i++) assert_true(memcmp(&ids[i - 1], &ids[i], NX_ID_LEN) != 0);
    free(ids);
}

static void test_ulid_derive_is_deterministic(void **state)
{
    (void)state;
    const uint8_t d[10] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    nx_id a = nx_ulid_derive((1ull << 48) - 1, d, 31), b = nx_ulid_derive(0, d, 0);
    assert_string_equal(a.s, "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
    assert_string_equal(b.s, "0000000000ZZZZZZZZZZZZZZZ0");
    a = nx_ulid_derive(UINT64_MAX, d, 31 + 32); /* clamped, not wrapped */
    assert_string_equal(a.s, "7ZZZZZZZZZZZZZZZZZZZZZZZZZ");
}

static void test_ids_that_may_be_late_are_told_from_new_ones(void **state)
{
    (void)state;
    const uint8_t low[10] = {0}, high[10] = {0xff, 1};
    nx_id late = nx_ulid_derive_late(7, low, 3, NX_SLICE("a")), raw = nx_raw_id(UINT64_MAX), none = {0};
    assert_true(nx_id_may_be_late(&late));
    assert_int_equal(nx_id_time_ms(&late), 7);
    assert_int_equal(nx_id_shard(&late), 3);
    late = nx_ulid_derive_late(UINT64_MAX, high, 31, NX_SLICE("a"));
    assert_true(nx_id_may_be_late(&late));
    assert_false(nx_id_may_be_late(&raw));
    assert_false(nx_id_may_be_late(&none));
    for (unsigned i = 0; i < 2000; i++) {
        nx_id id = i % 2 ? nx_ulid_new(T0 + i / 10 * NX_NS_PER_MS) : nx_ulid_new_in_shard(T0 + i / 10 * NX_NS_PER_MS, i);
        assert_false(nx_id_may_be_late(&id));
    }
}

static void test_an_id_tells_the_name_it_was_made_with(void **state)
{
    (void)state;
    int others = 0;
    nx_id raw = nx_raw_id(7), none = {0};
    for (unsigned i = 0; i < 2000; i++) {
        char name[32];
        uint8_t digest[10];
        nx_random(digest, sizeof digest);
        nx_slice this = nx_slice_make(name, (size_t)snprintf(name, sizeof name, "order.%u", i));
        nx_id run = nx_ulid_derive_named(T0 / NX_NS_PER_MS + i, digest, i, this), late = nx_ulid_derive_late(T0 / NX_NS_PER_MS + i, digest, i, this);
        nx_id plain = nx_ulid_new(T0), typed_wrong = run;
        typed_wrong.s[20] = typed_wrong.s[20] == '7' ? '8' : '7';
        assert_true(nx_id_is_of(&run, this) && nx_id_is_of(&late, this));
        assert_int_equal(nx_id_time_ms(&run), T0 / NX_NS_PER_MS + i);
        assert_int_equal(nx_id_shard(&run), i % NX_SHARDS);
        others += nx_id_is_of(&run, NX_SLICE("order")) + nx_id_is_of(&late, NX_SLICE("")) + nx_id_is_of(&plain, this) + nx_id_is_of(&typed_wrong, this);
    }
    assert_in_range(others, 0, 4); /* of 8,000; by chance one in a million each */
    assert_false(nx_id_is_of(&raw, NX_SLICE("a")) || nx_id_is_of(&none, NX_SLICE("a")));
}

static void test_raw_ids(void **state)
{
    (void)state;
    static const uint64_t seqs[] = {0, 1, 31, 32, 123456789, UINT64_MAX};
    for (size_t i = 0; i < NX_ARRAY_LEN(seqs); i++) {
        nx_id id = nx_raw_id(seqs[i]), back;
        uint64_t seq = 1;
        assert_int_equal(nx_id_parse(nx_id_slice(&id), &back), NX_OK);
        assert_true(nx_id_is_raw(&back, &seq));
        assert_true(seq == seqs[i]);
        assert_int_equal(nx_id_time_ms(&id), 0);
        assert_int_equal(nx_id_shard(&id), seqs[i] % 32);
    }
    nx_id ulid = nx_ulid_new(T0);
    assert_false(nx_id_is_raw(&ulid, NULL));
}

static void test_id_parse_refuses(void **state)
{
    (void)state;
    nx_id id;
    static const char *const bad[] = {
        "",
        "01KAZFQ9Y3",
        "01KAZFQ9Y3000000000000000000",
        "81KAZFQ9Y30000000000000000",
        "01KAZFQ9Y3000000000000000I",
        "01KAZFQ9Y3000000000000000L",
        "01KAZFQ9Y3000000000000000O",
        "01KAZFQ9Y3000000000000000U",
        "01KAZFQ9Y3000000000000000-",
        "01KAZFQ9Y3000000000000000\x80",
        "R000000000000G000000000000" /* 2^64 */,
        "R1000000000000000000000000",
        "Z1KAZFQ9Y30000000000000000",
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++)
        if (nx_id_parse(nx_slice_cstr(bad[i]), &id) != NX_EPARSE) fail_msg("%s", bad[i]);
    assert_int_equal(nx_id_parse(NX_SLICE("01kazfq9y3abcdefghjkmnpqrs"), &id), NX_OK);
    assert_string_equal(id.s, "01KAZFQ9Y3ABCDEFGHJKMNPQRS");
}

static void test_shard_of_spreads_and_is_stable(void **state)
{
    (void)state;
    unsigned seen[NX_SHARDS] = {0};
    char key[16];
    for (int i = 0; i < 3200; i++) {
        int n = snprintf(key, sizeof key, "user-%d", i);
        unsigned s = nx_shard_of(nx_slice_make(key, (size_t)n));
        assert_in_range(s, 0, NX_SHARDS - 1);
        seen[s]++;
    }
    for (unsigned s = 0; s < NX_SHARDS; s++) assert_in_range(seen[s], 50, 180);
    /* Stored events depend on it: FNV-1a of "a" is 0xE40C292C, folded 12 ^ (0xE40C292C >> 5). */
    assert_int_equal(nx_shard_of(NX_SLICE("a")), ((0xE40C292Cu >> 5) ^ 0xE40C292Cu) & 31u);
    assert_int_equal(nx_shard_of(NX_SLICE_NULL), ((2166136261u >> 5) ^ 2166136261u) & 31u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ulid_form_and_time),
        cmocka_unit_test(test_ulid_monotonic_within_a_thread),
        cmocka_unit_test(test_ulid_unique_across_threads),
        cmocka_unit_test(test_ulid_derive_is_deterministic),
        cmocka_unit_test(test_ids_that_may_be_late_are_told_from_new_ones),
        cmocka_unit_test(test_an_id_tells_the_name_it_was_made_with),
        cmocka_unit_test(test_raw_ids),
        cmocka_unit_test(test_id_parse_refuses),
        cmocka_unit_test(test_shard_of_spreads_and_is_stable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
