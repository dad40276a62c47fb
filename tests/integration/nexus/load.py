"""Events sent all the time from several threads, and a book of what was accepted."""

import http.client
import json
import socket
import threading
import time
from urllib.parse import urlsplit

from . import nats
from .node import lines_of
from .wait import pause, wait_until


class Load:
    """Posts numbered events until stopped. url() is asked anew after every broken connection, for nodes that come back elsewhere.

    accepted: event id -> body, of every 202. refused: (status, retry_after, at) of every other answer. broken: connections that ended
    without an answer, after which nobody knows."""

    def __init__(self, url, path="/events/load", threads=4, body=lambda i: f"event {i}", timeout=30, rest=0.0):
        self.url, self.path, self.body, self.timeout, self.rest = url, path, body, timeout, rest
        self.accepted, self.refused, self.broken = {}, [], 0
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._next = 0
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]

    def _number(self):
        with self._lock:
            self._next += 1
            return self._next

    def _post(self, connection, body):
        connection.request("POST", self.path, body=body.encode(), headers={"Content-Type": "text/plain"})
        answer = connection.getresponse()
        content = answer.read()
        with self._lock:
            if answer.status == 202:
                self.accepted[json.loads(content)["event_id"]] = body
            else:
                self.refused.append((answer.status, answer.getheader("Retry-After"), time.monotonic()))
        return answer.status == 202

    def _work(self):
        connection = None
        while not self._stop.is_set():
            try:
                if connection is None:
                    at = urlsplit(self.url())
                    connection = http.client.HTTPConnection(at.hostname, at.port, timeout=self.timeout)
                    connection.connect()
                    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if not self._post(connection, self.body(self._number())):
                    pause(0.02)
                elif self.rest:
                    pause(self.rest)
            except (OSError, http.client.HTTPException, KeyError, ValueError):
                with self._lock:
                    self.broken += 1
                if connection:
                    connection.close()
                connection = None
                pause(0.02)
        if connection:
            connection.close()

    def start(self):
        for thread in self._threads:
            thread.start()
        return self

    def stop(self):
        self._stop.set()
        for thread in self._threads:
            thread.join(self.timeout + 5)
            assert not thread.is_alive(), "a client got no answer"
        return self

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()

    @property
    def count(self):
        return len(self.accepted)


class Ledger:
    """What the streams hold, read by another client than the node's."""

    def __init__(self, url, namespace="default"):
        self.events, self.finals, self.repeated = {}, {}, 0
        for _, subject, headers in nats.read_stream(url, f"NX_EVENTS_{namespace}"):
            event_id = headers.get("nx-event-id") or headers.get("ce-id")
            if event_id:
                self.events[event_id] = subject
        for _, subject, headers in nats.read_stream(url, f"NX_RUNS_{namespace}"):
            if "nx-final" not in headers:
                continue  # an attempt that did not end its run
            _, _, _, function, status, _ = subject.split(".")
            key = (headers["nx-event-id"], function)
            if key in self.finals:
                self.repeated += 1  # of a run the first record counts
            else:
                self.finals[key] = (headers["nx-run-id"], status)


def check_nothing_lost(node, load, function="load", deadline=90, allowed=("ok",), namespace="default"):
    """Every 202 is in the log, and every event in the log ends with exactly one final run. The Ledger, for more questions."""
    url = nats.private_url(node.project.data_dir)

    def settled():
        answer = node.client.get(f"{node.admin_url}/api/v1/functions")
        if answer.status_code == 503:  # a server that was killed is being started
            return False
        row = next(f for f in lines_of(answer.text) if f["name"] == function)
        return row["pending"] == 0 and row["in_flight"] == 0

    wait_until(settled, "all events to be handled", deadline, every=0.1, on_failure=node.log)

    def complete():
        ledger = Ledger(url, namespace)
        lost = set(load.accepted) - set(ledger.events)
        assert not lost, f"{len(lost)} of {load.count} accepted events are not in the log: {sorted(lost)[:5]}"
        return ledger if all((e, function) in ledger.finals for e in load.accepted) else None

    ledger = wait_until(complete, "a final run of every event", deadline, every=0.5, on_failure=node.log)
    statuses = {ledger.finals[(e, function)][1] for e in load.accepted}
    assert statuses <= set(allowed), statuses
    # As users see it: one run per event.
    for event_id in list(load.accepted)[:: max(1, load.count // 50)]:
        runs = node.runs(event=event_id)
        assert [(r["run_id"], r["status"]) for r in runs] == [ledger.finals[(event_id, function)]], runs
    return ledger
