"""`debounce`: of events that follow each other only the last one runs; the others end in a record that names it (docs/FLOW.md)."""

import threading

import pytest
from nexus import nats
from nexus.node import Node, Project, function
from nexus.wait import Stopwatch, wait_until


def debounced(guests, project, url=None, **more):
    nap = project.module(guests.rust("nap.rs"))
    settings = {"nats": {"url": url}} if url else {}
    project.write({**settings, "functions": [
        function("index", nap, debounce={"period": "2s", "key": "data.key"}),
        function("patient", nap, debounce={"period": "5s", "key": "data.key"}),
        function("bounded", nap, debounce={"period": "2s", "timeout": "4s"}),
        function("paced", nap, debounce={"period": "1s", "key": "data.key"}, throttle={"limit": 1, "period": "3s"}),
    ], **more})
    return project


@pytest.fixture(scope="module")
def node(tmp_path_factory, guests):
    with Node(debounced(guests, Project(tmp_path_factory.mktemp("debounce") / "project"))) as node:
        yield node


def send(node, name, key, n):
    return [node.publish(name, json_body={"key": key, "n": i}) for i in range(n)]


def expect_last(node, ids, deadline=30):
    """The last one ran; the others say which came after them."""
    assert node.run_of(ids[-1], deadline=deadline)["status"] == "ok"
    for event_id in ids[:-1]:
        run = node.run_of(event_id, deadline=deadline)
        assert (run["status"], run["why"], run["attempt"]) == ("skipped", "debounced", 1)
        named = node.whole_run(run["run_id"])["message"].split()[3].rstrip(",")
        assert named in ids[ids.index(event_id) + 1:], node.whole_run(run["run_id"])["message"]


def test_only_the_last_event_of_a_key_runs(node):
    with Stopwatch() as watch:
        a, b = send(node, "index", "a", 6), send(node, "index", "b", 1)
        expect_last(node, a)
        expect_last(node, b)
    assert watch.s > 2
    listed = node.json("runs", "list", "--function", "index", "--status", "skipped")
    assert {r["event_id"] for r in listed} >= set(a[:-1])
    assert not node.json("dlq", "list", "--function", "index")
    assert [v["verdict"] for v in node.replay(a[-1])] == ["identical"]
    refusal = node.nexus("replay", a[0], check=False)
    assert "debounced by event" in refusal.stdout + refusal.stderr


def test_superseded_events_end_before_the_last_one_runs(node):
    ids = send(node, "patient", "a", 4)
    for event_id in ids[:-1]:
        node.run_of(event_id)
    assert not node.runs(event=ids[-1]), "the last one ran before the others had ended: this shows nothing"
    expect_last(node, ids)


def test_a_new_burst_after_a_quiet_time(node):
    for _ in range(2):
        expect_last(node, send(node, "index", "again", 3))


def test_timeout_bounds_the_wait(node):
    """Events keep coming; one runs all the same."""
    sent = []

    def some_ran():
        sent.extend(send(node, "bounded", "x", 1))
        return node.runs(function="bounded", status="ok")

    first = wait_until(some_ran, "a run in a stream of events", 30, every=0.2, on_failure=node.log)
    assert first[0]["event_id"] in sent and len(sent) > 3
    ran = wait_until(lambda: len(node.runs(function="bounded", limit=1000)) == len(sent) and node.runs(function="bounded", status="ok"), "the end of all", 30,
                     on_failure=node.log)
    assert sent[-1] in {r["event_id"] for r in ran}


def test_who_waits_for_a_superseded_event_is_told(node):
    answers = []
    before = len(node.api_list("events", type="patient", limit=1000))
    caller = threading.Thread(target=lambda: answers.append(node.call("patient", json_body={"key": "caller"})))
    caller.start()
    wait_until(lambda: len(node.api_list("events", type="patient", limit=1000)) > before, "the first event", 10)
    last = send(node, "patient", "caller", 1)
    caller.join(30)
    assert answers[0].status_code == 429 and answers[0].json()["code"] == "debounced"
    expect_last(node, last)


def test_debounced_then_throttled(node):
    with Stopwatch() as watch:
        groups = [send(node, "paced", key, 3) for key in "ab"]
        for ids in groups:
            expect_last(node, ids)
    assert watch.s > 3


def test_it_outlives_a_kill(node):
    """What waits, and what was superseded and is not recorded yet, is known to the log."""
    ids = send(node, "patient", "killed", 8)
    node.kill()
    node.start()
    ids += send(node, "patient", "killed", 2)
    expect_last(node, ids, deadline=60)


def test_one_burst_over_several_nodes(tmp_path, guests):
    with nats.Server(tmp_path / "server") as server:
        projects = [debounced(guests, Project(tmp_path / name), server.url) for name in "ab"]
        with Node(projects[0]) as a, Node(projects[1]) as b:
            ids = [(a, b)[i % 2].publish("index", json_body={"key": "shared", "n": i}) for i in range(20)]
            runs = [a.run_of(e, deadline=60) for e in ids]
            ran = [r["event_id"] for r in runs if r["status"] == "ok"]
            assert ran == ids[-1:], runs
            assert all(r["why"] == "debounced" for r in runs[:-1])


@pytest.mark.parametrize("settings, path, says", [
    ({"debounce": {"key": "data.a"}}, "debounce.period", "missing"),
    ({"debounce": {"period": "10ms"}}, "debounce.period", "too small"),
    ({"debounce": {"period": "1m", "timeout": "10s"}}, "debounce.timeout", "shorter"),
    ({"debounce": {"period": "1m", "key": "customer"}}, "debounce.key", "data"),
    ({"on": {"event": "a"}, "ordering": "key", "debounce": {"period": "1s"}}, "debounce", "ordering"),
])
def test_what_is_refused(project, guests, settings, path, says):
    project.write({"functions": [function("step", project.module(guests.rust("nap.rs")), **settings)]})
    result = project.nexus("validate", check=False)
    assert result.returncode == 2 and f"functions[0].{path}" in result.stdout and says in result.stdout
