"""A project in a temporary folder, and the `nexus` command on it: a node, its clients, its processes."""

import json
import os
import re
import signal
import subprocess
import threading
from datetime import datetime
from pathlib import Path

import httpx
import yaml

from . import processes
from .paths import NEXUS
from .wait import PATIENCE, SLOW, wait_until

START_DEADLINE_S = 30.0
STOP_DEADLINE_S = 40.0


def environment(**changes):
    """The tests' environment without what would steer `nexus`; None removes a variable."""
    env = {k: v for k, v in os.environ.items()
           if not k.startswith("NEXUS_") or k in ("NEXUS_NATS_SERVER", "NEXUS_CACHE")}
    env.setdefault("HOME", "/nonexistent")
    env["XDG_CONFIG_HOME"] = "/nonexistent"
    for key, value in changes.items():
        if value is None:
            env.pop(key, None)
        else:
            env[key] = str(value)
    return env


def nexus(*arguments, cwd=None, check=True, env=None, timeout=60, stdin=""):
    """Runs the command; with check, a failure shows all it said. timeout ends what hangs, as a deadline of wait_until()."""
    result = subprocess.run([str(NEXUS), *[str(a) for a in arguments]], cwd=cwd, env=env or environment(), input=stdin,
                            capture_output=True, text=True, errors="replace", timeout=timeout * SLOW * PATIENCE, check=False)
    if check and result.returncode != 0:
        raise AssertionError(f"nexus {' '.join(map(str, arguments))}: exit {result.returncode}\n{result.stdout}{result.stderr}")
    return result


