/* test_files.c: WASI's calls on files, with the rules of its specification and POSIX, over a function's "/" and over folders of its own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rt_help.h"
#include "wasi/files.h"

#define MEM_BYTES 65536u
#define PATH_A 1024u
#define PATH_B 8192u
#define DATA 16384u
#define SCRATCH (256u << 10)
#define ALL UINT64_MAX

enum { CREATE = 1,
       DIRECTORY = 2,
       EXCLUSIVE = 4,
       TRUNCATE = 8 };

static uint8_t *mem;
static nx_attempt a;
static nx_rt_world w;
static nx_rt_scratch *scratch;
static nx_rt_tree *own, *folder;
static nx_rt_preopen preopen;

static int begin_world(void)
{
    mem = malloc(MEM_BYTES); /* exactly as large as the guest's, for the sanitizers */
    scratch = nx_rt_scratch_new();
    if (!mem || !scratch) return -1;
    memset(mem, 0, MEM_BYTES);
    nx_attempt_init(&a);
    a.start_wall_ns = 1000000000000000000ull;
    return 0;
}

/* A function: its own files and /tmp. */
static int begin_function(void **state)
{
    (void)state;
    if (begin_world()) return -1;
    assert_int_equal(nx_rt_tree_new(1u << 20, &own), NX_OK);
    assert_int_equal(nx_rt_tree_put_lent(own, NX_SLICE("templates/mail.txt"), NX_SLICE("Dear {name}"), 5, NULL), NX_OK);
    nx_rt_tree_freeze(own);
    a.files = own;
    a.scratch_bytes = SCRATCH;
    nx_rt_world_init(&w, &a, scratch);
    return 0;
}

/* A program with one folder that it may change. */
static int begin_program(void **state)
{
    (void)state;
    if (begin_world()) return -1;
    assert_int_equal(nx_rt_tree_new(SCRATCH, &folder), NX_OK);
    preopen = (nx_rt_preopen){NX_SLICE("work"), folder};
    a.preopens = &preopen;
    a.n_preopens = 1;
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
    nx_rt_tree_free(own);
    nx_rt_tree_free(folder);
    own = folder = NULL;
    free(mem);
    return 0;
}

#define CALL(name, ...) call(name, (const uint64_t[NX_RT_WASI_PARAMS_MAX]){__VA_ARGS__})
static uint8_t call(const char *name, const uint64_t *args)
{
    const nx_rt_wasi_fn *fn = nx_rt_wasi_find(NX_SLICE(NX_RT_WASI_MODULE), nx_slice_cstr(name));
    assert_non_null(fn);
    return nx_rt_wasi_call(&w, fn, mem, MEM_BYTES, args);
}

static uint64_t put(uint32_t at, const char *text)
{
    memcpy(mem + at, text, strlen(text));
    return strlen(text);
}

/* A descriptor, or minus the errno. */
static int open_at(uint64_t dir, const char *path, unsigned flags, uint64_t rights, unsigned fd_flags)
{
    uint64_t n = put(PATH_A, path);
    uint8_t err = CALL("path_open", dir, 1, PATH_A, n, flags, rights, ALL, fd_flags, 0);
    return err ? -err : (int)nx_rt_get_u32(mem);
}

static int write_at(int fd, const char *text)
{
    nx_rt_put_u32(mem, DATA);
    nx_rt_put_u32(mem + 4, (uint32_t)put(DATA, text));
    uint8_t err = CALL("fd_write", (uint64_t)fd, 0, 1, 8);
    return err ? -err : (int)nx_rt_get_u32(mem + 8);
}

static int read_at(int fd, char out[64])
{
    nx_rt_put_u32(mem, DATA);
    nx_rt_put_u32(mem + 4, 63);
    uint8_t err = CALL("fd_read", (uint64_t)fd, 0, 1, 8);
    if (err) return -err;
    uint32_t n = nx_rt_get_u32(mem + 8);
    memcpy(out, mem + DATA, n);
    out[n] = '\0';
    return (int)n;
}

static int64_t seek(int fd, int64_t by, unsigned whence)
{
    uint8_t err = CALL("fd_seek", (uint64_t)fd, (uint64_t)by, whence, 16);
    return err ? -err : (int64_t)nx_rt_get_u64(mem + 16);
}

static uint8_t on_path(const char *name, uint64_t dir, const char *path) { return CALL(name, dir, PATH_A, put(PATH_A, path)); }
static uint8_t mkdir_at(const char *path) { return on_path("path_create_directory", 3, path); }
static uint8_t rename_at(const char *from, const char *to) { return CALL("path_rename", 3, PATH_A, put(PATH_A, from), 3, PATH_B, put(PATH_B, to)); }
static uint8_t link_at(const char *from, const char *to) { return CALL("path_link", 3, 0, PATH_A, put(PATH_A, from), 3, PATH_B, put(PATH_B, to)); }
static uint8_t symlink_at(const char *target, const char *path) { return CALL("path_symlink", PATH_A, put(PATH_A, target), 3, PATH_B, put(PATH_B, path)); }
static uint8_t stat_at(const char *path, bool follows) { return CALL("path_filestat_get", 3, follows, PATH_A, put(PATH_A, path), 128); }
static void make_file(const char *path, const char *text)
{
    int fd = open_at(3, path, CREATE | EXCLUSIVE, ALL, 0);
    assert_true(fd > 3);
    assert_int_equal(write_at(fd, text), strlen(text));
    assert_int_equal(CALL("fd_close", (uint64_t)fd), 0);
}

