"""Versions under load: changes of what is live lose nothing and mix nothing, and a key keeps its version when nodes die."""

import random
import threading

import httpx
from nexus import nats
from nexus.node import Node, Project, function
from nexus.wait import wait_until

from test_versions import modules, place

EVENTS = 4000


def deploy(node, wasm, **settings):
    project = node.project
    config = {"functions": [function("which", project.module(wasm, "which.wasm"), **settings)]}
    project.write(config)
    (made,) = node.json("deploy", "--no-build")
    return made["version"]


class Callers:
    """Threads that wait for each answer; (event id -> answer) of all of them. Anything but an answer fails the test."""

    def __init__(self, node, threads=8):
        self.node, self.answers, self.wrong = node, {}, []
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]

    def _work(self):
        with httpx.Client(timeout=30) as client:
            while len(self.answers) < EVENTS and not self.wrong:
                got = client.post(f"{self.node.url}/events/which", content=b"", headers={"Prefer": "wait=20"})
                with self._lock:
                    if got.status_code == 200:
                        self.answers[got.headers["Nexus-Event-Id"]] = got.text
                    else:
                        self.wrong.append((got.status_code, got.text))

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive(), "a caller got no answer"


def change(node, dice):
    """One change of `live`, by the API: a command's start would take most of the time."""
    url = f"{node.admin_url}/api/v1/functions/which"
    kind = dice.randrange(4)
    if kind == 0:
        got = node.client.post(f"{url}/rollback", json={})
        return got.status_code in (200, 409)
    if kind == 1:
        return node.client.put(f"{url}/aliases/live", json={"to": f"v{dice.randint(1, 3)}"}).status_code == 200
    first, second = dice.sample((1, 2, 3), 2)
    traffic = [{"version": f"v{first}", "percent": dice.randint(1, 99)}, {"version": f"v{second}"}]
    return node.client.put(f"{url}/aliases/live", json={"traffic": traffic}).status_code == 200


def test_changing_what_is_live_under_load_loses_nothing_and_mixes_nothing(tmp_path, guests):
    project = Project(tmp_path / "project")
    project.write({"functions": []})
    with Node(project, "--set", "log.level=warn", verb="serve") as node:
        for n, wasm in modules(guests).items():
            assert deploy(node, wasm) == f"v{n}"
        dice, changes = random.Random(7), 0
        with Callers(node) as callers:
            while len(callers.answers) < EVENTS and not callers.wrong:
                assert change(node, dice), node.log()
                changes += 1
        assert not callers.wrong, callers.wrong[:3]
        assert changes > 20
        runs = {}
        for run in node.runs(limit=10000):
            assert run["event_id"] not in runs, "two final runs of one event"
            runs[run["event_id"]] = run
        seen = set()
        for event_id, text in callers.answers.items():
            built, told = text.split()
            assert built == told == runs[event_id]["version"], (text, runs[event_id])
            assert runs[event_id]["status"] == "ok"
            seen.add(built)
        assert seen == {"v1", "v2", "v3"}
        assert node.api_list("functions")[0]["in_flight"] == 0


def test_a_key_keeps_its_version_when_its_node_dies(tmp_path, guests):
    """Two nodes on one log, one is killed under load and comes back: redelivered or not, on whichever node, the key decides."""
    with nats.Server(tmp_path / "server") as server:
        projects = [Project(tmp_path / f"node{i}") for i in range(2)]
        for project in projects:
            project.write({"functions": []})
        flags = ("--nats-url", server.url, "--set", "log.level=warn")
        with Node(projects[0], *flags, verb="serve") as one, Node(projects[1], *flags, verb="serve") as two:
            built = modules(guests)
            for n in (1, 2):
                deploy(one, built[n])
            one.json("alias", "set", "which", "--weight", "v2=50", "--weight", "v1=50")

            def follows():
                (row,) = two.api_list("functions") or [{"traffic": []}]
                return len(row["traffic"]) == 2

            wait_until(follows, "the other node to follow", 20, on_failure=two.log)
            sent = {}
            for i in range(1500):
                key = f"user-{i % 97}"
                headers = {"ce-specversion": "1.0", "ce-id": f"e-{i}", "ce-source": "/test", "ce-type": "which", "ce-partitionkey": key}
                if i == 500:
                    two.kill()
                node = one if i % 2 or i >= 500 else two
                sent[node.publish("which", "sleep 5", headers=headers)] = key
            two.start()
            wait_until(lambda: (r := one.api_list("functions")[0])["pending"] + r["in_flight"] == 0, "all to be handled", 60, on_failure=one.log)
            wait_until(lambda: {r["event_id"] for r in one.runs(limit=10000)} >= set(sent), "every run", 60, every=0.5, on_failure=one.log)
            runs = {r["event_id"]: r for r in one.runs(limit=10000)}
            for event_id, key in sent.items():
                expected = "v2" if place("which", key) < 5000 else "v1"
                assert runs[event_id]["version"] == expected, (key, runs[event_id])
            assert {r["version"] for r in runs.values()} == {"v1", "v2"}
