/* test_wasi.c: every function of WASI preview 1, called as a guest would, with right and with hostile arguments.
 * The handlers are called over a memory of the test's own, so that the sanitizers see every byte out of bounds. */
#include <stdlib.h>
#include <string.h>

#include "rt_help.h"
#include "wasi/table.h"

#define MEM_BYTES 65536u

static uint8_t *mem;
static nx_attempt a;
static nx_rt_world w;
static nx_rt_scratch *scratch;
static const nx_kv env[] = {{{"TRACE_ID", 8}, {"abc", 3}}, {{"EMPTY", 5}, {"", 0}}};

static int begin(void **state)
{
    (void)state;
    mem = malloc(MEM_BYTES); /* exactly as large as the guest's, for the sanitizers */
    scratch = nx_rt_scratch_new();
    assert_true(mem && scratch);
    memset(mem, 0xaa, MEM_BYTES);
    nx_attempt_init(&a);
    a.input = NX_SLICE("hello, event");
    a.start_wall_ns = 1000000000000000000ull;
    a.env = env;
    a.n_env = NX_ARRAY_LEN(env);
    nx_rt_world_init(&w, &a, scratch);
    return 0;
}

static int end(void **state)
{
    (void)state;
    nx_rt_world_finish(&w);
    nx_rt_world_done(&w);
    nx_rt_scratch_free(scratch);
    nx_attempt_done(&a);
    free(mem);
    return 0;
}

static uint8_t call(const char *name, uint64_t a0, uint64_t a1, uint64_t a2, uint64_t a3)
{
    const nx_rt_wasi_fn *fn = nx_rt_wasi_find(NX_SLICE(NX_RT_WASI_MODULE), nx_slice_cstr(name));
    assert_non_null(fn);
    const uint64_t args[NX_RT_WASI_PARAMS_MAX] = {a0, a1, a2, a3};
    return nx_rt_wasi_call(&w, fn, mem, MEM_BYTES, args);
}

static void put_iov(uint32_t at, uint32_t ptr, uint32_t n)
{
    nx_rt_put_u32(mem + at, ptr);
    nx_rt_put_u32(mem + at + 4, n);
}

static void test_wasi_table_is_complete(void **state)
{
    (void)state;
    assert_int_equal(nx_rt_wasi_n_fns, 46 + 8);
    for (unsigned i = 0; i < nx_rt_wasi_n_fns; i++) {
        assert_ptr_equal(nx_rt_wasi_find(nx_slice_cstr(nx_rt_wasi_fns[i].module), nx_slice_cstr(nx_rt_wasi_fns[i].name)), &nx_rt_wasi_fns[i]);
        assert_true(strlen(nx_rt_wasi_fns[i].params) <= NX_RT_WASI_PARAMS_MAX);
    }
}

static void test_wasi_environment_and_arguments(void **state)
{
    (void)state;
    assert_int_equal(call("environ_sizes_get", 0, 4, 0, 0), 0);
    assert_int_equal(nx_rt_get_u32(mem), 2);
    assert_int_equal(nx_rt_get_u32(mem + 4), 13 + 7);
    assert_int_equal(call("environ_get", 100, 200, 0, 0), 0);
    assert_int_equal(nx_rt_get_u32(mem + 100), 200);
    assert_string_equal((char *)mem + 200, "TRACE_ID=abc");
    assert_string_equal((char *)mem + nx_rt_get_u32(mem + 104), "EMPTY=");
    assert_int_equal(call("environ_get", 100, MEM_BYTES - 19, 0, 0), NX_WASI_EFAULT);
    assert_int_equal(call("environ_get", MEM_BYTES - 7, 0, 0, 0), NX_WASI_EFAULT);
    assert_int_equal(call("environ_sizes_get", MEM_BYTES - 3, 0, 0, 0), NX_WASI_EFAULT);
    assert_int_equal(call("args_sizes_get", 0, 4, 0, 0), 0);
    assert_int_equal(nx_rt_get_u32(mem), 1);
    assert_int_equal(call("args_get", 0, 100, 0, 0), 0);
    assert_string_equal((char *)mem + 100, "function");
    assert_int_equal(call("args_get", 0, MEM_BYTES - 8, 0, 0), NX_WASI_EFAULT);
}

