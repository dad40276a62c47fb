"""Namespaces of one process keep out of each other's way: on one nats-server, while the log or the disk of one is full, and while work of one is ended or fails."""

import json
import time
from contextlib import contextmanager

import pytest
from nexus import nats, processes
from nexus.disk import fill, small_disk
from nexus.load import Load, check_nothing_lost
from nexus.namespaces import Namespaces
from nexus.node import moment
from nexus.overlap import most_at_once, span
from nexus.wait import wait_until


# ---- one nats-server for both


def ticks(view):
    """Moments of the schedule's events, each of which has one run, of this namespace."""
    events = view.api_list("events", type="nexus.cron.tick", limit=1000)
    moments = sorted(moment(e["time"]) for e in events)
    assert len(set(moments)) == len(moments), "a tick fired twice"
    assert {e["namespace"] for e in events} <= {view.name}
    return moments


def test_keys_schedules_and_timers_on_one_server(tmp_path, guests):
    """The same functions, with the same keys, in both: each has its limit, its ticks and its waiting events for itself, also after kills of the server and of the process."""
    nap = guests.rust("nap.rs")
    with nats.Server(tmp_path / "server") as server:
        process = Namespaces(tmp_path / "pair", shop={"nats": {"url": server.url}}, lab={"nats": {"url": server.url}})
        with process as views:
            process.deploy({"keyed": (nap, {"concurrency": {"limit": 1, "key": "data.key"}}), "late": nap, "tick": (nap, {"on": {"cron": "@every 1s"}})})

            # concurrency.key
            sent = {view: [] for view in views}
            for _ in range(4):
                for view in views:
                    sent[view].append(view.publish("keyed", json_body={"key": "a", "ms": 300}))
            runs = {view: [view.whole_run(view.run_of(e, deadline=60)["run_id"]) for e in ids] for view, ids in sent.items()}
            spans = [[span(run) for run in v] for v in runs.values()]
            assert [most_at_once(v) for v in spans] == [1, 1]
            assert most_at_once([one for v in spans for one in v]) == 2, "one waited for the other's key"

            # Events that wait, over a death of the server and one of the process.
            def delayed(seconds):
                answers = [(view, view.post(f"late?delay={seconds}s", '{"ms": 1}').json()) for view in views for _ in range(2)]
                return [(view, answer["event_id"], moment(answer["deliver_at"])) for view, answer in answers]

            def check(waiting):
                for view, event_id, due in waiting:
                    run = view.whole_run(view.run_of(event_id, deadline=60)["run_id"])
                    assert (run["namespace"], run["status"], moment(run["time"]) >= due) == (view.name, "ok", True), run
                for view, event_id, _ in waiting:
                    other = next(v for v in views if v is not view)
                    assert other.client.get(f"{other.admin_url}/api/v1/runs", params={"event": event_id}).status_code == 404, "it is in both logs"

            check(delayed(1))
            waiting = delayed(3)
            server.kill()
            server.start()
            check(waiting)
            waiting = delayed(3)
            process.kill()
            process.start()
            check(waiting)

            # Schedules: both tick on, each tick once.
            seen = [len(ticks(view)) for view in views]
            for view, n in zip(views, seen):
                wait_until(lambda: len(ticks(view)) >= max(n + 2, 3), "ticks", 30, on_failure=view.log)
                for event in view.api_list("events", type="nexus.cron.tick", limit=3)[1:]:
                    assert view.run_of(event["event_id"])["status"] == "ok"
            # One schedule goes, the other's stays.
            shop, lab = views
            shop.project.write({"functions": [{"name": "tick", "on": {"http": {"path": "/tick"}}, "code": "./nap.wasm"}]})
            shop.nexus("deploy")
            wait_until(lambda: shop.json("cron", "list") == [], "the schedule to go", 20, on_failure=shop.log)
            gone, before = time.time(), len(ticks(lab))
            wait_until(lambda: len(ticks(lab)) >= before + 4, "ticks of the other", 30, on_failure=lab.log)
            assert sum(m > gone for m in ticks(shop)) <= 1, "it ticks still"


# ---- no room


@contextmanager
def undisturbed(view):
    """While the block runs, callers of this namespace are answered: all of them, and none after seconds."""
    load = Load(lambda: view.url, threads=2, rest=0.01)
    with load:
        wait_until(lambda: load.count > 20, "events", 20, on_failure=view.log)
        yield load
        before = load.count
        wait_until(lambda: load.count > before + 20, "events", 20, on_failure=view.log)
    assert not load.refused and not load.broken, (load.refused[:3], load.broken)


