/* test_effects.c: host calls of module nexus as a guest makes them, over a memory of the test's own and a world in memory:
 * grants, what is recorded, and what a replay makes of the recording. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "effects/effects.h"
#include "effects_world.h"
#include "nx/clock.h"
#include "rt_help.h"

#define MEM_BYTES 65536u
#define START_NS 1000000000000000000ull

static uint8_t *mem;
static nx_attempt a, again;
static nx_rt_world w;
static nx_rt_scratch *scratch;
static effects_world world;
static char noted[512];
static unsigned n_noted;

static void on_note(nx_attempt *self, nx_slice text)
{
    (void)self;
    (void)snprintf(noted, sizeof noted, "%.*s", NX_SLICE_FMT(text));
    n_noted++;
}

static void open_world(nx_attempt *attempt)
{
    attempt->start_wall_ns = START_NS;
    attempt->on_note = on_note;
    nx_rt_world_init(&w, attempt, scratch);
    w.begin_ns = nx_clock_ns();
}

static void close_world(void)
{
    nx_rt_world_finish(&w);
    nx_rt_world_done(&w);
}

static int begin(void **state)
{
    (void)state;
    mem = malloc(MEM_BYTES);
    scratch = nx_rt_scratch_new();
    assert_true(mem && scratch);
    memset(mem, 0xaa, MEM_BYTES);
    world = (effects_world){.revision = 7, .value = "seven", .secret = NX_SLICE("hunter2")};
    n_noted = 0;
    nx_attempt_init(&a);
    nx_attempt_init(&again);
    effects_world_live(&a, &world);
    open_world(&a);
    return 0;
}

static int end(void **state)
{
    (void)state;
    close_world();
    nx_rt_scratch_free(scratch);
    nx_attempt_done(&a);
    nx_attempt_done(&again);
    free(mem);
    return 0;
}

/* From here on, `again` repeats what `a` did. */
static void replay(nx_effects_policy policy)
{
    close_world();
    again.effects = policy;
    again.is_replay = true;
    again.effect_ops = &effects_world_ops;
    again.effect_self = &world;
    again.recorded = a.out.effects;
    again.n_recorded = a.out.n_effects;
    open_world(&again);
}

static uint8_t call_args(const char *name, const uint64_t args[NX_RT_WASI_PARAMS_MAX])
{
    const nx_rt_wasi_fn *fn = nx_rt_wasi_find(NX_SLICE("nexus"), nx_slice_cstr(name));
    assert_non_null(fn);
    return nx_rt_wasi_call(&w, fn, mem, MEM_BYTES, args);
}

/* Texts lie behind each other from 1000 on. */
static uint8_t call_texts(const char *name, nx_slice t1, nx_slice t2, nx_slice t3, unsigned n_texts, int64_t number)
{
    const nx_slice texts[] = {t1, t2, t3};
    uint64_t args[NX_RT_WASI_PARAMS_MAX] = {0}, at = 1000;
    for (unsigned i = 0; i < n_texts; i++) {
        if (texts[i].n) memcpy(mem + at, texts[i].p, texts[i].n);
        args[2 * i] = at;
        args[2 * i + 1] = texts[i].n;
        at += texts[i].n;
    }
    args[2 * n_texts] = (uint64_t)number;
    return call_args(name, args);
}

static uint8_t kv_get(const char *store, const char *key)
{
    return call_texts("kv_get", nx_slice_cstr(store), nx_slice_cstr(key), NX_SLICE_NULL, 2, 0);
}
static uint8_t kv_put(const char *key, const char *value, int64_t expected)
{
    return call_texts("kv_put", NX_SLICE_NULL, nx_slice_cstr(key), nx_slice_cstr(value), 3, expected);
}
static uint8_t http(const char *message) { return call_texts("http_request", nx_slice_cstr(message), NX_SLICE_NULL, NX_SLICE_NULL, 1, 0); }
static uint8_t secret(const char *name) { return call_texts("secret_get", nx_slice_cstr(name), NX_SLICE_NULL, NX_SLICE_NULL, 1, 0); }
static uint8_t emit(const char *message) { return call_texts("emit", nx_slice_cstr(message), NX_SLICE_NULL, NX_SLICE_NULL, 1, 0); }

