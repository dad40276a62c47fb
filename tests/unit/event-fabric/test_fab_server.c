/* The private server: its lock, its end, its predecessors. */
#include "embedded/embedded.h"
#include "fab_test.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static bool is_gone(void *self)
{
    return kill(*(int *)self, 0) && errno == ESRCH;
}

static void test_start_is_quick_and_stop_leaves_nothing(void **state)
{
    fix fix_, *fx = &fix_;
    uint64_t t = nx_clock_ns();
    struct stat st;
    char path[128];
    int pid;

    (void)state;
    fix_server(fx);
    assert_true(nx_clock_ns() - t < 10 * NX_NS_PER_S);
    pid = nx_fab_server_pid(fx->server);
    assert_true(pid > 0);
    assert_int_equal(getpgid(pid), pid); /* Ctrl-C does not reach it */
    snprintf(path, sizeof path, "%s/nats/server.conf", fx->dir);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    nx_fab_server_stop(fx->server);
    assert_true(is_gone(&pid));
    fix_remove_dir(fx->dir);
}

static bool has_variable(int pid, const char *wanted)
{
    static char text[1u << 20];
    char path[64];
    size_t n;
    FILE *f;

    snprintf(path, sizeof path, "/proc/%d/environ", pid);
    f = fopen(path, "r");
    assert_non_null(f);
    n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = 0;
    for (size_t at = 0; at < n; at += strlen(text + at) + 1)
        if (!strcmp(text + at, wanted))
            return true;
    return false;
}

/* On a small machine the server's runtime has one thread to run on, unless it waits for the disk at every message; the operator's word goes first. */
static void test_the_go_runtime_is_set_up_unless_the_operator_did(void **state)
{
    bool is_small = sysconf(_SC_NPROCESSORS_ONLN) <= 2;
    fix fix_, *fx = &fix_;
    nx_fab_server_options o;

    (void)state;
    unsetenv("GOGC");
    unsetenv("GOMAXPROCS");
    fix_server(fx);
    assert_true(has_variable(nx_fab_server_pid(fx->server), "GOGC=75"));
    assert_true(has_variable(nx_fab_server_pid(fx->server), "NEXUS_NATS_GOGC=250"));
    assert_true(has_variable(nx_fab_server_pid(fx->server), "NEXUS_NATS_MEMORY=201326592,98304"));
    assert_int_equal(has_variable(nx_fab_server_pid(fx->server), "GOMAXPROCS=1"), is_small);
    nx_fab_server_stop(fx->server);
    o = (nx_fab_server_options){.data_dir = fx->dir, .program = getenv("NX_TEST_NATS_SERVER"), .durability = NX_DURABILITY_POWER};
    ok(nx_fab_server_start(&o, &fx->server, &fx->err));
    assert_false(has_variable(nx_fab_server_pid(fx->server), "GOMAXPROCS=1"));
    nx_fab_server_stop(fx->server);
    setenv("GOGC", "200", 1);
    setenv("GOMAXPROCS", "2", 1);
    o.durability = NX_DURABILITY_PROCESS;
    o.memory_limit_bytes = 300u << 20;
    ok(nx_fab_server_start(&o, &fx->server, &fx->err));
    assert_true(has_variable(nx_fab_server_pid(fx->server), "GOGC=200"));
    assert_true(has_variable(nx_fab_server_pid(fx->server), "GOMAXPROCS=2"));
    assert_false(has_variable(nx_fab_server_pid(fx->server), "GOGC=75"));
    assert_false(has_variable(nx_fab_server_pid(fx->server), "NEXUS_NATS_GOGC=250"));
    assert_true(has_variable(nx_fab_server_pid(fx->server), "GOMEMLIMIT=314572800"));
    assert_false(has_variable(nx_fab_server_pid(fx->server), "NEXUS_NATS_MEMORY=201326592,98304"));
    unsetenv("GOGC");
    unsetenv("GOMAXPROCS");
    fix_close(fx);
}

