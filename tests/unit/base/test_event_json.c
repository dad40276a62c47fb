/* Structured CloudEvents: what is accepted, what is refused, and that data keeps its bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nx/event.h"

#define BASE "\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/s\",\"type\":\"t\""

static nx_err read_event(const char *json, nx_arena *a, nx_event *e, nx_error *err)
{
    memset(e, 0, sizeof *e);
    return nx_event_from_json(nx_slice_cstr(json), a, e, err);
}

/* The specification's first example (JSON format 1.0.2, 3.2), with a number no double holds and odd white space in data. */
static void test_event_json_specification_example(void **state)
{
    (void)state;
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(1u << 16);
    nx_event e = {.ns = NX_SLICE("default"), .wall_ns = 77, .event_id = nx_raw_id(5)};
    nx_error err = NX_ERROR_INIT;
    nx_slice json = NX_SLICE("{ \"specversion\" : \"1.0\", \"type\" : \"com.example.someevent\", \"source\" : \"/mycontext\", \"subject\": null,\n"
                             " \"id\" : \"C234-1234-1234\", \"time\" : \"2018-04-05T17:31:00Z\", \"comexampleextension1\" : \"value\", \"comexampleothervalue\" : 5,\n"
                             " \"isgood\": true, \"unsetextension\": null, \"datacontenttype\" : \"application/vnd.x+json\", \"partitionkey\":\"pk\",\n"
                             " \"data\" :  { \"n\" : 123456789012345678901234567890.10 ,\t\"a\":\"\\u0041\", \"a\":1e999 }  }");
    assert_int_equal(nx_event_from_json(json, &a, &e, &err), NX_OK);
    assert_true(nx_slice_eq_cstr(e.data, "{ \"n\" : 123456789012345678901234567890.10 ,\t\"a\":\"\\u0041\", \"a\":1e999 }"));
    assert_true(nx_slice_eq_cstr(e.id, "C234-1234-1234") && nx_slice_eq_cstr(e.type, "com.example.someevent") && nx_slice_eq_cstr(e.source, "/mycontext"));
    assert_int_equal(e.subject.n, 0);
    assert_true(nx_slice_eq_cstr(e.partition_key, "pk"));
    assert_int_equal(e.n_ext, 3);
    assert_true(nx_slice_eq_cstr(e.ext[1].key, "comexampleothervalue") && nx_slice_eq_cstr(e.ext[1].value, "5"));
    assert_true(nx_slice_eq_cstr(e.ext[2].value, "true"));
    assert_true(nx_slice_eq_cstr(e.ns, "default") && e.wall_ns == 77 && nx_id_is_raw(&e.event_id, NULL)); /* the node's own stay */
    assert_int_equal(e.trace.trace_id[0], 0);
}

