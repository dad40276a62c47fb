/* test_group.c: groups of shares: who gets slots, threads and room in the queue where several groups want them, and the end of one group alone. */
#include <pthread.h>
#include <string.h>

#include "attempts.h"
#include "nx/clock.h"
#include "rt_internal.h"

#define SLOTS 2u /* of rt */

static nx_rt_group *group(unsigned weight)
{
    nx_rt_group *g = NULL;
    assert_int_equal(nx_rt_group_new(rt, &g), NX_OK);
    nx_rt_group_set(g, weight);
    return g;
}

static nx_rt_share *share(nx_rt_group *g, unsigned weight, unsigned cpu_milli)
{
    nx_rt_share *s = NULL;
    assert_int_equal(nx_rt_share_new(g, &s), NX_OK);
    nx_rt_share_set(s, weight, cpu_milli);
    return s;
}

static unsigned group_queued(nx_rt_group *g)
{
    unsigned queued, running;
    nx_rt_group_depth(g, &queued, &running);
    return queued;
}

/* Of those that ended until all `n` of `a` had: how many are not of them. With one slot only: there the order is that in which they were chosen, with several one
 * that the machine keeps from running ends last. */
static unsigned others_until_all_of(const nx_attempt *a, unsigned n)
{
    unsigned last = 0;
    for (unsigned i = 0; i < n; i++)
        if (attempts_place(&a[i]) > last) last = attempts_place(&a[i]);
    return last + 1 - n;
}

/* Says that it has begun, sleeps for an hour, and does not end by itself. */
static nx_rt_program *sleeper(void)
{
    return rt_help_load_wat(RT_WAT_HEAD " (data (i32.const 100) \"begun\\n\") (func (export \"handle_event\")"
                                        " (call $write (i32.const 2) (i32.const 100) (i32.const 6)) (call $sleep_ns (i64.const 3600000000000)) (loop $l (br $l))))");
}

static void submit_sleeper(nx_attempt *a, nx_rt_program *p, nx_rt_share *s)
{
    attempts_init_for(a, p, s);
    a->timeout_ns = 7200 * NX_NS_PER_S;
    a->on_start = NULL;
    a->on_log = attempts_on_log;
    attempts_submit(a);
}

static void assert_canceled(nx_attempt *a, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(a[i].out.err, NX_ECANCELED);
        nx_attempt_done(&a[i]);
    }
}

static void test_group_weights_divide_the_slots(void **state)
{
    (void)state;
    attempts_use_runtime(&(nx_rt_options){.slots = 1, .pool_slots = 48});
    enum { N = 48 };
    static const unsigned weights[][2] = {{100, 100}, {300, 100}};
    nx_rt_program *p = attempts_busy(3);
    for (unsigned k = 0; k < NX_ARRAY_LEN(weights); k++) {
        nx_rt_group *ga = group(weights[k][0]), *gb = group(weights[k][1]);
        nx_rt_share *sa = share(ga, 100, 0), *sb = share(gb, 500, 0); /* a share's weight counts in its group alone */
        static nx_attempt a[N], b[N];
        (void)attempts_reset(NULL);
        attempts_block(1);
        for (unsigned i = 0; i < N; i++) {
            attempts_submit_to(&b[i], p, sb);
            attempts_submit_to(&a[i], p, sa);
        }
        assert_int_equal(group_queued(ga), N);
        attempts_release();
        attempts_wait_ended(2 * N);
        unsigned n_b = others_until_all_of(a, N), fair = N * weights[k][1] / weights[k][0];
        assert_in_range(n_b, fair / 4, fair == N ? N : fair * 9 / 4); /* a busy machine blurs it */
        if (fair == N) assert_true(others_until_all_of(b, N) >= fair / 4);
        attempts_finish(a, N);
        attempts_finish(b, N);
        nx_rt_share_unref(sa);
        nx_rt_share_unref(sb);
        nx_rt_group_free(ga);
        nx_rt_group_free(gb);
    }
    nx_rt_program_unref(p);
    attempts_drop_runtime();
}

