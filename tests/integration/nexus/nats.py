"""NATS beside the node: a client of its private server, a server of the test's own, and reading whole streams.

nats-py is asynchronous; run() makes one call of it, with its own connection, out of a plain test."""

import asyncio
import json
import os
import re
import socket
import subprocess
from contextlib import asynccontextmanager
from pathlib import Path

import nats
from nats.errors import Error
from nats.js.api import ConsumerConfig, AckPolicy, DeliverPolicy
from nats.js.errors import APIError, NotFoundError

from . import processes
from .paths import nats_server
from .ports import free_port
from .wait import SLOW, wait_until

ANSWER_S = 5 * SLOW  # of one request; then it went to a server, or a leader, that is no more


def private_url(data_dir):
    """nats://user:password@host:port of the node's private server, out of the file that it was started with."""
    text = (Path(data_dir) / "nats" / "server.conf").read_text()
    listen = re.search(r'listen: "([^"]+)"', text).group(1)
    user = re.search(r'user: "([^"]+)"', text).group(1)
    password = re.search(r'password: "([^"]+)"', text).group(1)
    return f"nats://{user}:{password}@{listen}"


async def connect(url):
    """url may be a list: the first server that lets us in."""
    *others, last = [url] if isinstance(url, str) else url
    for one in others:
        try:
            return await nats.connect(one, connect_timeout=1, max_reconnect_attempts=1, allow_reconnect=False, error_cb=_ignore)
        except Exception:  # noqa: BLE001: whatever it is, the next one is tried
            pass
    return await nats.connect(last, connect_timeout=5, max_reconnect_attempts=1, allow_reconnect=False)


async def _ignore(_):
    pass


@asynccontextmanager
async def connected(url):
    connection = await connect(url)
    try:
        yield connection
    finally:
        await connection.close()


def run(url, job):
    """job(connection) is a coroutine function; its result."""
    async def whole():
        async with connected(url) as connection:
            return await job(connection)

    return asyncio.run(whole())


def read(url, job, deadline=20):
    """run() of a job that changes nothing, once more on a new connection where it fails: servers that die, and elect, leave requests unanswered or say 503,
    also for a consumer that was made a moment ago on another server. That there is no such thing is an answer."""
    failures = []

    def answer():
        try:
            return (run(url, job),)
        except NotFoundError:
            raise
        except (Error, OSError, asyncio.TimeoutError) as failure:
            failures.append(failure)
            return None

    return wait_until(answer, "an answer of NATS", deadline, every=0.1, on_failure=lambda: "\n".join(map(repr, failures[-5:])))[0]


async def api(connection, subject, body=b""):
    """JetStream's answer; an error in it is raised."""
    answer = json.loads((await connection.request(f"$JS.API.{subject}", body, timeout=ANSWER_S)).data)
    if "error" in answer:
        APIError.from_error(answer["error"])
    return answer


def publish(url, subject, *payloads, headers=None):
    async def job(connection):
        for payload in payloads:
            await connection.publish(subject, payload, headers=headers)
        await connection.flush(5)

    run(url, job)


def stream_info(url, stream):
    return read(url, lambda connection: api(connection, f"STREAM.INFO.{stream}"))


def consumer_info(url, stream, consumer):
    return read(url, lambda connection: api(connection, f"CONSUMER.INFO.{stream}.{consumer}"))


def stream_names(url):
    return read(url, lambda connection: api(connection, "STREAM.NAMES")).get("streams") or []


def make_consumer(url, stream, name, **settings):
    config = {"durable_name": name, "name": name, "ack_policy": "explicit", **settings}
    body = json.dumps({"stream_name": stream, "config": config}).encode()
    run(url, lambda connection: api(connection, f"CONSUMER.DURABLE.CREATE.{stream}.{name}", body))


def read_stream(url, stream):
    """All messages of a stream as (sequence, subject, headers), in order, by nats-py: nothing of the node is asked."""
    async def job(connection):
        js = connection.jetstream(timeout=ANSWER_S)
        info = await js.stream_info(stream)
        last, found = info.state.last_seq, []
        if info.state.messages == 0:
            return found
        consumer = await js.pull_subscribe("", stream=stream, config=ConsumerConfig(
            ack_policy=AckPolicy.NONE, deliver_policy=DeliverPolicy.ALL, headers_only=True, mem_storage=True, inactive_threshold=60))
        while not found or found[-1][0] < last:
            for message in await consumer.fetch(1000, timeout=ANSWER_S):
                found.append((message.metadata.sequence.stream, message.subject, dict(message.headers or {})))
        await consumer.unsubscribe()
        return found

    return read(url, job)


def last_value(url, stream, subject):
    """The newest message's bytes; empty where there is none."""
    async def job(connection):
        try:
            return (await connection.jetstream(timeout=ANSWER_S).get_last_msg(stream, subject)).data or b""
        except NotFoundError:
            return b""

    return read(url, job)


class Server:
    """A nats-server of the test's own, with JetStream; for `nats.url`."""

    def __init__(self, folder, extra="", host="127.0.0.1", env=None, max_payload=8 << 20):
        self.env = env or {}
        self.dir = Path(folder)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.conf = self.dir / "external.conf"
        self.conf.write_text(f'listen: "{host}:{self.port}"\nserver_name: "external"\n'
                             f'jetstream {{ store_dir: "{self.dir}/store" }}\nmax_payload: {max_payload}\n{extra}\n')
        self.url = f"nats://127.0.0.1:{self.port}"
        self.process = None

    def start(self):
        log = (self.dir / "external.log").open("ab")
        self.process = subprocess.Popen([nats_server(), "-c", str(self.conf)], stdin=subprocess.DEVNULL, stdout=log, stderr=log, env={**os.environ, **self.env})
        log.close()
        wait_until(self._answers, "the external nats-server", 20)
        return self

    def _answers(self):
        assert self.process.poll() is None, (self.dir / "external.log").read_text()
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1) as s:
                s.settimeout(1)
                return s.recv(4096).startswith(b"INFO")
        except OSError:
            return False

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            processes.send(self.process.pid, 18)  # SIGCONT: it may be stopped
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()
