;; Host calls with pointers and lengths that lie outside its memory: each must answer EFAULT or trap this guest, nothing else.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll_oneoff (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "handle_event")
    (drop (call $random_get (i32.const -16) (i32.const 2147483647)))
    (drop (call $fd_write (i32.const 1) (i32.const 65532) (i32.const 1073741824) (i32.const 0)))
    (drop (call $environ_get (i32.const -4) (i32.const -4)))
    (drop (call $poll_oneoff (i32.const -8) (i32.const 65000) (i32.const 1000000000) (i32.const 0)))
    (unreachable)))
