"""Dead letters: found, shown, redriven on fixed code, purged. The queue is a view of the log, so it looks the same after every restart."""

import re

import pytest
from nexus import nats
from nexus.node import Node, Project, function, lines_of
from nexus.wait import Stopwatch, wait_until


@pytest.fixture(scope="module")
def node(module_project, guests):
    flaky = module_project.module(guests.rust("flaky.rs"))
    module_project.write({"functions": [
        function("charge", flaky, on={"event": "order.*"}),
        function("notify", flaky, on={"event": "order.placed"}),
        function("dropper", flaky, retry={"on_exhausted": "drop"}),
        function("patient", flaky, on={"event": "patience"}, retry={"max_attempts": 2, "initial_interval": "50ms", "jitter": "none"}),
    ]})
    with Node(module_project) as node:
        yield node


def dead(node, event_type, content, runs=1):
    """An event whose runs have ended."""
    event_id = node.publish(event_type, content)
    node.wait_runs(event_id, runs)
    return event_id


def listed(node, **parameters):
    return node.api_list("dlq", limit=1000, **parameters)


def events_of(lines):
    return [x["event_id"] for x in lines]


def test_failed_runs_are_listed_and_good_ones_not(node):
    bad = dead(node, "order.refused", "9 trap")
    good = dead(node, "order.refused", "0")
    dropped = dead(node, "dropper", "9")
    assert bad in events_of(listed(node))
    assert good not in events_of(listed(node)) and dropped not in events_of(listed(node))
    entry = next(x for x in listed(node) if x["event_id"] == bad)
    assert (entry["function"], entry["status"], entry["why"], entry["event_type"], entry["generation"]) == ("charge", "error", "trap", "order.refused", 0)
    assert "unreachable" in entry["message"]
    node.nexus("dlq", "purge", "--all", "--yes")


def test_lists_filter(node):
    traps = [dead(node, "order.a", "9 trap") for _ in range(3)]
    exits = [dead(node, "order.b", "9 exit") for _ in range(2)]
    both = dead(node, "order.placed", "9 trap", runs=2)
    assert events_of(listed(node, function="charge")) == [both, *reversed(exits), *reversed(traps)]
    assert events_of(listed(node, function="notify")) == [both]
    assert events_of(listed(node, why="exit")) == exits[::-1]
    assert events_of(listed(node, type="order.b")) == exits[::-1]
    assert len(listed(node, type="order.*")) == 7
    assert listed(node, since="1h") == listed(node) and listed(node, until="1h") == []
    assert len(node.api_list("dlq", limit=2)) == 2
    assert node.client.get(f"{node.admin_url}/api/v1/dlq", params={"why": "nonsense"}).status_code == 400
    assert node.api("dlq", count=1, function="charge").json() == {"matching": 6, "is_cut": False}
    node.nexus("dlq", "purge", "--all", "--yes")


def test_show_has_all_that_is_known(node):
    event_id = dead(node, "patience", "9 trap")
    (shown,) = node.json("dlq", "show", event_id)
    assert [a["attempt"] for a in shown["attempts"]] == [1, 2]
    assert "handle_event" in shown["backtrace"]
    assert shown["event"]["type"] == "patience"
    text = node.nexus("dlq", "show", shown["run_id"][-8:]).stdout
    for part in (event_id, "error: trap", "2 of 2", "backtrace", "event data", "9 trap"):
        assert part in text
    assert node.nexus("dlq", "show", "@last").stdout == text
    assert node.nexus("dlq", "show", node.publish("dropper", "0"), check=False).returncode == 4
    node.nexus("dlq", "purge", "--all", "--yes")


