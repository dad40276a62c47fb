/* What a namespace stores beside events and runs, and takes in and answers: registry, artifacts, raw subjects, types, replies. */
#include "fab_internal.h"
#include "fab_test.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- registry ---------------------------------------------------------------------------------------------------------------------------------- */

static void test_kv_create_update_conflict_delete_list(void **state)
{
    fix fix_, *fx = &fix_;
    nx_arena a = NX_ARENA_INIT(1 << 20);
    uint64_t r1 = 0, r2 = 0, r = 0;
    nx_slice v;
    nx_kv *list;
    unsigned n;

    (void)state;
    fix_open(fx);
    assert_int_equal(nx_fab_kv_get(fx->n, "fn.a", &a, &v, &r, &fx->err), NX_ENOENT);
    ok(nx_fab_kv_put(fx->n, "fn.a", NX_SLICE("one"), 0, &r1, &fx->err));
    assert_int_equal(nx_fab_kv_put(fx->n, "fn.a", NX_SLICE("other"), 0, &r, &fx->err), NX_EEXIST);
    ok(nx_fab_kv_put(fx->n, "fn.a", NX_SLICE("two"), r1, &r2, &fx->err));
    assert_true(r2 > r1);
    assert_int_equal(nx_fab_kv_put(fx->n, "fn.a", NX_SLICE("three"), r1, &r, &fx->err), NX_ECONFLICT);
    ok(nx_fab_kv_get(fx->n, "fn.a", &a, &v, &r, &fx->err));
    assert_true(nx_slice_eq_cstr(v, "two"));
    assert_int_equal(r, r2);
    ok(nx_fab_kv_put(fx->n, "fn.b/v=1", NX_SLICE(""), 0, NULL, &fx->err));
    ok(nx_fab_kv_put(fx->n, "other", NX_SLICE("x"), 0, NULL, &fx->err));
    ok(nx_fab_kv_list(fx->n, "fn.", &a, &list, &n, &fx->err));
    assert_int_equal(n, 2);
    assert_true(nx_slice_eq_cstr(list[0].key, "fn.a") && nx_slice_eq_cstr(list[0].value, "two"));
    ok(nx_fab_kv_delete(fx->n, "fn.a", &fx->err));
    assert_int_equal(nx_fab_kv_get(fx->n, "fn.a", &a, &v, &r, &fx->err), NX_ENOENT);
    ok(nx_fab_kv_list(fx->n, "fn.", &a, &list, &n, &fx->err));
    assert_int_equal(n, 1);
    assert_true(nx_slice_eq_cstr(list[0].key, "fn.b/v=1") && list[0].value.n == 0);
    ok(nx_fab_kv_put(fx->n, "fn.a", NX_SLICE("again"), 0, NULL, &fx->err)); /* after a deletion it may be created */
    assert_int_equal(nx_fab_kv_put(fx->n, "fn a", NX_SLICE("x"), 0, NULL, &fx->err), NX_EINVAL);
    assert_int_equal(nx_fab_kv_put(fx->n, "fn.*", NX_SLICE("x"), 0, NULL, &fx->err), NX_EINVAL);
    assert_int_equal(nx_fab_kv_put(fx->n, ".x", NX_SLICE("x"), 0, NULL, &fx->err), NX_EINVAL);
    nx_arena_done(&a);
    fix_close(fx);
}

static void test_kv_list_of_many_keys_with_history(void **state)
{
    fix fix_, *fx = &fix_;
    nx_arena a = NX_ARENA_INIT(8 << 20);
    char key[32], value[32];
    nx_kv *list;
    unsigned n;

    (void)state;
    fix_open(fx);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 700; i++) { /* more than a page */
            nx_slice old = NX_SLICE_NULL;
            uint64_t r = 0;

            snprintf(key, sizeof key, "k.%d", i);
            snprintf(value, sizeof value, "%d/%d", round, i);
            if (round)
                ok(nx_fab_kv_get(fx->n, key, &a, &old, &r, &fx->err));
            ok(nx_fab_kv_put(fx->n, key, nx_slice_cstr(value), r, NULL, &fx->err));
        }
    ok(nx_fab_kv_list(fx->n, "", &a, &list, &n, &fx->err));
    assert_int_equal(n, 700);
    for (unsigned i = 0; i < n; i++)
        assert_true(nx_slice_starts(list[i].value, NX_SLICE("1/")));
    nx_arena_done(&a);
    fix_close(fx);
}

