/* Many consumers share what a node may have in hand; a consumer's place in the log survives; external servers with passwords and TLS. */
#include "embedded/embedded.h"
#include "fab_internal.h"
#include "fab_test.h"
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct counting {
    pthread_mutex_t mu;
    unsigned n, in_hand, most_in_hand;
    nx_fab_msg *held[8192];
    unsigned n_held;
    bool keeps;
};

static void count_msg(void *self, nx_fab_msg *m)
{
    struct counting *c = self;
    bool keep;

    pthread_mutex_lock(&c->mu);
    c->n++;
    keep = c->keeps;
    if (keep) {
        c->held[c->n_held++] = m;
        if (c->n_held > c->most_in_hand)
            c->most_in_hand = c->n_held;
    }
    pthread_mutex_unlock(&c->mu);
    if (!keep)
        nx_fab_msg_ack(m);
}

static unsigned count_of(struct counting *c)
{
    unsigned n;

    pthread_mutex_lock(&c->mu);
    n = c->n;
    pthread_mutex_unlock(&c->mu);
    return n;
}

struct want {
    struct counting *c;
    unsigned n;
};

static bool has_enough(void *self)
{
    struct want *w = self;

    return count_of(w->c) >= w->n;
}

#define FUNCTIONS 60

static void test_many_consumers_share_the_budget_and_none_starves(void **state)
{
    fix fix_, *fx = &fix_;
    static nx_fab_consumer *c[FUNCTIONS];
    static struct counting busy, quiet;
    char name[32], type[32];
    nx_fab_options fo = {.max_inflight = 40};
    nx_fab_ns_options no = {.events_max_bytes = 1 << 30, .runs_max_bytes = 1 << 30};
    struct want w = {&quiet, FUNCTIONS - 1};

    (void)state;
    pthread_mutex_init(&busy.mu, NULL);
    pthread_mutex_init(&quiet.mu, NULL);
    fix_fabric(fx, &fo);
    ok(nx_fab_ns_open(fx->f, NX_SLICE("default"), &no, &fx->n, &fx->err));
    for (int i = 0; i < FUNCTIONS; i++) { /* more consumers than may be in hand */
        nx_slice t;
        nx_fab_consumer_options o = {.durable = name, .types = &t, .n_types = 1, .on_msg = count_msg, .self = i ? &quiet : &busy};

        snprintf(name, sizeof name, "fn-%d", i);
        snprintf(type, sizeof type, "type.%d", i);
        t = nx_slice_cstr(type);
        ok(nx_fab_consumer_open(fx->n, &o, &c[i], &fx->err));
    }
    busy.keeps = true;
    for (int i = 0; i < 200; i++)
        publish(fx, "type.0", "1", NULL);
    for (int i = 1; i < FUNCTIONS; i++) {
        snprintf(type, sizeof type, "type.%d", i);
        publish(fx, type, "1", NULL);
    }
    wait_until(has_enough, &w, 10000); /* every quiet one got its own, though the busy one sits on all it was given */
    pthread_mutex_lock(&busy.mu);
    assert_true(busy.most_in_hand <= 40);
    busy.keeps = false;
    pthread_mutex_unlock(&busy.mu);
    for (unsigned i = 0; i < busy.n_held; i++)
        nx_fab_msg_ack(busy.held[i]);
    w = (struct want){&busy, 200};
    wait_until(has_enough, &w, 10000);
    for (int i = 0; i < FUNCTIONS; i++)
        nx_fab_consumer_close(c[i], true);
    fix_close(fx);
}

/* Data of `kib` KiB, NUL-terminated; the caller frees it. */
static char *data_of(size_t kib)
{
    char *text = malloc(kib * 1024 + 1);

    assert_non_null(text);
    memset(text, '1', kib * 1024);
    text[kib * 1024] = 0;
    return text;
}

static size_t bytes_in_hand(nx_fab *f)
{
    size_t n;

    pthread_mutex_lock(&f->cmu);
    n = f->in_hand_bytes;
    pthread_mutex_unlock(&f->cmu);
    return n;
}

