"""What an event costs, in processor time of node and nats-server: other work on the machine blurs that less than it blurs rates."""

import http.client
import os
import threading
from pathlib import Path
from urllib.parse import urlsplit

TICKS = os.sysconf("SC_CLK_TCK")
CLIENTS = 8


def processor_s(pid):
    """Of all its threads, with those that have ended, in user and system."""
    user, system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / TICKS


class Requests:
    """Requests over one connection that is kept."""

    def __init__(self, url, timeout=60):
        at = urlsplit(url)
        self.connection = http.client.HTTPConnection(at.hostname, at.port, timeout=timeout)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def send(self, method, path, body=b"", expect=(200,), **headers):
        """The answer's headers and content."""
        self.connection.request(method, path, body, {"Content-Type": "text/plain", **headers})
        answer = self.connection.getresponse()
        content = answer.read()
        assert answer.status in expect, (method, path, answer.status, content[:500])
        return answer.headers, content


def spent_s(node):
    return processor_s(node.pid) + processor_s(node.nats_pid())


def event_us(node, paths, count, expect=(200,)):
    """Of each of `count` events (at least), posted to the paths in turn by several clients, until all are answered."""
    each, failed = -(-count // CLIENTS), []

    def client(number):
        try:
            with Requests(node.url) as requests:
                for i in range(each):
                    requests.send("POST", paths[(number * each + i) % len(paths)], b"x", expect)
        except Exception as error:  # noqa: BLE001: raised below, by the test's own thread
            failed.append(error)

    threads = [threading.Thread(target=client, args=(number,)) for number in range(CLIENTS)]
    before = spent_s(node)
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return (spent_s(node) - before) * 1e6 / (each * CLIENTS)