/* One group has twenty busy functions, the other one: it gets half of the slots all the same, where one share in 21 would have come last. */
static void test_group_gets_no_more_by_having_more_functions(void **state)
{
    (void)state;
    attempts_use_runtime(&(nx_rt_options){.slots = 1, .pool_slots = 48});
    enum { FUNCTIONS = 20,
           EACH = 4,
           N = 20 };
    nx_rt_program *p = attempts_busy(3);
    nx_rt_group *many = group(100), *single = group(100);
    nx_rt_share *s[FUNCTIONS], *one = share(single, 100, 0);
    static nx_attempt a[FUNCTIONS * EACH], b[N];
    attempts_block(1);
    for (unsigned i = 0; i < FUNCTIONS; i++) {
        s[i] = share(many, 100, 0);
        for (unsigned k = 0; k < EACH; k++) attempts_submit_to(&a[EACH * i + k], p, s[i]);
    }
    for (unsigned i = 0; i < N; i++) attempts_submit_to(&b[i], p, one);
    attempts_release();
    attempts_wait_ended(NX_ARRAY_LEN(a) + N);
    assert_in_range(others_until_all_of(b, N), 1, N * 9 / 4); /* a busy machine blurs it */
    attempts_finish(a, NX_ARRAY_LEN(a));
    attempts_finish(b, N);
    for (unsigned i = 0; i < FUNCTIONS; i++) nx_rt_share_unref(s[i]);
    nx_rt_share_unref(one);
    nx_rt_group_free(many);
    nx_rt_group_free(single);
    nx_rt_program_unref(p);
    attempts_drop_runtime();
}

/* What a group gets is divided by its functions' weights. One that is over its CPU limit takes nothing from its group: the other ones get it. */
static void test_group_divides_its_slots_between_its_functions(void **state)
{
    (void)state;
    attempts_use_runtime(&(nx_rt_options){.slots = 1, .pool_slots = 48});
    enum { N = 36 };
    nx_rt_program *p = attempts_busy(3), *much = attempts_busy(400);
    nx_rt_group *g = group(100), *other = group(100);
    nx_rt_share *heavy = share(g, 300, 0), *light = share(g, 100, 0), *limited = share(g, 100, 10), *outside = share(other, 100, 0);
    static nx_attempt h[N], l[N], o[N], m;
    attempts_block(1);
    attempts_submit_to(&m, much, limited);
    for (unsigned i = 0; i < N; i++) {
        attempts_submit_to(&l[i], p, light);
        attempts_submit_to(&h[i], p, heavy);
        attempts_submit_to(&o[i], p, outside);
    }
    attempts_release();
    attempts_wait_ended(3 * N);
    unsigned n_light = 0, n_outside = 0;
    for (unsigned i = 0, n = 0; n < N; i++) { /* until the heavy ones have ended */
        const nx_attempt *a = attempts_ended(i);
        n += a >= h && a < h + N;
        n_light += a >= l && a < l + N;
        n_outside += a >= o && a < o + N;
    }
    assert_in_range(n_light, N / 12, N * 3 / 4);
    assert_in_range(n_outside, N / 2, N); /* fair were all of them, which is as much as the group has had */
    nx_rt_group_cancel(g);
    attempts_wait_ended(3 * N + 1);
    assert_canceled(&m, 1);
    attempts_finish(h, N);
    attempts_finish(l, N);
    attempts_finish(o, N);
    nx_rt_share *const shares[] = {heavy, light, limited, outside};
    for (unsigned i = 0; i < NX_ARRAY_LEN(shares); i++) nx_rt_share_unref(shares[i]);
    nx_rt_group_free(g);
    nx_rt_group_free(other);
    nx_rt_program_unref(p);
    nx_rt_program_unref(much);
    attempts_drop_runtime();
}

