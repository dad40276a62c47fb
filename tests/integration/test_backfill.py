"""Backfill: a new function gets the events of the past, in order, at a rate, each once."""

import json
import secrets

import pytest
from nexus import nats
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


# ---- `ordering: key` ------------------------------------------------------------------------------------------------------------------


def publish_keyed(node, sent, count):
    """`count` more events of each key, the keys taking turns; `sent`: key -> event ids."""
    for i in range(count):
        for key, ids in sent.items():
            ids.append(node.publish("order.new", f"{key} {i}", headers={"ce-specversion": "1.0", "ce-source": "/test", "ce-type": "order.new",
                                                                        "ce-partitionkey": key, "ce-id": secrets.token_hex(8)}))


def recorded(project, name):
    """Event ids in the order in which a function's final records were stored."""
    return [headers["nx-event-id"] for _, subject, headers in nats.read_stream(nats.private_url(project.data_dir), "NX_RUNS_default")
            if "nx-final" in headers and f".run.{name}." in subject]


def expect_each_once_in_order(sent, ids):
    assert sorted(ids) == sorted(e for events in sent.values() for e in events)
    places = {event_id: i for i, event_id in enumerate(ids)}
    for key, events in sent.items():
        got = [places[e] for e in events]
        assert got == sorted(got), f"key {key} out of order: {got}"


def ordered(project, guests, **more):
    code = project.module(guests.wat("answer.wat", TEXT="one", LENGTH=3), "code.wasm")
    return function("late", code, on={"event": "order.*"}, ordering="key", **more)


def test_an_ordered_function_takes_the_past_before_the_present(tmp_path, guests):
    project = Project(tmp_path / "project")
    code = project.module(guests.wat("answer.wat", TEXT="one", LENGTH=3), "code.wasm")
    first = function("first", code, on={"event": "order.*"})
    project.write({"functions": [first]})
    sent = {f"key-{i}": [] for i in range(8)}
    with Node(project) as node:
        publish_keyed(node, sent, 15)
        before = [e for events in sent.values() for e in events]
        free = node.publish("order.new", "without a key")
        with Stopwatch() as watch:
            project.write({"functions": [first, ordered(project, guests, **{"from": "2020-01-01T00:00:00Z", "from_rate": 60})]})
            node.wait_log("function 'late' added", deadline=20)
            publish_keyed(node, sent, 5)  # new events of the same keys, while the old ones are on their way
            assert len(set(recorded(project, "late")) & set(before)) < len(before)
            ids = wait_until(lambda: (r := recorded(project, "late")) and len(r) == 161 and r, "161 records", 40, every=0.1, on_failure=node.log)
        ids.remove(free)
        expect_each_once_in_order(sent, ids)
        assert watch.ms >= 121 / 60 * 1000 * 0.7  # the past has a pace
        (job,) = wait_until(lambda: [j for j in node.api_list("jobs", kind="backfill") if j["status"] == "done"], "the job's end", 20, on_failure=node.log)
        assert job["spec"]["ordering"] == "key" and job["spec"]["rate"] == 60
        # Its past is over: made once more, it begins with new events.
        project.write({"functions": [first]})
        node.wait_log("function 'late' removed")
        project.write({"functions": [first, ordered(project, guests, **{"from": "2020-01-01T00:00:00Z"})]})
        node.wait_log("function 'late' added", count=2)
        new = node.publish("order.new", "new")
        node.wait_runs(new, 2)
        assert len(recorded(project, "late")) == 162 and len(node.api_list("jobs", kind="backfill")) == 1