/* The answer of the last call, as the guest reads it. */
static nx_slice answer(void)
{
    const uint64_t none[NX_RT_WASI_PARAMS_MAX] = {0};
    assert_int_equal(call_args("answer_size", none), 0);
    const uint64_t args[NX_RT_WASI_PARAMS_MAX] = {30000, 0, w.value};
    assert_true(w.value < MEM_BYTES - 30000);
    assert_int_equal(call_args("answer_read", args), 0);
    return nx_slice_make(mem + 30000, w.value);
}

static void assert_answer(const char *text)
{
    nx_slice got = answer();
    if (!nx_slice_eq_cstr(got, text)) fail_msg("answer is \"%.*s\", expected \"%s\"", NX_SLICE_FMT(got), text);
}

static void assert_contains(const char *text, const char *part)
{
    if (!strstr(text, part)) fail_msg("\"%s\" does not contain \"%s\"", text, part);
}

static void assert_effect(unsigned i, const char *name, nx_effect_status status, const char *kept)
{
    assert_true(i < a.out.n_effects);
    const nx_effect *f = &a.out.effects[i];
    assert_true(nx_slice_eq_cstr(f->name, name));
    assert_int_equal(f->status, status);
    if (!nx_slice_eq_cstr(f->answer, kept)) fail_msg("kept \"%.*s\", expected \"%s\"", NX_SLICE_FMT(f->answer), kept);
}

static void assert_same_calls(void)
{
    assert_int_equal(a.out.n_calls, again.out.n_calls);
    assert_memory_equal(&a.out.calls_sha256, &again.out.calls_sha256, sizeof a.out.calls_sha256);
}

/* ---- live */

static void test_effect_answers_and_is_recorded(void **state)
{
    (void)state;
    assert_int_equal(kv_get("", "counter"), NX_EFFECT_OK);
    assert_answer("7\nseven");
    assert_int_equal(kv_put("counter", "eight", 7), NX_EFFECT_OK);
    assert_answer("8\n");
    assert_int_equal(kv_put("counter", "nine", 7), NX_EFFECT_CONFLICT);
    assert_answer("revision 8");
    assert_int_equal(kv_put("counter", "nine", NX_KV_ANY), NX_EFFECT_OK);
    assert_int_equal(call_texts("kv_delete", NX_SLICE("other"), NX_SLICE("x"), NX_SLICE_NULL, 2, NX_KV_ANY), NX_EFFECT_OK);
    assert_answer("");
    assert_int_equal(kv_get("other", "x"), NX_EFFECT_NOT_FOUND);
    assert_int_equal(http("GET https://api.example.com/a?key=1\n\n"), NX_EFFECT_OK);
    assert_answer("200\n\nGET https://api.example.com/a?key=1\n\n");
    assert_int_equal(a.out.n_effects, 7);
    assert_effect(0, "kv.get", NX_EFFECT_OK, "7\nseven");
    assert_effect(2, "kv.put", NX_EFFECT_CONFLICT, "revision 8");
    assert_effect(4, "kv.delete", NX_EFFECT_OK, "");
    assert_effect(5, "kv.get", NX_EFFECT_NOT_FOUND, "no key x in other");
    nx_sha256 request = nx_effect_request_digest(NX_SLICE("kv.put"), NX_SLICE("default/counter\n7\neight"));
    assert_memory_equal(&a.out.effects[1].request, &request, sizeof request);
    request = nx_effect_request_digest(NX_SLICE("kv.put"), NX_SLICE("default/counter\nany\nnine"));
    assert_memory_equal(&a.out.effects[3].request, &request, sizeof request);
    assert_int_equal(world.n_calls, 7);
    assert_int_equal(n_noted, 0);
}

