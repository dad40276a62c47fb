"""Who runs when, and how much: fair sharing of the slots, CPU shares, priorities (docs/FLOW.md)."""

import pytest
from nexus.node import Node, function
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
    for _ in range(100):
        node.publish("noisy", "100")
    for _ in range(10):
        assert node.call("quiet", "0").status_code == 200
    assert waiting(node, "noisy") > 20, "the noisy function was through before the quiet one: this shows nothing"
    wait_until(lambda: waiting(node, "noisy") == 0, "the end of the noisy function's backlog", 120)


def test_long_attempts_are_paused_for_others(node):
    """Both slots are taken by attempts of seconds; others get them back in between, and nothing is lost or repeated."""
    long = [node.publish("noisy", "1000") for _ in range(4)]
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
    assert began[5] < began[0] and began[4] < began[1]


@pytest.mark.parametrize("settings, path, says", [
    ({"cpu": "fast"}, "cpu", "250m"),
    ({"cpu": "5m"}, "cpu", "10m"),
    ({"priority": {"run": "urgency"}}, "priority.run", "data"),
    ({"priority": {"weight": 0}}, "priority.weight", "too small"),
])
def test_what_is_refused(project, guests, settings, path, says):
    project.write({"functions": [function("step", project.module(guests.rust("busy.rs")), **settings)]})
    result = project.nexus("validate", check=False)
    assert result.returncode == 2 and f"functions[0].{path}" in result.stdout and says in result.stdout
