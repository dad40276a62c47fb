"""The network between nodes and servers: a node that is cut off, and a server whose copies are always behind."""

import json
import time

import pytest
from nexus import nats
from nexus.book import expect_one_run_each, settled
from nexus.cluster import Clients, Cluster, Fleet
from nexus.network import Apart, SlowLine, needs_namespaces
from nexus.node import function, moment
from nexus.wait import SLOW, Stopwatch, pause, wait_until


def settings(guests, **more):
    return lambda project: {"functions": [function("load", project.module(guests.rust("probe.rs")), timeout="60s"),
                                          function("store", project.module(guests.rust("effects.rs")), key_value_stores=["default"])], **more}


# ---- cut off


@needs_namespaces
@pytest.mark.timeout(240)
def test_a_node_that_is_cut_off_refuses_loses_nothing_and_comes_back(tmp_path, guests):
    """A node in a network of its own with two cables, one to the servers and one to its callers. The first is pulled, without a word to either end, in
    the middle of the load and of a long run."""
    with Apart(2) as apart, Cluster(tmp_path, election="1s", host="0.0.0.0") as cluster:
        (servers_at, _), (_, node_at) = apart.cables
        with Fleet(tmp_path, cluster, settings(guests), count=2) as fleet:
            fleet.nodes[1].stop()
            node, other = fleet.nodes[1], fleet.nodes[0]
            node.project.write(node.project.file.read_text().replace("127.0.0.1", servers_at))
            node.wrapper = apart.wrapper
            node.arguments = ["--listen", f"{node_at}:0", "--admin", f"{node_at}:0"]
            fleet.start(1)
            clients = Clients([node.url], lambda i: ("/events/load", f"event {i}", {}), 2, 0.005)
            with clients:
                wait_until(lambda: clients.count > 100, "the load", 30, on_failure=fleet.log)
                started = node.log().count("sleep 9000")
                long_one = node.publish("load", "sleep 9000")
                apart.pull(0)
                cut_at = time.monotonic()

                def reason():
                    answer = node.client.get(f"{node.admin_url}/readyz")
                    return answer.json()["reason"] if answer.status_code == 503 else None

                why = wait_until(reason, "/readyz to say so", 20, on_failure=node.log)
                print(f"/readyz after {time.monotonic() - cut_at:.1f} s: {why}")
                wait_until(lambda: len([r for r in clients.refused if r[1] > cut_at]) > 5, "refusals", 20, on_failure=node.log)
                with Stopwatch() as watch:
                    answer = node.post("load", "x")
                assert answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1 and watch.s < 3 * SLOW
                # Whoever is not cut off does its work, also what it has in hand.
                taken = other.call("load", "elsewhere")
                assert taken.status_code == 200 and other.run_of(long_one, deadline=40)["status"] == "ok"
                assert other.whole_run(other.run_of(long_one)["run_id"])["node"] == other.info["node"], started
                apart.plug(0)
                plugged_at, before = time.monotonic(), clients.count
                wait_until(node.is_ready, "the node", 30, on_failure=node.log)
                print(f"ready {time.monotonic() - plugged_at:.1f} s after the cable was plugged in")
                wait_until(lambda: clients.count > before + 50, "events again", 30, on_failure=node.log)
            assert node.process.poll() is None
            assert {status for status, _, _ in clients.refused} <= {503}
            book = settled(cluster, fleet, {**clients.accepted, long_one: None})
            expect_one_run_each(fleet, book, [long_one, *list(clients.accepted)[:: max(1, len(clients.accepted) // 40)]])
            node.stop()


# ---- behind


STREAMS = ("NX_EVENTS_default", "NX_RUNS_default", "NX_TIMERS_default", "NX_SPARE_default", "NX_MARKS_default", "KV_nx-registry-default")


def lead_elsewhere(cluster, stream):
    """The last server leads it no longer."""
    def is_so():
        if cluster.leader_of(stream) not in (None, cluster.servers[2]):
            return True
        cluster.ask(f"STREAM.LEADER.STEPDOWN.{stream}", json.dumps({"placement": {"preferred": "s0"}}).encode())
        return False

    wait_until(is_so, f"another leader of {stream}", 30, every=0.5)


def asks_the_far_one(cluster, node):
    """What is published goes to the first server, and look-ups to the last: a node has a connection for each."""
    def names(i):
        return {c.get("name", "") for c in (cluster.monitored(i, "/connz") or {"connections": []})["connections"]}

    return f"nexus-{node.info['node']}-hot" in names(0) and f"nexus-{node.info['node']}-aux" in names(2)


@pytest.fixture(scope="module")
def far(tmp_path_factory, guests):
    """A node that reads from copies that are 0.15 s behind: it hears at once that an event is stored, and looks it up where it is not yet."""
    folder = tmp_path_factory.mktemp("far")
    small = {"retention": {"events": {"max_bytes": "16Mi"}}}  # a log that is soon under pressure
    with Cluster(folder, far=0.15 * min(SLOW, 2)) as cluster, SlowLine(cluster.servers[0].port, cluster.servers[2].port, delay=0) as fork:
        with Fleet(folder, cluster, settings(guests, **small), count=1, url=f"nats://127.0.0.1:{fork.port}") as fleet:
            node = fleet.nodes[0]
            for stream in STREAMS:
                lead_elsewhere(cluster, stream)
            wait_until(lambda: asks_the_far_one(cluster, node), "the node to ask the last server", 10, every=0.2, on_failure=fleet.log)
            wait_until(lambda: cluster.is_whole() and node.is_ready(), "all to be well", 30, every=0.2, on_failure=fleet.log)
            yield cluster, node


async def newest_at(connection):
    """Its id, as the copy of the server that is asked has it."""
    answer = await connection.request("$JS.API.DIRECT.GET.NX_EVENTS_default", json.dumps({"last_by_subj": "nx.default.ev.>"}).encode(), timeout=5)
    headers = answer.headers or {}
    return headers.get("nx-event-id", headers.get("ce-id"))


@pytest.mark.timeout(240)
def test_a_copy_that_is_behind_misleads_nobody(far):
    cluster, node = far

    async def looks(connection):  # one that is there: to connect takes as long as the copy is behind
        stale = 0
        for _ in range(40):
            event_id = node.publish("load", "stale")
            stale += await newest_at(connection) != event_id
            if stale == 3:
                break
        return stale

    assert nats.run(cluster.servers[2].url, looks) == 3, "this copy is not behind, and the test shows nothing"
    wait_until(lambda: node.call("store", "put other value any").text.isdigit(), "the store, which is made at its first use", 30, on_failure=node.log)
    for i in range(5):
        # By id, at once after it was accepted.
        event_id = node.publish("load", f"event {i}", headers={"Idempotency-Key": f"key {i}"})
        assert node.client.get(f"{node.admin_url}/api/v1/events/{event_id}").status_code == 200
        # A duplicate: its answer names the first one, which is read by sequence.
        again = node.post("load", "another", headers={"Idempotency-Key": f"key {i}"})
        assert again.status_code == 202 and again.json()["duplicate"] is True and again.json()["event_id"] == event_id
        # The record, at once after the answer.
        called = node.call("load", f"call {i}")
        assert called.text == f"call {i}"
        assert [r["status"] for r in node.runs(event=called.headers["nexus-event-id"])] == ["ok"]
        # What one run has written, the next one reads.
        assert node.call("store", f"put key value-{i} any").text.isdigit()  # its revision
        assert f"value-{i}" in node.call("store", "get default key").text


@pytest.mark.timeout(240)
def test_timers_of_a_copy_that_is_behind_come_once(far):
    """Each timer is read, and points to an event that is read, by copies that may not have it yet."""
    _, node = far
    answers = [node.post(f"/events/load?delay={ms}ms", f"after {ms} ms").json() for ms in range(100, 1300, 200)]
    delayed = {a["event_id"]: moment(a["deliver_at"]) for a in answers}
    for event_id, due in delayed.items():
        run = node.run_of(event_id, deadline=30)
        assert run["status"] == "ok" and moment(node.whole_run(run["run_id"])["time"]) >= due
    pause(3)  # nothing comes a second time
    assert all(len(node.runs(event=event_id)) == 1 for event_id in delayed)


@pytest.mark.timeout(240)
def test_trimming_by_a_copy_that_is_behind_takes_nothing_that_is_needed(far):
    """A log of 16 MiB that overflows: what a paused function still has to handle stays, what everybody is done with goes."""
    cluster, node = far
    node.nexus("functions", "pause", "load")
    kept = [node.publish("load", f"kept {i}") for i in range(30)]
    big = "x" * 200_000
    refused = 0
    for _ in range(100):
        answer = node.post("/events/store", "put key " + big)
        refused += answer.status_code == 503
    assert refused, "the log was never full"
    assert cluster.messages("NX_EVENTS_default") >= 30
    for event_id in kept:
        assert node.client.get(f"{node.admin_url}/api/v1/events/{event_id}").status_code == 200
    node.nexus("functions", "resume", "load")
    wait_until(lambda: {r["event_id"] for r in node.runs(function="load", status="ok", limit=1000)} >= set(kept), "their runs", 60, every=0.2, on_failure=node.log)

    def trimmed():
        return node.post("load", "after").status_code == 202 and nats.stream_info(cluster.servers[0].url, "NX_EVENTS_default")["state"]["first_seq"] > 1

    wait_until(trimmed, "room again", 60, every=0.2, on_failure=node.log)
