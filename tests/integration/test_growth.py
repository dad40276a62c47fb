"""Memory that the machine refuses to a guest within its limit: the node's failure, never the function's outcome."""

import os
import resource
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from nexus.node import Node, environment, function, lines_of
from nexus.paths import NEXUS
from nexus.wait import wait_until

pytestmark = pytest.mark.skipif("NX_SANITIZER" in os.environ, reason="a sanitizer has memory of its own")

MIB = 1 << 20
REFUSED = "the machine refused memory: the limit is 512Mi"
HELD_BACK = rf"run (\w+) of 'grow' could not be executed \({REFUSED}.*it is tried again in (\d+) s$"
# A development build looks at the machine only where it was limited from the beginning.
LIMITED = ("prlimit", f"--data={1 << 36}:")


def data_bytes(pid):
    status = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmData")).split()[1]) << 10


def limit_data(node, more=None):
    """The node may have `more` bytes than it has; None: what it had in the beginning."""
    hard = resource.prlimit(node.pid, resource.RLIMIT_DATA)[1]
    resource.prlimit(node.pid, resource.RLIMIT_DATA, (1 << 36 if more is None else data_bytes(node.pid) + more, hard))


def settings(project, guests, **more):
    return {"functions": [function("grow", project.module(guests.rust("grow.rs")), memory="512Mi", retry={"max_attempts": 2}),
                          function("nap", project.module(guests.rust("nap.rs")), memory="16Mi")], **more}


def warm(node):
    assert node.call("grow", "1").text == "got 1"  # what the node itself needs for a run is there


def test_event_waits_until_the_machine_has_memory(project, guests):
    project.write(settings(project, guests))
    with Node(project, wrapper=LIMITED) as node, ThreadPoolExecutor() as pool:
        warm(node)
        limit_data(node, 128 * MIB)
        event = node.publish("grow", "300")
        caller = pool.submit(node.call, "grow", "301", wait=60)
        node.wait_log(HELD_BACK, count=6)
        waits = {}
        for line in node.wait_log(HELD_BACK):
            waits.setdefault(line[1], []).append(int(line[2]))
        assert len(waits) == 2 and all(seconds == [1, 2, 4, 8][:len(seconds)] for seconds in waits.values()), waits
        assert node.runs(event=event) == [] and not caller.done()
        assert "grow" not in {letter["function"] for letter in node.api_list("dlq")}
        limit_data(node)
        run = node.run_of(event)
        assert (run["status"], run["attempt"]) == ("ok", 1), run
        assert node.whole_run(run["run_id"])["output"] == "got 300"
        assert caller.result().text == "got 301"
        # The limit of the function is the same everywhere, and what the guest makes of it an outcome.
        answer = node.call("grow", "600")
        assert answer.text == "refused 600"
        for event_id in (event, answer.headers["Nexus-Event-Id"]):
            assert [r["verdict"] for r in node.replay(event_id)] == ["identical"]


def test_repetition_that_the_machine_refuses_proves_nothing(project, guests, tmp_path):
    project.write(settings(project, guests, replay={"audit": "100%"}))
    case = tmp_path / "case.nxb"
    with Node(project, wrapper=LIMITED) as node:
        warm(node)
        node.publish("nap", '{"ms": 3000}')  # no audit while something runs
        event = node.publish("grow", "300")
        node.run_of(event)
        node.run_of(node.publish("grow", "0"))  # the next run in the place of that with 300 MiB: it gives them back
        limit_data(node, 128 * MIB)
        (replayed,) = node.json("replay", event, check=False)
        assert replayed["verdict"] == "failed" and f"the run could not be repeated: {REFUSED}" in replayed["reason"], replayed
        node.nexus("bundle", event, "-o", case)
        audit = wait_until(lambda: next((a for a in node.json("audit", "--function", "grow") if a["passed_over"]), None), "a run that was passed over", 30,
                           on_failure=node.log)
        assert audit["diverged"] == audit["failed"] == 0, audit
        limit_data(node)
        assert [r["verdict"] for r in node.replay(event)] == ["identical"]
    # Without a node: the command's own process is the machine's.
    for most, verdict, code in ((256 * MIB, "failed", 1), (1 << 36, "identical", 0)):
        result = subprocess.run(["prlimit", f"--data={most}:", str(NEXUS), "replay", str(case), "--json"], cwd=tmp_path, env=environment(), capture_output=True, text=True,
                                timeout=60, check=False)
        (replayed,) = lines_of(result.stdout)
        assert replayed["verdict"] == verdict and (REFUSED in replayed["reason"]) == bool(code), replayed
        assert bool(result.returncode) == bool(code), result