def test_redrive_is_a_new_generation_for_that_function_only(node):
    event_id = dead(node, "order.placed", "9", runs=2)
    (old,) = [x for x in listed(node) if x["function"] == "charge"]
    (line,) = node.json("dlq", "redrive", event_id, "--function", "charge")
    assert (line["result"], line["event_id"], line["function"], line["generation"]) == ("redriven", event_id, "charge", 1)
    run = wait_until(lambda: next((r for r in node.runs(event=event_id) if r["generation"] == 1), None), "the redriven run", 10, on_failure=node.log)
    assert (run["function"], run["run_id"], run["attempt"], run["status"]) == ("charge", line["new_run_id"], 1, "error")
    assert len(node.runs(event=event_id)) == 3
    # It failed again, so it is a dead letter again; what was redriven is not.
    queue = [(x["function"], x["generation"]) for x in listed(node)]
    assert sorted(queue) == [("charge", 1), ("notify", 0)]
    assert node.whole_run(old["run_id"])["generation"] == 0
    assert node.whole_run(run["run_id"])["redrive_of"] == old["run_id"]
    node.nexus("dlq", "purge", "--all", "--yes")


def test_redriven_runs_have_their_retries(node):
    event_id = dead(node, "patience", "2")
    node.nexus("dlq", "redrive", event_id)
    run = wait_until(lambda: next((r for r in node.runs(event=event_id) if r["generation"] == 1), None), "the redriven run", 10)
    assert (run["attempt"], run["status"]) == (2, "error")
    node.nexus("dlq", "purge", "--all", "--yes")


def test_counts_are_in_metrics_and_lists(node):
    def gauge():
        text = node.client.get(f"{node.admin_url}/metrics").text
        return float(re.search(r'^nexus_dlq_events{function="charge"} (\S+)', text, re.M)[1])

    assert gauge() == 0
    for _ in range(3):
        dead(node, "order.counted", "9")
    assert gauge() == 3
    assert next(f for f in node.api_list("functions") if f["name"] == "charge")["dlq"] == 3
    assert re.search(r"^charge +\S+ +runs +0 +3 ", node.nexus("functions", "list").stdout, re.M)
    node.restart()
    assert gauge() == 3
    node.nexus("dlq", "purge", "--function", "charge", "--yes")
    assert gauge() == 0


def test_purged_events_stay_in_the_log(node):
    event_id = dead(node, "order.purged", "9 trap")
    refused = node.nexus("dlq", "purge", event_id, check=False)
    assert refused.returncode == 2 and "--yes" in refused.stderr
    assert node.json("dlq", "purge", event_id, "--yes")[0]["result"] == "purged"
    assert listed(node) == []
    node.restart()
    assert listed(node) == []
    assert node.run_of(event_id)["status"] == "error"
    assert [v["verdict"] for v in node.replay(event_id)] == ["identical"]
    assert node.nexus("dlq", "redrive", event_id, check=False).returncode == 4


@pytest.mark.parametrize("arguments, says", [
    (["redrive"], "name events"),
    (["purge", "--yes"], "name events"),
    (["redrive", "--all", "--against", "v2"], "add --function"),
    (["redrive", "--all", "--function", "charge", "--against", "v2"], "has no version v2"),
    (["redrive", "01ARZ3NDEKTSV4RRFFQ69G5FAV"], "is not in the dead-letter queue"),
])
def test_wrong_use_is_told(node, arguments, says):
    result = node.nexus("dlq", *arguments, check=False)
    assert result.returncode in (2, 4)
    assert says in result.stderr


