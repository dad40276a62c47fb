/* What failures leave in the log of a real nats-server: attempts of a run, dead letters and their marks; and consumers that are paused. */
#include "fab_internal.h"
#include "fab_test.h"
#include "nx/fab_dead.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static nx_run run_of(const nx_event *e, const char *function, unsigned generation, unsigned attempt, nx_run_status status, bool is_final)
{
    nx_run r = {.ns = NX_SLICE("default"), .event_id = e->event_id, .event_type = e->type, .function = nx_slice_cstr(function), .generation = generation, .attempt = attempt, .status = status, .is_final = is_final, .delivery = attempt};

    r.why = status == NX_RUN_OK ? NX_WHY_NONE : NX_WHY_TRAP;
    r.run_id = nx_run_id_derive(r.ns, &r.event_id, e->wall_ns / NX_NS_PER_MS, r.function, generation);
    return r;
}

static void record(fix *fx, const nx_run *r)
{
    nx_buf b = NX_BUF_INIT(1 << 20);
    waiter w;

    ok(nx_run_encode(r, &b));
    waiter_init(&w);
    ok(nx_fab_publish_run(fx->n, r, nx_buf_view(&b), &w.pub, &fx->err));
    waiter_wait(&w);
    ok(w.pub.err);
    nx_buf_done(&b);
}

static void test_attempts_of_a_run(void **state)
{
    fix fix_, *fx = &fix_;
    nx_arena a = NX_ARENA_INIT(64 << 20);
    nx_event e = make_event(NX_SLICE("order.placed"), "x");
    nx_run r[5], got, *v;
    unsigned n;

    (void)state;
    fix_open(fx);
    for (unsigned i = 0; i < 3; i++)
        r[i] = run_of(&e, "f", 0, i + 1, NX_RUN_ERROR, false);
    r[3] = run_of(&e, "f", 0, 4, NX_RUN_ERROR, true);
    r[4] = run_of(&e, "f", 1, 1, NX_RUN_OK, true);
    assert_int_equal(nx_fab_run_latest(fx->n, &e, NX_SLICE("f"), 0, &a, &got, &fx->err), NX_ENOENT);
    for (unsigned i = 0; i < 3; i++) {
        record(fx, &r[i]);
        ok(nx_fab_run_latest(fx->n, &e, NX_SLICE("f"), 0, &a, &got, &fx->err));
        assert_true(got.attempt == i + 1 && !got.is_final);
    }
    assert_int_equal(nx_fab_run_final(fx->n, &e, NX_SLICE("f"), 0, &a, &got, &fx->err), NX_ENOENT);
    record(fx, &r[3]);
    record(fx, &r[4]);
    ok(nx_fab_run_latest(fx->n, &e, NX_SLICE("f"), 0, &a, &got, &fx->err));
    assert_true(got.is_final && got.attempt == 4 && got.generation == 0);
    ok(nx_fab_run_latest(fx->n, &e, NX_SLICE("f"), 1, &a, &got, &fx->err));
    assert_true(got.is_final && got.status == NX_RUN_OK);
    assert_int_equal(nx_fab_run_latest(fx->n, &e, NX_SLICE("g"), 0, &a, &got, &fx->err), NX_ENOENT);
    ok(nx_fab_run_attempts(fx->n, &r[0].run_id, &a, &v, &n, &fx->err));
    assert_int_equal(n, 4);
    for (unsigned i = 0; i < n; i++)
        assert_int_equal(v[i].attempt, i + 1);
    nx_fab_scan s = {.status = NX_RUN_ERROR, .limit = 10};
    ok(nx_fab_runs_recent(fx->n, &s, &a, &v, &n, &fx->err));
    assert_int_equal(n, 1);
    s.all_attempts = true;
    ok(nx_fab_runs_recent(fx->n, &s, &a, &v, &n, &fx->err));
    assert_int_equal(n, 4); /* though the subject of three of them says "retry" */
    nx_arena_done(&a);
    fix_close(fx);
}

struct seen {
    unsigned n, n_marks;
    nx_id last;
    nx_fab_dead_kind kind;
};

static void see(void *self, const nx_fab_dead *d)
{
    struct seen *s = self;

    if (d->kind == NX_FAB_DEAD_RUN) {
        s->n++;
        assert_non_null(d->run);
    } else {
        s->n_marks++;
    }
    s->last = d->run_id;
    s->kind = d->kind;
}