static void test_event_json_refuses(void **state)
{
    (void)state;
    static const struct {
        const char *json, *word; /* word: has to be in the message */
        nx_err err;
    } cases[] = {
        {"", "object", NX_EPARSE},
        {"[]", "object", NX_EPARSE},
        {"{", "JSON", NX_EPARSE},
        {"{" BASE "} x", "JSON", NX_EPARSE},
        {"{" BASE ",}", "JSON", NX_EPARSE},
        {"{\"id\":\"1\",\"source\":\"/s\",\"type\":\"t\"}", "specversion", NX_EINVAL},
        {"{\"specversion\":\"0.3\",\"id\":\"1\",\"source\":\"/s\",\"type\":\"t\"}", "specversion", NX_EINVAL},
        {"{\"specversion\":1.0,\"id\":\"1\",\"source\":\"/s\",\"type\":\"t\"}", "specversion", NX_EINVAL},
        {"{\"specversion\":\"1.0\",\"source\":\"/s\",\"type\":\"t\"}", "id", NX_EINVAL},
        {"{\"specversion\":\"1.0\",\"id\":\"\",\"source\":\"/s\",\"type\":\"t\"}", "id", NX_EINVAL},
        {"{\"specversion\":\"1.0\",\"id\":null,\"source\":\"/s\",\"type\":\"t\"}", "id", NX_EINVAL},
        {"{\"specversion\":\"1.0\",\"id\":5,\"source\":\"/s\",\"type\":\"t\"}", "id", NX_EINVAL},
        {"{" BASE ",\"subject\":\"\"}", "subject", NX_EINVAL},
        {"{" BASE ",\"id\":\"2\"}", "twice", NX_EINVAL},
        {"{" BASE ",\"\\u0069d\":\"2\"}", "twice", NX_EINVAL},
        {"{" BASE ",\"Upper\":\"x\"}", "extension", NX_EINVAL},
        {"{" BASE ",\"x\":{}}", "x", NX_EINVAL},
        {"{" BASE ",\"x\":[1]}", "x", NX_EINVAL},
        {"{" BASE ",\"x\":1.5}", "x", NX_EINVAL},
        {"{" BASE ",\"x\":2147483648}", "x", NX_EINVAL},
        {"{" BASE ",\"x\":1e2}", "x", NX_EINVAL},
        {"{" BASE ",\"x\":\"a\\u0000b\"}", "x", NX_EINVAL},
        {"{" BASE ",\"x\":\"\\ud800\"}", "surrogate", NX_EPARSE},
        {"{" BASE ",\"data\":1,\"data_base64\":\"AA==\"}", "exclude", NX_EINVAL},
        {"{" BASE ",\"data_base64\":\"A\"}", "base64", NX_EINVAL},
        {"{" BASE ",\"data_base64\":5}", "data_base64", NX_EINVAL},
        {"{" BASE ",\"time\":\"now\"}", "time", NX_EINVAL},
        {"{" BASE ",\"datacontenttype\":5}", "datacontenttype", NX_EINVAL},
        {"{" BASE ",\"data\":tru}", "JSON", NX_EPARSE},
        {"{" BASE ",\"data\":1,\"data\":2}", "twice", NX_EINVAL},
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
        NX_CLEANUP(nx_arena_done)
        nx_arena a = NX_ARENA_INIT(1u << 16);
        nx_event e;
        nx_error err = NX_ERROR_INIT;
        if (read_event(cases[i].json, &a, &e, &err) != cases[i].err || !strstr(err.msg, cases[i].word)) fail_msg("%s: %s", cases[i].json, err.msg);
        assert_int_equal(e.id.n, 0); /* nothing is set on failure */
    }
    nx_event e;
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(1u << 16);
    assert_int_equal(read_event("{" BASE ",\"x\":-2147483648,\"y\":2147483647,\"data\":null}", &a, &e, NULL), NX_OK);
    assert_true(nx_slice_eq_cstr(e.data, "null"));
    NX_CLEANUP(nx_arena_done)
    nx_arena tiny = NX_ARENA_INIT(64);
    assert_int_equal(read_event("{" BASE ",\"data\":\"0123456789012345678901234567890123456789\"}", &tiny, &e, NULL), NX_ELIMIT);
}

static void test_event_json_many_attributes(void **state)
{
    (void)state;
    char json[4096];
    for (unsigned n = NX_EVENT_EXT_MAX; n <= NX_EVENT_EXT_MAX + 30; n++) {
        size_t len = (size_t)sprintf(json, "{" BASE);
        for (unsigned i = 0; i < n; i++) len += (size_t)sprintf(json + len, ",\"x%u\":\"\"", i);
        sprintf(json + len, "}");
        NX_CLEANUP(nx_arena_done)
        nx_arena a = NX_ARENA_INIT(1u << 16);
        nx_event e;
        assert_int_equal(read_event(json, &a, &e, NULL), n <= NX_EVENT_EXT_MAX ? NX_OK : NX_ELIMIT);
    }
}

static void test_event_json_data_forms(void **state)
{
    (void)state;
    static const struct {
        const char *json, *data;
        bool is_base64;
    } cases[] = {
        {"{" BASE "}", "", false},
        {"{" BASE ",\"data\":\"x\"}", "\"x\"", false}, /* no content type: JSON, so the quotes belong to the data */
        {"{" BASE ",\"datacontenttype\":\"text/plain\",\"data\":\"a\\nb\\u20ac\"}", "a\nb\xE2\x82\xAC", false},
        {"{" BASE ",\"datacontenttype\":\"application/json\",\"data\":\"a\\nb\"}", "\"a\\nb\"", false},
        {"{" BASE ",\"datacontenttype\":\"application/xml\",\"data\":{\"a\":1}}", "{\"a\":1}", false},
        {"{" BASE ",\"datacontenttype\":\"image/png\",\"data_base64\":\"aGk=\"}", "hi", true},
        {"{" BASE ",\"data_base64\":\"\"}", "", true},
        {"{" BASE ",\"data_base64\":null,\"data\":1}", "1", false},
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
        NX_CLEANUP(nx_arena_done)
        nx_arena a = NX_ARENA_INIT(1u << 16);
        nx_event e;
        if (read_event(cases[i].json, &a, &e, NULL) != NX_OK || !nx_slice_eq_cstr(e.data, cases[i].data) || e.data_is_base64 != cases[i].is_base64)
            fail_msg("%s", cases[i].json);
    }
}