/* ---- a function's world */

static void test_files_of_a_function(void **state)
{
    (void)state;
    char text[64];
    assert_int_equal(CALL("fd_prestat_get", 3, 0), 0);
    assert_int_equal(nx_rt_get_u32(mem + 4), 1);
    assert_int_equal(CALL("fd_prestat_dir_name", 3, 0, 0), NX_WASI_ENAMETOOLONG);
    assert_int_equal(CALL("fd_prestat_dir_name", 3, 0, 1), 0);
    assert_int_equal(mem[0], '/');
    assert_int_equal(CALL("fd_prestat_get", 4, 0), NX_WASI_EBADF);
    assert_null(w.fs); /* so far it cost nothing */
    int fd = open_at(3, "templates/mail.txt", 0, NX_RT_RIGHT_READ | NX_RT_RIGHT_SEEK, 0);
    assert_int_equal(read_at(fd, text), 11);
    assert_string_equal(text, "Dear {name}");
    assert_int_equal(read_at(fd, text), 0);
    assert_int_equal(write_at(fd, "x"), -NX_WASI_ENOTCAPABLE);
    fd = open_at(3, "tmp/a", CREATE, ALL, 0);
    assert_int_equal(write_at(fd, "abc"), 3);
    assert_int_equal(open_at(3, "tmp/../tmp/./a", 0, NX_RT_RIGHT_READ, 0), 6);
    assert_int_equal(open_at(3, "templates/../tmp/a", 0, NX_RT_RIGHT_READ, 0), 7);
}

static void test_files_read_only_part_stays(void **state)
{
    (void)state;
    assert_int_equal(open_at(3, "new", CREATE, ALL, 0), -NX_WASI_EROFS);
    assert_int_equal(open_at(3, "templates/mail.txt", TRUNCATE, ALL, 0), -NX_WASI_EROFS);
    assert_int_equal(open_at(3, "templates/mail.txt", 0, NX_RT_RIGHT_WRITE, 0), -NX_WASI_EROFS);
    assert_int_equal(on_path("path_unlink_file", 3, "templates/mail.txt"), NX_WASI_EROFS);
    assert_int_equal(on_path("path_remove_directory", 3, "tmp"), NX_WASI_EROFS);
    assert_int_equal(mkdir_at("templates/x"), NX_WASI_EROFS);
    assert_int_equal(rename_at("templates/mail.txt", "tmp/mail"), NX_WASI_EROFS);
    assert_int_equal(link_at("templates/mail.txt", "tmp/mail"), NX_WASI_EXDEV);
    assert_int_equal(symlink_at("tmp", "t"), NX_WASI_EROFS);
    assert_int_equal(CALL("path_filestat_set_times", 3, 0, PATH_A, put(PATH_A, "templates/mail.txt"), 1, 1, 5), NX_WASI_EROFS);
    make_file("tmp/a", "x");
    assert_int_equal(rename_at("tmp/a", "a"), NX_WASI_EROFS);
}

static void test_files_scratch_is_bounded(void **state)
{
    (void)state;
    int fd = open_at(3, "tmp/big", CREATE, ALL, 0), written;
    uint64_t sum = 0;
    do {
        nx_rt_put_u32(mem, DATA);
        nx_rt_put_u32(mem + 4, 32768);
        written = CALL("fd_write", (uint64_t)fd, 0, 1, 8) ? -1 : (int)nx_rt_get_u32(mem + 8);
        sum += written > 0 ? (uint64_t)written : 0;
    } while (written == 32768);
    assert_in_range(sum, SCRATCH - 4096, SCRATCH);
    assert_int_equal(write_at(fd, "x"), -NX_WASI_ENOSPC);
    assert_int_equal(CALL("fd_filestat_set_size", (uint64_t)fd, SCRATCH + 1), NX_WASI_ENOSPC);
    assert_int_equal(CALL("fd_filestat_set_size", (uint64_t)fd, UINT64_MAX), NX_WASI_EFBIG);
    assert_int_equal(CALL("fd_allocate", (uint64_t)fd, 0, SCRATCH + 1), NX_WASI_ENOSPC);
    assert_int_equal(mkdir_at("tmp/no-room"), NX_WASI_ENOSPC);
    assert_int_equal(on_path("path_unlink_file", 3, "tmp/big"), 0);
    assert_int_equal(mkdir_at("tmp/no-room"), NX_WASI_ENOSPC); /* it is still open */
    assert_int_equal(CALL("fd_close", (uint64_t)fd), 0);
    assert_int_equal(mkdir_at("tmp/room"), 0);
    char name[] = "tmp/d00000";
    unsigned n = 0;
    for (uint8_t err = 0; !err; n++) {
        (void)snprintf(name, sizeof name, "tmp/d%05u", n);
        err = mkdir_at(name);
        assert_true(err == 0 || err == NX_WASI_ENOSPC);
    }
    assert_in_range(n, 500, SCRATCH / NX_RT_NODE_BYTES);
}

static void test_files_are_gone_with_the_attempt(void **state)
{
    (void)state;
    make_file("tmp/a", "x");
    nx_rt_world_finish(&w);
    nx_rt_world_done(&w);
    nx_rt_world_init(&w, &a, scratch);
    assert_int_equal(open_at(3, "tmp/a", 0, NX_RT_RIGHT_READ, 0), -NX_WASI_ENOENT);
    assert_int_equal(open_at(3, "templates/mail.txt", 0, NX_RT_RIGHT_READ, 0), 4);
}

