"""Limits of a key over all nodes of a cluster: each key belongs to one node, also while nodes join, stop and die (docs/FLOW.md)."""

import signal
from contextlib import ExitStack

import pytest
from nexus import nats
from nexus.cluster import Cluster
from nexus.node import Node, Project, function
from nexus.overlap import most_at_once, span
from nexus.wait import SLOW, wait_until


@pytest.fixture
def server(tmp_path):
    with nats.Server(tmp_path / "server") as server:
        yield server


def node_on(tmp_path, guests, server, name, functions, extra=(), replicas=1):
    project = Project(tmp_path / name)
    nap = project.module(guests.rust("nap.rs"))
    project.write({"nats": {"url": server.url}, "replicas": replicas, "functions": [function(f, nap, **settings) for f, settings in [*functions, *extra]]})
    return Node(project)


def finals(url):
    """Event ids in the order of their final records; each once."""
    return list(dict.fromkeys(h["nx-event-id"] for _, _, h in nats.read_stream(url, "NX_RUNS_default") if "nx-final" in h))


def finished(url, ids, deadline=60, on_failure=None):
    wait_until(lambda: set(ids) <= set(finals(url)), f"{len(ids)} final records", deadline, every=0.2, on_failure=on_failure)


def spans(node, ids):
    """(begin, end, node, event) of the run of each event, in ms; of those that were executed."""
    found = []
    for event_id in ids:
        run = node.whole_run(node.run_of(event_id)["run_id"])
        if run["status"] != "skipped":
            found.append((*span(run), run["node"], event_id))
    return sorted(found)


def table(url):
    """{function: {line of a node: ranges}} of the entry that says who has which keys, and the nodes' ids."""
    value = nats.last_value(url, "KV_nx-kv-default__flow", "$KV.nx-kv-default__flow.keys")
    nodes, functions = [], {}
    for line in (value or b"").decode().splitlines():
        kind, name, *rest = line.split()
        if kind == "n":
            nodes.append(name)
        else:
            functions[name] = {nodes[int(p.split(":")[0])]: int(p.split(":")[1], 16) for p in rest if ":" in p}
    return nodes, functions


