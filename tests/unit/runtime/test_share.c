/* test_share.c: who gets the next slot: shares, weights, CPU limits, order within a share. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "nx/clock.h"
#include "rt_help.h"

/* Attempts in the order in which they ended. */
typedef struct ends {
    pthread_mutex_t mu;
    pthread_cond_t changed;
    nx_attempt *v[512];
    unsigned n, started;
} ends;

static ends e = {.mu = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static void on_done(nx_attempt *a)
{
    (void)pthread_mutex_lock(&e.mu);
    e.v[e.n++] = a;
    (void)pthread_cond_broadcast(&e.changed);
    (void)pthread_mutex_unlock(&e.mu);
}

static void on_start(nx_attempt *a)
{
    (void)a;
    (void)pthread_mutex_lock(&e.mu);
    e.started++;
    (void)pthread_cond_broadcast(&e.changed);
    (void)pthread_mutex_unlock(&e.mu);
}

static void wait_for(const unsigned *count, unsigned n)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 120;
    (void)pthread_mutex_lock(&e.mu);
    while (*count < n)
        if (pthread_cond_timedwait(&e.changed, &e.mu, &until)) break;
    unsigned have = *count;
    (void)pthread_mutex_unlock(&e.mu);
    assert_true(have >= n);
}

static unsigned place_of(const nx_attempt *a)
{
    for (unsigned i = 0; i < e.n; i++)
        if (e.v[i] == a) return i;
    return UINT32_MAX;
}

static void submit(nx_attempt *a, nx_rt_program *p, nx_rt_share *s, uint64_t rank_ns)
{
    nx_error err = NX_ERROR_INIT;
    nx_attempt_init(a);
    a->program = p;
    a->share = s;
    a->rank_ns = rank_ns;
    a->timeout_ns = 100 * NX_NS_PER_S;
    a->on_start = on_start;
    a->done = on_done;
    if (nx_rt_submit(rt, a, &err)) fail_msg("submit: %s", err.msg);
}

static int reset(void **state)
{
    (void)state;
    e.n = e.started = 0;
    rt_help_engine_signals();
    return 0;
}

static nx_rt_share *share(unsigned weight, unsigned cpu_milli)
{
    nx_rt_share *s = NULL;
    assert_int_equal(nx_rt_share_new(rt, &s), NX_OK);
    nx_rt_share_set(s, weight, cpu_milli);
    return s;
}

static uint64_t cpu_ns(void) /* of this thread: others use the machine too */
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * NX_NS_PER_S + (uint64_t)t.tv_nsec;
}

/* Turns a loop so often as to take `ms` of a core here. */
static nx_rt_program *busy(unsigned ms)
{
    static const char wat[] = "(module (func (export \"handle_event\") (local $n i64) (local.set $n (i64.const %llu))"
                              " (loop $l (br_if $l (i64.ne (i64.const 0) (local.tee $n (i64.sub (local.get $n) (i64.const 1))))))))";
    static uint64_t turns_a_ms;
    char text[512];
    if (!turns_a_ms) {
        nx_attempt a;
        (void)snprintf(text, sizeof text, wat, 20000000ull);
        nx_rt_program *p = rt_help_load_wat(text);
        for (unsigned i = 0; i < 4; i++) { /* the fastest: the first is cold */
            uint64_t before_ns = cpu_ns(), turns;
            nx_attempt_init(&a);
            rt_help_run(&a, p);
            turns = 20000000ull * NX_NS_PER_MS / (cpu_ns() - before_ns + 1) + 1;
            if (turns > turns_a_ms) turns_a_ms = turns;
            nx_attempt_done(&a);
        }
        nx_rt_program_unref(p);
    }
    (void)snprintf(text, sizeof text, wat, (unsigned long long)(turns_a_ms * ms));
    return rt_help_load_wat(text);
}

static void finish(nx_attempt *a, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        rt_help_assert_outcome(&a[i], NX_RUN_OK, NX_WHY_NONE);
        nx_attempt_done(&a[i]);
    }
}

#define NOISE 24u
static void test_share_a_backlog_does_not_stand_before_others(void **state)
{
    (void)state;
    nx_rt_program *slow = busy(10), *quick = rt_help_load_wat("(module (func (export \"handle_event\")))");
    nx_rt_share *noisy = share(100, 0), *quiet = share(100, 0);
    static nx_attempt a[NOISE], q;
    for (unsigned i = 0; i < NOISE; i++) submit(&a[i], slow, noisy, 0);
    wait_for(&e.n, 4);
    submit(&q, quick, quiet, 0);
    wait_for(&e.n, NOISE + 1);
    assert_true(place_of(&q) < 14); /* not behind the backlog */
    finish(a, NOISE);
    finish(&q, 1);
    nx_rt_share_unref(noisy);
    nx_rt_share_unref(quiet);
    nx_rt_program_unref(slow);
    nx_rt_program_unref(quick);
}

