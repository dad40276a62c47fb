"""Versions, aliases, canaries and rollback: what stands for what, which event gets which version, and that nothing is lost or mixed on the way."""

import hashlib
import itertools
import json
import re
from datetime import datetime, timedelta, timezone

import pytest
from nexus.node import Node, Project, function
from nexus.wait import pause, wait_until

KEYS = [f"user-{i}" for i in range(40)]


def place(name, key):
    """As docs/VERSIONS.md says it."""
    return int(hashlib.sha256(f"{name}/{key}".encode()).hexdigest()[:16], 16) % 10000


ids = itertools.count()


def keyed(key):
    return {"ce-specversion": "1.0", "ce-id": f"event-{next(ids)}", "ce-source": "/test", "ce-type": "which", "ce-partitionkey": key}


def modules(guests):
    return {n: guests.rust("which.rs", options=("--cfg", f"n{n}")) for n in (1, 2, 3)}


def deploy(node, wasm, *flags, **settings):
    project = node.project
    project.write({"functions": [function("which", project.module(wasm, "which.wasm"), **settings)]})
    (made,) = node.json("deploy", "--no-build", *flags)
    return made["version"]


@pytest.fixture
def node(tmp_path, guests):
    """v1 was live, then v2 is."""
    project = Project(tmp_path / "project")
    project.write({"functions": []})
    with Node(project, "--set", "log.level=info", verb="serve") as node:
        node.modules = modules(guests)
        assert deploy(node, node.modules[1]) == "v1"
        assert deploy(node, node.modules[2]) == "v2"
        yield node


def alias(node, name="live"):
    """{"v2": 100}"""
    found = [a for a in node.json("alias", "list", "which") if a["alias"] == name]
    return {t["version"]: t["percent"] for t in found[0]["traffic"]} if found else None


def answer(node, content="", key=None):
    """(what the code says it is, what its run record says)."""
    got = node.call("which", content, headers=keyed(key) if key else None)
    assert got.status_code == 200, got.text
    built, told = got.text.split()
    run = node.run_of(got.headers["Nexus-Event-Id"])
    assert built == told == run["version"], (got.text, run)
    return run["version"]


def compiled(node):
    text = node.client.get(f"{node.admin_url}/metrics").text
    found = re.search(r"^nexus_module_compile_seconds_count (\d+)", text, re.M)
    return int(found.group(1))


def test_versions_list_show_and_diff(node):
    versions = node.json("versions", "list", "which")
    assert [(v["version"], v["live"], v["aliases"]) for v in versions] == [("v2", True, {"live": 100}), ("v1", False, {})]
    assert "v2" in node.nexus("versions", "list", "which").stdout
    (shown,) = node.json("versions", "show", "which", "v1")
    assert shown["artifact"] == versions[1]["artifact"] and shown["settings"]["name"] == "which" and shown["created_at"]
    assert node.json("versions", "show", "which")[0]["version"] == "v2"
    assert "artifact" in node.nexus("versions", "show", "which").stdout
    result = node.nexus("versions", "diff", "which", "v1", "--json", check=False)
    assert result.returncode == 1 and json.loads(result.stdout)["same_artifact"] is False and json.loads(result.stdout)["settings"] == []
    assert node.nexus("versions", "diff", "which", "v2").stdout.count("the same")
    assert deploy(node, node.modules[2], timeout="7s") == "v3"
    result = node.nexus("versions", "diff", "which", "v2", "live", "--json", check=False)
    difference = json.loads(result.stdout)
    assert difference["same_artifact"] is True and [c["path"] for c in difference["settings"]] == ["timeout"]
    assert "timeout" in node.nexus("versions", "diff", "which", "v2", "live", check=False).stdout
    assert node.nexus("versions", "show", "which", "v9", check=False).returncode == 4
    assert node.nexus("versions", "list", "nobody", check=False).returncode == 4


