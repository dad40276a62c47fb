(module
  (import "env" "launch_rocket" (func $f))
  (memory (export "memory") 1)
  (func (export "handle_event") (call $f)))
