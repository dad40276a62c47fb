"""Who runs when, and how much: fair sharing of the slots, CPU shares, priorities; limits by key (docs/FLOW.md)."""

import re
import threading

import pytest
from nexus import nats
from nexus.node import Node, Project, function
from nexus.paths import ROOT
from nexus.wait import Stopwatch, wait_until


def waiting(node, name):
    return next(f["pending"] + f["in_flight"] for f in node.api_list("functions") if f["name"] == name)


@pytest.fixture(scope="module")
def node(module_project, guests):
    busy = module_project.module(guests.rust("busy.rs"))
    module_project.write({"workers": 2, "functions": [
        function("quiet", busy),
        function("noisy", busy),
        function("limited", busy, cpu="100m", timeout="2s"),
        function("ranked", busy, concurrency=0, priority={"run": "data.urgency", "weight": 100}),
    ]})
    with Node(module_project) as node:
        yield node


def test_a_backlog_of_one_function_does_not_stand_before_another(node):
    """Seconds of work in two slots; the quiet one is answered in the midst of it."""
    for _ in range(60):
        node.publish("noisy", "100")
    for _ in range(10):
        assert node.call("quiet", "0").status_code == 200
    assert waiting(node, "noisy") > 10, "the noisy function was through before the quiet one: this shows nothing"
    wait_until(lambda: waiting(node, "noisy") == 0, "the end of the noisy function's backlog", 120)


def test_long_attempts_are_paused_for_others(node):
    """Both slots are taken by attempts of seconds; others get them back in between, and nothing is lost or repeated."""
    long = [node.publish("noisy", "600") for _ in range(4)]
    for _ in range(5):
        assert node.call("quiet", "0").status_code == 200
    assert any(not node.runs(event=e) for e in long), "the long ones were through before: this shows nothing"
    for event_id in long:
        run = node.run_of(event_id, deadline=120)
        assert (run["status"], run["attempt"]) == ("ok", 1)
        assert node.nexus("replay", event_id).returncode == 0


def test_cpu_is_a_share_and_timeout_does_not_count_pauses(node):
    """A tenth of a core: more than two seconds for what needs a quarter of one, with a timeout of two."""
    with Stopwatch() as watch:
        ids = [node.publish("limited", "150") for _ in range(3)]
        for event_id in ids:
            assert node.run_of(event_id, deadline=120)["status"] == "ok"
    assert watch.s > 1.5
    assert node.call("quiet", "0").status_code == 200


def test_priority_orders_what_waits(node):
    blocking = [node.publish("ranked", "700") for _ in range(4)]
    ids = [node.publish("ranked", json_body={"urgency": 60 * i}) for i in range(6)]
    for event_id in blocking + ids:
        assert node.run_of(event_id, deadline=120)["status"] == "ok"
    began = [node.run_of(event_id)["time"] for event_id in ids]
    assert began[5] < began[0] and began[4] <= began[1]


# ---- limits by key


@pytest.fixture(scope="module")
def limits(tmp_path_factory, guests):
    project = Project(tmp_path_factory.mktemp("limits") / "project")
    nap = project.module(guests.rust("nap.rs"))
    project.write({"functions": [
        function("limited", nap, rate_limit={"limit": 2, "period": "10m", "key": "data.key"}),
        function("throttled", nap, throttle={"limit": 5, "period": "2s"}),
        function("burst", nap, throttle={"limit": 1, "period": "1h", "burst": 3, "key": "data.key"}),
        function("widest", nap, throttle={"limit": 1, "period": "24h", "burst": 200_000}),
        function("slowly", nap, throttle={"limit": 1, "period": "3s"}),
        function("again", nap, throttle={"limit": 1, "period": "1s"}),
        function("keyed", nap, concurrency={"limit": 1, "key": "data.key"}),
        function("single", nap, singleton={"mode": "skip", "key": "data.key"}),
        function("newest", nap, singleton={"mode": "cancel", "key": "data.key"}, retry={"max_attempts": 3, "initial_interval": "10ms"}),
        function("newest-busy", project.module(guests.rust("busy.rs")), singleton={"mode": "cancel"}),
    ]})
    with Node(project) as node:
        yield node


def outcomes(node, ids):
    return [(r["status"], r.get("why")) for r in (node.run_of(e, deadline=60) for e in ids)]


def test_rate_limit_skips_and_says_so(limits):
    ids = [limits.publish("limited", json_body={"key": "a"}) for _ in range(5)]
    found = outcomes(limits, ids)
    assert sorted(found, key=str) == [("ok", None)] * 2 + [("skipped", "rate_limited")] * 3
    assert outcomes(limits, [limits.publish("limited", json_body={"key": "b"})]) == [("ok", None)]
    answer = limits.call("limited", '{"key": "a"}')
    assert answer.status_code == 429 and answer.json()["code"] == "rate_limited"
    listed = limits.json("runs", "list", "--function", "limited", "--status", "skipped")
    assert len(listed) == 4 and all(r["why"] == "rate_limited" for r in listed)
    assert not limits.json("dlq", "list", "--function", "limited")


