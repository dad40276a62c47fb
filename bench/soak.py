"""A node under steady load for half an hour: the memory of node and nats-server must stay flat.

Usage: soak.py BUILD_DIR [--minutes N] [--share PERCENT | --rate N] [--svg FILE] [--markdown FILE]
The load is a share of what the machine did in a short trial at full speed, or a rate that is given. Every event is stored, run, recorded and
answered; events and records are kept for a few minutes only, so that the log is trimmed all the time, as in a node that has run for weeks.
Memory is sampled every second; a line fitted to the samples after the warm-up (a third of the time) must not rise by more than it may.
Everything runs on 127.0.0.1 with random ports, and ends what it started."""
import argparse
import datetime
import os
import pathlib
import platform
import shutil
import statistics
import sys
import tempfile
import threading
import time

import plot
from bench import SMALL_STACK, Node, build_module, drained, rss, wrk

CONNECTIONS = 256  # many, so that each waits long enough between its requests to be timed in whole milliseconds
CHUNK_S = 20
MAY_RISE = {"node": (0.05, 4), "nats-server": (0.10, 8)}  # of the mean, or MiB, whichever is more

CONFIG = """version: v1
log: {level: warn}
dedupe_window: 10s
retention: {events: {max_age: %ds}, runs: {max_age: %ds}}
functions:
  - name: echo
    on: {http: {method: POST, path: /sync}}
    code: ./echo.wasm
    respond: sync
"""


class Sampler(threading.Thread):
    """Resident memory of both processes, every second: (seconds, node MiB, nats-server MiB)."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.pids, self.samples, self.is_over, self.began = (node.process.pid, node.nats_pid()), [], threading.Event(), time.monotonic()

    def run(self):
        while not self.is_over.wait(1):
            self.samples.append((time.monotonic() - self.began, *(rss(pid) / 2**20 for pid in self.pids)))


def hold(url, rate, seconds):
    """Load at that rate, in chunks whose pauses follow what the last one did. wrk's figures of each chunk."""
    round_ms = CONNECTIONS * 1e3 / rate  # of one connection: its pause and the answer
    pause_ms, chunks, end = round_ms, [], time.monotonic() + seconds
    while time.monotonic() < end:
        r = wrk(url, CONNECTIONS, min(CHUNK_S, max(1, round(end - time.monotonic()))), pause_ms=pause_ms)
        # Half of what the rate was off by, and never a full-speed burst to make up for a slow chunk.
        pause_ms = max(round_ms / 4, pause_ms + (round_ms - CONNECTIONS * 1e3 / r["rate"]) / 2)
        chunks.append(r)
        print(f"{datetime.datetime.now():%H:%M:%S} {r['rate']:8,.0f}/s   p50 {r['p50_ms']:.2f}  p99 {r['p99_ms']:.2f} ms", flush=True)
    return chunks


def rise(samples):
    """What the line of least squares rises by from the first sample to the last."""
    xs, ys = zip(*samples)
    mean_x, mean_y = statistics.fmean(xs), statistics.fmean(ys)
    slope = sum((x - mean_x) * (y - mean_y) for x, y in samples) / sum((x - mean_x) ** 2 for x in xs)
    return slope * (xs[-1] - xs[0])


def thin(points, most=300):
    """Means of neighbours, for the plot."""
    n = max(1, len(points) // most)
    return [tuple(statistics.fmean(v) for v in zip(*points[i:i + n])) for i in range(0, len(points), n)]


def main():
    args = argparse.ArgumentParser()
    args.add_argument("build", type=pathlib.Path)
    args.add_argument("--minutes", type=float, default=30)
    args.add_argument("--share", type=float, default=70, help="percent of the rate at full speed")
    args.add_argument("--rate", type=float, help="events a second, instead of a share")
    args.add_argument("--svg", type=pathlib.Path)
    args.add_argument("--markdown", type=pathlib.Path, help="the result is appended to this file")
    args = args.parse_args()
    nexus = os.environ.get("NEXUS_BIN", str(args.build.resolve() / "nexus"))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="nexus-soak-"))
    seconds = args.minutes * 60
    keep_s = max(30, int(seconds / 6))
    try:
        (folder / "node").mkdir()
        shutil.copy(build_module(nexus, folder, "echo", SMALL_STACK), folder / "node" / "echo.wasm")
        node = Node(nexus, folder / "node", CONFIG % (keep_s, keep_s))
        try:
            rate = args.rate or wrk(node.url + "/sync", 64, 10)["rate"] * args.share / 100
            print(f"holding {rate:,.0f} events/s for {args.minutes:g} minutes", flush=True)
            sampler = Sampler(node)
            sampler.start()
            chunks = hold(node.url + "/sync", rate, seconds)
            sampler.is_over.set()
            sampler.join()
            drained(node)
        finally:
            node.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return report(args, rate, chunks, sampler.samples)


def report(args, rate, chunks, samples):
    refused = sum(r["bad"] + r["errors"] for r in chunks)
    done = sum(r["requests"] for r in chunks)
    lines = [f"Measured on {datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores: {args.minutes:g} minutes at {rate:,.0f} events/s "
             f"({done:,} events, {refused} not answered with 2xx; p99 of the chunks, median: {statistics.median(r['p99_ms'] for r in chunks):.1f} ms).\n",
             "| resident memory | mean | fitted line rises by | may rise by | holds |", "| --- | ---: | ---: | ---: | --- |"]
    holds = refused == 0
    for i, (name, (share, mib)) in enumerate(MAY_RISE.items(), 1):
        part = [(s[0], s[i]) for s in samples if s[0] >= samples[-1][0] / 3]
        mean, up = statistics.fmean(y for _, y in part), rise(part)
        limit = max(share * mean, mib)
        holds = holds and up <= limit
        lines.append(f"| {name} | {mean:.1f} MiB | {up:+.1f} MiB | {limit:.1f} MiB | {'yes' if up <= limit else '**no**'} |")
    print("\n".join(lines))
    if args.svg:
        points = thin(samples)
        plot.chart(args.svg, f"Resident memory at {rate:,.0f} events/s", "minutes", "MiB",
                   {name: [(s[0] / 60, s[i]) for s in points] for i, name in enumerate(MAY_RISE, 1)})
    if args.markdown:
        with args.markdown.open("a") as out:
            out.write("\n" + "\n".join(lines) + "\n")
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
