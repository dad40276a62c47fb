"""Random programs: WebAssembly modules that no person wrote, and inputs for them. The same seed gives the same bytes.

A module has a few functions of random arithmetic over all number types (NaNs with any payload among them), memory, tables, loops and
calls, mixed with the host calls of WASI, files among them. Most end well; some trap, exit, recurse until the stack is gone, grow until they may not, or go
on until their time or fuel is over. What they say is a piece of their memory, so a bit that differs anywhere is seen."""

import random

PAGE = 65536
SCRATCH = 8192  # below: host calls' own; from here on: the program's
INTS = ("i32", "i64")
FLOATS = ("f32", "f64")
TYPES = INTS + FLOATS
BITS = {"i32": 32, "i64": 64, "f32": 32, "f64": 64}
BINARY = {
    "int": ("add", "sub", "mul", "and", "or", "xor", "shl", "shr_s", "shr_u", "rotl", "rotr"),
    "trapping": ("div_s", "div_u", "rem_s", "rem_u"),
    "float": ("add", "sub", "mul", "div", "min", "max", "copysign"),
}
UNARY = {"int": ("clz", "ctz", "popcnt", "extend8_s", "extend16_s"), "float": ("abs", "neg", "ceil", "floor", "trunc", "nearest", "sqrt")}
COMPARE = {"int": ("eq", "ne", "lt_s", "lt_u", "gt_s", "ge_u"), "float": ("eq", "ne", "lt", "gt", "le", "ge")}

IMPORTS = """  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (import "wasi_snapshot_preview1" "path_open" (func $open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_unlink_file" (func $unlink (param i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_seek" (func $seek (param i32 i64 i32 i32) (result i32)))
"""


EFFECTS = """  (import "nexus" "kv_get" (func $kv_get (param i32 i32 i32 i32) (result i32)))
  (import "nexus" "kv_put" (func $kv_put (param i32 i32 i32 i32 i32 i32 i64) (result i32)))
  (import "nexus" "kv_delete" (func $kv_delete (param i32 i32 i32 i32 i64) (result i32)))
  (import "nexus" "emit" (func $emit (param i32 i32) (result i32)))
  (import "nexus" "answer_size" (func $answer_size (result i32)))
  (import "nexus" "answer_read" (func $answer_read (param i32 i32 i32) (result i32)))
"""
EMITTED = r"random.made\0a\0asome data"  # as a string of WAT

EFFECT_GRANTS = {"key_value_stores": ["default"], "emit": ["random.>"]}

ENDS = {
    "trap": "(unreachable)",
    "exit": "(call $exit (i32.and (local.get $i320) (i32.const 255)))",
    "endless": "(loop $forever (br $forever))",
    "stack": "(drop (call $deep (i64.const 0)))",
    "memory": "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) (unreachable)",
}


def kind(of):
    return "int" if of in INTS else "float"


