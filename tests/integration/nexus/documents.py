"""Commands that documents show, run as they stand.

A fenced block ```sh is run by bash, block after block in one temporary folder per document, with `nexus` on PATH. Behind `sh`:
no-run     is not run
exit=N     must end with exit code N
A block that is one `nexus dev …`, `nexus serve …` or `nats-server …` would not end: it is started, and runs in the background until the
next of its kind or the end of the document. The default ports 8080 and 8081 (and 4222 for nats-server) are replaced by free ones, so
documents can be tested side by side. A ```text block behind a block is not compared: it shows ids and times."""

import os
import re
import signal
import socket
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from .node import environment, lines_of
from .paths import NEXUS, nats_server
from .ports import free_ports
from .wait import pause, wait_until

BLOCK = re.compile(r"^(?P<indent> *)```sh(?P<info>[^\n]*)\n(?P<text>.*?)^(?P=indent)```\s*$", re.M | re.S)
LASTING = re.compile(r"^(nexus (dev|serve)\b|nats-server\b)")


@dataclass
class Block:
    line: int
    text: str
    marks: list = field(default_factory=list)

    @property
    def is_lasting(self):
        lines = [x for x in self.text.replace("\\\n", " ").splitlines() if x.strip() and not x.lstrip().startswith("#")]
        return len(lines) == 1 and bool(LASTING.match(lines[0].strip()))

    @property
    def is_run(self):
        return "no-run" not in self.marks or self.is_lasting

    @property
    def exit_code(self):
        return next((int(m.removeprefix("exit=")) for m in self.marks if m.startswith("exit=")), 0)


def blocks(path):
    text = Path(path).read_text()
    return [Block(text.count("\n", 0, m.start()) + 1, re.sub(f"^{m['indent']}", "", m["text"], flags=re.M), m["info"].split())
            for m in BLOCK.finditer(text)]


class Shell:
    """A folder in which the blocks of a document are run. Blocks see the folder that earlier ones changed to, and their variables."""

    def __init__(self, folder):
        self.dir = Path(folder)
        self.state = self.dir.parent / f"{self.dir.name}.state"
        self.log_file = self.dir.parent / f"{self.dir.name}.log"
        self.ports = dict(zip(("8080", "8081", "4222"), free_ports(3)))
        bin_dir = self.dir.parent / f"{self.dir.name}.bin"
        bin_dir.mkdir(exist_ok=True)
        for name, target in (("nexus", NEXUS), ("nats-server", nats_server())):
            if not (bin_dir / name).exists():
                (bin_dir / name).symlink_to(target)
        self.env = environment(NEXUS_LISTEN=f"127.0.0.1:{self.ports['8080']}", NEXUS_ADMIN=f"127.0.0.1:{self.ports['8081']}",
                               NEXUS_ADMIN_URL=f"http://127.0.0.1:{self.ports['8081']}",
                               PATH=f"{bin_dir}:{os.environ['PATH']}", HOME=os.environ.get("HOME", str(self.dir)), TERM="dumb")
        self.lasting = {}

    def translate(self, text):
        for port, free in self.ports.items():
            text = re.sub(rf"(?<=[:/]){port}\b|(?<=--port ){port}\b", str(free), text)
        return text.replace("/tmp/nexus-example-nats", str(self.dir / "nats-store"))

    def script(self, text):
        state = f"'{self.state}'"
        return (f"set -eo pipefail\n[ ! -e {state}.env ] || . {state}.env\n[ ! -e {state}.cwd ] || cd \"$(cat {state}.cwd)\"\n"
                f"keep() {{ pwd >{state}.cwd; declare -p | grep -v -E '^declare -[a-zA-Z-]*[rA]' >{state}.env || true; }}\ntrap keep EXIT\n"
                f"{self.translate(text)}")

    def log(self):
        return self.log_file.read_text(errors="replace") if self.log_file.exists() else ""

    def run(self, block, timeout=120, before=()):
        """Runs a block to its end, or until what lasts is ready; by a command `before` the shell."""
        if block.is_lasting:
            return self.begin(block)
        result = subprocess.run([*before, "bash", "-c", self.script(block.text)], cwd=self.dir, env=self.env, stdin=subprocess.DEVNULL,
                                capture_output=True, text=True, errors="replace", timeout=timeout, check=False)
        assert result.returncode == block.exit_code, (
            f"line {block.line}: exit {result.returncode}, not {block.exit_code}\n{block.text}\n{result.stdout}{result.stderr}\n"
            f"--- what runs beside it:\n{self.log()}")
        return result.stdout

    def begin(self, block):
        kind = "nats" if block.text.lstrip().startswith("nats-server") else "node"
        self.end(kind)
        with self.log_file.open("ab") as log:
            process = subprocess.Popen(["bash", "-c", self.script(block.text).replace("trap keep EXIT\n", "exec 2>&1\n")], cwd=self.dir, env=self.env,
                                       stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        self.lasting[kind] = process

        def is_ready():
            assert process.poll() is None, f"line {block.line}: ended with {process.returncode}\n{self.log()}"
            try:
                if kind == "nats":
                    socket.create_connection(("127.0.0.1", self.ports["4222"]), 1).close()
                    return True
                return httpx.get(f"http://127.0.0.1:{self.ports['8081']}/readyz", timeout=2).status_code == 200
            except (OSError, httpx.TransportError):
                return False

        wait_until(is_ready, f"line {block.line}: {block.text.strip()}", 60, every=0.05, on_failure=self.log)
        return ""

    def settle(self):
        """A person reads before typing on: runs that a block has started have ended by then."""
        end = time.monotonic() + 5
        while time.monotonic() < end:  # what is put off (a delay, a pause) is not waited for
            try:
                listed = httpx.get(f"http://127.0.0.1:{self.ports['8081']}/api/v1/functions", timeout=10).text
            except httpx.TransportError:
                return
            if not listed:
                return
            pause(0.3)  # an event on its way from the log to the node counts as neither
            if not any(f["pending"] or f["in_flight"] for f in lines_of(listed)):
                return

    def end(self, kind):
        process = self.lasting.pop(kind, None)
        if process is None:
            return
        try:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(40)
        except ProcessLookupError:
            pass
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def __enter__(self):
        self.dir.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(self, *_):
        for kind in ("node", "nats"):
            self.end(kind)

    def run_all(self, document):
        ran = 0
        for block in blocks(document):
            if block.is_run:
                self.run(block)
                self.settle()
                ran += 1
        return ran
