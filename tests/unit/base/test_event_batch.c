/* A batch: several events as one, and what stands on a function's stdin. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "nx/event_batch.h"

static nx_event event(const char *data, const char *content_type)
{
    return (nx_event){.id = NX_SLICE("1"), .source = NX_SLICE("/s"), .type = NX_SLICE("t"), .data = nx_slice_cstr(data), .content_type = nx_slice_cstr(content_type)};
}

static void test_batch_of_data(void **state)
{
    (void)state;
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(4096);
    nx_event v[] = {
        event("{\"n\": 1e400}", "application/json"),
        event("[1]", ""),
        event("two \"words\"", "text/plain"),
        event("{\"n\"", "application/json"),
        event("\xff", "application/octet-stream"),
        event("", ""),
        event("plain", ""),
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(v); i++)
        assert_int_equal(nx_event_batch_append(&v[i], false, &b), NX_OK);
    assert_int_equal(nx_event_batch_end(&b), NX_OK);
    assert_true(nx_slice_eq_cstr(nx_buf_view(&b), "[{\"n\": 1e400},[1],\"two \\\"words\\\"\",{\"data_base64\":\"eyJuIg==\"},{\"data_base64\":\"/w==\"},null,\"plain\"]"));
}

static void test_batch_over_its_cap_is_as_it_was(void **state)
{
    (void)state;
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(16);
    nx_event small = event("123456", ""), large = event("1234567890123456789", "");
    assert_int_equal(nx_event_batch_append(&small, false, &b), NX_OK);
    assert_int_equal(nx_event_batch_append(&large, false, &b), NX_ELIMIT);
    assert_int_equal(nx_event_batch_end(&b), NX_OK);
    assert_true(nx_slice_eq_cstr(nx_buf_view(&b), "[123456]"));
}

static void expect_input(const nx_event *e, bool as_cloudevents, bool takes_batches, const char *text)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(4096);
    nx_slice input;
    assert_int_equal(nx_event_input(e, as_cloudevents, takes_batches, &b, &input), NX_OK);
    assert_true(nx_slice_eq_cstr(input, text));
}

static void test_input_of_a_function(void **state)
{
    (void)state;
    nx_event e = event("{}", "application/json");
    expect_input(&e, false, false, "{}");
    expect_input(&e, true, false, "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/s\",\"type\":\"t\",\"datacontenttype\":\"application/json\",\"data\":{}}");
    expect_input(&e, false, true, "[{}]");
    expect_input(&e, true, true, "[{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"/s\",\"type\":\"t\",\"datacontenttype\":\"application/json\",\"data\":{}}]");
    nx_event batch = event("[1,2]", "application/json");
    batch.ext[batch.n_ext++] = (nx_kv){NX_SLICE(NX_EVENT_BATCH_EXT), NX_SLICE("01KAZV1HZ30000000000000000,01KAZV1HZ30000000000000001")};
    expect_input(&batch, false, true, "[1,2]");
    expect_input(&batch, true, true, "[1,2]");
    expect_input(&batch, false, false, "[1,2]"); /* of a function that takes none any more */
}

static void test_ids_of_a_batch(void **state)
{
    (void)state;
    nx_slice ids = NX_SLICE("01KAZV1HZ30000000000000000,01KAZV1HZ30000000000000001,nonsense,01KAZV1HZ30000000000000001");
    nx_id id;
    assert_true(nx_event_batch_next(&ids, &id));
    assert_string_equal(id.s, "01KAZV1HZ30000000000000000");
    assert_true(nx_event_batch_next(&ids, &id));
    assert_false(nx_event_batch_next(&ids, &id));
    ids = NX_SLICE_NULL;
    assert_false(nx_event_batch_next(&ids, &id));
    assert_true(NX_EVENT_BATCH_IDS_BYTES <= NX_EVENT_ATTR_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch_of_data),
        cmocka_unit_test(test_batch_over_its_cap_is_as_it_was),
        cmocka_unit_test(test_input_of_a_function),
        cmocka_unit_test(test_ids_of_a_batch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
