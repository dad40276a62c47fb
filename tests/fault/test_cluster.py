"""Three nodes on three servers with three copies of everything: whichever dies, at any moment, nothing that was accepted is lost, each run ends
once, the events of a key stay in order, and somebody serves.

NX_CLUSTER_S: how long test_any_of_them_may_die goes on (25 s; a soak takes 300). NX_SEED repeats its choices. NX_ELECTION: the servers' time of
elections (1s; empty: their own 4 to 9 s, which no gap of 5 s can hold)."""

import json
import os
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from nexus.book import Book, expect_one_run_each, settled
from nexus.cluster import Clients, Cluster, Fleet, Killer
from nexus.node import function, moment
from nexus.ports import free_port
from nexus.wait import SLOW, pause, wait_until

SECONDS = float(os.environ.get("NX_CLUSTER_S", "25"))
SEED = int(os.environ.get("NX_SEED", str(int(time.time()))))
GAP_S = 5.0 if SECONDS >= 300 else 10.0  # beside other tests the servers themselves are late
KEYS = 6


def functions(guests):
    def settings(project):
        probe = project.module(guests.rust("probe.rs"))
        return {"log": {"format": "json"}, "functions": [function("load", probe), function("step", probe, on={"event": "step"}, ordering="key"),
                              function("store", project.module(guests.rust("effects.rs")), key_value_stores=["default"])]}

    return settings


@pytest.fixture
def cluster(tmp_path):
    with Cluster(tmp_path, election=os.environ.get("NX_ELECTION", "1s") or None) as cluster:
        yield cluster


@pytest.fixture
def fleet(tmp_path, cluster, guests):
    with Fleet(tmp_path, cluster, functions(guests)) as fleet:
        yield fleet


def plain(i):
    return "/events/load", "sleep 30" if i % 10 == 0 else f"event {i}", {}


def trace(i):
    return f"00-{i:032x}-{1:016x}-01"


def waiting(i):
    return "/events/load", f"answer {i}", {"Prefer": "wait=10", "traceparent": trace(i)}


def keyed(i):
    headers = {"ce-specversion": "1.0", "ce-source": "/test", "ce-type": "step", "ce-partitionkey": f"k{i % KEYS}", "ce-id": f"{i}"}
    return "/events/step", f"sleep {i % 3}", headers


def near(moment, record):
    return [f"{kind}{i} {moment - when:+.1f} s" for kind, i, when in record if -1 < moment - when < 20]


def tell_waits(fleet, calls, record):
    """What became of the calls that waited longest: which deaths came before and while they did, and what the nodes said of their runs."""
    wall, said = time.time() - time.monotonic(), {}
    for i, node in enumerate(fleet.nodes):
        for line in node.log(whole=True).splitlines():
            entry = json.loads(line) if line.startswith("{") else {}
            if entry.get("trace_id"):
                said.setdefault(entry["trace_id"], []).append((moment(entry["time"]) - wall, f"node{i}: {entry['message']}"))
    for number, begun, ended, outcome in sorted(calls.waits, key=lambda wait: wait[1] - wait[2])[:5]:
        deaths = [(at, f"{kind}{i} is killed") for kind, i, at in record if begun - 2 < at < ended]
        story = [f"{at - begun:+.2f} s {what}" for at, what in sorted(deaths + said.get(trace(number)[3:35], []))]
        print(f"call {number}, {outcome} after {ended - begun:.2f} s: " + "; ".join(story))