def test_rollback_goes_back_step_by_step_and_compiles_nothing(node):
    assert answer(node) == "v2"
    assert deploy(node, node.modules[3]) == "v3"
    before = compiled(node)
    (now,) = node.json("rollback", "which")
    assert (now["traffic"], now["from"]) == ([{"version": "v2", "percent": 100}], [{"version": "v3", "percent": 100}])
    assert answer(node) == "v2"
    assert "which live is v1" in node.nexus("rollback", "which").stdout
    assert answer(node) == "v1"
    result = node.nexus("rollback", "which", check=False)
    assert result.returncode == 5 and "nothing is known from before v1" in result.stderr
    assert node.json("rollback", "which", "--to", "v3")[0]["traffic"] == [{"version": "v3", "percent": 100}]
    assert answer(node) == "v3"
    assert node.nexus("rollback", "which", "--to", "v8", check=False).returncode == 4
    assert node.nexus("rollback", "nobody", check=False).returncode == 4
    assert answer(node) == "v3" and compiled(node) == before
    node.restart()
    assert answer(node) == "v3"


def test_canary_follows_the_key_on_every_node_and_after_a_restart(node):
    node.json("alias", "set", "which", "--weight", "v2=25", "--weight", "v1=75")
    assert alias(node) == {"v2": 25, "v1": 75}
    (row,) = node.api_list("functions")
    assert row["traffic"] == [{"version": "v2", "percent": 25}, {"version": "v1", "percent": 75}] and row["version"] == "v1"
    assert "v2 25 %, v1 75 %" in node.nexus("functions", "list").stdout
    expected = {key: "v2" if place("which", key) < 2500 else "v1" for key in KEYS}
    assert set(expected.values()) == {"v1", "v2"}
    for key in KEYS:
        assert answer(node, key=key) == expected[key], key
    node.restart()
    for key in KEYS[:10]:
        assert answer(node, key=key) == expected[key], key
    counted = dict(re.findall(r'^nexus_version_runs_total{function="which",version="(v\d)",status="ok"} (\d+)', node.client.get(f"{node.admin_url}/metrics").text, re.M))
    assert counted == {v: str(sum(expected[k] == v for k in KEYS[:10])) for v in ("v1", "v2")}
    # Without a key, the event's id decides.
    for _ in range(10):
        got = node.call("which")
        event_id = got.headers["Nexus-Event-Id"]
        assert got.text.split()[0] == ("v2" if place("which", event_id) < 2500 else "v1")
    # More for the new one: who has it keeps it.
    assert "v2 60 %, v1 40 %" in node.nexus("alias", "set", "which", "--weight", "v2=60").stdout
    for key in KEYS[:20]:
        assert answer(node, key=key) == ("v2" if place("which", key) < 6000 else "v1"), key
    (now,) = node.json("rollback", "which")
    assert now["traffic"] == [{"version": "v2", "percent": 25}, {"version": "v1", "percent": 75}]


def test_deploy_as_a_canary_or_without_traffic(node):
    assert deploy(node, node.modules[3], "--weight", "10") == "v3"
    assert alias(node) == {"v3": 10, "v2": 90}
    # A pipeline that runs once more changes nothing.
    assert deploy(node, node.modules[3]) == "v3" and alias(node) == {"v3": 10, "v2": 90}
    assert deploy(node, node.modules[1], "--no-traffic", timeout="9s") == "v4" and alias(node) == {"v3": 10, "v2": 90}
    assert deploy(node, node.modules[1], "--alias", "next", timeout="9s") == "v5" and alias(node, "next") == {"v5": 100}
    assert node.nexus("alias", "set", "which", "--to", "next").stdout.strip() == "which live is v5"
    assert alias(node) == {"v5": 100}
    assert node.nexus("deploy", "--no-build", "--no-traffic", "--weight", "3", check=False).returncode == 2


