"""Backfill: a new function gets the events of the past, in order, at a rate, each once."""

import json

import pytest
from nexus.node import Node, Project, function
from nexus.wait import Stopwatch, wait_until


@pytest.fixture
def node(tmp_path, guests):
    project = Project(tmp_path / "project")
    code = project.module(guests.wat("answer.wat", TEXT="one", LENGTH=3), "code.wasm")
    project.write({"functions": [function("orders", code, on={"event": "order.*"}, concurrency=1)]})
    with Node(project, verb="serve") as node:
        yield node


def job_end(node, job_id, seconds=30):
    return wait_until(lambda: (j := node.api(f"jobs/{job_id}").json())["status"] not in ("queued", "running") and j, "the job's end", seconds, on_failure=node.log)


def deployed(node, *arguments):
    lines = node.json("deploy", *arguments)
    return next(x for x in lines if "job_id" in x)


def test_new_function_takes_old_events_in_order_and_once(node):
    old = [node.publish("order.new", str(i)) for i in range(40)]
    node.publish("other.thing", "not for it")
    job = deployed(node, "--from", "1h")
    assert job["spec"]["effects"] == "live"
    new = [node.publish("order.new", str(i)) for i in range(5)]
    assert job_end(node, job["job_id"])["status"] == "done"
    wait_until(lambda: len(node.runs(limit=1000)) == 45, "45 runs", on_failure=node.log)
    runs = node.runs(limit=1000)[::-1]
    assert sorted(r["event_id"] for r in runs) == sorted(old + new)
    # One at a time, so in the order of the log.
    assert [r["event_id"] for r in runs if r["event_id"] in old] == old
    assert all(r["is_final"] and r["generation"] == 0 for r in runs)
    # Each can be replayed like any other.
    assert node.nexus("replay", old[0], "--json").returncode == 0
    # Nothing is left of it: what comes now is brought once.
    after = node.publish("order.new", "after")
    node.run_of(after)
    assert len(node.runs(event=after, all=1)) == 1


def test_a_wrong_time_is_told_before_anything_is_deployed(node):
    result = node.nexus("deploy", "--from", "yesterday", check=False)
    assert result.returncode == 2 and 'flag --from: "yesterday" is neither' in result.stderr
    assert node.json("functions", "list") == []


def test_backfill_at_a_rate_can_be_canceled(node):
    for i in range(30):
        node.publish("order.new", str(i))
    with Stopwatch() as watch:
        job = deployed(node, "--from", "1h", "--rate", "20", "--effects", "deny")
        wait_until(lambda: len(node.runs(limit=1000)) >= 10, "10 runs", 20)
        node.nexus("jobs", "cancel", job["job_id"])
        assert job_end(node, job["job_id"])["status"] == "canceled"
    assert watch.ms >= 400
    ran = len(node.runs(limit=1000))
    assert 10 <= ran < 30
    live = node.publish("order.new", "live")
    node.run_of(live)
    assert len(node.runs(limit=1000)) <= ran + 1 + 1  # the live one, and one that was under way


def test_backfill_survives_kill_9(node):
    old = [node.publish("order.new", str(i)) for i in range(120)]
    job = deployed(node, "--from", "1h", "--rate", "60")
    wait_until(lambda: len(node.runs(limit=1000)) >= 30, "30 runs", 20)
    node.kill()
    node.start()
    assert job_end(node, job["job_id"], 60)["status"] == "done"
    wait_until(lambda: len(node.runs(limit=1000)) == 120, "120 runs", on_failure=node.log)
    assert sorted(r["event_id"] for r in node.runs(limit=1000)) == sorted(old)


def test_from_in_the_settings_is_seen_to_once(tmp_path, guests):
    project = Project(tmp_path / "project")
    code = project.module(guests.wat("answer.wat", TEXT="one", LENGTH=3), "code.wasm")
    first = function("first", code, on={"event": "order.*"})
    project.write({"functions": [first]})
    with Node(project) as node:
        old = [node.publish("order.new", str(i)) for i in range(20)]
        wait_until(lambda: len(node.runs(function="first", limit=1000)) == 20, "the first function's runs")
        second = function("second", code, on={"event": "order.*"}, **{"from": "2020-01-01T00:00:00Z", "from_rate": 1000})
        project.write({"functions": [first, second]})
        wait_until(lambda: len(node.runs(function="second", limit=1000)) == 20, "the second function's runs", 20, on_failure=node.log)
        (job,) = wait_until(lambda: [j for j in node.api_list("jobs", kind="backfill") if j["status"] == "done"], "the job's end", 20)
        assert job["spec"]["function"] == "second" and job["spec"]["rate"] == 1000
        # Changed or loaded again: once is enough.
        second["from"] = "2021-01-01T00:00:00Z"
        project.write({"functions": [first, second]})
        node.wait_log("second.*settings changed")
        node.restart()
        new = node.publish("order.new", "new")
        node.wait_runs(new, 2)
        assert len(node.api_list("jobs", kind="backfill")) == 1
        runs = node.runs(function="second", limit=1000, all=1)
        assert sorted(r["event_id"] for r in runs) == sorted([*old, new])


@pytest.mark.parametrize("spec, status, says", [
    ({"function": "orders"}, 400, "since when"),
    ({"function": "nobody", "since": "1h"}, 404, "there is no function 'nobody'"),
    ({"function": "orders", "since": "soon"}, 400, "neither a time"),
    ({"function": "orders", "since": "1h", "effects": "recorded"}, 400, "there is no recording of a run that never was"),
])
def test_backfill_refuses(node, spec, status, says):
    node.json("deploy")
    answer = node.client.post(f"{node.admin_url}/api/v1/jobs", content=json.dumps({"kind": "backfill", "spec": spec}))
    assert answer.status_code == status and says in answer.json()["detail"]
