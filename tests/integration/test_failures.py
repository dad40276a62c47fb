"""What follows a failure: attempts and the time between them; functions that are paused."""

import re
import time

import pytest
from nexus import nats
from nexus.node import Node, Project, function, moment
from nexus.wait import Stopwatch, wait_until

FAST = {"max_attempts": 3, "initial_interval": "100ms", "factor": 2, "jitter": "none"}


@pytest.fixture(scope="module")
def node(module_project, guests):
    flaky = module_project.module(guests.rust("flaky.rs"))
    module_project.write({"functions": [
        function("once", flaky),
        function("fast", flaky, retry=dict(FAST)),
        function("choosy", flaky, retry=dict(FAST), retry_on=["trap", "timeout"], timeout="150ms"),
        function("dropper", flaky, retry={"on_exhausted": "drop"}),
        function("sleepy", flaky, retry={"max_attempts": 4, "initial_interval": "6s", "factor": 1.5, "jitter": "equal"}),
        function("sync", flaky, respond="sync", retry=dict(FAST)),
    ]})
    with Node(module_project) as node:
        yield node


def attempts(node, event_id, count, deadline=20):
    """Records of all attempts of an event's only function, oldest first, once there are `count`."""
    def found():
        records = node.runs(event=event_id, all=1)
        return records[::-1] if len(records) >= count else None

    return wait_until(found, f"{count} attempts of {event_id}", deadline, on_failure=node.log)


def numbers(records):
    return [(r["attempt"], r["status"], r["is_final"]) for r in records]


# ---- retries


def test_without_retry_a_failure_is_final(node):
    event_id = node.publish("once", "9")
    node.run_of(event_id)
    assert numbers(attempts(node, event_id, 1)) == [(1, "error", True)]


def test_attempts_follow_each_other_until_one_is_ok(node):
    event_id = node.publish("fast", "2")
    run = node.run_of(event_id)
    records = attempts(node, event_id, 3)
    assert numbers(records) == [(1, "error", False), (2, "error", False), (3, "ok", True)]
    assert {r["run_id"] for r in records} == {run["run_id"]}
    whole = node.whole_run(run["run_id"])
    assert whole["output"] == "attempt 3"
    assert whole["env"]["NEXUS_ATTEMPT"] == "3"
    assert [(a["attempt"], a["status"]) for a in whole["attempts"]] == [(1, "error"), (2, "error"), (3, "ok")]


def test_intervals_are_kept(node):
    event_id = node.publish("fast", "2")
    node.run_of(event_id)
    first, second, third = attempts(node, event_id, 3)
    for earlier, later, interval in ((first, second, 0.1), (second, third, 0.2)):
        ended = moment(earlier["time"]) + earlier["duration_ms"] / 1000
        due = moment(earlier["next_attempt_at"])
        assert interval - 0.005 < due - ended < interval + 0.05
        assert moment(later["time"]) >= due - 0.005, "came too early"
        assert moment(later["time"]) < due + 1.0, "came too late"


def test_attempts_used_up_end_the_run(node):
    event_id = node.publish("fast", "9 trap")
    run = node.run_of(event_id)
    assert (run["status"], run["why"], run["attempt"], run["max_attempts"]) == ("error", "trap", 3, 3)
    assert numbers(attempts(node, event_id, 3)) == [(1, "error", False), (2, "error", False), (3, "error", True)]
    assert node.whole_run(run["run_id"])["on_exhausted"] == "dlq"


@pytest.mark.parametrize("content, records", [
    ("1 trap", [(1, "error", False), (2, "ok", True)]),
    ("1 spin", [(1, "timeout", False), (2, "ok", True)]),
    ("1 exit", [(1, "error", True)]),
])
def test_only_reasons_that_were_named_are_tried_again(node, content, records):
    event_id = node.publish("choosy", content)
    node.run_of(event_id)
    assert numbers(attempts(node, event_id, len(records))) == records


def test_each_failed_attempt_is_one_line_that_says_when_the_next_is(node):
    event_id = node.publish("fast", "9")
    node.run_of(event_id)
    run_id = node.runs(event=event_id)[0]["run_id"]
    lines = [x["message"] for x in node.api_list("logs", event=event_id, limit=100) if x.get("run_id") == run_id and "ended" in x["message"]]
    assert len(lines) == 3
    assert re.search(r"'fast' ended error \(exit\) after .*; attempt 2 of 3 in 0\.(09|10) s$", lines[0])
    assert re.search(r"; attempt 3 of 3 in 0\.(19|20) s$", lines[1])
    assert "attempt" not in lines[2]


def test_retries_are_counted_and_runs_counted_once(node):
    def figures():
        text = node.client.get(f"{node.admin_url}/metrics").text
        return [float(re.search(pattern, text, re.M)[1]) if re.search(pattern, text, re.M) else 0.0
                for pattern in (r'^nexus_run_retries_total{function="fast"} (\S+)', r'^nexus_runs_total{function="fast",status="error"} (\S+)')]

    before = figures()
    node.run_of(node.publish("fast", "9"))
    assert [b - a for a, b in zip(before, figures())] == [2, 1]


