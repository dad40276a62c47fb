/* Ordered consumers: one client at a time, terms, what a client that went left behind, and where a successor begins. */
#include "fab_internal.h"
#include "fab_test.h"
#include <signal.h>
#include <stdio.h>
#include <string.h>

struct reader {
    inbox box;
    atomic_uint n_unpinned;
    _Atomic uint64_t term;
};

static void on_msg(void *self, nx_fab_msg *m)
{
    struct reader *r = self;

    inbox_on_msg(&r->box, m);
}

static void on_unpinned(void *self, uint64_t term)
{
    struct reader *r = self;

    atomic_store(&r->term, term);
    atomic_fetch_add(&r->n_unpinned, 1);
}

static nx_fab_consumer *open_reader(fix *fx, nx_fab_ns *n, unsigned shard_from, unsigned n_shards, struct reader *r)
{
    nx_slice types[] = {NX_SLICE("a.*"), NX_SLICE("b")};
    nx_fab_consumer_options o = {.durable = "ord0-f", .types = types, .n_types = 2, .shard_from = shard_from, .n_shards = n_shards, .from_start = true, .placed_for = NX_SLICE("f"), .on_msg = on_msg, .on_unpinned = on_unpinned, .self = r};
    nx_fab_consumer *c = NULL;

    memset(r, 0, sizeof *r);
    inbox_init(&r->box);
    ok(nx_fab_consumer_open(n, &o, &c, &fx->err));
    return c;
}

static void publish_keyed(fix *fx, const char *type, const char *key)
{
    nx_event e = make_event(nx_slice_cstr(type), "1");
    waiter w;

    e.partition_key = nx_slice_cstr(key);
    e.event_id = nx_ulid_new_in_shard(e.wall_ns, nx_shard_of(e.partition_key));
    ok(waiter_publish(fx, &w, &e, ""));
}

static void test_one_client_reads_and_another_takes_over(void **state)
{
    fix fix_, *fx = &fix_;
    static struct reader first, second;
    nx_fab_options fo = {.node = nx_ulid_new(nx_clock_wall_ns())};
    nx_fab_ns_options no = {.events_max_bytes = 1 << 30, .runs_max_bytes = 1 << 30};
    nx_fab *other;
    nx_fab_ns *other_ns;
    uint64_t unacked = 0;
    nx_fab_msg *m[3];

    (void)state;
    fix_open(fx);
    fo.url = nx_fab_server_url(fx->server);
    ok(nx_fab_open(&fo, &other, &fx->err));
    ok(nx_fab_ns_open(other, NX_SLICE("default"), &no, &other_ns, &fx->err));
    nx_fab_consumer *a = open_reader(fx, fx->n, 0, NX_SHARDS, &first);
    publish_keyed(fx, "a.x", "k1");
    m[0] = inbox_next(&first.box, 5000);
    assert_non_null(m[0]);
    nx_fab_consumer *b = open_reader(fx, other_ns, 0, NX_SHARDS, &second);
    publish_keyed(fx, "b", "k 2");
    publish_keyed(fx, "a.y", "k1");
    for (int i = 1; i < 3; i++) {
        m[i] = inbox_next(&first.box, 5000);
        assert_non_null(m[i]);
        assert_true(nx_fab_msg_seq(m[i]) > nx_fab_msg_seq(m[i - 1]));
        assert_true(nx_fab_msg_is_pinned(m[i]));
        assert_int_equal(nx_fab_msg_term(m[i]), nx_fab_msg_term(m[0]));
    }
    assert_true(nx_slice_eq(nx_fab_msg_partition_key(m[0]), nx_fab_msg_partition_key(m[2])));
    assert_false(nx_slice_eq(nx_fab_msg_partition_key(m[0]), nx_fab_msg_partition_key(m[1])));
    assert_null(inbox_next(&second.box, 300));
    ok(nx_fab_consumer_unacked(a, &unacked, &fx->err));
    assert_int_equal(unacked, 3);
    nx_fab_msg_ack(m[0]);
    nx_fab_consumer_close(a, false); /* it says that it goes: nobody waits for its term to end */
    assert_false(nx_fab_msg_is_pinned(m[1]));
    nx_fab_msg_drop(m[1]);
    nx_fab_msg_drop(m[2]);
    m[1] = inbox_next(&second.box, 8000);
    m[2] = inbox_next(&second.box, 8000);
    assert_non_null(m[1]);
    assert_non_null(m[2]);
    assert_true(nx_fab_msg_delivery(m[1]) > 1 && nx_fab_msg_is_pinned(m[1]));
    nx_fab_msg_ack(m[1]);
    nx_fab_msg_ack(m[2]);
    nx_fab_consumer_close(b, true);
    nx_fab_ns_close(other_ns);
    nx_fab_close(other);
    fix_close(fx);
}

