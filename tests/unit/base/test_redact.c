/* What is named is covered wherever it turns up, and nothing else is. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "nx/redact.h"

typedef struct fixture {
    nx_arena a;
    nx_event e;
    nx_redaction r;
    nx_run run, hidden;
} fixture;

static int set_up(void **state)
{
    fixture *f = test_calloc(1, sizeof *f);
    nx_arena_init(&f->a, 64u << 20);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;
    nx_arena_done(&f->a);
    test_free(f);
    return 0;
}

static void of(fixture *f, const char *data, const char *path)
{
    nx_slice paths[] = {nx_slice_cstr(path)};
    f->e.data = nx_slice_cstr(data);
    assert_int_equal(nx_redaction_of(&f->e, paths, 1, &f->a, &f->r), NX_OK);
}

static void assert_covers(fixture *f, const char *in, const char *out)
{
    nx_slice got;
    assert_int_equal(nx_redact_text(&f->r, nx_slice_cstr(in), &f->a, &got), NX_OK);
    assert_int_equal(got.n, strlen(out));
    assert_memory_equal(got.p, out, got.n);
    if (strcmp(in, out) == 0) assert_ptr_equal(got.p, in);
}

static void assert_line(fixture *f, nx_redact_lines *l, const char *line, const char *out)
{
    nx_slice got;
    assert_int_equal(nx_redact_line(&f->r, l, nx_slice_cstr(line), &f->a, &got), NX_OK);
    assert_int_equal(got.n, strlen(out));
    assert_memory_equal(got.p, out, got.n);
}

static void test_redact_finds_values_over_line_breaks(void **state)
{
    fixture *f = *state;
    of(f, "{\"email\":\"alice@example.com\"}", "data.email");
    assert_covers(f, "to alice@\nexample.com, ok", "to ******\n***********, ok");
    assert_covers(f, "ali\r\nce@exam\nple.com", "***\r\n*******\n*******");
    assert_covers(f, "alice@\nexample.org", "alice@\nexample.org");
    nx_redact_lines l = {.n = 0};
    assert_line(f, &l, "mail for alice@exam", "mail for **********");
    assert_line(f, &l, "ple.com went out", "******* went out");
    assert_line(f, &l, "ple.com alone is no part of it", "ple.com alone is no part of it");
    assert_line(f, &l, "al", "al");
    assert_line(f, &l, "ice@example", "***********");
    assert_line(f, &l, ".com", "****");
    of(f, "{\"note\":\"two\\nlines\"}", "data.note"); /* a break of its own is covered with it */
    assert_covers(f, "a two\nlines b", "a ********* b");
}

static void test_redact_checks_paths(void **state)
{
    (void)state;
    static const char *const good[] = {"data", "data.email", "data.items[0].name", "data.items.*.name", "data[\"a.b\"]", "subject"};
    static const char *const bad[] = {"", "email", "data.", "data..a", "subject.x", "data[", "time", "data.a b"};
    for (size_t i = 0; i < NX_ARRAY_LEN(good); i++) assert_int_equal(nx_redact_path_check(nx_slice_cstr(good[i]), NULL), NX_OK);
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++) {
        nx_error e = NX_ERROR_INIT;
        assert_int_equal(nx_redact_path_check(nx_slice_cstr(bad[i]), &e), NX_EPARSE);
        assert_true(e.msg[0]);
    }
}

static void test_redact_covers_a_value_wherever_it_stands(void **state)
{
    fixture *f = *state;
    of(f, " {\"user\": {\"email\": \"Bob@x.org\"}, \"n\": 1}", "data.user.email");
    assert_false(f->r.is_blind);
    assert_covers(f, "mail to bob@X.ORG, and Bob@x.org", "mail to *********, and *********");
    assert_covers(f, "nothing of bob@x.or, no", "nothing of bob@x.or, no");
    assert_covers(f, "", "");
    assert_covers(f, "Bob@x.orgBob@x.org", "******************");
}

static void test_redact_finds_values_as_json_writes_them(void **state)
{
    fixture *f = *state;
    of(f, "{\"name\": \"M\\u00fcller \\\"x\\\"\"}", "data.name");
    assert_covers(f, "M\xC3\xBCller \"x\"", "***********");
    assert_covers(f, "M\\u00fcller \\\"x\\\"", "*****************");
    assert_covers(f, "M\xC3\xBCller \\\"x\\\"", "*************");
}

