"""A disk that is slow, or fails: by the system calls of a node's server, through strace."""

import contextlib
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
