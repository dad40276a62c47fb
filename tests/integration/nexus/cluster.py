"""Three servers that know each other, nodes that share them, clients that turn to another node, and who kills one of them now and then."""

import http.client
import itertools
import json
import random
import socket
import threading
import time
from contextlib import ExitStack
from urllib.parse import urlsplit

from . import nats
from .network import SlowLine
from .node import Node, Project
from .ports import free_ports
from .wait import SLOW, pause, wait_until


class Cluster:
    """nats-servers, each with its own store. Use as a context manager: starts them and waits for their leader.

    election: how soon a dead leader is replaced (scripts/deps/nats-server); None: the server's own 4 to 9 s.
    host: what they listen on for clients. far: seconds that all takes between the last server and the others, one way."""

    def __init__(self, folder, count=3, election=None, host="127.0.0.1", far=0.0):
        ports = free_ports(2 * count)
        # A line to each: the others reach the last one by its line, and tell it the lines to them.
        self.lines = [SlowLine(port, delay=far) for port in ports[:count]] if far else []
        routes = [f'"nats://127.0.0.1:{port}"' for port in ports[:count]]
        if far:
            routes[-1] = f'"nats://127.0.0.1:{self.lines[-1].port}"'
        self.servers, self.monitors = [], ports[count:]
        for i in range(count):
            extra = f'http: "127.0.0.1:{self.monitors[i]}"\n'
            if count > 1:
                advertised = f', advertise: "127.0.0.1:{self.lines[i].port}"' if far else ""
                known = [f'"nats://127.0.0.1:{line.port}"' for line in self.lines[:-1]] if far and i == count - 1 else routes
                extra += f'cluster {{ name: c, listen: "127.0.0.1:{ports[i]}", routes: [{", ".join(known)}]{advertised} }}'
            server = nats.Server(folder / f"server{i}", extra, host, {"NEXUS_NATS_ELECTION": election} if election else {})
            server.conf.write_text(server.conf.read_text().replace('server_name: "external"', f'server_name: "s{i}"'))
            self.servers.append(server)

    @property
    def url(self):
        return ",".join(s.url for s in self.servers)

    @property
    def urls(self):
        return [s.url for s in self.servers]

    def named(self, name):
        return self.servers[int(name.removeprefix("s"))]

    def ask(self, subject, body=b"", url=None):
        """One request to JetStream's API; None where nobody answers (yet)."""
        async def job(connection):
            return json.loads((await connection.request(f"$JS.API.{subject}", body, timeout=2)).data)

        try:
            return nats.run(url or self.urls, job)
        except Exception:  # noqa: BLE001: no responders, a time-out, no server yet
            return None

    def has_leader(self):
        answer = self.ask("INFO")
        return answer is not None and "error" not in answer

    def leader_of(self, stream, consumer=None):
        """The server that leads the stream (or the consumer); None while there is none."""
        answer = self.ask(f"CONSUMER.INFO.{stream}.{consumer}" if consumer else f"STREAM.INFO.{stream}")
        name = (answer or {}).get("cluster", {}).get("leader")
        return self.named(name) if name else None

    def leader(self, stream, consumer=None):
        """The server that leads it, once there is one."""
        return wait_until(lambda: self.leader_of(stream, consumer), f"a leader of {stream} {consumer or ''}", 30, every=0.1)

    def two_leaders(self, stream, other):
        """The servers that lead the two streams, once they are not the same and every copy is up to date."""
        def found():
            leaders = self.leader_of(stream), self.leader_of(other)
            return None not in leaders and leaders[0] is not leaders[1] and self.is_whole() and leaders

        return wait_until(found, f"{stream} and {other} to have leaders that are not the same", 60, every=0.2, on_failure=lambda: "\n".join(self.ailments()))

    def step_down(self, what):
        """Its leader (STREAM.LEADER.STEPDOWN.… or CONSUMER.…) gives way."""
        wait_until(lambda: (self.ask(what) or {}).get("success"), what, 30, every=0.2)

    def lead(self, server, stream, consumer=None):
        """Makes the server lead the stream (or the consumer)."""
        what = f"CONSUMER.LEADER.STEPDOWN.{stream}.{consumer}" if consumer else f"STREAM.LEADER.STEPDOWN.{stream}"
        wish = json.dumps({"placement": {"preferred": f"s{self.servers.index(server)}"}}).encode()

        def leads():
            return self.leader_of(stream, consumer) is server or (self.ask(what, wish) and self.leader_of(stream, consumer) is server)

        wait_until(leads, f"s{self.servers.index(server)} to lead {stream} {consumer or ''}", 30, every=0.2)

    def copies(self, stream, count):
        """The stream has so many copies from now on, all up to date. Of two, one is no majority: without the other it has no leader."""
        config = wait_until(lambda: (self.ask(f"STREAM.INFO.{stream}") or {}).get("config"), f"the settings of {stream}", 30, every=0.2)
        wish = json.dumps({**config, "num_replicas": count}).encode()

        def has():
            cluster = (self.ask(f"STREAM.INFO.{stream}") or {}).get("cluster", {})
            others = cluster.get("replicas") or []
            return cluster.get("leader") and len(others) == count - 1 and all(c["current"] and not c.get("offline") for c in others)

        wait_until(lambda: "error" not in (self.ask(f"STREAM.UPDATE.{stream}", wish) or {"error": "none"}) and has(), f"{count} copies of {stream}", 30, every=0.2)

    def ack_wait(self, stream, consumer, seconds):
        """How long the consumer waits for a sign of life from who has a message, from now on."""
        config = {**nats.consumer_info(self.urls, stream, consumer)["config"], "ack_wait": round(seconds * 1e9)}
        wish = json.dumps({"stream_name": stream, "config": config}).encode()

        def has():
            answer = self.ask(f"CONSUMER.DURABLE.CREATE.{stream}.{consumer}", wish) or {}
            return answer.get("config", {}).get("ack_wait") == config["ack_wait"]

        wait_until(has, f"an ack_wait of {seconds} s of {consumer}", 30, every=0.2)

    def messages(self, stream):
        """How many it holds, as its leader says."""
        return nats.stream_info(self.urls, stream)["state"]["messages"]

    def monitored(self, i, path):
        """What server i itself says (its monitoring port); None where it says nothing."""
        connection = http.client.HTTPConnection("127.0.0.1", self.monitors[i], timeout=2)
        try:
            connection.request("GET", path)
            return json.loads(connection.getresponse().read())
        except (OSError, http.client.HTTPException, ValueError):
            return None
        finally:
            connection.close()

    def ailments(self):
        """Why no server can be spared: servers that are away or behind; streams and consumers without a leader, or with a copy that is. Empty: any can."""
        found, groups = [], {}
        for i in range(len(self.servers)):
            health, report = self.monitored(i, "/healthz"), self.monitored(i, "/jsz?streams=1&consumers=1")
            if health is None or report is None:
                found.append(f"s{i} does not answer")
                continue
            if health.get("status") != "ok":
                found.append(f"s{i}: {health.get('error')}")
            streams = [stream for account in report.get("account_details") or [] for stream in account.get("stream_detail") or []]
            for stream in streams:
                consumers = ((f"{stream['name']} > {c['name']}", c.get("cluster")) for c in stream.get("consumer_detail") or [])
                for name, cluster in itertools.chain([(stream["name"], stream.get("cluster"))], consumers):
                    groups.setdefault(name, [])
                    if cluster and cluster.get("leader") == f"s{i}":
                        groups[name].append(cluster.get("replicas") or [])
        for name, leaders in groups.items():
            if len(leaders) != 1:
                found.append(f"{name} has {len(leaders) or 'no'} leaders")
                continue
            found += [f"{name} on {c['name']}: {'offline' if c.get('offline') else 'behind'}" for c in leaders[0] if c.get("offline") or not c["current"]]
        return found

    def is_whole(self):
        """Every copy of every stream and consumer is there and up to date, so that any one server can be spared."""
        return not self.ailments()

    def __enter__(self):
        with ExitStack() as stack:
            for part in [*self.lines, *self.servers]:
                stack.enter_context(part)
            wait_until(self.has_leader, "a leader of the cluster", 60)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *trouble):
        return self._stack.__exit__(*trouble)


