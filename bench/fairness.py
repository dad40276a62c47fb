"""What one noisy function does to a quiet one: latency of the quiet one's requests alone, and beside the noisy one of its namespace, or of another one (another
node on the same cores, or one of the same process, which shares the slots by weight), and on a node without fair sharing (docs/FLOW.md). The noise goes on and
off in turns on the same nodes, so that what else the machine does is in both figures. Writes a picture and a table of them.

Usage: fairness.py NEXUS [--without NEXUS] [--requests N] [--rounds N] [--noise-ms MS] [--svg FILE] [--markdown FILE]
--without: another build of the node, from before fair sharing (any one before the change "runtime: slots go to functions in turn").
Everything runs on 127.0.0.1 with random ports, bounded in time, and ends what it started."""
import argparse
import datetime
import html
import http.client
import json
import math
import multiprocessing
import os
import pathlib
import platform
import statistics
import subprocess
import tempfile
import time
import urllib.parse

from bench import ECHO, Node, http as request, wait_until

NOISE = """
#[no_mangle]
pub extern "C" fn handle_event() {
    let mut x: u64 = 88172645463325252;
    for _ in 0..TURNS {
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
    }
    println!("{x}");
}
"""

CONFIG = """version: v1
log: {level: warn}
functions:
  - name: quiet
    on: {http: {method: POST, path: /quiet}}
    code: ./quiet.wasm
    respond: sync
    build: {command: '"$RUSTC" --edition 2021 --target "$NEXUS_WASI_TARGET" --crate-type cdylib -C opt-level=3 -C link-arg=-zstack-size=131072 -o quiet.wasm quiet.rs'}
  - name: noisy
    on: {http: {method: POST, path: /events/noise}}
    code: ./noisy.wasm
    build: {command: '"$RUSTC" --edition 2021 --target "$NEXUS_WASI_TARGET" --crate-type cdylib -C opt-level=3 -C link-arg=-zstack-size=131072 -o noisy.wasm noisy.rs'}
"""
TURNS_A_MS = 400_000  # about
BODY = b'{"user_id": "u42", "email": "alice@example.com"}'


def build(nexus, folder, noise_ms):
    folder.mkdir()
    (folder / "quiet.rs").write_text(ECHO)
    (folder / "noisy.rs").write_text(NOISE.replace("TURNS", str(int(TURNS_A_MS * noise_ms))))
    (folder / "nexus.yaml").write_text(CONFIG)
    done = subprocess.run([nexus, "build"], cwd=folder, capture_output=True, text=True, timeout=120)
    if done.returncode:
        raise SystemExit("fairness: nexus build: " + done.stdout + done.stderr)


def node_of(nexus, folder, built, namespace="default"):
    folder.mkdir()
    for name in ("quiet.wasm", "noisy.wasm"):
        (folder / name).write_bytes((built / name).read_bytes())
    return Node(nexus, folder, CONFIG, NEXUS_NAMESPACE=namespace)


class Other:
    """A further namespace of a node's process: where it is found."""

    def __init__(self, info):
        urls = json.loads(info.read_text())
        self.url, self.admin = urls["listen_url"], urls["admin_url"]