static void test_a_second_node_is_told_who_holds_the_directory(void **state)
{
    fix fix_, *fx = &fix_;
    nx_fab_server_options o;
    nx_fab_server *second = NULL;
    char pid[32];

    (void)state;
    fix_server(fx);
    o = (nx_fab_server_options){.data_dir = fx->dir};
    assert_int_equal(nx_fab_server_start(&o, &second, &fx->err), NX_ECONFLICT);
    snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    assert_non_null(strstr(fx->err.msg, pid));
    assert_null(second);
    fix_close(fx);
}

static void test_a_missing_or_failing_program_is_an_error(void **state)
{
    fix fix_, *fx = &fix_;
    nx_fab_server_options o;
    nx_fab_server *s = NULL;

    (void)state;
    fix_dir(fx);
    o = (nx_fab_server_options){.data_dir = fx->dir, .program = "/does/not/exist"};
    assert_int_equal(nx_fab_server_start(&o, &s, &fx->err), NX_ENOENT);
    o.program = "/bin/false";
    assert_int_equal(nx_fab_server_start(&o, &s, &fx->err), NX_EUNAVAIL);
    o.program = NULL; /* and the directory is free again */
    ok(nx_fab_server_start(&o, &s, &fx->err));
    nx_fab_server_stop(s);
    fix_remove_dir(fx->dir);
}

struct restart {
    fix *fx;
    int old_pid;
};

static bool is_restarted(void *self)
{
    struct restart *r = self;
    int pid = nx_fab_server_pid(r->fx->server);

    return pid > 0 && pid != r->old_pid;
}

static void test_a_killed_server_comes_back_on_its_port(void **state)
{
    fix fix_, *fx = &fix_;
    struct restart r = {.fx = fx};
    char url[128];

    (void)state;
    fix_server(fx);
    snprintf(url, sizeof url, "%s", nx_fab_server_url(fx->server));
    r.old_pid = nx_fab_server_pid(fx->server);
    kill(r.old_pid, SIGKILL);
    wait_until(is_restarted, &r, 10000);
    assert_string_equal(url, nx_fab_server_url(fx->server));
    fix_close(fx);
}

/* A node in a process of its own, which tells its server's pid and then waits. */
static pid_t start_node(const char *dir, int *ret_server_pid)
{
    int fd[2];
    pid_t pid;

    assert_int_equal(pipe(fd), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        nx_fab_server_options o = {.data_dir = dir};
        nx_fab_server *s;
        int server_pid;

        if (nx_fab_server_start(&o, &s, NULL))
            _exit(1);
        server_pid = nx_fab_server_pid(s);
        if (write(fd[1], &server_pid, sizeof server_pid) != sizeof server_pid)
            _exit(1);
        for (;;)
            pause();
    }
    close(fd[1]);
    assert_int_equal(read(fd[0], ret_server_pid, sizeof *ret_server_pid), sizeof *ret_server_pid);
    close(fd[0]);
    return pid;
}

static void test_the_server_dies_with_a_killed_node_even_when_stopped(void **state)
{
    fix fix_, *fx = &fix_;

    (void)state;
    fix_dir(fx);
    for (int stopped = 0; stopped < 2; stopped++) {
        int server_pid;
        pid_t node = start_node(fx->dir, &server_pid);

        if (stopped)
            kill(server_pid, SIGSTOP);
        kill(node, SIGKILL);
        assert_int_equal(waitpid(node, NULL, 0), node);
        wait_until(is_gone, &server_pid, 10000);
    }
    fix_remove_dir(fx->dir);
}

/* A server that outlived its node: orphans are started by hand, with the store's lock and server.json as a node leaves them. */
static pid_t start_orphan(const char *dir, int stop)
{
    char lock[128], json[128], conf[128];
    nx_fab_proc proc;
    int fd;
    pid_t pid;
    nx_err e;

    snprintf(lock, sizeof lock, "%s/nats/server.lock", dir);
    snprintf(json, sizeof json, "%s/server.json", dir);
    snprintf(conf, sizeof conf, "%s/nats/server.conf", dir);
    e = nx_fab_store_take(lock, json, conf, nx_clock_ns() + NX_NS_PER_S, &fd, NULL);
    assert_int_equal(e, NX_OK);
    pid = fork();
    assert_true(pid >= 0);
    if (!pid) {
        dup2(fd, 9);
        execl(getenv("NX_TEST_NATS_SERVER"), "nats-server", "-c", conf, (char *)NULL);
        _exit(127);
    }
    close(fd);
    assert_int_equal(nx_fab_proc_of(pid, &proc), NX_OK);
    assert_int_equal(nx_fab_proc_write(json, &proc), NX_OK);
    if (stop)
        kill(pid, SIGSTOP);
    return pid;
}