static void test_wasi_clock_moves_a_microsecond_a_read(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 3; i++) {
        assert_int_equal(call("clock_time_get", 0, 0, 8, 0), 0);
        assert_int_equal(nx_rt_get_u64(mem + 8), a.start_wall_ns + i * 1000);
    }
    assert_int_equal(call("clock_time_get", 1, 0, 8, 0), 0);
    assert_int_equal(nx_rt_get_u64(mem + 8), 3600ull * 1000000000 + 4000);
    assert_int_equal(call("clock_res_get", 1, 8, 0, 0), 0);
    assert_int_equal(nx_rt_get_u64(mem + 8), 1000);
    assert_int_equal(call("clock_time_get", 4, 0, 8, 0), NX_WASI_EINVAL);
    assert_int_equal(call("clock_time_get", 0xffffffff, 0, 8, 0), NX_WASI_EINVAL);
    assert_int_equal(call("clock_time_get", 0, 0, MEM_BYTES - 7, 0), NX_WASI_EFAULT);
}

static void test_wasi_random_follows_the_seed(void **state)
{
    (void)state;
    uint8_t first[64];
    assert_int_equal(call("random_get", 0, 64, 0, 0), 0);
    memcpy(first, mem, 64);
    nx_rt_world_done(&w);
    nx_rt_world_init(&w, &a, scratch);
    assert_int_equal(call("random_get", 0, 32, 0, 0), 0);
    assert_int_equal(call("random_get", 32, 32, 0, 0), 0);
    assert_memory_equal(mem, first, 64);
    nx_rt_world_done(&w);
    a.seed[5] = 1;
    nx_rt_world_init(&w, &a, scratch);
    assert_int_equal(call("random_get", 0, 64, 0, 0), 0);
    assert_memory_not_equal(mem, first, 64);
    assert_int_equal(call("random_get", 1, MEM_BYTES, 0, 0), NX_WASI_EFAULT);
    assert_int_equal(call("random_get", 0xffffffff, 0xffffffff, 0, 0), NX_WASI_EFAULT);
    assert_int_equal(call("random_get", MEM_BYTES, 0, 0, 0), 0);
}

static void test_wasi_read_scatters_the_input(void **state)
{
    (void)state;
    put_iov(0, 100, 5);
    put_iov(8, 200, 0);
    put_iov(16, 300, 4);
    assert_int_equal(call("fd_read", 0, 0, 3, 50), 0);
    assert_int_equal(nx_rt_get_u32(mem + 50), 9);
    assert_memory_equal(mem + 100, "hello", 5);
    assert_memory_equal(mem + 300, ", ev", 4);
    put_iov(0, 100, 1000);
    assert_int_equal(call("fd_read", 0, 0, 1, 50), 0);
    assert_int_equal(nx_rt_get_u32(mem + 50), 3);
    assert_int_equal(call("fd_read", 0, 0, 1, 50), 0);
    assert_int_equal(nx_rt_get_u32(mem + 50), 0);
    assert_int_equal(call("fd_read", 1, 0, 1, 50), NX_WASI_EBADF);
    assert_int_equal(call("fd_read", 99, 0, 1, 50), NX_WASI_EBADF);
}

/* A buffer over the array that names it: what was read must not become a new array behind the checks. */
static void test_wasi_read_over_its_own_array(void **state)
{
    (void)state;
    static const uint8_t evil[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0xf0, 0xff, 0xff, 0xff, 0xf0, 0xff, 0xff, 0xff};
    a.input = nx_slice_make(evil, sizeof evil);
    put_iov(0, 0, 16);
    put_iov(8, 400, 16);
    assert_int_equal(call("fd_read", 0, 0, 2, 50), 0);
    assert_int_equal(nx_rt_get_u32(mem + 50), 16);
}

static void test_wasi_hostile_vectors(void **state)
{
    (void)state;
    static const char *const names[] = {"fd_read", "fd_write"};
    for (unsigned i = 0; i < 2; i++) {
        uint64_t fd = i;
        put_iov(0, 0xffffff00, 0xff);
        assert_int_equal(call(names[i], fd, 0, 1, 50), NX_WASI_EFAULT);
        put_iov(0, 0xffffffff, 0xffffffff);
        assert_int_equal(call(names[i], fd, 0, 1, 50), NX_WASI_EFAULT);
        put_iov(0, MEM_BYTES - 1, 2);
        assert_int_equal(call(names[i], fd, 0, 1, 50), NX_WASI_EFAULT);
        put_iov(0, 0, MEM_BYTES);
        assert_int_equal(call(names[i], fd, 0, 0xffffffff, 50), NX_WASI_EINVAL);
        assert_int_equal(call(names[i], fd, 0xfffffff8, 1, 50), NX_WASI_EFAULT);
        assert_int_equal(call(names[i], fd, MEM_BYTES - 7, 1, 50), NX_WASI_EFAULT);
        assert_int_equal(call(names[i], fd, 0, 1, MEM_BYTES - 3), NX_WASI_EFAULT);
        assert_int_equal(call(names[i], fd, 0, 1025, 50), NX_WASI_EINVAL);
        assert_int_equal(call(names[i], fd, 3, 0, 51), 0); /* nothing to move, nothing aligned */
    }
    assert_int_equal(a.out.output_bytes, 0);
}

