/* Many consumers on one log: what an idle one costs the others, and what the server keeps of each of them over its death. */
#include "embedded/embedded.h"
#include "fab_internal.h"
#include "fab_test.h"
#include <glob.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define CONSUMERS 200u

struct counted {
    atomic_uint n;
};

static void count_and_ack(void *self, nx_fab_msg *take_m)
{
    struct counted *c = self;

    nx_fab_msg_ack(take_m);
    atomic_fetch_add(&c->n, 1);
}

struct want {
    struct counted *c;
    unsigned n;
};

static bool has_counted(void *self)
{
    struct want *w = self;

    return atomic_load(&w->c->n) >= w->n;
}

struct filled {
    inbox *b;
    unsigned n;
};

static bool has_filled(void *self)
{
    struct filled *w = self;
    bool is_so;

    pthread_mutex_lock(&w->b->mu);
    is_so = w->b->n >= w->n;
    pthread_mutex_unlock(&w->b->mu);
    return is_so;
}

static void open_many(fix *fx, nx_fab_consumer **c, unsigned n, struct counted *of)
{
    char name[32], type[32];

    for (unsigned i = 0; i < n; i++) {
        nx_slice t;
        nx_fab_consumer_options o = {.durable = name, .types = &t, .n_types = 1, .on_msg = count_and_ack, .self = of};

        snprintf(name, sizeof name, "fn-%u", i);
        snprintf(type, sizeof type, "type.%u", i);
        t = nx_slice_cstr(type);
        ok(nx_fab_consumer_open(fx->n, &o, &c[i], &fx->err));
    }
}

/* Each consumer's file of the server is old; the stream's file has what came since, and is written ten times a second: it rests when it has all. */
struct rest {
    fix *fx;
    struct stat seen;
    uint64_t since_ns;
};

static bool is_at_rest(void *self)
{
    struct rest *r = self;
    char pattern[128];
    struct stat now = {0};
    glob_t found = {0};

    snprintf(pattern, sizeof pattern, "%s/nats/store/jetstream/*/streams/NX_EVENTS_default/obs.nexus", r->fx->dir);
    if (glob(pattern, GLOB_NOSORT, NULL, &found) || stat(found.gl_pathv[0], &now))
        fail_msg("no %s", pattern);
    globfree(&found);
    if (now.st_size != r->seen.st_size || now.st_mtim.tv_nsec != r->seen.st_mtim.tv_nsec) {
        r->seen = now;
        r->since_ns = nx_clock_ns();
    }
    return nx_clock_ns() - r->since_ns > 500 * NX_NS_PER_MS;
}

static void kill_server(fix *fx)
{
    struct fab_reconnect r = {fx, fab_lives(fx)};

    kill(nx_fab_server_pid(fx->server), SIGKILL);
    wait_until(fab_is_reconnected, &r, 20000);
}

static void test_what_many_acknowledged_stays_so_over_a_kill(void **state)
{
    fix fix_, *fx = &fix_;
    static nx_fab_consumer *c[CONSUMERS];
    static struct counted all;
    struct want w = {&all, CONSUMERS};
    struct rest rest = {.fx = fx};
    nx_fab_consumer_info info;
    char name[32], type[32];
    uint64_t last = 0;

    (void)state;
    fix_open(fx);
    open_many(fx, c, CONSUMERS, &all);
    for (unsigned i = 0; i < CONSUMERS; i++) {
        snprintf(type, sizeof type, "type.%u", i);
        last = publish(fx, type, "1", NULL);
    }
    wait_until(has_counted, &w, 20000);
    nx_fab_settle(fx->f);
    wait_until(is_at_rest, &rest, 20000);
    kill_server(fx);
    for (unsigned i = 0; i < CONSUMERS; i++) {
        snprintf(name, sizeof name, "fn-%u", i);
        ok(nx_fab_consumer_info_get(fx->n, name, &info, &fx->err));
        assert_int_equal(info.unacked, 0);
        assert_int_equal(info.done, 1);
        assert_in_range(info.done_seq, 1, last);
        snprintf(type, sizeof type, "type.%u", i);
        publish(fx, type, "2", NULL);
    }
    w.n = 2 * CONSUMERS;
    wait_until(has_counted, &w, 20000);
    for (unsigned i = 0; i < CONSUMERS; i++)
        nx_fab_consumer_close(c[i], true);
    assert_int_equal(atomic_load(&all.n), 2 * CONSUMERS);
    fix_close(fx);
}