#define BYTES_MAX (1u << 20)
#define EVENTS 30u

struct filled {
    nx_fab *f;
    struct counting *c;
};

static bool is_full_or_done(void *self)
{
    struct filled *w = self;

    return count_of(w->c) == EVENTS || bytes_in_hand(w->f) >= BYTES_MAX;
}

static void test_bytes_in_hand_are_bounded_and_large_events_still_come(void **state)
{
    fix fix_, *fx = &fix_;
    static struct counting held;
    nx_fab_options fo = {.max_inflight = 1000, .max_inflight_bytes = BYTES_MAX};
    nx_fab_ns_options no = {.events_max_bytes = 1 << 30, .runs_max_bytes = 1 << 30};
    nx_slice t = NX_SLICE("big");
    nx_fab_consumer_options o = {.durable = "fn-big", .types = &t, .n_types = 1, .on_msg = count_msg, .self = &held};
    char *usual = data_of(100), *large = data_of(3000);
    struct filled w = {NULL, &held};
    nx_fab_consumer *c;

    (void)state;
    pthread_mutex_init(&held.mu, NULL);
    held.keeps = true;
    fix_fabric(fx, &fo);
    w.f = fx->f;
    ok(nx_fab_ns_open(fx->f, NX_SLICE("default"), &no, &fx->n, &fx->err));
    ok(nx_fab_consumer_open(fx->n, &o, &c, &fx->err));
    for (unsigned i = 0; i < EVENTS; i++)
        publish(fx, "big", i == 20 ? large : usual, NULL);
    for (unsigned given_back = 0; given_back < EVENTS; given_back++) {
        wait_until(is_full_or_done, &w, 10000);
        /* No more than what is one too many: a usual one, or the large one on top of what was not full yet. */
        assert_true(bytes_in_hand(fx->f) < BYTES_MAX + (given_back < 10 ? 102u : 3002u) * 1024u);
        pthread_mutex_lock(&held.mu);
        nx_fab_msg *m = held.held[given_back];
        pthread_mutex_unlock(&held.mu);
        nx_fab_msg_ack(m);
    }
    assert_int_equal(count_of(&held), EVENTS);
    assert_int_equal(bytes_in_hand(fx->f), 0);
    free(usual);
    free(large);
    nx_fab_consumer_close(c, true);
    fix_close(fx);
}

static void test_a_consumer_with_new_filters_keeps_its_place(void **state)
{
    fix fix_, *fx = &fix_;
    static inbox box;
    nx_slice types[] = {NX_SLICE("a.*"), NX_SLICE("*.b")};
    nx_fab_consumer_options o = {.durable = "fn-x", .types = types, .n_types = 1, .from_start = true, .on_msg = inbox_on_msg, .self = &box};
    nx_arena a = NX_ARENA_INIT(1 << 20);
    bool seen[3] = {false};
    nx_fab_consumer *c;
    nx_fab_msg *m;
    nx_event e;

    (void)state;
    fix_open(fx);
    inbox_init(&box);
    publish(fx, "a.1", "1", NULL);
    ok(nx_fab_consumer_open(fx->n, &o, &c, &fx->err));
    assert_int_equal(nx_fab_consumer_open(fx->n, &o, &(nx_fab_consumer *){NULL}, &fx->err), NX_EEXIST);
    m = inbox_next(&box, 5000);
    assert_non_null(m);
    nx_fab_msg_ack(m);
    nx_fab_settle(fx->f);
    nx_fab_consumer_close(c, false);
    publish(fx, "a.2", "2", NULL); /* while it is away */
    o.n_types = 2;                 /* the two patterns cross: the filter gets wider than what is wanted */
    ok(nx_fab_consumer_open(fx->n, &o, &c, &fx->err));
    publish(fx, "x.b", "3", NULL);
    publish(fx, "x.y", "not wanted", NULL);
    publish(fx, "a.b", "4", NULL);
    for (int i = 2; i <= 4; i++) { /* the first may come last: the closed consumer's open pull got it, and gave it back */
        m = inbox_next(&box, 5000);
        assert_non_null(m);
        ok(nx_fab_msg_event(m, &a, &e, &fx->err));
        assert_int_equal(e.data.n, 1);
        assert_in_range(e.data.p[0], '2', '4');
        assert_false(seen[e.data.p[0] - '2']);
        seen[e.data.p[0] - '2'] = true;
        nx_fab_msg_ack(m);
    }
    assert_null(inbox_next(&box, 300));
    nx_fab_consumer_close(c, true);
    nx_arena_done(&a);
    fix_close(fx);
}

