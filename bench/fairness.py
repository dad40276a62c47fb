"""What one noisy function does to a quiet one: latency of the quiet one's requests alone, beside the noisy one, beside one of another namespace
(another node on the same cores, or another one of the same process, which shares the slots by weight), and on a node without fair sharing (docs/FLOW.md). Writes a picture and a table of the figures.

Usage: fairness.py NEXUS [--without NEXUS] [--requests N] [--noise-ms MS] [--svg FILE] [--markdown FILE]
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


class Noise:
    """Keeps a backlog of events for the noisy function: as many as it takes for all slots, and hundreds that wait."""

    def __init__(self, node, backlog):
        self.node, self.backlog, self.is_over = node, backlog, multiprocessing.Event()
        self.process = multiprocessing.Process(target=self.run)  # a thread would keep the quiet function's caller waiting
        self.process.start()
        wait_until(lambda: self.pending() >= backlog / 2, 60, "a backlog of the noisy function")

    def pending(self):
        lines = request(self.node.admin + "/api/v1/functions")[1].splitlines()
        return sum(json.loads(x)["pending"] + json.loads(x)["in_flight"] for x in lines if json.loads(x)["name"] == "noisy")

    def run(self):
        address = urllib.parse.urlsplit(self.node.url)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=10)
        while not self.is_over.is_set():
            missing = self.backlog - self.pending()
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


def burn():
    os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
    while True:
        pass


class Awake:
    """Keeps all cores from falling asleep, in every case, by work that anything else goes before: how long a virtual machine takes to give a core back that
    was idle is no matter of fairness, and it is the quiet function's alone."""

    def __enter__(self):
        self.burners = [multiprocessing.Process(target=burn, daemon=True) for _ in os.sched_getaffinity(0)]
        for burner in self.burners:
            burner.start()

    def __exit__(self, *_):
        for burner in self.burners:
            burner.kill()
            burner.join()


def measure(node, n, interval_s):
    """Requests one after the other, not faster than one each interval: milliseconds of each. A caller is elsewhere as a rule: it waits for no core here."""
    try:
        os.sched_setscheduler(0, os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except PermissionError:
        print("fairness: the figures hold the caller's own waits for a core (no CAP_SYS_NICE)")
    address = urllib.parse.urlsplit(node.url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
    took, due = [], time.perf_counter()
    end = time.monotonic() + 80
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


def case(name, nexus, folder, built, args, noisy_namespace=None, weight=None):
    """Noise comes from a function of that namespace: the quiet one's own, or another one, which is another node's; with `weight`, of the same process, where
    the quiet one's weighs so much to the other's 100."""
    quiet, noisy = process_of(nexus, folder, built, weight) if weight else (node_of(nexus, folder, built), None)
    nodes = [quiet]
    if noisy_namespace == "default":
        noisy = quiet
    elif noisy_namespace and not weight:
        noisy = node_of(nexus, folder.with_name(folder.name + "-" + noisy_namespace), built, noisy_namespace)
        nodes.append(noisy)
    try:
        measure(quiet, 200, 0)  # warm
        noise = Noise(noisy, args.backlog) if noisy else None
        took = measure(quiet, args.requests, 0.005)
        if noise:
            noise.stop()
    finally:
        for node in nodes:
            node.process.kill()  # what is left of the backlog is of no use to anybody
            node.process.wait()
            node.log.close()
    took.sort()
    found = {"name": name, "n": len(took), "p50": statistics.median(took), "p99": took[int(len(took) * 0.99)], "max": took[-1]}
    print("{name}: {n} requests, p50 {p50:.2f} ms, p99 {p99:.2f} ms, max {max:.1f} ms".format(**found), flush=True)
    return found


def svg(rows, note):
    """Bars on a logarithmic scale, with the figures beside them."""
    left, width, bar, gap = 350, 270, 16, 46
    low, high = 0.1, 10 ** math.ceil(math.log10(max(r["p99"] for r in rows) * 1.01))

    def x(ms):
        return left + width * (math.log10(max(ms, low)) - math.log10(low)) / (math.log10(high) - math.log10(low))

    height = 84 + gap * len(rows)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="720" height="{height}" viewBox="0 0 720 {height}" font-family="sans-serif" font-size="13">',
           f'<rect width="720" height="{height}" fill="#ffffff"/>',
           '<text x="16" y="22" font-size="15" fill="#111111">Latency of a quiet function, ms (logarithmic)</text>']
    tick = low
    while tick <= high * 1.001:
        out.append(f'<line x1="{x(tick):.1f}" y1="36" x2="{x(tick):.1f}" y2="{height - 40}" stroke="#dddddd"/>')
        out.append(f'<text x="{x(tick):.1f}" y="{height - 24}" text-anchor="middle" fill="#555555">{tick:g}</text>')
        tick *= 10
    for i, r in enumerate(rows):
        y = 42 + gap * i
        out.append(f'<text x="{left - 10}" y="{y + 20}" text-anchor="end" fill="#111111">{html.escape(r["name"])}</text>')
        for k, (key, colour) in enumerate((("p50", "#7aa6c2"), ("p99", "#1f5c85"))):
            end = x(r[key])
            out.append(f'<rect x="{left}" y="{y + k * (bar + 1)}" width="{max(1, end - left):.1f}" height="{bar}" fill="{colour}"/>')
            out.append(f'<text x="{end + 6:.1f}" y="{y + k * (bar + 1) + 13}" fill="#111111">{key} {r[key]:.3g}</text>')
    out.append(f'<text x="16" y="{height - 6}" font-size="11" fill="#555555">{html.escape(note)}</text></svg>')
    return "\n".join(out) + "\n"


def markdown(rows):
    out = ["| quiet function | p50 | p99 | longest |", "| --- | --- | --- | --- |"]
    out += ["| {name} | {p50:.2f} ms | {p99:.2f} ms | {max:.1f} ms |".format(**r) for r in rows]
    return "\n".join(out) + "\n"


def main():
    args = argparse.ArgumentParser()
    args.add_argument("nexus")
    args.add_argument("--without")
    args.add_argument("--requests", type=int, default=3000)
    args.add_argument("--noise-ms", type=float, default=20)
    args.add_argument("--backlog", type=int, default=600)
    args.add_argument("--svg")
    args.add_argument("--markdown")
    args = args.parse_args()
    nexus = str(pathlib.Path(args.nexus).resolve())
    with tempfile.TemporaryDirectory(prefix="nexus-fairness-") as temp, Awake():
        temp = pathlib.Path(temp)
        built = temp / "built"
        build(nexus, built, args.noise_ms)
        rows = [case("alone", nexus, temp / "alone", built, args),
                case("beside a noisy one", nexus, temp / "fair", built, args, "default"),
                case("beside one of another namespace", nexus, temp / "tenants", built, args, "other"),
                case("beside one of another namespace of the same process", nexus, temp / "process", built, args, "other", 100),
                case("the same, with four times its weight", nexus, temp / "weighty", built, args, "other", 400)]
        if args.without:
            rows.append(case("the same namespace, without fair sharing", str(pathlib.Path(args.without).resolve()), temp / "unfair", built, args, "default"))
    note = (f"{rows[0]['n']} requests, at most 200 a second, one connection; noise: {args.backlog} events waiting, {args.noise_ms:g} ms of CPU each; "
            f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, {datetime.date.today()}")
    if args.svg:
        pathlib.Path(args.svg).write_text(svg(rows, note))
    if args.markdown:
        pathlib.Path(args.markdown).write_text(markdown(rows))


if __name__ == "__main__":
    main()