def lines_of(text):
    """NDJSON."""
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def moment(text):
    """Seconds since 1970 of a time as nodes write it."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Project:
    """A folder with nexus.yaml and modules."""

    def __init__(self, folder):
        self.dir = Path(folder)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.data_dir = self.dir / ".nexus"

    @property
    def file(self):
        return self.dir / "nexus.yaml"

    def write(self, config):
        """config: text, or settings without `version`. Replaced by rename, as most editors save."""
        if not isinstance(config, str):
            config = yaml.safe_dump({"version": "v1", **config}, sort_keys=False)
        temporary = self.dir / ".nexus.yaml.saving"
        temporary.write_text(config)
        temporary.rename(self.file)

    def module(self, wasm, name=None):
        """Copies a module in (by rename); the path to write into `code`."""
        name = name or f"{Path(wasm).stem.rpartition('-')[0] or Path(wasm).stem}.wasm"
        target = self.dir / name
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_suffix(".saving")
        temporary.write_bytes(Path(wasm).read_bytes())
        temporary.rename(target)
        return f"./{name}"

    def nexus(self, *arguments, **options):
        return nexus(*arguments, cwd=self.dir, **options)

    def json(self, *arguments, **options):
        return lines_of(self.nexus(*arguments, "--json", **options).stdout)


def function(name, code, **settings):
    """One entry of functions; on= defaults to the route /events/<name>."""
    on = settings.pop("on", {"http": {"path": f"/events/{name}"}})
    return {"name": name, "on": on, "code": code, **settings}


class Node:
    """`nexus dev` or `nexus serve` on a project, on free ports. Use as a context manager."""

    def __init__(self, project, *arguments, verb="dev", env=None, wrapper=()):
        self.project = project
        self.arguments = [str(a) for a in arguments]
        self.verb = verb
        self.env = env or {}
        self.wrapper = [str(w) for w in wrapper]
        self.process = None
        self.starts = 0
        self.log_file = project.dir / "node.log"
        self.client = None
        self.info = {}

    # ---- life

    def launch(self):
        """Starts the process without waiting for anything."""
        assert self.process is None or self.process.poll() is not None, "the node runs already"
        self._log_begin = self.log_file.stat().st_size if self.log_file.exists() else 0
        command = [*self.wrapper, str(NEXUS), self.verb, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0",
                   "--data-dir", str(self.project.data_dir), *self.arguments]
        # What an earlier node left behind must not be taken for this one's.
        self._node_json.unlink(missing_ok=True)
        with self.log_file.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.project.dir, env=environment(**self.env), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=subprocess.STDOUT)
        self.starts += 1
        return self

    @property
    def _node_json(self):
        return self.project.data_dir / "node.json"

    def _found(self):
        assert self.process.poll() is None, f"the node ended with {self.process.returncode}\n{self.log()}"
        try:
            self.info = json.loads(self._node_json.read_text())
        except (OSError, ValueError):
            return False
        return True

    def wait_ready(self, deadline=START_DEADLINE_S):
        wait_until(self._found, "node.json", deadline, on_failure=lambda: f"{self.log()}\n{processes.stacks(self.process.pid)}")
        if self.client:
            self.client.close()
        self.client = httpx.Client(timeout=30 * SLOW, limits=httpx.Limits(max_connections=50))
        wait_until(lambda: self._found() and self.is_ready(), "/readyz", deadline, on_failure=self.log)
        return self

    def start(self, deadline=START_DEADLINE_S):
        return self.launch().wait_ready(deadline)

    def is_ready(self):
        try:
            return self.client.get(f"{self.admin_url}/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self, expect=0):
        """SIGTERM and the end; `expect` is the exit code, None: any."""
        if self.client:
            self.client.close()
            self.client = None
        if self.process is None:
            return None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(STOP_DEADLINE_S * SLOW)
            except subprocess.TimeoutExpired:
                text = self.log()
                self.process.kill()
                self.process.wait()
                raise AssertionError(f"the node did not end within {STOP_DEADLINE_S} s of SIGTERM\n{text}") from None
        code = self.process.returncode
        self.process = None
        wait_until(lambda: not processes.nats_servers_of(self.project.data_dir), "nats-server to be gone", 20)
        if expect is not None:
            assert code == expect, f"exit {code}, not {expect}\n{self.log()}"
        return code

    def kill(self):
        """kill -9 of the node process alone."""
        self.process.kill()
        self.process.wait()

    def signal(self, number):
        self.process.send_signal(number)

    def restart(self):
        self.stop()
        return self.start()

    @property
    def pid(self):
        """Of the node itself, also below a wrapper."""
        return int(self.info.get("pid") or self.process.pid)

    def nats_pid(self):
        return json.loads((self.project.data_dir / "server.json").read_text())["pid"]

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        try:
            self.stop(expect=0 if kind is None else None)
        finally:
            if self.process is not None:
                self.kill()
            left = processes.end_left_on(self.project.data_dir)
            if kind is None:
                assert not left, f"processes left behind: {left}"

    # ---- what it says

    def log(self, whole=False):
        data = self.log_file.read_bytes() if self.log_file.exists() else b""
        return data[0 if whole else self._log_begin:].decode("utf-8", "replace")

    def wait_log(self, pattern, deadline=10.0, count=1):
        """Waits until `pattern` (a regular expression, per line) has appeared `count` times; the matches."""
        expression = re.compile(pattern, re.M)

        def found():
            matches = list(expression.finditer(self.log()))
            return matches if len(matches) >= count else None

        return wait_until(found, f"{pattern!r} in the log", deadline, on_failure=self.log)

    # ---- events and runs

    @property
    def url(self):
        return self.info["listen_url"]

    @property
    def admin_url(self):
        return self.info["admin_url"]

    def request(self, method, path, **options):
        return self.client.request(method, self.url + path, **options)

    def post(self, type_or_path, content=b"", *, json_body=None, headers=None, **options):
        """POST to /events/<type>, or to a path that begins with a slash."""
        path = type_or_path if type_or_path.startswith("/") else f"/events/{type_or_path}"
        if json_body is not None:
            options["json"] = json_body
        else:
            options["content"] = content
        return self.client.post(self.url + path, headers=headers, **options)

    def publish(self, type_or_path, content=b"", **options):
        """A post that must be accepted; the event's id."""
        answer = self.post(type_or_path, content, **options)
        assert answer.status_code == 202, f"{answer.status_code} {answer.text}\n{self.log()}"
        return answer.json()["event_id"]

    def call(self, type_or_path, content=b"", wait=20, headers=None, **options):
        """A post that waits for the function's output."""
        return self.post(type_or_path, content, headers={"Prefer": f"wait={wait}", **(headers or {})}, **options)

    def api(self, path, **parameters):
        answer = self.client.get(f"{self.admin_url}/api/v1/{path}", params=parameters)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer

    def api_list(self, path, **parameters):
        return lines_of(self.api(path, **parameters).text)

    def runs(self, **parameters):
        return self.api_list("runs", **parameters)

    def wait_runs(self, event_id, count=1, deadline=20.0, **parameters):
        """The final runs of an event once there are `count`. 503 is no answer yet: the log is away for a moment."""
        def found():
            answer = self.client.get(f"{self.admin_url}/api/v1/runs", params={"event": event_id, **parameters})
            assert answer.status_code in (200, 503), f"{answer.status_code} {answer.text}"
            runs = lines_of(answer.text) if answer.status_code == 200 else []
            return runs if len(runs) >= count else None

        return wait_until(found, f"{count} run(s) of {event_id}", deadline, every=0.02, on_failure=self.log)

    def run_of(self, event_id, deadline=20.0, **parameters):
        runs = self.wait_runs(event_id, 1, deadline, **parameters)
        assert len(runs) == 1, runs
        return runs[0]

    def whole_run(self, run_id):
        return self.api(f"runs/{run_id}").json()

    # ---- the command, as a user in the project's folder

    def nexus(self, *arguments, **options):
        options.setdefault("env", environment(NEXUS_ADMIN_URL=self.admin_url))
        return nexus(*arguments, cwd=self.project.dir, **options)

    def json(self, *arguments, **options):
        return lines_of(self.nexus(*arguments, "--json", **options).stdout)

    def replay(self, event_id, *arguments, **options):
        return self.json("replay", event_id, *arguments, **options)


class Tail:
    """Lines of a running command (`nexus logs -f`), collected in the background."""

    def __init__(self, *arguments, cwd, env):
        self.process = subprocess.Popen([str(NEXUS), *map(str, arguments)], cwd=cwd, env=env, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace")
        self.lines = []
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(line.rstrip("\n"))

    def wait_line(self, pattern, deadline=10.0):
        expression = re.compile(pattern)
        return wait_until(lambda: next((x for x in list(self.lines) if expression.search(x)), None), f"{pattern!r} in a tail",
                          deadline, on_failure=lambda: "\n".join(self.lines))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self._thread.join(5)
        self.process.stdout.close()
