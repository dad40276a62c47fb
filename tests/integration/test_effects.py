"""Host calls of functions: key-value, emitted events, grants; and what replays make of them (docs/EFFECTS.md)."""

import json
import re
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from nexus import nats
from nexus.node import Node, function, nexus
from nexus.paths import GUESTS
from nexus.wait import wait_until

SDK = "../../../sdk/rust/src/lib.rs"


@pytest.fixture(scope="module")
def node(module_project, guests):
    does = module_project.module(guests.rust("effects.rs"))
    with socket.socket() as server:  # takes connections, and answers nobody
        server.bind(("127.0.0.1", 0))
        server.listen()
        silent = f"http://127.0.0.1:{server.getsockname()[1]}"
        module_project.write({"functions": [
            function("does", does, key_value_stores=["default"], emit=["chained", "many.*"], allowed_outbound_hosts=[silent], timeout="10s"),
            function("quick", does, allowed_outbound_hosts=[silent], timeout="300ms"),
            function("denied", does, key_value_stores=["other"]),
            function("follows", does, on={"event": "chained"}),
            function("loops", does, on={"event": "looped"}, emit=["looped"]),
        ]})
        with Node(module_project) as node:
            node.silent = silent
            yield node


def do(node, text, name="does"):
    answer = node.call(name, text)
    return answer.text, answer.headers["nexus-event-id"]


def verdicts(node, event_id, *arguments, exit_code=0):
    result = node.nexus("replay", event_id, *arguments, "--json", check=False)
    assert result.returncode == exit_code, result.stdout + result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_counter_over_many_events_and_replays_of_all(node):
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: do(node, "count visits"), range(60)))
    # Compare-and-set lost none of them.
    assert sorted(int(text) for text, _ in answers) == list(range(1, 61))
    # The store has moved on; each run gets the answers of its own time, and none of them writes.
    for text, event_id in answers[::6]:
        (verdict,) = verdicts(node, event_id)
        assert (verdict["verdict"], verdict["output"], verdict["effects"]) == ("identical", text, "recorded")
    assert do(node, "get default visits")[0].split()[1] == "60"


def test_record_holds_request_and_answer_in_order(node):
    text, event_id = do(node, "put kept value-1 any")
    run = node.whole_run(node.run_of(event_id)["run_id"])
    (effect,) = run["effects"]
    assert (effect["name"], effect["status"], effect["answer"]) == ("kv.put", "OK", f"{text}\n")
    assert len(effect["request_sha256"]) == 64 and effect["clock_ms"] > 0


def test_compare_and_set_conflicts(node):
    revision, _ = do(node, "put cas one absent")
    text, event_id = do(node, "put cas two absent")
    assert text == "Conflict: default/cas exists"
    assert do(node, f"put cas two {revision}")[0].isdigit()
    assert do(node, f"put cas three {revision}")[0] == f"Conflict: default/cas has another revision than {revision}"
    assert do(node, "delete cas")[0] == "deleted"
    assert do(node, "get default cas")[0] == "none"
    assert verdicts(node, event_id)[0]["verdict"] == "identical"


def test_clock_catches_up_with_real_time(node):
    text, event_id = do(node, "clock")
    assert int(text) > 20, "a round trip to the store takes longer than two reads of the clock"
    assert verdicts(node, event_id)[0]["output"] == text


def test_emitted_events_continue_the_trace(node):
    text, event_id = do(node, "emit chained 2")
    assert text == "emitted 2"
    run = node.whole_run(node.run_of(event_id)["run_id"])
    emitted = [e["event_id"] for e in run["emitted"]]
    assert [e["type"] for e in run["emitted"]] == ["chained", "chained"] and len(set(emitted)) == 2
    for i, child in enumerate(emitted):
        event = node.api(f"events/{child}").json()
        assert event["trace_id"] == run["trace_id"]
        assert event["source"] == "/functions/does" and event["subject"] == f"s/{i}"
        assert node.api(f"events/{child}/data").json() == {"i": i}
        assert node.run_of(child, function="follows")["trace_id"] == run["trace_id"]
    # A replay publishes none.
    (verdict,) = [v for v in verdicts(node, event_id) if v["function"] == "does"]
    assert verdict["verdict"] == "identical"
    replay = node.whole_run(verdict["replay_run_id"])
    assert [e["sha256"] for e in replay["emitted"]] == [e["sha256"] for e in run["emitted"]]
    assert len(node.api_list("events", type="chained", limit=100)) == 2


