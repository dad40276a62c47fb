"""Secrets: values reach the functions they were granted to, and nothing else: no record, log, bundle, metric, message, file."""

import hashlib
import http.server
import json
import os
import shutil
import stat
import subprocess
import threading

import pytest
from nexus.node import Node, Project, environment, function, nexus
from nexus.paths import NEXUS

VALUE = "sk-live-7f3a9c51e0d2"  # looked for everywhere


def settings(project, guests, **more):
    return {"functions": [function("hello", project.module(guests.wat("answer.wat", TEXT="hello", LENGTH=5)))], **more}


@pytest.fixture(scope="module")
def node(module_project, guests):
    (module_project.dir / "file.txt").write_text(f"{VALUE}-file\n")
    module_project.write(settings(module_project, guests, secrets={"FROM_FILE": {"file": "./file.txt"}, "FROM_ENV": {"env": "NODE_SECRET"},
                                                                   "NOWHERE": {"env": "NOT_SET"}}))
    with Node(module_project, env={"NODE_SECRET": f"{VALUE}-env"}) as node:
        yield node


def listed(node):
    return {s["name"]: s for s in node.json("secrets", "list")}


def test_set_list_change_remove(node):
    assert node.json("secrets", "set", "PIPED", stdin=f"{VALUE}\n") == [{"namespace": "default", "name": "PIPED", "created": True}]
    assert node.json("secrets", "set", "PIPED", stdin=f"{VALUE}-changed")[0]["created"] is False
    secret = listed(node)["PIPED"]
    assert secret["source"] == "store" and secret["available"] is True and secret["set_at"].endswith("Z") and secret["functions"] == []
    shown = node.nexus("secrets", "list").stdout
    assert "PIPED" in shown and VALUE not in shown
    assert node.nexus("secrets", "rm", "PIPED").stdout == "PIPED is removed\n"
    assert "PIPED" not in listed(node)
    assert node.nexus("secrets", "rm", "PIPED", check=False).returncode == 4


def test_list_tells_where_values_are_and_whether_they_are_there(node):
    all_ = listed(node)
    assert (all_["FROM_FILE"]["source"], all_["FROM_FILE"]["at"], all_["FROM_FILE"]["available"]) == ("file", str(node.project.dir / "file.txt"), True)
    assert (all_["FROM_ENV"]["source"], all_["FROM_ENV"]["at"], all_["FROM_ENV"]["available"]) == ("env", "NODE_SECRET", True)
    assert all_["NOWHERE"]["available"] is False


def test_value_is_not_taken_from_the_command_line_and_not_shown(node):
    result = node.nexus("secrets", "set", "A", VALUE, check=False)
    assert result.returncode == 2 and "not taken from the command line" in result.stderr
    assert VALUE not in result.stdout + result.stderr
    assert "A" not in listed(node)


@pytest.mark.parametrize("name, value, code, says", [
    ("9LIVES", "x", 2, "a letter or _ first"),
    ("a.b", "x", 2, "a letter or _ first"),
    ("EMPTY", "", 2, "empty"),
    ("EMPTY", "\n", 2, "empty"),
    ("BIG", "x" * 70000, 2, "at most 65536 bytes"),
    ("FROM_FILE", "x", 5, "comes from the file"),
    ("FROM_ENV", "x", 5, "comes from the variable NODE_SECRET"),
])
def test_what_cannot_be_set_says_why(node, name, value, code, says):
    result = node.nexus("secrets", "set", name, stdin=value, check=False)
    assert result.returncode == code, result.stderr
    assert says in result.stderr


def test_value_from_a_file_and_from_a_terminal(node):
    (node.project.dir / "given").write_text(f"{VALUE}-given\r\n")
    node.nexus("secrets", "set", "GIVEN", "--from-file", "given")
    main, side = os.openpty()
    process = subprocess.Popen([str(NEXUS), "secrets", "set", "TYPED"], stdin=side, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=node.project.dir,
                               env=environment(NEXUS_ADMIN_URL=node.admin_url), text=True)
    os.close(side)
    asked = os.read(process.stderr.fileno(), 100).decode()  # echo is off by then
    os.write(main, f"{VALUE}-typed\n".encode())
    out, err = process.communicate(timeout=30)
    try:
        echoed = os.read(main, 1000).decode()
    except OSError:  # nothing, and the other side is gone
        echoed = ""
    os.close(main)
    assert process.returncode == 0, err
    assert "TYPED is set" in out and "not shown" in asked + err
    assert VALUE not in echoed + out + err
    assert listed(node)["GIVEN"]["available"] and listed(node)["TYPED"]["available"]