def test_aliases_are_checked(node):
    def refused(*arguments, code=2, says=""):
        result = node.nexus("alias", *arguments, check=False)
        assert result.returncode == code and says in result.stderr, (result.returncode, result.stderr)

    refused("set", "which", says="--to")
    refused("set", "which", "--to", "v1", "--weight", "v2=1", says="--to")
    refused("set", "which", "--weight", "v2", says="v4=10")
    refused("set", "which", "--weight", "v2=60", "--weight", "v1=60", says="more than 100")
    refused("set", "which", "--weight", "v7=10", code=4, says="no version v7")
    refused("set", "which", "v1", "--to", "v2", says="means something else")
    refused("set", "which", "Stable", "--to", "v2", says="no name of an alias")
    refused("rm", "which", "live", says="can't be removed")
    refused("rm", "which", "stable", code=4)
    assert deploy(node, node.modules[3], "--no-traffic", on={"event": "other"}) == "v3"
    refused("set", "which", "--weight", "v3=10", code=5, says="can't share its events")
    assert alias(node) == {"v2": 100}
    node.nexus("alias", "set", "which", "stable", "--to", "v1")
    assert alias(node, "stable") == {"v1": 100}
    assert [v["aliases"] for v in node.json("versions", "list", "which")] == [{}, {"live": 100}, {"stable": 100}]
    assert "stable" in node.nexus("alias", "list").stdout
    node.nexus("alias", "rm", "which", "stable")
    assert alias(node, "stable") is None
    assert answer(node) == "v2"
    for settings in ({"batch": {"max_size": 5}}, {"singleton": {"mode": "skip"}}, {"concurrency": {"limit": 2, "key": "data.key"}}):
        made = deploy(node, node.modules[3], "--no-traffic", **settings)
        refused("set", "which", "--weight", f"{made}=10", code=5, says="can't share its events")


def test_a_batch_is_run_by_the_version_of_its_events(node, guests):
    collect, batch = guests.rust("collect.rs"), {"max_size": 4, "timeout": "300ms"}
    first = deploy(node, collect, batch=batch)
    second = deploy(node, collect, "--weight", "50", batch=batch, env={"ANOTHER": "version"})
    assert alias(node) == {first: 50, second: 50}
    events = [node.publish("which", "{}", headers=keyed(key)) for key in KEYS]
    batches = {}
    for key, event in zip(KEYS, events):
        run = node.whole_run(node.run_of(event, deadline=60)["run_id"])
        assert run["status"] == "batched" and run["version"] == (second if place("which", key) < 5000 else first)
        batches.setdefault(run["batch"][0], set()).add(run["version"])
    assert len(batches) >= 10
    for batch_id, versions in batches.items():
        assert {node.run_of(batch_id, deadline=60)["version"]} == versions


def test_runs_in_hand_end_on_the_version_they_began_with(node):
    event_id = node.publish("which", "sleep 3000")
    node.wait_log("Function 'which' started")
    node.nexus("rollback", "which")
    assert answer(node) == "v1"  # the other one still runs
    assert not node.runs(event=event_id)
    run = node.whole_run(node.run_of(event_id)["run_id"])
    assert (run["version"], run["output"]) == ("v2", "v2 v2")


def replayed(node, event_id, against):
    result = node.nexus("replay", event_id, "--against", against, "--json", check=False)
    assert result.returncode in (0, 10), result.stderr
    answer = json.loads(result.stdout)
    assert answer["output"].split()[0] == answer["version"]
    return answer["version"]


def test_replay_diff_and_redrive_by_alias(node):
    node.nexus("alias", "set", "which", "old", "--to", "v1")
    event_id = node.publish("which", "", headers=keyed("user-1"))
    assert node.run_of(event_id)["version"] == "v2"
    assert replayed(node, event_id, "old") == "v1"
    node.json("alias", "set", "which", "--weight", "v2=50", "--weight", "v1=50")
    expected = "v2" if place("which", "user-1") < 5000 else "v1"
    assert replayed(node, event_id, "live") == expected
    result = node.nexus("diff", event_id, "recorded", "live", "--json", check=False)
    assert json.loads(result.stdout)["diff"]["after"]["version"] == expected
    # Of many events, a split alias stands for no one code.
    result = node.nexus("replay", "--since", "1h", "--function", "which", "--against", "live", check=False)
    assert result.returncode == 5 and "is split (v2 50 %, v1 50 %)" in result.stderr
    node.json("alias", "set", "which", "--to", "v1")
    node.publish("which", "fail")
    wait_until(lambda: node.json("dlq", "list"), "a dead letter", on_failure=node.log)
    node.json("alias", "set", "which", "new", "--to", "v2")
    node.json("dlq", "redrive", "--function", "which", "--all", "--against", "new")
    wait_until(lambda: [r["version"] for r in node.runs(status="ok", limit=1)] == ["v2"], "the redriven run", on_failure=node.log)
    assert not node.json("dlq", "list")


