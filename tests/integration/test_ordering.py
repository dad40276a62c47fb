"""`ordering: key`: events of one key one at a time and in the order of the log, over retries, on several nodes, and when one of them dies."""

import time

import pytest
from nexus import nats
from nexus.node import Node, Project, function, moment
from nexus.wait import SLOW, wait_until

PROBE = "probe.rs"


def keyed(key):
    return {"ce-specversion": "1.0", "ce-source": "/test", "ce-type": "step", "ce-partitionkey": key}


def publish(node, key, index, content):
    return node.publish("step", content, headers={**keyed(key), "ce-id": f"{key}-{index}"})


def recorded(url):
    """Event ids in the order in which their final records were stored; each once."""
    ids = [headers["nx-event-id"] for _, subject, headers in nats.read_stream(url, "NX_RUNS_default") if "nx-final" in headers]
    return list(dict.fromkeys(ids))


def ordered(guests, project, url=None, **settings):
    more = {"nats": {"url": url}} if url else {}
    code = project.module(guests.rust(PROBE))
    project.write({**more, "functions": [function("step", code, on={"event": "step"}, ordering="key", **settings)]})
    return project


def expect_order(sent, ids):
    places = {event_id: i for i, event_id in enumerate(ids)}
    for key, events in sent.items():
        got = [places[e] for e in events]
        assert got == sorted(got), f"key {key} out of order: {got}"


def test_keys_in_order_and_one_at_a_time(project, guests):
    ordered(guests, project)
    with Node(project) as node:
        sent = {key: [publish(node, key, i, "sleep 20") for i in range(12)] for key in "abc"}
        url = nats.private_url(project.data_dir)
        ids = wait_until(lambda: (r := recorded(url)) and len(r) == 36 and r, "36 records", 30, every=0.1, on_failure=node.log)
        expect_order(sent, ids)
        for key, events in sent.items():
            spans = []
            for e in events:
                run = node.whole_run(node.run_of(e)["run_id"])
                begin = moment(run["time"]) * 1000
                spans.append((begin, begin + run["duration_ms"]))
            spans.sort()
            assert all(a[1] <= b[0] + 1 for a, b in zip(spans, spans[1:])), f"key {key}: two at a time"
        free = node.publish("step", "no key")  # without a key in no order
        node.run_of(free)
        assert node.api_list("functions")[0]["in_flight"] == 0
        assert [v["verdict"] for v in node.replay(sent["a"][0])] == ["identical"]


def test_a_key_is_held_back_while_it_backs_off_and_others_are_not(project, guests):
    ordered(guests, project, retry={"max_attempts": 2, "initial_interval": "5s", "jitter": "none"})
    with Node(project) as node:
        node.run_of(publish(node, "b", 0, "warm"))
        first = publish(node, "a", 0, "exit 3")
        after = [publish(node, "a", i, "late") for i in (1, 2)]
        others = [publish(node, "b", i, "now") for i in range(1, 9)]
        for e in others:
            node.run_of(e)
        assert node.run_of(first)["attempt"] == 2
        for e in after:
            node.run_of(e)
        ids = recorded(nats.private_url(project.data_dir))
        expect_order({"a": [first, *after], "b": others}, ids)
        assert ids.index(others[-1]) < ids.index(first), "the other key waited, too"


def test_order_holds_when_a_node_is_killed(tmp_path, guests):
    with nats.Server(tmp_path / "server") as server:
        projects = [ordered(guests, Project(tmp_path / name), server.url) for name in "ab"]
        with Node(projects[0]) as a, Node(projects[1]) as b:
            sent = {key: [] for key in ("k1", "k2", "k3")}

            def send(node, first, last):
                for i in range(first, last):
                    for key in sent:
                        sent[key].append(publish(node, key, i, "sleep 15"))

            send(a, 0, 40)
            wait_until(lambda: len(recorded(server.url)) > 20, "some records", 30, every=0.05, on_failure=a.log)
            # The one that has the keys, in the middle of its work.
            runs = a.runs(event=sent["k1"][0])
            victim, other = (a, b) if a.whole_run(runs[0]["run_id"])["node"] == a.api("node").json()["node"] else (b, a)
            victim.kill()
            victim.process = None
            send(other, 40, 60)
            total = sum(map(len, sent.values()))
            ids = wait_until(lambda: (r := recorded(server.url)) and len(r) == total and r, f"{total} records", 45, every=0.2, on_failure=other.log)
            expect_order(sent, ids)


