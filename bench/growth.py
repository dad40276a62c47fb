"""The cost of an event must not grow with what is stored, nor with how many functions there are.

Usage: growth.py BUILD_DIR [--stored 10000,100000,...] [--functions 1,100,...] [--seconds N] [--svg FOLDER] [--markdown FILE]
At each point: ingest (an event that no function takes), run (event to recorded answer), look-up by id and replay, of events from anywhere
in the log. Cost is processor time of node and nats-server per event, which a busy machine blurs less than rates. 10 million stored events
take about 10 minutes and 10 GB of disk. Everything runs on 127.0.0.1 with random ports, and ends what it started."""
import argparse
import datetime
import os
import pathlib
import platform
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

import plot
from bench import SMALL_STACK, build_module, cpu_s, http, rss, wrk
from functions import deploy, serve

CONNECTIONS = 64
SAMPLES = 25     # of each kind, at each measurement, anywhere in the log
FLAT = 1.5       # the cost at the last point over that at the first

ROOMY = {"retention_events_max_bytes": "256Gi", "retention_runs_max_bytes": "256Gi"}


def post(url):
    """Stores one event and has it run; its id."""
    request = urllib.request.Request(url, data=b'{"id":"u1"}', headers={"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return answer.headers["Nexus-Event-Id"]


class Log:
    """A node with so many functions, how many events it has stored, and the ids of some of them, from its whole length."""

    def __init__(self, nexus, folder, wasm, functions):
        self.nexus, self.functions, self.stored, self.ids = nexus, functions, 0, []
        limits = ROOMY | {"server_memory": "1536Mi" if functions > 1000 else "0", "ingest_max_types": str(functions + 1000)}
        self.node = serve(nexus, folder, **limits)
        deploy(self.node, [wasm.read_bytes()], [f"fn-{i}" for i in range(functions)], "/fn/{}")
        if functions > 1:
            self.node.stop(120)
            self.node = serve(nexus, folder, **limits)

    def load(self, path, seconds):
        """wrk's figures and the processor time of both processes per event, in microseconds."""
        pids = (self.node.process.pid, self.node.nats_pid())
        before = sum(map(cpu_s, pids))
        r = wrk(self.node.url + path, CONNECTIONS, seconds, functions=self.functions if path == "/fn" else None)
        self.stored += r["requests"]
        if r["bad"] or r["errors"]:
            raise SystemExit(f"growth: {path}: {r['bad']} answers that were not 2xx, {r['errors']} connection errors")
        return r, (sum(map(cpu_s, pids)) - before) * 1e6 / r["requests"]

    def sample(self):
        self.ids.append(post(f"{self.node.url}/fn/{random.randrange(self.functions)}"))
        self.stored += 1

    def fill(self, stored):
        """Up to that many events, with samples all the way."""
        rate = 20000.0
        every = max(1, (stored - self.stored) // 50)
        while self.stored < stored:
            for _ in range(2):
                self.sample()
            step = min(every, stored - self.stored)
            r, _ = self.load("/events/growth.fill", max(1, min(10, round(step / rate))))
            rate = r["rate"]

    def measure(self, most_seconds):
        begun_at = self.stored
        seconds = min(most_seconds, max(1, begun_at // 50000))  # so that little is added to a small log
        for _ in range(5):
            self.sample()
        _, ingest_us = self.load("/events/growth.fill", seconds)
        run, run_us = self.load("/fn", seconds)
        lookups, replays = [], []
        for _ in range(8 * SAMPLES):
            begun = time.monotonic()
            status, _ = http(f"{self.node.admin}/api/v1/events/{random.choice(self.ids)}")
            lookups.append((time.monotonic() - begun) * 1e3)
            if status != 200:
                raise SystemExit(f"growth: a look-up answered {status}")
        for _ in range(SAMPLES):
            begun = time.monotonic()
            subprocess.run([self.nexus, "replay", random.choice(self.ids), "--json", "--admin-url", self.node.admin], capture_output=True, check=True)
            replays.append((time.monotonic() - begun) * 1e3)
        lookups.sort()
        return {"stored": begun_at, "functions": self.functions, "ingest_us": ingest_us, "run_us": run_us, "run_rate": run["rate"],
                "run_p99_ms": run["p99_ms"], "lookup_ms": statistics.median(lookups), "lookup_p99_ms": lookups[len(lookups) * 99 // 100],
                "replay_ms": statistics.median(replays), "node_mib": self.node.rss_bytes() / 2**20, "nats_mib": rss(self.node.nats_pid()) / 2**20,
                "ready_s": self.node.ready_s}


COLUMNS = (("stored", "stored events", "{:,.0f}"), ("functions", "functions", "{:,}"), ("ingest_us", "ingest, us/event", "{:.1f}"),
           ("run_us", "run, us/event", "{:.1f}"), ("run_rate", "runs/s", "{:,.0f}"), ("run_p99_ms", "run p99, ms", "{:.1f}"),
           ("lookup_ms", "look-up p50, ms", "{:.2f}"), ("lookup_p99_ms", "p99, ms", "{:.1f}"), ("replay_ms", "replay p50, ms", "{:.1f}"),
           ("node_mib", "node, MiB", "{:.0f}"), ("nats_mib", "nats-server, MiB", "{:.0f}"), ("ready_s", "ready, s", "{:.2f}"))


def table(points):
    lines = ["| " + " | ".join(title for _, title, _ in COLUMNS) + " |", "|" + " ---: |" * len(COLUMNS)]
    lines += ["| " + " | ".join(form.format(p[key]) for key, _, form in COLUMNS) + " |" for p in points]
    return "\n".join(lines) + "\n"


def draw(folder, name, x, x_name, points):
    def series(**keys):
        return {title.replace("_", " "): [(p[x], p[key]) for p in points] for title, key in keys.items()}
    plot.chart(folder / f"growth-{name}-cost.svg", f"Processor time per event, by {x_name}", x_name, "us per event", series(run="run_us", ingest="ingest_us"), log_x=True)
    plot.chart(folder / f"growth-{name}-time.svg", f"Look-up and replay, by {x_name}", x_name, "ms",
               series(look_up_p50="lookup_ms", look_up_p99="lookup_p99_ms", nexus_replay_p50="replay_ms"), log_x=True)


def verdict(points):
    for key in ("ingest_us", "run_us"):
        ratio = points[-1][key] / points[0][key]
        yield f"{key}: last over first", ratio, ratio <= FLAT


def growth(args, nexus, folder):
    wasm = build_module(nexus, folder, "echo", SMALL_STACK)
    by_stored, by_functions = [], []
    log = Log(nexus, folder / "stored", wasm, 1)
    try:
        for stored in args.stored:
            log.fill(stored)
            by_stored.append(log.measure(args.seconds))
            print(table(by_stored[-1:]).splitlines()[-1], flush=True)
    finally:
        log.node.stop()
        shutil.rmtree(folder / "stored")
    for functions in args.functions:
        log = Log(nexus, folder / f"functions-{functions}", wasm, functions)
        try:
            log.load("/fn", 2)  # each once, or nearly
            log.fill(10000)
            by_functions.append(log.measure(args.seconds))
            print(table(by_functions[-1:]).splitlines()[-1], flush=True)
        finally:
            log.node.stop()
            shutil.rmtree(folder / f"functions-{functions}")
    return by_stored, by_functions


def main():
    def numbers(text):
        return [int(v) for v in text.split(",") if v]
    args = argparse.ArgumentParser()
    args.add_argument("build", type=pathlib.Path)
    args.add_argument("--stored", type=numbers, default=[10**4, 10**5, 10**6, 10**7])
    args.add_argument("--functions", type=numbers, default=[1, 100, 1000, 10000])
    args.add_argument("--seconds", type=int, default=5)
    args.add_argument("--svg", type=pathlib.Path, help="folder for the plots")
    args.add_argument("--markdown", type=pathlib.Path, help="the tables are appended to this file")
    args = args.parse_args()
    nexus = os.environ.get("NEXUS_BIN", str(args.build.resolve() / "nexus"))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="nexus-growth-"))
    try:
        results = growth(args, nexus, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    text = [f"Measured on {datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores, load generator included.\n"]
    is_flat = True
    for points, x, x_name in zip(results, ("stored", "functions"), ("stored events", "functions")):
        if not points:
            continue
        text.append(table(points))
        if args.svg and len(points) > 1:
            draw(args.svg, x, x, x_name, points)
            text += [f"![](growth-{x}-{what}.svg)" for what in ("cost", "time")] + [""]
        for what, value, holds in verdict(points):
            is_flat = is_flat and holds
            print(f"{x_name}: {what} {value:.2f}   <= {FLAT}   {'ok' if holds else 'MISSED'}")
            text.append(f"- {x_name}: {what}: {value:.2f} (<= {FLAT}: {'holds' if holds else '**does not hold**'})")
        text.append("")
    if args.markdown:
        with args.markdown.open("a") as out:
            out.write("\n" + "\n".join(text) + "\n")
    return 0 if is_flat else 1


if __name__ == "__main__":
    sys.exit(main())
