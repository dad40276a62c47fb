"""nats.url with a credentials file, a JetStream domain, a cluster, and a subject that a stream of others owns."""

import signal

import pytest
from nexus import nats, nkeys, processes
from nexus.cluster import Cluster
from nexus.node import Node, Project, function, nexus
from nexus.wait import SLOW, Stopwatch, wait_until


def serve(tmp_path, guests, server, settings, functions=()):
    """The project of a node on that server, with a function that echoes."""
    project = Project(tmp_path / "project")
    code = project.module(guests.rust("probe.rs"))
    project.write({"nats": {"url": server.url, **settings}, "functions": [function("probe", code), *(f(code) for f in functions)]})
    return Node(project)


def refused(node):
    """What `nexus dev` says on a server that does not let it in; it ends by itself."""
    result = nexus("dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", cwd=node.project.dir, check=False, timeout=30)
    assert result.returncode in (69, 77), (result.returncode, result.stderr)
    return result.stderr


def works(node):
    with node:
        assert node.api("node").json()["nats"]["private"] is False
        event_id = node.publish("probe", "kept")
        assert node.run_of(event_id)["status"] == "ok"
        assert [v["verdict"] for v in node.replay(event_id)] == ["identical"]


def test_credentials_file(tmp_path, guests):
    folder = tmp_path / "keys"
    folder.mkdir()
    settings, credentials = nkeys.operator_mode(folder)
    with nats.Server(tmp_path / "server", settings) as server:
        works(serve(tmp_path, guests, server, {"credentials": str(credentials)}))
        stranger = tmp_path / "stranger"
        stranger.mkdir()
        _, foreign = nkeys.operator_mode(stranger)
        assert "NATS" in refused(serve(tmp_path, guests, server, {"credentials": str(foreign)}))


def test_jetstream_domain(tmp_path, guests):
    with nats.Server(tmp_path / "server") as server:
        text = server.conf.read_text()
        server.stop()
        server.conf.write_text(text.replace("jetstream {", "jetstream { domain: hub,"))
        server.start()
        works(serve(tmp_path, guests, server, {"js_prefix": "$JS.hub.API"}))


def test_subject_of_another_stream(tmp_path, guests):
    """A stream of others holds the subject: the node takes its messages from there and leaves it alone."""
    with nats.Server(tmp_path / "server") as server:
        async def theirs(connection):
            return await connection.jetstream().add_stream(name="THEIRS", subjects=["orders.>"])

        nats.run(server.url, theirs)
        node = serve(tmp_path, guests, server, {}, functions=[lambda code: function("raw", code, on={"nats": ["orders.>", "alarms.fire", "orders.eu"]})])
        with node:
            nats.publish(server.url, "orders.eu", b"first")
            nats.publish(server.url, "alarms.fire", b"second")
            runs = wait_until(lambda: (r := node.runs(function="raw")) and len(r) >= 2 and r, "two runs", 15, on_failure=node.log)
            assert {node.api(f"events/{r['event_id']}").json()["type"] for r in runs} == {"nats.orders.eu", "nats.alarms.fire"}
            assert len(runs) == 2  # once each, though two subjects match the first
        assert nats.stream_info(server.url, "THEIRS")["state"]["messages"] == 1


def is_paused(node):
    return next(f["paused"] for f in node.json("functions", "list") if f["name"] == "probe")


