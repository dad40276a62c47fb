"""Bundles: a recorded run as one file, repeated without a node, an event log or a network; and bundles as regression tests."""

import json
import os
import shutil
import subprocess
import threading
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
from nexus import processes
from nexus.node import Node, Project, environment, function, lines_of, nexus
from nexus.paths import NEXUS, ROOT

CASES = Path(__file__).parent / "cases"

SDK = ("-I", str(ROOT / "sdk" / "c"))
ADD = """int puts(const char *); int getchar(void);
void handle_event(void) { puts("{\\"total\\": %d, \\"items\\": [1, 2]}"); }
"""


@pytest.fixture(scope="module")
def node(module_project, guests):
    probe = module_project.module(guests.rust("probe.rs"))
    module_project.write({"functions": [
        function("probe", probe, timeout="10s", env={"COLOUR": "red"}),
        function("quick", probe, timeout="200ms"),
        function("small", probe, memory="4Mi"),
        function("deep", module_project.module(guests.wat("recurse.wat"))),
        function("whole", probe, input="cloudevent"),
        function("emits", probe, output={"event": "emitted"}),
        function("world", module_project.module(guests.c("world.c"))),
        function("calls", module_project.module(guests.c("calls.c", *SDK)), key_value_stores=["counters"], emit=["counted"]),
        function("twin-a", probe, on={"event": "twin"}),
        function("twin-b", probe, on={"event": "twin"}),
    ]})
    with Node(module_project) as node:
        yield node


@pytest.fixture
def home(tmp_path):
    """An environment with a cache of its own."""
    return environment(XDG_CACHE_HOME=tmp_path / "cache")


def bundle(node, what, file, *arguments, **options):
    return node.nexus("bundle", what, "-o", file, *arguments, **options)


def replay(file, *arguments, env=None, check=True):
    result = nexus("replay", file, *arguments, "--json", env=env, check=check)
    return lines_of(result.stdout)[0]


@pytest.mark.parametrize("name, content, status", [
    ("probe", "plain text", "ok"),
    ("probe", "", "ok"),
    ("probe", "binary", "ok"),
    ("probe", "env", "ok"),
    ("probe", "world", "ok"),
    ("probe", "log 50", "ok"),
    ("probe", "output 300000", "ok"),
    ("probe", "sleep 900", "ok"),
    ("whole", '{"a": 1}', "ok"),
    ("emits", "an event", "ok"),
    ("probe", "trap", "error"),
    ("probe", "exit 7", "error"),
    ("deep", "", "error"),
    ("small", "grow 64", "error"),
    ("quick", "spin", "timeout"),
])
def test_bundle_of_every_outcome_repeats_identically_without_a_node(node, home, tmp_path, name, content, status):
    event_id = node.publish(name, content)
    run = node.run_of(event_id)
    assert run["status"] == status
    bundle(node, event_id, tmp_path / "case.nxb", *(["--function", name] if name == "emits" else []))
    again = replay(tmp_path / "case.nxb", env=home)
    assert again["verdict"] == "identical", again
    assert again["status"] == status
    assert again["run_id"] == run["run_id"]
    if name != "deep":
        assert again["fuel"] == run["fuel"] and again["fuel_comparable"]


def test_recorded_answers_are_played_back_without_a_node(node, home, tmp_path, guests):
    for _ in range(2):
        event_id = node.publish("calls", "x")
        record = node.whole_run(node.run_of(event_id)["run_id"])
    assert [e["name"] for e in record["effects"]] == ["kv.get", "kv.put"] and '"seen": 1' in record["output"]
    (tmp_path / "cases").mkdir()
    bundle(node, event_id, tmp_path / "cases" / "case.nxb")
    verdict = replay(tmp_path / "cases" / "case.nxb", env=home)
    assert verdict["verdict"] == "identical" and verdict["output"] == record["output"]
    # The same output, another emitted event: a test sees it.
    other = guests.c("calls.c", *SDK, "-DSTEP=7")
    failed = nexus("test", "--cases", tmp_path / "cases", "--against", other, "--json", env=home, check=False)
    assert failed.returncode == 10
    assert lines_of(failed.stdout)[0]["reason"] == "emitted event 0: recorded counted, replayed counted, the content differs"