static void test_effect_answer_is_read_in_parts(void **state)
{
    (void)state;
    assert_int_equal(kv_get("", "counter"), NX_EFFECT_OK);
    static const struct {
        uint64_t to, offset, n;
        uint8_t status;
    } cases[] = {
        {100, 2, 5, NX_EFFECT_OK},
        {100, 7, 0, NX_EFFECT_OK},
        {100, 0, 8, NX_EFFECT_INVALID},
        {100, 8, 0, NX_EFFECT_INVALID},
        {100, 6, 2, NX_EFFECT_INVALID},
        {100, UINT32_MAX, 1, NX_EFFECT_INVALID},
        {MEM_BYTES - 6, 0, 7, NX_EFFECT_FAULT},
        {UINT32_MAX, 0, 7, NX_EFFECT_FAULT},
        {100, 1, UINT32_MAX, NX_EFFECT_FAULT},
    };
    for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
        const uint64_t args[NX_RT_WASI_PARAMS_MAX] = {cases[i].to, cases[i].offset, cases[i].n};
        assert_int_equal(call_args("answer_read", args), cases[i].status);
    }
    assert_memory_equal(mem + 100, "seven", 5);
    assert_int_equal(a.out.n_effects, 1); /* reading is no effect, and the call was made once */
    assert_int_equal(world.n_calls, 1);
}

static void test_effect_moves_the_clock_to_real_time(void **state)
{
    (void)state;
    w.begin_ns -= 250 * NX_NS_PER_MS; /* the attempt began that long ago */
    assert_int_equal(kv_get("", "counter"), NX_EFFECT_OK);
    assert_true(w.now_ns >= START_NS + 250 * NX_NS_PER_MS && w.now_ns < START_NS + 60 * NX_NS_PER_S);
    assert_int_equal(a.out.effects[0].clock_ns, w.now_ns - START_NS);
    nx_rt_clock_advance(&w, 3600 * NX_NS_PER_S); /* slept in its own time: never set back */
    uint64_t now_ns = w.now_ns;
    assert_int_equal(kv_get("", "counter"), NX_EFFECT_OK);
    assert_int_equal(w.now_ns, now_ns);
}

static void test_effect_without_a_grant_is_denied(void **state)
{
    (void)state;
    static const struct {
        const char *advice;
        bool is_recorded;
    } cases[] = {
        {"kv.get was denied: it is not granted; add `key_value_stores: [\"private\"]` to the function in nexus.yaml", true},
        {"secret.get was denied: it is not granted; add `secrets: [\"OTHER\"]` to the function in nexus.yaml", true},
        {"emit was denied: it is not granted; add `emit: [\"order.paid\"]` to the function in nexus.yaml", true},
        {"http.request was denied: it is not granted; add `allowed_outbound_hosts: [\"https://x.example:8443\"]` to the function in nexus.yaml", true},
    };
    const nx_grants none = {0};
    for (size_t i = 0; i < NX_ARRAY_LEN(cases); i++) {
        uint8_t status = 0;
        close_world();
        nx_attempt_reset(&a);
        effects_world_live(&a, &world);
        open_world(&a);
        if (i == 0) status = kv_get("private", "x");
        else if (i == 1) status = secret("OTHER");
        else if (i == 2) status = emit("order.paid\n\n{}");
        else {
            a.grants = &none;
            status = http("POST https://x.example:8443/pay?card=1\n\n");
        }
        assert_int_equal(status, NX_EFFECT_DENIED);
        assert_string_equal(noted, cases[i].advice);
        assert_true(nx_slice_eq_cstr(answer(), strstr(cases[i].advice, ": ") + 2));
        assert_int_equal(a.out.n_effects, 1);
        assert_int_equal(a.out.effects[0].status, NX_EFFECT_DENIED);
    }
    assert_int_equal(n_noted, NX_ARRAY_LEN(cases));
    a.grants = NULL;
    assert_int_equal(kv_get("", "x"), NX_EFFECT_DENIED);
    assert_int_equal(n_noted, NX_ARRAY_LEN(cases)); /* once an attempt */
    assert_int_equal(world.n_calls, 0);
}