class Fleet:
    """Nodes on one cluster. settings(project): what stands in nexus.yaml beside `nats`. url: of the servers, as the nodes see them."""

    def __init__(self, folder, cluster, settings, count=3, replicas=3, url=None):
        self.nodes = []
        copies = {"durability": "quorum", "replicas": replicas} if replicas > 1 else {}
        for i in range(count):
            project = Project(folder / f"node{i}")
            project.write({"nats": {"url": url or cluster.url}, **copies, **settings(project)})
            self.nodes.append(Node(project))
        self.urls = [None] * count

    def start(self, i):
        self.nodes[i].start(60)
        self.urls[i] = self.nodes[i].url

    def kill(self, i):
        self.nodes[i].kill()

    def stop(self):
        for node in self.nodes:
            node.stop(expect=None)

    def log(self):
        """What the nodes said beside their runs."""
        def rest(node):
            lines = node.log_file.read_text(errors="replace").splitlines()
            return "\n".join([line for line in lines if "] Function " not in line and '"message":"Function ' not in line][-60:])

        return "\n".join(f"--- node{i}\n{rest(node)}" for i, node in enumerate(self.nodes) if node.starts)

    def __enter__(self):
        try:
            for i in range(len(self.nodes)):
                self.start(i)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()


class Clients:
    """Threads that post until stopped, one request after the other, and turn to the next node after any trouble.

    next_request(i): (path, body, headers) of the i-th. accepted: event id -> (thread, body) of every 200 and 202, in the order of the answers.
    times: when each of them was given. waits: (i, when it began, when it ended, status or "broken") of those that took more than a second. patience: seconds for one answer; after that, as after a broken connection, nobody knows."""

    def __init__(self, urls, next_request, threads=4, rest=0.0, patience=2.0):
        self.urls, self.next_request, self.rest, self.patience = urls, next_request, rest, patience
        self.accepted, self.bodies, self.refused, self.times, self.broken, self.waits = {}, {}, [], [time.monotonic()], 0, []
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._next = 0
        self._threads = [threading.Thread(target=self._work, args=(i,), daemon=True) for i in range(threads)]

    def _post(self, connection, thread):
        with self._lock:
            self._next += 1
            number = self._next
        path, body, headers = self.next_request(number)
        begun, outcome = time.monotonic(), "broken"
        try:
            connection.request("POST", path, body=body.encode(), headers={"Content-Type": "text/plain", **headers})
            answer = connection.getresponse()
            content = answer.read()
            outcome = answer.status
        finally:
            if time.monotonic() - begun > 1:
                self.waits.append((number, begun, time.monotonic(), outcome))
        with self._lock:
            if answer.status in (200, 202):
                event_id = answer.getheader("nexus-event-id") or json.loads(content)["event_id"]
                self.accepted[event_id] = (thread, body)
                if answer.status == 200:
                    self.bodies[event_id] = content.decode()
                self.times.append(time.monotonic())
            else:
                self.refused.append((answer.status, time.monotonic(), content[:200]))
        return answer.status in (200, 202)

    def _work(self, thread):
        at, connection = thread, None
        while not self._stop.is_set():
            try:
                if connection is None:
                    place = urlsplit(self.urls[at % len(self.urls)])
                    connection = http.client.HTTPConnection(place.hostname, place.port, timeout=self.patience * SLOW)
                    connection.connect()
                    connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if self._post(connection, thread):
                    pause(self.rest)
                    continue
            except (OSError, http.client.HTTPException, KeyError, ValueError):
                with self._lock:
                    self.broken += 1
            if connection:
                connection.close()
            connection = None
            at += 1
            pause(0.02)
        if connection:
            connection.close()

    def __enter__(self):
        self.times = [time.monotonic()]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join(self.patience * SLOW + 10)
            assert not thread.is_alive(), "a client got no answer"

    @property
    def count(self):
        return len(self.accepted)

    def gaps(self, since=0.0):
        """The longest times without any answer that ended after `since`, longest first: (seconds, when it began)."""
        with self._lock:
            times = list(self.times)
        return sorted(((b - a, a) for a, b in zip(times, times[1:]) if b >= since), reverse=True)[:5]


