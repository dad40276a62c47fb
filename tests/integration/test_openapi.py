"""The description of the HTTP interfaces, against a running node: every path and method, every query parameter, what is answered."""

import hashlib
import json

import jsonschema
import pytest
from nexus.node import Node, function, lines_of
from nexus.paths import ROOT
from nexus.wait import wait_until

ERROR = "application/problem+json"


@pytest.fixture(scope="module")
def node(module_project, guests):
    echo, flaky = module_project.module(guests.c("echo.c")), module_project.module(guests.rust("flaky.rs"))
    module_project.write({"functions": [
        function("hello", echo),
        function("tick", echo, on={"cron": "@hourly"}),
        function("fails", flaky, secrets={"env": {"KEY": "API_KEY"}}),
    ]})
    with Node(module_project, verb="serve") as node:
        node.nexus("secrets", "set", "API_KEY", stdin="one")
        node.nexus("deploy", "hello", "tick", "fails")
        yield node


@pytest.fixture(scope="module")
def document(node):
    answer = node.client.get(f"{node.admin_url}/openapi.json")
    assert answer.status_code == 200 and answer.headers["content-type"] == "application/json"
    return answer.json()


def operations(document):
    return [(method.upper(), path, operation) for path, item in document["paths"].items() for method, operation in item.items() if method != "servers"]


def resolved(document, schema):
    """The schema with the definitions that it refers to."""
    return {**schema, "components": document["components"]}