/* The noisy group has more guests that compute for long than may be paused: they are paused for the other group all the same. */
static void test_group_long_guests_give_their_slots_to_others(void **state)
{
    (void)state;
    enum { FUNCTIONS = 12,
           QUIET = 10 };
    attempts_use_runtime(&(nx_rt_options){.slots = 1, .spare_threads = 6, .pool_slots = 16});
    nx_rt_program *slow = attempts_busy(1000), *quick = rt_help_load_wat("(module (func (export \"handle_event\")))");
    nx_rt_group *noisy = group(100), *quiet = group(100);
    nx_rt_share *s[FUNCTIONS], *q_share = share(quiet, 100, 0);
    static nx_attempt a[FUNCTIONS], q[QUIET];
    for (unsigned i = 0; i < FUNCTIONS; i++) {
        s[i] = share(noisy, 100, 0);
        attempts_submit_to(&a[i], slow, s[i]);
    }
    attempts_wait_started(1 + rt->workers.paused_max); /* as many as it may have for its own sake */
    for (unsigned i = 0; i < QUIET; i++) {
        attempts_submit_to(&q[i], quick, q_share);
        attempts_wait_ended(i + 1);
    }
    for (unsigned i = 0; i < FUNCTIONS; i++) assert_int_equal(attempts_place(&a[i]), UINT32_MAX); /* none of them has ended yet */
    (void)pthread_mutex_lock(&rt->workers.mu);
    unsigned begun = noisy->begun;
    (void)pthread_mutex_unlock(&rt->workers.mu);
    assert_true(begun <= 1 + rt->workers.paused_max); /* it goes on with them before it begins others */
    nx_rt_group_cancel(noisy);
    nx_rt_group_wait(noisy); /* all of its done() have returned */
    for (unsigned i = 0; i < FUNCTIONS; i++) assert_int_not_equal(attempts_place(&a[i]), UINT32_MAX);
    nx_rt_group_wait(quiet); /* nothing to wait for */
    assert_canceled(a, FUNCTIONS);
    attempts_finish(q, QUIET);
    for (unsigned i = 0; i < FUNCTIONS; i++) nx_rt_share_unref(s[i]);
    nx_rt_share_unref(q_share);
    nx_rt_group_free(noisy);
    nx_rt_group_free(quiet);
    nx_rt_program_unref(slow);
    nx_rt_program_unref(quick);
    attempts_drop_runtime();
}

/* Guests that wait in a host call hold threads, which are not many: those of one group leave some for others. */
static void test_group_guests_that_wait_leave_threads_to_others(void **state)
{
    (void)state;
    enum { SLEEPERS = 16,
           QUIET = 3 };
    attempts_use_runtime(&(nx_rt_options){.slots = 1, .spare_threads = 5, .pool_slots = 16});
    nx_rt_program *asleep = sleeper(), *quick = rt_help_load_wat("(module (func (export \"handle_event\")))");
    nx_rt_group *noisy = group(100), *quiet = group(100);
    nx_rt_share *ns = share(noisy, 100, 0), *qs = share(quiet, 100, 0);
    static nx_attempt a[SLEEPERS], q[QUIET], also;
    for (unsigned i = 0; i < SLEEPERS; i++) submit_sleeper(&a[i], asleep, ns);
    attempts_wait_started(4);
    submit_sleeper(&also, asleep, qs); /* one guest of the other group may wait, too */
    for (unsigned i = 0; i < QUIET; i++) {
        attempts_submit_to(&q[i], quick, nx_rt_group_share(quiet));
        attempts_wait_ended(i + 1);
    }
    assert_true(group_queued(noisy) >= SLEEPERS - 5);
    assert_int_equal(group_queued(quiet), 0);
    nx_rt_group_cancel(noisy);
    attempts_wait_ended(QUIET + SLEEPERS);
    nx_rt_group_cancel(quiet);
    attempts_wait_ended(QUIET + SLEEPERS + 1);
    assert_canceled(a, SLEEPERS);
    assert_canceled(&also, 1);
    attempts_finish(q, QUIET);
    nx_rt_share_unref(ns);
    nx_rt_share_unref(qs);
    nx_rt_group_free(noisy);
    nx_rt_group_free(quiet);
    nx_rt_program_unref(asleep);
    nx_rt_program_unref(quick);
    attempts_drop_runtime();
}