/* ---- contents */

static void test_files_position(void **state)
{
    (void)state;
    char text[64];
    int fd = open_at(3, "f", CREATE, ALL, 0);
    assert_int_equal(write_at(fd, "hello world"), 11);
    assert_int_equal(seek(fd, 6, 0), 6);
    assert_int_equal(read_at(fd, text), 5);
    assert_string_equal(text, "world");
    assert_int_equal(seek(fd, -3, 2), 8);
    assert_int_equal(seek(fd, -100, 1), -NX_WASI_EINVAL);
    assert_int_equal(seek(fd, INT64_MAX, 1), -NX_WASI_EINVAL);
    assert_int_equal(seek(fd, INT64_MIN, 0), -NX_WASI_EINVAL);
    assert_int_equal(seek(fd, 0, 3), -NX_WASI_EINVAL);
    assert_int_equal(seek(fd, 2, 1), 10);
    assert_int_equal(CALL("fd_tell", (uint64_t)fd, 16), 0);
    assert_int_equal(nx_rt_get_u64(mem + 16), 10);
    /* Past the end is a hole of zeros. */
    assert_int_equal(seek(fd, 14, 0), 14);
    assert_int_equal(write_at(fd, "!"), 1);
    assert_int_equal(seek(fd, 10, 0), 10);
    assert_int_equal(read_at(fd, text), 5);
    assert_memory_equal(text, "d\0\0\0!", 5);
    /* pread and pwrite leave the position. */
    nx_rt_put_u32(mem, DATA);
    nx_rt_put_u32(mem + 4, 4);
    memcpy(mem + DATA, "HELL", 4);
    assert_int_equal(CALL("fd_pwrite", (uint64_t)fd, 0, 1, 0, 8), 0);
    assert_int_equal(CALL("fd_pread", (uint64_t)fd, 0, 1, 1, 8), 0);
    assert_memory_equal(mem + DATA, "ELLo", 4);
    assert_int_equal(seek(fd, 0, 1), 15);
    assert_int_equal(CALL("fd_pread", 0, 0, 1, 0, 8), NX_WASI_ESPIPE);
    assert_int_equal(CALL("fd_pwrite", 1, 0, 1, 0, 8), NX_WASI_ESPIPE);
}

static void test_files_append_and_truncate(void **state)
{
    (void)state;
    char text[64];
    make_file("f", "one");
    int fd = open_at(3, "f", 0, ALL, NX_RT_FLAG_APPEND);
    assert_int_equal(write_at(fd, "two"), 3);
    assert_int_equal(seek(fd, 0, 0), 0);
    assert_int_equal(write_at(fd, "three"), 5);
    assert_int_equal(seek(fd, 0, 0), 0);
    assert_int_equal(read_at(fd, text), 11);
    assert_string_equal(text, "onetwothree");
    assert_int_equal(CALL("fd_fdstat_set_flags", (uint64_t)fd, 0), 0);
    assert_int_equal(CALL("fd_fdstat_get", (uint64_t)fd, 64), 0);
    assert_int_equal(mem[64], NX_RT_TYPE_REGULAR);
    assert_int_equal(nx_rt_get_u16(mem + 66), 0);
    assert_int_equal(CALL("fd_filestat_set_size", (uint64_t)fd, 3), 0);
    assert_int_equal(CALL("fd_allocate", (uint64_t)fd, 2, 8), 0);
    assert_int_equal(CALL("fd_filestat_get", (uint64_t)fd, 128), 0);
    assert_int_equal(nx_rt_get_u64(mem + 128 + 32), 10);
    assert_int_equal(CALL("fd_allocate", (uint64_t)fd, 2, 0), NX_WASI_EINVAL);
    assert_int_equal(CALL("fd_advise", (uint64_t)fd, 0, 0, 5), 0);
    assert_int_equal(CALL("fd_advise", (uint64_t)fd, 0, 0, 6), NX_WASI_EINVAL);
    assert_int_equal(CALL("fd_sync", (uint64_t)fd), 0);
    fd = open_at(3, "f", TRUNCATE, ALL, 0);
    assert_int_equal(read_at(fd, text), 0);
}

static void test_files_unlinked_stay_open(void **state)
{
    (void)state;
    char text[64];
    int fd = open_at(3, "f", CREATE, ALL, 0);
    assert_int_equal(write_at(fd, "still"), 5);
    assert_int_equal(on_path("path_unlink_file", 3, "f"), 0);
    assert_int_equal(open_at(3, "f", 0, ALL, 0), -NX_WASI_ENOENT);
    assert_int_equal(seek(fd, 0, 0), 0);
    assert_int_equal(read_at(fd, text), 5);
    assert_int_equal(CALL("fd_close", (uint64_t)fd), 0);
    assert_int_equal(read_at(fd, text), -NX_WASI_EBADF);
    assert_int_equal(CALL("fd_close", (uint64_t)fd), NX_WASI_EBADF);
}

/* ---- opening */

