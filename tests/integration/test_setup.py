"""Set-up on a machine with a bad network: what it tries again, what it says, and what it goes on without.

The real script, in a copy of the project's scripts with a cache of its own, in which every part but npm's is there already."""

import json
import os
import re
import shutil
import signal
import stat
import subprocess

import pytest

from nexus.node import environment
from nexus.paths import NEXUS, ROOT
from nexus.wait import wait_until

FAKE_NPM = """#!/bin/sh
# The first $FAILURES calls fail with what $SAYS says; then a package is there.
n=$(cat "$CALLS" 2>/dev/null || echo 0)
n=$((n + 1))
echo $n >"$CALLS"
if [ $n -le "$FAILURES" ]; then
    echo "npm error $SAYS" >&2
    exit 1
fi
mkdir -p "$2/node_modules/made-by-test"
"""


@pytest.fixture(name="set_up")
def fixture_set_up(tmp_path):
    parts = (ROOT / ".deps" / "venv").resolve().parent
    shutil.copytree(ROOT / "scripts", tmp_path / "project" / "scripts")
    cache = tmp_path / "cache"
    (cache / "parts").mkdir(parents=True)
    for part in parts.iterdir():
        if not part.name.startswith((".", "npm-")):
            (cache / "parts" / part.name).symlink_to(part)
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text(FAKE_NPM)
    npm.chmod(npm.stat().st_mode | stat.S_IXUSR)

    def run(failures, says, **environment):
        env = {**os.environ, "PATH": f"{npm.parent}:{os.environ['PATH']}", "NEXUS_CACHE": str(cache), "NEXUS_RETRY_SECONDS": "0",
               "CALLS": str(tmp_path / "calls"), "FAILURES": str(failures), "SAYS": says, **environment}
        result = subprocess.run([tmp_path / "project" / "scripts" / "setup", "dev", "test"], env={k: v for k, v in env.items() if v is not None},
                                capture_output=True, text=True, timeout=120, check=False)
        return result, int((tmp_path / "calls").read_text()), tmp_path / "project"

    return run


def test_a_moment_without_network_is_tried_again(set_up):
    result, calls, project = set_up(2, "code ECONNRESET: network aborted")
    assert result.returncode == 0, result.stderr
    assert calls == 3
    assert "test data from npm: the network failed, trying again" in result.stdout and "ECONNRESET" in result.stdout
    assert (project / ".deps" / "node_modules" / "made-by-test").is_dir()
    assert list((project / ".deps").resolve().glob(".stamp-test"))


def test_without_npm_everything_else_is_set_up(set_up):
    """One test's data is no reason to build and test nothing; the next set-up asks for it again."""
    result, calls, project = set_up(3, "code EAI_AGAIN")
    assert result.returncode == 0, result.stderr
    assert calls == 3
    assert "test data from npm failed" in result.stderr and "EAI_AGAIN" in result.stderr
    assert "NODE_EXTRA_CA_CERTS" in result.stderr and "test_github.py will fail" in result.stderr
    assert (project / ".deps" / "bin" / "nats-server").exists()
    assert not list((project / ".deps").resolve().glob(".stamp-test"))
    again, calls, _ = set_up(3, "")
    assert again.returncode == 0 and calls == 4
    assert (project / ".deps" / "node_modules" / "made-by-test").is_dir()


def test_what_is_no_network_trouble_is_said_at_once(set_up):
    result, calls, _ = set_up(1, "code EINTEGRITY sha512 differs")
    assert calls == 1
    assert "test data from npm failed" in result.stderr and "EINTEGRITY" in result.stderr


def test_no_home(set_up):
    result, _, project = set_up(0, "", HOME=None)
    assert result.returncode == 0, result.stderr
    assert "HOME (not set) is no folder that can be written to" in result.stderr
    assert (project / ".home").is_dir()


def test_a_rust_that_can_not_link_is_missing_and_not_root_is_told_what_to_install(set_up, tmp_path):
    """Debian's packages for the target bring its library without a linker; whoever may not install gets the one line that does."""
    (tmp_path / "calls").write_text("0")
    for name, script in {"rust-lld": "exit 1", "id": "echo 1000"}.items():
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    # rustup's toolchains bring a linker of their own, so they must not be found.
    for name in ("rustc", "apt-get"):
        program = tmp_path / "bin" / name
        program.write_text("#!/bin/sh\nexit 1\n")
        program.chmod(0o755)
    result, calls, project = set_up(0, "")
    assert result.returncode != 0 and calls == 0
    assert "setup: this is missing:\n    a Rust that compiles and links for WASI" in result.stderr
    assert re.search(r"sudo apt-get install -y --no-install-recommends .*\blld\b", result.stderr)
    assert not (project / ".deps").exists()


@pytest.mark.skipif(NEXUS != ROOT / "build" / "nexus", reason="make dev runs build/nexus")
def test_make_dev_runs_a_node_and_the_lines_it_prints_work_where_it_was_called(tmp_path):
    flags = f"--listen 127.0.0.1:0 --admin 127.0.0.1:0 --data-dir {tmp_path / 'data'}"
    with subprocess.Popen(["make", "dev", f"ARGS={flags}"], cwd=ROOT, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          start_new_session=True) as made:
        try:
            lines = []
            for line in made.stdout:
                lines.append(line)
                if "Ctrl-C stops" in line:
                    break
            said = "".join(lines)
            curl, events, replay = re.findall(r"^  (.*(?:curl|build/nexus) .*)$", said, re.M)
            tried = {}
            for command in (curl, events):
                tried[command] = subprocess.run(["sh", "-c", command], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=30, check=True)
            event_id = json.loads(tried[curl].stdout)["event_id"]
            assert event_id in tried[events].stdout
            replayed = wait_until(lambda: (r := subprocess.run(["sh", "-c", replay], cwd=ROOT, env=environment(), capture_output=True, text=True, timeout=30,
                                                               check=False)).returncode == 0 and r.stdout, "a replay", on_failure=lambda: said)
            assert f"OK Replaying event {event_id}" in replayed
        finally:
            os.killpg(made.pid, signal.SIGINT)
            made.stdout.read()