def process_of(nexus, folder, built, weight):
    """The node of `default`, with that weight, and `other` of the same process, at 100; both have the functions."""
    folder.mkdir()
    for name in ("quiet.wasm", "noisy.wasm"):
        (folder / name).write_bytes((built / name).read_bytes())
    (folder / "nexus.yaml").write_text(CONFIG)
    (folder / "default.yaml").write_text(f"version: v1\nlog: {{level: warn}}\npriority: {{weight: {weight}}}\n")
    (folder / "other.yaml").write_text("version: v1\nnamespace: other\ndata_dir: ./other\n")
    node = Node(nexus, folder, None, command=("serve", "--config", "default.yaml", "--config", "other.yaml"))
    info = folder / "other" / "node.json"
    wait_until(info.exists, 30, "node.json of the second namespace")
    other = Other(info)
    wait_until(lambda: request(other.admin + "/readyz")[0] == 200, 30, "ready")
    for one in (node, other):
        done = subprocess.run([nexus, "deploy", "--no-build", "--admin-url", one.admin], cwd=folder, capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise SystemExit("fairness: nexus deploy: " + done.stdout + done.stderr)
    return node, other


def pending(node):
    functions = map(json.loads, request(node.admin + "/api/v1/functions")[1].splitlines())
    return sum(f["pending"] + f["in_flight"] for f in functions if f["name"] == "noisy")


class Noise:
    """Keeps a backlog of events for the noisy function: as many as it takes for all slots, and hundreds that wait."""

    def __init__(self, node, backlog):
        self.node, self.backlog, self.is_over = node, backlog, multiprocessing.Event()
        self.process = multiprocessing.Process(target=self.run)  # a thread would keep the quiet function's caller waiting
        self.process.start()
        wait_until(lambda: pending(node) >= backlog / 2, 60, "a backlog of the noisy function")

    def run(self):
        address = urllib.parse.urlsplit(self.node.url)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
        while not self.is_over.is_set():
            missing = self.backlog - pending(self.node)
            for _ in range(max(0, missing)):
                connection.request("POST", "/events/noise", body=b"{}", headers={"content-type": "application/json"})
                connection.getresponse().read()
                if self.is_over.is_set():
                    break
            self.is_over.wait(0.2)
        connection.close()

    def stop(self):
        self.is_over.set()
        self.process.join()


def measure(node, n, interval_s):
    """Requests one after the other, not faster than one each interval: milliseconds of each. A caller is elsewhere as a rule: it waits for no core here."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except PermissionError:
        print("fairness: the figures hold the caller's own waits for a core (no CAP_SYS_NICE)")
    address = urllib.parse.urlsplit(node.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
    took, due = [], time.perf_counter()
    end = time.monotonic() + 20
    for _ in range(n):
        wait = due - time.perf_counter()
        if wait > 0:
            time.sleep(wait)
        started = time.perf_counter()
        connection.request("POST", "/quiet", body=BODY, headers={"content-type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            raise SystemExit(f"fairness: the quiet function answered {answer.status}")
        took.append((time.perf_counter() - started) * 1000)
        due = max(due + interval_s, time.perf_counter())
        if time.monotonic() > end:
            break
    connection.close()
    return took


def quantiles(took):
    took = sorted(took)
    return {"p50": statistics.median(took), "p99": took[int(len(took) * 0.99)], "max": took[-1], "n": len(took)}


def case(name, nexus, folder, built, args, noisy_namespace="default", weight=None):
    """Noise comes from a function of that namespace: the quiet one's own, or another one, which is another node's; with `weight`, of the same process, where
    the quiet one's weighs so much to the other's 100."""
    quiet, noisy = process_of(nexus, folder, built, weight) if weight else (node_of(nexus, folder, built), None)
    nodes = [quiet]
    if noisy_namespace == "default":
        noisy = quiet
    elif not weight:
        noisy = node_of(nexus, folder.with_name(folder.name + "-" + noisy_namespace), built, noisy_namespace)
        nodes.append(noisy)
    alone, beside = [], []
    try:
        measure(quiet, 200, 0)  # warm
        for i in range(args.rounds):
            if i:
                wait_until(lambda: pending(noisy) == 0, 120, "the noise to end")
            alone += measure(quiet, args.requests // args.rounds, 0.005)
            noise = Noise(noisy, args.backlog)
            beside += measure(quiet, args.requests // args.rounds, 0.005)
            noise.stop()
    finally:
        for node in nodes:
            node.process.kill()  # what is left of the backlog is of no use to anybody
            node.process.wait()
            node.log.close()
    found = {"name": name, "alone": quantiles(alone), "beside": quantiles(beside)}
    print(row(found), flush=True)
    return found


def row(found):
    a, b = found["alone"], found["beside"]
    return (f"| {found['name']} | {a['p50']:.2f} ms | {b['p50']:.2f} ms | {a['p99']:.2f} ms | {b['p99']:.2f} ms | {b['p99'] / a['p99']:.2f} | {b['max']:.1f} ms |")


BARS = (("alone", "p50", "#c9b37a"), ("beside", "p50", "#7aa6c2"), ("alone", "p99", "#8a6d1f"), ("beside", "p99", "#1f5c85"))


def figure(ms):
    return f"{ms:.2f}" if ms < 100 else f"{ms:.0f}"


def svg(rows, note):
    """Bars on a logarithmic scale, with the figures beside them."""
    left, width, bar = 350, 250, 14
    gap = len(BARS) * (bar + 1) + 16
    low, high = 0.1, 10 ** math.ceil(math.log10(max(r["beside"]["p99"] for r in rows) * 1.01))

    def x(ms):
        return left + width * (math.log10(max(ms, low)) - math.log10(low)) / (math.log10(high) - math.log10(low))

    height = 84 + gap * len(rows)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="800" height="{height}" viewBox="0 0 800 {height}" font-family="sans-serif" font-size="13">',
           f'<rect width="800" height="{height}" fill="#ffffff"/>',
           '<text x="16" y="22" font-size="15" fill="#111111">Latency of a quiet function beside a noisy one of …, ms (logarithmic)</text>']
    tick = low
    while tick <= high * 1.001:
        out.append(f'<line x1="{x(tick):.1f}" y1="36" x2="{x(tick):.1f}" y2="{height - 40}" stroke="#dddddd"/>')
        out.append(f'<text x="{x(tick):.1f}" y="{height - 24}" text-anchor="middle" fill="#555555">{tick:g}</text>')
        tick *= 10
    for i, r in enumerate(rows):
        y = 42 + gap * i
        out.append(f'<text x="{left - 10}" y="{y + gap / 2 - 4:.0f}" text-anchor="end" fill="#111111">{html.escape(r["name"])}</text>')
        for k, (when, key, colour) in enumerate(BARS):
            end = x(r[when][key])
            out.append(f'<rect x="{left}" y="{y + k * (bar + 1)}" width="{max(1, end - left):.1f}" height="{bar}" fill="{colour}"/>')
            out.append(f'<text x="{end + 6:.1f}" y="{y + k * (bar + 1) + 12}" fill="#111111">{key} {when} {figure(r[when][key])}</text>')
    out.append(f'<text x="16" y="{height - 6}" font-size="11" fill="#555555">{html.escape(note)}</text></svg>')
    return "\n".join(out) + "\n"


def markdown(rows):
    out = ["| noise | p50 alone | p50 beside it | p99 alone | p99 beside it | ratio | longest |", "| --- | --- | --- | --- | --- | --- | --- |"]
    return "\n".join(out + [row(r) for r in rows]) + "\n"


def main():
    args = argparse.ArgumentParser()
    args.add_argument("nexus")
    args.add_argument("--without")
    args.add_argument("--requests", type=int, default=3000)
    args.add_argument("--rounds", type=int, default=5)
    args.add_argument("--noise-ms", type=float, default=20)
    args.add_argument("--backlog", type=int, default=600)
    args.add_argument("--svg")
    args.add_argument("--markdown")
    args = args.parse_args()
    nexus = str(pathlib.Path(args.nexus).resolve())
    with tempfile.TemporaryDirectory(prefix="nexus-fairness-") as temp:
        temp = pathlib.Path(temp)
        built = temp / "built"
        build(nexus, built, args.noise_ms)
        rows = [case("its own namespace", nexus, temp / "fair", built, args),
                case("another namespace", nexus, temp / "tenants", built, args, "other"),
                case("another namespace of the same process", nexus, temp / "process", built, args, "other", 100),
                case("the same, with a quarter of its weight", nexus, temp / "weighty", built, args, "other", 400)]
        if args.without:
            rows.append(case("its own namespace, without fair sharing", str(pathlib.Path(args.without).resolve()), temp / "unfair", built, args))
    note = (f"{args.requests} requests in {args.rounds} turns, at most 200 a second, one connection; noise: {args.backlog} events waiting, {args.noise_ms:g} ms of CPU each; "
            f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, {datetime.date.today()}")
    if args.svg:
        pathlib.Path(args.svg).write_text(svg(rows, note))
    if args.markdown:
        pathlib.Path(args.markdown).write_text(markdown(rows))


if __name__ == "__main__":
    main()