static void test_effect_failures_of_the_world(void **state)
{
    (void)state;
    world.err = NX_EDENIED;
    assert_int_equal(http("GET https://evil.example/\n\n"), NX_EFFECT_DENIED);
    assert_string_equal(noted, "http.request was denied: the world says no");
    world.err = NX_EUNAVAIL;
    assert_int_equal(kv_get("", "x"), NX_EFFECT_UNAVAILABLE);
    assert_answer("the world says no");
    world.err = NX_ETIMEOUT; /* its own time, not the attempt's */
    assert_int_equal(kv_get("", "x"), NX_EFFECT_TIMEOUT);
    a.effect_ops = NULL;
    assert_int_equal(kv_get("", "x"), NX_EFFECT_UNAVAILABLE);
    assert_int_equal(w.end, NX_RT_END_NONE);
    a.effect_ops = &effects_world_ops;
    world.err = NX_ECANCELED;
    assert_int_equal(kv_get("", "x"), NX_WASI_END);
    assert_int_equal(w.end, NX_RT_END_CANCELED);
}

static void test_effect_refuses_hostile_arguments(void **state)
{
    (void)state;
    static const uint64_t bad[][2] = {{MEM_BYTES, 1}, {MEM_BYTES + 1, 0}, {0, MEM_BYTES + 1}, {UINT32_MAX, 1}, {1, UINT32_MAX}, {UINT32_MAX, UINT32_MAX}};
    static const struct {
        const char *name;
        unsigned n_slices;
    } calls[] = {{"http_request", 1}, {"kv_get", 2}, {"kv_put", 3}, {"kv_delete", 2}, {"emit", 1}, {"secret_get", 1}};
    memset(mem, 'x', MEM_BYTES);
    for (size_t i = 0; i < NX_ARRAY_LEN(calls); i++)
        for (unsigned slice = 0; slice < calls[i].n_slices; slice++)
            for (size_t k = 0; k < NX_ARRAY_LEN(bad); k++) {
                uint64_t args[NX_RT_WASI_PARAMS_MAX] = {0, 1, 0, 1, 0, 1, 1};
                if (calls[i].n_slices == 2) args[4] = 1;
                args[2 * slice] = bad[k][0];
                args[2 * slice + 1] = bad[k][1];
                assert_int_equal(call_args(calls[i].name, args), NX_EFFECT_FAULT);
            }
    assert_int_equal(kv_get("", ""), NX_EFFECT_INVALID);
    assert_int_equal(kv_get("", "a b"), NX_EFFECT_INVALID);
    assert_int_equal(kv_get("", "a\n"), NX_EFFECT_INVALID);
    assert_int_equal(kv_get("UP", "a"), NX_EFFECT_INVALID);
    assert_int_equal(kv_get("a.b", "a"), NX_EFFECT_INVALID);
    assert_int_equal(kv_put("a", "v", -2), NX_EFFECT_INVALID);
    assert_int_equal(kv_put("a", "v", INT64_MIN), NX_EFFECT_INVALID);
    assert_int_equal(call_texts("kv_delete", NX_SLICE(""), NX_SLICE("x"), NX_SLICE_NULL, 2, 0), NX_EFFECT_INVALID);
    assert_int_equal(secret(""), NX_EFFECT_INVALID);
    assert_int_equal(secret("\xff"), NX_EFFECT_INVALID);
    assert_int_equal(a.out.n_effects, 0); /* they follow from the arguments: nothing is recorded */
    assert_int_equal(world.n_calls, 0);
    assert_int_equal(w.end, NX_RT_END_NONE);
}

static void test_effect_over_what_a_record_holds_ends_the_run(void **state)
{
    (void)state;
    char *large = calloc(1, 3u << 20);
    assert_non_null(large);
    world.answer = nx_slice_make(large, 3u << 20);
    for (int i = 0; i < 5; i++) assert_int_equal(http("GET https://api.example.com/\n\n"), NX_EFFECT_OK);
    assert_int_equal(http("GET https://api.example.com/\n\n"), NX_WASI_END);
    assert_int_equal(w.end, NX_RT_END_EFFECTS_LIMIT);
    assert_contains(nx_rt_effects_text(&w), "more than a record holds");
    assert_effect(5, "http.request", NX_EFFECT_OVER, "");
    replay(NX_EFFECTS_RECORDED);
    for (int i = 0; i < 5; i++) assert_int_equal(http("GET https://api.example.com/\n\n"), NX_EFFECT_OK);
    assert_int_equal(http("GET https://api.example.com/\n\n"), NX_WASI_END);
    assert_int_equal(w.end, NX_RT_END_EFFECTS_LIMIT);
    assert_int_equal(world.n_calls, 6);
    free(large);
}

