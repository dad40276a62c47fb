"""The audit: a share of live runs is repeated in idle time, and what does not repeat is told."""

import pytest
from nexus import nats
from nexus.node import Node, function
from nexus.wait import wait_until

MISMATCH = "nexus.audit.mismatch"


def settings(project, guests, share, **more):
    probe = project.module(guests.rust("probe.rs"))
    return {"replay": {"audit": share}, "functions": [
        function("probe", probe, timeout="20s"),
        function("slow", probe, timeout="20s"),
        function("off", probe, recording="off"),
        function("alarm", probe, on={"event": MISMATCH}),
    ], **more}


def report(node, name):
    return next((x for x in node.json("audit") if x["function"] == name), None)


def wait_audited(node, name, count):
    return wait_until(lambda: (r := report(node, name)) and r["audited"] >= count and r, f"{count} audited runs of {name}", 20, on_failure=node.log)


def test_every_run_is_repeated_when_all_are_asked_for(project, guests):
    project.write(settings(project, guests, "100%"))
    with Node(project) as node:
        for content in ("world", "exit 3", "trap", "binary", "log 20"):
            node.run_of(node.publish("probe", content))
        audited = wait_audited(node, "probe", 5)
        assert audited["identical"] == audited["audited"] == 5 and audited["diverged"] == audited["failed"] == 0
        assert audited["replayable_percent"] == 100 and audited["audit_percent"] == 100
        assert "replayable: 100 % of 5" in node.nexus("audit", "--function", "probe").stdout
        # It leaves no records of its own, and no alarm.
        assert not [r for r in node.api_list("runs", all=1, limit=1000) if r["is_replay"]]
        assert node.api_list("events", type=MISMATCH) == []
        assert 'nexus_audit_runs_total{function="probe",result="identical"} 5' in node.client.get(f"{node.admin_url}/metrics").text


def test_what_was_not_kept_counts_as_failed_with_its_reason(project, guests):
    project.write(settings(project, guests, "100%"))
    with Node(project) as node:
        event_id = node.publish("off", "x")
        node.run_of(event_id)
        audited = wait_audited(node, "off", 1)
        assert audited["failed"] == 1 and audited["replayable_percent"] == 0
        assert "recording: off" in audited["last_reason"] and audited["last_event_id"] == event_id
        assert node.api_list("events", type=MISMATCH) == []


def test_nothing_is_repeated_by_default_and_a_share_is_a_share(project, guests):
    project.write({k: v for k, v in settings(project, guests, "0%").items() if k != "replay"})
    with Node(project) as node:
        for i in range(5):
            node.run_of(node.publish("probe", f"{i}"))
        assert node.json("audit") == []
        assert "no run was chosen" in node.nexus("audit").stderr
        project.write(settings(project, guests, "50%"))
        wait_until(lambda: node.publish("probe", "x") and report(node, "probe"), "the new share", 20)  # a reload changes it
        ids = [node.publish("probe", f"{i}") for i in range(60)]
        for event_id in ids:
            node.wait_runs(event_id)
        audited = wait_until(lambda: (r := report(node, "probe")) and r["waiting"] == 0 and r["audited"] >= 15 and r, "the audit", 20)
        assert 15 <= audited["audited"] <= 200 and audited["identical"] == audited["audited"]
        assert audited["audit_percent"] == 50


def falsify(node, function_name):
    """Replaces the newest record of a function by one that says it used other fuel: a recording that does not hold."""
    async def job(connection):
        js = connection.jetstream()
        info = await js.stream_info("NX_RUNS_default")
        message = await js.get_msg("NX_RUNS_default", info.state.last_seq)
        assert f".{function_name}." in message.subject, message.subject
        body = message.data
        at = body.index(bytes([20, 8])) + 2  # tag `fuel`, 8 bytes
        fuel = int.from_bytes(body[at:at + 8], "little")
        assert 0 < fuel < 1 << 40
        body = body[:at] + (fuel + 1).to_bytes(8, "little") + body[at + 8:]
        await js.publish(message.subject, body, headers=message.headers)
        assert await js.delete_msg("NX_RUNS_default", info.state.last_seq)

    nats.run(nats.private_url(node.project.data_dir), job)