/* The file of the stream's consumers still has the place of the first one of that name. */
static void test_a_consumer_made_anew_begins_anew_also_after_a_kill(void **state)
{
    fix fix_, *fx = &fix_;
    static struct counted first, second;
    nx_slice type = NX_SLICE("t");
    nx_fab_consumer_options o = {.durable = "fn-x", .types = &type, .n_types = 1, .from_start = true, .on_msg = count_and_ack, .self = &first};
    struct want w = {&first, 3};
    struct rest rest = {.fx = fx};
    nx_fab_consumer *c;

    (void)state;
    fix_open(fx);
    ok(nx_fab_consumer_open(fx->n, &o, &c, &fx->err));
    for (int i = 0; i < 3; i++)
        publish(fx, "t", "1", NULL);
    wait_until(has_counted, &w, 5000);
    nx_fab_settle(fx->f);
    wait_until(is_at_rest, &rest, 20000);
    nx_fab_consumer_close(c, true);
    o.self = &second;
    o.is_paused = true; /* so that nothing is known of it but that it was made */
    ok(nx_fab_consumer_open(fx->n, &o, &c, &fx->err));
    kill_server(fx);
    ok(nx_fab_consumer_pause(c, false, &fx->err));
    w = (struct want){&second, 3};
    wait_until(has_counted, &w, 10000);
    nx_fab_consumer_close(c, true);
    fix_close(fx);
}

/* As with a server that knows nothing of that file: each consumer's own says where it was when it stopped. */
static void test_a_stop_leaves_each_place_in_the_consumers_own_file(void **state)
{
    fix fix_, *fx = &fix_;
    static nx_fab_consumer *c[3];
    static struct counted all;
    nx_fab_ns_options no = {.events_max_bytes = 1 << 30, .runs_max_bytes = 1 << 30};
    struct want w = {&all, 3};
    nx_fab_consumer_info info;
    char pattern[128];
    glob_t found = {0};

    (void)state;
    fix_open(fx);
    open_many(fx, c, 3, &all);
    for (unsigned i = 0; i < 3; i++)
        publish(fx, i == 2 ? "type.1" : "type.0", "1", NULL);
    wait_until(has_counted, &w, 5000);
    for (unsigned i = 0; i < 3; i++)
        nx_fab_consumer_close(c[i], false);
    nx_fab_ns_close(fx->n);
    nx_fab_close(fx->f);
    nx_fab_server_stop(fx->server);
    snprintf(pattern, sizeof pattern, "%s/nats/store/jetstream/*/streams/NX_EVENTS_default/obs.nexus", fx->dir);
    assert_int_equal(glob(pattern, GLOB_NOSORT, NULL, &found), 0);
    assert_int_equal(remove(found.gl_pathv[0]), 0);
    globfree(&found);
    fix_on_dir(fx, &no);
    ok(nx_fab_consumer_info_get(fx->n, "fn-0", &info, &fx->err));
    assert_int_equal(info.done, 2);
    assert_int_equal(info.unacked, 0);
    ok(nx_fab_consumer_info_get(fx->n, "fn-1", &info, &fx->err));
    assert_int_equal(info.done, 1);
    fix_close(fx);
}

