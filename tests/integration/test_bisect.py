"""Which version was the first that did something else: found with few replays, over code and settings, in Rust and C."""

import json
import math

import pytest
from nexus.node import Node, function

LARGE = '{"quantity":7,"price":333}'
# What each version of `order` is made with; the total of a large order is wrong from v6 on.
GOOD, BAD = ("good",), ("rounds",)
VERSIONS = [GOOD, ("clock",), ("two",), ("three",), ("four",), BAD, (*BAD, "six"), (*BAD, "clock"), (*BAD, "eight"), (*BAD, "nine")]


@pytest.fixture(scope="module")
def node(module_project, guests):
    project = module_project
    modules = {cfgs: guests.rust("order.rs", options=tuple(x for cfg in cfgs if cfg in ("rounds", "clock") for x in ("--cfg", cfg))) for cfgs in VERSIONS}

    def deploy(settings):
        project.write({"functions": settings})
        return node.json("deploy", "--no-build")

    project.write({"functions": []})
    with Node(project, "--set", "log.level=info", verb="serve") as node:
        for i, cfgs in enumerate(VERSIONS):
            # Versions whose code is the same differ in their time-outs alone, which changes nothing.
            (made,) = deploy([function("order", project.module(modules[cfgs], "order.wasm"), timeout=f"{5 + i}s")])
            assert made["version"] == f"v{i + 1}" and made["created"]
            if i == 0:
                node.event = node.publish("order", LARGE)
                node.run_of(node.event)
        yield node


def bisect(node, *arguments, code=0):
    result = node.nexus("bisect", node.event, *arguments, "--json", check=False)
    assert result.returncode == code, result.stdout + result.stderr
    return json.loads(result.stdout) if result.stdout else result.stderr


def test_first_bad_version_is_found_with_few_replays(node):
    before = len(node.runs(event=node.event, all=1))
    answer = bisect(node)
    assert (answer["found"], answer["first_bad"], answer["last_good"]) == (True, "v6", "v5")
    assert answer["tested"] <= 2 + math.ceil(math.log2(len(VERSIONS)))
    assert answer["same_artifact"] is False and answer["skipped"] == []
    comparison = answer["comparison"]
    assert comparison["diff"]["what"] == ["output.total changed"]
    assert {c["path"] for c in comparison["settings"]} == {"timeout"}
    # No traffic was moved, and nothing was recorded.
    assert len(node.runs(event=node.event, all=1)) == before
    assert [v["version"] for v in node.json("versions", "list", "order") if v["live"]] == ["v10"]


def test_between_two_versions(node):
    assert bisect(node, "--good", "v3", "--bad", "v7")["first_bad"] == "v6"
    assert bisect(node, "--good", "v5", "--bad", "v6")["tested"] == 2


def test_between_aliases(node):
    node.json("alias", "set", "order", "stable", "--to", "v3")
    answer = bisect(node, "--good", "stable", "--bad", "live")
    assert (answer["first_bad"], answer["last_good"]) == ("v6", "v5")
    assert "has no version or alias 'beta'" in bisect(node, "--bad", "beta", code=4)
    node.json("alias", "set", "order", "stable", "--weight", "v3=50", "--weight", "v4=50")
    assert "is split (v4 50 %, v3 50 %): name one of its versions" in bisect(node, "--good", "stable", code=5)


def test_for_people(node):
    lines = node.nexus("bisect", node.event).stdout.splitlines()
    assert "v1: good" in lines and any(line.startswith("v10: bad (output.total changed") for line in lines)
    assert any(line.startswith("v6 is the first bad version of order, v5 the last good one") for line in lines)
    assert "    ~ total: 2331 -> 2000" in lines


def test_command_decides(node):
    assert bisect(node, "--test", 'grep -q 2331')["first_bad"] == "v6"
    # What it is told: as bad as from v9 on, whatever the output.
    late = 'test "${NEXUS_VERSION#v}" -lt 9 && test "$NEXUS_STATUS" = ok && test "$NEXUS_FUEL" -gt 0'
    assert bisect(node, "--test", late)["first_bad"] == "v9"


def test_versions_that_cannot_be_tested_are_left_out(node):
    answer = bisect(node, "--test", 'test "$NEXUS_VERSION" = v4 && exit 125; grep -q 2331')
    assert (answer["first_bad"], answer["found"]) == ("v6", True)
    answer = bisect(node, "--test", 'case $NEXUS_VERSION in v5|v6) exit 125;; esac; grep -q 2331', code=3)
    assert answer["found"] is False and answer["last_good"] == "v4" and answer["first_known_bad"] == "v7"
    assert answer["skipped"] == ["v5", "v6"]


def test_wrong_ends_are_told(node):
    assert "v6 is not good" in bisect(node, "--good", "v6", "--test", "grep -q 2331", code=5)
    assert "v5 is not bad" in bisect(node, "--bad", "v5", code=5)
    assert "not older" in bisect(node, "--good", "v6", "--bad", "v2", code=2)
    assert "no version v77" in bisect(node, "--good", "v77", code=4)
    assert "ended with code 130" in bisect(node, "--test", "exit 130", code=1)
    assert node.nexus("bisect", "01ARZ3NDEKTSV4RRFFQ69G5FAV", check=False).returncode == 4


def test_c_function_whose_settings_broke_it(project, guests):
    module = guests.c("echo.c")
    project.write({"functions": []})
    with Node(project, verb="serve") as node:
        for i, settings in enumerate([{}, {"timeout": "6s"}, {"max_output": "1Ki"}, {"max_output": "1Ki", "timeout": "7s"}]):
            project.write({"functions": [function("echo", project.module(module, "echo.wasm"), **settings)]})
            node.json("deploy", "--no-build")
            if i == 0:
                node.event = node.publish("echo", "x" * 4000)
                node.run_of(node.event)
        answer = bisect(node)
        assert (answer["first_bad"], answer["same_artifact"]) == ("v3", True)
        assert "max_output" in {c["path"] for c in answer["comparison"]["settings"]}
        assert "status ok -> error: output_limit" in answer["comparison"]["diff"]["what"]
