"""Files: /tmp of a function, and `nexus run` with folders of this machine."""

import os
import re
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from nexus.node import Node, function, nexus


@pytest.fixture(scope="module")
def program(guests):
    return guests.rust("files.rs", kind="bin")


def test_a_function_has_a_tmp_of_its_own_and_its_replay_too(project, program):
    code = project.module(program)
    project.write({"functions": [function("files", code, respond="sync"), function("bounded", code, scratch="2Mi"), function("none", code, scratch="0")]})
    with Node(project) as node:
        for _ in range(2):  # nothing is left of the run before
            answer = node.call("files", b"hello")
            assert answer.text == "found \nread ello\nold place Err(NotFound)\nsize 5\noutside Err(\"no\")\n", answer.text
        event = node.publish("bounded", b"fill 8")
        run = node.run_of(event)
        assert run["status"] == "ok"
        whole = node.whole_run(run["run_id"])
        assert "full Some(51)" in whole["output"], whole  # ENOSPC
        assert whole["limits"]["scratch_bytes"] == 2 << 20
        assert [r["verdict"] for r in node.replay(event)] == ["identical"]
        event = node.publish("none", b"x")
        assert node.run_of(event)["status"] == "error"  # there is no /tmp
        assert [r["verdict"] for r in node.replay(event)] == ["identical"]


def test_run_works_on_a_folder_and_writes_it_back(tmp_path, program):
    folder = tmp_path / "folder"
    (folder / "remove-me" / "deep").mkdir(parents=True)
    (folder / "remove-me" / "deep" / "file").write_text("x")
    (folder / "kept").write_text("as it was")
    os.utime(folder / "kept", (1_000_000_000, 1_000_000_000))
    done = nexus("run", "--dir", f"{folder}::/data", program, "/data", stdin="hello")
    assert done.stdout.splitlines()[:2] == ["found kept remove-me", "read ello"]
    assert sorted(p.name for p in folder.iterdir()) == ["kept", "moved"]
    assert (folder / "moved").read_text() == "hello"
    assert (folder / "kept").stat().st_mtime == 1_000_000_000


def test_run_that_fails_changes_nothing(tmp_path, program):
    (tmp_path / "kept").write_text("as it was")
    done = nexus("run", "--dir", f"{tmp_path}::.", program, ".", "3", stdin="hello", check=False)
    assert done.returncode == 3, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]


def test_run_says_what_can_not_be_written_back(guests, tmp_path):
    nested = guests.c("nested.c")
    folder = tmp_path / "folder"
    folder.mkdir()
    assert nexus("run", "--dir", f"{folder}::.", nested, stdin="300").stderr == ""
    assert (folder / Path(*["dd"] * 300) / "last").read_text() == "x"
    shutil.rmtree(folder)
    folder.mkdir()
    done = nexus("run", "--dir", f"{folder}::.", nested, stdin="3000", check=False)
    subprocess.run(["rm", "-rf", folder], check=True)  # too deep for shutil, and so for what clears away old tests
    assert done.returncode == 2 and "a path of more than 4096 bytes could not be written back" in done.stderr, done.stderr
    folder.mkdir()
    with (folder / "big").open("wb") as file:
        file.truncate((1 << 30) + 1)
    done = nexus("run", "--dir", f"{folder}::.", nested, check=False)
    assert done.returncode == 2 and f"{folder}: big: more than the 1024 MiB that a folder may hold" in done.stderr, done.stderr
    big = tmp_path / "big.wasm"
    with big.open("wb") as file:
        file.truncate((64 << 20) + 1)
    done = nexus("run", big, check=False)
    assert done.returncode == 2 and f"{big} has more than the 67108864 bytes that are taken" in done.stderr


def test_runs_at_the_same_time_save_whole_files(guests, tmp_path):
    save = guests.rust("save.rs", kind="bin")
    texts = [letter * (6 << 20) for letter in "abcdef"]
    (tmp_path / "same").touch()
    (tmp_path / "same").chmod(0o666)
    for _ in range(3):
        with ThreadPoolExecutor(len(texts)) as pool:
            runs = [pool.submit(nexus, "run", "--dir", f"{tmp_path}::/", save, "same", f"{text[0]}-own", "folder", stdin=text) for text in texts]
        for run in runs:
            assert run.result().stderr == ""
        assert (tmp_path / "same").read_text() in texts
        assert (tmp_path / "same").stat().st_mode & 0o777 == 0o666
        assert [(tmp_path / f"{text[0]}-own").read_text() for text in texts] == texts
        shutil.rmtree(tmp_path / "folder")
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["same", *[f"{text[0]}-own" for text in texts]])


def test_run_is_a_program_of_the_shell(guests, tmp_path):
    probe = guests.rust("probe.rs")
    assert nexus("run", probe, stdin="some words").stdout == "some words"
    assert "GREETING=hello" in nexus("run", "--env", "GREETING=hello", probe, stdin="env").stdout
    assert "GREETING=hi\n" in nexus("run", "--env", "GREETING=hello", "--env", "GREETING=hi", probe, stdin="env").stdout
    assert nexus("run", probe, stdin="exit 7", check=False).returncode == 7
    trapped = nexus("run", probe, stdin="trap", check=False)
    assert trapped.returncode == 134 and "unreachable" in trapped.stderr and "handle_event" in trapped.stderr
    debug = nexus("run", guests.rust("probe.rs", options=["-C", "debuginfo=2", "-C", "strip=none"]), stdin="panic", check=False)
    assert re.search(r"^  #\d+ 0x[0-9a-f]+ handle_event\S* at \S*probe\.rs:\d+$", debug.stderr, re.M), debug.stderr
    slow = nexus("run", "--timeout", "200ms", probe, stdin="spin", check=False)
    assert slow.returncode == 134 and "did not finish within 200 ms" in slow.stderr
    assert "line 0\nline 1\n" in nexus("run", probe, stdin="log 2").stderr


@pytest.mark.parametrize("arguments, status, message", [
    (["nowhere.wasm"], 4, "nowhere.wasm"),
    (["--dir", "nowhere::/x", "PROGRAM"], 4, "nowhere"),
    (["--dir", "::/x", "PROGRAM"], 2, "is not HOST::GUEST"),
    (["--dir", ".::/x", "--dir", "./::/x", "PROGRAM"], 2, "two folders are named /x"),
    (["empty.wasm"], 2, "empty.wasm: the file is empty"),
    (["--env", "NOVALUE", "PROGRAM"], 2, "is not KEY=VALUE"),
    (["--memory", "lots", "PROGRAM"], 2, "is not a size"),
    (["--timeout", "soon", "PROGRAM"], 2, "is not a duration"),
])
def test_run_says_what_is_wrong(program, tmp_path, arguments, status, message):
    (tmp_path / "empty.wasm").touch()
    done = nexus("run", *[program if a == "PROGRAM" else a for a in arguments], cwd=tmp_path, check=False)
    assert done.returncode == status and message in done.stderr, (done.returncode, done.stderr)
