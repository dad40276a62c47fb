"""The log away, slow, full or without space; a clock that jumps; a stop under load. Nothing accepted is lost, the answers are honest, and
all comes back without a restart."""

import json
import os
import re
import shutil
import signal
import threading
import time
from pathlib import Path

import httpx
import pytest
from nexus import nats, processes
from nexus.disk import fill, needs_strace, small_disk, traced
from nexus.load import Load, check_nothing_lost
from nexus.node import Node, Project, function
from nexus.paths import nats_server
from nexus.ports import free_port
from nexus.wait import SLOW, Stopwatch, pause, wait_until

PAUSE_S = float(os.environ.get("NX_PAUSE_S", "10"))
STORED = int(os.environ.get("NX_STORED", "100000"))


@pytest.fixture
def node(project, guests):
    probe = project.module(guests.rust("probe.rs"))
    project.write({"functions": [function("load", probe), function("slow", probe, timeout="60s")]})
    with Node(project) as node:
        yield node


def not_ready_reason(node):
    answer = node.client.get(f"{node.admin_url}/readyz")
    return answer.json()["reason"] if answer.status_code == 503 else None


# ---- a server that does not answer


@pytest.mark.timeout(150)
def test_paused_server_is_503_and_comes_back(node):
    load = Load(lambda: node.url, threads=3)
    with load:
        wait_until(lambda: load.count > 100, "events", 20, on_failure=node.log)
        server = node.nats_pid()
        os.kill(server, 19)
        paused_at = time.monotonic()
        try:
            reason = wait_until(lambda: not_ready_reason(node), "/readyz to say so", 15, on_failure=node.log)
            print(f"/readyz: {reason} after {time.monotonic() - paused_at:.1f} s")
            wait_until(lambda: len([r for r in load.refused if r[2] > paused_at]) > 3, "refusals", 15, on_failure=node.log)
            # Once the node knows, an answer comes at once.
            with Stopwatch() as watch:
                answer = node.post("load", "x")
            assert answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1
            assert answer.json()["code"]
            assert watch.s < 2 * SLOW
            assert node.client.get(f"{node.admin_url}/healthz").status_code == 200
            pause(max(0.0, PAUSE_S - (time.monotonic() - paused_at)))
        finally:
            os.kill(server, 18)
        with Stopwatch() as watch:
            wait_until(node.is_ready, "readiness", 30, every=0.02, on_failure=node.log)
        print(f"ready again {watch.s:.1f} s after the pause")
        before = load.count
        wait_until(lambda: load.count > before + 100, "events again", 20, on_failure=node.log)
    during = [r for r in load.refused if r[2] > paused_at]
    assert all(status == 503 and after and int(after) >= 1 for status, after, _ in during), during[:5]
    assert node.nats_pid() == server and node.starts == 1
    check_nothing_lost(node, load)


@needs_strace
@pytest.mark.timeout(150)
def test_a_slow_disk_slows_events_down_and_loses_none(node, tmp_path):
    """Each write to the store takes a tenth of a second: events are taken as slowly, or refused in order, and all is as before once the disk is."""
    load = Load(lambda: node.url, threads=3)
    with load:
        wait_until(lambda: load.count > 100, "events", 20, on_failure=node.log)
        with traced(node, tmp_path, "pwrite64,fsync,fdatasync:delay_enter=100000"):
            began, before = time.monotonic(), load.count
            with Stopwatch() as watch:
                answer = node.post("load", "slow")
            assert watch.s >= 0.1 and (answer.status_code == 202 or (answer.status_code == 503 and int(answer.headers["retry-after"]) >= 1)), answer.text
            wait_until(lambda: load.count > before + 5 or len(load.refused) > 5, "answers", 30, on_failure=node.log)
            pause(max(0.0, PAUSE_S - (time.monotonic() - began)))
            assert node.client.get(f"{node.admin_url}/healthz").status_code == 200
            print(f"{load.count - before} events in {time.monotonic() - began:.1f} s")
        before = load.count
        wait_until(lambda: load.count > before + 100, "events again", 30, on_failure=node.log)
    print(f"{load.count} taken, {len(load.refused)} refused")
    assert all(status == 503 and after and int(after) >= 1 for status, after, _ in load.refused), load.refused[:5]
    assert node.starts == 1
    check_nothing_lost(node, load)