static void test_files_open_flags(void **state)
{
    (void)state;
    make_file("f", "x");
    assert_int_equal(mkdir_at("d"), 0);
    assert_int_equal(open_at(3, "f", CREATE | EXCLUSIVE, ALL, 0), -NX_WASI_EEXIST);
    assert_int_equal(open_at(3, "f", DIRECTORY, ALL, 0), -NX_WASI_ENOTDIR);
    assert_int_equal(open_at(3, "f", CREATE | DIRECTORY, ALL, 0), -NX_WASI_EINVAL);
    assert_int_equal(open_at(3, "f", 16, ALL, 0), -NX_WASI_EINVAL);
    assert_int_equal(open_at(3, "f", 0, ALL, 32), -NX_WASI_EINVAL);
    assert_int_equal(open_at(3, "none", 0, ALL, 0), -NX_WASI_ENOENT);
    assert_int_equal(open_at(3, "none/f", CREATE, ALL, 0), -NX_WASI_ENOENT);
    assert_int_equal(open_at(3, "none/", CREATE, ALL, 0), -NX_WASI_EISDIR);
    assert_int_equal(open_at(3, "f/g", 0, ALL, 0), -NX_WASI_ENOTDIR);
    assert_int_equal(open_at(3, "f/", 0, ALL, 0), -NX_WASI_ENOTDIR);
    assert_int_equal(open_at(3, "d", 0, NX_RT_RIGHT_WRITE, 0), -NX_WASI_EISDIR);
    assert_int_equal(open_at(3, "d", DIRECTORY, ALL, 0), -NX_WASI_EISDIR);
    assert_int_equal(open_at(3, "d", CREATE, 0, 0), -NX_WASI_EISDIR);
    assert_int_equal(open_at(3, "d", TRUNCATE, 0, 0), -NX_WASI_EISDIR);
    int file = open_at(3, "f", 0, ALL, 0), dir = open_at(3, "d/", DIRECTORY, NX_RT_RIGHTS_DIR, 0);
    assert_true(file > 3 && dir > file);
    assert_int_equal(open_at((uint64_t)file, "f", 0, ALL, 0), -NX_WASI_ENOTDIR);
    assert_int_equal(open_at((uint64_t)dir, "../f", 0, ALL, 0), -NX_WASI_EPERM); /* a folder's descriptor is a sandbox of its own */
    assert_int_equal(open_at(99, "f", 0, ALL, 0), -NX_WASI_EBADF);
    char text[64];
    assert_int_equal(read_at(dir, text), -NX_WASI_EISDIR);
    assert_int_equal(write_at(dir, "x"), -NX_WASI_EISDIR);
    assert_int_equal(seek(dir, 0, 0), -NX_WASI_EBADF);
    put(PATH_A, "f");
    assert_int_equal(CALL("path_open", 3, 0, PATH_A, 1, 0, ALL, ALL, 0, MEM_BYTES - 3), NX_WASI_EFAULT);
    assert_int_equal(CALL("path_open", 3, 0, MEM_BYTES - 1, 2, 0, ALL, ALL, 0, 0), NX_WASI_EFAULT);
}

static void test_files_interesting_paths(void **state)
{
    (void)state;
    assert_int_equal(mkdir_at("dir"), 0);
    assert_int_equal(mkdir_at("dir/nested"), 0);
    make_file("dir/nested/file", "x");
    assert_int_equal(stat_at("dir/.//nested/../../dir/nested/../nested///./file", true), 0);
    assert_int_equal(stat_at("dir/nested/", true), 0);
    assert_int_equal(stat_at("dir/nested///", true), 0);
    assert_int_equal(stat_at(".", true), 0);
    assert_int_equal(stat_at("dir/..", true), 0);
    assert_int_equal(mem[128 + 16], NX_RT_TYPE_DIRECTORY);
    assert_int_equal(stat_at("dir/nested/file/", true), NX_WASI_ENOTDIR);
    assert_int_equal(stat_at("dir/nested/file/.", true), NX_WASI_ENOTDIR);
    assert_int_equal(stat_at("/dir/nested/file", true), NX_WASI_EPERM);
    assert_int_equal(stat_at("dir/nested/../../../dir/nested/file", true), NX_WASI_EPERM);
    assert_int_equal(stat_at("..", true), NX_WASI_EPERM);
    assert_int_equal(stat_at("", true), NX_WASI_ENOENT);
    memcpy(mem + PATH_A, "dir/nested/file\0", 16);
    assert_int_equal(CALL("path_filestat_get", 3, 1, PATH_A, 16, 128), NX_WASI_EINVAL);
    assert_int_equal(stat_at("dir/\xff", true), NX_WASI_EILSEQ);
    memset(mem + PATH_A, 'n', 5000);
    assert_int_equal(CALL("path_filestat_get", 3, 1, PATH_A, 256, 128), NX_WASI_ENAMETOOLONG);
    assert_int_equal(CALL("path_filestat_get", 3, 1, PATH_A, 5000, 128), NX_WASI_ENAMETOOLONG);
    for (unsigned i = 0; i < 2000; i++) memcpy(mem + PATH_A + (size_t)i * 2, "./", 2);
    assert_int_equal(CALL("path_filestat_get", 3, 1, PATH_A, 4000, 128), 0);
}