def test_key_is_the_nodes_and_values_need_it(project, guests):
    project.write(settings(project, guests))
    with Node(project) as node:
        assert not (project.data_dir / "secret.key").exists()  # made when it is first needed
        node.nexus("secrets", "set", "KEPT", stdin=VALUE)
        key = project.data_dir / "secret.key"
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        node.restart()
        assert listed(node)["KEPT"]["available"] is True
        node.stop()
        other = project.dir / "other.key"
        other.write_text("MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=\n")
        node.env["NEXUS_SECRET_KEY_FILE"] = other
        node.start()
        assert listed(node)["KEPT"]["available"] is False
        node.nexus("secrets", "set", "KEPT", stdin=VALUE)
        assert listed(node)["KEPT"]["available"] is True
        node.stop()
        key.unlink()
        node.start()
        assert listed(node)["KEPT"]["available"] is True and not key.exists()
        node.stop()
        node.env["NEXUS_SECRET_KEY_FILE"] = project.dir / "gone.key"
        node.start()
        result = node.nexus("secrets", "set", "KEPT", stdin=VALUE, check=False)
        assert result.returncode == 69 and "gone.key" in result.stderr


# ---- in functions


def told(value):
    """What outside.c tells of a value it holds."""
    total = 2166136261
    for byte in value.encode():
        total = ((total ^ byte) * 16777619) & 0xFFFFFFFF
    return f"status 0 length {len(value)} sum {total:08x}\n"


@pytest.fixture(scope="module")
def shop(tmp_path_factory, guests):
    """A node with functions that use secrets by the host call and by the environment."""
    project = Project(tmp_path_factory.mktemp("shop") / "project")
    code = project.module(guests.c("outside.c"))
    (project.dir / "file.txt").write_text(f"{VALUE}-file\n")
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            seen.append(dict(self.headers))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    host = f"http://127.0.0.1:{server.server_address[1]}"
    project.write({"secrets": {"FROM_FILE": {"file": "./file.txt"}, "FROM_ENV": {"env": "NODE_SECRET"}}, "functions": [
        function("reads", code, secrets=["KEY", "FROM_FILE", "FROM_ENV", "MISSING"], allowed_outbound_hosts=host),
        function("ungranted", code),
        function("env", code, secrets={"env": {"PASSWORD": "KEY", "OTHER": "FROM_FILE"}}),
        function("lacks", code, secrets={"env": {"PASSWORD": "MISSING"}}),
    ]})
    with Node(project, env={"NODE_SECRET": f"{VALUE}-env"}) as node:
        node.nexus("secrets", "set", "KEY", stdin=VALUE)
        node.host, node.seen = host, seen
        yield node
    server.shutdown()
    server.server_close()


def test_host_call_gives_the_value_and_records_a_proof(shop):
    for name, value in [("KEY", VALUE), ("FROM_FILE", f"{VALUE}-file"), ("FROM_ENV", f"{VALUE}-env")]:
        answer = shop.call("reads", f"secret {name}")
        assert answer.text == told(value)
        run = shop.whole_run(shop.run_of(answer.headers["nexus-event-id"])["run_id"])
        (effect,) = run["effects"]
        assert effect["name"] == "secret.get" and effect["status"] == "OK" and effect["answer"].startswith("hmac-sha256:")
    assert shop.call("reads", "secret MISSING").text.startswith("status 2: ")
    assert shop.call("ungranted", "secret KEY").text.startswith("status 1: ")


