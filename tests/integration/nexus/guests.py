"""Functions, compiled once per session: Rust by whichever rustc has a WASI target, WAT by wabt, C by clang with wasi-libc."""

import hashlib
import os
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

from .paths import GUESTS, NEXUS, ROOT


@lru_cache(maxsize=1)
def rustc():
    """(program, target) of the first rustc whose WASI target is really installed."""
    for program in (shutil.which("rustc"), "/usr/bin/rustc"):
        if not program or not Path(program).exists():
            continue
        found = subprocess.run([program, "--print", "sysroot"], capture_output=True, text=True, check=False, timeout=60)
        for target in ("wasm32-wasip1", "wasm32-wasi"):
            if found.returncode == 0 and list(Path(found.stdout.strip()).glob(f"lib/rustlib/{target}/lib/libstd-*")):
                return program, target
    raise AssertionError("no rustc with a WASI target: apt-get install rustc libstd-rust-dev-wasm32 lld")


WELCOME = """use std::io::{Read, Write};
#[no_mangle]
pub extern "C" fn handle_event() {
    let mut s = String::new();
    std::io::stdin().read_to_string(&mut s).unwrap();
    CHANGE
    std::io::stdout().write_all(format!("welcome {}", s).as_bytes()).unwrap();
}
"""

FLUSH = """use std::io::Write;
#[no_mangle]
pub extern "C" fn __nexus_flush() {
    let _ = std::io::stdout().flush();
}
"""


def run(command, **options):
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, timeout=120, **options)
    assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"


def with_packages(folder):
    """Gives a project that has package.json what `npm ci` would bring, from set-up's cache; any other project stays as it is."""
    if (Path(folder) / "package.json").exists():
        (Path(folder) / "node_modules").symlink_to((ROOT / ".deps" / "node_modules").resolve())
    return folder


class Guests:
    """Compiles into one folder; the same source with the same options is compiled once."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def _output(self, source, *options):
        key = hashlib.sha256("\0".join([Path(source).read_text(), *options]).encode()).hexdigest()[:12]
        return self.folder / f"{Path(source).stem}-{key}.wasm"

    def rust(self, source, *, kind="cdylib", options=()):
        """kind cdylib: exports handle_event; bin: _start."""
        source = source if Path(source).is_absolute() else GUESTS / source
        out = self._output(source, kind, *options)
        if not out.exists():
            program, target = rustc()
            flush = ["-C", f"link-arg={self._flush()}", "-C", "link-arg=--export=__nexus_flush"] if kind == "cdylib" else []
            run([program, "--target", target, "--crate-type", kind, "--edition", "2021", "-C", "opt-level=2", "-C", "strip=debuginfo",
                 *flush, *options, "-o", out, source])
        return out

    def welcome(self, *changes):
        """A function that answers its input, `s`, with a greeting before it: a module for each change of it."""
        made = []
        for change in changes:
            source = self.folder / "welcome.rs"
            source.write_text(WELCOME.replace("CHANGE", change))
            made.append(self.rust(source))
        return made

    def _flush(self):
        """What `nexus build` adds too: a library of Rust has no end of main() that writes out the rest of stdout's buffer."""
        out = self.folder / "flush.o"
        if not out.exists():
            program, target = rustc()
            (self.folder / "flush.rs").write_text(FLUSH)
            run([program, "--target", target, "--crate-type", "lib", "--edition", "2021", "-O", "--emit=obj", "-o", out, self.folder / "flush.rs"])
        return out

    def mission(self):
        """The mission's function, verbatim, in a project of `nexus new`, by `nexus build`."""
        project = self.folder / "mission"
        wasm = project / "build" / "welcome.wasm"
        if not wasm.exists():
            env = {k: v for k, v in os.environ.items() if not k.startswith("NEXUS_")}
            run([NEXUS, "new", "mission", "--lang=rust"], cwd=self.folder, env=env)
            shutil.copy(GUESTS / "mission.rs", project / "src" / "lib.rs")
            run([NEXUS, "build"], cwd=project, env=env)
        return wasm

    def wat(self, source, **replaced):
        """Names in capitals in the source are replaced by keyword arguments."""
        text = (GUESTS / source).read_text()
        for name, value in replaced.items():
            text = text.replace(name, str(value))
        key = hashlib.sha256(text.encode()).hexdigest()[:12]
        out = self.folder / f"{Path(source).stem}-{key}.wasm"
        if not out.exists():
            made = self.folder / f"{out.stem}.wat"
            made.write_text(text)
            run(["wat2wasm", made, "-o", out])
        return out

    def c(self, source, *options):
        source = source if Path(source).is_absolute() else GUESTS / source
        out = self._output(source, *options)
        if not out.exists():
            run(["clang", "--target=wasm32-wasi", "-O2", "-mexec-model=reactor", "-Wl,--export=handle_event", *options, "-o", out, source])
        return out
