"""Several namespaces in one `nexus serve`: each is a project with a node file of its own, and is looked at as a Node is."""

import signal
import subprocess

import yaml

from . import processes
from .node import STOP_DEADLINE_S, Node, Project, environment
from .paths import NEXUS
from .wait import SLOW


class View(Node):
    """One namespace of the process: all that Node can ask. The process is the others' too."""

    def __init__(self, folder, name, settings):
        super().__init__(Project(folder / name))
        self.name, self.settings = name, settings
        self.node_file = self.project.dir / f"{name}.yaml"
        self.log_file = folder / "node.log"
        self.write()

    def write(self, **changes):
        own = {"version": "v1", "namespace": self.name, "listen": "127.0.0.1:0", "admin": "127.0.0.1:0", "data_dir": str(self.project.data_dir)}
        self.node_file.write_text(yaml.safe_dump({**own, **self.settings, **changes}))

    def deploy(self, functions):
        """name -> module, or (module, settings)."""
        entries = []
        for name, of in functions.items():
            module, settings = of if isinstance(of, tuple) else (of, {})
            entries.append({"name": name, "on": {"http": {"path": f"/events/{name}"}}, "code": self.project.module(module), **settings})
        self.project.write({"functions": entries})
        self.nexus("deploy")

    def waiting(self, function):
        return next(f["pending"] + f["in_flight"] for f in self.api_list("functions") if f["name"] == function)


class Namespaces:
    """with Namespaces(folder, shop={…}, lab={…}) as (shop, lab): …; the settings are those of each node file."""

    def __init__(self, folder, **namespaces):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.views = [View(folder, name, settings) for name, settings in namespaces.items()]
        self.process = None

    @property
    def files(self):
        """As `nexus serve` takes them."""
        return [word for view in self.views for word in ("--config", str(view.node_file))]

    def launch(self):
        """Starts the process without waiting for anything."""
        log_file = self.views[0].log_file
        begin = log_file.stat().st_size if log_file.exists() else 0
        for view in self.views:
            view._node_json.unlink(missing_ok=True)
            view._log_begin = begin
        with log_file.open("ab") as log:
            self.process = subprocess.Popen([str(NEXUS), "serve", *self.files], cwd=self.folder, env=environment(), stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=subprocess.STDOUT)
        for view in self.views:
            view.process = self.process

    def start(self):
        self.launch()
        for view in self.views:
            view.wait_ready()
        return self.views

    def deploy(self, functions):
        """The same functions in all of them."""
        for view in self.views:
            view.deploy(functions)

    def stop(self, expect=0):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(STOP_DEADLINE_S * SLOW)
        assert expect is None or self.process.returncode == expect, self.views[0].log()

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        try:
            self.stop(expect=0 if kind is None else None)
        finally:
            if self.process.poll() is None:
                self.kill()
            for view in self.views:
                if view.client:
                    view.client.close()
                left = processes.end_left_on(view.project.data_dir)
                assert kind is not None or not left, f"processes left behind: {left}"
