/* What the registry holds of an alias, and which names one can have. */
#include "alias.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_alias_names(void **state)
{
    (void)state;
    const char *good[] = {"live", "canary", "next-2", "v", "vx", "a234567890123456789012345678901"}, *bad[] = {"", "v1", "v12", "dev-1a2b", "recorded", "Live", "2nd", "a.b", "a_b", "a23456789012345678901234567890123"};
    for (size_t i = 0; i < NX_ARRAY_LEN(good); i++)
        assert_int_equal(nx_core_alias_check(nx_slice_cstr(good[i]), NULL), NX_OK);
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++)
        if (nx_core_alias_check(nx_slice_cstr(bad[i]), NULL) != NX_EINVAL)
            fail_msg("\"%s\" is taken", bad[i]);
}

static void test_alias_keys_are_told_from_versions(void **state)
{
    (void)state;
    nx_slice function, alias;
    assert_true(nx_core_alias_key_parse(NX_SLICE("fn.welcome.live"), &function, &alias));
    assert_true(nx_slice_eq_cstr(function, "welcome") && nx_slice_eq_cstr(alias, "live"));
    assert_true(nx_core_alias_key_parse(NX_SLICE("fn.live.alias.next"), &function, &alias));
    assert_true(nx_slice_eq_cstr(function, "live") && nx_slice_eq_cstr(alias, "next"));
    const char *others[] = {"fn.welcome.v1", "fn.welcome.v12", "fn.welcome.alias.", "fn.welcome", "pause.live", "fn.live.v3", "job.x.live"};
    for (size_t i = 0; i < NX_ARRAY_LEN(others); i++)
        assert_false(nx_core_alias_key_parse(nx_slice_cstr(others[i]), &function, &alias));
}

static void test_alias_record_of_earlier_nodes_is_one_version(void **state)
{
    (void)state;
    nx_core_alias a;
    assert_int_equal(nx_core_alias_parse(NX_SLICE("v12"), &a), NX_OK);
    assert_int_equal(a.split.n, 1);
    assert_string_equal(a.split.v[0].version, "v12");
    assert_int_equal(a.n_before, 0);
}

static void test_alias_record_holds_what_it_was(void **state)
{
    (void)state;
    nx_core_alias a;
    assert_int_equal(nx_core_alias_parse(NX_SLICE("{\"traffic\":[{\"version\":\"v2\",\"percent\":12.5},{\"version\":\"v1\",\"percent\":87.5}],\"changed_at\":\"2026-01-01T00:00:00.000Z\","
                                                  "\"before\":[[{\"version\":\"v1\",\"percent\":100}]]}"),
                                         &a),
                     NX_OK);
    assert_int_equal(a.split.n, 2);
    assert_int_equal(a.split.v[0].share, 1250);
    assert_int_equal(a.n_before, 1);
    assert_string_equal(a.before[0].v[0].version, "v1");
    assert_string_equal(a.changed_at, "2026-01-01T00:00:00.000Z");
    const char *damaged[] = {"", "v", "live", "{}", "{\"traffic\":[]}", "{\"traffic\":[{\"version\":\"v1\",\"percent\":50}]}", "{\"traffic\":[{\"version\":\"v1\",\"percent\":100}],\"before\":[3]}"};
    for (size_t i = 0; i < NX_ARRAY_LEN(damaged); i++)
        if (nx_core_alias_parse(nx_slice_cstr(damaged[i]), &a) != NX_ECORRUPT)
            fail_msg("%s is taken", damaged[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_alias_names),
        cmocka_unit_test(test_alias_keys_are_told_from_versions),
        cmocka_unit_test(test_alias_record_of_earlier_nodes_is_one_version),
        cmocka_unit_test(test_alias_record_holds_what_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