@pytest.mark.timeout(200)
def test_a_full_log_of_one_refuses_nothing_of_the_other(tmp_path, guests):
    """On one server, where both logs lie: the one is full of events that wait for a function, the other goes on."""
    slow, quick = guests.rust("slow.rs"), guests.wat("answer.wat", TEXT="done", LENGTH=4)
    with nats.Server(tmp_path / "server") as server:
        nats_of = {"nats": {"url": server.url}}
        with Namespaces(tmp_path / "pair", shop={**nats_of, "retention": {"events": {"max_bytes": "16Mi"}}}, lab=nats_of) as (shop, lab):
            def deploy(view, hold):
                view.project.write({"functions": [{"name": name, "on": {"http": {"path": f"/events/{name}"}}, "code": view.project.module(code), **more}
                                                  for name, code, more in (("load", quick, {}), ("hold", hold, {"concurrency": 1, "timeout": "60s"}))]})
                view.nexus("deploy")

            for view in (shop, lab):
                deploy(view, slow)
            with undisturbed(lab):
                accepted = []
                while (answer := shop.post("hold", b"x" * 500_000)).status_code == 202:
                    accepted.append(answer.json()["event_id"])
                    assert len(accepted) < 100, "it does not get full"
                assert answer.status_code == 503 and "full" in answer.json()["detail"].lower(), answer.text
                shop.wait_log(r"\[namespace=shop\] the event log of namespace shop is full")
                assert lab.call("load", "x").text == "done"
                assert lab.publish("hold", b"x" * 500_000)
                # What filled it is handled by other code: there is room again.
                deploy(shop, quick)
                wait_until(lambda: shop.post("load", "x").status_code == 202, "room again", 60, every=0.1, on_failure=shop.log)
            for event_id in accepted:
                assert shop.run_of(event_id, deadline=60)["status"] == "ok"
            assert "[namespace=lab] the event log" not in lab.log()


@pytest.mark.timeout(240)
def test_a_full_disk_of_one_stops_nothing_of_the_other(tmp_path, guests):
    with small_disk(tmp_path / "disk") as disk:
        process = Namespaces(tmp_path / "pair", shop={}, lab={})
        shop, lab = process.views
        shop.project.data_dir = disk / "data"
        shop.write()
        with process:
            process.deploy({"load": guests.rust("probe.rs")})
            load = Load(lambda: shop.url, threads=2, body=lambda i: f"event {i} " + "x" * 2000)
            with load:
                wait_until(lambda: load.count > 50, "events", 20, on_failure=shop.log)
                with undisturbed(lab) as others:
                    fill(disk / "ballast")
                    full_at = time.monotonic()
                    wait_until(lambda: [r for r in load.refused if r[2] > full_at], "a refusal", 60, on_failure=shop.log)
                    assert lab.call("load", "x").status_code == 200
                    assert [view.client.get(f"{view.admin_url}/healthz").status_code for view in (shop, lab)] == [200, 200]
                    (disk / "ballast").unlink()
                    before = load.count
                    wait_until(lambda: load.count > before + 50, "events again", 90, on_failure=shop.log)
            assert {status for status, _, _ in load.refused} == {503}
            check_nothing_lost(shop, load, deadline=120, namespace="shop")
            check_nothing_lost(lab, others, namespace="lab")


# ---- work of one that is ended, or fails

MANY = 600


@pytest.fixture(scope="module")
def codes(guests):
    """(the function, the same in other words, one that traps where it did not)."""
    return guests.welcome("", "s = s.chars().collect();", 'if s.contains("7") { core::arch::wasm32::unreachable(); }')


@pytest.fixture(scope="module")
def process(tmp_path_factory, codes):
    process = Namespaces(tmp_path_factory.mktemp("jobs") / "pair", shop={"ingest": {"batch": True}}, lab={"ingest": {"batch": True}})
    with process:
        process.deploy({"welcome": codes[0]})
        for view in process.views:
            for begin in range(0, MANY, 200):
                batch = [{"specversion": "1.0", "id": f"{i}", "source": "/test", "type": "welcome", "data": {"n": i}} for i in range(begin, begin + 200)]
                answer = view.post("welcome", json.dumps(batch), headers={"Content-Type": "application/cloudevents-batch+json"})
                assert answer.status_code == 202, answer.text
        for view in process.views:
            wait_until(lambda: len(view.runs(limit=10000)) == MANY, "the runs", 60, every=0.1, on_failure=view.log)
        yield process


def begin_range(view, *words):
    return json.loads(view.nexus("replay", "--function", "welcome", "--detach", "--json", *words).stdout)["job_id"]


