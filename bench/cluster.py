"""Throughput of 1, 2 and 3 nodes on one NATS server and on three, and what an event costs each of them (docs/SCALING.md).

Usage: bench/cluster.py [--seconds N] [--markdown FILE]      NEXUS_BIN: the binary (default: build/nexus)
All of it shares this machine's cores, the load generator included: rates show what the parts cost, not what several machines do; the CPU time per
event is what carries over. Needs wrk and scripts/setup dev test. Everything runs on 127.0.0.1 with random ports and ends what it started."""
import argparse
import os
import pathlib
import sys
import tempfile
import threading

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent / "tests" / "integration")]

import bench  # noqa: E402
from nexus.cluster import Cluster, Fleet  # noqa: E402
from nexus.guests import Guests  # noqa: E402
from nexus.node import function  # noqa: E402
from nexus.wait import wait_until  # noqa: E402

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
CONNECTIONS = 64  # in all, shared out over the nodes


def cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * TICK_S


def functions(guests):
    def settings(project):
        probe = project.module(guests.rust("probe.rs"))
        return {"functions": [function("load", probe)], "log": {"level": "warn"}}

    return settings


def quiet(cluster, fleet):
    """Nothing waits and nothing runs: what was sent before is not measured with what comes next."""
    def is_so():
        info = cluster.ask("CONSUMER.INFO.NX_EVENTS_default.fn-load") or {}
        return info.get("num_pending") == 0 and info.get("num_ack_pending") == 0

    wait_until(is_so, "all events to be handled", 60, every=0.1, on_failure=fleet.log)


def drive(urls, lua, seconds):
    results = [None] * len(urls)

    def work(i):
        results[i] = bench.wrk(urls[i] + "/events/load", CONNECTIONS // len(urls), seconds, lua)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(len(urls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(results), "wrk did not end"
    return sum(r["rate"] for r in results), sum(r["requests"] for r in results), max(r["p99_ms"] for r in results), sum(r["bad"] + r["errors"] for r in results)


def measure(folder, guests, n_servers, n_nodes, seconds):
    rows = []
    with Cluster(folder, n_servers) as cluster, Fleet(folder, cluster, functions(guests), n_nodes, replicas=n_servers) as fleet:
        nodes, servers = [n.pid for n in fleet.nodes], [s.process.pid for s in cluster.servers]
        for what, lua in (("answered", str(HERE / "sync.lua")), ("accepted, run and recorded", "event.lua")):
            drive(fleet.urls, lua, 1)
            quiet(cluster, fleet)
            before = sum(map(cpu_s, nodes)), sum(map(cpu_s, servers))
            rate, requests, p99_ms, bad = drive(fleet.urls, lua, seconds)
            quiet(cluster, fleet)
            node_us, server_us = (1e6 * (sum(map(cpu_s, pids)) - was) / requests for pids, was in zip((nodes, servers), before))
            rows.append((n_servers, n_nodes, what, rate, p99_ms, node_us, server_us, bad))
            print(f"{n_servers} server(s), {n_nodes} node(s), {what}: {rate:.0f}/s, p99 {p99_ms:.1f} ms, CPU per event {node_us:.0f} us nodes, "
                  f"{server_us:.0f} us servers, {bad} refused", flush=True)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--markdown")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="nexus-cluster-") as folder:
        folder = pathlib.Path(folder)
        (folder / "guests").mkdir()
        guests = Guests(folder / "guests")
        rows = [row for servers in (1, 3) for nodes in (1, 2, 3)
                for row in measure(folder / f"{servers}-{nodes}", guests, servers, nodes, options.seconds)]
    lines = ["| servers | nodes | events | events/s | p99 | CPU per event, nodes | CPU per event, servers |", "| --- | --- | --- | --- | --- | --- | --- |"]
    lines += [f"| {s} | {n} | {what} | {rate:,.0f} | {p99:.1f} ms | {node_us:.0f} us | {server_us:.0f} us |" for s, n, what, rate, p99, node_us, server_us, _ in rows]
    print("\n".join(lines))
    if options.markdown:
        pathlib.Path(options.markdown).write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