def test_a_watch_that_nobody_listened_to_hears_soon(tmp_path, guests):
    """The server says of the pulls of a node's registry watch that nobody listens (503), as one of a cluster does that has not heard of a new consumer yet:
    what changes is known within a moment all the same once somebody does, and not when its heartbeats are missed, 16 s later."""
    pulls = "$JS.API.CONSUMER.MSG.NEXT.KV_nx-registry-default.*"
    with nats.Server(tmp_path / "server", f'mappings {{\n"{pulls}": "nobody.listens"\n}}\n') as server:
        with serve(tmp_path / "a", guests, server, {}) as a, serve(tmp_path / "b", guests, server, {}) as b:
            server.conf.write_text(server.conf.read_text().replace(f'"{pulls}"', '"pulls"'))
            processes.send(server.process.pid, signal.SIGHUP)
            wait_until(lambda: "Reloaded server configuration" in (server.dir / "external.log").read_text(), "the server to read its settings again")
            with Stopwatch() as watch:
                a.nexus("functions", "pause", "probe")
                wait_until(lambda: is_paused(b), "the other node to hear of it", 20, on_failure=b.log)
            print(f"heard after {watch.s:.1f} s")
            assert watch.s < 8 * SLOW


def test_one_url_of_a_cluster_without_a_leader_is_waited_for(tmp_path, guests):
    """As behind a service's name: the server that answers says that there is no leader yet."""
    with Cluster(tmp_path, election="1s") as cluster:
        for server in cluster.servers[1:]:
            server.kill()
        alone = cluster.urls[0]

        def is_leaderless():
            return (cluster.ask("INFO", url=alone) or {}).get("error", {}).get("err_code") == 10008

        wait_until(is_leaderless, "the server left to say that it has no leader", 60, every=0.2)
        project = Project(tmp_path / "project")
        project.write({"nats": {"url": alone}, "functions": [function("probe", project.module(guests.rust("probe.rs")))]})
        node = Node(project).launch()
        try:
            wait_until(lambda: "connections" in (found := cluster.monitored(0, "/connz") or {}) and found["num_connections"] >= 2, "the node to ask", 20)
            assert is_leaderless() and node.process.poll() is None, node.log()
            for server in cluster.servers[1:]:
                server.start()
            node.wait_ready()
            assert node.run_of(node.publish("probe", "kept"))["status"] == "ok"
        finally:
            node.stop(expect=None)


@pytest.mark.timeout(300)
def test_quorum_survives_the_loss_of_a_server(tmp_path, guests):
    """durability: quorum on a cluster of three; whichever server dies, each acknowledged event ends with its run, and replays."""
    with Cluster(tmp_path) as cluster:
        project = Project(tmp_path / "project")
        project.write({"nats": {"url": cluster.url}, "durability": "quorum", "replicas": 3,
                       "functions": [function("probe", project.module(guests.rust("probe.rs")))]})
        with Node(project) as node:
            assert nats.stream_info(cluster.urls[0], "NX_EVENTS_default")["config"]["num_replicas"] == 3
            assert {c["check"]: c for c in node.json("doctor")}["durability"]["detail"].startswith("quorum")
            accepted, answers = [], []

            def is_accepted(content):  # in doubt: 503; accepted: kept
                answers.append(node.post("probe", content))
                if answers[-1].status_code == 202:
                    accepted.append(answers[-1].json()["event_id"])
                return answers[-1].status_code == 202

            def said():
                return f"{cluster.ailments()}; {[a.text for a in answers[-5:]]}\n{node.log()}"

            for number, victim in enumerate(cluster.servers):
                # One dies at a time: the one before it has all that it missed.
                wait_until(cluster.is_whole, "every copy to be up to date", 60, every=0.2, on_failure=said)
                for i in range(20):
                    wait_until(lambda: is_accepted(f"before {number}, {i}"), "the whole cluster to take events", 30, on_failure=said)  # noqa: B023
                victim.kill()
                wait_until(lambda: is_accepted(f"during {number}"), "the cluster to take events without one server", 60, on_failure=said)  # noqa: B023
                victim.start()
                wait_until(node.is_ready, "the node to be ready", 60, on_failure=said)
            wait_until(cluster.is_whole, "every copy to be up to date", 60, every=0.2, on_failure=said)
            for event_id in accepted:
                assert node.run_of(event_id, deadline=60)["status"] == "ok"
            assert [v["verdict"] for v in node.replay(accepted[0])] == ["identical"]
