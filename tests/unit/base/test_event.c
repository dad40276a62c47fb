/* Events: validity, copies, header values, type patterns. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nx/event.h"

static nx_event minimal(void)
{
    return (nx_event){.id = NX_SLICE("1"), .source = NX_SLICE("/s"), .type = NX_SLICE("t")};
}

static void test_event_validate_attributes(void **state)
{
    (void)state;
    static const struct {
        const char *attribute, *value;
        nx_err err;
    } cases[] = {
        {"source", "", NX_EINVAL},
        {"type", "", NX_EINVAL},
        {"id", "", NX_EINVAL},
        {"source", "https://github.com/cloudevents", NX_OK},
        {"source", "urn:uuid:6e8bc430", NX_OK},
        {"source", "1-555-123-4567", NX_OK},
        {"source", "/a b", NX_EINVAL},
        {"source", "/caf\xC3\xA9", NX_EINVAL},
        {"source", "/caf%C3%A9", NX_OK},
        {"source", "/%zz", NX_EINVAL},
        {"source", "/%4", NX_EINVAL},
        {"source", "a\"b", NX_EINVAL},
        {"type", "com.example.\xE2\x82\xAC", NX_OK},
        {"type", "a\x01", NX_EINVAL},
        {"type", "a\x7f", NX_EINVAL},
        {"type", "a\xC2\x80", NX_EINVAL},
        {"type", "a\xC2\xA0", NX_OK},
        {"type", "a\xff", NX_EINVAL},
        {"id", "\xEF\xBF\xBE", NX_EINVAL},
        {"id", "\xEF\xB7\x90", NX_EINVAL},
        {"id", "\xEF\xBF\xBD", NX_OK},
        {"id", "\xF0\x9F\xBF\xBF", NX_EINVAL},
        {"id", "\xF0\x9F\x98\x80", NX_OK},
        {"id", "\xED\xA0\x80", NX_EINVAL},
        {"time", "2018-04-05T17:31:00Z", NX_OK},
        {"time", "0001-01-01T00:00:00Z", NX_OK},
        {"time", "yesterday", NX_EINVAL},
        {"time", "2018-04-05", NX_EINVAL},
        {"subject", "a/b c", NX_OK},
        {"subject", "a\nb", NX_EINVAL},
        {"datacontenttype", "application/json; charset=utf-8", NX_OK},
        {"datacontenttype", "text", NX_EINVAL},
        {"datacontenttype", "a b/c", NX_EINVAL},
        {"datacontenttype", "/json", NX_EINVAL},
        {"dataschema", "https://x/y#z", NX_OK},
        {"dataschema", "/relative", NX_EINVAL},
        {"dataschema", "1x:y", NX_EINVAL},
        {"tracestate", "a=1", NX_OK},
        {"tracestate", "A=1", NX_EINVAL},
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
        nx_event e = minimal();
        nx_error err = NX_ERROR_INIT;
        const struct {
            const char *name;
            nx_slice *to;
        } all[] = {{"id", &e.id}, {"source", &e.source}, {"type", &e.type}, {"subject", &e.subject}, {"time", &e.time}, {"datacontenttype", &e.content_type}, {"dataschema", &e.dataschema}, {"tracestate", &e.tracestate}};
        for (size_t k = 0; k < NX_ARRAY_LEN(all); k++)
            if (strcmp(all[k].name, cases[i].attribute) == 0) *all[k].to = nx_slice_cstr(cases[i].value);
        if (nx_event_validate(&e, &err) != cases[i].err) fail_msg("%s = %s: %s", cases[i].attribute, cases[i].value, err.msg);
        if (cases[i].err) assert_non_null(strstr(err.msg, cases[i].attribute)); /* the message names the culprit */
    }
}

static void test_event_validate_sizes_and_extensions(void **state)
{
    (void)state;
    char big[NX_EVENT_ATTR_BYTES + 1];
    memset(big, 'a', sizeof big);
    nx_event e = minimal();
    e.type = nx_slice_make(big, NX_EVENT_TYPE_BYTES);
    assert_int_equal(nx_event_validate(&e, NULL), NX_OK);
    e.type.n++;
    assert_int_equal(nx_event_validate(&e, NULL), NX_ELIMIT);
    e = minimal();
    e.subject = nx_slice_make(big, sizeof big);
    assert_int_equal(nx_event_validate(&e, NULL), NX_ELIMIT);
    static const char *const names[] = {"good1", "", "Bad", "with-dash", "with_underscore", "id", "data", "\xC3\xA9"};
    for (size_t i = 0; i < NX_ARRAY_LEN(names); i++) {
        e = minimal();
        e.ext[e.n_ext++] = (nx_kv){nx_slice_cstr(names[i]), NX_SLICE("v")};
        assert_int_equal(nx_event_validate(&e, NULL), i == 0 ? NX_OK : NX_EINVAL);
    }
    e = minimal();
    e.ext[0] = e.ext[1] = (nx_kv){NX_SLICE("x"), NX_SLICE("v")};
    e.n_ext = 2;
    assert_int_equal(nx_event_validate(&e, NULL), NX_EINVAL);
    e.n_ext = NX_EVENT_EXT_MAX + 1;
    assert_int_equal(nx_event_validate(&e, NULL), NX_ELIMIT);
}

