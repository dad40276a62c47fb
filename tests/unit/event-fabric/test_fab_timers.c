/* Timers on a real nats-server: due once, replaced, cancelled, listed, kept over a restart, and holding their events in the log. */
#include "fab_internal.h"
#include "fab_test.h"
#include <stdio.h>
#include <string.h>

static nx_fab_timer timer_of(const char *function, const nx_id *id, uint64_t seq, unsigned attempt, int64_t in_ms)
{
    return (nx_fab_timer){.function = nx_slice_cstr(function), .event_id = *id, .event_seq = seq, .attempt = attempt, .due_wall_ns = (uint64_t)((int64_t)nx_clock_wall_ns() + in_ms * (int64_t)NX_NS_PER_MS)};
}

static void set(fix *fx, const nx_fab_timer *t)
{
    waiter w;

    waiter_init(&w);
    ok(nx_fab_timer_set(fx->n, t, &w.pub, &fx->err));
    waiter_wait(&w);
    assert_int_equal(w.pub.err, NX_OK);
}

static nx_fab_consumer *consume(fix *fx, const char *function, inbox *b)
{
    char durable[64];
    nx_fab_consumer *c = NULL;
    nx_fab_consumer_options o = {.durable = durable, .timers_of = nx_slice_cstr(function), .on_msg = inbox_on_msg, .self = b, .ack_wait_ns = NX_NS_PER_S};

    snprintf(durable, sizeof durable, "due-%s", function);
    inbox_init(b);
    ok(nx_fab_consumer_open(fx->n, &o, &c, &fx->err));
    return c;
}

static unsigned count(fix *fx, const char *function, bool only_keyed)
{
    nx_arena a = NX_ARENA_INIT(1 << 20);
    nx_fab_timer *v;
    unsigned n = 0;

    ok(nx_fab_timers_list(fx->n, &(nx_fab_timer_scan){.function = nx_slice_cstr(function), .only_keyed = only_keyed}, &a, &v, &n, &fx->err));
    nx_arena_done(&a);
    return n;
}

static uint64_t stored_timers(fix *fx)
{
    ok(nx_fab_timers_count(fx->n));
    return nx_fab_timers_waiting(fx->n);
}

static bool no_timers_stored(void *self)
{
    return stored_timers(self) == 0;
}

static void test_a_timer_comes_at_its_time_and_is_gone_once_acknowledged(void **state)
{
    fix fix_, *fx = &fix_;
    static inbox f, g;
    nx_fab_consumer *cf, *cg;
    nx_fab_timer t, got;
    nx_id id;
    uint64_t seq;
    nx_fab_msg *m;

    (void)state;
    fix_open(fx);
    cf = consume(fx, "f", &f);
    cg = consume(fx, "g", &g);
    seq = publish(fx, "a.b", "1", &id);
    t = timer_of("f", &id, seq, 3, 400);
    t.generation = 2;
    set(fx, &t);
    assert_int_equal(count(fx, "f", false), 1);
    m = inbox_next(&f, 10000);
    assert_non_null(m);
    assert_true(nx_clock_wall_ns() >= t.due_wall_ns);
    assert_true(nx_fab_msg_timer(m, &got));
    assert_true(nx_slice_eq_cstr(got.function, "f"));
    assert_string_equal(got.event_id.s, id.s);
    assert_int_equal(got.event_seq, seq);
    assert_int_equal(got.attempt, 3);
    assert_int_equal(got.generation, 2);
    assert_int_equal(got.due_wall_ns, t.due_wall_ns);
    nx_arena a = NX_ARENA_INIT(1 << 20);
    nx_event e;
    assert_int_equal(nx_fab_msg_event(m, &a, &e, &fx->err), NX_EINVAL);
    ok(nx_fab_event_get_seq(fx->n, got.event_seq, &a, &e, &fx->err));
    assert_string_equal(e.event_id.s, id.s);
    nx_arena_done(&a);
    assert_int_equal(stored_timers(fx), 1);
    nx_fab_msg_drop(m); /* a node died: it comes again */
    m = inbox_next(&f, 10000);
    assert_non_null(m);
    assert_int_equal(nx_fab_msg_delivery(m), 2);
    nx_fab_msg_ack(m);
    wait_until(no_timers_stored, fx, 5000);
    assert_null(inbox_next(&g, 300)); /* another function's */
    nx_fab_consumer_close(cf, true);
    nx_fab_consumer_close(cg, true);
    fix_close(fx);
}

static void test_a_past_time_is_now_and_a_second_setting_replaces_the_first(void **state)
{
    fix fix_, *fx = &fix_;
    static inbox f;
    nx_fab_timer t, got;
    nx_id id;
    uint64_t seq;
    nx_fab_msg *m;

    (void)state;
    fix_open(fx);
    nx_fab_consumer *c = consume(fx, "f", &f);
    seq = publish(fx, "a", "1", &id);
    t = timer_of("f", &id, seq, 1, 3600 * 1000);
    set(fx, &t);
    t.due_wall_ns = 1000 * NX_NS_PER_S; /* 1970 */
    set(fx, &t);
    assert_int_equal(stored_timers(fx), 1);
    m = inbox_next(&f, 10000);
    assert_non_null(m);
    assert_true(nx_fab_msg_timer(m, &got));
    assert_int_equal(got.due_wall_ns, t.due_wall_ns);
    nx_fab_msg_ack(m);
    assert_null(inbox_next(&f, 500));
    assert_int_equal(stored_timers(fx), 0);
    nx_fab_consumer_close(c, true);
    fix_close(fx);
}

