/* Run records: names and ids, the stored form against its documentation, damage, JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "nx/clock.h"
#include "nx/run.h"

/* A record with every field set to something of its own. */
static nx_emitted emitted[2];

static void fill(nx_run *r, nx_effect effects[2])
{
    memset(r, 0, sizeof *r);
    r->ns = NX_SLICE("default");
    r->run_id = nx_ulid_new_in_shard(1764152625123ull * NX_NS_PER_MS, 7);
    r->event_id = nx_ulid_new_in_shard(1764152625000ull * NX_NS_PER_MS, 7);
    r->event_type = NX_SLICE("user.created");
    r->function = NX_SLICE("user-welcome");
    r->version = NX_SLICE("v3");
    r->artifact = NX_SLICE("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    r->attempt = 2;
    r->generation = 1;
    r->status = NX_RUN_ERROR;
    r->why = NX_WHY_EXIT;
    r->exit_code = -3;
    r->message = NX_SLICE("exit");
    r->backtrace = NX_SLICE("0: f\n1: g");
    r->is_replay = r->is_final = r->is_cold = r->input_is_cloudevent = r->takes_batches = true;
    r->replay_of = nx_id_slice(&r->run_id);
    r->original_wall_ns = 1764152625ull * NX_NS_PER_S;
    r->start_wall_ns = 1764152626ull * NX_NS_PER_S + 5000000;
    r->duration_ns = 1234567;
    r->fuel = UINT64_MAX;
    r->memory_bytes = 1114112;
    nx_trace_new(&r->trace);
    r->parent_span = NX_SLICE("b7ad6b7169203331");
    r->output = NX_SLICE("out\xff");
    r->output_bytes = 100000;
    r->output_sha256 = nx_sha256_of(r->output);
    r->logs = NX_SLICE("log line\n");
    r->logs_bytes = 9;
    r->logs_sha256 = nx_sha256_of(r->logs);
    memset(r->seed, 0xab, sizeof r->seed);
    r->env[0] = (nx_kv){NX_SLICE("A"), NX_SLICE("1")};
    r->env[1] = (nx_kv){NX_SLICE("EMPTY"), NX_SLICE("")};
    r->env[2] = (nx_kv){NX_SLICE("PASSWORD"), NX_SLICE("hmac-sha256:0123:4567")};
    r->n_env = 3;
    static nx_kv secret = {NX_SLICE("PASSWORD"), NX_SLICE("db-password")};
    r->secret_env = &secret;
    r->n_secret_env = 1;
    r->limit_timeout_ns = 5 * NX_NS_PER_S;
    r->limit_memory_bytes = 128u << 20;
    r->limit_fuel = 1000000;
    r->limit_output_bytes = 1u << 20;
    r->limit_scratch_bytes = 16u << 20;
    effects[0] = (nx_effect){NX_SLICE("http.request"), nx_sha256_of(NX_SLICE("q")), NX_EFFECT_OK, 1234567, NX_SLICE("answer")};
    effects[1] = (nx_effect){NX_SLICE("kv.get"), nx_sha256_of(NX_SLICE("k")), NX_EFFECT_INTERRUPTED, 0, NX_SLICE("")};
    r->effects = effects;
    r->n_effects = 2;
    emitted[0] = (nx_emitted){nx_raw_id(9), NX_SLICE("mail.wanted"), nx_sha256_of(NX_SLICE("m"))};
    emitted[1] = (nx_emitted){nx_raw_id(10), NX_SLICE(""), nx_sha256_of(NX_SLICE("n"))};
    r->emitted = emitted;
    r->n_emitted = 2;
    r->calls_sha256 = nx_sha256_of(NX_SLICE("calls"));
    r->n_calls = 12;
    r->calls = NX_SLICE("calls");
    r->call_marks = NX_SLICE("mark");
    r->engine = NX_SLICE("wasmtime 48 fuel=v1 nan=canonical");
    r->world = NX_SLICE("1");
    r->arch = NX_SLICE("x86_64");
    r->node = NX_SLICE("node-1");
    r->event_seq = 77;
    r->delivery = 3;
    r->max_attempts = 5;
    r->after = NX_AFTER_PAUSE;
    r->next_wall_ns = 1764152627ull * NX_NS_PER_S;
    r->recording = NX_RECORDING_DIGEST;
    r->is_effect_hidden = r->is_env_hidden = true;
    r->redacted = NX_SLICE("data.email\nsubject");
    r->batch = NX_SLICE("01KAZV1HZ30000000000000000,01KAZV1HZ30000000000000001");
}

static void assert_same_run(const nx_run *a, const nx_run *b)
{
#define SAME(f) assert_true(a->f == b->f)
#define SAME_SLICE(f) assert_true(nx_slice_eq(a->f, b->f))
#define SAME_BYTES(f) assert_memory_equal(&a->f, &b->f, sizeof a->f)
    SAME_SLICE(ns);
    SAME_SLICE(event_type);
    SAME_SLICE(function);
    SAME_SLICE(version);
    SAME_SLICE(artifact);
    SAME_SLICE(message);
    SAME_SLICE(backtrace);
    SAME_SLICE(replay_of);
    SAME_SLICE(parent_span);
    SAME_SLICE(output);
    SAME_SLICE(logs);
    SAME_SLICE(calls);
    SAME_SLICE(call_marks);
    SAME_SLICE(engine);
    SAME_SLICE(world);
    SAME_SLICE(arch);
    SAME_SLICE(node);
    SAME_SLICE(batch);
    SAME_BYTES(run_id);
    SAME_BYTES(event_id);
    SAME_BYTES(seed);
    SAME_BYTES(output_sha256);
    SAME_BYTES(logs_sha256);
    SAME_BYTES(calls_sha256);
    assert_string_equal(a->trace.trace_id, b->trace.trace_id);
    assert_string_equal(a->trace.span_id, b->trace.span_id);
    SAME(trace.flags);
    SAME(attempt);
    SAME(generation);
    SAME(status);
    SAME(why);
    SAME(exit_code);
    SAME(is_replay);
    SAME(is_final);
    SAME(is_cold);
    SAME(input_is_cloudevent);
    SAME(takes_batches);
    SAME(original_wall_ns);
    SAME(start_wall_ns);
    SAME(duration_ns);
    SAME(fuel);
    SAME(memory_bytes);
    SAME(output_bytes);
    SAME(logs_bytes);
    SAME(limit_timeout_ns);
    SAME(limit_memory_bytes);
    SAME(limit_fuel);
    SAME(limit_output_bytes);
    SAME(limit_scratch_bytes);
    SAME(n_calls);
    SAME(event_seq);
    SAME(delivery);
    SAME(max_attempts);
    SAME(after);
    SAME(next_wall_ns);
    SAME(recording);
    SAME(is_effect_hidden);
    SAME(is_env_hidden);
    SAME(n_env);
    SAME(n_effects);
    SAME(n_emitted);
    SAME(n_secret_env);
    for (unsigned i = 0; i < a->n_secret_env; i++) {
        SAME_SLICE(secret_env[i].key);
        SAME_SLICE(secret_env[i].value);
    }
    for (unsigned i = 0; i < a->n_env; i++) {
        SAME_SLICE(env[i].key);
        SAME_SLICE(env[i].value);
    }
    for (unsigned i = 0; i < a->n_effects; i++) {
        SAME_SLICE(effects[i].name);
        SAME_SLICE(effects[i].answer);
        SAME_BYTES(effects[i].request);
        SAME(effects[i].status);
        SAME(effects[i].clock_ns);
    }
    for (unsigned i = 0; i < a->n_emitted; i++) {
        SAME_SLICE(emitted[i].type);
        SAME_BYTES(emitted[i].event_id);
        SAME_BYTES(emitted[i].digest);
    }
}

static nx_run run, back; /* large */
static nx_effect effects[2];

static void test_run_round_trip(void **state)
{
    (void)state;
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(1u << 16);
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(1u << 16);
    nx_error err = NX_ERROR_INIT;
    fill(&run, effects);
    assert_int_equal(nx_buf_append_cstr(&b, "before"), NX_OK);
    assert_int_equal(nx_run_encode(&run, &b), NX_OK);
    assert_int_equal(nx_run_decode(nx_slice_sub(nx_buf_view(&b), 6, b.n), &a, &back, &err), NX_OK);
    assert_same_run(&run, &back);
    /* The least that is a record. */
    nx_run least = {.run_id = run.run_id, .event_id = run.event_id, .function = NX_SLICE("f")};
    nx_buf_clear(&b);
    assert_int_equal(nx_run_encode(&least, &b), NX_OK);
    assert_int_equal(b.n, 4 + 2 * (2 + 26) + 3);
    assert_int_equal(nx_run_decode(nx_buf_view(&b), &a, &back, &err), NX_OK);
    assert_same_run(&least, &back);
}

static void test_run_encode_refuses(void **state)
{
    (void)state;
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(1u << 16);
    fill(&run, effects);
    run.n_env = NX_RUN_ENV_MAX + 1;
    assert_int_equal(nx_run_encode(&run, &b), NX_ELIMIT);
    fill(&run, effects);
    run.n_emitted = NX_RUN_EMITTED_MAX + 1;
    assert_int_equal(nx_run_encode(&run, &b), NX_ELIMIT);
    fill(&run, effects);
    run.output_bytes = 1;
    assert_int_equal(nx_run_encode(&run, &b), NX_EINVAL);
    fill(&run, effects);
    run.function = NX_SLICE_NULL;
    assert_int_equal(nx_run_encode(&run, &b), NX_EINVAL);
    fill(&run, effects);
    nx_buf tiny = NX_BUF_INIT(200);
    assert_int_equal(nx_run_encode(&run, &tiny), NX_ELIMIT);
    assert_int_equal(tiny.n, 0);
    nx_buf_done(&tiny);
    assert_int_equal(b.n, 0);
}

static uint64_t uvarint(const unsigned char **p)
{
    uint64_t v = 0;
    for (unsigned shift = 0;; shift += 7) {
        unsigned char c = *(*p)++;
        v |= (uint64_t)(c & 127) << shift;
        if (c < 128) return v;
    }
}

/* Every tag of the documentation is written by a full record and the other way round. */
static void test_run_record_matches_its_documentation(void **state)
{
    (void)state;
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(1u << 16);
    fill(&run, effects);
    assert_int_equal(nx_run_encode(&run, &b), NX_OK);
    bool is_written[256] = {false}, is_documented[256] = {false};
    for (const unsigned char *p = (const unsigned char *)b.p + 4; p < (const unsigned char *)b.p + b.n;) {
        uint64_t tag = uvarint(&p), n = uvarint(&p);
        assert_true(tag < 256);
        is_written[tag] = true;
        p += n;
    }
    FILE *f = fopen(NX_TEST_SOURCE_DIR "/docs/RUN_RECORD.md", "r");
    assert_non_null(f);
    char line[512];
    bool in_reasons = false;
    int n_reasons = 0;
    while (fgets(line, sizeof line, f)) {
        unsigned tag;
        char name[64];
        if (strncmp(line, "## Reasons", 10) == 0) in_reasons = true;
        if (sscanf(line, "| %u | `%63[a-z0-9_]` |", &tag, name) != 2) continue;
        if (in_reasons) {
            assert_string_equal(nx_run_why_name((nx_run_why)tag), name);
            n_reasons++;
        } else {
            assert_true(tag < 256);
            is_documented[tag] = true;
        }
    }
    fclose(f);
    for (int tag = 0; tag < 256; tag++)
        if (is_written[tag] != is_documented[tag]) fail_msg("tag %d is %s", tag, is_written[tag] ? "not documented" : "documented but not written");
    assert_int_equal(n_reasons, NX_WHY_SUPERSEDED + 1);
}

/* No cut and no changed byte may crash the reader or be read beyond its end (a copy of exact size lets the sanitizer see it). */
static void test_run_decode_survives_damage(void **state)
{
    (void)state;
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(1u << 16);
    fill(&run, effects);
    assert_int_equal(nx_run_encode(&run, &b), NX_OK);
    for (size_t n = 0; n < b.n; n++) {
        NX_CLEANUP(nx_arena_done)
        nx_arena a = NX_ARENA_INIT(1u << 16);
        char *copy = malloc(n ? n : 1);
        memcpy(copy, b.p, n);
        nx_error err = NX_ERROR_INIT;
        nx_err rc = nx_run_decode(nx_slice_make(copy, n), &a, &back, &err);
        assert_true(rc == NX_OK || rc == NX_ECORRUPT); /* a cut between two fields may still be a record */
        if (rc) assert_int_equal(back.function.n, 0);
        free(copy);
    }
    for (size_t at = 0; at < b.n; at++)
        for (int bit = 0; bit < 8; bit++) {
            NX_CLEANUP(nx_arena_done)
            nx_arena a = NX_ARENA_INIT(1u << 16);
            b.p[at] = (char)(b.p[at] ^ (1 << bit));
            nx_err rc = nx_run_decode(nx_buf_view(&b), &a, &back, NULL);
            assert_true(rc == NX_OK || rc == NX_ECORRUPT);
            b.p[at] = (char)(b.p[at] ^ (1 << bit));
        }
}

static void test_run_decode_refuses(void **state)
{
    (void)state;
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(1u << 16);
    nx_run least = {.run_id = nx_raw_id(1), .event_id = nx_raw_id(2), .function = NX_SLICE("f")};
    static const struct {
        const char *extra;
        size_t n;
        nx_err err;
    } cases[] = {
        {"\x3f\x02xy", 4, NX_OK},                        /* unknown tag 63 */
        {"\xff\x01\x00", 3, NX_OK},                      /* unknown tag 255 */
        {"\x05\x01g", 3, NX_ECORRUPT},                   /* function twice */
        {"\x0a\x07\0\0\0\0\0\0\0", 9, NX_ECORRUPT},      /* status of seven bytes */
        {"\x0a\x08\x07\0\0\0\0\0\0\0", 10, NX_ECORRUPT}, /* status 7 */
        {"\x0b\x08\x40\0\0\0\0\0\0\0", 10, NX_ECORRUPT}, /* reason 64 */
        {"\x2f\x08\x03\0\0\0\0\0\0\0", 10, NX_ECORRUPT}, /* what follows: 3 */
        {"\x1c\x01z", 3, NX_ECORRUPT},                   /* digest of one byte */
        {"\x1a\x01z", 3, NX_ECORRUPT},                   /* output longer than its recorded length */
        {"\x16\x02zz", 4, NX_ECORRUPT},                  /* trace id */
        {"\x40\x01\x05", 3, NX_ECORRUPT},                /* variable whose name is longer than itself */
        {"\x43\x01z", 3, NX_ECORRUPT},                   /* effect without a digest */
        {"\x43\x21"
         "01234567890123456789012345678901"
         "\xff",
         35, NX_ECORRUPT},             /* effect without a status */
        {"\x44\x01z", 3, NX_ECORRUPT}, /* digest of one byte */
        {"\x44\x20"
         "01234567890123456789012345678901",
         34, NX_ECORRUPT},                /* digest without an emitted event */
        {"\x42\x01z", 3, NX_ECORRUPT},    /* emitted without an id */
        {"\x88\x00\x00", 3, NX_ECORRUPT}, /* tag 8 in a longer form than needed */
        {"\x0d\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, NX_ECORRUPT},
        {"\x0d\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 11, NX_ECORRUPT},
        {"\x0d", 1, NX_ECORRUPT},
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
        NX_CLEANUP(nx_arena_done)
        nx_arena a = NX_ARENA_INIT(1u << 16);
        nx_buf_clear(&b);
        assert_int_equal(nx_run_encode(&least, &b), NX_OK);
        assert_int_equal(nx_buf_append(&b, cases[i].extra, cases[i].n), NX_OK);
        nx_error err = NX_ERROR_INIT;
        nx_err rc = nx_run_decode(nx_buf_view(&b), &a, &back, &err);
        if (rc != cases[i].err) fail_msg("case %zu: %s", i, err.msg);
    }
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(1u << 16);
    assert_int_equal(nx_run_decode(NX_SLICE_NULL, &a, &back, NULL), NX_ECORRUPT);
    assert_int_equal(nx_run_decode(NX_SLICE("NXR2"), &a, &back, NULL), NX_ECORRUPT);
    assert_int_equal(nx_run_decode(NX_SLICE("NXR1"), &a, &back, NULL), NX_ECORRUPT);
}

static void test_run_decode_bounds_lists(void **state)
{
    (void)state;
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(1u << 20);
    NX_CLEANUP(nx_arena_done)
    nx_arena a = NX_ARENA_INIT(1u << 24);
    nx_run least = {.run_id = nx_raw_id(1), .event_id = nx_raw_id(2), .function = NX_SLICE("f")};
    assert_int_equal(nx_run_encode(&least, &b), NX_OK);
    for (int i = 0; i < NX_RUN_ENV_MAX; i++) assert_int_equal(nx_buf_append(&b, "\x40\x02\x01k", 4), NX_OK);
    assert_int_equal(nx_run_decode(nx_buf_view(&b), &a, &back, NULL), NX_OK);
    assert_int_equal(back.n_env, NX_RUN_ENV_MAX);
    assert_int_equal(nx_buf_append(&b, "\x40\x02\x01k", 4), NX_OK);
    assert_int_equal(nx_run_decode(nx_buf_view(&b), &a, &back, NULL), NX_ECORRUPT);
}

static void test_run_id_derive(void **state)
{
    (void)state;
    nx_id event = nx_ulid_new_in_shard(1764152625123ull * NX_NS_PER_MS, 19);
    nx_id a = nx_run_id_derive(NX_SLICE("default"), &event, 1764152625123ull, NX_SLICE("f"), 0);
    nx_id again = nx_run_id_derive(NX_SLICE("default"), &event, 1764152625123ull, NX_SLICE("f"), 0);
    assert_string_equal(a.s, again.s);
    assert_int_equal(nx_id_shard(&a), 19);
    assert_true(nx_id_time_ms(&a) == 1764152625123ull);
    nx_id others[] = {nx_run_id_derive(NX_SLICE("other"), &event, 1764152625123ull, NX_SLICE("f"), 0),
                      nx_run_id_derive(NX_SLICE("default"), &event, 1764152625123ull, NX_SLICE("g"), 0),
                      nx_run_id_derive(NX_SLICE("default"), &event, 1764152625123ull, NX_SLICE("f"), 1)};
    for (size_t i = 0; i < NX_ARRAY_LEN(others); i++) assert_string_not_equal(a.s, others[i].s);
    char long1[300], long2[300];
    memset(long1, 'x', sizeof long1);
    memcpy(long2, long1, sizeof long2);
    long2[299] = 'y';
    nx_id l1 = nx_run_id_derive(NX_SLICE("d"), &event, 1, nx_slice_make(long1, 300), 0), l2 = nx_run_id_derive(NX_SLICE("d"), &event, 1, nx_slice_make(long2, 300), 0);
    assert_string_not_equal(l1.s, l2.s);
}

/* Stored records carry run ids, so the derivation may never change. */
static void test_run_id_derive_is_fixed(void **state)
{
    (void)state;
    nx_id event;
    assert_int_equal(nx_id_parse(NX_SLICE("01KAZV1HZ30000000000000000"), &event), NX_OK);
    nx_id id = nx_run_id_derive(NX_SLICE("default"), &event, 1764152625123ull, NX_SLICE("user-welcome"), 0);
    assert_string_equal(id.s, "01KAZV1HZ3MB7JFVEG9N8D88E0");
}

static void test_run_json(void **state)
{
    (void)state;
    NX_CLEANUP(nx_buf_done)
    nx_buf b = NX_BUF_INIT(1u << 16);
    fill(&run, effects);
    run.fuel = 421337;
    nx_jw w = NX_JW_INIT(&b);
    assert_int_equal(nx_run_to_json(&run, false, &w), NX_OK);
    char want[1024];
    snprintf(want, sizeof want,
             "{\"namespace\":\"default\",\"run_id\":\"%s\",\"event_id\":\"%s\",\"function\":\"user-welcome\",\"version\":\"v3\",\"status\":\"error\",\"why\":\"exit\","
             "\"attempt\":2,\"max_attempts\":5,\"generation\":1,\"is_final\":true,\"next_attempt_at\":\"2025-11-26T10:23:47.000Z\",\"is_replay\":true,\"duration_ms\":1.234567,\"fuel\":421337,\"memory_bytes\":1114112,\"trace_id\":\"%s\",\"time\":\"2025-11-26T10:23:46.005Z\"}",
             run.run_id.s, run.event_id.s, run.trace.trace_id);
    assert_string_equal(nx_buf_cstr(&b), want);

    nx_buf_clear(&b);
    w = (nx_jw)NX_JW_INIT(&b);
    assert_int_equal(nx_run_to_json(&run, true, &w), NX_OK);
    nx_json *j = NULL;
    nx_error err = NX_ERROR_INIT;
    assert_int_equal(nx_json_parse(nx_buf_view(&b), SIZE_MAX, &j, &err), NX_OK);
    assert_true(nx_slice_eq_cstr(nx_json_get_str(j, "output_base64"), "b3V0/w=="));
    assert_null(nx_json_get(j, "output"));
    assert_true(nx_slice_eq_cstr(nx_json_get_str(j, "logs"), "log line\n"));
    assert_true(nx_slice_eq_cstr(nx_json_get_str(j, "original_timestamp"), "2025-11-26T10:23:45.000Z"));
    assert_true(nx_slice_eq_cstr(nx_json_get_str(nx_json_get(j, "env"), "A"), "1"));
    assert_true(nx_slice_eq_cstr(nx_json_get_str(nx_json_get(j, "secret_env"), "PASSWORD"), "db-password"));
    assert_int_equal(nx_json_get_i64(j, "exit_code", 0), -3);
    assert_int_equal(nx_json_get_u64(nx_json_get(j, "limits"), "fuel", 0), 1000000);
    assert_int_equal(nx_json_len(nx_json_get(j, "effects")), 2);
    assert_int_equal(nx_json_get_str(j, "seed").n, 64);
    nx_json_free(j);
    run.limit_fuel = UINT64_MAX; /* "none" must not make the document unreadable for readers with signed integers */
    nx_buf_clear(&b);
    w = (nx_jw)NX_JW_INIT(&b);
    assert_int_equal(nx_run_to_json(&run, true, &w), NX_OK);
    assert_int_equal(nx_json_parse(nx_buf_view(&b), SIZE_MAX, &j, &err), NX_OK);
    nx_json_free(j);
}

static void test_run_names(void **state)
{
    (void)state;
    for (int s = NX_RUN_OK; s <= NX_RUN_BATCHED; s++) {
        nx_run_status parsed;
        assert_int_equal(nx_run_status_parse(nx_slice_cstr(nx_run_status_name((nx_run_status)s)), &parsed), NX_OK);
        assert_int_equal(parsed, s);
    }
    nx_run_status parsed;
    assert_int_equal(nx_run_status_parse(NX_SLICE("OK"), &parsed), NX_EPARSE);
    assert_string_equal(nx_run_status_name((nx_run_status)99), "unknown");
    assert_string_equal(nx_run_why_name(NX_WHY_EMIT), "emit");
    assert_string_equal(nx_run_why_name((nx_run_why)99), "unknown");
    for (int w = NX_WHY_NONE; w <= NX_WHY_NOT_RECORDED; w++) {
        nx_run_why why;
        assert_int_equal(nx_run_why_parse(nx_slice_cstr(nx_run_why_name((nx_run_why)w)), &why), NX_OK);
        assert_int_equal(why, w);
    }
    nx_run_why why;
    assert_int_equal(nx_run_why_parse(NX_SLICE("timeout"), &why), NX_EPARSE);
    assert_true(nx_run_why_can_retry(NX_WHY_DEADLINE));
    assert_false(nx_run_why_can_retry(NX_WHY_NONE));
    assert_false(nx_run_why_can_retry(NX_WHY_HOP_LIMIT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run_round_trip),
        cmocka_unit_test(test_run_encode_refuses),
        cmocka_unit_test(test_run_record_matches_its_documentation),
        cmocka_unit_test(test_run_decode_survives_damage),
        cmocka_unit_test(test_run_decode_refuses),
        cmocka_unit_test(test_run_decode_bounds_lists),
        cmocka_unit_test(test_run_id_derive),
        cmocka_unit_test(test_run_id_derive_is_fixed),
        cmocka_unit_test(test_run_json),
        cmocka_unit_test(test_run_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