/* An event takes a place once more: the function's ordered consumer brings it, as it was and with what its timer said; nobody else sees it. */
static void test_a_placed_event_comes_behind_what_is_stored_and_is_in_no_list(void **state)
{
    fix fix_, *fx = &fix_;
    static struct reader r;
    nx_fab_timer t = {.function = NX_SLICE("f"), .attempt = 1, .generation = 2, .note = NX_SLICE("v2,deny"), .due_wall_ns = 1234567890123456789u}, got;
    nx_arena a = NX_ARENA_INIT(64u << 20);
    nx_fab_scan all = {.limit = 10, .status = -1};
    nx_event first, *listed, placed;
    unsigned n_listed = 0;
    waiter w;
    nx_fab_msg *m[3];

    (void)state;
    fix_open(fx);
    ok(nx_fab_ns_raw_subjects(fx->n, NULL, 0, &fx->err));
    nx_fab_consumer *c = open_reader(fx, fx->n, 0, NX_SHARDS, &r);
    publish_keyed(fx, "a.x", "k 1");
    m[0] = inbox_next(&r.box, 5000);
    assert_non_null(m[0]);
    ok(nx_fab_msg_event(m[0], &a, &first, &fx->err));
    assert_false(nx_fab_msg_is_placed(m[0]));
    publish_keyed(fx, "b", "k 1");
    t.event_id = first.event_id;
    t.event_seq = first.stream_seq;
    waiter_init(&w);
    ok(nx_fab_event_place(fx->n, &t, &first, &w.pub, &fx->err));
    waiter_wait(&w);
    ok(w.pub.err);
    m[1] = inbox_next(&r.box, 5000);
    m[2] = inbox_next(&r.box, 5000);
    assert_non_null(m[2]);
    assert_false(nx_fab_msg_is_placed(m[1]));
    assert_true(nx_fab_msg_is_placed(m[2]) && nx_fab_msg_seq(m[2]) > nx_fab_msg_seq(m[1]));
    assert_true(nx_slice_eq(nx_fab_msg_partition_key(m[2]), nx_fab_msg_partition_key(m[0])));
    ok(nx_fab_msg_event(m[2], &a, &placed, &fx->err));
    assert_int_equal(placed.stream_seq, first.stream_seq);
    assert_int_equal(placed.wall_ns, first.wall_ns);
    assert_string_equal(placed.event_id.s, first.event_id.s);
    assert_true(nx_slice_eq(placed.data, first.data) && nx_slice_eq(placed.type, first.type) && nx_slice_eq(placed.partition_key, first.partition_key));
    assert_true(nx_fab_msg_timer(m[2], &got));
    assert_true(nx_slice_eq(got.function, t.function) && nx_slice_eq(got.note, t.note) && got.event_seq == t.event_seq && got.attempt == 1 && got.generation == 2 &&
                got.due_wall_ns == t.due_wall_ns && !strcmp(got.event_id.s, first.event_id.s));
    ok(nx_fab_events_recent(fx->n, &all, &a, &listed, &n_listed, &fx->err));
    assert_int_equal(n_listed, 2);
    for (int i = 0; i < 3; i++)
        nx_fab_msg_ack(m[i]);
    nx_fab_consumer_close(c, true);
    nx_arena_done(&a);
    fix_close(fx);
}

static bool was_unpinned(void *self)
{
    struct reader *r = self;

    return atomic_load(&r->n_unpinned) > 0;
}

static void test_a_lost_server_ends_the_term(void **state)
{
    fix fix_, *fx = &fix_;
    static struct reader r;
    uint64_t term;
    nx_fab_msg *m;

    (void)state;
    fix_open(fx);
    nx_fab_consumer *c = open_reader(fx, fx->n, 0, NX_SHARDS, &r);
    publish_keyed(fx, "b", "k");
    m = inbox_next(&r.box, 5000);
    assert_non_null(m);
    term = nx_fab_msg_term(m);
    kill(nx_fab_server_pid(fx->server), SIGKILL);
    wait_until(was_unpinned, &r, 10000);
    assert_int_equal(atomic_load(&r.term), term);
    assert_false(nx_fab_msg_is_pinned(m));
    nx_fab_msg_drop(m);
    m = inbox_next(&r.box, 20000);
    assert_non_null(m);
    assert_true(nx_fab_msg_term(m) > term && nx_fab_msg_is_pinned(m));
    nx_fab_msg_ack(m);
    nx_fab_consumer_close(c, true);
    fix_close(fx);
}

