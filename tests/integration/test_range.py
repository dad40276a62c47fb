"""Replays of many runs: jobs on the node, counted once whatever happens to it."""

import json
import os
import signal
import subprocess
import xml.etree.ElementTree as xml

import pytest
from nexus.node import Node, Project, environment, function, lines_of
from nexus.paths import NEXUS, ROOT
from nexus.wait import wait_until

TRAP = 'if s.contains("trap") { core::arch::wasm32::unreachable(); }'


@pytest.fixture(scope="module")
def codes(guests):
    """(the function, the same with another answer for events that hold 7)."""
    return guests.welcome(TRAP, TRAP + ' if s.contains("7") { s.push_str("!"); }')


def settings(project, codes):
    code = project.module(codes[0])
    return {"ingest": {"batch": True}, "functions": [
        function("welcome", code),
        function("twin", code, on={"event": "order.*"}),
        function("order", code, on={"event": "order.*"}),
    ]}


def publish_many(node, count, type_="welcome", first=0, **attributes):
    for begin in range(first, first + count, 200):
        batch = [{"specversion": "1.0", "id": f"{type_}-{i}", "source": "/test", "type": type_, "data": {"n": i}, **{k: v(i) for k, v in attributes.items()}}
                 for i in range(begin, min(begin + 200, first + count))]
        answer = node.post(type_, json.dumps(batch), headers={"Content-Type": "application/cloudevents-batch+json"})
        assert answer.status_code == 202, answer.text


def wait_recorded(node, count):
    wait_until(lambda: len(node.runs(limit=10000)) == count, f"{count} runs", 30, every=0.1, on_failure=node.log)


@pytest.fixture(scope="module")
def node(module_project, codes):
    module_project.write(settings(module_project, codes))
    with Node(module_project) as node:
        publish_many(node, 1000)
        publish_many(node, 100, "order.new", partitionkey=lambda i: f"k{i % 7}")
        node.publish("welcome", "trap")
        wait_recorded(node, 1201)
        yield node


def job_of(node, *arguments, check=True):
    result = node.nexus("replay", *arguments, "--json", check=False)
    assert not check or result.returncode == 0, result.stdout + result.stderr
    return (json.loads(result.stdout) if result.stdout else None), result


def by_function(job):
    return {f["function"]: (f["identical"], f["diverged"], f["failed"]) for f in job["summary"]["results"]["functions"]}


def test_range_repeats_every_run(node):
    job, _ = job_of(node, "--all")
    assert job["status"] == "done" and job["kind"] == "replay"
    assert by_function(job) == {"welcome": (1001, 0, 0), "twin": (100, 0, 0), "order": (100, 0, 0)}
    assert job["progress"]["events"] == 1201 and job["progress"]["percent"] == 100
    assert job["summary"]["results"]["examples"] == []
    # Ranges leave a summary, and no record each.
    assert not [r for r in node.runs(all=1, limit=2000) if r["is_replay"]]


@pytest.mark.parametrize("arguments, expected", [
    (["--function", "welcome"], {"welcome": (1001, 0, 0)}),
    (["--status", "error"], {"welcome": (1, 0, 0)}),
    (["--type", "order.*"], {"twin": (100, 0, 0), "order": (100, 0, 0)}),
    (["--type", "order.*", "--function", "order", "--since", "1h"], {"order": (100, 0, 0)}),
])
def test_range_takes_what_matches(node, arguments, expected):
    job, _ = job_of(node, *arguments)
    assert by_function(job) == expected


def test_range_by_time(node):
    # Ranges go by when runs were recorded, to the nanosecond; when they began says little of that on a busy machine.
    recorded = sorted(node.whole_run(r["run_id"])["recorded_at"] for r in node.runs(function="order", limit=100))
    before, _ = job_of(node, "--function", "order", "--until", recorded[50])
    after, _ = job_of(node, "--function", "order", "--since", recorded[50])
    assert (before["progress"]["events"], after["progress"]["events"]) == (50, 50)


def test_range_without_runs_is_not_found(node):
    job, result = job_of(node, "--function", "nobody", check=False)
    assert result.returncode == 4 and job["status"] == "done"
    assert "no run lies in this range" in result.stderr
    result = node.nexus("replay", "--function", "nobody", check=False)
    assert result.returncode == 4 and result.stdout == ""  # nothing is OK about it


@pytest.mark.parametrize("flag", [["--all"], ["--since", "1h"], ["--until", "1h"], ["--type", "x"], ["--status", "ok"], ["--rate", "5"], ["--detach"]])
def test_range_and_event_are_not_asked_for_at_once(node, flag):
    result = node.nexus("replay", "@last", *flag, check=False)
    assert result.returncode == 2 and f"{flag[0]} is of a range" in result.stderr


