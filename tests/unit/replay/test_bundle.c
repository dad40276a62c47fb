/* The container: what goes in comes out, and whatever is wrong with a file is said. */
#include "nx/bundle.h"
#include "nx/clock.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#define HEAD_BYTES 50u

typedef struct fixture {
    nx_bundle b, back;
    nx_buf file;
    nx_arena a;
    char hex[NX_SHA256_HEX + 1];
    char module[4000];
} fixture;

static void fill(fixture *f)
{
    nx_bundle *b = &f->b;
    memset(b, 0, sizeof *b);
    memset(f->module, 'm', sizeof f->module);
    b->artifact = nx_slice_make(f->module, sizeof f->module);
    nx_sha256 d = nx_sha256_of(b->artifact);
    nx_sha256_hex(&d, f->hex);
    b->created_wall_ns = 1700000000123456789ull;
    b->created_by = NX_SLICE("nexus 1.2.3");
    b->redacted[b->n_redacted++] = NX_SLICE("data.email");
    b->is_rerecorded = true;
    b->first_status = NX_SLICE("error");
    b->settings = NX_SLICE("{\"name\":\"user-welcome\"}");
    nx_event *e = &b->event;
    e->event_id = nx_ulid_new(b->created_wall_ns);
    e->ns = NX_SLICE("default");
    e->id = NX_SLICE("order \"7\"");
    e->source = NX_SLICE("/shop");
    e->type = NX_SLICE("order.placed");
    e->subject = NX_SLICE("gr\xC3\xBC\xC3\x9F"
                          "e");
    e->time = NX_SLICE("2025-11-26T10:23:45Z");
    e->content_type = NX_SLICE("application/json");
    e->partition_key = NX_SLICE("k");
    e->ext[e->n_ext++] = (nx_kv){NX_SLICE("zone"), NX_SLICE("b")};
    e->ext[e->n_ext++] = (nx_kv){NX_SLICE("area"), NX_SLICE("")};
    nx_trace_new(&e->trace);
    e->tracestate = NX_SLICE("a=b");
    e->cause = NX_SLICE("01ARZ3NDEKTSV4RRFFQ69G5FAV");
    e->hop = 3;
    e->data = NX_SLICE("{ \"email\" : \"x@y\" }\0with a NUL");
    e->wall_ns = b->created_wall_ns - 1;
    e->stream_seq = 17;
    nx_run *r = &b->run;
    r->ns = e->ns;
    r->event_id = e->event_id;
    r->run_id = nx_run_id_derive(r->ns, &r->event_id, 1, NX_SLICE("user-welcome"), 0);
    r->function = NX_SLICE("user-welcome");
    r->version = NX_SLICE("v3");
    r->artifact = nx_slice_make(f->hex, NX_SHA256_HEX);
    r->status = NX_RUN_OK;
    r->output = NX_SLICE("hello");
    r->output_bytes = 5;
    r->fuel = 4711;
    r->env[r->n_env++] = (nx_kv){NX_SLICE("A"), NX_SLICE("1")};
}

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    if (!f) return -1;
    nx_buf_init(&f->file, NX_BUNDLE_BYTES_MAX);
    nx_arena_init(&f->a, NX_BUNDLE_BYTES_MAX);
    fill(f);
    nx_error e = NX_ERROR_INIT;
    *state = f;
    return nx_bundle_encode(&f->b, &f->file, &e);
}

static int tear_down(void **state)
{
    fixture *f = *state;
    nx_buf_done(&f->file);
    nx_arena_done(&f->a);
    free(f);
    return 0;
}

static void same(nx_slice a, nx_slice b)
{
    assert_int_equal(a.n, b.n);
    if (a.n) assert_memory_equal(a.p, b.p, a.n);
}

static void test_bundle_round_trip(void **state)
{
    fixture *f = *state;
    nx_error err = NX_ERROR_INIT;
    assert_true(nx_bundle_is_one(nx_buf_view(&f->file)));
    assert_int_equal(nx_bundle_decode(nx_buf_view(&f->file), &f->a, &f->back, &err), NX_OK);
    const nx_bundle *b = &f->b, *k = &f->back;
    assert_int_equal(k->created_wall_ns, b->created_wall_ns);
    same(k->created_by, b->created_by);
    assert_int_equal(k->n_redacted, 1);
    same(k->redacted[0], b->redacted[0]);
    assert_true(k->is_rerecorded);
    same(k->first_status, b->first_status);
    same(k->settings, b->settings);
    same(k->artifact, b->artifact);
    const nx_event *e = &b->event, *g = &k->event;
    assert_string_equal(g->event_id.s, e->event_id.s);
    same(g->ns, e->ns);
    same(g->id, e->id);
    same(g->source, e->source);
    same(g->type, e->type);
    same(g->subject, e->subject);
    same(g->time, e->time);
    same(g->content_type, e->content_type);
    same(g->dataschema, e->dataschema);
    same(g->partition_key, e->partition_key);
    same(g->tracestate, e->tracestate);
    same(g->cause, e->cause);
    same(g->data, e->data);
    assert_int_equal(g->n_ext, 2);
    same(g->ext[0].key, e->ext[0].key);
    same(g->ext[1].key, e->ext[1].key);
    same(g->ext[0].value, e->ext[0].value);
    assert_string_equal(g->trace.trace_id, e->trace.trace_id);
    assert_string_equal(g->trace.span_id, e->trace.span_id);
    assert_int_equal(g->trace.flags, e->trace.flags);
    assert_int_equal(g->hop, e->hop);
    assert_int_equal(g->wall_ns, e->wall_ns);
    assert_int_equal(g->stream_seq, e->stream_seq);
    assert_int_equal(k->run.fuel, 4711);
    same(k->run.output, b->run.output);
    same(k->run.env[0].value, b->run.env[0].value);
}