static void test_redact_takes_numbers_trees_and_every_element(void **state)
{
    fixture *f = *state;
    of(f, "{\"card\": -123456.5}", "data.card");
    assert_covers(f, "card -123456.5", "card -111111.1");
    of(f, "{\"who\": {\"name\": \"alice\", \"tags\": [\"admin\", null, [\"deep down\"]]}}", "data.who");
    assert_covers(f, "alice is admin, deep down", "***** is *****, *********");
    of(f, "{\"items\": [{\"k\": \"first\"}, {\"k\": \"second\"}, {\"z\": \"third\"}]}", "data.items.*.k");
    assert_covers(f, "first second third", "***** ****** third");
    of(f, "{\"items\": [\"zero\", \"one!\", \"two!\"]}", "data.items[1]");
    assert_covers(f, "zero one! two!", "zero **** two!");
    of(f, "{\"a\\u0062\": \"spelt otherwise\"}", "data.ab");
    assert_covers(f, "spelt otherwise", "***************");
    of(f, "[\"in a list\"]", "data");
    assert_covers(f, "in a list", "*********");
    of(f, "{\"x\": 1}", "data.email.deeper");
    assert_int_equal(f->r.n_values, 0);
    assert_false(f->r.is_blind);
}

/* Outputs, logs and messages are cut at their bounds, wherever that is. */
static void test_redact_covers_a_value_that_was_cut(void **state)
{
    fixture *f = *state;
    of(f, "{\"v\": \"alice@example.com\"}", "data.v");
    assert_covers(f, "to alice@exam", "to **********");
    assert_covers(f, "to alic", "to ****");
    assert_covers(f, "to ali", "to ali"); /* as short as what is not looked for */
    assert_covers(f, "alice@ex, and more", "alice@ex, and more");
}

static void test_redact_says_what_it_cannot_look_for(void **state)
{
    fixture *f = *state;
    static const char *const blind[] = {"{\"v\": \"abc\"}", "{\"v\": 123}", "{\"v\": true}", "{\"v\": {\"deep\": [\"ab\"]}}", "not json", "{\"v\": \"\\ud800 half\"}"};
    static const char *const clear[] = {"{\"v\": \"\"}", "{\"v\": null}", "{}", "", "{\"w\": 1}"};
    for (size_t i = 0; i < NX_ARRAY_LEN(blind); i++) {
        of(f, blind[i], "data.v");
        if (!f->r.is_blind) fail_msg("%s", blind[i]);
    }
    for (size_t i = 0; i < NX_ARRAY_LEN(clear); i++) {
        of(f, clear[i], "data.v");
        if (f->r.is_blind || f->r.n_values) fail_msg("%s", clear[i]);
    }
    f->e.subject = NX_SLICE("users/4711");
    of(f, "not json", "subject");
    assert_false(f->r.is_blind);
    assert_covers(f, "of users/4711", "of **********");
}

static void covers_event(fixture *f, const char *data, const char *path, const char *out, unsigned n)
{
    nx_slice paths[] = {nx_slice_cstr(path)};
    unsigned got;
    f->e.data = nx_slice_cstr(data);
    assert_int_equal(nx_redact_event(&f->e, paths, 1, &f->a, &got), NX_OK);
    assert_int_equal(f->e.data.n, strlen(out));
    if (f->e.data.n) assert_memory_equal(f->e.data.p, out, f->e.data.n);
    assert_int_equal(got, n);
}

static void test_redact_event_keeps_its_form(void **state)
{
    fixture *f = *state;
    covers_event(f, " {\"a\": \"x y\", \"b\": 2}\n", "data.a", " {\"a\": \"***\", \"b\": 2}\n", 1);
    covers_event(f, "{\"a\": -1.5e3}", "data.a", "{\"a\": -1.1e1}", 1);
    covers_event(f, "{\"a\": [true, false, null, \"\", 0]}", "data.a", "{\"a\": [null, null , null, \"\", 1]}", 3);
    covers_event(f, "{\"a\": {\"b\": \"x\", \"c\": [\"y\"]}}", "data.a", "{\"a\": {\"b\": \"*\", \"c\": [\"*\"]}}", 2);
    covers_event(f, "{\"b\": 1}", "data.a", "{\"b\": 1}", 0);
    covers_event(f, "no json", "data.a", "", 1);
    f->e.subject = NX_SLICE("bob");
    covers_event(f, "no json", "subject", "no json", 1);
    assert_memory_equal(f->e.subject.p, "***", 3);
}

/* ---- records */

static const char *const email = "alice@example.com";

