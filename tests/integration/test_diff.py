"""What is different: two versions of a function on one recorded event, for people, for programs and for CI."""

import json
import xml.etree.ElementTree as xml

import pytest
from nexus.node import Node, Project, function
from nexus.paths import ROOT

SMALL = '{"quantity":2,"price":100}'
LARGE = '{"quantity":7,"price":333}'
FREE = '{"quantity":1}'

# What each version of `order` is made with: options of the compiler, settings.
VERSIONS = [
    ((), {}),
    (("clock",), {}),
    (("clock",), {"env": {"CURRENCY": "USD"}}),
    (("rounds",), {}),
    (("rounds", "strict"), {}),
    (("tax",), {"env": {"CURRENCY": "USD"}}),
]


def order(guests, *cfgs):
    return guests.rust("order.rs", options=tuple(x for cfg in cfgs for x in ("--cfg", cfg)))


@pytest.fixture(scope="module")
def node(module_project, guests):
    """v1 … v6 of `order`; every event was run by v1."""
    project = module_project

    def deploy(cfgs, settings):
        project.write({"functions": [function("order", project.module(order(guests, *cfgs), "order.wasm"), **settings)]})
        return node.json("deploy", "--no-build")[0]["version"]

    project.write({"functions": [function("order", project.module(order(guests), "order.wasm"))]})
    with Node(project, verb="serve") as node:
        assert deploy(*VERSIONS[0]) == "v1"
        node.events = {}
        for name, text in (("small", SMALL), ("large", LARGE), ("free", FREE)):
            node.events[name] = node.publish("order", text)
            assert node.run_of(node.events[name])["version"] == "v1"
        assert [deploy(*v) for v in VERSIONS[1:]] == ["v2", "v3", "v4", "v5", "v6"]
        yield node


def diff(node, event, *codes, code=None):
    result = node.nexus("diff", node.events[event], *codes, "--json", check=False)
    (answer,) = [json.loads(line) for line in result.stdout.splitlines()]
    expected = {"same": 0, "different": 1, "failed": 3}[answer["verdict"]] if code is None else code
    assert result.returncode == expected, result.stdout + result.stderr
    return answer


def what(answer):
    return answer["diff"]["what"]


def test_versions_that_answer_the_same_are_the_same(node):
    answer = diff(node, "small", "v1", "v2")
    assert answer["verdict"] == "same" and what(answer) == []
    sides = answer["diff"]["before"], answer["diff"]["after"]
    assert [s["version"] for s in sides] == ["v1", "v2"]
    assert not any(s["is_recorded"] for s in sides)
    # How they came to it is told, and makes no difference.
    assert answer["diff"]["first_call"]["before"] != answer["diff"]["first_call"]["after"]
    assert sides[0]["fuel"] != sides[1]["fuel"]


def test_json_outputs_differ_by_paths(node):
    answer = diff(node, "large", "v1", "v4")
    assert what(answer) == ["output.total changed"]
    (change,) = answer["diff"]["output"]["changes"]
    assert change == {"kind": "changed", "path": "total", "before": "2331", "after": "2000"}
    assert diff(node, "small", "v1", "v4")["verdict"] == "same"
    assert what(diff(node, "large", "v1", "v6")) == ["output.currency changed", "output.tax added"]


def test_a_version_is_its_settings_too(node):
    answer = diff(node, "small", "v2", "v3")
    assert answer["diff"]["before"]["artifact"] == answer["diff"]["after"]["artifact"]
    assert what(answer) == ["output.currency changed"]


def test_status_differs_with_its_reason(node):
    answer = diff(node, "free", "v4", "v5")
    assert "status ok -> error: trap" in what(answer)
    assert "an order without a price" in answer["diff"]["after"]["message"]
    assert [c["kind"] for c in answer["diff"]["logs"]["changes"]] == ["added", "added"]


def test_the_recording_itself_is_one_of_both(node):
    answer = diff(node, "large", "recorded", "v4")
    assert answer["diff"]["before"]["is_recorded"] and answer["diff"]["before"]["version"] == "v1"
    assert answer == diff(node, "large", "v4") | {"diff": answer["diff"]}
    assert diff(node, "large", "recorded", "v1")["verdict"] == "same"