static void test_files_rights_are_given_up_for_good(void **state)
{
    (void)state;
    char text[64];
    make_file("f", "x");
    int fd = open_at(3, "f", 0, NX_RT_RIGHT_READ | NX_RT_RIGHT_SEEK, 0);
    assert_int_equal(write_at(fd, "y"), -NX_WASI_ENOTCAPABLE);
    assert_int_equal(CALL("fd_filestat_set_size", (uint64_t)fd, 0), NX_WASI_ENOTCAPABLE);
    assert_int_equal(CALL("fd_fdstat_set_rights", (uint64_t)fd, NX_RT_RIGHT_WRITE, 0), NX_WASI_ENOTCAPABLE);
    assert_int_equal(CALL("fd_fdstat_set_rights", (uint64_t)fd, NX_RT_RIGHT_SEEK, 0), 0);
    assert_int_equal(read_at(fd, text), -NX_WASI_ENOTCAPABLE);
    /* What a folder does not hand on, nothing opened below it has. */
    assert_int_equal(CALL("fd_fdstat_set_rights", 3, NX_RT_RIGHTS_DIR & ~NX_RT_RIGHT_UNLINK, NX_RT_RIGHT_READ), 0);
    fd = open_at(3, "f", 0, ALL, 0);
    assert_int_equal(write_at(fd, "y"), -NX_WASI_ENOTCAPABLE);
    assert_int_equal(read_at(fd, text), 1);
    assert_int_equal(on_path("path_unlink_file", 3, "f"), NX_WASI_ENOTCAPABLE);
}

static void test_files_renumber(void **state)
{
    (void)state;
    char text[64];
    int one = open_at(3, "one", CREATE, ALL, 0), two = open_at(3, "two", CREATE, ALL, 0);
    assert_int_equal(write_at(one, "1"), 1);
    assert_int_equal(CALL("fd_renumber", (uint64_t)one, (uint64_t)two), 0);
    assert_int_equal(read_at(one, text), -NX_WASI_EBADF);
    assert_int_equal(seek(two, 0, 0), 0);
    assert_int_equal(read_at(two, text), 1);
    /* Onto a stream, and over the folder itself: both may be given away. */
    assert_int_equal(CALL("fd_renumber", (uint64_t)two, 1), 0);
    assert_int_equal(write_at(1, "2"), 1);
    assert_int_equal(a.out.output_bytes, 0);
    assert_int_equal(CALL("fd_close", 3), 0);
    assert_int_equal(CALL("fd_prestat_get", 3, 0), NX_WASI_EBADF);
    assert_int_equal(open_at(3, "one", 0, ALL, 0), -NX_WASI_EBADF);
    assert_int_equal(CALL("fd_renumber", 7, 1), NX_WASI_EBADF);
}

static void test_files_descriptors_are_bounded(void **state)
{
    (void)state;
    int fd = 0, n = 0;
    make_file("f", "x");
    while ((fd = open_at(3, "f", 0, ALL, 0)) > 0) n++;
    assert_int_equal(fd, -NX_WASI_EMFILE);
    assert_in_range(n, 500, 1024);
    /* And nothing is made or cut for one that can't be given. */
    assert_int_equal(open_at(3, "new", CREATE, ALL, 0), -NX_WASI_EMFILE);
    assert_int_equal(stat_at("new", true), NX_WASI_ENOENT);
    assert_int_equal(open_at(3, "f", TRUNCATE, ALL, 0), -NX_WASI_EMFILE);
    assert_int_equal(stat_at("f", true), 0);
    assert_int_equal(nx_rt_get_u64(mem + 128 + 32), 1);
}

/* ---- folders */

static unsigned list(uint64_t fd, uint32_t room, uint64_t cookie, char *out, uint64_t *ret_next)
{
    unsigned n = 0;
    assert_int_equal(CALL("fd_readdir", fd, DATA, room, cookie, 0), 0);
    uint32_t used = nx_rt_get_u32(mem), at = 0;
    *out = '\0';
    while (used - at >= 24) {
        uint32_t name = nx_rt_get_u32(mem + DATA + at + 16);
        if (used - at - 24 < name) break;
        *ret_next = nx_rt_get_u64(mem + DATA + at);
        strncat(out, (char *)mem + DATA + at + 24, name);
        strcat(out, " ");
        at += 24 + name;
        n++;
    }
    return n;
}

static void test_files_readdir(void **state)
{
    (void)state;
    char names[512];
    uint64_t next = 0;
    make_file("a", "");
    make_file("b", "");
    assert_int_equal(mkdir_at("c"), 0);
    assert_int_equal(list(3, 4096, 0, names, &next), 5);
    assert_string_equal(names, ". .. a b c ");
    assert_int_equal(list(3, 4096, next, names, &next), 0);
    /* In pieces, with entries going and coming between them: none is seen twice, none that stayed is missed. */
    assert_int_equal(list(3, 24 * 3 + 5, 0, names, &next), 3);
    assert_string_equal(names, ". .. a ");
    assert_int_equal(on_path("path_unlink_file", 3, "a"), 0);
    make_file("d", "");
    assert_int_equal(list(3, 4096, next, names, &next), 3);
    assert_string_equal(names, "b c d ");
    assert_int_equal(list(3, 10, 0, names, &next), 0); /* not even one: cut, and full */
    assert_int_equal(nx_rt_get_u32(mem), 10);
    assert_int_equal(CALL("fd_readdir", 3, MEM_BYTES - 10, 11, 0, 0), NX_WASI_EFAULT);
    assert_int_equal(CALL("fd_readdir", 3, DATA, 100, 0, MEM_BYTES - 3), NX_WASI_EFAULT);
    int fd = open_at(3, "b", 0, ALL, 0);
    assert_int_equal(CALL("fd_readdir", (uint64_t)fd, DATA, 100, 0, 0), NX_WASI_ENOTDIR);
}

