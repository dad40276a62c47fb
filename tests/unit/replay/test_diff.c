/* What is called different, in which words, and which differences are of one shape. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "nx/diff.h"
#include "text_diff.h"

typedef struct pair {
    nx_run before, after;
    nx_emit emits[2][4];
    const bool *knows;
    nx_emitted emitted[2][4];
    nx_effect effects[2][4];
    nx_arena arena;
    nx_diff d;
    nx_buf json;
} pair;

static void set_output(nx_run *r, const char *text)
{
    r->output = nx_slice_cstr(text);
    r->output_bytes = r->output.n;
    r->output_sha256 = nx_sha256_of(r->output);
}

static void set_logs(nx_run *r, const char *text)
{
    r->logs = nx_slice_cstr(text);
    r->logs_bytes = r->logs.n;
    r->logs_sha256 = nx_sha256_of(r->logs);
}

static void set_failure(nx_run *r, nx_run_why why, const char *message)
{
    r->status = why == NX_WHY_DEADLINE ? NX_RUN_TIMEOUT : NX_RUN_ERROR;
    r->why = why;
    r->message = nx_slice_cstr(message);
}

static pair *fresh(void **state)
{
    pair *p = *state;
    nx_arena_reset(&p->arena);
    p->knows = NULL;
    for (int i = 0; i < 2; i++) {
        nx_run *r = i ? &p->after : &p->before;
        *r = (nx_run){.version = i ? NX_SLICE("v7") : NX_SLICE("v6"), .emitted = p->emitted[i], .effects = p->effects[i]};
        set_output(r, "{\"total\":12}");
        set_logs(r, "");
    }
    return p;
}

static int set_up(void **state)
{
    pair *p = test_calloc(1, sizeof *p);
    nx_arena_init(&p->arena, 8 << 20);
    nx_buf_init(&p->json, 1 << 20);
    *state = p;
    return 0;
}

static int tear_down(void **state)
{
    pair *p = *state;
    nx_arena_done(&p->arena);
    nx_buf_done(&p->json);
    test_free(p);
    return 0;
}

static void make(pair *p)
{
    nx_diff_side before = {.run = &p->before, .emits = p->emits[0], .knows = p->knows}, after = {.run = &p->after, .emits = p->emits[1]};
    nx_jw w = NX_JW_INIT(&p->json);
    nx_json *parsed = NULL;
    assert_int_equal(nx_diff_make(&before, &after, &p->arena, &p->d), NX_OK);
    /* Whatever it is, it can be told, in one line. */
    nx_buf_clear(&p->json);
    assert_int_equal(nx_diff_to_json(&p->d, &w), NX_OK);
    assert_int_equal(nx_json_parse(nx_buf_view(&p->json), SIZE_MAX, &parsed, NULL), NX_OK);
    assert_null(memchr(p->json.p, '\n', p->json.n));
    nx_json_free(parsed);
}

