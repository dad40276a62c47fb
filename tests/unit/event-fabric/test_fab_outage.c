/* What happens when the server dies, stops, or is full: nothing that was acknowledged is lost, nothing is silently held back. */
#include "fab_internal.h"
#include "fab_test.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <unistd.h>

static bool is_thread_stopped(int pid, const char *thread)
{
    char path[320], text[256] = "";
    FILE *f;
    bool is_so;

    snprintf(path, sizeof path, "/proc/%d/task/%s/stat", pid, thread);
    f = fopen(path, "r");
    is_so = !f || (fgets(text, sizeof text, f) && strrchr(text, ')') && strrchr(text, ')')[2] == 'T'); /* or has just ended */
    if (f)
        fclose(f);
    return is_so;
}

/* Each thread stops for itself: the first one may have while another still answers. */
static bool is_stopped(void *self)
{
    int pid = *(int *)self;
    char path[64];
    struct dirent *thread;
    bool are_stopped = true;
    DIR *d;

    snprintf(path, sizeof path, "/proc/%d/task", pid);
    d = opendir(path);
    if (!d)
        fail_msg("no process %d", pid);
    while ((thread = readdir(d)))
        are_stopped &= thread->d_name[0] == '.' || is_thread_stopped(pid, thread->d_name);
    closedir(d);
    return are_stopped;
}

/* A signal takes effect a little later. */
static void stop_process(int pid)
{
    kill(pid, SIGSTOP);
    wait_until(is_stopped, &pid, 5000);
}

/* ---- a connection that ends -------------------------------------------------------------------------------------------------------------------- */

struct slow_end {
    nx_fab_pub pub;
    fix *fx;
    waiter second;
    nx_err second_err;
    atomic_bool has_ended;
};

static bool has_ended(void *self)
{
    return atomic_load(&((struct slow_end *)self)->has_ended);
}

/* nx-fab, while it ends what went over the lost connection: tries to publish until that is taken, or for long enough to connect anew. */
static void publish_again(nx_fab_pub *p)
{
    struct slow_end *s = p->owner;
    fix *fx = s->fx;
    uint64_t end_ns = nx_clock_ns() + 1500 * NX_NS_PER_MS;
    nx_event e = make_event(NX_SLICE("second"), "{}");

    waiter_init(&s->second);
    do {
        struct timespec ts = {.tv_nsec = 1000000};

        s->second_err = nx_fab_publish_event(fx->n, &e, NX_SLICE_NULL, NX_SLICE_NULL, &s->second.pub, &fx->err);
        nanosleep(&ts, NULL);
    } while (s->second_err && nx_clock_ns() < end_ns);
    atomic_store(&s->has_ended, true);
}

/* What a new connection takes on is not ended with what went over the one before. */
static void test_a_publish_on_a_new_connection_is_not_ended_with_the_old_ones(void **state)
{
    fix fix_, *fx = &fix_;
    struct slow_end s = {.fx = &fix_, .pub = {.done = publish_again, .owner = &s}};
    nx_event e = make_event(NX_SLICE("first"), "{}");
    nx_fab_link *l;
    int pid;

    (void)state;
    fix_open(fx);
    pid = nx_fab_server_pid(fx->server);
    stop_process(pid); /* so that the first one is still on its way */
    ok(nx_fab_publish_event(fx->n, &e, NX_SLICE_NULL, NX_SLICE_NULL, &s.pub, &fx->err));
    pthread_mutex_lock(&fx->f->mu);
    l = atomic_load(&fx->f->link[NX_FAB_HOT]);
    shutdown(l->fd, SHUT_RDWR);
    pthread_mutex_unlock(&fx->f->mu);
    kill(pid, SIGCONT);
    wait_until(has_ended, &s, 10000);
    assert_int_equal(s.pub.err, NX_EUNAVAIL); /* it ended with its connection */
    if (!s.second_err) {
        waiter_wait(&s.second);
        ok(s.second.pub.err);
    }
    wait_until(fab_is_ready, fx, 10000);
    publish(fx, "third", "{}", NULL);
    fix_close(fx);
}

#define LOAD 8000