/* What a closed consumer was still granted goes back at once, not after ack_wait. */
static void test_closing_gives_back_what_is_on_its_way(void **state)
{
    fix fix_, *fx = &fix_;
    static inbox box;
    static struct counting first;
    nx_slice type = NX_SLICE("t");
    nx_fab_consumer_options o = {.durable = "fn-x", .types = &type, .n_types = 1, .on_msg = count_msg, .self = &first, .ack_wait_ns = 60 * NX_NS_PER_S};
    nx_fab_consumer *c;

    (void)state;
    pthread_mutex_init(&first.mu, NULL);
    fix_open(fx);
    inbox_init(&box);
    ok(nx_fab_consumer_open(fx->n, &o, &c, &fx->err));
    nx_fab_consumer_close(c, false); /* its pull is still open at the server */
    publish(fx, "t", "1", NULL);
    o.on_msg = inbox_on_msg;
    o.self = &box;
    ok(nx_fab_consumer_open(fx->n, &o, &c, &fx->err));
    nx_fab_msg *m = inbox_next(&box, 5000);
    assert_non_null(m);
    nx_fab_msg_ack(m);
    assert_int_equal(count_of(&first), 0);
    nx_fab_consumer_close(c, true);
    fix_close(fx);
}

/* A function whose filters change, or a node that drains: what runs goes on running, and must not begin anew beside itself. */
static void test_what_a_closed_consumer_has_in_hand_is_kept_alive(void **state)
{
    fix fix_, *fx = &fix_;
    static inbox box;
    nx_slice type = NX_SLICE("t");
    nx_fab_consumer_options o = {.durable = "fn-x", .types = &type, .n_types = 1, .on_msg = inbox_on_msg, .self = &box, .ack_wait_ns = 500 * NX_NS_PER_MS};
    nx_fab_consumer *c;
    nx_fab_msg *m;

    (void)state;
    fix_open(fx);
    inbox_init(&box);
    ok(nx_fab_consumer_open(fx->n, &o, &c, &fx->err));
    publish(fx, "t", "1", NULL);
    m = inbox_next(&box, 5000);
    assert_non_null(m);
    nx_fab_consumer_close(c, false);
    ok(nx_fab_consumer_open(fx->n, &o, &c, &fx->err));
    assert_null(inbox_next(&box, 2000)); /* four times ack_wait */
    nx_fab_msg_ack(m);
    assert_null(inbox_next(&box, 1000));
    publish(fx, "t", "2", NULL);
    m = inbox_next(&box, 5000);
    assert_non_null(m);
    nx_fab_msg_ack(m);
    nx_fab_consumer_close(c, true);
    fix_close(fx);
}