/* 1,024 times the whole memory: a short count, as POSIX allows. */
static void test_wasi_write_takes_a_mebibyte_a_call(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 1024; i++) put_iov(8 * i, 0, MEM_BYTES);
    a.max_output_bytes = a.out.output.max = 8u << 20;
    assert_int_equal(call("fd_write", 1, 0, 1024, 60000), 0);
    assert_int_equal(nx_rt_get_u32(mem + 60000), 1u << 20);
    assert_int_equal(a.out.output_bytes, 1u << 20);
}

static void test_wasi_write_over_the_limit_ends_the_run(void **state)
{
    (void)state;
    a.max_output_bytes = a.out.output.max = 10;
    put_iov(0, 100, 11);
    assert_int_equal(call("fd_write", 1, 0, 1, 50), NX_WASI_END);
    assert_int_equal(w.end, NX_RT_END_OUTPUT_LIMIT);
    assert_int_equal(a.out.output_bytes, 10);
}

static unsigned n_lines, longest_line;
static void on_log(nx_attempt *self, nx_slice line)
{
    (void)self;
    n_lines++;
    if (line.n > longest_line) longest_line = (unsigned)line.n;
}

static void test_wasi_long_lines_come_in_pieces(void **state)
{
    (void)state;
    n_lines = longest_line = 0;
    a.on_log = on_log;
    memset(mem + 100, 'x', 20000);
    mem[100 + 20000] = '\n';
    put_iov(0, 100, 20001);
    assert_int_equal(call("fd_write", 2, 0, 1, 50), 0);
    assert_int_equal(n_lines, 3);
    assert_int_equal(longest_line, NX_RT_LINE_BYTES);
    /* A line that ends exactly where the buffer does is one line. */
    n_lines = 0;
    memset(mem + 100, 'y', NX_RT_LINE_BYTES);
    mem[100 + NX_RT_LINE_BYTES] = '\n';
    put_iov(0, 100, NX_RT_LINE_BYTES + 1);
    assert_int_equal(call("fd_write", 2, 0, 1, 50), 0);
    assert_int_equal(n_lines, 1);
}

static void put_clock(uint32_t at, uint64_t userdata, uint32_t id, uint64_t timeout, uint16_t flags)
{
    memset(mem + at, 0, 48);
    nx_rt_put_u64(mem + at, userdata);
    nx_rt_put_u32(mem + at + 16, id);
    nx_rt_put_u64(mem + at + 24, timeout);
    nx_rt_put_u16(mem + at + 40, flags);
}

static uint64_t waited_ns;
static void count_wait(void *self, uint64_t ns)
{
    (void)self;
    waited_ns += ns;
}