@pytest.mark.timeout(120)
def test_runs_during_a_pause_are_recorded_after_it(node):
    """The record of a run that ends while the log is away is stored when it is back."""
    ids = [node.publish("slow", "sleep 1500") for _ in range(3)]
    node.wait_log(r"Function 'slow' started", count=2)
    server = node.nats_pid()
    os.kill(server, 19)
    try:
        pause(4)
    finally:
        os.kill(server, 18)

    for event_id in ids:
        assert node.run_of(event_id, deadline=40)["status"] == "ok"


# ---- no room


def full_log(node, deadline=60):
    """Posts large events until the log refuses one; the accepted ids and the refusal."""
    accepted, end = [], time.monotonic() + deadline
    while time.monotonic() < end:
        answer = node.post("hold", b"x" * 500_000)
        if answer.status_code != 202:
            return accepted, answer
        accepted.append(answer.json()["event_id"])
    raise AssertionError(f"{len(accepted)} events of 500 kB fit into the log")


@pytest.mark.timeout(150)
def test_full_stream_is_503_until_its_events_are_handled(project, guests):
    """16 MiB of events that wait for a function: none is dropped; once they are handled there is room again."""
    probe = project.module(guests.rust("probe.rs"))
    answer = project.module(guests.wat("answer.wat", TEXT="done", LENGTH=4))
    config = {"retention": {"events": {"max_bytes": "16Mi"}}, "functions": [
        function("load", answer),
        function("hold", probe, on={"http": {"path": "/events/hold"}}, input="data", concurrency=1, timeout="60s", max_output="2Mi"),
        function("gate", probe, on={"event": "hold"}, concurrency=1, timeout="60s", env={"GATE": "1"}),
    ]}
    # `gate` sleeps for each event, so nothing is done with while the log fills.
    config["functions"][2]["code"] = project.module(guests.rust("slow.rs"))
    project.write(config)
    with Node(project) as node:
        accepted, refusal = full_log(node)
        assert refusal.status_code == 503, refusal.text
        assert refusal.headers["content-type"].startswith("application/problem+json")
        assert int(refusal.headers["retry-after"]) >= 1
        assert "full" in refusal.json()["detail"].lower()
        assert len(accepted) >= 25
        # What is accepted is all there.
        listed = {e["event_id"] for e in node.api_list("events", limit=1000)}
        assert set(accepted) <= listed
        # The function lets go: events are handled, acknowledged, trimmed.
        config["functions"][2]["code"] = answer
        project.write(config)
        wait_until(lambda: node.post("load", "x").status_code == 202, "room again", 60, every=0.1, on_failure=node.log)
        for event_id in accepted[-3:]:
            wait_until(lambda e=event_id: nats_runs(project).get(e, 0) >= 2, "its runs", 60, every=0.2, on_failure=node.log)
        counts = nats_runs(project)
        assert all(counts.get(e) == 2 for e in accepted), {e: counts.get(e) for e in accepted if counts.get(e) != 2}


@pytest.mark.timeout(150)
def test_handled_events_make_room_for_new_ones(project, guests):
    """60 MB through a log of 16 MiB: what is handled goes, oldest first, and a caller that tries again gets in."""
    project.write({"retention": {"events": {"max_bytes": "16Mi"}, "runs": {"max_bytes": "16Mi"}},
                   "functions": [function("load", project.module(guests.wat("answer.wat", TEXT="done", LENGTH=4)))]})
    with Node(project) as node:
        accepted, refused, end = [], 0, time.monotonic() + 100
        while len(accepted) < 120:
            answer = node.post("load", b"x" * 500_000)
            if answer.status_code == 202:
                accepted.append(answer.json()["event_id"])
            else:
                assert answer.status_code == 503, answer.text
                refused += 1
                pause(0.1)
            assert time.monotonic() < end, f"{len(accepted)} accepted, {refused} refused\n{node.log()}"
        print(f"{refused} refusals")
        assert node.run_of(accepted[-1])["status"] == "ok"
        gone = node.nexus("replay", accepted[0], check=False)
        assert gone.returncode == 4, gone.stdout + gone.stderr
        held = len(node.api_list("events", limit=1000))
        assert 10 <= held <= 34
        assert node.replay(accepted[-1])[0]["verdict"] == "identical"


def nats_runs(project):
    """event id -> functions whose final record is in the log."""
    found = {}
    for _, subject, headers in nats.read_stream(nats.private_url(project.data_dir), "NX_RUNS_default"):
        if "nx-final" in headers:
            found.setdefault(headers["nx-event-id"], set()).add(subject.split(".")[3])
    return {event: len(ids) for event, ids in found.items()}