/* The order of its attributes is part of what a function with `input: cloudevent` reads. */
static void test_an_event_reads_the_same_delivered_and_looked_up(void **state)
{
    fix fix_, *fx = &fix_;
    static inbox box;
    static char names[NX_EVENT_EXT_MAX][16];
    nx_slice type = NX_SLICE("t");
    nx_fab_consumer_options o = {.durable = "fn-x", .types = &type, .n_types = 1, .on_msg = inbox_on_msg, .self = &box};
    nx_fab_consumer *c;

    (void)state;
    fix_open(fx);
    inbox_init(&box);
    ok(nx_fab_consumer_open(fx->n, &o, &c, &fx->err));
    for (unsigned n = 2; n <= NX_EVENT_EXT_MAX; n++) {
        nx_arena a = NX_ARENA_INIT(1 << 20);
        nx_buf delivered = NX_BUF_INIT(1 << 16), found = NX_BUF_INIT(1 << 16);
        nx_event e = make_event(type, "{}"), got;
        waiter w;

        for (unsigned i = 0; i < n; i++) {
            snprintf(names[i], sizeof names[i], "x%ue%u", i * 7 % 26 * 100 + i, n);
            e.ext[e.n_ext++] = (nx_kv){nx_slice_cstr(names[i]), NX_SLICE("v")};
        }
        waiter_init(&w);
        ok(waiter_publish(fx, &w, &e, NULL));
        nx_fab_msg *m = inbox_next(&box, 5000);
        assert_non_null(m);
        ok(nx_fab_msg_event(m, &a, &got, &fx->err));
        ok(nx_event_to_json(&got, &delivered));
        ok(nx_fab_event_get(fx->n, &e.event_id, &a, &got, &fx->err));
        ok(nx_event_to_json(&got, &found));
        assert_int_equal(delivered.n, found.n);
        assert_memory_equal(delivered.p, found.p, found.n);
        nx_fab_msg_ack(m);
        nx_buf_done(&delivered);
        nx_buf_done(&found);
        nx_arena_done(&a);
    }
    nx_fab_consumer_close(c, true);
    fix_close(fx);
}

/* ---- many threads ------------------------------------------------------------------------------------------------------------------------ */

#define THREADS 4
#define EACH 2000

struct flood {
    fix *fx;
    atomic_uint stored, failed;
};

static void flood_done(nx_fab_pub *p)
{
    struct flood *f = p->owner;

    atomic_fetch_add(p->err ? &f->failed : &f->stored, 1);
    free(p);
}

static void *flood_main(void *self)
{
    struct flood *f = self;

    for (int i = 0; i < EACH; i++) {
        nx_event e = make_event(NX_SLICE("flood"), "{}");
        nx_fab_pub *p = calloc(1, sizeof *p);

        p->done = flood_done;
        p->owner = f;
        while (nx_fab_publish_event(f->fx->n, &e, NX_SLICE_NULL, NX_SLICE_NULL, p, NULL))
            sched_yield(); /* too many in flight */
    }
    return NULL;
}

static bool all_stored(void *self)
{
    struct flood *f = self;

    return atomic_load(&f->stored) + atomic_load(&f->failed) == THREADS * EACH;
}

static void test_publishing_from_many_threads(void **state)
{
    fix fix_, *fx = &fix_;
    struct flood f = {.fx = fx};
    static struct counting got;
    nx_slice type = NX_SLICE("flood");
    nx_fab_consumer_options o = {.durable = "fn-x", .types = &type, .n_types = 1, .on_msg = count_msg, .self = &got};
    struct want w = {&got, THREADS * EACH};
    nx_fab_consumer *c;
    pthread_t th[THREADS];

    (void)state;
    pthread_mutex_init(&got.mu, NULL);
    fix_open(fx);
    ok(nx_fab_consumer_open(fx->n, &o, &c, &fx->err));
    for (int i = 0; i < THREADS; i++)
        pthread_create(&th[i], NULL, flood_main, &f);
    for (int i = 0; i < THREADS; i++)
        pthread_join(th[i], NULL);
    wait_until(all_stored, &f, 60000);
    assert_int_equal(atomic_load(&f.failed), 0);
    wait_until(has_enough, &w, 60000);
    nx_fab_settle(fx->f);
    assert_int_equal(count_of(&got), THREADS * EACH);
    nx_fab_consumer_close(c, true);
    fix_close(fx);
}

/* ---- external servers ---------------------------------------------------------------------------------------------------------------------- */

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static bool make_certificate(const char *dir)
{
    char command[1024];

    snprintf(command, sizeof command,
             "cd %s && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost "
             "-addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout key.pem -out cert.pem >/dev/null 2>&1",
             dir);
    return system(command) == 0;
}