static void test_wasi_poll_sleeps_what_was_asked(void **state)
{
    (void)state;
    w.wait = count_wait;
    waited_ns = 0;
    put_clock(0, 77, 1, 5000000, 0);
    put_clock(48, 78, 0, a.start_wall_ns + 2000000, 1);
    assert_int_equal(call("poll_oneoff", 0, 1000, 2, 2000), 0);
    assert_int_equal(nx_rt_get_u32(mem + 2000), 1);
    assert_int_equal(nx_rt_get_u64(mem + 1000), 78);
    assert_int_equal(waited_ns, 2000000);
    assert_int_equal(w.now_ns, a.start_wall_ns + 2000000);
    /* A time that is past does not wait. */
    assert_int_equal(call("poll_oneoff", 48, 1000, 1, 2000), 0);
    assert_int_equal(waited_ns, 2000000);
    /* Nor does a stream, which is ready, whatever else is waited for. */
    memset(mem + 48, 0, 48);
    mem[48 + 8] = 1;
    assert_int_equal(call("poll_oneoff", 0, 1000, 2, 2000), 0);
    assert_int_equal(nx_rt_get_u32(mem + 2000), 1);
    assert_int_equal(mem[1000 + 10], 1);
    assert_int_equal(nx_rt_get_u64(mem + 1000 + 16), a.input.n);
    assert_int_equal(waited_ns, 2000000);
    /* More sleep than the timeout ends the run at that call. */
    uint64_t slept_ns = w.slept_ns, timeout_ns = a.timeout_ns;
    a.timeout_ns = slept_ns;
    mem[48 + 8] = 0;
    put_clock(0, 77, 1, 1, 0);
    assert_int_equal(call("poll_oneoff", 0, 1000, 1, 2000), NX_WASI_END);
    assert_int_equal(w.end, NX_RT_END_DEADLINE);
    assert_int_equal(waited_ns, 2000001);
    w.end = NX_RT_END_NONE;
    w.slept_ns = slept_ns;
    w.now_ns -= 1;
    waited_ns = 2000000;
    a.timeout_ns = timeout_ns;
    put_clock(0, 77, 1, 5000000, 0);
    /* In a replay nothing waits, and the guest's time moves all the same. */
    a.is_replay = true;
    assert_int_equal(call("poll_oneoff", 0, 1000, 1, 2000), 0);
    assert_int_equal(waited_ns, 2000000);
    assert_int_equal(w.now_ns, a.start_wall_ns + 7000000);
    put_clock(0, 77, 1, a.timeout_ns, 0);
    assert_int_equal(call("poll_oneoff", 0, 1000, 1, 2000), NX_WASI_END);
    assert_int_equal(w.end, NX_RT_END_DEADLINE);
}

static void test_wasi_poll_hostile(void **state)
{
    (void)state;
    w.wait = count_wait;
    waited_ns = 0;
    a.timeout_ns = UINT64_MAX; /* else the run ends there */
    put_clock(0, 1, 0, UINT64_MAX, 0);
    assert_int_equal(call("poll_oneoff", 0, 1000, 1, 2000), 0);
    assert_int_equal(w.now_ns, UINT64_MAX);
    put_clock(0, 1, 0, UINT64_MAX, 1);
    assert_int_equal(call("poll_oneoff", 0, 1000, 1, 2000), 0);
    assert_int_equal(call("clock_time_get", 1, 0, 8, 0), 0);
    put_clock(0, 1, 2, 5, 0);
    assert_int_equal(call("poll_oneoff", 0, 1000, 1, 2000), 0);
    assert_int_equal(mem[1008], NX_WASI_ENOTSUP);
    assert_int_equal(call("poll_oneoff", 0, 1000, 0, 2000), NX_WASI_EINVAL);
    assert_int_equal(call("poll_oneoff", 0, 1000, 0xffffffff, 2000), NX_WASI_EINVAL);
    assert_int_equal(call("poll_oneoff", 0, MEM_BYTES - 31, 1, 2000), NX_WASI_EFAULT);
    assert_int_equal(call("poll_oneoff", MEM_BYTES - 47, 0, 1, 2000), NX_WASI_EFAULT);
    assert_int_equal(call("poll_oneoff", 0, 1000, 1, MEM_BYTES - 3), NX_WASI_EFAULT);
    mem[8] = 9;
    assert_int_equal(call("poll_oneoff", 0, 1000, 1, 2000), NX_WASI_EINVAL);
    /* Events over the subscriptions they come from. */
    put_clock(0, 1, 0, 0, 0);
    put_clock(48, 2, 0, 0, 0);
    assert_int_equal(call("poll_oneoff", 0, 0, 2, 2000), 0);
    assert_int_equal(nx_rt_get_u64(mem + 32), 2);
}