def test_bundle_of_a_run_id_is_the_same(node, tmp_path):
    event_id = node.publish("world", "x")
    run = node.run_of(event_id)
    (of_event,) = node.json("bundle", event_id, "-o", tmp_path / "event.nxb")
    (of_run,) = node.json("bundle", run["run_id"], "-o", tmp_path / "run.nxb")
    assert of_event["run_id"] == of_run["run_id"] == run["run_id"]
    assert of_run["event_id"] == event_id and of_run["function"] == "world" and of_run["status"] == "ok"
    assert (tmp_path / "run.nxb").stat().st_size == of_run["size_bytes"]
    assert (tmp_path / "run.nxb").stat().st_mode & 0o077 == 0  # what is in the event is not everybody's


def test_several_functions_are_asked_for(node, tmp_path):
    event_id = node.publish("twin", "env")
    node.wait_runs(event_id, 2)
    refused = bundle(node, event_id, tmp_path / "case.nxb", check=False)
    assert refused.returncode == 5
    assert "twin-a" in refused.stderr and "twin-b" in refused.stderr and "--function" in refused.stderr
    assert not list(tmp_path.iterdir())
    bundle(node, event_id, tmp_path / "case.nxb", "--function", "twin-b")
    assert replay(tmp_path / "case.nxb")["function"] == "twin-b"


def test_what_is_not_there_is_exit_code_4(node, tmp_path):
    assert bundle(node, "01ARZ3NDEKTSV4RRFFQ69G5FAV", tmp_path / "x.nxb", check=False).returncode == 4
    event_id = node.publish("nobody.takes.this", "x")
    refused = bundle(node, event_id, tmp_path / "x.nxb", check=False)
    assert refused.returncode == 4 and "no recorded run" in refused.stderr
    assert nexus("replay", tmp_path / "x.nxb", check=False).returncode == 4


def test_a_replay_is_not_bundled(node, tmp_path):
    event_id = node.publish("probe", "x")
    run = node.run_of(event_id)
    (verdict,) = node.replay(event_id)
    refused = bundle(node, verdict["replay_run_id"], tmp_path / "x.nxb", check=False)
    assert refused.returncode == 5 and run["run_id"] in refused.stderr


def test_default_name_is_function_and_event(node, tmp_path):
    event_id = node.publish("world", "x")
    node.run_of(event_id)
    (made,) = node.json("bundle", event_id, "-o", tmp_path)
    assert Path(made["file"]) == tmp_path / f"world-{event_id[-8:]}.nxb"
    assert Path(made["file"]).exists()


def test_what_is_no_file_is_written_to_and_not_replaced(node, tmp_path):
    event_id = node.publish("world", "x")
    node.run_of(event_id)
    pipe, read = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    node.nexus("bundle", event_id, "-o", pipe)
    reader.join(20)
    assert pipe.is_fifo() and read[0].startswith(b"NXB1")
    full = node.nexus("bundle", event_id, "-o", "/dev/full", check=False)
    assert full.returncode != 0 and "No space left" in full.stderr and Path("/dev/full").is_char_device()


def test_repeats_without_server_and_network(node, home, tmp_path):
    """In a network namespace with nothing in it, and seen by its children: no nats-server, nothing but the compiler."""
    event_id = node.publish("probe", "world")
    answer = node.whole_run(node.run_of(event_id)["run_id"])["output"]
    bundle(node, event_id, tmp_path / "case.nxb")
    (tmp_path / "empty").mkdir()
    can_trace = shutil.which("strace") and os.environ.get("NX_SANITIZER") != "address"  # LeakSanitizer is a tracer itself
    traced = ["strace", "-f", "-e", "trace=execve,socket", "-o", str(tmp_path / "calls")] if can_trace else []
    apart = processes.without_network()
    assert traced or apart, "neither strace nor unshare works here"
    result = subprocess.run([*apart, *traced, NEXUS, "replay", tmp_path / "case.nxb", "--json"], cwd=tmp_path / "empty",
                            env={**home, "ASAN_OPTIONS": "detect_leaks=0"},  # a sanitizer's leak check can't work under strace
                            capture_output=True, text=True, check=False, timeout=60)
    assert result.returncode == 0, result.stdout + result.stderr
    verdict = json.loads(result.stdout)
    assert verdict["verdict"] == "identical" and verdict["output"] == answer
    if traced:
        calls = (tmp_path / "calls").read_text()
        assert "nats-server" not in calls
        assert "socket(AF_INET" not in calls and "socket(AF_UNIX" not in calls
    assert list((tmp_path / "empty").iterdir()) == []  # nothing is left where it was called
    # Only the nodes of this module are left (a server that outlived its parent would be a child of this process now).
    assert not [p for p in processes.children(os.getpid()) if b"nats-server" in b" ".join(processes.command_line(p))]


