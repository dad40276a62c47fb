"""What recordings may not hold: `recording: full|digest|off` and `redact`, in the store itself, in answers, logs, replays and bundles."""

import json
from datetime import datetime, timezone

import pytest
from nexus.node import Node, environment, function, lines_of, nexus
from nexus.paths import ROOT
from nexus.wait import wait_until

EMAIL = "alice.liddell@example.com"
DATA = json.dumps({"email": EMAIL, "n": 1})


@pytest.fixture(scope="module")
def node(module_project, guests):
    echo = module_project.module(guests.c("echo.c"))
    module_project.write({"functions": [
        function("plain", echo),
        function("covered", echo, redact=["data.email", "subject"]),
        function("digest", echo, recording="digest"),
        function("off", echo, recording="off"),
        *[function(name, module_project.module(guests.c("calls.c", "-I", str(ROOT / "sdk" / "c"))), key_value_stores=["counters"], emit=["counted"], **hidden)
          for name, hidden in (("calls-covered", {"redact": ["data.email"]}), ("calls-digest", {"recording": "digest"}))],
    ]})
    with Node(module_project) as node:
        yield node


def stored(node, stream):
    """All bytes of a stream on disk. The event log keeps events; the others keep recordings."""
    (folder,) = node.project.data_dir.rglob(f"{stream}_default")
    return b"".join(p.read_bytes() for p in folder.rglob("*.blk"))


def run(node, name, data=DATA, **headers):
    event_id = node.publish(name, data, headers={"Content-Type": "application/json", **headers})
    return event_id, node.whole_run(node.run_of(event_id)["run_id"])


def test_full_recording_holds_what_was_said(node):
    event_id, record = run(node, "plain")
    assert record["recording"] == "full" and record["redacted"] == []
    assert EMAIL in record["output"] and EMAIL in record["logs"]


def test_redacted_value_stands_in_no_record(node):
    event_id, record = run(node, "covered")
    assert record["redacted"] == ["data.email", "subject"] and record["recording"] == "full"
    assert EMAIL not in json.dumps(record)
    assert record["output"].startswith('{"echo": {"email": "' + "*" * len(EMAIL) + '", "n": 1}')
    assert record["host_calls"] > 0 and record["host_calls_kept_bytes"] == 0
    # The event is what happened: it is as it was.
    assert node.api(f"events/{event_id}/data").text == DATA


def test_redacted_value_is_found_over_the_lines_of_a_log(node):
    wrapped = json.dumps({"email": EMAIL, "do": "wrap"})
    pieces = [wrapped[i:i + 13] for i in range(0, len(wrapped), 13)]
    telling = [p for p in pieces if len(set(p) & set(EMAIL)) > 5 and any(EMAIL[i:i + 6] in p for i in range(len(EMAIL) - 5))]
    assert len(telling) >= 2
    event_id, record = run(node, "covered", wrapped)
    assert record["logs"].count("\n") >= len(pieces) - 1
    assert not [p for p in telling if p in record["logs"]], record["logs"]
    lines = [x["message"] for x in node.api_list("logs", event=event_id, limit=1000)]
    assert pieces[0][:4] in "\n".join(lines) and not [p for p in telling if any(p in x for x in lines)], lines
    before = len(node.api_list("logs", function="covered", limit=8000))
    assert [v["verdict"] for v in node.replay(event_id)] == ["identical"]
    again = node.api_list("logs", function="covered", limit=8000)
    assert len(again) > before and not [p for p in telling if any(p in x["message"] for x in again)]
    _, record = run(node, "plain", wrapped)
    assert all(p in record["logs"] for p in telling)


def test_redacted_run_is_proved_by_its_digests(node):
    for fail in ("no", "fail"):
        event_id, record = run(node, "covered", json.dumps({"email": EMAIL, "do": fail}))
        assert record["status"] == ("error" if fail == "fail" else "ok")
        (verdict,) = node.replay(event_id)
        assert verdict["verdict"] == "identical", verdict
        assert EMAIL in verdict["output"]  # from the event, for whoever may replay; not stored:
        assert EMAIL not in json.dumps(node.whole_run(verdict["replay_run_id"]))