struct load {
    fix *fx;
    waiter w[LOAD];
    nx_id id[LOAD];
    nx_err err[LOAD];
};

/* Publishes while the server is killed again and again; every event that was acknowledged must be in the log afterwards. */
static void *kill_now_and_then(void *self)
{
    fix *fx = self;

    for (int i = 0; i < 5; i++) {
        struct timespec ts = {.tv_nsec = 150000000};
        int pid;

        nanosleep(&ts, NULL); /* somewhere in the middle of the load */
        pid = nx_fab_server_pid(fx->server);
        if (pid > 0)
            kill(pid, SIGKILL);
    }
    return NULL;
}

static void test_no_acknowledged_event_is_lost_when_the_server_is_killed(void **state)
{
    fix fix_, *fx = &fix_;
    static struct load l;
    nx_arena a = NX_ARENA_INIT(256 << 20);
    unsigned stored = 0, refused = 0, n = 0;
    pthread_t th;
    nx_fab_stats st;

    (void)state;
    fix_open(fx);
    pthread_create(&th, NULL, kill_now_and_then, fx);
    while (n < LOAD) {
        nx_event e = make_event(NX_SLICE("load"), "{}");
        unsigned i = n++;

        l.id[i] = e.event_id;
        waiter_init(&l.w[i]);
        l.err[i] = nx_fab_publish_event(fx->n, &e, NX_SLICE_NULL, NX_SLICE_NULL, &l.w[i].pub, &fx->err);
        if (n % 8 == 0 || l.err[i]) {
            struct timespec ts = {.tv_nsec = 1000000};

            nanosleep(&ts, NULL); /* paces the load over the kills */
        }
    }
    pthread_join(th, NULL);
    wait_until(fab_is_ready, fx, 20000);
    for (unsigned i = 0; i < n; i++) {
        nx_event got;

        if (!l.err[i]) {
            waiter_wait(&l.w[i]);
            l.err[i] = l.w[i].pub.err;
        }
        if (l.err[i]) {
            assert_true(l.err[i] == NX_EUNAVAIL || l.err[i] == NX_EBUSY);
            refused++;
            continue;
        }
        stored++;
        nx_arena_reset(&a);
        ok(nx_fab_event_get_seq(fx->n, l.w[i].pub.seq, &a, &got, &fx->err));
        assert_string_equal(got.event_id.s, l.id[i].s);
    }
    ok(nx_fab_stats_get(fx->n, &st, &fx->err));
    assert_true(st.events >= stored);
    assert_true(stored > 0 && refused > 0);
    nx_arena_done(&a);
    fix_close(fx);
}

static void test_consumers_go_on_after_a_restart_and_hand_out_everything(void **state)
{
    fix fix_, *fx = &fix_;
    nx_slice type = NX_SLICE("t");
    static inbox box;
    nx_fab_consumer_options o = {.durable = "fn-a", .types = &type, .n_types = 1, .on_msg = inbox_on_msg, .self = &box, .ack_wait_ns = NX_NS_PER_S};
    nx_fab_consumer *c;
    bool seen[40] = {false};
    unsigned n_seen = 0;
    nx_fab_msg *held;
    uint32_t lives;

    (void)state;
    fix_open(fx);
    inbox_init(&box);
    ok(nx_fab_consumer_open(fx->n, &o, &c, &fx->err));
    for (int i = 0; i < 20; i++)
        publish(fx, "t", "1", NULL);
    held = inbox_next(&box, 5000); /* in hand over the restart */
    assert_non_null(held);
    lives = fab_lives(fx);
    kill(nx_fab_server_pid(fx->server), SIGKILL);
    wait_until(fab_is_reconnected, &(struct fab_reconnect){fx, lives}, 20000);
    for (int i = 0; i < 20; i++)
        publish(fx, "t", "2", NULL);
    nx_fab_msg_ack(held);
    seen[0] = true;
    n_seen = 1;
    while (n_seen < 40) {
        nx_fab_msg *m = inbox_next(&box, 10000);

        if (!m)
            fail_msg("only %u of 40 events came", n_seen);
        assert_in_range(nx_fab_msg_seq(m), 1, 40);
        if (!seen[nx_fab_msg_seq(m) - 1])
            n_seen++;
        seen[nx_fab_msg_seq(m) - 1] = true;
        nx_fab_msg_ack(m);
    }
    nx_fab_consumer_close(c, false);
    fix_close(fx);
}