class Program:
    """One module. recklessness: the chance of what may trap (an unmasked address, a division, a conversion); ending: one of ENDS;
    has_effects: it also reads and changes what other runs see (needs the grants EFFECT_GRANTS)."""

    def __init__(self, seed, recklessness=0.02, ending=None, has_effects=False):
        self.ending = ending
        self.has_effects = has_effects
        self.random = random.Random(seed)
        self.reckless = recklessness
        self.n_functions = self.random.randint(2, 5)
        self.loops = 0

    # ---- expressions

    def constant(self, of):
        r = self.random
        if of in INTS:
            edge = (0, 1, -1, 2 ** (BITS[of] - 1) - 1, -(2 ** (BITS[of] - 1)), r.randint(-1000, 1000))
            return f"({of}.const {r.choice(edge)})"
        edge = ("0", "-0", "inf", "-inf", "nan", "nan:0x200001", "-nan", "1.5", "-3.25e10", "1e-40", str(r.uniform(-1e6, 1e6)))
        return f"({of}.const {r.choice(edge)})"

    def address(self):
        if self.random.random() < self.reckless / 8:
            return self.expression("i32", 1)
        return f"(i32.add (i32.const {SCRATCH}) (i32.and {self.expression('i32', 1)} (i32.const 4088)))"

    def convert(self, of, depth):
        r = self.random
        other = r.choice([t for t in TYPES if t != of])
        value = self.expression(other, depth - 1)
        if of in INTS and other in INTS:
            return f"(i32.wrap_i64 {value})" if of == "i32" else f"(i64.extend_i32_{r.choice('su')} {value})"
        if of in INTS:
            if BITS[of] == BITS[other] and r.random() < 0.4:
                return f"({of}.reinterpret_{other} {value})"
            how = "trunc" if r.random() < self.reckless else "trunc_sat"
            return f"({of}.{how}_{other}_{r.choice('su')} {value})"
        if other in INTS:
            if BITS[of] == BITS[other] and r.random() < 0.5:
                return f"({of}.reinterpret_{other} {value})"
            return f"({of}.convert_{other}_{r.choice('su')} {value})"
        return f"(f32.demote_f64 {value})" if of == "f32" else f"(f64.promote_f32 {value})"

    def expression(self, of, depth=3):
        r = self.random
        if depth <= 0 or r.random() < 0.2:
            return self.constant(of) if r.random() < 0.35 else f"(local.get ${of}{r.randrange(2)})"
        choice = r.randrange(10)
        sub = lambda: self.expression(of, depth - 1)  # noqa: E731
        if choice < 4:
            ops = BINARY["trapping"] if of in INTS and r.random() < self.reckless else BINARY[kind(of)]
            return f"({of}.{r.choice(ops)} {sub()} {sub()})"
        if choice == 4:
            return f"({of}.{r.choice(UNARY[kind(of)])} {sub()})"
        if choice == 5:
            return f"({of}.load {self.address()})"
        if choice == 6 and of == "i32":
            other = r.choice(TYPES)
            return f"({other}.{r.choice(COMPARE[kind(other)])} {self.expression(other, depth - 1)} {self.expression(other, depth - 1)})"
        if choice == 7:
            return f"(select {sub()} {sub()} {self.expression('i32', depth - 1)})"
        return self.convert(of, depth)

    # ---- statements

    def statement(self, depth):
        r = self.random
        choice = r.randrange(20)
        if choice < 7 or depth <= 0:
            of = r.choice(TYPES)
            return f"(local.set ${of}{r.randrange(2)} {self.expression(of)})"
        if choice < 10:
            of = r.choice(TYPES)
            return f"({of}.store {self.address()} {self.expression(of)})"
        if choice == 10:
            return f"(if {self.expression('i32', 2)} (then {self.block(depth - 1)}) (else {self.block(depth - 1)}))"
        if choice in (11, 12):
            self.loops += 1
            label, k = f"$l{self.loops}", f"$k{depth}"  # a counter for each level of nesting
            return (f"(local.set {k} (i32.const {r.randint(1, 40)})) (loop {label} {self.block(depth - 1)} "
                    f"(br_if {label} (local.tee {k} (i32.sub (local.get {k}) (i32.const 1)))))")
        if choice == 13:
            return f"(local.set $i320 (i32.xor (local.get $i320) (memory.grow (i32.and {self.expression('i32', 1)} (i32.const {r.choice((3, 7, 63))})))))"
        if choice == 14:
            return (f"(memory.copy {self.address()} {self.address()} (i32.const {r.randint(0, 512)}))" if r.random() < 0.5 else
                    f"(memory.fill {self.address()} {self.expression('i32', 1)} (i32.const {r.randint(0, 512)}))")
        if choice == 15:
            return self.call(depth)
        return self.host_call()

    def call(self, depth):
        arguments = f"(i32.sub (local.get $depth) (i32.const 1)) {self.expression('i64', 1)} {self.expression('f64', 1)}"
        index = f"(i32.rem_u {self.expression('i32', 1)} (i32.const {self.n_functions}))"
        return ("(if (i32.gt_s (local.get $depth) (i32.const 0)) (then (local.set $i641 (call_indirect (type $f) " + arguments + f" {index}))))")

    def host_call(self):
        r = self.random
        choice = r.randrange(18 if self.has_effects else 15)
        if choice > 14:
            return self.effect()
        if choice > 11:
            return self.file_call()
        if choice < 4:
            return f"(drop (call $clock (i32.const {r.choice((0, 1, 1, 0, 9))}) (i64.const 0) (i32.const {SCRATCH + 8 * r.randrange(500)})))"
        if choice < 7:
            return f"(drop (call $random (i32.const {SCRATCH + r.randrange(3000)}) (i32.const {r.randint(0, 200)})))"
        if choice == 7:
            return f"(drop (call $environ (i32.const {SCRATCH}) (i32.const {SCRATCH + 4})))"
        if choice < 10:
            fd, n = r.choice((1, 1, 2, 7)), r.randint(0, 60)
            return (f"(i32.store (i32.const 16) (i32.const {SCRATCH + r.randrange(4000)})) (i32.store (i32.const 20) (i32.const {n})) "
                    f"(drop (call $fd_write (i32.const {fd}) (i32.const 16) (i32.const 1) (i32.const 24)))")
        return "(nop)"

    def effect(self):
        """Keys that all programs share, so that what they answer depends on the order of runs."""
        r = self.random
        key, choice = f"(i32.const {128 + 8 * r.randrange(3)}) (i32.const 2)", r.randrange(8)
        expected = f"(i64.const {r.choice((-1, -1, 0, 3))})"
        if choice < 3:
            call = f"(call $kv_get (i32.const 0) (i32.const 0) {key})"
        elif choice < 5:
            call = f"(call $kv_put (i32.const 0) (i32.const 0) {key} (i32.const {SCRATCH + r.randrange(100)}) (i32.const {r.randint(0, 40)}) {expected})"
        elif choice == 5:
            call = f"(call $kv_delete (i32.const 0) (i32.const 0) {key} {expected})"
        elif choice == 6:
            call = f"(call $emit (i32.const 160) (i32.const {len(EMITTED) - 4}))"
        else:
            call = f"(call $answer_read (i32.const {SCRATCH + r.randrange(3000)}) (i32.const 0) (call $answer_size))"
        return f"(local.set $i320 (i32.xor (local.get $i320) {call}))"

    def file_call(self):
        """Opens, reads, moves in and removes files of /tmp, by names at 64 and descriptors that may be open or not."""
        r = self.random
        fd, name = r.randint(4, 7), 64 + 8 * r.randrange(3)
        choice = r.randrange(5)
        if choice < 2:
            return (f"(drop (call $open (i32.const 3) (i32.const 0) (i32.const {name}) (i32.const 5) (i32.const {r.choice((0, 1, 1, 5, 9))}) "
                    f"(i64.const -1) (i64.const -1) (i32.const {r.choice((0, 1))}) (i32.const {SCRATCH + 16})))")
        if choice == 2:
            return f"(drop (call $unlink (i32.const 3) (i32.const {name}) (i32.const 5)))"
        if choice == 3:
            return f"(drop (call $seek (i32.const {fd}) (i64.extend_i32_s {self.expression('i32', 1)}) (i32.const {r.randrange(3)}) (i32.const {SCRATCH + 24})))"
        return (f"(i32.store (i32.const 16) (i32.const {SCRATCH + r.randrange(4000)})) (i32.store (i32.const 20) (i32.const {r.randint(0, 60)})) "
                f"(drop (call ${r.choice(('fd_read', 'fd_write'))} (i32.const {fd}) (i32.const 16) (i32.const 1) (i32.const 24)))")

    def end(self):
        """What ends the run for about a quarter of the inputs."""
        return f"(if (i32.eqz (i32.and (i32.wrap_i64 (local.get $i640)) (i32.const 3))) (then {ENDS[self.ending]}))" if self.ending else ""

    def block(self, depth):
        return " ".join(self.statement(depth) for _ in range(self.random.randint(1, 5)))

    # ---- the module

    def function(self, i):
        names = " ".join(f"(local ${t}1 {t})" for t in TYPES if t != "i64")
        return f"""  (func $f{i} (type $f) (param $depth i32) (param $i640 i64) (param $f640 f64) (result i64)
    (local $i320 i32) (local $f320 f32) (local $i641 i64) {names} (local $k0 i32) (local $k1 i32) (local $k2 i32) (local $k3 i32)
    (local.set $i320 (i32.wrap_i64 (local.get $i640)))
    {self.block(3)}
    {self.end() if i == 0 else ""}
    {self.block(2)}
    (i64.xor (local.get $i640) (i64.xor (local.get $i641) (i64.reinterpret_f64 (local.get $f640)))))
"""

    def wat(self):
        functions = "".join(self.function(i) for i in range(self.n_functions))
        table = " ".join(f"$f{i}" for i in range(self.n_functions))
        return f"""(module
{IMPORTS}{EFFECTS if self.has_effects else ""}  (type $f (func (param i32 i64 f64) (result i64)))
  (memory (export "memory") 2)
  (data (i32.const 64) "tmp/a   tmp/b   tmp/c   ")
  (data (i32.const 128) "k1      k2      k3      ")
  (data (i32.const 160) "{EMITTED}")
  (table funcref (elem {table}))
  (func $deep (param i64) (result i64) (i64.add (i64.const 1) (call $deep (i64.add (local.get 0) (i64.const 1)))))
{functions}  (func (export "handle_event")
    (i32.store (i32.const 0) (i32.const {SCRATCH})) (i32.store (i32.const 4) (i32.const 4096))
    (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
    (i64.store (i32.const {SCRATCH}) (call $f0 (i32.const 6) (i64.load (i32.const {SCRATCH})) (f64.load (i32.const {SCRATCH + 8}))))
    (i32.store (i32.const 0) (i32.const {SCRATCH})) (i32.store (i32.const 4) (i32.const 1024))
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))
"""


def inputs(seed):
    """Endless random inputs, of 0 to 300 bytes."""
    r = random.Random(seed)
    while True:
        yield r.randbytes(r.choice((0, 8, 16, 64, r.randint(1, 300))))
