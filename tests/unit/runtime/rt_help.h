/* rt_help.h: a runtime in a folder of its own, and guests from WebAssembly text or Rust source. */
#ifndef NX_TEST_RT_HELP_H
#define NX_TEST_RT_HELP_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "nx/rt.h"

/* main() of every test program begins with nx_rt_child_main(): the child that compiles is the test program itself. */
extern nx_rt *rt; /* two slots; made by rt_help_setup() */
extern char rt_help_dir[64];
int rt_help_setup(void **state);
int rt_help_teardown(void **state);

/* Before guests run in a test: gives the engine its signal handlers back. rt_help_run() and attempts_submit() do it. */
void rt_help_engine_signals(void);

/* Bytes live until the next call of the same function. */
nx_slice rt_help_wat(const char *wat);
/* Builds a cdylib from Rust source with whichever WASI target there is; the source may export handle_event. */
nx_slice rt_help_rust(const char *name, const char *source);
nx_slice rt_help_rust_debug(const char *name, const char *source); /* with line tables */
nx_rt_program *rt_help_load(nx_slice module);
nx_rt_program *rt_help_load_wat(const char *wat);
/* Runs and asserts that the node did not fail. Limits, seed and input are the attempt's. */
void rt_help_run(nx_attempt *a, nx_rt_program *p);
void rt_help_assert_outcome(const nx_attempt *a, nx_run_status status, nx_run_why why);

/* Head of a guest: imports, one page of memory, and a way to write: (call $out (i32.const ptr) (i32.const length)). */
#define RT_WAT_HEAD                                                                                                                        \
    "(module"                                                                                                                              \
    " (import \"wasi_snapshot_preview1\" \"fd_write\" (func $fd_write (param i32 i32 i32 i32) (result i32)))"                              \
    " (import \"wasi_snapshot_preview1\" \"fd_read\" (func $fd_read (param i32 i32 i32 i32) (result i32)))"                                \
    " (import \"wasi_snapshot_preview1\" \"clock_time_get\" (func $clock (param i32 i64 i32) (result i32)))"                               \
    " (import \"wasi_snapshot_preview1\" \"random_get\" (func $random (param i32 i32) (result i32)))"                                      \
    " (import \"wasi_snapshot_preview1\" \"poll_oneoff\" (func $poll (param i32 i32 i32 i32) (result i32)))"                               \
    " (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))"                                                          \
    " (memory (export \"memory\") 1)"                                                                                                      \
    " (func $write (param $fd i32) (param $p i32) (param $n i32)"                                                                          \
    "  (i32.store (i32.const 0) (local.get $p)) (i32.store (i32.const 4) (local.get $n))"                                                  \
    "  (drop (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))"                                                 \
    " (func $sleep_ns (param $ns i64)"                                                                                                     \
    "  (i64.store (i32.const 1000) (i64.const 7)) (i64.store (i32.const 1008) (i64.const 0)) (i32.store (i32.const 1016) (i32.const 1))"   \
    "  (i64.store (i32.const 1024) (local.get $ns)) (i64.store (i32.const 1032) (i64.const 0)) (i64.store (i32.const 1040) (i64.const 0))" \
    "  (drop (call $poll (i32.const 1000) (i32.const 2000) (i32.const 1) (i32.const 3000))))"
#endif
