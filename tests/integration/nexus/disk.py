"""A disk that is full; or slow, or fails: by the system calls of a node's server, through strace."""

import contextlib
import os
import re
import shutil
import subprocess

import pytest

needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="needs strace")


@contextlib.contextmanager
def traced(node, folder, *inject):
    """The node's server with system calls slowed down or failing; yields a function that counts its syncs so far."""
    calls = folder / "calls"
    options = [o for i in inject for o in ("-e", f"inject={i}")]
    tracer = subprocess.Popen(["strace", "-f", "-y", "-p", str(node.nats_pid()), "-e", "trace=fsync,fdatasync,pwrite64", *options, "-o", calls], stderr=subprocess.PIPE, text=True)
    try:
        said = []
        while not any("attached" in line for line in said):
            said.append(tracer.stderr.readline())
            assert said[-1], f"strace ended: {said}"

        def count():
            return len(re.findall(r"\b(?:fsync|fdatasync)\(", calls.read_text()))

        yield count
    finally:
        tracer.terminate()
        tracer.wait(20)
        tracer.stderr.close()


@contextlib.contextmanager
def small_disk(at, size="96m"):
    """A file system of its own at a new folder, which it yields."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small file system")
    at.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(at)], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        pytest.skip(f"cannot mount: {made.stderr.strip()}")
    try:
        yield at
    finally:
        subprocess.run(["umount", "-l", str(at)], check=False)


def fill(ballast):
    """A file that takes all the room there is."""
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as f:
        while True:
            f.write(bytes(1 << 18))
