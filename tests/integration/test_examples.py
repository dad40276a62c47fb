"""Each project in examples/ builds from its sources and does what its README says, by the README's own commands."""

import json
import re
import shutil

import pytest
import yaml
from nexus import nats
from nexus.documents import Shell, blocks
from nexus.guests import with_packages
from nexus.node import Node, Project
from nexus.paths import EXAMPLES
from nexus.wait import wait_until

PROJECTS = sorted(p.parent for p in EXAMPLES.glob("*/nexus.yaml"))


def copy_of(example, folder):
    target = folder / example.name
    shutil.copytree(example, target, ignore=shutil.ignore_patterns(".nexus", "build", "target", "node_modules"))
    return Project(with_packages(target))


def built(example, folder):
    """A copy with its modules, also where the README builds them by hand."""
    project = copy_of(example, folder)
    by_hand = [b for b in blocks(example / "README.md") if "--print-env" in b.text]
    if by_hand:
        with Shell(project.dir) as shell:
            for block in by_hand:
                shell.run(block)
    project.nexus("build", timeout=120)
    return project


def test_there_are_enough_of_each_kind():
    configs = {p.name: yaml.safe_load((p / "nexus.yaml").read_text()) for p in PROJECTS}
    assert len(configs) >= 5
    functions = [f for c in configs.values() for f in c["functions"]]
    commands = " ".join(f.get("build", {}).get("command", "") for f in functions)
    assert "RUSTC" in commands and "WASI_CC" in commands
    assert any("output" in f for f in functions), "one chained by events"
    # YAML 1.1, which PyYAML reads, takes `on` for true.
    assert any("nats" in f.get("on", f.get(True)) for f in functions), "one triggered from a raw subject"


@pytest.mark.timeout(240)
@pytest.mark.parametrize("example", PROJECTS, ids=lambda p: p.name)
def test_readme_commands_work(example, tmp_path):
    project = copy_of(example, tmp_path)
    with Shell(project.dir) as shell:
        assert shell.run_all(example / "README.md") >= 2


def call(node, path, body, **headers):
    answer = node.client.post(node.url + path, content=body, headers={"Prefer": "wait=20", **headers})
    assert answer.status_code == 200, answer.text
    event_id = answer.headers["nexus-event-id"]
    assert all(v["verdict"] == "identical" for v in node.replay(event_id))
    return answer.text


def test_mission_answers(tmp_path):
    with Node(built(EXAMPLES / "mission", tmp_path)) as node:
        assert call(node, "/events/user.created", '{"user_id": "u42"}') == 'Processed: {"user_id": "u42"}'


def test_hello_rust_answers(tmp_path):
    with Node(built(EXAMPLES / "hello-rust", tmp_path)) as node:
        assert "u42" in call(node, "/events/user.created", '{"user_id": "u42", "email": "alice@example.com"}')
        node.wait_log(r"INFO user-welcome\] \[trace=[0-9a-f]{32}\] ")


def test_hello_c_answers(tmp_path):
    with Node(built(EXAMPLES / "hello-c", tmp_path)) as node:
        assert re.search("Hello.*Ada", call(node, "/events/hello", "Ada"))


def test_sync_api_answers(tmp_path):
    with Node(built(EXAMPLES / "sync-api", tmp_path)) as node:
        answer = node.post("/fahrenheit", "21.5")
        assert answer.json() == {"celsius": 21.5, "fahrenheit": 70.7}
        assert answer.headers["content-type"].startswith("application/json")


def test_chain_is_one_trace(tmp_path):
    with Node(built(EXAMPLES / "chain", tmp_path)) as node:
        answer = node.post("order.placed", '{"item": "lamp", "quantity": 3, "unit_cents": 1999}').json()

        def both():
            events = [e for e in node.api_list("events") if e["trace_id"] == answer["trace_id"]]
            runs = [r for e in events for r in node.runs(event=e["event_id"])]
            return (events, runs) if len(runs) == 2 else None

        events, runs = wait_until(both, "both runs", 20, on_failure=node.log)
        assert sorted(e["type"] for e in events) == ["order.placed", "order.priced"]
        assert all(r["status"] == "ok" for r in runs)
        priced = json.loads(node.api(f"events/{next(e['event_id'] for e in events if e['type'] == 'order.priced')}/data").text)
        assert 5997 in priced.values(), priced


def test_nats_subject_raises_an_alarm(tmp_path):
    project = built(EXAMPLES / "nats-subject", tmp_path)
    with Node(project) as node:
        nats.publish(nats.private_url(project.data_dir), "sensors.kitchen.temperature", b"31.5", b"20.0")
        wait_until(lambda: len(node.runs(function="temperature-alarm")) == 2, "two runs", 20, on_failure=node.log)
        node.wait_log(r"31\.5 is too hot")


@pytest.mark.parametrize("path, status, code", [("/panics", 502, None), ("/loops", 504, "deadline"), ("/hoards", 502, "memory_limit"),
                                                ("/floods", 502, "output_limit")])
def test_limits_end_as_they_should(limits, path, status, code):
    answer = limits.client.post(limits.url + path, content="{}", timeout=30)
    assert answer.status_code == status, answer.text
    assert code is None or answer.json()["code"] == code
    assert [v["verdict"] for v in limits.replay(answer.json()["event_id"])] == ["identical"]


@pytest.fixture(scope="module")
def limits(tmp_path_factory):
    with Node(built(EXAMPLES / "limits", tmp_path_factory.mktemp("limits"))) as node:
        yield node