static pid_t start_external(const char *dir, uint16_t port, bool tls)
{
    char conf[128], text[1024];
    pid_t pid;

    snprintf(conf, sizeof conf, "%s/ext.conf", dir);
    snprintf(text, sizeof text, "listen: \"127.0.0.1:%u\"\njetstream { store_dir: \"%s/store\" }\nauthorization { user: u, password: \"p w\" }\nlogfile: \"%s/log\"\n%s", port,
             dir, dir, tls ? "tls { cert_file: \"cert.pem\", key_file: \"key.pem\" }\n" : "");
    write_file(conf, text);
    pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        if (chdir(dir))
            _exit(126);
        execl(getenv("NX_TEST_NATS_SERVER"), "nats-server", "-c", conf, (char *)NULL);
        _exit(127);
    }
    return pid;
}

static void external(bool tls)
{
    fix fix_, *fx = &fix_;
    nx_fab_ns_options no = {.events_max_bytes = 1 << 30, .runs_max_bytes = 1 << 30};
    nx_fab_options o = {.user = NX_SLICE("u"), .password = NX_SLICE("wrong"), .node = nx_ulid_new(nx_clock_wall_ns())};
    char url[64], ca[128];
    uint64_t end = nx_clock_ns() + 10 * NX_NS_PER_S;
    struct flood f = {.fx = fx};
    pthread_t th[THREADS];
    uint16_t port;
    pid_t pid;
    nx_err e;

    fix_dir(fx);
    if (tls && !make_certificate(fx->dir)) {
        fix_remove_dir(fx->dir);
        skip(); /* no openssl command */
    }
    ok(nx_fab_probe_port(&port));
    pid = start_external(fx->dir, port, tls);
    snprintf(url, sizeof url, "%s://127.0.0.1:%u", tls ? "tls" : "nats", port);
    snprintf(ca, sizeof ca, "%s/cert.pem", fx->dir);
    o.url = url;
    if (tls)
        o.tls_ca = nx_slice_cstr(ca);
    do { /* until it listens */
        e = nx_fab_open(&o, &fx->f, &fx->err);
    } while (e == NX_EUNAVAIL && nx_clock_ns() < end);
    if (e != NX_EDENIED)
        fail_msg("a wrong password gives %s: %s", nx_err_name(e), fx->err.msg);
    o.password = NX_SLICE("p w");
    ok(nx_fab_open(&o, &fx->f, &fx->err));
    ok(nx_fab_ns_open(fx->f, NX_SLICE("default"), &no, &fx->n, &fx->err));
    for (int i = 0; i < THREADS; i++)
        pthread_create(&th[i], NULL, flood_main, &f);
    for (int i = 0; i < THREADS; i++)
        pthread_join(th[i], NULL);
    wait_until(all_stored, &f, 60000);
    assert_int_equal(atomic_load(&f.failed), 0);
    nx_fab_ns_close(fx->n);
    nx_fab_close(fx->f);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    fix_remove_dir(fx->dir);
}

static void test_an_external_server_with_a_password(void **state)
{
    (void)state;
    external(false);
}

static void test_an_external_server_with_tls(void **state)
{
    (void)state;
    external(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_consumers_share_the_budget_and_none_starves),
        cmocka_unit_test(test_bytes_in_hand_are_bounded_and_large_events_still_come),
        cmocka_unit_test(test_a_consumer_with_new_filters_keeps_its_place),
        cmocka_unit_test(test_closing_gives_back_what_is_on_its_way),
        cmocka_unit_test(test_what_a_closed_consumer_has_in_hand_is_kept_alive),
        cmocka_unit_test(test_an_event_reads_the_same_delivered_and_looked_up),
        cmocka_unit_test(test_publishing_from_many_threads),
        cmocka_unit_test(test_an_external_server_with_a_password),
        cmocka_unit_test(test_an_external_server_with_tls),
    };

    setenv("NX_TEST_NATS_SERVER", NX_TEST_SOURCE_DIR "/.deps/bin/nats-server", 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