def test_another_node_takes_over_at_once_from_one_that_stops(tmp_path, guests):
    with nats.Server(tmp_path / "server") as server:
        projects = [ordered(guests, Project(tmp_path / name), server.url) for name in "ab"]
        with Node(projects[0]) as a, Node(projects[1]) as b:
            a.run_of(publish(a, "k", 0, "x"))
            a.stop()
            b.run_of(publish(b, "k", 1, "y"), deadline=5)


def test_a_function_becomes_ordered_and_loses_nothing(project, guests):
    code = project.module(guests.rust(PROBE))
    project.write({"functions": [function("step", code, on={"event": "step"})]})
    with Node(project) as node:
        sent = []
        for i, settings in enumerate([{}, {"ordering": "key"}, {}]):
            if i:
                project.write({"functions": [function("step", code, on={"event": "step"}, **settings)]})
                node.wait_log(r"function 'step': settings changed", count=i)
            sent += [publish(node, "k", f"{i}-{n}", "x") for n in range(5)]
        for e in sent:
            node.run_of(e)
        names = nats.run(nats.private_url(project.data_dir), consumer_names)
        assert sorted(n for n in names if "step" in n) == ["fn-step"]


async def consumer_names(connection):
    import json
    return json.loads((await connection.request("$JS.API.CONSUMER.NAMES.NX_EVENTS_default", b"", timeout=5)).data)["consumers"]


@pytest.mark.parametrize("settings, says", [
    ({"on": {"nats": "orders.>"}, "ordering": "key"}, "on.nats"),
    ({"on": {"event": "a"}, "ordering": "key", "concurrency": 2}, "concurrency"),
    ({"on": {"event": "a"}, "ordering": "strict"}, "none, key"),
])
def test_what_is_refused(project, guests, settings, says):
    project.write({"functions": [function("step", project.module(guests.rust(PROBE)), **settings)]})
    result = project.nexus("validate", check=False)
    assert result.returncode == 2 and "functions[0].ordering" in result.stdout and says in result.stdout


@pytest.mark.timeout(120)
def test_another_node_takes_over_soon_after_a_kill(tmp_path, guests):
    """Events in hand, delivered and unfinished, of the node that dies: the other one runs them, and what came after them, in order."""
    with nats.Server(tmp_path / "server") as server:
        projects = [ordered(guests, Project(tmp_path / name), server.url) for name in "ab"]
        with Node(projects[0]) as a, Node(projects[1]) as b:
            sent = [publish(b, "k", i, "sleep 400") for i in range(3)]
            wait_until(lambda: len(recorded(server.url)) == 1, "the first record", 20, every=0.02, on_failure=a.log)
            holder = a.whole_run(a.runs(event=sent[0])[0]["run_id"])["node"]
            victim, other = (a, b) if holder == a.api("node").json()["node"] else (b, a)
            killed_at = time.monotonic()
            victim.kill()
            victim.process = None
            sent.append(publish(other, "k", 3, "after"))
            wait_until(lambda: "Function 'step' started" in other.log(), "the other node to go on", 20, on_failure=other.log)
            took_s = time.monotonic() - killed_at
            print(f"taken over after {took_s:.1f} s")
            ids = wait_until(lambda: (r := recorded(server.url)) and len(r) == 4 and r, "four records", 20, every=0.1, on_failure=other.log)
            assert ids == sent
            assert took_s <= 15 * SLOW  # up to 4.7 s where nothing else runs


@pytest.mark.timeout(180)
def test_ranges_are_shared_out_to_a_node_that_joins(tmp_path, guests):
    """One node has all keys; another one joins and gets its half, while events go on and stay in order."""
    with nats.Server(tmp_path / "server") as server:
        projects = [ordered(guests, Project(tmp_path / name), server.url) for name in "ab"]
        keys = [f"key-{i}" for i in range(40)]
        sent, number = {key: [] for key in keys}, 0
        with Node(projects[0]) as a:

            def send():
                nonlocal number
                for key in keys:
                    sent[key].append(publish(a, key, number, "x"))
                number += 1

            send()
            wait_until(lambda: len(recorded(server.url)) == len(keys), "the first node to run all", 30, every=0.1, on_failure=a.log)
            with Node(projects[1]) as b:
                names = {node.api("node").json()["node"]: 0 for node in (a, b)}

                def shared():
                    send()
                    newest = [sent[key][-1] for key in keys]
                    for name in names:
                        names[name] = 0
                    for event_id in newest:
                        names[a.whole_run(a.run_of(event_id, deadline=15)["run_id"])["node"]] += 1
                    return min(names.values()) >= len(keys) // 5

                wait_until(shared, "both nodes to have keys", 40, every=0.5, on_failure=lambda: f"{names}\n{b.log()}")
                print(names)
                total = sum(map(len, sent.values()))
                ids = wait_until(lambda: (r := recorded(server.url)) and len(r) == total and r, f"{total} records", 45, every=0.2, on_failure=a.log)
                expect_order(sent, ids)


