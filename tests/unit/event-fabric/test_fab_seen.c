/* Consumers that were asked for together are opened without asking for each; what is not as it should be is still found out. */
#include "fab_internal.h"
#include "fab_test.h"
#include <stdio.h>
#include <stdlib.h>

#define CONSUMERS (3u * NX_FAB_REQUESTS)
#define THERE 100u /* the others are not */

static char names[CONSUMERS][16], types[CONSUMERS][16];
static nx_fab_consumer *consumers[CONSUMERS];

static const char *const *befores[CONSUMERS]; /* see successor_of */

static nx_fab_consumer_options options_of(unsigned i, nx_slice *type, const nx_fab_seen *seen, inbox *b)
{
    *type = nx_slice_cstr(types[i]);
    return (nx_fab_consumer_options){.durable = names[i], .types = type, .n_types = 1, .successor_of = befores[i], .seen = seen, .on_msg = inbox_on_msg, .self = b};
}

static void open_one(fix *fx, unsigned i, const nx_fab_seen *seen, inbox *b)
{
    nx_slice type;
    nx_fab_consumer_options o = options_of(i, &type, seen, b);

    ok(nx_fab_consumer_open(fx->n, &o, &consumers[i], &fx->err));
}

static void name_all(void)
{
    for (unsigned i = 0; i < CONSUMERS; i++) {
        snprintf(names[i], sizeof names[i], "fn-%u", i);
        snprintf(types[i], sizeof types[i], "type.%u", i);
    }
}

static void close_all(bool remove)
{
    for (unsigned i = 0; i < CONSUMERS; i++)
        nx_fab_consumer_close(consumers[i], remove);
    memset(consumers, 0, sizeof consumers);
}

static nx_fab_seen *see(fix *fx)
{
    nx_fab_durable v[CONSUMERS + 1];
    nx_fab_seen *seen = NULL;

    for (unsigned i = 0; i < CONSUMERS; i++)
        v[i] = (nx_fab_durable){.name = names[CONSUMERS - 1 - i]};
    v[CONSUMERS] = (nx_fab_durable){.name = names[0], .is_of_timers = true}; /* another stream's, though it has the name */
    ok(nx_fab_consumers_see(fx->n, v, CONSUMERS + 1, &seen, &fx->err));
    return seen;
}

/* Opens `n` of them, and how often the server was asked for one meanwhile. */
static int asked_while_opening(fix *fx, natsConnection *nc, unsigned n, const nx_fab_seen *seen, inbox *b)
{
    natsSubscription *sub = NULL;
    natsMsg *m = NULL;
    int asked = 0;

    assert_int_equal(natsConnection_SubscribeSync(&sub, nc, "$JS.API.CONSUMER.INFO.>"), NATS_OK);
    assert_int_equal(natsConnection_Flush(nc), NATS_OK);
    for (unsigned i = 0; i < n; i++)
        open_one(fx, i, seen, b);
    assert_int_equal(natsConnection_Flush(nc), NATS_OK);
    while (natsSubscription_NextMsg(&m, sub, 0) == NATS_OK) {
        asked++;
        natsMsg_Destroy(m);
    }
    natsSubscription_Destroy(sub);
    return asked;
}

/* A connection that listens to what the fabric asks. */
static natsConnection *begin(fix *fx, inbox *b)
{
    natsConnection *nc = NULL;

    inbox_init(b);
    fix_open(fx);
    assert_int_equal(natsConnection_ConnectTo(&nc, nx_fab_server_url(fx->server)), NATS_OK);
    name_all();
    return nc;
}

static void test_consumers_that_were_seen_are_opened_without_a_question(void **state)
{
    fix fix_, *fx = &fix_;
    static inbox b;
    natsConnection *nc = begin(fx, &b);
    nx_fab_seen *seen;
    nx_fab_msg *m;

    (void)state;
    assert_int_equal(asked_while_opening(fx, nc, THERE, NULL, &b), THERE);
    ok(nx_fab_consumer_pause(consumers[2], true, &fx->err));
    close_all(false);

    seen = see(fx);
    assert_false(nx_fab_seen_is_absent(fx->n, seen, names[0]));
    assert_true(nx_fab_seen_is_absent(fx->n, seen, names[THERE]));
    assert_false(nx_fab_seen_is_absent(fx->n, seen, "nobody-asked"));
    assert_false(nx_fab_seen_is_absent(fx->n, NULL, names[THERE]));
    snprintf(types[1], sizeof types[1], "other"); /* its filter is another one now */
    assert_int_equal(asked_while_opening(fx, nc, THERE, seen, &b), 1);
    for (unsigned i = 0; i < 3; i++) { /* one that is as it was, the other one, and one that had been paused */
        publish(fx, types[i], "1", NULL);
        m = inbox_next(&b, 5000);
        assert_non_null(m);
        nx_fab_msg_ack(m);
    }
    open_one(fx, THERE, seen, &b); /* made, as it is not there */
    assert_true(nx_fab_consumer_is_new(consumers[THERE]));
    assert_false(nx_fab_consumer_is_new(consumers[0]));

    close_all(true);
    nx_fab_seen_free(seen);
    natsConnection_Destroy(nc);
    fix_close(fx);
}