def test_rate_limit_outlives_the_node(limits):
    for _ in range(2):
        assert outcomes(limits, [limits.publish("limited", json_body={"key": "kept"})]) == [("ok", None)]
    limits.restart()
    assert outcomes(limits, [limits.publish("limited", json_body={"key": "kept"})]) == [("skipped", "rate_limited")]


def test_a_skipped_run_is_nothing_to_repeat(limits):
    skipped = next(r for r in limits.json("runs", "list", "--function", "limited", "--status", "skipped"))
    result = limits.nexus("replay", skipped["event_id"], check=False)
    assert "was not executed" in result.stdout + result.stderr


def test_throttle_delays_and_loses_nothing(limits):
    """One every 0.4 s."""
    with Stopwatch() as watch:
        ids = [limits.publish("throttled", json_body={"n": i}) for i in range(8)]
        assert outcomes(limits, ids) == [("ok", None)] * 8
    assert watch.s > 2.4
    assert all(r["attempt"] == 1 for r in (limits.run_of(e) for e in ids))


def test_throttle_lets_a_burst_through(limits):
    ids = [limits.publish("burst", json_body={"key": "x"}) for _ in range(3)]
    assert outcomes(limits, ids) == [("ok", None)] * 3
    late = limits.publish("burst", json_body={"key": "x"})
    assert outcomes(limits, [limits.publish("burst", json_body={"key": "y"})]) == [("ok", None)]
    assert not limits.runs(event=late)


def test_the_largest_burst_is_let_through(limits):
    """A burst of five hundred years' events."""
    ids = [limits.publish("widest", json_body={"n": i}) for i in range(3)]
    assert outcomes(limits, ids) == [("ok", None)] * 3


def test_what_is_throttled_outlives_a_kill(limits):
    ids = [limits.publish("slowly", json_body={"n": i}) for i in range(4)]
    limits.run_of(ids[0])
    limits.kill()
    limits.start()
    assert outcomes(limits, ids) == [("ok", None)] * 4


def test_a_redelivered_event_has_its_place_still(limits):
    """The second event's place is within a second, so its message is given back; its node dies meanwhile."""
    def places():
        state = nats.last_value(nats.private_url(limits.project.data_dir), "KV_nx-kv-default__flow", f"$KV.nx-kv-default__flow.again.t.{'0' * 32}")
        return state.decode().split()

    ids = [limits.publish("again", json_body={"n": i}) for i in range(2)]
    before = wait_until(lambda: (p := places()) and len(p) == 5 and p, "two places", 10, every=0.01)
    limits.kill()
    limits.start()
    assert outcomes(limits, ids) == [("ok", None)] * 2
    assert places() == before
    assert limits.whole_run(limits.run_of(ids[1])["run_id"])["delivery"] > 1, "it was not delivered again: this shows nothing"


def test_concurrency_by_key(limits):
    with Stopwatch() as watch:
        ids = [limits.publish("keyed", json_body={"key": k, "ms": 300}) for k in "aaaabcde"]
        others = outcomes(limits, ids[4:])
        assert others == [("ok", None)] * 4
        assert outcomes(limits, ids[:4]) == [("ok", None)] * 4
    assert watch.s > 1.2
    runs = sorted((limits.run_of(e) for e in ids[:4]), key=lambda r: r["time"])
    assert runs[0]["time"] < runs[1]["time"] < runs[2]["time"] < runs[3]["time"]


def test_one_key_with_a_backlog_does_not_hold_up_others(limits):
    """More wait at one key than the node holds there: they go back to the log, and come again."""
    many = [limits.publish("keyed", json_body={"key": "hot", "ms": 20}) for _ in range(80)]
    assert outcomes(limits, [limits.publish("keyed", json_body={"key": "cold"})]) == [("ok", None)]
    assert outcomes(limits, many) == [("ok", None)] * 80
    assert all(limits.run_of(e)["attempt"] == 1 for e in many)


def test_singleton_skips_what_comes_meanwhile(limits):
    first = limits.publish("single", json_body={"key": "a", "ms": 1500})
    limits.wait_log(r"Function 'single' started")
    second = limits.publish("single", json_body={"key": "a"})
    other = limits.publish("single", json_body={"key": "b"})
    assert outcomes(limits, [second, other, first]) == [("skipped", "singleton"), ("ok", None), ("ok", None)]
    assert outcomes(limits, [limits.publish("single", json_body={"key": "a"})]) == [("ok", None)]