# ---- delayed events and redrives join the order of their key ------------------------------------------------------------------------------


def spans_of(node, events):
    """Begin and end of each event's last run, in milliseconds."""
    spans = []
    for event_id in events:
        run = node.whole_run(node.runs(event=event_id)[0]["run_id"])
        begin = moment(run["time"]) * 1000
        spans.append((begin, begin + run["duration_ms"]))
    return spans


def expect_one_at_a_time(node, events):
    spans = sorted(spans_of(node, events))
    assert all(a[1] <= b[0] + 1 for a, b in zip(spans, spans[1:])), spans


def places(url, function_name="step"):
    """Events that have taken a place in the log once more for the function, in its order."""
    return [headers.get("nx-event-id") or headers["ce-id"] for _, subject, headers in nats.read_stream(url, "NX_EVENTS_default")
            if subject.startswith("nx.default.due.") and subject.endswith(f".{function_name}")]


def test_a_delayed_event_joins_its_key_when_it_is_due(project, guests):
    ordered(guests, project)
    with Node(project) as node:
        url = nats.private_url(project.data_dir)
        late = node.publish("step?delay=1500ms", "late", headers={**keyed("a"), "ce-id": "late"})
        before = [publish(node, "a", i, "sleep 900") for i in range(5)]
        wait_until(lambda: places(url) == [late], "the delayed event's place in the log", 10, on_failure=node.log)
        assert not node.runs(event=before[-1])  # so it was due while those of its key were at work
        after = [publish(node, "a", 10 + i, "x") for i in range(2)]
        sent = [*before, late, *after]
        ids = wait_until(lambda: (r := recorded(url)) and len(r) == len(sent) and r, "8 records", 30, every=0.1, on_failure=node.log)
        assert ids == sent
        expect_one_at_a_time(node, sent)
        # It is the event as it was: found, listed once, replayed.
        assert [e["event_id"] for e in node.api_list("events", limit=100)].count(late) == 1
        assert len(node.api_list("events", limit=100)) == len(sent)
        assert [v["verdict"] for v in node.replay(late)] == ["identical"]
        run = node.whole_run(node.run_of(late)["run_id"])
        assert run["event_seq"] < node.whole_run(node.run_of(before[0])["run_id"])["event_seq"]


def test_a_redrive_joins_its_key_and_keeps_it_through_retries(project, guests):
    ordered(guests, project, retry={"max_attempts": 2, "initial_interval": "600ms", "jitter": "none"})
    with Node(project) as node:
        url = nats.private_url(project.data_dir)
        failed = publish(node, "a", 0, "exit 3")
        assert node.run_of(failed)["status"] == "error"
        before = [publish(node, "a", i, "sleep 900") for i in range(1, 5)]
        node.nexus("dlq", "redrive", failed)
        wait_until(lambda: places(url) == [failed], "the redrive's place in the log", 10, on_failure=node.log)
        assert not node.runs(event=before[-1])
        after = [publish(node, "a", i, "x") for i in (5, 6)]
        wait_until(lambda: len(recorded(url)) == 7, "all events", 30, every=0.1, on_failure=node.log)
        wait_until(lambda: len(node.runs(event=failed)) == 2, "the redriven run", 20, on_failure=node.log)
        finals = [headers["nx-event-id"] for _, _, headers in nats.read_stream(url, "NX_RUNS_default") if "nx-final" in headers]
        assert finals == [failed, *before, failed, *after]  # behind what was stored, before what came later, over its own retry
        newest = max(node.runs(event=failed), key=lambda r: r["generation"])
        assert (newest["generation"], newest["attempt"]) == (1, 2)
        expect_one_at_a_time(node, [*before, *after])


def test_places_survive_a_kill_and_the_end_of_ordering(project, guests):
    ordered(guests, project)
    with Node(project) as node:
        url = nats.private_url(project.data_dir)
        late = node.publish("step?delay=1500ms", "late", headers={**keyed("a"), "ce-id": "late"})
        before = [publish(node, "a", i, "sleep 900") for i in range(4)]
        wait_until(lambda: places(url) == [late], "the delayed event's place in the log", 10, on_failure=node.log)
        node.kill()
        node.start()
        url = nats.private_url(project.data_dir)
        assert not node.runs(event=late)
        code = project.module(guests.rust(PROBE))
        project.write({"functions": [function("step", code, on={"event": "step"})]})  # not ordered any more: it goes on where it was
        node.wait_log(r"function 'step': settings changed", deadline=20)
        for event_id in [*before, late]:
            node.run_of(event_id, deadline=30)