static void test_bundle_is_smaller_than_what_is_in_it(void **state)
{
    fixture *f = *state;
    assert_true(f->file.n < sizeof f->module);
}

static void assert_refused(fixture *f, nx_slice bytes, const char *with)
{
    nx_error err = NX_ERROR_INIT;
    assert_int_equal(nx_bundle_decode(bytes, &f->a, &f->back, &err), NX_ECORRUPT);
    assert_true(nx_slice_starts(nx_slice_cstr(err.msg), NX_SLICE("bundle: ")));
    if (!strstr(err.msg, with)) fail_msg("\"%s\" does not say \"%s\"", err.msg, with);
}

static void test_bundle_cut_anywhere_is_refused(void **state)
{
    fixture *f = *state;
    for (size_t n = 0; n < f->file.n; n++) assert_refused(f, nx_slice_make(f->file.p, n), "");
}

static void test_bundle_with_any_byte_changed_is_refused(void **state)
{
    fixture *f = *state;
    for (size_t i = 0; i < f->file.n; i++) {
        f->file.p[i] ^= 0x40;
        assert_refused(f, nx_buf_view(&f->file), "");
        f->file.p[i] ^= 0x40;
    }
}

/* Puts the seal right after a change, so that what is inside is looked at. */
static void seal(fixture *f)
{
    size_t n = f->file.n - NX_SHA256_BYTES - 1;
    nx_sha256 d = nx_sha256_of(nx_slice_make(f->file.p, n));
    memcpy(f->file.p + n + 1, d.b, sizeof d.b);
}

static size_t section_at(const fixture *f, int tag)
{
    size_t at = 4;
    while (f->file.p[at] != tag) {
        uint64_t n = 0;
        memcpy(&n, f->file.p + at + 10, 8);
        at += HEAD_BYTES + (size_t)n;
        assert_true(at < f->file.n);
    }
    return at;
}

static void test_bundle_says_what_is_wrong(void **state)
{
    fixture *f = *state;
    assert_refused(f, NX_SLICE("NXB2 of a later day"), "later format");
    assert_int_equal(nx_buf_append_char(&f->file, 'x'), NX_OK);
    assert_refused(f, nx_buf_view(&f->file), "follows the seal");
    f->file.n--;
    f->file.p[f->file.n - 1] ^= 1;
    assert_refused(f, nx_buf_view(&f->file), "was changed or damaged");
    f->file.p[f->file.n - 1] ^= 1;

    size_t recording = section_at(f, 4);
    f->file.p[recording] = 77; /* a tag of a later day is passed over: then it is missing */
    seal(f);
    assert_refused(f, nx_buf_view(&f->file), "\"recording\" is missing");
    f->file.p[recording] = 5; /* twice an artifact */
    seal(f);
    assert_refused(f, nx_buf_view(&f->file), "");
    f->file.p[recording] = 4;

    size_t settings = section_at(f, 6);
    f->file.p[settings + HEAD_BYTES] ^= 1;
    seal(f);
    assert_refused(f, nx_buf_view(&f->file), "does not have its digest");
    f->file.p[settings + HEAD_BYTES] ^= 1;
    f->file.p[settings + 1] = 9;
    seal(f);
    assert_refused(f, nx_buf_view(&f->file), "unknown way");
    f->file.p[settings + 1] = 0;
    f->file.p[settings + 2 + 7] = 1;
    seal(f);
    assert_refused(f, nx_buf_view(&f->file), "larger than its bound");
    f->file.p[settings + 2 + 7] = 0;
    f->file.p[settings + 10 + 7] = 1;
    assert_refused(f, nx_buf_view(&f->file), "longer than what is left");
    f->file.p[settings + 10 + 7] = 0;
    seal(f);
    nx_error err = NX_ERROR_INIT;
    assert_int_equal(nx_bundle_decode(nx_buf_view(&f->file), &f->a, &f->back, &err), NX_OK);
}

static void test_bundle_of_parts_that_do_not_belong_together_is_refused(void **state)
{
    fixture *f = *state;
    nx_error err = NX_ERROR_INIT;
    nx_buf out = NX_BUF_INIT(1u << 20);
    f->module[0] = 'n';
    assert_int_equal(nx_bundle_encode(&f->b, &out, &err), NX_EINVAL);
    assert_non_null(strstr(err.msg, "artifact"));
    f->module[0] = 'm';
    f->b.event.event_id = nx_ulid_new(nx_clock_wall_ns());
    assert_int_equal(nx_bundle_encode(&f->b, &out, &err), NX_EINVAL);
    assert_non_null(strstr(err.msg, "event"));
    assert_int_equal(out.n, 0);
    nx_buf_done(&out);
}

/* docs/BUNDLE.md: the table of tags, and the length of a head. */
static void test_bundle_is_as_documented(void **state)
{
    const fixture *f = *state;
    FILE *page = fopen(NX_TEST_SOURCE_DIR "/docs/BUNDLE.md", "r");
    assert_non_null(page);
    char line[512], name[64];
    unsigned tag, documented = 0;
    while (fgets(line, sizeof line, page)) {
        if (sscanf(line, "| %u | `%63[a-z]` |", &tag, name) != 2) continue;
        documented++;
        if (tag) (void)section_at(f, (int)tag);
    }
    fclose(page);
    assert_int_equal(documented, 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bundle_round_trip, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bundle_is_smaller_than_what_is_in_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bundle_cut_anywhere_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bundle_with_any_byte_changed_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bundle_says_what_is_wrong, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bundle_of_parts_that_do_not_belong_together_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bundle_is_as_documented, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