def cancelled_for(node, event_id, other):
    run = node.whole_run(node.run_of(event_id, deadline=60)["run_id"])
    assert (run["status"], run["why"], run["attempt"], run["on_exhausted"]) == ("cancelled", "superseded", 1, "drop")
    assert f"event {other}," in run["message"]
    return run


def test_singleton_cancels_the_run_of_an_earlier_event(limits):
    """One that sleeps, and then one that computes: each is repeated to where it was ended."""
    for name, long, short in [("newest", '{"key":"a","ms":25000}', '{"key":"a"}'), ("newest-busy", "20000", "0")]:
        first = limits.publish(name, long)
        limits.wait_log(rf"Function '{name}' started")
        second = limits.publish(name, short)
        assert outcomes(limits, [second]) == [("ok", None)]
        run = cancelled_for(limits, first, second)
        assert run["duration_ms"] < 20000
        assert [v["verdict"] for v in limits.replay(first)] == ["identical"]
        assert first in {r["event_id"] for r in limits.json("runs", "list", "--function", name, "--status", "cancelled")}
        assert not limits.json("dlq", "list", "--function", name)


def test_singleton_cancel_leaves_other_keys_alone(limits):
    first = limits.publish("newest", json_body={"key": "x", "ms": 1500})
    others = [limits.publish("newest", json_body={"key": k}) for k in "yz"]
    assert outcomes(limits, [*others, first]) == [("ok", None)] * 3


def test_of_many_only_the_newest_is_run_to_its_end(limits):
    ids = [limits.publish("newest", json_body={"key": "many", "ms": 3000}) for _ in range(10)]
    found = outcomes(limits, ids)
    assert found[-1] == ("ok", None)
    assert set(found[:-1]) <= {("cancelled", "superseded"), ("skipped", "singleton")}, found


def test_who_waits_for_a_cancelled_run_is_told(limits):
    answers = []
    begun = limits.log().count("Function 'newest' started")
    caller = threading.Thread(target=lambda: answers.append(limits.call("newest", json_body={"key": "caller", "ms": 25000})))
    caller.start()
    limits.wait_log(r"Function 'newest' started", count=begun + 1)
    limits.publish("newest", json_body={"key": "caller"})
    caller.join(30)
    assert answers[0].status_code == 409 and answers[0].json()["code"] == "superseded"


def test_the_newest_outlives_a_kill(limits):
    ids = [limits.publish("newest", json_body={"key": "killed", "ms": 2000}) for _ in range(4)]
    limits.wait_log(r"Function 'newest' started")
    limits.kill()
    limits.start()
    found = outcomes(limits, ids)
    assert found[-1] == ("ok", None)
    assert set(found[:-1]) <= {("cancelled", "superseded"), ("skipped", "singleton")}, found


@pytest.mark.parametrize("settings, path, says", [
    ({"cpu": "fast"}, "cpu", "250m"),
    ({"cpu": "5m"}, "cpu", "10m"),
    ({"cpu": 250}, "cpu", "did you mean 250m?"),
    ({"priority": {"run": "urgency"}}, "priority.run", "data"),
    ({"priority": {"weight": 0}}, "priority.weight", "too small"),
    ({"concurrency": {"key": "data.a"}}, "concurrency.key", "limit"),
    ({"concurrency": "many"}, "concurrency", "whole number"),
    ({"rate_limit": {"period": "1m"}}, "rate_limit.limit", "missing"),
    ({"rate_limit": {"limit": 1, "key": "customer"}}, "rate_limit.key", "data"),
    ({"throttle": {"limit": 0}}, "throttle.limit", "too small"),
    ({"singleton": {"mode": "stop"}}, "singleton.mode", "skip, cancel"),
    ({"singleton": {"mode": "skip"}, "concurrency": 2}, "singleton", "concurrency"),
    ({"on": {"event": "a"}, "ordering": "key", "throttle": {"limit": 1}}, "throttle", "ordering"),
])
def test_what_is_refused(project, guests, settings, path, says):
    project.write({"functions": [function("step", project.module(guests.rust("busy.rs")), **settings)]})
    result = project.nexus("validate", check=False)
    assert result.returncode == 2 and f"functions[0].{path}" in result.stdout and says in result.stdout


def test_the_configurations_of_the_page_are_valid(project, guests):
    blocks = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "FLOW.md").read_text(), re.S)
    assert len(blocks) >= 4
    for block in blocks:
        if "functions:" not in block:  # settings of a node hold in a project's file, too
            block += "functions: [{name: any, on: {event: any}, code: ./any.wasm}]\n"
        for code in re.findall(r"code: \./([\w.-]+)", block):
            project.module(guests.rust("nap.rs"), code)
        project.write(block)
        result = project.nexus("validate", check=False)
        assert result.returncode == 0, result.stdout