static void test_effect_answer_over_its_limit(void **state)
{
    (void)state;
    char *large = calloc(1, NX_EFFECT_ANSWER_BYTES);
    assert_non_null(large);
    world.answer = nx_slice_make(large, NX_EFFECT_ANSWER_BYTES);
    assert_int_equal(http("GET https://api.example.com/\n\n"), NX_EFFECT_LIMIT);
    assert_int_equal(a.out.effects[0].status, NX_EFFECT_LIMIT);
    free(large);
}

/* ---- replays */

static void do_some(void)
{
    (void)kv_get("", "counter");
    (void)answer();
    (void)kv_put("counter", "eight", 7);
    (void)kv_get("private", "x");
    (void)answer();
    (void)emit("forbidden\n\nx");
    (void)emit("t\n\nx");
    (void)secret("API_KEY");
    (void)secret("API_KEY");
    (void)answer();
    (void)http("GET https://api.example.com/a\n\n");
    (void)answer();
}

static void test_effect_replay_gives_what_was_recorded(void **state)
{
    (void)state;
    do_some();
    uint64_t then_ns = w.now_ns;
    unsigned n_calls = world.n_calls;
    replay(NX_EFFECTS_RECORDED);
    world.revision = 99; /* the world has moved on */
    (void)snprintf(world.value, sizeof world.value, "other");
    world.answer = NX_SLICE("other");
    do_some();
    assert_int_equal(w.end, NX_RT_END_NONE);
    assert_int_equal(w.now_ns, then_ns);
    assert_int_equal(world.n_calls, n_calls + 2); /* the secret alone was read again */
    assert_int_equal(again.out.n_effects, a.out.n_effects);
    assert_int_equal(again.out.n_emitted, 1);
    for (unsigned i = 0; i < a.out.n_effects; i++) {
        assert_int_equal(again.out.effects[i].clock_ns, a.out.effects[i].clock_ns);
        assert_true(nx_slice_eq(again.out.effects[i].answer, a.out.effects[i].answer));
    }
    close_world();
    assert_same_calls();
    open_world(&again);
}

static void test_effect_replay_ends_at_another_call(void **state)
{
    (void)state;
    (void)kv_get("", "counter");
    (void)kv_get("", "other");
    replay(NX_EFFECTS_RECORDED);
    assert_int_equal(kv_get("", "counter"), NX_EFFECT_OK);
    assert_int_equal(kv_get("", "third"), NX_WASI_END); /* the same function, another request */
    assert_int_equal(w.end, NX_RT_END_NOT_RECORDED);
    assert_string_equal(nx_rt_effects_text(&w), "host call 1, kv.get default/third, is not in the recording, which has another request of kv.get as effect 1");
    assert_int_equal(world.n_calls, 2);
}

static void test_effect_replay_ends_at_another_function(void **state)
{
    (void)state;
    (void)kv_get("", "counter");
    replay(NX_EFFECTS_RECORDED);
    assert_int_equal(http("GET https://api.example.com/a?key=1\n\n"), NX_WASI_END);
    assert_string_equal(nx_rt_effects_text(&w), "host call 0, http.request GET https://api.example.com/a, is not in the recording, which has kv.get as effect 0");
}

static void test_effect_replay_ends_where_the_recording_does(void **state)
{
    (void)state;
    replay(NX_EFFECTS_RECORDED);
    assert_int_equal(kv_get("", "x"), NX_WASI_END);
    assert_string_equal(nx_rt_effects_text(&w), "host call 0, kv.get default/x, is not in the recording, which has no further one as effect 0");
}

static void test_effect_replay_denies(void **state)
{
    (void)state;
    (void)kv_get("", "counter");
    replay(NX_EFFECTS_DENY);
    again.grants = &effects_world_grants;
    assert_int_equal(kv_get("", "counter"), NX_EFFECT_DENIED);
    assert_answer("this replay denies all effects");
    assert_int_equal(emit("t\n\nx"), NX_EFFECT_OK); /* is never published */
    assert_int_equal(again.out.n_effects, 1);
    assert_int_equal(world.n_calls, 1);
    assert_int_equal(n_noted, 0);
}