struct changes {
    pthread_mutex_t mu;
    char last[64];
    unsigned n;
    const char *until;
};

static void on_change(void *self, nx_slice key)
{
    struct changes *c = self;

    pthread_mutex_lock(&c->mu);
    snprintf(c->last, sizeof c->last, "%.*s", NX_SLICE_FMT(key));
    c->n++;
    pthread_mutex_unlock(&c->mu);
}

static bool has_come(void *self)
{
    struct changes *c = self;
    bool yes;

    pthread_mutex_lock(&c->mu);
    yes = !strcmp(c->last, c->until);
    pthread_mutex_unlock(&c->mu);
    return yes;
}

static void test_kv_watch_sees_changes_also_after_a_restart_of_the_server(void **state)
{
    fix fix_, *fx = &fix_;
    struct changes c = {.mu = PTHREAD_MUTEX_INITIALIZER};
    int pid;

    (void)state;
    fix_open(fx);
    ok(nx_fab_kv_put(fx->n, "before", NX_SLICE("x"), 0, NULL, &fx->err));
    ok(nx_fab_kv_watch(fx->n, on_change, &c, &fx->err));
    ok(nx_fab_kv_put(fx->n, "one", NX_SLICE("x"), 0, NULL, &fx->err));
    c.until = "one";
    wait_until(has_come, &c, 5000);
    assert_int_equal(c.n, 1); /* not what was there before */
    ok(nx_fab_kv_delete(fx->n, "one", &fx->err));
    ok(nx_fab_kv_put(fx->n, "two", NX_SLICE("x"), 0, NULL, &fx->err));
    c.until = "two";
    wait_until(has_come, &c, 5000);
    assert_int_equal(c.n, 3);
    pid = nx_fab_server_pid(fx->server);
    kill(pid, SIGKILL);
    wait_until(fab_is_not_ready, fx, 5000);
    wait_until(fab_is_ready, fx, 10000);
    ok(nx_fab_kv_put(fx->n, "three", NX_SLICE("x"), 0, NULL, &fx->err));
    c.until = "three";
    wait_until(has_come, &c, 10000);
    assert_int_equal(nx_fab_kv_watch(fx->n, on_change, &c, &fx->err), NX_EEXIST);
    fix_close(fx);
}

/* ---- artifacts ---------------------------------------------------------------------------------------------------------------------------------- */

static void test_artifact_round_trip_of_5_mib(void **state)
{
    fix fix_, *fx = &fix_;
    size_t n = (5 << 20) + 17;
    char *bytes = malloc(n);
    nx_buf out = NX_BUF_INIT(16 << 20);
    nx_sha256 d, other;
    nx_fab_stream_state before, after;

    (void)state;
    nx_random(bytes, n);
    d = nx_sha256_of(nx_slice_make(bytes, n));
    other = nx_sha256_of(NX_SLICE(""));
    fix_open(fx);
    assert_false(nx_fab_artifact_has(fx->n, &d));
    assert_int_equal(nx_fab_artifact_get(fx->n, &d, &out, &fx->err), NX_ENOENT);
    assert_int_equal(nx_fab_artifact_put(fx->n, &other, nx_slice_make(bytes, n), &fx->err), NX_EINVAL);
    ok(nx_fab_artifact_put(fx->n, &d, nx_slice_make(bytes, n), &fx->err));
    assert_true(nx_fab_artifact_has(fx->n, &d));
    ok(nx_fab_artifact_get(fx->n, &d, &out, &fx->err));
    assert_int_equal(out.n, n);
    assert_memory_equal(out.p, bytes, n);
    ok(nx_fab_stream_state_get(fx->f, fx->n->artifacts.stream, &before, &fx->err));
    assert_int_equal(before.messages, 42); /* 41 chunks of 128 KiB and the metadata */
    ok(nx_fab_artifact_put(fx->n, &d, nx_slice_make(bytes, n), &fx->err));
    ok(nx_fab_stream_state_get(fx->f, fx->n->artifacts.stream, &after, &fx->err));
    assert_int_equal(after.messages, before.messages);
    ok(nx_fab_artifact_put(fx->n, &other, NX_SLICE(""), &fx->err)); /* nothing is an artifact too */
    nx_buf_clear(&out);
    ok(nx_fab_artifact_get(fx->n, &other, &out, &fx->err));
    assert_int_equal(out.n, 0);
    nx_buf_done(&out);
    free(bytes);
    fix_close(fx);
}

