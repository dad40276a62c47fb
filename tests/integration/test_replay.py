"""Replay: every recorded run repeats to the bit, and where it can't, the answer says why."""

import json
import re
import statistics

import pytest
from nexus.node import Node, Project, function
from nexus.wait import SLOW, Stopwatch, undisturbed, wait_until

KEYS = {"event_id", "function", "version", "verdict", "reason", "output_sha256", "fuel", "duration_ms", "is_replay", "original_timestamp", "namespace"}


def settings(project, guests, probe=None):
    probe = probe or project.module(guests.rust("probe.rs"))
    return {"functions": [
        function("probe", probe, timeout="10s"),
        function("quick", probe, timeout="200ms"),
        function("small", probe, memory="4Mi"),
        function("terse", probe, max_output="1Ki", max_log="1Ki"),
        function("deep", project.module(guests.wat("recurse.wat"))),
        function("poor", probe, fuel=2_000_000),
        function("whole", probe, input="cloudevent"),
        function("emits", probe, output={"event": "emitted"}),
        function("command", project.module(guests.rust("command.rs", kind="bin"))),
        function("twin-a", probe, on={"event": "twin"}),
        function("twin-b", probe, on={"event": "twin"}, env={"WHO": "b"}),
    ]}


@pytest.fixture(scope="module")
def node(module_project, guests):
    module_project.write(settings(module_project, guests))
    with Node(module_project) as node:
        yield node


def recorded(node, name, content, **options):
    event_id = node.publish(name, content, **options)
    return event_id, node.run_of(event_id)


@pytest.mark.parametrize("name, content, status, why", [
    ("probe", "plain text", "ok", None),
    ("probe", "", "ok", None),
    ("probe", "binary", "ok", None),
    ("probe", "env", "ok", None),
    ("probe", "world", "ok", None),
    ("probe", "log 50", "ok", None),
    ("probe", "sleep 20", "ok", None),
    ("probe", "file /etc/passwd", "ok", None),
    ("probe", "grow 32", "ok", None),
    ("probe", "output 300000", "ok", None),
    ("command", "a command", "ok", None),
    ("whole", '{"a": 1}', "ok", None),
    ("emits", "an event", "ok", None),
    ("terse", "log 2000", "ok", None),
    ("terse", "gasp 2000", "error", None),  # its last words are behind what is kept of its log
    ("probe", "gasp 2", "error", "memory_limit"),
    ("probe", "trap", "error", "trap"),
    ("probe", "panic", "error", None),
    ("probe", "partial", "error", "trap"),
    ("probe", "exit 7", "error", "exit"),
    ("deep", "", "error", "stack_overflow"),
    ("small", "grow 64", "error", "memory_limit"),
    ("terse", "output 5000000", "error", "output_limit"),
    ("poor", "spin", "error", "fuel"),
    ("quick", "spin", "timeout", "deadline"),
    ("quick", "sleep 60000", "timeout", "deadline"),
])
def test_every_outcome_repeats_identically(node, name, content, status, why):
    event_id, run = recorded(node, name, content)
    assert run["status"] == status
    assert why is None or run["why"] == why
    for _ in range(2):
        (verdict,) = node.replay(event_id)
        assert verdict["verdict"] == "identical", verdict
        assert verdict["reason"] == ""
        assert verdict["status"] == status
        assert verdict["output_sha256"] == verdict["original"]["output_sha256"]
        if why != "stack_overflow":
            assert verdict["fuel"] == run["fuel"]


def test_guest_that_reads_clock_randomness_and_hashmaps_repeats(node):
    """The output itself, not only its digest: what was random and what was the time then is so again."""
    answer = node.call("probe", "world")
    event_id = answer.headers["nexus-event-id"]
    for _ in range(3):
        (verdict,) = node.replay(event_id)
        assert verdict["output"] == answer.text
        assert verdict["verdict"] == "identical"
    assert node.call("probe", "world").text != answer.text


def test_replayed_sleep_does_not_wait(node):
    event_id, _ = recorded(node, "probe", "sleep 9000")
    with Stopwatch() as watch:
        (verdict,) = node.replay(event_id)
    assert verdict["verdict"] == "identical" and verdict["output"].startswith("slept 9000")
    assert watch.ms < 7000 * SLOW