static void test_effect_replay_lives(void **state)
{
    (void)state;
    (void)kv_get("", "counter");
    replay(NX_EFFECTS_LIVE);
    again.grants = &effects_world_grants;
    world.revision = 8;
    assert_int_equal(kv_get("", "counter"), NX_EFFECT_OK);
    assert_answer("8\nseven");
    assert_int_equal(kv_get("", "another"), NX_EFFECT_OK);
    assert_int_equal(world.n_calls, 3);
}

/* ---- secrets */

static bool holds(nx_slice s, const char *part) { return s.n && memmem(s.p, s.n, part, strlen(part)); }

static void test_effect_secret_is_nowhere_but_in_the_guest(void **state)
{
    (void)state;
    assert_int_equal(secret("API_KEY"), NX_EFFECT_OK);
    assert_answer("hunter2");
    assert_int_equal(a.out.n_effects, 1);
    assert_int_equal(a.out.effects[0].answer.n, NX_SHA256_BYTES);
    assert_false(holds(a.out.effects[0].answer, "hunter2"));
    assert_int_equal(secret("API_KEY"), NX_EFFECT_OK);
    close_world();
    assert_false(holds(nx_buf_view(&a.out.calls), "hunter2"));
    nx_sha256 calls = a.out.calls_sha256;
    nx_attempt_reset(&a);
    effects_world_live(&a, &world);
    world.secret = NX_SLICE("another of another length");
    open_world(&a);
    (void)secret("API_KEY");
    (void)answer();
    (void)secret("API_KEY");
    close_world();
    assert_memory_equal(&calls, &a.out.calls_sha256, sizeof calls); /* not even its length shows */
    open_world(&a);
    world.secret = NX_SLICE_NULL;
    assert_int_equal(secret("API_KEY"), NX_EFFECT_NOT_FOUND);
    assert_answer("no such secret");
}

static void test_effect_secret_replays_with_the_same_value_only(void **state)
{
    (void)state;
    assert_int_equal(secret("API_KEY"), NX_EFFECT_OK);
    replay(NX_EFFECTS_RECORDED);
    assert_int_equal(secret("API_KEY"), NX_EFFECT_OK);
    assert_answer("hunter2");
    replay(NX_EFFECTS_RECORDED);
    world.secret = NX_SLICE("hunter3");
    assert_int_equal(secret("API_KEY"), NX_WASI_END);
    assert_int_equal(w.end, NX_RT_END_NO_SECRET); /* the world lacks it: nothing that the code did is another */
    assert_string_equal(nx_rt_effects_text(&w), "secret API_KEY has another value than in the recording, or the node another key");
    replay(NX_EFFECTS_RECORDED);
    again.effect_ops = NULL;
    assert_int_equal(secret("API_KEY"), NX_WASI_END);
    assert_contains(nx_rt_effects_text(&w), "the value of secret API_KEY is not recorded");
    replay(NX_EFFECTS_RECORDED);
    world.secret = NX_SLICE("hunter3");
    again.is_replay = false; /* a redrive is a run, and needs an outcome */
    assert_int_equal(secret("API_KEY"), NX_WASI_END);
    assert_int_equal(w.end, NX_RT_END_NOT_RECORDED);
}