static void test_event_dup_is_independent(void **state)
{
    (void)state;
    char type[] = "user.created", data[] = "hello", key[] = "k", value[] = "v";
    nx_event e = minimal(), copy;
    e.type = nx_slice_cstr(type);
    e.data = nx_slice_cstr(data);
    e.ext[e.n_ext++] = (nx_kv){nx_slice_cstr(key), nx_slice_cstr(value)};
    e.wall_ns = 5;
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(4096);
    assert_int_equal(nx_event_dup(&e, &a, &copy), NX_OK);
    type[0] = data[0] = key[0] = value[0] = '#';
    assert_true(nx_slice_eq_cstr(copy.type, "user.created") && nx_slice_eq_cstr(copy.data, "hello"));
    assert_true(nx_slice_eq_cstr(copy.ext[0].key, "k") && nx_slice_eq_cstr(copy.ext[0].value, "v"));
    assert_int_equal(copy.wall_ns, 5);
    NX_CLEANUP(nx_arena_done)
    nx_arena tiny = NX_ARENA_INIT(32);
    assert_int_equal(nx_event_dup(&e, &tiny, &copy), NX_ENOMEM);
}

static void test_event_content_type_is_json(void **state)
{
    (void)state;
    static const char *const yes[] = {"application/json", "Application/JSON; charset=utf-8", "text/json", "application/cloudevents+json", "image/svg+JSON", "application/json ;x"};
    static const char *const no[] = {"", "application/jsonx", "application/x-json", "text/plain", "json", "audio/json", "application/+json", "a/b;c=+json"};
    for (size_t i = 0; i < NX_ARRAY_LEN(yes); i++)
        if (!nx_content_type_is_json(nx_slice_cstr(yes[i]))) fail_msg("%s", yes[i]);
    for (size_t i = 0; i < NX_ARRAY_LEN(no); i++)
        if (nx_content_type_is_json(nx_slice_cstr(no[i]))) fail_msg("%s", no[i]);
}

static void test_event_header_values(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        /* the specification's own example first */
        {"Euro \xE2\x82\xAC \xF0\x9F\x98\x80", "Euro%20%E2%82%AC%20%F0%9F%98%80"},
        {"100%", "100%25"},
        {"a\"b", "a%22b"},
        {"plain/x?y=z", "plain/x?y=z"},
        {"", ""},
        {"a\nb\x7f", "a%0Ab%7F"},
    };
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(1u << 16);
    for (size_t i = 0; i < NX_ARRAY_LEN(pairs); i++) {
        NX_CLEANUP(nx_buf_done)
        nx_buf b = NX_BUF_INIT(256);
        nx_slice back;
        assert_int_equal(nx_event_header_encode(nx_slice_cstr(pairs[i][0]), &b), NX_OK);
        assert_true(nx_slice_eq_cstr(nx_buf_view(&b), pairs[i][1]));
        assert_int_equal(nx_event_header_decode(nx_buf_view(&b), &a, &back), NX_OK);
        assert_true(nx_slice_eq_cstr(back, pairs[i][0]));
    }
    static const char *const lenient[][2] = {{"a%c3%a9", "a\xC3\xA9"}, {"\"a \\\"b\\\\ c\"", "a \"b\\ c"}, {"  x ", "x"}, {"\"", "\""}, {"a b", "a b"}, {"back\\slash", "back\\slash"}};
    for (size_t i = 0; i < NX_ARRAY_LEN(lenient); i++) {
        nx_slice back;
        assert_int_equal(nx_event_header_decode(nx_slice_cstr(lenient[i][0]), &a, &back), NX_OK);
        assert_true(nx_slice_eq_cstr(back, lenient[i][1]));
    }
    static const char *const bad[] = {"%", "%2", "%zz", "a%f", "%ff", "%ED%A0%80", "\xff"};
    nx_slice back;
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++) assert_int_equal(nx_event_header_decode(nx_slice_cstr(bad[i]), &a, &back), NX_EPARSE);
    nx_buf tiny = NX_BUF_INIT(4);
    assert_int_equal(nx_event_header_encode(NX_SLICE("abc d"), &tiny), NX_ELIMIT);
    assert_int_equal(tiny.n, 0);
    nx_buf_done(&tiny);
}

static void test_event_type_patterns(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *type;
        bool matches;
    } cases[] = {
        {"user.created", "user.created", true},
        {"user.created", "user.created.x", false},
        {"user.*", "user.created", true},
        {"user.*", "user", false},
        {"user.*", "user.a.b", false},
        {"*.created", "user.created", true},
        {"*", "x", true},
        {"*", "x.y", false},
        {"user.>", "user.a.b", true},
        {"user.>", "user", false},
        {"user.**", "user.a", true},
        {">", "anything.at.all", true},
        {"**", "x", true},
        {"a.*.c", "a.b.c", true},
        {"a.*.c", "a.b.d", false},
        {"a.*.c.>", "a.b.c", false},
        {"a.*.c.>", "a.b.c.d.e", true},
        {"a.b", "a.*", false},
        {"a>", "a>", true},
        {"x", "", false},
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++)
        if (nx_event_type_matches(nx_slice_cstr(cases[i].pattern), nx_slice_cstr(cases[i].type)) != cases[i].matches)
            fail_msg("%s against %s", cases[i].pattern, cases[i].type);
    static const char *const good[] = {"a", "a.b", "*", ">", "a.*.b.**", "com.github.push"};
    static const char *const bad[] = {"", "a.>.b", "**.a", "a*", "a.b*c", "a>", "x.>>", "a\n"};
    for (size_t i = 0; i < NX_ARRAY_LEN(good); i++)
        if (nx_event_type_pattern_check(nx_slice_cstr(good[i]), NULL) != NX_OK) fail_msg("%s", good[i]);
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++)
        if (nx_event_type_pattern_check(nx_slice_cstr(bad[i]), NULL) != NX_EINVAL) fail_msg("%s", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_event_validate_attributes),
        cmocka_unit_test(test_event_validate_sizes_and_extensions),
        cmocka_unit_test(test_event_dup_is_independent),
        cmocka_unit_test(test_event_content_type_is_json),
        cmocka_unit_test(test_event_header_values),
        cmocka_unit_test(test_event_type_patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
