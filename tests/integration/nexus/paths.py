"""Where things are."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
GUESTS = ROOT / "tests" / "integration" / "guests"
EXAMPLES = ROOT / "examples"
NEXUS = Path(os.environ.get("NEXUS_BIN", ROOT / "build" / "nexus")).resolve()


def nats_server():
    """For tests that start a server of their own; the node finds its own itself."""
    candidates = [os.environ.get("NEXUS_NATS_SERVER"), NEXUS.parent / "nats-server", ROOT / ".deps" / "bin" / "nats-server"]
    return next(str(c) for c in candidates if c and os.access(c, os.X_OK))
