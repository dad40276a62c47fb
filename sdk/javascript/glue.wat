;; glue.wat: between a node and QuickJS. nexus/build.js puts the sources in and joins it with the engine to one module.
;; JavaScript values are boxes in the engine's memory; nothing is freed, since the instance ends with the run.
(module
  (import "quickjs" "memory" (memory 1))
  (import "quickjs" "wasm_malloc" (func $malloc (param i32) (result i32)))
  (import "quickjs" "qjs_init" (func $init (result i32)))
  (import "quickjs" "qjs_eval" (func $eval (param $source i32) (param $n i32) (param $file i32) (param $flags i32) (result i32)))
  (import "quickjs" "qjs_get_global" (func $global (result i32)))
  (import "quickjs" "qjs_set_prop_string" (func $set (param $object i32) (param $name i32) (param $value i32) (result i32)))
  (import "quickjs" "qjs_new_host_function" (func $function (param $name i32) (param $n i32) (param $length i32) (result i32)))
  (import "quickjs" "qjs_new_string" (func $string (param $p i32) (param $n i32) (result i32)))
  (import "quickjs" "qjs_new_number" (func $number (param f64) (result i32)))
  (import "quickjs" "qjs_get_float64" (func $float (param i32) (result f64)))
  (import "quickjs" "qjs_get_string_len" (func $text (param $value i32) (param $to_n i32) (result i32)))
  (import "quickjs" "qjs_get_undefined" (func $undefined (result i32)))
  (import "quickjs" "qjs_is_exception" (func $is_exception (param i32) (result i32)))
  (import "quickjs" "qjs_get_exception" (func $exception (result i32)))
  (import "quickjs" "qjs_is_job_pending" (func $is_pending (result i32)))
  (import "quickjs" "qjs_execute_pending_job" (func $job (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  ;;IMPORTS
  (global $has_failed (mut i32) (i32.const 0))
  (data $boot "BOOT\00")
  (data $main "MAIN\00")
  (data $words "nexus/nexus.js\00MAIN_FILE\00__nexus\00__error\00__fail(__error)\00__run()\00")

  ;; What the engine asks of its embedder; only host_call is used.
  (func (export "host_interrupt") (result i32) (i32.const 0))
  (func (export "host_get_timezone_offset") (param i32 i32) (result i32) (i32.const 0))
  (func (export "host_promise_rejection") (param i32 i32 i32))
  (func (export "host_module_normalize") (param i32 i32) (result i32) (i32.const 0))
  (func (export "host_module_load") (param i32 i32) (result i32) (i32.const 0))

  (func $arg (param $argv i32) (param $i i32) (result i32)
    (i32.load (i32.add (local.get $argv) (i32.shl (local.get $i) (i32.const 2)))))

  ;; Argument i as text: its address, and its length at $to_n.
  (func $arg_text (param $argv i32) (param $i i32) (param $to_n i32) (result i32)
    (call $text (call $arg (local.get $argv) (local.get $i)) (local.get $to_n)))

  (func $write (param $fd i32) (param $argv i32) (local $iov i32) (local $n i32)
    (local.set $iov (call $malloc (i32.const 16)))
    (i32.store (local.get $iov) (call $arg_text (local.get $argv) (i32.const 1) (i32.add (local.get $iov) (i32.const 4))))
    (loop $more
      (if (i32.eqz (i32.load offset=4 (local.get $iov))) (then (return)))
      (if (call $fd_write (local.get $fd) (local.get $iov) (i32.const 1) (i32.add (local.get $iov) (i32.const 8))) (then (return)))
      (local.set $n (i32.load offset=8 (local.get $iov)))
      (i32.store (local.get $iov) (i32.add (i32.load (local.get $iov)) (local.get $n)))
      (i32.store offset=4 (local.get $iov) (i32.sub (i32.load offset=4 (local.get $iov)) (local.get $n)))
      (br_if $more (local.get $n))))

  (func $input (result i32) (local $iov i32) (local $p i32) (local $bigger i32) (local $n i32) (local $size i32)
    (local.set $iov (call $malloc (i32.const 16)))
    (local.set $size (i32.const 16384))
    (local.set $p (call $malloc (local.get $size)))
    (loop $more
      (if (i32.eq (local.get $n) (local.get $size)) (then
        (local.set $size (i32.shl (local.get $size) (i32.const 1)))
        (local.set $bigger (call $malloc (local.get $size)))
        (if (i32.eqz (local.get $bigger)) (then (unreachable)))
        (memory.copy (local.get $bigger) (local.get $p) (local.get $n))
        (local.set $p (local.get $bigger))))
      (i32.store (local.get $iov) (i32.add (local.get $p) (local.get $n)))
      (i32.store offset=4 (local.get $iov) (i32.sub (local.get $size) (local.get $n)))
      (drop (call $fd_read (i32.const 0) (local.get $iov) (i32.const 1) (i32.add (local.get $iov) (i32.const 8))))
      (local.set $n (i32.add (local.get $n) (i32.load offset=8 (local.get $iov))))
      (br_if $more (i32.load offset=8 (local.get $iov))))
    (call $string (local.get $p) (local.get $n)))

  ;; __nexus(what, …): the numbers are those of nexus/nexus.js.
  (func (export "host_call") (param $name i32) (param $name_n i32) (param $this i32) (param $argc i32) (param $argv i32) (result i32)
    (local $what i32) (local $n i32) (local $p i32)
    (local.set $what (i32.trunc_sat_f64_s (call $float (call $arg (local.get $argv) (i32.const 0)))))
    (local.set $n (call $malloc (i32.const 16)))
    (if (i32.eq (local.get $what) (i32.const 0)) (then (return (call $input))))
    (if (i32.eq (local.get $what) (i32.const 1)) (then (call $write (i32.const 1) (local.get $argv))))
    (if (i32.eq (local.get $what) (i32.const 2)) (then (call $write (i32.const 2) (local.get $argv))))
    (if (i32.eq (local.get $what) (i32.const 3)) (then (global.set $has_failed (i32.const 1))))
    ;;CALLS
    (call $undefined))

  ;; A passive segment's bytes in memory.
  (func $boot (result i32) (local $p i32)
    (local.set $p (call $malloc (i32.const BOOT_BYTES)))
    (memory.init $boot (local.get $p) (i32.const 0) (i32.const BOOT_BYTES))
    (local.get $p))
  (func $main (result i32) (local $p i32)
    (local.set $p (call $malloc (i32.const MAIN_BYTES)))
    (memory.init $main (local.get $p) (i32.const 0) (i32.const MAIN_BYTES))
    (local.get $p))

  ;; Ends the run where a script has thrown.
  (func $check (param $result i32) (param $words i32)
    (if (call $is_exception (local.get $result)) (then
      (drop (call $set (call $global) (i32.add (local.get $words) (i32.const AT_ERROR)) (call $exception)))
      (drop (call $eval (i32.add (local.get $words) (i32.const AT_FAIL)) (i32.const 15) (local.get $words) (i32.const 0)))
      (unreachable))))

  (func $handle_event (export "handle_event") (local $words i32)
    (if (call $init) (then (unreachable)))
    (local.set $words (call $malloc (i32.const WORDS_BYTES)))
    (memory.init $words (local.get $words) (i32.const 0) (i32.const WORDS_BYTES))
    (drop (call $set (call $global) (i32.add (local.get $words) (i32.const AT_NEXUS))
      (call $function (i32.add (local.get $words) (i32.const AT_NEXUS)) (i32.const 7) (i32.const 1))))
    (call $check (call $eval (call $boot) (i32.const BOOT_LEN) (local.get $words) (i32.const 0)) (local.get $words))
    (call $check (call $eval (call $main) (i32.const MAIN_LEN) (i32.add (local.get $words) (i32.const AT_MAIN)) (i32.const 0)) (local.get $words))
    (call $check (call $eval (i32.add (local.get $words) (i32.const AT_RUN)) (i32.const 7) (local.get $words) (i32.const 0)) (local.get $words))
    (loop $jobs
      (if (call $is_pending) (then
        (if (i32.lt_s (call $job) (i32.const 0)) (then (unreachable)))
        (br $jobs))))
    ;; What was thrown stands in the log by now, with its place; the trap makes it the run's outcome.
    (if (global.get $has_failed) (then (unreachable)))))
