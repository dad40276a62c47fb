"""The table of figures: ours beside the bare limit, measured in the same run (docs/BENCHMARKS.md).

Usage: bench.py BUILD_DIR [--quick] [--markdown FILE]
Everything runs on 127.0.0.1 with random ports, bounded in time, and ends what it started."""
import argparse
import collections
import datetime
import json
import os
import pathlib
import platform
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
ECHO = (ROOT / "examples" / "mission" / "welcome.rs").read_text()


def wait_until(condition, seconds, what):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        threading.Event().wait(0.005)
    raise SystemExit(f"bench: {what} did not happen within {seconds} s")


def http(url, data=None, headers=None, timeout=10):
    request = urllib.request.Request(url, data=data, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as e:
        return e.code, e.read()
    except OSError:
        return 0, b""


class Node:
    """config: of nexus.yaml; None where the command takes none."""

    def __init__(self, nexus, folder, config, patience_s=30, command=("dev", "--no-build"), **environment):
        self.nexus, self.folder = nexus, pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        if config is not None:
            (self.folder / "nexus.yaml").write_text(config)
        self.log = open(self.folder / "node.log", "wb")
        info = self.folder / ".nexus" / "node.json"
        info.unlink(missing_ok=True)  # an earlier node's
        started = time.monotonic()
        self.process = subprocess.Popen(
            [nexus, *command, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"], cwd=self.folder, stdout=self.log, stderr=self.log,
            env={**os.environ, **environment})
        wait_until(lambda: info.exists() or self.process.poll() is not None, patience_s, "node.json")
        if self.process.poll() is not None:
            raise SystemExit("bench: the node ended: " + (self.folder / "node.log").read_text())
        urls = json.loads(info.read_text())
        self.url, self.admin = urls["listen_url"], urls["admin_url"]
        wait_until(lambda: http(self.admin + "/readyz")[0] == 200, patience_s, "ready")
        self.ready_s = time.monotonic() - started

    def rss_bytes(self):
        return rss(self.process.pid)

    def nats_pid(self):
        return json.loads(http(self.admin + "/api/v1/node")[1])["nats"]["pid"]

    def stop(self, patience_s=30):
        """How long it takes."""
        began = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(patience_s)
        self.log.close()
        return time.monotonic() - began


def rss(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def cpu_s(pid):
    """Processor time that the process has taken."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wrk(url, connections, seconds, lua="event.lua", functions=None, pause_ms=None):
    """One event per request; with `functions`, to one of so many paths /fn/N each; with `pause_ms`, connections pause so long before each."""
    environment = {**os.environ, **({"FUNCTIONS": str(functions)} if functions else {}), **({"PAUSE_MS": str(pause_ms)} if pause_ms else {})}
    out = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "-s", str(HERE / lua), url], capture_output=True, text=True,
                         timeout=seconds + 30, env=environment)
    m = re.search(r"RESULT (\d+) (\d+) (\d+) (\d+) (\d+) (\d+) (\d+)", out.stdout)
    if not m:
        raise SystemExit("bench: wrk said: " + out.stdout + out.stderr)
    requests, duration_us, p50, p99, p999, bad, errors = map(int, m.groups())
    return {"rate": requests / (duration_us / 1e6), "p50_ms": p50 / 1e3, "p99_ms": p99 / 1e3, "p999_ms": p999 / 1e3, "bad": bad, "errors": errors, "requests": requests}


def program(build, name, *args, timeout=120):
    path = build / "bench" / name
    environment = {"NEXUS_NATS_SERVER": str(ROOT / ".deps/bin/nats-server"), **os.environ}
    done = subprocess.run([str(path), *args], capture_output=True, text=True, timeout=timeout, env=environment)
    if done.returncode:
        raise SystemExit(f"bench: {name}: {done.stderr}")
    return done.stdout


def figures(text):
    """Lines "FIGURE what|value|unit|must|beside|limit" of the bench programs."""
    for line in text.splitlines():
        if line.startswith("FIGURE "):
            what, value, unit, must, beside, limit = (line[7:].split("|") + [""] * 6)[:6]
            yield what, float(value), unit, float(must) if must else None, (beside, float(limit)) if limit else None


class Table:
    def __init__(self):
        self.rows = []

    def add(self, what, value, unit, must=None, is_max=False, beside=None):
        """beside: (name, value) of the bare limit; must: the bar of DESIGN 9."""
        holds = None if must is None else (value <= must if is_max else value >= must)
        ratio = value / beside[1] if beside and beside[1] else None
        self.rows.append((what, value, unit, must, is_max, beside, ratio, holds))
        print(self.line(self.rows[-1]), flush=True)

    @staticmethod
    def number(v):
        return f"{v:,.0f}" if abs(v) >= 100 else f"{v:.3g}"

    def line(self, row):
        what, value, unit, must, is_max, beside, ratio, holds = row
        bar = "" if must is None else f"{'<=' if is_max else '>='} {self.number(must)}"
        limit = "" if not beside else f"{beside[0]}: {self.number(beside[1])}"
        return f"{what:<56} {self.number(value):>9} {unit:<9} {bar:<12} {'' if holds is None else 'ok' if holds else 'MISSED':<7} {limit}" + (
            f"  ({ratio:.2f} x)" if ratio else "")

    def markdown(self):
        out = ["| what | measured | must | holds | beside in the same run | ratio |", "| --- | --- | --- | --- | --- | --- |"]
        for what, value, unit, must, is_max, beside, ratio, holds in self.rows:
            out.append("| {} | {} {} | {} | {} | {} | {} |".format(
                what, self.number(value), unit, "" if must is None else f"{'<=' if is_max else '>='} {self.number(must)}",
                "" if holds is None else "yes" if holds else "**no**", "" if not beside else f"{beside[0]} {self.number(beside[1])}",
                "" if ratio is None else f"{ratio:.2f}"))
        return "\n".join(out) + "\n"


CONFIG = """version: v1
namespace: default
log: {{level: {level}}}
functions:
  - name: echo
    on: {{http: {{method: POST, path: /sync}}}}
    code: ./echo.wasm
    respond: sync
  - name: later
    on: {{http: {{method: POST, path: /events/bench.async}}}}
    code: ./echo.wasm
  - name: unrecorded
    on: {{http: {{method: POST, path: /sync-unrecorded}}}}
    code: ./echo.wasm
    respond: sync
    recording: "off"
  - name: large-stack
    on: {{http: {{method: POST, path: /sync-large-stack}}}}
    code: ./large.wasm
    respond: sync
"""


BUILD = """version: v1
functions:
  - name: echo
    on: {event: bench.build}
    code: ./NAME.wasm
    build:
      command: '"$RUSTC" --edition 2021 --target "$NEXUS_WASI_TARGET" --crate-type cdylib -C opt-level=3 FLAGS -o NAME.wasm source.rs'
"""

SMALL_STACK = "-C link-arg=-zstack-size=262144"  # as a new Rust project has it


def build_module(nexus, folder, name, flags, source=ECHO):
    """The function as a project would build it."""
    project = folder / ("build-" + name)
    project.mkdir()
    (project / "source.rs").write_text(source)
    (project / "nexus.yaml").write_text(BUILD.replace("NAME", name).replace("FLAGS", flags))
    done = subprocess.run([nexus, "build"], cwd=project, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit("bench: nexus build: " + done.stdout + done.stderr)
    return project / (name + ".wasm")


def drained(node, seconds=120):
    """Waits until no event waits for a function."""
    def empty():
        lines = http(node.admin + "/api/v1/functions")[1].splitlines()
        return all(json.loads(x)["pending"] == 0 and json.loads(x)["in_flight"] == 0 for x in lines)
    started = time.monotonic()
    wait_until(empty, seconds, "an empty backlog")
    return time.monotonic() - started


def run_count(node, function):
    text = http(node.admin + "/metrics")[1].decode()
    return sum(float(x.rsplit(" ", 1)[1]) for x in text.splitlines() if x.startswith("nexus_runs_total{") and f'function="{function}"' in x)


def main():
    args = argparse.ArgumentParser()
    args.add_argument("build", type=pathlib.Path)
    args.add_argument("--quick", action="store_true")
    args.add_argument("--markdown", type=pathlib.Path)
    args = args.parse_args()
    build, seconds = args.build.resolve(), 3 if args.quick else 8
    nexus = os.environ.get("NEXUS_BIN", str(build / "nexus"))
    table = Table()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="nexus-bench-"))
    try:
        measure(build, nexus, folder, seconds, table)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if args.markdown:
        head = f"Measured on {datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores, load generator included.\n\n"
        args.markdown.write_text(head + table.markdown())
    return 0


def measure(build, nexus, folder, seconds, table):
    import durability  # it uses what is defined here

    echo = build_module(nexus, folder, "echo", SMALL_STACK)
    large = build_module(nexus, folder, "large", "")  # Rust's default stack of 1 MiB, which every run resets
    bare_us = 0
    for module, kind in ((echo, "256 KiB stack"), (large, "1 MiB stack")):
        for what, value, unit, must, beside in figures(program(build, "rt_bench", str(module))):
            table.add(f"{what}, {kind}", value, unit, must, True, beside)
            if what.startswith("bare engine loop") and module == echo:
                bare_us = value
    compute = build_module(nexus, folder, "compute", SMALL_STACK, (HERE / "compute.rs").read_text())
    for what, value, unit, must, beside in figures(program(build, "compute_bench", str(compute))):
        table.add(what, value, unit, must, True, beside)
    floor = subprocess.Popen([str(build / "bench" / "http_floor")], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    port = floor.stdout.readline().strip()
    http_floor = wrk(f"http://127.0.0.1:{port}/", 64, seconds)["rate"]
    floor.stdin.close()
    floor.wait(10)
    table.add("empty HTTP handler, 64 connections (limit)", http_floor, "req/s")
    nats_floor = 0
    for what, value, unit, must, beside in figures(program(build, "fab_bench")):
        table.add(what, value, unit, must, False, beside)
        if what.startswith("bare nats.c"):
            nats_floor = value
    node_folder = folder / "node"
    node_folder.mkdir()
    shutil.copy(echo, node_folder / "echo.wasm")
    shutil.copy(large, node_folder / "large.wasm")
    node = Node(nexus, node_folder, CONFIG.format(level="warn"))
    try:
        measure_node(nexus, node, node_folder, seconds, table, nats_floor, bare_us)
    finally:
        node.stop()
    node = Node(nexus, node_folder, CONFIG.format(level="warn"))
    table.add("nexus dev to ready, warm", node.ready_s, "s", 1, True)
    node.stop()
    shutil.rmtree(node_folder)
    for what, value, unit in durability.rows(nexus, folder, echo, seconds):
        table.add(what, value, unit)
    release = ROOT / "build-release" / "dist" / "bin" / "nexus"
    if release.exists():
        table.add("release binary, engine and libraries linked in", release.stat().st_size / 1e6, "MB", 16, True)


def recording_ratio(node, blocks):
    """All of the one over all of the other. One second's rate differs from the next by a tenth: seconds are taken in turns, in an order that favours neither."""
    seconds, requests = collections.Counter(), collections.Counter()
    for block in range(blocks):
        order = ("/sync", "/sync-unrecorded") if block % 2 else ("/sync-unrecorded", "/sync")
        for path in order + order[::-1]:
            second = wrk(node.url + path, 64, 1)
            requests[path] += second["requests"]
            seconds[path] += second["requests"] / second["rate"]
    full, off = (requests[path] / seconds[path] for path in ("/sync", "/sync-unrecorded"))
    return full / off


def run_us(node, function):
    """Of the newest runs, the median; each from making its store to dropping it."""
    runs = map(json.loads, http(f"{node.admin}/api/v1/runs?function={function}&limit=10000", timeout=60)[1].splitlines())
    return statistics.median(run["duration_ms"] * 1e3 for run in runs)


def measure_node(nexus, node, folder, seconds, table, nats_floor, bare_us):
    threading.Event().wait(1)  # idle memory: after start-up has settled
    table.add("node resident memory, idle", node.rss_bytes() / 2**20, "MiB", 30, True)
    table.add("nats-server resident memory, idle", rss(node.nats_pid()) / 2**20, "MiB")
    wrk(node.url + "/sync", 4, 1)
    one = wrk(node.url + "/sync", 1, seconds)
    table.add("event to recorded answer, sync, 1 conn, p50", one["p50_ms"], "ms", 0.5, True)
    table.add("event to recorded answer, sync, 1 conn, p99", one["p99_ms"], "ms", 2, True)
    many = wrk(node.url + "/sync", 64, seconds)
    table.add("durable sync events, 64 connections", many["rate"], "events/s", 14000)
    table.add("warm run inside the node meanwhile, p50, 256 KiB stack", run_us(node, "echo"), "us", 1.3 * bare_us, True, ("bare", bare_us))
    large = wrk(node.url + "/sync-large-stack", 64, seconds)
    table.add("the same, function with a 1 MiB stack", large["rate"], "events/s", 14000)
    table.add("recording: full over off, 64 connections (throughput)", recording_ratio(node, 2 * seconds), "x", 0.95)
    before, started = run_count(node, "later"), time.monotonic()
    later = wrk(node.url + "/events/bench.async", 64, seconds)
    table.add("async: 202 after PubAck, 64 connections", later["rate"], "events/s")
    drained(node)
    ran = run_count(node, "later") - before
    table.add("async: also run and recorded, to an empty backlog", ran / (time.monotonic() - started), "events/s", 17000)
    alone = wrk(node.url + "/events/bench.nobody", 64, seconds)
    table.add("ingest alone, no function", alone["rate"], "events/s", 25000, False, ("bare publish", nats_floor) if nats_floor else None)
    for name, r in (("sync", many), ("sync, large stack", large), ("async", later), ("ingest", alone)):
        if r["bad"] or r["errors"]:
            print(f"bench: {name}: {r['bad']} answers that were not 2xx, {r['errors']} connection errors", file=sys.stderr)
    table.add("node resident memory, after load", node.rss_bytes() / 2**20, "MiB")
    table.add("nats-server resident memory, after load", rss(node.nats_pid()) / 2**20, "MiB")
    measure_range(node, table)
    status, body = http(node.url + "/sync", b'{"x":1}', {"Content-Type": "application/json"})
    event = json.loads(subprocess.run([nexus, "events", "list", "--limit", "1", "--json", "--admin-url", node.admin], capture_output=True, text=True, check=True).stdout)["event_id"]
    times = []
    for _ in range(30):
        begun = time.monotonic()
        subprocess.run([nexus, "replay", event, "--json", "--admin-url", node.admin], capture_output=True, check=True)
        times.append((time.monotonic() - begun) * 1e3)
    table.add("nexus replay of one event, whole process, p50", statistics.median(times), "ms", 10, True)


def measure_range(node, table):
    """Every stored run of one function (256 KiB stack) again, by a job; the second time, with everything warm."""
    runs = int(run_count(node, "later"))
    for _ in range(2):
        spec = json.dumps({"kind": "replay", "spec": {"function": "later"}}).encode()
        job = json.loads(http(node.admin + "/api/v1/jobs", spec, {"Content-Type": "application/json"})[1])["job_id"]
        ended = {}

        def is_over():
            ended.update(json.loads(http(f"{node.admin}/api/v1/jobs/{job}")[1]))
            return ended["status"] not in ("queued", "running")
        wait_until(is_over, 300, "the end of the range replay")
        results = ended["summary"]["results"]
        if results["identical"] != runs:
            print(f"bench: range replay: {results['identical']} of {runs} identical, {results['diverged']} diverged, {results['failed']} failed", file=sys.stderr)
    table.add(f"range replay, {runs:,} runs", ended["progress"]["events_per_s"], "runs/s", 16700)
    table.add("node resident memory, after the range replay", node.rss_bytes() / 2**20, "MiB")


if __name__ == "__main__":
    sys.exit(main())