@pytest.mark.timeout(240)
def test_full_disk_loses_nothing(tmp_path, guests):
    project = Project(tmp_path / "project")
    project.data_dir = tmp_path / "disk" / "data"
    project.write({"functions": [function("load", project.module(guests.rust("probe.rs")))]})
    with small_disk(tmp_path / "disk") as disk, Node(project) as node:
        load = Load(lambda: node.url, threads=2, body=lambda i: f"event {i} " + "x" * 2000)
        with load:
            wait_until(lambda: load.count > 50, "events", 20, on_failure=node.log)
            fill(disk / "ballast")
            full_at = time.monotonic()
            wait_until(lambda: [r for r in load.refused if r[2] > full_at], "a refusal", 60, on_failure=node.log)
            pause(2)
            assert node.client.get(f"{node.admin_url}/healthz").status_code == 200
            (disk / "ballast").unlink()
            freed_at, before = time.monotonic(), load.count
            wait_until(lambda: load.count > before + 50, "events again", 90, on_failure=node.log)
            print(f"accepting again {time.monotonic() - freed_at:.1f} s after space was freed; {load.count} accepted, {len(load.refused)} refused")
        assert all(status == 503 for status, _, _ in load.refused), {r[0] for r in load.refused}
        check_nothing_lost(node, load, deadline=120)
        assert node.starts == 1


# ---- the clock


FAKETIME = next((str(p) for p in Path("/usr/lib").glob("*/faketime/libfaketime.so.1")), None)


