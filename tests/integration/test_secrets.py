"""Secrets: values reach the functions they were granted to, and nothing else: no record, log, bundle, metric, message, file."""

import os
import stat
import subprocess

import pytest
from nexus.node import Node, environment, function, nexus
from nexus.paths import NEXUS

VALUE = "sk-live-7f3a9c51e0d2"  # looked for everywhere


def settings(project, guests, **more):
    return {"functions": [function("hello", project.module(guests.wat("answer.wat", TEXT="hello", LENGTH=5)))], **more}


@pytest.fixture(scope="module")
def node(module_project, guests):
    (module_project.dir / "file.txt").write_text(f"{VALUE}-file\n")
    module_project.write(settings(module_project, guests, secrets={"FROM_FILE": {"file": "./file.txt"}, "FROM_ENV": {"env": "NODE_SECRET"},
                                                                   "NOWHERE": {"env": "NOT_SET"}}))
    with Node(module_project, env={"NODE_SECRET": f"{VALUE}-env"}) as node:
        yield node


def listed(node):
    return {s["name"]: s for s in node.json("secrets", "list")}


def test_set_list_change_remove(node):
    assert node.json("secrets", "set", "PIPED", stdin=f"{VALUE}\n") == [{"namespace": "default", "name": "PIPED", "created": True}]
    assert node.json("secrets", "set", "PIPED", stdin=f"{VALUE}-changed")[0]["created"] is False
    secret = listed(node)["PIPED"]
    assert secret["source"] == "store" and secret["available"] is True and secret["set_at"].endswith("Z") and secret["functions"] == []
    shown = node.nexus("secrets", "list").stdout
    assert "PIPED" in shown and VALUE not in shown
    assert node.nexus("secrets", "rm", "PIPED").stdout == "PIPED is removed\n"
    assert "PIPED" not in listed(node)
    assert node.nexus("secrets", "rm", "PIPED", check=False).returncode == 4


def test_list_tells_where_values_are_and_whether_they_are_there(node):
    all_ = listed(node)
    assert (all_["FROM_FILE"]["source"], all_["FROM_FILE"]["at"], all_["FROM_FILE"]["available"]) == ("file", str(node.project.dir / "file.txt"), True)
    assert (all_["FROM_ENV"]["source"], all_["FROM_ENV"]["at"], all_["FROM_ENV"]["available"]) == ("env", "NODE_SECRET", True)
    assert all_["NOWHERE"]["available"] is False


def test_value_is_not_taken_from_the_command_line_and_not_shown(node):
    result = node.nexus("secrets", "set", "A", VALUE, check=False)
    assert result.returncode == 2 and "not taken from the command line" in result.stderr
    assert VALUE not in result.stdout + result.stderr
    assert "A" not in listed(node)


@pytest.mark.parametrize("name, value, code, says", [
    ("9LIVES", "x", 2, "a letter or _ first"),
    ("a.b", "x", 2, "a letter or _ first"),
    ("EMPTY", "", 2, "empty"),
    ("EMPTY", "\n", 2, "empty"),
    ("BIG", "x" * 70000, 2, "at most 65536 bytes"),
    ("FROM_FILE", "x", 5, "comes from the file"),
    ("FROM_ENV", "x", 5, "comes from the variable NODE_SECRET"),
])
def test_what_cannot_be_set_says_why(node, name, value, code, says):
    result = node.nexus("secrets", "set", name, stdin=value, check=False)
    assert result.returncode == code, result.stderr
    assert says in result.stderr


def test_value_from_a_file_and_from_a_terminal(node):
    (node.project.dir / "given").write_text(f"{VALUE}-given\r\n")
    node.nexus("secrets", "set", "GIVEN", "--from-file", "given")
    main, side = os.openpty()
    process = subprocess.Popen([str(NEXUS), "secrets", "set", "TYPED"], stdin=side, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=node.project.dir,
                               env=environment(NEXUS_ADMIN_URL=node.admin_url), text=True)
    os.close(side)
    asked = os.read(process.stderr.fileno(), 100).decode()  # echo is off by then
    os.write(main, f"{VALUE}-typed\n".encode())
    out, err = process.communicate(timeout=30)
    try:
        echoed = os.read(main, 1000).decode()
    except OSError:  # nothing, and the other side is gone
        echoed = ""
    os.close(main)
    assert process.returncode == 0, err
    assert "TYPED is set" in out and "not shown" in asked + err
    assert VALUE not in echoed + out + err
    assert listed(node)["GIVEN"]["available"] and listed(node)["TYPED"]["available"]


def test_key_is_the_nodes_and_values_need_it(project, guests):
    project.write(settings(project, guests))
    with Node(project) as node:
        assert not (project.data_dir / "secret.key").exists()  # made when it is first needed
        node.nexus("secrets", "set", "KEPT", stdin=VALUE)
        key = project.data_dir / "secret.key"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        node.restart()
        assert listed(node)["KEPT"]["available"] is True
        node.stop()
        other = project.dir / "other.key"
        other.write_text("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n")
        node.env["NEXUS_SECRET_KEY_FILE"] = other
        node.start()
        assert listed(node)["KEPT"]["available"] is False
        node.nexus("secrets", "set", "KEPT", stdin=VALUE)
        assert listed(node)["KEPT"]["available"] is True
        node.stop()
        key.unlink()
        node.start()
        assert listed(node)["KEPT"]["available"] is True and not key.exists()
        node.stop()
        node.env["NEXUS_SECRET_KEY_FILE"] = project.dir / "gone.key"
        node.start()
        result = node.nexus("secrets", "set", "KEPT", stdin=VALUE, check=False)
        assert result.returncode == 69 and "gone.key" in result.stderr


def holds(file, text):
    try:
        return text.encode() in file.read_bytes()
    except OSError:
        return False


def test_value_is_nowhere_on_disk(project, guests):
    project.write(settings(project, guests))
    with Node(project) as node:
        node.nexus("secrets", "set", "KEPT", stdin=VALUE)
        node.nexus("secrets", "set", "KEPT", stdin=f"{VALUE}-changed")
        node.nexus("secrets", "list")
        assert VALUE not in node.client.get(f"{node.admin_url}/metrics").text
        node.stop()
        files = [f for f in project.dir.rglob("*") if f.is_file()]
        assert any(holds(f, "secret.KEPT") for f in files)  # the store is among them
        assert [str(f) for f in files if holds(f, VALUE)] == []
        node.start()