def test_live_and_files_are_codes(node, guests, tmp_path):
    assert diff(node, "large", "v6", "live")["verdict"] == "same"
    answer = diff(node, "large", "recorded", str(order(guests, "rounds")))
    assert what(answer) == ["output.total changed"]
    # A file that is called like a version does not stand in its place.
    (node.project.dir / "v4").write_text("no module")
    assert what(diff(node, "large", "v1", "v4")) == ["output.total changed"]


def test_first_call_that_differs_is_located_in_the_source(node, guests):
    debug = ("-C", "strip=none", "-C", "debuginfo=2", "-C", "opt-level=0")
    before = guests.rust("order.rs", options=debug)
    after = guests.rust("order.rs", options=(*debug, "--cfg", "clock", "--cfg", "rounds"))
    answer = diff(node, "large", str(before), str(after))
    call = answer["diff"]["first_call"]
    assert call["after"].startswith("clock_time_get(") and not call["before"].startswith("clock_time_get(")
    assert call["cause"] == "it reads the clock more often than before"
    assert any("stamp" in frame and "order.rs:" in frame for frame in call["after_at"]), call["after_at"]
    assert any("order.rs:" in frame for frame in call["before_at"]), call["before_at"]
    text = node.nexus("diff", node.events["large"], str(before), str(after), check=False).stdout
    assert "    likely: it reads the clock more often than before" in text.splitlines() and "order.rs:" in text
    # A run that is the same in all that counts is not gone through again.
    assert "after_at" not in diff(node, "small", "v1", "v2")["diff"]["first_call"]


def test_replay_says_where_and_why(node, guests):
    other = guests.wat("answer.wat", TEXT="something else", LENGTH=14)
    result = node.nexus("replay", node.events["large"], "--against", str(other), "--json", check=False)
    first = json.loads(result.stdout)["first_difference"]
    assert first["cause"] and any("handle_event" in frame or frame.startswith("#0 ") for frame in first["at"])
    assert "  likely: " in node.nexus("replay", node.events["large"], "--against", str(other), check=False).stdout


def test_for_people(node):
    result = node.nexus("diff", node.events["large"], "v1", "v4", check=False)
    assert result.returncode == 1
    lines = result.stdout.splitlines()
    assert lines[0] == "order v1 -> v4: different"
    assert "    ~ total: 2331 -> 2000" in lines
    assert any(line.startswith("  fuel ") for line in lines)
    assert "\033" not in result.stdout
    assert node.nexus("diff", node.events["small"], "v1", "v2").stdout.splitlines()[0] == "order v1 -> v2: same"


def test_junit_report(node, tmp_path):
    report = tmp_path / "report.xml"
    assert node.nexus("diff", node.events["large"], "v1", "v4", "--junit", str(report), check=False).returncode == 1
    suite = xml.parse(report).getroot().find("testsuite")
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("1", "1", "0")
    case = suite.find("testcase")
    assert case.get("classname") == "order" and node.events["large"] in case.get("name")
    assert case.find("failure").get("message") == "output.total changed"
    node.nexus("diff", node.events["small"], "v1", "v2", "--junit", str(report))
    assert xml.parse(report).getroot().find("testsuite").get("failures") == "0"


def test_what_cannot_be_compared(node):
    answer = diff(node, "small", "v1", "v99")
    assert answer["verdict"] == "failed" and "v99" in answer["reason"]
    assert node.nexus("diff", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "v1", "v2", check=False).returncode == 4
    assert node.nexus("diff", node.events["small"], "v1", "v2", "--function", "nobody", check=False).returncode == 4
    assert node.nexus("diff", node.events["small"], "./nothing.wasm", check=False).returncode == 4
    assert node.nexus("diff", node.events["small"], check=False).returncode == 2


def test_comparisons_leave_no_records(node):
    before = len(node.runs(event=node.events["small"], all=1))
    diff(node, "small", "v1", "v6")
    assert len(node.runs(event=node.events["small"], all=1)) == before