static void test_files_remove(void **state)
{
    (void)state;
    assert_int_equal(mkdir_at("d"), 0);
    assert_int_equal(mkdir_at("d"), NX_WASI_EEXIST);
    assert_int_equal(mkdir_at("e/"), 0);
    assert_int_equal(mkdir_at("x/y"), NX_WASI_ENOENT);
    make_file("d/f", "");
    assert_int_equal(on_path("path_remove_directory", 3, "d"), NX_WASI_ENOTEMPTY);
    assert_int_equal(on_path("path_remove_directory", 3, "d/f"), NX_WASI_ENOTDIR);
    assert_int_equal(on_path("path_remove_directory", 3, "d/f/"), NX_WASI_ENOTDIR);
    assert_int_equal(on_path("path_remove_directory", 3, "none"), NX_WASI_ENOENT);
    assert_int_equal(on_path("path_remove_directory", 3, "."), NX_WASI_EINVAL);
    assert_int_equal(on_path("path_unlink_file", 3, "d"), NX_WASI_EISDIR);
    assert_int_equal(on_path("path_unlink_file", 3, "d/"), NX_WASI_EISDIR);
    assert_int_equal(on_path("path_unlink_file", 3, "d/f/"), NX_WASI_ENOTDIR);
    assert_int_equal(on_path("path_unlink_file", 3, "d/f"), 0);
    int fd = open_at(3, "d", 0, ALL & ~(uint64_t)NX_RT_RIGHT_WRITE, 0);
    assert_int_equal(on_path("path_remove_directory", 3, "d/"), 0);
    assert_int_equal(stat_at("d", true), NX_WASI_ENOENT);
    assert_true(fd > 0); /* and open all the same */
    assert_int_equal(CALL("fd_filestat_get", (uint64_t)fd, 128), 0);
    assert_int_equal(open_at((uint64_t)fd, "x", CREATE, ALL, 0), -NX_WASI_ENOENT); /* nobody would find it */
}

/* An open folder may outlast the one that it was in. */
static void test_files_removed_with_their_folder(void **state)
{
    (void)state;
    assert_int_equal(mkdir_at("d"), 0);
    assert_int_equal(mkdir_at("d/e"), 0);
    int fd = open_at(3, "d/e", DIRECTORY, NX_RT_RIGHTS_DIR, 0);
    assert_int_equal(on_path("path_remove_directory", 3, "d/e"), 0);
    assert_int_equal(on_path("path_remove_directory", 3, "d"), 0);
    assert_int_equal(CALL("fd_readdir", (uint64_t)fd, DATA, 1000, 0, 0), 0);
    assert_int_equal(nx_rt_get_u32(mem), 51);
    assert_int_equal(CALL("fd_close", (uint64_t)fd), 0);
}

/* A link with a slash behind it is not what it leads to. */
static void test_files_names_are_not_followed(void **state)
{
    (void)state;
    assert_int_equal(mkdir_at("d"), 0);
    assert_int_equal(mkdir_at("e"), 0);
    assert_int_equal(symlink_at("d", "link"), 0);
    assert_int_equal(symlink_at("new", "dangling"), 0);
    assert_int_equal(on_path("path_remove_directory", 3, "link/"), NX_WASI_ENOTDIR);
    assert_int_equal(rename_at("link/", "f"), NX_WASI_ENOTDIR);
    assert_int_equal(rename_at("e", "link/"), NX_WASI_ENOTDIR);
    assert_int_equal(mkdir_at("dangling/"), NX_WASI_ENOTDIR);
    assert_int_equal(stat_at("d", true), 0);
    assert_int_equal(stat_at("new", true), NX_WASI_ENOENT);
}

/* Where the new name is taken, it is handed over: no room is asked for that may not be there. */
static void test_files_rename_without_room(void **state)
{
    (void)state;
    make_file("a", "A");
    make_file("b", "B");
    folder->max_bytes = folder->used_bytes;
    assert_int_equal(rename_at("a", "b"), 0);
    assert_int_equal(stat_at("b", true), 0);
    assert_int_equal(nx_rt_get_u64(mem + 128 + 24), 1);
}

/* A link whose target does not fit is not there, and takes no room. */
static void test_files_symlink_without_room(void **state)
{
    (void)state;
    uint64_t before = folder->used_bytes;
    for (uint64_t more = 0; more < 8; more++) {
        folder->max_bytes = before + NX_RT_NODE_BYTES + strlen("soft") + more;
        assert_int_equal(symlink_at("a-target", "soft"), NX_WASI_ENOSPC);
        assert_int_equal(stat_at("soft", false), NX_WASI_ENOENT);
        assert_int_equal(folder->used_bytes, before);
    }
    folder->max_bytes++;
    assert_int_equal(symlink_at("a-target", "soft"), 0);
    assert_int_equal(stat_at("soft", false), 0);
}

