"""WASI preview 1: one case per function, by the specification, in the form of the public suite (WebAssembly/wasi-testsuite): a module, and beside it
a JSON with its `args`, `dirs`, `env`, `root`, `stdin` and what is expected: `exit_code`, `stdout`, `stderr`.

NX_WASI_SUITE=DIR[:DIR…] runs the modules of further folders of that form, as `tests/*/testsuite/wasm32-wasip1` of the public suite."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from nexus.guests import run
from nexus.node import nexus
from nexus.paths import ROOT

CASES = ROOT / "tests" / "integration" / "wasi"
SUITES = [Path(p) for p in os.environ.get("NX_WASI_SUITE", "").split(os.pathsep) if p]
MODULES = sorted(CASES.glob("*.c")) + sorted(m for suite in SUITES for m in suite.rglob("*.wasm"))
# Of the public suite: files that its own cases leave behind and its runner removes.
LEFT_BEHIND = "*.cleanup"


def compiled(case, folder):
    if case.suffix == ".wasm":
        return case
    out = folder / f"{case.stem}.wasm"
    run(["clang", "--target=wasm32-wasi", "-O1", "-Wall", "-Wextra", "-Werror", "-o", out, case])
    return out


def settings_of(case):
    """The older form has its keys at the top, the newer one a list of operations of which `run` has them and `wait` what is expected."""
    file = case.with_suffix(".json")
    found = json.loads(file.read_text()) if file.exists() else {}
    for operation in found.pop("operations", []):
        kind = operation.pop("type")
        if kind == "read":
            found[operation.get("id", "stdout")] = operation["payload"]
        elif kind in ("run", "wait"):
            found.update(operation)
        else:
            pytest.skip(f"an operation of another WASI: {kind}")
    return found


@pytest.mark.parametrize("case", MODULES, ids=lambda m: m.stem)
def test_wasi(case, tmp_path):
    settings = settings_of(case)
    arguments = []
    for key, value in settings.get("env", {}).items():
        arguments += ["--env", f"{key}={value}"]
    for name in [settings["root"]] if "root" in settings else settings.get("dirs", []):
        if not (tmp_path / name).exists():
            shutil.copytree(case.parent / name, tmp_path / name, symlinks=True, ignore=shutil.ignore_patterns(LEFT_BEHIND))
        arguments += ["--dir", f"{name}::/" if "root" in settings else name]
    done = nexus("run", *arguments, "--", compiled(case, tmp_path), *settings.get("args", []), cwd=tmp_path, stdin=settings.get("stdin", ""), check=False)
    assert done.returncode == settings.get("exit_code", 0), f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
    for stream in ("stdout", "stderr"):
        assert settings.get(stream) in (None, getattr(done, stream))


def test_every_function_has_a_case():
    table = (ROOT / "runtime" / "wasi" / "table.c").read_text()
    functions = re.findall(r"^    ROW\((\w+),", table, re.M) + re.findall(r'^    \{\s*"(\w+)",', table, re.M)
    assert len(functions) == 46
    assert [f for f in functions if not (CASES / f"{f}.c").exists()] == []