/* The same between the shares of one group. */
static void test_group_one_share_leaves_threads_to_the_others(void **state)
{
    (void)state;
    enum { SLEEPERS = 16,
           QUIET = 3 };
    attempts_use_runtime(&(nx_rt_options){.slots = 1, .spare_threads = 8, .pool_slots = 16});
    nx_rt_program *asleep = sleeper(), *quick = rt_help_load_wat("(module (func (export \"handle_event\")))");
    nx_rt_group *g = group(100);
    nx_rt_share *noisy = share(g, 100, 0), *slow = share(g, 100, 0), *quiet = share(g, 100, 0);
    static nx_attempt a[SLEEPERS], q[QUIET], also;
    for (unsigned i = 0; i < SLEEPERS; i++) submit_sleeper(&a[i], asleep, noisy);
    attempts_wait_started(5);
    submit_sleeper(&also, asleep, slow); /* one guest of another share may wait, too */
    attempts_wait_started(6);
    for (unsigned i = 0; i < QUIET; i++) {
        attempts_submit_to(&q[i], quick, quiet);
        attempts_wait_ended(i + 1);
    }
    assert_int_equal(group_queued(g), SLEEPERS - 5);
    nx_rt_group_cancel(g);
    attempts_wait_ended(QUIET + SLEEPERS + 1);
    assert_canceled(a, SLEEPERS);
    assert_canceled(&also, 1);
    attempts_finish(q, QUIET);
    nx_rt_share_unref(noisy);
    nx_rt_share_unref(slow);
    nx_rt_share_unref(quiet);
    nx_rt_group_free(g);
    nx_rt_program_unref(asleep);
    nx_rt_program_unref(quick);
    attempts_drop_runtime();
}

/* All threads are those of guests that have slept, and it is the turn of an attempt that would need one: they go before it. */
static void test_group_without_a_thread_guests_come_back_first(void **state)
{
    (void)state;
    attempts_use_runtime(&(nx_rt_options){.slots = 1, .spare_threads = 2, .pool_slots = 8});
    nx_rt_program *nap = rt_help_load_wat(RT_WAT_HEAD " (data (i32.const 100) \"begun\\n\") (func (export \"handle_event\")"
                                                      " (call $write (i32.const 2) (i32.const 100) (i32.const 6)) (call $sleep_ns (i64.const 300000000))))");
    nx_rt_program *quick = rt_help_load_wat("(module (func (export \"handle_event\")))");
    nx_rt_group *g[3];
    static nx_attempt a[3], q;
    for (unsigned i = 0; i < 3; i++) {
        g[i] = group(100);
        submit_sleeper(&a[i], nap, nx_rt_group_share(g[i]));
    }
    attempts_wait_started(3);
    nx_rt_group *other = group(10000);
    attempts_submit_to(&q, quick, nx_rt_group_share(other));
    attempts_wait_ended(4);
    attempts_finish(a, 3);
    attempts_finish(&q, 1);
    for (unsigned i = 0; i < 3; i++) nx_rt_group_free(g[i]);
    nx_rt_group_free(other);
    nx_rt_program_unref(nap);
    nx_rt_program_unref(quick);
    attempts_drop_runtime();
}

static unsigned fill(nx_attempt *a, unsigned max, nx_rt_program *p, nx_rt_share *s)
{
    unsigned n = 0;
    for (; n < max; n++) {
        nx_error e = NX_ERROR_INIT;
        attempts_init_for(&a[n], p, s);
        nx_err err = nx_rt_submit(rt, &a[n], &e);
        if (err == NX_EBUSY) break;
        assert_int_equal(err, NX_OK);
    }
    return n;
}

