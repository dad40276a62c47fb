"""The command, as people and scripts use it: help, JSON, exit codes, completion, versions, logs."""

import json
import os
import re
import shutil
import socket
import subprocess
import time

import jsonschema
import pytest
import yaml
from nexus.node import Node, Project, Tail, environment, function, lines_of, nexus
from nexus.paths import NEXUS
from nexus.wait import SLOW, Stopwatch, wait_until


def verbs():
    """Every command that help lists."""
    text = nexus("--help").stdout.split("Commands\n")[1].split("\n\n")[0]
    return [re.split(r"\s{2,}", line.strip())[0] for line in text.splitlines()]


VERBS = verbs()


@pytest.fixture(scope="module")
def node(module_project, guests):
    probe = module_project.module(guests.rust("probe.rs"))
    module_project.write({"name": "cli-tests", "functions": [
        function("probe", probe), function("quick", probe, timeout="100ms"), function("listens", probe, on={"event": "heard.*"})]})
    with Node(module_project) as node:
        yield node


# ---- help


def test_every_promised_command_exists():
    assert {"new", "build", "dev", "validate", "deploy", "invoke", "events list", "events show", "runs list", "runs show", "logs", "replay",
            "inspect", "doctor", "version", "completion"} <= set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_examples_that_the_command_understands(verb, tmp_path):
    text = nexus(*verb.split(), "--help").stdout
    assert "\nUsage\n" in text and "\nExamples\n" in text
    examples = [line.strip() for line in text.split("\nExamples\n")[1].splitlines() if line.strip() and not line.strip().startswith("#")]
    assert any(f"nexus {verb}" in e for e in examples), examples
    # Every flag that an example uses is one that the help lists.
    for call in re.findall(rf"nexus {verb}\b[^|;>)]*", "\n".join(examples)):
        for flag in re.findall(r"(?<=\s)--[a-z-]+", call.split(" -- ")[0]):  # what follows is a program's
            assert re.search(rf"{flag}\b", text.split("\nExamples\n")[0]), f"{flag} in {call}"
    assert all(len(line) <= 100 for line in text.split("\nExamples\n")[0].splitlines()), "help is wider than 100 columns"
    assert nexus("help", *verb.split(), check=False).stdout == text or nexus(*verb.split(), "-h").stdout == text


def test_help_without_a_terminal_has_no_colours():
    assert "\033" not in nexus("--help").stdout


@pytest.mark.parametrize("arguments, names", [
    (["rplay"], "replay"), (["events", "lst"], "events list"), (["runs", "list", "--functon", "x"], "--function"), (["--jsn"], None),
    (["invoke"], "function"), (["logs", "--limit", "none"], "limit"), (["new", "x", "--lang=cobol"], "rust"), (["events", "list", "--limit", "0"], "limit"),
])
def test_wrong_use_is_exit_code_2_with_a_suggestion(arguments, names):
    result = nexus(*arguments, check=False)
    assert result.returncode == 2
    assert result.stdout == ""
    assert names is None or names in result.stderr
    assert "--help" in result.stderr


def test_no_arguments_show_help():
    assert "Start here" in nexus(check=False).stdout


# ---- exit codes and JSON


def test_no_node_is_exit_code_69(tmp_path):
    env = environment(NEXUS_ADMIN_URL="http://127.0.0.1:9")
    for arguments in (["events", "list"], ["runs", "list"], ["replay", "@last"], ["logs"], ["invoke", "x", "--data", "y"], ["functions", "list"]):
        result = nexus(*arguments, env=env, cwd=tmp_path, check=False)
        assert result.returncode == 69, arguments
        assert "127.0.0.1:9" in result.stderr and "nexus dev" in result.stderr
        failed = nexus(*arguments, "--json", env=env, cwd=tmp_path, check=False)
        assert failed.returncode == 69 and failed.stdout == ""
        assert json.loads(failed.stderr)["error"]["message"]


@pytest.mark.parametrize("url, says", [("http://no-host.invalid:1", "resolve"), ("http://127.0.0.1:9", "answers at http://127.0.0.1:9; start")])
def test_no_node_says_why_where_it_is_not_the_usual_reason(tmp_path, url, says):
    result = nexus("runs", "list", "--admin-url", url, cwd=tmp_path, check=False)
    assert result.returncode == 69 and says in result.stderr and "--admin-url" in result.stderr


