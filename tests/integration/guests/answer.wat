;; Writes TEXT (LENGTH bytes) to standard output: the smallest useful function, told apart from others by what it answers.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 64) "TEXT")
  (func (export "handle_event")
    (i32.store (i32.const 0) (i32.const 64))
    (i32.store (i32.const 4) (i32.const LENGTH))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 16)))))
