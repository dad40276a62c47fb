"""Ports for programs that are told theirs, and keep them over a restart."""

import random
import socket
from contextlib import ExitStack
from pathlib import Path

LOWEST = 10000

_random = random.Random()  # not the tests' own, which may be seeded
_given = set()  # whoever got one may not have opened it yet, or be between two starts


def _below_the_systems_own():
    """What the system gives to outgoing connections: one of those could take the port of a server that is just restarted."""
    return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])


def free_ports(count):
    """None of them was given before."""
    with ExitStack() as held:
        found = []
        while len(found) < count:
            probe = held.enter_context(socket.socket())
            port = _random.randrange(LOWEST, max(LOWEST + 10000, _below_the_systems_own()))
            if port in _given:
                continue
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
            _given.add(port)
        return found


def free_port():
    return free_ports(1)[0]