/* Both slots are taken by guests that compute for long: they are paused, and go on afterwards. */
static void test_share_long_guests_give_their_slots_to_others(void **state)
{
    (void)state;
    nx_rt_program *slow = busy(300), *quick = rt_help_load_wat("(module (func (export \"handle_event\")))");
    nx_rt_share *noisy = share(100, 0), *quiet = share(100, 0);
    static nx_attempt a[4], q[5];
    for (unsigned i = 0; i < 4; i++) submit(&a[i], slow, noisy, 0);
    wait_for(&e.started, 2);
    for (unsigned i = 0; i < 5; i++) {
        submit(&q[i], quick, quiet, 0);
        wait_for(&e.n, i + 1);
    }
    for (unsigned i = 0; i < 4; i++) assert_int_equal(place_of(&a[i]), UINT32_MAX); /* none of them has ended yet */
    unsigned queued, running;
    nx_rt_depth(rt, &queued, &running);
    assert_true(running <= 2);
    wait_for(&e.n, 9);
    finish(a, 4);
    finish(q, 5);
    nx_rt_share_unref(noisy);
    nx_rt_share_unref(quiet);
    nx_rt_program_unref(slow);
    nx_rt_program_unref(quick);
}

static void test_share_weights_divide_the_slots(void **state)
{
    (void)state;
    enum { N = 48 };
    nx_rt_program *p = busy(3);
    nx_rt_share *heavy = share(300, 0), *light = share(100, 0);
    static nx_attempt h[N], l[N];
    for (unsigned i = 0; i < N; i++) {
        submit(&l[i], p, light, 0);
        submit(&h[i], p, heavy, 0);
    }
    wait_for(&e.n, 2 * N);
    unsigned n_light = 0, n_heavy = 0;
    for (unsigned i = 0; i < 2 * N && n_heavy < N; i++) { /* while both had something to run */
        bool is_heavy = e.v[i] >= h && e.v[i] < h + N;
        n_heavy += is_heavy;
        n_light += !is_heavy;
    }
    assert_in_range(n_light, N / 12, N * 3 / 4); /* about a third, as the weights are; a busy machine blurs it */
    finish(h, N);
    finish(l, N);
    nx_rt_share_unref(heavy);
    nx_rt_share_unref(light);
    nx_rt_program_unref(p);
}

/* A tenth of a core: an eighth of a second's work takes more than one. Meanwhile the slots are free for others, and a timeout does not count the pauses. */
static void test_share_cpu_limit_pauses_without_a_slot(void **state)
{
    (void)state;
    nx_rt_program *work = busy(30), *other = busy(2);
    nx_rt_share *limited = share(100, 100), *free_one = share(100, 0);
    static nx_attempt a[4], q[20];
    uint64_t begin_ns = nx_clock_ns();
    for (unsigned i = 0; i < 4; i++) {
        submit(&a[i], work, limited, 0);
        a[i].timeout_ns = 100 * NX_NS_PER_S;
    }
    for (unsigned i = 0; i < 20; i++) submit(&q[i], other, free_one, 0);
    wait_for(&e.n, 24);
    uint64_t took_ns = nx_clock_ns() - begin_ns;
    assert_true(took_ns > 500 * NX_NS_PER_MS);
    assert_true(e.v[23] >= a && e.v[23] < a + 4);
    for (unsigned i = 0; i < 20; i++) assert_true(place_of(&q[i]) < 23);
    unsigned queued, running;
    nx_rt_depth(rt, &queued, &running);
    assert_int_equal(queued, 0);
    finish(a, 4);
    finish(q, 20);
    nx_rt_share_unref(limited);
    nx_rt_share_unref(free_one);
    nx_rt_program_unref(work);
    nx_rt_program_unref(other);
}

static void test_share_timeout_does_not_count_pauses(void **state)
{
    (void)state;
    nx_rt_program *work = busy(50);
    nx_rt_share *limited = share(100, 40);
    static nx_attempt a;
    nx_error err = NX_ERROR_INIT;
    nx_attempt_init(&a);
    a.program = work;
    a.share = limited;
    a.timeout_ns = 500 * NX_NS_PER_MS; /* it takes more than a second, and runs for a twentieth of one */
    a.done = on_done;
    assert_int_equal(nx_rt_submit(rt, &a, &err), NX_OK);
    wait_for(&e.n, 1);
    assert_true(a.out.duration_ns > 500 * NX_NS_PER_MS); /* past its timeout */
    finish(&a, 1);
    nx_rt_share_unref(limited);
    nx_rt_program_unref(work);
}