def on_another_clock(offset_file):
    return {"LD_PRELOAD": FAKETIME, "FAKETIME_TIMESTAMP_FILE": str(offset_file), "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "FAKETIME_DONT_RESET": "1", "FAKETIME_FORCE_MONOTONIC_FIX": "0"}


def needs_faketime(test):
    for condition, reason in ((not FAKETIME, "libfaketime is not installed (apt-get install faketime)"),
                              (os.environ.get("NX_SANITIZER") == "thread", "libfaketime stands in for functions that ThreadSanitizer watches")):
        test = pytest.mark.skipif(condition, reason=reason)(test)
    return test


@needs_faketime
@pytest.mark.timeout(120)
def test_clock_set_back_an_hour_loses_nothing(project, guests):
    """Ids hold the time, and look-ups go by it: events from before, during and after the jump are all found, run and repeated."""
    offset = project.dir / "offset"
    offset.write_text("+0")
    project.write({"functions": [function("load", project.module(guests.rust("probe.rs")))]})
    env = on_another_clock(offset)
    with Node(project, env=env) as node:
        ids = [node.publish("load", f"before {i}") for i in range(5)]
        offset.write_text("-1h")
        began = node.client.get(f"{node.admin_url}/healthz").status_code
        assert began == 200
        ids += [node.publish("load", f"during {i}") for i in range(5)]
        assert node.call("load", "answered").text == "answered"
        for event_id in ids:
            assert node.run_of(event_id)["status"] == "ok"
            assert [v["verdict"] for v in node.replay(event_id)] == ["identical"]
        offset.write_text("+0")
        ids += [node.publish("load", f"after {i}") for i in range(5)]
        listed = {e["event_id"] for e in node.api_list("events", limit=100)}
        assert set(ids) <= listed
        assert len(set(ids)) == len(ids)
        for event_id in ids:
            assert node.run_of(event_id)["status"] == "ok"
            assert node.nexus("events", "show", event_id).stdout
        assert node.is_ready()
    # A node that starts with its clock an hour behind serves what is there.
    with Node(project, env={**env, "FAKETIME": "-1h", "FAKETIME_TIMESTAMP_FILE": None}) as node:
        assert all(v["verdict"] == "identical" for e in ids[::5] for v in node.replay(e))
        assert node.call("load", "behind").text == "behind"


@needs_faketime
@pytest.mark.timeout(180)
@pytest.mark.parametrize("offset", ["+1h", "-1h"])
def test_a_job_belongs_to_its_node_whatever_the_others_clocks_say(tmp_path, guests, offset):
    """Beside the node that works on a job there is one whose clock is an hour off: it leaves the job alone, and takes it up once the other one is dead."""
    (tmp_path / "offset").write_text(offset)
    with nats.Server(tmp_path / "server") as server:
        projects = [Project(tmp_path / name) for name in ("right", "wrong")]
        for project in projects:
            project.write({"nats": {"url": server.url}, "functions": [function("load", project.module(guests.rust("probe.rs")))]})
        with Node(projects[0]) as right, Node(projects[1], env=on_another_clock(tmp_path / "offset")) as wrong:
            for i in range(600):
                right.publish("load", f"event {i}")
            wait_until(lambda: len(right.runs(limit=1000)) == 600, "their runs", 30, every=0.1, on_failure=right.log)
            made = json.loads(right.nexus("replay", "--all", "--rate", "20", "--detach", "--json").stdout)

            def job():
                return wrong.api(f"jobs/{made['job_id']}").json()

            first = wait_until(lambda: (j := job())["status"] == "running" and j, "the job to begin", 20)
            owner, other = (right, wrong) if first["node"] == right.info["node"] else (wrong, right)
            pause(7)  # three looks of the other one
            assert (job()["status"], job()["node"]) == ("running", owner.info["node"])
            owner.kill()
            over = wait_until(lambda: (j := other.api(f"jobs/{made['job_id']}").json()).get("node") == other.info["node"] and j, "another owner", 60, every=0.2,
                              on_failure=other.log)
            assert over["status"] == "running" and over["progress"]["events"] < 600
            other.nexus("jobs", "cancel", made["job_id"])
            wait_until(lambda: other.api(f"jobs/{made['job_id']}").json()["status"] == "canceled", "its end", 20, on_failure=other.log)
            owner.start()


# ---- stopping


@pytest.mark.timeout(120)
@pytest.mark.parametrize("signal_number", [15, 2])
def test_stop_under_load_loses_no_accepted_request(node, signal_number):
    load = Load(lambda: node.url, threads=4, body=lambda i: "sleep 20" if i % 5 == 0 else f"event {i}")
    with load:
        wait_until(lambda: load.count > 200, "events", 20, on_failure=node.log)
        waiting = []
        thread = threading.Thread(target=lambda: waiting.append(node.call("slow", "sleep 700")))
        thread.start()
        node.wait_log(r"Function 'slow' started")
        with Stopwatch() as watch:
            node.signal(signal_number)
            node.process.wait(40)
        thread.join()
        assert node.process.returncode == 0, node.log()
        print(f"stopped in {watch.s:.1f} s; {load.count} accepted")
        # Who waited for an output got an answer, not a cut connection.
        assert waiting and waiting[0].status_code in (200, 202), waiting
        node.start()
        before = load.count
        wait_until(lambda: load.count > before + 20, "events after the restart", 20, on_failure=node.log)
    assert all(status == 503 for status, _, _ in load.refused), {r[0] for r in load.refused}
    check_nothing_lost(node, load)


@pytest.mark.timeout(90)
def test_stop_ends_though_a_function_runs_long(node):
    """A function that would run for a minute is left to the next node; the stop is bounded."""
    event_id = node.publish("slow", "sleep 55000")
    node.wait_log(r"Function 'slow' started")
    with Stopwatch() as watch:
        node.stop()
    print(f"stopped in {watch.s:.1f} s")
    assert watch.s < 35 * SLOW
    node.start()
    wait_until(lambda: "Function 'slow' started" in node.log(), "the run to begin anew", 20, on_failure=node.log)
    assert node.runs(event=event_id) == []


def test_a_start_that_takes_long_says_what_it_waits_for(project, guests):
    """The server hangs before it answers: in the log and in /readyz, and the node is ready when it goes on."""
    project.write({"functions": [function("echo", project.module(guests.rust("probe.rs")))]})
    admin = f"127.0.0.1:{free_port()}"
    node = Node(project, "--admin", admin)
    server = project.data_dir / "server.json"
    try:
        node.launch()
        pid = wait_until(lambda: server.exists() and json.loads(server.read_text())["pid"], "the server's process", every=0.001)
        os.kill(pid, signal.SIGSTOP)
        node.wait_log(".*WARN.*not ready for 5 s: starting the private event log", 20)
        assert httpx.get(f"http://{admin}/readyz").json()["reason"] == "starting the private event log"
        os.kill(pid, signal.SIGCONT)
        node.wait_ready()
        assert node.call("echo", "here").text == "here"
    finally:
        node.__exit__(None, None, None)


# ---- a large log


@pytest.mark.timeout(120 + STORED // 2000)
@pytest.mark.parametrize("window,most_s", [("1s", 4.0), ("1h", 4.0 + 2e-6 * STORED)])
def test_restart_with_many_stored_events_is_quick(project, guests, window, most_s):
    """Ready within two seconds (four where the machine is busy, or where an empty log takes a quarter of the time), after kill -9 and after a clean stop.

    Where they are within the dedupe window, the server makes the table of their keys anew, which takes it 1 to 2 us for each."""
    project.write({"ingest": {"batch": True}, "dedupe_window": window, "functions": [function("load", project.module(guests.rust("probe.rs")))]})
    batch = 250
    with Stopwatch() as empty:
        Node(project).start().stop()
    with Node(project) as node:
        first = node.publish("load", "the first")
        node.run_of(first)
        with Stopwatch() as watch, httpx.Client(timeout=60) as client:
            for n in range(STORED // batch):
                events = [{"specversion": "1.0", "id": f"{n}-{i}", "source": "/stored", "type": "stored.event", "data": {"n": i}} for i in range(batch)]
                answer = client.post(f"{node.url}/events/stored.event", content=json.dumps(events),
                                     headers={"Content-Type": "application/cloudevents-batch+json"})
                assert answer.status_code == 202, answer.text
        middle = answer.json()[0]["event_id"]
        last = STORED // batch - 1
        print(f"stored {STORED} events in {watch.s:.0f} s")
        for how in ("kill", "stop"):
            node.stop() if how == "stop" else node.kill()
            with Stopwatch() as watch:
                node.start()
            print(f"ready {watch.s:.2f} s after {how} with {STORED} events; {empty.s:.2f} s to start and stop with none")
            assert watch.s < max(most_s * SLOW, 4 * empty.s)
            assert node.api(f"events/{middle}").json()["type"] == "stored.event"
            if window == "1h":  # the keys are known as before
                for key in "0-0", f"{last // 2}-7", f"{last}-{batch - 1}":
                    again = node.post("stored.event", b"x", headers={"ce-specversion": "1.0", "ce-id": key, "ce-source": "/stored", "ce-type": "stored.event"})
                    assert again.json().get("duplicate") is True, (key, again.text)
            assert [v["verdict"] for v in node.replay(first)] == ["identical"]
            assert node.call("load", "served").text == "served"
        memory = processes.resident_bytes(node.pid)
        print(f"the node holds {memory / 1e6:.0f} MB")
        assert re.search(r"^nexus_", node.client.get(f"{node.admin_url}/metrics").text, re.M)
    shutil.rmtree(project.data_dir)


def test_duplicates_are_known_after_a_restart(project, guests):
    """Also those of blocks that are full: 6 MB of events with ids, sent once more after a kill and after a stop."""
    project.write({"ingest": {"batch": True}, "dedupe_window": "1h", "functions": [function("load", project.module(guests.rust("probe.rs")))]})
    batches = [json.dumps([{"specversion": "1.0", "id": f"{n}-{i}", "source": "/once", "type": "once.event", "data": {"pad": "x" * 2000}} for i in range(100)])
               for n in range(30)]

    def send(node, client):
        answers = [client.post(f"{node.url}/events/once.event", content=b, headers={"Content-Type": "application/cloudevents-batch+json"}) for b in batches]
        assert all(a.status_code == 202 for a in answers)
        return [event for a in answers for event in a.json()]

    with Node(project) as node, httpx.Client(timeout=60) as client:
        first = send(node, client)
        assert not any(e.get("duplicate") for e in first)
        for how in ("kill", "stop"):
            node.stop() if how == "stop" else node.kill()
            node.start()
            again = send(node, client)
            assert [e["event_id"] for e in again] == [e["event_id"] for e in first]
            assert all(e.get("duplicate") is True for e in again)


def test_healthz_answers_while_the_log_recovers(project, guests, tmp_path):
    """A large store takes its server seconds to open: the node lives meanwhile, and says what it waits for."""
    slow = tmp_path / "nats-server"
    slow.write_text(f'#!/bin/sh\n[ "$1" = -c ] && while [ ! -e "{tmp_path}/go" ]; do sleep 0.05; done\nexec "{nats_server()}" "$@"\n')
    slow.chmod(0o755)
    admin = f"127.0.0.1:{free_port()}"
    project.write({"functions": [function("load", project.module(guests.rust("probe.rs")))]})
    node = Node(project, "--admin", admin, env={"NEXUS_NATS_SERVER": slow})
    node.launch()
    try:
        def alive():
            try:
                return httpx.get(f"http://{admin}/healthz", timeout=5).status_code == 200
            except httpx.TransportError:
                return False

        wait_until(alive, "/healthz", 10, on_failure=node.log)
        answer = httpx.get(f"http://{admin}/readyz", timeout=5)
        assert answer.status_code == 503 and "event log" in answer.json()["reason"], answer.text
        (tmp_path / "go").touch()
        node.wait_ready()
        assert node.call("load", "recovered").text == "recovered"
    finally:
        (tmp_path / "go").touch()
        node.stop(expect=None)