def test_short_values_leave_only_digests(node):
    event_id, record = run(node, "covered", json.dumps({"email": "ab"}))
    assert record["recording"] == "digest" and record["redacted"] == ["data.email", "subject"]
    assert record["output"] == "" and record["output_bytes"] > 0
    assert node.replay(event_id)[0]["verdict"] == "identical"


def test_digest_keeps_no_payload_and_replays(node):
    event_id, record = run(node, "digest")
    assert record["recording"] == "digest"
    assert record["output"] == record["logs"] == "" and record["output_bytes"] > 50
    assert EMAIL not in json.dumps(record)
    (verdict,) = node.replay(event_id)
    assert verdict["verdict"] == "identical", verdict
    assert EMAIL not in json.dumps(node.whole_run(verdict["replay_run_id"]))
    # Other code is seen to answer otherwise, by the digest alone.
    assert verdict["output_sha256"] == record["output_sha256"]


def test_off_keeps_what_it_cost_and_says_that_it_cannot_be_replayed(node):
    event_id, record = run(node, "off")
    assert record["recording"] == "off" and record["status"] == "ok" and record["fuel"] > 0
    assert record["env"] == {} and set(record["seed"]) == {"0"} and record["output_bytes"] == 0
    result = node.nexus("replay", event_id, "--json", check=False)
    assert result.returncode == 1
    (verdict,) = lines_of(result.stdout)
    assert verdict["verdict"] == "failed" and "recording: off" in verdict["reason"]


def test_the_store_holds_it_in_events_alone(project, guests):
    echo = project.module(guests.c("echo.c"))
    project.write({"functions": [
        function("covered", echo, redact=["data.email"]), function("digest", echo, recording="digest"), function("off", echo, recording="off"),
        function("plain", echo)]})
    with Node(project) as node:
        for name in ("covered", "digest", "off"):
            for data in (DATA, json.dumps({"email": EMAIL, "do": "fail"})):
                event_id, _ = run(node, name, data)
                node.replay(event_id, check=False)
        wait_until(lambda: EMAIL.encode() in stored(node, "NX_EVENTS"), "the event on disk", 10)
        assert EMAIL.encode() not in stored(node, "NX_RUNS")
        assert EMAIL.encode() not in stored(node, "NX_REPLAYS")
        assert len(stored(node, "NX_RUNS")) > 1000 and len(stored(node, "NX_REPLAYS")) > 1000
        node.replay(run(node, "plain")[0])
        wait_until(lambda: EMAIL.encode() in stored(node, "NX_RUNS") and EMAIL.encode() in stored(node, "NX_REPLAYS"), "a full recording on disk", 10)
        # And in the node's log of the function that says so.
        assert not [x for x in node.api_list("logs", function="covered", limit=1000) if EMAIL in x["message"]]
        assert [x for x in node.api_list("logs", function="covered", limit=1000) if "log of" in x["message"] and "***" in x["message"]]


@pytest.mark.parametrize("name", ["covered", "digest", "off"])
def test_first_caller_is_answered_and_a_duplicate_is_told_why_not(node, name):
    key = {"Idempotency-Key": f"key-{name}", "Content-Type": "application/json"}
    first = node.call(name, DATA, headers=key)
    assert first.status_code == 200 and EMAIL in first.text
    again = node.call(name, DATA, headers=key)
    assert again.status_code == 410, again.text
    assert again.json()["code"] == "not_recorded" and EMAIL not in again.text
    assert again.headers["nexus-event-id"] == first.headers["nexus-event-id"]


@pytest.mark.parametrize("name, why", [("calls-covered", "an answer of its host calls was redacted"), ("calls-digest", "the answers of its host calls were not kept")])
def test_hidden_answers_are_not_stored_and_say_so_in_a_replay(node, name, why):
    run(node, name)
    event_id, record = run(node, name)  # reads what the first one wrote, in which the address stands
    assert record["status"] == "ok" and len(record["effects"]) == 2 and len(record["emitted"]) == 1
    assert EMAIL not in json.dumps(record)
    result = node.nexus("replay", event_id, "--json", check=False)
    assert result.returncode == 1
    (verdict,) = lines_of(result.stdout)
    assert verdict["verdict"] == "failed" and why in verdict["reason"]
    assert node.replay(event_id, "--effects", "deny", check=False)[0]["verdict"] in ("identical", "diverged")  # needs no recorded answer


