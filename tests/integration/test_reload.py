"""`nexus dev` follows the files: whole or not at all, quickly, and says what changed."""

import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest
import yaml
from nexus import nats
from nexus.node import Node, Project, environment, function
from nexus.paths import NEXUS, nats_server
from nexus.wait import SLOW, Stopwatch, pause, undisturbed, wait_until

RELOAD_S = 3.0 * SLOW  # for one save, on a machine that may be busy
USUAL_RELOAD_S = 0.3


@pytest.fixture
def node(project, guests):
    project.write({"functions": [function("one", project.module(guests.wat("answer.wat", TEXT="one", LENGTH=3), "one.wasm"), respond="sync")]})
    with Node(project) as node:
        assert node.post("one", "").text == "one"
        yield node


def answered(node, name, text):
    """How long it takes until a route answers so."""
    with Stopwatch() as watch:
        wait_until(lambda: node.post(name, "").text == text, f"{name} to answer {text!r}", 10, every=0.005, on_failure=node.log)
    print(f"reloaded in {watch.ms:.0f} ms")
    return watch.s


def test_new_module_is_served_at_once(node, guests):
    node.project.module(guests.wat("answer.wat", TEXT="two", LENGTH=3), "one.wasm")
    assert answered(node, "one", "two") < RELOAD_S


def test_reloads_take_less_than_300_ms(node, guests):
    took, nothing, path = [], [], "one"
    for i in range(5):
        with Stopwatch() as watch:
            node.nexus("version")
        nothing.append(watch.s)
        node.project.module(guests.wat("answer.wat", TEXT=f"m{i}", LENGTH=2), "one.wasm")
        took.append(answered(node, path, f"m{i}"))
        path = f"/save/{i}"
        node.project.write(re.sub(r"path: .*", f"path: {path}", node.project.file.read_text()))
        took.append(answered(node, path, f"m{i}"))
    assert undisturbed(took) < max(USUAL_RELOAD_S * SLOW, 30 * undisturbed(nothing)), [f"{s * 1000:.0f} ms" for s in took]


def test_module_written_in_place_is_served(node, guests):
    content = guests.wat("answer.wat", TEXT="six", LENGTH=3).read_bytes()
    with open(node.project.dir / "one.wasm", "r+b") as f:
        f.truncate(0)
        for i in range(0, len(content), 100):  # slowly: half a module is never served
            f.write(content[i:i + 100])
            f.flush()
            pause(0.02)
            assert node.post("one", "").text in ("one", "six")
    assert answered(node, "one", "six") < RELOAD_S


def test_new_function_is_served_at_once(node, guests):
    project = node.project
    two = function("two", project.module(guests.wat("answer.wat", TEXT="II", LENGTH=2), "two.wasm"), respond="sync")
    project.write({"functions": [function("one", "./one.wasm", respond="sync"), two]})
    assert answered(node, "two", "II") < RELOAD_S
    node.wait_log("two")
    assert node.post("one", "").text == "one"


def test_saved_in_place_is_taken_like_renamed(node):
    text = node.project.file.read_text()
    node.project.file.write_text(text.replace("path: /events/one", "path: /renamed"))
    assert answered(node, "/renamed", "one") < RELOAD_S
    os.utime(node.project.file)
    assert node.post("/renamed", "").text == "one"


def test_removed_function_is_gone(node, guests):
    project = node.project
    project.write({"functions": [function("two", project.module(guests.wat("answer.wat", TEXT="II", LENGTH=2), "two.wasm"), respond="sync")]})
    answered(node, "two", "II")
    assert [f["name"] for f in node.api_list("functions")] == ["two"]
    event_id = node.publish("one", "x")  # a type that nobody takes now
    assert node.runs(event=event_id) == []


def test_broken_save_keeps_the_last_good_configuration(node):
    good = node.project.file.read_text()
    node.project.write(good.replace("respond: sync", "respond: sink\n  timout: 5s"))
    node.wait_log("respond")
    text = node.wait_log("timout") and node.log()
    assert "nexus.yaml:" in text and "sync" in text
    assert node.post("one", "").text == "one"
    # What ran all the time is no change, but whoever mended the file wants to hear that it is mended.
    node.project.write(good)
    node.wait_log("valid again, and the same as what runs: nothing changed")
    # ... and the next good save is taken.
    node.project.write(good.replace("path: /events/one", "path: /fixed"))
    assert answered(node, "/fixed", "one") < RELOAD_S


def test_settings_that_need_a_restart_are_named(node):
    settings = yaml.safe_load(node.project.file.read_text())
    node.project.write({**settings, "http": {"head_timeout": "3s"}, "dedupe_window": "5m", "ingest": {"strict": True}})
    node.wait_log("http.head_timeout changed: takes effect when the node is started again")
    node.wait_log("dedupe_window changed: takes effect when the node is started again")
    assert "ingest.strict changed" not in node.log()
    assert node.post("nobody.takes.this", "x").status_code == 404


