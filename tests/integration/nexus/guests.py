"""Functions, compiled once per session: Rust by whichever rustc has a WASI target, WAT by wabt, C by clang with wasi-libc."""

import hashlib
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

from .paths import GUESTS


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
    raise AssertionError("no rustc with a WASI target: apt-get install rustc libstd-rust-dev-wasm32")


def run(command):
    result = subprocess.run([str(c) for c in command], capture_output=True, text=True, check=False, timeout=120)
    assert result.returncode == 0, f"{command}\n{result.stdout}{result.stderr}"


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
            run([program, "--target", target, "--crate-type", kind, "--edition", "2021", "-C", "opt-level=2", "-C", "strip=debuginfo",
                 "-C", "panic=abort", *options, "-o", out, source])
        return out

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