def test_replay_survives_a_restart_of_the_node(project, guests):
    project.write(settings(project, guests))
    with Node(project) as node:
        ids = [recorded(node, "probe", text)[0] for text in ("world", "exit 3", "env")]
        node.restart()
        assert [v["verdict"] for i in ids for v in node.replay(i)] == ["identical"] * 3
        # Without its cache of compiled code, too.
        node.stop()
        for cached in (project.data_dir / "cache").rglob("*.cwasm"):
            cached.unlink()
        node.start()
        assert [v["verdict"] for i in ids for v in node.replay(i)] == ["identical"] * 3


def test_each_function_of_an_event_is_repeated(node):
    event_id = node.publish("twin", "env")
    node.wait_runs(event_id, 2)
    assert sorted((v["function"], v["verdict"]) for v in node.replay(event_id)) == [("twin-a", "identical"), ("twin-b", "identical")]
    (only,) = node.replay(event_id, "--function", "twin-b")
    assert only["function"] == "twin-b" and "WHO=b" in only["output"]


def test_output_for_people(node):
    event_id, run = recorded(node, "probe", "say one line")
    lines = node.nexus("replay", event_id).stdout.splitlines()
    assert lines[0] == f"OK Replaying event {event_id}"
    assert f"[trace={run['trace_id']}-replay] one line" in lines
    done = [i for i, line in enumerate(lines) if re.fullmatch(r"OK Replay completed in \d+(\.\d+)?m?s", line)]
    assert done, lines
    assert any("identical" in line for line in lines[done[0]:]), lines


def test_json_keys(node):
    event_id, run = recorded(node, "probe", "keys")
    (verdict,) = node.replay(event_id)
    assert KEYS <= set(verdict)
    assert verdict["event_id"] == event_id
    assert verdict["version"] == run["version"]
    assert verdict["is_replay"] is True
    assert re.fullmatch("[0-9a-f]{64}", verdict["output_sha256"])
    assert re.match(r"\d{4}-\d\d-\d\dT", verdict["original_timestamp"])


def test_last_and_suffix_name_an_event(node):
    event_id, _ = recorded(node, "probe", "the newest")
    assert node.replay("@last")[0]["event_id"] == event_id
    assert node.replay(event_id[-10:])[0]["event_id"] == event_id
    assert node.replay(event_id.lower())[0]["event_id"] == event_id
    assert node.nexus("replay", "@last").stdout.splitlines()[0] == f"OK Replaying event {event_id}"


def test_ambiguous_suffix_is_refused_with_the_candidates(node):
    by_last = {}
    for i in range(80):
        event_id = node.publish("probe", f"{i}")
        by_last.setdefault(event_id[-1:], []).append(event_id)
    suffix = next(s for s, ids in by_last.items() if len(ids) > 1)
    result = node.nexus("replay", suffix, check=False)
    # Too short to be looked for, or found several times: in both cases a refusal that says what to do.
    assert result.returncode in (2, 5), result.stderr
    assert result.stderr.strip()


def test_unknown_id_is_exit_code_4(node):
    result = node.nexus("replay", "01ARZ3NDEKTSV4RRFFQ69G5FAV", check=False)
    assert result.returncode == 4
    assert "01ARZ3NDEKTSV4RRFFQ69G5FAV" in result.stderr
    result = node.nexus("replay", "not-an-id!", check=False)
    assert result.returncode in (2, 4)


def test_event_that_nothing_ran_is_exit_code_4(node):
    event_id = node.publish("nobody.takes.this", "x")
    result = node.nexus("replay", event_id, check=False)
    assert result.returncode == 4
    assert "no recorded run" in result.stderr


def test_unknown_function_is_exit_code_4(node):
    event_id, _ = recorded(node, "probe", "x")
    assert node.nexus("replay", event_id, "--function", "nobody", check=False).returncode == 4


def test_replays_are_recorded_with_their_metadata(node):
    event_id, run = recorded(node, "probe", "metadata")
    (verdict,) = node.replay(event_id)
    assert [r["is_replay"] for r in node.runs(event=event_id)] == [False]
    both = node.json("runs", "list", "--event", event_id, "--all")
    replays = [r for r in both if r["is_replay"]]
    assert len(replays) == 1 and len(both) == 2
    record = node.whole_run(replays[0]["run_id"])
    assert record["is_replay"] is True
    assert record["replay_of"] == run["run_id"]
    assert verdict["original_timestamp"].startswith(record["original_timestamp"].removesuffix("Z"))
    assert record["run_id"] == verdict["replay_run_id"]
    # The proof got the recorded environment, byte for byte: nothing says "replay" in it.
    assert record["env"] == node.whole_run(run["run_id"])["env"]


