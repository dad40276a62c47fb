/* What a what-if changes of an event and of a recording, and what it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "nx/clock.h"
#include "nx/what_if.h"

#define RECORDED_NS 1764152625000000000ull

typedef struct question {
    nx_arena arena;
    nx_event event;
    nx_run run;
    nx_effect effects[4];
    nx_replay_what_if w;
    nx_replay_how how;
    nx_error e;
} question;

static question *fresh(void **state)
{
    question *q = *state;
    nx_arena_reset(&q->arena);
    q->event = (nx_event){.data = NX_SLICE("{\"total\":12.50,\"items\":[1]}")};
    q->run = (nx_run){.start_wall_ns = RECORDED_NS, .effects = q->effects, .n_effects = 4};
    q->effects[0] = (nx_effect){.name = NX_SLICE("http.request"), .answer = NX_SLICE("200\ncontent-type: text/plain\nx: 1\n\nhello")};
    q->effects[1] = (nx_effect){.name = NX_SLICE("kv.get"), .answer = NX_SLICE("7\nold")};
    q->effects[2] = (nx_effect){.name = NX_SLICE("secret.get"), .answer = NX_SLICE("digest")};
    q->effects[3] = (nx_effect){.name = NX_SLICE("http.request"), .status = NX_EFFECT_TIMEOUT, .answer = NX_SLICE("too late")};
    q->how = (nx_replay_how){.is_what_if = false};
    q->e = (nx_error)NX_ERROR_INIT;
    return q;
}

static int set_up(void **state)
{
    question *q = test_calloc(1, sizeof *q);
    nx_arena_init(&q->arena, 64 << 20);
    *state = q;
    return 0;
}

static int tear_down(void **state)
{
    question *q = *state;
    nx_arena_done(&q->arena);
    test_free(q);
    return 0;
}

static nx_err ask(question *q, const char *request)
{
    nx_json *j = NULL;
    assert_int_equal(nx_json_parse(nx_slice_cstr(request), SIZE_MAX, &j, NULL), NX_OK);
    nx_err err = nx_what_if_from_json(j, &q->arena, &q->w, &q->e);
    nx_json_free(j);
    return err == NX_OK ? nx_what_if_apply(&q->w, &q->event, &q->run, &q->arena, &q->how, &q->e) : err;
}

static void assert_data(void **state, const char *request, const char *becomes)
{
    question *q = fresh(state);
    if (ask(q, request) != NX_OK)
        fail_msg("%s: %s", request, q->e.msg);
    assert_true(q->how.is_what_if);
    if (!nx_slice_eq_cstr(*q->how.data, becomes))
        fail_msg("%s: %.*s", request, NX_SLICE_FMT(*q->how.data));
}

static void assert_refused(void **state, const char *request, const char *says)
{
    question *q = fresh(state);
    nx_err err = ask(q, request);
    assert_true(err == NX_EINVAL || err == NX_EPARSE || err == NX_ELIMIT);
    if (!strstr(q->e.msg, says))
        fail_msg("\"%s\" does not say \"%s\"", q->e.msg, says);
}

static void test_what_if_of_nothing_is_the_recording(void **state)
{
    question *q = fresh(state);
    assert_int_equal(ask(q, "{}"), NX_OK);
    assert_true(nx_what_if_is_empty(&q->w));
    assert_false(q->how.is_what_if);
    assert_null(q->how.data);
}

static void test_what_if_the_data(void **state)
{
    assert_data(state, "{\"set\":[{\"path\":\"data.total\",\"value\":\"0\"}]}", "{\"total\":0,\"items\":[1]}");
    assert_data(state, "{\"set\":[{\"path\":\"data.items[1]\",\"value\":\"{\\\"a\\\":2}\"},{\"path\":\"data.items[1].a\",\"value\":\"12345678901234567890\"}]}",
                "{\"total\":12.50,\"items\":[1,{\"a\":12345678901234567890}]}");
    assert_data(state, "{\"set\":[{\"path\":\"data\",\"value\":\"[]\"}]}", "[]");
    assert_data(state, "{\"data_base64\":\"eyJhIjoxfQ==\"}", "{\"a\":1}");
    assert_data(state, "{\"data_base64\":\"eyJhIjoxfQ==\",\"set\":[{\"path\":\"data.a\",\"value\":\"2\"}]}", "{\"a\":2}");
    assert_data(state, "{\"data_base64\":\"\"}", "");
    assert_data(state, "{\"data_base64\":\"AP8=\",\"set\":[{\"path\":\"data\",\"value\":\"{}\"}]}", "{}");
}

static void test_what_if_the_data_refuses(void **state)
{
    assert_refused(state, "{\"set\":[{\"path\":\"total\",\"value\":\"0\"}]}", "the path begins with data");
    assert_refused(state, "{\"set\":[{\"path\":\"data.total.x\",\"value\":\"0\"}]}", "data.total is not an object");
    assert_refused(state, "{\"set\":[{\"path\":\"data.total\",\"value\":\"1,\\\"x\\\":2\"}]}", "the value is not JSON");
    assert_refused(state, "{\"set\":[{\"path\":\"data.total\",\"value\":\"\"}]}", "the value is not JSON");
    assert_refused(state, "{\"set\":[{\"path\":\"data..x\",\"value\":\"1\"}]}", "expected a name");
    assert_refused(state, "{\"data_base64\":\"AP8=\",\"set\":[{\"path\":\"data.a\",\"value\":\"1\"}]}", "not JSON; other data as a whole comes with --data");
    assert_refused(state, "{\"data_base64\":\"%\"}", "not base64");
}

static void test_what_if_the_time(void **state)
{
    question *q = fresh(state);
    assert_int_equal(ask(q, "{\"at\":\"2028-02-29T00:00:00Z\"}"), NX_OK);
    uint64_t leap_day;
    assert_int_equal(nx_clock_parse_rfc3339(NX_SLICE("2028-02-29T00:00:00Z"), &leap_day), NX_OK);
    assert_true(q->how.start_wall_ns == leap_day && q->how.is_what_if);
    q = fresh(state);
    assert_int_equal(ask(q, "{\"at\":\"+1h\"}"), NX_OK);
    assert_true(q->how.start_wall_ns == RECORDED_NS + 3600 * NX_NS_PER_S);
    q = fresh(state);
    assert_int_equal(ask(q, "{\"at\":\"-1d\"}"), NX_OK);
    assert_true(q->how.start_wall_ns == RECORDED_NS - 86400 * NX_NS_PER_S);
    assert_refused(state, "{\"at\":\"yesterday\"}", "is no time");
    assert_refused(state, "{\"at\":\"+\"}", "is no time");
}

static void assert_answer(void **state, unsigned index, const char *answer, nx_effect_status status, const char *becomes)
{
    question *q = fresh(state);
    char request[512];
    NX_CLEANUP(nx_buf_done)
    nx_buf text = NX_BUF_INIT(512);
    assert_int_equal(nx_json_escape(&text, nx_slice_cstr(answer)), NX_OK);
    snprintf(request, sizeof request, "{\"set_effects\":[{\"index\":%u,\"answer\":%s}]}", index, nx_buf_cstr(&text));
    if (ask(q, request) != NX_OK)
        fail_msg("%s: %s", answer, q->e.msg);
    assert_int_equal(q->how.n_answers, 1);
    assert_int_equal(q->how.answers[0].index, index);
    assert_int_equal(q->how.answers[0].status, status);
    if (becomes && !nx_slice_eq_cstr(q->how.answers[0].answer, becomes))
        fail_msg("%s: %.*s", answer, NX_SLICE_FMT(q->how.answers[0].answer));
}

static void test_what_if_an_answer(void **state)
{
    assert_answer(state, 0, "{\"status\":500}", NX_EFFECT_OK, "500\ncontent-type: text/plain\nx: 1\n\nhello");
    assert_answer(state, 0, "{\"headers\":{\"X\":null,\"Retry-After\":\"3\"}}", NX_EFFECT_OK, "200\ncontent-type: text/plain\nretry-after: 3\n\nhello");
    assert_answer(state, 0, "{\"body\":\"bye\"}", NX_EFFECT_OK, "200\ncontent-type: text/plain\nx: 1\n\nbye");
    assert_answer(state, 0, "{\"body\":{\"n\":1.0}}", NX_EFFECT_OK, "200\ncontent-type: text/plain\nx: 1\n\n{\"n\":1.0}");
    assert_answer(state, 3, "{\"body\":\"in time\"}", NX_EFFECT_OK, "200\n\nin time");
    assert_answer(state, 0, "{\"error\":\"TIMEOUT\"}", NX_EFFECT_TIMEOUT, NULL);
    assert_answer(state, 1, "{\"value\":\"new\"}", NX_EFFECT_OK, "7\nnew");
    assert_answer(state, 1, "{\"value\":[1]}", NX_EFFECT_OK, "7\n[1]");
    assert_answer(state, 1, "{\"value\":null}", NX_EFFECT_NOT_FOUND, NULL);
    assert_answer(state, 2, "{\"error\":\"DENIED\"}", NX_EFFECT_DENIED, NULL);
}

static void test_what_if_an_answer_refuses(void **state)
{
#define EFFECT(index, answer) "{\"set_effects\":[{\"index\":" #index ",\"answer\":\"" answer "\"}]}"
    assert_refused(state, EFFECT(4, "{}"), "there is no effect 4: the run recorded 4");
    assert_refused(state, EFFECT(-1, "{}"), "not a number from 0");
    assert_refused(state, EFFECT(0, "{"), "the answer is not JSON");
    assert_refused(state, EFFECT(0, "500"), "{\"status\", \"headers\", \"body\"}");
    assert_refused(state, EFFECT(0, "{\\\"stat\\\":1}"), "{\"status\", \"headers\", \"body\"}");
    assert_refused(state, EFFECT(0, "{\\\"status\\\":99}"), "from 100 to 599");
    assert_refused(state, EFFECT(0, "{\\\"headers\\\":{\\\"a\\\":\\\"b\\\\nc: d\\\"}}"), "without control characters");
    assert_refused(state, EFFECT(0, "{\\\"headers\\\":[]}"), "object of strings");
    assert_refused(state, EFFECT(0, "{\\\"error\\\":\\\"OOPS\\\"}"), "one of DENIED");
    assert_refused(state, EFFECT(1, "{}"), "{\"value\": …}");
    assert_refused(state, EFFECT(2, "{\\\"value\\\":1}"), "can't be changed");
    assert_refused(state, "{\"set_effects\":[{\"index\":0,\"answer\":\"{}\"},{\"index\":0,\"answer\":\"{}\"}]}", "twice");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_if_of_nothing_is_the_recording),
        cmocka_unit_test(test_what_if_the_data),
        cmocka_unit_test(test_what_if_the_data_refuses),
        cmocka_unit_test(test_what_if_the_time),
        cmocka_unit_test(test_what_if_an_answer),
        cmocka_unit_test(test_what_if_an_answer_refuses),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
