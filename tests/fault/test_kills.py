"""kill -9 at any moment: what was accepted stays, is run, and ends once.

NX_KILLS: kills of test_kills_lose_nothing (10; a soak takes 50). NX_RESTARTS: quick restarts (10; 50). NX_SEED repeats a run."""

import json
import os
import random
import subprocess
import threading
import time

import pytest
from nexus import nats, processes
from nexus.load import Load, check_nothing_lost
from nexus.node import Node, Project, environment, function
from nexus.paths import nats_server
from nexus.wait import pause, wait_until

KILLS = int(os.environ.get("NX_KILLS", "10"))
RESTARTS = int(os.environ.get("NX_RESTARTS", "10"))
SEED = int(os.environ.get("NX_SEED", str(int(time.time()))))


@pytest.fixture
def node(project, guests):
    probe = project.module(guests.rust("probe.rs"))
    project.write({"functions": [function("load", probe), function("slow", probe, timeout="60s")]})
    with Node(project) as node:
        yield node


@pytest.mark.timeout(60 + 20 * KILLS)
def test_kills_lose_nothing(node):
    """Of the node, of nats-server, and of both, while events come in and run."""
    chance = random.Random(SEED)
    print(f"seed {SEED}, {KILLS} kills")
    kinds = [("node", "server", "both")[i % 3] for i in range(KILLS)]
    chance.shuffle(kinds)
    # Some events take a while, so that kills also meet running functions.
    load = Load(lambda: node.url, body=lambda i: "sleep 30" if i % 10 == 0 else f"event {i}", threads=3)
    ready_s = []
    with load:
        for kind in kinds:
            before = load.count
            wait_until(lambda before=before: load.count > before + 20, "events to be accepted", 30, on_failure=node.log)
            pause(chance.uniform(0.0, 0.5))
            if kind in ("server", "both"):
                processes.kill(node.nats_pid())
            if kind in ("node", "both"):
                node.kill()
                began = time.monotonic()
                node.start()
                ready_s.append(time.monotonic() - began)
            else:
                wait_until(node.is_ready, "the node to have its server again", 30, every=0.05, on_failure=node.log)
    ledger = check_nothing_lost(node, load, allowed=("ok", "dead"))
    dead = [e for e in load.accepted if ledger.finals[(e, "load")][1] == "dead"]
    # Only who was executing in three of the crashes may be given up.
    assert len(dead) <= KILLS // 3, dead
    print(f"{load.count} accepted, {len(load.refused)} refused, {load.broken} connections broken, {ledger.repeated} repeated records, "
          f"{len(dead)} dead; ready again after {max(ready_s):.2f} s at worst")