def test_failed_attempt_emits_nothing(node):
    answer = node.post("does", "fail many.failed", headers={"Prefer": "wait=20"})
    assert answer.status_code == 502
    event_id = answer.json()["event_id"]
    assert node.whole_run(node.run_of(event_id)["run_id"])["emitted"] == []
    assert node.api_list("events", type="many.failed", limit=10) == []
    assert verdicts(node, event_id)[0]["verdict"] == "identical"


def test_many_events_all_or_none(node):
    assert do(node, "emit many.most 256")[0] == "emitted 256"
    assert len(node.api_list("events", type="many.most", limit=1000)) == 256
    text, event_id = do(node, "emit many.more 257")
    assert text == "Limit: a run emits at most 256 events, of 8 MiB together"  # the function goes on: the first 256 count
    assert verdicts(node, event_id)[0]["verdict"] == "identical"


def test_loop_of_emitted_events_ends_at_the_hop_limit(node):
    node.publish("looped", "loop")
    # An event is stored before the record of the run that emits it, so the last two records may come in either order.
    runs = wait_until(lambda: len(found := node.runs(function="loops", limit=100)) == 17 and found, "the end of the loop", 20)
    (last,) = [r for r in runs if r["status"] != "ok"]
    assert last["why"] == "hop_limit"
    assert len({r["trace_id"] for r in runs}) == 1
    assert "longer than hop_limit 16" in node.whole_run(last["run_id"])["message"]


def test_large_answers_are_kept_and_replayed(node):
    assert do(node, "fill large 900")[0].isdigit()
    text, event_id = do(node, "sum large 12")  # more than a message of the log holds
    assert text == str(12 * 900 * 1024)
    assert do(node, "fill large 1")[0].isdigit()
    assert verdicts(node, event_id)[0]["output"] == text
    do(node, "fill large 900")
    answer = node.post("does", "sum large 20", headers={"Prefer": "wait=20"})
    assert answer.status_code == 502 and answer.json()["code"] == "effects_limit", answer.text
    assert verdicts(node, answer.json()["event_id"])[0]["verdict"] == "identical"


def test_runs_show_lists_effects(node):
    _, event_id = do(node, "count shown")
    shown = node.nexus("runs", "show", node.run_of(event_id)["run_id"]).stdout
    assert re.search(r"effect +0 kv\.get NOT_FOUND\neffect +1 kv\.put OK\n", shown), shown


@pytest.mark.parametrize("text, key", [
    ("count x", 'key_value_stores: ["default"]'),
    ("emit chained 1", 'emit: ["chained"]'),
    ("http https://api.example.com/v1?key=secret", 'allowed_outbound_hosts: ["https://api.example.com"]'),
])
def test_denied_by_default_names_the_key(node, text, key):
    answer, event_id = do(node, text, "denied")
    assert answer == f"Denied: it is not granted; add `{key}` to the function in nexus.yaml"
    node.wait_log(r"WARN .*was denied: it is not granted; add `" + key.replace("[", r"\[").replace("]", r"\]"))
    assert "secret" not in node.log(whole=True)
    assert verdicts(node, event_id)[0]["verdict"] == "identical"