/* The lines of the shape, joined by "; ". */
static void assert_shape(pair *p, const char *expected)
{
    char text[4096] = "";
    size_t n = 0;
    make(p);
    for (unsigned i = 0; i < p->d.n_shape; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%.*s", i ? "; " : "", NX_SLICE_FMT(p->d.shape[i]));
    assert_string_equal(text, expected);
    assert_int_equal(p->d.is_same, expected[0] == 0);
}

static void test_diff_of_the_same_is_none(void **state)
{
    pair *p = fresh(state);
    p->after.fuel = 99;
    p->after.memory_bytes = 1 << 20;
    p->after.calls_sha256 = nx_sha256_of(NX_SLICE("other"));
    assert_shape(p, "");
}

static void test_diff_of_json_outputs(void **state)
{
    pair *p = fresh(state);
    set_output(&p->after, "{\"total\":13,\"items\":[{\"p\":1},{\"p\":2}]}");
    assert_shape(p, "output.items added; output.total changed");
    assert_int_equal(p->d.output.form, NX_DIFF_JSON);
    p = fresh(state);
    set_output(&p->before, "[{\"p\":1},{\"p\":2}]");
    set_output(&p->after, "[{\"p\":3},{\"p\":4}]\n");
    assert_shape(p, "output[].p changed");
    p = fresh(state);
    set_output(&p->after, "{ \"total\" : 12 }\n");
    assert_shape(p, "output written in another way");
}

static void test_diff_of_text_outputs(void **state)
{
    pair *p = fresh(state);
    set_output(&p->before, "Hello Ann\nbye\n");
    set_output(&p->after, "Hi Ann\nbye\n");
    assert_shape(p, "output line 1 changed");
    p = fresh(state);
    set_output(&p->before, "a\nb\nc\nd\n");
    set_output(&p->after, "a\nc\nd\ne\n");
    assert_shape(p, "output line 2 removed; output line 4 added");
    p = fresh(state);
    set_output(&p->before, "a");
    set_output(&p->after, "a\n");
    assert_shape(p, "output written in another way");
}

static void test_diff_of_binary_and_of_what_was_not_kept(void **state)
{
    pair *p = fresh(state);
    p->before.output = nx_slice_make("\xff\x00\x01", 3);
    p->before.output_sha256 = nx_sha256_of(p->before.output);
    assert_shape(p, "output changed");
    assert_int_equal(p->d.output.form, NX_DIFF_BINARY);
    p = fresh(state); /* a recording with digests alone */
    p->before.output = NX_SLICE_NULL;
    p->before.output_sha256 = nx_sha256_of(NX_SLICE("x"));
    assert_shape(p, "output changed");
    p = fresh(state); /* kept alike, different behind it */
    p->before.output_bytes = p->after.output_bytes = 1 << 20;
    p->after.output_sha256 = nx_sha256_of(NX_SLICE("x"));
    assert_shape(p, "output changed behind what is kept of it");
    assert_true(p->d.output.is_cut);
}

static void test_diff_of_how_it_ended(void **state)
{
    pair *p = fresh(state);
    set_failure(&p->after, NX_WHY_TRAP, "integer overflow");
    assert_shape(p, "status ok -> error: trap");
    p = fresh(state);
    set_failure(&p->before, NX_WHY_TRAP, "panicked at src/lib.rs:31:5: no total");
    set_failure(&p->after, NX_WHY_TRAP, "panicked at src/lib.rs:40:5: no sum");
    assert_shape(p, "message \"panicked at src/lib.rs:#:#: no total\" -> \"panicked at src/lib.rs:#:#: no sum\"");
    p = fresh(state); /* the platform's refusal is not the guest's doing */
    set_failure(&p->before, NX_WHY_HOP_LIMIT, "the chain is too long");
    assert_shape(p, "");
}

static void test_diff_of_two_timeouts_is_their_status(void **state)
{
    pair *p = fresh(state);
    set_failure(&p->before, NX_WHY_DEADLINE, "");
    set_failure(&p->after, NX_WHY_DEADLINE, "");
    set_output(&p->after, "half");
    assert_shape(p, "");
    assert_true(p->d.is_only_status);
    p->after.status = NX_RUN_OK;
    p->after.why = NX_WHY_NONE;
    assert_shape(p, "output line 1 changed; status timeout: deadline -> ok");
}

static void test_diff_of_logs(void **state)
{
    pair *p = fresh(state);
    set_logs(&p->after, "one line\n");
    assert_shape(p, "log line 1 added");
}

static void emit(pair *p, int side, const char *type, const char *data)
{
    nx_run *r = side ? &p->after : &p->before;
    nx_emit *e = &p->emits[side][r->n_emitted];
    *e = (nx_emit){.type = nx_slice_cstr(type), .data = nx_slice_cstr(data)};
    r->emitted[r->n_emitted] = (nx_emitted){.type = e->type, .digest = nx_emit_digest(e)};
    r->n_emitted++;
}

static void test_diff_of_emitted_events(void **state)
{
    pair *p = fresh(state);
    emit(p, 0, "order.paid", "{\"sum\":1}");
    emit(p, 1, "order.paid", "{\"sum\":2}");
    emit(p, 1, "order.sent", "");
    assert_shape(p, "event order.paid: data.sum changed; event order.sent emitted");
    p = fresh(state);
    emit(p, 0, "order.paid", "x");
    assert_shape(p, "event order.paid no longer emitted");
    p = fresh(state);
    emit(p, 0, "order.paid", "x");
    emit(p, 1, "order.lost", "x");
    assert_shape(p, "event order.paid -> order.lost");
    p = fresh(state);
    emit(p, 0, "order.paid", "x");
    emit(p, 1, "order.paid", "x");
    assert_shape(p, "");
}

static void test_diff_of_emitted_events_of_which_only_the_digest_is_known(void **state)
{
    static const bool knows[] = {false, true};
    pair *p = fresh(state);
    p->knows = knows;
    emit(p, 0, "order.paid", "{\"sum\":1}");
    emit(p, 0, "order.sent", "{\"to\":\"a\"}");
    emit(p, 1, "order.paid", "{\"sum\":2}");
    emit(p, 1, "order.sent", "{\"to\":\"b\"}");
    assert_shape(p, "event order.paid changed; event order.sent: data.to changed");
    assert_true(p->d.emitted[0].is_data_unknown && !p->d.emitted[1].is_data_unknown);
    assert_non_null(memmem(p->json.p, p->json.n, "\"data_known\":false", 18));
}

static void effect(pair *p, int side, const char *name, const char *request)
{
    nx_run *r = side ? &p->after : &p->before;
    r->effects[r->n_effects++] = (nx_effect){.name = nx_slice_cstr(name), .request = nx_sha256_of(nx_slice_cstr(request))};
}

static void test_diff_of_effects(void **state)
{
    pair *p = fresh(state);
    effect(p, 0, "http.request", "GET /a");
    effect(p, 1, "http.request", "GET /b");
    assert_shape(p, "effect http.request asks otherwise");
    assert_int_equal(p->d.first_effect, 0);
    p = fresh(state);
    effect(p, 0, "kv.get", "a");
    effect(p, 1, "kv.get", "a");
    effect(p, 1, "kv.put", "a");
    assert_shape(p, "effect kv.put added");
    p = fresh(state);
    effect(p, 0, "kv.get", "a");
    assert_shape(p, "effect kv.get removed");
}

static void test_diff_shapes_have_no_values(void **state)
{
    pair *p = fresh(state);
    nx_sha256 shape;
    set_output(&p->before, "{\"items\":[{\"p\":1}]}");
    set_output(&p->after, "{\"items\":[{\"p\":2}]}");
    make(p);
    shape = p->d.shape_sha256;
    p = fresh(state);
    set_output(&p->before, "{\"items\":[0,0,{\"p\":7}]}");
    set_output(&p->after, "{\"items\":[0,0,{\"p\":8}]}");
    make(p);
    assert_memory_equal(&shape, &p->d.shape_sha256, sizeof shape);
    set_output(&p->after, "{\"items\":[0,0,{\"q\":8}]}");
    make(p);
    assert_memory_not_equal(&shape, &p->d.shape_sha256, sizeof shape);
}

static void test_diff_values_are_told_as_text(void **state)
{
    pair *p = fresh(state);
    set_output(&p->before, "{\"a\":[\n 12345678901234567890,\n \"x \\\" y\"\n]}");
    set_output(&p->after, "{\"a\":{\n}}");
    make(p);
    const char *json = nx_buf_cstr(&p->json);
    assert_non_null(strstr(json, "\"before\":\"[12345678901234567890,\\\"x \\\\\\\" y\\\"]\",\"after\":\"{}\""));
}

static void test_diff_is_bounded(void **state)
{
    pair *p = fresh(state);
    NX_CLEANUP(nx_buf_done)
    nx_buf a = NX_BUF_INIT(1 << 20);
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(1 << 20);
    for (int i = 0; i < 5000; i++) {
        assert_int_equal(nx_buf_printf(&a, "%s\"k%d\":%d", i ? "," : "{", i, i), NX_OK);
        assert_int_equal(nx_buf_printf(&b, "%s\"k%d\":%d", i ? "," : "{", i, i + 1), NX_OK);
    }
    assert_int_equal(nx_buf_append_char(&a, '}'), NX_OK);
    assert_int_equal(nx_buf_append_char(&b, '}'), NX_OK);
    set_output(&p->before, nx_buf_cstr(&a));
    set_output(&p->after, nx_buf_cstr(&b));
    make(p);
    assert_int_equal(p->d.output.json.total, 5000);
    assert_int_equal(p->d.output.json.n, NX_DIFF_CHANGES_MAX);
    assert_int_equal(p->d.n_shape, NX_DIFF_SHAPE_MAX);
}

static void test_diff_cause_is_a_plain_sentence(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"fd_write(fd 1, \"a\") -> 1 bytes", "clock_time_get(realtime) -> 7", "reads the clock more often"},
        {"clock_time_get(realtime) -> 7", "fd_write(fd 1, \"a\") -> 1 bytes", "reads the clock less often"},
        {"clock_time_get(realtime) -> 7", "clock_time_get(realtime) -> 8", "another time"},
        {"fd_write(fd 1, \"a\") -> 1 bytes", "random_get(16 bytes) -> \"x\"", "HashMap"},
        {"http_request(\"GET a\", request 12) -> 3 bytes", "http_request(\"GET b\", request 34) -> 3 bytes", "another URL"},
        {"kv_get(\"s/k\", request 12) -> NOT_FOUND", "kv_get(\"s/k\", request 12) -> DENIED", "answered otherwise"},
        {"kv_get(\"s/k\", request 12) -> NOT_FOUND", "kv_get(\"s/l\", request 34) -> NOT_FOUND", "another key"},
        {"fd_write(fd 1, \"a\") -> 1 bytes", "kv_get(\"s k\", request 12) -> 3 bytes", "asks the outside for something that was not asked"},
        {"environ_sizes_get() -> 11 variables, 300 bytes", "environ_sizes_get() -> 12 variables, 320 bytes", "environment differs"},
        {"fd_write(fd 1, \"a\") -> 1 bytes", "fd_write(fd 1, \"b\") -> 1 bytes", "something else is written"},
        {"fd_write(fd 1, \"a\") -> 1 bytes", "fd_write(fd 2, \"b\") -> 1 bytes", "written"},
        {"fd_write(fd 1, \"a\") -> 1 bytes", "no further call", "ends here"},
        {"no further call", "fd_write(fd 1, \"a\") -> 1 bytes", "goes on"},
        {"sched_yield()", "args_get()", "another way"},
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
        const char *cause = nx_diff_cause(nx_slice_cstr(cases[i][0]), nx_slice_cstr(cases[i][1]));
        if (!strstr(cause, cases[i][2]))
            fail_msg("%s, %s: %s", cases[i][0], cases[i][1], cause);
    }
    assert_string_equal(nx_diff_cause(NX_SLICE_NULL, NX_SLICE_NULL), "");
}

