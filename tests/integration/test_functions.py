"""How a run can end, what a guest sees, and what starts it. After each failure the node answers on."""

import json
import re
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from nexus import nats
from nexus.node import Node, Project, function
from nexus.wait import SLOW, Stopwatch, wait_until


@pytest.fixture(scope="module")
def node(module_project, guests):
    probe = module_project.module(guests.rust("probe.rs"))
    module_project.write({"functions": [
        function("probe", probe, timeout="10s"),
        function("quick", probe, timeout="200ms"),
        function("small", probe, memory="4Mi"),
        function("terse", probe, max_output="1Ki", max_log="1Ki"),
        function("poor", probe, fuel=2_000_000),
        function("debug", module_project.module(guests.rust("probe.rs", options=["-g", "-C", "strip=none"]))),
        function("loop", module_project.module(guests.wat("loop.wat")), timeout="150ms"),
        function("deep", module_project.module(guests.wat("recurse.wat"))),
        function("hostile", module_project.module(guests.wat("out_of_bounds.wat"))),
        function("command", module_project.module(guests.rust("command.rs", kind="bin"))),
        function("surroundings", probe, env={"GREETING": "hello wörld", "EMPTY": ""}),
        function("large", probe, max_output="32Mi"),
        function("largest", probe, max_output="64Mi"),
        function("large-emitter", probe, max_output="32Mi", output={"event": "too.large"}),
        function("single", probe, concurrency=1),
        function("whole", probe, input="cloudevent"),
        function("raw", probe, on={"nats": "sensors.*.temperature"}),
        function("raw-wide", probe, on={"nats": ["sensors.>", "alarms"]}),
    ]})
    with Node(module_project) as node:
        yield node


def ended(node, name, content, **settings):
    """The whole record of the run that this input starts; the node must answer afterwards."""
    event_id = node.publish(name, content, **settings)
    run = node.whole_run(node.run_of(event_id)["run_id"])
    assert node.call("probe", "alive").text == "alive"
    return run


# ---- outcomes


def test_trap_is_an_error_with_backtrace(node):
    run = ended(node, "probe", "trap")
    assert (run["status"], run["why"]) == ("error", "trap")
    assert "unreachable" in run["message"]
    assert "handle_event" in run["backtrace"]


def test_backtrace_of_a_debug_build_names_source_lines(node):
    """By the line tables of the module, in a child of its own; the record itself keeps names and offsets."""
    run = ended(node, "debug", "panic")
    assert re.search(r"handle_event\S* at \S*probe\.rs:\d+", run["backtrace"])


def test_panic_is_an_error_whose_text_is_logged(node):
    run = ended(node, "probe", "panic")
    assert run["status"] == "error"
    assert "the guest gives up" in run["logs"]


def test_exit_code_is_an_error_with_the_code(node):
    run = ended(node, "probe", "exit 7")
    assert (run["status"], run["why"], run["exit_code"]) == ("error", "exit", 7)


def test_exit_zero_is_ok(node):
    run = ended(node, "probe", "exit 0")
    assert run["status"] == "ok"


@pytest.mark.parametrize("name, content", [("quick", "spin"), ("loop", "")])
def test_endless_loop_is_a_timeout(node, name, content):
    run = ended(node, name, content)
    assert (run["status"], run["why"]) == ("timeout", "deadline")
    assert 100 <= run["duration_ms"] < 5000 * SLOW
    assert run["fuel"] > 0


def test_sleep_past_the_timeout_is_a_timeout(node):
    run = ended(node, "quick", "sleep 60000")
    assert (run["status"], run["why"]) == ("timeout", "deadline")
    assert run["duration_ms"] < 5000 * SLOW


def test_memory_over_the_limit_is_an_error(node):
    run = ended(node, "small", "grow 64")
    assert (run["status"], run["why"]) == ("error", "memory_limit")
    assert run["memory_bytes"] <= 4 << 20


def test_memory_below_the_limit_is_ok(node):
    run = ended(node, "probe", "grow 32")
    assert (run["status"], run["output"]) == ("ok", "held 32 MiB")
    assert 32 << 20 <= run["memory_bytes"] <= 128 << 20


def test_output_over_the_limit_is_an_error(node):
    run = ended(node, "terse", "output 5000000")
    assert (run["status"], run["why"]) == ("error", "output_limit")
    assert len(run["output"]) <= 1024


