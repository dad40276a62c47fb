/* Names, subjects, header lines and acknowledgements: bytes in, bytes out; no server but in the header test. */
#include "fab_internal.h"
#include "fab_test.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check_type(const char *type, size_t n, const char *expected)
{
    char tokens[NX_FAB_SUBJECT_BYTES], back[NX_FAB_SUBJECT_BYTES];
    size_t tokens_n, back_n;

    assert_int_equal(nx_fab_type_encode(nx_slice_make(type, n), tokens, sizeof tokens, &tokens_n), NX_OK);
    if (expected)
        assert_string_equal(tokens, expected);
    assert_true(nx_fab_subject_is_valid(nx_slice_make(tokens, tokens_n), false));
    assert_int_equal(nx_fab_type_decode(nx_slice_make(tokens, tokens_n), back, sizeof back, &back_n), NX_OK);
    assert_int_equal(back_n, n);
    assert_memory_equal(back, type, n);
}

static void test_type_round_trips(void **state)
{
    char type[NX_EVENT_TYPE_BYTES];

    (void)state;
    check_type("user.created", 12, "user.created");
    check_type("a b", 3, "a%20b");
    check_type("*", 1, "%2A");
    check_type("a.>", 3, "a.%3E");
    check_type("100%", 4, "100%25");
    check_type(".", 1, "%.%");
    check_type("a..b.", 5, "a.%.b.%");
    check_type("", 0, "%");
    check_type("\xc3\xbc", 2, "%C3%BC");
    check_type("com.github.push/v1:2", 20, "com.github.push%2Fv1%3A2");
    for (int i = 0; i < 5000; i++) {
        size_t n = (size_t)rand() % sizeof type;

        for (size_t k = 0; k < n; k++)
            type[k] = (char)(rand() % 3 ? ".*>%a"[rand() % 5] : rand() % 255 + 1);
        check_type(type, n, NULL);
    }
}

static void test_type_decode_refuses_what_encode_never_makes(void **state)
{
    static const char *const bad[] = {"", ".", "a.", ".a", "a..b", "%4", "%zz", "%61", "%2E", "a b", "a*", "%2a"};
    char out[64];
    size_t n;

    (void)state;
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++)
        if (nx_fab_type_decode(nx_slice_cstr(bad[i]), out, sizeof out, &n) != NX_EPARSE)
            fail_msg("\"%s\" was decoded", bad[i]);
    assert_int_equal(nx_fab_type_decode(NX_SLICE("abcdef"), out, 4, &n), NX_ELIMIT);
    assert_int_equal(nx_fab_type_encode(NX_SLICE("abc*"), out, 5, &n), NX_ELIMIT);
}

static void check_filter(const char *pattern, const char *expected)
{
    char out[NX_FAB_SUBJECT_BYTES];

    assert_int_equal(nx_fab_type_filter(NX_SLICE("default"), nx_slice_cstr(pattern), out, sizeof out), NX_OK);
    assert_string_equal(out, expected);
}

static void test_type_filters(void **state)
{
    char out[20];

    (void)state;
    check_filter("user.created", "nx.default.ev.*.user.created");
    check_filter("user.*", "nx.default.ev.*.user.*");
    check_filter("user.>", "nx.default.ev.*.user.>");
    check_filter("user.**", "nx.default.ev.*.user.>");
    check_filter(">", "nx.default.ev.*.>");
    check_filter("*.x y", "nx.default.ev.*.*.x%20y");
    assert_int_equal(nx_fab_type_filter(NX_SLICE("default"), NX_SLICE("a.long.type"), out, sizeof out), NX_ELIMIT);
}

static void check_pair(const char *a, const char *b, bool covers, bool overlaps)
{
    assert_int_equal(nx_fab_subject_covers(nx_slice_cstr(a), nx_slice_cstr(b)), covers);
    assert_int_equal(nx_fab_subject_overlaps(nx_slice_cstr(a), nx_slice_cstr(b)), overlaps);
    assert_int_equal(nx_fab_subject_overlaps(nx_slice_cstr(b), nx_slice_cstr(a)), overlaps);
}