def test_range_is_grouped_by_kind_of_difference(node):
    def groups(*arguments):
        result = node.nexus("replay", "--function", "order", *arguments, "--json", check=False)
        return {tuple(g["what"]): (g["count"], g["examples"]) for g in json.loads(result.stdout)["summary"]["diff"]["groups"]}

    assert groups("--against", "v2") == {}
    # A version runs with its own settings in a range, too.
    assert groups("--against", "v3") == {("output.currency changed",): (3, list(node.events.values()))}
    found = groups("--against", "v5")
    assert found.pop(("output.total changed",)) == (1, [node.events["large"]])
    ((what, (count, examples)),) = found.items()
    assert "status ok -> error: trap" in what and (count, examples) == (1, [node.events["free"]])
    text = node.nexus("replay", "--function", "order", "--against", "v5", check=False).stdout
    assert "          ~ total: 2331 -> 2000" in text.splitlines()


def test_what_if_is_for_one_event(node):
    result = node.nexus("replay", "--function", "order", "--set", "data.x=1", check=False)
    assert result.returncode == 2 and "one event" in result.stderr


def test_replay_against_other_code_shows_the_difference(node):
    result = node.nexus("replay", node.events["large"], "--against", "v4", "--json", check=False)
    assert result.returncode == 10
    verdict = json.loads(result.stdout)
    assert verdict["verdict"] == "diverged" and verdict["version"] == "v4"
    assert verdict["diff"]["what"] == ["output.total changed"]
    text = node.nexus("replay", node.events["large"], "--against", "v4", check=False).stdout
    assert "    ~ total: 2331 -> 2000" in text.splitlines()
    assert "diff" not in node.replay(node.events["large"])[0]


INVOICE = """#[path = "SDK"]
mod nexus_sdk;
use nexus_sdk::Event;

#[no_mangle]
pub extern "C" fn handle_event() {
    let total = if cfg!(tax) { 119 } else { 100 };
    Event::new("invoice.made").subject("s/1").data(format!("{{\\"order\\":7,\\"total\\":{}}}", total)).emit().unwrap();
    println!("done");
}
"""


def test_emitted_events_differ_from_the_recorded_ones_by_paths(tmp_path, guests):
    """A recording holds the digest of what was emitted; the recorded code emits it again."""
    source = tmp_path / "invoice.rs"
    source.write_text(INVOICE.replace("SDK", str(ROOT / "sdk/rust/src/lib.rs")))
    project = Project(tmp_path / "project")
    plain, taxed = guests.rust(source), guests.rust(source, options=("--cfg", "tax"))
    project.write({"functions": [function("bill", project.module(plain), emit=["invoice.*"]),
                                 function("covered", project.module(plain), emit=["invoice.*"], redact=["data.card"])]})
    with Node(project) as node:
        event = node.publish("bill", "{}")
        node.run_of(event)
        (answer,) = [json.loads(x) for x in node.nexus("replay", event, "--against", taxed, "--json", check=False).stdout.splitlines()]
        (emitted,) = answer["diff"]["emitted"]
        assert emitted["data"]["changes"] == [{"kind": "changed", "path": "total", "before": "100", "after": "119"}]
        assert answer["diff"]["what"] == ["event invoice.made: data.total changed"]
        shown = node.nexus("diff", event, "recorded", taxed, check=False)
        assert shown.returncode == 1 and "total" in shown.stdout and "only the digest" not in shown.stdout
        # So does a range, and what of a bundle is replayed without a node.
        job = json.loads(node.nexus("replay", "--function", "bill", "--against", taxed, "--json", check=False).stdout)
        (group,) = job["summary"]["diff"]["groups"]
        assert group["what"] == ["event invoice.made: data.total changed"]
        assert group["first"]["emitted"][0]["data"]["changes"] == [{"kind": "changed", "path": "total", "before": "100", "after": "119"}]
        node.nexus("bundle", event, "-o", "bill.nxb")
        offline = json.loads(node.nexus("replay", "bill.nxb", "--against", taxed, "--json", check=False).stdout)
        assert offline["diff"]["what"] == ["event invoice.made: data.total changed"]
        # What is kept from recordings is not shown beside them either.
        hidden = node.publish("covered", '{"card": "4711 4711"}')
        node.run_of(hidden)
        (answer,) = [json.loads(x) for x in node.nexus("replay", hidden, "--against", taxed, "--json", check=False).stdout.splitlines()]
        assert answer["diff"]["emitted"][0]["data_known"] is False
        assert "only the digest is known" in node.nexus("diff", hidden, "recorded", taxed, check=False).stdout
        job = json.loads(node.nexus("replay", "--function", "covered", "--against", taxed, "--json", check=False).stdout)
        assert "119" not in json.dumps(job["summary"])