/* Whoever has a record, and knows all of a request but a short secret, must not find it by trying. */
static void test_effect_request_that_may_hold_a_secret_has_a_keyed_digest(void **state)
{
    static const char request[] = "GET https://api.example.com/\npin: 4711\n\n";
    (void)state;
    nx_sha256 plain = nx_effect_request_digest(NX_SLICE("http.request"), nx_slice_cstr(request));
    assert_int_equal(http(request), NX_EFFECT_OK);
    assert_int_equal(secret("API_KEY"), NX_EFFECT_OK);
    assert_int_equal(http(request), NX_EFFECT_OK);
    assert_memory_equal(&a.out.effects[0].request, &plain, sizeof plain);
    assert_memory_not_equal(&a.out.effects[2].request, &plain, sizeof plain);
    for (int i = 0; i < 2; i++) { /* it repeats; and so does a recording that was made before the rule */
        replay(NX_EFFECTS_RECORDED);
        if (i) a.out.effects[2].request = plain;
        assert_int_equal(http(request), NX_EFFECT_OK);
        assert_int_equal(secret("API_KEY"), NX_EFFECT_OK);
        assert_int_equal(http(request), NX_EFFECT_OK);
        assert_int_equal(http(request), NX_WASI_END);
        assert_int_equal(w.end, NX_RT_END_NOT_RECORDED);
    }
    again.grants = a.grants;
    again.has_secret_env = true; /* one in the environment counts from the first call */
    replay(NX_EFFECTS_LIVE);
    assert_int_equal(http(request), NX_EFFECT_OK);
    assert_memory_not_equal(&again.out.effects[again.out.n_effects - 1].request, &plain, sizeof plain);
}

/* ---- emit */

static void test_emit_collects_events(void **state)
{
    (void)state;
    assert_int_equal(emit("mail.wanted\nsubject: user/42\npartitionkey:k 1 \ncontent-type: text/plain; charset=utf-8\n\nhello\n\nworld"), NX_EFFECT_OK);
    assert_int_equal(emit("t\n\n"), NX_EFFECT_OK);
    assert_int_equal(a.out.n_emitted, 2);
    const nx_emit *m = a.out.emitted;
    assert_true(nx_slice_eq_cstr(m->type, "mail.wanted"));
    assert_true(nx_slice_eq_cstr(m->subject, "user/42"));
    assert_true(nx_slice_eq_cstr(m->partition_key, "k 1"));
    assert_true(nx_slice_eq_cstr(m->content_type, "text/plain; charset=utf-8"));
    assert_true(nx_slice_eq_cstr(m->data, "hello\n\nworld"));
    assert_int_equal(m[1].data.n + m[1].subject.n, 0);
    assert_int_equal(a.out.n_effects, 0);
}

static void test_emit_refuses_bad_messages(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "t", "t\n", "t\nsubject: x\n", "t\nsubject: x\nsubject: y\n\n", "t\nsubject:\n\n", "t\nSubject: x\n\n",
                                      "t\ntime: x\n\n", "\n\ndata", "t\x01\n\ndata", "t\ncontent-type: nonsense\n\n", "t\r\n\r\ndata", "t\nno colon\n\n"};
    for (size_t i = 0; i < NX_ARRAY_LEN(bad); i++) {
        if (emit(bad[i]) != NX_EFFECT_INVALID) fail_msg("case %zu was taken", i);
        assert_true(answer().n > 0);
    }
    assert_int_equal(a.out.n_emitted, 0);
    assert_int_equal(a.out.n_effects, 0);
}

static void test_emit_is_bounded(void **state)
{
    (void)state;
    for (int i = 0; i < NX_RUN_EMITTED_MAX; i++) assert_int_equal(emit("t\n\nx"), NX_EFFECT_OK);
    assert_int_equal(emit("t\n\nx"), NX_EFFECT_LIMIT);
    assert_int_equal(a.out.n_emitted, NX_RUN_EMITTED_MAX);
    size_t n = NX_EMIT_DATA_BYTES + 3;
    uint8_t *large = calloc(1, n + 1);
    assert_non_null(large);
    memcpy(large, "t\n\n", 3);
    const uint64_t over[NX_RT_WASI_PARAMS_MAX] = {0, n + 1}, most[NX_RT_WASI_PARAMS_MAX] = {0, n};
    const nx_rt_wasi_fn *fn = nx_rt_wasi_find(NX_SLICE("nexus"), NX_SLICE("emit"));
    close_world();
    nx_attempt_reset(&a);
    effects_world_live(&a, &world);
    open_world(&a);
    assert_int_equal(nx_rt_wasi_call(&w, fn, large, n + 1, over), NX_EFFECT_LIMIT);
    for (unsigned i = 0; i < NX_EMIT_ATTEMPT_BYTES / NX_EMIT_DATA_BYTES - 1; i++) assert_int_equal(nx_rt_wasi_call(&w, fn, large, n + 1, most), NX_EFFECT_OK);
    assert_int_equal(nx_rt_wasi_call(&w, fn, large, n + 1, most), NX_EFFECT_LIMIT);
    free(large);
}