def test_output_at_the_limit_is_ok(node):
    run = ended(node, "terse", "output 1024")
    assert (run["status"], run["output_bytes"]) == ("ok", 1024)


def test_output_larger_than_a_message_is_kept_and_repeats(node):
    """12 MB: over the log's largest message, so the record's body lies in the object store."""
    answer = node.call("large", "output 12000000")
    assert answer.status_code == 200 and answer.content == b"x" * 12_000_000
    event_id = answer.headers["nexus-event-id"]
    assert node.run_of(event_id)["status"] == "ok"
    (verdict,) = node.replay(event_id)
    assert (verdict["verdict"], len(verdict["output"])) == ("identical", 12_000_000)


def test_the_largest_output_is_shown_and_repeats(node):
    event_id = node.publish("largest", f"output {64 << 20}")
    run = node.whole_run(node.run_of(event_id, deadline=60)["run_id"])
    assert run["status"] == "ok" and len(run["output"]) == 64 << 20
    assert [v["verdict"] for v in node.replay(event_id)] == ["identical"]


def test_output_too_large_for_an_event_is_an_error(node):
    run = ended(node, "large-emitter", "output 12000000")
    assert (run["status"], run["why"]) == ("error", "emit")
    assert run["message"]
    assert node.api_list("events", type="too.large") == []
    assert [v["verdict"] for v in node.replay(run["event_id"])] == ["identical"]


def test_logs_over_the_limit_are_cut_and_counted(node):
    run = ended(node, "terse", "log 2000")
    assert run["status"] == "ok"
    assert len(run["logs"]) <= 1024
    assert run["logs_bytes"] == sum(len(f"line {i}\n") for i in range(2000))


def test_deep_recursion_is_a_stack_overflow(node):
    run = ended(node, "deep", "")
    assert (run["status"], run["why"]) == ("error", "stack_overflow")


def test_fuel_used_up_is_an_error(node):
    run = ended(node, "poor", "spin")
    assert (run["status"], run["why"]) == ("error", "fuel")
    assert run["fuel"] <= 2_000_000
    assert ended(node, "poor", "small")["status"] == "ok"


def test_output_before_a_trap_is_kept(node):
    run = ended(node, "probe", "partial")
    assert (run["status"], run["output"]) == ("error", "half an answer")


def test_pointers_outside_memory_harm_nobody(node):
    run = ended(node, "hostile", "x")
    assert (run["status"], run["why"]) == ("error", "trap")


def test_outcomes_are_counted(node):
    before = node.client.get(f"{node.admin_url}/metrics").text
    ended(node, "probe", "exit 3")

    def count(text, status):
        found = re.search(rf'^nexus_runs_total\{{[^}}]*function="probe"[^}}]*status="{status}"[^}}]*\}} (\S+)', text, re.M)
        return float(found.group(1)) if found else 0.0

    after = node.client.get(f"{node.admin_url}/metrics").text
    assert count(after, "error") == count(before, "error") + 1
    assert re.search(r'^nexus_run_memory_bytes_bucket\{[^}]*function="probe"[^}]*le="4194304"[^}]*\} [1-9]', after, re.M), after


def test_runs_are_found_by_status_and_function(node):
    event_id = node.publish("probe", "exit 9")
    run = node.run_of(event_id)
    assert event_id in [r["event_id"] for r in node.runs(status="error", function="probe", limit=5)]
    assert event_id not in [r["event_id"] for r in node.runs(status="ok", limit=20)]
    assert event_id not in [r["event_id"] for r in node.runs(function="quick", limit=20)]
    assert node.whole_run(run["run_id"][-12:])["run_id"] == run["run_id"]


# ---- the world of a guest


def test_environment_is_exactly_what_is_promised(node):
    answer = node.call("surroundings", "env")
    env = dict(line.split("=", 1) for line in answer.text.splitlines())
    run = node.runs(event=answer.headers["nexus-event-id"])[0]
    assert list(env) == ["TRACE_ID", "TRACEPARENT", "EVENT_ID", "EVENT_TYPE", "EVENT_SOURCE", "EVENT_SUBJECT", "EVENT_TIME", "EVENT_CONTENT_TYPE",
                         "NEXUS_FUNCTION", "NEXUS_VERSION", "NEXUS_ATTEMPT", "EMPTY", "GREETING"]
    assert env["EVENT_ID"] == answer.headers["nexus-event-id"]
    assert (env["EVENT_TYPE"], env["NEXUS_FUNCTION"], env["NEXUS_ATTEMPT"]) == ("surroundings", "surroundings", "1")
    assert (env["GREETING"], env["EMPTY"]) == ("hello wörld", "")
    assert env["NEXUS_VERSION"] == run["version"]
    assert env["TRACE_ID"] == run["trace_id"]