def test_range_against_other_code_counts_and_shows(node, codes):
    sevens = sum("7" in str(i) for i in range(1000))
    job, result = job_of(node, "--function", "welcome", "--against", str(codes[1]), check=False)
    assert result.returncode == 10
    assert by_function(job) == {"welcome": (1001 - sevens, sevens, 0)}
    examples = job["summary"]["results"]["examples"]
    assert len(examples) == 20 and all(e["reason"].startswith("output:") and e["verdict"] == "diverged" for e in examples)
    assert examples[0]["recorded_version"] and len(examples[0]["version"]) == 64
    # Each can be looked at alone, and comes out the same way.
    one = node.nexus("replay", examples[0]["event_id"], "--against", str(codes[1]), check=False)
    assert one.returncode == 10
    shown = node.nexus("jobs", "show", job["job_id"]).stdout
    assert f"{1001 - sevens} identical, {sevens} diverged" in shown and examples[0]["event_id"] in shown
    # All of them differ in the same way: one line.
    diff = job["summary"]["diff"]
    assert (diff["same"], diff["different"], diff["failed"]) == (1001 - sevens, sevens, 0)
    (group,) = diff["groups"]
    assert group["what"] == ["output line 1 changed"] and group["count"] == sevens and group["function"] == "welcome"
    assert len(group["examples"]) == 3 and set(group["examples"]) <= {r["event_id"] for r in node.runs(function="welcome", limit=10000)}
    assert diff["fuel"]["events"] == 1001 and diff["fuel"]["after"]["median"] > 0
    assert diff["fuel"]["largest_growth"]["after"] > diff["fuel"]["largest_growth"]["before"]


def test_range_report_for_ci(node, codes, tmp_path):
    report = tmp_path / "report.xml"
    result = node.nexus("replay", "--function", "welcome", "--against", str(codes[1]), "--junit", str(report), check=False)
    assert result.returncode == 10
    assert "output line 1 changed" in result.stdout and "e.g. " in result.stdout and "fuel:" in result.stdout
    cases = xml.parse(report).getroot().find("testsuite").findall("testcase")
    assert [c.find("failure") is not None for c in cases] == [False, True]
    assert cases[1].find("failure").get("message") == "output line 1 changed" and cases[1].get("classname") == "welcome"
    later = tmp_path / "later.xml"
    node.nexus("jobs", "show", "@last", "--junit", str(later))
    assert later.read_text() == report.read_text()


def test_range_at_a_rate_takes_its_time(node):
    job, _ = job_of(node, "--function", "order", "--rate", "100")
    took = job["progress"]["events"] / job["progress"]["events_per_s"]
    assert 0.9 <= took < 10, job


@pytest.mark.parametrize("spec, says", [
    ({"since": "yesterday"}, 'since: "yesterday" is neither a time'),
    ({"since": "1h", "until": "2h"}, "the range is empty"),
    ({"status": "fine"}, "none of ok, error, timeout, dead"),
    ({"type": "a.*b"}, "a wildcard has to be a whole token"),
    ({"rate": -1}, "rate"),
    ({"function": "käse"}, 'function: "käse" is not a function name'),
    ({"effects": "all"}, "none of recorded, deny, live"),
    ({"against": "v1"}, "name the function too"),
    ({"against": "v9", "function": "welcome"}, "v9"),
    ({"against": "0" * 64, "function": "welcome"}, "the artifact is not there"),
])
def test_range_refuses_what_it_does_not_understand(node, spec, says):
    answer = node.client.post(f"{node.admin_url}/api/v1/jobs", json={"kind": "replay", "spec": spec})
    assert answer.status_code in (400, 404) and says in answer.json()["detail"], answer.text


def test_jobs_are_listed_and_found_by_the_end_of_their_ids(node):
    job = json.loads(node.nexus("replay", "--all", "--detach", "--json").stdout)
    assert job["status"] in ("queued", "running", "done")
    listed = node.json("jobs", "list")
    assert listed[0]["job_id"] == job["job_id"] and "summary" not in listed[0]
    assert node.json("jobs", "show", "@last")[0]["job_id"] == job["job_id"]
    assert node.json("jobs", "show", job["job_id"][-8:])[0]["job_id"] == job["job_id"]
    assert node.nexus("jobs", "show", "ZZZZZZZZ", check=False).returncode == 4
    wait_until(lambda: node.api(f"jobs/{job['job_id']}").json()["status"] == "done", "its end", 20)
    over = node.nexus("jobs", "cancel", job["job_id"], check=False)
    assert over.returncode == 5 and "done already" in over.stderr
    assert node.client.post(f"{node.admin_url}/api/v1/jobs", json={"kind": "nothing", "spec": {}}).status_code == 400


