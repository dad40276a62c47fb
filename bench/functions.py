"""Many functions on one node: what deploying, holding and starting them costs, and how soon each answers its first event (docs/BENCHMARKS.md).

Usage: functions.py BUILD_DIR [--functions N] [--modules M] [--json]
M of the N functions have a module of their own, the others share them. Everything runs on 127.0.0.1 with random ports, bounded in time, and ends what
it started."""
import argparse
import hashlib
import http.client
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse

from bench import Node

HERE = pathlib.Path(__file__).resolve().parent
GUEST = HERE.parent / "tests" / "integration" / "guests" / "answer.wat"
SERVER = HERE.parent / ".deps" / "bin" / "nats-server"
MARK = "________"


class Connection:
    """One HTTP connection that is kept."""

    def __init__(self, url, timeout=120):
        parts = urllib.parse.urlsplit(url)
        self.http = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)

    def close(self):
        self.http.close()

    def call(self, method, path, body=b"", expect=(200, 201), **headers):
        self.http.request(method, path, body, headers)
        answer = self.http.getresponse()
        content = answer.read()
        if answer.status not in expect:
            raise SystemExit(f"functions: {method} {path}: {answer.status} {content[:500]!r}")
        return content


def serve(nexus, folder, **settings):
    environment = {f"NEXUS_{key.upper()}": value for key, value in settings.items()}
    return Node(nexus, folder, None, 600, ("serve", "--log-level", "warn"), NEXUS_NATS_SERVER=os.environ.get("NEXUS_NATS_SERVER", str(SERVER)), **environment)


def status_mib(pid, key):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) / 1024
    return 0.0


def held(node):
    pid = node.process.pid
    return {
        "node_mib": round(status_mib(pid, "VmRSS"), 1),
        "node_anonymous_mib": round(status_mib(pid, "RssAnon"), 1),
        "nats_mib": round(status_mib(node.nats_pid(), "VmRSS"), 1),
        "descriptors": len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir())),
        "mappings": len(pathlib.Path(f"/proc/{pid}/maps").read_text().splitlines()),
    }


def modules(folder, count):
    source = folder / "answer.wat"
    source.write_text(GUEST.read_text().replace("TEXT", MARK).replace("LENGTH", str(len(MARK))))
    subprocess.run(["wat2wasm", source, "-o", folder / "answer.wasm"], check=True)
    template = (folder / "answer.wasm").read_bytes()
    return [template.replace(MARK.encode(), f"{i:08}".encode()) for i in range(count)]


def deploy(node, codes, names, path="/events/f-{:05}"):
    """path: of function number so and so."""
    admin, began, took = Connection(node.admin), time.monotonic(), []
    for code in codes:
        admin.call("PUT", f"/api/v1/artifacts/{hashlib.sha256(code).hexdigest()}", code)
    uploaded_s = time.monotonic() - began
    digests = [hashlib.sha256(code).hexdigest() for code in codes]
    for i, name in enumerate(names):
        one = time.monotonic()
        body = {"artifact": digests[i % len(digests)], "settings": {"name": name, "on": {"http": {"path": path.format(i)}}, "memory": "1Mi", "respond": "sync"}}
        admin.call("POST", f"/api/v1/functions/{name}/versions", json.dumps(body).encode())
        took.append(time.monotonic() - one)
        if i % 1000 == 999:
            print(f"  {i + 1} deployed, the last 100 in {statistics.mean(took[-100:]) * 1000:.1f} ms each, {held(node)}", file=sys.stderr, flush=True)
    admin.close()
    return {"upload_s": round(uploaded_s, 1), "deploy_s": round(time.monotonic() - began - uploaded_s, 1), "deploy_ms_first_100": round(statistics.mean(took[:100]) * 1000, 1),
            "deploy_ms_last_100": round(statistics.mean(took[-100:]) * 1000, 1)}


def first_events(node, codes, names):
    """Every function's first event since the node started, one after the other: publish, run, record, answer."""
    events, took = Connection(node.url), []
    for i, name in enumerate(names):
        one = time.perf_counter()
        answer = events.call("POST", f"/events/{name}", b"x", Prefer="wait=30")
        took.append((time.perf_counter() - one) * 1000)
        if answer != f"{i % len(codes):08}".encode():
            raise SystemExit(f"functions: {name} answered {answer!r}")
    events.close()
    took.sort()
    return {"first_ms_p50": round(took[len(took) // 2], 2), "first_ms_p99": round(took[len(took) * 99 // 100], 2), "first_ms_p999": round(took[len(took) * 999 // 1000], 2),
            "first_ms_max": round(took[-1], 2), "over_10_ms": sum(t > 10 for t in took)}


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("build")
    options.add_argument("--functions", type=int, default=10000)
    options.add_argument("--modules", type=int, default=1000)
    options.add_argument("--json", action="store_true", help="one object, for a program")
    o = options.parse_args()
    nexus = os.environ.get("NEXUS_BIN", str(pathlib.Path(o.build).resolve() / "nexus"))
    with tempfile.TemporaryDirectory(prefix="nexus-functions-") as name:
        folder = pathlib.Path(name)
        names = [f"f-{i:05}" for i in range(o.functions)]
        codes = modules(folder, min(o.modules, o.functions))
        node = serve(nexus, folder, server_memory="1536Mi", ingest_max_types="20000")
        try:
            result = {"functions": o.functions, "modules": len(codes), "ready_s_empty": round(node.ready_s, 2), "empty": held(node)}
            result |= deploy(node, codes, names) | {"deployed": held(node)}
            result |= {"stop_s": round(node.stop(120), 1)}
            node = serve(nexus, folder, ingest_max_types="20000")
            result |= {"ready_s": round(node.ready_s, 2), "started": held(node)}
            result |= first_events(node, codes, names) | {"after": held(node)}
        finally:
            node.stop(120)
    print(json.dumps(result) if o.json else "\n".join(f"{key:22} {value}" for key, value in result.items()))


if __name__ == "__main__":
    main()
