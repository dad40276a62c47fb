/* The limits of the compiling child bite, with an error that says which, and the runtime goes on. The child is this program, behind a script that
 * lowers its limits: so the test is quick, and what is tested are the limits that stay in force. */
#include "rt_help.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nx/buf.h"
#include "nx/clock.h"

static void put_u32(nx_buf *b, uint32_t v)
{
    do {
        assert_int_equal(nx_buf_append_char(b, (char)((v & 0x7f) | (v > 0x7f ? 0x80 : 0))), NX_OK);
        v >>= 7;
    } while (v);
}

static void put_section(nx_buf *out, char id, const nx_buf *body)
{
    assert_int_equal(nx_buf_append_char(out, id), NX_OK);
    put_u32(out, (uint32_t)body->n);
    assert_int_equal(nx_buf_append_slice(out, nx_buf_view(body)), NX_OK);
}

static void put_text(nx_buf *b, const char *bytes, size_t n) { assert_int_equal(nx_buf_append(b, bytes, n), NX_OK); }

/* n locals that live through n loops: work and memory of the compiler grow with the square of n, the module with n. `functions` of them. */
static void nasty_module(uint32_t n, uint32_t functions, nx_buf *out)
{
    nx_buf code = NX_BUF_INIT(1u << 20), body = NX_BUF_INIT(16u << 20), section = NX_BUF_INIT(1024);
    put_text(out, "\0asm\1\0\0\0\1\4\1\x60\0\0", 14);
    put_u32(&section, functions);
    for (uint32_t i = 0; i < functions; i++) put_u32(&section, 0);
    put_section(out, 3, &section);
    put_text(out, "\5\3\1\0\1\7\x13\2\6memory\2\0\6_start\0\0", 26);
    put_u32(&code, 1);
    put_u32(&code, n);
    put_text(&code, "\x7e", 1);        /* i64 */
    for (uint32_t i = 0; i < n; i++) { /* loop (local i += 1; br_if 0 (local i < 5)) end */
        put_text(&code, "\3\x40\x20", 3);
        put_u32(&code, i);
        put_text(&code, "\x42\1\x7c\x21", 4);
        put_u32(&code, i);
        put_text(&code, "\x20", 1);
        put_u32(&code, i);
        put_text(&code, "\x42\5\x54\x0d\0\x0b", 6);
    }
    for (uint32_t i = 0; i < n; i++) { /* i64.store (0, local i) */
        put_text(&code, "\x41\0\x20", 3);
        put_u32(&code, i);
        put_text(&code, "\x37\3\0", 3);
    }
    put_text(&code, "\x0b", 1);
    put_u32(&body, functions);
    for (uint32_t i = 0; i < functions; i++) {
        put_u32(&body, (uint32_t)code.n);
        put_text(&body, code.p, code.n);
    }
    put_section(out, 10, &body);
    nx_buf_done(&code);
    nx_buf_done(&body);
    nx_buf_done(&section);
}

static nx_err load_behind(const char *limits, nx_slice module, nx_error *reterr)
{
    char dir[] = "/tmp/nx-test-child-XXXXXX", script[64], self[512];
    assert_non_null(mkdtemp(dir));
    (void)snprintf(script, sizeof script, "%s/child", dir);
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(n > 0);
    self[n] = '\0';
    FILE *f = fopen(script, "w");
    assert_non_null(f);
    assert_true(fprintf(f, "#!/bin/sh\n%s\nexec '%s' \"$@\"\n", limits, self) > 0);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(script, 0700), 0);
    nx_rt *r = NULL;
    nx_rt_program *p = NULL;
    nx_sha256 digest = nx_sha256_of(module);
    char cache[64];
    (void)snprintf(cache, sizeof cache, "%s/cache", dir);
    assert_int_equal(nx_rt_new(&(nx_rt_options){.cache_dir = cache, .pool_slots = 4, .child_program = script}, &r, reterr), NX_OK);
    nx_err err = nx_rt_program_load(r, module, &digest, 1u << 20, &p, reterr);
    nx_rt_program_unref(p);
    /* The runtime goes on: the next module, within the same limits, is compiled. */
    nx_slice good = rt_help_wat("(module (memory (export \"memory\") 1) (func (export \"_start\")))");
    nx_error e = NX_ERROR_INIT;
    digest = nx_sha256_of(good);
    if (nx_rt_program_load(r, good, &digest, 1u << 20, &p, &e)) fail_msg("after it: %s", e.msg);
    nx_rt_program_unref(p);
    nx_rt_free(r);
    char command[128];
    (void)snprintf(command, sizeof command, "rm -r %s", dir);
    assert_int_equal(system(command), 0);
    return err;
}