def test_replay_repeats_the_final_attempt(node):
    event_id = node.publish("fast", "1")
    node.run_of(event_id)
    assert [(v["verdict"], v["function"]) for v in node.replay(event_id)] == [("identical", "fast")]


def test_waiting_caller_gets_the_final_attempt(node):
    answer = node.post("sync", "2")
    assert (answer.status_code, answer.text) == (200, "attempt 3")
    answer = node.post("sync", "9")
    assert answer.status_code == 502
    assert answer.json()["code"] == "exit"


def test_caller_whose_wait_is_over_has_the_event(node):
    answer = node.call("sleepy", "1", wait=1)
    assert answer.status_code == 202
    event_id = answer.json()["event_id"]
    assert "its run is not over: attempt 1 of 'sleepy' failed, and the next one is due" in node.nexus("replay", event_id, check=False).stderr
    assert node.run_of(event_id)["attempt"] == 2


def test_command_line_shows_attempts(node):
    event_id = node.publish("fast", "9")
    run = node.run_of(event_id)
    listed = node.nexus("runs", "list", "--event", event_id, "--all").stdout
    assert len([x for x in listed.splitlines() if run["run_id"] in x]) == 3
    assert "retry" in listed
    shown = node.nexus("runs", "show", run["run_id"]).stdout
    assert re.search(r"attempt +3 of 3", shown)
    assert shown.count("error: exit") >= 3


def test_kill_during_back_off_counts_recorded_attempts(project, guests):
    flaky = project.module(guests.rust("flaky.rs"))
    project.write({"functions": [function("sleepy", flaky, retry={"max_attempts": 3, "initial_interval": "2s", "factor": 1, "jitter": "none"})]})
    with Node(project) as node:
        event_id = node.publish("sleepy", "2")
        first = attempts(node, event_id, 1)[0]
        assert not first["is_final"]
        node.kill()
        node.start()
        run = node.run_of(event_id, deadline=30)
        records = attempts(node, event_id, 3)
        assert numbers(records) == [(1, "error", False), (2, "error", False), (3, "ok", True)]
        assert moment(records[1]["time"]) >= moment(first["next_attempt_at"]) - 0.005
        assert run["attempt"] == 3


def test_long_intervals_are_waited_for_by_timers(project, guests):
    """The event is acknowledged meanwhile, so nothing is pending; a kill -9 changes nothing."""
    flaky = project.module(guests.rust("flaky.rs"))
    project.write({"functions": [function("patient", flaky, retry={"max_attempts": 3, "initial_interval": "6s", "factor": 1, "jitter": "none"})]})
    with Node(project) as node:
        event_ids = [node.publish("patient", str(1 + i % 2)) for i in range(4)]
        for event_id in event_ids:
            attempts(node, event_id, 1)
        url = nats.private_url(project.data_dir)
        wait_until(lambda: nats.consumer_info(url, "NX_EVENTS_default", "fn-patient")["num_ack_pending"] == 0, "the events to be acknowledged")
        node.kill()
        node.start()
        for i, event_id in enumerate(event_ids):
            run = node.run_of(event_id, deadline=40)
            assert (run["status"], run["attempt"]) == ("ok", 2 + i % 2)
            # The server may have lost an acknowledgement with its life, and delivered an event anew: an attempt is executed at least once.
            records = {a["attempt"]: a for a in attempts(node, event_id, 2 + i % 2)}
            assert sorted(records) == list(range(1, 3 + i % 2))
            for k in range(1, 2 + i % 2):
                assert moment(records[k + 1]["time"]) >= moment(records[k]["next_attempt_at"]) - 0.005
                assert moment(records[k + 1]["time"]) < moment(records[k]["next_attempt_at"]) + 6


def test_a_thousand_events_that_back_off_stop_nobody(project, guests):
    flaky = project.module(guests.rust("flaky.rs"))
    project.write({"log": {"level": "error"}, "functions": [function("mixed", flaky, retry={"max_attempts": 2, "initial_interval": "5s", "jitter": "full"})]})
    with Node(project) as node:
        bad = [node.publish("mixed", "1") for _ in range(1000)]
        wait_until(lambda: len(node.runs(function="mixed", all=1, limit=2000)) >= 1000, "the first attempts", 30, every=0.1, on_failure=node.log)
        with Stopwatch() as watch:
            good = [node.publish("mixed", "0") for _ in range(100)]
            wait_until(lambda: len({r["event_id"] for r in node.runs(function="mixed", limit=2000)} & set(good)) == 100, "the good ones", 10, every=0.1)
        print(f"100 good events beside 1,000 that back off: {watch.ms:.0f} ms")

        def ended():
            runs = {r["event_id"]: r for r in node.runs(function="mixed", limit=2000)}
            return runs if len(runs) == 1100 else None

        runs = wait_until(ended, "all to end", 30, every=0.2)
        assert {runs[e]["status"] for e in bad} == {"ok"}
        assert {runs[e]["attempt"] for e in bad} == {2}


# ---- pause and resume