static void test_event_json_trace(void **state)
{
    (void)state;
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(1u << 16);
    nx_event e;
    assert_int_equal(read_event("{" BASE ",\"traceparent\":\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\",\"tracestate\":\"a=1\",\"nexuseventid\":\"x\"}", &a, &e, NULL), NX_OK);
    assert_string_equal(e.trace.trace_id, "0af7651916cd43dd8448eb211c80319c");
    assert_true(nx_slice_eq_cstr(e.tracestate, "a=1"));
    assert_int_equal(e.n_ext, 0);
    assert_int_equal(read_event("{" BASE ",\"traceparent\":\"junk\",\"tracestate\":\"a=1\"}", &a, &e, NULL), NX_OK);
    assert_int_equal(e.trace.trace_id[0], 0);
    assert_int_equal(e.tracestate.n, 0);
    assert_int_equal(read_event("{" BASE ",\"traceparent\":\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\",\"tracestate\":\"A=1\"}", &a, &e, NULL), NX_OK);
    assert_int_equal(e.tracestate.n, 0); /* a bad tracestate is dropped, the trace goes on (W3C 3.3.1.1) */
}

static void test_event_to_json_form(void **state)
{
    (void)state;
    nx_event e = {.id = NX_SLICE("a\"b"), .source = NX_SLICE("/s"), .type = NX_SLICE("t"), .subject = NX_SLICE("u"), .time = NX_SLICE("2018-04-05T17:31:00Z"), .content_type = NX_SLICE("application/json"), .dataschema = NX_SLICE("x:y"), .partition_key = NX_SLICE("p"), .tracestate = NX_SLICE("a=1"), .data = NX_SLICE("{\"n\": 1.0}"), .event_id = nx_raw_id(3)};
    e.ext[e.n_ext++] = (nx_kv){NX_SLICE("ext"), NX_SLICE("v")};
    strcpy(e.trace.trace_id, "0af7651916cd43dd8448eb211c80319c");
    strcpy(e.trace.span_id, "b7ad6b7169203331");
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(4096);
    assert_int_equal(nx_event_to_json(&e, &b), NX_OK);
    assert_string_equal(nx_buf_cstr(&b),
                        "{\"specversion\":\"1.0\",\"id\":\"a\\\"b\",\"source\":\"/s\",\"type\":\"t\",\"subject\":\"u\",\"time\":\"2018-04-05T17:31:00Z\","
                        "\"datacontenttype\":\"application/json\",\"dataschema\":\"x:y\",\"partitionkey\":\"p\",\"ext\":\"v\","
                        "\"traceparent\":\"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00\",\"tracestate\":\"a=1\","
                        "\"nexuseventid\":\"R0000000000000000000000003\",\"data\":{\"n\": 1.0}}");
    nx_buf tiny = NX_BUF_INIT(100);
    assert_int_equal(nx_event_to_json(&e, &tiny), NX_ELIMIT);
    assert_int_equal(tiny.n, 0);
    nx_buf_done(&tiny);
}

/* Whatever the bytes and the content type: writing and reading gives the same data. */
static void test_event_json_data_round_trips(void **state)
{
    (void)state;
    static const nx_slice types[] = {{"", 0}, {"application/json", 16}, {"text/plain", 10}, {"application/octet-stream", 24}, {"x/y+json", 8}};
    static const nx_slice bodies[] = {{"", 0}, {"{\"a\":1}", 7}, {"not json", 8}, {"\"quoted\"", 8}, {"\xff\xfe\x00\x01", 4}, {"a\0b", 3}, {"\xE2\x82\xAC", 3}, {"123", 3}, {"{\"a\":", 5}, {"null", 4}};
    for (size_t t = 0; t < NX_ARRAY_LEN(types); t++)
        for (size_t d = 0; d < NX_ARRAY_LEN(bodies); d++)
            for (int base64 = 0; base64 < 2; base64++) {
                nx_event e = {.id = NX_SLICE("1"), .source = NX_SLICE("/s"), .type = NX_SLICE("t"), .content_type = types[t], .data = bodies[d], .data_is_base64 = base64};
                NX_CLEANUP(nx_buf_done)
                nx_buf b = NX_BUF_INIT(4096);
                NX_CLEANUP(nx_arena_done)
                nx_arena a = NX_ARENA_INIT(1u << 16);
                nx_event back = {.wall_ns = 0};
                assert_int_equal(nx_event_to_json(&e, &b), NX_OK);
                assert_int_equal(nx_event_from_json(nx_buf_view(&b), &a, &back, NULL), NX_OK);
                if (!nx_slice_eq(back.data, bodies[d])) fail_msg("%s: %s", types[t].p, nx_buf_cstr(&b));
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_event_json_specification_example),
        cmocka_unit_test(test_event_json_refuses),
        cmocka_unit_test(test_event_json_many_attributes),
        cmocka_unit_test(test_event_json_data_forms),
        cmocka_unit_test(test_event_json_trace),
        cmocka_unit_test(test_event_to_json_form),
        cmocka_unit_test(test_event_json_data_round_trips),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