static void test_files_rename(void **state)
{
    (void)state;
    char text[64];
    make_file("a", "A");
    make_file("b", "B");
    assert_int_equal(mkdir_at("d"), 0);
    assert_int_equal(mkdir_at("e"), 0);
    make_file("e/full", "");
    assert_int_equal(rename_at("a", "b"), 0);
    assert_int_equal(stat_at("a", true), NX_WASI_ENOENT);
    assert_int_equal(read_at(open_at(3, "b", 0, ALL, 0), text), 1);
    assert_string_equal(text, "A");
    assert_int_equal(rename_at("none", "x"), NX_WASI_ENOENT);
    assert_int_equal(rename_at("b", "d"), NX_WASI_EISDIR);
    assert_int_equal(rename_at("d", "b"), NX_WASI_ENOTDIR);
    assert_int_equal(rename_at("d", "e"), NX_WASI_ENOTEMPTY);
    assert_int_equal(rename_at("e", "d"), 0);
    assert_int_equal(stat_at("d/full", true), 0);
    assert_int_equal(rename_at("d", "d/inside"), NX_WASI_EINVAL);
    assert_int_equal(rename_at("d", "."), NX_WASI_EBUSY);
    assert_int_equal(rename_at(".", "x"), NX_WASI_EINVAL);
    assert_int_equal(rename_at("d", "g/"), 0);
    assert_int_equal(rename_at("b", "file/"), NX_WASI_ENOTDIR);
    assert_int_equal(rename_at("b", "b"), 0);
    assert_int_equal(link_at("b", "c"), 0);
    assert_int_equal(rename_at("b", "c"), 0); /* two names of one file: both stay */
    assert_int_equal(stat_at("b", true), 0);
    assert_int_equal(nx_rt_get_u64(mem + 128 + 24), 2);
}

static void test_files_links(void **state)
{
    (void)state;
    make_file("f", "x");
    assert_int_equal(mkdir_at("d"), 0);
    assert_int_equal(link_at("f", "d/g"), 0);
    assert_int_equal(stat_at("d/g", true), 0);
    assert_int_equal(nx_rt_get_u64(mem + 128 + 24), 2);
    assert_int_equal(link_at("f", "d/g"), NX_WASI_EEXIST);
    assert_int_equal(link_at("d", "h"), NX_WASI_EPERM);
    assert_int_equal(link_at("none", "h"), NX_WASI_ENOENT);
    assert_int_equal(link_at("f", "h/"), NX_WASI_ENOENT);
    assert_int_equal(on_path("path_unlink_file", 3, "f"), 0);
    assert_int_equal(stat_at("d/g", true), 0);
    assert_int_equal(nx_rt_get_u64(mem + 128 + 24), 1);
}

static void test_files_symlinks(void **state)
{
    (void)state;
    char text[64];
    assert_int_equal(mkdir_at("d"), 0);
    make_file("d/f", "target");
    assert_int_equal(symlink_at("d/f", "file"), 0);
    assert_int_equal(symlink_at("d", "folder"), 0);
    assert_int_equal(symlink_at("nowhere", "dangling"), 0);
    assert_int_equal(symlink_at("loop", "loop"), 0);
    assert_int_equal(symlink_at("../f", "d/up"), 0);
    assert_int_equal(symlink_at("../../f", "d/out"), 0);
    assert_int_equal(symlink_at("/etc", "absolute"), NX_WASI_EPERM);
    assert_int_equal(symlink_at("x", "file"), NX_WASI_EEXIST);
    assert_int_equal(symlink_at("x", "new/"), NX_WASI_ENOENT);
    assert_int_equal(read_at(open_at(3, "file", 0, NX_RT_RIGHT_READ, 0), text), 6);
    assert_int_equal(stat_at("folder/f", false), 0); /* only the last part is not followed */
    assert_int_equal(stat_at("folder", false), 0);
    assert_int_equal(mem[128 + 16], NX_RT_TYPE_LINK);
    assert_int_equal(stat_at("folder/", false), 0);
    assert_int_equal(mem[128 + 16], NX_RT_TYPE_DIRECTORY);
    assert_int_equal(stat_at("dangling", true), NX_WASI_ENOENT);
    assert_int_equal(stat_at("dangling", false), 0);
    assert_int_equal(stat_at("loop", true), NX_WASI_ELOOP);
    assert_int_equal(stat_at("d/up", true), NX_WASI_ENOENT);
    assert_int_equal(stat_at("d/out", true), NX_WASI_EPERM);
    uint64_t n = put(PATH_A, "file");
    assert_int_equal(CALL("path_open", 3, 0, PATH_A, n, 0, ALL, ALL, 0, 0), NX_WASI_ELOOP);
    assert_int_equal(CALL("path_readlink", 3, PATH_A, n, 64, 32, 0), 0);
    assert_int_equal(nx_rt_get_u32(mem), 3);
    assert_memory_equal(mem + 64, "d/f", 3);
    assert_int_equal(CALL("path_readlink", 3, PATH_A, n, 64, 2, 0), 0);
    assert_int_equal(nx_rt_get_u32(mem), 2);
    n = put(PATH_A, "d/f");
    assert_int_equal(CALL("path_readlink", 3, PATH_A, n, 64, 32, 0), NX_WASI_EINVAL);
    make_file("d/g", "");
    int fd = open_at(3, "dangling", CREATE, ALL, 0); /* makes what it leads to */
    assert_true(fd > 0);
    assert_int_equal(stat_at("nowhere", true), 0);
    assert_int_equal(on_path("path_unlink_file", 3, "folder"), 0); /* the link, not what it leads to */
    assert_int_equal(stat_at("d/f", true), 0);
}