def test_clock_starts_at_the_run_and_moves_a_little_with_each_read(node):
    answer = node.call("probe", "world")
    seen = dict(line.split(" ", 1) for line in answer.text.splitlines())
    began, ended_at = int(seen["began"]), int(seen["ended"])
    assert abs(began / 1e9 - time.time()) < 30
    assert 0 < ended_at - began < 100_000_000
    # A thousand reads, one microsecond each: not the machine's clock.
    assert (ended_at - began) % 1000 == 0


def test_randomness_differs_between_runs(node):
    worlds = [node.call("probe", "world").text for _ in range(5)]
    assert len({re.search("^hash (.*)$", w, re.M).group(1) for w in worlds}) == 5


def test_files_are_not_reachable(node):
    text = node.call("probe", "file /etc/passwd").text
    assert text.startswith("Err("), text


def test_sleep_really_waits_and_moves_the_guests_clock(node):
    with Stopwatch() as watch:
        text = node.call("probe", "sleep 300").text
    assert watch.ms >= 300
    assert 300 <= int(text.split()[1]) < 400


def test_command_modules_run_by_start(node):
    event_id = node.publish("command", "input")
    run = node.whole_run(node.run_of(event_id)["run_id"])
    assert (run["status"], run["output"]) == ("ok", "command:input")
    assert "a command reads 5 bytes" in run["logs"]


@pytest.mark.parametrize("settings", [{"input": "cloudevent"}, {"input": "data"}])
def test_largest_event_is_run(project, guests, settings):
    project.write({"http": {"max_body": "7Mi"}, "functions": [function("f", project.module(guests.wat("answer.wat", TEXT="ran", LENGTH=3)), **settings)]})
    body = b"\0" * (7 << 20)
    with Node(project) as node:
        event_id = node.publish("f", body)
        assert node.whole_run(node.run_of(event_id)["run_id"])["output"] == "ran"
        assert [v["verdict"] for v in node.replay(event_id)] == ["identical"]
        assert node.api(f"events/{event_id}").json()["size_bytes"] == len(body)
        assert node.api(f"events/{event_id}/data").content == body


def test_input_cloudevent(node):
    seen = json.loads(node.call("whole", '{"a":[1]}', headers={"Content-Type": "application/json"}).text)
    assert seen["type"] == "whole" and seen["data"] == {"a": [1]} and seen["specversion"] == "1.0"


def test_sleeping_guests_do_not_hold_up_others(node):
    """Twelve sleeps of two seconds on two running slots: they wait at the same time, and others run meanwhile."""
    begun = node.log().count("Function 'probe' started")
    with ThreadPoolExecutor(12) as pool:
        with Stopwatch() as watch:
            sleeping = [pool.submit(node.call, "probe", "sleep 2000") for _ in range(12)]
            node.wait_log(r"Function 'probe' started", count=begun + 3)
            assert node.call("surroundings", "not held up").text == "not held up"
            assert not any(f.done() for f in sleeping), "a quick function waited for the sleeping ones"
            assert all(f.result().text.startswith("slept 2") for f in sleeping)
    assert watch.s < 12, "the sleeps ran one after another"


def test_concurrency_limits_attempts_at_one_time(node):
    with ThreadPoolExecutor(4) as pool:
        with Stopwatch() as watch:
            answers = list(pool.map(lambda _: node.call("single", "sleep 200"), range(4)))
    assert all(a.status_code == 200 for a in answers)
    assert watch.s >= 0.8


def test_timeouts_of_many_do_not_stop_the_node(node):
    ids = [node.publish("quick", "spin") for _ in range(20)]
    assert node.call("probe", "between").text == "between"
    for event_id in ids:
        assert node.run_of(event_id, deadline=30)["status"] == "timeout"


# ---- chains


@pytest.fixture(scope="module")
def chain(tmp_path_factory, guests):
    project = Project(tmp_path_factory.mktemp("chain") / "project")
    probe = project.module(guests.rust("probe.rs"))
    project.write({"hop_limit": 5, "functions": [
        function("first", probe, output={"event": "step.two"}),
        function("second", probe, on={"event": "step.two"}, output={"event": "step.three"}),
        function("third", probe, on={"event": "step.three"}, input="cloudevent"),
        function("ouroboros", probe, on={"event": "round"}, output={"event": "round"}),
    ]})
    with Node(project) as node:
        yield node


