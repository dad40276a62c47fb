"""Delayed events: stored at once, delivered at their time, once, whatever stops and starts meanwhile."""

import json
import time
from datetime import datetime, timedelta, timezone

import pytest
from nexus import nats, processes
from nexus.node import Node, Project, function, moment
from nexus.wait import wait_until


def rfc3339(seconds_from_now):
    return (datetime.now(timezone.utc) + timedelta(seconds=seconds_from_now)).isoformat().replace("+00:00", "Z")


def started(node, run):
    return moment(node.whole_run(run["run_id"])["time"])


@pytest.fixture(scope="module")
def node(module_project, guests):
    probe = module_project.module(guests.rust("probe.rs"))
    module_project.write({
        "retention": {"events": {"max_age": "30d"}},
        "functions": [
            function("probe", probe),
            function("other", probe, on={"event": "probe"}),
            function("sync", probe, on={"http": {"path": "/sync"}}, respond="sync"),
            function("whole", probe, on={"event": "whole"}, input="cloudevent"),
        ]})
    with Node(module_project) as node:
        yield node


def waiting(node):
    """Timers that wait or are due, by the server's own count."""
    return nats.stream_info(nats.private_url(node.project.data_dir), "NX_TIMERS_default")["state"]["messages"]


def test_an_event_is_stored_at_once_and_delivered_later_to_all(node):
    answer = node.post("probe?delay=4s", "late")
    assert answer.status_code == 202, answer.text
    body = answer.json()
    assert set(body) == {"event_id", "status", "trace_id", "deliver_at"}
    due = moment(body["deliver_at"])
    assert 0 < due - time.time() <= 4
    wait_until(lambda: waiting(node) == 2, "a timer for each function")
    assert node.runs(event=body["event_id"]) == []
    shown = node.json("events", "show", body["event_id"])[0]
    assert moment(shown["deliver_at"]) == due
    assert "deliver at" in node.nexus("events", "show", body["event_id"]).stdout
    runs = node.wait_runs(body["event_id"], 2)
    assert {r["function"] for r in runs} == {"probe", "other"}
    for run in runs:
        assert due <= started(node, run) < due + 5
        assert run["attempt"] == 1 and run["status"] == "ok"
    assert [v["verdict"] for v in node.replay(body["event_id"], "--function", "probe")] == ["identical"]
    wait_until(lambda: waiting(node) == 0, "the timers to be acknowledged")


def test_a_time_and_a_field(node):
    for headers in ({"Nexus-Deliver-At": rfc3339(0.8)}, {"Nexus-Delay": "800ms"}):
        answer = node.post("whole", "x", headers=headers)
        assert answer.status_code == 202, answer.text
        due = moment(answer.json()["deliver_at"])
        assert due <= started(node, node.run_of(answer.json()["event_id"]))


def test_a_time_that_has_passed_is_now(node):
    for headers in ({"Nexus-Deliver-At": "2001-01-01T00:00:00Z"}, {"Nexus-Delay": "0s"}):
        answer = node.post("whole", "x", headers=headers)
        assert answer.status_code == 202 and "deliver_at" not in answer.json()
        node.run_of(answer.json()["event_id"])


@pytest.mark.parametrize("path, headers, says", [
    ("whole?delay=soon", {}, "not a duration"),
    ("whole?delay=-1s", {}, "not a duration"),
    ("whole?delay=", {}, "not a duration"),
    ("whole?delay=366d", {}, "365 days"),
    ("whole?delay=31d", {}, "retention.events.max_age"),
    ("whole", {"Nexus-Deliver-At": "tomorrow"}, "not a time"),
    ("whole", {"Nexus-Deliver-At": "2199-01-01T00:00:00Z"}, "365 days"),
    ("whole?delay=1s", {"Nexus-Delay": "1s"}, "given once"),
    ("whole?delay=1s", {"Prefer": "wait=5"}, "no output to wait for"),
    ("/sync?delay=1s", {}, "respond-async"),
])
def test_what_is_refused(node, path, headers, says):
    answer = node.post(path, "x", headers=headers)
    assert answer.status_code == 400, answer.text
    assert says in answer.json()["detail"]


def test_a_route_that_answers_may_be_asked_not_to(node):
    answer = node.post("/sync?delay=300ms", "x", headers={"Prefer": "respond-async"})
    assert answer.status_code == 202
    node.run_of(answer.json()["event_id"])


def test_a_duplicate_tells_the_time_of_the_first(node):
    first, second = (node.post("whole?delay=" + d, "x", headers={"Idempotency-Key": "once"}).json() for d in ("700ms", "1h"))
    assert second["duplicate"] and second["event_id"] == first["event_id"]
    assert second["deliver_at"] == first["deliver_at"]
    node.run_of(first["event_id"])