def test_guest_lines_of_a_replay_are_marked(node):
    event_id, run = recorded(node, "probe", "say marked line")
    node.replay(event_id)
    node.wait_log(rf"\[trace={run['trace_id']}-replay\] marked line")
    assert re.search(rf"\[trace={run['trace_id']}\] marked line", node.log())


def test_log_lines_of_a_replay_carry_its_metadata(node):
    event_id, run = recorded(node, "probe", "say a line")
    verdict = node.replay(event_id)[0]
    lines_of_trace = lambda trace: [x for x in node.api_list("logs", event=event_id) if x["trace_id"] == trace]  # noqa: E731
    wait_until(lambda: len(lines_of_trace(f"{run['trace_id']}-replay")) >= 2, "its lines", 5)  # they are written behind the answer
    lines = lines_of_trace(f"{run['trace_id']}-replay")
    assert [x["message"] for x in lines] == ["a line", "Function 'probe' replayed: identical"]
    for line in lines:
        assert line["is_replay"] is True
        assert line["original_timestamp"] == verdict["original_timestamp"]
        assert line["run_id"] == verdict["replay_run_id"]
    assert lines[1]["event"] == "replay.completed"
    of_run = lines_of_trace(run["trace_id"])
    assert len(of_run) == 3 and not any("is_replay" in x or "original_timestamp" in x for x in of_run)


def test_replay_of_a_chain_emits_nothing(node):
    event_id, _ = recorded(node, "emits", "once")
    count = lambda: len(node.api_list("events", type="emitted", limit=1000))  # noqa: E731
    before = count()
    assert node.replay(event_id)[0]["verdict"] == "identical"
    assert count() == before


def test_missing_artifact_has_its_own_exit_code(project, guests):
    from nexus import nats
    project.write(settings(project, guests))
    with Node(project) as node:
        event_id, run = recorded(node, "probe", "x")
        artifact = node.whole_run(run["run_id"])["artifact"]
        project.write({"functions": [function("other", project.module(guests.wat("answer.wat", TEXT="ok", LENGTH=2)))]})
        wait_until(lambda: [f["name"] for f in node.api_list("functions")] == ["other"], "the reload", 10, on_failure=node.log)

        async def forget(connection):
            js = connection.jetstream()
            store = await js.object_store("nx-artifacts-default")
            for info in await store.list():
                if info.name == artifact or artifact in info.name:
                    await store.delete(info.name)

        nats.run(nats.private_url(project.data_dir), forget)
        node.stop()
        for cached in (project.data_dir / "cache").rglob("*"):
            if cached.is_file():
                cached.unlink()
        node.start()
        result = node.nexus("replay", event_id, check=False)
        assert result.returncode == 11, result.stdout + result.stderr
        assert artifact[:12] in result.stdout + result.stderr
        (verdict,) = [json.loads(x) for x in node.nexus("replay", event_id, "--json", check=False).stdout.splitlines()]
        assert verdict["verdict"] == "failed" and verdict["reason"]


def test_replay_against_other_code_diverges_and_says_where(node, guests, tmp_path):
    event_id, _ = recorded(node, "probe", "plain text")
    other = Project(tmp_path)
    module = other.module(guests.wat("answer.wat", TEXT="something else", LENGTH=14), "other.wasm")
    result = node.nexus("replay", event_id, "--against", str(tmp_path / module), "--json", check=False)
    assert result.returncode == 10, result.stdout + result.stderr
    (verdict,) = [json.loads(x) for x in result.stdout.splitlines()]
    assert verdict["verdict"] == "diverged"
    assert verdict["reason"]
    assert verdict["output"] == "something else"
    assert verdict["first_difference"]["call"] == 0
    assert verdict["first_difference"]["recorded"] != verdict["first_difference"]["replayed"]
    text = node.nexus("replay", event_id, "--against", str(tmp_path / module), check=False).stdout
    assert "diverged" in text


