"""`init:` of a function: what is prepared when it is deployed is there in every run, for nothing, and in every replay."""

import json
import re

import pytest
from nexus.node import Node, function, nexus


@pytest.fixture
def pair(project, guests):
    code = project.module(guests.rust("preinit.rs"), "prepared.wasm")
    project.write({"functions": [function("plain", code, respond="sync"), function("ready", code, respond="sync", init="warm_up")]})
    return project


def test_answers_are_the_same_for_a_fraction_of_the_fuel(pair, tmp_path):
    bundle = tmp_path / "run.nxb"
    with Node(pair) as node:
        answers = {name: node.call(name, b"7") for name in ("plain", "ready")}
        assert answers["plain"].text == answers["ready"].text and "of 100" in answers["plain"].text, answers["plain"].text
        assert node.call("ready", b"7").text == answers["ready"].text  # nothing is left of the run before
        events = {name: answer.headers["nexus-event-id"] for name, answer in answers.items()}
        runs = {name: node.whole_run(node.run_of(events[name], function=name)["run_id"]) for name in events}
        assert runs["ready"]["fuel"] < runs["plain"]["fuel"] / 100, runs
        assert runs["ready"]["artifact"] != runs["plain"]["artifact"]
        assert [r["verdict"] for r in node.replay(events["ready"])] == ["identical"]
        node.nexus("bundle", events["ready"], "-o", bundle)
    home = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path)}
    assert '"identical"' in nexus("replay", bundle, "--json", cwd=tmp_path, env=home).stdout  # another process, without its cache


def test_what_reads_the_clock_ahead_of_time_is_refused_with_the_reason(pair, tmp_path):
    pair.write({"functions": [function("ready", "./prepared.wasm", init="warm_up")]})
    with Node(pair, verb="serve") as node:
        (made,) = node.json("deploy", "--no-build")
        assert made["created"]
        for init, says in (("too_early", "clock_time_get"), ("nowhere", 'no function "nowhere"'), ("handle_event", "fd_read")):
            pair.write({"functions": [function("ready", "./prepared.wasm", init=init)]})
            refused = node.nexus("deploy", "--no-build", check=False)
            assert refused.returncode != 0 and says in refused.stderr, refused.stderr
        assert node.api_list("functions")[0]["version"] == "v1"
        shown = node.json("versions", "show", "ready", "v1")[0]
        assert shown["derived"] == made["derived"] != shown["artifact"]
        assert node.json("versions", "list", "ready")[0]["derived"] == made["derived"]
        assert re.search(rf"\n  derived +{made['derived']}, ", node.nexus("versions", "show", "ready").stdout)
        # Whoever has the artifact comes to the same, on another machine and without a node.
        artifact = pair.dir / "artifact.wasm"
        artifact.write_bytes(node.api(f"artifacts/{made['artifact']}").content)
        home = {"XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path)}
        inspected = nexus("inspect", artifact, "--json", env=home).stdout
        assert json.loads(inspected)["derived"] == made["derived"]
        assert f"derived     {made['derived']}\n" in nexus("inspect", artifact, env=home).stdout
        pair.write({"functions": [function("plain", "./prepared.wasm")]})
        assert "derived" not in node.json("deploy", "--no-build")[0]


@pytest.mark.parametrize("source", ["prepared.c", "prepared.rs"])
def test_a_function_that_reads_files_can_be_prepared(project, guests, source):
    """Their libraries ask for the folders that are there, once: C's in _initialize, Rust's when it needs them or in front of every export."""
    code = project.module(guests.c(source) if source.endswith(".c") else guests.rust(source))
    (project.dir / "words.txt").write_text("first")

    def settings(init):
        project.write({"functions": [function("ready", code, respond="sync", files=["words.txt"], init=init)]})

    settings("warm_up")
    with Node(project) as node:
        answer = node.call("ready", b"")
        assert (answer.status_code, answer.text) == (200, "prepared first" + "\n" * source.endswith(".rs")), answer.text
        assert [r["verdict"] for r in node.replay(answer.headers["nexus-event-id"])] == ["identical"]
    # What a deployment would refuse, a look at the project does.
    assert project.nexus("validate").returncode == 0
    for init, says in (("too_early", "(fd_fdstat_get|path_open)"), ("nowhere", 'no function "nowhere"'), ("by_argument", "has to take and return nothing")):
        settings(init)
        refused = project.nexus("validate", check=False)
        assert refused.returncode == 2 and re.search(rf"functions\[0\]\.init: .*{says}", refused.stdout), refused.stdout
        assert project.nexus("validate", "--no-code").returncode == 0
