"""Shadows: other code beside the live version, on the same events, and its promotion."""

import json

import pytest
from nexus.node import Node, Project, function
from nexus.wait import wait_until


@pytest.fixture(scope="module")
def codes(guests):
    """(the function, the same in other words, another answer for events that hold 7)."""
    return guests.welcome("", "s = s.chars().collect();", 'if s.contains("7") { s.push_str("!"); }')


@pytest.fixture
def node(tmp_path, codes):
    project = Project(tmp_path / "project")
    project.write({"functions": [function("welcome", project.module(codes[0], "code.wasm"))]})
    with Node(project, verb="serve") as node:
        node.json("deploy")
        yield node


def status(node):
    (one,) = node.json("shadow", "status")
    return one["events"], one["diffs"]


def publish(node, *contents):
    for content in contents:
        node.publish("welcome", content)


def test_shadow_counts_proves_and_is_promoted(node, codes):
    publish(node, "before the shadow")
    wait_until(lambda: len(node.runs()) == 1, "the run")
    started = node.json("shadow", "welcome", codes[1])[0]
    assert started["kind"] == "shadow"
    publish(node, *"abcde")
    wait_until(lambda: status(node) == (5, 0), "5 events", 15)
    text = node.nexus("shadow", "status").stdout
    assert "5 events, 0 diffs" in text and "sha256:" in text
    # Not proved yet: nothing changes.
    refused = node.nexus("shadow", "promote", "welcome", "--min", "6", check=False)
    assert refused.returncode == 5 and "5 events, 0 diffs so far; 6 are asked for" in refused.stderr
    assert node.api_list("functions")[0]["version"] == "v1"
    # A stop and a start lose nothing, and what came meanwhile is taken up.
    node.restart()
    publish(node, "f")
    wait_until(lambda: status(node) == (6, 0), "6 events", 15)
    promoted = node.json("shadow", "promote", "welcome", "--min", "6")[0]
    assert promoted["version"] == "v2" and promoted["events"] == 6
    wait_until(lambda: node.api_list("functions")[0]["version"] == "v2", "v2")
    assert node.call("welcome", "x").text == "welcome x"
    assert node.run_of(node.publish("welcome", "y"))["version"] == "v2"
    # The shadow is over.
    wait_until(lambda: node.api(f"jobs/{started['job_id']}").json()["status"] == "canceled", "its end")
    assert "no shadow is running" in node.nexus("shadow", "status").stderr
    assert node.nexus("shadow", "promote", "welcome", "--min", "1", check=False).returncode == 4


def test_shadow_that_differs_is_not_promoted(node, codes):
    node.nexus("shadow", "start", "welcome", codes[2])
    publish(node, "6", "7", "8")
    wait_until(lambda: status(node) == (3, 1), "3 events, 1 diff", 15)
    refused = node.nexus("shadow", "promote", "welcome", "--min", "1", check=False)
    assert refused.returncode == 5 and "1 of 3 events came out otherwise" in refused.stderr
    again = node.nexus("shadow", "start", "welcome", codes[2], check=False)
    assert again.returncode == 5 and "has this shadow already" in again.stderr
    # A second candidate beside it.
    node.nexus("shadow", "start", "welcome", codes[1])
    assert len(node.json("shadow", "status")) == 2
    node.nexus("shadow", "stop", "welcome")
    wait_until(lambda: not node.json("shadow", "status"), "no shadow", 10)
    assert len(node.json("shadow", "status", "--all")) == 2


def test_deploy_can_require_a_shadow(node, codes):
    node.project.module(codes[1], "code.wasm")
    refused = node.nexus("deploy", "--require-shadow", "3", check=False)
    assert refused.returncode == 5 and "no shadow has run this module" in refused.stderr
    node.nexus("shadow", "start", "welcome", codes[1])
    publish(node, "a", "b")
    wait_until(lambda: status(node) == (2, 0), "2 events", 15)
    refused = node.nexus("deploy", "--require-shadow", "3", check=False)
    assert refused.returncode == 5 and "2 events and 0 diffs" in refused.stderr
    publish(node, "c")
    wait_until(lambda: status(node) == (3, 0), "3 events", 15)
    assert node.json("deploy", "--require-shadow", "3")[0]["version"] == "v2"


def test_shadow_refuses_what_makes_no_sense(node, codes):
    assert node.nexus("shadow", "nobody", codes[1], check=False).returncode == 4
    assert node.nexus("shadow", "welcome", "v9", check=False).returncode == 4
    answer = node.client.post(f"{node.admin_url}/api/v1/jobs", json={"kind": "shadow", "spec": {"function": "welcome", "against": "v1", "effects": "live"}})
    assert answer.status_code == 400 and "would do everything twice" in answer.json()["detail"]
    assert node.nexus("shadow", "promote", "welcome", check=False).returncode == 2
    assert json.loads(node.nexus("shadow", "stop", "welcome", "--json", check=False).stderr)["error"]