static void test_dead_letters_are_read_on(void **state)
{
    fix fix_, *fx = &fix_;
    nx_arena a = NX_ARENA_INIT(64 << 20);
    nx_fab_dead_pass p = {0};
    struct seen s = {0};
    nx_run bad, got;
    bool is_done;

    (void)state;
    fix_open(fx);
    ok(nx_fab_dead_read(fx->n, &p, NX_NS_PER_S, see, &s, &is_done, &fx->err));
    assert_true(is_done && s.n == 0);
    for (unsigned i = 0; i < 30; i++) {
        nx_event e = make_event(NX_SLICE("order.placed"), "x");
        nx_run r = run_of(&e, i % 2 ? "f" : "g", 0, 1, i % 3 == 0 ? NX_RUN_OK : i % 3 == 1 ? NX_RUN_ERROR
                                                                                           : NX_RUN_TIMEOUT,
                          true);

        record(fx, &r);
        if (r.status != NX_RUN_OK)
            bad = r;
        r = run_of(&e, "h", 0, 1, NX_RUN_ERROR, false);
        record(fx, &r);
    }
    ok(nx_fab_dead_read(fx->n, &p, NX_NS_PER_S, see, &s, &is_done, &fx->err));
    assert_true(is_done && s.n == 20 && s.n_marks == 0);
    ok(nx_fab_dead_read(fx->n, &p, NX_NS_PER_S, see, &s, &is_done, &fx->err));
    assert_true(is_done && s.n == 20);
    /* A mark is met once, after what it marks; readers of records never meet it. */
    ok(nx_fab_dead_mark(fx->n, NX_FAB_DEAD_PURGED, &bad, NX_SLICE("{}"), &fx->err));
    assert_int_equal(nx_fab_dead_mark(fx->n, NX_FAB_DEAD_RUN, &bad, NX_SLICE("{}"), &fx->err), NX_EINVAL);
    ok(nx_fab_dead_read(fx->n, &p, NX_NS_PER_S, see, &s, &is_done, &fx->err));
    assert_true(is_done && s.n == 20 && s.n_marks == 1 && s.kind == NX_FAB_DEAD_PURGED);
    assert_string_equal(s.last.s, bad.run_id.s);
    ok(nx_fab_run_get(fx->n, &bad.run_id, &a, &got, &fx->err));
    ok(nx_fab_run_get_seq(fx->n, got.record_seq, &a, &got, &fx->err));
    assert_string_equal(got.run_id.s, bad.run_id.s);
    assert_int_equal(nx_fab_run_get_seq(fx->n, 100000, &a, &got, &fx->err), NX_ENOENT);
    /* Without time it gets on a little each call, and finds the same. */
    p = (nx_fab_dead_pass){0};
    s = (struct seen){0};
    is_done = false;
    for (unsigned i = 0; i < 200 && !is_done; i++)
        ok(nx_fab_dead_read(fx->n, &p, 0, see, &s, &is_done, &fx->err));
    assert_true(is_done && s.n == 20 && s.n_marks == 1);
    nx_arena_done(&a);
    fix_close(fx);
}

static void test_a_paused_consumer_gets_nothing_until_it_goes_on(void **state)
{
    fix fix_, *fx = &fix_;
    static inbox b;
    nx_slice type = NX_SLICE("order.placed");
    nx_fab_consumer *c = NULL;
    nx_fab_consumer_options o = {.durable = "fn-f", .types = &type, .n_types = 1, .on_msg = inbox_on_msg, .self = &b};
    nx_fab_msg *m;

    (void)state;
    fix_open(fx);
    inbox_init(&b);
    ok(nx_fab_consumer_open(fx->n, &o, &c, &fx->err));
    publish(fx, "order.placed", "1", NULL);
    m = inbox_next(&b, 5000);
    assert_non_null(m);
    ok(nx_fab_consumer_pause(c, true, &fx->err));
    ok(nx_fab_consumer_pause(c, true, &fx->err));
    publish(fx, "order.placed", "2", NULL);
    nx_fab_msg_nak(m, 0); /* waits too */
    assert_null(inbox_next(&b, 300));
    /* Opened again it is as it was told then, whatever the server remembers. */
    nx_fab_consumer_close(c, false);
    o.is_paused = true;
    ok(nx_fab_consumer_open(fx->n, &o, &c, &fx->err));
    assert_null(inbox_next(&b, 300));
    nx_fab_consumer_close(c, false);
    o.is_paused = false;
    ok(nx_fab_consumer_open(fx->n, &o, &c, &fx->err));
    for (int i = 0; i < 2; i++) {
        m = inbox_next(&b, 5000);
        assert_non_null(m);
        nx_fab_msg_ack(m);
    }
    ok(nx_fab_consumer_pause(c, true, &fx->err));
    publish(fx, "order.placed", "3", NULL);
    assert_null(inbox_next(&b, 300));
    ok(nx_fab_consumer_pause(c, false, &fx->err));
    m = inbox_next(&b, 2000);
    assert_non_null(m);
    nx_fab_msg_ack(m);
    nx_fab_consumer_close(c, true);
    fix_close(fx);
}

static void test_a_timer_brings_its_note(void **state)
{
    fix fix_, *fx = &fix_;
    static inbox b;
    nx_fab_consumer *c = NULL;
    nx_fab_consumer_options o = {.durable = "due-f", .timers_of = NX_SLICE("f"), .on_msg = inbox_on_msg, .self = &b};
    nx_fab_timer t = {.function = NX_SLICE("f"), .attempt = 1, .generation = 2, .note = NX_SLICE("v7,deny"), .due_wall_ns = nx_clock_wall_ns()}, got;
    char text[200];
    nx_fab_msg *m;

    (void)state;
    fix_open(fx);
    inbox_init(&b);
    ok(nx_fab_consumer_open(fx->n, &o, &c, &fx->err));
    t.event_seq = publish(fx, "order.placed", "1", &t.event_id);
    ok(nx_fab_timer_set_sync(fx->n, &t, true, &fx->err));
    m = inbox_next(&b, 5000);
    assert_non_null(m);
    assert_true(nx_fab_msg_timer(m, &got) && nx_slice_eq_cstr(got.note, "v7,deny") && got.generation == 2);
    nx_fab_msg_ack(m);
    memset(text, 'x', sizeof text);
    t.note = nx_slice_make(text, sizeof text);
    assert_int_equal(nx_fab_timer_set_sync(fx->n, &t, true, &fx->err), NX_ELIMIT);
    nx_fab_consumer_close(c, true);
    fix_close(fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attempts_of_a_run),
        cmocka_unit_test(test_dead_letters_are_read_on),
        cmocka_unit_test(test_a_paused_consumer_gets_nothing_until_it_goes_on),
        cmocka_unit_test(test_a_timer_brings_its_note),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
