/* attempts.c: see attempts.h. */
#include "attempts.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "nx/clock.h"

#define WAIT_S 120

static struct {
    pthread_mutex_t mu;
    pthread_cond_t changed;
    unsigned started, ended;
    const nx_attempt *order[ATTEMPTS_MAX];
} seen = {.mu = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

#define BLOCKERS_MAX 4u
static struct {
    nx_attempt a[BLOCKERS_MAX];
    unsigned n, begun, ended; /* under seen.mu */
    bool is_released;
    nx_rt_program *program;
    nx_rt_group *group; /* of their own: no other one pays for their time */
} blockers;

static struct {
    nx_rt *before;
    char dir[64];
} other;

int attempts_reset(void **state)
{
    (void)state;
    seen.started = seen.ended = 0;
    return 0;
}

static void count_up(unsigned *count)
{
    (void)pthread_mutex_lock(&seen.mu);
    ++*count;
    (void)pthread_cond_broadcast(&seen.changed);
    (void)pthread_mutex_unlock(&seen.mu);
}

static void on_start(nx_attempt *a)
{
    (void)a;
    count_up(&seen.started);
}

void attempts_on_log(nx_attempt *a, nx_slice line)
{
    (void)line;
    on_start(a);
}

static void on_done(nx_attempt *a)
{
    (void)pthread_mutex_lock(&seen.mu);
    if (seen.ended < ATTEMPTS_MAX) seen.order[seen.ended] = a;
    seen.ended++;
    (void)pthread_cond_broadcast(&seen.changed);
    (void)pthread_mutex_unlock(&seen.mu);
}

void attempts_init(nx_attempt *a, nx_rt_program *p)
{
    nx_attempt_init(a);
    a->program = p;
    a->on_start = on_start;
    a->done = on_done;
}

void attempts_submit(nx_attempt *a)
{
    nx_error err = NX_ERROR_INIT;
    rt_help_engine_signals();
    if (nx_rt_submit(rt, a, &err)) fail_msg("submit: %s", err.msg);
}

void attempts_init_for(nx_attempt *a, nx_rt_program *p, nx_rt_share *s)
{
    attempts_init(a, p);
    a->share = s;
    a->timeout_ns = 100 * NX_NS_PER_S;
}

void attempts_submit_to(nx_attempt *a, nx_rt_program *p, nx_rt_share *s)
{
    attempts_init_for(a, p, s);
    attempts_submit(a);
}

void attempts_finish(nx_attempt *a, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        rt_help_assert_outcome(&a[i], NX_RUN_OK, NX_WHY_NONE);
        nx_attempt_done(&a[i]);
    }
}

static uint64_t cpu_ns(void) /* of this thread: others use the machine too */
{
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * NX_NS_PER_S + (uint64_t)t.tv_nsec;
}

nx_rt_program *attempts_busy(unsigned ms)
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
    (void)snprintf(text, sizeof text, wat, 0ULL + turns_a_ms * ms);
    return rt_help_load_wat(text);
}

static void on_block(nx_attempt *a)
{
    (void)a;
    (void)pthread_mutex_lock(&seen.mu);
    blockers.begun++;
    (void)pthread_cond_broadcast(&seen.changed);
    while (!blockers.is_released) (void)pthread_cond_wait(&seen.changed, &seen.mu);
    (void)pthread_mutex_unlock(&seen.mu);
}

static void on_unblocked(nx_attempt *a)
{
    (void)a;
    count_up(&blockers.ended);
}

static void wait_for(const unsigned *count, unsigned n, const char *what)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_S;
    (void)pthread_mutex_lock(&seen.mu);
    while (*count < n)
        if (pthread_cond_timedwait(&seen.changed, &seen.mu, &until)) break;
    unsigned have = *count;
    (void)pthread_mutex_unlock(&seen.mu);
    if (have < n) fail_msg("%u of %u attempts %s within %d s", have, n, what, WAIT_S);
}

void attempts_wait_started(unsigned n) { wait_for(&seen.started, n, "began"); }
void attempts_wait_ended(unsigned n) { wait_for(&seen.ended, n, "ended"); }

void attempts_block(unsigned slots)
{
    assert_true(slots <= BLOCKERS_MAX);
    blockers.n = slots;
    blockers.begun = blockers.ended = 0;
    blockers.is_released = false;
    blockers.program = rt_help_load_wat("(module (func (export \"handle_event\")))");
    assert_int_equal(nx_rt_group_new(rt, &blockers.group), NX_OK);
    for (unsigned i = 0; i < slots; i++) {
        nx_attempt *a = &blockers.a[i];
        nx_attempt_init(a);
        a->program = blockers.program;
        a->share = nx_rt_group_share(blockers.group);
        a->on_start = on_block;
        a->done = on_unblocked;
        attempts_submit(a);
    }
    wait_for(&blockers.begun, slots, "began");
}

void attempts_release(void)
{
    (void)pthread_mutex_lock(&seen.mu);
    blockers.is_released = true;
    (void)pthread_cond_broadcast(&seen.changed);
    (void)pthread_mutex_unlock(&seen.mu);
    wait_for(&blockers.ended, blockers.n, "ended");
    for (unsigned i = 0; i < blockers.n; i++) nx_attempt_done(&blockers.a[i]);
    nx_rt_group_free(blockers.group);
    nx_rt_program_unref(blockers.program);
}

unsigned attempts_n_ended(void)
{
    (void)pthread_mutex_lock(&seen.mu);
    unsigned n = seen.ended;
    (void)pthread_mutex_unlock(&seen.mu);
    return n;
}

const nx_attempt *attempts_ended(unsigned place)
{
    assert_true(place < attempts_n_ended() && place < ATTEMPTS_MAX);
    return seen.order[place];
}

unsigned attempts_place(const nx_attempt *a)
{
    unsigned n = attempts_n_ended();
    for (unsigned i = 0; i < n; i++)
        if (attempts_ended(i) == a) return i;
    return UINT32_MAX;
}

void attempts_use_runtime(const nx_rt_options *o)
{
    nx_error err = NX_ERROR_INIT;
    nx_rt_options mine = *o;
    (void)snprintf(other.dir, sizeof other.dir, "/tmp/nx-test-other-XXXXXX");
    assert_non_null(mkdtemp(other.dir));
    other.before = rt;
    mine.cache_dir = other.dir;
    if (nx_rt_new(&mine, &rt, &err)) fail_msg("nx_rt_new: %s", err.msg);
}

void attempts_drop_runtime(void)
{
    char command[96];
    nx_rt_free(rt);
    rt = other.before;
    (void)snprintf(command, sizeof command, "rm -rf %s", other.dir);
    assert_int_equal(system(command), 0);
}
