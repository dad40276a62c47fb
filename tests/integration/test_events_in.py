"""The gateway: what becomes an event, what is refused, and what a caller is told."""

import base64
import json
import re
import socket

import pytest
from nexus.node import Node, function
from nexus.wait import wait_until

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture(scope="module")
def node(module_project, guests):
    probe = module_project.module(guests.rust("probe.rs"))
    module_project.write({
        "ingest": {"batch": True},
        "http": {"max_body": "64Ki", "max_headers": "8Ki"},
        "functions": [
            function("probe", probe, on={"http": {"path": "/events/probe"}}),
            function("whole", probe, on={"event": "whole.*"}, input="cloudevent"),
            function("sync", probe, on={"http": {"path": "/sync"}}, respond="sync"),
            function("put", probe, on={"http": {"method": "PUT", "path": "/things"}}, respond="sync"),
            function("named", probe, on={"http": {"path": "/hooks/named"}, "event": "named.happened"}),
            function("twin-a", probe, on={"event": "twin"}),
            function("twin-b", probe, on={"event": "twin"}),
        ]})
    with Node(module_project) as node:
        yield node


def problem(answer, status, code=None):
    """An RFC 9457 document with this status."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    body = answer.json()
    assert {"type", "title", "status", "detail", "code"} <= set(body), body
    assert body["status"] == status
    assert body["title"] and body["detail"]
    if code:
        assert body["code"] == code
    return body


def raw(node, data, timeout=5.0):
    """Bytes over a plain connection; all that comes back until it closes or nothing comes for a while."""
    host, port = node.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout) as s:
        s.sendall(data)
        received = b""
        try:
            while chunk := s.recv(65536):
                received += chunk
        except (TimeoutError, ConnectionResetError):
            pass
        return received


def cloudevent(**changes):
    return {"specversion": "1.0", "id": "a-1", "source": "/tests/events", "type": "whole.test", **changes}


# ---- plain and structured events


def test_plain_body_becomes_a_cloudevent(node):
    event_id = node.publish("some.type", b"\x00\xffplain", headers={"Content-Type": "application/x-thing"})
    event = node.api(f"events/{event_id}").json()
    assert (event["type"], event["content_type"], event["size_bytes"]) == ("some.type", "application/x-thing", 7)
    assert base64.b64decode(event["event"]["data_base64"]) == b"\x00\xffplain"
    assert node.api(f"events/{event_id}/data").content == b"\x00\xffplain"


def test_empty_body_is_an_event(node):
    event_id = node.publish("some.type", b"")
    assert node.api(f"events/{event_id}").json()["size_bytes"] == 0


def test_own_route_has_the_functions_type(node):
    answer = node.post("/sync", "hello")
    assert (answer.status_code, answer.text) == (200, "hello")
    assert node.api(f"events/{answer.headers['nexus-event-id']}").json()["type"] == "nexus.http.sync"


def test_own_route_with_event_has_that_type(node):
    event_id = node.publish("/hooks/named", "x")
    assert node.api(f"events/{event_id}").json()["type"] == "named.happened"
    assert node.run_of(event_id)["function"] == "named"
    assert node.run_of(node.publish("named.happened", "x"))["function"] == "named"


def test_binary_mode_attributes_come_from_headers(node):
    headers = {"ce-specversion": "1.0", "ce-id": "own-7", "ce-source": "/tests/binary", "ce-type": "whole.binary", "ce-subject": "s%20p%C3%A4ce%22",
               "ce-time": "2025-11-26T10:23:45.5Z", "ce-level": "deep", "Content-Type": "application/json"}
    answer = node.post("whole.binary", '{"n":1}', headers=headers)
    assert answer.status_code == 202, answer.text
    event_id = answer.json()["event_id"]
    event = node.api(f"events/{event_id}").json()["event"]
    assert (event["id"], event["source"], event["type"], event["subject"], event["level"]) == (
        "own-7", "/tests/binary", "whole.binary", "s päce\"", "deep")
    assert event["nexuseventid"] == event_id
    assert event["time"].startswith("2025-11-26T10:23:45.5")
    assert event["data"] == {"n": 1}


def test_structured_mode_keeps_the_bytes_of_data(node):
    data = '{"b": 1.0e0,  "a": [1,2 ,3], "u": "\\u00e4"}'
    body = f'{{"specversion":"1.0","id":"s-1","source":"/tests/s","type":"whole.structured","datacontenttype":"application/json","data":{data}}}'
    answer = node.post("whole.structured", body, headers={"Content-Type": "application/cloudevents+json; charset=utf-8"})
    assert answer.status_code == 202, answer.text
    assert node.api(f"events/{answer.json()['event_id']}/data").text == data


def test_structured_mode_with_base64_data(node):
    body = json.dumps(cloudevent(id="s-2", datacontenttype="application/octet-stream", data_base64=base64.b64encode(bytes(range(256))).decode()))
    answer = node.post("whole.test", body, headers={"Content-Type": "application/cloudevents+json"})
    assert answer.status_code == 202, answer.text
    assert node.api(f"events/{answer.json()['event_id']}/data").content == bytes(range(256))


def test_input_cloudevent_gives_the_guest_the_whole_event(node):
    body = json.dumps(cloudevent(id="s-3", subject="to the guest", data={"deep": [1]}))
    answer = node.call("whole.test", body, headers={"Content-Type": "application/cloudevents+json"})
    assert answer.status_code == 200, answer.text
    seen = json.loads(answer.text)
    assert (seen["id"], seen["subject"], seen["data"], seen["specversion"]) == ("s-3", "to the guest", {"deep": [1]}, "1.0")
    assert seen["nexuseventid"] == answer.headers["nexus-event-id"]


@pytest.mark.parametrize("changes, why", [
    ({"specversion": "0.3"}, "specversion"),
    ({"id": ""}, "id"),
    ({"source": None}, "source"),
    ({"time": "yesterday"}, "time"),
    ({"Bad-Name": "x"}, "Bad-Name"),
    ({"data": 1, "data_base64": "AA=="}, "data"),
    ({"data_base64": "not base64!"}, "base64"),
])
def test_invalid_cloudevents_are_refused_with_the_attribute(node, changes, why):
    event = {k: v for k, v in cloudevent(**changes).items() if v is not None}
    answer = node.post("whole.test", json.dumps(event), headers={"Content-Type": "application/cloudevents+json"})
    assert why.lower() in problem(answer, 400)["detail"].lower()


def test_structured_type_must_be_the_routes(node):
    answer = node.post("other.type", json.dumps(cloudevent()), headers={"Content-Type": "application/cloudevents+json"})
    assert "type" in problem(answer, 400)["detail"]


def test_batch_is_stored_event_by_event(node):
    batch = [cloudevent(id=f"batch-{i}", data=i) for i in range(20)]
    answer = node.post("whole.test", json.dumps(batch), headers={"Content-Type": "application/cloudevents-batch+json"})
    assert answer.status_code == 202, answer.text
    ids = [x["event_id"] for x in answer.json()]
    assert len(set(ids)) == 20
    for i, event_id in enumerate(ids):
        assert node.api(f"events/{event_id}").json()["event"]["data"] == i
    for event_id in ids:
        assert node.run_of(event_id)["status"] == "ok"


def test_batch_with_one_bad_event_stores_none(node):
    batch = [cloudevent(id="good-1"), cloudevent(id="bad", specversion="9")]
    body = problem(node.post("whole.test", json.dumps(batch), headers={"Content-Type": "application/cloudevents-batch+json"}), 400)
    assert "event 1" in body["detail"]
    # The good one is not stored: sent alone, it is no duplicate.
    alone = node.post("whole.test", json.dumps(batch[0]), headers={"Content-Type": "application/cloudevents+json"})
    assert "duplicate" not in alone.json()


# ---- traces


def test_traceparent_is_continued_into_the_guest(node):
    answer = node.call("probe", "env", headers={"traceparent": PARENT, "tracestate": "vendor=x"})
    env = dict(line.split("=", 1) for line in answer.text.splitlines())
    assert env["TRACE_ID"] == TRACE
    assert re.fullmatch(f"00-{TRACE}-[0-9a-f]{{16}}-01", env["TRACEPARENT"])
    assert env["TRACEPARENT"] != PARENT
    event = node.api(f"events/{answer.headers['nexus-event-id']}").json()
    assert event["trace_id"] == TRACE
    assert event["event"]["tracestate"] == "vendor=x"
    assert node.post("probe", "x", headers={"traceparent": PARENT}).json()["trace_id"] == TRACE


@pytest.mark.parametrize("bad", ["00-00000000000000000000000000000000-b7ad6b7169203331-01", "garbage", f"ff-{TRACE}-b7ad6b7169203331-01"])
def test_invalid_traceparent_starts_a_new_trace(node, bad):
    trace = node.post("probe", "x", headers={"traceparent": bad}).json()["trace_id"]
    assert re.fullmatch("[0-9a-f]{32}", trace) and trace not in (TRACE, "0" * 32)


# ---- duplicates


def test_idempotency_key_answers_with_the_first_event(node):
    first = node.post("probe", "one", headers={"Idempotency-Key": "key-1"}).json()
    again = node.post("probe", "other body", headers={"Idempotency-Key": "key-1"})
    assert again.status_code == 202
    assert again.json() == {**first, "duplicate": True}
    assert again.headers["nexus-event-id"] == first["event_id"]
    other = node.post("probe", "one", headers={"Idempotency-Key": "key-2"}).json()
    assert other["event_id"] != first["event_id"] and "duplicate" not in other
    assert len(node.wait_runs(first["event_id"])) == 1


def test_idempotency_key_is_per_type(node):
    first = node.post("probe", "x", headers={"Idempotency-Key": "shared"}).json()
    second = node.post("unheard.of", "x", headers={"Idempotency-Key": "shared"}).json()
    assert first["event_id"] != second["event_id"] and "duplicate" not in second


def test_own_source_and_id_are_remembered(node):
    body = json.dumps(cloudevent(id="same", source="/tests/dup"))
    structured = {"Content-Type": "application/cloudevents+json"}
    first = node.post("whole.test", body, headers=structured).json()
    again = node.post("whole.test", body, headers=structured).json()
    assert again == {**first, "duplicate": True}
    binary = node.post("whole.test", "{}", headers={"ce-specversion": "1.0", "ce-id": "same", "ce-source": "/tests/dup", "ce-type": "whole.test"}).json()
    assert binary == {**first, "duplicate": True}
    elsewhere = node.post("whole.test", json.dumps(cloudevent(id="same", source="/tests/dup2")), headers=structured).json()
    assert "duplicate" not in elsewhere


def test_waiting_duplicate_gets_the_first_output(node):
    headers = {"Idempotency-Key": "waits"}
    first = node.call("probe", "the output", headers=headers)
    again = node.call("probe", "ignored", headers=headers)
    assert (first.status_code, first.text) == (200, "the output")
    assert (again.status_code, again.text) == (200, "the output")
    assert again.headers["nexus-event-id"] == first.headers["nexus-event-id"]


def test_many_equal_keys_at_once_make_one_event(node):
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda i: node.post("probe", f"body {i}", headers={"Idempotency-Key": "race"}).json(), range(24)))
    assert len({a["event_id"] for a in answers}) == 1
    assert sum("duplicate" not in a for a in answers) == 1


# ---- waiting


def test_prefer_wait_gives_the_output(node):
    answer = node.post("probe", "hello", headers={"Prefer": "wait=10"})
    assert (answer.status_code, answer.text) == (200, "hello")
    assert answer.headers["preference-applied"] == "wait=10"
    assert answer.headers["content-type"].startswith("text/plain")


def test_output_is_typed_by_what_it_is(node):
    assert node.call("probe", '{"a": 1}').headers["content-type"].startswith("application/json")
    assert node.call("probe", '[1]\n').headers["content-type"].startswith("application/json")
    answer = node.call("probe", "binary")
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.content == bytes(range(256))


def test_wait_that_is_over_is_a_202(node):
    answer = node.post("probe", "sleep 3000", headers={"Prefer": "wait=1"})
    assert answer.status_code == 202
    assert set(answer.json()) == {"event_id", "status", "trace_id"}
    assert node.run_of(answer.json()["event_id"])["status"] == "ok"


def test_sync_route_can_be_asked_not_to_wait(node):
    answer = node.post("/sync", "x", headers={"Prefer": "respond-async"})
    assert answer.status_code == 202
    assert answer.headers["preference-applied"] == "respond-async"


def test_failed_run_is_a_problem_for_who_waits(node):
    body = problem(node.call("probe", "trap"), 502, "trap")
    assert body["function"] == "probe"
    assert re.fullmatch("[0-9a-f]{32}", body["trace_id"])
    assert node.api(f"runs/{body['run_id']}").json()["status"] == "error"


def test_several_subscribers_cannot_be_waited_for(node):
    problem(node.post("twin", "x", headers={"Prefer": "wait=5"}), 400)
    event_id = node.publish("twin", "x")
    assert sorted(r["function"] for r in node.wait_runs(event_id, 2)) == ["twin-a", "twin-b"]


def test_no_subscriber_cannot_be_waited_for(node):
    problem(node.post("nobody.home", "x", headers={"Prefer": "wait=5"}), 400)


def test_unknown_type_is_stored(node):
    event_id = node.publish("nobody.home", "kept")
    assert node.api(f"events/{event_id}/data").text == "kept"
    assert node.runs(event=event_id) == []


# ---- refusals


def test_unknown_path_is_404(node):
    problem(node.post("/nowhere", "x"), 404)
    problem(node.request("GET", "/"), 404)
    for path in ("/api/v1/runs", "/api/v1/nothing", "/metrics", "/readyz", "/openapi.json"):
        assert "--admin" in problem(node.request("GET", path), 404)["detail"]


def test_wrong_method_is_405_with_allow(node):
    answer = node.request("GET", "/events/probe")
    problem(answer, 405)
    assert "POST" in answer.headers["allow"]
    answer = node.post("/things", "x")
    problem(answer, 405)
    assert answer.headers["allow"] == "PUT"
    assert node.request("PUT", "/things", content="put").text == "put"


@pytest.mark.parametrize("bad", ["", "%00", "a%0ab", "%ff", "x" * 300])
def test_bad_types_are_refused(node, bad):
    answer = node.post(f"/events/{bad}", "x")
    assert answer.status_code in (400, 404, 414), answer.text
    problem(answer, answer.status_code)


@pytest.mark.parametrize("good", ["a%20b", "ä", "with/slash", "UPPER.Case", "d-a-s-h_u", "a.b.c.d.e.f", "100%25", "a..b", ".a", "a."])
def test_unusual_types_are_kept(node, good):
    from urllib.parse import quote, unquote
    path = good if "%" in good else quote(good)
    event_id = node.publish(f"/events/{path}", "x")
    assert node.api(f"events/{event_id}").json()["type"] == unquote(path)
    assert event_id in [e["event_id"] for e in node.api_list("events", limit=100)]


def test_body_over_the_limit_is_413(node):
    assert node.post("probe", b"x" * (64 << 10)).status_code == 202
    problem(node.post("probe", b"x" * ((64 << 10) + 1)), 413)


def test_chunked_body_over_the_limit_is_413(node):
    def chunks():
        for _ in range(80):
            yield b"x" * 1024

    problem(node.post("probe", chunks()), 413)
    assert node.post("probe", iter([b"small ", b"chunks"])).status_code == 202


def test_headers_over_the_limit_are_431(node):
    problem(node.post("probe", "x", headers={"X-Long": "y" * 9000}), 431)
    problem(node.post("probe", "x", headers={f"X-{i}": "y" for i in range(200)}), 431)


def test_long_url_is_414(node):
    problem(node.post("/events/probe?" + "q" * 10000, "x"), 414)


def test_content_encoding_is_415(node):
    problem(node.post("probe", "x", headers={"Content-Encoding": "gzip"}), 415)


def test_other_cloudevents_formats_are_415(node):
    problem(node.post("probe", "x", headers={"Content-Type": "application/cloudevents+avro"}), 415)


@pytest.mark.parametrize("request_bytes", [
    b"POST /events/probe HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"POST /events/probe HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /events/probe HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    b"POST /events/probe HTTP/1.1\r\nContent-Length: 2\r\n\r\nhi",
    b"POST /events/probe HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 2\r\n\r\nhi",
    b"POST /events/probe HTTP/1.1\r\nHost: a\r\nX-A: b\x00c\r\nContent-Length: 2\r\n\r\nhi",
    b"POST /events/probe HTTP/1.1\r\nHost: a\r\nX-A : b\r\nContent-Length: 2\r\n\r\nhi",
    b"POST /events/probe HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
    b"POST /events/probe HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST /events/probe HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nhello\r\n0\r\n\r\n",
    b"GARBAGE\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
])
def test_malformed_and_smuggling_requests_are_refused(node, request_bytes):
    answer = raw(node, request_bytes + b"POST /events/smuggled HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
    assert re.match(rb"HTTP/1\.1 (400|501|505) ", answer), answer
    assert answer.count(b"HTTP/1.1 ") == 1, "the second request must not be answered"
    assert "smuggled" not in [e["type"] for e in node.api_list("events", limit=50)]


def test_pipelined_requests_are_answered_in_order(node):
    one = b"POST /events/probe HTTP/1.1\r\nHost: a\r\nPrefer: wait=10\r\nContent-Length: 9\r\n\r\nsleep 300"
    two = b"POST /events/probe HTTP/1.1\r\nHost: a\r\nPrefer: wait=10\r\nConnection: close\r\nContent-Length: 6\r\n\r\nsecond"
    answer = raw(node, one + two, 10)
    assert answer.count(b"HTTP/1.1 200 ") == 2
    assert answer.index(b"slept 300") < answer.index(b"second")


def test_events_list_is_newest_first_and_filters(node):
    ids = [node.publish("listed.one", f"{i}") for i in range(3)] + [node.publish("listed.two", "x")]
    listed = node.api_list("events", limit=4)
    assert [e["event_id"] for e in listed] == ids[::-1]
    assert set(listed[0]) >= {"namespace", "event_id", "type", "source", "subject", "time", "trace_id", "size_bytes"}
    assert [e["event_id"] for e in node.api_list("events", type="listed.one")] == ids[2::-1]
    assert [e["event_id"] for e in node.api_list("events", type="listed.*", limit=1)] == [ids[3]]
    assert node.api_list("events", until="1h") == []


def test_accepted_events_are_counted(node):
    def count():
        text = node.client.get(f"{node.admin_url}/metrics").text
        return int(float(re.search(r"^nexus_events_ingested_total(?:\{[^}]*\})? (\S+)", text, re.M).group(1)))

    before = count()
    for _ in range(5):
        node.publish("counted", "x")
    wait_until(lambda: count() >= before + 5, "the counter to follow")
    assert count() == before + 5


def test_strict_ingest_refuses_unknown_types(project, guests):
    probe = project.module(guests.rust("probe.rs"))
    project.write({"ingest": {"strict": True}, "functions": [function("probe", probe), function("any", probe, on={"event": "family.>"})]})
    with Node(project) as node:
        assert problem(node.post("unknown", "x"), 404)["detail"]
        assert node.post("probe", "x").status_code == 202
        assert node.post("family.of.types", "x").status_code == 202
        assert node.post("", "x", headers={}).status_code in (400, 404)
        assert [e["type"] for e in node.api_list("events")] == ["family.of.types", "probe"]
        # Batches are off by default.
        problem(node.post("probe", "[]", headers={"Content-Type": "application/cloudevents-batch+json"}), 415)


def test_too_many_types_are_429(project, guests):
    project.write({"ingest": {"max_types": 3}, "functions": [function("probe", project.module(guests.rust("probe.rs")))]})
    with Node(project) as node:
        for name in ("a", "b", "c"):
            assert node.post(name, "x").status_code == 202
        answer = node.post("d", "x")
        problem(answer, 429)
        assert int(answer.headers["retry-after"]) >= 1
        assert node.post("a", "again").status_code == 202
        node.restart()
        assert node.post("d", "x").status_code == 429
        assert node.post("b", "x").status_code == 202


def test_slow_clients_are_cut_off(project, guests):
    project.write({"http": {"head_timeout": "300ms", "body_timeout": "300ms", "idle_timeout": "500ms"},
                   "functions": [function("probe", project.module(guests.rust("probe.rs")))]})
    with Node(project) as node:
        head = raw(node, b"POST /events/probe HTTP/1.1\r\nHost: a\r\n", 5)
        assert head.startswith(b"HTTP/1.1 408 "), head
        body = raw(node, b"POST /events/probe HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf", 5)
        assert body.startswith(b"HTTP/1.1 408 "), body
        assert raw(node, b"", 5) == b""
        assert node.call("probe", "still here").text == "still here"