static void fill_run(fixture *f)
{
    static nx_effect effects[2];
    static nx_emitted emitted[1];
    nx_run *r = &f->run;
    memset(r, 0, sizeof *r);
    f->e.data = NX_SLICE("{\"email\": \"alice@example.com\"}");
    f->e.subject = NX_SLICE("alice@example.com");
    f->e.type = NX_SLICE("t");
    f->e.source = NX_SLICE("/s");
    r->event_id = nx_ulid_new(1);
    r->run_id = nx_ulid_new(1);
    r->function = NX_SLICE("f");
    r->output = NX_SLICE("to alice@example.com");
    r->output_bytes = r->output.n;
    r->output_sha256 = nx_sha256_of(r->output);
    r->logs = NX_SLICE("mailing alice@example.com\n");
    r->logs_bytes = r->logs.n;
    r->logs_sha256 = nx_sha256_of(r->logs);
    r->calls = NX_SLICE("....alice@exam");
    r->calls_sha256 = nx_sha256_of(r->calls);
    r->call_marks = NX_SLICE("mark");
    r->n_calls = 3;
    r->status = NX_RUN_ERROR;
    r->why = NX_WHY_TRAP;
    r->message = NX_SLICE("panicked: alice@example.com is no number");
    memset(r->seed, 7, sizeof r->seed);
    r->env[r->n_env++] = (nx_kv){NX_SLICE("EVENT_SUBJECT"), f->e.subject};
    r->env[r->n_env++] = (nx_kv){NX_SLICE("EVENT_TYPE"), f->e.type};
    r->env[r->n_env++] = (nx_kv){NX_SLICE("GREETING"), NX_SLICE("hello")};
    effects[0] = (nx_effect){.name = NX_SLICE("http.request"), .answer = NX_SLICE("{\"known\": \"ALICE@example.com\"}")};
    effects[1] = (nx_effect){.name = NX_SLICE("secret.get"), .answer = NX_SLICE("keyed digest")};
    emitted[0] = (nx_emitted){.event_id = nx_ulid_new(2), .type = NX_SLICE("sent"), .digest = nx_sha256_of(NX_SLICE("x"))};
    r->effects = effects;
    r->n_effects = 2;
    r->emitted = emitted;
    r->n_emitted = 1;
}

static void hide(fixture *f, nx_recording mode)
{
    static nx_slice paths[] = {{"data.email", 10}};
    bool is_redacted = mode == NX_RECORDING_FULL;
    if (is_redacted) assert_int_equal(nx_redaction_of(&f->e, paths, 1, &f->a, &f->r), NX_OK);
    assert_int_equal(nx_run_hide(&f->run, mode, is_redacted ? &f->r : NULL, paths, is_redacted, &f->a, &f->hidden), NX_OK);
}

/* The value stands nowhere in what would be stored. */
static void assert_stored_without(fixture *f, const char *value)
{
    nx_buf out = NX_BUF_INIT(1u << 20);
    assert_int_equal(nx_run_encode(&f->hidden, &out), NX_OK);
    for (size_t i = 0; i + 8 <= out.n; i++)
        if (nx_slice_ieq(nx_slice_sub(nx_buf_view(&out), i, 8), nx_slice_sub(nx_slice_cstr(value), 0, 8))) fail_msg("at byte %zu", i);
    nx_run back;
    nx_error e = NX_ERROR_INIT;
    assert_int_equal(nx_run_decode(nx_buf_view(&out), &f->a, &back, &e), NX_OK);
    assert_int_equal(back.recording, f->hidden.recording);
    assert_int_equal(back.is_effect_hidden, f->hidden.is_effect_hidden);
    assert_int_equal(back.is_env_hidden, f->hidden.is_env_hidden);
    assert_true(nx_slice_eq(back.redacted, f->hidden.redacted));
    nx_buf_done(&out);
}

