"""The same function (parse the event, answer a greeting) behind Nexus, Restate, workerd and a bare Node server, driven by wrk with the
same bodies in one run.

Usage: peers.py BUILD_DIR [--seconds N] [--markdown FILE]       (scripts/setup dev test bench brings the peers)
Everything runs on 127.0.0.1 with random ports, one peer at a time, and ends what it started. Nexus and Restate store every event before
they answer and what came of it; workerd and Node store nothing."""
import argparse
import contextlib
import datetime
import os
import pathlib
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE.parent))
from bench import Node, http, rss, wait_until, wrk  # noqa: E402

MODULES = ROOT / ".deps" / "peers"
CONNECTIONS = (1, 32, 64, 128)
BODY = b'{"id":"u1","email":"a@example.com"}'
ANSWER = b'{"greeting":"Hello, a@example.com!","id":"u1"}'

PROJECT = """version: v1
log: {level: warn}
functions:
  - name: greet
    on: {http: {method: POST, path: /greet}}
    code: ./greet.wasm
    respond: sync
    build:
      command: '"$RUSTC" --edition 2021 --target "$NEXUS_WASI_TARGET" --crate-type cdylib -C opt-level=3 -C link-arg=-zstack-size=262144 -o greet.wasm greet.rs'
"""


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def tree(pid):
    """The process and all below it."""
    found = [pid]
    for p in found:
        with contextlib.suppress(OSError):
            for task in pathlib.Path(f"/proc/{p}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


@contextlib.contextmanager
def process(args, folder, **env):
    with open(folder / (pathlib.Path(args[0]).name + ".log"), "ab") as log:
        p = subprocess.Popen([str(a) for a in args], cwd=folder, stdout=log, stderr=log, env={**os.environ, **env})
    try:
        yield p
    finally:
        p.send_signal(signal.SIGTERM)
        try:
            p.wait(20)
        except subprocess.TimeoutExpired:
            p.kill()
            p.wait()


def answers(url):
    return http(url, BODY, {"Content-Type": "application/json"})[1].strip() == ANSWER


@contextlib.contextmanager
def nexus(build, folder):
    command = os.environ.get("NEXUS_BIN", str(build / "nexus"))
    shutil.copy(HERE / "greet.rs", folder)
    (folder / "nexus.yaml").write_text(PROJECT)
    done = subprocess.run([command, "build"], cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit("peers: nexus build: " + done.stdout + done.stderr)
    node = Node(command, folder, PROJECT)
    try:
        yield node.url + "/greet", [node.process.pid]
    finally:
        node.stop()


@contextlib.contextmanager
def restate(_build, folder):
    service, ingress, admin, fabric = (free_port() for _ in range(4))
    server = next((MODULES / "@restatedev").glob("restate-server-linux-*")) / "bin" / "restate-server"
    settings = {"RESTATE_INGRESS__BIND_PORT": str(ingress), "RESTATE_ADMIN__BIND_PORT": str(admin), "RESTATE_LISTEN_MODE": "tcp"}
    with process(["node", "restate.mjs"], folder, PORT=str(service)) as sdk, process(
            [server, "--no-logo", "--node-name", "bench", "--bind-ip", "127.0.0.1", "--advertised-host", "127.0.0.1", "--bind-port", fabric,
             "--base-dir", folder / "store"], folder, RESTATE_DISABLE_TELEMETRY="true", RUST_LOG="warn", **settings) as engine:
        wait_until(lambda: http(f"http://127.0.0.1:{admin}/health")[0] == 200, 60, "Restate's admin listener")
        uri = f'{{"uri":"http://127.0.0.1:{service}"}}'.encode()
        wait_until(lambda: http(f"http://127.0.0.1:{admin}/deployments", uri, {"Content-Type": "application/json"})[0] in (200, 201), 30,
                   "the registration of the service")
        yield f"http://127.0.0.1:{ingress}/greeter/greet", [engine.pid, sdk.pid]


@contextlib.contextmanager
def workerd(_build, folder):
    program = next((MODULES / "@cloudflare").glob("workerd-linux-*")) / "bin" / "workerd"
    port = free_port()
    with process([program, "serve", "workerd.capnp", f"--socket-addr=http=127.0.0.1:{port}"], folder) as p:
        yield f"http://127.0.0.1:{port}/", [p.pid]


@contextlib.contextmanager
def bare_node(_build, folder):
    port = free_port()
    with process(["node", "node.mjs"], folder, PORT=str(port)) as p:
        yield f"http://127.0.0.1:{port}/", [p.pid]


# In the order of the table.
PEERS = (("Nexus", nexus), ("Restate", restate), ("workerd (stores nothing)", workerd), ("Node http (stores nothing)", bare_node))


def measure(build, seconds):
    """{peer: {connections: wrk's figures}}, {peer: resident bytes after the load}"""
    figures, memory = {}, {}
    for name, start in PEERS:
        folder = pathlib.Path(tempfile.mkdtemp(prefix="nexus-peers-"))
        try:
            for file in HERE.iterdir():
                if file.suffix in (".mjs", ".capnp"):
                    shutil.copy(file, folder)
            (folder / "node_modules").symlink_to(MODULES)
            with start(build, folder) as (url, pids):
                wait_until(lambda: answers(url), 60, f"the right answer of {name}")
                wrk(url, 16, 3)  # warm: compiled, cached, connected
                figures[name] = {}
                for n in CONNECTIONS:
                    r = figures[name][n] = wrk(url, n, seconds)
                    print(f"{name:<28} {n:>4} connections {r['rate']:>9,.0f}/s   p50 {r['p50_ms']:.2f}  p99 {r['p99_ms']:.2f}  p999 {r['p999_ms']:.2f} ms",
                          flush=True)
                    if r["bad"] or r["errors"]:
                        print(f"peers: {name}: {r['bad']} answers that were not 2xx, {r['errors']} connection errors", file=sys.stderr)
                memory[name] = sum(rss(p) for pid in pids for p in tree(pid))
                print(f"{name:<28} resident {memory[name] / 2**20:,.0f} MiB", flush=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return figures, memory


def verdicts(figures, memory):
    """(what, value, bar, is a maximum): the bars of the comparison."""
    ours, theirs, worker = figures["Nexus"], figures["Restate"], figures["workerd (stores nothing)"]
    return (("throughput over Restate's, 64 connections", ours[64]["rate"] / theirs[64]["rate"], 12, False),
            ("p50 over Restate's, 1 connection", ours[1]["p50_ms"] / theirs[1]["p50_ms"], 1 / 8, True),
            ("throughput over workerd's, 64 connections", ours[64]["rate"] / worker[64]["rate"], 1.2, False),
            ("resident memory over Restate's (both with their processes)", memory["Nexus"] / memory["Restate"], 1 / 10, True))


def main():
    args = argparse.ArgumentParser()
    args.add_argument("build", type=pathlib.Path)
    args.add_argument("--seconds", type=int, default=8)
    args.add_argument("--markdown", type=pathlib.Path, help="the tables are appended to this file")
    args = args.parse_args()
    if not MODULES.exists():
        raise SystemExit("peers: not set up: scripts/setup dev test bench")
    figures, memory = measure(args.build.resolve(), args.seconds)
    lines = ["| | " + " | ".join(f"{n} conn." for n in CONNECTIONS) + " | resident |", "| --- |" + " ---: |" * (len(CONNECTIONS) + 1)]
    for name, by in figures.items():
        cells = (f"{by[n]['rate']:,.0f}/s<br>{by[n]['p50_ms']:.2f} / {by[n]['p99_ms']:.2f} / {by[n]['p999_ms']:.2f} ms" for n in CONNECTIONS)
        lines.append(f"| {name} | " + " | ".join(cells) + f" | {memory[name] / 2**20:,.0f} MiB |")
    lines += ["", "| comparison | measured | must | holds |", "| --- | ---: | --- | --- |"]
    for what, value, bar, is_max in verdicts(figures, memory):
        holds = value <= bar if is_max else value >= bar
        print(f"{what:<60} {value:7.3f}   {'<=' if is_max else '>='} {bar:.3f}   {'ok' if holds else 'MISSED'}", flush=True)
        lines.append(f"| {what} | {value:.3f} | {'<=' if is_max else '>='} {bar:.3f} | {'yes' if holds else '**no**'} |")
    if args.markdown:
        head = (f"Measured on {datetime.date.today()}, {platform.machine()}, {os.cpu_count()} cores, load generator included; "
                "each cell: throughput, then p50 / p99 / p999.\n\n")
        with args.markdown.open("a") as out:
            out.write("\n" + head + "\n".join(lines) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