def test_range_answers_from_the_recording_or_live(tmp_path, guests):
    project = Project(tmp_path / "project")
    project.write({"functions": [function("does", project.module(guests.rust("effects.rs")), key_value_stores=["default"])]})
    with Node(project) as node:
        for _ in range(5):
            node.call("does", "count visits")
        job, _ = job_of(node, "--function", "does")
        assert by_function(job) == {"does": (5, 0, 0)}
        denied, result = job_of(node, "--function", "does", "--effects", "deny", check=False)
        assert result.returncode == 10 and by_function(denied) == {"does": (0, 5, 0)}
        # Neither has counted on.
        assert node.call("does", "get default visits").text.split()[1] == "5"
        asked = node.nexus("replay", "--function", "does", "--effects", "live", check=False)
        assert asked.returncode == 2 and "say --yes if that is meant" in asked.stderr
        assert node.nexus("replay", "--function", "does", "--live", check=False).stderr == asked.stderr
        both = node.nexus("replay", "@last", "--live", "--effects", "deny", check=False)
        assert both.returncode == 2 and "leave out one of the two" in both.stderr
        live, result = job_of(node, "--function", "does", "--until", "0s", "--effects", "live", "--yes", check=False)
        assert result.returncode == 10 and by_function(live)["does"][1] >= 5
        # What reached the outside left a record each; what did not, left none.
        records = wait_until(lambda: len(v := [r for r in node.runs(all=1, limit=1000) if r["is_replay"]]) >= 5 and v, "records of the replays", 10)
        assert len(records) == live["progress"]["events"]
        shown = node.whole_run(records[0]["run_id"])
        assert shown["replay_of"] and [e["name"] for e in shown["effects"]][0] == "kv.get" and len({r["run_id"] for r in records}) == len(records)
        assert node.call("does", "get default visits").text.split()[1] == "10"


def progressed(node, job_id, at_least=1):
    return wait_until(lambda: (j := node.api(f"jobs/{job_id}").json())["progress"]["events"] >= at_least and j, "progress", 20)


def test_cancel_stops_and_keeps_what_was_found(node):
    job = json.loads(node.nexus("replay", "--all", "--rate", "200", "--detach", "--json").stdout)
    progressed(node, job["job_id"])
    node.nexus("jobs", "cancel", job["job_id"])
    over = wait_until(lambda: (j := node.api(f"jobs/{job['job_id']}").json())["status"] == "canceled" and j, "canceled", 10)
    assert 0 < over["progress"]["events"] < 1201
    assert sum(f["identical"] for f in over["summary"]["results"]["functions"]) == over["progress"]["events"]


