/* Finding events and runs again: the newest, by an id, by the end of one; and what looking for an unknown one costs. */
#include "fab_internal.h"
#include "fab_test.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void test_recent_and_resolve(void **state)
{
    fix fix_, *fx = &fix_;
    nx_arena a = NX_ARENA_INIT(16 << 20);
    nx_fab_scan s = {.limit = 5, .status = -1};
    nx_id ids[300], rare = {0}, id;
    uint64_t middle = 0;
    nx_event *v;
    unsigned n;

    (void)state;
    fix_open(fx);
    ok(nx_fab_events_recent(fx->n, &s, &a, &v, &n, &fx->err));
    assert_int_equal(n, 0);
    assert_int_equal(nx_fab_event_resolve(fx->n, NX_SLICE("@last"), &id, &fx->err), NX_ENOENT);
    for (int i = 0; i < 300; i++) {
        if (i == 20)
            publish(fx, "rare.kind", "r", &rare);
        if (i == 150)
            middle = nx_clock_wall_ns();
        publish(fx, "common", "c", &ids[i]);
    }
    ok(nx_fab_events_recent(fx->n, &s, &a, &v, &n, &fx->err));
    assert_int_equal(n, 5);
    for (int i = 0; i < 5; i++)
        assert_string_equal(v[i].event_id.s, ids[299 - i].s);
    s.type = NX_SLICE("rare.*");
    ok(nx_fab_events_recent(fx->n, &s, &a, &v, &n, &fx->err));
    assert_int_equal(n, 1);
    assert_string_equal(v[0].event_id.s, rare.s);
    s.type = NX_SLICE("*");
    s.limit = 1000;
    ok(nx_fab_events_recent(fx->n, &s, &a, &v, &n, &fx->err));
    assert_int_equal(n, 300);
    assert_string_equal(v[299].event_id.s, ids[0].s);
    s.type = NX_SLICE("");
    s.since_wall_ns = middle;
    ok(nx_fab_events_recent(fx->n, &s, &a, &v, &n, &fx->err));
    assert_int_equal(n, 150);
    s.since_wall_ns = 0;
    s.until_wall_ns = middle;
    ok(nx_fab_events_recent(fx->n, &s, &a, &v, &n, &fx->err));
    assert_int_equal(n, 151);
    ok(nx_fab_event_resolve(fx->n, NX_SLICE("@last"), &id, &fx->err));
    assert_string_equal(id.s, ids[299].s);
    ok(nx_fab_event_resolve(fx->n, nx_slice_make(ids[7].s + 18, 8), &id, &fx->err));
    assert_string_equal(id.s, ids[7].s);
    ok(nx_fab_event_resolve(fx->n, nx_id_slice(&rare), &id, &fx->err));
    assert_string_equal(id.s, rare.s);
    assert_int_equal(nx_fab_event_resolve(fx->n, NX_SLICE("0000"), &id, &fx->err), NX_ENOENT);
    assert_int_equal(nx_fab_event_resolve(fx->n, NX_SLICE("abc"), &id, &fx->err), NX_EINVAL);
    assert_int_equal(nx_fab_event_resolve(fx->n, NX_SLICE("a b c d"), &id, &fx->err), NX_EINVAL);
    nx_arena_done(&a);
    fix_close(fx);
}

static void test_resolve_names_all_that_fit(void **state)
{
    fix fix_, *fx = &fix_;
    uint8_t digest[10] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    uint64_t now_ms = nx_clock_wall_ns() / NX_NS_PER_MS;
    nx_id id;

    (void)state;
    fix_open(fx);
    for (int i = 0; i < 2; i++) {
        nx_event e = make_event(NX_SLICE("t"), "1");
        waiter w;

        e.event_id = nx_ulid_derive(now_ms - (unsigned)i, digest, 5);
        ok(waiter_publish(fx, &w, &e, ""));
        id = e.event_id;
    }
    assert_int_equal(nx_fab_event_resolve(fx->n, nx_slice_make(id.s + 16, 10), &id, &fx->err), NX_ECONFLICT);
    assert_non_null(strchr(fx->err.msg, ','));
    fix_close(fx);
}

/* An event from a node whose clock is ahead, and one accepted seconds before it was stored. */
static void test_get_allows_for_clocks(void **state)
{
    fix fix_, *fx = &fix_;
    nx_arena a = NX_ARENA_INIT(1 << 20);
    int64_t off_ms[] = {1500, -8000, -3600000, 3600000};

    (void)state;
    fix_open(fx);
    for (size_t i = 0; i < NX_ARRAY_LEN(off_ms); i++) {
        nx_event e = make_event(NX_SLICE("t"), "1"), got;
        waiter w;

        e.event_id = nx_ulid_new((uint64_t)((int64_t)nx_clock_wall_ns() + off_ms[i] * 1000000));
        ok(waiter_publish(fx, &w, &e, ""));
        ok(nx_fab_event_get(fx->n, &e.event_id, &a, &got, &fx->err));
        assert_int_equal(got.stream_seq, w.pub.seq);
    }
    nx_arena_done(&a);
    fix_close(fx);
}

