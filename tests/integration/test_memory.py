"""What node and nats-server hold in memory after much has gone through them."""

import json
import os

import httpx
import pytest
from nexus.node import Node, function
from nexus.processes import resident_bytes
from nexus.wait import wait_until

MIB = 1 << 20
BATCH, EVENTS, DATA_BYTES = 100, 20_000, 4096


@pytest.mark.skipif("NX_SANITIZER" in os.environ, reason="a sanitizer has memory of its own")
def test_memory_does_not_follow_what_was_stored(project, guests):
    """80 MB of events and 80 MB of records of their runs: neither process holds half of them."""
    project.write({"ingest": {"batch": True}, "functions": [function("load", project.module(guests.mission()))]})
    data = "x" * DATA_BYTES
    with Node(project) as node, httpx.Client(timeout=60) as client:
        node.run_of(node.publish("load", "the first"))
        before = {name: resident_bytes(pid) for name, pid in (("node", node.pid), ("server", node.nats_pid()))}
        for n in range(EVENTS // BATCH):
            events = [{"specversion": "1.0", "id": f"{n}-{i}", "source": "/memory", "type": "load", "data": data} for i in range(BATCH)]
            answer = client.post(f"{node.url}/events/load", content=json.dumps(events), headers={"Content-Type": "application/cloudevents-batch+json"})
            assert answer.status_code == 202, answer.text
        node.run_of(answer.json()[-1]["event_id"], deadline=120)
        after = {}

        def is_given_back():
            after.update((name, resident_bytes(pid)) for name, pid in (("node", node.pid), ("server", node.nats_pid())))
            return all(after[name] - before[name] < 80 * MIB for name in before)

        def grown():
            return ", ".join(f"{name} {before[name] / MIB:.0f} -> {after[name] / MIB:.0f} MiB" for name in before)

        wait_until(is_given_back, "less than half of it to be held", 20, on_failure=grown)  # the server's garbage goes when it comes to it
    print(grown())