def test_interrupted_client_cancels_its_job(node):
    with subprocess.Popen([str(NEXUS), "replay", "--all", "--rate", "100", "--json"], cwd=node.project.dir, env=environment(),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as client:
        job = wait_until(lambda: (v := node.api_list("jobs")) and v[0]["status"] == "running" and v[0], "the job", 10)
        progressed(node, job["job_id"])
        client.send_signal(signal.SIGINT)
        out, _ = client.communicate(timeout=20)
    assert client.returncode == 130
    assert json.loads(out)["status"] == "canceled"


@pytest.mark.parametrize("how", ["kill -9", "stop"])
def test_job_goes_on_where_it_was_when_the_node_is_started_again(tmp_path, codes, how):
    project = Project(tmp_path / "project")
    project.write(settings(project, codes))
    with Node(project) as node:
        publish_many(node, 1200)
        wait_recorded(node, 1200)
        job = json.loads(node.nexus("replay", "--all", "--rate", "500", "--detach", "--json").stdout)
        # Far enough that a place has been stored.
        progressed(node, job["job_id"], 700)
        if how == "stop":
            node.stop()
        else:
            node.kill()
        node.start()
        # It does not begin again: at most what was done since the last stored place, a second's work, is done twice.
        first = progressed(node, job["job_id"])
        assert first["progress"]["events"] >= 150, first
        over = wait_until(lambda: (j := node.api(f"jobs/{job['job_id']}").json())["status"] not in ("queued", "running") and j, "its end", 40)
        assert over["status"] == "done", over
        assert by_function(over) == {"welcome": (1200, 0, 0)}
        assert over["progress"]["events"] == 1200
        assert len(lines_of(node.nexus("jobs", "list", "--json").stdout)) == 1
        assert os.path.exists(project.data_dir / "home.id")


JOURNAL = """#[path = "SDK"]
mod nexus_sdk;
use nexus_sdk::{input, Store};

/// "INDEX [late]": a late one fails at first. In a replay it adds its index to a list.
#[no_mangle]
pub extern "C" fn handle_event() {
    let text = String::from_utf8(input().unwrap()).unwrap();
    if text.contains("late") && std::env::var("NEXUS_ATTEMPT").unwrap() == "1" {
        std::process::exit(3);
    }
    if std::env::var("NEXUS_IS_REPLAY").is_ok() {
        let index = text.split(' ').next().unwrap().to_string();
        let list = Store::default().get("list").unwrap().map_or(String::new(), |e| String::from_utf8_lossy(&e.value).to_string());
        Store::default().put("list", format!("{}{},", list, index).into_bytes(), nexus_sdk::Expect::Any).unwrap();
    }
    println!("done");
}
"""


def test_live_effects_of_a_range_come_in_the_order_of_the_log(tmp_path, guests):
    """A record that lies 500 places behind those of later events of its key: the order is that of the events all the same, also over a restart."""
    source = tmp_path / "journal.rs"
    source.write_text(JOURNAL.replace("SDK", str(ROOT / "sdk/rust/src/lib.rs")))
    project = Project(tmp_path / "project")
    code = project.module(guests.rust(source))
    project.write({"ingest": {"batch": True}, "functions": [
        function("journal", code, key_value_stores=["default"], retry={"max_attempts": 2, "initial_interval": "4s", "jitter": "none"}),
        function("reader", project.module(guests.rust("effects.rs"), "reader.wasm"), key_value_stores=["default"]),
    ]})
    with Node(project) as node:
        batch = [{"specversion": "1.0", "id": str(i), "source": "/test", "type": "journal", "partitionkey": "k", "datacontenttype": "text/plain",
                  "data": f"{i} late" if i in (0, 250) else f"{i}"} for i in range(500)]
        for begin in range(0, 500, 250):
            answer = node.post("journal", json.dumps(batch[begin:begin + 250]), headers={"Content-Type": "application/cloudevents-batch+json"})
            assert answer.status_code == 202, answer.text
        wait_recorded(node, 500)
        records = sorted((r["event_id"], r["attempt"]) for r in node.runs(limit=1000))
        assert sum(attempt == 2 for _, attempt in records) == 2
        job = json.loads(node.nexus("replay", "--function", "journal", "--against", project.dir / code, "--effects", "live", "--yes", "--rate", "250", "--detach", "--json").stdout)
        progressed(node, job["job_id"], 100)
        node.restart()
        over = wait_until(lambda: (j := node.api(f"jobs/{job['job_id']}").json())["status"] == "done" and j, "its end", 40, on_failure=node.log)
        assert over["progress"]["events"] == 500
        seen = [int(x) for x in node.call("reader", "get default list").text.split()[1].strip(",").split(",")]
        # What was under way when the node was stopped is repeated; apart from that each comes once, and none before an earlier one.
        assert sorted(set(seen)) == list(range(500))
        first = [x for i, x in enumerate(seen) if x not in seen[:i]]
        assert first == sorted(first), [x for x in zip(first, sorted(first)) if x[0] != x[1]][:5]


def test_little_is_asked_twice_when_a_node_dies_in_a_live_range(tmp_path, guests):
    project = Project(tmp_path / "project")
    project.write({"functions": [function("does", project.module(guests.rust("effects.rs")), key_value_stores=["default"])]})
    with Node(project) as node:
        for _ in range(120):
            node.publish("does", "count visits")
        wait_recorded(node, 120)
        job = json.loads(node.nexus("replay", "--function", "does", "--live", "--yes", "--rate", "20", "--detach", "--json").stdout)

        def replayed():
            return len([r for r in node.runs(all=1, limit=1000) if r["is_replay"]])

        wait_until(lambda: replayed() >= 100, "100 replays", 40, every=0.1)
        node.kill()
        node.start()
        over = wait_until(lambda: (j := node.api(f"jobs/{job['job_id']}").json())["status"] not in ("queued", "running") and j, "its end", 40)
        assert over["status"] == "done" and over["progress"]["events"] == 120, over
        # All but the end was behind a stored place: a second's work (20), 16, and what a busy machine adds.
        assert 120 <= replayed() < 200
