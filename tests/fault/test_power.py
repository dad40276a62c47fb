"""`durability: power`: nothing is acknowledged before it is on the disk, and what waits for that together shares one sync."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from nexus.disk import needs_strace, traced
from nexus.node import Node, function
from nexus.wait import Stopwatch, wait_until

pytestmark = needs_strace

EVENTS = 40
DELAY_S = 0.15


@pytest.fixture
def node(project, guests):
    project.write({"durability": "power", "functions": [function("other", project.module(guests.rust("probe.rs")))]})
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


def test_a_sync_that_fails_acknowledges_nothing(node, tmp_path):
    """Writing is slow, so that events gather before the sync that they share, and that fails: none of them is said to be stored."""
    with traced(node, tmp_path, "pwrite64:delay_enter=20000", "fsync,fdatasync:error=EIO"), ThreadPoolExecutor(EVENTS) as pool:
        answers = list(pool.map(lambda i: node.post("audit.entry", f"entry {i}"), range(EVENTS)))
        calls = (tmp_path / "calls").read_text()
        print(f"{calls[:calls.index('EIO')].count('pwrite64(')} events before the sync that failed")
        assert {a.status_code for a in answers} == {503}


def test_events_that_shared_a_sync_are_there_after_a_kill(node):
    with ThreadPoolExecutor(EVENTS) as pool:
        ids = list(pool.map(lambda i: node.publish("audit.entry", f"entry {i}"), range(EVENTS)))
    node.kill()
    node.start()
    wait_until(lambda: set(ids) <= listed(node), "the events", 20, on_failure=node.log)