static void test_a_publish_without_a_connection_fails_at_once(void **state)
{
    fix fix_, *fx = &fix_;
    nx_event e = make_event(NX_SLICE("t"), "1");
    nx_error why = NX_ERROR_INIT;
    uint64_t t;
    waiter w;

    (void)state;
    fix_open(fx);
    nx_fab_server_stop(fx->server);
    fx->server = NULL;
    wait_until(fab_is_not_ready, fx, 5000);
    waiter_init(&w);
    t = nx_clock_ns();
    assert_int_equal(nx_fab_publish_event(fx->n, &e, NX_SLICE_NULL, NX_SLICE_NULL, &w.pub, &fx->err), NX_EUNAVAIL);
    assert_true(nx_clock_ns() - t < 3 * NX_NS_PER_S); /* a publish that waits takes 5 s */
    assert_false(nx_fab_is_ready(fx->f, &why));
    assert_non_null(strstr(why.msg, "reconnecting"));
    assert_null(strstr(why.msg, "nexus:")); /* no credentials */
    fix_close(fx);
    assert_int_equal(w.n_done, 0);
}

static void test_publishes_to_a_stopped_server_end_and_late_answers_do_no_harm(void **state)
{
    fix fix_, *fx = &fix_;
    nx_event e = make_event(NX_SLICE("t"), "1");
    waiter first, second;
    uint64_t t;
    int pid;

    (void)state;
    fix_open(fx);
    publish(fx, "t", "0", NULL);
    pid = nx_fab_server_pid(fx->server);
    stop_process(pid);
    t = nx_clock_ns();
    assert_int_equal(waiter_publish(fx, &first, &e, ""), NX_EUNAVAIL);
    assert_true((nx_clock_ns() - t) / NX_NS_PER_MS >= 4900);
    /* The next publish gets the same slot; the answer to the first comes after it was sent. */
    e.event_id = nx_ulid_new(nx_clock_wall_ns());
    waiter_init(&second);
    ok(nx_fab_publish_event(fx->n, &e, NX_SLICE_NULL, NX_SLICE_NULL, &second.pub, &fx->err));
    kill(pid, SIGCONT);
    waiter_wait(&second);
    ok(second.pub.err);
    assert_int_equal(second.pub.seq, 3); /* 2 is the first one, stored late */
    assert_int_equal(first.n_done, 1);
    wait_until(fab_is_ready, fx, 10000);
    fix_close(fx);
}

struct first_is {
    fix *fx;
    uint64_t seq;
};

static bool first_is(void *self)
{
    struct first_is *w = self;
    nx_fab_stats st;

    return !nx_fab_stats_get(w->fx->n, &st, NULL) && st.events_first_seq == w->seq;
}

static void test_age_purges_what_is_handled_and_nothing_else(void **state)
{
    fix fix_, *fx = &fix_;
    nx_slice type_a = NX_SLICE("a"), type_b = NX_SLICE("b.>");
    static inbox a, b;
    nx_fab_consumer_options oa = {.durable = "fn-a", .types = &type_a, .n_types = 1, .on_msg = inbox_on_msg, .self = &a};
    nx_fab_consumer_options ob = {.durable = "fn-b", .types = &type_b, .n_types = 1, .on_msg = inbox_on_msg, .self = &b, .max_inflight = 1};
    nx_fab_consumer *ca, *cb;
    nx_fab_msg *held;

    (void)state;
    fix_open_with(fx, &(nx_fab_ns_options){.events_max_bytes = 1 << 30, .runs_max_bytes = 1 << 30, .events_max_age_ns = NX_NS_PER_S, .runs_max_age_ns = NX_NS_PER_S});
    inbox_init(&a);
    inbox_init(&b);
    ok(nx_fab_consumer_open(fx->n, &oa, &ca, &fx->err));
    ok(nx_fab_consumer_open(fx->n, &ob, &cb, &fx->err));
    publish(fx, "a", "1", NULL);
    publish(fx, "nobody.takes.this", "2", NULL);
    publish(fx, "b.x", "3", NULL); /* is held */
    publish(fx, "a", "4", NULL);
    publish(fx, "b.y", "5", NULL); /* waits behind it */
    publish(fx, "a", "6", NULL);
    for (int i = 0; i < 3; i++)
        nx_fab_msg_ack(inbox_next(&a, 5000));
    held = inbox_next(&b, 5000);
    assert_non_null(held);
    wait_until(first_is, &(struct first_is){fx, 3}, 10000); /* 1 and 2 are gone */
    assert_null(inbox_next(&b, 2500));                      /* over two more rounds */
    assert_true(first_is(&(struct first_is){fx, 3}));
    nx_fab_msg_ack(held);
    held = inbox_next(&b, 5000);
    assert_non_null(held);
    wait_until(first_is, &(struct first_is){fx, 5}, 10000);
    nx_fab_msg_ack(held);
    wait_until(first_is, &(struct first_is){fx, 7}, 10000); /* empty */
    nx_fab_consumer_close(ca, false);
    nx_fab_consumer_close(cb, false);
    fix_close(fx);
}