def test_what_takes_one_version_says_that_an_alias_is_split(tmp_path, guests):
    project = Project(tmp_path / "project")
    project.write({"functions": []})
    with Node(project, "--set", "log.level=info", verb="serve") as node:
        node.modules = modules(guests)
        assert [deploy(node, node.modules[i]) for i in (1, 2)] == ["v1", "v2"]
        event = node.publish("which", "x")
        node.run_of(event)
        node.json("alias", "set", "which", "--weight", "v1=50")
        for command in (("replay", "--all", "--function", "which", "--against", "live"), ("shadow", "start", "which", "live"), ("versions", "show", "which", "live")):
            got = node.nexus(*command, check=False)
            assert got.returncode == 5 and "'live' of 'which' is split (v2 50 %, v1 50 %): name one of its versions" in got.stderr, got.stderr
        # One event has one version of them.
        assert node.replay(event, "--against", "live", check=False)[0]["version"] in ("v1", "v2")
        assert {r["version"] for r in node.runs(function="which", version="v2")} == {"v2"} and node.runs(version="1") == []
        assert [r["version"] for r in node.json("runs", "list", "--version", "2")] == ["v2"]
        assert node.nexus("runs", "list", "--version", "live", check=False).returncode == 2


def prune(node, *flags):
    (job,) = node.json("versions", "prune", "which", *flags)
    assert job["status"] == "done", job
    return job["summary"]


def names(summary):
    return [r["version"] for r in summary["removed"]]


def stored(node):
    return [v["version"] for v in node.json("versions", "list", "which")]


def has_artifact(node, digest):
    return node.client.get(f"{node.admin_url}/api/v1/artifacts/{digest}").status_code == 200


def age():
    """What was made before is older than a moment now."""
    pause(0.05)


def test_prune_removes_what_nothing_needs_and_frees_its_artifact(tmp_path, guests):
    project = Project(tmp_path / "project")
    project.write({"functions": []})
    with Node(project, "--set", "log.level=info", verb="serve") as node:
        node.modules = modules(guests)
        for i, n in enumerate((1, 2, 3, 3, 3)):
            assert deploy(node, node.modules[n], timeout=f"{5 + i}s") == f"v{i + 1}"
        digests = {v["version"]: v["artifact"] for v in node.json("versions", "list", "which")}
        age()
        # All are named: by live, or by what can be rolled back to.
        assert prune(node, "--older-than", "1ms", "--keep", "1")["kept"] == {"alias": 5, "newest": 0, "young": 0, "job": 0, "timer": 0, "recording": 0}
        for i in range(11):
            node.json("alias", "set", "which", "--to", f"v{4 + i % 2}")
        assert prune(node, "--keep", "1")["removed"] == [], "nothing is a month old"
        assert names(prune(node, "--older-than", "1ms", "--keep", "4")) == ["v1"] and stored(node) == ["v5", "v4", "v3", "v2"]
        assert not has_artifact(node, digests["v1"]) and has_artifact(node, digests["v2"])
        dry = prune(node, "--older-than", "1ms", "--keep", "1", "--dry-run")
        assert names(dry) == ["v2", "v3"] and dry["freed_artifacts"] == 1 and stored(node) == ["v5", "v4", "v3", "v2"]
        text = node.nexus("versions", "prune", "which", "--older-than", "1ms", "--keep", "1").stdout
        assert "which v2" in text and "2 versions are removed, 1 artifact freed" in text and "kept: 2 by alias" in text
        # Version 3 went, its module did not: versions 4 and 5 have the same.
        assert stored(node) == ["v5", "v4"] and has_artifact(node, digests["v3"]) and not has_artifact(node, digests["v2"])
        # No number is given twice, and what was freed can be deployed again.
        assert deploy(node, node.modules[1]) == "v6" and answer_of(node) == "v1 v6"
        assert node.nexus("alias", "set", "which", "--to", "v2", check=False).returncode == 4
        assert node.nexus("versions", "prune", "--older-than", "soon", check=False).returncode == 2


