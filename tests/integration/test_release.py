"""The release archive in a minimal Debian root: no compiler, none of the libraries that the build needed.

Skipped unless NEXUS_RELEASE_TARBALL names the archive (make test-release). Needs root, for chroot, and mmdebstrap."""

import json
import os
import re
import shutil
import subprocess
import tarfile
from pathlib import Path

import httpx
import pytest
from nexus.ports import free_ports
from nexus.wait import wait_until

TARBALL = os.environ.get("NEXUS_RELEASE_TARBALL")
BINARY_MAX_BYTES = 16_000_000
# Inside the root.
ENVIRONMENT = {"PATH": "/opt/nexus/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/root", "LANG": "C.UTF-8"}

pytestmark = [
    pytest.mark.skipif(not TARBALL, reason="NEXUS_RELEASE_TARBALL is not set (make test-release)"),
    pytest.mark.timeout(600),
]


def run(*command, check=True, **options):
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300, check=False,
                            **options)
    if check and result.returncode != 0:
        raise AssertionError(f"{command} exited {result.returncode}\n{result.stdout}\n{result.stderr}")
    return result


class Root:
    """A folder that holds a Debian root, entered by chroot in a mount namespace of its own."""

    def __init__(self, path):
        self.path = path

    def command(self, *command, cwd="/"):
        script = ('mount -t proc proc "$0/proc" && mount --rbind /dev "$0/dev" && root=$0 && cwd=$1 && shift && '
                  'exec chroot "$root" /bin/sh -c \'cd "$0" && exec "$@"\' "$cwd" "$@"')
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, str(self.path), cwd,
                *[str(part) for part in command]]

    def run(self, *command, cwd="/", check=True):
        return run(*self.command(*command, cwd=cwd), check=check, env=ENVIRONMENT)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    """The unpacked archive (its single top folder)."""
    folder = tmp_path_factory.mktemp("archive")
    with tarfile.open(TARBALL) as tar:
        tar.extractall(folder, filter="data")
    (top,) = folder.iterdir()
    return top


@pytest.fixture(scope="module")
def root(archive, tmp_path_factory):
    if os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
        pytest.skip("needs root and mmdebstrap")
    path = tmp_path_factory.mktemp("debian") / "root"
    release = dict(line.rstrip().split("=", 1) for line in open("/etc/os-release", encoding="utf-8") if "=" in line)
    # The sources that this machine uses itself; mmdebstrap's own where there are none.
    sources = [str(p) for p in (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list")) if p.exists()][:1]
    run("mmdebstrap", "--quiet", "--mode=root", "--variant=essential", release["VERSION_CODENAME"].strip('"'), path, *sources)
    shutil.copytree(archive, path / "opt" / "nexus", symlinks=True)
    yield Root(path)
    shutil.rmtree(path, ignore_errors=True)


def test_archive_holds_what_it_should(archive):
    assert (archive / "bin" / "nexus").stat().st_size <= BINARY_MAX_BYTES
    assert os.access(archive / "bin" / "nats-server", os.X_OK)
    licences = {p.name for p in (archive / "share" / "licences").iterdir()}
    assert {"nexus", "nats-server", "wasmtime", "llhttp", "curl", "rust-crates"} <= licences
    assert (archive / "share" / "man" / "man1" / "nexus.1").exists()
    for completion in ("bash-completion/completions/nexus", "zsh/site-functions/_nexus", "fish/vendor_completions.d/nexus.fish"):
        assert (archive / "share" / completion).stat().st_size > 0


def test_archive_has_no_path_of_the_build_machine(archive):
    content = (archive / "bin" / "nexus").read_bytes()
    for path in (str(Path(__file__).resolve().parents[2]), str(Path.home() / ".cache"), str(Path.home() / ".cargo")):
        assert path.encode() not in content


def test_root_is_minimal(root):
    for tool in ("gcc", "cc", "clang", "rustc", "nats-server"):
        assert root.run("sh", "-c", f"PATH=/usr/bin:/bin command -v {tool}", check=False).returncode != 0
    for library in ("libuv", "libnats", "libjansson", "libfyaml", "libcurl", "libwasmtime"):
        assert not list(root.path.glob(f"usr/lib/**/{library}*"))


def test_version_says_static_engine(root):
    out = root.run("nexus", "version").stdout
    assert "static" in out
    assert "development" not in out


def test_new_dev_invoke_replay(root):
    """The whole way in a root that cannot compile: the module comes built, as it would from elsewhere."""
    root.run("nexus", "new", "app", "--lang=c", cwd="/srv")
    project = root.path / "srv" / "app"
    nexus = root.path / "opt" / "nexus" / "bin" / "nexus"
    run(nexus, "build", cwd=project)
    config = (project / "nexus.yaml").read_text()
    config, builds = re.subn(r"^ {4}build:\n(?: {5,}.*\n)+", "", config, flags=re.M)
    assert builds == 1
    (project / "nexus.yaml").write_text(config)
    path = re.search(r"^ +path: (\S+)$", config, re.M).group(1)

    listen, admin = free_ports(2)
    log = (root.path / "dev.log").open("w+")
    node = subprocess.Popen(
        root.command("nexus", "dev", "--listen", f"127.0.0.1:{listen}", "--admin", f"127.0.0.1:{admin}", cwd="/srv/app"),
        env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_until(lambda: node.poll() is not None or is_ready(admin), "the node to be ready", 30, on_failure=lambda: read(log))
        assert node.poll() is None, read(log)
        answer = httpx.post(f"http://127.0.0.1:{listen}{path}", json={"name": "minimal"}, timeout=10)
        assert answer.status_code == 202, answer.text
        event_id = answer.json()["event_id"]

        def runs():
            out = root.run("nexus", "runs", "list", "--event", event_id, "--json", cwd="/srv/app", check=False).stdout
            return [json.loads(line) for line in out.splitlines()]

        wait_until(lambda: any(r["status"] == "ok" for r in runs()), "the run to be recorded", 30, on_failure=lambda: read(log))
        replay = root.run("nexus", "replay", event_id, cwd="/srv/app")
        assert f"Replaying event {event_id}" in replay.stdout
        assert "Replay completed in" in replay.stdout
        verdicts = root.run("nexus", "replay", event_id, "--json", cwd="/srv/app").stdout.splitlines()
        assert [json.loads(line)["verdict"] for line in verdicts] == ["identical"]
    finally:
        node.terminate()
        try:
            node.wait(20)
        except subprocess.TimeoutExpired:
            node.kill()
        log.close()


def is_ready(admin):
    try:
        return httpx.get(f"http://127.0.0.1:{admin}/readyz", timeout=2).status_code == 200
    except httpx.TransportError:
        return False


def read(log):
    log.flush()
    return Path(log.name).read_text(encoding="utf-8", errors="replace")