static void test_subjects_cover_and_overlap(void **state)
{
    (void)state;
    check_pair("a", "a", true, true);
    check_pair("a", "b", false, false);
    check_pair("a.*", "a.b", true, true);
    check_pair("a.b", "a.*", false, true);
    check_pair("a.>", "a.b.c", true, true);
    check_pair("a.>", "a", false, false);
    check_pair("a.*", "a.b.c", false, false);
    check_pair("*.b", "a.*", false, true);
    check_pair(">", "a.>", true, true);
    check_pair("a.*", "a.>", false, true);
    check_pair("a.>", "a.*", true, true);
    check_pair("a.*.c", "a.b.>", false, true);
    assert_true(nx_fab_subject_is_valid(NX_SLICE("a.*.>"), true));
    assert_false(nx_fab_subject_is_valid(NX_SLICE("a.*"), false));
    assert_false(nx_fab_subject_is_valid(NX_SLICE("a.>.b"), true));
    assert_false(nx_fab_subject_is_valid(NX_SLICE("a..b"), true));
    assert_false(nx_fab_subject_is_valid(NX_SLICE("a b"), true));
    assert_false(nx_fab_subject_is_valid(NX_SLICE(""), true));
    assert_false(nx_fab_subject_is_valid(NX_SLICE("a.b*"), true));
}

static void check_reduce(const char *const *in, unsigned n, const char *const *expected, unsigned expected_n, bool loose)
{
    char *v[8];
    bool is_loose;

    for (unsigned i = 0; i < n; i++)
        v[i] = strdup(in[i]);
    n = nx_fab_filters_reduce(v, n, &is_loose);
    assert_int_equal(n, expected_n);
    assert_int_equal(is_loose, loose);
    for (unsigned i = 0; i < n; i++) {
        bool found = false;

        for (unsigned k = 0; k < expected_n; k++)
            found |= !strcmp(v[i], expected[k]);
        if (!found)
            fail_msg("unexpected filter %s", v[i]);
        free(v[i]);
    }
}

static void test_filters_are_reduced_to_a_set_without_overlaps(void **state)
{
    (void)state;
    check_reduce((const char *const[]){"a.b", "a.*", "c"}, 3, (const char *const[]){"a.*", "c"}, 2, false);
    check_reduce((const char *const[]){"a.>", "a.*", "a.b.c"}, 3, (const char *const[]){"a.>"}, 1, false);
    check_reduce((const char *const[]){"a", "a"}, 2, (const char *const[]){"a"}, 1, false);
    check_reduce((const char *const[]){"a.*", "*.b"}, 2, (const char *const[]){"*.*"}, 1, true);
    check_reduce((const char *const[]){"a.*.c", "a.b.>"}, 2, (const char *const[]){"a.*.>"}, 1, true);
    check_reduce((const char *const[]){"a.*", "*.b", "x.y"}, 3, (const char *const[]){"*.*"}, 1, true);
}

static void check_ack(const char *json, nx_err err, uint64_t seq, bool dup)
{
    nx_fab_ack ack;

    nx_fab_ack_parse(nx_slice_cstr(json), &ack);
    if (ack.err != err)
        fail_msg("%s: %s", json, nx_err_name(ack.err));
    if (!err) {
        assert_int_equal(ack.seq, seq);
        assert_int_equal(ack.is_duplicate, dup);
    }
}

static void test_acknowledgements(void **state)
{
    (void)state;
    check_ack("{\"stream\":\"S\", \"seq\":12}", NX_OK, 12, false);
    check_ack("{\"stream\":\"S\",\"seq\":12,\"duplicate\": true}", NX_OK, 12, true);
    check_ack("{\"stream\":\"S\",\"domain\":\"hub\",\"seq\":18446744073709551615}", NX_OK, UINT64_MAX, false);
    check_ack("{\"stream\":\"S\\u0041\",\"seq\":3}", NX_OK, 3, false);
    check_ack("{\"error\":{\"code\":503,\"err_code\":10077,\"description\":\"maximum bytes exceeded\"},\"stream\":\"S\",\"seq\":0}", NX_EFULL, 0, false);
    check_ack("{\"error\":{\"code\":503,\"err_code\":10077,\"description\":\"write: no space left on device\"},\"seq\":0}", NX_EFULL, 0, false);
    check_ack("{\"error\":{\"code\":503,\"err_code\":10077,\"description\":\"store is closed\"},\"seq\":0}", NX_EUNAVAIL, 0, false);
    check_ack("{\"error\":{\"code\":500,\"err_code\":10047,\"description\":\"x\"}}", NX_EFULL, 0, false);
    check_ack("{\"error\":{\"code\":400,\"err_code\":10071,\"description\":\"wrong last sequence: 4\"}}", NX_ECONFLICT, 0, false);
    check_ack("{\"stream\":\"S\"}", NX_EUNAVAIL, 0, false);
    check_ack("{\"stream\":\"S\",\"seq\":12", NX_EUNAVAIL, 0, false);
    check_ack("{\"stream\":\"S\",\"seq\":-1}", NX_EUNAVAIL, 0, false);
    check_ack("{}", NX_EUNAVAIL, 0, false);
    check_ack("", NX_EUNAVAIL, 0, false);
    check_ack("x", NX_EUNAVAIL, 0, false);
}

