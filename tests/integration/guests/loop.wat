(module
  (memory (export "memory") 1)
  (func (export "handle_event") (loop $again (br $again))))