def test_secret_goes_out_in_a_header_and_stays_out_of_the_record(shop):
    answer = shop.call("reads", f"with KEY Authorization\nGET {shop.host}/\n\n")
    assert answer.text.startswith("0\n200\n")
    assert shop.seen[-1]["Authorization"] == VALUE
    event_id = answer.headers["nexus-event-id"]
    (verdict,) = shop.replay(event_id)
    assert verdict["verdict"] == "identical", verdict
    # Nor can it be guessed: what the record has of the request is made with the node's key.
    request = f"GET {shop.host}/\nAuthorization: {VALUE}\n\n"
    guess = hashlib.sha256(b"http.request\0" + request.encode()).hexdigest()
    run = shop.whole_run(shop.run_of(event_id)["run_id"])
    assert [x["name"] for x in run["effects"]] == ["secret.get", "http.request"]
    assert run["effects"][1]["request_sha256"] != guess
    answer = shop.call("reads", f"http\nGET {shop.host}/\nAuthorization: {VALUE}\n\n")  # not from a secret: the guess is how it is made
    run = shop.whole_run(shop.run_of(answer.headers["nexus-event-id"])["run_id"])
    assert run["effects"][0]["request_sha256"] == guess


def test_replay_asks_for_the_value_and_notices_another(shop):
    shop.nexus("secrets", "set", "KEY", stdin=VALUE)
    event_id = shop.call("reads", "secret KEY").headers["nexus-event-id"]
    in_env = shop.call("env", "env PASSWORD").headers["nexus-event-id"]
    for event in (event_id, in_env):
        (verdict,) = shop.replay(event)
        assert verdict["verdict"] == "identical", verdict
    shop.nexus("secrets", "set", "KEY", stdin="another")
    (verdict,) = shop.replay(event_id, check=False)
    assert verdict["verdict"] == "failed" and "secret KEY has another value" in verdict["reason"], verdict
    (verdict,) = shop.replay(in_env, check=False)
    assert verdict["verdict"] == "failed" and "secret KEY, variable PASSWORD" in verdict["reason"] and "another value" in verdict["reason"], verdict
    shop.nexus("secrets", "rm", "KEY")
    (verdict,) = shop.replay(event_id, check=False)
    assert verdict["verdict"] == "failed" and "nexus secrets set KEY" in verdict["reason"], verdict
    (verdict,) = shop.replay(in_env, check=False)
    assert verdict["verdict"] == "failed" and "nexus secrets set KEY" in verdict["reason"], verdict
    shop.nexus("secrets", "set", "KEY", stdin=VALUE)
    for event in (event_id, in_env):
        (verdict,) = shop.replay(event)
        assert verdict["verdict"] == "identical", verdict


def test_variable_holds_the_value_and_the_record_its_proof(shop):
    shop.nexus("secrets", "set", "KEY", stdin=VALUE)
    answer = shop.call("env", "env PASSWORD")
    assert answer.text == told(VALUE)
    run = shop.whole_run(shop.run_of(answer.headers["nexus-event-id"])["run_id"])
    assert run["env"]["PASSWORD"].startswith("hmac-sha256:") and run["env"]["OTHER"].startswith("hmac-sha256:")
    assert run["secret_env"] == {"OTHER": "FROM_FILE", "PASSWORD": "KEY"}


def test_missing_secret_of_the_environment_fails_the_run_with_words(shop):
    event_id = shop.publish("lacks", "env PASSWORD")
    run = shop.run_of(event_id)
    assert (run["status"], run["why"]) == ("error", "no_secret")
    assert "nexus secrets set MISSING" in shop.whole_run(run["run_id"])["message"]
    (verdict,) = shop.replay(event_id, check=False)
    assert verdict["verdict"] == "failed" and "not executed" in verdict["reason"], verdict


def test_bundle_of_a_run_with_secrets_says_what_it_lacks(shop):
    shop.nexus("secrets", "set", "KEY", stdin=VALUE)
    for name, content in [("reads", "secret KEY"), ("env", "env PASSWORD")]:
        event_id = shop.call(name, content).headers["nexus-event-id"]
        shop.nexus("bundle", event_id, "-o", f"{name}.nxb")
        assert not holds(shop.project.dir / f"{name}.nxb", VALUE)
        result = nexus("replay", f"{name}.nxb", "--json", cwd=shop.project.dir, check=False)
        verdict = json.loads(result.stdout.splitlines()[0])
        assert verdict["verdict"] == "failed" and "secret " in verdict["reason"] and "--secrets DIR" in verdict["reason"], verdict