static void *reap(void *pid)
{
    waitpid(*(pid_t *)pid, NULL, 0);
    return NULL;
}

static void test_a_start_waits_until_the_previous_server_is_gone(void **state)
{
    fix fix_, *fx = &fix_;
    nx_fab_server_options o;

    (void)state;
    fix_server(fx); /* leaves a configuration behind */
    nx_fab_server_stop(fx->server);
    o = (nx_fab_server_options){.data_dir = fx->dir};
    for (int stopped = 0; stopped < 2; stopped++) {
        pid_t orphan = start_orphan(fx->dir, stopped);
        pthread_t th;

        pthread_create(&th, NULL, reap, &orphan); /* in life init does this */
        ok(nx_fab_server_start(&o, &fx->server, &fx->err));
        assert_true(is_gone(&orphan));
        pthread_join(th, NULL);
        nx_fab_server_stop(fx->server);
    }
    fix_remove_dir(fx->dir);
}

static void test_a_store_that_somebody_holds_is_never_shared(void **state)
{
    fix fix_, *fx = &fix_;
    char lock[128], json[128];
    int fd, second = -1;

    (void)state;
    fix_dir(fx);
    snprintf(lock, sizeof lock, "%s/lock1", fx->dir);
    snprintf(json, sizeof json, "%s/json", fx->dir);
    ok(nx_fab_store_take(lock, json, "x", nx_clock_ns() + NX_NS_PER_S, &fd, &fx->err));
    assert_int_equal(nx_fab_store_take(lock, json, "x", nx_clock_ns() + NX_NS_PER_S / 5, &second, &fx->err), NX_ECONFLICT);
    close(fd);
    ok(nx_fab_store_take(lock, json, "x", nx_clock_ns() + NX_NS_PER_S, &second, &fx->err));
    close(second);
    fix_remove_dir(fx->dir);
}

static void test_a_recorded_process_that_is_not_the_server_is_left_alone(void **state)
{
    fix fix_, *fx = &fix_;
    char lock[128], json[128];
    nx_fab_proc self;
    int fd = -1;

    (void)state;
    fix_dir(fx);
    snprintf(lock, sizeof lock, "%s/lock1", fx->dir);
    snprintf(json, sizeof json, "%s/json", fx->dir);
    ok(nx_fab_proc_of(getpid(), &self));
    ok(nx_fab_proc_write(json, &self));
    assert_int_equal(nx_fab_store_take(lock, json, "/no/such/conf", nx_clock_ns() + NX_NS_PER_S, &fd, &fx->err), NX_ECONFLICT);
    self.start_ticks++; /* the number was given to another process since */
    ok(nx_fab_proc_write(json, &self));
    ok(nx_fab_store_take(lock, json, "/no/such/conf", nx_clock_ns() + NX_NS_PER_S, &fd, &fx->err));
    close(fd);
    fix_remove_dir(fx->dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_start_is_quick_and_stop_leaves_nothing),
        cmocka_unit_test(test_the_go_runtime_is_set_up_unless_the_operator_did),
        cmocka_unit_test(test_a_second_node_is_told_who_holds_the_directory),
        cmocka_unit_test(test_a_missing_or_failing_program_is_an_error),
        cmocka_unit_test(test_a_killed_server_comes_back_on_its_port),
        cmocka_unit_test(test_the_server_dies_with_a_killed_node_even_when_stopped),
        cmocka_unit_test(test_a_start_waits_until_the_previous_server_is_gone),
        cmocka_unit_test(test_a_store_that_somebody_holds_is_never_shared),
        cmocka_unit_test(test_a_recorded_process_that_is_not_the_server_is_left_alone),
    };

    setenv("NX_TEST_NATS_SERVER", NX_TEST_SOURCE_DIR "/.deps/bin/nats-server", 0);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