static void assert_bites(const char *limits, uint32_t n, uint32_t functions, const char *words)
{
    NX_CLEANUP(nx_buf_done)
    nx_buf module = NX_BUF_INIT(16u << 20);
    nx_error e = NX_ERROR_INIT;
    nasty_module(n, functions, &module);
    uint64_t begin_ns = nx_clock_ns();
    assert_int_equal(load_behind(limits, nx_buf_view(&module), &e), NX_EMODULE);
    if (!strstr(e.msg, words)) fail_msg("\"%s\" does not say \"%s\"", e.msg, words);
    assert_true(nx_clock_ns() - begin_ns < 60 * NX_NS_PER_S);
}

static void test_child_memory_limit_bites(void **state)
{
    (void)state;
#ifdef NX_SANITIZER
    skip(); /* its shadow memory is larger than any limit, so none is set */
#endif
    assert_bites("ulimit -d 262144", 3000, 1, "too much memory");
}

static void test_child_processor_limit_bites(void **state)
{
    (void)state;
    assert_bites("ulimit -S -t 2", 2000, 8, "too much processor time");
}

static void test_child_file_limit_bites(void **state)
{
    (void)state;
    assert_bites("ulimit -f 128", 600, 1, "too large");
}

/* ---- what the child sets itself, read from outside while it works */

typedef struct loading {
    nx_slice module;
    nx_error error;
    nx_err err;
    atomic_bool is_over;
} loading;

static void *load_in_thread(void *self)
{
    loading *l = self;
    nx_rt_program *p = NULL;
    nx_sha256 digest = nx_sha256_of(l->module);
    l->err = nx_rt_program_load(rt, l->module, &digest, 1u << 20, &p, &l->error);
    nx_rt_program_unref(p);
    atomic_store(&l->is_over, true);
    return NULL;
}

/* The soft limit that /proc/PID/limits states; UINT64_MAX: none. */
static uint64_t limit_of(const char *limits, const char *name)
{
    const char *line = strstr(limits, name);
    unsigned long long n;
    return line && sscanf(line + strlen(name), " %llu", &n) == 1 ? n : UINT64_MAX;
}

#ifdef NX_SANITIZER
#define LAST_LIMIT "Max file size" /* a sanitizer's shadow memory is larger than any limit of memory */
#else
#define LAST_LIMIT "Max data size"
#endif

/* The pid of a child of ours that has set its last limit, and its /proc/PID/limits; 0: not yet. */
static int limited_child(char *text, size_t text_bytes)
{
    char command[64];
    (void)snprintf(command, sizeof command, "cat /proc/%d/task/*/children", getpid());
    FILE *pids = popen(command, "r");
    int pid, found = 0;
    assert_non_null(pids);
    while (!found && fscanf(pids, "%d", &pid) == 1) {
        char path[64];
        (void)snprintf(path, sizeof path, "/proc/%d/limits", pid);
        FILE *f = fopen(path, "r");
        text[f ? fread(text, 1, text_bytes - 1, f) : 0] = '\0';
        if (f) (void)fclose(f);
        if (limit_of(text, LAST_LIMIT) != UINT64_MAX) found = pid;
    }
    (void)pclose(pids);
    return found;
}

static void test_child_limits_itself(void **state)
{
    (void)state;
    NX_CLEANUP(nx_buf_done)
    nx_buf module = NX_BUF_INIT(16u << 20);
    nasty_module(2000, 4, &module);
    loading l = {.module = nx_buf_view(&module), .error = NX_ERROR_INIT};
    pthread_t thread;
    char text[4096];
    int pid = 0;
    assert_int_equal(pthread_create(&thread, NULL, load_in_thread, &l), 0);
    while (!pid && !atomic_load(&l.is_over)) pid = limited_child(text, sizeof text);
    assert_true(pid > 0);
    assert_int_equal(limit_of(text, "Max cpu time"), 120);
    assert_int_equal(limit_of(text, "Max file size"), 1u << 30);
    assert_int_equal(limit_of(text, "Max core file size"), 0);
#ifndef NX_SANITIZER
    assert_true(limit_of(text, "Max data size") <= 4ull << 30);
#endif
    /* As the kernel does where memory is short. */
    assert_int_equal(kill(pid, SIGKILL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(l.err, NX_EMODULE);
    assert_non_null(strstr(l.error.msg, "too much memory"));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_child_memory_limit_bites),
        cmocka_unit_test(test_child_processor_limit_bites),
        cmocka_unit_test(test_child_file_limit_bites),
        cmocka_unit_test(test_child_limits_itself),
    };
    if (argc > 1 && strcmp(argv[1], NX_RT_CHILD_VERB) == 0) return nx_rt_child_main(argc, argv);
    return cmocka_run_group_tests(tests, rt_help_setup, rt_help_teardown);
}