static void test_run_hide_covers_every_copy(void **state)
{
    fixture *f = *state;
    fill_run(f);
    nx_run before = f->run;
    hide(f, NX_RECORDING_FULL);
    const nx_run *h = &f->hidden;
    assert_stored_without(f, email);
    assert_memory_equal(h->output.p, "to *****************", 20);
    assert_memory_equal(&h->output_sha256, &f->run.output_sha256, 32);
    assert_int_equal(h->calls.n + h->call_marks.n, 0);
    assert_memory_equal(&h->calls_sha256, &f->run.calls_sha256, 32);
    assert_true(h->is_effect_hidden);
    assert_false(h->is_env_hidden);
    assert_true(nx_slice_eq(h->redacted, NX_SLICE("data.email")));
    assert_true(nx_slice_eq(h->effects[1].answer, NX_SLICE("keyed digest")));
    /* The run itself, which callers are answered from, is as it was. */
    assert_memory_equal(&f->run, &before, sizeof before);
    assert_non_null(strstr(f->run.effects[0].answer.p, "ALICE"));
    nx_run again = *h;
    nx_run_restore_env(&again, &f->e);
    assert_true(nx_slice_eq(again.env[0].value, f->e.subject));
    f->run.env[2].value = NX_SLICE("for alice@example.com");
    hide(f, NX_RECORDING_FULL);
    assert_true(f->hidden.is_env_hidden);
    assert_non_null(nx_run_not_kept(&f->hidden, false));
}

static void test_run_hide_digest_keeps_no_payload(void **state)
{
    fixture *f = *state;
    fill_run(f);
    hide(f, NX_RECORDING_DIGEST);
    const nx_run *h = &f->hidden;
    assert_stored_without(f, email);
    assert_int_equal(h->output.n + h->logs.n + h->calls.n + h->call_marks.n + h->message.n, 0);
    assert_int_equal(h->output_bytes, f->run.output_bytes);
    assert_memory_equal(&h->output_sha256, &f->run.output_sha256, 32);
    assert_memory_equal(h->seed, f->run.seed, 32);
    assert_true(nx_slice_eq(h->env[2].value, NX_SLICE("hello")));
    assert_true(h->is_effect_hidden);
    assert_null(nx_run_not_kept(h, false));
    assert_non_null(nx_run_not_kept(h, true));
    f->run.n_effects = 0;
    hide(f, NX_RECORDING_DIGEST);
    assert_null(nx_run_not_kept(&f->hidden, true));
}

static void test_run_hide_off_keeps_what_it_cost(void **state)
{
    fixture *f = *state;
    static const uint8_t none[32];
    fill_run(f);
    f->run.fuel = 99;
    hide(f, NX_RECORDING_OFF);
    const nx_run *h = &f->hidden;
    assert_stored_without(f, email);
    assert_int_equal(h->fuel, 99);
    assert_int_equal(h->status, NX_RUN_ERROR);
    assert_memory_equal(h->seed, none, 32);
    assert_memory_equal(h->output_sha256.b, none, 32);
    assert_int_equal(h->n_env + h->n_effects + h->output_bytes + h->n_calls, 0);
    assert_int_equal(h->n_emitted, 1); /* the event that it caused is in the log */
    assert_non_null(nx_run_not_kept(h, true));
}

static void test_run_hide_falls_back_to_digests_where_it_is_blind(void **state)
{
    fixture *f = *state;
    fill_run(f);
    f->e.data = NX_SLICE("{\"email\": \"a@b\"}");
    hide(f, NX_RECORDING_FULL);
    assert_int_equal(f->hidden.recording, NX_RECORDING_DIGEST);
    assert_int_equal(f->hidden.output.n, 0);
    assert_true(nx_slice_eq(f->hidden.redacted, NX_SLICE("data.email")));
}

static void test_run_hide_like_applies_the_recordings_rules(void **state)
{
    fixture *f = *state;
    fill_run(f);
    hide(f, NX_RECORDING_FULL);
    nx_run recorded = f->hidden;
    assert_int_equal(nx_run_hide_like(&recorded, &f->e, &f->run, &f->a, &f->hidden), NX_OK);
    assert_stored_without(f, email);
    assert_int_equal(f->hidden.recording, NX_RECORDING_FULL);
    recorded = f->run;
    assert_int_equal(nx_run_hide_like(&recorded, &f->e, &f->run, &f->a, &f->hidden), NX_OK);
    assert_true(nx_slice_eq(f->hidden.output, f->run.output));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_redact_checks_paths),
        cmocka_unit_test_setup_teardown(test_redact_finds_values_over_line_breaks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_redact_covers_a_value_wherever_it_stands, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_redact_finds_values_as_json_writes_them, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_redact_takes_numbers_trees_and_every_element, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_redact_covers_a_value_that_was_cut, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_redact_says_what_it_cannot_look_for, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_redact_event_keeps_its_form, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_run_hide_covers_every_copy, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_run_hide_digest_keeps_no_payload, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_run_hide_off_keeps_what_it_cost, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_run_hide_falls_back_to_digests_where_it_is_blind, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_run_hide_like_applies_the_recordings_rules, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