static void test_group_does_not_fill_the_queue(void **state)
{
    (void)state;
    enum { QUEUE = 40,
           FUNCTIONS = 10 };
    attempts_use_runtime(&(nx_rt_options){.slots = 1, .queue_max = QUEUE, .pool_slots = 4});
    nx_rt_program *p = rt_help_load_wat("(module (func (export \"handle_event\")))");
    nx_rt_group *noisy = group(100), *quiet = group(100);
    nx_rt_share *s[FUNCTIONS];
    static nx_attempt a[FUNCTIONS + 1][QUEUE];
    unsigned n[FUNCTIONS + 1], all = 0;
    attempts_block(1);
    for (unsigned i = 0; i < FUNCTIONS; i++) {
        s[i] = share(noisy, 100, 0);
        n[i] = fill(a[i], QUEUE, p, s[i]);
        all += n[i];
        assert_int_equal(group_queued(noisy), all);
    }
    assert_true(n[0] >= QUEUE / 2 && n[1] > 0); /* one function's backlog leaves room for the next one's */
    assert_true(all <= QUEUE * 4 / 5 + 1);
    n[FUNCTIONS] = fill(a[FUNCTIONS], QUEUE, p, nx_rt_group_share(quiet));
    assert_true(n[FUNCTIONS] >= 3);
    all += n[FUNCTIONS];
    attempts_release();
    attempts_wait_ended(all);
    for (unsigned i = 0; i <= FUNCTIONS; i++) attempts_finish(a[i], n[i]);
    for (unsigned i = 0; i < FUNCTIONS; i++) nx_rt_share_unref(s[i]);
    nx_rt_group_free(noisy);
    nx_rt_group_free(quiet);
    nx_rt_program_unref(p);
    attempts_drop_runtime();
}

/* What runs, sleeps, is over its CPU limit, or has not begun; and later ones, on the caller's thread, too. The other group's go on. */
static void test_group_cancel_ends_its_own_attempts_only(void **state)
{
    (void)state;
    nx_rt_program *slow = attempts_busy(60000), *asleep = sleeper(), *work = attempts_busy(30);
    nx_rt_group *g = group(100), *other = group(100);
    nx_rt_share *s = share(g, 100, 0), *limited = share(g, 100, 1), *os = share(other, 100, 0);
    enum { EACH = 3,
           ALL = 3 * EACH };
    static nx_attempt a[ALL], o[EACH + 1], late;
    for (unsigned i = 0; i < EACH; i++) {
        submit_sleeper(&a[i], asleep, s);
        attempts_submit_to(&a[EACH + i], slow, s);
        attempts_submit_to(&a[2 * EACH + i], slow, limited);
        attempts_submit_to(&o[i], work, os);
    }
    submit_sleeper(&o[EACH], asleep, os);
    attempts_wait_ended(EACH);               /* of the other one's; they were begun although the first group has no end */
    attempts_wait_started(EACH + 1 + 4 + 1); /* two sleepers, two that compute, one over its limit: the rest has no slot */
    nx_rt_group_cancel(g);
    attempts_wait_ended(EACH + ALL);
    assert_canceled(a, ALL);
    attempts_submit_to(&late, work, s);
    attempts_wait_ended(EACH + ALL + 1);
    assert_canceled(&late, 1);
    nx_error e = NX_ERROR_INIT;
    attempts_init_for(&late, work, nx_rt_group_share(g));
    assert_int_equal(nx_rt_run(rt, &late, &e), NX_ECANCELED);
    nx_attempt_done(&late);
    assert_int_equal(attempts_place(&o[EACH]), UINT32_MAX);
    attempts_submit_to(&late, work, os);
    attempts_wait_ended(EACH + ALL + 2);
    attempts_finish(&late, 1);
    nx_rt_group_cancel(other);
    attempts_wait_ended(EACH + ALL + 3);
    assert_canceled(&o[EACH], 1);
    attempts_finish(o, EACH);
    nx_rt_share *const shares[] = {s, limited, os};
    for (unsigned i = 0; i < NX_ARRAY_LEN(shares); i++) nx_rt_share_unref(shares[i]);
    nx_rt_group_free(g);
    nx_rt_group_free(other);
    nx_rt_program_unref(slow);
    nx_rt_program_unref(asleep);
    nx_rt_program_unref(work);
}

static void *run_here(void *a)
{
    nx_error e = NX_ERROR_INIT;
    nx_err *err = &((nx_attempt *)a)->out.err;
    *err = nx_rt_run(rt, a, &e);
    return err;
}