static void test_share_ranks_order_what_waits(void **state)
{
    (void)state;
    enum { N = 10 };
    nx_rt_program *slow = busy(100), *quick = busy(1);
    nx_rt_share *s = share(100, 0);
    static nx_attempt block[2], a[N];
    for (unsigned i = 0; i < 2; i++) submit(&block[i], slow, s, 0);
    wait_for(&e.started, 2);
    for (unsigned i = 0; i < N; i++) submit(&a[i], quick, s, 1000 - (uint64_t)i * 10);
    wait_for(&e.n, N + 2);
    assert_true(place_of(&a[N - 1]) < place_of(&a[N / 2]));
    assert_true(place_of(&a[N / 2]) < place_of(&a[0]));
    finish(block, 2);
    finish(a, N);
    nx_rt_share_unref(s);
    nx_rt_program_unref(slow);
    nx_rt_program_unref(quick);
}

static void test_share_one_backlog_does_not_fill_the_queue(void **state)
{
    (void)state;
    char dir[] = "/tmp/nx-test-share-XXXXXX";
    assert_non_null(mkdtemp(dir));
    nx_error err = NX_ERROR_INIT;
    nx_rt *r = NULL, *before = rt;
    assert_int_equal(nx_rt_new(&(nx_rt_options){.cache_dir = dir, .slots = 1, .queue_max = 20, .pool_slots = 4}, &r, &err), NX_OK);
    rt = r;
    nx_rt_program *p = busy(10);
    nx_rt_share *noisy = share(100, 0), *quiet = share(100, 0);
    static nx_attempt a[64], q;
    unsigned n = 0;
    for (; n < 64; n++) {
        nx_attempt_init(&a[n]);
        a[n].program = p;
        a[n].share = noisy;
        a[n].done = on_done;
        nx_err got = nx_rt_submit(rt, &a[n], &err);
        if (got == NX_EBUSY) break;
        assert_int_equal(got, NX_OK);
    }
    assert_in_range(n, 10, 19);
    submit(&q, p, quiet, 0);
    wait_for(&e.n, n + 1);
    assert_true(place_of(&q) < 6);
    finish(a, n);
    finish(&q, 1);
    nx_rt_share_unref(noisy);
    nx_rt_share_unref(quiet);
    nx_rt_program_unref(p);
    nx_rt_free(r);
    rt = before;
    char command[64];
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

/* For good: what is paused by its limit, and what has not begun, ends at once. */
static void test_share_cancel_ends_what_is_paused(void **state)
{
    (void)state;
    char dir[] = "/tmp/nx-test-share-XXXXXX";
    assert_non_null(mkdtemp(dir));
    nx_error err = NX_ERROR_INIT;
    nx_rt *r = NULL, *before = rt;
    assert_int_equal(nx_rt_new(&(nx_rt_options){.cache_dir = dir, .slots = 2, .pool_slots = 8}, &r, &err), NX_OK);
    rt = r;
    nx_rt_program *p = busy(2000);
    nx_rt_share *limited = share(100, 10);
    static nx_attempt a[4];
    for (unsigned i = 0; i < 4; i++) submit(&a[i], p, limited, 0);
    wait_for(&e.started, 1);
    nx_rt_cancel(rt);
    wait_for(&e.n, 4);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(a[i].out.err, NX_ECANCELED);
        nx_attempt_done(&a[i]);
    }
    nx_rt_share_unref(limited);
    nx_rt_program_unref(p);
    nx_rt_free(r);
    rt = before;
    char command[64];
    (void)snprintf(command, sizeof command, "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_share_a_backlog_does_not_stand_before_others, reset),
        cmocka_unit_test_setup(test_share_long_guests_give_their_slots_to_others, reset),
        cmocka_unit_test_setup(test_share_weights_divide_the_slots, reset),
        cmocka_unit_test_setup(test_share_cpu_limit_pauses_without_a_slot, reset),
        cmocka_unit_test_setup(test_share_timeout_does_not_count_pauses, reset),
        cmocka_unit_test_setup(test_share_ranks_order_what_waits, reset),
        cmocka_unit_test_setup(test_share_one_backlog_does_not_fill_the_queue, reset),
        cmocka_unit_test_setup(test_share_cancel_ends_what_is_paused, reset),
    };
    if (argc > 1 && strcmp(argv[1], NX_RT_CHILD_VERB) == 0) return nx_rt_child_main(argc, argv);
    return cmocka_run_group_tests(tests, rt_help_setup, rt_help_teardown);
}