def is_shared_out(url, name, count):
    try:
        shares = table(url)[1].get(name, {})
    except Exception:  # noqa: BLE001: there is no bucket or entry yet
        return False
    return len(shares) == count and all(bin(v).count("1") >= 32 // count for v in shares.values())


CHARGE = ("charge", {"concurrency": {"limit": 2, "key": "data.key"}})


def test_concurrency_of_a_key_holds_over_all_nodes(tmp_path, guests, server):
    """Three nodes, events of twelve keys through all of them: of a key two at a time, on one node; the keys are spread over the nodes."""
    with ExitStack() as stack:
        nodes = [stack.enter_context(node_on(tmp_path, guests, server, f"n{i}", [CHARGE])) for i in range(3)]
        wait_until(lambda: is_shared_out(server.url, "charge", 3), "the keys to be shared out", 30, every=0.1, on_failure=nodes[0].log)
        keys = "abcdefghijkl"  # of eight ranges, which no node can have alone
        sent = {key: [] for key in keys}
        for i in range(9):
            for key in keys:
                sent[key].append(nodes[i % 3].publish("charge", json_body={"key": key, "ms": 60}))
        finished(server.url, [e for ids in sent.values() for e in ids], on_failure=nodes[0].log)
        found = {key: spans(nodes[0], ids) for key, ids in sent.items()}
        assert {key: most_at_once(v) for key, v in found.items()} == dict.fromkeys(keys, 2)
        assert all(len({node for _, _, node, _ in v}) == 1 for v in found.values())
        assert len({node for v in found.values() for _, _, node, _ in v}) > 1, "one node had all the keys: this shows nothing"
        answers = [node.call("charge", '{"key": "a"}').status_code for node in nodes]  # also from a node that has not the key
        assert answers == [200] * 3


def test_it_holds_while_a_node_joins_and_one_stops(tmp_path, guests, server):
    """Events of one key all the time: none is lost, and never more than one runs."""
    one = ("single", {"concurrency": {"limit": 1, "key": "data.key"}})
    keys = [f"key-{i}" for i in range(8)]
    sent = {key: [] for key in keys}

    def send(node, rounds):
        for _ in range(rounds):
            for key in keys:
                sent[key].append(node.publish("single", json_body={"key": key, "ms": 30}))

    with node_on(tmp_path, guests, server, "a", [one]) as a:
        send(a, 10)
        with node_on(tmp_path, guests, server, "b", [one]) as b:
            send(a, 5)
            wait_until(lambda: is_shared_out(server.url, "single", 2), "half of the keys to go to the second node", 30, every=0.1, on_failure=a.log)
            send(a, 5)
            send(b, 5)
            a.stop()
            send(b, 5)
            wait_until(lambda: is_shared_out(server.url, "single", 1), "all keys to go to the node that stays", 20, every=0.1, on_failure=b.log)
            finished(server.url, [e for ids in sent.values() for e in ids], deadline=90, on_failure=b.log)
            for key, ids in sent.items():
                found = spans(b, ids)
                assert len(found) == len(ids)
                assert most_at_once(found) == 1, (key, found)
            assert len({node for key in keys for _, _, node, _ in spans(b, sent[key])}) == 2


@pytest.mark.timeout(180)
def test_the_keys_of_a_node_that_dies_go_to_others(tmp_path, guests, server):
    """kill -9 in the middle of its runs: what it had in hand runs again elsewhere, one at a time, and not before it counts as dead."""
    one = ("single", {"concurrency": {"limit": 1, "key": "data.key"}})
    with node_on(tmp_path, guests, server, "a", [one]) as a, node_on(tmp_path, guests, server, "b", [one]) as b:
        wait_until(lambda: is_shared_out(server.url, "single", 2), "the keys to be shared out", 30, every=0.1, on_failure=a.log)
        keys = [f"key-{i}" for i in range(6)]
        sent = {key: [b.publish("single", json_body={"key": key, "ms": 300}) for _ in range(5)] for key in keys}
        wait_until(lambda: len(finals(server.url)) >= 6, "some runs", 30, every=0.05, on_failure=b.log)
        a_id = a.api("node").json()["node"]
        a.kill()
        a.process = None
        for key in keys:
            sent[key].append(b.publish("single", json_body={"key": key, "ms": 300}))
        finished(server.url, [e for ids in sent.values() for e in ids], deadline=60, on_failure=b.log)
        found = {key: spans(b, ids) for key, ids in sent.items()}
        assert all(most_at_once(v) == 1 for v in found.values()), found
        of_both = [v for v in found.values() if v[0][2] == a_id]
        assert of_both, "the node that died had none of the keys: this shows nothing"
        assert a_id not in table(server.url)[0]


@pytest.mark.timeout(240)
def test_it_holds_while_a_server_and_a_node_of_a_cluster_die(tmp_path, guests):
    """Three servers with three copies of everything: kill -9 of the one that leads the table of keys, then of a node, while events of each key come."""
    one = ("single", {"concurrency": {"limit": 1, "key": "data.key"}})
    keys = [f"key-{i}" for i in range(8)]
    sent = {key: [] for key in keys}

    def send(*nodes):
        for i, key in enumerate(keys * 4):
            def accepted(node=nodes[i % len(nodes)], key=key):
                answer = node.post("single", json_body={"key": key, "ms": 40})
                if answer.status_code == 202:
                    sent[key].append(answer.json()["event_id"])
                return answer.status_code == 202
            wait_until(accepted, "an event to be taken while there is no leader", 20, every=0.1, on_failure=nodes[0].log)

    with Cluster(tmp_path, election="1s") as cluster, ExitStack() as stack:
        nodes = [stack.enter_context(node_on(tmp_path, guests, cluster, f"n{i}", [one], replicas=3)) for i in range(3)]
        wait_until(lambda: is_shared_out(cluster.urls, "single", 3), "the keys to be shared out", 60, every=0.2, on_failure=nodes[0].log)
        send(*nodes)
        leader = cluster.leader("KV_nx-kv-default__flow")
        leader.kill()
        send(*nodes)
        dead = nodes.pop()
        dead_id = dead.api("node").json()["node"]
        dead.kill()
        dead.process = None
        send(*nodes)
        leader.start()
        wait_until(lambda: is_shared_out(cluster.urls, "single", 2), "the keys of the dead node to be taken", 60, every=0.2, on_failure=nodes[0].log)
        send(*nodes)
        finished(cluster.urls, [e for ids in sent.values() for e in ids], deadline=90, on_failure=nodes[0].log)
        found = {key: spans(nodes[0], ids) for key, ids in sent.items()}
        assert all(len(v) == 16 for v in found.values())
        assert {key: most_at_once(v) for key, v in found.items()} == dict.fromkeys(keys, 1)
        assert any(node == dead_id for v in found.values() for _, _, node, _ in v), "the node that died had run nothing: this shows nothing"


@pytest.mark.timeout(180)
def test_a_node_that_sleeps_begins_nothing_of_keys_that_are_others_by_then(tmp_path, guests, server):
    """SIGSTOP of one that has half of the keys, until the other one has taken them; it wakes with their events before it, and while more come."""
    one = ("single", {"concurrency": {"limit": 1, "key": "data.key"}})
    with node_on(tmp_path, guests, server, "a", [one]) as a, node_on(tmp_path, guests, server, "b", [one]) as b:
        wait_until(lambda: is_shared_out(server.url, "single", 2), "the keys to be shared out", 30, every=0.1, on_failure=a.log)
        keys = [f"key-{i}" for i in range(8)]
        sent = {key: [b.publish("single", json_body={"key": key})] for key in keys}
        finished(server.url, [e for ids in sent.values() for e in ids], on_failure=b.log)
        a_id = a.api("node").json()["node"]
        theirs = [key for key in keys if spans(b, sent[key])[0][2] == a_id]
        assert 0 < len(theirs) < len(keys), "one node had all the keys: this shows nothing"

        def send(rounds):
            for _ in range(rounds):
                for key in keys:
                    sent[key].append(b.publish("single", json_body={"key": key, "ms": 40}))

        a.signal(signal.SIGSTOP)
        try:
            send(3)
            wait_until(lambda: is_shared_out(server.url, "single", 1), "the keys of the one that sleeps to be taken", 30, every=0.1, on_failure=b.log)
        finally:
            a.signal(signal.SIGCONT)
        send(5)
        wait_until(lambda: is_shared_out(server.url, "single", 2), "it to have its share again", 30, every=0.1, on_failure=a.log)
        send(2)
        finished(server.url, [e for ids in sent.values() for e in ids], deadline=60, on_failure=b.log)
        for key, ids in sent.items():
            assert most_at_once(spans(b, ids)) == 1, key


def test_a_singleton_is_one_over_all_nodes(tmp_path, guests, server):
    functions = [("once", {"singleton": {"mode": "skip", "key": "data.key"}}), ("newest", {"singleton": {"mode": "cancel", "key": "data.key"}})]
    with ExitStack() as stack:
        nodes = [stack.enter_context(node_on(tmp_path, guests, server, f"n{i}", functions)) for i in range(3)]
        wait_until(lambda: all(is_shared_out(server.url, f, 3) for f in ("once", "newest")), "the keys to be shared out", 30, every=0.1, on_failure=nodes[0].log)

        def started(name):
            return sum(node.log().count(f"Function '{name}' started") for node in nodes)

        first = nodes[0].publish("once", json_body={"key": "a", "ms": 2500 * SLOW})
        wait_until(lambda: started("once") == 1, "the first run", 20)
        others = [nodes[i % 3].publish("once", json_body={"key": "a"}) for i in range(9)]
        finished(server.url, [first, *others])
        assert [nodes[0].run_of(e)["status"] for e in [first, *others]] == ["ok"] + ["skipped"] * 9

        first = nodes[0].publish("newest", json_body={"key": "a", "ms": 25000})
        wait_until(lambda: started("newest") == 1, "the run that is to be cancelled", 20)
        second = nodes[1].publish("newest", json_body={"key": "a"})
        finished(server.url, [first, second], deadline=20)
        assert [nodes[2].run_of(e)["status"] for e in (first, second)] == ["cancelled", "ok"]


def test_retries_and_timers_go_to_the_node_that_has_the_key(tmp_path, guests, server):
    """A throttled event becomes a timer, which any node may get."""
    slowly = ("slowly", {"concurrency": {"limit": 1, "key": "data.key"}, "throttle": {"limit": 1, "period": "1200ms"}})
    with node_on(tmp_path, guests, server, "a", [slowly]) as a, node_on(tmp_path, guests, server, "b", [slowly]) as b:
        wait_until(lambda: is_shared_out(server.url, "slowly", 2), "the keys to be shared out", 30, every=0.1, on_failure=a.log)
        ids = [node.publish("slowly", json_body={"key": "k", "ms": 20}) for node in (a, b) * 2]
        finished(server.url, ids, on_failure=a.log)
        found = spans(a, ids)
        assert len({node for _, _, node, _ in found}) == 1 and most_at_once(found) == 1


def test_a_function_that_only_some_nodes_have(tmp_path, guests, server):
    """Its keys are shared out among those that have it."""
    with node_on(tmp_path, guests, server, "a", [CHARGE], extra=[("own", {"singleton": {"mode": "skip", "key": "data.key"}})]) as a, \
            node_on(tmp_path, guests, server, "b", [CHARGE]) as b:
        wait_until(lambda: is_shared_out(server.url, "charge", 2) and is_shared_out(server.url, "own", 1), "the keys to be shared out", 30, every=0.1, on_failure=a.log)
        ids = [a.publish("own", json_body={"key": f"k{i}"}) for i in range(20)]
        ids += [b.publish("charge", json_body={"key": f"k{i}"}) for i in range(20)]
        finished(server.url, ids, deadline=20, on_failure=a.log)
        assert {a.run_of(e)["status"] for e in ids} == {"ok"}