def check(document, answer, operation):
    """Status and body are among what the operation says."""
    response = operation["responses"].get(str(answer.status_code))
    if response is None:
        assert answer.status_code >= 400, f"{answer.status_code} is not described"
        response = document["components"]["responses"]["Problem"]
    media = answer.headers.get("content-type", "").partition(";")[0]
    content = response["content"].get(media, response["content"].get("*/*"))
    assert content is not None, f"{media}, not {list(response['content'])}"
    values = lines_of(answer.text) if media == "application/x-ndjson" else [answer.json()] if "schema" in content else []
    for value in values:
        jsonschema.validate(value, resolved(document, content.get("schema", {})), jsonschema.Draft202012Validator,
                            format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
    return values


def test_document_is_openapi(document):
    assert document["openapi"].startswith("3.1.") and document["info"]["title"] and document["info"]["version"]
    names = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(names) > 40 and len(set(names)) == len(names)
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    text = json.dumps(document)
    for ref in {piece.partition('"')[0] for piece in text.split('"$ref": "#/')[1:]}:
        at = document
        for key in ref.split("/"):
            at = at[key]
    for method, path, operation in operations(document):
        in_path = [p["name"] for p in operation["parameters"] if p["in"] == "path"]
        assert [f"{{{name}}}" for name in in_path] == [part for part in path.split("/") if part.startswith("{")], f"{method} {path}"
        for parameter in operation["parameters"]:
            jsonschema.Draft202012Validator.check_schema(parameter["schema"])
            assert parameter["in"] == "path" or parameter["description"]


def test_document_names_both_listeners(node, document):
    assert document["servers"][0]["url"] == node.admin_url
    assert document["paths"]["/events/{type}"]["servers"][0]["url"] == node.url


def test_document_in_docs_is_that_of_a_node(document):
    kept = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
    assert "servers" not in kept
    of_node = json.loads(json.dumps(document))
    del of_node["servers"], of_node["paths"]["/events/{type}"]["servers"]
    of_node["info"]["version"] = kept["info"]["version"]
    assert of_node == kept


# ---- the walk


@pytest.fixture(scope="module")
def cases(node):
    """(method, path) -> requests in order: path parameters, query, what is sent; `at`: of another operation, which this one needs."""
    hello = node.publish("hello", b'{"n": 1}')
    run = node.run_of(hello)
    dead = node.publish("fails", b"9 trap")
    node.wait_runs(dead)
    span = {"since": "1h", "until": "2099-01-01T00:00:00Z", "limit": 5}
    version, code = {"name": "hello", "version": "v1"}, run["artifact"] if "artifact" in run else node.whole_run(run["run_id"])["artifact"]
    settings = node.api("functions/hello/versions/v1").json()["settings"]
    upload = b"\0asm\1\0\0\0"
    digest = hashlib.sha256(upload).hexdigest()

    def begin(kind, spec):
        return {"at": ("POST", "/api/v1/jobs"), "json": {"kind": kind, "spec": spec}}

    return {
        ("POST", "/events/{type}"): [
            {"path": {"type": "hello"}, "content": b"1"},
            {"path": {"type": "hello"}, "content": b"1", "headers": {"Prefer": "wait=20"}},
            {"path": {"type": "hello"}, "content": b"1", "query": {"delay": "1h"}, "headers": {"Idempotency-Key": "k", "traceparent": "", "tracestate": ""}},
            {"path": {"type": "hello"}, "content": b"1", "headers": {"Nexus-Delay": "1h"}},
            {"path": {"type": "hello"}, "content": b"1", "headers": {"Nexus-Deliver-At": "2001-01-01T00:00:00Z"}},
        ],
        ("GET", "/healthz"): [{}, {"query": {"verbose": "1"}}],
        ("GET", "/readyz"): [{}],
        ("GET", "/metrics"): [{}],
        ("GET", "/openapi.json"): [{}],
        ("GET", "/api/v1/node"): [{}],
        ("GET", "/api/v1/functions"): [{}],
        ("GET", "/api/v1/functions/{name}/versions"): [{"path": {"name": "hello"}}],
        ("POST", "/api/v1/functions/{name}/versions"): [
            {"path": {"name": "hello"}, "json": {"artifact": code, "settings": settings}, "status": 200},
            {"path": {"name": "hello"}, "json": {"artifact": code, "settings": {**settings, "timeout": "7s"}, "alias": "next", "percent": 100}, "status": 201},
        ],
        ("GET", "/api/v1/functions/{name}/versions/{version}"): [{"path": version}, {"path": {"name": "hello", "version": "live"}}],
        ("GET", "/api/v1/aliases"): [{}, {"query": {"function": "hello"}}],
        ("PUT", "/api/v1/functions/{name}/aliases/{alias}"): [
            {"path": {"name": "hello", "alias": "stable"}, "json": {"to": "v1"}},
            {"path": {"name": "hello", "alias": "stable"}, "json": {"traffic": [{"version": "v1", "percent": 90}, {"version": "v2", "percent": 10}]}},
        ],
        ("POST", "/api/v1/functions/{name}/rollback"): [{"path": {"name": "hello"}, "json": {"alias": "stable"}}],
        ("DELETE", "/api/v1/functions/{name}/aliases/{alias}"): [{"path": {"name": "hello", "alias": "stable"}}],
        ("POST", "/api/v1/functions/{name}/pause"): [{"path": {"name": "tick"}, "json": {"reason": "for a look"}}, {"path": {"name": "tick"}}],
        ("POST", "/api/v1/functions/{name}/resume"): [{"path": {"name": "tick"}}],
        ("POST", "/api/v1/functions/{name}/invoke"): [
            {"path": {"name": "hello"}, "content": b"2", "query": {"wait": 20, "content_type": "text/plain", "source": "/me", "subject": "s", "type": "hello"}, "status": 200},
            {"path": {"name": "hello"}, "content": b"2", "query": {"wait": 0}, "status": 202},
        ],
        ("PUT", "/api/v1/artifacts/{sha256}"): [{"path": {"sha256": digest}, "content": upload}, {"path": {"sha256": digest}, "content": upload}],
        ("GET", "/api/v1/artifacts/{sha256}"): [{"path": {"sha256": code}}],
        ("GET", "/api/v1/events"): [{}, {"query": {**span, "type": "hello"}}],
        ("GET", "/api/v1/events/{id}"): [{"path": {"id": hello}}, {"path": {"id": "@last"}}],
        ("GET", "/api/v1/events/{id}/data"): [{"path": {"id": hello}}],
        ("GET", "/api/v1/cron"): [{}],
        ("GET", "/api/v1/runs"): [{}, {"query": {**span, "function": "hello", "version": "v1", "status": "ok", "all": 1}}, {"query": {"event": dead}}],
        ("GET", "/api/v1/runs/{id}"): [{"path": {"id": run["run_id"]}}, {"path": {"id": node.run_of(dead)["run_id"]}}],
        ("GET", "/api/v1/secrets"): [{}],
        ("PUT", "/api/v1/secrets/{name}"): [{"path": {"name": "OTHER"}, "content": b"1", "status": 201}, {"path": {"name": "OTHER"}, "content": b"2", "status": 200}],
        ("DELETE", "/api/v1/secrets/{name}"): [{"path": {"name": "OTHER"}}],
        ("POST", "/api/v1/jobs"): [begin("replay", {"since": "1h"}), begin("shadow", {"function": "hello", "against": "v2"})],
        ("GET", "/api/v1/jobs"): [{}, {"query": {"kind": "replay", "summary": 1}}],
        ("GET", "/api/v1/jobs/{id}"): [{"path": {"id": "@last"}}],
        ("POST", "/api/v1/functions/{name}/promote"): [{"path": {"name": "hello"}, "json": {"min_events": 1}, "until": 200, "before": lambda: node.publish("hello", b"3")}],
        ("POST", "/api/v1/jobs/{id}/cancel"): [begin("shadow", {"function": "tick", "against": "v1"}), {"path": {"id": "@last"}}],
        ("GET", "/api/v1/dlq"): [{}, {"query": {**span, "function": "fails", "type": "fails", "why": "trap"}}, {"query": {"count": 1}}],
        ("GET", "/api/v1/dlq/{id}"): [{"path": {"id": dead}, "query": {"function": "fails"}}],
        ("POST", "/api/v1/dlq/redrive"): [{"json": {"ids": [dead], "effects": "deny"}}],
        ("POST", "/api/v1/dlq/purge"): [{"json": {"all": True}}],
        ("GET", "/api/v1/logs"): [{"query": {"limit": 50, "level": "info"}}, {"query": {"function": "hello", "trace": run["trace_id"], "event": hello}},
                                  {"query": {"follow": 1}, "stream": True}],
        ("POST", "/api/v1/replays"): [{"json": {"event_id": hello}}, {"json": {"event_id": dead, "function": "fails", "effects": "deny"}},
                                      {"json": {"event_id": hello, "data_base64": "eA=="}}],
        ("POST", "/api/v1/diffs"): [{"json": {"event_id": hello, "before": "recorded", "after": "v1", "with_output": True}}],
        ("GET", "/api/v1/audit"): [{}, {"query": {"function": "hello"}}],
        ("POST", "/api/v1/bundles"): [{"json": {"what": hello, "redact": []}}],
    }


def address(node, path, parameters):
    base = node.url if path == "/events/{type}" else node.admin_url
    return base + path.format(**parameters)


def send(node, method, path, request):
    options = {key: request[key] for key in ("json", "content", "headers") if key in request}
    options["params"] = request.get("query")
    url = address(node, path, request.get("path", {}))
    if request.get("stream"):
        with node.client.stream(method, url, **options) as answer:
            assert json.loads(next(answer.iter_lines()))
            answer.close()
        return None
    return node.client.request(method, url, **options)


def test_every_operation_answers_as_described(node, document, cases):
    described = {(method, path) for method, path, _ in operations(document)}
    assert described == set(cases)
    answered = {}
    of_name = {(method, path): operation for method, path, operation in operations(document)}
    for (method, path), requests in cases.items():
        operation = of_name[(method, path)]
        declared = {(p["in"], p["name"].lower()) for p in operation["parameters"] if p["in"] != "path"}
        used = set()
        for request in requests:
            at = request.get("at", (method, path))
            used |= {("query", name) for name in request.get("query", {})} | {("header", name.lower()) for name in request.get("headers", {})}

            def answer(request=request, at=at):
                if "before" in request:
                    request["before"]()
                got = send(node, *at, request)
                return got if "until" not in request or got.status_code == request["until"] else None

            got = wait_until(answer, f"{method} {path} to answer {request['until']}", 20) if "until" in request else answer()
            if got is None:
                continue
            wanted = request.get("status")
            assert got.status_code == wanted if wanted else got.status_code < 300, f"{method} {path}: {got.status_code} {got.text}"
            try:
                values = check(document, got, of_name[at])
            except (AssertionError, jsonschema.ValidationError) as error:
                raise AssertionError(f"{method} {path} {request}: {got.text[:2000]}\n{error}") from None
            answered.setdefault(at, []).extend(values)
        if path != "/healthz":
            assert used == declared, f"{method} {path}"
    for method, path, operation in operations(document):  # a list that is empty proves nothing of its lines
        content = operation["responses"].get("200", {}).get("content", {})
        assert "application/x-ndjson" not in content or answered.get((method, path)) or path in ("/api/v1/audit", "/api/v1/logs"), f"{method} {path}"


def test_unknown_query_parameters_are_refused(node, document):
    for method, path, operation in operations(document):
        if path in ("/events/{type}", "/healthz", "/readyz", "/metrics"):
            continue
        answer = node.client.request(method, address(node, path, {p["name"]: "x" for p in operation["parameters"]}), params={"limti": "1"})
        assert answer.status_code == 400, f"{method} {path}: {answer.status_code}"
        assert answer.headers["content-type"] == ERROR and check(document, answer, operation)
        detail = answer.json()["detail"]
        names = [p["name"] for p in operation["parameters"] if p["in"] == "query"]
        assert detail == f'there is no query parameter "limti": {method} {path} takes {", ".join(names) or "none"}'


def test_unknown_keys_of_a_body_are_refused(node, document):
    for method, path, operation in operations(document):
        content = operation.get("requestBody", {}).get("content", {})
        if path == "/events/{type}" or "application/json" not in content:
            continue
        answer = node.client.request(method, address(node, path, {"name": "hello", "alias": "x"}), json={"all": True, "functoin": "x"} if "dlq" in path else {"functoin": "x"})
        assert answer.status_code == 400 and check(document, answer, operation), f"{method} {path}: {answer.status_code}"
        assert 'the body: there is no key "functoin" here; there are: ' in answer.json()["detail"], f"{method} {path}: {answer.text}"
    answer = node.client.post(f"{node.admin_url}/api/v1/jobs", json={"kind": "replay", "spec": {"functoin": "x"}})
    assert answer.status_code == 400 and '"functoin"' in answer.json()["detail"]


def test_what_is_not_there_is_a_described_problem(node, document):
    for method, path, operation in operations(document):
        names = [p["name"] for p in operation["parameters"] if p["in"] == "path"]
        if not names or path in ("/events/{type}", "/api/v1/secrets/{name}"):
            continue
        answer = node.client.request(method, address(node, path, dict.fromkeys(names, "no-such-thing")), content=b'{"to": "v1", "min_events": 1, "artifact": "", "settings": {}}')
        assert 400 <= answer.status_code < 500, f"{method} {path}: {answer.status_code} {answer.text}"
        check(document, answer, operation)


def test_body_that_is_none_is_a_described_problem(node, document):
    for method, path, operation in operations(document):
        content = operation.get("requestBody", {}).get("content", {})
        if "application/json" not in content:
            continue
        answer = node.client.request(method, address(node, path, {"name": "hello", "alias": "x"}), content=b"{]")
        assert answer.status_code == 400, f"{method} {path}: {answer.status_code} {answer.text}"
        check(document, answer, operation)


def test_other_methods_are_a_described_problem(node, document):
    for path in document["paths"]:
        answer = node.client.request("PATCH", address(node, path, dict.fromkeys(("type", "name", "alias", "version", "sha256", "id"), "x")))
        assert answer.status_code == 405 and answer.headers["allow"], f"{path}: {answer.status_code}"
        described = {method.upper() for method in document["paths"][path] if method != "servers"}
        assert described <= {method.strip() for method in answer.headers["allow"].split(",")}
