"""`batch`: a function gets several events in one run; each event's record says in which batch it is (docs/FLOW.md)."""

import json

import pytest
from nexus import nats
from nexus.node import Node, Project, function
from nexus.wait import Stopwatch, wait_until


@pytest.fixture(scope="module")
def node(tmp_path_factory, guests):
    project = Project(tmp_path_factory.mktemp("batch") / "project")
    collect = project.module(guests.rust("collect.rs"))
    project.write({"functions": [
        function("full", collect, batch={"max_size": 5, "timeout": "60s"}),
        function("timed", collect, batch={"max_size": 100, "timeout": "1s"}, concurrency=1),
        function("keyed", collect, batch={"max_size": 2, "timeout": "60s", "key": "data.key"}),
        function("whole", collect, batch={"max_size": 3, "timeout": "60s"}, input="cloudevent"),
        function("retried", collect, batch={"max_size": 3, "timeout": "60s"}, retry={"max_attempts": 2, "initial_interval": "10ms"}),
        function("slow", collect, batch={"max_size": 100, "timeout": "4s"}),
    ]})
    with Node(project) as node:
        yield node


def send(node, name, n, **more):
    return [node.publish(name, json_body={"n": i, **more}) for i in range(n)]


def batch_of(node, event_id, deadline=60):
    run = node.run_of(event_id, deadline=deadline)
    assert run["status"] == "batched" and "why" not in run, run
    whole = node.whole_run(run["run_id"])
    assert len(whole["batch"]) == 1 and f"runs in the batch {whole['batch'][0]}" in whole["message"]
    return whole["batch"][0]


def batch_run(node, ids):
    """The run of the one batch that these events are in."""
    batches = {batch_of(node, e) for e in ids}
    assert len(batches) == 1, batches
    batch = batches.pop()
    return batch, node.whole_run(node.run_of(batch, deadline=60)["run_id"])


def test_a_full_batch_is_one_run(node):
    ids = send(node, "full", 5)
    batch, run = batch_run(node, ids)
    assert run["status"] == "ok" and [x["n"] for x in json.loads(run["output"])] == list(range(5))
    event = node.api(f"events/{batch}").json()["event"]
    assert run["batch"] == ids and event["type"] == "nexus.batch.full" and event["nexusbatch"].split(",") == ids
    assert [v["verdict"] for v in node.replay(batch)] == ["identical"]
    told = node.nexus("replay", ids[0], check=False)
    assert f"runs in the batch {batch}" in told.stdout + told.stderr
    assert {r["event_id"] for r in node.json("runs", "list", "--function", "full", "--status", "batched")} == set(ids)


def test_time_ends_a_batch_that_is_not_full(node):
    with Stopwatch() as watch:
        _, run = batch_run(node, send(node, "timed", 3))
    assert watch.s > 1 and len(json.loads(run["output"])) == 3


def test_more_events_than_fit_are_several_batches(node):
    ids = send(node, "timed", 230)
    batches = {batch_of(node, e) for e in ids}
    outputs = [json.loads(node.whole_run(node.run_of(b)["run_id"])["output"]) for b in batches]
    assert sorted(x["n"] for output in outputs for x in output) == list(range(230))
    assert max(map(len, outputs)) <= 100 and len(batches) < 20


def test_only_events_of_one_key_go_together(node):
    a, b = node.publish("keyed", json_body={"key": "a"}), node.publish("keyed", json_body={"key": "b"})
    assert batch_run(node, [a, node.publish("keyed", json_body={"key": "a"})])[0] != batch_run(node, [b, node.publish("keyed", json_body={"key": "b"})])[0]


def test_whole_events_are_a_cloudevents_batch(node):
    ids = [node.publish("whole", content, headers={"content-type": kind})
           for content, kind in ((b'{"a":1}', "application/json"), (b"text", "text/plain"), (b"\xff\x00", "application/octet-stream"))]
    batch, run = batch_run(node, ids)
    events = json.loads(run["output"])
    assert [e["id"] for e in events] == ids and events[0]["data"] == {"a": 1} and events[1]["data"] == "text" and events[2]["data_base64"] == "/wA="
    assert node.api(f"events/{batch}").json()["event"]["datacontenttype"] == "application/cloudevents-batch+json"
    assert [v["verdict"] for v in node.replay(batch)] == ["identical"]


def test_a_failed_batch_is_tried_again_as_a_whole(node):
    ids = [*send(node, "retried", 2), node.publish("retried", json_body={"n": "flaky"})]
    _, run = batch_run(node, ids)
    assert (run["status"], run["attempt"], len(json.loads(run["output"]))) == ("ok", 2, 3)