def test_policies_of_a_replay(node):
    before = int(do(node, "count policy")[0])
    text, event_id = do(node, "count policy")
    assert int(text) == before + 1
    (verdict,) = verdicts(node, event_id, "--effects", "deny", exit_code=10)
    assert verdict["verdict"] == "diverged" and verdict["output"].startswith("Denied: this replay denies all effects")
    assert do(node, "get default policy")[0].split()[1] == text
    # Live: it counts once more, and only when that is said.
    result = node.nexus("replay", event_id, "--effects", "live", check=False)
    assert result.returncode == 2 and "--yes" in result.stderr
    assert do(node, "get default policy")[0].split()[1] == text
    (verdict,) = verdicts(node, event_id, "--effects", "live", "--yes", exit_code=10)
    assert verdict["output"] == str(int(text) + 1) and verdict["effects"] == "live"
    assert do(node, "get default policy")[0].split()[1] == str(int(text) + 1)
    node.wait_log(r"WARN .*replayed with live effects")
    # And the proof still holds.
    assert verdicts(node, event_id)[0]["verdict"] == "identical"
    answer = node.client.post(f"{node.admin_url}/api/v1/replays", json={"event_id": event_id, "effects": "sometimes"})
    assert answer.status_code == 400 and "recorded" in answer.text


def test_other_code_that_asks_otherwise_diverges_at_that_call(node, guests):
    text = (GUESTS / "effects.rs").read_text()
    assert text.count("open(*store).get(key)?") == 1 and text.count(SDK) == 1
    other = guests.folder / "other-effects.rs"
    other.write_text(text.replace("open(*store).get(key)?", 'open(*store).get(&format!("{}-other", key))?').replace(SDK, str((GUESTS / SDK).resolve())))
    _, event_id = do(node, "get default visits")
    (verdict,) = verdicts(node, event_id, "--function", "does", "--against", str(guests.rust(other)), exit_code=10)
    assert re.fullmatch(r"host call \d+, kv\.get default/visits-other, is not in the recording, which has another request of kv\.get as effect 0",
                        verdict["reason"])
    assert verdict["status"] == "error"


@pytest.mark.timeout(60)
def test_timeout_inside_a_host_call_replays(node):
    answer = node.post("quick", f"http {node.silent}/", headers={"Prefer": "wait=20"})
    assert answer.status_code == 504, answer.text
    event_id = answer.json()["event_id"]
    run = node.whole_run(node.run_of(event_id)["run_id"])
    assert run["message"].startswith("did not finish within 300 ms: interrupted in host call ")
    assert run["effects"][-1]["status"] == "INTERRUPTED"
    (verdict,) = verdicts(node, event_id)
    assert (verdict["verdict"], verdict["status"]) == ("identical", "timeout")


def test_slow_calls_do_not_hold_up_others(node):
    slow = [threading.Thread(target=node.post, args=("quick", f"http {node.silent}/"), kwargs={"headers": {"Prefer": "wait=20"}}) for _ in range(6)]
    for thread in slow:
        thread.start()
    assert do(node, "reads 3")[0] == "read"
    for thread in slow:
        thread.join()


def test_store_is_a_bucket_that_nats_reads(node):
    revision, _ = do(node, "put from/function hello any")

    async def job(connection):
        bucket = await connection.jetstream().key_value("nx-kv-default_default")
        entry = await bucket.get("from/function")
        await bucket.put("from/outside", b"good day")
        return entry

    entry = nats.run(nats.private_url(node.project.data_dir), job)
    assert (entry.value, str(entry.revision)) == (b"hello", revision)
    assert do(node, "get default from/outside")[0].endswith(" good day")


def test_validate_and_inspect_name_the_grants_that_a_module_needs(project, guests):
    does = project.module(guests.rust("effects.rs"))
    project.write({"functions": [function("bare", does, key_value_stores=["default"])]})
    result = project.nexus("validate")
    assert "note: bare: host calls that its module can make will be denied without `emit` in nexus.yaml: emit" in result.stderr
    assert "`allowed_outbound_hosts` in nexus.yaml: http_request" in result.stderr and "key_value_stores" not in result.stderr
    keys = {g["key"]: g["calls"] for g in project.json("inspect", guests.rust("effects.rs"))[0]["grants"]}
    assert keys == {"allowed_outbound_hosts": ["http_request"], "key_value_stores": ["kv_get", "kv_put", "kv_delete"], "emit": ["emit"]}