static void make_all(fix *fx, nx_fab_seen *seen, inbox *b)
{
    static nx_fab_consumer_options v[CONSUMERS];
    static nx_slice type[CONSUMERS];

    for (unsigned i = 0; i < CONSUMERS; i++)
        v[i] = options_of(i, &type[i], NULL, b);
    ok(nx_fab_consumers_make(fx->n, v, CONSUMERS, seen, &fx->err));
}

#define CHANGED 1u
#define HEIR (CONSUMERS - 1)

static void test_new_and_changed_consumers_are_made_together(void **state)
{
    fix fix_, *fx = &fix_;
    static inbox b;
    natsConnection *nc = begin(fx, &b);
    nx_fab_seen *seen;
    nx_fab_msg *m;

    (void)state;
    for (unsigned i = 0; i < THERE; i++)
        open_one(fx, i, NULL, &b);
    close_all(false);
    snprintf(types[CHANGED], sizeof types[CHANGED], "other");
    befores[HEIR] = (const char *const[]){"fn-none", names[0], NULL}; /* which is there */
    befores[HEIR - 1] = (const char *const[]){"fn-none", NULL};

    seen = see(fx);
    make_all(fx, seen, &b);
    publish(fx, types[HEIR - 2], "1", NULL);                               /* it is there before it is open */
    assert_int_equal(asked_while_opening(fx, nc, CONSUMERS, seen, &b), 3); /* for the heir and those before it */
    assert_true(nx_fab_consumer_is_new(consumers[THERE]));
    assert_true(nx_fab_consumer_is_new(consumers[HEIR]));
    assert_true(nx_fab_consumer_has_succeeded(consumers[HEIR]));
    assert_false(nx_fab_consumer_has_succeeded(consumers[HEIR - 1]));
    assert_false(nx_fab_consumer_is_new(consumers[CHANGED]));
    publish(fx, types[CHANGED], "1", NULL);
    publish(fx, types[THERE], "1", NULL);
    publish(fx, types[HEIR], "1", NULL);
    for (unsigned i = 0; i < 4; i++) {
        m = inbox_next(&b, 5000);
        assert_non_null(m);
        nx_fab_msg_ack(m);
    }

    close_all(true);
    memset(befores, 0, sizeof befores);
    nx_fab_seen_free(seen);
    natsConnection_Destroy(nc);
    fix_close(fx);
}

static void test_what_the_server_refuses_is_left_to_be_opened(void **state)
{
    fix fix_, *fx = &fix_;
    static inbox b;
    nx_fab_durable v[2] = {{.name = "fn-a"}, {.name = "fn-b"}};
    nx_slice good = NX_SLICE("good"), bad = NX_SLICE("");
    nx_fab_consumer_options o[2] = {{.durable = "fn-a", .types = &bad, .n_types = 1, .on_msg = inbox_on_msg, .self = &b},
                                    {.durable = "fn-b", .types = &good, .n_types = 1, .on_msg = inbox_on_msg, .self = &b}};
    nx_fab_seen *seen = NULL;
    nx_fab_consumer *c = NULL;

    (void)state;
    inbox_init(&b);
    fix_open(fx);
    ok(nx_fab_consumers_see(fx->n, v, 2, &seen, &fx->err));
    ok(nx_fab_consumers_make(fx->n, o, 2, seen, &fx->err));
    o[0].seen = o[1].seen = seen;
    assert_int_equal(nx_fab_consumer_open(fx->n, &o[0], &c, &fx->err), NX_EINVAL);
    ok(nx_fab_consumer_open(fx->n, &o[1], &c, &fx->err));
    assert_true(nx_fab_consumer_is_new(c));
    nx_fab_consumer_close(c, true);
    nx_fab_server_stop(fx->server);
    fx->server = NULL;
    o[1].durable = "fn-a";
    assert_int_equal(nx_fab_consumers_make(fx->n, &o[1], 1, seen, &fx->err), NX_EUNAVAIL);
    assert_true(fx->err.msg[0]);
    nx_fab_seen_free(seen);
    fix_close(fx);
}

static void test_without_a_server_nothing_is_seen(void **state)
{
    fix fix_, *fx = &fix_;
    nx_fab_durable v[2] = {{.name = "fn-a"}, {.name = "fn-b"}};
    nx_fab_seen *seen = NULL;

    (void)state;
    fix_open(fx);
    nx_fab_server_stop(fx->server);
    fx->server = NULL;
    assert_int_equal(nx_fab_consumers_see(fx->n, v, 2, &seen, &fx->err), NX_EUNAVAIL);
    assert_null(seen);
    assert_true(fx->err.msg[0]);
    fix_close(fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_consumers_that_were_seen_are_opened_without_a_question),
        cmocka_unit_test(test_new_and_changed_consumers_are_made_together),
        cmocka_unit_test(test_what_the_server_refuses_is_left_to_be_opened),
        cmocka_unit_test(test_without_a_server_nothing_is_seen),
    };

    setenv("NX_TEST_NATS_SERVER", NX_TEST_SOURCE_DIR "/.deps/bin/nats-server", 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
