"""Schedules: each tick is one event, whatever the number of nodes, and of missed ticks the latest is made up for."""

import json
import time
from datetime import datetime, timezone

import pytest
from nexus import nats
from nexus.node import Node, Project, function, moment
from nexus.wait import wait_until


def ticks(node, name="tick"):
    """Moments of the ticks that were stored, oldest first, seconds since 1970; every one an event of its own."""
    events = node.api_list("events", type=f"nexus.cron.{name}", limit=1000)
    moments = []
    for e in reversed(events):
        data = json.loads(node.api(f"events/{e['event_id']}/data").text)
        assert set(data) == {"scheduled_at", "schedule"}
        assert data["scheduled_at"] == e["time"] and e["source"] == "/nexus/cron"
        moments.append(moment(data["scheduled_at"]))
    assert len(set(moments)) == len(moments), "a tick fired twice"
    return moments


def wait_ticks(node, count, name="tick", deadline=20):
    return wait_until(lambda: len(node.api_list("events", type=f"nexus.cron.{name}", limit=1000)) >= count and ticks(node, name), f"{count} ticks", deadline,
                      every=0.05, on_failure=node.log)


def settings(project, guests, cron, **more):
    return {"functions": [function("tick", project.module(guests.rust("probe.rs")), on={"cron": cron})], **more}


def test_a_schedule_ticks_in_dev(project, guests):
    project.write(settings(project, guests, "@every 1s"))
    began = time.time()
    with Node(project) as node:
        ready = time.time()
        seen = wait_ticks(node, 3)
        # A node that gets no time for a second makes up for the latest tick alone.
        assert all(m == int(m) for m in seen) and sum(b - a > 1 for a, b in zip(seen, seen[1:])) <= 1, seen
        assert began - 1 < seen[0] <= ready + 5
        events = node.api_list("events", type="nexus.cron.tick")
        run = node.run_of(events[-1]["event_id"])
        assert run["status"] == "ok" and run["function"] == "tick"
        assert [v["verdict"] for v in node.replay(events[-1]["event_id"])] == ["identical"]
        assert "cron @every 1s" in node.nexus("functions", "list").stdout
        # Without the schedule nothing ticks any more; with another one that does.
        project.write({"functions": [function("tick", "./probe.wasm", on={"cron": "@every 2s"})]})
        last = wait_until(lambda: node.json("cron", "list")[0]["schedule"] == "@every 2s" and ticks(node)[-1], "the new schedule", 10)
        later = wait_until(lambda: (m := [t for t in ticks(node) if t > last + 1]) and len(m) >= 2 and m, "two more ticks", 15, on_failure=node.log)
        assert all(m % 2 == 0 for m in later)


def test_two_nodes_tick_once(tmp_path, guests):
    with nats.Server(tmp_path / "server") as server:
        projects = [Project(tmp_path / name) for name in "ab"]
        for p in projects:
            p.write(settings(p, guests, ["@every 1s", "*/5 * * * *"], nats={"url": server.url}))
        with Node(projects[0]) as a:
            with Node(projects[1]) as b:
                wait_ticks(b, 4)
                a.kill()
                a.process = None
                before = len(ticks(b))
                seen = wait_ticks(b, before + 4, deadline=30)
            every_second = [m for m in seen if m % 300]
            # The one that died may have held a tick: it is made up for, and the ticks meanwhile count as missed.
            gaps = [b - a for a, b in zip(every_second, every_second[1:])]
            assert all(g >= 1 for g in gaps) and sum(g > 2 for g in gaps) <= 1, gaps
            runs = nats.stream_info(server.url, "NX_RUNS_default")["state"]["messages"]
            assert runs >= len(seen) - 1


def test_of_missed_ticks_the_latest_is_made_up_for(project, guests):
    project.write(settings(project, guests, "@every 1s"))
    node = Node(project)
    with node:
        wait_ticks(node, 2)
        node.stop()
        stopped = time.time()
        wait_until(lambda: time.time() > stopped + 3.5, "three ticks to be missed")
        began = time.time()
        node.start()
        seen = wait_until(lambda: (m := ticks(node)) and m[-1] > time.time() - 2 and m[-1] > began + 1 and m, "ticks after the pause", 15, on_failure=node.log)
        missed = [m for m in seen if stopped < m < began]
        assert len(missed) <= 1, (stopped, began, seen)
        made_up = [m for m in seen if m > stopped]
        assert made_up[0] > began - 2  # the latest, not the first that was missed


def test_cron_list(project, guests):
    code = project.module(guests.rust("probe.rs"))
    project.write({"functions": [
        function("a", code, on={"cron": [{"schedule": "30 9 * * MON-FRI", "timezone": "Europe/Berlin"}, "@hourly"]}),
        function("b", code, on={"cron": {"schedule": "0 0 1 1 *"}}),
        function("c", code),
    ]})
    with Node(project) as node:
        rows = {(r["function"], r["schedule"]): r for r in node.json("cron", "list")}
        assert set(rows) == {("a", "30 9 * * MON-FRI"), ("a", "@hourly"), ("b", "0 0 1 1 *")}
        berlin = rows["a", "30 9 * * MON-FRI"]
        assert berlin["timezone"] == "Europe/Berlin" and rows["a", "@hourly"]["timezone"] == "UTC" and berlin["type"] == "nexus.cron.a"
        for text in berlin["next"]:
            at = datetime.fromisoformat(text.replace("Z", "+00:00"))
            assert at > datetime.now(timezone.utc) and at.weekday() < 5 and at.minute == 30 and at.hour in (7, 8)
        assert [t[4:] for t in rows["b", "0 0 1 1 *"]["next"]] == ["-01-01T00:00:00Z"] * 3
        assert "Europe/Berlin" in node.nexus("cron", "list").stdout
        waiting = nats.stream_info(nats.private_url(project.data_dir), "NX_TIMERS_default")["state"]
        assert waiting["messages"] == 3  # one for each schedule
        project.nexus("validate")


@pytest.mark.parametrize("cron, says", [
    ("61 * * * *", 'minute: "61" is not in 0-59'),
    ("0 0 * * * *", "5 fields"),
    ("0 0 31 2 *", "never ticks"),
    ([], "empty list"),
    ({"schedule": "0 9 * * *", "timezone": "Europe/Berlyn"}, "not a time zone"),
    ({"schedule": "0 9 * * *", "zone": "UTC"}, "unknown key"),
    ({"timezone": "UTC"}, "has no schedule"),
    (["@hourly", "@hourly"], "stands in the list already"),
    ({"schedule": "@every 1h", "timezone": "UTC"}, "no time zone"),
])
def test_what_is_no_schedule(project, guests, cron, says):
    project.write(settings(project, guests, cron))
    result = project.nexus("validate", check=False)
    assert result.returncode == 2 and "functions[0].on.cron" in result.stderr + result.stdout
    assert says in result.stderr + result.stdout
