/* Packed lines and the history of the last ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "log_history.h"
#include "log_pack.h"

static void test_log_pack_round_trip(void **state)
{
    (void)state;
    nx_kv fields[] = {{NX_SLICE("k"), NX_SLICE("v")}, {NX_SLICE("empty"), NX_SLICE("")}};
    nx_log_line l = {.wall_ns = 5, .level = NX_LOG_WARN, .component = NX_SLICE("c"), .event = NX_SLICE("e"), .trace = NX_SLICE("t"), .event_id = NX_SLICE("i"), .run_id = NX_SLICE("r"), .function = NX_SLICE("f"), .ns = NX_SLICE("n"), .msg = NX_SLICE("m\n"), .is_replay = true, .original_wall_ns = 4, .fields = fields, .n_fields = 2};
    size_t n = nx_log_pack_bytes(&l);
    char *packed = malloc(n);
    nx_log_pack(&l, packed);
    nx_log_line back;
    nx_kv back_fields[NX_LOG_PACK_FIELDS];
    nx_log_unpack(nx_slice_make(packed, n), &back, back_fields);
    const nx_slice a[] = {l.component, l.event, l.trace, l.event_id, l.run_id, l.function, l.ns, l.msg};
    const nx_slice b[] = {back.component, back.event, back.trace, back.event_id, back.run_id, back.function, back.ns, back.msg};
    for (size_t i = 0; i < NX_ARRAY_LEN(a); i++) assert_true(nx_slice_eq(a[i], b[i]));
    assert_true(back.wall_ns == 5 && back.level == NX_LOG_WARN && back.is_replay && back.original_wall_ns == 4 && back.n_fields == 2);
    assert_true(nx_slice_eq_cstr(back.fields[0].value, "v") && nx_slice_eq_cstr(back.fields[1].key, "empty") && back.fields[1].value.n == 0);
    free(packed);
}

static void test_log_pack_is_bounded(void **state)
{
    (void)state;
    enum { BIG = 100000 };
    char *big = malloc(BIG);
    for (size_t shift = 0; shift < 3; shift++) {
        memset(big, 'a', BIG);
        for (size_t i = shift; i + 3 <= BIG; i += 3) memcpy(big + i, "\xE2\x82\xAC", 3);
        nx_slice s = nx_slice_make(big, BIG);
        nx_kv fields[40];
        for (size_t i = 0; i < NX_ARRAY_LEN(fields); i++) fields[i] = (nx_kv){s, s};
        nx_log_line l = {.component = s, .event = s, .trace = s, .event_id = s, .run_id = s, .function = s, .ns = s, .msg = s, .fields = fields, .n_fields = 40};
        size_t n = nx_log_pack_bytes(&l);
        assert_true(n <= NX_LOG_PACK_MAX);
        char *packed = malloc(n);
        nx_log_pack(&l, packed);
        nx_log_line back;
        nx_kv back_fields[NX_LOG_PACK_FIELDS];
        nx_log_unpack(nx_slice_make(packed, n), &back, back_fields);
        assert_int_equal(back.msg.n, NX_LOG_PACK_MSG);
        assert_int_equal(back.n_fields, NX_LOG_PACK_FIELDS);
        assert_true(nx_slice_is_utf8(back.msg)); /* cut between characters, and it says so */
        nx_slice end = nx_slice_trim(back.msg);
        assert_true(nx_slice_ends(end, NX_SLICE("\xE2\x80\xA6")));
        free(packed);
    }
    free(big);
}

/* Against a plain model: the lines kept are always the newest ones, unharmed, as many as the bounds allow. */
static void test_log_history_keeps_the_newest(void **state)
{
    (void)state;
    nx_log_history h;
    assert_int_equal(nx_log_history_init(&h, 50, 2000), NX_OK);
    unsigned x = 7;
    size_t lengths[6000] = {0};
    for (unsigned number = 1; number < 6000; number++) {
        x = x * 1103515245u + 12345u;
        size_t n = 1 + (x >> 16) % (number % 3 ? 20 : 500);
        char line[500];
        memset(line, (int)(number & 255), n);
        lengths[number] = n;
        nx_log_history_add(&h, nx_slice_make(line, n));
        assert_int_equal(h.next, number + 1);
        assert_true(h.first < h.next);
        size_t kept = 0;
        for (uint64_t k = h.first; k < h.next; k++) {
            nx_slice s = nx_log_history_get(&h, k);
            assert_int_equal(s.n, lengths[k]);
            assert_int_equal((unsigned char)s.p[0], k & 255);
            assert_int_equal((unsigned char)s.p[s.n - 1], k & 255);
            kept += s.n;
        }
        assert_true(kept <= 2000 && h.next - h.first <= 50);
        /* Nothing is thrown away early: either bound, or the gap at the end of the bytes, was in the way. */
        if (number > 100) assert_true(h.next - h.first == 50 || kept + 2 * 500 > 2000);
    }
    nx_log_history_done(&h);
}

static void test_log_history_odd_sizes(void **state)
{
    (void)state;
    nx_log_history h;
    assert_int_equal(nx_log_history_init(&h, 3, 10), NX_OK);
    nx_log_history_add(&h, NX_SLICE("0123456789x"));
    assert_int_equal(h.next, 1); /* larger than everything: left out */
    for (int i = 0; i < 5; i++) {
        nx_log_history_add(&h, NX_SLICE("0123456789"));
        assert_int_equal(h.next - h.first, 1);
    }
    for (int i = 0; i < 5; i++) nx_log_history_add(&h, NX_SLICE("a"));
    assert_int_equal(h.next - h.first, 3);
    nx_log_history_done(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_pack_round_trip),
        cmocka_unit_test(test_log_pack_is_bounded),
        cmocka_unit_test(test_log_history_keeps_the_newest),
        cmocka_unit_test(test_log_history_odd_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