def job(view, job_id):
    answer = view.client.get(f"{view.admin_url}/api/v1/jobs/{job_id}")
    assert answer.status_code in (200, 503), answer.text  # 503: the log is away for a moment
    return answer.json() if answer.status_code == 200 else {"status": "unknown", "progress": {"events": 0}}


def progressed(view, job_id, events):
    wait_until(lambda: job(view, job_id)["progress"]["events"] >= events, "progress", 30, on_failure=view.log)


def end_of(view, job_id, deadline=60):
    return wait_until(lambda: (j := job(view, job_id))["status"] in ("done", "failed", "canceled") and j, "the job's end", deadline, on_failure=view.log)


def all_identical(over):
    (row,) = over["summary"]["results"]["functions"]
    return over["status"] == "done" and (row["identical"], row["diverged"], row["failed"]) == (MANY, 0, 0)


def test_a_range_that_is_cancelled_or_differs_leaves_the_others_alone(process, codes):
    shop, lab = process.views
    rate = ("--rate", "300")
    mine, cancelled = begin_range(lab, *rate), begin_range(shop, *rate)
    progressed(shop, cancelled, 50)
    shop.nexus("jobs", "cancel", cancelled)
    assert end_of(shop, cancelled)["status"] == "canceled"
    trapped = begin_range(shop, "--against", str(codes[2]))
    over = end_of(shop, trapped)
    assert over["status"] == "done" and not all_identical(over)
    assert all_identical(end_of(lab, mine))
    assert len(lab.api_list("jobs")) == 1 and len(shop.api_list("jobs")) == 2


def test_a_range_goes_on_while_the_log_of_another_namespace_dies(process):
    shop, lab = process.views
    mine, struck = begin_range(lab, "--rate", "200"), begin_range(shop, "--rate", "200")
    progressed(shop, struck, 50)
    processes.send(shop.nats_pid(), 9)
    progressed(lab, mine, 400)
    shop.wait_log(r"\[namespace=shop\] connected to the NATS server again", 30)
    assert all_identical(end_of(lab, mine))
    over = end_of(shop, struck)
    assert all_identical(over) or over["status"] == "failed", over
    assert "[namespace=lab] lost the NATS server" not in lab.log()


def test_ranges_of_all_go_on_after_a_stop(process):
    views = process.views
    jobs = [begin_range(view, "--rate", "150") for view in views]
    for view, job_id in zip(views, jobs):
        progressed(view, job_id, 200)
    process.stop()
    process.start()
    for view, job_id in zip(views, jobs):
        assert all_identical(end_of(view, job_id)), job(view, job_id)


def test_a_shadow_that_differs_and_is_stopped_leaves_the_others_alone(process, codes):
    shop, lab = process.views
    shop.nexus("shadow", "start", "welcome", codes[2])
    lab.nexus("shadow", "start", "welcome", codes[1])

    def counts(view):
        (one,) = view.json("shadow", "status")
        return one["events"], one["diffs"]

    for content in "678":
        for view in (shop, lab):
            view.publish("welcome", content)
    wait_until(lambda: counts(shop) == (3, 1), "3 events, 1 diff", 30, on_failure=shop.log)
    wait_until(lambda: counts(lab) == (3, 0), "3 events", 30, on_failure=lab.log)
    shop.nexus("shadow", "stop", "welcome")
    wait_until(lambda: not shop.json("shadow", "status"), "no shadow", 10)
    for view in (shop, lab):
        view.publish("welcome", "after")
    wait_until(lambda: counts(lab) == (4, 0), "the other's goes on", 30, on_failure=lab.log)
    lab.nexus("shadow", "stop", "welcome")


def test_a_backfill_that_is_cancelled_leaves_the_others_alone(process, codes):
    shop, lab = process.views
    jobs = {}
    for view in (shop, lab):
        view.project.write({"functions": [{"name": "late", "on": {"event": "welcome"}, "code": view.project.module(codes[0], "late.wasm")}]})
        lines = view.json("deploy", "--from", "1h", "--rate", "150", "--effects", "deny")
        jobs[view] = next(line["job_id"] for line in lines if "job_id" in line)
    wait_until(lambda: len(shop.runs(function="late", limit=10000)) >= 50, "runs", 30, on_failure=shop.log)
    shop.nexus("jobs", "cancel", jobs[shop])
    assert end_of(shop, jobs[shop])["status"] == "canceled"
    assert end_of(lab, jobs[lab])["status"] == "done"
    stored = len(lab.api_list("events", limit=10000))
    wait_until(lambda: len(lab.runs(function="late", limit=10000)) == stored, "a run of each event", 60, on_failure=lab.log)
    assert len(shop.runs(function="late", limit=10000)) < stored