@pytest.mark.parametrize("arguments", [["schema"], ["version"], ["--help"], ["man"], ["completion", "bash"], ["events", "list"], ["logs"], ["logs", "--json"], ["events", "list", "--json"]])
def test_what_could_not_be_written_is_exit_code_74(node, arguments):
    node.publish("nobody.takes.it", b"1")
    with open("/dev/full", "w", encoding="utf-8") as full:
        result = subprocess.run([str(NEXUS), *arguments], cwd=node.project.dir, env=environment(NEXUS_ADMIN_URL=node.admin_url), stdin=subprocess.DEVNULL,
                                stdout=full, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert result.returncode == 74 and "standard output" in result.stderr, result


@pytest.mark.parametrize("command", ["logs", "events list --json", "version"])
def test_closed_standard_output_is_exit_code_74(node, command):
    """A connection would get its number, and be written to."""
    node.publish("nobody.takes.it", b"1")
    result = subprocess.run(["bash", "-c", f"exec {NEXUS} {command} >&-"], cwd=node.project.dir, env=environment(NEXUS_ADMIN_URL=node.admin_url),
                            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
    assert result.returncode == 74 and "standard output" in result.stderr, result


def test_node_runs_with_closed_standard_streams(project, guests):
    project.write({"functions": [function("probe", project.module(guests.rust("probe.rs")))]})
    with Node(project, wrapper=["bash", "-c", 'exec "$0" "$@" <&- >&- 2>&-']) as node:
        assert node.call("probe", "still here").text == "still here"
        node.stop(expect=74)  # what it logged could not be written


@pytest.mark.parametrize("server, says", [("/bin/false", "/bin/false said nothing; its log is {dir}/.nexus/nats/server.log"),
                                          ("/nowhere", "NEXUS_NATS_SERVER: /nowhere is not a program")])
def test_what_is_no_nats_server_is_named(project, server, says):
    project.write("version: v1\n")
    result = nexus("serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", cwd=project.dir, check=False, env=environment(NEXUS_NATS_SERVER=server))
    assert result.returncode != 0 and says.format(dir=project.dir.resolve()) in result.stderr


def test_json_of_every_command_is_objects_with_keys_in_snake_case(node, tmp_path):
    event = node.publish("probe", b"hello")
    node.run_of(event)
    bundle = tmp_path / "cases"
    bundle.mkdir()
    commands = [["version"], ["doctor"], ["validate"], ["functions", "list"], ["events", "list"], ["events", "show", event], ["runs", "list"], ["runs", "show", "@last"],
                ["runs", "list", "--all"], ["logs"], ["replay", event], ["replay", "--since", "1h"], ["jobs", "list"], ["jobs", "show", "@last"], ["invoke", "probe", "--data", "x"],
                ["diff", event, "recorded"], ["bundle", event, "-o", f"{bundle}/"], ["test", "--cases", bundle, "--against", "recorded"], ["dlq", "list"], ["cron", "list"], ["secrets", "list"], ["audit"],
                ["alias", "list"], ["shadow", "status"], ["functions", "pause", "probe"], ["functions", "resume", "probe"], ["new", tmp_path / "made"], ["inspect", node.project.dir / "probe.wasm"]]
    for arguments in commands:
        result = node.nexus(*arguments, "--json", check=False)
        lines = lines_of(result.stdout)
        assert lines or result.returncode == 0, f"{arguments}: {result.returncode} {result.stderr}"
        assert all(isinstance(line, dict) and re.fullmatch("[a-z][a-z0-9_]*", key) for line in lines for key in line), f"{arguments}: {lines}"
        assert not result.stderr or json.loads(result.stderr)["error"], f"{arguments}: {result.stderr}"


def test_new_refuses_names_that_break_lines_and_quotes_the_others(tmp_path):
    result = nexus("new", "a\nb", cwd=tmp_path, check=False)
    assert result.returncode == 2 and "control character" in result.stderr and not list(tmp_path.iterdir())
    assert "cd ./-x\n" in nexus("new", "--", "-x", cwd=tmp_path).stdout
    assert "cd 'a b'\n" in nexus("new", "a b", cwd=tmp_path).stdout


def test_not_found_is_exit_code_4(node):
    for arguments in (["events", "show", "01ARZ3NDEKTSV4RRFFQ69G5FAV"], ["runs", "show", "01ARZ3NDEKTSV4RRFFQ69G5FAV"],
                      ["replay", "01ARZ3NDEKTSV4RRFFQ69G5FAV"], ["invoke", "nobody", "--data", "x"], ["versions", "list", "nobody"]):
        assert node.nexus(*arguments, check=False).returncode == 4, arguments


def test_failed_function_is_exit_code_1(node):
    result = node.nexus("invoke", "probe", "--data", "exit 5", check=False)
    assert result.returncode == 1
    assert "5" in result.stderr


EVENT_KEYS = {"namespace", "event_id", "type", "source", "subject", "time", "trace_id", "size_bytes"}
RUN_KEYS = {"namespace", "run_id", "event_id", "function", "version", "status", "attempt", "is_replay", "duration_ms", "fuel", "memory_bytes",
            "trace_id"}


def test_lists_have_their_stable_keys(node):
    event_id = node.publish("probe", "listed")
    node.run_of(event_id)
    events = node.json("events", "list", "--limit", "5")
    assert events[0]["event_id"] == event_id and EVENT_KEYS <= set(events[0])
    runs = node.json("runs", "list", "--limit", "5")
    assert runs[0]["event_id"] == event_id and RUN_KEYS <= set(runs[0])
    assert [r["event_id"] for r in node.json("runs", "list", "--event", event_id)] == [event_id]
    (shown,) = node.json("events", "show", event_id)
    assert EVENT_KEYS <= set(shown) and shown["event"]["type"] == "probe"
    (shown,) = node.json("runs", "show", runs[0]["run_id"])
    assert RUN_KEYS <= set(shown) and shown["output"] == "listed"
    functions = node.json("functions", "list")
    assert {f["name"] for f in functions} == {"probe", "quick", "listens"}


def test_lists_filter(node):
    failed = node.publish("probe", "exit 1")
    late = node.publish("quick", "spin")
    fine = node.publish("heard.that", "x")
    for event_id in (failed, late, fine):
        node.run_of(event_id)
    assert [r["event_id"] for r in node.json("runs", "list", "--status", "timeout", "--limit", "1")] == [late]
    assert [r["event_id"] for r in node.json("runs", "list", "--status", "error", "--limit", "1")] == [failed]
    assert [r["event_id"] for r in node.json("runs", "list", "--function", "listens", "--limit", "1")] == [fine]
    assert [e["event_id"] for e in node.json("events", "list", "--type", "heard.*", "--limit", "1")] == [fine]
    assert node.json("events", "list", "--until", "1h") == []
    assert len(node.json("events", "list", "--since", "1h", "--limit", "3")) == 3


def test_tables_for_people(node):
    event_id = node.publish("probe", "for people", headers={"Content-Type": "text/plain"})
    node.run_of(event_id)
    table = node.nexus("events", "list", "--limit", "1").stdout.splitlines()
    assert table[0].split()[:2] == ["EVENT", "TYPE"] and table[1].startswith(event_id)
    table = node.nexus("runs", "list", "--limit", "1").stdout.splitlines()
    assert event_id in table[1] and "ok" in table[1]
    assert "for people" in node.nexus("events", "show", "@last").stdout
    assert "for people" in node.nexus("runs", "show", "@last").stdout


@pytest.mark.parametrize("data", ['{"id": 123456789012345678901234567890}', '{"far": 1e999}', '{"a": 1, "a": 2}', '["\\ud800"]', '[1.10, "a b\\" c"]',
                                  '{"a": 1,\n  "b": [2]}\n', '"plain"'])
def test_event_is_shown_whatever_its_json_says(node, data):
    """Readers of values refuse some of it, or write another number than came in."""
    event_id = node.publish("probe", data, headers={"Content-Type": "application/json"})
    node.run_of(event_id)
    shown = node.nexus("events", "show", event_id).stdout.splitlines()
    assert shown[0].split() == ["event", event_id]
    kept = "plain" if data == '"plain"' else re.sub(r'[ \n](?![bc])', "", data)
    assert shown[-1].split(None, 1) == ["data", kept]
    whole = node.nexus("events", "show", event_id, "--json").stdout
    assert data.strip() in whole
    # and goes in again, as `invoke --help` shows
    event = re.search(r'"event":(\{.*\})\}', whole, re.S)[1]
    assert node.nexus("invoke", "probe", "--format", "cloudevent", "--file", "-", stdin=event).stdout.rstrip("\n") == data.rstrip("\n")


def test_terminal_control_characters_of_others_are_shown_not_sent(node):
    event_id = node.publish("probe", "say \033[31mred\033[0m \x07bell")
    node.run_of(event_id)
    for arguments in (["events", "show", event_id], ["runs", "show", "@last"], ["logs", "--event", event_id], ["replay", event_id]):
        text = node.nexus(*arguments).stdout
        assert "\033" not in text and "\x07" not in text, arguments
    assert "\033" not in node.log() and "\x07" not in node.log()


def test_invoke(node):
    assert node.nexus("invoke", "probe", "--data", "hello").stdout.rstrip("\n") == "hello"
    data = node.project.dir / "data.txt"
    data.write_text("from a file")
    assert node.nexus("invoke", "probe", "--file", "data.txt").stdout.rstrip("\n") == "from a file"
    assert node.nexus("invoke", "probe", "--file", "-", stdin="from stdin").stdout.rstrip("\n") == "from stdin"
    (said,) = node.json("invoke", "probe", "--data", "x", "--no-wait")
    assert node.run_of(said["event_id"])["status"] == "ok"
    assert node.nexus("invoke", "listens", "--type", "heard.here", "--data", "env").stdout.count("EVENT_TYPE=heard.here") == 1
    assert node.nexus("invoke", "listens", "--type", "not.heard", "--data", "x", check=False).returncode == 2


def test_doctor_checks_and_advises(node, tmp_path):
    checks = {c["check"]: c for c in node.json("doctor")}
    assert checks["node"]["status"] == "ok", checks["node"]
    assert all({"check", "status", "detail"} <= set(c) and c["status"] in ("ok", "note", "bad") for c in checks.values())
    assert all(c.get("fix") for c in checks.values() if c["status"] != "ok")
    assert "durability" in checks and "engine" in checks
    assert "open files" in checks["limits"]["detail"] and "modules mapped" in checks["limits"]["detail"], checks["limits"]
    # What the system allows is read, not assumed: with few open files there is room for fewer modules, and advice.
    few = subprocess.run(["sh", "-c", f"ulimit -n 1000; exec '{NEXUS}' doctor --json"], env=environment(NEXUS_ADMIN_URL=node.admin_url), cwd=tmp_path, capture_output=True,
                         text=True, check=True)
    limits = next(c for c in lines_of(few.stdout) if c["check"] == "limits")
    assert re.search(r"^1000 open files, \d+ mappings: up to (6[4-9]|[1-4]\d\d) modules mapped", limits["detail"]), limits
    assert limits["status"] == "note" and "raise the limit of open files" in limits["fix"]
    # So is what may refuse memory to a function that is within its limit.
    for option, detail, fix in (("-d 8000000", "ulimit -d", "LimitDATA"), ("-v 8000000", "4 GiB for each of its instances", "LimitAS")):
        limited = subprocess.run(["sh", "-c", f"ulimit {option}; exec '{NEXUS}' doctor --json"], env=environment(NEXUS_ADMIN_URL=node.admin_url), cwd=tmp_path,
                                 capture_output=True, text=True, check=True)
        memory = next(c for c in lines_of(limited.stdout) if c["check"] == "memory")
        assert memory["status"] == "note" and detail in memory["detail"] and fix in memory["fix"], memory
    bad = Project(tmp_path / "bad")
    bad.write("version: v1\nfunctions: nonsense\n")
    result = bad.nexus("doctor", check=False, env=environment(NEXUS_ADMIN_URL="http://127.0.0.1:9"))
    assert result.returncode == 1


def test_doctor_reads_the_environment_without_a_project_too(tmp_path):
    def checks(listen):
        result = nexus("doctor", "--json", cwd=tmp_path, check=False, env=environment(NEXUS_ADMIN_URL="http://127.0.0.1:9", NEXUS_LISTEN=listen))
        return {c["check"]: c for c in lines_of(result.stdout)}

    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        assert checks(address)["events port"]["detail"].startswith(f"{address} is not free")
    wrong = checks("nowhere")["settings"]
    assert wrong["status"] == "bad" and wrong["detail"].startswith("NEXUS_LISTEN: ") and wrong["fix"]


@pytest.mark.parametrize("data_dir, status, says", [("new", "ok", "not made yet"), ("missing/deeper", "bad", "No such file or directory"),
                                                    ("file", "bad", "not a folder"), ("file/x", "bad", "Not a directory")])
def test_doctor_says_whether_a_node_could_make_its_data_folder(tmp_path, data_dir, status, says):
    project = Project(tmp_path / "project")
    (project.dir / "file").write_text("")
    project.write(f"version: v1\ndata_dir: {data_dir}\n")
    result = project.nexus("doctor", "--json", check=False, env=environment(NEXUS_ADMIN_URL="http://127.0.0.1:9"))
    data = next(c for c in lines_of(result.stdout) if c["check"] == "data")
    assert (data["status"], says in data["detail"]) == (status, True), data
    assert status == "ok" or data["fix"]


def test_version_names_the_engine():
    text = nexus("version").stdout
    assert re.match(r"nexus \d+\.\d+\.\d+", text) and "wasmtime" in text
    assert {"version", "engine"} <= set(json.loads(nexus("version", "--json").stdout))
    assert nexus("--version").stdout.splitlines()[0] == text.splitlines()[0]


def test_inspect_says_whether_a_module_can_run(guests):
    good = nexus("inspect", guests.rust("probe.rs")).stdout
    assert "handle_event" in good and "wasi_snapshot_preview1.fd_write (i32, i32, i32, i32) -> i32" in good and "\ncan run here" in good
    assert json.loads(nexus("inspect", guests.rust("command.rs", kind="bin"), "--json").stdout)
    assert "is lost" not in good
    bad = nexus("inspect", guests.wat("unknown_import.wat"), check=False)
    assert bad.returncode == 2 and "launch_rocket" in bad.stdout and "cannot run here" in bad.stdout
    assert nexus("inspect", __file__, check=False).returncode == 2
    assert nexus("inspect", "/nowhere.wasm", check=False).returncode == 4


# ---- logs


def test_logs_of_the_past_and_of_now(node):
    env = environment(NEXUS_ADMIN_URL=node.admin_url)
    event_id = node.publish("probe", "say in the past")
    run = node.run_of(event_id)
    text = node.nexus("logs", "--event", event_id).stdout
    assert f"[trace={run['trace_id']}] in the past" in text
    assert all(run["trace_id"] in line for line in text.splitlines())
    node.replay(event_id)
    assert f"[trace={run['trace_id']}-replay] in the past\n" in node.nexus("logs", "--event", event_id).stdout
    parsed = node.json("logs", "--trace", run["trace_id"])
    assert {"time", "level", "component", "message", "trace_id", "event_id", "run_id", "function"} <= set(parsed[0])
    with Tail("logs", "-f", "--function", "probe", cwd=node.project.dir, env=env) as tail:
        tail.wait_line("in the past")
        node.publish("probe", "say right now")
        tail.wait_line("right now")
        node.publish("quick", "say elsewhere")
        node.publish("probe", "say at the end")
        tail.wait_line("at the end")
        assert not any("elsewhere" in line for line in tail.lines)
    assert node.json("logs", "--level", "error", "--limit", "50") == [x for x in node.json("logs", "--level", "error", "--limit", "50")
                                                                     if x["level"] == "ERROR"]


def test_following_logs_of_a_node_that_dies_says_so(project, guests):
    project.write({"functions": [function("any", project.module(guests.wat("answer.wat", TEXT="one", LENGTH=3)))]})
    with Node(project) as node:
        with Tail("logs", "-f", cwd=project.dir, env=environment()) as tail:
            tail.wait_line("ready in")
            node.kill()
            assert tail.process.wait(20) == 69
        assert tail.lines[-1] == f"nexus: the node at {node.admin_url} went away in the middle of its answer"
        node.start()


# ---- validate and schema


BROKEN = """\
version: v2
naem: x
functions:
  - name: Upper
    on: {http: {path: no-slash}}
    code: ./missing.wasm
    timeout: 5 parsecs
    memory: lots
    respnd: sync
  - name: twice
    on: {http: {path: /same}}
    code: ./missing.wasm
  - name: twice
    on: {http: {path: /same}}
    code: ./missing.wasm
"""


def test_validate_reports_all_errors_at_once_with_their_place(project):
    project.write(BROKEN)
    result = project.nexus("validate", check=False)
    assert result.returncode == 2
    text = result.stdout + result.stderr
    for expected in ("nexus.yaml:1:", "nexus.yaml:2:", "did you mean", "functions[0].timeout", '"5 parsecs" is not a duration', "functions[0].memory",
                     "respond", "functions[2].name", "/same", "missing.wasm", "no-slash"):
        assert expected in text, f"{expected!r} not in\n{text}"
    assert all(re.match(r"nexus\.yaml:\d+:\d+: ", line) for line in text.splitlines() if line.startswith("nexus.yaml"))
    report = json.loads(project.nexus("validate", "--json", check=False).stdout)
    assert report["valid"] is False and len(report["issues"]) >= 8
    assert all({"path", "reason", "line", "column"} <= set(i) for i in report["issues"])


@pytest.mark.parametrize("text", [
    "a: &a [x]\n" + "".join(f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(9)),
    "version: v1\nfunctions: [" + "[" * 5000,
    "\t\0binary", "", "version: v1\n" + "#" * (10 << 20), "version: v1\nfunctions: []\nversion: v1\n", "%YAML 9.9\n---\n- !!python/object x\n",
], ids=["alias bomb", "deep nesting", "binary", "empty", "10 MB", "twice", "odd"])
def test_validate_survives_hostile_files(project, text):
    project.dir.mkdir(exist_ok=True)
    project.file.write_text(text)
    with Stopwatch() as watch:
        result = project.nexus("validate", check=False)
    assert result.returncode == 2, result.stdout + result.stderr
    assert watch.s < 15 * SLOW


def test_validate_looks_into_modules(tmp_path, guests):
    project = Project(tmp_path / "project")
    project.write({"functions": [function("good", project.module(guests.wat("answer.wat", TEXT="ok", LENGTH=2))),
                                 function("bad", project.module(guests.wat("unknown_import.wat"), "bad.wasm")),
                                 function("mute", project.module(guests.wat("no_entry.wat"), "mute.wasm"))]})
    result = project.nexus("validate", check=False)
    assert result.returncode == 2
    lines = result.stdout.splitlines()
    assert all(re.match(r"nexus\.yaml:\d+:\d+: functions\[[12]\]\.code: ", x) for x in lines), lines
    assert any("launch_rocket" in x for x in lines) and any("handle_event" in x for x in lines)
    issues = json.loads(project.nexus("validate", "--json", check=False).stdout)["issues"]
    assert {i["path"] for i in issues} == {"functions[1].code", "functions[2].code"} and all(i["suggestion"] for i in issues)
    assert project.nexus("validate", "--no-code").returncode == 0


def test_validate_takes_the_file_as_other_commands_do(project):
    project.write("version: v1\nfunctions:\n  - {name: A, on: {http: {path: /a}}, code: f}\n  - {name: b, on: {http: {path: /a}}, code: f}\n")
    said = [nexus("validate", "--no-code", *file, cwd=project.dir.parent, check=False) for file in
            (["-f", project.file], ["--file", project.dir], [project.file], [project.dir])]
    assert {(r.returncode, r.stdout) for r in said} == {(2, said[0].stdout)}
    assert "POST /a is the route of the function on line 3 already" in said[0].stdout
    twice = nexus("validate", "-f", project.file, project.file, check=False)
    assert twice.returncode == 2 and "once" in twice.stderr


def test_validate_is_content_with_a_good_file(node):
    assert node.project.nexus("validate").returncode == 0


def test_schema_agrees_with_validate(node, project):
    schema = json.loads(nexus("schema").stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    mission = {"version": "v1", "functions": [{"name": "user-welcome", "on": {"http": {"method": "POST", "path": "/events/user.created"}},
                                               "runtime": "wasi-preview1", "code": "./build/welcome.wasm", "timeout": "5s", "memory": "128Mi"}]}
    validator.validate(mission)
    validator.validate(json.loads(json.dumps(yaml.load(node.project.file.read_text(), yaml.BaseLoader))))
    for broken in ({**mission, "naem": 1}, {**mission, "version": "v2"}, {"version": "v1"},
                   {**mission, "functions": [{**mission["functions"][0], "timeout": "5 parsecs"}]}):
        assert list(validator.iter_errors(broken)), broken
        project.write(json.dumps(broken))
        assert project.nexus("validate", "--no-code", check=False).returncode == 2
    project.write(json.dumps(mission))
    assert project.nexus("validate", "--no-code").returncode == 0


# ---- settings


def test_flags_win_over_environment_over_file(tmp_path, guests):
    project = Project(tmp_path / "project")
    project.write({"log": {"format": "text", "level": "info"}, "hop_limit": 3, "functions": [function("f", project.module(guests.rust("probe.rs")))]})
    with Node(project, env={"NEXUS_LOG_FORMAT": "json"}) as node:
        node.call("f", "say x")
        node.wait_log(r'^\{"time":.*"message":"x"')
    with Node(project, "--log-format", "text", env={"NEXUS_LOG_FORMAT": "json"}) as node:
        node.call("f", "say y")
        node.wait_log(r"^\[\S+ INFO f\] \[trace=[0-9a-f]+\] y$")
    result = project.nexus("dev", "--listen", "nonsense", check=False, timeout=20)
    assert result.returncode == 2 and "--listen" in result.stderr + result.stdout


# ---- versions


def test_deploy_makes_numbered_versions(tmp_path, guests):
    """v1, unchanged, v2; every run names its version; `serve` runs what is deployed, also after a restart."""
    project = Project(tmp_path / "project")
    code = project.module(guests.wat("answer.wat", TEXT="one", LENGTH=3), "code.wasm")
    settings = {"functions": [function("deployed", code)]}
    project.write(settings)
    with Node(project, verb="serve") as node:
        assert node.api_list("functions") == []
        (first,) = node.json("deploy")
        assert (first["function"], first["version"], first["created"]) == ("deployed", "v1", True)
        assert node.call("deployed", "").text == "one"
        (again,) = node.json("deploy")
        assert (again["version"], again["created"]) == ("v1", False)
        project.module(guests.wat("answer.wat", TEXT="two", LENGTH=3), "code.wasm")
        (second,) = node.json("deploy")
        assert (second["version"], second["created"]) == ("v2", True)
        wait_until(lambda: node.call("deployed", "").text == "two", "v2 to be live", 10, on_failure=node.log)
        settings["functions"][0]["timeout"] = "9s"
        project.write(settings)
        (third,) = node.json("deploy")
        assert third["version"] == "v3" and third["artifact"] == second["artifact"]
        versions = node.json("versions", "list", "deployed")
        assert [v["version"] for v in versions] == ["v3", "v2", "v1"]
        assert [v["live"] for v in versions] == [True, False, False]
        runs = node.json("runs", "list", "--function", "deployed")
        assert runs[-1]["version"] == "v1" and {"v1", "v2"} <= {r["version"] for r in runs}
        # An old run repeats on its own version, and against another one it shows the difference.
        old = runs[-1]["event_id"]
        assert node.replay(old)[0]["verdict"] == "identical"
        result = node.nexus("replay", old, "--against", "v2", "--json", check=False)
        assert result.returncode == 10
        assert lines_of(result.stdout)[0]["output"] == "two"
        assert node.nexus("replay", old, "--against", "v1").returncode == 0
        assert node.nexus("replay", old, "--against", "v99", check=False).returncode in (1, 4)
        node.restart()
        assert node.call("deployed", "").text == "two"
        assert node.run_of(node.publish("deployed", ""))["version"] == "v3"
        assert "deployed" in node.nexus("functions", "list").stdout


def test_deploy_refuses_what_cannot_run(tmp_path, guests):
    project = Project(tmp_path / "project")
    project.write({"functions": [function("bad", project.module(guests.wat("unknown_import.wat")))]})
    with Node(project, verb="serve") as node:
        result = node.nexus("deploy", check=False)
        assert result.returncode == 2, result.stdout + result.stderr
        assert "launch_rocket" in result.stderr
        assert node.api_list("functions") == []


def test_failed_deploy_leaves_what_was_live(tmp_path, guests):
    """A version that a node can't take (its route is another function's) must not be live: it would keep nodes from starting."""
    project = Project(tmp_path / "project")
    code = project.module(guests.wat("answer.wat", TEXT="one", LENGTH=3), "code.wasm")
    settings = {"functions": [function("first", code)]}
    project.write(settings)
    with Node(project, verb="serve") as node:
        node.json("deploy")
        project.write({"functions": [function("second", code, on={"http": {"path": "/events/first"}})]})
        result = node.nexus("deploy", check=False)
        assert result.returncode == 5 and "route" in result.stderr, result.stdout + result.stderr
        project.write({"functions": [function("first", code, on={"http": {"path": "/elsewhere"}}), function("second", code)]})
        assert len(node.json("deploy")) == 2
        project.write({"functions": [function("second", code, on={"http": {"path": "/elsewhere"}})]})
        assert node.nexus("deploy", check=False).returncode == 5
        node.restart()
        assert node.call("second", "").text == "one"
        assert node.call("/elsewhere", "").text == "one"


def test_function_that_cannot_be_loaded_loses_no_raw_messages(tmp_path, guests):
    """Its module is gone for a while: what is published on its subjects meanwhile is stored, and run when the module is back."""
    from nexus import nats
    project = Project(tmp_path / "project")
    code = project.module(guests.wat("answer.wat", TEXT="one", LENGTH=3), "code.wasm")
    project.write({"functions": [function("raw", code, on={"nats": "sensors.>"})]})
    with Node(project, verb="serve") as node:
        (deployed,) = node.json("deploy")
        content = node.api(f"artifacts/{deployed['artifact']}").content

        async def forget(connection):
            store = await connection.jetstream().object_store("nx-artifacts-default")
            await store.delete(deployed["artifact"])

        nats.run(nats.private_url(project.data_dir), forget)
        node.stop()
        for cached in (project.data_dir / "cache").rglob("*"):
            if cached.is_file():
                cached.unlink()
        node.start()
        assert node.api_list("functions") == []
        nats.publish(nats.private_url(project.data_dir), "sensors.kitchen", b"21.5")
        (event,) = node.api_list("events")
        put = node.client.put(f"{node.admin_url}/api/v1/artifacts/{deployed['artifact']}", content=content)
        assert put.status_code == 200, put.text
        node.restart()
        assert node.run_of(event["event_id"])["status"] == "ok"


# ---- completion


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_scripts_load(shell, tmp_path):
    if not shutil.which(shell):
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "completion"
    script.write_text(nexus("completion", shell).stdout)
    check = {"bash": ["bash", "-n", script], "zsh": ["zsh", "-f", "-n", script], "fish": ["fish", "--no-execute", script]}[shell]
    assert subprocess.run(check, capture_output=True, text=True, check=False).returncode == 0
    load = {"bash": f"source {script} && complete -p nexus",
            "zsh": f"autoload -U compinit && compinit -u -d {tmp_path}/dump && source {script} && (( $+functions[_nexus] ))",
            "fish": f"source {script}; complete -c nexus"}[shell]
    result = subprocess.run([shell, *(["-f"] if shell == "zsh" else []), "-c", load], capture_output=True, text=True, check=False,
                            env={**os.environ, "HOME": str(tmp_path)})
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""


def complete_in_bash(words, tmp_path, env=None):
    script = tmp_path / "completion.bash"
    if not script.exists():
        script.write_text(nexus("completion", "bash").stdout)
    listed = " ".join(f"'{w}'" for w in words)
    code = f"source {script}; COMP_WORDS=({listed}); COMP_CWORD={len(words) - 1}; _nexus; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    return subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True, env=env or os.environ).stdout.split()


def test_bash_completes_commands_flags_values_and_functions(node, tmp_path):
    assert complete_in_bash(["nexus", "rep"], tmp_path) == ["replay"]
    assert set(complete_in_bash(["nexus", "events", ""], tmp_path)) == {"list", "show"}
    assert complete_in_bash(["nexus", "new", "x", "--la"], tmp_path) == ["--lang"]
    assert set(complete_in_bash(["nexus", "completion", ""], tmp_path)) == {"bash", "zsh", "fish"}
    (tmp_path / "nexus").symlink_to(NEXUS)
    env = environment(NEXUS_ADMIN_URL=node.admin_url, PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert complete_in_bash(["nexus", "invoke", "pr"], tmp_path, env) == ["probe"]


def test_man_page_and_reference_name_every_command():
    man = nexus("man").stdout
    assert man.startswith(".TH") or ".TH " in man
    reference = nexus("reference", "cli").stdout
    for verb in VERBS:
        assert verb.split()[0] in man
        assert f"nexus {verb}" in reference


# ---- a terminal


def on_a_terminal(node, *arguments):
    """What the command writes to a terminal; it has to succeed."""
    import pty
    leader, follower = pty.openpty()
    env = environment(NEXUS_ADMIN_URL=node.admin_url, TERM="xterm-256color")
    env.pop("NO_COLOR", None)
    process = subprocess.Popen([str(NEXUS), *map(str, arguments)], stdin=follower, stdout=follower, stderr=follower, env=env, cwd=node.project.dir)
    os.close(follower)
    output = b""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            piece = os.read(leader, 65536)
        except OSError:
            break
        if not piece:
            break
        output += piece
    process.wait(10)
    os.close(leader)
    assert process.returncode == 0, output
    return output.decode()


def test_colours_only_on_a_terminal(node):
    assert "\033[" in on_a_terminal(node, "runs", "list")
    assert "\033[" not in node.nexus("runs", "list").stdout


def test_a_build_says_that_it_began_on_a_terminal(node, tmp_path):
    project = Project(tmp_path / "built")
    project.write({"functions": [function("one", "./one.wasm", build={"command": f"cp '{node.project.dir / 'probe.wasm'}' one.wasm"})]})
    assert re.search(r"building\S* one", on_a_terminal(node, "build", "-f", project.file))
    assert "building" not in project.nexus("build").stderr


def test_progress_only_on_a_terminal_and_after_a_second(node):
    assert "waiting" in on_a_terminal(node, "invoke", "probe", "--data", "sleep 1600")
    assert "waiting" not in on_a_terminal(node, "invoke", "probe", "--data", "quick")
    assert node.nexus("invoke", "probe", "--data", "sleep 1600").stderr == ""