@pytest.mark.timeout(60 + 20 * KILLS)
def test_chains_are_neither_cut_nor_doubled(project, guests):
    """An emitted event is in the log once, however often the run that emits it had to be repeated."""
    probe = project.module(guests.rust("probe.rs"))
    project.write({"functions": [function("load", probe, output={"event": "link.two"}),
                                 function("two", probe, on={"event": "link.two"}, output={"event": "link.three"})]})
    chance = random.Random(SEED)
    with Node(project) as node:
        load = Load(lambda: node.url, body=lambda i: "sleep 20" if i % 4 == 0 else f"event {i}", threads=2)
        with load:
            for i in range(max(4, KILLS // 2)):
                before = load.count
                wait_until(lambda before=before: load.count > before + 10, "events to be accepted", 30, on_failure=node.log)
                pause(chance.uniform(0.0, 0.3))
                if i % 2:
                    processes.kill(node.nats_pid())
                    wait_until(node.is_ready, "the node to have its server again", 30, every=0.05, on_failure=node.log)
                else:
                    node.kill()
                    node.start()
        check_nothing_lost(node, load)
        url = nats.private_url(project.data_dir)

        def links():
            found = {"load": [], "link.two": [], "link.three": []}
            for _, _, headers in nats.read_stream(url, "NX_EVENTS_default"):
                found[headers["ce-type"]].append(headers)
            return found if len(found["link.three"]) >= len(found["load"]) else None

        found = wait_until(links, "all chains to end", 60, every=0.5, on_failure=node.log)
        # A publish whose answer the kill took may be stored too: the chain holds for what is stored.
        assert len(found["load"]) == len(found["link.two"]) == len(found["link.three"]), {k: len(v) for k, v in found.items()}
        for kind in ("link.two", "link.three"):
            assert len({h["nx-cause"] for h in found[kind]}) == len(found[kind]), "a run emitted twice"
        print(f"{len(found['load'])} chains of three")


@pytest.mark.timeout(60)
def test_keys_are_remembered_over_kills(node):
    first = node.post("load", "x", headers={"Idempotency-Key": "over kills"}).json()
    processes.kill(node.nats_pid())
    node.kill()
    node.start()
    again = node.post("load", "x", headers={"Idempotency-Key": "over kills"}).json()
    assert again == {**first, "duplicate": True}
    assert len(node.wait_runs(first["event_id"])) == 1


@pytest.mark.timeout(60)
def test_waiting_callers_are_answered_when_the_server_dies(node):
    """With the output, or that it is still to come; none is left hanging and none is told of a loss that did not happen."""
    answers = []

    def call(i):
        answers.append(node.call("slow", f"sleep {400 + 20 * i}", wait=20))

    threads = [threading.Thread(target=call, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    node.wait_log(r"Function 'slow' started", count=8)
    processes.kill(node.nats_pid())
    for thread in threads:
        thread.join(40)
    assert len(answers) == 8
    assert {a.status_code for a in answers} <= {200, 202}, [a.text for a in answers]
    for answer in answers:
        event_id = answer.headers["nexus-event-id"]
        assert node.run_of(event_id, deadline=30)["status"] == "ok"


@pytest.mark.timeout(120)
def test_event_that_kills_its_node_ends_dead(node):
    """A module that crashes the node, as a kill -9 of the node while that event executes."""
    victim = node.publish("slow", "sleep 50000")
    for round_number in range(1, 4):
        node.wait_log(r"Function 'slow' started", 20)
        node.kill()
        node.start()
        # Others are served meanwhile.
        assert node.call("load", f"between {round_number}").text == f"between {round_number}"
    run = node.run_of(victim, deadline=20)
    assert (run["status"], run["why"]) == ("dead", "node_crash")
    assert node.whole_run(run["run_id"])["message"]
    # It does not start again, and its replay is a clear refusal, not a crash.
    pause(5)
    assert "Function 'slow' started" not in node.log()
    result = node.nexus("replay", victim, check=False)
    assert result.returncode == 1
    assert "dead" in result.stdout + result.stderr
    assert node.call("load", "alive").text == "alive"


@pytest.mark.timeout(180)
def test_deaths_are_counted_over_all_nodes(tmp_path, guests):
    """Two nodes on one log: three deaths in all, not three for each; the survivor is not taken down."""
    with nats.Server(tmp_path / "nats") as server:
        projects = [Project(tmp_path / name) for name in ("a", "b")]
        for project in projects:
            probe = project.module(guests.rust("probe.rs"))
            project.write({"nats": {"url": server.url}, "functions": [function("slow", probe, timeout="60s")]})
        with Node(projects[0]) as a, Node(projects[1]) as b:
            victim = a.publish("slow", "sleep 50000")
            deaths = 0
            started = {a: 0, b: 0}
            while deaths < 3:
                def executing():
                    return next((node for node, n in started.items() if node.log().count("Function 'slow' started") > n), None)

                node = wait_until(executing, "the event to execute", 30, on_failure=lambda: a.log() + b.log())
                node.kill()
                deaths += 1
                started[node] = 0  # its log begins anew
                node.start()
            run = a.run_of(victim, deadline=30)
            assert (run["status"], run["why"]) == ("dead", "node_crash")
            assert "3 times" in a.whole_run(run["run_id"])["message"]
            pause(5)
            assert all(node.log().count("Function 'slow' started") == n for node, n in started.items())


@pytest.mark.timeout(180)
def test_deaths_are_counted_without_a_folder_that_lasts(tmp_path, guests):
    """Every node is a new one, as containers are. What a first delivery did when its node died is not known, so it takes one more."""
    with nats.Server(tmp_path / "nats") as server:
        victim, deaths = None, 0
        for number in range(8):
            project = Project(tmp_path / f"node-{number}")
            project.write({"nats": {"url": server.url}, "functions": [function("slow", project.module(guests.rust("probe.rs")), timeout="60s")]})
            with Node(project) as node:
                victim = victim or node.publish("slow", "sleep 50000")

                def is_over():
                    return "Function 'slow' started" in node.log() or "node_crash" in node.log()  # noqa: B023

                wait_until(is_over, "the event to execute, or to end", 30, on_failure=node.log)
                if "Function 'slow' started" not in node.log():
                    run = node.run_of(victim, deadline=20)
                    assert (run["status"], run["why"]) == ("dead", "node_crash")
                    break
                node.kill()
                node.stop(expect=None)
                deaths += 1
        assert deaths == 4


@pytest.mark.timeout(120)
def test_interrupted_run_is_executed_again(node):
    """Executions are at least once: a run cut off by a kill is repeated. The attempt that was cut off left no record and is not counted."""
    event_id = node.publish("slow", "sleep 1000")
    node.wait_log(r"Function 'slow' started", 20)
    node.kill()
    node.start()
    run = node.run_of(event_id, deadline=30)
    assert (run["status"], run["attempt"]) == ("ok", 1)
    assert node.whole_run(run["run_id"])["delivery"] == 2
    assert [v["verdict"] for v in node.replay(event_id)] == ["identical"]


class StoreWatch:
    """Counts, again and again, the live nats-servers on one store."""

    def __init__(self, data_dir):
        self.data_dir, self.most, self.looks = data_dir, 0, 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self):
        while not self._stop.is_set():
            self.most = max(self.most, len(processes.nats_servers_of(self.data_dir)))
            self.looks += 1

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


@pytest.mark.timeout(60 + 10 * RESTARTS)
def test_quick_restarts_never_put_two_servers_on_one_store(node):
    """The old server stopped (SIGSTOP) when its node dies; the new node starts at once."""
    chance = random.Random(SEED)
    load = Load(lambda: node.url, threads=2)
    with StoreWatch(node.project.data_dir) as watch, load:
        for _ in range(RESTARTS):
            before = load.count
            wait_until(lambda before=before: load.count > before, "an accepted event", 30, on_failure=node.log)
            if chance.random() < 0.7:
                os.kill(node.nats_pid(), 19)  # SIGSTOP
            node.kill()
            node.start()
    assert watch.most == 1, f"{watch.most} servers on one store at one time"
    assert watch.looks > RESTARTS * 5
    check_nothing_lost(node, load)


@pytest.mark.timeout(120)
def test_server_that_outlived_its_node_is_waited_for(node):
    """A previous server that hangs (stopped, not the node's child any more) is ended before the next one starts."""
    data_dir = node.project.data_dir
    first = node.publish("load", "before")
    node.run_of(first)
    node.stop()
    old = subprocess.Popen([nats_server(), "-c", str(data_dir / "nats" / "server.conf")], stdin=subprocess.DEVNULL,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        ticks = int(open(f"/proc/{old.pid}/stat").read().rpartition(")")[2].split()[19])
        boot = open("/proc/sys/kernel/random/boot_id").read().strip()
        (data_dir / "server.json").write_text(json.dumps({"pid": old.pid, "start_ticks": ticks, "boot": boot}))
        wait_until(lambda: nats.stream_names(nats.private_url(data_dir)), "the stray server", 10, on_failure=lambda: str(old.poll()))
        os.kill(old.pid, 19)
        with StoreWatch(data_dir) as watch:
            # This process is the stray's parent: it must reap it, or it stays a zombie, which counts as gone.
            reaper = threading.Thread(target=old.wait, daemon=True)
            reaper.start()
            node.start()
        assert watch.most == 1
        assert old.poll() is not None
        assert node.run_of(first)["status"] == "ok"
        assert node.call("load", "after").text == "after"
    finally:
        if old.poll() is None:
            old.kill()
            old.wait()


def test_second_node_on_one_folder_is_refused(node):
    second = Node(node.project)
    result = subprocess.run([*map(str, [processes.command_line(node.pid)[0].decode(), "dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
                                        "--data-dir", node.project.data_dir])], cwd=node.project.dir, env=environment(),
                            capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 5, result.stdout + result.stderr
    assert str(node.pid) in result.stdout + result.stderr
    assert second.process is None
    assert node.call("load", "undisturbed").text == "undisturbed"


def test_killed_node_leaves_no_process(node):
    server = node.nats_pid()
    assert processes.is_alive(server)
    node.kill()
    wait_until(lambda: not processes.is_alive(server), "nats-server to die with its node", 10)
    assert processes.working_on(node.project.data_dir) == []
    node.start()


def test_killed_server_is_replaced(node):
    event_id = node.publish("load", "kept")
    node.run_of(event_id)
    for _ in range(3):
        old = node.nats_pid()
        processes.kill(old)
        wait_until(lambda old=old: node.nats_pid() != old and node.is_ready(), "another server", 20, on_failure=node.log)
        assert node.call("load", "served").text == "served"
    assert [v["verdict"] for v in node.replay(event_id)] == ["identical"]
