"""Processes as /proc shows them: who is left of a test, and who holds a file."""

import ctypes
import os
import signal
import subprocess
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


def become_subreaper():
    """Orphans of nodes become children of this process, where they are found, instead of init's."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def without_network():
    """What stands before a command that is to find no network at all; nothing where the system does not allow that."""
    apart = ["unshare", "-rn"]
    return apart if subprocess.run([*apart, "true"], capture_output=True, check=False).returncode == 0 else []


def pids():
    return [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit()]


def state(pid):
    """One letter (R, S, T, Z ...), or None where there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return None


def stacks(pid):
    """Where each thread is, for the message of a test that waited in vain; as far as gdb is there and may look."""
    try:
        return subprocess.run(["gdb", "-q", "-batch", "-p", str(pid), "-ex", "thread apply all bt 12"], capture_output=True, text=True, timeout=60, check=False).stdout
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"no stacks: {error}"


def is_alive(pid):
    return state(pid) not in (None, "Z", "X")


def parent(pid):
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[:-1]
    except OSError:
        return []


def children(pid):
    return [p for p in pids() if parent(p) == pid and is_alive(p)]


def end_left_on(folder):
    """Ends what still works on it: what a test that is over has left behind."""
    left = working_on(folder)
    for pid in left:
        kill(pid)
    return left


def working_on(folder):
    """Live processes that name a path below `folder` in their command line or have it as current folder."""
    folder = str(Path(folder).resolve())
    found = []
    for pid in pids():
        if pid == os.getpid() or not is_alive(pid):
            continue
        try:
            cwd = os.readlink(f"/proc/{pid}/cwd")
        except OSError:
            cwd = ""
        if any(folder.encode() in part for part in command_line(pid)) or cwd.startswith(folder):
            found.append(pid)
    return found


def nats_servers_of(data_dir):
    """Live nats-servers whose configuration lies in data_dir."""
    conf = str(Path(data_dir).resolve() / "nats" / "server.conf").encode()
    lines = ((pid, command_line(pid)) for pid in pids())  # each read once: the process may end between two looks
    return [pid for pid, line in lines if conf in line and b"nats-server" in line[0] and is_alive(pid)]


def send(pid, number):
    """False where the process has gone already."""
    try:
        os.kill(pid, number)
        return True
    except ProcessLookupError:
        return False


def kill(pid):
    return send(pid, signal.SIGKILL)


def resident_bytes(pid):
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0
