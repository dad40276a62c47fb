"""TLS on the event listener, and the ways to log in to an external NATS server."""

import shutil
import socket
import ssl
import subprocess

import httpx
import pytest
from nexus import nats
from nexus.node import Node, Project, function
from nexus.wait import SLOW, Stopwatch, wait_until

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="openssl makes the certificates")


def openssl(*arguments, cwd):
    subprocess.run(["openssl", *arguments], cwd=cwd, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A folder with ca.pem, and server.pem and client.pem signed by it."""
    at = tmp_path_factory.mktemp("certificates")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    openssl("req", "-x509", *key, "-keyout", "ca-key.pem", "-out", "ca.pem", "-days", "2", "-subj", "/CN=Test CA", cwd=at)
    for name in ("server", "client"):
        openssl("req", *key, "-keyout", f"{name}-key.pem", "-out", f"{name}.csr", "-subj", f"/CN={name}", cwd=at)
        (at / f"{name}.ext").write_text("subjectAltName=DNS:localhost,IP:127.0.0.1\n")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-CAcreateserial", "-days", "2",
                "-extfile", f"{name}.ext", "-out", f"{name}.pem", cwd=at)
    return at


def write(project, guests, **settings):
    project.write({**settings, "functions": [function("probe", project.module(guests.rust("probe.rs")))]})
    return project


# ---- events over TLS


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the old version that is tried on purpose
def test_events_come_in_over_tls(project, guests, certificates):
    write(project, guests, tls={"cert": str(certificates / "server.pem"), "key": str(certificates / "server-key.pem")})
    with Node(project) as node:
        assert node.url.startswith("https://")
        with httpx.Client(verify=ssl.create_default_context(cafile=certificates / "ca.pem"), timeout=20) as client:
            answer = client.post(f"{node.url}/events/probe", content="secret", headers={"Prefer": "wait=10"})
            assert (answer.status_code, answer.text) == (200, "secret")
            large = client.post(f"{node.url}/events/probe", content=b"x" * 500_000, headers={"Prefer": "wait=10"})
            assert len(large.content) == 500_000
        with pytest.raises(httpx.ConnectError):
            httpx.post(f"{node.url}/events/probe", content="x")  # an authority that nobody trusts
        old = ssl.create_default_context(cafile=certificates / "ca.pem")
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises((httpx.ConnectError, ssl.SSLError)), httpx.Client(verify=old) as client:
            client.post(f"{node.url}/events/probe", content="x")
        plain = node.url.replace("https://", "http://")
        with pytest.raises(httpx.TransportError):
            httpx.post(f"{plain}/events/probe", content="x", timeout=5)
        with httpx.Client(verify=ssl.create_default_context(cafile=certificates / "ca.pem"), timeout=20) as client:
            assert client.post(f"{node.url}/events/probe", content="still", headers={"Prefer": "wait=10"}).text == "still"


def served_certificate(node):
    with socket.create_connection(("127.0.0.1", int(node.url.rsplit(":", 1)[1])), 5) as plain:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(plain) as s:
            return ssl.DER_cert_to_PEM_cert(s.getpeercert(binary_form=True))


def test_a_new_certificate_is_served_without_a_restart(project, guests, certificates):
    """As a renewal writes it: the certificate, then the key. In between, and with a broken file, the one before it is served on."""
    for part in (".pem", "-key.pem"):
        shutil.copy(certificates / f"server{part}", project.dir / f"used{part}")
    first, second = ((certificates / f"{name}.pem").read_text() for name in ("server", "client"))
    write(project, guests, tls={"cert": "used.pem", "key": "used-key.pem"})
    with Node(project) as node:
        assert served_certificate(node) == first
        with httpx.Client(verify=ssl.create_default_context(cafile=certificates / "ca.pem"), timeout=20) as open_before:
            assert open_before.post(f"{node.url}/events/probe", content="1").status_code == 202
            shutil.copy(certificates / "client.pem", project.dir / "used.pem")
            wait_until(lambda: served_certificate(node) == first and "does not belong to the certificate" in node.log(), "a complaint", every=0.2, on_failure=node.log)
            shutil.copy(certificates / "client-key.pem", project.dir / "used-key.pem")
            wait_until(lambda: served_certificate(node) == second, "the new certificate", every=0.2, on_failure=node.log)
            assert open_before.post(f"{node.url}/events/probe", content="2").status_code == 202  # on the connection from before
        (project.dir / "used.pem").write_text("not a certificate")
        wait_until(lambda: served_certificate(node) == second and node.log().count("the certificate before it stays in use") == 2, "a complaint", every=0.2, on_failure=node.log)


@pytest.mark.parametrize("change, names", [({"cert": "missing.pem"}, "missing.pem"), ({"key": "client-key.pem"}, "key"), ({"key": None}, "tls")])
def test_unusable_certificates_are_named(project, guests, certificates, change, names):
    tls = {"cert": str(certificates / "server.pem"), "key": str(certificates / "server-key.pem")}
    tls.update({k: v and str(certificates / v) for k, v in change.items()})
    write(project, guests, tls={k: v for k, v in tls.items() if v})
    result = project.nexus("dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", check=False, timeout=30)
    assert result.returncode not in (0, 70), result.stderr
    assert names in result.stdout + result.stderr


# ---- external servers


def served(project):
    with Node(project) as node:
        assert node.api("node").json()["nats"]["private"] is False
        assert node.call("probe", "over there").text == "over there"


def test_user_and_password(tmp_path, guests):
    with nats.Server(tmp_path / "server", 'authorization { user: "nexus", password: "correct horse" }') as server:
        project = write(Project(tmp_path / "project"), guests, nats={"url": server.url, "user": "nexus", "password": "correct horse"})
        served(project)
        wrong = write(Project(tmp_path / "wrong"), guests, nats={"url": server.url, "user": "nexus", "password": "wrong battery"})
        result = wrong.nexus("dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", check=False, timeout=60)
        assert result.returncode in (69, 77), result.stdout + result.stderr
        assert "wrong battery" not in result.stdout + result.stderr


def test_token_from_the_environment(tmp_path, guests):
    with nats.Server(tmp_path / "server", 'authorization { token: "s3cret-token" }') as server:
        project = write(Project(tmp_path / "project"), guests, nats={"url": server.url})
        with Node(project, env={"NEXUS_NATS_TOKEN": "s3cret-token"}) as node:
            assert node.call("probe", "with a token").text == "with a token"
            assert "s3cret-token" not in node.log()
            assert "s3cret-token" not in node.api("node").text


def test_tls_with_client_certificate(tmp_path, guests, certificates):
    extra = (f'tls {{ cert_file: "{certificates}/server.pem", key_file: "{certificates}/server-key.pem", ca_file: "{certificates}/ca.pem", '
             "verify: true }")
    with nats.Server(tmp_path / "server", extra) as server:
        url = server.url.replace("nats://", "tls://")
        tls = {"ca": f"{certificates}/ca.pem", "cert": f"{certificates}/client.pem", "key": f"{certificates}/client-key.pem"}
        served(write(Project(tmp_path / "project"), guests, nats={"url": url, "tls": tls}))
        refused = write(Project(tmp_path / "refused"), guests, nats={"url": url, "tls": {"ca": tls["ca"]}})
        result = refused.nexus("dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", check=False, timeout=60)
        assert result.returncode in (69, 77), result.stdout + result.stderr


def test_server_without_jetstream_is_named(tmp_path, guests):
    server = nats.Server(tmp_path / "server")
    server.conf.write_text(server.conf.read_text().replace("jetstream", "# jetstream"))
    with server:
        project = write(Project(tmp_path / "project"), guests, nats={"url": server.url})
        result = project.nexus("dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", check=False, timeout=60)
        assert result.returncode == 69 and "JetStream" in result.stdout + result.stderr


def test_server_that_is_not_there_is_named(tmp_path, guests):
    project = write(Project(tmp_path / "project"), guests, nats={"url": "nats://127.0.0.1:9"})
    result = project.nexus("dev", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", check=False, timeout=60)
    assert result.returncode == 69 and "127.0.0.1:9" in result.stdout + result.stderr


def test_small_max_payload_limits_bodies(tmp_path, guests):
    """The body limit lies below what the server takes, and a caller is told 413, not 503."""
    server = nats.Server(tmp_path / "server")
    server.conf.write_text(server.conf.read_text().replace("max_payload: 8388608", "max_payload: 262144"))
    with server:
        project = write(Project(tmp_path / "project"), guests, nats={"url": server.url})
        with Node(project) as node:
            assert node.post("probe", b"x" * 300_000).status_code == 413
            event_id = node.publish("probe", b"y" * 150_000)
            assert node.run_of(event_id)["status"] == "ok"
            assert [v["verdict"] for v in node.replay(event_id)] == ["identical"]
            # A record larger than a message goes to the object store.
            large = node.publish("probe", "output 900000")
            run = node.whole_run(node.run_of(large)["run_id"])
            assert (run["status"], run["output_bytes"]) == ("ok", 900_000)
            assert [v["verdict"] for v in node.replay(large)] == ["identical"]


def test_an_answer_that_gets_lost_is_found_in_the_record(tmp_path, guests):
    """An output larger than a message does not reach the node that holds the connection; that one finds the run's record long before the wait is over."""
    with nats.Server(tmp_path / "server", max_payload=256 << 10) as server:
        nodes = [Node(write(Project(tmp_path / name), guests, nats={"url": server.url})) for name in ("a", "b")]
        with nodes[0] as caller, nodes[1] as other:
            lost = 0
            while lost < 3:
                with Stopwatch() as watch:
                    answer = caller.call("probe", "output 500000", wait=60)
                assert (answer.status_code, len(answer.content)) == (200, 500_000)
                assert watch.s < 20 * SLOW
                run = caller.run_of(answer.headers["nexus-event-id"])
                lost += caller.whole_run(run["run_id"])["node"] == other.info["node"]


# ---- serve


def test_serve_reads_its_settings_again_on_sighup(tmp_path, guests):
    project = Project(tmp_path / "project")
    settings = project.dir / "node.yaml"
    settings.write_text("version: v1\nlog: {level: info}\n")
    project.write({"functions": [function("probe", project.module(guests.rust("probe.rs")))]})
    with Node(project, "--config", str(settings), verb="serve") as node:
        node.json("deploy")
        assert node.post("unknown.type", "x").status_code == 202
        settings.write_text("version: v1\ningest: {strict: true}\n")
        node.signal(1)
        wait_until(lambda: node.post("unknown.type", "x").status_code == 404, "strict ingest", 10, on_failure=node.log)
        assert node.call("probe", "served").text == "served"
        settings.write_text("version: v1\ningst: {strict: false}\n")
        node.signal(1)
        node.wait_log("ingst")
        assert node.post("unknown.type", "x").status_code == 404
