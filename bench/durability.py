"""End to end at each durability level (docs/DEPLOYMENT.md): `process`, `power`, and `quorum` on three nats-servers on the loopback.

Usage: durability.py BUILD_DIR [--seconds N] [--levels process,power,quorum]
All on one machine: `quorum` shows what three copies cost in work, not what a network between machines adds."""
import argparse
import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import tempfile

from bench import ROOT, SMALL_STACK, Node, build_module, cpu_s, drained, http, wait_until, wrk

SERVER = """server_name: s{i}
listen: "127.0.0.1:{client}"
http: "127.0.0.1:{monitor}"
max_payload: 8388608
jetstream {{ store_dir: "{folder}/s{i}", max_file_store: 1099511627776, max_memory_store: 67108864 }}
cluster {{ name: bench, listen: "127.0.0.1:{route}", routes: [{routes}] }}
"""
CONFIG = """version: v1
log: {level: warn}
%s
functions:
  - name: echo
    on: {http: {method: POST, path: /sync}}
    code: ./echo.wasm
    respond: sync
"""
LEVELS = ("process", "power", "quorum")


def free_ports(n):
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(n)]
        for s in sockets:
            s.bind(("127.0.0.1", 0))
        return [s.getsockname()[1] for s in sockets]


@contextlib.contextmanager
def cluster(folder):
    """Three servers that have elected a leader; their URLs."""
    ports = free_ports(9)
    routes = ", ".join(f'"nats://127.0.0.1:{p}"' for p in ports[6:])
    servers = []
    try:
        for i in range(3):
            file = folder / f"s{i}.conf"
            file.write_text(SERVER.format(i=i, client=ports[i], monitor=ports[3 + i], route=ports[6 + i], routes=routes, folder=folder))
            with open(folder / f"s{i}.log", "wb") as log:
                servers.append(subprocess.Popen([str(ROOT / ".deps" / "bin" / "nats-server"), "-c", str(file)], stdout=log, stderr=log))

        def is_ready():
            return all(http(f"http://127.0.0.1:{p}/healthz")[0] == 200 for p in ports[3:6])
        wait_until(is_ready, 60, "a cluster of three servers")
        yield ",".join(f"nats://127.0.0.1:{p}" for p in ports[:3]), [s.pid for s in servers]
    finally:
        for s in servers:
            s.terminate()
        for s in servers:
            s.wait(30)


def measure(nexus, folder, wasm, level, seconds):
    """{connections: wrk's figures}, ingest's figures, processor time of the servers per sync event in microseconds"""
    project = folder / level
    project.mkdir()
    shutil.copy(wasm, project / "echo.wasm")
    with contextlib.ExitStack() as stack:
        settings, pids = f"durability: {level}", None
        if level == "quorum":
            url, pids = stack.enter_context(cluster(project))
            settings += f"\nreplicas: 3\nnats: {{url: '{url}'}}"
        node = Node(nexus, project, CONFIG % settings)
        stack.callback(node.stop)
        pids = pids or [node.nats_pid()]
        wrk(node.url + "/sync", 16, 2)
        one = wrk(node.url + "/sync", 1, seconds)
        before = sum(map(cpu_s, pids))
        many = wrk(node.url + "/sync", 64, seconds)
        server_us = (sum(map(cpu_s, pids)) - before) * 1e6 / many["requests"]
        ingest = wrk(node.url + "/events/bench.nobody", 64, seconds)
        for r in (one, many, ingest):
            if r["bad"] or r["errors"]:
                print(f"durability: {level}: {r['bad']} answers that were not 2xx, {r['errors']} connection errors", file=sys.stderr)
        drained(node)
    return one, many, ingest, server_us


def rows(nexus, folder, wasm, seconds, levels=LEVELS):
    """(what, value, unit) for bench.py's table"""
    for level in levels:
        one, many, ingest, server_us = measure(nexus, folder, wasm, level, seconds)
        where = level + (" (3 servers, loopback)" if level == "quorum" else "")
        yield f"durability {where}: sync, 64 connections", many["rate"], "events/s"
        yield f"durability {where}: the same, p99", many["p99_ms"], "ms"
        yield f"durability {where}: sync, 1 connection, p50", one["p50_ms"], "ms"
        yield f"durability {where}: ingest alone, 64 connections", ingest["rate"], "events/s"
        yield f"durability {where}: CPU of nats-server a sync event", server_us, "us"


def main():
    args = argparse.ArgumentParser()
    args.add_argument("build", type=pathlib.Path)
    args.add_argument("--seconds", type=int, default=8)
    args.add_argument("--levels", default=",".join(LEVELS))
    args = args.parse_args()
    nexus = os.environ.get("NEXUS_BIN", str(args.build.resolve() / "nexus"))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="nexus-durability-"))
    try:
        wasm = build_module(nexus, folder, "echo", SMALL_STACK)
        for what, value, unit in rows(nexus, folder, wasm, args.seconds, args.levels.split(",")):
            print(f"{what:<70} {value:10,.2f} {unit}", flush=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
