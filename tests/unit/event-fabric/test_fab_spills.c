/* Run records that are too large for a message: stored apart, read back, gone with the records. */
#include "fab_internal.h"
#include "fab_test.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A record with so much output that it does not fit into a message, for an event of this time. */
static void publish_large(fix *fx, uint64_t wall_ns, size_t n, waiter *w, nx_id *ret_run_id)
{
    char *output = malloc(n);
    nx_run *run = calloc(1, sizeof *run);
    nx_buf b = NX_BUF_INIT(32 << 20);
    nx_event e = make_event(NX_SLICE("t"), "1");

    e.event_id = nx_ulid_new(wall_ns);
    memset(output, 'o', n);
    run->ns = NX_SLICE("default");
    run->event_id = e.event_id;
    run->function = NX_SLICE("hello");
    run->attempt = 1;
    run->is_final = true;
    run->output = nx_slice_make(output, n);
    run->output_bytes = n;
    run->run_id = nx_run_id_derive(run->ns, &e.event_id, wall_ns / NX_NS_PER_MS, run->function, 0);
    ok(nx_run_encode(run, &b));
    waiter_init(w);
    ok(nx_fab_publish_run(fx->n, run, nx_buf_view(&b), &w->pub, &fx->err));
    *ret_run_id = run->run_id;
    nx_buf_done(&b);
    free(run);
    free(output);
}

static void test_a_large_run_record_spills_and_comes_back(void **state)
{
    fix fix_, *fx = &fix_;
    nx_arena a = NX_ARENA_INIT(64 << 20);
    size_t n = 9 << 20;
    nx_id id;
    nx_run got;
    waiter w;

    (void)state;
    fix_open(fx);
    publish_large(fx, nx_clock_wall_ns(), n, &w, &id);
    waiter_wait(&w);
    ok(w.pub.err);
    ok(nx_fab_run_get(fx->n, &id, &a, &got, &fx->err));
    assert_int_equal(got.output.n, n);
    for (size_t i = 0; i < n; i++)
        assert_true(got.output.p[i] == 'o');
    nx_arena_done(&a);
    fix_close(fx);
}

static bool has_no_large_body(void *self)
{
    fix *fx = self;
    nx_fab_stream_state st;

    ok(nx_fab_stream_state_get(fx->f, fx->n->spills.stream, &st, &fx->err));
    return st.messages == 0;
}

/* Retention reaches the bodies too; artifacts, which lie in another bucket, stay. */
static void test_large_run_records_go_with_the_records(void **state)
{
    fix fix_, *fx = &fix_;
    nx_fab_ns_options o = {.runs_max_age_ns = 2 * NX_NS_PER_S, .runs_max_bytes = 256 << 20};
    nx_slice code = NX_SLICE("some code");
    nx_sha256 digest = nx_sha256_of(code);
    nx_arena a = NX_ARENA_INIT(64 << 20);
    nx_run *runs;
    unsigned n_runs = 1;
    nx_id id;
    waiter w;

    (void)state;
    fix_open_with(fx, &o);
    ok(nx_fab_artifact_put(fx->n, &digest, code, &fx->err));
    publish_large(fx, nx_clock_wall_ns(), 9 << 20, &w, &id);
    waiter_wait(&w);
    ok(w.pub.err);
    assert_false(has_no_large_body(fx));
    wait_until(has_no_large_body, fx, 20000);
    assert_true(nx_fab_artifact_has(fx->n, &digest));
    ok(nx_fab_runs_recent(fx->n, &(nx_fab_scan){.status = -1, .limit = 10}, &a, &runs, &n_runs, &fx->err));
    assert_int_equal(n_runs, 0);
    nx_arena_done(&a);
    fix_close(fx);
}

struct body {
    fix *fx;
    nx_id id;
};

static bool is_gone(void *self)
{
    struct body *b = self;
    fix *fx = b->fx;
    nx_arena a = NX_ARENA_INIT(64 << 20);
    nx_run got;
    nx_err e = nx_fab_run_get(fx->n, &b->id, &a, &got, &fx->err);

    nx_arena_done(&a);
    assert_true(!e || e == NX_ENOENT);
    return e == NX_ENOENT;
}

/* More than records may have in all: the oldest bodies go, and what is left of their records is not shown. */
static void test_large_run_records_are_bounded_by_size(void **state)
{
    fix fix_, *fx = &fix_;
    nx_fab_ns_options o = {.runs_max_age_ns = 20 * NX_NS_PER_S, .runs_max_bytes = 24 << 20};
    nx_arena a = NX_ARENA_INIT(256 << 20);
    nx_run got;
    nx_id id[3];
    waiter w;

    (void)state;
    fix_open_with(fx, &o);
    for (int i = 0; i < 3; i++) {
        publish_large(fx, nx_clock_wall_ns(), 9 << 20, &w, &id[i]);
        waiter_wait(&w);
        ok(w.pub.err);
    }
    wait_until(is_gone, &(struct body){fx, id[0]}, 20000);
    ok(nx_fab_run_get(fx->n, &id[2], &a, &got, &fx->err));
    nx_arena_done(&a);
    fix_close(fx);
}

/* Ended by the time its namespace is gone, whether it was stored or not. */
static void test_a_namespace_that_closes_ends_its_large_records(void **state)
{
    fix fix_, *fx = &fix_;
    nx_fab_ns_options o = {.runs_max_bytes = 256 << 20};
    waiter w[8];
    nx_fab_ns *other;
    nx_id id;

    (void)state;
    fix_open_with(fx, &o);
    ok(nx_fab_ns_open(fx->f, NX_SLICE("other"), &o, &other, &fx->err));
    for (size_t i = 0; i < NX_ARRAY_LEN(w); i++)
        publish_large(fx, nx_clock_wall_ns(), 9 << 20, &w[i], &id);
    nx_fab_ns_close(fx->n);
    fx->n = other;
    for (size_t i = 0; i < NX_ARRAY_LEN(w); i++) {
        waiter_wait(&w[i]);
        assert_true(!w[i].pub.err || w[i].pub.err == NX_EUNAVAIL);
    }
    publish_large(fx, nx_clock_wall_ns(), 9 << 20, &w[0], &id); /* the queue is whole */
    waiter_wait(&w[0]);
    ok(w[0].pub.err);
    fix_close(fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_large_run_record_spills_and_comes_back),
        cmocka_unit_test(test_large_run_records_go_with_the_records),
        cmocka_unit_test(test_large_run_records_are_bounded_by_size),
        cmocka_unit_test(test_a_namespace_that_closes_ends_its_large_records),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