def answer_of(node, content=""):
    got = node.call("which", content)
    assert got.status_code == 200, got.text
    return got.text


def test_prune_keeps_what_recordings_jobs_aliases_and_timers_need(tmp_path, guests):
    project = Project(tmp_path / "project")
    project.write({"functions": []})
    with Node(project, "--set", "log.level=info", verb="serve") as node:
        node.modules = modules(guests)
        for i in range(6):
            assert deploy(node, node.modules[1 + i % 3], timeout=f"{5 + i}s") == f"v{i + 1}"
            if i == 0:
                failed = node.publish("which", "fail")
                recorded = node.publish("which", "")
                assert node.run_of(failed)["status"] == "error" and node.run_of(recorded)["version"] == "v1"
        for i in range(11):
            node.json("alias", "set", "which", "--to", f"v{5 + i % 2}")
        node.json("alias", "set", "which", "old", "--to", "v2")
        node.json("shadow", "start", "which", "v3")
        later = (datetime.now(timezone.utc) + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
        got = node.client.post(f"{node.admin_url}/api/v1/dlq/redrive", json={"ids": [failed], "function": "which", "against": "v4", "not_before": later})
        assert got.status_code == 200 and got.json()["events"][0]["result"] == "redriven", got.text
        age()
        summary = prune(node, "--older-than", "1ms", "--keep", "1")
        assert summary["removed"] == [] and summary["kept"] == {"alias": 3, "newest": 0, "young": 0, "job": 1, "timer": 1, "recording": 1}
        assert summary["freed_artifacts"] == 0
        # Each goes once its reason has gone.
        node.json("alias", "rm", "which", "old")
        node.json("shadow", "stop", "which")
        wait_until(lambda: names(prune(node, "--older-than", "1ms", "--keep", "1")) or stored(node) == ["v6", "v5", "v4", "v1"], "the rest to go")
        wait_until(lambda: prune(node, "--older-than", "1ms", "--keep", "1") and stored(node) == ["v6", "v5", "v4", "v1"], "the shadow's version to go")
        assert [v["verdict"] for v in node.replay(recorded)] == ["identical"]


def test_prune_reads_no_more_records_than_it_has_to(tmp_path, guests):
    project = Project(tmp_path / "project")
    project.write({"functions": []})
    with Node(project, "--set", "log.level=info", verb="serve") as node:
        node.modules = modules(guests)
        assert deploy(node, node.modules[1]) == "v1" and answer_of(node) == "v1 v1"
        assert deploy(node, node.modules[2]) == "v2"
        assert deploy(node, node.modules[3]) == "v3"
        for _ in range(20):
            assert answer_of(node) == "v3 v3"
        for i in range(11):
            node.json("alias", "set", "which", "--to", f"v{2 + i % 2}")
        age()
        (job,) = node.json("versions", "prune", "which", "--older-than", "1ms", "--keep", "1", "--dry-run")
        assert job["summary"]["kept"]["recording"] == 1
        assert job["progress"]["events"] == 1, "what needs the only candidate is the first record"


def test_old_versions_go_by_themselves(tmp_path, guests):
    project = Project(tmp_path / "project")
    project.write({"functions": []})
    with Node(project, "--set", "log.level=info", "--set", "retention.versions.max_age=10s", "--set", "retention.versions.keep=1", verb="serve") as node:
        node.modules = modules(guests)
        for i, n in enumerate((1, 2, 3)):
            deploy(node, node.modules[n], timeout=f"{5 + i}s")
        for i in range(11):
            node.json("alias", "set", "which", "--to", f"v{2 + i % 2}")
        node.wait_log("1 old versions are removed, 1 artifacts", 60)
        assert stored(node) == ["v3", "v2"]
        assert answer(node) in ("v2", "v3")