def test_second_replay_finds_the_compiled_code(node, home, tmp_path):
    event_id = node.publish("world", "x")
    node.run_of(event_id)
    bundle(node, event_id, tmp_path / "case.nxb")
    replay(tmp_path / "case.nxb", env=home)
    (compiled,) = (tmp_path / "cache" / "nexus" / "compiled").iterdir()
    made = compiled.stat().st_ino
    replay(tmp_path / "case.nxb", env=home)
    assert [p.stat().st_ino for p in (tmp_path / "cache" / "nexus" / "compiled").iterdir()] == [made]


def test_replay_without_a_home_leaves_nothing_behind(node, tmp_path):
    event_id = node.publish("world", "x")
    node.run_of(event_id)
    bundle(node, event_id, tmp_path / "case.nxb")
    left = lambda: set(Path("/tmp").glob("nexus-??????"))  # noqa: E731
    before = left()
    verdict = replay(tmp_path / "case.nxb", env=environment(HOME="/nonexistent", XDG_CACHE_HOME=None))
    assert verdict["verdict"] == "identical"
    assert left() - before == set()


def test_replay_for_people(node, home, tmp_path):
    event_id = node.publish("probe", "say one line")
    run = node.run_of(event_id)
    bundle(node, event_id, tmp_path / "case.nxb")
    lines = nexus("replay", tmp_path / "case.nxb", "--show-output", env=home).stdout.splitlines()
    assert lines[0] == f"OK Replaying event {event_id}"
    assert f"[trace={run['trace_id']}-replay] one line" in lines
    assert any("identical" in line for line in lines)
    assert any(line.startswith("output of probe:") for line in lines)


def test_other_code_diverges_and_other_function_is_refused(node, home, guests, tmp_path):
    event_id = node.publish("world", "x")
    node.run_of(event_id)
    bundle(node, event_id, tmp_path / "case.nxb")
    other = nexus("replay", tmp_path / "case.nxb", "--against", guests.wat("answer.wat", TEXT="hello", LENGTH=5), "--json", env=home, check=False)
    assert other.returncode == 10
    assert json.loads(other.stdout)["verdict"] == "diverged"
    refused = nexus("replay", tmp_path / "case.nxb", "--function", "probe", env=home, check=False)
    assert refused.returncode == 4 and "world" in refused.stderr


def test_damaged_bundle_is_exit_code_65(node, home, tmp_path):
    event_id = node.publish("world", "x")
    node.run_of(event_id)
    bundle(node, event_id, tmp_path / "case.nxb")
    whole = (tmp_path / "case.nxb").read_bytes()
    for name, content in {"cut": whole[:-1], "longer": whole + b"x", "changed": whole[:700] + bytes([whole[700] ^ 1]) + whole[701:],
                          "empty": b"", "text": b"hello"}.items():
        (tmp_path / f"{name}.nxb").write_bytes(content)
        refused = nexus("replay", tmp_path / f"{name}.nxb", env=home, check=False)
        assert refused.returncode == 65, (name, refused.stderr)
        assert "bundle: " in refused.stderr and f"{name}.nxb" in refused.stderr


# ---- nexus test


@pytest.fixture
def tested(tmp_path, guests, home):
    """A project whose function answers a number, and one recorded case of it."""
    project = Project(tmp_path / "project")

    def code(total):
        source = tmp_path / f"add{total}.c"
        source.write_text(ADD % total)
        return project.module(guests.c(source), "add.wasm")

    project.write({"functions": [function("add", code(12))]})
    with Node(project) as node:
        event_id = node.publish("add", b"x")
        node.run_of(event_id)
        (project.dir / "tests" / "cases").mkdir(parents=True)
        node.nexus("bundle", event_id, "-o", "tests/cases/twelve.nxb")
    project.code = code
    project.env = home
    return project


def test_test_passes_with_the_code_that_was_recorded(tested):
    result = tested.nexus("test", env=tested.env)
    assert "tests/cases/twelve.nxb  add" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("1 case: 1 passed, 0 failed, 0 broken, in ")
    (case,) = lines_of(tested.nexus("test", "--exact", "--json", env=tested.env).stdout)
    assert case["case"] == "tests/cases/twelve.nxb" and case["result"] == "passed" and case["reason"] == ""
    assert case["fuel"] == case["recorded_fuel"]