/* The server says that a request has brought all it may, which is not the end of a term. */
static void test_a_backlog_over_the_limit_stays_in_one_term(void **state)
{
    fix fix_, *fx = &fix_;
    static struct reader r;
    static nx_fab_msg *m[NX_FAB_ORDERED_MAX];
    const unsigned more = 100;
    uint64_t last = 0;

    (void)state;
    fix_open(fx);
    for (unsigned i = 0; i < NX_FAB_ORDERED_MAX + more; i++)
        publish_keyed(fx, "b", i % 2 ? "k1" : "k2");
    nx_fab_consumer *c = open_reader(fx, fx->n, 0, NX_SHARDS, &r);
    for (unsigned i = 0; i < NX_FAB_ORDERED_MAX; i++) {
        m[i] = inbox_next(&r.box, 5000);
        assert_non_null(m[i]);
        assert_int_equal(nx_fab_msg_delivery(m[i]), 1);
        assert_int_equal(nx_fab_msg_term(m[i]), nx_fab_msg_term(m[0]));
        assert_true(nx_fab_msg_seq(m[i]) > last);
        last = nx_fab_msg_seq(m[i]);
    }
    assert_null(inbox_next(&r.box, 4000)); /* longer than a term that is not prolonged */
    assert_int_equal(atomic_load(&r.n_unpinned), 0);
    assert_true(nx_fab_msg_is_pinned(m[0]));
    for (unsigned i = 0; i < NX_FAB_ORDERED_MAX; i++)
        nx_fab_msg_ack(m[i]);
    for (unsigned i = 0; i < more; i++) {
        nx_fab_msg *next = inbox_next(&r.box, 5000);

        assert_non_null(next);
        assert_int_equal(nx_fab_msg_delivery(next), 1);
        nx_fab_msg_ack(next);
    }
    nx_fab_consumer_close(c, true);
    fix_close(fx);
}

static void test_only_its_shards_and_a_successor_goes_on(void **state)
{
    fix fix_, *fx = &fix_;
    static struct reader r;
    static inbox plain;
    nx_slice type = NX_SLICE("b");
    nx_fab_consumer_options o = {.durable = "fn-f", .types = &type, .n_types = 1, .from_start = true, .on_msg = inbox_on_msg, .self = &plain};
    nx_fab_consumer *c = NULL;
    nx_fab_msg *m;
    unsigned shard = nx_shard_of(NX_SLICE("k"));

    (void)state;
    fix_open(fx);
    inbox_init(&plain);
    ok(nx_fab_consumer_open(fx->n, &o, &c, &fx->err));
    assert_true(nx_fab_consumer_is_new(c));
    for (int i = 0; i < 3; i++)
        publish_keyed(fx, "b", "k");
    for (int i = 0; i < 2; i++) {
        m = inbox_next(&plain, 5000);
        assert_non_null(m);
        nx_fab_msg_ack(m);
    }
    m = inbox_next(&plain, 5000);
    assert_non_null(m);
    uint64_t left = nx_fab_msg_seq(m);
    nx_fab_consumer_close(c, false);
    nx_fab_msg_drop(m);
    nx_fab_consumer_options next = {.durable = "ord0-f", .types = &type, .n_types = 1, .shard_from = shard, .n_shards = 1, .on_msg = on_msg, .on_unpinned = on_unpinned, .self = &r, .successor_of = (const char *const[]){"fn-none", "fn-f", NULL}};
    memset(&r, 0, sizeof r);
    inbox_init(&r.box);
    ok(nx_fab_consumer_open(fx->n, &next, &c, &fx->err));
    ok(nx_fab_consumer_remove(fx->n, "fn-f", &fx->err));
    ok(nx_fab_consumer_remove(fx->n, "fn-f", &fx->err));
    m = inbox_next(&r.box, 5000);
    assert_non_null(m);
    assert_int_equal(nx_fab_msg_seq(m), left); /* neither what was done, nor from now on */
    nx_fab_msg_ack(m);
    nx_event e = make_event(type, "1");
    e.event_id = nx_ulid_new_in_shard(e.wall_ns, (shard + 1) % NX_SHARDS);
    waiter w;
    ok(waiter_publish(fx, &w, &e, ""));
    assert_null(inbox_next(&r.box, 300));
    nx_fab_consumer_close(c, true);
    next.n_shards = NX_SHARDS;
    assert_int_equal(nx_fab_consumer_open(fx->n, &next, &c, &fx->err), NX_EINVAL);
    fix_close(fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_client_reads_and_another_takes_over),
        cmocka_unit_test(test_a_placed_event_comes_behind_what_is_stored_and_is_in_no_list),
        cmocka_unit_test(test_a_lost_server_ends_the_term),
        cmocka_unit_test(test_a_backlog_over_the_limit_stays_in_one_term),
        cmocka_unit_test(test_only_its_shards_and_a_successor_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
