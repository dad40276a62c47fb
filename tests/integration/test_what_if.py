"""What if the event, the time or an answer had been another: asked of a recorded run."""

import http.server
import json
import threading

import pytest
from nexus.node import Node, function

ORDER = '{"id":12345678901234567890, "quantity":7,"price":333}'


@pytest.fixture(scope="module")
def node(module_project, guests):
    module = module_project.module(guests.rust("order.rs", options=("--cfg", "clock", "--cfg", "strict")), "order.wasm")
    probe = module_project.module(guests.rust("probe.rs"), "probe.wasm")
    module_project.write({"functions": [function("order", module), function("probe", probe), function("whole", probe, input="cloudevent")]})
    with Node(module_project) as node:
        node.event = node.publish("order", ORDER)
        node.run_of(node.event)
        yield node


def ask(node, *flags, event=None, code=10):
    result = node.nexus("replay", event or node.event, *flags, "--json", check=False)
    assert result.returncode == code, result.stdout + result.stderr
    (answer,) = [json.loads(line) for line in result.stdout.splitlines()]
    assert answer["is_what_if"] is True
    assert answer["verdict"] == ("same" if code == 0 else "different")
    return answer


def test_one_place_of_the_event(node):
    answer = ask(node, "--set", "data.quantity=3")
    assert answer["output"] == '{"total":999,"currency":"EUR"}'
    assert answer["diff"]["what"] == ["output.total changed"]
    assert ask(node, "--set", "data.note=hello", code=0)["output"].startswith('{"total":2331')
    assert ask(node, "--set", "data.quantity=3", "--set", "data.price=5")["output"].startswith('{"total":15')
    missing = ask(node, "--set", "data.price=null")
    assert missing["status"] == "error" and "status ok -> error: trap" in missing["diff"]["what"]


def test_nothing_else_of_the_event_changes(node):
    text = '{"a": 1.10, "b": [12345678901234567890],\n "c": null}'
    event = node.publish("probe", text)
    node.run_of(event)
    for path, becomes in (("data.b[1]=x", text.replace("7890]", '7890,"x"]')), ("data.c.d=1", text.replace("null", '{"d":1}'))):
        assert becomes in ask(node, "--set", path, event=event)["output"]


def test_other_data_as_a_whole(node, tmp_path):
    file = tmp_path / "data.json"
    file.write_text('{"quantity":1,"price":1}')
    assert ask(node, "--data", str(file))["output"].startswith('{"total":1,')
    assert ask(node, "--data", str(file), "--set", "data.quantity=4")["output"].startswith('{"total":4,')
    event = node.publish("whole", "binary")
    node.run_of(event)
    assert "quantity" in ask(node, "--data", str(file), event=event)["output"]


def test_another_time(node):
    assert ask(node, "--at", "2033-06-01T00:00:00Z")["logs"] == ["at 2"]
    assert ask(node, "--at", "-20000d")["logs"] == ["at 0"]
    assert ask(node, "--at", "+1s", code=0)["logs"] == ["at 1"]


def test_it_is_no_proof_and_leaves_no_record(node):
    before = len(node.runs(event=node.event, all=1))
    text = node.nexus("replay", node.event, "--set", "data.quantity=3", check=False).stdout
    assert any("what if: different" in line for line in text.splitlines())
    assert "    ~ total: 2331 -> 999" in text.splitlines()
    assert len(node.runs(event=node.event, all=1)) == before
    assert node.replay(node.event)[0]["verdict"] == "identical"


def test_on_other_code(node, guests):
    other = str(guests.rust("order.rs", options=("--cfg", "tax")))
    answer = ask(node, "--set", "data.quantity=3", "--against", other)
    assert answer["output"] == '{"total":999,"currency":"EUR","tax":199}'


def test_of_a_bundle_without_a_node(node, tmp_path):
    case = tmp_path / "case.nxb"
    node.nexus("bundle", node.event, "-o", str(case))
    node_answer = ask(node, "--set", "data.quantity=3")
    assert ask(node, "--set", "data.quantity=3", event=str(case))["output"] == node_answer["output"]


class Price(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"42")

    def log_message(self, *_):
        pass


def test_another_answer_of_an_effect(project, guests):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Price) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        does = project.module(guests.rust("effects.rs"), "does.wasm")
        project.write({"functions": [function("does", does, key_value_stores=["default"], allowed_outbound_hosts=[url])]})
        with Node(project) as node:
            asked = node.publish("does", f"http {url}/price")
            assert node.run_of(asked)["status"] == "ok"
            none = node.publish("does", "get default visits")
            node.run_of(none)
            server.shutdown()
            assert "effect       0 http.request OK" in node.nexus("runs", "show", node.run_of(asked)["run_id"]).stdout.splitlines()
            assert node.replay(asked)[0]["output"] == "200 42"
            for answer, output in [('{"status":500}', "500 42"), ('{"body":"43"}', "200 43"), ('{"status":404,"body":{"error":"gone"}}', '404 {"error":"gone"}')]:
                assert ask(node, "--set-effect", f"0={answer}", event=asked)["output"] == output
            failed = ask(node, "--set-effect", '0={"error":"TIMEOUT"}', event=asked)
            assert failed["output"].startswith("Timeout") and failed["diff"]["output"]["form"] == "text"
            assert ask(node, "--set-effect", '0={"status":200}', event=asked, code=0)["output"] == "200 42"
            assert ask(node, "--set-effect", '0={"value":"7"}', event=none)["output"] == "1 7"
            # What was not asked then has no answer now.
            (project.dir / "other.txt").write_text(f"http {url}/other")
            other = ask(node, "--data", "other.txt", event=asked)
            assert other["diff"]["after"]["why"] == "not_recorded"


@pytest.mark.parametrize("flags, says", [
    (("--set", "quantity=3"), "the path begins with data"),
    (("--set", "data.quantity"), "has no ="),
    (("--set", "data.quantity.x=3"), "data.quantity is not an object"),
    (("--set", "data..x=3"), "expected a name"),
    (("--data", "/nowhere/data.json"), "/nowhere/data.json"),
    (("--at", "soon"), "is no time"),
    (("--at", ""), "--at is empty"),
    (("--set-effect", "0"), "is not N=JSON"),
    (("--set-effect", '0={"status":500}'), "there is no effect 0"),
])
def test_mistakes_are_told(node, flags, says):
    result = node.nexus("replay", node.event, *flags, check=False)
    assert result.returncode in (1, 2, 4)
    assert says in result.stdout + result.stderr