/* How many different questions came. One that is not answered soon enough, on a busy machine, is asked again. */
static int questions(natsSubscription *sub)
{
    enum { MAX = 64 };
    natsMsg *v[MAX];
    int n = 0;

    while (n < MAX && natsSubscription_NextMsg(&v[n], sub, 0) == NATS_OK) {
        bool is_new = true;

        for (int i = 0; i < n && is_new; i++)
            is_new = strcmp(natsMsg_GetData(v[i]), natsMsg_GetData(v[n])) != 0;
        if (is_new)
            n++;
        else
            natsMsg_Destroy(v[n]);
    }
    for (int i = 0; i < n; i++)
        natsMsg_Destroy(v[i]);
    return n;
}

/* Direct gets that a look-up of an event or run takes, and what it comes to. */
static int requests_of(fix *fx, natsConnection *nc, bool is_run, nx_id id, nx_err expected)
{
    nx_arena a = NX_ARENA_INIT(64 << 20);
    natsSubscription *sub;
    nx_run *run = calloc(1, sizeof *run);
    nx_event event;
    int n;

    assert_int_equal(natsConnection_SubscribeSync(&sub, nc, "$JS.API.DIRECT.GET.>"), NATS_OK);
    assert_int_equal(natsConnection_Flush(nc), NATS_OK);
    assert_int_equal(is_run ? nx_fab_run_get(fx->n, &id, &a, run, &fx->err) : nx_fab_event_get(fx->n, &id, &a, &event, &fx->err), expected);
    assert_int_equal(natsConnection_Flush(nc), NATS_OK);
    n = questions(sub);
    natsSubscription_Destroy(sub);
    nx_arena_done(&a);
    free(run);
    return n;
}

#define OTHERS 600

/* Only what a run or a schedule published may lie far behind its time, and only among events of its type: the log is not read to its end for others. */
static void test_an_unknown_event_is_not_looked_for_in_the_whole_log(void **state)
{
    fix fix_, *fx = &fix_;
    const uint8_t digest[10] = {0};
    uint64_t hour_ago_ns = nx_clock_wall_ns() - 3600 * NX_NS_PER_S, two_days_ago_ms = (hour_ago_ns - 47 * 3600 * NX_NS_PER_S) / NX_NS_PER_MS;
    natsConnection *nc;
    nx_event e = make_event(NX_SLICE("t"), "1");
    waiter w;

    (void)state;
    fix_open(fx);
    assert_int_equal(natsConnection_ConnectTo(&nc, nx_fab_server_url(fx->server)), NATS_OK);
    for (int i = 0; i < OTHERS; i++) {
        e.event_id = nx_ulid_new_in_shard(nx_clock_wall_ns(), 3);
        e.id = nx_id_slice(&e.event_id);
        ok(waiter_publish(fx, &w, &e, ""));
    }
    int plain = requests_of(fx, nc, false, nx_ulid_new_in_shard(hour_ago_ns, 3), NX_ENOENT);
    assert_int_equal(requests_of(fx, nc, false, nx_ulid_derive_late(hour_ago_ns / NX_NS_PER_MS, digest, 3, NX_SLICE("no.such")), NX_ENOENT), plain);
    assert_in_range(requests_of(fx, nc, false, nx_ulid_derive_late(hour_ago_ns / NX_NS_PER_MS, digest, 3, e.type), NX_ENOENT), plain + 1, plain + 10);
    e.type = NX_SLICE("Späte.Größe 1"); /* encoded in the subject */
    e.event_id = nx_ulid_derive_late(two_days_ago_ms, digest, 3, e.type);
    e.id = nx_id_slice(&e.event_id);
    ok(waiter_publish(fx, &w, &e, ""));
    requests_of(fx, nc, false, e.event_id, NX_OK);
    natsConnection_Destroy(nc);
    fix_close(fx);
}

static void record_run(fix *fx, nx_slice function, const nx_id *event_id, unsigned attempt, bool is_final, uint64_t event_wall_ns, nx_id *ret)
{
    nx_run *run = calloc(1, sizeof *run);
    nx_buf b = NX_BUF_INIT(1 << 20);
    waiter w;

    run->ns = NX_SLICE("default");
    run->event_id = *event_id;
    run->function = function;
    run->attempt = attempt;
    run->is_final = is_final;
    run->status = is_final ? NX_RUN_OK : NX_RUN_ERROR;
    run->run_id = nx_run_id_derive(run->ns, event_id, event_wall_ns / NX_NS_PER_MS, function, 0);
    ok(nx_run_encode(run, &b));
    waiter_init(&w);
    ok(nx_fab_publish_run(fx->n, run, nx_buf_view(&b), &w.pub, &fx->err));
    waiter_wait(&w);
    ok(w.pub.err);
    *ret = run->run_id;
    nx_buf_done(&b);
    free(run);
}