def test_ordered_backfill_survives_kill_9_and_is_refused_later(tmp_path, guests):
    project = Project(tmp_path / "project")
    project.write({"functions": [ordered(project, guests)]})
    sent = {f"key-{i}": [] for i in range(6)}
    with Node(project, verb="serve") as node:
        publish_keyed(node, sent, 20)
        job = deployed(node, "--from", "1h", "--rate", "60", "--effects", "deny")
        assert job["spec"]["effects"] == "deny"
        wait_until(lambda: len(recorded(project, "late")) >= 30, "30 runs", 20, on_failure=node.log)
        node.kill()
        node.start()
        publish_keyed(node, sent, 2)
        assert job_end(node, job["job_id"], 60)["status"] == "done"
        ids = wait_until(lambda: (r := list(dict.fromkeys(recorded(project, "late")))) and len(r) == 132 and r, "132 runs", 20, on_failure=node.log)
        expect_each_once_in_order(sent, ids)
        refused = node.nexus("deploy", "--from", "1h", check=False)
        assert refused.returncode != 0 and "gets events already" in refused.stderr


@pytest.mark.timeout(180)
def test_two_nodes_share_the_past_and_one_is_killed(tmp_path, guests):
    with nats.Server(tmp_path / "server") as server:
        projects = [Project(tmp_path / name) for name in "ab"]
        sent = {f"key-{i}": [] for i in range(12)}
        for project in projects:
            code = project.module(guests.wat("answer.wat", TEXT="one", LENGTH=3), "code.wasm")
            project.write({"nats": {"url": server.url}, "functions": [function("first", code, on={"event": "order.*"})]})

        def records():
            return list(dict.fromkeys(headers["nx-event-id"] for _, subject, headers in nats.read_stream(server.url, "NX_RUNS_default")
                                      if "nx-final" in headers and ".run.late." in subject))

        with Node(projects[0]) as a, Node(projects[1]) as b:
            publish_keyed(a, sent, 20)
            for project in projects:
                code = project.module(guests.wat("answer.wat", TEXT="one", LENGTH=3), "code.wasm")
                project.write({"nats": {"url": server.url}, "functions": [function("first", code, on={"event": "order.*"}), ordered(
                    project, guests, **{"from": "2020-01-01T00:00:00Z", "from_rate": 40})]})
            for node in (a, b):
                node.wait_log("function 'late' added", deadline=20)
            publish_keyed(b, sent, 3)
            wait_until(lambda: len(records()) >= 40, "some of the past", 30, every=0.1, on_failure=a.log)
            a.kill()
            a.process = None
            ids = wait_until(lambda: (r := records()) and len(r) == 276 and r, "276 records", 90, every=0.2, on_failure=b.log)
            expect_each_once_in_order(sent, ids)
            (job,) = wait_until(lambda: [j for j in b.api_list("jobs", kind="backfill") if j["status"] == "done"], "the job's end", 60, every=0.2, on_failure=b.log)


def test_an_ordered_function_without_a_past_begins_with_new_events(tmp_path, guests):
    project = Project(tmp_path / "project")
    project.write({"functions": [ordered(project, guests, **{"from": "2020-01-01T00:00:00Z"})]})
    with Node(project) as node:
        (job,) = wait_until(lambda: [j for j in node.api_list("jobs", kind="backfill") if j["status"] == "done"], "the job's end", 20, on_failure=node.log)
        event = node.publish("order.new", "1")
        node.run_of(event)
        node.restart()
        node.run_of(node.publish("order.new", "2"))
        assert len(recorded(project, "late")) == 2


def test_ordered_backfill_can_be_canceled(tmp_path, guests):
    project = Project(tmp_path / "project")
    project.write({"functions": [ordered(project, guests)]})
    sent = {f"key-{i}": [] for i in range(6)}
    with Node(project, verb="serve") as node:
        publish_keyed(node, sent, 20)
        job = deployed(node, "--from", "1h", "--rate", "20")
        wait_until(lambda: len(recorded(project, "late")) >= 10, "10 runs", 20, on_failure=node.log)
        live = {key: [] for key in sent}
        publish_keyed(node, live, 1)
        node.nexus("jobs", "cancel", job["job_id"])
        assert job_end(node, job["job_id"])["status"] == "canceled"
        for (event_id,) in live.values():  # they do not wait for what is left of the past
            node.run_of(event_id, deadline=15)
        old = set(recorded(project, "late")) - {e for (e,) in live.values()}
        assert 10 <= len(old) < 100