static void test_wasi_descriptors(void **state)
{
    (void)state;
    assert_int_equal(call("fd_fdstat_get", 1, 8, 0, 0), 0);
    assert_int_equal(mem[8], 0); /* not a terminal: libc keeps its buffer */
    assert_int_equal(call("fd_fdstat_get", 1, MEM_BYTES - 23, 0, 0), NX_WASI_EFAULT);
    assert_int_equal(call("fd_filestat_get", 2, 8, 0, 0), 0);
    assert_int_equal(call("fd_filestat_get", 2, MEM_BYTES - 63, 0, 0), NX_WASI_EFAULT);
    assert_int_equal(call("fd_prestat_get", 3, 8, 0, 0), NX_WASI_EBADF);
    assert_int_equal(call("fd_prestat_dir_name", 3, 8, 10, 0), NX_WASI_EBADF);
    assert_int_equal(call("fd_seek", 0, 0, 0, 8), NX_WASI_ESPIPE);
    assert_int_equal(call("fd_readdir", 0, 0, 0, 0), NX_WASI_ENOTDIR);
    assert_int_equal(call("fd_sync", 1, 0, 0, 0), NX_WASI_EINVAL);
    assert_int_equal(call("sock_recv", 0, 0, 0, 0), NX_WASI_ENOTSOCK);
    assert_int_equal(call("sock_send", 7, 0, 0, 0), NX_WASI_EBADF);
    assert_int_equal(call("proc_raise", 9, 0, 0, 0), NX_WASI_ENOTSUP);
    assert_int_equal(call("sched_yield", 0, 0, 0, 0), 0);
    /* dup2, as libc does it, and a stream that is closed. */
    assert_int_equal(call("fd_renumber", 1, 2, 0, 0), 0);
    put_iov(0, 100, 3);
    assert_int_equal(call("fd_write", 2, 0, 1, 50), 0);
    assert_int_equal(a.out.output_bytes, 3);
    assert_int_equal(call("fd_write", 1, 0, 1, 50), NX_WASI_EBADF);
    assert_int_equal(call("fd_close", 2, 0, 0, 0), 0);
    assert_int_equal(call("fd_close", 2, 0, 0, 0), NX_WASI_EBADF);
    assert_int_equal(call("fd_renumber", 0, 0xffffffff, 0, 0), NX_WASI_EBADF);
}

static void test_wasi_paths_lead_nowhere(void **state)
{
    (void)state;
    memcpy(mem + 100, "/etc/passwd", sizeof "/etc/passwd");
    assert_int_equal(call("path_open", 3, 0, 100, 11), NX_WASI_EBADF);
    assert_int_equal(call("path_open", 0, 0, 100, 11), NX_WASI_ENOTDIR);
    assert_int_equal(call("path_open", 3, 0, MEM_BYTES, 1), NX_WASI_EFAULT);
    assert_int_equal(call("path_open", 3, 0, 100, 0xffffffff), NX_WASI_EFAULT);
    assert_int_equal(call("path_unlink_file", 3, 100, 11, 0), NX_WASI_EBADF);
    assert_int_equal(call("path_create_directory", 3, 100, 11, 0), NX_WASI_EBADF);
}

static void test_wasi_exit_does_not_return(void **state)
{
    (void)state;
    assert_int_equal(call("proc_exit", 0xffffffff, 0, 0, 0), NX_WASI_END);
    assert_int_equal(w.end, NX_RT_END_EXIT);
    assert_int_equal(w.exit_code, -1);
}

/* A guest without memory can call; nothing is at any address. */
static void test_wasi_without_memory(void **state)
{
    (void)state;
    for (unsigned i = 0; i < nx_rt_wasi_n_fns; i++) {
        const uint64_t args[NX_RT_WASI_PARAMS_MAX] = {0, 0, 1, 1, 1};
        (void)nx_rt_wasi_call(&w, &nx_rt_wasi_fns[i], NULL, 0, args);
    }
    assert_int_equal(a.out.n_calls, nx_rt_wasi_n_fns);
}

#define WASI_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
int main(void)
{
    const struct CMUnitTest tests[] = {
        WASI_TEST(test_wasi_table_is_complete),
        WASI_TEST(test_wasi_environment_and_arguments),
        WASI_TEST(test_wasi_clock_moves_a_microsecond_a_read),
        WASI_TEST(test_wasi_random_follows_the_seed),
        WASI_TEST(test_wasi_read_scatters_the_input),
        WASI_TEST(test_wasi_read_over_its_own_array),
        WASI_TEST(test_wasi_hostile_vectors),
        WASI_TEST(test_wasi_write_takes_a_mebibyte_a_call),
        WASI_TEST(test_wasi_write_over_the_limit_ends_the_run),
        WASI_TEST(test_wasi_long_lines_come_in_pieces),
        WASI_TEST(test_wasi_poll_sleeps_what_was_asked),
        WASI_TEST(test_wasi_poll_hostile),
        WASI_TEST(test_wasi_descriptors),
        WASI_TEST(test_wasi_paths_lead_nowhere),
        WASI_TEST(test_wasi_exit_does_not_return),
        WASI_TEST(test_wasi_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