static void test_group_cancel_ends_what_runs_on_a_thread_of_ones_own(void **state)
{
    (void)state;
    nx_rt_program *asleep = sleeper();
    nx_rt_group *g = group(100);
    static nx_attempt a;
    pthread_attr_t attr;
    pthread_t thread;
    void *err = NULL;
    attempts_init_for(&a, asleep, nx_rt_group_share(g));
    a.timeout_ns = 7200 * NX_NS_PER_S;
    a.on_log = attempts_on_log;
    rt_help_engine_signals();
    (void)pthread_attr_init(&attr);
    (void)pthread_attr_setstacksize(&attr, NX_RT_THREAD_STACK_BYTES);
    assert_int_equal(pthread_create(&thread, &attr, run_here, &a), 0);
    attempts_wait_started(1);
    nx_rt_group_cancel(g);
    assert_int_equal(pthread_join(thread, &err), 0);
    (void)pthread_attr_destroy(&attr);
    assert_int_equal(*(nx_err *)err, NX_ECANCELED);
    nx_attempt_done(&a);
    nx_rt_group_free(g);
    nx_rt_program_unref(asleep);
}

/* While all slots are taken: whoever had one has left it. */
static unsigned n_groups(void)
{
    attempts_block(SLOTS);
    (void)pthread_mutex_lock(&rt->workers.mu);
    unsigned n = rt->workers.groups.n_members;
    (void)pthread_mutex_unlock(&rt->workers.mu);
    attempts_release();
    return n;
}

static void (*counted_done)(nx_attempt *a);
static nx_rt_group *group_of_last;
static nx_rt_share *share_of_last;

/* Lets go of the group first, and of the share, while its last attempt is still in a slot. */
static void done_and_free(nx_attempt *a)
{
    nx_rt_group_free(group_of_last);
    nx_rt_share_unref(share_of_last);
    counted_done(a);
}

static void test_group_lives_until_its_last_slot_is_left(void **state)
{
    (void)state;
    nx_rt_program *p = rt_help_load_wat("(module (func (export \"handle_event\")))");
    static nx_attempt a[2];
    unsigned before = n_groups();
    for (unsigned i = 0; i < 2; i++) { /* of a share, and of the group's own */
        group_of_last = group(100);
        share_of_last = i ? NULL : share(group_of_last, 100, 0);
        attempts_init_for(&a[i], p, i ? nx_rt_group_share(group_of_last) : share_of_last);
        counted_done = a[i].done;
        a[i].done = done_and_free;
        attempts_submit(&a[i]);
        attempts_wait_ended(i + 1);
    }
    attempts_finish(a, 2);
    nx_rt_group *g = group(100);
    nx_rt_share *s = share(g, 100, 0);
    nx_rt_group_free(NULL);
    nx_rt_group_free(g); /* its share holds it */
    nx_rt_share_set(s, 50, 0);
    nx_rt_share_unref(s);
    assert_int_equal(n_groups(), before);
    nx_rt_program_unref(p);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_group_weights_divide_the_slots, attempts_reset),
        cmocka_unit_test_setup(test_group_gets_no_more_by_having_more_functions, attempts_reset),
        cmocka_unit_test_setup(test_group_divides_its_slots_between_its_functions, attempts_reset),
        cmocka_unit_test_setup(test_group_long_guests_give_their_slots_to_others, attempts_reset),
        cmocka_unit_test_setup(test_group_guests_that_wait_leave_threads_to_others, attempts_reset),
        cmocka_unit_test_setup(test_group_one_share_leaves_threads_to_the_others, attempts_reset),
        cmocka_unit_test_setup(test_group_without_a_thread_guests_come_back_first, attempts_reset),
        cmocka_unit_test_setup(test_group_does_not_fill_the_queue, attempts_reset),
        cmocka_unit_test_setup(test_group_cancel_ends_its_own_attempts_only, attempts_reset),
        cmocka_unit_test_setup(test_group_cancel_ends_what_runs_on_a_thread_of_ones_own, attempts_reset),
        cmocka_unit_test_setup(test_group_lives_until_its_last_slot_is_left, attempts_reset),
    };
    if (argc > 1 && strcmp(argv[1], NX_RT_CHILD_VERB) == 0) return nx_rt_child_main(argc, argv);
    return cmocka_run_group_tests(tests, rt_help_setup, rt_help_teardown);
}
