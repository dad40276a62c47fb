"""Fixtures of the integration and fault tests. NEXUS_BIN names the binary (default: build/nexus)."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent / "integration"))

from nexus import processes  # noqa: E402
from nexus.guests import Guests  # noqa: E402
from nexus.node import Project  # noqa: E402
from nexus.paths import NEXUS  # noqa: E402
from nexus.wait import PATIENCE, SLOW  # noqa: E402


def pytest_configure(config):
    if not NEXUS.exists():
        pytest.exit(f"{NEXUS} does not exist: make build, or set NEXUS_BIN", 2)
    config.addinivalue_line("markers", "timeout: seconds after which a test is ended (pytest-timeout)")


def pytest_collection_modifyitems(items):
    for item in items:
        if not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(120))
        seconds = item.get_closest_marker("timeout").args[0]
        item.add_marker(pytest.mark.timeout(seconds * SLOW * PATIENCE), append=False)


@pytest.fixture(scope="session", autouse=True)
def no_process_is_left():
    """Whatever a node started ends with it; orphans would become children of this process."""
    processes.become_subreaper()
    yield
    left = {pid: processes.command_line(pid) for pid in processes.children(os.getpid())}
    for pid in left:
        processes.kill(pid)
    assert not left, f"processes left behind by the whole run: {left}"


@pytest.fixture(scope="session")
def guests(tmp_path_factory):
    return Guests(tmp_path_factory.mktemp("guests"))


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path / "project")


@pytest.fixture(scope="module")
def module_project(tmp_path_factory, request):
    return Project(tmp_path_factory.mktemp(request.module.__name__) / "project")
