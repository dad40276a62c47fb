/* The main way: publish, find, consume, acknowledge, record. */
#include "fab_test.h"
#include <stdio.h>
#include <stdlib.h>

static void test_publish_stores_and_get_finds_every_attribute(void **state)
{
    fix fix_, *fx = &fix_;
    nx_arena a = NX_ARENA_INIT(1 << 20);
    nx_event e = make_event(NX_SLICE("user.created"), "{\"a\": 1}"), got;
    waiter w;

    (void)state;
    fix_open(fx);
    e.id = NX_SLICE("producer id, with \"quotes\" and 100 %");
    e.subject = NX_SLICE("s\xc3\xbc"
                         "b");
    e.dataschema = NX_SLICE("https://example.com/schema");
    e.partition_key = NX_SLICE("k1");
    e.ext[0] = (nx_kv){NX_SLICE("myext"), NX_SLICE("x y")};
    e.n_ext = 1;
    e.hop = 3;
    e.cause = NX_SLICE("01ARZ3NDEKTSV4RRFFQ69G5FAV");
    e.tracestate = NX_SLICE("vendor=1");
    e.data_is_base64 = true;
    ok(waiter_publish(fx, &w, &e, ""));
    assert_int_equal(w.pub.seq, 1);
    assert_false(w.pub.is_duplicate);
    ok(nx_fab_event_get(fx->n, &e.event_id, &a, &got, &fx->err));
    assert_string_equal(got.event_id.s, e.event_id.s);
    assert_true(nx_slice_eq(got.id, e.id));
    assert_true(nx_slice_eq(got.source, e.source));
    assert_true(nx_slice_eq(got.type, e.type));
    assert_true(nx_slice_eq(got.time, e.time));
    assert_true(nx_slice_eq(got.subject, e.subject));
    assert_true(nx_slice_eq(got.dataschema, e.dataschema));
    assert_true(nx_slice_eq(got.content_type, e.content_type));
    assert_true(nx_slice_eq(got.partition_key, e.partition_key));
    assert_int_equal(got.n_ext, 1);
    assert_true(nx_slice_eq(got.ext[0].key, e.ext[0].key));
    assert_true(nx_slice_eq(got.ext[0].value, e.ext[0].value));
    assert_string_equal(got.trace.trace_id, e.trace.trace_id);
    assert_string_equal(got.trace.span_id, e.trace.span_id);
    assert_true(nx_slice_eq(got.tracestate, e.tracestate));
    assert_int_equal(got.hop, 3);
    assert_true(nx_slice_eq(got.cause, e.cause));
    assert_true(nx_slice_eq(got.data, e.data));
    assert_true(got.data_is_base64);
    assert_int_equal(got.stream_seq, 1);
    assert_int_equal(got.wall_ns, e.wall_ns);
    assert_true(nx_slice_eq_cstr(got.ns, "default"));
    e.event_id = nx_ulid_new(nx_clock_wall_ns());
    assert_int_equal(nx_fab_event_get(fx->n, &e.event_id, &a, &got, &fx->err), NX_ENOENT);
    nx_arena_done(&a);
    fix_close(fx);
}

static void test_a_duplicate_answers_with_the_first_sequence(void **state)
{
    fix fix_, *fx = &fix_;
    nx_event e = make_event(NX_SLICE("t"), "1");
    waiter w;
    uint64_t first;

    (void)state;
    fix_open(fx);
    ok(waiter_publish(fx, &w, &e, "key"));
    first = w.pub.seq;
    publish(fx, "other", "2", NULL);
    e.event_id = nx_ulid_new(nx_clock_wall_ns());
    ok(waiter_publish(fx, &w, &e, "key"));
    assert_true(w.pub.is_duplicate);
    assert_int_equal(w.pub.seq, first);
    fix_close(fx);
}

static void test_consume_ack_nak_and_drop(void **state)
{
    fix fix_, *fx = &fix_;
    nx_slice types[] = {NX_SLICE("order.*"), NX_SLICE("user.>")};
    nx_fab_consumer *c;
    nx_arena a = NX_ARENA_INIT(1 << 20);
    static inbox box;
    nx_fab_consumer_options o = {.durable = "fn-a", .types = types, .n_types = 2, .on_msg = inbox_on_msg, .self = &box, .ack_wait_ns = NX_NS_PER_S};
    uint64_t pending, inflight;
    nx_fab_msg *m, *other;
    nx_event e;
    nx_id id;

    (void)state;
    fix_open(fx);
    inbox_init(&box);
    publish(fx, "order.before", "0", NULL); /* stored before the consumer was made: not for it */
    ok(nx_fab_consumer_open(fx->n, &o, &c, &fx->err));
    publish(fx, "order.placed", "1", &id);
    publish(fx, "order.placed.late", "-", NULL);
    publish(fx, "user", "-", NULL);
    publish(fx, "user.a.b", "2", NULL);

    m = inbox_next(&box, 5000);
    assert_non_null(m);
    ok(nx_fab_msg_event(m, &a, &e, &fx->err));
    assert_string_equal(e.event_id.s, id.s);
    assert_true(nx_slice_eq_cstr(e.data, "1"));
    assert_int_equal(nx_fab_msg_delivery(m), 1);
    other = inbox_next(&box, 5000);
    assert_non_null(other);
    ok(nx_fab_msg_event(other, &a, &e, &fx->err));
    assert_true(nx_slice_eq_cstr(e.type, "user.a.b"));
    nx_fab_msg_nak(m, 0);
    nx_fab_msg_ack(other);

    m = inbox_next(&box, 5000);
    assert_non_null(m);
    assert_int_equal(nx_fab_msg_delivery(m), 2);
    ok(nx_fab_msg_event(m, &a, &e, &fx->err));
    assert_true(nx_slice_eq_cstr(e.data, "1"));
    nx_fab_msg_drop(m);

    m = inbox_next(&box, 5000); /* after ack_wait */
    assert_non_null(m);
    assert_int_equal(nx_fab_msg_delivery(m), 3);
    nx_fab_msg_ack(m);
    assert_null(inbox_next(&box, 1500));
    nx_fab_consumer_depth(c, &pending, &inflight);
    assert_int_equal(pending, 0);
    assert_int_equal(inflight, 0);
    nx_fab_consumer_close(c, true);
    nx_arena_done(&a);
    fix_close(fx);
}