/* Grants may change, so a denial is recorded; that an event was taken is not. */
static void test_emit_denied_is_denied_again(void **state)
{
    (void)state;
    assert_int_equal(emit("t\n\n1"), NX_EFFECT_OK);
    assert_int_equal(emit("forbidden\n\n2"), NX_EFFECT_DENIED);
    assert_int_equal(emit("t\n\n3"), NX_EFFECT_OK);
    assert_int_equal(a.out.n_effects, 1);
    assert_effect(0, "emit", NX_EFFECT_DENIED, "it is not granted; add `emit: [\"forbidden\"]` to the function in nexus.yaml");
    replay(NX_EFFECTS_RECORDED);
    assert_int_equal(emit("t\n\n1"), NX_EFFECT_OK);
    assert_int_equal(emit("forbidden\n\n2"), NX_EFFECT_DENIED);
    assert_int_equal(emit("t\n\n3"), NX_EFFECT_OK);
    assert_int_equal(again.out.n_emitted, 2);
    close_world();
    assert_same_calls();
    open_world(&again);
}

/* ---- the trace */

static void test_effect_reads_well_in_a_divergence(void **state)
{
    (void)state;
    NX_CLEANUP(nx_buf_done)
    nx_buf text_a = NX_BUF_INIT(4096);
    NX_CLEANUP(nx_buf_done)
    nx_buf text_b = NX_BUF_INIT(4096);
    int64_t index;
    assert_int_equal(http("GET https://api.example.com/a?key=1\n\n"), NX_EFFECT_OK);
    replay(NX_EFFECTS_DENY);
    assert_int_equal(http("GET https://api.example.com/a?key=2\n\n"), NX_EFFECT_DENIED);
    close_world();
    assert_int_equal(nx_rt_calls_first_difference(&(nx_rt_trace){.calls = nx_buf_view(&a.out.calls)}, &(nx_rt_trace){.calls = nx_buf_view(&again.out.calls)}, false, &index, &text_a, &text_b), NX_OK);
    assert_int_equal(index, 0);
    assert_contains(nx_buf_cstr(&text_a), "http_request(\"GET https://api.example.com/a\", request ");
    assert_contains(nx_buf_cstr(&text_a), ") -> 42 bytes");
    assert_contains(nx_buf_cstr(&text_b), ") -> DENIED");
    assert_null(strstr(nx_buf_cstr(&text_a), "key="));
    open_world(&again);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], NX_RT_CHILD_VERB) == 0) return nx_rt_child_main(argc, argv);
#define T(f) cmocka_unit_test_setup_teardown(f, begin, end)
    const struct CMUnitTest tests[] = {
        T(test_effect_answers_and_is_recorded),
        T(test_effect_answer_is_read_in_parts),
        T(test_effect_moves_the_clock_to_real_time),
        T(test_effect_without_a_grant_is_denied),
        T(test_effect_failures_of_the_world),
        T(test_effect_refuses_hostile_arguments),
        T(test_effect_over_what_a_record_holds_ends_the_run),
        T(test_effect_answer_over_its_limit),
        T(test_effect_replay_gives_what_was_recorded),
        T(test_effect_replay_ends_at_another_call),
        T(test_effect_replay_ends_at_another_function),
        T(test_effect_replay_ends_where_the_recording_does),
        T(test_effect_replay_denies),
        T(test_effect_replay_lives),
        T(test_effect_secret_is_nowhere_but_in_the_guest),
        T(test_effect_secret_replays_with_the_same_value_only),
        T(test_effect_request_that_may_hold_a_secret_has_a_keyed_digest),
        T(test_emit_collects_events),
        T(test_emit_refuses_bad_messages),
        T(test_emit_is_bounded),
        T(test_emit_denied_is_denied_again),
        T(test_effect_reads_well_in_a_divergence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