static nx_err fill(fix *fx, unsigned max)
{
    static char data[64 << 10];
    nx_err e = NX_OK;

    memset(data, 'x', sizeof data - 1);
    for (unsigned i = 0; i < max && !e; i++) {
        nx_event ev = make_event(NX_SLICE("big"), data);
        waiter w;

        e = waiter_publish(fx, &w, &ev, "");
    }
    return e;
}

static void test_a_full_log_refuses_and_recovers_when_functions_are_done(void **state)
{
    fix fix_, *fx = &fix_;
    nx_slice type = NX_SLICE("big");
    static inbox box;
    nx_fab_consumer_options o = {.durable = "fn-a", .types = &type, .n_types = 1, .on_msg = inbox_on_msg, .self = &box};
    nx_error why = NX_ERROR_INIT;
    nx_fab_consumer *c;
    nx_fab_stats st;
    nx_fab_msg *m;

    (void)state;
    fix_open_with(fx, &(nx_fab_ns_options){.events_max_bytes = 2 << 20, .runs_max_bytes = 1 << 20});
    inbox_init(&box);
    ok(nx_fab_consumer_open(fx->n, &o, &c, &fx->err));
    assert_int_equal(fill(fx, 100), NX_EFULL);
    assert_false(nx_fab_is_ready(fx->f, &why));
    assert_non_null(strstr(why.msg, "full"));
    /* Nothing is given up that the consumer still has to see, however long it takes. */
    ok(nx_fab_stats_get(fx->n, &st, &fx->err));
    assert_int_equal(st.events_first_seq, 1);
    for (uint64_t i = 0; i < st.events; i++) {
        m = inbox_next(&box, 10000);
        assert_non_null(m);
        nx_fab_msg_ack(m);
    }
    wait_until(fab_is_ready, fx, 20000);
    ok(nx_fab_stats_get(fx->n, &st, &fx->err));
    assert_true(st.events_first_seq > 1);
    ok(fill(fx, 3));
    nx_fab_consumer_close(c, false);
    fix_close(fx);
}