MANY = """#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
void handle_event(void)
{
    struct timespec t;
    char c;
    if (!getenv("EVENT_ID")) return;
    for (int i = 0; i < 5000; i++) {
        clock_gettime(CLOCK_REALTIME, &t);
        if (i == OTHER) getentropy(&c, 1);
    }
    puts(OTHER < 0 ? "as ever" : "otherwise");
    fflush(stdout);
}
"""


def test_divergence_far_behind_what_is_kept_tells_both_calls(project, guests, tmp_path):
    """A record keeps 4 kB of the trace and marks of 2,048 calls; the recorded code makes the rest again. That the guest reads another environment hides nothing."""
    codes = []
    for name, other in (("one", -1), ("two", 4700), ("three", 20)):
        (tmp_path / f"{name}.c").write_text(MANY.replace("OTHER", str(other)))
        codes.append(guests.c(tmp_path / f"{name}.c"))
    project.write({"functions": [function("many", project.module(codes[0]))]})
    with Node(project) as node:
        event_id = node.publish("many", b"")
        node.run_of(event_id)
        node.nexus("bundle", event_id, "-o", "many.nxb")
        for code, at in ((codes[1], 4703), (codes[2], 23)):
            (verdict,) = node.replay(event_id, "--against", code, check=False)
            offline = json.loads(node.nexus("replay", "many.nxb", "--against", code, "--json", check=False).stdout)
            compared = json.loads(node.nexus("diff", event_id, "recorded", code, "--json", check=False).stdout)
            for first in (verdict["first_difference"], offline["first_difference"]):
                assert first["call"] == at, first
                assert first["recorded"].startswith("clock_time_get(realtime) -> ") and first["replayed"].startswith("random_get(")
                assert first["cause"] == "it reads the clock less often than before" and "handle_event" in json.dumps(first["at"])
            first = compared["diff"]["first_call"]
            assert (first["index"], first["before"], first["after"]) == (at, verdict["first_difference"]["recorded"], verdict["first_difference"]["replayed"])
            assert "handle_event" in json.dumps(first["before_at"]) and "handle_event" in json.dumps(first["after_at"])


def test_replay_on_other_code_tells_the_guest(node, guests, tmp_path):
    event_id, run = recorded(node, "probe", "env")
    other = guests.rust("probe.rs", options=("-C", "link-arg=--strip-all"))
    result = node.nexus("replay", event_id, "--against", str(other), "--json", check=False)
    (verdict,) = [json.loads(x) for x in result.stdout.splitlines()]
    env = dict(line.split("=", 1) for line in verdict["output"].splitlines())
    assert env["NEXUS_IS_REPLAY"] == "true"
    assert env["NEXUS_ORIGINAL_TIMESTAMP"] == verdict["original_timestamp"]
    assert env["TRACE_ID"] == run["trace_id"]


def test_whole_replay_process_is_quick(node):
    """The mission: 50 ms; the design: 10 ms. The whole process counts: start, look-ups, execution, record, output.

    Where one that does nothing takes long as well, the machine is busy: then it is some of those."""
    event_id, _ = recorded(node, "probe", "world")
    node.replay(event_id)
    times, nothing = [], []
    for _ in range(20):
        with Stopwatch() as watch:
            node.nexus("replay", event_id)
        times.append(watch.ms)
        with Stopwatch() as watch:
            node.nexus("version")
        nothing.append(watch.ms)
    print(f"nexus replay: median {statistics.median(times):.1f} ms, worst {max(times):.1f} ms; nexus version: {statistics.median(nothing):.1f} ms")
    assert undisturbed(times) <= max(50 * SLOW, 8 * undisturbed(nothing))


def test_many_replays_at_once(node):
    from concurrent.futures import ThreadPoolExecutor
    ids = [recorded(node, "probe", text)[0] for text in ("world", "env", "output 200000", "exit 4", "log 20")]
    with ThreadPoolExecutor(6) as pool:
        def one(i):
            answer = node.client.post(f"{node.admin_url}/api/v1/replays", json={"event_id": ids[i % len(ids)]})
            return [json.loads(x)["verdict"] for x in answer.text.splitlines()]

        assert list(pool.map(one, range(60))) == [["identical"]] * 60