@pytest.mark.timeout(360 + 2 * SECONDS)
def test_any_of_them_may_die(cluster, fleet):
    """kill -9 of nodes and of servers, at most one of each kind at a time, while events are accepted, answered, and ordered."""
    print(f"seed {SEED}, {SECONDS:.0f} s")
    record = []
    events, calls, steps = Clients(fleet.urls, plain, 4, 0.02), Clients(fleet.urls, waiting, 2, 0.02, 12), Clients(fleet.urls, keyed, 1, 0.02)
    nodes = Killer("node", 3, fleet.kill, fleet.start, lambda: all(n.is_ready() for n in fleet.nodes), record, SEED, on_failure=fleet.log)
    servers = Killer("server", 3, lambda i: cluster.servers[i].kill(), lambda i: cluster.servers[i].start(), cluster.is_whole, record, SEED,
                     on_failure=lambda: "\n".join([*cluster.ailments(), fleet.log()]))
    with events, calls, steps:
        wait_until(lambda: events.count > 100 and calls.count > 20 and steps.count > 20, "the load", 30, on_failure=fleet.log)
        with nodes, servers:
            pause(SECONDS)
        wait_until(lambda: all(n.is_ready() for n in fleet.nodes), "all nodes to be ready", 60, every=0.1, on_failure=fleet.log)
        pause(1)
    accepted = {**events.accepted, **calls.accepted, **steps.accepted}
    for name, clients in ("202", events), ("200", calls), ("ordered", steps):
        print(f"{name}: {clients.count} accepted, {len(clients.refused)} refused, {clients.broken} broken, longest gaps "
              + "; ".join(f"{gap:.2f} s {near(at, record)}" for gap, at in clients.gaps()))
    tell_waits(fleet, calls, record)
    print(f"{len(record)} kills: {sum(kind == 'node' for kind, _, _ in record)} of nodes, {sum(kind == 'server' for kind, _, _ in record)} of servers")
    assert {kind for kind, _, _ in record} == {"node", "server"}
    book = settled(cluster, fleet, accepted)
    print(f"{len(book.events)} events, {len(book.finals)} runs, {len(book.repeated)} of them run more than once")
    book.expect_order()
    assert {status for _, _, status in book.finals.values()} <= {"ok", "dead"}
    expect_one_run_each(fleet, book, list(accepted)[:: max(1, len(accepted) // 60)])
    for event_id, body in calls.bodies.items():
        assert body == calls.accepted[event_id][1], "a caller got another one's answer"
    for what, clients, most in ("took events", events, GAP_S), ("took events with a key", steps, GAP_S), ("answered", calls, GAP_S):
        assert clients.gaps()[0][0] <= most * SLOW, f"nobody {what} for {clients.gaps()[0][0]:.1f} s"


PLACES = {
    "the log": [("NX_EVENTS_default", None)],
    "the records": [("NX_RUNS_default", None)],
    "a consumer": [("NX_EVENTS_default", "fn-load")],
    "all but the spare log": [("NX_EVENTS_default", None), ("NX_RUNS_default", None), ("NX_EVENTS_default", "fn-load"), ("NX_MARKS_default", None)],
    "the log and the spare log": [("NX_EVENTS_default", None), ("NX_SPARE_default", None)],
}


@pytest.mark.timeout(400)
def test_the_leader_of_anything_dies(cluster, fleet):
    """kill -9 of the server that leads the log, the records, a consumer, or several of them: how long nobody takes events, events of a key, and gives
    answers."""
    gap_s = {}
    events, calls, steps = Clients(fleet.urls, plain, 3, 0.02), Clients(fleet.urls, waiting, 2, 0.02, 12), Clients(fleet.urls, keyed, 1, 0.02)
    with events, calls, steps:
        wait_until(lambda: events.count > 100 and calls.count > 20 and steps.count > 20, "the load", 30, on_failure=fleet.log)
        for number, (name, places) in enumerate(PLACES.items()):
            victim = cluster.servers[number % 3]
            wait_until(cluster.is_whole, "all servers", 60, every=0.1, on_failure=lambda: "\n".join(cluster.ailments()))
            for place in places:
                cluster.lead(victim, *place)
            at = time.monotonic()
            victim.kill()
            before = [clients.count for clients in (events, calls, steps)]
            wait_until(lambda before=before: all(clients.count > b + 20 for clients, b in zip((events, calls, steps), before)), "service", 30, on_failure=fleet.log)
            gap_s[name] = [clients.gaps(at)[0][0] for clients in (events, steps, calls)]
            print(f"{name}: gaps: {gap_s[name][0]:.2f} s (202), {gap_s[name][1]:.2f} s (with a key), {gap_s[name][2]:.2f} s (answers)")
            victim.start()
    book = settled(cluster, fleet, {**events.accepted, **calls.accepted, **steps.accepted})
    book.expect_order()
    expect_one_run_each(fleet, book, list({**events.accepted, **steps.accepted})[::50])
    for name, (took, took_keyed, answered) in gap_s.items():
        assert max(took, took_keyed) <= 5 * SLOW and answered <= GAP_S * SLOW, f"{name}: {gap_s[name]}"


@pytest.mark.timeout(240)
def test_leaders_step_down(cluster, fleet):
    """The leaders of the log, of the records and of a consumer give way one after the other: nobody notices."""
    events, calls = Clients(fleet.urls, plain, 3, 0.005), Clients(fleet.urls, waiting, 2, 0.01, 12)
    with events, calls:
        wait_until(lambda: events.count > 100 and calls.count > 20, "the load", 30, on_failure=fleet.log)
        for what in ("STREAM.LEADER.STEPDOWN.NX_EVENTS_default", "STREAM.LEADER.STEPDOWN.NX_RUNS_default",
                     "CONSUMER.LEADER.STEPDOWN.NX_EVENTS_default.fn-load"):
            cluster.step_down(what)
            before = calls.count
            wait_until(lambda before=before: calls.count > before + 20, f"answers after {what}", 30, on_failure=fleet.log)
            wait_until(cluster.is_whole, "the copies", 30, every=0.1)
    book = settled(cluster, fleet, {**events.accepted, **calls.accepted})
    print(f"longest gaps: {events.gaps()[0][0]:.2f} s (202), {calls.gaps()[0][0]:.2f} s (200); {book.sent_twice} of {len(book.finals)} records sent twice")
    assert not book.repeated
    expect_one_run_each(fleet, book, list(calls.accepted)[:30])
    assert events.gaps()[0][0] <= GAP_S * SLOW


@pytest.mark.timeout(240)
def test_a_paused_server_is_left(cluster, fleet):
    """The server that leads the log stops without a word (SIGSTOP): its connections stay open, and nobody hears from it for 12 s."""
    events, steps = Clients(fleet.urls, plain, 3, 0.005), Clients(fleet.urls, keyed, 1, 0.02)
    with events, steps:
        wait_until(lambda: events.count > 100 and steps.count > 20, "the load", 30, on_failure=fleet.log)
        victim, _ = cluster.two_leaders("NX_EVENTS_default", "NX_SPARE_default")
        os.kill(victim.process.pid, 19)
        try:
            pause(12)
        finally:
            os.kill(victim.process.pid, 18)
        before = events.count
        wait_until(lambda: events.count > before + 50, "events afterwards", 30, on_failure=fleet.log)
    print(f"longest gaps: {events.gaps()[0][0]:.2f} s, {steps.gaps()[0][0]:.2f} s (with a key)")
    book = settled(cluster, fleet, {**events.accepted, **steps.accepted})
    book.expect_order()
    expect_one_run_each(fleet, book, list(events.accepted)[::50])
    assert max(events.gaps()[0][0], steps.gaps()[0][0]) <= GAP_S * SLOW


@pytest.mark.timeout(240)
def test_a_late_record_does_not_win(cluster, fleet):
    """A node that sleeps through ack_wait in the middle of a run (SIGSTOP): another one runs the event, and what the sleeper records when it
    wakes up is not the run's."""
    caller = fleet.nodes[0]
    started = {node: node.log().count("Function 'load' started") for node in fleet.nodes}
    event_id = caller.publish("load", "sleep 1500")

    def executing():
        return next((node for node in fleet.nodes if node.log().count("Function 'load' started") > started[node]), None)

    sleeper = wait_until(executing, "the event to execute", 20, on_failure=fleet.log)
    others = [node for node in fleet.nodes if node is not sleeper]
    os.kill(sleeper.pid, 19)
    try:
        first = others[0].run_of(event_id, deadline=30)
        assert others[0].whole_run(first["run_id"])["node"] != sleeper.info["node"]
        pause(3)  # past the time in which the server itself drops a second record
    finally:
        os.kill(sleeper.pid, 18)
    wait_until(lambda: "another node has recorded this run" in sleeper.log(), "the sleeper to find out", 30, on_failure=fleet.log)
    for node in fleet.nodes:
        assert [(r["run_id"], r["status"]) for r in node.runs(event=event_id)] == [(first["run_id"], "ok")]
        assert node.whole_run(first["run_id"])["node"] != sleeper.info["node"]
        assert [r["run_id"] for r in node.runs(function="load") if r["event_id"] == event_id] == [first["run_id"]]
    assert not Book(cluster.urls).repeated
    assert [v["verdict"] for v in others[0].replay(event_id)] == ["identical"]


def expect_one_start_each(fleet, name, ids):
    """Each was executed once, whichever node did it."""
    lines = [json.loads(line) for node in fleet.nodes for line in node.log(whole=True).splitlines() if '"run.started"' in line]
    starts = Counter(line["event_id"] for line in lines if line["function"] == name)
    assert {i: starts[i] for i in ids if starts[i] != 1} == {}


@pytest.mark.timeout(300)
def test_long_waits_and_long_runs_are_not_repeated(tmp_path, cluster, guests):
    """What a node has in hand for several times ack_wait, waiting for its turn or running, is not given to another node; nor if the server dies that handed it out."""
    def settings(project):
        probe = project.module(guests.rust("probe.rs"))
        return {"log": {"format": "json"}, "functions": [function("queue", probe, concurrency=1), function("long", probe, timeout="60s")]}

    with Fleet(tmp_path, cluster, settings) as fleet, ThreadPoolExecutor(8) as pool:
        queued = list(pool.map(lambda i: fleet.nodes[i % 3].publish("queue", "sleep 8"), range(3000)))
        settled(cluster, fleet, dict.fromkeys(queued, (0, "")))
        expect_one_start_each(fleet, "queue", queued)
        running = [fleet.nodes[i % 3].publish("long", "sleep 9000") for i in range(6)]
        wait_until(lambda: sum(node.log().count("Function 'long' started") for node in fleet.nodes) == 6, "the long runs", 20, on_failure=fleet.log)
        victim = cluster.leader("NX_EVENTS_default", "fn-long")
        victim.kill()
        book = settled(cluster, fleet, dict.fromkeys([*queued, *running], (0, "")))
        victim.start()
        assert not book.repeated
        expect_one_start_each(fleet, "long", running)


@pytest.mark.timeout(180)
def test_a_node_waits_for_its_servers(tmp_path, cluster, guests):
    """A node that is started before its servers, or while too few of them are there, says what it waits for, and serves once they do."""
    with Fleet(tmp_path, cluster, functions(guests), count=1) as fleet:
        kept = fleet.nodes[0].publish("load", "kept")
        assert fleet.nodes[0].run_of(kept)["status"] == "ok"
        node = fleet.nodes[0]
        node.stop()
        for server in cluster.servers:
            server.kill()
        admin = f"127.0.0.1:{free_port()}"
        node.arguments = ["--admin", admin]
        node.launch()

        def reason():
            try:
                answer = httpx.get(f"http://{admin}/readyz")
            except httpx.TransportError:
                return None
            return answer.json()["reason"] if answer.status_code == 503 else None

        wait_until(lambda: "waiting for the NATS servers: " in (reason() or "") and "cannot connect" in reason(), "/readyz to say so", 20, on_failure=node.log)
        node.wait_log(".*WARN.*not ready for .* waiting for the NATS servers: .*cannot connect", 20)
        cluster.servers[0].start()  # one of three: it answers, and can do nothing
        wait_until(lambda: "cannot connect" not in (reason() or "cannot connect"), "another reason", 30, on_failure=node.log)
        assert "waiting for the NATS servers: " in reason() and node.process.poll() is None
        for server in cluster.servers[1:]:
            server.start()
        node.wait_ready(60)
        assert [v["verdict"] for v in node.replay(kept)] == ["identical"]
        assert node.call("load", "again").text == "again"


@pytest.mark.timeout(180)
def test_a_write_is_read_at_once_on_any_node(cluster, fleet):
    """Key-value stores with three copies: what one run has written, the next one reads, whichever server its node asks."""
    for i in range(60):
        put = fleet.nodes[i % 3].call("store", f"put key value-{i} any")
        assert put.status_code == 200, put.text
        got = fleet.nodes[(i + 1) % 3].call("store", "get default key")
        assert f"value-{i}" in got.text, (i, got.text)