def test_bundle_is_replayed_with_values_and_key_from_a_folder(shop, tmp_path):
    shop.nexus("secrets", "set", "KEY", stdin=VALUE)
    cases = tmp_path / "cases"
    cases.mkdir()
    for name, content in [("reads", f"with KEY Authorization\nGET {shop.host}/\n\n"), ("env", "env PASSWORD")]:
        shop.nexus("bundle", shop.call(name, content).headers["nexus-event-id"], "-o", f"{cases}/{name}.nxb")
    values = tmp_path / "values"
    values.mkdir()

    def replay(name):
        result = nexus("replay", f"{cases}/{name}.nxb", "--secrets", values, "--json", cwd=tmp_path, check=False)
        return json.loads(result.stdout) if result.stdout else result.stderr

    assert "secret.key" in replay("env")  # without the key nothing proves a value
    shutil.copy(shop.project.data_dir / "secret.key", values)
    assert f"{values}/KEY" in replay("reads")["reason"]
    (values / "KEY").write_text("another")
    (values / "FROM_FILE").write_text(f"{VALUE}-file\n")
    assert all("another value" in replay(name)["reason"] for name in ("reads", "env"))
    (values / "KEY").write_text(f"{VALUE}\n")
    for name in ("reads", "env"):
        verdict = replay(name)
        assert verdict["verdict"] == "identical", verdict
    result = nexus("test", "--cases", cases, "--against", "recorded", "--secrets", values, "--exact", cwd=tmp_path)
    assert "2 passed" in result.stdout
    assert nexus("test", "--cases", cases, "--against", "recorded", cwd=tmp_path, check=False).returncode == 1
    refused = shop.nexus("replay", "@last", "--secrets", values, check=False)
    assert refused.returncode == 2 and "the node reads its own secrets" in refused.stderr


def test_node_reminds_of_what_is_missing(shop):
    shop.wait_log("function 'lacks' was granted secret MISSING, which has no value here: nexus secrets set MISSING")


def test_listed_with_the_functions_that_may_use_it(shop):
    assert set(listed(shop)["KEY"]["functions"]) == {"env", "reads"}


def holds(file, text):
    try:
        return text.encode() in file.read_bytes()
    except OSError:
        return False


def test_value_is_nowhere(project, guests):
    """Everything that a node writes and says, after each way of using a secret, in success and in failure."""
    code = project.module(guests.c("outside.c"))
    project.write({"log": {"level": "debug"}, "functions": [
        function("reads", code, secrets="KEY", allowed_outbound_hosts="http://127.0.0.1:1"),
        function("env", code, secrets={"env": {"PASSWORD": "KEY"}}, timeout="200ms")]})
    with Node(project) as node:
        node.nexus("secrets", "set", "KEY", stdin=VALUE)
        node.nexus("secrets", "set", "KEY", stdin=f"{VALUE}-changed")
        said = [node.nexus("secrets", "list").stdout]
        events = [node.call("reads", "secret KEY").headers["nexus-event-id"], node.call("env", "env PASSWORD").headers["nexus-event-id"],
                  node.call("reads", "with KEY X-Key\nGET http://127.0.0.1:1/\n\n").headers["nexus-event-id"],
                  node.call("reads", "with KEY X-Key\nGET http://192.0.2.1/\n\n").headers["nexus-event-id"]]
        for event in events:
            said += [node.nexus("replay", event, check=False).stdout, node.nexus("runs", "show", event, "--json", check=False).stdout,
                     json.dumps(node.whole_run(node.run_of(event)["run_id"]))]
            node.nexus("bundle", event, "-o", f"{event}.nxb")
        said += [node.client.get(f"{node.admin_url}/metrics").text, node.nexus("logs").stdout]
        node.stop()
        files = [f for f in project.dir.rglob("*") if f.is_file()]
        assert any(holds(f, "secret.KEY") for f in files)  # the store is among them
        assert len(list(project.dir.glob("*.nxb"))) == 4
        assert [str(f) for f in files if holds(f, VALUE)] == []
        assert [text for text in said if VALUE in text] == []
        node.start()