def events_of_trace(node, trace, count):
    def found():
        events = [e for e in node.api_list("events", limit=200) if e["trace_id"] == trace]
        return events if len(events) >= count else None

    return wait_until(found, f"{count} events of trace {trace}", 20, on_failure=node.log)


def test_output_event_continues_the_trace(chain):
    answer = chain.post("first", '{"payload": 1}').json()
    events = events_of_trace(chain, answer["trace_id"], 3)
    assert [e["type"] for e in events] == ["step.three", "step.two", "first"]
    assert events[2]["event_id"] == answer["event_id"]
    run = chain.run_of(events[0]["event_id"])
    seen = json.loads(chain.whole_run(run["run_id"])["output"])
    assert seen["data"] == {"payload": 1}
    assert seen["source"] == "/functions/second"
    details = [chain.api(f"events/{e['event_id']}").json() for e in events]
    assert [d["hop"] for d in details] == [2, 1, 0]
    first = chain.run_of(answer["event_id"])
    assert details[1]["cause"] == first["run_id"]
    # Each run is the parent span of the event that it emitted.
    parent = details[1]["event"]["traceparent"].split("-")
    assert parent[1] == answer["trace_id"]
    assert chain.whole_run(first["run_id"])["emitted"][0]["event_id"] == events[1]["event_id"]


def test_failed_run_emits_nothing(chain):
    answer = chain.post("first", "exit 1").json()
    chain.run_of(answer["event_id"])
    assert len(events_of_trace(chain, answer["trace_id"], 1)) == 1


def test_hop_limit_ends_a_loop(chain):
    answer = chain.post("round", "again").json()
    events = events_of_trace(chain, answer["trace_id"], 6)

    def last_run():
        found = [r for e in events for r in chain.runs(event=e["event_id"]) if r["status"] == "error"]
        return found or None

    failed = wait_until(last_run, "the run that may not emit", 20, on_failure=chain.log)
    assert failed[0]["why"] == "hop_limit"
    assert len(events_of_trace(chain, answer["trace_id"], 6)) == 6


# ---- NATS


def runs_of_subject(node, function_name, count):
    def found():
        runs = node.runs(function=function_name, limit=1000)
        return runs if len(runs) >= count else None

    return wait_until(found, f"{count} runs of {function_name}", 20, on_failure=node.log)


def test_raw_nats_messages_run_functions(node):
    url = nats.private_url(node.project.data_dir)
    nats.publish(url, "sensors.kitchen.temperature", b"21.5", b"22.0")
    nats.publish(url, "sensors.kitchen.humidity", b"40")
    nats.publish(url, "alarms", b"\x00binary\xff")
    narrow = runs_of_subject(node, "raw", 2)
    wide = runs_of_subject(node, "raw-wide", 4)
    assert len(narrow) == 2 and len(wide) == 4
    outputs = sorted(node.whole_run(r["run_id"]).get("output", "") for r in narrow)
    assert outputs == ["21.5", "22.0"]
    event = node.api(f"events/{narrow[0]['event_id']}").json()
    assert event["event"]["data"] is not None or event["size_bytes"] == 4
    verdicts = node.replay(narrow[0]["event_id"])
    assert sorted((v["function"], v["verdict"]) for v in verdicts) == [("raw", "identical"), ("raw-wide", "identical")]


def test_raw_message_with_traceparent_continues_it(node):
    trace = "4bf92f3577b34da6a3ce929d0e0e4736"
    nats.publish(nats.private_url(node.project.data_dir), "sensors.hall.temperature", b"env",
                 headers={"traceparent": f"00-{trace}-00f067aa0ba902b7-01"})
    found = wait_until(lambda: [r for r in node.runs(function="raw", limit=100) if r["trace_id"] == trace], "the run", 10, on_failure=node.log)
    assert f"TRACE_ID={trace}" in node.whole_run(found[0]["run_id"])["output"]