/* A run can be recorded long after its event was there, but only among the runs of its function. */
static void test_an_unknown_run_is_not_looked_for_in_the_whole_log(void **state)
{
    fix fix_, *fx = &fix_;
    uint64_t now_ns = nx_clock_wall_ns(), hour_ago_ns = now_ns - 3600 * NX_NS_PER_S, two_days_ago_ns = hour_ago_ns - 47 * 3600 * NX_NS_PER_S;
    nx_arena a = NX_ARENA_INIT(64 << 20);
    nx_id event = nx_ulid_new_in_shard(hour_ago_ns, 3), late = nx_ulid_new_in_shard(two_days_ago_ns, 3), id, first;
    natsConnection *nc;
    nx_run *v;
    unsigned n;

    (void)state;
    fix_open(fx);
    assert_int_equal(natsConnection_ConnectTo(&nc, nx_fab_server_url(fx->server)), NATS_OK);
    record_run(fx, NX_SLICE("slow"), &late, 1, false, two_days_ago_ns, &first);
    for (int i = 0; i < OTHERS; i++) {
        nx_id e = nx_ulid_new_in_shard(now_ns, 3);
        record_run(fx, NX_SLICE("busy"), &e, 1, true, now_ns, &id);
    }
    int plain = requests_of(fx, nc, true, nx_ulid_new_in_shard(hour_ago_ns, 3), NX_ENOENT);
    assert_in_range(plain, 1, 6);
    assert_int_equal(requests_of(fx, nc, true, nx_run_id_derive(NX_SLICE("default"), &event, hour_ago_ns / NX_NS_PER_MS, NX_SLICE("no-such"), 0), NX_ENOENT), plain);
    record_run(fx, NX_SLICE("slow"), &late, 2, true, two_days_ago_ns, &id);
    assert_string_equal(id.s, first.s);
    ok(nx_fab_run_attempts(fx->n, &id, &a, &v, &n, &fx->err));
    assert_int_equal(n, 2);
    assert_in_range(requests_of(fx, nc, true, id, NX_OK), 1, 5); /* the 600 others are not read */
    natsConnection_Destroy(nc);
    nx_arena_done(&a);
    fix_close(fx);
}

static void answer_the_second(natsConnection *nc, natsSubscription *sub, natsMsg *m, void *asked)
{
    (void)sub;
    if (atomic_fetch_add((atomic_uint *)asked, 1) == 1)
        natsConnection_PublishString(nc, natsMsg_GetReply(m), "second");
    natsMsg_Destroy(m);
}

/* What went to a server that just died is answered by nobody; what changes nothing is asked again long before its time is over, the rest is not. */
static void test_a_question_that_is_lost_is_asked_again(void **state)
{
    fix fix_, *fx = &fix_;
    natsConnection *nc = NULL;
    natsSubscription *sub = NULL;
    nx_fab_replies got = {0};
    atomic_uint asked = 0;

    (void)state;
    fix_open(fx);
    assert_int_equal(natsConnection_ConnectTo(&nc, nx_fab_server_url(fx->server)), NATS_OK);
    assert_int_equal(natsConnection_Subscribe(&sub, nc, "test.deaf", answer_the_second, &asked), NATS_OK);
    assert_int_equal(natsConnection_Flush(nc), NATS_OK);
    assert_int_equal(nx_fab_request(fx->f, &(nx_fab_ask){.subject = "test.deaf", .timeout_ns = NX_NS_PER_S}, &got, NULL), NX_EUNAVAIL);
    assert_int_equal(atomic_load(&asked), 1);
    atomic_store(&asked, 0);
    ok(nx_fab_request(fx->f, &(nx_fab_ask){.subject = "test.deaf", .is_repeatable = true}, &got, &fx->err));
    assert_int_equal(got.n, 1);
    assert_memory_equal(natsMsg_GetData(got.v[0]), "second", 6);
    nx_fab_replies_done(&got);
    natsSubscription_Destroy(sub);
    natsConnection_Destroy(nc);
    fix_close(fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recent_and_resolve),
        cmocka_unit_test(test_resolve_names_all_that_fit),
        cmocka_unit_test(test_get_allows_for_clocks),
        cmocka_unit_test(test_an_unknown_event_is_not_looked_for_in_the_whole_log),
        cmocka_unit_test(test_an_unknown_run_is_not_looked_for_in_the_whole_log),
        cmocka_unit_test(test_a_question_that_is_lost_is_asked_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