/* nats-server keeps a store shut after a write error, without answering; the fabric finds that out and has the private server restarted. */
static void test_a_full_disk_loses_nothing_and_recovers(void **state)
{
    fix fix_, *fx = &fix_;
    nx_arena a = NX_ARENA_INIT(64 << 20);
    static char zeros[1 << 16];
    char ballast[96];
    uint64_t seqs[2000];
    nx_id ids[2000];
    unsigned n = 0;
    nx_err e = NX_OK;
    int fd;

    (void)state;
    fix_dir(fx);
    if (mount("tmpfs", fx->dir, "tmpfs", 0, "size=48m,mode=0700")) {
        fix_remove_dir(fx->dir);
        skip(); /* takes root */
    }
    fix_on_dir(fx, &(nx_fab_ns_options){.events_max_bytes = 1 << 30, .runs_max_bytes = 1 << 30});
    publish(fx, "t", "1", NULL);
    snprintf(ballast, sizeof ballast, "%s/ballast", fx->dir);
    fd = open(ballast, O_WRONLY | O_CREAT, 0600);
    while (write(fd, zeros, sizeof zeros) == sizeof zeros)
        ;
    while (write(fd, zeros, 512) == 512)
        ;
    close(fd);
    while (!e && n < 2000) {
        nx_event ev = make_event(NX_SLICE("t"), "{\"some\": \"data that takes a little room, and more of it, and still more\"}");
        waiter w;

        e = waiter_publish(fx, &w, &ev, "");
        if (!e) {
            seqs[n] = w.pub.seq;
            ids[n++] = ev.event_id;
        }
    }
    assert_true(e == NX_EUNAVAIL || e == NX_EFULL);
    wait_until(fab_is_not_ready, fx, 10000);
    assert_int_equal(unlink(ballast), 0);
    wait_until(fab_is_ready, fx, 40000);
    for (unsigned i = 0; i < n; i++) {
        nx_event got;

        nx_arena_reset(&a);
        ok(nx_fab_event_get_seq(fx->n, seqs[i], &a, &got, &fx->err));
        assert_string_equal(got.event_id.s, ids[i].s);
    }
    publish(fx, "t", "again", NULL);
    nx_arena_done(&a);
    nx_fab_ns_close(fx->n);
    nx_fab_close(fx->f);
    nx_fab_server_stop(fx->server);
    umount2(fx->dir, MNT_DETACH);
    fix_remove_dir(fx->dir);
}

static void test_a_deleted_consumer_is_restored(void **state)
{
    fix fix_, *fx = &fix_;
    nx_slice type = NX_SLICE("t");
    static inbox box;
    nx_fab_consumer_options o = {.durable = "fn-a", .types = &type, .n_types = 1, .from_start = true, .on_msg = inbox_on_msg, .self = &box};
    nx_fab *other = NULL;
    nx_fab_options fo = {.url = NULL};
    nx_fab_ns *n2;
    nx_fab_consumer *c, *c2;
    nx_fab_msg *m;

    (void)state;
    fix_open(fx);
    inbox_init(&box);
    ok(nx_fab_consumer_open(fx->n, &o, &c, &fx->err));
    publish(fx, "t", "1", NULL);
    m = inbox_next(&box, 5000);
    assert_non_null(m);
    nx_fab_msg_ack(m);
    /* Somebody else removes it. */
    fo.url = nx_fab_server_url(fx->server);
    fo.node = nx_ulid_new(nx_clock_wall_ns());
    ok(nx_fab_open(&fo, &other, &fx->err));
    ok(nx_fab_ns_open(other, NX_SLICE("default"), &(nx_fab_ns_options){.events_max_bytes = 1 << 30, .runs_max_bytes = 1 << 30}, &n2, &fx->err));
    ok(nx_fab_consumer_open(n2, &o, &c2, &fx->err));
    nx_fab_consumer_close(c2, true);
    nx_fab_ns_close(n2);
    nx_fab_close(other);
    publish(fx, "t", "2", NULL);
    for (uint64_t seq = 0; seq != 2; nx_fab_msg_ack(m)) {
        m = inbox_next(&box, 15000);
        assert_non_null(m);
        seq = nx_fab_msg_seq(m);
    }
    nx_fab_consumer_close(c, false);
    fix_close(fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_acknowledged_event_is_lost_when_the_server_is_killed),
        cmocka_unit_test(test_consumers_go_on_after_a_restart_and_hand_out_everything),
        cmocka_unit_test(test_a_publish_without_a_connection_fails_at_once),
        cmocka_unit_test(test_a_publish_on_a_new_connection_is_not_ended_with_the_old_ones),
        cmocka_unit_test(test_publishes_to_a_stopped_server_end_and_late_answers_do_no_harm),
        cmocka_unit_test(test_age_purges_what_is_handled_and_nothing_else),
        cmocka_unit_test(test_a_full_log_refuses_and_recovers_when_functions_are_done),
        cmocka_unit_test(test_a_full_disk_loses_nothing_and_recovers),
        cmocka_unit_test(test_a_deleted_consumer_is_restored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
