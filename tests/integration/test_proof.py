"""The proof: runs of random programs, recorded under load on all workers, repeat bit for bit in another process.

NX_PROOF is the number of events (make soak: 10,000)."""

import collections
import copy
import itertools
import os
import random
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from nexus.node import Node, function, lines_of
from nexus.programs import EFFECT_GRANTS, ENDS, Program, inputs
from nexus.wait import wait_until

EVENTS = int(os.environ.get("NX_PROOF", "1500"))
SEED = int(os.environ.get("NX_PROOF_SEED", "20261123"))
MODULES = 32
NAMES = [*(f"p{i}" for i in range(MODULES)), "maps"]  # the last is compiled Rust, with maps in the order of random numbers
AFFECTED = {f"p{i}" for i in range(MODULES) if i % 4 == 3}  # those that reach outside
# The outcomes that a proof has to have met, lest it prove little.
OUTCOMES = {"ok", "trap", "exit", "stack_overflow", "deadline", "fuel", "memory_limit", "output_limit"}


def settings(project, guests, seed):
    """Modules of random programs under limits of all kinds."""
    r = random.Random(seed)
    functions = [function("maps", project.module(guests.rust("maps.rs")))]
    for i in range(MODULES):
        wat, wasm = project.dir / f"p{i}.wat", project.dir / f"p{i}.wasm"
        ending = (None, *ENDS)[i % (len(ENDS) + 1)]
        has_effects = f"p{i}" in AFFECTED
        wat.write_text(Program(f"{seed}/{i}", r.choice((0, 0.02, 0.1)), ending, has_effects).wat())
        subprocess.run(["wat2wasm", wat, "-o", wasm], check=True, timeout=60)
        grants = copy.deepcopy(EFFECT_GRANTS) if has_effects else {}  # YAML would write the same list as an alias
        functions.append(function(f"p{i}", f"./p{i}.wasm", timeout=r.choice(("60ms", "250ms")), memory=r.choice(("192Ki", "2Mi", "128Mi")),
                                  input=r.choice(("data", "data", "cloudevent")), **r.choice(({}, {}, {"fuel": 20_000}, {"max_output": "1Ki"})), **grants))
    return {"log": {"level": "error"}, "functions": functions}


def send(node, count, seed):
    """`count` events from four clients at once."""
    numbers, lock, bodies = itertools.count(), threading.Lock(), inputs(seed)
    sent = []

    def work():
        with httpx.Client(timeout=30) as client:
            while True:
                with lock:
                    i, body = next(numbers), next(bodies)
                if i >= count:
                    return
                answer = client.post(f"{node.url}/events/{NAMES[i % len(NAMES)]}", content=body)
                assert answer.status_code == 202, answer.text
                sent.append(answer.json()["event_id"])

    with ThreadPoolExecutor(4) as pool:
        for done in [pool.submit(work) for _ in range(4)]:
            done.result()
    return sent


@pytest.mark.timeout(600)
def test_random_programs_repeat_bit_for_bit_in_another_process(project, guests):
    project.write(settings(project, guests, SEED))
    with Node(project) as node:
        sent = send(node, EVENTS, SEED)
        wait_until(lambda: all(f["pending"] == 0 and f["in_flight"] == 0 for f in node.api_list("functions")), "all to be run", 300, every=0.1)
    outcomes, verdicts = collections.Counter(), collections.Counter()
    with Node(project) as node:
        for event in sent:
            rows = lines_of(node.client.post(f"{node.admin_url}/api/v1/replays", json={"event_id": event}).text)
            for row in rows:
                verdicts[row["verdict"]] += 1
                if row["verdict"] != "identical":
                    print(event, row)
        with_effects = 0
        for run in node.runs(limit=10000):
            if run["function"] in AFFECTED and with_effects < 20:
                with_effects += len(node.whole_run(run["run_id"])["effects"]) > 0
            outcomes[run["status"] if run["status"] == "ok" else node.whole_run(run["run_id"])["why"]] += 1
    print(outcomes)
    assert verdicts == {"identical": EVENTS}, verdicts
    assert OUTCOMES <= set(outcomes), outcomes
    assert with_effects == 20