static void test_files_times(void **state)
{
    (void)state;
    make_file("f", "x");
    int fd = open_at(3, "f", 0, ALL, 0);
    assert_int_equal(CALL("fd_filestat_get", (uint64_t)fd, 128), 0);
    assert_int_equal(nx_rt_get_u64(mem + 128 + 48), a.start_wall_ns);
    assert_int_equal(CALL("fd_filestat_set_times", (uint64_t)fd, 11, 22, 1 | 4), 0);
    assert_int_equal(CALL("fd_filestat_get", (uint64_t)fd, 128), 0);
    assert_int_equal(nx_rt_get_u64(mem + 128 + 40), 11);
    assert_int_equal(nx_rt_get_u64(mem + 128 + 48), 22);
    assert_int_equal(CALL("fd_filestat_set_times", (uint64_t)fd, 0, 0, 2 | 8), 0);
    assert_int_equal(CALL("fd_filestat_get", (uint64_t)fd, 128), 0);
    assert_int_equal(nx_rt_get_u64(mem + 128 + 40), a.start_wall_ns);
    assert_int_equal(CALL("fd_filestat_set_times", (uint64_t)fd, 0, 0, 1 | 2), NX_WASI_EINVAL);
    assert_int_equal(CALL("fd_filestat_set_times", (uint64_t)fd, 0, 0, 4 | 8), NX_WASI_EINVAL);
    assert_int_equal(CALL("path_filestat_set_times", 3, 0, PATH_A, put(PATH_A, "f"), 7, 0, 1), 0);
    assert_int_equal(stat_at("f", true), 0);
    assert_int_equal(nx_rt_get_u64(mem + 128 + 40), 7);
}

/* ---- trees */

static nx_err append_path(void *self, const nx_rt_tree_item *item)
{
    char *out = self;
    strncat(out, item->path.p, item->path.n);
    strcat(out, item->is_changed ? "* " : " ");
    return NX_OK;
}

static void test_tree_put_and_each(void **state)
{
    (void)state;
    nx_rt_tree *t;
    nx_error e = NX_ERROR_INIT;
    char all[128] = "";
    assert_int_equal(nx_rt_tree_new(8192, &t), NX_OK);
    assert_int_equal(nx_rt_tree_put(t, NX_SLICE("a/b/c"), NX_RT_NODE_FILE, NX_SLICE("x"), 1, &e), NX_OK);
    assert_int_equal(nx_rt_tree_put(t, NX_SLICE("a/b"), NX_RT_NODE_DIR, NX_SLICE_NULL, 1, &e), NX_OK);
    assert_int_equal(nx_rt_tree_put(t, NX_SLICE("a/b/c"), NX_RT_NODE_FILE, NX_SLICE("x"), 1, &e), NX_EEXIST);
    assert_int_equal(nx_rt_tree_put(t, NX_SLICE("a/b/c/d"), NX_RT_NODE_FILE, NX_SLICE("x"), 1, &e), NX_EEXIST);
    static const char *const bad[] = {"", "/a", "a//b", "../a", "a/..", "a/./b", "a/"};
    for (unsigned i = 0; i < NX_ARRAY_LEN(bad); i++)
        assert_int_equal(nx_rt_tree_put(t, nx_slice_cstr(bad[i]), NX_RT_NODE_FILE, NX_SLICE("x"), 1, &e), NX_EINVAL);
    nx_rt_tree_mark(t);
    assert_int_equal(nx_rt_tree_put(t, NX_SLICE("z"), NX_RT_NODE_LINK, NX_SLICE("a"), 1, &e), NX_OK);
    assert_int_equal(nx_rt_tree_each(t, append_path, all), NX_OK);
    assert_string_equal(all, "a a/b a/b/c z* ");
    nx_rt_node_kind kind;
    assert_true(nx_rt_tree_has(t, NX_SLICE("a/b"), &kind) && kind == NX_RT_NODE_DIR);
    assert_false(nx_rt_tree_has(t, NX_SLICE("a/b/c/d"), &kind));
    char big[8192] = {0};
    assert_int_equal(nx_rt_tree_put(t, NX_SLICE("big"), NX_RT_NODE_FILE, nx_slice_make(big, sizeof big), 1, &e), NX_ELIMIT);
    assert_false(nx_rt_tree_has(t, NX_SLICE("big"), &kind));
    nx_rt_tree_free(t);
}

#define FN_TEST(f) cmocka_unit_test_setup_teardown(f, begin_function, end)
#define PROGRAM_TEST(f) cmocka_unit_test_setup_teardown(f, begin_program, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FN_TEST(test_files_of_a_function),
        FN_TEST(test_files_read_only_part_stays),
        FN_TEST(test_files_scratch_is_bounded),
        FN_TEST(test_files_are_gone_with_the_attempt),
        PROGRAM_TEST(test_files_position),
        PROGRAM_TEST(test_files_append_and_truncate),
        PROGRAM_TEST(test_files_unlinked_stay_open),
        PROGRAM_TEST(test_files_open_flags),
        PROGRAM_TEST(test_files_interesting_paths),
        PROGRAM_TEST(test_files_rights_are_given_up_for_good),
        PROGRAM_TEST(test_files_renumber),
        PROGRAM_TEST(test_files_descriptors_are_bounded),
        PROGRAM_TEST(test_files_readdir),
        PROGRAM_TEST(test_files_remove),
        PROGRAM_TEST(test_files_removed_with_their_folder),
        PROGRAM_TEST(test_files_names_are_not_followed),
        PROGRAM_TEST(test_files_rename_without_room),
        PROGRAM_TEST(test_files_symlink_without_room),
        PROGRAM_TEST(test_files_rename),
        PROGRAM_TEST(test_files_links),
        PROGRAM_TEST(test_files_symlinks),
        PROGRAM_TEST(test_files_times),
        cmocka_unit_test(test_tree_put_and_each),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
