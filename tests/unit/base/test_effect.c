/* Names, statuses and digests of host calls and emitted events. */
#include "nx/effect.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void test_effect_request_digest_separates_name_and_request(void **state)
{
    (void)state;
    nx_sha256 a = nx_effect_request_digest(NX_SLICE("kv.get"), NX_SLICE("default/x")), b = nx_sha256_of(NX_SLICE("kv.get\0default/x"));
    assert_memory_equal(&a, &b, sizeof a);
    b = nx_effect_request_digest(NX_SLICE("kv.getd"), NX_SLICE("efault/x"));
    assert_memory_not_equal(&a, &b, sizeof a);
}

static void test_emit_digest_tells_every_part(void **state)
{
    (void)state;
    nx_emit e = {NX_SLICE("t"), NX_SLICE("s"), NX_SLICE("p"), NX_SLICE("c"), NX_SLICE("d")};
    nx_emit others[] = {e, e, e, e, e, e};
    others[0].type = NX_SLICE("T");
    others[1].subject = NX_SLICE("");
    others[2].partition_key = NX_SLICE("P");
    others[3].content_type = NX_SLICE("C");
    others[4].data = NX_SLICE("D");
    others[5].type = NX_SLICE("ts");
    others[5].subject = NX_SLICE("");
    nx_sha256 a = nx_emit_digest(&e), again = nx_sha256_of(NX_SLICE("t\0s\0p\0c\0d"));
    assert_memory_equal(&a, &again, sizeof a);
    for (size_t i = 0; i < NX_ARRAY_LEN(others); i++) {
        nx_sha256 b = nx_emit_digest(&others[i]);
        assert_memory_not_equal(&a, &b, sizeof a);
    }
}

static void test_effect_status_of_every_error(void **state)
{
    (void)state;
    assert_int_equal(nx_effect_status_of(NX_OK), NX_EFFECT_OK);
    assert_int_equal(nx_effect_status_of(NX_EDENIED), NX_EFFECT_DENIED);
    assert_int_equal(nx_effect_status_of(NX_ENOENT), NX_EFFECT_NOT_FOUND);
    assert_int_equal(nx_effect_status_of(NX_EEXIST), NX_EFFECT_CONFLICT);
    assert_int_equal(nx_effect_status_of(NX_ECONFLICT), NX_EFFECT_CONFLICT);
    assert_int_equal(nx_effect_status_of(NX_EINVAL), NX_EFFECT_INVALID);
    assert_int_equal(nx_effect_status_of(NX_ELIMIT), NX_EFFECT_LIMIT);
    assert_int_equal(nx_effect_status_of(NX_ETIMEOUT), NX_EFFECT_TIMEOUT);
    assert_int_equal(nx_effect_status_of(NX_EUNAVAIL), NX_EFFECT_UNAVAILABLE);
    assert_int_equal(nx_effect_status_of(NX_EBUG), NX_EFFECT_UNAVAILABLE);
    assert_string_equal(nx_effect_status_name(NX_EFFECT_FAULT), "FAULT");
    assert_string_equal(nx_effect_status_name((nx_effect_status)99), "unknown");
    for (int p = NX_EFFECTS_RECORDED; p <= NX_EFFECTS_LIVE; p++) {
        nx_effects_policy back;
        assert_int_equal(nx_effects_policy_parse(nx_slice_cstr(nx_effects_policy_name((nx_effects_policy)p)), &back), NX_OK);
        assert_int_equal(back, p);
    }
    nx_effects_policy back;
    assert_int_equal(nx_effects_policy_parse(NX_SLICE("Live"), &back), NX_EPARSE);
}

static void test_kv_names(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "user/42", "a.b-c_d=E/f", "/x", "-"};
    static const char *const bad[] = {"", ".a", "a.", "a..b", "a b", "a*", "a>", "\xc3\xa9", "a\n"};
    for (size_t i = 0; i < NX_ARRAY_LEN(good); i++) assert_true(nx_kv_key_is_valid(nx_slice_cstr(good[i])));
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++) assert_false(nx_kv_key_is_valid(nx_slice_cstr(bad[i])));
    assert_false(nx_kv_key_is_valid(nx_slice_make("a\0b", 3)));
    char text[NX_KV_KEY_BYTES + 1];
    memset(text, 'k', sizeof text);
    assert_true(nx_kv_key_is_valid(nx_slice_make(text, NX_KV_KEY_BYTES)));
    assert_false(nx_kv_key_is_valid(nx_slice_make(text, NX_KV_KEY_BYTES + 1)));
    assert_true(nx_kv_store_is_valid(NX_SLICE("default")));
    assert_true(nx_kv_store_is_valid(NX_SLICE("a_b-2")));
    assert_false(nx_kv_store_is_valid(NX_SLICE("")));
    assert_false(nx_kv_store_is_valid(NX_SLICE("-a")));
    assert_false(nx_kv_store_is_valid(NX_SLICE("A")));
    assert_false(nx_kv_store_is_valid(NX_SLICE("a.b")));
    assert_false(nx_kv_store_is_valid(nx_slice_make(text, NX_KV_STORE_BYTES + 1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_effect_request_digest_separates_name_and_request),
        cmocka_unit_test(test_emit_digest_tells_every_part),
        cmocka_unit_test(test_effect_status_of_every_error),
        cmocka_unit_test(test_kv_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