def state_of(node, name):
    return next(f for f in node.api_list("functions") if f["name"] == name)


def test_paused_function_keeps_its_events(node):
    assert state_of(node, "once")["paused"] is False
    said = node.nexus("functions", "pause", "once", "--reason", "the mail server is down").stdout
    assert said.startswith("once is paused")
    assert node.client.get(f"{node.admin_url}/readyz").status_code == 200
    paused = state_of(node, "once")
    assert (paused["paused"], paused["pause_reason"]) == (True, "the mail server is down")
    assert 'nexus_function_paused{function="once"} 1' in node.client.get(f"{node.admin_url}/metrics").text
    event_ids = [node.publish("once", "0") for _ in range(20)]
    # Others run meanwhile: what is stored later has been handled.
    for _ in range(5):
        assert node.call("fast", "0").text == "attempt 1"
    assert all(node.runs(event=e) == [] for e in event_ids)
    assert node.json("functions", "pause", "once")[0]["changed"] is False
    assert state_of(node, "once")["pause_reason"] == "the mail server is down"
    listed = node.nexus("functions", "list").stdout
    assert re.search(r"^once +dev-\w+ +paused ", listed, re.M)
    assert node.json("functions", "resume", "once")[0]["changed"] is True
    for event_id in event_ids:
        assert node.run_of(event_id, deadline=5)["status"] == "ok"
    assert node.nexus("functions", "resume", "once").stdout == "once was not paused\n"
    assert 'nexus_function_paused{function="once"} 0' in node.client.get(f"{node.admin_url}/metrics").text


def test_pause_of_what_is_not_there_is_not_found(node):
    result = node.nexus("functions", "pause", "nobody", check=False)
    assert result.returncode == 4
    assert "there is no function 'nobody'" in result.stderr


def test_pause_outlives_restarts_and_kills(project, guests):
    project.write({"functions": [function("once", project.module(guests.rust("flaky.rs"))),
                                 function("other", project.module(guests.rust("flaky.rs")))]})
    with Node(project) as node:
        node.nexus("functions", "pause", "once")
        event_id = node.publish("once", "0")
        node.restart()
        assert state_of(node, "once")["paused"] is True
        node.kill()
        node.start()
        assert state_of(node, "once")["paused"] is True
        assert node.call("other", "0").text == "attempt 1"
        assert node.runs(event=event_id) == []
        node.nexus("functions", "resume", "once")
        assert node.run_of(event_id)["status"] == "ok"


def test_events_that_back_off_wait_while_paused(node):
    event_id = node.publish("sleepy", "1")
    first = attempts(node, event_id, 1)[0]
    node.nexus("functions", "pause", "sleepy")
    due = moment(first["next_attempt_at"])
    wait_until(lambda: time.time() > due + 0.7, "the time of the next attempt", 10)
    assert len(node.runs(event=event_id, all=1)) == 1
    node.nexus("functions", "resume", "sleepy")
    assert node.run_of(event_id, deadline=5)["attempt"] == 2


def test_exhausted_attempts_pause_the_function(project, guests):
    project.write({"functions": [function("strict", project.module(guests.rust("flaky.rs")),
                                          retry={"max_attempts": 2, "initial_interval": "100ms", "on_exhausted": "pause"})]})
    with Node(project) as node:
        poison = node.publish("strict", "3")
        said = node.wait_log(r"function 'strict' is PAUSED: attempt 2 of event (\w+) failed \(exit\)")[0]
        assert said[1] == poison
        later = node.publish("strict", "0")
        paused = state_of(node, "strict")
        assert (paused["paused"], paused["pause_event_id"]) == (True, poison)
        assert node.runs(event=poison) == [] and node.runs(event=later) == []
        last = attempts(node, poison, 2)[-1]
        assert (last["is_final"], last["on_exhausted"]) == (False, "pause")
        node.restart()
        # Resumed: the event that failed is tried again, with as many attempts as before.
        node.nexus("functions", "resume", "strict")
        run = node.run_of(poison, deadline=15)
        assert (run["status"], run["attempt"]) == ("ok", 4)
        assert node.run_of(later)["status"] == "ok"


def test_two_nodes_pause_together(tmp_path, guests):
    with nats.Server(tmp_path / "server") as server:
        nodes = []
        for name in ("one", "two"):
            project = Project(tmp_path / name)
            project.write({"nats": {"url": server.url}, "functions": [function("once", project.module(guests.rust("flaky.rs")))]})
            nodes.append(Node(project))
        with nodes[0] as one, nodes[1] as two:
            one.nexus("functions", "pause", "once")
            wait_until(lambda: state_of(two, "once")["paused"], "the other node to know", 5)
            event_ids = [node.publish("once", "0") for node in (one, two) for _ in range(10)]
            two.wait_log("function 'once' is PAUSED")
            assert all(one.runs(event=e) == [] for e in event_ids)
            two.nexus("functions", "resume", "once")
            for event_id in event_ids:
                assert one.run_of(event_id, deadline=10)["status"] == "ok"
            wait_until(lambda: not state_of(one, "once")["paused"], "the first node to know", 5)
