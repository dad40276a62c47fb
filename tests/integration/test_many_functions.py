"""Hundreds of deployed functions: a start asks the log for all of them at once, and one that is damaged keeps no other from running."""

import hashlib
import json
import time

import pytest
from nexus import nats
from nexus.network import SlowLine
from nexus.node import Node, Project

MANY = 200
OTHER = 50  # of them, where some are changed and the others are new
DELAY_S = 0.01
NAMES = [f"many-{i:03}" for i in range(MANY)]
ANSWER = "ready"


def settings(name):
    """`retry`: then there is a second consumer, of the function's timers."""
    return {"name": name, "on": {"http": {"path": f"/events/{name}"}}, "memory": "1Mi", "respond": "sync", "retry": {"max_attempts": 3}}


def deploy(node, module, names):
    """Through the API: a command for each would take longer than everything else."""
    code = module.read_bytes()
    digest = hashlib.sha256(code).hexdigest()
    for path, options in [(f"artifacts/{digest}", {"method": "PUT", "content": code}),
                          *((f"functions/{name}/versions", {"method": "POST", "json": {"artifact": digest, "settings": settings(name)}}) for name in names)]:
        answer = node.client.request(url=f"{node.admin_url}/api/v1/{path}", **options)
        assert answer.status_code in (200, 201), (path, answer.text)


def node_at(project, port):
    return Node(project, "--set", f"nats.url=nats://127.0.0.1:{port}", verb="serve")


def start_s(project, port):
    began = time.monotonic()
    with node_at(project, port):
        return time.monotonic() - began


def damage(url):
    """A version that is no version, one that is gone, and a `live` that names nothing."""
    async def job(connection):
        registry = await connection.jetstream().key_value("nx-registry-default")
        await registry.put("fn.many-003.v1", b"{")
        await registry.delete("fn.many-004.v1")
        await registry.put("fn.many-005.live", b"[]")

    nats.run(url, job)


def lose_consumers(url):
    """As after a restore of the streams alone, which is also a project's first start; one of them was of another release."""
    async def job(connection):
        api = connection.jetstream()
        for stream in ("NX_EVENTS_default", "NX_TIMERS_default"):
            names = [f"due-{name}" if stream == "NX_TIMERS_default" else f"fn-{name}" for name in NAMES]
            await api.consumer_info(stream, names[0])
            for name in names[OTHER:]:
                assert await api.delete_consumer(stream, name)
        for name in NAMES[:OTHER]:
            config = json.loads((await connection.request(f"$JS.API.CONSUMER.INFO.NX_EVENTS_default.fn-{name}", b"", timeout=5)).data)["config"]
            config["metadata"]["nexus-config"] = "0" * 32
            config["max_ack_pending"] = 77
            body = json.dumps({"stream_name": "NX_EVENTS_default", "config": config}).encode()
            answer = json.loads((await connection.request(f"$JS.API.CONSUMER.DURABLE.CREATE.NX_EVENTS_default.fn-{name}", body, timeout=5)).data)
            assert "error" not in answer, answer

    nats.run(url, job)


def consumers(url):
    """The settings of each function's consumer of events."""
    async def job(connection):
        return [(await connection.jetstream().consumer_info("NX_EVENTS_default", f"fn-{name}")).config.max_ack_pending for name in NAMES]

    return nats.run(url, job)


@pytest.mark.timeout(180)
def test_consumers_that_are_new_or_changed_are_made_together(tmp_path, guests):
    """On a slow line, made or changed one by one, with what is asked before, they take half a minute."""
    project = Project(tmp_path / "project")
    module = guests.wat("answer.wat", TEXT=ANSWER, LENGTH=len(ANSWER))
    with nats.Server(tmp_path / "server") as server, SlowLine(server.port, delay=DELAY_S) as line:
        with node_at(project, server.port) as node:
            deploy(node, module, NAMES)
        before = consumers(server.url)
        as_they_were = start_s(project, line.port)
        lose_consumers(server.url)
        made = start_s(project, line.port)
        assert made - as_they_were < MANY * 2 * 2 * DELAY_S, (as_they_were, made)
        assert consumers(server.url) == before
        with node_at(project, line.port) as node:
            for name in NAMES[:2] + NAMES[OTHER:OTHER + 2] + NAMES[-1:]:
                answer = node.call(name)
                assert (answer.status_code, answer.text) == (200, ANSWER), node.log()


@pytest.mark.timeout(180)
def test_a_start_does_not_wait_for_one_function_after_the_other(tmp_path, guests):
    """On a line that takes 10 ms each way: asked one by one, for version and consumers, they take 12 s; together, a few round trips."""
    project = Project(tmp_path / "project")
    module = guests.wat("answer.wat", TEXT=ANSWER, LENGTH=len(ANSWER))
    with nats.Server(tmp_path / "server") as server, SlowLine(server.port, delay=DELAY_S) as line:
        with node_at(project, server.port) as node:
            deploy(node, module, NAMES[:1])
        of_one = start_s(project, line.port)
        with node_at(project, server.port) as node:
            deploy(node, module, NAMES[1:])
        of_many = min(start_s(project, line.port) for _ in range(2))
        assert of_many - of_one < MANY * 2 * DELAY_S / 2, (of_one, of_many)

        damage(server.url)
        with node_at(project, line.port) as node:
            for name in NAMES[2:3] + NAMES[6:9] + NAMES[-1:]:
                answer = node.call(name)
                assert (answer.status_code, answer.text) == (200, ANSWER), node.log()
            assert len(node.wait_log(r"function 'many-00[345]'.* is not running")) == 3
            assert len(node.json("functions", "list")) == MANY - 3