/* The layout that others read (ADR-20), field by field. */
static const nx_fab_artifact *listed(const nx_fab_artifact *v, unsigned n, const nx_sha256 *d)
{
    for (unsigned i = 0; i < n; i++)
        if (memcmp(&v[i].digest, d, sizeof *d) == 0)
            return &v[i];
    return NULL;
}

static void test_artifact_is_deleted_unless_it_was_put_again(void **state)
{
    fix fix_, *fx = &fix_;
    nx_sha256 one = nx_sha256_of(NX_SLICE("one")), two = nx_sha256_of(NX_SLICE("two"));
    nx_arena a = NX_ARENA_INIT(1 << 20);
    nx_fab_artifact *v = NULL, *later = NULL;
    nx_fab_stream_state st;
    nx_buf out = NX_BUF_INIT(1 << 20);
    unsigned n = 0;

    (void)state;
    fix_open(fx);
    assert_int_equal(nx_fab_artifact_touch(fx->n, &one, &fx->err), NX_ENOENT);
    ok(nx_fab_artifact_put(fx->n, &one, NX_SLICE("one"), &fx->err));
    ok(nx_fab_artifact_put(fx->n, &two, NX_SLICE("two"), &fx->err));
    ok(nx_fab_artifacts_list(fx->n, &a, &v, &n, &fx->err));
    assert_int_equal(n, 2);
    assert_int_equal(listed(v, n, &one)->size_bytes, 3);
    /* Put once more by somebody who needs it: who saw it before may not take it away. */
    ok(nx_fab_artifact_put(fx->n, &one, NX_SLICE("one"), &fx->err));
    assert_int_equal(nx_fab_artifact_delete(fx->n, listed(v, n, &one), &fx->err), NX_ECONFLICT);
    ok(nx_fab_artifact_get(fx->n, &one, &out, &fx->err));
    assert_true(nx_slice_eq_cstr(nx_buf_view(&out), "one"));
    ok(nx_fab_artifacts_list(fx->n, &a, &later, &n, &fx->err));
    assert_true(listed(later, n, &one)->put_wall_ns >= listed(v, 2, &one)->put_wall_ns && listed(later, n, &one)->seq > listed(v, 2, &one)->seq);
    ok(nx_fab_artifact_delete(fx->n, listed(later, n, &one), &fx->err));
    ok(nx_fab_artifact_delete(fx->n, listed(later, n, &one), &fx->err)); /* gone already */
    assert_false(nx_fab_artifact_has(fx->n, &one));
    assert_true(nx_fab_artifact_has(fx->n, &two));
    ok(nx_fab_stream_state_get(fx->f, fx->n->artifacts.stream, &st, &fx->err));
    assert_int_equal(st.messages, 2); /* chunk and metadata of the other: nothing is left of this one */
    ok(nx_fab_artifact_put(fx->n, &one, NX_SLICE("one"), &fx->err));
    assert_true(nx_fab_artifact_has(fx->n, &one));
    nx_buf_done(&out);
    nx_arena_done(&a);
    fix_close(fx);
}

static void test_artifact_metadata_is_the_published_layout(void **state)
{
    fix fix_, *fx = &fix_;
    nx_sha256 d = nx_sha256_of(NX_SLICE("hello"));
    char subject[256], body[256];
    nx_fab_replies got = {0};
    nx_json *j = NULL;
    nx_slice text;

    (void)state;
    fix_open(fx);
    ok(nx_fab_artifact_put(fx->n, &d, NX_SLICE("hello"), &fx->err));
    snprintf(subject, sizeof subject, "$JS.API.DIRECT.GET.%s", fx->n->artifacts.stream);
    snprintf(body, sizeof body, "{\"last_by_subj\":\"$O.nx-artifacts-default.M.MmNmMjRkYmE1ZmIwYTMwZTI2ZTgzYjJhYzViOWUyOWUxYjE2MWU1YzFmYTc0MjVlNzMwNDMzNjI5MzhiOTgyNA==\"}");
    ok(nx_fab_request(fx->f, &(nx_fab_ask){.subject = subject, .body = nx_slice_cstr(body)}, &got, &fx->err));
    ok(nx_json_parse(nx_slice_make(natsMsg_GetData(got.v[0]), (size_t)natsMsg_GetDataLength(got.v[0])), 4096, &j, &fx->err));
    assert_true(nx_fab_msg_header(got.v[0], "Nats-Rollup", &text) && nx_slice_eq_cstr(text, "sub"));
    assert_true(nx_slice_eq_cstr(nx_json_get_str(j, "name"), "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"));
    assert_true(nx_slice_eq_cstr(nx_json_get_str(j, "bucket"), "nx-artifacts-default"));
    assert_true(nx_slice_eq_cstr(nx_json_get_str(j, "digest"), "SHA-256=LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ="));
    assert_int_equal(nx_json_get_u64(j, "size", 0), 5);
    assert_int_equal(nx_json_get_u64(j, "chunks", 0), 1);
    assert_int_equal(nx_json_get_str(j, "nuid").n, 22);
    assert_int_equal(nx_json_get_u64(nx_json_get(j, "options"), "max_chunk_size", 0), 131072);
    nx_json_free(j);
    nx_fab_replies_done(&got);
    fix_close(fx);
}