def test_each_event_of_a_dead_batch_is_a_dead_letter(node):
    ids = [*send(node, "retried", 2), node.publish("retried", json_body={"n": "poison"})]
    letters = {}

    def all_dead():
        letters.update({x["event_id"]: x for x in node.json("dlq", "list", "--function", "retried")})
        return len(letters) >= 3

    wait_until(all_dead, "three dead letters", 30, on_failure=node.log)
    assert set(letters) == set(ids) and all(x["why"] == "exit" and "in the batch" in x["message"] for x in letters.values())
    node.nexus("dlq", "redrive", ids[0])
    again = wait_until(lambda: [r for r in node.runs(event=ids[0]) if r["generation"] == 2], "the redriven run", 30, on_failure=node.log)[0]
    whole = node.whole_run(again["run_id"])
    assert whole["status"] == "ok" and whole["takes_batches"] and json.loads(whole["output"]) == [{"n": 0}]
    assert [(v["run_id"], v["verdict"]) for v in node.replay(ids[0])] == [(again["run_id"], "identical")]
    assert {x["event_id"] for x in node.json("dlq", "list", "--function", "retried")} == set(ids[1:])
    node.nexus("dlq", "redrive", ids[2])
    wait_until(lambda: [r for r in node.runs(event=ids[2]) if r["generation"] == 2 and r["status"] == "error"], "the poison's own failure", 30, on_failure=node.log)
    assert ids[2] in {x["event_id"] for x in node.json("dlq", "list", "--function", "retried")}


def test_what_is_gathered_outlives_a_kill(node):
    ids = send(node, "slow", 6)
    node.kill()
    node.start()
    batches = {batch_of(node, e) for e in ids}
    outputs = [json.loads(node.whole_run(node.run_of(b, deadline=30)["run_id"])["output"]) for b in batches]
    assert sorted(x["n"] for output in outputs for x in output) == list(range(6))


def test_what_is_gathered_outlives_a_stop(node):
    ids = send(node, "slow", 3)
    node.restart()
    assert {x["n"] for b in {batch_of(node, e) for e in ids} for x in json.loads(node.whole_run(node.run_of(b, deadline=30)["run_id"])["output"])} == {0, 1, 2}


def test_who_waits_is_told_of_the_batch(node):
    answer = node.call("timed", '{"n":1}')
    assert answer.status_code == 202 and answer.json()["code"] == "batched" and "runs in the batch" in answer.json()["detail"]


def external(tmp_path, guests, server, name):
    project = Project(tmp_path / name)
    project.write({"nats": {"url": server.url}, "http": {"max_body": "900Ki"}, "functions": [
        function("shared", project.module(guests.rust("collect.rs")), batch={"max_size": 10, "timeout": "1s"}, max_output="4Mi"),
    ]})
    return Node(project)


def test_several_nodes_batch_each_event_once(tmp_path, guests):
    with nats.Server(tmp_path / "server") as server, external(tmp_path, guests, server, "a") as a, external(tmp_path, guests, server, "b") as b:
        ids = [(a, b)[i % 2].publish("shared", json_body={"n": i}) for i in range(40)]
        outputs = [json.loads(a.whole_run(a.run_of(x, deadline=60)["run_id"])["output"]) for x in {batch_of(a, e) for e in ids}]
        assert sorted(x["n"] for output in outputs for x in output) == list(range(40))


def test_an_event_that_makes_too_large_a_batch_is_run_alone(tmp_path, guests):
    """Quotes take two bytes each in an array, and the server takes messages of 1 MiB."""
    with nats.Server(tmp_path / "server", max_payload=1 << 20) as server, external(tmp_path, guests, server, "a") as node:
        text = '"' * 800_000
        event_id = node.publish("shared", text, headers={"content-type": "text/plain"})
        run = node.run_of(event_id, deadline=60)
        assert run["status"] == "ok" and json.loads(node.whole_run(run["run_id"])["output"]) == [text]
        assert [v["verdict"] for v in node.replay(event_id)] == ["identical"]


@pytest.mark.parametrize("settings, path, says", [
    ({"batch": {"timeout": "1s"}}, "batch.max_size", "missing"),
    ({"batch": {"max_size": 1000}}, "batch.max_size", "too large"),
    ({"batch": {"max_size": 2, "timeout": "5m"}}, "batch.timeout", "too large"),
    ({"batch": {"max_size": 2}, "concurrency": {"limit": 1, "key": "data.a"}}, "concurrency.key", "batch.key"),
    ({"batch": {"max_size": 2}, "priority": {"run": "data.a"}}, "priority.run", "batch"),
    ({"batch": {"max_size": 2}, "debounce": {"period": "1s"}}, "batch", "debounce"),
    ({"batch": {"max_size": 2}, "respond": "sync"}, "respond", "async"),
    ({"batch": {"max_size": 2}, "on": {"event": ">"}}, "on.event", "nexus.batch.step"),
    ({"batch": {"max_size": 2}, "on": {"event": "a"}, "ordering": "key"}, "batch", "ordering"),
])
def test_what_is_refused(project, guests, settings, path, says):
    project.write({"functions": [function("step", project.module(guests.rust("nap.rs")), **settings)]})
    result = project.nexus("validate", check=False)
    assert result.returncode == 2 and f"functions[0].{path}" in result.stdout and says in result.stdout