/* ---- lines */

static void assert_lines(const char *before, const char *after, const char *expected)
{
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(8 << 20);
    nx_line_changes c;
    char text[1024] = "";
    size_t n = 0;
    assert_int_equal(nx_line_diff(nx_slice_cstr(before), nx_slice_cstr(after), 100, &a, &c), NX_OK);
    for (unsigned i = 0; i < c.n; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%c%u%.*s ", c.v[i].kind == NX_CHANGE_ADDED ? '+' : '-', c.v[i].line, NX_SLICE_FMT(c.v[i].text));
    assert_string_equal(text, expected);
}

static void test_lines_smallest_script(void **state)
{
    (void)state;
    assert_lines("", "", "");
    assert_lines("", "a", "+1a ");
    assert_lines("a\n", "", "-1a ");
    assert_lines("a\nb\nc\na\nb\nb\na\n", "c\nb\na\nb\na\nc\n", "-1a -2b +2b -6b +6c ");
    assert_lines("x\na\ny\n", "x\nb\ny\n", "-2a +2b ");
    assert_lines("a\nb\nc\n", "c\nb\na\n", "-1a -2b +2b +3a ");
}

static void test_lines_too_different_are_replaced_as_a_whole(void **state)
{
    (void)state;
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(8 << 20);
    NX_CLEANUP(nx_buf_done)
    nx_buf x = NX_BUF_INIT(1 << 20);
    NX_CLEANUP(nx_buf_done)
    nx_buf y = NX_BUF_INIT(1 << 20);
    nx_line_changes c;
    for (int i = 0; i < 300; i++) {
        assert_int_equal(nx_buf_printf(&x, "a%d\n", i), NX_OK);
        assert_int_equal(nx_buf_printf(&y, "b%d\n", i), NX_OK);
    }
    assert_int_equal(nx_line_diff(nx_buf_view(&x), nx_buf_view(&y), 10, &a, &c), NX_OK);
    assert_int_equal(c.total, 600);
    assert_int_equal(c.n, 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_diff_of_the_same_is_none),
        cmocka_unit_test(test_diff_of_json_outputs),
        cmocka_unit_test(test_diff_of_text_outputs),
        cmocka_unit_test(test_diff_of_binary_and_of_what_was_not_kept),
        cmocka_unit_test(test_diff_of_how_it_ended),
        cmocka_unit_test(test_diff_of_two_timeouts_is_their_status),
        cmocka_unit_test(test_diff_of_logs),
        cmocka_unit_test(test_diff_of_emitted_events),
        cmocka_unit_test(test_diff_of_emitted_events_of_which_only_the_digest_is_known),
        cmocka_unit_test(test_diff_of_effects),
        cmocka_unit_test(test_diff_shapes_have_no_values),
        cmocka_unit_test(test_diff_values_are_told_as_text),
        cmocka_unit_test(test_diff_is_bounded),
        cmocka_unit_test(test_diff_cause_is_a_plain_sentence),
        cmocka_unit_test(test_lines_smallest_script),
        cmocka_unit_test(test_lines_too_different_are_replaced_as_a_whole),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