def test_a_delay_outlives_node_and_server(project, guests):
    probe = project.module(guests.rust("probe.rs"))
    project.write({"functions": [function("probe", probe)]})
    node = Node(project)
    with node:
        sent = [node.post(f"probe?delay={d}", d).json() for d in ("1s", "4s")]
        wait_until(lambda: waiting(node) == 2, "both timers")
        server = node.nats_pid()
        node.kill()
        processes.kill(server)
        wait_until(lambda: time.time() > moment(sent[0]["deliver_at"]), "the first to be due while nothing runs")
        node.process = None
        node.start()
        for body in sent:
            run = node.run_of(body["event_id"])
            assert run["status"] == "ok"
            assert started(node, run) >= moment(body["deliver_at"])
        wait_until(lambda: waiting(node) == 0, "the timers to be acknowledged")


def test_concurrency_holds_for_events_and_timers_together(project, guests):
    probe = project.module(guests.rust("probe.rs"))
    project.write({"functions": [function("probe", probe, concurrency=1)]})
    with Node(project) as node:
        ids = [node.publish("probe?delay=900ms", "sleep 150") for _ in range(6)]
        wait_until(lambda: waiting(node) == 6, "the timers", 5)
        ids += [node.publish("probe", "sleep 150") for _ in range(10)]
        spans = []
        for e in ids:
            run = node.whole_run(node.run_of(e)["run_id"])
            begin = moment(run["time"]) * 1000
            spans.append((begin, begin + run["duration_ms"]))
        spans.sort()
        assert all(a[1] <= b[0] + 2 for a, b in zip(spans, spans[1:])), spans


def test_two_nodes_deliver_each_event_once(tmp_path, guests):
    with nats.Server(tmp_path / "server") as server:
        projects = [Project(tmp_path / name) for name in "ab"]
        for p in projects:
            p.write({"nats": {"url": server.url}, "functions": [function("probe", p.module(guests.rust("probe.rs")))]})
        with Node(projects[0]) as a, Node(projects[1]) as b:
            ids = [(a, b)[i % 2].publish("probe?delay=1s", str(i)) for i in range(40)]
            wait_until(lambda: len(a.runs(function="probe", limit=1000)) >= len(ids), "all runs", 20, on_failure=a.log)
            runs = a.runs(function="probe", limit=1000)
            assert sorted(r["event_id"] for r in runs) == sorted(ids)
            wait_until(lambda: nats.stream_info(server.url, "NX_TIMERS_default")["state"]["messages"] == 0, "all timers to be acknowledged")
            records = nats.stream_info(server.url, "NX_RUNS_default")["state"]["messages"]
            assert records == len(ids)


def timed(url):
    """Functions whose due timers the server has a consumer for."""
    async def job(connection):
        return json.loads((await connection.request("$JS.API.CONSUMER.NAMES.NX_TIMERS_default", b"", timeout=5)).data)

    return set(nats.run(url, job).get("consumers") or [])


def test_a_function_has_a_consumer_of_timers_once_it_needs_one(tmp_path, guests):
    probe = str(guests.rust("probe.rs"))
    functions = [function("plain", probe), function("never", probe), function("retries", probe, retry={"max_attempts": 2})]
    with nats.Server(tmp_path / "server") as server:
        projects = [Project(tmp_path / name) for name in ("a", "b")]
        for project in projects:
            project.write({"nats": {"url": server.url}, "functions": functions})
        with Node(projects[0]) as a:
            assert timed(server.url) == {"due-retries"}
            assert a.run_of(a.post("plain?delay=200ms", "first").json()["event_id"])["status"] == "ok"
            assert timed(server.url) == {"due-retries", "due-plain"}
            with Node(projects[1]) as b:  # which finds it, and is the only one when the timer is due
                event = a.post("plain?delay=3s", "second").json()["event_id"]
                wait_until(lambda: nats.stream_info(server.url, "NX_TIMERS_default")["state"]["messages"] == 1, "the timer", 3)
                a.stop()
                assert b.run_of(event)["status"] == "ok"


def test_another_node_takes_over_the_first_timer_of_a_function(tmp_path, guests):
    probe = str(guests.rust("probe.rs"))
    with nats.Server(tmp_path / "server") as server:
        projects = [Project(tmp_path / name) for name in ("a", "b")]
        for project in projects:
            project.write({"nats": {"url": server.url}, "functions": [function("plain", probe)]})
        with Node(projects[0]) as a, Node(projects[1]) as b:
            assert timed(server.url) == set()
            event = a.post("plain?delay=2s", "x").json()["event_id"]
            wait_until(lambda: timed(server.url) == {"due-plain"}, "the consumer", 2)
            for node in (a, b):
                node.kill()
                node.stop(expect=None)
            b.start()
            assert b.run_of(event, deadline=40)["status"] == "ok"
