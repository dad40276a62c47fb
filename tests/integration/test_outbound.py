"""Outbound HTTP of functions against real servers: what is granted is reached, what is not is not, and a replay needs none of them."""

import http.server
import json
import shutil
import ssl
import subprocess
import threading

import pytest
from nexus.node import Node, function
from nexus.wait import wait_until

INVALID, DENIED, LIMIT, TIMEOUT, UNAVAILABLE = 4, 1, 5, 6, 7
RESOLVER = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <netdb.h>
#include <stddef.h>
#include <string.h>
int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints, struct addrinfo **res)
{
    int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) = dlsym(RTLD_NEXT, "getaddrinfo");
    size_t n = node ? strlen(node) : 0;
    return real(n > 5 && strcmp(node + n - 5, ".test") == 0 ? "127.0.0.1" : node, service, hints, res);
}
"""


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def handle_one(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.requests.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}, body))
        if self.path.startswith("/to/"):
            self.answer(302, Location=self.path[4:])
        elif self.path == "/slow":
            self.answer(200, b"a", Content_Length="10")
            self.wfile.flush()
            self.server.over.wait(30)
            self.close_connection = True
        elif self.path == "/huge":
            self.answer(200, b"", Content_Length=str(64 << 20))
            for _ in range(64):
                self.wfile.write(b"x" * (1 << 20))
        else:
            self.answer(201, json.dumps({"number": len(self.server.requests), "said": body.decode()}).encode(), Content_Type="application/json", Set_Cookie="a=b")

    do_GET = do_POST = do_PUT = do_DELETE = handle_one

    def handle(self):
        try:
            super().handle()
        except OSError:  # the other side went away
            pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, context=None):
        super().__init__(("127.0.0.1", 0), Handler)
        self.requests, self.over = [], threading.Event()
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def port(self):
        return self.server_address[1]

    def close(self):
        self.over.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, *_):
        pass


def certificates(folder):
    """An authority of our own, and a certificate of it for localhost."""
    def openssl(*arguments):
        subprocess.run(["openssl", *map(str, arguments)], cwd=folder, check=True, capture_output=True, timeout=60)
    (folder / "names").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1")
    openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", 2, "-subj", "/CN=Test authority", "-keyout", "ca.key", "-out", "ca.pem")
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost", "-keyout", "tls.key", "-out", "tls.csr")
    openssl("x509", "-req", "-in", "tls.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", 2, "-extfile", "names", "-out", "tls.pem")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "tls.pem", folder / "tls.key")
    return context


class World:
    """A node whose functions are granted this and that, and the servers around it."""

    def __init__(self, project, guests, folder, env):
        self.near, self.far, self.tls = Server(), Server(), Server(certificates(folder))
        code = project.module(guests.c("outside.c"))
        named = f"http://127.0.0.1:{self.near.port}"
        project.write({"outbound": {"ca": str(folder / "ca.pem")}, "functions": [
            function("near", code, timeout="10s", allowed_outbound_hosts=[named]),
            function("both", code, timeout="10s", allowed_outbound_hosts=[named, f"http://127.0.0.1:{self.far.port}"]),
            function("hasty", code, timeout="300ms", allowed_outbound_hosts=[named]),
            function("tls", code, timeout="10s", allowed_outbound_hosts=[f"https://localhost:{self.tls.port}"]),
            function("public", code, timeout="10s", allowed_outbound_hosts=["http://*.example.test:*", "http://*:*"]),
            function("nothing", code, timeout="10s"),
        ]})
        self.node = Node(project, env=env)

    def ask(self, name, message):
        """(status of the host call, the answer's text, the event's id)"""
        answer = self.node.call(name, f"http\n{message}")
        assert answer.status_code == 200, answer.text
        status, _, text = answer.text.partition("\n")
        return int(status), text, answer.headers["nexus-event-id"]

    def close(self):
        for server in (self.near, self.far, self.tls):
            server.close()


@pytest.fixture(scope="module")
def world(module_project, guests, tmp_path_factory):
    folder = tmp_path_factory.mktemp("world")
    (folder / "resolver.c").write_text(RESOLVER)
    subprocess.run([shutil.which("cc") or "gcc", "-shared", "-fPIC", "-o", folder / "resolver.so", folder / "resolver.c", "-ldl"], check=True, timeout=60)
    world = World(module_project, guests, folder, {"LD_PRELOAD": folder / "resolver.so", "http_proxy": "http://127.0.0.1:1"})
    with world.node:
        yield world
    world.close()


def test_answer_reaches_the_function_and_is_recorded(world):
    status, text, event_id = world.ask("near", f"POST http://127.0.0.1:{world.near.port}/a?b=c\nX-One: 1\n\nhello")
    head, _, body = text.partition("\n\n")
    assert status == 0 and head.splitlines()[0] == "201" and json.loads(body)["said"] == "hello"
    assert "content-type: application/json" in head and "set-cookie: a=b" in head and "connection" not in head
    method, path, headers, _ = world.near.requests[-1]
    assert (method, path, headers["x-one"]) == ("POST", "/a?b=c", "1")
    run = world.node.whole_run(world.node.run_of(event_id)["run_id"])
    # The span of the run is the parent of what the other side does.
    assert headers["traceparent"] == f"00-{run['trace_id']}-{run['span_id']}-01"
    (effect,) = run["effects"]
    assert effect["name"] == "http.request" and effect["status"] == "OK" and effect["answer"] == text


def test_replay_asks_nobody(world):
    _, text, event_id = world.ask("near", f"GET http://127.0.0.1:{world.near.port}/once\n\n")
    before = len(world.near.requests)
    (verdict,) = world.node.replay(event_id)
    assert verdict["verdict"] == "identical" and verdict["output"] == f"0\n{text}"
    assert len(world.near.requests) == before


def test_replay_is_identical_with_the_server_gone_and_the_node_restarted(project, guests, tmp_path):
    server = Server()
    project.write({"functions": [function("f", project.module(guests.c("outside.c")), allowed_outbound_hosts=f"http://127.0.0.1:{server.port}")]})
    with Node(project) as node:
        answer = node.call("f", f"http\nGET http://127.0.0.1:{server.port}/to//landed\n\n")
        assert answer.text.startswith("0\n201\n")
        event_id = answer.headers["nexus-event-id"]
        assert [path for _, path, _, _ in server.requests] == ["/to//landed", "/landed"]
        server.close()
        node.restart()
        (verdict,) = node.replay(event_id)
        assert verdict["verdict"] == "identical" and verdict["output"] == answer.text
        again = node.call("f", f"http\nGET http://127.0.0.1:{server.port}/\n\n")
        assert again.text.startswith(f"{UNAVAILABLE}\n")
        (verdict,) = node.replay(again.headers["nexus-event-id"])  # a failure is an answer, and repeats too
        assert verdict["verdict"] == "identical"


@pytest.mark.parametrize("name, path, says", [
    ("nothing", "/", "allowed_outbound_hosts"),
    ("near", "far", "allowed_outbound_hosts"),
    ("near", "/to/{far}/", "redirected"),
    ("near", "/to/http://169.254.169.254/latest/meta-data", "redirected"),
    ("public", "/", "allowed_outbound_hosts"),
    ("public", "api.example.test", "loopback"),
    ("public", "[::1]", "allowed_outbound_hosts"),
    ("public", "0x7f.1", "allowed_outbound_hosts"),
])
def test_what_is_not_granted_is_not_reached(world, name, path, says):
    far = f"http://127.0.0.1:{world.far.port}"
    url = {"far": far}.get(path) or (f"http://127.0.0.1:{world.near.port}{path.format(far=far)}" if path.startswith("/") else f"http://{path}:{world.far.port}/")
    before = len(world.far.requests), len(world.near.requests)
    status, text, event_id = world.ask(name, f"GET {url}\nAuthorization: Bearer t\n\n")
    assert (status, says in text) == (DENIED, True), text
    assert len(world.far.requests) == before[0] and len(world.near.requests) == before[1] + (1 if "/to/" in path else 0)
    (verdict,) = world.node.replay(event_id)
    assert verdict["verdict"] == "identical"


def test_redirect_to_another_origin_keeps_credentials_back(world):
    far = f"http://127.0.0.1:{world.far.port}"
    status, _, _ = world.ask("both", f"GET http://127.0.0.1:{world.near.port}/to/{far}/landed\nAuthorization: Bearer t\nX-Api-Key: k\nAccept: a/b\n\n")
    assert status == 0
    method, path, headers, _ = world.far.requests[-1]
    assert (method, path, headers["accept"]) == ("GET", "/landed", "a/b")
    assert "authorization" not in headers and "x-api-key" not in headers and "traceparent" in headers


def test_tls_is_verified_by_the_given_authority(world):
    status, text, _ = world.ask("tls", f"GET https://localhost:{world.tls.port}/\n\n")
    assert status == 0 and text.startswith("201\n"), text


def test_tls_of_an_unknown_authority_is_refused(project, guests, tmp_path):
    server = Server(certificates(tmp_path))
    project.write({"functions": [function("f", project.module(guests.c("outside.c")), allowed_outbound_hosts=f"https://localhost:{server.port}")]})
    with Node(project) as node:
        answer = node.call("f", f"http\nGET https://localhost:{server.port}/\n\n")
        assert answer.text.startswith(f"{UNAVAILABLE}\n") and "certificate" in answer.text
        assert server.requests == []
    server.close()


def test_huge_answer_and_bad_messages(world):
    status, text, _ = world.ask("near", f"GET http://127.0.0.1:{world.near.port}/huge\n\n")
    assert status == LIMIT and "bytes" in text
    for message, says in [("nonsense", "line 1"), ("GET http://127.0.0.1:1/\nHost: x\n\n", "set by the platform"),
                          (f"GET http://127.0.0.1:{world.near.port}/\nx: a\rHost: y\n\n", "control character")]:
        status, text, _ = world.ask("near", message)
        assert (status, says in text) == (INVALID, True), text


def test_slow_body_ends_with_the_attempts_time(world):
    event_id = world.node.publish("hasty", f"http\nGET http://127.0.0.1:{world.near.port}/slow\n\n")
    run = world.node.run_of(event_id)
    assert (run["status"], run["why"]) == ("timeout", "deadline")
    (verdict,) = world.node.replay(event_id)
    assert verdict["verdict"] == "identical", verdict


def test_slow_servers_do_not_stop_a_node(world):
    """More of them than there are running slots: others go on."""
    waiting = [world.node.publish("near", f"http\nGET http://127.0.0.1:{world.near.port}/slow\n\n") for _ in range(8)]
    wait_until(lambda: sum(path == "/slow" for _, path, _, _ in world.near.requests) >= 8, "eight slow requests", 10)
    status, _, _ = world.ask("near", f"GET http://127.0.0.1:{world.near.port}/quick\n\n")
    assert status == 0
    world.near.over.set()
    for event_id in waiting:
        world.node.run_of(event_id)
    world.near.over.clear()


def test_requests_are_counted_by_outcome(world):
    text = world.node.client.get(f"{world.node.admin_url}/metrics").text
    counts = {line.split('"')[1]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith("nexus_outbound_requests_total{")}
    assert counts["answered"] >= 5 and counts["denied"] >= 5 and counts["limit"] >= 1 and counts["invalid"] >= 3 and counts["timeout"] >= 1
    assert "nexus_outbound_request_duration_seconds_count" in text


def test_nodes_stop_does_not_wait_for_the_outside(project, guests):
    server = Server()
    project.write({"functions": [function("f", project.module(guests.c("outside.c")), timeout="2m", allowed_outbound_hosts=f"http://127.0.0.1:{server.port}")]})
    with Node(project) as node:
        node.publish("f", f"http\nGET http://127.0.0.1:{server.port}/slow\n\n")
        wait_until(lambda: server.requests, "the request", 10)
    server.close()
