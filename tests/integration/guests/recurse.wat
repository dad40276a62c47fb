;; Recursion without end on the engine's own stack (a language's own stack in linear memory overflows earlier, as a trap).
(module
  (memory (export "memory") 1)
  (func $down (param i64) (result i64)
    (i64.add (call $down (i64.add (local.get 0) (i64.const 1))) (local.get 0)))
  (func (export "handle_event") (drop (call $down (i64.const 1)))))