# ---- bundles


def offline(file, home):
    result = nexus("replay", file, "--json", env=home, check=False)
    return result.returncode, lines_of(result.stdout)[0]


@pytest.fixture
def home(tmp_path):
    return environment(XDG_CACHE_HOME=tmp_path / "cache")


def raw(file):
    """Every section of a bundle, unpacked."""
    import zlib
    data, at, all_of_it = file.read_bytes(), 4, b""
    while data[at]:
        size = int.from_bytes(data[at + 10:at + 18], "little")
        content = data[at + 50:at + 50 + size]
        all_of_it += zlib.decompress(content) if data[at + 1] else content
        at += 50 + size
    return all_of_it


def test_bundle_of_a_redacted_run_holds_no_value_and_repeats(node, home, tmp_path):
    event_id, record = run(node, "covered")
    (made,) = node.json("bundle", event_id, "-o", tmp_path / "case.nxb")
    assert made["redacted"] == ["data.email", "subject"] and made["rerecorded"] is True
    assert EMAIL.encode() not in raw(tmp_path / "case.nxb")
    assert record["output_sha256"].encode() not in raw(tmp_path / "case.nxb")
    assert bytes.fromhex(record["output_sha256"]) not in raw(tmp_path / "case.nxb")
    code, verdict = offline(tmp_path / "case.nxb", home)
    assert code == 0 and verdict["verdict"] == "identical"
    assert "*" * len(EMAIL) in verdict["output"]
    people = nexus("replay", tmp_path / "case.nxb", env=home).stdout
    assert "redacted in this bundle: data.email, subject" in people
    assert node.api(f"events/{event_id}/data").text == DATA  # the log's event is as it was


def test_bundle_redacts_what_is_asked_for(node, home, tmp_path):
    event_id, _ = run(node, "plain")
    node.nexus("bundle", event_id, "-o", tmp_path / "whole.nxb")
    assert EMAIL.encode() in raw(tmp_path / "whole.nxb")
    said = node.nexus("bundle", event_id, "-o", tmp_path / "case.nxb", "--redact", "data.email", "--redact", "data.n").stdout
    assert "redacted: data.email, data.n" in said
    assert EMAIL.encode() not in raw(tmp_path / "case.nxb")
    assert offline(tmp_path / "case.nxb", home)[0] == 0
    refused = node.nexus("bundle", event_id, "-o", tmp_path / "x.nxb", "--redact", "email", check=False)
    assert refused.returncode == 2 and "begins with data" in refused.stderr


def test_bundle_tells_that_a_redacted_event_comes_out_otherwise(node, home, tmp_path):
    event_id, record = run(node, "plain", json.dumps({"do": "fail"}))
    assert record["status"] == "error"
    said = node.nexus("bundle", event_id, "-o", tmp_path / "case.nxb", "--redact", "data.do").stdout
    assert "does not come out as in production (error)" in said
    assert offline(tmp_path / "case.nxb", home)[0] == 0


def test_bundle_is_refused_where_the_function_would_ask_for_something_else(node, tmp_path):
    event_id, _ = run(node, "calls-covered")
    refused = node.nexus("bundle", event_id, "-o", tmp_path / "x.nxb", check=False)
    assert refused.returncode == 5 and "not recorded" in refused.stderr
    assert not (tmp_path / "x.nxb").exists()


def test_bundles_of_digest_and_off(node, home, tmp_path):
    event_id, _ = run(node, "digest")
    node.nexus("bundle", event_id, "-o", tmp_path / "digest.nxb")
    assert offline(tmp_path / "digest.nxb", home)[1]["verdict"] == "identical"
    event_id, _ = run(node, "off")
    node.nexus("bundle", event_id, "-o", tmp_path / "off.nxb")
    code, verdict = offline(tmp_path / "off.nxb", home)
    assert code == 1 and "recording: off" in verdict["reason"]