class Killer:
    """Ends one of `count` things at a time, at random, and brings it back: kill(i), revive(i), and is_whole() before the next.

    Runs until stopped, or for `rounds`. `record` gets (kind, index, when)."""

    def __init__(self, kind, count, kill, revive, is_whole, record, seed, rounds=None, on_failure=None):
        self.kind, self.count, self.kill, self.revive, self.is_whole, self.record = kind, count, kill, revive, is_whole, record
        self.rounds, self.on_failure, self.failure = rounds, on_failure, None
        self._chance = random.Random(f"{seed} {kind}")
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self):
        done = 0
        try:
            while not self._stop.is_set() and (self.rounds is None or done < self.rounds):
                wait_until(lambda: self._stop.is_set() or self.is_whole(), f"all of kind {self.kind} to be there", 60, every=0.1, on_failure=self.on_failure)
                self._stop.wait(self._chance.uniform(0.2, 2.0))
                if self._stop.is_set():
                    return
                i = self._chance.randrange(self.count)
                self.record.append((self.kind, i, time.monotonic()))
                self.kill(i)
                self._stop.wait(self._chance.uniform(0.2, 3.0))
                self.revive(i)
                done += 1
        except BaseException as trouble:  # noqa: BLE001: told to the test by __exit__
            self.failure = trouble

    def wait(self, seconds):
        """Until its rounds are over, or so long."""
        self._thread.join(seconds)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join(180)
        assert not self._thread.is_alive(), f"the killer of kind {self.kind} hangs"
        if self.failure:
            raise self.failure
