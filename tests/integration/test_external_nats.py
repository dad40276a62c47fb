"""nats.url with a credentials file, a JetStream domain, a cluster, and a subject that a stream of others owns."""

import json
import socket
from contextlib import ExitStack

import pytest
from nexus import nats, nkeys
from nexus.node import Node, Project, function, nexus
from nexus.wait import wait_until


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


def cluster(folder, count=3):
    """Servers that know each other; not started."""
    with ExitStack() as held:  # all at once, so that no two are the same
        probes = [held.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        ports = [probe.getsockname()[1] for probe in probes]
    routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)
    servers = [nats.Server(folder / f"server{i}", f'cluster {{ name: c, listen: "127.0.0.1:{port}", routes: [{routes}] }}') for i, port in enumerate(ports)]
    for i, server in enumerate(servers):
        server.conf.write_text(server.conf.read_text().replace('server_name: "external"', f'server_name: "s{i}"'))
    return servers


def has_leader(url):
    async def job(connection):
        answer = json.loads((await connection.request("$JS.API.INFO", b"", timeout=1)).data)
        return "error" not in answer

    try:
        return nats.run(url, job)
    except Exception:  # noqa: BLE001: no responders, a time-out, no server yet: not yet
        return False


@pytest.mark.timeout(300)
def test_quorum_survives_the_loss_of_a_server(tmp_path, guests):
    """durability: quorum on a cluster of three; whichever server dies, each acknowledged event ends with its run, and replays."""
    servers = cluster(tmp_path)
    with ExitStack() as stack:
        for server in servers:
            stack.enter_context(server)
        wait_until(lambda: has_leader(servers[0].url), "a leader of the cluster", 30)
        project = Project(tmp_path / "project")
        project.write({"nats": {"url": ",".join(s.url for s in servers)}, "durability": "quorum", "replicas": 3,
                       "functions": [function("probe", project.module(guests.rust("probe.rs")))]})
        with Node(project) as node:
            assert nats.stream_info(servers[0].url, "NX_EVENTS_default")["config"]["num_replicas"] == 3
            assert {c["check"]: c for c in node.json("doctor")}["durability"]["detail"].startswith("quorum")
            accepted = []
            for victim in servers:
                accepted += [node.publish("probe", f"before {i}") for i in range(20)]
                victim.kill()
                answers = []

                def is_accepted():  # in doubt: 503; accepted: kept
                    answers.append(node.post("probe", "during"))
                    return answers[-1].status_code == 202

                wait_until(is_accepted, "the cluster to take events without one server", 60,
                           on_failure=lambda: f"{servers.index(victim)} is down; {[a.text for a in answers[-5:]]}\n{node.log()}")  # noqa: B023
                accepted.append(answers[-1].json()["event_id"])
                victim.start()
                wait_until(node.is_ready, "the node to be ready", 30, on_failure=node.log)
            for event_id in accepted:
                assert node.run_of(event_id, deadline=40)["status"] == "ok"
            assert [v["verdict"] for v in node.replay(accepted[0])] == ["identical"]