def test_broken_module_keeps_the_last_good_one(node, guests):
    (node.project.dir / "one.wasm").write_bytes(b"\0asm\1\0\0\0garbage")
    node.wait_log("one")
    wait_until(lambda: any(w in node.log() for w in ("WARN", "ERROR")), "a complaint", on_failure=node.log)
    assert node.post("one", "").text == "one"
    (node.project.dir / "one.wasm").unlink()
    pause(0.5)
    assert node.post("one", "").text == "one"
    node.project.module(guests.wat("answer.wat", TEXT="new", LENGTH=3), "one.wasm")
    assert answered(node, "one", "new") < RELOAD_S


def test_half_good_change_is_taken_not_at_all(node, guests):
    project = node.project
    good = function("two", project.module(guests.wat("answer.wat", TEXT="II", LENGTH=2), "two.wasm"), respond="sync")
    bad = function("bad", project.module(guests.wat("no_entry.wat"), "bad.wasm"))
    project.write({"functions": [function("one", "./one.wasm", respond="sync"), good, bad]})
    node.wait_log("bad")
    wait_until(lambda: "handle_event" in node.log(), "the reason", on_failure=node.log)
    assert [f["name"] for f in node.api_list("functions")] == ["one"]
    assert node.post("one", "").text == "one"


def test_change_that_the_log_refuses_leaves_every_function_its_own_events(project, guests):
    """Filters of consumers are changed one after the other: where one is refused, those before it are changed back."""
    module = project.module(guests.wat("answer.wat", TEXT="one", LENGTH=3), "one.wasm")
    project.write({"functions": [function("one", module, on={"event": "first.type"})]})
    with Node(project) as node:
        # A consumer that delivers by itself can't become one that is asked.
        nats.make_consumer(nats.private_url(node.project.data_dir), "NX_EVENTS_default", "fn-two",
                           deliver_subject="somewhere.else", filter_subject="nx.default.ev.*.x")
        project.write({"functions": [function("one", module, on={"event": "second.type"}),
                                     function("two", module, on={"event": "x"})]})
        node.wait_log("function 'two'")
        assert [f["name"] for f in node.api_list("functions")] == ["one"]
        assert node.run_of(node.publish("/events/first.type", "x"))["status"] == "ok"


def test_settings_change_makes_another_dev_version(node):
    before = node.api_list("functions")[0]["version"]
    text = node.project.file.read_text()
    node.project.write(text + "  timeout: 7s\n")
    wait_until(lambda: node.api_list("functions")[0]["version"] != before, "another version", on_failure=node.log)
    event_id = node.publish("/events/one", "x", headers={"Prefer": "respond-async"})
    assert node.run_of(event_id)["version"] == node.api_list("functions")[0]["version"]


def test_quick_saves_end_with_the_last(node, guests):
    modules = [guests.wat("answer.wat", TEXT=f"n{i:02}", LENGTH=3) for i in range(20)]
    for module in modules:
        node.project.module(module, "one.wasm")
    answered(node, "one", "n19")
    pause(0.3)
    assert node.post("one", "").text == "n19"


def test_no_request_fails_during_reloads(node, guests):
    import threading
    stop, seen, failed = threading.Event(), set(), []

    def load():
        import httpx
        with httpx.Client(timeout=30) as client:
            while not stop.is_set():
                answer = client.post(f"{node.url}/events/one")
                if answer.status_code != 200:
                    failed.append((answer.status_code, answer.text))
                seen.add(answer.text)

    thread = threading.Thread(target=load)
    thread.start()
    try:
        for i in range(8):
            node.project.module(guests.wat("answer.wat", TEXT=f"v{i}", LENGTH=2), "one.wasm")
            wait_until(lambda i=i: f"v{i}" in seen, f"v{i}", 10, on_failure=node.log)
    finally:
        stop.set()
        thread.join()
    assert not failed, failed[:3]


def test_build_command_runs_on_source_change(project):
    source = project.dir / "src" / "main.rs"
    source.parent.mkdir(parents=True)

    def write(text):
        source.write_text('#[no_mangle]\npub extern "C" fn handle_event() { println!("%s"); }\n' % text)

    write("first")
    project.write({"functions": [function("built", "./build/built.wasm", respond="sync", build={
        "command": "$RUSTC --target $NEXUS_WASI_TARGET --crate-type cdylib -C opt-level=1 -o build/built.wasm src/main.rs", "watch": ["src"]})]})
    with Node(project) as node:
        assert node.post("built", "").text == "first\n"
        write("second")
        wait_until(lambda: node.post("built", "").text == "second\n", "the rebuilt function", 30, on_failure=node.log)
        source.write_text("this is not Rust\n")
        node.wait_log("error", 30)
        assert node.post("built", "").text == "second\n"
        write("third")
        wait_until(lambda: node.post("built", "").text == "third\n", "the repaired function", 30, on_failure=node.log)


