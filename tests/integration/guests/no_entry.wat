(module
  (memory (export "memory") 1)
  (func (export "something_else")))