/* Between two events of one of many consumers lie those of all others. */
static void test_what_is_done_reaches_up_to_the_next_in_hand(void **state)
{
    fix fix_, *fx = &fix_;
    static inbox box;
    nx_slice type = NX_SLICE("t");
    nx_fab_consumer_options o = {.durable = "fn-x", .types = &type, .n_types = 1, .on_msg = inbox_on_msg, .self = &box};
    struct filled w = {&box, 3};
    nx_fab_consumer_info info;
    uint64_t seq[3];
    nx_fab_consumer *c;

    (void)state;
    fix_open(fx);
    inbox_init(&box);
    ok(nx_fab_consumer_open(fx->n, &o, &c, &fx->err));
    for (unsigned i = 0; i < 3; i++) {
        seq[i] = publish(fx, "t", "1", NULL);
        for (unsigned k = 0; k < 50; k++)
            publish(fx, "other", "1", NULL);
    }
    wait_until(has_filled, &w, 5000);
    nx_fab_msg_ack(box.v[1]); /* not the first: nothing moves */
    nx_fab_settle(fx->f);
    ok(nx_fab_consumer_info_get(fx->n, "fn-x", &info, &fx->err));
    assert_int_equal(info.done, 0);
    assert_int_equal(info.unacked, 2);
    nx_fab_msg_ack(box.v[0]);
    nx_fab_settle(fx->f);
    ok(nx_fab_consumer_info_get(fx->n, "fn-x", &info, &fx->err));
    assert_int_equal(info.done, 2);
    assert_int_equal(info.done_seq, seq[2] - 1);
    nx_fab_msg_ack(box.v[2]);
    nx_fab_settle(fx->f);
    ok(nx_fab_consumer_info_get(fx->n, "fn-x", &info, &fx->err));
    assert_int_equal(info.done, 3);
    assert_int_equal(info.unacked, 0);
    nx_fab_consumer_close(c, true);
    fix_close(fx);
}

#define IN_HAND 40u
#define IDLE 60u

static void test_idle_consumers_take_no_room_from_a_busy_one(void **state)
{
    fix fix_, *fx = &fix_;
    static nx_fab_consumer *c[IDLE];
    static struct counted quiet;
    static inbox busy;
    nx_fab_options fo = {.max_inflight = IN_HAND};
    nx_fab_ns_options no = {.events_max_bytes = 1 << 30, .runs_max_bytes = 1 << 30};
    nx_slice type = NX_SLICE("busy");
    nx_fab_consumer_options o = {.durable = "fn-busy", .types = &type, .n_types = 1, .on_msg = inbox_on_msg, .self = &busy};
    struct filled w = {&busy, IN_HAND / 2};
    nx_fab_consumer *b;

    (void)state;
    inbox_init(&busy);
    fix_fabric(fx, &fo);
    ok(nx_fab_ns_open(fx->f, NX_SLICE("default"), &no, &fx->n, &fx->err));
    open_many(fx, c, IDLE, &quiet); /* each asks for events: more than may be in hand */
    ok(nx_fab_consumer_open(fx->n, &o, &b, &fx->err));
    pthread_mutex_lock(&fx->f->cmu);
    assert_int_equal(fx->f->granted, 0); /* what they were lent */
    assert_in_range(b->granted, 2, 8);
    pthread_mutex_unlock(&fx->f->cmu);
    for (unsigned i = 0; i < 4 * IN_HAND; i++)
        publish(fx, "busy", "1", NULL);
    wait_until(has_filled, &w, 10000); /* it holds all it gets */
    pthread_mutex_lock(&fx->f->cmu);
    assert_true(fx->f->granted + fx->f->inflight <= IN_HAND);
    pthread_mutex_unlock(&fx->f->cmu);
    for (unsigned i = 0; i < 4 * IN_HAND; i++)
        nx_fab_msg_ack(inbox_next(&busy, 5000));
    for (unsigned i = 0; i < IDLE; i++)
        nx_fab_consumer_close(c[i], true);
    nx_fab_consumer_close(b, true);
    fix_close(fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_many_acknowledged_stays_so_over_a_kill),
        cmocka_unit_test(test_a_consumer_made_anew_begins_anew_also_after_a_kill),
        cmocka_unit_test(test_a_stop_leaves_each_place_in_the_consumers_own_file),
        cmocka_unit_test(test_what_is_done_reaches_up_to_the_next_in_hand),
        cmocka_unit_test(test_idle_consumers_take_no_room_from_a_busy_one),
    };

    setenv("NX_TEST_NATS_SERVER", NX_TEST_SOURCE_DIR "/.deps/bin/nats-server", 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
