/* Which version an event gets: by weight, by key, the same one every time. */
#include "split.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static nx_err parse(const char *json, const nx_core_split *now, nx_core_split *ret, nx_error *reterr)
{
    nx_json *j = NULL;
    assert_int_equal(nx_json_parse(nx_slice_cstr(json), 4096, &j, NULL), NX_OK);
    nx_err err = nx_core_split_from_json(j, now, ret, reterr);
    nx_json_free(j);
    return err;
}

static void expect(const nx_core_split *s, const char *text)
{
    char now[256];
    nx_core_split_text(s, now, sizeof now);
    assert_string_equal(now, text);
}

static void refused(const char *json, const nx_core_split *now, const char *word)
{
    nx_core_split s;
    nx_error e = NX_ERROR_INIT;
    assert_int_not_equal(parse(json, now, &s, &e), NX_OK);
    if (!strstr(e.msg, word))
        fail_msg("%s: \"%s\" says nothing of \"%s\"", json, e.msg, word);
}

static void test_split_shares_add_up_newest_first(void **state)
{
    (void)state;
    nx_core_split s;
    assert_int_equal(parse("[{\"version\":\"v3\",\"percent\":90},{\"version\":\"v10\",\"percent\":10}]", NULL, &s, NULL), NX_OK);
    expect(&s, "v10 10 %, v3 90 %");
    assert_string_equal(nx_core_split_main(&s)->version, "v3");
    assert_int_equal(parse("[{\"version\":\"v3\"}]", NULL, &s, NULL), NX_OK);
    expect(&s, "v3");
    assert_int_equal(parse("[{\"version\":\"v4\",\"percent\":0.25},{\"version\":\"v3\"}]", NULL, &s, NULL), NX_OK);
    expect(&s, "v4 0.25 %, v3 99.75 %");
    assert_int_equal(parse("[{\"version\":\"v4\",\"percent\":100},{\"version\":\"v3\",\"percent\":0}]", NULL, &s, NULL), NX_OK);
    expect(&s, "v4");
}

static void test_split_rest_stays_where_most_is(void **state)
{
    (void)state;
    nx_core_split now, s;
    assert_int_equal(parse("[{\"version\":\"v3\",\"percent\":80},{\"version\":\"v2\",\"percent\":20}]", NULL, &now, NULL), NX_OK);
    assert_int_equal(parse("[{\"version\":\"v4\",\"percent\":5}]", &now, &s, NULL), NX_OK);
    expect(&s, "v4 5 %, v3 95 %");
    assert_int_equal(parse("[{\"version\":\"v3\",\"percent\":5}]", &now, &s, NULL), NX_OK);
    expect(&s, "v3 5 %, v2 95 %");
    assert_int_equal(nx_core_split_give(&now, "v4", 1000, &s, NULL), NX_OK);
    expect(&s, "v4 10 %, v3 90 %");
    assert_int_equal(nx_core_split_give(&now, "v4", NX_CORE_SHARE_ALL, &s, NULL), NX_OK);
    expect(&s, "v4");
}

static void test_split_refuses_what_means_nothing(void **state)
{
    (void)state;
    nx_core_split now;
    nx_core_split_all(&now, "v1");
    refused("[]", &now, "traffic is");
    refused("{}", &now, "traffic is");
    refused("[{\"percent\":1}]", &now, "traffic is");
    refused("[{\"version\":\"v2\",\"percent\":101}]", &now, "percent of v2");
    refused("[{\"version\":\"v2\",\"percent\":-1}]", &now, "percent of v2");
    refused("[{\"version\":\"v2\",\"percent\":0.001}]", &now, "percent of v2");
    refused("[{\"version\":\"v2\",\"percent\":\"10\"}]", &now, "percent of v2");
    refused("[{\"version\":\"v2\",\"percent\":60},{\"version\":\"v3\",\"percent\":60}]", &now, "more than 100");
    refused("[{\"version\":\"v2\"},{\"version\":\"v3\"}]", &now, "both have no percent");
    refused("[{\"version\":\"v2\",\"percent\":1},{\"version\":\"v2\",\"percent\":1}]", &now, "twice");
    refused("[{\"version\":\"v1\",\"percent\":60}]", &now, "less than 100");
    refused("[{\"version\":\"v1\",\"percent\":60}]", NULL, "less than 100");
    refused("[{\"version\":\"a\"},{\"version\":\"b\"},{\"version\":\"c\"},{\"version\":\"d\"},{\"version\":\"e\"},{\"version\":\"f\"},{\"version\":\"g\"},{\"version\":\"h\"},{\"version\":\"i\"}]",
            &now, "at most");
}

static unsigned place(const char *key, unsigned i)
{
    char text[64];
    nx_event e = {.partition_key = nx_slice_make(text, (size_t)snprintf(text, sizeof text, "%s%u", key, i))};
    return nx_core_split_place(NX_SLICE("welcome"), &e);
}

/* Known places: other nodes, other machines and later releases have to say the same. `printf welcome/user-1 | sha256sum`, first 16 digits, modulo 10,000. */
static void test_split_place_is_the_documented_one(void **state)
{
    (void)state;
    nx_event keyed = {.partition_key = NX_SLICE("user-1")}, plain = {.event_id = {"01ARZ3NDEKTSV4RRFFQ69G5FAV"}};
    assert_int_equal(nx_core_split_place(NX_SLICE("welcome"), &keyed), 1103);
    assert_int_equal(nx_core_split_place(NX_SLICE("welcome"), &plain), 3212);
    assert_int_not_equal(nx_core_split_place(NX_SLICE("other"), &keyed), 1103);
    keyed.event_id = plain.event_id; /* the key alone decides */
    assert_int_equal(nx_core_split_place(NX_SLICE("welcome"), &keyed), 1103);
}

static void test_split_weights_are_kept_and_growing_moves_nobody_back(void **state)
{
    (void)state;
    nx_core_split s[3];
    const char *steps[] = {"[{\"version\":\"v2\",\"percent\":10},{\"version\":\"v1\"}]", "[{\"version\":\"v2\",\"percent\":50},{\"version\":\"v1\"}]", "[{\"version\":\"v2\"}]"};
    unsigned counts[3] = {0};
    for (unsigned k = 0; k < 3; k++)
        assert_int_equal(parse(steps[k], NULL, &s[k], NULL), NX_OK);
    for (unsigned i = 0; i < 20000; i++) {
        bool was_new = false;
        for (unsigned k = 0; k < 3; k++) {
            bool is_new = strcmp(s[k].v[nx_core_split_at(&s[k], place("key-", i))].version, "v2") == 0;
            assert_true(is_new || !was_new);
            was_new = is_new;
            counts[k] += is_new;
        }
    }
    assert_in_range(counts[0], 1800, 2200);
    assert_in_range(counts[1], 9600, 10400);
    assert_int_equal(counts[2], 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split_shares_add_up_newest_first),
        cmocka_unit_test(test_split_rest_stays_where_most_is),
        cmocka_unit_test(test_split_refuses_what_means_nothing),
        cmocka_unit_test(test_split_place_is_the_documented_one),
        cmocka_unit_test(test_split_weights_are_kept_and_growing_moves_nobody_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