static void test_a_message_in_hand_is_kept_alive_past_ack_wait(void **state)
{
    fix fix_, *fx = &fix_;
    nx_slice type = NX_SLICE("t");
    static inbox box;
    nx_fab_consumer_options o = {.durable = "fn-slow", .types = &type, .n_types = 1, .on_msg = inbox_on_msg, .self = &box, .ack_wait_ns = NX_NS_PER_S};
    nx_fab_consumer *c;
    nx_fab_msg *m;

    (void)state;
    fix_open(fx);
    inbox_init(&box);
    ok(nx_fab_consumer_open(fx->n, &o, &c, &fx->err));
    publish(fx, "t", "1", NULL);
    m = inbox_next(&box, 5000);
    assert_non_null(m);
    assert_null(inbox_next(&box, 3000));
    nx_fab_msg_ack(m);
    nx_fab_consumer_close(c, false);
    fix_close(fx);
}

static void test_runs_are_recorded_and_found(void **state)
{
    fix fix_, *fx = &fix_;
    nx_arena a = NX_ARENA_INIT(64 << 20);
    nx_run *run = calloc(1, sizeof *run), *v, got;
    nx_event e;
    nx_buf b = NX_BUF_INIT(1 << 20);
    unsigned n;
    nx_fab_scan s = {.limit = 10, .status = -1};
    waiter w;

    (void)state;
    fix_open(fx);
    e = make_event(NX_SLICE("t"), "1");
    ok(waiter_publish(fx, &w, &e, ""));
    run->ns = NX_SLICE("default");
    run->event_id = e.event_id;
    run->event_type = e.type;
    run->function = NX_SLICE("hello");
    run->version = NX_SLICE("v1");
    run->attempt = 1;
    run->status = NX_RUN_ERROR;
    run->run_id = nx_run_id_derive(run->ns, &e.event_id, e.wall_ns / NX_NS_PER_MS, run->function, 0);
    ok(nx_run_encode(run, &b));
    waiter_init(&w);
    ok(nx_fab_publish_run(fx->n, run, nx_buf_view(&b), &w.pub, &fx->err));
    waiter_wait(&w);
    ok(w.pub.err);
    run->attempt = 2;
    run->status = NX_RUN_OK;
    run->is_final = true;
    run->output = NX_SLICE("out");
    run->output_bytes = 3;
    for (unsigned i = 0; i < 2; i++) { /* two nodes record the same run: both records are stored, the first one counts */
        run->delivery = 2 + i;
        nx_buf_clear(&b);
        ok(nx_run_encode(run, &b));
        waiter_init(&w);
        ok(nx_fab_publish_run(fx->n, run, nx_buf_view(&b), &w.pub, &fx->err));
        waiter_wait(&w);
        ok(w.pub.err);
        assert_int_equal(w.pub.seq, 2 + i);
        assert_false(w.pub.is_duplicate);
    }
    ok(nx_fab_runs_of(fx->n, &e, false, &a, &v, &n, &fx->err));
    assert_int_equal(n, 3);
    assert_int_equal(v[0].attempt, 1);
    assert_int_equal(v[1].attempt, 2);
    assert_int_equal(v[1].record_seq, 2);
    ok(nx_fab_runs_done(fx->n, &e, &a, &v, &n, &fx->err)); /* no function of this node takes it: all there is */
    assert_int_equal(n, 3);
    ok(nx_fab_run_final(fx->n, &e, NX_SLICE("hello"), 0, &a, &got, &fx->err));
    assert_int_equal(got.attempt, 2);
    assert_true(nx_slice_eq_cstr(got.output, "out"));
    assert_int_equal(nx_fab_run_final(fx->n, &e, NX_SLICE("other"), 0, &a, &got, &fx->err), NX_ENOENT);
    assert_int_equal(nx_fab_run_final(fx->n, &e, NX_SLICE("hello"), 1, &a, &got, &fx->err), NX_ENOENT);
    ok(nx_fab_run_get(fx->n, &run->run_id, &a, &got, &fx->err));
    assert_int_equal(got.attempt, 2);
    ok(nx_fab_runs_recent(fx->n, &s, &a, &v, &n, &fx->err));
    assert_int_equal(n, 1);
    s.all_attempts = true;
    ok(nx_fab_runs_recent(fx->n, &s, &a, &v, &n, &fx->err));
    assert_int_equal(n, 2);
    assert_int_equal(v[0].attempt, 2);
    s.status = NX_RUN_ERROR;
    ok(nx_fab_runs_recent(fx->n, &s, &a, &v, &n, &fx->err));
    assert_int_equal(n, 1);
    nx_buf_done(&b);
    nx_arena_done(&a);
    free(run);
    fix_close(fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_publish_stores_and_get_finds_every_attribute),
        cmocka_unit_test(test_a_duplicate_answers_with_the_first_sequence),
        cmocka_unit_test(test_consume_ack_nak_and_drop),
        cmocka_unit_test(test_a_message_in_hand_is_kept_alive_past_ack_wait),
        cmocka_unit_test(test_runs_are_recorded_and_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