@pytest.fixture(scope="module")
def alarmed(module_project, guests):
    """A node whose audit has found a recording that does not hold. While one run sleeps, the node is not idle, and the record can be changed."""
    module_project.write(settings(module_project, guests, "100%"))
    with Node(module_project) as node:
        sleeping = node.publish("slow", "sleep 6000")
        wait_until(lambda: "Function 'slow' started" in node.log(), "the slow run", 10)
        event_id = node.publish("probe", "world")
        run = node.run_of(event_id)
        assert report(node, "probe")["audited"] == 0  # it waits: something runs
        falsify(node, "probe")
        node.run_of(sleeping)
        wait_audited(node, "probe", 1)
        yield node, event_id, run


def test_mismatch_is_reported_by_function(alarmed):
    node, event_id, _ = alarmed
    audited = report(node, "probe")
    assert audited["diverged"] == 1 and audited["identical"] == 0
    assert audited["last_event_id"] == event_id and audited["last_reason"].startswith("fuel: recorded ")
    assert report(node, "slow")["identical"] == 1
    assert "fuel: recorded" in node.nexus("audit").stdout


def test_mismatch_is_a_metric_and_a_log_line(alarmed):
    node, event_id, run = alarmed
    assert 'nexus_audit_runs_total{function="probe",result="diverged"} 1' in node.client.get(f"{node.admin_url}/metrics").text
    (line,) = [x for x in node.api_list("logs", limit=1000) if x["event"] == "audit.mismatch"]
    assert line["level"].lower() == "error"
    assert event_id in line["message"] and run["run_id"] in line["message"] and "'probe'" in line["message"]


def test_mismatch_is_an_event_that_is_not_audited_itself(alarmed):
    node, event_id, run = alarmed
    (event,) = wait_until(lambda: node.api_list("events", type=MISMATCH), "the event", 10)
    assert event["subject"] == "probe" and event["source"] == "/nexus/audit"
    data = node.api(f"events/{event['event_id']}/data").json()
    assert data["function"] == "probe" and data["event_id"] == event_id and data["run_id"] == run["run_id"]
    assert data["reason"].startswith("fuel: ") and data["recorded"]["fuel"] == data["repeated"]["fuel"] + 1
    node.wait_runs(event["event_id"])  # the function `alarm` handles it
    later = node.publish("probe", "later")
    node.run_of(later)
    wait_audited(node, "probe", 2)
    assert report(node, "alarm") is None


def test_figures_are_of_all_nodes_and_outlive_each(project, guests):
    project.write(settings(project, guests, "100%"))

    async def add(connection):  # what another node counted
        registry = await connection.jetstream().key_value("nx-registry-default")
        await registry.put("audit.elsewhere", b'{"identical": 999999, "diverged": 1, "last_event_id": "01M8KN97DP2Q9CPVN51MVA4TXM", "last_reason": "fuel"}')
    with Node(project) as node:
        for i in range(3):
            node.run_of(node.publish("probe", f"{i}"))
        since = wait_audited(node, "probe", 3)["since"]
        node.restart()
        assert report(node, "probe")["audited"] == 3
        node.run_of(node.publish("probe", "again"))
        audited = wait_audited(node, "probe", 4)
        assert audited["identical"] == 4 and audited["since"] == since
        wait_until(lambda: b'"identical":4' in nats.run(nats.private_url(project.data_dir), read_probe), "the sum in the store", 20)
        node.kill()  # what was stored stays; nothing is said or done any more
        node.start()
        assert report(node, "probe")["audited"] == 4
        nats.run(nats.private_url(project.data_dir), add)
        assert report(node, "elsewhere")["audited"] == 1000000
        assert "replayable: 99.99 % of 1000000" in node.nexus("audit", "--function", "elsewhere").stdout  # nearly all are not all


async def read_probe(connection):
    registry = await connection.jetstream().key_value("nx-registry-default")
    return (await registry.get("audit.probe")).value


def test_node_stops_while_runs_wait(project, guests):
    project.write(settings(project, guests, "100%"))
    with Node(project) as node:
        node.publish("slow", "sleep 15000")
        wait_until(lambda: "Function 'slow' started" in node.log(), "the slow run", 10)
        for i in range(20):
            node.run_of(node.publish("probe", f"{i}"))
        assert report(node, "probe")["waiting"] == 20
        node.stop()


def test_share_is_checked(project, guests):
    for share in ("2", "101%", "x%", "1.00001%", "-1%"):
        project.write(settings(project, guests, share))
        result = project.nexus("validate", "--no-code", check=False)
        assert result.returncode == 2 and "replay.audit" in result.stdout + result.stderr, share
