"""`durability: power`: nothing is acknowledged before it is on the disk, and what waits for that together shares one sync."""

import itertools
import json
import os
import re
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from nexus import nats, processes
from nexus.disk import needs_strace, traced
from nexus.node import Node, function
from nexus.wait import SLOW, Stopwatch, pause, wait_until

pytestmark = needs_strace

EVENTS = 40
DELAY_S = 0.15
WRITE = re.compile(r"\bpwrite64\(\d+<[^>]*/NX_EVENTS_default/")  # of an event
SYNC = re.compile(r"\b(?:fsync|fdatasync)\(\d+<[^>]*/NX_EVENTS_default/")


@pytest.fixture
def node(project, guests):
    project.write({"durability": "power", "ingest": {"batch": True}, "functions": [function("other", project.module(guests.rust("probe.rs")))]})
    with Node(project) as node:
        node.publish("warm", "x")
        yield node


def post(node, i):
    with Stopwatch() as watch:
        answer = node.post("audit.entry", f"entry {i}")
    return answer.status_code, watch.s


def test_no_acknowledgement_before_the_sync_and_one_sync_for_many(node, tmp_path):
    with traced(node, tmp_path, f"fsync,fdatasync:delay_enter={int(DELAY_S * 1e6)}") as count, ThreadPoolExecutor(EVENTS) as pool:
        status, took_s = post(node, 0)
        assert status == 202 and took_s >= DELAY_S
        before = count()
        with Stopwatch() as watch:
            answers = list(pool.map(lambda i: post(node, i), range(EVENTS)))
        assert [status for status, _ in answers] == [202] * EVENTS
        assert min(took_s for _, took_s in answers) >= DELAY_S
        shared = count() - before
        print(f"{EVENTS} events with {shared} syncs in {watch.s:.2f} s")
        assert shared < EVENTS / 2


def listed(node):
    return {e["event_id"] for e in node.api_list("events", limit=1000)}


def in_flight(node):
    return int(re.search(r"^nexus_log_publishes_in_flight (\d+)", node.client.get(f"{node.admin_url}/metrics").text, re.M).group(1))


def is_all_read(port):
    """Nothing that was sent to the server lies in a socket of its. (What it sent itself counts as on its way until the node's system says so, 40 ms later.)"""
    end = f":{port:04X}"
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return all(line[4].endswith(":00000000") for line in lines if line[3] == "01" and line[1].endswith(end))


def gather(node, folder, pool, name):
    """One event's sync takes long, others come to the server behind it, and the server is stopped: what they are answered with (a future). None where they don't
    come: the server reads nothing while a question that the node asked in that moment waits for the sync too."""
    server, port, calls = node.nats_pid(), int(nats.private_url(node.project.data_dir).rpartition(":")[2]), folder / "calls"
    batch = json.dumps([{"specversion": "1.0", "id": f"{name}.{i}", "source": "/test", "type": "audit.entry", "data": i} for i in range(EVENTS)])
    with traced(node, folder, "fsync,fdatasync:delay_enter=60000000"):
        first = pool.submit(post, node, 0)
        wait_until(lambda: WRITE.search(calls.read_text()), "the first event to be written", on_failure=node.log)
        others = pool.submit(node.post, "audit.entry", batch, headers={"Content-Type": "application/cloudevents-batch+json"})
        end = time.monotonic() + 2 * SLOW
        while not (there := in_flight(node) > EVENTS and is_all_read(port)) and time.monotonic() < end:
            pause(0.01)
        if there:
            os.kill(server, signal.SIGSTOP)  # it makes no other sync before that is made to fail
            wait_until(lambda: "stopped by SIGSTOP" in calls.read_text(), "the server to stop")
            return others
    first.result()
    others.result()
    return None


def test_a_sync_that_fails_acknowledges_nothing(node, tmp_path):
    """Many events share a sync, which fails: none of them is said to be stored."""
    server, tries = node.nats_pid(), itertools.count()
    with ThreadPoolExecutor(2) as pool:
        try:
            others = wait_until(lambda: gather(node, tmp_path, pool, next(tries)), "events that gather", 40, on_failure=node.log)
            with traced(node, tmp_path, "fsync,fdatasync:error=EIO"):
                os.kill(server, signal.SIGCONT)
                answer = others.result()
                said = (tmp_path / "calls").read_text()
        finally:
            processes.send(server, signal.SIGCONT)  # it may have been replaced by now
    shared = len(WRITE.findall(said[:SYNC.search(said).start()]))
    print(f"{shared} events written before the sync that failed")
    assert "EIO" in said and shared > 1, "they shared no sync: nothing was tested"
    assert answer.status_code == 503 and {r["status"] for r in answer.json()["results"]} == {"failed"}, answer.text


def test_events_that_shared_a_sync_are_there_after_a_kill(node):
    with ThreadPoolExecutor(EVENTS) as pool:
        ids = list(pool.map(lambda i: node.publish("audit.entry", f"entry {i}"), range(EVENTS)))
    node.kill()
    node.start()
    wait_until(lambda: set(ids) <= listed(node), "the events", 20, on_failure=node.log)