@pytest.mark.parametrize("after", ["replaced", "gone"])
def test_builds_go_on_when_the_program_was_replaced(project, tmp_path, after):
    """An upgrade while `nexus dev` runs: builds get rustc by a link to the program."""
    program = tmp_path / "nexus"
    shutil.copy(NEXUS, program)
    source = project.dir / "main.rs"
    source.write_text('#[no_mangle]\npub extern "C" fn handle_event() { print!("first"); }\n')
    config = {"functions": [function("built", "./built.wasm", respond="sync", build={
        "command": "$RUSTC --target $NEXUS_WASI_TARGET --crate-type cdylib -C opt-level=1 -o built.wasm main.rs", "watch": ["main.rs"]})]}
    project.write(config)
    with Node(project, wrapper=["bash", "-c", f'shift; exec {program} "$@"', "as"], env={"NEXUS_NATS_SERVER": nats_server()}) as node:
        assert node.post("built", "").text == "first"
        program.unlink()
        if after == "replaced":
            shutil.copy(NEXUS, program)
        config["functions"][0]["timeout"] = "7s"
        project.write(config)
        node.wait_log("reloaded", 30)
        source.write_text(source.read_text().replace("first", "second"))
        wait_until(lambda: node.post("built", "").text == "second", "the rebuilt function", 30, on_failure=node.log)


def test_first_build_that_fails_waits_for_a_save(project):
    """Nothing can run yet, but whoever saves the repaired source finds the node up."""
    source = project.dir / "src" / "main.rs"
    source.parent.mkdir(parents=True)
    source.write_text("this is not Rust\n")
    good = {"functions": [function("built", "./build/built.wasm", respond="sync", build={
        "command": "$RUSTC --target $NEXUS_WASI_TARGET --crate-type cdylib -C opt-level=1 -o build/built.wasm src/main.rs", "watch": ["src"]})]}
    project.write(good)
    node = Node(project)
    node.launch()
    try:
        node.wait_log("waiting for the next save", 30)
        project.write("version: v1\nfunctions: 7\n")
        node.wait_log(r"nexus\.yaml:2:\d+: functions")
        project.write(good)
        node.wait_log("build failed built", 30, count=2)
        source.write_text('#[no_mangle]\npub extern "C" fn handle_event() { println!("repaired"); }\n')
        node.wait_ready()
        assert node.post("built", "").text == "repaired\n"
    finally:
        node.stop(expect=None)


def test_waiting_for_a_save_ends_by_a_signal(project):
    project.write({"functions": [function("never", "./never.wasm", build={"command": "false"})]})
    node = Node(project)
    node.launch()
    node.wait_log("waiting for the next save", 30)
    assert node.stop(expect=None) == 130


@pytest.mark.parametrize("verb", [["build"], ["dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"], ["deploy", "--admin-url", "http://127.0.0.1:9"]])
def test_an_interrupted_build_ends_with_all_it_started(project, verb):
    """The command is no part of the terminal's group, so Ctrl-C is handed on; a second one does not ask."""
    # Each says that it is there when a signal finds it as it means to be: a shell forgets one that comes before its child has begun.
    project.write({"functions": [function("slow", "./slow.wasm", build={
        "command": "trap : TERM; sh -c 'echo $$ > child; exec tail -f /dev/null' &\n"
                   "sh -c 'trap \"\" TERM; echo $$ > stubborn; exec tail -f /dev/null' & echo $$ > shell; until wait; do :; done"})]})
    pids = {}
    process = subprocess.Popen([str(NEXUS), *verb], cwd=project.dir, env=environment(), stderr=subprocess.PIPE, text=True)
    try:
        for name in ("child", "stubborn", "shell"):
            pids[name] = int(wait_until(lambda: (project.dir / name).exists() and (project.dir / name).read_text().strip(), name, 30))
        process.send_signal(signal.SIGINT)
        wait_until(lambda: not is_running(pids["child"]), "the end of what the command started")
        assert process.poll() is None and is_running(pids["stubborn"])
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    finally:
        process.kill()
        left = [pid for pid in pids.values() if is_running(pid)]
        for pid in left:
            os.kill(pid, signal.SIGKILL)
    assert process.returncode == 130, said
    assert "slow: the build was interrupted" in said
    assert not left


def test_a_project_may_lie_anywhere(tmp_path, guests):
    """Spaces, quotes, backslashes, other alphabets: folders are named so."""
    project = Project(tmp_path / "o\"d 'n' \\ $HOME #{x}; %s ü")
    project.write({"functions": [function("copied", "./copied.wasm", respond="sync", build={"command": "cp source.wasm copied.wasm", "watch": ["source.wasm"]})]})
    project.module(guests.wat("answer.wat", TEXT="one", LENGTH=3), "source.wasm")
    with Node(project) as node:
        assert node.post("copied", "").text == "one"
        assert [r["verdict"] for r in node.replay("@last")] == ["identical"]
        node.restart()
        assert node.post("copied", "").text == "one"


def is_running(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