static void test_delivery_metadata(void **state)
{
    nx_fab_meta m;

    (void)state;
    assert_true(nx_fab_meta_parse("$JS.ACK.S.C.2.30.31.1700000000000000000.7", &m));
    assert_true(nx_slice_eq_cstr(m.stream_consumer, "S.C"));
    assert_int_equal(m.delivered, 2);
    assert_int_equal(m.stream_seq, 30);
    assert_int_equal(m.consumer_seq, 31);
    assert_int_equal(m.wall_ns, 1700000000000000000u);
    assert_int_equal(m.pending, 7);
    assert_true(nx_fab_meta_parse("$JS.ACK._.hash.S.C.2.30.31.1700000000000000000.7.rnd", &m));
    assert_true(nx_slice_eq_cstr(m.stream_consumer, "S.C"));
    assert_int_equal(m.pending, 7);
    assert_false(nx_fab_meta_parse("$JS.ACK.S.C.2.30", &m));
    assert_false(nx_fab_meta_parse("$JS.ACK.S.C.x.30.31.17.7", &m));
    assert_false(nx_fab_meta_parse("", &m));
}

/* nats.c writes a key's bytes as they are: many lines in one set. If a version stops doing so, every event would lose its attributes. */
static void test_one_set_carries_many_header_lines(void **state)
{
    fix fix_, *fx = &fix_;
    char text[256], subject[96], body[32];
    nx_fab_hdr h = {.p = text, .cap = sizeof text};
    nx_fab_replies got = {0};
    uint64_t seq;
    nx_slice v;

    (void)state;
    fix_open(fx);
    nx_fab_hdr_add(&h, "one", NX_SLICE("1"));
    nx_fab_hdr_add_encoded(&h, "two", NX_SLICE("two words"));
    nx_fab_hdr_add(&h, "three", NX_SLICE(""));
    nx_fab_hdr_add(&h, "four", NX_SLICE("4"));
    ok(nx_fab_publish_sync(fx->f, "nx.default.ev.00.t", &h, NX_SLICE("data"), &seq, &fx->err));
    snprintf(subject, sizeof subject, "$JS.API.DIRECT.GET.%s", fx->n->events);
    snprintf(body, sizeof body, "{\"seq\":%llu}", (unsigned long long)seq);
    ok(nx_fab_request(fx->f, &(nx_fab_ask){.subject = subject, .body = nx_slice_cstr(body)}, &got, &fx->err));
    assert_true(nx_fab_msg_header(got.v[0], "one", &v) && nx_slice_eq_cstr(v, "1"));
    assert_true(nx_fab_msg_header(got.v[0], "two", &v) && nx_slice_eq_cstr(v, "two%20words"));
    assert_false(nx_fab_msg_header(got.v[0], "three", &v)); /* left out: it would swallow the next */
    assert_true(nx_fab_msg_header(got.v[0], "four", &v) && nx_slice_eq_cstr(v, "4"));
    assert_int_equal(natsMsg_GetDataLength(got.v[0]), 4);
    nx_fab_replies_done(&got);
    fix_close(fx);
}

static void test_header_values_with_line_breaks_are_refused(void **state)
{
    char text[64];
    nx_fab_hdr h = {.p = text, .cap = sizeof text};
    nx_slice k, v;

    (void)state;
    assert_false(nx_fab_hdr_split(&h, &k, &v)); /* nothing in it */
    nx_fab_hdr_add(&h, "a", NX_SLICE("1\r\nnx-event-id: forged"));
    assert_false(nx_fab_hdr_split(&h, &k, &v));
    h = (nx_fab_hdr){.p = text, .cap = sizeof text};
    nx_fab_hdr_add_encoded(&h, "a", NX_SLICE("1\r\n"));
    assert_true(nx_fab_hdr_split(&h, &k, &v));
    assert_null(strpbrk(v.p, "\r\n"));
    h = (nx_fab_hdr){.p = text, .cap = 8};
    nx_fab_hdr_add(&h, "key", NX_SLICE("a value too long"));
    assert_true(h.is_bad);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_type_round_trips),
        cmocka_unit_test(test_type_decode_refuses_what_encode_never_makes),
        cmocka_unit_test(test_type_filters),
        cmocka_unit_test(test_subjects_cover_and_overlap),
        cmocka_unit_test(test_filters_are_reduced_to_a_set_without_overlaps),
        cmocka_unit_test(test_acknowledgements),
        cmocka_unit_test(test_delivery_metadata),
        cmocka_unit_test(test_one_set_carries_many_header_lines),
        cmocka_unit_test(test_header_values_with_line_breaks_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