/* ---- raw subjects --------------------------------------------------------------------------------------------------------------------------------- */

static void raw_publish(fix *fx, const char *subject, const char *key, const char *value, const char *data)
{
    char text[512];
    nx_fab_hdr h = {.p = text, .cap = sizeof text};
    uint64_t seq;

    if (key)
        nx_fab_hdr_add(&h, key, nx_slice_cstr(value));
    ok(nx_fab_publish_sync(fx->f, subject, key ? &h : NULL, nx_slice_cstr(data), &seq, &fx->err));
}

static void test_raw_messages_become_events(void **state)
{
    fix fix_, *fx = &fix_;
    nx_slice subjects[] = {NX_SLICE("orders.>"), NX_SLICE("orders.eu.*"), NX_SLICE("bills")};
    static inbox box;
    nx_fab_consumer_options o = {.durable = "fn-raw", .subjects = subjects, .n_subjects = 3, .on_msg = inbox_on_msg, .self = &box};
    nx_arena a = NX_ARENA_INIT(1 << 20);
    nx_fab_consumer *c;
    nx_event e, again;
    nx_fab_msg *m;
    nx_id id;

    (void)state;
    fix_open(fx);
    inbox_init(&box);
    ok(nx_fab_ns_raw_subjects(fx->n, subjects, 3, &fx->err));
    ok(nx_fab_consumer_open(fx->n, &o, &c, &fx->err));
    raw_publish(fx, "orders.eu.new", NULL, NULL, "plain bytes");
    m = inbox_next(&box, 5000);
    assert_non_null(m);
    ok(nx_fab_msg_event(m, &a, &e, &fx->err));
    assert_true(nx_slice_eq_cstr(e.type, "nats.orders.eu.new"));
    assert_true(nx_slice_eq_cstr(e.source, "nats:orders.eu.new"));
    assert_true(nx_slice_eq_cstr(e.data, "plain bytes"));
    assert_true(nx_slice_eq(e.id, nx_id_slice(&e.event_id)));
    assert_true(nx_id_is_raw(&e.event_id, NULL));
    assert_true(e.time.n > 20 && e.wall_ns > 0);
    ok(nx_event_validate(&e, &fx->err));
    /* A look-up and a replay see the same trace. */
    ok(nx_fab_event_get(fx->n, &e.event_id, &a, &again, &fx->err));
    assert_string_equal(again.trace.trace_id, e.trace.trace_id);
    assert_int_equal(strlen(e.trace.trace_id), 32);
    assert_int_equal(again.wall_ns, e.wall_ns);
    ok(nx_fab_event_resolve(fx->n, NX_SLICE("@last"), &id, &fx->err));
    assert_string_equal(id.s, e.event_id.s);
    ok(nx_fab_event_resolve(fx->n, nx_slice_make(e.event_id.s + 20, 6), &id, &fx->err));
    assert_string_equal(id.s, e.event_id.s);
    nx_fab_msg_ack(m);

    raw_publish(fx, "bills", "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "x");
    m = inbox_next(&box, 5000);
    assert_non_null(m);
    ok(nx_fab_msg_event(m, &a, &e, &fx->err));
    assert_string_equal(e.trace.trace_id, "0af7651916cd43dd8448eb211c80319c");
    nx_fab_msg_ack(m);

    raw_publish(fx, "bills", "content-type", "application/cloudevents+json",
                "{\"specversion\":\"1.0\",\"id\":\"7\",\"source\":\"/s\",\"type\":\"bill.paid\",\"data\":{\"a\": 1}}");
    m = inbox_next(&box, 5000);
    assert_non_null(m);
    ok(nx_fab_msg_event(m, &a, &e, &fx->err));
    assert_true(nx_slice_eq_cstr(e.type, "bill.paid"));
    assert_true(nx_slice_eq_cstr(e.id, "7"));
    assert_true(nx_slice_eq_cstr(e.data, "{\"a\": 1}"));
    nx_fab_msg_ack(m);

    nx_fab_consumer_close(c, true);
    ok(nx_fab_ns_raw_subjects(fx->n, NULL, 0, &fx->err)); /* nothing is captured any more */
    assert_int_equal(nx_fab_publish_sync(fx->f, "bills", NULL, NX_SLICE("x"), NULL, &fx->err), NX_EUNAVAIL);
    assert_int_equal(nx_fab_ns_raw_subjects(fx->n, &NX_SLICE(">"), 1, &fx->err), NX_EINVAL);
    assert_int_equal(nx_fab_ns_raw_subjects(fx->n, &NX_SLICE("nx.default.ev.>"), 1, &fx->err), NX_EINVAL);
    nx_arena_done(&a);
    fix_close(fx);
}

static void test_a_subject_of_another_stream_is_sourced(void **state)
{
    fix fix_, *fx = &fix_;
    nx_slice subjects[] = {NX_SLICE("orders.>"), NX_SLICE("free")};
    static inbox box;
    nx_fab_consumer_options o = {.durable = "fn-raw", .subjects = subjects, .n_subjects = 2, .on_msg = inbox_on_msg, .self = &box};
    nx_arena a = NX_ARENA_INIT(1 << 20);
    nx_fab_consumer *c;
    nx_json *j = NULL;
    nx_event e;
    nx_fab_msg *m;

    (void)state;
    fix_open(fx);
    inbox_init(&box);
    ok(nx_fab_api(fx->f, "STREAM.CREATE.THEIRS", NX_SLICE("{\"name\":\"THEIRS\",\"subjects\":[\"orders.>\"],\"storage\":\"memory\"}"), &j, NULL, &fx->err));
    nx_json_free(j);
    raw_publish(fx, "orders.old", NULL, NULL, "history");
    for (int i = 0; i < 2; i++) /* the second time finds everything as it is */
        ok(nx_fab_ns_raw_subjects(fx->n, subjects, 2, &fx->err));
    ok(nx_fab_consumer_open(fx->n, &o, &c, &fx->err));
    raw_publish(fx, "orders.new", NULL, NULL, "1");
    raw_publish(fx, "free", NULL, NULL, "2");
    for (int i = 0; i < 2; i++) {
        m = inbox_next(&box, 10000);
        assert_non_null(m);
        ok(nx_fab_msg_event(m, &a, &e, &fx->err));
        assert_true(nx_slice_eq_cstr(e.type, nx_slice_eq_cstr(e.data, "1") ? "nats.orders.new" : "nats.free"));
        nx_fab_msg_ack(m);
    }
    nx_fab_consumer_close(c, true);
    nx_arena_done(&a);
    fix_close(fx);
}

/* ---- types, replies, settings ------------------------------------------------------------------------------------------------------------------------- */

static void test_types_are_counted_also_over_a_restart(void **state)
{
    fix fix_, *fx = &fix_;
    nx_fab_ns_options o = {.events_max_bytes = 1 << 30, .runs_max_bytes = 1 << 30, .max_types = 3};
    nx_event e = make_event(NX_SLICE("d"), "1");
    char type[NX_EVENT_TYPE_BYTES + 1];
    waiter w;

    (void)state;
    fix_open_with(fx, &o);
    publish(fx, "a", "1", NULL);
    publish(fx, "b.x", "1", NULL);
    nx_fab_ns_close(fx->n);
    ok(nx_fab_ns_open(fx->f, NX_SLICE("default"), &o, &fx->n, &fx->err));
    memset(type, '%', sizeof type - 1); /* the longest subject there is */
    type[sizeof type - 1] = 0;
    publish(fx, type, "1", NULL);
    assert_int_equal(waiter_publish(fx, &w, &e, ""), NX_EMANY);
    publish(fx, "a", "2", NULL);
    fix_close(fx);
}

struct answer {
    pthread_mutex_t mu;
    char text[128];
};

static void on_reply(void *self, nx_slice token, int status, nx_slice type, nx_slice body)
{
    struct answer *a = self;

    pthread_mutex_lock(&a->mu);
    snprintf(a->text, sizeof a->text, "%.*s %d %.*s %.*s", NX_SLICE_FMT(token), status, NX_SLICE_FMT(type), NX_SLICE_FMT(body));
    pthread_mutex_unlock(&a->mu);
}

static bool has_answer(void *self)
{
    struct answer *a = self;
    bool yes;

    pthread_mutex_lock(&a->mu);
    yes = a->text[0] != 0;
    pthread_mutex_unlock(&a->mu);
    return yes;
}

static void test_a_reply_reaches_the_waiting_node(void **state)
{
    fix fix_, *fx = &fix_;
    struct answer a = {.mu = PTHREAD_MUTEX_INITIALIZER};
    nx_fab_options o = {.on_reply = on_reply, .reply_self = &a};
    char subject[128];

    (void)state;
    fix_fabric(fx, &o);
    snprintf(subject, sizeof subject, "%s.42", nx_fab_inbox(fx->f));
    ok(nx_fab_reply(fx->f, nx_slice_cstr(subject), 418, NX_SLICE("text/plain"), NX_SLICE("tea")));
    wait_until(has_answer, &a, 5000);
    assert_string_equal(a.text, "42 418 text/plain tea");
    assert_int_equal(nx_fab_reply(fx->f, NX_SLICE("orders.new"), 200, NX_SLICE_NULL, NX_SLICE("x")), NX_EINVAL);
    fix_close(fx);
}

/* What an operator or a newer version put into a stream's configuration stays. */
static void test_reopening_keeps_what_others_set(void **state)
{
    fix fix_, *fx = &fix_;
    nx_fab_ns_options o = {.events_max_bytes = 1 << 30, .runs_max_bytes = 1 << 30, .dedupe_window_ns = 60 * NX_NS_PER_S};
    nx_json *j = NULL;
    nx_buf b = NX_BUF_INIT(1 << 16);
    const nx_json *config;

    (void)state;
    fix_open_with(fx, &o);
    ok(nx_fab_api(fx->f, "STREAM.INFO.NX_EVENTS_default", NX_SLICE_NULL, &j, NULL, &fx->err));
    ok(nx_fab_json_merge(nx_json_get(j, "config"), NX_SLICE("{\"description\":\"mine\",\"metadata\":{\"team\":\"a\"}}"), NULL, &b, NULL, &fx->err));
    nx_json_free(j);
    ok(nx_fab_api(fx->f, "STREAM.UPDATE.NX_EVENTS_default", nx_buf_view(&b), &j, NULL, &fx->err));
    nx_json_free(j);
    nx_fab_ns_close(fx->n);
    o.events_max_bytes = 2u << 30;
    ok(nx_fab_ns_open(fx->f, NX_SLICE("default"), &o, &fx->n, &fx->err));
    ok(nx_fab_api(fx->f, "STREAM.INFO.NX_EVENTS_default", NX_SLICE_NULL, &j, NULL, &fx->err));
    config = nx_json_get(j, "config");
    assert_int_equal(nx_json_get_u64(config, "max_bytes", 0), 2u << 30);
    assert_true(nx_slice_eq_cstr(nx_json_get_str(config, "description"), "mine"));
    assert_true(nx_slice_eq_cstr(nx_json_get_str(nx_json_get(config, "metadata"), "team"), "a"));
    assert_true(nx_slice_eq_cstr(nx_json_get_str(config, "discard"), "new"));
    assert_int_equal(nx_json_get_u64(config, "max_age", 1), 0);
    nx_json_free(j);
    nx_buf_done(&b);
    assert_true(nx_fab_server_version(fx->f)[0] == '2');
    assert_int_equal(nx_fab_ns_open(fx->f, NX_SLICE("a.b"), &o, &(nx_fab_ns *){NULL}, &fx->err), NX_EINVAL);
    fix_close(fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_kv_create_update_conflict_delete_list),
        cmocka_unit_test(test_kv_list_of_many_keys_with_history),
        cmocka_unit_test(test_kv_watch_sees_changes_also_after_a_restart_of_the_server),
        cmocka_unit_test(test_artifact_round_trip_of_5_mib),
        cmocka_unit_test(test_artifact_is_deleted_unless_it_was_put_again),
        cmocka_unit_test(test_artifact_metadata_is_the_published_layout),
        cmocka_unit_test(test_raw_messages_become_events),
        cmocka_unit_test(test_a_subject_of_another_stream_is_sourced),
        cmocka_unit_test(test_types_are_counted_also_over_a_restart),
        cmocka_unit_test(test_a_reply_reaches_the_waiting_node),
        cmocka_unit_test(test_reopening_keeps_what_others_set),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