def test_external_server_serves_the_same(tmp_path, guests):
    """nats.url instead of the private server; nothing else changes."""
    with nats.Server(tmp_path / "server") as server:
        project = Project(tmp_path / "project")
        probe = project.module(guests.rust("probe.rs"))
        project.write({"nats": {"url": server.url}, "functions": [function("probe", probe), function("raw", probe, on={"nats": "plain.subject"})]})
        with Node(project) as node:
            info = node.api("node").json()
            assert info["nats"]["private"] is False and info["nats"]["connected"] is True
            assert node.call("probe", "external").text == "external"
            event_id = node.publish("probe", "kept")
            assert [v["verdict"] for v in (node.run_of(event_id), node.replay(event_id))[1]] == ["identical"]
            nats.publish(server.url, "plain.subject", b"raw")
            assert len(runs_of_subject(node, "raw", 1)) == 1
            server.kill()
            answer = wait_until(lambda: (a := node.post("probe", "x")).status_code == 503 and a, "503 without a server", 10)
            assert int(answer.headers["retry-after"]) >= 1
            assert not node.is_ready()
            server.start()
            wait_until(node.is_ready, "the node to reconnect", 20, on_failure=node.log)
            assert node.call("probe", "again").text == "again"
            assert [v["verdict"] for v in node.replay(event_id)] == ["identical"]


def test_two_nodes_share_the_work_of_one_log(tmp_path, guests):
    with nats.Server(tmp_path / "server") as server:
        projects = [Project(tmp_path / f"node{i}") for i in range(2)]
        for p in projects:
            p.write({"nats": {"url": server.url}, "functions": [function("probe", p.module(guests.rust("probe.rs")))]})
        with Node(projects[0]) as one, Node(projects[1]) as two:
            ids = [one.publish("probe", f"{i}") for i in range(60)]
            nodes = set()
            for event_id in ids:
                nodes.add(two.whole_run(two.run_of(event_id)["run_id"])["node"])
            assert len(nodes) == 2
            # A caller that waits is answered whichever node runs its event.
            assert [one.call("probe", f"w{i}").text for i in range(20)] == [f"w{i}" for i in range(20)]
            # A node that dies leaves its work to the other.
            begun = one.log().count("Function 'probe' started")
            slow = [two.publish("probe", "sleep 1500") for _ in range(4)]
            one.wait_log("Function 'probe' started", count=begun + 1)
            one.kill()
            for event_id in slow:
                assert two.run_of(event_id, deadline=40)["status"] == "ok"
            one.process = None


# ---- modules that can't run


@pytest.mark.parametrize("source, names", [("unknown_import.wat", ["env", "launch_rocket"]), ("no_entry.wat", ["handle_event"])])
def test_unusable_modules_are_named_at_start(project, guests, source, names):
    project.write({"functions": [function("broken", project.module(guests.wat(source)))]})
    node = Node(project).launch()
    try:
        node.process.wait(30)
        text = node.log()
        assert node.process.returncode != 0
        assert "broken" in text and all(n in text for n in names), text
    finally:
        if node.process.poll() is None:
            node.kill()


def test_memory_limit_above_what_the_pool_has_is_refused(project, guests):
    project.write({"functions": [function("huge", project.module(guests.rust("probe.rs")), memory="4Gi")]})
    result = None
    node = Node(project).launch()
    try:
        # Either it is served (the pool is large enough) or refused by name; never a crash.
        wait_until(lambda: node.process.poll() is not None or (project.data_dir / "node.json").exists(), "an outcome", 30)
        result = node.process.poll()
        if result is not None:
            assert "memory" in node.log() and "huge" in node.log()
            assert result > 0
    finally:
        if node.process.poll() is None:
            node.process.terminate()
            node.process.wait(30)


def test_functions_share_the_memory_for_modules_and_warm_ones_keep_theirs(tmp_path, guests):
    """More modules than fit take turns; what is to be kept warm has its first event without a cold start."""
    project = Project(tmp_path / "many")
    codes = [project.module(guests.wat("answer.wat", TEXT=f"{i:03}", LENGTH=3), f"f{i}.wasm") for i in range(8)]
    big = project.module(guests.rust("probe.rs"))
    names = [f"f{i}" for i in range(8)]
    project.write({"warm_memory": "16Mi", "functions": [
        *(function(name, code, respond="sync", **({"warm": 2} if name == "f0" else {})) for name, code in zip(names, codes)), function("big", big, respond="sync")]})
    with Node(project) as node:
        for _ in range(2):
            assert [node.call(name).text for name in names] == [f"{i:03}" for i in range(8)]
            assert node.call("big", b"words").text == "words"
        page = node.client.get(f"{node.admin_url}/metrics").text
        assert int(float(re.search(r"^nexus_modules_mapped_bytes (\S+)", page, re.M)[1])) <= 16 << 20