def test_test_names_what_changed_in_json(tested):
    tested.code(13)
    result = tested.nexus("test", "--json", "--junit", "report.xml", env=tested.env, check=False)
    assert result.returncode == 10
    (case,) = lines_of(result.stdout)
    assert case["result"] == "failed" and case["reason"] == "output: total: 12 -> 13"
    suite = ElementTree.parse(tested.dir / "report.xml").getroot().find("testsuite")
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("1", "1", "0")
    one = suite.find("testcase")
    assert one.get("name") == "tests/cases/twelve.nxb" and one.get("classname") == "add"
    assert one.find("failure").get("message") == "output: total: 12 -> 13"
    for people in (tested.nexus("test", env=tested.env, check=False),):
        assert people.returncode == 10 and "total: 12 -> 13" in people.stdout and "1 failed" in people.stdout
    # The code of the bundle itself is as it was.
    assert tested.nexus("test", "--against", "recorded", env=tested.env).returncode == 0


def test_test_against_a_file_with_and_without_exact(tested, guests, tmp_path):
    source = tmp_path / "longer.c"
    source.write_text('#include <stdio.h>\nvoid handle_event(void) { fflush(stdout); volatile int n = 0; for (int i = 0; i < 1000; i++) n += i;'
                      ' puts("{\\"total\\": 12, \\"items\\": [1, 2]}"); fflush(stdout); }\n')
    other = guests.c(source)
    assert tested.nexus("test", "--against", other, env=tested.env).returncode == 0
    exact = tested.nexus("test", "--against", other, "--exact", "--json", env=tested.env, check=False)
    assert exact.returncode == 10
    assert lines_of(exact.stdout)[0]["reason"].startswith(("fuel: recorded ", "host calls: recorded "))


def test_test_reports_what_it_cannot_run(tested):
    (tested.dir / "tests/cases/broken.nxb").write_bytes(b"NXB1 and no more")
    result = tested.nexus("test", "--junit", "report.xml", env=tested.env, check=False)
    assert result.returncode == 1
    assert result.stdout.splitlines()[-1].startswith("2 cases: 1 passed, 0 failed, 1 broken, in ")
    suite = ElementTree.parse(tested.dir / "report.xml").getroot().find("testsuite")
    assert suite.get("errors") == "1"
    assert "bundle: " in suite.find("testcase/error").get("message")


def test_test_without_its_function_cases_or_project(tested, tmp_path):
    text = tested.file.read_text()
    tested.write(text.replace("name: add", "name: plus").replace("/events/add", "/events/plus"))
    missing = tested.nexus("test", env=tested.env, check=False)
    assert missing.returncode == 1 and "no function 'add'" in missing.stdout
    (tmp_path / "none").mkdir()
    empty = nexus("test", "--cases", tmp_path / "none", env=tested.env, check=False)
    assert empty.returncode == 4 and "nexus bundle" in empty.stderr
    assert nexus("test", "--cases", tmp_path / "gone", env=tested.env, check=False).returncode == 4
    assert nexus("test", "--cases", tested.dir / "tests/cases", cwd=tmp_path / "none", env=tested.env, check=False).returncode == 4


def test_recordings_made_earlier_repeat_identically(home):
    """Files made by earlier builds: what was recorded once repeats for good."""
    assert len(list(CASES.glob("*.nxb"))) >= 3
    result = nexus("test", "--cases", CASES, "--against", "recorded", "--json", env=home)
    assert {c["result"] for c in lines_of(result.stdout)} == {"passed"}
    for case in sorted(CASES.glob("*.nxb")):
        verdict = replay(case, env=home)
        assert verdict["verdict"] == "identical", verdict


@pytest.mark.skipif(not os.environ.get("NEXUS_RELEASE_BIN"), reason="NEXUS_RELEASE_BIN names no release binary")
def test_recording_of_a_release_repeats_with_this_build(guests, home, tmp_path):
    release = os.environ["NEXUS_RELEASE_BIN"]
    made_here, made_there = tmp_path / "here.nxb", tmp_path / "there.nxb"
    project = Project(tmp_path / "project")
    project.write({"functions": [function("probe", project.module(guests.rust("probe.rs")))]})

    class Release(Node):
        def launch(self):
            from nexus import node as module
            own, module.NEXUS = module.NEXUS, release
            try:
                return super().launch()
            finally:
                module.NEXUS = own

    with Release(project) as node:
        event_id = node.publish("probe", "world")
        node.run_of(event_id)
        bundle(node, event_id, made_there)
    assert replay(made_there, env=home)["verdict"] == "identical"
    with Node(project) as node:
        event_id = node.publish("probe", "world")
        node.run_of(event_id)
        bundle(node, event_id, made_here)
    there = subprocess.run([release, "replay", made_here, "--json"], env=home, capture_output=True, text=True, check=False, timeout=60)
    assert json.loads(there.stdout)["verdict"] == "identical", there.stdout + there.stderr
