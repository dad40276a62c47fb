"""scripts/run-tests: the end of its output tells what failed, however much stands above it."""

import subprocess

from nexus.paths import ROOT

CMOCKA = """#!/bin/sh
echo '[ RUN      ] test_holds'
echo '[       OK ] test_holds'
echo '[ RUN      ] test_breaks'
echo '[  FAILED  ] test_breaks'
echo '[==========] tests: 2 test(s) run.'
echo '[  PASSED  ] 1 test(s).'
echo '[  FAILED  ] tests: 1 test(s), listed below:'
echo '[  FAILED  ] test_breaks'
exit 1
"""

PYTEST = """import pytest

def test_holds(): pass

@pytest.mark.parametrize("n", [1, 2])
def test_breaks(n): assert n == 1, "failed: not a name"

@pytest.fixture
def broken(): raise OSError

def test_has_no_fixture(broken): pass
"""


def last_lines(*arguments, build):
    result = subprocess.run([ROOT / "scripts" / "run-tests", "--build-dir", build, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1, result.stdout + result.stderr
    return result.stdout.splitlines()


def test_failed_unit_tests_are_named_at_the_end(tmp_path):
    for name, script in {"test_whole": CMOCKA, "test_dies": "#!/bin/sh\nkill -SEGV $$\n"}.items():
        (tmp_path / name).write_text(script)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "CTestTestfile.cmake").write_text("".join(f"add_test({name} {tmp_path / name})\n" for name in ("test_whole", "test_dies")))
    *_, before, first, second, count = last_lines("--unit", build=tmp_path)
    assert not before.startswith("failed: ")
    assert {first, second} == {"failed: test_whole: test_breaks", "failed: test_dies"}
    assert count == "1 passed, 2 failed"


def test_failed_integration_tests_are_named_at_the_end(tmp_path):
    (tmp_path / "test_some.py").write_text(PYTEST)
    *_, before, first, second, count = last_lines("--integration", str(tmp_path / "test_some.py"), build=tmp_path)
    assert not before.startswith("failed: ")
    assert first.endswith("test_some.py::test_breaks[2]") and second.endswith("test_some.py::test_has_no_fixture")
    assert count == "2 passed, 2 failed"