def test_a_webhook_broke_on_friday(tmp_path, guests):
    """Found, fixed, proven, redriven: in bulk, at a rate, on the fixed live version; and once on an old one."""
    project = Project(tmp_path / "project")
    code = project.module(guests.rust("flaky.rs"), "code.wasm")
    project.write({"functions": [function("hook", code, on={"http": {"path": "/hooks/orders"}})]})
    with Node(project, verb="serve") as node:
        node.nexus("deploy")
        broken = [node.publish("/hooks/orders", "9") for _ in range(30)]
        for event_id in broken:
            node.run_of(event_id)
        assert len(listed(node)) == 30
        project.module(guests.wat("answer.wat", TEXT="fixed", LENGTH=5), "code.wasm")
        node.nexus("deploy")
        # The proof: the same event, on the new version, touching nothing.
        assert lines_of(node.nexus("replay", broken[0], "--against", "v2", "--json", check=False).stdout)[0]["output"] == "fixed"
        lines = node.json("dlq", "redrive", broken[0], "--function", "hook", "--against", "v1")
        again = wait_until(lambda: next((r for r in node.runs(event=broken[0]) if r["generation"] == 1), None), "the redrive on v1", 10, on_failure=node.log)
        assert (again["version"], again["status"], again["run_id"]) == ("v1", "error", lines[0]["new_run_id"])
        with Stopwatch() as watch:
            lines = node.json("dlq", "redrive", "--function", "hook", "--since", "1h", "--rate", "20")
            assert sorted(x["event_id"] for x in lines) == sorted(broken)
            wait_until(lambda: sum(r["status"] == "ok" for r in node.runs(function="hook", limit=200)) == 30, "all to be ok", 20, on_failure=node.log)
        assert watch.s > 1.2, "20 events a second"
        assert listed(node) == []
        ok = [r for r in node.runs(function="hook", limit=200) if r["status"] == "ok"]
        assert {r["version"] for r in ok} == {"v2"}
        assert sorted(r["generation"] for r in ok) == [1] * 29 + [2]


def test_effects_of_a_redrive(project, guests):
    """The store was empty when the run failed: so it is for a redrive with recorded effects, whatever it holds now."""
    project.write({"functions": [function("balance", project.module(guests.rust("balance.rs")), key_value_stores=["default"]),
                                 function("put", project.module(guests.rust("effects.rs")), key_value_stores=["default"])]})
    with Node(project) as node:
        event_id = dead(node, "balance", "")
        assert node.call("put", "put balance 500 any").status_code == 200
        codes = []
        for generation, policy in enumerate(("recorded", "deny", "live"), 1):
            node.nexus("dlq", "redrive", event_id, "--effects", policy)
            run = wait_until(lambda g=generation: next((r for r in node.runs(event=event_id) if r["generation"] == g), None), "the run", 10, on_failure=node.log)
            whole = node.whole_run(run["run_id"])
            codes.append(whole.get("exit_code", whole["output"]))
            # Every generation repeats, each with what it got.
            assert [v["verdict"] for v in node.replay(event_id)] == ["identical"] * (generation + 1)
        assert codes == [3, 4, "500"]
        assert listed(node) == []


def test_a_redrive_survives_a_kill(project, guests):
    """The command has answered, so it happens."""
    code = project.module(guests.rust("flaky.rs"))
    project.write({"functions": [function("hook", code)]})
    with Node(project) as node:
        event_ids = [dead(node, "hook", "9") for _ in range(5)]
        lines = node.json("dlq", "redrive", "--all", "--rate", "1")
        assert len(lines) == 5
        node.kill()
        node.start()
        for event_id in event_ids:
            wait_until(lambda event_id=event_id: any(r["generation"] == 1 for r in node.runs(event=event_id)), "the redriven run", 20, on_failure=node.log)
        assert sorted(x["generation"] for x in listed(node)) == [1] * 5


def test_two_nodes_see_one_queue(tmp_path, guests):
    with nats.Server(tmp_path / "server") as server:
        nodes = []
        for name in ("one", "two"):
            project = Project(tmp_path / name)
            project.write({"nats": {"url": server.url}, "functions": [function("hook", project.module(guests.rust("flaky.rs")))]})
            nodes.append(Node(project))
        with nodes[0] as one, nodes[1] as two:
            event_ids = [dead(one, "hook", "9") for _ in range(4)]
            assert sorted(events_of(listed(two))) == sorted(event_ids)
            two.nexus("dlq", "purge", event_ids[0], "--yes")
            assert sorted(events_of(listed(one))) == sorted(event_ids[1:])
            one.nexus("dlq", "redrive", "--all")
            wait_until(lambda: [x["generation"] for x in listed(two)] == [1, 1, 1], "the redriven runs", 10)