def test_settings_are_checked(project):
    project.write("version: v1\nfunctions:\n- name: f\n  on: {event: a}\n  code: f.wasm\n  recording: some\n  redact: [email, data.x]\n")
    result = project.nexus("validate", "--no-code", check=False)
    assert result.returncode == 2
    assert 'functions[0].recording' in result.stdout + result.stderr
    assert 'functions[0].redact[0]' in result.stdout + result.stderr and "data.email" in result.stdout + result.stderr


def test_no_covered_value_stands_in_the_reason_of_a_pause_or_a_difference(project, guests, tmp_path):
    """What a function says of its end, and what it asks for that it did not ask then, may hold what a record may not."""
    outside = tmp_path / "key.c"
    outside.write_text(KEY_OF_THE_INPUT)
    panics = tmp_path / "panics.rs"
    panics.write_text(PANIC_WITH_THE_INPUT)
    other = tmp_path / "other.c"
    other.write_text(KEY_OF_THE_INPUT.replace('"of/', '"of/other/'))
    key, value = "alice-liddell-of-oxford", '{"email": "alice-liddell-of-oxford"}'
    code = project.module(guests.c(outside, "-I", str(ROOT / "sdk" / "c")))
    project.write({"functions": [
        function("covered", code, redact=["data.email"], key_value_stores=["default"]),
        function("panics", project.module(guests.rust(panics)), redact=["data"], retry={"on_exhausted": "pause"})]})
    with Node(project) as node:
        node.run_of(node.publish("covered", value))
        against = ("--against", guests.c(other, "-I", str(ROOT / "sdk" / "c")))
        node.nexus("replay", "--all", "--function", "covered", *against, check=False)
        node.nexus("replay", "@last", *against, check=False)
        text = node.nexus("jobs", "show", "@last", "--json").stdout
        assert '"diverged":1' in text and key not in text
        node.publish("panics", f'"{key}"')
        node.wait_log("function 'panics' is PAUSED")
        assert key not in node.log()
        (registry,) = project.data_dir.rglob("KV_nx-registry-default")
        wait_until(lambda: any(b"attempt 1 of event" in p.read_bytes() for p in registry.rglob("*.blk")), "the reason on disk", 10)
        assert not any(key.encode() in p.read_bytes() for p in registry.rglob("*.blk"))


PANIC_WITH_THE_INPUT = """
use std::io::Read;
#[no_mangle]
pub extern "C" fn handle_event() {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).unwrap();
    panic!("not of {}", text);
}
"""
KEY_OF_THE_INPUT = """
#include <stdio.h>
#include <string.h>
#include "nexus.h"

void handle_event(void)
{
    char input[512], key[600];
    input[fread(input, 1, sizeof input - 1, stdin)] = 0;
    char *at = strstr(input, "alice");
    snprintf(key, sizeof key, "of/%.23s", at ? at : "nobody");
    nexus_kv_put("default", key, "x", 1, -1, NULL);
    printf("done\\n");
    fflush(stdout);
}
"""


def test_summary_of_a_range_holds_no_covered_value(node, guests, tmp_path):
    """The difference to other code is told without the values that a record may not keep."""
    secret = "range.only@example.com"
    begin = datetime.now(timezone.utc).isoformat()  # the runs of other tests are not in the range
    for name in ("plain", "covered"):
        run(node, name, json.dumps({"email": secret if name == "covered" else "shown@example.com"}))
    other = tmp_path / "other.c"
    other.write_text((ROOT / "tests/integration/guests/echo.c").read_text().replace('"echo', '"changed'))
    code = guests.c(other)
    for name, value, is_told in (("plain", "shown@example.com", True), ("covered", secret, False)):
        node.nexus("replay", "--since", begin, "--function", name, "--against", str(code), check=False)
        job = node.json("jobs", "list")[0]["job_id"]
        text = node.nexus("jobs", "show", job).stdout + node.nexus("jobs", "show", job, "--json").stdout
        assert "diverged" in text
        assert (value in text) == is_told, text
