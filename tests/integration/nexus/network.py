"""A network of a process's own, tied to this machine by cables that can be pulled; and lines between programs that take their time.

Namespaces take root and iproute2: needs_namespaces marks tests that are skipped without."""

import itertools
import os
import queue
import random
import shutil
import socket
import subprocess
import threading
import time

import pytest

from .wait import pause


def _ip(*arguments, check=True):
    return subprocess.run(["ip", *arguments], check=check, capture_output=True, text=True)


def _why_not():
    if os.geteuid() != 0:
        return "network namespaces take root"
    if not shutil.which("ip"):
        return "ip is not installed (apt-get install iproute2)"
    name = f"nxprobe{os.getpid()}"
    made = _ip("netns", "add", name, check=False)
    if made.returncode:
        return f"no network namespaces here: {made.stderr.strip()}"
    _ip("netns", "del", name, check=False)
    return None


def needs_namespaces(test):
    reason = _why_not()
    return pytest.mark.skipif(reason is not None, reason=reason or "")(test)


class Apart:
    """A network namespace with cables to this machine. Use as a context manager.

    cables: each is a pair (address here, address there); pull(i) and plug(i) take effect at once and, as with a real one, without a word to anybody:
    packets are lost, connections stay open. wrapper runs a program there."""

    def __init__(self, cables=1):
        self.name = f"nx{os.getpid()}-{random.randrange(10000)}"
        net = random.randrange(1, 250)
        self.cables = [(f"10.213.{net}.{4 * i + 1}", f"10.213.{net}.{4 * i + 2}") for i in range(cables)]
        self.wrapper = ("ip", "netns", "exec", self.name)

    def _end(self, i):
        return f"nx{os.getpid() % 100000}v{i}"  # at most 15 characters

    def __enter__(self):
        _ip("netns", "add", self.name)
        try:
            _ip("-n", self.name, "link", "set", "lo", "up")
            for i, (here, there) in enumerate(self.cables):
                _ip("link", "add", self._end(i), "type", "veth", "peer", "name", f"c{i}", "netns", self.name)
                _ip("addr", "add", f"{here}/30", "dev", self._end(i))
                _ip("link", "set", self._end(i), "up")
                _ip("-n", self.name, "addr", "add", f"{there}/30", "dev", f"c{i}")
                _ip("-n", self.name, "link", "set", f"c{i}", "up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for i in range(len(self.cables)):
            _ip("link", "del", self._end(i), check=False)
        _ip("netns", "del", self.name, check=False)

    def _neighbours(self, i, *what):
        here, there = self.cables[i]
        _ip("neigh", what[0], there, *what[1:], "dev", self._end(i))
        _ip("-n", self.name, "neigh", what[0], here, *what[1:], "dev", f"c{i}")

    def pull(self, i):
        self._neighbours(i, "replace", "lladdr", "02:00:00:00:00:01", "nud", "permanent")  # nobody's, so what is sent there is dropped

    def plug(self, i):
        self._neighbours(i, "del")


class SlowLine:
    """A TCP port whose connections lead to another one and take `delay` seconds each way; of several, to each in turn. Use as a context manager."""

    def __init__(self, *to_ports, delay):
        self.to_ports, self.delay = itertools.cycle(to_ports), delay
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._open = []

    def _carry(self, source, target):
        on_the_way = queue.Queue()

        def deliver():
            try:
                while (item := on_the_way.get()) is not None:
                    due, data = item
                    pause(max(0.0, due - time.monotonic()))
                    target.sendall(data)
            except OSError:
                pass
            for end in source, target:
                try:
                    end.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass

        threading.Thread(target=deliver, daemon=True).start()
        try:
            while data := source.recv(65536):
                on_the_way.put((time.monotonic() + self.delay, data))
        except OSError:
            pass
        on_the_way.put(None)

    def _serve(self):
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", next(self.to_ports)), 5)
            except OSError:
                near.close()
                continue
            self._open += [near, far]
            for pair in (near, far), (far, near):
                pair[0].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                pair[0].settimeout(None)
                threading.Thread(target=self._carry, args=pair, daemon=True).start()

    def __enter__(self):
        self._listener.listen(64)
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_):
        for end in [self._listener, *self._open]:
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            end.close()