static void test_cancel_list_and_a_functions_own_timers(void **state)
{
    fix fix_, *fx = &fix_;
    nx_fab_timer t, own = {.function = NX_SLICE("f"), .key = NX_SLICE("cron-1a")};
    nx_id id;
    uint64_t seq;

    (void)state;
    fix_open(fx);
    seq = publish(fx, "a", "1", &id);
    for (unsigned i = 1; i <= 3; i++) {
        t = timer_of("f", &id, seq, i, 3600 * 1000);
        set(fx, &t);
    }
    own.due_wall_ns = t.due_wall_ns;
    ok(nx_fab_timer_set_sync(fx->n, &own, true, &fx->err));
    assert_int_equal(nx_fab_timer_set_sync(fx->n, &own, true, &fx->err), NX_ECONFLICT);
    ok(nx_fab_timer_set_sync(fx->n, &own, false, &fx->err));
    assert_int_equal(count(fx, "f", false), 4);
    assert_int_equal(count(fx, "f", true), 1);
    assert_int_equal(count(fx, "other", false), 0);
    assert_int_equal(count(fx, "", false), 4);
    ok(nx_fab_timer_cancel(fx->n, &t, &fx->err));
    ok(nx_fab_timer_cancel(fx->n, &t, &fx->err));
    ok(nx_fab_timer_cancel(fx->n, &own, &fx->err));
    assert_int_equal(count(fx, "f", false), 2);
    t.function = NX_SLICE("f.>");
    assert_int_equal(nx_fab_timer_set_sync(fx->n, &t, false, &fx->err), NX_EINVAL);
    own.key = NX_SLICE("a b");
    assert_int_equal(nx_fab_timer_set_sync(fx->n, &own, false, &fx->err), NX_EINVAL);
    t = timer_of("f", &id, 0, 1, 0);
    assert_int_equal(nx_fab_timer_set_sync(fx->n, &t, false, &fx->err), NX_EINVAL);
    fix_close(fx);
}

static bool is_past(void *self)
{
    const nx_fab_timer *t = self;

    return nx_clock_wall_ns() > t->due_wall_ns;
}

static void test_timers_outlive_the_server(void **state)
{
    fix fix_, *fx = &fix_;
    static inbox f;
    nx_fab_ns_options no = {.events_max_bytes = 1 << 30, .runs_max_bytes = 1 << 30};
    nx_fab_timer t, got;
    nx_id id;
    uint64_t seq;
    nx_fab_msg *m;

    (void)state;
    fix_open(fx);
    seq = publish(fx, "a", "1", &id);
    t = timer_of("f", &id, seq, 1, 500);
    set(fx, &t);
    nx_fab_ns_close(fx->n);
    nx_fab_close(fx->f);
    nx_fab_server_stop(fx->server);
    wait_until(is_past, &t, 5000); /* it falls due while nothing runs */
    fix_on_dir(fx, &no);
    nx_fab_consumer *c = consume(fx, "f", &f);
    m = inbox_next(&f, 10000);
    assert_non_null(m);
    assert_true(nx_fab_msg_timer(m, &got));
    assert_string_equal(got.event_id.s, id.s);
    nx_fab_msg_ack(m);
    nx_fab_consumer_close(c, true);
    fix_close(fx);
}

static void test_trimming_keeps_what_a_timer_waits_for(void **state)
{
    fix fix_, *fx = &fix_;
    nx_fab_timer t;
    nx_id id = {0};
    uint64_t seq = 0, floor = 0;

    (void)state;
    fix_open(fx);
    for (int i = 0; i < 3; i++)
        seq = publish(fx, "a", "1", &id);
    ok(nx_fab_timers_floor(fx->n, 1, 900000, &floor));
    assert_int_equal(floor, 900000); /* nothing waits: no look at all */
    t = timer_of("f", &id, NX_FAB_TIMER_BUCKET * 5 + 7, 1, 3600 * 1000);
    set(fx, &t);
    ok(nx_fab_timers_floor(fx->n, 1, 900000, &floor));
    assert_int_equal(floor, NX_FAB_TIMER_BUCKET * 5);
    ok(nx_fab_timers_floor(fx->n, NX_FAB_TIMER_BUCKET * 5 + 3, 900000, &floor));
    assert_int_equal(floor, NX_FAB_TIMER_BUCKET * 5 + 3);
    ok(nx_fab_timers_floor(fx->n, 1, NX_FAB_TIMER_BUCKET * 5, &floor));
    assert_int_equal(floor, NX_FAB_TIMER_BUCKET * 5);
    ok(nx_fab_timers_floor(fx->n, 1, NX_FAB_TIMER_BUCKET * 2 + 1, &floor));
    assert_int_equal(floor, NX_FAB_TIMER_BUCKET * 2 + 1);
    ok(nx_fab_timers_floor(fx->n, NX_FAB_TIMER_BUCKET * 6, NX_FAB_TIMER_BUCKET * 2000, &floor)); /* not more in one round than 256 look-ups */
    assert_int_equal(floor, NX_FAB_TIMER_BUCKET * (6 + 256));
    t = timer_of("f", &id, seq, 1, 3600 * 1000);
    set(fx, &t);
    ok(nx_fab_timers_floor(fx->n, 1, seq + 1, &floor));
    assert_int_equal(floor, 1);
    fix_close(fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_timer_comes_at_its_time_and_is_gone_once_acknowledged),
        cmocka_unit_test(test_a_past_time_is_now_and_a_second_setting_replaces_the_first),
        cmocka_unit_test(test_cancel_list_and_a_functions_own_timers),
        cmocka_unit_test(test_timers_outlive_the_server),
        cmocka_unit_test(test_trimming_keeps_what_a_timer_waits_for),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
