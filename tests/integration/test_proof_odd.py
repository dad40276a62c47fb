"""The proof under odd circumstances: guests, inputs, settings and ways of running that a repetition could answer otherwise. All come out identical:
in a range, one by one, from bundles without a node, and in the audit."""

import json

import pytest
from nexus.node import Node, environment, function, lines_of, nexus
from nexus.wait import wait_until

DEEDS = ["env", "grow", "nan", "out 0", "out 65536", "out 200000", "out 300000", "logs 100", "logs 5000", "logs 400000", "late 0", "late 5000", "late 400000",
         "depth 10", "depth 3000", "depth 100000", "sleep 5 3", "sleep 90 3", "sleep 300 1", "spin", "exit 3", "exit 300", "exit -1", "files", "echo"]
SETTINGS = {
    "plain": {},
    "event": {"input": "cloudevent"},
    "digest": {"recording": "digest", "input": "cloudevent"},
    "covered": {"redact": ["data.name", "subject"], "max_log": "2Ki"},
    "small": {"memory": "2Mi", "max_output": "64Ki", "max_log": "0", "fuel": 50_000_000, "env": {f"V{i}": f"value {i}" for i in (3, 1, 2)}},
    "again": {"retry": {"max_attempts": 2, "initial_interval": "10ms"}, "input": "cloudevent"},
}
# Attributes as a producer may send them, and data that is none, no text, or no JSON.
EVENTS = [
    ({}, b"do:echo"),
    ({"content-type": "application/json"}, b'{ "do":1.0e3, "do":"\\u00e9", "name" : "Alice Liddell" }'),
    ({"content-type": "application/json"}, b'{"unfinished'),
    ({"content-type": "text/plain; charset=latin1"}, b"do:echo \xe9\xff\x00"),
    ({}, b""),
    ({"ce-subject": "a%20b %22c%22 %C3%A4", "ce-time": "2025-01-01T00:00:00.123456789+02:00", "ce-dataschema": "http://x/y?z",
      "ce-extone": "1", "ce-zeta": "true", "ce-alpha": "x y", "ce-partitionkey": "k/1", "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
      "tracestate": "a=b,c=d"}, b"do:env"),
]


def settings(project, guests):
    odd = project.module(guests.c("odd.c"))
    functions = [function(name, odd, on={"event": "odd.*"}, timeout="250ms", **s) for name, s in SETTINGS.items()]
    return {"log": {"level": "error"}, "replay": {"audit": "100%"}, "functions": functions}


def publish(node, kind, data, headers=None, **parameters):
    attributes = {"ce-specversion": "1.0", "ce-id": f"{kind}-{publish.count}", "ce-source": "/odd", "ce-type": f"odd.{kind}"} if headers else {}
    publish.count += 1
    answer = node.post(f"odd.{kind}", data, headers={**attributes, **(headers or {})}, params=parameters)
    assert answer.status_code == 202, answer.text
    return answer.json()["event_id"]


publish.count = 0


@pytest.fixture(scope="module")
def recorded(module_project, guests):
    """A node that ran everything, and the events."""
    module_project.write(settings(module_project, guests))
    with Node(module_project) as node:
        ids = []
        for deed in DEEDS:
            ids.append(publish(node, "plain", f"do:{deed}"))
            ids.append(publish(node, "json", json.dumps({"name": "Alice Liddell", "x": f"do:{deed}"}), {"content-type": "application/json"}))
        for headers, data in EVENTS:
            ids.append(publish(node, "data", data, headers))
        ids.append(publish(node, "late", b"do:env", delay="1s"))
        for event in ids:
            node.wait_runs(event, len(SETTINGS), deadline=60)
        # What failed, once more: another generation.
        redriven = node.json("dlq", "redrive", "--function", "plain", "--all") + node.json("dlq", "redrive", "--function", "again", "--all", "--effects", "recorded")
        assert [r for r in redriven if r["result"] == "redriven"] == redriven != []
        for row in redriven:  # what was too slow for its time-out may not be, this time
            wait_until(lambda: row["new_run_id"] in [r["run_id"] for r in node.wait_runs(row["event_id"])], "the redrive to be recorded", 60)  # noqa: B023
        yield node, ids


def test_all_repeat_in_a_range(recorded):
    node, ids = recorded
    result = node.nexus("replay", "--all", "--json", check=False, timeout=300)
    (job,) = lines_of(result.stdout)
    assert result.returncode == 0, job["summary"]["results"]
    assert job["summary"]["results"]["identical"] > len(ids) * len(SETTINGS), job["summary"]["results"]  # more: other generations


def test_all_repeat_one_by_one_and_without_a_node(recorded, tmp_path):
    node, ids = recorded
    home = environment(XDG_CACHE_HOME=tmp_path / "cache")
    bad = []
    for event in ids[::4]:
        for verdict in node.replay(event, check=False):
            if verdict["verdict"] != "identical":
                bad.append((event, verdict["function"], verdict["verdict"], verdict["reason"]))
    assert not bad, bad
    for event in ids[::14]:
        for name in SETTINGS:
            case = tmp_path / f"{event}-{name}.nxb"
            node.nexus("bundle", event, "--function", name, "-o", case)
            result = nexus("replay", case, "--json", cwd=tmp_path, env=home, check=False)
            (verdict,) = lines_of(result.stdout)
            if verdict["verdict"] != "identical":
                bad.append((event, name, verdict["verdict"], verdict["reason"]))
    assert not bad, bad


def test_the_audit_finds_none_that_does_not_repeat(recorded):
    node, ids = recorded

    def done():
        rows = node.json("audit")
        return rows if rows and not sum(r["waiting"] for r in rows) else None

    rows = wait_until(done, "the audit to come to its end", 120)
    assert sum(r["identical"] for r in rows) > 100 and not [r for r in rows if r["diverged"]], rows
