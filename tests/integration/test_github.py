"""Real input: every example payload of @octokit/webhooks-examples through the gateway to examples/github-webhooks, answered and repeated."""

import json
import re
import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
from nexus.node import Node, Project
from nexus.paths import EXAMPLES, ROOT
from nexus.wait import Stopwatch

EXAMPLE = EXAMPLES / "github-webhooks"
PACKAGE = ROOT / ".deps" / "node_modules" / "@octokit" / "webhooks-examples"


def payloads():
    """(where it is from, name of the webhook, the payload) of every example, of github.com and of each Enterprise release."""
    for index in sorted(PACKAGE.glob("*/index.json")):
        for webhook in json.loads(index.read_text()):
            for number, example in enumerate(webhook["examples"]):
                yield f"{index.parent.name}/{webhook['name']}/{number}", webhook["name"], example


def kinds():
    source = (EXAMPLE / "src" / "lib.rs").read_text()
    table = re.search(r"const KINDS: .*?= &\[(.*?)\];", source, re.S).group(1)
    return re.findall(r'\("(\w+)", "(\w+)"\)', table)


KINDS = kinds()
SUBJECTS = ["pull_request", "issue", "discussion", "release", "milestone", "label", "check_run", "workflow_run", "project"]


def text(value, *keys):
    if not isinstance(value, dict):
        return None
    return next((value[k] for k in keys if isinstance(value.get(k), str)), None)


def summary(event):
    """What the function must answer."""
    subject = next((event[k] for k in SUBJECTS if k in event), None)
    number = event.get("number") if "number" in event else (subject or {}).get("number") if isinstance(subject, dict) else None
    return {
        "kind": next((kind for key, kind in KINDS if key in event), "other"),
        "action": text(event, "action"),
        "repository": text(event.get("repository"), "full_name", "name"),
        "organization": text(event.get("organization"), "login"),
        "sender": text(event.get("sender"), "login"),
        "number": number,
        "title": text(subject, "title", "name", "tag_name"),
        "ref": text(event, "ref"),
        "commits": len(event["commits"]) if isinstance(event.get("commits"), list) else None,
    }


@pytest.mark.timeout(300)
def test_every_example_payload_is_answered_and_repeats(tmp_path):
    examples = list(payloads())
    assert len(examples) > 300, "the payloads come from npm: run scripts/setup test"
    project = Project(tmp_path / "github-webhooks")
    shutil.copytree(EXAMPLE, project.dir, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".nexus", "build"))
    project.nexus("build", timeout=120)
    with Node(project) as node, ThreadPoolExecutor(8) as pool:
        def send(example):
            where, name, payload = example
            answer = node.post("/hooks/github", json_body=payload, headers={"X-GitHub-Event": name, "X-GitHub-Delivery": where})
            assert answer.status_code == 200, f"{where}: {answer.status_code} {answer.text}"
            assert answer.json() == summary(payload), where
            return where, answer.headers["nexus-event-id"], answer.text

        with Stopwatch() as sending:
            answered = list(pool.map(send, examples))
        assert len({event_id for _, event_id, _ in answered}) == len(examples)

        def repeat(item):
            where, event_id, output = item
            reply = node.client.post(f"{node.admin_url}/api/v1/replays", json={"event_id": event_id})
            (verdict,) = [json.loads(line) for line in reply.text.splitlines()]
            assert (verdict["verdict"], verdict["reason"]) == ("identical", ""), f"{where}: {verdict}"
            assert verdict["output"] == output, where

        with Stopwatch() as replaying:
            list(pool.map(repeat, answered))
        print(f"{len(examples)} webhooks: sent in {sending.s:.1f} s, replayed in {replaying.s:.1f} s")

        # The payload is in the log byte for byte, and the command says the same.
        where, event_id, _ = answered[7]
        assert node.nexus("events", "show", event_id, "--data").stdout == node.api(f"events/{event_id}/data").text
        assert json.loads(node.api(f"events/{event_id}/data").text) == examples[7][2]
        assert node.replay(event_id)[0]["verdict"] == "identical"


def test_what_is_no_json_is_a_recorded_error(tmp_path):
    project = Project(tmp_path / "github-webhooks")
    shutil.copytree(EXAMPLE, project.dir, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".nexus"))
    with Node(project) as node:
        answer = node.post("/hooks/github", "not json")
        assert answer.status_code == 502
        assert answer.json()["code"] == "exit"
        run = node.api(f"runs/{answer.json()['run_id']}").json()
        assert "not a webhook" in run["logs"]
        assert [v["verdict"] for v in node.replay(answer.json()["event_id"])] == ["identical"]
